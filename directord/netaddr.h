/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's own addresses, and when they change (rtnetlink). Loopback is left out. */
#ifndef DIRECTORD_NETADDR_H
#define DIRECTORD_NETADDR_H

#include <stdbool.h>

#include "base/addr.h"

struct ev_loop;
struct netaddr;

#define NETADDR_MAX 64

struct netaddr_entry {
	struct addr addr;               /* link-local IPv6 with scope; no port */
	unsigned ifindex;
	bool running;                   /* the interface has a carrier */
	char ifname[16];
};

/* `changed` is called a moment after the list changed, never from netaddr_new. */
struct netaddr *netaddr_new(struct ev_loop *loop, void (*changed)(void *arg), void *arg);
void netaddr_free(struct netaddr **n);
/* Global addresses first, then link-local ones; lent until the next change. */
const struct netaddr_entry *netaddr_list(const struct netaddr *n, unsigned *count);

#endif
