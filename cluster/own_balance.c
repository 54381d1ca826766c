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

static bool follows(const unsigned *lead, unsigned i)
{
	return lead && lead[i] != i;
}

/* How many volumes go to the node in the end when row i does: those that are served with it, and have a leg there, too. */
static unsigned weight(const struct own_row *const *row, const unsigned *lead, unsigned n, unsigned i, const struct node_id *to)
{
	unsigned count = 1;

	for (unsigned k = 0; k < n; k++)
		count += follows(lead, k) && lead[k] == i && node_id_eq(&row[k]->owner, &row[i]->owner) && own_leg_of(row[k], to);
	return count;
}

/* The volume that one of ours belongs with has gone to a node that returned: that goes there too. */
static const struct own_row *behind(const struct own_row *const *row, const unsigned *lead, unsigned n, const struct node_id *self,
				    const struct own_steady *node, unsigned n_node, struct node_id *to)
{
	for (unsigned i = 0; i < n; i++) {
		const struct node_id *at = follows(lead, i) ? &row[lead[i]]->owner : self;

		if (!node_id_eq(&row[i]->owner, self) || node_id_eq(at, self) || !own_leg_of(row[i], at))
			continue;
		for (unsigned k = 0; k < n_node; k++)
			if (node_id_eq(&node[k].id, at) && returned(&node[k])) {
				*to = *at;
				return row[i];
			}
	}
	return NULL;
}

/* The first of ours that may go to the node, if it serves so much less. */
static const struct own_row *goes(const struct own_row *const *row, const unsigned *lead, unsigned n, const struct node_id *self,
				  const struct node_id *to)
{
	unsigned mine = serves(row, n, self), theirs = serves(row, n, to);

	for (unsigned i = 0; i < n; i++) {
		if (!node_id_eq(&row[i]->owner, self) || !own_leg_of(row[i], to))
			continue;
		/* It stays with the one it belongs to, or goes after that. */
		if (follows(lead, i) && node_id_eq(&row[lead[i]]->owner, self))
			continue;
		if (theirs + 2 * weight(row, lead, n, i, to) <= mine)
			return row[i];
	}
	return NULL;
}

const struct own_row *own_balance(const struct own_row *const *row, const unsigned *lead, unsigned n, const struct node_id *self,
				  const struct own_steady *node, unsigned n_node, struct node_id *to)
{
	unsigned mine = serves(row, n, self), least = 0;
	const struct own_row *best;

	if (!at_rest(row, n))
		return NULL;
	best = behind(row, lead, n, self, node, n_node, to);
	if (best)
		return best;
	/* Who serves most goes first; of equals the lower id. */
	for (unsigned i = 0; i < n_node; i++) {
		unsigned theirs = serves(row, n, &node[i].id);

		if (theirs > mine || (theirs == mine && node_id_cmp(&node[i].id, self) < 0))
			return NULL;
	}
	/* To the one that serves least. */
	for (unsigned k = 0; k < n_node; k++) {
		unsigned theirs = serves(row, n, &node[k].id);
		const struct own_row *r = returned(&node[k]) && (!best || theirs < least) ? goes(row, lead, n, self, &node[k].id) : NULL;

		if (!r)
			continue;
		best = r;
		*to = node[k].id;
		least = theirs;
	}
	return best;
}
