/* SPDX-License-Identifier: Apache-2.0 */
/* A leg's record as bytes, with a checksum over all of it. */
#include "plugins/mirror/meta.h"

#include <errno.h>
#include <string.h>

#define REGION_MIN 4096u

static void put(uint8_t field[8], uint64_t v)
{
	le_put(field, v, 8);
}

static uint64_t get(const uint8_t field[8])
{
	return le_get(field, 8);
}

void meta_encode(const struct mirror_meta *m, uint8_t out[LEG_RECORD])
{
	struct leg_record *r = (struct leg_record *)out;

	memset(r, 0, sizeof(*r));
	memcpy(r->magic, LEG_MAGIC, sizeof(r->magic));
	memcpy(r->volume, m->volume, 16);
	memcpy(r->leg, m->leg, 16);
	put(r->epoch, m->epoch);
	put(r->member, m->member);
	put(r->life, m->life);
	put(r->seq, m->seq);
	put(r->size, m->size);
	put(r->region, m->region);
	put(r->flags, (m->quiet ? LEG_QUIET : 0) | (m->bits ? LEG_HAS_BITS : 0));
	put(r->scrub, m->scrub);
	put(r->scrub_at, m->scrub_at);
	put(r->scrub_different, m->scrub_different);
	put(r->scrub_repaired, m->scrub_repaired);
	put(r->sum, leg_record_sum(r));
}

int meta_decode(const uint8_t in[LEG_RECORD], struct mirror_meta *m)
{
	const struct leg_record *r = (const struct leg_record *)in;
	uint64_t flags;

	if (!leg_record_good(r))
		return in[0] || memcmp(in, in + 1, LEG_RECORD - 1) != 0 ? -EINVAL : -ENODATA;
	memcpy(m->volume, r->volume, 16);
	memcpy(m->leg, r->leg, 16);
	m->epoch = get(r->epoch);
	m->member = get(r->member);
	m->life = get(r->life);
	m->seq = get(r->seq);
	m->size = get(r->size);
	m->region = get(r->region);
	flags = get(r->flags);
	m->scrub = get(r->scrub);
	m->scrub_at = get(r->scrub_at);
	m->scrub_different = get(r->scrub_different);
	m->scrub_repaired = get(r->scrub_repaired);
	m->quiet = flags & LEG_QUIET;
	m->bits = flags & LEG_HAS_BITS;
	/* The checksum is no proof of sense. */
	if (flags > (LEG_QUIET | LEG_HAS_BITS) || m->region < REGION_MIN || (m->region & (m->region - 1)) || m->size == 0 ||
		m->size > 1ull << 60 || m->size / m->region >= (uint64_t)META_PAGES * MIRROR_PAGE_MAX * 8)
		return -EINVAL;
	return 0;
}
