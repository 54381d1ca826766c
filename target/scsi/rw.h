/* SPDX-License-Identifier: Apache-2.0 */
/* What all commands that name a range of blocks share. */
#ifndef SCSI_RW_H
#define SCSI_RW_H

#include <stdbool.h>
#include <stdint.h>

#include "target/scsi/op.h"

struct range {
	uint64_t lba, blocks;
};

/* LBA and TRANSFER LENGTH of a 6, 10, 12 or 16 byte CDB. */
struct range range_of(const struct task *t);
/* Is the range inside the unit? Into task->scsi.{lba,blocks}; else ends the command and returns false. SBC-3 4.5. */
bool range_inside(struct task *t, struct range r);
/* The same with the range of the CDB, and the bound of the row. */
bool range_check(struct task *t, enum scsi_bound bound);
/* BLOCK_FUA if the CDB's FUA bit is set, or the write cache is off; BLOCK_DPO. */
uint32_t rw_flags(const struct task *t);
/* What was written before becomes stable, then `next`. */
int flush_then(struct task *t, int (*next)(struct task *));
/* Prepare one operation over `n` bytes of memory. */
void op_set(struct task *t, enum block_kind kind, uint64_t offset, void *p, uint64_t n, uint32_t flags);

#endif
