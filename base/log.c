/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting and filtering of log lines; where they go is the sink's business. */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = { "fatal", "warn", "info", "debug" };

	return names[level];
}

static bool debug_wanted(const char *list, const char *fmt)
{
	const char *colon = strchr(fmt, ':');
	size_t len = colon ? (size_t)(colon - fmt) : 0;

	while (list && *list) {
		size_t n = strcspn(list, ",");

		if ((n == 3 && memcmp(list, "all", 3) == 0) || (n == len && memcmp(list, fmt, n) == 0))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

void log_line(const struct log *l, enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!l || !l->sink)
		return;
	if (level > l->level && !(level == LOG_LEVEL_DEBUG && debug_wanted(l->debug, fmt)))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A name from the network must not forge a second line. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	l->sink(l->arg, level, line);
}
