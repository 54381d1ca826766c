/* SPDX-License-Identifier: Apache-2.0 */
/* Task management of the initiator (RFC 7143 11.5, 11.6): the caller's, and our own aborts and reassignments. */
#include <string.h>

#include "base/err.h"
#include "target/iscsi/ini.h"

#define TMF_INDEX 0x8000u               /* low half of a task management function's tag */
#define OWN_MS 10000

/* One of our own; NULL: all are in work. */
struct ini_tmf *ini_tmf_own(struct ini_session *s)
{
	for (unsigned i = 0; i < INI_TMF_MAX; i++)
		if (!(s->own_busy >> i & 1)) {
			s->own_busy |= 1u << i;
			memset(&s->own[i], 0, sizeof(s->own[i]));
			s->own[i].deadline = mono_add_ms(s->now, OWN_MS);
			return &s->own[i];
		}
	return NULL;
}

static bool is_own(const struct ini_session *s, const struct ini_tmf *tmf)
{
	return tmf >= s->own && tmf < s->own + INI_TMF_MAX;
}

void ini_tmf_send(struct ini_session *s, struct ini_tmf *tmf, struct ini_conn *c)
{
	struct ini_small *m;

	tmf->itt = (uint32_t)++s->tmf_gen << 16 | TMF_INDEX;
	tmf->conn = c;
	tmf->next = s->tmfs;
	s->tmfs = tmf;
	m = ini_put(c, PDU_TASK_MGMT, PDU_FINAL | tmf->function, tmf->itt, NULL, 0);
	memcpy(m->bhs + 8, tmf->lun, 8);
	put32(m->bhs + 20, tmf->rtt);
	put32(m->bhs + 32, tmf->ref_cmdsn);
	put32(m->bhs + 36, tmf->exp_datasn);
}

static void done(struct ini_session *s, struct ini_tmf *tmf, int result)
{
	struct ini_tmf **p = &s->tmfs;

	while (*p && *p != tmf)
		p = &(*p)->next;
	if (*p)
		*p = tmf->next;
	tmf->result = result;
	if (!is_own(s, tmf)) {
		tmf->next = s->tmf_done;
		s->tmf_done = tmf;
		return;
	}
	s->own_busy &= ~(1u << (tmf - s->own));
	if (tmf->function == TMF_TASK_REASSIGN) {
		if (result == 0)
			ini_reassigned(s, tmf->rtt, tmf->response);
	} else {
		/* Aborted, or never there: its tag is free again. */
		ini_zombie_end(s, tmf->rtt);
	}
}

void ini_tmf_submit(struct ini_session *s, struct ini_tmf *tmf)
{
	struct ini_conn *c = NULL;

	tmf->rtt = TAG_NONE;
	tmf->ref_cmdsn = tmf->exp_datasn = 0;
	if (tmf->task) {
		tmf->rtt = tmf->task->itt;
		tmf->ref_cmdsn = tmf->task->cmdsn;
		c = tmf->task->conn;
	}
	for (unsigned i = 0; i < s->n_conns && !c; i++)
		if (s->conn[i].state == INI_S5_LOGGED_IN)
			c = &s->conn[i];
	if (!c || c->state != INI_S5_LOGGED_IN) {
		done(s, tmf, ERR_UNREACHABLE);
		return;
	}
	ini_tmf_send(s, tmf, c);
}

struct ini_tmf *ini_next_tmf(struct ini_session *s)
{
	struct ini_tmf *tmf = s->tmf_done;

	if (tmf)
		s->tmf_done = tmf->next;
	return tmf;
}

void ini_tmf_end(struct ini_session *s, uint32_t itt, uint8_t response)
{
	for (struct ini_tmf *tmf = s->tmfs; tmf; tmf = tmf->next)
		if (tmf->itt == itt) {
			tmf->response = response;
			done(s, tmf, 0);
			return;
		}
}

void ini_tmf_conn_lost(struct ini_session *s, struct ini_conn *c)
{
	struct ini_tmf *tmf, *next;

	for (tmf = s->tmfs; tmf; tmf = next) {
		next = tmf->next;
		if (!c || tmf->conn == c)
			done(s, tmf, ERR_UNREACHABLE);
	}
}

void ini_tmf_tick(struct ini_session *s)
{
	struct ini_tmf *tmf, *next;

	for (tmf = s->tmfs; tmf; tmf = next) {
		next = tmf->next;
		if (!mono_due(tmf->deadline, s->now))
			continue;
		if (is_own(s, tmf)) {
			/* A target that does not even answer this is not worth its connection. */
			ini_drop(tmf->conn, "no answer to task management");
			return;
		}
		done(s, tmf, ERR_TIMEOUT);
	}
}
