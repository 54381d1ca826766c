/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: the portals of all targets, opened and closed as targets come and go; accepted sockets go to
 * workers. */
#include "config.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "target/serve/serve.h"

#define DEFAULT_PORTAL "[::]:3260"
#define RETRY_S 2.0

struct listener {
	struct listener *next;
	struct listen *owner;
	struct addr addr;
	int fd;                         /* -1: it could not be opened */
	int err;                        /* why */
	ev_io io;
	bool wanted;
};

struct listen {
	struct serve *serve;
	struct ev_loop *loop;
	struct listener *listeners;
	ev_timer retry;
};

struct accept_msg {
	struct worker_msg msg;
	int fd;
	struct addr peer, local;
};

static socklen_t to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	in6->sin6_scope_id = a->scope;
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

/* An IPv4 address that came through an IPv6 socket is an IPv4 address. */
static struct addr from_sockaddr(const struct sockaddr_storage *ss)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	struct addr a = { 0 };

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		a.family = 4;
		a.port = ntohs(in->sin_port);
		memcpy(a.ip, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
		const uint8_t *ip = in6->sin6_addr.s6_addr;

		a.port = ntohs(in6->sin6_port);
		a.family = memcmp(ip, mapped, 12) == 0 ? 4 : 6;
		memcpy(a.ip, a.family == 4 ? ip + 12 : ip, a.family == 4 ? 4 : 16);
		a.scope = a.family == 6 ? in6->sin6_scope_id : 0;
	}
	return a;
}

static void accept_run(struct worker *w, struct worker_msg *m)
{
	struct accept_msg *am = (struct accept_msg *)m;

	if (w->stopping) {
		close(am->fd);
		atomic_fetch_sub(&w->serve->n_links, 1);
		source_gone(w->serve, &am->peer, false);
	} else {
		link_new(w, am->fd, &am->peer, &am->local);
	}
	free(am);
}

static struct worker *least_loaded(struct serve *s)
{
	struct worker *best = s->workers[0];

	for (unsigned i = 1; i < s->n_workers; i++)
		if (atomic_load(&s->workers[i]->n_links) < atomic_load(&best->n_links))
			best = s->workers[i];
	return best;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct listener *l = io->data;
	struct serve *s = l->owner->serve;
	struct sockaddr_storage peer, local;
	socklen_t np = sizeof(peer), nl = sizeof(local);
	enum source_room room;
	struct accept_msg *m;
	char text[64];
	int fd = accept4(l->fd, (struct sockaddr *)&peer, &np, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		/* Out of descriptors or memory: the readiness stays, so look away for a while. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			log_warn(&s->log, "listen: accept: %s", strerror(errno));
			ev_io_stop(loop, io);
			ev_timer_again(loop, &l->owner->retry);
		}
		return;
	}
	getsockname(fd, (struct sockaddr *)&local, &nl);
	m = mem_zalloc(sizeof(*m));
	m->msg.run = accept_run;
	m->fd = fd;
	m->peer = from_sockaddr(&peer);
	m->local = from_sockaddr(&local);
	room = atomic_load(&s->n_links) >= s->conf.links_max ? SOURCE_FULL : source_admit(s, &m->peer);
	if (room != SOURCE_ROOM)
		source_shed(s, room == SOURCE_FULL ? NULL : &m->peer);
	if (room == SOURCE_FULL) {
		log_warn(&s->log, "listen: %s is not let in: too many connections, or too many without a login",
			addr_text(&m->peer, text));
		close(fd);
		free(m);
		return;
	}
	atomic_fetch_add(&s->n_links, 1);
	worker_post(least_loaded(s), &m->msg);
}

static int socket_open(const struct addr *a, int *err)
{
	struct sockaddr_storage ss;
	socklen_t n = to_sockaddr(a, &ss);
	int one = 1, zero = 0, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		*err = errno;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->family == 6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	/* An address that floats may come here at any time, and is listened at before that. */
	setsockopt(fd, a->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, a->family == 6 ? IPV6_FREEBIND : IP_FREEBIND, &one,
		sizeof(one));
	/* And when it has gone, its initiators are still told that their connections ended. Not without CAP_NET_ADMIN. */
	setsockopt(fd, a->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP, a->family == 6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &one,
		sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, 1024) < 0) {
		*err = errno;
		close(fd);
		return -1;
	}
	return fd;
}

static struct listener *listener_get(struct listen *ls, const struct addr *a)
{
	struct listener *l = ls->listeners;

	while (l && !addr_eq(&l->addr, a))
		l = l->next;
	if (l)
		return l;
	l = mem_zalloc(sizeof(*l));
	l->owner = ls;
	l->addr = *a;
	l->fd = -1;
	ev_io_init(&l->io, on_readable, -1, EV_READ);
	l->io.data = l;
	l->next = ls->listeners;
	ls->listeners = l;
	return l;
}

static bool is_wildcard(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

/* Does the wildcard `w` take what comes to `a`? Both cannot be bound at once. */
static bool covers(const struct addr *w, const struct addr *a)
{
	return is_wildcard(w) && !addr_eq(w, a) && w->port == a->port && (w->family == 6 || a->family == 4);
}

static void listener_shut(struct listener *l)
{
	ev_io_stop(l->owner->loop, &l->io);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

static void listener_want(struct listen *ls, const struct addr *a)
{
	struct listener *l = listener_get(ls, a);
	struct addr four = { .family = 4, .port = a->port };
	char text[64];
	int err = 0;

	l->wanted = true;
	for (struct listener *o = ls->listeners; o; o = o->next) {
		if (covers(&o->addr, a) && o->wanted && o->fd >= 0) {
			listener_shut(l);
			l->err = 0;
			return;
		}
		if (covers(a, &o->addr))
			listener_shut(o);
	}
	if (l->fd < 0 && (l->fd = socket_open(a, &err)) >= 0) {
		ev_io_set(&l->io, l->fd, EV_READ);
		log_info(&ls->serve->log, "listen: %s", addr_text(a, text));
	}
	if (l->fd >= 0) {
		l->err = 0;
		ev_io_start(ls->loop, &l->io);
		return;
	}
	/* A host without IPv6: its wildcard is that of IPv4. */
	if (err == EAFNOSUPPORT && a->family == 6 &&
		addr_eq(a, &(struct addr){ .family = 6, .port = a->port }))
		listener_want(ls, &four);
	if (err != l->err)
		log_warn(&ls->serve->log, "listen: %s: %s", addr_text(a, text), strerror(err));
	l->err = err;
	ev_timer_again(ls->loop, &ls->retry);
}

static void listener_mark(struct listen *ls, const struct addr *a)
{
	listener_get(ls, a)->wanted = true;
}

static void listener_close(struct listen *ls, struct listener **p)
{
	struct listener *l = *p;

	*p = l->next;
	listener_shut(l);
	free(l);
}

/* fn of the inner portals and of every portal of every target; wildcards first, because they take the place of single addresses. */
static void each_portal(struct listen *ls, void (*fn)(struct listen *, const struct addr *))
{
	struct registry *r = &ls->serve->registry;
	struct addr a;

	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; inner_portal_locked(ls->serve, i, &a); i++)
		fn(ls, &a);
	for (int wildcards = 1; wildcards >= 0; wildcards--)
		for (struct target *t = r->targets; t; t = t->next)
			for (unsigned i = 0; i < t->def.n_portals || (i == 0 && !t->def.n_portals); i++)
				if (addr_parse(t->def.n_portals ? t->def.portals[i] : DEFAULT_PORTAL, 3260,
					    &a) == 0 &&
					is_wildcard(&a) == wildcards)
					fn(ls, &a);
	pthread_mutex_unlock(&r->lock);
}

void listen_refresh(struct listen *ls)
{
	for (struct listener *l = ls->listeners; l; l = l->next)
		l->wanted = false;
	each_portal(ls, listener_mark);
	for (struct listener **p = &ls->listeners; *p; )
		if ((*p)->wanted)
			p = &(*p)->next;
		else
			listener_close(ls, p);
	each_portal(ls, listener_want);
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int revents)
{
	ev_timer_stop(loop, timer);
	listen_refresh(timer->data);
}

struct listen *listen_new(struct serve *s, struct ev_loop *loop)
{
	struct listen *ls = mem_zalloc(sizeof(*ls));

	ls->serve = s;
	ls->loop = loop;
	ev_timer_init(&ls->retry, on_retry, RETRY_S, RETRY_S);
	ls->retry.data = ls;
	return ls;
}

void listen_free(struct listen **listen)
{
	struct listen *ls = *listen;

	if (!ls)
		return;
	while (ls->listeners)
		listener_close(ls, &ls->listeners);
	ev_timer_stop(ls->loop, &ls->retry);
	free(ls);
	*listen = NULL;
}

char *listen_trouble(const struct listen *ls, const struct target_def *t)
{
	char text[64];
	struct addr a;

	for (unsigned i = 0; i < t->n_portals || (i == 0 && !t->n_portals); i++) {
		const struct listener *l = ls->listeners;

		if (addr_parse(t->n_portals ? t->portals[i] : DEFAULT_PORTAL, 3260, &a) != 0)
			continue;
		while (l && !addr_eq(&l->addr, &a))
			l = l->next;
		/* An address that is not here may be another node's, or move here later: that is no
		 * trouble. */
		if (l && l->err && l->err != EADDRNOTAVAIL && l->err != EAFNOSUPPORT)
			return mem_printf("cannot listen at %s: %s; it is tried again", addr_text(&a, text),
				strerror(l->err));
	}
	return NULL;
}

void listen_list(const struct listen *ls, struct target_list *list)
{
	unsigned n = 0;
	char text[64];

	for (struct listener *l = ls->listeners; l; l = l->next)
		n++;
	list->portals = mem_zalloc((n + 1) * sizeof(*list->portals));
	for (struct listener *l = ls->listeners; l; l = l->next)
		if (l->fd >= 0)
			list->portals[list->n_portals++] = mem_strdup(addr_text(&l->addr, text));
}
