/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was known of other nodes before this process, kept by the runner: a node that starts shows of those that are not there
 * what they said last, and asks of those that went on only for what is new. Facts of a node that has started again since
 * are of a former life; they go as soon as its card shows another boot, before anything looks at them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/cluster_priv.h"

void kept_in(struct cluster *c, const struct cluster_in *in)
{
	const struct object *o = admit_node(c, &in->node);
	struct gossip_member m;
	struct kept k = { .id = in->node };

	if (!o || !in->boot || node_id_eq(&in->node, &c->self) || gossip_find(c->gossip, &in->node, &m))
		return;
	for (unsigned i = 0; i < in->sync->n_parts; i++) {
		bool news;

		if (node_id_eq(&in->sync->parts[i].node, &in->node) && facts_apply(c->facts, &in->sync->parts[i], &news) < 0)
			return;
	}
	memcpy(k.boot, in->boot, sizeof(k.boot));
	c->kept = mem_grow(c->kept, &c->cap_kept, c->n_kept, sizeof(*c->kept));
	c->kept[c->n_kept++] = k;
	names_node(c->names, &in->node, path_name(o->path), NODE_DEAD, c->now);
}

void kept_joined(struct cluster *c, const struct node_id *id)
{
	struct gossip_member m;

	for (unsigned i = 0; i < c->n_kept; i++) {
		if (!node_id_eq(&c->kept[i].id, id))
			continue;
		if (gossip_find(c->gossip, id, &m) && memcmp(m.card->boot, c->kept[i].boot, BOOT_LEN) != 0)
			facts_drop_node(c->facts, id);
		c->kept[i] = c->kept[--c->n_kept];
		return;
	}
}

bool cluster_keep(const struct cluster *c, unsigned i, struct cluster_kept *k)
{
	struct facts_have have = facts_node_at(c->facts, i), none = { .node = have.node };
	unsigned n = facts_count(c->facts) + FACTS_TOMBSTONES_MAX + 1;
	struct gossip_member m;

	*k = (struct cluster_kept){ .have = have };
	if (node_id_eq(&have.node, &c->self) || !gossip_find(c->gossip, &have.node, &m))
		return false;
	memcpy(k->boot, m.card->boot, BOOT_LEN);
	k->room = mem_alloc(n * sizeof(*k->room));
	if (facts_delta(c->facts, &none, CLUSTER_KEPT_BYTES, &k->part, k->room, n) && k->part.upto == have.max)
		return true;
	cluster_kept_fini(k);
	return false;
}

void cluster_kept_fini(struct cluster_kept *k)
{
	free(k->room);
	k->room = NULL;
}
