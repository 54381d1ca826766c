/* SPDX-License-Identifier: Apache-2.0 */
/* A thread's seat, carried out: counting, sched_setaffinity, /proc (pin.h). */
#include "config.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/pin.h"

#define TURNS_PER_SAMPLE 32u
/* Where a bound thread gets so little done that it should know earlier whether others are in its way. */
#define EARLY_MS 50u
#define EARLY_TURNS 16u

static atomic_bool bound[CPU_SETSIZE];

void pin_init(struct pin *p)
{
	*p = (struct pin){ .seen = -1, .stat_fd = -1 };
	seat_init(&p->seat);
}

void pin_begin(struct pin *p)
{
	char path[64];

	p->tid = gettid();
	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)p->tid);
	p->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
}

/* How long the thread has waited for a processor, in all; 0: nobody counts. */
static uint64_t waited_ns(const struct pin *p)
{
	unsigned long long run, wait;
	char text[96];
	ssize_t n = pread(p->stat_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%llu %llu", &run, &wait) == 2 ? wait : 0;
}

/* The main thread is never bound: what it may use is what the process may. */
static bool process_cpus(cpu_set_t *set)
{
	return sched_getaffinity(getpid(), sizeof(*set), set) == 0;
}

static void leave(const struct pin *p, int cpu)
{
	cpu_set_t now, all;

	atomic_store(&bound[cpu], false);
	/* Somebody else may have bound it meanwhile. */
	if (sched_getaffinity(p->tid, sizeof(now), &now) == 0 && CPU_COUNT(&now) == 1 && CPU_ISSET(cpu, &now) &&
		process_cpus(&all))
		sched_setaffinity(p->tid, sizeof(all), &all);
}

static bool go(const struct pin *p, int cpu)
{
	cpu_set_t now, all, one;
	bool free = false;

	if (p->tid == getpid() || cpu >= CPU_SETSIZE || !process_cpus(&all) || !CPU_ISSET(cpu, &all) || CPU_COUNT(&all) < 2 ||
		sched_getaffinity(p->tid, sizeof(now), &now) != 0 || !CPU_EQUAL(&now, &all) ||
		!atomic_compare_exchange_strong(&bound[cpu], &free, true))
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(p->tid, sizeof(one), &one) == 0)
		return true;
	atomic_store(&bound[cpu], false);
	return false;
}

void pin_sample(struct pin *p, int cpu, bool apart)
{
	p->n_apart += apart;
	if (!p->n_samples++)
		p->seen = cpu;
	else if (p->seen != cpu)
		p->seen = -1;
}

static void again(struct pin *p, struct mono now)
{
	p->turns = p->tasks = p->n_samples = p->n_apart = 0;
	p->seen = -1;
	p->began = now;
}

static void look(struct pin *p, struct mono now)
{
	uint64_t waited = waited_ns(p);
	struct seat_look l = { .turns = p->turns, .tasks = p->tasks, .cpu = p->seen, .apart = p->n_apart * 2 > p->n_samples,
		.span_ns = (now.ns - p->began.ns) / p->turns, .wait_ns = (waited - p->waited_ns) / p->turns, .now = now };
	int at = p->seat.cpu;

	p->waited_ns = waited;
	again(p, now);
	switch (seat_look(&p->seat, &l)) {
	case SEAT_GO:
		if (!go(p, p->seat.cpu))
			seat_failed(&p->seat, now);
		break;
	case SEAT_LEAVE:
		leave(p, at);
		break;
	case SEAT_STAY:
		break;
	}
}

bool pin_turn(struct pin *p, unsigned tasks, struct mono now)
{
	if (!tasks || p->stat_fd < 0)
		return false;
	p->turns++;
	p->tasks += tasks;
	if (tasks > SEAT_DEEP && p->seat.cpu >= 0) {
		leave(p, p->seat.cpu);
		seat_failed(&p->seat, now);
		again(p, now);
		return false;
	}
	if (p->turns >= SEAT_TURNS ||
		(p->seat.cpu >= 0 && p->turns >= EARLY_TURNS && mono_due(mono_add_ms(p->began, EARLY_MS), now)))
		look(p, now);
	return p->turns % TURNS_PER_SAMPLE == TURNS_PER_SAMPLE - 1;
}

void pin_end(struct pin *p)
{
	if (p->seat.cpu >= 0)
		leave(p, p->seat.cpu);
	if (p->stat_fd >= 0)
		close(p->stat_fd);
	pin_init(p);
}
