/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating addresses on this host: put there and taken away, announced, asked for; and heard when another machine claims
 * one of them. Decides nothing: cluster/float.h does.
 */
#ifndef DIRECTORD_FLOATADDR_H
#define DIRECTORD_FLOATADDR_H

#include "cluster/float.h"

struct ev_loop;
struct floataddr;
struct log;

struct floataddr_ops {
	void (*host)(void *arg, const struct float_host *h, unsigned n);        /* what the host has: once, and when it changed */
	void (*gone)(void *arg, const struct addr *ip);                         /* one that we put there vanished */
	void (*conflict)(void *arg, const struct addr *ip, const char *who);
	void (*failed)(void *arg, const struct addr *ip, const char *why);      /* FLOAT_ADD; may be called from inside floataddr_act */
};

/* Without netlink it works as on a host that has no interface. `ops` is copied, `log` borrowed for life. */
struct floataddr *floataddr_new(struct ev_loop *loop, const struct floataddr_ops *ops, void *arg, const struct log *log);
/* Look at the host and call `host`, now. */
void floataddr_tell(struct floataddr *f);
void floataddr_act(struct floataddr *f, const struct float_act *a);
/* Takes away what is there. */
void floataddr_free(struct floataddr **f);

#endif
