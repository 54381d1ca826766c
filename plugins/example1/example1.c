/* SPDX-License-Identifier: Apache-2.0 */
/* example1: the smallest plugin: a disk of 64 MiB that reads as zeroes and forgets what is written. */
#include <director/plugin.h>
#include <string.h>

static const struct director_host *host;

static int init(const struct director_host *h, void **priv) { host = h; return 0; }
static int open_(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err) { return 0; }
static int caps(void *obj, struct director_caps *c) { c->size = 64 << 20; c->flags = DIRECTOR_CAP_VOLATILE; return 0; }
static void close_(void *obj) { }

static void submit(void *obj, struct director_io *io)
{
	for (uint32_t i = 0; i < io->n_iov && io->op == DIRECTOR_READ; i++)
		memset(io->iov[i].base, 0, io->iov[i].len);
	host->io_done(host->arg, io, 0);
}

static const struct director_backstore_ops ops = { .struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_ASYNC,
	.open = open_, .caps = caps, .submit = submit, .close = close_ };

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "example1", .summary = "reads zeroes", .init = init,
	.backstore = &ops);
