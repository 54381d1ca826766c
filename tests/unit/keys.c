/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/keys: the ring of key epochs and the boxes they travel in. */
#include <sodium.h>

#include "base/err.h"
#include "cluster/keys.h"
#include "tests/unit/check.h"

static void the_ring_keeps_the_newest_in_order(void)
{
	struct keys ks = { .n = 0 };

	for (uint32_t e = 1; e <= KEYS_MAX + 2; e++)
		CHECK(keys_add(&ks, &(struct key){ .epoch = e, .secret = { (uint8_t)e } }));
	CHECK_EQ(ks.n, KEYS_MAX);
	CHECK_EQ(keys_newest(&ks)->epoch, KEYS_MAX + 2);
	CHECK(!keys_find(&ks, 2) && keys_find(&ks, 3));
	CHECK(!keys_add(&ks, &(struct key){ .epoch = 1 }));
	CHECK(!keys_add(&ks, &(struct key){ .epoch = 5, .secret = { 5 } }));
	CHECK(keys_drop_before(&ks, 9) && ks.n == 2 && !keys_find(&ks, 8));
}

static void a_box_opens_only_for_its_receiver_and_unchanged(void)
{
	uint8_t pa[32], sa[64], pb[32], sb[64], pc[32], sc[64], seed[32] = { 1 }, box[KEY_BOX_LEN], again[KEY_BOX_LEN];
	struct key k = { .epoch = 7, .secret = { 9, 8, 7 } }, got;
	struct node_id sender, a;

	crypto_sign_seed_keypair(pa, sa, seed);
	seed[0] = 2;
	crypto_sign_seed_keypair(pb, sb, seed);
	seed[0] = 3;
	crypto_sign_seed_keypair(pc, sc, seed);
	CHECK_EQ(keys_box(&k, pa, sa, pb, box), 0);
	CHECK_EQ(keys_unbox(box, 7, sb, &got, &sender), 0);
	CHECK(got.epoch == 7 && memcmp(got.secret, k.secret, 32) == 0);
	a = node_id_of_key(pa);
	CHECK(node_id_eq(&sender, &a));
	CHECK_EQ(keys_unbox(box, 7, sc, &got, &sender), ERR_CRYPTO);
	for (unsigned i = 0; i < KEY_BOX_LEN; i++) {
		memcpy(again, box, KEY_BOX_LEN);
		again[i] ^= 4;
		CHECK_EQ(keys_unbox(again, 7, sb, &got, &sender), ERR_CRYPTO);
	}
}

static void derived_keys_differ_by_use_and_salt(void)
{
	struct key k = { .epoch = 1, .secret = { 1 } };
	uint8_t salt[16] = { 0 }, a[256], b[256], part[64];

	keys_derive(&k, "corosync", salt, a, 256);
	keys_derive(&k, "other", salt, b, 256);
	CHECK(memcmp(a, b, 64) != 0 && memcmp(a, a + 64, 64) != 0);
	keys_derive(&k, "corosync", salt, part, 64);
	CHECK(memcmp(a, part, 64) == 0);
	salt[3] = 1;
	keys_derive(&k, "corosync", salt, b, 256);
	CHECK(memcmp(a, b, 64) != 0);
}

int main(void)
{
	CHECK(sodium_init() >= 0);
	RUN(the_ring_keeps_the_newest_in_order);
	RUN(a_box_opens_only_for_its_receiver_and_unchanged);
	RUN(derived_keys_differ_by_use_and_salt);
	return 0;
}
