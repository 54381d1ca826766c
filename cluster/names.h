/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespace as everyone sees it: the agreed objects (catalog) and the nodes' facts joined into one
 * tree, each object with its desired side, its observed sides and what follows from both: is it as it
 * was asked to be? Nothing is stored twice: this is a view, plus a bounded ring of numbered change
 * events and the list of commits that are still being carried out.
 */
#ifndef CLUSTER_NAMES_H
#define CLUSTER_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "cluster/catalog.h"
#include "cluster/id.h"
#include "cluster/obj.h"
#include "cluster/schema.h"

#define NAMES_EVENTS_MAX 8192           /* change events that are kept */
#define NAMES_TASKS_SHOWN 64            /* finished commits that are still listed below /tasks */

enum names_node_state { NODE_ALIVE = 1, NODE_SUSPECT, NODE_DEAD, NODE_LEFT, NODE_PENDING };

enum names_status {
	STATUS_CONVERGED = 1,   /* every node concerned reports what is desired (or nothing is to be done) */
	STATUS_PENDING,         /* some have not yet; `reason` says who and why */
	STATUS_FAILED,          /* a node tried and reports an error; it tries again */
	STATUS_OBSERVED,        /* no desired side: only reported */
};

/* One node's report about an object. Lent like the facts. */
struct names_fact {
	struct node_id node;
	const char *node_name;  /* NULL: a node that is not known (any more) */
	const struct attrs *attrs;
	uint64_t age_ms;        /* since its node was last heard of; 0 while it is alive: then it says so itself when it changes */
};

struct names_entry {
	char path[PATH_LEN_MAX];
	const struct schema_type *type;         /* NULL: a folder */
	const struct object *desired;           /* NULL: none. Lent */
	struct names_fact *facts;               /* ordered by node id; the entry's own array */
	unsigned n_facts, cap;
	enum names_status status;
	struct why reason;                      /* PENDING, FAILED */
	struct attrs derived;                   /* what follows: a node's state, a task's progress */
};

void names_entry_fini(struct names_entry *e);

struct names;
struct facts;           /* cluster/facts.h */
struct fact;

/* Both are borrowed for the life of the view; names_catalog replaces the first (after catalog_load). */
struct names *names_new(const struct catalog *c, const struct facts *f);
void names_free(struct names **n);
void names_catalog(struct names *n, const struct catalog *c);

/*
 * ---- what the aggregator tells ----
 * A node is known by this call (membership), under the name it gives itself; `heard` is when it last was.
 * An event is made when name or state changed.
 */
void names_node(struct names *n, const struct node_id *id, const char *name, enum names_node_state state,
                struct mono heard);
void names_node_gone(struct names *n, const struct node_id *id);
/* After each catalog_apply that changed something. */
void names_committed(struct names *n, const struct catalog_result *r);
/* For each fact out of facts_changed. */
void names_fact_changed(struct names *n, const struct fact *f);
/* The name of a node, lent; NULL if it is not known. And back. */
const char *names_node_name(const struct names *n, const struct node_id *id);
const struct node_id *names_node_id(const struct names *n, const char *name);
enum names_node_state names_node_state(const struct names *n, const char *name); /* 0: not known */

/*
 * ---- reading ----
 * `path` into *e, which must be zeroed or come from an earlier call (it is reused). ERR_NOENT if neither
 * side has it and it is no folder.
 */
int names_get(const struct names *n, const char *path, struct mono now, struct names_entry *e);
/* The first name below `path` that comes after `after` (NULL: the very first) into out (PATH_LEN_MAX): the name only. */
bool names_child(const struct names *n, const char *path, const char *after, char *out);
/*
 * Call each(arg, e) for `path` and what is below it, `depth` levels down (0: itself only), in order; a
 * return other than 0 ends the walk and is returned. e is lent for the call. ERR_NOENT as above.
 */
int names_walk(const struct names *n, const char *path, unsigned depth, struct mono now,
               int (*each)(void *arg, const struct names_entry *e), void *arg);
/* A value as people see it: observed by the node concerned, else desired, else the default. NULL: none. Lent. */
const char *names_value(const struct names_entry *e, const char *key);

/*
 * ---- commits being carried out ----
 * Progress of commit `index`: how many of the objects it touched are as desired. ERR_NOENT: not remembered.
 */
struct names_task {
	uint64_t index;
	enum names_status status;       /* CONVERGED: done */
	unsigned done, total;           /* objects */
	struct why reason;              /* of the first that is not done */
	bool canceled;                  /* a later commit, which says so, took it back before it was done */
};

#define NAMES_TASK_CANCELED "cancel task %" PRIu64     /* the message of that commit */

int names_task(const struct names *n, uint64_t index, struct mono now, struct names_task *t);

/* ---- numbered events ---- */

enum names_event_kind {
	EVENT_CREATED = 1, EVENT_SET, EVENT_DELETED,    /* the desired side, by commit `index` */
	EVENT_OBSERVED, EVENT_GONE,                     /* the report of `node` */
	EVENT_NODE,                                     /* membership: state or name of `node` */
	EVENT_RESET,                                    /* everything may have changed (a snapshot was loaded) */
};

struct names_event {
	uint64_t seq;           /* this process's count, from 1, without holes */
	enum names_event_kind kind;
	char *path;
	uint64_t index;         /* desired side: the commit */
	struct node_id node;    /* observed side */
};

uint64_t names_seq(const struct names *n);      /* of the newest event; 0: none yet */
/*
 * The event after `seq`, lent until the next change; NULL if there is none yet. *gap says that events
 * between were lost (or seq is not of this process): read everything anew, go on from names_seq.
 */
const struct names_event *names_changes_since(const struct names *n, uint64_t seq, bool *gap);

#endif
