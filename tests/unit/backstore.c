/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backstore host over a plugin that can do as little as is allowed, and records what it is asked:
 * what is emulated, what is refused, on which thread completions come, what close and fence wait for.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "target/serve/bs_host.h"
#include "tests/unit/check.h"

#define SIZE (1u << 20)

/* ---- the plugin: memory, no FUA, no zeroes, no compares, short I/O, picky about buffers ---- */

static const struct director_host *host;
static char disk[SIZE], stable[SIZE];
static struct { uint16_t op; uint64_t offset, len; } trace[4096];
static atomic_uint n_trace;
static atomic_bool hold;                /* keep what is submitted until released */
static struct director_io *held[64];
static unsigned n_held;
static int32_t fail_op;                 /* the op that answers EIO */
static uint64_t fenced_at, opened_epoch, max_discard = 65536;

static int p_init(const struct director_host *h, void **priv)
{
	host = h;
	return 0;
}

static int p_open(void *priv, const struct director_conf *c, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	*obj = owner;
	opened_epoch = epoch;
	return 0;
}

static int p_caps(void *obj, struct director_caps *c)
{
	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_WRITE_CACHE | DIRECTOR_CAP_DISCARD;
	c->size = SIZE;
	c->block_size = 512;
	c->physical_block = 512;
	c->align = 512;
	c->max_io = 8192;
	c->max_discard = max_discard;
	return 0;
}

static void p_do(struct director_io *io)
{
	char *p = disk + io->offset;
	int32_t r = io->op == fail_op ? -EIO : 0;
	unsigned i;

	for (i = 0; i < io->n_iov && r == 0; p += io->iov[i++].len) {
		if (((uintptr_t)io->iov[i].base | io->iov[i].len) & 511)
			r = -EFAULT;
		else if (io->op == DIRECTOR_READ)
			memcpy(io->iov[i].base, p, io->iov[i].len);
		else
			memcpy(p, io->iov[i].base, io->iov[i].len);
	}
	if (io->op == DIRECTOR_FLUSH)
		memcpy(stable, disk, SIZE);
	host->io_done(host->arg, io, r);
}

static void p_submit(void *obj, struct director_io *io)
{
	unsigned n = atomic_fetch_add(&n_trace, 1) % 4096;

	trace[n].op = io->op;
	trace[n].offset = io->offset;
	trace[n].len = io->len;
	if (io->flags & DIRECTOR_IOF_FUA) {
		host->io_done(host->arg, io, -EPROTO);
		return;
	}
	if (hold)
		held[n_held++] = io;
	else
		p_do(io);
}

static void p_close(void *obj)
{
}

static int p_fence(void *obj, uint64_t epoch, struct director_err *err)
{
	fenced_at = epoch;
	return 0;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_ASYNC, .open = p_open, .caps = p_caps,
	.submit = p_submit, .close = p_close, .fence = p_fence,
};

static const struct director_plugin tables = {
	.magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(tables), .abi_major = DIRECTOR_ABI_MAJOR,
	.kind = DIRECTOR_BACKSTORE, .name = "little", .init = p_init, .backstore = &ops,
};

/* ---- another: its threads block ---- */

static sem_t second;

/* The first block is read only when the second one is. */
static void b_submit(void *obj, struct director_io *io)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	if (io->offset == 0)
		while ((r = sem_timedwait(&second, &until)) < 0 && errno == EINTR)
			;
	else
		sem_post(&second);
	host->io_done(host->arg, io, r < 0 ? -ETIMEDOUT : 0);
}

static const struct director_backstore_ops blocking_ops = {
	.struct_size = sizeof(blocking_ops), .threads = DIRECTOR_THREADS_BLOCKING, .open = p_open, .caps = p_caps,
	.submit = b_submit, .close = p_close,
};

static const struct director_plugin blocking = {
	.magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(blocking), .abi_major = DIRECTOR_ABI_MAJOR,
	.kind = DIRECTOR_BACKSTORE, .name = "blocking", .init = p_init, .backstore = &blocking_ops,
};

/* ---- a queue to play with ---- */

static struct backstore_host *bh;
static struct backstore_queue *q;
static struct backstore *bs;
static atomic_uint delivered;
static uint64_t io_epoch;

static void begin_with(const struct director_plugin *plugin)
{
	struct backstore_host_conf conf = { 0 };
	struct backstore_spec spec = { .plugin = plugin->name };
	struct director_err err = { .text = "" };
	struct plugin *pl;

	CHECK_EQ(backstore_host_new(&conf, &bh), 0);
	CHECK_EQ(backstore_queue_new(bh, &q), 0);
	CHECK_EQ(plugin_wrap(plugin, &pl, &err), 0);
	CHECK_EQ(backstore_plugin_add(bh, &pl, &err), 0);
	CHECK_EQ(backstore_open(bh, &spec, 7, NULL, &bs, &err), 0);
	CHECK_EQ(opened_epoch, 7);
	atomic_store(&n_trace, 0);
	delivered = 0;
	io_epoch = 7;
}

static void begin(void)
{
	begin_with(&tables);
}

static void end(void)
{
	backstore_close(&bs);
	backstore_queue_free(&q);
	backstore_host_free(&bh);
	CHECK(!bs && !q && !bh);
}

static void io_done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
	delivered++;
}

static void wait_run(struct backstore_queue *on)
{
	struct pollfd p = { .fd = backstore_queue_fd(on), .events = POLLIN };

	if (backstore_queue_run(on, 0) == 0)
		poll(&p, 1, 1000);
}

static struct backstore_io *io_start(uint16_t op, uint16_t flags, uint64_t offset, struct director_iov *iov,
	unsigned n, uint64_t len, int32_t *result)
{
	struct backstore_io *bio = calloc(1, sizeof(*bio));

	*result = 99;
	bio->io = (struct director_io){ .op = op, .flags = flags, .offset = offset, .len = len, .iov = iov, .n_iov = n,
		.epoch = io_epoch };
	bio->done = io_done;
	bio->user = result;
	backstore_submit(bs, q, bio);
	return bio;
}

static int32_t io_wait(uint16_t op, uint16_t flags, uint64_t offset, void *data, uint64_t len)
{
	struct director_iov iov = { data, op == DIRECTOR_COMPARE_AND_WRITE ? 2 * len : len };
	struct backstore_io *bio;
	int32_t result;

	bio = io_start(op, flags, offset, &iov, data ? 1 : 0, len, &result);
	CHECK_EQ(result, 99);   /* never from inside of submit */
	while (result == 99)
		wait_run(q);
	free(bio);
	return result;
}

static unsigned asked(uint16_t op)
{
	unsigned i, n = 0;

	for (i = 0; i < atomic_load(&n_trace) && i < 4096; i++)
		n += trace[i].op == op;
	return n;
}

static char buf[2 * SIZE] __attribute__((aligned(4096)));

static void fill(char *p, size_t n, unsigned seed)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (char)(seed * 31 + i * 7 + (i >> 9));
}

/* ---- tests ---- */

static void long_io_is_split(void)
{
	begin();
	fill(buf, 65536, 1);
	CHECK_EQ(io_wait(DIRECTOR_WRITE, 0, 4096, buf, 65536), 0);
	CHECK_EQ(asked(DIRECTOR_WRITE), 8);
	CHECK(memcmp(disk + 4096, buf, 65536) == 0);
	memset(buf + SIZE, 0, 65536);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, 4096, buf + SIZE, 65536), 0);
	CHECK(memcmp(buf, buf + SIZE, 65536) == 0);
	end();
}

static void unaligned_buffers_are_bounced(void)
{
	struct director_iov iov[3];
	int32_t result;
	struct backstore_io *bio;

	begin();
	fill(buf, 20480, 2);
	iov[0] = (struct director_iov){ buf + 1, 100 };
	iov[1] = (struct director_iov){ buf + 101, 12000 };
	iov[2] = (struct director_iov){ buf + 12101, 20480 - 12100 };
	bio = io_start(DIRECTOR_WRITE, 0, 0, iov, 3, 20480, &result);
	while (result == 99)
		wait_run(q);
	free(bio);
	CHECK_EQ(result, 0);
	CHECK(memcmp(disk, buf + 1, 20480) == 0);
	memset(buf, 0, 20481);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, 0, buf + 3, 20480), 0);
	CHECK(memcmp(disk, buf + 3, 20480) == 0);
	end();
}

static void fua_is_a_flush_after(void)
{
	begin();
	memset(stable, 0, SIZE);
	fill(buf, 512, 3);
	CHECK_EQ(io_wait(DIRECTOR_WRITE, DIRECTOR_IOF_FUA, 1024, buf, 512), 0);
	CHECK_EQ(asked(DIRECTOR_FLUSH), 1);
	CHECK_EQ(trace[0].op, DIRECTOR_WRITE);
	CHECK(memcmp(stable + 1024, buf, 512) == 0);
	fail_op = DIRECTOR_FLUSH;
	CHECK_EQ(io_wait(DIRECTOR_WRITE, DIRECTOR_IOF_FUA, 1024, buf, 512), -EIO);
	fail_op = 0;
	end();
}

static void zeroes_are_written(void)
{
	begin();
	memset(disk, 0x55, SIZE);
	CHECK_EQ(io_wait(DIRECTOR_WRITE_ZEROES, DIRECTOR_IOF_MAY_UNMAP, 512, NULL, 20480), 0);
	CHECK_EQ(asked(DIRECTOR_WRITE), 3);
	CHECK_EQ(disk[511], 0x55);
	CHECK_EQ(disk[512], 0);
	CHECK_EQ(disk[512 + 20479], 0);
	CHECK_EQ(disk[512 + 20480], 0x55);
	end();
}

static void discard_is_split_and_never_invented(void)
{
	begin();
	CHECK_EQ(io_wait(DIRECTOR_DISCARD, 0, 0, NULL, 200 * 1024), 0);
	CHECK_EQ(asked(DIRECTOR_DISCARD), 4);
	CHECK_EQ(trace[3].len, 200 * 1024 - 3 * 65536);
	end();
}

/* It would be split into pieces of nothing, for ever. */
static void a_discard_of_less_than_a_block_is_no_discard(void)
{
	struct backstore_spec spec = { .plugin = "little" };
	struct director_err err = { .text = "" };
	struct backstore *other;

	begin();
	max_discard = 511;
	CHECK_EQ(backstore_open(bh, &spec, 7, NULL, &other, &err), -EINVAL);
	max_discard = 65536;
	end();
}

static void compare_and_write_compares(void)
{
	int32_t result;
	struct director_iov iov = { buf, 2048 };
	struct backstore_io *bio;

	begin();
	fill(disk, 4096, 4);
	memcpy(buf, disk + 1024, 1024);
	fill(buf + 1024, 1024, 5);
	CHECK_EQ(io_wait(DIRECTOR_COMPARE_AND_WRITE, 0, 1024, buf, 1024), 0);
	CHECK(memcmp(disk + 1024, buf + 1024, 1024) == 0);
	memcpy(buf, disk + 1024, 1024);
	buf[700] ^= 1;
	memset(buf + 1024, 0, 1024);
	bio = io_start(DIRECTOR_COMPARE_AND_WRITE, 0, 1024, &iov, 1, 1024, &result);
	while (result == 99)
		wait_run(q);
	CHECK_EQ(result, -EILSEQ);
	CHECK_EQ(bio->io.at, 700);
	CHECK(disk[1024] != 0);
	free(bio);
	end();
}

static void bad_requests_are_refused(void)
{
	begin();
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, 100, buf, 512), -EINVAL);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, 0, buf, 513), -EINVAL);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, SIZE, buf, 512), -ERANGE);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, UINT64_MAX - 511, buf, 512), -ERANGE);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, 512, buf, UINT64_MAX - 511), -ERANGE);
	CHECK_EQ(io_wait(77, 0, 0, buf, 512), -EOPNOTSUPP);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, SIZE, NULL, 0), 0);
	CHECK_EQ(atomic_load(&n_trace), 0);
	end();
}

/* ---- threads ---- */

static void *release_held(void *arg)
{
	unsigned i;

	usleep(20000);
	hold = false;
	for (i = 0; i < n_held; i++)
		p_do(held[i]);
	n_held = 0;
	return NULL;
}

static void completions_come_to_their_own_thread(void)
{
	int32_t result[8];
	struct backstore_io *bio[8];
	struct director_iov iov = { buf, 512 };
	pthread_t t;
	unsigned i;

	begin();
	hold = true;
	for (i = 0; i < 8; i++)
		bio[i] = io_start(DIRECTOR_READ, 0, i * 512, &iov, 1, 512, &result[i]);
	CHECK_EQ(backstore_queue_run(q, 0), 0);
	pthread_create(&t, NULL, release_held, NULL);
	while (delivered < 8)
		wait_run(q);
	pthread_join(t, NULL);
	for (i = 0; i < 8; i++)
		free(bio[i]);
	end();
}

static void close_waits_for_io(void)
{
	int32_t result;
	struct backstore_io *bio;
	struct director_iov iov = { buf, 512 };
	pthread_t t;

	begin();
	hold = true;
	bio = io_start(DIRECTOR_READ, 0, 0, &iov, 1, 512, &result);
	pthread_create(&t, NULL, release_held, NULL);
	backstore_close(&bs);
	CHECK_EQ(result, 0);
	pthread_join(t, NULL);
	free(bio);
	backstore_queue_free(&q);
	backstore_host_free(&bh);
}

static void fence_refuses_the_old_epoch(void)
{
	int32_t result;
	struct backstore_io *bio;
	struct director_iov iov = { buf, 512 };
	pthread_t t;

	begin();
	hold = true;
	bio = io_start(DIRECTOR_WRITE, 0, 0, &iov, 1, 512, &result);
	pthread_create(&t, NULL, release_held, NULL);
	CHECK_EQ(backstore_fence(bs, 8, NULL), 0);
	CHECK_EQ(result, 0);            /* what was under way is over */
	CHECK_EQ(fenced_at, 8);
	pthread_join(t, NULL);
	free(bio);
	CHECK_EQ(io_wait(DIRECTOR_WRITE, 0, 0, buf, 512), -ESTALE);
	CHECK_EQ(asked(DIRECTOR_WRITE), 1);
	end();
}

/* A compare while another write of the same blocks is under way waits for it, and later ones wait for the compare. */
static void compare_excludes_writes(void)
{
	int32_t r1, r2, r3;
	struct backstore_io *b1, *b2, *b3;
	struct director_iov w = { buf, 512 }, c = { buf + 4096, 1024 }, w2 = { buf + 8192, 512 };
	pthread_t t;

	begin();
	fill(buf, 512, 6);
	memcpy(buf + 4096, buf, 512);           /* expects what the first write writes */
	fill(buf + 4608, 512, 7);
	fill(buf + 8192, 512, 8);
	hold = true;
	b1 = io_start(DIRECTOR_WRITE, 0, 0, &w, 1, 512, &r1);
	b2 = io_start(DIRECTOR_COMPARE_AND_WRITE, 0, 0, &c, 1, 512, &r2);
	backstore_queue_run(q, 0);      /* now this thread knows of compares */
	b3 = io_start(DIRECTOR_WRITE, 0, 0, &w2, 1, 512, &r3);
	pthread_create(&t, NULL, release_held, NULL);
	while (delivered < 3)
		wait_run(q);
	pthread_join(t, NULL);
	CHECK_EQ(r1, 0);
	CHECK_EQ(r2, 0);
	CHECK_EQ(r3, 0);
	CHECK(memcmp(disk, buf + 8192, 512) == 0);
	free(b1);
	free(b2);
	free(b3);
	end();
}

/* One that blocks does not hold up the next, also where one idle thread seemed to be enough for both. */
static void each_blocking_io_has_its_thread(void)
{
	int32_t r1, r2;
	struct backstore_io *b1, *b2;
	struct director_iov iov = { buf, 512 };

	begin_with(&blocking);
	sem_init(&second, 0, 1);
	for (unsigned i = 0; i < 20; i++) {
		CHECK_EQ(io_wait(DIRECTOR_READ, 0, 0, buf, 512), 0);
		usleep(2000);                           /* its thread is idle */
		delivered = 0;
		b1 = io_start(DIRECTOR_READ, 0, 0, &iov, 1, 512, &r1);
		b2 = io_start(DIRECTOR_READ, 0, 512, &iov, 1, 512, &r2);
		while (delivered < 2)
			wait_run(q);
		CHECK_EQ(r1, 0);
		CHECK_EQ(r2, 0);
		free(b1);
		free(b2);
		sem_post(&second);
	}
	sem_destroy(&second);
	end();
}

static atomic_bool fenced;

static void *fencer(void *arg)
{
	CHECK_EQ(backstore_fence(bs, 8, NULL), 0);
	fenced = true;
	return NULL;
}

/* The first compare of all comes while a fence waits for a write: before this thread heard of it, and after. */
static void the_first_compare_may_meet_a_fence(void)
{
	int32_t r1, r2;
	struct backstore_io *b1, *b2;
	struct director_iov w = { buf, 512 }, c = { buf + 4096, 1024 };
	pthread_t t;

	for (unsigned heard = 0; heard < 2; heard++) {
		begin();
		fill(buf, 512, 6);
		memcpy(buf + 4096, buf, 512);
		fill(buf + 4608, 512, 7);
		hold = true;
		fenced = false;
		b1 = io_start(DIRECTOR_WRITE, 0, 0, &w, 1, 512, &r1);
		pthread_create(&t, NULL, fencer, NULL);
		poll(&(struct pollfd){ .fd = backstore_queue_fd(q), .events = POLLIN }, 1, -1);
		if (heard)
			backstore_queue_run(q, 0);
		io_epoch = 8;
		b2 = io_start(DIRECTOR_COMPARE_AND_WRITE, 0, 0, &c, 1, 512, &r2);
		release_held(NULL);
		for (unsigned i = 0; i < 30 && !(fenced && delivered == 2); i++)
			wait_run(q);
		CHECK(fenced && delivered == 2);
		pthread_join(t, NULL);
		CHECK_EQ(r1, 0);
		CHECK_EQ(r2, 0);
		CHECK(memcmp(disk, buf + 4608, 512) == 0);
		free(b1);
		free(b2);
		end();
	}
}

/* ---- messages from other threads ---- */

static struct backstore_msg msg_late, msg_next;
static unsigned n_run;
static bool late;

static void count_run(struct backstore_queue *on, struct backstore_msg *m)
{
	n_run++;
}

static int l_thread_fd(void *priv)
{
	return eventfd(0, EFD_CLOEXEC);
}

static void l_reap(void *priv)
{
	if (late && n_run)
		bs_plug_object(q, bs);
}

static void l_plug(void *obj)
{
}

/* The queue has looked for messages for the last time: now the write that announces the first is done, and another comes. */
static void l_unplug(void *obj)
{
	if (!late)
		return;
	late = false;
	bs_self = NULL;
	CHECK_EQ(write(q->event_fd, &(uint64_t){ 1 }, 8), 8);
	bs_post(q, &msg_next);
	bs_self = q;
}

static const struct director_backstore_ops late_ops = {
	.struct_size = sizeof(late_ops), .threads = DIRECTOR_THREADS_ASYNC, .open = p_open, .caps = p_caps,
	.submit = p_submit, .close = p_close, .thread_fd = l_thread_fd, .reap = l_reap, .plug = l_plug, .unplug = l_unplug,
};

static const struct director_plugin late_tables = {
	.magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(late_tables), .abi_major = DIRECTOR_ABI_MAJOR,
	.kind = DIRECTOR_BACKSTORE, .name = "late", .init = p_init, .backstore = &late_ops,
};

static void a_late_write_takes_no_wake_up_along(void)
{
	struct pollfd p;
	void *block;

	begin_with(&late_tables);
	CHECK_EQ(posix_memalign(&block, 512, 512), 0);
	CHECK_EQ(io_wait(DIRECTOR_READ, 0, 0, block, 512), 0);
	msg_late.run = msg_next.run = count_run;
	late = true;
	/* Pushed by a thread that is stopped before its write. */
	atomic_store(&q->remote, &msg_late);
	backstore_queue_run(q, 0);
	CHECK(!late);
	CHECK_EQ(n_run, 1);
	p = (struct pollfd){ .fd = backstore_queue_fd(q), .events = POLLIN };
	CHECK_EQ(poll(&p, 1, 0), 1);
	backstore_queue_run(q, 0);
	CHECK_EQ(n_run, 2);
	free(block);
	end();
}

static void what_is_left_keeps_the_queue_awake(void)
{
	struct backstore_msg m[5];
	struct pollfd p;

	begin();
	p = (struct pollfd){ .fd = backstore_queue_fd(q), .events = POLLIN };
	n_run = 0;
	for (unsigned i = 0; i < 5; i++) {
		m[i].run = count_run;
		bs_post(q, &m[i]);
	}
	for (unsigned left = 5; left; left -= left < 2 ? left : 2) {
		backstore_queue_run(q, 2);
		CHECK_EQ(poll(&p, 1, 0), left > 2);
	}
	CHECK_EQ(n_run, 5);
	CHECK_EQ(backstore_queue_run(q, 2), 0);
	end();
}

struct adder {
	unsigned rounds, won;
};

static atomic_uint adders_over;

/* Many threads count by compare-and-write on one block: no increment may be lost. */
static void *adder(void *arg)
{
	struct adder *a = arg;
	struct backstore_queue *mine;
	struct backstore_io bio;
	uint64_t *two;
	struct director_iov iov;
	int32_t result;

	CHECK_EQ(backstore_queue_new(bh, &mine), 0);
	CHECK_EQ(posix_memalign((void **)&two, 512, 1024), 0);
	memset(two, 0, 1024);
	while (a->won < a->rounds) {
		iov = (struct director_iov){ two, 1024 };
		two[64] = two[0] + 1;
		memset(&bio, 0, sizeof(bio));
		bio.io = (struct director_io){ .op = DIRECTOR_COMPARE_AND_WRITE, .offset = 512, .len = 512, .iov = &iov,
			.n_iov = 1, .epoch = 7 };
		bio.done = io_done;
		bio.user = &result;
		result = 99;
		backstore_submit(bs, mine, &bio);
		while (result == 99)
			wait_run(mine);
		if (result == 0)
			a->won++;
		else
			CHECK_EQ(result, -EILSEQ);
		iov.len = 512;
		memset(&bio, 0, sizeof(bio));
		bio.io = (struct director_io){ .op = DIRECTOR_READ, .offset = 512, .len = 512, .iov = &iov, .n_iov = 1,
			.epoch = 7 };
		bio.done = io_done;
		bio.user = &result;
		result = 99;
		backstore_submit(bs, mine, &bio);
		while (result == 99)
			wait_run(mine);
	}
	free(two);
	backstore_queue_free(&mine);
	adders_over++;
	return NULL;
}

static void no_increment_is_lost(void)
{
	struct adder a[3] = { { 500, 0 }, { 500, 0 }, { 500, 0 } };
	struct backstore_stats stats;
	pthread_t t[3];
	uint64_t sum;
	unsigned i;

	begin();
	memset(disk, 0, SIZE);
	for (i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, adder, &a[i]);
	/* Arming asks this thread's queue too, whenever it begins. */
	while (adders_over < 3) {
		backstore_queue_run(q, 0);
		usleep(1000);
	}
	for (i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	memcpy(&sum, disk + 512, 8);
	CHECK_EQ(sum, 1500);
	backstore_stats(bs, &stats);
	CHECK(stats.ops[DIRECTOR_COMPARE_AND_WRITE] >= 1500);
	CHECK_EQ(stats.in_flight, 0);
	CHECK_EQ(stats.extra, 0);
	end();
}

int main(void)
{
	RUN(long_io_is_split);
	RUN(unaligned_buffers_are_bounced);
	RUN(fua_is_a_flush_after);
	RUN(zeroes_are_written);
	RUN(discard_is_split_and_never_invented);
	RUN(a_discard_of_less_than_a_block_is_no_discard);
	RUN(compare_and_write_compares);
	RUN(bad_requests_are_refused);
	RUN(completions_come_to_their_own_thread);
	RUN(close_waits_for_io);
	RUN(fence_refuses_the_old_epoch);
	RUN(compare_excludes_writes);
	RUN(each_blocking_io_has_its_thread);
	RUN(the_first_compare_may_meet_a_fence);
	RUN(a_late_write_takes_no_wake_up_along);
	RUN(what_is_left_keeps_the_queue_awake);
	RUN(no_increment_is_lost);
	return 0;
}
