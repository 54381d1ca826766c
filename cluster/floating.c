/* SPDX-License-Identifier: Apache-2.0 */
/* Floating addresses in the cluster: what is agreed and known about them, given to their machine; what it says, done and reported. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/address.h"
#include "cluster/cluster_priv.h"
#include "cluster/volume.h"

#define QUORUM_MS OWN_LEASE_MS          /* what a right without a lease outlives the quorum */

struct floating {
	struct floats *floats;
	struct float_out out;
	struct agreed {
		char *path;
		char interface[FLOAT_INTERFACE_MAX];
	} *agreed;
	struct float_want *want;        /* of each */
	unsigned n, cap, cap_want;
	bool stale;                     /* the agreed addresses changed */
	struct mono quorum;             /* when this node last had one */
	struct mono wake;
};

void floating_new(struct cluster *c)
{
	c->floating = mem_zalloc(sizeof(*c->floating));
	c->floating->floats = floats_new();
	c->floating->wake = MONO_NEVER;
	c->floating->stale = true;
}

static void agreed_clear(struct floating *f)
{
	while (f->n)
		free(f->agreed[--f->n].path);
}

void floating_free(struct cluster *c)
{
	struct floating *f = c->floating;

	if (!f)
		return;
	agreed_clear(f);
	free(f->agreed);
	free(f->want);
	float_out_fini(&f->out);
	floats_free(&f->floats);
	mem_autofree(&c->floating);
	c->floating = NULL;
}

/* ---- what is agreed ---- */

static void agreed_add(struct floating *f, const struct object *o)
{
	const char *interface = attrs_get(&o->attrs, "interface");
	struct agreed *a;

	f->agreed = mem_grow(f->agreed, &f->cap, f->n, sizeof(*f->agreed));
	a = &f->agreed[f->n++];
	*a = (struct agreed){ .path = mem_strdup(o->path) };
	snprintf(a->interface, sizeof(a->interface), "%s", interface ? interface : "");
}

/* Reports of addresses that are no more go with them. */
static void agreed_read(struct cluster *c)
{
	struct floating *f = c->floating;
	const struct tree *t = catalog_tree(c->catalog);
	const struct object *target = NULL;
	char folder[PATH_LEN_MAX + 16];

	for (unsigned i = 0; i < f->n; i++)
		if (!catalog_get(c->catalog, f->agreed[i].path))
			cluster_fact(c, f->agreed[i].path, NULL);
	agreed_clear(f);
	while ((target = tree_child(t, "/targets", target))) {
		const struct object *o = NULL;

		snprintf(folder, sizeof(folder), "%s/addresses", target->path);
		while ((o = tree_child(t, folder, o)))
			agreed_add(f, o);
	}
	f->stale = false;
}

void floating_all_changed(struct cluster *c)
{
	c->floating->stale = true;
}

void floating_changed(struct cluster *c, const struct change *changes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		c->floating->stale |= strstr(changes[i].path, "/addresses/") != NULL;
}

/* ---- what is known ---- */

/* Until when this node may serve the volume: the machine of ownership knows, or the node alone has it. */
static bool right(struct cluster *c, const struct object *v, struct mono *until)
{
	const struct object *me = admit_node(c, &c->self);
	const char *node = attrs_get(&v->attrs, "node");

	if (!me || c->reset || c->removed)
		return false;
	if (volume_has_legs(v)) {
		*until = own_right(c->owner.machine, v->uuid);
		return until->ns != 0;
	}
	*until = mono_add_ms(c->floating->quorum, QUORUM_MS);
	if (c->status->mode == AGREE_ACTIVE)
		*until = MONO_NEVER;
	return node && strcmp(node, path_name(me->path)) == 0;
}

/* director-target offers the target with its first LUN, and has its volume open. */
static bool ready(struct cluster *c, const char *target)
{
	const struct plan_have_target *t = c->target_up ? plan_have_target(&c->have, path_name(target)) : NULL;
	const struct object *lun = address_lun(catalog_tree(c->catalog), target), *v;
	const struct plan_have_volume *h;
	char path[PATH_LEN_MAX];

	if (!t || !lun)
		return false;
	schema_ref_path(schema_param(lun->type, "volume"), attrs_get(&lun->attrs, "volume"), path);
	v = catalog_get(c->catalog, path);
	h = v ? plan_have_volume(&c->have, v->uuid) : NULL;
	for (unsigned i = 0; h && h->open && i < t->n_volumes; i++)
		if (memcmp(t->volumes[i], v->uuid, 16) == 0)
			return true;
	return false;
}

/* What the other nodes say: does one that lives have it, did one ever? */
static void others(struct cluster *c, struct float_want *w)
{
	struct gossip_member m;

	w->known = w->elsewhere = false;
	for (const struct fact *f = facts_first(c->facts, w->path); f && strcmp(f->path, w->path) == 0;
	     f = facts_next(c->facts, f)) {
		const char *held = attrs_get(&f->attrs, "node");

		if (!held || node_id_eq(&f->node, &c->self))
			continue;
		w->known = true;
		w->elsewhere |= gossip_find(c->gossip, &f->node, &m) && (m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT);
	}
}

static struct float_want want(struct cluster *c, const struct agreed *a)
{
	const struct tree *t = catalog_tree(c->catalog);
	struct float_want w = { .path = a->path, .interface = a->interface };
	char folder[PATH_LEN_MAX], target[PATH_LEN_MAX];
	const struct object *v;
	unsigned prefix = 0;

	address_parse(path_name(a->path), &w.ip, &prefix);
	w.prefix = (uint8_t)prefix;
	path_parent(a->path, folder);
	path_parent(folder, target);
	v = address_volume(t, target);
	w.mine = v && right(c, v, &w.until);
	w.ready = w.mine && ready(c, target);
	if (w.mine)
		others(c, &w);
	return w;
}

static void wants_make(struct cluster *c)
{
	struct floating *f = c->floating;

	for (unsigned i = 0; i < f->n; i++) {
		f->want = mem_grow(f->want, &f->cap_want, i, sizeof(*f->want));
		f->want[i] = want(c, &f->agreed[i]);
	}
}

/* ---- what to do and to say ---- */

static void act(struct cluster *c, struct cluster_out *out)
{
	static const char *const words[] = { "", "add", "renew", "remove", "announce", "probe" };
	struct float_out *o = &c->floating->out;
	char a[64];

	for (unsigned i = 0; i < o->n; i++) {
		cluster_act(c, out, CLUSTER_ACT_ADDRESS)->address = o->act[i];
		if (o->act[i].kind != FLOAT_RENEW)
			log_debug(c->log, "address: %s %s on %s", words[o->act[i].kind], addr_text(&o->act[i].ip, a), o->act[i].interface);
	}
	o->n = 0;
}

static void report(struct cluster *c)
{
	struct floating *f = c->floating;

	for (unsigned i = 0; i < f->n; i++) {
		struct float_report r = floats_report(f->floats, f->agreed[i].path);
		const struct fact *old = facts_get(c->facts, &c->self, f->agreed[i].path);
		const char *said = old ? attrs_get(&old->attrs, "error") : NULL;
		const struct object *o;
		struct attrs as = { 0 };
		char applied[24];

		if (r.state != FLOAT_NONE) {
			attrs_set(&as, "state", float_state_name(r.state));
			attrs_set(&as, "error", r.text);
			attrs_set(&as, "node", r.held ? cluster_self_name(c) : NULL);
			attrs_set(&as, "on", r.interface);
		}
		if (r.held && (o = catalog_get(c->catalog, f->agreed[i].path))) {
			snprintf(applied, sizeof(applied), "%" PRIu64, o->generation);
			attrs_set(&as, "applied", applied);
		}
		if (r.text && (!said || strcmp(said, r.text) != 0))
			log_warn(c->log, "address: %s: %s", f->agreed[i].path, r.text);
		if (r.state != FLOAT_NONE || old)
			cluster_fact(c, f->agreed[i].path, &as);
		attrs_fini(&as);
	}
}

void floating_tend(struct cluster *c, struct cluster_out *out)
{
	struct floating *f = c->floating;

	if (c->status->mode == AGREE_ACTIVE)
		f->quorum = c->now;
	/* An interface may be named anew without any effect here: what is applied is said all the same. */
	f->out.changed |= f->stale;
	if (f->stale)
		agreed_read(c);
	wants_make(c);
	floats_step(f->floats, f->want, f->n, c->now, &f->out);
	f->wake = f->out.wake;
	act(c, out);
	if (f->out.changed)
		report(c);
	f->out.changed = false;
}

void floating_leased(struct cluster *c)
{
	c->floating->wake = c->now;
}

struct mono floating_wake(const struct cluster *c)
{
	return c->floating->wake;
}

void floating_news(struct cluster *c, const struct float_news *news)
{
	floats_news(c->floating->floats, news, c->now);
	c->dirty = true;
}

void floating_leave(struct cluster *c, struct cluster_out *out)
{
	floats_leave(c->floating->floats, &c->floating->out);
	act(c, out);
}
