/* SPDX-License-Identifier: Apache-2.0 */
/* The stripe over disks of our own that can compare and can stall: who gets what, what is refused, what goes on. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "target/serve/backstore.h"
#include "target/serve/loader.h"
#include "tests/unit/check.h"

#define N 3
#define SIZE (1u << 20)
#define CHUNK 65536u

static const struct director_host *host;
static struct disk {
	char data[2 * SIZE];
	uint64_t size;
	bool stalls;
	uint16_t not_now;               /* this operation ends with -EAGAIN: nothing was done */
	struct director_io *held;
	unsigned compares, flushes;
} disk[N];

static struct backstore_host *h;
static struct backstore_queue *q;
static struct backstore *bs;
static char buf[4 * CHUNK], seen[4 * CHUNK];

/* ---- the disks ---- */

static const struct director_param params[] = { { .name = "number", .type = DIRECTOR_P_UINT }, { .name = NULL } };

static int d_init(const struct director_host *services, void **priv)
{
	host = services;
	return 0;
}

static int d_open(void *priv, const struct director_conf *c, void *owner, uint64_t epoch, void **obj, struct director_err *err)
{
	*obj = &disk[c->get_uint(c, "number", 0)];
	return 0;
}

static int d_caps(void *obj, struct director_caps *c)
{
	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_WRITE_CACHE | DIRECTOR_CAP_CAW | DIRECTOR_CAP_EXTENTS;
	c->size = ((struct disk *)obj)->size;
	c->block_size = c->physical_block = 512;
	return 0;
}

static int d_resize(void *obj, uint64_t size, struct director_err *err)
{
	((struct disk *)obj)->size = size;
	return 0;
}

static void d_do(struct disk *d, struct director_io *io)
{
	char *p = d->data + io->offset;

	d->flushes += io->op == DIRECTOR_FLUSH;
	d->compares += io->op == DIRECTOR_COMPARE_AND_WRITE;
	if (io->op == DIRECTOR_EXTENTS) {               /* the first 128K of a disk are allocated, the rest is a hole */
		bool hole = io->offset >= 2 * CHUNK;

		io->at = hole || io->offset + io->len <= 2 * CHUNK ? io->len : 2 * CHUNK - io->offset;
		io->flags_out = hole ? DIRECTOR_EXT_HOLE : 0;
	}
	for (uint32_t i = 0; i < io->n_iov && io->op <= DIRECTOR_WRITE; p += io->iov[i++].len)
		if (io->op == DIRECTOR_READ)
			memcpy(io->iov[i].base, p, io->iov[i].len);
		else
			memcpy(p, io->iov[i].base, io->iov[i].len);
	host->io_done(host->arg, io, 0);
}

static void d_submit(void *obj, struct director_io *io)
{
	struct disk *d = obj;

	if (d->not_now == io->op)
		host->io_done(host->arg, io, -EAGAIN);
	else if (d->stalls)
		d->held = io;
	else
		d_do(d, io);
}

static void d_close(void *obj)
{
}

static const struct director_backstore_ops ops = { .struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_ASYNC, .open = d_open,
	.caps = d_caps, .submit = d_submit, .resize = d_resize, .close = d_close };
static const struct director_plugin tables = { .magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(tables),
	.abi_major = DIRECTOR_ABI_MAJOR, .kind = DIRECTOR_BACKSTORE, .name = "disk", .params = params, .init = d_init,
	.backstore = &ops };

/* ---- the stripe ---- */

static void begin(void)
{
	static const char *const numbers[N] = { "0", "1", "2" };
	const struct plugin_pair chunk = { "chunk", "64K" };
	struct plugin_pair pairs[N];
	struct backstore_spec children[N], spec = { .plugin = "stripe", .params = &chunk, .n_params = 1, .children = children,
		.n_children = N };
	const struct backstore_host_conf conf = { 0 };
	struct director_err err = { .text = "" };
	struct plugin *pl;

	memset(disk, 0, sizeof(disk));
	for (unsigned i = 0; i < N; i++) {
		disk[i].size = SIZE;
		pairs[i] = (struct plugin_pair){ "number", numbers[i] };
		children[i] = (struct backstore_spec){ .plugin = "disk", .params = &pairs[i], .n_params = 1 };
	}
	CHECK_EQ(backstore_host_new(&conf, &h), 0);
	CHECK_EQ(backstore_queue_new(h, &q), 0);
	CHECK_EQ(plugin_wrap(&tables, &pl, &err), 0);
	CHECK_EQ(backstore_plugin_add(h, &pl, &err), 0);
	CHECK_EQ(backstore_open(h, &spec, 0, NULL, &bs, &err), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i / CHUNK * 50 + i % 47);
}

static void end(void)
{
	backstore_close(&bs);
	backstore_queue_free(&q);
	backstore_host_free(&h);
}

static void done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
}

static void start(struct backstore_io *bio, struct director_iov *iov, uint16_t op, char *p, uint64_t offset, uint64_t len,
	int32_t *result)
{
	*iov = (struct director_iov){ p, op == DIRECTOR_COMPARE_AND_WRITE ? 2 * len : len };
	*bio = (struct backstore_io){ .io = { .op = op, .offset = offset, .len = len, .iov = iov, .n_iov = p != NULL },
		.done = done, .user = result };
	*result = 1;
	backstore_submit(bs, q, bio);
	backstore_queue_run(q, 0);
}

static int32_t io(uint16_t op, char *p, uint64_t offset, uint64_t len)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	start(&bio, &iov, op, p, offset, len, &result);
	CHECK(result != 1);
	return result;
}

static void chunks_go_round(void)
{
	begin();
	/* From the middle of chunk 1 on: children 1, 2, 0, 1. */
	CHECK_EQ(io(DIRECTOR_WRITE, buf, CHUNK + 1024, 3 * CHUNK), 0);
	CHECK_EQ(memcmp(disk[1].data + 1024, buf, CHUNK - 1024), 0);
	CHECK_EQ(memcmp(disk[2].data, buf + CHUNK - 1024, CHUNK), 0);
	CHECK_EQ(memcmp(disk[0].data + CHUNK, buf + 2 * CHUNK - 1024, CHUNK), 0);
	CHECK_EQ(memcmp(disk[1].data + CHUNK, buf + 3 * CHUNK - 1024, 1024), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, CHUNK + 1024, 3 * CHUNK), 0);
	CHECK_EQ(memcmp(seen, buf, 3 * CHUNK), 0);
	end();
}

static void a_compare_does_not_cross_a_seam(void)
{
	struct director_caps caps = { .struct_size = sizeof(caps) };

	begin();
	backstore_caps(bs, &caps);
	CHECK_EQ(caps.seam, CHUNK);
	CHECK_EQ(io(DIRECTOR_COMPARE_AND_WRITE, buf, 2 * CHUNK - 512, 512), 0);
	CHECK_EQ(disk[1].compares, 1);
	CHECK_EQ(io(DIRECTOR_COMPARE_AND_WRITE, buf, 2 * CHUNK - 512, 1024), -EINVAL);
	CHECK_EQ(disk[0].compares + disk[1].compares + disk[2].compares, 1);
	end();
}

static void a_child_that_stalls_holds_up_only_its_own(void)
{
	struct backstore_io bio[2];
	struct director_iov iov[2];
	int32_t result[2];

	begin();
	disk[1].stalls = true;
	start(&bio[0], &iov[0], DIRECTOR_WRITE, buf, 0, 2 * CHUNK, &result[0]);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 2 * CHUNK, 2 * CHUNK), 0);     /* 2 and 0 */
	CHECK_EQ(io(DIRECTOR_READ, seen, 3 * CHUNK, CHUNK), 0);
	CHECK_EQ(result[0], 1);
	disk[1].stalls = false;
	d_do(&disk[1], disk[1].held);
	backstore_queue_run(q, 0);
	CHECK_EQ(result[0], 0);
	end();
}

/* Who hears -EAGAIN does it again, all of it. */
static void nothing_was_done_is_said_only_if_it_is_so(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	disk[1].not_now = DIRECTOR_WRITE;
	CHECK_EQ(io(DIRECTOR_WRITE, buf, CHUNK, CHUNK), -EAGAIN);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 0, 2 * CHUNK), -ENOTCONN);
	disk[0].not_now = DIRECTOR_WRITE;
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 0, 2 * CHUNK), -EAGAIN);
	/* A stable write is a write, and a flush that does not come about. */
	disk[2].not_now = DIRECTOR_FLUSH;
	iov = (struct director_iov){ buf, CHUNK };
	bio = (struct backstore_io){ .io = { .op = DIRECTOR_WRITE, .flags = DIRECTOR_IOF_FUA, .offset = 2 * CHUNK, .len = CHUNK,
		.iov = &iov, .n_iov = 1 }, .done = done, .user = &result };
	result = 1;
	backstore_submit(bs, q, &bio);
	backstore_queue_run(q, 0);
	CHECK_EQ(result, -ENOTCONN);
	end();
}

static void a_flush_goes_to_all(void)
{
	begin();
	CHECK_EQ(io(DIRECTOR_FLUSH, NULL, 0, 0), 0);
	for (unsigned i = 0; i < N; i++)
		CHECK_EQ(disk[i].flushes, 1);
	end();
}

static void extents_are_joined_over_children(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	start(&bio, &iov, DIRECTOR_EXTENTS, NULL, 512, N * SIZE - 512, &result);
	CHECK_EQ(result, 0);
	CHECK_EQ(bio.io.at, 2 * N * CHUNK - 512);
	CHECK_EQ(bio.io.flags_out, 0);
	start(&bio, &iov, DIRECTOR_EXTENTS, NULL, 2 * N * CHUNK, N * SIZE - 2 * N * CHUNK, &result);
	CHECK_EQ(bio.io.at, N * SIZE - 2 * N * CHUNK);
	CHECK_EQ(bio.io.flags_out, DIRECTOR_EXT_HOLE);
	end();
}

static void it_grows_with_all_children(void)
{
	struct director_err err = { .text = "" };

	begin();
	CHECK_EQ(backstore_resize(bs, N * SIZE + CHUNK, &err), -EINVAL);
	CHECK_EQ(backstore_resize(bs, N * (SIZE + CHUNK), &err), 0);
	CHECK_EQ(backstore_size(bs), N * (SIZE + CHUNK));
	CHECK_EQ(disk[2].size, SIZE + CHUNK);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, N * (SIZE + CHUNK) - CHUNK, CHUNK), 0);
	CHECK_EQ(memcmp(disk[2].data + SIZE, buf, CHUNK), 0);
	end();
}

int main(void)
{
	const char *top = getenv("top_builddir");
	char path[1000];

	snprintf(path, sizeof(path), "%s/plugins", top ? top : ".");
	setenv("DIRECTOR_PLUGIN_PATH", path, 0);
	alarm(120);
	RUN(chunks_go_round);
	RUN(a_compare_does_not_cross_a_seam);
	RUN(a_child_that_stalls_holds_up_only_its_own);
	RUN(nothing_was_done_is_said_only_if_it_is_so);
	RUN(a_flush_goes_to_all);
	RUN(extents_are_joined_over_children);
	RUN(it_grows_with_all_children);
	return 0;
}
