/* SPDX-License-Identifier: Apache-2.0 */
/*
 * example3: a filter, a plugin over another one: it makes the disk below read-only from a given moment on
 * ("freeze=yes" can be set while it is open), and counts what it refused.
 */
#include <director/plugin.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct filter {
	const struct director_host *host;
	struct director_bs *child;
	atomic_bool frozen;
	atomic_ulong refused;
};

static const struct director_param params[] = {
	{ .name = "freeze", .type = DIRECTOR_P_BOOL, .flags = DIRECTOR_PF_LIVE, .value = "no", .help = "refuse writes" },
	{ .name = NULL },
};

static int init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static int reconfigure(void *obj, const struct director_conf *conf, struct director_err *err)
{
	struct filter *f = obj;

	f->frozen = conf->get_uint(conf, "freeze", 0);
	return 0;
}

static int open_filter(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->host = priv;
	f->child = f->host->child(f->host->arg, owner, 0);      /* open already */
	*obj = f;
	return reconfigure(f, conf, err);
}

/* We can what the child can. */
static int caps(void *obj, struct director_caps *c)
{
	struct filter *f = obj;

	return f->host->child_caps(f->host->arg, f->child, c);
}

static void submit(void *obj, struct director_io *io)
{
	struct filter *f = obj;

	if (f->frozen && io->op != DIRECTOR_READ && io->op != DIRECTOR_FLUSH && io->op != DIRECTOR_EXTENTS &&
	    io->op != DIRECTOR_CHECKSUM) {
		f->refused++;
		f->host->io_done(f->host->arg, io, -EROFS);
		return;
	}
	/*
	 * The very I/O that we got is passed on, and we never see it again. A filter that wants to see how it
	 * ended submits an I/O of its own, with its own done (see plugins/log/log.c).
	 */
	f->host->child_submit(f->host->arg, f->child, io);
}

static void close_filter(void *obj)
{
	struct filter *f = obj;
	char line[64];

	snprintf(line, sizeof(line), "refused %lu writes", (unsigned long)f->refused);
	f->host->log(f->host->arg, DIRECTOR_LOG_DEBUG, line);
	free(f);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_ASYNC, .n_children = 1,
	.open = open_filter, .caps = caps, .submit = submit, .reconfigure = reconfigure, .close = close_filter,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "example3", .version = "1", .license = "Apache-2.0",
	.summary = "freezes another backstore", .params = params, .init = init, .backstore = &ops);
