/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane of sim_cluster: see cluster_data.h. */
#include "tests/sim/cluster_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "cluster/volume.h"

static struct data_leg *leg_find(struct data *d, unsigned node, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < DATA_VOLUMES; i++)
		if (d->node[node].leg[i].there && memcmp(d->node[node].leg[i].uuid, uuid, 16) == 0)
			return &d->node[node].leg[i];
	return NULL;
}

/* The leg, if its node can be reached from there and has it open. */
static struct data_leg *leg_reached(struct data *d, unsigned from, const struct data_way *w)
{
	struct data_leg *l = w->node < DATA_NODES ? leg_find(d, w->node, w->uuid) : NULL;

	return l && l->open && d->node[w->node].up && (w->node == from || d->reach(d->ctx, from, w->node)) ? l : NULL;
}

static struct data_open *open_find(struct data *d, unsigned node, const uint8_t uuid[16], bool make)
{
	static const uint8_t none[16];
	struct data_node *n = &d->node[node];

	for (unsigned i = 0; i < DATA_VOLUMES; i++)
		if (memcmp(n->volume[i].uuid, uuid, 16) == 0)
			return &n->volume[i];
	for (unsigned i = 0; make && i < DATA_VOLUMES; i++)
		if (memcmp(n->volume[i].uuid, none, 16) == 0) {
			memcpy(n->volume[i].uuid, uuid, 16);
			return &n->volume[i];
		}
	return NULL;
}

static void said(struct data *d, unsigned node, const struct data_open *v, enum cluster_event event, uint64_t number, uint64_t of)
{
	struct cluster_in in = { .kind = CLUSTER_IN_VOLUME, .volume = v->uuid, .event = event, .number = number, .of = of, .epoch = v->epoch };

	d->event(d->ctx, node, &in);
}

/* ---- what it is told ---- */

/* "UUID:STATE:TURN:…", with commas; the children say where. */
static void ways_take(struct data_open *v, const struct plan_action *a, unsigned self)
{
	const char *p = attrs_get(&a->params, "p.legs");
	struct data_way old[DATA_LEGS];
	unsigned n_old = v->n_way;

	memcpy(old, v->way, sizeof(old));
	for (v->n_way = 0; p && *p && v->n_way < DATA_LEGS && v->n_way < a->n_child; v->n_way++) {
		struct data_way *w = &v->way[v->n_way];
		const struct plan_child *c = &a->child[v->n_way];
		char uuid[37], state[8];
		unsigned long long turn = 0;
		unsigned host = 0;

		*w = (struct data_way){ .node = self };
		if (sscanf(p, "%36[^:]:%7[^:]:%llu", uuid, state, &turn) != 3 || text_uuid_parse(uuid, w->uuid) != 0)
			return;
		if (c->portals)
			w->node = sscanf(c->portals, "10.0.0.%u", &host) == 1 ? host - 1 : DATA_NODES;
		w->in = strcmp(state, "in") == 0 || strcmp(state, "first") == 0 || strcmp(state, "taken") == 0 || strcmp(state, "gone") == 0;
		w->turn = turn;
		for (unsigned i = 0; i < n_old; i++)
			if (memcmp(old[i].uuid, w->uuid, 16) == 0 && old[i].turn == w->turn) {
				w->joined = old[i].joined;
				w->failed = old[i].failed;
			}
		w->joined |= w->in;
		p += strcspn(p, ",");
		p += *p == ',';
	}
}

static int serve(struct data *d, unsigned node, const struct plan_action *a)
{
	struct data_open *v = open_find(d, node, a->uuid, true);
	struct data_leg *own = NULL;

	if (!v)
		return ERR_LIMIT;
	*v = (struct data_open){ .epoch = a->epoch };
	memcpy(v->uuid, a->uuid, 16);
	ways_take(v, a, node);
	for (unsigned i = 0; i < v->n_way; i++)
		if (v->way[i].in && v->way[i].node == node)
			own = leg_reached(d, node, &v->way[i]);
	if (!own || own->fence > v->epoch)
		return ERR_AGAIN;
	for (unsigned i = 0; i < v->n_way; i++) {
		struct data_way *w = &v->way[i];
		struct data_leg *l = w->in ? leg_reached(d, node, w) : NULL;

		if (l && l->fence > v->epoch)
			return ERR_CONFLICT;
		w->failed = w->in && !l;
		if (l)
			l->fence = v->epoch;
	}
	/* They are made equal before anything is read. */
	for (unsigned i = 0; i < v->n_way; i++)
		if (v->way[i].in && !v->way[i].failed)
			leg_reached(d, node, &v->way[i])->value = own->value;
	v->open = true;
	d->owners++;
	return 0;
}

static int leg_plan(struct data *d, unsigned node, const struct plan_action *a)
{
	struct data_leg *l = leg_find(d, node, a->uuid);

	for (unsigned i = 0; i < DATA_VOLUMES && !l; i++)
		if (!d->node[node].leg[i].there && a->kind == PLAN_VOLUME_CREATE) {
			l = &d->node[node].leg[i];
			*l = (struct data_leg){ .there = true };
			memcpy(l->uuid, a->uuid, 16);
		}
	if (!l)
		return a->kind == PLAN_VOLUME_DESTROY || a->kind == PLAN_VOLUME_CLOSE ? 0 : ERR_NOENT;
	if (a->kind == PLAN_VOLUME_DESTROY)
		l->there = false;
	else
		l->open = a->kind != PLAN_VOLUME_CLOSE;
	return 0;
}

int data_plan(struct data *d, unsigned node, const struct plan_action *a)
{
	struct data_open *v = open_find(d, node, a->uuid, false);

	if (!d->node[node].up)
		return ERR_UNREACHABLE;
	switch (a->kind) {
	case PLAN_SERVE:
		return serve(d, node, a);
	case PLAN_SERVE_CHANGE:
		if (v && v->open && v->epoch == a->epoch)
			ways_take(v, a, node);
		return 0;
	case PLAN_FREEZE:
		if (v && v->epoch == a->epoch)
			v->open = false;
		return v ? 0 : ERR_NOENT;
	case PLAN_HOLD:
		if (v && a->epoch >= v->epoch)
			v->open = false;
		return 0;
	default:
		return strchr(a->name, '/') ? leg_plan(d, node, a) : 0;
	}
}

void data_lease(struct data *d, unsigned node, const struct cluster_act *a)
{
	struct data_open *v = open_find(d, node, a->volume, false);

	if (v && v->open && v->epoch == a->epoch && mono_before(v->until, a->until))
		v->until = a->until;
}

void data_up(struct data *d, unsigned node)
{
	d->node[node].up = true;
}

void data_down(struct data *d, unsigned node)
{
	struct data_node *n = &d->node[node];

	n->up = false;
	memset(n->volume, 0, sizeof(n->volume));
	for (unsigned i = 0; i < DATA_VOLUMES; i++)
		n->leg[i].open = false;
}

void data_have(const struct data *d, unsigned node, struct plan_have *have)
{
	const struct data_node *n = &d->node[node];

	for (unsigned i = 0; i < DATA_VOLUMES; i++) {
		const struct data_open *v = &n->volume[i];

		if (n->leg[i].there && n->leg[i].open)
			plan_have_volume_add(have, "?/legs/?", n->leg[i].uuid)->created = true;
		if (v->open) {
			struct plan_have_volume *h = plan_have_volume_add(have, "?", v->uuid);

			h->ours = true;
			h->epoch = v->epoch;
			h->leased = v->until.ns != 0;
		}
	}
	for (unsigned i = 0; i < have->n_volumes; i++)
		have->volumes[i].open = true;
}

/* ---- what it does ---- */

static unsigned known(struct data *d, const uint8_t uuid[16])
{
	static const uint8_t none[16];
	unsigned i = 0;

	while (i < DATA_VOLUMES - 1 && memcmp(d->known[i].uuid, uuid, 16) != 0 && memcmp(d->known[i].uuid, none, 16) != 0)
		i++;
	memcpy(d->known[i].uuid, uuid, 16);
	return i;
}

static void lost(struct data *d, unsigned node, struct data_open *v)
{
	v->open = false;
	said(d, node, v, CLUSTER_EV_LOST, 0, 0);
}

/* The number goes to all legs that count. False: a newer owner was there. */
static bool spread(struct data *d, unsigned node, struct data_open *v, uint64_t value)
{
	for (unsigned i = 0; i < v->n_way; i++) {
		struct data_way *w = &v->way[i];
		struct data_leg *l = w->joined && !w->failed ? leg_reached(d, node, w) : NULL;

		if (l && l->fence > v->epoch)
			return false;
		w->failed |= w->joined && !l;
		if (l)
			l->value = value;
	}
	return true;
}

static void answer(struct data *d, unsigned node, struct data_open *v)
{
	unsigned k = known(d, v->uuid);
	char why[160];

	if (v->epoch < d->known[k].epoch) {
		snprintf(why, sizeof(why), "I2: node %u answers under epoch %llu after one under %llu", node + 1,
			 (unsigned long long)v->epoch, (unsigned long long)d->known[k].epoch);
		d->fail(d->ctx, why);
	}
	d->known[k].epoch = v->epoch;
	for (unsigned i = 0; i < v->n_way; i++) {
		const struct data_leg *l = v->way[i].in && v->way[i].node == node ? leg_reached(d, node, &v->way[i]) : NULL;

		if (l && l->fence == v->epoch && l->value < d->known[k].acked) {
			snprintf(why, sizeof(why), "I1: node %u reads %llu under epoch %llu after %llu was acknowledged", node + 1,
				 (unsigned long long)l->value, (unsigned long long)v->epoch, (unsigned long long)d->known[k].acked);
			d->fail(d->ctx, why);
		}
	}
	if (v->writing > d->known[k].acked)
		d->known[k].acked = v->writing;
	d->answered += v->writing != 0;
	v->writing = 0;
}

static void leg_back(struct data *d, unsigned node, struct data_open *v, unsigned i)
{
	struct data_way *w = &v->way[i];
	struct data_leg *l = leg_reached(d, node, w), *own = NULL;

	for (unsigned k = 0; k < v->n_way; k++)
		if (v->way[k].in && v->way[k].node == node)
			own = leg_reached(d, node, &v->way[k]);
	if (!l || !own || l->fence > v->epoch)
		return;
	l->fence = v->epoch;
	l->value = own->value;
	w->joined = true;
	w->failed = false;
}

static void volume_tick(struct data *d, unsigned node, struct data_open *v)
{
	bool waits = false;

	if (!v->writing && world_chance(d->w, 700))
		v->writing = ++d->next;
	if (!spread(d, node, v, v->writing ? v->writing : d->next)) {
		lost(d, node, v);
		return;
	}
	for (unsigned i = 0; i < v->n_way && v->open; i++) {
		struct data_way *w = &v->way[i];

		if (w->failed) {
			waits = true;
			said(d, node, v, CLUSTER_EV_LEG_FAILED, i, w->turn);
		} else if (!w->in && w->joined) {
			said(d, node, v, CLUSTER_EV_LEG_READY, i, w->turn);
		} else if (!w->in) {
			leg_back(d, node, v, i);
		}
	}
	if (v->open && !waits && mono_before(d->w->now, v->until))
		answer(d, node, v);
}

void data_tick(struct data *d, unsigned node)
{
	for (unsigned i = 0; d->node[node].up && i < DATA_VOLUMES; i++)
		if (d->node[node].volume[i].open)
			volume_tick(d, node, &d->node[node].volume[i]);
}

static void row_check(struct data *d, const struct own_row *row)
{
	uint64_t value = 0;
	bool any = false;

	for (unsigned i = 0; i < row->n_leg; i++)
		for (unsigned n = 0; n < DATA_NODES && row->leg[i].state == OWN_LEG_IN; n++) {
			const struct data_leg *l = leg_find(d, n, row->leg[i].uuid);

			if (l && any && l->value != value)
				d->fail(d->ctx, "I3: legs in sync differ at the end");
			value = l ? l->value : value;
			any |= l != NULL;
		}
	for (unsigned i = 0; i < row->n_leg; i++)
		if (row->leg[i].state != OWN_LEG_IN)
			d->fail(d->ctx, "I8: a leg is not in sync at the end");
}

void data_check(struct data *d, const struct catalog *c)
{
	const struct object *o = NULL;
	struct own_row row;

	while ((o = volume_next(catalog_tree(c), o))) {
		unsigned k = known(d, o->uuid), nodes = 0;

		volume_row(catalog_tree(c), o, &row);
		for (unsigned n = 0; n < DATA_NODES; n++) {
			const struct data_open *v = open_find(d, n, o->uuid, false);

			nodes += v && v->open && v->epoch == row.epoch && mono_before(d->w->now, v->until);
		}
		if (nodes != 1)
			d->fail(d->ctx, nodes ? "I2: several nodes serve a volume at the end" : "I8: nobody serves a volume at the end");
		if (d->known[k].acked == 0)
			d->fail(d->ctx, "I8: nothing was ever answered");
		row_check(d, &row);
	}
}
