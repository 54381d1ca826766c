/* SPDX-License-Identifier: Apache-2.0 */
/* Text exchanges of the initiator (RFC 7143 11.10, 11.11): SendTargets above all. */
#include "base/err.h"
#include "target/iscsi/ini.h"

#define TEXT_INDEX 0xffd0u

static void send(struct ini_session *s, const void *p, uint32_t len, const uint8_t *answer)
{
	struct ini_small *m = ini_put(s->text.conn, PDU_TEXT, PDU_FINAL, s->text.itt, p, len);

	if (answer) {
		memcpy(m->bhs + 8, answer + 8, 8);
		put32(m->bhs + 20, bhs_ttt(answer));
	}
}

int ini_text(struct ini_session *s, const void *pairs, size_t len, struct mono deadline)
{
	struct ini_conn *c = NULL;

	if (s->text.active)
		return ERR_BUSY;
	for (unsigned i = 0; i < s->n_conns && !c; i++)
		if (s->conn[i].state == INI_S5_LOGGED_IN)
			c = &s->conn[i];
	if (!c)
		return ERR_AGAIN;
	if (len > c->max_send)
		return ERR_LIMIT;
	buf_reset(&s->text.in);
	s->text.active = true;
	s->text.done = false;
	s->text.conn = c;
	s->text.deadline = deadline;
	s->text.itt = (++c->ping_gen & 0xfff) << 16 | TEXT_INDEX;
	send(s, pairs, (uint32_t)len, NULL);
	return 0;
}

void ini_text_fail(struct ini_session *s, int result)
{
	if (!s->text.active)
		return;
	s->text.active = false;
	s->text.done = true;
	s->text.result = result;
	s->text.deadline = MONO_NEVER;
}

void ini_text_end(struct ini_conn *c, const uint8_t *bhs)
{
	struct ini_session *s = c->s;

	if (!s->text.active || s->text.conn != c || bhs_itt(bhs) != s->text.itt)
		return;
	if (s->text.in.len + c->in.len > KEYS_TEXT_MAX * 16u) {
		ini_drop(c, "a text without end");
		return;
	}
	buf_put(&s->text.in, c->in.data.data, c->in.len);
	if (bhs[1] & PDU_FINAL) {
		ini_text_fail(s, 0);
		return;
	}
	/* 11.11.4: more is to come, for a request with the target's tag. */
	if (bhs_ttt(bhs) == TAG_NONE) {
		ini_drop(c, "a text response that is neither final nor goes on");
		return;
	}
	send(s, NULL, 0, bhs);
}
