/* SPDX-License-Identifier: Apache-2.0 */
/* A node that was switched off need not be waited for; when that is so, and when it is not. */
#include "tests/unit/own_world.h"

static struct own_view view;

static uint64_t applied;

static void apply(struct own_row r, uint64_t at)
{
	step((struct own_in){ .kind = OWN_IN_ROW, .row = &r, .index = ++applied }, at);
	step((struct own_in){ .kind = OWN_IN_APPLIED, .index = applied }, at);
	step((struct own_in){ .kind = OWN_IN_LOG, .index = applied }, at);
}

/* B, the only voter, sees itself alone; the volume was of `before` since `since`. */
static void world(struct node_id before, uint64_t since)
{
	view = (struct own_view){ .member = { B }, .n_member = 1, .voter = { B }, .n_voter = 1, .quorate = true };
	own = own_new(&B);
	applied = 0;
	step((struct own_in){ .kind = OWN_IN_VIEW, .view = &view }, 0);
	step((struct own_in){ .kind = OWN_IN_TARGET_UP }, 0);
	apply(row(C, 1), 0);
	apply(row(before, 2), since);
}

/* B takes it at 10 s, and its director-target opens it at once. */
static void taken(void)
{
	apply(row(B, 3), 10000);
	step((struct own_in){ .kind = OWN_IN_OPENED, .volume = row(B, 3).uuid, .epoch = 3 }, 10010);
}

static bool leased(void)
{
	return did(OWN_ACT_LEASE);
}

static bool leased_at(uint64_t at)
{
	step((struct own_in){ .kind = OWN_IN_TIMER }, at);
	return leased();
}

static void test_its_lease_is_waited_for(void)
{
	struct node_id id;

	world(A, 5000);
	taken();
	CHECK(own_waits(own, 0, &id) && node_id_eq(&id, &A) && !own_waits(own, 1, &id));
	CHECK(!leased_at(10000 + OWN_WAIT_MS - 1));
	CHECK(leased_at(10000 + OWN_WAIT_MS));
	CHECK(!own_waits(own, 0, &id));
	own_free(&own);
}

static void test_off_it_is_not(void)
{
	world(A, 5000);
	taken();
	CHECK(!leased_at(10300));
	step((struct own_in){ .kind = OWN_IN_FENCED, .node = A, .begun = ms(10020) }, 10310);
	CHECK(leased() || leased_at(10311));
	own_free(&own);
}

static void test_off_before_the_volume_was_taken_says_nothing(void)
{
	world(A, 5000);
	taken();
	step((struct own_in){ .kind = OWN_IN_FENCED, .node = A, .begun = ms(9999) }, 10310);
	CHECK(!leased() && !leased_at(10311));
	own_free(&own);
}

static void test_another_node_that_is_off_says_nothing(void)
{
	world(A, 5000);
	taken();
	step((struct own_in){ .kind = OWN_IN_FENCED, .node = C, .begun = ms(10020) }, 10310);
	CHECK(!leased() && !leased_at(10311));
	own_free(&own);
}

/* A itself had still to wait for C, whose lease may be in use yet. */
static void test_two_may_hold_a_lease_then_one_that_is_off_is_not_enough(void)
{
	struct node_id id;

	world(A, 9900);
	taken();
	CHECK(!own_waits(own, 0, &id));
	step((struct own_in){ .kind = OWN_IN_FENCED, .node = A, .begun = ms(10020) }, 10310);
	CHECK(!leased() && !leased_at(10311));
	own_free(&own);
}

/* ---- a leg that every node reaches ---- */

/* A has a leg of its own, and there is a LUN; B is asked. */
static struct own_row with_lun(struct node_id owner, uint64_t epoch)
{
	struct own_row r = row(owner, epoch);

	r.leg[1] = (struct own_leg){ .uuid = { 9 }, .lun = true, .state = OWN_LEG_IN };
	return r;
}

static bool proposes(enum own_change_kind kind, struct node_id to)
{
	for (unsigned i = 0; i < out.n; i++)
		if (out.act[i].kind == OWN_ACT_PROPOSE && out.act[i].change.kind == kind && node_id_eq(&out.act[i].change.node, &to))
			return true;
	return false;
}

static void test_who_has_no_leg_succeeds_by_a_lun(void)
{
	world(A, 5000);
	apply(with_lun(A, 3), 6000);
	step((struct own_in){ .kind = OWN_IN_TIMER }, 7000);
	CHECK(proposes(OWN_TAKE, B));
	own_free(&own);
	/* A witness does not. */
	world(A, 5000);
	view.bare[view.n_bare++] = B;
	step((struct own_in){ .kind = OWN_IN_VIEW, .view = &view }, 5500);
	apply(with_lun(A, 3), 6000);
	step((struct own_in){ .kind = OWN_IN_TIMER }, 7000);
	CHECK(!proposes(OWN_TAKE, B));
	own_free(&own);
}

static void test_a_leg_of_its_own_comes_first(void)
{
	/* Of A and C, who are there, A has one: both B and C let it go first. */
	world(A, 5000);
	view = (struct own_view){ .member = { A, B }, .n_member = 2, .voter = { B }, .n_voter = 1, .quorate = true };
	step((struct own_in){ .kind = OWN_IN_VIEW, .view = &view }, 5500);
	apply(with_lun(C, 3), 6000);
	step((struct own_in){ .kind = OWN_IN_TIMER }, 6500);
	CHECK(!proposes(OWN_TAKE, B));
	step((struct own_in){ .kind = OWN_IN_TIMER }, 6000 + OWN_PATIENCE_MS);
	CHECK(proposes(OWN_TAKE, B));
	own_free(&own);
}

static void test_a_lun_that_cannot_be_opened_is_tried_elsewhere(void)
{
	struct own_row mine = with_lun(B, 4);

	world(A, 5000);
	view = (struct own_view){ .member = { B, C }, .n_member = 2, .voter = { B }, .n_voter = 1, .quorate = true };
	step((struct own_in){ .kind = OWN_IN_VIEW, .view = &view }, 5500);
	apply(with_lun(A, 3), 6000);
	apply(mine, 10000);
	for (unsigned i = 0; i < OWN_FAILED_MAX; i++) {
		CHECK(!proposes(OWN_PASS, C));
		step((struct own_in){ .kind = OWN_IN_OPENED, .volume = mine.uuid, .epoch = 4, .err = -5 }, 12000 + 2000 * i);
		step((struct own_in){ .kind = OWN_IN_TIMER }, 13100 + 2000 * i);
	}
	CHECK(proposes(OWN_PASS, C));
	own_free(&own);
}

int main(void)
{
	RUN(test_its_lease_is_waited_for);
	RUN(test_off_it_is_not);
	RUN(test_off_before_the_volume_was_taken_says_nothing);
	RUN(test_another_node_that_is_off_says_nothing);
	RUN(test_two_may_hold_a_lease_then_one_that_is_off_is_not_enough);
	RUN(test_who_has_no_leg_succeeds_by_a_lun);
	RUN(test_a_leg_of_its_own_comes_first);
	RUN(test_a_lun_that_cannot_be_opened_is_tried_elsewhere);
	own_out_fini(&out);
	return 0;
}
