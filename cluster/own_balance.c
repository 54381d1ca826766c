/* SPDX-License-Identifier: Apache-2.0 */
/* Spreading what is served over the nodes again, once one has come back: one volume at a time, and never to and fro. */
#include "cluster/own.h"

#include <stddef.h>

static unsigned serves(const struct own_row *const *row, unsigned n, const struct node_id *node)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += node_id_eq(&row[i]->owner, node);
	return count;
}

/* Nothing is on its way anywhere, and nothing lacks a leg. */
static bool at_rest(const struct own_row *const *row, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (node_id_none(&row[i]->owner) || !node_id_none(&row[i]->want))
			return false;
		for (unsigned k = 0; k < row[i]->n_leg; k++)
			if (row[i]->leg[k].state != OWN_LEG_IN)
				return false;
	}
	return true;
}

static bool returned(const struct own_steady *s)
{
	return s->steady_ms >= OWN_STEADY_MS && s->steady_ms <= OWN_RETURNED_MS;
}

const struct own_row *own_balance(const struct own_row *const *row, unsigned n, const struct node_id *self,
				  const struct own_steady *node, unsigned n_node, struct node_id *to)
{
	unsigned mine = serves(row, n, self), least = 0;
	const struct own_row *best = NULL;

	if (!at_rest(row, n))
		return NULL;
	/* What is served by way of a LUN alone goes to the node with a leg of its own, whatever that serves besides. */
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < n_node && node_id_eq(&row[i]->owner, self) && !own_leg_of(row[i], self); k++)
			if (returned(&node[k]) && own_leg_of(row[i], &node[k].id)) {
				*to = node[k].id;
				return row[i];
			}
	/* Who serves most goes first; of equals the lower id. */
	for (unsigned i = 0; i < n_node; i++) {
		unsigned theirs = serves(row, n, &node[i].id);

		if (theirs > mine || (theirs == mine && node_id_cmp(&node[i].id, self) < 0))
			return NULL;
	}
	/* To the one that serves least. */
	for (unsigned k = 0; k < n_node; k++) {
		unsigned theirs = serves(row, n, &node[k].id);

		if (!returned(&node[k]) || theirs + 2 > mine || (best && theirs >= least))
			continue;
		for (unsigned i = 0; i < n; i++)
			/* Not away from its own leg to a node that has none. */
			if (node_id_eq(&row[i]->owner, self) && own_reaches(row[i], &node[k].id) &&
			    (own_leg_of(row[i], &node[k].id) || !own_leg_of(row[i], self))) {
				*to = node[k].id;
				best = row[i];
				least = theirs;
				break;
			}
	}
	return best;
}
