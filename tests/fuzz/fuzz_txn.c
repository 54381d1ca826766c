/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a transaction: refused or, when they decode, encoded to the same again and safe to apply. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "cluster/catalog.h"
#include "proto/txn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply_twice(const struct txn *t)
{
	struct catalog *c = catalog_new();
	struct catalog_result r, again;
	struct txn node = { .request_id = { 1 } };
	uint8_t before[32], after[32];

	attrs_set(&txn_add(&node, TXN_CREATE, "/nodes/n1")->attrs, "id", "00000000000000000000000000000001");
	catalog_apply(c, 1, &node, &r);
	assert(r.err == 0);
	txn_fini(&node);
	catalog_check(c, t, &again, NULL);
	catalog_apply(c, 2, t, &r);
	assert(again.err == r.err);
	catalog_hash(c, before);
	catalog_apply(c, 3, t, &again);
	catalog_hash(c, after);
	/* The second time nothing but the index moves. */
	assert(again.err == r.err);
	assert(!again.n_changes);
	catalog_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = { 0 }, again = { 0 };
	struct txn t;

	if (txn_decode(data, size, &t) < 0)
		return 0;
	if (txn_encode(&t, &b) == 0) {
		struct txn u;

		assert(txn_decode(b.data, b.len, &u) == 0);
		assert(txn_encode(&u, &again) == 0);
		assert(b.len == again.len && memcmp(b.data, again.data, b.len) == 0);
		txn_fini(&u);
	}
	apply_twice(&t);
	buf_fini(&b);
	buf_fini(&again);
	txn_fini(&t);
	return 0;
}
