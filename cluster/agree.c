/* SPDX-License-Identifier: Apache-2.0 */
/* Agreement: inputs in, outputs out. What is durable, what is applied, what is said to the outside. */
#include "cluster/agree.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cluster/agree_int.h"

struct agree *agree_new(const struct agree_conf *conf)
{
	struct agree *a = mem_zalloc(sizeof(*a));

	a->conf = *conf;
	if (!a->conf.propose_ms)
		a->conf.propose_ms = 2500;
	if (!a->conf.keep_entries)
		a->conf.keep_entries = 1024;
	if (!a->conf.snap_entries)
		a->conf.snap_entries = 4096;
	a->commit_due = a->report_due = a->collect_due = a->recover_due = a->pull_due = MONO_NEVER;
	a->cache_until = MONO_NEVER;
	agree_direct_reset(a);
	return a;
}

void agree_snap_drop(struct agree_snap **s)
{
	if (*s) {
		free((*s)->window);
		free((*s)->bytes);
		free(*s);
	}
	*s = NULL;
}

void agree_later(struct agree *a, void *p)
{
	if (!p)
		return;
	a->gone = mem_grow(a->gone, &a->gone_cap, a->n_gone, sizeof(*a->gone));
	a->gone[a->n_gone++] = p;
}

void agree_snap_later(struct agree *a, struct agree_snap **s)
{
	if (*s) {
		agree_later(a, (*s)->window);
		agree_later(a, (*s)->bytes);
		agree_later(a, *s);
	}
	*s = NULL;
}

static void sweep(struct agree *a)
{
	for (unsigned i = 0; i < a->n_gone; i++)
		free(a->gone[i]);
	a->n_gone = 0;
	agree_log_sweep(&a->log);
}

void agree_free(struct agree **pa)
{
	struct agree *a = *pa;

	if (!a)
		return;
	agree_pull_reset(a);
	for (unsigned i = 0; i < a->n_pending; i++) {
		agree_later(a, a->pending[i]->payload);
		agree_later(a, a->pending[i]);
	}
	agree_snap_drop(&a->install);
	agree_snap_drop(&a->compact);
	agree_snap_drop(&a->cache);
	sweep(a);
	agree_log_fini(&a->log);
	free(a->stage);
	free(a->cast);
	free(a->send);
	free(a->commit_out);
	free(a->put_entry);
	free(a->reply);
	free(a->gone);
	free(a);
	*pa = NULL;
}

struct agree_msg *agree_cast(struct agree *a, enum agree_msg_kind kind)
{
	struct agree_msg *m;

	a->cast = mem_grow(a->cast, &a->cast_cap, a->n_cast, sizeof(*a->cast));
	m = &a->cast[a->n_cast++];
	memset(m, 0, sizeof(*m));
	m->kind = kind;
	m->boot = a->conf.boot;
	m->tag = a->tag;
	if (a->n_sent++ == a->n_back)
		a->sent_at = a->now;
	return m;
}

struct agree_msg *agree_send(struct agree *a, const struct node_id *to, enum agree_msg_kind kind)
{
	struct agree_send *s;

	a->send = mem_grow(a->send, &a->send_cap, a->n_send, sizeof(*a->send));
	s = &a->send[a->n_send++];
	memset(s, 0, sizeof(*s));
	s->to = *to;
	s->msg.kind = kind;
	s->msg.boot = a->conf.boot;
	return &s->msg;
}

void agree_dirty(struct agree *a, uint64_t index)
{
	a->put_meta = true;
	if (index && (!a->put_from || index < a->put_from))
		a->put_from = index;
}

void agree_cut(struct agree *a, uint64_t from)
{
	assert(from > a->commit);
	if (agree_log_last(&a->log).index < from)
		return;
	agree_log_cut(&a->log, from);
	if (!a->cut_from || from < a->cut_from)
		a->cut_from = from;
	if (a->put_from >= from)
		a->put_from = from;
	a->put_meta = true;
}

bool agree_mute(const struct agree *a)
{
	return a->store_failed || a->diverged;
}

struct member *agree_member(struct agree *a, const struct node_id *id)
{
	for (unsigned i = 0; i < a->n_member; i++)
		if (node_id_eq(&a->member[i].id, id))
			return &a->member[i];
	return NULL;
}

/* --- messages, time, status --- */

/* Said by this process of the member, in the epoch that we are in. */
static bool in_epoch(const struct agree *a, const struct member *m, const struct agree_msg *msg)
{
	return msg->tag == a->tag && a->tag != 0 && msg->boot == m->boot;
}

static void on_cast(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	struct member *m = agree_member(a, from);

	if (node_id_eq(from, &a->conf.self) && msg->boot == a->conf.boot && a->n_back < a->n_sent) {
		a->n_back++;
		a->sent_at = a->now;
	}
	if (!m || a->phase == PHASE_NONE) {
		a->n_stale++;
		return;
	}
	switch (msg->kind) {
	case AGREE_MSG_STATE:
	case AGREE_MSG_PROCEED:
		agree_view_msg(a, m, msg);
		return;
	case AGREE_MSG_PROMISED:
	case AGREE_MSG_SYNCED:
	case AGREE_MSG_PROPOSE:
	case AGREE_MSG_ENTRY:
	case AGREE_MSG_ACK:
	case AGREE_MSG_REFUSE:
		break;
	default:
		a->n_malformed++;
		return;
	}
	if (!in_epoch(a, m, msg)) {
		a->n_stale++;
		return;
	}
	if (a->phase < PHASE_PROMISE || a->diverged)
		return;
	if (msg->kind == AGREE_MSG_PROMISED || msg->kind == AGREE_MSG_SYNCED)
		agree_view_msg(a, m, msg);
	else
		agree_order_msg(a, m, msg, false);
}

static void on_mesh(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	struct member *m;

	switch (msg->kind) {
	case AGREE_MSG_PROPOSE:
	case AGREE_MSG_ENTRY:
	case AGREE_MSG_ACK:
		m = agree_member(a, from);
		if (!m || !in_epoch(a, m, msg))
			a->n_stale++;
		else if (!a->diverged)
			agree_order_msg(a, m, msg, true);
		return;
	case AGREE_MSG_PULL:
	case AGREE_MSG_PUSH:
	case AGREE_MSG_PULL_SNAP:
	case AGREE_MSG_SNAP:
		if (!agree_mute(a))
			agree_pull_msg(a, from, msg);
		return;
	case AGREE_MSG_FORWARD:
	case AGREE_MSG_FORWARDED:
		agree_ask_msg(a, from, msg);
		return;
	default:
		a->n_malformed++;
	}
}

static void on_timer(struct agree *a)
{
	if (mono_due(a->commit_due, a->now)) {
		a->put_meta = true;
		a->commit_due = MONO_NEVER;
	}
	if (mono_due(a->cache_until, a->now)) {
		agree_snap_later(a, &a->cache);
		a->cache_until = MONO_NEVER;
	}
	agree_view_timer(a);
	agree_direct_timer(a);
	agree_ask_timer(a);
	agree_pull_timer(a);
	if (mono_due(a->report_due, a->now)) {
		a->report_due = MONO_NEVER;
		agree_order_ack_cast(a);
	}
}

const char *agree_mode_name(enum agree_mode mode)
{
	switch (mode) {
	case AGREE_NO_VIEW: return "no view";
	case AGREE_RECOVERING: return "recovering";
	case AGREE_ACTIVE: return "active";
	case AGREE_NO_QUORUM: return "no quorum";
	case AGREE_STORE_FAILED: return "store failed";
	case AGREE_DIVERGED: return "diverged";
	}
	return "unknown";
}

static enum agree_mode mode_now(struct agree *a, const char **reason)
{
	*reason = a->reason;
	if (a->diverged)
		return AGREE_DIVERGED;
	if (a->store_failed)
		return AGREE_STORE_FAILED;
	switch (a->phase) {
	case PHASE_NONE:
		*reason = "there is no view of the ring";
		return AGREE_NO_VIEW;
	case PHASE_NO_QUORUM:
		*reason = a->votes;
		return AGREE_NO_QUORUM;
	case PHASE_COLLECT:
		*reason = "waiting for the members to say what their logs are";
		return AGREE_RECOVERING;
	case PHASE_PROMISE:
		*reason = "waiting for a majority to promise the new epoch";
		return AGREE_RECOVERING;
	case PHASE_SYNC:
		*reason = "waiting for a majority to have the same log";
		return AGREE_RECOVERING;
	case PHASE_ACTIVE:
		break;
	}
	*reason = a->installed ? "" : "catching up with the log";
	return AGREE_ACTIVE;
}

static void status_fill(struct agree *a)
{
	struct agree_status *s = &a->status;
	const char *reason;
	enum agree_mode mode = mode_now(a, &reason);
	bool sequencer = agree_sequencing(a);
	bool stalled = a->n_sent > a->n_back && a->phase != PHASE_NONE && mono_ms_between(a->sent_at, a->now) >= STALL_MS;
	bool pending = a->has_log && a->log.roster_index > a->emitted;
	bool kept = a->has_log && a->ok_commit > 0;

	if (mode != s->mode || sequencer != s->sequencer || reason != s->reason || stalled != s->stalled ||
	    pending != s->roster_pending || a->has_log != s->has_log || kept != s->kept || a->epoch != s->epoch)
		a->status_changed = true;
	if (mode != s->mode)
		log_info(a->conf.log, "agree: %s%s%s", agree_mode_name(mode), *reason ? ": " : "", reason);
	s->mode = mode;
	s->reason = reason;
	s->has_log = a->has_log;
	s->kept = kept;
	s->local = a->local;
	s->sequencer = sequencer;
	s->stalled = stalled;
	memcpy(s->lineage, a->lineage, sizeof(s->lineage));
	s->epoch = a->epoch;
	s->first = a->log.base.index + 1;
	s->last = agree_log_last(&a->log).index;
	s->durable = agree_order_durable(a);
	s->order = a->phase == PHASE_ACTIVE && a->said_synced && !agree_mute(a) ? a->epoch : 0;
	s->commit = a->commit;
	s->applied = a->applied;
	s->remembers = a->has_log && a->synced > 0 && !agree_mute(a);
	s->roster = a->applied_roster;
	s->roster_pending = pending;
	s->n_malformed = a->n_malformed;
	s->n_stale = a->n_stale;
	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];
		struct agree_member *t = &a->status_member[i];

		if (t->synced != m->synced || t->mute != m->mute || t->differs != m->differs)
			a->status_changed = true;
		*t = (struct agree_member){ m->id, m->synced, m->mute, m->differs, m->acked.index };
	}
	s->member = a->status_member;
	s->n_member = a->n_member;
}

static struct mono wake_at(const struct agree *a)
{
	struct mono w = mono_min(a->commit_due, mono_min(a->report_due, a->cache_until));

	w = mono_min(w, agree_view_wake(a));
	w = mono_min(w, agree_direct_wake(a));
	w = mono_min(w, agree_ask_wake(a));
	w = mono_min(w, agree_pull_wake(a));
	if (a->n_sent > a->n_back && a->phase != PHASE_NONE && !a->status.stalled)
		w = mono_min(w, mono_add_ms(a->sent_at, STALL_MS));
	return w;
}

static void step(struct agree *a, const struct agree_in *in)
{
	switch (in->kind) {
	case AGREE_IN_START: agree_keep_start(a, in->disk); break;
	case AGREE_IN_FOUND: agree_keep_found(a, in->found); break;
	case AGREE_IN_TIMER: break;
	case AGREE_IN_VIEW: agree_view_set(a, in->view.local, in->view.member, in->view.n); break;
	case AGREE_IN_CAST: on_cast(a, &in->msg.from, in->msg.msg); break;
	case AGREE_IN_MESH: on_mesh(a, &in->msg.from, in->msg.msg); break;
	case AGREE_IN_STORED: agree_keep_stored(a, in->stored.seq, in->stored.err); break;
	case AGREE_IN_PROPOSE:
		agree_ask(a, &NODE_ID_NONE, &in->propose.rid, in->propose.kind, in->propose.payload, in->propose.len);
		break;
	case AGREE_IN_APPLIED: agree_keep_applied(a, in->applied.applied, in->applied.n); break;
	case AGREE_IN_SNAPSHOT: agree_keep_snapshot(a, in->snapshot.index, in->snapshot.bytes, in->snapshot.len); break;
	case AGREE_IN_LEARN:
		if (!node_id_eq(&a->learn, &in->learn)) {
			a->learn = in->learn;
			a->pulling = false;
		}
		break;
	}
}

void agree_step(struct agree *a, const struct agree_in *in, struct agree_out *out)
{
	sweep(a);
	a->now = in->now;
	a->n_cast = a->n_send = a->n_commit_out = a->n_reply = a->n_looped = 0;
	a->install_out = NULL;
	a->status_changed = a->snap_wanted = false;
	step(a, in);
	on_timer(a);
	/* The view of ourselves alone: our casts come back at once. */
	while (a->local && a->n_looped < a->n_cast) {
		struct agree_msg m = a->cast[a->n_looped++];

		on_cast(a, &a->conf.self, &m);
	}
	agree_pull(a);
	agree_keep_want(a);
	memset(out, 0, sizeof(*out));
	out->put = agree_keep_put(a);
	if (!a->local && a->phase != PHASE_NONE) {
		out->cast = a->cast;
		out->n_cast = a->n_cast;
	}
	out->send = a->send;
	out->n_send = a->n_send;
	out->install = a->install_out;
	out->commit = a->commit_out;
	out->n_commit = a->n_commit_out;
	out->reply = a->reply;
	out->n_reply = a->n_reply;
	out->need_snapshot = a->snap_wanted;
	status_fill(a);
	out->status = &a->status;
	out->status_changed = a->status_changed;
	out->wake = wake_at(a);
}

const struct agree_entry *agree_entry_at(const struct agree *a, uint64_t index)
{
	return agree_log_at(&a->log, index);
}
