/* SPDX-License-Identifier: Apache-2.0 */
/* target/iscsi: which bytes of a transfer are here, against an array of flags. */
#include <string.h>

#include "base/rng.h"
#include "target/iscsi/cover.h"
#include "tests/unit/check.h"

#define LEN 300u

static void agrees(const struct cover *c, const bool *have)
{
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < LEN; i++)
		bytes += have[i];
	CHECK_EQ(cover_bytes(c), bytes);
	for (uint32_t from = 0; from < LEN; from += 7) {
		struct cover_range h;
		uint32_t hole = from;
		bool any = false;

		while (hole < LEN && have[hole])
			hole++;
		CHECK_EQ(cover_hole(c, from, LEN, &h), hole < LEN);
		if (hole < LEN) {
			CHECK_EQ(h.from, hole);
			while (hole < LEN && !have[hole])
				hole++;
			CHECK_EQ(h.to, hole);
		}
		for (uint32_t i = from; i < from + 5 && i < LEN; i++)
			any |= have[i];
		CHECK_EQ(cover_touches(c, from, from + 5 < LEN ? from + 5 : LEN), any);
	}
}

static void a_set_of_ranges_is_a_set_of_bytes(void)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct rng r = { seed };
		struct cover c = { 0 };
		bool have[LEN] = { false };

		for (unsigned n = 0; n < 40; n++) {
			uint32_t from = (uint32_t)(rng_next(&r) % LEN), len = (uint32_t)(rng_next(&r) % 20);
			uint32_t to = from + len < LEN ? from + len : LEN;

			cover_add(&c, from, to);
			memset(have + from, true, to - from);
			agrees(&c, have);
		}
		cover_fini(&c);
	}
}

static void data_in_order_takes_no_memory(void)
{
	struct cover c = { 0 };

	for (uint32_t at = 0; at < 1u << 20; at += 8192)
		cover_add(&c, at, at + 8192);
	CHECK(!c.more);
	CHECK_EQ(c.head, 1u << 20);
}

int main(void)
{
	RUN(a_set_of_ranges_is_a_set_of_bytes);
	RUN(data_in_order_takes_no_memory);
	return 0;
}
