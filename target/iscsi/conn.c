/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: its states, its input, its time. What PDUs mean is in request.c and text.c, what leaves in
 * out.c. */
#include "target/iscsi/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "target/iscsi/sn.h"

#define FLUSH_MS 5000
#define RETRY_MS 2000

/*
 * RFC 7143 8.1.2 and 8.1.4: the moves of a target's connection, with the transition's number. Every state can end in S1
 * because the owner may drop a connection at any time. What stays of one in S8 is lost.c's.
 */
static const uint8_t moves[CONN_N_STATES][CONN_N_STATES] = {
	[CONN_S1_FREE] = { [CONN_S3_XPT_UP] = 3 },
	[CONN_S3_XPT_UP] = { [CONN_S1_FREE] = 6, [CONN_S4_IN_LOGIN] = 4 },
	[CONN_S4_IN_LOGIN] = { [CONN_S1_FREE] = 7, [CONN_S5_LOGGED_IN] = 5 },
	[CONN_S5_LOGGED_IN] = { [CONN_S1_FREE] = 8,
		[CONN_S6_IN_LOGOUT] = 9,
		[CONN_S7_LOGOUT_REQUESTED] = 11,
		[CONN_S8_CLEANUP_WAIT] = 15 },
	[CONN_S6_IN_LOGOUT] = { [CONN_S1_FREE] = 13,
		[CONN_S6_IN_LOGOUT] = 14,
		[CONN_S8_CLEANUP_WAIT] = 17 },
	[CONN_S7_LOGOUT_REQUESTED] = { [CONN_S1_FREE] = 18,
		[CONN_S6_IN_LOGOUT] = 10,
		[CONN_S7_LOGOUT_REQUESTED] = 12,
		[CONN_S8_CLEANUP_WAIT] = 16 },
	[CONN_S8_CLEANUP_WAIT] = { [CONN_S1_FREE] = 1 },        /* M1 of 8.2.2 */
};

void conn_move(struct iscsi_conn *c, enum conn_state to)
{
	assert(moves[c->state][to]);
	c->state = to;
}

struct iscsi_conn *iscsi_conn_new(const struct iscsi_conn_conf *conf, struct mono now)
{
	struct iscsi_conn *c = mem_zalloc(sizeof(*c));

	c->conf = *conf;
	c->statsn = c->acked = 1;
	iscsi_params_default(&c->params);
	c->text_ttt = TAG_NONE;
	c->ping_tag = 1;
	c->now = c->heard = now;
	c->deadline = conf->login_ms ? mono_add_ms(now, conf->login_ms) : MONO_NEVER;
	c->login = mem_alloc(sizeof(*c->login));
	login_init(c->login);
	conn_out_init(c);
	conn_move(c, CONN_S3_XPT_UP);
	return c;
}

static void login_drop(struct iscsi_conn *c)
{
	if (!c->login)
		return;
	login_fini(c->login);
	free(c->login);
	c->login = NULL;
}

/* A command that was not whole belongs to nobody else yet. */
static void task_drop(struct iscsi_conn *c)
{
	struct task *task = c->in.task ? &c->in.task->task : NULL;

	if (c->in.in_data && bhs_op(c->in.header) == PDU_SCSI_COMMAND)
		task_put(&task);
	c->in.task = NULL;
	c->in.dest = NULL;
}

void conn_leave(struct iscsi_conn *c, bool failed)
{
	struct iscsi_session *s = c->session;

	if (!s)
		return;
	if (failed && c->state >= CONN_S5_LOGGED_IN)
		conn_move(c, CONN_S8_CLEANUP_WAIT);             /* T15, T16, T17 */
	conn_out_fini(c);
	task_drop(c);
	session_leave(s, c, failed);
	c->session = NULL;
	conn_move(c, CONN_S1_FREE);
}

void iscsi_conn_free(struct iscsi_conn **conn)
{
	struct iscsi_conn *c = *conn;
	struct iscsi_session *recovered;
	struct iscsi_lost *lost;
	bool logged_out;

	if (!c)
		return;
	logged_out = c->state == CONN_S6_IN_LOGOUT && !c->recover;
	recovered = c->recover ? c->session : NULL;
	conn_leave(c, !logged_out);
	if (recovered && (lost = session_lost_find(recovered, c->cid)))
		lost_out(recovered, lost);
	conn_out_fini(c);
	login_drop(c);
	buf_fini(&c->in.data);
	buf_fini(&c->in.backlog);
	buf_fini(&c->text_in);
	buf_fini(&c->text_out);
	free(c);
	*conn = NULL;
}

void conn_close(struct iscsi_conn *c, const char *why)
{
	if (c->closing == CLOSING_NOW)
		return;
	c->closing = CLOSING_NOW;
	c->why = why;
}

/* ---- input ---- */

bool conn_reading(const struct iscsi_conn *c)
{
	return c->closing == CLOSING_NO && c->ask == ASK_NONE && !conn_out_full(c);
}

static uint32_t header_need(const struct iscsi_conn *c)
{
	if (c->in.have < BHS_LEN)
		return BHS_LEN;
	return BHS_LEN + bhs_ahs_len(c->in.header) + (c->header_digest ? DIGEST_LEN : 0);
}

static void pdu_done(struct iscsi_conn *c, bool whole)
{
	c->in.in_data = false;
	c->in.have = 0;
	if (whole)
		request_end(c, c->in.header);
	else
		request_broken(c, c->in.header);
	c->in.task = NULL;
	c->in.dest = NULL;
}

/* The trailer is here: padding, then the digest. Bytes that went nowhere cannot be checked, and need not
 * be. */
static void data_done(struct iscsi_conn *c)
{
	uint32_t crc;

	if (!c->data_digest || !c->in.len || !c->in.dest) {
		pdu_done(c, true);
		return;
	}
	crc = crc32c(crc32c(0, c->in.dest, c->in.len), c->in.tail, pdu_pad(c->in.len));
	if (crc == get_digest(c->in.tail + pdu_pad(c->in.len)))
		pdu_done(c, true);
	else if (conn_erl(c, 1))
		pdu_done(c, false);
	else
		/* Recovery within the connection needs ERL 1; at ERL 0 the session starts anew (7.6). */
		conn_close(c, "data digest error");
}

static bool header_right(const struct iscsi_conn *c, uint32_t len)
{
	return !c->header_digest ||
	       crc32c(0, c->in.header, len - DIGEST_LEN) == get_digest(c->in.header + len - DIGEST_LEN);
}

/*
 * 7.7: what is broken may be the length, so where the next PDU begins must be known by other means. Here: it begins
 * where this length says if a header with a right digest is there. The one that is broken is left out.
 */
static void header_broken(struct iscsi_conn *c)
{
	if (!conn_erl(c, 1) || c->in.doubtful || c->in.len > c->params.max_recv) {
		conn_close(c, "header digest error");
		return;
	}
	c->in.doubtful = true;
	request_ignore(c);
}

static void header_done(struct iscsi_conn *c, uint32_t len)
{
	const uint8_t *bhs = c->in.header;

	c->in.len = bhs_data_len(bhs);
	c->in.got = 0;
	c->in.tail_have = 0;
	c->in.trailer = c->in.len ? pdu_pad(c->in.len) + (c->data_digest ? DIGEST_LEN : 0) : 0;
	c->in.dest = NULL;
	c->in.task = NULL;
	c->in.ignored = false;
	if (header_right(c, len)) {
		c->in.doubtful = false;
		request_begin(c, bhs);
	} else {
		header_broken(c);
	}
	if (c->closing != CLOSING_NO)
		return;
	c->in.in_data = true;
	if (c->in.len == 0)
		pdu_done(c, true);
}

/* Take what can be taken of p[0..n) without a question coming up; returns how much. */
static size_t consume(struct iscsi_conn *c, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n && conn_reading(c)) {
		size_t k;

		if (!c->in.in_data) {
			uint32_t need = header_need(c);

			k = need - c->in.have < n - at ? need - c->in.have : n - at;
			memcpy(c->in.header + c->in.have, p + at, k);
			c->in.have += (uint32_t)k;
			at += k;
			if (c->in.have == need && header_need(c) == need)
				header_done(c, need);
		} else if (c->in.got < c->in.len) {
			k = c->in.len - c->in.got < n - at ? c->in.len - c->in.got : n - at;
			if (c->in.dest)
				memcpy(c->in.dest + c->in.got, p + at, k);
			at += k;
			c->in.got += (uint32_t)k;
			if (c->in.got == c->in.len && c->in.trailer == 0)
				data_done(c);
		} else {
			k = c->in.trailer - c->in.tail_have < n - at ? c->in.trailer - c->in.tail_have
								     : n - at;
			memcpy(c->in.tail + c->in.tail_have, p + at, k);
			at += k;
			c->in.tail_have += (uint32_t)k;
			if (c->in.tail_have == c->in.trailer)
				data_done(c);
		}
	}
	return at;
}

uint32_t conn_want(const struct iscsi_conn *c, void **p)
{
	if (!c->in.in_data || !c->in.dest || c->in.got == c->in.len || c->in.backlog.len)
		return 0;
	*p = c->in.dest + c->in.got;
	return c->in.len - c->in.got;
}

void conn_got(struct iscsi_conn *c, uint32_t n)
{
	assert(c->in.in_data && n <= c->in.len - c->in.got);
	c->bytes_in += n;
	c->in.got += n;
	if (n && c->in.got == c->in.len && c->in.trailer == 0)
		data_done(c);
}

/* A question was answered or output drained: go on with what was kept. */
static void resume(struct iscsi_conn *c)
{
	while (c->in.backlog.len && conn_reading(c)) {
		size_t n = consume(c, c->in.backlog.data, c->in.backlog.len);

		buf_drop(&c->in.backlog, n);
	}
	if (!c->in.backlog.len)
		buf_fini(&c->in.backlog);
}

void conn_feed(struct iscsi_conn *c, const uint8_t *p, size_t n)
{
	size_t at;

	c->bytes_in += n;
	resume(c);
	at = c->in.backlog.len ? 0 : consume(c, p, n);
	if (at < n && c->closing == CLOSING_NO)
		buf_put(&c->in.backlog, p + at, n - at);
}

void conn_forget(struct iscsi_conn *c, struct iscsi_task *t)
{
	if (c->in.task == t) {
		c->in.task = NULL;
		c->in.dest = NULL;
	}
}

/* ---- login ---- */

static void login_turn(struct iscsi_conn *c, enum login_next next)
{
	struct login *l = c->login;
	uint8_t *bhs;

	if (next == LOGIN_ASK_POLICY) {
		c->ask = ASK_POLICY;
		return;
	}
	if (next == LOGIN_ASK_PROOF) {
		c->ask = ASK_PROOF;
		return;
	}
	if (next == LOGIN_ASK_SESSION) {
		c->ask = ASK_SESSION;
		return;
	}
	bhs = conn_put(c, PDU_LOGIN_RESPONSE, 0, l->itt, l->text, l->text_len);
	memcpy(bhs, l->bhs, BHS_LEN);
	if (l->status != LOGIN_OK) {
		/* A login that failed leaves no session behind, and says nothing of windows. */
		c->closing = CLOSING_FLUSH;
		c->why = "login refused";
	} else if (l->done) {
		conn_move(c, CONN_S5_LOGGED_IN);
		if (c->session->state != SESSION_Q3_LOGGED_IN)
			session_move(c->session, SESSION_Q3_LOGGED_IN);
		c->header_digest = l->params.header_digest == DIGEST_CRC32C;
		c->data_digest = l->params.data_digest == DIGEST_CRC32C;
		c->deadline = MONO_NEVER;
		login_drop(c);
		buf_fini(&c->in.data);
	}
}

void conn_policy(struct iscsi_conn *c, const struct login_policy *p)
{
	assert(c->ask == ASK_POLICY);
	c->ask = ASK_NONE;
	login_turn(c, login_policy(c->login, p));
	resume(c);
}

void conn_proof(struct iscsi_conn *c, const char *const *secrets, unsigned n)
{
	assert(c->ask == ASK_PROOF);
	c->ask = ASK_NONE;
	login_turn(c, login_proof(c->login, secrets, n));
	resume(c);
}

/* What is negotiated for the session as a whole holds for its further connections too. */
static void params_join(struct iscsi_conn *c, const struct iscsi_session *s)
{
	const struct iscsi_params *own = &c->login->params;

	c->params = s->params;
	c->params.header_digest = own->header_digest;
	c->params.data_digest = own->data_digest;
	c->params.max_send = own->max_send;
	c->params.max_recv = own->max_recv;
}

/* 6.3.4: the same CID again logs the old connection out; the login's ExpStatSN was for that one (11.12.9). */
static void reinstate(struct iscsi_session *s, struct iscsi_conn *old, uint16_t cid, uint32_t expstatsn)
{
	struct iscsi_lost *lost;

	if (old) {
		conn_ack(old, expstatsn);
		conn_leave(old, true);
		conn_close(old, "connection reinstated");
	}
	if ((lost = session_lost_find(s, cid)))
		lost_out(s, lost);
}

static void session_join(struct iscsi_conn *c, struct iscsi_session *s)
{
	struct iscsi_conn *old = session_conn(s, c->login->cid);

	c->cid = c->login->cid;
	c->session = s;
	c->fence_from = s->next_fence;
	c->next = s->conns;
	s->conns = c;
	s->n_conns++;
	if (s->state == SESSION_Q2_ACTIVE) {
		/* A leading login's CmdSN begins the session's count (11.12.8); logins are immediate. */
		s->exp_cmdsn = get32(c->in.header + 24);
		s->max_cmdsn = s->exp_cmdsn - 1 + s->depth;
	} else {
		reinstate(s, old, c->cid, c->login_expstatsn);
		if (s->state == SESSION_Q4_FAILED)
			session_move(s, SESSION_Q5_CONTINUE);
	}
	params_join(c, s);
}

void conn_session(struct iscsi_conn *c, enum login_status status, struct iscsi_session *s)
{
	assert(c->ask == ASK_SESSION && !s == (status != LOGIN_OK));
	c->ask = ASK_NONE;
	if (s)
		session_join(c, s);
	login_turn(c, login_session(c->login, status, s ? s->tsih : 0));
	resume(c);
}


void request_login(struct iscsi_conn *c, const uint8_t *bhs)
{
	if (c->state == CONN_S3_XPT_UP) {
		conn_move(c, CONN_S4_IN_LOGIN);
		c->login_expstatsn = bhs_expstatsn(bhs);
	}
	login_turn(c, login_request(c->login, bhs, c->in.data.data, c->in.len));
}

void conn_targets(struct iscsi_conn *c, const void *text, size_t len)
{
	assert(c->ask == ASK_TARGETS);
	c->ask = ASK_NONE;
	c->ask_text = NULL;
	buf_put(&c->text_out, text, len);
	text_answer(c, c->in.header);
	resume(c);
}

/* ---- time ---- */

void conn_ping(struct iscsi_conn *c)
{
	uint8_t *bhs = conn_put(c, PDU_NOP_IN, PDU_FINAL, TAG_NONE, NULL, 0);

	put32(bhs + 20, c->ping_tag);
	if (++c->ping_tag == TAG_NONE)
		c->ping_tag = 1;
}

/*
 * The task waits for data, and has been looked at twice since any came; or ten times, while the connection was busy
 * with the data of others, which may be before it on a slow way.
 */
static bool starves(const struct iscsi_conn *c, struct iscsi_task *t)
{
	if (t->conn != c || t->state != ITASK_COLLECT || !t->n_sequences)
		return false;
	t->quiet = (uint8_t)(t->quiet + (c->looked_data == c->n_data ? 5 : 1));
	return t->quiet >= 10;
}

void conn_ping_first(struct iscsi_conn *c)
{
	struct iscsi_out *rest = c->out, **tail = c->out_tail;

	c->out = NULL;
	c->out_tail = &c->out;
	conn_ping(c);
	c->out->next = rest;
	if (rest)
		c->out_tail = tail;
}

struct mono conn_due(const struct iscsi_conn *c)
{
	bool watch = conn_erl(c, 1) && c->state >= CONN_S5_LOGGED_IN && (c->n_unacked || c->session->n_tasks);

	return watch ? c->look : MONO_NEVER;
}

/*
 * ERL 1: data that does not come is asked for again (7.1.4.1), and responses that stay unacknowledged are asked after
 * with a NOP-In, whose StatSN shows the initiator what it has missed.
 */
static struct mono look(struct iscsi_conn *c)
{
	struct iscsi_session *s = c->session;

	struct mono due = conn_due(c);

	if (!mono_due(due, c->now))
		return due;
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (struct iscsi_task *t = s->hash[i], *next; t; t = next) {
			next = t->hash_next;
			if (starves(c, t))
				data_overdue(c, t);
		}
	if (c->n_unacked && c->looked_acked == c->acked && !c->pinged) {
		conn_ping(c);
		c->pinged = true;
	}
	c->looked_acked = c->acked;
	c->looked_data = c->n_data;
	c->look = mono_add_ms(c->now, c->conf.retry_ms ? c->conf.retry_ms : RETRY_MS);
	return conn_due(c);
}

/* Silence is asked after once, then it is death. */
static struct mono listen_for(struct iscsi_conn *c)
{
	struct mono due;

	if (!c->conf.ping_ms || c->state != CONN_S5_LOGGED_IN)
		return MONO_NEVER;
	due = mono_add_ms(c->heard, c->conf.ping_ms);
	if (mono_due(due, c->now) && !c->pinged) {
		conn_ping(c);
		c->pinged = true;
	}
	if (c->pinged)
		due = mono_add_ms(c->heard, 2u * c->conf.ping_ms);
	if (!mono_due(due, c->now))
		return due;
	conn_close(c, "no answer to NOP-In");
	return MONO_NEVER;
}

struct mono conn_tick(struct iscsi_conn *c, struct mono now)
{
	struct mono due;

	c->now = now;
	if (c->heard_bytes != c->bytes_in) {
		c->heard_bytes = c->bytes_in;
		c->heard = now;
		c->pinged = false;
	}
	if (mono_due(c->deadline, now)) {
		/* The reason of an end that was already decided stays. */
		conn_close(c, c->why				     ? c->why
			      : c->state == CONN_S7_LOGOUT_REQUESTED ? "no logout"
								     : "login timed out");
		return MONO_NEVER;
	}
	if (c->closing == CLOSING_FLUSH) {
		/* The last words may take a while, but not for ever. */
		c->deadline = mono_min(c->deadline, mono_add_ms(now, FLUSH_MS));
		return c->deadline;
	}
	due = mono_min(look(c), listen_for(c));
	return mono_min(due, c->deadline);
}

void conn_request_logout(struct iscsi_conn *c, uint32_t ms)
{
	uint8_t *bhs;

	if (c->state != CONN_S5_LOGGED_IN) {
		if (c->state < CONN_S5_LOGGED_IN)
			conn_close(c, "not wanted any more");
		return;
	}
	conn_move(c, CONN_S7_LOGOUT_REQUESTED);
	bhs = conn_async(c, ASYNC_LOGOUT);
	put16(bhs + 42, (uint16_t)((ms + 999) / 1000));         /* Parameter3: seconds */
	c->deadline = mono_add_ms(c->now, ms);
}
