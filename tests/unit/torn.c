/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read beside writes of the same blocks gives each block as one of them left it, never parts of two: threads that
 * write and read a few blocks of one disk, for each plugin that keeps its own data.
 */
#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "target/serve/backstore.h"
#include "tests/unit/check.h"

#define BLOCK 4096u
#define BLOCKS 16u              /* of one I/O, and of the part of the disk that all use */
#define SIZE (1u << 20)
#define WRITES 8000u
#define WRITERS 2u

static struct backstore_host *h;
static struct backstore *bs;
static atomic_uint writing, loans;
static bool borrowing;
static unsigned torn, turned, reads, recalls;

static void io_done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
}

static void io(struct backstore_queue *q, uint16_t op, char *buf, uint64_t offset, uint64_t len)
{
	struct director_iov iov = { buf, len };
	int32_t result = 1;
	struct backstore_io bio = { .io = { .op = op, .offset = offset, .len = len, .iov = &iov, .n_iov = 1 },
		.done = io_done, .user = &result };

	backstore_submit(bs, q, &bio);
	while (result == 1) {
		struct pollfd p = { .fd = backstore_queue_fd(q), .events = POLLIN };

		if (backstore_queue_run(q, 0) == 0)
			poll(&p, 1, 1000);
	}
	CHECK_EQ(result, 0);
}

static char *buffer(void)
{
	char *p = aligned_alloc(BLOCK, BLOCK * BLOCKS);

	CHECK(p != NULL);
	return p;
}

static void *write_on(void *arg)
{
	const unsigned *first = arg;
	struct backstore_queue *q;
	char *buf = buffer();

	CHECK_EQ(backstore_queue_new(h, &q), 0);
	for (uint64_t i = 0; i < WRITES; i++) {
		uint64_t value = i * WRITERS + *first;
		unsigned n = i % 3 ? BLOCKS : 1, at = n == 1 ? (unsigned)(i % BLOCKS) : 0;

		/* Reads alone for a while, so that something is lent. */
		for (unsigned was = atomic_load(&loans); borrowing && i % 256 == 255 && atomic_load(&loans) == was; sched_yield())
			backstore_queue_run(q, 0);
		if (i % 64 == 63) {
			io(q, DIRECTOR_WRITE_ZEROES, NULL, 0, BLOCK * BLOCKS);
			continue;
		}
		for (unsigned w = 0; w < n * BLOCK / 8; w++)
			memcpy(buf + w * 8, &value, 8);
		io(q, DIRECTOR_WRITE, buf, (uint64_t)at * BLOCK, (uint64_t)n * BLOCK);
	}
	backstore_queue_free(&q);
	free(buf);
	atomic_fetch_sub(&writing, 1);
	return NULL;
}

static void *read_on(void *arg)
{
	struct backstore_queue *q;
	char *buf = buffer();
	uint64_t last = 0, value;

	CHECK_EQ(backstore_queue_new(h, &q), 0);
	while (atomic_load(&writing)) {
		io(q, DIRECTOR_READ, buf, 0, BLOCK * BLOCKS);
		for (unsigned b = 0; b < BLOCKS; b++)
			torn += memcmp(buf + b * BLOCK, buf + b * BLOCK + 8, BLOCK - 8) != 0;
		memcpy(&value, buf, 8);
		turned += value != last;
		last = value;
		reads++;
	}
	backstore_queue_free(&q);
	free(buf);
	return NULL;
}

/* What the reader sends away at its own pace: from the disk's memory, or from a copy if a write waits. */
struct loan {
	struct backstore_queue *q;
	const char *from;
	char *copy;
	bool out;
};

static void recall(void *arg, struct backstore *of)
{
	struct loan *l = arg;

	memcpy(l->copy, l->from, BLOCK * BLOCKS);
	l->from = l->copy;
	l->out = false;
	recalls++;
	backstore_lend_end(of, l->q);
}

static void *borrow_on(void *arg)
{
	struct loan l = { .copy = buffer() };
	char *buf = buffer();

	CHECK_EQ(backstore_queue_new(h, &l.q), 0);
	backstore_queue_recall(l.q, recall, &l);
	while (atomic_load(&writing)) {
		l.from = backstore_lend(bs, l.q, 0, 0, BLOCK * BLOCKS);
		l.out = l.from != NULL;
		atomic_fetch_add(&loans, l.out);
		for (unsigned b = 0; l.from && b < BLOCKS; b++) {
			memcpy(buf, l.from + b * BLOCK, BLOCK / 2);
			backstore_queue_run(l.q, 0);
			memcpy(buf + BLOCK / 2, l.from + b * BLOCK + BLOCK / 2, BLOCK / 2);
			torn += memcmp(buf, buf + 8, BLOCK - 8) != 0;
			reads++;
		}
		if (l.out)
			backstore_lend_end(bs, l.q);
		backstore_queue_run(l.q, 0);
	}
	backstore_queue_free(&l.q);
	free(l.copy);
	free(buf);
	return NULL;
}

static void torn_by(void *(*reader)(void *), const char *plugin, const struct plugin_pair *params, unsigned n_params)
{
	struct backstore_spec spec = { .plugin = plugin, .params = params, .n_params = n_params, .size = SIZE };
	struct backstore_host_conf conf = { 0 };
	struct director_err err = { .text = "" };
	unsigned first[WRITERS];
	pthread_t w[WRITERS], r;

	torn = turned = reads = recalls = 0;
	atomic_store(&writing, WRITERS);
	borrowing = reader == borrow_on;
	CHECK_EQ(backstore_host_new(&conf, &h), 0);
	if (backstore_create(h, &spec, SIZE, &err) < 0 || backstore_open(h, &spec, 0, NULL, &bs, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		first[i] = i;
		CHECK_EQ(pthread_create(&w[i], NULL, write_on, &first[i]), 0);
	}
	CHECK_EQ(pthread_create(&r, NULL, reader, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(w[i], NULL);
	pthread_join(r, NULL);
	backstore_close(&bs);
	CHECK_EQ(backstore_destroy(h, &spec, &err), 0);
	backstore_host_free(&h);
	printf("# %s: %u reads, %u saw another value than the one before, %u recalled, %u torn\n",
		n_params ? params[0].value : plugin, reads, turned, recalls, torn);
	CHECK_EQ(torn, 0);
}

static void file_in(const char *folder)
{
	char path[200];
	struct plugin_pair path_is = { "path", path };

	if (access(folder, W_OK) != 0)
		return;
	snprintf(path, sizeof(path), "%s/director-torn-%d", folder, (int)getpid());
	torn_by(read_on, "file", &path_is, 1);
}

static void ram_tears_no_block(void)
{
	torn_by(read_on, "ram", NULL, 0);
}

static void nor_what_it_lends(void)
{
	torn_by(borrow_on, "ram", NULL, 0);
}

static void a_file_tears_no_block(void)
{
	char here[150];

	CHECK(getcwd(here, sizeof(here)) != NULL);
	file_in(here);
}

static void nor_does_one_on_tmpfs(void)
{
	file_in("/dev/shm");
}

int main(void)
{
	const char *top = getenv("top_builddir");
	char path[1000];

	snprintf(path, sizeof(path), "%s/plugins", top ? top : ".");
	setenv("DIRECTOR_PLUGIN_PATH", path, 0);
	RUN(ram_tears_no_block);
	RUN(nor_what_it_lends);
	RUN(a_file_tears_no_block);
	RUN(nor_does_one_on_tmpfs);
	return 0;
}
