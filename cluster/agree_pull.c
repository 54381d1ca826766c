/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a member lacks comes over the mesh, on its own request: entries after its commit point, or a
 * snapshot where those are not kept. Committed entries may be taken over from any member at any time
 * (a conflicting tail of ours cannot be committed); uncommitted ones only as the whole log that the
 * current epoch begins with, in one put.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "cluster/agree_int.h"

static void stage_drop(struct agree *a)
{
	for (unsigned i = 0; i < a->n_stage; i++)
		agree_entry_drop(&a->stage[i]);
	a->n_stage = 0;
}

void agree_pull_reset(struct agree *a)
{
	stage_drop(a);
	agree_snap_drop(&a->rx);
	a->pulling = false;
	a->pull_due = MONO_NEVER;
	a->pull_turn = 0;
}

/* --- asking --- */

static bool in_epoch(const struct agree *a)
{
	return a->phase == PHASE_SYNC || a->phase == PHASE_ACTIVE;
}

/* Do we lack something that the epoch has? */
static bool behind(const struct agree *a)
{
	uint64_t last = agree_log_last(&a->log).index;

	if (!in_epoch(a))
		return false;
	return !a->installed || a->seen > last;
}

/*
 * Before there is an epoch: the member that has said it knows the most as committed, if that is more than we do. Without
 * the rosters that it has applied we may never have the view that it has, and so never its epoch.
 */
static const struct member *ahead(const struct agree *a)
{
	const struct member *best = NULL;
	uint64_t commit = a->commit;

	if (!a->has_log || a->phase == PHASE_NONE || in_epoch(a))
		return NULL;
	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];

		if (m->has_state && !m->mute && m->state.commit > commit &&
		    memcmp(m->state.lineage, a->lineage, sizeof(a->lineage)) == 0) {
			commit = m->state.commit;
			best = m;
		}
	}
	return best;
}

/* Another member that has the log of the epoch; each try asks the next one. */
static bool source(const struct agree *a, struct node_id *from)
{
	const struct member *pick[AGREE_MEMBERS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];
		bool has = m->synced || node_id_eq(&m->id, &a->best) ||
			   (m->in_set && m->state.last.index == a->begin.index &&
			    agree_chain_eq(&m->state.last.chain, &a->begin.chain));

		if (has && !m->mute && !node_id_eq(&m->id, &a->conf.self))
			pick[n++] = m;
	}
	if (n == 0)
		return false;
	*from = pick[a->pull_turn % n]->id;
	return true;
}

/* Up to where we have it: the staged entries, or what we know to be committed. */
static struct agree_at have(const struct agree *a)
{
	struct agree_at at = { 0 };

	if (a->n_stage) {
		const struct agree_entry *e = a->stage[a->n_stage - 1];

		return (struct agree_at){ e->index, e->chain };
	}
	if (a->has_log)
		agree_log_point(&a->log, a->commit, &at);
	return at;
}

static void ask(struct agree *a)
{
	struct agree_msg *m;

	if (a->rx && node_id_eq(&a->rx_from, &a->pull_from)) {
		m = agree_send(a, &a->pull_from, AGREE_MSG_PULL_SNAP);
		m->pull_snap.index = a->rx->index;
		m->pull_snap.offset = a->rx_got;
		return;
	}
	agree_snap_drop(&a->rx);
	m = agree_send(a, &a->pull_from, AGREE_MSG_PULL);
	m->tag = in_epoch(a) ? a->tag : 0;
	memcpy(m->pull.lineage, a->lineage, sizeof(m->pull.lineage));
	m->pull.after = have(a);
}

void agree_pull(struct agree *a)
{
	bool learn = !node_id_none(&a->learn) && a->started &&
		     (a->phase == PHASE_NONE || a->phase == PHASE_NO_QUORUM);
	const struct member *m = ahead(a);

	if (a->pulling || agree_mute(a))
		return;
	if (behind(a)) {
		if (!source(a, &a->pull_from))
			return;
	} else if (m) {
		a->pull_from = m->id;
	} else if (learn) {
		a->pull_from = a->learn;
	} else {
		return;
	}
	a->pulling = true;
	a->pull_due = mono_add_ms(a->now, in_epoch(a) || m ? PULL_MS : LEARN_MS);
	ask(a);
}

void agree_pull_timer(struct agree *a)
{
	if (a->pulling && mono_due(a->pull_due, a->now)) {
		a->pulling = false;     /* agree_pull() asks again, the next one where there is a choice */
		a->pull_due = MONO_NEVER;
		a->pull_turn++;
	}
	for (unsigned i = 0; i < a->n_sub;) {
		if (mono_due(a->sub[i].until, a->now))
			a->sub[i] = a->sub[--a->n_sub];
		else
			i++;
	}
}

struct mono agree_pull_wake(const struct agree *a)
{
	return a->pulling ? a->pull_due : MONO_NEVER;
}

/* --- taking --- */

/* The log's next entry. False if it is not. */
static bool append_theirs(struct agree *a, const struct agree_entry *theirs)
{
	struct agree_at last = agree_log_last(&a->log);
	struct agree_entry *e = theirs->index == last.index + 1 ? agree_entry_follow(&last.chain, theirs) : NULL;

	if (e)
		e->put_seq = UINT64_MAX;
	if (!e || !agree_log_append(&a->log, e)) {
		agree_entry_drop(&e);
		return false;
	}
	agree_dirty(a, e->index);
	return true;
}

/* An entry that is known to be committed. False if it does not fit. */
static bool take_committed(struct agree *a, const struct agree_entry *theirs)
{
	struct agree_at at = { theirs->index, theirs->chain };

	if (theirs->index <= a->commit)
		return true;
	if (!agree_log_has(&a->log, &at)) {
		agree_cut(a, theirs->index);
		if (!append_theirs(a, theirs))
			return false;
	}
	agree_commit_to(a, theirs->index);
	return true;
}

/* The staged entries reach `begin`: put our tail aside, take them all. */
static void stage_install(struct agree *a)
{
	agree_cut(a, a->stage[0]->index);
	for (unsigned i = 0; i < a->n_stage; i++) {
		a->stage[i]->put_seq = UINT64_MAX;
		if (!agree_log_append(&a->log, a->stage[i])) {
			a->n_malformed++;
			break;
		}
		agree_dirty(a, a->stage[i]->index);
		a->stage[i] = NULL;
	}
	stage_drop(a);
}

static bool take_staged(struct agree *a, const struct agree_entry *theirs)
{
	struct agree_at at, last;
	struct agree_entry *e;

	if (a->n_stage == 0)
		agree_view_installed(a);        /* the committed ones may have reached `begin` */
	at = have(a);
	last = agree_log_last(&a->log);
	if (a->installed) {     /* the log is that of the epoch: only its own entries can follow */
		return theirs->index <= last.index || append_theirs(a, theirs);
	}
	if (theirs->index != at.index + 1 || a->n_stage > 2 * PIPELINE_MAX)
		return false;
	e = agree_entry_follow(&at.chain, theirs);
	if (!e)
		return false;
	a->stage = mem_grow(a->stage, &a->stage_cap, a->n_stage, sizeof(struct agree_entry *));
	a->stage[a->n_stage++] = e;
	if (theirs->index == a->begin.index && agree_chain_eq(&e->chain, &a->begin.chain)) {
		stage_install(a);
		agree_view_installed(a);
	}
	return true;
}

static void on_push(struct agree *a, const struct agree_msg *msg)
{
	struct agree_at at = have(a);
	bool epoch = msg->tag != 0 && msg->tag == a->tag && in_epoch(a), ok = true, nothing;
	uint64_t commit = a->commit, last = agree_log_last(&a->log).index;
	unsigned staged = a->n_stage;

	if (!a->has_log || msg->push.after.index != at.index || !agree_chain_eq(&msg->push.after.chain, &at.chain)) {
		a->n_stale++;           /* an answer to an older question */
		return;
	}
	for (unsigned i = 0; i < msg->push.n && ok; i++) {
		const struct agree_entry *e = &msg->push.entry[i];

		if (e->index <= msg->push.commit && a->n_stage == 0)
			ok = take_committed(a, e);
		else if (epoch)
			ok = take_staged(a, e);
	}
	if (!ok) {
		a->n_malformed++;
		stage_drop(a);
		return;                 /* asked again at pull_due */
	}
	if (in_epoch(a))
		agree_view_installed(a);
	/* A learner with nothing to come waits for the push of the next commit: its pull is noted there. */
	nothing = commit == a->commit && last == agree_log_last(&a->log).index && staged == a->n_stage;
	if (!nothing) {
		a->pulling = false;
	} else if (behind(a)) {
		a->pull_due = mono_add_ms(a->now, PULL_MS / 10);
	}
}

/* --- snapshots --- */

static void rx_finish(struct agree *a)
{
	struct agree_snap *s = a->rx;
	struct agree_at at = { s->index, s->chain };

	a->rx = NULL;
	a->pulling = false;
	if (s->index <= a->commit || (a->has_log && memcmp(s->lineage, a->lineage, sizeof(s->lineage)) != 0)) {
		agree_snap_drop(&s);
		return;
	}
	if (a->has_log && agree_log_has(&a->log, &at)) {
		agree_commit_to(a, s->index);   /* we had it all, and did not know that it is committed */
		agree_snap_drop(&s);
		return;
	}
	log_info(a->conf.log, "agree: state taken over at entry %llu", (unsigned long long)s->index);
	agree_snap_drop(&a->install);
	agree_snap_drop(&a->compact);
	agree_log_reset(&a->log, s);
	a->put_from = a->cut_from = a->drop_below = 0;
	a->commit = s->index;
	agree_snap_take(a, s);
	a->installing = true;
	a->install = s;
	a->install_out = s;
	a->put_meta = true;
	if (in_epoch(a))
		agree_view_installed(a);
}

static void on_snap(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	const struct agree_snap *s = &msg->snap.snap;

	if (msg->snap.offset == 0 && (!a->rx || a->rx->index != s->index || !node_id_eq(&a->rx_from, from))) {
		if (s->index <= a->commit || msg->snap.total > AGREE_SNAPSHOT_MAX)
			return;
		agree_snap_drop(&a->rx);
		a->rx = mem_dup(s, sizeof(*s));
		a->rx->window = mem_dup(s->window, s->n_window * sizeof(*s->window));
		a->rx->bytes = NULL;
		a->rx->len = 0;
		a->rx_total = msg->snap.total;
		a->rx_got = 0;
		a->rx_from = *from;
	}
	if (!a->rx || a->rx->index != s->index || !node_id_eq(&a->rx_from, from) || msg->snap.offset != a->rx_got ||
	    msg->snap.total != a->rx_total || s->len > a->rx_total - a->rx_got || (!s->len && a->rx_total)) {
		a->n_stale++;
		return;
	}
	/* Memory grows with what came, never with what was announced. */
	a->rx->bytes = mem_realloc(a->rx->bytes, (size_t)a->rx_got + s->len);
	if (s->len)
		memcpy(a->rx->bytes + a->rx_got, s->bytes, s->len);
	a->rx_got += s->len;
	a->rx->len = a->rx_got;
	if (a->rx_got == a->rx_total) {
		rx_finish(a);
		return;
	}
	a->pull_due = mono_add_ms(a->now, PULL_MS);
	ask(a);
}

/* --- giving --- */

static void give_part(struct agree *a, const struct node_id *to, uint32_t offset)
{
	const struct agree_snap *c = a->cache;
	struct agree_msg *m;

	if (offset > c->len)
		return;
	m = agree_send(a, to, AGREE_MSG_SNAP);
	if (offset == 0) {
		m->snap.snap = *c;
	} else {
		m->snap.snap.index = c->index;
	}
	m->snap.total = c->len;
	m->snap.offset = offset;
	m->snap.snap.bytes = c->len ? c->bytes + offset : NULL;
	m->snap.snap.len = c->len - offset < AGREE_CHUNK_BYTES ? c->len - offset : AGREE_CHUNK_BYTES;
	a->cache_until = mono_add_ms(a->now, SNAP_KEEP_MS);
}

static void give_snapshot(struct agree *a, const struct node_id *to)
{
	if (a->cache && a->cache->index >= a->log.base.index) {
		give_part(a, to, 0);
		return;
	}
	for (unsigned i = 0; i < a->n_waiting; i++)
		if (node_id_eq(&a->waiting[i], to))
			return;
	if (a->n_waiting < WAITING_MAX)
		a->waiting[a->n_waiting++] = *to;
}

void agree_pull_snapshot(struct agree *a)
{
	for (unsigned i = 0; i < a->n_waiting; i++)
		give_part(a, &a->waiting[i], 0);
	a->n_waiting = 0;
}

/* Entries after `after` up to `upto` as one message; false if `after` is not in our log. */
static bool give(struct agree *a, const struct node_id *to, uint64_t tag, const struct agree_at *after, uint64_t upto)
{
	struct agree_entry *list;
	struct agree_msg *m;
	uint64_t bytes = 0;
	unsigned n = 0;

	if (!agree_log_has(&a->log, after))
		return false;
	list = mem_alloc(AGREE_BATCH_ENTRIES * sizeof(*list));
	agree_later(a, list);
	for (uint64_t i = after->index + 1; i <= upto && n < AGREE_BATCH_ENTRIES && bytes < AGREE_BATCH_BYTES; i++) {
		list[n] = *agree_log_at(&a->log, i);
		bytes += list[n++].len;
	}
	m = agree_send(a, to, AGREE_MSG_PUSH);
	m->tag = tag;
	m->push.after = *after;
	m->push.commit = a->commit;
	m->push.entry = list;
	m->push.n = n;
	m->push.more = after->index + n < upto;
	return true;
}

static void subscribe(struct agree *a, const struct node_id *id, const struct agree_at *after)
{
	unsigned i = 0;

	while (i < a->n_sub && !node_id_eq(&a->sub[i].id, id))
		i++;
	if (i == SUBSCRIBERS_MAX)
		return;
	if (i == a->n_sub)
		a->n_sub++;
	a->sub[i] = (struct subscriber){ *id, *after, mono_add_ms(a->now, SUBSCRIBE_MS) };
}

void agree_pull_committed(struct agree *a)
{
	for (unsigned i = 0; i < a->n_sub; i++)
		give(a, &a->sub[i].id, 0, &a->sub[i].after, a->commit);
	a->n_sub = 0;
}

static void on_pull(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	static const uint8_t none[16];
	const struct agree_at *after = &msg->pull.after;
	bool epoch = msg->tag != 0 && msg->tag == a->tag && in_epoch(a) &&
		     (a->installed || agree_log_has(&a->log, &a->begin));

	if (!a->has_log || a->installing)
		return;
	if (memcmp(msg->pull.lineage, none, 16) != 0 && memcmp(msg->pull.lineage, a->lineage, 16) != 0) {
		a->n_stale++;
		return;
	}
	if (after->index < a->log.base.index || memcmp(msg->pull.lineage, none, 16) == 0) {
		give_snapshot(a, from);
		return;
	}
	if (!agree_log_has(&a->log, after)) {
		if (after->index <= a->commit)
			log_warn(a->conf.log, "agree: a member has another entry %llu than we have, both as committed",
				 (unsigned long long)after->index);
		return;
	}
	if (!epoch && after->index >= a->commit) {
		give(a, from, 0, after, after->index);
		subscribe(a, from, after);
		return;
	}
	give(a, from, epoch ? msg->tag : 0, after, epoch ? agree_log_last(&a->log).index : a->commit);
}

static void on_pull_snap(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	/* Another snapshot than the one it has begun with: it begins again. */
	if (a->cache && a->cache->index == msg->pull_snap.index)
		give_part(a, from, msg->pull_snap.offset);
	else if (a->has_log && !a->installing)
		give_snapshot(a, from);
}

void agree_pull_msg(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	if (!a->started)
		return;
	switch (msg->kind) {
	case AGREE_MSG_PULL: on_pull(a, from, msg); return;
	case AGREE_MSG_PULL_SNAP: on_pull_snap(a, from, msg); return;
	default: break;
	}
	if (!a->pulling || !node_id_eq(from, &a->pull_from)) {
		a->n_stale++;
		return;
	}
	if (msg->kind == AGREE_MSG_PUSH)
		on_push(a, msg);
	else
		on_snap(a, from, msg);
}
