/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads that need no machine. A read may go straight to a leg that is in sync if no write that overlaps is under way,
 * and a write that comes meanwhile waits for it: else the read might show what vanishes with its owner (5 of
 * doc/ownership.md). Both sides count themselves first and look at the other's count then, so that one of them sees the other.
 */
#include "plugins/mirror/mirror.h"

static uint64_t granules(uint64_t offset, uint64_t len, uint64_t *first)
{
	uint64_t last = (offset + (len ? len - 1 : 0)) >> GATE_BITS;

	*first = offset >> GATE_BITS;
	return last - *first + 1;
}

void gate_init(struct gate *g)
{
	pthread_mutex_init(&g->lock, NULL);
	TAILQ_INIT(&g->waiting);
}

void gate_fini(struct gate *g)
{
	pthread_mutex_destroy(&g->lock);
}

static bool read_before(struct gate *g, const struct gate_write *w)
{
	uint64_t first, n = granules(w->offset, w->len, &first), i;

	for (i = 0; i < n && i < GATE_SLOTS; i++)
		if (atomic_load(&g->slot[(first + i) % GATE_SLOTS].readers))
			return true;
	return false;
}

void gate_write_begin(struct gate *g, struct gate_write *w)
{
	uint64_t first, n = granules(w->offset, w->len, &first), i;
	bool wait;

	for (i = 0; i < n && i < GATE_SLOTS; i++)
		atomic_fetch_add(&g->slot[(first + i) % GATE_SLOTS].writers, 1);
	wait = read_before(g, w);
	if (wait) {
		/* The last of those reads looks here with the lock, if it has not ended by now. */
		pthread_mutex_lock(&g->lock);
		wait = read_before(g, w);
		if (wait)
			TAILQ_INSERT_TAIL(&g->waiting, w, entry);
		pthread_mutex_unlock(&g->lock);
	}
	if (!wait)
		w->go(w);
}

void gate_write_end(struct gate *g, const struct gate_write *w)
{
	uint64_t first, n = granules(w->offset, w->len, &first), i;

	for (i = 0; i < n && i < GATE_SLOTS; i++)
		atomic_fetch_sub(&g->slot[(first + i) % GATE_SLOTS].writers, 1);
}

/* Let go what no read is before any more. */
static void wake(struct gate *g)
{
	TAILQ_HEAD(, gate_write) ready = TAILQ_HEAD_INITIALIZER(ready);
	struct gate_write *w, *next;

	pthread_mutex_lock(&g->lock);
	for (w = TAILQ_FIRST(&g->waiting); w; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (read_before(g, w))
			continue;
		TAILQ_REMOVE(&g->waiting, w, entry);
		TAILQ_INSERT_TAIL(&ready, w, entry);
	}
	pthread_mutex_unlock(&g->lock);
	while ((w = TAILQ_FIRST(&ready)) != NULL) {
		TAILQ_REMOVE(&ready, w, entry);
		w->go(w);
	}
}

void gate_read_end(struct gate *g, uint64_t offset, uint64_t len)
{
	uint64_t first, n = granules(offset, len, &first), i;
	bool waited = false;

	for (i = 0; i < n; i++) {
		struct gate_count *c = &g->slot[(first + i) % GATE_SLOTS];

		atomic_fetch_sub(&c->readers, 1);
		waited |= atomic_load(&c->writers) != 0;
	}
	if (waited)
		wake(g);
}

bool gate_read_begin(struct gate *g, uint64_t offset, uint64_t len)
{
	uint64_t first, n = granules(offset, len, &first), i;
	bool clear = true;

	if (n > GATE_READ_MAX)
		return false;
	for (i = 0; i < n; i++)
		atomic_fetch_add(&g->slot[(first + i) % GATE_SLOTS].readers, 1);
	for (i = 0; i < n; i++)
		clear &= atomic_load(&g->slot[(first + i) % GATE_SLOTS].writers) == 0;
	if (!clear)
		gate_read_end(g, offset, len);
	return clear;
}
