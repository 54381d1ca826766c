/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service thread: calls plugins back after a time, and submits I/O on behalf of threads that have no
 * queue (a plugin's own, a pool worker) to plugins that complete by thread. Sleeps unless asked.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/serve/bs_host.h"

struct timer {
	uint64_t at_ns, order;
	void (*fn)(void *);
	void *arg;
};

struct bs_service {
	struct backstore_host *host;
	pthread_t thread;
	struct backstore_queue *queue;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	int state;                              /* 0: starting; 1: runs; negative: could not */
	bool ending;
	struct timer *heap;                     /* earliest first */
	unsigned n, cap;
	uint64_t order;
	struct director_io *head, **tail;       /* plugin[0]: next, plugin[1]: the backstore */
	struct backstore_msg wake;
	bool wake_sent;
};

/* ---- the heap ---- */

static bool earlier(const struct timer *a, const struct timer *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void swap(struct timer *a, struct timer *b)
{
	struct timer t = *a;

	*a = *b;
	*b = t;
}

static void heap_up(struct timer *h, unsigned i)
{
	for (; i && earlier(&h[i], &h[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&h[i], &h[(i - 1) / 2]);
}

static void heap_down(struct timer *h, unsigned n)
{
	unsigned i = 0, c;

	while ((c = 2 * i + 1) < n) {
		if (c + 1 < n && earlier(&h[c + 1], &h[c]))
			c++;
		if (!earlier(&h[c], &h[i]))
			break;
		swap(&h[c], &h[i]);
		i = c;
	}
}

/* ---- from other threads ---- */

static void wake_run(struct backstore_queue *q, struct backstore_msg *m)
{
	struct bs_service *s = (struct bs_service *)((char *)m - offsetof(struct bs_service, wake));

	pthread_mutex_lock(&s->lock);
	s->wake_sent = false;
	pthread_mutex_unlock(&s->lock);
}

/* With the lock held. */
static void wake_up(struct bs_service *s)
{
	if (s->wake_sent)
		return;
	s->wake_sent = true;
	s->wake.run = wake_run;
	bs_post(s->queue, &s->wake);
}

int bs_service_after(struct bs_service *s, uint32_t ms, void (*fn)(void *), void *arg)
{
	struct timer t = { .at_ns = mono_now().ns + (uint64_t)ms * 1000000u, .fn = fn, .arg = arg };
	int r = 0;

	pthread_mutex_lock(&s->lock);
	if (s->n == s->cap) {
		unsigned cap = s->cap ? 2 * s->cap : 64;
		struct timer *h = realloc(s->heap, cap * sizeof(*h));

		if (h) {
			s->heap = h;
			s->cap = cap;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0) {
		t.order = s->order++;
		s->heap[s->n++] = t;
		heap_up(s->heap, s->n - 1);
		if (s->heap[0].order == t.order)
			wake_up(s);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

void bs_service_submit(struct bs_service *s, struct backstore *bs, struct director_io *io)
{
	io->plugin[0] = NULL;
	io->plugin[1] = bs;
	pthread_mutex_lock(&s->lock);
	*s->tail = io;
	s->tail = (struct director_io **)&io->plugin[0];
	wake_up(s);
	pthread_mutex_unlock(&s->lock);
}

void bs_service_post(struct bs_service *s, struct backstore_msg *m)
{
	bs_post(s->queue, m);
}

/* ---- the thread ---- */

static void run_io(struct bs_service *s)
{
	struct director_io *io, *next;

	pthread_mutex_lock(&s->lock);
	io = s->head;
	s->head = NULL;
	s->tail = &s->head;
	pthread_mutex_unlock(&s->lock);
	for (; io; io = next) {
		next = io->plugin[0];
		bs_hand(io->plugin[1], io);
	}
}

/* Calls what is due; returns the milliseconds until the next one, -1 for none. */
static int run_timers(struct bs_service *s)
{
	uint64_t now = mono_now().ns;
	int ms = -1;

	pthread_mutex_lock(&s->lock);
	while (s->n && s->heap[0].at_ns <= now) {
		struct timer t = s->heap[0];

		s->heap[0] = s->heap[--s->n];
		heap_down(s->heap, s->n);
		pthread_mutex_unlock(&s->lock);
		t.fn(t.arg);
		pthread_mutex_lock(&s->lock);
	}
	if (s->n) {
		uint64_t wait = (s->heap[0].at_ns - now + 999999u) / 1000000u;

		ms = wait > 60000 ? 60000 : (int)wait;
	}
	pthread_mutex_unlock(&s->lock);
	return ms;
}

static void turn(struct bs_service *s)
{
	struct pollfd p = { .fd = backstore_queue_fd(s->queue), .events = POLLIN };
	int ms;

	backstore_plug(s->queue);
	run_io(s);
	ms = run_timers(s);
	backstore_unplug(s->queue);
	if (backstore_queue_run(s->queue, 0) == 0)
		poll(&p, 1, ms);
}

static void *service(void *arg)
{
	struct bs_service *s = arg;
	struct backstore_queue *q;
	int r = backstore_queue_new(s->host, &q);
	bool ending;

	pthread_mutex_lock(&s->lock);
	s->queue = q;
	s->state = r < 0 ? r : 1;
	pthread_cond_signal(&s->ready);
	pthread_mutex_unlock(&s->lock);
	if (r < 0)
		return NULL;
	do {
		turn(s);
		pthread_mutex_lock(&s->lock);
		ending = s->ending;
		pthread_mutex_unlock(&s->lock);
	} while (!ending);
	backstore_queue_free(&q);
	return NULL;
}

int bs_service_new(struct backstore_host *h, struct bs_service **out)
{
	struct bs_service *s = mem_zalloc(sizeof(*s));
	pthread_attr_t attr;
	int r;

	s->host = h;
	s->tail = &s->head;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->ready, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 << 10);
	r = -pthread_create(&s->thread, &attr, service, s);
	pthread_attr_destroy(&attr);
	if (r == 0) {
		pthread_mutex_lock(&s->lock);
		while (s->state == 0)
			pthread_cond_wait(&s->ready, &s->lock);
		r = s->state < 0 ? s->state : 0;
		pthread_mutex_unlock(&s->lock);
		if (r < 0)
			pthread_join(s->thread, NULL);
	}
	if (r < 0) {
		free(s);
		s = NULL;
	}
	*out = s;
	return r;
}

/* What somebody has given to a timer to keep is given back; nothing is waited for any more. */
static void timers_end(struct bs_service *s)
{
	struct timer *left = s->heap;
	unsigned n = s->n;

	s->heap = NULL;
	s->n = s->cap = 0;
	for (unsigned i = 0; i < n; i++)
		left[i].fn(left[i].arg);
	free(left);
}

void bs_service_free(struct bs_service **sp)
{
	struct bs_service *s = *sp;

	if (!s)
		return;
	*sp = NULL;
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	wake_up(s);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	timers_end(s);
	pthread_cond_destroy(&s->ready);
	pthread_mutex_destroy(&s->lock);
	free(s->heap);
	free(s);
}
