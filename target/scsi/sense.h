/* SPDX-License-Identifier: Apache-2.0 */
/* How a command ends, and the words that handlers share. */
#ifndef SCSI_SENSE_H
#define SCSI_SENSE_H

#include <stdint.h>
#include <string.h>

#include "target/scsi/bytes.h"
#include "target/scsi/limits.h"
#include "target/scsi/lu.h"
#include "target/scsi/op.h"
#include "target/task.h"

enum sense_key {
	SENSE_NONE = 0x0,
	SENSE_RECOVERED = 0x1,
	SENSE_NOT_READY = 0x2,
	SENSE_MEDIUM_ERROR = 0x3,
	SENSE_HARDWARE_ERROR = 0x4,
	SENSE_ILLEGAL_REQUEST = 0x5,
	SENSE_UNIT_ATTENTION = 0x6,
	SENSE_DATA_PROTECT = 0x7,
	SENSE_COPY_ABORTED = 0xa,
	SENSE_ABORTED_COMMAND = 0xb,
	SENSE_MISCOMPARE = 0xe,
	SENSE_COMPLETED = 0xf,
};

/* ASC and ASCQ in one number */
#define ASC_NONE 0x0000
#define ASC_OPERATION_IN_PROGRESS 0x0016
#define ASC_COPY_INFORMATION 0x0020
#define ASC_NOT_READY 0x0400
#define ASC_TRANSITION 0x040a
#define ASC_STANDBY 0x040b
#define ASC_UNAVAILABLE 0x040c
#define ASC_SANITIZE_IN_PROGRESS 0x041b
#define ASC_UNIT_COMMUNICATION 0x0800
#define ASC_UNREACHABLE_COPY_TARGET 0x0804
#define ASC_WRITE_ERROR 0x0c00
#define ASC_THIRD_PARTY_FAILURE 0x0d01
#define ASC_READ_ERROR 0x1100
#define ASC_PARAMETER_LIST_LENGTH 0x1a00
#define ASC_MISCOMPARE 0x1d00
#define ASC_INVALID_OPCODE 0x2000
#define ASC_LBA_OUT_OF_RANGE 0x2100
#define ASC_INVALID_FIELD_CDB 0x2400
#define ASC_LUN_NOT_SUPPORTED 0x2500
#define ASC_INVALID_FIELD_PARAMETERS 0x2600
#define ASC_INVALID_RELEASE 0x2604
#define ASC_TOO_MANY_CSCD 0x2606
#define ASC_UNSUPPORTED_CSCD_TYPE 0x2607
#define ASC_TOO_MANY_SEGMENTS 0x2608
#define ASC_UNSUPPORTED_SEGMENT_TYPE 0x2609
#define ASC_INEXACT_SEGMENT 0x260a
#define ASC_INLINE_DATA_LENGTH 0x260b
#define ASC_WRITE_PROTECTED 0x2700
#define ASC_SPACE_ALLOCATION 0x2707
#define ASC_SANITIZE_FAILED 0x3103
#define ASC_SAVING_NOT_SUPPORTED 0x3900
#define ASC_NO_MEDIUM 0x3a00
#define ASC_INTERNAL 0x4400
#define ASC_INVALID_MESSAGE 0x4900
#define ASC_PR_LOST 0x4401
#define ASC_REMOVAL_PREVENTED 0x5302
#define ASC_INSUFFICIENT_REGISTRATION 0x5504
#define ASC_INSUFFICIENT_RESOURCES 0x5503

/* All return SCSI_DONE, so that a handler can end with one of them. */
int scsi_good(struct task *t);
int scsi_status(struct task *t, enum scsi_status status);
int scsi_check(struct task *t, enum sense_key key, uint16_t asc);
/* With INFORMATION (an LBA, or an offset). */
int scsi_check_info(struct task *t, enum sense_key key, uint16_t asc, uint64_t info);
/* GOOD all the same, with sense data in the format of the unit of `of`: COMPLETED, and COMMAND-SPECIFIC INFORMATION. */
void sense_good(const struct task *of, struct task *t, uint16_t asc, uint64_t info);
/* NOT READY with a progress indication, in 65536ths (SPC-4 4.5.2.4.4). */
int scsi_check_progress(struct task *t, uint16_t asc, uint16_t progress);
/* COMMAND-SPECIFIC INFORMATION into sense that was built; returns its length. */
unsigned sense_command_info(uint8_t *sense, unsigned len, uint64_t info);
/* Sense-key specific bytes into sense that was built. */
unsigned sense_specific(uint8_t *sense, unsigned len, const uint8_t sks[3]);
/* INVALID FIELD IN CDB, or IN PARAMETER LIST, with the byte and bit (SPC-4 4.5.2.4.2). */
int scsi_bad_cdb(struct task *t, unsigned byte, int bit);
int scsi_bad_parameter(struct task *t, unsigned byte, int bit);
/* Sense bytes into `out` (TASK_SENSE_MAX); returns how many. */
unsigned sense_build(bool descriptor, enum sense_key key, uint16_t asc, const uint64_t *info, uint8_t *out);

/*
 * Data for the initiator: `n` bytes of room, zeroed, in task->in; NULL with the answer set (BUSY) if there
 * is no memory. scsi_data ends the command with n bytes, cut to the CDB's allocation length.
 */
uint8_t *scsi_room(struct task *t, uint32_t n);
int scsi_data(struct task *t, uint32_t n, uint32_t allocation);
/* The parameter list must have `n` bytes: otherwise ends the command and returns false. Sets out_want. */
bool scsi_have(struct task *t, uint32_t n);

/* How far a sanitize operation is, in 65536ths. */
static inline uint16_t sanitize_progress(const struct scsi_lu *lu)
{
	uint64_t total = atomic_load(&lu->sanitize.total), done = atomic_load(&lu->sanitize.done);

	return total ? (uint16_t)(done / (total / 65536 + 1)) : 0;
}

static inline struct scsi_lu *task_lu(const struct task *t)
{
	return t->scsi.nexus->lu;
}

#endif
