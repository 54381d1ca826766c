/* SPDX-License-Identifier: Apache-2.0 */
/* A small cluster with the facts of its nodes, for tests of what follows from both. */
#ifndef TESTS_UNIT_NAMES_WORLD_H
#define TESTS_UNIT_NAMES_WORLD_H

#include "cluster/facts.h"
#include "cluster/names.h"
#include "tests/unit/txns.h"

struct world {
	struct catalog *c;
	struct facts *f;        /* of node 1; the others' facts come in as deltas */
	struct names *n;
	struct mono now;
};

static inline struct node_id id_of(unsigned i)
{
	struct node_id id = { { 0 } };

	id.b[15] = (uint8_t)i;
	return id;
}

/* "path key=value …" as an observation of node `i`. */
static inline void observe(struct world *w, unsigned i, const char *text)
{
	static uint64_t version = 1000;
	struct txn t = { 0 };
	char op[1024];
	const struct fact *f;

	snprintf(op, sizeof(op), "+ %s", text);
	txn_op_text(&t, op);
	if (i == 1) {
		CHECK_EQ(facts_set(w->f, t.ops[0].path, &t.ops[0].attrs), 0);
	} else {
		struct node_id id = id_of(i);
		struct facts_have have = facts_have(w->f, &id);
		struct fact one = { .node = id, .path = t.ops[0].path, .attrs = t.ops[0].attrs, .version = ++version,
		                    .deleted = t.ops[0].attrs.n == 0 };
		const struct fact *list[] = { &one };
		struct facts_part part = { .node = id, .floor = have.floor, .from = have.max, .upto = version,
		                           .facts = list, .n_facts = 1 };
		bool news;

		CHECK_EQ(facts_apply(w->f, &part, &news), 0);
	}
	txn_fini(&t);
	while ((f = facts_changed(w->f)))
		names_fact_changed(w->n, f);
}

static inline struct world world_new(void)
{
	struct node_id self = id_of(1);
	struct world w = { .c = small_cluster(), .f = facts_new(&self, 1), .now = { 5000000000ull } };

	w.n = names_new(w.c, w.f);
	for (unsigned i = 1; i <= 3; i++) {
		struct node_id id = id_of(i);
		char name[8];

		snprintf(name, sizeof(name), "n%u", i);
		names_node(w.n, &id, name, NODE_ALIVE, w.now);
	}
	return w;
}

static inline void world_free(struct world *w)
{
	names_free(&w->n);
	facts_free(&w->f);
	catalog_free(&w->c);
}

#endif
