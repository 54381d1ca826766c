/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First contact and freshness. HELLO may be a replay and changes nothing; WELCOME is sealed for the boot
 * that said HELLO; JOIN is sealed for the boot that said WELCOME, once. After that every datagram carries
 * a counter, and the window of each contact refuses what was seen.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

#define NEAR_SPAN (1u << 22)    /* half of what NEAR's short counter can tell apart, with room */

/* The first contact with a tag not below this one. */
static unsigned contact_pos(const struct gossip *g, uint32_t tag)
{
	unsigned lo = 0, hi = g->n_contacts;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (g->contacts[mid]->tag < tag)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct contact *contact_by_boot(const struct gossip *g, const uint8_t boot[BOOT_LEN])
{
	uint32_t tag = boot_tag(boot);

	for (unsigned i = contact_pos(g, tag); i < g->n_contacts && g->contacts[i]->tag == tag; i++)
		if (memcmp(g->contacts[i]->boot, boot, BOOT_LEN) == 0)
			return g->contacts[i];
	return NULL;
}

bool gossip_boot_by_tag(void *arg, uint32_t tag, unsigned nth, uint8_t boot[BOOT_LEN], uint64_t *counter)
{
	const struct gossip *g = arg;
	unsigned i = contact_pos(g, tag) + nth;

	if (i >= g->n_contacts || g->contacts[i]->tag != tag)
		return false;
	memcpy(boot, g->contacts[i]->boot, BOOT_LEN);
	*counter = g->contacts[i]->top;
	return true;
}

struct contact *contact_of(struct gossip *g, struct member *m)
{
	struct contact *c = m->contact;
	unsigned i;

	if (c)
		return c;
	c = mem_zalloc(sizeof(*c));
	c->id = m->card->id;
	memcpy(c->boot, m->card->boot, BOOT_LEN);
	c->tag = boot_tag(c->boot);
	i = contact_pos(g, c->tag);
	g->contacts = mem_grow(g->contacts, &g->cap_contacts, g->n_contacts, sizeof(*g->contacts));
	memmove(g->contacts + i + 1, g->contacts + i, (g->n_contacts - i) * sizeof(*g->contacts));
	g->contacts[i] = c;
	g->n_contacts++;
	m->contact = c;
	return c;
}

void contact_drop(struct gossip *g, struct member *m)
{
	struct contact *c = m->contact;
	unsigned i;

	if (!c)
		return;
	for (i = contact_pos(g, c->tag); g->contacts[i] != c; i++)
		;
	g->n_contacts--;
	memmove(g->contacts + i, g->contacts + i + 1, (g->n_contacts - i) * sizeof(*g->contacts));
	free(c);
	m->contact = NULL;
}

struct gossip_dgram *contact_dgram(struct gossip *g, struct member *m, enum gossip_msg_kind kind,
                                   struct gossip_out *out)
{
	struct contact *c = contact_of(g, m);
	bool near = c->near && g->counts.dgrams_out - c->sent < NEAR_SPAN;
	struct addr to = member_addr(m);

	c->sent = g->counts.dgrams_out;
	return out_dgram(g, &to, near ? GOSSIP_NEAR : GOSSIP_FAR, c->boot, kind, out);
}

/* Has this counter been seen, or is it too old to tell? Marks it as seen. */
static bool window_seen(struct contact *c, uint64_t counter)
{
	static const uint64_t bits = 64 * REPLAY_WORDS;
	uint64_t shift, *word, bit;

	if (c->top == 0) {
		/* What it sent before may have been heard, and is not asked for. */
		memset(c->window, 0xff, sizeof(c->window));
		c->window[counter / 64 % REPLAY_WORDS] &= ~(1ull << (counter % 64));
		c->top = counter;
	} else if (counter > c->top) {
		shift = counter - c->top;
		if (shift >= bits) {
			memset(c->window, 0, sizeof(c->window));
		} else {
			/* The window is a ring of bits indexed by counter: clear the places between the old top and the new. */
			for (uint64_t i = c->top + 1; i <= counter; i++)
				c->window[i / 64 % REPLAY_WORDS] &= ~(1ull << (i % 64));
		}
		c->top = counter;
	} else if (c->top - counter >= bits) {
		return true;
	}
	word = &c->window[counter / 64 % REPLAY_WORDS];
	bit = 1ull << (counter % 64);
	if (*word & bit)
		return true;
	*word |= bit;
	return false;
}

/* Who was asked everywhere answers from everywhere. Is where it is spoken to better than `from`? */
static bool contact_prefers(const struct gossip *g, struct contact *c, const struct member *m, const struct addr *from)
{
	const struct addr *first = m && m->card->n_addrs ? &m->card->addrs[0] : NULL;

	if (!first)
		return false;
	if (addr_eq(first, from)) {
		c->first_heard = g->now;
		return false;
	}
	return addr_eq(first, &c->addr) && c->first_heard.ns && mono_ms_between(c->first_heard, g->now) < FIRST_HEARD_MS;
}

struct member *contact_accept(struct gossip *g, const struct gossip_in *in, bool *replay)
{
	struct contact *c = contact_by_boot(g, in->head->boot);
	struct member *m = NULL;

	*replay = false;
	if (!c && in->head->form == GOSSIP_FAR && !node_id_none(&in->msg->from)) {
		m = member_find(g, &in->msg->from);
		if (!m || member_is_self(g, m) || memcmp(m->card->boot, in->head->boot, BOOT_LEN) != 0)
			return NULL;
		c = contact_of(g, m);
	}
	if (!c)
		return NULL;
	if (window_seen(c, in->head->counter)) {
		*replay = true;
		return NULL;
	}
	/* These are only sent by who holds a contact with our boot, and so can open NEAR. */
	if (in->msg->kind <= GOSSIP_NACK)
		c->near = true;
	c->heard = g->now;
	if (!m)
		m = member_find(g, &c->id);
	if (contact_prefers(g, c, m, &in->from))
		return m;
	c->moved |= c->addr.family && !addr_eq(&c->addr, &in->from);
	c->addr = in->from;
	return m;
}

bool remember(struct remembered *r, const void *key, const struct addr *a, struct mono now, struct mono until)
{
	struct remembered *slot = recall(r, key, a, now);
	bool known = slot != NULL;

	for (unsigned i = 0; i < REMEMBER_MAX && !known; i++)
		if (!slot || mono_before(r[i].until, slot->until))
			slot = &r[i];
	memcpy(slot->key, key, sizeof(slot->key));
	slot->addr = a ? *a : (struct addr){ 0 };
	slot->until = until;
	return known;
}

struct remembered *recall(struct remembered *r, const void *key, const struct addr *a, struct mono now)
{
	for (unsigned i = 0; i < REMEMBER_MAX; i++)
		if (mono_before(now, r[i].until) && memcmp(r[i].key, key, sizeof(r[i].key)) == 0 &&
		    (!a || addr_eq(&r[i].addr, a)))
			return &r[i];
	return NULL;
}

bool bucket_take(struct bucket *b, struct mono now, unsigned per_second, unsigned burst)
{
	uint64_t ms = mono_ms_between(b->at, now), more = ms * per_second + b->tokens;

	/* What is less than a millisecond counts the next time, or it would never be filled by who asks so often. */
	if (b->at.ns == 0 || more > burst * 1000ull) {
		more = burst * 1000ull;
		b->at = now;
	} else {
		b->at = mono_add_ms(b->at, ms);
	}
	b->tokens = (uint32_t)more;
	if (b->tokens < 1000)
		return false;
	b->tokens -= 1000;
	return true;
}

void contact_hello(struct gossip *g, const struct addr *to, struct gossip_out *out)
{
	struct gossip_dgram *d;

	if (g->conf.key_epoch == 0)
		return;
	d = out_dgram(g, to, GOSSIP_FIRST, NULL, GOSSIP_HELLO, out);
	d->msg.card = out_card(out, &g->self);
	memcpy(d->msg.cluster, g->conf.cluster, sizeof(d->msg.cluster));
}

static struct gossip_dgram *answer(struct gossip *g, const struct gossip_in *in, enum gossip_msg_kind kind,
                                   struct gossip_out *out)
{
	struct gossip_dgram *d = out_dgram(g, &in->from, GOSSIP_FAR, in->head->boot, kind, out);

	d->msg.card = out_card(out, &g->self);
	return d;
}

static void refuse_back(struct gossip *g, const struct gossip_in *in, enum gossip_refusal why, struct gossip_out *out)
{
	answer(g, in, GOSSIP_REFUSE, out)->msg.refusal = why;
}

static void clone_refuse(struct gossip *g, const struct addr *to, const uint8_t *boot, const struct member *stays,
                         struct gossip_out *out)
{
	struct gossip_dgram *d = out_dgram(g, to, GOSSIP_FAR, boot, GOSSIP_REFUSE, out);
	struct gossip_update *u;

	g->counts.refused_clone++;
	d->msg.card = out_card(out, &g->self);
	d->msg.refusal = GOSSIP_REFUSE_CLONE;
	d->msg.seen = member_addr(stays);
	if (member_is_self(g, stays))
		return;
	u = out_alloc(out, sizeof(*u));
	*u = update_of(g, stays, true);
	u->card = out_card(out, u->card);
	d->msg.updates = u;
	d->msg.n_updates = 1;
}

/* A second process with the identity of member u->id was refused at u->clone: say so once a minute, here and on. */
void contact_clone_told(struct gossip *g, const struct gossip_update *u, struct gossip_out *out)
{
	struct member *m = member_find(g, &u->id);
	struct gossip_event *e;

	/* An old HELLO, replayed from ever other addresses, says it of ever other clones. */
	if (!m || (!recall(g->clones, u->id.b, &u->clone, g->now) && !bucket_take(&g->clone_bucket, g->now, 1, 16)) ||
	    remember(g->clones, u->id.b, &u->clone, g->now, gossip_in_ms(g, 60000)))
		return;
	e = member_event(m, GOSSIP_EV_CLONED, out);
	e->other = u->clone;
	rumor_add(g, u, false);
}

void contact_clone(struct gossip *g, struct member *stays, const struct addr *other, const uint8_t *boot,
                   struct gossip_out *out)
{
	struct gossip_update u = update_of(g, stays, false);

	clone_refuse(g, other, boot, stays, out);
	u.clone = *other;
	u.clone.scope = 0;
	contact_clone_told(g, &u, out);
}

/* This node is the one too many: it does nothing but to ask again from time to time. */
static void go_quiet(struct gossip *g, const struct addr *stays, struct gossip_out *out)
{
	struct gossip_event *e;

	if (!g->quiet) {
		e = out_event(out, GOSSIP_EV_SELF_CLONED);
		e->id = g->self.id;
		e->addr = *stays;
		if (g->self.n_addrs)
			e->other = g->self.addrs[0];
		memcpy(e->name, g->self.name, sizeof(e->name));
	}
	g->quiet = true;
}

/*
 * This node's identity speaks from another boot at `at`: there are two of us, both members already.
 * The lower boot stays; both sides decide alike.
 */
static void clone_met(struct gossip *g, const struct addr *at, const uint8_t *boot, uint32_t incarnation,
                      struct gossip_out *out)
{
	struct member *self = member_find(g, &g->self.id);

	if (memcmp(g->self.boot, boot, BOOT_LEN) > 0) {
		go_quiet(g, at, out);
		return;
	}
	if (incarnation >= self->incarnation || !recall(g->clones, g->self.id.b, at, g->now))
		self_raise(g, incarnation, true, out);
	contact_clone(g, member_find(g, &g->self.id), at, boot, out);
}

static bool cluster_matches(const struct gossip *g, const uint8_t other[8])
{
	static const uint8_t any[8];

	return memcmp(g->conf.cluster, other, 8) == 0 || memcmp(g->conf.cluster, any, 8) == 0 ||
	       memcmp(other, any, 8) == 0;
}

/* Does the datagram come from where the member lives anyway? */
static bool same_place(const struct member *m, const struct addr *from)
{
	return card_has_addr(m->card, from) || (m->contact && addr_eq(&m->contact->addr, from));
}

/*
 * A node may come in with a new boot at once if it was dead or is where it was before. From elsewhere only
 * when its old place was asked and is silent: otherwise one disk image would be two nodes.
 */
static bool newcomer_ok(struct gossip *g, const struct gossip_in *in, struct member *m, struct gossip_out *out)
{
	if (!m || !member_answers(m) || memcmp(m->card->boot, in->head->boot, BOOT_LEN) == 0 ||
	    same_place(m, &in->from) || recall(g->silent, m->card->id.b, NULL, g->now))
		return true;
	probe_verify(g, m, &in->from, in->head->boot, out);
	return false;
}

static void version_event(const struct gossip_in *in, struct gossip_out *out)
{
	struct gossip_event *e = out_event(out, GOSSIP_EV_VERSION);
	const struct card *c = in->msg->card;

	e->id = c->id;
	e->addr = in->from;
	memcpy(e->name, c->name, sizeof(e->name));
	e->version_min = c->version_min;
	e->version_max = c->version_max;
}

/* Was it said lately who is refused? A HELLO may be a replay, and comes as often as anybody likes. */
static bool told(struct gossip *g, const struct card *c)
{
	return recall(g->told, c->id.b, NULL, g->now) || remember(g->told, c->id.b, NULL, g->now, gossip_in_ms(g, 10000));
}

/* What HELLO, WELCOME and JOIN have in common: may this node be talked to at all? */
static bool stranger_ok(struct gossip *g, const struct gossip_in *in, bool tell, struct gossip_out *out)
{
	const struct card *c = in->msg->card;
	struct gossip_event *e;

	if (memcmp(c->boot, in->head->boot, BOOT_LEN) != 0) {
		refuse(g, &g->counts.refused_malformed, &in->from, "malformed", out);
		return false;
	}
	if (banned(g, &c->id)) {
		refuse(g, &g->counts.refused_banned, &in->from, "removed node", out);
		if (tell)
			refuse_back(g, in, GOSSIP_REFUSE_REMOVED, out);
		if (told(g, c))
			return false;
		e = out_event(out, GOSSIP_EV_REMOVED);
		e->id = c->id;
		e->addr = in->from;
		memcpy(e->name, c->name, sizeof(e->name));
		return false;
	}
	if (!member_compatible(g, c)) {
		refuse(g, &g->counts.refused_version, &in->from, "version", out);
		if (tell)
			refuse_back(g, in, GOSSIP_REFUSE_VERSION, out);
		if (!told(g, c))
			version_event(in, out);
		return false;
	}
	return true;
}

/* Somebody with an older key wants in. That may be a member who slept through a change of keys. */
static void stale_hello(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct card *c = in->msg->card;
	struct gossip_event *e;

	if (remember(g->stale, c->id.b, NULL, g->now, gossip_in_ms(g, 5000)))
		return;
	e = out_event(out, GOSSIP_EV_STALE_KEY);
	e->id = c->id;
	e->addr = in->from;
	e->key_epoch = in->head->key_epoch;
	memcpy(e->name, c->name, sizeof(e->name));
}

static void hello_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct card *c = in->msg->card;
	struct member *m = member_find(g, &c->id);
	struct gossip_dgram *d;

	if (!bucket_take(&g->hello_bucket, g->now, 1000, 2000)) {
		g->counts.refused_flood++;
		return;
	}
	if (!cluster_matches(g, in->msg->cluster)) {
		refuse(g, &g->counts.refused_foreign, &in->from, "another cluster", out);
		return;
	}
	if (!stranger_ok(g, in, true, out))
		return;
	if (m && member_is_self(g, m)) {
		/* We run, so the other one is the newcomer. */
		contact_clone(g, m, &in->from, in->head->boot, out);
		return;
	}
	if (in->head->key_epoch < g->conf.key_epoch) {
		/* It could not open the answer. */
		stale_hello(g, in, out);
		return;
	}
	if (!newcomer_ok(g, in, m, out) || (!m && g->n_members >= g->conf.members_max))
		return;
	remember(g->welcomed, in->head->boot, NULL, g->now, gossip_in_ms(g, 10000));
	d = answer(g, in, GOSSIP_WELCOME, out);
	d->msg.seen = in->from;
	if (m) {
		bool outbid = m->state != MEMBER_ALIVE || memcmp(m->card->boot, c->boot, BOOT_LEN) != 0;

		d->msg.known = m->incarnation + outbid;
	}
}

static struct gossip_update alive_of(const struct card *c, uint32_t incarnation)
{
	return (struct gossip_update){
		.id = c->id, .state = MEMBER_ALIVE, .incarnation = incarnation, .card_incarnation = c->incarnation, .card = c,
	};
}

static void ready(struct gossip *g, struct gossip_out *out)
{
	if (g->ready)
		return;
	g->ready = true;
	out_event(out, GOSSIP_EV_READY)->id = g->self.id;
}

/* The first answer tells a node without a configured address where it lives. */
static void self_seen(struct gossip *g, const struct addr *seen)
{
	if (g->self.n_addrs || seen->family == 0)
		return;
	g->self.addrs[0] = *seen;
	g->self.n_addrs = 1;
	member_card_set(g, member_find(g, &g->self.id), &g->self);
}

static void candidate_answered(struct gossip *g, const struct addr *a, const struct node_id *who)
{
	for (unsigned i = 0; i < g->n_candidates; i++)
		if (addr_eq(&g->candidates[i].addr, a))
			g->candidates[i].who = *who;
}

static void welcome_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct gossip_msg *msg = in->msg;
	struct gossip_update u = alive_of(msg->card, msg->card->incarnation);
	struct member *self = member_find(g, &g->self.id), *m;
	bool replay;

	if (!stranger_ok(g, in, false, out) || node_id_eq(&msg->card->id, &g->self.id))
		return;
	if (g->quiet)
		suspicion_anew(g);
	g->quiet = false;
	self_seen(g, &msg->seen);
	if (msg->known > self->incarnation)
		self_raise(g, msg->known - 1, true, out);
	update_in(g, &u, NULL, out);
	m = member_find(g, &msg->card->id);
	if (!m || !contact_accept(g, in, &replay))
		return;
	ready(g, out);
	candidate_answered(g, &in->from, &m->card->id);
	answer(g, in, GOSSIP_JOIN, out);
	sync_met(g, &m->card->id, out);
	/* It says its list after JOIN; if it holds us or others for dead, this is how it learns. */
	if (m->state != MEMBER_ALIVE)
		news_to(g, m, &m->card->id, false, out);
}

static void join_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct card *c = in->msg->card;
	struct gossip_update u = alive_of(c, c->incarnation);
	struct remembered *welcomed = recall(g->welcomed, in->head->boot, NULL, g->now);
	struct member *m = member_find(g, &c->id);
	bool replay;

	if (!welcomed) {
		refuse(g, &g->counts.refused_replay, &in->from, "replayed", out);
		return;
	}
	welcomed->until = g->now;
	if (!stranger_ok(g, in, true, out) || node_id_eq(&c->id, &g->self.id) || !newcomer_ok(g, in, m, out))
		return;
	update_in(g, &u, NULL, out);
	m = member_find(g, &c->id);
	if (!m || !contact_accept(g, in, &replay))
		return;
	ready(g, out);
	if (m->state != MEMBER_ALIVE || m->incarnation > u.incarnation)
		news_to(g, m, &m->card->id, false, out);
	rumor_table(g, m, true, out);
}

static void refuse_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct gossip_update *u = in->msg->n_updates ? &in->msg->updates[0] : NULL;
	const struct card *other = u ? u->card : in->msg->card;
	struct gossip_event *e;
	bool replay;

	/* One that was right once says nothing of a node that was let in since. */
	contact_accept(g, in, &replay);
	if (replay) {
		refuse(g, &g->counts.refused_replay, &in->from, "replayed", out);
		return;
	}
	switch (in->msg->refusal) {
	case GOSSIP_REFUSE_VERSION:
		version_event(in, out);
		break;
	case GOSSIP_REFUSE_CLONE:
		if (!other || !node_id_eq(&other->id, &g->self.id) || memcmp(other->boot, g->self.boot, BOOT_LEN) == 0)
			break;
		/*
		 * A newcomer gives way. Between two who have company the boots decide; before this node gives
		 * way on the word of a third it asks the other one itself, who will refuse it if it is there.
		 */
		if (gossip_alive(g) < 2)
			go_quiet(g, &in->msg->seen, out);
		else if (!u || memcmp(g->self.boot, other->boot, BOOT_LEN) < 0)
			clone_met(g, &in->msg->seen, other->boot, u ? u->incarnation : other->incarnation, out);
		else
			out_dgram(g, &in->msg->seen, GOSSIP_FAR, other->boot, GOSSIP_PING, out)->msg.seq = probe_seq(g);
		break;
	case GOSSIP_REFUSE_REMOVED:
		e = out_event(out, GOSSIP_EV_REMOVED);
		e->id = g->self.id;
		e->addr = in->from;
		break;
	}
}

void contact_query(struct gossip *g, struct member *whom, const struct node_id *id, struct gossip_out *out)
{
	if (recall(g->asked, id->b, NULL, g->now) || !bucket_take(&g->query_bucket, g->now, 200, 400))
		return;
	remember(g->asked, id->b, NULL, g->now, gossip_in_ms(g, 200));
	contact_dgram(g, whom, GOSSIP_QUERY, out)->msg.target = *id;
}

static void query_in(struct gossip *g, struct member *from, const struct gossip_in *in, struct gossip_out *out)
{
	struct member *m = member_find(g, &in->msg->target);
	struct gossip_update *u;
	struct gossip_dgram *d;

	if (!m)
		return;
	u = out_alloc(out, sizeof(*u));
	*u = update_of(g, m, true);
	u->card = out_card(out, u->card);
	if (from)
		d = contact_dgram(g, from, GOSSIP_NEWS, out);
	else
		d = out_dgram(g, &in->from, GOSSIP_FAR, in->head->boot, GOSSIP_NEWS, out);
	d->msg.updates = u;
	d->msg.n_updates = 1;
}

/* A node said who it is and is still not believed: its identity is known with another boot. */
static void other_boot(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	struct member *m = member_find(g, &in->msg->from);
	struct gossip_dgram *d;
	struct gossip_update *u;

	if (!m || memcmp(m->card->boot, in->head->boot, BOOT_LEN) == 0)
		return;
	if (member_answers(m) && m->contact && mono_ms_between(m->contact->heard, g->now) < 3000) {
		contact_clone(g, m, &in->from, in->head->boot, out);
		return;
	}
	/* Not heard of lately, so it may be a former life that others hold against it: it can outbid that. */
	u = out_alloc(out, sizeof(*u));
	*u = update_of(g, m, false);
	d = out_dgram(g, &in->from, GOSSIP_FAR, in->head->boot, GOSSIP_NEWS, out);
	d->msg.updates = u;
	d->msg.n_updates = 1;
}

/*
 * Fresh, but from a boot not known here. It may be a member whose news have not come yet: ask for its
 * card. What it says is taken only when it was asked for.
 */
static void unknown_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	const struct gossip_msg *msg = in->msg;

	if (node_id_eq(&msg->from, &g->self.id)) {
		clone_met(g, &in->from, in->head->boot, 0, out);
		return;
	}
	if (node_id_none(&msg->from) || banned(g, &msg->from)) {
		refuse(g, &g->counts.refused_banned, &in->from, "removed node", out);
		return;
	}
	if (msg->kind == GOSSIP_NEWS && recall(g->asked, msg->from.b, NULL, g->now)) {
		updates_in(g, msg, NULL, out);
		other_boot(g, in, out);
		return;
	}
	/* Its own card only: that is what we asked it for. */
	if (msg->kind == GOSSIP_QUERY && node_id_eq(&msg->target, &g->self.id)) {
		query_in(g, NULL, in, out);
		return;
	}
	if (!recall(g->asked, msg->from.b, NULL, g->now) && bucket_take(&g->query_bucket, g->now, 200, 400)) {
		remember(g->asked, msg->from.b, NULL, g->now, gossip_in_ms(g, 200));
		out_dgram(g, &in->from, GOSSIP_FAR, in->head->boot, GOSSIP_QUERY, out)->msg.target = msg->from;
	}
}

static void key_check(struct gossip *g, struct member *m, const struct gossip_in *in, struct gossip_out *out)
{
	uint32_t epoch = in->head->key_epoch;
	struct gossip_event *e;

	if (epoch == g->conf.key_epoch || mono_before(g->now, m->contact->key_told))
		return;
	m->contact->key_told = gossip_in_ms(g, 5000);
	e = member_event(m, epoch < g->conf.key_epoch ? GOSSIP_EV_STALE_KEY : GOSSIP_EV_NEWER_KEY, out);
	e->key_epoch = epoch;
}

static void member_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	bool replay;
	struct member *m = contact_accept(g, in, &replay);

	if (replay) {
		refuse(g, &g->counts.refused_replay, &in->from, "replayed", out);
		return;
	}
	if (!m) {
		unknown_in(g, in, out);
		return;
	}
	key_check(g, m, in, out);
	/* By another of its networks: the mesh must go there too. */
	if (m->contact->moved)
		member_event(m, GOSSIP_EV_CARD, out);
	m->contact->moved = false;
	switch (in->msg->kind) {
	case GOSSIP_PING:
	case GOSSIP_ACK:
	case GOSSIP_PINGREQ:
	case GOSSIP_NACK:
		probe_in(g, m, in, out);
		break;
	case GOSSIP_NEWS:
		rumor_repair_in(g, m, in->msg, out);
		break;
	case GOSSIP_QUERY:
		query_in(g, m, in, out);
		break;
	case GOSSIP_PASS:
		out_event(out, GOSSIP_EV_PASSED)->id = m->card->id;
		break;
	default:
		break;
	}
}

void contact_dgram_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	enum gossip_msg_kind kind = in->msg->kind;
	bool clear = kind == GOSSIP_KNOCK || kind == GOSSIP_BLOB;

	g->counts.dgrams_in++;
	if (clear != (in->head->form == GOSSIP_CLEAR) || (kind == GOSSIP_HELLO) != (in->head->form == GOSSIP_FIRST)) {
		refuse(g, &g->counts.refused_malformed, &in->from, "malformed", out);
		return;
	}
	if (clear) {
		pending_in(g, in, out);
		return;
	}
	if (memcmp(in->head->boot, g->self.boot, BOOT_LEN) == 0)
		return;
	if (kind == GOSSIP_WELCOME)
		welcome_in(g, in, out);
	else if (kind == GOSSIP_REFUSE)
		refuse_in(g, in, out);
	else if (g->quiet)
		return;
	else if (kind == GOSSIP_HELLO)
		hello_in(g, in, out);
	else if (kind == GOSSIP_JOIN)
		join_in(g, in, out);
	else
		member_in(g, in, out);
}

void contact_stranger(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	static const char *const why[] = { "wrong key", "forged", "malformed", "stale" };
	uint64_t *counters[] = { &g->counts.refused_key, &g->counts.refused_forged, &g->counts.refused_malformed,
	                         &g->counts.refused_stale };

	g->counts.dgrams_in++;
	if (in->why != STRANGER_STALE) {
		refuse(g, counters[in->why], &in->from, why[in->why], out);
		/* Who has an older key is told that there is a newer one, by a HELLO that it cannot open. */
		if (in->newer && !g->quiet && bucket_take(&g->stranger_bucket, g->now, 20, 40))
			contact_hello(g, &in->from, out);
		return;
	}
	/* Somebody takes us for who ran here before. Not an attack: introduce ourselves. */
	g->counts.refused_stale++;
	if (g->quiet || !bucket_take(&g->stranger_bucket, g->now, 20, 40))
		return;
	contact_hello(g, &in->from, out);
}

/* Candidates: addresses where a node may be. */

/* Anybody can say of any address that a node is there: of too many the one that was asked most often in vain makes room. */
static struct candidate *candidate_place(struct gossip *g)
{
	struct candidate *c = g->candidates;

	if (g->n_candidates < GOSSIP_CANDIDATES_MAX) {
		g->candidates = mem_grow(g->candidates, &g->cap_candidates, g->n_candidates, sizeof(*g->candidates));
		return &g->candidates[g->n_candidates++];
	}
	for (unsigned i = 1; i < g->n_candidates; i++)
		if (g->candidates[i].wait_ms > c->wait_ms)
			c = &g->candidates[i];
	return c;
}

void contact_candidate(struct gossip *g, const struct addr *a)
{
	struct candidate *c;

	for (unsigned i = 0; i < g->n_candidates; i++) {
		if (addr_eq(&g->candidates[i].addr, a)) {
			/* Said again: somebody may have come to life there. */
			g->candidates[i].next = mono_min(g->candidates[i].next, gossip_in_ms(g, HELLO_MS));
			return;
		}
	}
	if (a->family == 0 || card_has_addr(&g->self, a))
		return;
	c = candidate_place(g);
	/* Many at once are spread out, so that most are known from the first answers before their turn comes. */
	*c = (struct candidate){
		.addr = *a, .wait_ms = HELLO_MS,
		.next = gossip_in_ms(g, g->n_candidates > 1 ? 5 + rng_below(&g->rng, 4 * (g->n_candidates - 1) + 10) : 0),
	};
}

/*
 * By an address of its card, or by one that it answered from: a link-local one is in no card. Another HELLO would be answered
 * with the list of all members.
 */
static bool candidate_alive(const struct gossip *g, const struct candidate *c)
{
	const struct member *who = node_id_none(&c->who) ? NULL : member_find(g, &c->who);
	struct gossip_member m;

	return (who && who->state == MEMBER_ALIVE) || (gossip_find_addr(g, &c->addr, &m) && m.state == MEMBER_ALIVE);
}

static void candidate_try(struct gossip *g, struct candidate *c, struct gossip_out *out)
{
	if (card_has_addr(&g->self, &c->addr) || (!g->quiet && candidate_alive(g, c))) {
		c->wait_ms = HELLO_MS;
		c->next = gossip_in_about(g, HELLO_MAX_MS / 3);
		return;
	}
	contact_hello(g, &c->addr, out);
	c->next = g->quiet ? gossip_in_about(g, QUIET_MS) : gossip_in_about(g, c->wait_ms);
	c->wait_ms = c->wait_ms * 2 > HELLO_MAX_MS ? HELLO_MAX_MS : c->wait_ms * 2;
}

/* Now and then a dead member is spoken to: it may be back, or beyond a cut that has healed. */
static void reconnect(struct gossip *g, struct gossip_out *out)
{
	unsigned start = (unsigned)rng_below(&g->rng, g->n_members);
	struct member *pick = NULL;

	for (unsigned i = 0; i < g->n_members; i++) {
		struct member *m = member_nth(g, (start + i) % g->n_members);

		if (member_answers(m) || !member_compatible(g, m->card))
			continue;
		if (!pick)
			pick = m;
		if (m->state == MEMBER_FAILED && mono_ms_between(m->since, g->now) < LONG_DEAD_MS) {
			pick = m;
			break;
		}
	}
	if (!pick) {
		/* All the dead speak another version. */
		g->reconnect = gossip_in_about(g, RECONNECT_SLOW_MS);
		return;
	}
	g->reconnect = gossip_in_about(g, pick->state == MEMBER_FAILED &&
	                               mono_ms_between(pick->since, g->now) < LONG_DEAD_MS ? RECONNECT_MS : RECONNECT_SLOW_MS);
	if (member_addr(pick).family)
		probe_start(g, pick, PROBE_AGAIN, out);
}

static bool any_dead(const struct gossip *g)
{
	return g->n_state[MEMBER_FAILED] + g->n_state[MEMBER_LEFT] > 0;
}

void contact_timer(struct gossip *g, struct gossip_out *out)
{
	for (unsigned i = 0; i < g->n_candidates; i++)
		if (mono_due(g->candidates[i].next, g->now))
			candidate_try(g, &g->candidates[i], out);
	if (!g->quiet && any_dead(g) && mono_due(g->reconnect, g->now))
		reconnect(g, out);
	if (!g->ready && mono_ms_between(g->started, g->now) >= READY_MS)
		ready(g, out);
}

struct mono contact_wake(const struct gossip *g)
{
	struct mono wake = any_dead(g) && !g->quiet ? g->reconnect : MONO_NEVER;

	for (unsigned i = 0; i < g->n_candidates; i++)
		wake = mono_min(wake, g->candidates[i].next);
	if (!g->ready)
		wake = mono_min(wake, mono_add_ms(g->started, READY_MS));
	return wake;
}
