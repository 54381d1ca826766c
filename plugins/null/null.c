/* SPDX-License-Identifier: Apache-2.0 */
/*
 * null: a disk without a medium. Writes go nowhere and reads give zeroes, at once: what is left to measure is
 * everything above it. Reads do write their buffers, or memory of other commands would leave with the answer.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "director/plugin.h"

struct null {
	const struct director_host *host;
	uint64_t size;
	uint32_t block_size;
};

static const struct director_param params[] = {
	{ .name = "size", .type = DIRECTOR_P_SIZE, .flags = DIRECTOR_PF_REQUIRED, .min = 4096, .max = 1ull << 60,
	  .help = "size of the disk" },
	{ .name = "block-size", .type = DIRECTOR_P_ENUM, .value = "512", .choices = "512 4096", .unit = "bytes",
	  .help = "logical block size" },
	{ .name = NULL },
};

static int null_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static int null_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	static const char text[] = "the size must be a multiple of the block size";

	if (conf->get_uint(conf, "size", 0) % conf->get_uint(conf, "block-size", 512) == 0)
		return 0;
	if (err) {
		err->code = -EINVAL;
		memcpy(err->text, text, sizeof(text));
	}
	return -EINVAL;
}

static int null_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	struct null *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->host = priv;
	n->size = conf->get_uint(conf, "size", 0);
	n->block_size = (uint32_t)conf->get_uint(conf, "block-size", 512);
	*obj = n;
	return 0;
}

static int null_caps(void *obj, struct director_caps *c)
{
	const struct null *n = obj;

	c->flags = DIRECTOR_CAP_DISCARD | DIRECTOR_CAP_DISCARD_ZEROES | DIRECTOR_CAP_ZERO | DIRECTOR_CAP_EXTENTS |
		DIRECTOR_CAP_RESIZE | DIRECTOR_CAP_VOLATILE | DIRECTOR_CAP_NO_CONTENT;
	c->size = n->size;
	c->block_size = c->physical_block = n->block_size;
	c->align = 1;
	return 0;
}

static void null_submit(void *obj, struct director_io *io)
{
	const struct null *n = obj;
	uint32_t i;

	if (io->op == DIRECTOR_READ) {
		for (i = 0; i < io->n_iov; i++)
			memset(io->iov[i].base, 0, io->iov[i].len);
	} else if (io->op == DIRECTOR_EXTENTS) {
		io->at = io->len;
		io->flags_out = DIRECTOR_EXT_HOLE;
	}
	n->host->io_done(n->host->arg, io, 0);
}

/* Never written: the kernel's one page of zeroes, all over. */
static char zeroes[1 << 20] __attribute__((aligned(4096)));

static const void *null_lend(void *obj, uint64_t offset, uint64_t len)
{
	return len <= sizeof(zeroes) ? zeroes : NULL;
}

static int null_resize(void *obj, uint64_t size, struct director_err *err)
{
	((struct null *)obj)->size = size;
	return 0;
}

static void null_close(void *obj)
{
	free(obj);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.check = null_check,
	.open = null_open,
	.caps = null_caps,
	.submit = null_submit,
	.resize = null_resize,
	.close = null_close,
	.lend = null_lend,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "null", .version = "1", .license = "Apache-2.0",
	.summary = "a disk that keeps nothing, for measuring", .params = params, .init = null_init, .backstore = &ops);
