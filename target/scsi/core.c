/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a CDB to a handler: LUN, row, unit attention, reservation, CDB bits, write protection, in the order
 * of SAM-5 5.15 and SPC-4; and back from block operations.
 */
#include <string.h>

#include "target/scsi/copy.h"
#include "target/scsi/op.h"
#include "target/scsi/ops.h"
#include "target/scsi/reserve.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

#define CONTROL_NACA 0x04

static const uint16_t attentions[UA_N] = {
#define UA_CODE(name, asc, ascq) [name] = (asc) << 8 | (ascq),
	UA_TABLE(UA_CODE)
#undef UA_CODE
};

/* First row of the opcode, or NULL. */
static const struct scsi_op *first_row(uint8_t opcode)
{
	unsigned lo = 0, hi = scsi_n_ops;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (scsi_ops[mid].opcode < opcode)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < scsi_n_ops && scsi_ops[lo].opcode == opcode ? &scsi_ops[lo] : NULL;
}

const struct scsi_op *scsi_op_row(uint8_t opcode, int sa)
{
	for (const struct scsi_op *row = first_row(opcode);
		row && row < scsi_ops + scsi_n_ops && row->opcode == opcode; row++)
		if (row->sa == sa)
			return row;
	return NULL;
}

const struct scsi_op *scsi_op_find(const uint8_t *cdb, bool *opcode_known)
{
	const struct scsi_op *row = first_row(cdb[0]);

	*opcode_known = row != NULL;
	if (!row || row->sa == SA_NONE)
		return row;
	return scsi_op_row(cdb[0], cdb[1] & 0x1f);
}

/* The first CDB bit that is set and may not be: reports it and returns true. */
static bool cdb_refused(struct task *t, const struct scsi_op *row)
{
	unsigned last = row->cdb_len - 1u;

	for (unsigned i = 1; i < last; i++) {
		uint8_t bad = t->cdb[i] & (uint8_t)~row->usage[i];
		int bit = 7;

		if (!bad)
			continue;
		while (!(bad >> bit & 1))
			bit--;
		scsi_bad_cdb(t, i, bit);
		return true;
	}
	if (t->cdb[last] & CONTROL_NACA) {
		scsi_bad_cdb(t, last, 2);
		return true;
	}
	return false;
}

static bool attention(struct task *t, struct scsi_nexus *n)
{
	uint32_t pending = atomic_load_explicit(&n->ua, memory_order_relaxed);

	for (unsigned i = 0; pending && i < UA_N; i++)
		if (pending >> i & 1) {
			atomic_fetch_and(&n->ua, ~(1u << i));
			scsi_check(t, SENSE_UNIT_ATTENTION, attentions[i]);
			return true;
		}
	return false;
}

static enum scsi_turn no_lun(struct task *t, const struct scsi_op *row)
{
	if (!row || !(row->flags & OPF_NO_LUN))
		return (enum scsi_turn)scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
	if (row->start == op_inquiry)
		return (enum scsi_turn)inquiry_no_lun(t);
	return (enum scsi_turn)row->start(t);
}

bool scsi_op_offered(const struct scsi_lu *lu, const struct scsi_op *row)
{
	return !((row->flags & OPF_KEEPS && lu->inner) || (row->flags & OPF_THIN && !lu->thin) || (row->flags & OPF_ATOMIC && !lu->atomic_max) ||
		 (row->flags & OPF_EXPLICIT && !lu->alua.explicit_ok) || (row->flags & OPF_INNER && !lu->inner));
}

/* SPC-4 5.13.5.2 says what may be asked of a unit that does not know what was reserved. */
static bool lost_allows(const struct task *t, const struct scsi_op *row)
{
	if (row->opcode == 0x1b)
		return (t->cdb[4] & 0xf1) == 0x01;      /* to start, not to stop or eject */
	return row->flags & OPF_PR_LOST;
}

/* What reservations say of two commands depends on what they ask for (SBC-3 table 13). */
static enum scsi_access access_of(const struct task *t, const struct scsi_op *row)
{
	bool harmless = (row->start == op_start_stop && (t->cdb[4] & 0xf1) == 0x01) ||
			(row->start == op_prevent_allow && (t->cdb[4] & 0x03) == 0);

	return harmless ? ACCESS_READY : row->access;
}

/* Does a state of the unit or of its target port group stand in the way, or a reservation? Then it is said. */
static bool gate_shut(struct task *t, const struct scsi_op *row, uint32_t gate)
{
	bool always = row->flags & OPF_ALWAYS, medium = row->flags & OPF_NO_MEDIUM;

	if (gate & GATE_TRANSITION && !always)
		scsi_check(t, SENSE_NOT_READY, ASC_TRANSITION);
	else if (gate & GATE_UNAVAILABLE && !always)
		scsi_check(t, SENSE_NOT_READY, ASC_UNAVAILABLE);
	else if (gate & GATE_STANDBY && !always && !(row->flags & OPF_STANDBY))
		scsi_check(t, SENSE_NOT_READY, ASC_STANDBY);
	else if (gate >> access_of(t, row) & 1)
		scsi_status(t, STATUS_RESERVATION_CONFLICT);
	else if (gate & GATE_PR_LOST && !lost_allows(t, row))
		scsi_check(t, SENSE_DATA_PROTECT, ASC_PR_LOST);
	else if (gate & GATE_SANITIZE && !always)
		scsi_check_progress(t, ASC_SANITIZE_IN_PROGRESS, sanitize_progress(task_lu(t)));
	else if (gate & GATE_SANITIZE_FAILED && !always && row->opcode != 0x48)
		scsi_check(t, SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
	else if (gate & GATE_NO_MEDIUM && !medium)
		scsi_check(t, SENSE_NOT_READY, ASC_NO_MEDIUM);
	else
		return false;
	return true;
}

/* The command does not exist here. */
static int scsi_no_op(struct task *t, const struct scsi_op *row)
{
	return row->sa == SA_NONE ? scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE)
				  : scsi_bad_cdb(t, 1, 4);
}

enum scsi_turn scsi_start(const struct scsi_it *it, struct task *t)
{
	struct scsi_nexus *n = it_nexus(it, t->lun);
	bool known = true;
	/* scsi_needs_lock has found it, if there is one. */
	const struct scsi_op *row = t->scsi.row ? t->scsi.row : scsi_op_find(t->cdb, &known);
	uint32_t gate;

	t->scsi.nexus = n;
	t->scsi.it = it;
	t->scsi.row = row;
	/* SPC-4 4.5.5: CONTROL's place depends on the length, so the row comes first. */
	if (!n)
		return no_lun(t, row);
	/* SAM-5 8.6.5: there is never an ACA condition (NACA is refused), so no command can be for one. */
	if (t->attr == TASK_ACA)
		return (enum scsi_turn)scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_MESSAGE);
	if (atomic_load_explicit(&n->ua, memory_order_relaxed) && !(row && row->flags & OPF_KEEP_UA) &&
		attention(t, n))
		return SCSI_DONE;
	if (!row)
		return (enum scsi_turn)(known ? scsi_bad_cdb(t, 1, 4)
					      : scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE));
	if (row->flags & (OPF_THIN | OPF_ATOMIC | OPF_EXPLICIT | OPF_INNER) && !scsi_op_offered(n->lu, row))
		return (enum scsi_turn)scsi_no_op(t, row);
	gate = atomic_load_explicit(&n->gate, memory_order_acquire);
	if (gate && gate_shut(t, row, gate))
		return SCSI_DONE;
	if (cdb_refused(t, row))
		return SCSI_DONE;
	if (row->flags & OPF_WRITES && nexus_protected(n))
		return (enum scsi_turn)scsi_check(t, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
	if (row->bound != BOUND_NONE && !range_check(t, row->bound))
		return SCSI_DONE;
	return (enum scsi_turn)row->start(t);
}

/* What a failed block operation is called in sense data. */
static enum scsi_turn block_failed(struct task *t)
{
	const struct block_op *op = &t->op;
	const struct scsi_lu *lu = op->nexus ? op->nexus->lu : task_lu(t);
	uint64_t lba = op->offset / lu->block_size;
	bool writes = op->kind != BLOCK_READ && op->kind != BLOCK_EXTENTS && op->kind != BLOCK_CHECKSUM;

	if (op->key)
		return (enum scsi_turn)scsi_check_info(t, (enum sense_key)op->key,
			(uint16_t)(op->asc << 8 | op->ascq), lba);
	return (enum scsi_turn)scsi_check_info(t, SENSE_MEDIUM_ERROR,
		writes ? ASC_WRITE_ERROR : ASC_READ_ERROR, lba);
}

enum scsi_turn scsi_done(struct task *t)
{
	/* A miscompare is an outcome that the handler may want to judge itself; so are failures of copies. */
	bool miscompare = t->op.kind == BLOCK_COMPARE_AND_WRITE && t->op.key == SENSE_MISCOMPARE;

	if (t->op.result != 0 && !miscompare && !t->scsi.judges)
		return block_failed(t);
	return (enum scsi_turn)t->scsi.next(t);
}

enum scsi_turn scsi_locked(struct task *t)
{
	return (enum scsi_turn)t->scsi.next(t);
}

bool scsi_keeps(const struct task *t)
{
	bool known;
	const struct scsi_op *row = scsi_op_find(t->cdb, &known);

	return row && row->flags & OPF_KEEPS;
}

enum scsi_turn scsi_background(struct task *t)
{
	return (enum scsi_turn)sanitize_background(t);
}

bool scsi_is_free(const struct task *t)
{
	const struct scsi_op *row = t->scsi.row;

	return !row || row->access == ACCESS_FREE || row->access == ACCESS_READY || row->start == op_mode_sense;
}

void scsi_forget(struct task *t)
{
	memset(&t->scsi, 0, sizeof(t->scsi));
	t->op.nexus = NULL;
	t->op.result = 0;
	t->op.n_iov = 0;
	t->status = STATUS_GOOD;
	t->sense_len = 0;
	t->in_len = t->out_want = 0;
}

enum scsi_turn scsi_nexus_lost(struct task *t)
{
	return (enum scsi_turn)reserve_lost(t);
}

enum scsi_turn scsi_all_reset(struct task *t)
{
	return (enum scsi_turn)reserve_reset(t);
}

void scsi_drop(struct task *t)
{
	if (t->scsi.drop)
		t->scsi.drop(t);
}

void scsi_early(const struct task *t, struct task *answer)
{
	copy_early(t, answer);
}

void scsi_over(struct task *t)
{
	copy_over(t);
}

struct scsi_lu *scsi_needs_lock(const struct scsi_it *it, struct task *t)
{
	bool known;
	const struct scsi_op *row = scsi_op_find(t->cdb, &known);
	struct scsi_nexus *n;

	t->scsi.row = row;
	if (!row || !(row->flags & OPF_STATE))
		return NULL;
	n = it_nexus(it, t->lun);
	return n ? n->lu : NULL;
}
