/* SPDX-License-Identifier: Apache-2.0 */
/* A successor waits no longer than the silence of the former owner makes necessary (doc/ownership.md 2). */
#include "tests/unit/own_world.h"

static uint64_t applied, beat;

static void voters(struct node_id x, struct node_id y, struct node_id z, uint64_t at)
{
	struct own_view v = { .member = { B, C }, .n_member = 2, .voter = { x, y, z }, .n_voter = 3, .quorate = true };

	step((struct own_in){ .kind = OWN_IN_VIEW, .view = &v }, at);
}

static void apply(struct own_row r, uint64_t at)
{
	applied++;
	step((struct own_in){ .kind = OWN_IN_LOG, .index = applied, .number = applied, .epoch = 5 }, at);
	step((struct own_in){ .kind = OWN_IN_ROW, .row = &r }, at);
	if (did(OWN_ACT_BEAT))
		beat = did(OWN_ACT_BEAT)->number;
	step((struct own_in){ .kind = OWN_IN_APPLIED, .index = applied }, at);
}

/* B takes from A at 10,000, and has it open; it was heard of last at `heard`. */
static void taken(uint64_t heard)
{
	own = own_new(&B);
	applied = 0;
	voters(A, B, C, 0);
	step((struct own_in){ .kind = OWN_IN_TARGET_UP }, 0);
	apply(row(A, 2), 0);
	step((struct own_in){ .kind = OWN_IN_BEAT, .node = A, .number = 9 }, heard);
	beat = 0;
	apply(row(B, 3), 10000);
	CHECK(beat != 0);
	step((struct own_in){ .kind = OWN_IN_OPENED, .volume = row(B, 3).uuid, .epoch = 3 }, 10000);
}

static bool leased_by(struct node_id from, uint64_t end, uint64_t silent, uint64_t at)
{
	step((struct own_in){ .kind = OWN_IN_ECHO, .node = from, .number = beat, .index = end, .silent = silent }, at);
	return did(OWN_ACT_LEASE);
}

static bool leased_at(uint64_t at)
{
	bool leased;

	step((struct own_in){ .kind = OWN_IN_TIMER }, at);
	leased = did(OWN_ACT_LEASE);
	beat = did(OWN_ACT_BEAT) ? did(OWN_ACT_BEAT)->number : beat;
	return leased_by(C, applied, 0, at) || leased;
}

static void test_one_that_was_silent_for_longer_than_a_lease_is_not_waited_for(void)
{
	taken(5000);
	CHECK(leased_by(C, applied, 4001, 10001));
	own_free(&own);
}

static void test_the_voter_that_heard_it_last_counts(void)
{
	taken(5000);
	CHECK(!leased_by(C, applied, 301, 10001));
	CHECK(!leased_at(10001 + OWN_WAIT_MS - 301));
	CHECK(leased_at(10001 + OWN_WAIT_MS - 301 + 10));
	own_free(&own);
	taken(9700);
	CHECK(!leased_by(C, applied, 4001, 10001));
	CHECK(!leased_at(9700 + OWN_WAIT_MS - 1));
	CHECK(leased_at(9700 + OWN_WAIT_MS + 10));
	own_free(&own);
}

static void whole_wait(void)
{
	CHECK(!leased_at(10000 + OWN_WAIT_MS - 1));
	CHECK(leased_at(10000 + OWN_WAIT_MS));
	own_free(&own);
}

static void test_who_does_not_say_or_does_not_have_the_take_does_not_count(void)
{
	taken(5000);
	CHECK(!leased_by(C, applied, 0, 10001));
	whole_wait();
	taken(5000);
	CHECK(!leased_by(C, applied - 1, 4001, 10001));
	whole_wait();
}

static void test_the_former_owner_says_nothing_about_itself(void)
{
	taken(5000);
	CHECK(!leased_by(A, applied, 4001, 10001));
	whole_wait();
}

static void test_other_voters_than_before_say_nothing(void)
{
	taken(5000);
	voters((struct node_id){ { 4 } }, B, C, 10001);
	CHECK(!leased_by(C, applied, 4001, 10002));
	CHECK(!leased_at(10000 + OWN_WAIT_MS - 1));
	own_free(&own);
}

static void test_a_node_that_began_before_was_silent_since(void)
{
	own = own_new(&B);
	applied = 1;
	voters(A, B, C, 9900);
	step((struct own_in){ .kind = OWN_IN_TARGET_UP }, 9900);
	apply(row(A, 2), 9900);
	apply(row(B, 3), 12000);
	step((struct own_in){ .kind = OWN_IN_OPENED, .volume = row(B, 3).uuid, .epoch = 3 }, 12000);
	/* Whatever an earlier life of ours echoed was before 9900. */
	CHECK(leased_by(C, applied, 4001, 12001));
	own_free(&own);
}

static uint64_t said(struct node_id asked, uint64_t at)
{
	step((struct own_in){ .kind = OWN_IN_BEAT, .node = C, .number = 5, .asked = asked, .epoch = 8 }, at);
	CHECK(did(OWN_ACT_ECHO) != NULL);
	return did(OWN_ACT_ECHO) ? did(OWN_ACT_ECHO)->silent : 0;
}

static void test_a_voter_says_since_when(void)
{
	own = own_new(&B);
	applied = 0;
	voters(A, B, C, 0);
	step((struct own_in){ .kind = OWN_IN_LOG, .index = 3, .number = 3, .epoch = 8 }, 0);
	CHECK_EQ(said(A, 400), 401);            /* it may have echoed it before it began */
	step((struct own_in){ .kind = OWN_IN_BEAT, .node = A, .number = 9 }, 1000);
	CHECK_EQ(said(A, 1700), 701);
	CHECK_EQ(said(B, 1700), 0);
	CHECK_EQ(said(NODE_ID_NONE, 1700), 0);
	/* What is not on its disk yet may be lost, and then it knows nothing of a take. */
	step((struct own_in){ .kind = OWN_IN_LOG, .index = 4, .number = 3, .epoch = 8 }, 1800);
	CHECK_EQ(said(A, 1900), 0);
	step((struct own_in){ .kind = OWN_IN_LOG, .index = 4, .number = 4, .epoch = 8 }, 2000);
	CHECK_EQ(said(A, 2000), 1001);
	/* In another order there may be something else at the take's place. */
	step((struct own_in){ .kind = OWN_IN_LOG, .index = 5, .number = 5, .epoch = 7 }, 2100);
	CHECK_EQ(said(A, 2100), 0);
	step((struct own_in){ .kind = OWN_IN_LOG, .index = 5, .number = 5 }, 2200);
	CHECK_EQ(said(A, 2200), 0);
	own_free(&own);
}

int main(void)
{
	RUN(test_one_that_was_silent_for_longer_than_a_lease_is_not_waited_for);
	RUN(test_the_voter_that_heard_it_last_counts);
	RUN(test_who_does_not_say_or_does_not_have_the_take_does_not_count);
	RUN(test_the_former_owner_says_nothing_about_itself);
	RUN(test_other_voters_than_before_say_nothing);
	RUN(test_a_node_that_began_before_was_silent_since);
	RUN(test_a_voter_says_since_when);
	own_out_fini(&out);
	return 0;
}
