/* SPDX-License-Identifier: Apache-2.0 */
/* A login's questions: does the target exist, may this initiator use it, may the session begin; and
 * SendTargets. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "target/serve/serve.h"

/* What we would have. */
static const struct iscsi_params ours = {
	.header_digest = DIGEST_CRC32C, .data_digest = DIGEST_CRC32C,
	.max_connections = 8,
	.initial_r2t = 0, .immediate_data = 1,
	.max_recv = 262144,
	.max_burst = 1048576, .first_burst = 262144,
	.time2wait = 0, .time2retain = 20,
	.max_r2t = 16,
	.pdu_in_order = 0, .sequence_in_order = 0,
	.erl = 2,
	.task_reporting = REPORTING_FAST_ABORT,
	.protocol_level = 2,
};

/* Does the target offer itself at the address the initiator came to? */
static bool portal_fits(const struct target_def *t, const struct addr *local)
{
	for (unsigned i = 0; i < t->n_portals; i++) {
		struct addr a;
		static const uint8_t zero[16];

		if (addr_parse(t->portals[i], 3260, &a) != 0)
			continue;
		if (a.port == local->port &&
			(memcmp(a.ip, zero, sizeof(zero)) == 0 ||
				(a.family == local->family && memcmp(a.ip, local->ip, sizeof(a.ip)) == 0)))
			return true;
	}
	return t->n_portals == 0;
}

/*
 * What a discovery session must prove: where all targets that this initiator may use ask it for CHAP, what the first of
 * them (by name) asks. Where one is open to it so is discovery.
 */
static const struct target_host *discovery_host_locked(const struct registry *r, const char *initiator)
{
	const struct target *first = NULL;

	for (const struct target *t = r->targets; t; t = t->next) {
		const struct target_host *host = target_host_for(&t->def, initiator);

		if (host && !host->user)
			return NULL;
		if (host && (!first || strcmp(t->def.iqn, first->def.iqn) < 0))
			first = t;
	}
	return first ? target_host_for(&first->def, initiator) : NULL;
}

static void host_proof(struct login_policy *p, const struct target_host *host)
{
	p->user = host->user;
	p->secret = host->secret;
	p->mutual_user = host->mutual_user;
	p->mutual_secret = host->mutual_secret;
}

static void policy(struct link *l)
{
	const struct login *login = l->conn->login;
	struct registry *r = &l->worker->serve->registry;
	struct login_policy p = { .status = LOGIN_OK, .tag = 1, .ours = ours };
	const struct target_host *host;
	struct target *t;

	randombytes_buf(p.challenge, sizeof(p.challenge));
	randombytes_buf(&p.chap_id, sizeof(p.chap_id));
	pthread_mutex_lock(&r->lock);
	if (inner_policy_locked(l, &p)) {
		conn_policy(l->conn, &p);
		pthread_mutex_unlock(&r->lock);
		return;
	}
	if (login->discovery) {
		host = discovery_host_locked(r, login->initiator);
		if (host)
			host_proof(&p, host);
		conn_policy(l->conn, &p);
		pthread_mutex_unlock(&r->lock);
		return;
	}
	t = target_find_locked(r, login->target);
	host = t ? target_host_for(&t->def, login->initiator) : NULL;
	if (!t || !portal_fits(&t->def, &l->local)) {
		p.status = LOGIN_NOT_FOUND;
	} else if (!host) {
		p.status = LOGIN_FORBIDDEN;
	} else if (t->def.moved_to) {
		p.status = t->def.moved_for_good ? LOGIN_MOVED_PERMANENTLY : LOGIN_MOVED_TEMPORARILY;
		p.address = t->def.moved_to;
	} else if (away_locked(r, &t->def)) {
		p.status = LOGIN_UNAVAILABLE;
	} else {
		p.alias = t->def.alias;
		p.tag = t->def.tag ? t->def.tag : 1;
		host_proof(&p, host);
	}
	conn_policy(l->conn, &p);
	pthread_mutex_unlock(&r->lock);
}

/* ---- may the session begin? ---- */

struct end_msg {
	struct worker_msg msg;
	uint64_t id;
};

static void end_run(struct worker *w, struct worker_msg *m)
{
	struct end_msg *end = (struct end_msg *)m;

	struct session *ss = session_find_id(w, end->id);

	if (ss)
		session_end(ss, "session reinstated", true);
	free(end);
}

static struct session_entry *same_session(struct registry *r, const struct login *login)
{
	for (struct session_entry *e = r->sessions; e; e = e->next)
		if (!e->discovery && memcmp(e->isid, login->isid, 6) == 0 &&
			strcmp(e->initiator, login->initiator) == 0 &&
			strcmp(e->target, login->target) == 0)
			return e;
	return NULL;
}

static uint16_t tsih_new(struct registry *r)
{
	for (;;) {
		uint16_t tsih = r->next_tsih++;
		struct session_entry *e = r->sessions;

		while (e && e->tsih != tsih)
			e = e->next;
		if (!e && tsih)
			return tsih;
	}
}

static struct session_entry *entry_new(struct link *l)
{
	const struct login *login = l->conn->login;
	struct session_entry *e = mem_zalloc(sizeof(*e));

	e->worker = l->worker;
	memcpy(e->initiator, login->initiator, sizeof(e->initiator));
	memcpy(e->target, login->target, sizeof(e->target));
	memcpy(e->alias, login->alias, sizeof(e->alias));
	memcpy(e->isid, login->isid, 6);
	e->discovery = login->discovery;
	e->peer = l->peer;
	e->local = l->local;
	e->since = l->worker->now;
	return e;
}

/* RFC 7143 6.3.3: a TSIH that is not 0 names a session to add a connection to, or to come back to. */
static void join(struct link *l)
{
	struct registry *r = &l->worker->serve->registry;
	const struct login *login = l->conn->login;
	enum login_status status = LOGIN_NO_SESSION;
	struct session *ss = NULL;
	struct session_entry *e;

	pthread_mutex_lock(&r->lock);
	e = same_session(r, login);
	/* One of another epoch is about to end. */
	if (e && l->inner && e->epoch != l->epoch)
		e = NULL;
	if (e && e->tsih == login->tsih && e->worker != l->worker) {
		l->moving_to = e->worker;
		l->waiting = true;
		worker_dirty(l->worker, l);
	} else if (e && e->tsih == login->tsih) {
		ss = session_find_id(l->worker, e->id);
	}
	pthread_mutex_unlock(&r->lock);
	if (l->moving_to)
		return;
	if (ss)
		status = session_admits(ss->is, login);
	if (status == LOGIN_OK)
		session_link_add(ss, l);
	conn_session(l->conn, status, status == LOGIN_OK ? ss->is : NULL);
	if (ss)
		session_dirty(ss);
}

static void session(struct link *l)
{
	struct serve *s = l->worker->serve;
	struct registry *r = &s->registry;
	const struct login *login = l->conn->login;
	struct session_entry *e, *old;
	struct iscsi_session *is;
	struct end_msg *end = NULL;
	enum login_status status = LOGIN_OK;

	if (l->inner && !inner_admit(l, &status))
		return;
	if (status != LOGIN_OK) {
		conn_session(l->conn, status, NULL);
		return;
	}
	if (login->tsih) {
		join(l);
		return;
	}
	pthread_mutex_lock(&r->lock);
	old = login->discovery ? NULL : same_session(r, login);
	if (old) {
		/* 6.3.5: the same ISID reinstates. The old session ends first, then the new one begins. */
		old->dying = true;
		end = mem_zalloc(sizeof(*end));
		end->msg.run = end_run;
		end->id = old->id;
		l->waiting = true;
		worker_post(old->worker, &end->msg);
		pthread_mutex_unlock(&r->lock);
		return;
	}
	e = entry_new(l);
	if (l->inner ? !inner_enter_locked(l, e) : !login->discovery && !target_find_locked(r, login->target)) {
		pthread_mutex_unlock(&r->lock);
		free(e);
		conn_session(l->conn, l->inner ? LOGIN_FORBIDDEN : LOGIN_REMOVED, NULL);
		return;
	}
	e->tsih = tsih_new(r);
	registry_session_add_locked(r, e);
	pthread_mutex_unlock(&r->lock);
	is = iscsi_session_new(login, e->tsih, s->conf.queue_depth);
	session_new(l, e, is);
	conn_session(l->conn, LOGIN_OK, is);
}

/* ---- SendTargets, RFC 7143 appendix C ---- */

static void put(struct buf *out, const char *key, const char *value)
{
	buf_puts(out, key);
	buf_puts(out, "=");
	buf_put(out, value, strlen(value) + 1);
}

/* An address that floats is listened at by all and is said to be where it is: with that node's tag. */
static bool is_elsewhere(const struct target_def *t, const struct addr *portal)
{
	struct addr there;

	for (unsigned i = 0; i < t->n_elsewhere; i++)
		if (addr_parse(t->elsewhere[i].address, 3260, &there) == 0 && addr_eq(&there, portal))
			return true;
	return false;
}

static bool is_named(const struct target_def *t, const struct addr *portal)
{
	struct addr a;

	for (unsigned i = 0; i < t->n_portals; i++)
		if (addr_parse(t->portals[i], 3260, &a) == 0 && addr_eq(&a, portal))
			return true;
	return false;
}

static void put_target(struct buf *out, const struct target_def *t, const struct addr *local)
{
	char a[64], line[96];
	unsigned tag = t->tag ? t->tag : 1;

	put(out, "TargetName", t->iqn);
	if (t->moved_to) {
		char *there = mem_printf(strchr(t->moved_to, ',') ? "%s" : "%s,1", t->moved_to);

		put(out, "TargetAddress", there);
		free(there);
		return;
	}
	for (unsigned i = 0; i < t->n_portals; i++) {
		struct addr portal;
		static const uint8_t zero[16];

		/* A wildcard is reached by the address that reached us. */
		if (addr_parse(t->portals[i], 3260, &portal) != 0)
			continue;
		if (memcmp(portal.ip, zero, sizeof(zero)) == 0) {
			uint16_t port = portal.port;

			portal = *local;
			portal.port = port;
			if (is_named(t, &portal))
				continue;
		}
		if (is_elsewhere(t, &portal))
			continue;
		snprintf(line, sizeof(line), "%s,%u", addr_text(&portal, a), tag);
		put(out, "TargetAddress", line);
	}
	if (t->n_portals == 0) {
		snprintf(line, sizeof(line), "%s,%u", addr_text(local, a), tag);
		put(out, "TargetAddress", line);
	}
	for (unsigned i = 0; i < t->n_elsewhere; i++) {
		char *there = t->elsewhere[i].tag ? mem_printf("%s,%u", t->elsewhere[i].address, t->elsewhere[i].tag) : NULL;

		if (there)
			put(out, "TargetAddress", there);
		free(there);
	}
}

static void targets(struct link *l)
{
	struct registry *r = &l->worker->serve->registry;
	const struct iscsi_session *is = l->conn->session;
	const char *name = l->conn->ask_text;
	struct buf out = { 0 };

	/* Empty: the target of this session. All: only in discovery sessions. */
	if (!name[0])
		name = is->target;
	pthread_mutex_lock(&r->lock);
	for (struct target *t = r->targets; t; t = t->next) {
		bool all = strcmp(name, "All") == 0 && is->discovery;

		if ((all || strcasecmp(name, t->def.iqn) == 0) && target_host_for(&t->def, is->initiator))
			put_target(&out, &t->def, &l->local);
	}
	pthread_mutex_unlock(&r->lock);
	conn_targets(l->conn, out.data, out.len);
	buf_fini(&out);
}

void ask_answer(struct link *l)
{
	switch (l->conn->ask) {
	case ASK_POLICY:
		policy(l);
		break;
	case ASK_PROOF:
		inner_proof(l);
		break;
	case ASK_SESSION:
		session(l);
		break;
	case ASK_TARGETS:
		targets(l);
		break;
	case ASK_NONE:
		break;
	}
}
