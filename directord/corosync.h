/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Corosync as an engine without an administrator: its file written from a plain struct, its process started,
 * watched, reloaded and stopped. It knows nothing of rosters; who may be in the file and in what order nodes are
 * told is the pure growth protocol's business (a member with another file than the rest stops the ring).
 *
 * Everything lives in one private directory: corosync.conf, authkey, uidgid.d/, state/, corosync.log, pid.
 * A Corosync that outlived the daemon is taken over again; it is not restarted.
 */
#ifndef DIRECTORD_COROSYNC_H
#define DIRECTORD_COROSYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct corosync;
struct ev_loop;
struct log;

#define COROSYNC_NODES_MAX 16
#define COROSYNC_PORT 5405

struct corosync_node {
	uint32_t nodeid;                /* 1 and up; never used again for another node */
	char name[64];
	struct addr link[2];            /* the second has family 0 on nodes with one network, and is left out unless all have it; ports are ignored */
};

/* All of a configuration. Two nodes with equal structs have equal files. */
struct corosync_conf {
	char cluster[64];               /* the lineage, as text */
	uint8_t key[32];                /* the ring's key; expanded to Corosync's authkey */
	uint64_t version;               /* the roster index it was made from; 0 is none */
	uint16_t port;                  /* 0: COROSYNC_PORT */
	unsigned token_ms, consensus_ms;        /* 0: by the number of nodes */
	struct corosync_node nodes[COROSYNC_NODES_MAX];
	unsigned n_nodes;
};

/* Is it one that Corosync would take? `why` (may be NULL) is given a sentence on error. Pure. */
int corosync_conf_check(const struct corosync_conf *conf, char **why);
/* Have all nodes a second link that can be used? `why` (may be NULL) is given a sentence if not. Pure. */
bool corosync_conf_second(const struct corosync_conf *conf, char **why);
/* The file's text; given. Nodes are sorted by nodeid. `dir` is the private directory. Pure. */
char *corosync_conf_text(const struct corosync_conf *conf, const char *dir);
/* 16 bytes that name the configuration: equal on nodes that hold the same one, whatever their directories. Pure. */
void corosync_conf_hash(const struct corosync_conf *conf, uint8_t hash[16]);

enum corosync_state {
	COROSYNC_STOPPED,
	COROSYNC_RUNNING,               /* the process is there; the seat (cpg.h) says when it serves */
	COROSYNC_BROKEN,                /* it died and is started again after a pause */
};

struct corosync_options {
	const char *dir;                /* private directory; created */
	const char *program;            /* NULL: "corosync" found in PATH and the sbin directories */
	bool host;                      /* use the Corosync that the host runs: never write, start or stop */
	struct ev_loop *loop;           /* the default loop (child watchers) */
	const struct log *log;
	/* The process appeared, died (`why` says how) or was given up. May be NULL. */
	void (*changed)(void *arg, enum corosync_state state, const char *why);
	void *arg;
};

/* What Corosync works with right now, read from its cmap. */
struct corosync_active {
	uint64_t version;               /* of the corosync_conf it has loaded; 0 if it is not ours */
	uint8_t hash[16];               /* its corosync_conf_hash; zero if it is not ours */
	uint32_t self;
	uint32_t nodeids[128];
	unsigned n_nodes;
};

/* Prepares the directory and takes over a Corosync that still runs from it. ERR_NOENT: no such program. */
int corosync_open(struct corosync **c, const struct corosync_options *o, char **why);
/* Lets go without stopping the process (a restart of the daemon finds it again). Pending calls are not answered. */
void corosync_close(struct corosync **c);

enum corosync_state corosync_state(const struct corosync *c);
/* The process id, 0 when it does not run. */
int corosync_pid(const struct corosync *c);

/* Answers of the calls below, on the loop. `why` is NULL or says what was wrong; borrowed. */
typedef void corosync_done_fn(void *arg, int err, const char *why);

/*
 * Make `conf` the file: written beside, checked by `corosync -t` (which refuses one without an address of this
 * machine), renamed, each step fsynced. The running process does not notice until corosync_reload. At once: ERR_INVAL
 * for one that corosync_conf_check refuses, ERR_BUSY while another write is under way, ERR_NOTSUP in host mode.
 */
int corosync_write(struct corosync *c, const struct corosync_conf *conf, corosync_done_fn *done, void *arg);
/*
 * Answers of the next two come within 5 s, else ERR_TIMEOUT: a stalled ring answers nobody.
 *
 * Tell all Corosyncs of the ring to read their files again (one node's call serves all). ERR_AGAIN: the ring is
 * stalled or not there. ERR_INVAL: it refused its file and goes on with what it had.
 */
int corosync_reload(struct corosync *c, corosync_done_fn *done, void *arg);
/* What is active. `active` is borrowed and valid when err is 0. */
typedef void corosync_active_fn(void *arg, int err, const struct corosync_active *active);
int corosync_active(struct corosync *c, corosync_active_fn *done, void *arg);

/* Keep it running from now on (restarted with back-off 0.2 to 10 s when it dies). Needs a written file: ERR_NOENT. */
int corosync_start(struct corosync *c);
/* Stop and keep stopped: leaves the ring in good order, or after 3 s is killed. `now`: killed at once. */
void corosync_stop(struct corosync *c, bool now);

/* The configuration that was last written, read back from the directory; ERR_NOENT if there is none. Version and hash only. */
int corosync_written(const struct corosync *c, uint64_t *version, uint8_t hash[16]);

#endif
