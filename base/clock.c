/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks: the only place that reads them. */
#include "base/clock.h"

#include <time.h>

struct mono mono_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (struct mono){ (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec };
}

uint64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}
