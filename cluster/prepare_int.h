/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that prepare a transaction share. */
#ifndef CLUSTER_PREPARE_INT_H
#define CLUSTER_PREPARE_INT_H

#include "cluster/names_int.h"
#include "cluster/place.h"
#include "cluster/prepare.h"

#define LUN_MAX 16383

/* A node, what there is on it, and what this transaction has placed there so far. */
struct placed {
	const char *node;               /* lent by the tree */
	bool known[2];                  /* by `ram` */
	struct place base[2];
	uint64_t size;
	unsigned n;
};

/* The portal that a target which this transaction creates gets by itself. */
struct own_portal {
	char *path;
	unsigned made;                  /* the operation that creates it; 0: the transaction names others, and it is not made */
};

struct work {
	const struct names *n;
	struct txn *t;
	unsigned level;
	struct why *why;
	struct placed *placed;
	unsigned n_placed, cap_placed;
	unsigned *in_luns, n_in_luns;   /* the given operations that create LUNs, */
	unsigned *in_portals, n_in_portals;     /* and those that create portals */
	char *portal;                   /* of new targets, as /cluster says by then; NULL: not asked yet */
	struct own_portal *own;
	unsigned n_own, cap_own;
	unsigned *drop, n_drop, cap_drop;       /* operations that come to nothing */
	char *luns_of;                  /* the folder whose taken numbers are in `taken` */
	uint8_t taken[(LUN_MAX + 1) / 8];
};

/* The operation of this kind on `path` among the first `upto`. */
const struct txn_op *prepare_op_on(const struct txn *t, unsigned upto, enum txn_op_kind kind, const char *path);
/* What the node has, with what this transaction placed; and place more. */
struct place prepare_place(struct work *w, const struct object *node, bool ram);
void prepare_placed(struct work *w, const char *node, uint64_t size);
/* May this operation's data lie on the node? */
int prepare_node(struct work *w, const char *path, const char *node, const char *backstore);
/* Operation i names a device of the node: its path and backstore; its size too unless `fixed`. */
int prepare_device(struct work *w, unsigned i, const char *node, const char *device, bool sized);
int prepare_path_free(struct work *w, unsigned i, const char *node, const char *path);
/* The "p.x" of operation i against the node's plugin. */
int prepare_plugin(struct work *w, unsigned i, const char *node, const char *backstore);
/* The same without asking whether all are there that the plugin needs. */
int prepare_plugin_values(struct work *w, unsigned i, const char *node, const char *backstore);

/* ---- prepare_copies.c ---- */

/* Does the operation make a volume with copies, or set how many? Asked before its values are in normal form. */
bool prepare_is_copies(const struct work *w, const struct txn_op *op);
/* node=A,B of such an operation is taken out and given: where its legs shall be; NULL: it does not say. */
char *prepare_take_on(struct txn_op *op);
int prepare_copies_create(struct work *w, unsigned i, const char *on);
int prepare_copies_set(struct work *w, unsigned i, const char *on);
int prepare_copies_delete(struct work *w, unsigned i);
/* /volumes/V/legs/auto gets the next free letter. */
int prepare_leg_name(struct work *w, unsigned i);
int prepare_leg_create(struct work *w, unsigned i);
int prepare_leg_set(struct work *w, unsigned i);
int prepare_leg_delete(struct work *w, unsigned i);
/* scrub-asked=next becomes the number. */
int prepare_scrub(struct work *w, unsigned i);

#endif
