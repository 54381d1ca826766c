/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The right to answer for a volume, until a time (doc/ownership.md 2). directord gives it, on the main thread; workers look
 * at it and at the clock when a command is done and before it is answered, without a lock.
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "target/serve/plant.h"
#include "target/serve/serve.h"

bool lease_holds(const struct volume *v, uint64_t epoch)
{
	uint64_t until;

	if (!atomic_load_explicit(&v->leased, memory_order_relaxed) || planted("lease"))
		return true;
	/* In this order: who sees a lease sees the epoch that it is of (lease_begin). */
	until = atomic_load(&v->lease_ms);
	return atomic_load(&v->epoch) == epoch && mono_now().ns / 1000000u < until;
}

/* Volumes and leases come in much the same order: look from the last one on. */
static struct volume *find_from(struct registry *r, struct volume *from, const uint8_t uuid[16])
{
	for (struct volume *v = from ? from->next : NULL; v; v = v->next)
		if (memcmp(v->def.uuid, uuid, 16) == 0)
			return v;
	return volume_find_locked(r, uuid);
}

static bool lease_take(struct volume *v, const struct target_lease *l)
{
	uint64_t epoch = atomic_load(&v->epoch);

	if (l->epoch > epoch || !v->bs) {
		if (l->epoch >= v->next_lease.epoch)
			v->next_lease = *l;
		return false;
	}
	if (l->epoch < epoch || v->lost || l->until_ms <= atomic_load(&v->lease_ms))
		return false;
	atomic_store(&v->lease_ms, l->until_ms);
	if (v->share)
		backstore_share_go(v->share);
	return atomic_load(&v->n_unanswered) > 0;
}

void leases_take(struct serve *s, const struct target_lease *leases, unsigned n)
{
	struct registry *r = &s->registry;
	struct volume *v = NULL;
	bool waited = false;

	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < n; i++) {
		struct volume *found = find_from(r, v, leases[i].volume);

		if (found) {
			waited |= lease_take(found, &leases[i]);
			v = found;
		}
	}
	pthread_mutex_unlock(&r->lock);
	if (waited)
		hold_wake(s);
}

void lease_begin_locked(struct volume *v)
{
	const struct target_lease *next = &v->next_lease;

	atomic_store(&v->lease_ms, 0);
	atomic_store(&v->epoch, v->def.epoch);
	v->lost = false;
	if (next->until_ms && next->epoch == v->def.epoch)
		atomic_store(&v->lease_ms, next->until_ms);
}

void lease_lose(struct serve *s, const uint8_t uuid[16], uint64_t epoch)
{
	struct volume *v;

	pthread_mutex_lock(&s->registry.lock);
	v = volume_find_locked(&s->registry, uuid);
	if (v && (!epoch || epoch >= atomic_load(&v->epoch))) {
		v->lost = true;
		atomic_store(&v->lease_ms, 0);
	}
	pthread_mutex_unlock(&s->registry.lock);
}
