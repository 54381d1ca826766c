/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who belongs here. A node that holds the cluster key is a member at once and admitted (made an object of
 * the namespace) by the node that leads. One without it knocks; adopted, it is offered the key in a box.
 * A node that finds no lineage begins one if it is the lowest that could; of two lineages the one without
 * data yields. Rotation writes the new key into the log, boxed for each node that stays.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

#define FOUND_WAIT_MS 1500      /* listen for others this long before founding */
#define FOUND_YIELD_MS 4000     /* a lower node that could found is waited for this long */
#define KNOCK_MS 2000
#define KNOCK_KEYED_MS 4000     /* a node with a key that nobody answers knocks too: its key may be old */
#define NEWER_KEEP_MS 120000    /* a node with a newer key that was not heard for this long is gone */
#define KEY_KEEP_MS 10000       /* an old key is dropped when all alive have the new one, or after this */
#define OFFER_LEN (4 + 4 + KEY_BOX_LEN)

static const uint8_t offer_magic[4] = { 'd', 'k', 'e', 'y' };
static const uint8_t no_lineage[16];

/* ---- the card's extra bytes: version, flags, lineage ---- */

void admit_extra_pack(const struct extra *x, struct card *card)
{
	card->extra[0] = 1;
	card->extra[1] = (uint8_t)((x->votes ? 1 : 0) | (x->has_data ? 2 : 0) | (x->learning ? 4 : 0));
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
	memcpy(x->lineage, card->extra + 2, 16);
	return true;
}

static void removed(struct cluster *c)
{
	c->removed = c->dirty = true;
	c->removed_index = catalog_applied(c->catalog);
}

/* By a new key, or by entries that go on after our removal. */
static void taken_in_again(struct cluster *c)
{
	log_info(c->log, "admission: this node is taken in again");
	c->removed = c->ring_leaving = c->was_admitted = false;
	c->dirty = true;
}

static bool has_data(const struct cluster *c)
{
	const struct tree *t = catalog_tree(c->catalog);

	return tree_child(t, "/volumes", NULL) || tree_child(t, "/targets", NULL);
}

void admit_card(struct cluster *c, struct cluster_out *out)
{
	struct extra x = { .votes = c->conf.votes, .has_data = has_data(c) };
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

const struct object *admit_node(const struct cluster *c, const struct node_id *id)
{
	char hex[33];

	return tree_holder(catalog_tree(c->catalog), schema_type(TYPE_NODE), "id", node_id_text(id, hex));
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

/* ---- founding, joining, yielding ---- */

static void take_lineage(struct cluster *c, const uint8_t lineage[16], struct cluster_out *out)
{
	memcpy(c->lineage, lineage, 16);
	c->has_lineage = memcmp(lineage, no_lineage, 16) != 0;
	c->hash[0] = '\0';
	if (c->has_lineage)
		keys_cluster_hash(c->lineage, c->hash);
	cluster_act(c, out, CLUSTER_ACT_PUBLISH);
	admit_card(c, out);
	c->dirty = true;
}

void admit_newer_key(struct cluster *c, const struct addr *from, uint8_t hint)
{
	if (!c->keys.n || keys_hint_order(&c->keys, hint) <= 0)
		return;
	if (!admit_key_old(c) && !c->has_lineage)
		log_warn(c->log, "cluster: the node at %.40s has a newer cluster key: this node begins no cluster by itself, and waits to be "
		         "adopted (director node adopt %.63s on a member)", addr_text(from, (char[64]){ "" }), c->conf.name);
	c->newer_seen = c->now;
	c->newer_at = *from;
	admit_candidate(c, from);
	c->dirty = true;
}

bool admit_key_old(const struct cluster *c)
{
	return c->keys.n && !c->has_lineage && !c->found_now && admit_key_newer(c);
}

bool admit_key_newer(const struct cluster *c)
{
	return c->newer_seen.ns != MONO_NEVER.ns && !mono_due(mono_add_ms(c->newer_seen, NEWER_KEEP_MS), c->now);
}

static void found(struct cluster *c, struct cluster_out *out)
{
	struct agree_snap snap = { .index = 0 };
	struct agree_in in = { .kind = AGREE_IN_FOUND };
	struct snapshot s;
	struct buf bytes = { 0 };
	uint8_t lineage[16];

	keys_derive(keys_newest(&c->keys), "lineage", c->conf.boot, lineage, 16);
	log_info(c->log, "cluster: no other node has a cluster; this node begins one");
	memcpy(snap.lineage, lineage, 16);
	roster_found(&snap.roster, &c->self, c->conf.ring_addrs, c->conf.n_ring_addrs);
	snap.roster.node[0].host_nodeid = c->host_nodeid;
	catalog_hash(c->catalog, snap.hash);
	catalog_snapshot(c->catalog, &s);
	c->codec->snapshot_encode(&s, &bytes);
	snapshot_fini(&s);
	snap.bytes = bytes.data;
	snap.len = (uint32_t)bytes.len;
	in.found = &snap;
	take_lineage(c, lineage, out);
	cluster_agree_step(c, &in, out);
	buf_fini(&bytes);
}

/* Which of two lineages stays: the one with data; of equals the lower. */
static bool outranks(const struct extra *a, const struct extra *b)
{
	if (a->has_data != b->has_data)
		return a->has_data;
	return memcmp(a->lineage, b->lineage, 16) < 0;
}

static void tend_lineage(struct cluster *c, struct cluster_out *out)
{
	struct extra own = { .votes = c->conf.votes, .has_data = has_data(c) };
	const struct extra *best = NULL;
	struct extra best_x;
	struct gossip_member m;
	bool lower = false;
	char text[64];

	if (!c->keys.n || c->reset)
		return;
	memcpy(own.lineage, c->lineage, 16);
	c->clash[0] = '\0';
	for (unsigned i = 0; gossip_at(c->gossip, i, &m); i++) {
		struct extra x;

		if (m.self || (m.state != MEMBER_ALIVE && m.state != MEMBER_SUSPECT) || !admit_extra_unpack(m.card, &x))
			continue;
		if (memcmp(x.lineage, no_lineage, 16) == 0) {
			lower |= x.votes && node_id_cmp(&m.card->id, &c->self) < 0;
			continue;
		}
		if (c->has_lineage && memcmp(x.lineage, c->lineage, 16) == 0)
			continue;
		if (!best || outranks(&x, best)) {
			best_x = x;
			best = &best_x;
		}
		if (c->has_lineage && x.has_data && own.has_data)
			snprintf(c->clash, sizeof(c->clash),
			         "node %.63s (%.40s) has the same cluster key and data of another cluster", m.card->name,
			         addr_text(&m.addr, text));
	}
	if (best && !c->has_lineage) {
		log_info(c->log, "cluster: joining the cluster that other nodes have");
		take_lineage(c, best->lineage, out);
		return;
	}
	if (best && c->has_lineage && !own.has_data && outranks(best, &own)) {
		log_warn(c->log, "cluster: two clusters met that hold the same key; this one holds no data and yields");
		cluster_reset_state(c, out);
		return;
	}
	if (c->has_lineage || !c->conf.votes || !c->conf.founds)
		return;
	if (admit_key_old(c)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->newer_seen, NEWER_KEEP_MS));
		return;
	}
	lower |= c->others_seen.ns != MONO_NEVER.ns;
	if (c->found_now && !ring_host_wants(c)) {
		found(c, out);
	} else if (!mono_due(mono_add_ms(c->begun, FOUND_WAIT_MS), c->now)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->begun, FOUND_WAIT_MS));
	} else if (lower && !mono_due(mono_add_ms(c->begun, FOUND_YIELD_MS), c->now)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->begun, FOUND_YIELD_MS));
	} else if (!ring_host_wants(c)) {
		found(c, out);
	}
}

/* ---- knocking, offering ---- */

void admit_candidate(struct cluster *c, const struct addr *a)
{
	for (unsigned i = 0; i < c->n_candidates; i++)
		if (addr_eq(&c->candidates[i], a))
			return;
	if (c->n_candidates >= 256)     /* the oldest makes room: whoever is there says so again */
		memmove(c->candidates, c->candidates + 1, --c->n_candidates * sizeof(*c->candidates));
	c->candidates = mem_grow(c->candidates, &c->cap_candidates, c->n_candidates, sizeof(*c->candidates));
	c->candidates[c->n_candidates++] = *a;
	c->knock_next = c->now;
}

static void tend_knock(struct cluster *c, struct cluster_out *out)
{
	bool keyed = c->keys.n > 0;
	const struct object *first = tree_child(catalog_tree(c->catalog), "/nodes", NULL);
	bool others = first && tree_child(catalog_tree(c->catalog), "/nodes", first);

	/* Who slept through a rotation has a lineage and a key, and hears nobody. */
	if (!c->knock.len || (keyed && !c->removed && (gossip_alive(c->gossip) > 1 || (c->has_lineage && !others))))
		return;
	if (keyed && !mono_due(mono_add_ms(c->begun, KNOCK_KEYED_MS), c->now)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->begun, KNOCK_KEYED_MS));
		return;
	}
	if (mono_due(c->knock_next, c->now)) {
		for (unsigned i = 0; i < c->n_candidates; i++) {
			struct gossip_in in = { .kind = GOSSIP_IN_KNOCK, .from = c->candidates[i],
			                        .blob = c->knock.data, .n_blob = (unsigned)c->knock.len };

			cluster_gossip_step(c, &in, out);
		}
		c->knock_next = mono_add_ms(c->now, KNOCK_MS);
	}
	c->wake = mono_min(c->wake, c->knock_next);
}

static void offer_key(struct cluster *c, const uint8_t public_key[32], const struct addr *to, struct cluster_out *out)
{
	const struct key *k = keys_newest(&c->keys);
	uint8_t blob[OFFER_LEN];
	struct gossip_in in = { .kind = GOSSIP_IN_BLOB, .from = *to, .blob = blob, .n_blob = sizeof(blob) };

	if (!k)
		return;
	memcpy(blob, offer_magic, 4);
	for (int i = 0; i < 4; i++)
		blob[4 + i] = (uint8_t)(k->epoch >> (24 - 8 * i));
	if (keys_box(k, c->conf.public_key, c->conf.secret_key, public_key, blob + 8) == 0)
		cluster_gossip_step(c, &in, out);
}

/* Someone offers us a key. Without any we take the first; with one, only a newer one from a node that we know. */
static void take_offer(struct cluster *c, const struct gossip_event *ev, struct cluster_out *out)
{
	const struct key *have = keys_newest(&c->keys);
	struct node_id sender;
	uint32_t epoch = 0;
	struct key k;
	char text[64], id[40];

	if (ev->n_blob != OFFER_LEN || memcmp(ev->blob, offer_magic, 4) != 0)
		return;
	for (int i = 0; i < 4; i++)
		epoch = epoch << 8 | ev->blob[4 + i];
	if (epoch == 0 || (have && have->epoch >= epoch) ||
	    keys_unbox(ev->blob + 8, epoch, c->conf.secret_key, &k, &sender) < 0)
		return;
	if (have && c->has_lineage && !admit_node(c, &sender)) {
		log_warn(c->log, "admission: %s offers a key, but is no node of this cluster: refused",
		         addr_text(&ev->addr, text));
		return;
	}
	if (c->removed)
		taken_in_again(c);
	log_info(c->log, "admission: adopted by %s at %s", node_id_fingerprint(&sender, id), addr_text(&ev->addr, text));
	admit_new_key(c, k.secret, epoch, out);
	sodium_memzero(&k, sizeof(k));
	for (unsigned i = 0; i < c->n_candidates; i++) {
		struct gossip_in in = { .kind = GOSSIP_IN_CANDIDATE, .from = c->candidates[i] };

		cluster_gossip_step(c, &in, out);
	}
}

int admit_new_key(struct cluster *c, const uint8_t secret[32], uint32_t epoch, struct cluster_out *out)
{
	struct key k = { .epoch = epoch };
	struct gossip_in in = { .kind = GOSSIP_IN_CLUSTER };
	uint8_t any[8] = { 0 };
	struct doing *d;

	memcpy(k.secret, secret, 32);
	if (!keys_add(&c->keys, &k))
		return 0;
	d = cluster_doing(c, CLUSTER_ACT_KEYS);
	d->epoch = epoch;
	cluster_act(c, out, CLUSTER_ACT_KEYS)->id = d->id;
	in.cluster = any;
	in.key_epoch = keys_newest(&c->keys)->epoch;
	c->key_epoch = in.key_epoch;
	cluster_gossip_step(c, &in, out);
	c->newer_seen = MONO_NEVER;
	c->begun = c->now;      /* the time to listen for others begins with the key */
	c->dirty = true;
	return 0;
}

/* ---- rotation ---- */

int admit_rotate(struct cluster *c, const struct key *k, const char *without, struct txn *t, struct why *why)
{
	const struct tree *tree = catalog_tree(c->catalog);
	const struct object *o = NULL;
	struct txn_op *op;
	char text[16];

	op = txn_add(t, TXN_SET, "/cluster");
	snprintf(text, sizeof(text), "%" PRIu32, k->epoch);
	attrs_set(&op->attrs, "key-epoch", text);
	while ((o = tree_child(tree, "/nodes", o))) {
		const char *hex = attrs_get(&o->attrs, "key");
		uint8_t pub[32], box[KEY_BOX_LEN];
		char boxhex[2 * KEY_BOX_LEN + 1];

		if (without && strcmp(o->path, without) == 0)
			continue;
		if (!hex || text_hex_parse(hex, pub, 32) < 0 ||
		    keys_box(k, c->conf.public_key, c->conf.secret_key, pub, box) < 0)
			return why_set(why, ERR_CRYPTO, "%s has no usable public key; remove it first", o->path);
		op = txn_add(t, TXN_SET, o->path);
		attrs_set(&op->attrs, "key-box", text_hex(box, sizeof(box), boxhex));
	}
	return 0;
}

/* The catalog names a newer key than we have: our box is in our own object. */
static void follow_rotation(struct cluster *c, struct cluster_out *out)
{
	const struct object *cl = catalog_get(c->catalog, "/cluster"), *me = admit_node(c, &c->self);
	uint64_t epoch = cl ? schema_get_uint(cl->type, &cl->attrs, "key-epoch") : 0;
	const struct key *have = keys_newest(&c->keys);
	uint8_t box[KEY_BOX_LEN];
	struct node_id sender;
	const char *hex;
	struct key k;

	if (!me || epoch == 0 || epoch > UINT32_MAX || !have || have->epoch >= epoch)
		return;
	hex = attrs_get(&me->attrs, "key-box");
	if (!hex || text_hex_parse(hex, box, sizeof(box)) < 0 ||
	    keys_unbox(box, (uint32_t)epoch, c->conf.secret_key, &k, &sender) < 0) {
		log_warn(c->log, "admission: the box with key %" PRIu64 " does not open", epoch);
		return;
	}
	log_info(c->log, "admission: cluster key %" PRIu64 " taken into use", epoch);
	admit_new_key(c, k.secret, k.epoch, out);
	sodium_memzero(&k, sizeof(k));
	c->offer_next = mono_add_ms(c->now, KEY_KEEP_MS);
}

/* Old keys go when every node that is alive reports the newest, or after a while. */
static void drop_old_keys(struct cluster *c, struct cluster_out *out)
{
	const struct key *newest = keys_newest(&c->keys);
	struct gossip_member m;
	struct doing *d;
	bool all = true;

	if (c->keys.n < 2)
		return;
	for (unsigned i = 0; all && gossip_at(c->gossip, i, &m); i++) {
		const struct fact *f = facts_get(c->facts, &m.card->id, FACT_SELF);
		const char *v = f ? attrs_get(&f->attrs, "key-epoch") : NULL;
		uint64_t e;

		if (m.self || (m.state != MEMBER_ALIVE && m.state != MEMBER_SUSPECT))
			continue;
		all = v && text_u64_parse(v, &e) == 0 && e >= newest->epoch;
	}
	if (!all && !mono_due(c->offer_next, c->now)) {
		c->wake = mono_min(c->wake, c->offer_next);
		return;
	}
	if (keys_drop_before(&c->keys, newest->epoch)) {
		log_info(c->log, "admission: older cluster keys are not accepted any more");
		c->ring_stored = 0;     /* the ring's file may be of such a key: whoever starts must find the same */
		d = cluster_doing(c, CLUSTER_ACT_KEYS);
		d->epoch = newest->epoch;
		cluster_act(c, out, CLUSTER_ACT_KEYS)->id = d->id;
	}
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
		           m.self ? c->now : m.heard);
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
		take_offer(c, ev, out);
		break;
	case GOSSIP_EV_STALE_KEY:
		o = admit_node(c, &ev->id);
		if (o && gossip_find(c->gossip, &ev->id, &m))
			offer_key(c, m.card->public_key, &ev->addr, out);
		break;
	case GOSSIP_EV_NEWER_KEY:
		admit_candidate(c, &ev->addr);
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
			offer_key(c, p.public_key, &p.addr, out);
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

/* Nodes that the newest commit deleted were removed: they are refused from here on. */
void admit_removed(struct cluster *c, struct cluster_out *out)
{
	const struct history *h = catalog_history(c->catalog, NULL);
	struct gossip_in in = { .kind = GOSSIP_IN_BAN };

	for (unsigned i = 0; h && i < h->inverse.n_ops; i++) {
		const struct txn_op *op = &h->inverse.ops[i];
		const char *hex = op->kind == TXN_CREATE && path_below(op->path, "/nodes") ? attrs_get(&op->attrs, "id") : NULL;

		if (!hex || node_id_parse(hex, &in.id) < 0 || node_id_eq(&in.id, &c->self) || admit_node(c, &in.id))
			continue;
		cluster_gossip_step(c, &in, out);
		peer(c, &in.id, true, out);
		facts_drop_node(c->facts, &in.id);
		names_node_gone(c->names, &in.id);
	}
}

void admit_applied(struct cluster *c, struct cluster_out *out)
{
	struct gossip_member m;
	const struct object *o = NULL;

	if (admit_node(c, &c->self)) {
		c->was_admitted = true;
		if (c->removed && catalog_applied(c->catalog) > c->removed_index)
			taken_in_again(c);
	} else if (c->was_admitted && !c->removed) {
		removed(c);
		log_warn(c->log, "admission: this node was removed from the cluster");
	}
	follow_rotation(c, out);
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
		tend_knock(c, out);
		return;
	}
	tend_lineage(c, out);
	tend_knock(c, out);
	tend_pending(c, out);
	admit_members(c, out);
	drop_old_keys(c, out);
	admit_card(c, out);
}
