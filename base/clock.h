/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks. Not for pure rooms. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <pthread.h>
#include <time.h>

#include "base/mono.h"

/* CLOCK_BOOTTIME: goes on while the machine is suspended, so that a lease cannot outlive a pause. */
struct mono mono_now(void);
/* Milliseconds since 1970, for people only. */
uint64_t wall_ms(void);

/* A condition whose timed waits nobody can stretch by setting the clock, and when such a wait that begins now is over. */
void cond_init(pthread_cond_t *c);
struct timespec cond_until(uint64_t ms);

#endif
