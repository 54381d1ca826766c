/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that were lost, and what is kept of them: tasks that wait to be reassigned (RFC 7143 7.2.2) and the
 * session itself, for Time2Wait and Time2Retain.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"

/* RFC 7143 8.2.2: the moves of a connection's cleanup, with the transition's number. */
static const uint8_t moves[CLEANUP_N_STATES][CLEANUP_N_STATES] = {
	[CLEANUP_R1_WAIT] = { [CLEANUP_R3_FREE] = 1, [CLEANUP_R2_IN_CLEANUP] = 2 },     /* M1, M2 */
	[CLEANUP_R2_IN_CLEANUP] = { [CLEANUP_R1_WAIT] = 3, [CLEANUP_R3_FREE] = 4 },     /* M3, M4 */
};

void lost_move(struct iscsi_lost *l, enum cleanup_state to)
{
	assert(moves[l->state][to]);
	l->state = to;
}

struct iscsi_lost *session_lost_find(struct iscsi_session *s, uint16_t cid)
{
	struct iscsi_lost *l = s->lost;

	while (l && l->cid != cid)
		l = l->next;
	return l;
}

/* The tasks of a connection that is lost, whose fn may free them. */
static void each_task(struct iscsi_session *s, const struct iscsi_conn *c, uint16_t cid,
	void (*fn)(struct iscsi_session *, struct iscsi_task *))
{
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (struct iscsi_task *t = s->hash[i], *next; t; t = next) {
			next = t->hash_next;
			if (t->conn == c && t->cid == cid)
				fn(s, t);
		}
}

static void task_orphan(struct iscsi_session *s, struct iscsi_task *t)
{
	conn_forget(t->conn, t);
	t->n_sequences = 0;
	if (t->state == ITASK_ANSWERING || t->state == ITASK_ANSWERED)
		t->state = ITASK_PARKED;
	t->conn = NULL;
}

static void task_end(struct iscsi_session *s, struct iscsi_task *t)
{
	session_abort(s, NULL, t->itt, NULL);
}

static void waiting_drop(struct iscsi_session *s, const struct iscsi_conn *c)
{
	for (struct iscsi_held **p = &s->waiting, *h; (h = *p); )
		if (h->conn == c) {
			*p = h->next;
			s->n_tmfs--;
			free(h);
		} else {
			p = &h->next;
		}
}

/* The last connection has gone: is there anything to come back to? */
static void last_left(struct iscsi_session *s, bool failed)
{
	const struct iscsi_params *p = &s->params;

	if (s->state == SESSION_Q2_ACTIVE) {
		session_move(s, SESSION_Q1_FREE);
	} else if (failed && !s->closing && !s->discovery && p->time2retain) {
		session_move(s, SESSION_Q4_FAILED);
		s->until = (struct mono){ 0 };
	} else {
		session_close(s, NULL);
	}
}

static void task_release(struct iscsi_session *s, struct iscsi_task *t)
{
	t->released = true;
}

void lost_out(struct iscsi_session *s, struct iscsi_lost *l)
{
	if (l->state == CLEANUP_R1_WAIT)
		lost_move(l, CLEANUP_R2_IN_CLEANUP);
	l->until = (struct mono){ 0 };
	each_task(s, NULL, l->cid, task_release);
}

/* One record for a CID, however often it is lost. */
static void lost_note(struct iscsi_session *s, uint16_t cid)
{
	struct iscsi_lost *l = session_lost_find(s, cid);

	if (!l) {
		l = mem_zalloc(sizeof(*l));
		l->cid = cid;
		l->next = s->lost;
		s->lost = l;
	}
	if (l->state == CLEANUP_R2_IN_CLEANUP)
		lost_move(l, CLEANUP_R1_WAIT);                  /* what was to take its place is lost too */
	l->until = (struct mono){ 0 };
}

void session_leave(struct iscsi_session *s, struct iscsi_conn *c, bool failed)
{
	struct iscsi_conn **p = &s->conns;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	s->n_conns--;
	waiting_drop(s, c);
	tmf_forget(s, c);
	fence_forget(s, c);
	each_task(s, c, c->cid, task_orphan);
	if (failed && !s->closing && s->params.erl >= 2)
		lost_note(s, c->cid);
	else
		each_task(s, NULL, c->cid, task_end);
	if (!s->conns)
		last_left(s, failed);
}

void session_lost_drop(struct iscsi_session *s, struct iscsi_lost *lost)
{
	struct iscsi_lost **p = &s->lost;

	each_task(s, NULL, lost->cid, task_end);
	lost_move(lost, CLEANUP_R3_FREE);
	while (*p != lost)
		p = &(*p)->next;
	*p = lost->next;
	free(lost);
}

static struct mono window(const struct iscsi_session *s, struct mono now)
{
	return mono_add_ms(now, 1000u * (s->params.time2wait + s->params.time2retain));
}

struct mono session_tick(struct iscsi_session *s, struct mono now)
{
	struct mono due = MONO_NEVER;

	for (struct iscsi_lost *l = s->lost, *next; l; l = next) {
		next = l->next;
		if (!l->until.ns)
			l->until = window(s, now);
		if (mono_due(l->until, now))
			session_lost_drop(s, l);
		else
			due = mono_min(due, l->until);
	}
	if (s->state != SESSION_Q4_FAILED)
		return due;
	if (!s->until.ns)
		s->until = window(s, now);
	if (!mono_due(s->until, now))
		return mono_min(due, s->until);
	session_close(s, NULL);                         /* N6 */
	return MONO_NEVER;
}
