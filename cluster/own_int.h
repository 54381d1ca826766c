/* SPDX-License-Identifier: Apache-2.0 */
/* What own.c keeps. */
#ifndef CLUSTER_OWN_INT_H
#define CLUSTER_OWN_INT_H

#include "cluster/own.h"

#define OWN_BEATS 8                     /* that may still be echoed */

enum own_phase {
	OWN_CLOSED,             /* director-target does not have it */
	OWN_OPENING,
	OWN_OPEN,
	OWN_FREEZING,
	OWN_FROZEN,             /* closed, and to be passed on */
};

struct own_vol {
	struct own_row row;
	enum own_phase phase;
	uint64_t used;                  /* the epoch under which a director-target was told to open it; 0: not under the row's */
	uint64_t opened;                /* the newest of them all */
	struct mono wait;               /* until then an earlier right may be in use */
	struct node_id before;          /* whose, when it is that of one node alone; none: nobody can say */
	struct mono taken;              /* when the row as it is was applied */
	uint64_t index;                 /* that entry's, or one after it; 0: not known yet */
	uint64_t order;                 /* the first epoch in whose order it is for sure */
	struct mono until;              /* the lease that director-target has */
	struct mono again;              /* no proposal before */
	struct mono reopen;
	struct mono gone, try;          /* since when the owner is away; when it is our turn */
	struct mono leg_again[OWN_LEGS_MAX];
	bool leased;                    /* under this epoch */
	bool refused;                   /* the pass was */
	unsigned n_failed;              /* openings under this epoch, one after the other */
};

struct own_echo {
	struct node_id node;
	uint64_t end;
	bool says;                      /* when it last echoed who was asked about: */
	struct mono heard;
};

struct own_beat {
	uint64_t number;
	struct mono sent;
	uint64_t order;                 /* our log's then */
	struct node_id asked;
	struct own_echo echo[OWN_NODES_MAX];
	unsigned n_echo;
};

struct own {
	struct node_id self;
	struct mono now;
	struct own_view view;
	uint64_t applied, log_end, durable, order, newest;       /* newest: of the orders */
	struct own_heard { struct node_id node; struct mono at; } heard[OWN_NODES_MAX];   /* when we echoed it last */
	unsigned n_heard;
	struct mono born;               /* nobody else was echoed since */
	struct mono voters_since;
	bool target;
	struct own_vol *vol;
	unsigned n_vol, cap_vol;
	struct own_beat beat[OWN_BEATS];
	uint64_t number;
	struct mono beat_due, until;
	struct own_load { struct node_id node; unsigned n; } load[OWN_NODES_MAX];       /* of this step, once it is asked for */
	unsigned n_load;
	bool counted;
};

#endif
