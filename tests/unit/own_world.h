/* SPDX-License-Identifier: Apache-2.0 */
/* One volume with a leg at A and one at B, as the ownership of one node sees it: what goes in at which time, and what came out. */
#ifndef TESTS_UNIT_OWN_WORLD_H
#define TESTS_UNIT_OWN_WORLD_H

#include <string.h>

#include "cluster/own.h"
#include "tests/unit/check.h"

static const struct node_id A = { { 1 } }, B = { { 2 } }, C = { { 3 } };
static struct own_out out;
static struct own *own;

static inline struct mono ms(uint64_t t)
{
	return (struct mono){ (1000 + t) * 1000000 };
}

static inline void step(struct own_in in, uint64_t at)
{
	in.now = ms(at);
	out.n = 0;
	own_step(own, &in, &out);
}

static inline const struct own_act *did(enum own_act_kind kind)
{
	for (unsigned i = 0; i < out.n; i++)
		if (out.act[i].kind == kind)
			return &out.act[i];
	return NULL;
}

static inline struct own_row row(struct node_id owner, uint64_t epoch)
{
	struct own_row r = { .uuid = { 7 }, .owner = owner, .epoch = epoch, .begun = true, .n_leg = 2 };

	r.leg[0] = (struct own_leg){ .uuid = { 8 }, .node = A, .state = OWN_LEG_IN };
	r.leg[1] = (struct own_leg){ .uuid = { 9 }, .node = B, .state = OWN_LEG_IN };
	return r;
}

#endif
