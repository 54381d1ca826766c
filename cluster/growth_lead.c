/* SPDX-License-Identifier: Apache-2.0 */
/* The lead's part of growth: from the roster and the nodes' reports to the next roster. */
#include <string.h>

#include "cluster/growth_int.h"

#define DEAD_SPARE_MS 60000     /* in a full ring a dead spare makes room after this */

static bool in_view(const struct growth_ctx *c, const struct node_id *id)
{
	return growth_member(c, id) != NULL;
}

static bool refused(const struct growth_ctx *c, const struct node_id *id)
{
	for (unsigned i = 0; i < GROWTH_REFUSED_MAX; i++)
		if (node_id_eq(&c->g->refused[i].id, id) && mono_before(c->in->now, c->g->refused[i].until))
			return true;
	return false;
}

static unsigned again_ms(unsigned times)
{
	return times < 4 ? GROWTH_AGAIN_MS << times : GROWTH_AGAIN_MAX_MS;
}

/* It gets another chance, later each time. A place is kept for who failed last. */
static void refuse(struct growth_ctx *c, const struct node_id *id)
{
	unsigned at = 0, times;

	for (unsigned i = 0; i < GROWTH_REFUSED_MAX; i++) {
		if (node_id_eq(&c->g->refused[i].id, id)) {
			at = i;
			break;
		}
		if (mono_before(c->g->refused[i].until, c->g->refused[at].until))
			at = i;
	}
	times = node_id_eq(&c->g->refused[at].id, id) ? c->g->refused[at].times : 0;
	c->g->refused[at].id = *id;
	c->g->refused[at].until = mono_add_ms(c->in->now, again_ms(times));
	c->g->refused[at].times = times + 1;
}

static void forgive(struct growth_ctx *c, const struct node_id *id)
{
	for (unsigned i = 0; i < GROWTH_REFUSED_MAX; i++)
		if (node_id_eq(&c->g->refused[i].id, id))
			memset(&c->g->refused[i], 0, sizeof(c->g->refused[i]));
}

/* For how long it has been seen dead; a node of which nothing is known counts from our own start. */
static uint64_t dead_ms(const struct growth_ctx *c, const struct node_id *id)
{
	const struct growth_fact *f = growth_fact_of(c, id);

	if (!f)
		return growth_ms_since(c, c->g->begun);
	return f->alive ? 0 : growth_ms_since(c, f->since);
}

static bool stopped(const struct growth_ctx *c, const struct node_id *id)
{
	const struct growth_fact *f = growth_fact_of(c, id);

	if (in_view(c, id))
		return false;
	return (f && f->alive && !f->running) || dead_ms(c, id) >= GROWTH_ABSENT_MS;
}

/* Its directord is gone, its Corosync is not: it has the list that it has, and nobody can give it another. */
static bool orphan(const struct growth_ctx *c, const struct node_id *id)
{
	const struct growth_fact *f = growth_fact_of(c, id);

	return f && f->in_ring && !in_view(c, id) && dead_ms(c, id) >= GROWTH_ABSENT_MS;
}

static bool candidate(const struct growth_ctx *c, const struct growth_fact *f)
{
	return f->alive && f->wanted && f->n_addr && !roster_find(c->r, &f->id) && !refused(c, &f->id);
}

static bool somebody_waits(const struct growth_ctx *c)
{
	for (unsigned i = 0; i < c->in->n_fact; i++)
		if (candidate(c, &c->in->fact[i]))
			return true;
	return false;
}

/* A node that must go, or those that have gone. */
static const char *want_less(struct growth_ctx *c, struct roster *next)
{
	bool waits = somebody_waits(c);
	const char *why = NULL;

	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];
		const struct growth_fact *f = growth_fact_of(c, &x->id);

		if (x->role == ROSTER_LEAVING) {
			if (stopped(c, &x->id) && roster_drop(next, &x->id) == 0)
				why = "a node has left the ring";
			continue;
		}
		if (why)
			continue;
		if (f && !f->wanted && roster_set_role(next, &x->id, ROSTER_LEAVING) == 0)
			return "a node is to leave the ring";
		/* Nobody could come in: to its Corosync they would be strangers, and that stops the ring. */
		if (waits && orphan(c, &x->id) && roster_set_role(next, &x->id, ROSTER_LEAVING) == 0)
			return "a node without its directord makes room for others";
	}
	return why;
}

/* Since when a newcomer is waited for. */
static struct mono coming_since(struct growth_ctx *c, const struct node_id *id)
{
	struct growth *g = c->g;

	for (unsigned i = 0; i < g->n_coming; i++)
		if (node_id_eq(&g->coming[i].id, id))
			return g->coming[i].since;
	if (g->n_coming == ROSTER_RING_MAX)
		return c->in->now;
	g->coming[g->n_coming].id = *id;
	return g->coming[g->n_coming++].since = c->in->now;
}

/* Those who came, or went, are waited for no more. */
static void coming_prune(struct growth_ctx *c)
{
	struct growth *g = c->g;

	for (unsigned i = 0; i < g->n_coming;) {
		const struct roster_node *n = roster_find(c->r, &g->coming[i].id);
		const struct growth_fact *f = growth_fact_of(c, &g->coming[i].id);

		if (n && n->role == ROSTER_SPARE && !in_view(c, &n->id) && !(f && f->aside)) {
			i++;
			continue;
		}
		if (n && in_view(c, &n->id))
			forgive(c, &n->id);
		g->coming[i] = g->coming[--g->n_coming];
	}
}

/* The spares that the list has and the view has not; all growth waits for them, for a while. */
static const char *want_newcomer_in(struct growth_ctx *c, struct roster *next, bool *wait)
{
	const char *why = NULL;

	coming_prune(c);
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];
		const struct growth_fact *f = growth_fact_of(c, &x->id);

		if (x->role != ROSTER_SPARE || in_view(c, &x->id) || dead_ms(c, &x->id) >= GROWTH_ABSENT_MS || (f && f->aside))
			continue;
		if (growth_ms_since(c, coming_since(c, &x->id)) < GROWTH_NEWCOMER_MS) {
			*wait = true;
			continue;
		}
		refuse(c, &x->id);
		if (roster_set_role(next, &x->id, ROSTER_LEAVING) == 0)
			why = "a newcomer did not come in";
	}
	return why;
}

static bool moved(const struct roster_node *x, const struct growth_fact *f)
{
	for (unsigned i = 0; i < ROSTER_ADDRS_MAX; i++) {
		struct addr a = x->addr[i], b = i < f->n_addr ? f->addr[i] : (struct addr){ 0 };

		a.port = b.port = 0;
		a.scope = b.scope = 0;
		if (!addr_eq(&a, &b))
			return true;
	}
	return false;
}

/* Is one of its addresses another one now, not only one more or one less? */
static bool renumbered(const struct roster_node *x, const struct growth_fact *f)
{
	for (unsigned i = 0; i < f->n_addr && i < ROSTER_ADDRS_MAX; i++) {
		struct addr a = x->addr[i], b = f->addr[i];

		a.port = b.port = 0;
		a.scope = b.scope = 0;
		if (a.family && b.family && !addr_eq(&a, &b))
			return true;
	}
	return false;
}

/*
 * Corosync loads no list in which a node that it knows has another address. Such a node is out of the ring anyway: it leaves the
 * list, and comes in again with a number that nobody knows.
 */
static const char *want_move(struct growth_ctx *c, struct roster *next)
{
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];
		const struct growth_fact *f = growth_fact_of(c, &x->id);

		if (!f || !f->alive || !f->n_addr || !moved(x, f))
			continue;
		if (c->r->n > 1 && renumbered(x, f)) {
			if (roster_set_role(next, &f->id, ROSTER_LEAVING) == 0)
				return "a node has another address, and comes in anew";
		} else if (roster_move(next, &f->id, f->addr, f->n_addr) == 0) {
			return "a node has another address";
		}
	}
	return NULL;
}

/* After a rotation: the ring's key follows. With one node there is no ring. */
static const char *want_key(struct growth_ctx *c, struct roster *next)
{
	return c->in->key_epoch && c->r->n > 1 && roster_rekey(next, c->in->key_epoch) == 0 ? "the cluster has a new key" : NULL;
}

static const char *want_votes(struct growth_ctx *c, struct roster *next)
{
	struct roster_candidate cand[ROSTER_RING_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->r->n; i++) {
		const struct growth_fact *f = growth_fact_of(c, &c->r->node[i].id);
		const struct agree_member *m = growth_member(c, &c->r->node[i].id);

		if (!f)
			continue;
		cand[n++] = (struct roster_candidate){
			.id = f->id, .alive = f->alive, .in_ring = m && m->synced && !m->mute,
			.barred = f->barred || (m && m->mute), .steady_ms = growth_ms_since(c, f->since),
		};
	}
	return roster_choose(c->r, cand, n, next) ? "votes follow the rule" : NULL;
}

/* May the list get longer now? */
static bool steady(struct growth_ctx *c)
{
	/* Who is away for a moment may come back with the old file while the new one is loaded: wait until it is away for good. */
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct node_id *id = &c->r->node[i].id;

		if (!c->in->agree->local && !in_view(c, id) && (!stopped(c, id) || orphan(c, id))) {
			growth_wait(c, "a ring member that is away for a moment");
			return false;
		}
	}
	if (c->in->strangers)
		growth_wait(c, "the ring to form without the node that has left it");
	return !c->in->strangers;
}

static const char *make_room(struct growth_ctx *c, struct roster *next)
{
	for (unsigned i = 0; i < c->r->n; i++)
		if (c->r->node[i].role == ROSTER_SPARE && dead_ms(c, &c->r->node[i].id) >= DEAD_SPARE_MS &&
		    roster_set_role(next, &c->r->node[i].id, ROSTER_LEAVING) == 0)
			return "a dead spare makes room";
	return NULL;
}

/* All that wait, in the order of their ids; members stay a third of the ring at least, so that they can bear it. */
static const char *want_more(struct growth_ctx *c, struct roster *next)
{
	unsigned most = 3 * c->r->n < ROSTER_RING_MAX ? 3 * c->r->n : ROSTER_RING_MAX;

	if (!somebody_waits(c)) {
		c->g->gather = MONO_NEVER;
		return NULL;
	}
	if (!steady(c))
		return NULL;
	if (c->r->n == ROSTER_RING_MAX)
		return make_room(c, next);
	if (c->g->gather.ns == UINT64_MAX)
		c->g->gather = mono_add_ms(c->in->now, GROWTH_GATHER_MS);
	if (mono_before(c->in->now, c->g->gather)) {
		growth_wait(c, "other newcomers that may be just behind");
		return NULL;
	}
	c->g->gather = MONO_NEVER;
	for (unsigned i = 0; i < c->in->n_fact && next->n < most; i++)
		if (candidate(c, &c->in->fact[i]))
			roster_add(next, &c->in->fact[i].id, c->in->fact[i].addr, c->in->fact[i].n_addr);
	return next->n > c->r->n ? "newcomers for the ring" : NULL;
}

void growth_lead(struct growth_ctx *c)
{
	struct roster next = *c->r;
	struct ring_count n = growth_count(c);
	bool wait = false;
	const char *why = want_less(c, &next);

	if (!why)
		why = want_newcomer_in(c, &next, &wait);
	/* The list changes again only when all have loaded the last change. */
	if (!why && (n.active < n.running || (c->mine->running && c->mine->active != c->r->ring_epoch)))
		return;
	if (!why)
		why = want_votes(c, &next);
	if (!why && !wait) {
		why = want_key(c, &next);
		if (!why)
			why = want_move(c, &next);
		if (!why)
			why = want_more(c, &next);
	}
	next.version = c->r->version + 1;
	/* However much of the list changed, it is one new file. */
	if (next.ring_epoch != c->r->ring_epoch)
		next.ring_epoch = c->r->ring_epoch + 1;
	/* A new file has the newest key at once: who is no more in the list does not have it. */
	if (next.ring_epoch != c->r->ring_epoch && c->in->key_epoch)
		next.key_epoch = c->in->key_epoch;
	if (!why || !growth_act(c, GROWTH_PROPOSE, next.version == c->g->proposed ? GROWTH_REPEAT_MS : 0, why))
		return;
	c->g->proposed = next.version;
	c->g->next = next;
	c->act[c->n - 1].roster = &c->g->next;
}
