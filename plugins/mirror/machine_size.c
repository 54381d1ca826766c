/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size of the volume changes while it is open. To grow: the bits of what is new on every leg, then the size in
 * the metadata of every leg, and then it is said. A crash between leaves legs that say different sizes: the smallest counts,
 * which nobody was told to be larger. To shrink: nobody uses what goes, and the size in the metadata comes first.
 */
#include "plugins/mirror/machine_int.h"

#include <errno.h>
#include <string.h>

void size_set(struct mirror *m, uint64_t size)
{
	m->conf.size = size;
	m->n_region = (size + m->conf.region - 1) / m->conf.region;
	m->n_page = (unsigned)((m->n_region + m->conf.page * 8 - 1) / (m->conf.page * 8));
	m->n_word = m->n_page * m->conf.page / 8;
}

static void grow(struct mirror *m, uint64_t size)
{
	uint64_t r = m->conf.size / m->conf.region;
	unsigned i;

	size_set(m, size);
	for (; r < m->n_region && !MIRROR_PLANTED(MIRROR_PLANT_GROW); r++) {
		bit_set(m->dirty, r);
		bit_set(m->touched, r);
		if (!bit_test(m->recover, r)) {
			bit_set(m->recover, r);
			m->n_recover++;
		}
		for (i = 0; i < m->n_leg; i++) {
			struct leg *l = &m->leg[i];

			if (l->run != LEG_SYNC)
				continue;
			l->n_need += !bit_test(l->need, r);
			bit_set(l->need, r);
			bit_set(l->kept, r);
			bit_set(l->next, r);
		}
	}
	for (i = 0; i < m->n_leg; i++)
		if (written(&m->leg[i]))
			pages_want(m, &m->leg[i]);
	m->recover_low = 0;
	m->resize = RESIZE_BITS;
}

static int shrink(struct mirror *m, uint64_t size)
{
	unsigned i;

	for (i = 0; i < MIRROR_SLOTS; i++)
		if (m->copy[i].busy)
			return -EBUSY;
	for (i = 0; i < m->n_leg; i++)
		if (m->leg[i].run == LEG_SYNC || m->leg[i].run == LEG_JOIN || m->leg[i].run == LEG_FAILED)
			return -EBUSY;
	if (m->n_recover || m->cleaning)
		return -EBUSY;
	m->conf.size = size;
	m->n_region = (size + m->conf.region - 1) / m->conf.region;
	bits_mask(m, m->dirty);         /* with all the words of the old size */
	bits_mask(m, m->touched);
	size_set(m, size);
	m->n_repair = 0;
	if (m->scrub.at > size)
		m->scrub.at = size;
	m->scrub.running = m->scrub.running && m->scrub.at < size;
	m->resize = RESIZE_BITS;
	return 0;
}

int mirror_resize(struct mirror *m, uint64_t size)
{
	uint64_t pages = (size + m->conf.region * m->conf.page * 8 - 1) / (m->conf.region * m->conf.page * 8);
	int r = 0;

	if (m->over)
		return -ESTALE;
	if (size == m->conf.size)
		return 0;
	if (pages > m->page_cap)
		return -EFBIG;
	if (!m->open || m->freezing || m->resize)
		return -EBUSY;
	if (size > m->conf.size)
		grow(m, size);
	else
		r = shrink(m, size);
	m->recheck = true;
	mirror_kick(m);
	return r;
}

void size_kick(struct mirror *m)
{
	unsigned i;

	if (!m->resize || m->over || legs_in(m, LEG_FAILED))
		return;
	for (i = 0; i < m->n_leg; i++)
		if (written(&m->leg[i]) && (m->resize == RESIZE_BITS ? !pages_written(m, &m->leg[i]) :
			m->leg[i].meta_want || m->leg[i].meta_again || m->leg[i].meta_io.busy))
			return;
	if (m->resize == RESIZE_META) {
		m->resize = RESIZE_NONE;
		return;
	}
	m->resize = RESIZE_META;
	m->size_said = m->conf.size;
	for (i = 0; i < m->n_leg; i++)
		if (written(&m->leg[i]))
			meta_want(m, &m->leg[i], false, m->leg[i].meta.member);
}

bool mirror_is_resized(const struct mirror *m)
{
	return !m->resize;
}

uint64_t mirror_size(const struct mirror *m)
{
	return m->conf.size;
}
