/* SPDX-License-Identifier: Apache-2.0 */
/* From backstore_submit to the plugin and back: the path that every I/O takes, so it is short. */
#include "config.h"

#include <errno.h>

#include "target/serve/bs_host.h"

enum { IO_IDLE, IO_BUSY };

#define WRITES (1u << DIRECTOR_WRITE | 1u << DIRECTOR_DISCARD | 1u << DIRECTOR_WRITE_ZEROES | \
	1u << DIRECTOR_COMPARE_AND_WRITE)

/* A number that one thread writes and others may read. */
static void count_add(uint64_t *n, uint64_t by)
{
	__atomic_store_n(n, *n + by, __ATOMIC_RELAXED);
}

/* ---- any level ---- */

static uint64_t data_len(const struct director_io *io)
{
	switch (io->op) {
	case DIRECTOR_READ:
	case DIRECTOR_WRITE:
		return io->len;
	case DIRECTOR_COMPARE_AND_WRITE:
		return io->len * 2;
	case DIRECTOR_CHECKSUM:
		return (io->len + DIRECTOR_CHECKSUM_GROUP - 1) / DIRECTOR_CHECKSUM_GROUP * DIRECTOR_CHECKSUM_SIZE;
	default:
		return 0;
	}
}

/* Can this be asked at all? Sets *unaligned when the buffers do not suit the plugin. */
static int judge(const struct backstore *bs, const struct director_io *io, bool *unaligned)
{
	uint64_t size = atomic_load_explicit(&bs->size, memory_order_relaxed), sum = 0, bits = 0;
	unsigned i;

	if (unlikely(io->op < DIRECTOR_READ || io->op > DIRECTOR_CHECKSUM))
		return -EOPNOTSUPP;
	if (unlikely(bs->read_only) && (WRITES >> io->op & 1))
		return -EROFS;
	if (io->op == DIRECTOR_FLUSH)
		return 0;
	if (unlikely((io->offset | io->len) & bs->block_mask))
		return -EINVAL;
	if (unlikely(io->offset > size || io->len > size - io->offset))
		return -ERANGE;
	for (i = 0; i < io->n_iov; i++) {
		sum += io->iov[i].len;
		bits |= (uintptr_t)io->iov[i].base | io->iov[i].len;
	}
	if (unlikely(sum != data_len(io)) && data_len(io))
		return -EINVAL;
	if (unlikely(bs->seam) && (io->op == DIRECTOR_COMPARE_AND_WRITE || io->flags & BACKSTORE_IOF_ATOMIC) && io->len &&
	    io->offset / bs->seam != (io->offset + io->len - 1) / bs->seam)
		return -EINVAL;
	*unaligned = io->op != DIRECTOR_CHECKSUM && bits & bs->align_mask;
	return 0;
}

/* Does the plugin do it by itself, in one operation? */
static bool direct(const struct backstore *bs, const struct director_io *io)
{
	if (unlikely(!(bs->native >> io->op & 1)))
		return false;
	switch (io->op) {
	case DIRECTOR_WRITE:
		if (unlikely(io->flags & DIRECTOR_IOF_FUA) && !bs->fua_ok)
			return false;
		/* fallthrough */
	case DIRECTOR_READ:
		return likely(!bs->max_io || io->len <= bs->max_io);
	case DIRECTOR_WRITE_ZEROES:
	case DIRECTOR_COMPARE_AND_WRITE:
		return bs->fua_ok || !(io->flags & DIRECTOR_IOF_FUA);
	case DIRECTOR_DISCARD:
		return !bs->max_discard || io->len <= bs->max_discard;
	default:
		return true;
	}
}

void bs_hand(struct backstore *bs, struct director_io *io)
{
	struct backstore_queue *q = bs_self;

	if (unlikely(!bs->async)) {
		bs_pool_put(bs->host->pool, bs, io);
		return;
	}
	if (q && unlikely(q->host != bs->host))
		q = NULL;
	if (bs->has_fd) {
		if (unlikely(!q)) {
			bs_service_submit(bs->host->service, bs, io);
			return;
		}
		if (unlikely(!(q->polled & bs->plugin_bit)))
			bs_poll_plugin(q, bs);
	} else if (bs->takes_turns && q && q->steady && unlikely(!(q->polled & bs->plugin_bit))) {
		bs_poll_plugin(q, bs);
	}
	if (bs->has_plug && q && q->plugging)
		bs_plug_object(q, bs);
	bs->ops->submit(bs->obj, io);
}

void bs_level_submit(struct backstore *bs, struct director_io *io)
{
	bool unaligned = false;
	int r = judge(bs, io, &unaligned);

	if (unlikely(r < 0))
		io->done(io, r);
	else if (unlikely(io->len == 0 && io->op != DIRECTOR_FLUSH))
		io->done(io, 0);
	else if (likely(direct(bs, io) && !unaligned))
		bs_hand(bs, io);
	else
		bs_emulate(bs, io);
}

/* ---- the top ---- */

static void deliver(struct backstore_queue *q, struct backstore_msg *m)
{
	struct backstore_io *bio = (struct backstore_io *)((char *)m - offsetof(struct backstore_io, msg));
	struct bs_slot *s = bs_slot(q, bio->bs);
	uint16_t op = bio->io.op;

	__atomic_store_n(&s->in_flight[bio->gen], s->in_flight[bio->gen] - 1, __ATOMIC_RELAXED);
	count_add(&s->stats.ops[op & 15], 1);
	if (op == DIRECTOR_READ)
		count_add(&s->stats.read_bytes, bio->io.len);
	else if (op == DIRECTOR_WRITE)
		count_add(&s->stats.written_bytes, bio->io.len);
	if (unlikely(bio->result < 0) && bio->result != -EILSEQ)
		count_add(&s->stats.errors, 1);
	bio->done(bio, bio->result);
	if (unlikely(s->barrier != NULL))
		bs_slot_drained(q, s);
}

/* An I/O that no slot counts. */
static void deliver_bare(struct backstore_queue *q, struct backstore_msg *m)
{
	struct backstore_io *bio = (struct backstore_io *)((char *)m - offsetof(struct backstore_io, msg));

	bio->done(bio, bio->result);
}

static void finish(struct backstore_io *bio, int32_t result)
{
	bio->result = result;
	bs_post(bio->queue, &bio->msg);
}

static void refuse(struct backstore_io *bio, int32_t result)
{
	bio->refused = true;
	finish(bio, result);
}

/*
 * Was it still to be completed? Only other threads race: on the submitter's own an atomic exchange would make each
 * write of a ram disk wait for its last cache line.
 */
static bool take(struct backstore_io *bio)
{
	uint8_t was;

	if (likely(bs_self == bio->queue)) {
		was = __atomic_load_n(&bio->state, __ATOMIC_RELAXED);
		__atomic_store_n(&bio->state, IO_IDLE, __ATOMIC_RELAXED);
	} else {
		was = __atomic_exchange_n(&bio->state, IO_IDLE, __ATOMIC_RELAXED);
	}
	return was == IO_BUSY;
}

/* What io_done of the plugin at the top arrives at. */
static void top_done(struct director_io *io, int32_t result)
{
	struct backstore_io *bio = (struct backstore_io *)io;
	struct backstore *bs = bio->bs;

	if (unlikely(!take(bio))) {
		if (atomic_fetch_add(&bs->extra, 1) == 0)
			log_warn(bs->host->log, "plugin %s: it completes an I/O twice", bs->plugin->pl->p.name);
		return;
	}
	if (unlikely(bio->range))
		bs_range_release(bs, bio);
	finish(bio, result);
}

void bs_start(struct backstore_io *bio)
{
	bio->msg.run = deliver;
	bs_level_submit(bio->bs, &bio->io);
}

void bs_go_on(struct backstore *bs, struct bs_slot *s, struct backstore_io *bio)
{
	bio->msg.run = deliver;
	if (unlikely(s->special & BS_RANGED || bio->io.op == DIRECTOR_COMPARE_AND_WRITE || bio->io.flags & BACKSTORE_IOF_ATOMIC) &&
	    bs_range_needed(bs, bio->io.op))
		bs_range_submit(bs, bio);
	else
		bs_level_submit(bs, &bio->io);
}

/* May this write go? Tells reads that there are writes. */
static bool past_lent(struct backstore *bs, struct bs_slot *s, struct backstore_io *bio)
{
	if (!atomic_load_explicit(&bs->lend.written, memory_order_relaxed))
		atomic_store(&bs->lend.written, true);
	return likely(s->special & BS_COPIES) || bs_lend_write(bs, s, bio);
}

void backstore_submit(struct backstore *bs, struct backstore_queue *q, struct backstore_io *bio)
{
	struct bs_slot *s = bs_slot(q, bs);

	bio->bs = bs;
	bio->queue = q;
	bio->io.struct_size = sizeof(bio->io);
	bio->io.flags_out = 0;
	bio->refused = false;
	bio->io.done = top_done;
	bio->msg.run = deliver;
	bio->state = IO_BUSY;
	bio->range = 0;
	if (unlikely(!s)) {
		bio->result = -ENOMEM;
		bio->msg.run = deliver_bare;
		bs_post_local(q, &bio->msg);
		return;
	}
	bio->gen = s->gen;
	__atomic_store_n(&s->in_flight[s->gen], s->in_flight[s->gen] + 1, __ATOMIC_RELAXED);
	if (unlikely(bio->io.epoch < atomic_load_explicit(&bs->epoch, memory_order_relaxed)))
		refuse(bio, -ESTALE);
	else if (unlikely(s->special & BS_CLOSED))
		refuse(bio, -ESHUTDOWN);
	else if (!bs->lends || !(WRITES >> (bio->io.op & 31) & 1) || past_lent(bs, s, bio))
		bs_go_on(bs, s, bio);
}

const void *backstore_lend(struct backstore *bs, struct backstore_queue *q, uint64_t epoch, uint64_t offset,
	uint64_t len)
{
	uint64_t size = atomic_load_explicit(&bs->size, memory_order_relaxed);
	struct bs_slot *s;
	const void *p;

	if (!bs->lends)
		return NULL;
	/* Whatever is not plain gets its error, or its turn behind a compare, as a read. */
	s = bs_slot(q, bs);
	if (unlikely(!s || s->special & (uint8_t)~BS_COPIES || epoch < atomic_load_explicit(&bs->epoch, memory_order_relaxed) ||
		(offset | len) & bs->block_mask || offset > size || len > size - offset) || !bs_lend_may(bs, s))
		return NULL;
	p = bs->ops->lend(bs->obj, offset, len);
	if (p) {
		count_add(&s->stats.ops[DIRECTOR_READ], 1);
		count_add(&s->stats.read_bytes, len);
		s->lent++;
	}
	return p;
}

void backstore_sense(int32_t result, uint16_t op, uint8_t *key, uint8_t *asc, uint8_t *ascq)
{
	static const struct {
		int32_t result;
		uint8_t key, asc, ascq;
	} table[] = {
		{ -EILSEQ, 0x0e, 0x1d, 0x00 },          /* MISCOMPARE DURING VERIFY OPERATION */
		{ -ERANGE, 0x05, 0x21, 0x00 },          /* LOGICAL BLOCK ADDRESS OUT OF RANGE */
		{ -EINVAL, 0x05, 0x24, 0x00 },          /* INVALID FIELD IN CDB */
		{ -EOPNOTSUPP, 0x05, 0x20, 0x00 },      /* INVALID COMMAND OPERATION CODE */
		{ -EROFS, 0x07, 0x27, 0x00 },           /* WRITE PROTECTED */
		{ -ENOSPC, 0x07, 0x27, 0x07 },          /* SPACE ALLOCATION FAILED WRITE PROTECT */
		{ -EDQUOT, 0x07, 0x27, 0x07 },
		{ -ESTALE, 0x02, 0x04, 0x0c },          /* NOT READY, TARGET PORT IN UNAVAILABLE STATE */
		{ -ESHUTDOWN, 0x02, 0x04, 0x00 },       /* NOT READY, CAUSE NOT REPORTABLE */
		{ -ENODEV, 0x02, 0x3a, 0x00 },          /* MEDIUM NOT PRESENT */
		{ -ENXIO, 0x02, 0x3a, 0x00 },
		{ -ENOTCONN, 0x0b, 0x08, 0x00 },        /* LOGICAL UNIT COMMUNICATION FAILURE: the way below is lost */
		{ -EAGAIN, 0x0b, 0x08, 0x00 },          /* where nobody tries it again */
		{ -ECONNRESET, 0x0b, 0x08, 0x00 },
		{ -ECONNREFUSED, 0x0b, 0x08, 0x00 },
		{ -EPIPE, 0x0b, 0x08, 0x00 },
		{ -EHOSTUNREACH, 0x0b, 0x08, 0x00 },
		{ -ENETUNREACH, 0x0b, 0x08, 0x00 },
		{ -ENOMEM, 0x0b, 0x55, 0x03 },          /* INSUFFICIENT RESOURCES */
		{ -ETIMEDOUT, 0x0b, 0x08, 0x01 },       /* LOGICAL UNIT COMMUNICATION TIME-OUT */
		{ -ETIME, 0x0b, 0x08, 0x01 },
		{ -ENOLINK, 0x0b, 0x08, 0x00 },         /* LOGICAL UNIT COMMUNICATION FAILURE */
		{ -ENOTCONN, 0x0b, 0x08, 0x00 },
		{ -ECONNRESET, 0x0b, 0x08, 0x00 },
		{ -EBADE, 0x02, 0x04, 0x00 },           /* reserved by somebody else: not for the initiator to see */
		{ -EREMOTEIO, 0x04, 0x44, 0x00 },       /* INTERNAL TARGET FAILURE */
		{ -ECANCELED, 0x0b, 0x00, 0x00 },
	};
	bool writes = op == DIRECTOR_FLUSH || (op < 32 && WRITES >> op & 1);
	unsigned i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].result == result) {
			*key = table[i].key;
			*asc = table[i].asc;
			*ascq = table[i].ascq;
			return;
		}
	*key = 0x03;                                    /* MEDIUM ERROR */
	*asc = writes ? 0x0c : 0x11;                    /* WRITE ERROR, UNRECOVERED READ ERROR */
	*ascq = 0x00;
}
