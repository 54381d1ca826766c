/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The opcode table: what dispatches commands, checks their CDBs and reservations, answers REPORT SUPPORTED
 * OPERATION CODES, and will say how a command may be repeated after a takeover. A command that is not in it
 * does not exist.
 */
#ifndef SCSI_OP_H
#define SCSI_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "target/scsi/lu.h"
#include "target/task.h"

/* What scsi_start and scsi_done say. */
enum scsi_turn {
	SCSI_DONE,              /* the answer is in the task */
	SCSI_BLOCK,             /* task->op is to be done, then scsi_done */
};

#define OPF_STATE 1u            /* touches shared state of the unit: run under its owner's lock */
#define OPF_KEEP_UA 2u          /* leaves unit attentions pending (INQUIRY, REPORT LUNS, REQUEST SENSE) */
#define OPF_WRITES 4u           /* refused on a write-protected unit */
#define OPF_NO_LUN 8u           /* answered for LUNs that do not exist, too */

/*
 * What happens if a command is executed again because its answer was lost (session continuation):
 * READ: changes nothing. IDEMPOTENT: the same effect again. ONCE: its outcome must be known before its
 * effect.
 */
enum scsi_repeat { REPEAT_READ, REPEAT_IDEMPOTENT, REPEAT_ONCE };

#define SA_NONE (-1)

struct scsi_op {
	uint8_t opcode;
	int16_t sa;                     /* service action, or SA_NONE */
	uint8_t cdb_len;
	uint8_t usage[16];              /* CDB usage data (SPC-4 6.35.3): bits that may be set; CONTROL is judged apart */
	int (*start)(struct task *t);
	enum scsi_access access;
	unsigned flags;
	enum scsi_repeat repeat;
	const char *name;
};

extern const struct scsi_op scsi_ops[];
extern const unsigned scsi_n_ops;

/*
 * The row of a CDB; NULL: none. *opcode_known: some row has this opcode (then only the service action is
 * unknown).
 */
const struct scsi_op *scsi_op_find(const uint8_t *cdb, bool *opcode_known);
const struct scsi_op *scsi_op_row(uint8_t opcode, int sa);

/*
 * Begin a whole command. `it` is the session's view. For rows with OPF_STATE the caller holds the lock of
 * the unit; scsi_needs_lock says so beforehand.
 */
enum scsi_turn scsi_start(const struct scsi_it *it, struct task *t);
/* task->op is done: its result is in it. */
enum scsi_turn scsi_done(struct task *t);
/* The unit whose lock the command needs; NULL: none. */
struct scsi_lu *scsi_needs_lock(const struct scsi_it *it, const struct task *t);

#endif
