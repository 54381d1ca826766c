/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On which processor a thread runs: the decision. One that waits for requests, or for answers, which come one at a time waits each
 * time until a processor has woken up, which can take ten times as long as what it does then; a processor that works already
 * need not wake up. So a thread of which that is true for a while goes to a processor that its owner names (for one who serves: where
 * the packets come in; for one who asks: where it is, and stays), to see whether it is better; it leaves as soon as they come many
 * at a time. How long a halted processor takes to wake up nobody counts, so "better" is what comes of it: as many a second at
 * least, and no longer waits behind others.
 * Knows no thread and no clock: seat.c is arithmetic, pin.c carries it out.
 */
#ifndef BASE_SEAT_H
#define BASE_SEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

#define SEAT_TURNS 256u         /* of the loop with work in them, between two looks, before it goes */
#define SEAT_DEEP 4u            /* requests of one turn that are more than one by one */

/* What was seen since the last look. */
struct seat_look {
	unsigned turns, tasks;
	int cpu;                /* the one that was named each time; -1: several, or none */
	bool apart;             /* there is something to gain by it */
	uint64_t span_ns;       /* from one turn to the next */
	uint64_t wait_ns;       /* of that: behind others, for a processor */
	struct mono now;
};

enum seat_act { SEAT_STAY, SEAT_GO, SEAT_LEAVE };

struct seat {
	int cpu;                /* -1: wherever the system likes */
	int candidate;          /* where it would go */
	unsigned looks;         /* alike in a row, before it goes; since it went */
	uint64_t before_span_ns, before_wait_ns;        /* before it went */
	struct mono not_before; /* after it did not help */
	uint32_t pause_ms;
};

void seat_init(struct seat *p);
/* SEAT_GO: p->cpu is where to. If it cannot go there, seat_failed. */
enum seat_act seat_look(struct seat *p, const struct seat_look *look);
/* Those who ask are others than before: what did not help them says nothing. */
void seat_anew(struct seat *p);
/* Requests come many at a time, or it could not go: it is anywhere again, for a while. */
void seat_failed(struct seat *p, struct mono now);

#endif
