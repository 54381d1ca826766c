/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rumors: statements about members, taken in and told on. A new one is pushed to a few members at once and
 * rides on whatever is sent, a bounded number of times; what is missed is found by comparing hashes.
 */
#include <assert.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

#define UPDATE_BYTES 56         /* on the wire without a card, at most */

static size_t card_bytes(const struct card *c)
{
	return 80 + strlen(c->name) + 20u * c->n_addrs + c->n_extra + c->n_later;
}

static size_t update_bytes(const struct gossip_update *u)
{
	return UPDATE_BYTES + (u->clone.family ? 20 : 0) + (u->card ? card_bytes(u->card) : 0);
}

struct gossip_update update_of(const struct gossip *g, const struct member *m, bool card)
{
	struct gossip_update u = {
		.id = m->card->id, .state = (enum member_state)m->state, .incarnation = m->incarnation,
		.card_incarnation = m->card->incarnation, .boot_tag = boot_tag(m->card->boot), .card = card ? m->card : NULL,
	};

	if (m->state == MEMBER_SUSPECT)
		for (unsigned i = 0; i < g->n_suspicions; i++)
			if (node_id_eq(&g->suspicions[i].id, &u.id) && g->suspicions[i].n_by)
				u.by = g->suspicions[i].by[0];
	return u;
}

static unsigned send_limit(const struct gossip *g)
{
	unsigned n = gossip_alive(g), limit = 3;

	for (unsigned k = n; k; k >>= 1)
		limit += 2;
	return n > 1 && limit > 2 * (n - 1) ? 2 * (n - 1) : limit;
}

static void rumor_remove(struct gossip *g, unsigned i)
{
	g->n_rumors--;
	memmove(&g->rumors[i], &g->rumors[i + 1], (g->n_rumors - i) * sizeof(*g->rumors));
}

/* Is the old rumor settled by the new statement about the same member? */
static bool supersedes(const struct gossip_update *u, const struct rumor *r)
{
	if (u->clone.family || r->clone.family)
		return u->clone.family && r->clone.family && addr_eq(&u->clone, &r->clone);
	if (u->incarnation != r->incarnation)
		return u->incarnation > r->incarnation;
	return u->state > r->state || (u->state == r->state && node_id_eq(&u->by, &r->by));
}

void rumor_add(struct gossip *g, const struct gossip_update *u, bool card)
{
	struct rumor *r;

	for (unsigned i = 0; i < g->n_rumors;) {
		if (!node_id_eq(&g->rumors[i].id, &u->id) || !supersedes(u, &g->rumors[i])) {
			i++;
			continue;
		}
		card |= g->rumors[i].card;
		rumor_remove(g, i);
	}
	if (gossip_alive(g) < 2)
		return;
	g->rumors = mem_grow(g->rumors, &g->cap_rumors, g->n_rumors, sizeof(*g->rumors));
	/* In front: the list is kept in order of how often each was sent. */
	memmove(&g->rumors[1], &g->rumors[0], g->n_rumors * sizeof(*g->rumors));
	g->n_rumors++;
	r = &g->rumors[0];
	*r = (struct rumor){
		.id = u->id, .by = u->by, .state = u->state, .incarnation = u->incarnation, .card = card,
		.clone = u->clone, .limit = (uint16_t)send_limit(g), .fresh = true,
	};
	g->push = mono_min(g->push, g->pushed.ns ? mono_add_ms(g->pushed, PUSH_MS) : g->now);
	if (mono_before(g->push, g->now))
		g->push = g->now;
	if (g->round.ns == MONO_NEVER.ns)
		g->round = gossip_in_about(g, ROUND_MS);
}

void rumor_self(struct gossip *g, bool card)
{
	struct gossip_update u = update_of(g, member_find(g, &g->self.id), false);

	rumor_add(g, &u, card);
}

static struct gossip_update rumor_update(struct gossip *g, const struct rumor *r, const struct member *m)
{
	(void)g;
	return (struct gossip_update){
		.id = r->id, .state = r->state, .incarnation = r->incarnation, .by = r->by, .clone = r->clone,
		.card_incarnation = m->card->incarnation, .boot_tag = boot_tag(m->card->boot),
		.card = r->card ? m->card : NULL,
	};
}

/* Updates on their way into a datagram. */
struct packing {
	struct gossip_update list[GOSSIP_UPDATES_MAX];
	unsigned n;
	size_t bytes;
};

static bool pack(struct packing *p, const struct gossip_update *u)
{
	size_t bytes = update_bytes(u);

	if (p->n == GOSSIP_UPDATES_MAX || (p->n && p->bytes + bytes > NEWS_BYTES))
		return false;
	p->list[p->n++] = *u;
	p->bytes += bytes;
	return true;
}

static void pack_into(const struct packing *p, struct gossip_dgram *d, struct gossip_out *out)
{
	struct gossip_update *u;

	if (p->n == 0)
		return;
	u = out_dup(out, p->list, p->n * sizeof(*u));
	for (unsigned i = 0; i < p->n; i++)
		if (u[i].card)
			u[i].card = out_card(out, u[i].card);
	d->msg.updates = u;
	d->msg.n_updates = p->n;
}

/* Keep the list in order of sends; it was in order but for those just sent. */
static void rumors_sort(struct gossip *g)
{
	for (unsigned i = 1; i < g->n_rumors; i++) {
		struct rumor r = g->rumors[i];
		unsigned k = i;

		for (; k && g->rumors[k - 1].sends > r.sends; k--)
			g->rumors[k] = g->rumors[k - 1];
		g->rumors[k] = r;
	}
}

void rumor_fill(struct gossip *g, struct gossip_dgram *d, const struct node_id *about, struct gossip_out *out)
{
	struct packing p = { .n = 0 };
	struct member *m = about ? member_find(g, about) : NULL;
	bool sent = false;

	if (m) {
		struct gossip_update u = update_of(g, m, false);

		pack(&p, &u);
	}
	for (unsigned i = 0; i < g->n_rumors;) {
		struct rumor *r = &g->rumors[i];
		struct gossip_update u;

		m = member_find(g, &r->id);
		if (!m || r->sends >= r->limit) {
			rumor_remove(g, i);
			continue;
		}
		u = rumor_update(g, r, m);
		if (!pack(&p, &u))
			break;
		r->sends++;
		r->fresh = false;
		sent = true;
		i++;
	}
	if (sent)
		rumors_sort(g);
	pack_into(&p, d, out);
}

void news_to(struct gossip *g, struct member *to, const struct node_id *about, bool confirm, struct gossip_out *out)
{
	struct gossip_dgram *d = contact_dgram(g, to, GOSSIP_NEWS, out);

	d->msg.confirm = confirm;
	rumor_fill(g, d, about, out);
}

static void push(struct gossip *g, unsigned fanout, struct gossip_out *out)
{
	struct node_id to[SMALL_CLUSTER];
	unsigned n = gossip_alive(g) <= SMALL_CLUSTER ? SMALL_CLUSTER : fanout;

	n = member_sample(g, n, NULL, to);
	for (unsigned i = 0; i < n && g->n_rumors; i++)
		news_to(g, member_find(g, &to[i]), NULL, false, out);
	/* Nobody there speaks our version: it would be tried for ever. Who comes is told all when it joins. */
	if (n == 0)
		g->n_rumors = 0;
}

void rumor_timer(struct gossip *g, struct gossip_out *out)
{
	bool fresh = false;

	if (mono_due(g->push, g->now)) {
		push(g, PUSH_FANOUT, out);
		g->pushed = g->now;
		for (unsigned i = 0; i < g->n_rumors; i++)
			fresh |= g->rumors[i].fresh;
		g->push = fresh ? gossip_in_ms(g, PUSH_MS) : MONO_NEVER;
	}
	if (mono_due(g->round, g->now)) {
		push(g, ROUND_FANOUT, out);
		if (gossip_alive(g) < 2)
			g->n_rumors = 0;
		g->round = g->n_rumors ? gossip_in_about(g, ROUND_MS) : MONO_NEVER;
	}
}

struct mono rumor_wake(const struct gossip *g)
{
	return mono_min(g->push, g->round);
}

void self_raise(struct gossip *g, uint32_t above, bool card, struct gossip_out *out)
{
	struct member *self = member_find(g, &g->self.id);
	uint32_t incarnation = above > self->incarnation ? above : self->incarnation;

	if (incarnation >= UINT32_MAX - 1)
		return;
	member_set(g, self, MEMBER_ALIVE, incarnation + 1);
	if (card) {
		g->self.incarnation = incarnation + 1;
		member_card_set(g, self, &g->self);
	}
	out->persist_incarnation = incarnation + 1;
	rumor_self(g, card);
}

/* What others say of this node. */
static void self_in(struct gossip *g, const struct gossip_update *u, struct gossip_out *out)
{
	struct member *self = member_find(g, &g->self.id);
	bool other_boot = u->card && memcmp(u->card->boot, g->self.boot, BOOT_LEN) != 0;
	struct gossip_dgram *d;

	if (u->clone.family)
		contact_clone_told(g, u, out);
	if (u->incarnation < self->incarnation)
		return;
	if (u->state != MEMBER_ALIVE) {
		g->counts.refutations++;
		if (u->state != MEMBER_LEFT)
			health_add(g, 1);
		self_raise(g, u->incarnation, false, out);
		return;
	}
	if (u->incarnation == self->incarnation && !other_boot)
		return;
	/*
	 * A former life of this node with a higher number than was stored; or somebody with the same identity,
	 * who will answer the ping.
	 */
	self_raise(g, u->incarnation, true, out);
	if (!other_boot || u->card->n_addrs == 0 || card_has_addr(&g->self, &u->card->addrs[0]) ||
	    !bucket_take(&g->query_bucket, g->now, 200, 400))
		return;
	d = out_dgram(g, &u->card->addrs[0], GOSSIP_FAR, u->card->boot, GOSSIP_PING, out);
	d->msg.seq = probe_seq(g);
}

static void card_in(struct gossip *g, struct member *m, const struct card *card, struct gossip_out *out)
{
	struct card old = *m->card;
	struct gossip_event *e;
	bool moved = (card->n_addrs ? card->addrs[0].family : 0) != (old.n_addrs ? old.addrs[0].family : 0) ||
	             (card->n_addrs && !addr_eq(&card->addrs[0], &old.addrs[0]));

	member_card_set(g, m, card);
	if (memcmp(old.boot, card->boot, BOOT_LEN) != 0) {
		member_event(m, GOSSIP_EV_RESTARTED, out);
		sync_soon(g);
	}
	if (moved) {
		if (m->contact)
			m->contact->addr = (struct addr){ 0 };
		e = member_event(m, GOSSIP_EV_READDRESSED, out);
		e->other = old.n_addrs ? old.addrs[0] : (struct addr){ 0 };
	}
	if (strcmp(old.name, card->name) != 0) {
		e = member_event(m, GOSSIP_EV_RENAMED, out);
		memcpy(e->old_name, old.name, sizeof(e->old_name));
	}
	if (old.features != card->features || old.version_min != card->version_min ||
	    old.version_max != card->version_max || old.n_extra != card->n_extra ||
	    memcmp(old.extra, card->extra, card->n_extra) != 0)
		member_event(m, GOSSIP_EV_CARD, out);
}

/* Two boots under one incarnation: two processes with one identity. The lower boot stays, everywhere. */
static void twins_in(struct gossip *g, struct member *m, const struct card *card, struct gossip_out *out)
{
	struct card old = *m->card;
	const struct card *refused = card;
	struct gossip_update told;

	if (memcmp(card->boot, old.boot, BOOT_LEN) < 0) {
		card_in(g, m, card, out);
		refused = &old;
		told = update_of(g, m, true);
		rumor_add(g, &told, true);
	}
	if (refused->n_addrs)
		contact_clone(g, m, &refused->addrs[0], refused->boot, out);
}

static void newcomer_in(struct gossip *g, const struct gossip_update *u, struct member *from, struct gossip_out *out)
{
	bool answers = u->state == MEMBER_ALIVE || u->state == MEMBER_SUSPECT;
	struct gossip_update told = *u;
	struct member *m;

	if (!u->card) {
		if (from && answers)
			contact_query(g, from, &u->id, out);
		return;
	}
	if (g->n_members >= g->conf.members_max)
		return;
	m = member_add(g, u->card, answers ? MEMBER_ALIVE : u->state, u->incarnation, false);
	if (!answers)
		return;
	if (!member_compatible(g, u->card))
		member_event(m, GOSSIP_EV_VERSION, out);
	member_event(m, GOSSIP_EV_JOINED, out);
	sync_soon(g);
	told.state = MEMBER_ALIVE;
	told.by = NODE_ID_NONE;
	told.clone = (struct addr){ 0 };
	rumor_add(g, &told, true);
	if (u->state == MEMBER_SUSPECT)
		suspicion_start(g, m, &u->by, u->incarnation, out);
}

static void alive_in(struct gossip *g, struct member *m, const struct gossip_update *u, struct gossip_out *out)
{
	enum member_state was = (enum member_state)m->state;
	struct gossip_update told = *u;

	member_set(g, m, MEMBER_ALIVE, u->incarnation);
	if (was == MEMBER_SUSPECT)
		member_event(m, GOSSIP_EV_REFUTED, out);
	else if (was != MEMBER_ALIVE)
		member_event(m, GOSSIP_EV_ALIVE, out);
	if (was >= MEMBER_FAILED)
		sync_soon(g);
	if (was == MEMBER_FAILED)
		g->counts.false_alarms++;
	told.state = MEMBER_ALIVE;
	told.by = NODE_ID_NONE;
	told.clone = (struct addr){ 0 };
	rumor_add(g, &told, u->card != NULL);
}

static void dead_in(struct gossip *g, struct member *m, const struct gossip_update *u, struct gossip_out *out)
{
	bool event = member_answers(m) || (u->state == MEMBER_LEFT && m->state != MEMBER_LEFT);

	member_set(g, m, u->state, u->incarnation);
	if (!event)
		return;
	member_event(m, u->state == MEMBER_LEFT ? GOSSIP_EV_LEFT : GOSSIP_EV_FAILED, out);
	rumor_add(g, u, false);
}

/* The newer of two statements: higher incarnation, then the graver state. */
static int update_cmp(const struct gossip_update *u, const struct member *m)
{
	if (u->incarnation != m->incarnation)
		return u->incarnation < m->incarnation ? -1 : 1;
	return (int)u->state - (int)m->state;
}

void update_in(struct gossip *g, const struct gossip_update *u, struct member *from, struct gossip_out *out)
{
	struct member *m;
	int newer;

	if (banned(g, &u->id))
		return;
	if (node_id_eq(&u->id, &g->self.id)) {
		self_in(g, u, out);
		return;
	}
	m = member_find(g, &u->id);
	if (!m) {
		newcomer_in(g, u, from, out);
		return;
	}
	newer = update_cmp(u, m);
	if (u->card && u->card->incarnation > m->card->incarnation)
		card_in(g, m, u->card, out);
	else if (u->card && newer == 0 && memcmp(u->card->boot, m->card->boot, BOOT_LEN) != 0)
		twins_in(g, m, u->card, out);
	else if (!u->card && from && (u->card_incarnation > m->card->incarnation ||
	                              (newer == 0 && u->boot_tag != boot_tag(m->card->boot))))
		contact_query(g, from, &u->id, out);
	if (u->clone.family)
		contact_clone_told(g, u, out);
	if (newer == 0 && u->state == MEMBER_SUSPECT)
		suspicion_start(g, m, &u->by, u->incarnation, out);
	if (newer <= 0)
		return;
	if (u->state == MEMBER_ALIVE) {
		alive_in(g, m, u, out);
	} else if (u->state == MEMBER_FAILED && m->state == MEMBER_ALIVE) {
		suspicion_verdict(g, m, &u->by, u->incarnation, out);
	} else if (u->state != MEMBER_SUSPECT) {
		dead_in(g, m, u, out);
	} else {
		/* Suspect under an incarnation not heard of: it was alive with it. */
		if (!member_answers(m)) {
			struct gossip_update alive = *u;

			alive.card = NULL;
			alive_in(g, m, &alive, out);
		}
		suspicion_start(g, m, &u->by, u->incarnation, out);
	}
}

void updates_in(struct gossip *g, const struct gossip_msg *msg, const struct node_id *from, struct gossip_out *out)
{
	for (unsigned i = 0; i < msg->n_updates; i++)
		update_in(g, &msg->updates[i], from ? member_find(g, from) : NULL, out);
	if (!msg->confirm)
		return;
	for (unsigned i = 0; i < msg->n_updates; i++) {
		struct member *m = member_find(g, &msg->updates[i].id);

		if (m && m->state == MEMBER_SUSPECT && msg->updates[i].state == MEMBER_SUSPECT && !member_is_self(g, m))
			probe_start(g, m, PROBE_CONFIRM, out);
	}
}

static uint32_t fold(uint64_t hash)
{
	uint32_t h = (uint32_t)(hash ^ hash >> 32);

	return h ? h : 1;
}

static uint32_t hash32(const struct gossip *g)
{
	return fold(g->members_hash);
}

void hash_for_ping(struct gossip *g, struct gossip_msg *m, bool asked)
{
	bool busy = mono_ms_between(g->changed, g->now) < BUSY_MS || facts_busy(g);

	if (!asked && !busy && g->ticks % 8)
		return;
	m->hash = hash32(g);
	m->facts = fold(facts_hash(g->facts));
}

void facts_hash_in(struct gossip *g, const struct member *from, uint32_t hash, struct gossip_out *out)
{
	bool settled = !g->facts_changed.ns || mono_ms_between(g->facts_changed, g->now) >= SETTLE_FACTS_MS;

	if (hash == 0 || hash == fold(facts_hash(g->facts)) || !settled || mono_before(g->now, g->facts_compared))
		return;
	/* Where it helps, the facts change. Where two hold for good what the other cannot take, it is not tried more often. */
	g->facts_compared = gossip_in_about(g, SYNC_MS);
	sync_offer(g, &from->card->id, out);
}

void hash_in(struct gossip *g, struct member *from, uint32_t hash, struct gossip_out *out)
{
	uint64_t settle_ms = gossip_alive(g) <= REPAIR_TABLE_MAX ? SETTLE_MS : SETTLE_LARGE_MS;

	if (hash == 0 || hash == hash32(g) || mono_ms_between(g->changed, g->now) < settle_ms ||
	    mono_before(g->now, g->repaired))
		return;
	g->repaired = gossip_in_about(g, REPAIR_MS);
	if (gossip_alive(g) <= REPAIR_TABLE_MAX)
		rumor_table(g, from, false, out);
	else
		sync_offer(g, &from->card->id, out);
}

static void table_send(struct gossip *g, struct member *to, struct packing *p, bool whole, struct gossip_out *out)
{
	struct gossip_dgram *d;

	if (p->n == 0)
		return;
	d = contact_dgram(g, to, GOSSIP_NEWS, out);
	d->msg.hash = whole ? hash32(g) : 0;
	pack_into(p, d, out);
	p->n = 0;
	p->bytes = 0;
}

void rumor_table(struct gossip *g, struct member *to, bool cards, struct gossip_out *out)
{
	struct packing p = { .n = 0 };
	unsigned n_sent = 0;

	for (unsigned i = 0; i < g->n_members; i++) {
		struct member *m = member_nth(g, i);
		struct gossip_update u = update_of(g, m, cards);

		if (!member_answers(m) || (cards && m == to) || pack(&p, &u))
			continue;
		/* The rest of a long list goes over the mesh. */
		if (++n_sent == 24) {
			sync_offer(g, &to->card->id, out);
			return;
		}
		table_send(g, to, &p, false, out);
		pack(&p, &u);
	}
	table_send(g, to, &p, !cards && n_sent == 0, out);
}

/* Is our belief about m newer than, or missing from, the list? */
static bool differs(const struct member *m, const struct gossip_update *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (node_id_eq(&list[i].id, &m->card->id))
			return update_cmp(&list[i], m) < 0 || list[i].card_incarnation < m->card->incarnation ||
			       (update_cmp(&list[i], m) == 0 && list[i].boot_tag != boot_tag(m->card->boot));
	return member_answers(m);
}

void rumor_repair_in(struct gossip *g, struct member *from, const struct gossip_msg *msg, struct gossip_out *out)
{
	struct node_id id = from->card->id;
	struct packing p = { .n = 0 };

	updates_in(g, msg, &id, out);
	from = member_find(g, &id);
	if (!from || msg->hash == 0 || msg->hash == hash32(g))
		return;
	for (unsigned i = 0; i < g->n_members; i++) {
		struct member *m = member_nth(g, i);
		struct gossip_update u;

		if (!differs(m, msg->updates, msg->n_updates))
			continue;
		u = update_of(g, m, true);
		if (!pack(&p, &u)) {
			table_send(g, from, &p, false, out);
			pack(&p, &u);
		}
	}
	table_send(g, from, &p, false, out);
}
