/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of the initiator: its states, its login, its input as bytes. What PDUs mean is in ini_pdu.c. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "target/iscsi/ini.h"
#include "target/iscsi/ini_login.h"
#include "target/iscsi/sn.h"

#define HOPS_MAX 8                      /* redirections in a row */
#define LOGIN_DATA_MAX 65536

/*
 * RFC 7143 8.1.2 and 8.1.3: the moves of an initiator's connection, with the transition's number. What stays of one in S8 is
 * ini_recover.c's.
 */
static const uint8_t moves[INI_CONN_N_STATES][INI_CONN_N_STATES] = {
	[INI_S1_FREE] = { [INI_S2_XPT_WAIT] = 1 },
	[INI_S2_XPT_WAIT] = { [INI_S1_FREE] = 2, [INI_S4_IN_LOGIN] = 4 },
	[INI_S4_IN_LOGIN] = { [INI_S1_FREE] = 7, [INI_S5_LOGGED_IN] = 5 },
	[INI_S5_LOGGED_IN] = { [INI_S1_FREE] = 8,
		[INI_S6_IN_LOGOUT] = 9,
		[INI_S7_LOGOUT_REQUESTED] = 11,
		[INI_S8_CLEANUP_WAIT] = 15 },
	[INI_S6_IN_LOGOUT] = { [INI_S1_FREE] = 13,
		[INI_S6_IN_LOGOUT] = 14,
		[INI_S8_CLEANUP_WAIT] = 17 },
	[INI_S7_LOGOUT_REQUESTED] = { [INI_S1_FREE] = 18,
		[INI_S6_IN_LOGOUT] = 10,
		[INI_S7_LOGOUT_REQUESTED] = 12,
		[INI_S8_CLEANUP_WAIT] = 16 },
	[INI_S8_CLEANUP_WAIT] = { [INI_S1_FREE] = 1 },          /* M1 of 8.2.2 */
};

void ini_conn_move(struct ini_conn *c, enum ini_conn_state to)
{
	assert(moves[c->state][to]);
	c->state = to;
}

void ini_conn_init(struct ini_conn *c, struct ini_session *s, unsigned index)
{
	memset(c, 0, sizeof(*c));
	c->s = s;
	c->index = index;
	c->cid = (uint16_t)index;
	c->deadline = MONO_NEVER;
	ini_out_init(c);
}

static void login_drop(struct ini_conn *c)
{
	if (!c->login)
		return;
	ini_login_fini(c->login);
	free(c->login);
	c->login = NULL;
}

void ini_conn_fini(struct ini_conn *c)
{
	login_drop(c);
	ini_out_clear(c);
	buf_fini(&c->in.data);
}

static bool has_transport(const struct ini_conn *c)
{
	return c->state >= INI_S2_XPT_WAIT && c->state <= INI_S7_LOGOUT_REQUESTED;
}

/* ---- ends ---- */

static void end(struct ini_conn *c, const char *why)
{
	enum ini_conn_state was = c->state;

	snprintf(c->why, sizeof(c->why), "%s", why ? why : "");
	login_drop(c);
	ini_out_clear(c);
	c->in.have = 0;
	c->in.in_data = false;
	c->in.cmd = NULL;
	c->in.keep = false;
	c->header_digest = c->data_digest = false;
	c->deadline = MONO_NEVER;
	c->pinged = false;
	ini_conn_move(c, INI_S1_FREE);
	ini_conn_gone(c, was);
}

void ini_drop(struct ini_conn *c, const char *why)
{
	if (!has_transport(c))
		return;
	c->ask = INI_ASK_CLOSE;
	end(c, why);
}

void ini_lost(struct ini_conn *c, const char *why)
{
	if (c->ask == INI_ASK_CLOSE) {
		c->ask = INI_ASK_NONE;
		return;
	}
	if (has_transport(c))
		end(c, why);
}

void ini_closed(struct ini_conn *c)
{
	c->ask = INI_ASK_NONE;
}

/* ---- beginnings ---- */

/* Which connection may be made now: the leading one, one more of a session, or one to be reinstated. */
static bool may_connect(const struct ini_conn *c)
{
	const struct ini_session *s = c->s;

	if (s->closing || c->state != INI_S1_FREE || mono_before(s->now, c->retry_at))
		return false;
	if (!s->tsih)
		return c->index == 0;
	if (s->n_up)
		return !c->failed && !c->cleaning && c->index < s->params.max_connections;
	/* ERL 2 without any connection: the first one that failed is reinstated, the others follow by it. */
	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conn[i].failed)
			return c == &s->conn[i] && mono_due(s->limbo_wait, s->now);
	return false;
}

enum ini_ask ini_conn_ask(struct ini_conn *c)
{
	struct ini_session *s = c->s;

	if (c->ask == INI_ASK_NONE && may_connect(c)) {
		if (c->redirect[0])
			snprintf(c->address, sizeof(c->address), "%s", c->redirect);
		else
			snprintf(c->address, sizeof(c->address), "%s", s->conf.portals[(s->portal + c->index) % s->conf.n_portals]);
		return INI_ASK_CONNECT;
	}
	return c->ask;
}

void ini_connecting(struct ini_conn *c)
{
	ini_conn_move(c, INI_S2_XPT_WAIT);
	c->deadline = mono_add_ms(c->s->now, c->s->conf.login_ms);
	c->attempts++;
}

static void login_send(struct ini_conn *c)
{
	struct ini_session *s = c->s;
	struct ini_login *l = c->login;
	uint8_t flags = (uint8_t)(l->stage << 2);
	struct ini_small *m;

	if (l->transit)
		flags |= LOGIN_TRANSIT | (uint8_t)l->next_stage;
	m = ini_put(c, PDU_LOGIN, flags, 1u + c->index, l->text.data, (uint32_t)l->text.len);
	memcpy(m->bhs + 8, s->conf.isid, 6);
	put16(m->bhs + 14, s->tsih);
	put16(m->bhs + 20, c->cid);
	put16(m->bhs + 22, 0);
}

void ini_connected(struct ini_conn *c, const uint8_t random[CHAP_HASH_MAX + 1])
{
	struct ini_session *s = c->s;
	struct iscsi_params defaults;

	/* The session gave it up meanwhile, and it is to be closed. */
	if (c->state != INI_S2_XPT_WAIT)
		return;
	ini_conn_move(c, INI_S4_IN_LOGIN);
	iscsi_params_default(&defaults);
	c->leading = !s->tsih;
	if (c->leading) {
		s->cmdsn = s->exp_cmdsn = 1;
		s->max_cmdsn = 0;
	}
	c->exp_statsn = 0;
	c->stat_ahead = 0;
	memset(c->stat_seen, 0, sizeof(c->stat_seen));
	c->login = mem_alloc(sizeof(*c->login));
	ini_login_init(c->login, &s->conf, c->leading, c->leading ? &defaults : &s->params, random);
	c->heard = s->now;
	login_send(c);
}

static void moved(struct ini_conn *c)
{
	char to[INI_ADDRESS_MAX];

	snprintf(to, sizeof(to), "%s", c->login->address);
	if (++c->hops > HOPS_MAX) {
		c->hops = 0;
		ini_drop(c, "redirected in a circle");
		return;
	}
	ini_event(c->s, INI_EV_MOVED, 0, c->login->status, to);
	ini_drop(c, "redirected");
	snprintf(c->redirect, sizeof(c->redirect), "%s", to);
	c->retry_at = c->s->now;
}

static void login_done(struct ini_conn *c)
{
	struct ini_session *s = c->s;
	struct ini_login *l = c->login;

	if (c->leading) {
		if (!l->tsih && s->conf.target) {
			ini_drop(c, "a login without a session handle");
			return;
		}
		s->tsih = l->tsih ? l->tsih : 1;
		s->params = l->params;
	}
	/* Only the last response speaks for the session: before it, a target need not have looked for it. */
	ini_window(s, c->in.header);
	c->max_send = l->params.max_send;
	c->header_digest = l->params.header_digest == DIGEST_CRC32C;
	c->data_digest = l->params.data_digest == DIGEST_CRC32C;
	c->deadline = MONO_NEVER;
	c->hops = 0;
	c->attempts = 0;
	c->backoff_ms = 0;
	login_drop(c);
	ini_conn_move(c, INI_S5_LOGGED_IN);
	ini_conn_up(c);
}

static void login_pdu(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;
	uint16_t status = get16(bhs + 36);

	if (bhs_op(bhs) != PDU_LOGIN_RESPONSE) {
		ini_drop(c, "something else than a Login Response");
		return;
	}
	if (status == LOGIN_OK) {
		/* 11.13.3: the first response sets StatSN. */
		c->exp_statsn = get32(bhs + 24) + 1;
	}
	switch (ini_login_response(c->login, bhs, c->in.len ? c->in.data.data : NULL, c->in.len)) {
	case INI_LOGIN_SEND:
		login_send(c);
		break;
	case INI_LOGIN_DONE:
		login_done(c);
		break;
	case INI_LOGIN_MOVED:
		moved(c);
		break;
	case INI_LOGIN_REFUSED:
		ini_event(s, INI_EV_REFUSED, c->index, status, "");
		/* 11.13.5: the session that we wanted to go on with is gone. */
		if (s->tsih && status >> 8 == 2 && !s->n_up) {
			ini_drop(c, "login refused");
			ini_session_lost(s);
			break;
		}
		ini_drop(c, "login refused");
		break;
	case INI_LOGIN_BROKEN:
		ini_event(s, INI_EV_FAILED, c->index, 0, c->login->why);
		ini_drop(c, c->login->why);
		break;
	}
}

/* ---- input ---- */

static bool reading(const struct ini_conn *c)
{
	return c->state >= INI_S4_IN_LOGIN && c->state <= INI_S7_LOGOUT_REQUESTED;
}

static uint32_t header_need(const struct ini_conn *c)
{
	if (c->in.have < BHS_LEN)
		return BHS_LEN;
	return BHS_LEN + bhs_ahs_len(c->in.header) + (c->header_digest ? DIGEST_LEN : 0);
}

/* Where the byte at `offset` of the data-in of `cmd` goes, and how many after it are in one piece. */
static uint32_t cmd_place(struct ini_cmd *cmd, uint32_t offset, uint8_t **p)
{
	if (offset < cmd->in_seg_at) {
		cmd->in_seg = 0;
		cmd->in_seg_at = 0;
	}
	while (offset - cmd->in_seg_at >= cmd->in[cmd->in_seg].len) {
		cmd->in_seg_at += (uint32_t)cmd->in[cmd->in_seg].len;
		cmd->in_seg++;
	}
	offset -= cmd->in_seg_at;
	*p = (uint8_t *)cmd->in[cmd->in_seg].base + offset;
	return (uint32_t)cmd->in[cmd->in_seg].len - offset;
}

/* Where the next bytes of the data segment go, and how many of them; NULL: nowhere. */
static uint32_t place(struct ini_conn *c, uint8_t **p)
{
	uint32_t left = c->in.len - c->in.got, n = left;

	*p = NULL;
	if (c->in.cmd)
		n = cmd_place(c->in.cmd, c->in.offset + c->in.got, p);
	else if (c->in.keep)
		*p = c->in.data.data + c->in.got;
	return n < left ? n : left;
}

static void pdu_done(struct ini_conn *c, bool damaged)
{
	c->in.in_data = false;
	c->in.have = 0;
	if (c->state == INI_S4_IN_LOGIN)
		login_pdu(c, c->in.header);
	else
		ini_pdu_end(c, c->in.header, damaged);
	c->in.cmd = NULL;
	c->in.keep = false;
}

static void data_done(struct ini_conn *c)
{
	uint32_t pad = pdu_pad(c->in.len);
	bool damaged = false;

	if (c->data_digest && (c->in.cmd || c->in.keep))
		damaged = crc32c(c->in.crc, c->in.tail, pad) != get_digest(c->in.tail + pad);
	pdu_done(c, damaged);
}

static void header_done(struct ini_conn *c, uint32_t len)
{
	const uint8_t *bhs = c->in.header;
	bool login = c->state == INI_S4_IN_LOGIN;

	/* 7.7: after a damaged header nobody knows where the next PDU begins. */
	if (c->header_digest && crc32c(0, bhs, len - DIGEST_LEN) != get_digest(bhs + len - DIGEST_LEN)) {
		c->s->digest_errors++;
		ini_drop(c, "header digest error");
		return;
	}
	c->in.len = bhs_data_len(bhs);
	c->in.got = c->in.tail_have = c->in.crc = 0;
	c->in.trailer = c->in.len ? pdu_pad(c->in.len) + (c->data_digest ? DIGEST_LEN : 0) : 0;
	if (c->in.len > (login ? LOGIN_DATA_MAX : c->s->conf.offer.max_recv)) {
		ini_drop(c, "a data segment that is longer than MaxRecvDataSegmentLength");
		return;
	}
	if (!login && bhs_op(bhs) == PDU_DATA_IN)
		ini_pdu_begin(c, bhs);
	else if (c->in.len) {
		buf_reset(&c->in.data);
		buf_room(&c->in.data, c->in.len + 1u);
		buf_add(&c->in.data, c->in.len);
		c->in.keep = true;
	}
	if (!reading(c))
		return;
	c->in.in_data = true;
	if (c->in.len == 0)
		pdu_done(c, false);
}

static uint32_t least(uint32_t a, size_t b)
{
	return b < a ? (uint32_t)b : a;
}

void ini_feed(struct ini_conn *c, const uint8_t *p, size_t n)
{
	const uint8_t *end_of = p + n;

	c->bytes_in += n;
	while (p < end_of && reading(c)) {
		size_t left = (size_t)(end_of - p);
		uint32_t k, need;
		uint8_t *to;

		if (!c->in.in_data) {
			need = header_need(c);
			k = least(need - c->in.have, left);
			memcpy(c->in.header + c->in.have, p, k);
			c->in.have += k;
			p += k;
			if (c->in.have == need && header_need(c) == need)
				header_done(c, need);
		} else if (c->in.got < c->in.len) {
			k = least(place(c, &to), left);
			if (to) {
				memcpy(to, p, k);
				if (c->data_digest)
					c->in.crc = crc32c(c->in.crc, to, k);
			}
			p += k;
			c->in.got += k;
			if (c->in.got == c->in.len && c->in.trailer == 0)
				data_done(c);
		} else {
			k = least(c->in.trailer - c->in.tail_have, left);
			memcpy(c->in.tail + c->in.tail_have, p, k);
			p += k;
			c->in.tail_have += k;
			if (c->in.tail_have == c->in.trailer)
				data_done(c);
		}
	}
}

uint32_t ini_want(struct ini_conn *c, void **p)
{
	uint8_t *to;
	uint32_t n;

	if (!c->in.in_data || c->in.got == c->in.len)
		return 0;
	n = place(c, &to);
	*p = to;
	return to ? n : 0;
}

void ini_got(struct ini_conn *c, uint32_t n)
{
	uint8_t *to;

	assert(c->in.in_data && n <= c->in.len - c->in.got);
	if (n && c->data_digest) {
		place(c, &to);
		c->in.crc = crc32c(c->in.crc, to, n);
	}
	c->bytes_in += n;
	c->in.got += n;
	if (n && c->in.got == c->in.len && c->in.trailer == 0)
		data_done(c);
}
