/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data plane of sim_cluster: each node's director-target and legs, as small as they can be. A leg holds one number,
 * which only rises; a write gives all in-sync legs the next one. What is answered is checked: never under an older right
 * than before (I2), never less than was acknowledged (I1), from legs in sync alone (I3).
 */
#ifndef TESTS_SIM_CLUSTER_DATA_H
#define TESTS_SIM_CLUSTER_DATA_H

#include "cluster/cluster.h"
#include "tests/sim/world.h"

#define DATA_NODES 8
#define DATA_VOLUMES 4
#define DATA_LEGS 4

struct data_leg {
	bool there, open;
	uint8_t uuid[16];
	uint64_t fence, value;
};

struct data_way {                       /* to a leg, as director-target was told */
	uint8_t uuid[16];
	unsigned node;
	bool in, joined, failed;        /* in sync; gets what is written; it failed, and must be out before an answer */
	uint64_t turn;
};

struct data_open {                      /* a volume that is served here */
	uint8_t uuid[16];
	uint64_t epoch;
	bool open;
	struct mono until;              /* leased */
	uint64_t writing;               /* not answered yet; 0: nothing */
	struct data_way way[DATA_LEGS];
	unsigned n_way;
};

struct data_node {
	bool up;
	struct data_leg leg[DATA_VOLUMES];
	struct data_open volume[DATA_VOLUMES];
};

struct data {
	struct world *w;
	void *ctx;
	bool (*reach)(void *ctx, unsigned a, unsigned b);
	void (*event)(void *ctx, unsigned node, struct cluster_in *in);
	void (*fail)(void *ctx, const char *why);
	struct data_node node[DATA_NODES];
	struct { uint8_t uuid[16]; uint64_t acked, epoch; } known[DATA_VOLUMES];
	uint64_t next;
	unsigned answered, owners;
};

/* A plan action of ownership or about a leg: what director-target says, 0 or ERR_*. */
int data_plan(struct data *d, unsigned node, const struct plan_action *a);
void data_lease(struct data *d, unsigned node, const struct cluster_act *a);
/* Now and then: each open volume writes and reads, asks legs out and brings them back. */
void data_tick(struct data *d, unsigned node);
/* director-target is there, with nothing open; or dead. */
void data_up(struct data *d, unsigned node);
void data_down(struct data *d, unsigned node);
/* What it has open, for a directord that comes to it; plan_have_fini it. */
void data_have(const struct data *d, unsigned node, struct plan_have *have);
/* At the end: legs in sync are equal, and somebody answers. */
void data_check(struct data *d, const struct catalog *c);

#endif
