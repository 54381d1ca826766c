/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: sockets to the machine and back, with one readv and one writev for many PDUs. Sockets are registered once,
 * edge-triggered. In a thread of its own, or one that has adopted it, others reach it by the inbox (commands) and by jobs.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "initiator/priv.h"

#define IOV_MAX_OUT 256
#define READS_MAX 16                    /* of one socket in a row */
#define LARGE 65536u                    /* so much data still missing: read it in place, and little beyond it */
#define BEHIND 4096u

_Static_assert(sizeof(struct ini_iov) == sizeof(struct iovec) && offsetof(struct ini_iov, len) == offsetof(struct iovec, iov_len),
	"ini_iov is passed to writev");

struct mono clock_now(void)
{
	return mono_now();
}

/* ---- sockets ---- */

/* Is there more to read, of which no event will tell? */
static void readable_set(struct sock *k, bool on)
{
	if (k->readable != on)
		k->h->loop->n_readable += on ? 1u : -1u;
	k->readable = on;
}

static void lookup_end(struct sock *k)
{
	if (!k->lookup)
		return;
	lookup_free(&k->lookup);
	k->h->loop->n_lookups--;
}

void sock_close(struct sock *k)
{
	lookup_end(k);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->connecting = k->blocked = false;
	readable_set(k, false);
}

static void sock_lost(struct sock *k, const char *why)
{
	sock_close(k);
	ini_lost(ini_conn_of(k->h->s, k->index), why);
	loop_dirty(k->h);
}

static void sock_up(struct sock *k)
{
	uint8_t random[CHAP_HASH_MAX + 1];

	k->connecting = false;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
		sock_lost(k, "no randomness");
		return;
	}
	ini_connected(ini_conn_of(k->h->s, k->index), random);
	loop_dirty(k->h);
}

static void sock_open(struct sock *k, const struct sockaddr_storage *addr, unsigned len)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = k };
	int one = 1;

	k->fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->fd < 0) {
		sock_lost(k, strerror(errno));
		return;
	}
	setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	k->connecting = true;
	if (connect(k->fd, (const struct sockaddr *)addr, len) < 0 && errno != EINPROGRESS) {
		sock_lost(k, strerror(errno));
		return;
	}
	if (epoll_ctl(k->h->loop->epoll, EPOLL_CTL_ADD, k->fd, &ev) < 0)
		sock_lost(k, strerror(errno));
}

static void sock_connect(struct sock *k)
{
	struct ini_conn *c = ini_conn_of(k->h->s, k->index);
	struct sockaddr_storage addr;
	unsigned len;

	ini_connecting(c);
	if (address_parse(c->address, true, &addr, &len) == 0) {
		sock_open(k, &addr, len);
		return;
	}
	/* What a target redirects to may be a name; everything else was resolved at the beginning. */
	if (c->redirect[0] && (k->lookup = lookup_start(c->address, k->h->loop->event)))
		k->h->loop->n_lookups++;
	else
		ini_lost(c, "the address cannot be resolved");
}

static void sock_resolved(struct sock *k)
{
	struct sockaddr_storage addr;
	unsigned len;
	int r = lookup_result(k->lookup, &addr, &len);

	lookup_end(k);
	if (r < 0)
		sock_lost(k, "the address cannot be resolved");
	else
		sock_open(k, &addr, len);
}

static void take_lookups(struct director_iscsi_loop *loop)
{
	for (struct director_iscsi *h = loop->sessions; h && loop->n_lookups; h = h->next)
		for (unsigned i = 0; i < h->s->n_conns; i++)
			if (h->sock[i].lookup && lookup_over(h->sock[i].lookup))
				sock_resolved(&h->sock[i]);
}

static void sock_connected(struct sock *k)
{
	int e = 0;
	socklen_t n = sizeof(e);

	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
		e = errno;
	if (e)
		sock_lost(k, strerror(e));
	else
		sock_up(k);
}

static void sock_read(struct sock *k)
{
	struct director_iscsi_loop *loop = k->h->loop;
	struct ini_conn *c = ini_conn_of(k->h->s, k->index);

	readable_set(k, false);
	loop_dirty(k->h);
	for (unsigned i = 0; i < READS_MAX && k->fd >= 0 && c->ask != INI_ASK_CLOSE; i++) {
		struct iovec iov[2];
		void *place = NULL;
		uint32_t want = ini_want(c, &place);
		size_t behind = want >= LARGE ? BEHIND : loop->bounce_len;
		ssize_t n;

		iov[0] = (struct iovec){ place, want };
		iov[1] = (struct iovec){ loop->bounce, behind };
		n = want ? readv(k->fd, iov, 2) : read(k->fd, loop->bounce, behind);
		if (n <= 0) {
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				return;
			sock_lost(k, n == 0 ? "the target closed the connection" : strerror(errno));
			return;
		}
		if (want)
			ini_got(c, (size_t)n < want ? (uint32_t)n : want);
		if ((size_t)n > want)
			ini_feed(c, loop->bounce, (size_t)n - want);
		/* A short read means that there was no more; what comes later is a new edge. */
		if ((size_t)n < want + behind)
			return;
	}
	readable_set(k, true);
}

static void sock_write(struct sock *k)
{
	struct ini_conn *c = ini_conn_of(k->h->s, k->index);
	struct ini_iov iov[IOV_MAX_OUT];

	while (k->fd >= 0 && !k->connecting && !k->blocked && c->ask != INI_ASK_CLOSE) {
		unsigned n = ini_output(c, iov, IOV_MAX_OUT);
		struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
		size_t all = 0;
		ssize_t sent;

		if (!n)
			return;
		for (unsigned i = 0; i < n; i++)
			all += iov[i].len;
		sent = sendmsg(k->fd, &m, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno == EAGAIN)
				k->blocked = true;
			else if (errno != EINTR)
				sock_lost(k, strerror(errno));
			continue;
		}
		ini_sent(c, (size_t)sent);
		if ((size_t)sent < all)
			k->blocked = true;
	}
}

static void sock_event(struct sock *k, uint32_t events)
{
	if (k->fd < 0)
		return;
	if (k->connecting) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			sock_connected(k);
		return;
	}
	if (events & EPOLLOUT) {
		k->blocked = false;
		loop_dirty(k->h);
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP))
		sock_read(k);
}

/* ---- sessions ---- */

void loop_dirty(struct director_iscsi *h)
{
	if (h->dirty)
		return;
	h->dirty = true;
	h->dirty_next = h->loop->dirty;
	h->loop->dirty = h;
}

/* Everything that the machine wants done now. */
static void service(struct director_iscsi *h)
{
	bool changed = true;

	/* A connection that was closed or begun has other times than before. */
	while (changed) {
		changed = false;
		h->wake = ini_tick(h->s, h->loop->now);
		for (unsigned i = 0; i < h->s->n_conns; i++) {
			struct ini_conn *c = ini_conn_of(h->s, i);

			if (ini_conn_ask(c) == INI_ASK_CLOSE) {
				sock_close(&h->sock[i]);
				ini_closed(c);
				changed = true;
			}
			if (ini_conn_ask(c) == INI_ASK_CONNECT) {
				sock_connect(&h->sock[i]);
				changed = true;
			}
			if (h->sock[i].fd >= 0)
				sock_write(&h->sock[i]);
		}
	}
}

void loop_deliver(struct director_iscsi *h)
{
	struct ini_cmd *cmd;
	struct ini_event ev;

	while ((cmd = ini_next_done(h->s))) {
		h->loop->n_done++;
		io_done(cmd);
	}
	while (ini_next_event(h->s, &ev)) {
		struct director_iscsi_event e = { .kind = ev.kind + 1, .value = ev.value, .status = ev.status };

		snprintf(e.text, sizeof(e.text), "%s", ev.text);
		if (ev.kind == INI_EV_REFUSED) {
			h->refused = true;
			h->refused_status = ev.status;
		} else if (ev.kind == INI_EV_FAILED) {
			h->failed = true;
			snprintf(h->why, sizeof(h->why), "%s", ev.text);
		}
		if (h->conf.event)
			h->conf.event(h->conf.arg, h, &e);
	}
}

static void take_inbox(struct director_iscsi_loop *loop)
{
	struct director_iscsi_io *io, *list = NULL;

	if (!atomic_load_explicit(&loop->inbox, memory_order_relaxed))
		return;
	/* The newest is first: turn it over. */
	io = atomic_exchange(&loop->inbox, NULL);
	while (io) {
		struct director_iscsi_io *next = io_priv(io)->next;

		io_priv(io)->next = list;
		list = io;
		io = next;
	}
	while (list) {
		io = list;
		list = io_priv(io)->next;
		io_begin(io_priv(io)->h, io);
	}
}

static void take_jobs(struct director_iscsi_loop *loop)
{
	struct job *j;

	pthread_mutex_lock(&loop->lock);
	while ((j = loop->jobs)) {
		loop->jobs = j->next;
		pthread_mutex_unlock(&loop->lock);
		/* What was submitted before the job came goes before it: the job may be the end of the session. */
		take_inbox(loop);
		j->fn(j->arg);
		pthread_mutex_lock(&loop->lock);
		j->done = true;
		pthread_cond_broadcast(&loop->cond);
	}
	pthread_mutex_unlock(&loop->lock);
}

static void due(struct director_iscsi_loop *loop)
{
	if (!mono_due(loop->wake, loop->now))
		return;
	loop->wake = MONO_NEVER;
	for (struct director_iscsi *h = loop->sessions; h; h = h->next)
		if (mono_due(h->wake, loop->now))
			loop_dirty(h);
		else
			loop->wake = mono_min(loop->wake, h->wake);
}

/* May others than its thread use it? */
static bool is_shared(const struct director_iscsi_loop *loop)
{
	return loop->threaded || loop->adopted;
}

/* Until nothing is left that could be done without waiting. */
static void settle(struct director_iscsi_loop *loop)
{
	struct director_iscsi *h;

	loop->now = clock_now();
	if (loop->n_lookups)
		take_lookups(loop);
	take_inbox(loop);
	if (is_shared(loop))
		take_jobs(loop);
	due(loop);
	while ((h = loop->dirty)) {
		loop->dirty = h->dirty_next;
		/* Still marked: what its callbacks submit to it is served right after. */
		loop_deliver(h);
		h->dirty = false;
		service(h);
		loop->wake = mono_min(loop->wake, h->wake);
		/* What came of it: commands that failed at once, a refused connect. */
		if (h->s->done || h->s->n_events)
			loop_dirty(h);
	}
}

static int wait_ms(const struct director_iscsi_loop *loop)
{
	struct mono now;

	if (loop->wake.ns == MONO_NEVER.ns)
		return -1;
	now = clock_now();
	if (mono_due(loop->wake, now))
		return 0;
	return mono_ms_between(now, loop->wake) > 100000 ? 100000 : (int)mono_ms_between(now, loop->wake) + 1;
}

static void read_more(struct director_iscsi_loop *loop)
{
	for (struct director_iscsi *h = loop->sessions; h; h = h->next)
		for (unsigned i = 0; i < h->s->n_conns; i++)
			if (h->sock[i].readable)
				sock_read(&h->sock[i]);
}

/* Its runner goes and waits elsewhere: from now on whoever submits has to wake it. */
static void rest(struct director_iscsi_loop *loop)
{
	for (;;) {
		atomic_store(&loop->sleeping, true);
		if (!atomic_load(&loop->inbox))
			break;
		atomic_store(&loop->sleeping, false);
		settle(loop);
	}
}

int director_iscsi_loop_run(struct director_iscsi_loop *loop, int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];
	bool again;
	int n, wait;

	loop->running = true;
	settle(loop);
	again = loop->n_readable > 0;
	wait = again ? 0 : wait_ms(loop);
	if (timeout_ms >= 0 && (wait < 0 || wait > timeout_ms))
		wait = timeout_ms;
	if (is_shared(loop) && wait) {
		atomic_store(&loop->sleeping, true);
		if (atomic_load(&loop->inbox) || atomic_load(&loop->stop))
			wait = 0;
	}
	n = epoll_wait(loop->epoll, ev, EVENTS_MAX, wait);
	atomic_store(&loop->sleeping, false);
	if (n < 0 && errno != EINTR) {
		loop->running = false;
		return -errno;
	}
	loop->now = clock_now();
	if (again)
		read_more(loop);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.ptr) {
			sock_event(ev[i].data.ptr, ev[i].events);
		} else {
			uint64_t count;

			loop->poked = false;
			if (read(loop->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
				break;
		}
	}
	settle(loop);
	if (loop->adopted)
		rest(loop);
	loop->running = false;
	/* The caller's poll must see what is left. */
	if (!loop->threaded && loop->n_readable)
		loop_poke(loop);
	stay_turn(loop);
	return 0;
}

/* ---- the loop itself ---- */

static __thread char this_thread;       /* its address tells threads apart */

bool loop_here(const struct director_iscsi_loop *loop)
{
	if (loop->threaded)
		return pthread_equal(loop->thread, pthread_self());
	return !loop->adopted || atomic_load_explicit(&loop->runner, memory_order_relaxed) == &this_thread;
}

void loop_pass(struct director_iscsi_loop *loop, unsigned ms)
{
	if (loop_here(loop))
		director_iscsi_loop_run(loop, (int)ms);
	else
		usleep(ms * 1000);
}

void loop_poke(struct director_iscsi_loop *loop)
{
	uint64_t one = 1;

	if (write(loop->event, &one, sizeof(one)) < 0)
		return;         /* it is full: then it is readable */
}

void loop_call(struct director_iscsi_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct job j = { .fn = fn, .arg = arg };
	struct job **p = &loop->jobs;

	if (loop_here(loop)) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	while (*p)
		p = &(*p)->next;
	*p = &j;
	loop_poke(loop);
	while (!j.done)
		pthread_cond_wait(&loop->cond, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

void loop_wait(struct director_iscsi_loop *loop, const atomic_bool *flag)
{
	if (loop_here(loop)) {
		while (!atomic_load(flag))
			director_iscsi_loop_run(loop, -1);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	while (!atomic_load(flag))
		pthread_cond_wait(&loop->cond, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

struct director_iscsi_loop *director_iscsi_loop_new(void)
{
	struct director_iscsi_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = { .events = EPOLLIN };

	if (!loop)
		return NULL;
	loop->wake = MONO_NEVER;
	pin_init(&loop->pin);
	loop->now = clock_now();
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->bounce = loop->own = malloc(BOUNCE_LEN);
	loop->bounce_len = BOUNCE_LEN;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->cond, NULL);
	if (loop->epoll < 0 || loop->event < 0 || !loop->bounce ||
		epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->event, &ev) < 0)
		director_iscsi_loop_free(&loop);
	return loop;
}

void director_iscsi_loop_free(struct director_iscsi_loop **pp)
{
	struct director_iscsi_loop *loop = *pp;

	if (!loop)
		return;
	if (loop->threaded) {
		atomic_store(&loop->stop, true);
		loop_poke(loop);
		pthread_join(loop->thread, NULL);
	}
	pin_end(&loop->pin);
	if (loop->epoll >= 0)
		close(loop->epoll);
	if (loop->event >= 0)
		close(loop->event);
	pthread_mutex_destroy(&loop->lock);
	pthread_cond_destroy(&loop->cond);
	free(loop->own);
	free(loop);
	*pp = NULL;
}

int director_iscsi_loop_fd(const struct director_iscsi_loop *loop)
{
	return loop->epoll;
}

int director_iscsi_loop_timeout(struct director_iscsi_loop *loop)
{
	return loop->dirty ? 0 : wait_ms(loop);
}

/* ---- of a thread of the caller's ---- */

void director_iscsi_loop_adopt(struct director_iscsi_loop *loop, void *scratch, size_t size)
{
	free(loop->own);
	loop->own = NULL;
	loop->bounce = scratch;
	loop->bounce_len = size;
	if (!loop->adopted)
		loop->adopted = true;
	atomic_store(&loop->runner, &this_thread);
}

void director_iscsi_loop_leave(struct director_iscsi_loop *loop)
{
	loop->held = false;
	/* What is left to be done: who runs it next sees it. */
	if (loop->dirty)
		loop_poke(loop);
	atomic_store(&loop->runner, NULL);
}

void director_iscsi_loop_hold(struct director_iscsi_loop *loop)
{
	loop->held = true;
	loop->now = clock_now();
}

void director_iscsi_loop_flush(struct director_iscsi_loop *loop)
{
	loop->held = false;
	if (loop->running || (!loop->dirty && !atomic_load_explicit(&loop->inbox, memory_order_relaxed)))
		return;
	loop->running = true;
	settle(loop);
	loop->running = false;
}

static void *loop_main(void *arg)
{
	struct director_iscsi_loop *loop = arg;

	while (!atomic_load(&loop->stop))
		director_iscsi_loop_run(loop, -1);
	pin_end(&loop->pin);
	return NULL;
}

int director_iscsi_loop_start(struct director_iscsi_loop *loop)
{
	int r;

	if (loop->threaded)
		return 0;
	loop->threaded = true;
	if (!loop->stay_said)
		loop->stay = true;
	r = pthread_create(&loop->thread, NULL, loop_main, loop);
	if (r)
		loop->threaded = false;
	return -r;
}
