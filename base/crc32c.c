/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C, the polynomial of RFC 7143 section 13.1.
 *
 * The processor's instruction gives 8 bytes every cycle but takes three cycles for each, so longer data go as three
 * streams at once. A carry-less multiplication by a power of x moves the first two to where the third ends.
 */
#include "base/crc32c.h"

#include <string.h>

#define POLY 0x82f63b78u

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

/* ---- by table, eight bytes at a time ---- */

/* Filled twice with the same values at worst, so a race between threads does no harm. */
static uint32_t table[8][256];

static uint32_t at(unsigned k, uint64_t byte)
{
	return __atomic_load_n(&table[k][byte & 0xff], __ATOMIC_RELAXED);
}

static void table_fill(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ POLY : crc >> 1;
		__atomic_store_n(&table[0][i], crc, __ATOMIC_RELAXED);
	}
	for (unsigned k = 1; k < 8; k++)
		for (unsigned i = 0; i < 256; i++)
			/* The last one of all says that the rest is there. */
			__atomic_store_n(&table[k][i], at(k - 1, i) >> 8 ^ at(0, at(k - 1, i)), __ATOMIC_RELEASE);
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (!__atomic_load_n(&table[7][255], __ATOMIC_ACQUIRE))
		table_fill();
	crc = ~crc;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v = load64(p) ^ crc;

		crc = at(7, v) ^ at(6, v >> 8) ^ at(5, v >> 16) ^ at(4, v >> 24) ^ at(3, v >> 32) ^
			at(2, v >> 40) ^ at(1, v >> 48) ^ at(0, v >> 56);
	}
#endif
	while (n--)
		crc = crc >> 8 ^ at(0, crc ^ *p++);
	return ~crc;
}

/* ---- by instruction ---- */

#ifdef __x86_64__
#include <immintrin.h>

/* Bytes of one of the three streams, with x^(16 n - 33) and x^(8 n - 33) modulo the polynomial, reflected. */
#define LONG_N 1344
#define LONG_2N 0x889774e1u
#define LONG_1N 0xc9c8b782u
#define SHORT_N 168
#define SHORT_2N 0xa60ce07bu
#define SHORT_1N 0x1b3d8f29u

__attribute__((target("sse4.2,pclmul"), always_inline))
static inline uint64_t times(uint64_t crc, uint32_t k)
{
	__m128i v = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi32_si128((int)k), 0);

	return (uint64_t)_mm_cvtsi128_si64(v);
}

/* Three streams of `n` bytes, multiple of 8, that follow each other. */
__attribute__((target("sse4.2,pclmul"), always_inline))
static inline uint64_t three(uint64_t a, const uint8_t *p, size_t n, uint32_t k2, uint32_t k1)
{
	const uint8_t *end = p + n - 8;
	uint64_t b = 0, c = 0;

	for (; p < end; p += 8) {
		a = _mm_crc32_u64(a, load64(p));
		b = _mm_crc32_u64(b, load64(p + n));
		c = _mm_crc32_u64(c, load64(p + 2 * n));
	}
	a = _mm_crc32_u64(a, load64(p));
	b = _mm_crc32_u64(b, load64(p + n));
	/* The product takes part in the last step, which reduces it. */
	return _mm_crc32_u64(c, load64(p + 2 * n) ^ times(a, k2) ^ times(b, k1));
}

__attribute__((target("sse4.2,pclmul")))
static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = ~crc;

	for (; n >= 3 * LONG_N; p += 3 * LONG_N, n -= 3 * LONG_N)
		c = three(c, p, LONG_N, LONG_2N, LONG_1N);
	for (; n >= 3 * SHORT_N; p += 3 * SHORT_N, n -= 3 * SHORT_N)
		c = three(c, p, SHORT_N, SHORT_2N, SHORT_1N);
	for (; n >= 8; p += 8, n -= 8)
		c = _mm_crc32_u64(c, load64(p));
	for (; n; p++, n--)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return ~(uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		return crc_hw(crc, p, n);
#endif
	return crc32c_table(crc, p, n);
}
