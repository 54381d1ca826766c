/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the view, for names.c and names_status.c. */
#ifndef CLUSTER_NAMES_INT_H
#define CLUSTER_NAMES_INT_H

#include "cluster/names.h"

struct names_node {
	struct node_id id;
	char *name;
	enum names_node_state state;
	struct mono heard;
};

struct names {
	const struct catalog *catalog;
	const struct facts *facts;
	struct names_node *nodes;       /* ordered by id */
	unsigned n_nodes, cap_nodes;
	struct names_event *events;     /* seq modulo NAMES_EVENTS_MAX */
	uint64_t seq;
};

const struct names_node *names_node_by_name(const struct names *n, const char *name);
/* Fill status, reason and derived of an entry whose sides are filled. Does it exist by derivation (a node, a commit)? */
bool names_derive(const struct names *n, struct mono now, struct names_entry *e);
/* Offer the tasks that are commits: the first after `after`, see names_child. */
void names_offer_tasks(const struct names *n, const char *after, char *best, bool *any);

#endif
