/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session, initiator side, without I/O: commands and bytes in, bytes and completions out.
 *
 *   connections:  ini_conn_ask says what the owner is to do with a connection (connect to conn->address, close); it tells
 *                 by ini_connecting, ini_connected, ini_lost, ini_closed what became of it.
 *   in:           ini_want says where the next bytes should land (the caller's own buffer), ini_got that they have;
 *                 all other bytes are given by ini_feed. One readv can do both, and hold many PDUs.
 *   out:          ini_output lists bytes to send, ini_sent says how many were. One writev can hold many PDUs.
 *   then:         ini_next_done (commands that are over), ini_next_event (what became of the session).
 *   time:         ini_tick only; it returns when it wants to be called again.
 *
 * What outlives a connection is the session's: a command is over when the target has answered it, when its deadline
 * passes, or when it is canceled; until then it goes over as many connections and sessions as that takes.
 * Nothing is allocated for a command: all of its state is in struct ini_cmd, which is the caller's.
 * Not thread-safe.
 */
#ifndef ISCSI_INI_H
#define ISCSI_INI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mono.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/login.h"
#include "target/iscsi/pdu.h"

#define INI_CONN_MAX 16
#define INI_PORTAL_MAX 16
#define INI_DEPTH_MAX 4096
#define INI_R2T_MAX 16                  /* MaxOutstandingR2T that we offer at most */
#define INI_TMF_MAX 32
#define INI_STATSN_WINDOW 1024          /* statuses that may be ahead of a missing one (ERL 1) */
#define INI_ADDRESS_MAX 300

struct ini_session;
struct ini_conn;

struct ini_iov {                /* as struct iovec */
	void *base;
	size_t len;
};

/* ---- what is wanted ---- */

enum ini_digest { INI_DIGEST_NONE, INI_DIGEST_PREFER, INI_DIGEST_REQUIRE };

struct ini_conf {
	const char *initiator, *alias;
	const char *target;                     /* NULL: a discovery session */
	const char *portals[INI_PORTAL_MAX];    /* text for the owner, tried in turn */
	unsigned n_portals;
	/* CHAP: we prove `secret`; the target proves `target_secret` when it is given. */
	const char *user, *secret, *target_user, *target_secret;
	uint8_t chap[4];                        /* enum chap_algorithm, best first */
	unsigned n_chap;
	enum ini_digest header_digest, data_digest;
	struct iscsi_params offer;              /* what we offer; max_recv is what we declare */
	uint8_t isid[6];
	unsigned connections, depth;
	uint32_t login_ms;                      /* for one attempt: connect and login */
	uint32_t ping_ms;                       /* silence after which NOP-Out asks, and the time it has; 0: never */
	uint32_t retry_min_ms, retry_max_ms;    /* between attempts */
	uint32_t command_retry_ms;              /* ERL 1: an unacknowledged command is sent again */
	uint32_t recover_ms;                    /* how long a failed connection is recovered (ERL 2) before the session is given up; 0: Time2Retain */
	bool attentions;                        /* unit attentions of a session that replaces a lost one are handed on */
	bool last_word;                         /* a target that drops the session has not taken what its ExpCmdSN then does not cover */
	bool reassign_255;                      /* a peer that garbles the answer to TASK REASSIGN: 255 is done, 0 no such task */
};

void ini_conf_default(struct ini_conf *conf);

/* ---- commands ---- */

enum ini_cmd_state {
	ICMD_IDLE,
	ICMD_WAITING,           /* for a window, a connection, a session */
	ICMD_QUEUED,            /* has a CmdSN and a connection; not all of it is sent */
	ICMD_SENT,              /* the target's turn */
	ICMD_LIMBO,             /* its connection failed (ERL 2): to be sent again or reassigned */
	ICMD_REASSIGNING,
	ICMD_OVER,              /* on the list of the done, or as soon as no bytes of it wait in the output */
};

/* One R2T that is being answered (7143 11.8). */
struct ini_r2t {
	uint32_t ttt, offset, len, sent, datasn;
};

struct ini_cmd {
	/* The request: the caller's, untouched until it is over. */
	uint8_t lun[8];
	const uint8_t *cdb;
	uint16_t cdb_len, sense_max;
	uint8_t *sense;                         /* room for sense_max bytes */
	uint8_t attr;                           /* enum task_attr */
	bool read, write;
	bool repeat;                            /* harmless to execute again: may go to a new session when its fate is unknown */
	const struct ini_iov *in, *out;         /* where data-in goes, where data-out is */
	unsigned n_in, n_out;
	uint32_t in_len, out_len;
	struct mono deadline;

	/* The answer. `result`: 0, the target has answered, see status; else a negative ERR_*. */
	int result;
	uint8_t status, response;
	bool underflow, overflow, bidi_underflow, bidi_overflow;
	uint16_t sense_len;
	uint32_t residual, bidi_residual;
	uint32_t got;                           /* bytes of data-in */

	void *user;

	/* inside */
	struct ini_cmd *next;                   /* waiting, queued on a connection, done */
	struct ini_cmd *data_next;              /* of those with data to send */
	struct ini_conn *conn;
	enum ini_cmd_state state;
	uint32_t itt, cmdsn;
	uint32_t sent_out;                      /* unsolicited data already cut into PDUs */
	uint32_t unsolicited;                   /* how much of data-out goes without R2T */
	uint32_t datasn;                        /* of the unsolicited sequence */
	uint32_t exp_datasn;                    /* of Data-In */
	uint32_t exp_r2tsn;
	uint32_t in_seg, in_seg_at;             /* cursor in `in`: fragment, and its offset in the whole */
	uint32_t seen_ahead;                    /* ERL 1: Data-In after a missing one, as a bitmap from exp_datasn + 1 */
	uint32_t status_datasn;                 /* what the status says of how many there were */
	bool cut;                               /* its command PDU is in the output, or was sent */
	bool exposed;                           /* it was, at any time in this session: the target may have it */
	bool sent;                              /* it was, in any session, and may have been taken; for the caller */
	bool on_data;                           /* on conn->data */
	bool answered;                          /* status is here; data is missing (ERL 1) */
	bool retried;                           /* sent again with its CmdSN: who has it is not certain */
	bool r2t_any;                           /* the next R2T sets the count (after a reassignment the target goes on with its own) */
	bool moved;                             /* was reassigned */
	bool confirmed;                         /* TASK REASSIGN has settled who has it */
	uint32_t snacked_to;                    /* Data-In asked for again, up to here */
	unsigned wires;                         /* pieces of its memory in the output */
	struct mono sent_at;
	unsigned n_r2t;
	struct ini_r2t r2t[INI_R2T_MAX];
};

/* Task management (11.5). `result` as in commands; `response` is the target's. */
struct ini_tmf {
	uint8_t function;                       /* enum tmf_function */
	uint8_t lun[8];
	struct ini_cmd *task;                   /* ABORT TASK, QUERY TASK, TASK REASSIGN */
	struct mono deadline;
	int result;
	uint8_t response;
	void *user;
	/* inside */
	struct ini_tmf *next;
	uint32_t itt, rtt, ref_cmdsn, exp_datasn;
	struct ini_conn *conn;
};

/* ---- what becomes of the session ---- */

enum ini_event_kind {
	INI_EV_UP,              /* logged in (again) */
	INI_EV_DOWN,            /* the last connection is lost; attempts go on */
	INI_EV_REFUSED,         /* a login attempt was refused: `status`, text; attempts go on */
	INI_EV_FAILED,          /* a connection attempt failed: text */
	INI_EV_CONN_UP, INI_EV_CONN_LOST,       /* a connection of several: `value` is its CID */
	INI_EV_RECOVERED,       /* ERL 2: tasks of a lost connection go on; `value` is how many */
	INI_EV_REPLAYED,        /* a new session: `value` commands are sent again */
	INI_EV_ASYNC,           /* 11.9: `value` is AsyncEvent, text its vendor code or sense */
	INI_EV_MOVED,           /* redirected; text is the address */
};

struct ini_event {
	enum ini_event_kind kind;
	uint32_t value;
	uint16_t status;                        /* enum login_status */
	char text[160];
};

/* ---- connections ---- */

/* RFC 7143 8.1.3; S3 is a target's. */
enum ini_conn_state {
	INI_S1_FREE, INI_S2_XPT_WAIT, INI_S4_IN_LOGIN, INI_S5_LOGGED_IN, INI_S6_IN_LOGOUT, INI_S7_LOGOUT_REQUESTED,
	INI_S8_CLEANUP_WAIT, INI_CONN_N_STATES,
};

enum ini_ask { INI_ASK_NONE, INI_ASK_CONNECT, INI_ASK_CLOSE };

/* A small PDU with its own memory. */
struct ini_small {
	struct ini_small *next;
	uint32_t len;
	uint8_t bhs[BHS_LEN];
	uint8_t data[];
};

/* A piece of the output. */
struct ini_seg {
	const uint8_t *p;
	size_t len;
	struct ini_cmd *cmd;                    /* whose memory it is */
	struct ini_small *small;                /* freed with this piece */
};

#define INI_SEGS 512
#define INI_HEADS (32u << 10)           /* bytes of headers, padding and digests that wait */

struct ini_conn {
	struct ini_session *s;
	unsigned index;
	uint16_t cid;
	enum ini_conn_state state;
	enum ini_ask ask;
	char address[INI_ADDRESS_MAX];
	char redirect[INI_ADDRESS_MAX];         /* where the target sent us; "": nowhere */
	unsigned hops;
	void *user;                             /* the owner's */
	struct ini_login *login;
	bool header_digest, data_digest;
	bool leading;                           /* its login makes the session */
	bool failed;                            /* ERL 2: lost, and the target may still think it has it */
	bool cleaning;                          /* its Logout for recovery is under way on another connection */
	struct mono quiet_until;                /* S7: the Logout that the target asked for goes then, or with the last answer */
	uint32_t max_send;                      /* 13.12 is of the connection, not of the session */
	uint32_t exp_statsn;
	uint64_t stat_seen[INI_STATSN_WINDOW / 64];     /* statuses after exp_statsn, modulo the window */
	unsigned stat_ahead;
	uint32_t stat_snacked_to;               /* statuses asked for again, up to here */
	uint32_t acked_statsn;                  /* what the target was told */
	struct mono ack_due;
	unsigned n_tasks;
	struct mono retry_at, deadline;         /* next attempt; end of the login or of the logout */
	uint32_t backoff_ms;
	unsigned attempts;
	char why[96];

	struct {
		uint8_t header[PDU_HEADER_MAX];
		uint32_t have;
		bool in_data;
		uint32_t len, got, trailer, tail_have;
		uint8_t tail[3 + DIGEST_LEN];
		uint32_t offset;                /* of the data in the command's buffer */
		uint32_t crc;
		struct ini_cmd *cmd;            /* whose buffer the data goes to */
		bool keep;                      /* the data goes to `data`; neither: nowhere */
		struct buf data;
	} in;

	struct {
		struct ini_seg seg[INI_SEGS];
		unsigned first, n;
		size_t sent;                    /* bytes of the first one that are gone */
		uint8_t heads[INI_HEADS];
		uint32_t heads_len;
		struct ini_small *small, **small_tail;
		struct ini_cmd *todo, **todo_tail;      /* commands to cut */
		struct ini_cmd *data, **data_tail;      /* R2Ts to answer */
	} out;

	struct mono heard, pinged_at;
	bool pinged;
	uint64_t bytes_in, heard_bytes;
	uint32_t ping_gen, logout_itt;
	uint8_t logout_reason;
	struct ini_conn *logout_via;            /* who carries our Logout for recovery */
	struct mono clean_again;                /* if it is not answered until then */
};

/* ---- the session ---- */

/* RFC 7143 8.3.2 */
enum ini_session_state { INI_Q1_FREE, INI_Q3_LOGGED_IN, INI_Q4_FAILED, INI_SESSION_N_STATES };

struct ini_slot {
	struct ini_cmd *cmd;                    /* NULL and `zombie`: over for the caller, not yet for the target */
	uint16_t gen;
	bool zombie;
	struct ini_conn *conn;                  /* of a zombie */
	uint32_t next_free;
};

#define INI_EVENTS 64

struct ini_session {
	enum ini_session_state state;
	struct ini_conf conf;                   /* strings are ours */
	bool closing;                           /* no new attempts; `closed` when the logout is over */
	unsigned sessions;                      /* how many there were, with this one */
	uint16_t tsih, next_cid;
	struct iscsi_params params;
	struct ini_conn *conn;                  /* conf.connections of them */
	unsigned n_conns, n_up;
	unsigned portal;                        /* the next to try */
	uint32_t cmdsn, exp_cmdsn, max_cmdsn;
	struct ini_slot *slots;
	uint32_t free_slot;
	unsigned n_slots, n_busy;
	struct ini_cmd *waiting, **waiting_tail;
	struct ini_cmd *done, **done_tail;
	struct ini_tmf *tmfs;                   /* in work */
	struct ini_tmf *tmf_done;               /* of the caller's */
	uint16_t tmf_gen;
	struct ini_tmf own[INI_TMF_MAX];        /* aborts and reassignments of our own */
	uint32_t own_busy;
	unsigned n_limbo;
	struct mono limbo_wait, limbo_end;      /* Time2Wait and Time2Retain of the connection that was lost */
	struct mono reassign_at;                /* not before */
	struct mono now, next_deadline;
	struct ini_event events[INI_EVENTS];
	unsigned event_first, n_events;

	/* one text exchange at a time */
	struct {
		bool active, done;
		int result;
		struct buf in, out;
		uint32_t itt;
		struct ini_conn *conn;
		struct mono deadline;
	} text;

	/* counters */
	uint64_t commands, bytes_in, bytes_out, logins, losses, replayed, reassigned, moved_done, retried, snacks, digest_errors;
};

struct ini_session *ini_session_new(const struct ini_conf *conf, struct mono now);
/* Everything that is not over must have been taken (ini_cancel_all, ini_next_done). NULLs the pointer. */
void ini_session_free(struct ini_session **s);

/* ---- for the caller ---- */

/* The request half is filled in. It is over when ini_next_done gives it back. */
void ini_submit(struct ini_session *s, struct ini_cmd *cmd);
/* End it with `result`, whatever the target does; it comes back by ini_next_done. */
void ini_cancel(struct ini_session *s, struct ini_cmd *cmd, int result);
/* The same for every command. */
void ini_cancel_all(struct ini_session *s, int result);
struct ini_cmd *ini_next_done(struct ini_session *s);
void ini_tmf_submit(struct ini_session *s, struct ini_tmf *tmf);
struct ini_tmf *ini_next_tmf(struct ini_session *s);
/* Start a text exchange (11.10) with these pairs; ERR_BUSY, ERR_AGAIN (not logged in). The end: s->text.done. */
int ini_text(struct ini_session *s, const void *pairs, size_t len, struct mono deadline);
bool ini_next_event(struct ini_session *s, struct ini_event *ev);
/* Log out and stay away. Over when ini_is_down. */
void ini_logout(struct ini_session *s, uint32_t ms);
bool ini_is_down(const struct ini_session *s);

/* ---- for the owner of sockets ---- */

static inline struct ini_conn *ini_conn_of(struct ini_session *s, unsigned i)
{
	return &s->conn[i];
}

enum ini_ask ini_conn_ask(struct ini_conn *c);
void ini_connecting(struct ini_conn *c);
/* The transport is there. `random`: for this login only (CHAP challenge and identifier of our own). */
void ini_connected(struct ini_conn *c, const uint8_t random[CHAP_HASH_MAX + 1]);
/* The transport failed, or never came up. The owner has closed it. */
void ini_lost(struct ini_conn *c, const char *why);
/* The owner has closed what INI_ASK_CLOSE asked it to. */
void ini_closed(struct ini_conn *c);

uint32_t ini_want(struct ini_conn *c, void **p);
void ini_got(struct ini_conn *c, uint32_t n);
void ini_feed(struct ini_conn *c, const uint8_t *p, size_t n);
/* Up to `max` pieces to send; 0: nothing. They stay valid until ini_sent, ini_lost or ini_closed. */
unsigned ini_output(struct ini_conn *c, struct ini_iov *iov, unsigned max);
void ini_sent(struct ini_conn *c, size_t n);
struct mono ini_tick(struct ini_session *s, struct mono now);

/* ---- inside the room ---- */

void ini_conn_move(struct ini_conn *c, enum ini_conn_state to);
void ini_session_move(struct ini_session *s, enum ini_session_state to);
void ini_event(struct ini_session *s, enum ini_event_kind kind, uint32_t value, uint16_t status, const char *text);
/* ini_conn.c: it is over with this connection; the owner is asked to close it. */
void ini_drop(struct ini_conn *c, const char *why);
void ini_conn_init(struct ini_conn *c, struct ini_session *s, unsigned index);
void ini_conn_fini(struct ini_conn *c);
/* ini_out.c */
struct ini_small *ini_put(struct ini_conn *c, enum pdu_op op, uint8_t flags, uint32_t itt, const void *data, uint32_t len);
void ini_out_init(struct ini_conn *c);
void ini_out_clear(struct ini_conn *c);
void ini_ready_data(struct ini_conn *c, struct ini_cmd *cmd);
void ini_out_forget(struct ini_conn *c, struct ini_cmd *cmd);
/* ini_session.c */
void ini_dispatch(struct ini_session *s);
struct ini_cmd *ini_find(struct ini_session *s, uint32_t itt);
void ini_finish(struct ini_session *s, struct ini_cmd *cmd, int result);
void ini_flush_done(struct ini_session *s, struct ini_cmd *cmd);
void ini_zombie_end(struct ini_session *s, uint32_t itt);
void ini_window(struct ini_session *s, const uint8_t *bhs);
void ini_requeue(struct ini_session *s, struct ini_cmd *cmd);
unsigned ini_replay(struct ini_session *s);
/* ini_life.c */
void ini_conn_up(struct ini_conn *c);
void ini_conn_gone(struct ini_conn *c, enum ini_conn_state was);
void ini_session_lost(struct ini_session *s);
/* ini_pdu.c: a header is complete, and a whole PDU is. `damaged`: its data digest is wrong. */
void ini_pdu_begin(struct ini_conn *c, const uint8_t *bhs);
void ini_pdu_end(struct ini_conn *c, const uint8_t *bhs, bool damaged);
void ini_logout_own(struct ini_conn *c, uint32_t ms);
/* ini_recover.c: error recovery levels 1 and 2 */
void ini_snack(struct ini_conn *c, uint8_t type, uint32_t itt, uint32_t ttt, const uint8_t *lun, uint32_t begin, uint32_t run);
void ini_limbo(struct ini_conn *c);
void ini_recover_on(struct ini_conn *c);
struct mono ini_recover_tick(struct ini_session *s);
void ini_reassigned(struct ini_session *s, uint32_t itt, uint8_t response);
void ini_recovery_logout(struct ini_session *s, uint32_t itt, uint8_t response);
/* ini_tmf.c */
void ini_tmf_end(struct ini_session *s, uint32_t itt, uint8_t response);
void ini_tmf_conn_lost(struct ini_session *s, struct ini_conn *c);
void ini_tmf_tick(struct ini_session *s);
struct ini_tmf *ini_tmf_own(struct ini_session *s);
void ini_tmf_send(struct ini_session *s, struct ini_tmf *tmf, struct ini_conn *c);
/* ini_text.c */
void ini_text_end(struct ini_conn *c, const uint8_t *bhs);
void ini_text_fail(struct ini_session *s, int result);

#endif
