/* SPDX-License-Identifier: Apache-2.0 */
/* The joined view: one path, one walk, the nodes and the events. What follows from both sides is in names_status.c. */
#include "cluster/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/facts.h"
#include "cluster/names_int.h"

struct names *names_new(const struct catalog *c, const struct facts *f)
{
	struct names *n = mem_zalloc(sizeof(*n));

	n->catalog = c;
	n->facts = f;
	return n;
}

void names_free(struct names **np)
{
	struct names *n = *np;

	if (!n)
		return;
	for (unsigned i = 0; i < n->n_nodes; i++)
		free(n->nodes[i].name);
	free(n->nodes);
	for (unsigned i = 0; i < NAMES_EVENTS_MAX && n->events; i++)
		free(n->events[i].path);
	free(n->events);
	free(n);
	*np = NULL;
}

/* ---- events ---- */

static void event(struct names *n, enum names_event_kind kind, const char *path, uint64_t index,
                  const struct node_id *node)
{
	struct names_event *e;

	if (!n->events)
		n->events = mem_zalloc(NAMES_EVENTS_MAX * sizeof(*n->events));
	n->seq++;
	e = &n->events[n->seq % NAMES_EVENTS_MAX];
	free(e->path);
	*e = (struct names_event){ .seq = n->seq, .kind = kind, .path = mem_strdup(path), .index = index };
	if (node)
		e->node = *node;
}

uint64_t names_seq(const struct names *n)
{
	return n->seq;
}

const struct names_event *names_changes_since(const struct names *n, uint64_t seq, bool *gap)
{
	*gap = seq > n->seq || n->seq - seq > NAMES_EVENTS_MAX;
	if (*gap || seq == n->seq)
		return NULL;
	return &n->events[(seq + 1) % NAMES_EVENTS_MAX];
}

void names_catalog(struct names *n, const struct catalog *c)
{
	n->catalog = c;
	event(n, EVENT_RESET, "/", catalog_applied(c), NULL);
}

void names_committed(struct names *n, const struct catalog_result *r)
{
	static const enum names_event_kind kinds[] = {
		[CHANGE_CREATED] = EVENT_CREATED, [CHANGE_SET] = EVENT_SET, [CHANGE_DELETED] = EVENT_DELETED,
	};

	for (unsigned i = 0; i < r->n_changes; i++)
		event(n, kinds[r->changes[i].kind], r->changes[i].path, r->index, NULL);
}

void names_fact_changed(struct names *n, const struct fact *f)
{
	event(n, f->deleted ? EVENT_GONE : EVENT_OBSERVED, f->path, 0, &f->node);
}

/* ---- nodes ---- */

static struct names_node *node_find(const struct names *n, const struct node_id *id)
{
	unsigned lo = 0, hi = n->n_nodes;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int d = node_id_cmp(id, &n->nodes[mid].id);

		if (d == 0)
			return &n->nodes[mid];
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static struct names_node *node_add(struct names *n, const struct node_id *id)
{
	unsigned i = n->n_nodes;

	n->nodes = mem_grow(n->nodes, &n->cap_nodes, n->n_nodes, sizeof(*n->nodes));
	for (; i > 0 && node_id_cmp(&n->nodes[i - 1].id, id) > 0; i--)
		n->nodes[i] = n->nodes[i - 1];
	n->nodes[i] = (struct names_node){ .id = *id };
	n->n_nodes++;
	return &n->nodes[i];
}

static void node_event(struct names *n, const char *name, const struct node_id *id)
{
	char path[PATH_LEN_MAX];

	snprintf(path, sizeof(path), "/nodes/%s", name);
	event(n, EVENT_NODE, path, 0, id);
}

void names_node(struct names *n, const struct node_id *id, const char *name, enum names_node_state state,
                struct mono heard)
{
	struct names_node *nd = node_find(n, id);
	bool news = !nd || nd->state != state || strcmp(nd->name, name) != 0;

	if (!nd)
		nd = node_add(n, id);
	nd->heard = heard;
	if (!news)
		return;
	if (nd->name && strcmp(nd->name, name) != 0)
		node_event(n, nd->name, id);
	nd->state = state;
	free(nd->name);
	nd->name = mem_strdup(name);
	node_event(n, name, id);
}

void names_node_gone(struct names *n, const struct node_id *id)
{
	struct names_node *nd = node_find(n, id);

	if (!nd)
		return;
	node_event(n, nd->name, id);
	free(nd->name);
	n->n_nodes--;
	memmove(nd, nd + 1, (size_t)(n->nodes + n->n_nodes - nd) * sizeof(*nd));
}

/*
 * A node by name: the agreed object says whose the name is. Two machines may claim one name (a clone);
 * a name that is not agreed goes to the lowest id that claims it.
 */
const struct names_node *names_node_by_name(const struct names *n, const char *name)
{
	char path[PATH_LEN_MAX];
	const struct object *o;
	const char *text;
	struct node_id id;

	snprintf(path, sizeof(path), "/nodes/%s", name);
	o = catalog_get(n->catalog, path);
	text = o ? attrs_get(&o->attrs, "id") : NULL;
	if (text && node_id_parse(text, &id) == 0)
		return node_find(n, &id);
	for (unsigned i = 0; i < n->n_nodes; i++)
		if (strcmp(n->nodes[i].name, name) == 0)
			return &n->nodes[i];
	return NULL;
}

const char *names_node_name(const struct names *n, const struct node_id *id)
{
	char text[33];
	const struct object *o = tree_holder(catalog_tree(n->catalog), schema_type(TYPE_NODE), "id",
	                                     node_id_text(id, text));
	const struct names_node *nd = o ? NULL : node_find(n, id);

	return o ? path_name(o->path) : nd ? nd->name : NULL;
}

const struct node_id *names_node_id(const struct names *n, const char *name)
{
	const struct names_node *nd = names_node_by_name(n, name);

	return nd ? &nd->id : NULL;
}

enum names_node_state names_node_state(const struct names *n, const char *name)
{
	const struct names_node *nd = names_node_by_name(n, name);

	return nd ? nd->state : 0;
}

/* ---- one path ---- */

void names_entry_fini(struct names_entry *e)
{
	free(e->facts);
	attrs_fini(&e->derived);
	*e = (struct names_entry){ 0 };
}

static void entry_reset(struct names_entry *e, const char *path)
{
	attrs_fini(&e->derived);
	snprintf(e->path, sizeof(e->path), "%s", path);
	e->type = schema_type_of(path);
	e->desired = NULL;
	e->n_facts = 0;
	e->status = STATUS_OBSERVED;
	e->reason.text[0] = '\0';
}

static void entry_facts(const struct names *n, struct names_entry *e, struct mono now)
{
	for (const struct fact *f = facts_first(n->facts, e->path); f && strcmp(f->path, e->path) == 0;
	     f = facts_next(n->facts, f)) {
		const struct names_node *nd = node_find(n, &f->node);

		e->facts = mem_grow(e->facts, &e->cap, e->n_facts, sizeof(*e->facts));
		e->facts[e->n_facts++] = (struct names_fact){
			.node = f->node, .node_name = names_node_name(n, &f->node), .attrs = &f->attrs,
			.age_ms = nd && nd->state != NODE_ALIVE ? mono_ms_between(nd->heard, now) : 0,
		};
	}
}

int names_get(const struct names *n, const char *path, struct mono now, struct names_entry *e)
{
	bool derived;

	entry_reset(e, path);
	if (!path_ok(path))
		return ERR_NOENT;
	e->desired = catalog_get(n->catalog, path);
	entry_facts(n, e, now);
	derived = names_derive(n, now, e);
	if (e->desired || e->n_facts || derived)
		return 0;
	if (e->type || !schema_is_folder(path))
		return ERR_NOENT;
	/* A folder below an object is there when the object is. */
	if (path_depth(path) == 3) {
		struct names_entry up = { 0 };
		char parent[PATH_LEN_MAX];
		int err;

		path_parent(path, parent);
		err = names_get(n, parent, now, &up);
		names_entry_fini(&up);
		return err;
	}
	return 0;
}

const char *names_value(const struct names_entry *e, const char *key)
{
	const struct schema_param *p = e->type ? schema_param(e->type, key) : NULL;
	const char *v = attrs_get(&e->derived, key);

	for (unsigned i = 0; !v && i < e->n_facts; i++)
		v = attrs_get(e->facts[i].attrs, key);
	if (!v && e->desired)
		v = attrs_get(&e->desired->attrs, key);
	return v ? v : p && !(p->flags & PARAM_OBSERVED) && e->desired ? p->value : NULL;
}

/* ---- children ---- */

/* Keep the smaller of *best and a candidate that is greater than `after`. */
static void offer(const char *name, size_t len, const char *after, char *best, bool *any)
{
	char cut[PATH_LEN_MAX];

	snprintf(cut, sizeof(cut), "%.*s", (int)len, name);
	if ((after && strcmp(cut, after) <= 0) || (*any && strcmp(cut, best) >= 0))
		return;
	memcpy(best, cut, strlen(cut) + 1);
	*any = true;
}

static void offer_agreed(const struct names *n, const char *path, const char *after, char *best, bool *any)
{
	const struct tree *t = catalog_tree(n->catalog);
	size_t len = strcmp(path, "/") == 0 ? 0 : strlen(path);
	char key[2 * PATH_LEN_MAX];
	const struct object *o;

	/* \002 sorts behind '/' and before all that names hold: past the child and all below it. */
	snprintf(key, sizeof(key), "%.*s/%s%s", (int)len, path, after ? after : "", after ? "\002" : "");
	o = tree_first(t, key);
	if (o && path_below(o->path, path) && o->path[len] == '/')
		offer(o->path + len + 1, strcspn(o->path + len + 1, "/"), after, best, any);
}

/*
 * Facts are ordered bytewise, where "/a-b" stands between "/a" and "/a/x": what is below a name that was
 * given out already is met again and stepped over.
 */
static void offer_facts(const struct names *n, const char *path, const char *after, char *best, bool *any)
{
	size_t len = strcmp(path, "/") == 0 ? 0 : strlen(path);
	char key[2 * PATH_LEN_MAX];

	snprintf(key, sizeof(key), "%.*s/%s%s", (int)len, path, after ? after : "", after ? "\001" : "");
	for (;;) {
		const struct fact *f = facts_first(n->facts, key);
		char name[PATH_LEN_MAX];
		size_t cut;

		if (!f || !path_below(f->path, path))
			return;
		cut = strcspn(f->path + len + 1, "/");
		snprintf(name, sizeof(name), "%.*s", (int)cut, f->path + len + 1);
		if (!after || strcmp(name, after) > 0) {
			offer(name, cut, after, best, any);
			return;
		}
		/* '0' follows '/'. */
		snprintf(key, sizeof(key), "%.*s0", (int)(len + 1 + cut), f->path);
	}
}

static void offer_nodes(const struct names *n, const char *after, char *best, bool *any)
{
	for (unsigned i = 0; i < n->n_nodes; i++)
		offer(n->nodes[i].name, strlen(n->nodes[i].name), after, best, any);
}

/* Most volumes are plain: theirs would be an empty folder each. */
static bool is_hidden(const struct names *n, const char *path, const char *folder)
{
	char legs[PATH_LEN_MAX + 8];

	if (strcmp(folder, "legs") != 0)
		return false;
	snprintf(legs, sizeof(legs), "%s/legs", path);
	return tree_count_in(catalog_tree(n->catalog), legs) == 0;
}

bool names_child(const struct names *n, const char *path, const char *after, char *out)
{
	const char *folder;
	bool any = false;

	for (unsigned i = 0; (folder = schema_folder_at(path, i)); i++)
		if (!is_hidden(n, path, folder))
			offer(folder, strlen(folder), after, out, &any);
	/* What stands directly in the root or in an object are folders, named above, and "/cluster". */
	if (!schema_is_folder(path) || strcmp(path, "/") == 0)
		return any;
	offer_agreed(n, path, after, out, &any);
	offer_facts(n, path, after, out, &any);
	if (strcmp(path, "/nodes") == 0)
		offer_nodes(n, after, out, &any);
	if (strcmp(path, "/tasks") == 0)
		names_offer_tasks(n, after, out, &any);
	return any;
}

static int walk(const struct names *n, const char *path, unsigned depth, struct mono now, struct names_entry *e,
                int (*each)(void *, const struct names_entry *), void *arg)
{
	char name[PATH_LEN_MAX], below[2 * PATH_LEN_MAX];
	const char *after = NULL;
	int err = names_get(n, path, now, e);

	/* A singleton or a child that only facts below it speak of. */
	if (err < 0)
		return err;
	err = each(arg, e);
	while (err == 0 && depth > 0 && names_child(n, path, after, name)) {
		snprintf(below, sizeof(below), "%s/%s", strcmp(path, "/") == 0 ? "" : path, name);
		err = strlen(below) < PATH_LEN_MAX ? walk(n, below, depth - 1, now, e, each, arg) : 0;
		if (err == ERR_NOENT)
			err = 0;
		after = name;
	}
	return err;
}

int names_walk(const struct names *n, const char *path, unsigned depth, struct mono now,
               int (*each)(void *arg, const struct names_entry *e), void *arg)
{
	struct names_entry e = { 0 };
	int err = walk(n, path, depth, now, &e, each, arg);

	names_entry_fini(&e);
	return err;
}
