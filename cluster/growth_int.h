/* SPDX-License-Identifier: Apache-2.0 */
/* Inside growth: growth.c has each node's own part, growth_lead.c what the one does that gives the order. */
#ifndef CLUSTER_GROWTH_INT_H
#define CLUSTER_GROWTH_INT_H

#include "cluster/growth.h"

/* One step's view of things. */
struct growth_ctx {
	struct growth *g;
	const struct growth_in *in;
	const struct roster *r;
	const struct roster_node *me;           /* NULL: not in the ring */
	const struct growth_fact *mine;
	struct growth_act *act;
	unsigned n;
};

struct ring_count {
	unsigned running, stored, active;       /* other living ring nodes whose Corosync runs; with the current file */
	unsigned voters, unheard;               /* living voters, us too; ring nodes of which nothing is known */
};

const struct growth_fact *growth_fact_of(const struct growth_ctx *c, const struct node_id *id);
const struct agree_member *growth_member(const struct growth_ctx *c, const struct node_id *id);  /* of the view */
struct ring_count growth_count(const struct growth_ctx *c);
uint64_t growth_ms_since(const struct growth_ctx *c, struct mono t);
/* The act, unless the same was given a moment ago. */
bool growth_act(struct growth_ctx *c, enum growth_act_kind kind, unsigned repeat_ms, const char *why);
void growth_wait(struct growth_ctx *c, const char *what);
/* The next roster, if there is to be one. */
void growth_lead(struct growth_ctx *c);

#define GROWTH_REPEAT_MS 1000

#endif
