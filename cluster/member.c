/* SPDX-License-Identifier: Apache-2.0 */
/* The member table: by id, with counts and a hash that follow every change. Self is one of them. */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

/* The dead do not count: nodes forget them at different times. A suspicion is not yet a belief. */
static uint64_t member_hash(const struct member *m)
{
	uint64_t w[2];

	if (!member_answers(m))
		return 0;
	memcpy(w, m->card->id.b, sizeof(w));
	return mix(mix(mix(mix(mix(0x6d656d62u, w[0]), w[1]), m->incarnation), m->card->incarnation),
	           boot_tag(m->card->boot));
}

bool member_answers(const struct member *m)
{
	return m->state == MEMBER_ALIVE || m->state == MEMBER_SUSPECT;
}

unsigned member_pos(const struct gossip *g, const struct node_id *id)
{
	unsigned lo = 0, hi = g->n_members;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (node_id_cmp(&g->members[g->order[mid]].card->id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct member *member_nth(const struct gossip *g, unsigned i)
{
	return &g->members[g->order[i]];
}

struct member *member_find(const struct gossip *g, const struct node_id *id)
{
	unsigned i = member_pos(g, id);

	return i < g->n_members && node_id_eq(&member_nth(g, i)->card->id, id) ? member_nth(g, i) : NULL;
}

bool member_is_self(const struct gossip *g, const struct member *m)
{
	return node_id_eq(&m->card->id, &g->self.id);
}

struct member *member_add(struct gossip *g, const struct card *card, enum member_state state, uint32_t incarnation,
                          bool lend)
{
	unsigned n = g->n_members, i;
	struct member *m;

	/* Often they come in order. */
	i = n && node_id_cmp(&member_nth(g, n - 1)->card->id, &card->id) < 0 ? n : member_pos(g, &card->id);
	g->members = mem_grow(g->members, &g->cap_members, g->n_members, sizeof(*g->members));
	g->order = mem_grow(g->order, &g->cap_order, g->n_members, sizeof(*g->order));
	memmove(g->order + i + 1, g->order + i, (g->n_members - i) * sizeof(*g->order));
	g->order[i] = g->n_members;
	m = &g->members[g->n_members++];
	*m = (struct member){ .since = g->now, .incarnation = incarnation, .state = state, .card_lent = lend };
	if (lend)
		memcpy(&m->card, &card, sizeof(card));
	else
		m->card = mem_dup(card, sizeof(*card));
	g->n_state[state]++;
	g->members_hash ^= member_hash(m);
	g->changed = g->now;
	return m;
}

void member_drop(struct gossip *g, struct member *m)
{
	unsigned i = member_pos(g, &m->card->id), at = g->order[i], last = g->n_members - 1;

	suspicion_end(g, &m->card->id);
	contact_drop(g, m);
	g->members_hash ^= member_hash(m);
	g->n_state[m->state]--;
	if (!m->card_lent)
		free(m->card);
	memmove(g->order + i, g->order + i + 1, (last - i) * sizeof(*g->order));
	g->n_members--;
	if (at != last) {
		g->members[at] = g->members[last];
		for (i = 0; g->order[i] != last; i++)
			;
		g->order[i] = at;
	}
	g->changed = g->now;
}

void member_set(struct gossip *g, struct member *m, enum member_state state, uint32_t incarnation)
{
	assert(incarnation >= m->incarnation);
	if (state == m->state && incarnation == m->incarnation)
		return;
	g->members_hash ^= member_hash(m);
	g->n_state[m->state]--;
	if (state != m->state)
		m->since = g->now;
	if (state >= MEMBER_FAILED)
		g->reconnect = mono_min(mono_before(g->reconnect, g->now) ? MONO_NEVER : g->reconnect,
		                        gossip_in_about(g, RECONNECT_MS));
	m->state = state;
	m->incarnation = incarnation;
	g->n_state[state]++;
	g->members_hash ^= member_hash(m);
	g->changed = g->now;
	if (state != MEMBER_SUSPECT)
		suspicion_end(g, &m->card->id);
}

void member_card_set(struct gossip *g, struct member *m, const struct card *card)
{
	struct card *copy = mem_dup(card, sizeof(*card));

	g->members_hash ^= member_hash(m);
	if (memcmp(m->card->boot, card->boot, BOOT_LEN) != 0)
		contact_drop(g, m);
	if (!m->card_lent)
		free(m->card);
	m->card = copy;
	m->card_lent = false;
	g->members_hash ^= member_hash(m);
	g->changed = g->now;
}

/* The ring is the order of ids. From `i` on by `step` to the next one that answers and can be talked to. */
static struct member *ring_next(const struct gossip *g, unsigned i, unsigned step)
{
	for (unsigned n = 1; n < g->n_members; n++) {
		struct member *m;

		i = (i + step) % g->n_members;
		m = member_nth(g, i);
		if (member_answers(m) && member_compatible(g, m->card))
			return m;
	}
	return NULL;
}

struct member *member_successor(const struct gossip *g)
{
	return ring_next(g, member_pos(g, &g->self.id), 1);
}

struct member *member_predecessor(const struct gossip *g)
{
	return ring_next(g, member_pos(g, &g->self.id), g->n_members - 1);
}

struct member *member_random(struct gossip *g)
{
	struct node_id id;

	return member_sample(g, 1, NULL, &id) ? member_find(g, &id) : NULL;
}

unsigned member_sample(struct gossip *g, unsigned n, const struct node_id *not, struct node_id *out)
{
	unsigned got = 0, alive = gossip_alive(g);

	/* From a random place on with random strides; in a small table simply all, from a random place on. */
	for (unsigned tries = 0; got < n && tries < g->n_members + 3 * n; tries++) {
		static const unsigned few = 24;
		unsigned i = (unsigned)rng_below(&g->rng, g->n_members);
		struct member *m;
		bool seen = false;

		if (alive <= few || g->n_members < 2 * n) {
			if (tries == 0)
				g->walk = i;
			if (tries == g->n_members)
				break;
			i = (g->walk + tries) % g->n_members;
		}
		m = member_nth(g, i);
		if (!member_answers(m) || member_is_self(g, m) || !member_compatible(g, m->card) ||
		    (not && node_id_eq(not, &m->card->id)))
			continue;
		for (unsigned k = 0; k < got; k++)
			seen |= node_id_eq(&out[k], &m->card->id);
		if (!seen)
			out[got++] = m->card->id;
	}
	return got;
}

struct addr member_addr(const struct member *m)
{
	if (m->contact && m->contact->addr.family)
		return m->contact->addr;
	return m->card->n_addrs ? m->card->addrs[0] : (struct addr){ 0 };
}

bool member_compatible(const struct gossip *g, const struct card *c)
{
	return c->version_min <= g->self.version_max && g->self.version_min <= c->version_max;
}

struct gossip_event *member_event(const struct member *m, enum gossip_event_kind kind, struct gossip_out *out)
{
	struct gossip_event *e = out_event(out, kind);

	e->id = m->card->id;
	e->addr = member_addr(m);
	memcpy(e->name, m->card->name, sizeof(e->name));
	e->version_min = m->card->version_min;
	e->version_max = m->card->version_max;
	return e;
}

struct mono member_real(const struct gossip *g, struct mono local)
{
	return local.ns ? (struct mono){ local.ns + g->lost_ns } : local;
}

static unsigned ban_pos(const struct gossip *g, const struct node_id *id)
{
	unsigned i = 0;

	while (i < g->n_banned && node_id_cmp(&g->banned[i], id) < 0)
		i++;
	return i;
}

bool banned(const struct gossip *g, const struct node_id *id)
{
	unsigned i = ban_pos(g, id);

	return i < g->n_banned && node_id_eq(&g->banned[i], id);
}

/* Reading, for others. */

static void member_show(const struct gossip *g, const struct member *m, struct gossip_member *out)
{
	*out = (struct gossip_member){
		.card = m->card, .state = m->state, .incarnation = m->incarnation, .addr = member_addr(m),
		.since = member_real(g, m->since), .self = member_is_self(g, m),
	};
	if (m->contact) {
		out->rtt_us = m->contact->srtt_us;
		out->heard = member_real(g, m->contact->heard);
	}
}

unsigned gossip_count(const struct gossip *g)
{
	return g->n_members;
}

unsigned gossip_count_state(const struct gossip *g, enum member_state s)
{
	return g->n_state[s];
}

unsigned gossip_alive(const struct gossip *g)
{
	return g->n_state[MEMBER_ALIVE] + g->n_state[MEMBER_SUSPECT];
}

bool gossip_at(const struct gossip *g, unsigned i, struct gossip_member *m)
{
	if (i >= g->n_members)
		return false;
	member_show(g, member_nth(g, i), m);
	return true;
}

bool gossip_find(const struct gossip *g, const struct node_id *id, struct gossip_member *out)
{
	const struct member *m = member_find(g, id);

	if (m)
		member_show(g, m, out);
	return m != NULL;
}

bool gossip_find_name(const struct gossip *g, const char *name, struct gossip_member *out)
{
	const struct member *best = NULL;

	for (unsigned i = 0; i < g->n_members; i++) {
		const struct member *m = member_nth(g, i);

		if (strcmp(m->card->name, name) == 0 && (!best || (!member_answers(best) && member_answers(m))))
			best = m;
	}
	if (best)
		member_show(g, best, out);
	return best != NULL;
}

static const struct member *find_addr(const struct gossip *g, const struct addr *a)
{
	const struct member *best = NULL;

	for (unsigned i = 0; i < g->n_members; i++) {
		const struct member *m = member_nth(g, i);
		bool here = card_has_addr(m->card, a) || (m->contact && addr_eq(&m->contact->addr, a));

		if (here && (!best || (!member_answers(best) && member_answers(m))))
			best = m;
	}
	return best;
}

bool gossip_find_addr(const struct gossip *g, const struct addr *a, struct gossip_member *out)
{
	const struct member *m = find_addr(g, a);

	if (m)
		member_show(g, m, out);
	return m != NULL;
}

bool gossip_name_taken(const struct gossip *g, const struct node_id *id, const char *name)
{
	for (unsigned i = 0; i < g->n_members; i++) {
		const struct member *m = member_nth(g, i);

		if (member_answers(m) && !node_id_eq(&m->card->id, id) && strcmp(m->card->name, name) == 0)
			return true;
	}
	return false;
}

const struct card *gossip_self(const struct gossip *g)
{
	return &g->self;
}

uint32_t gossip_incarnation(const struct gossip *g)
{
	return member_find(g, &g->self.id)->incarnation;
}

const char *member_state_name(enum member_state s)
{
	static const char *const names[] = { "alive", "suspect", "failed", "left" };

	return (unsigned)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

uint64_t gossip_members_hash(const struct gossip *g)
{
	return g->members_hash;
}

const struct gossip_counts *gossip_counts(const struct gossip *g)
{
	return &g->counts;
}
