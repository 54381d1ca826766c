/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that waits for others to end, on whatever worker they run: for those of the nexuses that it
 * preempted, which are aborted (PREEMPT AND ABORT, SPC-4 5.13.11.2.6; scsi has marked the nexuses), or for all
 * of its unit (SANITIZE; new ones are refused already).
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "target/serve/serve.h"

struct waiter {
	_Atomic unsigned open;          /* workers that have not reported */
	bool all;                       /* for all commands of the unit; none is aborted */
	struct volume *volume;
	struct serve_task *st;          /* NULL: nobody here, but `over` */
	enum scsi_turn turn;            /* how it goes on */
	void (*over)(void *arg);
	void *arg;
};

struct waiter_msg {
	struct worker_msg msg;
	struct waiter *wt;
};

/* Of a worker: somebody waits for what runs here. */
struct others {
	struct others *next;
	struct waiter *wt;
};

static void go_on_run(struct worker *w, struct worker_msg *m)
{
	struct waiter_msg *wm = (struct waiter_msg *)m;
	struct serve_task *st = wm->wt->st;
	enum scsi_turn turn = wm->wt->turn;

	free(wm->wt);
	free(wm);
	exec_turn(st, turn);
}

static void report(struct waiter *wt)
{
	struct waiter_msg *wm;

	if (atomic_fetch_sub(&wt->open, 1) != 1)
		return;
	if (!wt->st) {
		wt->over(wt->arg);
		free(wt);
		return;
	}
	wm = mem_zalloc(sizeof(*wm));
	wm->msg.run = go_on_run;
	wm->wt = wt;
	worker_post(wt->st->worker, &wm->msg);
}

static bool runs(const struct waiter *wt, const struct nexus *n)
{
	if (n->volume != wt->volume)
		return false;
	if (wt->all)
		return n->n_tasks > (n == wt->st->nexus);       /* but itself */
	return atomic_load(&n->scsi.abort) && n->n_aborting;
}

static bool ended(struct worker *w, const struct waiter *wt)
{
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next)
			if (runs(wt, n))
				return false;
	for (struct session *ss = w->sessions; ss && !wt->all; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next)
			if (n->volume == wt->volume)
				atomic_store(&n->scsi.abort, false);
	return true;
}

void others_check(struct worker *w)
{
	for (struct others **at = &w->others, *o; (o = *at); ) {
		if (!ended(w, o->wt)) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		report(o->wt);
		free(o);
	}
}

static void abort_marked(struct worker *w, const struct waiter *wt)
{
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next) {
			uint8_t lun[8];

			if (n->volume != wt->volume || n->gone || !atomic_load(&n->scsi.abort))
				continue;
			lun_bytes(n->scsi.lun, lun);
			tmf_end_tasks(ss, lun);
			n->n_aborting = n->n_tasks;
			session_dirty(ss);
		}
}

static void wait_run(struct worker *w, struct worker_msg *m)
{
	struct waiter_msg *wm = (struct waiter_msg *)m;
	struct others *o = mem_zalloc(sizeof(*o));

	if (!wm->wt->all)
		abort_marked(w, wm->wt);
	o->wt = wm->wt;
	o->next = w->others;
	w->others = o;
	free(wm);
}

static void go_around(struct serve *s, struct waiter *wt)
{
	atomic_store(&wt->open, s->n_workers);
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct waiter_msg *wm = mem_zalloc(sizeof(*wm));

		wm->msg.run = wait_run;
		wm->wt = wt;
		worker_post(s->workers[i], &wm->msg);
	}
}

void others_end(struct serve_task *st, enum scsi_turn turn)
{
	struct waiter *wt = mem_zalloc(sizeof(*wt));

	wt->all = st->it.task.scsi.drains;
	wt->volume = st->nexus->volume;
	wt->st = st;
	wt->turn = turn;
	st->it.task.scsi.aborts = st->it.task.scsi.drains = false;
	go_around(st->worker->serve, wt);
}

void others_abort(struct serve *s, struct volume *v, void (*over)(void *arg), void *arg)
{
	struct waiter *wt = mem_zalloc(sizeof(*wt));

	wt->volume = v;
	wt->over = over;
	wt->arg = arg;
	go_around(s, wt);
}
