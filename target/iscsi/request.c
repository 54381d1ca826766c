/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each PDU of the initiator means. request_begin sees the header, judges it and says where the data
 * goes; request_end sees the whole PDU. What breaks the protocol ends the connection, what is merely not possible is
 * answered with Reject (RFC 7143 7.7, 11.17).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"
#include "target/iscsi/sn.h"
#include "target/iscsi/task_set.h"

#define LOGIN_DATA_MAX 8192
#define DATA_KEEP 4096
#define SESSION_SHARE 4                 /* no session holds more than this part of the pool's memory */
#define AHS_EXTENDED_CDB 1
#define AHS_BIDI_LENGTH 2

void request_ignore(struct iscsi_conn *c)
{
	c->in.dest = NULL;
	c->in.task = NULL;
	c->in.ignored = true;
}

void request_refuse(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason)
{
	conn_reject(c, bhs, reason);
	request_ignore(c);
}

/* Collect the data segment in the connection's own buffer. */
static void collect(struct iscsi_conn *c)
{
	buf_reset(&c->in.data);
	c->in.dest = buf_room(&c->in.data, c->in.len + 1u);
	buf_add(&c->in.data, c->in.len);
}

/* ---- SCSI Command, 11.3 ---- */

struct ahs {
	const uint8_t *cdb;     /* bytes 16 and on */
	unsigned cdb_len;
	bool bidi;
	uint32_t bidi_len;
};

/* 11.2.2: false if the segments do not add up. */
static bool ahs_parse(const uint8_t *bhs, struct ahs *a)
{
	const uint8_t *p = bhs + BHS_LEN;
	uint32_t left = bhs_ahs_len(bhs);

	memset(a, 0, sizeof(*a));
	while (left >= 4) {
		uint32_t len = get16(p), whole = (3u + len + 3u) & ~3u;

		if (len < 1 || whole > left)
			return false;
		if ((p[2] & 0x3f) == AHS_EXTENDED_CDB) {
			a->cdb = p + 4;
			a->cdb_len = len - 1;
		} else if ((p[2] & 0x3f) == AHS_BIDI_LENGTH && len == 5) {
			a->bidi = true;
			a->bidi_len = get32(p + 4);
		} else {
			return false;
		}
		p += whole;
		left -= whole;
	}
	return left == 0;
}

/* Reasons to refuse a command by its header alone; 0: none. */
static int command_refusal(const struct iscsi_conn *c, const uint8_t *bhs, const struct ahs *a)
{
	const struct iscsi_params *p = &c->params;
	bool r = bhs[1] & CMD_READ, w = bhs[1] & CMD_WRITE, final = bhs[1] & PDU_FINAL;
	uint32_t edtl = get32(bhs + 20);

	if (bhs_itt(bhs) == TAG_NONE || (r && w && !a->bidi) || 16 + a->cdb_len > TASK_CDB_MAX)
		return REJECT_INVALID_FIELD;
	if ((c->in.len || !final) && !w)
		return REJECT_INVALID_FIELD;
	if ((c->in.len && !p->immediate_data) || (!final && p->initial_r2t))
		return REJECT_PROTOCOL;
	if (c->in.len > edtl || c->in.len > p->first_burst)
		return REJECT_PROTOCOL;
	return 0;
}

/*
 * Is the tag in use? A task whose status was sent has it no more, if the initiator gives it to another command: then
 * it has the status, though its acknowledgement is still on the way (on another connection, say).
 */
static bool tag_taken(struct iscsi_session *s, const uint8_t *bhs)
{
	struct iscsi_task *t = session_find(s, bhs_itt(bhs));

	if (t && t->state == ITASK_ANSWERED && t->cmdsn != bhs_cmdsn(bhs)) {
		session_task_free(t);
		return false;
	}
	return t != NULL;
}

static void command_fill(struct iscsi_task *t, const uint8_t *bhs, const struct ahs *a)
{
	struct task *task = &t->task;
	uint32_t edtl = get32(bhs + 20);

	memset((char *)t + sizeof(t->task), 0, offsetof(struct iscsi_task, sequences) - sizeof(t->task));
	memset((char *)t + offsetof(struct iscsi_task, sent), 0, sizeof(*t) - offsetof(struct iscsi_task, sent));
	memcpy(task->lun, bhs + 8, 8);
	memcpy(task->cdb, bhs + 32, 16);
	if (a->cdb)
		memcpy(task->cdb + 16, a->cdb, a->cdb_len);
	task->cdb_len = (uint8_t)(16 + a->cdb_len);
	task->attr = bhs[1] & CMD_ATTR_MASK;
	task->read = bhs[1] & CMD_READ;
	task->write = bhs[1] & CMD_WRITE;
	task->expect_out = task->write ? edtl : 0;
	task->expect_in = !task->read ? 0 : task->write ? a->bidi_len : edtl;
	t->itt = bhs_itt(bhs);
	t->cmdsn = bhs_cmdsn(bhs);
	t->immediate = bhs_immediate(bhs);
	t->want = task->expect_out < TASK_DATA_MAX ? task->expect_out : TASK_DATA_MAX;
}

static bool ordered(const uint8_t *bhs)
{
	const struct pdu_row *row = pdu_row(bhs_op(bhs));

	return row && row->flags & PDU_F_CMDSN && !bhs_immediate(bhs);
}

/* The request takes its place in the order of commands, and those that waited behind it have their turn. */
static enum cmdsn_verdict take_number(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint32_t before = c->session->exp_cmdsn;
	enum cmdsn_verdict verdict;

	if (!ordered(bhs))
		return CMDSN_NEXT;
	verdict = session_cmdsn(c->session, bhs_cmdsn(bhs));
	if (c->session->exp_cmdsn - before > 1 || c->session->waiting)
		session_turns(c->session, before + 1);
	return verdict;
}

/* No memory for the command: TASK SET FULL without a task (SAM-5 5.3.1); its data is dropped. */
static void command_full(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint8_t *r = conn_put(c, PDU_SCSI_RESPONSE, PDU_FINAL, bhs_itt(bhs), NULL, 0);

	r[3] = STATUS_TASK_SET_FULL;
	request_ignore(c);
}

static void command_begin(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t;
	struct task *task;
	struct ahs a;
	int refusal = ahs_parse(bhs, &a) ? command_refusal(c, bhs, &a) : REJECT_INVALID_FIELD;
	uint32_t want;

	if (!refusal && tag_taken(s, bhs))
		refusal = REJECT_TASK_IN_PROGRESS;
	if (refusal) {
		take_number(c, bhs);
		request_refuse(c, bhs, (enum reject_reason)refusal);
		return;
	}
	if (!(task = task_get(c->conf.pool))) {
		take_number(c, bhs);
		command_full(c, bhs);
		return;
	}
	t = (struct iscsi_task *)task;
	command_fill(t, bhs, &a);
	want = t->want > c->in.len ? t->want : c->in.len;
	task->held = &s->held;
	task->held_max = s->held_max = c->conf.pool->bytes_max / SESSION_SHARE;
	if (want && task_room(task, &task->out, want) != 0) {
		task_put(&task);
		take_number(c, bhs);
		command_full(c, bhs);
		return;
	}
	t->session = s;
	c->in.task = t;
	c->in.dest = c->in.len ? task->out.p : NULL;
}

/* The command is whole: now it counts, and not before (7.8: one that is broken was not received). */
static void command_end(struct iscsi_conn *c, const uint8_t *bhs, enum cmdsn_verdict verdict)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t = c->in.task;
	struct task *task = &t->task;

	if (verdict == CMDSN_IGNORE) {
		task_put(&task);
		return;
	}
	/* Another connection was faster with the same tag (11.17.1): this one's sender must not wait for an answer. */
	if (tag_taken(s, bhs)) {
		task_put(&task);
		conn_reject(c, bhs, REJECT_TASK_IN_PROGRESS);
		return;
	}
	t->arrived = verdict == CMDSN_NEXT;
	t->conn = c;
	t->cid = c->cid;
	session_add(s, t);
	if (t->arrived)
		task_set_enter(s, t);
	s->write_bytes += c->in.len;
	data_command(c, t, c->in.len);
}

/* ---- NOP-Out 11.18 ---- */

static void nop_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint32_t len = c->in.len, max = c->params.max_send;
	uint8_t *r;

	if (bhs_itt(bhs) == TAG_NONE)
		return;
	r = conn_put(c, PDU_NOP_IN, PDU_FINAL, bhs_itt(bhs), c->in.data.data, len < max ? len : max);
	memcpy(r + 8, bhs + 8, 8);
}

/* ---- dispatch ---- */

static bool login_phase(const struct iscsi_conn *c)
{
	return c->state == CONN_S3_XPT_UP || c->state == CONN_S4_IN_LOGIN;
}

/* Why a PDU of the full feature phase is refused; 0: it is not. */
static int refusal_of(const struct iscsi_conn *c, const uint8_t *bhs, const struct pdu_row *row)
{
	if (!row)
		return REJECT_NOT_SUPPORTED;
	if (row->op == PDU_SNACK && !conn_erl(c, 1))
		return REJECT_SNACK;            /* 11.16: ERL 0 knows no SNACK */
	if (c->session->discovery && !(row->flags & PDU_F_DISCOVERY))
		return REJECT_PROTOCOL;
	if (bhs_immediate(bhs) && !(row->flags & PDU_F_IMMEDIATE))
		return REJECT_PROTOCOL;
	if (c->in.len && !(row->flags & PDU_F_DATA))
		return REJECT_PROTOCOL;
	if (bhs_ahs_len(bhs) && row->op != PDU_SCSI_COMMAND)
		return REJECT_PROTOCOL;
	if (row->op == PDU_NOP_OUT && bhs_itt(bhs) == TAG_NONE && !bhs_immediate(bhs))
		return REJECT_PROTOCOL;
	if (c->state == CONN_S6_IN_LOGOUT && row->op != PDU_DATA_OUT)
		return REJECT_WAITING_FOR_LOGOUT;
	return 0;
}

/* What any PDU must satisfy in this phase; false: it was dealt with. */
static bool admissible(struct iscsi_conn *c, const uint8_t *bhs, const struct pdu_row *row)
{
	int refusal;

	if (login_phase(c)) {
		/* 6.3: anything but Login before the full feature phase ends the connection. */
		if (row && row->flags & PDU_F_LOGIN && !bhs_ahs_len(bhs) && c->in.len <= LOGIN_DATA_MAX)
			return true;
		conn_close(c, "not a Login request");
		return false;
	}
	if (c->in.len > c->params.max_recv) {
		conn_close(c, "data segment longer than MaxRecvDataSegmentLength");
		return false;
	}
	if (row && !(row->flags & PDU_F_FULL)) {
		conn_close(c, "Login request in the full feature phase");
		return false;
	}
	if (!(refusal = refusal_of(c, bhs, row)))
		return true;
	request_refuse(c, bhs, (enum reject_reason)refusal);
	return false;
}

void request_begin(struct iscsi_conn *c, const uint8_t *bhs)
{
	const struct pdu_row *row = pdu_row(bhs_op(bhs));

	if (!login_phase(c))
		conn_ack(c, bhs_expstatsn(bhs));
	if (!admissible(c, bhs, row))
		return;
	if (row->flags & PDU_F_LOGIN)
		collect(c);
	else if (ordered(bhs) && session_judge(c->session, bhs_cmdsn(bhs)) == CMDSN_IGNORE)
		request_ignore(c);
	else if (row->op == PDU_SCSI_COMMAND)
		command_begin(c, bhs);
	else if (row->op == PDU_DATA_OUT)
		data_begin(c, bhs);
	else if (c->in.len)
		collect(c);
	else
		buf_reset(&c->in.data);
}

/* A request that is not a command, in its turn. */
static void perform(struct iscsi_conn *c, const uint8_t *bhs)
{
	switch (bhs_op(bhs)) {
	case PDU_TASK_MGMT:
		tmf_request(c, bhs);
		break;
	case PDU_LOGOUT:
		logout_request(c, bhs);
		break;
	case PDU_NOP_OUT:
		nop_end(c, bhs);
		break;
	case PDU_TEXT:
		text_request(c, bhs);
		break;
	default:
		break;
	}
}

/*
 * What changes the fate of commands waits for those before it; an echo or a text need not. An immediate request is
 * done at once, but functions that end many tasks wait for all that they are to end (4.2.3.3 b).
 */
static bool must_wait(const struct iscsi_session *s, const uint8_t *bhs)
{
	uint8_t function = bhs[1] & 0x7f;
	uint32_t cmdsn = bhs_cmdsn(bhs);

	if (s->n_tmfs >= SESSION_TMFS_MAX)
		return false;
	if (!bhs_immediate(bhs))
		return (bhs_op(bhs) == PDU_TASK_MGMT || bhs_op(bhs) == PDU_LOGOUT) && sn_lt(cmdsn, s->max_cmdsn + 1) &&
		       sn_le(s->exp_cmdsn, cmdsn);
	return bhs_op(bhs) == PDU_TASK_MGMT && sn_lt(s->exp_cmdsn, cmdsn) && sn_le(cmdsn, s->max_cmdsn + 1) &&
	       (function == TMF_ABORT_TASK_SET || function == TMF_CLEAR_TASK_SET || function == TMF_LU_RESET);
}

static void hold(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_held *h = mem_zalloc(sizeof(*h)), **p = &c->session->waiting;

	h->conn = c;
	h->due = bhs_cmdsn(bhs) + !bhs_immediate(bhs);
	memcpy(h->bhs, bhs, BHS_LEN);
	/* Of those that are due at once the first one that came goes first. */
	while (*p)
		p = &(*p)->next;
	*p = h;
	c->session->n_tmfs++;
}

void request_turn(struct iscsi_held *held)
{
	held->conn->session->n_tmfs--;
	perform(held->conn, held->bhs);
}

/* A command or another request with a CmdSN is whole. */
static void numbered_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_session *s = c->session;
	uint32_t before = s->exp_cmdsn;
	enum cmdsn_verdict verdict = ordered(bhs) ? session_cmdsn(s, bhs_cmdsn(bhs)) : CMDSN_NEXT;

	if (bhs_op(bhs) == PDU_SCSI_COMMAND)
		command_end(c, bhs, verdict);
	else if (verdict != CMDSN_IGNORE && must_wait(s, bhs))
		hold(c, bhs);
	else if (verdict != CMDSN_IGNORE)
		perform(c, bhs);
	/* A gap closed: those that waited behind this one have their turn, after it. */
	if (s->exp_cmdsn - before > 1 || s->waiting)
		session_turns(s, before + 1);
}

void request_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	if (c->in.ignored)
		return;
	switch (bhs_op(bhs)) {
	case PDU_LOGIN:
		request_login(c, bhs);
		break;
	case PDU_DATA_OUT:
		data_end(c, bhs);
		break;
	case PDU_SNACK:
		snack_end(c, bhs);
		break;
	default:
		numbered_end(c, bhs);
	}
	/* A long echo or text is rare: many idle connections need not keep the room for one. */
	if (c->in.data.cap > DATA_KEEP && c->ask == ASK_NONE)
		buf_fini(&c->in.data);
}

/* 7.8: the PDU is refused; what it belonged to decides how it comes back. */
void request_broken(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct task *task = c->in.task ? &c->in.task->task : NULL;

	conn_reject(c, bhs, REJECT_DATA_DIGEST);
	if (bhs_op(bhs) == PDU_DATA_OUT)
		data_broken_digest(c, bhs);
	else if (bhs_op(bhs) == PDU_SCSI_COMMAND)
		task_put(&task);                /* never received: the initiator sends it again */
}

/* PERSISTENT RESERVE OUT with PREEMPT AND ABORT ends others' tasks: 4.2.2.3.3 wants its response fenced. */
static bool preempts(const struct iscsi_task *t)
{
	return t->task.cdb[0] == 0x5f && (t->task.cdb[1] & 0x1f) == 5;
}

void task_answer(struct iscsi_task *t)
{
	bool fenced;

	if (t->set)
		task_set_leave(t);
	if (!t->conn) {
		t->state = ITASK_PARKED;
		return;
	}
	t->state = ITASK_ANSWERING;
	fenced = preempts(t) && fence_begin(t->session, t->conn);
	conn_put_task(t->conn, t);
	if (fenced)
		fence_end(t->conn);
}

void conn_task_done(struct task *task)
{
	struct iscsi_task *t = (struct iscsi_task *)task;
	struct iscsi_session *s = t->session;

	assert(t->state == ITASK_RUNNING);
	if (task->aborted) {
		session_abort_done(t);
		return;
	}
	s->n_running--;
	if (!t->immediate)
		s->active--;
	s->read_bytes += task->in_len < task->expect_in ? task->in_len : task->expect_in;
	if (task->status != STATUS_GOOD)
		s->errors++;
	task_answer(t);
}
