/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ordered store of agreed objects: by path, so that what is below a path stands together. Next to it
 * indexes that follow every change: uuids, who refers to an object, and who holds a unique value. A hash of
 * the whole content is kept as a sum over the objects, so that its cost too goes with what changes.
 */
#ifndef CLUSTER_TREE_H
#define CLUSTER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/tree.h>

#include "cluster/obj.h"
#include "cluster/schema.h"

struct tree;

struct object {
	char *path;
	const struct schema_type *type;
	uint8_t uuid[16];
	uint64_t created;               /* log index that created it */
	uint64_t generation;            /* log index of its last change */
	uint64_t touched;               /* log index of the last change of it or of anything below it */
	struct attrs attrs;             /* the desired side: what was set, without defaults, normalised */
	uint64_t *by;                   /* per attribute (same order): the log index that set it */
	uint8_t *blob;                  /* a volume's reservations; NULL: none */
	size_t n_blob;
	uint8_t hash[32];               /* of all of the above, once it is in a tree */
	/* private */
	struct tree *tree;
	RB_ENTRY(object) entry, by_uuid;
};

/* A 256-bit sum that does not depend on the order of what was added. */
struct hash_sum {
	uint64_t w[4];
};

void hash_sum_add(struct hash_sum *s, const uint8_t h[32]);
void hash_sum_sub(struct hash_sum *s, const uint8_t h[32]);

/* Order of paths: name by name, so that "/a/x" comes before "/a-b". */
int path_cmp(const char *a, const char *b);

struct object *object_new(const char *path, const struct schema_type *type);
struct object *object_copy(const struct object *o);
void object_free(struct object **o);
/* Set or, with NULL, remove an attribute and note who did. Says whether anything changed. */
bool object_set(struct object *o, const char *key, const char *value, uint64_t index);
/* Set (copying) the blob; n 0: none. */
void object_set_blob(struct object *o, const uint8_t *blob, size_t n);
/* The log index that set `key`; 0 if it is not set. */
uint64_t object_by(const struct object *o, const char *key);

struct tree *tree_new(void);
void tree_free(struct tree **t);
/* Put an object: given; replaces what was at its path. */
void tree_put(struct tree *t, struct object **o);
/* Take the object at `path` away; nothing there: no effect. */
void tree_remove(struct tree *t, const char *path);

/* Reading: O(log n). Objects are lent until the next tree_put or tree_remove of their path. */
const struct object *tree_get(const struct tree *t, const char *path);
/* The object with this uuid; NULL: none. No two have the same: they are made of requests that are never applied twice. */
const struct object *tree_by_uuid(const struct tree *t, const uint8_t uuid[16]);
const struct object *tree_first(const struct tree *t, const char *path); /* the first at or after path */
const struct object *tree_next(const struct object *o);
/* The objects at or below `top`, in order: begin with NULL. */
const struct object *tree_below(const struct tree *t, const char *top, const struct object *after);
/* The objects that stand directly in folder or object `parent` (one name more), skipping what is below them. */
const struct object *tree_child(const struct tree *t, const char *parent, const struct object *after);
unsigned tree_count(const struct tree *t);
/* How many objects stand directly in `folder`; kept, so O(log n). */
unsigned tree_count_in(const struct tree *t, const char *folder);

/*
 * The objects with a reference to the object at `path`, ordered by path: begin with NULL, go on with what
 * was returned. `n` of them, and the sum of their `size`, are kept.
 */
const struct object *tree_referrer(const struct tree *t, const char *path, const struct object *after);
unsigned tree_referrers(const struct tree *t, const char *path, uint64_t *size_sum);
/* The object of the type that holds this value of a PARAM_UNIQUE parameter; NULL if none. */
const struct object *tree_holder(const struct tree *t, const struct schema_type *type, const char *key, const char *value);

/* The sum over all objects: equal content gives equal sums on any node, in whatever order it was built. */
const struct hash_sum *tree_hash(const struct tree *t);
/* How often an object was put or taken away since the tree was made; and taken away, or put in another's place. */
uint64_t tree_version(const struct tree *t);
uint64_t tree_removed(const struct tree *t);
/* How many nodes were compared since the tree was made: the cost of everything above, for tests. */
uint64_t tree_visits(const struct tree *t);

#endif
