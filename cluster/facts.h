/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The observed side of the namespace: facts. A fact belongs to one (node, path) and only that node
 * writes it; everyone else holds copies that converge by digest and delta (scuttlebutt). Every write
 * of a node takes the next number of one counter of that node, so "I have node N up to 17" says it all.
 *
 *   max    the highest version held of a node. Held facts are complete up to it.
 *   floor  everything the node wrote at or below it and that is still true is held too, but what it
 *          deleted there has no tombstone any more. A node that starts again sets its floor to its
 *          base: nothing of its former life counts.
 *
 * Knows nothing of members: gossip moves deltas, the aggregator writes its own facts and reads all.
 */
#ifndef CLUSTER_FACTS_H
#define CLUSTER_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/id.h"
#include "cluster/obj.h"

#define FACTS_PER_NODE_MAX 65536                /* facts and tombstones of one node */
#define FACTS_BYTES_PER_NODE_MAX (16u << 20)    /* their bytes, as fact_bytes counts them */
#define FACTS_TOMBSTONES_MAX 256                /* of one node, before its floor rises */

struct fact {
	struct node_id node;            /* who observed it */
	char *path;
	uint64_t version;               /* of that node's counter */
	bool deleted;                   /* a tombstone; or, from facts_changed, a fact that is gone */
	struct attrs attrs;             /* empty when deleted */
};

/* What one side holds of one node. */
struct facts_have {
	struct node_id node;
	uint64_t floor, max;
};

struct facts;

/*
 * An empty store of node `self`, whose first own fact gets version base + 1. The base must be above
 * every version of the node's former lives; the wall clock at the start in microseconds is one, a stored
 * counter another. A base that is too low heals by facts_outrun.
 */
struct facts *facts_new(const struct node_id *self, uint64_t base);
void facts_free(struct facts **f);

/*
 * Own facts. facts_set replaces all attributes at `path` (copied; empty values are dropped) and does
 * nothing when they are equal already. ERR_INVAL for a bad path, ERR_LIMIT when the node holds too much.
 */
int facts_set(struct facts *f, const char *path, const struct attrs *attrs);
void facts_delete(struct facts *f, const char *path);           /* nothing there: no effect */
/* Delete every own fact at or below `path`. */
void facts_delete_below(struct facts *f, const char *path);
uint64_t facts_version(const struct facts *f);                  /* the last own version */

/* Reading. Tombstones are never seen here. Facts are lent until the next change of the store. */
const struct fact *facts_get(const struct facts *f, const struct node_id *node, const char *path);
/*
 * The first fact at `path` or, with none there, at the next greater path (bytewise); then one by one
 * ordered by (path, node). The caller stops where the path no longer suits it: for one object while
 * the path is equal; for all below /a start at "/a/" and go on while path_below(fact->path, "/a").
 */
const struct fact *facts_first(const struct facts *f, const char *path);
const struct fact *facts_next(const struct facts *f, const struct fact *fact);
/* Facts of one node ordered by version, all versions above `after`; tombstones included (they are what a delta carries). */
const struct fact *facts_after(const struct facts *f, const struct node_id *node, uint64_t after);
unsigned facts_count(const struct facts *f);                    /* without tombstones */
size_t facts_bytes(const struct facts *f);

/*
 * What changed since the last call, own facts too, in order of change, each (path, node) once.
 * `deleted` says the fact is gone. Lent until the next call; NULL: no more.
 */
const struct fact *facts_changed(struct facts *f);

/* Forget a node with all its facts (it was removed); they come out of facts_changed as deleted. */
void facts_drop_node(struct facts *f, const struct node_id *node);
uint64_t facts_dropped(const struct facts *f);          /* how often that was done */

/*
 * Digest and delta. facts_hash is equal on two stores that hold the same (with overwhelming
 * probability), so that two nodes at rest compare eight bytes.
 */
uint64_t facts_hash(const struct facts *f);
struct facts_have facts_have(const struct facts *f, const struct node_id *node);  /* zeros when unknown */
unsigned facts_nodes(const struct facts *f);
struct facts_have facts_node_at(const struct facts *f, unsigned i);               /* ordered by node */

/*
 * A piece of delta for one node: "with these, who held {floor, max} >= {.., from} holds up to `upto`".
 * `reset`: the receiver was below the sender's floor; it drops all it holds of that node first.
 */
struct facts_part {
	struct node_id node;
	uint64_t floor, from, upto;
	bool reset;
	const struct fact **facts;      /* ascending versions in (from, upto]; lent */
	unsigned n_facts;
};

/*
 * Fill `part` with what a holder of `theirs` lacks of theirs.node, in version order, about `budget`
 * bytes at most but one fact at least. part->facts points into `room`, which has n_room places.
 * Returns the bytes used; 0 when they lack nothing.
 */
size_t facts_delta(const struct facts *f, const struct facts_have *theirs, size_t budget,
                   struct facts_part *part, const struct fact **room, unsigned n_room);
/*
 * Take in a piece of delta about another node. ERR_MALFORMED if it breaks the rules above,
 * ERR_AGAIN if it starts above what is held (ask with a digest), ERR_LIMIT, ERR_DENIED for own facts.
 * Nothing is half-applied: what fails changes nothing. *news says whether the store changed.
 */
int facts_apply(struct facts *f, const struct facts_part *part, bool *news);
/*
 * What others hold of this node, when it may be of a former life: if it is above the own floor or counter,
 * the base was too low, and all own facts are numbered anew above it. Says whether that was needed.
 */
bool facts_outrun(struct facts *f, const struct facts_have *theirs);

/* The bytes a fact counts for limits and budgets. */
size_t fact_bytes(const struct fact *fact);

#endif
