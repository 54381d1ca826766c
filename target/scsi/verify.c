/* SPDX-License-Identifier: Apache-2.0 */
/* VERIFY and WRITE AND VERIFY (SBC-3 5.29, 5.37): what is on the medium, compared with data or merely read.
 */
#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

enum { BYTCHK_NONE = 0, BYTCHK_ALL = 1, BYTCHK_ONE = 3 };

static unsigned bytchk(const struct task *t)
{
	return t->cdb[1] >> 1 & 3;
}

static int verify_next(struct task *t);

/* The first byte that differs, as an offset into the data-out; -1: none. */
static int64_t compare(const struct task *t, uint64_t n)
{
	uint32_t bs = task_lu(t)->block_size;

	for (uint64_t at = 0; at < n; at += bs) {
		const uint8_t *want = t->out.p + (bytchk(t) == BYTCHK_ONE ? 0 : t->scsi.done + at);

		if (memcmp(t->scsi.work.p + at, want, bs) == 0)
			continue;
		for (uint32_t i = 0; ; i++)
			if (t->scsi.work.p[at + i] != want[i])
				return want + i - t->out.p;
	}
	return -1;
}

static int verify_read(struct task *t)
{
	int64_t at = bytchk(t) == BYTCHK_NONE ? -1 : compare(t, t->op.len);

	if (at >= 0)
		return scsi_check_info(t, SENSE_MISCOMPARE, ASC_MISCOMPARE, (uint64_t)at);
	t->scsi.done += t->op.len;
	return verify_next(t);
}

/* Read the next chunk, until scsi.blocks are verified; scsi.done counts bytes. */
static int verify_next(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;
	uint64_t left = t->scsi.blocks * bs - t->scsi.done, n = left < SCSI_CHUNK ? left : SCSI_CHUNK;

	if (left == 0)
		return scsi_good(t);
	if (!t->scsi.work.cap && task_room(t, &t->scsi.work, n) != 0)
		return scsi_status(t, STATUS_BUSY);
	op_set(t, BLOCK_READ, t->scsi.lba * bs + t->scsi.done, t->scsi.work.p, n, 0);
	t->scsi.next = verify_read;
	return SCSI_BLOCK;
}

/* SBC-3 5.29: it is the medium that is verified, not the cache. */
static int verify_medium(struct task *t)
{
	return task_lu(t)->cache && t->scsi.blocks ? flush_then(t, verify_next) : verify_next(t);
}

/* Compared bytes that did not come cannot be compared: verify the whole blocks that did (the residual says
 * so). */
static void cut_to_data(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;

	if (t->out_len / bs < t->scsi.blocks)
		t->scsi.blocks = t->out_len / bs;
}

int op_verify(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;

	if (bytchk(t) == 2)
		return scsi_bad_cdb(t, 1, 2);
	if (bytchk(t) == BYTCHK_ALL && t->scsi.blocks > task_lu(t)->max_transfer)
		return scsi_bad_cdb(t, t->scsi.row->cdb_len == 16 ? 10 : t->scsi.row->cdb_len == 12 ? 6 : 7, -1);
	if (t->scsi.blocks == 0 || bytchk(t) == BYTCHK_NONE)
		return verify_medium(t);
	t->out_want = bytchk(t) == BYTCHK_ONE ? bs : (uint32_t)(t->scsi.blocks * bs);
	if (bytchk(t) == BYTCHK_ALL)
		cut_to_data(t);
	else if (t->out_len < bs)
		return scsi_bad_cdb(t, 1, 2);
	return verify_medium(t);
}

static int written(struct task *t)
{
	t->scsi.done = 0;
	return verify_next(t);
}

int op_write_verify(struct task *t)
{
	uint32_t bs = task_lu(t)->block_size;

	if (bytchk(t) > BYTCHK_ALL)
		return scsi_bad_cdb(t, 1, 2);
	t->out_want = (uint32_t)(t->scsi.blocks * bs);
	cut_to_data(t);
	if (t->scsi.blocks == 0)
		return scsi_good(t);
	/* It is to be verified on the medium: stable first. */
	op_set(t, BLOCK_WRITE, t->scsi.lba * bs, t->out.p, t->scsi.blocks * bs, BLOCK_FUA);
	t->scsi.next = written;
	return SCSI_BLOCK;
}
