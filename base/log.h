/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: subject first ("gossip: node n3 suspect"), one line each, stable wording. A pure room
 * writes to the `struct log` that it was given; the edge gives it log_stderr() or its own, the
 * simulator gives it the trace.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_FATAL, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log {
	/* Called with one whole line, without newline. Must not call back. */
	void (*sink)(void *arg, enum log_level level, const char *line);
	void *arg;
	enum log_level level;   /* lines above it are not formatted */
	/* Subjects ("gossip,agree" or "all") for which debug is on whatever `level` says. NULL: none. */
	const char *debug;
};

/* Write one line; `l` may be NULL (nothing is written). The subject is what stands before the first ':'. */
void log_line(const struct log *l, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_warn(l, ...) log_line((l), LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(l, ...) log_line((l), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(l, ...) log_line((l), LOG_LEVEL_DEBUG, __VA_ARGS__)

/* "fatal", "warn", "info", "debug". Static. */
const char *log_level_name(enum log_level level);

#endif
