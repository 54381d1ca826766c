/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An active epoch: one member, the sequencer, makes the entries; all make them durable and acknowledge;
 * what a majority has is committed. Why one member and not the order of CPG itself: at the end of a
 * view the parts of a partition may be delivered different casts (doc/agreement.md, "One pen").
 */
#include <string.h>

#include "base/err.h"
#include "cluster/agree_int.h"

/* --- the sequencer --- */

static int roster_allowed(struct agree *a, const uint8_t *payload, uint32_t len)
{
	struct roster r;
	int err;

	if (roster_unpack(payload, len, &r) < 0)
		return ERR_INVAL;
	if (a->log.roster_index > a->commit)
		return ERR_AGAIN;       /* one change at a time */
	err = roster_follows(&a->log.roster, &r);
	/* A vote goes to who has the log, else the change itself might never find its majority. */
	for (unsigned i = 0; i < r.n && !err; i++) {
		const struct member *m = agree_member(a, &r.node[i].id);

		if (r.node[i].role == ROSTER_VOTER && !roster_votes(&a->log.roster, &r.node[i].id) &&
		    (!m || !m->synced || m->mute))
			err = ERR_AGAIN;
	}
	return err;
}

static uint64_t pipeline_bytes(const struct agree *a)
{
	uint64_t bytes = 0;

	for (uint64_t i = agree_log_last(&a->log).index; i > a->commit; i--)
		bytes += agree_log_at(&a->log, i)->len;
	return bytes;
}

int agree_order_next(struct agree *a, const struct agree_rid *rid, enum agree_kind kind, const uint8_t *payload,
		     uint32_t len)
{
	struct agree_at last = agree_log_last(&a->log);
	struct agree_entry *e;

	if (!PLANTED(PLANT_NO_DEDUP) && (agree_done_find(a, rid) || agree_log_find(&a->log, rid, a->applied)))
		return 0;
	if (last.index - a->commit >= PIPELINE_MAX || pipeline_bytes(a) + len > PIPELINE_BYTES)
		return ERR_AGAIN;
	if (a->log.bytes > LOG_BYTES_MAX)
		return ERR_LIMIT;
	if (kind == AGREE_ROSTER) {
		int err = roster_allowed(a, payload, len);

		if (err)
			return err;
	}
	e = agree_entry_make(&last.chain, last.index + 1, a->epoch, kind, rid, payload, len);
	e->put_seq = UINT64_MAX;
	agree_log_append(&a->log, e);
	agree_dirty(a, e->index);
	if (!PLANTED(PLANT_CPG_ORDER))
		agree_direct_entry(a, e);
	return 0;
}

/*
 * What comes directly may come late, or twice: after the cast of the same, or after its answer. Each member's proposals
 * are counted, so such a copy is known; it must never be taken, since "refused" was final. And it is not
 * refused either: the cast that follows is.
 */
static void on_propose(struct agree *a, struct member *from, const struct agree_msg *msg, bool direct)
{
	bool late = msg->propose.ask <= from->asked && !PLANTED(PLANT_LATE_COPY);
	int err;

	if ((!node_id_eq(&a->sequencer, &a->conf.self) && !PLANTED(PLANT_CPG_ORDER)) || !agree_active(a))
		return;
	if (direct && (!a->installed || late))
		return;
	if (msg->propose.ask > from->asked)
		from->asked = msg->propose.ask;
	/* Without the epoch's whole log it cannot know whether the request is in it. */
	err = !a->installed ? ERR_AGAIN : agree_order_next(a, &msg->propose.rid, msg->propose.kind, msg->propose.payload, msg->propose.len);
	if (err && !direct) {
		struct agree_msg *m = agree_cast(a, AGREE_MSG_REFUSE);

		m->refuse.rid = msg->propose.rid;
		m->refuse.to = from->id;
		m->refuse.err = err;
	}
}

/* --- everyone --- */

static void on_entry(struct agree *a, struct member *m, const struct agree_msg *msg, bool direct)
{
	const struct agree_entry *theirs = &msg->entry.entry;
	struct agree_at last = agree_log_last(&a->log);
	struct agree_entry *e;

	if (!node_id_eq(&m->id, &a->sequencer) || theirs->epoch != a->epoch || a->phase != PHASE_ACTIVE) {
		a->n_stale++;
		return;
	}
	/* A gap may be filled by the next datagram; that a cast leaves one says that something is lost. */
	if (theirs->index > a->seen && !direct)
		a->seen = theirs->index;
	if (!a->installed || agree_mute(a) || theirs->index != last.index + 1)
		return;                 /* ours, or a gap that is pulled */
	e = agree_chain_eq(&msg->entry.before, &last.chain) ? agree_entry_follow(&last.chain, theirs) : NULL;
	if (e)
		e->put_seq = UINT64_MAX;
	if (!e || !agree_log_append(&a->log, e)) {
		agree_entry_drop(&e);
		a->n_malformed++;
		return;
	}
	agree_dirty(a, e->index);
}

uint64_t agree_order_durable(const struct agree *a)
{
	uint64_t i = agree_log_last(&a->log).index;

	if (PLANTED(PLANT_ACK_EARLY))
		return i;
	while (i > a->log.base.index && agree_log_at(&a->log, i)->put_seq > a->stored_seq)
		i--;
	return i;
}

/* What may be acknowledged now; false: nothing. */
static bool ack_point(const struct agree *a, struct agree_at *at)
{
	uint64_t i;

	if (a->phase != PHASE_ACTIVE || !a->said_synced || agree_mute(a))
		return false;
	i = agree_order_durable(a);
	return i >= a->begin.index && i >= a->acked && agree_log_point(&a->log, i, at);
}

static void ack_fill(const struct agree *a, const struct agree_at *at, struct agree_msg *m)
{
	const uint8_t *hash = agree_hash_at(a, a->applied);

	m->ack.at = *at;
	m->ack.applied = hash ? a->applied : 0;
	if (hash)
		memcpy(m->ack.hash, hash, AGREE_HASH_LEN);
}

void agree_order_ack_cast(struct agree *a)
{
	struct agree_at at;

	if (!ack_point(a, &at))
		return;
	ack_fill(a, &at, agree_cast(a, AGREE_MSG_ACK));
	a->acked = a->acked_cast = at.index;
	a->reported = a->applied;
	a->report_due = a->ack_due = MONO_NEVER;
}

/* Something became durable. */
void agree_order_ack(struct agree *a)
{
	struct member *self = agree_member(a, &a->conf.self);
	struct agree_msg m = { .kind = AGREE_MSG_ACK };
	struct agree_at at;

	if (!ack_point(a, &at) || at.index <= a->acked)
		return;
	if (!agree_direct(a) || !self) {
		agree_order_ack_cast(a);
		return;
	}
	ack_fill(a, &at, &m);
	agree_direct_ack(a, &m);
	a->acked = at.index;
	self->acked = at;
	agree_order_commit(a);
}

static void compare(struct agree *a)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < a->n_member; i++) {
		struct member *m = &a->member[i];
		const uint8_t *ours = m->hash_index ? agree_hash_at(a, m->hash_index) : NULL;

		if (ours) {
			bool differs = memcmp(ours, m->hash, AGREE_HASH_LEN) != 0;

			if (differs && !m->differs)
				log_warn(a->conf.log, "agree: state differs from a member's at entry %llu",
					 (unsigned long long)m->hash_index);
			m->differs = differs;
		}
		differ += m->differs && roster_votes(&a->log.roster, &m->id);
	}
	if (differ >= roster_majority(&a->log.roster))
		agree_diverge(a, "our state differs from that of a majority at the same entry");
}

void agree_order_report(struct agree *a)
{
	compare(a);
	if (a->phase == PHASE_ACTIVE && a->said_synced && a->applied > a->reported && a->report_due.ns == UINT64_MAX)
		a->report_due = mono_add_ms(a->now, REPORT_MS);
}

static void on_ack(struct agree *a, struct member *m, const struct agree_msg *msg, bool direct)
{
	uint64_t commit = a->commit;

	if (a->phase != PHASE_ACTIVE)
		return;
	if (msg->ack.at.index > a->seen && !direct)
		a->seen = msg->ack.at.index;
	if (msg->ack.at.index >= m->acked.index)
		m->acked = msg->ack.at;
	if (msg->ack.applied && msg->ack.applied >= m->hash_index) {
		m->hash_index = msg->ack.applied;
		memcpy(m->hash, msg->ack.hash, AGREE_HASH_LEN);
		compare(a);
	}
	agree_order_commit(a);
	if (direct && a->commit > commit)
		a->misses = 0;
	/* Who casts may have missed what others told it directly. */
	if (!direct && !node_id_eq(&m->id, &a->conf.self) && a->acked_cast < a->acked)
		agree_order_ack_cast(a);
}

uint64_t agree_order_acked(const struct agree *a, const struct member *m)
{
	if (m->mute || !m->synced)
		return 0;
	if (PLANTED(PLANT_CPG_ORDER))
		return m->acked.index;
	if (m->acked.index <= a->commit)
		return m->acked.index;
	return agree_log_has(&a->log, &m->acked) ? m->acked.index : 0;
}

/* The highest entry that a majority of this roster has. */
static uint64_t majority_has(const struct agree *a, const struct roster *r)
{
	uint64_t best = 0;

	for (unsigned i = 0; i < a->n_member; i++) {
		uint64_t x = agree_order_acked(a, &a->member[i]);
		unsigned n = 0;

		for (unsigned j = 0; j < a->n_member; j++)
			n += roster_votes(r, &a->member[j].id) && agree_order_acked(a, &a->member[j]) >= x;
		if (x > best && n >= roster_majority(r) - (PLANTED(PLANT_MINORITY) && roster_majority(r) > 1))
			best = x;
	}
	return best;
}

void agree_commit_to(struct agree *a, uint64_t index)
{
	if (index <= a->commit)
		return;
	a->commit = index;
	if (a->commit_due.ns == UINT64_MAX)
		a->commit_due = mono_add_ms(a->now, COMMIT_MS);
	agree_emit(a);
	agree_pull_committed(a);
}

void agree_order_commit(struct agree *a)
{
	if (a->phase != PHASE_ACTIVE || !a->installed)
		return;
	for (;;) {
		uint64_t to = majority_has(a, &a->log.roster), last = agree_log_last(&a->log).index;

		/* A change of the roster, and what follows it, needs the old one's majority too until it is committed. */
		if (a->log.roster_index > a->commit && !PLANTED(PLANT_OLD_ROSTER)) {
			uint64_t old = majority_has(a, &a->log.before);

			to = old < to ? old : to;
		}
		if (to > last)
			to = last;
		if (to <= a->commit)
			return;
		agree_commit_to(a, to);
	}
}

void agree_order_begin(struct agree *a)
{
	log_info(a->conf.log, "agree: epoch %llu active%s", (unsigned long long)a->epoch,
		 agree_sequencing(a) ? ", we give the order" : "");
	/* All that the epoch begins with is on a majority, in an epoch that no one can have passed. */
	if (a->installed)
		agree_commit_to(a, a->begin.index);
	agree_order_commit(a);
	agree_ask_again(a);
	agree_order_report(a);
}

void agree_order_msg(struct agree *a, struct member *m, const struct agree_msg *msg, bool direct)
{
	switch (msg->kind) {
	case AGREE_MSG_PROPOSE: on_propose(a, m, msg, direct); break;
	case AGREE_MSG_ENTRY: on_entry(a, m, msg, direct); break;
	case AGREE_MSG_ACK: on_ack(a, m, msg, direct); break;
	case AGREE_MSG_REFUSE:
		if (node_id_eq(&m->id, &a->sequencer) && node_id_eq(&msg->refuse.to, &a->conf.self))
			agree_ask_refused(a, &msg->refuse.rid, msg->refuse.err);
		break;
	default: break;
	}
}
