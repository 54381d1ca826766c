/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stripe: the blocks of one volume spread over several others, chunk by chunk in turn. What lies on one child is one
 * range there, however many chunks it is, so an I/O becomes at most one of each child. Nothing is kept
 * between I/Os: a child that stalls holds up what needs it, and nothing else.
 */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "director/plugin.h"
#include "plugins/common/err.h"
#include "plugins/common/slice.h"

#define CHILDREN_MAX 16
#define CHUNK_MIN (64u << 10)
#define CHUNK_MAX (16u << 20)

static const struct director_param params[] = {
	{ .name = "chunk", .type = DIRECTOR_P_SIZE, .value = "256K", .min = CHUNK_MIN, .max = CHUNK_MAX,
	  .help = "bytes that lie together on one child, a power of two; never to be changed" },
	{ .name = NULL },
};

struct stripe {
	const struct director_host *host;
	void *owner;
	unsigned n;
	uint32_t chunk;
	struct director_bs *child[CHILDREN_MAX];
	struct director_caps caps;      /* but for the size, which follows the children's */
};

struct piece {
	struct director_io io;
	struct request *request;
	unsigned child;
	struct director_err sense;
};

struct request {
	struct stripe *s;
	struct director_io *io;         /* the host's */
	struct director_iov *iov;       /* of all pieces */
	atomic_uint left;
	atomic_int result;              /* the first that failed */
	atomic_uint n_again;            /* -EAGAIN */
	unsigned n;
	struct piece piece[];
};

/* ---- where bytes lie ---- */

/* The part of [offset, offset + len) that is on child i, in its own bytes. False: none is. */
static bool part(const struct stripe *s, unsigned i, uint64_t offset, uint64_t len, uint64_t *from, uint64_t *to)
{
	uint64_t first = offset / s->chunk, last = (offset + len - 1) / s->chunk, a, b;

	a = first + (i + s->n - first % s->n) % s->n;           /* its first and last chunk of those */
	b = last - (last % s->n + s->n - i) % s->n;
	if (a > last || b < first || b > last)
		return false;
	*from = a / s->n * s->chunk + (a == first ? offset % s->chunk : 0);
	*to = b / s->n * s->chunk + (b == last ? (offset + len - 1) % s->chunk + 1 : s->chunk);
	return true;
}

/* The buffers of the chunks that lie on child i, in their order. */
static uint32_t gather(const struct stripe *s, unsigned i, const struct director_io *io, struct director_iov *to)
{
	uint64_t at = 0, in = io->offset % s->chunk, c = io->offset / s->chunk;
	uint32_t n = 0;

	for (; at < io->len; c++, in = 0) {
		uint64_t len = s->chunk - in < io->len - at ? s->chunk - in : io->len - at;

		if (c % s->n == i)
			n += slice(io, at, len, to + n);
		at += len;
	}
	return n;
}

/* ---- completion ---- */

static void sense_give(struct request *r, const struct piece *p)
{
	if (r->io->sense && r->n > 1)
		*r->io->sense = p->sense;
}

/*
 * How long the run is that begins at the offset: chunk by chunk, as long as each child's first run goes on and is of
 * the same kind.
 */
static void extents_join(struct request *r)
{
	const struct stripe *s = r->s;
	const struct piece *of[CHILDREN_MAX] = { NULL };
	uint64_t at = 0, in = r->io->offset % s->chunk, c = r->io->offset / s->chunk, from, run;
	uint32_t flags = 0;
	unsigned i;

	for (i = 0; i < r->n; i++)
		of[r->piece[i].child] = &r->piece[i];
	for (; at < r->io->len; c++, in = 0) {
		const struct piece *p = of[c % s->n];
		uint64_t len = s->chunk - in < r->io->len - at ? s->chunk - in : r->io->len - at;

		from = c / s->n * s->chunk + in - p->io.offset;
		if (at && (from >= p->io.at || p->io.flags_out != flags))
			break;
		flags = p->io.flags_out;
		run = p->io.at - from;
		at += run < len ? run : len;
		if (run < len)
			break;
	}
	r->io->at = at;
	r->io->flags_out = flags;
}

/* -EAGAIN is nothing was done: of this piece. Of another one, something was, or nobody knows. */
static int32_t joined(struct request *r)
{
	int32_t result = atomic_load(&r->result);

	return result == -EAGAIN && atomic_load(&r->n_again) < r->n ? -ENOTCONN : result;
}

static void request_end(struct request *r)
{
	const struct director_host *host = r->s->host;
	struct director_io *io = r->io;
	int result = joined(r);

	if (result == 0 && io->op == DIRECTOR_EXTENTS)
		extents_join(r);
	else if (r->n == 1)
		io->at = r->piece[0].io.at;
	free(r->iov);
	free(r);
	host->io_done(host->arg, io, result);
}

static void piece_done(struct director_io *io, int32_t result)
{
	struct piece *p = (struct piece *)io;
	struct request *r = p->request;
	int none = 0;

	if (result == -EAGAIN)
		atomic_fetch_add(&r->n_again, 1);

	if (result < 0 && atomic_compare_exchange_strong(&r->result, &none, result))
		sense_give(r, p);
	if (atomic_fetch_sub(&r->left, 1) == 1)
		request_end(r);
}

/* ---- submission ---- */

static void piece_add(struct request *r, unsigned i, uint64_t from, uint64_t to)
{
	struct piece *p = &r->piece[r->n++];
	const struct director_io *io = r->io;

	p->io = (struct director_io){ .struct_size = sizeof(p->io), .op = io->op, .flags = io->flags, .offset = from, .len = to - from,
		.iov = io->iov, .n_iov = io->n_iov, .epoch = io->epoch, .sense = io->sense, .done = piece_done };
	p->request = r;
	p->child = i;
}

/* More than one child has part of the buffers. 0 or -ENOMEM. */
static int spread(struct request *r)
{
	const struct director_io *io = r->io;
	uint64_t chunks = io->len / r->s->chunk + 2;
	struct director_iov *v;
	unsigned i;

	for (i = 0; i < r->n; i++) {
		r->piece[i].sense = (struct director_err){ .struct_size = sizeof(r->piece[i].sense) };
		r->piece[i].io.sense = io->sense ? &r->piece[i].sense : NULL;
	}
	if (!io->n_iov)
		return 0;
	v = r->iov = malloc((io->n_iov + chunks) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (i = 0; i < r->n; i++) {
		r->piece[i].io.iov = v;
		r->piece[i].io.n_iov = gather(r->s, r->piece[i].child, io, v);
		v += r->piece[i].io.n_iov;
	}
	return 0;
}

static void stripe_submit(void *obj, struct director_io *io)
{
	struct stripe *s = obj;
	struct request *r;
	uint64_t from, to;
	unsigned i, n = s->n;

	if (io->op != DIRECTOR_FLUSH && io->offset / s->chunk == (io->offset + io->len - 1) / s->chunk)
		n = 1;
	r = malloc(sizeof(*r) + n * sizeof(r->piece[0]));
	if (!r) {
		s->host->io_done(s->host->arg, io, -ENOMEM);
		return;
	}
	r->s = s;
	r->io = io;
	r->iov = NULL;
	r->n = 0;
	atomic_init(&r->result, 0);
	atomic_init(&r->n_again, 0);
	for (i = 0; i < s->n; i++)
		if (io->op == DIRECTOR_FLUSH)
			piece_add(r, i, 0, 0);
		else if (part(s, i, io->offset, io->len, &from, &to))
			piece_add(r, i, from, to);
	atomic_init(&r->left, r->n);
	if (r->n > 1 && spread(r) < 0) {
		free(r);
		s->host->io_done(s->host->arg, io, -ENOMEM);
		return;
	}
	/* The last that is done frees r, maybe before the next turn of the loop looks at it. */
	for (i = 0, n = r->n; i < n; i++) {
		struct piece *p = &r->piece[i];

		s->host->child_submit(s->host->arg, s->child[p->child], &p->io);
	}
}

/* ---- life ---- */

static int caps_join(struct stripe *s, unsigned i, struct director_err *err)
{
	static const uint32_t all = DIRECTOR_CAP_DISCARD | DIRECTOR_CAP_DISCARD_ZEROES | DIRECTOR_CAP_CAW | DIRECTOR_CAP_MULTI_WRITER;
	static const uint32_t any = DIRECTOR_CAP_READ_ONLY | DIRECTOR_CAP_VOLATILE | DIRECTOR_CAP_WRITE_CACHE | DIRECTOR_CAP_ROTATIONAL |
		DIRECTOR_CAP_NO_CONTENT;
	struct director_caps c = { .struct_size = sizeof(c) }, *sum = &s->caps;

	if (!s->child[i] || s->host->child_caps(s->host->arg, s->child[i], &c) < 0)
		return fail(err, -EINVAL, "child %u does not say what it can", i);
	if (i && c.block_size != sum->block_size)
		return fail(err, -EINVAL, "the children have blocks of different sizes");
	if (c.discard_granularity && s->chunk % c.discard_granularity)
		return fail(err, -EINVAL, "child %u discards in units of %u bytes, which a chunk of %u is no multiple of", i,
			c.discard_granularity, s->chunk);
	if (c.seam && c.seam % s->chunk)
		return fail(err, -EINVAL, "child %u has seams of its own inside of a chunk", i);
	sum->flags = i ? (sum->flags & c.flags & all) | ((sum->flags | c.flags) & any) : c.flags & (all | any);
	sum->block_size = c.block_size;
	if (c.physical_block > sum->physical_block)
		sum->physical_block = c.physical_block;
	if (c.align > sum->align)
		sum->align = c.align;
	if (c.discard_granularity > sum->discard_granularity)
		sum->discard_granularity = c.discard_granularity;
	return 0;
}

static int stripe_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj, struct director_err *err)
{
	struct stripe *s = calloc(1, sizeof(*s));
	int r = 0;

	(void)epoch;
	if (!s)
		return -ENOMEM;
	s->host = priv;
	s->owner = owner;
	s->chunk = (uint32_t)conf->get_uint(conf, "chunk", 256u << 10);
	for (; s->n < CHILDREN_MAX && r == 0 && (s->child[s->n] = s->host->child(s->host->arg, owner, s->n)) != NULL; s->n++)
		r = caps_join(s, s->n, err);
	if (r < 0) {
		free(s);
		return r;
	}
	s->caps.flags |= DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_FUA | DIRECTOR_CAP_ZERO | DIRECTOR_CAP_EXTENTS | DIRECTOR_CAP_RESIZE;
	/* Without their help the host compares here, under a lock on the whole volume, and there are no seams. */
	s->caps.seam = s->caps.flags & DIRECTOR_CAP_CAW ? s->chunk : 0;
	s->caps.optimal_io = s->chunk * s->n;
	*obj = s;
	return 0;
}

/* Whole chunks, as many on each as on the smallest. */
static uint64_t child_least(const struct stripe *s)
{
	uint64_t least = UINT64_MAX;
	unsigned i;

	for (i = 0; i < s->n; i++) {
		struct director_caps c = { .struct_size = sizeof(c) };

		if (s->host->child_caps(s->host->arg, s->child[i], &c) < 0)
			return 0;
		if (c.size < least)
			least = c.size;
	}
	return least / s->chunk * s->chunk;
}

static int stripe_caps(void *obj, struct director_caps *c)
{
	struct stripe *s = obj;
	uint32_t size = c->struct_size;

	s->caps.size = child_least(s) * s->n;
	memcpy(c, &s->caps, size < sizeof(s->caps) ? size : sizeof(s->caps));
	c->struct_size = size;
	return 0;
}

static int stripe_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct stripe *s = obj;
	uint64_t row = (uint64_t)s->chunk * s->n;
	unsigned i;
	int r = 0;

	if (size % row)
		return fail(err, -EINVAL, "the size must be a multiple of %llu bytes, a chunk on each child", (unsigned long long)row);
	/* Each step may be repeated; meanwhile the smallest child says how long it is. */
	for (i = 0; i < s->n && r == 0; i++)
		r = s->host->child_resize(s->host->arg, s->owner, i, size / s->n, err);
	return r;
}

static void stripe_close(void *obj)
{
	free(obj);
}

static int stripe_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	uint64_t chunk = conf->get_uint(conf, "chunk", 256u << 10);

	(void)priv;
	if (chunk & (chunk - 1))
		return fail(err, -EINVAL, "chunk= is no power of two");
	return 0;
}

static int stripe_init(const struct director_host *host, void **priv)
{
	if (host->struct_size <= offsetof(struct director_host, child_resize))
		return -ENOSYS;
	*priv = (void *)host;
	return 0;
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.check = stripe_check,
	.open = stripe_open,
	.caps = stripe_caps,
	.submit = stripe_submit,
	.resize = stripe_resize,
	.close = stripe_close,
	.n_children = 2,
	.n_children_max = CHILDREN_MAX,
	.children_flags = DIRECTOR_CHILDREN_KEEP_SIZE,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "stripe", .version = "1", .license = "Apache-2.0",
	.summary = "one volume spread over several", .params = params, .init = stripe_init, .backstore = &ops);
