/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PREEMPT AND ABORT (SPC-4 5.13.11.2.6): the commands of the preempted nexuses end before it is answered, on
 * whatever worker they run. scsi has marked these nexuses.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "target/serve/serve.h"

struct preemption {
	_Atomic unsigned open;          /* workers that have not reported */
	struct volume *volume;
	struct serve_task *st;
};

struct preempt_msg {
	struct worker_msg msg;
	struct preemption *p;
};

/* Of a worker: commands that it aborted and that have not ended. */
struct preempted {
	struct preempted *next;
	struct preemption *p;
};

static void answer_run(struct worker *w, struct worker_msg *m)
{
	struct preempt_msg *pm = (struct preempt_msg *)m;

	exec_finish(pm->p->st);
	free(pm->p);
	free(pm);
}

static void report(struct preemption *p)
{
	struct preempt_msg *pm;

	if (atomic_fetch_sub(&p->open, 1) != 1)
		return;
	pm = mem_zalloc(sizeof(*pm));
	pm->msg.run = answer_run;
	pm->p = p;
	worker_post(p->st->worker, &pm->msg);
}

static bool ended(struct worker *w, const struct preemption *p)
{
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next)
			if (n->volume == p->volume && atomic_load(&n->scsi.abort) && n->n_aborting)
				return false;
	for (struct session *ss = w->sessions; ss; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next)
			if (n->volume == p->volume)
				atomic_store(&n->scsi.abort, false);
	return true;
}

void preempts_check(struct worker *w)
{
	for (struct preempted **at = &w->preempted, *x; (x = *at); ) {
		if (!ended(w, x->p)) {
			at = &x->next;
			continue;
		}
		*at = x->next;
		report(x->p);
		free(x);
	}
}

static void abort_run(struct worker *w, struct worker_msg *m)
{
	struct preempt_msg *pm = (struct preempt_msg *)m;
	struct preempted *x = mem_zalloc(sizeof(*x));

	for (struct session *ss = w->sessions; ss; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next) {
			uint8_t lun[8];

			if (n->volume != pm->p->volume || n->gone || !atomic_load(&n->scsi.abort))
				continue;
			lun_bytes(n->scsi.lun, lun);
			tmf_end_tasks(ss, lun);
			n->n_aborting = n->n_tasks;
			session_dirty(ss);
		}
	x->p = pm->p;
	x->next = w->preempted;
	w->preempted = x;
	free(pm);
}

void preempt_start(struct serve_task *st)
{
	struct serve *s = st->worker->serve;
	struct preemption *p = mem_zalloc(sizeof(*p));

	st->it.task.scsi.aborts = false;
	p->volume = st->nexus->volume;
	p->st = st;
	atomic_store(&p->open, s->n_workers);
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct preempt_msg *pm = mem_zalloc(sizeof(*pm));

		pm->msg.run = abort_run;
		pm->p = p;
		worker_post(s->workers[i], &pm->msg);
	}
}
