/* SPDX-License-Identifier: Apache-2.0 */
/* A leg's record as bytes: little-endian, with a checksum over all of it. */
#include "plugins/mirror/meta.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"

#define MAGIC "director-leg\0\0\0\1"
#define REGION_MIN 4096u

static uint8_t *put(uint8_t *p, uint64_t v)
{
	unsigned i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	return p + 8;
}

static const uint8_t *get(const uint8_t *p, uint64_t *v)
{
	unsigned i;

	for (*v = 0, i = 0; i < 8; i++)
		*v |= (uint64_t)p[i] << (8 * i);
	return p + 8;
}

void meta_encode(const struct mirror_meta *m, uint8_t out[META_RECORD])
{
	uint8_t *p = out + 16;

	memset(out, 0, META_RECORD);
	memcpy(out, MAGIC, 16);
	memcpy(p, m->volume, 16);
	memcpy(p + 16, m->leg, 16);
	p = put(p + 32, m->epoch);
	p = put(p, m->member);
	p = put(p, m->life);
	p = put(p, m->seq);
	p = put(p, m->size);
	p = put(p, m->region);
	p = put(p, (m->quiet ? 1u : 0u) | (m->bits ? 2u : 0u));
	p = put(p, m->scrub);
	p = put(p, m->scrub_at);
	p = put(p, m->scrub_different);
	put(p, m->scrub_repaired);
	put(out + META_RECORD - 8, crc32c(0, out, META_RECORD - 8));
}

int meta_decode(const uint8_t in[META_RECORD], struct mirror_meta *m)
{
	const uint8_t *p = in + 16;
	uint64_t flags, sum;

	if (memcmp(in, MAGIC, 16) != 0)
		return in[0] || memcmp(in, in + 1, META_RECORD - 1) != 0 ? -EINVAL : -ENODATA;
	get(in + META_RECORD - 8, &sum);
	if (sum != crc32c(0, in, META_RECORD - 8))
		return -EINVAL;
	memcpy(m->volume, p, 16);
	memcpy(m->leg, p + 16, 16);
	p = get(p + 32, &m->epoch);
	p = get(p, &m->member);
	p = get(p, &m->life);
	p = get(p, &m->seq);
	p = get(p, &m->size);
	p = get(p, &m->region);
	p = get(p, &flags);
	p = get(p, &m->scrub);
	p = get(p, &m->scrub_at);
	p = get(p, &m->scrub_different);
	get(p, &m->scrub_repaired);
	m->quiet = flags & 1;
	m->bits = flags & 2;
	/* The checksum is no proof of sense. */
	if (flags > 3 || m->region < REGION_MIN || (m->region & (m->region - 1)) || m->size == 0 || m->size > 1ull << 60 ||
		m->size / m->region >= (uint64_t)META_PAGES * MIRROR_PAGE_MAX * 8)
		return -EINVAL;
	return 0;
}
