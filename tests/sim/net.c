/* SPDX-License-Identifier: Apache-2.0 */
/* The model of the mesh. */
#include "tests/sim/net.h"

#include <string.h>

#include "base/mem.h"

struct packet {
	unsigned from;
	size_t len;
	uint8_t bytes[];
};

static void arrive(void *ctx, unsigned node, uint64_t x, void *p)
{
	struct net *n = ctx;
	struct packet *k = p;

	if (!n->cut[k->from][node])
		n->deliver(n->ctx, node, k->from, k->bytes, k->len);
}

void net_send(struct net *n, unsigned from, unsigned to, const uint8_t *p, size_t len)
{
	unsigned copies = 1 + world_chance(n->w, n->twice);

	if (n->cut[from][to])
		return;
	while (copies--) {
		struct packet *k;

		if (world_chance(n->w, n->loss))
			continue;
		k = mem_alloc(sizeof(*k) + len);
		k->from = from;
		k->len = len;
		memcpy(k->bytes, p, len);
		world_in_us(n->w, world_between(n->w, 50, world_chance(n->w, 10) ? n->delay_us + 50 * NET_DELAY_US : n->delay_us), arrive,
			    n, to, 0, k);
	}
}

void net_heal(struct net *n)
{
	memset(n->cut, 0, sizeof(n->cut));
	n->loss = n->twice = 0;
	n->delay_us = NET_DELAY_US;
}
