/* SPDX-License-Identifier: Apache-2.0 */
/* What to agree next so that legs and owners come where they shall be. */
#include "cluster/move.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/names_int.h"
#include "cluster/place.h"
#include "cluster/volume.h"

#define MOVES_MAX 4                     /* legs that leave one node at a time */

struct vol {
	const struct names *n;
	const struct tree *tree;
	const struct object *v;
	struct own_row row;
	const struct object *leg[OWN_LEGS_MAX];         /* as in the row */
};

static bool vol_read(const struct names *n, const struct object *v, struct vol *out)
{
	const struct object *leg = NULL;

	*out = (struct vol){ .n = n, .tree = catalog_tree(n->catalog), .v = v };
	if (!volume_row(out->tree, v, &out->row))
		return false;
	for (unsigned i = 0; i < out->row.n_leg && (leg = volume_leg(out->tree, v, leg)); i++)
		out->leg[i] = leg;
	return true;
}

static const char *node_of(const struct object *leg)
{
	const char *node = attrs_get(&leg->attrs, "node");

	return node ? node : "";
}

static const struct object *node_object(const struct tree *t, const char *node)
{
	char path[PATH_LEN_MAX] = "/nodes/";
	size_t n = strnlen(node, sizeof(path) - 8);

	memcpy(path + 7, node, n);
	path[7 + n] = '\0';
	return tree_get(t, path);
}

static bool drained(const struct tree *t, const char *node)
{
	const struct object *o = node_object(t, node);

	return o && schema_get_bool(o->type, &o->attrs, "drain");
}

static bool owns(const struct vol *v, unsigned leg)
{
	return !node_id_none(&v->row.owner) && node_id_eq(&v->row.leg[leg].node, &v->row.owner);
}

/* The leg that takes the place of leg i; -1: none. */
static int replacer(const struct vol *v, unsigned i)
{
	for (unsigned k = 0; k < v->row.n_leg; k++) {
		const char *of = attrs_get(&v->leg[k]->attrs, "replaces");

		if (of && strcmp(of, path_name(v->leg[i]->path)) == 0)
			return (int)k;
	}
	return -1;
}

static bool moves(const struct vol *v)
{
	for (unsigned i = 0; i < v->row.n_leg; i++)
		if (replacer(v, i) >= 0)
			return true;
	return false;
}

/* ---- where ---- */

static bool has_leg(const struct vol *v, const char *node)
{
	for (unsigned i = 0; i < v->row.n_leg; i++)
		if (strcmp(node_of(v->leg[i]), node) == 0)
			return true;
	return false;
}

static bool fits(const struct vol *v, const struct object *node, const char *backstore)
{
	const struct fact *f = place_fact(v->n, path_name(node->path), node->path);
	uint64_t size = schema_get_uint(v->v->type, &v->v->attrs, "size") + VOLUME_LEG_META;

	return !has_leg(v, path_name(node->path)) && place_takes(v->n, node, NULL) &&
	       place_has_plugin(v->n, path_name(node->path), backstore) &&
	       size <= place_uint(f, strcmp(backstore, "ram") == 0 ? "memory-total" : "space-total", UINT64_MAX);
}

static bool any_fits(const struct vol *v, const char *backstore)
{
	const struct object *o = NULL;

	while ((o = tree_child(v->tree, "/nodes", o)))
		if (fits(v, o, backstore))
			return true;
	return false;
}

static const char *best_of(const struct vol *v, const char *backstore)
{
	const struct object *o = NULL;
	struct place best = { .node = NULL };

	while ((o = tree_child(v->tree, "/nodes", o))) {
		struct place p;

		if (!fits(v, o, backstore))
			continue;
		p = place_of(v->n, o, strcmp(backstore, "ram") == 0);
		if (!best.node || place_better(&p, &best))
			best = p;
	}
	return best.node;
}

const char *move_place(const struct names *n, const struct object *volume, const char *backstore)
{
	struct vol v;

	return vol_read(n, volume, &v) ? best_of(&v, backstore) : NULL;
}

/* ---- steps ---- */

static void leg_create(const struct vol *v, const struct object *like, const char *node, const char *replaces, struct txn *t)
{
	char path[PATH_LEN_MAX + 16];
	struct txn_op *op;

	for (char c = 'a'; c <= 'z'; c++) {
		snprintf(path, sizeof(path), "%s/legs/%c", v->v->path, c);
		if (!tree_get(v->tree, path))
			break;
	}
	op = txn_add(t, TXN_CREATE, path);
	for (unsigned i = 0; i < like->attrs.n && !attrs_get(&like->attrs, "lun"); i++)
		if (strcmp(like->attrs.a[i].key, "backstore") == 0 ||
		    strncmp(like->attrs.a[i].key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0)
			attrs_set(&op->attrs, like->attrs.a[i].key, like->attrs.a[i].value);
	attrs_set(&op->attrs, "node", node);
	attrs_set(&op->attrs, "replaces", replaces);
}

static unsigned owned_by(const struct tree *t, const struct node_id *id)
{
	const struct object *v = NULL;
	struct own_row row;
	unsigned n = 0;

	while ((v = volume_next(t, v)))
		n += volume_row(t, v, &row) && node_id_eq(&row.owner, id);
	return n;
}

/* Another node that could own it: up, not drained, with a leg in sync, its own before one that all reach; that which owns the fewest. */
static const char *heir(const struct vol *v)
{
	const struct object *o = NULL;
	const char *best = NULL;
	bool best_own = false;
	unsigned least = 0;

	while ((o = tree_child(v->tree, "/nodes", o))) {
		struct node_id id;
		unsigned n;
		bool own;

		if (!volume_node_id(v->tree, path_name(o->path), &id) || node_id_eq(&id, &v->row.owner) || !own_reaches(&v->row, &id) ||
		    !place_takes(v->n, o, NULL))
			continue;
		n = owned_by(v->tree, &id);
		own = own_leg_of(&v->row, &id);
		if (!best || own > best_own || (own == best_own && n < least)) {
			best = path_name(o->path);
			best_own = own;
			least = n;
		}
	}
	return best;
}

/* It shall go to another node, unless it is on its way. */
static bool pass_on(const struct vol *v, struct txn *t)
{
	const char *node = node_id_none(&v->row.want) || node_id_eq(&v->row.want, &v->row.owner) ? heir(v) : NULL;
	struct txn_op *op;

	if (!node)
		return false;
	op = txn_add(t, TXN_SET, v->v->path);
	op->if_generation = v->v->generation;
	attrs_set(&op->attrs, "want", node);
	return true;
}

/*
 * A leg that is to go is put out of sync first: what serves the volume then needs it no more, and does not wait for what
 * its storage, which goes with the leg, will never answer.
 */
static void leg_drop(const struct vol *v, unsigned i, struct txn *t)
{
	struct own_change c = { .kind = OWN_OUT, .epoch = v->row.epoch, .served = true };

	if (v->row.leg[i].state != OWN_LEG_IN) {
		txn_add(t, TXN_DELETE, v->leg[i]->path)->if_generation = v->leg[i]->generation;
		return;
	}
	memcpy(c.volume, v->row.uuid, 16);
	memcpy(c.leg, v->row.leg[i].uuid, 16);
	txn_add(t, TXN_OWN, v->v->path)->own = c;
}

static unsigned in_sync(const struct vol *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < v->row.n_leg; i++)
		n += v->row.leg[i].state == OWN_LEG_IN;
	return n;
}

/* How readily a leg is given up: the owner's never, one that has all data last. */
static int worth(const struct vol *v, unsigned i)
{
	if (owns(v, i))
		return INT32_MAX;
	return (v->row.leg[i].state == OWN_LEG_IN ? 4 : v->row.leg[i].state == OWN_LEG_OUT ? 2 : 0) + !drained(v->tree, node_of(v->leg[i]));
}

/* More legs than there shall be: one goes, if another has all data. */
static bool reduce(const struct vol *v, struct txn *t)
{
	int least = -1;

	if (v->row.n_leg <= schema_get_uint(v->v->type, &v->v->attrs, "copies") || moves(v))
		return false;
	for (unsigned i = 0; i < v->row.n_leg; i++)
		if (worth(v, i) != INT32_MAX && (least < 0 || worth(v, i) <= worth(v, (unsigned)least)))
			least = (int)i;
	if (least < 0 || in_sync(v) <= (v->row.leg[least].state == OWN_LEG_IN))
		return false;
	leg_drop(v, (unsigned)least, t);
	return true;
}

/* A leg that took the place of another is in sync: the other goes, from its owner last. */
static bool finish(const struct vol *v, struct txn *t)
{
	for (unsigned i = 0; i < v->row.n_leg; i++) {
		int k = replacer(v, i);
		struct txn_op *op;

		if (k < 0 || v->row.leg[k].state != OWN_LEG_IN)
			continue;
		if (owns(v, i))
			return pass_on(v, t);
		leg_drop(v, i, t);
		if (txn_is_machine(t))
			return true;
		op = txn_add(t, TXN_SET, v->leg[k]->path);
		op->if_generation = v->leg[k]->generation;
		attrs_set(&op->attrs, "replaces", "");
		return true;
	}
	return false;
}

/* How many legs are leaving the node. */
static unsigned leaving(const struct names *n, const struct object *node)
{
	const struct tree *t = catalog_tree(n->catalog);
	const struct object *leg = NULL;
	unsigned count = 0;

	while ((leg = tree_referrer(t, node->path, leg))) {
		const struct object *of = volume_of_leg(t, leg);
		struct vol v;

		if (!of || !vol_read(n, of, &v))
			continue;
		for (unsigned i = 0; i < v.row.n_leg; i++)
			count += v.leg[i] == leg && replacer(&v, i) >= 0;
	}
	return count;
}

static const char *backstore_of(const struct object *leg)
{
	return schema_get(leg->type, &leg->attrs, "backstore");
}

/* A leg on a device is as good as any other in a file: what counts is that it is elsewhere. */
static const char *store_elsewhere(const struct object *leg)
{
	return attrs_get(&leg->attrs, "path") || attrs_get(&leg->attrs, "lun") ? schema_param(leg->type, "backstore")->value : backstore_of(leg);
}

static bool leave_drained(const struct vol *v, struct txn *t)
{
	const char *owner = node_id_none(&v->row.owner) ? NULL : volume_node_name(v->tree, &v->row.owner);

	if (owner && drained(v->tree, owner) && pass_on(v, t))
		return true;
	for (unsigned i = 0; i < v->row.n_leg && v->row.n_leg < OWN_LEGS_MAX && !moves(v); i++) {
		const char *name = node_of(v->leg[i]), *to;

		if (!drained(v->tree, name) || leaving(v->n, node_object(v->tree, name)) >= MOVES_MAX)
			continue;
		to = best_of(v, store_elsewhere(v->leg[i]));
		if (!to)
			continue;
		leg_create(v, v->leg[i], to, path_name(v->leg[i]->path), t);
		if (attrs_get(&v->leg[i]->attrs, "path"))
			attrs_set(&t->ops[0].attrs, "backstore", NULL);
		return true;
	}
	return false;
}

static bool complete(const struct vol *v, struct txn *t)
{
	const char *to;

	if (v->row.n_leg == 0 || v->row.n_leg >= schema_get_uint(v->v->type, &v->v->attrs, "copies") || moves(v))
		return false;
	to = best_of(v, store_elsewhere(v->leg[0]));
	if (!to)
		return false;
	leg_create(v, v->leg[0], to, NULL, t);
	if (attrs_get(&v->leg[0]->attrs, "path"))
		attrs_set(&t->ops[0].attrs, "backstore", NULL);
	return true;
}

bool move_next(const struct names *n, const struct object *volume, struct txn *t, char *what)
{
	uint64_t turns = 0;
	struct vol v;

	*t = (struct txn){ 0 };
	if (!vol_read(n, volume, &v) || !(finish(&v, t) || reduce(&v, t) || leave_drained(&v, t) || complete(&v, t)))
		return false;
	for (unsigned i = 0; i < v.row.n_leg; i++)
		turns += v.row.leg[i].turn;
	t->message = mem_strdup(t->ops[0].kind == TXN_SET ? "its node gives it up" : t->ops[0].kind != TXN_CREATE ? t->n_ops > 1 ?
	                        "another leg has its place" : "a copy more than wanted" : attrs_get(&t->ops[0].attrs, "replaces") ?
	                        "its node is drained" : "a copy was missing");
	snprintf(what, MOVE_WHAT_MAX, "move %.60s %d %" PRIu64 " %" PRIu64 " %" PRIu64, path_name(volume->path), (int)t->ops[0].kind,
	         volume->touched, v.row.epoch, turns);
	return true;
}

/* ---- draining ---- */

static void note(struct move_drain *d, unsigned *count, const char *name, bool first)
{
	(*count)++;
	if (first || !d->first[0])
		snprintf(d->first, sizeof(d->first), "%.63s", name);
}

static void drain_leg(const struct vol *v, unsigned i, struct move_drain *d)
{
	const char *name = path_name(v->v->path);
	bool elsewhere = false;

	for (unsigned k = 0; k < v->row.n_leg; k++)
		elsewhere |= k != i && v->row.leg[k].state == OWN_LEG_IN;
	if (owns(v, i) && (heir(v) || !node_id_none(&v->row.want)))
		d->owned++;
	if (replacer(v, i) >= 0 || (v->row.n_leg < OWN_LEGS_MAX && any_fits(v, store_elsewhere(v->leg[i]))))
		d->moving++;
	else if (elsewhere)
		note(d, &d->stuck, name, false);
	else
		note(d, &d->only, name, d->only == 0);
}

/* What it serves without a leg of its own. */
static void drain_served(const struct names *n, const char *node, struct move_drain *d)
{
	const struct object *o = NULL;
	struct node_id id;
	struct vol v;

	if (!volume_node_id(catalog_tree(n->catalog), node, &id))
		return;
	while ((o = volume_next(catalog_tree(n->catalog), o))) {
		bool has = false;

		if (!vol_read(n, o, &v) || !node_id_eq(&v.row.owner, &id))
			continue;
		for (unsigned i = 0; i < v.row.n_leg; i++)
			has |= owns(&v, i);
		if (!has && (heir(&v) || !node_id_none(&v.row.want)))
			d->owned++;
	}
}

void move_drain(const struct names *n, const char *node, struct move_drain *d)
{
	const struct tree *t = catalog_tree(n->catalog);
	const struct object *at = node_object(t, node), *o = NULL;

	*d = (struct move_drain){ .owned = 0 };
	if (at)
		drain_served(n, node, d);
	while (at && (o = tree_referrer(t, at->path, o))) {
		const struct object *of = volume_of_leg(t, o);
		struct vol v;

		if (o->type->id == TYPE_VOLUME)
			note(d, &d->only, path_name(o->path), d->only == 0);
		else if (of && vol_read(n, of, &v))
			for (unsigned i = 0; i < v.row.n_leg; i++)
				if (v.leg[i] == o)
					drain_leg(&v, i, d);
	}
}
