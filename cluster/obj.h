/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The currency of the namespace: attributes (a key and a text value, sorted by key) at a path. Agreed
 * objects, observed facts, changes, dumps and the API all carry these; what a value means is the
 * schema's business (cluster/schema.h).
 */
#ifndef CLUSTER_OBJ_H
#define CLUSTER_OBJ_H

#include <stdbool.h>
#include <stdint.h>

#define PATH_LEN_MAX 512        /* bytes of a path, with its NUL */
#define ATTR_KEY_MAX 64
#define ATTR_VALUE_MAX 4096
#define ATTRS_MAX 128           /* attributes of one object */

struct attr {
	char *key, *value;
};

struct attrs {
	struct attr *a;         /* sorted by key, keys unique */
	unsigned n, cap;
};

void attrs_fini(struct attrs *as);
void attrs_copy(struct attrs *to, const struct attrs *from);    /* `to` is overwritten, not freed */
/* The value of `key`, lent until the next change; NULL if there is none. */
const char *attrs_get(const struct attrs *as, const char *key);
/* Set (copying) or, with a NULL value, remove. Says whether anything changed. */
bool attrs_set(struct attrs *as, const char *key, const char *value);
bool attrs_eq(const struct attrs *a, const struct attrs *b);
/* Set every attribute of `change` in `as`; one with an empty value removes. Says whether anything changed. */
bool attrs_merge(struct attrs *as, const struct attrs *change);

/*
 * Paths: "/" or "/name/name/…". A name has 1 to 223 bytes of [A-Za-z0-9._:@%+=,-] or any non-ASCII
 * UTF-8, and is not "." or "..". (IQNs, addresses in brackets and device names are all names;
 * '[' and ']' are allowed for IPv6 portals.)
 */
bool path_ok(const char *path);
bool path_name_ok(const char *name);
/* The last name of a path, lent. */
const char *path_name(const char *path);
/* Is `path` equal to `top` or below it? "/" is above everything. */
bool path_below(const char *path, const char *top);
/* The parent of `path` into `out` (PATH_LEN_MAX). */
void path_parent(const char *path, char *out);
/* How many names: "/" has 0. */
unsigned path_depth(const char *path);

#endif
