/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, whole or not at all. */
#include "directord/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

int file_read(const char *path, size_t max, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t got = 0;
	ssize_t n;
	int err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	while (got <= max) {
		n = read(fd, buf_room(out, 4096), 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = err_from_errno(errno);
		if (n <= 0)
			break;
		buf_add(out, (size_t)n);
		got += (size_t)n;
	}
	close(fd);
	return err ? err : got > max ? ERR_LIMIT : 0;
}

/* The directory part of a path; given. */
static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_strdup(".");
	return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static int dir_sync(const char *path)
{
	auto_free char *dir = dir_of(path);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	if (fsync(fd) < 0)
		err = err_from_errno(errno);
	close(fd);
	return err;
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return err_from_errno(errno);
		p += w;
		n -= (size_t)w;
	}
	return fsync(fd) < 0 ? err_from_errno(errno) : 0;
}

int file_write(const char *path, const void *p, size_t n, unsigned mode)
{
	auto_free char *tmp = mem_printf("%s.new", path);
	int fd, err;

	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_from_errno(errno);
	err = write_all(fd, p, n);
	if (!err && fchmod(fd, mode) < 0)
		err = err_from_errno(errno);
	if (close(fd) < 0 && !err)
		err = err_from_errno(errno);
	if (!err && rename(tmp, path) < 0)
		err = err_from_errno(errno);
	if (err) {
		unlink(tmp);
		return err;
	}
	return dir_sync(path);
}

int file_mkdirs(const char *path, unsigned mode)
{
	auto_free char *p = mem_strdup(path);
	struct stat st;

	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = 0;
		if (mkdir(p, 0755) < 0 && errno != EEXIST)
			return err_from_errno(errno);
		*s = '/';
	}
	if (mkdir(p, (mode_t)mode) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	return stat(p, &st) < 0 || !S_ISDIR(st.st_mode) ? ERR_IO : 0;
}

int file_lock(const char *path, int *fd, int *pid)
{
	char text[32] = "";
	ssize_t n;
	int err;

	*pid = 0;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (*fd < 0)
		return err_from_errno(errno);
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0) {
		err = errno == EWOULDBLOCK ? ERR_BUSY : err_from_errno(errno);
		n = pread(*fd, text, sizeof(text) - 1, 0);
		if (n > 0)
			*pid = atoi(text);
		close(*fd);
		*fd = -1;
		return err;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(*fd, 0) < 0 || pwrite(*fd, text, (size_t)n, 0) != n) {
		err = err_from_errno(errno);
		close(*fd);
		*fd = -1;
		return err;
	}
	return 0;
}

char *file_program(const char *name, const char *installed)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct stat st;
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		*slash = '\0';
		for (int i = 0; i < 2; i++) {
			char *path = i == 0 ? mem_printf("%s/%s", self, name) : mem_printf("%s/../%s", self, name);

			if (access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
				return path;
			free(path);
		}
	}
	return mem_printf("%s/%s", installed, name);
}
