/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mesh over ZeroMQ. Two ROUTER sockets: `in` is bound, is CURVE's server side and only receives;
 * `out` is its client side and only sends, to connections addressed by the peer's node id. One monitor
 * each, and a ZAP handler, all driven by the loop; ZeroMQ has one thread of its own for the network.
 */
#include "directord/mesh.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mono.h"

#define ENDPOINT_LEN 96
#define IDLE_MS 30000            /* a connection holds some 60 KB, and each sync asks another node */
#define RID_LEN 8
#define WAITING_MAX 64
#define WAITING_MS 2000
#define TURN_MESSAGES 64                /* received per turn of the loop */
#define ZAP_FRAME_MAX 256

struct peer {
	LIST_ENTRY(peer) link;
	struct node_id id;
	uint8_t curve[32];
	struct addr addr;
	char endpoint[ENDPOINT_LEN];    /* "": not connected */
	uint8_t rid[RID_LEN];           /* of this connection */
	bool up;
	struct mono used;
};

/* How to answer a ZAP request. */
struct zap_id {
	uint8_t route[16], request[16];
	uint8_t n_route, n_request;
};

/* A connection whose key is not known, or not yet. */
struct waiting {
	struct zap_id id;
	uint8_t curve[32];
	char from[64];
	struct mono since;
};

enum { IN, OUT, ZAP, MONITOR_IN, MONITOR_OUT, N_SOCKETS };

struct mesh {
	struct ev_loop *loop;
	const struct log *log;
	struct mesh_ops ops;
	void *arg;
	void *ctx;
	void *socket[N_SOCKETS];
	ev_io io[N_SOCKETS];
	ev_prepare prepare;
	ev_check check;
	ev_idle idle;
	bool rang;                      /* a doorbell did, or something was left over */
	bool touched;                   /* a socket was used, so that its doorbell may have been silenced */
	ev_timer timer, patience;
	unsigned idle_ms;
	uint16_t port;
	uint8_t curve_public[32], curve_secret[32];
	LIST_HEAD(, peer) peers;
	uint64_t connections;           /* made so far */
	struct waiting waiting[WAITING_MAX];
	unsigned n_waiting;
	struct mesh_counts counts;
};

static void waiting_admit(struct mesh *m, const struct peer *p);

/* ---- peers ---- */

static struct peer *peer_find(const struct mesh *m, const struct node_id *id)
{
	struct peer *p;

	LIST_FOREACH(p, &m->peers, link)
		if (node_id_eq(&p->id, id))
			return p;
	return NULL;
}

static struct peer *peer_by_key(const struct mesh *m, const uint8_t curve[32])
{
	struct peer *p;

	LIST_FOREACH(p, &m->peers, link)
		if (memcmp(p->curve, curve, 32) == 0)
			return p;
	return NULL;
}

/* The connected peer at this address. */
static struct peer *peer_by_addr(const struct mesh *m, const struct addr *a)
{
	struct peer *p;

	LIST_FOREACH(p, &m->peers, link)
		if (*p->endpoint && addr_eq(&p->addr, a))
			return p;
	return NULL;
}

/* ZeroMQ shows IPv4 addresses mapped into IPv6 where both are on. */
static struct peer *peer_by_endpoint(const struct mesh *m, const char *endpoint)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct addr a;

	if (strncmp(endpoint, "tcp://", 6) != 0 || addr_parse(endpoint + 6, 0, &a) < 0)
		return NULL;
	if (a.family == 6 && memcmp(a.ip, mapped, 12) == 0) {
		a.family = 4;
		memmove(a.ip, a.ip + 12, 4);
		memset(a.ip + 4, 0, 12);
	}
	return peer_by_addr(m, &a);
}

static bool peer_mark(struct mesh *m, struct peer *p, bool up)
{
	if (p->up == up)
		return false;
	p->up = up;
	m->counts.up += up ? 1u : -1u;
	return true;
}

static void peer_disconnect(struct mesh *m, struct peer *p)
{
	if (!*p->endpoint)
		return;
	m->touched = true;
	zmq_disconnect(m->socket[OUT], p->endpoint);
	*p->endpoint = 0;
	peer_mark(m, p, false);
}

static int peer_connect(struct mesh *m, struct peer *p)
{
	char text[64], endpoint[ENDPOINT_LEN];
	struct peer *other;

	snprintf(endpoint, sizeof(endpoint), "tcp://%s", addr_text(&p->addr, text));
	/* An address that changed hands: ZeroMQ knows connections by their endpoint alone. */
	other = peer_by_addr(m, &p->addr);
	if (other)
		peer_disconnect(m, other);
	/*
	 * A routing id is for one connection only: ZeroMQ forgets the one of a closed connection some time later, and
	 * aborts when it meets it again. It must not begin with a zero byte, hence the letter.
	 */
	m->touched = true;
	m->connections++;
	p->rid[0] = 'c';
	for (unsigned i = 1; i < RID_LEN; i++)
		p->rid[i] = (uint8_t)(m->connections >> (8 * (RID_LEN - 1 - i)));
	if (zmq_setsockopt(m->socket[OUT], ZMQ_CONNECT_ROUTING_ID, p->rid, RID_LEN) < 0 ||
	    zmq_setsockopt(m->socket[OUT], ZMQ_CURVE_SERVERKEY, p->curve, 32) < 0 ||
	    zmq_connect(m->socket[OUT], endpoint) < 0) {
		log_debug(m->log, "mesh: cannot connect to %s: %s", text, zmq_strerror(zmq_errno()));
		return ERR_UNREACHABLE;
	}
	memcpy(p->endpoint, endpoint, sizeof(endpoint));
	return 0;
}

void mesh_peer_set(struct mesh *m, const struct node_id *id, const uint8_t curve_public[32], const struct addr *addr)
{
	struct peer *p = peer_find(m, id);

	if (!p) {
		p = mem_zalloc(sizeof(*p));
		p->id = *id;
		LIST_INSERT_HEAD(&m->peers, p, link);
		m->counts.peers++;
	} else if (addr_eq(&p->addr, addr) && memcmp(p->curve, curve_public, 32) == 0) {
		return;
	}
	peer_disconnect(m, p);
	memcpy(p->curve, curve_public, 32);
	p->addr = *addr;
	waiting_admit(m, p);
}

void mesh_peer_remove(struct mesh *m, const struct node_id *id)
{
	struct peer *p = peer_find(m, id);

	if (!p)
		return;
	peer_disconnect(m, p);
	LIST_REMOVE(p, link);
	m->counts.peers--;
	mem_autofree(&p);
}

void mesh_peer_reset(struct mesh *m, const struct node_id *id)
{
	struct peer *p = peer_find(m, id);

	if (p)
		peer_disconnect(m, p);
}

bool mesh_peer_known(const struct mesh *m, const struct node_id *id)
{
	return peer_find(m, id) != NULL;
}

int mesh_send(struct mesh *m, const struct node_id *to, const void *data, size_t n)
{
	struct peer *p = peer_find(m, to);
	int err;

	if (n > MESH_MESSAGE_MAX)
		return ERR_LIMIT;
	if (!p || !p->addr.family)
		return ERR_NOENT;
	if (!*p->endpoint) {
		err = peer_connect(m, p);
		if (err)
			return err;
	}
	p->used = mono_now();
	m->touched = true;
	if (zmq_send(m->socket[OUT], p->rid, RID_LEN, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
	    zmq_send(m->socket[OUT], data, n, ZMQ_DONTWAIT) < 0) {
		if (zmq_errno() == EHOSTUNREACH) {
			/* ZeroMQ gave the connection up for good; the next send makes another. */
			peer_disconnect(m, p);
			return ERR_UNREACHABLE;
		}
		m->counts.full++;
		return ERR_AGAIN;
	}
	m->counts.out++;
	m->counts.bytes_out += n;
	return 0;
}

/* ---- receiving ---- */

/* Read and forget the frames that follow. */
static void frames_skip(void *socket)
{
	zmq_msg_t f;
	int more = 1;

	while (more) {
		zmq_msg_init(&f);
		if (zmq_msg_recv(&f, socket, ZMQ_DONTWAIT) < 0)
			more = 0;
		else
			more = zmq_msg_more(&f);
		zmq_msg_close(&f);
	}
}

/* One message. Says whether there was one. */
static bool in_next(struct mesh *m)
{
	struct node_id from;
	const char *user;
	zmq_msg_t f;
	bool first;

	zmq_msg_init(&f);
	if (zmq_msg_recv(&f, m->socket[IN], ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&f);
		return false;
	}
	first = zmq_msg_more(&f);               /* the connection's routing id; the payload follows */
	zmq_msg_close(&f);
	if (!first)
		return true;
	zmq_msg_init(&f);
	if (zmq_msg_recv(&f, m->socket[IN], ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&f);
		return true;
	}
	user = zmq_msg_gets(&f, "User-Id");
	if (zmq_msg_more(&f)) {
		frames_skip(m->socket[IN]);
		m->counts.dropped++;
	} else if (!user || node_id_parse(user, &from) < 0 || !peer_find(m, &from)) {
		m->counts.dropped++;
	} else {
		m->counts.in++;
		m->counts.bytes_in += zmq_msg_size(&f);
		m->ops.received(m->arg, &from, zmq_msg_data(&f), zmq_msg_size(&f));
	}
	zmq_msg_close(&f);
	return true;
}

/* ---- admission (ZeroMQ RFC 27, ZAP) ---- */

enum { ZAP_ROUTE, ZAP_EMPTY, ZAP_VERSION, ZAP_REQUEST, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_KEY, ZAP_FRAMES };

struct zap_frame {
	uint8_t data[ZAP_FRAME_MAX];
	size_t len;
};

/* `p` NULL: refused. */
static void zap_answer(struct mesh *m, const struct zap_id *id, const struct peer *p)
{
	void *z = m->socket[ZAP];
	char user[33] = "";

	m->touched = true;
	if (p)
		node_id_text(&p->id, user);
	zmq_send(z, id->route, id->n_route, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, id->request, id->n_request, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, p ? "200" : "400", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, user, strlen(user), ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(z, "", 0, ZMQ_DONTWAIT);
}

static void zap_refuse(struct mesh *m, struct waiting *w)
{
	zap_answer(m, &w->id, NULL);
	m->counts.refused++;
	log_debug(m->log, "mesh: refused a connection of %s", w->from);
	if (m->ops.refused)
		m->ops.refused(m->arg, w->from, w->curve);
}

/* Waiting requests: forget the one at `i`. */
static struct waiting waiting_take(struct mesh *m, unsigned i)
{
	struct waiting w = m->waiting[i];

	m->waiting[i] = m->waiting[--m->n_waiting];
	if (m->n_waiting == 0)
		ev_timer_stop(m->loop, &m->patience);
	return w;
}

/*
 * Two nodes seldom learn of each other at the same instant. A key that is not known is therefore not refused at once, which would
 * throw away what the quicker one said, but when it has not become known in a while.
 */
static void zap_wait(struct mesh *m, const struct waiting *w)
{
	if (m->n_waiting == WAITING_MAX) {
		struct waiting oldest = waiting_take(m, 0);

		zap_refuse(m, &oldest);
	}
	m->waiting[m->n_waiting++] = *w;
	if (!ev_is_active(&m->patience)) {
		ev_timer_set(&m->patience, 0.2, 0.2);
		ev_timer_start(m->loop, &m->patience);
	}
}

static void patience_ends(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct mesh *m = t->data;
	struct mono now = mono_now();

	for (unsigned i = 0; i < m->n_waiting; ) {
		if (mono_ms_between(m->waiting[i].since, now) >= WAITING_MS) {
			struct waiting w = waiting_take(m, i);

			zap_refuse(m, &w);
		} else {
			i++;
		}
	}
}

/* The peer is known now: let in who waited with its key. */
static void waiting_admit(struct mesh *m, const struct peer *p)
{
	for (unsigned i = 0; i < m->n_waiting; ) {
		if (memcmp(m->waiting[i].curve, p->curve, 32) == 0) {
			struct waiting w = waiting_take(m, i);

			zap_answer(m, &w.id, p);
		} else {
			i++;
		}
	}
}

/* One request of the network thread: may the owner of this key speak? */
static bool zap_next(struct mesh *m)
{
	struct zap_frame f[ZAP_FRAMES] = { { { 0 }, 0 } };
	struct waiting w = { .since = mono_now() };
	const struct peer *p;
	unsigned n = 0;
	int more = 1;
	size_t len = sizeof(more);

	while (more) {
		struct zap_frame waste, *to = n < ZAP_FRAMES ? &f[n] : &waste;
		int got = zmq_recv(m->socket[ZAP], to->data, ZAP_FRAME_MAX - 1, ZMQ_DONTWAIT);

		if (got < 0)
			return false;
		to->len = got < ZAP_FRAME_MAX ? (size_t)got : ZAP_FRAME_MAX - 1;
		n++;
		zmq_getsockopt(m->socket[ZAP], ZMQ_RCVMORE, &more, &len);
	}
	if (n <= ZAP_REQUEST || f[ZAP_ROUTE].len > sizeof(w.id.route) || f[ZAP_REQUEST].len > sizeof(w.id.request))
		return true;
	w.id.n_route = (uint8_t)f[ZAP_ROUTE].len;
	w.id.n_request = (uint8_t)f[ZAP_REQUEST].len;
	memcpy(w.id.route, f[ZAP_ROUTE].data, w.id.n_route);
	memcpy(w.id.request, f[ZAP_REQUEST].data, w.id.n_request);
	snprintf(w.from, sizeof(w.from), "%.*s", (int)f[ZAP_ADDRESS].len, (char *)f[ZAP_ADDRESS].data);
	if (n != ZAP_FRAMES || f[ZAP_MECHANISM].len != 5 || memcmp(f[ZAP_MECHANISM].data, "CURVE", 5) != 0 || f[ZAP_KEY].len != 32) {
		zap_refuse(m, &w);
		return true;
	}
	memcpy(w.curve, f[ZAP_KEY].data, 32);
	p = peer_by_key(m, w.curve);
	if (p)
		zap_answer(m, &w.id, p);
	else
		zap_wait(m, &w);
	return true;
}

/* ---- monitors ---- */

static bool monitor_next(struct mesh *m, int which)
{
	uint8_t event[8];
	char endpoint[256];
	uint16_t number;
	struct peer *p;
	int n;

	n = zmq_recv(m->socket[which], event, sizeof(event), ZMQ_DONTWAIT);
	if (n < 0)
		return false;
	n = zmq_recv(m->socket[which], endpoint, sizeof(endpoint) - 1, ZMQ_DONTWAIT);
	if (n < 0)
		return true;
	endpoint[n < (int)sizeof(endpoint) ? n : (int)sizeof(endpoint) - 1] = 0;
	memcpy(&number, event, sizeof(number));
	if (which == MONITOR_IN) {
		/* Whoever speaks no CURVE, or with another server key, never reaches the ZAP handler. */
		m->counts.refused++;
		log_debug(m->log, "mesh: handshake failed at %s", endpoint);
		if (m->ops.refused)
			m->ops.refused(m->arg, "", NULL);
		return true;
	}
	p = peer_by_endpoint(m, endpoint);
	if (!p)
		return true;
	if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
		if (peer_mark(m, p, true) && m->ops.up)
			m->ops.up(m->arg, &p->id);
		return true;
	}
	if (number != ZMQ_EVENT_DISCONNECTED)
		log_debug(m->log, "mesh: %s refused us, or is not who it should be", endpoint);
	if (number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
		peer_disconnect(m, p);          /* for good; the next send makes another */
	else if (peer_mark(m, p, false) && m->ops.down)
		m->ops.down(m->arg, &p->id);
	return true;
}

/* ---- the loop ---- */

static bool socket_ready(void *socket)
{
	int events = 0;
	size_t len = sizeof(events);

	/* Asking also lets ZeroMQ do what the network thread asked of this socket. */
	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

static bool anything_ready(struct mesh *m)
{
	bool ready = false;

	for (int i = 0; i < N_SOCKETS; i++)
		ready |= i == OUT ? (socket_ready(m->socket[i]), false) : socket_ready(m->socket[i]);
	return ready;
}

static bool socket_next(struct mesh *m, int which)
{
	switch (which) {
	case IN:
		return in_next(m);
	case ZAP:
		return zap_next(m);
	default:
		return monitor_next(m, which);
	}
}

/*
 * ZMQ_FD is a doorbell and not a state: it rings once, and any call on the socket may silence it. So the state
 * is asked for before a sleep if there was any call, and an idle watcher keeps the loop awake while there is more.
 */
static void before_sleep(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct mesh *m = w->data;

	if (!m->touched)
		return;
	m->touched = false;
	m->rang = anything_ready(m);
	if (m->rang)
		ev_idle_start(loop, &m->idle);
	else
		ev_idle_stop(loop, &m->idle);
}

static void after_sleep(struct ev_loop *loop, ev_check *w, int revents)
{
	struct mesh *m = w->data;

	if (!m->rang)
		return;
	m->rang = false;
	m->touched = true;
	for (int i = 0; i < N_SOCKETS; i++) {
		if (i == OUT || !socket_ready(m->socket[i]))
			continue;
		for (unsigned n = 0; n < TURN_MESSAGES && socket_next(m, i); n++)
			;
	}
}

static void doorbell(struct ev_loop *loop, ev_io *w, int revents)
{
	struct mesh *m = w->data;

	m->rang = true;         /* the check watcher does the rest */
}

static void still_busy(struct ev_loop *loop, ev_idle *w, int revents)
{
}

static void idle_check(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct mesh *m = w->data;
	struct mono now = mono_now();
	struct peer *p;

	LIST_FOREACH(p, &m->peers, link)
		if (*p->endpoint && mono_ms_between(p->used, now) >= m->idle_ms)
			peer_disconnect(m, p);
}

/* ---- opening ---- */

static void option(void *socket, int name, int value)
{
	zmq_setsockopt(socket, name, &value, sizeof(value));
}

/*
 * No heartbeats: gossip knows who is dead. Unacknowledged data gives a connection up after 5 s, so that a
 * healed network is used at once; keepalives, one in five minutes, find connections whose other end is gone.
 */
static void common_options(void *s)
{
	int64_t max = MESH_MESSAGE_MAX;

	option(s, ZMQ_LINGER, 0);
	option(s, ZMQ_IPV6, 1);
	option(s, ZMQ_SNDHWM, MESH_QUEUE_MAX);
	option(s, ZMQ_RCVHWM, MESH_QUEUE_MAX);
	option(s, ZMQ_HANDSHAKE_IVL, 5000);
	option(s, ZMQ_TCP_MAXRT, 5000);
	option(s, ZMQ_TCP_KEEPALIVE, 1);
	option(s, ZMQ_TCP_KEEPALIVE_IDLE, 300);
	option(s, ZMQ_TCP_KEEPALIVE_INTVL, 15);
	option(s, ZMQ_TCP_KEEPALIVE_CNT, 4);
	zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &max, sizeof(max));
}

static int in_open(struct mesh *m)
{
	void *s = m->socket[IN] = zmq_socket(m->ctx, ZMQ_ROUTER);

	if (!s)
		return -1;
	common_options(s);
	option(s, ZMQ_CURVE_SERVER, 1);
	zmq_setsockopt(s, ZMQ_ZAP_DOMAIN, "director", 8);
	if (zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, m->curve_secret, 32) < 0)
		return -1;
	m->socket[MONITOR_IN] = zmq_socket(m->ctx, ZMQ_PAIR);
	if (zmq_socket_monitor(s, "inproc://monitor-in", ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) < 0)
		return -1;
	return zmq_connect(m->socket[MONITOR_IN], "inproc://monitor-in");
}

static int out_open(struct mesh *m)
{
	void *s = m->socket[OUT] = zmq_socket(m->ctx, ZMQ_ROUTER);
	const int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
	                   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED;

	if (!s)
		return -1;
	common_options(s);
	option(s, ZMQ_ROUTER_MANDATORY, 1);
	option(s, ZMQ_CONNECT_TIMEOUT, 3000);
	option(s, ZMQ_RECONNECT_IVL, 100);
	option(s, ZMQ_RECONNECT_IVL_MAX, 2000);
	if (zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, m->curve_secret, 32) < 0 ||
	    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, m->curve_public, 32) < 0)
		return -1;
	m->socket[MONITOR_OUT] = zmq_socket(m->ctx, ZMQ_PAIR);
	if (zmq_socket_monitor(s, "inproc://monitor-out", events) < 0)
		return -1;
	return zmq_connect(m->socket[MONITOR_OUT], "inproc://monitor-out");
}

static int zap_open(struct mesh *m)
{
	void *s = m->socket[ZAP] = zmq_socket(m->ctx, ZMQ_ROUTER);

	if (!s)
		return -1;
	option(s, ZMQ_LINGER, 0);
	return zmq_bind(s, "inproc://zeromq.zap.01");
}

static int bind_one(struct mesh *m, const char *host, uint16_t port)
{
	char endpoint[ENDPOINT_LEN], got[ENDPOINT_LEN], *colon;
	size_t len = sizeof(got);

	if (port)
		snprintf(endpoint, sizeof(endpoint), "tcp://%s:%u", host, port);
	else
		snprintf(endpoint, sizeof(endpoint), "tcp://%s:*", host);
	if (zmq_bind(m->socket[IN], endpoint) < 0)
		return -1;
	if (!m->port && zmq_getsockopt(m->socket[IN], ZMQ_LAST_ENDPOINT, got, &len) == 0 && (colon = strrchr(got, ':')))
		m->port = (uint16_t)atoi(colon + 1);
	return 0;
}

static int bind_all(struct mesh *m, const struct mesh_conf *conf, char **why)
{
	char text[64], host[80];
	int rc = 0;

	if (conf->n_listen == 0) {
		rc = bind_one(m, "*", conf->port);
		if (rc < 0 && zmq_errno() == EAFNOSUPPORT) {
			option(m->socket[IN], ZMQ_IPV6, 0);
			rc = bind_one(m, "*", conf->port);
		}
		snprintf(text, sizeof(text), "port %u", conf->port);
	}
	for (unsigned i = 0; i < conf->n_listen && rc == 0; i++) {
		struct addr a = conf->listen[i];
		uint16_t port = a.port ? a.port : conf->port;

		a.port = 0;
		addr_text(&a, text);
		snprintf(host, sizeof(host), a.family == 6 ? "[%s]" : "%s", text);
		rc = bind_one(m, host, port);
	}
	if (rc < 0) {
		if (why)
			*why = mem_printf("mesh: cannot listen at %s (TCP): %s", text, zmq_strerror(zmq_errno()));
		return -1;
	}
	return 0;
}

static void watchers_start(struct mesh *m)
{
	for (int i = 0; i < N_SOCKETS; i++) {
		int fd = -1;
		size_t len = sizeof(fd);

		zmq_getsockopt(m->socket[i], ZMQ_FD, &fd, &len);
		ev_io_init(&m->io[i], doorbell, fd, EV_READ);
		m->io[i].data = m;
		ev_io_start(m->loop, &m->io[i]);
	}
	ev_prepare_start(m->loop, &m->prepare);
	ev_check_start(m->loop, &m->check);
	ev_timer_start(m->loop, &m->timer);
	m->touched = true;
}

struct mesh *mesh_new(struct ev_loop *loop, const struct mesh_conf *conf, const struct mesh_ops *ops, void *arg, char **why)
{
	struct mesh *m = mem_zalloc(sizeof(*m));

	if (why)
		*why = NULL;
	m->loop = loop;
	m->log = conf->log;
	m->ops = *ops;
	m->arg = arg;
	m->idle_ms = conf->idle_ms ? conf->idle_ms : IDLE_MS;
	m->port = conf->port;
	memcpy(m->curve_public, conf->curve_public, 32);
	memcpy(m->curve_secret, conf->curve_secret, 32);
	LIST_INIT(&m->peers);
	ev_prepare_init(&m->prepare, before_sleep);
	ev_check_init(&m->check, after_sleep);
	ev_set_priority(&m->check, EV_MINPRI);  /* after the doorbells */
	ev_idle_init(&m->idle, still_busy);
	ev_timer_init(&m->patience, patience_ends, 0., 0.);
	ev_timer_init(&m->timer, idle_check, m->idle_ms / 2e3, m->idle_ms / 2e3);
	m->prepare.data = m->check.data = m->timer.data = m->patience.data = m;
	m->ctx = zmq_ctx_new();
	if (m->ctx)
		zmq_ctx_set(m->ctx, ZMQ_IO_THREADS, 1);
	/* The ZAP handler first: a connection that finds none is refused. */
	if (!m->ctx || zap_open(m) < 0 || in_open(m) < 0 || out_open(m) < 0 || bind_all(m, conf, why) < 0) {
		if (why && !*why)
			*why = mem_printf("mesh: %s", zmq_strerror(zmq_errno()));
		mesh_free(&m);
		return NULL;
	}
	watchers_start(m);
	return m;
}

void mesh_free(struct mesh **mp)
{
	struct mesh *m = *mp;
	struct peer *p;

	if (!m)
		return;
	while ((p = LIST_FIRST(&m->peers))) {
		LIST_REMOVE(p, link);
		mem_autofree(&p);
	}
	ev_prepare_stop(m->loop, &m->prepare);
	ev_check_stop(m->loop, &m->check);
	ev_idle_stop(m->loop, &m->idle);
	ev_timer_stop(m->loop, &m->timer);
	ev_timer_stop(m->loop, &m->patience);
	for (int i = 0; i < N_SOCKETS; i++) {
		if (ev_is_active(&m->io[i]))
			ev_io_stop(m->loop, &m->io[i]);
		if (i == IN || i == OUT)
			if (m->socket[i])
				zmq_socket_monitor(m->socket[i], NULL, 0);
	}
	for (int i = 0; i < N_SOCKETS; i++)
		if (m->socket[i])
			zmq_close(m->socket[i]);
	if (m->ctx)
		zmq_ctx_term(m->ctx);
	memset(m->curve_secret, 0, sizeof(m->curve_secret));
	mem_autofree(mp);
	*mp = NULL;
}

void mesh_counts(const struct mesh *m, struct mesh_counts *out)
{
	*out = m->counts;
}

uint16_t mesh_port(const struct mesh *m)
{
	return m->port;
}
