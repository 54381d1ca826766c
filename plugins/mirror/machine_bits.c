/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intent bits and metadata of the legs. A bit that is being cleared on a leg counts as cleared there from the
 * moment the write of its page is sent; one that is being set counts as set when that write is stable.
 */
#include "plugins/mirror/machine_int.h"

#include <string.h>

void bits_of(const struct mirror *m, const struct mirror_op *op, uint64_t *first, uint64_t *last)
{
	*first = op->offset / m->conf.region;
	*last = (op->offset + (op->len ? op->len - 1 : 0)) / m->conf.region;
}

void bits_mask(const struct mirror *m, uint64_t *bits)
{
	uint64_t w = m->n_region / 64;

	if (m->n_region % 64)
		bits[w++] &= (1ull << m->n_region % 64) - 1;
	if (w < m->n_word)
		memset(bits + w, 0, (m->n_word - w) * 8);
}

static unsigned page_of(const struct mirror *m, uint64_t region)
{
	return (unsigned)(region / (m->conf.page * 8));
}

static void page_changed(struct mirror *m, unsigned page)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (written(&m->leg[i]))
			m->leg[i].page_want[page] = true;
}

void intent_set(struct mirror *m, const struct mirror_op *op)
{
	uint64_t r, last;

	for (bits_of(m, op, &r, &last); r <= last; r++) {
		bit_set(m->touched, r);
		if (MIRROR_PLANTED(MIRROR_PLANT_NO_INTENT) || (bit_test(m->dirty, r)))
			continue;
		bit_set(m->dirty, r);
		page_changed(m, page_of(m, r));
	}
}

bool intent_stable(const struct mirror *m, const struct mirror_op *op)
{
	uint64_t r, last;
	unsigned i;

	if (MIRROR_PLANTED(MIRROR_PLANT_NO_INTENT))
		return true;
	for (bits_of(m, op, &r, &last); r <= last; r++)
		for (i = 0; i < m->n_leg; i++)
			if (written(&m->leg[i]) && !bit_test(m->leg[i].disk, r))
				return false;
	return true;
}

bool intent_refused(const struct mirror *m, const struct mirror_op *op)
{
	uint64_t r, last;
	unsigned i;

	for (bits_of(m, op, &r, &last); r <= last; r++)
		for (i = 0; i < m->n_leg; i++) {
			const struct leg *l = &m->leg[i];
			unsigned p = page_of(m, r);

			if (counts(l) && l->page_again && !bit_test(l->disk, r) && !l->page_want[p] && !l->page_io[p].busy)
				return true;
		}
	return false;
}

void pages_want(struct mirror *m, struct leg *l)
{
	unsigned p;

	for (p = 0; p < m->n_page; p++)
		l->page_want[p] = true;
}

bool pages_written(const struct mirror *m, const struct leg *l)
{
	unsigned p;

	for (p = 0; p < m->n_page; p++)
		if (l->page_want[p] || l->page_io[p].busy)
			return false;
	return !l->page_again;
}

void meta_want(struct mirror *m, struct leg *l, bool quiet, uint64_t member)
{
	memcpy(l->meta.volume, m->conf.uuid, 16);
	memcpy(l->meta.leg, l->conf.uuid, 16);
	l->meta.epoch = m->conf.epoch;
	l->meta.size = m->size_said;
	l->meta.region = m->conf.region;
	l->meta.life = l->life;
	l->meta.member = member;
	l->meta.quiet = quiet;
	l->meta.scrub = m->scrub.number ? m->scrub.number : m->scrub_was.number;
	l->meta.scrub_at = m->scrub.number ? m->scrub.at : m->scrub_was.at;
	l->meta.scrub_different = m->scrub.number ? m->scrub.different : m->scrub_was.different;
	l->meta.scrub_repaired = m->scrub.number ? m->scrub.repaired : m->scrub_was.repaired;
	l->meta.bits = true;
	l->meta_want = true;
}

static void page_emit(struct mirror *m, unsigned leg, unsigned page)
{
	struct leg *l = &m->leg[leg];
	struct mirror_io *io = &l->page_io[page];
	uint64_t *buf = (uint64_t *)(void *)(l->page_buf + (size_t)page * m->conf.page);
	unsigned words = m->conf.page / 8, w;

	l->page_want[page] = false;
	for (w = 0; w < words; w++) {
		unsigned at = page * words + w;

		buf[w] = m->dirty[at] | (l->run == LEG_SYNC ? l->kept[at] : 0);
		l->disk[at] &= buf[w];
	}
	io->page = page;
	io->p = (const uint8_t *)buf;
	io_emit(m, io, leg, MIRROR_IO_PAGE, WHY_PAGE);
}

void page_done(struct mirror *m, struct mirror_io *io, int result)
{
	struct leg *l = &m->leg[io->leg];

	if (result < 0) {
		leg_fail(m, io->leg, result);
		/* The last leg stays in use: the page must be tried again, or nothing in it can be written. */
		l->page_again = counts(l);
		m->recheck = true;
		return;
	}
	memcpy(l->disk + io->page * (m->conf.page / 8), io->p, m->conf.page);
	m->recheck = true;
}

/* What the last leg could not write. */
void bits_again(struct mirror *m)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++) {
		struct leg *l = &m->leg[i];

		if (l->page_again)
			pages_want(m, l);
		l->meta_want |= l->meta_again;
		l->page_again = l->meta_again = false;
	}
}

void bits_kick(struct mirror *m)
{
	unsigned i, p;

	if (m->over)
		return;
	for (i = 0; i < m->n_leg; i++) {
		struct leg *l = &m->leg[i];

		if (l->run == LEG_AWAY || l->run == LEG_FAILED)
			continue;
		for (p = 0; p < m->n_page; p++)
			if (l->page_want[p] && !l->page_io[p].busy)
				page_emit(m, i, p);
		if (l->meta_want && !l->meta_io.busy) {
			l->meta_want = false;
			l->meta.seq++;
			l->meta_sent = l->meta;
			l->meta_io.meta = &l->meta_sent;
			io_emit(m, &l->meta_io, i, MIRROR_IO_META, WHY_META);
		}
	}
}

/* ---- lazy cleaning: only while all legs of the volume are in sync ---- */

static bool clean_may(const struct mirror *m)
{
	unsigned i;

	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run != LEG_LIVE)
			return false;
	return m->open && !m->over && !m->freezing && !m->n_recover;
}

void clean_tick(struct mirror *m)
{
	const struct mirror_op *o;
	uint64_t any = 0, r, last;
	unsigned w;

	if (m->cleaning || !clean_may(m))
		return;
	for (w = 0; w < m->n_word; w++)
		any |= m->cold[w] = m->dirty[w] & ~m->touched[w];
	memset(m->touched, 0, m->n_word * 8);
	TAILQ_FOREACH(o, &m->ops, entry)
		if (o->kind == MIRROR_WRITE && op_runs(o))
			for (bits_of(m, o, &r, &last); r <= last; r++)
				bit_set(m->touched, r);
	if (!any)
		return;
	m->cleaning = true;
	m->clean_op.kind = MIRROR_FLUSH;
	op_add(m, &m->clean_op);
	m->recheck = true;
}

/* All legs have flushed: what was not written since lies on all of them. */
void clean_done(struct mirror *m, int result)
{
	uint64_t gone;
	unsigned w;

	m->cleaning = false;
	if (result < 0 || !clean_may(m))
		return;
	for (w = 0; w < m->n_word; w++) {
		gone = m->cold[w] & ~m->touched[w];
		if (!gone)
			continue;
		m->dirty[w] &= ~gone;
		page_changed(m, w / (m->conf.page / 8));
	}
}
