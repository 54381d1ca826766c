/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket itself, and the answers that come later. */
#define _GNU_SOURCE
#include "directord/api.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "directord/api_priv.h"

/* A socket file that nobody answers is left over from a crash. */
static int clear_stale(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		err = ERR_BUSY;
	else if (errno == ECONNREFUSED && unlink(sa->sun_path) < 0)
		err = err_from_errno(errno);
	close(fd);
	return err;
}

/*
 * The socket gets its owner and begins to listen under another name, and is then put in its place: nobody
 * ever finds it half made.
 */
static int bind_at(struct api *api, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t old;
	int err;

	if (strlen(path) >= sizeof(sa.sun_path))
		return ERR_LIMIT;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	unlink(path);
	api->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (api->fd < 0)
		return err_from_errno(errno);
	old = umask(0117);
	err = bind(api->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? err_from_errno(errno) : 0;
	umask(old);
	if (!err && api->has_gid && geteuid() == 0 && chown(path, 0, api->gid) < 0)
		err = err_from_errno(errno);
	if (!err && listen(api->fd, 64) < 0)
		err = err_from_errno(errno);
	return err;
}

static int bind_socket(struct api *api)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	auto_free char *path = mem_printf("%s.new", api->socket);
	int err;

	if (strlen(api->socket) >= sizeof(sa.sun_path))
		return ERR_LIMIT;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", api->socket);
	err = clear_stale(&sa);
	if (!err)
		err = bind_at(api, path);
	if (!err && rename(path, api->socket) < 0)
		err = err_from_errno(errno);
	if (err)
		unlink(path);
	return err;
}

static void on_accept(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct api *api = w->data;
	int fd;

	while ((fd = accept4(api->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		api_client_new(api, fd);
	/* Out of descriptors or memory: the readiness stays, so look away for a while. */
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		ev_io_stop(loop, w);
		ev_timer_again(loop, &api->retry);
	}
}

static void on_retry(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct api *api = w->data;

	ev_timer_stop(loop, w);
	ev_io_start(loop, &api->io);
}

/* Before the loop sleeps: whoever follows is told of what happened in this turn. */
static void on_prepare(struct ev_loop *loop, struct ev_prepare *w, int revents)
{
	struct api *api = w->data;
	struct api_client *c;

	if (!api->news)
		return;
	api->news = false;
	TAILQ_FOREACH(c, &api->clients, entry) {
		api_list_pump(c);
		api_client_kick(c);
	}
}

static void find_group(struct api *api, const char *name)
{
	struct group *g = getgrnam(name);

	api->has_gid = g != NULL;
	api->gid = g ? g->gr_gid : 0;
	if (!g)
		log_info(api->conf.log, "api: there is no group %s: only root may connect", name);
}

int api_new(struct api **out, const struct api_conf *conf)
{
	struct api *api = mem_zalloc(sizeof(*api));
	int err;

	*out = NULL;
	api->conf = *conf;
	api->socket = mem_strdup(conf->socket ? conf->socket : CONTROL_SOCKET);
	api->state = mem_strdup(conf->state);
	api->node = mem_strdup(conf->node ? conf->node : "");
	api->clients_max = conf->clients_max ? conf->clients_max : 256;
	api->fd = -1;
	TAILQ_INIT(&api->clients);
	LIST_INIT(&api->candidates);
	find_group(api, conf->group ? conf->group : "director");
	api_ring_init(&api->ring, conf->events_max ? conf->events_max : 8192);
	ev_prepare_init(&api->prepare, on_prepare);
	err = bind_socket(api);
	if (err) {
		log_warn(conf->log, "api: %s: %s", api->socket,
		         err == ERR_BUSY ? "another directord is listening there" : err_text(err));
		free(api->socket);
		api->socket = NULL;             /* not ours to remove */
		api_free(&api);
		return err;
	}
	api_candidate_load(api);
	ev_init(&api->retry, on_retry);
	api->retry.repeat = .5;
	api->retry.data = api;
	ev_io_init(&api->io, on_accept, api->fd, EV_READ);
	api->io.data = api;
	ev_io_start(conf->loop, &api->io);
	api->prepare.data = api;
	ev_prepare_start(conf->loop, &api->prepare);
	*out = api;
	return 0;
}

void api_free(struct api **p)
{
	struct api *api = *p;

	if (!api)
		return;
	*p = NULL;
	while (!TAILQ_EMPTY(&api->clients))
		api_client_free(TAILQ_FIRST(&api->clients));
	if (ev_is_active(&api->io))
		ev_io_stop(api->conf.loop, &api->io);
	ev_timer_stop(api->conf.loop, &api->retry);
	ev_prepare_stop(api->conf.loop, &api->prepare);
	if (api->fd >= 0)
		close(api->fd);
	if (api->socket)
		unlink(api->socket);
	api_candidate_fini(api);
	api_ring_fini(&api->ring);
	free(api->socket);
	free(api->state);
	free(api->node);
	free(api);
}

void api_renamed(struct api *api, const char *node)
{
	free(api->node);
	api->node = mem_strdup(node);
}

unsigned api_clients(const struct api *api)
{
	return api->n_clients;
}

void api_done(struct api *api, struct api_token token, const struct control_done *d)
{
	struct api_client *c = api_client_of(api, token.client);
	struct api_open *o = c ? api_open_of(c, token.request) : NULL;

	if (!o)
		return;
	if ((o->kind == OPEN_CANDIDATE_ADD || o->kind == OPEN_CANDIDATE_COMMIT) && !api_candidate_done(c, o, d))
		return;
	api_open_free(c, o);
	api_send_done(c, token.request, d);
}

void api_fail(struct api *api, struct api_token token, int err, const char *path, const char *hint, const char *fmt, ...)
{
	char text[CONTROL_TEXT_MAX];
	struct control_done d = { .err = err, .text = text, .path = (char *)path, .hint = (char *)hint };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	api_done(api, token, &d);
}

void api_progress(struct api *api, struct api_token token, uint64_t done, uint64_t of, const char *text)
{
	struct api_client *c = api_client_of(api, token.client);
	struct control_reply r = {
		.id = token.request, .kind = CONTROL_R_PROGRESS, .progress = done, .of = of, .text = (char *)text,
	};

	if (!c || !api_open_of(c, token.request) || api_client_queued(c) >= API_OUT_HIGH)
		return;
	api_send(c, &r);
	api_client_kick(c);
}
