/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error recovery of the initiator (RFC 7143 section 7): what is asked for again on a connection (ERL 1), and what of a lost
 * connection goes on on another one, or on the same one made anew (ERL 2). Tasks of a lost connection are in limbo: the
 * target may have them, or may never have heard of them. ExpCmdSN, after the old connection is logged out, says which.
 */
#include <string.h>

#include "base/err.h"
#include "target/iscsi/ini.h"
#include "target/iscsi/sn.h"

#define ACK_MS 500                      /* a status is acknowledged after so long without another PDU of ours */
#define AGAIN_MS 100                    /* until a reassignment that was too early is asked for again */
#define FILL_INDEX 0xfd00u
#define RECOVER_INDEX 0xffc0u           /* Logout for recovery: + the failed connection's number */

void ini_snack(struct ini_conn *c, uint8_t type, uint32_t itt, uint32_t ttt, const uint8_t *lun, uint32_t begin, uint32_t run)
{
	struct ini_small *m = ini_put(c, PDU_SNACK, PDU_FINAL | type, itt, NULL, 0);

	if (lun)
		memcpy(m->bhs + 8, lun, 8);
	put32(m->bhs + 20, ttt);
	put32(m->bhs + 40, begin);
	put32(m->bhs + 44, run);
	c->s->snacks++;
}

/* ---- a connection is lost ---- */

void ini_limbo(struct ini_conn *c)
{
	struct ini_session *s = c->s;
	uint32_t retain = s->conf.recover_ms ? s->conf.recover_ms : s->params.time2retain * 1000u;

	for (unsigned i = 0; i < s->n_slots; i++) {
		struct ini_cmd *cmd = s->slots[i].cmd;

		if (s->slots[i].zombie && s->slots[i].conn == c) {
			ini_zombie_end(s, (uint32_t)s->slots[i].gen << 16 | i);
			continue;
		}
		if (!cmd || cmd->conn != c || cmd->state == ICMD_LIMBO)
			continue;
		if (cmd->state != ICMD_REASSIGNING)
			s->n_limbo++;
		cmd->state = ICMD_LIMBO;
		cmd->n_r2t = 0;
		cmd->answered = false;
	}
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].logout_via == c) {
			s->conn[i].logout_via = NULL;
			s->conn[i].cleaning = false;
		}
	c->failed = true;
	/* 13.15, 13.16 */
	s->limbo_wait = mono_add_ms(s->now, s->params.time2wait * 1000u);
	s->limbo_end = mono_add_ms(s->limbo_wait, retain);
	if (!s->n_up && s->state == INI_Q3_LOGGED_IN)
		ini_session_move(s, INI_Q4_FAILED);
}

/* ---- what was lost goes on ---- */

static void send_again(struct ini_conn *c, struct ini_cmd *cmd)
{
	struct ini_cmd **p = &c->out.todo;

	/* Commands of one connection go in the order of CmdSN (4.2.2.1), after one that is half sent. */
	while (*p && ((*p)->cut || sn_lt((*p)->cmdsn, cmd->cmdsn)))
		p = &(*p)->next;
	if (cmd->on_data)
		ini_out_forget(c, cmd);
	cmd->state = ICMD_QUEUED;
	cmd->cut = false;
	cmd->r2t_any = true;
	cmd->n_r2t = 0;
	cmd->next = *p;
	*p = cmd;
	if (!cmd->next)
		c->out.todo_tail = &cmd->next;
}

static bool reassign(struct ini_conn *c, struct ini_cmd *cmd)
{
	struct ini_session *s = c->s;
	struct ini_tmf *tmf = ini_tmf_own(s);

	if (!tmf)
		return false;
	tmf->function = TMF_TASK_REASSIGN;
	memcpy(tmf->lun, cmd->lun, 8);
	tmf->rtt = cmd->itt;
	tmf->ref_cmdsn = cmd->cmdsn;
	/* 11.5.6: what came after a missing Data-In is thrown away, and comes again. */
	tmf->exp_datasn = cmd->read ? cmd->exp_datasn : 0;
	cmd->seen_ahead = 0;
	cmd->snacked_to = cmd->exp_datasn;
	cmd->r2t_any = true;
	ini_tmf_send(s, tmf, c);
	return true;
}

/* The tasks of `from`, which the target has logged out, belong to `c` from now on. */
static void adopt(struct ini_conn *from, struct ini_conn *c)
{
	struct ini_session *s = c->s;

	from->failed = from->cleaning = false;
	from->logout_via = NULL;
	for (unsigned i = 0; i < s->n_slots; i++) {
		struct ini_cmd *cmd = s->slots[i].cmd;

		if (!cmd || cmd->state != ICMD_LIMBO || cmd->conn != from)
			continue;
		from->n_tasks--;
		c->n_tasks++;
		cmd->conn = c;
		if (sn_le(s->exp_cmdsn, cmd->cmdsn)) {
			/* 7.2.1: never received, as far as is known. A target that has it behind a gap will ignore it. */
			cmd->retried = cmd->exposed;
			s->n_limbo--;
			s->retried++;
			send_again(c, cmd);
		} else {
			cmd->retried = cmd->confirmed = false;
		}
	}
}

/* Tasks of a live connection that are still in limbo are ones to be reassigned; as many at a time as there is room for. */
static void reassign_some(struct ini_session *s)
{
	if (mono_before(s->now, s->reassign_at))
		return;
	for (unsigned i = 0; i < s->n_slots && s->n_limbo; i++) {
		struct ini_cmd *cmd = s->slots[i].cmd;

		if (!cmd || cmd->state != ICMD_LIMBO || cmd->conn->state != INI_S5_LOGGED_IN || cmd->conn->failed)
			continue;
		if (!reassign(cmd->conn, cmd))
			return;
		cmd->state = ICMD_REASSIGNING;
	}
}

/*
 * A CmdSN that nobody will send any more (its command was canceled) would hold up all later ones: something harmless takes
 * its place.
 */
static void fill_gaps(struct ini_session *s, struct ini_conn *c)
{
	for (uint32_t sn = s->exp_cmdsn; sn != s->cmdsn; sn++) {
		struct ini_small *m;
		bool there = false;

		for (unsigned i = 0; i < s->n_slots && !there; i++)
			there = s->slots[i].cmd && s->slots[i].cmd->cmdsn == sn;
		if (there)
			continue;
		m = ini_put(c, PDU_NOP_OUT, PDU_FINAL, (++c->ping_gen & 0xfff) << 16 | FILL_INDEX, NULL, 0);
		m->bhs[0] = PDU_NOP_OUT;
		put32(m->bhs + 24, sn);
	}
}

static void settled(struct ini_session *s)
{
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].failed)
			return;
	if (!s->n_limbo)
		s->limbo_wait = s->limbo_end = MONO_NEVER;
}

static void go_on(struct ini_conn *from, struct ini_conn *c)
{
	struct ini_session *s = c->s;
	unsigned before = from->n_tasks;

	adopt(from, c);
	fill_gaps(s, c);
	reassign_some(s);
	settled(s);
	ini_event(s, INI_EV_RECOVERED, before, 0, "");
}

/* `c` is logged in: with the CID of one that failed, that was its logout (7143 6.3.4, reinstatement). */
void ini_recover_on(struct ini_conn *c)
{
	if (c->s->params.erl >= 2 && c->failed)
		go_on(c, c);
}

/* 11.14, reason 2: on a connection that lives, for one that does not. */
static void clean(struct ini_session *s, struct ini_conn *failed)
{
	struct ini_conn *via = NULL;
	struct ini_small *m;

	/* Even if there is none to carry it now: one that is logging out is up, and carries nothing. */
	failed->clean_again = mono_add_ms(s->now, s->conf.command_retry_ms ? s->conf.command_retry_ms : 2000);
	for (unsigned i = 0; i < s->n_conns && !via; i++)
		if (s->conn[i].state == INI_S5_LOGGED_IN)
			via = &s->conn[i];
	if (!via)
		return;
	failed->cleaning = true;
	failed->logout_via = via;
	failed->logout_itt = (++via->ping_gen & 0xfff) << 16 | (RECOVER_INDEX + failed->index);
	m = ini_put(via, PDU_LOGOUT, PDU_FINAL | 2, failed->logout_itt, NULL, 0);
	put16(m->bhs + 20, failed->cid);
}

void ini_recovery_logout(struct ini_session *s, uint32_t itt, uint8_t response)
{
	for (unsigned i = 0; i < s->n_conns; i++) {
		struct ini_conn *f = &s->conn[i];

		if (!f->cleaning || f->logout_itt != itt)
			continue;
		/* 11.15.1: 0 done; 1 no such CID, so it is logged out already; else it cannot be saved. */
		if (response > 1) {
			ini_session_lost(s);
			return;
		}
		go_on(f, f->logout_via);
		/* Its CID is not used again: tasks that the target still counts to it would be taken for the new one's. */
		f->cid = (uint16_t)(s->n_conns + s->next_cid++);
		return;
	}
}

static void redo(struct ini_session *s, struct ini_cmd *cmd)
{
	if (!cmd->repeat) {
		ini_finish(s, cmd, ERR_IO);
		return;
	}
	s->replayed++;
	ini_requeue(s, cmd);
	ini_dispatch(s);
}

void ini_reassigned(struct ini_session *s, uint32_t itt, uint8_t response)
{
	struct ini_cmd *cmd = ini_find(s, itt);

	if (!cmd || (cmd->state != ICMD_REASSIGNING && !cmd->retried))
		return;
	/* Codes of another table: what is 0 here is 255 there, and 1 is 0. */
	if (s->conf.reassign_255)
		response = response == TMF_RSP_REJECTED ? TMF_RSP_COMPLETE : response == TMF_RSP_COMPLETE ? TMF_RSP_NO_TASK : response;
	if (response == TMF_RSP_TASK_ALLEGIANT && cmd->retried)
		response = TMF_RSP_COMPLETE;
	cmd->retried = false;
	switch (response) {
	case TMF_RSP_COMPLETE:
		if (cmd->state == ICMD_REASSIGNING) {
			s->n_limbo--;
			s->reassigned++;
			cmd->moved = true;
			cmd->state = ICMD_SENT;
		}
		break;
	case TMF_RSP_TASK_ALLEGIANT:
		/* To a connection that the target does not know to be lost: its logout is under way. */
		if (cmd->state == ICMD_REASSIGNING)
			cmd->state = ICMD_LIMBO;
		s->reassign_at = mono_add_ms(s->now, AGAIN_MS);
		break;
	case TMF_RSP_NO_TASK:
		/* Its status was lost with the connection, and the target has forgotten it; or it never was. */
		redo(s, cmd);
		break;
	default:
		ini_session_lost(s);
		return;
	}
	reassign_some(s);
	settled(s);
}

/* ---- time ---- */

/* ERL 1 and up: what the target did not acknowledge in time goes again (7.2.1); what it has of a retry is settled. */
static void retry(struct ini_session *s)
{
	for (unsigned i = 0; i < s->n_slots; i++) {
		struct ini_cmd *cmd = s->slots[i].cmd;

		if (!cmd || cmd->state != ICMD_SENT || !cmd->conn || cmd->conn->state != INI_S5_LOGGED_IN)
			continue;
		if (sn_lt(cmd->cmdsn, s->exp_cmdsn)) {
			if (cmd->retried && !cmd->confirmed && reassign(cmd->conn, cmd))
				cmd->confirmed = true;
		} else if (!cmd->wires && s->conf.command_retry_ms &&
			   mono_due(mono_add_ms(cmd->sent_at, s->conf.command_retry_ms), s->now)) {
			s->retried++;
			send_again(cmd->conn, cmd);
		}
	}
}

static void acknowledge(struct ini_conn *c)
{
	struct ini_session *s = c->s;

	if (c->state != INI_S5_LOGGED_IN || c->acked_statsn == c->exp_statsn) {
		c->ack_due = MONO_NEVER;
	} else if (c->ack_due.ns == MONO_NEVER.ns || !c->ack_due.ns) {
		c->ack_due = mono_add_ms(s->now, ACK_MS);
	} else if (mono_due(c->ack_due, s->now)) {
		ini_put(c, PDU_NOP_OUT, PDU_FINAL, TAG_NONE, NULL, 0);
		c->ack_due = MONO_NEVER;
		c->acked_statsn = c->exp_statsn;
	}
}

static void limbo_over(struct ini_session *s)
{
	struct ini_conn *via = NULL;

	if (!s->n_up) {
		ini_session_lost(s);
		return;
	}
	/* The session lives on; what no one could save of the lost connection is done anew, or sent if it never was. */
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].state == INI_S5_LOGGED_IN)
			via = &s->conn[i];
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].failed && via)
			adopt(&s->conn[i], via);
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->slots[i].cmd && s->slots[i].cmd->state == ICMD_LIMBO)
			redo(s, s->slots[i].cmd);
	if (via)
		fill_gaps(s, via);
	s->limbo_wait = s->limbo_end = MONO_NEVER;
}

struct mono ini_recover_tick(struct ini_session *s)
{
	struct mono wake = MONO_NEVER;

	if (!s->params.erl || !s->tsih)
		return wake;
	if (mono_due(s->limbo_end, s->now))
		limbo_over(s);
	if (s->n_up && mono_due(s->limbo_wait, s->now))
		for (unsigned i = 0; i < s->n_conns; i++)
			/* An immediate request whose header was damaged is not answered (7.7). */
			if (s->conn[i].failed && (!s->conn[i].cleaning || mono_due(s->conn[i].clean_again, s->now)))
				clean(s, &s->conn[i]);
	if (s->n_limbo && s->n_up)
		reassign_some(s);
	if (s->n_busy && s->n_up) {
		retry(s);
		wake = mono_add_ms(s->now, s->conf.command_retry_ms ? s->conf.command_retry_ms / 2 + 1 : 1000);
	}
	for (unsigned i = 0; i < s->n_conns; i++) {
		acknowledge(&s->conn[i]);
		wake = mono_min(wake, s->conn[i].ack_due.ns ? s->conn[i].ack_due : MONO_NEVER);
	}
	if (s->n_limbo && mono_before(s->now, s->reassign_at))
		wake = mono_min(wake, s->reassign_at);
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].cleaning && s->n_up)
			wake = mono_min(wake, mono_before(s->conn[i].clean_again, s->limbo_wait) ? s->limbo_wait : s->conn[i].clean_again);
	if (mono_before(s->now, s->limbo_wait))
		wake = mono_min(wake, s->limbo_wait);
	return mono_min(wake, s->limbo_end);
}
