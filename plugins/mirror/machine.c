/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mirror: operations in order, legs and their failures. An operation is answered when every leg that is
 * in sync in agreed state has it; a leg that failed it must first be out there.
 */
#include "plugins/mirror/machine_int.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

unsigned legs_in(const struct mirror *m, enum leg_run run)
{
	unsigned mask = 0, i;

	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run == run)
			mask |= 1u << i;
	return mask;
}

void io_emit(struct mirror *m, struct mirror_io *io, unsigned leg, enum mirror_io_kind kind, enum io_why why)
{
	assert(!io->busy);
	io->leg = (uint8_t)leg;
	io->kind = kind;
	io->why = (uint8_t)why;
	io->busy = true;
	m->leg[leg].n_io++;
	TAILQ_INSERT_TAIL(&m->todo, io, entry);
}

/* ---- legs ---- */

void leg_away(struct mirror *m, unsigned leg)
{
	struct leg *l = &m->leg[leg];

	l->run = LEG_AWAY;
	l->phase = PHASE_NONE;
	l->meta_want = l->meta_again = l->page_again = l->checkpoint = false;
	memset(l->page_want, 0, m->n_page * sizeof(l->page_want[0]));
	copy_leg_gone(m, leg);
	m->recheck = true;
}

void leg_failed(struct mirror *m, unsigned leg)
{
	struct leg *l = &m->leg[leg];

	leg_away(m, leg);
	l->run = LEG_FAILED;
	l->failed_turn = l->conf.turn;
	l->failed_at = m->proof;
	l->proven = false;
}

/*
 * The last leg is never called failed: nobody could take its place, and what it cannot do is answered with an
 * error. But if the way to it is lost, or another leg that was called failed is still in sync as far as is agreed,
 * all must be asked anew what they have.
 */
static void last_leg_fails(struct mirror *m, int why)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (why == -ENOTCONN || (m->leg[i].run == LEG_FAILED && !m->leg[i].proven))
			m->over = m->doubt = m->recheck = true;
}

void leg_fail(struct mirror *m, unsigned leg, int why)
{
	switch (m->leg[leg].run) {
	case LEG_SYNC:
		leg_away(m, leg);
		return;
	case LEG_LIVE:
		if (legs_in(m, LEG_LIVE) & ~(1u << leg))
			leg_failed(m, leg);
		else
			last_leg_fails(m, why);
		return;
	case LEG_JOIN:
		leg_failed(m, leg);
		return;
	default:
		return;
	}
}

bool leg_spared(struct mirror *m, unsigned leg, int why, uint64_t offset, uint64_t len)
{
	unsigned live = legs_in(m, LEG_LIVE);

	if (why != -EIO || !(live >> leg & 1) || !(live & ~(1u << leg)))
		return false;
	repair_want(m, offset, len);
	return true;
}

void mirror_agreed(struct mirror *m, const uint8_t uuid[16], enum mirror_state state, uint64_t turn, uint64_t member,
	uint64_t since)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++) {
		struct leg *l = &m->leg[i];

		if (memcmp(l->conf.uuid, uuid, 16) != 0 || turn <= l->conf.turn)
			continue;
		l->conf.state = state;
		l->conf.turn = turn;
		l->conf.member = member;
		l->conf.since = since;
		if (state == MIRROR_IN && l->run == LEG_JOIN) {
			l->run = LEG_LIVE;
			l->phase = PHASE_NONE;
		} else if (state == MIRROR_IN && l->run != LEG_FAILED) {
			/* Nobody here asked for that: it is not. */
			leg_failed(m, i);
		} else if (state != MIRROR_IN && (l->run != LEG_FAILED || turn > l->failed_turn) && l->run != LEG_SYNC) {
			leg_away(m, i);
		}
		m->recheck = true;
	}
	mirror_kick(m);
}

enum mirror_ask mirror_ask(struct mirror *m, unsigned leg, uint64_t *turn)
{
	const struct leg *l = &m->leg[leg];

	*turn = l->conf.turn;
	if (m->over)
		return MIRROR_ASK_NONE;
	if (l->run == LEG_FAILED)
		return l->proven ? MIRROR_ASK_OUT : MIRROR_ASK_NONE;
	if (l->run == LEG_JOIN && l->phase == JOIN_ASK)
		return MIRROR_ASK_IN;
	return MIRROR_ASK_NONE;
}

/* ---- operations ---- */

static bool overlap(const struct mirror_op *a, const struct mirror_op *b)
{
	if (MIRROR_PLANTED(MIRROR_PLANT_SCRUB) && ((a->copy && a->copy->step) || (b->copy && b->copy->step)))
		return false;
	if (a->kind == MIRROR_FLUSH || b->kind == MIRROR_FLUSH)
		return false;
	if (a->kind == MIRROR_READ && b->kind == MIRROR_READ)
		return false;
	return a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

static bool recovering(const struct mirror *m, const struct mirror_op *op)
{
	uint64_t first, last;

	if (!m->n_recover || op->kind == MIRROR_FLUSH)
		return false;
	bits_of(m, op, &first, &last);
	for (; first <= last; first++)
		if (bit_test(m->recover, first))
			return true;
	return false;
}

/*
 * All wait for what runs, wherever it stands: a copy overtakes. It waits for nothing else, since those that
 * wait may wait for it; what comes after it waits for it, so that a busy region is copied too.
 */
static bool may_start(const struct mirror *m, const struct mirror_op *op)
{
	const struct mirror_op *o;
	bool after = false;

	if (!op->copy && op != &m->clean_op && op != &m->freeze_op && (!m->open || m->freezing || recovering(m, op)))
		return false;
	TAILQ_FOREACH(o, &m->ops, entry) {
		after |= o == op;
		if (o != op && (op_runs(o) || (!op->copy && !after)) && overlap(o, op))
			return false;
	}
	return true;
}

void op_add(struct mirror *m, struct mirror_op *op)
{
	op->state = OP_WAIT;
	op->sent = op->failed = op->done = op->tried = op->pending = 0;
	op->result = 0;
	m->n_waiting++;
	TAILQ_INSERT_TAIL(&m->ops, op, entry);
}

void op_drop(struct mirror *m, struct mirror_op *op)
{
	TAILQ_REMOVE(&m->ops, op, entry);
	if (!op_runs(op))
		m->n_waiting--;
	/* Who waits for it? */
	m->recheck |= m->n_waiting || m->freezing || op->copy;
}

static void op_answer(struct mirror *m, struct mirror_op *op, int result)
{
	op_drop(m, op);
	op->result = result;
	if (op == &m->clean_op) {
		clean_done(m, result);
	} else if (op == &m->freeze_op) {
		unsigned i;

		for (i = 0; i < m->n_leg; i++)
			if (m->leg[i].run == LEG_LIVE && result == 0)
				meta_want(m, &m->leg[i], m->n_recover == 0, m->leg[i].meta.member);
		m->frozen = true;
		m->unquiet = result != 0;
	} else {
		m->served |= result == 0;
		TAILQ_INSERT_TAIL(&m->answers, op, entry);
	}
}

void op_send(struct mirror *m, struct mirror_op *op, unsigned mask)
{
	static const enum mirror_io_kind kinds[] = { 0, MIRROR_IO_READ, MIRROR_IO_WRITE, MIRROR_IO_FLUSH };
	unsigned i;

	for (i = 0; i < m->n_leg; i++) {
		struct mirror_io *io = &op->io[i];

		if (!(mask >> i & 1))
			continue;
		io->op = op->copy ? NULL : op;
		io->slot = op->copy ? op->copy->slot : 0;
		io->copy = op->copy;
		io->offset = op->offset;
		io->len = op->len;
		io->fua = op->fua;
		op->sent |= (uint8_t)(1u << i);
		op->pending++;
		io_emit(m, io, i, kinds[op->kind], WHY_OP);
	}
}

/* Reads come from a leg that is in sync and nothing else (I3); n_leg: none is left. */
unsigned read_from(const struct mirror *m, unsigned tried)
{
	unsigned may = legs_in(m, LEG_LIVE) & ~tried, i, best = m->n_leg;

	for (i = 0; i < m->n_leg; i++)
		if ((may >> i & 1) && (best == m->n_leg || m->leg[i].conf.local))
			best = i;
	return best;
}

int mirror_read_leg(struct mirror *m, uint64_t *below)
{
	unsigned leg = read_from(m, 0);

	*below = m->conf.size;
	if (m->n_recover) {
		while (m->recover_low < m->n_word && !m->recover[m->recover_low])
			m->recover_low++;
		if (m->recover_low < m->n_word)
			*below = (m->recover_low * 64ull + (unsigned)__builtin_ctzll(m->recover[m->recover_low])) * m->conf.region;
	}
	return m->open && !m->over && !m->freezing && leg < m->n_leg ? (int)leg : -1;
}

static bool read_send(struct mirror *m, struct mirror_op *op)
{
	unsigned best = read_from(m, op->tried);

	if (best == m->n_leg)
		return false;
	op->tried |= (uint8_t)(1u << best);
	op_send(m, op, 1u << best);
	return true;
}

static void op_begin(struct mirror *m, struct mirror_op *op)
{
	m->n_waiting--;
	op->state = OP_SENT;
	if (op->copy && op->copy->step) {
		scrub_begin(m, op->copy);
		return;
	}
	if (op->copy) {
		copy_begin(m, op->copy);
		return;
	}
	switch (op->kind) {
	case MIRROR_READ:
		if (!read_send(m, op))
			op_answer(m, op, -EIO);
		return;
	case MIRROR_WRITE:
		op->state = OP_INTENT;
		intent_set(m, op);
		return;
	case MIRROR_FLUSH:
		/* Who is not asked counts as one that failed it, until it is out. */
		op->failed = (uint8_t)legs_in(m, LEG_FAILED);
		op_send(m, op, legs_in(m, LEG_LIVE) | legs_in(m, LEG_JOIN));
		return;
	}
}

static void intent_check(struct mirror *m, struct mirror_op *op)
{
	if (!m->over && !intent_stable(m, op)) {
		/* Nothing of it was sent, and nobody can say when the last leg takes the intent. */
		if (intent_refused(m, op))
			op_answer(m, op, -EIO);
		return;
	}
	op->state = OP_SENT;
	if (m->over)
		return;
	op->failed = (uint8_t)legs_in(m, LEG_FAILED);
	op_send(m, op, legs_in(m, LEG_LIVE) | legs_in(m, LEG_JOIN) | legs_in(m, LEG_SYNC));
}

/* What is said of one that has not begun: of a write that nothing of it was done. */
static int unbegun(const struct mirror *m, const struct mirror_op *op)
{
	return m->over && op->kind != MIRROR_WRITE ? -ESTALE : -EAGAIN;
}

/* Nothing of it is under way: can it be answered? */
static void op_finish(struct mirror *m, struct mirror_op *op)
{
	unsigned live = legs_in(m, LEG_LIVE), i;

	if (m->over) {
		if (op->copy) {
			op_drop(m, op);
			op->copy->busy = false;
		} else {
			op_answer(m, op, -ESTALE);
		}
		return;
	}
	if (op->copy && op->copy->step) {
		scrub_finish(m, op->copy);
		return;
	}
	if (op->kind == MIRROR_READ) {
		if (op->done)
			op_answer(m, op, 0);
		else if (!read_send(m, op))
			op_answer(m, op, -EIO);
		return;
	}
	if ((op->failed & legs_in(m, LEG_FAILED)) && !MIRROR_PLANTED(MIRROR_PLANT_NO_OUT))
		return;
	if (op->copy) {
		copy_finish(m, op->copy);
		return;
	}
	if (!(op->failed & live) && (op->done & live)) {
		op_answer(m, op, 0);
		return;
	}
	/* The last leg does not have it. Those that are being made like it may, and must be made like it again. */
	for (i = 0; i < m->n_leg && op->kind == MIRROR_WRITE; i++)
		if ((op->done >> i & 1) && !(live >> i & 1))
			leg_fail(m, i, -EIO);
	op_answer(m, op, -EIO);
}

static void op_look(struct mirror *m, struct mirror_op *op)
{
	if (op->state == OP_INTENT)
		intent_check(m, op);
	if (op->state == OP_SENT && !op->pending)
		op_finish(m, op);
}

void mirror_submit(struct mirror *m, struct mirror_op *op)
{
	unsigned i;

	op->copy = NULL;
	for (i = 0; i < m->n_leg; i++)
		op->io[i].busy = false;
	op_add(m, op);
	if (m->over || m->frozen)
		op_answer(m, op, unbegun(m, op));
	else if (may_start(m, op)) {
		op_begin(m, op);
		if (op->state == OP_INTENT)
			op_look(m, op);
	}
	/* What was only sent changes nothing for anybody. */
	if (m->recheck || op->state != OP_SENT)
		mirror_kick(m);
}

static void op_io_done(struct mirror *m, struct mirror_io *io, int result)
{
	struct mirror_op *op = io->copy ? &io->copy->op : io->op;
	unsigned bit = 1u << io->leg;

	op->pending--;
	if (io->copy && io->copy->step) {
		scrub_io_done(m, io->copy, io, result);
	} else if (io->copy) {
		copy_io_done(m, io->copy, io, result);
	} else if (result == 0) {
		op->done |= (uint8_t)bit;
	} else {
		op->failed |= (uint8_t)bit;
		if (op->kind != MIRROR_READ || !leg_spared(m, io->leg, result, op->offset, op->len))
			leg_fail(m, io->leg, result);
	}
	if (!op->pending)
		op_look(m, op);
}

void mirror_done(struct mirror *m, struct mirror_io *io, int result)
{
	struct leg *l = &m->leg[io->leg];

	assert(io->busy);
	io->busy = false;
	l->n_io--;
	if (result == -ESTALE)
		m->over = m->recheck = true;
	switch (io->why) {
	case WHY_OP:
		op_io_done(m, io, result);
		if (!m->recheck && result == 0)
			return;
		break;
	case WHY_META:
		if (result < 0) {
			leg_fail(m, io->leg, result);
			l->meta_again = counts(l);      /* the last one: at the next tick */
		}
		break;
	case WHY_PAGE:
		page_done(m, io, result);
		break;
	case WHY_FLUSH:
		if (result < 0)
			leg_fail(m, io->leg, result);
		else
			sync_flushed(m, io->leg);
		break;
	}
	mirror_kick(m);
}

/* ---- what follows from what ---- */

static void open_check(struct mirror *m)
{
	unsigned i;

	if (m->open || m->over || legs_in(m, LEG_FAILED))
		return;
	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run == LEG_LIVE && (m->leg[i].meta_want || m->leg[i].meta_again || m->leg[i].meta_io.busy ||
						  m->leg[i].flush_io.busy || !pages_written(m, &m->leg[i])))
			return;
	m->open = m->recheck = true;
}

static void freeze_check(struct mirror *m)
{
	const struct mirror_op *o;

	if (!m->freezing || m->flushing || m->over || m->cleaning)
		return;
	TAILQ_FOREACH(o, &m->ops, entry)
		if (op_runs(o) || o->copy)
			return;
	m->flushing = true;
	m->freeze_op.kind = MIRROR_FLUSH;
	op_add(m, &m->freeze_op);
	m->recheck = true;
}

static void ops_kick(struct mirror *m)
{
	struct mirror_op *op, *next;

	for (op = TAILQ_FIRST(&m->ops); op; op = next) {
		next = TAILQ_NEXT(op, entry);
		if (op_runs(op)) {
			op_look(m, op);
		} else if (m->over || (m->frozen && !op->copy)) {
			if (op->copy) {
				op_drop(m, op);
				op->copy->busy = false;
			} else {
				op_answer(m, op, unbegun(m, op));
			}
		} else if (may_start(m, op)) {
			op_begin(m, op);
			if (op->state == OP_INTENT)
				op_look(m, op);
		}
	}
}

void mirror_kick(struct mirror *m)
{
	unsigned i;

	do {
		m->recheck = false;
		for (i = 0; i < m->n_leg; i++)
			sync_kick(m, i);
		if (!m->over)
			proof_kick(m);
		open_check(m);
		freeze_check(m);
		size_kick(m);
		copy_kick(m);
		scrub_kick(m);
		ops_kick(m);
		bits_kick(m);
	} while (m->recheck);
}

void mirror_tick(struct mirror *m, struct mono now)
{
	m->now = now;
	bits_again(m);
	if (mono_due(m->clean_due, now)) {
		clean_tick(m);
		if (m->scrub.running && m->open && !m->over && !m->freezing)
			scrub_remember(m);
		m->clean_due = mono_add_ms(now, m->conf.clean_ms);
	}
	mirror_kick(m);
}

void mirror_detach(struct mirror *m, unsigned leg)
{
	leg_fail(m, leg, -ENOTCONN);
	mirror_kick(m);
}

void mirror_freeze(struct mirror *m)
{
	m->freezing = true;
	mirror_kick(m);
}

void mirror_lose(struct mirror *m)
{
	m->over = m->recheck = true;
	mirror_kick(m);
}

/* ---- life ---- */

static bool leg_alloc(const struct mirror *m, struct leg *l)
{
	size_t words = (size_t)m->page_cap * m->conf.page / 8;

	/* Room for growing, which takes no memory before it is used. */
	l->disk = calloc(words, 8);
	l->need = calloc(words, 8);
	l->kept = calloc(words, 8);
	l->next = calloc(words, 8);
	l->page_want = calloc(m->page_cap, sizeof(l->page_want[0]));
	l->page_io = calloc(m->page_cap, sizeof(l->page_io[0]));
	l->page_buf = calloc(m->page_cap, m->conf.page);
	return l->disk && l->need && l->kept && l->next && l->page_want && l->page_io && l->page_buf;
}

static bool bits_alloc(struct mirror *m)
{
	size_t words = (size_t)m->page_cap * m->conf.page / 8;
	unsigned i;

	m->dirty = calloc(words, 8);
	m->touched = calloc(words, 8);
	m->cold = calloc(words, 8);
	m->recover = calloc(words, 8);
	for (i = 0; i < m->n_leg; i++)
		if (!leg_alloc(m, &m->leg[i]))
			return false;
	return m->dirty && m->touched && m->cold && m->recover;
}

static void leg_open(struct mirror *m, unsigned i, const struct mirror_leg_says *s, enum mirror_verdict v, bool recover)
{
	struct leg *l = &m->leg[i];

	l->life = s->life;
	if (s->known)
		l->meta = s->meta;
	if (v == MIRROR_USE && s->meta.scrub && (s->meta.scrub > m->scrub_was.number ||
		(s->meta.scrub == m->scrub_was.number && s->meta.scrub_at > m->scrub_was.at)))
		m->scrub_was = (struct mirror_scrub){ .number = s->meta.scrub, .at = s->meta.scrub_at,
			.different = s->meta.scrub_different, .repaired = s->meta.scrub_repaired };
	if (v == MIRROR_USE) {
		l->run = LEG_LIVE;
		memcpy(l->disk, s->bits, m->n_word * 8);
		meta_want(m, l, false, s->meta.member > l->conf.member ? s->meta.member : l->conf.member);
		pages_want(m, l);
		/* What will be read and copied from here on must not vanish with the power. */
		if (recover)
			io_emit(m, &l->flush_io, i, MIRROR_IO_FLUSH, WHY_FLUSH);
	} else if (v == MIRROR_PUT_OUT) {
		leg_failed(m, i);
	}
}

static void bits_open(struct mirror *m, const struct mirror_leg_says *says, const struct mirror_plan *plan)
{
	unsigned i, w;

	for (i = 0; i < m->n_leg; i++)
		for (w = 0; w < m->n_word && plan->leg[i] == MIRROR_USE; w++)
			m->dirty[w] |= says[i].bits[w];
	bits_mask(m, m->dirty);
	for (w = 0; w < m->n_word && plan->recover; w++) {
		m->recover[w] = m->dirty[w];
		m->n_recover += (unsigned)__builtin_popcountll(m->dirty[w]);
	}
}

struct mirror *mirror_new(const struct mirror_conf *conf, const struct mirror_leg_says *says, const struct mirror_plan *plan,
	struct mono now)
{
	struct mirror *m = calloc(1, sizeof(*m));
	unsigned i;

	if (!m)
		return NULL;
	m->conf = *conf;
	m->now = now;
	m->n_leg = conf->n_leg;
	size_set(m, conf->size);
	m->size_said = conf->size;
	m->page_cap = conf->pages_max > m->n_page ? conf->pages_max : m->n_page;
	m->source = plan->source;
	m->clean_due = mono_add_ms(now, conf->clean_ms);
	TAILQ_INIT(&m->ops);
	TAILQ_INIT(&m->todo);
	TAILQ_INIT(&m->answers);
	for (i = 0; i < MIRROR_SLOTS; i++) {
		m->copy[i].slot = (uint8_t)i;
		m->copy[i].op.copy = &m->copy[i];
	}
	for (i = 0; i < m->n_leg; i++)
		m->leg[i].conf = conf->leg[i];
	if (!bits_alloc(m)) {
		mirror_free(&m);
		return NULL;
	}
	bits_open(m, says, plan);
	for (i = 0; i < m->n_leg; i++)
		leg_open(m, i, &says[i], plan->leg[i], plan->recover);
	for (i = 0; i < m->n_leg; i++)
		if (plan->leg[i] == MIRROR_SYNC || plan->leg[i] == MIRROR_SYNC_FULL)
			mirror_attach(m, i, &says[i]);
	mirror_kick(m);
	return m;
}

void mirror_free(struct mirror **mp)
{
	struct mirror *m = *mp;
	unsigned i;

	if (!m)
		return;
	for (i = 0; i < m->n_leg; i++) {
		struct leg *l = &m->leg[i];

		free(l->disk);
		free(l->need);
		free(l->kept);
		free(l->next);
		free(l->page_want);
		free(l->page_io);
		free(l->page_buf);
	}
	free(m->dirty);
	free(m->touched);
	free(m->cold);
	free(m->recover);
	free(m);
	*mp = NULL;
}

/* ---- reading ---- */

struct mirror_ios *mirror_todo(struct mirror *m)
{
	return &m->todo;
}

struct mirror_ops *mirror_answers(struct mirror *m)
{
	return &m->answers;
}

struct mono mirror_wake(const struct mirror *m)
{
	struct mono t = m->clean_due;

	if (legs_in(m, LEG_SYNC) && m->conf.rate)
		t = mono_min(t, m->rate_due);
	if (m->scrub.running && m->conf.scrub_rate)
		t = mono_min(t, m->scrub_due);
	return t;
}

bool mirror_is_open(const struct mirror *m)
{
	return m->open && !m->over;
}

bool mirror_is_frozen(const struct mirror *m)
{
	return m->frozen && mirror_idle(m);
}

bool mirror_is_quiet(const struct mirror *m)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run == LEG_LIVE && m->leg[i].meta_again)
			return false;
	return mirror_is_frozen(m) && !m->unquiet;
}

bool mirror_is_over(const struct mirror *m)
{
	return m->over;
}

bool mirror_in_doubt(const struct mirror *m)
{
	return m->doubt;
}

bool mirror_idle(const struct mirror *m)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].n_io)
			return false;
	return true;
}

bool mirror_served(const struct mirror *m)
{
	return m->served;
}

enum mirror_verdict mirror_leg_now(const struct mirror *m, unsigned leg)
{
	switch (m->leg[leg].run) {
	case LEG_AWAY:
		return MIRROR_AWAY;
	case LEG_SYNC:
	case LEG_JOIN:
		return MIRROR_SYNC;
	case LEG_LIVE:
		return MIRROR_USE;
	default:
		return MIRROR_PUT_OUT;
	}
}

uint64_t mirror_left(const struct mirror *m, unsigned leg)
{
	return (leg < m->n_leg ? m->leg[leg].n_need : m->n_recover) * m->conf.region;
}
