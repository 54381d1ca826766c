/* SPDX-License-Identifier: Apache-2.0 */
/* Growing and shrinking the ring: from the committed roster and the nodes' own reports to the next act. */
#include "cluster/growth.h"

#include <string.h>

#define REPEAT_MS 1000
#define RELOAD_MS 2000
#define LAG_MS 5000             /* between reload and the report of it */
#define DEAD_SPARE_MS 60000     /* in a full ring a dead spare makes room after this */

/* One step's view of things. */
struct ctx {
	struct growth *g;
	const struct growth_in *in;
	const struct roster *r;
	const struct roster_node *me;           /* NULL: not in the ring */
	const struct growth_fact *mine;
	struct growth_act *act;
	unsigned n;
};

void growth_init(struct growth *g, const struct node_id *self, const struct log *log)
{
	memset(g, 0, sizeof(*g));
	g->self = *self;
	g->log = log;
	g->begun = g->started = g->no_quorum = g->behind = g->newcomer_since = MONO_NEVER;
	for (unsigned i = 0; i < 8; i++)
		g->last_act[i] = MONO_NEVER;
}

static const struct growth_fact *fact_of(const struct growth_in *in, const struct node_id *id)
{
	for (unsigned i = 0; i < in->n_fact; i++)
		if (node_id_eq(&in->fact[i].id, id))
			return &in->fact[i];
	return NULL;
}

static bool in_view(const struct growth_in *in, const struct node_id *id)
{
	for (unsigned i = 0; i < in->agree->n_member; i++)
		if (node_id_eq(&in->agree->member[i].id, id))
			return true;
	return false;
}

static const struct agree_member *view_member(const struct growth_in *in, const struct node_id *id)
{
	for (unsigned i = 0; i < in->agree->n_member; i++)
		if (node_id_eq(&in->agree->member[i].id, id))
			return &in->agree->member[i];
	return NULL;
}

static uint64_t ms_since(const struct ctx *c, struct mono t)
{
	return t.ns == UINT64_MAX ? 0 : mono_ms_between(t, c->in->now);
}

/* The act, unless the same was given a moment ago. */
static bool act(struct ctx *c, enum growth_act_kind kind, unsigned repeat_ms, const char *why)
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

static void wait_for(struct ctx *c, const char *what)
{
	c->g->waiting = what;
}

static void learn(struct ctx *c, const struct node_id *from)
{
	if (node_id_eq(&c->g->learn, from) || c->n == GROWTH_ACTS_MAX)
		return;
	c->g->learn = *from;
	c->act[c->n++] = (struct growth_act){ .kind = GROWTH_LEARN, .node = *from, .why = "follow the log of a member" };
}

static void write_conf(struct ctx *c, const char *why)
{
	if (!act(c, GROWTH_WRITE, c->g->written == c->r->ring_epoch ? REPEAT_MS : 0, why))
		return;
	c->g->written = c->r->ring_epoch;
	c->g->next = *c->r;
	c->act[c->n - 1].roster = &c->g->next;
}

static void stop(struct ctx *c, unsigned hold_ms, const char *why)
{
	if (!act(c, GROWTH_STOP, REPEAT_MS, why))
		return;
	c->g->hold = mono_add_ms(c->in->now, hold_ms);
	c->g->started = c->g->no_quorum = c->g->behind = MONO_NEVER;
}

/* --- what is known of the others --- */

/* The alive node with the newest roster; running members first, then the lowest id. NULL: nobody knows any. */
static const struct growth_fact *newest(const struct ctx *c)
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
static uint64_t newest_file(const struct ctx *c, bool running)
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

struct ring_count {
	unsigned running, stored, active;       /* other living ring nodes whose Corosync runs; with the current file */
	unsigned voters, unheard;               /* living voters, us too; ring nodes of which nothing is known */
};

static struct ring_count count_ring(const struct ctx *c)
{
	struct ring_count n = { 0 };

	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];
		const struct growth_fact *f = fact_of(c->in, &x->id);

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

static void outside(struct ctx *c)
{
	const struct growth_fact *f = newest(c);

	if (c->mine && c->mine->running)
		stop(c, 0, "this node is not in the ring");
	learn(c, f ? &f->id : &NODE_ID_NONE);
	if (!f)
		wait_for(c, "a member that knows the agreed state");
}

static void alone(struct ctx *c)
{
	learn(c, &NODE_ID_NONE);
	if (c->mine->running)
		stop(c, 0, "the ring has shrunk to this node");
	else if (!c->in->agree->local)
		act(c, GROWTH_LOCAL, REPEAT_MS, "this node is the whole ring");
}

/* Not running: may it start? */
static void begin(struct ctx *c)
{
	struct ring_count n = count_ring(c);

	if (c->in->start_failed) {
		unsigned k = c->g->n_failed < 5 ? c->g->n_failed++ : 5;

		c->g->hold = mono_add_ms(c->in->now, 1000u << k);
	}
	if (n.running == 0 && n.unheard && ms_since(c, c->g->begun) < GROWTH_SETTLE_MS) {
		wait_for(c, "the other members to say which file they have");
		return;
	}
	if (n.active < n.running) {
		wait_for(c, "the running members to load the current file");
		if (c->me->role == ROSTER_VOTER && c->mine->stored != c->r->ring_epoch)
			write_conf(c, "store the current file");
		return;
	}
	if (c->me->role == ROSTER_SPARE && n.running == 0) {
		wait_for(c, "a member whose Corosync runs");
		return;
	}
	if (n.voters < roster_majority(c->r) && n.running == 0) {
		wait_for(c, "a majority of the voters to be alive");
		return;
	}
	if (c->mine->stored != c->r->ring_epoch) {
		write_conf(c, "store the current file");
		return;
	}
	if (mono_before(c->in->now, c->g->hold)) {
		wait_for(c, "the time after a failed start");
		return;
	}
	if (act(c, GROWTH_START, RELOAD_MS, "start Corosync"))
		c->g->started = c->in->now;
}

/* The lowest id among the running members in the view reloads for all. */
static bool leads_reload(const struct ctx *c)
{
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct growth_fact *f = fact_of(c->in, &c->r->node[i].id);

		if (f && f->alive && f->running && in_view(c->in, &f->id) && node_id_cmp(&f->id, &c->g->self) < 0)
			return false;
	}
	return true;
}

static void keep_up(struct ctx *c)
{
	struct ring_count n = count_ring(c);
	uint64_t others = newest_file(c, true);

	if (others > c->r->ring_epoch && others > c->mine->stored) {
		stop(c, 500, "the ring has a newer file than this node");
		return;
	}
	if (c->mine->active >= others) {
		c->g->behind = MONO_NEVER;
	} else if (c->g->behind.ns == UINT64_MAX) {
		c->g->behind = c->in->now;
	} else if (ms_since(c, c->g->behind) >= LAG_MS) {
		stop(c, 500, "this node did not load the current file");
		return;
	}
	if (c->mine->stored != c->r->ring_epoch) {
		write_conf(c, "store the current file");
		return;
	}
	if (c->mine->active == c->r->ring_epoch)
		return;
	if (n.stored < n.running)
		wait_for(c, "all running members to store the current file");
	else if (leads_reload(c))
		act(c, GROWTH_RELOAD, RELOAD_MS, "all running members have stored the file: load it");
	else
		wait_for(c, "the reload");
}

/* A ring that does not work: a newcomer gives way at once, a minority until it sees the others again. */
static void give_way(struct ctx *c)
{
	const struct agree_status *st = c->in->agree;
	struct ring_count n = count_ring(c);
	unsigned k;

	if (st->mode == AGREE_ACTIVE && !st->stalled) {
		c->g->no_quorum = MONO_NEVER;
		if (c->me->role == ROSTER_VOTER || ms_since(c, c->g->started) > GROWTH_START_MS)
			c->g->n_failed = 0;
		return;
	}
	if (c->g->no_quorum.ns == UINT64_MAX)
		c->g->no_quorum = c->in->now;
	if (c->me->role == ROSTER_SPARE && n.running && ms_since(c, c->g->no_quorum) >= GROWTH_START_MS) {
		k = c->g->n_failed < 4 ? c->g->n_failed++ : 4;
		stop(c, 5000u << k, "the ring does not work with this newcomer");
	} else if (n.voters < roster_majority(c->r) && ms_since(c, c->g->no_quorum) >= GROWTH_MINORITY_MS) {
		stop(c, 500, "a minority: the others may go on with another file");
	} else if (ms_since(c, c->g->no_quorum) >= GROWTH_STUCK_MS) {
		stop(c, 500 * c->me->nodeid, "the ring does not get quorum although its nodes are alive");
	}
}

static void inside(struct ctx *c)
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
		wait_for(c, "the current roster");
		return;
	}
	begin(c);
}

/* --- the lead's part: the next roster --- */

static bool refused(const struct ctx *c, const struct node_id *id)
{
	for (unsigned i = 0; i < GROWTH_REFUSED_MAX; i++)
		if (node_id_eq(&c->g->refused[i].id, id) && mono_before(c->in->now, c->g->refused[i].until))
			return true;
	return false;
}

static void refuse(struct ctx *c, const struct node_id *id)
{
	unsigned oldest = 0;

	for (unsigned i = 1; i < GROWTH_REFUSED_MAX; i++)
		if (mono_before(c->g->refused[i].until, c->g->refused[oldest].until))
			oldest = i;
	c->g->refused[oldest].id = *id;
	c->g->refused[oldest].until = mono_add_ms(c->in->now, GROWTH_AGAIN_MS);
}

/* For how long it has been seen dead; a node of which nothing is known counts from our own start. */
static uint64_t dead_ms(const struct ctx *c, const struct node_id *id)
{
	const struct growth_fact *f = fact_of(c->in, id);

	if (!f)
		return ms_since(c, c->g->begun);
	return f->alive ? 0 : ms_since(c, f->since);
}

static bool stopped(const struct ctx *c, const struct node_id *id)
{
	const struct growth_fact *f = fact_of(c->in, id);

	if (in_view(c->in, id))
		return false;
	return (f && f->alive && !f->running) || dead_ms(c, id) >= GROWTH_ABSENT_MS;
}

/* A node that must go, or one that has gone. */
static const char *want_less(struct ctx *c, struct roster *next)
{
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];
		const struct growth_fact *f = fact_of(c->in, &x->id);

		if (x->role == ROSTER_LEAVING) {
			if (stopped(c, &x->id) && roster_drop(next, &x->id) == 0)
				return "a node has left the ring";
			continue;
		}
		if (f && !f->wanted && roster_set_role(next, &x->id, ROSTER_LEAVING) == 0)
			return "a node is to leave the ring";
	}
	return NULL;
}

/* The spare that the list has and the view has not; all growth waits for it, for a while. */
static const char *want_newcomer_in(struct ctx *c, struct roster *next, bool *wait)
{
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct roster_node *x = &c->r->node[i];

		if (x->role != ROSTER_SPARE || in_view(c->in, &x->id) || dead_ms(c, &x->id) >= GROWTH_ABSENT_MS)
			continue;
		if (!node_id_eq(&c->g->newcomer, &x->id)) {
			c->g->newcomer = x->id;
			c->g->newcomer_since = c->in->now;
		}
		if (ms_since(c, c->g->newcomer_since) < GROWTH_NEWCOMER_MS) {
			*wait = true;
			continue;
		}
		c->g->newcomer = NODE_ID_NONE;
		refuse(c, &x->id);
		if (roster_set_role(next, &x->id, ROSTER_LEAVING) == 0)
			return "a newcomer did not come in";
	}
	return NULL;
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

static const char *want_move(struct ctx *c, struct roster *next)
{
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct growth_fact *f = fact_of(c->in, &c->r->node[i].id);

		if (f && f->alive && f->n_addr && moved(&c->r->node[i], f) &&
		    roster_move(next, &f->id, f->addr, f->n_addr) == 0)
			return "a node has another address";
	}
	return NULL;
}

/* After a rotation: the ring's key follows. With one node there is no ring. */
static const char *want_key(struct ctx *c, struct roster *next)
{
	return c->in->key_epoch && c->r->n > 1 && roster_rekey(next, c->in->key_epoch) == 0 ? "the cluster has a new key" : NULL;
}

static const char *want_votes(struct ctx *c, struct roster *next)
{
	struct roster_candidate cand[ROSTER_RING_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->r->n; i++) {
		const struct growth_fact *f = fact_of(c->in, &c->r->node[i].id);
		const struct agree_member *m = view_member(c->in, &c->r->node[i].id);

		if (!f)
			continue;
		cand[n++] = (struct roster_candidate){
			.id = f->id, .alive = f->alive, .in_ring = m && m->synced && !m->mute,
			.barred = f->barred || (m && m->mute), .steady_ms = ms_since(c, f->since),
		};
	}
	return roster_choose(c->r, cand, n, next) ? "votes follow the rule" : NULL;
}

static const char *want_more(struct ctx *c, struct roster *next)
{
	const struct growth_fact *pick = NULL;

	/* Who is away for a moment may come back with the old file while the new one is loaded: wait until it is away for good. */
	for (unsigned i = 0; i < c->r->n; i++) {
		const struct node_id *id = &c->r->node[i].id;

		if (!c->in->agree->local && !in_view(c->in, id) && !stopped(c, id)) {
			wait_for(c, "a ring member that is away for a moment");
			return NULL;
		}
	}
	for (unsigned i = 0; i < c->in->n_fact; i++) {
		const struct growth_fact *f = &c->in->fact[i];

		if (f->alive && f->wanted && f->n_addr && !roster_find(c->r, &f->id) && !refused(c, &f->id) &&
		    (!pick || node_id_cmp(&f->id, &pick->id) < 0))
			pick = f;
	}
	if (!pick)
		return NULL;
	if (c->r->n < ROSTER_RING_MAX)
		return roster_add(next, &pick->id, pick->addr, pick->n_addr) == 0 ? "a newcomer for the ring" : NULL;
	for (unsigned i = 0; i < c->r->n; i++)
		if (c->r->node[i].role == ROSTER_SPARE && dead_ms(c, &c->r->node[i].id) >= DEAD_SPARE_MS &&
		    roster_set_role(next, &c->r->node[i].id, ROSTER_LEAVING) == 0)
			return "a dead spare makes room";
	return NULL;
}

static void lead(struct ctx *c)
{
	struct roster next = *c->r;
	struct ring_count n = count_ring(c);
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
	/* A new file has the newest key at once: who is no more in the list does not have it. */
	if (next.ring_epoch != c->r->ring_epoch && c->in->key_epoch)
		next.key_epoch = c->in->key_epoch;
	if (!why || !act(c, GROWTH_PROPOSE, next.version == c->g->proposed ? REPEAT_MS : 0, why))
		return;
	c->g->proposed = next.version;
	c->g->next = next;
	c->act[c->n - 1].roster = &c->g->next;
}

unsigned growth_step(struct growth *g, const struct growth_in *in, struct growth_act acts[GROWTH_ACTS_MAX])
{
	struct ctx c = { g, in, &in->agree->roster, NULL, fact_of(in, &g->self), acts, 0 };
	const struct growth_fact *f;

	if (g->begun.ns == UINT64_MAX)
		g->begun = in->now;
	g->waiting = NULL;
	if (in->agree->has_log)
		c.me = roster_find(c.r, &g->self);
	f = newest(&c);
	if (!c.mine) {
		wait_for(&c, "a report of this node about itself");
	} else if (!c.me || c.me->role == ROSTER_LEAVING) {
		outside(&c);
	} else if (c.r->n == 1 && !(f && f->roster_version > c.r->version)) {
		alone(&c);
	} else {
		inside(&c);
	}
	if (c.mine && c.me && c.n < GROWTH_ACTS_MAX && in->agree->mode == AGREE_ACTIVE && in->agree->sequencer &&
	    !in->agree->roster_pending)
		lead(&c);
	g->wake = mono_add_ms(in->now, c.n || g->waiting ? 250 : 1000);
	return c.n;
}
