/* SPDX-License-Identifier: Apache-2.0 */
/*
 * example2: a plugin that blocks, with parameters. Plain pread and pwrite on a file; because it says
 * BLOCKING, the host calls submit on worker threads of its own, several at once.
 */
#include <director/plugin.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk {
	const struct director_host *host;
	int fd;
	uint64_t size;
};

/* The host parses, checks and documents these; open finds them ready. */
static const struct director_param params[] = {
	{ .name = "path", .type = DIRECTOR_P_PATH, .flags = DIRECTOR_PF_REQUIRED, .help = "the file" },
	{ .name = "mode", .type = DIRECTOR_P_ENUM, .value = "private", .choices = "private shared",
	  .help = "who may read a file that is made here: its owner, or everyone" },
	{ .name = NULL },
};

static int init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

/* Text for the person who typed the command. */
static int fail(struct director_err *err, const char *path)
{
	int code = -errno;

	if (err)
		snprintf(err->text, sizeof(err->text), "%s: %s", path, strerror(-code));
	return code;
}

/* May be asked again after a crash: done already is success. */
static int create(void *priv, const struct director_conf *conf, uint64_t size, struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	int shared = strcmp(conf->get(conf, "mode"), "shared") == 0;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, shared ? 0644 : 0600), r = 0;
	struct stat st;

	if (fd < 0)
		return fail(err, path);
	if (fstat(fd, &st) < 0)
		r = fail(err, path);
	else if (st.st_size != 0 && (uint64_t)st.st_size != size)
		r = -EEXIST;
	else if (ftruncate(fd, (off_t)size) < 0 || fsync(fd) < 0)
		r = fail(err, path);
	close(fd);
	return r;
}

static int open_disk(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	struct disk *d = calloc(1, sizeof(*d));
	struct stat st;

	if (!d)
		return -ENOMEM;
	d->host = priv;
	d->fd = open(path, O_RDWR | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st) < 0) {
		int r = fail(err, path);

		if (d->fd >= 0)
			close(d->fd);
		free(d);
		return r;
	}
	d->size = (uint64_t)st.st_size;
	*obj = d;
	return 0;
}

/* No FUA, no zeroes, no compare: the host makes them from writes and flushes. */
static int caps(void *obj, struct director_caps *c)
{
	struct disk *d = obj;

	c->size = d->size;
	c->block_size = 512;
	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_WRITE_CACHE;
	return 0;
}

/* All of the buffer or an error: the kernel may do a part only. */
static int transfer(struct disk *d, uint16_t op, char *p, size_t len, off_t at)
{
	while (len) {
		ssize_t n = op == DIRECTOR_READ ? pread(d->fd, p, len, at) : pwrite(d->fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void submit(void *obj, struct director_io *io)
{
	struct disk *d = obj;
	off_t at = (off_t)io->offset;
	int r = 0;
	uint32_t i;

	if (io->op == DIRECTOR_FLUSH)
		r = fdatasync(d->fd) < 0 ? -errno : 0;
	for (i = 0; i < io->n_iov && r == 0; at += (off_t)io->iov[i++].len)
		r = transfer(d, io->op, io->iov[i].base, io->iov[i].len, at);
	d->host->io_done(d->host->arg, io, r);
}

static void close_disk(void *obj)
{
	struct disk *d = obj;

	close(d->fd);
	free(d);
}

static int destroy(void *priv, const struct director_conf *conf, struct director_err *err)
{
	const char *path = conf->get(conf, "path");

	return unlink(path) < 0 && errno != ENOENT ? fail(err, path) : 0;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_BLOCKING,
	.create = create, .open = open_disk, .caps = caps, .submit = submit, .close = close_disk, .destroy = destroy,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "example2", .version = "1", .license = "Apache-2.0",
	.summary = "a file with pread and pwrite", .params = params, .init = init, .backstore = &ops);
