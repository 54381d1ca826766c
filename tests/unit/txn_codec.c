/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions and snapshots as bytes: there and back, unknown fields, limits. */
#include "proto/txn.h"

#include "base/buf.h"
#include "tests/unit/txns.h"

static void test_txn_there_and_back(void)
{
	struct txn t = txn_of("+ /volumes/v1 size=1G comment=\xc3\xa4", "~ /cluster name=x comment=", "- /targets/" IQN, NULL), u;
	struct buf b = { 0 };

	t.base = 17;
	t.ops[1].if_generation = 9;
	CHECK_EQ(txn_encode(&t, &b), 0);
	CHECK_EQ(txn_decode(b.data, b.len, &u), 0);
	CHECK(memcmp(t.request_id, u.request_id, 16) == 0);
	CHECK_STR(u.author, "root");
	CHECK_STR(u.message, "test");
	CHECK_EQ(u.base, 17);
	CHECK_EQ(u.n_ops, 3);
	CHECK_EQ(u.ops[1].if_generation, 9);
	CHECK_EQ(u.ops[2].kind, TXN_DELETE);
	for (unsigned i = 0; i < 3; i++)
		CHECK(attrs_eq(&t.ops[i].attrs, &u.ops[i].attrs));
	CHECK_STR(attrs_get(&u.ops[1].attrs, "comment"), "");
	txn_fini(&t);
	txn_fini(&u);
	buf_fini(&b);
}

static void test_unknown_fields_do_no_harm(void)
{
	static const uint8_t later[] = { 0xf8, 0x07, 0x2a, 0xfa, 0x07, 0x03, 'n', 'e', 'w' };
	struct txn t = txn_of("- /volumes/v1", NULL), u;
	struct catalog *c = small_cluster(), *d = NULL;
	struct snapshot s;
	struct buf b = { 0 };

	CHECK_EQ(txn_encode(&t, &b), 0);
	buf_put(&b, later, sizeof(later));
	CHECK_EQ(txn_decode(b.data, b.len, &u), 0);
	CHECK_STR(u.ops[0].path, "/volumes/v1");
	txn_fini(&t);
	txn_fini(&u);
	buf_reset(&b);
	catalog_snapshot(c, &s);
	snapshot_encode(&s, &b);
	buf_put(&b, later, sizeof(later));
	snapshot_fini(&s);
	CHECK_EQ(snapshot_decode(b.data, b.len, &s), 0);
	CHECK_EQ(catalog_load(&d, &s), 0);
	catalog_free(&c);
	catalog_free(&d);
	buf_fini(&b);
}

static int decode_with(void (*spoil)(struct txn *))
{
	struct txn t = txn_of("+ /volumes/v1 size=1G", NULL), u;
	struct buf b = { 0 };
	int err;

	spoil(&t);
	CHECK_EQ(txn_encode(&t, &b), 0);
	err = txn_decode(b.data, b.len, &u);
	if (err == 0)
		txn_fini(&u);
	txn_fini(&t);
	buf_fini(&b);
	return err;
}

static void spoil_nothing(struct txn *t) { (void)t; }
static void spoil_kind(struct txn *t) { t->ops[0].kind = 6; }
static void spoil_path(struct txn *t) { t->ops[0].path[0] = 'x'; }
static void spoil_utf8(struct txn *t) { t->ops[0].attrs.a[0].value[0] = (char)0xff; }
static void spoil_control(struct txn *t) { t->message[0] = '\n'; }
static void spoil_key(struct txn *t) { t->ops[0].attrs.a[0].key[0] = '\0'; }

static void test_bad_txns_are_malformed(void)
{
	CHECK_EQ(decode_with(spoil_nothing), 0);
	CHECK_EQ(decode_with(spoil_kind), ERR_MALFORMED);
	CHECK_EQ(decode_with(spoil_path), ERR_MALFORMED);
	CHECK_EQ(decode_with(spoil_utf8), ERR_MALFORMED);
	CHECK_EQ(decode_with(spoil_control), ERR_MALFORMED);
	CHECK_EQ(decode_with(spoil_key), ERR_MALFORMED);
}

static void test_too_large_a_txn(void)
{
	struct txn t = txn_of(NULL, NULL);
	struct buf b = { 0 };
	char value[4001];

	memset(value, 'x', 4000);
	value[4000] = '\0';
	for (unsigned i = 0; i < 300; i++)
		attrs_set(&txn_add(&t, TXN_SET, "/volumes/v1")->attrs, "p.x", value);
	CHECK_EQ(txn_encode(&t, &b), ERR_LIMIT);
	CHECK_EQ(b.len, 0);
	txn_fini(&t);
	buf_fini(&b);
}

static void test_snapshot_there_and_back(void)
{
	struct catalog *c = small_cluster(), *d = NULL;
	uint8_t x[32], y[32];
	struct snapshot s;
	struct buf b = { 0 };

	APPLY_OK(c, "~ /volumes/v1 comment=a");
	APPLY_OK(c, "- /targets/" IQN "/luns/0", "- /volumes/v1");
	apply(c, txn_of("- /volumes/nix", NULL));
	catalog_snapshot(c, &s);
	snapshot_encode(&s, &b);
	snapshot_fini(&s);
	CHECK_EQ(snapshot_decode(b.data, b.len, &s), 0);
	CHECK_EQ(catalog_load(&d, &s), 0);
	catalog_hash(c, x);
	catalog_hash(d, y);
	CHECK(memcmp(x, y, 32) == 0);
	/* What was remembered can be used: the deletion is undone. */
	struct txn t;

	CHECK_EQ(catalog_undo(d, 5, &t, NULL), 0);
	CHECK_EQ(t.n_ops, 2);
	txn_fini(&t);
	catalog_free(&c);
	catalog_free(&d);
	buf_fini(&b);
}

/* No prefix of a snapshot is a snapshot, and no single flipped bit becomes another state. */
static void test_damaged_snapshots(void)
{
	struct catalog *c = small_cluster(), *d = NULL;
	struct snapshot s;
	struct buf b = { 0 };

	catalog_snapshot(c, &s);
	snapshot_encode(&s, &b);
	snapshot_fini(&s);
	for (size_t n = 0; n < b.len; n++) {
		if (snapshot_decode(b.data, n, &s) < 0)
			continue;
		CHECK(catalog_load(&d, &s) < 0);
		snapshot_fini(&s);
	}
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (snapshot_decode(b.data, b.len, &s) == 0) {
			/* The text of a refusal is not state; nothing else may differ and load. */
			int err = catalog_load(&d, &s);
			uint8_t x[32], y[32];

			if (err == 0) {
				catalog_hash(c, x);
				catalog_hash(d, y);
				CHECK(memcmp(x, y, 32) == 0);
			}
			snapshot_fini(&s);
		}
		b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	catalog_free(&c);
	catalog_free(&d);
	buf_fini(&b);
}

int main(void)
{
	RUN(test_txn_there_and_back);
	RUN(test_unknown_fields_do_no_harm);
	RUN(test_bad_txns_are_malformed);
	RUN(test_too_large_a_txn);
	RUN(test_snapshot_there_and_back);
	RUN(test_damaged_snapshots);
	return 0;
}
