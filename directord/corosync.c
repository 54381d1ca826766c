/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Corosync process: started detached, so that a restart of the daemon does not break the ring; watched through
 * a pidfd, so that its own child and one that was taken over are the same to us.
 */
#include "config.h"

#include "directord/corosync_int.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#define LOCK_FILE "/run/corosync.pid"   /* compiled into Corosync */
#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 10000
#define STEADY_MS 10000                 /* one that ran this long has earned a quick restart */
#define STOP_S 3.0
#define ANSWER_S 5.0
#define LOG_MAX (1 << 20)               /* bytes; as much again is kept as corosync.log.1 */
#define LOG_CHECK_S 60.0

/* A call with a deadline: when it passes the caller is answered, and the thread's answer comes to nobody. */
struct deadline {
	struct ev_timer timer;
	struct corosync *c;
	struct corosync_call *call;
	struct deadline *next;
};

struct corosync {
	struct ev_loop *loop;
	const struct log *log;
	void (*changed)(void *arg, enum corosync_state state, const char *why);
	void *arg;
	bool host;
	char *dir, *program;
	struct corosync_calls *calls;
	struct deadline *deadlines;

	/* the process */
	enum corosync_state state;
	bool wanted;                    /* corosync_start, no corosync_stop since */
	bool stopping;                  /* was told to end */
	int pid, pidfd;                 /* pidfd -1: does not run */
	int status;                     /* of a child of ours that was reaped; -1: unknown */
	struct mono started;
	unsigned retry_ms;
	struct ev_child child;
	struct ev_io death;
	struct ev_timer retry, stop, log_check;

	/* one corosync_write under way */
	struct corosync_conf *writing;
	struct ev_child checker;
	corosync_done_fn *write_done;
	void *write_arg;
};

static char *path_of(const struct corosync *c, const char *name)
{
	return mem_printf("%s/%s", c->dir, name);
}

static void set_state(struct corosync *c, enum corosync_state state, const char *why)
{
	c->state = state;
	if (c->changed)
		c->changed(c->arg, state, why);
}

/* What Corosync said last: the tail of a file, by preference its last line with " error ". Given; "" if there is none. */
static char *last_words(const char *path)
{
	char text[4096], *found = NULL, *line, *save = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd >= 0) {
		off_t size = lseek(fd, 0, SEEK_END);

		n = pread(fd, text, sizeof(text) - 1, size > (off_t)sizeof(text) - 1 ? size - (off_t)sizeof(text) + 1 : 0);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool exiting = strstr(line, "exiting with status") != NULL;

		if (!found || (!exiting && (strstr(line, " error ") || strstr(line, "error: ") || !strstr(found, "error"))))
			found = line;
	}
	if (!found)
		return mem_strdup("");
	line = strchr(found, ']');
	return mem_strdup(line && line[1] ? line + 2 : found);
}

/* Is Corosync's lock, which is one per /run and not per network namespace, held by another one? */
static bool lock_is_taken(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(LOCK_FILE, O_RDWR | O_CLOEXEC);
	bool taken = fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;

	if (fd >= 0)
		close(fd);
	return taken;
}

/*
 * In the child: put a private file over the lock, in a mount namespace of its own. A second Corosync in the same
 * network namespace still cannot start, since its ports and sockets are taken.
 */
static void hide_lock(const char *own)
{
	int fd = open(own, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	close(fd);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return;
	/* If it fails Corosync says that another one runs, which is true. */
	if (mount(own, LOCK_FILE, NULL, MS_BIND, NULL) < 0)
		return;
}

/* Fork and run Corosync with its output in a file. Only calls that are safe between fork and exec in a process with threads. */
static int spawn(const struct corosync *c, const char *out, int out_flags, char *const argv[], bool daemon)
{
	auto_free char *out_path = path_of(c, out);
	auto_free char *own_lock = path_of(c, "lock");
	bool hide = daemon && lock_is_taken();
	sigset_t none;
	int pid = fork();

	if (pid != 0)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	if (daemon)
		setsid();
	if (dup2(open("/dev/null", O_RDONLY), 0) < 0 || dup2(open(out_path, O_WRONLY | O_CREAT | out_flags, 0600), 1) < 0)
		_exit(126);
	dup2(1, 2);
	close_range(3, ~0u, 0);
	if (chdir("/") < 0)
		_exit(126);
	if (hide)
		hide_lock(own_lock);
	execv(c->program, argv);
	_exit(127);
}

static void write_pid(const struct corosync *c)
{
	auto_free char *path = path_of(c, "pid");
	FILE *f = fopen(path, "we");

	/* Without it the process is still found through Corosync's own lock file. */
	if (f) {
		fprintf(f, "%d\n", c->pid);
		fclose(f);
	}
}

static int watch(struct corosync *c, int pid)
{
	c->pidfd = pidfd_open(pid, 0);
	if (c->pidfd < 0)
		return err_from_errno(errno);
	c->pid = pid;
	c->status = -1;
	c->started = mono_now();
	ev_io_set(&c->death, c->pidfd, EV_READ);
	ev_io_start(c->loop, &c->death);
	ev_timer_again(c->loop, &c->log_check);
	return 0;
}

static void run(struct corosync *c)
{
	auto_free char *conf = path_of(c, "corosync.conf");
	char *argv[] = { c->program, (char *)"-f", (char *)"-c", conf, NULL };
	int pid = spawn(c, "corosync.log", O_APPEND, argv, true);

	if (pid < 0 || watch(c, pid) < 0) {
		set_state(c, COROSYNC_BROKEN, "cannot start a process");
		ev_timer_set(&c->retry, c->retry_ms / 1000.0, 0.);
		ev_timer_start(c->loop, &c->retry);
		return;
	}
	ev_child_set(&c->child, pid, 0);
	ev_child_start(c->loop, &c->child);
	write_pid(c);
	log_info(c->log, "corosync: started, pid %d", pid);
	set_state(c, COROSYNC_RUNNING, NULL);
}

static char *death_words(const struct corosync *c)
{
	auto_free char *log = path_of(c, "corosync.log");
	auto_free char *said = last_words(log);

	if (c->status >= 0 && WIFSIGNALED(c->status))
		return mem_printf("killed by signal %d", WTERMSIG(c->status));
	if (c->status >= 0 && WEXITSTATUS(c->status))
		return mem_printf("exit status %d: %s", WEXITSTATUS(c->status), said);
	return mem_strdup("ended");
}

static void died(struct corosync *c)
{
	auto_free char *why = death_words(c);
	auto_free char *pid_path = path_of(c, "pid");

	ev_io_stop(c->loop, &c->death);
	ev_child_stop(c->loop, &c->child);
	ev_timer_stop(c->loop, &c->stop);
	ev_timer_stop(c->loop, &c->log_check);
	close(c->pidfd);
	c->pidfd = -1;
	c->pid = 0;
	unlink(pid_path);
	if (c->stopping && c->wanted) {
		c->stopping = false;
		run(c);
		return;
	}
	c->stopping = false;
	if (!c->wanted) {
		log_info(c->log, "corosync: stopped");
		set_state(c, COROSYNC_STOPPED, why);
		return;
	}
	if (mono_ms_between(c->started, mono_now()) >= STEADY_MS)
		c->retry_ms = RETRY_MS_MIN;
	log_warn(c->log, "corosync: died: %s; starts again in %u ms", why, c->retry_ms);
	ev_timer_set(&c->retry, c->retry_ms / 1000.0, 0.);
	ev_timer_start(c->loop, &c->retry);
	c->retry_ms = c->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : c->retry_ms * 2;
	set_state(c, COROSYNC_BROKEN, why);
}

static void on_child(struct ev_loop *loop, struct ev_child *w, int revents)
{
	struct corosync *c = w->data;

	c->status = w->rstatus;
	died(c);
}

static void on_death(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct corosync *c = w->data;

	/* A child of ours is reported once more with its status. */
	if (ev_is_active(&c->child))
		ev_io_stop(loop, w);
	else
		died(c);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct corosync *c = w->data;

	if (c->wanted && c->pidfd < 0)
		run(c);
}

static void on_stop_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct corosync *c = w->data;

	log_warn(c->log, "corosync: does not stop; killed");
	pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
}

/* The process appends; what is kept is copied away and the file emptied under it. */
static void on_log_check(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct corosync *c = w->data;
	auto_free char *path = path_of(c, "corosync.log");
	auto_free char *kept = path_of(c, "corosync.log.1");
	int in = open(path, O_RDWR | O_CLOEXEC), out;
	char text[65536];
	struct stat st;
	ssize_t n;

	if (in >= 0 && fstat(in, &st) == 0 && st.st_size > LOG_MAX) {
		out = open(kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		lseek(in, st.st_size - LOG_MAX, SEEK_SET);
		while (out >= 0 && (n = read(in, text, sizeof(text))) > 0 && write(out, text, (size_t)n) == n)
			;
		if (out >= 0)
			close(out);
		if (ftruncate(in, 0) < 0)
			log_warn(c->log, "corosync: %s grows: %s", path, strerror(errno));
	}
	if (in >= 0)
		close(in);
}

/* Was process `pid` started by us, with our file? Its arguments name it; nobody else uses our directory. */
static bool is_ours(const struct corosync *c, int pid)
{
	auto_free char *conf = path_of(c, "corosync.conf");
	char path[64], args[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, args, sizeof(args) - 1);
	close(fd);
	args[n > 0 ? n : 0] = '\0';
	if (strcmp(args, c->program) != 0)
		return false;
	for (char *p = args; p < args + n; p += strlen(p) + 1)
		if (strcmp(p, conf) == 0)
			return true;
	return false;
}

static int read_pid(const char *path)
{
	int pid = 0;
	FILE *f = fopen(path, "re");

	if (f) {
		if (fscanf(f, "%d", &pid) != 1)
			pid = 0;
		fclose(f);
	}
	return pid;
}

static void take_over(struct corosync *c)
{
	auto_free char *pid_path = path_of(c, "pid");
	int pid = read_pid(pid_path);

	if (pid <= 0 || !is_ours(c, pid))
		pid = read_pid(LOCK_FILE);
	if (pid <= 0 || !is_ours(c, pid) || watch(c, pid) < 0)
		return;
	/* Between the look and the pidfd it may have become another process. */
	if (!is_ours(c, pid)) {
		ev_io_stop(c->loop, &c->death);
		close(c->pidfd);
		c->pidfd = -1;
		c->pid = 0;
		return;
	}
	c->wanted = true;
	write_pid(c);
	log_info(c->log, "corosync: took over pid %d", pid);
	c->state = COROSYNC_RUNNING;
}

static char *find_program(const char *given)
{
	static const char *const places[] = { "/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin", "/usr/local/bin" };

	if (given && strchr(given, '/'))
		return access(given, X_OK) == 0 ? mem_strdup(given) : NULL;
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		char *path = mem_printf("%s/%s", places[i], given ? given : "corosync");

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static int make_dir(const struct corosync *c, const char *name, char **why)
{
	auto_free char *path = name ? path_of(c, name) : mem_strdup(c->dir);
	int err;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	err = err_from_errno(errno);
	if (why)
		*why = mem_printf("cannot create %s: %s", path, strerror(errno));
	return err;
}

static void init_watchers(struct corosync *c)
{
	ev_init(&c->child, on_child);
	ev_init(&c->death, on_death);
	ev_init(&c->retry, on_retry);
	ev_timer_init(&c->stop, on_stop_timer, STOP_S, 0.);
	ev_timer_init(&c->log_check, on_log_check, LOG_CHECK_S, LOG_CHECK_S);
	c->child.data = c->death.data = c->retry.data = c->stop.data = c->log_check.data = c;
}

int corosync_open(struct corosync **cp, const struct corosync_options *o, char **why)
{
	struct corosync *c = mem_zalloc(sizeof(*c));
	int err = 0;

	*cp = NULL;
	c->loop = o->loop;
	c->log = o->log;
	c->changed = o->changed;
	c->arg = o->arg;
	c->host = o->host;
	c->dir = mem_strdup(o->dir);
	c->pidfd = -1;
	c->retry_ms = RETRY_MS_MIN;
	init_watchers(c);
	if (c->host) {
		c->state = COROSYNC_RUNNING;
	} else {
		c->program = find_program(o->program);
		if (!c->program) {
			if (why)
				*why = mem_printf("%s is not installed", o->program ? o->program : "corosync");
			err = ERR_NOENT;
		} else if ((err = make_dir(c, NULL, why)) == 0 && (err = make_dir(c, "state", why)) == 0) {
			err = make_dir(c, "uidgid.d", why);
		}
		if (err) {
			free(c->program);
			free(c->dir);
			free(c);
			return err;
		}
		take_over(c);
	}
	c->calls = corosync_calls_open(c->loop);
	*cp = c;
	return 0;
}

void corosync_close(struct corosync **cp)
{
	struct corosync *c = *cp;
	struct deadline *d;

	*cp = NULL;
	if (!c)
		return;
	corosync_calls_close(&c->calls);
	while ((d = c->deadlines)) {
		c->deadlines = d->next;
		ev_timer_stop(c->loop, &d->timer);
		free(d);
	}
	ev_child_stop(c->loop, &c->child);
	ev_child_stop(c->loop, &c->checker);
	ev_io_stop(c->loop, &c->death);
	ev_timer_stop(c->loop, &c->retry);
	ev_timer_stop(c->loop, &c->stop);
	ev_timer_stop(c->loop, &c->log_check);
	if (c->pidfd >= 0)
		close(c->pidfd);
	free(c->writing);
	free(c->program);
	free(c->dir);
	free(c);
}

enum corosync_state corosync_state(const struct corosync *c)
{
	return c->state;
}

int corosync_pid(const struct corosync *c)
{
	return c->pid;
}

int corosync_start(struct corosync *c)
{
	auto_free char *conf = path_of(c, "corosync.conf");

	if (c->host)
		return 0;
	if (access(conf, R_OK) < 0)
		return ERR_NOENT;
	c->wanted = true;
	ev_timer_stop(c->loop, &c->stop);
	c->retry_ms = RETRY_MS_MIN;
	if (c->pidfd < 0) {
		ev_timer_stop(c->loop, &c->retry);
		run(c);
	}
	return 0;
}

void corosync_stop(struct corosync *c, bool now)
{
	if (c->host)
		return;
	c->wanted = false;
	ev_timer_stop(c->loop, &c->retry);
	if (c->pidfd < 0) {
		if (c->state == COROSYNC_BROKEN)
			set_state(c, COROSYNC_STOPPED, "given up");
		return;
	}
	c->stopping = true;
	pidfd_send_signal(c->pidfd, now ? SIGKILL : SIGTERM, NULL, 0);
	if (!now && !ev_is_active(&c->stop)) {
		ev_timer_set(&c->stop, STOP_S, 0.);
		ev_timer_start(c->loop, &c->stop);
	}
}

static void write_end(struct corosync *c, int err, const char *why)
{
	corosync_done_fn *done = c->write_done;
	void *arg = c->write_arg;

	free(c->writing);
	c->writing = NULL;
	if (err)
		log_warn(c->log, "corosync: configuration not written: %s", why ? why : err_text(err));
	if (done)
		done(arg, err, why);
}

static struct corosync_call *write_call(struct corosync *c, enum corosync_call_kind kind, void (*done)(struct corosync_call *))
{
	struct corosync_call *call = mem_zalloc(sizeof(*call));

	call->kind = kind;
	call->dir = mem_strdup(c->dir);
	memcpy(call->key, c->writing->key, sizeof(call->key));
	call->done = done;
	call->owner = c;
	return call;
}

static void on_installed(struct corosync_call *call)
{
	write_end(call->owner, call->err, call->why);
}

static void on_checked(struct ev_loop *loop, struct ev_child *w, int revents)
{
	struct corosync *c = w->data;
	auto_free char *out = path_of(c, "check.log");
	auto_free char *said = last_words(out);

	ev_child_stop(loop, w);
	unlink(out);
	if (!WIFEXITED(w->rstatus) || WEXITSTATUS(w->rstatus) != 0)
		write_end(c, ERR_INVAL, said[0] ? said : "corosync -t refused it");
	else
		corosync_calls_put(c->calls, write_call(c, CALL_INSTALL, on_installed));
}

static void on_written(struct corosync_call *call)
{
	struct corosync *c = call->owner;
	auto_free char *conf = path_of(c, "corosync.conf.new");
	char *argv[] = { c->program, (char *)"-t", (char *)"-c", conf, NULL };
	int pid;

	if (call->err) {
		write_end(c, call->err, call->why);
		return;
	}
	pid = spawn(c, "check.log", O_TRUNC, argv, false);
	if (pid < 0) {
		write_end(c, ERR_FAILED, "cannot start a process");
		return;
	}
	ev_child_init(&c->checker, on_checked, pid, 0);
	c->checker.data = c;
	ev_child_start(c->loop, &c->checker);
}

int corosync_write(struct corosync *c, const struct corosync_conf *conf, corosync_done_fn *done, void *arg)
{
	struct corosync_call *call;
	char *why = NULL;
	int err;

	if (c->host)
		return ERR_NOTSUP;
	if (c->writing)
		return ERR_BUSY;
	err = corosync_conf_check(conf, &why);
	if (err) {
		log_warn(c->log, "corosync: refused configuration %llu: %s", (unsigned long long)conf->version, why);
		free(why);
		return err;
	}
	c->writing = mem_dup(conf, sizeof(*conf));
	c->write_done = done;
	c->write_arg = arg;
	call = write_call(c, CALL_WRITE, on_written);
	call->text = corosync_conf_text(conf, c->dir);
	corosync_calls_put(c->calls, call);
	return 0;
}

int corosync_written(const struct corosync *c, uint64_t *version, uint8_t hash[16])
{
	auto_free char *path = path_of(c, "corosync.conf");
	char line[256], text[64];
	bool ours = false;
	int found = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return err_from_errno(errno);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "director {", 10) == 0)
			ours = true;
		if (ours && sscanf(line, " version: %63s", text) == 1 && text_u64_parse(text, version) == 0)
			found |= 1;
		if (ours && sscanf(line, " hash: %63s", text) == 1 && text_hex_parse(text, hash, 16) == 0)
			found |= 2;
	}
	fclose(f);
	return found == 3 ? 0 : ERR_MALFORMED;
}


static void deadline_end(struct corosync *c, struct corosync_call *call)
{
	for (struct deadline **d = &c->deadlines; *d; d = &(*d)->next) {
		struct deadline *gone = *d;

		if (gone->call != call)
			continue;
		*d = gone->next;
		ev_timer_stop(c->loop, &gone->timer);
		free(gone);
		return;
	}
}

static void answer_call(struct corosync_call *call, int err, const char *why)
{
	if (call->kind == CALL_ACTIVE)
		((corosync_active_fn *)call->user)(call->arg, err, &call->active);
	else
		((corosync_done_fn *)call->user)(call->arg, err, why);
}

static void on_answer(struct corosync_call *call)
{
	if (call->abandoned)
		return;
	deadline_end(call->owner, call);
	answer_call(call, call->err, call->why);
}

static void on_deadline(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct deadline *d = w->data;
	struct corosync *c = d->c;
	struct corosync_call *call = d->call;

	call->abandoned = true;
	deadline_end(c, call);
	log_warn(c->log, "corosync: does not answer");
	if (call->kind == CALL_ACTIVE)
		((corosync_active_fn *)call->user)(call->arg, ERR_TIMEOUT, &(struct corosync_active){ 0 });
	else
		((corosync_done_fn *)call->user)(call->arg, ERR_TIMEOUT, "Corosync does not answer; the ring is stalled");
}

static int ask(struct corosync *c, enum corosync_call_kind kind, void (*user)(void), void *arg)
{
	struct corosync_call *call = mem_zalloc(sizeof(*call));
	struct deadline *d = mem_zalloc(sizeof(*d));

	call->kind = kind;
	call->dir = mem_strdup(c->dir);
	call->done = on_answer;
	call->owner = c;
	call->user = user;
	call->arg = arg;
	d->c = c;
	d->call = call;
	d->next = c->deadlines;
	c->deadlines = d;
	ev_timer_init(&d->timer, on_deadline, ANSWER_S, 0.);
	d->timer.data = d;
	ev_timer_start(c->loop, &d->timer);
	corosync_calls_put(c->calls, call);
	return 0;
}

int corosync_reload(struct corosync *c, corosync_done_fn *done, void *arg)
{
	if (c->host)
		return ERR_NOTSUP;
	return ask(c, CALL_RELOAD, (void (*)(void))done, arg);
}

int corosync_active(struct corosync *c, corosync_active_fn *done, void *arg)
{
	return ask(c, CALL_ACTIVE, (void (*)(void))done, arg);
}
