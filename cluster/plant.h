/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted bugs. The simulator's own build defines DIRECTOR_PLANT and sets the number of a bug, to show
 * that its checkers would find it; everywhere else PLANTED() is the constant 0.
 */
#ifndef CLUSTER_PLANT_H
#define CLUSTER_PLANT_H

enum plant {
	PLANT_NONE,
	PLANT_ACK_EARLY,        /* acknowledge before the entry is durable */
	PLANT_NO_PROMISE,       /* say "promised" without having stored it, and forget it */
	PLANT_MINORITY,         /* one vote less than a majority commits */
	PLANT_LONGEST,          /* recovery takes the longest log, whatever its epoch */
	PLANT_NO_DEDUP,         /* the sequencer does not look for the request id */
	PLANT_CPG_ORDER,        /* the order of CPG is the order of the log: everyone makes the entries */
	PLANT_OLD_ROSTER,       /* a roster change needs the new majority only */
	PLANT_SKEWED_APPLY,     /* one node applies differently (set by the simulated state machine) */
	PLANT_SILENT,           /* proposals are dropped at view loss without an answer */
	PLANT_AMNESIA,          /* a voter whose disk was lost counts at once */
	PLANT_LATE_COPY,        /* a proposal that comes directly is taken although it was refused */
	PLANT_MAX
};

#ifdef DIRECTOR_PLANT
extern unsigned director_plant;
#define PLANTED(bug) (director_plant == (bug))
#else
#define PLANTED(bug) 0
#endif

#endif
