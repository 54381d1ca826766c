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

#include "target/scsi/alua.h"
#include "target/scsi/kept.h"

/* Unit attention conditions, in the order in which they are reported (SAM-5 5.14, SPC-4). */
#define UA_TABLE(X) \
	X(UA_POWER_ON, 0x29, 0x00) \
	X(UA_RESET, 0x29, 0x03) \
	X(UA_NEXUS_LOSS, 0x29, 0x07) \
	X(UA_MEDIUM_CHANGED, 0x28, 0x00) \
	X(UA_RESERVATIONS_PREEMPTED, 0x2a, 0x03) \
	X(UA_RESERVATIONS_RELEASED, 0x2a, 0x04) \
	X(UA_REGISTRATIONS_PREEMPTED, 0x2a, 0x05) \
	X(UA_MODE_CHANGED, 0x2a, 0x01) \
	X(UA_CAPACITY_CHANGED, 0x2a, 0x09) \
	X(UA_ACCESS_STATE_CHANGED, 0x2a, 0x06) \
	X(UA_SOFT_THRESHOLD, 0x38, 0x07) \
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

/*
 * Why commands are refused through a nexus: one word, read once per command. The low bits are by enum
 * scsi_access: RESERVATION CONFLICT. The others are states of the unit or its port.
 */
#define GATE_STANDBY (1u << 16)
#define GATE_UNAVAILABLE (1u << 17)
#define GATE_TRANSITION (1u << 18)
#define GATE_SANITIZE (1u << 19)
#define GATE_SANITIZE_FAILED (1u << 20)
#define GATE_NO_MEDIUM (1u << 21)
#define GATE_PR_LOST (1u << 22)
#define GATE_STATES (~0u << 16)

struct copy_record;
struct task;

struct scsi_nexus {
	struct scsi_lu *lu;
	struct scsi_nexus *next;        /* of the lu's */
	uint32_t lun;
	bool read_only;
	bool prevents;                  /* PREVENT ALLOW MEDIUM REMOVAL */
	_Atomic bool abort;             /* its commands are to be aborted (PREEMPT AND ABORT) */
	_Atomic uint32_t ua;            /* a bit per enum scsi_ua */
	_Atomic uint32_t gate;
	const struct scsi_it *it;
	struct copy_record *copies;     /* third-party copies that this nexus asked for; of its thread */
};

/* An initiator port logged in to a target port (I_T nexus). Made and kept by the session's owner. */
struct scsi_it {
	char initiator[224];            /* its iSCSI name */
	uint8_t isid[6];
	char target[224];
	uint16_t tag;                   /* of the target portal group, and relative target port */
	struct scsi_nexus **luns;       /* sorted by LUN */
	unsigned n_luns;
	/*
	 * A view of the unit with that designator (VPD page 83h), if this initiator may use it here; NULL: there is none.
	 * It stays as long as the task. Without the function only `luns` are looked at.
	 */
	struct scsi_nexus *(*reach)(const struct scsi_it *it, unsigned type, const uint8_t *id, unsigned n,
		struct task *t);
};

/* A target port through which the unit is reached. */
struct scsi_port {
	char target[224];
	uint16_t tag;
};

/* A sanitize operation that is under way (SBC-3 4.11). */
struct sanitize_run {
	uint64_t pause_bytes;           /* written between two pauses; 0: none. Set by the owner once */
	uint64_t since_pause;
	_Atomic uint64_t done, total;   /* bytes */
};

/* How much there is below a thin unit, in bytes. */
struct lu_space {
	uint64_t used, available;
	bool known;
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
	bool removable;                 /* the medium can be ejected */
	uint32_t max_transfer;          /* blocks of one READ or WRITE */
	uint32_t optimal_transfer;      /* blocks; 0: no advice */
	uint32_t unmap_granularity;     /* blocks */
	uint8_t caw_max;                /* blocks of one COMPARE AND WRITE */
	uint32_t atomic_max;            /* blocks of one WRITE ATOMIC; 0: not offered */
	uint32_t seam;                  /* bytes: no COMPARE AND WRITE may cross a multiple of it; 0: any may */

	/* mode pages that may change: these on the I/O path, the thresholds under the lock */
	_Atomic bool wce;               /* false: every write is made stable */
	_Atomic bool swp;               /* software write protect */
	_Atomic bool d_sense;           /* descriptor format sense */
	bool lbpere;
	struct lu_threshold thresholds[LU_THRESHOLDS];
	bool threshold_hit[LU_THRESHOLDS];
	struct lu_space space;

	struct lu_kept kept;            /* persistent reservations, saved pages: SCSI_KEEP before it changes */
	const struct scsi_nexus *spc2;  /* holds RESERVE(6)'s reservation */
	struct alua alua;
	struct scsi_port *ports;
	unsigned n_ports;
	struct sanitize_run sanitize;
	bool inner;                     /* for nodes of the cluster: it keeps nothing, and has VPD page C0h */
	uint64_t life;                  /* of the storage, see struct director_caps; of an inner unit */
	uint64_t other;                 /* 0: the storage is the one that was claimed; else another one, each time with another number */
	bool ejected;
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
/* Through which ports the unit is reached; copied, and their names folded as a login's are. */
void lu_ports_set(struct scsi_lu *lu, const struct scsi_port *ports, unsigned n);
/* What was kept, at power on: given. Before the first nexus. */
void lu_kept_set(struct scsi_lu *lu, struct lu_kept *kept);
/* The mode pages that may change, with the owner's lock. */
void lu_mode_get(const struct scsi_lu *lu, struct lu_mode *m);
void lu_mode_set(struct scsi_lu *lu, const struct lu_mode *m);
/* Space below a thin unit is this now: thresholds are looked at. */
void lu_space_set(struct scsi_lu *lu, uint64_t used, uint64_t available);
/* Work out `gate` of every nexus anew: after each change of reservations, access states, medium. */
void lu_gates(struct scsi_lu *lu);
/*
 * LU RESET, or a target reset that reaches it (SAM-5 6.3.3): SPC-2 reservations go, all get a unit
 * attention.
 */
void lu_reset(struct scsi_lu *lu, const struct scsi_nexus *but);

/* ---- without ---- */

static inline bool nexus_protected(const struct scsi_nexus *n)
{
	return n->lu->read_only || n->read_only || atomic_load_explicit(&n->lu->swp, memory_order_relaxed);
}

static inline void nexus_attention(struct scsi_nexus *n, enum scsi_ua ua)
{
	atomic_fetch_or_explicit(&n->ua, 1u << ua, memory_order_relaxed);
}

/* The LU's NAA designator, as VPD page 83h has it. */
#define NAA_LEN 16
void lu_naa(const struct scsi_lu *lu, uint8_t naa[NAA_LEN]);
/* Does the designator name this unit? */
bool lu_is(const struct scsi_lu *lu, unsigned type, const uint8_t *id, unsigned n);
/* Blocks of one threshold set, as a power of two (VPD page B2h). */
unsigned lu_threshold_exponent(const struct scsi_lu *lu);
struct pr_port;
void it_port(const struct scsi_it *it, struct pr_port *p);
/* The LUN number of 8 bytes (SAM-5 4.7: peripheral device or flat space addressing); -1: another form. */
int64_t lun_number(const uint8_t lun[8]);
void lun_bytes(uint32_t number, uint8_t lun[8]);
/* The view of that LUN; NULL: there is none. */
struct scsi_nexus *it_nexus(const struct scsi_it *it, const uint8_t lun[8]);
struct scsi_nexus *it_lun(const struct scsi_it *it, int64_t number);

#endif
