/* SPDX-License-Identifier: Apache-2.0 */
/* log: goes over another backstore and writes a line about each I/O, to the host's log or to a file. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "director/plugin.h"

struct logger {
	const struct director_host *host;
	struct director_bs *child;
	int fd;                         /* -1: the host's log */
	int level;
};

/* One I/O on its way through: the child has `io`, we keep the submitter's. */
struct passing {
	struct director_io io;
	struct director_io *from;
	struct logger *logger;
	uint64_t begun_ns;
};

static const struct director_param params[] = {
	{ .name = "file", .type = DIRECTOR_P_PATH, .help = "append the lines to this file instead of the host's log" },
	{ .name = "level", .type = DIRECTOR_P_ENUM, .value = "info", .choices = "info debug",
	  .help = "level of the lines in the host's log" },
	{ .name = NULL },
};

static int log_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static int log_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const struct director_host *host = priv;
	const char *file = conf->get(conf, "file");
	struct logger *l = calloc(1, sizeof(*l));
	int r = -EINVAL;

	if (!l)
		return -ENOMEM;
	l->host = host;
	l->level = strcmp(conf->get(conf, "level"), "debug") == 0 ? DIRECTOR_LOG_DEBUG : DIRECTOR_LOG_INFO;
	l->child = host->child(host->arg, owner, 0);
	l->fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	if (file && l->fd < 0)
		r = -errno;
	if (!l->child || (file && l->fd < 0)) {
		free(l);
		return r;
	}
	*obj = l;
	return 0;
}

static int log_caps(void *obj, struct director_caps *c)
{
	struct logger *l = obj;

	return l->host->child_caps(l->host->arg, l->child, c);
}

static void say(struct logger *l, const struct passing *p, int32_t result)
{
	static const char *const names[] = { "?", "read", "write", "flush", "discard", "zero", "compare", "extents",
		"checksum" };
	uint64_t us = (l->host->now_ns(l->host->arg) - p->begun_ns) / 1000;
	char line[200];
	int n;

	n = snprintf(line, sizeof(line), "%s %" PRIu64 " at %" PRIu64 "%s%s: %s, %" PRIu64 " us\n", names[p->io.op <= DIRECTOR_CHECKSUM ? p->io.op : 0],
		p->io.len, p->io.offset, p->io.flags & DIRECTOR_IOF_FUA ? " fua" : "",
		p->io.flags & DIRECTOR_IOF_MAY_UNMAP ? " may-unmap" : "", result < 0 ? strerrorname_np(-result) : "ok", us);
	if (n <= 0 || (size_t)n >= sizeof(line))
		return;
	if (l->fd >= 0) {
		/* One write per line: lines of several threads do not mix. */
		if (write(l->fd, line, (size_t)n) < 0)
			l->host->log(l->host->arg, DIRECTOR_LOG_WARN, "the log file cannot be written");
		return;
	}
	line[n - 1] = 0;
	l->host->log(l->host->arg, l->level, line);
}

static void passed(struct director_io *io, int32_t result)
{
	struct passing *p = (struct passing *)io;
	const struct director_host *h = p->logger->host;
	struct director_io *from = p->from;

	say(p->logger, p, result);
	from->at = io->at;
	from->flags_out = io->flags_out;
	free(p);
	h->io_done(h->arg, from, result);
}

static void log_submit(void *obj, struct director_io *io)
{
	struct logger *l = obj;
	struct passing *p = malloc(sizeof(*p));

	if (!p) {
		l->host->io_done(l->host->arg, io, -ENOMEM);
		return;
	}
	p->io = *io;
	p->io.done = passed;
	p->from = io;
	p->logger = l;
	p->begun_ns = l->host->now_ns(l->host->arg);
	l->host->child_submit(l->host->arg, l->child, &p->io);
}

static void log_close(void *obj)
{
	struct logger *l = obj;

	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.open = log_open,
	.caps = log_caps,
	.submit = log_submit,
	.close = log_close,
	.n_children = 1,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "log", .version = "1", .license = "Apache-2.0",
	.summary = "writes a line about each I/O of another backstore", .params = params, .init = log_init,
	.backstore = &ops);
