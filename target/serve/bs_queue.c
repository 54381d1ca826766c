/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's queue. Its own completions go on a plain list; other threads push on a stack with one
 * exchange and write the eventfd only when the stack was empty. Barriers travel as messages too, so that
 * the path of an I/O needs no fence for them.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "target/serve/bs_host.h"

__thread struct backstore_queue *bs_self __attribute__((tls_model("initial-exec")));

int backstore_queue_new(struct backstore_host *h, struct backstore_queue **out)
{
	struct backstore_queue *q = calloc(1, sizeof(*q));
	struct epoll_event ev = { .events = EPOLLIN };
	int r;

	*out = NULL;
	if (!q)
		return -ENOMEM;
	q->host = h;
	q->local_tail = &q->local;
	q->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (q->event_fd < 0 || q->epoll_fd < 0 || epoll_ctl(q->epoll_fd, EPOLL_CTL_ADD, q->event_fd, &ev) < 0) {
		r = -errno;
		if (q->event_fd >= 0)
			close(q->event_fd);
		if (q->epoll_fd >= 0)
			close(q->epoll_fd);
		free(q);
		return r;
	}
	pthread_mutex_lock(&h->lock);
	LIST_INSERT_HEAD(&h->queues, q, link);
	pthread_mutex_unlock(&h->lock);
	bs_self = q;
	*out = q;
	return 0;
}

static void stats_fold(struct backstore_stats *to, const struct backstore_stats *s)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(to->ops); i++)
		to->ops[i] += __atomic_load_n(&s->ops[i], __ATOMIC_RELAXED);
	to->read_bytes += __atomic_load_n(&s->read_bytes, __ATOMIC_RELAXED);
	to->written_bytes += __atomic_load_n(&s->written_bytes, __ATOMIC_RELAXED);
	to->errors += __atomic_load_n(&s->errors, __ATOMIC_RELAXED);
}

struct bs_slot *bs_slot_of(const struct backstore_queue *q, const struct backstore *bs)
{
	struct bs_slot *chunk = __atomic_load_n(&q->chunks[bs->slot / BS_CHUNK], __ATOMIC_ACQUIRE);
	struct bs_slot *s = chunk ? &chunk[bs->slot % BS_CHUNK] : NULL;

	return s && __atomic_load_n(&s->id, __ATOMIC_ACQUIRE) == bs->id ? s : NULL;
}

void backstore_stats(const struct backstore *bs, struct backstore_stats *out)
{
	struct backstore_host *h = bs->host;
	struct backstore_queue *q;

	pthread_mutex_lock(&h->lock);
	*out = bs->base;
	LIST_FOREACH(q, &h->queues, link) {
		const struct bs_slot *s = bs_slot_of(q, bs);

		if (!s)
			continue;
		stats_fold(out, &s->stats);
		out->in_flight += __atomic_load_n(&s->in_flight[0], __ATOMIC_RELAXED) +
			__atomic_load_n(&s->in_flight[1], __ATOMIC_RELAXED) +
			__atomic_load_n(&s->in_flight[2], __ATOMIC_RELAXED);
	}
	out->emulated = atomic_load(&bs->emulated);
	out->extra = atomic_load(&bs->extra);
	pthread_mutex_unlock(&h->lock);
}

void backstore_queue_free(struct backstore_queue **qp)
{
	struct backstore_queue *q = *qp;
	struct backstore *bs;
	unsigned i;

	if (!q)
		return;
	*qp = NULL;
	/* Messages that were under way when it left the list are still run. */
	pthread_mutex_lock(&q->host->lock);
	LIST_REMOVE(q, link);
	LIST_FOREACH(bs, &q->host->objects, link) {
		const struct bs_slot *s = bs_slot_of(q, bs);

		if (s)
			stats_fold(&bs->base, &s->stats);
		if (bs->home == q)
			bs->home = NULL;
	}
	pthread_mutex_unlock(&q->host->lock);
	while (backstore_queue_run(q, 0) || q->owed > 0)
		if (q->owed > 0)        /* whoever owes the write still uses the descriptor */
			sched_yield();
	for (i = 0; i < q->n_pollers; i++)
		if (q->pollers[i]->pl->backstore.thread_exit)
			q->pollers[i]->pl->backstore.thread_exit(q->pollers[i]->pl->priv);
	for (i = 0; i < BS_CHUNKS; i++)
		free(q->chunks[i]);
	close(q->epoll_fd);
	close(q->event_fd);
	if (bs_self == q)
		bs_self = NULL;
	free(q);
}

void backstore_queue_steady(struct backstore_queue *q)
{
	q->steady = true;
}

int backstore_queue_fd(const struct backstore_queue *q)
{
	return q->epoll_fd;
}

/* ---- messages ---- */

void bs_post_local(struct backstore_queue *q, struct backstore_msg *m)
{
	m->next = NULL;
	*q->local_tail = m;
	q->local_tail = &m->next;
}

static void event_write(int fd)
{
	ssize_t n = write(fd, &(uint64_t){ 1 }, 8);

	(void)n;        /* fails only when the counter is full: readable all the same */
}

void bs_post(struct backstore_queue *q, struct backstore_msg *m)
{
	struct backstore_msg *head;
	int fd = q->event_fd;

	if (bs_self == q) {
		bs_post_local(q, m);
		return;
	}
	head = atomic_load_explicit(&q->remote, memory_order_relaxed);
	do
		m->next = head;
	while (!atomic_compare_exchange_weak_explicit(&q->remote, &head, m, memory_order_release,
		memory_order_relaxed));
	/* Whoever found it empty wakes; the others' messages are taken with the first. */
	if (!head)
		event_write(fd);
}

/*
 * Each non-empty list that is taken was announced by exactly one write to the eventfd, maybe a late one;
 * `owed` counts the writes not read yet, so that nothing is read in vain.
 */
static void event_read(struct backstore_queue *q)
{
	uint64_t count;

	if (read(q->event_fd, &count, 8) == 8)
		q->owed -= (int64_t)count;
}

/* A late write was read, perhaps, and with it the one that announced what has come since: that is announced anew. */
static void event_late(struct backstore_queue *q)
{
	event_read(q);
	if (q->owed < 0) {
		event_write(q->event_fd);
		q->owed++;
	}
}

/* Move what other threads sent to the local list, oldest first. */
static void remote_take(struct backstore_queue *q)
{
	struct backstore_msg *m, *next, *list = NULL;

	if (!atomic_load_explicit(&q->remote, memory_order_relaxed))
		return;
	/* Before the exchange: a push after it finds the stack empty and signals anew. */
	event_read(q);
	q->owed++;
	for (m = atomic_exchange_explicit(&q->remote, NULL, memory_order_acquire); m; m = next) {
		next = m->next;
		m->next = list;
		list = m;
	}
	for (m = list; m; m = next) {
		next = m->next;
		bs_post_local(q, m);
	}
}

static void reap_all(struct backstore_queue *q)
{
	unsigned i;

	for (i = 0; i < q->n_pollers; i++)
		q->pollers[i]->pl->backstore.reap(q->pollers[i]->pl->priv);
}

unsigned backstore_queue_run(struct backstore_queue *q, unsigned max)
{
	bool plugged_here = !q->plugging;
	struct backstore_msg *m;
	unsigned n = 0;

	if (max == 0)
		max = 256;
	if (plugged_here)
		backstore_plug(q);
	for (;;) {
		reap_all(q);
		remote_take(q);
		if (!q->local)
			break;
		while ((m = q->local) != NULL && n < max) {
			q->local = m->next;
			if (!q->local)
				q->local_tail = &q->local;
			m->run(q, m);
			n++;
		}
		if (n >= max)
			break;
		bs_unplug_now(q);
	}
	if (plugged_here)
		backstore_unplug(q);
	else
		bs_unplug_now(q);
	if (q->owed > 0)
		event_late(q);
	/* Whoever waits now is to come back. */
	if (q->local) {
		event_write(q->event_fd);
		q->owed++;
	}
	return n;
}

/* ---- plugging ---- */

void backstore_plug(struct backstore_queue *q)
{
	q->plugging = true;
}

void bs_plug_object(struct backstore_queue *q, struct backstore *bs)
{
	struct bs_slot *s = bs_slot(q, bs);

	/* The few that do not fit are simply not held back. */
	if (!s || s->plugged || q->n_plugged == ARRAY_LEN(q->plugged))
		return;
	s->plugged = true;
	q->plugged[q->n_plugged++] = bs;
	bs->ops->plug(bs->obj);
}

void backstore_unplug(struct backstore_queue *q)
{
	q->plugging = false;
	while (q->n_plugged) {
		struct backstore *bs = q->plugged[--q->n_plugged];
		struct bs_slot *s = bs_slot(q, bs);

		s->plugged = false;
		bs->ops->unplug(bs->obj);
	}
}

void bs_unplug_now(struct backstore_queue *q)
{
	bool plugging = q->plugging;

	if (!q->n_plugged)
		return;
	backstore_unplug(q);
	q->plugging = plugging;
}

/* ---- slots ---- */

struct bs_slot *bs_slot_first(struct backstore_queue *q, struct backstore *bs)
{
	struct bs_slot **chunk = &q->chunks[bs->slot / BS_CHUNK];
	struct bs_slot *s;

	if (!*chunk) {
		s = calloc(BS_CHUNK, sizeof(*s));
		if (!s)
			return NULL;
		__atomic_store_n(chunk, s, __ATOMIC_RELEASE);
	}
	s = &(*chunk)[bs->slot % BS_CHUNK];
	pthread_mutex_lock(&q->host->lock);
	*s = (struct bs_slot){ .special = bs->special };
	__atomic_store_n(&s->id, bs->id, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&q->host->lock);
	return s;
}

void bs_poll_plugin(struct backstore_queue *q, struct backstore *bs)
{
	struct bs_plugin *p = bs->plugin;
	struct epoll_event ev = { .events = EPOLLIN };
	int fd;

	q->polled |= bs->plugin_bit;
	fd = p->pl->backstore.thread_fd(p->pl->priv);
	if (fd < 0)
		return;
	if (epoll_ctl(q->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		log_warn(q->host->log, "plugin %s: its descriptor cannot be waited for", p->pl->p.name);
		return;
	}
	q->pollers[q->n_pollers++] = p;
}

/* ---- barriers ---- */

void bs_slot_park(struct bs_slot *s, struct backstore_io *bio)
{
	__atomic_store_n(&s->in_flight[bio->gen], s->in_flight[bio->gen] - 1, __ATOMIC_RELAXED);
	bio->gen = BS_PARKED;
	__atomic_store_n(&s->in_flight[BS_PARKED], s->in_flight[BS_PARKED] + 1, __ATOMIC_RELAXED);
}

void bs_slot_drained(struct backstore_queue *q, struct bs_slot *s)
{
	struct bs_barrier *b = s->barrier;

	if (s->in_flight[!s->gen] || (s->in_flight[BS_PARKED] && s->waits_parked))
		return;
	s->barrier = NULL;
	bs_unplug_now(q);
	bs_barrier_ack(b);
}

static void barrier_run(struct backstore_queue *q, struct backstore_msg *m)
{
	struct bs_barrier *b = ((struct bs_barrier_msg *)m)->barrier;
	struct bs_slot *s = bs_slot(q, b->bs);

	/* Whatever is held back must go, and nobody may keep a plugged object that is about to be closed. */
	bs_unplug_now(q);
	if (!s) {       /* no memory for a slot, hence nothing was ever submitted */
		bs_barrier_ack(b);
		return;
	}
	/*
	 * The barrier that arms compares is what the parked wait for; it may be queued behind this one, or it is this one, though a
	 * slot that was made since it was sent knows of it.
	 */
	s->waits_parked = s->special & BS_RANGED && !(b->special & BS_RANGED);
	s->special |= b->special;
	s->gen = !s->gen;
	s->barrier = b;
	bs_slot_drained(q, s);
}

/* With host->lock held; says whether no queue has to answer. */
static bool barrier_send(struct bs_barrier *b)
{
	struct backstore_host *h = b->bs->host;
	struct backstore_queue *q;
	unsigned n = 0, i = 0;

	b->bs->special |= b->special;
	LIST_FOREACH(q, &h->queues, link)
		n++;
	b->msgs = mem_zalloc((n + 1) * sizeof(b->msgs[0]));
	atomic_store(&b->left, n);
	LIST_FOREACH(q, &h->queues, link) {
		b->msgs[i].msg.run = barrier_run;
		b->msgs[i].barrier = b;
		bs_post(q, &b->msgs[i++].msg);
	}
	return n == 0;
}

void bs_barrier_start(struct bs_barrier *b, struct backstore *bs, uint8_t special,
	void (*done)(struct bs_barrier *), void *arg)
{
	struct backstore_host *h = bs->host;
	bool finished = false;

	*b = (struct bs_barrier){ .bs = bs, .special = special, .done = done, .arg = arg };
	pthread_mutex_lock(&h->lock);
	STAILQ_INSERT_TAIL(&bs->barriers, b, link);
	if (STAILQ_FIRST(&bs->barriers) == b) {
		finished = barrier_send(b);
		if (finished)
			atomic_store(&b->left, 1);
	}
	pthread_mutex_unlock(&h->lock);
	if (finished)
		bs_barrier_ack(b);
}

void bs_barrier_ack(struct bs_barrier *b)
{
	struct backstore *bs = b->bs;
	struct backstore_host *h = bs->host;
	struct bs_barrier *next;
	bool finished;

	if (atomic_fetch_sub(&b->left, 1) != 1)
		return;
	pthread_mutex_lock(&h->lock);
	STAILQ_REMOVE_HEAD(&bs->barriers, link);
	next = STAILQ_FIRST(&bs->barriers);
	finished = next && barrier_send(next);
	if (finished)
		atomic_store(&next->left, 1);
	pthread_mutex_unlock(&h->lock);
	free(b->msgs);
	b->done(b);
	if (finished)
		bs_barrier_ack(next);
}

/* ---- waiting for one ---- */

struct waiter {
	struct backstore_msg msg;
	struct bs_barrier barrier;
	struct backstore_queue *q;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool over;
};

static void waiter_run(struct backstore_queue *q, struct backstore_msg *m)
{
	((struct waiter *)m)->over = true;
}

static void waiter_wake(struct bs_barrier *b)
{
	struct waiter *w = b->arg;

	if (w->q) {
		w->msg.run = waiter_run;
		bs_post(w->q, &w->msg);
		return;
	}
	pthread_mutex_lock(&w->lock);
	w->over = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_once(struct backstore *bs, uint8_t special)
{
	struct waiter w = { .q = bs_self, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

	if (w.q)
		bs_unplug_now(w.q);
	bs_barrier_start(&w.barrier, bs, special, waiter_wake, &w);
	while (w.q && !w.over) {
		struct pollfd p = { .fd = w.q->epoll_fd, .events = POLLIN };

		if (backstore_queue_run(w.q, 0) == 0)
			poll(&p, 1, -1);
	}
	if (!w.q) {
		pthread_mutex_lock(&w.lock);
		while (!w.over)
			pthread_cond_wait(&w.cond, &w.lock);
		pthread_mutex_unlock(&w.lock);
	}
}

void bs_barrier_wait(struct backstore *bs, uint8_t special)
{
	bool ranged, parked;

	pthread_mutex_lock(&bs->host->lock);
	ranged = bs->special & BS_RANGED;
	pthread_mutex_unlock(&bs->host->lock);
	wait_once(bs, special);
	pthread_mutex_lock(&bs->range.lock);
	parked = !ranged && bs->range.state != RANGE_OFF;
	pthread_mutex_unlock(&bs->range.lock);
	/* Compares are being armed behind this barrier, which could not wait for what that has parked: the next one can. */
	if (parked)
		wait_once(bs, special);
}
