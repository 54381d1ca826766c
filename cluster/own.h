/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may serve a mirrored volume: the agreed row and its four changes, and one node's machine that keeps
 * leases, succeeds to dead owners, moves volumes and puts legs in and out of sync. Pure: see
 * doc/ownership.md for the rules and why they are safe. The log, datagrams and director-target are the caller's.
 */
#ifndef CLUSTER_OWN_H
#define CLUSTER_OWN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "cluster/id.h"

#define OWN_LEGS_MAX 4                  /* three copies, and one that is being moved */
#define OWN_NODES_MAX 64                /* of a view */
#define OWN_LEASE_MS 1000
#define OWN_BEAT_MS 250
#define OWN_SILENT_MAX_MS 60000          /* longer is not needed */
#define OWN_WAIT_MS (OWN_LEASE_MS + OWN_LEASE_MS / 100 + 50)    /* clocks that do not run alike */
#define OWN_PATIENCE_MS 2000            /* between the first candidate and the next */
#define OWN_AGAIN_MS 300                /* before the same proposal is made again */
#define OWN_DOWN_MS 3000                /* a director-target that does not come back is given up */
#define OWN_REOPEN_MS 1000
#define OWN_FAILED_MAX 10               /* openings that fail before another node may try, if no leg is this node's */

/* ---- the agreed row ---- */

enum own_state { OWN_LEG_NEW, OWN_LEG_OUT, OWN_LEG_IN };

struct own_leg {
	uint8_t uuid[16];
	struct node_id node;
	enum own_state state;
	bool lun;                       /* it is a LUN of a foreign target, which every node reaches: `node` is none */
	uint64_t turn;                  /* rises with every change of state */
	uint64_t member;                /* the turn at which it last became in-sync; 0: never */
	uint64_t since;                 /* the last epoch that is known to have served with it in sync */
};

struct own_row {
	uint8_t uuid[16];
	struct node_id owner;           /* none: nobody yet */
	struct node_id want;            /* none: as it is */
	uint64_t epoch;
	uint64_t left;                  /* all rights up to this epoch are over */
	bool begun;                     /* it has been served: a blank leg has lost something */
	struct own_leg leg[OWN_LEGS_MAX];
	unsigned n_leg;
};

enum own_change_kind { OWN_TAKE = 1, OWN_PASS, OWN_OUT, OWN_IN, OWN_BEGIN };

/* One change of one row, with its precondition: the row's epoch is `epoch`. */
struct own_change {
	enum own_change_kind kind;
	uint8_t volume[16];
	uint64_t epoch;
	struct node_id node;            /* TAKE, PASS: the new owner */
	uint8_t leg[16];                /* OUT, IN */
	uint64_t turn;                  /* IN: the leg's */
	bool served;                    /* OUT: this epoch has answered with the leg in sync */
};

/* 0, or ERR_CONFLICT: a precondition does not hold, and the row is untouched. The same everywhere and for ever. */
int own_apply(struct own_row *row, const struct own_change *c);
const struct own_leg *own_leg(const struct own_row *row, const uint8_t uuid[16]);
/* The node's in-sync leg; NULL: it has none. */
const struct own_leg *own_leg_of(const struct own_row *row, const struct node_id *node);
/* An in-sync leg that every node reaches; NULL: there is none. */
const struct own_leg *own_leg_lun(const struct own_row *row);
/* Has it a leg in sync, its own or one that every node reaches? Else it may not own the volume. */
bool own_reaches(const struct own_row *row, const struct node_id *node);

/* ---- load ---- */

#define OWN_ALONE_MS 4000               /* without a quorum: longer than agreement needs after a change of the ring */
#define OWN_STEADY_MS 60000             /* a node that returned gets something to serve after this, */
#define OWN_RETURNED_MS 600000          /* but not for ever: what people moved on purpose stays where it is */

struct own_steady {
	struct node_id id;
	uint64_t steady_ms;             /* for how long it has been there, director-target too. Only fit ones, not drained. */
};

/*
 * Which of its volumes shall `self` pass on, and to whom, so that the load is spread again? All rows are given; lead[i] (lead may
 * be NULL) is the index of the volume that row[i] had better be served with, i: none. Those that belong together go
 * together, one after the other, as far as their legs allow. Only while nothing else moves and all legs are in sync, and only
 * to a node that serves less, by twice as many as will go, or that has a leg of a volume of whom `self` has none (a LUN that
 * both reach). NULL: none.
 */
const struct own_row *own_balance(const struct own_row *const *row, const unsigned *lead, unsigned n, const struct node_id *self,
				  const struct own_steady *node, unsigned n_node, struct node_id *to);

/* ---- one node ---- */

struct own;

enum own_in_kind {
	OWN_IN_TIMER = 1,       /* out.wake was reached */
	OWN_IN_VIEW,            /* view: a new view, or the quorum or the roster changed */
	OWN_IN_ROW,             /* row: applied, as of `index`. Rows first, then APPLIED. */
	OWN_IN_GONE,            /* volume: deleted */
	OWN_IN_APPLIED,         /* index: all rows as of this index were given */
	OWN_IN_LOG,             /* index: the end of our own log, stored or not; number: the last entry that is, with all before it; epoch: in whose order it is, 0: in none */
	OWN_IN_BEAT,            /* a datagram: node, number, asked: of whom it wants to know, none: of nobody; epoch: its log's */
	OWN_IN_ECHO,            /* a datagram: node, number, index: the end of that voter's log, silent: as in the action */
	OWN_IN_TARGET_UP,       /* director-target is there and has nothing of ours open but what was ADOPTED */
	OWN_IN_TARGET_DOWN,     /* its process is dead, not only silent */
	OWN_IN_ADOPTED,         /* before UP: it has volume open under epoch; number 1: and leased before */
	OWN_IN_OPENED,          /* volume, epoch, err: every in-sync leg is claimed */
	OWN_IN_FROZEN,          /* volume, epoch: quiet and closed */
	OWN_IN_LOST,            /* volume, epoch: it closed it, since its legs must be judged anew */
	OWN_IN_LEG_FAILED,      /* volume, epoch, leg */
	OWN_IN_LEG_READY,       /* volume, epoch, leg, turn */
	OWN_IN_REFUSED,         /* change: was refused or not committed */
	OWN_IN_FENCED,          /* node, begun: it was switched off, by something that began then: nothing that ran on it before runs on */
};

struct own_view {
	struct node_id member[OWN_NODES_MAX];   /* all that are in it, us too */
	unsigned n_member;
	struct node_id voter[OWN_NODES_MAX];    /* the roster's, in the view or not */
	unsigned n_voter;
	struct node_id unfit[OWN_NODES_MAX];    /* must not be chosen as owner while there is another: drained */
	unsigned n_unfit;
	struct node_id down[OWN_NODES_MAX];     /* their director-target does not run */
	unsigned n_down;
	struct node_id bare[OWN_NODES_MAX];     /* witnesses: they never own what every node reaches */
	unsigned n_bare;
	bool quorate;
	bool mute;                              /* our log says nothing about what we acknowledged once: our echoes do not count */
};

struct own_in {
	enum own_in_kind kind;
	struct mono now;                /* CLOCK_BOOTTIME, always */
	const struct own_view *view;
	const struct own_row *row;
	const uint8_t *volume, *leg;
	uint64_t index, number, epoch, turn, silent;
	struct node_id node, asked;
	struct mono begun;
	int err;
	const struct own_change *change;
};

enum own_act_kind {
	OWN_ACT_BEAT = 1,       /* number: to all other voters; node: who is asked about, or none; epoch: our log's */
	OWN_ACT_ECHO,           /* to node: number, index, silent: for so many ms, plus one, who was asked about was not echoed; 0: not said */
	OWN_ACT_PROPOSE,        /* change */
	OWN_ACT_OPEN,           /* row: open under row.epoch; claim the legs; then OPENED */
	OWN_ACT_LEGS,           /* row: the legs' agreed state changed */
	OWN_ACT_FREEZE,         /* row: then FROZEN */
	OWN_ACT_CLOSE,          /* row: not ours any more: close, answer nothing */
	OWN_ACT_LEASE,          /* row.uuid, row.epoch, until */
};

struct own_act {
	enum own_act_kind kind;
	struct node_id node;
	uint64_t number, index, silent, epoch;
	struct own_change change;
	struct own_row row;
	struct mono until;
};

/* In the order to do them; director-target must see its own in this order. */
struct own_out {
	struct own_act *act;
	unsigned n, cap;
	struct mono wake;
};

struct own *own_new(const struct node_id *self);
void own_free(struct own **o);
/* Appends to `out`; the caller resets out->n when all is done. */
void own_step(struct own *o, const struct own_in *in, struct own_out *out);
void own_out_fini(struct own_out *out);
/* The i-th volume of ours that waits for the lease of one other node alone: which node. False after the last. */
bool own_waits(const struct own *o, unsigned i, struct node_id *node);
/*
 * Until when nobody else may serve the volume, as of the last step, whether director-target does or not; zero: this node
 * may not. For what follows the right without answering in its name: floating addresses.
 */
struct mono own_right(const struct own *o, const uint8_t volume[16]);

bool own_listed(const struct node_id *list, unsigned n, const struct node_id *node);

/* Planted bugs of the simulator, as in cluster/plant.h. */
enum own_plant { OWN_PLANT_NONE, OWN_PLANT_NO_ECHO = 1, OWN_PLANT_NO_WAIT, OWN_PLANT_NO_END, OWN_PLANT_FENCED, OWN_PLANT_SILENT };
#ifdef DIRECTOR_PLANT
extern unsigned own_plant;
#define OWN_PLANTED(bug) (own_plant == (bug))
#else
#define OWN_PLANTED(bug) 0
#endif

#endif
