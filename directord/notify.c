/* SPDX-License-Identifier: Apache-2.0 */
/* sd_notify(3)'s protocol, spoken directly: one datagram of lines to the socket named by $NOTIFY_SOCKET. */
#include "directord/notify.h"

#include <ev.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

static struct {
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	struct ev_loop *loop;
	ev_timer watchdog;
	char status[256];
} mgr = { .fd = -1 };

static void tell(const char *text)
{
	if (mgr.fd >= 0)
		(void)!sendto(mgr.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (void *)&mgr.to, mgr.to_len);
}

static void watchdog_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	tell("WATCHDOG=1");
}

/* The manager wants to hear from us every $WATCHDOG_USEC, if it means this process. */
static double watchdog_seconds(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t us, p;

	if (!usec || text_u64_parse(usec, &us) < 0 || us == 0)
		return 0;
	if (pid && (text_u64_parse(pid, &p) < 0 || p != (uint64_t)getpid()))
		return 0;
	return (double)us / 1e6 / 3;
}

void notify_init(struct ev_loop *loop)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	double every = watchdog_seconds();

	if (len > 1 && len < sizeof(mgr.to.sun_path) && (*path == '/' || *path == '@')) {
		mgr.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		mgr.to.sun_family = AF_UNIX;
		memcpy(mgr.to.sun_path, path, len);
		if (*path == '@')
			mgr.to.sun_path[0] = 0;
		mgr.to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	}
	/* Children must not speak for us. */
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (mgr.fd >= 0 && every > 0) {
		mgr.loop = loop;
		ev_timer_init(&mgr.watchdog, watchdog_due, 0, every);
		ev_timer_start(loop, &mgr.watchdog);
		ev_unref(loop);
	}
}

void notify_fini(void)
{
	if (mgr.loop) {
		ev_ref(mgr.loop);
		ev_timer_stop(mgr.loop, &mgr.watchdog);
	}
	mgr.loop = NULL;
	if (mgr.fd >= 0)
		close(mgr.fd);
	mgr.fd = -1;
}

void notify_ready(void)
{
	tell("READY=1");
}

void notify_reloading(void)
{
	struct timespec t;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
	         (unsigned long long)t.tv_sec * 1000000u + (unsigned long long)t.tv_nsec / 1000u);
	tell(text);
}

void notify_stopping(void)
{
	tell("STOPPING=1");
}

void notify_status(const char *fmt, ...)
{
	char text[sizeof(mgr.status)] = "STATUS=";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + 7, sizeof(text) - 7, fmt, ap);
	va_end(ap);
	if (strcmp(text, mgr.status) == 0)
		return;
	memcpy(mgr.status, text, sizeof(text));
	tell(text);
}

bool notify_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}
