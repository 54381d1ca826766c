/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions on their worker: the LUN table, and the end. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/serve/serve.h"

#define MOVED_MS 10000          /* for the logout that we ask for */

static void event(struct session *ss, enum target_event_kind kind)
{
	struct session_entry *e = ss->entry;
	struct target_event ev = { .kind = kind };
	char isid[13], peer[64], local[64];

	if (e->inner) {
		log_info(&ss->worker->serve->log, "session: %s %s on %s under epoch %llu", addr_text(&e->peer, peer),
			kind == TARGET_EV_SESSION_UP ? "logged in" : "is gone", e->target, (unsigned long long)e->epoch);
		return;
	}
	ev.session = (struct target_session){ .id = e->id,
		.initiator = e->initiator,
		.target = e->target,
		.alias = e->alias,
		.isid = text_hex(e->isid, 6, isid),
		.tsih = e->tsih,
		.address = addr_text(&e->peer, peer),
		.portal = addr_text(&e->local, local),
		.commands = e->commands,
		.read_bytes = e->read_bytes,
		.write_bytes = e->write_bytes,
		.errors = e->errors,
		.connections = e->n_links,
		.age_ms = mono_ms_between(e->since, ss->worker->now) };
	control_event(ss->worker->serve, &ev);
	log_info(&ss->worker->serve->log, "session: %s %s on %s from %s", e->initiator,
		kind == TARGET_EV_SESSION_UP ? "logged in" : "is gone",
		e->discovery ? "discovery" : e->target, ev.session.address);
}

/* ---- the LUN table ---- */

static void nexus_let_go(struct worker *w, struct nexus *n)
{
	struct registry *r = &w->serve->registry;
	struct volume *v = n->volume;
	struct pr_port port;
	bool holds;

	it_port(n->scsi.it, &port);
	/* SPC-2 5.5.1: the loss of the nexus releases its reservation; where it is agreed, by asking for it. */
	pthread_mutex_lock(&v->lu_lock);
	holds = n->scsi.lun != UINT32_MAX && n->scsi.lu->kept.has_spc2 && pr_port_eq(&n->scsi.lu->kept.spc2, &port);
	pthread_mutex_unlock(&v->lu_lock);
	if (holds && !w->stopping)
		background_start(w, v, n->scsi.it, scsi_nexus_lost);
	pthread_mutex_lock(&r->lock);
	pthread_mutex_lock(&v->lu_lock);
	lu_detach(&n->scsi);
	pthread_mutex_unlock(&v->lu_lock);
	if (--v->n_nexus == 0)
		pthread_cond_broadcast(&r->released);
	pthread_mutex_unlock(&r->lock);
	free(n);
}

static void nexus_release(struct session *ss, struct nexus *n)
{
	struct nexus **p = &ss->nexuses;

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	nexus_let_go(ss->worker, n);
}

static void nexuses_sweep(struct session *ss)
{
	for (struct nexus *n = ss->nexuses, *next; n; n = next) {
		next = n->next;
		if (n->gone)
			alone_abort(ss, n);
		if (n->gone && n->n_tasks == 0 && !n->lent)
			nexus_release(ss, n);
	}
}

static int by_lun(const void *a, const void *b)
{
	const struct scsi_nexus *x = *(struct scsi_nexus *const *)a, *y = *(struct scsi_nexus *const *)b;

	return x->lun < y->lun ? -1 : x->lun > y->lun;
}

static void table_build(struct session *ss)
{
	unsigned n = 0;

	for (struct nexus *x = ss->nexuses; x; x = x->next)
		n += !x->gone;
	free(ss->it.luns);
	ss->it.luns = mem_alloc((n + 1) * sizeof(*ss->it.luns));
	ss->it.n_luns = 0;
	for (struct nexus *x = ss->nexuses; x; x = x->next)
		if (!x->gone)
			ss->it.luns[ss->it.n_luns++] = &x->scsi;
	qsort(ss->it.luns, n, sizeof(*ss->it.luns), by_lun);
}

static bool still_mapped(struct registry *r, const struct target *t, const struct nexus *n)
{
	for (unsigned i = 0; t && i < t->def.n_luns; i++)
		if (t->def.luns[i].lun == n->scsi.lun &&
			volume_find_locked(r, t->def.luns[i].volume) == n->volume)
			return n->volume->shaped && t->def.luns[i].read_only == n->scsi.read_only;
	return false;
}

static bool has_view(const struct session *ss, uint32_t lun)
{
	for (const struct nexus *n = ss->nexuses; n; n = n->next)
		if (!n->gone && n->scsi.lun == lun)
			return true;
	return false;
}

static void view_add(struct session *ss, struct volume *v, const struct target_lun *lun)
{
	struct nexus *n = mem_zalloc(sizeof(*n));

	n->volume = v;
	n->next = ss->nexuses;
	ss->nexuses = n;
	v->n_nexus++;
	pthread_mutex_lock(&v->lu_lock);
	lu_attach(&v->lu, &n->scsi, &ss->it, lun->lun, lun->read_only);
	pthread_mutex_unlock(&v->lu_lock);
}

/* The target has moved: initiators log out, and are told where to when they come back. */
static void session_send_away(struct session *ss)
{
	for (struct iscsi_conn *c = ss->is->conns; c; c = c->next)
		if (c->state == CONN_S5_LOGGED_IN)
			conn_request_logout(c, MOVED_MS);
	session_dirty(ss);
}

void session_refresh(struct session *ss)
{
	struct registry *r = &ss->worker->serve->registry;
	struct target *t;
	bool changed = false, unwanted, moved, first = !ss->it.luns;

	if (ss->entry->discovery || session_over(ss->is) || ss->is->closing)
		return;
	if (ss->entry->inner) {
		inner_refresh(ss);
		return;
	}
	pthread_mutex_lock(&r->lock);
	t = target_find_locked(r, ss->it.target);
	unwanted = !t || !target_host_for(&t->def, ss->it.initiator);
	for (struct nexus *n = ss->nexuses; n; n = n->next)
		if (!n->gone && !still_mapped(r, t, n)) {
			n->gone = true;
			changed = true;
		}
	for (unsigned i = 0; t && i < t->def.n_luns; i++) {
		struct volume *v = volume_find_locked(r, t->def.luns[i].volume);

		if (v && v->shaped && !has_view(ss, t->def.luns[i].lun)) {
			view_add(ss, v, &t->def.luns[i]);
			changed = true;
		}
	}
	moved = t && t->def.moved_to;
	pthread_mutex_unlock(&r->lock);
	if (changed || first)
		table_build(ss);
	for (unsigned i = 0; changed && !first && i < ss->it.n_luns; i++)
		nexus_attention(ss->it.luns[i], UA_LUNS_CHANGED);
	ss->worker->reap |= changed;
	if (unwanted)
		session_end(ss, "the target is gone, or not for this initiator any more", false);
	else if (moved)
		session_send_away(ss);
}

/* ---- views of other units, for a copy ---- */

/* How the session's initiator may use the volume: by the session's own target, or another. */
static const struct target_lun *lun_for(const struct registry *r, const struct session *ss, const struct volume *v)
{
	const struct target_lun *other = NULL;

	for (const struct target *t = r->targets; t; t = t->next) {
		if (!target_host_for(&t->def, ss->it.initiator))
			continue;
		for (unsigned i = 0; i < t->def.n_luns; i++) {
			if (memcmp(t->def.luns[i].volume, v->def.uuid, 16) != 0)
				continue;
			if (strcasecmp(t->def.iqn, ss->it.target) == 0)
				return &t->def.luns[i];
			other = &t->def.luns[i];
		}
	}
	return other;
}

struct nexus *session_reach(struct session *ss, unsigned type, const uint8_t *id, unsigned n_id)
{
	struct registry *r = &ss->worker->serve->registry;
	const struct target_lun *lun = NULL;
	struct nexus *n = NULL;
	struct volume *v;

	pthread_mutex_lock(&r->lock);
	for (v = r->volumes; v; v = v->next)
		if (v->shaped && lu_is(&v->lu, type, id, n_id))
			break;
	if (v && (lun = lun_for(r, ss, v))) {
		n = mem_zalloc(sizeof(*n));
		n->volume = v;
		v->n_nexus++;
		pthread_mutex_lock(&v->lu_lock);
		lu_attach(&v->lu, &n->scsi, &ss->it, UINT32_MAX, lun->read_only);
		pthread_mutex_unlock(&v->lu_lock);
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

void session_unreach(struct session *ss, struct nexus **views)
{
	struct nexus *n;

	while ((n = *views)) {
		*views = n->next;
		nexus_let_go(ss->worker, n);
	}
}

static struct scsi_nexus *reach(const struct scsi_it *it, unsigned type, const uint8_t *id, unsigned n_id,
	struct task *t)
{
	struct session *ss = (struct session *)((char *)it - offsetof(struct session, it));
	struct serve_task *st = (struct serve_task *)t;
	struct nexus *n = session_reach(ss, type, id, n_id);

	if (!n)
		return NULL;
	n->next = st->reached;
	st->reached = n;
	return &n->scsi;
}

/* ---- begin and end ---- */

struct session *session_new(struct link *l, struct session_entry *e, struct iscsi_session *is)
{
	struct session *ss = mem_zalloc(sizeof(*ss));
	struct worker *w = l->worker;
	struct registry *r = &w->serve->registry;
	struct target *t;

	ss->worker = w;
	ss->entry = e;
	ss->is = is;
	is->user = ss;
	ss->next = w->sessions;
	w->sessions = ss;
	snprintf(ss->it.initiator, sizeof(ss->it.initiator), "%s", e->initiator);
	snprintf(ss->it.target, sizeof(ss->it.target), "%s", e->target);
	memcpy(ss->it.isid, e->isid, 6);
	ss->it.reach = e->inner ? NULL : reach;
	pthread_mutex_lock(&r->lock);
	t = target_find_locked(r, e->target);
	ss->it.tag = t && t->def.tag ? t->def.tag : 1;
	pthread_mutex_unlock(&r->lock);
	session_link_add(ss, l);
	session_refresh(ss);
	event(ss, TARGET_EV_SESSION_UP);
	return ss;
}

struct session *session_find_id(struct worker *w, uint64_t id)
{
	struct session *ss = w->sessions;

	while (ss && ss->entry->id != id)
		ss = ss->next;
	return ss;
}

/* Of sessions with several connections, or that wait for one. */
static void connection_log(const struct session *ss, const char *what)
{
	log_info(&ss->worker->serve->log, "session: %s on %s: %s, %u connections", ss->entry->initiator,
		ss->entry->discovery ? "discovery" : ss->entry->target, what, ss->n_links);
}

void session_link_add(struct session *ss, struct link *l)
{
	l->session = ss;
	l->logged_in = true;
	seat_anew(&ss->worker->follow.pin.seat);
	if (ss->n_links++ || ss->is->state == SESSION_Q4_FAILED)
		connection_log(ss, "one more");
	atomic_store(&ss->entry->n_links, ss->n_links);
	source_logged_in(ss->worker->serve, &l->peer);
}

void session_dirty(struct session *ss)
{
	for (struct iscsi_conn *c = ss->is->conns; c; c = c->next)
		worker_dirty(ss->worker, c->user);
	if (ss->n_links == ss->is->n_conns)
		return;
	for (struct link *l = ss->worker->links; l; l = l->next)
		if (l->session == ss)
			worker_dirty(ss->worker, l);
}

void session_wake(struct session *ss)
{
	if (!ss->is->woken)
		return;
	ss->is->woken = false;
	ss->worker->woken = true;
	session_dirty(ss);
}

void session_end(struct session *ss, const char *why, bool at_once)
{
	if (at_once)
		session_close(ss->is, why);
	else
		session_dismiss(ss->is, why);
	session_dirty(ss);
	ss->worker->reap = true;
}

void session_link_gone(struct session *ss)
{
	struct worker *w = ss->worker;

	ss->n_links--;
	atomic_store(&ss->entry->n_links, ss->n_links);
	if (!session_over(ss->is) && !ss->is->closing)
		connection_log(ss, "one less");
	w->reap = true;
	session_wake(ss);
	/* What it left behind has its time (Time2Retain), which begins now. */
	w->next_tick = mono_min(w->next_tick, mono_add_ms(w->now, 100));
}

void session_let_go(struct session *ss)
{
	if (ss->is->n_running || ss->is->ready || (!ss->is->closing && !session_over(ss->is)))
		return;
	ss->it.n_luns = 0;
	for (struct nexus *n = ss->nexuses; n; n = n->next)
		n->gone = true;
	nexuses_sweep(ss);
}

bool session_reap(struct session *ss)
{
	struct worker *w = ss->worker;
	struct session **p = &w->sessions;

	session_let_go(ss);
	nexuses_sweep(ss);
	if (!session_over(ss->is) || ss->n_links || ss->is->n_running || ss->alone)
		return false;
	while (*p != ss)
		p = &(*p)->next;
	*p = ss->next;
	session_publish(ss);
	event(ss, TARGET_EV_SESSION_DOWN);
	iscsi_session_free(&ss->is);
	nexuses_sweep(ss);
	registry_session_remove(w->serve, &ss->entry);
	free(ss->it.luns);
	free(ss);
	return true;
}

void session_publish(struct session *ss)
{
	struct session_entry *e = ss->entry;

	atomic_store_explicit(&e->commands, ss->is->commands, memory_order_relaxed);
	atomic_store_explicit(&e->read_bytes, ss->is->read_bytes, memory_order_relaxed);
	atomic_store_explicit(&e->write_bytes, ss->is->write_bytes, memory_order_relaxed);
	atomic_store_explicit(&e->errors, ss->is->errors, memory_order_relaxed);
}
