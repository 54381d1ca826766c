/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directord's hold on director-target. It adopts the one that runs (through its socket), else spawns it in
 * a session of its own, so that it survives us (I11); sees its death at once (the socket closes) and
 * restarts it with back-off; carries requests to it and its answers and events back. It decides nothing:
 * what to ask for is the plan's business.
 *
 * Everything happens on the one libev loop; callbacks are never called from inside target_link_send.
 */
#ifndef DIRECTORD_TARGET_H
#define DIRECTORD_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/target.h"

struct ev_loop;
struct log;
struct target_link;

struct target_link_conf {
	const char *program;            /* path of director-target; NULL: only adopt, never spawn */
	const char *socket;             /* "/run/director/target.sock" */
	const char *pid_file;           /* "/run/director/target.pid": pid and instance of the one we know; NULL: none */
	const char *log_file;           /* where its standard error goes; NULL: ours */
	const char *const *args;        /* further arguments, NULL-terminated; NULL: none */
	uint32_t backoff_ms_min, backoff_ms_max;        /* between starts; 0: 100 and 10000 */
};

struct target_link_ops {
	/*
	 * Connected: `hello` says which process, `list` what it has already (all of it: after this, events
	 * keep it current). `adopted`: it ran before we did. Requests may be sent from here on.
	 */
	void (*up)(void *arg, const struct target_hello *hello, const struct target_list *list, bool adopted);
	/*
	 * It is gone, with all its sessions, or its socket is; open requests were answered with
	 * ERR_UNREACHABLE before.
	 */
	void (*down)(void *arg, const char *why);
	/* Nobody answers at its socket, so none runs: told before one is started. May be NULL. */
	void (*absent)(void *arg);
	void (*event)(void *arg, const struct target_event *ev);
	/* A start failed, or a version does not fit: for status and log. May be NULL. */
	void (*trouble)(void *arg, const char *text);
};

/* Starts working at once. `conf`, its strings and `ops` are copied, `log` is borrowed for the link's life. */
struct target_link *target_link_new(struct ev_loop *loop, const struct target_link_conf *conf,
                                    const struct target_link_ops *ops, void *arg, const struct log *log);
/*
 * Close the socket; director-target runs on. Open requests are dropped without an answer. NULLs the
 * pointer.
 */
void target_link_free(struct target_link **link);
bool target_link_is_up(const struct target_link *link);
/* The process's pid, 0 when not up. */
uint32_t target_link_pid(const struct target_link *link);

/*
 * Send `req` (kind and its part; the id is chosen here; borrowed). `done` is called once with the reply,
 * lent for the call; reply->err is ERR_UNREACHABLE when the target went away before it answered. Returns
 * ERR_UNREACHABLE when not up, ERR_LIMIT for what director-target would not take (then `done` is not called), else 0. `done` may be NULL.
 */
int target_link_send(struct target_link *link, const struct target_msg *req,
                     void (*done)(void *arg, const struct target_msg *reply), void *arg);

/*
 * End director-target for good (it finishes what runs, at most `ms`); no restart after. `done` when it is
 * gone.
 */
void target_link_stop(struct target_link *link, uint32_t ms, void (*done)(void *arg), void *arg);

#endif
