/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director/iscsi.h - libdirector-iscsi: an iSCSI initiator in a program, with asynchronous I/O.
 *
 * A *loop* owns sockets and time; a *session* is a login to one target, with one or more connections, and belongs to
 * one loop; a command is a struct of the caller's. A command comes back exactly once, through its `done`: when the
 * target has answered it, when its deadline passes, or when it is canceled. Connections that fail in between, and
 * whole sessions, are made anew, and commands go on on them: by the recovery of ErrorRecoveryLevel 1 and 2 where the
 * target has it, else by sending them again where that is harmless (DIRECTOR_ISCSI_REPEAT).
 *
 * A loop runs in one of three ways:
 *   - in the caller's own event loop: poll director_iscsi_loop_fd() for reading, with director_iscsi_loop_timeout() as
 *     the longest wait, and call director_iscsi_loop_run(loop, 0) when it is ready. Then the loop and its sessions
 *     belong to one thread, and `done` and `event` are called inside of that call only;
 *   - in a thread of its own, from director_iscsi_loop_start() on: then every function may be called from any thread,
 *     and `done` and `event` are called on the loop's thread;
 *   - on threads of the caller's, one after the other, from the first director_iscsi_loop_adopt() on: the thread that has
 *     adopted it runs it as in the first way, where director_iscsi_loop_flush() calls `done` and `event`, too; and every
 *     function may be called from any thread, as in the second. What that thread submits goes without a lock and without
 *     waking anybody. The others wait for its next turn when they ask for more than to submit, so it must not wait for them.
 * All may submit and cancel in `done` and `event`, but not close the session or free the loop.
 *
 * Functions return 0 or a negative errno unless it says otherwise. Nothing here raises signals or prints.
 */
#ifndef DIRECTOR_ISCSI_H
#define DIRECTOR_ISCSI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DIRECTOR_ISCSI_API __attribute__((visibility("default")))
#else
#define DIRECTOR_ISCSI_API
#endif

struct director_iscsi_loop;
struct director_iscsi;

/* ---- the loop ---- */

/* A new loop; NULL: out of memory or of descriptors (errno). */
DIRECTOR_ISCSI_API struct director_iscsi_loop *director_iscsi_loop_new(void);
/* All of its sessions are closed. Ends its thread. NULLs the pointer. */
DIRECTOR_ISCSI_API void director_iscsi_loop_free(struct director_iscsi_loop **loop);
/* The descriptor to poll for reading; the loop's. */
DIRECTOR_ISCSI_API int director_iscsi_loop_fd(const struct director_iscsi_loop *loop);
/* Milliseconds until director_iscsi_loop_run() must be called even if the descriptor is not ready; -1: for ever. */
DIRECTOR_ISCSI_API int director_iscsi_loop_timeout(struct director_iscsi_loop *loop);
/* Do what is to be done, waiting for it at most `timeout_ms` (0: not at all, -1: until something happens). */
DIRECTOR_ISCSI_API int director_iscsi_loop_run(struct director_iscsi_loop *loop, int timeout_ms);
/*
 * May the loop bind the thread that runs it to the processor that it is on (sched_setaffinity), while commands come back one by one?
 * A target on the same machine can then come to it, and neither has to wait until a processor has woken up. It is let go when
 * several come back at a time, when it waits there behind others, and with the loop; it is not bound if it is the first thread of
 * the process, or may not use all processors that that one may. Threads made in `done` and `event` begin bound as it is. The
 * default is yes for a loop with a thread of its own, and no for one that runs on the caller's.
 */
DIRECTOR_ISCSI_API void director_iscsi_loop_stay(struct director_iscsi_loop *loop, int yes);
/* Give the loop a thread of its own. It ends with the loop. */
DIRECTOR_ISCSI_API int director_iscsi_loop_start(struct director_iscsi_loop *loop);
/*
 * The calling thread runs the loop from now on; nobody else does, and it was not started. The first adoption comes before others
 * use it. `scratch`: `size` bytes to receive into, of this thread's, which its loops may share; a quarter of a MiB is plenty. Not in
 * `done` or `event`.
 */
DIRECTOR_ISCSI_API void director_iscsi_loop_adopt(struct director_iscsi_loop *loop, void *scratch, size_t size);
/* Nobody runs it until another thread adopts it: what is asked of it meanwhile waits. On the thread that runs it, as above. */
DIRECTOR_ISCSI_API void director_iscsi_loop_leave(struct director_iscsi_loop *loop);
/*
 * On the thread that has adopted it. What is submitted there between these two is sent by the second one, together; other
 * I/O there makes director_iscsi_loop_fd() readable, and is sent by director_iscsi_loop_run().
 */
DIRECTOR_ISCSI_API void director_iscsi_loop_hold(struct director_iscsi_loop *loop);
DIRECTOR_ISCSI_API void director_iscsi_loop_flush(struct director_iscsi_loop *loop);

/* ---- a session ---- */

enum director_iscsi_digest {
	DIRECTOR_ISCSI_DIGEST_NONE,
	DIRECTOR_ISCSI_DIGEST_PREFER,   /* CRC32C where the target has it */
	DIRECTOR_ISCSI_DIGEST_REQUIRE,
};

/* CHAP algorithms, by IANA's numbers */
#define DIRECTOR_ISCSI_CHAP_MD5 5
#define DIRECTOR_ISCSI_CHAP_SHA1 6
#define DIRECTOR_ISCSI_CHAP_SHA256 7
#define DIRECTOR_ISCSI_CHAP_SHA3_256 8

enum director_iscsi_event_kind {
	DIRECTOR_ISCSI_UP = 1,          /* logged in (again): commands flow */
	DIRECTOR_ISCSI_DOWN,            /* no connection is left; attempts go on until the session is closed */
	DIRECTOR_ISCSI_REFUSED,         /* the target refused a login; `status` is class and detail (RFC 7143 11.13.5) */
	DIRECTOR_ISCSI_FAILED,          /* an attempt failed for another reason; `text` */
	DIRECTOR_ISCSI_CONN_UP,         /* one connection of several; `value` is its CID */
	DIRECTOR_ISCSI_CONN_LOST,
	DIRECTOR_ISCSI_RECOVERED,       /* ERL 2: `value` tasks of a lost connection go on, on another one */
	DIRECTOR_ISCSI_REPLAYED,        /* `value` commands of a lost session were sent again */
	DIRECTOR_ISCSI_ASYNC,           /* an asynchronous message; `value` is AsyncEvent (RFC 7143 11.9.1) */
	DIRECTOR_ISCSI_MOVED,           /* the target redirected us; `text` is the address */
};

struct director_iscsi_event {
	uint32_t kind;                  /* enum director_iscsi_event_kind */
	uint32_t value;
	uint16_t status;
	char text[162];
};

/*
 * What to connect to, and how. director_iscsi_conf_init() fills in the defaults given in brackets; strings are copied
 * by director_iscsi_open().
 */
struct director_iscsi_conf {
	uint32_t struct_size;           /* set by director_iscsi_conf_init() */
	const char *initiator;          /* our iSCSI name [iqn.2026-11.org.director:HOSTNAME] */
	const char *alias;              /* [none] */
	const char *target;             /* the target's name; NULL: a discovery session */
	const char *const *portals;     /* "10.0.0.1", "10.0.0.1:3260", "[fe80::1%eth0]:3260", NULL at the end; tried in turn */
	const char *user, *secret;      /* CHAP: who we are [none] */
	const char *target_user, *target_secret;        /* mutual CHAP: what the target must prove; the user may be NULL: any */
	uint8_t chap[4];                /* DIRECTOR_ISCSI_CHAP_*, best first, 0 at the end [SHA3-256, SHA-256, SHA-1, MD5] */
	uint32_t header_digest, data_digest;    /* enum director_iscsi_digest [PREFER NONE: none] */
	uint8_t isid[6];                /* all zero: a random one is made [zero] */
	uint16_t connections;           /* MaxConnections that we use, 1 to 16 [1] */
	uint16_t erl;                   /* ErrorRecoveryLevel offered, 0 to 2 [0] */
	uint32_t queue_depth;           /* commands at the target at a time, 1 to 4096 [128]; more wait here */
	uint32_t max_recv;              /* MaxRecvDataSegmentLength [262144] */
	uint32_t max_burst, first_burst;        /* [1048576, 262144] */
	uint32_t max_r2t;               /* MaxOutstandingR2T, 1 to 16 [8] */
	uint32_t initial_r2t, immediate_data;   /* 0: No, 1: Yes [0, 1] */
	uint32_t time2wait, time2retain;        /* seconds [0, 60] */
	uint32_t login_ms;              /* for one attempt, connect and login [10000] */
	uint32_t ping_ms;               /* silence after which NOP-Out asks, and the time for the answer; 0: never [5000] */
	uint32_t retry_min_ms, retry_max_ms;    /* between attempts, doubling [100, 2000] */
	uint32_t command_ms;            /* deadline of commands that bring none; 0: none [30000] */
	uint32_t command_retry_ms;      /* ERL 1: a command that the target has not acknowledged is sent again [2000] */
	uint32_t flags;                 /* DIRECTOR_ISCSI_F_* [0] */
	/* What becomes of the session; may be NULL. Called as `done` is. `ev` is borrowed for the call. */
	void (*event)(void *arg, struct director_iscsi *h, const struct director_iscsi_event *ev);
	void *arg;
};

#define DIRECTOR_ISCSI_F_REASSIGN_255 1u        /* the peer garbles the answer to TASK REASSIGN: 255 means done, 0 no such task (Linux LIO) */
#define DIRECTOR_ISCSI_F_ONCE 2u                /* director_iscsi_wait(): give up at the first attempt that fails */
/*
 * What a LUN says first in a session that replaces a lost one (29h: power on, reset) is handed on as it is. Else commands with
 * DIRECTOR_ISCSI_REPEAT are sent again and nobody hears of it; but it is the only sign that the LUN has lost what it had not flushed.
 */
#define DIRECTOR_ISCSI_F_ATTENTIONS 4u
/*
 * The target executes nothing any more that it had not taken when it said that it drops the session (Asynchronous Message, event 3):
 * what the ExpCmdSN of that message does not cover was certainly not executed. RFC 7143 does not promise it; director-target does.
 */
#define DIRECTOR_ISCSI_F_LAST_WORD 8u

/* Fill in the defaults. */
DIRECTOR_ISCSI_API void director_iscsi_conf_init(struct director_iscsi_conf *conf);
/*
 * Begin to log in. Returns at once; commands may be submitted at once, and wait. -EINVAL: a value is out of range, a name
 * is not an iSCSI name, both secrets are the same, or a portal is not an address (host names are resolved here, once, which may take a while).
 */
DIRECTOR_ISCSI_API int director_iscsi_open(struct director_iscsi_loop *loop, const struct director_iscsi_conf *conf,
	struct director_iscsi **h);
/*
 * Wait until the session is logged in, at most `timeout_ms`. -ETIMEDOUT; -EACCES, -ENOENT and others when the target
 * refused for good (status class 2), which `why` (of `size` bytes, may be NULL) explains. Runs the loop if it has no
 * thread. Not in `done` or `event`.
 */
DIRECTOR_ISCSI_API int director_iscsi_wait(struct director_iscsi *h, int timeout_ms, char *why, size_t size);
/*
 * Cancel every command (their `done` is called, with -ECANCELED, before this returns), log out within `logout_ms` (0:
 * just hang up), and free the session. Not in `done` or `event`. NULLs the pointer.
 */
DIRECTOR_ISCSI_API void director_iscsi_close(struct director_iscsi **h, uint32_t logout_ms);

/* What was negotiated, and counters. */
struct director_iscsi_status {
	uint32_t struct_size;           /* the caller's sizeof */
	uint32_t up;                    /* connections that are logged in */
	uint32_t header_digest, data_digest;    /* 0 or 1 */
	uint32_t erl, connections;
	uint32_t immediate_data, initial_r2t, max_burst, first_burst, max_r2t, max_send;
	uint32_t time2wait, time2retain;
	uint32_t waiting, at_target;    /* commands */
	uint16_t tsih, reserved;
	uint32_t reserved2;
	uint64_t commands, bytes_in, bytes_out;
	uint64_t logins, losses;        /* of connections */
	uint64_t replayed, reassigned, retried, snacks, digest_errors;
	uint64_t reassigned_done;       /* of the reassigned, how many were then answered */
};

/* `st->struct_size` is set by the caller. */
DIRECTOR_ISCSI_API void director_iscsi_get_status(struct director_iscsi *h, struct director_iscsi_status *st);

/* ---- commands ---- */

/*
 * Executing it twice is harmless: reads, and writes where nobody else writes before it is answered. A command without it goes
 * over as many connections as ERL 2 saves its session on, and is executed once, or comes back with -EIO and `sent`.
 */
#define DIRECTOR_ISCSI_REPEAT 1u
#define DIRECTOR_ISCSI_ORDERED 2u       /* task attribute; the default is SIMPLE */
#define DIRECTOR_ISCSI_HEAD_OF_QUEUE 4u

#define DIRECTOR_ISCSI_UNDERFLOW 1u     /* the target moved `residual` bytes less than expected */
#define DIRECTOR_ISCSI_OVERFLOW 2u      /* it would have moved `residual` bytes more */

#define DIRECTOR_ISCSI_IO_PRIVATE 720

/*
 * One SCSI command. The caller's memory, the library's from submit to done; fields before `done` are the request and are
 * not changed. Zero it before the first use; it may be used again and again.
 */
struct director_iscsi_io {
	uint64_t lun;                   /* a number up to 16383; larger values are the eight bytes of SAM-5 4.7, big-endian */
	uint8_t cdb[32];
	uint32_t cdb_len;               /* 6 to 32 */
	uint32_t flags;                 /* DIRECTOR_ISCSI_REPEAT … */
	const struct iovec *in;         /* where data of the target goes */
	const struct iovec *out;        /* data for the target */
	uint32_t n_in, n_out;
	uint32_t in_len, out_len;       /* bytes; at most what the vectors hold */
	uint32_t timeout_ms;            /* 0: the session's command_ms */
	uint32_t reserved;
	void *user;
	void (*done)(struct director_iscsi_io *io);

	/*
	 * 0: the target has answered, and `status` says what. Else a negative errno: -ETIMEDOUT (its deadline passed),
	 * -ECANCELED, -EIO (its session was lost and it may not be repeated), -EPROTO (the target refused the PDU), -EINVAL (the
	 * request makes no sense). With any of these `sent` says whether it may have been executed.
	 */
	int32_t result;
	uint8_t status;                 /* SCSI status: 0 GOOD, 2 CHECK CONDITION … */
	uint8_t sense_key, asc, ascq;   /* of CHECK CONDITION */
	uint32_t got;                   /* bytes of data-in that came */
	uint32_t residual, residual_flags;      /* DIRECTOR_ISCSI_UNDERFLOW, _OVERFLOW */
	uint32_t sense_len;
	uint8_t sense[252];
	uint32_t sent;                  /* 1: a part of it may have reached the target; 0: it was certainly not executed */
	uint64_t opaque[DIRECTOR_ISCSI_IO_PRIVATE / 8];
};

/* Hand over a command. It always comes back by `done`, never inside of this call. */
DIRECTOR_ISCSI_API void director_iscsi_submit(struct director_iscsi *h, struct director_iscsi_io *io);
/*
 * End a command now, with -ECANCELED. The target is asked to abort it; whether it was executed is not known. Nothing happens
 * when it is over already.
 */
DIRECTOR_ISCSI_API void director_iscsi_cancel(struct director_iscsi *h, struct director_iscsi_io *io);
/* Submit and wait for it; returns io->result. Runs the loop if it has no thread. Not in `done` or `event`. */
DIRECTOR_ISCSI_API int director_iscsi_do(struct director_iscsi *h, struct director_iscsi_io *io);

/* Make READ(16) and WRITE(16) of `blocks` blocks of `block_size` bytes; `iov` stays the caller's. They are REPEAT. */
DIRECTOR_ISCSI_API void director_iscsi_prep_read(struct director_iscsi_io *io, uint64_t lun, uint64_t lba, uint32_t blocks,
	uint32_t block_size, const struct iovec *iov, uint32_t n_iov);
DIRECTOR_ISCSI_API void director_iscsi_prep_write(struct director_iscsi_io *io, uint64_t lun, uint64_t lba, uint32_t blocks,
	uint32_t block_size, const struct iovec *iov, uint32_t n_iov);
/* A sentence about the outcome of `io`, into `text`; returns text. */
DIRECTOR_ISCSI_API char *director_iscsi_io_text(const struct director_iscsi_io *io, char *text, size_t size);

/* What an answer means for one who reads and writes blocks. */
struct director_iscsi_verdict {
	int32_t error;                  /* 0, or a negative errno (-EILSEQ: miscompare, -ENOSPC, -EROFS, -EBADE: reserved …) */
	uint8_t retry;                  /* nothing was done; it is to be sent again, `retry_ms` from now (unit attentions, busy …) */
	uint8_t sense;                  /* the sense data says more than the errno */
	uint16_t reserved;
	uint32_t retry_ms;
	uint64_t information;           /* of a miscompare: its offset */
};

DIRECTOR_ISCSI_API struct director_iscsi_verdict director_iscsi_judge(const struct director_iscsi_io *io);

/* Task management functions (RFC 7143 11.5.1). */
enum director_iscsi_tmf {
	DIRECTOR_ISCSI_ABORT_TASK_SET = 2,
	DIRECTOR_ISCSI_CLEAR_TASK_SET = 4,
	DIRECTOR_ISCSI_LUN_RESET = 5,
	DIRECTOR_ISCSI_TARGET_WARM_RESET = 6,
	DIRECTOR_ISCSI_TARGET_COLD_RESET = 7,
};

/*
 * Carry out a task management function and wait for it. Returns the response (0: done; RFC 7143 11.6.1), or a
 * negative errno. Commands that it ends at the target do not come back by themselves: cancel them. Not in `done` or `event`.
 */
DIRECTOR_ISCSI_API int director_iscsi_manage(struct director_iscsi *h, enum director_iscsi_tmf function, uint64_t lun,
	uint32_t timeout_ms);

/* ---- a disk ---- */

/* What a logical unit says of itself, for those who read and write blocks. */
struct director_iscsi_disk {
	uint32_t struct_size;           /* the caller's sizeof */
	uint32_t block_size, physical_block;
	uint64_t blocks;
	uint8_t type;                   /* peripheral device type; 0: disk */
	uint8_t removable, read_only, write_cache, fua;
	uint8_t thin, unmap, write_same, zeroes;        /* unmap: UNMAP works; write_same: with UNMAP; zeroes: LBPRZ */
	uint32_t caw_blocks;            /* COMPARE AND WRITE; 0: no */
	uint32_t max_blocks, optimal_blocks;    /* of one READ or WRITE; 0: no bound, unknown */
	uint32_t max_unmap, unmap_granularity;  /* blocks */
	uint64_t max_write_same;
	char vendor[9], product[17], revision[5], serial[65];
	char id[129];                   /* the best designator of page 83h, as text ("naa.6…", "t10.…"); "": none */
};

/* Ask (INQUIRY, VPD pages, READ CAPACITY, MODE SENSE) and wait. Unit attentions are skipped. */
DIRECTOR_ISCSI_API int director_iscsi_get_disk(struct director_iscsi *h, uint64_t lun, struct director_iscsi_disk *disk,
	char *why, size_t size);
/* The LUNs of the target: at most `max` to `luns`; returns how many there are, or a negative errno. */
DIRECTOR_ISCSI_API int director_iscsi_get_luns(struct director_iscsi *h, uint64_t *luns, unsigned max);

/* ---- discovery ---- */

/*
 * SendTargets=All at the portals of `conf` (its target is ignored), in a discovery session of its own. `found` is called for
 * each address of each target ("10.0.0.1:3260,1"; "" when the target names none). Returns 0 or a negative errno, which `why`
 * explains. It uses no loop of the caller's, and blocks at most `timeout_ms`.
 */
DIRECTOR_ISCSI_API int director_iscsi_discover(const struct director_iscsi_conf *conf, int timeout_ms,
	void (*found)(void *arg, const char *target, const char *address), void *arg, char *why, size_t size);

#ifdef __cplusplus
}
#endif
#endif
