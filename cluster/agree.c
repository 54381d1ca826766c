/* SPDX-License-Identifier: Apache-2.0 */
/* Agreement: inputs in, outputs out. What is durable, what is applied, what is said to the outside. */
#include "cluster/agree.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
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

static void snap_later(struct agree *a, struct agree_snap **s)
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

/* --- applied state --- */

const uint8_t *agree_hash_at(const struct agree *a, uint64_t index)
{
	return a->hash[index % HASHES].index == index ? a->hash[index % HASHES].hash : NULL;
}

static void hash_set(struct agree *a, uint64_t index, const uint8_t *hash)
{
	a->hash[index % HASHES].index = index;
	memcpy(a->hash[index % HASHES].hash, hash, AGREE_HASH_LEN);
}

const struct agree_done *agree_done_find(const struct agree *a, const struct agree_rid *rid)
{
	for (unsigned i = 0; i < a->n_done; i++)
		if (memcmp(a->done[i].rid.b, rid->b, sizeof(rid->b)) == 0)
			return &a->done[i];
	return NULL;
}

static void done_add(struct agree *a, const struct agree_done *d)
{
	if (a->n_done < AGREE_WINDOW) {
		a->done[a->n_done++] = *d;
		return;
	}
	a->done[a->done_head] = *d;
	a->done_head = (a->done_head + 1) % AGREE_WINDOW;
}

static void done_load(struct agree *a, const struct agree_snap *s)
{
	a->n_done = a->done_head = 0;
	for (unsigned i = 0; i < s->n_window; i++)
		done_add(a, &s->window[i]);
}

/*
 * Hand out what is committed. A roster is acted upon (nodes stop, the ring changes), so it goes out
 * only when a restart here would still know that it is committed.
 */
void agree_emit(struct agree *a)
{
	if (a->installing || a->diverged)
		return;
	while (a->emitted < a->commit) {
		struct agree_entry *e = agree_log_at(&a->log, a->emitted + 1);

		assert(e);
		if (e->kind == AGREE_ROSTER) {
			if (a->ok_commit < e->index) {
				if (!a->n_mark || a->mark[a->n_mark - 1].commit < e->index)
					a->put_meta = true;
				return;
			}
			roster_unpack(e->payload, e->len, &a->applied_roster);
			a->status_changed = true;
		}
		a->commit_out = mem_grow(a->commit_out, &a->commit_cap, a->n_commit_out, sizeof(*a->commit_out));
		a->commit_out[a->n_commit_out++] = e;
		a->emitted = e->index;
	}
}

void agree_diverge(struct agree *a, const char *why)
{
	if (a->diverged)
		return;
	a->diverged = true;
	snprintf(a->reason, sizeof(a->reason), "%s", why);
	log_warn(a->conf.log, "agree: stopped: %s", why);
	agree_ask_fail(a, ERR_DIVERGED);
	agree_view_again(a, "our state diverged");
}

static void apply_installed(struct agree *a, const struct agree_applied *ap)
{
	const uint8_t *want = agree_hash_at(a, a->emitted);

	a->installing = false;
	a->applied = a->emitted;
	if (ap->index != a->emitted || !want || memcmp(want, ap->hash, AGREE_HASH_LEN) != 0)
		agree_diverge(a, "the state decoded from a snapshot is not the state that was encoded");
	agree_ask_known(a);
}

static void on_applied(struct agree *a, const struct agree_applied *ap, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct agree_done d = { .index = ap[i].index, .result = ap[i].result };

		if (a->installing) {
			apply_installed(a, &ap[i]);
			continue;
		}
		assert(ap[i].index == a->applied + 1 && ap[i].index <= a->emitted);
		struct agree_entry *e = agree_log_at(&a->log, ap[i].index);

		assert(e);
		d.rid = e->rid;
		a->applied = e->index;
		a->snap_bytes += e->len;
		hash_set(a, e->index, ap[i].hash);
		done_add(a, &d);
		agree_ask_applied(a, &d);
	}
	agree_order_report(a);
}

/* --- store --- */

static void *copy_of(const void *p, size_t n)
{
	return n ? mem_dup(p, n) : NULL;
}

static struct agree_snap *snap_here(struct agree *a, const uint8_t *bytes, uint32_t len)
{
	struct agree_snap *s = mem_zalloc(sizeof(*s));
	const struct agree_entry *e = agree_log_at(&a->log, a->applied);

	memcpy(s->lineage, a->lineage, sizeof(s->lineage));
	s->index = a->applied;
	s->epoch = e ? e->epoch : a->log.base_epoch;
	s->chain = e ? e->chain : a->log.base.chain;
	s->roster = a->applied_roster;
	if (agree_hash_at(a, a->applied))
		memcpy(s->hash, agree_hash_at(a, a->applied), AGREE_HASH_LEN);
	s->n_window = a->n_done;
	s->window = mem_alloc(a->n_done * sizeof(*s->window));
	for (unsigned i = 0; i < a->n_done; i++)
		s->window[i] = a->done[(a->done_head + i) % a->n_done];
	s->bytes = copy_of(bytes, len);
	s->len = len;
	return s;
}

static void on_snapshot(struct agree *a, uint64_t index, const uint8_t *bytes, uint32_t len)
{
	uint64_t first;

	a->snap_asked = a->snap_wanted = false;
	if (index != a->applied || a->installing || len > AGREE_SNAPSHOT_MAX)
		return;
	snap_later(a, &a->cache);
	a->cache = snap_here(a, bytes, len);
	a->cache_until = mono_add_ms(a->now, SNAP_KEEP_MS);
	agree_pull_snapshot(a);
	if (index <= a->snap_index || a->store_failed)
		return;
	snap_later(a, &a->compact);
	a->compact = snap_here(a, bytes, len);
	first = index > a->conf.keep_entries ? index - a->conf.keep_entries : 0;
	if (a->put_from && first >= a->put_from)
		first = a->put_from - 1;        /* not yet in any put */
	agree_log_drop(&a->log, first);
	/* The last dropped entry stays on disk as the base, whose chain the next start needs. */
	a->drop_below = a->log.base.index;
	a->snap_index = index;
	a->snap_bytes = 0;
	a->put_meta = true;
}

static void want_snapshot(struct agree *a)
{
	bool due = a->applied >= a->snap_index + a->conf.snap_entries || a->snap_bytes > SNAP_BYTES;

	if (a->has_log && !a->snap_asked && !a->installing && !agree_mute(a) && (due || a->n_waiting))
		a->snap_wanted = a->snap_asked = true;
}

static void on_stored(struct agree *a, uint64_t seq, int err)
{
	unsigned k = 0;

	if (a->store_failed || seq <= a->stored_seq || seq > a->put_seq)
		return;
	if (err) {
		a->store_failed = true;
		a->store_err = err;
		snprintf(a->reason, sizeof(a->reason), "the store failed: %s", err_text(err));
		log_warn(a->conf.log, "agree: %s; this node does not vote", a->reason);
		agree_ask_fail(a, ERR_IO);
		agree_view_again(a, "our store failed");
		return;
	}
	a->stored_seq = seq;
	while (k < a->n_mark && a->mark[k].seq <= seq) {
		a->ok_promised = a->mark[k].promised;
		a->ok_synced = a->mark[k].synced;
		a->ok_commit = a->mark[k].commit;
		k++;
	}
	memmove(a->mark, a->mark + k, (a->n_mark - k) * sizeof(a->mark[0]));
	a->n_mark -= k;
	agree_view_stored(a);
	agree_order_ack(a);
	agree_emit(a);
}

/* Collect everything that is to become durable into one put. */
static const struct agree_put *put_fill(struct agree *a)
{
	struct agree_put *p = &a->put;
	uint64_t last = agree_log_last(&a->log).index;

	if (!a->put_meta || agree_mute(a) || a->n_mark == PUTS_MAX)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->seq = ++a->put_seq;
	p->install = a->install;
	p->compact = a->compact;
	p->drop_below = a->drop_below;
	p->cut_from = a->cut_from;
	for (uint64_t i = a->put_from; i && i <= last; i++) {
		struct agree_entry *e = agree_log_at(&a->log, i);

		a->put_entry = mem_grow(a->put_entry, &a->put_cap, p->n_entry, sizeof(*a->put_entry));
		a->put_entry[p->n_entry++] = e;
		e->put_seq = p->seq;
	}
	p->entry = a->put_entry;
	p->promised = a->promised;
	p->synced = a->synced;
	p->commit = a->commit;
	a->mark[a->n_mark++] = (struct put_mark){ p->seq, p->promised, p->synced, p->commit };
	snap_later(a, &a->install);
	snap_later(a, &a->compact);
	a->put_from = a->cut_from = a->drop_below = 0;
	a->put_meta = false;
	a->commit_due = MONO_NEVER;
	return p;
}

/* --- start --- */

static void forget(struct agree *a)
{
	agree_pull_reset(a);
	agree_log_cut(&a->log, 0);
	agree_snap_drop(&a->install);
	agree_snap_drop(&a->compact);
	snap_later(a, &a->cache);
	a->log.base = (struct agree_at){ 0 };
	a->log.base_epoch = a->log.roster_index = a->log.before_index = 0;
	memset(&a->log.roster, 0, sizeof(a->log.roster));
	memset(a->lineage, 0, sizeof(a->lineage));
	memset(a->hash, 0, sizeof(a->hash));
	memset(&a->applied_roster, 0, sizeof(a->applied_roster));
	a->has_log = a->store_failed = a->diverged = a->installing = a->snap_asked = false;
	a->put_from = a->cut_from = a->drop_below = 0;
	a->put_meta = false;
	a->n_mark = 0;
	a->stored_seq = a->put_seq;
	a->n_done = a->done_head = 0;
	a->snap_bytes = a->reported = 0;
	a->commit = a->emitted = a->applied = a->snap_index = 0;
	a->n_waiting = a->n_sub = 0;
}

void agree_snap_take(struct agree *a, const struct agree_snap *s)
{
	a->has_log = true;
	memcpy(a->lineage, s->lineage, sizeof(a->lineage));
	a->applied_roster = s->roster;
	a->emitted = a->applied = a->snap_index = s->index;
	a->snap_bytes = 0;
	hash_set(a, s->index, s->hash);
	done_load(a, s);
}

/* The entries of the store; false if they are not one chain with the snapshot. */
static bool load(struct agree *a, const struct agree_disk *d)
{
	unsigned i = 0;

	agree_log_reset(&a->log, d->snap);
	if (d->n_entry && d->entry[0]->index <= d->snap->index) {
		a->log.base = (struct agree_at){ d->entry[0]->index, d->entry[0]->chain };
		a->log.base_epoch = d->entry[0]->epoch;
		i = 1;
	}
	for (; i < d->n_entry; i++) {
		struct agree_at last = agree_log_last(&a->log);
		struct agree_entry *e = NULL;

		if (d->entry[i]->index == last.index + 1)
			e = agree_entry_follow(&last.chain, d->entry[i]);
		if (!e || !agree_log_append(&a->log, e)) {
			agree_entry_drop(&e);
			return false;
		}
		e->put_seq = 0;
		if (e->index <= d->snap->index) {
			a->log.roster = a->log.before = d->snap->roster;
			a->log.roster_index = a->log.before_index = d->snap->index;
		}
	}
	struct agree_at at = { d->snap->index, d->snap->chain };

	return agree_log_has(&a->log, &at);
}

static void on_start(struct agree *a, const struct agree_disk *d)
{
	forget(a);
	a->started = true;
	a->promised = a->ok_promised = d->promised;
	a->synced = a->ok_synced = d->synced;
	if (d->snap) {
		agree_snap_take(a, d->snap);
		if (!load(a, d)) {
			a->store_failed = true;
			a->store_err = ERR_MALFORMED;
			snprintf(a->reason, sizeof(a->reason), "the stored log is damaged after entry %llu",
				 (unsigned long long)agree_log_last(&a->log).index);
			log_warn(a->conf.log, "agree: %s; this node does not vote", a->reason);
		}
		uint64_t last = agree_log_last(&a->log).index;

		a->commit = d->commit > a->snap_index ? d->commit : a->snap_index;
		if (a->commit > last)
			a->commit = last > a->snap_index ? last : a->snap_index;
		a->ok_commit = a->commit;
	}
	if (!a->store_failed)
		agree_emit(a);
	agree_view_again(a, "started");
}

static void on_found(struct agree *a, const struct agree_snap *s)
{
	struct agree_snap *own;

	if (a->has_log || a->store_failed)
		return;
	own = mem_dup(s, sizeof(*s));
	own->index = own->epoch = 1;
	own->window = NULL;
	own->n_window = 0;
	own->bytes = copy_of(s->bytes, s->len);
	own->chain = agree_chain_found(own);
	agree_snap_take(a, own);
	agree_log_reset(&a->log, own);
	a->promised = a->synced = a->commit = 1;
	a->install = own;
	a->put_meta = true;
	agree_view_again(a, "founded");
}

/* --- messages, time, status --- */

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
	if (msg->tag != a->tag || a->tag == 0 || msg->boot != m->boot) {
		a->n_stale++;
		return;
	}
	if (a->phase < PHASE_PROMISE || a->diverged)
		return;
	if (msg->kind == AGREE_MSG_PROMISED || msg->kind == AGREE_MSG_SYNCED)
		agree_view_msg(a, m, msg);
	else
		agree_order_msg(a, m, msg);
}

static void on_mesh(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	switch (msg->kind) {
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
		snap_later(a, &a->cache);
		a->cache_until = MONO_NEVER;
	}
	agree_view_timer(a);
	agree_ask_timer(a);
	agree_pull_timer(a);
	if (mono_due(a->report_due, a->now)) {
		a->report_due = MONO_NEVER;
		agree_order_ack(a);
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

	if (mode != s->mode || sequencer != s->sequencer || reason != s->reason || stalled != s->stalled ||
	    pending != s->roster_pending || a->has_log != s->has_log || a->epoch != s->epoch)
		a->status_changed = true;
	if (mode != s->mode)
		log_info(a->conf.log, "agree: %s%s%s", agree_mode_name(mode), *reason ? ": " : "", reason);
	s->mode = mode;
	s->reason = reason;
	s->has_log = a->has_log;
	s->local = a->local;
	s->sequencer = sequencer;
	s->stalled = stalled;
	memcpy(s->lineage, a->lineage, sizeof(s->lineage));
	s->epoch = a->epoch;
	s->first = a->log.base.index + 1;
	s->last = agree_log_last(&a->log).index;
	s->commit = a->commit;
	s->applied = a->applied;
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
	w = mono_min(w, agree_ask_wake(a));
	w = mono_min(w, agree_pull_wake(a));
	if (a->n_sent > a->n_back && a->phase != PHASE_NONE && !a->status.stalled)
		w = mono_min(w, mono_add_ms(a->sent_at, STALL_MS));
	return w;
}

static void step(struct agree *a, const struct agree_in *in)
{
	switch (in->kind) {
	case AGREE_IN_START: on_start(a, in->disk); break;
	case AGREE_IN_FOUND: on_found(a, in->found); break;
	case AGREE_IN_TIMER: break;
	case AGREE_IN_VIEW: agree_view_set(a, in->view.local, in->view.member, in->view.n); break;
	case AGREE_IN_CAST: on_cast(a, &in->msg.from, in->msg.msg); break;
	case AGREE_IN_MESH: on_mesh(a, &in->msg.from, in->msg.msg); break;
	case AGREE_IN_STORED: on_stored(a, in->stored.seq, in->stored.err); break;
	case AGREE_IN_PROPOSE:
		agree_ask(a, &NODE_ID_NONE, &in->propose.rid, in->propose.kind, in->propose.payload, in->propose.len);
		break;
	case AGREE_IN_APPLIED: on_applied(a, in->applied.applied, in->applied.n); break;
	case AGREE_IN_SNAPSHOT: on_snapshot(a, in->snapshot.index, in->snapshot.bytes, in->snapshot.len); break;
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
	want_snapshot(a);
	memset(out, 0, sizeof(*out));
	out->put = put_fill(a);
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
