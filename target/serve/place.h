/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a worker runs: the decision. A request that comes alone waits until a processor has woken up, which can take ten
 * times as long as serving it; the processor that took its packet in is awake already. So a worker whose requests come one
 * by one, all through a processor that is not its own, goes there, to see whether it is better; it leaves as soon as requests
 * come many at a time. How long a halted processor takes to wake up nobody counts, so "better" is what comes of it: as many
 * requests a second at least, and no longer waits behind others.
 * Knows no thread and no clock: place.c is arithmetic, follow.c carries it out.
 */
#ifndef SERVE_PLACE_H
#define SERVE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

#define PLACE_TURNS 256u        /* of the loop with work in them, between two looks */
#define PLACE_DEEP 4u           /* requests of one turn that are more than one by one */

/* What was seen since the last look. */
struct place_look {
	unsigned turns, tasks;
	int cpu;                /* through which all packets came in that were looked at; -1: several, or not known */
	bool apart;             /* and the worker ran on another one */
	uint64_t span_ns;       /* since the last look */
	uint64_t wait_ns;       /* behind others, for a processor, per turn */
	struct mono now;
};

enum place_act { PLACE_STAY, PLACE_GO, PLACE_LEAVE };

struct place {
	int cpu;                /* -1: wherever the system likes */
	int candidate;          /* where it would go */
	unsigned looks;         /* alike in a row, before it goes; since it went */
	uint64_t before_span_ns, before_wait_ns;        /* before it went */
	struct mono not_before; /* after it did not help */
	uint32_t pause_ms;
};

void place_init(struct place *p);
/* PLACE_GO: p->cpu is where to. If it cannot go there, place_failed. */
enum place_act place_look(struct place *p, const struct place_look *look);
/* Requests come many at a time, or it could not go: it is anywhere again, for a while. */
void place_failed(struct place *p, struct mono now);

#endif
