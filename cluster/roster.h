/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roster: which nodes are in Corosync's ring, which of them vote, and with which nodeid. It is
 * agreed state: a log entry of kind AGREE_ROSTER carries the whole new roster, packed. Votes are
 * given by rule (roster_choose), never by hand; growth.h moves the ring from one roster to the next.
 */
#ifndef CLUSTER_ROSTER_H
#define CLUSTER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "cluster/id.h"

#define ROSTER_VOTERS_MAX 15            /* the largest odd number that the ring has room for */
#define ROSTER_RING_MAX 16              /* nodes in Corosync's node list */
#define ROSTER_ADDRS_MAX 2              /* links of a node */
#define ROSTER_PACKED_MAX 2048

enum roster_role {
	ROSTER_SPARE = 1,       /* in the ring, follows the log, has no vote (yet) */
	ROSTER_VOTER,
	ROSTER_LEAVING,         /* vote taken away; still in the node list until its Corosync has stopped */
};

struct roster_node {
	struct node_id id;
	uint32_t nodeid;                        /* Corosync's; never 0, never given again */
	enum roster_role role;
	struct addr addr[ROSTER_ADDRS_MAX];     /* ring addresses (port ignored); family 0: no second link */
	uint32_t host_nodeid;                   /* its nodeid in the ring that the hosts run by themselves; 0: in none */
};

struct roster {
	uint64_t version;       /* raised by one with every change: the precondition of the next one */
	uint64_t ring_epoch;    /* raised by one whenever corosync.conf or its key changes (nodes, addresses, key epoch) */
	uint32_t key_epoch;     /* of the cluster key that the ring's key is made from; 0: not said */
	uint32_t next_nodeid;   /* the nodeid for the next newcomer */
	unsigned n;
	struct roster_node node[ROSTER_RING_MAX];       /* in the order of their nodeids */
};

/* The roster of a founder: version 1, ring epoch 1, nodeid 1, one voter. */
void roster_found(struct roster *r, const struct node_id *self, const struct addr *addr, unsigned n_addr);
/* Lent; NULL if it is not in the ring. */
const struct roster_node *roster_find(const struct roster *r, const struct node_id *id);
const struct roster_node *roster_find_nodeid(const struct roster *r, uint32_t nodeid);
bool roster_votes(const struct roster *r, const struct node_id *id);
unsigned roster_n_voters(const struct roster *r);
/* How many voters make a majority. */
unsigned roster_majority(const struct roster *r);
bool roster_eq(const struct roster *a, const struct roster *b);
/* Is it well formed by itself: sizes, roles, unique ids and nodeids in order, at least one voter? */
bool roster_ok(const struct roster *r);
/* May `to` follow `from`? 0, ERR_CONFLICT (version), or ERR_INVAL (nodeids reused, ring epoch not raised ...). */
int roster_follows(const struct roster *from, const struct roster *to);

/* Changes, as the next version of the same roster. ERR_EXIST, ERR_NOENT, ERR_LIMIT, ERR_INVAL (the last voter). */
int roster_add(struct roster *r, const struct node_id *id, const struct addr *addr, unsigned n_addr);
int roster_set_role(struct roster *r, const struct node_id *id, enum roster_role role);
int roster_drop(struct roster *r, const struct node_id *id);
int roster_move(struct roster *r, const struct node_id *id, const struct addr *addr, unsigned n_addr);
int roster_host(struct roster *r, const struct node_id *id, uint32_t host_nodeid);
int roster_rekey(struct roster *r, uint32_t key_epoch);         /* ERR_EXIST: it has that one */

/*
 * The payload of a roster entry. A fixed layout of our own, because it is hashed: every node must see
 * the same bytes for ever. Records carry their length, so that a newer version may append fields.
 */
size_t roster_pack(const struct roster *r, uint8_t out[ROSTER_PACKED_MAX]);     /* bytes used */
int roster_unpack(const void *p, size_t n, struct roster *r);                   /* ERR_MALFORMED unless roster_ok */

/* What the voter rule looks at. */
struct roster_candidate {
	struct node_id id;
	bool alive;             /* by gossip */
	bool in_ring;           /* follows the log in the current view, caught up */
	bool barred;            /* drained, store failed, diverged, or otherwise not to be given a vote */
	uint64_t steady_ms;     /* for how long it has been as it is (alive, or dead) */
};

#define ROSTER_DEAD_MS 30000    /* a dead voter's vote goes to a spare after this */
#define ROSTER_STEADY_MS 500    /* a newcomer gets a vote after this */

/*
 * The rule: one node one vote, two nodes two votes (the state is on two disks), from there on the
 * largest odd number: an even voter adds a way to lose quorum and none to keep it. Who has a vote
 * keeps it while it lives; a spare replaces a voter that is dead for ROSTER_DEAD_MS or barred, longest
 * steady first, then lowest id. Gives the next roster (one change: roles of at most two nodes) and
 * true, or false if all is as it should be.
 */
bool roster_choose(const struct roster *r, const struct roster_candidate *c, unsigned n, struct roster *next);

#endif
