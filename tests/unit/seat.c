/* SPDX-License-Identifier: Apache-2.0 */
/* When a thread goes to a processor, and when it leaves (base/seat.c). */
#include "config.h"

#include "base/seat.h"
#include "tests/unit/check.h"

static struct seat p;
static struct mono now = { 1000000000 };

#define SLOW 75000u             /* ns per turn, of processors that are woken */
#define FAST 8000u

static bool apart;

static enum seat_act look_at(unsigned tasks, int cpu, uint64_t turn_ns, uint64_t wait_ns)
{
	struct seat_look l = { .turns = SEAT_TURNS, .tasks = tasks, .cpu = cpu, .apart = apart, .span_ns = turn_ns,
		.wait_ns = wait_ns, .now = now };

	now.ns += turn_ns * SEAT_TURNS;
	return seat_look(&p, &l);
}

static enum seat_act look(unsigned tasks, int cpu, uint64_t turn_ns)
{
	return look_at(tasks, cpu, turn_ns, 1000);
}

static void begin(void)
{
	now = (struct mono){ 1000000000 };
	apart = true;
	seat_init(&p);
}

static unsigned until_it_goes(int cpu, unsigned most)
{
	unsigned n = 1;

	while (look(SEAT_TURNS, cpu, SLOW) != SEAT_GO && n < most)
		n++;
	return n;
}

static void it_goes_where_lone_requests_come_in(void)
{
	begin();
	CHECK(until_it_goes(3, 20) < 20);
	CHECK_EQ(p.cpu, 3);
	for (unsigned i = 0; i < 1000; i++)
		CHECK(look(SEAT_TURNS, 3, FAST) == SEAT_STAY);
	CHECK_EQ(p.cpu, 3);
}

static void it_does_not_go_for_many_at_a_time(void)
{
	begin();
	for (unsigned i = 0; i < 100; i++)
		CHECK(look(SEAT_TURNS * 2, 3, SLOW) == SEAT_STAY);
}

static void it_does_not_go_where_it_is(void)
{
	begin();
	apart = false;
	for (unsigned i = 0; i < 100; i++)
		CHECK(look(SEAT_TURNS, 3, SLOW) == SEAT_STAY);
}

static void it_does_not_go_when_packets_come_in_at_several(void)
{
	begin();
	for (unsigned i = 0; i < 100; i++)
		CHECK(look(SEAT_TURNS, i % 2 ? 3 : 4, SLOW) == SEAT_STAY);
	begin();
	for (unsigned i = 0; i < 100; i++)
		CHECK(look(SEAT_TURNS, -1, SLOW) == SEAT_STAY);
}

static void it_leaves_when_requests_come_many_at_a_time(void)
{
	begin();
	until_it_goes(3, 20);
	CHECK(look(SEAT_TURNS * 2, 3, FAST) == SEAT_LEAVE);
	CHECK_EQ(p.cpu, -1);
}

static void it_leaves_where_less_is_done(void)
{
	begin();
	until_it_goes(3, 20);
	CHECK(look(SEAT_TURNS, 3, SLOW + SLOW / 4) == SEAT_LEAVE);
	/* Those who ask no faster than before are none the worse for it; nor is it the place if they ask less later. */
	begin();
	until_it_goes(3, 20);
	for (unsigned i = 0; i < 8; i++)
		CHECK(look(SEAT_TURNS, 3, SLOW) == SEAT_STAY);
	CHECK(look(SEAT_TURNS, 3, SLOW * 10) == SEAT_STAY);
}

static void it_leaves_where_it_waits_behind_others(void)
{
	begin();
	until_it_goes(3, 20);
	CHECK(look(SEAT_TURNS, 3, FAST) == SEAT_STAY);
	CHECK(look_at(SEAT_TURNS, 3, FAST * 4, 25000) == SEAT_LEAVE);
}

static void it_leaves_when_packets_come_in_elsewhere(void)
{
	begin();
	until_it_goes(3, 20);
	CHECK(look(SEAT_TURNS, 4, FAST) == SEAT_LEAVE);
}

static void what_did_not_help_is_tried_less_and_less(void)
{
	uint64_t last = 0;

	begin();
	for (unsigned i = 0; i < 12; i++) {
		uint64_t from = now.ns;

		CHECK(until_it_goes(3, 100000) < 100000);
		CHECK(now.ns - from >= last);
		last = now.ns - from;
		CHECK(look(SEAT_TURNS, 3, SLOW * 2) == SEAT_LEAVE);
	}
	/* But at least once in a minute, or so. */
	CHECK(last > 50000000000 && last < 70000000000);
}

static void a_new_one_who_asks_is_a_new_chance(void)
{
	uint64_t from;

	begin();
	for (unsigned i = 0; i < 12; i++) {
		CHECK(until_it_goes(3, 100000) < 100000);
		CHECK(look(SEAT_TURNS, 3, SLOW * 2) == SEAT_LEAVE);
	}
	seat_anew(&p);
	from = now.ns;
	CHECK(until_it_goes(3, 20) < 20);
	CHECK(now.ns - from < 1000000000);
}

int main(void)
{
	RUN(it_goes_where_lone_requests_come_in);
	RUN(it_does_not_go_for_many_at_a_time);
	RUN(it_does_not_go_where_it_is);
	RUN(it_does_not_go_when_packets_come_in_at_several);
	RUN(it_leaves_when_requests_come_many_at_a_time);
	RUN(it_leaves_where_less_is_done);
	RUN(it_leaves_where_it_waits_behind_others);
	RUN(it_leaves_when_packets_come_in_elsewhere);
	RUN(what_did_not_help_is_tried_less_and_less);
	RUN(a_new_one_who_asks_is_a_new_chance);
	return 0;
}
