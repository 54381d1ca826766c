/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a simulated cluster: agreement, a store and a small state machine each, in the models' world. */
#ifndef TESTS_SIM_AGREE_NODE_H
#define TESTS_SIM_AGREE_NODE_H

#include "cluster/agree.h"
#include "tests/sim/agree_check.h"
#include "tests/sim/cpg.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"

#define NODES_MAX 9
#define OPEN_MAX 64

struct held {
	enum { HELD_CAST, HELD_MESH, HELD_VIEW, HELD_STORED } kind;
	unsigned from, n;
	uint8_t *p;
	size_t len;
	unsigned member[CPG_NODES];
	uint64_t seq;
	int err;
};

struct open {
	struct agree_rid rid;
	struct mono asked;
};

struct sim;

struct node {
	struct sim *sim;
	unsigned i;
	struct node_id id;
	bool up, paused;
	uint64_t boot;
	struct agree *agree;
	struct store store;
	struct log log;
	struct mono wake;
	uint64_t wake_gen, pause_gen;
	bool ring, local;               /* what it was told last */
	struct held *held;
	unsigned n_held, held_cap;
	/* the applied state */
	uint64_t count;
	uint8_t hash[AGREE_HASH_LEN];
	enum agree_mode mode;
	struct roster roster;
	uint64_t applied, commit, last, epoch;
	bool sequencer;
	struct open open[OPEN_MAX];
	unsigned n_open;
	bool wiped;                     /* its disk was lost once */
};

struct sim {
	struct world w;
	struct cpg *cpg;
	struct net net;
	struct check check;
	struct node node[NODES_MAX];
	unsigned n;
	bool faults;                    /* they may still happen */
	unsigned crash, pause, split, stall, io, meshcut, procs; /* per mille and tick */
	unsigned load_ms, pad;
	bool harsh;                     /* three to five voters, and never a quiet second */
	unsigned n_wipes, calm_ticks;
	struct mono end_faults;
	uint64_t next_rid, next_roster;
	struct agree_conf conf;
	uint64_t n_steps;
};

/* A world of `n` nodes, none of them started. */
struct sim *sim_new(uint64_t seed, bool verbose);
void sim_free(struct sim **s);
/* Node 0 begins the log. */
void sim_found(struct sim *s);
/* Every 100 ms: who is in the ring, which the newest committed roster says. */
void sim_ring_control(struct sim *s);

void node_step(struct node *nd, struct agree_in *in);
void node_start(struct node *nd);
void node_crash(struct node *nd, bool machine);
void node_pause(struct node *nd, unsigned ms);
void node_resume(struct node *nd);
/* The daemon opens its store again after it failed. */
void node_reopen(struct node *nd);
void node_propose(struct node *nd, const struct agree_rid *rid, enum agree_kind kind, const uint8_t *p, uint32_t len);
/* Request `number`, with the payload that belongs to it. */
void node_propose_number(struct node *nd, uint64_t number);
void node_propose_roster(struct node *nd, const struct agree_rid *rid, const struct roster *r);
struct agree_rid rid_number(uint64_t n);

#endif
