/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that break the contract, one way each (the build sets BAD): director-plugin-test must name
 * every one of them. Without BAD it is a plain disk in memory, and passes.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "director/plugin.h"

#define NONE 0
#define DOUBLE 1        /* completes every 50th I/O twice */
#define LOST 2          /* forgets every 50th write */
#define SIZE 3          /* claims twice its size: the second half is the first again */
#define BLOCK 4         /* sleeps in submit though ASYNC */
#define SILENT 5        /* never completes every 50th I/O */
#define LEAK 6          /* leaves a descriptor open at each close */
#define TAIL 7          /* does not do the last block of a long transfer */
#define HOLDER 8        /* no fault, but it leaves a process running that holds what the test says */

static const struct director_host *host;

struct disk {
	char *data;
	uint64_t size;
	_Atomic unsigned n;
	int fd;
};

static const struct director_param params[] = {
	{ .name = "size", .type = DIRECTOR_P_SIZE, .value = "32M", .help = "size" },
	{ .name = NULL },
};

static int init(const struct director_host *h, void **priv)
{
	host = h;
	return 0;
}

static int open_disk(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	struct disk *d = calloc(1, sizeof(*d));

	if (BAD == HOLDER && fork() == 0) {
		sleep(30);
		_exit(0);
	}
	d->size = conf->get_uint(conf, "size", 0);
	d->data = calloc(1, d->size);
	d->fd = BAD == LEAK ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
	*obj = d;
	return 0;
}

static int caps(void *obj, struct director_caps *c)
{
	struct disk *d = obj;

	c->size = BAD == SIZE ? 2 * d->size : d->size;
	c->flags = DIRECTOR_CAP_VOLATILE;
	return 0;
}

static void move(struct disk *d, struct director_io *io)
{
	uint64_t at = io->offset;
	size_t len, left = io->len;
	uint32_t i;

	if (BAD == TAIL && io->len > 4096)
		left -= 512;
	for (i = 0; i < io->n_iov; at += io->iov[i++].len) {
		char *p = d->data + (BAD == SIZE ? at % d->size : at);

		len = io->iov[i].len < left ? io->iov[i].len : left;
		left -= len;
		if (BAD == SIZE && at % d->size + len > d->size)
			len = d->size - at % d->size;
		if (io->op == DIRECTOR_READ)
			memcpy(io->iov[i].base, p, len);
		else
			memcpy(p, io->iov[i].base, len);
	}
}

static void submit(void *obj, struct director_io *io)
{
	struct disk *d = obj;
	unsigned n = ++d->n;

	if (BAD == BLOCK)
		usleep(2000);
	if (BAD == SILENT && n % 50 == 0)
		return;
	if (!(BAD == LOST && io->op == DIRECTOR_WRITE && n % 50 == 0))
		move(d, io);
	host->io_done(host->arg, io, 0);
	if (BAD == DOUBLE && n % 50 == 0)
		host->io_done(host->arg, io, 0);
}

static void close_disk(void *obj)
{
	struct disk *d = obj;

	free(d->data);
	free(d);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_ASYNC,
	.open = open_disk, .caps = caps, .submit = submit, .close = close_disk,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "bad", .version = "1", .license = "Apache-2.0",
	.summary = "breaks the contract", .params = params, .init = init, .backstore = &ops);
