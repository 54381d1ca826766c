/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who belongs here. A node that holds the cluster key is a member at once and admitted (made an object of
 * the namespace) by the node that leads. One without it knocks (knock.c); adopted, it is offered the key in a box.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

/* ---- the card's extra bytes: version, flags, lineage ---- */

void admit_extra_pack(const struct extra *x, struct card *card)
{
	card->extra[0] = 1;
	card->extra[1] = (uint8_t)((x->votes ? 1 : 0) | (x->has_data ? 2 : 0) | (x->learning ? 4 : 0) | (x->several ? 8 : 0));
	memcpy(card->extra + 2, x->lineage, 16);
	card->n_extra = 18;
}

bool admit_extra_unpack(const struct card *card, struct extra *x)
{
	*x = (struct extra){ .votes = false };
	if (card->n_extra < 18 || card->extra[0] < 1)
		return false;
	x->votes = card->extra[1] & 1;
	x->has_data = card->extra[1] & 2;
	x->learning = card->extra[1] & 4;
	x->several = card->extra[1] & 8;
	memcpy(x->lineage, card->extra + 2, 16);
	return true;
}

static void removed(struct cluster *c)
{
	c->removed = c->dirty = true;
	c->removed_index = catalog_applied(c->catalog);
}

/* By a new key, or by entries that go on after our removal. */
void admit_again(struct cluster *c)
{
	log_info(c->log, "admission: this node is taken in again");
	c->removed = c->ring_leaving = c->was_admitted = false;
	c->dirty = true;
}

bool admit_several(const struct cluster *c)
{
	return c->status->has_log && c->status->roster.n > 1;
}

bool admit_has_data(const struct cluster *c)
{
	return admit_nodes(c)->data;
}

void admit_card(struct cluster *c, struct cluster_out *out)
{
	struct extra x = { .votes = c->conf.votes, .has_data = admit_has_data(c), .several = admit_several(c) };
	struct gossip_in in = { .kind = GOSSIP_IN_SELF, .card = &c->card };
	struct card card = c->card;

	memcpy(x.lineage, c->lineage, 16);
	x.learning = c->has_lineage && !c->status->has_log;
	admit_extra_pack(&x, &card);
	if (card.n_extra == c->card.n_extra && memcmp(card.extra, c->card.extra, card.n_extra) == 0)
		return;
	c->card = card;
	cluster_gossip_step(c, &in, out);
}

/* ---- nodes of the namespace ---- */

static void nodes_look(const struct cluster *c)
{
	const struct tree *t = catalog_tree(c->catalog);
	struct nodes_seen *s = c->nodes_seen;
	const struct object *o = NULL;

	s->tree = t;
	s->version = tree_version(t);
	s->n = s->children = 0;
	s->data = tree_child(t, "/volumes", NULL) || tree_child(t, "/targets", NULL);
	while ((o = tree_child(t, "/nodes", o))) {
		const char *hex = attrs_get(&o->attrs, "id");
		struct node_seen n = { .o = o, .drain = schema_get_bool(o->type, &o->attrs, "drain"),
			.witness = strcmp(schema_get(o->type, &o->attrs, "role"), "witness") == 0,
			.group = (uint16_t)schema_get_uint(o->type, &o->attrs, "portal-group") };

		s->children++;
		if (!hex || node_id_parse(hex, &n.id) < 0)
			continue;
		s->node = mem_grow(s->node, &s->cap, s->n, sizeof(*s->node));
		s->node[s->n++] = n;
	}
}

const struct nodes_seen *admit_nodes(const struct cluster *c)
{
	const struct nodes_seen *s = c->nodes_seen;

	if (s->tree != catalog_tree(c->catalog) || s->version != tree_version(s->tree))
		nodes_look(c);
	return s;
}

static struct node_seen *node_seen(const struct cluster *c, const struct node_id *id)
{
	const struct nodes_seen *s = admit_nodes(c);

	for (unsigned i = 0; i < s->n; i++)
		if (node_id_eq(&s->node[i].id, id))
			return &s->node[i];
	return NULL;
}

/* Asked for so often that the text of an id is not looked up each time. */
const struct object *admit_node(const struct cluster *c, const struct node_id *id)
{
	const struct node_seen *n = node_seen(c, id);

	return n ? n->o : NULL;
}

/* What others say is found again as long as they say nothing new; our own word changes all the time. */
const struct node_seen *admit_hear(const struct cluster *c, struct node_seen *n)
{
	const struct node_id *id = &n->id;
	struct facts_have have = facts_have(c->facts, id);

	if (n->heard && n->floor == have.floor && n->max == have.max && n->dropped == facts_dropped(c->facts)) {
		if (c->conf.checks && (n->self != facts_get(c->facts, id, FACT_SELF) || n->node != facts_get(c->facts, id, n->o->path)))
			cluster_stale(c, "what a node says changed unseen");
		return n;
	}
	n->heard = true;
	n->grows = false;
	n->floor = have.floor;
	n->max = have.max;
	n->dropped = facts_dropped(c->facts);
	n->self = facts_get(c->facts, id, FACT_SELF);
	n->node = facts_get(c->facts, id, n->o->path);
	n->target = n->node ? attrs_get(&n->node->attrs, "target") : NULL;
	n->inner = n->self ? attrs_get(&n->self->attrs, "inner") : NULL;
	n->addresses = n->node ? attrs_get(&n->node->attrs, "addresses") : NULL;
	return n;
}

struct node_seen *admit_heard(const struct cluster *c, const struct node_id *id)
{
	struct node_seen *n = node_id_eq(id, &c->self) ? NULL : node_seen(c, id);

	if (n)
		admit_hear(c, n);
	return n;
}

const struct fact *admit_said(const struct cluster *c, const struct node_id *id)
{
	const struct node_seen *n = admit_heard(c, id);

	return n ? n->self : facts_get(c->facts, id, FACT_SELF);
}

/* A free name for a new node: its own in the form that names have, else with a piece of its identity. */
static void node_path(const struct cluster *c, const struct node_id *id, const char *name, char *path)
{
	char norm[PATH_LEN_MAX], hex[33];

	node_id_text(id, hex);
	if (schema_name(schema_type(TYPE_NODE), name, norm, NULL) < 0)
		snprintf(norm, sizeof(norm), "node-%.8s", hex);
	snprintf(path, PATH_LEN_MAX, "/nodes/%.200s", norm);
	if (catalog_get(c->catalog, path))
		snprintf(path, PATH_LEN_MAX, "/nodes/%.190s-%.6s", norm, hex);
}

/* The lowest number that no node has, nor gets by `t`. */
static unsigned portal_group(const struct cluster *c, const struct txn *t)
{
	const struct tree *tree = catalog_tree(c->catalog);
	char text[8];

	for (unsigned n = 1; n < UINT16_MAX; n++) {
		bool taken;

		snprintf(text, sizeof(text), "%u", n);
		taken = tree_holder(tree, schema_type(TYPE_NODE), "portal-group", text) != NULL;
		for (unsigned i = 0; i < t->n_ops && !taken; i++) {
			const char *v = attrs_get(&t->ops[i].attrs, "portal-group");

			taken = v && strcmp(v, text) == 0;
		}
		if (!taken)
			return n;
	}
	return UINT16_MAX;
}

void admit_add_node(struct cluster *c, struct txn *t, const uint8_t public_key[32], const char *name)
{
	struct node_id id = node_id_of_key(public_key);
	unsigned group = portal_group(c, t);
	char path[PATH_LEN_MAX], hex[65];
	struct txn_op *op;

	node_path(c, &id, name, path);
	op = txn_add(t, TXN_CREATE, path);
	attrs_set(&op->attrs, "id", node_id_text(&id, hex));
	attrs_set(&op->attrs, "key", text_hex(public_key, 32, hex));
	snprintf(hex, sizeof(hex), "%u", group);
	attrs_set(&op->attrs, "portal-group", hex);
}

/* The cluster's own object, as the first thing that is agreed. */
static void add_cluster(struct cluster *c, struct txn *t)
{
	struct txn_op *op = txn_add(t, TXN_CREATE, "/cluster");
	char text[37];

	attrs_set(&op->attrs, "lineage", text_uuid(c->lineage, text));
	snprintf(text, sizeof(text), "%" PRIu32, keys_newest(&c->keys)->epoch);
	attrs_set(&op->attrs, "key-epoch", text);
	if (c->found_name[0])
		attrs_set(&op->attrs, "name", c->found_name);
}

/* Members that hold the key and our lineage, but are no objects yet: one transaction for all of them. */
static void admit_members(struct cluster *c, struct cluster_out *out)
{
	struct txn t = { 0 };
	struct gossip_member m;
	char what[64];

	if (!cluster_leads(c) || c->reset || c->admit_index == catalog_applied(c->catalog) + 1)
		return;
	if (!catalog_get(c->catalog, "/cluster"))
		add_cluster(c, &t);
	for (unsigned i = 0; gossip_at(c->gossip, i, &m); i++) {
		struct extra x;

		if (m.state != MEMBER_ALIVE || admit_node(c, &m.card->id) || t.n_ops >= 64)
			continue;
		if (!admit_extra_unpack(m.card, &x) || memcmp(x.lineage, c->lineage, 16) != 0)
			continue;
		admit_add_node(c, &t, m.card->public_key, m.card->name);
	}
	if (t.n_ops) {
		/* Once per state: the next try comes when something was applied, or by the timer. */
		c->admit_index = catalog_applied(c->catalog) + 1;
		t.message = mem_strdup("admitted: holds the cluster key");
		snprintf(what, sizeof(what), "admit %" PRIu64 " %u", catalog_applied(c->catalog), t.n_ops);
		request_propose_own(c, &t, what, out);
	}
	txn_fini(&t);
}

/* ---- what gossip tells ---- */

static void peer(struct cluster *c, const struct node_id *id, bool gone, struct cluster_out *out)
{
	struct cluster_act *a = cluster_act(c, out, CLUSTER_ACT_PEER);
	struct gossip_member m;

	a->node = *id;
	if (gone || !gossip_find(c->gossip, id, &m))
		return;
	memcpy(a->public_key, m.card->public_key, 32);
	a->addr[0] = m.addr;
	a->n_addr = 1;
}

static enum names_node_state names_state(enum member_state s)
{
	switch (s) {
	case MEMBER_ALIVE: return NODE_ALIVE;
	case MEMBER_SUSPECT: return NODE_SUSPECT;
	case MEMBER_FAILED: return NODE_DEAD;
	default: return NODE_LEFT;
	}
}

/* Tell the namespace what membership says of this node, under the name that is agreed for it. */
static void show_node(struct cluster *c, const struct node_id *id)
{
	const struct object *o = admit_node(c, id);
	struct gossip_member m;
	struct gossip_pending p;

	if (gossip_find(c->gossip, id, &m)) {
		names_node(c->names, id, o ? path_name(o->path) : m.card->name, names_state(m.state),
		           m.self || m.state == MEMBER_ALIVE ? c->now : m.heard.ns ? m.heard : m.since);
	} else if (gossip_pending_find(c->gossip, id, &p)) {
		names_node(c->names, id, p.name, NODE_PENDING, p.last);
	} else {
		names_node_gone(c->names, id);
	}
}

void admit_event(struct cluster *c, const struct gossip_event *ev, struct cluster_out *out)
{
	char a[64], b[64], fp[40];
	const struct object *o;
	struct gossip_member m;
	struct gossip_pending p;

	switch (ev->kind) {
	case GOSSIP_EV_JOINED:
	case GOSSIP_EV_ALIVE:
	case GOSSIP_EV_RESTARTED:
	case GOSSIP_EV_READDRESSED:
	case GOSSIP_EV_CARD:
		kept_joined(c, &ev->id);
		peer(c, &ev->id, false, out);
		if (ev->kind == GOSSIP_EV_READDRESSED)
			log_warn(c->log, "gossip: node %s is at %s now, no longer at %s", ev->name, addr_text(&ev->addr, a),
			         addr_text(&ev->other, b));
		else if (ev->kind != GOSSIP_EV_CARD)
			log_info(c->log, "gossip: node %s at %s %s", ev->name, addr_text(&ev->addr, a),
			         ev->kind == GOSSIP_EV_JOINED ? "joined" : ev->kind == GOSSIP_EV_ALIVE ? "is alive again" : "restarted");
		if (ev->kind != GOSSIP_EV_CARD)
			cluster_act(c, out, CLUSTER_ACT_MEMBERS);
		show_node(c, &ev->id);
		break;
	case GOSSIP_EV_RENAMED:
		o = admit_node(c, &ev->id);
		log_warn(c->log, "gossip: node %s now calls itself %s; it stays %s in this cluster", ev->old_name, ev->name,
		         o ? path_name(o->path) : ev->name);
		show_node(c, &ev->id);
		break;
	case GOSSIP_EV_SUSPECT:
	case GOSSIP_EV_REFUTED:
	case GOSSIP_EV_FAILED:
	case GOSSIP_EV_LEFT:
		log_info(c->log, "gossip: node %s %s", ev->name,
		         ev->kind == GOSSIP_EV_SUSPECT ? "is suspect" : ev->kind == GOSSIP_EV_REFUTED ? "answers after all" :
		         ev->kind == GOSSIP_EV_FAILED ? "failed" : "left");
		show_node(c, &ev->id);
		break;
	case GOSSIP_EV_FORGOTTEN:
		peer(c, &ev->id, true, out);
		if (!admit_node(c, &ev->id))
			facts_drop_node(c->facts, &ev->id);
		show_node(c, &ev->id);
		break;
	case GOSSIP_EV_CLONED:
		log_warn(c->log, "gossip: node %s exists twice: %s and %s hold the same identity; the second is refused "
		         "(remove identity.key from its state directory to make it a node of its own)",
		         ev->name, addr_text(&ev->addr, a), addr_text(&ev->other, b));
		break;
	case GOSSIP_EV_SELF_CLONED:
		c->clone = ev->addr;
		log_warn(c->log, "gossip: this node's identity is in use at %s already; this one stays out "
		         "(was its disk cloned? remove identity.key from the state directory to make it a node of its own)",
		         addr_text(&ev->addr, a));
		break;
	case GOSSIP_EV_VERSION:
		log_warn(c->log, "gossip: node %s at %s speaks protocol versions %u to %u, this one %u to %u: refused",
		         ev->name, addr_text(&ev->addr, a), ev->version_min, ev->version_max, c->card.version_min,
		         c->card.version_max);
		break;
	case GOSSIP_EV_REMOVED:
		if (node_id_eq(&ev->id, &c->self)) {
			if (!c->removed)
				log_warn(c->log, "gossip: this node was removed from the cluster");
			removed(c);
		} else {
			log_warn(c->log, "gossip: removed node %s at %s tries to come in: refused", node_id_fingerprint(&ev->id, fp),
			         addr_text(&ev->addr, a));
		}
		break;
	case GOSSIP_EV_PENDING:
		log_info(c->log, "admission: node %s knocks from %s, %s: %s", ev->name, addr_text(&ev->addr, a),
		         admit_node(c, &ev->id) ? "perhaps with an older key" :
		         gossip_pending_find(c->gossip, &ev->id, &p) && p.removed ? "it was removed" : "without the cluster key",
		         node_id_fingerprint(&ev->id, fp));
		show_node(c, &ev->id);
		break;
	case GOSSIP_EV_PASSED:          /* agreement's */
		break;
	case GOSSIP_EV_BLOB:
		knock_offered(c, ev, out);
		break;
	case GOSSIP_EV_STALE_KEY:
		o = admit_node(c, &ev->id);
		if (o && gossip_find(c->gossip, &ev->id, &m))
			knock_offer(c, m.card->public_key, &ev->addr, out);
		break;
	case GOSSIP_EV_NEWER_KEY:
		knock_candidate(c, &ev->addr);
		break;
	case GOSSIP_EV_REFUSED:
		log_warn(c->log, "gossip: refused a datagram from %s: %s", addr_text(&ev->addr, a), ev->why);
		break;
	case GOSSIP_EV_READY:
		c->ready = true;
		break;
	}
	c->dirty = true;
}

/* Adopt by itself what the cluster says, and answer those who are admitted and lack the key. */
static void tend_pending(struct cluster *c, struct cluster_out *out)
{
	const struct object *cl = catalog_get(c->catalog, "/cluster");
	bool automatic = cl && schema_get_bool(cl->type, &cl->attrs, "auto-adopt");
	struct gossip_pending p;

	for (unsigned i = 0; gossip_pending_at(c->gossip, i, &p); i++) {
		const struct object *o = admit_node(c, &p.id);

		if (o && mono_ms_between(p.last, c->now) == 0)
			knock_offer(c, p.public_key, &p.addr, out);
		if (!o && automatic && !p.removed && cluster_leads(c)) {
			struct txn t = { .message = mem_strdup("adopted automatically") };
			char what[64], hex[33];

			admit_add_node(c, &t, p.public_key, p.name);
			snprintf(what, sizeof(what), "adopt %s %" PRIu64, node_id_text(&p.id, hex), catalog_applied(c->catalog));
			request_propose_own(c, &t, what, out);
			txn_fini(&t);
		}
	}
}

/* The nodes that a transaction deletes, before it is applied; the history of a large one does not say. Given. */
struct node_id *admit_going(const struct cluster *c, const struct txn *t, unsigned *n)
{
	struct node_id *list = NULL, id;
	unsigned cap = 0;

	for (unsigned i = 0; i < t->n_ops; i++) {
		const struct object *o = NULL;

		if (t->ops[i].kind != TXN_DELETE || !path_below(t->ops[i].path, "/nodes"))
			continue;
		o = catalog_get(c->catalog, t->ops[i].path);
		if (!o || o->type->id != TYPE_NODE || node_id_parse(attrs_get(&o->attrs, "id"), &id) < 0)
			continue;
		list = mem_grow(list, &cap, *n, sizeof(*list));
		list[(*n)++] = id;
	}
	return list;
}

/* Those of them that are deleted now were removed: they are refused from here on. */
void admit_removed(struct cluster *c, const struct node_id *going, unsigned n, struct cluster_out *out)
{
	struct gossip_in in = { .kind = GOSSIP_IN_BAN };

	for (unsigned i = 0; i < n; i++) {
		in.id = going[i];
		if (node_id_eq(&in.id, &c->self) || admit_node(c, &in.id))
			continue;
		cluster_gossip_step(c, &in, out);
		peer(c, &going[i], true, out);
		facts_drop_node(c->facts, &going[i]);
		names_node_gone(c->names, &going[i]);
	}
}

void admit_applied(struct cluster *c, struct cluster_out *out)
{
	struct gossip_member m;
	const struct object *o = NULL;

	if (admit_node(c, &c->self)) {
		c->was_admitted = true;
		if (c->removed && catalog_applied(c->catalog) > c->removed_index)
			admit_again(c);
	} else if (c->was_admitted && !c->removed) {
		removed(c);
		log_warn(c->log, "admission: this node was removed from the cluster");
	}
	rotate_follow(c, out);
	while ((o = tree_child(catalog_tree(c->catalog), "/nodes", o))) {
		struct gossip_in in = { .kind = GOSSIP_IN_UNBAN };
		const char *hex = attrs_get(&o->attrs, "id");

		if (hex && o->generation == catalog_applied(c->catalog) && node_id_parse(hex, &in.id) == 0)
			cluster_gossip_step(c, &in, out);
	}
	for (unsigned i = 0; gossip_at(c->gossip, i, &m); i++)
		show_node(c, &m.card->id);
	admit_card(c, out);
}

void admit_tend(struct cluster *c, struct cluster_out *out)
{
	if (c->removed) {
		/* So that it can be adopted again. */
		knock_tend(c, out);
		return;
	}
	found_tend(c, out);
	knock_tend(c, out);
	tend_pending(c, out);
	admit_members(c, out);
	rotate_drop_old(c, out);
	admit_card(c, out);
}
