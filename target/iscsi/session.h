/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session, target side: the order of commands (CmdSN window, RFC 7143 4.2.2), the tasks by their tags,
 * and what task management does to them. Its connections (iscsi/conn.h) bring the PDUs; MaxConnections is 1
 * so far.
 */
#ifndef ISCSI_SESSION_H
#define ISCSI_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "target/iscsi/keys.h"
#include "target/iscsi/login.h"
#include "target/task.h"

#define SESSION_DEPTH_MAX 1024          /* commands of one session at a time */
#define SESSION_HASH 64
#define SESSION_R2T_MAX 64

struct iscsi_conn;
struct iscsi_session;
struct iscsi_tmf;

/* What waits to be sent, in order: a task's answer, or one small PDU with its own bytes. */
struct iscsi_out {
	struct iscsi_out *next;
	struct iscsi_task *task;        /* NULL: a small PDU, whose memory this is part of */
};

enum iscsi_task_state {
	ITASK_COLLECT,          /* data-out is not all here */
	ITASK_HELD,             /* data is here, earlier CmdSNs are not */
	ITASK_READY,            /* on session->ready */
	ITASK_RUNNING,          /* the owner has it */
	ITASK_ANSWERING,        /* in the output */
};

/* A task with iscsi's part. Owners that need a part of their own put this first in their struct. */
struct iscsi_task {
	struct task task;
	struct iscsi_session *session;
	struct iscsi_task *hash_next;
	struct iscsi_out out;
	uint32_t itt, cmdsn;
	uint8_t state;                  /* enum iscsi_task_state */
	bool immediate, arrived;        /* arrived: its CmdSN was reached */
	bool unsolicited;               /* more unsolicited Data-Out follows */
	uint16_t n_r2t;                 /* R2Ts not yet answered in full */
	uint32_t want;                  /* bytes of data-out to collect */
	uint32_t solicited;             /* offset up to which data was asked for or is unsolicited */
	uint32_t sequence_end;          /* end of the sequence that is being received */
	uint32_t r2t_sn, r2t_done, datasn;
	uint32_t sent;                  /* bytes of data-in already in PDUs */
	struct iscsi_tmf *tmf;          /* waits for this one to end */
};

/* RFC 7143 8.3: session states of a target. */
enum session_state { SESSION_Q1_FREE, SESSION_Q2_ACTIVE, SESSION_Q3_LOGGED_IN, SESSION_Q4_FAILED, SESSION_N_STATES };

struct iscsi_session {
	enum session_state state;
	char initiator[ISCSI_NAME_MAX + 1], target[ISCSI_NAME_MAX + 1], alias[256];
	uint8_t isid[6];
	uint16_t tsih;
	bool discovery;
	struct iscsi_params params;
	struct iscsi_conn *conn;        /* NULL: lost */
	void *user;                     /* the owner's */

	uint32_t exp_cmdsn, max_cmdsn;
	unsigned depth, active;         /* commands allowed, and not yet answered (without immediate ones) */
	uint64_t seen[SESSION_DEPTH_MAX / 64];  /* CmdSNs after exp_cmdsn that are here already, modulo SESSION_DEPTH_MAX */
	struct iscsi_task *hash[SESSION_HASH];
	struct task *ready, **ready_tail;
	unsigned n_tasks, n_running;
	uint64_t held;                  /* bytes of the tasks' buffers */
	struct iscsi_tmf *tmfs;         /* that wait for tasks to end */

	uint64_t commands, read_bytes, write_bytes, errors;
};

struct iscsi_session *iscsi_session_new(const struct login *l, uint16_t tsih, unsigned depth);
/* No task is running (n_running is 0) and no connection is attached. */
void iscsi_session_free(struct iscsi_session **session);
void session_move(struct iscsi_session *s, enum session_state to);

/* The next task to execute, in CmdSN order; the owner's until conn_task_done. NULL: none. */
struct task *session_next_task(struct iscsi_session *s);

/* ---- between session and connection ---- */

enum cmdsn_verdict { CMDSN_NEXT, CMDSN_AHEAD, CMDSN_IGNORE };

/*
 * Judge the CmdSN of a non-immediate PDU and take note of it (4.2.2.1: outside of the window it is
 * ignored).
 */
enum cmdsn_verdict session_cmdsn(struct iscsi_session *s, uint32_t cmdsn);
/* What to put into ExpCmdSN and MaxCmdSN of a PDU; MaxCmdSN never goes back. */
void session_window(struct iscsi_session *s, uint8_t *bhs);
struct iscsi_task *session_find(struct iscsi_session *s, uint32_t itt);
void session_add(struct iscsi_session *s, struct iscsi_task *t);
/* All data of `t` is here, or its turn came: queue it if both. */
void session_task_ready(struct iscsi_session *s, struct iscsi_task *t);
/* Forget the task and give its memory back. */
void session_task_free(struct iscsi_task *t);
/*
 * End tasks without an answer: those of `lun` (NULL: all), or only `itt` (TAG_NONE: all). What the owner
 * runs is marked aborted and comes back by conn_task_done; `tmf` (may be NULL) counts these. Returns how
 * many were ended or marked.
 */
unsigned session_abort(struct iscsi_session *s, const uint8_t *lun, uint32_t itt, struct iscsi_tmf *tmf);
/* An aborted task is back; tells its tmf. Frees it. */
void session_abort_done(struct iscsi_task *t);

#endif
