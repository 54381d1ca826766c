/* SPDX-License-Identifier: Apache-2.0 */
/* Which node has room: what is agreed for it against what it reports. */
#include "cluster/place.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cluster/names_int.h"
#include "cluster/volume.h"

uint64_t place_uint(const struct fact *f, const char *key, uint64_t if_unset)
{
	const char *v = f ? attrs_get(&f->attrs, key) : NULL;
	uint64_t n;

	return v && text_u64_parse(v, &n) == 0 ? n : if_unset;
}

const struct fact *place_fact(const struct names *n, const char *node, const char *path)
{
	const struct names_node *nd = names_node_by_name(n, node);

	return nd ? facts_get(n->facts, &nd->id, path) : NULL;
}

bool place_has_plugin(const struct names *n, const char *node, const char *plugin)
{
	const struct names_node *nd = names_node_by_name(n, node);
	char path[PATH_LEN_MAX];
	const struct fact *f;
	const char *state;

	if (!nd)
		return true;
	snprintf(path, sizeof(path), "/plugins/%s", plugin);
	f = facts_get(n->facts, &nd->id, path);
	state = f ? attrs_get(&f->attrs, "state") : NULL;
	if (f)
		return !state || strcmp(state, "ready") == 0;
	for (f = facts_first(n->facts, "/plugins/"); f && path_below(f->path, "/plugins"); f = facts_next(n->facts, f))
		if (node_id_eq(&f->node, &nd->id))
			return false;
	return true;
}

unsigned place_lack_plugin(const struct names *n, const char *plugin, const char **one)
{
	unsigned lack = 0;

	for (unsigned i = 0; i < n->n_nodes; i++) {
		const struct names_node *nd = &n->nodes[i];

		if (nd->state != NODE_ALIVE || place_has_plugin(n, nd->name, plugin))
			continue;
		*one = nd->name;
		lack++;
	}
	return lack;
}

static bool has_option(const char *options, const char *key)
{
	size_t len = strlen(key);

	for (; *options; options += strcspn(options, " "), options += strspn(options, " "))
		if (strncmp(options, key, len) == 0 && options[len] == '=')
			return true;
	return false;
}

bool place_option_missing(const struct names *n, const char *plugin, const char *options, char *key)
{
	char path[PATH_LEN_MAX];
	const struct fact *f;
	const char *p;

	snprintf(path, sizeof(path), "/plugins/%s", plugin);
	f = facts_first(n->facts, path);
	p = f && strcmp(f->path, path) == 0 ? attrs_get(&f->attrs, "params") : NULL;
	*key = '\0';
	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		char one[ATTR_KEY_MAX];

		snprintf(one, sizeof(one), "%.*s", (int)strcspn(p, ": "), p);
		if (has_option(options + strspn(options, " "), one))
			return false;
		if (!*key)
			memcpy(key, one, sizeof(one));
	}
	return *key;
}

bool place_takes(const struct names *n, const struct object *node, const char **why_not)
{
	const char *why = NULL;

	if (strcmp(schema_get(node->type, &node->attrs, "role"), "witness") == 0)
		why = "is a witness";
	else if (schema_get_bool(node->type, &node->attrs, "drain"))
		why = "is being drained";
	else if (names_node_state(n, path_name(node->path)) != NODE_ALIVE)
		why = "is not up";
	if (why_not)
		*why_not = why;
	return !why;
}

struct place place_of(const struct names *n, const struct object *node, bool ram)
{
	const struct tree *t = catalog_tree(n->catalog);
	const char *name = path_name(node->path);
	const struct fact *f = place_fact(n, name, node->path);
	struct place p = { .node = name, .total = place_uint(f, ram ? "memory-total" : "space-total", UINT64_MAX),
	                   .free_now = place_uint(f, ram ? "memory-free" : "space-free", UINT64_MAX) };
	const struct object *o = NULL;

	p.holds = tree_referrers(t, node->path, &p.agreed);
	if (catalog_level(n->catalog) < VOLUME_LEVEL)
		return p;
	/* A leg is as large as its volume, and what the mirror keeps with it. */
	while ((o = tree_referrer(t, node->path, o))) {
		const struct object *v = volume_of_leg(t, o);

		if (v)
			p.agreed += schema_get_uint(v->type, &v->attrs, "size") + VOLUME_LEG_META;
	}
	return p;
}

uint64_t place_left(const struct place *p)
{
	uint64_t left = p->total > p->agreed ? p->total - p->agreed : 0;

	return left < p->free_now ? left : p->free_now;
}

bool place_better(const struct place *a, const struct place *b)
{
	uint64_t x = place_left(a), y = place_left(b);

	return x != y ? x > y : a->holds < b->holds;
}
