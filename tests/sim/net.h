/* SPDX-License-Identifier: Apache-2.0 */
/* A model of the mesh: datagrams of any size, delayed, lost, doubled, reordered; links by direction. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include <stddef.h>

#include "tests/sim/world.h"

#define NET_NODES 16
#define NET_DELAY_US 2000               /* when all is well */

struct net {
	struct world *w;
	void (*deliver)(void *ctx, unsigned node, unsigned from, const uint8_t *p, size_t n);
	void *ctx;
	bool cut[NET_NODES][NET_NODES];         /* [from][to] */
	unsigned loss, twice;                   /* per mille */
	unsigned delay_us;                      /* usual, at most */
};

void net_send(struct net *n, unsigned from, unsigned to, const uint8_t *p, size_t len);
void net_heal(struct net *n);

#endif
