/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for the pure rooms of the target: a session over a disk in memory, driven with bytes that a test writes as
 * an initiator would, without sockets, clock or threads. What the target sends is collected. One connection at a time
 * is the one in hand (world_use).
 */
#ifndef TESTS_TARGET_WORLD_H
#define TESTS_TARGET_WORLD_H

#include "base/buf.h"
#include "base/rng.h"
#include "target/iscsi/conn.h"
#include "target/scsi/op.h"

#define WORLD_LINKS 4

struct world_link {
	struct iscsi_conn *conn;
	struct buf out;
	size_t out_at;
};

struct world {
	struct task_pool pool;
	struct iscsi_conn_conf conf;
	struct iscsi_conn *conn;        /* in hand; NULL: cut */
	struct iscsi_session *session;
	struct scsi_lu lu;
	struct scsi_nexus nexus, *luns[1];
	struct scsi_it it;
	uint8_t *disk;
	uint64_t size;
	struct buf out;                 /* what the target sent, whole */
	size_t out_at;                  /* how much a test has looked at */
	/* answers to questions */
	struct login_policy policy;
	enum login_status session_status;
	const char *const *secrets;             /* of whoever it says it is, where the policy is by_user */
	unsigned n_secrets;
	/* commands are kept instead of executed */
	struct world_link links[WORLD_LINKS];   /* those that are not in hand */
	unsigned at;                            /* the one that is */
	uint32_t exp_statsn;                    /* for the test's PDUs */
	bool hold;
	struct task *held[64];
	unsigned n_held;
	uint32_t cmdsn, itt;
};

void world_init(struct world *w, uint64_t size, uint32_t block_size);
/* Take connection `i` in hand; makes it if there is none yet. */
void world_use(struct world *w, unsigned i);
/* The connection in hand is cut: its owner frees it. */
void world_cut(struct world *w);
/* Connection `i` joins the session with this CID; it is in hand after it. Returns the login's status. */
unsigned world_join(struct world *w, unsigned i, uint16_t cid, const char *keys, size_t len);
void world_fini(struct world *w);
/* Bytes of the initiator, in pieces of at most `piece` (0: all at once); runs the target between pieces. */
void world_feed(struct world *w, const void *p, size_t n, size_t piece);
/* Answer questions, execute commands, take output, until there is nothing to do. */
void world_run(struct world *w);
/* Execute what was held. */
void world_release(struct world *w);
/*
 * The next PDU of the target: its BHS, lent; *data is its data segment (without digests: the test knows of
 * them). NULL: none.
 */
const uint8_t *world_pdu(struct world *w, const uint8_t **data);

/* ---- PDUs of an initiator: appended to `b` with padding, and digests if `digests` ---- */

void pdu_put(struct buf *b, const uint8_t *bhs, const void *data, uint32_t len, bool digests);
/* A Login request; `text` has `len` bytes. */
void put_login(struct buf *b, unsigned csg, unsigned nsg, bool transit, const char *text, size_t len);
/* A SCSI Command at the world's next CmdSN; returns its ITT. */
uint32_t put_command(struct world *w, struct buf *b, unsigned flags, const uint8_t *cdb, uint32_t edtl,
	const void *data, uint32_t len);
void put_data_out(struct world *w, struct buf *b, uint32_t itt, uint32_t ttt, uint32_t datasn,
	uint32_t offset, bool final,
                  const void *data, uint32_t len);
/*
 * Login without security, with these keys in the operational stage ("" for none); the world is in full
 * feature phase after it.
 */
void world_login(struct world *w, const char *keys, size_t len);
#define LOGIN_KEYS "InitiatorName=iqn.2026-11.test:i\0TargetName=iqn.2026-11.test:t\0SessionType=Normal\0"

#endif
