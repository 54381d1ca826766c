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
#include "target/iscsi/sn.h"

#define UNACKED_MAX 4096        /* responses that an initiator may leave unacknowledged */
#define UNACKED_BYTES (4u << 20)        /* the same of the data that it sent to have them back */

/* A small PDU, with its data behind it. */
struct small {
	struct iscsi_out out;
	uint32_t len;
	bool again;             /* a copy of what has out.statsn already */
	uint8_t bhs[BHS_LEN];
	uint8_t data[];
};

void conn_out_init(struct iscsi_conn *c)
{
	c->out = NULL;
	c->out_tail = &c->out;
	c->unacked = NULL;
	c->unacked_tail = &c->unacked;
	c->n_unacked = 0;
	c->unacked_bytes = 0;
}

bool conn_out_full(const struct iscsi_conn *c)
{
	return c->n_small >= CONN_OUT_MAX || c->small_bytes >= CONN_OUT_BYTES;
}

/* Does this small PDU take a StatSN of its own (4.2.2.2)? */
static bool numbered(const struct small *s)
{
	uint8_t op = bhs_op(s->bhs);

	return op != PDU_R2T && !(op == PDU_NOP_IN && bhs_itt(s->bhs) == TAG_NONE);
}

static void keep(struct iscsi_conn *c, struct iscsi_out *o)
{
	o->next = NULL;
	*c->unacked_tail = o;
	c->unacked_tail = &o->next;
	if (o->kind == OUT_SMALL)
		c->unacked_bytes += ((struct small *)o)->len;
	if (++c->n_unacked > UNACKED_MAX || c->unacked_bytes > UNACKED_BYTES)
		conn_close(c, "responses are not acknowledged");
}

static void small_sent(struct iscsi_conn *c, struct small *s)
{
	c->n_small--;
	c->small_bytes -= s->len;
	if (conn_erl(c, 1) && numbered(s) && !s->again && bhs_op(s->bhs) != PDU_LOGIN_RESPONSE)
		keep(c, &s->out);
	else
		free(s);
}

/* The last PDU of this has left. */
static void out_sent(struct iscsi_conn *c, struct iscsi_out *o)
{
	struct iscsi_task *t = o->task;

	if (o->kind == OUT_SMALL) {
		small_sent(c, (struct small *)o);
	} else if (o->kind == OUT_TASK) {
		if (conn_erl(c, 1) && !sn_lt(o->statsn, c->acked)) {
			t->state = ITASK_ANSWERED;
			keep(c, o);
		} else {
			t->state = ITASK_PARKED;
			session_task_free(t);
		}
	}
}

static void wire_left(struct iscsi_conn *c, struct iscsi_wire *w, bool sent)
{
	struct iscsi_task *t = w->task;

	if (t)
		t->wires--;
	if (t && t->doomed) {
		session_task_free(t);
		return;
	}
	if (w->last && sent)
		out_sent(c, w->last);
	else if (w->last && w->last->kind == OUT_SMALL)
		free(w->last);
}

static void list_free(struct iscsi_out *o)
{
	while (o) {
		struct iscsi_out *next = o->next;

		if (o->kind == OUT_TASK || o->kind == OUT_AGAIN)
			o->task->again_queued = false;
		else
			free(o);
		o = next;
	}
}

void conn_out_fini(struct iscsi_conn *c)
{
	for (unsigned i = 0; i < c->n_wire; i++)
		wire_left(c, &c->wire[(c->wire_first + i) % CONN_WIRE_MAX], false);
	c->n_wire = 0;
	c->wire_sent = 0;
	c->n_small = 0;
	c->small_bytes = 0;
	list_free(c->out);
	list_free(c->unacked);
	conn_out_init(c);
}

static void unlink_out(struct iscsi_out **p, struct iscsi_out ***tail, const struct iscsi_out *o)
{
	while (*p && *p != o)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = o->next;
	if (!*p)
		*tail = p;
}

void conn_out_forget(struct iscsi_conn *c, struct iscsi_task *t)
{
	if (t->again_queued)
		unlink_out(&c->out, &c->out_tail, &t->again);
	t->again_queued = false;
	if (t->state == ITASK_ANSWERING) {
		unlink_out(&c->out, &c->out_tail, &t->out);
	} else if (t->state == ITASK_ANSWERED) {
		unlink_out(&c->unacked, &c->unacked_tail, &t->out);
		c->n_unacked--;
	}
}

void conn_ack(struct iscsi_conn *c, uint32_t expstatsn)
{
	struct iscsi_out *o;

	if (!sn_lt(c->acked, expstatsn) || !sn_le(expstatsn, c->statsn))
		return;
	c->acked = expstatsn;
	while ((o = c->unacked) && sn_lt(o->statsn, expstatsn)) {
		if (o->kind == OUT_TASK) {
			session_task_free(o->task);
			continue;
		}
		c->unacked = o->next;
		if (!c->unacked)
			c->unacked_tail = &c->unacked;
		c->n_unacked--;
		c->unacked_bytes -= ((struct small *)o)->len;
		free(o);
	}
}

void conn_enqueue(struct iscsi_conn *c, struct iscsi_out *o)
{
	o->next = NULL;
	*c->out_tail = o;
	c->out_tail = &o->next;
}

uint8_t *conn_put(struct iscsi_conn *c, enum pdu_op op, uint8_t flags, uint32_t itt, const void *data,
	uint32_t len)
{
	struct small *s = mem_alloc(sizeof(*s) + len);

	s->out = (struct iscsi_out){ .kind = OUT_SMALL };
	s->len = len;
	s->again = false;
	bhs_init(s->bhs, op, flags, len, itt);
	if (op == PDU_NOP_IN)
		put32(s->bhs + 20, TAG_NONE);
	if (len)
		memcpy(s->data, data, len);
	c->n_small++;
	c->small_bytes += len;
	conn_enqueue(c, &s->out);
	return s->bhs;
}

static void put_answer(struct iscsi_conn *c, struct iscsi_task *t)
{
	t->out.task = t;
	t->out.kind = OUT_TASK;
	t->stamped = false;
	conn_enqueue(c, &t->out);
}

void conn_put_task(struct iscsi_conn *c, struct iscsi_task *t)
{
	struct iscsi_session *s = t->session;

	t->sent = 0;
	if (t->task.read && s->params.erl && !t->ack_tag && (t->ack_tag = ++s->next_ack_tag) == TAG_NONE)
		t->ack_tag = s->next_ack_tag = 1;
	/* R2Ts and Data-In of a bidirectional command share their numbers (4.2.2.4). */
	t->datasn = t->base_sn = t->task.read && t->task.write ? t->r2t_sn : 0;
	t->base_at = 0;
	t->segment = c->params.max_send;
	put_answer(c, t);
}

uint8_t *conn_async(struct iscsi_conn *c, enum async_event event)
{
	uint8_t *bhs = conn_put(c, PDU_ASYNC, PDU_FINAL, TAG_NONE, NULL, 0);

	bhs[36] = (uint8_t)event;
	return bhs;
}

/* 11.17: the header of the PDU that is refused is the data. */
void conn_reject(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason)
{
	uint8_t *r = conn_put(c, PDU_REJECT, PDU_FINAL, TAG_NONE, bhs, BHS_LEN);

	r[2] = (uint8_t)reason;
	if (c->session)
		c->session->errors++;
}

/* ---- data-in, cut into PDUs ---- */

static uint32_t send_len(const struct iscsi_task *t)
{
	return t->task.in_len < t->task.expect_in ? t->task.in_len : t->task.expect_in;
}

/* Of the PDU that begins at `at`: neither beyond the initiator's limit, nor over the end of a burst. */
static uint32_t cut_len(const struct iscsi_task *t, uint32_t at)
{
	uint32_t burst = t->session->params.max_burst, len = send_len(t) - at;

	if (len > t->segment)
		len = t->segment;
	return len < burst - at % burst ? len : burst - at % burst;
}

static uint32_t cut_at(const struct iscsi_task *t, uint32_t datasn)
{
	uint32_t at = t->base_at;

	for (uint32_t sn = t->base_sn; sn != datasn && at < send_len(t); sn++)
		at += cut_len(t, at);
	return at;
}

void conn_cut_from(const struct iscsi_conn *c, struct iscsi_task *t, uint32_t datasn)
{
	t->base_at = cut_at(t, datasn);
	t->base_sn = t->datasn = datasn;
	t->sent = t->base_at;
	t->segment = c->params.max_send;
}

void conn_put_task_rest(struct iscsi_conn *c, struct iscsi_task *t)
{
	if (!t->segment) {
		conn_put_task(c, t);            /* it was never begun */
		return;
	}
	conn_cut_from(c, t, sn_lt(t->base_sn, t->acked) ? t->acked : t->base_sn);
	put_answer(c, t);
}

/* ---- again ---- */

void conn_put_again(struct iscsi_conn *c, struct iscsi_task *t, uint32_t begin, uint32_t end, bool status)
{
	if (!t->again_queued) {
		t->again.task = t;
		t->again.kind = OUT_AGAIN;
		t->again_queued = true;
		t->again_sn = begin;
		t->again_end = end;
		t->again_status = status;
		conn_enqueue(c, &t->again);
	} else {
		if (sn_lt(begin, t->again_sn))
			t->again_sn = begin;
		if (sn_lt(t->again_end, end))
			t->again_end = end;
		t->again_status |= status;
	}
	t->again_at = cut_at(t, t->again_sn);
}

void conn_put_recut(struct iscsi_conn *c, struct iscsi_task *t, uint32_t from)
{
	if (t->again_queued)
		unlink_out(&c->out, &c->out_tail, &t->again);
	t->again_queued = false;
	conn_cut_from(c, t, from);
	for (; t->sent < send_len(t); t->datasn++)
		t->sent += cut_len(t, t->sent);
	conn_put_again(c, t, from, t->datasn, true);
}

static void small_again(struct iscsi_conn *c, const struct small *s)
{
	struct small *copy = mem_dup(s, sizeof(*s) + s->len);

	copy->again = true;
	c->n_small++;
	c->small_bytes += s->len;
	conn_enqueue(c, &copy->out);
}

void conn_put_status_again(struct iscsi_conn *c, uint32_t begin, uint32_t end)
{
	/* What was not yet sent whole is on its way anyhow. */
	for (struct iscsi_out *o = c->unacked; o; o = o->next) {
		if (sn_lt(o->statsn, begin) || !sn_lt(o->statsn, end))
			continue;
		if (o->kind == OUT_TASK)
			conn_put_again(c, o->task, o->task->datasn, o->task->datasn, true);
		else
			small_again(c, (struct small *)o);
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

/* StatSN and the window; the StatSN is used up if this PDU carries status (4.2.2.2). */
static void stamp(struct iscsi_conn *c, uint8_t *bhs, struct iscsi_out *o)
{
	put32(bhs + 24, c->statsn);
	if (o)
		o->statsn = c->statsn++;
	if (c->session)
		session_window(c->session, bhs);
}

/* The digests begin with the first PDU of the full feature phase: the last Login response has none. */
static void wire_small(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_out *o)
{
	struct small *s = (struct small *)o;
	bool plain = bhs_op(s->bhs) == PDU_LOGIN_RESPONSE;

	memcpy(w->head, s->bhs, BHS_LEN);
	w->data = s->data;
	w->data_len = s->len;
	w->last = o;
	if (s->again) {
		put32(w->head + 24, o->statsn);
		session_window(c->session, w->head);
	} else if (!plain || (w->head[36] == 0 && w->head[37] == 0)) {
		stamp(c, w->head, numbered(s) ? o : NULL);
	}
	if (plain) {
		/*
		 * Before there is a session, the window is the login's own CmdSN. Of a session that it is to join it
		 * must not speak: a MaxCmdSN this small says that both fields mean nothing (4.2.2.1).
		 */
		if (!c->session) {
			uint32_t cmdsn = bhs_cmdsn(c->in.header);

			put32(w->head + 28, cmdsn);
			put32(w->head + 32, c->login && c->login->tsih ? cmdsn - 2 : cmdsn);
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
	put32(w->head + 20, t->snack_tag);
	put32(w->head + 36, t->task.read ? t->datasn : 0);
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
		w->task = t;
		t->wires++;
	}
	if (t->stamped) {
		put32(w->head + 24, t->out.statsn);
		session_window(c->session, w->head);
	} else {
		stamp(c, w->head, &t->out);
		t->stamped = true;
	}
	seal(c, w);
}

/*
 * The Data-In that begins at `at`. True: it was the last and carried the status (11.7.4), which from ERL 1 on it
 * does not do, so that status can be asked for without data.
 */
static bool wire_data_in(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_task *t, uint32_t at, uint32_t datasn)
{
	uint32_t burst = t->session->params.max_burst, len = cut_len(t, at);
	bool end = at + len == send_len(t), erl = conn_erl(c, 1);
	bool collapse = end && !erl && t->task.status == STATUS_GOOD && !t->task.sense_len && !t->task.write;
	uint8_t flags = end || (at + len) % burst == 0 ? PDU_FINAL : 0;
	uint32_t res;

	bhs_init(w->head, PDU_DATA_IN, flags, len, t->itt);
	put32(w->head + 20, TAG_NONE);
	put32(w->head + 36, datasn);
	put32(w->head + 40, at);
	if (erl && flags && !end) {
		/* Once a burst, an acknowledgement of the data (11.7.2). */
		w->head[1] |= DATA_IN_ACK;
		memcpy(w->head + 8, t->task.lun, 8);
		put32(w->head + 20, t->ack_tag);
	}
	if (collapse) {
		flags |= DATA_IN_STATUS;
		res = residual(t->task.expect_in, t->task.in_len, &flags, RSP_OVERFLOW, RSP_UNDERFLOW);
		w->head[1] = flags;
		w->head[3] = t->task.status;
		put32(w->head + 44, res);
	}
	w->data = t->task.in.p + at;
	w->data_len = len;
	w->task = t;
	t->wires++;
	stamp(c, w->head, collapse ? &t->out : NULL);
	if (!collapse)
		put32(w->head + 24, 0);         /* StatSN is reserved without S */
	seal(c, w);
	return collapse;
}

/* A step of a task's answer; true: its last. */
static bool wire_task(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_task *t)
{
	if (t->sent < send_len(t)) {
		bool whole = wire_data_in(c, w, t, t->sent, t->datasn);

		t->sent += w->data_len;
		t->datasn++;
		w->last = whole ? &t->out : NULL;
		return whole;
	}
	wire_response(c, w, t);
	w->last = &t->out;
	return true;
}

/* A step of what is sent again; true: its last. */
static bool wire_again(struct iscsi_conn *c, struct iscsi_wire *w, struct iscsi_task *t)
{
	if (t->again_sn != t->again_end && t->again_at < send_len(t)) {
		wire_data_in(c, w, t, t->again_at, t->again_sn);
		t->again_at += w->data_len;
		t->again_sn++;
		if (t->again_sn != t->again_end || t->again_status)
			return false;
	} else {
		wire_response(c, w, t);
	}
	t->again_queued = false;
	return true;
}

/* The first that waits has been cut whole. */
static void out_shift(struct iscsi_conn *c)
{
	c->out = c->out->next;
	if (!c->out)
		c->out_tail = &c->out;
}

/* Fences at the head of the output that may be passed are; false: one stands. */
static bool fences_pass(struct iscsi_conn *c)
{
	struct iscsi_out *o;

	while ((o = c->out) && (o->kind == OUT_FENCE || o->kind == OUT_FENCE_END)) {
		bool pass = fence_passes(c, o);

		if (c->out != o)
			return true;            /* it put a question before itself */
		if (!pass)
			return false;
		out_shift(c);
		free(o);
	}
	return true;
}

/* Cut PDUs until the ring is full or nothing waits. */
static void fill(struct iscsi_conn *c)
{
	while (c->out && c->n_wire < CONN_WIRE_MAX && fences_pass(c) && c->out) {
		struct iscsi_out *o = c->out;
		struct iscsi_wire *w = &c->wire[(c->wire_first + c->n_wire++) % CONN_WIRE_MAX];
		bool whole = true;

		w->task = NULL;
		w->last = NULL;
		if (o->kind == OUT_SMALL)
			wire_small(c, w, o);
		else if (o->kind == OUT_TASK)
			whole = wire_task(c, w, o->task);
		else
			whole = wire_again(c, w, o->task);
		if (whole)
			out_shift(c);
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

void conn_data_moved(struct iscsi_conn *c, const struct iscsi_task *t, const uint8_t *to)
{
	for (unsigned i = 0; i < c->n_wire; i++) {
		struct iscsi_wire *w = &c->wire[(c->wire_first + i) % CONN_WIRE_MAX];

		if (w->task == t && w->data_len && w->data != t->task.sense_head)
			w->data = to + ((const uint8_t *)w->data - t->task.in.p);
	}
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
	bool stalled = conn_out_full(c);

	c->wire_sent += n;
	while (c->n_wire) {
		struct iscsi_wire *w = &c->wire[c->wire_first];
		size_t len = (size_t)w->head_len + w->data_len + w->tail_len;

		if (c->wire_sent < len)
			break;
		c->wire_sent -= len;
		c->wire_first = (c->wire_first + 1) % CONN_WIRE_MAX;
		c->n_wire--;
		wire_left(c, w, true);
	}
	assert(c->n_wire || !c->wire_sent);
	if (stalled && !conn_out_full(c) && c->in.backlog.len)
		conn_feed(c, NULL, 0);
}
