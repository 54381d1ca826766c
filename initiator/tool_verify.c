/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director-iscsi verify: writes numbered patterns all over a range, reads them back meanwhile and at the end, and says what
 * did not come back as it was answered. Connections may be cut, targets restarted and moved below it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "initiator/tool.h"

enum { UNTOUCHED = 0, ENOUGH = 10 };

struct verify;

struct op {
	struct director_iscsi_io io;
	struct verify *v;
	struct iovec iov;
	uint64_t unit;
	uint32_t version;               /* that is being written, or is expected */
	bool write, busy;
};

struct verify {
	struct tool *t;
	struct director_iscsi_loop *loop;
	struct director_iscsi *h;
	struct director_iscsi_disk d;
	uint64_t bs, span, offset, runtime_ms, seed, units;
	unsigned depth, n_busy;
	uint32_t *version;              /* of each unit */
	bool *taken;
	struct op *ops;
	struct rng rng;
	uint64_t n_reads, n_writes, n_retries, n_wrong, n_failed;
	uint64_t longest_ns;
	bool sweeping;
	uint64_t next;                  /* of the sweep at the end */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pattern(const struct verify *v, uint64_t unit, uint32_t version, uint64_t *p)
{
	struct rng r = { v->seed ^ unit << 32 ^ version };

	p[0] = unit;
	p[1] = version;
	for (uint64_t i = 2; i < v->bs / 8; i++)
		p[i] = rng_next(&r);
}

static bool matches(const struct verify *v, const struct op *o)
{
	static __thread uint64_t *want;
	static __thread uint64_t size;

	if (size < v->bs) {
		free(want);
		want = malloc(v->bs);
		size = v->bs;
	}
	pattern(v, o->unit, o->version, want);
	return memcmp(want, o->iov.iov_base, v->bs) == 0;
}

static void send(struct op *o)
{
	struct verify *v = o->v;
	uint64_t lba = (v->offset + o->unit * v->bs) / v->d.block_size;
	uint32_t n = (uint32_t)(v->bs / v->d.block_size);

	if (o->write)
		director_iscsi_prep_write(&o->io, v->t->url.lun, lba, n, v->d.block_size, &o->iov, 1);
	else
		director_iscsi_prep_read(&o->io, v->t->url.lun, lba, n, v->d.block_size, &o->iov, 1);
	director_iscsi_submit(v->h, &o->io);
}

/* The next thing to do with this op; false: nothing. */
static bool choose(struct op *o)
{
	struct verify *v = o->v;

	if (v->sweeping) {
		while (v->next < v->units && v->version[v->next] == UNTOUCHED)
			v->next++;
		if (v->next == v->units)
			return false;
		o->unit = v->next++;
		o->write = false;
	} else {
		unsigned tries = 0;

		do {
			o->unit = rng_below(&v->rng, v->units);
		} while (v->taken[o->unit] && ++tries < 1000);
		if (v->taken[o->unit])
			return false;
		o->write = v->version[o->unit] == UNTOUCHED || rng_below(&v->rng, 2);
	}
	v->taken[o->unit] = true;
	o->version = v->version[o->unit] + o->write;
	if (o->write)
		pattern(v, o->unit, o->version, o->iov.iov_base);
	o->busy = true;
	v->n_busy++;
	send(o);
	return true;
}

static void wrong(struct op *o)
{
	const uint64_t *p = o->iov.iov_base;

	o->v->n_wrong++;
	tool_say("WRONG DATA at byte %llu: expected unit %llu version %u, found unit %llu version %llu",
		(unsigned long long)(o->v->offset + o->unit * o->v->bs), (unsigned long long)o->unit, o->version,
		(unsigned long long)p[0], (unsigned long long)p[1]);
}

static void done(struct director_iscsi_io *io)
{
	struct op *o = io->user;
	struct verify *v = o->v;
	struct director_iscsi_verdict d = director_iscsi_judge(io);
	char text[160];

	if (d.retry) {
		v->n_retries++;
		send(o);
		return;
	}
	o->busy = false;
	v->n_busy--;
	v->taken[o->unit] = false;
	if (d.error) {
		v->n_failed++;
		tool_say("%s of unit %llu: %s", o->write ? "write" : "read", (unsigned long long)o->unit,
			director_iscsi_io_text(io, text, sizeof(text)));
		/* Nobody knows what is there now: it stays out of the game. */
		if (o->write)
			v->taken[o->unit] = true, v->version[o->unit] = UNTOUCHED;
		return;
	}
	if (o->write) {
		v->version[o->unit] = o->version;
		v->n_writes++;
	} else {
		v->n_reads++;
		if (io->got != v->bs || !matches(v, o))
			wrong(o);
	}
}

static void round_of(struct verify *v)
{
	for (unsigned i = 0; i < v->depth; i++)
		if (!v->ops[i].busy && !choose(&v->ops[i]))
			break;
}

static int play(struct verify *v)
{
	struct director_iscsi_status st = { .struct_size = sizeof(st) };
	uint64_t end = now_ns() + v->runtime_ms * 1000000u;

	/* Enough is known after a few. */
	while (now_ns() < end && v->n_wrong < ENOUGH && v->n_failed < ENOUGH) {
		round_of(v);
		director_iscsi_loop_run(v->loop, 100);
	}
	while (v->n_busy)
		director_iscsi_loop_run(v->loop, 100);
	v->sweeping = true;
	while (v->n_failed < ENOUGH) {
		round_of(v);
		if (v->n_busy)
			director_iscsi_loop_run(v->loop, 100);
		else if (v->next >= v->units)
			break;
	}
	while (v->n_busy)
		director_iscsi_loop_run(v->loop, 100);
	director_iscsi_get_status(v->h, &st);
	printf(v->t->json ? "{\"reads\":%llu,\"writes\":%llu,\"wrong\":%llu,\"failed\":%llu,\"retries\":%llu,\"logins\":%llu,"
			    "\"losses\":%llu,\"replayed\":%llu,\"reassigned\":%llu,\"reassigned_done\":%llu,\"erl\":%u,\"connections\":%u}\n"
			  : "%llu reads, %llu writes, %llu wrong, %llu failed, %llu retries; %llu logins, %llu connections lost, "
			    "%llu commands replayed, %llu reassigned and %llu of them answered; ERL %u, %u connections\n",
		(unsigned long long)v->n_reads, (unsigned long long)v->n_writes, (unsigned long long)v->n_wrong,
		(unsigned long long)v->n_failed, (unsigned long long)v->n_retries, (unsigned long long)st.logins,
		(unsigned long long)st.losses, (unsigned long long)st.replayed, (unsigned long long)st.reassigned,
		(unsigned long long)st.reassigned_done, st.erl,
		st.connections);
	return v->n_wrong || v->n_failed;
}

enum { O_BS = OPT_OWN, O_DEPTH, O_RUNTIME, O_SIZE, O_OFFSET, O_SEED };

static int prepare(struct verify *v)
{
	uint64_t size = v->d.blocks * v->d.block_size;
	uint8_t *memory;

	if (!v->span || v->offset > size || v->span > size - v->offset)
		v->span = v->offset < size ? size - v->offset : 0;
	if (!v->bs || v->bs % v->d.block_size || v->bs > v->span || v->offset % v->d.block_size ||
		v->bs > 16u << 20) {
		tool_say("the block size or the range does not fit the disk (%llu bytes, blocks of %u)", (unsigned long long)size,
			v->d.block_size);
		return 2;
	}
	v->units = v->span / v->bs;
	v->version = calloc(v->units, sizeof(*v->version));
	v->taken = calloc(v->units, sizeof(*v->taken));
	v->ops = calloc(v->depth, sizeof(*v->ops));
	memory = malloc(v->bs * v->depth);
	if (!v->version || !v->taken || !v->ops || !memory)
		return 1;
	for (unsigned i = 0; i < v->depth; i++) {
		v->ops[i].v = v;
		v->ops[i].iov = (struct iovec){ memory + i * v->bs, v->bs };
		v->ops[i].io.user = &v->ops[i];
		v->ops[i].io.done = done;
	}
	v->rng.s = v->seed;
	return 0;
}

int cmd_verify(struct tool *t, int argc, char **argv)
{
	static const struct option options[] = { TOOL_OPTIONS, { "bs", required_argument, NULL, O_BS },
		{ "depth", required_argument, NULL, O_DEPTH }, { "runtime", required_argument, NULL, O_RUNTIME },
		{ "size", required_argument, NULL, O_SIZE }, { "offset", required_argument, NULL, O_OFFSET },
		{ "seed", required_argument, NULL, O_SEED }, { NULL, 0, NULL, 0 } };
	struct verify v = { .t = t, .bs = 4096, .depth = 16, .runtime_ms = 5000, .seed = 1 };
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case O_BS: v.bs = tool_size(optarg); break;
		case O_DEPTH: v.depth = (unsigned)tool_number(optarg, 1, 1024); break;
		case O_RUNTIME: v.runtime_ms = tool_ms(optarg); break;
		case O_SIZE: v.span = tool_size(optarg); break;
		case O_OFFSET: v.offset = tool_size(optarg); break;
		case O_SEED: v.seed = tool_number(optarg, 0, UINT64_MAX); break;
		default:
			if (!tool_option(t, c, optarg))
				return 2;
		}
	if (optind + 1 != argc || tool_url_parse(t, argv[optind], true) < 0)
		return 2;
	r = tool_open(t, &v.loop, &v.h) < 0 || tool_disk(t, v.h, &v.d) < 0;
	if (r == 0)
		r = prepare(&v);
	if (r == 0)
		r = play(&v);
	director_iscsi_close(&v.h, 1000);
	director_iscsi_loop_free(&v.loop);
	if (v.ops)
		free(v.ops[0].iov.iov_base);
	free(v.ops);
	free(v.version);
	free(v.taken);
	return r;
}
