/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ways to speak mDNS, with the same verbs: through the host's avahi-daemon (avahi_client.c), and by a
 * responder of our own (avahi_core.c). Only discover.c uses them.
 */
#ifndef DIRECTORD_AVAHI_WAY_H
#define DIRECTORD_AVAHI_WAY_H

#include <stdbool.h>

#include "directord/discover.h"

struct AvahiStringList;
struct AvahiAddress;
struct netaddr;

#define AVAHI_TYPE "_director._tcp"
#define AVAHI_RESOLVERS_MAX 512         /* under way at one time */
#define AVAHI_RETRIES 5                 /* of one service that does not resolve; each takes Avahi 5 s */

struct avahi_way_ops {
	/* A service that may be our own. */
	void (*found)(void *arg, const struct addr *addr, const struct discover_card *card);
	/* Is this service of a node that is known well enough? */
	bool (*known)(void *arg, const char *name);
	/* How many nodes are known that way and alive, this one among them. */
	unsigned (*company)(void *arg);
	/* It works now; or it does not, and why. */
	void (*state)(void *arg, bool works, const char *why);
};

struct avahi_core;
struct avahi_client;

/* True in the client's thread; see avahi_names.c. */
extern _Thread_local bool avahi_client_thread;

/* Records whose name, or the name they point to, begins so are this process's own; see avahi_own.c. */
void avahi_own_add(const char *prefix);
void avahi_own_remove(const char *prefix);

/* `addrs` are followed: avahi_core_addrs when they change. NULL: *why is given. */
struct avahi_core *avahi_core_new(struct ev_loop *loop, const struct discover_conf *conf, const struct netaddr *addrs,
                                  const struct avahi_way_ops *ops, void *arg, char **why);
void avahi_core_free(struct avahi_core **c);
void avahi_core_publish(struct avahi_core *c, const char *cluster);
void avahi_core_addrs(struct avahi_core *c);

/*
 * D-Bus calls block, so the client has a thread of its own; its callbacks arrive on the loop. It goes on for ever: a
 * daemon that appears or vanishes is told by `state`.
 */
struct avahi_client *avahi_client_start(struct ev_loop *loop, const struct discover_conf *conf,
                                        const struct avahi_way_ops *ops, void *arg);
void avahi_client_stop(struct avahi_client **c);
void avahi_client_publish(struct avahi_client *c, const char *cluster);

/* What both say and understand. */
struct AvahiStringList *avahi_txt_make(const struct discover_card *card);
/* Everything in a TXT record is a stranger's word: what is not well-formed is no card. */
bool avahi_txt_card(struct AvahiStringList *txt, struct discover_card *card);
struct addr avahi_addr(const struct AvahiAddress *a, int interface, unsigned port);
/* Is this interface among the configured ones? */
bool avahi_interface_ok(const struct discover_conf *conf, int interface);

#endif
