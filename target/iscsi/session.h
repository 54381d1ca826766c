/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session, target side: the order of commands (CmdSN window, RFC 7143 4.2.2), the tasks by their tags, its
 * connections, and what stays of those that were lost (7.1.4.4). Its connections (iscsi/conn.h) bring the PDUs.
 *
 * A session, its connections and tasks belong to one thread: a connection whose login names an existing
 * session is carried to that session's thread before it joins. So nothing here is locked; the price is that
 * one session has one processor, whatever its connections.
 */
#ifndef ISCSI_SESSION_H
#define ISCSI_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "target/iscsi/cover.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/login.h"
#include "target/task.h"

#define SESSION_DEPTH_MAX 1024          /* commands of one session at a time */
#define SESSION_HASH 64
#define SESSION_TMFS_MAX 1024           /* task management that has not ended */
#define SESSION_R2T_MAX 16              /* R2Ts of one task that are open */
#define SESSION_SETS 16

struct iscsi_conn;
struct iscsi_fence;
struct iscsi_held;
struct iscsi_queue;
struct iscsi_session;
struct iscsi_set;
struct iscsi_tmf;

/* What waits to be sent, in order: a task's answer, a part of one again, one small PDU with its own bytes, a fence. */
enum iscsi_out_kind { OUT_SMALL, OUT_TASK, OUT_AGAIN, OUT_FENCE, OUT_FENCE_END };

struct iscsi_out {
	struct iscsi_out *next;
	struct iscsi_task *task;        /* of OUT_TASK and OUT_AGAIN */
	uint32_t statsn;                /* once it was stamped; of a fence, its number */
	uint8_t kind;                   /* enum iscsi_out_kind */
};

enum iscsi_task_state {
	ITASK_COLLECT,          /* data-out is not all here */
	ITASK_HELD,             /* data is here, earlier CmdSNs are not */
	ITASK_DORMANT,          /* data is here, but commands stand before it (task_set.h) */
	ITASK_READY,            /* on session->ready */
	ITASK_RUNNING,          /* the owner has it */
	ITASK_ANSWERING,        /* in the output of its connection */
	ITASK_ANSWERED,         /* its status was sent and not yet acknowledged (ERL 1 and 2) */
	ITASK_PARKED,           /* it has its answer, but lost its connection (ERL 2) */
};

/* A sequence of Data-Out that is expected: unsolicited (tag TAG_NONE), or what an R2T asked for. */
struct iscsi_sequence {
	uint32_t tag;                   /* of an R2T: its R2TSN */
	uint32_t from, to;
	uint32_t datasn;                /* expected next */
	uint32_t at;                    /* the offset expected next, when data PDUs come in order */
	bool lost;                      /* a PDU of it is known to be missing */
};

/* A task with iscsi's part. Owners that need a part of their own put this first in their struct. */
struct iscsi_task {
	struct task task;
	struct iscsi_session *session;
	struct iscsi_conn *conn;        /* it is allegiant to; NULL: to one that was lost, with this CID */
	struct iscsi_task *hash_next;
	struct iscsi_out out, again;
	uint32_t itt, cmdsn;
	uint16_t cid;
	uint8_t state;                  /* enum iscsi_task_state */
	bool immediate, arrived;        /* arrived: its CmdSN was reached */
	bool released;                  /* its lost connection was logged out: it may be reassigned */
	bool doomed;                    /* freed when the last PDU with its memory has left */

	/* data-out */
	struct cover cover;             /* of task.out */
	uint32_t want;                  /* bytes of data-out to collect */
	uint32_t solicited;             /* offset up to which data was asked for or is unsolicited */
	uint32_t r2t_sn;
	uint8_t n_sequences, quiet;     /* quiet: looks at it since data came */
	uint16_t retries;
	struct iscsi_sequence sequences[SESSION_R2T_MAX];

	/* data-in: DataSN base_sn has offset base_at, and all PDUs from there on are cut alike */
	uint32_t sent;                  /* bytes of data-in already in PDUs */
	uint32_t datasn;                /* of the next Data-In */
	uint32_t base_sn, base_at, segment;
	uint32_t acked;                 /* the data acknowledgement reference number (11.5.5) */
	uint32_t ack_tag;               /* of the acknowledgements that are asked for */
	uint32_t again_sn, again_end, again_at; /* Data-In to send again; then, if again_status, the response */
	uint32_t snack_tag;
	bool again_queued, again_status, stamped;
	uint16_t wires;                 /* PDUs in the wire ring that point to its memory */

	struct iscsi_tmf *tmf;          /* the first that waits for this one to end; others come `after` it, */
	struct iscsi_tmf *tmf_last;     /* up to this one at least */
	struct iscsi_task *told_next;   /* while session_abort_notice looks for the first of each LUN */

	/* task_set.c */
	struct iscsi_set *set;          /* NULL: none is needed, or it has left it */
	struct iscsi_queue *queue;      /* of the set; NULL: in none */
	struct iscsi_task *queue_next, **queue_at;
	bool current;                   /* counted in set->n_current */
};

/* RFC 7143 8.3: session states of a target. */
enum session_state {
	SESSION_Q1_FREE, SESSION_Q2_ACTIVE, SESSION_Q3_LOGGED_IN, SESSION_Q4_FAILED, SESSION_Q5_CONTINUE, SESSION_N_STATES,
};

/*
 * RFC 7143 8.2: a connection that is gone and whose tasks are kept. In R2 it is logged out, in words or by a
 * reinstatement; it is free (R3) when what it left is over too.
 */
enum cleanup_state { CLEANUP_R1_WAIT, CLEANUP_R2_IN_CLEANUP, CLEANUP_R3_FREE, CLEANUP_N_STATES };

struct iscsi_lost {
	struct iscsi_lost *next;
	enum cleanup_state state;
	uint16_t cid;
	struct mono until;              /* Time2Wait and Time2Retain are over; 0: to be set by session_tick */
};

struct iscsi_session {
	enum session_state state;
	char initiator[ISCSI_NAME_MAX + 1], target[ISCSI_NAME_MAX + 1], alias[256];
	uint8_t isid[6];
	uint16_t tsih;
	bool discovery;
	struct iscsi_params params;             /* of the leading login; a connection has its own for what is its own */
	struct iscsi_conn *conns;               /* in the full feature phase */
	unsigned n_conns;
	struct iscsi_lost *lost;
	struct mono until;                      /* without a connection, its end; 0: to be set by session_tick */
	bool closing;                           /* no connection may join any more */
	void *user;                             /* the owner's */

	uint32_t exp_cmdsn, max_cmdsn;
	unsigned depth, active;         /* commands allowed, and not yet answered (without immediate ones) */
	uint64_t seen[SESSION_DEPTH_MAX / 64];  /* CmdSNs after exp_cmdsn that are here already, modulo SESSION_DEPTH_MAX */
	struct iscsi_task **ahead;      /* those tasks by CmdSN, alike; made when there is a first one */
	struct iscsi_task *hash[SESSION_HASH];
	struct task *ready, **ready_tail;
	struct iscsi_held *waiting;     /* requests that are not commands, and wait for those before them */
	unsigned n_tasks, n_running;
	struct iscsi_set *sets[SESSION_SETS];
	unsigned n_orders;              /* commands in them that are ORDERED or HEAD OF QUEUE */
	bool woken;                     /* commands that waited for others are on `ready` now; the owner's to clear */
	uint64_t held, held_max;        /* bytes of the tasks' buffers, and the bound */
	struct iscsi_tmf *tmfs;         /* that wait for tasks to end */
	unsigned n_tmfs;                /* with those of `waiting`, and those that the owner has not taken yet */
	uint32_t next_ack_tag, next_fence;
	struct iscsi_fence *fences;

	uint64_t commands, read_bytes, write_bytes, errors;
};

struct iscsi_session *iscsi_session_new(const struct login *l, uint16_t tsih, unsigned depth);
/* No task is running (n_running is 0) and no connection is attached. */
void iscsi_session_free(struct iscsi_session **session);
/*
 * May the connection of this login join? LOGIN_OK, or why not. A CID that is in use is reinstated (6.3.4): the old
 * connection is closed when the new one joins.
 */
enum login_status session_admits(const struct iscsi_session *s, const struct login *l);
/* End it: its connections are closed, nothing is kept. It is over when the last of them is freed. */
void session_close(struct iscsi_session *s, const char *why);
/* The same, and the initiator is told before (11.9.1 event 3). */
void session_dismiss(struct iscsi_session *s, const char *why);
/* Nobody will come back to it: free it when n_running is 0. */
bool session_over(const struct iscsi_session *s);
/* Time2Wait and Time2Retain. Returns when to call again. */
struct mono session_tick(struct iscsi_session *s, struct mono now);
void session_move(struct iscsi_session *s, enum session_state to);

/* The next task to execute, in CmdSN order; the owner's until conn_task_done. NULL: none. */
struct task *session_next_task(struct iscsi_session *s);

/* ---- between session and connection ---- */

enum cmdsn_verdict { CMDSN_NEXT, CMDSN_AHEAD, CMDSN_IGNORE };

/* What session_cmdsn would say. */
enum cmdsn_verdict session_judge(const struct iscsi_session *s, uint32_t cmdsn);
/*
 * Judge the CmdSN of a non-immediate PDU and take note of it (4.2.2.1: outside of the window it is
 * ignored).
 */
enum cmdsn_verdict session_cmdsn(struct iscsi_session *s, uint32_t cmdsn);
/* Every CmdSN from `from` up to ExpCmdSN has its turn, and then what waited for them. */
void session_turns(struct iscsi_session *s, uint32_t from);
/* What to put into ExpCmdSN and MaxCmdSN of a PDU; MaxCmdSN never goes back. */
void session_window(struct iscsi_session *s, uint8_t *bhs);
struct iscsi_task *session_find(struct iscsi_session *s, uint32_t itt);
/* The task on `c` whose Data-In asked for an acknowledgement with this tag. */
struct iscsi_task *session_find_ack(struct iscsi_session *s, const struct iscsi_conn *c, uint32_t tag);
struct iscsi_conn *session_conn(const struct iscsi_session *s, uint16_t cid);
void session_add(struct iscsi_session *s, struct iscsi_task *t);
/* All data of `t` is here, or its turn came: queue it if both. */
void session_task_ready(struct iscsi_session *s, struct iscsi_task *t);
/* Forget the task and give its memory back, at once or when what is being sent of it has left. */
void session_task_free(struct iscsi_task *t);

/* The same LUN may be written as peripheral or as flat address (SAM-5 4.7). */
bool lun_same(const uint8_t *a, const uint8_t *b);
/* Is a command of `lun` in its task set? */
bool session_has_task(const struct iscsi_session *s, const uint8_t *lun);

/* Which tasks: all that fit every field. */
struct task_choice {
	const uint8_t *lun;             /* NULL: any */
	const struct iscsi_conn *conn;  /* NULL: any */
	uint32_t itt;                   /* TAG_NONE: any */
	bool before;                    /* only commands before `cmdsn` */
	uint32_t cmdsn;
};

/*
 * End tasks without an answer. What the owner runs is marked aborted and comes back by conn_task_done; `tmf`
 * (may be NULL) counts these. Returns how many were ended or marked.
 */
unsigned session_abort_choice(struct iscsi_session *s, const struct task_choice *which, struct iscsi_tmf *tmf);
/* The same for those of `lun` (NULL: all), or only `itt` (TAG_NONE: all). */
unsigned session_abort(struct iscsi_session *s, const uint8_t *lun, uint32_t itt, struct iscsi_tmf *tmf);
/*
 * FastAbort (4.2.3.4 d): tell the connections of tasks that are about to be ended, all but the one where it was asked
 * for. Nothing, if that was not negotiated.
 */
void session_abort_notice(struct iscsi_session *s, const struct task_choice *which, const struct iscsi_conn *but);
/* Another session has ended tasks of this one: a fence before the next response (4.2.3.3 e). */
void session_fence(struct iscsi_session *s);
/*
 * `twin` (of the owner's pool) has the place of `t`, which the owner runs, and is to be answered with conn_task_done; `t` is the
 * owner's alone from here on, and iscsi knows nothing of it.
 */
void session_task_swap(struct iscsi_task *t, struct iscsi_task *twin);
/* An aborted task is back; tells its tmf. Frees it. */
void session_abort_done(struct iscsi_task *t);

/* lost.c: a connection leaves the session. If it `failed` its tasks wait for a reassignment (7.2.2), at ERL 2. */
void session_leave(struct iscsi_session *s, struct iscsi_conn *c, bool failed);
struct iscsi_lost *session_lost_find(struct iscsi_session *s, uint16_t cid);
void lost_move(struct iscsi_lost *l, enum cleanup_state to);
/* It was logged out, and Time2Retain begins. */
void lost_out(struct iscsi_session *s, struct iscsi_lost *l);
/* The lost connection is over: what it left ends. */
void session_lost_drop(struct iscsi_session *s, struct iscsi_lost *l);

#endif
