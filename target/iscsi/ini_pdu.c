/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each PDU of the target means. ini_pdu_begin sees the header of a Data-In and says whose buffer its data goes to;
 * ini_pdu_end sees whole PDUs. A PDU with a damaged data segment is as good as not received: at ERL 0 that ends the
 * connection, above it is asked for again.
 */
#include <string.h>

#include "base/err.h"
#include "target/iscsi/ini.h"
#include "target/iscsi/sn.h"

#define AHEAD_MAX 32                    /* Data-In after a missing one: bits of seen_ahead */
#define SENSE_ATTENTION 0x06
#define SENSE_ABORTED 0x0b
#define ASC_CRC 0x47
#define ASC_RESET 0x29
#define CHECK_CONDITION 0x02

/* ---- StatSN (4.2.2.2) ---- */

static bool stat_bit(struct ini_conn *c, uint32_t sn, bool set, bool clear)
{
	uint64_t bit = 1ull << (sn % 64), *w = &c->stat_seen[sn / 64 % (INI_STATSN_WINDOW / 64)];
	bool was = *w & bit;

	if (set)
		*w |= bit;
	if (clear)
		*w &= ~bit;
	return was;
}

/* Statuses up to `sn` were sent; those that did not come are asked for, once. */
static void stat_missing(struct ini_conn *c, uint32_t sn)
{
	uint32_t from = sn_lt(c->exp_statsn, c->stat_snacked_to) ? c->stat_snacked_to : c->exp_statsn;

	if (c->s->params.erl == 0 || !sn_lt(from, sn))
		return;
	ini_snack(c, 1, TAG_NONE, TAG_NONE, NULL, from, sn - from);
	c->stat_snacked_to = sn;
}

/* Take note of a status; false: it was here before, or the connection is over. */
static bool stat_take(struct ini_conn *c, uint32_t sn)
{
	if (c->s->params.erl == 0) {
		/* Nothing could be asked for again; what a target counts is its own affair. */
		if (sn_le(c->exp_statsn, sn))
			c->exp_statsn = sn + 1;
		return true;
	}
	if (sn_lt(sn, c->exp_statsn))
		return false;
	if (sn - c->exp_statsn >= INI_STATSN_WINDOW) {
		ini_drop(c, "a StatSN far ahead");
		return false;
	}
	if (sn != c->exp_statsn) {
		stat_missing(c, sn);
		if (sn_le(c->stat_snacked_to, sn))
			c->stat_snacked_to = sn + 1;
		return !stat_bit(c, sn, true, false);
	}
	do {
		c->exp_statsn++;
	} while (stat_bit(c, c->exp_statsn, false, true));
	return true;
}

/* ---- the end of a command ---- */

static bool data_complete(const struct ini_cmd *cmd)
{
	return !cmd->seen_ahead && cmd->exp_datasn == cmd->status_datasn;
}

/*
 * Answers that concern the way and not the command. The data was damaged and the target could not ask for it again (7.8); or
 * this is the unit attention of a session that only we began, to replace one that was lost.
 */
static bool of_the_way(const struct ini_session *s, const struct ini_cmd *cmd)
{
	uint8_t key, asc;

	if (!cmd->repeat || cmd->status != CHECK_CONDITION || cmd->sense_len < 4 ||
		(cmd->sense_len < 13 && (cmd->sense[0] & 0x7e) == 0x70))
		return false;
	if ((cmd->sense[0] & 0x7e) == 0x72) {
		key = cmd->sense[1] & 0xf;
		asc = cmd->sense[2];
	} else {
		key = cmd->sense[2] & 0xf;
		asc = cmd->sense[12];
	}
	return (key == SENSE_ABORTED && asc == ASC_CRC) ||
		(key == SENSE_ATTENTION && asc == ASC_RESET && s->sessions > 1 && !s->conf.attentions);
}

static void finish(struct ini_conn *c, struct ini_cmd *cmd)
{
	struct ini_session *s = c->s;

	if (of_the_way(s, cmd)) {
		s->retried++;
		ini_requeue(s, cmd);
		ini_dispatch(s);
		return;
	}
	ini_finish(s, cmd, cmd->response ? ERR_IO : 0);
}

static void residuals(struct ini_cmd *cmd, const uint8_t *bhs)
{
	cmd->status = bhs[3];
	cmd->underflow = bhs[1] & RSP_UNDERFLOW;
	cmd->overflow = bhs[1] & RSP_OVERFLOW;
	cmd->residual = cmd->underflow || cmd->overflow ? get32(bhs + 44) : 0;
}

/* ---- Data-In, 11.7 ---- */

/* May it come now? In order, or not too far ahead of one that is missing. */
static bool datasn_due(const struct ini_session *s, const struct ini_cmd *cmd, uint32_t sn)
{
	return s->params.erl == 0 ? sn == cmd->exp_datasn : !sn_lt(cmd->exp_datasn + AHEAD_MAX, sn);
}

/* Is this Data-In one that was not here yet? */
static bool datasn_new(const struct ini_cmd *cmd, uint32_t sn)
{
	if (sn_lt(sn, cmd->exp_datasn))
		return false;
	return sn == cmd->exp_datasn || !(cmd->seen_ahead >> (sn - cmd->exp_datasn - 1) & 1);
}

static void datasn_take(struct ini_cmd *cmd, uint32_t sn)
{
	if (sn != cmd->exp_datasn) {
		cmd->seen_ahead |= 1u << (sn - cmd->exp_datasn - 1);
		return;
	}
	do {
		bool next = cmd->seen_ahead & 1;

		cmd->exp_datasn++;
		cmd->seen_ahead >>= 1;
		if (!next)
			break;
	} while (true);
}

static void data_missing(struct ini_conn *c, struct ini_cmd *cmd, uint32_t sn)
{
	uint32_t from = sn_lt(cmd->exp_datasn, cmd->snacked_to) ? cmd->snacked_to : cmd->exp_datasn;

	if (!sn_lt(from, sn))
		return;
	ini_snack(c, 0, cmd->itt, TAG_NONE, cmd->lun, from, sn - from);
	cmd->snacked_to = sn;
}

void ini_pdu_begin(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;
	struct ini_cmd *cmd = ini_find(s, bhs_itt(bhs));
	uint32_t offset = get32(bhs + 40), sn = get32(bhs + 36);

	c->in.cmd = NULL;
	if (!cmd || cmd->conn != c || cmd->state == ICMD_LIMBO)
		return;
	if (!cmd->read || offset > cmd->in_len || c->in.len > cmd->in_len - offset) {
		ini_drop(c, "Data-In beyond what was asked for");
		return;
	}
	if (!datasn_due(s, cmd, sn)) {
		ini_drop(c, "Data-In out of order");
		return;
	}
	if (s->params.erl == 0 && s->params.pdu_in_order && s->params.sequence_in_order && offset != cmd->got) {
		ini_drop(c, "Data-In with a wrong offset");
		return;
	}
	if (!datasn_new(cmd, sn) || !c->in.len)
		return;
	c->in.cmd = cmd;
	c->in.offset = offset;
}

static void data_in(struct ini_conn *c, const uint8_t *bhs, bool damaged)
{
	struct ini_session *s = c->s;
	struct ini_cmd *cmd = ini_find(s, bhs_itt(bhs));
	uint32_t sn = get32(bhs + 36), end = get32(bhs + 40) + c->in.len;
	bool status = bhs[1] & DATA_IN_STATUS;

	if (damaged) {
		/* The status that came with it comes again with it (11.16: the same PDU is sent). */
		if (cmd) {
			ini_snack(c, 0, cmd->itt, TAG_NONE, cmd->lun, sn, 1);
			if (sn_le(cmd->snacked_to, sn))
				cmd->snacked_to = sn + 1;
		}
		return;
	}
	if (status && !stat_take(c, get32(bhs + 24)))
		return;
	if (!cmd || cmd->conn != c || cmd->state == ICMD_LIMBO) {
		if (status)
			ini_zombie_end(s, bhs_itt(bhs));
		return;
	}
	/* The tag may have become another command's since the header was here. */
	if (!datasn_due(s, cmd, sn)) {
		ini_drop(c, "Data-In out of order");
		return;
	}
	if (datasn_new(cmd, sn)) {
		if (s->params.erl)
			data_missing(c, cmd, sn);
		if (sn_le(cmd->snacked_to, sn))
			cmd->snacked_to = sn + 1;
		datasn_take(cmd, sn);
		s->bytes_in += c->in.len;
		if (cmd->got < end)
			cmd->got = end;
	}
	/* 11.7.2: the target wants to know how far we are, to forget what it keeps. */
	if (bhs[1] & DATA_IN_ACK && s->params.erl && !cmd->seen_ahead)
		ini_snack(c, 2, TAG_NONE, bhs_ttt(bhs), bhs + 8, cmd->exp_datasn, 0);
	if (status) {
		residuals(cmd, bhs);
		cmd->status_datasn = sn + 1;
		cmd->answered = true;
	}
	if (cmd->answered && (s->params.erl == 0 || data_complete(cmd)))
		finish(c, cmd);
}

/* ---- SCSI Response, 11.4 ---- */

static void sense(struct ini_conn *c, struct ini_cmd *cmd)
{
	uint32_t len;

	cmd->sense_len = 0;
	if (c->in.len < 2)
		return;
	len = get16(c->in.data.data);
	if (len > c->in.len - 2)
		len = c->in.len - 2;
	if (len > cmd->sense_max)
		len = cmd->sense_max;
	memcpy(cmd->sense, c->in.data.data + 2, len);
	cmd->sense_len = (uint16_t)len;
}

static void scsi_response(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;
	struct ini_cmd *cmd = ini_find(s, bhs_itt(bhs));

	if (!cmd || cmd->conn != c || cmd->state == ICMD_LIMBO) {
		ini_zombie_end(s, bhs_itt(bhs));
		return;
	}
	cmd->response = bhs[2];
	residuals(cmd, bhs);
	cmd->bidi_underflow = bhs[1] & RSP_BIDI_UNDERFLOW;
	cmd->bidi_overflow = bhs[1] & RSP_BIDI_OVERFLOW;
	cmd->bidi_residual = cmd->bidi_underflow || cmd->bidi_overflow ? get32(bhs + 40) : 0;
	sense(c, cmd);
	cmd->status_datasn = get32(bhs + 36);
	/* 11.4.8: how many Data-In there were. Those that did not come are asked for before the command is over. */
	if (s->params.erl && cmd->read && !cmd->write && sn_lt(cmd->exp_datasn, cmd->status_datasn)) {
		cmd->answered = true;
		data_missing(c, cmd, cmd->status_datasn);
		return;
	}
	finish(c, cmd);
}

/* ---- R2T, 11.8 ---- */

static void r2t(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;
	struct ini_cmd *cmd = ini_find(s, bhs_itt(bhs));
	uint32_t offset = get32(bhs + 40), len = get32(bhs + 44), sn = get32(bhs + 36);

	stat_missing(c, get32(bhs + 24));
	if (!cmd || cmd->conn != c || cmd->state == ICMD_LIMBO)
		return;
	if (!cmd->write || !len || offset > cmd->out_len || len > cmd->out_len - offset || len > s->params.max_burst) {
		ini_drop(c, "an R2T for data that there is not");
		return;
	}
	if (cmd->r2t_any)
		cmd->exp_r2tsn = sn;
	cmd->r2t_any = false;
	if (s->params.erl && !cmd->read) {
		if (sn_lt(sn, cmd->exp_r2tsn))
			return;
		if (sn != cmd->exp_r2tsn)
			ini_snack(c, 0, cmd->itt, TAG_NONE, cmd->lun, cmd->exp_r2tsn, sn - cmd->exp_r2tsn);
		cmd->exp_r2tsn = sn + 1;
	}
	if (cmd->n_r2t == INI_R2T_MAX) {
		ini_drop(c, "more R2Ts than MaxOutstandingR2T");
		return;
	}
	cmd->r2t[cmd->n_r2t++] = (struct ini_r2t){ .ttt = bhs_ttt(bhs), .offset = offset, .len = len };
	ini_ready_data(c, cmd);
}

/* ---- NOP-In 11.19, Reject 11.17, Logout Response 11.15 ---- */

static void nop_in(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_small *m;

	if (bhs_itt(bhs) == TAG_NONE)
		stat_missing(c, get32(bhs + 24));
	if (bhs_ttt(bhs) == TAG_NONE)
		return;
	m = ini_put(c, PDU_NOP_OUT, PDU_FINAL, TAG_NONE, NULL, 0);
	memcpy(m->bhs + 8, bhs + 8, 8);
	put32(m->bhs + 20, bhs_ttt(bhs));
}

/* What is still missing will not come: the next level of recovery has to bring it. */
static void snack_rejected(struct ini_conn *c, const uint8_t *bad)
{
	const struct ini_cmd *cmd = ini_find(c->s, bhs_itt(bad));
	uint32_t from = get32(bad + 40);
	bool missing = false;

	if ((bad[1] & 0xf) == 1)
		missing = sn_le(c->exp_statsn, from) && !stat_bit(c, from, false, false);
	else if ((bad[1] & 0xf) == 0)
		missing = cmd && cmd->conn == c && cmd->read && datasn_due(c->s, cmd, from) && datasn_new(cmd, from);
	if (missing)
		ini_drop(c, "the target rejects a SNACK");
}

static void reject(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;
	const uint8_t *bad = c->in.data.data;
	struct ini_cmd *cmd;

	if (c->in.len < BHS_LEN)
		return;
	switch (bhs_op(bad)) {
	case PDU_SCSI_COMMAND:
		cmd = ini_find(s, bhs_itt(bad));
		if (!cmd || cmd->conn != c || bhs[2] == REJECT_TASK_IN_PROGRESS)
			return;
		/* ERL 1: the command, or its data, comes again by command retry or by a recovery R2T (7.2.1, 7.8). */
		if (bhs[2] == REJECT_DATA_DIGEST && s->params.erl)
			return;
		ini_finish(s, cmd, ERR_MALFORMED);
		break;
	case PDU_DATA_OUT:
		break;
	case PDU_SNACK:
		snack_rejected(c, bad);
		break;
	case PDU_TASK_MGMT:
		ini_tmf_end(s, bhs_itt(bad), TMF_RSP_REJECTED);
		break;
	case PDU_TEXT:
		ini_text_fail(s, ERR_MALFORMED);
		break;
	default:
		break;
	}
}

static void logout_response(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;

	if (c->state == INI_S6_IN_LOGOUT && bhs_itt(bhs) == c->logout_itt) {
		if (c->logout_reason == 0) {
			/* The session is over, with all of its connections. */
			ini_session_lost(s);
			return;
		}
		/* 11.15.3: when to come back. */
		if (s->params.time2wait < get16(bhs + 40))
			c->retry_at = mono_add_ms(s->now, get16(bhs + 40) * 1000u);
		ini_drop(c, "logged out");
		return;
	}
	ini_recovery_logout(s, bhs_itt(bhs), bhs[2]);
}

/* ---- Asynchronous Message, 11.9 ---- */

/* On the connection itself, because the target asked for it. At ERL 2 the tasks stay behind, to be reassigned. */
void ini_logout_own(struct ini_conn *c, uint32_t ms)
{
	struct ini_session *s = c->s;
	struct ini_small *m;

	c->logout_reason = s->params.erl >= 2 ? 2 : s->n_up > 1 ? 1 : 0;
	c->logout_itt = (++c->ping_gen & 0xfff) << 16 | 0xffe0u;
	c->deadline = mono_add_ms(s->now, ms);
	m = ini_put(c, PDU_LOGOUT, PDU_FINAL | c->logout_reason, c->logout_itt, NULL, 0);
	put16(m->bhs + 20, c->cid);
	ini_conn_move(c, INI_S6_IN_LOGOUT);
}

/*
 * The last that is heard of a session says what of it was taken. What was not, and was never sent in another session or by
 * another way, cannot be executed any more.
 */
static void not_taken(struct ini_session *s, const uint8_t *bhs)
{
	/* A window that makes no sense says nothing (4.2.2.1). */
	if (!s->conf.last_word || get32(bhs + 28) != s->exp_cmdsn)
		return;
	for (unsigned i = 0; i < s->n_slots; i++) {
		struct ini_cmd *cmd = s->slots[i].cmd;

		if (cmd && !cmd->repeat && sn_le(s->exp_cmdsn, cmd->cmdsn))
			cmd->sent = false;
	}
}

static void async(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;
	uint16_t p1 = get16(bhs + 38), p2 = get16(bhs + 40), p3 = get16(bhs + 42);

	ini_event(s, INI_EV_ASYNC, bhs[36], bhs[37], "");
	switch (bhs[36]) {
	case 1:         /* log out within Parameter3 seconds */
		if (c->state == INI_S5_LOGGED_IN) {
			uint32_t ms = (p3 ? p3 : 1) * 1000u;

			ini_conn_move(c, INI_S7_LOGOUT_REQUESTED);
			if (s->params.erl >= 2)
				ini_logout_own(c, ms);
			else    /* what is in work is finished first, for most of that time */
				c->quiet_until = mono_add_ms(s->now, ms / 2);
		}
		break;
	case 2:         /* connection Parameter1 is dropped; come back after Parameter2 */
		for (unsigned i = 0; i < s->n_conns; i++)
			if (s->conn[i].cid == p1) {
				ini_drop(&s->conn[i], "dropped by the target");
				s->conn[i].retry_at = mono_add_ms(s->now, p2 * 1000u);
			}
		break;
	case 3:         /* all connections of the session */
		not_taken(s, bhs);
		for (unsigned i = 0; i < s->n_conns; i++)
			ini_drop(&s->conn[i], "dropped by the target");
		s->conn[0].retry_at = mono_add_ms(s->now, p2 * 1000u);
		break;
	case 4: {       /* renegotiate: we have nothing else to say, and say that */
		static const char again[] = "InitiatorAlias=";

		ini_text(s, again, sizeof(again), mono_add_ms(s->now, (p3 ? p3 : 1) * 1000u));
		break;
	}
	default:        /* 0: SCSI; 5: all tasks of a LUN are over by another (they come back by their deadlines) */
		break;
	}
}

/* ---- dispatch ---- */

/* Does this PDU have a StatSN of its own (4.2.2.2)? Data-In is looked at by itself. */
static bool has_status(const uint8_t *bhs)
{
	switch (bhs_op(bhs)) {
	case PDU_SCSI_RESPONSE:
	case PDU_TASK_MGMT_RESPONSE:
	case PDU_TEXT_RESPONSE:
	case PDU_LOGOUT_RESPONSE:
	case PDU_REJECT:
	case PDU_ASYNC:
		return true;
	case PDU_NOP_IN:
		return bhs_itt(bhs) != TAG_NONE;
	default:
		return false;
	}
}

void ini_pdu_end(struct ini_conn *c, const uint8_t *bhs, bool damaged)
{
	struct ini_session *s = c->s;

	if (damaged) {
		s->digest_errors++;
		if (s->params.erl == 0) {
			ini_drop(c, "data digest error");
			return;
		}
		if (bhs_op(bhs) != PDU_DATA_IN) {
			if (has_status(bhs)) {
				uint32_t sn = get32(bhs + 24);

				if (sn_le(c->exp_statsn, sn))
					ini_snack(c, 1, TAG_NONE, TAG_NONE, NULL, sn, 1);
				if (sn_le(c->stat_snacked_to, sn))
					c->stat_snacked_to = sn + 1;
			}
			return;
		}
	}
	ini_window(s, bhs);
	if (has_status(bhs) && !stat_take(c, get32(bhs + 24)))
		return;
	switch (bhs_op(bhs)) {
	case PDU_DATA_IN:
		data_in(c, bhs, damaged);
		break;
	case PDU_SCSI_RESPONSE:
		scsi_response(c, bhs);
		break;
	case PDU_R2T:
		r2t(c, bhs);
		break;
	case PDU_NOP_IN:
		nop_in(c, bhs);
		break;
	case PDU_TASK_MGMT_RESPONSE:
		ini_tmf_end(s, bhs_itt(bhs), bhs[2]);
		break;
	case PDU_TEXT_RESPONSE:
		ini_text_end(c, bhs);
		break;
	case PDU_LOGOUT_RESPONSE:
		logout_response(c, bhs);
		break;
	case PDU_ASYNC:
		async(c, bhs);
		break;
	case PDU_REJECT:
		reject(c, bhs);
		break;
	default:
		ini_drop(c, "an opcode that is not a target's");
		return;
	}
	if (s->waiting)
		ini_dispatch(s);
}
