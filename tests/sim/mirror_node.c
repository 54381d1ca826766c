/* SPDX-License-Identifier: Apache-2.0 */
/* A node's directord, as far as ownership goes: the machine of cluster/own.h between log, beats and director-target. */
#include <string.h>

#include "tests/sim/mirror_world.h"

struct node_id sim_id(unsigned node)
{
	return (struct node_id){ { [0] = (uint8_t)(node + 1) } };
}

unsigned sim_node_of(const struct node_id *id)
{
	return id->b[0] - 1u;
}

struct beat_msg {
	unsigned from;
	uint64_t number, index, silent, epoch;
	struct node_id asked;
};

static void beat_arrives(struct sim *s, unsigned node, void *data)
{
	struct beat_msg *m = data;
	struct own_in in = { .kind = OWN_IN_BEAT, .node = sim_id(m->from), .number = m->number, .asked = m->asked,
		.epoch = m->epoch };

	if (sim_reach(s, m->from, node))
		node_own(s, node, &in);
}

static void echo_arrives(struct sim *s, unsigned node, void *data)
{
	struct beat_msg *m = data;
	struct own_in in = { .kind = OWN_IN_ECHO, .node = sim_id(m->from), .number = m->number, .index = m->index,
		.silent = m->silent };

	if (sim_reach(s, m->from, node))
		node_own(s, node, &in);
}

static void timer(struct sim *s, unsigned node, void *data)
{
	struct own_in in = { .kind = OWN_IN_TIMER };

	if (*(uint64_t *)data == s->node[node].own_wake)
		node_own(s, node, &in);
}

static void timer_set(struct sim *s, unsigned node, struct mono wake)
{
	struct sim_node *n = &s->node[node];
	struct mono now = sim_clock(s, node);

	n->own_wake++;
	if (wake.ns != UINT64_MAX)
		sim_post(s, node, (wake.ns > now.ns ? (wake.ns - now.ns) / 1000 : 0) + world_between(&s->w, 100, 2000), timer,
			 &n->own_wake, sizeof(n->own_wake));
}

static void beat(struct sim *s, unsigned node, const struct own_act *a)
{
	struct beat_msg m = { .from = node, .number = a->number, .asked = a->node, .epoch = a->epoch };

	for (unsigned i = 0; i < s->n; i++)
		if (i != node && sim_reach(s, node, i))
			sim_post(s, i, world_between(&s->w, 100, s->slow ? 90000 : 4000), beat_arrives, &m, sizeof(m));
}

static void do_act(struct sim *s, unsigned node, const struct own_act *a)
{
	struct beat_msg echo = { .from = node, .number = a->number, .index = a->index, .silent = a->silent };
	struct sim_entry e = { .change = a->change };

	switch (a->kind) {
	case OWN_ACT_BEAT:
		beat(s, node, a);
		return;
	case OWN_ACT_ECHO:
		sim_post(s, sim_node_of(&a->node), world_between(&s->w, 100, s->slow ? 90000 : 4000), echo_arrives, &echo, sizeof(echo));
		return;
	case OWN_ACT_PROPOSE:
		world_trace(&s->w, "n%u proposes kind %d epoch %llu leg %u turn %llu", node, (int)a->change.kind,
			    (unsigned long long)a->change.epoch, a->change.leg[0], (unsigned long long)a->change.turn);
		log_propose(s, node, &e);
		return;
	default:
		target_act(s, node, a);
		return;
	}
}

/* ---- fencing, as in cluster/fencing.c ---- */

#define FENCE_AGAIN_MS 1000

static void fence_ends(struct sim *s, unsigned node, void *data)
{
	struct sim_fence *m = data;
	struct own_in in = { .kind = OWN_IN_FENCED, .node = sim_id(m->node), .begun = m->begun };

	if (s->node[node].own_life == m->own_life)
		node_own(s, node, &in);
}

/* Its word may come late: the node may be on again by then, and serve. */
static void fence_acts(struct sim *s, unsigned node, void *data)
{
	struct sim_fence *m = data;

	if (!sim_switch_off(s, m->node))
		return;
	if (world_chance(&s->w, 500)) {
		s->node[node].late = *m;
		sim_returns(s, m->node);
	} else {
		sim_post(s, node, world_between(&s->w, 1000, 200000), fence_ends, m, sizeof(*m));
	}
}

void node_took(struct sim *s, unsigned node)
{
	struct sim_fence *late = &s->node[node].late;

	if (!late->own_life)
		return;
	sim_post(s, node, world_between(&s->w, 0, 100000), fence_ends, late, sizeof(*late));
	late->own_life = 0;
}

static void fence_begin(struct sim *s, unsigned node, unsigned victim)
{
	struct sim_node *n = &s->node[node];
	struct sim_fence m = { .node = victim, .own_life = n->own_life, .begun = sim_clock(s, node) };

	if (s->quiet || mono_before(s->w.now, n->fenced[victim]))
		return;
	n->fenced[victim] = mono_add_ms(s->w.now, FENCE_AGAIN_MS);
	world_trace(&s->w, "n%u fences n%u", node, victim);
	sim_post(s, node, world_between(&s->w, 5000, world_chance(&s->w, 500) ? 700000 : 100000), fence_acts, &m, sizeof(m));
}

static void fences(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	struct node_id id;

	for (unsigned i = 0; s->fences && n->quorate && own_waits(n->own, i, &id); i++)
		if (!(n->members >> sim_node_of(&id) & 1))
			fence_begin(s, node, sim_node_of(&id));
}

void node_misses(struct sim *s, unsigned node)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->fences && s->node[node].quorate && !(s->node[node].members >> i & 1) && world_chance(&s->w, 300))
			fence_begin(s, node, i);
}

void node_own(struct sim *s, unsigned node, struct own_in *in)
{
	struct sim_node *n = &s->node[node];
	struct own_out out = { 0 };

	if (!n->own_up)
		return;
	in->now = sim_clock(s, node);
	own_step(n->own, in, &out);
	for (unsigned i = 0; i < out.n; i++)
		do_act(s, node, &out.act[i]);
	timer_set(s, node, out.wake);
	own_out_fini(&out);
	fences(s, node);
}

void node_log_end(struct sim *s, unsigned node)
{
	const struct sim_node *n = &s->node[node];
	struct own_in in = { .kind = OWN_IN_LOG, .index = n->log.n, .number = n->disk.view == n->log.view ? n->disk.n : 0,
		.epoch = n->log.view == n->stamp ? n->stamp : 0 };

	node_own(s, node, &in);
}

void node_applied(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	struct own_in row = { .kind = OWN_IN_ROW, .row = &n->row };
	struct own_in in = { .kind = OWN_IN_APPLIED, .index = n->applied };

	node_own(s, node, &row);
	node_own(s, node, &in);
}

void node_view(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	struct own_view v = { .quorate = n->quorate };
	struct own_in in = { .kind = OWN_IN_VIEW, .view = &v };

	for (unsigned i = 0; i < s->n; i++) {
		v.voter[v.n_voter++] = sim_id(i);
		if (n->members >> i & 1)
			v.member[v.n_member++] = sim_id(i);
		/* What gossip says of the others, and says late. */
		if (!s->node[i].t.up)
			v.down[v.n_down++] = sim_id(i);
	}
	node_own(s, node, &in);
}

void own_start(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	struct node_id id = sim_id(node);
	struct own_in up = { .kind = OWN_IN_TARGET_UP };

	n->own_up = true;
	n->own_life++;
	n->own = own_new(&id);
	node_log_end(s, node);
	node_applied(s, node);
	log_catch_up(s, node);
	if (n->stamp)
		node_view(s, node);
	if (n->t.up) {
		target_adopt(s, node);
		node_own(s, node, &up);
	}
}

void own_kill(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];

	own_free(&n->own);
	n->own_up = false;
	n->own_wake++;
}
