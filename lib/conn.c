/* SPDX-License-Identifier: Apache-2.0 */
/* The connection: bytes in, bytes out, and waiting for either. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "lib/priv.h"

#define START_HINT "systemctl status directord"

void director_new(struct director **out, const char *socket_path)
{
	struct director *d = mem_zalloc(sizeof(*d));
	const char *env = getenv("DIRECTOR_SOCKET");

	d->socket = mem_strdup(socket_path ? socket_path : env && *env ? env : CONTROL_SOCKET);
	d->program = mem_strdup("libdirector");
	d->timeout_ms = 30000;
	d->fd = -1;
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	TAILQ_INIT(&d->requests);
	LIST_INIT(&d->mirrors);
	*out = d;
}

static void disconnect(struct director *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->ready = d->may_write = false;
	d->in_at = d->out_at = 0;
	buf_reset(&d->in);
	buf_reset(&d->out);
}

void director_free(struct director **p)
{
	struct director *d = *p;

	if (!d)
		return;
	*p = NULL;
	disconnect(d);
	while (!TAILQ_EMPTY(&d->requests))
		request_drop(TAILQ_FIRST(&d->requests));
	if (d->wake >= 0)
		close(d->wake);
	buf_fini(&d->in);
	buf_fini(&d->out);
	free(d->socket);
	free(d->program);
	free(d->version);
	free(d);
}

void director_set_timeout(struct director *d, uint64_t timeout_ms)
{
	d->timeout_ms = timeout_ms;
}

void director_set_program(struct director *d, const char *name)
{
	free(d->program);
	d->program = mem_strdup(name);
}

const char *director_socket(const struct director *d)
{
	return d->socket;
}

const char *director_daemon_version(const struct director *d)
{
	return d->ready ? d->version : NULL;
}

bool director_may_write(const struct director *d)
{
	return d->may_write;
}

struct mono deadline_of(const struct director *d)
{
	return d->timeout_ms ? mono_add_ms(mono_now(), d->timeout_ms) : MONO_NEVER;
}

void director_interrupt(struct director *d)
{
	uint64_t one = 1;
	int saved = errno;

	if (write(d->wake, &one, sizeof(one)) < 0)
		errno = saved;          /* it is set already */
	errno = saved;
}

/* ---- connect ---- */

static int dial_error(struct director *d, int e)
{
	if (e == EACCES || e == EPERM)
		return error_set(d, ERR_DENIED, NULL, "run it as root, or as a member of the group director",
		                 "no permission to connect to %s", d->socket);
	return error_set(d, ERR_UNREACHABLE, NULL, START_HINT, "directord does not answer at %s: %s", d->socket, strerror(e));
}

static int dial(struct director *d, struct mono deadline)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(d->socket) >= sizeof(sa.sun_path))
		return error_set(d, ERR_INVAL, NULL, NULL, "%s is too long for a socket", d->socket);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", d->socket);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return dial_error(d, errno);
	/* EAGAIN: the daemon's queue is full; it is there, so it is worth some patience. */
	while (connect(d->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int e = errno;

		if (e == EINTR)
			continue;
		if (e != EAGAIN || mono_due(deadline, mono_now())) {
			disconnect(d);
			return dial_error(d, e);
		}
		poll(NULL, 0, 10);
	}
	return 0;
}

static void on_hello(struct director_request *q, struct control_reply *r)
{
	struct director *d = q->d;

	if (r->kind != CONTROL_R_HELLO)
		return;
	free(d->version);
	d->version = r->text;
	r->text = NULL;
	d->stream = r->stream;
	d->may_write = r->may_write;
	d->ready = true;
}

int director_connect(struct director *d)
{
	struct control_req hello = {
		.kind = CONTROL_HELLO, .version_min = CONTROL_VERSION_MIN, .version = CONTROL_VERSION, .word = d->program,
	};
	struct mono deadline = deadline_of(d);
	int err;

	if (d->ready)
		return error_clear(d);
	err = d->fd < 0 ? dial(d, deadline) : 0;
	if (!err)
		err = request_run_until(d, &hello, on_hello, NULL, NULL, deadline);
	if (err) {
		disconnect(d);
		return err;
	}
	mirrors_resume(d);
	return error_clear(d);
}

/* ---- bytes ---- */

int director_fd(const struct director *d)
{
	return d->fd;
}

short director_poll_events(const struct director *d)
{
	return (short)(POLLIN | (d->out.len > d->out_at ? POLLOUT : 0));
}

void conn_break(struct director *d)
{
	struct director_error e = d->error;

	disconnect(d);
	requests_fail(d, e.code);
	mirrors_lost(d);
	d->error = e;
}

static int broken(struct director *d, int e)
{
	error_set(d, ERR_UNREACHABLE, NULL, START_HINT, "the connection to directord at %s ended%s%s", d->socket,
	          e ? ": " : "", e ? strerror(e) : "");
	conn_break(d);
	return ERR_UNREACHABLE;
}

static int flush(struct director *d)
{
	while (d->fd >= 0 && d->out.len > d->out_at) {
		ssize_t n = send(d->fd, d->out.data + d->out_at, d->out.len - d->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : broken(d, errno);
		d->out_at += (size_t)n;
	}
	buf_reset(&d->out);
	d->out_at = 0;
	return 0;
}

/* Every whole frame that is there. A callback may use `d` meanwhile: nothing is held over it. */
static int frames(struct director *d)
{
	while (d->fd >= 0) {
		struct control_reply r;
		size_t len;
		int err = control_frame_len(d->in.data + d->in_at, d->in.len - d->in_at, &len);

		if (!err && (len == 0 || d->in.len - d->in_at < len))
			break;
		if (!err) {
			err = control_reply_get(d->in.data + d->in_at, len, &r);
			d->in_at += len;
		}
		if (err) {
			error_set(d, ERR_MALFORMED, NULL, NULL, "directord at %s does not speak the control protocol", d->socket);
			conn_break(d);
			return ERR_MALFORMED;
		}
		request_dispatch(d, &r);
		control_reply_fini(&r);
	}
	if (d->in_at) {
		buf_drop(&d->in, d->in_at);
		d->in_at = 0;
	}
	return 0;
}

static int read_in(struct director *d)
{
	for (;;) {
		uint8_t *p = buf_room(&d->in, 65536);
		ssize_t n = recv(d->fd, p, 65536, MSG_DONTWAIT);
		int err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return broken(d, n < 0 ? errno : 0);
		buf_add(&d->in, (size_t)n);
		err = frames(d);
		if (err || d->fd < 0 || n < 65536)
			return err;
	}
}

int director_process(struct director *d, short revents)
{
	int err = 0;

	error_clear(d);
	if (d->n_unsent)
		requests_unsent(d);
	if (d->fd < 0)
		return error_set(d, ERR_UNREACHABLE, NULL, NULL, "not connected to directord");
	if (revents & (POLLIN | POLLERR | POLLHUP))
		err = read_in(d);
	if (!err && d->fd >= 0)
		err = flush(d);
	return err;
}

int conn_wait(struct director *d, struct mono deadline)
{
	struct pollfd p[2] = { { d->fd, director_poll_events(d), 0 }, { d->wake, POLLIN, 0 } };
	struct mono now = mono_now();
	int n, ms = -1;

	if (d->fd < 0)
		return director_process(d, 0);
	if (deadline.ns != MONO_NEVER.ns) {
		uint64_t left = mono_ms_between(now, deadline) + (mono_before(now, deadline) ? 1 : 0);

		ms = left > 3600000 ? 3600000 : (int)left;
	}
	n = poll(p, 2, ms);
	if (n > 0 && p[1].revents) {
		uint64_t v;

		if (read(d->wake, &v, sizeof(v)) == (ssize_t)sizeof(v))
			return error_set(d, ERR_CANCELED, NULL, NULL, "interrupted");
	}
	if (n == 0 && mono_due(deadline, mono_now()))
		return error_set(d, ERR_TIMEOUT, NULL, NULL, "no answer from directord in time");
	return n > 0 ? director_process(d, p[0].revents) : 0;
}

int director_wait(struct director *d, int timeout_ms)
{
	error_clear(d);
	return conn_wait(d, timeout_ms < 0 ? MONO_NEVER : mono_add_ms(mono_now(), (uint64_t)timeout_ms));
}
