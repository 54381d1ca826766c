/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, target side, without I/O: bytes in, bytes and tasks out.
 *
 *   in:   conn_want says where the next bytes should land (a task's own data buffer), conn_got that they have; all other
 *         bytes are given by conn_feed from memory of the caller's. One read can do both (readv), and hold many PDUs.
 *   out:  conn_output lists bytes to send, conn_sent says how many were. One writev can hold many PDUs.
 *   then: conn->ask (a question to answer), session_next_task (commands to execute), conn_next_tmf, conn->closing.
 *
 * Time comes in by conn_tick only. Not thread-safe: a connection and its session belong to one thread, and so do all
 * connections of the session. Work on one connection can put output on others of its session (a task that moved, a
 * fence): the owner looks at conn_output of all of them.
 */
#ifndef ISCSI_CONN_H
#define ISCSI_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mono.h"
#include "target/iscsi/login.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/session.h"

#define CONN_WIRE_MAX 64                /* PDUs made ready at a time */
#define CONN_OUT_MAX 1024               /* small PDUs waiting; more: nothing is read until some are gone */
#define CONN_OUT_BYTES (1u << 20)       /* the same of the data in them */
#define CONN_TEXT_MAX KEYS_TEXT_MAX

struct iscsi_iov {              /* as struct iovec */
	void *base;
	size_t len;
};

/* RFC 7143 8.1.3 */
enum conn_state {
	CONN_S1_FREE, CONN_S3_XPT_UP, CONN_S4_IN_LOGIN, CONN_S5_LOGGED_IN, CONN_S6_IN_LOGOUT, CONN_S7_LOGOUT_REQUESTED,
	CONN_S8_CLEANUP_WAIT, CONN_N_STATES,
};

enum conn_ask {
	ASK_NONE,
	ASK_POLICY,             /* see conn->login; answer with conn_policy */
	ASK_PROOF,              /* what may conn->login->user prove? Answer with conn_proof */
	ASK_SESSION,            /* the login is complete; answer with conn_session */
	ASK_TARGETS,            /* SendTargets=conn->ask_text; answer with conn_targets */
};

enum conn_closing {
	CLOSING_NO,
	CLOSING_FLUSH,          /* send what conn_output has, then close */
	CLOSING_NOW,
};

/* One PDU ready to be sent: header with AHS-less digest, borrowed data, padding with digest. */
struct iscsi_wire {
	uint8_t head[BHS_LEN + DIGEST_LEN];
	uint8_t tail[3 + DIGEST_LEN];
	uint8_t head_len, tail_len;
	const uint8_t *data;
	uint32_t data_len;
	struct iscsi_task *task;        /* whose memory `data` is */
	struct iscsi_out *last;         /* the last PDU of this: released, or kept for its acknowledgement, when it was sent */
};

/* Task management, or a logout, that the connection cannot do alone, or that waits for tasks to end. */
struct iscsi_tmf {
	struct iscsi_tmf *next;
	struct iscsi_conn *conn;        /* to be answered on; NULL: it is gone */
	uint32_t itt, cmdsn;            /* cmdsn: commands before it are affected */
	uint8_t function;               /* enum tmf_function */
	uint8_t response;               /* enum tmf_response; of a logout, 11.15.1 */
	uint8_t lun[8];
	bool logout, recovery;          /* recovery: a logout that keeps the tasks */
	bool deciding;                  /* the owner has it: conn_tmf_done is to come */
	bool listed;
	unsigned waiting;               /* tasks still running, and functions before it that wait for the same ones */
	struct iscsi_tmf *after;        /* the next one that waits for what this one waits for */
};

struct iscsi_conn_conf {
	struct task_pool *pool;
	uint32_t ping_ms;               /* after so long without a byte, ask whether it lives; 0: never */
	uint32_t login_ms;              /* for the whole login */
	uint32_t retry_ms;              /* ERL 1: after so long without data that was asked for, ask again; 0: 2000 */
};

/* A request that is not a command, and waits for the commands before it. */
struct iscsi_held {
	struct iscsi_held *next;
	struct iscsi_conn *conn;
	uint32_t due;                   /* when ExpCmdSN is this */
	uint8_t bhs[BHS_LEN];
};

struct iscsi_conn {
	enum conn_state state;
	struct iscsi_conn_conf conf;
	struct iscsi_session *session;          /* from the full feature phase on */
	struct iscsi_conn *next;                /* of the session's */
	struct iscsi_params params;             /* the session's, with what is the connection's own */
	void *user;                             /* the owner's */
	enum conn_ask ask;
	const char *ask_text;
	enum conn_closing closing;
	const char *why;                        /* it closes; static text */
	uint16_t cid;
	uint32_t statsn;
	uint32_t acked;                         /* the initiator's ExpStatSN */
	struct login *login;                    /* NULL after it */
	uint32_t login_expstatsn;               /* of its first request */
	bool header_digest, data_digest;
	uint32_t fence_from, fence_asked;       /* the first fence that it knows; the StatSN that it asked after for one */
	bool recover;                           /* it is being logged out so that its tasks can be reassigned */

	/* input: the PDU in work */
	struct {
		uint8_t header[PDU_HEADER_MAX];
		uint32_t have;                  /* bytes of the header */
		bool in_data;
		uint8_t *dest;                  /* where its data goes; NULL: nowhere */
		uint32_t len, got;              /* of the data segment */
		uint32_t trailer;               /* padding and digest bytes still to come */
		uint8_t tail[3 + DIGEST_LEN];
		uint32_t tail_have;
		struct iscsi_task *task;        /* that the data belongs to */
		bool ignored;                   /* it means nothing, or was refused already */
		bool doubtful;                  /* the last header was broken: where this one begins is a guess */
		struct buf data;                /* of PDUs without a task */
		struct buf backlog;             /* fed while a question was open */
	} in;

	/* output */
	struct iscsi_out *out, **out_tail;
	unsigned n_small;
	size_t small_bytes;                     /* of their data */
	struct iscsi_wire wire[CONN_WIRE_MAX];
	unsigned wire_first, n_wire;
	size_t wire_sent;                       /* bytes of the first one that are gone */
	struct iscsi_out *unacked, **unacked_tail;      /* ERL 1: sent and not acknowledged, by StatSN */
	unsigned n_unacked;
	size_t unacked_bytes;                   /* of the data of the small ones among them */

	/* text request in work (11.10) */
	struct buf text_in, text_out;
	size_t text_at;
	uint32_t text_ttt;
	uint64_t text_seen;             /* keys of the exchange so far, see keys_negotiation */

	struct iscsi_tmf *tmfs;                 /* for the owner */

	/* time */
	struct mono now, heard, deadline;
	struct mono look;                       /* for data that does not come, and acknowledgements */
	uint32_t looked_acked, looked_data, n_data;     /* n_data: Data-Out that came */
	bool pinged;
	uint64_t bytes_in;
	uint64_t heard_bytes;
	uint32_t ping_tag;
};

struct iscsi_conn *iscsi_conn_new(const struct iscsi_conn_conf *conf, struct mono now);
/*
 * The connection is over, however that came. What becomes of its tasks and of the session depends on what was
 * negotiated and on how it ended: see session_over. NULLs the pointer.
 */
void iscsi_conn_free(struct iscsi_conn **conn);

/* ---- input ---- */

/* May bytes be read at all? Not while a question is open, too much output waits, or it closes. */
bool conn_reading(const struct iscsi_conn *c);
/* The place for the next bytes, and how many; 0: feed all. */
uint32_t conn_want(const struct iscsi_conn *c, void **p);
void conn_got(struct iscsi_conn *c, uint32_t n);
void conn_feed(struct iscsi_conn *c, const uint8_t *p, size_t n);

/* ---- questions ---- */

void conn_policy(struct iscsi_conn *c, const struct login_policy *p);
void conn_proof(struct iscsi_conn *c, const char *const *secrets, unsigned n);
/*
 * `s` is made with iscsi_session_new from conn->login, or is the one that conn->login->tsih names and that
 * session_admits it; NULL with a status that is not OK.
 */
void conn_session(struct iscsi_conn *c, enum login_status status, struct iscsi_session *s);
/* The text of SendTargets: TargetName=…\0TargetAddress=…\0… */
void conn_targets(struct iscsi_conn *c, const void *text, size_t len);

/* ---- tasks ---- */

/*
 * The owner has the answer (status, sense, in) of a task from session_next_task. The task is no longer the
 * owner's.
 */
void conn_task_done(struct task *task);
/* A task management function to carry out over all sessions; NULL: none. Then conn_tmf_done. */
struct iscsi_tmf *conn_next_tmf(struct iscsi_conn *c);
void conn_tmf_done(struct iscsi_session *s, struct iscsi_tmf *tmf, enum tmf_response response);

/* ---- output ---- */

/* Up to `max` pieces to send; 0: nothing. They stay valid until conn_sent. */
unsigned conn_output(struct iscsi_conn *c, struct iscsi_iov *iov, unsigned max);
void conn_sent(struct iscsi_conn *c, size_t n);
/* The data of an answer that waits or leaves, at task.in.p, are at `to` from now on; the owner sets in.p. */
void conn_data_moved(struct iscsi_conn *c, const struct iscsi_task *t, const uint8_t *to);

/* ---- time, and ends ---- */

/* Returns when to call again. */
struct mono conn_tick(struct iscsi_conn *c, struct mono now);
/* When conn_tick is to be called for what has happened since: sooner than it said, if it is. */
struct mono conn_due(const struct iscsi_conn *c);
/* Ask the initiator to log out (11.9.1 event 1) within `ms`. */
void conn_request_logout(struct iscsi_conn *c, uint32_t ms);
void conn_close(struct iscsi_conn *c, const char *why);
/*
 * Leave the session now; the memory stays until iscsi_conn_free. `failed`: not because it was logged out, so that the
 * initiator may come back for what it left.
 */
void conn_leave(struct iscsi_conn *c, bool failed);
void conn_move(struct iscsi_conn *c, enum conn_state to);

/* ---- inside the room ---- */

/* request.c: a header is complete (says where its data goes, in c->in), and a whole PDU is. */
void request_begin(struct iscsi_conn *c, const uint8_t *bhs);
void request_end(struct iscsi_conn *c, const uint8_t *bhs);
/* The data digest of the PDU is wrong (7.8). */
void request_broken(struct iscsi_conn *c, const uint8_t *bhs);
/* The turn of a request that waited for it has come. */
void request_turn(struct iscsi_held *held);
/* The data of the PDU in work goes nowhere, and the PDU means nothing. */
void request_ignore(struct iscsi_conn *c);
void request_refuse(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason);
/* data.c: Data-Out and R2T */
void data_begin(struct iscsi_conn *c, const uint8_t *bhs);
void data_end(struct iscsi_conn *c, const uint8_t *bhs);
void data_broken_digest(struct iscsi_conn *c, const uint8_t *bhs);
/* A command is here, with `n` bytes of immediate data: go, or wait for data. */
void data_command(struct iscsi_conn *c, struct iscsi_task *t, uint32_t n);
/* Ask for what is missing, as many sequences as may be open. */
void data_solicit(struct iscsi_conn *c, struct iscsi_task *t);
/* No sequence is open any more: ask for all that is missing. */
void data_restart(struct iscsi_conn *c, struct iscsi_task *t);
/* The task has waited for data: ask again, or give up. */
void data_overdue(struct iscsi_conn *c, struct iscsi_task *t);
void data_r2t_again(struct iscsi_conn *c, struct iscsi_task *t, uint32_t begin, uint32_t run, const uint8_t *bhs);
/* snack.c */
void snack_end(struct iscsi_conn *c, const uint8_t *bhs);
/* tmf.c */
void tmf_request(struct iscsi_conn *c, const uint8_t *bhs);
void tmf_finish(struct iscsi_session *s, struct iscsi_tmf *tmf);
/* Answered at once when no task is left running, else when the last of them ends. */
void tmf_wait(struct iscsi_session *s, struct iscsi_tmf *tmf);
/* Nobody is left on `c` to be told. */
void tmf_forget(struct iscsi_session *s, struct iscsi_conn *c);
/* logout.c */
void logout_request(struct iscsi_conn *c, const uint8_t *bhs);
void logout_finish(struct iscsi_conn *c, const struct iscsi_tmf *tmf);
/* text.c */
void text_request(struct iscsi_conn *c, const uint8_t *bhs);
void text_answer(struct iscsi_conn *c, const uint8_t *bhs);
/* out.c */
uint8_t *conn_put(struct iscsi_conn *c, enum pdu_op op, uint8_t flags, uint32_t itt, const void *data,
	uint32_t len);
void conn_put_task(struct iscsi_conn *c, struct iscsi_task *t);
void conn_enqueue(struct iscsi_conn *c, struct iscsi_out *o);
/* So much waits that nothing is read until some is gone: a peer that sends and does not read costs no more. */
bool conn_out_full(const struct iscsi_conn *c);
/* An asynchronous message (11.9); its BHS, for the parameters. */
uint8_t *conn_async(struct iscsi_conn *c, enum async_event event);
/* Of an answer that was begun on another connection: what the initiator has not. */
void conn_put_task_rest(struct iscsi_conn *c, struct iscsi_task *t);
/* Again: Data-In from DataSN `begin` up to `end`, then the response if it was sent and `status`. */
void conn_put_again(struct iscsi_conn *c, struct iscsi_task *t, uint32_t begin, uint32_t end, bool status);
/* Again, cut anew from DataSN `from` on, all there is and the response. */
void conn_put_recut(struct iscsi_conn *c, struct iscsi_task *t, uint32_t from);
/* Again: what has these StatSNs. */
void conn_put_status_again(struct iscsi_conn *c, uint32_t begin, uint32_t end);
/* The initiator has everything before `expstatsn`. */
void conn_ack(struct iscsi_conn *c, uint32_t expstatsn);
void conn_reject(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason);
void conn_out_init(struct iscsi_conn *c);
/* Small PDUs are dropped; tasks are left to the caller, in no list. */
void conn_out_fini(struct iscsi_conn *c);
/* Nothing waits to be sent for the task any more, but what is in the wire ring. */
void conn_out_forget(struct iscsi_conn *c, struct iscsi_task *t);
/* From DataSN `datasn` on, data-in is cut for this connection, and not sent yet. */
void conn_cut_from(const struct iscsi_conn *c, struct iscsi_task *t, uint32_t datasn);
/* Its answer is complete: to its connection, or it waits for one. */
void task_answer(struct iscsi_task *t);
/* conn.c */
void request_login(struct iscsi_conn *c, const uint8_t *bhs);
void conn_forget(struct iscsi_conn *c, struct iscsi_task *t);
void conn_ping(struct iscsi_conn *c);
/* Before all that waits. */
void conn_ping_first(struct iscsi_conn *c);
/* fence.c: what is put on `c` between begin and end is fenced. False: it need not be, and there is no end. */
bool fence_begin(struct iscsi_session *s, struct iscsi_conn *c);
void fence_end(struct iscsi_conn *c);
/* May the output of `c` go on behind this mark? */
bool fence_passes(struct iscsi_conn *c, const struct iscsi_out *o);
/* Those whose response was to leave on `c` are no more; NULL: none is. */
void fence_forget(struct iscsi_session *s, const struct iscsi_conn *c);

static inline bool conn_erl(const struct iscsi_conn *c, unsigned level)
{
	return c->session && c->session->params.erl >= level;
}

#endif
