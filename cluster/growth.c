/* SPDX-License-Identifier: Apache-2.0 */
/* Growing and shrinking the ring, each node's own part: from the committed roster and the nodes' reports to its next act. */
#include <string.h>

#include "cluster/growth_int.h"

#define RELOAD_MS 2000
#define LAG_MS 5000             /* between reload and the report of it */

void growth_init(struct growth *g, const struct node_id *self, const struct log *log)
{
	memset(g, 0, sizeof(*g));
	g->self = *self;
	g->log = log;
	g->begun = g->started = g->no_quorum = g->behind = g->gather = MONO_NEVER;
	for (unsigned i = 0; i < 8; i++)
		g->last_act[i] = MONO_NEVER;
}

const struct growth_fact *growth_fact_of(const struct growth_ctx *c, const struct node_id *id)
{
	for (unsigned i = 0; i < c->in->n_fact; i++)
		if (node_id_eq(&c->in->fact[i].id, id))
			return &c->in->fact[i];
	return NULL;
}

const struct agree_member *growth_member(const struct growth_ctx *c, const struct node_id *id)
{
	for (unsigned i = 0; i < c->in->agree->n_member; i++)
		if (node_id_eq(&c->in->agree->member[i].id, id))
			return &c->in->agree->member[i];
	return NULL;
}

uint64_t growth_ms_since(const struct growth_ctx *c, struct mono t)
{
	return t.ns == UINT64_MAX ? 0 : mono_ms_between(t, c->in->now);
}

bool growth_act(struct growth_ctx *c, enum growth_act_kind kind, unsigned repeat_ms, const char *why)
{
	struct growth_act *x = &c->act[c->n];
	struct mono last = c->g->last_act[kind];

	if (c->n == GROWTH_ACTS_MAX || (last.ns != UINT64_MAX && mono_ms_between(last, c->in->now) < repeat_ms))
		return false;
	memset(x, 0, sizeof(*x));
	x->kind = kind;
	x->why = why;
	c->n++;
	c->g->last_act[kind] = c->in->now;
	log_info(c->g->log, "growth: %s", why);
	return true;
}

void growth_wait(struct growth_ctx *c, const char *what)
{
	c->g->waiting = what;
}

static void learn(struct growth_ctx *c, const struct node_id *from)
{
	if (node_id_eq(&c->g->learn, from) || c->n == GROWTH_ACTS_MAX)
		return;
	c->g->learn = *from;
	c->act[c->n++] = (struct growth_act){ .kind = GROWTH_LEARN, .node = *from, .why = "follow the log of a member" };
}

static void write_conf(struct growth_ctx *c, const char *why)
{
	if (!growth_act(c, GROWTH_WRITE, c->g->written == c->r->ring_epoch ? GROWTH_REPEAT_MS : 0, why))
		return;
	c->g->written = c->r->ring_epoch;
	c->g->next = *c->r;
	c->act[c->n - 1].roster = &c->g->next;
}

static void stop(struct growth_ctx *c, unsigned hold_ms, const char *why)
{
	if (!growth_act(c, GROWTH_STOP, GROWTH_REPEAT_MS, why))
		return;
	c->g->hold = mono_add_ms(c->in->now, hold_ms);
	c->g->started = c->g->no_quorum = c->g->behind = MONO_NEVER;
}

/* --- what is known of the others --- */

/* The alive node with the newest roster; running members first, then the lowest id. NULL: nobody knows any. */
static const struct growth_fact *newest(const struct growth_ctx *c)
{
	const struct growth_fact *best = NULL;

	for (unsigned i = 0; i < c->in->n_fact; i++) {
		const struct growth_fact *f = &c->in->fact[i];

		if (!f->alive || f->roster_version == 0 || node_id_eq(&f->id, &c->g->self))
			continue;
		if (!best || f->roster_version > best->roster_version ||
		    (f->roster_version == best->roster_version && f->running && !best->running))
			best = f;
	}
	return best;
}

/* The newest file that a living node has stored, or runs. */
static uint64_t newest_file(const struct growth_ctx *c, bool running)
{
	uint64_t epoch = 0;

	for (unsigned i = 0; i < c->in->n_fact; i++) {
		const struct growth_fact *f = &c->in->fact[i];
		uint64_t e = running ? f->active : f->stored;

		if (f->alive && (!running || f->running) && !node_id_eq(&f->id, &c->g->self) && e > epoch)
			epoch = e;
	}
	return epoch;
}

struct ring_count growth_count(const struct growth_ctx *c)
{
	struct ring_count n = { 0 };

	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];
		const struct growth_fact *f = growth_fact_of(c, &x->id);

		if (!f)
			n.unheard++;
		if (!f || !f->alive)
			continue;
		n.voters += x->role == ROSTER_VOTER;
		if (!f->running || node_id_eq(&x->id, &c->g->self))
			continue;
		n.running++;
		n.stored += f->stored >= c->r->ring_epoch;
		n.active += f->active >= c->r->ring_epoch;
	}
	return n;
}

/* --- one node's own part --- */

static void outside(struct growth_ctx *c)
{
	const struct growth_fact *f = newest(c);

	if (c->mine && c->mine->running)
		stop(c, 0, "this node is not in the ring");
	learn(c, f ? &f->id : &NODE_ID_NONE);
	if (!f)
		growth_wait(c, "a member that knows the agreed state");
}

static void alone(struct growth_ctx *c)
{
	learn(c, &NODE_ID_NONE);
	if (c->mine->running)
		stop(c, 0, "the ring has shrunk to this node");
	else if (!c->in->agree->local)
		growth_act(c, GROWTH_LOCAL, GROWTH_REPEAT_MS, "this node is the whole ring");
}

/* Not running: may it start? */
static void begin(struct growth_ctx *c)
{
	struct ring_count n = growth_count(c);

	if (c->in->start_failed) {
		unsigned k = c->g->n_failed < 5 ? c->g->n_failed++ : 5;

		c->g->hold = mono_add_ms(c->in->now, 1000u << k);
	}
	if (n.running == 0 && n.unheard && growth_ms_since(c, c->g->begun) < GROWTH_SETTLE_MS) {
		growth_wait(c, "the other members to say which file they have");
		return;
	}
	if (n.active < n.running) {
		growth_wait(c, "the running members to load the current file");
		if (c->me->role == ROSTER_VOTER && c->mine->stored != c->r->ring_epoch)
			write_conf(c, "store the current file");
		return;
	}
	if (c->me->role == ROSTER_SPARE && n.running == 0) {
		growth_wait(c, "a member whose Corosync runs");
		return;
	}
	if (n.voters < roster_majority(c->r) && n.running == 0) {
		growth_wait(c, "a majority of the voters to be alive");
		return;
	}
	if (c->mine->stored != c->r->ring_epoch) {
		write_conf(c, "store the current file");
		return;
	}
	if (mono_before(c->in->now, c->g->hold)) {
		growth_wait(c, "the time after a failed start");
		return;
	}
	if (growth_act(c, GROWTH_START, RELOAD_MS, "start Corosync"))
		c->g->started = c->in->now;
}

/* The lowest id among the running members in the view reloads for all. */
static bool leads_reload(const struct growth_ctx *c)
{
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct growth_fact *f = growth_fact_of(c, &c->r->node[i].id);

		if (f && f->alive && f->running && growth_member(c, &f->id) && node_id_cmp(&f->id, &c->g->self) < 0)
			return false;
	}
	return true;
}

static void keep_up(struct growth_ctx *c)
{
	struct ring_count n = growth_count(c);
	uint64_t others = newest_file(c, true);

	if (others > c->r->ring_epoch && others > c->mine->stored) {
		stop(c, 500, "the ring has a newer file than this node");
		return;
	}
	if (c->mine->active >= others) {
		c->g->behind = MONO_NEVER;
	} else if (c->g->behind.ns == UINT64_MAX) {
		c->g->behind = c->in->now;
	} else if (growth_ms_since(c, c->g->behind) >= LAG_MS) {
		stop(c, 500, "this node did not load the current file");
		return;
	}
	/* What we report as running is what was stored at the start; so nothing else is stored before that is sure. */
	if (c->in->unsure && growth_ms_since(c, c->g->started) < LAG_MS) {
		growth_wait(c, "our Corosync to say which file it has");
		return;
	}
	if (c->mine->stored != c->r->ring_epoch) {
		write_conf(c, "store the current file");
		return;
	}
	if (c->mine->active == c->r->ring_epoch)
		return;
	if (n.stored < n.running)
		growth_wait(c, "all running members to store the current file");
	else if (leads_reload(c))
		growth_act(c, GROWTH_RELOAD, RELOAD_MS, "all running members have stored the file: load it");
	else
		growth_wait(c, "the reload");
}

/* A ring that does not work: a newcomer gives way at once, a minority until it sees the others again. */
static void give_way(struct growth_ctx *c)
{
	const struct agree_status *st = c->in->agree;
	struct ring_count n = growth_count(c);
	unsigned k;

	if (st->mode == AGREE_ACTIVE && !st->stalled) {
		c->g->no_quorum = MONO_NEVER;
		if (c->me->role == ROSTER_VOTER || growth_ms_since(c, c->g->started) > GROWTH_START_MS)
			c->g->n_failed = 0;
		return;
	}
	if (c->g->no_quorum.ns == UINT64_MAX)
		c->g->no_quorum = c->in->now;
	if (c->me->role == ROSTER_SPARE && n.running && growth_ms_since(c, c->g->no_quorum) >= GROWTH_START_MS) {
		k = c->g->n_failed < 4 ? c->g->n_failed++ : 4;
		stop(c, 5000u << k, "the ring does not work with this newcomer");
	} else if (n.voters < roster_majority(c->r) && growth_ms_since(c, c->g->no_quorum) >= GROWTH_MINORITY_MS) {
		stop(c, 500, "a minority: the others may go on with another file");
	} else if (growth_ms_since(c, c->g->no_quorum) >= GROWTH_STUCK_MS) {
		stop(c, 500 * c->me->nodeid, "the ring does not get quorum although its nodes are alive");
	}
}

static void inside(struct growth_ctx *c)
{
	const struct growth_fact *f = newest(c);
	bool behind = f && (f->roster_version > c->r->version || newest_file(c, false) > c->r->ring_epoch);

	if (c->mine->running) {
		learn(c, &NODE_ID_NONE);
		give_way(c);
		if (c->n == 0)
			keep_up(c);
		return;
	}
	c->g->no_quorum = c->g->behind = MONO_NEVER;
	learn(c, f ? &f->id : &NODE_ID_NONE);
	if (behind) {
		growth_wait(c, "the current roster");
		return;
	}
	begin(c);
}

unsigned growth_step(struct growth *g, const struct growth_in *in, struct growth_act acts[GROWTH_ACTS_MAX])
{
	struct growth_ctx c = { g, in, &in->agree->roster, NULL, NULL, acts, 0 };
	const struct growth_fact *f;

	if (g->begun.ns == UINT64_MAX)
		g->begun = in->now;
	g->waiting = NULL;
	c.mine = growth_fact_of(&c, &g->self);
	if (in->agree->has_log)
		c.me = roster_find(c.r, &g->self);
	f = newest(&c);
	if (!c.mine) {
		growth_wait(&c, "a report of this node about itself");
	} else if (!c.me || c.me->role == ROSTER_LEAVING) {
		outside(&c);
	} else if (c.r->n == 1 && !(f && f->roster_version > c.r->version)) {
		alone(&c);
	} else {
		inside(&c);
	}
	if (c.mine && c.me && c.n < GROWTH_ACTS_MAX && in->agree->mode == AGREE_ACTIVE && in->agree->sequencer &&
	    !in->agree->roster_pending)
		growth_lead(&c);
	g->wake = mono_add_ms(in->now, c.n || g->waiting ? 250 : 1000);
	/* Gathered already, and something else is in the way: that has its own time. */
	if (mono_before(in->now, g->gather))
		g->wake = mono_min(g->wake, g->gather);
	return c.n;
}
