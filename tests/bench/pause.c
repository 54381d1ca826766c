/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One 4k write after the other to a LUN, for ever, and how long the longest took: each line on standard input asks for it and for
 * what came of the session meanwhile, and begins anew. At its end everything is read back and compared. Exit status 1 if a byte is
 * wrong or an I/O failed. tests/bench/failover and the quickstart use it.
 *   pause [--ping MS] TARGET LUN PORTAL...
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "director/iscsi.h"

/* Lines that came since; -1: the end. */
static int asked(void)
{
	char c[256];
	ssize_t n = read(STDIN_FILENO, c, sizeof(c));

	if (n < 0)
		return 0;
	return n ? (int)n : -1;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static unsigned downs, refusals;

static void on_event(void *arg, struct director_iscsi *h, const struct director_iscsi_event *ev)
{
	downs += ev->kind == DIRECTOR_ISCSI_DOWN;
	refusals += ev->kind == DIRECTOR_ISCSI_REFUSED;
}

struct one {
	struct director_iscsi_io io;
	int done;
};

static void on_done(struct director_iscsi_io *io)
{
	((struct one *)io)->done = 1;
}

/* 0, or what it ended with after all that may be tried again was. */
static int io_one(struct director_iscsi_loop *loop, struct director_iscsi *h, struct one *o)
{
	struct director_iscsi_verdict v;
	double again;

	for (;;) {
		o->done = 0;
		o->io.done = on_done;
		director_iscsi_submit(h, &o->io);
		while (!o->done)
			if (director_iscsi_loop_run(loop, 100) < 0)
				return -EIO;
		if (o->io.result)
			return o->io.result;
		v = director_iscsi_judge(&o->io);
		if (!v.retry)
			return v.error;
		for (again = now_ms() + v.retry_ms; now_ms() < again;)
			director_iscsi_loop_run(loop, 5);
	}
}

#define BLOCK 4096u

static uint64_t data[BLOCK / 8];
static struct iovec iov = { data, BLOCK };

/* Block i of `count` was last written with last[i], 0: not at all. How many are not as they were written. */
static uint64_t read_back(struct director_iscsi_loop *loop, struct director_iscsi *h, uint64_t lun, uint32_t block_size,
	const uint64_t *last, uint64_t count)
{
	uint64_t i, wrong = 0, looked = 0;
	struct one o;

	memset(&o, 0, sizeof(o));
	for (i = 0; i < count; i++) {
		unsigned k = 0;

		if (!last[i])
			continue;
		director_iscsi_prep_read(&o.io, lun, i * (BLOCK / block_size), BLOCK / block_size, block_size, &iov, 1);
		looked++;
		if (io_one(loop, h, &o) == 0)
			while (k < BLOCK / 8 && data[k] == last[i] + k)
				k++;
		wrong += k < BLOCK / 8;
	}
	printf("read back %" PRIu64 " blocks, %" PRIu64 " wrong\n", looked, wrong);
	return wrong;
}

int main(int argc, char **argv)
{
	struct director_iscsi_conf conf;
	struct director_iscsi_disk disk = { .struct_size = sizeof(disk) };
	struct director_iscsi_loop *loop = director_iscsi_loop_new();
	struct director_iscsi *h = NULL;
	struct one o;
	double longest = 0, at = 0;
	uint64_t n = 0, total = 0, lun, errors = 0, failed = 0, count, *last;
	uint32_t per;
	char why[256];
	int r, ask, ping = 300;

	memset(&o, 0, sizeof(o));
	if (argc > 2 && strcmp(argv[1], "--ping") == 0) {
		ping = atoi(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc < 4 || ping < 10) {
		fprintf(stderr, "usage: pause [--ping MS] TARGET LUN PORTAL...\n");
		return 2;
	}
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	director_iscsi_conf_init(&conf);
	conf.target = argv[1];
	lun = strtoull(argv[2], NULL, 10);
	conf.portals = (const char *const *)argv + 3;
	conf.ping_ms = (uint32_t)ping;
	conf.login_ms = (uint32_t)ping * 2;
	conf.retry_min_ms = 20;
	conf.retry_max_ms = 100;
	conf.command_ms = 120000;
	conf.event = on_event;
	r = loop ? director_iscsi_open(loop, &conf, &h) : -ENOMEM;
	if (!r)
		r = director_iscsi_wait(h, 15000, why, sizeof(why));
	if (!r)
		r = director_iscsi_get_disk(h, lun, &disk, why, sizeof(why));
	if (r) {
		fprintf(stderr, "pause: %s\n", h ? why : strerror(-r));
		return 1;
	}
	per = BLOCK / disk.block_size;
	count = disk.blocks / per;
	last = calloc(count, sizeof(*last));
	if (!last)
		return 1;
	printf("READY\n");
	fflush(stdout);
	/* Asked after a write, so that one that was under way is in the answer. */
	while ((ask = asked()) >= 0) {
		uint64_t at_block = total++ % count, stamp = total * BLOCK;
		double begin = now_ms(), took;

		for (unsigned k = 0; k < BLOCK / 8; k++)
			data[k] = stamp + k;
		last[at_block] = stamp;
		director_iscsi_prep_write(&o.io, lun, at_block * per, per, disk.block_size, &iov, 1);
		r = io_one(loop, h, &o);
		if (r) {
			char text[256];

			errors++;
			failed++;
			last[at_block] = 0;
			printf("error: %s: %s\n", strerror(-r), director_iscsi_io_text(&o.io, text, sizeof(text)));
			fflush(stdout);
		}
		took = now_ms() - begin;
		if (took > longest) {
			longest = took;
			at = begin;
		}
		n++;
		if (ask) {
			printf("longest %.1f ms (began %.1f ms ago) of %" PRIu64 " writes, %" PRIu64 " errors, %u losses of the session, %u refused logins\n",
			       longest, now_ms() - at, n, errors, downs, refusals);
			fflush(stdout);
			longest = 0;
			n = errors = downs = refusals = 0;
		}
	}
	failed += read_back(loop, h, lun, disk.block_size, last, count);
	free(last);
	director_iscsi_close(&h, 500);
	director_iscsi_loop_free(&loop);
	return failed != 0;
}
