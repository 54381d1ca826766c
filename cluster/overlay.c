/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions tried out over the tree: operations, then the rules that hold between objects. */
#include "cluster/overlay.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/id.h"
#include "cluster/address.h"
#include "cluster/volume.h"

static int item_cmp(const struct overlay_item *a, const struct overlay_item *b)
{
	return path_cmp(a->path, b->path);
}

RB_GENERATE_INTERNAL(overlay_items, overlay_item, entry, item_cmp, __attribute__((unused)) static)

void overlay_init(struct overlay *o, const struct tree *base, uint64_t index, unsigned level)
{
	*o = (struct overlay){ .base = base, .index = index, .level = level };
	RB_INIT(&o->items);
}

static void item_drop(struct overlay *o, struct overlay_item *it)
{
	RB_REMOVE(overlay_items, &o->items, it);
	object_free(&it->after);
	free(it->path);
	free(it);
}

void overlay_fini(struct overlay *o)
{
	struct overlay_item *it;

	while ((it = RB_ROOT(&o->items)))
		item_drop(o, it);
}

static struct overlay_item *item_find(const struct overlay *o, const char *path)
{
	struct overlay_item probe = { .path = (char *)path };

	return RB_FIND(overlay_items, (struct overlay_items *)&o->items, &probe);
}

const struct object *overlay_get(const struct overlay *o, const char *path)
{
	const struct overlay_item *it = item_find(o, path);

	return it ? it->after : tree_get(o->base, path);
}

const struct overlay_item *overlay_next(const struct overlay *o, const struct overlay_item *after)
{
	return after ? RB_NEXT(overlay_items, NULL, (struct overlay_item *)after)
	             : RB_MIN(overlay_items, (struct overlay_items *)&o->items);
}

bool overlay_remade(const struct overlay_item *it)
{
	return it->before && it->after && memcmp(it->before->uuid, it->after->uuid, 16) != 0;
}

enum change_kind overlay_kind(const struct overlay_item *it)
{
	if (!it->after)
		return CHANGE_DELETED;
	if (!it->before || overlay_remade(it))
		return CHANGE_CREATED;
	return attrs_eq(&it->before->attrs, &it->after->attrs) ? 0 : CHANGE_SET;
}

/* The item of a path, copied from the tree when it is the first touch. */
static struct overlay_item *item_edit(struct overlay *o, const char *path)
{
	struct overlay_item *it = item_find(o, path);

	if (it)
		return it;
	it = mem_zalloc(sizeof(*it));
	it->path = mem_strdup(path);
	it->before = tree_get(o->base, path);
	it->after = it->before ? object_copy(it->before) : NULL;
	RB_INSERT(overlay_items, &o->items, it);
	return it;
}

const struct overlay_item *overlay_item(const struct overlay *o, const char *path)
{
	return item_find(o, path);
}

struct object *overlay_edit(struct overlay *o, const char *path)
{
	return item_edit(o, path)->after;
}

/* ---- operations ---- */

/* The object an object of type `t` at `path` belongs to: two names up. False if it stands in a folder only. */
static bool owner_path(const struct schema_type *t, const char *path, char *out)
{
	char folder[PATH_LEN_MAX];

	if (t->parent == TYPE_NONE)
		return false;
	path_parent(path, folder);
	path_parent(folder, out);
	return true;
}

static int no_such(const struct overlay *o, const char *path, const struct schema_type *t, struct why *why)
{
	char owner[PATH_LEN_MAX];

	if (owner_path(t, path, owner) && !overlay_get(o, owner))
		return why_set(why, ERR_NOENT, "%s: there is no %s %s; \"director %s list\" shows them", path,
		               schema_type(t->parent)->name, path_name(owner), schema_type(t->parent)->name);
	return why_set(why, ERR_NOENT, "there is no %s %s; \"director ls %.*s\" shows what there is", t->name, path,
	               (int)(path_name(path) - path - 1), path);
}

/* The uuid of what operation `n` of this request creates: the same on every node. */
static void uuid_derive(const uint8_t request_id[16], unsigned n, uint8_t out[16])
{
	uint8_t in[20];

	memcpy(in, request_id, 16);
	for (int i = 0; i < 4; i++)
		in[16 + i] = (uint8_t)(n >> (8 * i));
	crypto_generichash(out, 16, in, sizeof(in), NULL, 0);
	out[6] = (uint8_t)((out[6] & 0x0f) | 0x80);     /* RFC 9562: version 8, our own */
	out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

static int set_attrs(struct overlay *o, struct object *obj, const struct attrs *attrs, struct why *why)
{
	char form[ATTR_VALUE_MAX + 1];

	for (unsigned i = 0; i < attrs->n; i++) {
		int err = schema_attr(obj->type, o->level, obj->path, attrs->a[i].key, attrs->a[i].value, form, why);

		if (err < 0)
			return err;
		object_set(obj, attrs->a[i].key, *form ? form : NULL, o->index);
	}
	return 0;
}

static int op_create(struct overlay *o, const struct txn *t, unsigned n, const struct schema_type *type, struct why *why)
{
	const struct txn_op *op = &t->ops[n];
	struct overlay_item *it;
	char owner[PATH_LEN_MAX];

	if (overlay_get(o, op->path))
		return why_set(why, ERR_EXIST, "%s %s exists already; \"director get %s\" shows it", type->name,
		               path_name(op->path), op->path);
	if (!type->agreed)
		return why_set(why, ERR_INVAL, "%s: a %s is reported by nodes, it cannot be created", op->path, type->name);
	if (owner_path(type, op->path, owner) && !overlay_get(o, owner))
		return no_such(o, op->path, type, why);
	it = item_edit(o, op->path);
	it->after = object_new(op->path, type);
	it->after->created = o->index;
	uuid_derive(t->request_id, n, it->after->uuid);
	if (type->id == TYPE_LEG)
		overlay_leg_born(o, item_find(o, owner), it->after);
	return set_attrs(o, it->after, &op->attrs, why);
}

static int op_set(struct overlay *o, const struct txn_op *op, const struct schema_type *type, struct why *why)
{
	struct overlay_item *it;

	if (!overlay_get(o, op->path))
		return no_such(o, op->path, type, why);
	it = item_edit(o, op->path);
	return set_attrs(o, it->after, &op->attrs, why);
}

static int op_delete(struct overlay *o, const struct txn_op *op, const struct schema_type *type, struct why *why)
{
	const struct object *below = NULL;
	struct overlay_item *it, *next;

	if (!overlay_get(o, op->path))
		return no_such(o, op->path, type, why);
	while ((below = tree_below(o->base, op->path, below)))
		item_edit(o, below->path);
	for (it = item_edit(o, op->path); it && path_below(it->path, op->path); it = next) {
		next = RB_NEXT(overlay_items, &o->items, it);
		object_free(&it->after);
		if (!it->before)
			item_drop(o, it);
	}
	return 0;
}

/* What the proposer saw must still be so. A deletion takes all below with it, so that counts too. */
static int preconditions(const struct overlay *o, const struct txn *t, const struct txn_op *op, struct why *why)
{
	const struct object *now = tree_get(o->base, op->path);
	uint64_t seen = !now ? 0 : op->kind == TXN_DELETE ? now->touched : now->generation;

	if (op->if_generation && (!now || now->generation != op->if_generation))
		return why_set(why, ERR_CONFLICT, "%s: it was generation %" PRIu64 " and is now %" PRIu64
		               "; look again and repeat", op->path, op->if_generation, now ? now->generation : 0);
	if (t->base && seen > t->base)
		return why_set(why, ERR_CONFLICT, "%s was changed by commit %" PRIu64 " since (this change is based on %"
		               PRIu64 "); \"director blame %s\" says who; look again and repeat", op->path, seen,
		               t->base, op->path);
	return 0;
}

static int run_op(struct overlay *o, const struct txn *t, unsigned n, struct why *why)
{
	const struct txn_op *op = &t->ops[n];
	const struct schema_type *type;
	int err = schema_path(op->path, o->level, &type, why);

	if (err == 0)
		err = preconditions(o, t, op, why);
	if (err < 0)
		return err;
	switch (op->kind) {
	case TXN_CREATE: return op_create(o, t, n, type, why);
	case TXN_SET: return op_set(o, op, type, why);
	case TXN_DELETE: return op_delete(o, op, type, why);
	case TXN_OWN:
	case TXN_KEEP: break;
	}
	return why_set(why, ERR_INVAL, "%s: operation %d is not known", op->path, (int)op->kind);
}

/* ---- rules between objects ---- */

/* Does `o` refer to `path`? The parameter that does; NULL: no. */
static const struct schema_param *refers(const struct object *o, const char *path)
{
	char ref[PATH_LEN_MAX];

	for (const struct schema_param *p = o->type->params; p->name; p++) {
		const char *v = p->type == VALUE_REF ? attrs_get(&o->attrs, p->name) : NULL;

		if (!v)
			continue;
		schema_ref_path(p, v, ref);
		if (strcmp(ref, path) == 0)
			return p;
	}
	return NULL;
}

static int check_refs(const struct overlay *o, const struct object *obj, struct why *why)
{
	char ref[PATH_LEN_MAX];

	for (const struct schema_param *p = obj->type->params; p->name; p++) {
		const char *v = p->type == VALUE_REF ? attrs_get(&obj->attrs, p->name) : NULL;

		if (!v)
			continue;
		schema_ref_path(p, v, ref);
		if (!overlay_get(o, ref))
			return why_set(why, ERR_NOENT, "%s: there is no %s %s; \"director %s list\" shows them",
			               obj->path, schema_type(p->ref)->name, v, schema_type(p->ref)->name);
	}
	return 0;
}

/* What helps against a reference that is in the way. */
static void remedy(const struct object *r, char *out, size_t size)
{
	char owner[PATH_LEN_MAX];

	if (r->type->id == TYPE_LUN && owner_path(r->type, r->path, owner))
		snprintf(out, size, "director lun remove %s %s", path_name(owner), path_name(r->path));
	else
		snprintf(out, size, "director %s delete %s", r->type->name, path_name(r->path));
}

/* An object goes: nothing that stays may refer to it. */
static int check_unused(const struct overlay *o, const struct overlay_item *it, struct why *why)
{
	const struct object *r = NULL, *first = NULL;
	char help[PATH_LEN_MAX + 64], others[32] = "";
	unsigned n = 0;

	while ((r = tree_referrer(o->base, it->path, r))) {
		const struct overlay_item *ri = item_find(o, r->path);

		/* What goes too, as the parts of a striped volume do, or refers to another from now on. */
		if (ri && (!ri->after || overlay_remade(ri) || !refers(ri->after, it->path)))
			continue;
		first = first ? first : r;
		n++;
	}
	if (!first)
		return 0;
	remedy(first, help, sizeof(help));
	if (n > 1)
		snprintf(others, sizeof(others), " (and %u more)", n - 1);
	return why_set(why, ERR_BUSY, "%s %s is in use by %s%s; first: %s", it->before->type->name, path_name(it->path), first->path,
	               others, help);
}

struct claim {
	char *key;
	const char *path;
};

static int claim_cmp(const void *a, const void *b)
{
	int d = strcmp(((const struct claim *)a)->key, ((const struct claim *)b)->key);

	return d ? d : path_cmp(((const struct claim *)a)->path, ((const struct claim *)b)->path);
}

static int taken(const struct object *obj, const struct schema_param *p, const char *holder, struct why *why)
{
	return why_set(why, ERR_EXIST, "%s: %s=%.70s is taken by %s", obj->path, p->name,
	               attrs_get(&obj->attrs, p->name), holder);
}

/* No two objects of a type hold the same unique value: not one here and one in the tree, nor two here. */
static int check_unique(const struct overlay *o, struct why *why)
{
	struct claim *claims = NULL;
	const struct overlay_item *it = NULL;
	unsigned n = 0, cap = 0;
	int err = 0;

	while (err == 0 && (it = overlay_next(o, it))) {
		for (const struct schema_param *p = it->after ? it->after->type->params : NULL; p && p->name; p++) {
			const char *v = p->flags & PARAM_UNIQUE ? attrs_get(&it->after->attrs, p->name) : NULL;
			const struct object *h = v ? tree_holder(o->base, it->after->type, p->name, v) : NULL;

			if (!v)
				continue;
			/* A holder that is in the overlay too makes its own claim. */
			if (h && !item_find(o, h->path)) {
				err = taken(it->after, p, h->path, why);
				break;
			}
			claims = mem_grow(claims, &cap, n, sizeof(*claims));
			claims[n++] = (struct claim){ mem_printf("%s %s %s", it->after->type->name, p->name, v), it->path };
		}
	}
	if (n)
		qsort(claims, n, sizeof(*claims), claim_cmp);
	for (unsigned i = 1; err == 0 && i < n; i++)
		if (strcmp(claims[i].key, claims[i - 1].key) == 0)
			err = why_set(why, ERR_EXIST, "%s and %s have the same %s", claims[i - 1].path, claims[i].path,
			              claims[i].key);
	for (unsigned i = 0; i < n; i++)
		free(claims[i].key);
	free(claims);
	return err;
}

/* A node's id is the hash of its key, or someone claims to be who he is not. */
static int check_identity(const struct object *obj, struct why *why)
{
	const char *id = attrs_get(&obj->attrs, "id"), *key = attrs_get(&obj->attrs, "key");
	struct node_id of_key;
	uint8_t raw[32];
	char text[33];

	if (obj->type->id != TYPE_NODE || !id || !key || text_hex_parse(key, raw, sizeof(raw)) < 0)
		return 0;
	of_key = node_id_of_key(raw);
	if (strcmp(node_id_text(&of_key, text), id) == 0)
		return 0;
	return why_set(why, ERR_INVAL, "%s: id=%s is not the hash of key=%s", obj->path, id, key);
}

/* As it was; of a volume that gets copies, without the storage that goes to its leg. */
static int check_schema(const struct overlay *o, const struct overlay_item *it, struct why *why)
{
	const struct object *was = it->before && !overlay_remade(it) ? it->before : NULL;
	struct attrs rest = { 0 };
	int err;

	if (was && o->level >= VOLUME_CONVERT_LEVEL && overlay_converts(it)) {
		for (unsigned i = 0; i < was->attrs.n; i++)
			if (!overlay_is_storage(was->attrs.a[i].key))
				attrs_set(&rest, was->attrs.a[i].key, was->attrs.a[i].value);
		err = schema_check(it->after->type, o->level, it->path, &rest, &it->after->attrs, why);
		attrs_fini(&rest);
		return err;
	}
	return schema_check(it->after->type, o->level, it->path, was ? &was->attrs : NULL, &it->after->attrs, why);
}

static int check_item(const struct overlay *o, const struct overlay_item *it, struct why *why)
{
	int err;

	if (!it->after)
		return check_unused(o, it, why);
	if (overlay_remade(it)) {
		err = check_unused(o, it, why);
		if (err < 0)
			return err;
	}
	if (o->machine)
		return 0;
	err = check_schema(o, it, why);
	if (err == 0)
		err = check_refs(o, it->after, why);
	return err < 0 ? err : check_identity(it->after, why);
}

/* Every volume that was touched, or has a leg that was: its legs are judged once. */
static int check_volumes(const struct overlay *o, struct why *why)
{
	const struct overlay_item *it = NULL;
	char path[PATH_LEN_MAX], last[PATH_LEN_MAX] = "";
	int err = 0;

	while (err == 0 && (it = overlay_next(o, it))) {
		if (!overlay_kind(it) || !overlay_about_legs(it, path) || strcmp(path, last) == 0)
			continue;
		memcpy(last, path, strlen(path) + 1);
		err = overlay_check_legs(o, path, why);
	}
	return err;
}

/* ---- the whole ---- */

/* Forget what ended as it began; stamp the rest. Gives the growth in objects. */
static int settle(struct overlay *o)
{
	struct overlay_item *it, *next;
	char owner[PATH_LEN_MAX];
	int growth = 0;

	for (it = RB_MIN(overlay_items, &o->items); it; it = next) {
		next = RB_NEXT(overlay_items, &o->items, it);
		if ((!it->before && !it->after) || overlay_kind(it) == 0) {
			item_drop(o, it);
			continue;
		}
		if (o->machine)
			continue;
		growth += (it->after != NULL) - (it->before != NULL);
		if (it->after)
			it->after->generation = it->after->touched = o->index;
	}
	if (o->machine)
		return 0;
	/* Owners sort before what they own: walking back, a new item for an owner is not met again. */
	for (it = RB_MAX(overlay_items, &o->items); it; it = next) {
		const struct schema_type *type = it->after ? it->after->type : it->before->type;
		struct overlay_item *up;

		if (owner_path(type, it->path, owner) && overlay_get(o, owner)) {
			up = item_edit(o, owner);
			up->after->touched = o->index;
		}
		next = RB_PREV(overlay_items, &o->items, it);
	}
	return growth;
}

int overlay_run(struct overlay *o, const struct txn *t, struct why *why)
{
	const struct overlay_item *it = NULL;
	int err = 0, growth;

	o->machine = txn_is_machine(t);
	if (o->machine)
		err = overlay_machine(o, t, why);
	for (unsigned i = 0; !o->machine && err == 0 && i < t->n_ops; i++)
		err = run_op(o, t, i, why);
	while (!o->machine && err == 0 && o->level >= VOLUME_CONVERT_LEVEL && (it = overlay_next(o, it)))
		if (overlay_converts(it))
			err = overlay_converted(o, it, why);
	it = NULL;
	growth = settle(o);
	while (err == 0 && (it = overlay_next(o, it)))
		if (overlay_kind(it))
			err = check_item(o, it, why);
	if (err == 0)
		err = check_unique(o, why);
	if (err == 0 && o->level >= VOLUME_LEVEL && !o->machine)
		err = check_volumes(o, why);
	if (err == 0 && o->level >= VOLUME_LEVEL && !o->machine)
		err = address_check_unique(o, why);
	if (err == 0 && growth > 0 && tree_count(o->base) + (unsigned)growth > CATALOG_OBJECTS_MAX)
		err = why_set(why, ERR_LIMIT, "the cluster holds %u objects, the most is %u", tree_count(o->base),
		              CATALOG_OBJECTS_MAX);
	return err;
}

void overlay_commit(struct overlay *o, struct tree *t)
{
	struct overlay_item *it;

	while ((it = RB_MIN(overlay_items, &o->items))) {
		if (it->after)
			tree_put(t, &it->after);
		else
			tree_remove(t, it->path);
		item_drop(o, it);
	}
}
