/* SPDX-License-Identifier: Apache-2.0 */
/* Logout (RFC 7143 11.14): of the session, of one connection, or of a lost connection so that its tasks can go on. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"

enum logout_reason { LOGOUT_SESSION, LOGOUT_CONNECTION, LOGOUT_RECOVERY };
enum logout_response { LOGOUT_CLOSED, LOGOUT_NO_CID, LOGOUT_NO_RECOVERY, LOGOUT_CLEANUP_FAILED };

static void respond(struct iscsi_conn *c, uint32_t itt, enum logout_response response, bool recovery)
{
	uint8_t *r = conn_put(c, PDU_LOGOUT_RESPONSE, PDU_FINAL, itt, NULL, 0);

	r[2] = (uint8_t)response;
	put16(r + 40, (uint16_t)c->session->params.time2wait);
	put16(r + 42, recovery ? (uint16_t)c->session->params.time2retain : 0);
}

void logout_finish(struct iscsi_conn *c, const struct iscsi_tmf *tmf)
{
	respond(c, tmf->itt, LOGOUT_CLOSED, tmf->recovery);
	if (c->state == CONN_S6_IN_LOGOUT) {
		c->closing = CLOSING_FLUSH;
		c->why = "logout";
	}
}

/* Another connection of the session is taken out of it. */
static void other_out(struct iscsi_conn *other, bool recovery)
{
	conn_leave(other, recovery);
	conn_close(other, "logged out by another connection");
}

static void all_others_out(struct iscsi_session *s, const struct iscsi_conn *c)
{
	for (struct iscsi_conn *o = s->conns, *next; o; o = next) {
		next = o->next;
		if (o != c)
			other_out(o, false);
	}
	while (s->lost)
		session_lost_drop(s, s->lost);
}

static void close_session(struct iscsi_conn *c, struct iscsi_tmf *wait)
{
	struct iscsi_session *s = c->session;

	conn_move(c, CONN_S6_IN_LOGOUT);                        /* T9, T10 */
	s->closing = true;
	session_abort(s, NULL, TAG_NONE, wait);
	all_others_out(s, c);
}

static enum logout_response close_connection(struct iscsi_conn *c, uint16_t cid, struct iscsi_tmf *wait)
{
	struct iscsi_session *s = c->session;
	struct iscsi_conn *other = session_conn(s, cid);
	struct iscsi_lost *lost = session_lost_find(s, cid);

	if (!other && !lost)
		return LOGOUT_NO_CID;
	if (other)
		session_abort_choice(s, &(struct task_choice){ .itt = TAG_NONE, .conn = other }, wait);
	if (other == c)
		conn_move(c, CONN_S6_IN_LOGOUT);
	else if (other)
		other_out(other, false);
	if (lost) {
		lost_out(s, lost);                              /* M2, M4 */
		session_lost_drop(s, lost);
	}
	return LOGOUT_CLOSED;
}

static enum logout_response recover(struct iscsi_conn *c, uint16_t cid)
{
	struct iscsi_session *s = c->session;
	struct iscsi_conn *other = session_conn(s, cid);
	struct iscsi_lost *lost;

	if (!conn_erl(c, 2))
		return LOGOUT_NO_RECOVERY;
	if (other == c) {
		c->recover = true;
		conn_move(c, CONN_S6_IN_LOGOUT);
		return LOGOUT_CLOSED;
	}
	if (other)
		other_out(other, true);
	if (!(lost = session_lost_find(s, cid)))
		return LOGOUT_NO_CID;
	lost_out(s, lost);
	return LOGOUT_CLOSED;
}

void logout_request(struct iscsi_conn *c, const uint8_t *bhs)
{
	enum logout_reason reason = (enum logout_reason)(bhs[1] & 0x7f);
	enum logout_response response = LOGOUT_CLOSED;
	struct iscsi_tmf *wait;

	if (reason > LOGOUT_RECOVERY) {
		conn_reject(c, bhs, REJECT_INVALID_FIELD);
		return;
	}
	wait = mem_zalloc(sizeof(*wait));
	wait->conn = c;
	wait->itt = bhs_itt(bhs);
	wait->logout = true;
	wait->recovery = reason == LOGOUT_RECOVERY;
	if (reason == LOGOUT_SESSION)
		close_session(c, wait);
	else if (reason == LOGOUT_CONNECTION)
		response = close_connection(c, get16(bhs + 20), wait);
	else
		response = recover(c, get16(bhs + 20));
	if (response == LOGOUT_CLOSED) {
		tmf_wait(c->session, wait);
		return;
	}
	respond(c, bhs_itt(bhs), response, false);
	free(wait);
}
