/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread, one epoll, its links. A turn of the loop reads all that is readable, runs the
 * commands that came, delivers completions, and only then writes: many PDUs for one read, many answers for
 * one write. What comes from other nodes is written a few answers at a time (link.c).
 */
#include "config.h"

#include "target/serve/serve.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#define EVENTS_MAX 128
#define POOL_IDLE (1u << 20)    /* of buffers that a worker keeps while it has nothing to do */
#define ROUNDS_MAX 8            /* of run and complete before answers are written */

static uint64_t token_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

void worker_dirty(struct worker *w, struct link *l)
{
	if (l->dirty)
		return;
	l->dirty = true;
	l->next_dirty = w->dirty;
	w->dirty = l;
}

/* ---- messages ---- */

void worker_post(struct worker *w, struct worker_msg *m)
{
	struct worker_msg *head = atomic_load(&w->inbox);
	uint64_t one = 1;

	do
		m->next = head;
	while (!atomic_compare_exchange_weak(&w->inbox, &head, m));
	if (!head && write(w->bell, &one, sizeof(one)) < 0)
		return;         /* the counter is full: the bell rings already */
}

void workers_post_all(struct serve *s, void (*run)(struct worker *w, struct worker_msg *m))
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct worker_msg *m = mem_zalloc(sizeof(*m));

		m->run = run;
		worker_post(s->workers[i], m);
	}
}

static void inbox_run(struct worker *w)
{
	struct worker_msg *m = atomic_exchange(&w->inbox, NULL), *in_order = NULL;

	while (m) {
		struct worker_msg *next = m->next;

		m->next = in_order;
		in_order = m;
		m = next;
	}
	while ((m = in_order)) {
		in_order = m->next;
		m->run(w, m);
	}
}

/* ---- the loop ---- */

static void event(struct worker *w, const struct epoll_event *ev)
{
	uint64_t count;

	if (ev->data.u64 == token_of(w)) {
		if (read(w->bell, &count, sizeof(count)) > 0)
			inbox_run(w);
	} else if (ev->data.u64 != token_of(w->queue)) {
		struct link *l = ev->data.ptr;

		worker_dirty(w, l);
		if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
			link_readable(l);
	}
}

/* Its rounds were over, or its turn: those who wait for nothing any more have the next one. */
static void woken_dirty(struct worker *w)
{
	for (struct session *ss = w->sessions; ss && w->woken; ss = ss->next)
		if (ss->is->ready)
			session_dirty(ss);
}

/* Commands that came, and completions, until there is nothing more to do without waiting. */
static void run_all(struct worker *w)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		bool more = false;
		unsigned n;

		w->woken = false;
		backstore_plug(w->queue);
		for (struct link *l = w->dirty; l; l = l->next_dirty)
			more |= link_run(l);
		if (w->parked && round == 0)
			hold_sweep(w);
		backstore_unplug(w->queue);
		n = backstore_queue_run(w->queue, 0);
		for (struct link *l = w->dirty; l && more; l = l->next_dirty)
			link_send(l);
		if (more)
			round = 0;
		else if (n == 0 && !w->woken)
			break;
	}
}

static void flush_all(struct worker *w)
{
	struct link *l;

	while ((l = w->dirty)) {
		w->dirty = l->next_dirty;
		l->dirty = false;
		link_flush(l);
	}
}

static void sessions_reap(struct worker *w)
{
	if (!w->reap)
		return;
	w->reap = false;
	for (struct session *ss = w->sessions, *next; ss; ss = next) {
		next = ss->next;
		session_reap(ss);
	}
}

/* What a load has left behind goes when nothing runs; under load, what is far beyond it. */
static void pool_trim(struct worker *w)
{
	uint64_t keep = w->pool.n_tasks ? w->pool.bytes_max / 4 : POOL_IDLE;

	if (w->pool.bytes <= keep)
		return;
	task_pool_trim(&w->pool, keep);
	if (keep == POOL_IDLE)
		malloc_trim(0);
}

static void tick(struct worker *w)
{
	struct mono next = mono_add_ms(w->now, 60000);

	if (exec_tick(w))
		next = w->now;
	for (struct link *l = w->links; l; l = l->next) {
		struct mono due = link_tick(l, w->now);

		next = mono_min(next, due);
		worker_dirty(w, l);
	}
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		next = mono_min(next, session_tick(ss->is, w->now));
	w->reap = true;
	/* Not more often than it takes to be noticed. */
	if (mono_before(next, mono_add_ms(w->now, 100)))
		next = mono_add_ms(w->now, 100);
	w->next_tick = next;
	pool_trim(w);
}

/* Nothing left; but others may still ask something of us. */
static bool ended(struct worker *w)
{
	if (!w->stopping || w->sessions || w->links || w->n_background)
		return false;
	if (!w->idle)
		atomic_fetch_add(&w->serve->n_idle, 1);
	w->idle = true;
	return atomic_load(&w->serve->n_idle) >= w->serve->n_workers;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[EVENTS_MAX];

	if (backstore_queue_new(w->serve->host, &w->queue) != 0)
		abort();
	backstore_queue_recall(w->queue, exec_recall, w);
	backstore_queue_steady(w->queue);
	epoll_ctl(w->epfd, EPOLL_CTL_ADD, backstore_queue_fd(w->queue),
	          &(struct epoll_event){ .events = EPOLLIN, .data.u64 = token_of(w->queue) });
	w->now = mono_now();
	w->next_tick = mono_add_ms(w->now, 1000);
	follow_init(w);
	while (!ended(w)) {
		uint64_t ms = mono_ms_between(w->now, w->next_tick) + 1;
		int n = epoll_wait(w->epfd, events, EVENTS_MAX, w->woken ? 0 : w->stopping ? 10 : (int)ms);

		w->now = mono_now();
		for (int i = 0; i < n; i++)
			event(w, &events[i]);
		woken_dirty(w);
		run_all(w);
		flush_all(w);
		drains_check(w);
		others_check(w);
		hold_check(w);
		if (w->stopping || mono_due(w->next_tick, w->now)) {
			tick(w);
			/* What went on after a pause may be complete already, and nothing would wake us for it. */
			run_all(w);
			flush_all(w);
		}
		sessions_reap(w);
		gone_answer(w);
		follow_turn(w);
	}
	follow_fini(w);
	/* What was posted while it stopped. */
	inbox_run(w);
	gone_answer(w);
	backstore_queue_run(w->queue, 0);
	backstore_queue_free(&w->queue);
	return NULL;
}

int worker_new(struct serve *s, unsigned index, struct worker **out)
{
	struct worker *w = mem_zalloc(sizeof(*w));

	w->serve = s;
	w->index = index;
	w->parked_tail = &w->parked;
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	task_pool_init(&w->pool, sizeof(struct serve_task), s->conf.memory / s->conf.workers, 1u << 16);
	if (w->epfd < 0 || w->bell < 0 ||
		epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->bell,
			&(struct epoll_event){ .events = EPOLLIN, .data.u64 = token_of(w) }) < 0 ||
		pthread_create(&w->thread, NULL, worker_main, w) != 0) {
		free(w);
		return ERR_FAILED;
	}
	*out = w;
	return 0;
}

static void stop_run(struct worker *w, struct worker_msg *m)
{
	struct link *next;

	free(m);
	w->stopping = true;
	for (struct link *l = w->links; l; l = next) {
		next = l->next;
		conn_close(l->conn, "shutting down");
		worker_dirty(w, l);
	}
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		session_end(ss, "shutting down", true);
	agree_stop(w->serve);
}

void workers_stop(struct serve *s)
{
	workers_post_all(s, stop_run);
	/* They post to each other until the last has ended. */
	for (unsigned i = 0; i < s->n_workers; i++)
		pthread_join(s->workers[i]->thread, NULL);
}

void worker_free(struct worker **worker)
{
	struct worker *w = *worker;

	if (!w)
		return;
	hold_forget(w);
	task_pool_fini(&w->pool);
	close(w->epfd);
	close(w->bell);
	free(w);
	*worker = NULL;
}
