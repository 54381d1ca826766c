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

/* RFC 7143 8.3.1 and 8.3.4: the moves of an initiator's session, with the transition's number. */
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
	cmd->on_data = cmd->cut = cmd->exposed = cmd->sent = false;
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

/* ---- from a session to the next ---- */

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

/* There is no session any more: what may go on waits for the next one, the rest is over. How many may go again. */
unsigned ini_replay(struct ini_session *s)
{
	unsigned n = 0;

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
	return n;
}
