/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plugin cannot do in one operation: one after the other, `sub` is the operation that is at the
 * plugin now. An I/O is read (to compare), then moved in pieces that the plugin takes, then flushed.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/serve/bs_host.h"

enum { AT_PLUGIN, PARKED, COMPLETED };
enum { GO = 1 };

struct emul {
	struct director_io sub;
	struct director_io *io;         /* the one that is emulated */
	struct backstore *bs;
	atomic_int where;
	int32_t result;                 /* of sub */
	enum { E_BEGIN, E_COMPARE, E_MOVE, E_FLUSH } stage;
	uint16_t op;                    /* of the pieces */
	uint64_t done;                  /* bytes of the stage */
	uint64_t piece;                 /* bytes of the longest piece */
	uint64_t skip;                  /* where the data begins in io->iov (compare-and-write: after the verify data) */
	void *bounce;                   /* NULL: the buffers of io are used in place */
	uint64_t bounce_size;
	struct director_iov *iov;       /* io->n_iov of them, for slices */
};

/* ---- data ---- */

/* The slice [at, at + len) of io->iov into e->iov; returns the number of entries. */
static uint32_t slice(struct emul *e, uint64_t at, uint64_t len)
{
	uint32_t i, n = 0;

	for (i = 0; i < e->io->n_iov && len; i++) {
		const struct director_iov *v = &e->io->iov[i];
		uint64_t take;

		if (at >= v->len) {
			at -= v->len;
			continue;
		}
		take = v->len - at < len ? v->len - at : len;
		e->iov[n++] = (struct director_iov){ (char *)v->base + at, (size_t)take };
		at = 0;
		len -= take;
	}
	return n;
}

/* Between the bounce and the caller's buffers at `at`. */
static void copy(struct emul *e, uint64_t at, uint64_t len, bool to_caller)
{
	uint32_t i, n = slice(e, at, len);
	char *b = e->bounce;

	for (i = 0; i < n; b += e->iov[i++].len) {
		if (to_caller)
			memcpy(e->iov[i].base, b, e->iov[i].len);
		else
			memcpy(b, e->iov[i].base, e->iov[i].len);
	}
}

/* The first byte where the bounce differs from the verify data at `at`; `len` if none does. */
static uint64_t differs(struct emul *e, uint64_t at, uint64_t len)
{
	uint32_t i, n = slice(e, at, len);
	const char *b = e->bounce;
	uint64_t base = 0;
	size_t k;

	for (i = 0; i < n; b += e->iov[i].len, base += e->iov[i++].len) {
		if (memcmp(b, e->iov[i].base, e->iov[i].len) == 0)
			continue;
		for (k = 0; b[k] == ((const char *)e->iov[i].base)[k]; k++)
			;
		return base + k;
	}
	return len;
}

/* ---- what comes next ---- */

static void sub_done(struct director_io *sub, int32_t result);

static int sub_set(struct emul *e, uint16_t op, uint64_t offset, uint64_t len)
{
	e->sub = (struct director_io){
		.struct_size = sizeof(e->sub), .op = op, .offset = offset, .len = len, .epoch = e->io->epoch,
		.sense = e->io->sense, .done = sub_done,
	};
	return GO;
}

static uint64_t left(const struct emul *e)
{
	uint64_t n = e->io->len - e->done;

	return n < e->piece ? n : e->piece;
}

static int next_compare(struct emul *e)
{
	uint64_t len = e->sub.len, at;

	if (e->stage == E_COMPARE) {
		at = differs(e, e->done, len);
		if (at < len) {
			e->io->at = e->done + at;
			return -EILSEQ;
		}
		e->done += len;
	}
	e->stage = E_COMPARE;
	if (e->done == e->io->len)
		return 0;
	len = left(e);
	sub_set(e, DIRECTOR_READ, e->io->offset + e->done, len);
	e->iov[e->io->n_iov] = (struct director_iov){ e->bounce, (size_t)len };
	e->sub.iov = &e->iov[e->io->n_iov];
	e->sub.n_iov = 1;
	return GO;
}

static void piece_data(struct emul *e, uint64_t len)
{
	if (e->op == DIRECTOR_DISCARD || e->op == DIRECTOR_WRITE_ZEROES)
		return;
	if (e->op == DIRECTOR_COMPARE_AND_WRITE)
		len *= 2;
	if (!e->bounce) {
		e->sub.n_iov = slice(e, e->skip + e->done, len);
		e->sub.iov = e->iov;
		return;
	}
	if (e->io->op == DIRECTOR_WRITE_ZEROES)
		e->iov[e->io->n_iov].base = e->bs->host->zero;
	else
		e->iov[e->io->n_iov].base = e->bounce;
	if (e->op != DIRECTOR_READ && e->io->op != DIRECTOR_WRITE_ZEROES)
		copy(e, e->skip + e->done, len, false);
	e->iov[e->io->n_iov].len = (size_t)len;
	e->sub.iov = &e->iov[e->io->n_iov];
	e->sub.n_iov = 1;
}

static int next_move(struct emul *e)
{
	uint64_t len = e->sub.len;

	if (e->stage == E_MOVE) {
		if (e->op == DIRECTOR_READ && e->bounce)
			copy(e, e->done, len, true);
		e->done += len;
	} else {
		e->stage = E_MOVE;
		e->done = 0;
	}
	if (e->done == e->io->len)
		return 0;
	len = left(e);
	sub_set(e, e->op, e->io->offset + e->done, len);
	e->sub.flags = e->io->flags;
	if (e->op == DIRECTOR_WRITE)
		e->sub.flags &= (uint16_t)~DIRECTOR_IOF_MAY_UNMAP;
	if (!e->bs->fua_ok)
		e->sub.flags &= (uint16_t)~DIRECTOR_IOF_FUA;
	piece_data(e, len);
	return GO;
}

/* With the result of the operation before: GO for another one in e->sub, else the end of it all. */
static int next(struct emul *e, int32_t result)
{
	bool compare = e->io->op == DIRECTOR_COMPARE_AND_WRITE && e->op == DIRECTOR_WRITE;
	int r;

	if (result < 0) {
		e->io->at = e->sub.at;
		return result;
	}
	if (compare && e->stage <= E_COMPARE) {
		r = next_compare(e);
		if (r != 0)
			return r;
	}
	if (e->stage <= E_MOVE) {
		r = next_move(e);
		if (r != 0)
			return r;
	}
	if (e->stage == E_FLUSH || !(e->io->flags & DIRECTOR_IOF_FUA) || e->bs->fua_ok || e->op == DIRECTOR_READ)
		return 0;
	e->stage = E_FLUSH;
	return sub_set(e, DIRECTOR_FLUSH, 0, 0);
}

/* ---- running ---- */

static void emul_end(struct emul *e, int32_t result)
{
	struct director_io *io = e->io;

	/* Of this piece nothing was done, of others something. */
	if (result == -EAGAIN && (e->stage == E_FLUSH || (e->stage == E_MOVE && e->done)) && e->op != DIRECTOR_READ)
		result = -ENOTCONN;

	if (e->bounce != e->bs->host->zero)
		free(e->bounce);
	free(e->iov);
	free(e);
	io->done(io, result);
}

/* One thread at a time: whoever finds the operation finished while the other is gone goes on. */
static void emul_run(struct emul *e, int32_t result)
{
	for (;;) {
		int r = next(e, result);

		if (r != GO) {
			emul_end(e, r);
			return;
		}
		atomic_store(&e->where, AT_PLUGIN);
		bs_hand(e->bs, &e->sub);
		if (atomic_exchange(&e->where, PARKED) == AT_PLUGIN)
			return;         /* sub_done goes on; e may be gone */
		result = e->result;
	}
}

static void sub_done(struct director_io *sub, int32_t result)
{
	struct emul *e = (struct emul *)sub;

	e->result = result;
	if (atomic_exchange(&e->where, COMPLETED) == PARKED)
		emul_run(e, result);
}

/* ---- choosing ---- */

static int emul_new(struct backstore *bs, struct director_io *io, struct emul **out)
{
	struct emul *e = calloc(1, sizeof(*e));
	size_t align = bs->align_mask + 1 < 4096 ? 4096 : bs->align_mask + 1;
	uint64_t bounce = 0;
	unsigned i;

	if (!e)
		return -ENOMEM;
	*out = e;
	e->io = io;
	e->bs = bs;
	e->op = io->op;
	e->piece = bs->max_io ? bs->max_io : UINT64_MAX;
	for (i = 0; i < io->n_iov; i++)
		if (((uintptr_t)io->iov[i].base | io->iov[i].len) & bs->align_mask)
			bounce = BS_ZERO_SIZE;
	if (io->op == DIRECTOR_COMPARE_AND_WRITE && (bs->native >> DIRECTOR_COMPARE_AND_WRITE & 1)) {
		/* One piece: it is atomic in the plugin. Here for a flush after it, or for its buffers. */
		e->piece = UINT64_MAX;
	} else if (io->op == DIRECTOR_COMPARE_AND_WRITE) {
		e->op = DIRECTOR_WRITE;
		e->skip = io->len;
		bounce = BS_ZERO_SIZE;
	} else if (io->op == DIRECTOR_DISCARD) {
		e->piece = bs->max_discard ? bs->max_discard & ~(uint64_t)bs->block_mask : UINT64_MAX;
	} else if (io->op == DIRECTOR_WRITE_ZEROES && !(bs->native >> DIRECTOR_WRITE_ZEROES & 1)) {
		e->op = DIRECTOR_WRITE;
		e->bounce = bs->host->zero;
		if (e->piece > BS_ZERO_SIZE)
			e->piece = BS_ZERO_SIZE;
	} else if (io->op == DIRECTOR_WRITE_ZEROES) {
		e->piece = UINT64_MAX;
	}
	e->iov = malloc((io->n_iov + 1) * sizeof(*e->iov));
	if (bounce) {
		bool whole = e->op == DIRECTOR_COMPARE_AND_WRITE;

		if (e->piece > BS_ZERO_SIZE && !whole)
			e->piece = BS_ZERO_SIZE;
		e->bounce_size = whole ? 2 * io->len : io->len < e->piece ? io->len : e->piece;
		if (posix_memalign(&e->bounce, align, (size_t)e->bounce_size) != 0)
			e->bounce = NULL;
	}
	return e->iov && (!bounce || e->bounce) ? 0 : -ENOMEM;
}

void bs_emulate(struct backstore *bs, struct director_io *io)
{
	struct emul *e = NULL;
	int r;

	if (io->op == DIRECTOR_FLUSH) {                 /* nothing is ever held back */
		io->done(io, 0);
		return;
	}
	if (io->op == DIRECTOR_EXTENTS) {               /* all of it, as far as we know */
		io->at = io->len;
		io->flags_out = 0;
		io->done(io, 0);
		return;
	}
	if (io->op == DIRECTOR_CHECKSUM) {
		bs_checksum(bs, io);
		return;
	}
	if ((io->op == DIRECTOR_DISCARD && !(bs->native >> DIRECTOR_DISCARD & 1)) ||
	    (io->op == DIRECTOR_COMPARE_AND_WRITE && !(bs->native >> DIRECTOR_COMPARE_AND_WRITE & 1) && bs->parent)) {
		/* Below the top nobody holds the range, and a filter that passes compares on knows its child's caps. */
		io->done(io, -EOPNOTSUPP);
		return;
	}
	r = emul_new(bs, io, &e);
	if (r == 0) {
		atomic_fetch_add_explicit(&bs->root->emulated, 1, memory_order_relaxed);
		emul_run(e, 0);
	} else if (e) {
		emul_end(e, r);
	} else {
		io->done(io, r);
	}
}
