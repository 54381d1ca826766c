/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that were answered when they began and go on without it: EXTENDED COPY(LID4) with IMMED. Such a one is a task
 * that iscsi does not know any more, with the view of its unit that it had, on the list of its session. It ends by itself, by
 * COPY OPERATION ABORT, with a reset, with a preemption that aborts, and with its nexus.
 */
#include "config.h"

#include "target/scsi/op.h"
#include "target/serve/serve.h"

/* What it did so far must be as good as an answer to it. */
static bool may_answer(const struct serve_task *st)
{
	const struct volume *v = st->nexus->volume;

	return !atomic_load_explicit(&v->leased, memory_order_relaxed) || lease_holds(v, st->epoch);
}

void alone_begin(struct serve_task *st)
{
	struct session *ss = st->session;
	struct task *t = &st->it.task, *twin;

	if (ss->entry->inner || t->aborted || !may_answer(st) || !(twin = task_get(t->pool)))
		return;         /* it is answered at its end */
	session_task_swap(&st->it, (struct iscsi_task *)twin);
	t->scsi.alone = true;
	st->alone_next = ss->alone;
	ss->alone = st;
	scsi_early(t, twin);
	conn_task_done(twin);
	session_dirty(ss);
	session_wake(ss);
}

void alone_end(struct serve_task *st)
{
	struct session *ss = st->session;
	struct nexus *n = st->nexus;
	struct task *t = &st->it.task;
	struct serve_task **p = &ss->alone;

	while (*p != st)
		p = &(*p)->alone_next;
	*p = st->alone_next;
	scsi_over(t);
	if (st->reached)
		session_unreach(ss, &st->reached);
	n->n_tasks--;
	if (t->aborted && n->n_aborting)
		n->n_aborting--;
	task_put(&t);
	if (n->gone || ss->is->closing || session_over(ss->is))
		ss->worker->reap = true;
}

void alone_abort(struct session *ss, const struct nexus *n)
{
	for (struct serve_task *st = ss->alone; st; st = st->alone_next)
		if (!n || st->nexus == n)
			st->it.task.aborted = true;
}

bool alone_aborting(const struct session *ss, const struct nexus *n)
{
	for (const struct serve_task *st = ss->alone; st; st = st->alone_next)
		if (st->nexus == n && st->it.task.aborted)
			return true;
	return false;
}
