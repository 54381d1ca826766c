/* SPDX-License-Identifier: Apache-2.0 */
/* READ, WRITE, and what else moves or orders blocks (SBC-3 section 5). */
#include "target/scsi/rw.h"

#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/sense.h"

struct range range_of(const struct task *t)
{
	const uint8_t *cdb = t->cdb;

	switch (cdb[0] >> 5) {
	case 0:
		return (struct range){ be24(cdb + 1) & 0x1fffff, cdb[4] ? cdb[4] : 256 };
	case 1:
	case 2:
		return (struct range){ be32(cdb + 2), be16(cdb + 7) };
	case 5:
		return (struct range){ be32(cdb + 2), be32(cdb + 6) };
	default:
		if (cdb[0] == 0x89)
			return (struct range){ be64(cdb + 2), cdb[13] };
		if (cdb[0] == 0x9c)
			return (struct range){ be64(cdb + 2), be16(cdb + 12) };
		return (struct range){ be64(cdb + 2), be32(cdb + 10) };
	}
}

bool range_inside(struct task *t, struct range r)
{
	uint64_t total = atomic_load_explicit(&task_lu(t)->blocks, memory_order_relaxed);

	if (r.lba >= total && (r.blocks || r.lba > total)) {
		scsi_check_info(t, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, r.lba);
		return false;
	}
	if (r.blocks > total - r.lba) {
		scsi_check_info(t, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, total);
		return false;
	}
	t->scsi.lba = r.lba;
	t->scsi.blocks = r.blocks;
	return true;
}

static uint64_t bound_blocks(const struct scsi_lu *lu, enum scsi_bound bound)
{
	switch (bound) {
	case BOUND_TRANSFER: return lu->max_transfer;
	case BOUND_SAME: return SCSI_SAME_BLOCKS_MAX;
	case BOUND_COMPARE: return lu->caw_max;
	case BOUND_ATOMIC: return lu->atomic_max;
	default: return UINT64_MAX;
	}
}

/* Where the CDB has its length. */
static unsigned length_byte(const struct task *t)
{
	switch (t->cdb[0]) {
	case 0x89: return 13;
	case 0x9c: return 12;
	}
	switch (t->scsi.row->cdb_len) {
	case 6: return 4;
	case 10: return 7;
	case 12: return 6;
	default: return 10;
	}
}

bool range_check(struct task *t, enum scsi_bound bound)
{
	struct range r = range_of(t);
	uint64_t total = atomic_load_explicit(&task_lu(t)->blocks, memory_order_relaxed);

	/* WSNZ: "from here to the end" is not offered, so that a typing error does not empty the disk. */
	if (bound == BOUND_SAME && r.blocks == 0) {
		if (r.lba >= total)
			scsi_check_info(t, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, r.lba);
		else
			scsi_bad_cdb(t, length_byte(t), -1);
		return false;
	}
	if (!range_inside(t, r))
		return false;
	if (r.blocks > bound_blocks(task_lu(t), bound)) {
		scsi_bad_cdb(t, length_byte(t), -1);
		return false;
	}
	return true;
}

uint32_t rw_flags(const struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	uint8_t bits = t->cdb[0] < 0x20 ? 0 : t->cdb[1];
	uint32_t flags = bits & 0x10 ? BLOCK_DPO : 0;

	if (bits & 0x08 || (lu->cache && !atomic_load_explicit(&lu->wce, memory_order_relaxed)))
		flags |= BLOCK_FUA;
	return flags;
}

void op_set(struct task *t, enum block_kind kind, uint64_t offset, void *p, uint64_t n, uint32_t flags)
{
	t->op.kind = kind;
	t->op.flags = flags;
	t->op.offset = offset;
	t->op.len = n;
	t->op.n_iov = p != NULL;
	t->op.iov[0] = (struct block_iov){ p, n };
}

static int good(struct task *t)
{
	return scsi_good(t);
}

int flush_then(struct task *t, int (*next)(struct task *))
{
	op_set(t, BLOCK_FLUSH, 0, NULL, 0, 0);
	t->scsi.next = next;
	return SCSI_BLOCK;
}

/* ---- READ: only the blocks that the initiator has room for are read; the residual says the rest ---- */

static int read_now(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;
	uint64_t n, whole;

	n = t->scsi.blocks * bs;
	whole = n < t->expect_in ? n : (t->expect_in + bs - 1) / bs * bs;
	if (whole == 0) {
		t->in_len = (uint32_t)n;
		return scsi_good(t);
	}
	if (task_room(t, &t->in, whole) != 0)
		return scsi_status(t, STATUS_BUSY);
	t->in_len = (uint32_t)n;
	op_set(t, BLOCK_READ, t->scsi.lba * bs, t->in.p, whole, rw_flags(t) | BLOCK_LEND);
	t->scsi.next = good;
	return SCSI_BLOCK;
}

/* SBC-3 5.8: with FUA what is read is on the medium. */
int op_read(struct task *t)
{
	bool fua = t->cdb[0] >= 0x20 && t->cdb[1] & 0x08;

	return fua && task_lu(t)->cache ? flush_then(t, read_now) : read_now(t);
}

/* ---- WRITE ---- */

int op_write(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;
	uint64_t n, have;

	n = t->scsi.blocks * bs;
	have = (n < t->out_len ? n : t->out_len) / bs * bs;
	t->out_want = (uint32_t)n;
	if (have == 0)
		return scsi_good(t);
	op_set(t, BLOCK_WRITE, t->scsi.lba * bs, t->out.p, have,
		rw_flags(t) | (t->scsi.row->bound == BOUND_ATOMIC ? BLOCK_ATOMIC : 0));
	t->scsi.next = good;
	return SCSI_BLOCK;
}

/* SBC-3 5.10: CONDITION MET says that all of it fits the cache; the page cache is not ours to promise. */
int op_prefetch(struct task *t)
{
	struct range r = range_of(t);

	if (r.blocks == 0)
		r.blocks = atomic_load(&task_lu(t)->blocks) -
			   (r.lba < atomic_load(&task_lu(t)->blocks) ? r.lba : 0);
	if (!range_inside(t, r))
		return SCSI_DONE;
	return scsi_good(t);
}

/* SBC-3 5.26: IMMED may answer before it is done; answering after is stricter and always right. */
int op_synchronize(struct task *t)
{
	op_set(t, BLOCK_FLUSH, 0, NULL, 0, 0);
	t->scsi.next = good;
	return SCSI_BLOCK;
}

/* ---- COMPARE AND WRITE, SBC-3 5.3 ---- */

static int caw_done(struct task *t)
{
	if (t->op.result != 0)
		return scsi_check_info(t, SENSE_MISCOMPARE, ASC_MISCOMPARE, t->op.at);
	return scsi_good(t);
}

int op_compare_and_write(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size, blocks = t->cdb[13];
	uint64_t n = (uint64_t)blocks * bs;

	t->out_want = (uint32_t)(2 * n);
	/* Another amount of data than both halves need was meant for another length: nothing is compared or
	 * written. */
	if (t->expect_out != 2 * n || t->out_len < 2 * n)
		return scsi_bad_cdb(t, 13, -1);
	if (blocks == 0)
		return scsi_good(t);
	op_set(t, BLOCK_COMPARE_AND_WRITE, t->scsi.lba * bs, t->out.p, n, rw_flags(t));
	t->op.iov[0].len = 2 * n;
	t->scsi.next = caw_done;
	return SCSI_BLOCK;
}

/* ---- ORWRITE, SBC-3 5.8: read, then compare-and-write what was read with the OR of it, until nobody was
 * in between. Storage with seams does that from one to the next: scsi.done is where. No bit that any ORWRITE sets is lost by
 * it, for their order does not matter ---- */

#define ORWRITE_TRIES 64

static int or_read(struct task *t);

/* No more than one COMPARE AND WRITE has: the storage may be a unit elsewhere. */
static uint64_t or_most(const struct scsi_lu *lu, uint64_t left)
{
	uint64_t most = (uint64_t)lu->caw_max * lu->block_size;

	return most && most < left ? most : left;
}

/* How much goes at once from `at` on, in bytes of the command. */
static uint64_t or_piece(const struct task *t, uint64_t at)
{
	const struct scsi_lu *lu = task_lu(t);
	uint64_t left = t->scsi.blocks * lu->block_size - at, most = or_most(lu, left), to_seam;

	if (lu->seam) {
		to_seam = lu->seam - (t->scsi.lba * lu->block_size + at) % lu->seam;
		most = most < to_seam ? most : to_seam;
	}
	return left < most ? left : most;
}

static int or_written(struct task *t)
{
	if (t->op.result == 0) {
		t->scsi.done += t->op.len;
		t->scsi.step = 0;
		return t->scsi.done < t->scsi.blocks * task_lu(t)->block_size ? or_read(t) : scsi_good(t);
	}
	if (++t->scsi.step >= ORWRITE_TRIES)
		return scsi_status(t, STATUS_BUSY);
	return or_read(t);
}

static int or_merge(struct task *t)
{
	uint64_t n = t->op.len;
	const uint8_t *bits = t->out.p + t->scsi.done;
	uint8_t *old = t->scsi.work.p, *merged = old + n;

	for (uint64_t i = 0; i < n; i++)
		merged[i] = old[i] | bits[i];
	op_set(t, BLOCK_COMPARE_AND_WRITE, t->op.offset, old, n, rw_flags(t));
	t->op.iov[0].len = 2 * n;
	t->scsi.next = or_written;
	return SCSI_BLOCK;
}

static int or_read(struct task *t)
{
	op_set(t, BLOCK_READ, t->scsi.lba * task_lu(t)->block_size + t->scsi.done, t->scsi.work.p, or_piece(t, t->scsi.done), 0);
	t->scsi.next = or_merge;
	return SCSI_BLOCK;
}

int op_orwrite(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;
	uint64_t n, most;

	n = t->scsi.blocks * bs;
	t->out_want = (uint32_t)n;
	t->scsi.blocks = (n < t->out_len ? n : t->out_len) / bs;
	if (t->scsi.blocks == 0)
		return scsi_good(t);
	t->scsi.done = 0;
	most = or_most(task_lu(t), t->scsi.blocks * bs);
	if (task_lu(t)->seam && most > task_lu(t)->seam)
		most = task_lu(t)->seam;
	if (task_room(t, &t->scsi.work, 2 * most) != 0)
		return scsi_status(t, STATUS_BUSY);
	return or_read(t);
}
