/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the legs of a volume shall be, and what to agree next so that they come there: a leg that replaces another
 * takes over when it is in sync, a node that is drained loses its legs and what it serves, a volume with more
 * or fewer legs than copies= loses or gets one. All of it is in agreed rows, so whoever owns the volume goes on with it.
 * Pure: catalog and facts in, a transaction out.
 */
#ifndef CLUSTER_MOVE_H
#define CLUSTER_MOVE_H

#include <stdbool.h>

#include "cluster/names.h"
#include "cluster/txn.h"

#define MOVE_WHAT_MAX 128

/*
 * The next step for a volume with legs, to be asked whenever something was applied or a fact changed, by the node that owns it.
 * True: propose *t (request_propose_own with `what`, which is another one for every state it was made from; asking again in
 * the same state gives the same). False: nothing is to be done now, *t is empty.
 */
bool move_next(const struct names *n, const struct object *volume, struct txn *t, char *what);

/*
 * A node for one more leg of `volume`: alive, not drained, no witness, with the backstore, without a leg of it; of these
 * the one with the most space left after what is agreed, then with the fewest legs, then by name. NULL: there is none. Lent.
 */
const char *move_place(const struct names *n, const struct object *volume, const char *backstore);

/* What a drained node still holds. */
struct move_drain {
	unsigned owned;                 /* volumes it serves */
	unsigned moving;                /* legs that are being replaced, or can be */
	unsigned stuck;                 /* legs without another place; the data is elsewhere too */
	unsigned only;                  /* volumes with their only good copy there: plain ones, and such legs */
	char first[64];                 /* one of `only`, else of `stuck`: its name */
};

void move_drain(const struct names *n, const char *node, struct move_drain *d);

#endif
