/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine changes in a volume and its legs, and what people's changes to them must leave as it is. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
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
	return 0;
}

int overlay_machine(struct overlay *o, const struct txn *t, struct why *why)
{
	const struct txn_op *op = &t->ops[0];
	const struct object *v = tree_get(o->base, op->path);

	if (t->n_ops != 1)
		return why_set(why, ERR_INVAL, "%s: an operation of the cluster's own is alone in its transaction", op->path);
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

static bool is_in_sync(const struct object *leg)
{
	const char *state = attrs_get(&leg->attrs, "state");

	return state && strcmp(state, "in-sync") == 0;
}

/*
 * A LUN of a foreign target is blank only as far as is known: what lies there would be read from one copy and not from the others.
 * With another leg that is in sync it is copied in full.
 */
void overlay_luns_born(struct overlay *o)
{
	struct overlay_item *it = NULL;

	while ((it = (struct overlay_item *)overlay_next(o, it))) {
		struct leg_list l = { .n = 0 };
		char volume[PATH_LEN_MAX];
		unsigned others = 0;

		if (!it->after || (it->before && !overlay_remade(it)) || it->after->type->id != TYPE_LEG ||
		    !attrs_get(&it->after->attrs, "lun") || !overlay_about_legs(it, volume) || !overlay_get(o, volume))
			continue;
		legs_of(o, overlay_get(o, volume), &l);
		for (unsigned i = 0; i < l.n; i++)
			others += l.leg[i] != it->after && is_in_sync(l.leg[i]);
		if (others)
			object_set(it->after, "state", "new", o->index);
	}
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
		if (attrs_get(&l.leg[i]->attrs, "lun") && (attrs_get(&l.leg[i]->attrs, "node") || attrs_get(&l.leg[i]->attrs, "path")))
			return why_set(why, ERR_INVAL, "%s: it is a LUN elsewhere, or lies on a node: lun= or node=", l.leg[i]->path);

		in_sync += is_in_sync(l.leg[i]);
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
