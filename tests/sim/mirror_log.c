/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of agreement for sim_mirror: views, one log, committed when a majority has it on disk. What the
 * real one does in cluster/agree*.c is checked by sim_agree; this has its promises and its delays.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/mirror_world.h"

unsigned sim_voters(const struct sim *s)
{
	return s->n;
}

static bool majority(const struct sim *s, unsigned mask)
{
	return (unsigned)__builtin_popcount(mask) > sim_voters(s) / 2;
}

static unsigned sequencer(const struct sim_node *n)
{
	return (unsigned)__builtin_ctz(n->members);
}

struct log_msg {
	enum { LOG_JOIN = 1, LOG_TAKE, LOG_APPEND, LOG_STORED, LOG_COMMIT, LOG_PROPOSE } kind;
	unsigned from, to, index, id;
	uint64_t stamp;
	struct sim_entry entry;
};

struct log_whole {
	struct log_msg m;
	struct sim_log log;
};

static void arrive(struct sim *s, unsigned node, void *data);

/* Totem sends again until the view ends. */
static void retry(struct sim *s, unsigned node, void *data)
{
	struct log_whole *lw = data;

	if (s->node[node].stamp > lw->m.stamp)
		return;
	if (s->node[node].stamp < lw->m.stamp || !sim_reach(s, lw->m.from, node))
		sim_post(s, node, 30000, retry, lw, sizeof(*lw));
	else
		arrive(s, node, data);
}

static void cast(struct sim *s, unsigned from, unsigned to, struct log_msg m, const struct sim_log *log)
{
	struct log_whole *lw = mem_zalloc(sizeof(*lw));

	m.from = from;
	m.to = to;
	m.stamp = s->node[from].stamp;
	lw->m = m;
	if (log)
		lw->log = *log;
	sim_post(s, to, from == to ? 10 : world_between(&s->w, 100, 3000), retry, lw, sizeof(*lw));
	free(lw);
}

static void cast_all(struct sim *s, unsigned from, struct log_msg m, const struct sim_log *log)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[from].members >> i & 1)
			cast(s, from, i, m, log);
}

/* ---- disk ---- */

static void stored(struct sim *s, unsigned node, void *data)
{
	struct log_whole *lw = data;
	struct sim_node *n = &s->node[node];

	if (lw->log.view > n->disk.view || (lw->log.view == n->disk.view && lw->log.n > n->disk.n))
		n->disk = lw->log;
	node_log_end(s, node);
	if (n->stamp == lw->m.stamp && n->log.view == n->stamp && n->disk.view == n->stamp)
		cast(s, node, sequencer(n), (struct log_msg){ .kind = LOG_STORED, .index = n->disk.n }, NULL);
}

static void store(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	struct log_whole *lw = mem_zalloc(sizeof(*lw));

	node_log_end(s, node);
	lw->m.stamp = n->stamp;
	lw->log = n->log;
	sim_post(s, node, world_between(&s->w, 50, world_between(&s->w, 0, 9) ? 2000 : 60000), stored, lw, sizeof(*lw));
	free(lw);
}

static void apply(struct sim *s, unsigned node, unsigned commit)
{
	struct sim_node *n = &s->node[node];

	if (commit > n->log.n)
		commit = n->log.n;
	if (commit > n->log.commit)
		n->log.commit = commit;
	if (!n->own_up)
		return;
	while (n->applied < n->log.commit) {
		const struct sim_entry *e = &s->entry[n->log.id[n->applied++]];
		int err = 0;

		if (e->change.kind)
			err = own_apply(&n->row, &e->change);
		else
			n->row.want = e->want;
		world_trace(&s->w, "n%u applies %u: kind %d leg %u err %d -> owner %u epoch %llu left %llu", node, n->applied,
			    (int)e->change.kind, e->change.leg[0], err, sim_node_of(&n->row.owner),
			    (unsigned long long)n->row.epoch, (unsigned long long)n->row.left);
		node_applied(s, node);
		if (err == 0 && e->change.kind == OWN_TAKE && sim_node_of(&n->row.owner) == node)
			sim_took(s, node);
	}
}

void log_catch_up(struct sim *s, unsigned node)
{
	apply(s, node, s->node[node].log.commit);
}

static void committed(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	unsigned best = n->log.commit;
	bool became;

	for (unsigned i = n->log.n; i > best; i--) {
		unsigned mask = 0;

		for (unsigned j = 0; j < s->n; j++)
			if (n->acked[j] >= i)
				mask |= 1u << j;
		if (majority(s, mask) || (sim_plant == SIM_PLANT_DISK && mask)) {
			best = i;
			break;
		}
	}
	became = !n->active && best == n->log.n;
	n->active |= became;
	if (best > n->log.commit || became)
		cast_all(s, node, (struct log_msg){ .kind = LOG_COMMIT, .index = best }, NULL);
}

/* ---- views ---- */

static void begin(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];
	const struct sim_log *best = NULL;

	if (n->joined != n->members || !n->quorate)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		const struct sim_log *l = &n->seen[i];

		if ((n->members >> i & 1) && (!best || l->view > best->view || (l->view == best->view && l->n > best->n)))
			best = l;
	}
	cast_all(s, node, (struct log_msg){ .kind = LOG_TAKE }, best);
}

static void arrive(struct sim *s, unsigned node, void *data)
{
	struct log_whole *lw = data;
	struct sim_node *n = &s->node[node];
	struct log_msg *m = &lw->m;

	switch (m->kind) {
	case LOG_JOIN:
		n->joined |= 1u << m->from;
		n->seen[m->from] = lw->log;
		begin(s, node);
		return;
	case LOG_TAKE:
		lw->log.commit = lw->log.commit > n->log.commit ? lw->log.commit : n->log.commit;
		n->log = lw->log;
		n->log.view = n->stamp;
		apply(s, node, n->log.commit);
		store(s, node);
		return;
	case LOG_PROPOSE:
		if (!n->active || n->log.n == SIM_LOG || s->n_entry == 4 * SIM_LOG)
			return;
		s->entry[s->n_entry] = m->entry;
		cast_all(s, node, (struct log_msg){ .kind = LOG_APPEND, .index = n->log.n, .id = s->n_entry++ }, NULL);
		n->log.id[n->log.n++] = s->n_entry - 1;
		return;
	case LOG_APPEND:
		if (node != m->from) {
			if (m->index != n->log.n || n->log.view != n->stamp) {  /* reordered: again, a little later */
				if (m->index > n->log.n || n->log.view != n->stamp)
					sim_post(s, node, 500, retry, lw, sizeof(*lw));
				return;
			}
			n->log.id[n->log.n++] = m->id;
		}
		store(s, node);
		if (n->told > n->log.commit)    /* the word that it is committed came first */
			apply(s, node, n->told);
		if (sim_plant == SIM_PLANT_DISK && node == m->from) {
			n->acked[node] = n->log.n;
			committed(s, node);
		}
		return;
	case LOG_STORED:
		if (m->index >= n->acked[m->from])
			n->acked[m->from] = m->index;
		if (n->log.view == n->stamp)
			committed(s, node);
		return;
	case LOG_COMMIT:
		if (n->log.view == n->stamp) {
			n->told = m->index > n->told ? m->index : n->told;
			apply(s, node, m->index);
		}
		return;
	}
}

static void install(struct sim *s, unsigned node, void *data)
{
	uint64_t gen = *(uint64_t *)data;
	struct sim_node *n = &s->node[node];

	if (gen != s->gen)
		return;
	n->members = 0;
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i].up && sim_reach(s, node, i) && !mono_before(s->w.now, s->node[i].paused))
			n->members |= 1u << i;
	n->stamp = gen * 16 + sequencer(n) + 1;
	n->quorate = majority(s, n->members);
	n->active = false;
	n->joined = n->told = 0;
	memset(n->acked, 0, sizeof(n->acked));
	world_trace(&s->w, "n%u view %llx members %x%s", node, (unsigned long long)n->stamp, n->members, n->quorate ? "" : " no quorum");
	node_view(s, node);
	node_misses(s, node);
	cast(s, node, sequencer(n), (struct log_msg){ .kind = LOG_JOIN }, &n->log);
}

void log_change_in(struct sim *s, uint64_t us, uint64_t spread_us)
{
	s->gen++;
	for (unsigned i = 0; i < s->n; i++)
		if (s->node[i].up)
			sim_post(s, i, us + world_between(&s->w, 0, spread_us), install, &s->gen, sizeof(s->gen));
}

void log_change(struct sim *s)
{
	/* Corosync needs 1.6 s; what is safe at once is safe then. */
	log_change_in(s, world_chance(&s->w, 300) ? world_between(&s->w, 1000, 100000) : world_between(&s->w, 300000, 1700000), 200000);
}

void log_propose(struct sim *s, unsigned node, const struct sim_entry *e)
{
	struct sim_node *n = &s->node[node];

	if (n->quorate)
		cast(s, node, sequencer(n), (struct log_msg){ .kind = LOG_PROPOSE, .entry = *e }, NULL);
}

void log_power_lost(struct sim *s, unsigned node)
{
	struct sim_node *n = &s->node[node];

	n->log = n->disk;
	n->stamp = 0;
	n->quorate = n->active = false;
	n->members = 0;
}
