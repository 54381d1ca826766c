/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP connection: bytes between its socket and the sans-I/O connection. */
#include "config.h"

#include "target/serve/serve.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

#define IOV_MAX_OUT 192
#define LONG_DATA (32u << 10)
#define BEYOND_LONG 4096u
#define BATCH_MIN 8             /* commands whose answers are sent together, if more wait */
#define READS_MAX 8             /* of one connection before the others have their turn */

_Static_assert(sizeof(struct iscsi_iov) == sizeof(struct iovec) &&
		       offsetof(struct iscsi_iov, len) == offsetof(struct iovec, iov_len),
	"iscsi_iov is an iovec");

static void poll_set(struct link *l)
{
	bool pause = !conn_reading(l->conn);
	struct epoll_event ev = { .events = (pause ? 0u : (unsigned)EPOLLIN) |
					    (l->want_out ? (unsigned)EPOLLOUT : 0),
		.data.ptr = l };

	l->paused = pause;
	epoll_ctl(l->worker->epfd, EPOLL_CTL_MOD, l->fd, &ev);
}

static void link_attach(struct link *l, struct worker *w)
{
	l->worker = w;
	l->prev = NULL;
	l->next = w->links;
	if (l->next)
		l->next->prev = l;
	w->links = l;
	atomic_fetch_add(&w->n_links, 1);
	w->next_tick = mono_min(w->next_tick, mono_add_ms(w->now, 100));
	if (epoll_ctl(w->epfd, EPOLL_CTL_ADD, l->fd,
		    &(struct epoll_event){ .events = EPOLLIN, .data.ptr = l }) < 0) {
		conn_close(l->conn, "no room to wait for it");
		worker_dirty(w, l);
	}
}

static void link_detach(struct link *l)
{
	struct worker *w = l->worker;

	for (struct link **p = &w->dirty; *p; p = &(*p)->next_dirty)
		if (*p == l) {
			*p = l->next_dirty;
			break;
		}
	l->dirty = false;
	if (w->follow.link == l)
		w->follow.link = NULL;
	if (l->next)
		l->next->prev = l->prev;
	if (l->prev)
		l->prev->next = l->next;
	else
		w->links = l->next;
	atomic_fetch_sub(&w->n_links, 1);
}

struct link *link_new(struct worker *w, int fd, const struct addr *peer, const struct addr *local)
{
	const struct serve_conf *conf = &w->serve->conf;
	struct link *l = mem_zalloc(sizeof(*l));
	struct iscsi_conn_conf cc = {
		.pool = &w->pool, .ping_ms = conf->ping_ms, .login_ms = conf->login_ms
	};
	int one = 1;

	l->fd = fd;
	l->peer = *peer;
	l->local = *local;
	l->since = w->now;
	l->conn = iscsi_conn_new(&cc, w->now);
	l->conn->user = l;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	link_attach(l, w);
	return l;
}

void link_free(struct link **link)
{
	struct link *l = *link;
	struct worker *w = l->worker;

	link_detach(l);
	inner_link_gone(l);
	atomic_fetch_sub(&w->serve->n_links, 1);
	source_gone(w->serve, &l->peer, l->logged_in);
	close(l->fd);
	iscsi_conn_free(&l->conn);
	if (l->session)
		session_link_gone(l->session);
	free(l);
	*link = NULL;
}

/*
 * How much may be read beyond what lands in place. Small PDUs come by the hundred with one read; of long ones only the
 * next header is wanted, because the data behind it would be copied once more.
 */
static size_t beyond(const struct iscsi_conn *c)
{
	return c->in.len >= LONG_DATA ? BEYOND_LONG : SCRATCH_LEN;
}

/* One read. Says whether it was of long data, and full: then there is more. */
static bool receive(struct link *l)
{
	struct worker *w = l->worker;
	void *place = NULL;
	uint32_t want = conn_want(l->conn, &place), direct;
	struct iovec iov[2] = { { place, want }, { w->scratch, beyond(l->conn) } };
	bool all = l->conn->in.len >= LONG_DATA;
	ssize_t n = want ? readv(l->fd, iov, 2) : read(l->fd, w->scratch, iov[1].iov_len);

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_close(l->conn, strerror(errno));
		return false;
	}
	if (n == 0) {
		conn_close(l->conn, "closed by the initiator");
		return false;
	}
	all = all && (size_t)n == want + iov[1].iov_len;
	direct = (size_t)n < want ? (uint32_t)n : want;
	if (direct)
		conn_got(l->conn, direct);
	if ((size_t)n > direct)
		conn_feed(l->conn, w->scratch, (size_t)n - direct);
	return all;
}

void link_readable(struct link *l)
{
	ssize_t n;
	char c;

	if (conn_reading(l->conn)) {
		for (unsigned i = 0; i < READS_MAX && receive(l) && conn_reading(l->conn); i++)
			;
		return;
	}
	/* Paused, yet something happened: only its end is of interest. */
	n = recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		conn_close(l->conn, "closed by the initiator");
}

/*
 * Commands are done a few at a time, and their answers are sent before the next few begin: whoever sent them goes on with these meanwhile.
 * With all at once, one of the programs on the way works while the others wait for it, and each has to be woken up again. Of many that are
 * under way more make a batch: each costs system calls.
 */
static bool is_enough(const struct link *l, unsigned n)
{
	const struct iscsi_session *is = l->session->is;

	return is->ready && n >= BATCH_MIN && n >= is->n_tasks / 4;
}

bool link_run(struct link *l)
{
	struct task *t;
	struct iscsi_tmf *tmf;
	unsigned n = 0;

	while (l->conn->ask != ASK_NONE && !l->waiting && l->conn->closing == CLOSING_NO) {
		if (l->conn->ask == ASK_SESSION && !l->looked)
			gone_ask(l);
		if (!l->waiting)
			ask_answer(l);
		if (l->waiting)
			return false;
	}
	if (!l->session)
		return false;
	/* Tasks first: a task management function comes after the commands before it. */
	while ((t = session_next_task(l->session->is))) {
		l->worker->follow.now++;
		l->worker->follow.link = l;
		exec_task(l->session, t);
		if (is_enough(l, ++n))
			return true;
	}
	while (l->conn->closing != CLOSING_NOW && l->conn->session && (tmf = conn_next_tmf(l->conn)))
		tmf_carry_out(l->session, tmf);
	session_wake(l->session);
	if (l->session->n_links > 1)
		session_dirty(l->session);
	return false;
}

/* 1: all gone, 0: the socket is full, -1: broken. */
static int write_out(struct link *l)
{
	struct iscsi_iov iov[IOV_MAX_OUT];
	unsigned n;

	while ((n = conn_output(l->conn, iov, IOV_MAX_OUT))) {
		struct msghdr mh = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
		ssize_t sent = sendmsg(l->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		size_t all = 0;

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		for (unsigned i = 0; i < n; i++)
			all += iov[i].len;
		conn_sent(l->conn, (size_t)sent);
		if ((size_t)sent < all)
			return 0;
	}
	return 1;
}

void link_send(struct link *l)
{
	if (l->session && l->conn->closing == CLOSING_NO)
		write_out(l);
}

/* ---- to another worker ---- */

struct move_msg {
	struct worker_msg msg;
	struct link *link;
};

static void arrive(struct worker *w, struct worker_msg *m)
{
	struct link *l = ((struct move_msg *)m)->link;

	free(m);
	l->moving_to = NULL;
	l->waiting = l->want_out = l->paused = false;
	l->conn->conf.pool = &w->pool;
	link_attach(l, w);
	if (w->stopping)
		conn_close(l->conn, "shutting down");
	worker_dirty(w, l);
}

static void link_hand_over(struct link *l)
{
	struct move_msg *m = mem_zalloc(sizeof(*m));
	struct worker *to = l->moving_to;

	link_detach(l);
	epoll_ctl(l->worker->epfd, EPOLL_CTL_DEL, l->fd, NULL);
	m->msg.run = arrive;
	m->link = l;
	worker_post(to, &m->msg);
}

bool link_flush(struct link *l)
{
	struct worker *w = l->worker;
	bool out;
	int r;

	if (l->moving_to) {
		link_hand_over(l);
		return false;
	}
	if (l->session && l->conn->closing != CLOSING_NO)
		session_let_go(l->session);
	r = l->conn->closing == CLOSING_NOW ? -1 : write_out(l);
	out = r == 0;
	w->next_tick = mono_min(w->next_tick, conn_due(l->conn));
	if (l->conn->closing == CLOSING_FLUSH)
		w->next_tick = mono_min(w->next_tick, mono_add_ms(w->now, 100));        /* there is a limit to it */
	if (l->session)
		session_publish(l->session);
	if (r < 0 || (r == 1 && l->conn->closing == CLOSING_FLUSH)) {
		char peer[64];

		if (l->conn->why)
			log_debug(&w->serve->log, "link: %s: %s", addr_text(&l->peer, peer),
				l->conn->why);
		link_free(&l);
		return false;
	}
	if (out != l->want_out || l->paused == conn_reading(l->conn)) {
		l->want_out = out;
		poll_set(l);
	}
	return true;
}

struct mono link_tick(struct link *l, struct mono now)
{
	return conn_tick(l->conn, now);
}
