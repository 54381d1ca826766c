/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs that touch storage; those of one volume come one after the other (jobs.c), and only they make, change and
 * remove it. Each says what should be and may be repeated; a volume that cannot be is kept in the list as failed, with
 * the reason.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "target/scsi/limits.h"
#include "target/serve/serve.h"

#define RELEASE_MS 10000                /* that sessions have to let go of an unmapped volume */

/* ---- specs: proto's stack as the backstore host wants it ---- */

static void spec_make(const struct target_store *s, uint64_t size, struct backstore_spec *spec)
{
	struct plugin_pair *params = mem_alloc((s->n_params + 1) * sizeof(*params));
	struct backstore_spec *children = mem_zalloc((s->n_children + 1) * sizeof(*children));

	for (unsigned i = 0; i < s->n_params; i++)
		params[i] = (struct plugin_pair){ s->params[i].key, s->params[i].value };
	for (unsigned i = 0; i < s->n_children; i++)
		spec_make(&s->children[i], size, &children[i]);
	*spec = (struct backstore_spec){ .plugin = s->plugin,
		.params = params,
		.n_params = s->n_params,
		.size = size,
		.children = children,
		.n_children = s->n_children };
}

static void spec_free(struct backstore_spec *spec)
{
	for (unsigned i = 0; i < spec->n_children; i++)
		spec_free((struct backstore_spec *)&spec->children[i]);
	free((void *)spec->children);
	free((void *)spec->params);
}

/* ---- answers ---- */

int job_fail(struct target_msg *reply, int err, const char *fmt, const char *a)
{
	reply->err = err;
	free(reply->text);
	reply->text = mem_printf(fmt, a);
	return err;
}

int job_fail_errno(struct target_msg *reply, int e, const struct director_err *de)
{
	return job_fail(reply, err_from_errno(-e), "%s", de->text[0] ? de->text : strerror(-e));
}

void volume_state(struct serve *s, struct volume *v, enum target_state state, const char *error)
{
	pthread_mutex_lock(&s->registry.lock);
	v->def.state = state;
	free(v->def.error);
	v->def.error = mem_strdup(error);
	pthread_mutex_unlock(&s->registry.lock);
}

static void refresh_run(struct worker *w, struct worker_msg *m)
{
	free(m);
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		session_refresh(ss);
}

/* ---- open and close ---- */

/* Initiators are told as of a disk that had no power for a moment; who uses a leg has to judge it anew. */
static void forgot(struct volume *v, uint64_t life)
{
	pthread_mutex_lock(&v->lu_lock);
	if (v->lu.block_size)
		lu_attention(&v->lu, UA_POWER_ON, NULL);
	pthread_mutex_unlock(&v->lu_lock);
	inner_forgot(v, life);
}

static void on_event(void *arg, struct backstore *bs, uint32_t kind, uint64_t value, uint64_t of)
{
	static const char *const what[] = {
		[DIRECTOR_EV_RESIZED] = "was resized",
		[DIRECTOR_EV_PATH_LOST] = "lost a path",
		[DIRECTOR_EV_PATH_BACK] = "has a path back",
		[DIRECTOR_EV_DEGRADED] = "is degraded",
		[DIRECTOR_EV_HEALTHY] = "is healthy",
		[DIRECTOR_EV_MEDIA_ERROR] = "has a media error",
		[DIRECTOR_EV_PROGRESS] = "makes progress",
		[DIRECTOR_EV_SPACE_LOW] = "is short of space",
		[DIRECTOR_EV_LEG_FAILED] = "has a leg that failed",
		[DIRECTOR_EV_LEG_READY] = "has a leg that is in sync",
		[DIRECTOR_EV_SCRUBBED] = "was scrubbed",
		[DIRECTOR_EV_REPAIRED] = "had regions repaired",
		[DIRECTOR_EV_LOST] = "has lost its right, or what it knew of its legs",
		[DIRECTOR_EV_FORGOT] = "may have lost what was written and not flushed",
		[DIRECTOR_EV_LEG_FOREIGN] = "has a leg whose storage carries another volume",
	};
	struct volume *v = arg;
	struct target_event ev = { .kind = TARGET_EV_VOLUME, .what = kind, .value = value, .of = of,
		.epoch = backstore_epoch(bs) };

	if (kind == DIRECTOR_EV_PATH_LOST || kind == DIRECTOR_EV_PATH_BACK)
		atomic_store(&v->path_lost, kind == DIRECTOR_EV_PATH_LOST);
	if (kind == DIRECTOR_EV_RESIZED) {
		pthread_mutex_lock(&v->lu_lock);
		if (v->lu.block_size)
			lu_resize(&v->lu, value);
		if (v->inner_lu.inner)
			lu_resize(&v->inner_lu, value);
		pthread_mutex_unlock(&v->lu_lock);
	}
	if (kind == DIRECTOR_EV_FORGOT)
		forgot(v, value);
	pthread_mutex_lock(&v->serve->registry.lock);
	memcpy(ev.volume, v->def.uuid, 16);
	ev.text = mem_printf("volume %s %s", v->def.name,
		kind < ARRAY_LEN(what) && what[kind] ? what[kind] : "reports");
	pthread_mutex_unlock(&v->serve->registry.lock);
	control_event(v->serve, &ev);
	free(ev.text);
}

/* With the unit's lock: what the disk looks like. */
static void shape_set(struct volume *v, const struct director_caps *caps, uint32_t bs)
{
	struct scsi_lu *lu = &v->lu;

	if (v->shaped) {
		lu_resize(lu, caps->size);
	} else {
		lu_init(lu, v->def.uuid, v->def.name, caps->size, bs);
		lu->kept.all = v->def.keeps;
	}
	lu->physical_exponent = 0;
	while (bs << lu->physical_exponent < caps->physical_block && lu->physical_exponent < 8)
		lu->physical_exponent++;
	lu->thin = caps->flags & DIRECTOR_CAP_DISCARD;
	v->discard_zeroes = caps->flags & DIRECTOR_CAP_DISCARD_ZEROES;
	lu->read_only = v->def.read_only || caps->flags & DIRECTOR_CAP_READ_ONLY;
	lu->rotational = caps->flags & DIRECTOR_CAP_ROTATIONAL;
	lu->cache = caps->flags & DIRECTOR_CAP_WRITE_CACHE;
	lu->optimal_transfer = caps->optimal_io / bs;
	lu->removable = v->def.removable;
	lu->sanitize.pause_bytes = v->serve->conf.sanitize_rate / 10;
	/* Nothing of a volatile store outlives power: a write that is seen whole by others is atomic. */
	lu->atomic_max = caps->flags & DIRECTOR_CAP_VOLATILE && !caps->seam ? lu->max_transfer : 0;
	lu->seam = caps->seam;
	/* A block never lies across a seam; two might. */
	lu->caw_max = caps->seam ? 1 : SCSI_CAW_BLOCKS_MAX;
	lu->unmap_granularity = caps->discard_granularity > bs ? caps->discard_granularity / bs : 1;
}

/* The unit, from what its backstore is. */
static int shape(struct volume *v, const struct backstore *store, struct target_msg *reply)
{
	struct director_caps caps = { .struct_size = sizeof(caps) };
	uint32_t bs = v->def.block_size;

	backstore_caps(store, &caps);
	if (!bs)
		bs = v->shaped ? v->lu.block_size : caps.block_size;
	if (bs < caps.block_size)
		return job_fail(reply, ERR_INVAL, "%s has blocks of 4096 bytes; 512 cannot be offered",
			v->def.name);
	if (v->shaped && bs != v->lu.block_size)
		return job_fail(reply, ERR_INVAL, "%s cannot change the size of its blocks while sessions use it", v->def.name);
	pthread_mutex_lock(&v->lu_lock);
	shape_set(v, &caps, bs);
	pthread_mutex_unlock(&v->lu_lock);
	return 0;
}

/* `why` is given. */
static int job_fail_why(struct target_msg *reply, int err, char *why)
{
	if (err)
		job_fail(reply, err, "%s", why);
	free(why);
	return err;
}

/* What the unit kept when it was last here. */
static int kept(struct serve *s, struct volume *v, struct target_msg *reply)
{
	char *why = NULL;
	int err = v->def.keeps ? 0 : keep_load(s, v, &why);

	return job_fail_why(reply, err, why);
}

/* Who else reaches it: legs, and what other nodes forward. */
static int inside(struct volume *v, struct backstore *bs, struct target_msg *reply)
{
	char *why = NULL;
	int err = inner_open(v, bs, &why);

	return job_fail_why(reply, err, why);
}

static int store_open(struct serve *s, struct volume *v, struct backstore **bs, struct target_msg *reply)
{
	struct director_err err = { .struct_size = sizeof(err) };
	struct backstore_watch watch = { .event = on_event, .arg = v };
	struct backstore_spec spec;
	char *why = NULL;
	int r = judge_free_to_open(v, &why);

	if (r < 0)
		return job_fail_why(reply, r, why);
	spec_make(&v->def.store, v->def.size, &spec);
	r = backstore_open(s->host, &spec, v->def.epoch, &watch, bs, &err);
	spec_free(&spec);
	if (r < 0)
		return job_fail_errno(reply, r, &err);
	r = inner_judge(v, bs, &why);
	return job_fail_why(reply, r, why);
}

void groups_take(struct volume *v, const struct target_volume *def)
{
	free(v->def.groups);
	v->def.groups = def->n_groups ? mem_dup(def->groups, def->n_groups * sizeof(*def->groups)) : NULL;
	v->def.n_groups = def->n_groups;
	v->def.implicit_only = def->implicit_only;
}

void access_set(struct volume *v, const struct target_volume *def)
{
	struct alua a = { .explicit_ok = !def->implicit_only };

	for (unsigned i = 0; i < def->n_groups && i < ALUA_GROUPS_MAX; i++)
		a.groups[a.n++] = (struct alua_group){ .id = def->groups[i].id, .state = def->groups[i].state,
			.preferred = def->groups[i].preferred };
	pthread_mutex_lock(&v->lu_lock);
	lu_alua_set(&v->lu, &a);
	pthread_mutex_unlock(&v->lu_lock);
}

static void space_look(struct volume *v)
{
	uint64_t used, available;

	if (!v->lu.thin || backstore_space(v->bs, &used, &available) != 0)
		return;
	pthread_mutex_lock(&v->lu_lock);
	lu_space_set(&v->lu, used, available);
	pthread_mutex_unlock(&v->lu_lock);
}

/* What a forwarding node cannot reach, and what an owner has lost, another store will have. */
static bool retries(const struct target_volume *def)
{
	return def->leased || (def->agreed && def->inner == TARGET_INNER_NONE);
}

/* The volume may be used from here on. */
static void store_use(struct serve *s, struct volume *v, struct backstore *bs)
{
	pthread_mutex_lock(&s->registry.lock);
	v->bs = bs;
	atomic_store(&v->leased, v->def.leased);
	atomic_store(&v->retries, retries(&v->def));
	atomic_store(&v->path_lost, false);
	atomic_store(&v->served, v->def.inner == TARGET_INNER_SERVED);
	lease_begin_locked(v);
	if (!v->shaped && v->def.keeps)
		atomic_fetch_or(&v->hold, HOLD_KEPT);
	v->shaped = true;
	access_set(v, &v->def);
	volume_ports_locked(&s->registry, v);
	/* In one go: access states and ports that come from now on go to the unit itself. */
	v->def.state = TARGET_STATE_READY;
	sanitize_look_locked(v);
	pthread_mutex_unlock(&s->registry.lock);
}

int volume_open(struct serve *s, struct volume *v, struct target_msg *reply)
{
	bool first = !v->shaped, made;
	struct backstore *bs = NULL;
	int r = store_open(s, v, &bs, reply);

	if (r == 0)
		r = shape(v, bs, reply);
	made = r == 0 && first;
	if (made)
		r = kept(s, v, reply);
	if (r == 0)
		r = inside(v, bs, reply);
	if (r != 0) {
		backstore_close(&bs);
		if (made)
			lu_fini(&v->lu);
		volume_state(s, v, TARGET_STATE_FAILED, reply->text);
		return reply->err;
	}
	store_use(s, v, bs);
	space_look(v);
	volume_state(s, v, TARGET_STATE_READY, NULL);
	hold_end(v, HOLD_STORE);
	if (first)
		workers_post_all(s, refresh_run);
	return 0;
}

void volume_stats_keep(struct volume *v)
{
	struct backstore_stats now;

	backstore_stats(v->bs, &now);
	for (unsigned i = 0; i < ARRAY_LEN(now.ops); i++)
		v->past.ops[i] += now.ops[i];
	v->past.read_bytes += now.read_bytes;
	v->past.written_bytes += now.written_bytes;
	v->past.errors += now.errors;
}

/* No session uses it any more, or ERR_BUSY after a while. On 0 it is closed. */
static int volume_close(struct serve *s, struct volume *v, struct target_msg *reply)
{
	struct registry *r = &s->registry;
	struct timespec until = cond_until(RELEASE_MS);
	char *why = NULL;
	struct backstore *bs = NULL;
	bool shaped = v->shaped;
	int busy = 0;

	inner_close(v);
	pthread_mutex_lock(&r->lock);
	atomic_store(&v->sanitizing, 0);
	for (struct target *t = r->targets; t && !busy; t = t->next)
		for (unsigned i = 0; i < t->def.n_luns; i++)
			if (memcmp(t->def.luns[i].volume, v->def.uuid, 16) == 0)
				busy = job_fail(reply, ERR_BUSY, "a LUN of %s is this volume", t->def.iqn);
	while (!busy && v->n_nexus)
		if (pthread_cond_timedwait(&r->released, &r->lock, &until) == ETIMEDOUT)
			busy = job_fail(reply, ERR_BUSY, "%s is still in use by sessions", v->def.name);
	if (!busy) {
		v->def.state = TARGET_STATE_NONE;
		v->shaped = false;
		if (v->bs)
			volume_stats_keep(v);
		bs = v->bs;
		v->bs = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	if (busy && v->bs) {
		inner_open(v, v->bs, &why);
		free(why);
		sanitize_look(v);
	}
	if (busy)
		return busy;
	backstore_close(&bs);
	if (shaped)
		lu_fini(&v->lu);
	return 0;
}

static void volume_drop(struct serve *s, struct volume *v)
{
	pthread_mutex_lock(&s->registry.lock);
	registry_volume_remove_locked(&s->registry, v);
	pthread_mutex_unlock(&s->registry.lock);
	pthread_mutex_destroy(&v->lu_lock);
	buf_fini(&v->proposed);
	target_volume_fini(&v->def);
	free(v);
}

/* ---- verbs ---- */

static struct volume *volume_get(struct serve *s, const uint8_t uuid[16])
{
	struct volume *v;

	pthread_mutex_lock(&s->registry.lock);
	v = volume_find_locked(&s->registry, uuid);
	pthread_mutex_unlock(&s->registry.lock);
	return v;
}

static struct volume *volume_add(struct serve *s, const struct target_volume *def)
{
	struct volume *v = mem_zalloc(sizeof(*v));

	v->serve = s;
	target_volume_copy(&v->def, def);
	v->def.state = TARGET_STATE_CREATING;
	pthread_mutex_init(&v->lu_lock, NULL);
	pthread_mutex_lock(&s->registry.lock);
	registry_volume_add_locked(&s->registry, v);
	pthread_mutex_unlock(&s->registry.lock);
	return v;
}

static int resize(struct serve *s, struct volume *v, uint64_t size, uint64_t generation,
	struct target_msg *reply)
{
	struct director_err err = { .struct_size = sizeof(err) };
	int r;

	if (!v->bs)
		return job_fail(reply, ERR_BUSY, "%s is not open", v->def.name);
	if (backstore_size(v->bs) != size) {
		r = backstore_resize(v->bs, size, &err);
		if (r < 0)
			return job_fail_errno(reply, r, &err);
	}
	pthread_mutex_lock(&s->registry.lock);
	v->def.size = size;
	v->def.generation = generation;
	pthread_mutex_unlock(&s->registry.lock);
	pthread_mutex_lock(&v->lu_lock);
	lu_resize(&v->lu, backstore_size(v->bs));
	if (v->inner_lu.inner)
		lu_resize(&v->inner_lu, backstore_size(v->bs));
	pthread_mutex_unlock(&v->lu_lock);
	return 0;
}

static int fence(struct volume *v, uint64_t epoch, struct target_msg *reply)
{
	struct director_err err = { .struct_size = sizeof(err) };
	int r;

	if (epoch <= atomic_load(&v->epoch) || !v->bs)
		return 0;
	r = backstore_fence(v->bs, epoch, &err);
	if (r < 0)
		return job_fail_errno(reply, r, &err);
	pthread_mutex_lock(&v->serve->registry.lock);
	atomic_store(&v->epoch, epoch);
	pthread_mutex_unlock(&v->serve->registry.lock);
	return 0;
}

/* The stack stays: only what may change while it is open. */
int volume_change(struct serve *s, struct volume *v, const struct target_volume *want,
	struct target_msg *reply)
{
	struct director_caps caps = { .struct_size = sizeof(caps) };
	/* Else nobody inside needs to know: opening it anew would void what waits there for its lease. */
	bool anew = !v->share || v->def.epoch != want->epoch || v->def.inner != want->inner;
	int r = fence(v, want->epoch, reply);

	if (r == 0 && want->size && want->size != v->def.size)
		r = resize(s, v, want->size, want->generation, reply);
	if (r != 0)
		return r;
	pthread_mutex_lock(&s->registry.lock);
	free(v->def.name);
	v->def.name = mem_strdup(want->name);
	v->def.generation = want->generation;
	v->def.epoch = want->epoch;
	v->def.read_only = want->read_only;
	v->def.removable = want->removable;
	v->def.fail_over = want->fail_over;
	v->def.apart = want->apart;
	v->def.agreed = want->agreed;
	groups_take(v, want);
	pthread_mutex_unlock(&s->registry.lock);
	backstore_caps(v->bs, &caps);
	pthread_mutex_lock(&v->lu_lock);
	v->lu.read_only = want->read_only || caps.flags & DIRECTOR_CAP_READ_ONLY;
	v->lu.removable = want->removable;
	pthread_mutex_unlock(&v->lu_lock);
	access_set(v, want);
	if (v->def.inner != want->inner)
		inner_close(v);
	pthread_mutex_lock(&s->registry.lock);
	v->def.inner = want->inner;
	atomic_store(&v->retries, retries(&v->def));
	atomic_store(&v->served, v->def.inner == TARGET_INNER_SERVED);
	if (anew)
		sanitize_look_locked(v);
	pthread_mutex_unlock(&s->registry.lock);
	if (anew)
		return inside(v, v->bs, reply);
	inner_look(v, v->bs);
	return 0;
}

/* Same plugins, other parameters: each level that differs is asked to take them while it runs. */
static int reconfigure(struct serve *s, struct volume *v, const struct target_store *want,
	struct target_msg *reply)
{
	struct director_err err = { .struct_size = sizeof(err) };
	struct backstore_spec spec;
	struct target_store copy;
	int r;

	spec_make(want, v->def.size, &spec);
	r = backstore_reconfigure_all(v->bs, &spec, &err);
	spec_free(&spec);
	if (r < 0)
		return job_fail_errno(reply, r, &err);
	target_store_copy(&copy, want);
	pthread_mutex_lock(&s->registry.lock);
	target_store_fini(&v->def.store);
	v->def.store = copy;
	pthread_mutex_unlock(&s->registry.lock);
	return 0;
}

/* Must it be closed and opened again to become that? Where nobody agrees about volumes it is not done unasked. */
static bool wants_switch(const struct volume *v, const struct target_volume *want)
{
	return !v->bs || (want->agreed && (want->leased != v->def.leased || (want->leased && want->epoch != v->def.epoch)));
}

static void volume_set(struct serve *s, const struct target_msg *req, struct target_msg *reply)
{
	const struct target_volume *want = &req->volume;
	struct volume *v = volume_get(s, want->uuid);

	if (v && v->shaped) {
		int r = 0;

		if (!wants_switch(v, want)) {
			r = target_store_eq(&v->def.store, &want->store) ? 0 : reconfigure(s, v, &want->store, reply);
			if (r == 0)
				volume_change(s, v, want, reply);
			if (!want->agreed || (r != ERR_BUSY && r != ERR_NOTSUP))
				return;
			reply->err = 0;
			free(reply->text);
			reply->text = NULL;
		}
		switch_to(s, v, want, reply);
		return;
	}
	if (v)
		volume_drop(s, v);
	v = volume_add(s, want);
	if (req->kind == TARGET_VOLUME_CREATE) {
		struct director_err err = { .struct_size = sizeof(err) };
		struct backstore_spec spec;
		int r;

		spec_make(&v->def.store, v->def.size, &spec);
		r = backstore_create(s->host, &spec, v->def.size, &err);
		spec_free(&spec);
		if (r < 0) {
			job_fail_errno(reply, r, &err);
			volume_state(s, v, TARGET_STATE_FAILED, reply->text);
			return;
		}
	}
	volume_open(s, v, reply);
}

static void volume_destroy(struct serve *s, const struct target_msg *req, struct target_msg *reply)
{
	struct volume *v = volume_get(s, req->volume.uuid);
	struct director_err err = { .struct_size = sizeof(err) };
	struct backstore_spec spec;
	int r;

	if (v && volume_close(s, v, reply) != 0)
		return;
	if (!v && !req->volume.store.plugin)
		return;                         /* unknown, and nothing to look for: gone already */
	spec_make(v ? &v->def.store : &req->volume.store, v ? v->def.size : req->volume.size, &spec);
	r = backstore_destroy(s->host, &spec, &err);
	spec_free(&spec);
	if (r < 0) {
		job_fail_errno(reply, r, &err);
		return;
	}
	keep_drop(s, req->volume.uuid);
	inner_drop(s, req->volume.uuid);
	if (v)
		volume_drop(s, v);
}

void job_run(struct serve *s, const struct target_msg *req, struct target_msg *reply)
{
	struct volume *v = volume_get(s, req->volume.uuid);

	switch (req->kind) {
	case TARGET_VOLUME_CREATE:
	case TARGET_VOLUME_SET:
		volume_set(s, req, reply);
		break;
	case TARGET_VOLUME_RESIZE:
		if (!v)
			job_fail(reply, ERR_NOENT, "%s", "there is no such volume here");
		else
			resize(s, v, req->volume.size, req->volume.generation, reply);
		break;
	case TARGET_VOLUME_FREEZE:
		switch_freeze(s, req, reply);
		break;
	case TARGET_VOLUME_HOLD:
		switch_hold(s, req, reply);
		break;
	case TARGET_VOLUME_CLOSE:
		if (v && volume_close(s, v, reply) == 0)
			volume_drop(s, v);
		break;
	case TARGET_VOLUME_DESTROY:
		volume_destroy(s, req, reply);
		break;
	default:
		job_fail(reply, ERR_INVAL, "%s", "not a job");
	}
	v = volume_get(s, req->volume.uuid);
	if (v) {
		pthread_mutex_lock(&s->registry.lock);
		target_volume_copy(&reply->volume, &v->def);
		pthread_mutex_unlock(&s->registry.lock);
	}
}

void job_space(struct serve *s, const uint8_t uuid[16])
{
	struct volume *v = volume_get(s, uuid);

	if (v && v->bs)
		space_look(v);
}

/* Those that refer to others go before these. */
static struct volume *last_to_open(struct serve *s)
{
	struct volume *v = s->registry.volumes;

	while (v && v->def.inner == TARGET_INNER_LEG)
		v = v->next;
	return v ? v : s->registry.volumes;
}

void job_close_all(struct serve *s)
{
	struct volume *v;

	while ((v = last_to_open(s))) {
		inner_close(v);
		backstore_close(&v->bs);
		if (v->shaped)
			lu_fini(&v->lu);
		volume_drop(s, v);
	}
}
