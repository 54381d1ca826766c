/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link to director-target: connect, say hello, ask what it has, then carry requests. Its states are
 *
 *   DOWN --(socket answers)--> HELLO --(fits)--> LISTING --(list)--> UP
 *     ^ '--(nobody there: spawn, try again)        |                  |
 *     '-------------(socket closes, or the process we started ends)---'
 *
 * Every wait is a timer of the loop; nothing here blocks.
 */
#include "config.h"

#include "directord/target.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mono.h"
#include "base/text.h"

#define BACKOFF_MS_MIN 100
#define BACKOFF_MS_MAX 10000
#define CONNECT_MS 10                   /* between tries while a process that we started comes up */
#define START_MS 10000                  /* that it has for it */
#define ANSWER_MS 10000                 /* to hello and the first list */
#define HEALTHY_MS 30000                /* up for so long: the back-off starts anew */
#define ONCE_MS 3000                    /* up for so long: the next is started at once */

enum link_state { LINK_DOWN, LINK_HELLO, LINK_LISTING, LINK_UP };

struct request {
	struct request *next;
	uint64_t id;
	void (*done)(void *arg, const struct target_msg *reply);
	void *arg;
};

struct target_link {
	struct ev_loop *loop;
	struct target_link_conf conf;
	char **args;
	struct target_link_ops ops;
	void *arg;
	const struct log *log;

	enum link_state state;
	int fd;
	ev_io in, out;
	ev_timer retry, stop_timer;
	ev_child child;
	pid_t pid;                      /* that we started, and that has not ended; 0: none */
	struct mono started, up_since;
	uint32_t backoff_ms;
	struct buf rx, tx;
	uint64_t next_id, list_id;
	struct request *requests, **requests_tail;
	struct target_hello hello;
	bool adopted;                   /* it ran before we did */
	bool at_once;                   /* it died after it had worked: volumes wait for the next one */
	bool stopping;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

static void link_try(struct target_link *l);

static uint32_t or_default(uint32_t v, uint32_t dflt)
{
	return v ? v : dflt;
}

static void trouble(struct target_link *l, const char *fmt, const char *a)
{
	char *text = mem_printf(fmt, a);

	log_warn(l->log, "target: %s", text);
	if (l->ops.trouble)
		l->ops.trouble(l->arg, text);
	free(text);
}

static void retry_in(struct target_link *l, uint32_t ms)
{
	ev_timer_stop(l->loop, &l->retry);
	ev_timer_set(&l->retry, ms / 1000.0, 0);
	ev_timer_start(l->loop, &l->retry);
}

/* ---- the process ---- */

static void pid_file_write(const struct target_link *l)
{
	char text[128], hex[33], *tmp;
	int n, fd;

	if (!l->conf.pid_file)
		return;
	n = snprintf(text, sizeof(text), "%u %s\n", l->hello.pid, text_hex(l->hello.instance, 16, hex));
	tmp = mem_printf("%s.new", l->conf.pid_file);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)n) != n || rename(tmp, l->conf.pid_file) < 0)
		log_warn(l->log, "target: %s: %s", l->conf.pid_file, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(tmp);
}

/* In the child: a session of its own, no descriptor of ours, default signals; it must survive us. */
static void child_exec(const struct target_link *l)
{
	const char *argv[64];
	unsigned n = 0;
	sigset_t none;
	int fd;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	fd = open("/dev/null", O_RDWR);
	if (fd >= 0) {
		dup2(fd, 0);
		dup2(fd, 1);
	}
	if (l->conf.log_file && (fd = open(l->conf.log_file, O_WRONLY | O_CREAT | O_APPEND, 0640)) >= 0)
		dup2(fd, 2);
	closefrom(3);
	argv[n++] = l->conf.program;
	argv[n++] = "--socket";
	argv[n++] = l->conf.socket;
	for (unsigned i = 0; l->args && l->args[i] && n < 62; i++)
		argv[n++] = l->args[i];
	argv[n] = NULL;
	execv(l->conf.program, (char *const *)argv);
	_exit(127);
}

static void on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct target_link *l = w->data;
	char what[64];

	ev_child_stop(loop, w);
	l->pid = 0;
	if (WIFSIGNALED(w->rstatus))
		snprintf(what, sizeof(what), "was ended by signal %d", WTERMSIG(w->rstatus));
	else if (WEXITSTATUS(w->rstatus) == 127)
		snprintf(what, sizeof(what), "could not be started: is it there?");
	else
		snprintf(what, sizeof(what), "exited with status %d", WEXITSTATUS(w->rstatus));
	if (!l->stopping)
		trouble(l, "director-target %s", what);
	/* The socket says the same, at once; without one (it never came up) the next try is due after the
	 * back-off. */
	if (l->state == LINK_DOWN && !l->stopping)
		retry_in(l, l->at_once ? 0 : l->backoff_ms);
}

static void spawn(struct target_link *l)
{
	pid_t pid;

	l->at_once = false;
	l->backoff_ms *= 2;
	if (l->backoff_ms > or_default(l->conf.backoff_ms_max, BACKOFF_MS_MAX))
		l->backoff_ms = or_default(l->conf.backoff_ms_max, BACKOFF_MS_MAX);
	pid = fork();
	if (pid == 0)
		child_exec(l);
	if (pid < 0) {
		trouble(l, "cannot start director-target: %s", strerror(errno));
		retry_in(l, l->backoff_ms);
		return;
	}
	log_info(l->log, "target: started director-target, pid %d", (int)pid);
	l->pid = pid;
	l->adopted = false;
	l->started = mono_now();
	ev_child_set(&l->child, pid, 0);
	ev_child_start(l->loop, &l->child);
	retry_in(l, CONNECT_MS);
}

/* ---- down ---- */

static void requests_fail(struct target_link *l)
{
	struct target_msg reply = { .kind = TARGET_REPLY, .err = ERR_UNREACHABLE };
	struct request *r;

	while ((r = l->requests)) {
		l->requests = r->next;
		if (!l->requests)
			l->requests_tail = &l->requests;
		reply.id = r->id;
		if (r->done)
			r->done(r->arg, &reply);
		free(r);
	}
}

static void socket_drop(struct target_link *l)
{
	if (l->fd < 0)
		return;
	ev_io_stop(l->loop, &l->in);
	ev_io_stop(l->loop, &l->out);
	close(l->fd);
	l->fd = -1;
	buf_reset(&l->rx);
	buf_reset(&l->tx);
}

static void stop_done(struct target_link *l)
{
	void (*done)(void *) = l->stopped;

	ev_timer_stop(l->loop, &l->stop_timer);
	l->stopped = NULL;
	if (done)
		done(l->stopped_arg);
}

static void go_down(struct target_link *l, const char *why)
{
	bool was_up = l->state == LINK_UP;

	socket_drop(l);
	l->state = LINK_DOWN;
	free(l->hello.software);
	memset(&l->hello, 0, sizeof(l->hello));
	/* One that is dying may take another connection before its last socket closes: that changes nothing. */
	if (was_up)
		l->at_once = mono_ms_between(l->up_since, mono_now()) >= ONCE_MS;
	if (was_up && mono_ms_between(l->up_since, mono_now()) >= HEALTHY_MS)
		l->backoff_ms = or_default(l->conf.backoff_ms_min, BACKOFF_MS_MIN);
	requests_fail(l);
	if (was_up) {
		log_info(l->log, "target: director-target is gone: %s", why);
		l->ops.down(l->arg, why);
	}
	if (l->stopping)
		stop_done(l);
	else
		retry_in(l, l->at_once ? 0 : was_up ? 10 : l->backoff_ms);
}

/* ---- bytes ---- */

static uint64_t put(struct target_link *l, struct target_msg *m)
{
	m->id = ++l->next_id;
	target_msg_encode(m, &l->tx);
	ev_io_start(l->loop, &l->out);
	return m->id;
}

static void hello_reply(struct target_link *l, struct target_msg *m)
{
	struct target_msg list = { .kind = TARGET_LIST };

	if (m->err || m->hello.version != TARGET_PROTO_VERSION) {
		trouble(l, "the director-target that runs speaks another version: %s",
			m->text ? m->text : "end it first");
		l->backoff_ms = or_default(l->conf.backoff_ms_max, BACKOFF_MS_MAX);
		go_down(l, "version");
		return;
	}
	l->hello = m->hello;
	memset(&m->hello, 0, sizeof(m->hello));
	l->state = LINK_LISTING;
	l->list_id = put(l, &list);
}

static void list_reply(struct target_link *l, const struct target_msg *m)
{
	/* An empty list would mean that nothing is open. */
	if (m->err) {
		trouble(l, "director-target does not say what it has: %s", m->text ? m->text : err_text(m->err));
		go_down(l, "no list");
		return;
	}
	l->state = LINK_UP;
	ev_timer_stop(l->loop, &l->retry);
	l->up_since = mono_now();
	pid_file_write(l);
	log_info(l->log, "target: %s director-target, pid %u: %u volumes, %u targets, %u sessions",
		l->adopted ? "adopted" : "connected to", l->hello.pid, m->list.n_volumes, m->list.n_targets,
		m->list.n_sessions);
	l->ops.up(l->arg, &l->hello, &m->list, l->adopted);
}

static void reply(struct target_link *l, const struct target_msg *m)
{
	struct request **p = &l->requests, *r;

	while (*p && (*p)->id != m->id)
		p = &(*p)->next;
	if (!(r = *p))
		return;
	*p = r->next;
	if (!*p)
		l->requests_tail = p;
	if (r->done)
		r->done(r->arg, m);
	free(r);
}

static void message(struct target_link *l, struct target_msg *m)
{
	if (l->state == LINK_HELLO && m->kind == TARGET_REPLY)
		hello_reply(l, m);
	else if (l->state == LINK_LISTING && m->kind == TARGET_REPLY && m->id == l->list_id)
		list_reply(l, m);
	else if (m->kind == TARGET_REPLY)
		reply(l, m);
	else if (m->kind == TARGET_EVENT && l->state == LINK_UP && l->ops.event)
		l->ops.event(l->arg, &m->event);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct target_link *l = io->data;
	ssize_t n = recv(l->fd, buf_room(&l->rx, 65536), 65536, MSG_DONTWAIT);
	long len = 0;
	size_t at = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		go_down(l, n == 0 ? "it closed its socket" : strerror(errno));
		return;
	}
	buf_add(&l->rx, (size_t)n);
	while (l->fd >= 0 && (len = target_frame_len(l->rx.data + at, l->rx.len - at)) > 0) {
		struct target_msg m;

		if (target_msg_decode(l->rx.data + at, (size_t)len, &m) != 0) {
			len = ERR_MALFORMED;
			break;
		}
		at += (size_t)len;
		message(l, &m);
		target_msg_fini(&m);
	}
	if (l->fd < 0)
		return;
	if (len < 0)
		go_down(l, "it sent what is no message");
	else
		buf_drop(&l->rx, at);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int revents)
{
	struct target_link *l = io->data;
	ssize_t n = send(l->fd, l->tx.data, l->tx.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		buf_drop(&l->tx, (size_t)n);
	/* A broken socket shows at the reading side. */
	if (!l->tx.len || (n < 0 && errno != EAGAIN && errno != EINTR))
		ev_io_stop(loop, io);
}

/* ---- connect, or start ---- */

static int socket_connect(const struct target_link *l)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(l->conf.socket) >= sizeof(un.sun_path))
		return -1;
	memcpy(un.sun_path, l->conf.socket, strlen(l->conf.socket) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		fd = -1;
	}
	return fd;
}

static void link_try(struct target_link *l)
{
	struct target_msg hello = { .kind = TARGET_HELLO,
		.hello = { .version = TARGET_PROTO_VERSION, .pid = (uint32_t)getpid() } };

	l->fd = socket_connect(l);
	if (l->fd < 0) {
		/* EAGAIN: somebody listens who has no time. */
		if (!l->pid && errno != EAGAIN && l->ops.absent)
			l->ops.absent(l->arg);
		if (l->pid) {
			if (mono_ms_between(l->started, mono_now()) < START_MS) {
				retry_in(l, CONNECT_MS);
				return;
			}
			trouble(l, "director-target does not answer at %s; it is ended", l->conf.socket);
			kill(l->pid, SIGKILL);
			return;         /* on_child goes on */
		}
		if (l->conf.program)
			spawn(l);
		else
			retry_in(l, 1000);
		return;
	}
	l->state = LINK_HELLO;
	ev_io_set(&l->in, l->fd, EV_READ);
	ev_io_set(&l->out, l->fd, EV_WRITE);
	ev_io_start(l->loop, &l->in);
	put(l, &hello);
	retry_in(l, ANSWER_MS);
}

static void on_retry(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct target_link *l = t->data;

	if (l->stopping || l->state == LINK_UP)
		return;
	if (l->state == LINK_DOWN) {
		link_try(l);
		return;
	}
	/* Somebody has the socket and does not speak: stopped, or stuck. Only one can be, so wait for it. */
	trouble(l, "the director-target at %s does not answer", l->conf.socket);
	l->backoff_ms = or_default(l->conf.backoff_ms_max, BACKOFF_MS_MAX);
	go_down(l, "no answer");
}

static void on_stop_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct target_link *l = t->data;

	log_warn(l->log, "target: director-target does not end by itself; it is killed");
	if (l->hello.pid)
		kill((pid_t)l->hello.pid, SIGKILL);
	else
		stop_done(l);
}

/* ---- outside ---- */

struct target_link *target_link_new(struct ev_loop *loop, const struct target_link_conf *conf,
                                    const struct target_link_ops *ops, void *arg, const struct log *log)
{
	struct target_link *l = mem_zalloc(sizeof(*l));
	unsigned n = 0;

	l->loop = loop;
	l->conf = *conf;
	l->conf.program = mem_strdup(conf->program);
	l->conf.socket = mem_strdup(conf->socket);
	l->conf.pid_file = mem_strdup(conf->pid_file);
	l->conf.log_file = mem_strdup(conf->log_file);
	while (conf->args && conf->args[n])
		n++;
	l->args = mem_zalloc((n + 1) * sizeof(*l->args));
	for (unsigned i = 0; i < n; i++)
		l->args[i] = mem_strdup(conf->args[i]);
	l->ops = *ops;
	l->arg = arg;
	l->log = log;
	l->fd = -1;
	l->adopted = true;
	l->requests_tail = &l->requests;
	l->backoff_ms = or_default(conf->backoff_ms_min, BACKOFF_MS_MIN);
	ev_io_init(&l->in, on_readable, -1, EV_READ);
	ev_io_init(&l->out, on_writable, -1, EV_WRITE);
	ev_timer_init(&l->retry, on_retry, 0, 0);
	ev_timer_init(&l->stop_timer, on_stop_timer, 0, 0);
	ev_child_init(&l->child, on_child, 0, 0);
	l->in.data = l->out.data = l->retry.data = l->stop_timer.data = l->child.data = l;
	retry_in(l, 0);
	return l;
}

void target_link_free(struct target_link **link)
{
	struct target_link *l = *link;
	struct request *r;

	if (!l)
		return;
	/* What is queued is sent if the socket takes it: it was asked for before. */
	if (l->fd >= 0 && l->tx.len)
		on_writable(l->loop, &l->out, 0);
	socket_drop(l);
	ev_timer_stop(l->loop, &l->retry);
	ev_timer_stop(l->loop, &l->stop_timer);
	ev_child_stop(l->loop, &l->child);
	while ((r = l->requests)) {
		l->requests = r->next;
		free(r);
	}
	for (unsigned i = 0; l->args[i]; i++)
		free(l->args[i]);
	free(l->args);
	free((char *)l->conf.program);
	free((char *)l->conf.socket);
	free((char *)l->conf.pid_file);
	free((char *)l->conf.log_file);
	free(l->hello.software);
	buf_fini(&l->rx);
	buf_fini(&l->tx);
	free(l);
	*link = NULL;
}

bool target_link_is_up(const struct target_link *l)
{
	return l->state == LINK_UP;
}

uint32_t target_link_pid(const struct target_link *l)
{
	return l->state == LINK_UP ? l->hello.pid : 0;
}

/* What it would refuse would cost us the connection, and it all that we lease it: so it never gets it. */
static bool is_sendable(const struct target_msg *m)
{
	struct buf b = { 0 };
	struct target_msg back;
	bool ok;

	target_msg_encode(m, &b);
	ok = target_frame_len(b.data, b.len) == (long)b.len && target_msg_decode(b.data, b.len, &back) == 0;
	if (ok)
		target_msg_fini(&back);
	buf_fini(&b);
	return ok;
}

int target_link_send(struct target_link *l, const struct target_msg *req,
                     void (*done)(void *arg, const struct target_msg *reply), void *arg)
{
	struct target_msg m = *req;
	struct request *r;

	if (l->state != LINK_UP)
		return ERR_UNREACHABLE;
	if (m.kind != TARGET_VOLUME_LEASE && !is_sendable(&m))
		return ERR_LIMIT;
	r = mem_zalloc(sizeof(*r));
	r->done = done;
	r->arg = arg;
	r->id = put(l, &m);
	*l->requests_tail = r;
	l->requests_tail = &r->next;
	return 0;
}

void target_link_stop(struct target_link *l, uint32_t ms, void (*done)(void *arg), void *arg)
{
	struct target_msg m = { .kind = TARGET_SHUTDOWN };

	l->stopping = true;
	l->stopped = done;
	l->stopped_arg = arg;
	ev_timer_stop(l->loop, &l->retry);
	ev_timer_set(&l->stop_timer, l->state == LINK_UP ? ms / 1000.0 : 0, 0);
	ev_timer_start(l->loop, &l->stop_timer);
	if (l->state == LINK_UP)
		put(l, &m);
}
