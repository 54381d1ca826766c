/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: command order and tasks. */
#include "target/iscsi/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/sn.h"
#include "target/iscsi/task_set.h"

/* RFC 7143 8.3.2 and 8.3.4: the moves of a target's session, with the transition's number. */
static const uint8_t moves[SESSION_N_STATES][SESSION_N_STATES] = {
	[SESSION_Q1_FREE] = { [SESSION_Q2_ACTIVE] = 1 },                                        /* N1 */
	[SESSION_Q2_ACTIVE] = { [SESSION_Q3_LOGGED_IN] = 2, [SESSION_Q1_FREE] = 9 },            /* N2, N9 */
	[SESSION_Q3_LOGGED_IN] = { [SESSION_Q1_FREE] = 3, [SESSION_Q4_FAILED] = 5 },            /* N3, N5 */
	[SESSION_Q4_FAILED] = { [SESSION_Q1_FREE] = 6, [SESSION_Q5_CONTINUE] = 7 },             /* N6, N7 */
	[SESSION_Q5_CONTINUE] = { [SESSION_Q4_FAILED] = 8, [SESSION_Q3_LOGGED_IN] = 10,
		[SESSION_Q1_FREE] = 11 },                                                       /* N8, N10, N11 */
};

void session_move(struct iscsi_session *s, enum session_state to)
{
	assert(moves[s->state][to]);
	s->state = to;
}

struct iscsi_session *iscsi_session_new(const struct login *l, uint16_t tsih, unsigned depth)
{
	struct iscsi_session *s = mem_zalloc(sizeof(*s));

	memcpy(s->initiator, l->initiator, sizeof(s->initiator));
	memcpy(s->target, l->target, sizeof(s->target));
	memcpy(s->alias, l->alias, sizeof(s->alias));
	memcpy(s->isid, l->isid, sizeof(s->isid));
	s->discovery = l->discovery;
	s->params = l->params;
	/* 13.14: the first burst is not longer than any other. */
	if (s->params.first_burst > s->params.max_burst)
		s->params.first_burst = s->params.max_burst;
	s->tsih = tsih;
	s->depth = depth < SESSION_DEPTH_MAX / 2 ? depth : SESSION_DEPTH_MAX / 2;
	s->ready_tail = &s->ready;
	session_move(s, SESSION_Q2_ACTIVE);
	return s;
}

void iscsi_session_free(struct iscsi_session **session)
{
	struct iscsi_session *s = *session;
	struct iscsi_tmf *tmf;

	if (!s)
		return;
	assert(!s->conns && s->n_running == 0);
	s->closing = true;
	while (s->lost)
		session_lost_drop(s, s->lost);
	fence_forget(s, NULL);
	session_abort(s, NULL, TAG_NONE, NULL);
	while ((tmf = s->tmfs)) {
		s->tmfs = tmf->next;
		free(tmf);
	}
	assert(s->n_tasks == 0 && !s->waiting);
	free(s->ahead);
	free(s);
	*session = NULL;
}

enum login_status session_admits(const struct iscsi_session *s, const struct login *l)
{
	if (s->closing || s->state == SESSION_Q1_FREE || l->discovery != s->discovery)
		return LOGIN_NO_SESSION;
	if (!session_conn(s, l->cid) && s->n_conns >= s->params.max_connections)
		return LOGIN_TOO_MANY;
	return LOGIN_OK;
}

void session_close(struct iscsi_session *s, const char *why)
{
	s->closing = true;
	for (struct iscsi_conn *c = s->conns; c; c = c->next)
		conn_close(c, why);
	if (!s->conns && s->state != SESSION_Q1_FREE) {
		session_move(s, SESSION_Q1_FREE);
		while (s->lost)
			session_lost_drop(s, s->lost);
		session_abort(s, NULL, TAG_NONE, NULL);
	}
}

void session_dismiss(struct iscsi_session *s, const char *why)
{
	s->closing = true;
	for (struct iscsi_conn *c = s->conns; c; c = c->next) {
		if (c->closing != CLOSING_NO)
			continue;
		put16(conn_async(c, ASYNC_SESSION_DROPS) + 40, (uint16_t)s->params.time2wait);
		c->closing = CLOSING_FLUSH;
		c->why = why;
	}
	if (!s->conns)
		session_close(s, why);
}

bool session_over(const struct iscsi_session *s)
{
	return s->state == SESSION_Q1_FREE && !s->conns;
}

struct iscsi_conn *session_conn(const struct iscsi_session *s, uint16_t cid)
{
	struct iscsi_conn *c = s->conns;

	while (c && c->cid != cid)
		c = c->next;
	return c;
}

static struct iscsi_task **slot_of(struct iscsi_session *s, uint32_t itt)
{
	return &s->hash[(itt ^ itt >> 6 ^ itt >> 16) % SESSION_HASH];
}

struct iscsi_task *session_find(struct iscsi_session *s, uint32_t itt)
{
	struct iscsi_task *t = *slot_of(s, itt);

	while (t && t->itt != itt)
		t = t->hash_next;
	return t;
}

struct iscsi_task *session_find_ack(struct iscsi_session *s, const struct iscsi_conn *c, uint32_t tag)
{
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (struct iscsi_task *t = s->hash[i]; t; t = t->hash_next)
			if (t->conn == c && t->ack_tag == tag)
				return t;
	return NULL;
}

void session_add(struct iscsi_session *s, struct iscsi_task *t)
{
	struct iscsi_task **slot = slot_of(s, t->itt);

	t->session = s;
	t->hash_next = *slot;
	*slot = t;
	s->n_tasks++;
	if (!t->arrived) {
		if (!s->ahead)
			s->ahead = mem_zalloc(SESSION_DEPTH_MAX * sizeof(struct iscsi_task *));
		s->ahead[t->cmdsn % SESSION_DEPTH_MAX] = t;
	}
	if (!t->immediate)
		s->active++;
}

static void unhash(struct iscsi_session *s, struct iscsi_task *t)
{
	struct iscsi_task **p = slot_of(s, t->itt);

	while (*p != t)
		p = &(*p)->hash_next;
	*p = t->hash_next;
}

void session_task_free(struct iscsi_task *t)
{
	struct task *task = &t->task;

	if (!t->doomed) {
		if (t->set)
			task_set_leave(t);
		if (t->conn) {
			/* It may have been given up in the middle of a Data-Out, whose rest still comes. */
			conn_forget(t->conn, t);
			conn_out_forget(t->conn, t);
		}
		unhash(t->session, t);
		if (!t->arrived)
			t->session->ahead[t->cmdsn % SESSION_DEPTH_MAX] = NULL;
		t->session->n_tasks--;
		/* One that was answered left the window with its status (conn_task_done). */
		if (!t->immediate && t->state < ITASK_ANSWERING)
			t->session->active--;
		cover_fini(&t->cover);
		t->doomed = true;
	}
	if (!t->wires)
		task_put(&task);
}

void session_task_swap(struct iscsi_task *t, struct iscsi_task *twin)
{
	struct iscsi_task **p = slot_of(t->session, t->itt);

	assert(t->state == ITASK_RUNNING && !t->wires);
	while (*p != t)
		p = &(*p)->hash_next;
	*p = twin;
	memcpy((char *)twin + sizeof(twin->task), (char *)t + sizeof(t->task), sizeof(*t) - sizeof(t->task));
	memcpy(twin->task.lun, t->task.lun, sizeof(twin->task.lun));
	memcpy(twin->task.cdb, t->task.cdb, sizeof(twin->task.cdb));
	twin->task.cdb_len = t->task.cdb_len;
	twin->task.attr = t->task.attr;
	twin->task.read = t->task.read;
	twin->task.write = t->task.write;
	twin->task.expect_in = t->task.expect_in;
	twin->task.expect_out = t->task.expect_out;
	twin->task.out_len = t->task.out_len;
	twin->task.out_want = t->task.out_want;
	memset((char *)t + sizeof(t->task), 0, sizeof(*t) - sizeof(t->task));
}

/* ---- CmdSN ---- */

static void see(struct iscsi_session *s, uint32_t cmdsn, bool set)
{
	uint64_t bit = 1ull << (cmdsn % 64);
	uint64_t *word = &s->seen[cmdsn / 64 % (SESSION_DEPTH_MAX / 64)];

	*word = set ? *word | bit : *word & ~bit;
}

static bool seen(const struct iscsi_session *s, uint32_t cmdsn)
{
	return s->seen[cmdsn / 64 % (SESSION_DEPTH_MAX / 64)] >> (cmdsn % 64) & 1;
}

/* exp_cmdsn moved: tasks that were ahead may now have their turn, in order. */
static void turn(struct iscsi_session *s, uint32_t cmdsn)
{
	struct iscsi_task **slot = s->ahead ? &s->ahead[cmdsn % SESSION_DEPTH_MAX] : NULL, *t = slot ? *slot : NULL;

	if (!t || t->cmdsn != cmdsn)
		return;
	*slot = NULL;
	t->arrived = true;
	/* It may have its answer already: that its data was lost. */
	if (t->state < ITASK_ANSWERING)
		task_set_enter(s, t);
	if (t->state == ITASK_HELD)
		session_task_ready(s, t);
}

enum cmdsn_verdict session_judge(const struct iscsi_session *s, uint32_t cmdsn)
{
	if (sn_lt(cmdsn, s->exp_cmdsn) || sn_lt(s->max_cmdsn, cmdsn) || seen(s, cmdsn))
		return CMDSN_IGNORE;
	return cmdsn == s->exp_cmdsn ? CMDSN_NEXT : CMDSN_AHEAD;
}

enum cmdsn_verdict session_cmdsn(struct iscsi_session *s, uint32_t cmdsn)
{
	enum cmdsn_verdict verdict = session_judge(s, cmdsn);

	if (verdict == CMDSN_AHEAD)
		see(s, cmdsn, true);
	if (verdict != CMDSN_NEXT)
		return verdict;
	s->exp_cmdsn++;
	while (seen(s, s->exp_cmdsn)) {
		see(s, s->exp_cmdsn, false);
		s->exp_cmdsn++;
	}
	return CMDSN_NEXT;
}

/*
 * How many more commands may come: the depth less those in work, and fewer when those hold much of the memory that a
 * session may have, before the next ones would be answered with TASK SET FULL.
 */
static uint32_t room(const struct iscsi_session *s)
{
	uint32_t n = s->depth > s->active ? s->depth - s->active : 0;
	uint64_t half = s->held_max / 2;

	if (!s->active || s->held <= half)
		return n;
	return s->held >= s->held_max ? 0 : (uint32_t)(n * (s->held_max - s->held) / half);
}

void session_window(struct iscsi_session *s, uint8_t *bhs)
{
	uint32_t max = s->exp_cmdsn - 1 + room(s);

	if (sn_lt(s->max_cmdsn, max))
		s->max_cmdsn = max;
	put32(bhs + 28, s->exp_cmdsn);
	put32(bhs + 32, s->max_cmdsn);
}

/* ---- ready ---- */

void session_task_ready(struct iscsi_session *s, struct iscsi_task *t)
{
	if (!t->arrived) {
		t->state = ITASK_HELD;
		return;
	}
	if (t->set && !task_set_starts(t)) {
		t->state = ITASK_DORMANT;
		return;
	}
	t->state = ITASK_READY;
	t->task.next = NULL;
	*s->ready_tail = &t->task;
	s->ready_tail = &t->task.next;
}

/* The first of those that wait no longer; given. */
static struct iscsi_held *held_due(struct iscsi_session *s)
{
	struct iscsi_held **first = NULL, *h;

	for (struct iscsi_held **p = &s->waiting; (h = *p); p = &h->next)
		if (sn_le(h->due, s->exp_cmdsn) && (!first || sn_lt(h->due, (*first)->due)))
			first = p;
	if (!first)
		return NULL;
	h = *first;
	*first = h->next;
	return h;
}

void session_turns(struct iscsi_session *s, uint32_t from)
{
	struct iscsi_held *h;

	for (; sn_lt(from, s->exp_cmdsn); from++)
		turn(s, from);
	while ((h = held_due(s))) {
		request_turn(h);
		free(h);
	}
}

struct task *session_next_task(struct iscsi_session *s)
{
	struct task *t = s->ready;

	if (!t)
		return NULL;
	s->ready = t->next;
	if (!s->ready)
		s->ready_tail = &s->ready;
	t->next = NULL;
	((struct iscsi_task *)t)->state = ITASK_RUNNING;
	s->n_running++;
	s->commands++;
	return t;
}

static void unready(struct iscsi_session *s, struct iscsi_task *t)
{
	struct task **p = &s->ready;

	while (*p != &t->task)
		p = &(*p)->next;
	*p = t->task.next;
	if (!*p)
		s->ready_tail = p;
}

/* ---- aborting ---- */

/*
 * The task runs: `tmf` is not answered before it has ended (4.2.3.3 c). If an earlier function waits for it already, it waits
 * for that one, or the last of those who do.
 */
static void wait_for(struct iscsi_task *t, struct iscsi_tmf *tmf)
{
	if (!t->tmf) {
		t->tmf = t->tmf_last = tmf;
		tmf->waiting++;
		return;
	}
	while (t->tmf_last->after)
		t->tmf_last = t->tmf_last->after;
	if (t->tmf_last == tmf)
		return;
	t->tmf_last->after = tmf;
	t->tmf_last = tmf;
	tmf->waiting++;
}

static bool abort_one(struct iscsi_session *s, struct iscsi_task *t, struct iscsi_tmf *tmf)
{
	switch (t->state) {
	case ITASK_ANSWERING:
	case ITASK_ANSWERED:
		return false;
	case ITASK_RUNNING:
		t->task.aborted = true;
		if (tmf)
			wait_for(t, tmf);
		return true;
	case ITASK_READY:
		unready(s, t);
		break;
	default:
		/* Data-Out that may be on its way is recognised by its unknown tag and dropped. */
		if (t->conn)
			conn_forget(t->conn, t);
	}
	session_task_free(t);
	return true;
}

bool lun_same(const uint8_t *a, const uint8_t *b)
{
	uint8_t x = a[0] == 0x40 ? 0 : a[0], y = b[0] == 0x40 ? 0 : b[0];

	return x == y && memcmp(a + 1, b + 1, 7) == 0;
}

bool session_has_task(const struct iscsi_session *s, const uint8_t *lun)
{
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (const struct iscsi_task *t = s->hash[i]; t; t = t->hash_next)
			if (t->arrived && t->state < ITASK_ANSWERING && lun_same(t->task.lun, lun))
				return true;
	return false;
}

static bool chosen(const struct iscsi_task *t, const struct task_choice *w)
{
	return (!w->lun || lun_same(t->task.lun, w->lun)) && (w->itt == TAG_NONE || t->itt == w->itt) &&
	       (!w->conn || t->conn == w->conn) && (!w->before || sn_lt(t->cmdsn, w->cmdsn) || (t->immediate && t->cmdsn == w->cmdsn));
}

unsigned session_abort_choice(struct iscsi_session *s, const struct task_choice *which, struct iscsi_tmf *tmf)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (struct iscsi_task *t = s->hash[i], *next; t; t = next) {
			next = t->hash_next;
			if (chosen(t, which))
				n += abort_one(s, t, tmf);
		}
	return n;
}

unsigned session_abort(struct iscsi_session *s, const uint8_t *lun, uint32_t itt, struct iscsi_tmf *tmf)
{
	return session_abort_choice(s, &(struct task_choice){ .lun = lun, .itt = itt }, tmf);
}

#define TOLD_HASH 256

/* Is it the first on its connection with this LUN? Then it is put among those. */
static bool told_first(struct iscsi_task *told[TOLD_HASH], struct iscsi_task *t)
{
	const uint8_t *lun = t->task.lun;
	unsigned high = lun[0] == 0x40 ? 0 : lun[0];    /* lun_same */
	struct iscsi_task **p = &told[(high * 7u + lun[1] + t->conn->cid * 31u) % TOLD_HASH];

	for (t->told_next = NULL; *p; p = &(*p)->told_next)
		if ((*p)->conn == t->conn && lun_same((*p)->task.lun, lun))
			return false;
	*p = t;
	return true;
}

void session_abort_notice(struct iscsi_session *s, const struct task_choice *which, const struct iscsi_conn *but)
{
	struct iscsi_task *told[TOLD_HASH] = { NULL };

	if (s->params.task_reporting != REPORTING_FAST_ABORT)
		return;
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (struct iscsi_task *t = s->hash[i]; t; t = t->hash_next)
			if (t->conn && t->conn != but && t->state < ITASK_ANSWERING && chosen(t, which) && told_first(told, t))
				memcpy(conn_async(t->conn, ASYNC_TASKS_TERMINATED) + 8, t->task.lun, 8);
}

void session_fence(struct iscsi_session *s)
{
	fence_begin(s, NULL);
}

void session_abort_done(struct iscsi_task *t)
{
	struct iscsi_session *s = t->session;
	struct iscsi_tmf *tmf = t->tmf, *after;

	s->n_running--;
	session_task_free(t);
	for (; tmf && --tmf->waiting == 0; tmf = after) {
		after = tmf->after;
		tmf->after = NULL;
		if (!tmf->deciding)
			tmf_finish(s, tmf);
	}
}
