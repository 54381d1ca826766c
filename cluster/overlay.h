/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction being tried: the objects it changes, copied when first written, over a tree that is not
 * touched. What comes out is either a refusal or the set of changes that overlay_commit moves into the
 * tree. A dry run is an overlay that is thrown away; its cost goes with what changes.
 */
#ifndef CLUSTER_OVERLAY_H
#define CLUSTER_OVERLAY_H

#include <stdint.h>
#include <sys/tree.h>

#include "cluster/catalog.h"
#include "cluster/tree.h"
#include "cluster/txn.h"

struct overlay_item {
	char *path;
	const struct object *before;    /* lent by the tree; NULL: was not there */
	struct object *after;           /* ours; NULL: is not there any more */
	RB_ENTRY(overlay_item) entry;
};

RB_HEAD(overlay_items, overlay_item);

struct overlay {
	const struct tree *base;
	uint64_t index;                 /* of the entry being applied */
	unsigned level;
	struct overlay_items items;     /* ordered by path */
	bool machine;                   /* the cluster's own operation: no generation rises */
};

void overlay_init(struct overlay *o, const struct tree *base, uint64_t index, unsigned level);
void overlay_fini(struct overlay *o);
/* Do the operations and judge the result. 0 or an error with `why`; then the overlay is only good for a diff. */
int overlay_run(struct overlay *o, const struct txn *t, struct why *why);
const struct object *overlay_get(const struct overlay *o, const char *path);
/* In order of path, beginning with NULL. */
const struct overlay_item *overlay_next(const struct overlay *o, const struct overlay_item *after);
/* What an item does to the people's view; 0: only `touched` moved. A new object at an old path is CHANGE_CREATED. */
enum change_kind overlay_kind(const struct overlay_item *it);
/* Deleted and made anew in one transaction? */
bool overlay_remade(const struct overlay_item *it);
/* The item of a path, if it was touched; the object of a path, to be changed (copied from the tree at the first touch). */
const struct overlay_item *overlay_item(const struct overlay *o, const char *path);
struct object *overlay_edit(struct overlay *o, const char *path);

/* ---- overlay_machine.c: volumes with copies ---- */

/* Do the machine's one operation. */
int overlay_machine(struct overlay *o, const struct txn *t, struct why *why);
/* A plain volume that has got copies= in this transaction: its storage becomes the leg of its node. */
int overlay_converted(struct overlay *o, const struct overlay_item *volume, struct why *why);
bool overlay_converts(const struct overlay_item *it);
/* Of such a volume, what it had and its leg has now. */
bool overlay_is_storage(const char *key);
/* A leg that is created, below the volume that this item (NULL: untouched) is of. */
void overlay_leg_born(struct overlay *o, const struct overlay_item *volume, struct object *leg);
/* Does the item say something of a volume's legs? Then whose. */
bool overlay_about_legs(const struct overlay_item *it, char *volume);
int overlay_check_legs(const struct overlay *o, const char *path, struct why *why);

/* Move the changes into `t`, which is the base. The overlay is empty after. */
void overlay_commit(struct overlay *o, struct tree *t);

#endif
