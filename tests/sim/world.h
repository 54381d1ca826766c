/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world of virtual time: an event queue, one seeded generator for every choice, and a trace whose
 * hash is the same whenever the same seed is run. Knows nothing of what happens in it.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "base/rng.h"

struct world_event;

struct world {
	struct mono now;
	struct rng rng;
	struct world_event *heap;
	unsigned n, cap;
	uint64_t n_scheduled, n_run;
	uint64_t n_limit;               /* no more events than this; 0: no limit */
	uint64_t trace;                 /* hash over all trace lines */
	bool verbose;
	bool terse;                     /* without the details */
	uint64_t seed;
};

/* What happens at a point of time; `p` is freed after the call, and with the world. */
typedef void world_fn(void *ctx, unsigned node, uint64_t x, void *p);

void world_init(struct world *w, uint64_t seed, bool verbose);
void world_fini(struct world *w);
void world_at(struct world *w, struct mono when, world_fn *fn, void *ctx, unsigned node, uint64_t x, void *p);
void world_in_us(struct world *w, uint64_t us, world_fn *fn, void *ctx, unsigned node, uint64_t x, void *p);
/* Run until `end`, or nothing is left. */
void world_run(struct world *w, struct mono end);
/* One line of the trace: hashed always, printed if verbose. */
void world_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A detail: like a line, but not printed if terse. */
void world_detail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What is no line, but must be the same too: only hashed. */
void world_mix(struct world *w, const void *p, size_t n);
/* Uniform in [a, b]. */
uint64_t world_between(struct world *w, uint64_t a, uint64_t b);
/* True with this chance in 1000. */
bool world_chance(struct world *w, unsigned permille);

#endif
