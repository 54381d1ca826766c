/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plan share. */
#ifndef CLUSTER_PLAN_INT_H
#define CLUSTER_PLAN_INT_H

#include "cluster/plan.h"

#define ELSEWHERE_MAX 1024      /* TARGET_ELSEWHERE_MAX */

/* Did this very action fail, and is its wait not over? Then *due says when. r may be NULL. */
bool plan_waits(const struct plan_retry *r, const struct plan_action *a, struct mono now, struct mono *due);

/* ---- plan_memo.c ---- */

/* What the hash of a volume comes from, beside what is the same for all of them (the context). */
struct plan_from {
	struct hash_sum objects;        /* of the agreed objects */
	uint64_t epoch;
	unsigned kind, at;
};

struct plan_memo {
	struct memo_line *line;         /* by uuid */
	unsigned n, n_lines;
	uint8_t context[16];
	bool check, wrong;
};

/* Where to look first in a table of `n`, a power of two. */
unsigned plan_uuid_slot(const uint8_t uuid[16], unsigned n);
/* For so many volumes; what is left over from others may go. */
void memo_room(struct plan_memo *m, unsigned n);
/* The hash that it had, made from the same; NULL: not known. */
const uint8_t *memo_find(const struct plan_memo *m, const uint8_t uuid[16], const struct plan_from *from, uint64_t *size);
void memo_put(struct plan_memo *m, const uint8_t uuid[16], const struct plan_from *from, const uint8_t hash[16], uint64_t size);

/* ---- plan_copies.c: volumes as director-target is told of them ---- */

/* What stands below "/volumes/": "v1", or "v1/legs/a". Lent. */
const char *plan_name(const char *path);
/* All that is set or has a default, but what only the cluster cares for. */
void plan_params(const struct object *o, struct attrs *out);
struct plan_action plan_plain(enum plan_kind kind, const struct object *o);
struct plan_action plan_leg(enum plan_kind kind, const struct object *volume, const struct object *leg);
struct plan_action plan_forward(enum plan_kind kind, const struct tree *t, const struct object *o, const struct plan_node *at, uint64_t epoch,
				uint32_t key);
struct plan_action plan_stripe(enum plan_kind kind, const struct tree *t, const struct object *o);
/*
 * Access states by who serves it: its ports are optimized, the others are not. While it moves commands wait, at all ports:
 * "transitioning" would only have initiators ask again and again.
 */
void plan_groups(struct plan_action *a, const struct plan_nodes *nodes, const struct plan_node *at, const char *self);
/* Are there more than can be told, so that it matters which nodes are up? */
bool plan_groups_choose(const struct plan_nodes *nodes);
void plan_volume_hash(struct plan_action *a);

/* Is a portal at one of these addresses (with or without port, with spaces), or at any? */
bool plan_portal_of(const char *addresses, const char *portal);
/* Is the portal, "ADDR:PORT", one that this node can listen at? */
bool plan_portal_here(const struct plan_nodes *nodes, const char *self, const char *portal);
/* What the portal stands for at the other nodes that are up. */
void plan_elsewhere(struct plan_action *a, const struct plan_nodes *nodes, const char *self, const char *portal);

/* ---- plan_float.c ---- */

/*
 * The target's floating addresses, as portals of this node, and of the one where they are; with the port of `portal` where it
 * has no portals, which then is one.
 */
void plan_floating(struct plan_action *a, const struct tree *t, const struct object *target, const char *self, const char *portal);

#endif
