/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes as places for data, by what is agreed and what they report. */
#ifndef CLUSTER_PLACE_H
#define CLUSTER_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/facts.h"
#include "cluster/names.h"

struct place {
	const char *node;               /* lent by the tree */
	uint64_t total;                 /* bytes; UINT64_MAX: not reported */
	uint64_t agreed;                /* of volumes and legs that are given to it */
	uint64_t free_now;              /* UINT64_MAX: not reported */
	unsigned holds;                 /* volumes and legs */
};

/* The node's report at `path`; NULL: none. And a number in a report. */
const struct fact *place_fact(const struct names *n, const char *node, const char *path);
uint64_t place_uint(const struct fact *f, const char *key, uint64_t if_unset);
/* Does the node have the plugin? A node that reports no plugin at all is not judged. */
bool place_has_plugin(const struct names *n, const char *node, const char *plugin);
/* How many nodes that are up lack it, and the name of one of them. */
unsigned place_lack_plugin(const struct names *n, const char *plugin, const char **one);
/*
 * Has the plugin parameters, as a node reports them, of which "KEY=VALUE KEY=VALUE" names none? Then the first of them, into `key` of
 * ATTR_KEY_MAX bytes.
 */
bool place_option_missing(const struct names *n, const char *plugin, const char *options, char *key);
/* Does it take new data at all? `why_not` (may be NULL) gets the words for it. */
bool place_takes(const struct names *n, const struct object *node, const char **why_not);
/* What there is; costs as much as the node holds. `ram`: memory counts, not the file system. */
struct place place_of(const struct names *n, const struct object *node, bool ram);
/* What is left of it after all that is agreed for it, and not more than is free. */
uint64_t place_left(const struct place *p);
/* More space left, then fewer volumes; equals are equal. */
bool place_better(const struct place *a, const struct place *b);

#endif
