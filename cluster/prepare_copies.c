/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes with copies at the proposer: which legs and shards they get, and where, is written into the transaction. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/lunurl.h"
#include "cluster/prepare_int.h"
#include "cluster/volume.h"

#define LETTERS 26

/* The legs of a volume as far as they are decided: agreed, and in this transaction. */
struct legs {
	const char *node[VOLUME_SHARDS_MAX];    /* lent by the tree and the transaction */
	unsigned n_node;
	unsigned n;                             /* those without a node yet too */
	bool letter[LETTERS];
};

static const struct schema_type *volume_type(void)
{
	return schema_type(TYPE_VOLUME);
}

static bool below_legs(const char *path, const char *volume)
{
	char folder[PATH_LEN_MAX + 8];

	snprintf(folder, sizeof(folder), "%s/legs", volume);
	return path_below(path, folder) && strcmp(path, folder) != 0;
}

static void legs_note(struct legs *l, const char *name, const char *node, bool counts)
{
	if (name[0] >= 'a' && name[0] <= 'z' && !name[1])
		l->letter[name[0] - 'a'] = true;
	if (!counts)
		return;
	l->n++;
	if (node && l->n_node < VOLUME_SHARDS_MAX)
		l->node[l->n_node++] = node;
}

static struct legs legs_of(const struct work *w, const char *volume)
{
	const struct object *v = catalog_get(w->n->catalog, volume), *leg = NULL;
	bool anew = prepare_op_on(w->t, w->t->n_ops, TXN_DELETE, volume) != NULL;
	struct legs l = { .n = 0 };

	while (v && !anew && (leg = volume_leg(catalog_tree(w->n->catalog), v, leg)))
		legs_note(&l, path_name(leg->path), attrs_get(&leg->attrs, "node"),
		          !prepare_op_on(w->t, w->t->n_ops, TXN_DELETE, leg->path));
	for (unsigned i = 0; i < w->t->n_ops; i++)
		if (w->t->ops[i].kind == TXN_CREATE && below_legs(w->t->ops[i].path, volume))
			legs_note(&l, path_name(w->t->ops[i].path), attrs_get(&w->t->ops[i].attrs, "node"), true);
	return l;
}

/* Those of them that are LUNs of foreign targets, in this transaction. */
static unsigned legs_lun(const struct work *w, const char *volume)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->t->n_ops; i++)
		n += w->t->ops[i].kind == TXN_CREATE && below_legs(w->t->ops[i].path, volume) && attrs_get(&w->t->ops[i].attrs, "lun");
	return n;
}

static bool legs_on(const struct legs *l, const char *node)
{
	for (unsigned i = 0; i < l->n_node; i++)
		if (strcmp(l->node[i], node) == 0)
			return true;
	return false;
}

static bool is_storage(const char *key)
{
	return strcmp(key, "backstore") == 0 || strncmp(key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0;
}

static void storage_copy(struct attrs *to, const struct attrs *from)
{
	for (unsigned i = 0; i < from->n; i++)
		if (is_storage(from->a[i].key) && *from->a[i].value)
			attrs_set(to, from->a[i].key, from->a[i].value);
}

static const char *backstore_of(const struct attrs *storage)
{
	return schema_get(schema_type(TYPE_LEG), storage, "backstore");
}

/* ---- where ---- */

/* Legs of other shards of the same volume that this transaction puts on the node. */
static unsigned siblings(const struct work *w, const char *volume, const char *node)
{
	const char *dot = strrchr(volume, '.');
	unsigned n = 0;

	for (unsigned i = 0; dot && i < w->t->n_ops; i++) {
		const struct txn_op *op = &w->t->ops[i];
		const char *at = op->kind == TXN_CREATE ? attrs_get(&op->attrs, "node") : NULL;

		n += at && strcmp(at, node) == 0 && strncmp(op->path, volume, (size_t)(dot - volume) + 1) == 0;
	}
	return n;
}

struct choice {
	const char *node;
	struct place place;
	unsigned siblings;
};

static bool choice_better(const struct choice *a, const struct choice *b)
{
	if (!b->node || a->siblings != b->siblings)
		return !b->node || a->siblings < b->siblings;
	return place_better(&a->place, &b->place);
}

/* Has any node that takes data the backstore? */
static bool known_anywhere(const struct work *w, const char *backstore)
{
	const struct object *o = NULL;

	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o)))
		if (place_takes(w->n, o, NULL) && place_has_plugin(w->n, path_name(o->path), backstore))
			return true;
	return false;
}

/* Why nobody is left: who is not taken, and for what. */
static int no_place(struct work *w, const char *volume, const struct legs *l, unsigned copies, const char *backstore, uint64_t size)
{
	const struct object *o = NULL;
	struct buf said = { 0 };
	unsigned n = 0, taking = 0;
	char text[32];
	int err;

	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o)))
		taking += place_takes(w->n, o, NULL);
	if (taking && !known_anywhere(w, backstore))
		return why_set(w->why, ERR_NOTSUP, "%s: no node that is up has the backstore \"%s\"; \"director plugin list\" shows what there is",
		               volume, backstore);
	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o))) {
		const char *name = path_name(o->path), *why;

		n++;
		if (legs_on(l, name))
			continue;
		if (place_takes(w->n, o, &why))
			why = !place_has_plugin(w->n, name, backstore) ? "lacks the backstore" : "is too small";
		buf_printf(&said, "; %s %s", name, why);
	}
	err = why_set(w->why, n < copies ? ERR_UNREACHABLE : ERR_NOSPC, "%s: %u %s of %s each on a node of its own: there %s %u node%s%.200s",
	              volume, copies, copies == 1 ? "copy" : "copies", text_size(size, text), n == 1 ? "is" : "are", n, n == 1 ? "" : "s",
	              said.len ? buf_str(&said) : "");
	buf_fini(&said);
	return err;
}

static const char *choose(struct work *w, const char *volume, const struct legs *l, const char *backstore, uint64_t size)
{
	const struct object *o = NULL;
	struct choice best = { .node = NULL };

	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o))) {
		struct choice c = { .node = path_name(o->path) };

		if (legs_on(l, c.node) || !place_takes(w->n, o, NULL) || !place_has_plugin(w->n, c.node, backstore))
			continue;
		c.place = prepare_place(w, o, strcmp(backstore, "ram") == 0);
		c.siblings = siblings(w, volume, c.node);
		if (size + VOLUME_LEG_META <= c.place.total && choice_better(&c, &best))
			best = c;
	}
	return best.node;
}

/* A node that was named: may a leg of the volume be there? */
static int named_node(struct work *w, const char *volume, const struct legs *l, const char *node, const char *backstore)
{
	char path[PATH_LEN_MAX];
	const char *why;
	int err = prepare_node(w, volume, node, backstore);

	if (err < 0)
		return err;
	snprintf(path, sizeof(path), "/nodes/%s", node);
	if (legs_on(l, node))
		return why_set(w->why, ERR_INVAL, "%s: node %s has a copy already, and a second one there would die with it; use another", volume, node);
	if (!place_takes(w->n, catalog_get(w->n->catalog, path), &why))
		return why_set(w->why, ERR_UNREACHABLE, "%s: node %s %s; use another", volume, node, why);
	return 0;
}

/* The i-th of "A,B,C" in normal form; how many there are when i is out of range. */
static unsigned on_at(const char *on, unsigned i, char *out)
{
	unsigned n = 0;

	for (const char *p = on; p && *p; p += *p == ',', n++) {
		size_t len = strcspn(p, ",");
		char name[PATH_LEN_MAX];

		if (n == i) {
			snprintf(name, sizeof(name), "%.*s", (int)(len < 200 ? len : 200), p);
			if (schema_name(schema_type(TYPE_NODE), name, out, NULL) < 0)
				snprintf(out, PATH_LEN_MAX, "%s", name);
		}
		p += len;
	}
	return n;
}

/* ---- legs ---- */

static int leg_add(struct work *w, const char *volume, const struct legs *l, const char *node, const struct attrs *storage, uint64_t size)
{
	char path[PATH_LEN_MAX + 16];
	struct txn_op *op;
	unsigned k = 0;

	while (k + 1 < LETTERS && l->letter[k])
		k++;
	snprintf(path, sizeof(path), "%s/legs/%c", volume, 'a' + (int)k);
	op = txn_add(w->t, TXN_CREATE, path);
	storage_copy(&op->attrs, storage);
	attrs_set(&op->attrs, "node", node);
	prepare_placed(w, node, size + VOLUME_LEG_META);
	return prepare_plugin(w, w->t->n_ops - 1, node, backstore_of(storage));
}

/* Legs until there are `copies`; on the nodes of `on`, beginning at the `turn`-th, or by rule. */
static int legs_fill(struct work *w, const char *volume, unsigned copies, const char *on, unsigned turn, const struct attrs *storage,
                     uint64_t size)
{
	const char *backstore = backstore_of(storage);
	char name[PATH_LEN_MAX] = "";
	unsigned n_on = on_at(on, UINT32_MAX, name), had = legs_of(w, volume).n;

	for (unsigned k = 0;; k++) {
		struct legs l = legs_of(w, volume);
		const char *node;
		int err = 0;

		if (l.n >= copies)
			return 0;
		if (on && k >= n_on)
			return why_set(w->why, ERR_INVAL, "%s: %u %s%s %u node%s, and %u %s named", volume, copies - had, had ? "further " : "",
			               copies - had == 1 ? "copy needs" : "copies need", copies - had, copies - had == 1 ? "" : "s", n_on,
			               n_on == 1 ? "is" : "are");
		if (on) {
			on_at(on, (turn + k) % n_on, name);
			err = named_node(w, volume, &l, name, backstore);
		}
		node = on ? name : choose(w, volume, &l, backstore, size);
		if (!node)
			err = no_place(w, volume, &l, copies, backstore, size);
		if (err == 0)
			err = leg_add(w, volume, &l, node, storage, size);
		if (err < 0)
			return err;
	}
}

/* ---- creating ---- */

bool prepare_is_copies(const struct work *w, const struct txn_op *op)
{
	const char *on = attrs_get(&op->attrs, "node");
	const struct schema_type *type = schema_type_of(op->path);

	return w->level >= VOLUME_LEVEL && type && type->id == TYPE_VOLUME &&
	       (attrs_get(&op->attrs, "copies") || attrs_get(&op->attrs, "stripe") || (on && strchr(on, ',')));
}

char *prepare_take_on(struct txn_op *op)
{
	const char *given = attrs_get(&op->attrs, "node");
	char *on = given && *given ? mem_strdup(given) : NULL, text[PATH_LEN_MAX];

	attrs_set(&op->attrs, "node", NULL);
	if (op->kind == TXN_CREATE && !attrs_get(&op->attrs, "copies")) {
		/* A list of nodes is as many copies; a striped volume has one of each part unless more are asked for. */
		if (on && !attrs_get(&op->attrs, "stripe"))
			snprintf(text, sizeof(text), "%u", on_at(on, UINT32_MAX, text));
		else
			snprintf(text, sizeof(text), "1");
		attrs_set(&op->attrs, "copies", text);
	}
	return on;
}

static uint64_t shard_size(uint64_t size, uint64_t stripe)
{
	uint64_t part = (size + stripe - 1) / stripe;

	return (part + VOLUME_SHARD_UNIT - 1) / VOLUME_SHARD_UNIT * VOLUME_SHARD_UNIT;
}

static int shard_path(struct work *w, const char *volume, unsigned k, char *path)
{
	snprintf(path, PATH_LEN_MAX, "%.400s.%u", volume, k);
	if (strlen(path_name(path)) > 63)
		return why_set(w->why, ERR_INVAL, "%s: the name is too long for one that is striped: its parts are called %s.0 and so on", volume,
		               path_name(volume));
	return 0;
}

/* Says whether there are any. An empty one takes away what there was. */
static bool limits_copy(const struct attrs *from, struct attrs *to)
{
	static const char *const limits[] = { "resync-limit", "scrub-limit" };
	bool any = false;

	for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
		const char *v = attrs_get(from, limits[i]);

		any |= v != NULL;
		if (v && to)
			attrs_set(to, limits[i], v);
	}
	return any;
}

static int shard_create(struct work *w, unsigned i, unsigned k, unsigned copies, const char *on, const struct attrs *storage)
{
	char path[PATH_LEN_MAX], text[32];
	const char *block = attrs_get(&w->t->ops[i].attrs, "block-size");
	uint64_t stripe = schema_get_uint(volume_type(), &w->t->ops[i].attrs, "stripe");
	uint64_t size = shard_size(schema_get_uint(volume_type(), &w->t->ops[i].attrs, "size"), stripe);
	int err = shard_path(w, w->t->ops[i].path, k, path);

	if (err < 0)
		return err;
	if (!prepare_op_on(w->t, w->t->n_ops, TXN_CREATE, path)) {
		struct txn_op *op = txn_add(w->t, TXN_CREATE, path);

		snprintf(text, sizeof(text), "%" PRIu64, size);
		attrs_set(&op->attrs, "size", text);
		snprintf(text, sizeof(text), "%u", copies);
		attrs_set(&op->attrs, "copies", text);
		attrs_set(&op->attrs, "part-of", path_name(w->t->ops[i].path));
		attrs_set(&op->attrs, "block-size", block);
		limits_copy(&w->t->ops[i].attrs, &op->attrs);
	}
	return legs_fill(w, path, copies, on, k, storage, size);
}

int prepare_copies_create(struct work *w, unsigned i, const char *on)
{
	struct txn_op *op = &w->t->ops[i];
	struct attrs storage = { 0 };
	unsigned copies = (unsigned)schema_get_uint(volume_type(), &op->attrs, "copies"), n_on;
	unsigned stripe = (unsigned)schema_get_uint(volume_type(), &op->attrs, "stripe");
	char path[PATH_LEN_MAX];
	int err = 0;

	memcpy(path, op->path, strlen(op->path) + 1);
	n_on = on_at(on, UINT32_MAX, path);
	if (!attrs_get(&op->attrs, "size"))
		return why_set(w->why, ERR_INVAL, "%s: size is missing; add size=1G", op->path);
	if (attrs_get(&op->attrs, "path") || attrs_get(&op->attrs, "device"))
		return why_set(w->why, ERR_INVAL, "%s: a file or device is a leg's, not the volume's: create %s/legs/a node=NODE device=… in the "
		               "same transaction", op->path, op->path);
	if (!stripe && n_on > copies)
		return why_set(w->why, ERR_INVAL, "%s: %u nodes are named for %u %s", op->path, n_on, copies, copies == 1 ? "copy" : "copies");
	if (!stripe && n_on + legs_lun(w, path) > copies)
		return why_set(w->why, ERR_INVAL, "%s: %u nodes and LUNs are named for %u %s", op->path, n_on + legs_lun(w, path), copies,
		               copies == 1 ? "copy" : "copies");
	storage_copy(&storage, &op->attrs);
	for (unsigned k = 0; k < storage.n; k++)
		attrs_set(&op->attrs, storage.a[k].key, NULL);
	if (!stripe)
		err = legs_fill(w, path, copies, on, 0, &storage, schema_get_uint(volume_type(), &w->t->ops[i].attrs, "size"));
	for (unsigned k = 0; err == 0 && k < stripe; k++)
		err = shard_create(w, i, k, copies, on, &storage);
	attrs_fini(&storage);
	return err;
}

/* ---- changing ---- */

static void set_uint(struct work *w, const char *path, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, v);
	attrs_set(&txn_add(w->t, TXN_SET, path)->attrs, key, text);
}

static bool on_names(const char *on, const char *node)
{
	char name[PATH_LEN_MAX];

	for (unsigned i = 0, n = on_at(on, UINT32_MAX, name); i < n; i++) {
		on_at(on, i, name);
		if (strcmp(name, node) == 0)
			return true;
	}
	return false;
}

/*
 * Fewer copies. Which legs go, and when they may, is seen to by who serves the volume (move.h), unless the nodes of those that
 * stay are named: then each leg that goes is replaced by the next one that does, and the last of them by one that stays.
 */
static int keep(struct work *w, const struct object *v, const struct legs *l, unsigned copies, const char *on)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	const struct object *leg = NULL, *stays = NULL, *goes[OWN_LEGS_MAX];
	char name[PATH_LEN_MAX];
	unsigned n_on = on_at(on, UINT32_MAX, name), n = 0;

	if (n_on != copies)
		return why_set(w->why, ERR_INVAL, "%s: %u %s, and %u node%s named with --on, where those are that stay", v->path, copies,
		               copies == 1 ? "copy" : "copies", n_on, n_on == 1 ? " is" : "s are");
	for (unsigned i = 0; i < n_on; i++) {
		on_at(on, i, name);
		if (!legs_on(l, name))
			return why_set(w->why, ERR_INVAL, "%s: node %s has no copy of it that could stay; \"director volume show %s\" shows who has",
			               v->path, name, path_name(v->path));
	}
	while ((leg = volume_leg(t, v, leg))) {
		const char *node = attrs_get(&leg->attrs, "node"), *state = attrs_get(&leg->attrs, "state");

		if (!state || strcmp(state, "in-sync") != 0)
			return why_set(w->why, ERR_BUSY, "%s: leg %s is not in sync; which copies stay can be said when all are, or leave --on out: then one "
			               "that lacks data goes first", v->path, path_name(leg->path));
		if (node && on_names(on, node))
			stays = leg;
		else if (n < OWN_LEGS_MAX)
			goes[n++] = leg;
	}
	if (l->n - n != copies)
		return why_set(w->why, ERR_INVAL, "%s: a node is named twice", v->path);
	for (unsigned i = 0; stays && i < n; i++)
		attrs_set(&txn_add(w->t, TXN_SET, (i + 1 < n ? goes[i + 1] : stays)->path)->attrs, "replaces", path_name(goes[i]->path));
	return 0;
}

/*
 * The nodes of further copies, into *further: those that are named. A list of all nodes that shall have one is good too, and for the
 * parts of a striped volume one of all that may: then without those that have one.
 */
static int on_further(struct work *w, const struct object *v, const struct legs *l, unsigned copies, const char *on, char **further)
{
	char name[PATH_LEN_MAX], first[PATH_LEN_MAX] = "";
	bool part = attrs_get(&v->attrs, "part-of");
	unsigned n_on = on_at(on, UINT32_MAX, name), there = 0;
	struct buf rest = { 0 };

	for (unsigned i = 0; i < n_on; i++) {
		on_at(on, i, name);
		if (legs_on(l, name)) {
			there++;
			continue;
		}
		if (!rest.len)
			memcpy(first, name, strlen(name) + 1);
		buf_printf(&rest, "%s%s", rest.len ? "," : "", name);
	}
	*further = part || (n_on == copies && there == l->n) ? mem_strdup(buf_str(&rest)) : mem_strdup(on);
	buf_fini(&rest);
	if (copies == l->n && *first)
		return why_set(w->why, ERR_INVAL, "%s: it has its %u %s already, none of them on node %s; for that: director volume move %s --leg LEG "
		               "--to %s", v->path, copies, copies == 1 ? "copy" : "copies", first, path_name(v->path), first);
	if (!part && copies > l->n && on_at(*further, UINT32_MAX, name) > copies - l->n)
		return why_set(w->why, ERR_INVAL, "%s: it has %u of %u copies, and %u nodes are named for further ones", v->path, l->n, copies, n_on);
	return 0;
}

static int convert(struct work *w, const struct object *v, unsigned copies, const char *on, unsigned turn)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	const struct object *leg = NULL, *first = NULL;
	struct legs l = legs_of(w, v->path);
	struct attrs storage = { 0 };
	char *further = NULL;
	const char *of;
	int err;

	while ((leg = volume_leg(t, v, leg)))
		if ((of = attrs_get(&leg->attrs, "replaces")))
			return why_set(w->why, ERR_BUSY, "%s: leg %s is taking the place of %s; wait until it has, or give it up: director delete %s", v->path,
			               path_name(leg->path), of, leg->path);
	if (copies < l.n)
		return on ? keep(w, v, &l, copies, on) : 0;
	err = on ? on_further(w, v, &l, copies, on, &further) : 0;
	if (err < 0) {
		free(further);
		return err;
	}
	while ((first = volume_leg(t, v, first)) && attrs_get(&first->attrs, "lun"))
		;
	if (first)
		storage_copy(&storage, &first->attrs);
	err = legs_fill(w, v->path, copies, further, turn, &storage, schema_get_uint(v->type, &v->attrs, "size"));
	attrs_fini(&storage);
	free(further);
	return err;
}

/*
 * What a leg keeps goes behind the data of a volume that was made without copies. A file becomes longer; a device has the
 * room or has not; of others nobody can say.
 */
static int has_room(struct work *w, const struct object *v, const char *copies)
{
	const char *backstore = schema_get(v->type, &v->attrs, "backstore"), *node = attrs_get(&v->attrs, "node"), *device = attrs_get(&v->attrs, "device");
	uint64_t need = schema_get_uint(v->type, &v->attrs, "size") + VOLUME_LEG_META;
	char fact[2 * PATH_LEN_MAX], text[32];
	const struct fact *f;

	if (!attrs_get(&v->attrs, "size"))
		return why_set(w->why, ERR_NOTSUP, "%s: its size is that of what it lies on; say it first: director volume resize %s SIZE", v->path,
		               path_name(v->path));
	if (strcmp(backstore, "file") == 0)
		return 0;
	snprintf(fact, sizeof(fact), "/nodes/%s/devices/%s", node, device ? device : "");
	f = strcmp(backstore, "block") == 0 && device ? place_fact(w->n, node, fact) : NULL;
	if (place_uint(f, "size", 0) >= need)
		return 0;
	return why_set(w->why, ERR_NOTSUP, "%s: copies need %s on node %s, 1M more than the volume has, and its %s storage cannot be made longer; make "
	               "another volume with --copies %.10s and copy it there", v->path, text_size(need, text), node, backstore, copies);
}

/* A volume that was made without copies: what it has becomes a leg (overlay_converted), the others are made as ever. */
static int convert_plain(struct work *w, unsigned i, const struct object *v, const char *copies, const char *on)
{
	const char *node = attrs_get(&v->attrs, "node");
	struct attrs storage = { 0 };
	char path[PATH_LEN_MAX + 16], first[PATH_LEN_MAX];
	uint64_t n, size = schema_get_uint(v->type, &v->attrs, "size");
	struct txn_op *op;
	int err;

	if (w->level < VOLUME_CONVERT_LEVEL)
		return why_set(w->why, ERR_NOTSUP, "%s: a volume that was made without --copies gets some when every node of the cluster runs a version "
		               "that can do that; node list -o json says which schema-level each knows", v->path);
	if (attrs_get(&w->t->ops[i].attrs, "size"))
		return why_set(w->why, ERR_INVAL, "%s: another size and copies are two changes; one after the other", v->path);
	err = text_u64_parse(copies, &n) < 0 ? 0 : has_room(w, v, copies);
	if (err < 0 || text_u64_parse(copies, &n) < 0)
		return err;
	storage_copy(&storage, &v->attrs);
	snprintf(path, sizeof(path), "%s/legs/a", v->path);
	op = txn_add(w->t, TXN_CREATE, path);
	attrs_set(&op->attrs, "node", node);
	storage_copy(&op->attrs, &storage);
	attrs_set(&op->attrs, "device", attrs_get(&v->attrs, "device"));
	attrs_set(&op->attrs, "path", attrs_get(&v->attrs, "path"));
	/* Its own node may be named with the others. */
	if (on && on_at(on, 0, first) && strcmp(first, node) == 0)
		on = strchr(on, ',') ? strchr(on, ',') + 1 : NULL;
	/* Others are files, whatever the first is. */
	attrs_set(&storage, "backstore", NULL);
	if (strcmp(schema_get(v->type, &v->attrs, "backstore"), "file") != 0)
		for (unsigned k = storage.n; k-- > 0;)
			attrs_set(&storage, storage.a[k].key, NULL);
	err = legs_fill(w, v->path, (unsigned)n, on, 0, &storage, size);
	attrs_fini(&storage);
	return err;
}

/* The node that shall own it: it must have all data. */
static int check_want(struct work *w, const struct object *v, const char *node)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	const struct own_leg *l;
	const struct object *leg, *at;
	const struct fact *f;
	const char *storage;
	struct own_row row;
	char path[PATH_LEN_MAX];
	struct node_id id;

	if (!volume_node_id(t, node, &id))
		return why_set(w->why, ERR_NOENT, "%s: there is no node %s; \"director node list\" shows them", v->path, node);
	volume_row(t, v, &row);
	l = own_leg_of(&row, &id);
	snprintf(path, sizeof(path), "/nodes/%.200s", node);
	at = tree_get(t, path);
	if (!l && own_leg_lun(&row) && at && strcmp(schema_get(at->type, &at->attrs, "role"), "witness") != 0)
		return 0;
	if (!l)
		return why_set(w->why, ERR_INVAL, "%s: node %s has no leg of it that is in sync; \"director volume show %s\" shows who has", v->path,
		               node, path_name(v->path));
	/* Called in sync, since nothing was written meanwhile; but its disk may have gone. */
	leg = volume_leg_by_uuid(t, v, l->uuid);
	f = leg ? place_fact(w->n, node, leg->path) : NULL;
	storage = f ? attrs_get(&f->attrs, "storage") : NULL;
	if (storage && strcmp(storage, "ready") != 0)
		return why_set(w->why, ERR_BUSY, "%s: the storage of its leg at node %s is not ready (%s)", v->path, node, storage);
	return 0;
}

/* Where it is served already nothing is to be done; what was asked for before is over. */
static const char *want_of(const struct work *w, const struct object *v, const char *node)
{
	const char *owner;
	struct own_row row;

	if (!volume_row(catalog_tree(w->n->catalog), v, &row) || node_id_none(&row.owner))
		return node;
	owner = volume_node_name(catalog_tree(w->n->catalog), &row.owner);
	return owner && strcmp(owner, node) == 0 ? "" : node;
}

/* What is asked of a striped volume is asked of its shards. */
static int shards_set(struct work *w, unsigned i, const char *on)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	const char *path = w->t->ops[i].path, *copies = attrs_get(&w->t->ops[i].attrs, "copies"), *size = attrs_get(&w->t->ops[i].attrs, "size");
	const char *want = attrs_get(&w->t->ops[i].attrs, "want"), *scrub = attrs_get(&w->t->ops[i].attrs, "scrub-asked");
	const struct object *v = catalog_get(w->n->catalog, path), *s;
	uint64_t n, stripe = schema_get_uint(v->type, &v->attrs, "stripe");
	int err = 0;

	for (unsigned k = 0; err == 0 && (s = volume_shard(t, v, k)); k++) {
		if (size && text_u64_parse(size, &n) == 0)
			set_uint(w, s->path, "size", shard_size(n, stripe));
		if (scrub)
			set_uint(w, s->path, "scrub-asked", schema_get_uint(s->type, &s->attrs, "scrub-asked") + 1);
		if (limits_copy(&w->t->ops[i].attrs, NULL)) {
			struct txn_op *op = txn_add(w->t, TXN_SET, s->path);

			limits_copy(&w->t->ops[i].attrs, &op->attrs);
		}
		/* All parts or none: where one cannot go, people say which of the others shall. */
		if (want && *want)
			err = check_want(w, s, want);
		if (want && err == 0)
			attrs_set(&txn_add(w->t, TXN_SET, s->path)->attrs, "want", want_of(w, s, want));
		if (err == 0 && copies && text_u64_parse(copies, &n) == 0) {
			set_uint(w, s->path, "copies", n);
			err = convert(w, s, (unsigned)n, on, k);
		}
	}
	attrs_set(&w->t->ops[i].attrs, "want", NULL);
	return err;
}

int prepare_copies_set(struct work *w, unsigned i, const char *on)
{
	const struct object *v = catalog_get(w->n->catalog, w->t->ops[i].path);
	const struct attrs *as = &w->t->ops[i].attrs;
	const char *copies = attrs_get(as, "copies"), *want = attrs_get(as, "want"), *of = attrs_get(&v->attrs, "part-of");
	uint64_t n;
	int err = 0;

	if (!attrs_get(&v->attrs, "copies"))
		return convert_plain(w, i, v, copies, on);
	for (unsigned k = 0; k < as->n; k++)
		if (is_storage(as->a[k].key))
			return why_set(w->why, ERR_INVAL, "%s: %s is a leg's; director set %s/legs/a %s=…", v->path, as->a[k].key, v->path, as->a[k].key);
	if (on && !copies)
		return why_set(w->why, ERR_INVAL, "%s: node is fixed when the volume is created; director volume move %s --leg LEG --to NODE moves a copy",
		               v->path, path_name(v->path));
	if (of && (copies || attrs_get(as, "size")))
		return why_set(w->why, ERR_INVAL, "%s: it is a part of %s; change that", v->path, of);
	if (volume_is_striped(v))
		return shards_set(w, i, on);
	if (want && *want)
		err = check_want(w, v, want);
	if (want && *want && err == 0)
		attrs_set(&w->t->ops[i].attrs, "want", want_of(w, v, want));
	if (err == 0 && copies && text_u64_parse(copies, &n) == 0)
		err = convert(w, v, (unsigned)n, on, 0);
	return err;
}

int prepare_copies_delete(struct work *w, unsigned i)
{
	const struct object *v = catalog_get(w->n->catalog, w->t->ops[i].path), *s;
	const char *of = v ? attrs_get(&v->attrs, "part-of") : NULL;
	char path[PATH_LEN_MAX];

	snprintf(path, sizeof(path), "/volumes/%s", of ? of : "");
	if (of && !prepare_op_on(w->t, w->t->n_ops, TXN_DELETE, path))
		return why_set(w->why, ERR_INVAL, "%s: it is a part of %s; delete that", v->path, of);
	for (unsigned k = 0; v && (s = volume_shard(catalog_tree(w->n->catalog), v, k)); k++)
		if (!prepare_op_on(w->t, w->t->n_ops, TXN_DELETE, s->path))
			txn_add(w->t, TXN_DELETE, s->path);
	return 0;
}

/* ---- legs that people create or delete ---- */

static void volume_path(const char *leg, char *out)
{
	char legs[PATH_LEN_MAX];

	path_parent(leg, legs);
	path_parent(legs, out);
}

/* One that has all data is given up in steps. */
int prepare_leg_delete(struct work *w, unsigned i)
{
	const char *path = w->t->ops[i].path, *state;
	const struct object *leg = catalog_get(w->n->catalog, path);
	char volume[PATH_LEN_MAX];

	volume_path(path, volume);
	state = leg ? attrs_get(&leg->attrs, "state") : NULL;
	if (!state || strcmp(state, "in-sync") != 0 || prepare_op_on(w->t, w->t->n_ops, TXN_DELETE, volume))
		return 0;
	return why_set(w->why, ERR_BUSY, "%s: it is in sync; for fewer copies: director volume convert %s --copies N, for another node: director "
	               "volume move %s --leg %s", path, path_name(volume), path_name(volume), path_name(path));
}

int prepare_leg_name(struct work *w, unsigned i)
{
	char volume[PATH_LEN_MAX], path[PATH_LEN_MAX + 16];
	struct legs l;
	unsigned k = 0;

	volume_path(w->t->ops[i].path, volume);
	l = legs_of(w, volume);
	while (k + 1 < LETTERS && l.letter[k])
		k++;
	snprintf(path, sizeof(path), "%s/legs/%c", volume, 'a' + (int)k);
	free(w->t->ops[i].path);
	w->t->ops[i].path = mem_strdup(path);
	return 0;
}

static int check_replaces(struct work *w, unsigned i, const struct object *v)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	struct txn_op *op = &w->t->ops[i];
	const char *of = attrs_get(&op->attrs, "replaces"), *other;
	const struct object *leg = NULL, *old = NULL;

	while ((leg = volume_leg(t, v, leg))) {
		if (strcmp(path_name(leg->path), of) == 0)
			old = leg;
		other = attrs_get(&leg->attrs, "replaces");
		if (other)
			return why_set(w->why, ERR_BUSY, "%s: leg %s is taking the place of %s; wait until it has, or give it up: director delete %s", v->path,
			               path_name(leg->path), other, leg->path);
	}
	if (!old)
		return why_set(w->why, ERR_NOENT, "%s: there is no leg %.63s; \"director volume show %s\" shows them", v->path, of, path_name(v->path));
	if (attrs_get(&op->attrs, "lun") || attrs_get(&old->attrs, "lun"))
		return 0;
	if (attrs_get(&op->attrs, "node") && !attrs_get(&op->attrs, "device") && !attrs_get(&op->attrs, "backstore") &&
	    strcmp(attrs_get(&op->attrs, "node"), attrs_get(&old->attrs, "node")) == 0)
		return why_set(w->why, ERR_INVAL, "%s: leg %s is on node %s already", v->path, of, attrs_get(&old->attrs, "node"));
	if (attrs_get(&old->attrs, "path") && !attrs_get(&op->attrs, "path") && !attrs_get(&op->attrs, "device") &&
	    !attrs_get(&op->attrs, "backstore"))
		return why_set(w->why, ERR_INVAL, "%s: leg %s lies on a device; name one of the other node, or another backstore: --device DEVICE or "
		               "--backstore file", v->path, of);
	if (!attrs_get(&op->attrs, "backstore") && !attrs_get(&op->attrs, "device"))
		storage_copy(&op->attrs, &old->attrs);
	return 0;
}

/* The size of the volume a leg is created for; false: there is no such volume, which applying will say. */
static bool leg_volume(const struct work *w, const char *volume, uint64_t *size)
{
	const struct txn_op *op = prepare_op_on(w->t, w->t->n_ops, TXN_CREATE, volume);
	const struct object *v = catalog_get(w->n->catalog, volume);
	const struct attrs *as = op ? &op->attrs : v ? &v->attrs : NULL;

	if (as)
		*size = schema_get_uint(volume_type(), as, "size");
	return as;
}

static int leg_storage(struct work *w, unsigned i, const char *node, uint64_t size)
{
	const char *device = attrs_get(&w->t->ops[i].attrs, "device"), *path;
	char fact[2 * PATH_LEN_MAX], need[32];
	int err = device ? prepare_device(w, i, node, device, false) : 0;

	if (err < 0)
		return err;
	snprintf(fact, sizeof(fact), "/nodes/%s/devices/%s", node, device ? device : "");
	if (device && place_uint(place_fact(w->n, node, fact), "size", UINT64_MAX) < size + VOLUME_LEG_META)
		return why_set(w->why, ERR_NOSPC, "%s: device %.100s of node %s is smaller than %s, which a leg needs", w->t->ops[i].path, device, node,
		               text_size(size + VOLUME_LEG_META, need));
	path = attrs_get(&w->t->ops[i].attrs, "path");
	return path ? prepare_path_free(w, i, node, path) : 0;
}

/* How many legs there shall be, with what this transaction says of it. */
static uint64_t copies_asked(const struct work *w, const struct object *v)
{
	const struct txn_op *op = prepare_op_on(w->t, w->t->n_ops, TXN_SET, v->path);

	return schema_get_uint(v->type, op && attrs_get(&op->attrs, "copies") ? &op->attrs : &v->attrs, "copies");
}

/* ---- a leg that is a LUN of a foreign target ---- */

/* Its normal form, in place. */
static int lun_form(struct work *w, struct txn_op *op, struct lunurl *u)
{
	const char *why = "";
	char text[LUNURL_MAX];

	if (lunurl_parse(attrs_get(&op->attrs, "lun"), u, &why) < 0)
		return why_set(w->why, ERR_INVAL, "%s: lun=%.100s: %s", op->path, attrs_get(&op->attrs, "lun"), why);
	attrs_set(&op->attrs, "lun", lunurl_text(u, text));
	return 0;
}

/* Its parameters are those of the plugin, but what lun= says, and what ownership does. */
static int lun_params(struct work *w, unsigned i)
{
	static const char *const ours[] = { "p.portal", "p.target", "p.lun", "p.inner", "p.lazy", "p.size", "p.block-size", "p.thin",
		"p.claim", "p.fresh", "p.others" };
	struct txn_op *op = &w->t->ops[i];
	const struct object *o = NULL;

	for (unsigned k = 0; k < ARRAY_LEN(ours); k++)
		if (attrs_get(&op->attrs, ours[k]))
			return why_set(w->why, ERR_INVAL, "%s: %s is part of lun=iscsi://PORTAL/TARGET/LUN, or the cluster's own", op->path, ours[k]);
	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o)))
		if (place_takes(w->n, o, NULL))
			return prepare_plugin_values(w, i, path_name(o->path), "iscsi");
	return 0;
}

static int lun_create(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	const char *backstore = attrs_get(&op->attrs, "backstore");
	struct lunurl u;
	int err;

	if (attrs_get(&op->attrs, "node") || attrs_get(&op->attrs, "device") || attrs_get(&op->attrs, "path") ||
	    (backstore && strcmp(backstore, "iscsi") != 0))
		return why_set(w->why, ERR_INVAL, "%s: it is a LUN elsewhere, or lies on a node: lun= or node=", op->path);
	err = lun_form(w, op, &u);
	attrs_set(&op->attrs, "backstore", "iscsi");
	return err < 0 ? err : lun_params(w, i);
}

/* A leg that replaces one that is not there would wait for ever, and one that replaces itself would go. */
static int replaces_set(struct work *w, const struct txn_op *op)
{
	const char *of = attrs_get(&op->attrs, "replaces");
	char volume[PATH_LEN_MAX], path[2 * PATH_LEN_MAX];

	if (!of || !*of)
		return 0;
	volume_path(op->path, volume);
	snprintf(path, sizeof(path), "%s/legs/%.63s", volume, of);
	if (strcmp(path, op->path) == 0)
		return why_set(w->why, ERR_INVAL, "%s: a leg cannot replace itself", op->path);
	if (catalog_get(w->n->catalog, path) || prepare_op_on(w->t, w->t->n_ops, TXN_CREATE, path))
		return 0;
	return why_set(w->why, ERR_NOENT, "%s: there is no leg %.63s; \"director volume show %s\" shows them", op->path, of, path_name(volume));
}

/* It may be reached by another way; another LUN is another leg. */
int prepare_leg_set(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	const struct object *leg = catalog_get(w->n->catalog, op->path);
	const char *was = leg ? attrs_get(&leg->attrs, "lun") : NULL;
	struct lunurl a, b;
	int err = leg ? replaces_set(w, op) : 0;

	if (!leg || err < 0)
		return err;
	if (attrs_get(&op->attrs, "lun")) {
		err = was ? lun_form(w, op, &b) : ERR_INVAL;
		if (!was || (err == 0 && (lunurl_parse(was, &a, NULL) < 0 || strcmp(a.target, b.target) != 0 || a.lun != b.lun)))
			return why_set(w->why, ERR_INVAL, "%s: only the portals of its LUN can change; onto another one: director volume move NAME "
			               "--leg %s --lun URL", op->path, path_name(op->path));
	}
	for (unsigned k = 0; err == 0 && was && k < op->attrs.n; k++) {
		const char *key = op->attrs.a[k].key;

		if (is_storage(key) && strcmp(key, "p.user") != 0 && strcmp(key, "p.secret") != 0)
			return why_set(w->why, ERR_INVAL, "%s: %s of a LUN is fixed when the leg is created; only lun=, p.user and p.secret can change",
			               op->path, key);
	}
	return err;
}

int prepare_leg_create(struct work *w, unsigned i)
{
	const struct object *v;
	const char *node, *chosen;
	char volume[PATH_LEN_MAX];
	struct legs l;
	uint64_t size = 0;
	int err = 0;

	volume_path(w->t->ops[i].path, volume);
	v = catalog_get(w->n->catalog, volume);
	if (!leg_volume(w, volume, &size))
		return 0;
	if (v && volume_is_striped(v))
		err = why_set(w->why, ERR_INVAL, "%s: its legs are those of its parts: director volume move %s.0 --leg LEG, and so on", volume,
		              path_name(volume));
	else if (v && attrs_get(&w->t->ops[i].attrs, "replaces"))
		err = check_replaces(w, i, v);
	else if (v && volume_has_legs(v) && !prepare_op_on(w->t, w->t->n_ops, TXN_CREATE, volume) &&
	         legs_of(w, volume).n > copies_asked(w, v))
		err = why_set(w->why, ERR_INVAL, "%s: it has its copies; for more: director volume convert %s --copies N", volume, path_name(volume));
	if (err < 0)
		return err;
	if (attrs_get(&w->t->ops[i].attrs, "lun"))
		return lun_create(w, i);
	node = attrs_get(&w->t->ops[i].attrs, "node");
	/* Without itself: it is among those of the transaction. */
	l = legs_of(w, volume);
	for (unsigned k = 0; node && k < l.n_node; k++)
		if (l.node[k] == node)
			l.node[k] = l.node[--l.n_node];
	chosen = node ? node : choose(w, volume, &l, backstore_of(&w->t->ops[i].attrs), size);
	if (!chosen)
		return no_place(w, volume, &l, l.n, backstore_of(&w->t->ops[i].attrs), size);
	if (!node)
		attrs_set(&w->t->ops[i].attrs, "node", chosen);
	err = leg_storage(w, i, chosen, size);
	if (err == 0)
		err = named_node(w, volume, &l, chosen, backstore_of(&w->t->ops[i].attrs));
	if (err < 0)
		return err;
	prepare_placed(w, chosen, size + VOLUME_LEG_META);
	return prepare_plugin(w, i, chosen, backstore_of(&w->t->ops[i].attrs));
}

int prepare_scrub(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	const char *asked = attrs_get(&op->attrs, "scrub-asked");
	const struct object *v = asked && op->kind == TXN_SET ? catalog_get(w->n->catalog, op->path) : NULL;
	char text[24];

	if (asked && strcmp(asked, "next") == 0 && op->kind == TXN_SET && !v)
		return why_set(w->why, ERR_NOENT, "there is no volume %s; \"director volume list\" shows them", op->path);
	if (!v || v->type->id != TYPE_VOLUME || strcmp(asked, "next") != 0)
		return 0;
	if (schema_get_uint(v->type, &v->attrs, "copies") <= 1)
		return why_set(w->why, ERR_NOTSUP, "%s: it has one copy, and nothing to compare it with; director volume convert %s --copies 2 gives it "
		               "another", v->path, path_name(v->path));
	snprintf(text, sizeof(text), "%" PRIu64, schema_get_uint(v->type, &v->attrs, "scrub-asked") + 1);
	attrs_set(&op->attrs, "scrub-asked", text);
	return 0;
}
