/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host and a plugin cost per I/O: `tests/bench/backstore [--threads N] [--depth N] [--size BYTES]
 * [--seconds S] [--write] [--over "PLUGIN PARAM=VALUE"]... PLUGIN [PARAM=VALUE...]`. The storage is created, used and
 * destroyed. --over names what a filter goes over; given again, the next beside it.
 */
#include "config.h"

#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/rng.h"
#include "base/text.h"
#include "target/serve/backstore.h"

#define DISK (256ull << 20)

static struct backstore_host *host;
static struct backstore *bs;
static unsigned threads = 1, depth = 32, seconds = 3;
static uint64_t io_size = 4096, disk;
static uint16_t op = DIRECTOR_READ;

struct load {
	pthread_t thread;
	struct backstore_queue *q;
	struct rng rng;
	uint64_t done, failed, in_flight, end_ns;
};

struct one {
	struct backstore_io bio;
	struct director_iov iov;
	struct load *load;
};

static uint64_t now_ns(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void done(struct backstore_io *bio, int32_t result);

static void start(struct one *o)
{
	o->bio.io.op = op;
	o->bio.io.offset = rng_below(&o->load->rng, disk / io_size) * io_size;
	o->bio.io.len = io_size;
	o->bio.io.iov = &o->iov;
	o->bio.io.n_iov = 1;
	o->bio.done = done;
	o->load->in_flight++;
	backstore_submit(bs, o->load->q, &o->bio);
}

static void done(struct backstore_io *bio, int32_t result)
{
	struct one *o = (struct one *)bio;

	o->load->done++;
	o->load->in_flight--;
	o->load->failed += result < 0;
	if ((o->load->done & 63) || now_ns(CLOCK_MONOTONIC) < o->load->end_ns)
		start(o);
	else
		o->load->end_ns = 0;
}

static void *run(void *arg)
{
	struct load *l = arg;
	struct one *o = calloc(depth, sizeof(*o));
	struct pollfd p;
	unsigned i;

	if (backstore_queue_new(host, &l->q) < 0)
		return NULL;
	p = (struct pollfd){ .fd = backstore_queue_fd(l->q), .events = POLLIN };
	l->end_ns = now_ns(CLOCK_MONOTONIC) + seconds * 1000000000ull;
	backstore_plug(l->q);
	for (i = 0; i < depth; i++) {
		o[i].load = l;
		o[i].iov.len = io_size;
		o[i].iov.base = aligned_alloc(4096, (io_size + 4095) & ~4095ull);
		memset(o[i].iov.base, (int)i, io_size);
		start(&o[i]);
	}
	backstore_unplug(l->q);
	while (l->in_flight)
		if (backstore_queue_run(l->q, 0) == 0)
			poll(&p, 1, -1);
	for (i = 0; i < depth; i++)
		free(o[i].iov.base);
	free(o);
	backstore_queue_free(&l->q);
	return NULL;
}

/* "PLUGIN PARAM=VALUE ..." in place. */
static bool spec_parse(char *text, struct backstore_spec *spec, struct plugin_pair *pairs)
{
	char *word, *rest = text;

	*spec = (struct backstore_spec){ .plugin = strtok_r(text, " ", &rest), .params = pairs, .size = DISK };
	while ((word = strtok_r(NULL, " ", &rest)) != NULL && spec->n_params < 16) {
		char *eq = strchr(word, '=');

		if (!eq)
			return false;
		*eq = 0;
		pairs[spec->n_params++] = (struct plugin_pair){ word, eq + 1 };
	}
	return spec->plugin != NULL;
}

static void measure(void)
{
	struct load *l = calloc(threads, sizeof(*l));
	uint64_t t = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), n = 0, failed = 0;
	unsigned i;

	for (i = 0; i < threads; i++) {
		l[i].rng.s = i + 1;
		pthread_create(&l[i].thread, NULL, run, &l[i]);
	}
	for (i = 0; i < threads; i++) {
		pthread_join(l[i].thread, NULL);
		n += l[i].done;
		failed += l[i].failed;
	}
	t = now_ns(CLOCK_MONOTONIC) - t;
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%.0f IOPS, %.3f us of CPU per I/O, %llu failed\n", (double)n * 1e9 / (double)t,
		(double)cpu / 1e3 / (double)n, (unsigned long long)failed);
	free(l);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "threads", 1, NULL, 't' }, { "depth", 1, NULL, 'd' }, { "size", 1, NULL, 's' },
		{ "seconds", 1, NULL, 'S' }, { "write", 0, NULL, 'w' }, { "over", 1, NULL, 'o' }, { NULL, 0, NULL, 0 },
	};
	struct backstore_host_conf conf = { 0 };
	static struct plugin_pair pairs[16], below_pairs[8][16];
	static struct backstore_spec below[8];
	struct backstore_spec spec = { .params = pairs, .children = below, .size = DISK };
	struct director_err err = { .text = "" };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't': threads = (unsigned)atoi(optarg); break;
		case 'd': depth = (unsigned)atoi(optarg); break;
		case 's': io_size = strtoull(optarg, NULL, 10); break;
		case 'S': seconds = (unsigned)atoi(optarg); break;
		case 'w': op = DIRECTOR_WRITE; break;
		case 'o':
			if (spec.n_children == 8 || !spec_parse(optarg, &below[spec.n_children], below_pairs[spec.n_children]))
				return 2;
			spec.n_children++;
			break;
		default: return 2;
		}
	}
	if (optind == argc) {
		fprintf(stderr, "usage: backstore [options] PLUGIN [PARAM=VALUE...]\n");
		return 2;
	}
	spec.plugin = argv[optind++];
	for (; optind < argc && spec.n_params < 16; optind++) {
		char *eq = strchr(argv[optind], '=');

		if (!eq)
			return 2;
		*eq = 0;
		pairs[spec.n_params++] = (struct plugin_pair){ argv[optind], eq + 1 };
	}
	if (backstore_host_new(&conf, &host) < 0 || backstore_create(host, &spec, DISK, &err) < 0 ||
	    backstore_open(host, &spec, 0, NULL, &bs, &err) < 0) {
		fprintf(stderr, "backstore: %s\n", err.text);
		return 1;
	}
	disk = backstore_size(bs);
	measure();
	backstore_close(&bs);
	c = backstore_destroy(host, &spec, &err);
	backstore_host_free(&host);
	return c < 0;
}
