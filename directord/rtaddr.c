/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink: RTM_GETADDR, RTM_NEWADDR and RTM_DELADDR. See rtnetlink(7). */
#include "directord/rtaddr.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mem.h"

struct list {
	struct float_host *h;
	unsigned n, cap;
};

struct mnl_socket *rtaddr_open(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		rtaddr_close(&nl);
	return nl;
}

void rtaddr_close(struct mnl_socket **nl)
{
	if (*nl)
		mnl_socket_close(*nl);
	*nl = NULL;
}

/* Ask, and read until the kernel has said all; it answers within the system call. */
static int talk(struct mnl_socket *nl, struct nlmsghdr *nlh, mnl_cb_t each, void *arg)
{
	static unsigned seq;
	char answer[32768];
	ssize_t n;
	int run;

	nlh->nlmsg_seq = ++seq;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
		if (n < 0)
			return -errno;
		run = mnl_cb_run(answer, (size_t)n, nlh->nlmsg_seq, mnl_socket_get_portid(nl), each, arg);
	} while (run > MNL_CB_STOP);
	return run < 0 ? -errno : 0;
}

static int attr_in(const struct nlattr *a, void *arg)
{
	const struct nlattr **table = arg;

	if (mnl_attr_get_type(a) <= IFA_MAX)
		table[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static bool short_lived(const struct nlattr *const table[IFA_MAX + 1])
{
	struct ifa_cacheinfo ci;

	if (!table[IFA_CACHEINFO] || mnl_attr_get_payload_len(table[IFA_CACHEINFO]) < sizeof(ci))
		return false;
	memcpy(&ci, mnl_attr_get_payload(table[IFA_CACHEINFO]), sizeof(ci));
	return ci.ifa_valid <= FLOAT_LIFE_S && ci.ifa_prefered == 0;
}

bool rtaddr_is_floating(const struct nlmsghdr *nlh)
{
	const struct nlattr *table[IFA_MAX + 1] = { 0 };

	if (nlh->nlmsg_type != RTM_NEWADDR && nlh->nlmsg_type != RTM_DELADDR)
		return false;
	mnl_attr_parse(nlh, sizeof(struct ifaddrmsg), attr_in, table);
	return short_lived(table);
}

static int on_address(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *table[IFA_MAX + 1] = { 0 }, *a;
	struct list *l = arg;
	struct float_host h;

	memset(&h, 0, sizeof(h));       /* lists are compared as bytes */
	h.prefix = m->ifa_prefixlen;
	mnl_attr_parse(nlh, sizeof(*m), attr_in, table);
	a = table[IFA_LOCAL] ? table[IFA_LOCAL] : table[IFA_ADDRESS];
	h.ip.family = m->ifa_family == AF_INET ? 4 : m->ifa_family == AF_INET6 ? 6 : 0;
	if (!a || !h.ip.family || mnl_attr_get_payload_len(a) != (h.ip.family == 4 ? 4 : 16))
		return MNL_CB_OK;
	memcpy(h.ip.ip, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	if (!if_indextoname(m->ifa_index, h.interface) || addr_is_loopback(&h.ip))
		return MNL_CB_OK;
	h.floating = short_lived(table);
	l->h = mem_grow(l->h, &l->cap, l->n, sizeof(*l->h));
	l->h[l->n++] = h;
	return MNL_CB_OK;
}

static void interfaces(struct list *l)
{
	struct if_nameindex *all = if_nameindex();

	for (struct if_nameindex *i = all; i && i->if_name; i++) {
		struct float_host h;

		memset(&h, 0, sizeof(h));
		if (strcmp(i->if_name, "lo") == 0)
			continue;
		snprintf(h.interface, sizeof(h.interface), "%s", i->if_name);
		l->h = mem_grow(l->h, &l->cap, l->n, sizeof(*l->h));
		l->h[l->n++] = h;
	}
	if (all)
		if_freenameindex(all);
}

int rtaddr_list(struct mnl_socket *nl, struct float_host **list, unsigned *n)
{
	char ask[256] = { 0 };          /* as in libmnl's examples: far more than the message needs */
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(ask);
	struct ifaddrmsg *m;
	struct list l = { 0 };
	int err;

	nlh->nlmsg_type = RTM_GETADDR;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->ifa_family = AF_UNSPEC;
	interfaces(&l);
	err = talk(nl, nlh, on_address, &l);
	*list = l.h;
	*n = l.n;
	return err;
}

static int change(struct mnl_socket *nl, uint16_t type, uint16_t flags, unsigned ifindex, const struct addr *ip, unsigned prefix,
                  bool route)
{
	struct ifa_cacheinfo life = { .ifa_prefered = 0, .ifa_valid = FLOAT_LIFE_S };
	char ask[256] = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(ask);
	size_t len = ip->family == 4 ? 4 : 16;
	struct ifaddrmsg *m;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->ifa_family = ip->family == 4 ? AF_INET : AF_INET6;
	m->ifa_prefixlen = (uint8_t)prefix;
	m->ifa_scope = RT_SCOPE_UNIVERSE;
	m->ifa_index = ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, len, ip->ip);
	mnl_attr_put(nlh, IFA_ADDRESS, len, ip->ip);
	if (type == RTM_NEWADDR) {
		/* Whose it is was settled before: duplicate address detection would cost a second. */
		mnl_attr_put_u32(nlh, IFA_FLAGS, (route ? 0 : IFA_F_NOPREFIXROUTE) | (ip->family == 6 ? IFA_F_NODAD : 0));
		mnl_attr_put(nlh, IFA_CACHEINFO, sizeof(life), &life);
	}
	return talk(nl, nlh, NULL, NULL);
}

int rtaddr_set(struct mnl_socket *nl, unsigned ifindex, const struct addr *ip, unsigned prefix, bool route)
{
	return change(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, ip, prefix, route);
}

int rtaddr_remove(struct mnl_socket *nl, unsigned ifindex, const struct addr *ip, unsigned prefix)
{
	return change(nl, RTM_DELADDR, 0, ifindex, ip, prefix, false);
}
