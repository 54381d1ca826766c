/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the control socket: who it is, its bytes, its open requests. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "directord/api_priv.h"

/* ---- who ---- */

static bool in_group(int fd, gid_t primary, gid_t want)
{
	gid_t groups[256];
	socklen_t len = sizeof(groups);

	if (primary == want)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == want)
			return true;
	return false;
}

static int peer_of(const struct api *api, int fd, struct api_peer *p)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct passwd *pw;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_from_errno(errno);
	*p = (struct api_peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
	pw = getpwuid(cred.uid);
	if (pw)
		snprintf(p->user, sizeof(p->user), "%s", pw->pw_name);
	else
		snprintf(p->user, sizeof(p->user), "uid-%u", (unsigned)cred.uid);
	p->may_write = cred.uid == 0 || cred.uid == geteuid() || (api->has_gid && in_group(fd, cred.gid, api->gid));
	return 0;
}

/* ---- open requests ---- */

struct api_open *api_open_new(struct api_client *c, uint64_t id, enum api_open_kind kind)
{
	struct api_open *o = mem_zalloc(sizeof(*o));

	o->id = id;
	o->kind = kind;
	TAILQ_INSERT_TAIL(&c->open, o, entry);
	c->n_open++;
	return o;
}

struct api_open *api_open_of(struct api_client *c, uint64_t id)
{
	struct api_open *o;

	TAILQ_FOREACH(o, &c->open, entry)
		if (o->id == id)
			return o;
	return NULL;
}

void api_open_free(struct api_client *c, struct api_open *o)
{
	TAILQ_REMOVE(&c->open, o, entry);
	c->n_open--;
	free(o->list.prefix);
	txn_fini(&o->add);
	free(o);
}

/* ---- out ---- */

void api_send(struct api_client *c, const struct control_reply *r)
{
	if (c->dead)
		return;
	if (control_reply_put(&c->out, r) < 0) {
		struct control_done d = { .err = ERR_LIMIT, .text = (char *)"the answer is too long for one message" };
		struct control_reply done = { .id = r->id, .kind = CONTROL_R_DONE, .done = d };

		control_reply_put(&c->out, &done);
	}
}

void api_send_done(struct api_client *c, uint64_t id, const struct control_done *d)
{
	struct control_reply r = { .id = id, .kind = CONTROL_R_DONE, .done = *d };

	if (d->err && (!d->text || !*d->text))
		r.done.text = (char *)err_text(d->err);
	api_send(c, &r);
	api_client_kick(c);
}

void api_send_err(struct api_client *c, uint64_t id, int err, const char *path, const char *hint, const char *fmt, ...)
{
	char text[CONTROL_TEXT_MAX];
	struct control_done d = { .err = err, .text = text, .path = (char *)path, .hint = (char *)hint };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	api_send_done(c, id, &d);
}

static void listen_for(struct api_client *c, int events)
{
	if (events == (c->io.events & (EV_READ | EV_WRITE)) && ev_is_active(&c->io))
		return;
	ev_io_stop(c->api->conf.loop, &c->io);
	ev_io_set(&c->io, c->fd, events);
	if (events)
		ev_io_start(c->api->conf.loop, &c->io);
}

static void flush(struct api_client *c)
{
	while (api_client_queued(c) && !c->dead) {
		ssize_t n = send(c->fd, c->out.data + c->out_at, api_client_queued(c), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			c->dead = errno != EAGAIN && errno != EINTR;
			if (errno == EINTR)
				continue;
			return;
		}
		c->out_at += (size_t)n;
		ev_timer_again(c->api->conf.loop, &c->stall);
		if (api_client_queued(c) < API_OUT_LOW)
			api_list_pump(c);
		if (c->out_at == c->out.len) {
			buf_reset(&c->out);
			c->out_at = 0;
		} else if (c->out_at >= API_OUT_HIGH) {
			buf_drop(&c->out, c->out_at);
			c->out_at = 0;
		}
	}
	ev_timer_stop(c->api->conf.loop, &c->stall);
}

/* ---- in ---- */

/* One frame, if it is whole. False: not yet, or not any more. */
static bool frame_in(struct api_client *c)
{
	struct control_req r;
	size_t len;
	int err;

	if (control_frame_len(c->in.data, c->in.len, &len) < 0) {
		log_warn(c->api->conf.log, "api: pid %d (%s) sent a message that is too long", (int)c->peer.pid, c->peer.user);
		c->dead = true;
		return false;
	}
	if (len == 0 || c->in.len < len)
		return false;
	err = control_req_get(c->in.data, len, &r);
	buf_drop(&c->in, len);
	if (err)
		api_send_err(c, r.id, err, NULL, NULL, "the request is not valid");
	else
		api_request(c, &r);
	control_req_fini(&r);
	return !c->dead;
}

static void read_in(struct api_client *c)
{
	while (!c->dead && api_client_queued(c) < API_OUT_HIGH) {
		uint8_t *p = buf_room(&c->in, 65536);
		ssize_t n = recv(c->fd, p, 65536, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			c->dead = true;
			return;
		}
		buf_add(&c->in, (size_t)n);
		while (api_client_queued(c) < API_OUT_HIGH && frame_in(c))
			;
		if (n < 65536)
			return;
	}
}

/* Do what can be done, then wait for what is missing. Ends a dead client. */
static void serve(struct api_client *c)
{
	while (!c->dead && c->in.len && api_client_queued(c) < API_OUT_HIGH && frame_in(c))
		;
	api_list_pump(c);
	flush(c);
	if (c->dead) {
		api_client_free(c);
		return;
	}
	if (api_client_queued(c) && !ev_is_active(&c->stall))
		ev_timer_again(c->api->conf.loop, &c->stall);
	listen_for(c, (api_client_queued(c) ? EV_WRITE : 0) | (api_client_queued(c) < API_OUT_HIGH ? EV_READ : 0));
}

static void on_io(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct api_client *c = w->data;

	if (revents & EV_READ)
		read_in(c);
	serve(c);
}

static void on_stall(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct api_client *c = w->data;

	log_warn(c->api->conf.log, "api: pid %d (%s) does not read its answers; disconnected", (int)c->peer.pid,
	         c->peer.user);
	api_client_free(c);
}

void api_client_kick(struct api_client *c)
{
	if (c->dead || !api_client_queued(c))
		return;
	/* At once, if the socket takes it: who waits for this answer is not to wait for another turn of the loop. */
	if (!c->flushing) {
		c->flushing = true;
		flush(c);
		c->flushing = false;
	}
	if (api_client_queued(c) && !ev_is_active(&c->stall))
		ev_timer_again(c->api->conf.loop, &c->stall);
	if (c->dead || api_client_queued(c))
		listen_for(c, EV_WRITE | (api_client_queued(c) < API_OUT_HIGH ? EV_READ : 0));
}

/* ---- life ---- */

struct api_client *api_client_of(const struct api *api, uint64_t id)
{
	struct api_client *c;

	TAILQ_FOREACH(c, &api->clients, entry)
		if (c->id == id)
			return c;
	return NULL;
}

void api_client_new(struct api *api, int fd)
{
	struct api_client *c;
	struct api_peer peer;
	double stall = (api->conf.stall_ms ? api->conf.stall_ms : 30000) / 1000.0;

	if (api->n_clients >= api->clients_max || peer_of(api, fd, &peer) < 0) {
		log_warn(api->conf.log, "api: a client is refused: %u are connected", api->n_clients);
		close(fd);
		return;
	}
	c = mem_zalloc(sizeof(*c));
	c->api = api;
	c->id = ++api->next_client;
	c->fd = fd;
	c->peer = peer;
	TAILQ_INIT(&c->open);
	ev_io_init(&c->io, on_io, fd, EV_READ);
	c->io.data = c;
	ev_io_start(api->conf.loop, &c->io);
	ev_init(&c->stall, on_stall);
	c->stall.repeat = stall;
	c->stall.data = c;
	TAILQ_INSERT_TAIL(&api->clients, c, entry);
	api->n_clients++;
}

void api_client_free(struct api_client *c)
{
	struct api *api = c->api;
	struct api_open *o;

	ev_io_stop(api->conf.loop, &c->io);
	ev_timer_stop(api->conf.loop, &c->stall);
	TAILQ_REMOVE(&api->clients, c, entry);
	api->n_clients--;
	while ((o = TAILQ_FIRST(&c->open)) != NULL) {
		struct api_token token = { c->id, o->id };

		if (o->kind != OPEN_LIST)
			api->conf.ops->cancel(api->conf.ops_arg, token);
		api_open_free(c, o);
	}
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}
