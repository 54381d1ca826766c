/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole clusters of cluster/agree in one process: seeded faults for a while, then quiet, then everything
 * must work. Every message and every stored row goes through the real codec.
 *
 *   sim_agree [--seeds A-B] [-v] [--calm]
 *   sim_agree_planted --plant N ...     with bug N of cluster/plant.h
 *
 * A failing seed prints what broke and the command that runs it again.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/plant.h"
#include "tests/sim/agree_node.h"

/* --- load --- */

static bool roster_step(struct sim *s, struct roster *r)
{
	struct node *x = &s->node[rng_below(&s->w.rng, s->n)];
	const struct roster_node *n = roster_find(r, &x->id);
	struct addr addr = { .family = 4, .ip = { 10, 0, 0, (uint8_t)x->i } };

	if (!n)
		return roster_add(r, &x->id, &addr, 1) == 0;
	if (n->role == ROSTER_VOTER)
		return roster_n_voters(r) > 1 && roster_set_role(r, &x->id, world_chance(&s->w, 500) ? ROSTER_SPARE : ROSTER_LEAVING) == 0;
	if (n->role == ROSTER_LEAVING || world_chance(&s->w, 150))
		return roster_drop(r, &x->id) == 0;
	return roster_set_role(r, &x->id, ROSTER_VOTER) == 0;
}

static void propose_roster(struct node *nd)
{
	struct sim *s = nd->sim;
	struct roster r = nd->roster;
	struct agree_rid rid = rid_number(++s->next_roster | 1ull << 40);

	if (r.n && roster_step(s, &r))
		node_propose_roster(nd, &rid, &r);
}

/* Bring the harsh world to its voters before the faults begin. */
static bool settled(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);
	struct roster next = *r;
	struct addr addr = { .family = 4, .ip = { 10, 0, 0, 1 } };
	struct agree_rid rid = rid_number(r->version | 1ull << 41);

	if (!s->harsh || s->calm_ticks > 300 || roster_n_voters(r) == s->n)
		return true;
	s->calm_ticks++;
	for (unsigned i = 0; i < s->n; i++) {
		const struct roster_node *n = roster_find(r, &s->node[i].id);

		if (n && n->role == ROSTER_VOTER)
			continue;
		if (n ? roster_set_role(&next, &n->id, ROSTER_VOTER) : roster_add(&next, &s->node[i].id, &addr, 1))
			return true;
		node_propose_roster(&s->node[0], &rid, &next);
		return false;
	}
	return true;
}

static void load(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;
	struct node *nd = &s->node[rng_below(&s->w.rng, s->n)];

	if (!s->faults)
		return;
	if (world_chance(&s->w, s->harsh ? 5 : 40))
		propose_roster(nd);
	else if (s->next_rid && world_chance(&s->w, 300))
		node_propose_number(nd, s->next_rid - rng_below(&s->w.rng, s->next_rid < 20 ? s->next_rid : 20));
	else
		node_propose_number(nd, ++s->next_rid);
	world_in_us(&s->w, world_between(&s->w, 100, s->load_ms * 2000), load, s, 0, 0, NULL);
}

/* Every proposal is answered in time by a node that runs. */
static void answers_in_time(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct node *nd = &s->node[i];

		if (!nd->up || nd->paused)
			continue;
		for (unsigned k = 0; k < nd->n_open; k++)
			if (mono_ms_between(nd->open[k].asked, s->w.now) > 3000 + 12000)
				check_break(&s->check, "I12: node %u leaves a proposal without answer", i);
	}
}

/* --- faults --- */

static void restart(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	if (!s->node[i].up)
		node_start(&s->node[i]);
}

static void split(struct sim *s)
{
	unsigned side[CPG_NODES] = { 0 }, parts = 1 + (unsigned)rng_below(&s->w.rng, 3);

	for (unsigned i = 0; i < s->n; i++)
		side[i] = (unsigned)rng_below(&s->w.rng, parts);
	world_trace(&s->w, "split in %u", parts);
	cpg_split(s->cpg, side);
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned j = 0; j < s->n; j++)
			s->net.cut[i][j] = side[i] != side[j] || world_chance(&s->w, s->meshcut);
}

static void mend(void *ctx, unsigned i, uint64_t gen, void *p)
{
	struct sim *s = ctx;
	struct node *nd = &s->node[i];

	nd->store.fails = 0;
	if (!nd->up || nd->mode != AGREE_STORE_FAILED)
		return;
	if (nd->paused) {
		node_crash(nd, true);
		restart(s, i, 0, NULL);
		return;
	}
	node_reopen(nd);
}

/* The disk of one voter is lost, once in a run, while all others are well. */
static void wipe(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);
	struct node *nd = &s->node[rng_below(&s->w.rng, s->n)];

	if (s->n_wipes || !nd->up || roster_n_voters(r) < 3 || !roster_votes(r, &nd->id) || roster_find(r, &nd->id)->role != ROSTER_VOTER)
		return;
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i].roster.version != r->version || s->node[i].mode != AGREE_ACTIVE)
			return;
	s->n_wipes++;
	world_trace(&s->w, "n%u loses its disk", nd->i);
	node_crash(nd, true);
	store_wipe(&nd->store);
	nd->wiped = true;
	world_in_us(&s->w, world_between(&s->w, 10, 500) * 1000, restart, s, nd->i, 0, NULL);
	/* Those that know most are away while it returns: what only they and it had must still count. */
	for (unsigned k = roster_majority(r) - 1; k > 0; k--) {
		struct node *most = NULL;

		for (unsigned i = 0; i < s->n; i++)
			if (s->node[i].up && roster_votes(r, &s->node[i].id) && (!most || s->node[i].last > most->last))
				most = &s->node[i];
		if (!most)
			break;
		node_crash(most, true);
		world_in_us(&s->w, world_between(&s->w, 2000, 6000) * 1000, restart, s, most->i, 0, NULL);
	}
}

static void power_loss(struct sim *s)
{
	world_trace(&s->w, "power is lost");
	for (unsigned i = 0; i < s->n; i++) {
		node_crash(&s->node[i], true);
		world_in_us(&s->w, world_between(&s->w, 100, 3000) * 1000, restart, s, i, 0, NULL);
	}
}

static void fault(struct sim *s)
{
	struct node *nd = &s->node[rng_below(&s->w.rng, s->n)];

	if (world_chance(&s->w, s->crash)) {
		node_crash(nd, true);
		world_in_us(&s->w, world_between(&s->w, 100, 6000) * 1000, restart, s, nd->i, 0, NULL);
	} else if (world_chance(&s->w, s->procs)) {
		node_crash(nd, false);
		world_in_us(&s->w, world_between(&s->w, 10, 1000) * 1000, restart, s, nd->i, 0, NULL);
	}
	if (world_chance(&s->w, s->pause))
		node_pause(nd, (unsigned)world_between(&s->w, 50, world_chance(&s->w, 300) ? 6000 : 1000));
	if (world_chance(&s->w, s->split))
		split(s);
	if (world_chance(&s->w, s->stall))
		cpg_stall(s->cpg, (unsigned)world_between(&s->w, 100, 4000));
	if (world_chance(&s->w, s->io) && !nd->store.fails) {
		world_trace(&s->w, "n%u store fails", nd->i);
		nd->store.fails = world_chance(&s->w, 500) ? ERR_NOSPC : ERR_IO;
		world_in_us(&s->w, world_between(&s->w, 500, 5000) * 1000, mend, s, nd->i, 0, NULL);
	}
	if (world_chance(&s->w, 2))
		power_loss(s);
	if (world_chance(&s->w, 20))
		wipe(s);
	s->net.loss = world_chance(&s->w, 300) ? (unsigned)rng_below(&s->w.rng, 300) : 0;
	s->net.twice = world_chance(&s->w, 300) ? 100 : 0;
	s->net.delay_us = world_chance(&s->w, 200) ? (unsigned)world_between(&s->w, NET_DELAY_US, 200000) : NET_DELAY_US;
}

static void every_100ms(void *ctx, unsigned i, uint64_t x, void *p)
{
	struct sim *s = ctx;

	if (s->faults && s->node[0].store.snap.len && settled(s))
		fault(s);
	sim_ring_control(s);
	answers_in_time(s);
	if (!s->check.broken[0])
		world_in_us(&s->w, 100000, every_100ms, s, 0, 0, NULL);
}

/* --- one run --- */

static void choose(struct sim *s, bool quiet_only)
{
	struct world *w = &s->w;
	bool calm = quiet_only || world_chance(w, 100);

	s->n = 1 + (unsigned)rng_below(&w->rng, world_chance(w, 200) ? NODES_MAX : 5);
	s->crash = calm ? 0 : (unsigned)rng_below(&w->rng, 40);
	s->procs = calm ? 0 : (unsigned)rng_below(&w->rng, 30);
	s->pause = calm ? 0 : (unsigned)rng_below(&w->rng, 40);
	s->split = calm ? 0 : (unsigned)rng_below(&w->rng, 40);
	s->stall = calm ? 0 : (unsigned)rng_below(&w->rng, 20);
	s->io = calm ? 0 : (unsigned)rng_below(&w->rng, 20);
	s->harsh = !calm && w->seed % 4 == 0;
	s->meshcut = world_chance(w, 300) ? 200 : 0;
	s->load_ms = (unsigned)world_between(w, 10, 200);
	s->pad = world_chance(w, 50) ? 700000 : (unsigned)rng_below(&w->rng, 200);
	s->conf.keep_entries = (unsigned)world_between(w, 3, 60);
	s->conf.snap_entries = (unsigned)world_between(w, 5, 200);
	if (s->harsh) {
		s->n = 3 + (unsigned)rng_below(&w->rng, 3);
		s->crash = s->split = 60;
		s->procs = s->pause = 40;
		s->load_ms = (unsigned)world_between(w, 2, 30);
	}
	for (unsigned i = 0; i < s->n; i++)
		s->node[i].store.sync_us = (unsigned)world_between(w, 500, world_chance(w, 100) ? 60000 : 5000);
}

/* After the faults: whole again, and everything asked is answered. */
static void heal(struct sim *s)
{
	unsigned one[CPG_NODES] = { 0 };

	world_trace(&s->w, "healed");
	s->faults = false;
	cpg_stall(s->cpg, 0);
	net_heal(&s->net);
	cpg_split(s->cpg, one);
	for (unsigned i = 0; i < s->n; i++) {
		node_resume(&s->node[i]);
		restart(s, i, 0, NULL);
		s->node[i].store.sync_us = 1000;
		s->node[i].store.steady = true;
		mend(s, i, 0, NULL);
	}
}

static void all_alike(struct sim *s)
{
	const struct roster *r = check_roster(&s->check, 0);

	for (unsigned i = 0; i < s->n; i++) {
		struct node *nd = &s->node[i];
		bool in = roster_find(r, &nd->id) != NULL;

		if (in && nd->mode != AGREE_ACTIVE)
			check_break(&s->check, "I8: node %u is %s with all well", i, agree_mode_name(nd->mode));
		if (nd->applied != s->check.n_entry - 1)
			check_break(&s->check, "I8: node %u has applied %llu of %u entries with all well", i,
				    (unsigned long long)nd->applied, s->check.n_entry - 1);
		if (nd->n_open)
			check_break(&s->check, "I12: node %u has %u proposals without answer", i, nd->n_open);
	}
	if (s->check.acked > s->check.n_entry - 1)
		check_break(&s->check, "I7: an acknowledged entry is gone");
}

static void last_words(struct sim *s)
{
	unsigned ok = s->check.n_ok;

	for (unsigned i = 0; i < s->n; i++)
		node_propose_number(&s->node[i], ++s->next_rid);
	world_run(&s->w, mono_add_ms(s->w.now, 4000));
	if (s->check.n_ok != ok + s->n)
		check_break(&s->check, "I8: %u of %u proposals succeed with all well", s->check.n_ok - ok, s->n);
}

struct result {
	uint64_t trace, n_steps;
	unsigned entries, ok, refused, doubt, rosters;
	char broken[300];
};

static void run(uint64_t seed, bool verbose, bool quiet_only, struct result *res)
{
	struct sim *s = sim_new(seed, verbose);

	choose(s, quiet_only);
	s->faults = true;
	for (unsigned i = 0; i < s->n; i++)
		node_start(&s->node[i]);
	sim_found(s);
	world_in_us(&s->w, 1000, every_100ms, s, 0, 0, NULL);
	world_in_us(&s->w, 500000, load, s, 0, 0, NULL);
	world_run(&s->w, mono_add_ms(s->w.now, world_between(&s->w, 5000, 20000)));
	heal(s);
	world_run(&s->w, mono_add_ms(s->w.now, 20000));
	if (s->w.n_run >= s->w.n_limit)
		check_break(&s->check, "I8: %llu events and no end", (unsigned long long)s->w.n_run);
	if (!s->check.broken[0])
		last_words(s);
	if (!s->check.broken[0])
		all_alike(s);
	res->trace = s->w.trace;
	res->n_steps = s->n_steps;
	res->entries = s->check.n_entry;
	res->ok = s->check.n_ok;
	res->refused = s->check.n_refused;
	res->doubt = s->check.n_doubt;
	res->rosters = s->check.n_roster;
	memcpy(res->broken, s->check.broken, sizeof(res->broken));
	sim_free(&s);
}

static int usage(void)
{
	fprintf(stderr, "usage: sim_agree [--seeds A-B] [--calm] [--first] [--plant N] [-v]\n");
	return 2;
}

int main(int argc, char **argv)
{
#ifdef __SANITIZE_ADDRESS__
	unsigned long long from = 1, to = 200;  /* five times slower */
#else
	unsigned long long from = 1, to = 1000;
#endif
	bool verbose = false, calm = false;
	unsigned plant = 0, failed = 0, most = 5;
	struct result sum = { 0 };
	uint64_t both = 0;

	if (sodium_init() < 0)
		return 1;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-v") == 0)
			verbose = true;
		else if (strcmp(argv[i], "--first") == 0)
			most = 1;
		else if (strcmp(argv[i], "--calm") == 0)
			calm = true;
		else if (strcmp(argv[i], "--plant") == 0 && i + 1 < argc)
			plant = (unsigned)atoi(argv[++i]);
		else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc && sscanf(argv[i + 1], "%llu-%llu", &from, &to) >= 1) {
			if (!strchr(argv[++i], '-'))
				to = from;
		} else {
			return usage();
		}
	}
#ifdef DIRECTOR_PLANT
	director_plant = plant;
#else
	if (plant)
		return usage();
#endif
	for (uint64_t seed = from; seed <= to; seed++) {
		struct result r, again;

		run(seed, verbose, calm, &r);
		both = both * 31 + r.trace;
		sum.n_steps += r.n_steps;
		sum.entries += r.entries;
		sum.ok += r.ok;
		sum.refused += r.refused;
		sum.doubt += r.doubt;
		sum.rosters += r.rosters;
		if (!r.broken[0] && seed % 100 == 0) {
			run(seed, false, calm, &again);
			if (again.trace != r.trace)
				snprintf(r.broken, sizeof(r.broken), "the seed does not replay: trace %016llx and %016llx",
					 (unsigned long long)r.trace, (unsigned long long)again.trace);
		}
		if (!r.broken[0])
			continue;
		failed++;
		printf("seed %llu: %s\n  again: tests/sim/sim_agree%s --seeds %llu-%llu -v%s", (unsigned long long)seed, r.broken,
		       plant ? "_planted" : "", (unsigned long long)seed, (unsigned long long)seed, calm ? " --calm" : "");
		if (plant)
			printf(" --plant %u", plant);
		printf("\n");
		if (failed >= most)
			break;
	}
	printf("seeds %llu-%llu: %u broken; %llu steps, %u entries (%u rosters), %u answered, %u refused (%u in doubt); trace %016llx\n",
	       from, to, failed, (unsigned long long)sum.n_steps, sum.entries, sum.rosters, sum.ok, sum.refused, sum.doubt,
	       (unsigned long long)both);
	return failed != 0;
}
