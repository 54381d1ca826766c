/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that decide at the proposer: placement, numbers, defaults, and plugins' parameters. */
#include "cluster/prepare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/address.h"
#include "cluster/facts.h"
#include "cluster/prepare_int.h"
#include "cluster/volume.h"

#define BACKSTORE_OF_DEVICES "block"

/* ---- what the transaction does so far ---- */

const struct txn_op *prepare_op_on(const struct txn *t, unsigned upto, enum txn_op_kind kind, const char *path)
{
	for (unsigned i = 0; i < upto; i++)
		if (t->ops[i].kind == kind && strcmp(t->ops[i].path, path) == 0)
			return &t->ops[i];
	return NULL;
}

static void op_path(struct txn_op *op, const char *path)
{
	char *copy = mem_strdup(path);

	free(op->path);
	op->path = copy;
}

/* Of a large transaction all operations cannot be looked at for each of them. */
static void index_ops(struct work *w)
{
	unsigned n = w->t->n_ops;

	w->in_luns = mem_alloc((n + 1) * sizeof(*w->in_luns));
	w->in_portals = mem_alloc((n + 1) * sizeof(*w->in_portals));
	for (unsigned i = 0; i < n; i++) {
		const char *path = w->t->ops[i].path;

		if (w->t->ops[i].kind != TXN_CREATE)
			continue;
		if (strstr(path, "/luns/"))
			w->in_luns[w->n_in_luns++] = i;
		if (strstr(path, "/portals/"))
			w->in_portals[w->n_in_portals++] = i;
	}
}

/* ---- numbers ---- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static void lun_take(struct work *w, const char *number)
{
	uint64_t v;

	if (text_u64_parse(number, &v) == 0 && v <= LUN_MAX)
		w->taken[v / 8] |= (uint8_t)(1u << (v % 8));
}

/* The numbers that are taken in folder `luns`: agreed ones and those this transaction names itself. */
static void luns_load(struct work *w, const char *luns)
{
	const struct object *o = NULL;

	free(w->luns_of);
	w->luns_of = mem_strdup(luns);
	memset(w->taken, 0, sizeof(w->taken));
	while ((o = tree_child(catalog_tree(w->n->catalog), luns, o)))
		lun_take(w, path_name(o->path));
	for (unsigned i = 0; i < w->n_in_luns; i++)
		if (path_below(w->t->ops[w->in_luns[i]].path, luns))
			lun_take(w, path_name(w->t->ops[w->in_luns[i]].path));
}

static int lun_number(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	char luns[PATH_LEN_MAX], path[PATH_LEN_MAX + 8];
	unsigned lun = 0;

	path_parent(op->path, luns);
	if (!w->luns_of || strcmp(w->luns_of, luns) != 0)
		luns_load(w, luns);
	while (lun <= LUN_MAX && (w->taken[lun / 8] & (1u << (lun % 8))))
		lun++;
	if (lun > LUN_MAX)
		return why_set(w->why, ERR_LIMIT, "%s: all numbers up to %d are taken", op->path, LUN_MAX);
	snprintf(path, sizeof(path), "%s/%u", luns, lun);
	op_path(op, path);
	lun_take(w, path_name(path));
	return 0;
}

/* ---- normal form ---- */

static int normalise(struct work *w, unsigned i, const struct schema_type **type)
{
	struct txn_op *op = &w->t->ops[i];
	char path[PATH_LEN_MAX], form[ATTR_VALUE_MAX + 1];
	int err;

	if (op->kind == TXN_CREATE && ends_with(op->path, "/luns/auto")) {
		snprintf(path, sizeof(path), "%.*s0", (int)(strlen(op->path) - strlen("auto")), op->path);
		err = schema_path_normalise(path, w->level, form, type, w->why);
		if (err < 0)
			return err;
		/* The number is found below the target's normal name. */
		snprintf(path, sizeof(path), "%.*sauto", (int)(strlen(form) - 1), form);
		op_path(op, path);
		err = lun_number(w, i);
		if (err < 0)
			return err;
	}
	err = schema_path_normalise(op->path, w->level, path, type, w->why);
	if (err < 0)
		return err;
	op_path(op, path);
	for (unsigned a = 0; a < op->attrs.n; a++) {
		struct attr *at = &op->attrs.a[a];

		err = schema_attr(*type, w->level, path, at->key, at->value, form, w->why);
		if (err < 0)
			return err;
		if (strcmp(form, at->value) != 0) {
			free(at->value);
			at->value = mem_strdup(form);
		}
	}
	return 0;
}

/* ---- nodes as places ---- */

static const struct placed *placed_on(const struct work *w, const char *node)
{
	for (unsigned i = 0; i < w->n_placed; i++)
		if (strcmp(w->placed[i].node, node) == 0)
			return &w->placed[i];
	return NULL;
}

static struct placed *placed_make(struct work *w, const char *node)
{
	struct placed *p = (struct placed *)placed_on(w, node);
	char path[PATH_LEN_MAX];

	if (p)
		return p;
	snprintf(path, sizeof(path), "/nodes/%s", node);
	w->placed = mem_grow(w->placed, &w->cap_placed, w->n_placed, sizeof(*w->placed));
	p = &w->placed[w->n_placed++];
	*p = (struct placed){ .node = path_name(catalog_get(w->n->catalog, path)->path) };
	return p;
}

void prepare_placed(struct work *w, const char *node, uint64_t size)
{
	struct placed *p = placed_make(w, node);

	p->size += size;
	p->n++;
}

/* The tree is asked once per node. */
struct place prepare_place(struct work *w, const struct object *node, bool ram)
{
	struct placed *here = placed_make(w, path_name(node->path));
	struct place p;

	if (!here->known[ram]) {
		here->base[ram] = place_of(w->n, node, ram);
		here->known[ram] = true;
	}
	p = here->base[ram];
	p.agreed += here->size;
	p.holds += here->n;
	return p;
}

/*
 * File volumes are sparse, so one that is larger than what is left is not refused; one that could never
 * fit is.
 */
static int place_volume(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	const struct schema_type *type = schema_type(TYPE_VOLUME);
	const char *backstore = schema_get(type, &op->attrs, "backstore");
	uint64_t size = schema_get_uint(type, &op->attrs, "size");
	const struct object *o = NULL;
	struct place best = { 0 };
	unsigned n_nodes = 0, n_up = 0, n_able = 0;
	char text[32];

	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o))) {
		const char *name = path_name(o->path);
		struct place p;

		n_nodes++;
		if (!place_takes(w->n, o, NULL))
			continue;
		n_up++;
		if (!place_has_plugin(w->n, name, backstore))
			continue;
		n_able++;
		p = prepare_place(w, o, strcmp(backstore, "ram") == 0);
		if (size <= p.total && (!best.node || place_better(&p, &best)))
			best = p;
	}
	if (best.node) {
		attrs_set(&op->attrs, "node", best.node);
		return 0;
	}
	if (n_up == 0)
		return why_set(w->why, ERR_UNREACHABLE, "%s: none of %u nodes is up and takes volumes; \"director node list\" "
		               "shows them", op->path, n_nodes);
	if (n_able == 0)
		return why_set(w->why, ERR_NOTSUP, "%s: no node that is up has the backstore \"%s\"; \"director plugin list\" "
		               "shows what there is", op->path, backstore);
	return why_set(w->why, ERR_NOSPC, "%s: no node is large enough for %s", op->path, text_size(size, text));
}

int prepare_node(struct work *w, const char *what, const char *node, const char *backstore)
{
	char path[PATH_LEN_MAX];
	const struct object *o;

	snprintf(path, sizeof(path), "/nodes/%s", node);
	o = catalog_get(w->n->catalog, path);
	if (!o)
		return why_set(w->why, ERR_NOENT, "%s: there is no node %s; \"director node list\" shows them", what, node);
	if (strcmp(schema_get(o->type, &o->attrs, "role"), "witness") == 0)
		return why_set(w->why, ERR_INVAL, "%s: node %s is a witness and holds no volumes; use another", what, node);
	if (schema_get_bool(o->type, &o->attrs, "drain"))
		return why_set(w->why, ERR_INVAL, "%s: node %s is being drained; use another, or: director set /nodes/%s "
		               "drain=no", what, node, node);
	if (!place_has_plugin(w->n, node, backstore))
		return why_set(w->why, ERR_NOTSUP, "%s: node %s has no backstore \"%s\"; \"director plugin list\" shows what "
		               "there is", what, node, backstore);
	return 0;
}

/* ---- devices ---- */

/* No other volume may lie on the same file or device of the node. */
int prepare_path_free(struct work *w, unsigned i, const char *node, const char *path)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	const struct object *o = NULL;
	char ref[PATH_LEN_MAX];

	snprintf(ref, sizeof(ref), "/nodes/%s", node);
	while ((o = tree_referrer(t, ref, o))) {
		const char *p = attrs_get(&o->attrs, "path");

		if (p && strcmp(p, path) == 0 && !prepare_op_on(w->t, i, TXN_DELETE, o->path))
			return why_set(w->why, ERR_BUSY, "%s: %s of node %s holds volume %s already", w->t->ops[i].path, path,
			               node, path_name(o->path));
	}
	return 0;
}

int prepare_device(struct work *w, unsigned i, const char *node, const char *device, bool sized)
{
	struct txn_op *op = &w->t->ops[i];
	char path[2 * PATH_LEN_MAX], size[32];
	const struct fact *f;
	const char *used, *at;
	uint64_t bytes, block;

	snprintf(path, sizeof(path), "/nodes/%s/devices/%s", node, device);
	f = place_fact(w->n, node, path);
	at = f ? attrs_get(&f->attrs, "path") : NULL;
	if (!at)
		return why_set(w->why, ERR_NOENT, "%s: node %s reports no device %.100s; \"director device list --node %s\" "
		               "shows them", op->path, node, device, node);
	used = attrs_get(&f->attrs, "used-by");
	if (used && *used)
		return why_set(w->why, ERR_BUSY, "%s: device %.100s of node %s is in use: %.100s", op->path, device, node, used);
	attrs_set(&op->attrs, "path", at);
	if (!attrs_get(&op->attrs, "backstore"))
		attrs_set(&op->attrs, "backstore", BACKSTORE_OF_DEVICES);
	bytes = place_uint(f, "size", 0);
	block = schema_get_uint(schema_type(TYPE_VOLUME), &op->attrs, "block-size");
	if (sized && !attrs_get(&op->attrs, "size") && bytes >= block) {
		snprintf(size, sizeof(size), "%" PRIu64, bytes - bytes % block);
		attrs_set(&op->attrs, "size", size);
	}
	return 0;
}

/* ---- parameters of plugins ---- */

/*
 * What a plugin's node says of a parameter: a line "param.x" each, or in one "params" with "x:TYPE" for each. True: `x` is there, and
 * `line`, of ATTR_VALUE_MAX bytes, is what schema_param_parse wants.
 */
static bool plugin_param(const struct fact *f, const char *x, char *line)
{
	const char *p = attrs_get(&f->attrs, "params");
	char key[2 * ATTR_KEY_MAX];
	size_t n = strlen(x);

	snprintf(key, sizeof(key), "param.%s", x);
	if (attrs_get(&f->attrs, key)) {
		snprintf(line, ATTR_VALUE_MAX, "%s", attrs_get(&f->attrs, key));
		return true;
	}
	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (strncmp(p, x, n) == 0 && p[n] == ':') {
			snprintf(line, ATTR_VALUE_MAX, "%.*s", (int)strcspn(p + n + 1, " "), p + n + 1);
			return true;
		}
	return false;
}

static int plugin_unknown(struct work *w, const char *path, const char *backstore, const char *key, const struct fact *f)
{
	const char *p = attrs_get(&f->attrs, "params");
	struct buf list = { 0 };
	int err;

	for (unsigned i = 0; i < f->attrs.n; i++)
		if (strncmp(f->attrs.a[i].key, "param.", 6) == 0)
			buf_printf(&list, " p.%s", f->attrs.a[i].key + 6);
	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
		buf_printf(&list, " p.%.*s", (int)strcspn(p, ": "), p);
	err = why_set(w->why, ERR_INVAL, "%s: the backstore %s has no parameter \"%s\"; it has:%.200s", path, backstore, key,
	              list.len ? buf_str(&list) : " none");
	buf_fini(&list);
	return err;
}

/* One "p.x=value" against the line the node's plugin gives for x. */
static int plugin_value(struct work *w, const char *path, const char *backstore, const struct fact *f, struct attr *at)
{
	struct schema_param_text p;
	char line[ATTR_VALUE_MAX], form[ATTR_VALUE_MAX + 1];
	int err;

	if (!plugin_param(f, at->key + strlen(SCHEMA_PLUGIN_PREFIX), line))
		return plugin_unknown(w, path, backstore, at->key, f);
	/* A line of a form that is not known here is left to the plugin itself. */
	if (*at->value == '\0' || schema_param_parse(at->key, line, &p) < 0)
		return 0;
	err = schema_value(&p.p, path, at->value, form, w->why);
	if (err == 0 && strcmp(form, at->value) != 0) {
		free(at->value);
		at->value = mem_strdup(form);
	}
	schema_param_text_fini(&p);
	return err;
}

static int plugin_required(struct work *w, const char *path, const char *backstore, const struct fact *f,
                           const struct attrs *as)
{
	for (unsigned i = 0; i < f->attrs.n; i++) {
		const struct attr *at = &f->attrs.a[i];
		struct schema_param_text p;
		char key[2 * ATTR_KEY_MAX];
		bool missing;

		if (strncmp(at->key, "param.", 6) != 0 || schema_param_parse(at->key + 6, at->value, &p) < 0)
			continue;
		/* Some parameters of plugins are the volume's own, under their plain name: path, size. */
		snprintf(key, sizeof(key), SCHEMA_PLUGIN_PREFIX "%s", at->key + 6);
		missing = (p.p.flags & PARAM_REQUIRED) && !attrs_get(as, key) && !schema_param(schema_type(TYPE_VOLUME), at->key + 6);
		schema_param_text_fini(&p);
		if (missing)
			return why_set(w->why, ERR_INVAL, "%s: the backstore %s needs %s; add %s=…", path, backstore, key, key);
	}
	return 0;
}

static const struct fact *plugin_fact(const struct work *w, const char *node, const char *backstore)
{
	char path[PATH_LEN_MAX];

	snprintf(path, sizeof(path), "/plugins/%s", backstore);
	return place_fact(w->n, node, path);
}

int prepare_plugin_values(struct work *w, unsigned i, const char *node, const char *backstore)
{
	const struct fact *f = plugin_fact(w, node, backstore);
	struct txn_op *op = &w->t->ops[i];
	int err = 0;

	for (unsigned k = 0; f && err == 0 && k < op->attrs.n; k++)
		if (strncmp(op->attrs.a[k].key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0)
			err = plugin_value(w, op->path, backstore, f, &op->attrs.a[k]);
	return err;
}

int prepare_plugin(struct work *w, unsigned i, const char *node, const char *backstore)
{
	const struct fact *f = plugin_fact(w, node, backstore);
	int err = prepare_plugin_values(w, i, node, backstore);

	/* A file is made by the node itself, a device is not. */
	if (err == 0 && w->t->ops[i].kind == TXN_CREATE && strcmp(backstore, "block") == 0 && !attrs_get(&w->t->ops[i].attrs, "path"))
		return why_set(w->why, ERR_INVAL, "%s: which device of node %s? Add device=DEVICE; \"director device list --node %s\" shows them",
		               w->t->ops[i].path, node, node);
	if (f && err == 0 && w->t->ops[i].kind == TXN_CREATE)
		err = plugin_required(w, w->t->ops[i].path, backstore, f, &w->t->ops[i].attrs);
	return err;
}

/* ---- one operation ---- */

static int volume_create(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	const char *node = attrs_get(&op->attrs, "node"), *device = attrs_get(&op->attrs, "device"), *path;
	int err;

	if (device && !node)
		return why_set(w->why, ERR_INVAL, "%s: device=%.100s needs node= too; \"director device list\" shows both",
		               op->path, device);
	err = device ? prepare_device(w, i, node, device, true) : 0;
	if (err < 0)
		return err;
	path = attrs_get(&op->attrs, "path");
	if (path && !node)
		return why_set(w->why, ERR_INVAL, "%s: path=%.100s needs node= too: whose file is it?", op->path, path);
	err = node ? prepare_node(w, op->path, node, schema_get(schema_type(TYPE_VOLUME), &op->attrs, "backstore")) : place_volume(w, i);
	node = attrs_get(&op->attrs, "node");
	if (err == 0 && path)
		err = prepare_path_free(w, i, node, path);
	if (err < 0)
		return err;
	prepare_placed(w, node, schema_get_uint(schema_type(TYPE_VOLUME), &op->attrs, "size"));
	return prepare_plugin(w, i, node, schema_get(schema_type(TYPE_VOLUME), &op->attrs, "backstore"));
}

static int volume_set(struct work *w, unsigned i, const char *on)
{
	const struct object *o = catalog_get(w->n->catalog, w->t->ops[i].path);

	if (!o)
		return 0;
	if (attrs_get(&o->attrs, "copies") || attrs_get(&w->t->ops[i].attrs, "copies"))
		return prepare_copies_set(w, i, on);
	if (attrs_get(&w->t->ops[i].attrs, "want"))
		return why_set(w->why, ERR_NOTSUP, "%s: it was made without --copies: its data is on node %s alone, which serves it; first: director volume "
		               "convert %s --copies 2", o->path, attrs_get(&o->attrs, "node"), path_name(o->path));
	return prepare_plugin(w, i, attrs_get(&o->attrs, "node"), schema_get(o->type, &o->attrs, "backstore"));
}

/* ---- the portal that a target gets by itself ---- */

static const char *portal_of_new(struct work *w)
{
	const struct object *cluster = catalog_get(w->n->catalog, "/cluster");
	static const struct attrs none;

	if (!w->portal)
		w->portal = mem_strdup(schema_get(schema_type(TYPE_CLUSTER), cluster ? &cluster->attrs : &none, "portal"));
	return w->portal;
}

static void target_portal(struct work *w, unsigned i)
{
	char folder[PATH_LEN_MAX + 16], path[2 * PATH_LEN_MAX];
	bool named = false;

	snprintf(folder, sizeof(folder), "%s/portals", w->t->ops[i].path);
	for (unsigned k = 0; k < w->n_in_portals && !named; k++)
		named = path_below(w->t->ops[w->in_portals[k]].path, folder);
	snprintf(path, sizeof(path), "%s/%s", folder, portal_of_new(w));
	w->own = mem_grow(w->own, &w->cap_own, w->n_own, sizeof(*w->own));
	w->own[w->n_own++] = (struct own_portal){ .path = mem_strdup(path), .made = named ? 0 : w->t->n_ops };
	if (!named)
		txn_add(w->t, TXN_CREATE, path);
}

static void drop(struct work *w, unsigned i)
{
	w->drop = mem_grow(w->drop, &w->cap_drop, w->n_drop, sizeof(*w->drop));
	w->drop[w->n_drop++] = i;
}

/*
 * The portal that a target of this transaction got by itself is deleted: the target is created without it. So it is when the
 * transaction names another one, and it was not even made: commands that work one by one work together too.
 */
static void portal_delete(struct work *w, unsigned i)
{
	const char *path = w->t->ops[i].path;

	for (unsigned k = w->n_own; k > 0; k--) {
		struct own_portal *own = &w->own[k - 1];

		if (strcmp(own->path, path) != 0 || prepare_op_on(w->t, i, TXN_CREATE, path))
			continue;
		drop(w, i);
		if (own->made)
			drop(w, own->made);
		free(own->path);
		*own = w->own[--w->n_own];
		return;
	}
}

static int by_number(const void *a, const void *b)
{
	return (*(const unsigned *)a > *(const unsigned *)b) - (*(const unsigned *)a < *(const unsigned *)b);
}

static void drop_all(struct work *w)
{
	struct txn *t = w->t;
	unsigned kept = 0, at = 0;

	if (!w->n_drop)
		return;
	qsort(w->drop, w->n_drop, sizeof(*w->drop), by_number);
	for (unsigned i = 0; i < t->n_ops; i++) {
		if (at < w->n_drop && w->drop[at] == i) {
			at++;
			free(t->ops[i].path);
			attrs_fini(&t->ops[i].attrs);
		} else {
			t->ops[kept++] = t->ops[i];
		}
	}
	t->n_ops = kept;
}

static void work_fini(struct work *w)
{
	for (unsigned i = 0; i < w->n_own; i++)
		free(w->own[i].path);
	free(w->own);
	free(w->drop);
	free(w->portal);
	free(w->placed);
	free(w->luns_of);
	free(w->in_luns);
	free(w->in_portals);
}

/* Every member must know a schema level before it is raised: one that does not would judge differently. */
static int check_level(struct work *w, const struct txn_op *op)
{
	const char *v = attrs_get(&op->attrs, "level");
	const struct object *o = NULL;
	uint64_t level;

	if (!v || text_u64_parse(v, &level) < 0 || level <= 1)
		return 0;
	if (level > SCHEMA_LEVEL)
		return why_set(w->why, ERR_VERSION, "/cluster: level=%" PRIu64 " is not known to this version (%d is)", level,
		               SCHEMA_LEVEL);
	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o)))
		if (place_uint(place_fact(w->n, path_name(o->path), o->path), "schema-level", 1) < level)
			return why_set(w->why, ERR_VERSION, "/cluster: node %s does not know level=%" PRIu64 "; upgrade it first",
			               path_name(o->path), level);
	return 0;
}

static int cluster_set(struct work *w, const struct txn_op *op)
{
	const char *portal = attrs_get(&op->attrs, "portal");

	/* Targets that the transaction creates from here on get this one. */
	if (portal) {
		free(w->portal);
		w->portal = mem_strdup(*portal ? portal : schema_param(schema_type(TYPE_CLUSTER), "portal")->value);
	}
	return check_level(w, op);
}

/* A shard is reached through what it is a part of. */
static int lun_create(struct work *w, unsigned i)
{
	const char *name = attrs_get(&w->t->ops[i].attrs, "volume"), *of;
	char path[PATH_LEN_MAX];
	const struct object *v;

	snprintf(path, sizeof(path), "/volumes/%s", name ? name : "");
	v = catalog_get(w->n->catalog, path);
	of = v ? attrs_get(&v->attrs, "part-of") : NULL;
	return of ? why_set(w->why, ERR_INVAL, "%s: volume %s is a part of %s; use that", w->t->ops[i].path, name, of) : 0;
}

/* An address of a node stays there; it is no floating one. That no two targets have one is judged when it is agreed. */
static int address_create(struct work *w, unsigned i)
{
	const char *path = w->t->ops[i].path;
	const struct object *o = NULL;
	struct addr ip, own;
	unsigned prefix;

	if (address_parse(path_name(path), &ip, &prefix) < 0)
		return 0;
	while ((o = tree_child(catalog_tree(w->n->catalog), "/nodes", o))) {
		const struct fact *f = place_fact(w->n, path_name(o->path), o->path);
		const char *list = f ? attrs_get(&f->attrs, "addresses") : NULL;
		char text[64];

		for (; list && *list; list += strcspn(list, " "), list += strspn(list, " ")) {
			snprintf(text, sizeof(text), "%.*s", (int)(strcspn(list, " ") < 63 ? strcspn(list, " ") : 63), list);
			if (addr_parse(text, 0, &own) < 0)
				continue;
			own.port = 0;
			if (addr_eq(&own, &ip))
				return why_set(w->why, ERR_EXIST, "%s: this is the address of node %s itself; take one that no machine has",
				               path, path_name(o->path));
		}
	}
	return 0;
}

static int prepare_create(struct work *w, unsigned i, enum schema_type_id type, const char *on)
{
	switch (type) {
	case TYPE_VOLUME:
		return attrs_get(&w->t->ops[i].attrs, "copies") ? prepare_copies_create(w, i, on) : volume_create(w, i);
	case TYPE_LEG:
		return prepare_leg_create(w, i);
	case TYPE_LUN:
		return lun_create(w, i);
	case TYPE_ADDRESS:
		return address_create(w, i);
	case TYPE_TARGET:
		target_portal(w, i);
		return 0;
	default:
		return 0;
	}
}

/* Nobody should learn that a name was mistyped when a node has to be switched off. Which node will do that nobody knows: any may have it. */
static int node_fence(struct work *w, unsigned i, const char *plugin)
{
	const char *last = "";
	struct buf known = { 0 };
	bool reports = false;
	int err = 0;

	for (const struct fact *f = facts_first(w->n->facts, "/plugins/"); f && path_below(f->path, "/plugins"); f = facts_next(w->n->facts, f)) {
		const char *kind = attrs_get(&f->attrs, "kind"), *name = path_name(f->path);

		reports = true;
		if (!kind || strcmp(kind, "fence") != 0)
			continue;
		if (strcmp(name, plugin) == 0) {
			buf_fini(&known);
			return 0;
		}
		if (strcmp(name, last) != 0)
			buf_printf(&known, "%s%s", known.len ? ", " : "", name);
		last = name;
	}
	if (reports)
		err = why_set(w->why, ERR_NOTSUP, "%s: no node has a fence plugin \"%s\"; there is: %.200s. Install it on a node first, where "
		              "\"director plugin list\" then shows it", w->t->ops[i].path, plugin, known.len ? buf_str(&known) : "none");
	buf_fini(&known);
	return err;
}

/* A witness holds no volumes: what is there goes first. */
static int node_role(struct work *w, unsigned i)
{
	const struct txn_op *op = &w->t->ops[i];
	const char *role = attrs_get(&op->attrs, "role");
	const struct tree *tree = catalog_tree(w->n->catalog);
	const struct object *node = tree_get(tree, op->path), *there = tree_referrer(tree, op->path, NULL);

	if (!role || strcmp(role, "witness") != 0 || !node || !there || strcmp(schema_get(node->type, &node->attrs, "role"), role) == 0)
		return 0;
	return why_set(w->why, ERR_BUSY, "%s: a witness holds no volumes, and %s is there; first: director node drain %s", op->path, there->path,
	               path_name(op->path));
}

static int node_set(struct work *w, unsigned i)
{
	struct attrs *as = &w->t->ops[i].attrs;
	const char *fence = attrs_get(as, "fence");
	int err = fence && *fence ? node_fence(w, i, fence) : 0;

	/* They are the plugin's, and of no use without it. */
	if (fence && !*fence && !attrs_get(as, "fence-options"))
		attrs_set(as, "fence-options", "");

	return err ? err : node_role(w, i);
}

static int prepare_op(struct work *w, unsigned i)
{
	const struct schema_type *type;
	char *on = prepare_is_copies(w, &w->t->ops[i]) ? prepare_take_on(&w->t->ops[i]) : NULL;
	int err = ends_with(w->t->ops[i].path, "/legs/auto") ? prepare_leg_name(w, i) : 0;

	if (err == 0)
		err = prepare_scrub(w, i);
	if (err == 0)
		err = normalise(w, i, &type);
	if (err == 0 && type->id == TYPE_CLUSTER && w->t->ops[i].kind != TXN_DELETE)
		err = cluster_set(w, &w->t->ops[i]);
	else if (err == 0 && w->t->ops[i].kind == TXN_CREATE)
		err = prepare_create(w, i, type->id, on);
	else if (err == 0 && type->id == TYPE_NODE)
		err = w->t->ops[i].kind == TXN_SET ? node_set(w, i) : 0;
	else if (err == 0 && type->id == TYPE_LEG)
		err = w->t->ops[i].kind == TXN_DELETE ? prepare_leg_delete(w, i) : prepare_leg_set(w, i);
	else if (err == 0 && type->id == TYPE_PORTAL && w->t->ops[i].kind == TXN_DELETE)
		portal_delete(w, i);
	else if (err == 0 && type->id == TYPE_VOLUME)
		err = w->t->ops[i].kind == TXN_SET ? volume_set(w, i, on) : prepare_copies_delete(w, i);
	free(on);
	return err;
}

int catalog_prepare(const struct names *n, struct txn *t, struct mono now, struct why *why)
{
	struct work w = { .n = n, .t = t, .level = catalog_level(n->catalog), .why = why };
	int err = 0;

	(void)now;
	if (why)
		why->text[0] = '\0';
	if (t->n_ops > TXN_OPS_MAX)
		return why_set(why, ERR_LIMIT, "the transaction has %u operations, the most is %d", t->n_ops, TXN_OPS_MAX);
	index_ops(&w);
	/* Operations that are added on the way stand at the end and are in their final form already. */
	for (unsigned i = 0, given = t->n_ops; err == 0 && i < given; i++)
		err = prepare_op(&w, i);
	if (err == 0)
		drop_all(&w);
	work_fini(&w);
	return err;
}
