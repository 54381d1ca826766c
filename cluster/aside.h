/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes itself out of the ring when some of its nodes do not hear each other (DESIGN 5). Totem stalls or breaks
 * again and again over one such pair, while SWIM, which has relays, sees all of them alive. So each node says whom it
 * does not hear, and from what all say each computes the same: the worst-connected node keeps out until it is better
 * connected.
 */
#ifndef CLUSTER_ASIDE_H
#define CLUSTER_ASIDE_H

#include <stdint.h>

#include "cluster/roster.h"

/*
 * hears[i] has bit j: node i of the roster hears node j. Nodes that are not in `present` (dead by SWIM) are left out of
 * it all. Returns those to keep out, so that all the others hear each other; none, if no majority of voters would be left.
 */
uint16_t aside_choose(const struct roster *r, uint16_t present, const uint16_t hears[ROSTER_RING_MAX]);

#endif
