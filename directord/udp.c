/* SPDX-License-Identifier: Apache-2.0 */
/* Datagram sockets on the loop, received and sent in batches. */
#include "directord/udp.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/errqueue.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/sock.h"

#define SOCKETS_MAX 16
#define BATCH 32                /* datagrams per system call */
#define TURN_BATCHES 4          /* per socket and turn of the loop; the kernel keeps the rest */
#define QUEUE_MAX 64            /* datagrams waiting for udp_flush, per socket */
#define CONTROL_LEN 128
#define RCVBUF (1 << 20)

struct udp_socket {
	struct udp *udp;
	ev_io io;
	int fd;
	uint8_t family;
	uint16_t port;
};

struct out_dgram {
	struct sockaddr_storage to;
	socklen_t to_len;
	struct udp_socket *socket;
	uint16_t len;
	uint8_t data[UDP_DGRAM_MAX];
};

/* What recvmmsg fills. One for all sockets: nobody keeps anything in it. */
struct in_batch {
	struct mmsghdr msg[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_storage from[BATCH];
	uint8_t control[BATCH][CONTROL_LEN] __attribute__((aligned(8)));
	uint8_t data[BATCH][UDP_DGRAM_MAX + 1];
};

struct udp {
	struct ev_loop *loop;
	ev_prepare prepare;
	const struct log *log;
	struct udp_ops ops;
	void *arg;
	struct udp_socket socket[SOCKETS_MAX];
	unsigned n_sockets;
	struct out_dgram *queue;
	unsigned n_queue;
	struct in_batch *in;
	struct udp_counts counts;
};

/* ---- receiving ---- */

static void batch_prepare(struct in_batch *b)
{
	for (unsigned i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->data[i], sizeof(b->data[i]) };
		b->msg[i].msg_hdr = (struct msghdr){
			.msg_name = &b->from[i], .msg_namelen = sizeof(b->from[i]),
			.msg_iov = &b->iov[i], .msg_iovlen = 1,
			.msg_control = b->control[i], .msg_controllen = CONTROL_LEN,
		};
	}
}

/* The address a datagram was sent to, from its control message. */
static struct addr local_addr(struct msghdr *h, uint16_t port)
{
	struct addr a = { 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			a.family = 4;
			memcpy(a.ip, &info.ipi_addr, 4);
			a.port = port;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			a.family = 6;
			memcpy(a.ip, &info.ipi6_addr, 16);
			a.scope = addr_is_linklocal(&a) ? info.ipi6_ifindex : 0;
			a.port = port;
		}
	}
	return a;
}

static void deliver(struct udp_socket *s, unsigned i)
{
	struct udp *u = s->udp;
	struct mmsghdr *m = &u->in->msg[i];
	struct addr from = sock_addr(&u->in->from[i]), local;

	if (m->msg_len > UDP_DGRAM_MAX || (m->msg_hdr.msg_flags & MSG_TRUNC)) {
		u->counts.dropped_long++;
		return;
	}
	if (!from.family)
		return;
	u->counts.in++;
	u->counts.bytes_in += m->msg_len;
	local = local_addr(&m->msg_hdr, s->port);
	u->ops.received(u->arg, &from, &local, u->in->data[i], m->msg_len);
}

/* One ICMP error from the queue. Says whether there was one. */
static bool error_next(struct udp_socket *s)
{
	struct udp *u = s->udp;
	struct sockaddr_storage name = { 0 };
	uint8_t control[512] __attribute__((aligned(8)));
	struct msghdr h = { .msg_name = &name, .msg_namelen = sizeof(name), .msg_control = control, .msg_controllen = sizeof(control) };
	struct sock_extended_err ee;
	struct addr to;

	if (recvmsg(s->fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	to = sock_addr(&name);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&ee, CMSG_DATA(c), sizeof(ee));
		if ((ee.ee_origin == SO_EE_ORIGIN_ICMP || ee.ee_origin == SO_EE_ORIGIN_ICMP6) && to.family &&
		    (ee.ee_errno == ECONNREFUSED || ee.ee_errno == EHOSTUNREACH || ee.ee_errno == ENETUNREACH)) {
			u->counts.refused++;
			if (u->ops.refused)
				u->ops.refused(u->arg, &to);
		}
	}
	return true;
}

static void errors_drain(struct udp_socket *s)
{
	for (unsigned i = 0; i < BATCH * TURN_BATCHES && error_next(s); i++)
		;
}

static void socket_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct udp_socket *s = w->data;
	struct udp *u = s->udp;
	int n;

	errors_drain(s);
	for (unsigned turn = 0; turn < TURN_BATCHES; turn++) {
		batch_prepare(u->in);
		n = recvmmsg(s->fd, u->in->msg, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			deliver(s, (unsigned)i);
		if (n < BATCH)
			break;
	}
	if (u->ops.turn)
		u->ops.turn(u->arg);
}

/* ---- sending ---- */

static struct udp_socket *socket_for(struct udp *u, uint8_t family)
{
	for (unsigned i = 0; i < u->n_sockets; i++)
		if (u->socket[i].family == family)
			return &u->socket[i];
	return NULL;
}

/* Send the run of `n` datagrams from `first`, all of one socket. */
static void run_send(struct udp *u, struct out_dgram *first, unsigned n)
{
	struct mmsghdr msg[QUEUE_MAX];
	struct iovec iov[QUEUE_MAX];
	struct udp_socket *s = first->socket;
	bool again = false;

	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){ first[i].data, first[i].len };
		msg[i] = (struct mmsghdr){ .msg_hdr = {
			.msg_name = &first[i].to, .msg_namelen = first[i].to_len, .msg_iov = &iov[i], .msg_iovlen = 1,
		} };
	}
	for (unsigned at = 0; at < n; ) {
		int sent = sendmmsg(s->fd, msg + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0) {
			for (int i = 0; i < sent; i++)
				u->counts.bytes_out += first[at + (unsigned)i].len;
			u->counts.out += (unsigned)sent;
			at += (unsigned)sent;
			again = false;
			continue;
		}
		/* A waiting ICMP error of an earlier datagram is reported by the next call, which then sends nothing. */
		if (!again && (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH)) {
			again = true;
			continue;
		}
		u->counts.send_failed++;
		again = false;
		at++;
	}
}

void udp_flush(struct udp *u)
{
	unsigned from = 0;

	for (unsigned i = 1; i <= u->n_queue; i++) {
		if (i < u->n_queue && u->queue[i].socket == u->queue[from].socket)
			continue;
		run_send(u, &u->queue[from], i - from);
		from = i;
	}
	u->n_queue = 0;
}

void udp_send(struct udp *u, const struct addr *to, const void *p, size_t n)
{
	struct udp_socket *s = socket_for(u, to->family);
	struct out_dgram *d;

	if (!s || n > UDP_DGRAM_MAX) {
		u->counts.send_failed++;
		return;
	}
	if (u->n_queue == QUEUE_MAX)
		udp_flush(u);
	d = &u->queue[u->n_queue++];
	d->to_len = sock_of_addr(to, &d->to);
	d->socket = s;
	d->len = (uint16_t)n;
	memcpy(d->data, p, n);
}

static void before_sleep(struct ev_loop *loop, ev_prepare *w, int revents)
{
	udp_flush(w->data);
}

/* ---- opening ---- */

static int socket_options(int fd, int family)
{
	const int one = 1, size = RCVBUF;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) |
		       setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) |
	       setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) |
	       setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
}

static int socket_open(struct udp *u, const struct addr *at, char **why)
{
	struct udp_socket *s = &u->socket[u->n_sockets];
	struct sockaddr_storage ss;
	socklen_t len = sock_of_addr(at, &ss);
	char text[64];
	int err;

	if (u->n_sockets == SOCKETS_MAX) {
		if (why)
			*why = mem_printf("udp: at most %d addresses to listen at", SOCKETS_MAX);
		return ERR_LIMIT;
	}
	s->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 && errno == EAFNOSUPPORT)
		return ERR_NOTSUP;
	if (s->fd < 0 || socket_options(s->fd, ss.ss_family) < 0 || bind(s->fd, (void *)&ss, len) < 0) {
		err = errno == EADDRNOTAVAIL && at->family == 6 ? ERR_NOTSUP : err_from_errno(errno);
		if (why)
			*why = mem_printf("udp: cannot listen at %s: %s", addr_text(at, text), strerror(errno));
		if (s->fd >= 0)
			close(s->fd);
		return err;
	}
	len = sizeof(ss);
	getsockname(s->fd, (void *)&ss, &len);
	s->udp = u;
	s->family = at->family;
	s->port = sock_addr(&ss).port;
	ev_io_init(&s->io, socket_readable, s->fd, EV_READ);
	s->io.data = s;
	ev_io_start(u->loop, &s->io);
	u->n_sockets++;
	return 0;
}

/* All addresses: IPv4 and, where the kernel has it, IPv6 at the same port. */
static int open_any(struct udp *u, uint16_t port, char **why)
{
	struct addr any4 = { .family = 4, .port = port }, any6 = { .family = 6 };
	int err = socket_open(u, &any4, why);

	if (err && err != ERR_NOTSUP)
		return err;
	any6.port = u->n_sockets ? u->socket[0].port : port;
	err = socket_open(u, &any6, u->n_sockets ? NULL : why);
	if (err == ERR_NOTSUP && u->n_sockets)
		return 0;
	if (err && u->n_sockets && why)
		*why = mem_printf("udp: cannot listen at IPv6 port %u: %s", any6.port, err_text(err));
	return err;
}

struct udp *udp_new(struct ev_loop *loop, const struct addr *listen, unsigned n, uint16_t port,
                    const struct udp_ops *ops, void *arg, const struct log *log, char **why)
{
	struct udp *u = mem_zalloc(sizeof(*u));
	int err = 0;

	*u = (struct udp){ .loop = loop, .log = log, .ops = *ops, .arg = arg };
	u->queue = mem_alloc(QUEUE_MAX * sizeof(*u->queue));
	u->in = mem_zalloc(sizeof(*u->in));
	ev_prepare_init(&u->prepare, before_sleep);
	u->prepare.data = u;
	ev_prepare_start(loop, &u->prepare);
	ev_unref(loop);
	if (n == 0)
		err = open_any(u, port, why);
	for (unsigned i = 0; i < n && !err; i++) {
		struct addr at = listen[i];

		if (!at.port)
			at.port = port;
		err = socket_open(u, &at, why);
	}
	if (err)
		udp_free(&u);
	return u;
}

void udp_free(struct udp **up)
{
	struct udp *u = *up;

	if (!u)
		return;
	udp_flush(u);
	for (unsigned i = 0; i < u->n_sockets; i++) {
		ev_io_stop(u->loop, &u->socket[i].io);
		close(u->socket[i].fd);
	}
	ev_ref(u->loop);
	ev_prepare_stop(u->loop, &u->prepare);
	mem_autofree(&u->queue);
	mem_autofree(&u->in);
	mem_autofree(up);
	*up = NULL;
}

const struct udp_counts *udp_counts(const struct udp *u)
{
	return &u->counts;
}

uint16_t udp_port(const struct udp *u)
{
	return u->n_sockets ? u->socket[0].port : 0;
}
