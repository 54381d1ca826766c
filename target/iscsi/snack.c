/* SPDX-License-Identifier: Apache-2.0 */
/* SNACK (RFC 7143 11.16): what the initiator has missed is sent again; acknowledgements of data. */
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/sn.h"

enum snack_type { SNACK_DATA_R2T, SNACK_STATUS, SNACK_DATA_ACK, SNACK_R_DATA };

/* Every StatSN of the run, as it was (11.16.1). */
static void status(struct iscsi_conn *c, const uint8_t *bhs, uint32_t begin, uint32_t run)
{
	uint32_t end = run ? begin + run : c->statsn;

	if (sn_lt(begin, c->acked) || sn_lt(c->statsn, end)) {
		conn_reject(c, bhs, REJECT_PROTOCOL);   /* acknowledged already, or never sent */
		return;
	}
	conn_put_status_again(c, begin, end);
}

static bool has_data_in(const struct iscsi_task *t)
{
	return t->task.read && (t->state == ITASK_ANSWERING || t->state == ITASK_ANSWERED);
}

/* Data-In of the run. What was cut for another segment length cannot be sent as it was (11.16). */
static void data(struct iscsi_conn *c, struct iscsi_task *t, const uint8_t *bhs, uint32_t begin, uint32_t run)
{
	uint32_t end = run ? begin + run : t->datasn;

	/* What is before the data are R2Ts of a bidirectional command, that were answered. */
	if (t->task.write && sn_lt(begin, t->base_sn) && !sn_lt(end, t->base_sn))
		begin = t->base_sn;
	if (sn_lt(begin, t->base_sn) || sn_lt(begin, t->acked) || sn_lt(t->datasn, end) || sn_lt(end, begin) ||
		t->segment > c->params.max_send) {
		conn_reject(c, bhs, REJECT_SNACK);
		return;
	}
	if (begin != end)
		conn_put_again(c, t, begin, end, false);
}

/* All that is not acknowledged, cut anew; then the response, with the tag, if it was sent. */
static void r_data(struct iscsi_conn *c, struct iscsi_task *t, const uint8_t *bhs, uint32_t begin, uint32_t run)
{
	uint32_t from = sn_lt(t->base_sn, t->acked) ? t->acked : t->base_sn;

	if (begin || run || bhs_ttt(bhs) == 0 || bhs_ttt(bhs) == TAG_NONE) {
		conn_reject(c, bhs, REJECT_PROTOCOL);
		return;
	}
	t->snack_tag = bhs_ttt(bhs);
	if (t->stamped)
		conn_put_recut(c, t, from);
	else
		conn_cut_from(c, t, from);
}

static void data_ack(struct iscsi_conn *c, const uint8_t *bhs, uint32_t begin)
{
	struct iscsi_task *t = session_find_ack(c->session, c, bhs_ttt(bhs));

	if (!t || !has_data_in(t) || sn_lt(t->datasn, begin)) {
		conn_reject(c, bhs, REJECT_INVALID_DATA_ACK);
		return;
	}
	if (sn_lt(t->acked, begin))
		t->acked = begin;
}

/* Asked after too early: its R2Ts were answered, and of its data nothing was sent yet. */
static bool none_yet(const struct iscsi_task *t, uint32_t begin, uint32_t run)
{
	return sn_le(run ? begin + run : begin, t->r2t_sn);
}

void snack_end(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint32_t begin = get32(bhs + 40), run = get32(bhs + 44);
	enum snack_type type = (enum snack_type)(bhs[1] & 0x0f);
	struct iscsi_task *t;

	if (type == SNACK_STATUS) {
		status(c, bhs, begin, run);
		return;
	}
	if (type == SNACK_DATA_ACK) {
		data_ack(c, bhs, begin);
		return;
	}
	t = session_find(c->session, bhs_itt(bhs));
	if (type > SNACK_R_DATA || !t || t->conn != c)
		conn_reject(c, bhs, REJECT_SNACK);
	else if (type == SNACK_DATA_R2T && t->state == ITASK_COLLECT)
		data_r2t_again(c, t, begin, run, bhs);
	else if (type == SNACK_DATA_R2T && t->state < ITASK_ANSWERING && none_yet(t, begin, run))
		return;
	else if (!has_data_in(t))
		conn_reject(c, bhs, REJECT_SNACK);
	else if (type == SNACK_DATA_R2T)
		data(c, t, bhs, begin, run);
	else
		r_data(c, t, bhs, begin, run);
}
