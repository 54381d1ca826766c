/* SPDX-License-Identifier: Apache-2.0 */
/* The agreed state of the legs as directord gives it: a parameter that may change while the volume is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/mirror/mirror.h"

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 hex digits, dashes between them or not. */
static const char *uuid_read(const char *p, uint8_t uuid[16])
{
	unsigned n = 0;

	for (; n < 32; p++) {
		int v = nibble(*p);

		if (*p == '-' && n)
			continue;
		if (v < 0)
			return NULL;
		uuid[n / 2] = (uint8_t)(n % 2 ? uuid[n / 2] << 4 | v : v);
		n++;
	}
	return p;
}

int mirror_uuid_parse(const char *text, uint8_t uuid[16])
{
	const char *end = uuid_read(text, uuid);

	return end && *end == 0 ? 0 : -EINVAL;
}

static const char *number(const char *p, uint64_t *v)
{
	if (*p++ != ':' || *p < '0' || *p > '9')
		return NULL;
	for (*v = 0; *p >= '0' && *p <= '9'; p++) {
		if (*v > (UINT64_MAX - 9) / 10)
			return NULL;
		*v = *v * 10 + (uint64_t)(*p - '0');
	}
	return p;
}

/* One of the words; its index goes to *which. */
static const char *word(const char *p, const char *const *words, unsigned n, unsigned *which)
{
	if (*p++ != ':')
		return NULL;
	for (*which = 0; *which < n; (*which)++) {
		size_t len = strlen(words[*which]);

		if (strncmp(p, words[*which], len) == 0)
			return p + len;
	}
	return NULL;
}

int mirror_legs_parse(const char *p, struct mirror_legs *legs)
{
	static const char *const states[] = { "new", "out", "in", "first", "gone", "taken" }, *const places[] = { "remote", "local" };

	for (legs->n = 0; ; p++) {
		struct mirror_leg_conf *l = &legs->leg[legs->n];
		unsigned state = 0, place = 0;

		if (legs->n == MIRROR_LEGS_MAX)
			return -EINVAL;
		memset(l, 0, sizeof(*l));
		p = uuid_read(p, l->uuid);
		p = p ? word(p, states, 6, &state) : NULL;
		p = p ? number(p, &l->turn) : NULL;
		p = p ? number(p, &l->member) : NULL;
		p = p ? number(p, &l->since) : NULL;
		p = p ? word(p, places, 2, &place) : NULL;
		if (!p)
			return -EINVAL;
		legs->first[legs->n] = state == 3 || state == 5;
		legs->taken[legs->n] = state == 5;
		legs->gone[legs->n] = state == 4;
		l->state = state > MIRROR_IN ? MIRROR_IN : (enum mirror_state)state;
		l->local = place;
		legs->n++;
		if (*p == 0)
			return 0;
		if (*p != ',')
			return -EINVAL;
	}
}
