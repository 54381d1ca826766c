/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A point of monotonic time as a type of its own, so that it is never mixed up with a duration or a
 * wall clock. Pure rooms get it passed in; only the edge reads a clock (mono_now in base/clock.h).
 */
#ifndef BASE_MONO_H
#define BASE_MONO_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
	uint64_t ns;
};

#define MONO_NEVER ((struct mono){ UINT64_MAX })

static inline struct mono mono_add_ms(struct mono t, uint64_t ms)
{
	return t.ns == UINT64_MAX ? t : (struct mono){ t.ns + ms * 1000000u };
}

/* Milliseconds from `a` to `b`; 0 when `b` is not later. */
static inline uint64_t mono_ms_between(struct mono a, struct mono b)
{
	return b.ns > a.ns ? (b.ns - a.ns) / 1000000u : 0;
}

static inline bool mono_before(struct mono a, struct mono b)
{
	return a.ns < b.ns;
}

/* Is `deadline` reached at `now`? */
static inline bool mono_due(struct mono deadline, struct mono now)
{
	return deadline.ns <= now.ns;
}

static inline struct mono mono_min(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

#endif
