/* SPDX-License-Identifier: Apache-2.0 */
/* The schema level rises by itself, once every node of the cluster says that it knows the next. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

static bool knows(const struct cluster *c, const struct object *node)
{
	struct node_id id;
	const struct fact *f;
	const char *v;
	uint64_t level;

	if (node_id_parse(attrs_get(&node->attrs, "id"), &id) < 0)
		return false;
	f = facts_get(c->facts, &id, node->path);
	v = f ? attrs_get(&f->attrs, "schema-level") : NULL;
	return v && text_u64_parse(v, &level) == 0 && level >= SCHEMA_LEVEL;
}

void level_tend(struct cluster *c, struct cluster_out *out)
{
	const struct object *o = NULL;
	struct txn t = { 0 };
	char text[64];

	if (catalog_level(c->catalog) >= SCHEMA_LEVEL || !catalog_get(c->catalog, "/cluster") || !cluster_leads(c) || c->reset ||
	    c->level_index == catalog_applied(c->catalog) + 1)
		return;
	while ((o = tree_child(catalog_tree(c->catalog), "/nodes", o)))
		if (!knows(c, o))
			return;
	c->level_index = catalog_applied(c->catalog) + 1;
	snprintf(text, sizeof(text), "%d", SCHEMA_LEVEL);
	attrs_set(&txn_add(&t, TXN_SET, "/cluster")->attrs, "level", text);
	t.message = mem_strdup("every node knows it");
	snprintf(text, sizeof(text), "level %d %" PRIu64, SCHEMA_LEVEL, catalog_applied(c->catalog));
	request_propose_own(c, &t, text, out);
	txn_fini(&t);
}
