/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that wait for their volume (doc/ownership.md 9): because it is held, because their answer needs a lease,
 * because the way to the storage is lost. Each is on its worker's list, which is gone through once in a turn of the
 * worker's loop while there is one; so aborts end it like any other.
 *
 * The control side sets volume.hold first and then asks every worker (hold_begin): one that has answered submits
 * nothing to the volume's backstore any more, and none of its connections sends from the backstore's memory.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/scsi/op.h"
#include "target/scsi/sense.h"
#include "target/serve/plant.h"
#include "target/serve/serve.h"

#define PARKED_MAX 16384                /* commands of a worker that wait */
#define RETRY_MS 100
#define LENT_MS 1000                    /* that a connection has to take data which lies in the backstore's memory */

/* ---- on workers ---- */

static void park(struct serve_task *st, enum serve_wait why)
{
	struct worker *w = st->worker;

	st->wait = why;
	st->next = NULL;
	*w->parked_tail = st;
	w->parked_tail = &st->next;
	w->n_parked++;
	w->parked_bytes += (uint64_t)st->it.task.out.cap + st->it.task.in.cap + st->it.task.scsi.work.cap;
}

/* ---- what must not be done twice ---- */

/* Another node's, that forwards to us; not a leg's. One of an older release, which would take it for an error, has ERL 0. */
static bool is_forwarded(const struct serve_task *st)
{
	return st->session && st->session->entry->inner && !st->session->entry->leg && st->session->is->params.erl == 2;
}

/*
 * Nothing of a forwarded command has happened, and it does not wait here: what waits on the node that it came from can go to
 * whoever serves the volume next.
 */
static void refuse(struct serve_task *st)
{
	scsi_drop(&st->it.task);
	scsi_check(&st->it.task, SENSE_NOT_READY, ASC_UNAVAILABLE);
	exec_answer(st);
}

/*
 * It has changed the medium, or may have, and nobody will know. Others may have written there since, so it is not done again,
 * and no status says that: the nexus is lost, and the initiator decides. A node that forwards is told, and does that.
 */
static void unknown(struct serve_task *st)
{
	struct session *ss = st->session;

	scsi_drop(&st->it.task);
	scsi_check(&st->it.task, SENSE_ABORTED_COMMAND, ASC_UNIT_COMMUNICATION);
	if (!ss->entry->inner) {
		if (!ss->is->closing)
			log_info(&ss->worker->serve->log, "session: %s on %s is closed: what became of a write is not known",
				ss->entry->initiator, ss->entry->target);
		session_end(ss, "what became of a write is not known", true);
	}
	exec_answer(st);
}

bool hold_begins(struct serve_task *st, bool first)
{
	struct volume *v = st->nexus->volume;
	struct worker *w = st->worker;
	struct task *t = &st->it.task;

	/* In this order: who sees the new count of voids sees the hold that came with it. */
	st->voids = atomic_load_explicit(&v->voids, memory_order_acquire);
	st->epoch = atomic_load_explicit(&v->epoch, memory_order_relaxed);
	st->touched = st->changed = false;
	if (st->session && scsi_is_free(t))
		return true;
	if (is_forwarded(st) && (atomic_load_explicit(&v->hold, memory_order_acquire) || !inner_serves(v, st->session->entry->epoch))) {
		refuse(st);
		return false;
	}
	if (!atomic_load_explicit(&v->hold, memory_order_acquire))
		return true;
	if (first && (w->n_parked >= PARKED_MAX || w->parked_bytes > w->pool.bytes_max / 2)) {
		scsi_status(t, STATUS_TASK_SET_FULL);
		exec_answer(st);
	} else {
		park(st, WAIT_START);
	}
	return false;
}

/* Nothing of it has happened: it can begin again. */
static void forget(struct serve_task *st)
{
	struct task *t = &st->it.task;

	scsi_drop(t);
	if (st->reached)
		session_unreach(st->session, &st->reached);
	if (t->lent) {
		t->lent(t);
		t->lent = NULL;
		t->in.p = NULL;
	}
	task_unroom(t, &t->in);
	task_unroom(t, &t->scsi.work);
	scsi_forget(t);
}

static void retry_soon(struct worker *w)
{
	if (w->retry_due.ns)
		return;
	w->retry_due = mono_add_ms(w->now, RETRY_MS);
	w->next_tick = mono_min(w->next_tick, w->retry_due);
}

/*
 * What goes on alone was judged piece by piece: of its latest operation nothing has happened, and it is done again; or nobody knows, and
 * whoever asks for its outcome hears that it was ended.
 */
static void alone_void(struct serve_task *st)
{
	if (st->changed) {
		scsi_drop(&st->it.task);
		exec_answer(st);
		return;
	}
	retry_soon(st->worker);
	park(st, WAIT_RETRY);
}

/* Of another volume each piece is judged by itself, and of what goes on alone: it is as good as answered. */
static bool by_pieces(const struct serve_task *st, const struct volume *at)
{
	return at != st->nexus->volume || st->it.task.scsi.alone;
}

void hold_void(struct serve_task *st, bool retry)
{
	struct task *t = &st->it.task;

	if (t->scsi.alone) {
		alone_void(st);
		return;
	}
	if (st->session && st->changed && !planted("once")) {
		unknown(st);
		return;
	}
	if (is_forwarded(st)) {
		refuse(st);
		return;
	}
	if (st->session)
		forget(st);
	else
		task_unroom(t, &t->scsi.work);
	if (retry)
		retry_soon(st->worker);
	park(st, retry ? WAIT_RETRY : WAIT_START);
}

bool hold_submits(struct serve_task *st, struct volume *to)
{
	uint32_t voids = atomic_load_explicit(&to->voids, memory_order_acquire);
	uint64_t epoch = atomic_load_explicit(&to->epoch, memory_order_relaxed);

	if (atomic_load_explicit(&to->hold, memory_order_acquire) & HOLD_STORE) {
		if (is_forwarded(st))
			hold_void(st, true);
		else
			park(st, WAIT_OP);
		return false;
	}
	if (by_pieces(st, to)) {
		st->op_voids = voids;
		st->op_epoch = epoch;
	} else if (st->touched && st->voids != voids) {
		hold_void(st, false);
		return false;
	} else {
		/* What an earlier epoch did of it, and was not void, counts as if it were of this one. */
		st->voids = voids;
		st->epoch = epoch;
	}
	st->touched = true;
	return true;
}

bool hold_tries_again(const struct volume *v, int32_t result)
{
	if (!atomic_load_explicit(&v->retries, memory_order_relaxed))
		return false;
	switch (result) {
	case -ESTALE:
	case -EAGAIN:
	case -ESHUTDOWN:
	case -ENOTCONN:
	case -ECONNRESET:
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -ENOLINK:
	case -EPIPE:
	case -ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* The operation that is back has changed the medium, or may have. What was refused before it went anywhere has not. */
static bool changes(const struct serve_task *st, int32_t result)
{
	switch (st->it.task.op.kind) {
	case BLOCK_WRITE:
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
	case BLOCK_COMPARE_AND_WRITE:
		return result != -EAGAIN && result != -EILSEQ && !st->bio.refused;
	default:
		return false;
	}
}

bool hold_completes(struct serve_task *st, struct volume *at, int32_t result)
{
	bool gone;

	st->changed |= changes(st, result);
	if (by_pieces(st, at))
		gone = st->op_voids != atomic_load_explicit(&at->voids, memory_order_acquire) || !lease_holds(at, st->op_epoch);
	else
		gone = st->voids != atomic_load_explicit(&at->voids, memory_order_acquire);
	if (!gone && (st->err.key || !hold_tries_again(at, result))) {
		st->changed &= !st->it.task.scsi.alone;
		return true;
	}
	hold_void(st, !gone);
	return false;
}

static bool needs_lease(const struct serve_task *st)
{
	const struct task *t = &st->it.task;

	if (st->settled)
		return false;
	return st->touched || t->status == STATUS_RESERVATION_CONFLICT || (t->status == STATUS_GOOD && !scsi_is_free(t));
}

bool hold_answers(struct serve_task *st)
{
	struct volume *v = st->nexus->volume;

	if (!atomic_load_explicit(&v->leased, memory_order_relaxed) || st->it.task.scsi.alone || !needs_lease(st) || lease_holds(v, st->epoch))
		return true;
	/* A lease that comes now either sees that somebody waits, or is seen here. */
	atomic_fetch_add(&v->n_unanswered, 1);
	if (lease_holds(v, st->epoch)) {
		atomic_fetch_sub(&v->n_unanswered, 1);
		return true;
	}
	park(st, WAIT_LEASE);
	return false;
}

static void go_on(struct serve_task *st, bool retry)
{
	struct volume *v = st->nexus->volume;

	switch (st->wait) {
	case WAIT_START:
		exec_begin(st, false);
		break;
	case WAIT_RETRY:
		if (st->it.task.scsi.alone && retry)
			exec_turn(st, SCSI_BLOCK);
		else if (st->it.task.scsi.alone)
			park(st, WAIT_RETRY);
		else if (retry || atomic_load(&v->hold) || st->voids != atomic_load(&v->voids))
			exec_begin(st, false);
		else
			park(st, WAIT_RETRY);
		break;
	case WAIT_OP:
		exec_turn(st, SCSI_BLOCK);
		break;
	case WAIT_LEASE:
		if (st->epoch != atomic_load(&v->epoch) || !atomic_load(&v->leased) || st->voids != atomic_load(&v->voids))
			hold_void(st, false);
		else
			exec_finish(st);
	}
}

void hold_sweep(struct worker *w)
{
	struct serve_task *st = w->parked, *next;
	bool retry = w->retry_due.ns && mono_due(w->retry_due, w->now);

	w->parked = NULL;
	w->parked_tail = &w->parked;
	w->n_parked = 0;
	w->parked_bytes = 0;
	if (retry)
		w->retry_due.ns = 0;
	for (; st; st = next) {
		struct task *t = &st->it.task;

		next = st->next;
		if (st->wait == WAIT_LEASE)
			atomic_fetch_sub(&st->nexus->volume->n_unanswered, 1);
		if (!st->session && w->stopping)
			t->aborted = true;
		if (t->aborted) {
			scsi_drop(t);
			exec_answer(st);
		} else if (st->session && st->nexus->gone) {
			scsi_drop(t);
			scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
			exec_answer(st);
		} else {
			go_on(st, retry);
		}
	}
	if (w->retry_due.ns)
		w->next_tick = mono_min(w->next_tick, w->retry_due);
}

/* ---- all workers are asked to let go ---- */

struct hold_round {
	struct volume *volume;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned open;                  /* workers that have not answered */
};

struct hold_msg {
	struct worker_msg msg;
	struct hold_msg *next;
	struct hold_round *round;
};

static bool lends(const struct worker *w, const struct volume *v)
{
	for (const struct session *ss = w->sessions; ss; ss = ss->next)
		for (const struct nexus *n = ss->nexuses; n; n = n->next)
			if (n->volume == v && n->lent)
				return true;
	return false;
}

void hold_check(struct worker *w)
{
	for (struct hold_msg **p = &w->holds, *m; (m = *p); ) {
		struct hold_round *r = m->round;

		if (lends(w, r->volume)) {
			p = &m->next;
			continue;
		}
		*p = m->next;
		free(m);
		pthread_mutex_lock(&r->lock);
		r->open--;
		pthread_cond_signal(&r->answered);
		pthread_mutex_unlock(&r->lock);
	}
}

void hold_forget(struct worker *w)
{
	struct hold_msg *m;

	while ((m = w->holds)) {
		w->holds = m->next;
		free(m);
	}
}

static void asked_run(struct worker *w, struct worker_msg *msg)
{
	struct hold_msg *m = (struct hold_msg *)msg;

	m->next = w->holds;
	w->holds = m;
}

/* Connections that do not take what was lent to them are closed. */
static void lent_end_run(struct worker *w, struct worker_msg *m)
{
	free(m);
	for (struct hold_msg *h = w->holds; h; h = h->next)
		for (struct session *ss = w->sessions; ss; ss = ss->next)
			for (struct nexus *n = ss->nexuses; n; n = n->next)
				if (n->volume == h->round->volume && n->lent)
					session_end(ss, "it does not take the data of a volume that is to be closed", true);
}

static void round_wait(struct serve *s, struct hold_round *r)
{
	struct mono late = mono_add_ms(mono_now(), LENT_MS);

	pthread_mutex_lock(&r->lock);
	while (r->open) {
		struct timespec until = cond_until(50);

		if (pthread_cond_timedwait(&r->answered, &r->lock, &until) != ETIMEDOUT)
			continue;
		/* They have ended, and touch nothing any more. */
		if (atomic_load(&s->n_idle) >= s->n_workers)
			break;
		if (mono_due(late, mono_now())) {
			late = MONO_NEVER;
			workers_post_all(s, lent_end_run);
		}
	}
	pthread_mutex_unlock(&r->lock);
}

void hold_begin(struct volume *v, unsigned why, bool lost)
{
	struct serve *s = v->serve;
	struct hold_round r = { .volume = v, .open = s->n_workers };

	atomic_fetch_or(&v->hold, why);
	if (lost)
		atomic_fetch_add(&v->voids, 1);
	pthread_mutex_init(&r.lock, NULL);
	cond_init(&r.answered);
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct hold_msg *m = mem_zalloc(sizeof(*m));

		m->msg.run = asked_run;
		m->round = &r;
		worker_post(s->workers[i], &m->msg);
	}
	round_wait(s, &r);
	pthread_cond_destroy(&r.answered);
	pthread_mutex_destroy(&r.lock);
}

static void wake_run(struct worker *w, struct worker_msg *m)
{
	free(m);        /* the loop's turn sees to the rest */
}

void hold_wake(struct serve *s)
{
	workers_post_all(s, wake_run);
}

void hold_end(struct volume *v, unsigned why)
{
	if (atomic_fetch_and(&v->hold, ~why) & why)
		hold_wake(v->serve);
}
