/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wall clock that jumps, for the programs of one node of a lab: preloaded, it adds the seconds in /run/director/clock of the
 * node to CLOCK_REALTIME. CLOCK_BOOTTIME and CLOCK_MONOTONIC cannot jump, and are left alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static _Atomic long looked, offset;

static long jumped(void)
{
	struct timespec ts;
	char text[24] = "";
	ssize_t n;
	int fd;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	long now = ts.tv_sec * 10 + ts.tv_nsec / 100000000;
	if (atomic_exchange(&looked, now) == now)
		return atomic_load(&offset);
	fd = open("/run/director/clock", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	atomic_store(&offset, n > 0 ? strtol(text, NULL, 10) : 0);
	return atomic_load(&offset);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += jumped();
	return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	*tv = (struct timeval){ ts.tv_sec, ts.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
