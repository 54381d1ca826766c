/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual time and the event queue: a binary heap, ties in the order of scheduling. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct world_event {
	struct mono when;
	uint64_t seq;
	world_fn *fn;
	void *ctx;
	unsigned node;
	uint64_t x;
	void *p;
};

void world_init(struct world *w, uint64_t seed, bool verbose)
{
	memset(w, 0, sizeof(*w));
	w->rng.s = seed * 0x9e3779b97f4a7c15u + 1;
	w->seed = seed;
	w->trace = 0xcbf29ce484222325u;
	w->verbose = verbose;
	w->now.ns = 1000000000u;
}

void world_fini(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++)
		free(w->heap[i].p);
	free(w->heap);
	memset(w, 0, sizeof(*w));
}

static bool before(const struct world_event *a, const struct world_event *b)
{
	return a->when.ns != b->when.ns ? a->when.ns < b->when.ns : a->seq < b->seq;
}

void world_at(struct world *w, struct mono when, world_fn *fn, void *ctx, unsigned node, uint64_t x, void *p)
{
	unsigned i = w->n++;
	struct world_event e = { when.ns < w->now.ns ? w->now : when, w->n_scheduled++, fn, ctx, node, x, p };

	w->heap = mem_grow(w->heap, &w->cap, i, sizeof(e));
	while (i > 0 && before(&e, &w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = e;
}

void world_in_us(struct world *w, uint64_t us, world_fn *fn, void *ctx, unsigned node, uint64_t x, void *p)
{
	world_at(w, (struct mono){ w->now.ns + us * 1000 }, fn, ctx, node, x, p);
}

static struct world_event pop(struct world *w)
{
	struct world_event top = w->heap[0], e = w->heap[--w->n];
	unsigned i = 0, c;

	while ((c = 2 * i + 1) < w->n) {
		if (c + 1 < w->n && before(&w->heap[c + 1], &w->heap[c]))
			c++;
		if (!before(&w->heap[c], &e))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	w->heap[i] = e;
	return top;
}

void world_run(struct world *w, struct mono end)
{
	while (w->n && w->heap[0].when.ns <= end.ns && (!w->n_limit || w->n_run < w->n_limit)) {
		struct world_event e = pop(w);

		w->now = e.when;
		w->n_run++;
		e.fn(e.ctx, e.node, e.x, e.p);
		free(e.p);
	}
	w->now = end;
}

static void line(struct world *w, bool print, const char *fmt, va_list ap)
{
	char text[400];
	int n;

	n = snprintf(text, sizeof(text), "%llu.%06llu ", (unsigned long long)(w->now.ns / 1000000000u),
		     (unsigned long long)(w->now.ns % 1000000000u / 1000));
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	for (const char *p = text; *p; p++)
		w->trace = (w->trace ^ (uint8_t)*p) * 0x100000001b3u;
	if (print)
		printf("%s\n", text);
}

void world_trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(w, w->verbose, fmt, ap);
	va_end(ap);
}

void world_detail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line(w, w->verbose && !w->terse, fmt, ap);
	va_end(ap);
}

void world_mix(struct world *w, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t x;

	for (; n >= sizeof(x); b += sizeof(x), n -= sizeof(x)) {
		memcpy(&x, b, sizeof(x));
		w->trace = (w->trace ^ x) * 0x9e3779b97f4a7c15u;
		w->trace ^= w->trace >> 32;
	}
	for (; n; n--)
		w->trace = (w->trace ^ *b++) * 0x100000001b3u;
	w->trace = (w->trace ^ 0xff) * 0x100000001b3u;
}

uint64_t world_between(struct world *w, uint64_t a, uint64_t b)
{
	return a + rng_below(&w->rng, b - a + 1);
}

bool world_chance(struct world *w, unsigned permille)
{
	return rng_below(&w->rng, 1000) < permille;
}
