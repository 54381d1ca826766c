/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of something: a path and its attributes, in one piece of memory, once, however many say the same. Nodes of
 * one cluster have the same plugins and the like, so most of what a node holds of fifty others is what it says itself.
 */
#ifndef CLUSTER_SAID_H
#define CLUSTER_SAID_H

#include <sys/tree.h>

#include "cluster/obj.h"

struct said {
	RB_ENTRY(said) link;
	unsigned holders;
	char *path;
	struct attrs attrs;
};

/* Zeroed: empty. It is empty again when all is dropped. */
RB_HEAD(said_pool, said);

/* Of copies; `attrs` NULL: none. Each that is held is dropped once; NULL is allowed. */
struct said *said_hold(struct said_pool *pool, const char *path, const struct attrs *attrs);
void said_drop(struct said_pool *pool, struct said **s);

#endif
