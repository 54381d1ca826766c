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

/* What another node says of its director-target. */
static bool target_is(const struct node_seen *n, const char *word)
{
	return n->target && strcmp(n->target, word) == 0;
}

/* Says whether it is another one now. */
static bool text_put(char **to, const char *s)
{
	if (*to && s ? strcmp(*to, s) == 0 : !*to && !s)
		return false;
	free(*to);
	*to = mem_strdup(s);
	return true;
}

/* The place of this node in the list is `i` now. What was known of it comes along. */
static struct plan_node *node_place(struct cluster *c, unsigned i, const struct node_id *id)
{
	struct plan_nodes *ns = &c->owner.nodes;
	unsigned k = i;
	struct plan_node n = { .id = *id };

	if (k < ns->n && node_id_eq(&ns->node[k].id, id))
		return &ns->node[k];
	c->owner.nodes_version++;
	while (k < ns->n && !node_id_eq(&ns->node[k].id, id))
		k++;
	if (k == ns->n)
		ns->node = mem_grow(ns->node, &ns->cap, ns->n++, sizeof(*ns->node));
	else
		n = ns->node[k];
	memmove(&ns->node[i + 1], &ns->node[i], (k - i) * sizeof(n));
	ns->node[i] = n;
	return &ns->node[i];
}

static void node_put(struct cluster *c, struct node_seen *seen, struct plan_node *n)
{
	bool me = node_id_eq(&seen->id, &c->self), up, news;

	if (!me)
		admit_hear(c, seen);
	up = alive(c, &seen->id) && (me ? c->target_up : target_is(seen, "running"));
	news = text_put(&n->name, path_name(seen->o->path));
	news |= text_put(&n->inner, me ? (c->owner.inner[0] ? c->owner.inner : NULL) : seen->inner);
	text_put(&n->addresses, me ? c->addresses : seen->addresses);
	c->owner.nodes_version += news || seen->group != n->group || up != n->up;
	n->group = seen->group;
	if (!n->up)
		n->up_since = c->now;
	n->up = up;
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
	struct plan_nodes *ns = &c->owner.nodes;
	const struct nodes_seen *seen = admit_nodes(c);
	uint32_t key = c->keys.n ? keys_newest(&c->keys)->epoch : 0;
	bool was_alone = ns->alone;
	unsigned n = seen->n;

	for (unsigned i = 0; i < n; i++)
		node_put(c, &seen->node[i], node_place(c, i, &seen->node[i].id));
	c->owner.nodes_version += ns->n != n || ns->key != key;
	while (ns->n > n)
		plan_node_fini(&ns->node[--ns->n]);
	ns->alone = alone(c);
	c->dirty |= ns->alone != was_alone;
	ns->key = key;
	ns->settling = mono_ms_between(c->owner.target_since, c->now) < 5000;
}

static void list_add(struct node_id *list, unsigned *n, const struct node_id *id)
{
	if (*n < OWN_NODES_MAX && !own_listed(list, *n, id))
		list[(*n)++] = *id;
}

static void view_node(const struct cluster *c, struct node_seen *n, struct own_view *v)
{
	if ((outside(c, &n->id) || outside(c, &c->self)) && alive(c, &n->id))
		list_add(v->member, &v->n_member, &n->id);
	if (n->drain || n->witness)
		list_add(v->unfit, &v->n_unfit, &n->id);
	if (n->witness)
		list_add(v->bare, &v->n_bare, &n->id);
	if (!node_id_eq(&n->id, &c->self) && target_is(admit_hear(c, n), "stopped"))
		list_add(v->down, &v->n_down, &n->id);
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
	const struct nodes_seen *seen = admit_nodes(c);

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
	for (unsigned i = 0; i < seen->n; i++)
		view_node(c, &seen->node[i], v);
	v->mute = !s->remembers;
	v->quorate = quorate(c);
}
