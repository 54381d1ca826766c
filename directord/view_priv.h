/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a view, for view.c and view_status.c. */
#ifndef DIRECTORD_VIEW_PRIV_H
#define DIRECTORD_VIEW_PRIV_H

#include "directord/view.h"

struct view {
	struct names *names;
	const struct catalog *catalog;
	struct names_entry entry;       /* reused by every get */
	struct control_object object;   /* lent from entry */
	unsigned cap_seen;
	uint64_t seq;                   /* the last event of names that was told */
	struct attrs told;              /* path: the last remark on it, so that it is not made twice */
	char task[32];
	/* view_status.c */
	struct names_entry check;
	struct attrs unsettled;         /* path: "pending" or "failed", of every agreed object that is */
	bool checked_all;
	uint64_t checked;               /* the last event of names that is in it */
};

#endif
