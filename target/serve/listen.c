/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: the portals of all targets, opened and closed as targets come and go; accepted sockets go to workers. */
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
	int fd;
	ev_io io;
	bool wanted;
};

struct listen {
	struct serve *serve;
	struct ev_loop *loop;
	struct listener *listeners;
	ev_timer retry;
	struct addr failed;             /* the last address that could not be opened, and why */
	int failed_errno;
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
	if (atomic_load(&s->n_links) >= s->conf.links_max || !source_admit(s, &m->peer)) {
		log_warn(&s->log, "listen: %s has too many connections without a login", addr_text(&m->peer, text));
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
	if (bind(fd, (struct sockaddr *)&ss, n) < 0 || listen(fd, 1024) < 0) {
		*err = errno;
		close(fd);
		return -1;
	}
	return fd;
}

static void listener_want(struct listen *ls, const struct addr *a)
{
	struct listener *l = ls->listeners;
	char text[64];
	int fd, err = 0;

	while (l && !addr_eq(&l->addr, a))
		l = l->next;
	if (l) {
		l->wanted = true;
		ev_io_start(ls->loop, &l->io);
		return;
	}
	fd = socket_open(a, &err);
	if (fd < 0 && err == EAFNOSUPPORT && a->family == 6) {
		/* A host without IPv6: the wildcard is that of IPv4. */
		struct addr four = { .family = 4, .port = a->port };

		listener_want(ls, &four);
		return;
	}
	if (fd < 0) {
		/* Once per address and reason: it is tried again every RETRY_S. */
		if (!addr_eq(&ls->failed, a) || ls->failed_errno != err)
			log_warn(&ls->serve->log, "listen: %s: %s", addr_text(a, text), strerror(err));
		ls->failed = *a;
		ls->failed_errno = err;
		ev_timer_again(ls->loop, &ls->retry);
		return;
	}
	l = mem_zalloc(sizeof(*l));
	l->owner = ls;
	l->addr = *a;
	l->fd = fd;
	l->wanted = true;
	ev_io_init(&l->io, on_readable, fd, EV_READ);
	l->io.data = l;
	ev_io_start(ls->loop, &l->io);
	l->next = ls->listeners;
	ls->listeners = l;
	log_info(&ls->serve->log, "listen: %s", addr_text(a, text));
}

static void listener_close(struct listen *ls, struct listener **p)
{
	struct listener *l = *p;

	*p = l->next;
	ev_io_stop(ls->loop, &l->io);
	close(l->fd);
	free(l);
}

static void want_all(struct listen *ls)
{
	struct registry *r = &ls->serve->registry;
	struct addr a;

	pthread_mutex_lock(&r->lock);
	for (struct target *t = r->targets; t; t = t->next) {
		for (unsigned i = 0; i < t->def.n_portals; i++)
			if (addr_parse(t->def.portals[i], 3260, &a) == 0)
				listener_want(ls, &a);
		if (t->def.n_portals == 0 && addr_parse(DEFAULT_PORTAL, 3260, &a) == 0)
			listener_want(ls, &a);
	}
	pthread_mutex_unlock(&r->lock);
}

void listen_refresh(struct listen *ls)
{
	for (struct listener *l = ls->listeners; l; l = l->next)
		l->wanted = false;
	want_all(ls);
	/* Old ones go before new ones are tried again: a wildcard and an address of the same port exclude each other. */
	for (struct listener **p = &ls->listeners; *p; )
		if ((*p)->wanted)
			p = &(*p)->next;
		else
			listener_close(ls, p);
	want_all(ls);
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

static bool is_open(const struct listen *ls, const struct addr *a)
{
	for (const struct listener *l = ls->listeners; l; l = l->next)
		/* The wildcard of IPv4 stands in for that of IPv6 where there is none. */
		if (addr_eq(&l->addr, a) || (l->addr.port == a->port && l->addr.family == 4 && a->family == 6 && l->addr.ip[0] == 0))
			return true;
	return false;
}

char *listen_trouble(const struct listen *ls, const struct target_def *t)
{
	char text[64];
	struct addr a;

	/* An address that is not here may be another node's, or move here later: that is no trouble. */
	if (ls->failed_errno == 0 || ls->failed_errno == EADDRNOTAVAIL)
		return NULL;
	for (unsigned i = 0; i < t->n_portals || (i == 0 && !t->n_portals); i++)
		if (addr_parse(t->n_portals ? t->portals[i] : DEFAULT_PORTAL, 3260, &a) == 0 && addr_eq(&a, &ls->failed) && !is_open(ls, &a))
			return mem_printf("cannot listen at %s: %s; it is tried again", addr_text(&a, text), strerror(ls->failed_errno));
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
		list->portals[list->n_portals++] = mem_strdup(addr_text(&l->addr, text));
}
