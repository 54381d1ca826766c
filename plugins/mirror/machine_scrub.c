/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrub and repair: the legs that are in sync are compared by digests, which each computes of its own, in the order of the
 * operations. Beside reads at first; legs that differ are compared again when nobody else is there, then what counts is
 * copied over the rest, and they are compared once more. A read that failed begins with the second step.
 */
#include "plugins/mirror/machine_int.h"

#include <errno.h>
#include <string.h>

static bool may_scrub(const struct mirror *m)
{
	unsigned live = legs_in(m, LEG_LIVE);

	return m->open && !m->over && !m->freezing && !m->n_recover && (live & (live - 1));
}

/* ---- one chunk ---- */

static unsigned groups(const struct mirror *m, const struct mirror_copy *c)
{
	return (unsigned)((c->op.len + m->conf.group - 1) / m->conf.group);
}

static const uint8_t *sum_of(const struct mirror_copy *c, unsigned leg, unsigned group)
{
	return c->sum[leg] + group * MIRROR_SUM;
}

static void send(struct mirror *m, struct mirror_copy *c, unsigned leg, enum mirror_io_kind kind, uint64_t offset, uint64_t len)
{
	struct mirror_io *io = &c->op.io[leg];

	io->op = NULL;
	io->slot = c->slot;
	io->copy = c;
	io->offset = offset;
	io->len = len;
	io->fua = kind == MIRROR_IO_WRITE;
	io->sum = c->sum[leg];
	c->op.pending++;
	io_emit(m, io, leg, kind, WHY_OP);
}

static void sums_ask(struct mirror *m, struct mirror_copy *c)
{
	unsigned live = legs_in(m, LEG_LIVE), i;

	c->asked = (uint8_t)live;
	c->have = c->bad = 0;
	for (i = 0; i < m->n_leg; i++)
		if (live >> i & 1)
			send(m, c, i, MIRROR_IO_SUM, c->op.offset, c->op.len);
}

/* Wait for the turn of the chunk: beside reads, or alone. */
static void queue_up(struct mirror *m, struct mirror_copy *c, enum scrub_step step)
{
	c->step = step;
	c->op.kind = step == SCRUB_LOOK ? MIRROR_READ : MIRROR_WRITE;
	c->op.fua = false;
	op_add(m, &c->op);
	m->recheck = true;
}

void scrub_begin(struct mirror *m, struct mirror_copy *c)
{
	sums_ask(m, c);
}

void scrub_io_done(struct mirror *m, struct mirror_copy *c, struct mirror_io *io, int result)
{
	uint8_t bit = (uint8_t)(1u << io->leg);

	if (io->kind == MIRROR_IO_SUM && result == 0)
		c->have |= bit;
	else if (io->kind != MIRROR_IO_WRITE && result == -EIO)
		c->bad |= bit;
	else if (result < 0 && result != -ENOSYS)
		leg_fail(m, io->leg, result);
	/* What was not read is not written anywhere, whatever the leg's failure was. */
	if (io->kind == MIRROR_IO_READ)
		c->read = result == 0;
}

/* Legs with the digest of `leg` in the group. */
static unsigned same(const struct mirror *m, const struct mirror_copy *c, unsigned leg, unsigned group)
{
	unsigned mask = 0, i;

	for (i = 0; i < m->n_leg; i++)
		if ((c->have >> i & 1) && memcmp(sum_of(c, i, group), sum_of(c, leg, group), MIRROR_SUM) == 0)
			mask |= 1u << i;
	return mask;
}

/*
 * What counts in the group: what more than half of the legs have, else what the leg has that reads are served from; of several
 * legs that have it, that one too: what clients see is what is copied. n_leg: no leg can read it.
 */
static unsigned truth(const struct mirror *m, const struct mirror_copy *c, unsigned group, bool *guessed)
{
	unsigned n = (unsigned)__builtin_popcount(c->have), best = m->n_leg, i;
	bool most = false;

	for (i = 0; i < m->n_leg; i++) {
		bool more = (c->have >> i & 1) && (unsigned)__builtin_popcount(same(m, c, i, group)) * 2 > n;

		if (!(c->have >> i & 1) || (most && !more))
			continue;
		if (best == m->n_leg || m->leg[i].conf.local || (more && !most))
			best = i;
		most |= more;
	}
	*guessed |= n > 1 && !most;
	return best;
}

/* Fill in what is to be copied; false: the legs are equal, or nothing can be done. */
static bool judge(struct mirror *m, struct mirror_copy *c)
{
	unsigned live = legs_in(m, LEG_LIVE), g;
	bool any = false;

	c->have &= (uint8_t)live;
	c->bad &= (uint8_t)live;
	c->guessed = false;
	for (g = 0; g < groups(m, c); g++) {
		bool guessed = false;
		unsigned from = truth(m, c, g, &guessed);

		c->from[g] = (uint8_t)from;
		c->to[g] = from == m->n_leg ? 0 : (uint8_t)((c->have | c->bad) & ~same(m, c, from, g));
		any |= c->to[g] != 0;
		c->guessed |= guessed && (c->have & ~same(m, c, from, g));
	}
	return any;
}

/* ---- results ---- */

static void region_count(struct mirror *m)
{
	m->scrub.different += m->scrub_differs;
	m->scrub.repaired += m->scrub_differs && !m->scrub_fails;
	m->scrub.failed += m->scrub_fails;
	m->scrub.guessed += m->scrub_guessed;
	m->scrub_differs = m->scrub_fails = m->scrub_guessed = false;
}

/* The chunk is done. */
static void chunk_end(struct mirror *m, struct mirror_copy *c, bool differed, bool failed)
{
	uint64_t end = c->op.offset + c->op.len;

	op_drop(m, &c->op);
	c->busy = false;
	c->step = SCRUB_NONE;
	m->recheck = true;
	if (c->repair) {
		m->repaired += differed && !failed;
		m->repair_failed += failed;
		return;
	}
	if (c->number != m->scrub.number)
		return;
	m->scrub_differs |= differed;
	m->scrub_fails |= failed;
	m->scrub_guessed |= differed && c->guessed;
	m->scrub.at = end;
	if (end % m->conf.region == 0 || end >= m->conf.size)
		region_count(m);
	if (end >= m->conf.size) {
		m->scrub.running = false;
		scrub_remember(m);
	}
}

/* Too few legs are in sync: it is done when they are. */
static void chunk_later(struct mirror *m, struct mirror_copy *c)
{
	op_drop(m, &c->op);
	c->busy = false;
	c->step = SCRUB_NONE;
	m->recheck = true;
}

/* Read the next group that differs, or look whether all is well now. */
static void group_next(struct mirror *m, struct mirror_copy *c)
{
	for (; c->group < groups(m, c); c->group++) {
		unsigned from = c->from[c->group], live = legs_in(m, LEG_LIVE);
		uint64_t at = c->op.offset + (uint64_t)c->group * m->conf.group, end = c->op.offset + c->op.len;

		c->to[c->group] &= (uint8_t)live;
		if (!c->to[c->group] || !(live >> from & 1))
			continue;
		c->step = SCRUB_READ;
		send(m, c, from, MIRROR_IO_READ, at, end - at < m->conf.group ? end - at : m->conf.group);
		return;
	}
	c->step = SCRUB_VERIFY;
	sums_ask(m, c);
}

static void group_write(struct mirror *m, struct mirror_copy *c)
{
	unsigned from = c->from[c->group], to = c->to[c->group] & legs_in(m, LEG_LIVE), i;
	const struct mirror_io *read = &c->op.io[from];
	uint64_t offset = read->offset, len = read->len;

	c->step = SCRUB_WRITE;
	for (i = 0; i < m->n_leg && c->read; i++)
		if (to >> i & 1)
			send(m, c, i, MIRROR_IO_WRITE, offset, len);
	if (!c->op.pending) {
		c->group++;
		group_next(m, c);
	}
}

static void verified(struct mirror *m, struct mirror_copy *c)
{
	bool guessed = c->guessed, failed = judge(m, c) || !c->have || c->bad;
	unsigned i;

	c->guessed = guessed;
	/* Where writing it anew does not make it readable, the leg is bad, if there is another. */
	for (i = 0; i < m->n_leg; i++)
		if ((c->bad >> i & 1) && c->have)
			leg_fail(m, i, -EIO);
	chunk_end(m, c, true, failed);
}

/* Nothing of the chunk is under way. */
void scrub_finish(struct mirror *m, struct mirror_copy *c)
{
	unsigned live = legs_in(m, LEG_LIVE);

	if (!(live & (live - 1)) && c->step != SCRUB_VERIFY) {
		chunk_later(m, c);
		return;
	}
	switch (c->step) {
	case SCRUB_LOOK:
		if (judge(m, c) || !c->have) {
			op_drop(m, &c->op);
			queue_up(m, c, SCRUB_AGAIN);
		} else {
			chunk_end(m, c, false, c->asked & live & ~(unsigned)(c->have | c->bad));
		}
		return;
	case SCRUB_AGAIN:
		if (!judge(m, c)) {
			chunk_end(m, c, !c->have, !c->have);
			return;
		}
		c->group = 0;
		group_next(m, c);
		return;
	case SCRUB_READ:
		group_write(m, c);
		return;
	case SCRUB_WRITE:
		c->group++;
		group_next(m, c);
		return;
	case SCRUB_VERIFY:
		verified(m, c);
		return;
	default:
		return;
	}
}

/* ---- what comes next ---- */

static void chunk_start(struct mirror *m, struct mirror_copy *c, uint64_t offset, bool repair)
{
	uint64_t end = (offset / m->conf.region + 1) * m->conf.region;

	if (end > m->conf.size)
		end = m->conf.size;
	c->busy = true;
	c->number = m->scrub.number;
	c->repair = repair;
	c->recover = c->writing = false;
	c->targets = 0;
	c->region = offset / m->conf.region;
	c->op.offset = offset;
	c->op.len = end - offset < m->conf.chunk ? end - offset : m->conf.chunk;
	queue_up(m, c, repair ? SCRUB_AGAIN : SCRUB_LOOK);
}

void repair_want(struct mirror *m, uint64_t offset, uint64_t len)
{
	uint64_t at = offset - offset % m->conf.chunk, end = offset + len;
	unsigned i;

	for (; at < end && m->n_repair < MIRROR_REPAIRS; at += m->conf.chunk) {
		for (i = 0; i < m->n_repair && m->repair[i] != at; i++)
			;
		if (i == m->n_repair)
			m->repair[m->n_repair++] = at;
	}
	m->recheck = true;
}

static struct mirror_copy *slot_free(struct mirror *m)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		if (!m->copy[i].busy)
			return &m->copy[i];
	return NULL;
}

static bool scrubbing(const struct mirror *m)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		if (m->copy[i].busy && m->copy[i].step && !m->copy[i].repair)
			return true;
	return false;
}

void scrub_kick(struct mirror *m)
{
	struct mirror_copy *c;

	if ((!m->n_repair && !m->scrub.running) || !may_scrub(m))
		return;
	while (m->n_repair && (c = slot_free(m)) != NULL)
		chunk_start(m, c, m->repair[--m->n_repair], true);
	if (!m->scrub.running || scrubbing(m) || (m->conf.scrub_rate && !mono_due(m->scrub_due, m->now)))
		return;
	c = slot_free(m);
	if (!c)
		return;
	chunk_start(m, c, m->scrub.at, false);
	rate_pay(&m->scrub_due, m->now, c->op.len, m->conf.scrub_rate);
}

void scrub_remember(struct mirror *m)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run == LEG_LIVE)
			meta_want(m, &m->leg[i], false, m->leg[i].meta.member);
}

void mirror_scrub(struct mirror *m, uint64_t number)
{
	if (!number || number == m->scrub.number)
		return;
	m->scrub = (struct mirror_scrub){ .number = number, .running = true };
	if (m->scrub_was.number == number)
		m->scrub = m->scrub_was;
	m->scrub.running = m->scrub.at < m->conf.size;
	m->scrub.at -= m->scrub.at % m->conf.chunk;
	m->scrub_differs = m->scrub_fails = m->scrub_guessed = false;
	mirror_kick(m);
}

const struct mirror_scrub *mirror_scrub_now(const struct mirror *m)
{
	return &m->scrub;
}

void mirror_repairs(const struct mirror *m, uint64_t *repaired, uint64_t *failed)
{
	*repaired = m->repaired;
	*failed = m->repair_failed;
}

void mirror_rates(struct mirror *m, uint64_t rate, uint64_t scrub_rate)
{
	m->conf.rate = rate;
	m->conf.scrub_rate = scrub_rate;
	mirror_kick(m);
}
