/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and life cycle: what a plugin says about itself, and every verb that is not I/O. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "plugins/kit/kit.h"

static void tables(void)
{
	struct kit k;

	kit_load(&k);
	KIT(k.pl->p.summary && k.pl->p.summary[0], "it has no summary");
	KIT(k.pl->p.abi_major == DIRECTOR_ABI_MAJOR, "it is of another ABI");
	backstore_queue_free(&k.q);
	backstore_host_free(&k.host);
}

/* `check` is pure: the same answer twice, before there is any storage. */
static void check(void)
{
	struct director_err err = { .text = "" };
	struct plugin_pair wrong[KIT_PARAMS_MAX + 1];
	struct kit k;
	int r, again;

	kit_load(&k);
	r = backstore_check(k.host, &k.spec, &err);
	KIT(r == 0, "the parameters given are refused: %s", err.text);
	again = backstore_check(k.host, &k.spec, &err);
	KIT(again == r, "check says something else the second time: %s", err.text);
	memcpy(wrong, kit_args.params, sizeof(kit_args.params));
	wrong[k.spec.n_params] = (struct plugin_pair){ "no-such-parameter", "1" };
	k.spec.params = wrong;
	k.spec.n_params++;
	KIT(backstore_check(k.host, &k.spec, &err) == -EINVAL, "an unknown parameter was accepted");
	backstore_queue_free(&k.q);
	backstore_host_free(&k.host);
}

static void life(void)
{
	struct kit k;

	kit_open(&k);
	kit_end(&k);
}

/* Every step may be asked again after a crash. */
static void repeat(void)
{
	struct director_err err = { .text = "" };
	struct kit k;
	int r;

	kit_open(&k);
	if (!k.pl->backstore.create)
		kit_skip("it makes no storage");
	backstore_close(&k.bs);
	r = backstore_create(k.host, &k.spec, kit_args.size, &err);
	KIT(r == 0, "create, done already, fails: %s", err.text);
	r = backstore_create(k.host, &k.spec, kit_args.size * 2, &err);
	KIT(r < 0 || k.pl->backstore.destroy == NULL, "create with another size overwrote the disk or lied");
	r = backstore_open(k.host, &k.spec, 0, NULL, &k.bs, &err);
	KIT(r == 0, "open after a second create: %s", err.text);
	backstore_close(&k.bs);
	if (!k.pl->backstore.destroy)
		kit_skip("it does not remove its storage");
	r = backstore_destroy(k.host, &k.spec, &err);
	KIT(r == 0, "destroy: %s", err.text);
	r = backstore_destroy(k.host, &k.spec, &err);
	KIT(r == 0, "destroy, done already, fails: %s", err.text);
	r = backstore_open(k.host, &k.spec, 0, NULL, &k.bs, &err);
	KIT(r < 0, "it opens after destroy");
	KIT(err.text[0], "the refusal to open says no reason");
	backstore_queue_free(&k.q);
	backstore_host_free(&k.host);
}

static void caps(void)
{
	struct director_caps a, b;
	struct kit k;

	kit_open(&k);
	backstore_caps_plugin(k.bs, &a);
	kit_reopen(&k);
	backstore_caps_plugin(k.bs, &b);
	KIT(a.size == b.size && a.flags == b.flags && a.block_size == b.block_size && a.align == b.align,
		"its capabilities changed by opening it again");
	KIT(a.size >= kit_args.size || !k.pl->backstore.create, "it has %llu bytes, less than it was created with",
		(unsigned long long)a.size);
	kit_end(&k);
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void leak(void)
{
	struct director_err err = { .text = "" };
	unsigned i, before = 0, after;
	struct kit k;
	char *buf;
	int r;

	kit_open(&k);
	buf = kit_alloc(k.caps.block_size);
	for (i = 0; i < 40; i++) {
		KIT(kit_io(&k, DIRECTOR_WRITE, 0, 0, buf, k.caps.block_size) == 0, "write failed");
		backstore_close(&k.bs);
		r = backstore_open(k.host, &k.spec, k.epoch, NULL, &k.bs, &err);
		KIT(r == 0, "open again: %s", err.text);
		if (i == 2)     /* what is made once is made by now */
			before = count_fds();
	}
	after = count_fds();
	KIT(after <= before + 2, "opening and closing it leaves descriptors open (%u more after 37 times)", after - before);
	free(buf);
	kit_end(&k);
}

static void fence(void)
{
	struct director_err err = { .text = "" };
	struct kit k;
	char *buf;
	int r;

	kit_open(&k);
	buf = kit_alloc(k.caps.block_size);
	k.epoch = 3;
	KIT(kit_io(&k, DIRECTOR_WRITE, 0, 0, buf, k.caps.block_size) == 0, "write failed");
	r = backstore_fence(k.bs, 5, &err);
	KIT(r == 0, "fence: %s", err.text);
	KIT(kit_io(&k, DIRECTOR_WRITE, 0, 0, buf, k.caps.block_size) == -ESTALE, "a write of an old epoch went through");
	k.epoch = 5;
	KIT(kit_io(&k, DIRECTOR_WRITE, 0, 0, buf, k.caps.block_size) == 0, "a write of the new epoch was refused");
	if (k.pl->backstore.fence) {
		backstore_close(&k.bs);
		r = backstore_open(k.host, &k.spec, 4, NULL, &k.bs, &err);
		KIT(r < 0, "it can be opened under an epoch that was fenced off");
		r = backstore_open(k.host, &k.spec, 6, NULL, &k.bs, &err);
		KIT(r == 0, "it cannot be opened under a new epoch: %s", err.text);
	}
	free(buf);
	kit_end(&k);
}

static void expect(struct kit *k, uint64_t block, uint32_t version, const char *when)
{
	char *buf = kit_alloc(k->caps.block_size);
	int r = kit_io(k, DIRECTOR_READ, 0, block * k->caps.block_size, buf, k->caps.block_size);

	KIT(r == 0, "%s: block %llu cannot be read: %s", when, (unsigned long long)block, strerror(-r));
	KIT(kit_is(buf, k->caps.block_size, block, version), "%s: block %llu is not what it must be", when,
		(unsigned long long)block);
	free(buf);
}

static void put(struct kit *k, uint64_t block, uint32_t version, const char *when)
{
	char *buf = kit_alloc(k->caps.block_size);
	int r;

	kit_fill(buf, k->caps.block_size, block, version);
	r = kit_io(k, DIRECTOR_WRITE, 0, block * k->caps.block_size, buf, k->caps.block_size);
	KIT(r == 0, "%s: block %llu cannot be written: %s", when, (unsigned long long)block, strerror(-r));
	free(buf);
}

static void resize(void)
{
	struct director_err err = { .text = "" };
	uint64_t n, grown;
	struct kit k;
	int r;

	kit_open(&k);
	n = k.caps.size / k.caps.block_size;
	grown = n + (1u << 20) / k.caps.block_size;
	put(&k, n - 1, 1, "before");
	r = backstore_resize(k.bs, grown * k.caps.block_size, &err);
	if (r == -EOPNOTSUPP && !(k.caps.flags & DIRECTOR_CAP_RESIZE))
		kit_skip("it cannot be resized");
	if (r == -EINVAL && k.spec.n_children > 1)
		kit_skip("it takes only certain sizes: %s", err.text);
	if (r == -ENOSPC && k.pl->backstore.destroy == NULL)
		kit_skip("its storage is as large as it is: %s", err.text);
	KIT(r == 0, "grow: %s", err.text);
	KIT(backstore_size(k.bs) == grown * k.caps.block_size, "it grew, and says %llu bytes",
		(unsigned long long)backstore_size(k.bs));
	expect(&k, n - 1, 1, "after growing");
	expect(&k, n, 0, "after growing");
	put(&k, grown - 1, 2, "after growing");
	expect(&k, grown - 1, 2, "after growing");
	r = backstore_resize(k.bs, n * k.caps.block_size, &err);
	if (r < 0) {
		kit_end(&k);
		kit_skip("it grows; it does not shrink: %s", err.text);
	}
	expect(&k, n - 1, 1, "after shrinking");
	KIT(kit_io(&k, DIRECTOR_READ, 0, n * k.caps.block_size, NULL, k.caps.block_size) < 0,
		"what was cut off can still be read");
	r = backstore_resize(k.bs, grown * k.caps.block_size, &err);
	KIT(r == 0, "grow again: %s", err.text);
	expect(&k, grown - 1, 0, "cut off and grown again (old data shows)");
	kit_end(&k);
}

static void reconfigure(void)
{
	struct director_err err = { .text = "" };
	unsigned i;
	bool live = false;
	struct kit k;
	int r;

	kit_open(&k);
	for (i = 0; i < k.pl->n_params; i++)
		live = live || (k.pl->p.params[i].flags & DIRECTOR_PF_LIVE);
	KIT(!live || k.pl->backstore.reconfigure, "it has parameters to change while open, and no reconfigure");
	if (!live)
		kit_skip("none of its parameters can be changed while open");
	r = backstore_reconfigure(k.bs, 0, kit_args.params, kit_args.n_params, &err);
	KIT(r == 0, "reconfigure with the same parameters: %s", err.text);
	put(&k, 0, 1, "after reconfigure");
	expect(&k, 0, 1, "after reconfigure");
	kit_end(&k);
}

/* A thread that submits must go on at once: it has other disks to serve. Counted in times asleep, not in time. */
static void submit_at_once(void)
{
	struct rusage a, b;
	unsigned i, slept = 0;
	struct kit k;
	char *buf;

	kit_open(&k);
	if (k.pl->backstore.threads != DIRECTOR_THREADS_ASYNC)
		kit_skip("it says that it blocks");
	buf = kit_alloc(k.caps.block_size);
	for (i = 0; i < 40; i++) {
		struct director_iov iov = { buf, k.caps.block_size };
		struct backstore_io *bio = mem_zalloc(sizeof(*bio));
		int32_t result = 1;

		bio->io = (struct director_io){ .op = i & 1 ? DIRECTOR_READ : DIRECTOR_WRITE, .len = k.caps.block_size,
			.offset = (uint64_t)i * k.caps.block_size, .iov = &iov, .n_iov = 1 };
		bio->user = &result;
		getrusage(RUSAGE_THREAD, &a);
		kit_start(&k, k.q, bio);
		getrusage(RUSAGE_THREAD, &b);
		slept += b.ru_nvcsw > a.ru_nvcsw;
		while (result == 1)
			kit_wait(k.q);
		KIT(result == 0, "I/O failed: %s", strerror(-result));
		free(bio);
	}
	KIT(slept < 20, "it is ASYNC, but the submitting thread slept in %u of 40 calls of submit", slept);
	free(buf);
	kit_end(&k);
}

const struct kit_test kit_life[] = {
	{ "tables", tables, "it loads, and its tables are in order" },
	{ "check", check, "parameters are judged, the same way each time" },
	{ "life", life, "create, open, close, destroy" },
	{ "repeat", repeat, "each step again, when it is done already" },
	{ "caps", caps, "its capabilities are possible and stay" },
	{ "leak", leak, "opened and closed again and again, nothing stays behind" },
	{ "fence", fence, "I/O of an old epoch is refused" },
	{ "resize", resize, "grow, shrink, grow; old data does not come back" },
	{ "reconfigure", reconfigure, "parameters change while it is open" },
	{ "submit", submit_at_once, "submit does not block" },
	{ NULL, NULL, NULL },
};
