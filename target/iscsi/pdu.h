/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PDUs as bytes: the basic header segment of RFC 7143 section 11, and one table that says what is known of
 * each opcode. Offsets are those of the RFC's figures.
 */
#ifndef ISCSI_PDU_H
#define ISCSI_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BHS_LEN 48
#define AHS_MAX 1020                    /* TotalAHSLength is one byte of words */
#define DIGEST_LEN 4
#define PDU_HEADER_MAX (BHS_LEN + AHS_MAX + DIGEST_LEN)
#define PDU_DATA_MAX 0xffffffu          /* DataSegmentLength has 24 bits */
#define TAG_NONE 0xffffffffu            /* the reserved ITT and TTT */

enum pdu_op {
	PDU_NOP_OUT = 0x00,
	PDU_SCSI_COMMAND = 0x01,
	PDU_TASK_MGMT = 0x02,
	PDU_LOGIN = 0x03,
	PDU_TEXT = 0x04,
	PDU_DATA_OUT = 0x05,
	PDU_LOGOUT = 0x06,
	PDU_SNACK = 0x10,
	PDU_NOP_IN = 0x20,
	PDU_SCSI_RESPONSE = 0x21,
	PDU_TASK_MGMT_RESPONSE = 0x22,
	PDU_LOGIN_RESPONSE = 0x23,
	PDU_TEXT_RESPONSE = 0x24,
	PDU_DATA_IN = 0x25,
	PDU_LOGOUT_RESPONSE = 0x26,
	PDU_R2T = 0x31,
	PDU_ASYNC = 0x32,
	PDU_REJECT = 0x3f,
};

/* Byte 0 */
#define PDU_IMMEDIATE 0x40u
#define PDU_OPCODE_MASK 0x3fu
/* Byte 1 */
#define PDU_FINAL 0x80u
#define CMD_READ 0x40u                  /* SCSI Command, 11.3.1 */
#define CMD_WRITE 0x20u
#define CMD_ATTR_MASK 0x07u
#define RSP_BIDI_OVERFLOW 0x10u         /* SCSI Response, 11.4.1 */
#define RSP_BIDI_UNDERFLOW 0x08u
#define RSP_OVERFLOW 0x04u              /* also Data-In */
#define RSP_UNDERFLOW 0x02u
#define DATA_IN_ACK 0x40u               /* Data-In, 11.7.1 */
#define DATA_IN_STATUS 0x01u
#define LOGIN_TRANSIT 0x80u             /* Login, 11.12 */
#define LOGIN_CONTINUE 0x40u            /* also Text */

/* Reject reasons, 11.17.1 */
enum reject_reason {
	REJECT_DATA_DIGEST = 0x02,
	REJECT_SNACK = 0x03,
	REJECT_PROTOCOL = 0x04,
	REJECT_NOT_SUPPORTED = 0x05,
	REJECT_IMMEDIATE = 0x06,
	REJECT_TASK_IN_PROGRESS = 0x07,
	REJECT_INVALID_DATA_ACK = 0x08,
	REJECT_INVALID_FIELD = 0x09,
	REJECT_LONG_OPERATION = 0x0a,
	REJECT_NEGOTIATION_RESET = 0x0b,
	REJECT_WAITING_FOR_LOGOUT = 0x0c,
};

/* Asynchronous events, 11.9.1 */
enum async_event {
	ASYNC_SENSE = 0,
	ASYNC_LOGOUT = 1,
	ASYNC_CONNECTION_DROPS = 2,
	ASYNC_SESSION_DROPS = 3,
	ASYNC_NEGOTIATE = 4,
	ASYNC_TASKS_TERMINATED = 5,
};

/* Task management functions and responses, 11.5.1 and 11.6.1 */
enum tmf_function {
	TMF_ABORT_TASK = 1,
	TMF_ABORT_TASK_SET,
	TMF_CLEAR_ACA,
	TMF_CLEAR_TASK_SET,
	TMF_LU_RESET,
	TMF_TARGET_WARM_RESET,
	TMF_TARGET_COLD_RESET,
	TMF_TASK_REASSIGN,
	TMF_QUERY_TASK,
	TMF_QUERY_TASK_SET,
	TMF_I_T_NEXUS_RESET,
	TMF_QUERY_ASYNC_EVENT,
};

enum tmf_response {
	TMF_RSP_COMPLETE = 0,
	TMF_RSP_NO_TASK = 1,
	TMF_RSP_NO_LUN = 2,
	TMF_RSP_TASK_ALLEGIANT = 3,
	TMF_RSP_NO_REASSIGN = 4,
	TMF_RSP_NOT_SUPPORTED = 5,
	TMF_RSP_AUTH_FAILED = 6,
	TMF_RSP_SUCCEEDED = 7,
	TMF_RSP_REJECTED = 255,
};

/* What a PDU from the initiator may look like. */
#define PDU_F_LOGIN 1u          /* belongs to the login phase */
#define PDU_F_FULL 2u           /* belongs to the full feature phase */
#define PDU_F_DISCOVERY 4u      /* allowed in a discovery session, 7143 4.3 */
#define PDU_F_CMDSN 8u          /* carries CmdSN: takes its place in the order of commands */
#define PDU_F_IMMEDIATE 16u     /* may have the I bit */
#define PDU_F_DATA 32u          /* may have a data segment */

struct pdu_row {
	uint8_t op;
	uint8_t flags;
	const char *name;
};

/* The row of an initiator opcode; NULL: there is no such opcode, or it is a target's. */
const struct pdu_row *pdu_row(uint8_t op);

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | get24(p + 1);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 16);
	put16(p + 1, (uint16_t)v);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

/* The fields that sit at the same place in every BHS. */
static inline uint8_t bhs_op(const uint8_t *b)
{
	return b[0] & PDU_OPCODE_MASK;
}

static inline bool bhs_immediate(const uint8_t *b)
{
	return b[0] & PDU_IMMEDIATE;
}

static inline uint32_t bhs_ahs_len(const uint8_t *b)
{
	return b[4] * 4u;
}

static inline uint32_t bhs_data_len(const uint8_t *b)
{
	return get24(b + 5);
}

static inline uint32_t bhs_itt(const uint8_t *b)
{
	return get32(b + 16);
}

static inline uint32_t bhs_ttt(const uint8_t *b)
{
	return get32(b + 20);
}

static inline uint32_t bhs_cmdsn(const uint8_t *b)
{
	return get32(b + 24);
}

static inline uint32_t bhs_expstatsn(const uint8_t *b)
{
	return get32(b + 28);
}

/* A target's BHS: opcode, flags (byte 1), length, ITT; the rest zero. */
static inline void bhs_init(uint8_t *b, enum pdu_op op, uint8_t flags, uint32_t len, uint32_t itt)
{
	memset(b, 0, BHS_LEN);
	b[0] = (uint8_t)op;
	b[1] = flags;
	put24(b + 5, len);
	put32(b + 16, itt);
}

/* Bytes of padding after `n` bytes of data. */
static inline uint32_t pdu_pad(uint32_t n)
{
	return -n & 3u;
}

/* A digest on the wire: RFC 7143 13.1 sends the CRC's bytes least significant first. */
static inline void put_digest(uint8_t *p, uint32_t crc)
{
	p[0] = (uint8_t)crc;
	p[1] = (uint8_t)(crc >> 8);
	p[2] = (uint8_t)(crc >> 16);
	p[3] = (uint8_t)(crc >> 24);
}

static inline uint32_t get_digest(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
