/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initiator against target under faults. Callers write and read regions of a disk of their own; each command must come back
 * once, without an error, in time, and read what was written; a write that may not be repeated must reach the disk once.
 *
 *   iscsi [--seeds A-B]        worlds with faults by chance, two runs each: they must be equal
 *   iscsi --sweep A-B          each seed without faults, then with each kind of fault at each single PDU
 *   iscsi --seed N [--one KIND@PDU] [--trace]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tests/sim/iscsi_world.h"
#include "tests/unit/check.h"

#define MS 1000000ull
#define WORKERS 6
#define REGION (SIM_BLOCKS / WORKERS)   /* blocks of a worker */
#define SPAN 64u                        /* of them used */
#define BLOCKS_MAX 48u
#define LIMIT_MS 120000u                /* a command that takes longer is a failure */

struct worker {
	struct ini_cmd cmd;
	uint8_t cdb[16], sense[64];
	struct ini_iov iov[4];
	uint8_t buf[BLOCKS_MAX * SIM_BLOCK], model[SPAN * SIM_BLOCK];
	uint32_t base, lba, blocks, id;
	uint64_t next_at, began;
	bool busy, write, once;
	bool doubt;                     /* the last write may or may not have happened: it is written again */
	unsigned left;
};

static const char *const kinds[FAULT_KINDS] = { "none", "cut-before", "cut-inside", "cut-after", "data", "header", "stall", "delay",
	"logout" };

struct run {
	uint64_t seed;
	enum fault one;
	unsigned one_at;
	bool faults, trace, small;
	/* results */
	uint64_t hash;
	unsigned pdus;
	uint64_t replayed, reassigned, retried, snacks, losses;
};

static struct sim sim;
static struct worker workers[WORKERS];
static const struct run *running;
static uint32_t next_id;

static void fail(const char *what)
{
	printf("seed %llu: %s\n  replay: tests/sim/iscsi --seed %llu", (unsigned long long)running->seed, what,
		(unsigned long long)running->seed);
	if (running->one)
		printf(" --one %s@%u", kinds[running->one], running->one_at);
	else if (!running->faults)
		printf(" --quiet");
	printf("%s --trace\n", running->small ? " --small" : "");
	exit(1);
}

/* ---- the callers ---- */

static void fill(struct worker *w)
{
	for (uint32_t i = 0; i < w->blocks * SIM_BLOCK; i += 8) {
		uint64_t v = rng_next(&sim.rng);

		memcpy(w->buf + i, &v, 8);
	}
	put32(w->buf, w->id);
}

/* The buffer in pieces, as callers have it. */
static unsigned cut(struct worker *w, uint32_t len)
{
	unsigned n = 0;
	uint32_t at = 0;

	while (at < len) {
		uint32_t k = n == 3 ? len - at : 1 + (uint32_t)rng_below(&sim.rng, len - at);

		w->iov[n++] = (struct ini_iov){ w->buf + at, k };
		at += k;
	}
	return n;
}

/* In every second world also such as have to wait for others, or others for them; chance is not asked, so the rest stays as it is. */
static uint8_t attribute(void)
{
	static const uint8_t some[8] = { TASK_SIMPLE, TASK_ORDERED, TASK_SIMPLE, TASK_UNTAGGED, TASK_HEAD_OF_QUEUE, TASK_SIMPLE, TASK_ORDERED,
		TASK_SIMPLE };

	return running->seed % 2 ? TASK_SIMPLE : some[sim.now % 8];
}

static void submit(struct worker *w, bool again)
{
	struct ini_cmd *c = &w->cmd;
	uint32_t len = w->blocks * SIM_BLOCK;

	memset(w->cdb, 0, sizeof(w->cdb));
	w->cdb[0] = w->write ? 0x2a : 0x28;
	put32(w->cdb + 2, w->base + w->lba);
	put16(w->cdb + 7, (uint16_t)w->blocks);
	memset(c, 0, sizeof(*c));
	c->cdb = w->cdb;
	c->cdb_len = 10;
	c->sense = w->sense;
	c->sense_max = sizeof(w->sense);
	c->attr = attribute();
	c->write = w->write;
	c->read = !w->write;
	c->repeat = !w->once;
	c->in = c->out = w->iov;
	c->n_in = c->n_out = cut(w, len);
	c->in_len = c->read ? len : 0;
	c->out_len = c->write ? len : 0;
	c->deadline = (struct mono){ sim.now + LIMIT_MS * MS };
	c->user = w;
	w->busy = true;
	if (!again)
		w->began = sim.now;
	sim_note(&sim, "worker %u %s %u blocks at %u id %u%s", (unsigned)(w - workers), w->write ? "writes" : "reads", w->blocks,
		w->base + w->lba, w->id, w->once ? " once" : "");
	ini_submit(sim.ini, c);
}

static void next(struct worker *w)
{
	if (!w->doubt) {
		w->left--;
		w->write = rng_below(&sim.rng, 2);
		w->blocks = 1 + (uint32_t)rng_below(&sim.rng, rng_below(&sim.rng, 3) ? 6 : BLOCKS_MAX);
		w->lba = (uint32_t)rng_below(&sim.rng, SPAN - w->blocks + 1);
		w->once = w->write && rng_below(&sim.rng, 4) == 0;
	}
	if (w->write) {
		w->id = ++next_id;
		if (w->id >= SIM_COMMANDS)
			fail("too many writes");
		fill(w);
	} else {
		memset(w->buf, 0xee, sizeof(w->buf));
	}
	submit(w, false);
}

static void check_answer(struct worker *w)
{
	struct ini_cmd *c = &w->cmd;
	unsigned effects = sim.effects[w->id];

	if (sim.now - w->began > LIMIT_MS * MS)
		fail("a command took too long");
	w->doubt = false;
	if (c->result == 0 && c->status == 2 && (w->sense[2] & 15) == 6) {
		/* A unit attention: the command was not executed. */
		if (w->write && effects)
			fail("a write with a unit attention was executed");
		submit(w, true);
		return;
	}
	if (c->result == ERR_IO && w->once && w->write) {
		if (effects > 1)
			fail("a write that may not be repeated was executed twice");
		/* Nobody knows; say it is lost, and write the same place again. */
		w->doubt = true;
		w->next_at = sim.now;
		return;
	}
	if (c->result || c->status) {
		printf("result %d status %u sense %02x %02x/%02x\n", c->result, c->status, w->sense[2], w->sense[12], w->sense[13]);
		fail("a command failed");
	}
	if (w->write) {
		if (!effects || (w->once && effects != 1))
			fail(effects ? "a write that may not be repeated was executed more than once" : "a write that was answered was not executed");
		memcpy(w->model + w->lba * SIM_BLOCK, w->buf, w->blocks * SIM_BLOCK);
	} else {
		if (c->got != w->blocks * SIM_BLOCK)
			fail("a read is short");
		if (memcmp(w->buf, w->model + w->lba * SIM_BLOCK, w->blocks * SIM_BLOCK) != 0)
			fail("a read is not what was written");
	}
	w->next_at = sim.now + rng_below(&sim.rng, rng_below(&sim.rng, 4) ? 1 * MS : 50 * MS);
}

static void reap(void)
{
	struct ini_cmd *c;
	struct ini_event ev;

	while ((c = ini_next_done(sim.ini))) {
		struct worker *w = c->user;

		if (!w->busy)
			fail("a command came back twice");
		w->busy = false;
		sim_note(&sim, "worker %u has its answer: %d %02x", (unsigned)(w - workers), c->result, c->status);
		check_answer(w);
	}
	while (ini_next_event(sim.ini, &ev))
		sim_note(&sim, "event %u value %u status %04x %s", ev.kind, ev.value, ev.status, ev.text);
}

/* ---- worlds ---- */

static uint32_t pick(struct rng *r, const uint32_t *of, unsigned n)
{
	return of[rng_below(r, n)];
}

static void world(struct run *run)
{
	static const uint32_t segments[] = { 512, 600, 1024, 4096, 8192, 65536 };
	static const char *portals[] = { "a", "b" };
	static const uint32_t bursts[] = { 512, 1024, 3000, 8192, 65536 };
	struct rng r = { run->seed * 7919 + 13 };
	struct iscsi_params theirs;
	struct ini_conf conf;

	memset(&sim, 0, sizeof(sim));
	memset(workers, 0, sizeof(workers));
	next_id = 0;
	ini_conf_default(&conf);
	iscsi_params_default(&theirs);
	conf.initiator = "iqn.2026-11.test:i";
	conf.target = "iqn.2026-11.test:t";
	conf.portals[0] = portals[0];
	conf.portals[1] = portals[1];
	conf.n_portals = 2;
	memcpy(conf.isid, "\x80\1\2\3\4\5", 6);
	conf.connections = 1 + (unsigned)rng_below(&r, rng_below(&r, 2) ? 1 : 4);
	conf.depth = 1 + (unsigned)rng_below(&r, 12);
	conf.offer.erl = (uint32_t)rng_below(&r, 3);
	conf.offer.max_recv = pick(&r, segments, 6);
	conf.offer.max_burst = theirs.max_burst = pick(&r, bursts, 5);
	conf.offer.first_burst = theirs.first_burst = pick(&r, bursts, 5);
	if (conf.offer.first_burst > conf.offer.max_burst)
		conf.offer.first_burst = theirs.first_burst = conf.offer.max_burst;
	conf.offer.initial_r2t = theirs.initial_r2t = (uint32_t)rng_below(&r, 2);
	conf.offer.immediate_data = theirs.immediate_data = (uint32_t)rng_below(&r, 2);
	conf.offer.max_r2t = theirs.max_r2t = 1 + (uint32_t)rng_below(&r, 5);
	conf.offer.time2wait = theirs.time2wait = (uint32_t)rng_below(&r, 3);
	conf.offer.time2retain = theirs.time2retain = 5 + (uint32_t)rng_below(&r, 20);
	theirs.max_recv = pick(&r, segments, 6);
	theirs.erl = 2;
	theirs.max_connections = 4;
	theirs.header_digest = theirs.data_digest = DIGEST_CRC32C;
	conf.ping_ms = 1000 + (uint32_t)rng_below(&r, 3000);
	conf.login_ms = 3000;
	conf.retry_max_ms = 500;
	sim.digests = rng_below(&r, 2);
	conf.header_digest = conf.data_digest = sim.digests ? INI_DIGEST_REQUIRE : INI_DIGEST_NONE;
	sim.chap = rng_below(&r, 3) == 0;
	if (sim.chap) {
		conf.user = "alice";
		conf.secret = "secret-of-alice";
		conf.target_secret = "secret-of-target";
		conf.chap[0] = (uint8_t)(CHAP_MD5 + rng_below(&r, 4));
		conf.n_chap = 1;
	}
	sim.trace = run->trace;
	sim.one = run->one;
	sim.one_at = run->one_at;
	if (run->faults) {
		sim.left = 1 + (unsigned)rng_below(&r, 12);
		sim.per_10000 = (unsigned)pick(&r, (const uint32_t[]){ 20, 100, 500 }, 3);
	}
	sim_init(&sim, run->seed, &conf, &theirs);
	sim_note(&sim, "erl %u connections %u depth %u digests %u chap %u immediate %u initial-r2t %u recv %u/%u burst %u/%u", conf.offer.erl,
		conf.connections, conf.depth, sim.digests, sim.chap, conf.offer.immediate_data, conf.offer.initial_r2t,
		conf.offer.max_recv, theirs.max_recv, conf.offer.max_burst, conf.offer.first_burst);
}

static bool callers_turn(void)
{
	bool any = false;

	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		if (w->busy || (!w->left && !w->doubt))
			continue;
		if (w->next_at <= sim.now) {
			next(w);
			any = true;
		}
	}
	return any;
}

static bool callers_done(uint64_t *at)
{
	bool all = true;

	*at = UINT64_MAX;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &workers[i];

		all &= !w->busy && !w->left && !w->doubt;
		if (!w->busy && (w->left || w->doubt) && w->next_at < *at)
			*at = w->next_at;
	}
	return all;
}

static void play(struct run *run)
{
	uint64_t at, end;
	unsigned idle = 0;

	running = run;
	world(run);
	end = sim.now + 1800000 * MS;
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].base = i * REGION;
		workers[i].left = run->small ? 2 : 20;
	}
	for (;;) {
		sim_run(&sim);
		reap();
		if (callers_turn())
			continue;
		if (callers_done(&at))
			break;
		if (sim.wake < at)
			at = sim.wake;
		if (at == UINT64_MAX)
			fail("nothing will ever happen again");
		if (at > end)
			fail("it does not end");
		if (at > sim.now) {
			sim.now = at;
			idle = 0;
		} else if (++idle > 10000) {
			fail("it is busy with nothing");
		}
	}
	for (unsigned i = 0; i < WORKERS; i++)
		if (memcmp(sim.disk + workers[i].base * SIM_BLOCK, workers[i].model, SPAN * SIM_BLOCK) != 0)
			fail("the disk is not what was written");
	run->hash = sim.hash;
	run->pdus = sim.pdus;
	run->replayed += sim.ini->replayed;
	run->reassigned += sim.ini->reassigned;
	run->retried += sim.ini->retried;
	run->snacks += sim.ini->snacks;
	run->losses += sim.ini->losses;
	sim_fini(&sim);
}

static void add(struct run *sum, const struct run *r)
{
	sum->pdus += r->pdus;
	sum->replayed += r->replayed;
	sum->reassigned += r->reassigned;
	sum->retried += r->retried;
	sum->snacks += r->snacks;
	sum->losses += r->losses;
}

static void seeds(uint64_t from, uint64_t to)
{
	struct run sum = { 0 };

	for (uint64_t seed = from; seed <= to; seed++) {
		struct run a = { .seed = seed, .faults = true }, b = a;

		play(&a);
		play(&b);
		running = &a;
		if (a.hash != b.hash)
			fail("two runs differ");
		add(&sum, &a);
	}
	printf("seeds %llu-%llu: %u PDUs, %llu connections lost, %llu commands replayed, %llu reassigned, %llu retried, %llu SNACKs\n",
		(unsigned long long)from, (unsigned long long)to, sum.pdus, (unsigned long long)sum.losses,
		(unsigned long long)sum.replayed, (unsigned long long)sum.reassigned, (unsigned long long)sum.retried,
		(unsigned long long)sum.snacks);
}

static void sweep(uint64_t from, uint64_t to)
{
	struct run sum = { 0 };
	unsigned runs = 0;

	for (uint64_t seed = from; seed <= to; seed++) {
		struct run base = { .seed = seed, .small = true };

		play(&base);
		for (unsigned k = 1; k < FAULT_KINDS; k++)
			for (unsigned at = 0; at < base.pdus; at++, runs++) {
				struct run r = { .seed = seed, .small = true, .one = (enum fault)k, .one_at = at };

				play(&r);
				add(&sum, &r);
			}
	}
	printf("sweep %llu-%llu: %u runs, %llu connections lost, %llu commands replayed, %llu reassigned, %llu retried, %llu SNACKs\n",
		(unsigned long long)from, (unsigned long long)to, runs, (unsigned long long)sum.losses,
		(unsigned long long)sum.replayed, (unsigned long long)sum.reassigned, (unsigned long long)sum.retried,
		(unsigned long long)sum.snacks);
}

static void range(const char *s, uint64_t *from, uint64_t *to)
{
	char *end;

	*from = *to = strtoull(s, &end, 10);
	if (*end == '-')
		*to = strtoull(end + 1, NULL, 10);
}

int main(int argc, char **argv)
{
	struct run one = { .faults = true };
	uint64_t from, to;
	bool single = false, other = false;

	for (int i = 1; i < argc; i++) {
		const char *arg = i + 1 < argc ? argv[i + 1] : "0";

		if (strcmp(argv[i], "--seeds") == 0 || strcmp(argv[i], "--sweep") == 0) {
			range(arg, &from, &to);
			if (argv[i][3] == 'e')
				seeds(from, to);
			else
				sweep(from, to);
			other = true;
			i++;
		} else if (strcmp(argv[i], "--seed") == 0) {
			one.seed = strtoull(arg, NULL, 10);
			single = true;
			i++;
		} else if (strcmp(argv[i], "--one") == 0) {
			const char *at = strchr(arg, '@');

			for (unsigned k = 1; k < FAULT_KINDS; k++)
				if (at && strlen(kinds[k]) == (size_t)(at - arg) && strncmp(kinds[k], arg, strlen(kinds[k])) == 0)
					one.one = (enum fault)k;
			one.one_at = at ? (unsigned)strtoul(at + 1, NULL, 10) : 0;
			one.faults = false;
			i++;
		} else if (strcmp(argv[i], "--trace") == 0) {
			one.trace = true;
		} else if (strcmp(argv[i], "--small") == 0) {
			one.small = true;
		} else if (strcmp(argv[i], "--quiet") == 0) {
			one.faults = false;
		} else {
			fprintf(stderr, "usage: iscsi [--seeds A-B] [--sweep A-B] [--seed N [--one KIND@PDU] [--small] [--quiet] [--trace]]\n");
			return 2;
		}
	}
	if (single) {
		play(&one);
		printf("seed %llu: %u PDUs, hash %016llx\n", (unsigned long long)one.seed, one.pdus, (unsigned long long)one.hash);
	} else if (!other) {
		seeds(1, 60);
		sweep(1, 3);
	}
	return 0;
}
