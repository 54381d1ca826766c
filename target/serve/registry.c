/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes, targets and sessions by name. */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/serve/serve.h"

void registry_init(struct registry *r)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	cond_init(&r->released);
	r->next_session = 1;
	r->next_tsih = 1;
}

void registry_fini(struct registry *r)
{
	struct target *t;

	while ((t = r->targets)) {
		r->targets = t->next;
		target_def_fini(&t->def);
		free(t);
	}
	pthread_cond_destroy(&r->released);
	pthread_mutex_destroy(&r->lock);
}

/* FNV-1a; names without regard to case. */
static uint32_t hash_bytes(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint32_t)tolower(b[i])) * 16777619u;
	return h % REGISTRY_HASH;
}

static struct volume **volume_bucket(struct registry *r, const uint8_t uuid[16])
{
	return &r->volume_hash[hash_bytes(uuid, 16)];
}

static struct target **target_bucket(struct registry *r, const char *iqn)
{
	return &r->target_hash[hash_bytes(iqn, strlen(iqn))];
}

struct volume *volume_find_locked(struct registry *r, const uint8_t uuid[16])
{
	struct volume *v = *volume_bucket(r, uuid);

	while (v && memcmp(v->def.uuid, uuid, 16) != 0)
		v = v->hash_next;
	return v;
}

struct target *target_find_locked(struct registry *r, const char *iqn)
{
	struct target *t = *target_bucket(r, iqn);

	while (t && strcasecmp(t->def.iqn, iqn) != 0)
		t = t->hash_next;
	return t;
}

void registry_volume_add_locked(struct registry *r, struct volume *v)
{
	struct volume **bucket = volume_bucket(r, v->def.uuid);

	v->next = r->volumes;
	r->volumes = v;
	v->hash_next = *bucket;
	*bucket = v;
}

void registry_volume_remove_locked(struct registry *r, struct volume *v)
{
	struct volume **p;

	for (p = &r->volumes; *p != v; p = &(*p)->next)
		;
	*p = v->next;
	for (p = volume_bucket(r, v->def.uuid); *p != v; p = &(*p)->hash_next)
		;
	*p = v->hash_next;
}

void registry_target_add_locked(struct registry *r, struct target *t)
{
	struct target **bucket = target_bucket(r, t->def.iqn);

	t->next = r->targets;
	r->targets = t;
	t->hash_next = *bucket;
	*bucket = t;
}

void registry_target_remove_locked(struct registry *r, struct target *t)
{
	struct target **p;

	for (p = &r->targets; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	for (p = target_bucket(r, t->def.iqn); *p != t; p = &(*p)->hash_next)
		;
	*p = t->hash_next;
}

static bool has_volume(const struct target_def *t, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < t->n_luns; i++)
		if (memcmp(t->luns[i].volume, uuid, 16) == 0)
			return true;
	return false;
}

#define PORTS_MAX 256                   /* of one volume */

/* Once, however many portals have the tag. */
static struct scsi_port *port_add(struct scsi_port *ports, unsigned *n, unsigned *cap, const struct target *t, uint16_t tag)
{
	for (unsigned i = 0; i < *n; i++)
		if (ports[i].tag == tag && strcmp(ports[i].target, t->def.iqn) == 0)
			return ports;
	if (*n == PORTS_MAX)
		return ports;
	ports = mem_grow(ports, cap, *n, sizeof(*ports));
	ports[*n] = (struct scsi_port){ .tag = tag };
	snprintf(ports[(*n)++].target, sizeof(ports->target), "%s", t->def.iqn);
	return ports;
}

void volume_ports_locked(struct registry *r, struct volume *v)
{
	struct scsi_port *ports = NULL;
	unsigned n = 0, cap = 0;

	for (const struct target *t = r->targets; t && n < PORTS_MAX; t = t->next) {
		if (!has_volume(&t->def, v->def.uuid))
			continue;
		ports = port_add(ports, &n, &cap, t, t->def.tag ? t->def.tag : 1);
		for (unsigned i = 0; i < t->def.n_elsewhere; i++)
			ports = port_add(ports, &n, &cap, t, t->def.elsewhere[i].tag);
	}
	pthread_mutex_lock(&v->lu_lock);
	lu_ports_set(&v->lu, ports, n);
	pthread_mutex_unlock(&v->lu_lock);
	free(ports);
}

void target_ports_locked(struct registry *r, const struct target_lun *luns, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct volume *v = volume_find_locked(r, luns[i].volume);

		if (v && v->shaped)
			volume_ports_locked(r, v);
	}
}

/* A host of its own name comes before "any". */
const struct target_host *target_host_for(const struct target_def *t, const char *initiator)
{
	const struct target_host *any = NULL;

	for (unsigned i = 0; i < t->n_hosts; i++) {
		if (strcasecmp(t->hosts[i].initiator, initiator) == 0)
			return &t->hosts[i];
		if (strcmp(t->hosts[i].initiator, "any") == 0)
			any = &t->hosts[i];
	}
	return any;
}

void registry_session_add_locked(struct registry *r, struct session_entry *e)
{
	e->id = r->next_session++;
	e->next = r->sessions;
	r->sessions = e;
}

/* Links whose login waits for a session to end look again; not those that wait for a claim, which will be answered. */
static void retry_run(struct worker *w, struct worker_msg *m)
{
	free(m);
	for (struct link *l = w->links; l; l = l->next)
		if (l->waiting && !l->looks && !l->claim) {
			l->waiting = false;
			worker_dirty(w, l);
		}
}

void registry_session_remove(struct serve *s, struct session_entry **entry)
{
	struct session_entry *e = *entry, **p;
	bool dying;

	pthread_mutex_lock(&s->registry.lock);
	for (p = &s->registry.sessions; *p != e; p = &(*p)->next)
		;
	*p = e->next;
	dying = e->dying;
	pthread_mutex_unlock(&s->registry.lock);
	free(e);
	*entry = NULL;
	if (dying)
		workers_post_all(s, retry_run);
}
