/* SPDX-License-Identifier: Apache-2.0 */
/* How a command ends, and the words that handlers share. */
#ifndef SCSI_SENSE_H
#define SCSI_SENSE_H

#include <stdint.h>
#include <string.h>

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
	SENSE_ABORTED_COMMAND = 0xb,
	SENSE_MISCOMPARE = 0xe,
};

/* ASC and ASCQ in one number */
#define ASC_NONE 0x0000
#define ASC_NOT_READY 0x0400
#define ASC_WRITE_ERROR 0x0c00
#define ASC_READ_ERROR 0x1100
#define ASC_PARAMETER_LIST_LENGTH 0x1a00
#define ASC_MISCOMPARE 0x1d00
#define ASC_INVALID_OPCODE 0x2000
#define ASC_LBA_OUT_OF_RANGE 0x2100
#define ASC_INVALID_FIELD_CDB 0x2400
#define ASC_LUN_NOT_SUPPORTED 0x2500
#define ASC_INVALID_FIELD_PARAMETERS 0x2600
#define ASC_INVALID_RELEASE 0x2604
#define ASC_WRITE_PROTECTED 0x2700
#define ASC_SPACE_ALLOCATION 0x2707
#define ASC_SAVING_NOT_SUPPORTED 0x3900
#define ASC_INTERNAL 0x4400
#define ASC_INSUFFICIENT_REGISTRATION 0x5504
#define ASC_INSUFFICIENT_RESOURCES 0x5503

/* All return SCSI_DONE, so that a handler can end with one of them. */
int scsi_good(struct task *t);
int scsi_status(struct task *t, enum scsi_status status);
int scsi_check(struct task *t, enum sense_key key, uint16_t asc);
/* With INFORMATION (an LBA, or an offset). */
int scsi_check_info(struct task *t, enum sense_key key, uint16_t asc, uint64_t info);
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

static inline struct scsi_lu *task_lu(const struct task *t)
{
	return t->scsi.nexus->lu;
}

static inline uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | be16(p + 1);
}

static inline uint32_t be32(const uint8_t *p)
{
	return be16(p) << 16 | be16(p + 2);
}

static inline uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static inline void set16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void set32(uint8_t *p, uint32_t v)
{
	set16(p, v >> 16);
	set16(p + 2, v);
}

static inline void set64(uint8_t *p, uint64_t v)
{
	set32(p, (uint32_t)(v >> 32));
	set32(p + 4, (uint32_t)v);
}

#endif
