/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses by rtnetlink, claims by packet sockets. The packet sockets are open only while an address is held or asked
 * about, and a filter in the kernel lets through what may be a claim.
 */
#include "directord/floataddr.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "directord/claim.h"
#include "directord/rtaddr.h"
#include "directord/tcpend.h"

#define END_S 0.05              /* after an address left, it is at another node */
#define LISTEN_S 5.             /* the packet sockets stay this long after the last address is gone */
#define READ_MAX 64             /* frames a turn */

struct held {
	struct addr ip;
	uint8_t prefix;
	unsigned ifindex;
	uint8_t mac[6];
	bool there;             /* put on the interface; else only asked about */
};

/* Connections to an address that left; ended when their initiators find it again. */
struct ending {
	struct ending *next;
	struct floataddr *f;
	struct addr ip;
	ev_timer due;
};

struct floataddr {
	struct ev_loop *loop;
	struct floataddr_ops ops;
	void *arg;
	const struct log *log;
	struct mnl_socket *nl;          /* requests */
	int monitor_fd;
	ev_io monitor, arp, nd;
	ev_timer idle;
	struct held *held;
	unsigned n_held, cap_held;
	struct ending *endings;
	struct float_host *told;        /* the last list, without what floats */
	unsigned n_told;
};

/* ---- what is held or asked about ---- */

static struct held *held_find(struct floataddr *f, const struct addr *ip)
{
	for (unsigned i = 0; i < f->n_held; i++)
		if (addr_eq(&f->held[i].ip, ip))
			return &f->held[i];
	return NULL;
}

static void held_drop(struct floataddr *f, struct held *h)
{
	*h = f->held[--f->n_held];
	if (f->n_held == 0) {
		ev_timer_stop(f->loop, &f->idle);
		ev_timer_set(&f->idle, LISTEN_S, 0.);
		ev_timer_start(f->loop, &f->idle);
	}
}

/* The interface's own address on its link; false: it is no Ethernet. */
static bool mac_of(int fd, const char *interface, uint8_t mac[6])
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0 || r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return false;
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	return true;
}

/* ---- frames ---- */

static void heard(struct floataddr *f, const uint8_t *frame, size_t n, const struct sockaddr_ll *from)
{
	char who[64], interface[IF_NAMESIZE] = "?";
	const struct held *h;
	struct claim c;

	if (from->sll_pkttype == PACKET_OUTGOING || !claim_parse(frame, n, &c))
		return;
	h = held_find(f, &c.ip);
	/* On another interface of ours it is another network's business. */
	if (!h || h->ifindex != (unsigned)from->sll_ifindex || memcmp(h->mac, c.mac, 6) == 0)
		return;
	if_indextoname(h->ifindex, interface);
	snprintf(who, sizeof(who), "%02x:%02x:%02x:%02x:%02x:%02x on %s", c.mac[0], c.mac[1], c.mac[2], c.mac[3], c.mac[4],
	         c.mac[5], interface);
	f->ops.conflict(f->arg, &c.ip, who);
}

static void on_frames(struct ev_loop *loop, ev_io *w, int revents)
{
	struct floataddr *f = w->data;
	struct sockaddr_ll from;
	uint8_t frame[256];             /* a claim has its part at the front */

	for (unsigned i = 0; i < READ_MAX; i++) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(w->fd, frame, sizeof(frame), MSG_DONTWAIT, (void *)&from, &len);

		if (n < 0)
			return;
		heard(f, frame, (size_t)n, &from);
	}
}

/* ICMPv6 from this link about neighbours: next header 58, hop limit 255, type 135 or 136. */
static void nd_filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 58 << 8 | 255, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 135, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 136, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 256),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* Protocol 0 until the filter is there: nothing else gets into the queue. */
static void packets_open(struct floataddr *f, ev_io *w, uint16_t type)
{
	struct sockaddr_ll any = { .sll_family = AF_PACKET, .sll_protocol = htons(type) };
	int fd;

	if (w->fd >= 0)
		return;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		log_warn(f->log, "address: no packet socket (CAP_NET_RAW?): addresses are not announced and not defended: %m");
		return;
	}
	if (type == ETH_P_IPV6)
		nd_filter(fd);
	if (bind(fd, (void *)&any, sizeof(any)) < 0) {
		log_warn(f->log, "address: a packet socket cannot be bound: %m");
		close(fd);
		return;
	}
	ev_io_set(w, fd, EV_READ);
	ev_io_start(f->loop, w);
}

static void packets_close(struct floataddr *f)
{
	ev_io *all[] = { &f->arp, &f->nd };

	for (unsigned i = 0; i < 2; i++) {
		if (all[i]->fd < 0)
			continue;
		ev_io_stop(f->loop, all[i]);
		close(all[i]->fd);
		ev_io_set(all[i], -1, EV_READ);
	}
}

static void idle(struct ev_loop *loop, ev_timer *w, int revents)
{
	packets_close(w->data);
}

static int packets(struct floataddr *f, const struct addr *ip)
{
	ev_timer_stop(f->loop, &f->idle);
	packets_open(f, ip->family == 4 ? &f->arp : &f->nd, ip->family == 4 ? ETH_P_ARP : ETH_P_IPV6);
	return ip->family == 4 ? f->arp.fd : f->nd.fd;
}

static void frame_send(struct floataddr *f, const struct held *h, const uint8_t *frame, size_t n)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)h->ifindex, .sll_halen = 6 };
	int fd = packets(f, &h->ip);
	char text[64];

	memcpy(&to.sll_protocol, frame + 12, 2);
	memcpy(to.sll_addr, frame, 6);
	if (fd >= 0 && sendto(fd, frame, n, MSG_DONTWAIT, (void *)&to, sizeof(to)) < 0)
		log_warn(f->log, "address: %s is not announced: %m", addr_text(&h->ip, text));
}

/* ---- acts ---- */

/* The entry for an act, with interface and link address as they are now; NULL: no such interface. */
static struct held *held_get(struct floataddr *f, const struct float_act *a)
{
	struct held *h = held_find(f, &a->ip);
	unsigned ifindex = if_nametoindex(a->interface);

	if (!ifindex)
		return NULL;
	if (!h) {
		f->held = mem_grow(f->held, &f->cap_held, f->n_held, sizeof(*f->held));
		h = &f->held[f->n_held++];
		*h = (struct held){ .ip = a->ip, .prefix = a->prefix };
	}
	h->ifindex = ifindex;
	packets(f, &a->ip);
	if (!mac_of(mnl_socket_get_fd(f->nl), a->interface, h->mac))
		memset(h->mac, 0, sizeof(h->mac));
	return h;
}

static void put_there(struct floataddr *f, const struct float_act *a)
{
	struct held *h = held_get(f, a);
	char text[64], why[160];
	int err;

	err = h ? rtaddr_set(f->nl, h->ifindex, &a->ip, a->prefix, a->route) : -ENODEV;
	if (!err) {
		if (!h->there)
			log_info(f->log, "address: %s/%u is on %s now", addr_text(&a->ip, text), a->prefix, a->interface);
		h->there = true;
		return;
	}
	snprintf(why, sizeof(why), "the address cannot be put on %s: %s", a->interface, strerror(-err));
	log_warn(f->log, "address: %s/%u: %s", addr_text(&a->ip, text), a->prefix, why);
	if (h && !h->there)
		held_drop(f, h);
	if (a->kind == FLOAT_ADD)
		f->ops.failed(f->arg, &a->ip, why);
}

static void ending_drop(struct floataddr *f, struct ending *e)
{
	struct ending **p = &f->endings;

	ev_timer_stop(f->loop, &e->due);
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	free(e);
}

static void end_now(struct floataddr *f, struct ending *e)
{
	char text[64];
	int n = tcp_end(&e->ip);

	if (n < 0)
		log_debug(f->log, "address: %s: connections could not be ended: %s", addr_text(&e->ip, text), strerror(-n));
	else if (n)
		log_info(f->log, "address: %s: %d connections to it were ended", addr_text(&e->ip, text), n);
	ending_drop(f, e);
}

static void on_end(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct ending *e = t->data;

	/* It may be back. */
	if (held_find(e->f, &e->ip))
		ending_drop(e->f, e);
	else
		end_now(e->f, e);
}

/* Initiators go on elsewhere at once, and need not find out by silence; but not before somebody answers there. */
static void end_soon(struct floataddr *f, const struct addr *ip)
{
	struct ending *e = mem_zalloc(sizeof(*e));

	e->f = f;
	e->ip = *ip;
	e->next = f->endings;
	f->endings = e;
	ev_timer_init(&e->due, on_end, END_S, 0.);
	e->due.data = e;
	ev_timer_start(f->loop, &e->due);
}

static void take_away(struct floataddr *f, const struct float_act *a)
{
	struct held *h = held_find(f, &a->ip);
	unsigned ifindex = if_nametoindex(a->interface);
	char text[64];
	int err = ifindex ? rtaddr_remove(f->nl, ifindex, &a->ip, a->prefix) : 0;

	if (h && h->there)
		end_soon(f, &a->ip);
	if (h && h->ifindex == ifindex)
		held_drop(f, h);
	/* It may have gone by itself. */
	if (err && err != -EADDRNOTAVAIL && err != -ENODEV)
		log_warn(f->log, "address: %s/%u cannot be taken from %s: %s", addr_text(&a->ip, text), a->prefix, a->interface,
		         strerror(-err));
	else
		log_info(f->log, "address: %s/%u is not on %s any more", addr_text(&a->ip, text), a->prefix, a->interface);
}

static void announce(struct floataddr *f, const struct float_act *a)
{
	static const uint8_t none[6];
	struct held *h = held_get(f, a);
	uint8_t frame[CLAIM_FRAME_MAX];
	size_t n;

	if (!h || memcmp(h->mac, none, sizeof(none)) == 0)
		return;
	if (a->kind == FLOAT_PROBE) {
		n = claim_probe(&a->ip, h->mac, frame);
		frame_send(f, h, frame, n);
		return;
	}
	for (unsigned i = 0; (n = claim_announce(&a->ip, h->mac, i, frame)) > 0; i++)
		frame_send(f, h, frame, n);
}

void floataddr_act(struct floataddr *f, const struct float_act *a)
{
	if (!f->nl)
		return;
	switch (a->kind) {
	case FLOAT_ADD:
	case FLOAT_RENEW:
		put_there(f, a);
		break;
	case FLOAT_REMOVE:
		take_away(f, a);
		break;
	case FLOAT_ANNOUNCE:
	case FLOAT_PROBE:
		announce(f, a);
		break;
	}
}

/* ---- the host ---- */

static bool list_same(const struct floataddr *f, const struct float_host *h, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		if (h[i].floating)
			continue;
		if (k == f->n_told || memcmp(&h[i], &f->told[k], sizeof(*h)) != 0)
			return false;
		k++;
	}
	return k == f->n_told;
}

static void list_keep(struct floataddr *f, const struct float_host *h, unsigned n)
{
	free(f->told);
	f->told = mem_alloc((n + 1) * sizeof(*h));
	f->n_told = 0;
	for (unsigned i = 0; i < n; i++)
		if (!h[i].floating)
			f->told[f->n_told++] = h[i];
}

/* Ours that the kernel has not any more: an interface was taken away, or somebody's ip(8). */
static void gone(struct floataddr *f, const struct float_host *h, unsigned n)
{
	struct addr *lost = mem_alloc((f->n_held + 1) * sizeof(*lost));
	unsigned n_lost = 0;

	for (unsigned i = 0; i < f->n_held; i++) {
		bool there = false;

		for (unsigned k = 0; k < n; k++)
			there |= addr_eq(&h[k].ip, &f->held[i].ip);
		if (f->held[i].there && !there) {
			f->held[i].there = false;
			lost[n_lost++] = f->held[i].ip;
		}
	}
	for (unsigned i = 0; i < n_lost; i++)
		f->ops.gone(f->arg, &lost[i]);
	free(lost);
}

static void look(struct floataddr *f, bool always)
{
	struct float_host *h = NULL;
	unsigned n = 0;
	int err = f->nl ? rtaddr_list(f->nl, &h, &n) : 0;

	if (err) {
		log_warn(f->log, "address: the kernel does not say which addresses there are: %s", strerror(-err));
	} else if (always || !list_same(f, h, n)) {
		list_keep(f, h, n);
		f->ops.host(f->arg, h, n);
		gone(f, h, n);
	} else {
		gone(f, h, n);
	}
	free(h);
}

void floataddr_tell(struct floataddr *f)
{
	look(f, true);
}

/* Renewals of our own come four times a second; what else is told is worth a look. */
static void on_monitor(struct ev_loop *loop, ev_io *w, int revents)
{
	struct floataddr *f = w->data;
	_Alignas(struct nlmsghdr) char text[8192];
	bool news = false;
	ssize_t n;

	while ((n = recv(w->fd, text, sizeof(text), MSG_DONTWAIT)) > 0 || (n < 0 && errno == ENOBUFS)) {
		int left = (int)n;

		news |= n < 0;
		for (const struct nlmsghdr *m = (void *)text; n > 0 && mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left))
			news |= m->nlmsg_type != RTM_NEWADDR || !rtaddr_is_floating(m);
	}
	if (news)
		look(f, false);
}

static void monitor_open(struct floataddr *f)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	ev_io_init(&f->monitor, on_monitor, fd, EV_READ);
	f->monitor.data = f;
	if (fd >= 0 && bind(fd, (void *)&nl, sizeof(nl)) == 0)
		ev_io_start(f->loop, &f->monitor);
}

/* ---- life ---- */

struct floataddr *floataddr_new(struct ev_loop *loop, const struct floataddr_ops *ops, void *arg, const struct log *log)
{
	struct floataddr *f = mem_zalloc(sizeof(*f));

	f->loop = loop;
	f->ops = *ops;
	f->arg = arg;
	f->log = log;
	f->nl = rtaddr_open();
	if (!f->nl)
		log_warn(log, "address: no netlink, so there are no floating addresses here: %m");
	ev_io_init(&f->arp, on_frames, -1, EV_READ);
	ev_io_init(&f->nd, on_frames, -1, EV_READ);
	ev_timer_init(&f->idle, idle, 0., 0.);
	f->arp.data = f->nd.data = f->idle.data = f;
	monitor_open(f);
	return f;
}

void floataddr_free(struct floataddr **fp)
{
	struct floataddr *f = *fp;

	if (!f)
		return;
	for (unsigned i = 0; i < f->n_held; i++)
		if (f->held[i].there)
			rtaddr_remove(f->nl, f->held[i].ifindex, &f->held[i].ip, f->held[i].prefix);
	while (f->endings)
		end_now(f, f->endings);
	packets_close(f);
	ev_timer_stop(f->loop, &f->idle);
	ev_io_stop(f->loop, &f->monitor);
	if (f->monitor.fd >= 0)
		close(f->monitor.fd);
	rtaddr_close(&f->nl);
	free(f->held);
	free(f->told);
	mem_autofree(fp);
	*fp = NULL;
}
