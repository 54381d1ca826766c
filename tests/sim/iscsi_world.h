/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initiator's machine and the target's, against each other in virtual time, over byte streams that delay, damage,
 * stall and break at PDU boundaries and inside of PDUs. Both are the real ones; the disk behind the target is a model.
 */
#ifndef TESTS_SIM_ISCSI_WORLD_H
#define TESTS_SIM_ISCSI_WORLD_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/rng.h"
#include "target/iscsi/conn.h"
#include "target/iscsi/ini.h"
#include "target/scsi/op.h"

#define SIM_BLOCK 512u
#define SIM_BLOCKS 1024u
#define SIM_DISK (SIM_BLOCK * SIM_BLOCKS)
#define SIM_COMMANDS 4096               /* writes are numbered; their effects are counted */

enum fault {
	FAULT_NONE,
	FAULT_CUT_BEFORE,               /* the connection ends before this PDU */
	FAULT_CUT_INSIDE,
	FAULT_CUT_AFTER,
	FAULT_DATA,                     /* a bit of its data is wrong (data digest) */
	FAULT_HEADER,                   /* a bit of its header is wrong (header digest) */
	FAULT_STALL,                    /* nothing of the connection gets through any more, and nobody is told */
	FAULT_DELAY,
	FAULT_LOGOUT,                   /* no fault: the target asks for a logout (11.9.1) */
	FAULT_KINDS,
};

struct sim_chunk {
	struct sim_chunk *next;
	uint64_t at;
	size_t len, off;
	uint8_t data[];
};

/* One direction of a connection. */
struct sim_pipe {
	struct buf pdu;                 /* of the PDU that is being sent */
	struct sim_chunk *head, **tail;
	uint64_t last;                  /* no byte arrives before one that was sent earlier */
};

struct sim_wire {
	struct sim_wire *next;
	unsigned number;
	struct ini_conn *ini;           /* NULL: has noticed the end */
	struct iscsi_conn *target;
	struct sim_pipe up, down;
	bool connected, dead, stalled, ask_logout;
	uint64_t up_at, ini_ends, target_ends;  /* when it is connected; when each side notices the end */
};

struct sim_session {
	struct sim_session *next;
	struct iscsi_session *is;
	struct scsi_nexus nexus, *luns[1];
	struct scsi_it it;
};

struct sim_held {
	struct sim_held *next;
	struct task *task;
	struct sim_session *session;
	uint64_t at;
};

struct sim {
	struct rng rng, fault_rng;
	uint64_t now, wake;
	bool trace;
	uint64_t hash;                  /* of everything that happened */

	/* what is negotiated, by seed */
	bool digests, chap;
	struct login_policy policy;
	struct iscsi_conn_conf conf;

	struct ini_session *ini;
	struct task_pool pool;
	struct scsi_lu lu;
	struct sim_session *sessions;
	struct sim_held *held;
	uint16_t tsih;
	unsigned n_wires;
	struct sim_wire *wires;
	uint8_t disk[SIM_DISK];
	uint16_t effects[SIM_COMMANDS]; /* how often each numbered write reached the disk */

	/* faults: by chance, or one at PDU `at` */
	unsigned pdus;
	unsigned per_10000, left;
	enum fault one;
	unsigned one_at;
	unsigned happened[FAULT_KINDS];
};

void sim_init(struct sim *s, uint64_t seed, const struct ini_conf *conf, const struct iscsi_params *theirs);
void sim_fini(struct sim *s);
/* Everything that is due now, until nothing is; then s->wake is when to come back. */
void sim_run(struct sim *s);
void sim_note(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
