/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a view to an active epoch (doc/agreement.md, "Recovery"). All members say what their logs are;
 * all weigh the same words and come to the same epoch, log and sequencer; a majority promises the
 * epoch, then a majority makes its log durable; then it is active.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cluster/agree_int.h"

static unsigned rank(const struct agree *a)
{
	unsigned r = 0;

	for (unsigned i = 0; i < a->n_member; i++)
		r += node_id_cmp(&a->member[i].id, &a->conf.self) < 0;
	return r;
}

static void say_state(struct agree *a)
{
	struct agree_msg *m = agree_cast(a, AGREE_MSG_STATE);
	struct agree_state *s = &m->state;

	m->tag = 0;
	memcpy(s->lineage, a->lineage, sizeof(s->lineage));
	s->round = a->round;
	s->promised = a->promised;
	s->synced = a->synced;
	s->last = agree_log_last(&a->log);
	s->commit = a->commit;
	s->mute = agree_mute(a);
	s->empty = !a->has_log;
	s->roster = a->log.roster;
	s->roster_index = a->log.roster_index;
	s->joint = a->has_log && a->log.roster_index > a->commit;
	if (s->joint)
		s->before = a->log.before;
}

static void round_begin(struct agree *a, uint64_t round)
{
	a->round = round;
	a->phase = PHASE_COLLECT;
	a->tag = 0;
	a->installed = a->said_promised = a->said_synced = a->in_set = false;
	a->acked = a->acked_cast = a->seen = 0;
	agree_direct_reset(a);
	for (unsigned i = 0; i < a->n_member; i++) {
		struct member *m = &a->member[i];

		*m = (struct member){ .id = m->id, .mute = m->mute, .differs = m->differs };
	}
	a->collect_due = mono_add_ms(a->now, COLLECT_MS + 50 * rank(a));
	a->recover_due = mono_add_ms(a->now, a->recover_ms + 150 * rank(a));
	agree_pull_reset(a);
	say_state(a);
	agree_ask_again(a);
}

void agree_view_set(struct agree *a, bool local, const struct node_id *id, unsigned n)
{
	if (n > AGREE_MEMBERS_MAX)
		n = AGREE_MEMBERS_MAX;
	a->local = local && n > 0;
	a->n_member = n;
	a->n_back = a->n_sent;
	for (unsigned i = 0; i < n; i++)
		a->member[i] = (struct member){ .id = id[i] };
	a->recover_ms = RECOVER_MS;
	a->status_changed = true;
	if (n == 0 || !a->started) {
		a->phase = PHASE_NONE;
		a->tag = 0;
		a->installed = false;
		a->collect_due = a->recover_due = MONO_NEVER;
		agree_pull_reset(a);
		agree_ask_again(a);
		return;
	}
	round_begin(a, a->round + 1);
}

/* Another round in the same view. */
void agree_view_again(struct agree *a, const char *why)
{
	if (a->n_member == 0 || !a->started)
		return;
	log_info(a->conf.log, "agree: round %llu: %s", (unsigned long long)a->round + 1, why);
	a->recover_ms = a->recover_ms * 2 < RECOVER_MAX_MS ? a->recover_ms * 2 : RECOVER_MAX_MS;
	round_begin(a, a->round + 1);
}

/* Does x's log go further than y's? The epoch whose log it took over decides, then the length. */
static bool further(const struct agree_state *x, const struct agree_state *y)
{
	if (x->synced != y->synced && !PLANTED(PLANT_LONGEST))
		return x->synced > y->synced;
	return x->last.index > y->last.index;
}

static bool speaks(const struct member *m)
{
	return m->in_set && !m->state.mute && !m->state.empty;
}

static bool same_lineage(const struct agree_state *x, const struct agree_state *y)
{
	return memcmp(x->lineage, y->lineage, sizeof(x->lineage)) == 0;
}

/* Present for this log: a newcomer with nothing, too. */
static bool present(const struct agree *a, const struct member *m)
{
	const struct member *best = agree_member((struct agree *)a, &a->best);

	return m->in_set && !m->state.mute && best && (m->state.empty || same_lineage(&m->state, &best->state));
}

/*
 * A voter that never took over a log is new, or has lost its disk: it does not know what it promised
 * and acknowledged. Until it has taken part in an epoch its word about the past is worth nothing.
 */
static bool remembers(const struct agree *a, const struct member *m)
{
	return present(a, m) && ((!m->state.empty && m->state.synced > 0) || PLANTED(PLANT_AMNESIA));
}

static bool promised(const struct agree *a, const struct member *m)
{
	return m->promised && present(a, m);
}

static bool synced(const struct agree *a, const struct member *m)
{
	return m->synced && !m->mute;
}

static unsigned count_of(const struct agree *a, const struct roster *r,
			 bool (*yes)(const struct agree *, const struct member *))
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->n_member; i++)
		n += roster_votes(r, &a->member[i].id) && yes(a, &a->member[i]);
	return n;
}

static bool majority_of(const struct agree *a, const struct roster *r,
			bool (*yes)(const struct agree *, const struct member *))
{
	return count_of(a, r, yes) >= roster_majority(r) - (PLANTED(PLANT_MINORITY) && roster_majority(r) > 1);
}

/* Of those that remember, so many that every majority there ever was has one of them. */
static bool past_known(const struct agree *a, const struct roster *r)
{
	return count_of(a, r, remembers) + roster_majority(r) > roster_n_voters(r) ||
	       (PLANTED(PLANT_MINORITY) && count_of(a, r, remembers));
}

bool agree_view_majority(const struct agree *a, bool (*yes)(const struct agree *, const struct member *))
{
	if (a->quorum_joint && !PLANTED(PLANT_OLD_ROSTER) && !majority_of(a, &a->quorum_before, yes))
		return false;
	return majority_of(a, &a->quorum, yes);
}

static const struct member *furthest(const struct agree *a)
{
	const struct member *best = NULL;

	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];

		if (!speaks(m))
			continue;
		if (!best || further(&m->state, &best->state) ||
		    (!further(&best->state, &m->state) && node_id_cmp(&m->id, &best->id) < 0))
			best = m;
	}
	return best;
}

/* Whom the epoch's order comes from: a voter that has its log already, if there is one; the lowest id of them. */
static struct node_id choose_sequencer(const struct agree *a, const struct member *best)
{
	const struct member *s = NULL;

	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];
		bool has, s_has;

		if (!remembers(a, m) || !roster_votes(&a->quorum, &m->id))
			continue;
		has = m->state.synced == best->state.synced && m->state.last.index == best->state.last.index;
		s_has = s && s->state.synced == best->state.synced && s->state.last.index == best->state.last.index;
		if (!s || (has && !s_has) || (has == s_has && node_id_cmp(&m->id, &s->id) < 0))
			s = m;
	}
	return s ? s->id : NODE_ID_NONE;
}

/* Weigh the STATEs of the set: which log, which roster. True if the set has a majority. */
static bool weigh(struct agree *a)
{
	const struct member *best = furthest(a);
	uint64_t commit = 0;

	if (!best) {
		a->best = NODE_ID_NONE;
		return false;
	}
	a->best = best->id;
	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];

		if (remembers(a, m) && m->state.commit > commit)
			commit = m->state.commit;
	}
	a->begin = best->state.last;
	a->quorum = best->state.roster;
	a->quorum_joint = best->state.joint && best->state.roster_index > commit;
	if (a->quorum_joint)
		a->quorum_before = best->state.before;
	return agree_view_majority(a, present) && past_known(a, &a->quorum) &&
	       (!a->quorum_joint || PLANTED(PLANT_OLD_ROSTER) || past_known(a, &a->quorum_before));
}

static uint64_t tag_of(const struct agree *a)
{
	crypto_generichash_state h;
	uint64_t tag = 0;
	uint8_t out[8 < crypto_generichash_BYTES_MIN ? crypto_generichash_BYTES_MIN : 8];

	crypto_generichash_init(&h, NULL, 0, sizeof(out));
	crypto_generichash_update(&h, (const uint8_t *)&a->round, sizeof(a->round));
	crypto_generichash_update(&h, (const uint8_t *)&a->epoch, sizeof(a->epoch));
	crypto_generichash_update(&h, a->begin.chain.b, sizeof(a->begin.chain.b));
	crypto_generichash_update(&h, a->sequencer.b, sizeof(a->sequencer.b));
	for (unsigned i = 0; i < a->n_member; i++) {
		const struct member *m = &a->member[i];

		if (!m->in_set)
			continue;
		crypto_generichash_update(&h, m->id.b, sizeof(m->id.b));
		crypto_generichash_update(&h, (const uint8_t *)&m->boot, sizeof(m->boot));
	}
	crypto_generichash_final(&h, out, sizeof(out));
	for (unsigned i = 0; i < 8; i++)
		tag = tag << 8 | out[i];
	return tag ? tag : 1;
}

static void no_quorum(struct agree *a)
{
	const struct roster *r = &a->quorum;
	unsigned have = count_of(a, r, present);

	if (a->quorum_joint && majority_of(a, r, present) && past_known(a, r)) {
		r = &a->quorum_before;
		have = count_of(a, r, present);
	}
	if (node_id_none(&a->best))
		snprintf(a->votes, sizeof(a->votes), "no member of the view has any agreed state");
	else if (majority_of(a, r, present))
		snprintf(a->votes, sizeof(a->votes), "too many of the %u voters have lost their disks: only %u remember",
			 roster_n_voters(r), count_of(a, r, remembers));
	else
		snprintf(a->votes, sizeof(a->votes), "%u of %u voters%s are in the view, %u are needed", have,
			 roster_n_voters(r), r == &a->quorum ? "" : " of the roster before", roster_majority(r));
	a->phase = PHASE_NO_QUORUM;
	a->recover_due = a->collect_due = MONO_NEVER;
	agree_ask_again(a);
}

static void promise(struct agree *a)
{
	if (agree_mute(a) || (!a->has_log && a->promised >= a->epoch))
		return;
	if (a->promised < a->epoch && !PLANTED(PLANT_NO_PROMISE)) {
		a->promised = a->epoch;
		agree_dirty(a, 0);
	}
	agree_view_stored(a);
}

/* The set is complete: the same at every member that has seen the same casts. */
static void decide(struct agree *a)
{
	const struct member *best, *me = agree_member(a, &a->conf.self);
	uint64_t epoch = 0;

	a->in_set = me && me->in_set && me->boot == a->conf.boot;
	if (!weigh(a)) {
		no_quorum(a);
		return;
	}
	best = agree_member(a, &a->best);
	for (unsigned i = 0; i < a->n_member; i++)
		if (a->member[i].in_set && a->member[i].state.promised > epoch)
			epoch = a->member[i].state.promised;
	a->epoch = epoch + 1;
	a->sequencer = choose_sequencer(a, best);
	a->tag = tag_of(a);
	a->phase = PHASE_PROMISE;
	a->collect_due = MONO_NEVER;
	log_info(a->conf.log, "agree: epoch %llu begins with entry %llu, %u members",
		 (unsigned long long)a->epoch, (unsigned long long)a->begin.index, a->n_member);
	if (a->has_log && memcmp(a->lineage, best->state.lineage, sizeof(a->lineage)) != 0) {
		log_warn(a->conf.log, "agree: the view follows the log of another founding");
		return;
	}
	/* We were not waited for, and have promised more: we could never follow. */
	if (!a->in_set && a->promised >= a->epoch && !agree_mute(a)) {
		agree_view_again(a, "we have promised a later epoch");
		return;
	}
	promise(a);
}

static void try_decide(struct agree *a)
{
	if (a->phase != PHASE_COLLECT)
		return;
	for (unsigned i = 0; i < a->n_member; i++)
		if (!a->member[i].has_state)
			return;
	for (unsigned i = 0; i < a->n_member; i++)
		a->member[i].in_set = true;
	decide(a);
}

static void on_state(struct agree *a, struct member *m, const struct agree_msg *msg)
{
	const struct agree_state *s = &msg->state;

	if (s->round < a->round) {
		a->n_stale++;
		/* It did not hear what the round was decided from: it can neither follow nor be counted without another. */
		if (a->phase > PHASE_COLLECT && !m->in_set)
			agree_view_again(a, "a member did not hear this round");
		return;
	}
	if (s->round > a->round)
		round_begin(a, s->round);
	m->mute = s->mute;
	m->boot = msg->boot;
	if (a->phase != PHASE_COLLECT) {
		/* Too late to be weighed; it may follow. Said once more, it still waits for what the others said before. */
		if (m->has_state)
			agree_view_again(a, "a member did not hear this round");
		else
			m->has_state = true;
		return;
	}
	m->has_state = true;
	m->state = *s;
	try_decide(a);
}

static void on_proceed(struct agree *a, const struct agree_msg *msg)
{
	const struct agree_proceed *p = &msg->proceed;

	if (p->round != a->round || a->phase != PHASE_COLLECT)
		return;
	for (unsigned i = 0; i < a->n_member; i++)
		a->member[i].in_set = false;
	for (unsigned i = 0; i < p->n; i++) {
		struct member *m = agree_member(a, &p->id[i]);

		if (!m || !m->has_state)
			return;
		m->in_set = true;
	}
	decide(a);
}

/* Our log is, or goes past, what the epoch begins with: take it over. */
void agree_view_installed(struct agree *a)
{
	bool has = a->has_log && (agree_log_has(&a->log, &a->begin) ||
				  (a->phase == PHASE_ACTIVE && a->commit >= a->begin.index));

	if (a->installed || a->phase < PHASE_SYNC || agree_mute(a) || !has || a->promised > a->epoch)
		return;
	if (a->begin.index >= a->commit && agree_log_last(&a->log).index > a->begin.index)
		agree_cut(a, a->begin.index + 1);
	a->promised = a->synced = a->epoch;
	a->installed = true;
	agree_dirty(a, 0);
	agree_view_stored(a);
	if (a->phase == PHASE_ACTIVE) {
		a->status_changed = true;
		agree_commit_to(a, a->begin.index);
		agree_order_commit(a);
	}
}

static void on_promised(struct agree *a, struct member *m, const struct agree_msg *msg)
{
	if (msg->promised.epoch != a->epoch || !m->in_set)
		return;
	m->promised = true;
	if (a->phase != PHASE_PROMISE || !agree_view_majority(a, promised))
		return;
	a->phase = PHASE_SYNC;
	agree_view_installed(a);
}

static void on_synced(struct agree *a, struct member *m, const struct agree_msg *msg)
{
	if (msg->synced.epoch != a->epoch || msg->synced.at.index != a->begin.index ||
	    !agree_chain_eq(&msg->synced.at.chain, &a->begin.chain))
		return;
	m->synced = true;
	if (m->acked.index < a->begin.index)
		m->acked = a->begin;
	if (a->phase == PHASE_SYNC && agree_view_majority(a, synced)) {
		a->phase = PHASE_ACTIVE;
		a->recover_due = MONO_NEVER;
		a->recover_ms = RECOVER_MS;
		agree_order_begin(a);
	} else if (a->phase == PHASE_ACTIVE) {
		agree_order_commit(a);
	}
}

void agree_view_msg(struct agree *a, struct member *m, const struct agree_msg *msg)
{
	switch (msg->kind) {
	case AGREE_MSG_STATE: on_state(a, m, msg); break;
	case AGREE_MSG_PROCEED: on_proceed(a, msg); break;
	case AGREE_MSG_PROMISED: on_promised(a, m, msg); break;
	case AGREE_MSG_SYNCED: on_synced(a, m, msg); break;
	default: break;
	}
}

/* What may be said now, because it is durable. */
void agree_view_stored(struct agree *a)
{
	if (a->phase < PHASE_PROMISE || agree_mute(a))
		return;
	if (!a->said_promised && ((a->promised == a->epoch && a->ok_promised >= a->epoch) || PLANTED(PLANT_NO_PROMISE))) {
		a->said_promised = true;
		agree_cast(a, AGREE_MSG_PROMISED)->promised.epoch = a->epoch;
	}
	if (!a->said_synced && a->installed && a->ok_synced >= a->epoch) {
		struct agree_msg *m = agree_cast(a, AGREE_MSG_SYNCED);

		a->said_synced = true;
		m->synced.epoch = a->epoch;
		m->synced.at = a->begin;
	}
}

/* Some member does not send its STATE (its process hangs, its Corosync does not): go on without, if that is a majority. */
static void collect_timer(struct agree *a)
{
	struct agree_msg *m;

	a->collect_due = mono_add_ms(a->now, RECOVER_MS);
	for (unsigned i = 0; i < a->n_member; i++)
		a->member[i].in_set = a->member[i].has_state;
	if (!weigh(a)) {
		for (unsigned i = 0; i < a->n_member; i++)
			a->member[i].in_set = false;
		say_state(a);   /* perhaps the others are in a later round, of which we have not heard */
		return;
	}
	m = agree_cast(a, AGREE_MSG_PROCEED);
	m->tag = 0;
	m->proceed.round = a->round;
	for (unsigned i = 0; i < a->n_member; i++) {
		if (a->member[i].in_set)
			m->proceed.id[m->proceed.n++] = a->member[i].id;
		a->member[i].in_set = false;
	}
}

void agree_view_timer(struct agree *a)
{
	if (a->phase == PHASE_COLLECT && mono_due(a->collect_due, a->now))
		collect_timer(a);
	if ((a->phase == PHASE_PROMISE || a->phase == PHASE_SYNC) && mono_due(a->recover_due, a->now))
		agree_view_again(a, "the epoch did not become active in time");
}

struct mono agree_view_wake(const struct agree *a)
{
	switch (a->phase) {
	case PHASE_COLLECT: return a->collect_due;
	case PHASE_PROMISE:
	case PHASE_SYNC: return a->recover_due;
	default: return MONO_NEVER;
	}
}
