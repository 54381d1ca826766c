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
#include "cluster/facts.h"
#include "cluster/names_int.h"

#define LUN_MAX 16383
#define BACKSTORE_OF_DEVICES "block"

/* What this transaction has placed on a node so far. */
struct placed {
	const char *node;               /* lent by the tree */
	uint64_t size;
	unsigned n;
};

struct work {
	const struct names *n;
	struct txn *t;
	unsigned level;
	struct why *why;
	struct placed *placed;
	unsigned n_placed, cap_placed;
	char *luns_of;                  /* the folder whose taken numbers are in `taken` */
	uint8_t taken[(LUN_MAX + 1) / 8];
};

/* ---- what the transaction does so far ---- */

static const struct txn_op *op_on(const struct txn *t, unsigned upto, enum txn_op_kind kind, const char *path)
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
	for (unsigned i = 0; i < w->t->n_ops; i++)
		if (w->t->ops[i].kind == TXN_CREATE && path_below(w->t->ops[i].path, luns))
			lun_take(w, path_name(w->t->ops[i].path));
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

static uint64_t fact_uint(const struct fact *f, const char *key, uint64_t if_unset)
{
	const char *v = f ? attrs_get(&f->attrs, key) : NULL;
	uint64_t n;

	return v && text_u64_parse(v, &n) == 0 ? n : if_unset;
}

static const struct fact *node_fact(const struct work *w, const char *node, const char *path)
{
	const struct names_node *nd = names_node_by_name(w->n, node);

	return nd ? facts_get(w->n->facts, &nd->id, path) : NULL;
}

/* Does the node have the plugin? A node that reports no plugin at all is not judged. */
static bool has_plugin(const struct work *w, const char *node, const char *plugin)
{
	const struct names_node *nd = names_node_by_name(w->n, node);
	char path[PATH_LEN_MAX];
	const struct fact *f;
	const char *state;

	if (!nd)
		return true;
	snprintf(path, sizeof(path), "/plugins/%s", plugin);
	f = facts_get(w->n->facts, &nd->id, path);
	state = f ? attrs_get(&f->attrs, "state") : NULL;
	if (f)
		return !state || strcmp(state, "ready") == 0;
	for (f = facts_first(w->n->facts, "/plugins/"); f && path_below(f->path, "/plugins"); f = facts_next(w->n->facts, f))
		if (node_id_eq(&f->node, &nd->id))
			return false;
	return true;
}

static const struct placed *placed_on(const struct work *w, const char *node)
{
	for (unsigned i = 0; i < w->n_placed; i++)
		if (strcmp(w->placed[i].node, node) == 0)
			return &w->placed[i];
	return NULL;
}

static void placed_add(struct work *w, const char *node, uint64_t size)
{
	struct placed *p = (struct placed *)placed_on(w, node);
	char path[PATH_LEN_MAX];

	if (!p) {
		snprintf(path, sizeof(path), "/nodes/%s", node);
		w->placed = mem_grow(w->placed, &w->cap_placed, w->n_placed, sizeof(*w->placed));
		p = &w->placed[w->n_placed++];
		*p = (struct placed){ .node = path_name(catalog_get(w->n->catalog, path)->path) };
	}
	p->size += size;
	p->n++;
}

struct place {
	const char *node;
	uint64_t total;                 /* bytes; UINT64_MAX: not reported */
	uint64_t left;                  /* after all that is agreed for it, and not more than is free */
	unsigned volumes;
};

static struct place place_of(const struct work *w, const struct object *node, bool ram)
{
	const char *name = path_name(node->path);
	const struct fact *f = node_fact(w, name, node->path);
	uint64_t agreed, free_now = fact_uint(f, ram ? "memory-free" : "space-free", UINT64_MAX);
	struct place p = { .node = name, .total = fact_uint(f, ram ? "memory-total" : "space-total", UINT64_MAX) };
	const struct placed *here = placed_on(w, name);

	p.volumes = tree_referrers(catalog_tree(w->n->catalog), node->path, &agreed) + (here ? here->n : 0);
	agreed += here ? here->size : 0;
	p.left = p.total > agreed ? p.total - agreed : 0;
	if (p.left > free_now)
		p.left = free_now;
	return p;
}

/* More space left, then fewer volumes; equals keep their order, which is by name. */
static bool better(const struct place *a, const struct place *b)
{
	if (a->left != b->left)
		return a->left > b->left;
	return a->volumes < b->volumes;
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
		if (names_node_state(w->n, name) != NODE_ALIVE || schema_get_bool(o->type, &o->attrs, "drain") ||
		    strcmp(schema_get(o->type, &o->attrs, "role"), "witness") == 0)
			continue;
		n_up++;
		if (!has_plugin(w, name, backstore))
			continue;
		n_able++;
		p = place_of(w, o, strcmp(backstore, "ram") == 0);
		if (size <= p.total && (!best.node || better(&p, &best)))
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

static int check_node(struct work *w, const struct txn_op *op, const char *node)
{
	const char *backstore = schema_get(schema_type(TYPE_VOLUME), &op->attrs, "backstore");
	char path[PATH_LEN_MAX];
	const struct object *o;

	snprintf(path, sizeof(path), "/nodes/%s", node);
	o = catalog_get(w->n->catalog, path);
	if (!o)
		return why_set(w->why, ERR_NOENT, "%s: there is no node %s; \"director node list\" shows them", op->path, node);
	if (strcmp(schema_get(o->type, &o->attrs, "role"), "witness") == 0)
		return why_set(w->why, ERR_INVAL, "%s: node %s is a witness and holds no volumes; use another", op->path, node);
	if (schema_get_bool(o->type, &o->attrs, "drain"))
		return why_set(w->why, ERR_INVAL, "%s: node %s is being drained; use another, or: director set /nodes/%s "
		               "drain=no", op->path, node, node);
	if (!has_plugin(w, node, backstore))
		return why_set(w->why, ERR_NOTSUP, "%s: node %s has no backstore \"%s\"; \"director plugin list\" shows what "
		               "there is", op->path, node, backstore);
	return 0;
}

/* ---- devices ---- */

/* No other volume may lie on the same file or device of the node. */
static int check_path_free(struct work *w, unsigned i, const char *node, const char *path)
{
	const struct tree *t = catalog_tree(w->n->catalog);
	const struct object *o = NULL;
	char ref[PATH_LEN_MAX];

	snprintf(ref, sizeof(ref), "/nodes/%s", node);
	while ((o = tree_referrer(t, ref, o))) {
		const char *p = attrs_get(&o->attrs, "path");

		if (p && strcmp(p, path) == 0 && !op_on(w->t, i, TXN_DELETE, o->path))
			return why_set(w->why, ERR_BUSY, "%s: %s of node %s holds volume %s already", w->t->ops[i].path, path,
			               node, path_name(o->path));
	}
	return 0;
}

static int use_device(struct work *w, unsigned i, const char *node, const char *device)
{
	struct txn_op *op = &w->t->ops[i];
	char path[2 * PATH_LEN_MAX], size[32];
	const struct fact *f;
	const char *used, *at;
	uint64_t bytes, block;

	snprintf(path, sizeof(path), "/nodes/%s/devices/%s", node, device);
	f = node_fact(w, node, path);
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
	bytes = fact_uint(f, "size", 0);
	block = schema_get_uint(schema_type(TYPE_VOLUME), &op->attrs, "block-size");
	if (!attrs_get(&op->attrs, "size") && bytes >= block) {
		snprintf(size, sizeof(size), "%" PRIu64, bytes - bytes % block);
		attrs_set(&op->attrs, "size", size);
	}
	return 0;
}

/* ---- parameters of plugins ---- */

static int plugin_unknown(struct work *w, const char *path, const char *backstore, const char *key, const struct fact *f)
{
	struct buf list = { 0 };
	int err;

	for (unsigned i = 0; i < f->attrs.n; i++)
		if (strncmp(f->attrs.a[i].key, "param.", 6) == 0)
			buf_printf(&list, " p.%s", f->attrs.a[i].key + 6);
	err = why_set(w->why, ERR_INVAL, "%s: the backstore %s has no parameter \"%s\"; it has:%.200s", path, backstore, key,
	              list.len ? buf_str(&list) : " none");
	buf_fini(&list);
	return err;
}

/* One "p.x=value" against the line the node's plugin gives for x. */
static int plugin_value(struct work *w, const char *path, const char *backstore, const struct fact *f, struct attr *at)
{
	struct schema_param_text p;
	char key[2 * ATTR_KEY_MAX], form[ATTR_VALUE_MAX + 1];
	const char *line;
	int err;

	snprintf(key, sizeof(key), "param.%s", at->key + strlen(SCHEMA_PLUGIN_PREFIX));
	line = attrs_get(&f->attrs, key);
	if (!line)
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

static int plugin_params(struct work *w, struct txn_op *op, const char *node, const char *backstore)
{
	char path[PATH_LEN_MAX];
	const struct fact *f;
	int err = 0;

	snprintf(path, sizeof(path), "/plugins/%s", backstore);
	f = node_fact(w, node, path);
	if (!f)
		return 0;
	for (unsigned i = 0; err == 0 && i < op->attrs.n; i++)
		if (strncmp(op->attrs.a[i].key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0)
			err = plugin_value(w, op->path, backstore, f, &op->attrs.a[i]);
	if (err == 0 && op->kind == TXN_CREATE)
		err = plugin_required(w, op->path, backstore, f, &op->attrs);
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
	err = device ? use_device(w, i, node, device) : 0;
	if (err < 0)
		return err;
	path = attrs_get(&op->attrs, "path");
	if (path && !node)
		return why_set(w->why, ERR_INVAL, "%s: path=%.100s needs node= too: whose file is it?", op->path, path);
	err = node ? check_node(w, op, node) : place_volume(w, i);
	node = attrs_get(&op->attrs, "node");
	if (err == 0 && path)
		err = check_path_free(w, i, node, path);
	if (err < 0)
		return err;
	placed_add(w, node, schema_get_uint(schema_type(TYPE_VOLUME), &op->attrs, "size"));
	return plugin_params(w, op, node, schema_get(schema_type(TYPE_VOLUME), &op->attrs, "backstore"));
}

static int volume_set(struct work *w, unsigned i)
{
	struct txn_op *op = &w->t->ops[i];
	const struct object *o = catalog_get(w->n->catalog, op->path);

	if (!o)
		return 0;
	return plugin_params(w, op, attrs_get(&o->attrs, "node"), schema_get(o->type, &o->attrs, "backstore"));
}

static void target_portal(struct work *w, unsigned i)
{
	const struct object *cluster = catalog_get(w->n->catalog, "/cluster");
	const struct schema_type *type = schema_type(TYPE_CLUSTER);
	static const struct attrs none;
	char folder[PATH_LEN_MAX + 16], path[2 * PATH_LEN_MAX];

	snprintf(folder, sizeof(folder), "%s/portals", w->t->ops[i].path);
	for (unsigned k = 0; k < w->t->n_ops; k++)
		if (w->t->ops[k].kind == TXN_CREATE && path_below(w->t->ops[k].path, folder))
			return;
	snprintf(path, sizeof(path), "%s/%s", folder, schema_get(type, cluster ? &cluster->attrs : &none, "portal"));
	txn_add(w->t, TXN_CREATE, path);
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
		if (fact_uint(node_fact(w, path_name(o->path), o->path), "schema-level", 1) < level)
			return why_set(w->why, ERR_VERSION, "/cluster: node %s does not know level=%" PRIu64 "; upgrade it first",
			               path_name(o->path), level);
	return 0;
}

static int prepare_op(struct work *w, unsigned i)
{
	const struct schema_type *type;
	int err = normalise(w, i, &type);
	struct txn_op *op = &w->t->ops[i];

	if (err < 0)
		return err;
	if (type->id == TYPE_VOLUME && op->kind == TXN_CREATE)
		return volume_create(w, i);
	if (type->id == TYPE_VOLUME && op->kind == TXN_SET)
		return volume_set(w, i);
	if (type->id == TYPE_CLUSTER && op->kind != TXN_DELETE)
		return check_level(w, op);
	if (type->id == TYPE_TARGET && op->kind == TXN_CREATE)
		target_portal(w, i);
	return 0;
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
	/* Operations that are added on the way stand at the end and are in their final form already. */
	for (unsigned i = 0, given = t->n_ops; err == 0 && i < given; i++)
		err = prepare_op(&w, i);
	free(w.placed);
	free(w.luns_of);
	return err;
}
