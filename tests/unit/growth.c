/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growth of the ring, with every node's machine running over late reports. Corosync is a few rules:
 * running nodes that reach each other form a ring if each has all the others in its loaded list; one
 * that is not in the others' list stops the ring if it has them in its own (what was measured).
 */
#include "cluster/aside.h"
#include "cluster/growth.h"

#include "tests/unit/check.h"

#define N 6
#define STEP_MS 100
#define GOSSIP_STEPS 3

struct sim_node {
	struct node_id id;
	struct growth g;
	bool up, wanted, mute;          /* mute: its Corosync starts but never comes into a ring */
	bool running;
	uint64_t stored, active;
	struct roster file[2];          /* stored, loaded */
	struct roster roster;           /* the committed one, as far as it knows */
	struct growth_fact past[GOSSIP_STEPS];
	struct mono since;
	struct addr addr;
	bool cut;                       /* apart from all others, for the ring and for gossip */
	bool local, in_ring;
	struct node_id learn;
};

static struct sim_node node[N];
static struct roster truth;
static struct mono now;
static uint32_t key_epoch;              /* of the newest cluster key, as all know it */
static unsigned n_stopped, n_reloads, n_steps;  /* steps in which the ring was stopped by a wrong list */

static struct addr addr_of(unsigned i)
{
	struct addr a = { .family = 4, .ip = { 10, 0, 0, (uint8_t)(i + 1) } };

	return a;
}

static void boot(unsigned i)
{
	struct sim_node *x = &node[i];

	x->up = true;
	x->running = x->local = x->in_ring = false;
	x->active = 0;
	x->since = now;
	growth_init(&x->g, &x->id, NULL);
}

static void die(unsigned i)
{
	node[i].up = node[i].running = node[i].in_ring = false;
	node[i].active = 0;
	node[i].since = now;
}

/* Its directord dies and stays dead; its Corosync goes on with the list that it has. */
static void die_alone(unsigned i)
{
	node[i].up = node[i].in_ring = false;
	node[i].since = now;
}

static void begin(unsigned n)
{
	memset(node, 0, sizeof(node));
	now = (struct mono){ 1000000000 };
	n_stopped = n_reloads = n_steps = 0;
	key_epoch = 0;
	for (unsigned i = 0; i < N; i++) {
		node[i].id.b[0] = (uint8_t)(i + 1);
		node[i].addr = addr_of(i);
	}
	roster_found(&truth, &node[0].id, &node[0].addr, 1);
	node[0].roster = truth;
	for (unsigned i = 0; i < n; i++) {
		node[i].wanted = true;
		boot(i);
	}
}

/* Is its Corosync in the ring that node i is in? Who is in no list any more is not heard. */
static bool shares_ring(unsigned i, unsigned j)
{
	return node[i].in_ring && node[j].running && !node[j].cut && roster_find(&node[i].file[1], &node[j].id) != NULL;
}

static bool lists(const struct sim_node *x, const struct sim_node *y)
{
	return roster_find(&x->file[1], &y->id) != NULL;
}

/* Who is in nobody else's list is not heard, and does no harm. */
static bool heard(unsigned i)
{
	for (unsigned j = 0; j < N; j++)
		if (j != i && node[j].running && lists(&node[j], &node[i]))
			return true;
	return false;
}

/* Who is in one ring with node i now. */
static void ring(void)
{
	bool stopped = false;

	for (unsigned i = 0; i < N; i++)
		node[i].in_ring = node[i].up && node[i].running && !node[i].mute && !node[i].cut;
	for (unsigned i = 0; i < N; i++)
		for (unsigned j = 0; j < N; j++)
			if (node[i].in_ring && heard(i) && node[j].running && !node[j].cut && lists(&node[i], &node[j]) &&
			    !lists(&node[j], &node[i]))
				stopped = true;
	if (stopped) {
		n_stopped++;
		for (unsigned i = 0; i < N; i++)
			node[i].in_ring = false;
	}
}

static bool quorate(unsigned i)
{
	unsigned n = 0;

	if (node[i].local)
		return roster_n_voters(&truth) == 1 && roster_votes(&truth, &node[i].id);
	if (!node[i].in_ring)
		return false;
	for (unsigned j = 0; j < N; j++)
		n += node[j].in_ring && roster_votes(&truth, &node[j].id);
	return n >= roster_majority(&truth);
}

static struct growth_fact fact_now(unsigned i)
{
	struct sim_node *x = &node[i];
	struct growth_fact f = { .id = x->id, .alive = x->up, .since = x->since, .wanted = x->wanted, .running = x->running,
				 .stored = x->stored, .active = x->active, .roster_version = x->roster.version,
				 .addr = { x->addr }, .n_addr = 1 };

	return f;
}

static void do_act(unsigned i, const struct growth_act *a)
{
	struct sim_node *x = &node[i];

	switch (a->kind) {
	case GROWTH_WRITE:
		x->file[0] = *a->roster;
		x->stored = a->roster->ring_epoch;
		break;
	case GROWTH_RELOAD:
		n_reloads++;
		for (unsigned j = 0; j < N; j++)
			if (node[j].running && !node[j].cut == !x->cut) {
				node[j].file[1] = node[j].file[0];
				node[j].active = node[j].stored;
			}
		break;
	case GROWTH_START:
		CHECK(!x->running);
		x->running = true;
		x->local = false;
		x->file[1] = x->file[0];
		x->active = x->stored;
		break;
	case GROWTH_STOP:
		x->running = x->in_ring = false;
		x->active = 0;
		break;
	case GROWTH_LOCAL:
		x->local = true;
		break;
	case GROWTH_PROPOSE:
		CHECK(quorate(i));
		CHECK_EQ(roster_follows(&truth, a->roster), 0);
		truth = *a->roster;
		break;
	case GROWTH_LEARN:
		x->learn = a->node;
		break;
	}
}

static void step_node(unsigned i)
{
	struct agree_member member[N];
	struct growth_fact fact[N];
	struct growth_act act[GROWTH_ACTS_MAX];
	struct agree_status st = { .has_log = node[i].roster.version > 0, .roster = node[i].roster, .local = node[i].local };
	struct growth_in in = { .now = now, .agree = &st, .fact = fact, .key_epoch = key_epoch };
	unsigned lead = N, n;

	for (unsigned j = 0; j < N; j++) {
		if (node[j].in_ring && node[i].in_ring) {
			member[st.n_member++] = (struct agree_member){ .id = node[j].id, .synced = true };
			if (lead == N && roster_votes(&truth, &node[j].id))
				lead = j;
		}
		/* Reports come late; deaths later. */
		if (j == i || !node[i].cut == !node[j].cut)
			fact[in.n_fact] = j == i ? fact_now(j) : node[j].past[GOSSIP_STEPS - 1];
		else
			fact[in.n_fact] = (struct growth_fact){ .id = node[j].id, .since = now };
		fact[in.n_fact].in_ring = shares_ring(i, j) && roster_find(&node[i].roster, &node[j].id);
		in.n_fact += !node_id_none(&fact[in.n_fact].id) && (fact[in.n_fact].alive || fact[in.n_fact].roster_version);
		in.strangers |= shares_ring(i, j) && !roster_find(&node[i].roster, &node[j].id);
	}
	st.member = member;
	st.mode = quorate(i) ? AGREE_ACTIVE : AGREE_NO_QUORUM;
	st.sequencer = quorate(i) && (node[i].local || lead == i);
	n = growth_step(&node[i].g, &in, act);
	for (unsigned k = 0; k < n; k++)
		do_act(i, &act[k]);
}

static void run(unsigned ms)
{
	for (unsigned t = 0; t < ms; t += STEP_MS) {
		now = mono_add_ms(now, STEP_MS);
		ring();
		for (unsigned i = 0; i < N; i++) {
			if (!node[i].up)
				continue;
			if (quorate(i))
				node[i].roster = truth;
			for (unsigned j = 0; j < N; j++)        /* a learner follows whom it was told to */
				if (node_id_eq(&node[i].learn, &node[j].id) && node[j].up && node[j].roster.version > node[i].roster.version &&
				    !node[i].cut == !node[j].cut)
					node[i].roster = node[j].roster;
			step_node(i);
			n_steps++;
		}
		for (unsigned i = 0; i < N; i++) {
			memmove(&node[i].past[1], &node[i].past[0], (GOSSIP_STEPS - 1) * sizeof(node[i].past[0]));
			node[i].past[0] = fact_now(i);
		}
	}
}

static unsigned in_ring(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N; i++)
		n += node[i].in_ring;
	return n;
}

static void one_node_needs_no_corosync(void)
{
	begin(1);
	run(3000);
	CHECK(node[0].local && !node[0].running);
	CHECK_EQ(truth.version, 1);
}

static void the_second_node_brings_corosync_up(void)
{
	begin(1);
	run(2000);
	node[1].wanted = true;
	boot(1);
	run(6000);
	CHECK(node[0].running && node[1].running && !node[0].local);
	CHECK_EQ(in_ring(), 2);
	CHECK_EQ(roster_n_voters(&truth), 2);
	CHECK_EQ(n_stopped, 0);
}

static void six_at_once_come_in_by_two_changes_of_the_list(void)
{
	begin(6);
	run(12000);
	CHECK_EQ(in_ring(), 6);
	CHECK_EQ(truth.n, 6);
	CHECK_EQ(truth.ring_epoch, 3);  /* three, as the ring may not grow more at once; then the rest */
	CHECK_EQ(roster_n_voters(&truth), 5);
	CHECK_EQ(n_stopped, 0);
	for (unsigned i = 0; i < N; i++)
		CHECK_EQ(node[i].active, truth.ring_epoch);
}

static void a_removed_node_stops_before_the_list_changes(void)
{
	begin(4);
	run(40000);
	CHECK_EQ(truth.n, 4);
	node[0].wanted = false;
	for (unsigned t = 0; t < 20000; t += STEP_MS) {
		run(STEP_MS);
		CHECK(roster_find(&truth, &node[0].id) || !node[0].running);
	}
	CHECK_EQ(truth.n, 3);
	CHECK_EQ(in_ring(), 3);
	CHECK_EQ(roster_n_voters(&truth), 3);
	CHECK_EQ(n_stopped, 0);
}

static void shrunk_to_one_it_needs_no_corosync_again(void)
{
	begin(2);
	run(15000);
	node[0].wanted = false;
	run(20000);
	CHECK_EQ(truth.n, 1);
	CHECK(node[1].local && !node[1].running && !node[0].running);
}

static void one_that_returns_with_an_old_file_fetches_the_new_one_first(void)
{
	begin(3);
	run(30000);
	CHECK_EQ(in_ring(), 3);
	die(2);
	run(10000);
	node[3].wanted = true;
	boot(3);
	run(20000);
	CHECK(roster_find(&truth, &node[3].id));
	CHECK(node[2].stored < truth.ring_epoch);
	boot(2);
	run(15000);
	CHECK_EQ(n_stopped, 0);
	CHECK_EQ(in_ring(), 4);
	CHECK_EQ(node[2].stored, truth.ring_epoch);
}

static void one_that_was_cut_off_does_not_stop_the_ring_when_it_returns(void)
{
	begin(3);
	run(30000);
	node[2].cut = true;
	run(12000);
	CHECK(!node[2].running);        /* a minority stops its Corosync */
	node[3].wanted = true;
	boot(3);
	run(20000);
	CHECK(roster_find(&truth, &node[3].id));
	node[2].cut = false;
	run(15000);
	CHECK_EQ(n_stopped, 0);
	CHECK_EQ(in_ring(), 4);
}

static void a_newcomer_that_does_not_come_in_is_dropped_and_others_follow(void)
{
	begin(2);
	run(15000);
	node[2].wanted = node[2].mute = true;
	boot(2);
	run(2000);
	node[3].wanted = true;
	boot(3);
	run(50000);
	CHECK(!roster_find(&truth, &node[2].id));
	CHECK(roster_find(&truth, &node[3].id));
	CHECK_EQ(in_ring(), 3);
	node[2].mute = false;
	run(90000);
	CHECK_EQ(in_ring(), 4);
	CHECK_EQ(n_stopped, 0);
}

static void a_newcomer_that_failed_is_tried_again_soon(void)
{
	begin(2);
	run(15000);
	node[2].wanted = node[2].mute = true;
	boot(2);
	run(2000);
	CHECK(roster_find(&truth, &node[2].id));
	for (unsigned t = 0; roster_find(&truth, &node[2].id); t += STEP_MS) {
		CHECK(t < GROWTH_NEWCOMER_MS + 5000);
		run(STEP_MS);
	}
	node[2].mute = false;
	run(GROWTH_AGAIN_MS + 3000);
	CHECK_EQ(in_ring(), 3);
	CHECK_EQ(n_stopped, 0);
}

static void a_corosync_without_its_directord_does_not_keep_others_out(void)
{
	for (unsigned dead = 0; dead < 3; dead++) {
		begin(3);
		run(30000);
		CHECK_EQ(in_ring(), 3);
		die_alone(dead);
		run(2000);
		node[3].wanted = true;
		boot(3);
		run(30000);
		CHECK_EQ(in_ring(), 3);
		CHECK_EQ(n_stopped, 0);
		CHECK(!roster_find(&truth, &node[dead].id));
		/* It comes back to life with its Corosync still running. */
		node[dead].up = true;
		node[dead].since = now;
		growth_init(&node[dead].g, &node[dead].id, NULL);
		run(30000);
		CHECK_EQ(in_ring(), 4);
		CHECK_EQ(n_stopped, 0);
	}
}

static void the_lead_may_die_at_any_step_of_growth(void)
{
	for (unsigned at = 0; at < 6000; at += STEP_MS) {
		begin(3);
		run(30000);
		node[3].wanted = true;
		boot(3);
		run(at);
		die(0);
		run(40000);
		CHECK_EQ(in_ring(), 3);
		CHECK_EQ(n_stopped, 0);
		boot(0);
		run(20000);
		CHECK_EQ(in_ring(), 4);
		CHECK_EQ(n_stopped, 0);
	}
}

static void all_return_after_a_power_loss(void)
{
	begin(3);
	run(30000);
	for (unsigned i = 0; i < 3; i++)
		die(i);
	run(1000);
	for (unsigned i = 0; i < 3; i++)
		boot(i);
	run(5000);
	CHECK_EQ(in_ring(), 3);
}

/* Corosync loads no list in which a node that it knows has another address. */
static void a_new_address_is_taken_over_under_a_new_number(void)
{
	uint32_t nodeid;

	begin(3);
	run(30000);
	nodeid = roster_find(&truth, &node[2].id)->nodeid;
	die(2);
	run(1000);
	node[2].addr.ip[3] = 99;
	boot(2);
	run(20000);
	CHECK_EQ(roster_find(&truth, &node[2].id)->addr[0].ip[3], 99);
	CHECK(roster_find(&truth, &node[2].id)->nodeid != nodeid);
	CHECK(!roster_find_nodeid(&truth, nodeid));
	CHECK_EQ(in_ring(), 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(node[i].active, truth.ring_epoch);
}

static void a_new_key_goes_the_way_of_a_new_list(void)
{
	uint64_t epoch;

	begin(3);
	key_epoch = 1;
	run(30000);
	CHECK_EQ(truth.key_epoch, 1);
	epoch = truth.ring_epoch;
	key_epoch = 2;
	run(5000);
	CHECK_EQ(truth.key_epoch, 2);
	CHECK_EQ(truth.ring_epoch, epoch + 1);
	CHECK_EQ(in_ring(), 3);
	CHECK_EQ(n_stopped, 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(node[i].active, truth.ring_epoch);
}

static void one_node_alone_has_no_ring_to_give_a_key(void)
{
	begin(1);
	key_epoch = 2;
	run(3000);
	CHECK_EQ(truth.version, 1);
}

/* ---- who keeps out when some do not hear each other ---- */

static void the_worst_connected_keeps_out_and_only_if_that_helps(void)
{
	struct addr a = { .family = 4, .ip = { 10, 0, 0, 1 } };
	struct node_id id = { { 1 } };
	uint16_t hears[ROSTER_RING_MAX];
	struct roster r;

	roster_found(&r, &id, &a, 1);
	for (uint8_t i = 2; i <= 5; i++) {
		id.b[0] = i;
		CHECK_EQ(roster_add(&r, &id, &a, 1), 0);
		CHECK_EQ(roster_set_role(&r, &id, ROSTER_VOTER), 0);
	}
	memset(hears, 0xff, sizeof(hears));
	CHECK_EQ(aside_choose(&r, 0x1f, hears), 0);
	/* One direction is enough; of two equals the later one. */
	hears[1] &= (uint16_t)~(1u << 3);
	CHECK_EQ(aside_choose(&r, 0x1f, hears), 1u << 3);
	/* With a second broken link node 1 is the worse. */
	hears[4] &= (uint16_t)~(1u << 1);
	CHECK_EQ(aside_choose(&r, 0x1f, hears), 1u << 1);
	/* Who is dead does not count. */
	CHECK_EQ(aside_choose(&r, 0x15, hears), 0);
	/* One without a vote goes before one that has one. */
	memset(hears, 0xff, sizeof(hears));
	hears[0] &= (uint16_t)~(1u << 4);
	r.node[0].role = ROSTER_SPARE;
	CHECK_EQ(aside_choose(&r, 0x1f, hears), 1u << 0);
	/* Where no majority hears each other nobody goes. */
	memset(hears, 0, sizeof(hears));
	CHECK_EQ(aside_choose(&r, 0x1f, hears), 0);
}

int main(void)
{
	RUN(one_node_needs_no_corosync);
	RUN(the_second_node_brings_corosync_up);
	RUN(six_at_once_come_in_by_two_changes_of_the_list);
	RUN(a_newcomer_that_failed_is_tried_again_soon);
	RUN(a_corosync_without_its_directord_does_not_keep_others_out);
	RUN(a_removed_node_stops_before_the_list_changes);
	RUN(shrunk_to_one_it_needs_no_corosync_again);
	RUN(one_that_returns_with_an_old_file_fetches_the_new_one_first);
	RUN(one_that_was_cut_off_does_not_stop_the_ring_when_it_returns);
	RUN(a_newcomer_that_does_not_come_in_is_dropped_and_others_follow);
	RUN(the_lead_may_die_at_any_step_of_growth);
	RUN(all_return_after_a_power_loss);
	RUN(a_new_address_is_taken_over_under_a_new_number);
	RUN(a_new_key_goes_the_way_of_a_new_list);
	RUN(the_worst_connected_keeps_out_and_only_if_that_helps);
	RUN(one_node_alone_has_no_ring_to_give_a_key);
	return 0;
}
