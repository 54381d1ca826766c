/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster key changes: a new one goes into the log, boxed for each node that stays; old ones are dropped. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"

#define KEY_KEEP_MS 10000       /* an old key is dropped when all alive have the new one, or after this */

int rotate_new_key(struct cluster *c, const uint8_t secret[32], uint32_t epoch, struct cluster_out *out)
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

int rotate_make(struct cluster *c, const struct key *k, const char *without, struct txn *t, struct why *why)
{
	const struct tree *tree = catalog_tree(c->catalog);
	const struct object *o = NULL;
	const struct object *cluster = tree_get(tree, "/cluster");
	struct txn_op *op;
	char text[16];

	op = txn_add(t, TXN_SET, "/cluster");
	/* Of two keys for one epoch nodes would take different ones, and not hear each other again. */
	op->if_generation = cluster ? cluster->generation : 0;
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
void rotate_follow(struct cluster *c, struct cluster_out *out)
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
	rotate_new_key(c, k.secret, k.epoch, out);
	sodium_memzero(&k, sizeof(k));
	c->offer_next = mono_add_ms(c->now, KEY_KEEP_MS);
}

/* Old keys go when every node that is alive reports the newest, or after a while. */
void rotate_drop_old(struct cluster *c, struct cluster_out *out)
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
