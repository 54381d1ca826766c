/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response fences (RFC 7143 4.2.2.3): on a session with several connections, everything that was sent before is
 * acknowledged on all of them before the fenced response leaves, and that one before anything later. One connection
 * alone needs none: its StatSN is order enough.
 *
 * A fence is a mark in the output of every connection. The output stops there; when all have stopped with nothing
 * unacknowledged the response goes, and when that is acknowledged all marks are passed.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"
#include "target/iscsi/sn.h"

struct iscsi_fence {
	struct iscsi_fence *next;
	uint32_t id;
	struct iscsi_conn *conn;        /* of the response; NULL: there is none, the fence is only for what comes later */
	bool sent;
};

static void mark(struct iscsi_conn *c, enum iscsi_out_kind kind, uint32_t id)
{
	struct iscsi_out *o = mem_zalloc(sizeof(*o));

	o->kind = (uint8_t)kind;
	o->statsn = id;
	conn_enqueue(c, o);
}

bool fence_begin(struct iscsi_session *s, struct iscsi_conn *c)
{
	struct iscsi_fence *f, **p = &s->fences;

	if (s->n_conns < 2 || s->params.task_reporting < REPORTING_RESPONSE_FENCE)
		return false;
	f = mem_zalloc(sizeof(*f));
	f->id = s->next_fence++;
	f->conn = c;
	while (*p)
		p = &(*p)->next;
	*p = f;
	for (struct iscsi_conn *k = s->conns; k; k = k->next)
		mark(k, OUT_FENCE, f->id);
	return true;
}

void fence_end(struct iscsi_conn *c)
{
	mark(c, OUT_FENCE_END, c->session->next_fence - 1);
}

void fence_forget(struct iscsi_session *s, const struct iscsi_conn *c)
{
	for (struct iscsi_fence **p = &s->fences, *f; (f = *p); )
		if (!c || f->conn == c) {
			*p = f->next;
			free(f);
		} else {
			p = &f->next;
		}
}

/* All that it was sent is acknowledged; else the initiator is asked, once, for its ExpStatSN. */
static bool quiet(struct iscsi_conn *c)
{
	if (c->acked == c->statsn)
		return c->n_wire == 0;
	if (c->fence_asked != c->statsn) {
		c->fence_asked = c->statsn;
		conn_ping_first(c);
	}
	return false;
}

static bool stopped_at(const struct iscsi_conn *c, uint32_t id)
{
	return c->out && c->out->kind == OUT_FENCE && c->out->statsn == id && c->acked == c->statsn && c->n_wire == 0;
}

static bool all_stopped(const struct iscsi_session *s, uint32_t id)
{
	for (const struct iscsi_conn *c = s->conns; c; c = c->next)
		/* One that joined later has no mark. */
		if (!sn_lt(id, c->fence_from) && !stopped_at(c, id))
			return false;
	return true;
}

bool fence_passes(struct iscsi_conn *c, const struct iscsi_out *o)
{
	struct iscsi_session *s = c->session;
	struct iscsi_fence *f = s->fences;

	if (!f || sn_lt(o->statsn, f->id))
		return true;
	if (o->statsn != f->id || !quiet(c))
		return false;
	if (o->kind == OUT_FENCE_END) {
		s->fences = f->next;
		free(f);
		return true;
	}
	if (!f->sent && !(f->sent = all_stopped(s, f->id)))
		return false;
	if (!f->conn) {
		s->fences = f->next;
		free(f);
		return true;
	}
	return f->conn == c;
}
