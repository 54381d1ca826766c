/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian numbers of 1 to 8 bytes, as our own records have them. */
#ifndef BASE_LE_H
#define BASE_LE_H

#include <stdint.h>

static inline uint64_t le_get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

/* What does not fit is cut off. */
static inline void le_put(uint8_t *p, uint64_t v, unsigned n)
{
	for (; n; n--, v >>= 8)
		*p++ = (uint8_t)v;
}

#endif
