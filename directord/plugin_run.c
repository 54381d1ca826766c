/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process with a deadline. Its whole group is killed when the time is over, and it is reaped whenever
 * the kernel lets go of it: one that hangs in the kernel costs an entry in the process table, not us.
 */
#include "config.h"

#include "directord/plugin_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ev.h>

#include "base/buf.h"
#include "base/mem.h"

#define STDERR_KEPT 2000
#define CHUNKS_MAX 64           /* read from a pipe at one time */

extern char **environ;

struct plugin_run {
	struct ev_loop *loop;
	struct ev_io in, out, err;
	struct ev_child child;
	struct ev_timer timer;
	int in_fd, out_fd, err_fd;
	char *input;
	size_t input_len, input_at;
	struct buf output, errors;
	size_t output_max;
	struct plugin_run_result result;
	bool answered, exited;
	void (*done)(void *arg, const struct plugin_run_result *);
	void *arg;
};

static void close_fd(struct plugin_run *r, struct ev_io *w, int *fd)
{
	if (*fd < 0)
		return;
	ev_io_stop(r->loop, w);
	close(*fd);
	*fd = -1;
}

static void run_free(struct plugin_run *r)
{
	close_fd(r, &r->in, &r->in_fd);
	close_fd(r, &r->out, &r->out_fd);
	close_fd(r, &r->err, &r->err_fd);
	ev_timer_stop(r->loop, &r->timer);
	ev_child_stop(r->loop, &r->child);
	buf_fini(&r->output);
	buf_fini(&r->errors);
	free(r->input);
	free(r);
}

/* Answer once; free when the process is gone too. */
static void answer(struct plugin_run *r, enum plugin_run_end end, int code)
{
	if (!r->answered) {
		r->answered = true;
		close_fd(r, &r->in, &r->in_fd);
		close_fd(r, &r->out, &r->out_fd);
		close_fd(r, &r->err, &r->err_fd);
		ev_timer_stop(r->loop, &r->timer);
		r->result.end = end;
		r->result.code = code;
		r->result.out = buf_str(&r->output);
		r->result.n_out = r->output.len;
		r->result.err = buf_str(&r->errors);
		if (r->done)
			r->done(r->arg, &r->result);
	}
	if (r->exited)
		run_free(r);
}

static void kill_group(struct plugin_run *r)
{
	if (!r->exited)
		kill(-r->child.pid, SIGKILL);
}

/* What is there, some pipes full of it: one that never stops must not hold up the loop. False: too much. */
static bool drain(struct plugin_run *r, struct ev_io *w, int *fd, struct buf *b, size_t max, bool cut)
{
	char chunk[16384];
	ssize_t n = 0;

	for (unsigned i = 0; *fd >= 0 && i < CHUNKS_MAX && (n = read(*fd, chunk, sizeof(chunk))) > 0; i++) {
		if (b->len + (size_t)n <= max)
			buf_put(b, chunk, (size_t)n);
		else if (!cut)
			return false;
		else
			buf_put(b, chunk, max - b->len);
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(r, w, fd);
	return true;
}

static void on_out(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct plugin_run *r = w->data;

	if (drain(r, w, &r->out_fd, &r->output, r->output_max, false))
		return;
	kill_group(r);
	answer(r, RUN_CHATTY, 0);
}

static void on_err(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct plugin_run *r = w->data;

	drain(r, w, &r->err_fd, &r->errors, STDERR_KEPT, true);
}

static void on_in(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct plugin_run *r = w->data;
	/* A socket, so that a plugin that does not read raises no signal here. */
	ssize_t n = send(r->in_fd, r->input + r->input_at, r->input_len - r->input_at, MSG_NOSIGNAL);

	if (n > 0)
		r->input_at += (size_t)n;
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || r->input_at == r->input_len)
		close_fd(r, w, &r->in_fd);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct plugin_run *r = w->data;

	if (r->child.pid <= 0) {        /* it was never started */
		r->exited = true;
		answer(r, RUN_NOT_STARTED, r->result.code);
		return;
	}
	kill_group(r);
	answer(r, RUN_LATE, 0);
}

static void on_child(struct ev_loop *loop, struct ev_child *w, int revents)
{
	struct plugin_run *r = w->data;
	bool fits;

	ev_child_stop(loop, w);
	/* What it left running in its group has no business any more. */
	kill(-w->pid, SIGKILL);
	r->exited = true;
	fits = r->answered || drain(r, &r->out, &r->out_fd, &r->output, r->output_max, false);
	if (!r->answered)
		drain(r, &r->err, &r->err_fd, &r->errors, STDERR_KEPT, true);
	if (!fits)
		answer(r, RUN_CHATTY, 0);
	else if (WIFSIGNALED(w->rstatus))
		answer(r, RUN_SIGNAL, WTERMSIG(w->rstatus));
	else
		answer(r, RUN_EXITED, WEXITSTATUS(w->rstatus));
}

/* ---- starting ---- */

static int spawn(const char *const argv[], int in, int out, int err, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	posix_spawn_file_actions_adddup2(&fa, err, 2);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	posix_spawnattr_init(&at);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &all);
	e = posix_spawn(pid, argv[0], &fa, &at, (char *const *)argv, environ);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return e;
}

static void close_pairs(int fds[6])
{
	unsigned i;

	for (i = 0; i < 6; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Its three channels and the process. Returns 0 or an errno. */
static int start(struct plugin_run *r, const char *const argv[])
{
	int fds[6] = { -1, -1, -1, -1, -1, -1 }, e;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 || pipe2(fds + 2, O_CLOEXEC) < 0 ||
	    pipe2(fds + 4, O_CLOEXEC) < 0) {
		e = errno;
		close_pairs(fds);
		return e;
	}
	e = spawn(argv, fds[1], fds[3], fds[5], &pid);
	if (e) {
		close_pairs(fds);
		return e;
	}
	close(fds[1]);
	close(fds[3]);
	close(fds[5]);
	r->in_fd = fds[0];
	r->out_fd = fds[2];
	r->err_fd = fds[4];
	fcntl(r->in_fd, F_SETFL, O_NONBLOCK);
	fcntl(r->out_fd, F_SETFL, O_NONBLOCK);
	fcntl(r->err_fd, F_SETFL, O_NONBLOCK);
	ev_io_set(&r->in, r->in_fd, EV_WRITE);
	ev_io_set(&r->out, r->out_fd, EV_READ);
	ev_io_set(&r->err, r->err_fd, EV_READ);
	ev_io_start(r->loop, &r->in);
	ev_io_start(r->loop, &r->out);
	ev_io_start(r->loop, &r->err);
	ev_child_set(&r->child, pid, 0);
	ev_child_start(r->loop, &r->child);
	return 0;
}

struct plugin_run *plugin_run_start(struct ev_loop *loop, const char *const argv[], const char *in,
	uint32_t deadline_ms, size_t output_max, void (*done)(void *arg, const struct plugin_run_result *), void *arg)
{
	struct plugin_run *r = mem_zalloc(sizeof(*r));

	r->loop = loop;
	r->in_fd = r->out_fd = r->err_fd = -1;
	r->input = mem_strdup(in ? in : "{}");
	r->input_len = strlen(r->input);
	r->output_max = output_max;
	r->done = done;
	r->arg = arg;
	ev_init(&r->in, on_in);
	ev_init(&r->out, on_out);
	ev_init(&r->err, on_err);
	ev_child_init(&r->child, on_child, 0, 0);
	r->in.data = r->out.data = r->err.data = r->child.data = r;
	r->result.code = start(r, argv);
	/* Even bad news come from the loop. */
	ev_timer_init(&r->timer, on_timer, r->result.code ? 0. : deadline_ms / 1000., 0.);
	r->timer.data = r;
	ev_timer_start(loop, &r->timer);
	return r;
}

void plugin_run_cancel(struct plugin_run **rp)
{
	struct plugin_run *r = *rp;

	if (!r)
		return;
	*rp = NULL;
	r->done = NULL;
	if (r->child.pid <= 0)
		r->exited = true;
	else
		kill_group(r);
	answer(r, RUN_LATE, 0);
}
