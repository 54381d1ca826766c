/* SPDX-License-Identifier: Apache-2.0 */
/* A thread is bound to a processor and let go (base/pin.c). */
#include "config.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "base/pin.h"
#include "tests/unit/check.h"

#define TURN_NS 75000u

static struct mono now = { 1000000000 };
static cpu_set_t all;
static int one;                         /* of them */

/* Lone requests, as if of this processor, until it should have gone there. */
static void lone(struct pin *p, int cpu)
{
	for (unsigned i = 0; i < 20 * SEAT_TURNS && pin_cpu(p) < 0; i++) {
		now.ns += TURN_NS;
		if (pin_turn(p, 1, now))
			pin_sample(p, cpu, true);
	}
}

static unsigned mine(int *first)
{
	cpu_set_t set;

	CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	for (*first = 0; !CPU_ISSET(*first, &set);)
		++*first;
	return (unsigned)CPU_COUNT(&set);
}

/* Where a thread of the process is already. */
static void *second(void *arg)
{
	struct pin p;

	(void)arg;
	CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
	pin_init(&p);
	pin_begin(&p);
	lone(&p, one);
	CHECK_EQ(pin_cpu(&p), -1);
	pin_end(&p);
	return NULL;
}

static void in_a_thread(void *(*fn)(void *arg))
{
	pthread_t t;

	CHECK_EQ(pthread_create(&t, NULL, fn, NULL), 0);
	CHECK_EQ(pthread_join(t, NULL), 0);
}

static void *bound_and_let_go(void *arg)
{
	struct pin p;
	int at;

	(void)arg;
	pin_init(&p);
	lone(&p, one);
	CHECK_EQ(pin_cpu(&p), -1);
	pin_begin(&p);
	lone(&p, one);
	CHECK_EQ(pin_cpu(&p), one);
	CHECK_EQ(mine(&at), 1);
	CHECK_EQ(at, one);
	in_a_thread(second);
	/* Many at a time, and it is anywhere again. */
	pin_turn(&p, SEAT_DEEP + 1, now);
	CHECK_EQ(pin_cpu(&p), -1);
	CHECK_EQ(mine(&at), CPU_COUNT(&all));
	/* The end lets go, too. */
	now.ns += 1000000000;
	lone(&p, one);
	CHECK_EQ(mine(&at), 1);
	pin_end(&p);
	CHECK_EQ(mine(&at), CPU_COUNT(&all));
	return NULL;
}

static void *bound_by_others(void *arg)
{
	cpu_set_t set;
	struct pin p;
	int at;

	(void)arg;
	pin_init(&p);
	pin_begin(&p);
	/* Before. */
	CPU_ZERO(&set);
	CPU_SET(one, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
	lone(&p, one);
	CHECK_EQ(pin_cpu(&p), -1);
	CHECK_EQ(mine(&at), 1);
	/* Meanwhile. */
	CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
	now.ns += 1000000000;
	lone(&p, one);
	CHECK_EQ(pin_cpu(&p), one);
	for (at = 0; at == one || !CPU_ISSET(at, &all); at++)
		;
	CPU_ZERO(&set);
	CPU_SET(at, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
	one = at;
	pin_end(&p);
	CHECK_EQ(mine(&at), 1);
	CHECK_EQ(at, one);
	return NULL;
}

static void lone_requests_bind_and_many_let_go(void)
{
	in_a_thread(bound_and_let_go);
}

static void whoever_binds_it_is_obeyed(void)
{
	in_a_thread(bound_by_others);
}

/* What the process may use is what its first thread may. */
static void the_first_thread_is_not_bound(void)
{
	struct pin p;
	int at;

	pin_init(&p);
	pin_begin(&p);
	lone(&p, one);
	CHECK_EQ(pin_cpu(&p), -1);
	CHECK_EQ(mine(&at), CPU_COUNT(&all));
	pin_end(&p);
}

int main(void)
{
	struct pin p;
	bool stat;

	pin_init(&p);
	pin_begin(&p);
	stat = p.stat_fd >= 0;
	pin_end(&p);
	if (!stat || sched_getaffinity(0, sizeof(all), &all) != 0 || CPU_COUNT(&all) < 2) {
		puts("skip: one processor, or nobody counts what waits for it");
		return 77;
	}
	while (!CPU_ISSET(one, &all))
		one++;
	RUN(lone_requests_bind_and_many_let_go);
	RUN(whoever_binds_it_is_obeyed);
	RUN(the_first_thread_is_not_bound);
	return 0;
}
