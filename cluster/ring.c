/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring of voters as this node sees it: what the nodes report goes into the growth machine, what it
 * answers goes out as acts; CPG views in nodeids become views in node ids for agreement.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

#define FACTS_LOOKED_AT 64      /* of a large cluster only those that are in the ring, or may be */

static uint64_t fact_uint(const struct fact *f, const char *key)
{
	const char *v = f ? attrs_get(&f->attrs, key) : NULL;
	uint64_t n;

	return v && text_u64_parse(v, &n) == 0 ? n : 0;
}

static bool fact_is(const struct fact *f, const char *key, const char *want)
{
	const char *v = f ? attrs_get(&f->attrs, key) : NULL;

	return v && strcmp(v, want) == 0;
}

/* Only what the node itself says: the address that gossip happens to use may be of the other family. */
unsigned ring_addrs(const struct fact *f, struct addr out[ROSTER_ADDRS_MAX])
{
	const char *v = f ? attrs_get(&f->attrs, "ring-addresses") : NULL;
	unsigned n = 0;

	while (v && *v && n < ROSTER_ADDRS_MAX) {
		char one[64];
		size_t len = strcspn(v, " ");

		if (len < sizeof(one)) {
			memcpy(one, v, len);
			one[len] = '\0';
			if (addr_parse(one, 0, &out[n]) == 0)
				n++;
		}
		v += len + (v[len] == ' ');
	}
	return n;
}

/* A Corosync takes half a second until it can be asked; what it has read is known before. */
uint64_t ring_active(const struct cluster *c)
{
	return c->ring_running && c->ring_started ? c->ring_started : c->ring_active;
}

bool ring_has(const struct cluster *c, uint32_t nodeid)
{
	for (unsigned i = 0; i < c->n_ring_ids; i++)
		if (c->ring_ids[i] == nodeid)
			return true;
	return false;
}

/* Which Corosyncs are in our ring: of members, and of nodes that the roster does not have (any more). */
static void growth_ring(const struct cluster *c, struct growth_in *in, struct growth_fact *fact)
{
	const struct roster *r = &c->status->roster;

	for (unsigned i = 0; i < in->n_fact && c->status->has_log; i++) {
		const struct roster_node *n = roster_find(r, &fact[i].id);

		fact[i].in_ring = n && ring_has(c, n->nodeid);
	}
	for (unsigned i = 0; i < c->n_ring_ids && c->status->has_log; i++)
		in->strangers |= !roster_find_nodeid(r, c->ring_ids[i]);
}

static bool is_barred(const struct fact *f)
{
	return fact_is(f, "mode", agree_mode_name(AGREE_STORE_FAILED)) || fact_is(f, "mode", agree_mode_name(AGREE_DIVERGED));
}

/* What a node says of itself, as far as growth asks. */
static void growth_said(const struct fact *f, struct growth_fact *g)
{
	*g = (struct growth_fact){ .running = fact_is(f, "ring", "running"), .stored = fact_uint(f, "ring-stored"),
		.active = fact_uint(f, "ring-active"), .roster_version = fact_uint(f, "roster"), .aside = fact_is(f, "aside", "yes") };
	g->barred = is_barred(f);
	g->n_addr = ring_addrs(f, g->addr);
}

/* What is known of one node, for the growth machine. */
static void growth_fact(const struct cluster *c, const struct gossip_member *m, struct growth_fact *g)
{
	struct node_seen *seen = admit_heard(c, &m->card->id);
	const struct object *o = admit_node(c, &m->card->id);
	struct extra x;

	admit_extra_unpack(m->card, &x);
	if (m->self) {
		*g = (struct growth_fact){ .barred = is_barred(facts_get(c->facts, &m->card->id, FACT_SELF)) };
	} else if (!seen) {
		growth_said(facts_get(c->facts, &m->card->id, FACT_SELF), g);
	} else {
		if (!seen->grows)
			growth_said(seen->self, &seen->growth);
		seen->grows = true;
		*g = seen->growth;
	}
	g->id = m->card->id;
	g->since = m->since;
	g->alive = m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT;
	g->wanted = o && x.votes && (!c->has_lineage || memcmp(x.lineage, c->lineage, 16) == 0);
	g->barred |= seen ? seen->drain : o && schema_get_bool(o->type, &o->attrs, "drain");
	if (m->self) {
		g->aside = c->aside;
		g->running = c->ring_running;
		g->stored = c->ring_stored;
		g->active = ring_active(c);
		g->roster_version = c->status->has_log ? c->status->roster.version : 0;
		g->n_addr = c->conf.n_ring_addrs;
		memcpy(g->addr, c->conf.ring_addrs, sizeof(g->addr));
	}
}

static void make_conf(struct cluster *c, const struct roster *r, struct cluster_ring_conf *conf)
{
	const struct key *k = keys_find(&c->keys, r->key_epoch);

	*conf = (struct cluster_ring_conf){ .epoch = r->ring_epoch, .roster = *r };
	text_uuid(c->lineage, conf->cluster);
	/* All make the same key of the same list, whenever they write it. Who lacks that key can only try the newest. */
	keys_derive(k ? k : keys_newest(&c->keys), "corosync", c->lineage, conf->key, sizeof(conf->key));
	for (unsigned i = 0; i < r->n; i++) {
		const char *name = names_node_name(c->names, &r->node[i].id);

		snprintf(conf->names[i], sizeof(conf->names[i]), "n%" PRIu32 "%s%.50s", r->node[i].nodeid, name ? "-" : "",
		         name ? name : "");
	}
}

void ring_local(struct cluster *c, struct cluster_out *out)
{
	struct agree_in in = { .kind = AGREE_IN_VIEW };

	in.view.local = true;
	in.view.member = &c->self;
	in.view.n = 1;
	c->local_view = true;
	c->n_view = 0;
	cluster_agree_step(c, &in, out);
}

void ring_propose(struct cluster *c, const struct roster *r, struct cluster_out *out)
{
	uint8_t packed[ROSTER_PACKED_MAX];
	struct agree_in in = { .kind = AGREE_IN_PROPOSE };
	struct key k = { .epoch = 1 };
	char use[48];

	in.propose.kind = AGREE_ROSTER;
	in.propose.payload = packed;
	in.propose.len = (uint32_t)roster_pack(r, packed);
	/* The same change proposed by two nodes is one request. */
	memcpy(k.secret, c->lineage, 16);
	snprintf(use, sizeof(use), "roster %" PRIu64, r->version);
	keys_derive(&k, use, c->self.b, in.propose.rid.b, sizeof(in.propose.rid.b));
	cluster_agree_step(c, &in, out);
}

static void do_act(struct cluster *c, const struct growth_act *g, struct cluster_out *out)
{
	struct agree_in learn = { .kind = AGREE_IN_LEARN };
	struct cluster_act *a;
	struct doing *d;

	switch (g->kind) {
	case GROWTH_WRITE:
		if (c->ring_writing)
			return;
		log_info(c->log, "ring: writing node list %" PRIu64 " (%s)", g->roster->ring_epoch, g->why);
		c->ring_writing = true;
		d = cluster_doing(c, CLUSTER_ACT_RING_WRITE);
		d->epoch = g->roster->ring_epoch;
		a = cluster_act(c, out, CLUSTER_ACT_RING_WRITE);
		a->id = d->id;
		make_conf(c, g->roster, &c->ring_conf);
		a->conf = &c->ring_conf;
		break;
	case GROWTH_RELOAD:
		/* A Corosync that starts reads the file by itself; one without a view cannot be asked. */
		if (c->n_view == 0)
			return;
		log_info(c->log, "ring: reloading all (%s)", g->why);
		d = cluster_doing(c, CLUSTER_ACT_RING_RELOAD);
		cluster_act(c, out, CLUSTER_ACT_RING_RELOAD)->id = d->id;
		break;
	case GROWTH_START:
		log_info(c->log, "ring: starting Corosync (%s)", g->why);
		c->ring_failed = false;
		c->local_view = false;
		c->ring_started = c->ring_stored;
		cluster_act(c, out, CLUSTER_ACT_RING_START);
		break;
	case GROWTH_STOP:
		log_info(c->log, "ring: stopping Corosync (%s)", g->why);
		cluster_act(c, out, CLUSTER_ACT_RING_STOP);
		break;
	case GROWTH_LOCAL:
		if (!c->local_view)
			ring_local(c, out);
		break;
	case GROWTH_PROPOSE:
		log_info(c->log, "ring: proposing roster %" PRIu64 " (%s)", g->roster->version, g->why);
		ring_propose(c, g->roster, out);
		break;
	case GROWTH_LEARN:
		learn.learn = g->node;
		cluster_agree_step(c, &learn, out);
		break;
	}
}

static int by_id(const void *a, const void *b)
{
	return node_id_cmp(&((const struct growth_fact *)a)->id, &((const struct growth_fact *)b)->id);
}

/* Without a ring of its own the node follows the log of another, and hands its proposals on. */
static void keep_out(struct cluster *c, struct cluster_out *out)
{
	struct agree_in learn = { .kind = AGREE_IN_LEARN, .learn = ring_newest(c) };

	c->growth.waiting = "this node to hear the others of the ring, and they it";
	c->ring_wake = mono_add_ms(c->now, 500);
	if (c->ring_running && mono_due(mono_add_ms(c->aside_stop, 2000), c->now)) {
		c->aside_stop = c->now;
		cluster_act(c, out, CLUSTER_ACT_RING_STOP);
	}
	if (!c->ring_running && !node_id_eq(&c->growth.learn, &learn.learn)) {
		c->growth.learn = learn.learn;
		cluster_agree_step(c, &learn, out);
	}
}

void ring_tend(struct cluster *c, struct cluster_out *out)
{
	struct growth_fact fact[FACTS_LOOKED_AT];
	struct growth_act act[GROWTH_ACTS_MAX];
	struct growth_in in = { .now = c->now, .agree = c->status, .fact = fact };
	struct gossip_member m;
	unsigned n;

	if (c->conf.host_ring) {
		ring_host_tend(c, out);
		return;
	}
	c->ring_wake = MONO_NEVER;
	if (c->removed && c->ring_running && !c->ring_leaving) {
		/* In the view it would go on to vote and to follow, and the others could not do without it. */
		log_info(c->log, "ring: stopping Corosync (this node was removed)");
		c->ring_leaving = true;
		cluster_act(c, out, CLUSTER_ACT_RING_STOP);
	}
	if (!c->has_lineage || c->reset || c->removed)
		return;
	aside_tend(c, out);
	if (c->aside) {
		keep_out(c, out);
		return;
	}
	for (unsigned i = 0; gossip_at(c->gossip, i, &m) && in.n_fact < FACTS_LOOKED_AT; i++) {
		struct extra x;

		/* Of a large cluster only those matter that are in the ring or may come into it. */
		if (!m.self && !roster_find(&c->status->roster, &m.card->id) && in.n_fact >= FACTS_LOOKED_AT - ROSTER_RING_MAX)
			continue;
		if (!m.self && (!admit_extra_unpack(m.card, &x) || memcmp(x.lineage, c->lineage, 16) != 0))
			continue;
		growth_fact(c, &m, &fact[in.n_fact++]);
	}
	/* Ring members that gossip does not know (any more): down, and gone for good if they are no objects. */
	for (unsigned i = 0; c->status->has_log && i < c->status->roster.n && in.n_fact < FACTS_LOOKED_AT; i++) {
		const struct node_id *id = &c->status->roster.node[i].id;

		if (!gossip_find(c->gossip, id, &m))
			fact[in.n_fact++] = (struct growth_fact){ .id = *id, .wanted = admit_node(c, id) != NULL };
	}
	qsort(fact, in.n_fact, sizeof(fact[0]), by_id);
	growth_ring(c, &in, fact);
	in.unsure = c->ring_started != 0;
	in.start_failed = c->ring_failed;
	in.key_epoch = keys_newest(&c->keys) ? keys_newest(&c->keys)->epoch : 0;
	c->ring_failed = false;
	n = growth_step(&c->growth, &in, act);
	for (unsigned i = 0; i < n; i++)
		do_act(c, &act[i], out);
	c->ring_wake = c->growth.wake;
}

void ring_view_again(struct cluster *c, struct cluster_out *out)
{
	struct node_id member[AGREE_MEMBERS_MAX];
	struct agree_in in = { .kind = AGREE_IN_VIEW };

	if (c->conf.host_ring) {
		ring_host_view(c, true, out);
		return;
	}
	in.view.member = member;
	for (unsigned i = 0; i < c->n_view && in.view.n < AGREE_MEMBERS_MAX; i++) {
		const struct roster_node *r = ring_node(c, c->view[i]);

		if (r)
			member[in.view.n++] = r->id;
		else
			log_warn(c->log, "ring: nodeid %" PRIu32 " of the view is not in the roster", c->view[i]);
	}
	cluster_agree_step(c, &in, out);
}

void ring_view(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	c->local_view = false;
	free(c->view);
	c->view = in->n_nodeids ? mem_dup(in->nodeids, in->n_nodeids * sizeof(*in->nodeids)) : NULL;
	c->n_view = in->n_nodeids;
	c->n_ring_ids = in->n_ringids < AGREE_MEMBERS_MAX ? in->n_ringids : AGREE_MEMBERS_MAX;
	if (c->n_ring_ids)
		memcpy(c->ring_ids, in->ringids, c->n_ring_ids * sizeof(c->ring_ids[0]));
	ring_view_again(c, out);
}

void ring_done(struct cluster *c, const struct doing *d, int err, const char *text, struct cluster_out *out)
{
	if (d->kind == CLUSTER_ACT_RING_WRITE) {
		c->ring_writing = false;
		if (err == 0)
			c->ring_stored = d->epoch;
		else
			log_warn(c->log, "ring: corosync.conf could not be written: %s", text ? text : err_text(err));
	} else if (err) {
		log_warn(c->log, "ring: reload failed: %s", text ? text : err_text(err));
	}
	c->dirty = true;
}
