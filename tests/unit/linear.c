/* SPDX-License-Identifier: Apache-2.0 */
/* The checker of histories, against a search of all orders: it must say yes exactly when there is one. */
#include "tests/campaign/linear.h"

#include "base/rng.h"
#include "tests/unit/check.h"

#define W(c, r, v) { .call = c, .ret = r, .value = v, .write = true }
#define R(c, r, v) { .call = c, .ret = r, .value = v }

static enum linear_verdict check(struct linear_op *ops, size_t n)
{
	uint64_t a, b;

	return linear_check(ops, n, &a, &b);
}

static void test_in_order(void)
{
	struct linear_op h[] = { R(1, 2, 0), W(3, 4, 1), R(5, 6, 1), W(7, 8, 2), R(9, 10, 2) };

	CHECK_EQ(check(h, 5), LINEAR_OK);
}

static void test_stale_read(void)
{
	struct linear_op h[] = { W(1, 2, 1), W(3, 4, 2), R(5, 6, 1) };

	CHECK(check(h, 3) != LINEAR_OK);
}

static void test_lost_write(void)
{
	struct linear_op h[] = { W(1, 2, 1), R(3, 4, 0) };

	CHECK(check(h, 2) != LINEAR_OK);
}

static void test_write_without_answer(void)
{
	struct linear_op seen[] = { W(1, LINEAR_NEVER, 1), R(3, 4, 0), R(5, 6, 1) };
	struct linear_op unseen[] = { W(1, LINEAR_NEVER, 1), R(3, 4, 0), R(5, 6, 0) };
	struct linear_op undone[] = { W(1, LINEAR_NEVER, 1), R(3, 4, 1), R(5, 6, 0) };

	CHECK_EQ(check(seen, 3), LINEAR_OK);
	CHECK_EQ(check(unseen, 3), LINEAR_OK);
	CHECK(check(undone, 3) != LINEAR_OK);
}

static void test_what_nobody_wrote(void)
{
	struct linear_op h[] = { R(1, 2, 7) };
	struct linear_op early[] = { R(1, 2, 7), W(3, 4, 7) };

	CHECK_EQ(check(h, 1), LINEAR_UNWRITTEN);
	CHECK_EQ(check(early, 2), LINEAR_EARLY);
}

static void test_turns(void)
{
	struct linear_op h[] = { W(1, 20, 1), W(1, 20, 2), R(2, 3, 1), R(4, 5, 2), R(6, 7, 1) };

	CHECK(check(h, 5) != LINEAR_OK);
}

/* Is there an order? Every operation in turn that no other one must precede. */
static bool search(const struct linear_op *ops, size_t n, unsigned done, uint64_t value)
{
	bool all = true;

	for (size_t i = 0; i < n; i++) {
		bool first = !(done & 1u << i);

		if (first && ops[i].ret != LINEAR_NEVER)
			all = false;
		for (size_t k = 0; k < n && first; k++)
			first = (done & 1u << k) || ops[k].ret >= ops[i].call;
		if (!first || (!ops[i].write && ops[i].value != value))
			continue;
		if (search(ops, n, done | 1u << i, ops[i].write ? ops[i].value : value))
			return true;
	}
	return all;
}

static void test_against_search(void)
{
	struct rng r = { 4 };
	unsigned yes = 0;

	for (unsigned round = 0; round < 200000; round++) {
		struct linear_op h[7];
		size_t n = 2 + rng_below(&r, 6);
		uint64_t values = 0;
		bool want;

		for (size_t i = 0; i < n; i++) {
			h[i].call = 1 + rng_below(&r, 20);
			h[i].ret = h[i].call + 1 + rng_below(&r, 8);
			h[i].write = rng_below(&r, 2);
			if (h[i].write && rng_below(&r, 4) == 0)
				h[i].ret = LINEAR_NEVER;
			h[i].value = h[i].write ? ++values : 0;
		}
		for (size_t i = 0; i < n; i++)
			if (!h[i].write)
				h[i].value = rng_below(&r, values + 1);
		want = search(h, n, 0, 0);
		yes += want;
		CHECK_EQ(check(h, n) == LINEAR_OK, want);
	}
	CHECK(yes > 1000);
}

int main(void)
{
	RUN(test_in_order);
	RUN(test_stale_read);
	RUN(test_lost_write);
	RUN(test_write_without_answer);
	RUN(test_what_nobody_wrote);
	RUN(test_turns);
	RUN(test_against_search);
	return 0;
}
