/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Over the mesh: facts, and member lists too long for datagrams. A change of own facts is pushed at once
 * and told on by whoever it is news to; hashes compared, now and then with pings, find what was missed.
 */
#include <assert.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/gossip_int.h"

#define FINGERS 5

static bool busy(const struct gossip *g)
{
	return mono_ms_between(g->changed, g->now) < BUSY_MS || (gossip_alive(g) <= SMALL_CLUSTER && facts_busy(g));
}

void sync_soon(struct gossip *g)
{
	g->sync = mono_min(g->sync, gossip_in_about(g, SYNC_BUSY_MS));
}

bool facts_busy(const struct gossip *g)
{
	return g->facts_changed.ns && mono_ms_between(g->facts_changed, g->now) < BUSY_MS;
}

/*
 * In a small cluster the connections to compare over are there. In a large one each comparison makes one, and the hashes in
 * pings find who missed something.
 */
static void facts_news(struct gossip *g)
{
	g->facts_changed = g->now;
	if (gossip_alive(g) <= SMALL_CLUSTER)
		sync_soon(g);
}

void sync_offer(struct gossip *g, const struct node_id *to, struct gossip_out *out)
{
	struct gossip_mesh *m = out_mesh(g, to, SYNC_OFFER, out);

	m->sync.members_hash = g->members_hash;
	m->sync.facts_hash = facts_hash(g->facts);
}

/*
 * A comparison takes a connection and a list of all nodes, so where many come to life at once not everybody compares with everybody
 * else: members and facts come by other ways, too.
 */
void sync_met(struct gossip *g, const struct node_id *to, struct gossip_out *out)
{
	if (gossip_alive(g) > SMALL_CLUSTER && !mono_due(g->met, g->now))
		return;
	g->met = gossip_in_ms(g, MET_MS);
	sync_offer(g, to, out);
}

static void digest_send(struct gossip *g, const struct node_id *to, bool want, struct gossip_out *out)
{
	unsigned n = 0, n_facts = facts_nodes(g->facts), i = 0, k = 0;
	struct sync_have *have = out_alloc(out, (g->n_members + n_facts) * sizeof(*have));
	struct gossip_mesh *mesh;

	/* Both lists are ordered by id: merge them. */
	while (i < g->n_members || k < n_facts) {
		const struct member *m = i < g->n_members ? member_nth(g, i) : NULL;
		struct facts_have f = k < n_facts ? facts_node_at(g->facts, k) : (struct facts_have){ 0 };
		int d = !m ? 1 : k >= n_facts ? -1 : node_id_cmp(&m->card->id, &f.node);
		struct sync_have *h = &have[n++];

		*h = (struct sync_have){ .id = d <= 0 ? m->card->id : f.node };
		if (d <= 0) {
			h->member = true;
			h->state = (enum member_state)m->state;
			h->incarnation = m->incarnation;
			h->card_incarnation = m->card->incarnation;
			h->boot_tag = boot_tag(m->card->boot);
			i++;
		}
		if (d >= 0) {
			h->floor = f.floor;
			h->max = f.max;
			k++;
		}
	}
	mesh = out_mesh(g, to, SYNC_DIGEST, out);
	mesh->sync.want = want;
	mesh->sync.have = have;
	mesh->sync.n_have = n;
}

static const struct fact *fact_copy(struct gossip_out *out, const struct fact *f)
{
	struct fact *c = out_dup(out, f, sizeof(*f));

	c->path = out_dup(out, f->path, strlen(f->path) + 1);
	c->attrs.a = out_alloc(out, f->attrs.n * sizeof(*c->attrs.a));
	for (unsigned i = 0; i < f->attrs.n; i++) {
		c->attrs.a[i].key = out_dup(out, f->attrs.a[i].key, strlen(f->attrs.a[i].key) + 1);
		c->attrs.a[i].value = out_dup(out, f->attrs.a[i].value, strlen(f->attrs.a[i].value) + 1);
	}
	return c;
}

/* A part whose facts live as long as `out`. */
static struct facts_part part_copy(struct gossip_out *out, const struct facts_part *part)
{
	struct facts_part c = *part;

	c.facts = out_alloc(out, part->n_facts * sizeof(*c.facts));
	for (unsigned i = 0; i < part->n_facts; i++)
		c.facts[i] = fact_copy(out, part->facts[i]);
	return c;
}

/* Parts for a message, within a budget of bytes. */
struct parts {
	struct facts_part *list;
	unsigned n, cap;
	size_t left;
	bool more;
};

static void parts_add(struct gossip *g, struct parts *p, const struct facts_have *theirs, struct gossip_out *out)
{
	const struct fact **room;
	struct facts_part part;
	size_t used;

	if (p->more)
		return;
	room = mem_alloc(SYNC_FACTS * sizeof(struct fact *));
	used = facts_delta(g->facts, theirs, p->left, &part, room, SYNC_FACTS);
	if (used) {
		p->list = mem_grow(p->list, &p->cap, p->n, sizeof(*p->list));
		p->list[p->n++] = part_copy(out, &part);
		p->left = used < p->left ? p->left - used : 0;
		p->more = p->left == 0 || part.upto < facts_have(g->facts, &theirs->node).max;
	}
	mem_autofree(&room);
}

static void delta_send(struct gossip *g, const struct node_id *to, const struct gossip_update *members, unsigned n_members,
                       const struct parts *p, bool more, struct gossip_out *out)
{
	struct gossip_mesh *mesh;

	if (n_members == 0 && p->n == 0)
		return;
	mesh = out_mesh(g, to, SYNC_DELTA, out);
	mesh->sync.members = members;
	mesh->sync.n_members = n_members;
	mesh->sync.parts = p->n ? out_dup(out, p->list, p->n * sizeof(*p->list)) : NULL;
	mesh->sync.n_parts = p->n;
	mesh->sync.more = more;
}

static bool lacks_member(const struct member *m, const struct sync_have *h)
{
	if (!h || !h->member)
		return true;
	if (h->incarnation != m->incarnation)
		return h->incarnation < m->incarnation;
	return h->state < m->state || h->card_incarnation < m->card->incarnation || h->boot_tag != boot_tag(m->card->boot);
}

static const struct sync_have *have_find(const struct gossip_sync *s, const struct node_id *id)
{
	unsigned lo = 0, hi = s->n_have;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		int d = node_id_cmp(&s->have[mid].id, id);

		if (d == 0)
			return &s->have[mid];
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static void digest_in(struct gossip *g, const struct node_id *from, const struct gossip_sync *s, struct gossip_out *out)
{
	struct gossip_update *members = mem_alloc((g->n_members + 1) * sizeof(*members));
	struct parts p = { .left = SYNC_BYTES };
	unsigned n = 0;
	size_t bytes = 0;
	bool more = false;

	for (unsigned i = 0; i < g->n_members; i++) {
		struct member *m = member_nth(g, i);
		const struct sync_have *h = have_find(s, &m->card->id);

		if (h && member_is_self(g, m)) {
			struct facts_have theirs = { h->id, h->floor, h->max };

			if (facts_outrun(g->facts, &theirs))
				g->facts_pushed = 0;
		}
		if (!lacks_member(m, h))
			continue;
		bytes += 160;
		more = bytes > 4 * SYNC_BYTES;
		if (more)
			break;
		members[n] = update_of(g, m, !h || !h->member || h->card_incarnation < m->card->incarnation ||
		                       h->boot_tag != boot_tag(m->card->boot));
		if (members[n].card)
			members[n].card = out_card(out, members[n].card);
		n++;
	}
	sync_facts(g, out);
	for (unsigned i = 0; i < facts_nodes(g->facts); i++) {
		struct facts_have mine = facts_node_at(g->facts, i), theirs = { .node = mine.node };
		const struct sync_have *h = have_find(s, &mine.node);

		if (h) {
			theirs.floor = h->floor;
			theirs.max = h->max;
		}
		parts_add(g, &p, &theirs, out);
	}
	delta_send(g, from, n ? out_dup(out, members, n * sizeof(*members)) : NULL, n, &p, more || p.more, out);
	mem_autofree(&members);
	mem_autofree(&p.list);
	if (s->want)
		digest_send(g, from, false, out);
}

/* Those this node tells about facts: its successors in the ring at growing distance; in a small cluster all. */
static unsigned fingers(struct gossip *g, struct node_id *out)
{
	unsigned n = 0, alive = gossip_alive(g), pos = member_pos(g, &g->self.id), max = FINGERS, step = 1;

	if (alive <= SMALL_CLUSTER)
		max = SMALL_CLUSTER;
	for (unsigned at = 1; n < max && at < g->n_members; at += step) {
		struct member *m = NULL;

		for (; at < g->n_members; at++) {
			m = member_nth(g, (pos + at) % g->n_members);
			if (member_answers(m) && member_compatible(g, m->card))
				break;
		}
		if (at >= g->n_members)
			break;
		out[n++] = m->card->id;
		/* 1, then about N/16, N/8, N/4, N/2: near and far ones, so that few hops reach all. */
		if (alive > SMALL_CLUSTER)
			step = n == 1 ? g->n_members / 16 + 1 : at + 1;
	}
	return n;
}

static void parts_spread(struct gossip *g, const struct parts *p, struct gossip_out *out)
{
	struct node_id to[SMALL_CLUSTER];
	unsigned n = fingers(g, to);

	for (unsigned i = 0; i < n; i++)
		delta_send(g, &to[i], NULL, 0, p, false, out);
}

/* All that is to be told, in as few messages as hold it. */
static void tell(struct gossip *g, struct gossip_out *out)
{
	struct parts p = { .left = PUSH_FACTS_BYTES };

	for (unsigned i = 0; i < g->n_telling;) {
		struct facts_have *told = &g->telling[i];
		unsigned n = p.n;

		parts_add(g, &p, told, out);
		if (p.n > n) {
			told->floor = p.list[n].floor;
			told->max = p.list[n].upto;
		}
		i += !p.more || p.n == n;
		if (p.more) {
			parts_spread(g, &p, out);
			p.n = 0;
			p.left = PUSH_FACTS_BYTES;
			p.more = false;
		}
	}
	if (p.n)
		parts_spread(g, &p, out);
	mem_autofree(&p.list);
	g->n_telling = 0;
	g->tell = MONO_NEVER;
}

/* Facts of the node are to be told to those who hold `told` of them, at once or with others that come. */
static void tell_soon(struct gossip *g, const struct facts_have *told, struct gossip_out *out)
{
	unsigned i = 0;

	while (i < g->n_telling && !node_id_eq(&g->telling[i].node, &told->node))
		i++;
	if (g->n_telling == 0)
		g->telling_since = g->now;
	if (i == g->n_telling) {
		g->telling = mem_grow(g->telling, &g->cap_telling, g->n_telling, sizeof(*g->telling));
		g->telling[g->n_telling++] = *told;
	} else if (told->max < g->telling[i].max) {
		g->telling[i] = *told;
	}
	if (gossip_alive(g) <= SMALL_CLUSTER)
		tell(g, out);
	else
		g->tell = mono_min(g->tell, gossip_in_about(g, TELL_MS));
}

void sync_facts(struct gossip *g, struct gossip_out *out)
{
	struct facts_have have = facts_have(g->facts, &g->self.id), told = have;

	if (!g->running || have.max == g->facts_pushed)
		return;
	facts_news(g);
	/* What follows the last push; the floor is as far as others know it, or they will ask. */
	told.max = g->facts_pushed > have.floor ? g->facts_pushed : have.floor;
	if (g->facts_pushed == 0)
		told.max = told.floor = 0;
	g->facts_pushed = have.max;
	tell_soon(g, &told, out);
}

static void delta_in(struct gossip *g, const struct node_id *from, const struct gossip_sync *s, struct gossip_out *out)
{
	uint64_t members = g->members_hash, facts = facts_hash(g->facts);
	unsigned n_members = g->n_members;
	bool again = false;

	for (unsigned i = 0; i < s->n_members; i++)
		update_in(g, &s->members[i], member_find(g, from), out);
	for (unsigned i = 0; i < s->n_parts; i++) {
		const struct facts_part *part = &s->parts[i];
		struct facts_have told = { part->node, part->floor, part->from };
		bool fresh = false;
		int err;

		if (!member_find(g, &part->node))
			continue;
		err = facts_apply(g->facts, part, &fresh);
		again |= err == ERR_AGAIN;
		if (!fresh)
			continue;
		out->facts_changed = true;
		facts_news(g);
		if (part->reset)
			told.floor = told.max = 0;
		/* In a small cluster the writer told everybody. */
		if (gossip_alive(g) > SMALL_CLUSTER)
			tell_soon(g, &told, out);
	}
	/* What is not taken (of a node removed here, and not there yet) would come again and again. */
	again |= s->more && (members != g->members_hash || n_members != g->n_members || facts != facts_hash(g->facts));
	if (again)
		digest_send(g, from, false, out);
}

void sync_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct gossip_sync *s = in->sync;
	struct node_id from = in->id;

	g->counts.mesh_in++;
	if (g->quiet || banned(g, &from) || !member_find(g, &from))
		return;
	switch (s->kind) {
	case SYNC_OFFER:
		if (s->members_hash != g->members_hash || s->facts_hash != facts_hash(g->facts))
			digest_send(g, &from, true, out);
		break;
	case SYNC_DIGEST:
		digest_in(g, &from, s, out);
		break;
	case SYNC_DELTA:
		delta_in(g, &from, s, out);
		break;
	}
}

/* Where many come to life at once, each that is told takes a connection, and a moment later others would be told. */
static bool in_flux(const struct gossip *g)
{
	return gossip_alive(g) > SMALL_CLUSTER && mono_ms_between(g->changed, g->now) < TELL_CALM_MS &&
	       mono_ms_between(g->telling_since, g->now) < TELL_MAX_MS;
}

void sync_timer(struct gossip *g, struct gossip_out *out)
{
	struct member *m;

	if (mono_due(g->tell, g->now) && in_flux(g))
		g->tell = gossip_in_about(g, TELL_MS / 2);
	else if (mono_due(g->tell, g->now))
		tell(g, out);
	if (!mono_due(g->sync, g->now))
		return;
	g->sync = gossip_in_about(g, busy(g) ? SYNC_BUSY_MS : SYNC_REST_MS);
	m = member_random(g);
	if (m)
		sync_offer(g, &m->card->id, out);
}

struct mono sync_wake(const struct gossip *g)
{
	return mono_min(g->sync, g->tell);
}
