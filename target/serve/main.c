/* SPDX-License-Identifier: Apache-2.0 */
/* director-target: options, start, signals, end. */
#include "config.h"

#include <ev.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "target/serve/serve.h"

#define DEFAULT_SOCKET RUNSTATEDIR "/director/target.sock"
#define DEFAULT_STATE LOCALSTATEDIR "/lib/director/target"

static const char usage[] =
	"usage: director-target [option]…\n"
	"The data plane of director: iSCSI, SCSI, backstores. directord starts it and tells it what to serve.\n"
	"\n"
	"  --socket PATH        where directord reaches it (" DEFAULT_SOCKET ")\n"
	"  --state FOLDER       what units keep: reservations, saved mode pages (" DEFAULT_STATE ")\n"
	"  --workers N          threads that serve connections (one per processor)\n"
	"  --memory SIZE        bound of the data buffers (512M)\n"
	"  --queue-depth N      commands of one session at a time (128)\n"
	"  --login-timeout T    for a whole login (15s)\n"
	"  --ping T             ask a silent initiator whether it lives; 0: never (30s)\n"
	"  --connections N      bound of all connections (4096)\n"
	"  --sanitize-rate SIZE what SANITIZE writes per second at most (256M)\n"
	"  --follow yes|no      a worker whose commands come one by one runs where its packets come in (yes)\n"
	"  --debug SUBJECTS     debug lines of these (\"link,session\" or \"all\")\n"
	"  --version, --help\n";

static void log_sink(void *arg, enum log_level level, const char *line)
{
	/* One write per line, so that threads do not mix theirs. */
	char out[1024];
	int n = snprintf(out, sizeof(out), "director-target: %s%s\n",
		level == LOG_LEVEL_WARN ? "warning: " : "", line);

	if (n > (int)sizeof(out) - 1)
		n = sizeof(out) - 1;
	if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
		return;
}

static void bad(const char *option, const char *value)
{
	fprintf(stderr, "director-target: --%s: \"%s\" is not a value it can have; see --help\n", option,
		value);
	exit(2);
}

static uint64_t number(const char *option, const char *value, uint64_t lo, uint64_t hi)
{
	uint64_t v;

	if (text_u64_parse(value, &v) != 0 || v < lo || v > hi)
		bad(option, value);
	return v;
}

static uint32_t duration(const char *option, const char *value)
{
	uint64_t v;

	if (text_ms_parse(value, &v) != 0 || v > 86400000)
		bad(option, value);
	return (uint32_t)v;
}

static void options(int argc, char **argv, struct serve *s)
{
	static const struct option table[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "state", required_argument, NULL, 'S' },
		{ "workers", required_argument, NULL, 'w' },
		{ "memory", required_argument, NULL, 'm' },
		{ "queue-depth", required_argument, NULL, 'q' },
		{ "login-timeout", required_argument, NULL, 'l' },
		{ "ping", required_argument, NULL, 'p' },
		{ "connections", required_argument, NULL, 'c' },
		{ "sanitize-rate", required_argument, NULL, 'r' },
		{ "follow", required_argument, NULL, 'f' },
		{ "debug", required_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct serve_conf *c = &s->conf;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int o, index = 0;

	*c = (struct serve_conf){ .socket = DEFAULT_SOCKET,
		.state = DEFAULT_STATE,
		.workers = cpus < 1		? 1
			   : cpus > WORKERS_MAX ? WORKERS_MAX
						: (unsigned)cpus,
		.memory = 512u << 20,
		.sanitize_rate = 256u << 20,
		.queue_depth = 128,
		.login_ms = 15000,
		.ping_ms = 30000,
		.links_max = 4096,
		.follow = true,
		.logins_per_source_max = 256 };
	while ((o = getopt_long(argc, argv, "", table, &index)) != -1) {
		const char *name = o == '?' ? NULL : table[index].name;

		switch (o) {
		case 's': c->socket = optarg; break;
		case 'S': c->state = optarg; break;
		case 'w': c->workers = (unsigned)number(name, optarg, 1, WORKERS_MAX); break;
		case 'm':
			if (text_size_parse(optarg, &c->memory) != 0 || c->memory < (64u << 20))
				bad(name, optarg);
			break;
		case 'q': c->queue_depth = (unsigned)number(name, optarg, 1, SESSION_DEPTH_MAX / 2); break;
		case 'l': c->login_ms = duration(name, optarg); break;
		case 'p': c->ping_ms = duration(name, optarg); break;
		case 'c': c->links_max = (unsigned)number(name, optarg, 1, 1u << 20); break;
		case 'r':
			if (text_size_parse(optarg, &c->sanitize_rate) != 0 || c->sanitize_rate < (1u << 20))
				bad(name, optarg);
			break;
		case 'f':
			c->follow = strcmp(optarg, "yes") == 0;
			if (!c->follow && strcmp(optarg, "no") != 0)
				bad(name, optarg);
			break;
		case 'd': s->log.debug = optarg; break;
		case 'V': puts(PACKAGE_STRING); exit(0);
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

/* Sockets and backstores are many: as many descriptors as the system lets us have. */
static void limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static void on_signal(struct ev_loop *loop, ev_signal *sig, int revents)
{
	struct serve *s = sig->data;

	log_info(&s->log, "main: signal %d, shutting down", sig->signum);
	ev_break(loop, EVBREAK_ALL);
}

static int start(struct serve *s, struct ev_loop *loop)
{
	struct backstore_host_conf hc = { .log = &s->log };

	if (backstore_host_new(&hc, &s->host) != 0) {
		log_warn(&s->log, "main: the backstore host does not start");
		return -1;
	}
	if (keep_new(s, &s->keep) != 0)
		return -1;
	s->inner = inner_new(s);
	s->judge = judge_new(s);
	s->listen = listen_new(s, loop);
	for (unsigned i = 0; i < s->conf.workers; i++) {
		if (worker_new(s, i, &s->workers[i]) != 0) {
			log_warn(&s->log, "main: worker %u does not start", i);
			return -1;
		}
		s->n_workers++;
	}
	s->away = away_new(s, loop);
	s->control = control_new(s, loop);
	if (!s->control) {
		log_warn(&s->log, "main: cannot listen at %s", s->conf.socket);
		return -1;
	}
	return 0;
}

/* From the outside in: no new connections, no sessions, no jobs, no storage. */
static void finish(struct serve *s)
{
	away_free(&s->away);
	listen_free(&s->listen);
	workers_stop(s);
	if (s->inner)
		inner_stop(s->inner);
	if (s->control)
		control_stop_jobs(s->control);
	keep_free(&s->keep);
	/* The threads of jobs and of keep post to workers until they have ended. */
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_free(&s->workers[i]);
	job_close_all(s);
	judge_free(&s->judge);
	inner_free(&s->inner);
	control_free(&s->control);
	if (s->host)
		backstore_host_free(&s->host);
	sources_fini(s);
	registry_fini(&s->registry);
}

int main(int argc, char **argv)
{
	static struct serve s;
	struct ev_loop *loop;
	ev_signal term, intr;
	int ok;

	s.log = (struct log){ .sink = log_sink, .level = LOG_LEVEL_INFO };
	options(argc, argv, &s);
	if (sodium_init() < 0 || !(loop = ev_default_loop(EVFLAG_AUTO)))
		return 1;
	signal(SIGPIPE, SIG_IGN);
	limits();
	registry_init(&s.registry);
	pthread_mutex_init(&s.sources_lock, NULL);
	s.started = mono_now();
	randombytes_buf(s.instance, sizeof(s.instance));
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_init(&intr, on_signal, SIGINT);
	term.data = intr.data = &s;
	ev_signal_start(loop, &term);
	ev_signal_start(loop, &intr);
	ok = start(&s, loop) == 0;
	if (ok) {
		log_info(&s.log, "main: ready, %u workers, at %s", s.n_workers, s.conf.socket);
		ev_run(loop, 0);
	}
	finish(&s);
	ev_loop_destroy(loop);
	return ok ? 0 : 1;
}
