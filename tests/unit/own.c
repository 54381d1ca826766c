/* SPDX-License-Identifier: Apache-2.0 */
/* Spreading the load when a node is back: when, what, whereto, and when not. */
#include "cluster/own.h"

#include "tests/unit/check.h"

#define VOLUMES 6

static struct own_row rows[VOLUMES];
static const struct own_row *list[VOLUMES];
static unsigned lead[VOLUMES];

static struct node_id id(unsigned n)
{
	return (struct node_id){ { [0] = (uint8_t)n } };
}

/* All served by node 1, each with a leg there and one on node 2 or 3 in turn. */
static void all_on_one(void)
{
	memset(rows, 0, sizeof(rows));
	for (unsigned i = 0; i < VOLUMES; i++) {
		rows[i].uuid[0] = (uint8_t)(i + 1);
		rows[i].owner = id(1);
		rows[i].epoch = 1;
		rows[i].n_leg = 2;
		rows[i].leg[0] = (struct own_leg){ .node = id(1), .state = OWN_LEG_IN };
		rows[i].leg[1] = (struct own_leg){ .node = id(2 + i % 2), .state = OWN_LEG_IN };
		list[i] = &rows[i];
		lead[i] = i;
	}
}

static const struct own_row *ask(unsigned self, uint64_t two, uint64_t three, struct node_id *to)
{
	struct own_steady node[] = { { id(1), 10 * OWN_RETURNED_MS }, { id(2), two }, { id(3), three } };

	return own_balance(list, lead, VOLUMES, &(struct node_id){ { [0] = (uint8_t)self } }, node, 3, to);
}

static void test_only_the_fullest_gives_and_only_to_who_is_back_for_a_while(void)
{
	struct node_id to, two = id(2);
	const struct own_row *r;

	all_on_one();
	CHECK(!ask(1, OWN_STEADY_MS - 1, 10, &to));
	CHECK(!ask(1, OWN_RETURNED_MS + 1, 10, &to));
	CHECK(!ask(2, OWN_STEADY_MS, 10, &to));
	r = ask(1, OWN_STEADY_MS, 10, &to);
	CHECK(r == &rows[0] && node_id_eq(&to, &two));
}

static void test_it_ends_and_never_goes_back(void)
{
	struct node_id to;
	const struct own_row *r;
	unsigned moves = 0, n[4] = { 0 };

	all_on_one();
	for (unsigned self = 1; self <= 3; self = r ? 1 : self + 1)
		if ((r = ask(self, OWN_STEADY_MS, OWN_STEADY_MS, &to)) != NULL) {
			((struct own_row *)r)->owner = to;
			CHECK(++moves < 10);
		}
	for (unsigned i = 0; i < VOLUMES; i++)
		n[rows[i].owner.b[0]]++;
	CHECK_EQ(moves, 4);
	CHECK(n[1] == 2 && n[2] == 2 && n[3] == 2);
}

static void test_not_while_anything_moves_or_lacks_a_leg(void)
{
	struct node_id to;

	all_on_one();
	rows[5].want = id(3);
	CHECK(!ask(1, OWN_STEADY_MS, OWN_STEADY_MS, &to));
	all_on_one();
	rows[5].leg[1].state = OWN_LEG_OUT;
	CHECK(!ask(1, OWN_STEADY_MS, OWN_STEADY_MS, &to));
}

/* Moves until nothing moves any more; how many that took. */
static unsigned settle(void)
{
	const struct own_row *r;
	struct node_id to;
	unsigned moves = 0;

	for (unsigned self = 1; self <= 3; self = r ? 1 : self + 1)
		if ((r = ask(self, OWN_STEADY_MS, OWN_STEADY_MS, &to)) != NULL) {
			((struct own_row *)r)->owner = to;
			CHECK(++moves < 20);
		}
	return moves;
}

/* Three of six belong together, all with legs on nodes 1 and 2: they go together, and nothing comes back. */
static void test_what_belongs_together_goes_together(void)
{
	struct node_id two = id(2), three = id(3);

	all_on_one();
	lead[2] = lead[4] = 0;
	CHECK(settle() > 0);
	CHECK(node_id_eq(&rows[0].owner, &rows[2].owner) && node_id_eq(&rows[0].owner, &rows[4].owner));
	CHECK_EQ(settle(), 0);
	/* Too many of them to be worth it: all but one of what node 1 has. */
	all_on_one();
	lead[1] = lead[2] = lead[3] = lead[4] = 0;
	for (unsigned i = 0; i < VOLUMES; i++)
		rows[i].leg[1].node = two;
	settle();
	for (unsigned i = 1; i <= 4; i++)
		CHECK(node_id_eq(&rows[i].owner, &rows[0].owner));
	CHECK_EQ(settle(), 0);
	/* Another node that has the one they belong to, and is back: they follow as far as their legs allow. */
	all_on_one();
	lead[2] = lead[3] = 0;
	rows[0].owner = two;
	settle();
	CHECK(node_id_eq(&rows[2].owner, &two));
	CHECK(!node_id_eq(&rows[3].owner, &two));
	CHECK(node_id_eq(&rows[1].owner, &three) || node_id_eq(&rows[5].owner, &three) || node_id_eq(&rows[3].owner, &three));
	CHECK_EQ(settle(), 0);
}

int main(void)
{
	RUN(test_what_belongs_together_goes_together);
	RUN(test_only_the_fullest_gives_and_only_to_who_is_back_for_a_while);
	RUN(test_it_ends_and_never_goes_back);
	RUN(test_not_while_anything_moves_or_lacks_a_leg);
	return 0;
}
