/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mirrored volumes under faults: the machines of cluster/own.h and plugins/mirror/machine.h that ship, on nodes
 * that lose power, are paused, cut off, lose their programs and whose disks fail, while clients read and
 * write; then quiet, in which everything must come together. What it checks:
 *
 *   I1, I4  each block's history is linearizable, so no acknowledged write is lost
 *   I2      no answer under an older epoch after one under a newer; no two nodes leased at once, fenced or not
 *   I3      legs are equal in the end; only legs in sync are read (the history shows others)
 *   I8      with all up and quiet the volume is served and every leg gets in sync
 *           what was damaged on a leg that is not read is found by a scrub and repaired, under load
 *   I9      the volume is never served smaller than somebody was told
 *
 *   sim_mirror [--seeds A-B] [--plant N] [--first] [-v]
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/mirror_world.h"

#define GARBAGE 0x40000000u

unsigned sim_plant;
#ifdef DIRECTOR_PLANT
unsigned own_plant, mirror_plant;
#endif

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	world_trace(&s->w, "BROKEN: %s", s->why);
}

struct mono sim_clock(const struct sim *s, unsigned node)
{
	const struct sim_node *n = &s->node[node];

	return (struct mono){ n->skew_ns + s->w.now.ns + (uint64_t)((int64_t)(s->w.now.ns / 1000000) * n->skew_ppm) };
}

bool sim_reach(const struct sim *s, unsigned a, unsigned b)
{
	return a == b || (s->node[a].up && s->node[b].up && s->side[a] == s->side[b]);
}

/* ---- events of a node ---- */

struct post {
	sim_fn *fn;
	size_t size;
	_Alignas(16) uint8_t data[];
};

static void post_run(void *ctx, unsigned node, uint64_t life, void *p)
{
	struct sim *s = ctx;
	struct post *post = p;
	struct sim_node *n = &s->node[node];

	if (!n->up || n->life != life || s->stop)
		return;
	if (mono_before(s->w.now, n->paused)) {
		struct mono when = { n->paused.ns + world_between(&s->w, 0, 3000000) };

		world_at(&s->w, when, post_run, s, node, life, mem_dup(post, sizeof(*post) + post->size));
		return;
	}
	post->fn(s, node, post->data);
}

void sim_post(struct sim *s, unsigned node, uint64_t us, sim_fn *fn, const void *data, size_t size)
{
	struct post *p = mem_zalloc(sizeof(*p) + size);

	p->fn = fn;
	p->size = size;
	if (size)
		memcpy(p->data, data, size);
	world_in_us(&s->w, us, post_run, s, node, s->node[node].life, p);
}

/* ---- clients ---- */

static void hist_add(struct sim *s, unsigned block, bool write, bool ok, uint32_t value, uint64_t from, uint64_t to)
{
	struct sim_hist *h;

	s->hist[block] = mem_grow(s->hist[block], &s->cap_hist[block], s->n_hist[block], sizeof(*h));
	h = &s->hist[block][s->n_hist[block]++];
	*h = (struct sim_hist){ write, ok, value, from, to };
}

static void client_end(struct sim *s, struct sim_client *c, bool ok, const uint32_t *value)
{
	uint64_t to = ok ? s->w.now.ns : UINT64_MAX;

	world_trace(&s->w, "c%u %s %u+%u %s v%u", (unsigned)(c - s->client), c->write ? "write" : "read", c->block, c->n,
		    ok ? "ok" : "in doubt", value ? value[0] : c->value[0]);
	for (unsigned i = 0; i < c->n; i++) {
		if (c->write)
			hist_add(s, c->block + i, true, ok, c->value[i], c->from, to);
		else if (ok)
			hist_add(s, c->block + i, false, true, value[i], c->from, to);
	}
	s->n_ok += ok;
	s->n_lost += !ok;
	c->op = NULL;
	c->number++;
}

void client_answer(struct sim *s, unsigned node, struct sim_op *op, uint64_t epoch)
{
	struct sim_client *c = &s->client[op->client];
	bool ok = op->op.result == 0;

	if (ok) {
		world_trace(&s->w, "n%u answers c%u under %llu", node, op->client, (unsigned long long)epoch);
		if (epoch < s->answered_epoch)
			sim_fail(s, "I2: n%u answers under epoch %llu after one under %llu", node, (unsigned long long)epoch,
				 (unsigned long long)s->answered_epoch);
		s->answered_epoch = epoch;
	}
	s->n_eio += op->op.result == -EIO;
	if (c->op == op)
		client_end(s, c, ok, op->value);
	TAILQ_REMOVE(&s->ops, op, all);
	free(op);
}

/* The client gives up; what it asked for may still happen. */
static void client_tired(void *ctx, unsigned client, uint64_t number, void *p)
{
	struct sim *s = ctx;
	struct sim_client *c = &s->client[client];

	(void)p;
	if (c->op && c->number == number)
		client_end(s, c, false, NULL);
}

static void client_begin(struct sim *s, unsigned client, unsigned node)
{
	struct sim_client *c = &s->client[client];
	struct sim_op *op = mem_zalloc(sizeof(*op));
	unsigned where = (unsigned)rng_below(&s->w.rng, 3);

	c->write = client < SIM_CLIENTS - 3 && world_chance(&s->w, 550);
	c->n = (unsigned)world_between(&s->w, 1, 3);
	/* A few blocks that all want, in the first and in the last page of bits, and some that nobody else does. */
	c->block = (unsigned)(where == 0 ? world_between(&s->w, 0, 6) : where == 1 ? world_between(&s->w, 258, 264) :
		world_between(&s->w, 0, SIM_BLOCKS - 4));
	if (c->block + c->n > s->size_told)
		c->block = (unsigned)(s->size_told - c->n - rng_below(&s->w.rng, 4));
	for (unsigned i = 0; i < c->n; i++)
		op->value[i] = c->value[i] = c->write ? ++s->next_value : 0;
	c->from = s->w.now.ns;
	op->client = client;
	op->node = node;
	op->op.kind = c->write ? MIRROR_WRITE : MIRROR_READ;
	op->op.fua = s->fua;
	op->op.offset = c->block;
	op->op.len = c->n;
	c->op = op;
	TAILQ_INSERT_TAIL(&s->ops, op, all);
	world_in_us(&s->w, 1500000, client_tired, s, client, c->number, NULL);
	if (!target_submit(s, node, op)) {
		c->op = NULL;
		c->number++;
		TAILQ_REMOVE(&s->ops, op, all);
		free(op);
	}
}

static void client_next(void *ctx, unsigned client, uint64_t x, void *p)
{
	struct sim *s = ctx;
	unsigned node = (unsigned)rng_below(&s->w.rng, s->n);
	struct sim_node *n = &s->node[node];

	(void)x;
	(void)p;
	if (s->stop)
		return;
	if (!s->client[client].op && !s->still && n->up && !mono_before(s->w.now, n->paused))
		client_begin(s, client, node);
	world_in_us(&s->w, world_between(&s->w, 200, 60000), client_next, s, client, 0, NULL);
}

/* ---- the check: linearizability of a register with values that are written once ---- */

struct zone {
	uint64_t from, to;              /* the first end and the last begin of a value's operations */
	uint32_t value;
};

static int zone_cmp(const void *a, const void *b)
{
	const struct zone *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static int hist_cmp(const void *a, const void *b)
{
	const struct sim_hist *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return (int)y->write - (int)x->write;
}

/* Forward zones must not overlap, and no backward zone may lie inside a forward one. */
static void check_zones(struct sim *s, unsigned block, struct zone *fwd, unsigned n_fwd, const struct zone *back, unsigned n_back)
{
	qsort(fwd, n_fwd, sizeof(*fwd), zone_cmp);
	for (unsigned i = 1; i < n_fwd; i++)
		if (fwd[i].from < fwd[i - 1].to) {
			sim_fail(s, "I4: block %u: values %u and %u are each seen after the other (%.3f, %.3f)", block, fwd[i - 1].value,
				 fwd[i].value, (double)fwd[i - 1].to / 1e9, (double)fwd[i].from / 1e9);
			return;
		}
	for (unsigned i = 0; i < n_back; i++)
		for (unsigned j = 0; j < n_fwd; j++)
			if (fwd[j].from < back[i].from && back[i].to < fwd[j].to) {
				sim_fail(s, "I1: block %u: value %u was written and gone while %u was seen before and after", block,
					 back[i].value, fwd[j].value);
				return;
			}
}

static void check_block(struct sim *s, unsigned block)
{
	struct sim_hist *h = s->hist[block];
	unsigned n = s->n_hist[block], n_fwd = 0, n_back = 0;
	struct zone *fwd = mem_zalloc((n + 1) * sizeof(*fwd)), *back = mem_zalloc((n + 1) * sizeof(*back));

	qsort(h, n, sizeof(*h), hist_cmp);
	for (unsigned i = 0; i < n && !s->why[0];) {
		uint32_t v = h[i].value;
		uint64_t first_end = UINT64_MAX, last_begin = 0, begun = h[i].from;
		bool written = h[i].write;

		for (; i < n && h[i].value == v; i++) {
			if (h[i].to < first_end)
				first_end = h[i].to;
			if (h[i].from > last_begin)
				last_begin = h[i].from;
			if (!h[i].write && h[i].to < begun)
				sim_fail(s, "I4: block %u: value %u was read before it was written", block, v);
		}
		if (!written)
			sim_fail(s, "I4: block %u: value %u was read and never written there", block, v);
		if (first_end < last_begin)
			fwd[n_fwd++] = (struct zone){ first_end, last_begin, v };
		else if (first_end != UINT64_MAX)
			back[n_back++] = (struct zone){ last_begin, first_end, v };
	}
	check_zones(s, block, fwd, n_fwd, back, n_back);
	free(fwd);
	free(back);
}

/* ---- faults ---- */

static void power_on(void *ctx, unsigned node, uint64_t x, void *p)
{
	struct sim *s = ctx;
	struct sim_node *n = &s->node[node];

	(void)x;
	(void)p;
	if (n->up)
		return;
	world_trace(&s->w, "n%u power on", node);
	n->up = true;
	n->life++;
	n->skew_ns = world_between(&s->w, 0, 1000000000u);
	target_start(s, node);
	own_start(s, node);
	log_change(s);
}

static void power_off(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];

	if (!n->up)
		return;
	world_trace(&s->w, "n%u power off", node);
	own_kill(s, node);
	target_kill(s, node);
	n->up = false;
	n->paused = (struct mono){ 0 };
	leg_power_lost(s, node);
	log_power_lost(s, node);
	log_change(s);
	world_in_us(&s->w, world_between(&s->w, 200000, 7000000), power_on, s, node, 0, NULL);
}

/* Is the leg in sync whatever becomes of what stands in the logs? */
static bool surely_in(const struct sim *s, unsigned leg)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct sim_node *n = &s->node[i];
		struct own_row row = n->row;

		for (unsigned j = n->applied; j < n->log.n; j++) {
			const struct sim_entry *e = &s->entry[n->log.id[j]];

			if (e->change.kind)
				own_apply(&row, &e->change);
			if (row.leg[leg].state != OWN_LEG_IN)
				return false;
		}
		if (row.leg[leg].state != OWN_LEG_IN)
			return false;
	}
	return true;
}

/* Or has it failed what was written, and that is not agreed yet? */
static bool has_failed(const struct sim *s, unsigned leg)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i].t.m && mirror_leg_now(s->node[i].t.m, leg) != MIRROR_USE)
			return true;
	return false;
}

/* Without FUA what is not flushed may be lost with the last leg that has it; then that must not happen. */
static bool may_lose_power(const struct sim *s, unsigned node)
{
	if (s->fua || !s->node[node].leg.exists)
		return true;
	for (unsigned i = 0; i < s->n_legs; i++)
		if (i != node && s->node[i].up && !s->node[i].leg.tainted && surely_in(s, i) && !has_failed(s, i))
			return true;
	return false;
}

static void cut_alone(struct sim *s, unsigned node, void *data)
{
	(void)data;
	if (s->quiet)
		return;
	s->side[node] = 2;
	world_trace(&s->w, "cut: n%u alone", node);
	log_change_in(s, 1000, 20000);
}

static void wanted_back(void *ctx, unsigned node, uint64_t x, void *p)
{
	struct sim_entry e = { .want = sim_id(node) };
	struct sim *s = ctx;

	(void)x;
	(void)p;
	for (unsigned i = 0; i < s->n && !s->quiet; i++)
		if (s->node[i].up && s->node[i].quorate) {
			log_propose(s, i, &e);
			return;
		}
}

static void cut_again(void *ctx, unsigned node, uint64_t x, void *p)
{
	struct sim *s = ctx;

	(void)x;
	(void)p;
	if (s->node[node].up && sim_node_of(&s->node[node].row.owner) == node)
		cut_alone(s, node, NULL);
}

void sim_returns(struct sim *s, unsigned node)
{
	uint64_t us = world_between(&s->w, 100000, 1000000);

	if (node >= s->n_legs)
		return;
	world_in_us(&s->w, us, power_on, s, node, 0, NULL);
	for (unsigned i = 0; i < 4; i++)
		world_in_us(&s->w, us += 1500000, wanted_back, s, node, 0, NULL);
	world_in_us(&s->w, us + world_between(&s->w, 500000, 3000000), cut_again, s, node, 0, NULL);
}

/* Two rights are waited for: that of the owner before, and that of this one. */
void sim_took(struct sim *s, unsigned node)
{
	node_took(s, node);
	if (s->fences && !s->quiet && world_chance(&s->w, 200))
		sim_post(s, node, world_between(&s->w, 0, 200000), cut_alone, NULL, 0);
}

bool sim_switch_off(struct sim *s, unsigned node)
{
	if (s->quiet || !may_lose_power(s, node) || world_chance(&s->w, 100))
		return false;
	s->n_fenced += s->node[node].up;
	power_off(s, node);
	return true;
}

static void target_back(struct sim *s, unsigned node, void *data)
{
	(void)data;
	target_start(s, node);
}

static void own_back(struct sim *s, unsigned node, void *data)
{
	(void)data;
	if (!s->node[node].own_up)
		own_start(s, node);
}

static void disk_well(struct sim *s, unsigned node, void *data)
{
	(void)data;
	s->node[node].leg.broken = false;
}

static void heal(struct sim *s)
{
	memset(s->side, 0, sizeof(s->side));
	log_change(s);
}

static void cut(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++)
		s->side[i] = (unsigned)rng_below(&s->w.rng, 2);
	world_trace(&s->w, "cut: %u%u%u%u%u", s->side[0], s->side[1], s->side[2], s->side[3], s->side[4]);
	if (s->fences && world_chance(&s->w, 700))
		log_change_in(s, 1000, 50000);
	else
		log_change(s);
}

static void move(struct sim *s, unsigned node)
{
	struct sim_entry e = { .want = sim_id((unsigned)rng_below(&s->w.rng, s->n_legs)) };

	log_propose(s, node, &e);
}

static void pause_over(void *ctx, unsigned node, uint64_t x, void *p)
{
	(void)node;
	(void)x;
	(void)p;
	log_change(ctx);
}

/* Blocks that one leg cannot read. Another has them all, or nobody could. */
static void sectors_bad(struct sim *s, unsigned node)
{
	struct sim_leg *l = &s->node[node].leg;

	for (unsigned i = 0; i < s->n_legs; i++)
		for (unsigned b = 0; b < SIM_BLOCKS && i != node; b++)
			if (s->node[i].leg.bad[b])
				return;
	if (!l->exists)
		return;
	world_trace(&s->w, "n%u bad sectors", node);
	for (unsigned i = 0; i < 6; i++)
		l->bad[world_chance(&s->w, 500) ? world_between(&s->w, 0, 6) : rng_below(&s->w.rng, SIM_BLOCKS)] = true;
}

static void resize(struct sim *s)
{
	if (s->size < SIM_BLOCKS)
		s->size += world_between(&s->w, 1, SIM_BLOCKS - s->size);
	world_trace(&s->w, "resize to %llu", (unsigned long long)s->size);
}

static void scrub(struct sim *s)
{
	s->scrub++;
	world_trace(&s->w, "scrub %llu", (unsigned long long)s->scrub);
	for (unsigned i = 0; i < s->n; i++)
		target_scrub(s, i);
}

static void fault(struct sim *s)
{
	unsigned node = (unsigned)rng_below(&s->w.rng, s->n);
	struct sim_node *n = &s->node[node];

	s->faults++;
	switch (rng_below(&s->w.rng, 26)) {
	case 0: case 1: case 2:
		if (may_lose_power(s, node))
			power_off(s, node);
		return;
	case 3:
		if (s->fua && world_chance(&s->w, 300))
			for (unsigned i = 0; i < s->n; i++)
				power_off(s, i);
		return;
	case 4: case 5: case 6:
		if (n->up && !mono_before(s->w.now, n->paused)) {
			world_trace(&s->w, "n%u target killed", node);
			target_kill(s, node);
			sim_post(s, node, world_between(&s->w, 50000, world_chance(&s->w, 300) ? 5000000 : 400000), target_back, NULL, 0);
		}
		return;
	case 7: case 8:
		if (n->up && n->own_up && !mono_before(s->w.now, n->paused)) {
			world_trace(&s->w, "n%u directord killed", node);
			own_kill(s, node);
			sim_post(s, node, world_between(&s->w, 50000, 2000000), own_back, NULL, 0);
		}
		return;
	case 9: case 10: case 11:
		if (n->up) {
			n->paused = mono_add_ms(s->w.now, world_between(&s->w, 100, 5000));
			world_trace(&s->w, "n%u paused for %llu ms", node, (unsigned long long)mono_ms_between(s->w.now, n->paused));
			/* The others see it as gone, and it comes back without having seen anything. */
			if (mono_ms_between(s->w.now, n->paused) > 1000) {
				log_change(s);
				world_at(&s->w, n->paused, pause_over, s, node, 0, NULL);
			}
		}
		return;
	case 12: case 13: case 14:
		cut(s);
		return;
	case 15: case 16:
		heal(s);
		return;
	case 17:
		n->leg.broken = true;
		world_trace(&s->w, "n%u disk broken", node);
		sim_post(s, node, world_between(&s->w, 10000, 1500000), disk_well, NULL, 0);
		return;
	case 18:
		scrub(s);
		return;
	case 24: case 25:
		resize(s);
		return;
	case 19: case 20:
		sectors_bad(s, node);
		return;
	default:
		move(s, node);
		return;
	}
}

static void fault_next(void *ctx, unsigned node, uint64_t x, void *p)
{
	struct sim *s = ctx;

	(void)node;
	(void)x;
	(void)p;
	if (s->quiet)
		return;
	fault(s);
	world_in_us(&s->w, world_between(&s->w, 50000, 2500000), fault_next, s, 0, 0, NULL);
}

/* ---- a run ---- */

static void row_init(struct sim *s, struct own_row *row)
{
	memset(row, 0, sizeof(*row));
	row->uuid[0] = 0x77;
	row->n_leg = s->n_legs;
	for (unsigned i = 0; i < s->n_legs; i++) {
		row->leg[i].uuid[0] = (uint8_t)(i + 1);
		row->leg[i].node = sim_id(i);
		row->leg[i].state = OWN_LEG_IN;
		row->leg[i].turn = row->leg[i].member = 1;
	}
}

static void node_init(struct sim *s, unsigned i)
{
	struct sim_node *n = &s->node[i];

	n->up = true;
	n->life = 1;
	n->skew_ppm = (int64_t)world_between(&s->w, 0, 8000) - 4000;
	n->skew_ns = world_between(&s->w, 0, 5000000000u);
	TAILQ_INIT(&n->t.held);
	row_init(s, &n->row);
	if (i >= s->n_legs)
		return;
	n->leg.exists = n->leg.known = true;
	n->leg.life = 1;
	memcpy(n->leg.uuid, n->row.leg[i].uuid, 16);
	memcpy(n->leg.meta.leg, n->leg.uuid, 16);
	n->leg.meta.life = n->leg.meta.member = 1;
	n->leg.meta.bits = n->leg.meta.quiet = true;
	n->leg.meta.size = SIM_FIRST;
	n->leg.meta.region = SIM_REGION;
	/* Beyond the volume each leg has something else. */
	for (unsigned b = SIM_FIRST; b < SIM_BLOCKS; b++)
		n->leg.now[b] = n->leg.stable[b] = GARBAGE + i;
}

static void begin(struct sim *s, uint64_t seed, bool verbose)
{
	static const unsigned shape[][2] = { { 3, 2 }, { 3, 3 }, { 3, 2 }, { 2, 2 }, { 4, 3 }, { 5, 3 } };
	unsigned k = (unsigned)(seed % ARRAY_LEN(shape));

	memset(s, 0, sizeof(*s));
	world_init(&s->w, seed, verbose);
	s->n = shape[k][0];
	s->n_legs = shape[k][1];
	s->fua = world_chance(&s->w, 400);
	s->slow = world_chance(&s->w, 300);
	s->fences = world_chance(&s->w, 400);
	s->size = s->size_told = SIM_FIRST;
	for (unsigned b = 0; b < SIM_FIRST; b++)
		hist_add(s, b, true, true, 0, 0, 0);
	for (unsigned b = SIM_FIRST; b < SIM_BLOCKS; b++)
		for (unsigned i = 0; i < s->n_legs; i++)
			hist_add(s, b, true, false, GARBAGE + i, 0, UINT64_MAX);
	for (unsigned i = 0; i < s->n; i++)
		node_init(s, i);
	for (unsigned i = 0; i < s->n; i++) {
		target_start(s, i);
		own_start(s, i);
	}
	TAILQ_INIT(&s->ops);
	log_change(s);
	for (unsigned i = 0; i < SIM_CLIENTS; i++)
		world_in_us(&s->w, 100000, client_next, s, i, 0, NULL);
	world_in_us(&s->w, 4000000, fault_next, s, 0, 0, NULL);
}

static void calm(struct sim *s)
{
	s->quiet = true;
	s->slow = false;
	memset(s->side, 0, sizeof(s->side));
	for (unsigned i = 0; i < s->n; i++) {
		s->node[i].paused = (struct mono){ 0 };
		s->node[i].leg.broken = false;
		memset(s->node[i].leg.bad, 0, sizeof(s->node[i].leg.bad));
		power_on(s, i, 0, NULL);
		target_start(s, i);
		if (!s->node[i].own_up)
			own_start(s, i);
	}
	log_change(s);
}

/* On a leg that nobody reads: else a client would see it, and there is no cure for that. */
static void damage(struct sim *s)
{
	const struct own_row *row = &s->node[0].row;

	for (unsigned i = 0; i < s->n_legs; i++) {
		struct sim_leg *l = &s->node[i].leg;

		if (i == sim_node_of(&row->owner) || row->leg[i].state != OWN_LEG_IN)
			continue;
		for (unsigned k = 0; k < 12; k++) {
			unsigned b = (unsigned)(k < 8 ? world_between(&s->w, 0, 6) : rng_below(&s->w.rng, s->size_told));

			if (world_chance(&s->w, 300))
				l->bad[b] = true;
			else
				l->now[b] = l->stable[b] = 0x80000000u | ++s->next_value;
		}
	}
	scrub(s);
}

static void check_scrub(struct sim *s)
{
	const struct sim_target *t = &s->node[sim_node_of(&s->node[0].row.owner)].t;
	const struct mirror_scrub *now = t->m ? mirror_scrub_now(t->m) : NULL;

	s->repaired = now ? now->repaired : 0;
	if (!now || now->number != s->scrub || now->running)
		sim_fail(s, "I8: the scrub does not come to its end");
	else if (now->failed)
		sim_fail(s, "I3: %llu regions could not be repaired", (unsigned long long)now->failed);
}

static void check_legs(struct sim *s)
{
	const struct sim_leg *a = &s->node[0].leg;

	for (unsigned i = 0; i < s->n_legs; i++)
		if (s->node[0].row.leg[i].state != OWN_LEG_IN) {
			sim_fail(s, "I8: leg %u is not in sync in the end", i);
			return;
		}
	for (unsigned i = 1; i < s->n_legs; i++)
		for (unsigned b = 0; b < s->size; b++)
			if (s->node[i].leg.now[b] != a->now[b]) {
				sim_fail(s, "I3: legs 0 and %u differ in block %u: %u, %u", i, b, a->now[b], s->node[i].leg.now[b]);
				return;
			}
}

static void run_end(struct sim *s)
{
	struct sim_op *op;

	for (unsigned i = 0; i < s->n; i++) {
		own_kill(s, i);
		target_kill(s, i);
	}
	while ((op = TAILQ_FIRST(&s->ops)) != NULL) {
		TAILQ_REMOVE(&s->ops, op, all);
		free(op);
	}
	for (unsigned b = 0; b < SIM_BLOCKS; b++) {
		check_block(s, b);
		free(s->hist[b]);
	}
	s->stop = true;
}

static void run(uint64_t seed, bool verbose, struct sim *s)
{
	unsigned ok;

	begin(s, seed, verbose);
	world_run(&s->w, mono_add_ms(s->w.now, 30000));
	calm(s);
	world_run(&s->w, mono_add_ms(s->w.now, 9000));
	ok = s->n_ok;
	world_run(&s->w, mono_add_ms(s->w.now, 3000));
	if (s->size_told < s->size)
		sim_fail(s, "I8: the volume does not get its size");
	if (s->n_ok < ok + 10)
		sim_fail(s, "I8: the volume is not served in the end");
	for (unsigned i = 0; i < 10; i++) {
		damage(s);
		world_run(&s->w, mono_add_ms(s->w.now, 400));
	}
	/* A leg that was out for a while was passed over. */
	world_run(&s->w, mono_add_ms(s->w.now, 1500));
	scrub(s);
	world_run(&s->w, mono_add_ms(s->w.now, 1500));
	s->still = true;
	world_run(&s->w, mono_add_ms(s->w.now, 3000));
	check_scrub(s);
	check_legs(s);
	run_end(s);
	s->trace = s->w.trace;
	world_fini(&s->w);
}

static int usage(void)
{
	fprintf(stderr, "usage: sim_mirror [--seeds A-B] [--plant N] [--first] [-v]\n");
	return 2;
}

static bool plant_set(unsigned plant)
{
	sim_plant = plant;
#ifdef DIRECTOR_PLANT
	static const unsigned own[SIM_PLANT_MAX] = { [SIM_PLANT_ECHO] = OWN_PLANT_NO_ECHO, [SIM_PLANT_WAIT] = OWN_PLANT_NO_WAIT,
		[SIM_PLANT_END] = OWN_PLANT_NO_END, [SIM_PLANT_FENCED] = OWN_PLANT_FENCED, [SIM_PLANT_SILENT] = OWN_PLANT_SILENT };
	static const unsigned mirror[SIM_PLANT_MAX] = { [SIM_PLANT_OUT] = MIRROR_PLANT_NO_OUT,
		[SIM_PLANT_INTENT] = MIRROR_PLANT_NO_INTENT, [SIM_PLANT_EARLY] = MIRROR_PLANT_EARLY_IN,
		[SIM_PLANT_SCRUB] = MIRROR_PLANT_SCRUB, [SIM_PLANT_GROW] = MIRROR_PLANT_GROW };

	if (plant >= SIM_PLANT_MAX)
		return false;
	own_plant = own[plant];
	mirror_plant = mirror[plant];
	return true;
#else
	return plant == 0;
#endif
}

int main(int argc, char **argv)
{
#ifdef __SANITIZE_ADDRESS__
	unsigned long long from = 1, to = 200;          /* 1,000 without sanitizers: ./runtests sim */
#else
	unsigned long long from = 1, to = 1000;
#endif
	unsigned failed = 0, most = 20, plant = 0, ok = 0, lost = 0, eio = 0;
	bool verbose = false;
	uint64_t both = 0, epochs = 0, faults = 0, repaired = 0, fenced = 0;
	struct sim *s = mem_zalloc(sizeof(*s));

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "--first") == 0)
			most = 1;
		else if (strcmp(argv[i], "--plant") == 0 && i + 1 < argc)
			plant = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc && sscanf(argv[++i], "%llu-%llu", &from, &to) >= 1)
			to = strchr(argv[i], '-') ? to : from;
		else
			return usage();
	}
	if (!plant_set(plant))
		return usage();
	for (uint64_t seed = from; seed <= to && failed < most; seed++) {
		run(seed, verbose, s);
		both = both * 31 + s->trace;
		ok += s->n_ok;
		lost += s->n_lost;
		eio += s->n_eio;
		faults += s->faults;
		fenced += s->n_fenced;
		repaired += s->repaired;
		epochs += s->node[0].row.epoch;
		if (!s->why[0])
			continue;
		failed++;
		printf("seed %llu: %s\n  again: tests/sim/sim_mirror%s --seeds %llu -v", (unsigned long long)seed, s->why,
		       plant ? "_planted" : "", (unsigned long long)seed);
		if (plant)
			printf(" --plant %u", plant);
		printf("\n");
	}
	printf("seeds %llu-%llu: %u broken; %llu faults, %llu fenced, %llu owners, %u answered, %u in doubt, %u I/O errors, %llu repaired; "
	       "trace %016llx\n", from, to, failed, (unsigned long long)faults, (unsigned long long)fenced, (unsigned long long)epochs, ok,
	       lost, eio, (unsigned long long)repaired, (unsigned long long)both);
	free(s);
	return failed != 0;
}
