/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world of gossip nodes in virtual time: every datagram and sync message passes the real codec and
 * seal, over a network that loses, doubles, delays and cuts as it is told. Everything follows from the
 * seed; `trace` is a hash of all that happened.
 */
#ifndef TESTS_SIM_GOSSIP_WORLD_H
#define TESTS_SIM_GOSSIP_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "cluster/gossip.h"
#include "proto/seal.h"

#define MS 1000000ull
#define SEC (1000 * MS)

struct sim_event;
struct world;

struct sim_node {
	unsigned i;
	uint8_t key[32];
	struct card card;
	struct addr addr;
	struct gossip *gossip;          /* NULL: not running */
	struct facts *facts;
	struct seal seal;
	uint32_t incarnation;           /* "on disk" */
	bool paused;
	uint64_t wake;                  /* when its timer is due */
	uint64_t mesh_ready;            /* when its newest mesh connection will be */
	struct sim_event *held, **held_tail;    /* what came while it was paused */
	uint64_t down_since, up_since;  /* 0: not so */
	uint64_t dgrams, bytes, mesh, mesh_bytes;       /* sent; bytes with all headers */
};

/* Called for every event of every node. */
typedef void sim_event_fn(struct world *w, struct sim_node *n, const struct gossip_event *e, void *arg);

struct world {
	uint64_t seed, now, seq, trace;
	struct rng rng;
	unsigned n;
	struct sim_node *nodes, **by_id;
	struct sim_event **heap;
	unsigned n_heap, cap_heap;
	/* the network */
	unsigned loss_ppm, dup_ppm, slow_ppm;
	uint64_t delay_min, delay_spread, slow_max;
	bool hints;                     /* ports without a listener answer with ICMP */
	uint8_t *cut;                   /* n by n: [from][to] */
	uint8_t *connected;             /* n by n: by the mesh */
	uint8_t key[32];
	bool verbose;
	const char *corpus;             /* a folder: some messages of each kind are written there, for fuzzing */
	unsigned n_corpus[32];
	sim_event_fn *on_event;
	void *arg;
	struct gossip_out out;
	struct buf plain, wire;
	uint64_t delivered;
};

void world_init(struct world *w, uint64_t seed, unsigned n);
void world_fini(struct world *w);
/* Let time pass until `until`. */
void world_run(struct world *w, uint64_t until);
void world_cut(struct world *w, unsigned from, unsigned to, bool cut);
void world_heal(struct world *w);

/* Start node i with a new boot; it gets `seed` (an index, or its own for none) as a candidate. */
void node_start(struct world *w, unsigned i, unsigned seed);
void node_kill(struct world *w, unsigned i);
void node_leave(struct world *w, unsigned i);
void node_pause(struct world *w, unsigned i);
void node_resume(struct world *w, unsigned i);
void node_move(struct world *w, unsigned i);            /* another address from its next start on */
void node_candidate(struct world *w, unsigned i, const struct addr *a);
void node_fact(struct world *w, unsigned i, const char *path, const char *value);      /* NULL deletes */
void node_step(struct world *w, struct sim_node *n, struct gossip_in *in);
/* All nodes running and knowing each other, as if for long. */
void world_settled(struct world *w);

/* Does every running node see exactly the running ones as alive, with one hash and the same facts? */
bool world_members_agree(const struct world *w, char *why, size_t n_why);
bool world_facts_agree(const struct world *w, char *why, size_t n_why);

#endif
