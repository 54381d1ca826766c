/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store under a volume that sessions use goes, and another one comes (doc/ownership.md 9): the unit, its sessions
 * and what it keeps stay. Between the two its commands are held, for as long as it takes.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "target/serve/serve.h"

#define FREEZE_MS 10000                 /* that what runs has to end, when we are asked to wait for it */
#define SWITCH_MS 1000                  /* when we are not */

static struct volume *find(struct serve *s, const uint8_t uuid[16])
{
	struct volume *v;

	pthread_mutex_lock(&s->registry.lock);
	v = volume_find_locked(&s->registry, uuid);
	pthread_mutex_unlock(&s->registry.lock);
	return v;
}

static bool is_lost(struct volume *v)
{
	bool lost;

	pthread_mutex_lock(&v->serve->registry.lock);
	lost = v->lost;
	pthread_mutex_unlock(&v->serve->registry.lock);
	return lost;
}

static bool forwards(const struct target_volume *def)
{
	return def->agreed && !def->leased && def->inner == TARGET_INNER_NONE;
}

/* Nothing new comes to the store. What it has, does it end, and is answered? Not if its right, or the way to it, is lost meanwhile. */
static bool drains(struct volume *v, unsigned ms)
{
	struct mono until = mono_add_ms(mono_now(), ms);
	struct backstore_stats st;

	for (;;) {
		backstore_stats(v->bs, &st);
		if (!st.in_flight && !atomic_load(&v->n_unanswered))
			return true;
		if (is_lost(v) || (forwards(&v->def) && atomic_load(&v->path_lost)) || mono_due(until, mono_now()))
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

static void store_close(struct volume *v, bool lost, unsigned ms)
{
	struct director_err err = { .struct_size = sizeof(err) };
	struct serve *s = v->serve;
	struct backstore *bs;

	hold_begin(v, HOLD_STORE, lost);
	inner_hold(v);
	if (!v->bs)
		return;
	if (!lost && !drains(v, ms)) {
		lost = true;
		atomic_fetch_add(&v->voids, 1);
	}
	if (backstore_stop(v->bs, lost, &err) < 0)
		log_warn(&s->log, "volume %s: it is closed and not quiet: %s", v->def.name, err.text);
	pthread_mutex_lock(&s->registry.lock);
	volume_stats_keep(v);
	bs = v->bs;
	v->bs = NULL;
	pthread_mutex_unlock(&s->registry.lock);
	backstore_close(&bs);
	log_info(&s->log, "volume %s: held, %s", v->def.name, lost ? "what was not answered is void" : "nothing is under way");
}

void switch_freeze(struct serve *s, const struct target_msg *req, struct target_msg *reply)
{
	struct volume *v = find(s, req->volume.uuid);

	if (!v || !v->shaped)
		job_fail(reply, ERR_NOENT, "%s", "there is no such volume here");
	else if (req->volume.epoch && req->volume.epoch != v->def.epoch)
		job_fail(reply, ERR_CONFLICT, "%s is open under another epoch", v->def.name);
	else
		store_close(v, is_lost(v), FREEZE_MS);
}

void switch_hold(struct serve *s, const struct target_msg *req, struct target_msg *reply)
{
	struct volume *v = find(s, req->volume.uuid);

	if (!v || !v->shaped)
		job_fail(reply, ERR_NOENT, "%s", "there is no such volume here");
	else if (!req->volume.epoch || req->volume.epoch >= v->def.epoch)
		store_close(v, true, 0);
}

/* The definition is `want`'s, but for what the volume is known by. */
static void def_take(struct serve *s, struct volume *v, const struct target_volume *want)
{
	struct target_volume old = v->def, next;

	target_volume_copy(&next, want);
	pthread_mutex_lock(&s->registry.lock);
	v->def.name = next.name;
	v->def.store = next.store;
	v->def.size = next.size;
	v->def.block_size = next.block_size;
	v->def.read_only = next.read_only;
	v->def.generation = next.generation;
	v->def.epoch = next.epoch;
	v->def.removable = next.removable;
	v->def.groups = next.groups;
	v->def.n_groups = next.n_groups;
	v->def.implicit_only = next.implicit_only;
	v->def.leased = next.leased;
	v->def.inner = next.inner;
	v->def.fail_over = next.fail_over;
	v->def.apart = next.apart;
	v->def.agreed = next.agreed;
	/* `keeps` stays what it was when the unit began. */
	pthread_mutex_unlock(&s->registry.lock);
	free(next.error);
	old.error = NULL;
	target_volume_fini(&old);
}

void switch_to(struct serve *s, struct volume *v, const struct target_volume *want, struct target_msg *reply)
{
	/* What we forwarded is not void because the volume comes to us: who served it has answered it, or says that it was not done. */
	if (v->bs)
		store_close(v, (want->epoch > v->def.epoch && (!forwards(&v->def) || atomic_load(&v->path_lost))) || is_lost(v), SWITCH_MS);
	def_take(s, v, want);
	if (volume_open(s, v, reply) == 0)
		log_info(&s->log, "volume %s: goes on, over %s", v->def.name, v->def.store.plugin);
}
