/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the loop's adapters: turn the loop until something holds; hanging for a minute is a failure. */
#ifndef TESTS_UNIT_LOOP_H
#define TESTS_UNIT_LOOP_H

#include <ev.h>
#include <stdbool.h>

static bool loop_late;

static void loop_give_up(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)revents;
	(void)w;
	loop_late = true;
	ev_break(loop, EVBREAK_ALL);
}

#define LOOP_UNTIL(loop, cond) do { \
		ev_timer t_; \
		loop_late = false; \
		ev_now_update(loop); \
		ev_timer_init(&t_, loop_give_up, 60., 0.); \
		ev_timer_start(loop, &t_); \
		while (!(cond) && !loop_late) \
			ev_run(loop, EVRUN_ONCE); \
		ev_timer_stop(loop, &t_); \
		CHECK(cond); \
	} while (0)

/* Turn the loop for a while, for what must not happen. */
#define LOOP_FOR(loop, seconds) do { \
		ev_timer t_; \
		loop_late = false; \
		ev_now_update(loop); \
		ev_timer_init(&t_, loop_give_up, (seconds), 0.); \
		ev_timer_start(loop, &t_); \
		while (!loop_late) \
			ev_run(loop, EVRUN_ONCE); \
	} while (0)

#endif
