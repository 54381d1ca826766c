/* SPDX-License-Identifier: Apache-2.0 */
/* The step: local time, the inputs, the timers. */
#include "cluster/gossip.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cluster/gossip_int.h"

struct mono gossip_in_ms(const struct gossip *g, uint64_t ms)
{
	return mono_add_ms(g->now, ms);
}

struct mono gossip_in_about(struct gossip *g, uint64_t ms)
{
	return mono_add_ms(g->now, ms - ms / 10 + rng_below(&g->rng, ms / 5 + 1));
}

struct gossip *gossip_new(const struct gossip_conf *conf, struct facts *facts)
{
	struct gossip *g = mem_zalloc(sizeof(*g));

	g->conf = *conf;
	if (!g->conf.members_max || g->conf.members_max > GOSSIP_MEMBERS_MAX)
		g->conf.members_max = GOSSIP_MEMBERS_MAX;
	g->facts = facts;
	g->rng.s = conf->seed;
	g->self = conf->self;
	g->self.incarnation = conf->incarnation + 1;
	g->push = g->round = g->tell = g->wake = g->suspicion_next = MONO_NEVER;
	member_add(g, &g->self, MEMBER_ALIVE, g->self.incarnation, false);
	return g;
}

void gossip_free(struct gossip **gp)
{
	struct gossip *g = *gp;

	if (!g)
		return;
	for (unsigned i = 0; i < g->n_members; i++)
		if (!g->members[i].card_lent)
			free(g->members[i].card);
	for (unsigned i = 0; i < g->n_contacts; i++)
		free(g->contacts[i]);
	free(g->contacts);
	free(g->members);
	free(g->order);
	free(g->probes);
	free(g->suspicions);
	free(g->rumors);
	free(g->candidates);
	free(g->banned);
	free(g->telling);
	free(g);
	*gp = NULL;
}

/*
 * Local time stands still while the process does not run: what was due long ago when it runs again was
 * not missed by others but by us, and their answers may still wait in the socket.
 */
static void clock_advance(struct gossip *g, struct mono real)
{
	struct mono local;

	if (mono_before(g->real, real))
		g->real = real;
	local.ns = g->real.ns - g->lost_ns;
	if (g->running && g->wake.ns != MONO_NEVER.ns && mono_ms_between(g->wake, local) > LATE_MS) {
		uint64_t late = local.ns - g->wake.ns;

		g->lost_ns += late;
		g->counts.late_ms += late / 1000000;
		if (late > 5 * LATE_MS * 1000000ull)
			health_add(g, 1);
		local = g->wake;
	}
	if (mono_before(g->now, local))
		g->now = local;
}

static void start(struct gossip *g, struct gossip_out *out)
{
	struct member *self = member_find(g, &g->self.id);

	if (self->state != MEMBER_ALIVE)
		self_raise(g, self->incarnation, true, out);
	out->persist_incarnation = self->incarnation;
	g->running = true;
	g->started = g->now;
	g->tick = gossip_in_ms(g, rng_below(&g->rng, TICK_MS));
	g->watch = gossip_in_ms(g, 2 * WATCH_MS);
	g->sync = gossip_in_about(g, SYNC_BUSY_MS / 2);
	g->housekeeping = gossip_in_ms(g, HOUSEKEEPING_MS);
}

static void self_changed(struct gossip *g, const struct card *card, struct gossip_out *out)
{
	struct card next = *card;

	assert(node_id_eq(&card->id, &g->self.id));
	memcpy(next.public_key, g->self.public_key, sizeof(next.public_key));
	memcpy(next.boot, g->self.boot, sizeof(next.boot));
	next.incarnation = g->self.incarnation;
	if (next.n_addrs == 0) {
		/* What was learned from the first answer stays. */
		memcpy(next.addrs, g->self.addrs, sizeof(next.addrs));
		next.n_addrs = g->self.n_addrs;
	}
	if (card_eq(&next, &g->self))
		return;
	g->self = next;
	self_raise(g, 0, true, out);
}

static void leave(struct gossip *g, struct gossip_out *out)
{
	struct member *self = member_find(g, &g->self.id);
	struct gossip_update bye;
	unsigned start_at, n = 0;

	member_set(g, self, MEMBER_LEFT, self->incarnation);
	bye = update_of(g, self, false);
	start_at = member_pos(g, &g->self.id);
	/* Nothing is heard of it afterwards, so tell many, twice. */
	for (unsigned i = 1; i < g->n_members && n < 64; i++) {
		struct member *m = member_nth(g, (start_at + i) % g->n_members);

		if (!member_answers(m))
			continue;
		for (unsigned k = 0; k < 2; k++) {
			struct gossip_dgram *d = contact_dgram(g, m, GOSSIP_NEWS, out);

			d->msg.updates = out_dup(out, &bye, sizeof(bye));
			d->msg.n_updates = 1;
		}
		n++;
	}
	g->n_rumors = g->n_probes = 0;
	g->push = g->round = g->tell = MONO_NEVER;
	g->n_telling = 0;
	g->running = false;
}

static void ban(struct gossip *g, const struct node_id *id)
{
	struct member *m = member_find(g, id);
	unsigned i = 0;

	if (node_id_eq(id, &g->self.id))
		return;
	if (!banned(g, id)) {
		while (i < g->n_banned && node_id_cmp(&g->banned[i], id) < 0)
			i++;
		g->banned = mem_grow(g->banned, &g->cap_banned, g->n_banned, sizeof(*g->banned));
		memmove(&g->banned[i + 1], &g->banned[i], (g->n_banned - i) * sizeof(*g->banned));
		g->banned[i] = *id;
		g->n_banned++;
	}
	if (m)
		member_drop(g, m);
	facts_drop_node(g->facts, id);
}

static void unban(struct gossip *g, const struct node_id *id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->n_banned; i++)
		if (!node_id_eq(&g->banned[i], id))
			g->banned[n++] = g->banned[i];
	g->n_banned = n;
}

static void hint(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	struct gossip_member m;

	if (!node_id_none(&in->id))
		probe_hint(g, &in->id, false, out);
	else if (gossip_find_addr(g, &in->from, &m))
		probe_hint(g, &m.card->id, true, out);
}

static void send_clear(struct gossip *g, const struct gossip_in *in, enum gossip_msg_kind kind, struct gossip_out *out)
{
	struct gossip_dgram *d;

	if (in->n_blob == 0 || in->n_blob > GOSSIP_BLOB_MAX)
		return;
	d = out_dgram(g, &in->from, GOSSIP_CLEAR, NULL, kind, out);
	d->msg.blob = out_dup(out, in->blob, in->n_blob);
	d->msg.n_blob = in->n_blob;
}

static void pass(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	struct member *m = member_find(g, &in->id);
	struct gossip_dgram *d;

	if (g->quiet || !m || member_is_self(g, m) || !member_answers(m) || in->n_blob > GOSSIP_BLOB_MAX)
		return;
	d = contact_dgram(g, m, GOSSIP_PASS, out);
	d->msg.blob = out_dup(out, in->blob, in->n_blob);
	d->msg.n_blob = in->n_blob;
}

static void input(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	switch (in->kind) {
	case GOSSIP_IN_START:
		start(g, out);
		break;
	case GOSSIP_IN_TIMER:
		break;
	case GOSSIP_IN_DGRAM:
		contact_dgram_in(g, in, out);
		break;
	case GOSSIP_IN_STRANGER:
		contact_stranger(g, in, out);
		break;
	case GOSSIP_IN_CANDIDATE:
		contact_candidate(g, &in->from);
		break;
	case GOSSIP_IN_HINT:
		hint(g, in, out);
		break;
	case GOSSIP_IN_SELF:
		self_changed(g, in->card, out);
		break;
	case GOSSIP_IN_CLUSTER:
		memcpy(g->conf.cluster, in->cluster, sizeof(g->conf.cluster));
		g->conf.key_epoch = in->key_epoch;
		break;
	case GOSSIP_IN_LEAVE:
		leave(g, out);
		break;
	case GOSSIP_IN_BAN:
		ban(g, &in->id);
		break;
	case GOSSIP_IN_UNBAN:
		unban(g, &in->id);
		break;
	case GOSSIP_IN_SYNC:
		sync_in(g, in, out);
		break;
	case GOSSIP_IN_MESH_UP:
		if (!g->quiet && member_find(g, &in->id))
			sync_met(g, &in->id, out);
		break;
	case GOSSIP_IN_MESH_DOWN:
		probe_hint(g, &in->id, false, out);
		break;
	case GOSSIP_IN_FACTS:
		sync_facts(g, out);
		break;
	case GOSSIP_IN_BLOB:
		send_clear(g, in, GOSSIP_BLOB, out);
		break;
	case GOSSIP_IN_KNOCK:
		send_clear(g, in, GOSSIP_KNOCK, out);
		break;
	case GOSSIP_IN_PASS:
		pass(g, in, out);
		break;
	}
}

static void forget(struct gossip *g, struct gossip_out *out)
{
	for (unsigned i = 0; i < g->n_members; i++) {
		struct member *m = &g->members[i];
		struct node_id id = m->card->id;

		if (member_answers(m) || mono_ms_between(m->since, g->now) < FORGET_MS)
			continue;
		member_event(m, GOSSIP_EV_FORGOTTEN, out);
		member_drop(g, m);
		facts_drop_node(g->facts, &id);
		out->facts_changed = true;
		i--;
	}
}

static void housekeeping(struct gossip *g, struct gossip_out *out)
{
	g->housekeeping = gossip_in_ms(g, HOUSEKEEPING_MS);
	pending_expire(g);
	if (g->housekeepings++ % FORGET_EVERY == 0 && gossip_alive(g) < g->n_members)
		forget(g, out);
}

static void timers(struct gossip *g, struct gossip_out *out)
{
	contact_timer(g, out);
	if (!g->quiet) {
		probe_timer(g, out);
		suspicion_timer(g, out);
		rumor_timer(g, out);
		sync_timer(g, out);
	}
	if (mono_due(g->housekeeping, g->now))
		housekeeping(g, out);
}

static struct mono next_wake(const struct gossip *g)
{
	struct mono wake = mono_min(g->housekeeping, contact_wake(g));

	if (g->quiet)
		return wake;
	wake = mono_min(wake, mono_min(probe_wake(g), suspicion_wake(g)));
	return mono_min(wake, mono_min(rumor_wake(g), sync_wake(g)));
}

void gossip_step(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	clock_advance(g, in->now);
	/* Before the start and after goodbye nothing is sent or heard; the tables may be set up. */
	if (g->running || in->kind == GOSSIP_IN_START || in->kind == GOSSIP_IN_BAN || in->kind == GOSSIP_IN_UNBAN ||
	    in->kind == GOSSIP_IN_CANDIDATE || in->kind == GOSSIP_IN_CLUSTER || in->kind == GOSSIP_IN_SELF)
		input(g, in, out);
	if (g->running && (mono_due(g->wake, g->now) || mono_due(g->push, g->now) || in->kind == GOSSIP_IN_START))
		timers(g, out);
	g->wake = g->running ? next_wake(g) : MONO_NEVER;
	/* What is overdue already is due now: lateness is counted from when the runner was told. */
	if (mono_before(g->wake, g->now))
		g->wake = g->now;
	out->wake = g->wake.ns == MONO_NEVER.ns ? MONO_NEVER : (struct mono){ g->wake.ns + g->lost_ns };
}

void gossip_preload(struct gossip *g, struct card *const *cards, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!node_id_eq(&cards[i]->id, &g->self.id))
			member_add(g, cards[i], MEMBER_ALIVE, cards[i]->incarnation, true);
}
