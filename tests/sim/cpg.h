/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of Corosync's CPG, with what makes it hard to use: total order within a ring; members that
 * stay together are delivered the same before the next view, members that part are not: past the
 * first message that a part lacks, it is still delivered those that its own members sent. Delivery goes
 * on in minorities. A process that joins or leaves changes the view in its place of the order; a
 * lost machine freezes the ring until it is formed anew.
 */
#ifndef TESTS_SIM_CPG_H
#define TESTS_SIM_CPG_H

#include <stddef.h>

#include "tests/sim/world.h"

#define CPG_NODES 16

struct cpg;

struct cpg_ops {
	void (*deliver)(void *ctx, unsigned node, unsigned from, const uint8_t *p, size_t n);
	void (*view)(void *ctx, unsigned node, const unsigned *member, unsigned n);
};

struct cpg *cpg_new(struct world *w, const struct cpg_ops *ops, void *ctx);
void cpg_free(struct cpg **c);
/* Its Corosync starts; it meets those of the same name (cluster_name, and the node list that goes with it). */
void cpg_up(struct cpg *c, unsigned node, unsigned name);
void cpg_down(struct cpg *c, unsigned node);            /* its Corosync stops or its machine dies; the process too */
void cpg_join(struct cpg *c, unsigned node);            /* its process joins the group */
void cpg_leave(struct cpg *c, unsigned node);           /* its process is gone; Corosync goes on */
bool cpg_is_up(const struct cpg *c, unsigned node);
unsigned cpg_ring_size(const struct cpg *c, unsigned node);     /* Corosync nodes in its ring, with and without the process */
void cpg_cast(struct cpg *c, unsigned node, const uint8_t *p, size_t n);
/* Only nodes with equal numbers reach each other. */
void cpg_split(struct cpg *c, const unsigned side[CPG_NODES]);
/* Nothing is ordered for this long, and nobody is told. */
void cpg_stall(struct cpg *c, unsigned ms);

#endif
