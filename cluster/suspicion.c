/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Suspicion: the time a silent member has to speak up. It shrinks with each other node that probed it
 * itself in vain (Lifeguard), and those are asked at once, so that a dead node is known dead soon and
 * one that a single node cannot hear has time.
 */
#include <assert.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

static struct suspicion *find(const struct gossip *g, const struct node_id *id)
{
	for (unsigned i = 0; i < g->n_suspicions; i++)
		if (node_id_eq(&g->suspicions[i].id, id))
			return &g->suspicions[i];
	return NULL;
}

/* How many others could confirm: members not suspect themselves, without the accuser, this node or another. */
static unsigned confirmable(const struct gossip *g)
{
	unsigned alive = g->n_state[MEMBER_ALIVE];
	unsigned others = alive > 1 ? alive - 1 : 0;

	return others < CONFIRMATIONS ? others : CONFIRMATIONS;
}

static uint64_t timeout_ms(const struct gossip *g, const struct suspicion *s)
{
	/* log(c + 1) / log(k + 1) in thousandths */
	static const uint16_t shrink[CONFIRMATIONS + 1][CONFIRMATIONS + 1] = {
		{ 0 }, { 0, 1000 }, { 0, 631, 1000 }, { 0, 500, 792, 1000 },
	};
	unsigned k = confirmable(g), c = s->n_by - 1;

	if (s->verdict)
		return SUSPECT_MIN_MS;
	if (k == 0)
		return c ? SUSPECT_MIN_MS : SUSPECT_SOLO_MS;
	return SUSPECT_MAX_MS - (SUSPECT_MAX_MS - SUSPECT_MIN_MS) * shrink[k][c < k ? c : k] / 1000;
}

/* All deadlines depend on how many could confirm, so they are worked out together. */
static void deadlines(struct gossip *g)
{
	g->suspicion_next = MONO_NEVER;
	for (unsigned i = 0; i < g->n_suspicions; i++) {
		struct suspicion *s = &g->suspicions[i];

		s->deadline = mono_add_ms(s->start, timeout_ms(g, s));
		g->suspicion_next = mono_min(g->suspicion_next, s->deadline);
		if (s->own)
			g->suspicion_next = mono_min(g->suspicion_next, s->next_ping);
	}
}

static bool accuse(struct suspicion *s, const struct node_id *by)
{
	for (unsigned i = 0; i < s->n_by; i++)
		if (node_id_eq(&s->by[i], by))
			return false;
	if (s->n_by == CONFIRMATIONS + 1)
		return false;
	s->by[s->n_by++] = *by;
	return true;
}

static void ask_confirmers(struct gossip *g, const struct node_id *id, struct gossip_out *out)
{
	struct node_id whom[SMALL_CLUSTER];
	unsigned n = gossip_alive(g) <= SMALL_CLUSTER ? SMALL_CLUSTER : CONFIRMERS;

	n = member_sample(g, n, id, whom);
	for (unsigned i = 0; i < n; i++)
		news_to(g, member_find(g, &whom[i]), id, true, out);
}

void suspicion_start(struct gossip *g, struct member *m, const struct node_id *by, uint32_t incarnation,
                     struct gossip_out *out)
{
	struct suspicion *s = m->state == MEMBER_SUSPECT ? find(g, &m->card->id) : NULL;
	bool own = node_id_eq(by, &g->self.id), first = m->state == MEMBER_ALIVE;
	struct node_id id = m->card->id;
	struct gossip_update u;

	if (s && s->incarnation != incarnation) {
		suspicion_end(g, &id);
		s = NULL;
	}
	member_set(g, m, MEMBER_SUSPECT, incarnation);
	if (!s) {
		g->suspicions = mem_grow(g->suspicions, &g->cap_suspicions, g->n_suspicions, sizeof(*g->suspicions));
		s = &g->suspicions[g->n_suspicions++];
		*s = (struct suspicion){ .id = id, .incarnation = incarnation, .start = g->now };
		g->counts.suspicions++;
	}
	if (!accuse(s, by))
		return;
	if (own) {
		s->own = true;
		s->next_ping = gossip_in_ms(g, PROBE_AGAIN_MS);
	}
	if (first)
		member_event(m, GOSSIP_EV_SUSPECT, out);
	u = update_of(g, m, false);
	u.by = *by;
	rumor_add(g, &u, false);
	if (own && s->n_by == 1)
		ask_confirmers(g, &id, out);
	deadlines(g);
}

void suspicion_verdict(struct gossip *g, struct member *m, const struct node_id *by, uint32_t incarnation,
                       struct gossip_out *out)
{
	struct suspicion *s;

	suspicion_start(g, m, by, incarnation, out);
	s = find(g, &m->card->id);
	if (!s || s->verdict)
		return;
	s->verdict = true;
	if (!s->own) {
		s->own = true;
		s->next_ping = g->now;
	}
	deadlines(g);
}

void suspicion_end(struct gossip *g, const struct node_id *id)
{
	struct suspicion *s = find(g, id);

	if (!s)
		return;
	*s = g->suspicions[--g->n_suspicions];
	deadlines(g);
}

static void fail(struct gossip *g, struct member *m, struct gossip_out *out)
{
	struct gossip_update u;

	g->counts.deaths++;
	member_set(g, m, MEMBER_FAILED, m->incarnation);
	member_event(m, GOSSIP_EV_FAILED, out);
	u = update_of(g, m, false);
	u.by = g->self.id;
	rumor_add(g, &u, false);
}

void suspicion_timer(struct gossip *g, struct gossip_out *out)
{
	if (!mono_due(g->suspicion_next, g->now))
		return;
	for (unsigned i = 0; i < g->n_suspicions;) {
		struct suspicion *s = &g->suspicions[i];
		struct member *m = member_find(g, &s->id);

		if (mono_due(s->deadline, g->now)) {
			/* Ends the suspicion: another one takes its place. */
			fail(g, m, out);
			continue;
		}
		if (s->own && mono_due(s->next_ping, g->now)) {
			s->next_ping = gossip_in_ms(g, PROBE_AGAIN_MS);
			probe_start(g, m, PROBE_AGAIN, out);
		}
		i++;
	}
	deadlines(g);
}

void suspicion_anew(struct gossip *g)
{
	for (unsigned i = 0; i < g->n_suspicions; i++)
		g->suspicions[i].start = g->suspicions[i].next_ping = g->now;
	deadlines(g);
}

struct mono suspicion_wake(const struct gossip *g)
{
	return g->n_suspicions ? g->suspicion_next : MONO_NEVER;
}
