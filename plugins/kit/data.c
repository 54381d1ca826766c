/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is what is read: at the edges, in pieces, by chance against a model, from several threads. */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plugins/kit/kit.h"

#define UNKNOWN UINT32_MAX

static void put(struct kit *k, uint64_t block, uint32_t version)
{
	uint32_t bs = k->caps.block_size;
	char *buf = kit_alloc(bs);
	int r;

	kit_fill(buf, bs, block, version);
	r = kit_io(k, DIRECTOR_WRITE, 0, block * bs, buf, bs);
	KIT(r == 0, "block %llu cannot be written: %s", (unsigned long long)block, strerror(-r));
	free(buf);
}

static void expect(struct kit *k, uint64_t block, uint32_t version, const char *when)
{
	uint32_t bs = k->caps.block_size;
	char *buf = kit_alloc(bs);
	int r;

	memset(buf, 0xee, bs);
	r = kit_io(k, DIRECTOR_READ, 0, block * bs, buf, bs);
	KIT(r == 0, "%s: block %llu cannot be read: %s", when, (unsigned long long)block, strerror(-r));
	KIT(kit_is(buf, bs, block, version), "%s: block %llu is not what was written", when, (unsigned long long)block);
	free(buf);
}

/* The size that it claims is really there: the last block is a block of its own. */
static void edges(void)
{
	uint64_t b[5], n;
	struct kit k;
	unsigned i;

	kit_open(&k);
	n = k.caps.size / k.caps.block_size;
	b[0] = 0;
	b[1] = 1;
	b[2] = n / 2;
	b[3] = n - 2;
	b[4] = n - 1;
	for (i = 0; i < 5; i++)
		put(&k, b[i], i + 1);
	for (i = 0; i < 5; i++)
		expect(&k, b[i], i + 1, "edges");
	KIT(kit_io(&k, DIRECTOR_WRITE, 0, n * k.caps.block_size, NULL, k.caps.block_size) < 0, "it goes on past its end");
	kit_end(&k);
}

/* One I/O in very many buffers, and in buffers at odd addresses. */
static void vectors(void)
{
	uint32_t bs, total = 1u << 20, i, n;
	struct director_iov *iov;
	struct backstore_io bio = { 0 };
	char *buf, *back;
	struct kit k;
	int r;

	kit_open(&k);
	bs = k.caps.block_size;
	buf = kit_alloc(total + 64);
	back = kit_alloc(total);
	iov = mem_zalloc(2048 * sizeof(*iov));
	for (i = 0; i < total / bs; i++)
		kit_fill(buf + 4 + i * bs, bs, i, 9);
	for (i = n = 0; i < total; n++) {
		iov[n].base = buf + 4 + i;
		iov[n].len = total - i < 512 + 4 * (n % 3) ? total - i : n == 2046 ? total - i : 512 + 4 * (n % 3);
		i += (uint32_t)iov[n].len;
	}
	bio.io = (struct director_io){ .op = DIRECTOR_WRITE, .len = total, .iov = iov, .n_iov = n };
	r = kit_submit(&k, k.q, &bio);
	KIT(r == 0, "a write from %u buffers: %s", n, strerror(-r));
	if (k.caps.flags & DIRECTOR_CAP_NO_CONTENT)
		memset(buf, 0, total + 64);
	r = kit_io(&k, DIRECTOR_READ, 0, 0, back, total);
	KIT(r == 0 && memcmp(back, buf + 4, total) == 0, "a write from %u buffers arrived otherwise", n);
	memset(buf, 0, total + 64);
	memset(&bio, 0, sizeof(bio));
	bio.io = (struct director_io){ .op = DIRECTOR_READ, .len = total, .iov = iov, .n_iov = n };
	r = kit_submit(&k, k.q, &bio);
	KIT(r == 0 && memcmp(back, buf + 4, total) == 0, "a read into %u buffers arrived otherwise", n);
	free(iov);
	free(buf);
	free(back);
	kit_end(&k);
}

/* ---- zeroes, discard, compare, extents, flush ---- */

static void surround(struct kit *k, uint64_t first, uint64_t n, uint16_t op, uint16_t flags, bool zeroes,
	const char *what)
{
	uint32_t bs = k->caps.block_size;
	uint64_t i;
	int r;

	for (i = first - 1; i <= first + n; i++)
		put(k, i, 3);
	r = kit_io(k, op, flags, first * bs, NULL, n * bs);
	KIT(r == 0, "%s: %s", what, strerror(-r));
	expect(k, first - 1, 3, what);
	expect(k, first + n, 3, what);
	for (i = first; i < first + n && zeroes; i++)
		expect(k, i, 0, what);
	put(k, first, 4);
	expect(k, first, 4, what);
}

static void zeroes(void)
{
	struct kit k;

	kit_open(&k);
	surround(&k, 3, 1, DIRECTOR_WRITE_ZEROES, 0, true, "zeroing one block");
	surround(&k, 13, 77, DIRECTOR_WRITE_ZEROES, DIRECTOR_IOF_MAY_UNMAP, true, "zeroing, may unmap");
	surround(&k, 101, 66, DIRECTOR_WRITE_ZEROES, DIRECTOR_IOF_FUA, true, "zeroing, stable");
	kit_end(&k);
}

static void discard(void)
{
	struct kit k;
	bool z;

	kit_open(&k);
	if (!(k.caps.flags & DIRECTOR_CAP_DISCARD))
		kit_skip("it cannot discard");
	z = k.caps.flags & DIRECTOR_CAP_DISCARD_ZEROES;
	surround(&k, 3, 1, DIRECTOR_DISCARD, 0, z, "discarding one block");
	surround(&k, 13, 77, DIRECTOR_DISCARD, 0, z, "discarding");
	kit_end(&k);
}

static void compare(void)
{
	struct kit k;
	uint32_t bs;
	char *two;
	int r;

	kit_open(&k);
	if (k.caps.flags & DIRECTOR_CAP_NO_CONTENT)
		kit_skip("it keeps nothing to compare with");
	bs = k.caps.block_size;
	two = kit_alloc(4 * bs);
	put(&k, 5, 1);
	put(&k, 6, 1);
	kit_fill(two, bs, 5, 1);
	kit_fill(two + bs, bs, 6, 1);
	kit_fill(two + 2 * bs, bs, 5, 2);
	kit_fill(two + 3 * bs, bs, 6, 2);
	r = kit_io(&k, DIRECTOR_COMPARE_AND_WRITE, 0, 5 * bs, two, 2 * bs);
	KIT(r == 0, "compare-and-write of what is there: %s", strerror(-r));
	expect(&k, 5, 2, "after a compare that matched");
	expect(&k, 6, 2, "after a compare that matched");
	r = kit_io(&k, DIRECTOR_COMPARE_AND_WRITE, DIRECTOR_IOF_FUA, 5 * bs, two, 2 * bs);
	KIT(r == -EILSEQ, "compare-and-write of something else gives %s, not a miscompare", r ? strerror(-r) : "success");
	expect(&k, 5, 2, "after a compare that did not match");
	free(two);
	kit_end(&k);
}

static void extents(void)
{
	uint64_t at = 0, size;
	struct kit k;
	unsigned n = 0;

	kit_open(&k);
	if (!(k.caps.flags & DIRECTOR_CAP_EXTENTS))
		kit_skip("it does not say what is allocated");
	put(&k, 4096, 1);
	KIT(kit_io(&k, DIRECTOR_FLUSH, 0, 0, NULL, 0) == 0, "flush failed");
	size = k.caps.size;
	while (at < size) {
		struct backstore_io bio = { .io = { .op = DIRECTOR_EXTENTS, .offset = at, .len = size - at } };
		int r = kit_submit(&k, k.q, &bio);
		uint64_t mine = 4096ull * k.caps.block_size;

		KIT(r == 0, "extents at %llu: %s", (unsigned long long)at, strerror(-r));
		KIT(bio.io.at > 0 && bio.io.at <= size - at, "extents at %llu: a run of %llu bytes", (unsigned long long)at,
			(unsigned long long)bio.io.at);
		if (bio.io.flags_out & DIRECTOR_EXT_HOLE) {
			KIT(mine < at || mine >= at + bio.io.at || k.caps.flags & DIRECTOR_CAP_NO_CONTENT, "a block that was written is called a hole");
			expect(&k, at / k.caps.block_size, 0, "in a hole");
		}
		at += bio.io.at;
		KIT(++n < 100000, "extents do not come to an end");
	}
	kit_end(&k);
}

/* The digests of a range that begins and ends inside of groups are those of its bytes. */
static void checksum(void)
{
	uint64_t offset, len = 2 * DIRECTOR_CHECKSUM_GROUP + 8192, at;
	uint8_t got[3 * DIRECTOR_CHECKSUM_SIZE], want[DIRECTOR_CHECKSUM_SIZE];
	struct director_iov iov[] = { { got, 5 }, { got + 5, sizeof(got) - 5 } };
	struct backstore_io bio;
	struct kit k;
	char *p;
	int r;

	kit_open(&k);
	p = kit_alloc(len);
	offset = 8 * k.caps.block_size;
	put(&k, 9, 1);
	put(&k, 40, 2);
	bio = (struct backstore_io){ .io = { .op = DIRECTOR_CHECKSUM, .offset = offset, .len = len, .iov = iov, .n_iov = 2 } };
	r = kit_submit(&k, k.q, &bio);
	KIT(r == 0, "a checksum: %s", strerror(-r));
	r = kit_io(&k, DIRECTOR_READ, 0, offset, p, len);
	KIT(r == 0, "a read: %s", strerror(-r));
	for (at = 0; at < len; at += DIRECTOR_CHECKSUM_GROUP) {
		uint64_t n = len - at < DIRECTOR_CHECKSUM_GROUP ? len - at : DIRECTOR_CHECKSUM_GROUP;

		crypto_generichash(want, sizeof(want), (uint8_t *)p + at, n, NULL, 0);
		KIT(memcmp(want, got + at / DIRECTOR_CHECKSUM_GROUP * DIRECTOR_CHECKSUM_SIZE, sizeof(want)) == 0,
			"the digest of the group at %llu is not that of what is read", (unsigned long long)at);
	}
	free(p);
	kit_end(&k);
}

/* When reads have been alone for a while. */
static const char *lent(struct kit *k, uint64_t offset, uint64_t len)
{
	for (unsigned i = 0; i < 100000; i++) {
		const char *p = backstore_lend(k->bs, k->q, k->epoch, offset, len);

		if (p)
			return p;
		backstore_queue_run(k->q, 0);
	}
	return NULL;
}

/* What is lent is what would be read, and stays so: writes wait until it is given back. Beyond the end nothing is lent. */
static void lend(void)
{
	static const uint16_t ops[] = { DIRECTOR_WRITE, DIRECTOR_WRITE_ZEROES, DIRECTOR_DISCARD };
	const char *p;
	uint64_t end;
	struct kit k;
	uint32_t bs;
	char *buf;

	kit_open(&k);
	if (!k.pl->backstore.lend)
		kit_skip("its content does not lie in memory");
	bs = k.caps.block_size;
	end = k.caps.size;
	buf = kit_alloc(bs);
	kit_fill(buf, bs, 9, 3);
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct director_iov iov = { buf, bs };
		int32_t result = 1;
		struct backstore_io bio = { .io = { .op = ops[i], .flags = DIRECTOR_IOF_MAY_UNMAP, .offset = 9ull * bs, .len = bs,
			.iov = &iov, .n_iov = 1 }, .user = &result };

		if (ops[i] == DIRECTOR_WRITE)
			bio.io.flags = 0;
		put(&k, 8, 1);
		put(&k, 9, 2);
		p = lent(&k, 8ull * bs, 2ull * bs);
		KIT(p, "it does not lend what is there");
		KIT(kit_is(p, bs, 8, 1) && kit_is(p + bs, bs, 9, 2), "what it lends is not what was written");
		kit_start(&k, k.q, &bio);
		for (unsigned n = 0; n < 10; n++)
			backstore_queue_run(k.q, 0);
		KIT(result == 1 && kit_is(p + bs, bs, 9, 2), "what it lent changes while it is lent");
		backstore_lend_end(k.bs, k.q);
		while (result == 1)
			kit_wait(k.q);
		KIT(result == 0, "a write that waited for what was lent fails");
		if (ops[i] != DIRECTOR_DISCARD || k.caps.flags & DIRECTOR_CAP_DISCARD_ZEROES)
			expect(&k, 9, ops[i] == DIRECTOR_WRITE ? 3 : 0, "after it was lent");
	}
	free(buf);
	KIT(lent(&k, end - bs, bs), "it does not lend its last block");
	backstore_lend_end(k.bs, k.q);
	KIT(!backstore_lend(k.bs, k.q, k.epoch, end, bs) && !backstore_lend(k.bs, k.q, k.epoch, end - bs, 2ull * bs),
		"it lends what it does not have");
	KIT(backstore_fence(k.bs, k.epoch + 1, NULL) == 0 && !backstore_lend(k.bs, k.q, k.epoch, 0, bs),
		"it lends to an owner of an old epoch");
	kit_end(&k);
}

static void flush(void)
{
	struct kit k;
	char *buf;

	kit_open(&k);
	buf = kit_alloc(k.caps.block_size);
	KIT(kit_io(&k, DIRECTOR_FLUSH, 0, 0, NULL, 0) == 0, "a flush of nothing failed");
	kit_fill(buf, k.caps.block_size, 8, 1);
	KIT(kit_io(&k, DIRECTOR_WRITE, DIRECTOR_IOF_FUA, 8ull * k.caps.block_size, buf, k.caps.block_size) == 0,
		"a stable write failed");
	expect(&k, 8, 1, "after a stable write");
	KIT(kit_io(&k, DIRECTOR_FLUSH, 0, 0, NULL, 0) == 0, "a flush failed");
	free(buf);
	kit_end(&k);
}

static void persist(void)
{
	struct kit k;
	unsigned i;

	kit_open(&k);
	if (k.caps.flags & DIRECTOR_CAP_VOLATILE)
		kit_skip("volatile");
	for (i = 0; i < 16; i++)
		put(&k, 100 + i * 7, i + 1);
	KIT(kit_io(&k, DIRECTOR_FLUSH, 0, 0, NULL, 0) == 0, "a flush failed");
	kit_reopen(&k);
	for (i = 0; i < 16; i++)
		expect(&k, 100 + i * 7, i + 1, "after opening it again");
	kit_end(&k);
}

/* Close while I/O is under way: each is answered, once, before close returns. */
static void drain(void)
{
	enum { N = 64, LEN = 16384 };
	struct director_iov iov[N];
	struct backstore_io *bio;
	int32_t result[N];
	struct kit k;
	unsigned i;

	kit_open(&k);
	bio = mem_zalloc(N * sizeof(*bio));
	backstore_plug(k.q);
	for (i = 0; i < N; i++) {
		result[i] = 1;
		iov[i] = (struct director_iov){ kit_alloc(LEN), LEN };
		bio[i].io = (struct director_io){ .op = i & 1 ? DIRECTOR_READ : DIRECTOR_WRITE, .offset = i * LEN, .len = LEN,
			.iov = &iov[i], .n_iov = 1 };
		bio[i].user = &result[i];
		kit_start(&k, k.q, &bio[i]);
	}
	backstore_unplug(k.q);
	backstore_close(&k.bs);
	for (i = 0; i < N; i++) {
		KIT(result[i] <= 0, "I/O %u was not answered when close returned", i);
		free(iov[i].base);
	}
	free(bio);
	kit_end(&k);
}

/* ---- by chance, against a model ---- */

#define DEPTH 16
#define LONGEST (512u << 10)

struct walk;

struct step {
	struct backstore_io bio;
	struct director_iov iov[3];
	struct walk *walk;
	char *buf;
	uint64_t block, n;
	uint32_t version;
	unsigned told;                  /* what its sender knew */
	bool busy;
};

struct walk {
	struct kit *k;
	struct backstore_queue *q;
	struct rng rng;
	uint64_t first, blocks;         /* the part of the disk that is ours */
	uint32_t *model;                /* version of each block; 0: zeroes; UNKNOWN */
	uint32_t last_version;
	unsigned left, in_flight;
	struct step step[DEPTH];
};

/* Losses that a flush has told of. One that was sent before the last was told may tell of the same. */
static atomic_uint told;

static void tell(const struct step *s)
{
	unsigned is = s->told;

	atomic_compare_exchange_strong(&told, &is, s->told + 1);
}

static void say_told(void)
{
	if (kit_args.forgets)
		printf("flushes told of %u losses\n", atomic_load(&told));
}

static bool overlaps(const struct walk *w, uint64_t block, uint64_t n)
{
	unsigned i;

	for (i = 0; i < DEPTH; i++)
		if (w->step[i].busy && block < w->step[i].block + w->step[i].n && w->step[i].block < block + n)
			return true;
	return false;
}

static void verify(struct walk *w, struct step *s)
{
	uint32_t bs = w->k->caps.block_size;
	uint64_t i, b;

	for (i = 0; i < s->n; i++) {
		b = s->block + i;
		if (w->model[b - w->first] != UNKNOWN && !kit_is(s->buf + i * bs, bs, b, w->model[b - w->first]))
			kit_fail("seed %llu: block %llu is not what was written last (%llu of a read of %llu blocks at %llu)",
				(unsigned long long)kit_args.seed, (unsigned long long)b, (unsigned long long)i,
				(unsigned long long)s->n, (unsigned long long)s->block);
	}
}

static void step_done(struct backstore_io *bio, int32_t result)
{
	static const char *const names[] = { "?", "read", "write", "flush", "discard", "zeroing", "compare", "extents",
		"checksum" };
	struct step *s = bio->user;
	struct walk *w = s->walk;
	uint64_t i;

	KIT(s->busy, "an I/O was answered twice");
	if (kit_args.forgets && bio->io.op == DIRECTOR_FLUSH && result == -EIO) {
		tell(s);
		result = 0;
	}
	if (result < 0)
		kit_fail("seed %llu: %s of %llu blocks at %llu: %s", (unsigned long long)kit_args.seed, names[bio->io.op],
			(unsigned long long)s->n, (unsigned long long)s->block, strerror(-result));
	if (bio->io.op == DIRECTOR_READ)
		verify(w, s);
	for (i = 0; i < s->n; i++) {
		uint32_t *m = &w->model[s->block + i - w->first];

		if (bio->io.op == DIRECTOR_WRITE)
			*m = s->version;
		else if (bio->io.op == DIRECTOR_WRITE_ZEROES)
			*m = 0;
		else if (bio->io.op == DIRECTOR_DISCARD)
			*m = w->k->caps.flags & DIRECTOR_CAP_DISCARD_ZEROES ? 0 : UNKNOWN;
	}
	s->busy = false;
	w->in_flight--;
}

static uint16_t choose_op(struct walk *w)
{
	unsigned d = (unsigned)rng_below(&w->rng, 100);

	if (d < 42)
		return DIRECTOR_WRITE;
	if (d < 90)
		return DIRECTOR_READ;
	if (d < 93)
		return DIRECTOR_FLUSH;
	if (d < 97 || !(w->k->caps.flags & DIRECTOR_CAP_DISCARD))
		return DIRECTOR_WRITE_ZEROES;
	return DIRECTOR_DISCARD;
}

/* One to three buffers, cut anywhere that the host must cope with. */
static void cut(struct walk *w, struct step *s, uint64_t len)
{
	uint64_t a = rng_below(&w->rng, len + 1) & ~3ull, b = a + (rng_below(&w->rng, len - a + 1) & ~3ull);
	unsigned n = 1 + (unsigned)rng_below(&w->rng, 3);

	if (n == 1)
		a = b = len;
	else if (n == 2)
		b = len;
	s->iov[0] = (struct director_iov){ s->buf, a };
	s->iov[1] = (struct director_iov){ s->buf + a, b - a };
	s->iov[2] = (struct director_iov){ s->buf + b, len - b };
	s->bio.io.iov = s->iov;
	s->bio.io.n_iov = n;
}

/* A place that nothing under way touches. False: none was found; on a small disk one long I/O may cover all of it. */
static bool place(struct walk *w, struct step *s, uint64_t longest)
{
	unsigned tries = 0;

	do {
		if (++tries > 100)
			return false;
		s->n = 1 + rng_below(&w->rng, rng_below(&w->rng, 8) ? 16 : longest);
		if (s->n > w->blocks)
			s->n = w->blocks;
		s->block = w->first + rng_below(&w->rng, w->blocks - s->n + 1);
	} while (overlaps(w, s->block, s->n));
	return true;
}

static void step_start(struct walk *w, struct step *s)
{
	uint32_t bs = w->k->caps.block_size;
	uint16_t op = choose_op(w);
	uint64_t i;

	memset(&s->bio, 0, sizeof(s->bio));
	if (!place(w, s, LONGEST / bs))
		return;
	if (op == DIRECTOR_FLUSH)
		s->n = 0;
	s->bio.io = (struct director_io){ .op = op, .offset = s->block * bs, .len = s->n * bs };
	if (op == DIRECTOR_WRITE || op == DIRECTOR_READ)
		cut(w, s, s->n * bs);
	if (op == DIRECTOR_WRITE) {
		s->version = ++w->last_version;
		for (i = 0; i < s->n; i++)
			kit_fill(s->buf + i * bs, bs, s->block + i, s->version);
	} else {
		memset(s->buf, 0xee, s->n * bs);
	}
	if (op != DIRECTOR_READ && op != DIRECTOR_FLUSH && op != DIRECTOR_DISCARD && rng_below(&w->rng, 20) == 0)
		s->bio.io.flags |= DIRECTOR_IOF_FUA;
	if (op == DIRECTOR_WRITE_ZEROES && rng_below(&w->rng, 2))
		s->bio.io.flags |= DIRECTOR_IOF_MAY_UNMAP;
	s->bio.done = step_done;
	s->bio.user = s;
	s->walk = w;
	s->busy = true;
	w->in_flight++;
	s->told = atomic_load(&told);
	if (s->told >= kit_args.forgets)
		w->left--;
	backstore_submit(w->k->bs, w->q, &s->bio);
}

static void walk_run(struct walk *w)
{
	unsigned i;

	w->model = mem_zalloc(w->blocks * sizeof(*w->model));
	for (i = 0; i < w->blocks; i++)
		w->model[i] = UNKNOWN;
	for (i = 0; i < DEPTH; i++)
		w->step[i].buf = kit_alloc(LONGEST);
	while (w->left || w->in_flight) {
		backstore_plug(w->q);
		for (i = 0; i < DEPTH && w->left; i++)
			if (!w->step[i].busy && rng_below(&w->rng, 4))
				step_start(w, &w->step[i]);
		backstore_unplug(w->q);
		if (w->in_flight)
			kit_wait(w->q);
	}
	for (i = 0; i < DEPTH; i++)
		free(w->step[i].buf);
	free(w->model);
}

static void model(void)
{
	struct walk *w = mem_zalloc(sizeof(*w));
	struct kit k;

	kit_open(&k);
	w->k = &k;
	w->q = k.q;
	w->rng.s = kit_args.seed;
	w->blocks = (k.caps.size < 8u << 20 ? k.caps.size : 8u << 20) / k.caps.block_size;
	w->first = k.caps.size / k.caps.block_size - w->blocks;
	w->left = kit_args.rounds;
	walk_run(w);
	free(w);
	kit_end(&k);
	say_told();
}

static void *walker(void *arg)
{
	struct walk *w = arg;

	if (backstore_queue_new(w->k->host, &w->q) < 0)
		kit_fail("no queue for a thread");
	backstore_queue_steady(w->q);
	walk_run(w);
	backstore_queue_free(&w->q);
	return NULL;
}

static void threads(void)
{
	struct walk *w = mem_zalloc(4 * sizeof(*w));
	pthread_t t[4];
	struct kit k;
	unsigned i;

	kit_open(&k);
	for (i = 0; i < 4; i++) {
		w[i].k = &k;
		w[i].rng.s = kit_args.seed * 4 + i;
		w[i].blocks = (k.caps.size < 8u << 20 ? k.caps.size / 4 : 2u << 20) / k.caps.block_size;
		w[i].first = i * w[i].blocks;
		w[i].left = kit_args.rounds / 2;
		if (pthread_create(&t[i], NULL, walker, &w[i]) != 0)
			kit_fail("no thread");
	}
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	free(w);
	kit_end(&k);
	say_told();
}

const struct kit_test kit_data[] = {
	{ "edges", edges, "its first and last blocks are there" },
	{ "vectors", vectors, "very many buffers, and odd ones" },
	{ "zeroes", zeroes, "zeroed blocks read as zeroes, their neighbours stay" },
	{ "discard", discard, "discarded blocks read as promised, their neighbours stay" },
	{ "compare", compare, "compare-and-write" },
	{ "extents", extents, "what is allocated" },
	{ "checksum", checksum, "digests of groups" },
	{ "lend", lend, "memory that is sent from where it is" },
	{ "flush", flush, "flush, and writes that are stable at once" },
	{ "persist", persist, "opened again, it holds what was flushed" },
	{ "drain", drain, "close waits for what is under way" },
	{ "model", model, "random I/O against a model" },
	{ "threads", threads, "random I/O from four threads" },
	{ NULL, NULL, NULL },
};
