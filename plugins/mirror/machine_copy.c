/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery (legs in sync that may differ after a crash are made equal, region by region) and resync (a leg
 * gets what it lacks). Both copy chunks in the order of the operations.
 */
#include "plugins/mirror/machine_int.h"

#include <errno.h>
#include <string.h>

#define CHECKPOINT_REGIONS 32

/* ---- copies ---- */

static bool taken(const struct mirror *m, uint64_t region)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		if (m->copy[i].busy && !m->copy[i].step && m->copy[i].region == region)
			return true;
	return false;
}

static void copy_chunk(struct mirror *m, struct mirror_copy *c)
{
	uint64_t end = (c->region + 1) * m->conf.region;

	if (end > m->conf.size)
		end = m->conf.size;
	c->op.kind = MIRROR_WRITE;
	c->op.offset = c->at;
	c->op.len = end - c->at < m->conf.chunk ? end - c->at : m->conf.chunk;
	c->op.fua = c->writing = false;
	c->tried = 0;
	op_add(m, &c->op);
	m->recheck = true;
}

static void copy_start(struct mirror *m, struct mirror_copy *c, uint64_t region, bool recover, unsigned targets)
{
	c->busy = true;
	c->step = SCRUB_NONE;
	c->recover = recover;
	c->region = region;
	c->targets = (uint8_t)targets;
	c->at = region * m->conf.region;
	copy_chunk(m, c);
}

static void copy_stop(struct mirror *m, struct mirror_copy *c)
{
	op_drop(m, &c->op);
	c->busy = false;
}

/* The next source for the chunk; false: there is none. */
static bool copy_read(struct mirror *m, struct mirror_copy *c)
{
	unsigned may = legs_in(m, LEG_LIVE) & ~(unsigned)c->tried, i, best = m->n_leg;

	for (i = 0; i < m->n_leg; i++)
		if ((may >> i & 1) && (best == m->n_leg || i == m->source))
			best = i;
	if (best == m->n_leg)
		return false;
	c->source = (uint8_t)best;
	c->tried |= (uint8_t)(1u << best);
	c->op.kind = MIRROR_READ;
	op_send(m, &c->op, 1u << best);
	c->op.kind = MIRROR_WRITE;
	return true;
}

void copy_begin(struct mirror *m, struct mirror_copy *c)
{
	if (!copy_read(m, c))
		copy_stop(m, c);
}

void copy_io_done(struct mirror *m, struct mirror_copy *c, struct mirror_io *io, int result)
{
	unsigned mask;

	if (result < 0) {
		if (c->writing)
			c->op.failed |= (uint8_t)(1u << io->leg);
		if (c->writing || !leg_spared(m, io->leg, result, c->op.offset, c->op.len))
			leg_fail(m, io->leg, result);
	}
	if (c->writing || m->over)
		return;
	if (result < 0) {
		c->op.sent = 0;
		return;
	}
	c->writing = true;
	c->op.fua = c->recover;         /* what a client reads after it must not vanish with the power */
	mask = c->recover ? (legs_in(m, LEG_LIVE) | legs_in(m, LEG_JOIN)) & ~(1u << c->source) :
		c->targets & legs_in(m, LEG_SYNC);
	if (c->recover)
		c->op.failed |= (uint8_t)legs_in(m, LEG_FAILED);
	op_send(m, &c->op, mask);
}

static void region_done(struct mirror *m, struct mirror_copy *c)
{
	unsigned i;

	if (c->recover) {
		if (bit_test(m->recover, c->region)) {
			bit_clear(m->recover, c->region);
			m->n_recover--;
		}
		return;
	}
	for (i = 0; i < m->n_leg; i++) {
		struct leg *l = &m->leg[i];

		if (!(c->targets >> i & 1) || !bit_test(l->need, c->region))
			continue;
		bit_clear(l->need, c->region);
		l->n_need--;
		l->n_copied++;
	}
}

bool copy_finish(struct mirror *m, struct mirror_copy *c)
{
	if (!c->writing) {              /* the source failed */
		unsigned gone = c->targets, i;

		if (copy_read(m, c))
			return false;
		copy_stop(m, c);
		for (i = 0; i < m->n_leg && !c->recover; i++)
			if (gone >> i & 1)
				leg_fail(m, i, -EIO);
		return true;
	}
	op_drop(m, &c->op);
	c->at += c->op.len;
	if (c->at < (c->region + 1) * m->conf.region && c->at < m->conf.size && (c->recover || c->targets)) {
		copy_chunk(m, c);
		return true;
	}
	c->busy = false;
	if (c->recover || c->targets)
		region_done(m, c);
	m->recheck = true;
	return true;
}

void copy_leg_gone(struct mirror *m, unsigned leg)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		m->copy[i].targets &= (uint8_t)~(1u << leg);
}

/* ---- what to copy next ---- */

/* First what someone waits for. */
static bool recover_next(const struct mirror *m, uint64_t *region)
{
	const struct mirror_op *o;
	uint64_t r, last;
	unsigned w;

	TAILQ_FOREACH(o, &m->ops, entry) {
		if (op_runs(o) || o->copy || o->kind == MIRROR_FLUSH)
			continue;
		for (bits_of(m, o, &r, &last); r <= last; r++)
			if (bit_test(m->recover, r) && !taken(m, r)) {
				*region = r;
				return true;
			}
	}
	for (w = 0; w < m->n_word; w++)
		for (uint64_t left = m->recover[w]; left; left &= left - 1) {
			*region = w * 64ull + (unsigned)__builtin_ctzll(left);
			if (!taken(m, *region))
				return true;
		}
	return false;
}

static bool sync_next(const struct mirror *m, uint64_t *region, unsigned *targets)
{
	unsigned i, j, w;

	for (i = 0; i < m->n_leg; i++) {
		if (m->leg[i].run != LEG_SYNC || m->leg[i].phase != SYNC_COPY)
			continue;
		for (w = 0; w < m->n_word; w++)
			for (uint64_t left = m->leg[i].need[w]; left; left &= left - 1) {
				*region = w * 64ull + (unsigned)__builtin_ctzll(left);
				if (taken(m, *region))
					continue;
				*targets = 0;
				for (j = 0; j < m->n_leg; j++)
					if (m->leg[j].run == LEG_SYNC && m->leg[j].phase == SYNC_COPY && bit_test(m->leg[j].need, *region))
						*targets |= 1u << j;
				return true;
			}
	}
	return false;
}

static void recover_kick(struct mirror *m)
{
	unsigned counting = legs_in(m, LEG_LIVE) | legs_in(m, LEG_JOIN), i;
	uint64_t region;

	if (legs_in(m, LEG_FAILED))
		return;
	if (!(counting & (counting - 1))) {     /* one leg is equal to itself */
		memset(m->recover, 0, m->n_word * 8);
		m->n_recover = 0;
		m->recheck = true;
		return;
	}
	for (i = 0; i < MIRROR_SLOTS; i++)
		if (!m->copy[i].busy && recover_next(m, &region))
			copy_start(m, &m->copy[i], region, true, 0);
}

/*
 * The clock stands still between two ticks. What the time since the last one would have allowed is made up for, or the bound would be
 * that of one piece for each tick.
 */
void rate_pay(struct mono *due, struct mono now, uint64_t bytes, uint64_t rate)
{
	uint64_t least = now.ns > RATE_LATE_NS ? now.ns - RATE_LATE_NS : 0;

	if (!rate)
		return;
	if (due->ns < least)
		due->ns = least;
	due->ns += bytes * 1000000000ull / rate;
}

void copy_kick(struct mirror *m)
{
	unsigned targets, i;
	uint64_t region;

	if (!m->open || m->over || m->freezing)
		return;
	if (m->n_recover) {
		recover_kick(m);
		return;
	}
	for (i = 0; i < MIRROR_SLOTS; i++) {
		if (m->copy[i].busy || (m->conf.rate && !mono_due(m->rate_due, m->now)) || !sync_next(m, &region, &targets))
			continue;
		copy_start(m, &m->copy[i], region, false, targets);
		rate_pay(&m->rate_due, m->now, m->conf.region, m->conf.rate);
	}
}

/* ---- one leg's way into sync ---- */

int mirror_attach(struct mirror *m, unsigned leg, const struct mirror_leg_says *s)
{
	struct leg *l = &m->leg[leg];
	bool part = s->known && s->meta.bits && s->bits && s->meta.member >= l->conf.member &&
		s->meta.epoch >= l->conf.since && s->meta.region == m->conf.region;
	uint64_t r;
	unsigned w;

	if (l->run != LEG_AWAY || l->n_io || m->over || l->conf.state == MIRROR_IN)
		return -EBUSY;
	if (s->foreign)
		return -EEXIST;
	l->life = s->life;
	memset(&l->meta, 0, sizeof(l->meta));
	if (s->known)
		l->meta = s->meta;
	memset(l->need, 0, m->n_word * 8);
	memset(l->disk, 0, m->n_word * 8);
	for (w = 0; part && w < m->n_word; w++)
		l->need[w] = m->dirty[w] | s->bits[w];
	/* And what it is too short for. */
	for (r = part ? s->meta.size / m->conf.region : 0; r < m->n_region; r++)
		bit_set(l->need, r);
	bits_mask(m, l->need);
	for (w = 0, l->n_need = 0; w < m->n_word; w++)
		l->n_need += (unsigned)__builtin_popcountll(l->need[w]);
	memcpy(l->kept, l->need, m->n_word * 8);
	l->n_copied = 0;
	l->run = LEG_SYNC;
	l->phase = SYNC_PAGES;
	pages_want(m, l);
	mirror_kick(m);
	return 0;
}

static bool copied_to(const struct mirror *m, unsigned leg)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		if (m->copy[i].busy && !m->copy[i].step && (m->copy[i].targets >> leg & 1))
			return true;
	return false;
}

static void leg_flush(struct mirror *m, unsigned leg)
{
	m->leg[leg].proving = ++m->proof;
	io_emit(m, &m->leg[leg].flush_io, leg, MIRROR_IO_FLUSH, WHY_FLUSH);
}

/*
 * A leg that failed is asked to be out only when another answered since: it may be that one which has lost
 * what was written.
 */
void proof_kick(struct mirror *m)
{
	bool asked = false;
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		asked |= m->leg[i].run == LEG_FAILED && !m->leg[i].proven;
	for (i = 0; i < m->n_leg && asked; i++)
		if (m->leg[i].run == LEG_LIVE && !m->leg[i].flush_io.busy)
			leg_flush(m, i);
}

static void proof_done(struct mirror *m, const struct leg *l)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run == LEG_FAILED && m->leg[i].failed_at < l->proving)
			m->leg[i].proven = true;
}

static void sync_copy_kick(struct mirror *m, unsigned leg)
{
	struct leg *l = &m->leg[leg];

	if (l->flush_io.busy)
		return;
	if ((l->n_need == 0 || MIRROR_PLANTED(MIRROR_PLANT_EARLY_IN)) && !copied_to(m, leg) && m->open && !m->n_recover && !m->freezing) {
		/* From here on it counts for writes; so what it is told to have, it has. */
		l->run = LEG_JOIN;
		l->phase = JOIN_FLUSH;
		leg_flush(m, leg);
	} else if (l->n_copied >= CHECKPOINT_REGIONS) {
		l->n_copied = 0;
		l->checkpoint = true;
		memcpy(l->next, l->need, m->n_word * 8);
		leg_flush(m, leg);
	}
}

void sync_flushed(struct mirror *m, unsigned leg)
{
	struct leg *l = &m->leg[leg];

	if (l->run == LEG_LIVE)
		proof_done(m, l);
	if (l->run == LEG_SYNC && l->checkpoint) {
		l->checkpoint = false;
		memcpy(l->kept, l->next, m->n_word * 8);
		pages_want(m, l);
	} else if (l->run == LEG_JOIN && l->phase == JOIN_FLUSH) {
		l->phase = JOIN_PAGES;
		pages_want(m, l);
	}
}

void sync_kick(struct mirror *m, unsigned leg)
{
	struct leg *l = &m->leg[leg];
	bool meta_busy = l->meta_want || l->meta_io.busy;

	if (m->over || (l->run != LEG_SYNC && l->run != LEG_JOIN))
		return;
	switch (l->phase) {
	case SYNC_PAGES:
		if (pages_written(m, l)) {
			meta_want(m, l, false, l->conf.member);
			l->phase = SYNC_META;
		}
		return;
	case SYNC_META:
		if (!meta_busy) {
			l->phase = SYNC_COPY;
			m->recheck = true;
		}
		return;
	case SYNC_COPY:
		sync_copy_kick(m, leg);
		return;
	case JOIN_PAGES:
		if (pages_written(m, l)) {
			meta_want(m, l, false, l->conf.turn + 1);
			l->phase = JOIN_META;
		}
		return;
	case JOIN_META:
		if (!meta_busy)
			l->phase = JOIN_ASK;
		return;
	default:
		return;
	}
}
