/* SPDX-License-Identifier: Apache-2.0 */
/* What is there, what was tried, and the actions as data. Which actions there are is decided in plan_make.c. */
#include "cluster/plan.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "base/mem.h"
#include "base/text.h"
#include "cluster/plan_int.h"

/* ---- what is there ---- */

static void have_volume_fini(struct plan_have_volume *v)
{
	free(v->name);
	attrs_fini(&v->params);
}

static void have_target_fini(struct plan_have_target *t)
{
	free(t->name);
	free(t->volumes);
}

void plan_have_fini(struct plan_have *h)
{
	for (unsigned i = 0; i < h->n_volumes; i++)
		have_volume_fini(&h->volumes[i]);
	for (unsigned i = 0; i < h->n_targets; i++)
		have_target_fini(&h->targets[i]);
	free(h->volumes);
	free(h->targets);
	*h = (struct plan_have){ 0 };
}

struct plan_have_volume *plan_have_volume(struct plan_have *h, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < h->n_volumes; i++)
		if (memcmp(h->volumes[i].uuid, uuid, 16) == 0)
			return &h->volumes[i];
	return NULL;
}

struct plan_have_volume *plan_have_volume_add(struct plan_have *h, const char *name, const uint8_t uuid[16])
{
	struct plan_have_volume *v = plan_have_volume(h, uuid);

	if (v)
		return v;
	h->volumes = mem_grow(h->volumes, &h->cap_volumes, h->n_volumes, sizeof(*h->volumes));
	v = &h->volumes[h->n_volumes++];
	*v = (struct plan_have_volume){ .name = mem_strdup(name) };
	memcpy(v->uuid, uuid, 16);
	return v;
}

void plan_have_volume_remove(struct plan_have *h, const uint8_t uuid[16])
{
	struct plan_have_volume *v = plan_have_volume(h, uuid);

	if (!v)
		return;
	have_volume_fini(v);
	*v = h->volumes[--h->n_volumes];
}

struct plan_have_target *plan_have_target(struct plan_have *h, const char *name)
{
	for (unsigned i = 0; i < h->n_targets; i++)
		if (strcmp(h->targets[i].name, name) == 0)
			return &h->targets[i];
	return NULL;
}

struct plan_have_target *plan_have_target_add(struct plan_have *h, const char *name)
{
	struct plan_have_target *t = plan_have_target(h, name);

	if (t)
		return t;
	h->targets = mem_grow(h->targets, &h->cap_targets, h->n_targets, sizeof(*h->targets));
	t = &h->targets[h->n_targets++];
	*t = (struct plan_have_target){ .name = mem_strdup(name) };
	return t;
}

void plan_have_target_add_volume(struct plan_have_target *t, const uint8_t uuid[16])
{
	t->volumes = mem_grow(t->volumes, &t->cap, t->n_volumes, sizeof(*t->volumes));
	memcpy(t->volumes[t->n_volumes++], uuid, 16);
}

void plan_have_target_remove(struct plan_have *h, const char *name)
{
	struct plan_have_target *t = plan_have_target(h, name);

	if (!t)
		return;
	have_target_fini(t);
	*t = h->targets[--h->n_targets];
}

/* ---- actions ---- */

static void child_fini(struct plan_child *c)
{
	free(c->portals);
	attrs_fini(&c->lun);
}

void plan_action_fini(struct plan_action *a)
{
	free(a->path);
	free(a->name);
	free(a->backstore);
	free(a->alias);
	attrs_fini(&a->params);
	attrs_fini(&a->options);
	for (unsigned i = 0; i < a->n_luns; i++)
		free(a->luns[i].volume);
	for (unsigned i = 0; i < a->n_hosts; i++) {
		free(a->hosts[i].initiator);
		attrs_fini(&a->hosts[i].auth);
	}
	for (unsigned i = 0; i < a->n_portals; i++)
		free(a->portals[i]);
	for (unsigned i = 0; i < a->n_child; i++)
		child_fini(&a->child[i]);
	for (unsigned i = 0; i < a->n_elsewhere; i++)
		free(a->elsewhere[i].address);
	free(a->child);
	free(a->group);
	free(a->elsewhere);
	free(a->luns);
	free(a->hosts);
	free(a->portals);
	*a = (struct plan_action){ 0 };
}

void plan_fini(struct plan *p)
{
	for (unsigned i = 0; i < p->n; i++)
		plan_action_fini(&p->a[i]);
	free(p->a);
	*p = (struct plan){ 0 };
}

void plan_action_text(const struct plan_action *a, struct buf *out)
{
	char size[32];

	switch (a->kind) {
	case PLAN_TARGET_DELETE:
		buf_printf(out, "delete target %s", a->name);
		return;
	case PLAN_TARGET_TRIM:
		buf_printf(out, "take volumes out of target %s: %u luns stay", a->name, a->n_luns);
		return;
	case PLAN_VOLUME_CLOSE:
		buf_printf(out, "close volume %s", a->name);
		return;
	case PLAN_VOLUME_FORGET:
		buf_printf(out, "let go of volume %s, keep %s", a->name, attrs_get(&a->params, "path"));
		return;
	case PLAN_VOLUME_DESTROY:
		buf_printf(out, "destroy the storage of volume %s", a->name);
		return;
	case PLAN_VOLUME_RESIZE:
		buf_printf(out, "resize volume %s to %s", a->name, text_size(a->size, size));
		return;
	case PLAN_VOLUME_CHANGE:
		if (a->forwards)
			buf_printf(out, "forward volume %s to %s", a->name, a->child[0].portals);
		else
			buf_printf(out, "change parameters of volume %s", a->name);
		return;
	case PLAN_VOLUME_CREATE:
		buf_printf(out, "create volume %s: %s, %s", a->name, a->backstore, a->size ? text_size(a->size, size) : "its own size");
		return;
	case PLAN_VOLUME_OPEN:
		if (a->forwards)
			buf_printf(out, "forward volume %s to %s", a->name, a->child[0].portals);
		else
			buf_printf(out, "open volume %s: %s", a->name, a->backstore);
		return;
	case PLAN_TARGET_SET:
		buf_printf(out, "set target %s: %u luns, %u hosts, %u portals%s", a->name, a->n_luns, a->n_hosts, a->n_portals,
		           a->generation ? "" : " (some volumes are missing)");
		return;
	case PLAN_REPORT:
		buf_printf(out, "%s is as desired", a->path);
		return;
	case PLAN_SERVE:
		buf_printf(out, "serve volume %s under epoch %" PRIu64, a->name, a->epoch);
		return;
	case PLAN_SERVE_CHANGE:
		buf_printf(out, "legs of volume %s: %s", a->name, attrs_get(&a->params, "p.legs"));
		return;
	case PLAN_FREEZE:
		buf_printf(out, "freeze volume %s under epoch %" PRIu64, a->name, a->epoch);
		return;
	case PLAN_HOLD:
		buf_printf(out, "hold volume %s: epoch %" PRIu64 " is over", a->name, a->epoch);
		return;
	}
}

/* ---- nodes ---- */

void plan_node_fini(struct plan_node *n)
{
	free(n->name);
	free(n->inner);
	free(n->addresses);
}

void plan_nodes_fini(struct plan_nodes *ns)
{
	for (unsigned i = 0; i < ns->n; i++)
		plan_node_fini(&ns->node[i]);
	free(ns->node);
	*ns = (struct plan_nodes){ 0 };
}

const struct plan_node *plan_node(const struct plan_nodes *ns, const struct node_id *id)
{
	for (unsigned i = 0; ns && i < ns->n; i++)
		if (node_id_eq(&ns->node[i].id, id))
			return &ns->node[i];
	return NULL;
}

const struct plan_node *plan_node_named(const struct plan_nodes *ns, const char *name)
{
	for (unsigned i = 0; ns && name && i < ns->n; i++)
		if (strcmp(ns->node[i].name, name) == 0)
			return &ns->node[i];
	return NULL;
}

/* ---- failures ---- */

/* One per kind and path: a new wish takes the place of the old one's failure. */
struct failure {
	enum plan_kind kind;
	char *path;
	uint8_t uuid[16], wish[16];
	unsigned n;
	struct mono due;
	RB_ENTRY(failure) by_path;
	TAILQ_ENTRY(failure) by_age;
};

RB_HEAD(failure_tree, failure);
TAILQ_HEAD(failure_list, failure);

struct plan_retry {
	struct failure_tree by_path;
	struct failure_list by_age;
	unsigned n;
};

static int failure_cmp(const struct failure *a, const struct failure *b)
{
	int d = strcmp(a->path, b->path);

	if (d == 0)
		d = (int)a->kind - (int)b->kind;
	return d ? d : memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

RB_GENERATE_INTERNAL(failure_tree, failure, by_path, failure_cmp, __attribute__((unused)) static)

struct plan_retry *plan_retry_new(void)
{
	struct plan_retry *r = mem_zalloc(sizeof(*r));

	RB_INIT(&r->by_path);
	TAILQ_INIT(&r->by_age);
	return r;
}

static void failure_drop(struct plan_retry *r, struct failure *f)
{
	RB_REMOVE(failure_tree, &r->by_path, f);
	TAILQ_REMOVE(&r->by_age, f, by_age);
	r->n--;
	free(f->path);
	free(f);
}

void plan_retry_free(struct plan_retry **rp)
{
	if (!*rp)
		return;
	while ((*rp)->n)
		failure_drop(*rp, TAILQ_FIRST(&(*rp)->by_age));
	free(*rp);
	*rp = NULL;
}

/* What the action would do, so that a changed wish is told from the one that failed. */
static void wish_of(const struct plan_action *a, uint8_t out[16])
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, 16);
	crypto_generichash_update(&st, a->hash, sizeof(a->hash));
	crypto_generichash_update(&st, (const uint8_t *)&a->size, sizeof(a->size));
	crypto_generichash_final(&st, out, 16);
}

static struct failure *failure_find(const struct plan_retry *r, const struct plan_action *a)
{
	struct failure probe = { .kind = a->kind, .path = a->path };

	memcpy(probe.uuid, a->uuid, sizeof(probe.uuid));
	return RB_FIND(failure_tree, (struct failure_tree *)&r->by_path, &probe);
}

void plan_failed(struct plan_retry *r, const struct plan_action *a, struct mono now)
{
	struct failure *f = failure_find(r, a);
	uint64_t wait = PLAN_RETRY_FIRST_MS;
	uint8_t wish[16];

	wish_of(a, wish);
	if (!f) {
		f = mem_zalloc(sizeof(*f));
		f->kind = a->kind;
		f->path = mem_strdup(a->path);
		memcpy(f->uuid, a->uuid, sizeof(f->uuid));
		RB_INSERT(failure_tree, &r->by_path, f);
		TAILQ_INSERT_TAIL(&r->by_age, f, by_age);
		r->n++;
	}
	f->n = memcmp(f->wish, wish, sizeof(wish)) == 0 ? f->n + 1 : 1;
	memcpy(f->wish, wish, sizeof(wish));
	for (unsigned i = 1; i < f->n && wait < PLAN_RETRY_LAST_MS; i++)
		wait *= 2;
	/* Its owner may be about to open it: commands wait meanwhile. */
	if (a->forwards)
		wait = f->n < 20 ? PLAN_RETRY_FORWARD_MS : PLAN_RETRY_FIRST_MS * 4;
	f->due = mono_add_ms(now, wait < PLAN_RETRY_LAST_MS ? wait : PLAN_RETRY_LAST_MS);
	if (r->n > PLAN_RETRY_MAX)
		failure_drop(r, TAILQ_FIRST(&r->by_age));
}

void plan_done(struct plan_retry *r, const struct plan_action *a)
{
	struct failure *f = failure_find(r, a);

	if (f)
		failure_drop(r, f);
}

bool plan_waits(const struct plan_retry *r, const struct plan_action *a, struct mono now, struct mono *due)
{
	const struct failure *f = r ? failure_find(r, a) : NULL;
	uint8_t wish[16];

	if (!f || mono_due(f->due, now))
		return false;
	wish_of(a, wish);
	if (memcmp(f->wish, wish, sizeof(wish)) != 0)
		return false;
	*due = f->due;
	return true;
}
