/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gossip, a few nodes at a time, messages handed over as structs: first contact and who is refused,
 * replays, clones, moves, restarts, leaving, banning, suspicion and refutation, knocks, keys, pauses.
 */
#include "cluster/gossip.h"

#include <sodium.h>

#include "base/buf.h"
#include "cluster/box.h"
#include "tests/unit/check.h"

#define NODES 6
#define MS 1000000ull

struct node {
	struct gossip *g;
	struct facts *facts;
	struct addr addr;
	struct addr door;               /* it can be reached here too, and answers from here who did */
	bool by_door;
	struct card card;
	uint64_t counter;
	struct mono wake;
	bool deaf, gone, paused;
	uint32_t persisted;
	unsigned turns;                 /* timers that ran */
	unsigned seen[32];              /* events by kind */
	struct gossip_event last[32];
};

static struct node nodes[NODES];
static struct mono now;
static unsigned lost_every;             /* drop each n-th datagram */
static unsigned depth;                  /* of mesh messages that answer each other */
static uint16_t newest;                 /* version that start_as speaks beside the one given; 0: none */
static unsigned sent, hellos;

/* A recorded datagram, for replays. */
static struct {
	bool armed, full;
	enum gossip_msg_kind kind;
	unsigned to;
	struct gossip_head head;
	struct gossip_msg msg;
	struct card card;
	struct addr from;
} record;

static struct addr addr_of(unsigned i)
{
	return (struct addr){ .family = 4, .ip = { 10, 0, 0, (uint8_t)(i + 1) }, .port = 7340 };
}

static void step(unsigned i, struct gossip_in *in);

/* What the seal would find out: is it for this boot, and is the sender's short tag known? */
static bool opens(const struct node *n, const struct gossip_dgram *d, const uint8_t *boot)
{
	uint32_t tag = (uint32_t)boot[0] << 24 | (uint32_t)boot[1] << 16 | (uint32_t)boot[2] << 8 | boot[3];
	uint8_t known[BOOT_LEN];
	uint64_t counter;

	if (d->form != GOSSIP_NEAR && d->form != GOSSIP_FAR)
		return true;
	return memcmp(d->to_boot, n->card.boot, BOOT_LEN) == 0 &&
	       (d->form == GOSSIP_FAR || gossip_boot_by_tag(n->g, tag, 0, known, &counter));
}

static void deliver(unsigned from, const struct gossip_dgram *d)
{
	struct gossip_head head = { .form = d->form, .key_epoch = d->form == GOSSIP_CLEAR ? 0 : 1, .counter = ++nodes[from].counter };
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .from = nodes[from].by_door ? nodes[from].door : nodes[from].addr,
	                        .head = &head, .msg = &d->msg };

	hellos += d->msg.kind == GOSSIP_HELLO;
	if (lost_every && ++sent % lost_every == 0)
		return;
	memcpy(head.boot, nodes[from].card.boot, BOOT_LEN);
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &nodes[i];
		bool door = n->door.family && addr_eq(&n->door, &d->to);

		if (!n->g || n->gone || n->deaf || nodes[from].deaf || n->paused || !(door || addr_eq(&n->addr, &d->to)))
			continue;
		if (!opens(n, d, head.boot)) {
			in.kind = GOSSIP_IN_STRANGER;
			in.why = STRANGER_STALE;
		}
		if (record.armed && d->msg.kind == record.kind && in.kind == GOSSIP_IN_DGRAM) {
			record.armed = false;
			record.full = true;
			record.to = i;
			record.head = head;
			record.msg = d->msg;
			record.msg.updates = NULL;
			record.msg.n_updates = 0;
			record.from = in.from;
			if (record.msg.card) {
				record.card = *d->msg.card;
				record.msg.card = &record.card;
			}
		}
		n->by_door = door;
		step(i, &in);
		n->by_door = false;
		return;
	}
}

static void mesh(unsigned from, const struct gossip_mesh *m)
{
	struct gossip_in in = { .kind = GOSSIP_IN_SYNC, .id = nodes[from].card.id, .sync = &m->sync };

	for (unsigned i = 0; i < NODES; i++)
		if (nodes[i].g && !nodes[i].gone && !nodes[i].deaf && !nodes[from].deaf && !nodes[i].paused &&
		    node_id_eq(&nodes[i].card.id, &m->to)) {
			CHECK(++depth < 200);
			step(i, &in);
			depth--;
			return;
		}
}

static void step(unsigned i, struct gossip_in *in)
{
	struct gossip_out out = { .n_dgrams = 0 };
	struct node *n = &nodes[i];

	in->now = now;
	gossip_step(n->g, in, &out);
	n->wake = out.wake;
	if (out.persist_incarnation)
		n->persisted = out.persist_incarnation;
	while (facts_changed(n->facts))
		;
	for (unsigned k = 0; k < out.n_events; k++) {
		n->seen[out.events[k].kind]++;
		n->last[out.events[k].kind] = out.events[k];
	}
	for (unsigned k = 0; k < out.n_dgrams; k++)
		deliver(i, &out.dgrams[k]);
	for (unsigned k = 0; k < out.n_mesh; k++)
		mesh(i, &out.mesh[k]);
	gossip_out_fini(&out);
}

static void input(unsigned i, enum gossip_in_kind kind)
{
	struct gossip_in in = { .kind = kind };

	step(i, &in);
}

static void run(uint64_t ms)
{
	struct mono end = mono_add_ms(now, ms);
	unsigned still = 0;             /* turns at one time: who asks for ever more of them spins */

	for (;;) {
		unsigned next = NODES;

		for (unsigned i = 0; i < NODES; i++)
			if (nodes[i].g && !nodes[i].gone && !nodes[i].paused &&
			    (next == NODES || mono_before(nodes[i].wake, nodes[next].wake)))
				next = i;
		if (next == NODES || mono_before(end, nodes[next].wake))
			break;
		CHECK(++still < 1000);
		if (mono_before(now, nodes[next].wake)) {
			now = nodes[next].wake;
			still = 0;
		}
		nodes[next].turns++;
		input(next, GOSSIP_IN_TIMER);
	}
	now = end;
}

static void start_as(unsigned i, unsigned identity, const char *name, uint8_t boot, uint16_t version)
{
	struct gossip_conf conf = { .incarnation = nodes[i].persisted, .key_epoch = 1, .seed = i + 1 };
	struct node *n = &nodes[i];
	struct card *c = &conf.self;

	gossip_free(&n->g);
	facts_free(&n->facts);
	memset(n->seen, 0, sizeof(n->seen));
	n->gone = n->deaf = n->paused = false;
	n->addr = addr_of(i);
	memset(c->public_key, (int)identity + 1, sizeof(c->public_key));
	c->id = node_id_of_key(c->public_key);
	memset(c->boot, boot, BOOT_LEN);
	snprintf(c->name, sizeof(c->name), "%s", name);
	c->addrs[0] = n->addr;
	c->n_addrs = 1;
	c->version_min = c->version_max = version;
	if (newest > version)
		c->version_max = newest;
	n->card = *c;
	n->facts = facts_new(&c->id, now.ns / 1000);
	n->g = gossip_new(&conf, n->facts);
	input(i, GOSSIP_IN_START);
}

static void start(unsigned i)
{
	static uint8_t boot = 16;
	char name[8];

	snprintf(name, sizeof(name), "n%u", i);
	start_as(i, i, name, ++boot, 1);
}

static void candidate(unsigned i, unsigned other)
{
	struct gossip_in in = { .kind = GOSSIP_IN_CANDIDATE, .from = addr_of(other) };

	step(i, &in);
}

static void clear(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		gossip_free(&nodes[i].g);
		facts_free(&nodes[i].facts);
		memset(&nodes[i], 0, sizeof(nodes[i]));
	}
}

static void cluster_of(unsigned n)
{
	clear();
	now.ns = 1000 * MS;
	lost_every = 0;
	record.armed = record.full = false;
	for (unsigned i = 0; i < n; i++) {
		start(i);
		if (i)
			candidate(i, 0);
	}
	run(3000);
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(gossip_alive(nodes[i].g), n);
}

static enum member_state state(unsigned at, unsigned of)
{
	struct gossip_member m;

	CHECK(gossip_find(nodes[at].g, &nodes[of].card.id, &m));
	return m.state;
}

static void nodes_find_each_other_from_one_candidate(void)
{
	cluster_of(5);
	for (unsigned i = 0; i < 5; i++) {
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_JOINED], 4);
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_READY], 1);
		CHECK(gossip_members_hash(nodes[i].g) == gossip_members_hash(nodes[0].g));
		CHECK_EQ(gossip_counts(nodes[i].g)->suspicions, 0);
	}
}

static void a_lone_node_is_ready_after_a_while(void)
{
	cluster_of(1);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_READY], 1);
	CHECK_EQ(gossip_alive(nodes[0].g), 1);
}

static void a_dead_node_is_found_and_comes_back_at_once(void)
{
	uint32_t persisted;

	cluster_of(4);
	nodes[2].gone = true;
	persisted = nodes[2].persisted;
	run(2000);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 2)
			continue;
		CHECK_EQ(state(i, 2), MEMBER_FAILED);
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_FAILED], 1);
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_SUSPECT], 1);
	}
	nodes[2].persisted = persisted;
	start(2);
	candidate(2, 1);
	run(100);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(state(i, 2), MEMBER_ALIVE);
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_RESTARTED], i != 2);
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_ALIVE], i != 2);
	}
	CHECK(nodes[2].persisted > persisted);
}

static void a_restart_that_lost_its_incarnation_is_believed(void)
{
	cluster_of(3);
	nodes[1].gone = true;
	run(2000);
	nodes[1].persisted = 0;
	start(1);
	candidate(1, 0);
	run(500);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
	CHECK_EQ(state(2, 1), MEMBER_ALIVE);
	CHECK(nodes[1].persisted > 1);
}

static void a_leaver_is_not_a_failure(void)
{
	cluster_of(3);
	input(1, GOSSIP_IN_LEAVE);
	nodes[1].gone = true;
	run(50);
	CHECK_EQ(state(0, 1), MEMBER_LEFT);
	CHECK_EQ(state(2, 1), MEMBER_LEFT);
	run(5000);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_FAILED], 0);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_LEFT], 1);
	start(1);
	candidate(1, 0);
	run(500);
	CHECK_EQ(state(2, 1), MEMBER_ALIVE);
}

static void a_node_cut_off_and_back_refutes_its_death(void)
{
	cluster_of(4);
	nodes[3].deaf = true;
	run(4000);
	CHECK_EQ(state(0, 3), MEMBER_FAILED);
	CHECK_EQ(state(3, 0), MEMBER_FAILED);
	nodes[3].deaf = false;
	run(6000);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned k = 0; k < 4; k++)
			CHECK_EQ(state(i, k), MEMBER_ALIVE);
	CHECK(gossip_counts(nodes[3].g)->refutations > 0);
	/* What it believed of the others while it was alone they did not believe of each other. */
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_FAILED], 1);
}

static void a_pause_accuses_nobody(void)
{
	cluster_of(4);
	nodes[1].paused = true;
	run(10000);
	CHECK_EQ(state(0, 1), MEMBER_FAILED);
	nodes[1].paused = false;
	run(3000);
	CHECK_EQ(nodes[1].seen[GOSSIP_EV_FAILED], 0);
	CHECK_EQ(nodes[1].seen[GOSSIP_EV_SUSPECT], 0);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
	CHECK(gossip_counts(nodes[1].g)->late_ms > 9000);
}

static void a_hint_shortens_the_wait_and_decides_nothing(void)
{
	struct gossip_in hint = { .kind = GOSSIP_IN_HINT, .from = addr_of(1) };

	cluster_of(3);
	step(0, &hint);
	run(1000);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_SUSPECT], 0);
	nodes[1].gone = true;
	hint.from = addr_of(1);
	step(0, &hint);
	step(0, &hint);
	run(300);
	CHECK_EQ(state(0, 1), MEMBER_SUSPECT);
	run(700);
	CHECK_EQ(state(0, 1), MEMBER_FAILED);
}

static void replays_are_refused_and_change_nothing(void)
{
	static const enum gossip_msg_kind kinds[] = { GOSSIP_PING, GOSSIP_ACK, GOSSIP_NEWS, GOSSIP_JOIN };
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM };

	for (unsigned k = 0; k < 4; k++) {
		uint64_t before, out;

		cluster_of(3);
		record.kind = kinds[k];
		record.armed = true;
		nodes[2].gone = kinds[k] == GOSSIP_NEWS;
		if (kinds[k] == GOSSIP_JOIN) {
			start(3);
			candidate(3, 0);
		}
		run(2000);
		CHECK(record.full);
		before = gossip_counts(nodes[record.to].g)->refused_replay;
		out = gossip_counts(nodes[record.to].g)->dgrams_out;
		in.head = &record.head;
		in.msg = &record.msg;
		in.from = addr_of(5);
		step(record.to, &in);
		CHECK_EQ(gossip_counts(nodes[record.to].g)->refused_replay, before + 1);
		CHECK_EQ(gossip_counts(nodes[record.to].g)->dgrams_out, out);
		CHECK_EQ(nodes[record.to].seen[GOSSIP_EV_REFUSED], 1);
		CHECK(addr_eq(&gossip_counts(nodes[record.to].g)->refused_last, &in.from));
	}
}

static void a_replayed_hello_is_answered_and_not_obeyed(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .head = &record.head, .msg = &record.msg };

	cluster_of(2);
	record.kind = GOSSIP_HELLO;
	record.armed = true;
	start(3);
	candidate(3, 0);
	run(1000);
	CHECK(record.full);
	nodes[3].gone = true;
	run(3000);
	CHECK_EQ(state(0, 3), MEMBER_FAILED);
	in.from = addr_of(5);
	step(0, &in);
	run(100);
	CHECK_EQ(state(0, 3), MEMBER_FAILED);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_READDRESSED], 0);
}

static void a_clone_elsewhere_is_refused_while_the_first_answers(void)
{
	cluster_of(3);
	start_as(4, 1, "n1", 200, 1);
	candidate(4, 0);
	run(3000);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
	CHECK_EQ(nodes[4].seen[GOSSIP_EV_SELF_CLONED], 1);
	CHECK(addr_eq(&nodes[4].last[GOSSIP_EV_SELF_CLONED].addr, &nodes[1].addr));
	for (unsigned i = 0; i < 3; i++) {
		struct gossip_member m;

		CHECK_EQ(nodes[i].seen[GOSSIP_EV_CLONED], 1);
		CHECK(addr_eq(&nodes[i].last[GOSSIP_EV_CLONED].addr, &nodes[1].addr));
		CHECK(addr_eq(&nodes[i].last[GOSSIP_EV_CLONED].other, &nodes[4].addr));
		CHECK(gossip_find(nodes[i].g, &nodes[1].card.id, &m));
		CHECK(memcmp(m.card->boot, nodes[1].card.boot, BOOT_LEN) == 0);
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_SUSPECT], 0);
	}
	/* The first one goes away: its twin may have the place. */
	nodes[1].gone = true;
	run(15000);
	CHECK_EQ(state(0, 4), MEMBER_ALIVE);
	CHECK_EQ(gossip_alive(nodes[4].g), 3);
}

/* What was suspected before it became quiet was not answered because it did not listen. */
static void a_clone_that_speaks_again_accuses_nobody(void)
{
	struct gossip_head head = { .form = GOSSIP_FAR, .key_epoch = 1, .counter = 1 };
	struct gossip_msg msg = { .kind = GOSSIP_PING, .seq = 1 };
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .head = &head, .msg = &msg, .from = addr_of(70) };

	cluster_of(3);
	candidate(0, 1);
	nodes[2].gone = true;
	for (unsigned i = 0; i < 200 && state(0, 2) == MEMBER_ALIVE; i++)
		run(20);
	CHECK_EQ(state(0, 2), MEMBER_SUSPECT);
	memset(head.boot, 1, sizeof(head.boot));
	msg.from = nodes[0].card.id;
	step(0, &in);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_SELF_CLONED], 1);
	nodes[2].gone = false;
	run(30000);
	CHECK_EQ(state(0, 2), MEMBER_ALIVE);
	CHECK_EQ(gossip_alive(nodes[1].g), 3);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_FAILED], 0);
}

static void clones_that_met_different_parts_settle_it(void)
{
	for (unsigned low = 0; low < 2; low++) {
		unsigned quiet = 0;

		cluster_of(2);
		start(2);
		start(3);
		candidate(3, 2);
		/* Now 0 and 1 are one cluster, 2 and 3 another; the same identity joins both. */
		start_as(4, 9, "twin", low ? 3 : 250, 1);
		start_as(5, 9, "twin", 100, 1);
		candidate(4, 0);
		candidate(5, 2);
		run(3000);
		candidate(0, 2);
		run(8000);
		quiet = nodes[4].seen[GOSSIP_EV_SELF_CLONED] ? 4 : 5;
		CHECK_EQ(quiet, low ? 5 : 4);
		for (unsigned i = 0; i < 4; i++) {
			struct gossip_member m;

			CHECK(nodes[i].seen[GOSSIP_EV_CLONED] >= 1);
			CHECK(gossip_find(nodes[i].g, &nodes[4].card.id, &m));
			CHECK_EQ(m.state, MEMBER_ALIVE);
			CHECK(memcmp(m.card->boot, nodes[quiet == 4 ? 5 : 4].card.boot, BOOT_LEN) == 0);
		}
	}
}

static void a_node_that_moved_is_taken_once_its_old_place_is_silent(void)
{
	cluster_of(3);
	nodes[1].gone = true;
	start_as(4, 1, "n1", 200, 1);
	nodes[4].persisted = nodes[1].persisted;
	candidate(4, 0);
	run(1200);
	CHECK_EQ(state(0, 4), MEMBER_ALIVE);
	CHECK_EQ(state(2, 4), MEMBER_ALIVE);
	CHECK_EQ(nodes[2].seen[GOSSIP_EV_READDRESSED], 1);
	CHECK(addr_eq(&nodes[2].last[GOSSIP_EV_READDRESSED].addr, &nodes[4].addr));
	CHECK(addr_eq(&nodes[2].last[GOSSIP_EV_READDRESSED].other, &nodes[1].addr));
	CHECK_EQ(nodes[2].seen[GOSSIP_EV_CLONED], 0);
}

static void a_new_name_is_told(void)
{
	struct card card;
	struct gossip_in in = { .kind = GOSSIP_IN_SELF, .card = &card };

	cluster_of(3);
	card = nodes[1].card;
	snprintf(card.name, sizeof(card.name), "fresh");
	step(1, &in);
	run(200);
	CHECK_EQ(nodes[2].seen[GOSSIP_EV_RENAMED], 1);
	CHECK_STR(nodes[2].last[GOSSIP_EV_RENAMED].name, "fresh");
	CHECK_STR(nodes[2].last[GOSSIP_EV_RENAMED].old_name, "n1");
	CHECK(gossip_name_taken(nodes[2].g, &nodes[2].card.id, "fresh"));
	CHECK(!gossip_name_taken(nodes[2].g, &nodes[1].card.id, "fresh"));
}

static void an_incompatible_version_is_refused_by_name(void)
{
	cluster_of(2);
	start_as(3, 3, "future", 99, 7);
	candidate(3, 0);
	run(1000);
	CHECK_EQ(gossip_alive(nodes[0].g), 2);
	CHECK(nodes[0].seen[GOSSIP_EV_VERSION] >= 1);
	CHECK_STR(nodes[0].last[GOSSIP_EV_VERSION].name, "future");
	CHECK_EQ(nodes[0].last[GOSSIP_EV_VERSION].version_min, 7);
	CHECK(nodes[3].seen[GOSSIP_EV_VERSION] >= 1);
	CHECK_STR(nodes[3].last[GOSSIP_EV_VERSION].name, "n0");
	CHECK(gossip_counts(nodes[0].g)->refused_version >= 1);
}

/* Node 1 speaks with both of the others, who do not speak with each other. */
static void between_versions(void)
{
	clear();
	now.ns = 1000 * MS;
	start_as(0, 0, "old", 17, 1);
	newest = 2;
	start_as(1, 1, "both", 18, 1);
	start_as(2, 2, "new", 19, 2);
	newest = 0;
	candidate(1, 0);
	candidate(2, 1);
	run(3000);
	CHECK_EQ(state(0, 2), MEMBER_ALIVE);
}

static void a_dead_node_of_another_version_keeps_nobody_busy(void)
{
	between_versions();
	nodes[2].gone = true;
	run(10000);
	CHECK_EQ(state(0, 2), MEMBER_FAILED);
	nodes[0].turns = 0;
	run(10000);
	CHECK(nodes[0].turns < 300);
}

static void news_for_nobody_keep_nobody_busy(void)
{
	between_versions();
	nodes[1].gone = true;
	nodes[0].turns = 0;
	run(5000);
	CHECK_EQ(state(0, 1), MEMBER_FAILED);
	CHECK(nodes[0].turns < 150);
}

static void hellos_are_answered_at_their_rate_when_there_are_many(void)
{
	struct gossip_head head = { .form = GOSSIP_FIRST, .key_epoch = 1 };
	struct gossip_msg msg = { .kind = GOSSIP_HELLO };
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .head = &head, .msg = &msg, .from = addr_of(90) };
	struct card card;

	cluster_of(1);
	card = nodes[0].card;
	memset(card.public_key, 99, sizeof(card.public_key));
	card.id = node_id_of_key(card.public_key);
	memset(card.boot, 99, sizeof(card.boot));
	memcpy(head.boot, card.boot, sizeof(head.boot));
	msg.card = &card;
	/* 2,500 a second; 2,000 at once and 1,000 a second are answered. */
	for (unsigned i = 0; i < 25000; i++) {
		now.ns += 4 * MS / 10;
		head.counter++;
		step(0, &in);
	}
	CHECK(gossip_counts(nodes[0].g)->refused_flood > 12000);
	CHECK(gossip_counts(nodes[0].g)->refused_flood < 14000);
}

static void each_address_that_is_refused_is_told(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_STRANGER, .why = STRANGER_KEY };

	cluster_of(1);
	for (unsigned i = 0; i < 6; i++) {
		in.from = addr_of(50 + i % 3);
		step(0, &in);
		run(100);
	}
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_REFUSED], 3);
	run(11000);
	step(0, &in);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_REFUSED], 4);
}

static void many_wrong_candidates_do_not_hide_a_right_one(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_CANDIDATE };

	clear();
	now.ns = 1000 * MS;
	start(0);
	start(1);
	for (unsigned i = 0; i < GOSSIP_CANDIDATES_MAX + 50; i++) {
		in.from = (struct addr){ .family = 4, .ip = { 10, 9, (uint8_t)(i >> 8), (uint8_t)i }, .port = 7340 };
		step(0, &in);
	}
	run(8000);
	candidate(0, 1);
	run(8000);
	CHECK_EQ(gossip_alive(nodes[0].g), 2);
}

/* A link-local address is in no card, so from the card nobody can tell whose it is. */
static void who_answered_at_an_address_of_no_card_is_not_asked_again(void)
{
	cluster_of(2);
	nodes[0].door = addr_of(40);
	hellos = 0;
	candidate(1, 40);
	run(120000);
	CHECK_EQ(hellos, 1);
	nodes[0].gone = true;
	run(30000);
	CHECK(hellos > 1);
}

/* A HELLO of this node's former life, from everywhere. */
static void replayed_hellos_of_our_own_do_not_flood_the_cluster(void)
{
	struct gossip_head head = { .form = GOSSIP_FIRST, .key_epoch = 1, .counter = 7 };
	struct gossip_msg msg = { .kind = GOSSIP_HELLO };
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .head = &head, .msg = &msg };
	struct card card;

	cluster_of(3);
	card = nodes[0].card;
	memset(card.boot, 99, sizeof(card.boot));
	memcpy(head.boot, card.boot, sizeof(head.boot));
	msg.card = &card;
	for (unsigned i = 0; i < 500; i++) {
		in.from = addr_of(60 + i % 100);
		in.from.port = (uint16_t)(10000 + i);
		step(0, &in);
		run(2);
	}
	run(2000);
	CHECK(nodes[0].seen[GOSSIP_EV_CLONED] >= 1);
	CHECK(nodes[0].seen[GOSSIP_EV_CLONED] <= 20);
	CHECK(nodes[1].seen[GOSSIP_EV_CLONED] <= 20);
	CHECK_EQ(gossip_alive(nodes[1].g), 3);
}

static void another_cluster_is_ignored_and_counted(void)
{
	static const uint8_t one[8] = { 1 }, two[8] = { 2 };
	struct gossip_in in = { .kind = GOSSIP_IN_CLUSTER, .key_epoch = 1 };

	cluster_of(2);
	in.cluster = one;
	step(0, &in);
	start(3);
	in.cluster = two;
	step(3, &in);
	candidate(3, 0);
	run(1000);
	CHECK_EQ(gossip_alive(nodes[3].g), 1);
	CHECK(gossip_counts(nodes[0].g)->refused_foreign >= 1);
	/* Zeros match any. */
	candidate(3, 1);
	run(1000);
	CHECK_EQ(gossip_alive(nodes[3].g), 3);
}

static void a_removed_node_is_gone_and_stays_out(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_BAN };
	struct gossip_member m;

	cluster_of(3);
	in.id = nodes[1].card.id;
	step(0, &in);
	in.id = nodes[1].card.id;
	step(2, &in);
	run(5000);
	CHECK(!gossip_find(nodes[0].g, &nodes[1].card.id, &m));
	CHECK(gossip_counts(nodes[0].g)->refused_banned >= 1);
	start(1);
	candidate(1, 0);
	run(2000);
	CHECK(!gossip_find(nodes[0].g, &nodes[1].card.id, &m));
	CHECK(nodes[0].seen[GOSSIP_EV_REMOVED] >= 1);
	CHECK(nodes[1].seen[GOSSIP_EV_REMOVED] >= 1);
	CHECK(node_id_eq(&nodes[1].last[GOSSIP_EV_REMOVED].id, &nodes[1].card.id));
	in.kind = GOSSIP_IN_UNBAN;
	for (unsigned i = 0; i < 3; i += 2) {
		in.id = nodes[1].card.id;
		step(i, &in);
	}
	run(20000);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
}

static void a_refusal_is_said_now_and_then_and_not_believed_twice(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_BAN }, again = { .kind = GOSSIP_IN_DGRAM, .head = &record.head, .msg = &record.msg };
	unsigned seen;

	cluster_of(3);
	in.id = nodes[1].card.id;
	step(0, &in);
	step(2, &in);
	record.kind = GOSSIP_HELLO;
	record.armed = true;
	start(1);
	candidate(1, 0);
	run(2000);
	CHECK(record.full);
	CHECK(nodes[1].seen[GOSSIP_EV_REMOVED] >= 1);
	again.from = record.from;
	for (unsigned i = 0; i < 200; i++) {
		step(0, &again);
		run(5);
	}
	CHECK(nodes[0].seen[GOSSIP_EV_REMOVED] <= 2);
	record.full = false;
	record.kind = GOSSIP_REFUSE;
	record.armed = true;
	run(20000);
	CHECK(record.full);
	in.kind = GOSSIP_IN_UNBAN;
	step(0, &in);
	step(2, &in);
	run(20000);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
	seen = nodes[1].seen[GOSSIP_EV_REMOVED];
	again.from = record.from;
	step(1, &again);
	CHECK_EQ(nodes[1].seen[GOSSIP_EV_REMOVED], seen);
}

static void knocks_are_listed_bounded_and_forgotten(void)
{
	struct gossip_head head = { .form = GOSSIP_CLEAR };
	struct gossip_msg msg = { .kind = GOSSIP_KNOCK };
	struct gossip_in in = { .kind = GOSSIP_IN_DGRAM, .head = &head, .msg = &msg };
	struct gossip_pending p;

	cluster_of(2);
	for (unsigned i = 0; i < 200; i++) {
		uint8_t sk[64], seed[32] = { (uint8_t)i, 1 };
		struct knock k = { .name = "new" };
		struct buf b = { 0 };

		crypto_sign_seed_keypair(k.public_key, sk, seed);
		knock_make(&k, sk, &b);
		msg.blob = b.data;
		msg.n_blob = (unsigned)b.len;
		in.from = addr_of(i);
		step(0, &in);
		if (i == 0) {
			CHECK_EQ(gossip_pending_count(nodes[0].g), 1);
			CHECK_EQ(nodes[0].seen[GOSSIP_EV_PENDING], 1);
			CHECK(gossip_pending_at(nodes[0].g, 0, &p));
			CHECK_STR(p.name, "new");
			b.data[3] ^= 1;
			step(0, &in);
			CHECK_EQ(gossip_counts(nodes[0].g)->refused_forged, 1);
		}
		buf_fini(&b);
		run(100);
	}
	CHECK_EQ(gossip_pending_count(nodes[0].g), GOSSIP_PENDING_MAX);
	CHECK(gossip_counts(nodes[0].g)->refused_flood > 0);
	run(40000);
	CHECK_EQ(gossip_pending_count(nodes[0].g), 0);
}

static void a_member_with_an_older_key_is_named(void)
{
	static const uint8_t any[8];
	struct gossip_in in = { .kind = GOSSIP_IN_CLUSTER, .key_epoch = 2, .cluster = any };

	cluster_of(2);
	step(0, &in);
	run(3000);
	CHECK(nodes[0].seen[GOSSIP_EV_STALE_KEY] >= 1);
	CHECK_EQ(nodes[0].last[GOSSIP_EV_STALE_KEY].key_epoch, 1);
	CHECK(node_id_eq(&nodes[0].last[GOSSIP_EV_STALE_KEY].id, &nodes[1].card.id));
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
}

static void who_starts_with_an_older_key_is_named_and_not_let_in(void)
{
	static const uint8_t any[8];
	struct gossip_in in = { .kind = GOSSIP_IN_CLUSTER, .key_epoch = 2, .cluster = any };

	cluster_of(1);
	step(0, &in);
	start(2);
	candidate(2, 0);
	run(2000);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_STALE_KEY], 1);
	CHECK_STR(nodes[0].last[GOSSIP_EV_STALE_KEY].name, "n2");
	CHECK(addr_eq(&nodes[0].last[GOSSIP_EV_STALE_KEY].addr, &nodes[2].addr));
	CHECK_EQ(gossip_alive(nodes[0].g), 1);
}

static void a_second_address_keeps_a_node_alive(void)
{
	struct card card;
	struct gossip_in in = { .kind = GOSSIP_IN_SELF, .card = &card };

	cluster_of(3);
	card = nodes[1].card;
	card.addrs[1] = addr_of(100);
	card.n_addrs = 2;
	step(1, &in);
	run(200);
	/* Its first network goes. */
	nodes[1].addr = card.addrs[1];
	run(5000);
	CHECK_EQ(state(0, 1), MEMBER_ALIVE);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_FAILED] + nodes[2].seen[GOSSIP_EV_FAILED], 0);
}

static void a_first_address_that_works_again_is_used_again(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_SELF };
	struct gossip_member m;
	struct card card;

	cluster_of(3);
	card = nodes[1].card;
	card.addrs[1] = nodes[1].door = addr_of(100);
	card.n_addrs = 2;
	in.card = &card;
	step(1, &in);
	run(200);
	nodes[1].addr = nodes[1].door;
	run(5000);
	CHECK(gossip_find(nodes[0].g, &card.id, &m) && addr_eq(&m.addr, &card.addrs[1]));
	nodes[1].addr = card.addrs[0];
	run(200000);
	CHECK(gossip_find(nodes[0].g, &card.id, &m) && addr_eq(&m.addr, &card.addrs[0]));
}

static void an_address_learned_from_the_first_answer_stays(void)
{
	struct gossip_conf conf = { .key_epoch = 1, .seed = 5 };
	struct gossip_in in = { .kind = GOSSIP_IN_SELF, .card = &conf.self };
	struct node *n = &nodes[2];

	cluster_of(1);
	n->addr = addr_of(2);
	memset(conf.self.public_key, 3, sizeof(conf.self.public_key));
	conf.self.id = node_id_of_key(conf.self.public_key);
	memset(conf.self.boot, 77, BOOT_LEN);
	snprintf(conf.self.name, sizeof(conf.self.name), "n2");
	conf.self.version_min = conf.self.version_max = 1;
	n->card = conf.self;
	n->facts = facts_new(&n->card.id, 1);
	n->g = gossip_new(&conf, n->facts);
	input(2, GOSSIP_IN_START);
	candidate(2, 0);
	run(500);
	CHECK_EQ(gossip_self(n->g)->n_addrs, 1);
	CHECK(addr_eq(&gossip_self(n->g)->addrs[0], &n->addr));
	conf.self.features = 3;
	step(2, &in);
	CHECK(addr_eq(&gossip_self(n->g)->addrs[0], &n->addr));
	run(500);
	CHECK_EQ(nodes[0].seen[GOSSIP_EV_CARD], 1);
}

static void facts_reach_everybody(void)
{
	struct attrs as = { 0 };

	cluster_of(5);
	attrs_set(&as, "size", "1G");
	CHECK_EQ(facts_set(nodes[3].facts, "/volumes/v", &as), 0);
	input(3, GOSSIP_IN_FACTS);
	for (unsigned i = 0; i < 5; i++)
		CHECK(facts_get(nodes[i].facts, &nodes[3].card.id, "/volumes/v") != NULL);
	attrs_fini(&as);
}

static void facts_missed_are_fetched(void)
{
	struct attrs as = { 0 };

	cluster_of(4);
	attrs_set(&as, "size", "1G");
	nodes[2].deaf = true;
	CHECK_EQ(facts_set(nodes[3].facts, "/volumes/v", &as), 0);
	input(3, GOSSIP_IN_FACTS);
	run(100);
	CHECK(!facts_get(nodes[2].facts, &nodes[3].card.id, "/volumes/v"));
	nodes[2].deaf = false;
	run(8000);
	CHECK(facts_get(nodes[2].facts, &nodes[3].card.id, "/volumes/v") != NULL);
	attrs_fini(&as);
}

/* One node has removed it already, the other one not; its facts fill more than one message. */
static void facts_of_a_node_removed_are_not_sent_for_ever(void)
{
	struct gossip_in in = { .kind = GOSSIP_IN_BAN };
	struct attrs as = { 0 };
	char path[40], text[201];

	cluster_of(3);
	memset(text, 'x', 200);
	text[200] = 0;
	attrs_set(&as, "size", text);
	for (unsigned i = 0; i < 600; i++) {
		snprintf(path, sizeof(path), "/volumes/v%u", i);
		CHECK_EQ(facts_set(nodes[2].facts, path, &as), 0);
	}
	input(2, GOSSIP_IN_FACTS);
	run(3000);
	CHECK(facts_get(nodes[0].facts, &nodes[2].card.id, "/volumes/v599"));
	in.id = nodes[2].card.id;
	nodes[2].gone = true;
	step(1, &in);
	run(60000);
	CHECK(!facts_get(nodes[1].facts, &nodes[2].card.id, "/volumes/v599"));
	attrs_fini(&as);
}

static void lossy_links_kill_nobody(void)
{
	cluster_of(5);
	lost_every = 7;
	run(60000);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(nodes[i].seen[GOSSIP_EV_FAILED], 0);
}

static void same_seed_same_bytes(void)
{
	uint64_t first = 0;

	for (unsigned k = 0; k < 2; k++) {
		uint64_t sum = 0;

		cluster_of(5);
		nodes[1].gone = true;
		run(20000);
		for (unsigned i = 0; i < 5; i++)
			sum = sum * 31 + gossip_counts(nodes[i].g)->dgrams_out + nodes[i].wake.ns;
		if (k == 0)
			first = sum;
		CHECK(sum == first);
	}
}

int main(void)
{
	RUN(nodes_find_each_other_from_one_candidate);
	RUN(a_lone_node_is_ready_after_a_while);
	RUN(a_dead_node_is_found_and_comes_back_at_once);
	RUN(a_restart_that_lost_its_incarnation_is_believed);
	RUN(a_leaver_is_not_a_failure);
	RUN(a_node_cut_off_and_back_refutes_its_death);
	RUN(a_pause_accuses_nobody);
	RUN(a_hint_shortens_the_wait_and_decides_nothing);
	RUN(replays_are_refused_and_change_nothing);
	RUN(a_replayed_hello_is_answered_and_not_obeyed);
	RUN(a_clone_elsewhere_is_refused_while_the_first_answers);
	RUN(a_clone_that_speaks_again_accuses_nobody);
	RUN(clones_that_met_different_parts_settle_it);
	RUN(a_node_that_moved_is_taken_once_its_old_place_is_silent);
	RUN(a_new_name_is_told);
	RUN(an_incompatible_version_is_refused_by_name);
	RUN(a_dead_node_of_another_version_keeps_nobody_busy);
	RUN(news_for_nobody_keep_nobody_busy);
	RUN(hellos_are_answered_at_their_rate_when_there_are_many);
	RUN(each_address_that_is_refused_is_told);
	RUN(many_wrong_candidates_do_not_hide_a_right_one);
	RUN(who_answered_at_an_address_of_no_card_is_not_asked_again);
	RUN(replayed_hellos_of_our_own_do_not_flood_the_cluster);
	RUN(another_cluster_is_ignored_and_counted);
	RUN(a_removed_node_is_gone_and_stays_out);
	RUN(a_refusal_is_said_now_and_then_and_not_believed_twice);
	RUN(knocks_are_listed_bounded_and_forgotten);
	RUN(a_member_with_an_older_key_is_named);
	RUN(who_starts_with_an_older_key_is_named_and_not_let_in);
	RUN(a_second_address_keeps_a_node_alive);
	RUN(a_first_address_that_works_again_is_used_again);
	RUN(an_address_learned_from_the_first_answer_stays);
	RUN(facts_reach_everybody);
	RUN(facts_missed_are_fetched);
	RUN(facts_of_a_node_removed_are_not_sent_for_ever);
	RUN(lossy_links_kill_nobody);
	RUN(same_seed_same_bytes);
	clear();
	return 0;
}
