/* SPDX-License-Identifier: Apache-2.0 */
/* Seals, boxes and knocks: what fits opens, everything else is refused for the right reason. */
#include "proto/seal.h"

#include <sodium.h>

#include "base/err.h"
#include "cluster/box.h"
#include "tests/unit/check.h"

static const uint8_t key1[32] = { 1 }, key2[32] = { 2 };
static const uint8_t boot_a[BOOT_LEN] = { 0xa, 1, 2, 3, 4 }, boot_b[BOOT_LEN] = { 0xb, 1, 2, 3, 4 };
static const uint8_t boot_c[BOOT_LEN] = { 0xc, 1, 2, 3, 4 };

struct known {
	uint8_t boot[2][BOOT_LEN];
	uint64_t highest;
};

static bool boot_of(void *arg, uint32_t tag, unsigned nth, uint8_t boot[BOOT_LEN], uint64_t *counter)
{
	struct known *k = arg;

	(void)tag;
	if (nth > 1)
		return false;
	memcpy(boot, k->boot[nth], BOOT_LEN);
	*counter = k->highest;
	return true;
}

static void make(struct seal *s, const uint8_t *boot)
{
	seal_init(s, boot);
	CHECK_EQ(seal_key_add(s, 1, key1), 0);
}

static int try(struct seal *s, struct buf *wire, struct known *k, struct gossip_head *head, struct buf *out)
{
	return seal_open(s, wire->data, wire->len, k ? boot_of : NULL, k, head, out);
}

static void every_form_opens_at_its_receiver_only(void)
{
	static const enum gossip_form forms[] = { GOSSIP_NEAR, GOSSIP_FAR, GOSSIP_FIRST };
	static const size_t overhead[] = { SEAL_OVERHEAD_NEAR, SEAL_OVERHEAD_FAR, SEAL_OVERHEAD_FIRST };
	struct seal a, b, c;
	struct known k = { .highest = 0 };

	make(&a, boot_a);
	make(&b, boot_b);
	make(&c, boot_c);
	memcpy(k.boot[0], boot_c, BOOT_LEN);
	memcpy(k.boot[1], boot_a, BOOT_LEN);
	for (unsigned i = 0; i < 3; i++) {
		struct buf wire = { 0 }, out = { 0 };
		struct gossip_head head;

		CHECK_EQ(seal_close(&a, forms[i], boot_b, (const uint8_t *)"hello", 5, &wire), 0);
		CHECK_EQ(wire.len, 5 + overhead[i]);
		CHECK_EQ(try(&b, &wire, &k, &head, &out), 0);
		CHECK_STR(buf_str(&out), "hello");
		CHECK_EQ(head.form, forms[i]);
		CHECK_EQ(head.key_epoch, 1);
		CHECK_EQ(head.counter, i + 1);
		CHECK(memcmp(head.boot, boot_a, BOOT_LEN) == 0);
		CHECK_EQ(try(&c, &wire, &k, &head, &out), forms[i] == GOSSIP_FIRST ? 0 : ERR_AGAIN);
		CHECK_EQ(try(&b, &wire, NULL, &head, &out), forms[i] == GOSSIP_NEAR ? ERR_AGAIN : 0);
		buf_fini(&wire);
		buf_fini(&out);
	}
}

static void a_flipped_bit_anywhere_is_refused(void)
{
	static const enum gossip_form forms[] = { GOSSIP_NEAR, GOSSIP_FAR, GOSSIP_FIRST };
	struct seal a, b;
	struct known k = { .highest = 0 };

	make(&a, boot_a);
	make(&b, boot_b);
	memcpy(k.boot[0], boot_a, BOOT_LEN);
	memcpy(k.boot[1], boot_a, BOOT_LEN);
	for (unsigned f = 0; f < 3; f++) {
		struct buf wire = { 0 }, out = { 0 };
		struct gossip_head head;

		seal_close(&a, forms[f], boot_b, (const uint8_t *)"hello", 5, &wire);
		for (size_t bit = 0; bit < wire.len * 8; bit++) {
			/* The sender's tag only picks the boot; here each pick is the right one. */
			if (forms[f] == GOSSIP_NEAR && bit / 8 >= 2 && bit / 8 < 6)
				continue;
			wire.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* The lowest bits of the first byte may name another form, the clear one among them. */
			CHECK(bit < 8 || try(&b, &wire, &k, &head, &out) < 0);
			wire.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		CHECK_EQ(out.len, 0);
		for (size_t n = 1; n < wire.len; n++)
			CHECK(seal_open(&b, wire.data, n, boot_of, &k, &head, &out) < 0);
		CHECK_EQ(try(&b, &wire, &k, &head, &out), 0);
		buf_fini(&wire);
		buf_fini(&out);
	}
}

static void the_tag_of_near_is_authenticated(void)
{
	struct buf wire = { 0 }, out = { 0 };
	struct known k = { .highest = 0 };
	struct gossip_head head;
	struct seal a, b;

	make(&a, boot_a);
	make(&b, boot_b);
	memcpy(k.boot[0], boot_a, BOOT_LEN);
	memcpy(k.boot[1], boot_a, BOOT_LEN);
	seal_close(&a, GOSSIP_NEAR, boot_b, (const uint8_t *)"x", 1, &wire);
	wire.data[3] ^= 1;
	CHECK_EQ(try(&b, &wire, &k, &head, &out), ERR_CRYPTO);
	buf_fini(&wire);
	buf_fini(&out);
}

static void the_short_counter_is_completed_from_the_highest_seen(void)
{
	static const uint64_t counters[] = { 1, 0xffffff, 0x1000000, 0x1000001, 0x7ffffff, 0x123456789a };
	struct seal a, b;
	struct known k = { .highest = 0 };

	make(&a, boot_a);
	make(&b, boot_b);
	memcpy(k.boot[0], boot_a, BOOT_LEN);
	memcpy(k.boot[1], boot_a, BOOT_LEN);
	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		for (int64_t seen = -300000; seen <= 300000; seen += 100000) {
			struct buf wire = { 0 }, out = { 0 };
			struct gossip_head head;

			if ((int64_t)counters[i] + seen < 0)
				continue;
			a.counter = counters[i] - 1;
			k.highest = counters[i] + (uint64_t)seen;
			seal_close(&a, GOSSIP_NEAR, boot_b, (const uint8_t *)"x", 1, &wire);
			CHECK_EQ(try(&b, &wire, &k, &head, &out), 0);
			CHECK_EQ(head.counter, counters[i]);
			buf_fini(&wire);
			buf_fini(&out);
		}
	}
}

static void keys_rotate(void)
{
	struct buf old = { 0 }, new = { 0 }, out = { 0 };
	struct gossip_head head;
	struct seal a, b;

	make(&a, boot_a);
	make(&b, boot_b);
	CHECK_EQ(seal_key_add(&a, 0, key2), ERR_INVAL);
	seal_close(&a, GOSSIP_FAR, boot_b, (const uint8_t *)"x", 1, &old);
	CHECK_EQ(seal_key_add(&a, 2, key2), 0);
	CHECK_EQ(seal_epoch(&a), 2);
	seal_close(&a, GOSSIP_FAR, boot_b, (const uint8_t *)"x", 1, &new);
	CHECK_EQ(try(&b, &old, NULL, &head, &out), 0);
	CHECK_EQ(try(&b, &new, NULL, &head, &out), ERR_DENIED);
	seal_key_add(&b, 2, key1);
	CHECK_EQ(try(&b, &new, NULL, &head, &out), ERR_CRYPTO);
	seal_key_add(&b, 2, key2);
	CHECK_EQ(try(&b, &new, NULL, &head, &out), 0);
	CHECK_EQ(head.key_epoch, 2);
	seal_key_drop_below(&b, 2);
	CHECK_EQ(try(&b, &old, NULL, &head, &out), ERR_DENIED);
	for (uint32_t e = 3; e < 20; e++)
		CHECK_EQ(seal_key_add(&b, e, key1), 0);
	CHECK_EQ(b.n_keys, SEAL_KEYS_MAX);
	CHECK_EQ(seal_epoch(&b), 19);
	CHECK_EQ(seal_key_add(&b, 2, key1), ERR_LIMIT);
	seal_fini(&b);
	CHECK_EQ(seal_close(&b, GOSSIP_FAR, boot_a, (const uint8_t *)"x", 1, &new), ERR_CRYPTO);
	buf_fini(&old);
	buf_fini(&new);
	buf_fini(&out);
}

static void a_knock_is_signed_by_who_knocks(void)
{
	uint8_t sk[64], seed[32] = { 1 };
	struct buf b = { 0 };
	struct knock k = { .boot = { 7 }, .name = "new" }, got;

	crypto_sign_seed_keypair(k.public_key, sk, seed);
	CHECK_EQ(knock_make(&k, sk, &b), 0);
	CHECK_EQ(knock_open(b.data, b.len, &got), 0);
	CHECK_STR(got.name, "new");
	CHECK(memcmp(got.public_key, k.public_key, 32) == 0);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		CHECK(knock_open(b.data, b.len, &got) < 0);
		b.data[i] ^= 1;
	}
	for (size_t n = 0; n < b.len; n++)
		CHECK(knock_open(b.data, n, &got) < 0);
	k.name[0] = '\0';
	CHECK_EQ(knock_make(&k, sk, &b), ERR_INVAL);
	buf_fini(&b);
}

int main(void)
{
	RUN(every_form_opens_at_its_receiver_only);
	RUN(a_flipped_bit_anywhere_is_refused);
	RUN(the_tag_of_near_is_authenticated);
	RUN(the_short_counter_is_completed_from_the_highest_seen);
	RUN(keys_rotate);
	RUN(a_knock_is_signed_by_who_knocks);
	return 0;
}
