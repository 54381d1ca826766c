/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail: the first MiB of what lies over it is kept behind the data below. So a store that holds a volume from its
 * first byte on becomes a leg, which keeps its metadata in front, and no byte of the volume moves:
 *
 *      over it     | head | first `at` bytes | what was added |
 *      below       | first `at` bytes | head | what was added |
 */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/leg_record.h"
#include "director/plugin.h"
#include "plugins/common/err.h"
#include "plugins/common/slice.h"

#define HEAD LEG_DATA
#define PIECES 3

static const struct director_param params[] = {
	{ .name = "at", .type = DIRECTOR_P_SIZE, .flags = DIRECTOR_PF_REQUIRED, .min = 512, .max = 1ull << 60,
	  .help = "bytes that stay in front of it; never to be changed" },
	{ .name = NULL },
};

struct tail {
	const struct director_host *host;
	void *owner;
	struct director_bs *child;
	uint64_t at;
};

struct piece {
	struct director_io io;
	struct request *request;
	struct director_err sense;
};

struct request {
	struct tail *t;
	struct director_io *io;         /* the host's */
	struct director_iov *iov;       /* of all pieces, when there are several */
	atomic_uint left;
	atomic_int result;              /* the first that failed */
	unsigned n;
	struct piece piece[PIECES];
};

/* ---- where bytes lie ---- */

/* Where `offset` is below, and how many bytes from there on follow each other there too. */
static uint64_t below(const struct tail *t, uint64_t offset, uint64_t *run)
{
	if (offset < HEAD) {
		*run = HEAD - offset;
		return t->at + offset;
	}
	if (offset < HEAD + t->at) {
		*run = HEAD + t->at - offset;
		return offset - HEAD;
	}
	*run = UINT64_MAX;
	return offset;
}

/* ---- I/O ---- */

static void request_end(struct request *r)
{
	const struct director_host *host = r->t->host;
	struct director_io *io = r->io;
	int result = atomic_load(&r->result);

	io->at = r->piece[0].io.at;
	io->flags_out = r->piece[0].io.flags_out;
	free(r->iov);
	free(r);
	host->io_done(host->arg, io, result);
}

static void piece_done(struct director_io *io, int32_t result)
{
	struct piece *p = (struct piece *)io;
	struct request *r = p->request;
	int none = 0;

	if (result < 0 && atomic_compare_exchange_strong(&r->result, &none, result) && r->io->sense && r->n > 1)
		*r->io->sense = p->sense;
	if (atomic_fetch_sub(&r->left, 1) == 1)
		request_end(r);
}

static void cut(struct request *r)
{
	const struct director_io *io = r->io;
	uint64_t done = 0, run;

	while (done < io->len) {
		struct piece *p = &r->piece[r->n++];

		p->request = r;
		p->io = (struct director_io){ .struct_size = sizeof(p->io), .op = io->op, .flags = io->flags, .iov = io->iov,
			.n_iov = io->n_iov, .epoch = io->epoch, .sense = io->sense, .done = piece_done };
		p->io.offset = below(r->t, io->offset + done, &run);
		p->io.len = run < io->len - done ? run : io->len - done;
		done += p->io.len;
		/* A run may be shorter than what was asked about. */
		if (io->op == DIRECTOR_EXTENTS)
			break;
	}
}

/* Each piece gets its part of the buffers. 0 or -ENOMEM. */
static int spread(struct request *r)
{
	const struct director_io *io = r->io;
	struct director_iov *v = NULL;
	uint64_t at = 0;
	unsigned i;

	if (io->n_iov && !(v = r->iov = malloc((io->n_iov + PIECES) * sizeof(*v))))
		return -ENOMEM;
	for (i = 0; i < r->n; i++) {
		struct piece *p = &r->piece[i];

		p->sense = (struct director_err){ .struct_size = sizeof(p->sense) };
		p->io.sense = io->sense ? &p->sense : NULL;
		if (v) {
			p->io.iov = v;
			p->io.n_iov = slice(io, at, p->io.len, v);
			v += p->io.n_iov;
		}
		at += p->io.len;
	}
	return 0;
}

static void tail_submit(void *obj, struct director_io *io)
{
	struct tail *t = obj;
	struct request *r;
	unsigned i, n;

	if (io->op == DIRECTOR_FLUSH) {
		t->host->child_submit(t->host->arg, t->child, io);
		return;
	}
	r = malloc(sizeof(*r));
	if (!r) {
		t->host->io_done(t->host->arg, io, -ENOMEM);
		return;
	}
	r->t = t;
	r->io = io;
	r->iov = NULL;
	r->n = 0;
	atomic_init(&r->result, 0);
	cut(r);
	atomic_init(&r->left, r->n);
	if (r->n > 1 && spread(r) < 0) {
		free(r);
		t->host->io_done(t->host->arg, io, -ENOMEM);
		return;
	}
	/* The last that is done frees r, maybe before the next turn of the loop looks at it. */
	for (i = 0, n = r->n; i < n; i++)
		t->host->child_submit(t->host->arg, t->child, &r->piece[i].io);
}

/* ---- life ---- */

static int tail_caps(void *obj, struct director_caps *c)
{
	struct tail *t = obj;
	int r = t->host->child_caps(t->host->arg, t->child, c);

	/* What goes over a seam is two I/Os below, so neither is one there. */
	c->flags &= ~(uint32_t)(DIRECTOR_CAP_CAW | DIRECTOR_CAP_CHECKSUM);
	return r;
}

static int tail_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj, struct director_err *err)
{
	struct director_caps c = { .struct_size = sizeof(c) };
	struct tail *t = calloc(1, sizeof(*t));
	int r;

	(void)epoch;
	if (!t)
		return -ENOMEM;
	t->host = priv;
	t->owner = owner;
	t->at = conf->get_uint(conf, "at", 0);
	t->child = t->host->child(t->host->arg, owner, 0);
	r = t->child ? t->host->child_caps(t->host->arg, t->child, &c) : -EINVAL;
	if (r == 0 && t->at % c.block_size)
		r = fail(err, -EINVAL, "at= is no multiple of the block size");
	if (r == 0 && (c.size < HEAD || c.size - HEAD < t->at))
		r = fail(err, -ENOSPC, "there are %llu bytes below, too few for %llu and what is kept behind them",
			(unsigned long long)c.size, (unsigned long long)t->at);
	if (r < 0) {
		free(t);
		return r;
	}
	*obj = t;
	return 0;
}

/* It never gets shorter than what it was made of: the head stays where it is. */
static int tail_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct tail *t = obj;

	return t->host->child_resize(t->host->arg, t->owner, 0, size < t->at + HEAD ? t->at + HEAD : size, err);
}

static void tail_close(void *obj)
{
	free(obj);
}

static int tail_init(const struct director_host *host, void **priv)
{
	if (host->struct_size <= offsetof(struct director_host, child_resize))
		return -ENOSYS;
	*priv = (void *)host;
	return 0;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.open = tail_open,
	.caps = tail_caps,
	.submit = tail_submit,
	.resize = tail_resize,
	.close = tail_close,
	.n_children = 1,
	.children_flags = DIRECTOR_CHILDREN_KEEP_SIZE,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "tail", .version = "1", .license = "Apache-2.0",
	.summary = "the first MiB is kept behind the data", .params = params, .init = tail_init, .backstore = &ops);
