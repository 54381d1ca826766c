/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers go where their packets come in (place.h has the decision). Costs two additions per turn of the loop, a look at a
 * socket per 32 turns, and a read of /proc per 256. Whoever binds the process or a thread to processors is obeyed: a worker goes
 * only to one that the process may use, and not if its own processors are not those of the process.
 */
#include "config.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/serve/serve.h"

#define TURNS_PER_SAMPLE 32u

void follow_init(struct worker *w)
{
	struct follow *f = &w->follow;
	char path[64];

	place_init(&f->place);
	f->seen = -1;
	f->stat_fd = -1;
	if (!w->serve->conf.follow)
		return;
	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)gettid());
	f->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
}

/* How long this thread has waited for a processor, in all; 0: nobody counts. */
static uint64_t waited_ns(const struct follow *f)
{
	unsigned long long run, wait;
	char text[96];
	ssize_t n = pread(f->stat_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%llu %llu", &run, &wait) == 2 ? wait : 0;
}

/* The main thread is never placed: what it may use is what the process may. */
static bool process_cpus(cpu_set_t *set)
{
	return sched_getaffinity(getpid(), sizeof(*set), set) == 0;
}

static void leave(struct worker *w, int cpu)
{
	cpu_set_t now, all;

	log_debug(&w->serve->log, "follow: worker %u leaves processor %d", w->index, cpu);
	atomic_store(&w->serve->placed[cpu], false);
	/* Somebody else may have bound it meanwhile. */
	if (sched_getaffinity(0, sizeof(now), &now) == 0 && CPU_COUNT(&now) == 1 && CPU_ISSET(cpu, &now) && process_cpus(&all))
		sched_setaffinity(0, sizeof(all), &all);
}

static bool go(struct worker *w, int cpu)
{
	cpu_set_t now, all, one;
	bool taken = false;

	if (cpu >= FOLLOW_CPUS || !process_cpus(&all) || !CPU_ISSET(cpu, &all) || CPU_COUNT(&all) < 2 ||
		sched_getaffinity(0, sizeof(now), &now) != 0 || !CPU_EQUAL(&now, &all))
		return false;
	/* One worker per processor: the packets of all may come in at the same one. */
	if (!atomic_compare_exchange_strong(&w->serve->placed[cpu], &taken, true))
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == 0) {
		log_debug(&w->serve->log, "follow: worker %u goes to processor %d", w->index, cpu);
		return true;
	}
	atomic_store(&w->serve->placed[cpu], false);
	return false;
}

static void sample(struct follow *f, const struct link *l)
{
	int cpu = -1;
	socklen_t n = sizeof(cpu);

	if (getsockopt(l->fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &n) < 0)
		cpu = -1;
	f->n_apart += sched_getcpu() != cpu;
	if (!f->n_samples++)
		f->seen = cpu;
	else if (f->seen != cpu)
		f->seen = -1;
}

static void again(struct worker *w)
{
	struct follow *f = &w->follow;

	f->turns = f->tasks = f->n_samples = f->n_apart = 0;
	f->seen = -1;
	f->began = w->now;
}

static void look(struct worker *w)
{
	struct follow *f = &w->follow;
	uint64_t waited = waited_ns(f);
	struct place_look l = { .turns = f->turns, .tasks = f->tasks, .cpu = f->seen, .apart = f->n_apart * 2 > f->n_samples,
		.span_ns = w->now.ns - f->began.ns, .wait_ns = (waited - f->waited_ns) / f->turns, .now = w->now };
	int at = f->place.cpu;

	f->waited_ns = waited;
	again(w);
	switch (place_look(&f->place, &l)) {
	case PLACE_GO:
		if (!go(w, f->place.cpu))
			place_failed(&f->place, w->now);
		break;
	case PLACE_LEAVE:
		leave(w, at);
		break;
	case PLACE_STAY:
		break;
	}
}

void follow_turn(struct worker *w)
{
	struct follow *f = &w->follow;
	unsigned now = f->now;

	f->now = 0;
	if (!now || f->stat_fd < 0)
		return;
	f->turns++;
	f->tasks += now;
	if (now > PLACE_DEEP && f->place.cpu >= 0) {
		leave(w, f->place.cpu);
		place_failed(&f->place, w->now);
		again(w);
		return;
	}
	if (f->link && f->turns % TURNS_PER_SAMPLE == 0)
		sample(f, f->link);
	if (f->turns >= PLACE_TURNS)
		look(w);
}

void follow_fini(struct worker *w)
{
	if (w->follow.stat_fd >= 0)
		close(w->follow.stat_fd);
	w->follow.stat_fd = -1;
}
