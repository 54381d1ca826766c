/* SPDX-License-Identifier: Apache-2.0 */
/* Text requests (RFC 7143 11.10): SendTargets, and negotiation in the full feature phase. */
#include <string.h>

#include "base/err.h"
#include "target/iscsi/conn.h"

#define TEXT_TTT 1u             /* of the one text exchange that may be open on a connection */

static void text_reset(struct iscsi_conn *c)
{
	buf_fini(&c->text_in);
	buf_fini(&c->text_out);
	c->text_at = 0;
	c->text_ttt = TAG_NONE;
}

/*
 * The next part of the answer; with the C bit while more is left (11.11.2). It is the last one if the initiator is at its end
 * too: F in answer to a request without F is an error (11.11.1).
 */
void text_answer(struct iscsi_conn *c, const uint8_t *bhs)
{
	size_t left = c->text_out.len - c->text_at;
	uint32_t max = c->params.max_send, len = (uint32_t)(left < max ? left : max);
	bool more = len < left, final = !more && bhs[1] & PDU_FINAL;
	const uint8_t *p = len ? c->text_out.data + c->text_at : NULL;
	uint8_t *r = conn_put(c, PDU_TEXT_RESPONSE, more ? LOGIN_CONTINUE : final ? PDU_FINAL : 0, bhs_itt(bhs), p, len);

	memcpy(r + 8, bhs + 8, 8);
	put32(r + 20, final ? TAG_NONE : TEXT_TTT);
	c->text_at += len;
	if (!more)
		text_reset(c);
	c->text_ttt = final ? TAG_NONE : TEXT_TTT;
}

/* Ask the initiator for the rest: an empty response with a tag. */
static void go_on(struct iscsi_conn *c, const uint8_t *bhs)
{
	uint8_t *r = conn_put(c, PDU_TEXT_RESPONSE, 0, bhs_itt(bhs), NULL, 0);

	memcpy(r + 8, bhs + 8, 8);
	put32(r + 20, TEXT_TTT);
	c->text_ttt = TEXT_TTT;
}

/* Every pair of the request; SendTargets is given back in *names. ERR_* ends the exchange. */
static int negotiate(struct iscsi_conn *c, const char **names)
{
	struct iscsi_params ours = c->params;
	struct keys_negotiation n = { .ours = &ours, .result = &c->params,
		.discovery = c->session->discovery, .leading = false, .seen = c->text_seen };
	struct key_pair pair;
	size_t at = 0;
	unsigned count = 0;
	int r;

	*names = NULL;
	while ((r = keys_next((const char *)c->text_in.data, c->text_in.len, &at, &pair)) == 1) {
		if (++count > 256 || keys_negotiate(&n, KEY_FULL, &pair, &c->text_out) != 0)
			return ERR_INVAL;
		if (key_is(&pair, "SendTargets"))
			*names = pair.value;
	}
	c->text_seen = n.seen;
	/* Appendix C: all targets are for discovery sessions to ask for, "the one of this session" for the others. */
	if (*names && c->session->discovery ? !**names : *names && strcmp(*names, "All") == 0) {
		keys_put(&c->text_out, "SendTargets", "Reject");
		*names = NULL;
	}
	return r;
}

void text_request(struct iscsi_conn *c, const uint8_t *bhs)
{
	const char *names;
	bool first = bhs_ttt(bhs) == TAG_NONE;

	/* 11.10.4: a tag of none begins a new exchange and ends an open one. */
	if (first) {
		text_reset(c);
		c->text_seen = 0;
	} else if (bhs_ttt(bhs) != c->text_ttt) {
		conn_reject(c, bhs, REJECT_INVALID_FIELD);
		return;
	}
	if (bhs[1] & LOGIN_CONTINUE && bhs[1] & PDU_FINAL) {
		text_reset(c);
		conn_reject(c, bhs, REJECT_PROTOCOL);   /* at its end, and not (11.10.2) */
		return;
	}
	if (c->text_at < c->text_out.len) {
		text_answer(c, bhs);
		return;
	}
	if (c->text_in.len + c->in.len > CONN_TEXT_MAX) {
		conn_close(c, "text longer than the limit");
		return;
	}
	if (c->in.len)
		buf_put(&c->text_in, c->in.data.data, c->in.len);
	if (bhs[1] & LOGIN_CONTINUE) {
		go_on(c, bhs);
		return;
	}
	c->text_ttt = TAG_NONE;
	if (negotiate(c, &names) != 0) {
		text_reset(c);
		conn_reject(c, bhs, REJECT_PROTOCOL);
		return;
	}
	if (names) {
		c->ask = ASK_TARGETS;
		c->ask_text = names;
		return;
	}
	text_answer(c, bhs);
}
