/* SPDX-License-Identifier: Apache-2.0 */
/* The initiator's session: commands from the caller to a connection and back, and what remains of them without one. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "target/iscsi/chap.h"
#include "target/iscsi/ini.h"
#include "target/iscsi/sn.h"

#define NO_SLOT UINT32_MAX

/* RFC 7143 8.3.2: the moves of an initiator's session, with the transition's number. */
static const uint8_t moves[INI_SESSION_N_STATES][INI_SESSION_N_STATES] = {
	[INI_Q1_FREE] = { [INI_Q3_LOGGED_IN] = 1 },
	[INI_Q3_LOGGED_IN] = { [INI_Q1_FREE] = 3, [INI_Q4_FAILED] = 5 },
	[INI_Q4_FAILED] = { [INI_Q1_FREE] = 6, [INI_Q3_LOGGED_IN] = 4 },
};

void ini_session_move(struct ini_session *s, enum ini_session_state to)
{
	assert(moves[s->state][to]);
	s->state = to;
}

void ini_conf_default(struct ini_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	iscsi_params_default(&conf->offer);
	conf->offer.max_recv = 262144;
	conf->offer.max_burst = 1u << 20;
	conf->offer.first_burst = 262144;
	conf->offer.initial_r2t = 0;
	conf->offer.max_r2t = 8;
	conf->offer.time2wait = 0;
	conf->offer.time2retain = 60;
	conf->chap[0] = CHAP_SHA3_256;
	conf->chap[1] = CHAP_SHA256;
	conf->chap[2] = CHAP_SHA1;
	conf->chap[3] = CHAP_MD5;
	conf->n_chap = 4;
	conf->connections = 1;
	conf->depth = 128;
	conf->login_ms = 10000;
	conf->ping_ms = 5000;
	conf->retry_min_ms = 100;
	conf->retry_max_ms = 2000;
	conf->command_retry_ms = 2000;
}

static void conf_copy(struct ini_conf *to, const struct ini_conf *from)
{
	*to = *from;
	to->initiator = mem_strdup(from->initiator);
	to->alias = mem_strdup(from->alias);
	to->target = mem_strdup(from->target);
	to->user = mem_strdup(from->user);
	to->secret = mem_strdup(from->secret);
	to->target_user = mem_strdup(from->target_user);
	to->target_secret = mem_strdup(from->target_secret);
	for (unsigned i = 0; i < from->n_portals; i++)
		to->portals[i] = mem_strdup(from->portals[i]);
	to->offer.max_connections = from->connections;
}

static void secret_free(const char *s)
{
	char *p = (char *)s;

	if (p)
		memset(p, 0, strlen(p));
	__asm__ volatile("" : : "r"(p) : "memory");
	free(p);
}

static void conf_free(struct ini_conf *c)
{
	free((char *)c->initiator);
	free((char *)c->alias);
	free((char *)c->target);
	free((char *)c->user);
	secret_free(c->secret);
	free((char *)c->target_user);
	secret_free(c->target_secret);
	for (unsigned i = 0; i < c->n_portals; i++)
		free((char *)c->portals[i]);
}

struct ini_session *ini_session_new(const struct ini_conf *conf, struct mono now)
{
	struct ini_session *s = mem_zalloc(sizeof(*s));

	assert(conf->n_portals && conf->connections && conf->connections <= INI_CONN_MAX && conf->depth &&
	       conf->depth <= INI_DEPTH_MAX && conf->offer.max_r2t <= INI_R2T_MAX);
	conf_copy(&s->conf, conf);
	s->now = now;
	s->next_deadline = s->limbo_wait = s->limbo_end = s->text.deadline = MONO_NEVER;
	s->waiting_tail = &s->waiting;
	s->done_tail = &s->done;
	s->n_slots = conf->depth;
	s->slots = mem_zalloc(s->n_slots * sizeof(*s->slots));
	for (unsigned i = 0; i < s->n_slots; i++)
		s->slots[i].next_free = i + 1 < s->n_slots ? i + 1 : NO_SLOT;
	s->n_conns = conf->connections;
	s->conn = mem_zalloc(s->n_conns * sizeof(*s->conn));
	for (unsigned i = 0; i < s->n_conns; i++)
		ini_conn_init(&s->conn[i], s, i);
	return s;
}

void ini_session_free(struct ini_session **session)
{
	struct ini_session *s = *session;

	if (!s)
		return;
	for (unsigned i = 0; i < s->n_conns; i++)
		ini_conn_fini(&s->conn[i]);
	buf_fini(&s->text.in);
	buf_fini(&s->text.out);
	conf_free(&s->conf);
	free(s->conn);
	free(s->slots);
	free(s);
	*session = NULL;
}

/* ---- events ---- */

void ini_event(struct ini_session *s, enum ini_event_kind kind, uint32_t value, uint16_t status, const char *text)
{
	struct ini_event *e;

	/* A reader that sleeps misses the oldest. */
	if (s->n_events == INI_EVENTS) {
		s->event_first = (s->event_first + 1) % INI_EVENTS;
		s->n_events--;
	}
	e = &s->events[(s->event_first + s->n_events++) % INI_EVENTS];
	e->kind = kind;
	e->value = value;
	e->status = status;
	snprintf(e->text, sizeof(e->text), "%s", text ? text : "");
}

bool ini_next_event(struct ini_session *s, struct ini_event *ev)
{
	if (!s->n_events)
		return false;
	*ev = s->events[s->event_first];
	s->event_first = (s->event_first + 1) % INI_EVENTS;
	s->n_events--;
	return true;
}

/* ---- slots: a tag is its slot and how often that was used ---- */

static uint32_t itt_of(const struct ini_session *s, uint32_t slot)
{
	return (uint32_t)s->slots[slot].gen << 16 | slot;
}

static struct ini_slot *slot_of(struct ini_session *s, uint32_t itt)
{
	uint32_t i = itt & 0xffff;

	return i < s->n_slots && s->slots[i].gen == itt >> 16 ? &s->slots[i] : NULL;
}

struct ini_cmd *ini_find(struct ini_session *s, uint32_t itt)
{
	struct ini_slot *slot = slot_of(s, itt);

	return slot ? slot->cmd : NULL;
}

static void slot_free(struct ini_session *s, struct ini_slot *slot)
{
	slot->cmd = NULL;
	slot->zombie = false;
	slot->conn = NULL;
	slot->gen++;
	slot->next_free = s->free_slot;
	s->free_slot = (uint32_t)(slot - s->slots);
	s->n_busy--;
}

void ini_zombie_end(struct ini_session *s, uint32_t itt)
{
	struct ini_slot *slot = slot_of(s, itt);

	if (!slot || !slot->zombie)
		return;
	slot_free(s, slot);
	ini_dispatch(s);
}

/* ---- the window (4.2.2.1) ---- */

void ini_window(struct ini_session *s, const uint8_t *bhs)
{
	uint32_t exp = get32(bhs + 28), max = get32(bhs + 32);

	if (sn_lt(max, exp - 1))
		return;
	if (sn_lt(s->exp_cmdsn, exp) && sn_le(exp, s->cmdsn))
		s->exp_cmdsn = exp;
	if (sn_lt(s->max_cmdsn, max))
		s->max_cmdsn = max;
}

/* The connection with the least to do. */
static struct ini_conn *pick(struct ini_session *s)
{
	struct ini_conn *best = NULL;

	for (unsigned i = 0; i < s->n_conns; i++) {
		struct ini_conn *c = &s->conn[i];

		if (c->state == INI_S5_LOGGED_IN && (!best || c->n_tasks < best->n_tasks))
			best = c;
	}
	return best;
}

static void begin(struct ini_session *s, struct ini_cmd *cmd, struct ini_conn *c)
{
	uint32_t i = s->free_slot;
	struct ini_slot *slot = &s->slots[i];

	s->free_slot = slot->next_free;
	s->n_busy++;
	slot->cmd = cmd;
	cmd->itt = itt_of(s, i);
	cmd->cmdsn = s->cmdsn++;
	cmd->conn = c;
	cmd->state = ICMD_QUEUED;
	cmd->cut = cmd->exposed = cmd->answered = cmd->retried = cmd->confirmed = cmd->r2t_any = cmd->moved = false;
	cmd->exp_datasn = cmd->exp_r2tsn = cmd->seen_ahead = cmd->snacked_to = cmd->n_r2t = 0;
	cmd->got = cmd->in_seg = cmd->in_seg_at = 0;
	cmd->next = NULL;
	c->n_tasks++;
	*c->out.todo_tail = cmd;
	c->out.todo_tail = &cmd->next;
	s->commands++;
}

void ini_dispatch(struct ini_session *s)
{
	while (s->waiting && s->n_up && s->free_slot != NO_SLOT && sn_le(s->cmdsn, s->max_cmdsn)) {
		struct ini_conn *c = pick(s);
		struct ini_cmd *cmd = s->waiting;

		if (!c)
			return;
		s->waiting = cmd->next;
		if (!s->waiting)
			s->waiting_tail = &s->waiting;
		begin(s, cmd, c);
	}
}

void ini_submit(struct ini_session *s, struct ini_cmd *cmd)
{
	cmd->result = 0;
	cmd->status = cmd->response = 0;
	cmd->underflow = cmd->overflow = cmd->bidi_underflow = cmd->bidi_overflow = false;
	cmd->residual = cmd->bidi_residual = cmd->got = 0;
	cmd->sense_len = 0;
	cmd->wires = 0;
	cmd->on_data = cmd->aborting = cmd->cut = cmd->exposed = false;
	cmd->conn = NULL;
	cmd->state = ICMD_WAITING;
	cmd->next = NULL;
	*s->waiting_tail = cmd;
	s->waiting_tail = &cmd->next;
	s->next_deadline = mono_min(s->next_deadline, cmd->deadline);
	ini_dispatch(s);
}

/* ---- ends of commands ---- */

void ini_flush_done(struct ini_session *s, struct ini_cmd *cmd)
{
	if (cmd->state != ICMD_OVER || cmd->wires)
		return;
	cmd->state = ICMD_IDLE;
	cmd->next = NULL;
	*s->done_tail = cmd;
	s->done_tail = &cmd->next;
}

struct ini_cmd *ini_next_done(struct ini_session *s)
{
	struct ini_cmd *cmd = s->done;

	if (cmd) {
		s->done = cmd->next;
		if (!s->done)
			s->done_tail = &s->done;
	}
	return cmd;
}

static void unwait(struct ini_session *s, struct ini_cmd *cmd)
{
	struct ini_cmd **p = &s->waiting;

	while (*p != cmd)
		p = &(*p)->next;
	*p = cmd->next;
	if (!*p)
		s->waiting_tail = p;
}

/* It leaves its connection, which may be in the middle of its bytes. */
static void detach(struct ini_cmd *cmd)
{
	struct ini_conn *c = cmd->conn;

	if (!c)
		return;
	ini_out_forget(c, cmd);
	if (c->in.cmd == cmd)
		c->in.cmd = NULL;
	cmd->n_r2t = 0;
	c->n_tasks--;
	cmd->conn = NULL;
}

/* Nobody waits for an answer any more; `zombie`: the target may still give one. */
static void release(struct ini_session *s, struct ini_cmd *cmd, bool zombie)
{
	struct ini_slot *slot = slot_of(s, cmd->itt);

	if (cmd->state == ICMD_LIMBO || cmd->state == ICMD_REASSIGNING)
		s->n_limbo--;
	if (zombie) {
		slot->cmd = NULL;
		slot->zombie = true;
		slot->conn = cmd->conn;
	} else {
		slot_free(s, slot);
	}
	detach(cmd);
}

void ini_finish(struct ini_session *s, struct ini_cmd *cmd, int result)
{
	s->moved_done += cmd->moved && result == 0;
	release(s, cmd, false);
	cmd->result = result;
	cmd->state = ICMD_OVER;
	ini_flush_done(s, cmd);
	ini_dispatch(s);
}

/* The target may have it: tell it that we do not want it any more. */
static void abandon(struct ini_session *s, struct ini_cmd *cmd)
{
	struct ini_conn *c = cmd->conn;
	struct ini_tmf *tmf;

	/* Bytes of its memory are in the output, and it is going to be the caller's again: the connection is stuck. */
	if (cmd->wires) {
		ini_drop(c, "output stands still beyond a command's deadline");
		return;
	}
	tmf = c && c->state == INI_S5_LOGGED_IN && cmd->exposed ? ini_tmf_own(s) : NULL;
	if (!tmf)
		return;
	tmf->function = TMF_ABORT_TASK;
	memcpy(tmf->lun, cmd->lun, 8);
	tmf->rtt = cmd->itt;
	tmf->ref_cmdsn = cmd->cmdsn;
	ini_tmf_send(s, tmf, c);
}

void ini_cancel(struct ini_session *s, struct ini_cmd *cmd, int result)
{
	bool zombie;

	switch (cmd->state) {
	case ICMD_IDLE:
		return;
	case ICMD_OVER:
		/* Answered, but its memory is in the output of a connection that does not move. */
		cmd->result = result;
		for (unsigned i = 0; i < s->n_conns && cmd->wires; i++)
			if (s->conn[i].out.n)
				ini_drop(&s->conn[i], "output stands still beyond a command's deadline");
		return;
	case ICMD_WAITING:
		unwait(s, cmd);
		break;
	default:
		abandon(s, cmd);
		if (cmd->state == ICMD_WAITING) {
			unwait(s, cmd);
			break;
		}
		if (cmd->state == ICMD_OVER || cmd->state == ICMD_IDLE)
			return;
		/* A CmdSN that never leaves would be a gap for ever: the command PDU must go, and be answered. */
		if (cmd->state == ICMD_QUEUED && !cmd->cut && cmd->conn && cmd->conn->state != INI_S1_FREE) {
			ini_drop(cmd->conn, "a command is over before it could be sent");
			ini_cancel(s, cmd, result);
			return;
		}
		zombie = cmd->conn && cmd->conn->state != INI_S1_FREE;
		release(s, cmd, zombie);
	}
	cmd->result = result;
	cmd->state = ICMD_OVER;
	ini_flush_done(s, cmd);
	ini_dispatch(s);
}

void ini_cancel_all(struct ini_session *s, int result)
{
	while (s->waiting)
		ini_cancel(s, s->waiting, result);
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->slots[i].cmd)
			ini_cancel(s, s->slots[i].cmd, result);
	/* What was requeued by a connection that had to be dropped for it. */
	while (s->waiting)
		ini_cancel(s, s->waiting, result);
}

/* ---- connections come and go ---- */

void ini_requeue(struct ini_session *s, struct ini_cmd *cmd)
{
	struct ini_cmd **p = &s->waiting;

	release(s, cmd, false);
	cmd->state = ICMD_WAITING;
	/* Before what was never sent, and in the order of submission among themselves. */
	while (*p && (*p)->cut && sn_lt((*p)->cmdsn, cmd->cmdsn))
		p = &(*p)->next;
	cmd->next = *p;
	*p = cmd;
	if (!cmd->next)
		s->waiting_tail = &cmd->next;
	cmd->cut = true;                /* marks it for the loop above until it is begun again */
}

void ini_conn_up(struct ini_conn *c)
{
	struct ini_session *s = c->s;
	bool recovering = s->state == INI_Q4_FAILED;

	s->logins++;
	s->n_up++;
	c->redirect[0] = '\0';
	c->heard = s->now;
	if (s->state != INI_Q3_LOGGED_IN)
		ini_session_move(s, INI_Q3_LOGGED_IN);
	if (c->leading || recovering) {
		s->sessions += c->leading;
		ini_event(s, INI_EV_UP, c->cid, 0, c->address);
	}
	if (s->n_conns > 1)
		ini_event(s, INI_EV_CONN_UP, c->cid, 0, c->address);
	ini_recover_on(c);
	ini_dispatch(s);
}

/* The session is no more, at least for us: what may go on goes to the next one. */
void ini_session_lost(struct ini_session *s)
{
	unsigned n = 0;

	s->tsih = 0;
	for (unsigned i = 0; i < s->n_conns; i++) {
		struct ini_conn *c = &s->conn[i];

		c->failed = c->cleaning = false;
		ini_drop(c, "the session is over");
	}
	if (s->state != INI_Q1_FREE)
		ini_session_move(s, INI_Q1_FREE);
	s->limbo_wait = s->limbo_end = MONO_NEVER;
	for (unsigned i = 0; i < s->n_slots; i++) {
		struct ini_slot *slot = &s->slots[i];
		struct ini_cmd *cmd = slot->cmd;

		if (slot->zombie) {
			slot_free(s, slot);
		} else if (cmd && (cmd->repeat || !cmd->exposed)) {
			n += cmd->exposed;
			ini_requeue(s, cmd);
		} else if (cmd) {
			ini_finish(s, cmd, ERR_IO);
		}
	}
	ini_text_fail(s, ERR_UNREACHABLE);
	ini_tmf_conn_lost(s, NULL);
	s->replayed += n;
	if (n)
		ini_event(s, INI_EV_REPLAYED, n, 0, "");
}

static void backoff(struct ini_conn *c)
{
	struct ini_session *s = c->s;

	/* The first attempt after a loss is at once; then the next portal, and slower. */
	c->retry_at = mono_add_ms(s->now, c->backoff_ms);
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : s->conf.retry_min_ms;
	if (c->backoff_ms > s->conf.retry_max_ms)
		c->backoff_ms = s->conf.retry_max_ms;
}

void ini_conn_gone(struct ini_conn *c, enum ini_conn_state was)
{
	struct ini_session *s = c->s;
	bool logged_in = was == INI_S5_LOGGED_IN || was == INI_S6_IN_LOGOUT || was == INI_S7_LOGOUT_REQUESTED;
	bool planned = was == INI_S6_IN_LOGOUT;

	if (!logged_in) {
		c->redirect[0] = '\0';
		if (was == INI_S2_XPT_WAIT || was == INI_S4_IN_LOGIN) {
			if (was == INI_S2_XPT_WAIT)
				ini_event(s, INI_EV_FAILED, c->index, 0, c->why);
			s->portal++;
			backoff(c);
			/* At the first failure too: a portal that refuses is not hammered. */
			if (mono_due(c->retry_at, s->now))
				backoff(c);
		}
		return;
	}
	s->n_up--;
	s->losses++;
	backoff(c);
	if (s->n_conns > 1)
		ini_event(s, INI_EV_CONN_LOST, c->cid, 0, c->why);
	if (s->text.active && s->text.conn == c)
		ini_text_fail(s, ERR_UNREACHABLE);
	ini_tmf_conn_lost(s, c);
	if (!s->n_up)
		ini_event(s, INI_EV_DOWN, c->cid, 0, c->why);
	if (s->closing && s->n_up && !planned)
		return;
	if (s->params.erl >= 2 && s->tsih && !s->closing) {
		ini_limbo(c);
		return;
	}
	if (planned && c->logout_reason == 1 && s->n_up && !c->n_tasks)
		return;
	/* Time2Wait (13.15): not before it may the old session be ended by a new one. */
	if (!planned)
		c->retry_at = mono_add_ms(s->now, s->params.time2wait * 1000u);
	/* 7.1.4.4, session recovery: below ERL 2 nothing of a lost connection can be saved. */
	if (s->tsih)
		ini_session_lost(s);
	if (!planned && mono_before(s->conn[0].retry_at, c->retry_at))
		s->conn[0].retry_at = c->retry_at;
}

/* ---- logout ---- */

void ini_logout(struct ini_session *s, uint32_t ms)
{
	bool asked = false;

	s->closing = true;
	for (unsigned i = 0; i < s->n_conns; i++) {
		struct ini_conn *c = &s->conn[i];
		struct ini_small *m;

		/* 11.14.1: reason 0 ends the session with all of its connections; one of them asks. */
		if (asked && c->state == INI_S5_LOGGED_IN)
			continue;
		if ((c->state != INI_S5_LOGGED_IN && c->state != INI_S7_LOGOUT_REQUESTED) || !ms) {
			ini_drop(c, "closed");
			continue;
		}
		c->logout_itt = (++c->ping_gen & 0xfff) << 16 | 0xffe0u;
		c->logout_reason = 0;
		c->deadline = mono_add_ms(s->now, ms);
		m = ini_put(c, PDU_LOGOUT, PDU_FINAL, c->logout_itt, NULL, 0);
		put16(m->bhs + 20, c->cid);
		ini_conn_move(c, INI_S6_IN_LOGOUT);
		asked = true;
	}
}

bool ini_is_down(const struct ini_session *s)
{
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].state != INI_S1_FREE)
			return false;
	return true;
}

/* ---- time ---- */

static void ping(struct ini_conn *c)
{
	if (++c->ping_gen > 0xfff0)
		c->ping_gen = 1;
	ini_put(c, PDU_NOP_OUT, PDU_FINAL, c->ping_gen << 16 | (0xff00u + c->index), NULL, 0);
	c->pinged = true;
	c->pinged_at = c->s->now;
}

static struct mono conn_tick(struct ini_conn *c)
{
	struct ini_session *s = c->s;
	struct mono wake;

	if (c->state == INI_S1_FREE)
		return s->closing || c->ask != INI_ASK_NONE ? MONO_NEVER
		     : mono_before(s->now, c->retry_at)   ? c->retry_at
							  : MONO_NEVER;
	if (mono_due(c->deadline, s->now)) {
		ini_drop(c, c->state == INI_S2_XPT_WAIT   ? "no connection in time"
			    : c->state == INI_S4_IN_LOGIN ? "no login in time"
							  : "no logout in time");
		return s->now;
	}
	wake = c->deadline;
	if (c->heard_bytes != c->bytes_in) {
		c->heard_bytes = c->bytes_in;
		c->heard = s->now;
		c->pinged = false;
	}
	if (c->state == INI_S7_LOGOUT_REQUESTED) {
		if (c->n_tasks && mono_before(s->now, c->quiet_until))
			return mono_min(wake, c->quiet_until);
		ini_logout_own(c, s->conf.login_ms);
	}
	if (c->state != INI_S5_LOGGED_IN || !s->conf.ping_ms)
		return wake;
	if (c->pinged) {
		struct mono due = mono_add_ms(c->pinged_at, s->conf.ping_ms);

		if (mono_due(due, s->now)) {
			ini_drop(c, "no answer to NOP-Out");
			return s->now;
		}
		return mono_min(wake, due);
	}
	if (mono_due(mono_add_ms(c->heard, s->conf.ping_ms), s->now)) {
		ping(c);
		return mono_min(wake, mono_add_ms(s->now, s->conf.ping_ms));
	}
	return mono_min(wake, mono_add_ms(c->heard, s->conf.ping_ms));
}

/* One command whose deadline has passed; NULL: none. Ending it may move any other. */
static struct ini_cmd *expired(struct ini_session *s)
{
	for (struct ini_cmd *cmd = s->waiting; cmd; cmd = cmd->next)
		if (mono_due(cmd->deadline, s->now))
			return cmd;
	for (unsigned i = 0; i < s->n_slots; i++)
		if (s->slots[i].cmd && mono_due(s->slots[i].cmd->deadline, s->now))
			return s->slots[i].cmd;
	return NULL;
}

static void expire(struct ini_session *s)
{
	struct mono next = MONO_NEVER;
	struct ini_cmd *cmd;

	while ((cmd = expired(s)))
		ini_cancel(s, cmd, ERR_TIMEOUT);
	for (cmd = s->waiting; cmd; cmd = cmd->next)
		next = mono_min(next, cmd->deadline);
	for (unsigned i = 0; i < s->n_slots; i++)
		if ((cmd = s->slots[i].cmd))
			next = mono_min(next, cmd->deadline);
	s->next_deadline = next;
}

struct mono ini_tick(struct ini_session *s, struct mono now)
{
	struct mono wake;

	s->now = now;
	if (mono_due(s->next_deadline, now))
		expire(s);
	ini_tmf_tick(s);
	if (s->text.active && mono_due(s->text.deadline, now))
		ini_text_fail(s, ERR_TIMEOUT);
	wake = ini_recover_tick(s);
	for (unsigned i = 0; i < s->n_conns; i++)
		wake = mono_min(wake, conn_tick(&s->conn[i]));
	wake = mono_min(wake, s->next_deadline);
	if (s->text.active)
		wake = mono_min(wake, s->text.deadline);
	for (struct ini_tmf *t = s->tmfs; t; t = t->next)
		wake = mono_min(wake, t->deadline);
	return wake;
}
