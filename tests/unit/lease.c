/* SPDX-License-Identifier: Apache-2.0 */
/* Which echoes make a lease, and which right a directord may go on with. */
#include "tests/unit/own_world.h"

static const struct node_id D = { { 4 } };
static uint64_t applied;

static void apply(struct own_row r, uint64_t at)
{
	step((struct own_in){ .kind = OWN_IN_ROW, .row = &r, .index = ++applied }, at);
	step((struct own_in){ .kind = OWN_IN_APPLIED, .index = applied }, at);
	step((struct own_in){ .kind = OWN_IN_LOG, .index = applied }, at);
}

static void voters(struct node_id x, struct node_id y, struct node_id z, uint64_t at)
{
	struct own_view v = { .member = { A, B, C, D }, .n_member = 4, .voter = { x, y, z }, .n_voter = 3, .quorate = true };

	step((struct own_in){ .kind = OWN_IN_VIEW, .view = &v }, at);
}

/* B, with A and C as the other voters. */
static void world(void)
{
	own = own_new(&B);
	applied = 0;
	voters(A, B, C, 0);
}

static uint64_t beat_at(uint64_t at)
{
	const struct own_act *a;

	step((struct own_in){ .kind = OWN_IN_TIMER }, at);
	a = did(OWN_ACT_BEAT);
	CHECK(a != NULL);
	return a ? a->number : 0;
}

static void echo(uint64_t beat, struct node_id from, uint64_t at)
{
	step((struct own_in){ .kind = OWN_IN_ECHO, .node = from, .number = beat, .index = applied }, at);
}

static void served(void)
{
	world();
	step((struct own_in){ .kind = OWN_IN_TARGET_UP }, 0);
	apply(row(B, 2), 0);
	apply(row(B, 3), 10);
	step((struct own_in){ .kind = OWN_IN_OPENED, .volume = row(B, 3).uuid, .epoch = 3 }, 20);
}

static void test_a_majority_of_echoes_is_a_lease(void)
{
	uint64_t beat;

	served();
	beat = beat_at(5000);
	echo(beat, A, 5010);
	CHECK(did(OWN_ACT_LEASE) != NULL);
	own_free(&own);
}

static void test_who_lost_its_vote_since_it_echoed_counts_no_more(void)
{
	uint64_t beat;

	served();
	beat = beat_at(5000);
	/* Its log goes further than ours: it may have the take of a successor. */
	applied++;
	echo(beat, A, 5010);
	CHECK(!did(OWN_ACT_LEASE));
	voters(B, C, D, 5020);
	CHECK(!did(OWN_ACT_LEASE));
	step((struct own_in){ .kind = OWN_IN_APPLIED, .index = applied }, 5030);
	CHECK(!did(OWN_ACT_LEASE));
	echo(beat, C, 5040);
	CHECK(did(OWN_ACT_LEASE) != NULL);
	own_free(&own);
}

/* `out` then says that the epoch has answered with the leg in sync: a disk from before it is no leg of it. */
static void test_an_adopted_volume_that_was_leased_has_answered(void)
{
	const struct own_act *a;

	for (unsigned leased = 0; leased < 2; leased++) {
		struct own_row r = row(B, 3);

		world();
		apply(r, 0);
		step((struct own_in){ .kind = OWN_IN_ADOPTED, .volume = r.uuid, .epoch = 3, .number = leased }, 10);
		step((struct own_in){ .kind = OWN_IN_LEG_FAILED, .volume = r.uuid, .epoch = 3, .leg = r.leg[0].uuid }, 20);
		a = did(OWN_ACT_PROPOSE);
		CHECK(a && a->change.kind == OWN_OUT && a->change.served == (leased == 1));
		own_free(&own);
	}
}

/* What a store has that failed and came back may be of before the volume was passed on: that right was used, and ended. */
static void test_a_right_that_comes_again_is_not_used_again(void)
{
	struct own_row r = row(B, 4);
	const struct own_act *a;

	served();
	r.owner = A;
	apply(r, 100);
	r = row(B, 3);
	step((struct own_in){ .kind = OWN_IN_ROW, .row = &r, .index = 1 }, 200);
	CHECK(!did(OWN_ACT_OPEN));
	a = did(OWN_ACT_PROPOSE);
	CHECK(a && a->change.kind == OWN_TAKE && a->change.epoch == 3);
	own_free(&own);

	/* Further back, and then what was applied before comes again from the others. */
	served();
	r = row(B, 2);
	step((struct own_in){ .kind = OWN_IN_ROW, .row = &r, .index = 1 }, 200);
	CHECK(did(OWN_ACT_CLOSE) && !did(OWN_ACT_OPEN));
	r = row(B, 3);
	step((struct own_in){ .kind = OWN_IN_ROW, .row = &r, .index = 2 }, 300);
	CHECK(!did(OWN_ACT_OPEN));
	a = did(OWN_ACT_PROPOSE);
	CHECK(a && a->change.kind == OWN_TAKE && a->change.epoch == 3);
	own_free(&own);
}

int main(void)
{
	RUN(test_a_majority_of_echoes_is_a_lease);
	RUN(test_who_lost_its_vote_since_it_echoed_counts_no_more);
	RUN(test_an_adopted_volume_that_was_leased_has_answered);
	RUN(test_a_right_that_comes_again_is_not_used_again);
	own_out_fini(&out);
	return 0;
}
