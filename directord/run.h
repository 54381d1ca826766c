/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner: turns what the adapters bring into cluster_in, steps the cluster, and does what cluster_out
 * says. It decides nothing. Everything is on one loop; the loop's turn is one batch.
 */
#ifndef DIRECTORD_RUN_H
#define DIRECTORD_RUN_H

#include <stdint.h>

#include "base/log.h"
#include "directord/conf.h"

struct ev_loop;
struct run;

/* Everything up and started. `conf` and `log` are borrowed for life. On error NULL, *why (given) is a sentence, *err the code. */
struct run *run_new(struct ev_loop *loop, struct conf *conf, struct log *log, int *err, char **why);
/* Say goodbye (a graceful leave, told apart from failure by the others), then call `done`. */
void run_leave(struct run *r, void (*done)(void *arg), void *arg);
void run_free(struct run **r);
/* The configuration was reloaded and *conf changed in what can be changed live. */
void run_reconf(struct run *r);

#endif
