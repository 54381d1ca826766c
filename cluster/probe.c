/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes. Once a tick a node pings its successor in the ring of ids, so that every node is asked exactly
 * once a tick, and now and then somebody at random; it also notices when its predecessor falls silent.
 * Two pings and some relays unanswered lead to suspicion, never to more.
 */
#include <assert.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

uint32_t probe_seq(struct gossip *g)
{
	/* Fourteen bits: two bytes on the wire. */
	g->seq = g->seq % 16383 + 1;
	return g->seq;
}

void health_add(struct gossip *g, int n)
{
	int h = (int)g->counts.health + n;

	g->counts.health = h < 0 ? 0 : h > HEALTH_MAX ? HEALTH_MAX : (unsigned)h;
}

static uint64_t direct_ms(const struct gossip *g, const struct member *m)
{
	uint64_t ms = PROBE_DIRECT_MS + (m->contact ? 2 * m->contact->srtt_us / 1000 : 0);

	return (ms > PROBE_DIRECT_MAX_MS ? PROBE_DIRECT_MAX_MS : ms) * (1 + g->counts.health);
}

static uint64_t indirect_ms(const struct gossip *g, const struct member *m)
{
	return direct_ms(g, m) * PROBE_INDIRECT_MS / PROBE_DIRECT_MS;
}

void probe_ping(struct gossip *g, struct member *m, uint32_t seq, struct gossip_out *out)
{
	struct gossip_dgram *d = contact_dgram(g, m, GOSSIP_PING, out);

	d->msg.seq = seq;
	hash_for_ping(g, &d->msg, false);
	rumor_fill(g, d, m->state == MEMBER_ALIVE ? NULL : &m->card->id, out);
}

static struct probe *find_id(const struct gossip *g, const struct node_id *id)
{
	for (unsigned i = 0; i < g->n_probes; i++)
		if ((g->probes[i].kind == PROBE_TICK || g->probes[i].kind == PROBE_CONFIRM) &&
		    node_id_eq(&g->probes[i].id, id))
			return &g->probes[i];
	return NULL;
}

bool probe_running(const struct gossip *g, const struct node_id *id, enum probe_kind kind)
{
	for (unsigned i = 0; i < g->n_probes; i++)
		if (g->probes[i].kind == kind && node_id_eq(&g->probes[i].id, id))
			return true;
	return false;
}

static struct probe *find_seq(const struct gossip *g, uint32_t seq)
{
	for (unsigned i = 0; i < g->n_probes; i++)
		if (g->probes[i].seq == seq)
			return &g->probes[i];
	return NULL;
}

static void probe_end(struct gossip *g, struct probe *p)
{
	*p = g->probes[--g->n_probes];
}

static struct probe *probe_new(struct gossip *g, struct member *m, enum probe_kind kind)
{
	struct probe *p;

	if (g->n_probes >= PROBES_MAX)
		return NULL;
	g->probes = mem_grow(g->probes, &g->cap_probes, g->n_probes, sizeof(*g->probes));
	p = &g->probes[g->n_probes++];
	*p = (struct probe){
		.kind = kind, .id = m->card->id, .seq = probe_seq(g), .start = g->now,
		.deadline = gossip_in_ms(g, direct_ms(g, m) / 2),
	};
	return p;
}

void probe_start(struct gossip *g, struct member *m, enum probe_kind kind, struct gossip_out *out)
{
	struct probe *p;

	if (kind == PROBE_AGAIN) {
		probe_ping(g, m, probe_seq(g), out);
		return;
	}
	if (member_is_self(g, m) || find_id(g, &m->card->id))
		return;
	p = probe_new(g, m, kind);
	if (!p)
		return;
	g->counts.probes++;
	probe_ping(g, m, p->seq, out);
	/*
	 * Who is spoken to at another address than its first is asked there now and then; where it answers from is used on. A node
	 * has its IPv4 address first, if it has one: 20 bytes less in each datagram. Who was asked everywhere may have answered from
	 * elsewhere last. Unanswered, the next ping goes where it was found.
	 */
	if (m->contact && m->card->n_addrs && mono_due(m->contact->first_try, g->now)) {
		m->contact->first_try = gossip_in_ms(g, PROBE_FIRST_MS);
		out->dgrams[out->n_dgrams - 1].to = m->card->addrs[0];
	}
}

void probe_verify(struct gossip *g, struct member *m, const struct addr *newcomer, const uint8_t *boot,
                  struct gossip_out *out)
{
	struct probe *p;

	if (probe_running(g, &m->card->id, PROBE_VERIFY))
		return;
	p = probe_new(g, m, PROBE_VERIFY);
	if (!p)
		return;
	p->newcomer = *newcomer;
	memcpy(p->newcomer_boot, boot, BOOT_LEN);
	probe_ping(g, m, p->seq, out);
}

/* Most often only a datagram was lost. */
static void again(struct gossip *g, struct probe *p, struct member *m, struct gossip_out *out)
{
	p->stage = 1;
	p->deadline = gossip_in_ms(g, direct_ms(g, m) / 2);
	probe_ping(g, m, p->seq, out);
}

/* Ask at all addresses the node has: the network of the usual one may be down. Where it answers from is used on. */
static void ping_everywhere(struct gossip *g, struct member *m, uint32_t seq, struct gossip_out *out)
{
	struct addr usual = member_addr(m);

	probe_ping(g, m, seq, out);
	for (unsigned i = 0; i < m->card->n_addrs; i++) {
		struct gossip_dgram *d;

		if (addr_eq(&m->card->addrs[i], &usual))
			continue;
		d = contact_dgram(g, m, GOSSIP_PING, out);
		d->to = m->card->addrs[i];
		d->msg.seq = seq;
	}
}

/* Asked directly it is silent: ask once more, and have others ask. */
static void widen(struct gossip *g, struct probe *p, struct member *m, struct gossip_out *out)
{
	struct node_id relays[PROBE_RELAYS];
	struct probe probe;

	p->stage = 2;
	p->deadline = gossip_in_ms(g, indirect_ms(g, m));
	if (p->kind == PROBE_TICK) {
		p->relays = member_sample(g, PROBE_RELAYS, &p->id, relays);
		g->counts.indirect++;
	}
	probe = *p;
	for (unsigned i = 0; i < probe.relays; i++) {
		struct gossip_dgram *d = contact_dgram(g, member_find(g, &relays[i]), GOSSIP_PINGREQ, out);

		d->msg.seq = probe.seq;
		d->msg.target = probe.id;
	}
	ping_everywhere(g, m, probe.seq, out);
}

static void nack(struct gossip *g, const struct probe *p, struct gossip_out *out)
{
	struct member *origin = member_find(g, &p->origin);

	if (origin)
		contact_dgram(g, origin, GOSSIP_NACK, out)->msg.seq = p->origin_seq;
}

/* The time of probe `i` is up. Says whether it was ended. */
static bool expire(struct gossip *g, unsigned i, struct gossip_out *out)
{
	struct probe p = g->probes[i];
	struct member *m = member_find(g, &p.id);

	if (m && p.stage == 0 && !p.refused) {
		again(g, &g->probes[i], m, out);
		return false;
	}
	if (m && p.stage < 2 && p.kind != PROBE_RELAY) {
		widen(g, &g->probes[i], m, out);
		return false;
	}
	probe_end(g, &g->probes[i]);
	if (!m)
		return true;
	switch (p.kind) {
	case PROBE_RELAY:
		nack(g, &p, out);
		break;
	case PROBE_VERIFY:
		remember(g->silent, p.id.b, NULL, g->now, gossip_in_ms(g, 5000));
		break;
	case PROBE_TICK:
		/* Relays that say nothing at all: perhaps it is this node that does not hear (Lifeguard). */
		if (p.nacks < p.relays)
			health_add(g, 1);
		/* fall through */
	case PROBE_CONFIRM:
		g->counts.probes_failed++;
		if (member_answers(m))
			suspicion_start(g, m, &g->self.id, m->incarnation, out);
		break;
	case PROBE_AGAIN:
		break;
	}
	return true;
}

void probe_hint(struct gossip *g, const struct node_id *id, bool refused, struct gossip_out *out)
{
	struct member *m = member_find(g, id);
	bool running = false;

	if (!m || member_is_self(g, m) || !member_answers(m))
		return;
	for (unsigned i = 0; i < g->n_probes; i++) {
		struct probe *p = &g->probes[i];

		if (!node_id_eq(&p->id, id))
			continue;
		running |= p->kind == PROBE_TICK || p->kind == PROBE_CONFIRM;
		if (!refused || p->refused)
			continue;
		p->refused = true;
		if (p->stage < 2)
			p->deadline = g->now;
	}
	if (!running && m->state == MEMBER_ALIVE)
		probe_start(g, m, PROBE_TICK, out);
}

static void rtt_sample(struct gossip *g, struct contact *c, struct mono start)
{
	uint64_t us = (g->now.ns - start.ns) / 1000;

	us = us == 0 ? 1 : us > 5000000 ? 5000000 : us;
	c->srtt_us = c->srtt_us ? (uint32_t)((7 * (uint64_t)c->srtt_us + us + 7) / 8) : (uint32_t)us;
}

static void ack_in(struct gossip *g, struct member *from, const struct gossip_in *in, struct gossip_out *out)
{
	struct probe *found = find_seq(g, in->msg->seq), p;
	bool own = found && node_id_eq(&found->id, &from->card->id);
	struct member *origin;

	/* The answer of a relay counts once relays were asked. */
	if (!found || (!own && (found->stage < 2 || found->kind != PROBE_TICK)))
		return;
	p = *found;
	probe_end(g, found);
	if (own && p.stage == 0)
		rtt_sample(g, contact_of(g, from), p.start);
	switch (p.kind) {
	case PROBE_RELAY:
		origin = member_find(g, &p.origin);
		if (origin)
			contact_dgram(g, origin, GOSSIP_ACK, out)->msg.seq = p.origin_seq;
		break;
	case PROBE_VERIFY:
		contact_clone(g, from, &p.newcomer, p.newcomer_boot, out);
		break;
	case PROBE_TICK:
		health_add(g, -1);
		break;
	case PROBE_CONFIRM:
	case PROBE_AGAIN:
		break;
	}
}

static void nack_in(struct gossip *g, const struct gossip_in *in)
{
	struct probe *p = find_seq(g, in->msg->seq);

	if (!p || p->kind != PROBE_TICK || p->stage < 2)
		return;
	p->nacks++;
	/* Nobody listens there, and all who were asked say the same: no use in waiting. */
	if (p->refused && p->nacks >= p->relays)
		p->deadline = g->now;
}

static void pingreq_in(struct gossip *g, struct member *from, const struct gossip_in *in, struct gossip_out *out)
{
	struct node_id origin = from->card->id;
	struct member *m = member_find(g, &in->msg->target);
	struct probe *p;

	if (m && member_is_self(g, m)) {
		contact_dgram(g, from, GOSSIP_ACK, out)->msg.seq = in->msg->seq;
		return;
	}
	p = m ? probe_new(g, m, PROBE_RELAY) : NULL;
	if (!p) {
		contact_dgram(g, from, GOSSIP_NACK, out)->msg.seq = in->msg->seq;
		return;
	}
	p->origin = origin;
	p->origin_seq = in->msg->seq;
	probe_ping(g, m, p->seq, out);
}

static void ping_in(struct gossip *g, struct member *from, const struct gossip_in *in, struct gossip_out *out)
{
	struct gossip_dgram *d = contact_dgram(g, from, GOSSIP_ACK, out);

	/* Back the way it came, which may not be where it is spoken to: that is what it asks. */
	d->to = in->from;
	d->msg.seq = in->msg->seq;
	if (in->msg->hash)
		hash_for_ping(g, &d->msg, true);
	rumor_fill(g, d, from->state == MEMBER_ALIVE ? NULL : &from->card->id, out);
}

void probe_in(struct gossip *g, struct member *from, const struct gossip_in *in, struct gossip_out *out)
{
	struct node_id id = from->card->id;

	updates_in(g, in->msg, &id, out);
	from = member_find(g, &id);
	if (!from)
		return;
	switch (in->msg->kind) {
	case GOSSIP_PING:
		ping_in(g, from, in, out);
		break;
	case GOSSIP_ACK:
		ack_in(g, from, in, out);
		break;
	case GOSSIP_PINGREQ:
		pingreq_in(g, from, in, out);
		break;
	case GOSSIP_NACK:
		nack_in(g, in);
		break;
	default:
		break;
	}
	from = member_find(g, &id);
	if (!from)
		return;
	hash_in(g, from, in->msg->hash, out);
	if (in->msg->kind == GOSSIP_ACK)
		facts_hash_in(g, from, in->msg->facts, out);
}

static void tick(struct gossip *g, struct gossip_out *out)
{
	struct member *m = member_successor(g);

	g->tick = gossip_in_about(g, TICK_MS);
	g->ticks++;
	if (m)
		probe_start(g, m, PROBE_TICK, out);
	/* The ring must not stop at one who is on trial. */
	if ((m && m->state == MEMBER_SUSPECT) || g->ticks % TICK_RANDOM == 0) {
		struct member *other = member_random(g);

		if (other && other != m)
			probe_start(g, other, PROBE_TICK, out);
	}
}

/* The predecessor should have pinged us by now. */
static void watch(struct gossip *g, struct gossip_out *out)
{
	struct member *m = member_predecessor(g);
	struct mono due;

	g->watch = gossip_in_ms(g, WATCH_MS);
	if (!m || !m->contact || m->contact->heard.ns == 0 || m->state != MEMBER_ALIVE)
		return;
	due = mono_add_ms(m->contact->heard, WATCH_MS);
	if (mono_before(g->now, due))
		g->watch = due;
	else
		probe_start(g, m, PROBE_TICK, out);
}

void probe_timer(struct gossip *g, struct gossip_out *out)
{
	for (unsigned i = 0; i < g->n_probes;) {
		if (!mono_due(g->probes[i].deadline, g->now) || !expire(g, i, out))
			i++;
	}
	if (mono_due(g->tick, g->now))
		tick(g, out);
	if (mono_due(g->watch, g->now))
		watch(g, out);
}

struct mono probe_wake(const struct gossip *g)
{
	struct mono wake = mono_min(g->tick, g->watch);

	for (unsigned i = 0; i < g->n_probes; i++)
		wake = mono_min(wake, g->probes[i].deadline);
	return wake;
}
