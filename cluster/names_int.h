/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the view, for names.c and names_status.c. */
#ifndef CLUSTER_NAMES_INT_H
#define CLUSTER_NAMES_INT_H

#include "cluster/names.h"

struct names_node {
	struct node_id id;
	char *name;
	enum names_node_state state;
	struct mono heard;
};

struct names {
	const struct catalog *catalog;
	const struct facts *facts;
	struct names_node *nodes;       /* ordered by id */
	unsigned n_nodes, cap_nodes;
	struct names_event *events;     /* seq modulo NAMES_EVENTS_MAX */
	uint64_t seq;
};

const struct names_node *names_node_by_name(const struct names *n, const char *name);
/* Fill status, reason and derived of an entry whose sides are filled. Does it exist by derivation (a node, a commit)? */
bool names_derive(const struct names *n, struct mono now, struct names_entry *e);
/* Has this node carried out `path` up to `index`? What is missing goes to `why`. */
enum names_status names_node_status(const struct names *n, const char *node, const char *path, uint64_t index, struct why *why);
bool names_worse(enum names_status a, enum names_status b);

/* ---- names_volume.c. `task`: for this commit, which is done when it was so once, whatever later ones ask for; 0: as it is now ---- */

enum names_status names_volume_status(const struct names *n, const struct object *v, uint64_t task, struct why *why);
enum names_status names_leg_status(const struct names *n, const struct object *leg, uint64_t task, struct why *why);
/* A commit asked that node `want` serves it, nobody has asked for another since, and it does not yet. want may be NULL. */
bool names_volume_awaited(const struct names *n, const struct object *v, const char *want, struct why *why);
/* The node that serves it, by name; NULL: none does. Lent. */
const char *names_volume_node(const struct names *n, const struct object *v);
void names_derive_volume(const struct names *n, struct names_entry *e);
void names_derive_leg(const struct names *n, struct names_entry *e);
void names_derive_drain(const struct names *n, struct names_entry *e);

/* Offer the tasks that are commits: the first after `after`, see names_child. */
void names_offer_tasks(const struct names *n, const char *after, char *best, bool *any);

#endif
