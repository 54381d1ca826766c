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

/* What scsi_start, scsi_done and scsi_kept say. */
enum scsi_turn {
	SCSI_DONE,              /* the answer is in the task */
	SCSI_BLOCK,             /* task->op is to be done, then scsi_done */
	SCSI_LOCK,              /* scsi_locked is to be called, with the unit's lock and nothing of it being kept */
	SCSI_KEEP,              /* task->scsi.next_kept is to be made durable (and agreed), then scsi_kept */
};

#define OPF_STATE 1u            /* touches shared state of the unit: run under its owner's lock */
#define OPF_KEEP_UA 2u          /* leaves unit attentions pending (INQUIRY, REPORT LUNS, REQUEST SENSE) */
#define OPF_WRITES 4u           /* refused on a write-protected unit */
#define OPF_NO_LUN 8u           /* answered for LUNs that do not exist, too */
#define OPF_ALWAYS 16u          /* answered in every state of the unit and of its target port group */
#define OPF_STANDBY 32u         /* answered in a target port group in standby, too (SPC-4 5.15.2.4.4) */
#define OPF_KEEPS 64u           /* may end in SCSI_KEEP: one of a unit at a time */
#define OPF_THIN 256u           /* exists on thin units only, */
#define OPF_ATOMIC 512u         /* on those that write atomically, */
#define OPF_EXPLICIT 1024u      /* with explicit access state changes */
#define OPF_INNER 4096u         /* on inner units */
#define OPF_PR_LOST 8192u       /* answered while what was reserved is not known, too (SPC-4 5.13.5.3.2) */
#define OPF_NO_MEDIUM 128u      /* answered while a removable medium is out or stopped, too */

/*
 * What happens if a command is executed again because its answer was lost (session continuation):
 * READ: changes nothing. IDEMPOTENT: the same effect again. ONCE: its outcome must be known before its
 * effect.
 */
enum scsi_repeat { REPEAT_READ, REPEAT_IDEMPOTENT, REPEAT_ONCE };

/* What the CDB's range of blocks is held against before its handler runs (VPD page B0h). */
enum scsi_bound {
	BOUND_NONE,             /* it has none, or the handler looks at it */
	BOUND_UNIT,             /* inside of the unit */
	BOUND_TRANSFER,         /* and MAXIMUM TRANSFER LENGTH */
	BOUND_SAME,             /* and MAXIMUM WRITE SAME LENGTH */
	BOUND_COMPARE,          /* and MAXIMUM COMPARE AND WRITE LENGTH */
	BOUND_ATOMIC,           /* and MAXIMUM ATOMIC TRANSFER LENGTH */
};

#define SA_NONE (-1)

struct scsi_op {
	uint8_t opcode;
	int16_t sa;                     /* service action, or SA_NONE */
	uint8_t cdb_len;
	uint8_t usage[16];              /* CDB usage data (SPC-4 6.35.3): bits that may be set; CONTROL is judged apart */
	int (*start)(struct task *t);
	enum scsi_access access;
	enum scsi_bound bound;
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
/* Does this unit have it? */
bool scsi_op_offered(const struct scsi_lu *lu, const struct scsi_op *row);

/*
 * Begin a whole command. `it` is the session's view. For rows with OPF_STATE the caller holds the lock of
 * the unit; scsi_needs_lock says so beforehand.
 */
enum scsi_turn scsi_start(const struct scsi_it *it, struct task *t);
/* task->op is done: its result is in it. */
enum scsi_turn scsi_done(struct task *t);
/* The lock that SCSI_LOCK asked for is held. */
enum scsi_turn scsi_locked(struct task *t);
/* May the command end in SCSI_KEEP? Then it begins when nothing of its unit is being kept. */
bool scsi_keeps(const struct task *t);
/*
 * task->scsi.next_kept is durable (`err` 0), or it could not be made so (ERR_*) and nothing has changed.
 * With the lock of the unit.
 */
enum scsi_turn scsi_kept(struct task *t, int err);
/* The task is not gone on with (it was aborted) between two turns: what the command holds elsewhere is let go. */
void scsi_drop(struct task *t);
/* The answer of what goes on alone (scsi.early), in a task that has nothing else of it. */
void scsi_early(const struct task *t, struct task *answer);
/* What was answered early (scsi.alone) has its outcome, for good: after SCSI_DONE, or after scsi_drop. */
void scsi_over(struct task *t);
/* What SCSI_KEEP wants kept, and who is to be told. */
const struct lu_kept *scsi_proposed(const struct task *t);
const struct pr_outcome *scsi_proposed_outcome(const struct task *t);
/*
 * After a turn of `by` with scsi.background set: the work that goes on without it (a sanitize operation), in
 * `t`, a task of its own with nothing but its nexus. As scsi_start; it is never answered.
 */
enum scsi_turn scsi_background(struct task *t);
/* Other work of the kind, where units agree: the task's nexus is gone, or all are reset, and its SPC-2 reservation with it. */
enum scsi_turn scsi_nexus_lost(struct task *t);
enum scsi_turn scsi_all_reset(struct task *t);
/*
 * Neither reads nor changes the medium or what the unit keeps, and so is answered when neither is to be had. After
 * scsi_needs_lock.
 */
bool scsi_is_free(const struct task *t);
/* The task is as it was before scsi_start, for another one; its buffers are the caller's business. */
void scsi_forget(struct task *t);
/* The unit whose lock the command needs; NULL: none. Remembers the row of the CDB for scsi_start. */
struct scsi_lu *scsi_needs_lock(const struct scsi_it *it, struct task *t);

#endif
