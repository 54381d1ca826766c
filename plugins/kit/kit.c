/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin under test. */
#include "config.h"

#include "plugins/kit/kit.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

struct kit_args kit_args = { .size = 32u << 20, .seed = 1, .rounds = 2000 };

/* Nothing is kept: whatever was written, zeroes are right. */
static bool no_content;

static void say(const char *fmt, va_list ap)
{
	char text[500];

	vsnprintf(text, sizeof(text), fmt, ap);
	dprintf(STDOUT_FILENO, "%s", text);
}

void kit_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	_exit(1);
}

void kit_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	_exit(77);
}

static void log_sink(void *arg, enum log_level level, const char *line)
{
	if (kit_args.verbose)
		fprintf(stderr, "# %s: %s\n", log_level_name(level), line);
}

static const struct log kit_log = { .sink = log_sink, .level = LOG_LEVEL_DEBUG };

/* `struct director_err` with the name of the verb, as the reason of the failure. */
static void must(int r, const struct director_err *err, const char *verb)
{
	if (r < 0)
		kit_fail("%s: %s (%s)", verb, err->text[0] ? err->text : "no reason given", strerror(-r));
}

static void file_load(const char *file, struct plugin **pl, struct director_err *err)
{
	char *found = strchr(file, '/') ? mem_strdup(file) : plugin_find(file);

	if (!found)
		kit_fail("there is no plugin %s in $DIRECTOR_PLUGIN_PATH", file);
	must(plugin_load(found, pl, err), err, "load");
	free(found);
}

void kit_load(struct kit *k)
{
	struct backstore_host_conf conf = { .log = &kit_log };
	struct director_err err = { .text = "" };
	struct plugin *pl;
	unsigned i;

	memset(k, 0, sizeof(*k));
	file_load(kit_args.file, &pl, &err);
	if (pl->p.kind != DIRECTOR_BACKSTORE)
		kit_skip("kind %s", plugin_kind_name(pl->p.kind));
	k->pl = pl;
	if (backstore_host_new(&conf, &k->host) < 0 || backstore_queue_new(k->host, &k->q) < 0)
		kit_fail("the host cannot be made");
	k->spec = (struct backstore_spec){ .plugin = pl->p.name, .params = kit_args.params,
		.n_params = kit_args.n_params, .size = kit_args.size, .children = kit_args.below,
		.n_children = pl->backstore.n_children };
	if (kit_args.n_below > k->spec.n_children && kit_args.n_below <= pl->backstore.n_children_max)
		k->spec.n_children = kit_args.n_below;
	must(backstore_plugin_add(k->host, &pl, &err), &err, "init");
	KIT(k->spec.n_children <= 4, "it wants %u children; the kit gives at most 4", k->spec.n_children);
	if (!k->spec.n_children)
		return;
	if (k->spec.n_children == 1) {
		/* --over A --over B: B is below A. */
		for (i = 0; i + 1 < kit_args.n_below; i++) {
			kit_args.below[i].children = &kit_args.below[i + 1];
			kit_args.below[i].n_children = 1;
		}
	}
	if (!kit_args.n_below)
		for (i = 0; i < k->spec.n_children; i++)
			kit_args.below[i] = (struct backstore_spec){ .plugin = "ram", .size = kit_args.size };
}

void kit_open(struct kit *k)
{
	struct director_err err = { .text = "" };

	kit_load(k);
	must(backstore_create(k->host, &k->spec, kit_args.size, &err), &err, "create");
	must(backstore_open(k->host, &k->spec, k->epoch, NULL, &k->bs, &err), &err, "open");
	backstore_caps_plugin(k->bs, &k->caps);
	no_content = k->caps.flags & DIRECTOR_CAP_NO_CONTENT;
	KIT(k->caps.size >= 1u << 20, "the disk has only %llu bytes; give it at least 1M",
		(unsigned long long)k->caps.size);
	if (k->caps.flags & DIRECTOR_CAP_READ_ONLY)
		kit_skip("read only");
}

static void settled(struct kit *k)
{
	struct backstore_stats stats;
	unsigned i;

	/* A second completion may come late. */
	for (i = 0; i < 5; i++)
		kit_wait(k->q);
	backstore_stats(k->bs, &stats);
	KIT(stats.extra == 0, "%llu I/Os were completed more than once", (unsigned long long)stats.extra);
	KIT(stats.in_flight == 0, "%llu I/Os were never completed", (unsigned long long)stats.in_flight);
}

void kit_reopen(struct kit *k)
{
	struct director_err err = { .text = "" };

	settled(k);
	backstore_close(&k->bs);
	must(backstore_open(k->host, &k->spec, k->epoch, NULL, &k->bs, &err), &err, "open again");
}

/* Every I/O of kit_io, kept to the end: a second completion must not hit the memory of another one. */
static struct backstore_msg *kept;

static void kept_free(void)
{
	struct backstore_msg *m, *next;

	for (m = kept; m; m = next) {
		next = m->next;
		free((char *)m - offsetof(struct backstore_io, msg));
	}
	kept = NULL;
}

void kit_end(struct kit *k)
{
	struct director_err err = { .text = "" };

	if (k->bs)
		settled(k);
	backstore_close(&k->bs);
	kept_free();
	must(backstore_destroy(k->host, &k->spec, &err), &err, "destroy");
	backstore_queue_free(&k->q);
	backstore_host_free(&k->host);
}

/* ---- I/O ---- */

void kit_wait(struct backstore_queue *q)
{
	struct pollfd p = { .fd = backstore_queue_fd(q), .events = POLLIN };

	if (backstore_queue_run(q, 0) == 0)
		poll(&p, 1, 20);
}

static void one_done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
}

void kit_start(struct kit *k, struct backstore_queue *q, struct backstore_io *bio)
{
	bio->io.epoch = k->epoch;
	bio->done = one_done;
	backstore_submit(k->bs, q, bio);
}

int32_t kit_submit(struct kit *k, struct backstore_queue *q, struct backstore_io *bio)
{
	int32_t result = 1;

	bio->user = &result;
	kit_start(k, q, bio);
	while (result == 1)
		kit_wait(q);
	return result;
}

int32_t kit_io(struct kit *k, uint16_t op, uint16_t flags, uint64_t offset, void *data, uint64_t len)
{
	struct director_iov iov = { data, op == DIRECTOR_COMPARE_AND_WRITE ? 2 * len : len };
	struct backstore_io *bio = mem_zalloc(sizeof(*bio));
	int32_t r;

	bio->io.op = op;
	bio->io.flags = flags;
	bio->io.offset = offset;
	bio->io.len = len;
	bio->io.iov = &iov;
	bio->io.n_iov = data ? 1 : 0;
	r = kit_submit(k, k->q, bio);
	bio->msg.next = kept;
	kept = &bio->msg;
	return r;
}

/* ---- data ---- */

void *kit_alloc(size_t n)
{
	void *p;

	if (posix_memalign(&p, 4096, n) != 0)
		kit_fail("out of memory");
	memset(p, 0, n);
	return p;
}

void kit_fill(void *p, uint32_t block_size, uint64_t block, uint32_t version)
{
	struct rng r = { block * 0x1000003u + ((uint64_t)version << 40) };
	uint64_t word = 0;
	uint32_t i;

	for (i = 0; i < block_size; i += 8) {
		if (version)
			word = rng_next(&r);
		memcpy((char *)p + i, &word, 8);
	}
}

bool kit_is(const void *p, uint32_t block_size, uint64_t block, uint32_t version)
{
	uint64_t want[4096 / 8];

	kit_fill(want, block_size, block, no_content ? 0 : version);
	return memcmp(p, want, block_size) == 0;
}
