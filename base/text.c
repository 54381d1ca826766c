/* SPDX-License-Identifier: Apache-2.0 */
/* Small text forms. */
#include "base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int text_u64_parse(const char *s, uint64_t *v)
{
	uint64_t n = 0;

	if (!*s)
		return ERR_INVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return ERR_INVAL;
		if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return ERR_INVAL;
	}
	*v = n;
	return 0;
}

/* A decimal number with at most one fraction (frac / scale); *end is behind it. */
static int number_parse(const char *s, const char **end, uint64_t *whole, uint64_t *frac, uint64_t *scale)
{
	*whole = 0;
	*frac = 0;
	*scale = 1;
	if (!isdigit((unsigned char)*s))
		return ERR_INVAL;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(*whole, 10u, whole) ||
		    __builtin_add_overflow(*whole, (uint64_t)(*s - '0'), whole))
			return ERR_INVAL;
	if (*s == '.') {
		s++;
		if (!isdigit((unsigned char)*s))
			return ERR_INVAL;
		for (; isdigit((unsigned char)*s); s++) {
			if (*scale >= 1000000)
				return ERR_INVAL;
			*frac = *frac * 10 + (uint64_t)(*s - '0');
			*scale *= 10;
		}
	}
	*end = s;
	return 0;
}

static int scaled(uint64_t whole, uint64_t frac, uint64_t scale, uint64_t unit, uint64_t *out)
{
	uint64_t n, f = (uint64_t)((unsigned __int128)frac * unit / scale);

	if (__builtin_mul_overflow(whole, unit, &n) || __builtin_add_overflow(n, f, out))
		return ERR_INVAL;
	if (unit == 1 && frac)
		return ERR_INVAL;
	return 0;
}

int text_size_parse(const char *s, uint64_t *bytes)
{
	static const char units[] = "KMGTPE";
	uint64_t whole, frac, scale, unit = 1;

	if (number_parse(s, &s, &whole, &frac, &scale) < 0)
		return ERR_INVAL;
	if (*s && *s != 'B' && *s != 'b') {
		const char *u = strchr(units, toupper((unsigned char)*s));

		if (!u)
			return ERR_INVAL;
		unit = 1ull << (10 * (u - units + 1));
		s++;
		if (*s == 'i')
			s++;
	}
	if (*s == 'B' || *s == 'b')
		s++;
	if (*s)
		return ERR_INVAL;
	return scaled(whole, frac, scale, unit, bytes);
}

char *text_size(uint64_t bytes, char *out)
{
	static const char units[] = "KMGTPE";
	int i = -1;
	uint64_t unit = 1;

	while (i < 5 && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (i < 0)
		snprintf(out, 24, "%" PRIu64, bytes);
	else if (bytes % unit == 0)
		snprintf(out, 24, "%" PRIu64 "%c", bytes / unit, units[i]);
	else
		snprintf(out, 24, "%.1f%c", (double)bytes / (double)unit, units[i]);
	return out;
}

int text_ms_parse(const char *s, uint64_t *ms)
{
	static const struct { const char *name; uint64_t ms; } units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
	};
	uint64_t whole, frac, scale;

	if (number_parse(s, &s, &whole, &frac, &scale) < 0)
		return ERR_INVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(s, units[i].name) == 0)
			return scaled(whole, frac, scale, units[i].ms, ms);
	return ERR_INVAL;
}

char *text_ms(uint64_t ms, char *out)
{
	if (ms < 1000)
		snprintf(out, 32, "%" PRIu64 "ms", ms);
	else if (ms < 60000)
		snprintf(out, 32, "%" PRIu64 ".%" PRIu64 "s", ms / 1000, ms % 1000 / 100);
	else if (ms < 3600000)
		snprintf(out, 32, "%" PRIu64 "m%02" PRIu64 "s", ms / 60000, ms % 60000 / 1000);
	else if (ms < 86400000)
		snprintf(out, 32, "%" PRIu64 "h%02" PRIu64 "m", ms / 3600000, ms % 3600000 / 60000);
	else
		snprintf(out, 32, "%" PRIu64 "d%02" PRIu64 "h", ms / 86400000, ms % 86400000 / 3600000);
	return out;
}

char *text_hex(const void *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * n] = '\0';
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int text_hex_parse(const char *s, void *out, size_t n)
{
	uint8_t *b = out;

	if (strnlen(s, 2 * n + 1) != 2 * n)
		return ERR_INVAL;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return ERR_INVAL;
		b[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

char *text_uuid(const uint8_t u[16], char *out)
{
	char hex[33];

	text_hex(u, 16, hex);
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return out;
}

int text_uuid_parse(const char *s, uint8_t uuid[16])
{
	char hex[33];
	size_t n = 0;

	if (strnlen(s, 37) != 36)
		return ERR_INVAL;
	for (size_t i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i] != '-')
				return ERR_INVAL;
		} else {
			hex[n++] = s[i];
		}
	}
	hex[n] = '\0';
	return text_hex_parse(hex, uuid, 16);
}

bool text_ok(const char *s, size_t max)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t len = strnlen(s, max + 1);

	if (len > max)
		return false;
	while (*p) {
		unsigned more = *p < 0x80 ? 0 : *p < 0xc2 ? 9 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : *p < 0xf5 ? 3 : 9;

		if (*p < 0x20 || *p == 0x7f || more == 9)
			return false;
		if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
		    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
			return false;
		for (p++; more; more--, p++)
			if ((*p & 0xc0) != 0x80)
				return false;
	}
	return true;
}

void text_fold(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s |= 0x20;
}
