/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logical units and who uses them. A `scsi_lu` is the disk that all see; a `scsi_nexus` is one initiator
 * port's view of it (I_T_L nexus, SAM-5 4.7); a `scsi_it` is that port's way to all LUNs of a target.
 *
 * Threads: commands of many workers run against one lu. Fields marked atomic are read on the I/O path
 * without a lock. All else in the lu, and its list of nexuses, is for those who hold the owner's lock of
 * the lu: commands whose row has OPF_STATE, and the lu_* functions below.
 */
#ifndef SCSI_LU_H
#define SCSI_LU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/scsi/reserve.h"

/* Unit attention conditions, in the order in which they are reported (SAM-5 5.14, SPC-4). */
#define UA_TABLE(X) \
	X(UA_POWER_ON, 0x29, 0x00) \
	X(UA_RESET, 0x29, 0x03) \
	X(UA_NEXUS_LOSS, 0x29, 0x07) \
	X(UA_COMMANDS_CLEARED, 0x2f, 0x00) \
	X(UA_RESERVATIONS_PREEMPTED, 0x2a, 0x03) \
	X(UA_RESERVATIONS_RELEASED, 0x2a, 0x04) \
	X(UA_REGISTRATIONS_PREEMPTED, 0x2a, 0x05) \
	X(UA_MODE_CHANGED, 0x2a, 0x01) \
	X(UA_CAPACITY_CHANGED, 0x2a, 0x09) \
	X(UA_LUNS_CHANGED, 0x3f, 0x0e) \
	X(UA_INQUIRY_CHANGED, 0x3f, 0x03)

enum scsi_ua {
#define UA_ENUM(name, asc, ascq) name,
	UA_TABLE(UA_ENUM)
#undef UA_ENUM
	UA_N,
};

/* What a row of the opcode table may do to the unit: the reservation column. */
enum scsi_access {
	ACCESS_FREE,            /* allowed whoever has a reservation */
	ACCESS_READY,           /* refused by an SPC-2 reservation only (TEST UNIT READY) */
	ACCESS_READ,            /* reads the medium: refused by exclusive access */
	ACCESS_WRITE,           /* refused by write exclusive too (also MODE SENSE: SPC-4 table 66) */
	ACCESS_RELEASE,         /* RELEASE(6): from others it does nothing, and says GOOD */
	ACCESS_RESERVE,         /* RESERVE(6) */
	ACCESS_PR_IN, ACCESS_PR_OUT,
	ACCESS_N,
};

struct scsi_nexus {
	struct scsi_lu *lu;
	struct scsi_nexus *next;        /* of the lu's */
	uint32_t lun;
	bool read_only;
	_Atomic uint32_t ua;            /* a bit per enum scsi_ua */
	_Atomic uint32_t denied;        /* a bit per enum scsi_access: RESERVATION CONFLICT */
	const struct scsi_it *it;
};

/* An initiator port logged in to a target port (I_T nexus). Made and kept by the session's owner. */
struct scsi_it {
	char initiator[224];            /* its iSCSI name */
	uint8_t isid[6];
	char target[224];
	uint16_t tag;                   /* of the target portal group, and relative target port */
	struct scsi_nexus **luns;       /* sorted by LUN */
	unsigned n_luns;
};

struct scsi_lu {
	/* identity, the same on every node */
	uint8_t uuid[16];
	char product[17];               /* space-padded by the reader */

	/* shape */
	_Atomic uint64_t blocks;
	uint32_t block_size;
	uint8_t physical_exponent;      /* physical block = block_size << this */
	bool thin, read_only, rotational, cache;        /* cache: writes may be lost until SYNCHRONIZE CACHE */
	uint32_t max_transfer;          /* blocks of one READ or WRITE */
	uint32_t optimal_transfer;      /* blocks; 0: no advice */
	uint32_t unmap_granularity;     /* blocks */

	/* mode pages that may change */
	_Atomic bool wce;               /* false: every write is made stable */
	_Atomic bool swp;               /* software write protect */
	_Atomic bool d_sense;           /* descriptor format sense */

	struct scsi_reserve reserve;
	struct scsi_nexus *nexuses;
};

void lu_init(struct scsi_lu *lu, const uint8_t uuid[16], const char *name, uint64_t size,
	uint32_t block_size);
void lu_fini(struct scsi_lu *lu);

/* ---- with the owner's lock ---- */

/* A new view; it begins with POWER ON. Zeroed memory of the caller's, which lu_detach gives back. */
void lu_attach(struct scsi_lu *lu, struct scsi_nexus *n, const struct scsi_it *it, uint32_t lun,
	bool read_only);
void lu_detach(struct scsi_nexus *n);
/* A unit attention for every nexus but `but` (NULL: for every one). */
void lu_attention(struct scsi_lu *lu, enum scsi_ua ua, const struct scsi_nexus *but);
/* Returns whether it changed. */
bool lu_resize(struct scsi_lu *lu, uint64_t size);
/*
 * LU RESET, or a target reset that reaches it (SAM-5 6.3.3): SPC-2 reservations go, all get a unit
 * attention.
 */
void lu_reset(struct scsi_lu *lu, const struct scsi_nexus *but);

/* ---- without ---- */

static inline void nexus_attention(struct scsi_nexus *n, enum scsi_ua ua)
{
	atomic_fetch_or_explicit(&n->ua, 1u << ua, memory_order_relaxed);
}

/* The LUN number of 8 bytes (SAM-5 4.7: peripheral device or flat space addressing); -1: another form. */
int64_t lun_number(const uint8_t lun[8]);
void lun_bytes(uint32_t number, uint8_t lun[8]);
/* The view of that LUN; NULL: there is none. */
struct scsi_nexus *it_nexus(const struct scsi_it *it, const uint8_t lun[8]);

#endif
