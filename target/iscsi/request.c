/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each PDU of the initiator means. request_begin sees the header, judges it and says where the data
 * goes; request_end sees the whole PDU. At ERL 0 what breaks the protocol ends the connection, what is
 * merely not possible is answered with Reject (RFC 7143 7.7, 11.17).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"
#include "target/iscsi/sn.h"

#define LOGIN_DATA_MAX 8192
#define SESSION_SHARE 4                 /* no session holds more than this part of the pool's memory */
#define AHS_EXTENDED_CDB 1
#define AHS_BIDI_LENGTH 2

/* The data of this PDU goes nowhere, and the PDU means nothing. */
static void ignore(struct iscsi_conn *c)
{
	c->in.dest = NULL;
	c->in.task = NULL;
	c->in.header[0] = PDU_REJECT;           /* request_end knows no such PDU */
}

static void refuse(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason)
{
	conn_reject(c, bhs, reason);
	ignore(c);
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
	const struct iscsi_params *p = &c->session->params;
	bool r = bhs[1] & CMD_READ, w = bhs[1] & CMD_WRITE, final = bhs[1] & PDU_FINAL;
	uint32_t edtl = get32(bhs + 20);

	if (bhs_itt(bhs) == TAG_NONE || (r && w && !a->bidi) || 16 + a->cdb_len > TASK_CDB_MAX)
		return REJECT_INVALID_FIELD;
	if (session_find(c->session, bhs_itt(bhs)))
		return REJECT_TASK_IN_PROGRESS;
	if ((c->in.len || !final) && !w)
		return REJECT_INVALID_FIELD;
	if ((c->in.len && !p->immediate_data) || (!final && p->initial_r2t))
		return REJECT_PROTOCOL;
	if (c->in.len > edtl || c->in.len > p->first_burst)
		return REJECT_PROTOCOL;
	return 0;
}

static void command_fill(struct iscsi_task *t, const uint8_t *bhs, const struct ahs *a)
{
	struct task *task = &t->task;
	uint32_t edtl = get32(bhs + 20);

	memset((char *)t + sizeof(t->task), 0, sizeof(*t) - sizeof(t->task));
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
	t->unsolicited = !(bhs[1] & PDU_FINAL);
	t->want = task->expect_out < TASK_DATA_MAX ? task->expect_out : TASK_DATA_MAX;
}

/* No memory for the command: TASK SET FULL without a task (SAM-5 5.3.1); its data is dropped. */
static void command_full(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint8_t *r = conn_put(c, PDU_SCSI_RESPONSE, PDU_FINAL, bhs_itt(bhs), NULL, 0);

	r[3] = STATUS_TASK_SET_FULL;
	ignore(c);
}

static void command_begin(struct iscsi_conn *c, const uint8_t *bhs, enum cmdsn_verdict verdict)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t;
	struct task *task;
	struct ahs a;
	int refusal = ahs_parse(bhs, &a) ? command_refusal(c, bhs, &a) : REJECT_INVALID_FIELD;
	uint32_t want;

	if (refusal) {
		refuse(c, bhs, (enum reject_reason)refusal);
		return;
	}
	if (!(task = task_get(c->conf.pool))) {
		command_full(c, bhs);
		return;
	}
	t = (struct iscsi_task *)task;
	command_fill(t, bhs, &a);
	want = t->want > c->in.len ? t->want : c->in.len;
	task->held = &s->held;
	task->held_max = c->conf.pool->bytes_max / SESSION_SHARE;
	if (want && task_room(task, &task->out, want) != 0) {
		task_put(&task);
		command_full(c, bhs);
		return;
	}
	t->arrived = verdict == CMDSN_NEXT;
	session_add(s, t);
	/* What may come unasked: up to FirstBurstLength, when the initiator says that more follows. */
	t->solicited = c->in.len;
	if (t->unsolicited)
		t->solicited = t->want < s->params.first_burst ? t->want : s->params.first_burst;
	t->sequence_end = t->solicited;
	c->in.task = t;
	c->in.dest = c->in.len ? task->out.p : NULL;
}

/* A piece of data-out is here: wait for more, ask for more, or go. */
static void data_arrived(struct iscsi_conn *c, struct iscsi_task *t)
{
	if (t->unsolicited)
		return;
	if (t->task.out_len >= t->want)
		session_task_ready(c->session, t);
	else
		conn_solicit(c, t);
}

static void command_end(struct iscsi_conn *c)
{
	struct iscsi_task *t = c->in.task;

	if (!t)
		return;
	t->task.out_len = c->in.len;
	c->session->write_bytes += c->in.len;
	data_arrived(c, t);
}

/* ---- Data-Out, 11.7 ---- */

/*
 * A sequence with a gap or a repetition: at ERL 0 its data cannot be asked for again, so the task ends with
 * CHECK CONDITION, ABORTED COMMAND, PROTOCOL SERVICE CRC ERROR (7.8, 11.4.7.2); what is still on the way is
 * dropped.
 */
static void data_broken(struct iscsi_conn *c, struct iscsi_task *t)
{
	static const uint8_t sense[18] = { 0x70, 0, 0x0b, [7] = 10, [12] = 0x47, [13] = 0x05 };

	ignore(c);
	t->task.status = STATUS_CHECK_CONDITION;
	memcpy(t->task.sense, sense, sizeof(sense));
	t->task.sense_len = sizeof(sense);
	t->task.out_want = t->task.expect_out;
	if (!t->immediate)
		c->session->active--;
	t->state = ITASK_ANSWERING;
	c->session->errors++;
	conn_put_task(c, t);
}

static void data_begin(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_task *t = session_find(c->session, bhs_itt(bhs));
	uint32_t ttt = bhs_ttt(bhs), offset = get32(bhs + 40), datasn = get32(bhs + 36);

	/* Of a task that was aborted or refused: its data may still be on the way (7.143 11.5.1). */
	if (!t || t->state != ITASK_COLLECT || !t->task.write) {
		ignore(c);
		return;
	}
	if (t->unsolicited ? ttt != TAG_NONE : ttt != t->r2t_done || !t->n_r2t) {
		conn_close(c, "Data-Out with a wrong transfer tag");
		return;
	}
	if (!t->unsolicited && t->task.out_len == t->sequence_end) {
		/* The next sequence begins; its end is where the R2T said. */
		uint32_t left = t->want - t->task.out_len;

		t->sequence_end += left < c->session->params.max_burst ? left : c->session->params.max_burst;
	}
	/* DataPDUInOrder and DataSequenceInOrder are Yes: the next byte is the only right one. */
	if (offset != t->task.out_len || datasn != t->datasn || c->in.len > t->sequence_end - offset) {
		data_broken(c, t);
		return;
	}
	if (!(bhs[1] & PDU_FINAL) == (c->in.len == t->sequence_end - offset) && !t->unsolicited) {
		data_broken(c, t);
		return;
	}
	if (c->in.len == 0 && !(bhs[1] & PDU_FINAL)) {
		conn_close(c, "empty Data-Out");
		return;
	}
	c->in.task = t;
	c->in.dest = c->in.len ? t->task.out.p + offset : NULL;
}

static void data_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_task *t = c->in.task;

	if (!t)
		return;
	t->task.out_len += c->in.len;
	t->datasn++;
	c->session->write_bytes += c->in.len;
	if (!(bhs[1] & PDU_FINAL))
		return;
	t->datasn = 0;
	if (t->unsolicited) {
		t->unsolicited = false;
		t->solicited = t->sequence_end = t->task.out_len;
	} else {
		t->n_r2t--;
		t->r2t_done++;
	}
	data_arrived(c, t);
}

/* ---- Task management, 11.5 ---- */

static void tmf_answer(struct iscsi_conn *c, uint32_t itt, enum tmf_response response)
{
	uint8_t *r = conn_put(c, PDU_TASK_MGMT_RESPONSE, PDU_FINAL, itt, NULL, 0);

	r[2] = (uint8_t)response;
}

static struct iscsi_tmf *tmf_new(const uint8_t *bhs)
{
	struct iscsi_tmf *tmf = mem_zalloc(sizeof(*tmf));

	tmf->itt = bhs_itt(bhs);
	tmf->function = bhs[1] & 0x7f;
	memcpy(tmf->lun, bhs + 8, 8);
	return tmf;
}

/* Answered at once when no task is left running, else when the last of them ends. */
static void tmf_wait(struct iscsi_session *s, struct iscsi_tmf *tmf)
{
	tmf->response = TMF_RSP_COMPLETE;
	tmf->listed = true;
	tmf->next = s->tmfs;
	s->tmfs = tmf;
	if (tmf->waiting == 0)
		conn_tmf_finish(s, tmf);
}

/* 11.5.1 and 11.6.1: a task that is unknown may have been answered, or its command may never have come. */
static void abort_task(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t = session_find(s, bhs_ttt(bhs));
	uint32_t ref = get32(bhs + 32);
	struct iscsi_tmf *tmf;

	if (!t || memcmp(t->task.lun, bhs + 8, 8) != 0) {
		/* Inside the window and not seen: from now on it counts as received (and will be ignored). */
		if (!t && !sn_lt(ref, s->exp_cmdsn) && sn_lt(ref, bhs_cmdsn(bhs)) &&
			sn_le(ref, s->max_cmdsn)) {
			if (session_cmdsn(s, ref) == CMDSN_NEXT)
				session_turns(s, ref + 1);
			tmf_answer(c, bhs_itt(bhs), TMF_RSP_COMPLETE);
		} else {
			tmf_answer(c, bhs_itt(bhs), TMF_RSP_NO_TASK);
		}
		return;
	}
	if (t->state == ITASK_ANSWERING) {
		tmf_answer(c, bhs_itt(bhs), TMF_RSP_NO_TASK);
		return;
	}
	tmf = tmf_new(bhs);
	session_abort(s, NULL, t->itt, tmf);
	tmf_wait(s, tmf);
}

static void tmf_begin(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_session *s = c->session;
	struct iscsi_tmf *tmf, **p;

	switch (bhs[1] & 0x7f) {
	case TMF_ABORT_TASK:
		abort_task(c, bhs);
		return;
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
	case TMF_LU_RESET:
	case TMF_TARGET_WARM_RESET:
	case TMF_TARGET_COLD_RESET:
	case TMF_QUERY_TASK_SET:
	case TMF_I_T_NEXUS_RESET:
	case TMF_QUERY_ASYNC_EVENT:
		/* Whether the LUN exists, and other sessions' tasks, are the owner's to know. */
		tmf = tmf_new(bhs);
		tmf->deciding = true;
		for (p = &c->tmfs; *p; p = &(*p)->next)
			;
		*p = tmf;
		return;
	case TMF_QUERY_TASK:
		tmf_answer(c, bhs_itt(bhs),
			session_find(s, bhs_ttt(bhs)) ? TMF_RSP_SUCCEEDED : TMF_RSP_COMPLETE);
		return;
	case TMF_TASK_REASSIGN:
		tmf_answer(c, bhs_itt(bhs), TMF_RSP_NO_REASSIGN);       /* ERL 0 */
		return;
	default:
		tmf_answer(c, bhs_itt(bhs), TMF_RSP_NOT_SUPPORTED);
	}
}

/* ---- NOP-Out 11.18, Logout 11.14 ---- */

static void nop_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint32_t len = c->in.len, max = c->session->params.max_send;
	uint8_t *r;

	if (bhs_itt(bhs) == TAG_NONE)
		return;
	r = conn_put(c, PDU_NOP_IN, PDU_FINAL, bhs_itt(bhs), c->in.data.data, len < max ? len : max);
	memcpy(r + 8, bhs + 8, 8);
}

static void logout_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint8_t reason = bhs[1] & 0x7f, response = 0;
	uint8_t *r;

	if (reason > 2) {
		conn_reject(c, bhs, REJECT_INVALID_FIELD);
		return;
	}
	if (reason != 0 && get16(bhs + 20) != c->cid)
		response = 1;                   /* no such CID */
	else if (reason == 2)
		response = 2;                   /* recovery by connection needs ERL 2 */
	if (response == 0) {
		conn_move(c, CONN_S6_IN_LOGOUT);
		session_abort(c->session, NULL, TAG_NONE, NULL);
	}
	r = conn_put(c, PDU_LOGOUT_RESPONSE, PDU_FINAL, bhs_itt(bhs), NULL, 0);
	r[2] = response;
	put16(r + 40, (uint16_t)c->session->params.time2wait);
	put16(r + 42, 0);
	if (response == 0) {
		c->closing = CLOSING_FLUSH;
		c->why = "logout";
	}
}

/* ---- dispatch ---- */

static bool login_phase(const struct iscsi_conn *c)
{
	return c->state == CONN_S3_XPT_UP || c->state == CONN_S4_IN_LOGIN;
}

/* What any PDU must satisfy in this phase; false: it was dealt with. */
static bool admissible(struct iscsi_conn *c, const uint8_t *bhs, const struct pdu_row *row)
{
	uint32_t max = login_phase(c) ? LOGIN_DATA_MAX : c->session->params.max_recv;

	if (login_phase(c)) {
		/* 6.3: anything but Login before the full feature phase ends the connection. */
		if (!row || !(row->flags & PDU_F_LOGIN) || bhs_ahs_len(bhs) || c->in.len > max) {
			conn_close(c, "not a Login request");
			return false;
		}
		return true;
	}
	if (c->in.len > max) {
		conn_close(c, "data segment longer than MaxRecvDataSegmentLength");
		return false;
	}
	if (!row) {
		refuse(c, bhs, REJECT_NOT_SUPPORTED);
		return false;
	}
	if (!(row->flags & PDU_F_FULL)) {
		conn_close(c, "Login request in the full feature phase");
		return false;
	}
	if (row->op == PDU_SNACK) {
		/* 11.16: ERL 0 knows no SNACK. */
		refuse(c, bhs, REJECT_SNACK);
		return false;
	}
	if ((c->session->discovery && !(row->flags & PDU_F_DISCOVERY)) ||
		(bhs_immediate(bhs) && !(row->flags & PDU_F_IMMEDIATE)) ||
		(c->in.len && !(row->flags & PDU_F_DATA)) ||
		(bhs_ahs_len(bhs) && row->op != PDU_SCSI_COMMAND)) {
		refuse(c, bhs, REJECT_PROTOCOL);
		return false;
	}
	if (row->op == PDU_NOP_OUT && bhs_itt(bhs) == TAG_NONE && !bhs_immediate(bhs)) {
		refuse(c, bhs, REJECT_PROTOCOL);
		return false;
	}
	return true;
}

void request_begin(struct iscsi_conn *c, const uint8_t *bhs)
{
	const struct pdu_row *row = pdu_row(bhs_op(bhs));
	enum cmdsn_verdict verdict = CMDSN_NEXT;
	uint32_t before;

	if (!admissible(c, bhs, row))
		return;
	if (row->flags & PDU_F_LOGIN) {
		collect(c);
		return;
	}
	before = c->session->exp_cmdsn;
	if (row->flags & PDU_F_CMDSN && !bhs_immediate(bhs)) {
		verdict = session_cmdsn(c->session, bhs_cmdsn(bhs));
		if (verdict == CMDSN_IGNORE) {
			ignore(c);
			return;
		}
	}
	if (row->op == PDU_SCSI_COMMAND)
		command_begin(c, bhs, verdict);
	else if (row->op == PDU_DATA_OUT)
		data_begin(c, bhs);
	else if (c->in.len)
		collect(c);
	else
		buf_reset(&c->in.data);
	c->in.turn = before + 1;
	c->in.turns = c->session->exp_cmdsn - before > 1;
}

void request_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	switch (bhs_op(bhs)) {
	case PDU_LOGIN:
		request_login(c, bhs);
		break;
	case PDU_SCSI_COMMAND:
		command_end(c);
		break;
	case PDU_DATA_OUT:
		data_end(c, bhs);
		break;
	case PDU_NOP_OUT:
		nop_end(c, bhs);
		break;
	case PDU_TASK_MGMT:
		tmf_begin(c, bhs);
		break;
	case PDU_TEXT:
		text_request(c, bhs);
		break;
	case PDU_LOGOUT:
		logout_end(c, bhs);
		break;
	default:
		break;
	}
	/* A gap closed: those that waited behind this one have their turn, after it. */
	if (c->in.turns) {
		c->in.turns = false;
		session_turns(c->session, c->in.turn);
	}
}

void conn_task_done(struct task *task)
{
	struct iscsi_task *t = (struct iscsi_task *)task;
	struct iscsi_session *s = t->session;

	assert(t->state == ITASK_RUNNING);
	if (task->aborted || !s->conn) {
		session_abort_done(t);
		return;
	}
	s->n_running--;
	if (!t->immediate)
		s->active--;
	t->state = ITASK_ANSWERING;
	s->read_bytes += task->in_len < task->expect_in ? task->in_len : task->expect_in;
	if (task->status != STATUS_GOOD)
		s->errors++;
	conn_put_task(s->conn, t);
}
