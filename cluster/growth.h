/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Corosync's ring grows and shrinks without stopping (DESIGN 5; one node with another node list can
 * stop a whole ring without an event). Every node runs this machine over the committed roster and over
 * what nodes report about themselves by gossip; it answers with what this node should do next. It is
 * level-triggered: whoever leads may die at any point, the next one goes on from the same facts.
 *
 *   1. roster entry: newcomers in the list as spares, all that wait (at most twice as many as the ring has), ring epoch e.
 *   2. every running member writes file e and reports stored = e.
 *   3. the lead reloads once; every running member reports active = e.
 *   4. only then each newcomer writes file e, gets the key, starts. If it is not in a quorate view
 *      within GROWTH_START_MS it stops its Corosync again and waits longer each time.
 *   5. in the view and caught up: the voter rule may give it a vote.
 */
#ifndef CLUSTER_GROWTH_H
#define CLUSTER_GROWTH_H

#include "base/log.h"
#include "base/mono.h"
#include "cluster/agree.h"
#include "cluster/roster.h"

#define GROWTH_START_MS 4000    /* a newcomer that is not in by then stops */
#define GROWTH_MINORITY_MS 3000 /* a member without quorum this long stops its Corosync until it knows the current file */
#define GROWTH_ABSENT_MS 8000   /* an absent ring member is waited for this long before the list changes without it */
#define GROWTH_SETTLE_MS 1200   /* a starting node listens this long for newer files before it believes its own */
#define GROWTH_STUCK_MS 15000   /* a ring that stays without quorum although its nodes are alive is begun anew */
#define GROWTH_NEWCOMER_MS 20000        /* a newcomer that is not in by then leaves the list again ... */
#define GROWTH_AGAIN_MS 5000    /* ... and is not looked at for this long, ... */
#define GROWTH_AGAIN_MAX_MS 60000       /* ... twice as long each time, up to this */
#define GROWTH_GATHER_MS 200    /* the first newcomer waits for others that are just behind it */
#define GROWTH_REFUSED_MAX 16

/* What a node reports about itself, by gossip, and what is known about it. One of them is this node. */
struct growth_fact {
	struct node_id id;
	bool alive;
	struct mono since;              /* when it became alive, or dead */
	bool wanted;                    /* admitted, version fits, not removed by the administrator: belongs into the ring */
	bool aside;                     /* it keeps out of the ring by itself, for a while: nobody waits for it */
	bool barred;                    /* drained, or its store failed: no vote */
	bool running;                   /* its Corosync runs */
	uint64_t stored, active;        /* ring epoch of the file on its disk, and of the running ring; 0: none */
	uint64_t roster_version;        /* newest committed roster it knows */
	bool in_ring;                   /* its Corosync is in our ring, whether or not its directord lives */
	struct addr addr[ROSTER_ADDRS_MAX];
	unsigned n_addr;
};

struct growth_in {
	struct mono now;
	const struct agree_status *agree;
	const struct growth_fact *fact;         /* sorted by id; ours too */
	unsigned n_fact;
	bool strangers;                         /* our ring has a Corosync whose node is not in the roster */
	uint32_t key_epoch;                     /* of the newest cluster key; 0: it does not matter */
	bool unsure;                            /* our Corosync was just started: `active` is what it must have read */
	bool start_failed;                      /* the Corosync that we asked for did not start or died */
};

enum growth_act_kind {
	GROWTH_WRITE = 1,       /* write corosync.conf and key of `roster` (its ring_epoch); then report stored */
	GROWTH_RELOAD,          /* reload on all nodes (corosync-cfgtool -R); then everyone reports active */
	GROWTH_START,           /* start Corosync with the stored file; then report running and active */
	GROWTH_STOP,            /* stop Corosync */
	GROWTH_LOCAL,           /* no Corosync: give agree the local view */
	GROWTH_PROPOSE,         /* propose `roster`, with a request id made from lineage and roster version */
	GROWTH_LEARN,           /* give agree LEARN from `node` (NODE_ID_NONE: nobody) */
};

struct growth_act {
	enum growth_act_kind kind;
	const struct roster *roster;    /* lent: WRITE, PROPOSE */
	struct node_id node;            /* LEARN */
	const char *why;                /* static */
};

#define GROWTH_ACTS_MAX 4

/* Visible for tests and status; written only by growth.c. */
struct growth {
	struct node_id self;
	const struct log *log;
	struct mono begun;              /* first step */
	struct mono started;            /* when Corosync was last asked to start */
	struct mono no_quorum;          /* since when the running ring is without quorum; MONO_NEVER: it is not */
	struct mono hold;               /* do not start before */
	struct mono behind;             /* since when our running file is older than others'; MONO_NEVER: it is not */
	struct mono last_act[8];        /* by kind: actions are repeated, but not each step */
	/* As the lead: */
	struct mono gather;             /* newcomers are proposed then */
	struct { struct node_id id; struct mono since; } coming[ROSTER_RING_MAX];       /* newcomers that are waited for */
	unsigned n_coming;
	struct { struct node_id id; struct mono until; unsigned times; } refused[GROWTH_REFUSED_MAX];
	uint64_t proposed, written;     /* the roster version proposed last, the file written last */
	unsigned n_failed;              /* starts in a row that came to nothing */
	struct roster next;             /* what `roster` of an act points to */
	struct node_id learn;
	const char *waiting;            /* static: what the machine waits for, for status; NULL: nothing */
	struct mono wake;               /* step again then at the latest */
};

void growth_init(struct growth *g, const struct node_id *self, const struct log *log);
/* Step it whenever a fact, the agree status or the time changes. Returns the number of acts. */
unsigned growth_step(struct growth *g, const struct growth_in *in, struct growth_act act[GROWTH_ACTS_MAX]);

#endif
