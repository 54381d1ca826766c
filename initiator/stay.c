/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop whose commands come back one by one keeps to the processor that its thread is on. Linux wakes who is answered on a processor
 * that idles, and so a target that came to where its packets come from (target/serve/follow.c is ours) finds the next one come in
 * elsewhere. Of the two one has to stay, and the one who asks does.
 */
#include "config.h"

#include <sched.h>

#include "initiator/priv.h"

void stay_turn(struct director_iscsi_loop *loop)
{
	unsigned n = loop->n_done;

	loop->n_done = 0;
	if (!n || !loop->stay)
		return;
	/* The caller may run it on another thread than before. */
	if (loop->pin.tid && !pthread_equal(loop->pinned, pthread_self()))
		pin_end(&loop->pin);
	if (!loop->pin.tid) {
		loop->pinned = pthread_self();
		pin_begin(&loop->pin);
	}
	if (pin_turn(&loop->pin, n, loop->now))
		pin_sample(&loop->pin, sched_getcpu(), true);
}

static void end(void *arg)
{
	struct director_iscsi_loop *loop = arg;

	pin_end(&loop->pin);
}

void director_iscsi_loop_stay(struct director_iscsi_loop *loop, int yes)
{
	loop->stay = yes;
	loop->stay_said = true;
	if (!yes)
		loop_call(loop, end, loop);
}
