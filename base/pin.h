/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's seat (base/seat.h), carried out: it is counted, the decision is asked for, and the thread bound and let go. Costs two
 * additions per turn of the thread's loop, what the owner looks at per 32, and a read of /proc per 256. Whoever binds the process
 * or the thread to processors is obeyed: it goes only to one that the process may use, and not if its own processors are not
 * those of the process. No two threads of a process are bound to the same processor.
 */
#ifndef BASE_PIN_H
#define BASE_PIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mono.h"
#include "base/seat.h"

struct pin {
	struct seat seat;
	pid_t tid;
	unsigned turns, tasks, n_samples, n_apart;      /* since the last look */
	struct mono began;
	int seen;                       /* the processor of all samples */
	int stat_fd;                    /* -1: it goes nowhere */
	uint64_t waited_ns;
};

/* It goes nowhere: before pin_begin, and after pin_end. */
void pin_init(struct pin *p);
/* The calling thread is the one. */
void pin_begin(struct pin *p);
/* A turn of its loop is over, in which so many requests (or answers) came. True: name a processor, by pin_sample. On its thread. */
bool pin_turn(struct pin *p, unsigned tasks, struct mono now);
/* `apart`: there is something to gain by going there. -1: none. */
void pin_sample(struct pin *p, int cpu, bool apart);
/* Where it is bound to; -1: nowhere. */
static inline int pin_cpu(const struct pin *p)
{
	return p->seat.cpu;
}
/* Lets go. While the thread exists. */
void pin_end(struct pin *p);

#endif
