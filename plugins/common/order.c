/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read beside a write of the same blocks gives the one or the other, as a disk does (SBC-3 4.4); the page cache gives
 * parts of both. Regions share words of a table: a write counts itself in and out, a read only looks, before and
 * after. Who meets another one is done by a thread aside that keeps the region for itself meanwhile.
 */
#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "plugins/common/disk.h"

#define REGION 16384u
#define WORDS 4096u

/* A word: the writes that have ended, the writes under way, and whether one thread has it for itself. */
#define WRITER (1ull << 48)
#define WRITERS (0x7fffull << 48)
#define HELD (1ull << 63)

struct order {
	_Atomic uint64_t word[WORDS];
	pthread_mutex_t lock;           /* of who holds regions: one at a time */
	struct aside *aside;            /* not the engine's: who waits here keeps no other disk waiting */
};

struct order *order_new(void)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->aside = aside_new();
	if (!o->aside) {
		free(o);
		return NULL;
	}
	pthread_mutex_init(&o->lock, NULL);
	return o;
}

void order_free(struct order **op)
{
	struct order *o = *op;

	if (!o)
		return;
	*op = NULL;
	aside_free(&o->aside);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

struct span {
	uint64_t first;
	unsigned n;
};

static struct span span_of(const struct director_io *io)
{
	uint64_t first = io->offset / REGION, n = (io->offset + io->len - 1) / REGION - first + 1;

	return (struct span){ first, n < WORDS ? (unsigned)n : WORDS };
}

static _Atomic uint64_t *word(struct order *o, struct span s, unsigned i)
{
	return &o->word[(s.first + i) % WORDS];
}

/* The writes that have ended there; false: one is under way. */
static bool quiet(struct order *o, struct span s, uint32_t *ended)
{
	uint64_t sum = 0, seen = 0, w;

	for (unsigned i = 0; i < s.n; i++) {
		w = atomic_load_explicit(word(o, s, i), memory_order_acquire);
		seen |= w;
		sum += w;
	}
	*ended = (uint32_t)sum;
	return !(seen & (HELD | WRITERS));
}

static bool is_write(const struct director_io *io)
{
	return io->op == DIRECTOR_WRITE || io->op == DIRECTOR_WRITE_ZEROES || io->op == DIRECTOR_DISCARD;
}

static bool count_in(struct order *o, struct span s)
{
	for (unsigned i = 0; i < s.n; i++)
		if (atomic_fetch_add(word(o, s, i), WRITER) & HELD) {
			for (; i < s.n; i--)
				atomic_fetch_sub(word(o, s, i), WRITER);
			return false;
		}
	return true;
}

bool order_begin(struct order *o, struct director_io *io)
{
	struct disk_state *st = disk_state(io);
	struct span s;

	if ((io->op != DIRECTOR_READ && !is_write(io)) || !io->len)
		return true;
	s = span_of(io);
	st->order = io->op == DIRECTOR_READ ? ORDER_LOOKED : ORDER_COUNTED;
	if (io->op == DIRECTOR_READ ? quiet(o, s, &st->ended) : count_in(o, s))
		return true;
	st->order = ORDER_WAITS;
	aside_put(o->aside, io);
	return false;
}

void order_hold(struct director_io *io)
{
	struct disk_state *st = disk_state(io);
	struct order *o = st->disk->order;
	struct span s = span_of(io);

	pthread_mutex_lock(&o->lock);
	for (unsigned i = 0; i < s.n; i++)
		atomic_fetch_or(word(o, s, i), HELD);
	for (unsigned i = 0, turns = 0; i < s.n; )
		if (!(atomic_load(word(o, s, i)) & WRITERS))
			i++;
		else if (turns++ < 100)
			sched_yield();
		else
			nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
	st->order = ORDER_HELD;
}

static void let_go(struct order *o, const struct director_io *io, struct span s)
{
	for (unsigned i = 0; i < s.n; i++)
		atomic_fetch_sub(word(o, s, i), HELD - (is_write(io) ? 1 : 0));
	pthread_mutex_unlock(&o->lock);
}

bool order_end(struct director_io *io, int32_t result)
{
	struct disk_state *st = disk_state(io);
	struct order *o = st->disk->order;
	struct span s;
	uint32_t ended;

	if (st->order == ORDER_NONE || st->order == ORDER_WAITS)
		return true;
	s = span_of(io);
	switch (st->order) {
	case ORDER_COUNTED:
		for (unsigned i = 0; i < s.n; i++)
			atomic_fetch_sub_explicit(word(o, s, i), WRITER - 1, memory_order_release);
		return true;
	case ORDER_HELD:
		let_go(o, io, s);
		return true;
	default:
		atomic_thread_fence(memory_order_acquire);
		if (result < 0 || (quiet(o, s, &ended) && ended == st->ended))
			return true;
		*st = (struct disk_state){ .disk = st->disk, .order = ORDER_WAITS };
		aside_put(o->aside, io);
		return false;
	}
}
