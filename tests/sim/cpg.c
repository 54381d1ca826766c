/* SPDX-License-Identifier: Apache-2.0 */
/* The model of CPG: rings of nodes, each with one ordered list of casts and view changes. */
#include "tests/sim/cpg.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* One item of the order: a cast, or (n_member > 0, or gone) the group as it is from here on. */
struct item {
	unsigned from;
	uint8_t *p;
	size_t len;
	bool is_view;
	unsigned member[CPG_NODES], n_member;
};

struct ring {
	uint64_t id;
	bool has[CPG_NODES];            /* Corosync nodes */
	bool joined[CPG_NODES];         /* group members, at the end of the order */
	struct item **item;
	unsigned n, cap;
	unsigned pos[CPG_NODES];        /* delivered up to here */
	unsigned limit[CPG_NODES];      /* received up to here when frozen */
	bool frozen;
};

struct cpg {
	struct world *w;
	const struct cpg_ops *ops;
	void *ctx;
	bool up[CPG_NODES], joined[CPG_NODES];
	unsigned side[CPG_NODES], name[CPG_NODES];
	struct ring *ring[CPG_NODES];   /* of each node */
	struct ring **all;
	unsigned n_all, all_cap;
	uint64_t next_id, reform_gen;
	struct mono stall_until;
	struct mono last[CPG_NODES];    /* delivery keeps its order */
	struct { uint8_t *p; size_t len; } queue[CPG_NODES][512];       /* casts that wait for a ring */
	unsigned n_queue[CPG_NODES];
};

struct cpg *cpg_new(struct world *w, const struct cpg_ops *ops, void *ctx)
{
	struct cpg *c = mem_zalloc(sizeof(*c));

	c->w = w;
	c->ops = ops;
	c->ctx = ctx;
	return c;
}

static void queue_drop(struct cpg *c, unsigned node)
{
	for (unsigned i = 0; i < c->n_queue[node]; i++)
		free(c->queue[node][i].p);
	c->n_queue[node] = 0;
}

void cpg_free(struct cpg **pc)
{
	struct cpg *c = *pc;

	for (unsigned i = 0; i < c->n_all; i++) {
		for (unsigned j = 0; j < c->all[i]->n; j++) {
			free(c->all[i]->item[j]->p);
			free(c->all[i]->item[j]);
		}
		free(c->all[i]->item);
		free(c->all[i]);
	}
	for (unsigned i = 0; i < CPG_NODES; i++)
		queue_drop(c, i);
	free(c->all);
	free(c);
	*pc = NULL;
}

bool cpg_is_up(const struct cpg *c, unsigned node)
{
	return c->up[node];
}

unsigned cpg_ring_size(const struct cpg *c, unsigned node)
{
	unsigned n = 0;

	for (unsigned i = 0; c->ring[node] && i < CPG_NODES; i++)
		n += c->ring[node]->has[i];
	return n;
}

static void hand_over(struct cpg *c, unsigned node, const struct item *it)
{
	if (!c->joined[node])
		return;
	if (!it->is_view) {
		c->ops->deliver(c->ctx, node, it->from, it->p, it->len);
		return;
	}
	for (unsigned i = 0; i < it->n_member; i++)
		if (it->member[i] == node) {
			c->ops->view(c->ctx, node, it->member, it->n_member);
			return;
		}
}

/* Deliver ring->item[..x) to `node`; p is the ring's id. */
static void tick(void *ctx, unsigned node, uint64_t x, void *p)
{
	struct cpg *c = ctx;
	struct ring *r = c->ring[node];

	if (!r || r->id != *(uint64_t *)p)
		return;
	if (r->frozen && x > r->limit[node])
		x = r->limit[node];
	while (c->ring[node] == r && r->pos[node] < x)
		hand_over(c, node, r->item[r->pos[node]++]);
}

static void schedule(struct cpg *c, struct ring *r)
{
	struct mono base = c->w->now;

	if (mono_before(base, c->stall_until))
		base = c->stall_until;
	for (unsigned i = 0; i < CPG_NODES; i++) {
		struct mono at = { base.ns + world_between(c->w, 200, world_chance(c->w, 20) ? 20000 : 1500) * 1000 };

		if (!r->has[i])
			continue;
		if (mono_before(at, c->last[i]))
			at = c->last[i];
		c->last[i] = at;
		world_at(c->w, at, tick, c, i, r->n, mem_dup(&r->id, sizeof(r->id)));
	}
}

static struct item *append(struct ring *r)
{
	struct item *it = mem_zalloc(sizeof(*it));

	r->item = mem_grow(r->item, &r->cap, r->n, sizeof(*r->item));
	r->item[r->n++] = it;
	return it;
}

static void append_view(struct cpg *c, struct ring *r)
{
	struct item *it = append(r);

	it->is_view = true;
	for (unsigned i = 0; i < CPG_NODES; i++)
		if (r->has[i] && r->joined[i])
			it->member[it->n_member++] = i;
	schedule(c, r);
}

void cpg_cast(struct cpg *c, unsigned node, const uint8_t *p, size_t n)
{
	struct ring *r = c->ring[node];
	struct item *it;

	if (!c->joined[node])
		return;
	if (!r || r->frozen) {
		if (c->n_queue[node] < 512) {
			c->queue[node][c->n_queue[node]].p = mem_dup(p, n);
			c->queue[node][c->n_queue[node]++].len = n;
		}
		return;
	}
	it = append(r);
	it->from = node;
	it->p = mem_dup(p, n);
	it->len = n;
	schedule(c, r);
}

/* The members of the old ring that go on as one part see the same end of it. */
static void finish_part(struct cpg *c, struct ring *old, const bool *part)
{
	unsigned cut = 0;

	for (unsigned i = 0; i < CPG_NODES; i++)
		if (part[i] && old->has[i] && old->limit[i] > cut)
			cut = old->limit[i];
	for (unsigned i = 0; i < CPG_NODES; i++) {
		if (!part[i] || !old->has[i] || c->ring[i] != old)
			continue;
		while (old->pos[i] < cut)
			hand_over(c, i, old->item[old->pos[i]++]);
		for (; old->pos[i] < old->n; old->pos[i]++) {
			const struct item *it = old->item[old->pos[i]];

			if (!it->is_view && part[it->from])     /* past the hole: what the part itself sent */
				hand_over(c, i, it);
		}
	}
}

static void new_ring(struct cpg *c, const bool *part)
{
	struct ring *r = mem_zalloc(sizeof(*r));

	c->all = mem_grow(c->all, &c->all_cap, c->n_all, sizeof(*c->all));
	c->all[c->n_all++] = r;
	r->id = ++c->next_id;
	for (unsigned i = 0; i < CPG_NODES; i++) {
		struct ring *old = c->ring[i];

		if (part[i] && old)
			finish_part(c, old, part);
	}
	for (unsigned i = 0; i < CPG_NODES; i++) {
		if (!part[i])
			continue;
		r->has[i] = true;
		r->joined[i] = c->joined[i];
		c->ring[i] = r;
		c->last[i] = c->w->now;
	}
	append_view(c, r);
	/* What waited is sent in the new ring, or was lost with the old one. */
	for (unsigned i = 0; i < CPG_NODES; i++) {
		if (!part[i])
			continue;
		for (unsigned j = 0; j < c->n_queue[i]; j++)
			if (world_chance(c->w, 700))
				cpg_cast(c, i, c->queue[i][j].p, c->queue[i][j].len);
		queue_drop(c, i);
	}
}

static bool meets(const struct cpg *c, unsigned i, unsigned j)
{
	return c->up[j] && c->side[j] == c->side[i] && c->name[j] == c->name[i];
}

static void reform(void *ctx, unsigned node, uint64_t gen, void *p)
{
	struct cpg *c = ctx;
	bool placed[CPG_NODES] = { false };

	if (gen != c->reform_gen)
		return;
	for (unsigned i = 0; i < CPG_NODES; i++) {
		bool part[CPG_NODES] = { false }, same = true;

		if (!c->up[i] || placed[i])
			continue;
		for (unsigned j = i; j < CPG_NODES; j++)
			if (meets(c, i, j))
				part[j] = placed[j] = true;
		for (unsigned j = 0; j < CPG_NODES; j++)
			same &= c->ring[i] && part[j] == c->ring[i]->has[j] && (!part[j] || c->ring[j] == c->ring[i]);
		if (same && !c->ring[i]->frozen)
			continue;
		new_ring(c, part);
	}
}

/* Rings that are not what they should be stop; after a while they are formed anew. */
static void disturb(struct cpg *c, unsigned min_ms, unsigned max_ms)
{
	for (unsigned i = 0; i < CPG_NODES; i++) {
		struct ring *r = c->ring[i];
		bool whole = true;

		if (!r || r->frozen)
			continue;
		for (unsigned j = 0; j < CPG_NODES; j++)
			if (r->has[j])
				whole &= meets(c, i, j);
			else
				whole &= !meets(c, i, j);
		if (whole)
			continue;
		r->frozen = true;
		for (unsigned j = 0; j < CPG_NODES; j++)
			r->limit[j] = (unsigned)world_between(c->w, r->pos[j], r->n);
	}
	world_in_us(c->w, world_between(c->w, min_ms, max_ms) * 1000, reform, c, 0, ++c->reform_gen, NULL);
}

void cpg_up(struct cpg *c, unsigned node, unsigned name)
{
	if (c->up[node])
		return;
	c->up[node] = true;
	c->name[node] = name;
	disturb(c, 20, 300);
}

void cpg_down(struct cpg *c, unsigned node)
{
	if (!c->up[node])
		return;
	c->up[node] = c->joined[node] = false;
	queue_drop(c, node);
	disturb(c, 100, 1600);
	c->ring[node] = NULL;
}

void cpg_join(struct cpg *c, unsigned node)
{
	struct ring *r = c->ring[node];

	if (!c->up[node] || c->joined[node])
		return;
	c->joined[node] = true;
	if (r)
		r->pos[node] = r->n;
	if (!r || r->frozen)
		return;
	r->joined[node] = true;
	append_view(c, r);
}

void cpg_leave(struct cpg *c, unsigned node)
{
	struct ring *r = c->ring[node];

	if (!c->joined[node])
		return;
	c->joined[node] = false;
	queue_drop(c, node);
	if (!r)
		return;
	r->joined[node] = false;
	if (!r->frozen)
		append_view(c, r);
}

void cpg_split(struct cpg *c, const unsigned side[CPG_NODES])
{
	memcpy(c->side, side, sizeof(c->side));
	disturb(c, 100, 1600);
}

void cpg_stall(struct cpg *c, unsigned ms)
{
	c->stall_until = mono_add_ms(c->w->now, ms);
}
