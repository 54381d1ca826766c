/* SPDX-License-Identifier: Apache-2.0 */
/* Knocking at those who may have the cluster, and offering the key to those who knock and were adopted. */
#include <string.h>

#include <sodium.h>

#include "base/mem.h"
#include "cluster/cluster_priv.h"

#define KNOCK_MS 2000
#define KNOCK_KEYED_MS 4000     /* a node with a key that nobody answers knocks too: its key may be old */
#define OFFER_LEN (4 + 4 + KEY_BOX_LEN)

static const uint8_t offer_magic[4] = { 'd', 'k', 'e', 'y' };

void knock_candidate(struct cluster *c, const struct addr *a)
{
	for (unsigned i = 0; i < c->n_candidates; i++)
		if (addr_eq(&c->candidates[i], a))
			return;
	if (c->n_candidates >= 256) {   /* the oldest makes room: whoever is there says so again */
		memmove(c->candidates, c->candidates + 1, --c->n_candidates * sizeof(*c->candidates));
		c->n_knocked -= c->n_knocked > 0;
	}
	c->candidates = mem_grow(c->candidates, &c->cap_candidates, c->n_candidates, sizeof(*c->candidates));
	c->candidates[c->n_candidates++] = *a;
}

static void knock_at(struct cluster *c, unsigned first, struct cluster_out *out)
{
	for (unsigned i = first; i < c->n_candidates; i++) {
		struct gossip_in in = { .kind = GOSSIP_IN_KNOCK, .from = c->candidates[i],
		                        .blob = c->knock.data, .n_blob = (unsigned)c->knock.len };

		cluster_gossip_step(c, &in, out);
	}
	c->n_knocked = c->n_candidates;
}

void knock_tend(struct cluster *c, struct cluster_out *out)
{
	bool keyed = c->keys.n > 0;
	bool others = admit_nodes(c)->children > 1;

	/* Who slept through a rotation has a lineage and a key, and hears nobody. */
	if (!c->knock.len || (keyed && !c->removed && (gossip_alive(c->gossip) > 1 || (c->has_lineage && !others))))
		return;
	if (keyed && !mono_due(mono_add_ms(c->begun, KNOCK_KEYED_MS), c->now)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->begun, KNOCK_KEYED_MS));
		return;
	}
	if (mono_due(c->knock_next, c->now)) {
		knock_at(c, 0, out);
		c->knock_next = mono_add_ms(c->now, KNOCK_MS);
	} else {
		/* At once, but only there: anybody can say that a node is at any address. */
		knock_at(c, c->n_knocked, out);
	}
	c->wake = mono_min(c->wake, c->knock_next);
}

void knock_offer(struct cluster *c, const uint8_t public_key[32], const struct addr *to, struct cluster_out *out)
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
void knock_offered(struct cluster *c, const struct gossip_event *ev, struct cluster_out *out)
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
		admit_again(c);
	log_info(c->log, "admission: adopted by %s at %s", node_id_fingerprint(&sender, id), addr_text(&ev->addr, text));
	rotate_new_key(c, k.secret, epoch, out);
	sodium_memzero(&k, sizeof(k));
	for (unsigned i = 0; i < c->n_candidates; i++) {
		struct gossip_in in = { .kind = GOSSIP_IN_CANDIDATE, .from = c->candidates[i] };

		cluster_gossip_step(c, &in, out);
	}
}
