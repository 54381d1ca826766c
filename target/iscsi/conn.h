/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, target side, without I/O: bytes in, bytes and tasks out.
 *
 *   in:   conn_want says where the next bytes should land (a task's own data buffer), conn_got that they have; all other
 *         bytes are given by conn_feed from memory of the caller's. One read can do both (readv), and hold many PDUs.
 *   out:  conn_output lists bytes to send, conn_sent says how many were. One writev can hold many PDUs.
 *   then: conn->ask (a question to answer), session_next_task (commands to execute), conn_next_tmf, conn->closing.
 *
 * Time comes in by conn_tick only. Not thread-safe: a connection and its session belong to one thread.
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
#define CONN_TEXT_MAX KEYS_TEXT_MAX

struct iscsi_iov {              /* as struct iovec */
	void *base;
	size_t len;
};

/* RFC 7143 8.1.4 */
enum conn_state {
	CONN_S1_FREE, CONN_S3_XPT_UP, CONN_S4_IN_LOGIN, CONN_S5_LOGGED_IN, CONN_S6_IN_LOGOUT, CONN_S7_LOGOUT_REQUESTED,
	CONN_S8_CLEANUP_WAIT, CONN_N_STATES,
};

enum conn_ask {
	ASK_NONE,
	ASK_POLICY,             /* see conn->login; answer with conn_policy */
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
	struct iscsi_out *last;         /* the last PDU of this: released when it was sent */
};

/* Task management that the connection cannot do alone, or that waits for tasks to end. */
struct iscsi_tmf {
	struct iscsi_tmf *next;
	uint32_t itt;
	uint8_t function;               /* enum tmf_function */
	uint8_t response;               /* enum tmf_response */
	uint8_t lun[8];
	bool deciding;                  /* the owner has it: conn_tmf_done is to come */
	bool listed;
	unsigned waiting;               /* tasks still running */
};

struct iscsi_conn_conf {
	struct task_pool *pool;
	uint32_t ping_ms;               /* after so long without a byte, ask whether it lives; 0: never */
	uint32_t login_ms;              /* for the whole login */
};

struct iscsi_conn {
	enum conn_state state;
	struct iscsi_conn_conf conf;
	struct iscsi_session *session;          /* from the full feature phase on */
	void *user;                             /* the owner's */
	enum conn_ask ask;
	const char *ask_text;
	enum conn_closing closing;
	const char *why;                        /* it closes; static text */
	uint16_t cid;
	uint32_t statsn;
	struct login *login;                    /* NULL after it */
	bool header_digest, data_digest;

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
		bool turns;                     /* it closed a gap of CmdSN: others from `turn` on are due */
		uint32_t turn;
		struct buf data;                /* of PDUs without a task */
		struct buf backlog;             /* fed while a question was open */
	} in;

	/* output */
	struct iscsi_out *out, **out_tail;
	unsigned n_small;
	struct iscsi_wire wire[CONN_WIRE_MAX];
	unsigned wire_first, n_wire;
	size_t wire_sent;                       /* bytes of the first one that are gone */

	/* text request in work (11.10) */
	struct buf text_in, text_out;
	size_t text_at;
	uint32_t text_ttt;

	struct iscsi_tmf *tmfs;                 /* for the owner */

	/* time */
	struct mono now, heard, deadline;
	bool pinged;
	uint64_t bytes_in;
	uint64_t heard_bytes;
	uint32_t ping_tag;
};

struct iscsi_conn *iscsi_conn_new(const struct iscsi_conn_conf *conf, struct mono now);
/*
 * The connection is over, however that came. Tasks that nobody runs go; `session` is left without
 * connection, and is the owner's to free when n_running is 0. NULLs the pointer.
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
/* `s` is made with iscsi_session_new from conn->login; NULL with a status that is not OK. */
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

/* ---- time, and ends ---- */

/* Returns when to call again. */
struct mono conn_tick(struct iscsi_conn *c, struct mono now);
/* Ask the initiator to log out (11.9.1 event 1) within `ms`. */
void conn_request_logout(struct iscsi_conn *c, uint32_t ms);
void conn_close(struct iscsi_conn *c, const char *why);
void conn_move(struct iscsi_conn *c, enum conn_state to);

/* ---- inside the room ---- */

/* request.c: a header is complete (says where its data goes, in c->in), and a whole PDU is. */
void request_begin(struct iscsi_conn *c, const uint8_t *bhs);
void request_end(struct iscsi_conn *c, const uint8_t *bhs);
/* text.c */
void text_request(struct iscsi_conn *c, const uint8_t *bhs);
void text_answer(struct iscsi_conn *c, const uint8_t *bhs);
/* out.c */
uint8_t *conn_put(struct iscsi_conn *c, enum pdu_op op, uint8_t flags, uint32_t itt, const void *data,
	uint32_t len);
void conn_put_task(struct iscsi_conn *c, struct iscsi_task *t);
void conn_reject(struct iscsi_conn *c, const uint8_t *bhs, enum reject_reason reason);
void conn_out_init(struct iscsi_conn *c);
void conn_out_fini(struct iscsi_conn *c);
void conn_solicit(struct iscsi_conn *c, struct iscsi_task *t);
/* conn.c */
void request_login(struct iscsi_conn *c, const uint8_t *bhs);
void conn_forget(struct iscsi_conn *c, struct iscsi_task *t);
void conn_tmf_finish(struct iscsi_session *s, struct iscsi_tmf *tmf);
/* session.c: every CmdSN from `from` up to ExpCmdSN has its turn. */
void session_turns(struct iscsi_session *s, uint32_t from);

#endif
