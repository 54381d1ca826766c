/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output: what is to be sent waits as items in order; conn_output cuts PDUs from them into the wire ring,
 * with digests and sequence numbers, and lists their pieces. Data-In leaves from the task's buffer.
 */
#include "target/iscsi/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"

/* A small PDU, with its data behind it. */
struct small {
	struct iscsi_out out;
	uint32_t len;
	uint8_t bhs[BHS_LEN];
	uint8_t data[];
};

void conn_out_init(struct iscsi_conn *c)
{
	c->out = NULL;
	c->out_tail = &c->out;
}

static void release(struct iscsi_conn *c, struct iscsi_out *o)
{
	if (o->task) {
		session_task_free(o->task);
	} else {
		c->n_small--;
		free(o);
	}
}

void conn_out_fini(struct iscsi_conn *c)
{
	struct iscsi_out *o;

	for (unsigned i = 0; i < c->n_wire; i++) {
		o = c->wire[(c->wire_first + i) % CONN_WIRE_MAX].last;
		if (o)
			release(c, o);
	}
	c->n_wire = 0;
	while ((o = c->out)) {
		c->out = o->next;
		release(c, o);
	}
	conn_out_init(c);
}

static void enqueue(struct iscsi_conn *c, struct iscsi_out *o)
{
	o->next = NULL;
	*c->out_tail = o;
	c->out_tail = &o->next;
}

uint8_t *conn_put(struct iscsi_conn *c, enum pdu_op op, uint8_t flags, uint32_t itt, const void *data,
	uint32_t len)
{
	struct small *s = mem_alloc(sizeof(*s) + len);

	s->out.task = NULL;
	s->len = len;
	bhs_init(s->bhs, op, flags, len, itt);
	if (op == PDU_NOP_IN)
		put32(s->bhs + 20, TAG_NONE);
	if (len)
		memcpy(s->data, data, len);
	c->n_small++;
	enqueue(c, &s->out);
	return s->bhs;
}

void conn_put_task(struct iscsi_conn *c, struct iscsi_task *t)
{
	t->out.task = t;
	t->sent = 0;
	t->datasn = 0;
	enqueue(c, &t->out);
}

/* 11.17: the header of the PDU that is refused is the data. */
void conn_reject(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason)
{
	uint8_t *r = conn_put(c, PDU_REJECT, PDU_FINAL, TAG_NONE, bhs, BHS_LEN);

	r[2] = (uint8_t)reason;
	if (c->session)
		c->session->errors++;
}

/* 11.8: ask for the next sequences of data-out, as many as may be open. */
void conn_solicit(struct iscsi_conn *c, struct iscsi_task *t)
{
	const struct iscsi_params *p = &c->session->params;

	while (t->n_r2t < p->max_r2t && t->n_r2t < SESSION_R2T_MAX && t->solicited < t->want) {
		uint32_t len = t->want - t->solicited < p->max_burst ? t->want - t->solicited : p->max_burst;
		uint8_t *r = conn_put(c, PDU_R2T, PDU_FINAL, t->itt, NULL, 0);

		memcpy(r + 8, t->task.lun, 8);
		put32(r + 20, t->r2t_sn);               /* the tag need only be unique within the task */
		put32(r + 36, t->r2t_sn++);
		put32(r + 40, t->solicited);
		put32(r + 44, len);
		t->solicited += len;
		t->n_r2t++;
	}
}

/* ---- the wire ring ---- */

/* Header digest, padding, data digest. */
static void seal(struct iscsi_conn *c, struct iscsi_wire *w)
{
	uint32_t pad = pdu_pad(w->data_len), crc;

	w->head_len = BHS_LEN;
	if (c->header_digest) {
		put_digest(w->head + BHS_LEN, crc32c(0, w->head, BHS_LEN));
		w->head_len += DIGEST_LEN;
	}
	memset(w->tail, 0, pad);
	w->tail_len = (uint8_t)pad;
	if (c->data_digest && w->data_len) {
		crc = crc32c(0, w->data, w->data_len);
		crc = crc32c(crc, w->tail, pad);
		put_digest(w->tail + pad, crc);
		w->tail_len += DIGEST_LEN;
	}
}

/* StatSN and the window. `advance`: this PDU carries status (4.2.2.2). */
static void stamp(struct iscsi_conn *c, uint8_t *bhs, bool advance)
{
	put32(bhs + 24, c->statsn);
	if (advance)
		c->statsn++;
	if (c->session)
		session_window(c->session, bhs);
}

/* The digests begin with the first PDU of the full feature phase: the last Login response has none. */
static void wire_small(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_out *o)
{
	struct small *s = (struct small *)o;
	uint8_t op = bhs_op(s->bhs);
	bool plain = op == PDU_LOGIN_RESPONSE;

	memcpy(w->head, s->bhs, BHS_LEN);
	w->data = s->data;
	w->data_len = s->len;
	w->last = o;
	if (!plain || (w->head[36] == 0 && w->head[37] == 0))
		stamp(c, w->head, op != PDU_R2T && !(op == PDU_NOP_IN && bhs_itt(w->head) == TAG_NONE));
	if (plain) {
		/* Before there is a session, the window is the login's own CmdSN. */
		if (!c->session) {
			put32(w->head + 28, get32(c->in.header + 24));
			put32(w->head + 32, get32(c->in.header + 24));
		}
		w->head_len = BHS_LEN;
		w->tail_len = (uint8_t)pdu_pad(s->len);
		memset(w->tail, 0, sizeof(w->tail));
	} else {
		seal(c, w);
	}
}

/* 11.4.5: what was expected against what the command moved. */
static uint32_t residual(uint32_t expect, uint32_t actual, uint8_t *flags, uint8_t over, uint8_t under)
{
	if (actual > expect) {
		*flags |= over;
		return actual - expect;
	}
	if (actual < expect) {
		*flags |= under;
		return expect - actual;
	}
	return 0;
}

static uint32_t send_len(const struct iscsi_task *t)
{
	return t->task.in_len < t->task.expect_in ? t->task.in_len : t->task.expect_in;
}

static void wire_response(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_task *t)
{
	const struct task *task = &t->task;
	uint8_t flags = PDU_FINAL;
	uint32_t res = 0, bidi = 0;

	if (task->read && task->write) {
		res = residual(task->expect_out, task->out_want, &flags, RSP_OVERFLOW, RSP_UNDERFLOW);
		bidi = residual(task->expect_in, task->in_len, &flags, RSP_BIDI_OVERFLOW, RSP_BIDI_UNDERFLOW);
	} else if (task->write) {
		res = residual(task->expect_out, task->out_want, &flags, RSP_OVERFLOW, RSP_UNDERFLOW);
	} else {
		res = residual(task->expect_in, task->in_len, &flags, RSP_OVERFLOW, RSP_UNDERFLOW);
	}
	bhs_init(w->head, PDU_SCSI_RESPONSE, flags, 0, t->itt);
	w->head[3] = task->status;
	put32(w->head + 36, t->datasn);
	put32(w->head + 40, bidi);
	put32(w->head + 44, res);
	w->data = NULL;
	w->data_len = 0;
	if (task->sense_len) {
		/* 11.4.7: SenseLength, then the sense. */
		put16(t->task.sense_head, task->sense_len);
		w->data = t->task.sense_head;
		w->data_len = 2u + task->sense_len;
		put24(w->head + 5, w->data_len);
	}
	w->last = &t->out;
	stamp(c, w->head, true);
	seal(c, w);
}

/* The next Data-In. True: it was the last and carried the status (11.7.4). */
static bool wire_data_in(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_task *t)
{
	const struct iscsi_params *p = &c->session->params;
	uint32_t total = send_len(t), left = total - t->sent, in_burst = t->sent % p->max_burst;
	uint32_t len = left < p->max_send ? left : p->max_send;
	uint8_t flags = 0;
	bool collapse;
	uint32_t res;

	if (len > p->max_burst - in_burst)
		len = p->max_burst - in_burst;
	collapse = len == left && t->task.status == STATUS_GOOD && !t->task.sense_len && !t->task.write;
	if (len == left || in_burst + len == p->max_burst)
		flags |= PDU_FINAL;
	bhs_init(w->head, PDU_DATA_IN, flags, len, t->itt);
	put32(w->head + 20, TAG_NONE);
	put32(w->head + 36, t->datasn++);
	put32(w->head + 40, t->sent);
	if (collapse) {
		flags |= DATA_IN_STATUS;
		res = residual(t->task.expect_in, t->task.in_len, &flags, RSP_OVERFLOW, RSP_UNDERFLOW);
		w->head[1] = flags;
		w->head[3] = t->task.status;
		put32(w->head + 44, res);
	}
	w->data = t->task.in.p + t->sent;
	w->data_len = len;
	w->last = collapse ? &t->out : NULL;
	t->sent += len;
	stamp(c, w->head, collapse);
	if (!collapse)
		put32(w->head + 24, 0);         /* StatSN is reserved without S */
	seal(c, w);
	return collapse;
}

/* Cut PDUs until the ring is full or nothing waits. */
static void fill(struct iscsi_conn *c)
{
	while (c->out && c->n_wire < CONN_WIRE_MAX) {
		struct iscsi_out *o = c->out;
		struct iscsi_wire *w = &c->wire[(c->wire_first + c->n_wire++) % CONN_WIRE_MAX];
		bool whole = true;

		if (!o->task) {
			wire_small(c, w, o);
		} else if (o->task->sent < send_len(o->task)) {
			whole = wire_data_in(c, w, o->task);
		} else {
			wire_response(c, w, o->task);
		}
		if (whole) {
			c->out = o->next;
			if (!c->out)
				c->out_tail = &c->out;
		}
	}
}

static void piece(struct iscsi_iov *iov, unsigned *n, size_t *skip, const void *p, size_t len)
{
	if (*skip >= len) {
		*skip -= len;
		return;
	}
	iov[(*n)++] = (struct iscsi_iov){ (uint8_t *)p + *skip, len - *skip };
	*skip = 0;
}

unsigned conn_output(struct iscsi_conn *c, struct iscsi_iov *iov, unsigned max)
{
	size_t skip = c->wire_sent;
	unsigned n = 0;

	fill(c);
	for (unsigned i = 0; i < c->n_wire && n + 3 <= max; i++) {
		const struct iscsi_wire *w = &c->wire[(c->wire_first + i) % CONN_WIRE_MAX];

		piece(iov, &n, &skip, w->head, w->head_len);
		piece(iov, &n, &skip, w->data, w->data_len);
		piece(iov, &n, &skip, w->tail, w->tail_len);
	}
	return n;
}

void conn_sent(struct iscsi_conn *c, size_t n)
{
	bool stalled = c->n_small >= CONN_OUT_MAX;

	c->wire_sent += n;
	while (c->n_wire) {
		struct iscsi_wire *w = &c->wire[c->wire_first];
		size_t len = (size_t)w->head_len + w->data_len + w->tail_len;

		if (c->wire_sent < len)
			break;
		c->wire_sent -= len;
		c->wire_first = (c->wire_first + 1) % CONN_WIRE_MAX;
		c->n_wire--;
		if (w->last)
			release(c, w->last);
	}
	assert(c->n_wire || !c->wire_sent);
	if (stalled && c->n_small < CONN_OUT_MAX && c->in.backlog.len)
		conn_feed(c, NULL, 0);
}
