/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes with copies, read out of the agreed objects, and the transactions that the machine makes about them. */
#include "cluster/volume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

bool volume_is_striped(const struct object *v)
{
	return v->type->id == TYPE_VOLUME && attrs_get(&v->attrs, "stripe");
}

bool volume_has_legs(const struct object *v)
{
	return v->type->id == TYPE_VOLUME && attrs_get(&v->attrs, "copies") && !attrs_get(&v->attrs, "stripe");
}

const struct object *volume_next(const struct tree *t, const struct object *after)
{
	while ((after = tree_child(t, "/volumes", after)))
		if (volume_has_legs(after))
			return after;
	return NULL;
}

const struct object *volume_leg(const struct tree *t, const struct object *v, const struct object *after)
{
	char legs[PATH_LEN_MAX + 8];
	size_t n = strlen(v->path);

	memcpy(legs, v->path, n);
	memcpy(legs + n, "/legs", 6);
	return tree_child(t, legs, after);
}

const struct object *volume_of_leg(const struct tree *t, const struct object *leg)
{
	char legs[PATH_LEN_MAX], volume[PATH_LEN_MAX];

	if (leg->type->id != TYPE_LEG)
		return NULL;
	path_parent(leg->path, legs);
	path_parent(legs, volume);
	return tree_get(t, volume);
}

const struct object *volume_by_uuid(const struct tree *t, const uint8_t uuid[16])
{
	const struct object *v = tree_by_uuid(t, uuid);

	return v && v->type->id == TYPE_VOLUME ? v : NULL;
}

const struct object *volume_leg_by_uuid(const struct tree *t, const struct object *v, const uint8_t uuid[16])
{
	const struct object *leg = NULL;

	while ((leg = volume_leg(t, v, leg)))
		if (memcmp(leg->uuid, uuid, 16) == 0)
			return leg;
	return NULL;
}

const struct object *volume_shard(const struct tree *t, const struct object *v, unsigned i)
{
	char path[PATH_LEN_MAX + 16];

	if (i >= schema_get_uint(v->type, &v->attrs, "stripe"))
		return NULL;
	snprintf(path, sizeof(path), "%s.%u", v->path, i);
	return tree_get(t, path);
}

bool volume_node_id(const struct tree *t, const char *name, struct node_id *id)
{
	char path[PATH_LEN_MAX] = "/nodes/";
	const struct object *o;
	const char *text;
	size_t n = name ? strlen(name) : 0;

	if (!name || n + 8 > sizeof(path))
		return false;
	memcpy(path + 7, name, n + 1);
	o = tree_get(t, path);
	text = o ? attrs_get(&o->attrs, "id") : NULL;
	return text && node_id_parse(text, id) == 0;
}

const char *volume_node_name(const struct tree *t, const struct node_id *id)
{
	char text[33];
	const struct object *o = tree_holder(t, schema_type(TYPE_NODE), "id", node_id_text(id, text));

	return o ? path_name(o->path) : NULL;
}

static enum own_state leg_state(const struct object *leg)
{
	const char *s = attrs_get(&leg->attrs, "state");

	if (s && strcmp(s, "in-sync") == 0)
		return OWN_LEG_IN;
	return s && strcmp(s, "new") == 0 ? OWN_LEG_NEW : OWN_LEG_OUT;
}

static void row_leg(const struct tree *t, const struct object *leg, struct own_leg *out)
{
	*out = (struct own_leg){ .state = leg_state(leg), .turn = schema_get_uint(leg->type, &leg->attrs, "turn"),
	                         .member = schema_get_uint(leg->type, &leg->attrs, "member"),
	                         .since = schema_get_uint(leg->type, &leg->attrs, "since") };
	memcpy(out->uuid, leg->uuid, 16);
	out->lun = attrs_get(&leg->attrs, "lun") != NULL;
	volume_node_id(t, attrs_get(&leg->attrs, "node"), &out->node);
}

bool volume_row(const struct tree *t, const struct object *v, struct own_row *row)
{
	const struct object *leg = NULL;
	const char *owner = attrs_get(&v->attrs, "owner");

	*row = (struct own_row){ .epoch = schema_get_uint(v->type, &v->attrs, "epoch"),
	                         .left = schema_get_uint(v->type, &v->attrs, "left"),
	                         .begun = schema_get_bool(v->type, &v->attrs, "begun") };
	if (!volume_has_legs(v))
		return false;
	memcpy(row->uuid, v->uuid, 16);
	if (owner)
		node_id_parse(owner, &row->owner);
	volume_node_id(t, attrs_get(&v->attrs, "want"), &row->want);
	while (row->n_leg < OWN_LEGS_MAX && (leg = volume_leg(t, v, leg)))
		row_leg(t, leg, &row->leg[row->n_leg++]);
	return true;
}

void volume_keep(const struct object *v, uint64_t *version, const uint8_t **blob, size_t *n)
{
	*version = schema_get_uint(v->type, &v->attrs, "reservations-version");
	*blob = v->blob;
	*n = v->n_blob;
}

bool volume_power_lost(const struct tree *t, const struct object *v)
{
	const struct object *c = tree_get(t, "/cluster");

	return c && schema_get_uint(v->type, &v->attrs, "reservations-power") < schema_get_uint(c->type, &c->attrs, "power");
}

bool volume_life_seen(const struct tree *t, uint64_t life)
{
	const struct object *c = tree_get(t, "/cluster");
	const char *lives = c ? attrs_get(&c->attrs, "lives") : NULL;
	char text[24];

	snprintf(text, sizeof(text), "%016" PRIx64, life);
	return lives && strstr(lives, text);
}

/* ---- the machine's transactions ---- */

int volume_txn_own(const struct tree *t, const struct own_change *c, struct txn *txn)
{
	const struct object *v = volume_by_uuid(t, c->volume);

	if (!v)
		return ERR_NOENT;
	txn_add(txn, TXN_OWN, v->path)->own = *c;
	return 0;
}

int volume_txn_keep(const struct tree *t, const uint8_t volume[16], uint64_t version, const uint8_t *blob, size_t n,
                    struct txn *txn)
{
	const struct object *v = volume_by_uuid(t, volume);
	struct txn_op *op;

	if (!v)
		return ERR_NOENT;
	if (n > KEEP_BLOB_MAX)
		return ERR_LIMIT;
	op = txn_add(txn, TXN_KEEP, v->path);
	op->keep = (struct txn_keep){ .version = version, .blob = n ? mem_dup(blob, n) : NULL, .n = n };
	memcpy(op->keep.volume, volume, 16);
	return 0;
}

int volume_txn_lives(const struct tree *t, const uint64_t *life, unsigned n, struct txn *txn)
{
	const struct object *c = tree_get(t, "/cluster");
	struct txn_op *op;

	if (!c)
		return ERR_NOENT;
	n = n < LIVES_MAX ? n : LIVES_MAX;
	op = txn_add(txn, TXN_KEEP, c->path);
	op->keep = (struct txn_keep){ .version = schema_get_uint(c->type, &c->attrs, "power"), .blob = mem_alloc(n * 8 + 1), .n = n * 8 };
	memcpy(op->keep.volume, c->uuid, 16);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 8; k++)
			op->keep.blob[8 * i + k] = (uint8_t)(life[i] >> (56 - 8 * k));
	return 0;
}
