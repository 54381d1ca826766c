/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task management that reaches beyond one task: all tasks of a LUN, of other sessions too, on other workers
 * (SAM-5 7, RFC 7143 11.5). The answer waits until every aborted task has ended, wherever it ran.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/serve/serve.h"

#define COLD_MS 3000            /* for the logout that a cold reset asks for */

/* One function that goes around; freed when all workers have reported. */
struct round {
	_Atomic unsigned open;          /* workers that have not */
	const struct scsi_lu *lu;       /* NULL: all of `target` */
	char target[ISCSI_NAME_MAX + 1];
	uint64_t by;                    /* the session that asked: its own tasks are its own business */
	bool own;                       /* no: what that one has in the background is all that is waited for */
	bool cold;
	struct worker *origin;
	struct iscsi_tmf *tmf;
};

struct round_msg {
	struct worker_msg msg;
	struct round *round;
};

struct drain {
	struct drain *next;
	struct round *round;
};

static bool concerned(const struct round *r, const struct session *ss, const struct nexus *n)
{
	if (r->own)
		return ss->entry->id == r->by;
	return r->lu ? n->scsi.lu == r->lu : strcmp(ss->it.target, r->target) == 0;
}

static bool drained(const struct worker *w, const struct round *r)
{
	for (const struct session *ss = w->sessions; ss; ss = ss->next)
		for (const struct nexus *n = ss->nexuses; n; n = n->next)
			if (concerned(r, ss, n) && (ss->entry->id == r->by ? alone_aborting(ss, n) : n->n_aborting != 0))
				return false;
	return true;
}

/* 11.5.1: after a TARGET COLD RESET no session goes on, whoever asked for it. */
static void log_out(struct session *ss)
{
	for (struct iscsi_conn *c = ss->is->conns; c; c = c->next)
		conn_request_logout(c, COLD_MS);
}

static void answer_run(struct worker *w, struct worker_msg *m)
{
	struct round_msg *rm = (struct round_msg *)m;
	struct round *r = rm->round;
	struct session *ss = session_find_id(w, r->by);

	/* A session that has ended took its own with it. */
	if (ss) {
		conn_tmf_done(ss->is, r->tmf, TMF_RSP_COMPLETE);
		if (r->cold)
			log_out(ss);
		session_dirty(ss);
	}
	free(r);
	free(rm);
}

static void report(struct round *r)
{
	struct round_msg *rm;

	if (atomic_fetch_sub(&r->open, 1) != 1)
		return;
	rm = mem_zalloc(sizeof(*rm));
	rm->msg.run = answer_run;
	rm->round = r;
	worker_post(r->origin, &rm->msg);
}

void drains_check(struct worker *w)
{
	for (struct drain **p = &w->drains, *d; (d = *p); ) {
		if (!drained(w, d->round)) {
			p = &d->next;
			continue;
		}
		*p = d->next;
		report(d->round);
		free(d);
	}
}

void tmf_end_tasks(struct session *ss, const uint8_t *lun)
{
	struct task_choice all = { .lun = lun, .itt = TAG_NONE };
	const struct nexus *n = (const struct nexus *)it_nexus(&ss->it, lun);

	if (n)
		alone_abort(ss, n);
	session_abort_notice(ss->is, &all, NULL);
	if (session_abort_choice(ss->is, &all, NULL))
		session_fence(ss->is);
}

static void drain_add(struct worker *w, struct round *r)
{
	struct drain *d = mem_zalloc(sizeof(*d));

	d->round = r;
	d->next = w->drains;
	w->drains = d;
}

/* Abort what this worker's other sessions have on the LUN. */
static void abort_run(struct worker *w, struct worker_msg *m)
{
	struct round_msg *rm = (struct round_msg *)m;
	struct round *r = rm->round;

	for (struct session *ss = w->sessions; ss; ss = ss->next) {
		if (ss->entry->id == r->by)
			continue;
		for (struct nexus *n = ss->nexuses; n; n = n->next) {
			uint8_t lun[8];

			if (!concerned(r, ss, n) || n->gone)
				continue;
			lun_bytes(n->scsi.lun, lun);
			tmf_end_tasks(ss, lun);
			n->n_aborting = n->n_tasks;
		}
		if (r->cold && strcmp(ss->it.target, r->target) == 0)
			log_out(ss);
		session_dirty(ss);
	}
	drain_add(w, r);
	free(rm);
}

/* Answered when what the session had in the background has ended; all of it is on its own worker. */
static void wait_own(struct session *ss, struct iscsi_tmf *tmf)
{
	struct round *r = mem_zalloc(sizeof(*r));

	atomic_store(&r->open, 1);
	r->own = true;
	r->by = ss->entry->id;
	r->origin = ss->worker;
	r->tmf = tmf;
	drain_add(ss->worker, r);
}

static void reset_units(struct session *ss, const struct nexus *only)
{
	for (struct nexus *n = ss->nexuses; n; n = n->next)
		if (!n->gone && (!only || n == only)) {
			bool agreed;

			pthread_mutex_lock(&n->volume->lu_lock);
			lu_reset(n->scsi.lu, NULL);
			agreed = n->scsi.lu->kept.has_spc2;
			pthread_mutex_unlock(&n->volume->lu_lock);
			if (agreed)
				background_start(ss->worker, n->volume, NULL, scsi_all_reset);
		}
}

static void go_around(struct session *ss, struct iscsi_tmf *tmf, struct nexus *n)
{
	struct serve *s = ss->worker->serve;
	struct round *r = mem_zalloc(sizeof(*r));

	atomic_store(&r->open, s->n_workers);
	r->lu = n ? n->scsi.lu : NULL;
	memcpy(r->target, ss->entry->target, sizeof(r->target));
	r->by = ss->entry->id;
	r->origin = ss->worker;
	r->tmf = tmf;
	r->cold = tmf->function == TMF_TARGET_COLD_RESET;
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct round_msg *rm = mem_zalloc(sizeof(*rm));

		rm->msg.run = abort_run;
		rm->round = r;
		worker_post(s->workers[i], &rm->msg);
	}
}

/* The session's own tasks that came before the function. */
static void abort_before(struct session *ss, const uint8_t *lun, struct iscsi_tmf *tmf)
{
	struct task_choice before = { .lun = lun, .itt = TAG_NONE, .before = true, .cmdsn = tmf->cmdsn };

	session_abort_notice(ss->is, &before, tmf->conn);
	session_abort_choice(ss->is, &before, tmf);
}

void tmf_carry_out(struct session *ss, struct iscsi_tmf *tmf)
{
	struct nexus *n = (struct nexus *)it_nexus(&ss->it, tmf->lun);

	switch (tmf->function) {
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
	case TMF_LU_RESET:
	case TMF_QUERY_TASK_SET:
	case TMF_QUERY_ASYNC_EVENT:
		if (!n) {
			conn_tmf_done(ss->is, tmf, TMF_RSP_NO_LUN);
			return;
		}
	}
	switch (tmf->function) {
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:        /* the same, as each I_T nexus has a task set of its own (TST 001b, SAM-5 7.5) */
		abort_before(ss, tmf->lun, tmf);
		conn_tmf_done(ss->is, tmf, TMF_RSP_COMPLETE);
		return;
	case TMF_I_T_NEXUS_RESET:
		abort_before(ss, NULL, tmf);
		alone_abort(ss, NULL);
		for (unsigned i = 0; i < ss->it.n_luns; i++)
			nexus_attention(ss->it.luns[i], UA_NEXUS_LOSS);
		wait_own(ss, tmf);
		return;
	case TMF_QUERY_TASK_SET:
		conn_tmf_done(ss->is, tmf, session_has_task(ss->is, tmf->lun) ? TMF_RSP_SUCCEEDED : TMF_RSP_COMPLETE);
		return;
	case TMF_QUERY_ASYNC_EVENT:
		conn_tmf_done(ss->is, tmf, atomic_load(&n->scsi.ua) ? TMF_RSP_SUCCEEDED : TMF_RSP_COMPLETE);
		return;
	case TMF_LU_RESET:
		abort_before(ss, tmf->lun, tmf);
		alone_abort(ss, n);
		reset_units(ss, n);
		go_around(ss, tmf, n);
		return;
	default:                        /* TARGET WARM and COLD RESET */
		abort_before(ss, NULL, tmf);
		alone_abort(ss, NULL);
		reset_units(ss, NULL);
		go_around(ss, tmf, NULL);
	}
}
