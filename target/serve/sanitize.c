/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a SANITIZE goes on that nodes agree about (doc/ownership.md 11): on the node that serves the volume, wherever the command
 * came. If the right passes on, the next one begins it anew, and here it stops: one that came back late would overwrite
 * what was written since.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/serve/serve.h"

static struct volume *shard_locked(struct registry *r, const struct target_store *child)
{
	uint8_t uuid[16];

	for (unsigned i = 0; i < child->n_params; i++)
		if (strcmp(child->params[i].key, "uuid") == 0 && (text_uuid_parse(child->params[i].value, uuid) == 0 ||
			text_hex_parse(child->params[i].value, uuid, 16) == 0))
			return volume_find_locked(r, uuid);
	return NULL;
}

/* Of a stripe, which every node has: who serves its first part. What is served elsewhere is an iscsi store here. */
static bool is_mine_locked(const struct volume *v)
{
	const struct target_store *s = &v->def.store;
	const struct volume *first;

	if (v->def.inner == TARGET_INNER_SERVED)
		return true;
	if (!s->n_children || strcmp(s->plugin, "stripe") != 0)
		return strcmp(s->plugin, "iscsi") != 0;
	first = shard_locked(&v->serve->registry, &s->children[0]);
	return first && first->shaped && first->def.inner == TARGET_INNER_SERVED;
}

struct start_msg {
	struct worker_msg msg;
	uint8_t uuid[16];
	uint64_t run;
};

static void start_run(struct worker *w, struct worker_msg *m)
{
	struct start_msg *sm = (struct start_msg *)m;
	struct registry *r = &w->serve->registry;
	struct volume *v;

	pthread_mutex_lock(&r->lock);
	v = volume_find_locked(r, sm->uuid);
	if (v && (w->stopping || !v->shaped || atomic_load(&v->sanitizing) != sm->run))
		v = NULL;
	if (v)
		v->n_nexus++;
	pthread_mutex_unlock(&r->lock);
	if (v) {
		background_sanitize(w, v, sm->run);
		pthread_mutex_lock(&r->lock);
		if (--v->n_nexus == 0)
			pthread_cond_broadcast(&r->released);
		pthread_mutex_unlock(&r->lock);
	}
	free(sm);
}

static void look_locked(struct volume *v)
{
	bool here = v->shaped && v->def.keeps && is_mine_locked(v);
	struct start_msg *sm = NULL;

	pthread_mutex_lock(&v->lu_lock);
	if (!here || !v->kept_known || v->lu.kept.sanitize != SANITIZE_RUNNING) {
		atomic_store(&v->sanitizing, 0);
	} else if (!atomic_load(&v->sanitizing)) {
		sm = mem_zalloc(sizeof(*sm));
		sm->msg.run = start_run;
		sm->run = ++v->sanitize_runs;
		memcpy(sm->uuid, v->def.uuid, 16);
		atomic_store(&v->sanitizing, sm->run);
	}
	pthread_mutex_unlock(&v->lu_lock);
	if (!sm)
		return;
	log_info(&v->serve->log, "volume %s: it is sanitized from here", v->def.name);
	worker_post(v->serve->workers[0], &sm->msg);
}

void sanitize_look_locked(struct volume *v)
{
	look_locked(v);
	/* The first part of a stripe, perhaps. */
	for (struct volume *o = v->serve->registry.volumes; o; o = o->next)
		if (o != v && o->def.store.n_children && strcmp(o->def.store.plugin, "stripe") == 0)
			look_locked(o);
}

void sanitize_look(struct volume *v)
{
	pthread_mutex_lock(&v->serve->registry.lock);
	sanitize_look_locked(v);
	pthread_mutex_unlock(&v->serve->registry.lock);
}
