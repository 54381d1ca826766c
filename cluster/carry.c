/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out: what the catalog wants of this node against what director-target has, as plan actions,
 * a few at a time; what came of them is reported as facts. That storage was made is recorded durably
 * before the volume counts as made, so that lost storage is an error and not a new, blank volume.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

#define CARRY_AT_ONCE 8
#define CARRY_APART 32          /* begun in one round */

static struct plan_action *action_take(struct plan_action *a)
{
	struct plan_action *copy = mem_dup(a, sizeof(*a));

	*a = (struct plan_action){ .kind = a->kind };
	return copy;
}

static bool is_volume(const struct plan_action *a)
{
	return a->kind >= PLAN_VOLUME_CLOSE && a->kind <= PLAN_VOLUME_OPEN;
}

/* Ownership's, or about a volume at another node: they take their time, and nothing waits for them. */
static bool is_apart(const struct plan_action *a)
{
	return a->kind >= PLAN_SERVE || a->forwards;
}

static bool busy_with(const struct cluster *c, const char *path)
{
	for (unsigned i = 0; i < c->n_doing; i++) {
		const struct doing *d = c->doing[i];

		if (d->kind == CLUSTER_ACT_PLAN && d->plan.kind < PLAN_SERVE && strcmp(d->plan.path, path) == 0)
			return true;
		if (d->kind == CLUSTER_ACT_RECORD && d->plan.path && strcmp(d->plan.path, path) == 0)
			return true;
	}
	return false;
}

/* Actions run together only when they are of one kind: the plan's order holds between kinds. */
static unsigned running(const struct cluster *c, enum plan_kind *kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_doing; i++) {
		const struct doing *d = c->doing[i];

		if ((d->kind == CLUSTER_ACT_PLAN && !is_apart(&d->plan)) || (d->kind == CLUSTER_ACT_RECORD && d->plan.path)) {
			*kind = d->plan.kind;
			n++;
		}
	}
	return n;
}

void carry_begin(struct cluster *c, struct plan_action *a, struct cluster_out *out)
{
	struct doing *d = cluster_doing(c, CLUSTER_ACT_PLAN);
	struct plan_action *taken = action_take(a);
	struct cluster_act *act = cluster_act(c, out, CLUSTER_ACT_PLAN);
	struct buf text = { 0 };

	d->plan = *taken;
	free(taken);
	act->id = d->id;
	act->plan = &d->plan;
	plan_action_text(&d->plan, &text);
	log_info(c->log, "plan: %s", buf_str(&text));
	buf_fini(&text);
}

/* ---- what is there ---- */

void carry_records(struct cluster *c, const struct cluster_record *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct plan_have_volume *v = plan_have_volume_add(&c->have, r[i].name, r[i].uuid);

		v->created = true;
		v->size = r[i].size;
		attrs_fini(&v->params);
		attrs_copy(&v->params, &r[i].params);
	}
}

/* director-target says what it has open; what we know to be made is kept beside it. */
void carry_have(struct cluster *c, const struct plan_have *have, struct cluster_out *out)
{
	struct attrs none = { 0 };

	c->carry_seen.good = false;
	c->target_heard = true;
	c->target_up = have != NULL;
	for (unsigned i = c->have.n_volumes; i-- > 0; ) {
		struct plan_have_volume *v = &c->have.volumes[i];

		v->open = v->refused = v->ours = v->leased = v->keep_any = v->keep_busy = false;
		v->generation = v->epoch = 0;
		memset(v->hash, 0, sizeof(v->hash));
		if (!v->created)
			plan_have_volume_remove(&c->have, v->uuid);
	}
	while (c->have.n_targets)
		plan_have_target_remove(&c->have, c->have.targets[c->have.n_targets - 1].name);
	cluster_fact(c, "/sessions", NULL);
	facts_delete_below(c->facts, "/sessions");
	for (unsigned i = 0; have && i < have->n_volumes; i++) {
		const struct plan_have_volume *h = &have->volumes[i];
		struct plan_have_volume *v = plan_have_volume(&c->have, h->uuid);

		if (!v)
			v = plan_have_volume_add(&c->have, h->name, h->uuid);
		v->open = true;
		v->created |= h->created;
		v->epoch = h->epoch;
		v->leased = h->leased;
		v->keeps = h->keeps;
		v->generation = h->generation;
		v->size = h->size;
		memcpy(v->hash, h->hash, sizeof(v->hash));
		if (!v->params.n) {
			attrs_fini(&v->params);
			attrs_copy(&v->params, &h->params);
		}
	}
	for (unsigned i = 0; have && i < have->n_targets; i++) {
		const struct plan_have_target *h = &have->targets[i];
		struct plan_have_target *t = plan_have_target_add(&c->have, h->name);

		t->generation = h->generation;
		memcpy(t->hash, h->hash, sizeof(t->hash));
		for (unsigned k = 0; k < h->n_volumes; k++)
			plan_have_target_add_volume(t, h->volumes[k]);
	}
	if (!have) {
		/* Whatever was ready is not served any more, and the reason is one. */
		attrs_set(&none, "state", "failed");
		attrs_set(&none, "error", "director-target does not run");
		for (unsigned i = 0; i < c->have.n_volumes; i++) {
			char path[PATH_LEN_MAX];

			snprintf(path, sizeof(path), "/volumes/%.400s", c->have.volumes[i].name);
			attrs_set(&none, "storage", strstr(path, "/legs/") ? "failed" : NULL);
			attrs_set(&none, "state", strstr(path, "/legs/") ? NULL : "failed");
			if (facts_get(c->facts, &c->self, path))
				cluster_fact(c, path, &none);
		}
		attrs_fini(&none);
	}
	owner_have(c, have, out);
	c->dirty = true;
}

/* ---- what came of it ---- */

/* Where people find it on this node. */
static void stored_at(struct cluster *c, const struct plan_action *a, struct attrs *as)
{
	const struct plan_have_volume *v = plan_have_volume(&c->have, a->uuid);
	const struct attrs *params = a->params.n || !v ? &a->params : &v->params;
	const char *path = attrs_get(params, "path"), *plugin = a->backstore ? a->backstore : attrs_get(params, "backstore");
	auto_free char *file = NULL;
	char uuid[37];

	if (!path && c->conf.volumes && plugin && strcmp(plugin, "file") == 0)
		path = file = mem_printf("%s/%s.img", c->conf.volumes, text_uuid(a->uuid, uuid));
	if (path)
		attrs_set(as, "stored-at", path);
}

void carry_report(struct cluster *c, const struct plan_action *a, const char *state, const char *error)
{
	const struct fact *old = facts_get(c->facts, &c->self, a->path);
	struct attrs as = { 0 };
	char n[24];

	/* The word about a volume is that of the node that serves it. */
	if (a->forwards)
		return;
	if (old)
		attrs_copy(&as, &old->attrs);
	attrs_set(&as, strstr(a->path, "/legs/") ? "storage" : "state", state);
	if (strstr(a->path, "/legs/"))
		stored_at(c, a, &as);
	attrs_set(&as, "error", error);
	/* Only what is there counts as carried out: "creating" is on its way. */
	if (!error && a->generation && strcmp(state, "ready") == 0) {
		snprintf(n, sizeof(n), "%" PRIu64, a->generation);
		attrs_set(&as, "applied", n);
	}
	if ((is_volume(a) || a->kind == PLAN_SERVE || a->kind == PLAN_SERVE_CHANGE) && a->size && !error) {
		snprintf(n, sizeof(n), "%" PRIu64, a->size);
		attrs_set(&as, "size", n);
	}
	cluster_fact(c, a->path, &as);
	attrs_fini(&as);
}

static void record(struct cluster *c, struct plan_action *a, bool forget, struct cluster_out *out)
{
	struct doing *d = cluster_doing(c, CLUSTER_ACT_RECORD);
	struct cluster_act *act = cluster_act(c, out, CLUSTER_ACT_RECORD);

	memcpy(d->record.uuid, a->uuid, 16);
	d->record.size = a->size;
	d->record.name = forget ? NULL : mem_strdup(a->name);
	attrs_copy(&d->record.params, &a->params);
	if (a->backstore)
		attrs_set(&d->record.params, "backstore", a->backstore);
	d->plan = *a;
	*a = (struct plan_action){ .kind = a->kind };
	act->id = d->id;
	act->record = &d->record;
}

static struct plan_have_volume *have_volume(struct cluster *c, const struct plan_action *a)
{
	struct plan_have_volume *v = plan_have_volume(&c->have, a->uuid);

	return v ? v : plan_have_volume_add(&c->have, a->name, a->uuid);
}

static void volume_is(struct cluster *c, const struct plan_action *a, bool open)
{
	struct plan_have_volume *v = have_volume(c, a);

	/* What it kept goes with it. */
	if (!open || a->kind == PLAN_VOLUME_OPEN)
		v->keep_any = false;
	v->open = open;
	v->refused = false;
	/* Ownership took it meanwhile. */
	if (v->ours)
		return;
	v->epoch = a->epoch;
	if (a->kind == PLAN_VOLUME_OPEN)
		v->keeps = a->keeps;
	if (a->size)
		v->size = a->size;
	if (a->params.n) {
		attrs_fini(&v->params);
		attrs_copy(&v->params, &a->params);
		if (a->backstore)
			attrs_set(&v->params, "backstore", a->backstore);
	}
	memcpy(v->hash, a->hash, sizeof(v->hash));
	if (a->generation)
		v->generation = a->generation;
}

static void target_is(struct cluster *c, const struct plan_action *a)
{
	struct plan_have_target *t;

	plan_have_target_remove(&c->have, a->name);
	t = plan_have_target_add(&c->have, a->name);
	t->generation = a->generation;
	memcpy(t->hash, a->hash, sizeof(t->hash));
	for (unsigned i = 0; i < a->n_luns; i++)
		plan_have_target_add_volume(t, a->luns[i].uuid);
}

/* What is there stands as it is; only what it was made from moves on. */
static void report_only(struct cluster *c, const struct plan_action *a)
{
	struct plan_have_volume *v = path_below(a->path, "/volumes") ? plan_have_volume(&c->have, a->uuid) : NULL;
	struct plan_have_target *t = v ? NULL : plan_have_target(&c->have, a->name);

	if (v)
		v->generation = a->generation;
	else if (t)
		t->generation = a->generation;
}

static void done_well(struct cluster *c, struct plan_action *a, struct cluster_out *out)
{
	plan_done(c->retry, a);
	switch (a->kind) {
	case PLAN_TARGET_DELETE:
		plan_have_target_remove(&c->have, a->name);
		cluster_fact(c, a->path, NULL);
		break;
	case PLAN_TARGET_TRIM:
		target_is(c, a);
		/* Without what leaves it may be as it shall be, and then nothing more is done to it. */
		if (a->generation)
			carry_report(c, a, "ready", NULL);
		break;
	case PLAN_TARGET_SET:
		target_is(c, a);
		carry_report(c, a, "ready", NULL);
		break;
	case PLAN_VOLUME_CLOSE:
		volume_is(c, a, false);
		break;
	case PLAN_VOLUME_DESTROY:
	case PLAN_VOLUME_FORGET:
		cluster_fact(c, a->path, NULL);
		if (plan_have_volume(&c->have, a->uuid) && !plan_have_volume(&c->have, a->uuid)->created)
			plan_have_volume_remove(&c->have, a->uuid);
		else
			record(c, a, true, out);
		break;
	case PLAN_VOLUME_CREATE:
		carry_report(c, a, "creating", NULL);
		record(c, a, false, out);
		break;
	case PLAN_REPORT:
		report_only(c, a);
		carry_report(c, a, "ready", NULL);
		break;
	case PLAN_VOLUME_RESIZE:
	case PLAN_VOLUME_CHANGE:
	case PLAN_VOLUME_OPEN:
		volume_is(c, a, true);
		carry_report(c, a, "ready", NULL);
		break;
	case PLAN_SERVE:
	case PLAN_SERVE_CHANGE:
	case PLAN_FREEZE:
	case PLAN_HOLD:
		break;          /* owner_done */
	}
}

/* A report of this node about a volume, leg or target that is not agreed (any more). */
static bool unwanted(const struct cluster *c, const struct fact *f, const char *folder)
{
	return node_id_eq(&f->node, &c->self) && path_below(f->path, folder) && (path_depth(f->path) == 2 || strstr(f->path, "/legs/")) &&
	       !catalog_get(c->catalog, f->path);
}

/* Reports about what is neither wanted nor there any more: a volume that was deleted before it could be made. Says whether all are wanted. */
static bool forget_stale(struct cluster *c, const char *folder)
{
	char stale[PATH_LEN_MAX] = "";
	const struct fact *f = facts_first(c->facts, folder);
	bool all = true;

	for (; f && path_below(f->path, folder); f = facts_next(c->facts, f)) {
		bool there = false;

		if (!unwanted(c, f, folder))
			continue;
		all = false;
		if (busy_with(c, f->path))
			continue;
		for (unsigned i = 0; i < c->have.n_volumes; i++)
			there |= strcmp(c->have.volumes[i].name, f->path + strlen(folder) + 1) == 0;
		there |= plan_have_target(&c->have, path_name(f->path)) != NULL;
		if (!there)
			snprintf(stale, sizeof(stale), "%s", f->path);
	}
	/* One at a time: what is left over comes with the next round. */
	if (stale[0]) {
		cluster_fact(c, stale, NULL);
		c->dirty = true;
	}
	return all;
}

/* All reports were wanted when they were last looked at: what was reported, or was taken away, since then may have changed that. */
static bool all_wanted(struct cluster *c)
{
	const struct tree *t = catalog_tree(c->catalog);
	const struct fact *f = NULL;
	uint64_t version = c->stale_seen.version;

	if (!c->stale_seen.good || c->stale_seen.tree != t || c->stale_seen.removed != tree_removed(t))
		return false;
	while ((f = facts_after(c->facts, &c->self, version))) {
		version = f->version;
		if (!f->deleted && (unwanted(c, f, "/volumes") || unwanted(c, f, "/targets")))
			return false;
	}
	return true;
}

static void forget_all_stale(struct cluster *c)
{
	const struct tree *t = catalog_tree(c->catalog);
	bool good = all_wanted(c);

	if (!good || c->conf.checks) {
		bool volumes = forget_stale(c, "/volumes"), targets = forget_stale(c, "/targets");

		if (good && !(volumes && targets))
			cluster_stale(c, "a report about what is not agreed was not seen");
		good = volumes && targets;
	}
	c->stale_seen = (struct stale_seen){ .good = good, .tree = t, .removed = tree_removed(t), .version = facts_version(c->facts) };
}

static uint32_t crc_text(uint32_t crc, const char *s)
{
	return crc32c(crc, s ? s : "", s ? strlen(s) + 1 : 0);
}

/* What a plan is made from, beside the catalog and what failed; that of params is changed by actions alone. */
static uint64_t basis(const struct cluster *c)
{
	const struct plan_nodes *ns = &c->owner.nodes;
	uint32_t have = 0, nodes = 0;

	/* What follows is about reservations, and no plan's. */
	for (unsigned i = 0; i < c->have.n_volumes; i++)
		have = crc32c(have, &c->have.volumes[i], offsetof(struct plan_have_volume, keep_any));
	have = crc32c(have, c->have.targets, c->have.n_targets * sizeof(*c->have.targets));
	for (unsigned i = 0; i < ns->n; i++) {
		const struct plan_node *n = &ns->node[i];

		nodes = crc32c(nodes, &n->id, sizeof(n->id));
		nodes = crc_text(crc_text(crc_text(nodes, n->name), n->inner), n->addresses);
		nodes = crc32c(nodes, &n->group, sizeof(n->group));
		nodes = crc32c(nodes, &n->up, sizeof(n->up));
	}
	nodes = crc32c(nodes, &ns->key, sizeof(ns->key));
	nodes = crc32c(nodes, (bool[]){ ns->alone, ns->settling, c->target_up }, 3 * sizeof(bool));
	return (uint64_t)have << 32 | nodes;
}

/* Actions of the plan that run, and what is stored after them. */
static bool is_carrying(const struct cluster *c)
{
	for (unsigned i = 0; i < c->n_doing; i++)
		if (c->doing[i]->kind == CLUSTER_ACT_PLAN || c->doing[i]->kind == CLUSTER_ACT_RECORD)
			return true;
	return false;
}

/* A volume without copies that is new, and not a part of another one. */
static bool is_new_plain(const struct cluster *c, const struct change *ch)
{
	const struct object *o = ch->kind == CHANGE_CREATED ? catalog_get(c->catalog, ch->path) : NULL;

	return o && o->type->id == TYPE_VOLUME && !attrs_get(&o->attrs, "copies") && !attrs_get(&o->attrs, "stripe") &&
	       !attrs_get(&o->attrs, "part-of") && !strchr(path_name(o->path), '.');
}

/* Nothing of it is here, and no target offers it. */
static bool is_others(const struct cluster *c, const char *path)
{
	const struct object *o = catalog_get(c->catalog, path), *me = admit_node(c, &c->self);
	const char *node = attrs_get(&o->attrs, "node");

	return me && node && strcmp(node, path_name(me->path)) != 0 && tree_referrers(catalog_tree(c->catalog), path, NULL) == 0;
}

void carry_agreed(struct cluster *c, const struct change *changes, unsigned n, bool removed)
{
	for (unsigned i = 0; i < n; i++)
		removed |= changes[i].kind != CHANGE_CREATED;
	if (removed) {
		c->owner.changed_at = catalog_applied(c->catalog);
		c->plan_concerned = c->owner.concerned = true;
	}
	for (unsigned i = 0; i < n && !(c->plan_concerned && c->owner.concerned); i++) {
		bool plain = is_new_plain(c, &changes[i]);

		c->owner.concerned |= !plain;
		c->plan_concerned |= !plain || !is_others(c, changes[i].path);
	}
}

/* Is all there as it shall be, and does nothing that was agreed since concern it? Then what would be planned now is nothing. */
static bool unconcerned(const struct cluster *c)
{
	return !c->plan_concerned && !c->carry_seen.ahead && c->plan.n == 0 && c->plan.n_waiting == 0 && !is_carrying(c);
}

/*
 * A plan costs as much as there are volumes and targets, and most steps change nothing of them: it is good until something that it
 * is made from changes otherwise than by its own actions, one of them fails, or all are done.
 */
static bool plan_holds(const struct cluster *c)
{
	bool left = false;

	if (!c->carry_seen.good || (c->carry_seen.applied != catalog_applied(c->catalog) && !unconcerned(c)) || mono_due(c->plan_wake, c->now))
		return false;
	for (unsigned i = 0; !left && i < c->plan.n; i++)
		left = c->plan.a[i].path != NULL;
	return (left || c->plan.n == 0 || is_carrying(c)) && c->carry_seen.basis == basis(c);
}

static bool have_ahead(const struct plan_have *h, uint64_t applied)
{
	for (unsigned i = 0; i < h->n_volumes; i++)
		if (h->volumes[i].generation > applied)
			return true;
	for (unsigned i = 0; i < h->n_targets; i++)
		if (h->targets[i].generation > applied)
			return true;
	return false;
}

static void plan_anew(struct cluster *c, const char *self)
{
	uint64_t applied = catalog_applied(c->catalog);

	if (c->carry_seen.applied != applied || !is_carrying(c))
		forget_all_stale(c);
	plan_fini(&c->plan);
	plan_make_by(c->memo, c->catalog, self, c->conf.inner_port ? &c->owner.nodes : NULL, &c->have, c->retry, c->now, &c->plan);
	if (c->conf.checks)
		cluster_stale(c, plan_memo_check(c->memo));
	c->plan_wake = c->plan.wake;
	c->carry_seen = (struct carry_seen){ .good = true, .applied = applied, .ahead = have_ahead(&c->have, applied) };
	c->plan_concerned = false;
}

/* The same as a new plan, which would be as empty. */
static void plan_still(struct cluster *c, const char *self)
{
	struct plan p;

	forget_all_stale(c);
	c->carry_seen.applied = catalog_applied(c->catalog);
	if (!c->conf.checks)
		return;
	plan_make(c->catalog, self, c->conf.inner_port ? &c->owner.nodes : NULL, &c->have, c->retry, c->now, &p);
	if (p.n || p.n_waiting)
		cluster_stale(c, "there is something to do that was not planned");
	plan_fini(&p);
}

/* What was begun has no path any more. */
void carry_tend(struct cluster *c, struct cluster_out *out)
{
	const struct object *me = admit_node(c, &c->self);
	enum plan_kind kind = 0;
	bool full = false, changed = false;
	unsigned n = running(c, &kind), apart = 0;

	if (!me || !c->target_up || c->reset || c->removed) {
		c->carry_seen.good = false;
		c->plan_wake = MONO_NEVER;
		return;
	}
	if (!plan_holds(c)) {
		plan_anew(c, path_name(me->path));
		changed = true;
	} else if (c->carry_seen.applied != catalog_applied(c->catalog)) {
		plan_still(c, path_name(me->path));
	}
	for (unsigned i = 0; i < c->plan.n; i++) {
		struct plan_action *a = &c->plan.a[i];

		/* After one that does not fit only what ownership or another node does is begun. */
		if (!a->path || (full && !is_apart(a)) || busy_with(c, a->path))
			continue;
		if (a->kind == PLAN_REPORT || a->kind == PLAN_VOLUME_FORGET) {
			done_well(c, a, out);   /* nothing for director-target to do */
			plan_action_fini(a);
			changed = true;
			continue;
		}
		if (is_apart(a)) {
			if (apart++ < CARRY_APART)
				carry_begin(c, a, out);
			continue;
		}
		if (full || n == CARRY_AT_ONCE || (n && a->kind != kind)) {
			full = true;
			continue;
		}
		kind = a->kind;
		carry_begin(c, a, out);
		n++;
	}
	if (changed)
		c->carry_seen.basis = basis(c);
}

void carry_done(struct cluster *c, struct doing *d, int err, const char *text, struct cluster_out *out)
{
	struct plan_action *a = &d->plan;
	struct plan_have_volume *v;

	if (d->kind == CLUSTER_ACT_PLAN && a->kind >= PLAN_SERVE) {
		owner_done(c, d, err, text, out);
		return;
	}
	c->carry_seen.good = c->carry_seen.good && !err && c->carry_seen.basis == basis(c);
	if (d->kind == CLUSTER_ACT_RECORD) {
		/* Without the record the volume does not count as made; making it again is harmless. */
		if (err) {
			plan_failed(c->retry, a, c->now);
			carry_report(c, a, "failed", "this node's store refuses to write");
		} else if (d->record.name) {
			v = have_volume(c, a);
			v->created = true;
			volume_is(c, a, v->open);
		} else {
			plan_have_volume_remove(&c->have, a->uuid);
		}
	} else if (err) {
		plan_failed(c->retry, a, c->now);
		v = a->kind == PLAN_VOLUME_OPEN ? plan_have_volume(&c->have, a->uuid) : NULL;
		if (v)
			v->refused = true;
		log_warn(c->log, "plan: %s: %s", a->path, text && *text ? text : err_text(err));
		if (a->kind != PLAN_TARGET_TRIM)
			carry_report(c, a, a->kind == PLAN_VOLUME_DESTROY ? "deleting" : "failed", text && *text ? text : err_text(err));
	} else {
		done_well(c, a, out);
	}
	if (c->carry_seen.good)
		c->carry_seen.basis = basis(c);
	c->dirty = true;
}
