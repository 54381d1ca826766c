/* SPDX-License-Identifier: Apache-2.0 */
/* Who votes: a rule over the roster and what is seen of its nodes, the same wherever it is asked. */
#include "cluster/roster.h"

static const struct roster_candidate *seen(const struct roster_candidate *c, unsigned n, const struct node_id *id)
{
	for (unsigned i = 0; i < n; i++)
		if (node_id_eq(&c[i].id, id))
			return &c[i];
	return NULL;
}

/* May it be given a vote? */
static bool ready(const struct roster_candidate *c)
{
	return c && c->alive && c->in_ring && !c->barred && c->steady_ms >= ROSTER_STEADY_MS;
}

/* Should its vote go to another, if there is one? A node that nobody has seen is judged when it was seen. */
static bool spent(const struct roster_candidate *c)
{
	return c && (c->barred || (!c->alive && c->steady_ms >= ROSTER_DEAD_MS));
}

static unsigned votes_for(unsigned nodes)
{
	if (nodes <= 2)
		return nodes;
	return nodes >= ROSTER_VOTERS_MAX ? ROSTER_VOTERS_MAX : (nodes - 1) | 1;
}

/* The spare that is next in line, not `but`; NULL if there is none. */
static const struct roster_node *next_spare(const struct roster *r, const struct roster_candidate *c, unsigned n,
					    const struct roster_node *but)
{
	const struct roster_node *best = NULL;
	const struct roster_candidate *bc = NULL;

	for (unsigned i = 0; i < r->n; i++) {
		const struct roster_node *x = &r->node[i];
		const struct roster_candidate *xc = seen(c, n, &x->id);

		if (x->role != ROSTER_SPARE || x == but || !ready(xc))
			continue;
		if (!best || xc->steady_ms > bc->steady_ms ||
		    (xc->steady_ms == bc->steady_ms && node_id_cmp(&x->id, &best->id) < 0)) {
			best = x;
			bc = xc;
		}
	}
	return best;
}

static struct roster_node *of(struct roster *next, const struct roster_node *n)
{
	return (struct roster_node *)roster_find(next, &n->id);
}

bool roster_choose(const struct roster *r, const struct roster_candidate *c, unsigned n, struct roster *next)
{
	const struct roster_node *first = next_spare(r, c, n, NULL), *second;
	unsigned votes = roster_n_voters(r), spares = 0, want;

	*next = *r;
	if (!first)
		return false;
	for (unsigned i = 0; i < r->n; i++) {
		if (r->node[i].role == ROSTER_SPARE)
			spares += ready(seen(c, n, &r->node[i].id));
		if (r->node[i].role != ROSTER_VOTER || !spent(seen(c, n, &r->node[i].id)))
			continue;
		next->node[i].role = ROSTER_SPARE;
		of(next, first)->role = ROSTER_VOTER;
		next->version++;
		return true;
	}
	want = votes_for(votes + spares);
	if (want <= votes)
		return false;
	of(next, first)->role = ROSTER_VOTER;
	second = next_spare(r, c, n, first);
	if (second && want >= votes + 2)
		of(next, second)->role = ROSTER_VOTER;
	next->version++;
	return true;
}
