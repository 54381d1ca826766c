/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director-iscsi bench: a load on a LUN, and what it took. Every thread has a loop of its own and a share of the sessions;
 * every session keeps `depth` commands in work. Nothing is allocated, printed or locked while it runs.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/text.h"
#include "initiator/tool.h"

/* Latencies in ns: powers of two, each in 32 steps (3 % wide). */
#define STEPS 32
#define BUCKETS (64 * STEPS)

struct histogram {
	uint64_t n[BUCKETS], count, sum, max;
};

struct bench {
	struct tool *t;
	uint64_t bs, span, start;
	unsigned depth, sessions, threads, reads;       /* reads: percent */
	bool sequential, stay;
	uint64_t runtime_ms, warmup_ms;
	uint32_t block_size;
	atomic_bool running, counting, over;
	atomic_uint ready;
};

struct worker;

struct slot {
	struct director_iscsi_io io;
	struct stream *stream;
	struct iovec iov;
	uint64_t began;
	bool write;
};

/* One session of the load. */
struct stream {
	struct worker *w;
	struct director_iscsi *h;
	struct slot *slots;
	uint64_t next;                  /* sequential: the next offset */
	struct rng rng;
	unsigned busy;
};

struct worker {
	struct bench *b;
	pthread_t thread;
	struct director_iscsi_loop *loop;
	struct stream *streams;
	unsigned n_streams, index;
	struct tool tool;
	uint8_t *memory;
	struct histogram read, write;
	uint64_t errors;
	char error[160];
	bool failed;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(ns | STEPS);
	unsigned i = ns < STEPS ? (unsigned)ns : (top - 4) * STEPS + (unsigned)(ns >> (top - 5) & (STEPS - 1));

	h->n[i < BUCKETS ? i : BUCKETS - 1]++;
	h->count++;
	h->sum += ns;
	if (h->max < ns)
		h->max = ns;
}

/* The middle of its bucket: the lower edge is up to 3 % too little. */
static double bucket_us(unsigned i)
{
	unsigned top = i / STEPS + 4;

	if (i < 2 * STEPS)
		return i / 1000.0;
	return ((double)(STEPS + i % STEPS) + .5) * (double)((uint64_t)1 << (top - 5)) / 1000.0;
}

static double histogram_us(const struct histogram *h, double part)
{
	uint64_t want = (uint64_t)((double)h->count * part), seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += h->n[i];
		if (seen > want || (seen && seen == h->count)) {
			double us = bucket_us(i), max = (double)h->max / 1000.0;

			return us < max ? us : max;
		}
	}
	return 0;
}

static void histogram_merge(struct histogram *to, const struct histogram *h)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		to->n[i] += h->n[i];
	to->count += h->count;
	to->sum += h->sum;
	if (to->max < h->max)
		to->max = h->max;
}

/* ---- the load ---- */

static void issue(struct slot *s, uint64_t now)
{
	struct stream *st = s->stream;
	struct bench *b = st->w->b;
	uint64_t units = b->span / b->bs, unit, lba;

	if (b->sequential) {
		unit = st->next++ % units;
	} else {
		unit = rng_below(&st->rng, units);
	}
	s->write = b->reads < 100 && (b->reads == 0 || rng_below(&st->rng, 100) >= b->reads);
	lba = (b->start + unit * b->bs) / b->block_size;
	if (s->write)
		director_iscsi_prep_write(&s->io, b->t->url.lun, lba, (uint32_t)(b->bs / b->block_size), b->block_size, &s->iov, 1);
	else
		director_iscsi_prep_read(&s->io, b->t->url.lun, lba, (uint32_t)(b->bs / b->block_size), b->block_size, &s->iov, 1);
	s->began = now;
	st->busy++;
	director_iscsi_submit(st->h, &s->io);
}

static void done(struct director_iscsi_io *io)
{
	struct slot *s = io->user;
	struct stream *st = s->stream;
	struct worker *w = st->w;
	uint64_t now = now_ns();

	st->busy--;
	if (io->result || io->status || (!s->write && io->got != w->b->bs)) {
		if (!w->errors++)
			director_iscsi_io_text(io, w->error, sizeof(w->error));
	} else if (atomic_load_explicit(&w->b->counting, memory_order_relaxed)) {
		histogram_add(s->write ? &w->write : &w->read, now - s->began);
	}
	if (atomic_load_explicit(&w->b->running, memory_order_relaxed))
		issue(s, now);
}

static int worker_open(struct worker *w)
{
	struct bench *b = w->b;
	struct director_iscsi_disk d;
	size_t each = (b->bs + 4095) & ~4095u;

	if (posix_memalign((void **)&w->memory, 4096, each * b->depth * w->n_streams) != 0)
		return -1;
	memset(w->memory, 0x5a, each * b->depth * w->n_streams);
	w->tool = *b->t;        /* the session's event handler keeps it */
	w->tool.conf.portals = b->t->url.portals;
	for (unsigned i = 0; i < w->n_streams; i++) {
		struct stream *st = &w->streams[i];

		st->w = w;
		st->rng.s = 0x1234567u + w->index * 1000003u + i * 7919u;
		st->next = b->span / b->bs / b->sessions * (w->index + i * b->threads);
		st->slots = calloc(b->depth, sizeof(*st->slots));
		/* Asking for the disk takes the unit attentions of a new session away. */
		if (!st->slots || tool_open(&w->tool, &w->loop, &st->h) < 0 || tool_disk(&w->tool, st->h, &d) < 0)
			return -1;
		for (unsigned k = 0; k < b->depth; k++) {
			struct slot *s = &st->slots[k];

			s->stream = st;
			s->iov = (struct iovec){ w->memory + each * (i * b->depth + k), b->bs };
			s->io.user = s;
			s->io.done = done;
		}
	}
	director_iscsi_loop_stay(w->loop, b->stay);
	return 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct bench *b = w->b;
	uint64_t now, end = 0;

	w->failed = worker_open(w) < 0;
	atomic_fetch_add(&b->ready, 1);
	while (!atomic_load(&b->running) && !w->failed && !atomic_load(&b->over))
		usleep(200);
	now = now_ns();
	for (unsigned i = 0; i < w->n_streams && !w->failed && !atomic_load(&b->over); i++)
		for (unsigned k = 0; k < b->depth; k++)
			issue(&w->streams[i].slots[k], now);
	while (atomic_load_explicit(&b->running, memory_order_relaxed) && !w->failed)
		director_iscsi_loop_run(w->loop, 100);
	/* What is in work comes back first. */
	for (;;) {
		unsigned busy = 0;

		for (unsigned i = 0; i < w->n_streams; i++)
			busy += w->streams[i].busy;
		if (!end)
			end = now_ns() + 5000000000u;
		if (!busy || now_ns() > end)
			break;
		director_iscsi_loop_run(w->loop, 10);
	}
	for (unsigned i = 0; i < w->n_streams; i++) {
		director_iscsi_close(&w->streams[i].h, 500);
		free(w->streams[i].slots);
	}
	director_iscsi_loop_free(&w->loop);
	free(w->memory);
	return NULL;
}

/* ---- the report ---- */

static void line(const char *name, const struct histogram *h, double seconds, uint64_t bs)
{
	if (h->count)
		printf("%-6s %10.0f IOPS %9.1f MB/s   latency us: mean %.1f p50 %.1f p99 %.1f p999 %.1f max %.1f\n", name,
			(double)h->count / seconds, (double)h->count * (double)bs / seconds / 1e6,
			(double)h->sum / (double)h->count / 1e3, histogram_us(h, 0.5), histogram_us(h, 0.99), histogram_us(h, 0.999),
			(double)h->max / 1e3);
}

static void json(const char *name, const struct histogram *h, double seconds, uint64_t bs)
{
	printf("\"%s\":{\"ios\":%llu,\"iops\":%.1f,\"bytes_per_second\":%.0f,\"latency_us\":{\"mean\":%.2f,\"p50\":%.2f,\"p99\":%.2f,"
	       "\"p999\":%.2f,\"max\":%.2f}},", name, (unsigned long long)h->count, (double)h->count / seconds,
		(double)h->count * (double)bs / seconds, h->count ? (double)h->sum / (double)h->count / 1e3 : 0.0,
		histogram_us(h, 0.5), histogram_us(h, 0.99), histogram_us(h, 0.999), (double)h->max / 1e3);
}

static double cpu(const struct rusage *a, const struct rusage *b)
{
	return (double)(b->ru_utime.tv_sec - a->ru_utime.tv_sec + b->ru_stime.tv_sec - a->ru_stime.tv_sec) +
	       (double)(b->ru_utime.tv_usec - a->ru_utime.tv_usec + b->ru_stime.tv_usec - a->ru_stime.tv_usec) / 1e6;
}

static void report(struct bench *b, struct worker *ws, double seconds, double used)
{
	static struct histogram read, write, all;
	uint64_t errors = 0;
	const char *first = "";

	for (unsigned i = 0; i < b->threads; i++) {
		histogram_merge(&read, &ws[i].read);
		histogram_merge(&write, &ws[i].write);
		errors += ws[i].errors;
		if (ws[i].errors)
			first = ws[i].error;
	}
	histogram_merge(&all, &read);
	histogram_merge(&all, &write);
	if (b->t->json) {
		printf("{\"block_size\":%llu,\"depth\":%u,\"sessions\":%u,\"connections\":%u,\"threads\":%u,\"read_percent\":%u,"
		       "\"sequential\":%s,\"seconds\":%.3f,", (unsigned long long)b->bs, b->depth, b->sessions,
			b->t->conf.connections, b->threads, b->reads, b->sequential ? "true" : "false", seconds);
		json("read", &read, seconds, b->bs);
		json("write", &write, seconds, b->bs);
		json("total", &all, seconds, b->bs);
		printf("\"errors\":%llu,\"cpu_seconds\":%.3f,\"cpu_us_per_io\":%.3f}\n", (unsigned long long)errors, used,
			all.count ? used * 1e6 / (double)all.count : 0.0);
		return;
	}
	line("read", &read, seconds, b->bs);
	line("write", &write, seconds, b->bs);
	if (read.count && write.count)
		line("total", &all, seconds, b->bs);
	printf("%-6s %10.2f s, %.0f %% of one core, %.2f us per I/O\n", "own cpu", used, used / seconds * 100.0,
		all.count ? used * 1e6 / (double)all.count : 0.0);
	if (errors)
		printf("errors %10llu, the first: %s\n", (unsigned long long)errors, first);
}

static int run(struct bench *b)
{
	struct worker *ws = calloc(b->threads, sizeof(*ws));
	struct rusage before, after;
	uint64_t t0, t1;
	bool failed = false;
	uint64_t errors = 0;

	for (unsigned i = 0; i < b->threads; i++) {
		ws[i].b = b;
		ws[i].index = i;
		ws[i].n_streams = b->sessions / b->threads + (i < b->sessions % b->threads);
		ws[i].streams = calloc(ws[i].n_streams, sizeof(*ws[i].streams));
		if (pthread_create(&ws[i].thread, NULL, worker_main, &ws[i]) != 0) {
			tool_say("cannot make threads");
			exit(1);
		}
	}
	while (atomic_load(&b->ready) < b->threads)
		usleep(1000);
	for (unsigned i = 0; i < b->threads; i++)
		failed |= ws[i].failed;
	if (!failed) {
		atomic_store(&b->running, true);
		usleep((useconds_t)b->warmup_ms * 1000);
		getrusage(RUSAGE_SELF, &before);
		t0 = now_ns();
		atomic_store(&b->counting, true);
		usleep((useconds_t)b->runtime_ms * 1000);
		atomic_store(&b->counting, false);
		t1 = now_ns();
		getrusage(RUSAGE_SELF, &after);
	}
	atomic_store(&b->running, false);
	atomic_store(&b->over, true);
	for (unsigned i = 0; i < b->threads; i++) {
		pthread_join(ws[i].thread, NULL);
		errors += ws[i].errors;
	}
	if (!failed)
		report(b, ws, (double)(t1 - t0) / 1e9, cpu(&before, &after));
	for (unsigned i = 0; i < b->threads; i++)
		free(ws[i].streams);
	free(ws);
	return failed || errors;
}

/* ---- the command ---- */

enum { O_BS = OPT_OWN, O_DEPTH, O_SESSIONS, O_THREADS, O_RUNTIME, O_WARMUP, O_RW, O_MIX, O_SEQ, O_SIZE, O_OFFSET, O_DIGESTS, O_STAY };

static void option(struct bench *b, int c, const char *arg)
{
	switch (c) {
	case O_BS: b->bs = tool_size(arg); break;
	case O_DEPTH: b->depth = (unsigned)tool_number(arg, 1, 4096); break;
	case O_SESSIONS: b->sessions = (unsigned)tool_number(arg, 1, 4096); break;
	case O_THREADS: b->threads = (unsigned)tool_number(arg, 1, 4096); break;
	case O_RUNTIME: b->runtime_ms = tool_ms(arg); break;
	case O_WARMUP: b->warmup_ms = tool_ms(arg); break;
	case O_MIX: b->reads = (unsigned)tool_number(arg, 0, 100); break;
	case O_SEQ: b->sequential = true; break;
	case O_SIZE: b->span = tool_size(arg); break;
	case O_OFFSET: b->start = tool_size(arg); break;
	case O_RW:
		if (strcmp(arg, "read") == 0)
			b->reads = 100;
		else if (strcmp(arg, "write") == 0)
			b->reads = 0;
		else if (strcmp(arg, "mix") == 0)
			b->reads = 70;
		else {
			tool_say("--rw is read, write or mix");
			exit(2);
		}
		break;
	case O_DIGESTS:
		if (strcmp(arg, "none") == 0)
			b->t->conf.header_digest = b->t->conf.data_digest = DIRECTOR_ISCSI_DIGEST_NONE;
		else
			b->t->conf.header_digest = b->t->conf.data_digest = DIRECTOR_ISCSI_DIGEST_REQUIRE;
		break;
	case O_STAY:
		b->stay = strcmp(arg, "yes") == 0;
		if (!b->stay && strcmp(arg, "no") != 0) {
			tool_say("--stay is yes or no");
			exit(2);
		}
		break;
	default:
		if (!tool_option(b->t, c, arg))
			exit(2);
	}
}

int cmd_bench(struct tool *t, int argc, char **argv)
{
	static const struct option options[] = { TOOL_OPTIONS, { "bs", required_argument, NULL, O_BS },
		{ "depth", required_argument, NULL, O_DEPTH }, { "sessions", required_argument, NULL, O_SESSIONS },
		{ "threads", required_argument, NULL, O_THREADS }, { "runtime", required_argument, NULL, O_RUNTIME },
		{ "warmup", required_argument, NULL, O_WARMUP }, { "rw", required_argument, NULL, O_RW },
		{ "mix", required_argument, NULL, O_MIX }, { "sequential", no_argument, NULL, O_SEQ },
		{ "size", required_argument, NULL, O_SIZE }, { "offset", required_argument, NULL, O_OFFSET },
		{ "digests", required_argument, NULL, O_DIGESTS },
		{ "stay", required_argument, NULL, O_STAY }, { NULL, 0, NULL, 0 } };
	struct bench b = { .t = t, .bs = 4096, .depth = 32, .sessions = 1, .threads = 1, .reads = 100, .stay = true,
		.runtime_ms = 5000, .warmup_ms = 300 };
	struct director_iscsi_loop *loop = NULL;
	struct director_iscsi *h = NULL;
	struct director_iscsi_disk d;
	uint64_t size;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		option(&b, c, optarg);
	if (optind + 1 != argc || tool_url_parse(t, argv[optind], true) < 0)
		return 2;
	if (!b.runtime_ms) {
		tool_say("--runtime is longer than nothing");
		return 2;
	}
	if (b.threads > b.sessions)
		b.threads = b.sessions;
	if (t->conf.queue_depth < b.depth)
		t->conf.queue_depth = b.depth;
	if (tool_open(t, &loop, &h) < 0)
		return 1;
	r = tool_disk(t, h, &d);
	director_iscsi_close(&h, 500);
	director_iscsi_loop_free(&loop);
	if (r < 0)
		return 1;
	b.block_size = d.block_size;
	size = d.blocks * d.block_size;
	if (!b.span || b.start > size || b.span > size - b.start)
		b.span = b.start < size ? size - b.start : 0;
	if (!b.bs || b.bs % d.block_size || b.bs > b.span || b.start % d.block_size || b.bs > UINT32_MAX / 2) {
		tool_say("the block size or the range does not fit the disk (%llu bytes, blocks of %u)", (unsigned long long)size,
			d.block_size);
		return 2;
	}
	return run(&b);
}
