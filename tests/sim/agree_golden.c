/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named scenarios of agreement, as traces to read and to compare: sim_golden NAME prints one;
 * tests/golden/agree-NAME.trace is what it printed when somebody last looked at it.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "tests/sim/agree_node.h"

static void tick(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	sim_ring_control(s);
	world_in_us(&s->w, 100000, tick, s, 0, 0, NULL);
}

static void wait_ms(struct sim *s, unsigned ms)
{
	world_run(&s->w, mono_add_ms(s->w.now, ms));
}

static void ask(struct sim *s, unsigned node)
{
	node_propose_number(&s->node[node], ++s->next_rid);
}

static void change_role(struct sim *s, unsigned by, unsigned who, enum roster_role role)
{
	struct roster r = *check_roster(&s->check, 0);
	struct addr a = { .family = 4, .ip = { 10, 0, 0, (uint8_t)who } };
	struct agree_rid rid = rid_number(++s->next_roster | 1ull << 40);

	if (!roster_find(&r, &s->node[who].id))
		roster_add(&r, &s->node[who].id, &a, 1);
	else
		roster_set_role(&r, &s->node[who].id, role);
	node_propose_roster(&s->node[by], &rid, &r);
	wait_ms(s, 1500);
}

/* One node, then three with a vote each. */
static void three(struct sim *s)
{
	for (unsigned i = 0; i < 3; i++)
		node_start(&s->node[i]);
	sim_found(s);
	world_in_us(&s->w, 1000, tick, s, 0, 0, NULL);
	wait_ms(s, 500);
	for (unsigned i = 1; i < 3; i++) {
		change_role(s, 0, i, ROSTER_SPARE);
		change_role(s, 0, i, ROSTER_VOTER);
	}
}

static void join(struct sim *s)
{
	three(s);
	for (unsigned i = 0; i < 3; i++)
		ask(s, i);
	wait_ms(s, 1000);
}

static void cut_off(struct sim *s)
{
	unsigned apart[CPG_NODES] = { 0, 0, 1 }, one[CPG_NODES] = { 0 };

	three(s);
	cpg_split(s->cpg, apart);
	for (unsigned i = 0; i < 2; i++)
		s->net.cut[i][2] = s->net.cut[2][i] = true;
	wait_ms(s, 2500);
	ask(s, 2);
	ask(s, 0);
	wait_ms(s, 1000);
	cpg_split(s->cpg, one);
	net_heal(&s->net);
	wait_ms(s, 2500);
	ask(s, 2);
	wait_ms(s, 500);
}

static void power_loss(struct sim *s)
{
	three(s);
	ask(s, 0);
	ask(s, 1);
	wait_ms(s, 3);          /* somewhere between order and answer */
	for (unsigned i = 0; i < 3; i++)
		node_crash(&s->node[i], true);
	wait_ms(s, 1000);
	for (unsigned i = 0; i < 3; i++)
		node_start(&s->node[i]);
	wait_ms(s, 2500);
	node_propose_number(&s->node[2], 1);
	node_propose_number(&s->node[2], 2);
	wait_ms(s, 500);
}

static void disk_full(struct sim *s)
{
	three(s);
	s->node[1].store.fails = ERR_NOSPC;
	ask(s, 0);
	wait_ms(s, 1000);
	ask(s, 1);
	ask(s, 2);
	wait_ms(s, 1000);
	s->node[1].store.fails = 0;
	node_reopen(&s->node[1]);
	wait_ms(s, 1000);
	ask(s, 1);
	wait_ms(s, 500);
}

static void sequencer_hangs(struct sim *s)
{
	three(s);
	for (unsigned i = 0; i < 3; i++)
		if (s->node[i].sequencer) {
			node_pause(&s->node[i], 4000);
			ask(s, (i + 1) % 3);
		}
	wait_ms(s, 6000);
}

static const struct {
	const char *name;
	void (*run)(struct sim *);
} scenario[] = {
	{ "join", join }, { "cut-off", cut_off }, { "power-loss", power_loss }, { "disk-full", disk_full },
	{ "sequencer-hangs", sequencer_hangs },
};

int main(int argc, char **argv)
{
	if (sodium_init() < 0)
		return 1;
	for (unsigned i = 0; argc == 2 && i < sizeof(scenario) / sizeof(scenario[0]); i++) {
		struct sim *s;
		bool broken;

		if (strcmp(argv[1], scenario[i].name) != 0)
			continue;
		s = sim_new(1, true);
		s->w.terse = true;
		s->n = 3;
		s->conf.keep_entries = 100;
		s->conf.snap_entries = 100;
		scenario[i].run(s);
		broken = s->check.broken[0];
		sim_free(&s);
		return broken;
	}
	fprintf(stderr, "usage: sim_golden NAME\n");
	for (unsigned i = 0; i < sizeof(scenario) / sizeof(scenario[0]); i++)
		fprintf(stderr, "  %s\n", scenario[i].name);
	return 2;
}
