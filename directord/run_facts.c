/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner's cache of other nodes' facts: read before the cluster begins, given to it after, written now and then and at
 * the end. The key is the node's id; the value one byte of version, the boot that reported them, and the parts as a sync message.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "directord/run_int.h"
#include "directord/store.h"
#include "proto/peer.h"

#define VERSION_BYTE 1
#define HEAD_LEN (1 + BOOT_LEN)

/* One node in the cache: how far its facts go there, and what was read of it until it is given. */
struct run_kept {
	struct facts_have have;
	uint8_t boot[BOOT_LEN];
	struct peer_sync read;
};

static void read_one(void *arg, const void *key, size_t key_len, const void *value, size_t len)
{
	const uint8_t *p = value;
	struct run *r = arg;
	struct run_kept k = { .have = { .floor = 0 } };

	if (key_len != sizeof(k.have.node.b))
		return;
	memcpy(k.have.node.b, key, key_len);
	if (len > HEAD_LEN && p[0] == VERSION_BYTE && peer_sync_decode(p + HEAD_LEN, len - HEAD_LEN, &k.read) == 0)
		memcpy(k.boot, p + 1, BOOT_LEN);
	r->kept = mem_grow(r->kept, &r->cap_kept, r->n_kept, sizeof(*r->kept));
	r->kept[r->n_kept++] = k;
}

void run_facts_read(struct run *r)
{
	store_facts_load(r->store, read_one, r);
}

void run_facts_give(struct run *r)
{
	for (unsigned i = 0; i < r->n_kept; i++) {
		struct run_kept *k = &r->kept[i];
		struct cluster_in in = { .kind = CLUSTER_IN_KEPT, .node = k->have.node, .boot = k->boot, .sync = &k->read.sync };

		if (k->read.sync.n_parts)
			run_step(r, &in);
		peer_sync_fini(&k->read);
		k->have = facts_have(cluster_facts(r->cluster), &k->have.node);
	}
}

static struct run_kept *kept_of(struct run *r, const struct node_id *id)
{
	for (unsigned i = 0; i < r->n_kept; i++)
		if (node_id_eq(&r->kept[i].have.node, id))
			return &r->kept[i];
	r->kept = mem_grow(r->kept, &r->cap_kept, r->n_kept, sizeof(*r->kept));
	r->kept[r->n_kept] = (struct run_kept){ .have = { .node = *id } };
	return &r->kept[r->n_kept++];
}

static void put(struct run *r, const struct cluster_kept *k)
{
	struct gossip_sync sync = { .kind = SYNC_DELTA, .parts = &k->part, .n_parts = 1 };
	struct buf b = { 0 };
	uint8_t version = VERSION_BYTE;

	buf_put(&b, &version, 1);
	buf_put(&b, k->boot, BOOT_LEN);
	peer_sync_encode(&sync, &b);
	store_fact_put(r->store, k->have.node.b, sizeof(k->have.node.b), b.data, b.len);
	buf_fini(&b);
}

void run_facts_save(struct run *r)
{
	const struct facts *f = cluster_facts(r->cluster);

	for (unsigned i = 0; i < facts_nodes(f); i++) {
		struct facts_have have = facts_node_at(f, i);
		struct run_kept *kept = kept_of(r, &have.node);
		struct cluster_kept k;

		if (kept->have.max == have.max && kept->have.floor == have.floor)
			continue;
		if (!cluster_keep(r->cluster, i, &k))
			continue;
		put(r, &k);
		kept->have = have;
		cluster_kept_fini(&k);
	}
	/* Of a node that was removed nothing is kept. */
	for (unsigned i = 0; i < r->n_kept;) {
		if (facts_have(f, &r->kept[i].have.node).max) {
			i++;
			continue;
		}
		store_fact_del(r->store, r->kept[i].have.node.b, sizeof(r->kept[i].have.node.b));
		r->kept[i] = r->kept[--r->n_kept];
	}
}

void run_facts_close(struct run *r)
{
	for (unsigned i = 0; i < r->n_kept; i++)
		peer_sync_fini(&r->kept[i].read);
	mem_autofree(&r->kept);
	r->n_kept = r->cap_kept = 0;
}
