/* SPDX-License-Identifier: Apache-2.0 */
/* WRITE SAME and UNMAP (SBC-3 5.44 to 5.46, 5.28). */
#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

static int good(struct task *t)
{
	return scsi_good(t);
}

static bool all_zero(const uint8_t *p, uint32_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* ---- WRITE SAME ---- */

static int pattern_next(struct task *t);

static int pattern_written(struct task *t)
{
	t->scsi.done += t->op.len;
	return pattern_next(t);
}

static int pattern_next(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;
	uint64_t left = t->scsi.blocks * bs - t->scsi.done;

	if (left == 0)
		return scsi_good(t);
	op_set(t, BLOCK_WRITE, t->scsi.lba * bs + t->scsi.done, t->scsi.work.p,
		left < SCSI_CHUNK ? left : SCSI_CHUNK, rw_flags(t) & BLOCK_FUA);
	t->scsi.next = pattern_written;
	return SCSI_BLOCK;
}

static int pattern(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;
	uint64_t n = t->scsi.blocks * bs;

	if (n > SCSI_CHUNK)
		n = SCSI_CHUNK;
	if (task_room(t, &t->scsi.work, n) != 0)
		return scsi_status(t, STATUS_BUSY);
	for (uint64_t at = 0; at < n; at += bs)
		memcpy(t->scsi.work.p + at, t->out.p, bs);
	return pattern_next(t);
}

int op_write_same(struct task *t)
{
	bool unmap = t->cdb[1] & 0x08, ndob = t->cdb[0] == 0x93 && t->cdb[1] & 0x01;
	uint32_t bs = task_lu(t)->block_size;
	bool anchor = t->cdb[1] & 0x10;

	if (unmap && !task_lu(t)->thin)
		return scsi_bad_cdb(t, 1, 3);
	if (anchor && !unmap)
		return scsi_bad_cdb(t, 1, 4);   /* SBC-3 5.44: ANCHOR without UNMAP */
	t->out_want = ndob ? 0 : bs;
	/* One block, neither less nor more: another length was meant for another command. */
	if (t->expect_out != t->out_want || t->out_len < t->out_want)
		return scsi_bad_cdb(t, t->scsi.row->cdb_len == 16 ? 10 : 7, -1);
	if (!ndob && !all_zero(t->out.p, bs))
		return pattern(t);
	/* Anchored blocks keep their space: zeroes that are not deallocated. */
	op_set(t, BLOCK_WRITE_ZEROES, t->scsi.lba * bs, NULL, t->scsi.blocks * bs,
		(rw_flags(t) & BLOCK_FUA) | (unmap && !anchor ? BLOCK_MAY_UNMAP : 0));
	t->scsi.next = good;
	return SCSI_BLOCK;
}

/* ---- UNMAP: scsi.step is the next descriptor ---- */

static const uint8_t *descriptor(const struct task *t, uint32_t i)
{
	return t->out.p + 8 + 16 * i;
}

static int unmap_next(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	uint32_t bs = lu->block_size;

	while (t->scsi.step < t->scsi.done) {
		const uint8_t *d = descriptor(t, t->scsi.step++);
		uint64_t blocks = be32(d + 8);

		if (!blocks)
			continue;
		op_set(t, t->cdb[1] & 0x01 ? BLOCK_WRITE_ZEROES : BLOCK_DISCARD, be64(d) * bs, NULL, blocks * bs, 0);
		t->scsi.next = unmap_next;
		return SCSI_BLOCK;
	}
	/* Without a write cache it is to stay unmapped whatever happens, as a write would stay. */
	return lu->cache && !atomic_load(&lu->wce) && t->scsi.done ? flush_then(t, good) : scsi_good(t);
}

int op_unmap(struct task *t)
{
	uint32_t list = be16(t->cdb + 7), n;
	uint64_t total = atomic_load(&task_lu(t)->blocks), sum = 0;

	if (list == 0)
		return scsi_good(t);
	if (!scsi_have(t, list))
		return SCSI_DONE;
	if (list < 8)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	n = be16(t->out.p + 2);
	if (n > list - 8)
		n = list - 8;
	n /= 16;
	if (n > SCSI_UNMAP_RANGES_MAX)
		return scsi_bad_parameter(t, 2, -1);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t lba = be64(descriptor(t, i)), blocks = be32(descriptor(t, i) + 8);

		if (lba > total || blocks > total - lba)
			return scsi_check_info(t, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, lba);
		sum += blocks;
	}
	if (sum > SCSI_UNMAP_BLOCKS_MAX)
		return scsi_bad_parameter(t, 8, -1);
	t->scsi.done = n;
	t->scsi.step = 0;
	return unmap_next(t);
}
