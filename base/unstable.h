/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server elsewhere has acknowledged and may lose with its power or its process, and whether it has. A server that may have
 * started anew says nothing of that: a flush would succeed, of what is still there. So the first one after it is told.
 * From any thread.
 */
#ifndef BASE_UNSTABLE_H
#define BASE_UNSTABLE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/random.h>

struct unstable {
	_Atomic uint64_t changes;       /* that have ended and are not stable by themselves */
	_Atomic uint64_t stable;        /* so many of them were flushed, or are known to be lost */
	_Atomic uint64_t losses, told;
	uint64_t life;                  /* when nothing was lost yet */
};

/* Taken when a flush comes: what it covers, and what its sender knows. */
struct unstable_mark {
	uint64_t changes, told;
};

/* An opened object: what became of the server before, nobody knows. */
static inline void unstable_init(struct unstable *u)
{
	if (getrandom(&u->life, sizeof(u->life), GRND_NONBLOCK) != (ssize_t)sizeof(u->life))
		u->life = (uintptr_t)u;
	u->life |= 1ull << 63;          /* 0 would be unknown */
	u->life &= ~0xffffull;
}

/* For capabilities: another number after each loss. */
static inline uint64_t unstable_life(const struct unstable *u)
{
	return u->life + atomic_load(&u->losses);
}

static inline void unstable_changed(struct unstable *u)
{
	atomic_fetch_add(&u->changes, 1);
}

static inline struct unstable_mark unstable_mark(const struct unstable *u)
{
	return (struct unstable_mark){ atomic_load(&u->changes), atomic_load(&u->told) };
}

static inline void unstable_raise(_Atomic uint64_t *v, uint64_t to)
{
	uint64_t is = atomic_load(v);

	while (is < to && !atomic_compare_exchange_weak(v, &is, to))
		;
}

/* The server has flushed. 0; -EIO: but what was written may be gone, and whoever sent this one has not been told. */
static inline int unstable_flushed(struct unstable *u, const struct unstable_mark *m)
{
	uint64_t losses = atomic_load(&u->losses);

	if (losses > m->told) {
		unstable_raise(&u->told, losses);
		return -EIO;
	}
	unstable_raise(&u->stable, m->changes);
	return 0;
}

/* The server may have started anew. Was there anything to lose? */
static inline bool unstable_lost(struct unstable *u)
{
	uint64_t changes = atomic_load(&u->changes);

	if (changes <= atomic_load(&u->stable))
		return false;
	unstable_raise(&u->stable, changes);
	atomic_fetch_add(&u->losses, 1);
	return true;
}

#endif
