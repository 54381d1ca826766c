/* SPDX-License-Identifier: Apache-2.0 */
/* What agreement keeps: the applied state's marks, puts and what came of them, snapshots, the start from disk. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/agree_int.h"

/* --- applied --- */

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
	agree_emit(a);
}

void agree_keep_applied(struct agree *a, const struct agree_applied *ap, unsigned n)
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
	s->roster = a->taken_index ? a->taken_roster : a->applied_roster;
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

void agree_keep_snapshot(struct agree *a, uint64_t index, const uint8_t *bytes, uint32_t len)
{
	uint64_t first;

	a->snap_asked = a->snap_wanted = false;
	if (index != a->applied || a->installing)
		return;
	if (len > AGREE_SNAPSHOT_MAX) {
		log_warn(a->conf.log, "agree: the state has %" PRIu32 " bytes, more than the %u that a snapshot may have", len, AGREE_SNAPSHOT_MAX);
		a->snap_after = a->applied + a->conf.snap_entries;
		a->n_waiting = 0;
		return;
	}
	a->snap_after = 0;
	agree_snap_later(a, &a->cache);
	a->cache = snap_here(a, bytes, len);
	a->cache_until = mono_add_ms(a->now, SNAP_KEEP_MS);
	agree_pull_snapshot(a);
	if (index <= a->snap_index || a->store_failed)
		return;
	agree_snap_later(a, &a->compact);
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

void agree_keep_want(struct agree *a)
{
	bool due = a->applied >= a->snap_index + a->conf.snap_entries || a->snap_bytes > SNAP_BYTES;

	if (a->applied < a->snap_after) {
		a->n_waiting = 0;
		return;
	}
	if (a->has_log && !a->snap_asked && !a->installing && !agree_mute(a) && (due || a->n_waiting))
		a->snap_wanted = a->snap_asked = true;
}

void agree_keep_stored(struct agree *a, uint64_t seq, int err)
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
	if (a->taken_index && a->ok_commit >= a->taken_index) {
		a->applied_roster = a->taken_roster;
		a->taken_index = 0;
		a->status_changed = true;
	}
	memmove(a->mark, a->mark + k, (a->n_mark - k) * sizeof(a->mark[0]));
	a->n_mark -= k;
	agree_view_stored(a);
	agree_order_ack(a);
	agree_emit(a);
}

/* Collect everything that is to become durable into one put. */
const struct agree_put *agree_keep_put(struct agree *a)
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
	agree_snap_later(a, &a->install);
	agree_snap_later(a, &a->compact);
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
	agree_snap_later(a, &a->cache);
	a->log.base = (struct agree_at){ 0 };
	a->log.base_epoch = a->log.roster_index = a->log.before_index = 0;
	memset(&a->log.roster, 0, sizeof(a->log.roster));
	memset(a->lineage, 0, sizeof(a->lineage));
	memset(a->hash, 0, sizeof(a->hash));
	memset(&a->applied_roster, 0, sizeof(a->applied_roster));
	a->taken_index = a->snap_after = 0;
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
	/* One that knows of no ring has nothing to act upon, and nothing to lose. */
	if (a->applied_roster.n) {
		a->taken_roster = s->roster;
		a->taken_index = s->index;
	} else {
		a->applied_roster = s->roster;
	}
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

void agree_keep_start(struct agree *a, const struct agree_disk *d)
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
		/* The caller begins from the stored state, too; what follows it is handed out after that. */
		a->installing = true;
		a->install_out = d->snap;
	}
	agree_view_again(a, "started");
}

void agree_keep_found(struct agree *a, const struct agree_snap *s)
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
