/* SPDX-License-Identifier: Apache-2.0 */
/* director-plugin-test: arguments, a process per test with a deadline, the report. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "plugins/kit/kit.h"

static const char *only, *without;
static unsigned deadline_s = 60, n_ok, n_bad, n_skip;

static const char usage[] =
	"usage: director-plugin-test [options] FILE|NAME [PARAM=VALUE...]\n"
	"Loads a backstore plugin and tests it. The storage that the parameters name is made and removed.\n"
	"\n"
	"  --size SIZE      of the disk (32M)\n"
	"  --over SPEC      for a filter: what it goes over, \"PLUGIN PARAM=VALUE ...\" (ram); may be repeated\n"
	"  --only LIST      only these tests (a,b,c)\n"
	"  --without LIST   all but these\n"
	"  --rounds N       I/Os of the random tests (2000)\n"
	"  --seed N         of the random tests (1)\n"
	"  --deadline N     seconds that one test may take (60)\n"
	"  --forgets N      the storage is made to forget meanwhile: a flush of the random tests may fail, and their\n"
	"                   rounds count from when flushes have told of N losses\n"
	"  --list           say which tests there are\n"
	"  --verbose        show what the plugin logs\n"
	"  --help\n"
	"\n"
	"Prints a line \"ok\" or \"not ok\" per test (TAP), then the sums. Exit status 0: all that apply passed; 1: some\n"
	"failed; 2: wrong usage.\n";

static bool in_list(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; list; list = strchr(list, ','), list = list ? list + 1 : NULL)
		if (strncmp(list, name, n) == 0 && (list[n] == 0 || list[n] == ','))
			return true;
	return false;
}

/* ---- one test ---- */

/* What is there to be read, as far as there is room: the last of it is kept. False: there will be no more. */
static bool read_all(int fd, char *said, size_t size, size_t *n)
{
	ssize_t got = 0;

	for (unsigned i = 0; i < 64 && (got = read(fd, said + *n, size - 1 - *n)) > 0; i++) {
		*n += (size_t)got;
		if (*n == size - 1)
			--*n;
	}
	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/*
 * Everything it says until it ends or its time is over. Returns the wait status, -1 when it had to be killed. It ends when
 * it ends: what a plugin left running may hold the pipe, and one that closed it may still hang.
 */
static int child_wait(pid_t pid, int fd, char *said, size_t size)
{
	struct mono until = mono_add_ms(mono_now(), deadline_s * 1000ull);
	struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd_open(pid, 0), .events = POLLIN } };
	bool killed = false;
	uint64_t left;
	size_t n = 0;
	int status = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!p[1].revents && (p[0].fd >= 0 || p[1].fd >= 0)) {
		left = mono_ms_between(mono_now(), until);
		if (left == 0) {
			kill(pid, SIGKILL);
			killed = true;
			break;
		}
		p[0].revents = p[1].revents = 0;
		if (poll(p, 2, left < 60000 ? (int)left : 60000) > 0 && p[0].revents && !read_all(fd, said, size, &n))
			p[0].fd = -1;
	}
	if (p[0].fd >= 0)
		read_all(fd, said, size, &n);
	if (p[1].fd >= 0)
		close(p[1].fd);
	said[n] = 0;
	while (n && said[n - 1] == '\n')
		said[--n] = 0;
	waitpid(pid, &status, 0);
	return killed ? -1 : status;
}

static void report(unsigned number, const struct kit_test *t, int status, const char *said)
{
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("ok %u %s - %s\n", number, t->name, t->what);
		if (said[0])
			printf("#   %s\n", said);
		n_ok++;
		return;
	}
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		printf("ok %u %s # SKIP %s\n", number, t->name, said);
		n_skip++;
		return;
	}
	n_bad++;
	printf("not ok %u %s - %s\n", number, t->name, t->what);
	if (status < 0)
		printf("#   it did not end within %u seconds: an I/O or a verb that is never answered\n", deadline_s);
	else if (WIFSIGNALED(status))
		printf("#   killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!said[0])
		printf("#   exit status %d (a sanitizer's report is on standard error)\n", WEXITSTATUS(status));
	if (said[0])
		printf("#   %s\n", said);
}

static unsigned count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* A thread that was joined may still be ending, and LeakSanitizer stumbles over one that does. What a plugin keeps, stays. */
static void threads_end(void)
{
	for (unsigned i = 0; i < 200 && count_threads() > 1; i++)
		poll(NULL, 0, 5);
}

static void run(unsigned number, const struct kit_test *t)
{
	char said[2000];
	int fds[2], status;
	pid_t pid;

	if (pipe(fds) < 0) {
		perror("director-plugin-test: pipe");
		exit(2);
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		dup2(fds[1], STDOUT_FILENO);
		close(fds[1]);
		t->run();
		threads_end();
		exit(0);
	}
	close(fds[1]);
	if (pid < 0) {
		perror("director-plugin-test: fork");
		exit(2);
	}
	status = child_wait(pid, fds[0], said, sizeof(said));
	close(fds[0]);
	report(number, t, status, said);
	fflush(stdout);
}

static unsigned run_all(unsigned number, const struct kit_test *t)
{
	for (; t->name; t++)
		if ((!only || in_list(only, t->name)) && !(without && in_list(without, t->name)))
			run(number++, t);
	return number;
}

static void list(const struct kit_test *t)
{
	for (; t->name; t++)
		printf("%-12s %s\n", t->name, t->what);
}

/* ---- arguments ---- */

static int wrong(const char *fmt, const char *what)
{
	fprintf(stderr, "director-plugin-test: ");
	fprintf(stderr, fmt, what);
	fprintf(stderr, "\n");
	return 2;
}

static int pair_add(struct plugin_pair *pairs, unsigned *n, char *text)
{
	char *eq = strchr(text, '=');

	if (!eq || *n == KIT_PARAMS_MAX)
		return -1;
	*eq = 0;
	pairs[(*n)++] = (struct plugin_pair){ text, eq + 1 };
	return 0;
}

static int over_add(const char *text)
{
	unsigned i = kit_args.n_below;
	char *copy = mem_strdup(text), *save, *word = strtok_r(copy, " ", &save);

	if (!word || i == ARRAY_LEN(kit_args.below))
		return -1;
	kit_args.below[i] = (struct backstore_spec){ .plugin = word, .params = kit_args.below_params[i],
		.size = kit_args.size };
	while ((word = strtok_r(NULL, " ", &save)) != NULL)
		if (pair_add(kit_args.below_params[i], &kit_args.below[i].n_params, word) < 0)
			return -1;
	kit_args.n_below++;
	return 0;
}

static int number(const char *s, uint64_t *v)
{
	return text_u64_parse(s, v);
}

static int option(int c, const char *arg)
{
	uint64_t v = 0;

	switch (c) {
	case 's':
		if (text_size_parse(arg, &kit_args.size) < 0 || kit_args.size < 1u << 20)
			return wrong("--size: \"%s\" is not a size of at least 1M", arg);
		break;
	case 'o':
		if (over_add(arg) < 0)
			return wrong("--over: \"%s\" is not \"PLUGIN PARAM=VALUE ...\"", arg);
		break;
	case 'O':
		only = arg;
		break;
	case 'w':
		without = arg;
		break;
	case 'r':
	case 'S':
	case 'd':
	case 'f':
		if (number(arg, &v) < 0 || v == 0 || v > 1000000000)
			return wrong("\"%s\" is not a number that makes sense here", arg);
		if (c == 'r')
			kit_args.rounds = (unsigned)v;
		else if (c == 'S')
			kit_args.seed = v;
		else if (c == 'f')
			kit_args.forgets = (unsigned)v;
		else
			deadline_s = (unsigned)v;
		break;
	case 'v':
		kit_args.verbose = true;
		break;
	default:
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", 1, NULL, 's' }, { "over", 1, NULL, 'o' }, { "only", 1, NULL, 'O' }, { "without", 1, NULL, 'w' },
		{ "rounds", 1, NULL, 'r' }, { "seed", 1, NULL, 'S' }, { "deadline", 1, NULL, 'd' },
		{ "forgets", 1, NULL, 'f' }, { "list", 0, NULL, 'l' }, { "verbose", 0, NULL, 'v' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	unsigned n;
	int c, r;

	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c == 'l') {
			list(kit_life);
			list(kit_data);
			list(kit_crash);
			return 0;
		}
		r = option(c, optarg);
		if (r)
			return r;
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return 2;
	}
	kit_args.file = argv[optind++];
	for (; optind < argc; optind++)
		if (pair_add(kit_args.params, &kit_args.n_params, argv[optind]) < 0)
			return wrong("\"%s\" is not PARAM=VALUE", argv[optind]);
	for (n = 0; n < kit_args.n_below; n++)
		kit_args.below[n].size = kit_args.size;
	n = run_all(run_all(run_all(1, kit_life), kit_data), kit_crash);
	printf("1..%u\n%u passed, %u failed, %u skipped\n", n - 1, n_ok, n_bad, n_skip);
	return n_bad ? 1 : 0;
}
