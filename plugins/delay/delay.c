/* SPDX-License-Identifier: Apache-2.0 */
/* delay: goes over another backstore and makes it slow, by so many milliseconds per operation. */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/rng.h"
#include "director/plugin.h"

struct delay {
	const struct director_host *host;
	struct director_bs *child;
	_Atomic uint32_t ms[DIRECTOR_CHECKSUM + 1];     /* by enum director_op */
	_Atomic uint32_t jitter_ms;
	_Atomic uint64_t seed;
};

#define MS(n, h) { .name = n, .type = DIRECTOR_P_DURATION, .flags = DIRECTOR_PF_LIVE, .value = "0ms", .max = 3600000, \
	.help = h }
static const struct director_param params[] = {
	MS("read", "before each read"),
	MS("write", "before each write, zeroing and compare"),
	MS("flush", "before each flush"),
	MS("discard", "before each discard"),
	MS("jitter", "up to this much more, by chance"),
	{ .name = "seed", .type = DIRECTOR_P_UINT, .value = "1", .help = "of the chance, for tests that must repeat" },
	{ .name = NULL },
};

static int delay_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static int delay_reconfigure(void *obj, const struct director_conf *conf, struct director_err *err)
{
	static const char *const by_op[] = {
		[DIRECTOR_READ] = "read", [DIRECTOR_WRITE] = "write", [DIRECTOR_FLUSH] = "flush",
		[DIRECTOR_DISCARD] = "discard", [DIRECTOR_WRITE_ZEROES] = "write",
		[DIRECTOR_COMPARE_AND_WRITE] = "write", [DIRECTOR_EXTENTS] = "read", [DIRECTOR_CHECKSUM] = "read",
	};
	struct delay *d = obj;
	unsigned op;

	for (op = DIRECTOR_READ; op <= DIRECTOR_CHECKSUM; op++)
		d->ms[op] = (uint32_t)conf->get_uint(conf, by_op[op], 0);
	d->jitter_ms = (uint32_t)conf->get_uint(conf, "jitter", 0);
	return 0;
}

static int delay_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const struct director_host *host = priv;
	struct delay *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->host = host;
	d->child = host->child(host->arg, owner, 0);
	if (!d->child) {
		free(d);
		return -EINVAL;
	}
	d->seed = conf->get_uint(conf, "seed", 1);
	delay_reconfigure(d, conf, err);
	*obj = d;
	return 0;
}

static int delay_caps(void *obj, struct director_caps *c)
{
	struct delay *d = obj;

	return d->host->child_caps(d->host->arg, d->child, c);
}

static void pass(void *arg)
{
	struct director_io *io = arg;
	struct delay *d = io->plugin[0];

	d->host->child_submit(d->host->arg, d->child, io);
}

static uint32_t choose(struct delay *d, uint16_t op)
{
	uint32_t jitter = d->jitter_ms;
	struct rng r;

	if (!jitter)
		return d->ms[op];
	r.s = atomic_fetch_add(&d->seed, 0x9e3779b97f4a7c15u);
	return d->ms[op] + (uint32_t)rng_below(&r, jitter + 1ull);
}

static void delay_submit(void *obj, struct director_io *io)
{
	struct delay *d = obj;
	uint32_t ms = choose(d, io->op);

	io->plugin[0] = d;
	if (ms == 0 || d->host->after_ms(d->host->arg, ms, pass, io) < 0)
		pass(io);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.open = delay_open,
	.caps = delay_caps,
	.submit = delay_submit,
	.reconfigure = delay_reconfigure,
	.close = free,
	.n_children = 1,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "delay", .version = "1", .license = "Apache-2.0",
	.summary = "makes another backstore slow", .params = params, .init = delay_init, .backstore = &ops);
