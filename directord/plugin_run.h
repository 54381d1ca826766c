/* SPDX-License-Identifier: Apache-2.0 */
/* One run of an executable plugin: argument, standard input, bounded standard output, deadline. For plugins.c. */
#ifndef DIRECTORD_PLUGIN_RUN_H
#define DIRECTORD_PLUGIN_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct plugin_run;

enum plugin_run_end {
	RUN_EXITED,             /* `code` is its exit status */
	RUN_SIGNAL,             /* `code` is the signal that ended it */
	RUN_LATE,               /* killed at the deadline */
	RUN_CHATTY,             /* killed for too much output */
	RUN_NOT_STARTED,        /* `code` is the errno */
};

struct plugin_run_result {
	enum plugin_run_end end;
	int code;
	const char *out;        /* NUL after n_out bytes; lent for the call */
	size_t n_out;
	const char *err;        /* the beginning of its standard error; lent */
};

/*
 * Start argv (NULL-terminated; argv[0] is a path) with `in` on its standard input, in a process group of
 * its own. done is called once, from the loop, never from inside; the run is freed after it. `loop` is the
 * default loop (child watchers need it).
 */
struct plugin_run *plugin_run_start(struct ev_loop *loop, const char *const argv[], const char *in,
	uint32_t deadline_ms, size_t output_max, void (*done)(void *arg, const struct plugin_run_result *), void *arg);
/* Kill it; done is not called. Nulls the pointer. */
void plugin_run_cancel(struct plugin_run **);

#endif
