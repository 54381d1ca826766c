/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C, the polynomial of RFC 7143 section 13.1. */
#include "base/crc32c.h"

#include <string.h>

static uint32_t step_byte(uint32_t crc, uint8_t b)
{
	crc ^= b;
	for (int k = 0; k < 8; k++)
		crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	return crc;
}

static uint32_t crc_table(uint32_t crc, const uint8_t *p, size_t n)
{
	/* Filled twice with the same values at worst, so a race between threads does no harm. */
	static uint32_t table[256];

	if (!__atomic_load_n(&table[1], __ATOMIC_ACQUIRE))
		for (unsigned i = 256; i-- > 0; )
			__atomic_store_n(&table[i], step_byte(i, 0), __ATOMIC_RELEASE);
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2")))
static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		c = _mm_crc32_u64(c, v);
	}
	for (; n; p++, n--)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_hw(~crc, p, n);
#endif
	return ~crc_table(~crc, p, n);
}
