/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHECKSUM, vendor specific, C1h, of inner units only: the range of bytes 2 to 13, as in READ(16), is read here, and of each
 * 64 KiB from its begin on (the last may be shorter) a BLAKE2b digest of 32 bytes goes back.
 */
#include "target/scsi/ops.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

#define GROUP 65536u
#define DIGEST 32u
#define BYTES_MAX (64u << 20)

static int summed(struct task *t)
{
	uint64_t bytes = t->scsi.blocks * task_lu(t)->block_size;

	return scsi_data(t, (uint32_t)((bytes + GROUP - 1) / GROUP * DIGEST), UINT32_MAX);
}

int op_checksum(struct task *t)
{
	uint64_t bytes = t->scsi.blocks * task_lu(t)->block_size, n = (bytes + GROUP - 1) / GROUP * DIGEST;

	if (bytes > BYTES_MAX)
		return scsi_bad_cdb(t, 10, -1);
	if (bytes == 0)
		return scsi_good(t);
	if (!scsi_room(t, (uint32_t)n))
		return SCSI_DONE;
	t->op.kind = BLOCK_CHECKSUM;
	t->op.flags = 0;
	t->op.offset = t->scsi.lba * task_lu(t)->block_size;
	t->op.len = bytes;
	t->op.iov[0] = (struct block_iov){ t->in.p, n };
	t->op.n_iov = 1;
	t->scsi.next = summed;
	return SCSI_BLOCK;
}
