/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine changes in a volume and its legs, and what people's changes to them must leave as it is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/overlay.h"
#include "cluster/volume.h"

/* ---- the machine's operations; they are alone, so the tree below is what there is ---- */

static void put_uint(struct overlay *o, struct object *obj, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, v);
	object_set(obj, key, v ? text : NULL, o->index);
}

static void put_leg(struct overlay *o, const char *path, const struct own_leg *leg)
{
	static const char *const states[] = { [OWN_LEG_NEW] = "new", [OWN_LEG_OUT] = "out-of-sync", [OWN_LEG_IN] = "in-sync" };
	struct object *obj = overlay_edit(o, path);

	object_set(obj, "state", states[leg->state], o->index);
	put_uint(o, obj, "turn", leg->turn);
	put_uint(o, obj, "member", leg->member);
	put_uint(o, obj, "since", leg->since);
}

static void put_row(struct overlay *o, const struct object *v, const struct own_row *before, const struct own_row *row)
{
	struct object *obj = overlay_edit(o, v->path);
	const struct object *leg = NULL;
	char text[33];

	object_set(obj, "owner", node_id_none(&row->owner) ? NULL : node_id_text(&row->owner, text), o->index);
	put_uint(o, obj, "epoch", row->epoch);
	put_uint(o, obj, "left", row->left);
	object_set(obj, "begun", row->begun ? "yes" : NULL, o->index);
	if (node_id_none(&row->want) && !node_id_none(&before->want))
		object_set(obj, "want", NULL, o->index);
	for (unsigned i = 0; i < row->n_leg && (leg = volume_leg(o->base, v, leg)); i++)
		if (memcmp(&row->leg[i], &before->leg[i], sizeof(row->leg[i])) != 0)
			put_leg(o, leg->path, &row->leg[i]);
}

static int conflict(const char *path, const char *what, struct why *why)
{
	return why_set(why, ERR_CONFLICT, "%s: %s", path, what);
}

static int run_own(struct overlay *o, const struct txn_op *op, const struct object *v, struct why *why)
{
	struct own_row before, row;

	if (memcmp(v->uuid, op->own.volume, 16) != 0 || !volume_row(o->base, v, &before))
		return conflict(op->path, "the volume meant is gone", why);
	row = before;
	if (own_apply(&row, &op->own) < 0)
		return conflict(op->path, "its owner or its legs have changed since", why);
	put_row(o, v, &before, &row);
	return 0;
}

static int run_keep(struct overlay *o, const struct txn_op *op, const struct object *v, struct why *why)
{
	const struct object *c;
	struct object *obj;

	if (memcmp(v->uuid, op->keep.volume, 16) != 0)
		return conflict(op->path, "the volume meant is gone", why);
	if (schema_get_uint(v->type, &v->attrs, "reservations-version") != op->keep.version)
		return conflict(op->path, "its reservations have changed since", why);
	if (op->keep.n > KEEP_BLOB_MAX)
		return why_set(why, ERR_LIMIT, "%s: too many reservations", op->path);
	obj = overlay_edit(o, op->path);
	object_set_blob(obj, op->keep.blob, op->keep.n);
	put_uint(o, obj, "reservations-version", op->keep.version + 1);
	c = tree_get(o->base, "/cluster");
	if (c && o->level >= VOLUME_CONVERT_LEVEL)
		put_uint(o, obj, "reservations-power", schema_get_uint(c->type, &c->attrs, "power"));
	return 0;
}

/* ---- power ---- */

/* Once each; what is seen now comes first. */
static void life_add(struct buf *lives, const char *life, size_t len)
{
	if (lives->len / 17 < LIVES_MAX && !(lives->len && strstr(buf_str(lives), life)))
		buf_printf(lives, "%s%.*s", lives->len ? " " : "", (int)len, life);
}

/* What was reserved is another state now: whoever goes on from the one before is refused. */
static void reservations_age(struct overlay *o)
{
	const struct object *v = NULL;

	while ((v = tree_child(o->base, "/volumes", v)))
		if (v->n_blob)
			put_uint(o, overlay_edit(o, v->path), "reservations-version",
			         schema_get_uint(v->type, &v->attrs, "reservations-version") + 1);
}

static int run_lives(struct overlay *o, const struct txn_op *op, const struct object *c, struct why *why)
{
	const char *old = attrs_get(&c->attrs, "lives");
	uint64_t power = schema_get_uint(c->type, &c->attrs, "power");
	struct object *obj;
	struct buf lives = { 0 };
	bool lost = old;

	if (memcmp(c->uuid, op->keep.volume, 16) != 0 || power != op->keep.version)
		return conflict(op->path, "the power has been lost since", why);
	if (o->level < VOLUME_CONVERT_LEVEL || op->keep.n == 0 || op->keep.n % 8)
		return why_set(why, ERR_INVAL, "%s: these are no lives", op->path);
	for (size_t i = 0; i < op->keep.n; i += 8) {
		char text[17];

		text_hex(op->keep.blob + i, 8, text);
		lost &= !old || !strstr(old, text);
		life_add(&lives, text, 16);
	}
	/* One that is not here may still have all in its memory. */
	for (const char *p = old; p && !lost && *p; p += strcspn(p, " "), p += *p == ' ') {
		char text[17];

		snprintf(text, sizeof(text), "%.16s", p);
		life_add(&lives, text, 16);
	}
	obj = overlay_edit(o, op->path);
	object_set(obj, "lives", buf_str(&lives), o->index);
	put_uint(o, obj, "power", power + lost);
	if (lost)
		reservations_age(o);
	buf_fini(&lives);
	return 0;
}

int overlay_machine(struct overlay *o, const struct txn *t, struct why *why)
{
	const struct txn_op *op = &t->ops[0];
	const struct object *v = tree_get(o->base, op->path);

	if (t->n_ops != 1)
		return why_set(why, ERR_INVAL, "%s: an operation of the cluster's own is alone in its transaction", op->path);
	if (v && v->type->id == TYPE_CLUSTER && op->kind == TXN_KEEP)
		return run_lives(o, op, v, why);
	if (!v || v->type->id != TYPE_VOLUME)
		return conflict(op->path, "the volume meant is gone", why);
	return op->kind == TXN_OWN ? run_own(o, op, v, why) : run_keep(o, op, v, why);
}

/* ---- people's operations on legs ---- */

void overlay_leg_born(struct overlay *o, const struct overlay_item *volume, struct object *leg)
{
	bool together = volume && (!volume->before || overlay_remade(volume));

	object_set(leg, "state", together ? "in-sync" : "new", o->index);
}

bool overlay_is_storage(const char *key)
{
	static const char *const keys[] = { "node", "backstore", "path", "device" };

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return strncmp(key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0;
}

bool overlay_converts(const struct overlay_item *it)
{
	return it->before && it->after && it->after->type->id == TYPE_VOLUME && !overlay_remade(it) &&
	       !attrs_get(&it->before->attrs, "copies") && attrs_get(&it->after->attrs, "copies");
}

/* The leg of this transaction that is on the node. */
static struct object *leg_on(struct overlay *o, const struct overlay_item *volume, const char *node)
{
	for (const struct overlay_item *it = volume; it && path_below(it->path, volume->path); it = overlay_next(o, it)) {
		const char *at = it->after && it->after->type->id == TYPE_LEG ? attrs_get(&it->after->attrs, "node") : NULL;

		if (at && node && strcmp(at, node) == 0)
			return overlay_edit(o, it->path);
	}
	return NULL;
}

int overlay_converted(struct overlay *o, const struct overlay_item *volume, struct why *why)
{
	const struct object *was = volume->before;
	const char *node = attrs_get(&was->attrs, "node"), *id;
	struct object *v = overlay_edit(o, volume->path), *leg = leg_on(o, volume, node);
	char path[PATH_LEN_MAX];
	const struct object *at;

	snprintf(path, sizeof(path), "/nodes/%.200s", node ? node : "");
	at = overlay_get(o, path);
	id = at ? attrs_get(&at->attrs, "id") : NULL;
	if (!leg || !id || !attrs_get(&was->attrs, "size"))
		return why_set(why, ERR_INVAL, "%s: its data is on node %s, and no leg would be there that has it", v->path, node ? node : "?");
	object_set(leg, "state", "in-sync", o->index);
	object_set(leg, "in-front", attrs_get(&was->attrs, "size"), o->index);
	object_set(v, "owner", id, o->index);
	put_uint(o, v, "epoch", 1);
	put_uint(o, v, "left", 1);
	for (unsigned i = 0; i < was->attrs.n; i++)
		if (overlay_is_storage(was->attrs.a[i].key))
			object_set(v, was->attrs.a[i].key, NULL, o->index);
	return 0;
}

struct leg_list {
	const struct object *leg[OWN_LEGS_MAX + 1];
	unsigned n;
};

/* The legs of the volume as they would be; one more than may be is enough to see. */
static void legs_of(const struct overlay *o, const struct object *v, struct leg_list *l)
{
	const struct object *leg = NULL;
	const struct overlay_item *it;
	char folder[PATH_LEN_MAX + 8];

	while (l->n <= OWN_LEGS_MAX && (leg = volume_leg(o->base, v, leg)))
		if (!overlay_item(o, leg->path))
			l->leg[l->n++] = leg;
	snprintf(folder, sizeof(folder), "%s/legs", v->path);
	for (it = overlay_item(o, v->path); it && path_below(it->path, v->path); it = overlay_next(o, it))
		if (l->n <= OWN_LEGS_MAX && it->after && it->after->type->id == TYPE_LEG && path_below(it->path, folder))
			l->leg[l->n++] = it->after;
}

static bool same_node(const struct object *a, const struct object *b)
{
	const char *x = attrs_get(&a->attrs, "node"), *y = attrs_get(&b->attrs, "node");

	return x && y && strcmp(x, y) == 0;
}

/* The leg of the node that serves the volume stays. */
static int check_owner(const struct overlay *o, const struct object *v, const struct leg_list *l, struct why *why)
{
	const struct object *was = tree_get(o->base, v->path), *leg = NULL;
	struct own_row row;

	if (!was || !volume_row(o->base, was, &row) || node_id_none(&row.owner))
		return 0;
	for (unsigned i = 0; (leg = volume_leg(o->base, was, leg)) && i < row.n_leg; i++) {
		bool stays = false;

		if (!node_id_eq(&row.leg[i].node, &row.owner))
			continue;
		for (unsigned k = 0; k < l->n; k++)
			stays |= memcmp(l->leg[k]->uuid, leg->uuid, 16) == 0;
		if (!stays)
			return why_set(why, ERR_BUSY, "%s: node %s serves the volume; first: director volume move %s --owner NODE", leg->path,
			               attrs_get(&leg->attrs, "node"), path_name(v->path));
	}
	return 0;
}

int overlay_check_legs(const struct overlay *o, const char *path, struct why *why)
{
	const struct object *v = overlay_get(o, path);
	const struct overlay_item *it = overlay_item(o, path);
	bool fresh = it && (!it->before || overlay_remade(it));
	struct leg_list l = { .n = 0 };
	unsigned in_sync = 0;

	if (!v)
		return 0;
	legs_of(o, v, &l);
	if (!volume_has_legs(v))
		return l.n ? why_set(why, ERR_INVAL, "%s: a volume without copies= has no legs", path) : 0;
	if (l.n == 0)
		return why_set(why, ERR_INVAL, "%s: a volume with copies= has a leg at least", path);
	if (l.n > OWN_LEGS_MAX)
		return why_set(why, ERR_LIMIT, "%s: a volume has at most %d legs, one of them on its way", path, OWN_LEGS_MAX);
	for (unsigned i = 0; i < l.n; i++) {
		const char *state = attrs_get(&l.leg[i]->attrs, "state");

		in_sync += state && strcmp(state, "in-sync") == 0;
		for (unsigned k = 0; k < i; k++)
			if (same_node(l.leg[i], l.leg[k]))
				return why_set(why, ERR_INVAL, "%s: legs %s and %s would be on the same node, %s", path, path_name(l.leg[k]->path),
				               path_name(l.leg[i]->path), attrs_get(&l.leg[i]->attrs, "node"));
	}
	if (!in_sync)
		return why_set(why, ERR_BUSY, "%s: no leg that has all data would be left", path);
	return fresh ? 0 : check_owner(o, v, &l, why);
}

bool overlay_about_legs(const struct overlay_item *it, char *volume)
{
	const struct schema_type *type = it->after ? it->after->type : it->before->type;
	char legs[PATH_LEN_MAX];

	if (type->id == TYPE_LEG) {
		path_parent(it->path, legs);
		path_parent(legs, volume);
		return true;
	}
	if (type->id == TYPE_VOLUME)
		snprintf(volume, PATH_LEN_MAX, "%s", it->path);
	return type->id == TYPE_VOLUME;
}
