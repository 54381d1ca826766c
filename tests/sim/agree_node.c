/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a simulated cluster. Every message and every stored row goes through the real codec. */
#include "tests/sim/agree_node.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/plant.h"
#include "proto/agree.h"

#ifdef DIRECTOR_PLANT
unsigned director_plant;
#endif

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

		world_detail(&s->w, "n%u sends kind %d to n%u", nd->i, out->send[i].msg.kind, to ? to->i : 99);

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
void node_step(struct node *nd, struct agree_in *in)
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
		world_detail(&s->w, "n%u in %d put %llu cast %u send %u commit %u reply %u", nd->i, in->kind,
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
	node_step(nd, &(struct agree_in){ .kind = AGREE_IN_START, .disk = &d });
	store_unload(&d);
}

void node_reopen(struct node *nd)
{
	store_crash(&nd->store);
	start_from_disk(nd);
}

void node_start(struct node *nd)
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

void node_crash(struct node *nd, bool machine)
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

void node_resume(struct node *nd)
{
	if (!nd->up || !nd->paused)
		return;
	world_trace(&nd->sim->w, "n%u resumes with %u inputs", nd->i, nd->n_held);
	nd->paused = false;
	for (unsigned k = 0; k < nd->n_held && nd->up; k++)
		give(nd, &nd->held[k]);
	held_drop(nd);
	if (nd->up)
		node_step(nd, &(struct agree_in){ .kind = AGREE_IN_TIMER });
}

static void resume(void *ctx, unsigned i, uint64_t gen, void *p)
{
	struct sim *s = ctx;

	if (gen == s->node[i].pause_gen)
		node_resume(&s->node[i]);
}

void node_pause(struct node *nd, unsigned ms)
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
void sim_ring_control(struct sim *s)
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
			cpg_up(s->cpg, i, 0);
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

/* --- asking, founding --- */

void node_propose(struct node *nd, const struct agree_rid *rid, enum agree_kind kind, const uint8_t *p, uint32_t len)
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

struct agree_rid rid_number(uint64_t n)
{
	struct agree_rid rid = { { 0 } };

	memcpy(rid.b, &n, sizeof(n));
	rid.b[15] = 1;
	return rid;
}

/* The same request has the same payload whenever it is asked. */
void node_propose_number(struct node *nd, uint64_t number)
{
	struct rng r = { number * 77 + 5 };
	struct agree_rid rid = rid_number(number);
	uint8_t payload[300];
	uint32_t len = 1 + (uint32_t)rng_below(&r, sizeof(payload) - 1);

	for (uint32_t i = 0; i < len; i++)
		payload[i] = (uint8_t)rng_next(&r);
	node_propose(nd, &rid, AGREE_TXN, payload, len);
}

void node_propose_roster(struct node *nd, const struct agree_rid *rid, const struct roster *r)
{
	uint8_t packed[ROSTER_PACKED_MAX];

	node_propose(nd, rid, AGREE_ROSTER, packed, (uint32_t)roster_pack(r, packed));
}

void sim_found(struct sim *s)
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

struct sim *sim_new(uint64_t seed, bool verbose)
{
	struct sim *s = mem_zalloc(sizeof(*s));

	world_init(&s->w, seed, verbose);
	s->w.n_limit = 400000;
	check_init(&s->check, &s->w);
	s->check.durable = durable;
	s->check.ctx = s;
	s->cpg = cpg_new(&s->w, &cpg_ops, s);
	s->net = (struct net){ .w = &s->w, .deliver = on_mesh, .ctx = s, .delay_us = NET_DELAY_US };
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
	return s;
}

void sim_free(struct sim **ps)
{
	struct sim *s = *ps;

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
	*ps = NULL;
}
