/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes as ownership and plans see them: who is in the view, who votes, where their director-targets are reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/cluster_priv.h"
#include "cluster/volume.h"

#define RESTART_MS 1500

static bool alive(const struct cluster *c, const struct node_id *id)
{
	struct gossip_member m;

	return node_id_eq(id, &c->self) ||
	       (gossip_find(c->gossip, id, &m) && (m.state == MEMBER_ALIVE || m.state == MEMBER_SUSPECT));
}

/* What the node says of its director-target; NULL: nothing. */
static const char *target_of(const struct cluster *c, const struct node_id *id, const char *path)
{
	const struct fact *f = facts_get(c->facts, id, path);

	return f ? attrs_get(&f->attrs, "target") : NULL;
}

static bool target_runs(const struct cluster *c, const struct node_id *id, const char *path)
{
	const char *t;

	if (node_id_eq(id, &c->self))
		return c->target_up;
	t = target_of(c, id, path);
	return t && strcmp(t, "running") == 0;
}

static char *own_addresses(const struct cluster *c)
{
	char all[CARD_ADDRS_MAX * 64] = "", a[64];

	for (unsigned i = 0; i < c->card.n_addrs; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " " : "", addr_text(&c->card.addrs[i], a));
	return mem_strdup(all);
}

static void node_add(struct cluster *c, const struct object *o)
{
	struct plan_nodes *ns = &c->owner.nodes;
	const struct fact *self, *node;
	struct plan_node *n;
	struct node_id id;
	bool me;

	if (node_id_parse(attrs_get(&o->attrs, "id"), &id) < 0)
		return;
	ns->node = mem_grow(ns->node, &ns->cap, ns->n, sizeof(*ns->node));
	n = &ns->node[ns->n++];
	me = node_id_eq(&id, &c->self);
	self = facts_get(c->facts, &id, FACT_SELF);
	node = facts_get(c->facts, &id, o->path);
	*n = (struct plan_node){
		.id = id, .name = mem_strdup(path_name(o->path)),
		.inner = mem_strdup(me ? (c->owner.inner[0] ? c->owner.inner : NULL) : self ? attrs_get(&self->attrs, "inner") : NULL),
		.addresses = me ? own_addresses(c) : mem_strdup(node ? attrs_get(&node->attrs, "addresses") : NULL),
		.group = (uint16_t)schema_get_uint(o->type, &o->attrs, "portal-group"),
		.up = alive(c, &id) && target_runs(c, &id, o->path),
	};
}

/* A node outside the ring follows what the ring agrees; then gossip says who is there. */
static bool outside(const struct cluster *c, const struct node_id *id)
{
	return !roster_find(&c->status->roster, id);
}

static bool quorate(struct cluster *c)
{
	return c->status->mode == AGREE_ACTIVE || (outside(c, &c->self) && !request_minority(c, NULL));
}

static bool alone(struct cluster *c)
{
	struct mono due;

	if (c->status->has_log && quorate(c))
		c->owner.quorum_at = c->now;
	due = mono_add_ms(c->owner.quorum_at, OWN_ALONE_MS);
	if (mono_due(due, c->now))
		return true;
	if (c->owner.quorum_at.ns != c->now.ns)
		c->wake = mono_min(c->wake, due);
	return false;
}

void owner_nodes(struct cluster *c)
{
	struct plan_nodes old = c->owner.nodes;
	const struct object *o = NULL;

	c->owner.nodes = (struct plan_nodes){ 0 };
	while ((o = tree_child(catalog_tree(c->catalog), "/nodes", o)))
		node_add(c, o);
	for (unsigned i = 0; i < c->owner.nodes.n; i++) {
		struct plan_node *n = &c->owner.nodes.node[i];
		const struct plan_node *was = plan_node(&old, &n->id);

		n->up_since = was && was->up ? was->up_since : c->now;
	}
	c->owner.nodes.alone = alone(c);
	c->dirty |= c->owner.nodes.alone != old.alone;
	plan_nodes_fini(&old);
	c->owner.nodes.key = c->keys.n ? keys_newest(&c->keys)->epoch : 0;
	c->owner.nodes.settling = mono_ms_between(c->owner.target_since, c->now) < 5000;
}

static void list_add(struct node_id *list, unsigned *n, const struct node_id *id)
{
	if (*n < OWN_NODES_MAX && !own_listed(list, *n, id))
		list[(*n)++] = *id;
}

static void view_node(const struct cluster *c, const struct object *o, struct own_view *v)
{
	const char *t;
	struct node_id id;

	if (node_id_parse(attrs_get(&o->attrs, "id"), &id) < 0)
		return;
	if ((outside(c, &id) || outside(c, &c->self)) && alive(c, &id))
		list_add(v->member, &v->n_member, &id);
	if (schema_get_bool(o->type, &o->attrs, "drain") || strcmp(schema_get(o->type, &o->attrs, "role"), "witness") == 0)
		list_add(v->unfit, &v->n_unfit, &id);
	if (strcmp(schema_get(o->type, &o->attrs, "role"), "witness") == 0)
		list_add(v->bare, &v->n_bare, &id);
	t = target_of(c, &id, o->path);
	if (!node_id_eq(&id, &c->self) && t && strcmp(t, "stopped") == 0)
		list_add(v->down, &v->n_down, &id);
}

/*
 * A directord that ended while its Corosync goes on will be back at once, as a rule, before the leases that it gave end:
 * for so long its node counts as being there.
 */
static void restarting(struct cluster *c, struct own_view *v)
{
	struct mono due = mono_add_ms(c->owner.lost_at, RESTART_MS);

	if (mono_due(due, c->now))
		return;
	for (unsigned i = 0; i < c->owner.n_lost; i++) {
		const struct roster_node *r = roster_find(&c->status->roster, &c->owner.lost[i]);

		if (!r || !ring_has(c, r->nodeid) || own_listed(v->member, v->n_member, &r->id))
			continue;
		list_add(v->member, &v->n_member, &r->id);
		c->wake = mono_min(c->wake, due);
	}
}

void owner_view(struct cluster *c, struct own_view *v)
{
	const struct agree_status *s = c->status;
	const struct object *o = NULL;

	memset(v, 0, sizeof(*v));
	if (!s->has_log)
		return;
	list_add(v->member, &v->n_member, &c->self);
	/* Gossip knows a second before the ring who is dead, and a majority decides without it. */
	for (unsigned i = 0; i < s->n_member; i++)
		if (alive(c, &s->member[i].id))
			list_add(v->member, &v->n_member, &s->member[i].id);
	restarting(c, v);
	for (unsigned i = 0; i < s->roster.n; i++)
		if (s->roster.node[i].role == ROSTER_VOTER)
			list_add(v->voter, &v->n_voter, &s->roster.node[i].id);
	while ((o = tree_child(catalog_tree(c->catalog), "/nodes", o)))
		view_node(c, o, v);
	v->mute = !s->remembers;
	v->quorate = quorate(c);
}
