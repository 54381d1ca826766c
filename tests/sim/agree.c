/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole clusters of cluster/agree in one process: seeded faults for a while, then quiet, then everything
 * must work. Every message and every stored row goes through the real codec.
 *
 *   sim_agree [--seeds A-B] [-v] [--calm]
 *   sim_agree_planted --plant N ...     with bug N of cluster/plant.h
 *
 * A failing seed prints what broke and the command that runs it again.
 */
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/agree.h"
#include "cluster/plant.h"
#include "proto/agree.h"
#include "tests/sim/agree_check.h"
#include "tests/sim/cpg.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"

#ifdef DIRECTOR_PLANT
unsigned director_plant;
#endif

#define NODES_MAX 9
#define OPEN_MAX 64

struct held {
	enum { HELD_CAST, HELD_MESH, HELD_VIEW, HELD_STORED } kind;
	unsigned from, n;
	uint8_t *p;
	size_t len;
	unsigned member[CPG_NODES];
	uint64_t seq;
	int err;
};

struct open {
	struct agree_rid rid;
	struct mono asked;
};

struct sim;

struct node {
	struct sim *sim;
	unsigned i;
	struct node_id id;
	bool up, paused;
	uint64_t boot;
	struct agree *agree;
	struct store store;
	struct log log;
	struct mono wake;
	uint64_t wake_gen, pause_gen;
	bool ring, local;               /* what it was told last */
	struct held *held;
	unsigned n_held, held_cap;
	/* the applied state */
	uint64_t count;
	uint8_t hash[AGREE_HASH_LEN];
	enum agree_mode mode;
	struct roster roster;
	uint64_t applied, commit, last, epoch;
	bool sequencer;
	struct open open[OPEN_MAX];
	unsigned n_open;
	struct { uint64_t index; struct agree_chain chain; } *had;      /* durable once, and not cut since */
	bool wiped;
	struct buf wiped_snap;
};

struct sim {
	struct world w;
	struct cpg *cpg;
	struct net net;
	struct check check;
	struct node node[NODES_MAX];
	unsigned n;
	bool faults;                    /* they may still happen */
	unsigned crash, pause, split, stall, io, meshcut, procs; /* per mille and tick */
	unsigned load_ms, pad;
	bool harsh;                     /* three to five voters, and never a quiet second */
	unsigned n_wipes, calm_ticks;
	struct mono end_faults;
	uint64_t next_rid, next_roster;
	struct agree_conf conf;
	uint64_t n_steps;
};

static void node_step(struct node *nd, struct agree_in *in);

/* --- the state machine: a hash over what was applied; odd payloads are refused by it, alike everywhere --- */

static void apply(struct node *nd, const struct agree_entry *e, struct agree_applied *ap)
{
	crypto_generichash_state h;

	ap->index = e->index;
	ap->result = e->kind == AGREE_TXN && e->len && e->payload[0] % 7 == 0 ? ERR_CONFLICT : 0;
	crypto_generichash_init(&h, NULL, 0, sizeof(nd->hash));
	crypto_generichash_update(&h, nd->hash, sizeof(nd->hash));
	crypto_generichash_update(&h, e->rid.b, sizeof(e->rid.b));
	crypto_generichash_update(&h, e->payload, e->len);
#ifdef DIRECTOR_PLANT
	if (PLANTED(PLANT_SKEWED_APPLY) && nd->i == 1 && e->index == 12)
		crypto_generichash_update(&h, (const uint8_t *)"skew", 4);
#endif
	crypto_generichash_final(&h, nd->hash, sizeof(nd->hash));
	nd->count = e->index;
	memcpy(ap->hash, nd->hash, sizeof(ap->hash));
}

static void state_encode(const struct node *nd, struct buf *b)
{
	unsigned pad = nd->sim->pad;

	buf_put(b, &nd->count, sizeof(nd->count));
	buf_put(b, nd->hash, sizeof(nd->hash));
	memset(buf_room(b, pad), (int)(nd->count & 0xff), pad);
	buf_add(b, pad);
}

static void state_decode(struct node *nd, const uint8_t *p, size_t n)
{
	if (n < sizeof(nd->count) + sizeof(nd->hash)) {
		nd->count = 0;
		memset(nd->hash, 0, sizeof(nd->hash));
		return;
	}
	memcpy(&nd->count, p, sizeof(nd->count));
	memcpy(nd->hash, p + sizeof(nd->count), sizeof(nd->hash));
}

/* --- outputs --- */

static struct node *by_id(struct sim *s, const struct node_id *id)
{
	for (unsigned i = 0; i < s->n; i++)
		if (node_id_eq(&s->node[i].id, id))
			return &s->node[i];
	return NULL;
}

static void timer(void *ctx, unsigned i, uint64_t gen, void *p)
{
	struct sim *s = ctx;
	struct node *nd = &s->node[i];

	if (gen != nd->wake_gen || !nd->up)
		return;
	nd->wake = MONO_NEVER;
	if (!nd->paused)
		node_step(nd, &(struct agree_in){ .kind = AGREE_IN_TIMER });
}

static void set_wake(struct node *nd, struct mono wake)
{
	struct sim *s = nd->sim;

	if (wake.ns == nd->wake.ns)
		return;
	nd->wake = wake;
	nd->wake_gen++;
	if (wake.ns != UINT64_MAX)
		world_at(&s->w, wake.ns <= s->w.now.ns ? (struct mono){ s->w.now.ns + 1000 } : wake, timer, s, nd->i,
			 nd->wake_gen, NULL);
}

static void send_out(struct node *nd, const struct agree_out *out)
{
	struct sim *s = nd->sim;
	struct buf b = { 0 };

	for (unsigned i = 0; i < out->n_cast; i++) {
		buf_reset(&b);
		agree_msg_encode(&out->cast[i], &b);
		cpg_cast(s->cpg, nd->i, b.data, b.len);
	}
	for (unsigned i = 0; i < out->n_send; i++) {
		struct node *to = by_id(s, &out->send[i].to);

		world_trace(&s->w, "n%u sends kind %d to n%u", nd->i, out->send[i].msg.kind, to ? to->i : 99);

		buf_reset(&b);
		agree_msg_encode(&out->send[i].msg, &b);
		if (to)
			net_send(&s->net, nd->i, to->i, b.data, b.len);
	}
	buf_fini(&b);
}

static void open_drop(struct node *nd, const struct agree_rid *rid)
{
	for (unsigned i = 0; i < nd->n_open; i++)
		if (memcmp(nd->open[i].rid.b, rid->b, sizeof(rid->b)) == 0) {
			nd->open[i] = nd->open[--nd->n_open];
			return;
		}
}

static void note_status(struct node *nd, const struct agree_status *st)
{
	struct check *c = &nd->sim->check;

	if (st->mode != AGREE_ACTIVE && !st->reason[0])
		check_break(c, "I12: node %u is not active and gives no reason", nd->i);
	if (st->mode == AGREE_DIVERGED && !PLANTED(PLANT_SKEWED_APPLY))
		check_break(c, "I7: node %u says that its state diverged", nd->i);
	if (st->mode != nd->mode)
		world_trace(&nd->sim->w, "n%u %s epoch %llu", nd->i, agree_mode_name(st->mode), (unsigned long long)st->epoch);
	nd->mode = st->mode;
	nd->roster = st->roster;
	nd->applied = st->applied;
	nd->commit = st->commit;
	nd->last = st->last;
	nd->epoch = st->epoch;
	nd->sequencer = st->sequencer;
}

static unsigned long long number_of(const struct agree_rid *rid)
{
	uint64_t n;

	memcpy(&n, rid->b, sizeof(n));
	return n;
}

/* Take one step and do what it says; applying leads to a further step. */
static void node_step(struct node *nd, struct agree_in *in)
{
	struct sim *s = nd->sim;
	struct agree_applied *applied = NULL;
	unsigned n_applied = 0;
	struct agree_out out;
	bool snapshot;

	in->now = s->w.now;
	s->n_steps++;
	agree_step(nd->agree, in, &out);
	if (out.put)
		store_put(&nd->store, out.put);
	if (out.put || out.n_cast || out.n_send || out.n_commit || out.n_reply)
		world_trace(&s->w, "n%u in %d put %llu cast %u send %u commit %u reply %u", nd->i, in->kind,
			    out.put ? (unsigned long long)out.put->seq : 0ull, out.n_cast, out.n_send, out.n_commit,
			    out.n_reply);
	send_out(nd, &out);
	for (unsigned i = 0; i < out.n_reply; i++) {
		world_trace(&s->w, "n%u reply to %llu: %s index %llu%s", nd->i, number_of(&out.reply[i].rid),
			    err_name(out.reply[i].err), (unsigned long long)out.reply[i].index,
			    out.reply[i].in_doubt ? " in doubt" : "");
		check_reply(&s->check, nd->i, &out.reply[i]);
		open_drop(nd, &out.reply[i].rid);
	}
	applied = mem_zalloc((out.n_commit + 1) * sizeof(*applied));
	if (out.install) {
		state_decode(nd, out.install->bytes, out.install->len);
		applied[n_applied].index = out.install->index;
		memcpy(applied[n_applied++].hash, nd->hash, sizeof(nd->hash));
		check_hash(&s->check, nd->i, out.install->index, nd->hash);
	}
	for (unsigned i = 0; i < out.n_commit; i++) {
		world_trace(&s->w, "n%u applies %llu: request %llu", nd->i, (unsigned long long)out.commit[i]->index,
			    number_of(&out.commit[i]->rid));
		check_commit(&s->check, nd->i, out.commit[i]);
		apply(nd, out.commit[i], &applied[n_applied]);
		check_hash(&s->check, nd->i, out.commit[i]->index, nd->hash);
		check_result(&s->check, nd->i, &out.commit[i]->rid, applied[n_applied].result);
		n_applied++;
	}
	snapshot = out.need_snapshot;
	note_status(nd, out.status);
	set_wake(nd, out.wake);
	if (n_applied)
		node_step(nd, &(struct agree_in){ .kind = AGREE_IN_APPLIED, .applied = { applied, n_applied } });
	free(applied);
	if (snapshot) {
		struct buf b = { 0 };

		state_encode(nd, &b);
		node_step(nd, &(struct agree_in){ .kind = AGREE_IN_SNAPSHOT,
						  .snapshot = { nd->count, b.data, (uint32_t)b.len } });
		buf_fini(&b);
	}
}

/* --- inputs from the models; a paused node gets them later, all at once --- */

static void give_view(struct node *nd, bool local, const unsigned *member, unsigned n)
{
	struct node_id id[CPG_NODES];
	char text[64];
	int k = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		id[i] = nd->sim->node[member[i]].id;
		k += snprintf(text + k, sizeof(text) - (size_t)k, " %u", member[i]);
	}
	world_trace(&nd->sim->w, "n%u view%s%s", nd->i, local ? " local" : "", text);
	node_step(nd, &(struct agree_in){ .kind = AGREE_IN_VIEW, .view = { local, id, n } });
}

static void give_bytes(struct node *nd, enum agree_in_kind kind, unsigned from, const uint8_t *p, size_t n)
{
	struct agree_in in = { .kind = kind };
	struct agree_msg msg;

	if (agree_msg_decode(p, n, &msg) < 0) {
		check_break(&nd->sim->check, "a message of node %u does not decode", from);
		return;
	}
	in.msg.from = nd->sim->node[from].id;
	in.msg.msg = &msg;
	node_step(nd, &in);
	agree_msg_fini(&msg);
}

static void give(struct node *nd, struct held *h)
{
	if (!nd->up)
		return;
	switch (h->kind) {
	case HELD_CAST: give_bytes(nd, AGREE_IN_CAST, h->from, h->p, h->len); break;
	case HELD_MESH: give_bytes(nd, AGREE_IN_MESH, h->from, h->p, h->len); break;
	case HELD_VIEW: give_view(nd, false, h->member, h->n); break;
	case HELD_STORED:
		node_step(nd, &(struct agree_in){ .kind = AGREE_IN_STORED, .stored = { h->seq, h->err } });
		break;
	}
}

static void arrive(struct node *nd, struct held *h)
{
	if (!nd->up)
		return;
	if (!nd->paused) {
		give(nd, h);
		return;
	}
	nd->held = mem_grow(nd->held, &nd->held_cap, nd->n_held, sizeof(*nd->held));
	nd->held[nd->n_held] = *h;
	nd->held[nd->n_held++].p = h->len ? mem_dup(h->p, h->len) : NULL;
}

static void held_drop(struct node *nd)
{
	for (unsigned i = 0; i < nd->n_held; i++)
		free(nd->held[i].p);
	nd->n_held = 0;
}

static void on_deliver(void *ctx, unsigned node, unsigned from, const uint8_t *p, size_t n)
{
	struct sim *s = ctx;

	arrive(&s->node[node], &(struct held){ .kind = HELD_CAST, .from = from, .p = (uint8_t *)p, .len = n });
}

static void on_mesh(void *ctx, unsigned node, unsigned from, const uint8_t *p, size_t n)
{
	struct sim *s = ctx;

	arrive(&s->node[node], &(struct held){ .kind = HELD_MESH, .from = from, .p = (uint8_t *)p, .len = n });
}

static void on_view(void *ctx, unsigned node, const unsigned *member, unsigned n)
{
	struct sim *s = ctx;
	struct held h = { .kind = HELD_VIEW, .n = n };

	memcpy(h.member, member, n * sizeof(*member));
	arrive(&s->node[node], &h);
}

static void on_stored(void *ctx, unsigned node, uint64_t seq, int err)
{
	struct sim *s = ctx;

	arrive(&s->node[node], &(struct held){ .kind = HELD_STORED, .seq = seq, .err = err });
}

static const struct cpg_ops cpg_ops = { on_deliver, on_view };

/* For I8: a disk that was wiped held what it held. */
static bool durable(void *ctx, const struct node_id *id, uint64_t index, const struct agree_chain *chain)
{
	struct sim *s = ctx;
	struct node *nd = by_id(s, id);

	return nd && (store_has(&nd->store, index, chain) || nd->wiped);
}

/* --- life of a node --- */

static void sink(void *arg, enum log_level level, const char *line)
{
	struct node *nd = arg;

	world_trace(&nd->sim->w, "n%u %s", nd->i, line);
}

static void start_from_disk(struct node *nd)
{
	struct agree_disk d;

	store_load(&nd->store, &d);
	nd->count = 0;
	memset(nd->hash, 0, sizeof(nd->hash));
	if (d.snap)
		state_decode(nd, d.snap->bytes, d.snap->len);
	node_step(nd, &(struct agree_in){ .kind = AGREE_IN_START, .disk = &d });
	store_unload(&d);
}

static void node_start(struct node *nd)
{
	struct agree_conf conf = nd->sim->conf;

	nd->up = true;
	nd->boot = rng_next(&nd->sim->w.rng) | 1;
	nd->wake = MONO_NEVER;
	nd->ring = nd->local = false;
	nd->mode = AGREE_NO_VIEW;
	conf.self = nd->id;
	conf.boot = nd->boot;
	conf.log = &nd->log;
	nd->agree = agree_new(&conf);
	world_trace(&nd->sim->w, "n%u starts", nd->i);
	start_from_disk(nd);
}

static void node_crash(struct node *nd, bool machine)
{
	struct sim *s = nd->sim;

	if (!nd->up)
		return;
	world_trace(&s->w, "n%u %s", nd->i, machine ? "crashes" : "loses its process");
	nd->up = nd->paused = false;
	nd->pause_gen++;
	nd->wake_gen++;
	if (machine)
		cpg_down(s->cpg, nd->i);
	else
		cpg_leave(s->cpg, nd->i);
	store_crash(&nd->store);
	held_drop(nd);
	for (unsigned i = 0; i < nd->n_open; i++)
		check_lost(&s->check, &nd->open[i].rid);
	nd->n_open = 0;
	agree_free(&nd->agree);
}

static void resume(void *ctx, unsigned i, uint64_t gen, void *p)
{
	struct sim *s = ctx;
	struct node *nd = &s->node[i];

	if (!nd->up || !nd->paused || gen != nd->pause_gen)
		return;
	world_trace(&s->w, "n%u resumes with %u inputs", i, nd->n_held);
	nd->paused = false;
	for (unsigned k = 0; k < nd->n_held && nd->up; k++)
		give(nd, &nd->held[k]);
	held_drop(nd);
	if (nd->up)
		node_step(nd, &(struct agree_in){ .kind = AGREE_IN_TIMER });
}

static void node_pause(struct node *nd, unsigned ms)
{
	if (!nd->up || nd->paused)
		return;
	world_trace(&nd->sim->w, "n%u pauses for %u ms", nd->i, ms);
	nd->paused = true;
	world_in_us(&nd->sim->w, ms * 1000ull, resume, nd->sim, nd->i, ++nd->pause_gen, NULL);
}

/*
 * Who is in the ring follows the newest roster that anybody has committed; the ring's own growth
 * protocol has its tests elsewhere, agreement must be safe whatever view it is given.
 */
static void ring_control(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);

	for (unsigned i = 0; i < s->n; i++) {
		struct node *nd = &s->node[i];
		bool in = roster_find(r, &nd->id) != NULL, local = in && r->n == 1;
		struct agree_in learn = { .kind = AGREE_IN_LEARN };

		if (!nd->up || nd->paused)
			continue;
		if (in && !local) {
			nd->local = false;
			cpg_up(s->cpg, i);
			cpg_join(s->cpg, i);
			nd->ring = true;
			continue;
		}
		if (nd->ring || cpg_is_up(s->cpg, i)) {
			cpg_down(s->cpg, i);
			nd->ring = false;
			give_view(nd, false, NULL, 0);
		}
		if (local && !nd->local) {
			nd->local = true;
			give_view(nd, true, &i, 1);
		}
		if (!in) {
			if (nd->local)
				give_view(nd, false, NULL, 0);
			nd->local = false;
			learn.learn = r->node[rng_below(&s->w.rng, r->n)].id;
			node_step(nd, &learn);
		}
	}
}

/* --- load --- */

static void propose(struct node *nd, const struct agree_rid *rid, enum agree_kind kind, const uint8_t *p, uint32_t len)
{
	struct sim *s = nd->sim;
	struct agree_in in = { .kind = AGREE_IN_PROPOSE };

	if (!nd->up || nd->paused || nd->n_open == OPEN_MAX)
		return;
	for (unsigned i = 0; i < nd->n_open; i++)
		if (memcmp(nd->open[i].rid.b, rid->b, sizeof(rid->b)) == 0)
			return;
	world_trace(&s->w, "n%u is asked %llu", nd->i, number_of(rid));
	check_asked(&s->check, rid);
	nd->open[nd->n_open++] = (struct open){ *rid, s->w.now };
	in.propose.rid = *rid;
	in.propose.kind = kind;
	in.propose.payload = p;
	in.propose.len = len;
	node_step(nd, &in);
}

static struct agree_rid rid_number(uint64_t n)
{
	struct agree_rid rid = { { 0 } };

	memcpy(rid.b, &n, sizeof(n));
	rid.b[15] = 1;
	return rid;
}

/* The same request has the same payload whenever it is asked. */
static void propose_number(struct node *nd, uint64_t number)
{
	struct rng r = { number * 77 + 5 };
	struct agree_rid rid = rid_number(number);
	uint8_t payload[300];
	uint32_t len = 1 + (uint32_t)rng_below(&r, sizeof(payload) - 1);

	for (uint32_t i = 0; i < len; i++)
		payload[i] = (uint8_t)rng_next(&r);
	propose(nd, &rid, AGREE_TXN, payload, len);
}

static bool roster_step(struct sim *s, struct roster *r)
{
	struct node *x = &s->node[rng_below(&s->w.rng, s->n)];
	const struct roster_node *n = roster_find(r, &x->id);
	struct addr addr = { .family = 4, .ip = { 10, 0, 0, (uint8_t)x->i } };

	if (!n)
		return roster_add(r, &x->id, &addr, 1) == 0;
	if (n->role == ROSTER_VOTER)
		return roster_n_voters(r) > 1 && roster_set_role(r, &x->id, world_chance(&s->w, 500) ? ROSTER_SPARE : ROSTER_LEAVING) == 0;
	if (n->role == ROSTER_LEAVING || world_chance(&s->w, 150))
		return roster_drop(r, &x->id) == 0;
	return roster_set_role(r, &x->id, ROSTER_VOTER) == 0;
}

static void propose_roster(struct node *nd)
{
	struct sim *s = nd->sim;
	struct roster r = nd->roster;
	uint8_t packed[ROSTER_PACKED_MAX];
	struct agree_rid rid = rid_number(++s->next_roster | 1ull << 40);

	if (r.n && roster_step(s, &r))
		propose(nd, &rid, AGREE_ROSTER, packed, (uint32_t)roster_pack(&r, packed));
}

/* Bring the harsh world to its voters before the faults begin. */
static bool settled(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);
	struct roster next = *r;
	struct addr addr = { .family = 4, .ip = { 10, 0, 0, 1 } };
	struct agree_rid rid = rid_number(r->version | 1ull << 41);
	uint8_t packed[ROSTER_PACKED_MAX];

	if (!s->harsh || s->calm_ticks > 300 || roster_n_voters(r) == s->n)
		return true;
	s->calm_ticks++;
	for (unsigned i = 0; i < s->n; i++) {
		const struct roster_node *n = roster_find(r, &s->node[i].id);

		if (n && n->role == ROSTER_VOTER)
			continue;
		if (n ? roster_set_role(&next, &n->id, ROSTER_VOTER) : roster_add(&next, &s->node[i].id, &addr, 1))
			return true;
		propose(&s->node[0], &rid, AGREE_ROSTER, packed, (uint32_t)roster_pack(&next, packed));
		return false;
	}
	return true;
}

static void load(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;
	struct node *nd = &s->node[rng_below(&s->w.rng, s->n)];

	if (!s->faults)
		return;
	if (world_chance(&s->w, s->harsh ? 5 : 40))
		propose_roster(nd);
	else if (s->next_rid && world_chance(&s->w, 300))
		propose_number(nd, s->next_rid - rng_below(&s->w.rng, s->next_rid < 20 ? s->next_rid : 20));
	else
		propose_number(nd, ++s->next_rid);
	world_in_us(&s->w, world_between(&s->w, 100, s->load_ms * 2000), load, s, 0, 0, NULL);
}

/* Every proposal is answered in time by a node that runs. */
static void answers_in_time(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct node *nd = &s->node[i];

		if (!nd->up || nd->paused)
			continue;
		for (unsigned k = 0; k < nd->n_open; k++)
			if (mono_ms_between(nd->open[k].asked, s->w.now) > 3000 + 12000)
				check_break(&s->check, "I12: node %u leaves a proposal without answer", i);
	}
}

/* --- faults --- */

static void restart(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	if (!s->node[i].up)
		node_start(&s->node[i]);
}

static void split(struct sim *s)
{
	unsigned side[CPG_NODES] = { 0 }, parts = 1 + (unsigned)rng_below(&s->w.rng, 3);

	for (unsigned i = 0; i < s->n; i++)
		side[i] = (unsigned)rng_below(&s->w.rng, parts);
	world_trace(&s->w, "split in %u", parts);
	cpg_split(s->cpg, side);
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned j = 0; j < s->n; j++)
			s->net.cut[i][j] = side[i] != side[j] || world_chance(&s->w, s->meshcut);
}

static void mend(void *ctx, unsigned i, uint64_t gen, void *p)
{
	struct sim *s = ctx;
	struct node *nd = &s->node[i];

	nd->store.fails = 0;
	if (!nd->up || nd->mode != AGREE_STORE_FAILED)
		return;
	if (nd->paused) {
		node_crash(nd, true);
		restart(s, i, 0, NULL);
		return;
	}
	/* The daemon opens its store again. */
	store_crash(&nd->store);
	start_from_disk(nd);
}

/* The disk of one voter is lost, once in a run, while all others are well. */
static void wipe(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);
	struct node *nd = &s->node[rng_below(&s->w.rng, s->n)];

	if (s->n_wipes || !nd->up || roster_n_voters(r) < 3 || !roster_votes(r, &nd->id) || roster_find(r, &nd->id)->role != ROSTER_VOTER)
		return;
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i].roster.version != r->version || s->node[i].mode != AGREE_ACTIVE)
			return;
	s->n_wipes++;
	world_trace(&s->w, "n%u loses its disk", nd->i);
	node_crash(nd, true);
	store_wipe(&nd->store);
	nd->wiped = true;
	world_in_us(&s->w, world_between(&s->w, 10, 500) * 1000, restart, s, nd->i, 0, NULL);
	/* Those that know most are away while it returns: what only they and it had must still count. */
	for (unsigned k = roster_majority(r) - 1; k > 0; k--) {
		struct node *most = NULL;

		for (unsigned i = 0; i < s->n; i++)
			if (s->node[i].up && roster_votes(r, &s->node[i].id) && (!most || s->node[i].last > most->last))
				most = &s->node[i];
		if (!most)
			break;
		node_crash(most, true);
		world_in_us(&s->w, world_between(&s->w, 2000, 6000) * 1000, restart, s, most->i, 0, NULL);
	}
}

static void power_loss(struct sim *s)
{
	world_trace(&s->w, "power is lost");
	for (unsigned i = 0; i < s->n; i++) {
		node_crash(&s->node[i], true);
		world_in_us(&s->w, world_between(&s->w, 100, 3000) * 1000, restart, s, i, 0, NULL);
	}
}

static void fault(struct sim *s)
{
	struct node *nd = &s->node[rng_below(&s->w.rng, s->n)];

	if (world_chance(&s->w, s->crash)) {
		node_crash(nd, true);
		world_in_us(&s->w, world_between(&s->w, 100, 6000) * 1000, restart, s, nd->i, 0, NULL);
	} else if (world_chance(&s->w, s->procs)) {
		node_crash(nd, false);
		world_in_us(&s->w, world_between(&s->w, 10, 1000) * 1000, restart, s, nd->i, 0, NULL);
	}
	if (world_chance(&s->w, s->pause))
		node_pause(nd, (unsigned)world_between(&s->w, 50, world_chance(&s->w, 300) ? 6000 : 1000));
	if (world_chance(&s->w, s->split))
		split(s);
	if (world_chance(&s->w, s->stall))
		cpg_stall(s->cpg, (unsigned)world_between(&s->w, 100, 4000));
	if (world_chance(&s->w, s->io) && !nd->store.fails) {
		world_trace(&s->w, "n%u store fails", nd->i);
		nd->store.fails = world_chance(&s->w, 500) ? ERR_NOSPC : ERR_IO;
		world_in_us(&s->w, world_between(&s->w, 500, 5000) * 1000, mend, s, nd->i, 0, NULL);
	}
	if (world_chance(&s->w, 2))
		power_loss(s);
	if (world_chance(&s->w, 20))
		wipe(s);
	s->net.loss = world_chance(&s->w, 300) ? (unsigned)rng_below(&s->w.rng, 300) : 0;
	s->net.twice = world_chance(&s->w, 300) ? 100 : 0;
}

static void every_100ms(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	if (s->faults && s->node[0].store.snap.len && settled(s))
		fault(s);
	ring_control(s);
	answers_in_time(s);
	if (!s->check.broken[0])
		world_in_us(&s->w, 100000, every_100ms, s, 0, 0, NULL);
}

/* --- one run --- */

static void choose(struct sim *s, bool quiet_only)
{
	struct world *w = &s->w;
	bool calm = quiet_only || world_chance(w, 100);

	s->n = 1 + (unsigned)rng_below(&w->rng, world_chance(w, 200) ? NODES_MAX : 5);
	s->crash = calm ? 0 : (unsigned)rng_below(&w->rng, 40);
	s->procs = calm ? 0 : (unsigned)rng_below(&w->rng, 30);
	s->pause = calm ? 0 : (unsigned)rng_below(&w->rng, 40);
	s->split = calm ? 0 : (unsigned)rng_below(&w->rng, 40);
	s->stall = calm ? 0 : (unsigned)rng_below(&w->rng, 20);
	s->io = calm ? 0 : (unsigned)rng_below(&w->rng, 20);
	s->harsh = !calm && w->seed % 4 == 0;
	s->meshcut = world_chance(w, 300) ? 200 : 0;
	s->load_ms = (unsigned)world_between(w, 10, 200);
	s->pad = world_chance(w, 50) ? 700000 : (unsigned)rng_below(&w->rng, 200);
	s->conf.keep_entries = (unsigned)world_between(w, 3, 60);
	s->conf.snap_entries = (unsigned)world_between(w, 5, 200);
	if (s->harsh) {
		s->n = 3 + (unsigned)rng_below(&w->rng, 3);
		s->crash = s->split = 60;
		s->procs = s->pause = 40;
		s->load_ms = (unsigned)world_between(w, 2, 30);
	}
	for (unsigned i = 0; i < s->n; i++)
		s->node[i].store.sync_us = (unsigned)world_between(w, 500, world_chance(w, 100) ? 60000 : 5000);
}

static void found(struct sim *s)
{
	struct agree_snap snap = { 0 };
	struct addr addr = { .family = 4, .ip = { 10, 0, 0, 0 } };
	struct buf b = { 0 };

	roster_found(&snap.roster, &s->node[0].id, &addr, 1);
	memcpy(snap.lineage, &s->w.seed, sizeof(s->w.seed));
	snap.lineage[15] = 7;
	s->node[0].count = 1;
	state_encode(&s->node[0], &b);
	snap.bytes = b.data;
	snap.len = (uint32_t)b.len;
	check_found(&s->check, &snap.roster);
	node_step(&s->node[0], &(struct agree_in){ .kind = AGREE_IN_FOUND, .found = &snap });
	buf_fini(&b);
}

/* After the faults: whole again, and everything asked is answered. */
static void heal(struct sim *s)
{
	unsigned one[CPG_NODES] = { 0 };

	world_trace(&s->w, "healed");
	s->faults = false;
	cpg_stall(s->cpg, 0);
	net_heal(&s->net);
	cpg_split(s->cpg, one);
	for (unsigned i = 0; i < s->n; i++) {
		resume(s, i, s->node[i].pause_gen, NULL);
		restart(s, i, 0, NULL);
		s->node[i].store.sync_us = 1000;
		s->node[i].store.steady = true;
		mend(s, i, 0, NULL);
	}
}

static void all_alike(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);

	for (unsigned i = 0; i < s->n; i++) {
		struct node *nd = &s->node[i];
		bool in = roster_find(r, &nd->id) != NULL;

		if (in && nd->mode != AGREE_ACTIVE)
			check_break(&s->check, "I8: node %u is %s with all well", i, agree_mode_name(nd->mode));
		if (nd->applied != s->check.n_entry - 1)
			check_break(&s->check, "I8: node %u has applied %llu of %u entries with all well", i,
				    (unsigned long long)nd->applied, s->check.n_entry - 1);
		if (nd->n_open)
			check_break(&s->check, "I12: node %u has %u proposals without answer", i, nd->n_open);
	}
	if (s->check.acked > s->check.n_entry - 1)
		check_break(&s->check, "I7: an acknowledged entry is gone");
}

static void last_words(struct sim *s)
{
	unsigned ok = s->check.n_ok;

	for (unsigned i = 0; i < s->n; i++)
		propose_number(&s->node[i], ++s->next_rid);
	world_run(&s->w, mono_add_ms(s->w.now, 4000));
	if (s->check.n_ok != ok + s->n)
		check_break(&s->check, "I8: %u of %u proposals succeed with all well", s->check.n_ok - ok, s->n);
}

struct result {
	uint64_t trace, n_steps;
	unsigned entries, ok, refused, doubt, rosters;
	char broken[300];
};

static void run(uint64_t seed, bool verbose, bool quiet_only, struct result *res)
{
	struct sim *s = mem_zalloc(sizeof(*s));

	world_init(&s->w, seed, verbose);
	check_init(&s->check, &s->w);
	s->check.durable = durable;
	s->check.ctx = s;
	s->cpg = cpg_new(&s->w, &cpg_ops, s);
	s->net = (struct net){ .w = &s->w, .deliver = on_mesh, .ctx = s, .delay_us = 2000 };
	for (unsigned i = 0; i < NODES_MAX; i++) {
		struct node *nd = &s->node[i];
		uint8_t key[32] = { (uint8_t)i, (uint8_t)seed };

		nd->sim = s;
		nd->i = i;
		nd->id = node_id_of_key(key);
		nd->wake = MONO_NEVER;
		nd->log = (struct log){ .sink = sink, .arg = nd, .level = LOG_LEVEL_INFO };
		store_init(&nd->store, &s->w, i);
		nd->store.stored = on_stored;
		nd->store.ctx = s;
	}
	choose(s, quiet_only);
	s->w.n_limit = 400000;
	s->faults = true;
	for (unsigned i = 0; i < s->n; i++)
		node_start(&s->node[i]);
	found(s);
	world_in_us(&s->w, 1000, every_100ms, s, 0, 0, NULL);
	world_in_us(&s->w, 500000, load, s, 0, 0, NULL);
	world_run(&s->w, mono_add_ms(s->w.now, world_between(&s->w, 5000, 20000)));
	heal(s);
	world_run(&s->w, mono_add_ms(s->w.now, 20000));
	if (s->w.n_run >= s->w.n_limit)
		check_break(&s->check, "I8: %llu events and no end", (unsigned long long)s->w.n_run);
	if (!s->check.broken[0])
		last_words(s);
	if (!s->check.broken[0])
		all_alike(s);
	res->trace = s->w.trace;
	res->n_steps = s->n_steps;
	res->entries = s->check.n_entry;
	res->ok = s->check.n_ok;
	res->refused = s->check.n_refused;
	res->doubt = s->check.n_doubt;
	res->rosters = s->check.n_roster;
	memcpy(res->broken, s->check.broken, sizeof(res->broken));
	for (unsigned i = 0; i < NODES_MAX; i++) {
		agree_free(&s->node[i].agree);
		held_drop(&s->node[i]);
		free(s->node[i].held);
		store_fini(&s->node[i].store);
	}
	cpg_free(&s->cpg);
	check_fini(&s->check);
	world_fini(&s->w);
	free(s);
}

static int usage(void)
{
	fprintf(stderr, "usage: sim_agree [--seeds A-B] [--calm] [--plant N] [-v]\n");
	return 2;
}

int main(int argc, char **argv)
{
#ifdef __SANITIZE_ADDRESS__
	unsigned long long from = 1, to = 200;  /* five times slower */
#else
	unsigned long long from = 1, to = 1000;
#endif
	bool verbose = false, calm = false;
	unsigned plant = 0, failed = 0;
	struct result sum = { 0 };
	uint64_t both = 0;

	if (sodium_init() < 0)
		return 1;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "--calm") == 0)
			calm = true;
		else if (strcmp(argv[i], "--plant") == 0 && i + 1 < argc)
			plant = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc && sscanf(argv[i + 1], "%llu-%llu", &from, &to) >= 1) {
			if (!strchr(argv[++i], '-'))
				to = from;
		} else {
			return usage();
		}
	}
#ifdef DIRECTOR_PLANT
	director_plant = plant;
#else
	if (plant)
		return usage();
#endif
	for (uint64_t seed = from; seed <= to; seed++) {
		struct result r, again;

		run(seed, verbose, calm, &r);
		both = both * 31 + r.trace;
		sum.n_steps += r.n_steps;
		sum.entries += r.entries;
		sum.ok += r.ok;
		sum.refused += r.refused;
		sum.doubt += r.doubt;
		sum.rosters += r.rosters;
		if (!r.broken[0] && seed % 100 == 0) {
			run(seed, false, calm, &again);
			if (again.trace != r.trace)
				snprintf(r.broken, sizeof(r.broken), "the seed does not replay: trace %016llx and %016llx",
					 (unsigned long long)r.trace, (unsigned long long)again.trace);
		}
		if (!r.broken[0])
			continue;
		failed++;
		printf("seed %llu: %s\n  again: tests/sim/sim_agree%s --seeds %llu-%llu -v%s", (unsigned long long)seed, r.broken,
		       plant ? "_planted" : "", (unsigned long long)seed, (unsigned long long)seed, calm ? " --calm" : "");
		if (plant)
			printf(" --plant %u", plant);
		printf("\n");
		if (failed >= 5)
			break;
	}
	printf("seeds %llu-%llu: %u broken; %llu steps, %u entries (%u rosters), %u answered, %u refused (%u in doubt); trace %016llx\n",
	       from, to, failed, (unsigned long long)sum.n_steps, sum.entries, sum.rosters, sum.ok, sum.refused, sum.doubt,
	       (unsigned long long)both);
	return failed != 0;
}
