/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs the initiator's loops. An object has a loop of its own, which one thread at a time runs: one of ours, of which there are
 * as many as processors, or a thread of the host that takes turns (director/plugin.h: DIRECTOR_THREADS_TURNS) and has submitted
 * what came to the object lately. On that thread an I/O goes to the socket and comes back without waking anybody else on this node.
 *
 * What runs on any of them must not wait for a session. Who is not the runner may wait for its next turn, so what he has locked
 * meanwhile no callback and no worker of the host wants.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "plugins/iscsi/lun.h"

#define OURS_MAX 32
#define EVENTS_MAX 64
#define FEW 4u                          /* so many loops are looked at one by one */
#define APART 64u                       /* I/Os in a row that came from elsewhere: the loop goes there */
#define LONG (64u << 10)                /* bytes: copies and digests of such I/O take more than two wakeups, beside the worker's */
#define SCRATCH (256u << 10)

struct runner {
	LIST_ENTRY(runner) link;        /* of the host's; table.lock */
	LIST_HEAD(, seat) seats;        /* that it runs; its thread's */
	unsigned n_seats;
	TAILQ_HEAD(, seat) asked;       /* to come, to go, or to end; table.lock */
	atomic_bool rung;
	int epoll, bell, timer;         /* timer: of a thread of the host, else -1 */
	struct mono wake, armed;        /* the earliest of its loops; what the timer is set to */
	bool inside;
	unsigned users;                 /* ours: seats that it is home to; table.lock */
	pthread_t thread;
	atomic_bool stop;
	uint8_t *scratch;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t left;            /* a seat that ends has been left */
	LIST_HEAD(, runner) hosts;
	struct runner *ours[OURS_MAX];
} table = { .lock = PTHREAD_MUTEX_INITIALIZER, .left = PTHREAD_COND_INITIALIZER };

/* The calling thread's. */
static __thread struct runner *mine;

/* ---- runners ---- */

static void runner_free(struct runner *r)
{
	if (r->epoll >= 0)
		close(r->epoll);
	if (r->bell >= 0)
		close(r->bell);
	if (r->timer >= 0)
		close(r->timer);
	free(r->scratch);
	free(r);
}

static bool watch(struct runner *r, int fd, void *what)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = what };

	return fd >= 0 && epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static struct runner *runner_new(bool host)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	LIST_INIT(&r->seats);
	TAILQ_INIT(&r->asked);
	r->wake = r->armed = MONO_NEVER;
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->timer = host ? timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK) : -1;
	r->scratch = malloc(SCRATCH);
	if (r->epoll < 0 || !r->scratch || !watch(r, r->bell, &r->bell) || (host && !watch(r, r->timer, &r->timer))) {
		runner_free(r);
		return NULL;
	}
	return r;
}

/* With the lock. Once is enough until it has looked. */
static void ring(struct runner *r)
{
	uint64_t one = 1;

	if (!atomic_exchange(&r->rung, true) && write(r->bell, &one, sizeof(one)) < 0)
		return;         /* it is full: then it rings */
}

/* ---- seats; with the lock ---- */

/* It has no runner: `r` is asked to be it. */
static void seat_send(struct seat *s, struct runner *r)
{
	s->to = r;
	s->asked = true;
	TAILQ_INSERT_TAIL(&r->asked, s, entry);
	ring(r);
}

/* Its runner lets go. */
static void seat_leave(struct seat *s)
{
	struct runner *r = s->at;

	epoll_ctl(r->epoll, EPOLL_CTL_DEL, director_iscsi_loop_fd(s->loop), NULL);
	LIST_REMOVE(s, link);
	r->n_seats--;
	director_iscsi_loop_leave(s->loop);
	atomic_store(&s->at, NULL);
}

static void seat_take(struct seat *s, struct runner *r)
{
	LIST_INSERT_HEAD(&r->seats, s, link);
	r->n_seats++;
	director_iscsi_loop_adopt(s->loop, r->scratch, SCRATCH);
	atomic_store(&s->apart, 0);
	atomic_store(&s->at, r);
	/* It has a look at once, and at each turn if it cannot be watched. */
	s->wake = r->wake = mono_now();
	s->unwatched = !watch(r, director_iscsi_loop_fd(s->loop), s);
}

static bool is_there(const struct runner *r)
{
	const struct runner *h;

	LIST_FOREACH(h, &table.hosts, link)
		if (h == r)
			return true;
	return false;
}

static void seat_asked(struct runner *r, struct seat *s)
{
	struct runner *to = s->to;

	TAILQ_REMOVE(&r->asked, s, entry);
	s->asked = false;
	if (!s->at) {
		seat_take(s, r);
		return;
	}
	if (!s->ending && (to == r || (to != s->home && !is_there(to))))
		return;
	seat_leave(s);
	if (s->ending)
		pthread_cond_broadcast(&table.left);
	else
		seat_send(s, to);
}

/* ---- a turn ---- */

/* It was run: when must it be again? */
static void seat_wake(struct runner *r, struct seat *s, struct mono now)
{
	int ms = s->unwatched ? 5 : director_iscsi_loop_timeout(s->loop);

	s->wake = ms < 0 ? MONO_NEVER : mono_add_ms(now, (uint64_t)ms);
	r->wake = mono_min(r->wake, s->wake);
}

static void timer_set(struct runner *r, struct mono now)
{
	struct itimerspec t = { .it_value = { 0, 0 } };
	uint64_t ns = r->wake.ns;

	/* What rings too early is set anew then. */
	if (r->timer < 0 || (r->armed.ns <= ns && !mono_due(r->armed, now)))
		return;
	r->armed = r->wake;
	if (ns != MONO_NEVER.ns) {
		t.it_value.tv_sec = (time_t)(ns / 1000000000u);
		t.it_value.tv_nsec = (long)(ns % 1000000000u);
	}
	/* Also makes it unreadable. */
	timerfd_settime(r->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void look_asked(struct runner *r)
{
	struct seat *s;
	uint64_t count;

	if (!atomic_load_explicit(&r->rung, memory_order_relaxed))
		return;
	pthread_mutex_lock(&table.lock);
	atomic_store(&r->rung, false);
	if (read(r->bell, &count, sizeof(count)) < 0)
		count = 0;
	while ((s = TAILQ_FIRST(&r->asked)))
		seat_asked(r, s);
	pthread_mutex_unlock(&table.lock);
}

static void run_due(struct runner *r, struct mono now)
{
	struct seat *s;

	if (!mono_due(r->wake, now))
		return;
	r->wake = MONO_NEVER;
	LIST_FOREACH(s, &r->seats, link) {
		if (mono_due(s->wake, now))
			director_iscsi_loop_run(s->loop, 0);
		seat_wake(r, s, now);
	}
}

static void turn(struct runner *r, int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];
	struct mono now;
	struct seat *s;
	int n = 0;

	r->inside = true;
	if (timeout_ms || r->n_seats > FEW)
		n = epoll_wait(r->epoll, ev, EVENTS_MAX, timeout_ms);
	else
		LIST_FOREACH(s, &r->seats, link)
			director_iscsi_loop_run(s->loop, 0);
	now = mono_now();
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr == &r->bell || ev[i].data.ptr == &r->timer)
			continue;
		s = ev[i].data.ptr;
		director_iscsi_loop_run(s->loop, 0);
		seat_wake(r, s, now);
	}
	if (!timeout_ms && r->n_seats <= FEW)
		LIST_FOREACH(s, &r->seats, link)
			seat_wake(r, s, now);
	look_asked(r);
	if (!r->n_seats)
		r->wake = MONO_NEVER;
	run_due(r, now);
	timer_set(r, now);
	r->inside = false;
}

/* ---- threads of ours ---- */

static void *ours_main(void *arg)
{
	struct runner *r = arg;

	pthread_setname_np(pthread_self(), "iscsi");
	mine = r;
	while (!atomic_load(&r->stop)) {
		struct mono now = mono_now();
		uint64_t ms = mono_ms_between(now, r->wake) + 1;

		turn(r, r->wake.ns == MONO_NEVER.ns ? -1 : mono_due(r->wake, now) ? 0 : ms > 60000 ? 60000 : (int)ms);
	}
	return NULL;
}

static unsigned most(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > OURS_MAX ? OURS_MAX : (unsigned)n;
}

/* With the lock. The one with the fewest; the first user starts it. */
static int ours_get(struct runner **out)
{
	unsigned n = most(), best = 0;
	int r = 0;

	for (unsigned i = 1; i < n; i++)
		if ((table.ours[i] ? table.ours[i]->users : 0) < (table.ours[best] ? table.ours[best]->users : 0))
			best = i;
	if (!table.ours[best]) {
		struct runner *new = runner_new(false);

		r = new ? -pthread_create(&new->thread, NULL, ours_main, new) : -ENOMEM;
		if (r < 0) {
			if (new)
				runner_free(new);
			return r;
		}
		table.ours[best] = new;
	}
	*out = table.ours[best];
	(*out)->users++;
	return 0;
}

/* With the lock. The last user ends it: then it is the caller's to join. */
static struct runner *ours_put(struct runner *r)
{
	if (--r->users)
		return NULL;
	for (unsigned i = 0; i < OURS_MAX; i++)
		if (table.ours[i] == r)
			table.ours[i] = NULL;
	atomic_store(&r->stop, true);
	ring(r);
	return r;
}

int loop_get(struct seat *s)
{
	int r;

	errno = ENOMEM;
	s->loop = director_iscsi_loop_new();
	if (!s->loop)
		return -errno;
	/* From now on others may ask something of it. */
	director_iscsi_loop_adopt(s->loop, NULL, 0);
	director_iscsi_loop_leave(s->loop);
	pthread_mutex_lock(&table.lock);
	r = ours_get(&s->home);
	if (r == 0)
		seat_send(s, s->home);
	pthread_mutex_unlock(&table.lock);
	if (r < 0)
		director_iscsi_loop_free(&s->loop);
	return r;
}

void loop_put(struct seat *s)
{
	struct runner *last;

	if (!s->loop)
		return;
	pthread_mutex_lock(&table.lock);
	s->ending = true;
	if (s->at == mine && mine) {
		if (s->asked)
			TAILQ_REMOVE(&mine->asked, s, entry);
		seat_leave(s);
	} else if (!s->at) {
		TAILQ_REMOVE(&s->to->asked, s, entry);
	} else {
		if (!s->asked)
			TAILQ_INSERT_TAIL(&s->at->asked, s, entry);
		s->asked = true;
		ring(s->at);
		while (s->at)
			pthread_cond_wait(&table.left, &table.lock);
	}
	last = ours_put(s->home);
	pthread_mutex_unlock(&table.lock);
	if (last) {
		pthread_join(last->thread, NULL);
		runner_free(last);
	}
	director_iscsi_loop_free(&s->loop);
}

/* ---- threads of the host ---- */

int loop_thread_fd(void *priv)
{
	(void)priv;
	if (!mine) {
		mine = runner_new(true);
		if (!mine)
			return -ENOMEM;
		pthread_mutex_lock(&table.lock);
		LIST_INSERT_HEAD(&table.hosts, mine, link);
		pthread_mutex_unlock(&table.lock);
	}
	return mine->epoll;
}

void loop_reap(void *priv)
{
	struct runner *r = mine;

	(void)priv;
	/* A callback that the loop runs may wait for something below it. */
	if (!r || r->inside || (!r->n_seats && r->armed.ns == MONO_NEVER.ns && !atomic_load_explicit(&r->rung, memory_order_relaxed)))
		return;
	turn(r, 0);
}

void loop_thread_exit(void *priv)
{
	struct runner *r = mine;
	struct seat *s;

	(void)priv;
	if (!r)
		return;
	mine = NULL;
	pthread_mutex_lock(&table.lock);
	LIST_REMOVE(r, link);
	while ((s = TAILQ_FIRST(&r->asked)))
		if (s->at) {
			seat_asked(r, s);
		} else {
			TAILQ_REMOVE(&r->asked, s, entry);
			seat_send(s, s->home);
		}
	while ((s = LIST_FIRST(&r->seats))) {
		seat_leave(s);
		seat_send(s, s->home);
	}
	pthread_mutex_unlock(&table.lock);
	runner_free(r);
}

/* ---- I/O ---- */

/* All that came lately belongs here, and the loop is elsewhere. What is long, or comes on no thread of the host's that takes turns, is ours. */
static void call_here(struct seat *s, struct runner *here)
{
	pthread_mutex_lock(&table.lock);
	if (!s->asked && !s->ending && s->at && s->at != here) {
		struct runner *r = s->at;

		s->to = here;
		s->asked = true;
		TAILQ_INSERT_TAIL(&r->asked, s, entry);
		ring(r);
	}
	pthread_mutex_unlock(&table.lock);
}

void loop_used(struct seat *s, uint64_t len)
{
	struct runner *here = mine && mine->timer >= 0 && len < LONG ? mine : s->home, *at = atomic_load_explicit(&s->at, memory_order_relaxed);

	if (at == here) {
		if (atomic_load_explicit(&s->apart, memory_order_relaxed))
			atomic_store_explicit(&s->apart, 0, memory_order_relaxed);
	} else if (atomic_fetch_add_explicit(&s->apart, 1, memory_order_relaxed) == APART) {
		call_here(s, here);
		atomic_store_explicit(&s->apart, 0, memory_order_relaxed);
	}
}

/* Only the thread itself can make it its own, or cease to be. */
static bool is_here(const struct seat *s)
{
	return mine && atomic_load_explicit(&s->at, memory_order_relaxed) == mine;
}

void loop_plug(struct seat *s)
{
	if (is_here(s))
		director_iscsi_loop_hold(s->loop);
}

void loop_unplug(struct seat *s)
{
	if (!is_here(s))
		return;
	director_iscsi_loop_flush(s->loop);
	if (!mine->inside) {
		struct mono now = mono_now();

		seat_wake(mine, s, now);
		timer_set(mine, now);
	}
}
