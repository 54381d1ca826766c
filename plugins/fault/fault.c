/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault: goes over another backstore and makes some of its I/O fail: by chance, or after a count. All of
 * it can be changed while it is open, so a test opens a healthy disk and breaks it later.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "director/plugin.h"

enum error { FAIL_NONE, FAIL_EIO, FAIL_ENOSPC, FAIL_TIMEOUT, FAIL_STALL, FAIL_TORN };

struct rule {
	enum error error;
	uint32_t ops;                   /* 1 << enum director_op */
	uint64_t rate, after, count, from, to;
	uint32_t stall_ms;
};

struct fault {
	const struct director_host *host;
	struct director_bs *child;
	uint32_t block_size;
	pthread_mutex_t lock;           /* the rule, its counters, the generator */
	struct rule rule;
	struct rng rng;
	uint64_t seen, done;
};

#define L DIRECTOR_PF_LIVE
static const struct director_param params[] = {
	{ .name = "error", .type = DIRECTOR_P_ENUM, .flags = L, .value = "none",
	  .choices = "none eio enospc timeout stall torn",
	  .help = "what happens; stall: answered late; torn: only the first half is written, then an I/O error" },
	{ .name = "read", .type = DIRECTOR_P_BOOL, .flags = L, .value = "yes", .help = "to reads" },
	{ .name = "write", .type = DIRECTOR_P_BOOL, .flags = L, .value = "yes",
	  .help = "to writes, zeroes and compares" },
	{ .name = "flush", .type = DIRECTOR_P_BOOL, .flags = L, .value = "no", .help = "to flushes" },
	{ .name = "discard", .type = DIRECTOR_P_BOOL, .flags = L, .value = "no", .help = "to discards" },
	{ .name = "rate", .type = DIRECTOR_P_UINT, .flags = L, .value = "1000000", .max = 1000000, .unit = "per million",
	  .help = "how often, by chance" },
	{ .name = "after", .type = DIRECTOR_P_UINT, .flags = L, .value = "0", .help = "let so many pass first" },
	{ .name = "count", .type = DIRECTOR_P_UINT, .flags = L, .value = "0", .help = "only so many times; 0: for ever" },
	{ .name = "from", .type = DIRECTOR_P_SIZE, .flags = L, .value = "0", .help = "only at or after this offset" },
	{ .name = "to", .type = DIRECTOR_P_SIZE, .flags = L, .value = "0", .help = "only before this offset; 0: the end" },
	{ .name = "stall", .type = DIRECTOR_P_DURATION, .flags = L, .value = "5s", .min = 1, .max = 3600000,
	  .help = "how late the answer is with error=stall" },
	{ .name = "seed", .type = DIRECTOR_P_UINT, .value = "1", .help = "of the chance, for tests that must repeat" },
	{ .name = NULL },
};
#undef L

static int fault_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static void rule_read(const struct director_conf *c, struct rule *r)
{
	static const struct {
		const char *name;
		enum error error;
	} errors[] = { { "eio", FAIL_EIO }, { "enospc", FAIL_ENOSPC }, { "timeout", FAIL_TIMEOUT }, { "stall", FAIL_STALL },
		{ "torn", FAIL_TORN } };
	unsigned i;

	memset(r, 0, sizeof(*r));
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(c->get(c, "error"), errors[i].name) == 0)
			r->error = errors[i].error;
	if (c->get_uint(c, "read", 0))
		r->ops |= 1u << DIRECTOR_READ | 1u << DIRECTOR_EXTENTS | 1u << DIRECTOR_CHECKSUM;
	if (c->get_uint(c, "write", 0))
		r->ops |= 1u << DIRECTOR_WRITE | 1u << DIRECTOR_WRITE_ZEROES | 1u << DIRECTOR_COMPARE_AND_WRITE;
	if (c->get_uint(c, "flush", 0))
		r->ops |= 1u << DIRECTOR_FLUSH;
	if (c->get_uint(c, "discard", 0))
		r->ops |= 1u << DIRECTOR_DISCARD;
	r->rate = c->get_uint(c, "rate", 0);
	r->after = c->get_uint(c, "after", 0);
	r->count = c->get_uint(c, "count", 0);
	r->from = c->get_uint(c, "from", 0);
	r->to = c->get_uint(c, "to", 0);
	r->stall_ms = (uint32_t)c->get_uint(c, "stall", 5000);
}

static int fault_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const struct director_host *host = priv;
	struct director_caps caps = { .struct_size = sizeof(caps) };
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->host = host;
	f->child = host->child(host->arg, owner, 0);
	if (!f->child || host->child_caps(host->arg, f->child, &caps) < 0) {
		free(f);
		return -EINVAL;
	}
	f->block_size = caps.block_size;
	f->rng.s = conf->get_uint(conf, "seed", 1);
	pthread_mutex_init(&f->lock, NULL);
	rule_read(conf, &f->rule);
	*obj = f;
	return 0;
}

static int fault_reconfigure(void *obj, const struct director_conf *conf, struct director_err *err)
{
	struct fault *f = obj;

	pthread_mutex_lock(&f->lock);
	rule_read(conf, &f->rule);
	f->seen = f->done = 0;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int fault_caps(void *obj, struct director_caps *c)
{
	struct fault *f = obj;

	return f->host->child_caps(f->host->arg, f->child, c);
}

/* What is to happen to this one. */
static enum error choose(struct fault *f, const struct director_io *io, uint32_t *stall_ms)
{
	enum error e = FAIL_NONE;
	struct rule *r = &f->rule;
	bool hit;

	pthread_mutex_lock(&f->lock);
	hit = r->error != FAIL_NONE && (r->ops >> io->op & 1);
	if (io->op != DIRECTOR_FLUSH)
		hit = hit && io->offset + io->len > r->from && (!r->to || io->offset < r->to);
	if (hit && f->seen++ >= r->after && (!r->count || f->done < r->count) &&
	    rng_below(&f->rng, 1000000) < r->rate) {
		f->done++;
		e = r->error;
		*stall_ms = r->stall_ms;
	}
	pthread_mutex_unlock(&f->lock);
	return e;
}

static void pass(struct fault *f, struct director_io *io)
{
	f->host->child_submit(f->host->arg, f->child, io);
}

static void stalled(void *arg)
{
	struct director_io *io = arg;

	pass(io->plugin[0], io);
}

/* ---- torn writes ---- */

struct torn {
	struct director_io io;
	struct director_io *whole;
	struct fault *fault;
	struct director_iov iov[];
};

static void torn_done(struct director_io *io, int32_t result)
{
	struct torn *t = (struct torn *)io;
	const struct director_host *h = t->fault->host;
	struct director_io *whole = t->whole;

	free(t);
	h->io_done(h->arg, whole, -EIO);
}

static void tear(struct fault *f, struct director_io *io)
{
	uint64_t half = io->len / 2 / f->block_size * f->block_size, left = half;
	struct torn *t = calloc(1, sizeof(*t) + io->n_iov * sizeof(t->iov[0]));
	uint32_t i;

	if (!t || half == 0 || io->op != DIRECTOR_WRITE) {
		free(t);
		f->host->io_done(f->host->arg, io, -EIO);
		return;
	}
	t->whole = io;
	t->fault = f;
	t->io = (struct director_io){ .struct_size = sizeof(t->io), .op = DIRECTOR_WRITE, .flags = io->flags,
		.offset = io->offset, .len = half, .iov = t->iov, .epoch = io->epoch, .done = torn_done };
	for (i = 0; i < io->n_iov && left; i++) {
		t->iov[i] = io->iov[i];
		if (t->iov[i].len > left)
			t->iov[i].len = (size_t)left;
		left -= t->iov[i].len;
	}
	t->io.n_iov = i;
	f->host->child_submit(f->host->arg, f->child, &t->io);
}

static void fault_submit(void *obj, struct director_io *io)
{
	struct fault *f = obj;
	const struct director_host *h = f->host;
	uint32_t stall_ms = 0;

	switch (choose(f, io, &stall_ms)) {
	case FAIL_NONE:
		pass(f, io);
		return;
	case FAIL_EIO:
		h->io_done(h->arg, io, -EIO);
		return;
	case FAIL_ENOSPC:
		h->io_done(h->arg, io, -ENOSPC);
		return;
	case FAIL_TIMEOUT:
		h->io_done(h->arg, io, -ETIMEDOUT);
		return;
	case FAIL_STALL:
		io->plugin[0] = f;
		if (h->after_ms(h->arg, stall_ms, stalled, io) < 0)
			pass(f, io);
		return;
	case FAIL_TORN:
		tear(f, io);
		return;
	}
}

static void fault_close(void *obj)
{
	struct fault *f = obj;

	pthread_mutex_destroy(&f->lock);
	free(f);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.open = fault_open,
	.caps = fault_caps,
	.submit = fault_submit,
	.reconfigure = fault_reconfigure,
	.close = fault_close,
	.n_children = 1,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "fault", .version = "1", .license = "Apache-2.0",
	.summary = "makes the I/O of another backstore fail", .params = params, .init = fault_init,
	.backstore = &ops);
