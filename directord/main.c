/* SPDX-License-Identifier: Apache-2.0 */
/* directord: arguments, configuration, one instance, signals; the rest is the runner's. */
#include <errno.h>
#include <ev.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "directord/conf.h"
#include "directord/file.h"
#include "directord/logger.h"
#include "directord/notify.h"
#include "directord/run.h"

#define DEFAULT_CONF SYSCONFDIR "/director/director.conf"
#define LEAVE_SECONDS 3.        /* a goodbye that takes longer is not worth waiting for */

struct daemon {
	struct ev_loop *loop;
	const char *conf_path;
	bool conf_must;
	int argc;                       /* options stand above the file, at a reload too */
	char **argv;
	struct conf conf;
	struct log log;
	struct run *run;
	ev_signal term, intr, hup;
	ev_timer leave;
	int lock_fd;
	bool leaving;
};

static const char usage[] =
	"usage: directord [--conf FILE] [--state DIR] [--run DIR] [--name NAME] [--set KEY=VALUE] [-n[v]] [--foreground]\n"
	"       directord --version | --help\n"
	"\n"
	"  --conf FILE        configuration (" DEFAULT_CONF "; it may be missing)\n"
	"  --state DIR        as \"state = DIR\" in it\n"
	"  --run DIR          as \"run = DIR\"\n"
	"  --name NAME        as \"name = NAME\"\n"
	"  --set KEY=VALUE    as \"KEY = VALUE\"; may be given often\n"
	"  -n, --check        check the configuration and exit; with -v print it, with -vv all of it\n"
	"  --foreground       stay in the foreground (it always does)\n"
	"\n"
	"See directord(8) and director.conf(5).\n";

enum { OPT_CONF = 256, OPT_STATE, OPT_RUN, OPT_NAME, OPT_SET, OPT_FOREGROUND, OPT_VERSION, OPT_HELP, OPT_EXAMPLE, OPT_MDOC };

static const struct option options[] = {
	{ "conf", required_argument, NULL, OPT_CONF },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "run", required_argument, NULL, OPT_RUN },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "set", required_argument, NULL, OPT_SET },
	{ "check", no_argument, NULL, 'n' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "print-example", no_argument, NULL, OPT_EXAMPLE },
	{ "print-mdoc", no_argument, NULL, OPT_MDOC },
	{ NULL, 0, NULL, 0 },
};

struct args {
	bool check;
	int verbose;
	int print;                      /* OPT_VERSION, OPT_HELP, OPT_EXAMPLE, OPT_MDOC */
};

/* "KEY=VALUE" of --set. */
static int set_pair(struct conf *c, const char *pair, struct buf *errs)
{
	auto_free char *key = NULL;
	const char *eq = strchr(pair, '=');

	if (!eq) {
		buf_printf(errs, "--set %s: not KEY=VALUE\n", pair);
		return ERR_INVAL;
	}
	key = mem_strndup(pair, (size_t)(eq - pair));
	return conf_set(c, key, eq + 1, errs);
}

/*
 * Walk the arguments. With `c`, settings go into it (the file was read before); without, only what says
 * where the file is and what is to be done.
 */
static int args_walk(struct daemon *d, struct args *a, struct conf *c, struct buf *errs)
{
	static const char *const keys[] = { [OPT_STATE - OPT_CONF] = "state", [OPT_RUN - OPT_CONF] = "run", [OPT_NAME - OPT_CONF] = "name" };
	int opt, err = 0;

	optind = 1;
	opterr = c == NULL;
	while ((opt = getopt_long(d->argc, d->argv, "nvh", options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONF:
			d->conf_path = optarg;
			d->conf_must = true;
			break;
		case OPT_STATE:
		case OPT_RUN:
		case OPT_NAME:
			err |= c ? conf_set(c, keys[opt - OPT_CONF], optarg, errs) : 0;
			break;
		case OPT_SET:
			err |= c ? set_pair(c, optarg, errs) : 0;
			break;
		case 'n':
			a->check = true;
			break;
		case 'v':
			a->verbose += c == NULL;
			break;
		case OPT_FOREGROUND:
			break;
		case 'h':
			a->print = OPT_HELP;
			break;
		case OPT_VERSION:
		case OPT_HELP:
		case OPT_EXAMPLE:
		case OPT_MDOC:
			a->print = opt;
			break;
		default:
			return ERR_INVAL;
		}
	}
	if (optind < d->argc) {
		fprintf(stderr, "directord: there is no argument \"%s\"\n", d->argv[optind]);
		return ERR_INVAL;
	}
	return err ? ERR_INVAL : 0;
}

/* Defaults, then the file, then the arguments. */
static int conf_build(struct daemon *d, struct conf *c, struct buf *errs)
{
	struct args ignored = { 0 };
	int err;

	conf_init(c);
	err = conf_load(c, d->conf_path, d->conf_must, errs);
	err |= args_walk(d, &ignored, c, errs);
	if (errs->len && errs->data[errs->len - 1] != '\n')
		buf_puts(errs, "\n");
	if (!err)
		err = conf_check(c, errs);
	return err ? ERR_INVAL : 0;
}

static int print(int what)
{
	struct buf out = { 0 };

	switch (what) {
	case OPT_VERSION:
		buf_puts(&out, "directord " VERSION "\n");
		break;
	case OPT_EXAMPLE:
		conf_example(&out);
		break;
	case OPT_MDOC:
		conf_mdoc(&out);
		break;
	default:
		buf_puts(&out, usage);
	}
	fputs(buf_str(&out), stdout);
	buf_fini(&out);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- signals ---- */

static void left(void *arg)
{
	struct daemon *d = arg;

	ev_break(d->loop, EVBREAK_ALL);
}

static void leave_overdue(struct ev_loop *loop, ev_timer *w, int revents)
{
	left(w->data);
}

static void terminate(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct daemon *d = w->data;

	if (d->leaving) {
		log_warn(&d->log, "directord: a second signal; going without goodbye");
		left(d);
		return;
	}
	d->leaving = true;
	log_info(&d->log, "directord: leaving (signal %d)", w->signum);
	notify_stopping();
	ev_timer_start(loop, &d->leave);
	run_leave(d->run, left, d);
}

/* Log each line of `text`. */
static void log_lines(const struct log *log, const char *subject, struct buf *text)
{
	char *save = NULL;

	for (char *line = strtok_r(buf_str(text), "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		log_info(log, "conf: %s%s", subject, line);
}

static void log_apply(struct daemon *d)
{
	d->log.level = (enum log_level)d->conf.log_level;
	d->log.debug = *d->conf.debug ? d->conf.debug : NULL;
}

static void reload(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct daemon *d = w->data;
	struct buf text = { 0 };
	struct conf want;

	notify_reloading();
	if (conf_build(d, &want, &text) < 0) {
		log_lines(&d->log, "not reloaded: ", &text);
	} else if (conf_diff(&d->conf, &want, &text) == CONF_SAME) {
		log_info(&d->log, "conf: reloaded, nothing changed");
	} else {
		d->log.debug = NULL;    /* the text it points to is about to be replaced */
		log_lines(&d->log, "", &text);
		conf_adopt(&d->conf, &want);
		log_apply(d);
		run_reconf(d->run);
	}
	conf_fini(&want);
	buf_fini(&text);
	notify_ready();
}

static void on_signal(struct daemon *d, ev_signal *w, int signum, void (*cb)(struct ev_loop *, ev_signal *, int))
{
	ev_signal_init(w, cb, signum);
	w->data = d;
	ev_signal_start(d->loop, w);
}

/* ---- the process ---- */

/*
 * Many sockets per peer and many volumes; no core file with keys in it; and one heap for all threads, of which
 * only the loop's uses much. ZeroMQ gives each connection queues of 16 KB, which are hardly touched and gone half a minute
 * later: apart from the heap they cost what is touched, and leave no holes.
 */
static void limits_set(void)
{
	struct rlimit files, none = { 0, 0 };

	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 16384);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 16384) {
		files.rlim_cur = files.rlim_max < 16384 ? files.rlim_max : 16384;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &none);
}

static int lock_take(struct daemon *d)
{
	auto_free char *path = mem_printf("%s/directord.pid", d->conf.run);
	int pid, err;

	err = file_mkdirs(d->conf.run, 0755);
	if (!err)
		err = file_mkdirs(d->conf.state, 0700);
	if (!err)
		err = file_lock(path, &d->lock_fd, &pid);
	if (err == ERR_BUSY)
		log_line(&d->log, LOG_LEVEL_FATAL, "directord: another one runs with run directory %s (process %d)", d->conf.run, pid);
	else if (err)
		log_line(&d->log, LOG_LEVEL_FATAL, "directord: %s or %s: %s", path, d->conf.state, err_text(err));
	return err;
}

static int serve(struct daemon *d)
{
	auto_free char *why = NULL;
	int err;

	d->loop = ev_default_loop(EVFLAG_AUTO);
	if (!d->loop) {
		log_line(&d->log, LOG_LEVEL_FATAL, "directord: no event loop");
		return ERR_FAILED;
	}
	err = lock_take(d);
	if (err)
		return err;
	notify_init(d->loop);
	on_signal(d, &d->term, SIGTERM, terminate);
	on_signal(d, &d->intr, SIGINT, terminate);
	on_signal(d, &d->hup, SIGHUP, reload);
	ev_timer_init(&d->leave, leave_overdue, LEAVE_SECONDS, 0.);
	d->leave.data = d;
	d->run = run_new(d->loop, &d->conf, &d->log, &err, &why);
	if (!d->run) {
		log_line(&d->log, LOG_LEVEL_FATAL, "directord: %s", why ? why : err_text(err));
		return err;
	}
	notify_ready();
	ev_run(d->loop, 0);
	run_free(&d->run);
	log_info(&d->log, "directord: gone");
	notify_fini();
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon d = { .argc = argc, .argv = argv, .conf_path = DEFAULT_CONF, .lock_fd = -1 };
	struct args a = { 0 };
	struct buf text = { 0 };
	int err;

	if (args_walk(&d, &a, NULL, NULL) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	if (a.print)
		return print(a.print);
	err = conf_build(&d, &d.conf, &text);
	if (err) {
		fprintf(stderr, "%s", buf_str(&text));
	} else if (a.check) {
		if (a.verbose)
			conf_print(&d.conf, a.verbose > 1, &text);
		fputs(buf_str(&text), stdout);
	} else {
		umask(027);
		signal(SIGPIPE, SIG_IGN);
		limits_set();
		logger_init(&d.log, (enum log_level)d.conf.log_level, d.conf.debug, notify_journal());
		if (a.verbose)
			d.log.level = LOG_LEVEL_DEBUG;
		err = serve(&d);
	}
	buf_fini(&text);
	conf_fini(&d.conf);
	return err_exit(err);
}
