/* SPDX-License-Identifier: Apache-2.0 */
/* A node's director-target: the mirror machine, its lease, its sessions to legs; and the leg that others reach. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/mirror_world.h"

static void run_mirror(struct sim *s, unsigned node);

/* ---- the leg's side ---- */

static void leg_effect(struct sim *s, unsigned node, struct sim_wire *w)
{
	struct sim_leg *l = &s->node[node].leg;

	switch (w->kind) {
	case MIRROR_IO_READ:
		memcpy(w->data, l->now + w->offset, w->len * sizeof(w->data[0]));
		return;
	case MIRROR_IO_WRITE:
		for (uint64_t i = 0; i < w->len; i++) {
			l->now[w->offset + i] = w->data[i];
			l->dirty[w->offset + i] = !w->fua;
			if (w->fua)
				l->stable[w->offset + i] = w->data[i];
			l->bad[w->offset + i] = false;
		}
		return;
	case MIRROR_IO_FLUSH:
		memcpy(l->stable, l->now, sizeof(l->now));
		memset(l->dirty, 0, sizeof(l->dirty));
		return;
	case MIRROR_IO_META:
		l->meta = w->meta;
		l->known = true;
		l->tainted = false;
		return;
	case MIRROR_IO_SUM:
		/* The values themselves stand for digests: one block is one group. */
		memset(w->sum, 0, sizeof(w->sum));
		for (uint64_t i = 0; i < w->len; i++)
			memcpy(w->sum + i * MIRROR_SUM, &l->now[w->offset + i], sizeof(uint32_t));
		return;
	case MIRROR_IO_PAGE:
		memcpy((uint8_t *)l->bits + w->page * SIM_PAGE, w->bits, SIM_PAGE);
		return;
	}
}

static void answer(struct sim *s, unsigned node, void *data);

static void leg_reply(struct sim *s, struct sim_wire *w, int result)
{
	w->result = result;
	if (sim_reach(s, w->at, w->owner))
		sim_post(s, w->owner, w->at == w->owner ? 5 : world_between(&s->w, 50, 1500), answer, w, sizeof(*w));
}

static int leg_may(const struct sim *s, const struct sim_leg *l, const struct sim_wire *w)
{
	if (!l->exists || !s->node[w->at].t.up)
		return -ENODEV;
	if (w->epoch < l->fence && sim_plant != SIM_PLANT_FENCE)
		return -ESTALE;
	/* A later login of the same owner has ended this session. */
	if (!w->claim && l->session[w->owner] != w->session)
		return -ENOTCONN;
	if (l->broken)
		return -EIO;
	for (uint64_t i = 0; !w->claim && (w->kind == MIRROR_IO_READ || w->kind == MIRROR_IO_SUM) && i < w->len; i++)
		if (l->bad[w->offset + i])
			return -EIO;
	return 0;
}

static void leg_io(struct sim *s, unsigned node, void *data)
{
	struct sim_wire *w = data;
	int r = leg_may(s, &s->node[node].leg, w);

	if (r == 0)
		leg_effect(s, node, w);
	world_trace(&s->w, "n%u leg io %d of n%u epoch %llu: %llu+%llu v%u: %d", node, (int)w->kind, w->owner,
		    (unsigned long long)w->epoch, (unsigned long long)w->offset, (unsigned long long)w->len, w->data[0], r);
	leg_reply(s, w, r);
}

static void leg_claim(struct sim *s, unsigned node, struct sim_wire *w)
{
	struct sim_leg *l = &s->node[node].leg;
	int r = leg_may(s, l, w);

	if (r == 0) {
		if (w->epoch > l->fence)
			l->fence = w->epoch;
		l->session[w->owner] = w->session;
		w->meta = l->meta;
		w->known = l->known;
		w->life = l->life;
		memcpy(w->bits, l->bits, sizeof(w->bits));
	}
	leg_reply(s, w, r);
}

static void leg_arrive(struct sim *s, unsigned node, void *data)
{
	struct sim_wire *w = data;

	if (!sim_reach(s, w->owner, node))
		return;
	if (w->claim)
		leg_claim(s, node, w);
	else
		sim_post(s, node, world_between(&s->w, 30, s->slow ? 20000 : 2000), leg_io, w, sizeof(*w));
}

void leg_power_lost(struct sim *s, unsigned node)
{
	struct sim_leg *l = &s->node[node].leg;

	for (unsigned i = 0; i < SIM_BLOCKS; i++)
		if (l->dirty[i] && world_chance(&s->w, 500))
			l->now[i] = l->stable[i];
	memcpy(l->stable, l->now, sizeof(l->now));
	memset(l->dirty, 0, sizeof(l->dirty));
	memset(l->session, 0, sizeof(l->session));
	l->tainted = true;
	if (sim_plant != SIM_PLANT_LIFE)
		l->life++;
}

/* ---- the owner's side ---- */

static unsigned leg_node(const struct own_row *row, unsigned leg)
{
	return sim_node_of(&row->leg[leg].node);
}

struct late {
	uint64_t id, tlife;
};

static bool pend_take(struct sim_target *t, uint64_t id, struct mirror_io **io, unsigned *leg, struct sim_op **past)
{
	for (unsigned i = 0; i < t->n_pend; i++)
		if (t->pend[i].id == id) {
			*io = t->pend[i].io;
			*leg = t->pend[i].leg;
			*past = t->pend[i].past;
			t->pend[i] = t->pend[--t->n_pend];
			return true;
		}
	return false;
}

static void opening_done(struct sim *s, unsigned node);

static void claimed(struct sim *s, unsigned node, unsigned leg, const struct sim_wire *w, int result)
{
	struct sim_target *t = &s->node[node].t;
	struct mirror_leg_says *says = &t->says[leg];

	t->claiming[leg] = false;
	memset(says, 0, sizeof(*says));
	if (result == 0) {
		t->session[leg] = w->session;
		memcpy(t->says_bits[leg], w->bits, sizeof(w->bits));
		says->here = true;
		says->known = w->known;
		says->meta = w->meta;
		says->life = w->life;
		says->bits = t->says_bits[leg];
	}
	t->stale |= result == -ESTALE;
	if (t->opening && t->claims && --t->claims == 0)
		opening_done(s, node);
	else if (t->m && result == 0)
		mirror_attach(t->m, leg, says);
	run_mirror(s, node);
}

/* ---- the gate, as in plugins/mirror/mirror_gate.c ---- */

static bool gate_overlap(const struct sim_op *a, const struct sim_op *b)
{
	return a->op.offset < b->op.offset + b->op.len && b->op.offset < a->op.offset + a->op.len;
}

/* Is there one of the node's others that overlaps: a read past the machine, or a write on its way? */
static bool gate_other(const struct sim *s, unsigned node, const struct sim_op *op, bool write)
{
	const struct sim_op *o;

	TAILQ_FOREACH(o, &s->ops, all)
		if (o != op && o->node == node && (write ? o->inside || o->waits : o->past) && gate_overlap(o, op))
			return true;
	return false;
}

static void gate_wake(struct sim *s, unsigned node)
{
	struct sim_op *o;

	TAILQ_FOREACH(o, &s->ops, all)
		if (o->node == node && o->waits && !gate_other(s, node, o, false)) {
			o->waits = false;
			o->inside = true;
			mirror_submit(s->node[node].t.m, &o->op);
		}
}

static void past_done(struct sim *s, unsigned node, struct sim_op *op, const struct sim_wire *w, int result)
{
	struct sim_target *t = &s->node[node].t;

	op->past = false;
	op->op.result = 0;
	if (result == 0)
		memcpy(op->value, w->data, op->op.len * sizeof(uint32_t));
	if (result == 0)
		TAILQ_INSERT_TAIL(&t->held, &op->op, entry);
	else
		mirror_submit(t->m, &op->op);
	gate_wake(s, node);
	run_mirror(s, node);
}

static void finish(struct sim *s, unsigned node, uint64_t id, const struct sim_wire *w, int result)
{
	struct sim_target *t = &s->node[node].t;
	struct sim_op *past;
	struct mirror_io *io;
	unsigned leg;

	if (!pend_take(t, id, &io, &leg, &past))
		return;
	if (!io) {
		claimed(s, node, leg, w, result);
		return;
	}
	if (result == -ETIMEDOUT || result == -ENODEV)
		result = -ENOTCONN;
	if (result == -ENOTCONN)
		t->session[leg] = 0;
	if (past) {
		past_done(s, node, past, w, result);
		return;
	}
	if (result == 0 && io->kind == MIRROR_IO_READ)
		memcpy(io->op ? ((struct sim_op *)io->op)->value : t->slot[io->slot], w->data, io->len * sizeof(uint32_t));
	if (result == 0 && io->kind == MIRROR_IO_SUM)
		memcpy(io->sum, w->sum, io->len * MIRROR_SUM);
	mirror_done(t->m, io, result);
	run_mirror(s, node);
}

static void answer(struct sim *s, unsigned node, void *data)
{
	struct sim_wire *w = data;

	if (w->tlife == s->node[node].t.life && s->node[node].t.up)
		finish(s, node, w->id, w, w->result);
}

static void too_late(struct sim *s, unsigned node, void *data)
{
	struct late *l = data;

	if (l->tlife == s->node[node].t.life && s->node[node].t.up)
		finish(s, node, l->id, NULL, -ETIMEDOUT);
}

static void send_wire(struct sim *s, unsigned node, unsigned leg, struct mirror_io *io, struct sim_op *past, struct sim_wire *w)
{
	struct sim_target *t = &s->node[node].t;
	struct late late = { s->next_id + 1, t->life };
	unsigned to = leg_node(&t->row, leg);
	uint64_t us = world_between(&s->w, 50, 1500);

	assert(t->n_pend < SIM_PENDING);
	w->id = ++s->next_id;
	w->tlife = t->life;
	w->owner = node;
	w->at = to;
	w->epoch = t->row.epoch;
	t->pend[t->n_pend].id = w->id;
	t->pend[t->n_pend].leg = leg;
	t->pend[t->n_pend].past = past;
	t->pend[t->n_pend++].io = io;
	/* What is under way when a node dies or is cut off may still arrive. */
	if (!s->quiet && world_chance(&s->w, s->slow ? 30 : 3))
		us = world_between(&s->w, 100000, 6000000);
	sim_post(s, to, to == node ? 5 : us, leg_arrive, w, sizeof(*w));
	/* Refused at once, or not answered. */
	if (w->claim && !sim_reach(s, node, to) && world_chance(&s->w, 500))
		sim_post(s, node, world_between(&s->w, 1000, 20000), too_late, &late, sizeof(late));
	sim_post(s, node, world_between(&s->w, 600000, 900000), too_late, &late, sizeof(late));
}

static void send_io(struct sim *s, unsigned node, struct mirror_io *io, struct sim_op *past)
{
	struct sim_target *t = &s->node[node].t;
	struct sim_wire w = { .session = t->session[io->leg], .kind = io->kind, .fua = io->fua, .offset = io->offset, .len = io->len,
		.page = io->page };

	if (io->kind == MIRROR_IO_META)
		w.meta = *io->meta;

	if (io->kind == MIRROR_IO_WRITE)
		memcpy(w.data, io->op ? ((struct sim_op *)io->op)->value : t->slot[io->slot], io->len * sizeof(uint32_t));
	if (io->kind == MIRROR_IO_PAGE)
		memcpy(w.bits, io->p, SIM_PAGE);
	send_wire(s, node, io->leg, io, past, &w);
}

static void claim(struct sim *s, unsigned node, unsigned leg)
{
	struct sim_wire w = { .claim = true, .session = ++s->next_id };

	s->node[node].t.claiming[leg] = true;
	send_wire(s, node, leg, NULL, NULL, &w);
}

/* ---- answering ---- */

static bool has_lease(const struct sim *s, unsigned node)
{
	const struct sim_target *t = &s->node[node].t;

	return t->up && t->m && t->leased && t->lease_epoch == t->row.epoch && mono_before(sim_clock(s, node), t->until);
}

static bool leased(const struct sim *s, unsigned node)
{
	return sim_plant == SIM_PLANT_LEASE ? s->node[node].t.told : has_lease(s, node);
}

/*
 * Whoever serves has the size that somebody was told, or more. One that was succeeded and does not know it may open the volume as it
 * was, and never serves it.
 */
static void check_size(struct sim *s, unsigned node)
{
	const struct sim_target *t = &s->node[node].t;

	if (t->m && has_lease(s, node) && mirror_size(t->m) < s->size_told)
		sim_fail(s, "I9: the volume is served with %llu blocks, and somebody was told of %llu", (unsigned long long)mirror_size(t->m),
			 (unsigned long long)s->size_told);
}

static void let_go(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct mirror_op *op, *next;

	for (op = TAILQ_FIRST(&t->held); op; op = next) {
		next = TAILQ_NEXT(op, entry);
		if (op->result == 0 && !leased(s, node))
			continue;
		TAILQ_REMOVE(&t->held, op, entry);
		check_size(s, node);
		client_answer(s, node, (struct sim_op *)op, t->row.epoch);
	}
}

/* Whoever is leased is so alone: a node that was fenced is dead before another one serves in its place. */
static void check_alone(struct sim *s, unsigned node)
{
	const struct sim_target *t = &s->node[node].t;

	for (unsigned i = 0; i < s->n && has_lease(s, node); i++)
		if (i != node && has_lease(s, i))
			sim_fail(s, "I2: n%u is leased under epoch %llu while n%u is under %llu", node, (unsigned long long)t->row.epoch, i,
				 (unsigned long long)s->node[i].t.row.epoch);
}

/* ---- the machine ---- */

static void tell(struct sim *s, unsigned node, enum own_in_kind kind, const uint8_t *leg, uint64_t turn, int err)
{
	struct sim_target *t = &s->node[node].t;
	struct own_in in = { .kind = kind, .volume = t->row.uuid, .epoch = t->row.epoch, .leg = leg, .turn = turn, .err = err };

	node_own(s, node, &in);
}

static void ask(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;

	for (unsigned i = 0; t->m && i < t->row.n_leg; i++) {
		uint8_t uuid[16];
		uint64_t turn;
		enum mirror_ask a = mirror_ask(t->m, i, &turn);

		memcpy(uuid, t->row.leg[i].uuid, 16);
		if (a != MIRROR_ASK_NONE)
			tell(s, node, a == MIRROR_ASK_OUT ? OWN_IN_LEG_FAILED : OWN_IN_LEG_READY, uuid, turn, 0);
	}
}

static void close_mirror(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct mirror_op *op;

	t->opening = t->told = t->freezing = t->stale = t->leased = false;
	t->n_pend = 0;
	t->life++;
	memset(t->session, 0, sizeof(t->session));
	memset(t->claiming, 0, sizeof(t->claiming));
	mirror_free(&t->m);
	t->until = (struct mono){ 0 };
	while ((op = TAILQ_FIRST(&t->held)) != NULL) {
		TAILQ_REMOVE(&t->held, op, entry);
		op->result = -ESTALE;
		client_answer(s, node, (struct sim_op *)op, 0);
	}
	/* What was inside sees no answer. */
	for (struct sim_op *o = TAILQ_FIRST(&s->ops), *next; o; o = next) {
		next = TAILQ_NEXT(o, all);
		if (o->node == node) {
			o->op.result = -ESTALE;
			client_answer(s, node, o, 0);
		}
	}
}

static void frozen_check(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	uint64_t epoch = t->row.epoch;
	const struct sim_op *o;

	TAILQ_FOREACH(o, &s->ops, all)
		if (o->node == node && (o->past || o->waits))
			return;
	if (!t->freezing || !mirror_is_frozen(t->m) || !TAILQ_EMPTY(&t->held))
		return;
	close_mirror(s, node);
	struct own_in in = { .kind = OWN_IN_FROZEN, .volume = t->row.uuid, .epoch = epoch };
	node_own(s, node, &in);
}

static void run_mirror(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct mirror_io *io;
	struct mirror_op *op;
	bool session_lost;

	if (!t->m)
		return;
	do {
		session_lost = false;
		while ((io = TAILQ_FIRST(mirror_todo(t->m))) != NULL) {
			TAILQ_REMOVE(mirror_todo(t->m), io, entry);
			if (t->session[io->leg] && t->n_pend < SIM_PENDING - 8) {
				send_io(s, node, io, NULL);
			} else {
				mirror_done(t->m, io, -ENOTCONN);
				session_lost = true;
			}
		}
	} while (session_lost);
	while ((op = TAILQ_FIRST(mirror_answers(t->m))) != NULL) {
		TAILQ_REMOVE(mirror_answers(t->m), op, entry);
		((struct sim_op *)op)->inside = false;
		TAILQ_INSERT_TAIL(&t->held, op, entry);
	}
	let_go(s, node);
	ask(s, node);
	if (t->m && !t->told && mirror_is_open(t->m)) {
		t->told = true;
		tell(s, node, OWN_IN_OPENED, NULL, 0, 0);
	}
	if (t->m)
		frozen_check(s, node);
	if (t->m && mirror_in_doubt(t->m)) {
		struct own_in in = { .kind = OWN_IN_LOST, .volume = t->row.uuid, .epoch = t->row.epoch };

		close_mirror(s, node);
		node_own(s, node, &in);
	}
}

static void tick(struct sim *s, unsigned node, void *data)
{
	struct sim_target *t = &s->node[node].t;

	if (*(uint64_t *)data != t->life || !t->up || !t->m)
		return;
	for (unsigned i = 0; i < t->row.n_leg; i++)
		if (!t->claiming[i] && mirror_leg_now(t->m, i) == MIRROR_AWAY && t->row.leg[i].state != OWN_LEG_IN)
			claim(s, node, i);
	mirror_tick(t->m, sim_clock(s, node));
	run_mirror(s, node);
	target_resize(s, node);
	sim_post(s, node, 150000, tick, &t->life, sizeof(t->life));
}

static void leg_conf(const struct own_row *row, unsigned node, struct mirror_leg_conf *conf)
{
	for (unsigned i = 0; i < row->n_leg; i++) {
		const struct own_leg *l = &row->leg[i];

		memcpy(conf[i].uuid, l->uuid, 16);
		conf[i].state = (enum mirror_state)l->state;
		conf[i].turn = l->turn;
		conf[i].member = l->member;
		conf[i].since = l->since;
		conf[i].local = leg_node(row, i) == node;
	}
}

/* Whose metadata is another's or is gone is not known. */
static void judge(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;

	for (unsigned i = 0; i < t->row.n_leg; i++)
		t->says[i].known = t->says[i].known && memcmp(t->says[i].meta.leg, t->row.leg[i].uuid, 16) == 0;
}

static void opening_done(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct mirror_conf conf = { .epoch = t->row.epoch, .region = SIM_REGION, .chunk = SIM_CHUNK, .group = 1, .page = SIM_PAGE,
		.pages_max = SIM_WORDS * 8 / SIM_PAGE, .clean_ms = 400, .n_leg = t->row.n_leg };
	struct mirror_plan plan = { 0 };
	int r;

	t->opening = false;
	judge(s, node);
	memcpy(conf.uuid, t->row.uuid, 16);
	leg_conf(&t->row, node, conf.leg);
	r = t->stale ? -ESTALE : mirror_assemble(conf.leg, t->says, conf.n_leg, false, &plan);
	world_trace(&s->w, "n%u opens epoch %llu: %d, legs %d%d%d source %u%s", node, (unsigned long long)t->row.epoch, r, (int)plan.leg[0],
		    (int)plan.leg[1], (int)plan.leg[2], plan.source, plan.recover ? " recover" : "");
	if (r < 0) {
		close_mirror(s, node);
		tell(s, node, OWN_IN_OPENED, NULL, 0, r);
		return;
	}
	conf.size = plan.size;
	t->m = mirror_new(&conf, t->says, &plan, sim_clock(s, node));
	mirror_scrub(t->m, s->scrub);
	sim_post(s, node, 150000, tick, &t->life, sizeof(t->life));
}

static void open_row(struct sim *s, unsigned node, const struct own_row *row)
{
	struct sim_target *t = &s->node[node].t;

	close_mirror(s, node);
	t->row = *row;
	t->opening = true;
	t->claims = row->n_leg;
	for (unsigned i = 0; i < row->n_leg; i++)
		claim(s, node, i);
}

static void set_legs(struct sim *s, unsigned node, const struct own_row *row)
{
	struct sim_target *t = &s->node[node].t;

	if (t->row.epoch != row->epoch)
		return;
	t->row = *row;
	for (unsigned i = 0; t->m && i < row->n_leg; i++) {
		const struct own_leg *l = &row->leg[i];

		mirror_agreed(t->m, l->uuid, (enum mirror_state)l->state, l->turn, l->member, l->since);
	}
	run_mirror(s, node);
}

struct act_msg {
	struct own_act a;
};

/* In the order they were sent: one stream between the two programs, hence no delay of its own here. */
void target_act(struct sim *s, unsigned node, const struct own_act *a)
{
	struct sim_target *t = &s->node[node].t;

	if (!t->up)
		return;
	switch (a->kind) {
	case OWN_ACT_OPEN:
		open_row(s, node, &a->row);
		return;
	case OWN_ACT_LEGS:
		set_legs(s, node, &a->row);
		return;
	case OWN_ACT_FREEZE:
		if (!t->m || t->row.epoch != a->row.epoch)
			return;
		t->freezing = true;
		mirror_freeze(t->m);
		run_mirror(s, node);
		return;
	case OWN_ACT_CLOSE:
		close_mirror(s, node);
		return;
	case OWN_ACT_LEASE:
		if (t->row.epoch != a->row.epoch)
			return;
		t->lease_epoch = a->row.epoch;
		t->until = a->until;
		t->leased = true;
		check_alone(s, node);
		check_size(s, node);
		let_go(s, node);
		if (t->m)
			frozen_check(s, node);
		return;
	default:
		return;
	}
}

static bool read_past(struct sim *s, unsigned node, struct sim_op *op)
{
	struct sim_target *t = &s->node[node].t;
	uint64_t below;
	int leg = mirror_read_leg(t->m, &below);

	if (leg < 0 || op->op.offset + op->op.len > below || !t->session[leg] || t->n_pend >= SIM_PENDING - 8 ||
		(gate_other(s, node, op, true) && sim_plant != SIM_PLANT_GATE))
		return false;
	op->past = true;
	op->past_io = (struct mirror_io){ .kind = MIRROR_IO_READ, .leg = (uint8_t)leg, .op = &op->op, .offset = op->op.offset,
		.len = op->op.len };
	send_io(s, node, &op->past_io, op);
	return true;
}

bool target_submit(struct sim *s, unsigned node, struct sim_op *op)
{
	struct sim_target *t = &s->node[node].t;

	if (!t->up || !t->m || !t->told || t->freezing)
		return false;
	if (op->op.kind == MIRROR_READ && read_past(s, node, op))
		return true;
	op->waits = op->op.kind == MIRROR_WRITE && gate_other(s, node, op, false);
	if (!op->waits) {
		op->inside = op->op.kind == MIRROR_WRITE;
		mirror_submit(t->m, &op->op);
	}
	run_mirror(s, node);
	return true;
}

/* directord says so again until it is done. What is done counts when it is answered under the lease. */
void target_resize(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;

	if (!t->m || !t->told || t->freezing)
		return;
	if (mirror_resize(t->m, s->size) == 0) {
		run_mirror(s, node);
		if (t->m && (mirror_is_resized(t->m) || sim_plant == SIM_PLANT_SIZE) && !mirror_is_over(t->m) && mirror_size(t->m) == s->size && s->size_told < s->size &&
			leased(s, node)) {
			world_trace(&s->w, "n%u has %llu blocks", node, (unsigned long long)s->size);
			s->size_told = s->size;
		}
	}
}

void target_scrub(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;

	if (!t->m)
		return;
	mirror_scrub(t->m, s->scrub);
	run_mirror(s, node);
}

static void gossip(struct sim *s, unsigned node, void *data)
{
	(void)data;
	if (s->node[node].stamp)
		node_view(s, node);
}

static void gossip_all(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++)
		sim_post(s, i, world_between(&s->w, 100000, 900000), gossip, NULL, 0);
}

void target_kill(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct own_in down = { .kind = OWN_IN_TARGET_DOWN };

	if (!t->up)
		return;
	t->up = false;
	close_mirror(s, node);
	memset(s->node[node].leg.session, 0, sizeof(s->node[node].leg.session));
	node_own(s, node, &down);
	gossip_all(s);
}

void target_start(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct own_in up = { .kind = OWN_IN_TARGET_UP };

	if (t->up)
		return;
	t->up = true;
	t->life++;
	TAILQ_INIT(&t->held);
	node_own(s, node, &up);
	gossip_all(s);
}

void target_adopt(struct sim *s, unsigned node)
{
	struct sim_target *t = &s->node[node].t;
	struct own_in in = { .kind = OWN_IN_ADOPTED, .volume = t->row.uuid, .epoch = t->row.epoch, .number = t->leased };

	if (t->m && t->told && !t->freezing)
		node_own(s, node, &in);
	else
		close_mirror(s, node);
}
