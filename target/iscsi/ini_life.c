/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the initiator's session: connections that come and go, what that means for it, logout, and time. */
#include <string.h>

#include "base/err.h"
#include "target/iscsi/ini.h"

/* ---- connections come and go ---- */

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
	unsigned n;

	s->tsih = 0;
	for (unsigned i = 0; i < s->n_conns; i++) {
		struct ini_conn *c = &s->conn[i];

		c->failed = c->cleaning = false;
		ini_drop(c, "the session is over");
	}
	if (s->state != INI_Q1_FREE)
		ini_session_move(s, INI_Q1_FREE);
	s->limbo_wait = s->limbo_end = MONO_NEVER;
	n = ini_replay(s);
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
