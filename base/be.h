/* SPDX-License-Identifier: Apache-2.0 */
/* Big-endian numbers of 1 to 8 bytes, as protocols have them; where each one counts there are unrolled ones (pdu.h, bytes.h). */
#ifndef BASE_BE_H
#define BASE_BE_H

#include <stdint.h>

static inline uint64_t be_get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* What does not fit is cut off. */
static inline void be_put(uint8_t *p, uint64_t v, unsigned n)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

#endif
