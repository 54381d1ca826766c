/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several initiators (libiscsi) on a few blocks of one LUN, each operation recorded with its call and its return, and
 * the record judged: per-block linearizability, and no acknowledged write lost.
 *
 *   campaign-load --portals A:3260,B:3260 --target IQN [--lun N] [--initiators N] [--depth N] [--blocks N]
 *                 [--groups N] [--seconds S] [--seed N] [--history FILE] [--chap USER%SECRET] [--stall-ms N] [--stay]
 *
 * The blocks are shared by all initiators, and lie in groups that are spread over the LUN.
 *
 * An initiator that loses its connection goes to the next portal (with --stay to the same one again); what it had
 * outstanding is "unknown": a write that may have happened, or may yet. At the end every block is read once more. Prints
 * one line of figures, and one for each violation; exit status 0: none; 1: violations; 2: usage; 3: no portal could be
 * used at the end.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "base/rng.h"
#include "tests/campaign/linear.h"

#define INITIATORS_MAX 16
#define DEPTH_MAX 64
#define PORTALS_MAX 16
#define PER_IO_MAX 8            /* blocks of one operation */
#define RETRY_MS 50
#define LOGIN_MS 3000

enum state { DOWN, LOGIN, UP };

struct initiator;

/* One operation under way: of `n` blocks, each with a value of its own. */
struct slot {
	struct initiator *of;
	bool busy, write;
	uint64_t call, lba;
	uint32_t n;
	uint8_t *data;
	uint64_t value[PER_IO_MAX];
};

struct initiator {
	unsigned index;
	enum state state;
	struct iscsi_context *ctx;
	unsigned portal, busy;
	uint64_t since, heard;          /* of the state; of the last answer */
	uint64_t retry;
	struct slot slot[DEPTH_MAX];
};

/* What is known of one block: its operations, and when it was last found damaged. */
struct block {
	struct linear_op *ops;
	size_t n, cap;
};

static struct {
	const char *portal[PORTALS_MAX];
	unsigned n_portals, n_initiators, depth, seconds, stall_ms;
	uint64_t n_blocks, groups, stride; /* the first blocks of two groups are `stride` apart */
	const char *target, *history;
	char *user, *secret;
	int lun;
	uint32_t block_size;

	struct initiator initiator[INITIATORS_MAX];
	struct block *block;
	struct rng rng;
	uint64_t next_value;
	bool closing;                   /* no new operations */
	bool stay;                      /* initiators keep to their portals */

	uint64_t done, unknown, refused, lost, torn;
	uint64_t last_done, pause, pause_at;
	FILE *out;
} t = { .n_initiators = 4, .depth = 4, .seconds = 10, .stall_ms = 5000, .n_blocks = 256, .groups = 8, .rng = { 1 }, .next_value = 1 };

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "campaign-load: %s\n", what);
	exit(2);
}

/* ---- the record ---- */

static void record(uint64_t lba, const struct linear_op *op)
{
	struct block *b = &t.block[lba];

	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 64;
		b->ops = realloc(b->ops, b->cap * sizeof(*b->ops));
		if (!b->ops)
			abort();
	}
	b->ops[b->n++] = *op;
	if (t.out)
		fprintf(t.out, "%" PRIu64 " %c %" PRIu64 " %" PRIu64 " %" PRIx64 "\n", lba, op->write ? 'w' : 'r', op->call,
			op->ret == LINEAR_NEVER ? 0 : op->ret, op->value);
}

/* Where the block of that number is. */
static uint64_t lba_of(uint64_t block)
{
	uint64_t each = t.n_blocks / t.groups;

	return block / each * t.stride + block % each;
}

static void fill(uint8_t *p, uint64_t value)
{
	for (uint32_t i = 0; i < t.block_size; i += 8)
		memcpy(p + i, &value, 8);
}

/* The value of a block that was read; a block with parts of two is torn, which no disk may do to a logical block. */
static uint64_t value_of(const uint8_t *p, uint64_t lba)
{
	uint64_t v, w;

	memcpy(&v, p, 8);
	for (uint32_t i = 8; i < t.block_size; i += 8) {
		memcpy(&w, p + i, 8);
		if (w != v) {
			printf("VIOLATION block %" PRIu64 ": torn: %" PRIx64 " and, from byte %u, %" PRIx64 "\n", lba, v, i, w);
			t.torn++;
			break;
		}
	}
	return v;
}

static void slot_end(struct slot *s, bool good)
{
	uint64_t ret = now_ns();

	s->busy = false;
	s->of->busy--;
	for (uint32_t i = 0; i < s->n; i++) {
		struct linear_op op = { .call = s->call, .ret = good ? ret : LINEAR_NEVER, .write = s->write };

		if (s->write)
			op.value = s->value[i];
		else if (good)
			op.value = value_of(s->data + (size_t)i * t.block_size, s->lba + i);
		else
			continue;
		record(s->lba + i, &op);
	}
	if (!good) {
		t.unknown++;
		return;
	}
	t.done++;
	s->of->heard = ret;
	if (ret - t.last_done > t.pause && t.last_done) {
		t.pause = ret - t.last_done;
		t.pause_at = t.last_done;
	}
	t.last_done = ret;
}

/* ---- initiators ---- */

static void go_down(struct initiator *in, unsigned wait_ms)
{
	struct iscsi_context *ctx = in->ctx;

	in->state = DOWN;
	in->retry = now_ns() + wait_ms * UINT64_C(1000000);
	if (!t.stay)
		in->portal = (in->portal + 1) % t.n_portals;
	in->ctx = NULL;
	if (ctx)
		iscsi_destroy_context(ctx);     /* ends what was outstanding: slot_end, unknown */
	for (unsigned i = 0; i < t.depth; i++)
		if (in->slot[i].busy)
			slot_end(&in->slot[i], false);
}

static void logged_in(struct iscsi_context *ctx, int status, void *data, void *priv)
{
	struct initiator *in = priv;

	(void)ctx;
	(void)data;
	if (in->ctx != ctx)
		return;
	if (status == SCSI_STATUS_GOOD) {
		in->state = UP;
		in->heard = now_ns();
	} else {
		in->since = 0;                  /* serve() takes it down: not from inside the library */
	}
}

static void go_up(struct initiator *in)
{
	char name[64];

	snprintf(name, sizeof(name), "iqn.2026-01.org.example:campaign-%u", in->index);
	in->ctx = iscsi_create_context(name);
	if (!in->ctx)
		abort();
	iscsi_set_noautoreconnect(in->ctx, 1);
	iscsi_set_targetname(in->ctx, t.target);
	iscsi_set_session_type(in->ctx, ISCSI_SESSION_NORMAL);
	if (t.user)
		iscsi_set_initiator_username_pwd(in->ctx, t.user, t.secret);
	in->state = LOGIN;
	in->since = now_ns();
	if (iscsi_full_connect_async(in->ctx, t.portal[in->portal], t.lun, logged_in, in) != 0)
		go_down(in, RETRY_MS);
}

static void answered(struct iscsi_context *ctx, int status, void *data, void *priv)
{
	struct slot *s = priv;
	struct scsi_task *task = data;
	struct initiator *in = s->of;
	bool good = status == SCSI_STATUS_GOOD;

	(void)ctx;
	if (good && !s->write) {
		good = task && task->datain.size == (int)(s->n * t.block_size);
		if (good)
			memcpy(s->data, task->datain.data, (size_t)task->datain.size);
	}
	if (!good && status != SCSI_STATUS_CANCELLED && status != SCSI_STATUS_ERROR) {
		t.refused++;
		in->retry = now_ns() + RETRY_MS * UINT64_C(1000000);
	}
	if (s->busy)
		slot_end(s, good);
	if (task)
		scsi_free_scsi_task(task);
}

static void submit(struct initiator *in, struct slot *s)
{
	struct scsi_task *task;

	s->n = 1 + (uint32_t)rng_below(&t.rng, PER_IO_MAX);
	s->lba = rng_below(&t.rng, t.groups) * (t.n_blocks / t.groups) + rng_below(&t.rng, t.n_blocks / t.groups - s->n + 1);
	s->write = rng_below(&t.rng, 2);
	s->call = now_ns();
	for (uint32_t i = 0; i < s->n && s->write; i++) {
		s->value[i] = t.next_value++;
		fill(s->data + (size_t)i * t.block_size, s->value[i]);
	}
	s->busy = true;
	in->busy++;
	if (s->write)
		task = iscsi_write16_task(in->ctx, t.lun, lba_of(s->lba), s->data, s->n * t.block_size, (int)t.block_size, 0, 0, 0, 0, 0,
			answered, s);
	else
		task = iscsi_read16_task(in->ctx, t.lun, lba_of(s->lba), s->n * t.block_size, (int)t.block_size, 0, 0, 0, 0, 0, answered, s);
	if (!task)
		slot_end(s, false);
}

/* What time asks of one initiator. */
static void serve(struct initiator *in, uint64_t now)
{
	if (in->state == DOWN) {
		if (now >= in->retry && !t.closing)
			go_up(in);
	} else if (in->state == LOGIN) {
		if (now - in->since > LOGIN_MS * UINT64_C(1000000))
			go_down(in, RETRY_MS);
	} else if (in->busy && now - in->heard > t.stall_ms * UINT64_C(1000000)) {
		t.lost++;
		go_down(in, 0);
	} else if (now >= in->retry && !t.closing) {
		if (!in->busy)
			in->heard = now;
		for (unsigned i = 0; i < t.depth; i++)
			if (!in->slot[i].busy)
				submit(in, &in->slot[i]);
	}
}

static void turn(void)
{
	struct pollfd p[INITIATORS_MAX];
	uint64_t now = now_ns();

	for (unsigned i = 0; i < t.n_initiators; i++) {
		struct initiator *in = &t.initiator[i];

		serve(in, now);
		p[i] = (struct pollfd){ .fd = -1 };
		if (in->ctx) {
			p[i].fd = iscsi_get_fd(in->ctx);
			p[i].events = (short)iscsi_which_events(in->ctx);
		}
	}
	if (poll(p, t.n_initiators, 10) <= 0)
		return;
	for (unsigned i = 0; i < t.n_initiators; i++) {
		struct initiator *in = &t.initiator[i];

		if (in->ctx && p[i].revents && iscsi_service(in->ctx, p[i].revents) < 0) {
			t.lost += in->state == UP;
			go_down(in, RETRY_MS);
		}
	}
}

/* ---- before and after ---- */

/* A context that is logged in at any of the portals within `seconds`. */
static struct iscsi_context *connect_any(unsigned seconds)
{
	uint64_t end = now_ns() + seconds * UINT64_C(1000000000);

	for (unsigned i = 0; now_ns() < end; i++) {
		struct iscsi_context *ctx = iscsi_create_context("iqn.2026-01.org.example:campaign-judge");

		if (!ctx)
			abort();
		iscsi_set_noautoreconnect(ctx, 1);
		iscsi_set_timeout(ctx, 5);
		iscsi_set_targetname(ctx, t.target);
		iscsi_set_session_type(ctx, ISCSI_SESSION_NORMAL);
		if (t.user)
			iscsi_set_initiator_username_pwd(ctx, t.user, t.secret);
		if (iscsi_full_connect_sync(ctx, t.portal[i % t.n_portals], t.lun) == 0)
			return ctx;
		iscsi_destroy_context(ctx);
		usleep(RETRY_MS * 1000);
	}
	return NULL;
}

static void look(void)
{
	struct iscsi_context *ctx = connect_any(30);
	struct scsi_readcapacity16 *cap;
	struct scsi_task *task;

	if (!ctx)
		die("no portal lets anyone in");
	task = iscsi_readcapacity16_sync(ctx, t.lun);
	cap = task && task->status == SCSI_STATUS_GOOD ? scsi_datain_unmarshall(task) : NULL;
	if (!cap || cap->block_length < 8)
		die("READ CAPACITY(16) fails");
	t.block_size = cap->block_length;
	t.stride = (cap->returned_lba + 1) / t.groups;
	if (t.n_blocks > t.stride * t.groups)
		t.n_blocks = t.stride * t.groups;
	t.n_blocks -= t.n_blocks % t.groups;
	if (t.n_blocks / t.groups < PER_IO_MAX)
		die("eight blocks a group or more");
	scsi_free_scsi_task(task);
	iscsi_logout_sync(ctx);
	iscsi_destroy_context(ctx);
}

/* Every block once more; false when it cannot be read. `write`: zeroes instead, which every block begins with. */
static bool sweep(bool write)
{
	uint8_t *zero = calloc(1, t.block_size);
	uint64_t lba = 0, end = now_ns() + UINT64_C(60000000000);
	struct iscsi_context *ctx = NULL;

	while (lba < t.n_blocks && now_ns() < end) {
		struct scsi_task *task;
		uint64_t call = now_ns();

		if (!ctx && !(ctx = connect_any(30)))
			break;
		task = write ? iscsi_write16_sync(ctx, t.lun, lba_of(lba), zero, t.block_size, (int)t.block_size, 0, 0, 0, 0, 0) :
			iscsi_read16_sync(ctx, t.lun, lba_of(lba), t.block_size, (int)t.block_size, 0, 0, 0, 0, 0);
		if (task && task->status == SCSI_STATUS_GOOD) {
			if (!write)
				record(lba, &(struct linear_op){ .call = call, .ret = now_ns(), .value = value_of(task->datain.data, lba) });
			lba++;
		} else {
			iscsi_destroy_context(ctx);
			ctx = NULL;
			usleep(RETRY_MS * 1000);
		}
		if (task)
			scsi_free_scsi_task(task);
	}
	if (ctx)
		iscsi_destroy_context(ctx);
	free(zero);
	return lba == t.n_blocks;
}

static unsigned judge(void)
{
	unsigned bad = 0;

	for (uint64_t i = 0; i < t.n_blocks; i++) {
		uint64_t a, b;
		enum linear_verdict v = linear_check(t.block[i].ops, t.block[i].n, &a, &b);

		if (v != LINEAR_OK) {
			printf("VIOLATION block %" PRIu64 ": %s: %" PRIx64 ", %" PRIx64 "\n", i, linear_text(v), a, b);
			bad++;
		}
	}
	return bad;
}

static void options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "portals", 1, 0, 'p' }, { "target", 1, 0, 't' }, { "lun", 1, 0, 'l' }, { "initiators", 1, 0, 'i' },
		{ "depth", 1, 0, 'd' }, { "blocks", 1, 0, 'b' }, { "seconds", 1, 0, 's' }, { "seed", 1, 0, 'S' },
		{ "history", 1, 0, 'h' }, { "chap", 1, 0, 'c' }, { "stall-ms", 1, 0, 'w' }, { "groups", 1, 0, 'g' },
		{ "stay", 0, 0, 'y' },
		{ 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (o) {
		case 'p':
			for (char *p; (p = strsep(&optarg, ",")) && t.n_portals < PORTALS_MAX;)
				t.portal[t.n_portals++] = p;
			break;
		case 't': t.target = optarg; break;
		case 'l': t.lun = atoi(optarg); break;
		case 'i': t.n_initiators = (unsigned)atoi(optarg); break;
		case 'd': t.depth = (unsigned)atoi(optarg); break;
		case 'b': t.n_blocks = strtoull(optarg, NULL, 0); break;
		case 's': t.seconds = (unsigned)atoi(optarg); break;
		case 'S': t.rng.s = strtoull(optarg, NULL, 0); break;
		case 'h': t.history = optarg; break;
		case 'g': t.groups = strtoull(optarg, NULL, 0); break;
		case 'w': t.stall_ms = (unsigned)atoi(optarg); break;
		case 'y': t.stay = true; break;
		case 'c':
			t.user = optarg;
			t.secret = strchr(optarg, '%');
			if (!t.secret)
				die("--chap USER%SECRET");
			*t.secret++ = 0;
			break;
		default: die("usage: see the first lines of tests/campaign/load.c");
		}
	}
	if (!t.n_portals || !t.target || !t.n_initiators || t.n_initiators > INITIATORS_MAX || !t.depth || t.depth > DEPTH_MAX ||
	    t.n_blocks < PER_IO_MAX || !t.groups)
		die("--portals and --target are needed; 1 to 16 initiators, 1 to 64 deep, 8 blocks or more");
}

static void run(void)
{
	uint64_t end = now_ns() + t.seconds * UINT64_C(1000000000), settled;

	for (unsigned i = 0; i < t.n_initiators; i++) {
		t.initiator[i].index = i;
		t.initiator[i].portal = i % t.n_portals;
		for (unsigned k = 0; k < t.depth; k++) {
			t.initiator[i].slot[k].of = &t.initiator[i];
			t.initiator[i].slot[k].data = malloc((size_t)PER_IO_MAX * t.block_size);
		}
	}
	while (now_ns() < end && !interrupted)
		turn();
	t.closing = true;
	settled = now_ns() + t.stall_ms * UINT64_C(1000000) + UINT64_C(1000000000);
	for (bool busy = true; busy && now_ns() < settled;) {
		turn();
		busy = false;
		for (unsigned i = 0; i < t.n_initiators; i++)
			busy |= t.initiator[i].busy > 0;
	}
	for (unsigned i = 0; i < t.n_initiators; i++) {
		go_down(&t.initiator[i], 0);
		for (unsigned k = 0; k < t.depth; k++)
			free(t.initiator[i].slot[k].data);
	}
}

int main(int argc, char **argv)
{
	unsigned bad;
	bool whole;

	options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (t.history && !(t.out = fopen(t.history, "w")))
		die("the history cannot be written");
	look();
	t.block = calloc(t.n_blocks, sizeof(*t.block));
	if (!t.block)
		abort();
	if (!sweep(true))
		die("the blocks cannot be zeroed");
	printf("READY\n");
	run();
	whole = sweep(false);
	bad = judge();
	printf("operations %" PRIu64 " unknown %" PRIu64 " refused %" PRIu64 " connections-lost %" PRIu64 " longest-pause-ms %" PRIu64
		" from %" PRIu64 " violations %u torn %" PRIu64 " all-read %s\n", t.done, t.unknown, t.refused, t.lost, t.pause / 1000000,
		t.pause_at / 1000000, bad, t.torn, whole ? "yes" : "no");
	if (t.out)
		fclose(t.out);
	for (uint64_t i = 0; i < t.n_blocks; i++)
		free(t.block[i].ops);
	free(t.block);
	return bad || t.torn ? 1 : whole ? 0 : 3;
}
