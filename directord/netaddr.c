/* SPDX-License-Identifier: Apache-2.0 */
/* Own addresses: getifaddrs says which, a netlink socket says when. */
#include "directord/netaddr.h"

#include <errno.h>
#include <ev.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "directord/rtaddr.h"
#include "directord/sock.h"

#define SETTLE 0.05             /* an interface that comes up tells several things at once */

struct netaddr {
	struct ev_loop *loop;
	ev_io io;
	ev_timer settle;
	void (*changed)(void *arg);
	void *arg;
	struct netaddr_entry list[NETADDR_MAX];
	unsigned n;
};

static int entry_cmp(const void *x, const void *y)
{
	const struct netaddr_entry *a = x, *b = y;
	int d = addr_is_linklocal(&a->addr) - addr_is_linklocal(&b->addr);

	if (d == 0)
		d = (a->ifindex > b->ifindex) - (a->ifindex < b->ifindex);
	return d ? d : addr_cmp(&a->addr, &b->addr);
}

/* Addresses that float are here for a target; they are no address of this node. */
static unsigned without_floating(struct netaddr_entry list[NETADDR_MAX], unsigned n)
{
	struct mnl_socket *nl = rtaddr_open();
	struct float_host *host = NULL;
	unsigned n_host = 0, kept = 0;

	if (!nl || rtaddr_list(nl, &host, &n_host) < 0)
		n_host = 0;
	for (unsigned i = 0; i < n; i++) {
		bool floats = false;

		for (unsigned k = 0; k < n_host; k++)
			floats |= host[k].floating && addr_eq(&host[k].ip, &list[i].addr);
		if (!floats)
			list[kept++] = list[i];
	}
	memset(list + kept, 0, (n - kept) * sizeof(*list));
	free(host);
	rtaddr_close(&nl);
	return kept;
}

static unsigned list_read(struct netaddr_entry list[NETADDR_MAX])
{
	struct ifaddrs *all, *i;
	unsigned n = 0;

	if (getifaddrs(&all) < 0)
		return 0;
	for (i = all; i && n < NETADDR_MAX; i = i->ifa_next) {
		struct netaddr_entry *e = &list[n];

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		memset(e, 0, sizeof(*e));
		e->addr = sock_addr(i->ifa_addr);
		if (!e->addr.family || addr_is_loopback(&e->addr))
			continue;
		e->running = i->ifa_flags & IFF_RUNNING;
		e->ifindex = if_nametoindex(i->ifa_name);
		snprintf(e->ifname, sizeof(e->ifname), "%s", i->ifa_name);
		n++;
	}
	freeifaddrs(all);
	n = without_floating(list, n);
	qsort(list, n, sizeof(*list), entry_cmp);
	return n;
}

static void settled(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct netaddr *n = w->data;
	struct netaddr_entry now[NETADDR_MAX] = { 0 };
	unsigned count = list_read(now);

	ev_timer_stop(loop, w);
	if (count == n->n && memcmp(now, n->list, count * sizeof(*now)) == 0)
		return;
	memcpy(n->list, now, sizeof(now));
	n->n = count;
	n->changed(n->arg);
}

static void told(struct ev_loop *loop, ev_io *w, int revents)
{
	struct netaddr *n = w->data;
	_Alignas(struct nlmsghdr) char text[8192];
	bool news = false;
	ssize_t len;

	/* One that floats is renewed several times a second. */
	while ((len = recv(w->fd, text, sizeof(text), MSG_DONTWAIT)) > 0 || (len < 0 && errno == ENOBUFS)) {
		int left = (int)len;

		news |= len < 0;
		for (const struct nlmsghdr *m = (void *)text; len > 0 && mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			news |= !rtaddr_is_floating(m);
	}
	if (!news)
		return;
	if (!ev_is_active(&n->settle)) {
		ev_timer_set(&n->settle, SETTLE, 0.);
		ev_timer_start(loop, &n->settle);
	}
}

struct netaddr *netaddr_new(struct ev_loop *loop, void (*changed)(void *arg), void *arg)
{
	struct netaddr *n = mem_zalloc(sizeof(*n));
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	n->loop = loop;
	n->changed = changed;
	n->arg = arg;
	ev_timer_init(&n->settle, settled, 0., 0.);
	n->settle.data = n;
	ev_io_init(&n->io, told, fd, EV_READ);
	n->io.data = n;
	if (fd >= 0 && bind(fd, (void *)&nl, sizeof(nl)) == 0)
		ev_io_start(loop, &n->io);
	n->n = list_read(n->list);
	return n;
}

void netaddr_free(struct netaddr **np)
{
	struct netaddr *n = *np;

	if (!n)
		return;
	ev_timer_stop(n->loop, &n->settle);
	ev_io_stop(n->loop, &n->io);
	if (n->io.fd >= 0)
		close(n->io.fd);
	mem_autofree(np);
	*np = NULL;
}

const struct netaddr_entry *netaddr_list(const struct netaddr *n, unsigned *count)
{
	*count = n->n;
	return n->list;
}
