/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What units keep where all nodes agree about it (doc/ownership.md 11). A change is proposed by an event; what directord says
 * of it, and of others' changes, comes on the main thread and is in effect at once; then the command is answered, on its
 * worker. A proposal that came too late begins again on what has won.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "target/scsi/agreed.h"
#include "target/scsi/bytes.h"
#include "target/serve/serve.h"

/* ---- outcomes, on the worker of the command ---- */

static void end_run(struct worker *w, struct worker_msg *m)
{
	struct serve_task *st = (struct serve_task *)((char *)m - offsetof(struct serve_task, retry));
	bool won = st->settled;
	enum scsi_turn turn;

	turn = keep_over(st, won ? 0 : ERR_CONFLICT);
	if (!won && !st->session && w->stopping)
		st->it.task.aborted = true;
	if (won || st->it.task.aborted)
		exec_turn(st, won ? turn : SCSI_DONE);
	else if (st->session)
		hold_void(st, false);
	else
		exec_turn(st, SCSI_LOCK);
}

/* With the unit's lock. */
static void outcome(struct volume *v, bool won)
{
	struct serve_task *st = v->keeping;

	v->proposal = 0;
	buf_fini(&v->proposed);
	st->settled = won;
	st->retry.run = end_run;
	worker_post(st->worker, &st->retry);
}

/* ---- proposals ---- */

static void id_of(const struct serve *s, uint64_t proposal, uint8_t id[AGREED_ID_LEN])
{
	memcpy(id, s->instance, 16);
	set64(id + 16, proposal);
}

/* With the unit's lock. */
static void propose(struct volume *v, uint64_t client)
{
	struct target_event ev = { .kind = TARGET_EV_KEEP, .value = v->proposal, .of = v->proposal_of,
		.blob = v->proposed.data, .n_blob = v->proposed.len };

	memcpy(ev.volume, v->lu.uuid, 16);
	control_event_to(v->serve, client, &ev);
}

void agree_propose(struct serve_task *st)
{
	const struct pr_outcome *out = scsi_proposed_outcome(&st->it.task);
	struct volume *v = st->nexus->volume;
	struct lu_agreed a = { .kept = *scsi_proposed(&st->it.task), .notices = out->notices, .n = out->n };

	pthread_mutex_lock(&v->lu_lock);
	v->proposal = atomic_fetch_add(&v->serve->next_proposal, 1) + 1;
	v->proposal_won = false;
	id_of(v->serve, v->proposal, a.id);
	buf_fini(&v->proposed);
	agreed_encode(&a, &v->proposed);
	if (st->worker->stopping)
		outcome(v, false);
	else
		propose(v, 0);
	pthread_mutex_unlock(&v->lu_lock);
}

void agree_stop(struct serve *s)
{
	pthread_mutex_lock(&s->registry.lock);
	for (struct volume *v = s->registry.volumes; v; v = v->next) {
		pthread_mutex_lock(&v->lu_lock);
		if (v->proposal)
			outcome(v, v->proposal_won);
		pthread_mutex_unlock(&v->lu_lock);
	}
	pthread_mutex_unlock(&s->registry.lock);
}

/* A directord that was not here when they were made. */
void agree_propose_again(struct serve *s, uint64_t client)
{
	pthread_mutex_lock(&s->registry.lock);
	for (struct volume *v = s->registry.volumes; v; v = v->next) {
		pthread_mutex_lock(&v->lu_lock);
		if (v->proposal)
			propose(v, client);
		pthread_mutex_unlock(&v->lu_lock);
	}
	pthread_mutex_unlock(&s->registry.lock);
}

/* ---- from directord ---- */

/* With the unit's lock. */
static bool take(struct volume *v, uint64_t version, struct lu_agreed *a)
{
	enum agreed_how how = AGREED_LATER;
	uint8_t id[AGREED_ID_LEN];

	id_of(v->serve, v->proposal, id);
	if (!v->kept_known)
		how = AGREED_FIRST;
	else if (v->proposal && memcmp(id, a->id, sizeof(id)) == 0)
		how = AGREED_OWN;
	else if (version == v->kept_version + 1)
		how = AGREED_NEXT;
	v->proposal_won |= how == AGREED_OWN;
	v->kept_known = true;
	v->kept_version = version;
	return lu_agree(&v->lu, a, how);
}

int agree_take(struct serve *s, struct target_msg *m, void (*over)(void *arg), void *arg)
{
	struct registry *r = &s->registry;
	struct lu_agreed a;
	struct volume *v;
	bool aborts = false, first = false, mine = false, taken = false;
	int err = 0;

	if (agreed_decode(m->blob, m->n_blob, &a) != 0)
		return ERR_MALFORMED;
	/* It comes again with what is left of it: who had to be told of the change was, or is not there any more. */
	if (m->lost) {
		kept_power_lost(&a.kept);
		a.n = 0;
	}
	pthread_mutex_lock(&r->lock);
	v = volume_find_locked(r, m->volume.uuid);
	if (!v || !v->shaped || !v->def.keeps) {
		err = ERR_NOENT;
	} else {
		pthread_mutex_lock(&v->lu_lock);
		first = !v->kept_known && !m->err;
		taken = !m->err && (first || m->number > v->kept_version);
		if (taken)
			aborts = take(v, m->number, &a);
		mine = v->proposal_won && v->proposal && v->lu.kept.sanitize == SANITIZE_RUNNING;
		if (m->proposal && m->proposal == v->proposal)
			outcome(v, !m->err || v->proposal_won);
		pthread_mutex_unlock(&v->lu_lock);
		/* One that is proposed here goes on when all other commands of the unit have ended (exec_turn). */
		if (taken && !mine)
			sanitize_look_locked(v);
	}
	if (first)
		hold_end(v, HOLD_KEPT);
	/* The answer waits for commands that a preemption elsewhere has ended here. */
	if (aborts)
		others_abort(s, v, over, arg);
	else if (!err)
		over(arg);
	pthread_mutex_unlock(&r->lock);
	agreed_fini(&a);
	return err;
}
