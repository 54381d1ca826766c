/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: what this node shall have, against what it has. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/plan_int.h"
#include "cluster/volume.h"

#define DEFAULT_PORTAL "[::]:3260"      /* of a target without any */

/* What this node has of a volume: doc/ownership.md 9. In the order in which they are opened. */
enum want_kind {
	WANT_PLAIN,             /* the only copy */
	WANT_LEG,
	WANT_SERVED,            /* of several: opened by ownership, not by the plan */
	WANT_FORWARD,
	WANT_STRIPE,
};

/* One volume that director-target of this node shall have, with what it has of it. */
struct want_volume {
	enum want_kind kind;
	const struct object *o;                 /* a volume or a leg */
	const struct plan_have_volume *have;    /* NULL: nothing */
	bool ready;                             /* open, or will be when the plan has run so far */
	bool stays;                             /* open already */
	const struct plan_node *at;             /* FORWARD: who serves it; NULL: as it is */
	uint64_t epoch;                         /* FORWARD: under which */
};

struct work {
	const struct catalog *c;
	const struct tree *tree;
	const char *self;
	const struct plan_nodes *nodes;
	const struct plan_have *have;
	const struct plan_retry *retry;
	struct mono now;
	struct plan *p;
	bool any_target;                        /* without one nothing is offered */
	struct want_volume *volumes;            /* ordered by path */
	unsigned n_volumes, cap_volumes;
	const struct object **targets;          /* ordered by path, each once */
	unsigned n_targets, cap_targets;
	unsigned *slot, n_slots;                        /* have->volumes by uuid, each plus one; 0: free */
	unsigned *want_of;                              /* for each of have->volumes which of `volumes`, plus one; 0: none */
	const struct plan_have_target **by_name;        /* have->targets, ordered */
	struct plan_memo *memo;
};

/* ---- what is there, findable ---- */

static int uuid_cmp(const void *a, const void *b)
{
	return memcmp((*(const struct plan_have_volume *const *)a)->uuid,
	              (*(const struct plan_have_volume *const *)b)->uuid, 16);
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp((*(const struct plan_have_target *const *)a)->name,
	              (*(const struct plan_have_target *const *)b)->name);
}

static void have_find(struct work *w)
{
	const struct plan_have *h = w->have;

	w->n_slots = 16;
	while (w->n_slots < 2 * h->n_volumes)
		w->n_slots *= 2;
	w->slot = mem_zalloc(w->n_slots * sizeof(*w->slot));
	for (unsigned i = 0; i < h->n_volumes; i++) {
		unsigned k = plan_uuid_slot(h->volumes[i].uuid, w->n_slots);

		while (w->slot[k])
			k = (k + 1) % w->n_slots;
		w->slot[k] = i + 1;
	}
	w->want_of = h->n_volumes ? mem_zalloc(h->n_volumes * sizeof(*w->want_of)) : NULL;
	w->by_name = h->n_targets ? mem_alloc(h->n_targets * sizeof(*w->by_name)) : NULL;
	for (unsigned i = 0; i < h->n_targets; i++)
		w->by_name[i] = &h->targets[i];
	if (h->n_targets)
		qsort(w->by_name, h->n_targets, sizeof(*w->by_name), name_cmp);
}

static const struct plan_have_volume *have_volume(const struct work *w, const uint8_t uuid[16])
{
	for (unsigned k = plan_uuid_slot(uuid, w->n_slots); w->slot[k]; k = (k + 1) % w->n_slots) {
		const struct plan_have_volume *v = &w->have->volumes[w->slot[k] - 1];

		if (memcmp(v->uuid, uuid, 16) == 0)
			return v;
	}
	return NULL;
}

static const struct plan_have_target *have_target(const struct work *w, const char *name)
{
	struct plan_have_target probe = { .name = (char *)name };
	const struct plan_have_target *key = &probe, **found;

	found = w->by_name ? bsearch(&key, w->by_name, w->have->n_targets, sizeof(*w->by_name), name_cmp) : NULL;
	return found ? *found : NULL;
}

/* ---- what shall be ---- */

static int target_cmp(const void *a, const void *b)
{
	return path_cmp((*(const struct object *const *)a)->path, (*(const struct object *const *)b)->path);
}

/* The targets with a lun of this volume. */
static void want_targets(struct work *w, const struct object *volume)
{
	const struct object *lun = NULL;

	while (w->any_target && (lun = tree_referrer(w->tree, volume->path, lun))) {
		char luns[PATH_LEN_MAX], path[PATH_LEN_MAX];

		if (lun->type->id != TYPE_LUN)
			continue;
		path_parent(lun->path, luns);
		path_parent(luns, path);
		w->targets = mem_grow(w->targets, &w->cap_targets, w->n_targets, sizeof(*w->targets));
		w->targets[w->n_targets++] = tree_get(w->tree, path);
	}
}

/* Is there a LUN of it, or of the volume that it is a part of? */
static bool offered(const struct work *w, const struct object *volume)
{
	const char *whole = w->any_target ? attrs_get(&volume->attrs, "part-of") : NULL;
	const struct object *o = NULL;
	char path[PATH_LEN_MAX];

	while (w->any_target && (o = tree_referrer(w->tree, volume->path, o)))
		if (o->type->id == TYPE_LUN)
			return true;
	if (!whole || snprintf(path, sizeof(path), "/volumes/%s", whole) >= (int)sizeof(path))
		return false;
	o = tree_get(w->tree, path);
	return o && offered(w, o);
}

static struct want_volume *want_add(struct work *w, enum want_kind kind, const struct object *o)
{
	struct want_volume *v;

	w->volumes = mem_grow(w->volumes, &w->cap_volumes, w->n_volumes, sizeof(*w->volumes));
	v = &w->volumes[w->n_volumes++];
	*v = (struct want_volume){ .kind = kind, .o = o, .have = have_volume(w, o->uuid) };
	v->stays = v->have && v->have->open;
	return v;
}

/* A volume whose data is at another node. */
static void want_forward(struct work *w, const struct object *o, const struct plan_node *at, uint64_t epoch)
{
	const struct plan_have_volume *have = have_volume(w, o->uuid);
	struct want_volume *v;

	if (!w->nodes || !offered(w, o) || ((!at || !at->inner) && !(have && have->open)))
		return;
	v = want_add(w, WANT_FORWARD, o);
	v->at = at && at->inner ? at : NULL;
	v->epoch = epoch;
	want_targets(w, o);
}

static void want_copies(struct work *w, const struct object *o)
{
	const struct plan_have_volume *have = have_volume(w, o->uuid);
	const struct plan_node *self = plan_node_named(w->nodes, w->self);
	const struct object *leg = NULL;
	struct own_row row;

	volume_row(w->tree, o, &row);
	if ((have && have->ours) || (self && node_id_eq(&self->id, &row.owner))) {
		want_add(w, WANT_SERVED, o);
		want_targets(w, o);
	} else if (!node_id_none(&row.owner)) {
		want_forward(w, o, plan_node(w->nodes, &row.owner), row.epoch);
	}
	while ((leg = volume_leg(w->tree, o, leg)))
		if (!attrs_get(&leg->attrs, "lun") && strcmp(attrs_get(&leg->attrs, "node"), w->self) == 0)
			want_add(w, WANT_LEG, leg);
}

static void want_volume_of(struct work *w, const struct object *o)
{
	const char *node = attrs_get(&o->attrs, "node");

	if (volume_is_striped(o)) {
		if (w->nodes && offered(w, o)) {
			want_add(w, WANT_STRIPE, o);
			want_targets(w, o);
		}
	} else if (volume_has_legs(o)) {
		want_copies(w, o);
	} else if (node && strcmp(node, w->self) == 0) {
		want_add(w, WANT_PLAIN, o);
		want_targets(w, o);
	} else {
		want_forward(w, o, plan_node_named(w->nodes, node), 1);
	}
}

static void want_all(struct work *w)
{
	const struct object *o = NULL;
	unsigned n = 0;

	w->any_target = tree_child(w->tree, "/targets", NULL) != NULL;
	/* Volumes come by path, each before its legs. */
	while ((o = tree_child(w->tree, "/volumes", o)))
		want_volume_of(w, o);
	for (unsigned i = 0; i < w->n_volumes; i++)
		if (w->volumes[i].have)
			w->want_of[w->volumes[i].have - w->have->volumes] = i + 1;
	if (w->n_targets)
		qsort(w->targets, w->n_targets, sizeof(*w->targets), target_cmp);
	for (unsigned i = 0; i < w->n_targets; i++)
		if (i == 0 || w->targets[i] != w->targets[i - 1])
			w->targets[n++] = w->targets[i];
	w->n_targets = n;
}

static struct want_volume *want_volume(const struct work *w, const char *path)
{
	unsigned lo = 0, hi = w->n_volumes;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int d = path_cmp(path, w->volumes[mid].o->path);

		if (d == 0)
			return &w->volumes[mid];
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static const struct object *want_target(const struct work *w, const char *name)
{
	unsigned lo = 0, hi = w->n_targets;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int d = strcmp(name, path_name(w->targets[mid]->path));

		if (d == 0)
			return w->targets[mid];
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/* ---- fingerprints ---- */

static void feed(crypto_generichash_state *st, const char *s)
{
	crypto_generichash_update(st, (const uint8_t *)s, strlen(s) + 1);
}

static void feed_attrs(crypto_generichash_state *st, const struct attrs *as)
{
	for (unsigned i = 0; i < as->n; i++) {
		feed(st, as->a[i].key);
		feed(st, as->a[i].value);
	}
	feed(st, "");
}

static void target_hash(struct plan_action *a)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, sizeof(a->hash));
	feed(&st, a->alias);
	feed_attrs(&st, &a->options);
	for (unsigned i = 0; i < a->n_luns; i++) {
		uint8_t lun[3] = { (uint8_t)a->luns[i].number, (uint8_t)(a->luns[i].number >> 8), a->luns[i].read_only };

		crypto_generichash_update(&st, lun, sizeof(lun));
		crypto_generichash_update(&st, a->luns[i].uuid, sizeof(a->luns[i].uuid));
	}
	feed(&st, "/");
	for (unsigned i = 0; i < a->n_hosts; i++) {
		feed(&st, a->hosts[i].initiator);
		feed_attrs(&st, &a->hosts[i].auth);
	}
	feed(&st, "/");
	for (unsigned i = 0; i < a->n_portals; i++)
		feed(&st, a->portals[i]);
	feed(&st, "/");
	for (unsigned i = 0; i < a->n_elsewhere; i++) {
		feed(&st, a->elsewhere[i].address);
		crypto_generichash_update(&st, (const uint8_t *)&a->elsewhere[i].tag, sizeof(a->elsewhere[i].tag));
	}
	crypto_generichash_final(&st, a->hash, sizeof(a->hash));
}

/* ---- actions ---- */

/* Into the plan, unless it failed lately: then it waits. Says which. `a` is emptied. */
static bool plan_add(struct work *w, struct plan_action *a)
{
	struct mono due;

	if (plan_waits(w->retry, a, w->now, &due)) {
		w->p->n_waiting++;
		w->p->wake = mono_min(w->p->wake, due);
		plan_action_fini(a);
		return false;
	}
	w->p->a = mem_grow(w->p->a, &w->p->cap, w->p->n, sizeof(*w->p->a));
	w->p->a[w->p->n++] = *a;
	*a = (struct plan_action){ 0 };
	return true;
}

/* ---- volumes ---- */

/* What plan_memo keeps it by. */
static struct plan_from from_of(const struct work *w, const struct want_volume *v)
{
	struct plan_from f = { .kind = v->kind, .epoch = v->epoch, .at = v->at ? (unsigned)(v->at - w->nodes->node) + 1 : 0 };
	const struct object *o = NULL;

	hash_sum_add(&f.objects, v->o->hash);
	if (v->kind == WANT_LEG)
		hash_sum_add(&f.objects, volume_of_leg(w->tree, v->o)->hash);
	while (v->kind == WANT_FORWARD && (o = volume_leg(w->tree, v->o, o)))
		hash_sum_add(&f.objects, o->hash);
	for (unsigned i = 0; v->kind == WANT_STRIPE && (o = volume_shard(w->tree, v->o, i)); i++)
		hash_sum_add(&f.objects, o->hash);
	return f;
}

static void volume_hash(const struct work *w, const struct want_volume *v, struct plan_action *a)
{
	struct plan_from from;
	const uint8_t *known;
	uint64_t size;

	if (!w->memo) {
		plan_volume_hash(a);
		return;
	}
	from = from_of(w, v);
	known = memo_find(w->memo, v->o->uuid, &from, &size);
	if (known && !w->memo->check) {
		memcpy(a->hash, known, sizeof(a->hash));
		return;
	}
	plan_volume_hash(a);
	if (known && (size != a->size || memcmp(known, a->hash, sizeof(a->hash)) != 0))
		w->memo->wrong = true;
	memo_put(w->memo, v->o->uuid, &from, a->hash, a->size);
}

static struct plan_action volume_action(const struct work *w, enum plan_kind kind, const struct want_volume *v)
{
	const struct object *o = v->o;
	struct plan_action a;

	if (v->kind == WANT_LEG)
		a = plan_leg(kind, volume_of_leg(w->tree, o), o);
	else if (v->kind == WANT_FORWARD)
		a = plan_forward(kind, w->tree, o, v->at, v->epoch, w->nodes->key);
	else if (v->kind == WANT_STRIPE)
		a = plan_stripe(kind, w->tree, o);
	else
		a = plan_plain(kind, o);
	/* What is served elsewhere is out of reach with the majority. */
	a.apart = (v->kind == WANT_FORWARD || v->kind == WANT_STRIPE) && w->nodes->alone;
	if (v->kind == WANT_PLAIN || v->kind == WANT_FORWARD)
		plan_groups(&a, w->nodes, v->kind == WANT_PLAIN ? plan_node_named(w->nodes, w->self) : v->at, w->self);
	a.keeps = v->kind != WANT_LEG && w->nodes && catalog_level(w->c) >= VOLUME_LEVEL;
	volume_hash(w, v, &a);
	return a;
}

/* For a volume that is not wanted: all that is known of it is what was kept. */
static struct plan_action leaving_action(enum plan_kind kind, const struct plan_have_volume *v)
{
	const char *backstore = attrs_get(&v->params, "backstore");
	struct plan_action a = {
		.kind = kind, .path = mem_printf("/volumes/%s", v->name), .name = mem_strdup(v->name),
		.generation = v->generation, .size = v->size, .backstore = mem_strdup(backstore ? backstore : "file"),
	};

	memcpy(a.uuid, v->uuid, sizeof(a.uuid));
	memcpy(a.hash, v->hash, sizeof(a.hash));
	attrs_copy(&a.params, &v->params);
	return a;
}

static void add_lun(struct plan_action *a, const struct object *lun, const struct object *volume)
{
	uint64_t number = 0;

	text_u64_parse(path_name(lun->path), &number);
	a->luns = mem_grow(a->luns, &a->cap_luns, a->n_luns, sizeof(*a->luns));
	a->luns[a->n_luns] = (struct plan_lun){
		.number = (unsigned)number, .volume = mem_strdup(path_name(volume->path)),
		.read_only = schema_get_bool(lun->type, &lun->attrs, "read-only"),
	};
	memcpy(a->luns[a->n_luns++].uuid, volume->uuid, 16);
}

static int lun_cmp(const void *a, const void *b)
{
	unsigned x = ((const struct plan_lun *)a)->number, y = ((const struct plan_lun *)b)->number;

	return (x > y) - (x < y);
}

/* The luns whose volume is here and ready (or, for a trim, stays). Are any of this node's missing? */
static bool add_luns(const struct work *w, struct plan_action *a, const struct object *target, bool trim)
{
	const struct object *lun = NULL;
	char folder[PATH_LEN_MAX + 8], path[PATH_LEN_MAX];
	bool missing = false;

	snprintf(folder, sizeof(folder), "%s/luns", target->path);
	while ((lun = tree_child(w->tree, folder, lun))) {
		struct want_volume *v;

		schema_ref_path(schema_param(lun->type, "volume"), attrs_get(&lun->attrs, "volume"), path);
		v = want_volume(w, path);
		if (!v)
			continue;
		if (trim ? v->stays : v->ready)
			add_lun(a, lun, v->o);
		else
			missing = true;
	}
	if (a->n_luns)
		qsort(a->luns, a->n_luns, sizeof(*a->luns), lun_cmp);
	return missing;
}

/* A target that is not enabled lets nobody in; one that insists on CHAP only those who can be asked for it. */
static bool may_log_in(const struct object *target, const struct object *host)
{
	if (!schema_get_bool(target->type, &target->attrs, "enabled"))
		return false;
	return strcmp(schema_get(target->type, &target->attrs, "auth"), "chap") != 0 || attrs_get(&host->attrs, "chap-secret");
}

static void add_host(struct plan_action *a, const struct object *host)
{
	static const char *const keys[] = { "chap-user", "chap-secret", "mutual-user", "mutual-secret" };
	struct plan_host *h;

	a->hosts = mem_grow(a->hosts, &a->cap_hosts, a->n_hosts, sizeof(*a->hosts));
	h = &a->hosts[a->n_hosts++];
	*h = (struct plan_host){ .initiator = mem_strdup(path_name(host->path)) };
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		if (attrs_get(&host->attrs, keys[i]))
			attrs_set(&h->auth, keys[i], attrs_get(&host->attrs, keys[i]));
}

/* Has it a LUN whose only copy is here? Then this node was meant by its portals. */
static bool own_target(const struct work *w, const struct object *target)
{
	const struct object *lun = NULL;
	char folder[PATH_LEN_MAX + 8], path[PATH_LEN_MAX];

	snprintf(folder, sizeof(folder), "%s/luns", target->path);
	while ((lun = tree_child(w->tree, folder, lun))) {
		const struct want_volume *v;

		schema_ref_path(schema_param(lun->type, "volume"), attrs_get(&lun->attrs, "volume"), path);
		v = want_volume(w, path);
		if (v && v->kind == WANT_PLAIN)
			return true;
	}
	return false;
}

static struct plan_action target_action(const struct work *w, enum plan_kind kind, const struct object *o)
{
	const char *alias = attrs_get(&o->attrs, "alias");
	struct plan_action a = {
		.kind = kind, .path = mem_strdup(o->path), .name = mem_strdup(path_name(o->path)),
		.alias = mem_strdup(alias ? alias : ""), .generation = o->touched,
	};
	const struct object *child = NULL;
	char portals[PATH_LEN_MAX + 16];

	snprintf(portals, sizeof(portals), "%s/portals", o->path);
	plan_params(o, &a.options);
	if (add_luns(w, &a, o, kind == PLAN_TARGET_TRIM))
		a.generation = 0;
	while ((child = tree_below(w->tree, o->path, child ? child : o))) {
		if (child->type->id == TYPE_HOST && may_log_in(o, child))
			add_host(&a, child);
		if (child->type->id != TYPE_PORTAL)
			continue;
		plan_elsewhere(&a, w->nodes, w->self, path_name(child->path));
		if (!plan_portal_here(w->nodes, w->self, path_name(child->path)) && !own_target(w, o))
			continue;
		a.portals = mem_grow(a.portals, &a.cap_portals, a.n_portals, sizeof(*a.portals));
		a.portals[a.n_portals++] = mem_strdup(path_name(child->path));
	}
	if (!a.n_elsewhere && !tree_count_in(w->tree, portals))
		plan_elsewhere(&a, w->nodes, w->self, DEFAULT_PORTAL);
	plan_floating(&a, w->tree, o, w->self, DEFAULT_PORTAL);
	target_hash(&a);
	return a;
}

static void report(struct work *w, const char *path, const char *name, uint64_t generation, const uint8_t hash[16],
                   const uint8_t *uuid)
{
	struct plan_action a = {
		.kind = PLAN_REPORT, .path = mem_strdup(path), .name = mem_strdup(name), .generation = generation,
	};

	memcpy(a.hash, hash, sizeof(a.hash));
	if (uuid)
		memcpy(a.uuid, uuid, sizeof(a.uuid));
	plan_add(w, &a);
}

/* ---- 1. targets let go ---- */

/* The name of a volume or, with "/legs/" in it, of a leg: far shorter than a path (NAME_LABEL). */
static void volume_path(const char *name, char *out)
{
	snprintf(out, PATH_LEN_MAX, "/volumes/%.200s", name);
}

/* Is what is there of this name wanted, and the same? */
static bool wanted(const struct work *w, const struct plan_have_volume *v)
{
	unsigned i = w->want_of[v - w->have->volumes];
	const struct want_volume *want;
	char path[PATH_LEN_MAX];

	if (i && strlen(v->name) <= 200 && strcmp(plan_name(w->volumes[i - 1].o->path), v->name) == 0)
		return true;
	volume_path(v->name, path);
	want = want_volume(w, path);
	return want && memcmp(want->o->uuid, v->uuid, 16) == 0;
}

/* Does the target as it is use a volume that is not to stay as it is? */
static bool uses_leaving(const struct work *w, const struct plan_have_target *t)
{
	for (unsigned i = 0; i < t->n_volumes; i++) {
		const struct plan_have_volume *v = have_volume(w, t->volumes[i]);

		if (v && !wanted(w, v))
			return true;
	}
	return false;
}

static void plan_targets_letting_go(struct work *w)
{
	uint64_t applied = catalog_applied(w->c);

	for (unsigned i = 0; i < w->have->n_targets; i++) {
		const struct plan_have_target *t = w->by_name[i];
		const struct object *o = want_target(w, t->name);
		struct plan_action a;

		if (t->generation > applied)
			continue;
		if (!o) {
			a = (struct plan_action){ .kind = PLAN_TARGET_DELETE, .path = mem_printf("/targets/%s", t->name),
			                          .name = mem_strdup(t->name), .generation = t->generation };
			plan_add(w, &a);
		} else if (uses_leaving(w, t)) {
			a = target_action(w, PLAN_TARGET_TRIM, o);
			plan_add(w, &a);
		}
	}
}

/* ---- 2. volumes leave ---- */

static bool leaving(const struct work *w, const struct plan_have_volume *v)
{
	return !v->ours && v->generation <= catalog_applied(w->c) && !wanted(w, v);
}

/* Is a target that will not let go in the way? Then its action failed and waits. */
static bool held(const struct work *w, const struct plan_have_volume *v)
{
	for (unsigned i = 0; i < w->have->n_targets; i++) {
		const struct plan_have_target *t = &w->have->targets[i];
		bool uses = false, planned = false;

		for (unsigned k = 0; !uses && k < t->n_volumes; k++)
			uses = memcmp(t->volumes[k], v->uuid, 16) == 0;
		for (unsigned k = 0; uses && !planned && k < w->p->n; k++)
			planned = w->p->a[k].kind <= PLAN_TARGET_TRIM && strcmp(w->p->a[k].name, t->name) == 0;
		if (uses && !planned)
			return true;
	}
	return false;
}

static void plan_volumes_leaving(struct work *w)
{
	const struct plan_have_volume **list = NULL;
	unsigned n = 0, cap = 0;

	for (unsigned i = 0; i < w->have->n_volumes; i++)
		if (leaving(w, &w->have->volumes[i])) {
			list = mem_grow(list, &cap, n, sizeof(*list));
			list[n++] = &w->have->volumes[i];
		}
	if (n)
		qsort(list, n, sizeof(*list), uuid_cmp);
	for (unsigned i = 0; i < n; i++) {
		const struct plan_have_volume *v = list[i];
		struct plan_action a;

		if (held(w, v))
			continue;
		if (v->open) {
			a = leaving_action(PLAN_VOLUME_CLOSE, v);
			if (!plan_add(w, &a))
				continue;
		}
		/* What lies in a file or device that the user named is not ours to destroy. */
		a = leaving_action(!v->created || attrs_get(&v->params, "path") ? PLAN_VOLUME_FORGET : PLAN_VOLUME_DESTROY, v);
		plan_add(w, &a);
	}
	free(list);
}

/* ---- 3. volumes change, 4. volumes come ---- */

/* Is there nothing to do but, at most, to say so? */
static bool plan_volume_same(struct work *w, const struct want_volume *v, const uint8_t hash[16], uint64_t size)
{
	const struct plan_have_volume *h = v->have;

	if ((size && h->size && size != h->size && v->kind != WANT_FORWARD) || memcmp(hash, h->hash, sizeof(h->hash)) != 0)
		return false;
	if (h->generation != v->o->generation)
		report(w, v->o->path, plan_name(v->o->path), v->o->generation, hash, v->o->uuid);
	return true;
}

static void plan_volume_change(struct work *w, struct want_volume *v, struct plan_action *change)
{
	const struct plan_have_volume *h = v->have;
	bool differs = memcmp(change->hash, h->hash, sizeof(h->hash)) != 0;

	if (change->size && h->size && change->size != h->size && !change->forwards) {
		struct plan_action resize = volume_action(w, PLAN_VOLUME_RESIZE, v);

		/* Not all is done when other parameters differ too; they are next. */
		if (differs)
			resize.generation = 0;
		plan_add(w, &resize);
	} else if (differs) {
		plan_add(w, change);
	}
}

static void plan_volume_open(struct work *w, struct want_volume *v)
{
	struct plan_action change;
	struct plan_from from;
	const uint8_t *hash;
	uint64_t size;

	v->ready = true;
	if (v->kind == WANT_SERVED || (v->kind == WANT_FORWARD && !v->at))
		return;
	if (w->memo)
		from = from_of(w, v);
	hash = w->memo ? memo_find(w->memo, v->o->uuid, &from, &size) : NULL;
	if (hash && !w->memo->check && plan_volume_same(w, v, hash, size))
		return;
	change = volume_action(w, PLAN_VOLUME_CHANGE, v);
	if (!plan_volume_same(w, v, change.hash, change.size))
		plan_volume_change(w, v, &change);
	plan_action_fini(&change);
}

/* Is the storage of an earlier volume of this name still there, and not about to go? */
static bool name_taken(const struct work *w, const struct object *o)
{
	for (unsigned i = 0; i < w->have->n_volumes; i++) {
		const struct plan_have_volume *v = &w->have->volumes[i];
		bool going = false;

		if (strcmp(v->name, plan_name(o->path)) != 0 || memcmp(v->uuid, o->uuid, 16) == 0)
			continue;
		for (unsigned k = 0; !going && k < w->p->n; k++)
			going = (w->p->a[k].kind == PLAN_VOLUME_DESTROY || w->p->a[k].kind == PLAN_VOLUME_FORGET) &&
			        memcmp(w->p->a[k].uuid, v->uuid, 16) == 0;
		if (!going)
			return true;
	}
	return false;
}

/* The storage of this leg is still open as that of the volume it was: ownership closes it first. */
static bool still_plain(const struct work *w, const struct want_volume *v)
{
	const struct plan_have_volume *h;

	if (v->kind != WANT_LEG || !attrs_get(&v->o->attrs, "in-front"))
		return false;
	h = have_volume(w, volume_of_leg(w->tree, v->o)->uuid);
	return h && h->open && !h->ours;
}

/*
 * Storage is made once in a volume's life. One that was made and is not there now is an error to show (a
 * disk that is not mounted), never a reason to make an empty one.
 */
static void plan_volume_come(struct work *w, struct want_volume *v)
{
	struct plan_action a;

	if (v->kind == WANT_SERVED || (v->kind == WANT_FORWARD && !v->at) || still_plain(w, v))
		return;
	if ((v->kind == WANT_PLAIN || v->kind == WANT_LEG) && (!v->have || !v->have->created)) {
		if (name_taken(w, v->o))
			return;
		a = volume_action(w, PLAN_VOLUME_CREATE, v);
		if (!plan_add(w, &a))
			return;
	}
	a = volume_action(w, PLAN_VOLUME_OPEN, v);
	v->ready = plan_add(w, &a);
}

static void plan_volumes(struct work *w)
{
	for (unsigned i = 0; i < w->n_volumes; i++)
		if (w->volumes[i].stays)
			plan_volume_open(w, &w->volumes[i]);
	for (enum want_kind kind = WANT_PLAIN; kind <= WANT_STRIPE; kind++)
		for (unsigned i = 0; i < w->n_volumes; i++)
			if (w->volumes[i].kind == kind && !w->volumes[i].stays)
				plan_volume_come(w, &w->volumes[i]);
}

/* ---- 5. targets as they shall be ---- */

/* It has portals, and none of them is of this node. */
static bool elsewhere_only(const struct work *w, const struct object *target, const struct plan_action *a)
{
	char folder[PATH_LEN_MAX + 16];

	snprintf(folder, sizeof(folder), "%s/portals", target->path);
	return a->n_portals == 0 && tree_count_in(w->tree, folder);
}

static void plan_targets(struct work *w)
{
	for (unsigned i = 0; i < w->n_targets; i++) {
		struct plan_action a = target_action(w, PLAN_TARGET_SET, w->targets[i]);
		const struct plan_have_target *t = have_target(w, a.name);
		const uint8_t *hash = t ? t->hash : NULL;
		uint64_t generation = t ? t->generation : 0;

		/* One that is here already loses its portals, and is no longer reached at this node. */
		if ((t && t->generation > catalog_applied(w->c)) || (!t && elsewhere_only(w, w->targets[i], &a)) ||
		    (!t && !a.generation && w->nodes && w->nodes->settling)) {
			plan_action_fini(&a);
			continue;
		}
		/* A trim of this plan may have brought it there already. */
		for (unsigned k = 0; k < w->p->n; k++) {
			if (w->p->a[k].kind == PLAN_TARGET_TRIM && strcmp(w->p->a[k].name, a.name) == 0) {
				hash = w->p->a[k].hash;
				generation = w->p->a[k].generation;
			}
		}
		if (!hash || memcmp(hash, a.hash, sizeof(a.hash)) != 0)
			plan_add(w, &a);
		else if (a.generation && generation != a.generation)
			report(w, a.path, a.name, a.generation, a.hash, NULL);
		plan_action_fini(&a);
	}
}

/* All of the nodes that a volume's hash depends on. */
static void memo_context(struct work *w)
{
	crypto_generichash_state st;
	const uint32_t numbers[] = { w->nodes != NULL, catalog_level(w->c) >= VOLUME_LEVEL, w->nodes ? w->nodes->alone : 0,
		w->nodes ? w->nodes->key : 0 };
	bool choose = plan_groups_choose(w->nodes);

	crypto_generichash_init(&st, NULL, 0, sizeof(w->memo->context));
	feed(&st, w->self);
	crypto_generichash_update(&st, (const uint8_t *)numbers, sizeof(numbers));
	for (unsigned i = 0; w->nodes && i < w->nodes->n; i++) {
		const struct plan_node *n = &w->nodes->node[i];
		const uint16_t more[] = { n->group, choose && n->up, n->inner != NULL };

		crypto_generichash_update(&st, n->id.b, sizeof(n->id.b));
		feed(&st, n->name);
		feed(&st, n->inner ? n->inner : "");
		crypto_generichash_update(&st, (const uint8_t *)more, sizeof(more));
	}
	crypto_generichash_final(&st, w->memo->context, sizeof(w->memo->context));
}

void plan_make_by(struct plan_memo *m, const struct catalog *c, const char *self, const struct plan_nodes *nodes, const struct plan_have *have,
                  const struct plan_retry *r, struct mono now, struct plan *p)
{
	struct work w = { .c = c, .tree = catalog_tree(c), .self = self, .nodes = nodes, .have = have, .retry = r, .now = now, .p = p,
		.memo = m };

	*p = (struct plan){ .wake = MONO_NEVER };
	have_find(&w);
	want_all(&w);
	if (m) {
		memo_room(m, w.n_volumes);
		memo_context(&w);
	}
	plan_targets_letting_go(&w);
	plan_volumes_leaving(&w);
	plan_volumes(&w);
	plan_targets(&w);
	free(w.volumes);
	free(w.targets);
	free(w.slot);
	free(w.want_of);
	free(w.by_name);
}

void plan_make(const struct catalog *c, const char *self, const struct plan_nodes *nodes, const struct plan_have *have,
               const struct plan_retry *r, struct mono now, struct plan *p)
{
	plan_make_by(NULL, c, self, nodes, have, r, now, p);
}
