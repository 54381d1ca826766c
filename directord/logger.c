/* SPDX-License-Identifier: Apache-2.0 */
/* The log's way out of the process. One write per line, so that threads do not mix theirs. */
#include "directord/logger.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	bool journal;
	pthread_t loop_thread;
	void (*tap)(void *arg, enum log_level level, const char *line);
	void *tap_arg;
	bool in_tap;
} out;

/* sd-daemon(3): crit, warning, info, debug. */
static const char *const priorities[] = { "<2>", "<4>", "<6>", "<7>" };

static size_t prefix(enum log_level level, char *text, size_t max)
{
	struct timespec t;
	struct tm tm;
	size_t n;

	if (out.journal)
		return (size_t)snprintf(text, max, "%s", priorities[level]);
	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	n = strftime(text, max, "%Y-%m-%d %H:%M:%S", &tm);
	return n + (size_t)snprintf(text + n, max - n, ".%03ld %-5s ", t.tv_nsec / 1000000, log_level_name(level));
}

static void sink(void *arg, enum log_level level, const char *line)
{
	char text[1152];
	size_t n = prefix(level, text, sizeof(text)), len = strlen(line);

	if (len > sizeof(text) - n - 1)
		len = sizeof(text) - n - 1;
	memcpy(text + n, line, len);
	text[n + len] = '\n';
	(void)!write(STDERR_FILENO, text, n + len + 1);
	if (out.tap && !out.in_tap && pthread_equal(pthread_self(), out.loop_thread)) {
		out.in_tap = true;
		out.tap(out.tap_arg, level, line);
		out.in_tap = false;
	}
}

void logger_init(struct log *l, enum log_level level, const char *debug, bool journal)
{
	tzset();
	out.journal = journal;
	out.loop_thread = pthread_self();
	*l = (struct log){ .sink = sink, .level = level, .debug = debug && *debug ? debug : NULL };
}

void logger_tap(void (*tap)(void *arg, enum log_level level, const char *line), void *arg)
{
	out.tap = tap;
	out.tap_arg = arg;
}
