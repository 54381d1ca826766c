/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task management (RFC 7143 11.5). ABORT TASK, QUERY TASK and TASK REASSIGN are the session's own affair; what
 * concerns a LUN or the target is handed to the owner, who knows which LUNs there are and other sessions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/conn.h"
#include "target/iscsi/sn.h"

#define LEVEL_SAM5 2            /* iSCSIProtocolLevel from which RFC 7144's functions may be used */

/* CLEAR ACA is not among them: there is never one. */
const struct task_function task_functions[] = {
	{ .code = TMF_ABORT_TASK, .at = 0, .bit = 0x80 },
	{ .code = TMF_ABORT_TASK_SET, .at = 0, .bit = 0x40, .owner = true },
	{ .code = TMF_CLEAR_TASK_SET, .at = 0, .bit = 0x10, .owner = true },
	{ .code = TMF_LU_RESET, .at = 0, .bit = 0x08, .owner = true },
	{ .code = TMF_TARGET_WARM_RESET, .at = 0, .bit = 0x02, .owner = true, .plugs = true },
	{ .code = TMF_TARGET_COLD_RESET, .at = 0, .bit = 0x02, .owner = true, .plugs = true },
	{ .code = TMF_TASK_REASSIGN },
	{ .code = TMF_QUERY_TASK, .at = 0, .bit = 0x04, .level = LEVEL_SAM5 },
	{ .code = TMF_QUERY_TASK_SET, .at = 1, .bit = 0x02, .level = LEVEL_SAM5, .owner = true },
	{ .code = TMF_I_T_NEXUS_RESET, .at = 1, .bit = 0x01, .level = LEVEL_SAM5, .owner = true },
	{ .code = TMF_QUERY_ASYNC_EVENT, .at = 1, .bit = 0x04, .level = LEVEL_SAM5, .owner = true },
};

const unsigned n_task_functions = sizeof(task_functions) / sizeof(task_functions[0]);

static const struct task_function *function_of(const struct iscsi_conn *c, uint8_t code)
{
	for (unsigned i = 0; i < n_task_functions; i++)
		if (task_functions[i].code == code && c->params.protocol_level >= task_functions[i].level)
			return &task_functions[i];
	return NULL;
}

static void answer(struct iscsi_conn *c, uint32_t itt, enum tmf_response response)
{
	uint8_t *r = conn_put(c, PDU_TASK_MGMT_RESPONSE, PDU_FINAL, itt, NULL, 0);

	r[2] = (uint8_t)response;
}

static struct iscsi_tmf *tmf_new(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_tmf *tmf = mem_zalloc(sizeof(*tmf));

	c->session->n_tmfs++;
	tmf->conn = c;
	tmf->itt = bhs_itt(bhs);
	tmf->cmdsn = bhs_cmdsn(bhs);
	tmf->function = bhs[1] & 0x7f;
	memcpy(tmf->lun, bhs + 8, 8);
	return tmf;
}

static void list(struct iscsi_session *s, struct iscsi_tmf *tmf)
{
	tmf->listed = true;
	tmf->next = s->tmfs;
	s->tmfs = tmf;
}

void tmf_wait(struct iscsi_session *s, struct iscsi_tmf *tmf)
{
	list(s, tmf);
	if (tmf->waiting == 0)
		tmf_finish(s, tmf);
}

/* Functions that end many tasks (4.2.2.3.3). */
static bool multi_task(uint8_t function)
{
	return function != TMF_ABORT_TASK && function != TMF_QUERY_TASK && function != TMF_QUERY_TASK_SET &&
	       function != TMF_QUERY_ASYNC_EVENT;
}

static void tell(struct iscsi_session *s, const struct iscsi_tmf *tmf)
{
	bool fenced = multi_task(tmf->function) && fence_begin(s, tmf->conn);

	answer(tmf->conn, tmf->itt, (enum tmf_response)tmf->response);
	if (fenced)
		fence_end(tmf->conn);
}

void tmf_finish(struct iscsi_session *s, struct iscsi_tmf *tmf)
{
	struct iscsi_tmf **p = &s->tmfs;

	while (*p && *p != tmf)
		p = &(*p)->next;
	if (*p)
		*p = tmf->next;
	if (tmf->conn && tmf->logout)
		logout_finish(tmf->conn, tmf);
	else if (tmf->conn)
		tell(s, tmf);
	s->n_tmfs -= !tmf->logout;
	free(tmf);
}

void tmf_forget(struct iscsi_session *s, struct iscsi_conn *c)
{
	struct iscsi_tmf *tmf;

	for (tmf = s->tmfs; tmf; tmf = tmf->next)
		if (tmf->conn == c)
			tmf->conn = NULL;
	while ((tmf = c->tmfs)) {
		c->tmfs = tmf->next;
		s->n_tmfs--;
		free(tmf);
	}
}

struct iscsi_tmf *conn_next_tmf(struct iscsi_conn *c)
{
	struct iscsi_tmf *tmf = c->tmfs;

	if (tmf) {
		c->tmfs = tmf->next;
		list(c->session, tmf);
	}
	return tmf;
}

void conn_tmf_done(struct iscsi_session *s, struct iscsi_tmf *tmf, enum tmf_response response)
{
	tmf->deciding = false;
	tmf->response = (uint8_t)response;
	if (tmf->waiting == 0)
		tmf_finish(s, tmf);
}

/* ---- one task ---- */

/* 11.5.1 and 11.6.1: a task that is unknown may have been answered, or its command may never have come. */
static enum tmf_response abort_unknown(struct iscsi_session *s, uint32_t ref, uint32_t cmdsn)
{
	if (sn_lt(ref, s->exp_cmdsn) || !sn_lt(ref, cmdsn) || sn_lt(s->max_cmdsn, ref))
		return TMF_RSP_NO_TASK;
	/* Inside the window and not seen: from now on it counts as received (and will be ignored). */
	if (session_cmdsn(s, ref) != CMDSN_IGNORE)
		session_turns(s, ref + 1);
	return TMF_RSP_COMPLETE;
}

static void abort_task(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t = session_find(s, bhs_ttt(bhs));
	struct iscsi_tmf *tmf;

	if (!t) {
		answer(c, bhs_itt(bhs), abort_unknown(s, get32(bhs + 32), bhs_cmdsn(bhs)));
		return;
	}
	if (!lun_same(t->task.lun, bhs + 8) || t->state == ITASK_ANSWERING || t->state == ITASK_ANSWERED) {
		answer(c, bhs_itt(bhs), TMF_RSP_NO_TASK);
		return;
	}
	tmf = tmf_new(c, bhs);
	session_abort(s, NULL, t->itt, tmf);
	tmf_wait(s, tmf);
}

/* RFC 7144 4: is it known to us and not yet answered? */
static enum tmf_response query_task(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_task *t = session_find(c->session, bhs_ttt(bhs));

	return t && lun_same(t->task.lun, bhs + 8) && t->state < ITASK_ANSWERING ? TMF_RSP_SUCCEEDED : TMF_RSP_COMPLETE;
}

/* 11.5.5: what the initiator has of the data; a number that cannot be is ignored. */
static void data_expected(struct iscsi_task *t, uint32_t expdatasn)
{
	if (expdatasn && !sn_lt(expdatasn, t->acked) && sn_le(expdatasn, t->datasn))
		t->acked = expdatasn;
}

/* 7.2.2: the task goes on where it was, on this connection. */
static void resume(struct iscsi_conn *c, struct iscsi_task *t, uint32_t expdatasn)
{
	t->conn = c;
	t->cid = c->cid;
	t->released = false;
	if (t->state == ITASK_COLLECT) {
		data_restart(c, t);
	} else if (t->state == ITASK_PARKED) {
		data_expected(t, expdatasn);
		t->state = ITASK_ANSWERING;
		conn_put_task_rest(c, t);
	}
}

static void reassign(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_session *s = c->session;
	struct iscsi_task *t = session_find(s, bhs_ttt(bhs));

	if (!conn_erl(c, 2)) {
		answer(c, bhs_itt(bhs), TMF_RSP_NO_REASSIGN);
		return;
	}
	if (!t || t->task.aborted) {
		answer(c, bhs_itt(bhs), TMF_RSP_NO_TASK);
		return;
	}
	/* A connection must be logged out before its tasks leave it. */
	if (t->conn || !t->released) {
		answer(c, bhs_itt(bhs), TMF_RSP_TASK_ALLEGIANT);
		return;
	}
	answer(c, bhs_itt(bhs), TMF_RSP_COMPLETE);
	resume(c, t, get32(bhs + 36));
}

/* ---- the others ---- */

/* What is not yet received of the commands before a target reset counts as received (4.2.3.3 b). */
static void plug(struct iscsi_session *s, uint32_t cmdsn)
{
	uint32_t before = s->exp_cmdsn;

	if (!sn_le(cmdsn, s->max_cmdsn + 1))
		return;
	while (sn_lt(s->exp_cmdsn, cmdsn))
		session_cmdsn(s, s->exp_cmdsn);
	session_turns(s, before);
}

static void to_owner(struct iscsi_conn *c, const uint8_t *bhs)
{
	struct iscsi_tmf *tmf = tmf_new(c, bhs), **p = &c->tmfs;

	tmf->deciding = true;
	while (*p)
		p = &(*p)->next;
	*p = tmf;
}

void tmf_request(struct iscsi_conn *c, const uint8_t *bhs)
{
	const struct task_function *row;

	/* What is not immediate is bounded by the window. */
	if (c->session->n_tmfs >= SESSION_TMFS_MAX) {
		conn_reject(c, bhs, REJECT_IMMEDIATE);
		return;
	}
	row = function_of(c, bhs[1] & 0x7f);
	if (!row) {
		answer(c, bhs_itt(bhs), TMF_RSP_NOT_SUPPORTED);
		return;
	}
	if (row->plugs)
		plug(c->session, bhs_cmdsn(bhs));
	if (row->owner)
		to_owner(c, bhs);
	else if (row->code == TMF_ABORT_TASK)
		abort_task(c, bhs);
	else if (row->code == TMF_QUERY_TASK)
		answer(c, bhs_itt(bhs), query_task(c, bhs));
	else
		reassign(c, bhs);
}
