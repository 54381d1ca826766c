/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving director-target: plan actions become its requests, what it has and tells becomes what the cluster
 * takes in (CLUSTER_IN_HAVE, CLUSTER_IN_DONE, facts of sessions). Sits between directord/target.h and
 * cluster/cluster.h; decides nothing.
 */
#ifndef DIRECTORD_DRIVE_H
#define DIRECTORD_DRIVE_H

#include <stdint.h>

#include "base/log.h"
#include "cluster/cluster.h"
#include "cluster/keys.h"
#include "cluster/plan.h"
#include "proto/target.h"

struct ev_loop;
struct drive;

struct drive_ops {
	void (*have)(void *arg, const struct plan_have *have);                  /* CLUSTER_IN_HAVE; NULL: gone */
	void (*done)(void *arg, uint64_t act, int err, const char *text);       /* CLUSTER_IN_DONE */
	void (*fact)(void *arg, const char *path, const struct attrs *attrs);   /* CLUSTER_IN_FACT */
	void (*facts_gone)(void *arg, const char *path);                        /* CLUSTER_IN_FACTS_GONE */
	const char *(*node_name)(void *arg);
	unsigned (*portal_group)(void *arg);    /* the node's portal group tag; 0: it has none yet */
	/* CLUSTER_IN_VOLUME: what an event of director-target says about a volume */
	void (*volume)(void *arg, const struct target_event *ev);
};

struct drive_conf {
	struct ev_loop *loop;
	const struct log *log;
	const char *program;            /* director-target; NULL: beside this program, else the installed one */
	const char *run;                /* run directory: socket, pid and log file of director-target */
	const char *state;              /* state directory: director-target keeps reservations in `target` below it */
	const char *volumes;            /* directory of file volumes without a path of their own */
	const char *plugins;            /* plugin path for director-target; NULL: its default */
	bool stay;                      /* its threads do not go to the processors of their packets */
};

/* Adopts or starts director-target. Callbacks come from the loop, never from inside. Strings are copied. */
struct drive *drive_new(const struct drive_conf *conf, const struct drive_ops *ops, void *arg);
/* Lets go; director-target runs on (I11). */
void drive_free(struct drive **d);
/* Carry out `a` (borrowed) and answer done(act, ...) once. */
void drive_act(struct drive *d, uint64_t act, const struct plan_action *a);
/* Inner portals, with commas, and the keys that logins there are proven with: for the target that runs, and later ones. */
void drive_inner(struct drive *d, const char *portals, const struct keys *keys);
/* A lease: gathered, and sent with what comes next, or by drive_flush. */
void drive_lease(struct drive *d, const uint8_t volume[16], uint64_t epoch, struct mono until);
void drive_flush(struct drive *d);
/* Agreed reservations; answers done(act, ...) once. */
void drive_keep(struct drive *d, uint64_t act, const struct cluster_keep *k);
/* End director-target too: a node that leaves for good. */
void drive_stop(struct drive *d, void (*done)(void *arg), void *arg);

#endif
