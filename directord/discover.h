/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else is out there: mDNS (_director._tcp), by the avahi-daemon of this host where one answers, else
 * by a responder of our own. It yields candidates and nothing more: nothing that mDNS says is
 * trusted, and a node that vanishes from it is not dead.
 */
#ifndef DIRECTORD_DISCOVER_H
#define DIRECTORD_DISCOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "cluster/id.h"

struct ev_loop;
struct log;
struct discover;

enum discover_mode { DISCOVER_AUTO, DISCOVER_AVAHI, DISCOVER_EMBEDDED, DISCOVER_OFF };

/* What is said of a node in its TXT record. */
struct discover_card {
	struct node_id id;
	char cluster[17];               /* hash of the cluster, hex; "" when in none */
	unsigned version;               /* newest protocol version it speaks */
};

struct discover_conf {
	enum discover_mode mode;
	struct discover_card self;
	uint16_t port;                  /* gossip's */
	char *const *interfaces;        /* names; n 0: all but loopback */
	unsigned n_interfaces;
	bool (*known)(void *arg, const struct node_id *id);     /* NULL, or: it need not be asked where this node is */
	unsigned (*company)(void *arg);                         /* NULL, or: how many nodes are known and alive, this one among them */
	const struct log *log;
};

/*
 * A node other than ourselves was found or found again at `addr` (with gossip's port; link-local IPv6 with scope).
 * Called once per address, and again when its card changes; a link-local address only if no better one of that node is found.
 */
typedef void discover_fn(void *arg, const struct addr *addr, const struct discover_card *card);

struct discover *discover_new(struct ev_loop *loop, const struct discover_conf *conf, discover_fn *found, void *arg);
/* Says goodbye on the wire where it can be done at once. */
void discover_free(struct discover **d);
/* The cluster we are in changed: publish it. */
void discover_publish(struct discover *d, const char *cluster);
/* Which way is used now: "avahi-daemon", "embedded", "off", or "none (reason)". Lent. */
const char *discover_status(const struct discover *d);

#endif
