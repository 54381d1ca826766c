/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data-Out (RFC 7143 11.7) and R2T (11.8): sequences that are open, what of a task's data is here, and asking for the
 * rest. From ERL 1 on what was lost is asked for again (7.1.4.1); before, it ends the task.
 */
#include <assert.h>
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/sn.h"

#define PIECES_MAX 1024         /* of a task's data that may lie apart: beyond it a PDU counts as lost */
#define RETRIES_MAX 30          /* recovery R2Ts of a task in a row */

/*
 * The data cannot be had: CHECK CONDITION, ABORTED COMMAND, PROTOCOL SERVICE CRC ERROR (7.8, 11.4.7.2); what is still
 * on the way is dropped.
 */
static void give_up(struct iscsi_conn *c, struct iscsi_task *t)
{
	static const uint8_t sense[18] = { 0x70, 0, 0x0b, [7] = 10, [12] = 0x47, [13] = 0x05 };

	t->task.status = STATUS_CHECK_CONDITION;
	memcpy(t->task.sense, sense, sizeof(sense));
	t->task.sense_len = sizeof(sense);
	t->task.out_want = t->task.expect_out;
	t->n_sequences = 0;
	if (!t->immediate)
		c->session->active--;
	c->session->errors++;
	task_answer(t);
}

static struct iscsi_sequence *sequence_find(struct iscsi_task *t, uint32_t tag)
{
	for (unsigned i = 0; i < t->n_sequences; i++)
		if (t->sequences[i].tag == tag)
			return &t->sequences[i];
	return NULL;
}

static void sequence_close(struct iscsi_task *t, struct iscsi_sequence *q)
{
	unsigned i = (unsigned)(q - t->sequences);

	t->n_sequences--;
	memmove(q, q + 1, (t->n_sequences - i) * sizeof(*q));
}

static void r2t_put(struct iscsi_conn *c, const struct iscsi_task *t, const struct iscsi_sequence *q)
{
	uint8_t *r = conn_put(c, PDU_R2T, PDU_FINAL, t->itt, NULL, 0);

	memcpy(r + 8, t->task.lun, 8);
	put32(r + 20, q->tag);                  /* the tag need only be unique within the task */
	put32(r + 36, q->tag);
	put32(r + 40, q->from);
	put32(r + 44, q->to - q->from);
}

static void ask(struct iscsi_conn *c, struct iscsi_task *t, uint32_t from, uint32_t to)
{
	struct iscsi_sequence *q = &t->sequences[t->n_sequences++];

	*q = (struct iscsi_sequence){ .tag = t->r2t_sn++, .from = from, .to = to, .at = from };
	r2t_put(c, t, q);
}

static bool may_ask(const struct iscsi_conn *c, const struct iscsi_task *t)
{
	return t->n_sequences < c->params.max_r2t && t->n_sequences < SESSION_R2T_MAX;
}

/* Is this byte part of what was asked for and is still open? */
static const struct iscsi_sequence *open_at(const struct iscsi_task *t, uint32_t at)
{
	for (unsigned i = 0; i < t->n_sequences; i++)
		if (at >= t->sequences[i].from && at < t->sequences[i].to)
			return &t->sequences[i];
	return NULL;
}

void data_solicit(struct iscsi_conn *c, struct iscsi_task *t)
{
	uint32_t burst = c->params.max_burst, at = 0;
	struct cover_range h;

	/* Holes behind what was asked for already: recovery R2Ts, for they come first (11.8). */
	while (may_ask(c, t) && cover_hole(&t->cover, at, t->solicited, &h)) {
		const struct iscsi_sequence *q = open_at(t, h.from);

		if (q) {
			at = q->to;
			continue;
		}
		for (unsigned i = 0; i < t->n_sequences; i++)
			if (t->sequences[i].from > h.from && t->sequences[i].from < h.to)
				h.to = t->sequences[i].from;
		at = h.to - h.from < burst ? h.to : h.from + burst;
		ask(c, t, h.from, at);
	}
	while (may_ask(c, t) && t->solicited < t->want) {
		uint32_t left = t->want - t->solicited, len = left < burst ? left : burst;

		t->solicited += len;
		ask(c, t, t->solicited - len, t->solicited);
	}
}

void data_restart(struct iscsi_conn *c, struct iscsi_task *t)
{
	t->n_sequences = 0;
	t->quiet = 0;
	t->retries = 0;
	data_solicit(c, t);
}

/* The unsolicited data is not at its end: nothing is asked for before. */
static bool unsolicited(const struct iscsi_task *t)
{
	return t->n_sequences && t->sequences[0].tag == TAG_NONE;
}

/* Data is here: wait for more, ask for more, or go. */
static void go_on(struct iscsi_conn *c, struct iscsi_task *t)
{
	struct cover_range h;

	if (unsolicited(t))
		return;
	if (cover_hole(&t->cover, 0, t->want, &h)) {
		data_solicit(c, t);
		return;
	}
	t->task.out_len = t->want;
	t->n_sequences = 0;
	cover_fini(&t->cover);
	session_task_ready(c->session, t);
}

void data_command(struct iscsi_conn *c, struct iscsi_task *t, uint32_t n)
{
	bool more = !(c->in.header[1] & PDU_FINAL);
	uint32_t first = c->params.first_burst;

	/* TASK_DATA_MAX cuts what is kept, never what is sent. */
	if (n > t->want)
		t->want = n;
	cover_add(&t->cover, 0, n);
	t->solicited = n;
	if (more) {
		t->solicited = t->want < first ? t->want : first;
		t->sequences[t->n_sequences++] = (struct iscsi_sequence){ .tag = TAG_NONE, .from = n, .at = n,
			.to = t->solicited };
	}
	go_on(c, t);
}

/* ---- Data-Out ---- */

/* May this PDU belong to the sequence at all? */
static bool fits(const struct iscsi_conn *c, const struct iscsi_sequence *q, const uint8_t *bhs)
{
	uint32_t offset = get32(bhs + 40);

	return offset >= q->from && offset <= q->to && c->in.len <= q->to - offset;
}

/* Does it come in its turn: none missing before it? */
static bool in_turn(const struct iscsi_conn *c, const struct iscsi_sequence *q, const uint8_t *bhs)
{
	uint32_t offset = get32(bhs + 40);
	bool final = bhs[1] & PDU_FINAL, last = c->in.len == q->to - offset;

	if (get32(bhs + 36) != q->datasn || (c->params.pdu_in_order && offset != q->at))
		return false;
	/* An R2T is answered in full; unsolicited data may end sooner, but not go on after its end. */
	if (!c->params.pdu_in_order)
		return true;
	return q->tag == TAG_NONE ? !last || final : final == last;
}

/* At ERL 1 and on, data of a sequence that is closed or of a task that went on may come late. */
static void unexpected(struct iscsi_conn *c, const struct iscsi_task *t, uint32_t tag)
{
	if (conn_erl(c, 1) && (tag == TAG_NONE || sn_lt(tag, t->r2t_sn)))
		request_ignore(c);
	else
		conn_close(c, "Data-Out with a wrong transfer tag");
}

void data_begin(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_task *t = session_find(c->session, bhs_itt(bhs));
	uint32_t offset = get32(bhs + 40);
	struct iscsi_sequence *q;

	/* Of a task that was aborted or refused: its data may still be on the way (11.5.1). */
	if (!t || t->conn != c || t->state != ITASK_COLLECT || !t->task.write) {
		request_ignore(c);
		return;
	}
	if (!(q = sequence_find(t, bhs_ttt(bhs)))) {
		unexpected(c, t, bhs_ttt(bhs));
		return;
	}
	if (c->in.len == 0 && !(bhs[1] & PDU_FINAL)) {
		conn_close(c, "empty Data-Out");
		return;
	}
	c->in.task = t;
	if (!fits(c, q, bhs) || (!conn_erl(c, 1) && !in_turn(c, q, bhs))) {
		request_ignore(c);
		if (!conn_erl(c, 1))
			give_up(c, t);
		return;
	}
	/* What is here already must not be overwritten by what may turn out to be broken. */
	if (c->in.len && !cover_touches(&t->cover, offset, offset + c->in.len))
		c->in.dest = t->task.out.p + offset;
}

/* A sequence has ended, whole or not. */
static void sequence_end(struct iscsi_conn *c, struct iscsi_task *t, struct iscsi_sequence *q)
{
	struct cover_range h;

	if (q->tag == TAG_NONE && !q->lost && c->params.pdu_in_order)
		t->solicited = q->at;           /* the rest of the first burst was not sent: it is asked for */
	if (q->tag != TAG_NONE && cover_hole(&t->cover, q->from, q->to, &h)) {
		if (!conn_erl(c, 1) || ++t->retries > RETRIES_MAX) {
			give_up(c, t);
			return;
		}
	} else {
		t->retries = 0;
	}
	sequence_close(t, q);
	go_on(c, t);
}

void data_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_task *t = c->in.task;
	uint32_t offset = get32(bhs + 40), datasn = get32(bhs + 36);
	struct iscsi_sequence *q = t ? sequence_find(t, bhs_ttt(bhs)) : NULL;

	if (!q)
		return;
	if (c->in.dest && t->cover.n < PIECES_MAX)
		cover_add(&t->cover, offset, offset + c->in.len);
	c->session->write_bytes += c->in.len;
	c->n_data++;
	t->quiet = 0;
	if (datasn != q->datasn || (c->params.pdu_in_order && offset != q->at))
		q->lost = true;
	if (!sn_lt(datasn, q->datasn)) {
		q->datasn = datasn + 1;
		q->at = offset + c->in.len;
	}
	if (bhs[1] & PDU_FINAL)
		sequence_end(c, t, q);
}

void data_broken_digest(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_task *t = c->in.task;
	struct iscsi_sequence *q = t ? sequence_find(t, bhs_ttt(bhs)) : NULL;

	if (!q)
		return;
	q->lost = true;
	t->quiet = 0;
	if (get32(bhs + 36) == q->datasn) {
		q->datasn++;
		q->at = get32(bhs + 40) + c->in.len;
	}
	if (bhs[1] & PDU_FINAL)
		sequence_end(c, t, q);
}

/* ---- again ---- */

void data_overdue(struct iscsi_conn *c, struct iscsi_task *t)
{
	t->quiet = 0;
	if (++t->retries > RETRIES_MAX) {
		give_up(c, t);
		return;
	}
	/* The end of a sequence, or the R2T, was lost: new R2Ts for what is missing. */
	t->n_sequences = 0;
	go_on(c, t);
}

/* 11.16.1: R2Ts of the run that are still open. Those that are not were received, or taken back. */
void data_r2t_again(struct iscsi_conn *c, struct iscsi_task *t, uint32_t begin, uint32_t run, const uint8_t *bhs)
{
	uint32_t end = run ? begin + run : t->r2t_sn;

	if (sn_lt(t->r2t_sn, begin) || sn_lt(t->r2t_sn, end) || sn_lt(end, begin)) {
		conn_reject(c, bhs, REJECT_SNACK);
		return;
	}
	for (unsigned i = 0; i < t->n_sequences; i++) {
		struct iscsi_sequence *q = &t->sequences[i];

		if (q->tag != TAG_NONE && !sn_lt(q->tag, begin) && sn_lt(q->tag, end))
			r2t_put(c, t, q);
	}
}
