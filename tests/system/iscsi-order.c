/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task attributes, seen from outside: in each round some blocks are written, each by a SIMPLE command; an ORDERED one reads them
 * all; and the next SIMPLE ones write them again, all sent at once. The read must see every write before it and none behind it,
 * and so must an ORDERED write between SIMPLE reads. On a LUN whose operations take a random time no other order gives that.
 *   iscsi-order [--simple] [--rounds N] [--connections N] TARGET LUN PORTAL
 * Exit status 1 if a read saw something else. --simple: without the attribute, to see that this is noticed.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "director/iscsi.h"

#define BLOCKS 8u
#define IOS (3 * BLOCKS + 4)

struct one {
	struct director_iscsi_io io;
	struct iovec iov;
	unsigned char *data;            /* BLOCKS blocks */
	int done;
};

static struct director_iscsi_loop *loop;
static struct director_iscsi *h;
static struct one ios[IOS];
static unsigned n_ios;
static uint64_t lun;
static uint32_t block_size;
static uint32_t ordered = DIRECTOR_ISCSI_ORDERED;

static __attribute__((noreturn)) void die(const char *what, const char *why)
{
	fprintf(stderr, "iscsi-order: %s: %s\n", what, why);
	exit(2);
}

static void on_done(struct director_iscsi_io *io)
{
	((struct one *)io)->done = 1;
}

static struct one *next(void)
{
	struct one *o = &ios[n_ios++];
	unsigned char *data = o->data;

	memset(o, 0, sizeof(*o));
	o->data = data;
	o->io.done = on_done;
	return o;
}

static void submit(struct one *o, uint32_t attr)
{
	o->io.flags = attr;
	director_iscsi_submit(h, &o->io);
}

static struct one *rw(int write, uint64_t lba, uint32_t blocks, int value, uint32_t attr)
{
	struct one *o = next();

	memset(o->data, value, (size_t)blocks * block_size);
	o->iov = (struct iovec){ o->data, (size_t)blocks * block_size };
	if (write)
		director_iscsi_prep_write(&o->io, lun, lba, blocks, block_size, &o->iov, 1);
	else
		director_iscsi_prep_read(&o->io, lun, lba, blocks, block_size, &o->iov, 1);
	submit(o, attr);
	return o;
}

static void test_unit_ready(uint32_t attr)
{
	struct one *o = next();

	o->io.lun = lun;
	o->io.cdb_len = 6;
	submit(o, attr);
}

/* All that was submitted is answered; none of it failed. */
static void finish(void)
{
	char text[256];

	for (unsigned i = 0; i < n_ios; i++) {
		while (!ios[i].done)
			if (director_iscsi_loop_run(loop, 100) < 0)
				die("loop", "it failed");
		if (ios[i].io.result || ios[i].io.status)
			die("a command failed", director_iscsi_io_text(&ios[i].io, text, sizeof(text)));
	}
	n_ios = 0;
}

/* Is all that was read so? */
static unsigned wrong(const struct one *o, int value)
{
	for (size_t i = 0; i < o->iov.iov_len; i++)
		if (o->data[i] != value) {
			printf("byte %zu of what was read is %u, not %d\n", i, o->data[i], value);
			return 1;
		}
	return 0;
}

/* An ORDERED read between SIMPLE writes, with HEAD OF QUEUE commands wherever. */
static unsigned round_of_writes(int value)
{
	struct one *seen;

	for (unsigned i = 0; i < BLOCKS; i++)
		rw(1, i, 1, value, 0);
	test_unit_ready(DIRECTOR_ISCSI_HEAD_OF_QUEUE);
	seen = rw(0, 0, BLOCKS, 0, ordered);
	for (unsigned i = 0; i < BLOCKS; i++)
		rw(1, i, 1, value + 1, 0);
	test_unit_ready(DIRECTOR_ISCSI_HEAD_OF_QUEUE);
	finish();
	return wrong(seen, value);
}

/* An ORDERED write between SIMPLE reads. The blocks are as `value` at its begin. */
static unsigned round_of_reads(int value)
{
	struct one *before[BLOCKS], *behind[BLOCKS];
	unsigned bad = 0;

	for (unsigned i = 0; i < BLOCKS; i++)
		before[i] = rw(0, i, 1, 0, 0);
	rw(1, 0, BLOCKS, value + 1, ordered);
	for (unsigned i = 0; i < BLOCKS; i++)
		behind[i] = rw(0, i, 1, 0, 0);
	finish();
	for (unsigned i = 0; i < BLOCKS; i++)
		bad += wrong(before[i], value) + wrong(behind[i], value + 1);
	return bad;
}

static void begin(const char *target, const char *portal, unsigned connections)
{
	struct director_iscsi_disk disk = { .struct_size = sizeof(disk) };
	const char *portals[] = { portal, NULL };
	struct director_iscsi_conf conf;
	char why[256] = "";

	loop = director_iscsi_loop_new();
	director_iscsi_conf_init(&conf);
	conf.initiator = "iqn.2026-11.test:order";
	conf.target = target;
	conf.portals = portals;
	conf.connections = (uint16_t)connections;
	conf.erl = connections > 1 ? 2 : 0;
	conf.command_ms = conf.ping_ms = 0;
	if (!loop || director_iscsi_open(loop, &conf, &h) < 0 || director_iscsi_wait(h, 60000, why, sizeof(why)) < 0)
		die("login", why);
	if (director_iscsi_get_disk(h, lun, &disk, why, sizeof(why)) < 0)
		die("the disk", why);
	block_size = disk.block_size;
	for (unsigned i = 0; i < IOS; i++)
		ios[i].data = malloc((size_t)BLOCKS * block_size);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "simple", no_argument, NULL, 's' }, { "rounds", required_argument, NULL, 'r' },
		{ "connections", required_argument, NULL, 'c' }, { NULL, 0, NULL, 0 } };
	unsigned rounds = 50, connections = 1, bad = 0;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 's')
			ordered = 0;
		else if (o == 'r')
			rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (o == 'c')
			connections = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind != 3) {
		fprintf(stderr, "usage: iscsi-order [--simple] [--rounds N] [--connections N] TARGET LUN PORTAL\n");
		return 2;
	}
	lun = strtoull(argv[optind + 1], NULL, 10);
	begin(argv[optind], argv[optind + 2], connections);
	for (unsigned i = 0; i < rounds; i++) {
		int value = (int)(i * 3 % 250);

		bad += round_of_writes(value) + round_of_reads(value + 1);
	}
	printf("%u rounds, %u reads out of order\n", rounds, bad);
	director_iscsi_close(&h, 1000);
	director_iscsi_loop_free(&loop);
	for (unsigned i = 0; i < IOS; i++)
		free(ios[i].data);
	return bad != 0;
}
