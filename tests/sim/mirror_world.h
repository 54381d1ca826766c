/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of sim_mirror: nodes with the ownership machine, a director-target with the mirror machine, and a
 * leg each; a log that stands for agreement; data paths that lose and delay. One mirrored volume.
 */
#ifndef TESTS_SIM_MIRROR_WORLD_H
#define TESTS_SIM_MIRROR_WORLD_H

#include "cluster/own.h"
#include "plugins/mirror/machine.h"
#include "tests/sim/world.h"

#define SIM_NODES 5
#define SIM_BLOCKS 300                  /* a block is a number; offsets count blocks */
#define SIM_FIRST 241                   /* of these there are so many at first: less than a page of bits, and not whole regions */
#define SIM_REGION 4
#define SIM_CHUNK 2
#define SIM_PAGE 8
#define SIM_WORDS 2
#define SIM_LOG 1024
#define SIM_PENDING 512
#define SIM_CLIENTS 7                   /* the last three only read */

enum sim_plant {
	SIM_PLANT_NONE,
	SIM_PLANT_LEASE,        /* director-target answers without a lease */
	SIM_PLANT_FENCE,        /* legs do not look at the epoch */
	SIM_PLANT_OUT,          /* a write is answered before the leg that failed it is out */
	SIM_PLANT_INTENT,       /* no intent bits */
	SIM_PLANT_DISK,         /* the log commits before a majority has it on disk */
	SIM_PLANT_ECHO,         /* a beat is a lease, whoever echoes it */
	SIM_PLANT_WAIT,         /* a successor does not wait */
	SIM_PLANT_END,          /* echoes count whatever the voter's log holds */
	SIM_PLANT_EARLY,        /* a leg is called in sync before it has everything */
	SIM_PLANT_LIFE,         /* a leg that lost power is trusted */
	SIM_PLANT_GATE,         /* reads go past the machine beside writes */
	SIM_PLANT_SCRUB,        /* a scrub repairs beside writes */
	SIM_PLANT_GROW,         /* what is new is not made equal */
	SIM_PLANT_SIZE,         /* the new size is told before it is on all legs */
	SIM_PLANT_FENCED,       /* a fencing counts whenever it began */
	SIM_PLANT_SILENT,       /* voters call everybody silent */
	SIM_PLANT_MAX,
};

extern unsigned sim_plant;

/* ---- agreement, as a model ---- */

struct sim_entry {
	struct own_change change;
	struct node_id want;            /* kind 0: who should own it */
};

struct sim_log {
	unsigned id[SIM_LOG];           /* of sim.entry */
	unsigned n, commit;
	uint64_t view;                  /* the last view in which it was taken over whole */
};

/* ---- a leg ---- */

struct sim_leg {
	bool exists;
	uint8_t uuid[16];
	uint64_t fence, life;
	uint64_t session[SIM_NODES];    /* by owner: what it logged in with last; 0: nothing */
	uint32_t now[SIM_BLOCKS], stable[SIM_BLOCKS];
	bool dirty[SIM_BLOCKS];
	struct mirror_meta meta;
	uint64_t bits[SIM_WORDS];
	bool known;
	bool bad[SIM_BLOCKS];           /* cannot be read until it is written */
	bool broken;                    /* its disk answers with I/O errors, until the world mends it */
	bool tainted;                   /* lost power since it was claimed */
};

/* ---- a director-target ---- */

struct sim_op {
	struct mirror_op op;
	unsigned client, node;
	uint64_t tlife;
	uint32_t value[8];
	/* The gate: a read that is at a leg, past the machine; a write in the machine; one that waits for such a read. */
	bool past, inside, waits;
	struct mirror_io past_io;
	TAILQ_ENTRY(sim_op) all;
};

TAILQ_HEAD(sim_ops, sim_op);

struct sim_wire {                       /* a leg I/O under way, and its answer */
	uint64_t id, tlife, session, epoch;
	unsigned owner, at;
	enum mirror_io_kind kind;
	bool claim, fua;
	uint64_t offset, len;
	uint32_t data[8];
	struct mirror_meta meta;
	unsigned page;
	uint64_t bits[SIM_WORDS];
	uint8_t sum[SIM_CHUNK * MIRROR_SUM];
	uint64_t life;
	bool known;
	int result;
};

struct sim_target {
	bool up;
	uint64_t life;
	struct own_row row;
	struct mirror *m;
	bool opening, told, freezing;
	unsigned claims;                /* that are still out while opening */
	struct mirror_leg_says says[OWN_LEGS_MAX];
	uint64_t says_bits[OWN_LEGS_MAX][SIM_WORDS];
	bool stale;
	uint64_t session[OWN_LEGS_MAX]; /* 0: not logged in */
	bool claiming[OWN_LEGS_MAX];
	uint32_t slot[MIRROR_SLOTS][8];
	struct {
		uint64_t id;
		struct mirror_io *io;   /* NULL: a claim */
		struct sim_op *past;
		unsigned leg;
	} pend[SIM_PENDING];
	unsigned n_pend;
	uint64_t lease_epoch;
	struct mono until;              /* by the node's clock */
	bool leased;                    /* once, under lease_epoch */
	struct mirror_ops held;         /* done, but without a lease */
	uint64_t wake_gen;
};

struct sim_fence {                      /* `node` is switched off */
	unsigned node;
	uint64_t own_life;
	struct mono begun;
};

struct sim_node {
	bool up, own_up;
	uint64_t life, own_life;
	struct mono paused;
	int64_t skew_ppm;
	uint64_t skew_ns;
	struct own *own;
	struct mono fenced[SIM_NODES];  /* when it last began to switch that node off */
	struct sim_fence late;          /* done, and nobody has said so yet: that comes when it next takes the volume */
	uint64_t own_wake;
	/* the view this node has installed */
	uint64_t stamp;
	unsigned members;               /* a mask */
	bool quorate, active;
	unsigned told;                  /* committed in this view */
	unsigned joined;                /* sequencer: members whose log has come */
	unsigned acked[SIM_NODES];
	struct sim_log log, disk;       /* in memory; what is stable of it */
	struct sim_log seen[SIM_NODES]; /* sequencer, while a view begins */
	unsigned applied;
	struct own_row row;
	struct sim_leg leg;
	struct sim_target t;
};

struct sim_hist {                       /* one operation on one block, for the check */
	bool write, ok;
	uint32_t value;
	uint64_t from, to;
};

struct sim_client {
	struct sim_op *op;
	uint64_t number;
	unsigned block, n;
	bool write;
	uint32_t value[8];
	uint64_t from;
};

struct sim {
	struct world w;
	unsigned n, n_legs;
	struct sim_node node[SIM_NODES];
	unsigned side[SIM_NODES];
	uint64_t gen;                   /* counts changes of who reaches whom */
	struct sim_entry entry[4 * SIM_LOG];
	unsigned n_entry;
	struct sim_client client[SIM_CLIENTS];
	struct sim_hist *hist[SIM_BLOCKS];
	unsigned n_hist[SIM_BLOCKS], cap_hist[SIM_BLOCKS];
	uint32_t next_value;
	uint64_t next_id;
	uint64_t answered_epoch;
	uint64_t size, size_told;       /* what it shall be; what a caller was told that it is */
	uint64_t scrub;                 /* the number of the last one that was asked for */
	bool fua, slow, quiet, still, stop;
	bool fences;                    /* nodes can switch each other off */
	struct sim_ops ops;
	uint64_t trace;
	unsigned n_ok, n_lost, n_eio, faults, n_fenced;
	uint64_t repaired;              /* regions, by the last scrub */
	char why[300];
};

struct node_id sim_id(unsigned node);
unsigned sim_node_of(const struct node_id *id);
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The node's CLOCK_BOOTTIME. */
struct mono sim_clock(const struct sim *s, unsigned node);
bool sim_reach(const struct sim *s, unsigned a, unsigned b);
/* A node that was switched off comes back, serves again, and is cut off. */
void sim_returns(struct sim *s, unsigned node);
/* The node has taken the volume: a good moment for a fault. */
void sim_took(struct sim *s, unsigned node);
/* Somebody else switches it off. False: that failed. */
bool sim_switch_off(struct sim *s, unsigned node);
/* Call fn at the node in `us`, unless it loses power before; later if it is paused then. data is copied. */
typedef void sim_fn(struct sim *s, unsigned node, void *data);
void sim_post(struct sim *s, unsigned node, uint64_t us, sim_fn *fn, const void *data, size_t size);

/* mirror_log.c */
void log_change(struct sim *s);                         /* who reaches whom changed */
void log_change_in(struct sim *s, uint64_t us, uint64_t spread_us);     /* and is known then */
void log_propose(struct sim *s, unsigned node, const struct sim_entry *e);
/* What was committed while directord was away. */
void log_catch_up(struct sim *s, unsigned node);
void log_power_lost(struct sim *s, unsigned node);
unsigned sim_voters(const struct sim *s);

/* mirror_node.c */
void node_own(struct sim *s, unsigned node, struct own_in *in);
void node_applied(struct sim *s, unsigned node);        /* row and applied have moved */
void node_log_end(struct sim *s, unsigned node);
void node_view(struct sim *s, unsigned node);
void node_took(struct sim *s, unsigned node);           /* the volume */
void node_misses(struct sim *s, unsigned node);         /* a view was installed: other volumes may want nodes fenced */
void own_start(struct sim *s, unsigned node);
void own_kill(struct sim *s, unsigned node);

/* mirror_target.c */
void target_start(struct sim *s, unsigned node);
void target_kill(struct sim *s, unsigned node);
void target_act(struct sim *s, unsigned node, const struct own_act *a);
bool target_submit(struct sim *s, unsigned node, struct sim_op *op);
void target_adopt(struct sim *s, unsigned node);
void target_resize(struct sim *s, unsigned node);
void target_scrub(struct sim *s, unsigned node);
void leg_power_lost(struct sim *s, unsigned node);
void client_answer(struct sim *s, unsigned node, struct sim_op *op, uint64_t epoch);

#endif
