/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a cluster begins. A node that finds no lineage begins one if it is the lowest that could, and tells of it when its
 * disk has it; of two lineages the one without data yields; one whose key is older than that of others here waits for an
 * administrator.
 */
#include <stdio.h>
#include <string.h>

#include "cluster/cluster_priv.h"

#define FOUND_WAIT_MS 1500      /* listen for others this long before founding */
#define FOUND_OTHERS_MS 4000    /* discovery told of nodes that have a cluster: they are waited for this long */
#define FOUND_YIELD_MS 10000    /* a lower node that could found is, longer than it takes to see that it is out of reach */
#define FOUND_APART_MS 60000    /* a majority of those it has met is waited for this long: on each side of a cut one would begin */
#define NEWER_KEEP_MS 120000    /* a node with a newer key that was not heard for this long is gone */

static const uint8_t no_lineage[16];

static void take_lineage(struct cluster *c, const uint8_t lineage[16], struct cluster_out *out)
{
	memcpy(c->lineage, lineage, 16);
	c->has_lineage = memcmp(lineage, no_lineage, 16) != 0;
	c->found_apart = false;
	c->hash[0] = '\0';
	if (c->has_lineage)
		keys_cluster_hash(c->lineage, c->hash);
	cluster_act(c, out, CLUSTER_ACT_PUBLISH);
	admit_card(c, out);
	c->dirty = true;
}

void found_newer_key(struct cluster *c, const struct addr *from, uint8_t hint)
{
	if (!c->keys.n || keys_hint_order(&c->keys, hint) <= 0)
		return;
	if (!found_key_old(c) && !c->has_lineage)
		log_warn(c->log, "cluster: the node at %.40s has a newer cluster key: this node begins no cluster by itself, and waits to be "
		         "adopted (director node adopt %.63s on a member)", addr_text(from, (char[64]){ "" }), c->conf.name);
	/* Anybody can send such a datagram: a stream of them does not lead to a stream of looks at everything. */
	c->dirty |= c->newer_seen.ns == MONO_NEVER.ns || mono_ms_between(c->newer_seen, c->now) >= 1000;
	c->newer_seen = c->now;
	c->newer_at = *from;
	knock_candidate(c, from);
}

bool found_key_old(const struct cluster *c)
{
	return c->keys.n && !c->has_lineage && !c->found_now && found_key_newer(c);
}

bool found_key_newer(const struct cluster *c)
{
	return c->newer_seen.ns != MONO_NEVER.ns && !mono_due(mono_add_ms(c->newer_seen, NEWER_KEEP_MS), c->now);
}

/* Who hears of a lineage takes it over for good, so it is told of when a restart here would know it. */
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
	cluster_agree_step(c, &in, out);
	buf_fini(&bytes);
}

/* Which of two lineages stays: the one with data, then the one of several nodes; of equals the lower. */
static bool outranks(const struct extra *a, const struct extra *b)
{
	if (a->has_data != b->has_data)
		return a->has_data;
	/* One that started out of reach and founded alone must not take a running cluster apart. */
	if (a->several != b->several)
		return a->several;
	return memcmp(a->lineage, b->lineage, 16) < 0;
}

/* Is it too early since this node began? */
static bool found_listens(struct cluster *c, uint32_t ms)
{
	struct mono until = mono_add_ms(c->begun, ms);

	if (mono_due(until, c->now))
		return false;
	c->wake = mono_min(c->wake, until);
	return true;
}

/* Most of those that this node has met are out of reach: they may be about to begin a cluster, too. */
static bool found_apart(struct cluster *c, unsigned here, unsigned met)
{
	bool apart = 2 * here <= met && found_listens(c, FOUND_APART_MS);

	if (apart && !c->found_apart)
		log_warn(c->log, "cluster: %u of the %u nodes that were met are here: this node begins no cluster without most of them for %u s",
		         here, met, FOUND_APART_MS / 1000);
	c->found_apart = apart;
	return apart;
}

void found_tend(struct cluster *c, struct cluster_out *out)
{
	struct extra own = { .votes = c->conf.votes, .has_data = admit_has_data(c), .several = admit_several(c) };
	const struct extra *best = NULL;
	struct extra best_x;
	struct gossip_member m;
	unsigned met = 1, here = 1;
	bool lower = false;
	char text[64];

	if (!c->keys.n || c->reset)
		return;
	if (!c->has_lineage && c->status->has_log) {
		if (c->status->kept)
			take_lineage(c, c->status->lineage, out);
		return;
	}
	memcpy(own.lineage, c->lineage, 16);
	c->clash[0] = '\0';
	for (unsigned i = 0; gossip_at(c->gossip, i, &m); i++) {
		struct extra x;

		if (m.self || m.state == MEMBER_LEFT || !admit_extra_unpack(m.card, &x))
			continue;
		if (x.votes && memcmp(x.lineage, no_lineage, 16) == 0) {
			met++;
			here += m.state == MEMBER_ALIVE;
		}
		if (m.state == MEMBER_FAILED)
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
	if (c->met_before && met == 1)
		met = 2;
	if (found_key_old(c)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->newer_seen, NEWER_KEEP_MS));
		return;
	}
	if (c->found_now && !ring_host_wants(c))
		found(c, out);
	else if (!found_listens(c, lower ? FOUND_YIELD_MS : c->others_seen.ns != MONO_NEVER.ns ? FOUND_OTHERS_MS : FOUND_WAIT_MS) &&
	         !found_apart(c, here, met) && !ring_host_wants(c))
		found(c, out);
}
