/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backstores as the target sees them: open a stack of plugin objects, submit I/O from any worker
 * thread, get each completion once on the thread that submitted. What a plugin cannot do is done here
 * (FUA by flush, zeroes by writes, compare-and-write under a range lock, splitting, bouncing), so that
 * the SCSI layer sees one kind of disk.
 *
 *      worker thread            host                                   plugin
 *      backstore_submit ------> checks, emulation --------------------> submit
 *      backstore_queue_run <--- the worker's queue <------------------- io_done, on any thread
 *
 * The path of an I/O that needs no emulation takes no lock and no memory.
 */
#ifndef SERVE_BACKSTORE_H
#define SERVE_BACKSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "director/plugin.h"
#include "target/serve/loader.h"

struct backstore;
struct backstore_host;
struct backstore_queue;

/* ---- the host: one per process ---- */

struct backstore_host_conf {
	const struct log *log;          /* must be callable from any thread; NULL: silent */
	unsigned threads_max;           /* of the pool for blocking plugins; 0: 16 */
};

/* -ENOMEM, or the error of thread creation. */
int backstore_host_new(const struct backstore_host_conf *, struct backstore_host **out);
/* Everything is closed and every queue freed before. Ends the threads and unloads the plugins. */
void backstore_host_free(struct backstore_host **);

/* Take a plugin that was loaded by hand (a file outside of the search path); given, and nulled on success. */
int backstore_plugin_add(struct backstore_host *, struct plugin **given, struct director_err *err);

/* ---- queues: one per thread that submits ---- */

/* Make the calling thread's queue. One per thread and host. -ENOMEM, -EMFILE. */
int backstore_queue_new(struct backstore_host *, struct backstore_queue **out);
/* By its own thread, with no I/O outstanding. */
void backstore_queue_free(struct backstore_queue **);
/*
 * Its thread waits for nothing but descriptors, and for no other thread: plugins may let it do what the I/O of others needs
 * (DIRECTOR_THREADS_TURNS).
 */
void backstore_queue_steady(struct backstore_queue *);
/* A descriptor (an epoll) to wait for: readable when backstore_queue_run has something to do. */
int backstore_queue_fd(const struct backstore_queue *);
/*
 * Deliver completions: calls done() of each I/O that is finished, and host business of this thread.
 * done() may submit; nothing is ever delivered from inside backstore_submit. Call it when the descriptor
 * is readable AND before waiting after a submission: completions that came on this very thread do not make
 * the descriptor readable. Returns how many were delivered; goes on until none is left, but gives the
 * thread back after `max` (0: 256), with the descriptor readable if something is left.
 */
unsigned backstore_queue_run(struct backstore_queue *, unsigned max);
/*
 * Between plug and unplug, submissions may be held back to reach the kernel together. Plug before a
 * batch of PDUs, unplug after it. Nests not. backstore_queue_run does it by itself for what done() submits.
 */
void backstore_plug(struct backstore_queue *);
void backstore_unplug(struct backstore_queue *);

/* ---- objects ---- */

/* What to open: a plugin, its parameters, and for stacked plugins what lies below. Borrowed for the call. */
struct backstore_spec {
	const char *plugin;             /* "file" */
	const struct plugin_pair *params;
	unsigned n_params;
	uint64_t size;                  /* fills the parameter `size` where a plugin has one; 0: nothing */
	const struct backstore_spec *children;
	unsigned n_children;
};

/* What the control side of the target wants to hear of an object. Each may be NULL. */
struct backstore_watch {
	/* DIRECTOR_EV_*; on the queue of the thread that opened (else on a host thread). */
	void (*event)(void *arg, struct backstore *, uint32_t kind, uint64_t value, uint64_t of);
	void *arg;
};

/*
 * The control verbs below may block (they touch storage) and are for a control thread, never for a done().
 * While they wait for other queues to run (close, fence, shrink) they run the calling thread's own queue.
 * All give negative errno and err->text (err may be NULL).
 */

/* Load and check: could this be opened? Touches no storage. */
int backstore_check(struct backstore_host *, const struct backstore_spec *, struct director_err *err);
/* Make the storage, leaves first. Done already with the same size: 0; with another: -EEXIST. */
int backstore_create(struct backstore_host *, const struct backstore_spec *, uint64_t size, struct director_err *err);
/* Remove the storage. Absent already: 0. */
int backstore_destroy(struct backstore_host *, const struct backstore_spec *, struct director_err *err);
/* Open the stack under `epoch`. */
int backstore_open(struct backstore_host *, const struct backstore_spec *, uint64_t epoch,
	const struct backstore_watch *, struct backstore **out, struct director_err *err);
/* No more events from here on, and none is under way. */
void backstore_unwatch(struct backstore *);
/*
 * Before backstore_close, to say how it ends (director/plugin.h, stop). Quiet: new I/O gets -ESHUTDOWN, what is in flight
 * ends first; an error says that it is not marked as quiet. Lost: what is in flight is given up and ends with an error.
 */
int backstore_stop(struct backstore *, bool lost, struct director_err *err);
/*
 * No new I/O (it gets -ESHUTDOWN), wait for what is in flight to complete, close. The caller's threads
 * must not use the pointer after this began, except to have completions delivered.
 */
void backstore_close(struct backstore **);
/* Refuse I/O of epochs before `epoch` from now on (-ESTALE); returns when none is in flight. */
int backstore_fence(struct backstore *, uint64_t epoch, struct director_err *err);
int backstore_resize(struct backstore *, uint64_t size, struct director_err *err);
/* Only LIVE parameters may differ; applies to the level of the stack `depth` below the top (0: the top). */
int backstore_reconfigure(struct backstore *, unsigned depth, const struct plugin_pair *params, unsigned n,
	struct director_err *err);
/*
 * The same for a whole stack: every level whose parameters differ from those of `spec` is asked to take them, also of
 * children that are missing. -EBUSY: the plugins are others, or a parameter is not LIVE; then nothing has changed.
 */
int backstore_reconfigure_all(struct backstore *, const struct backstore_spec *spec, struct director_err *err);

/*
 * What the object can do together with the host: FLUSH, FUA, ZERO, CAW and EXTENTS are always set, max_io
 * is 0 (anything is split). Cheap; any thread; `out->size` follows resize.
 */
void backstore_caps(const struct backstore *, struct director_caps *out);
/* What the plugin itself says. */
void backstore_caps_plugin(const struct backstore *, struct director_caps *out);
uint64_t backstore_size(const struct backstore *);
/* Under which it is open, or was fenced last. */
uint64_t backstore_epoch(const struct backstore *);
/* Room that the object takes, and how much more there is below. A control verb. -EOPNOTSUPP: it does not know. */
int backstore_space(struct backstore *, uint64_t *used, uint64_t *available);

/* ---- shares: a volume as other stacks of this process see it ---- */

/*
 * What the store `volume` with the parameter `uuid` refers to. It stays when the backstore under it is closed and
 * another one opened (a switch): I/O of references waits meanwhile, and what had failed because the old one was
 * going goes to the new one. Two kinds:
 *   leg      opening a reference under an epoch claims the leg, fencing a reference does too; I/O carries its
 *            opener's epoch, and gets -ESTALE once a newer epoch has claimed it.
 *   other    references come and go; I/O carries the epoch of the share.
 * A claim is also what a login at an inner portal makes (doc/ownership.md 9).
 */
struct backstore_share;

struct backstore_share_conf {
	uint8_t uuid[16];
	bool leg;
	uint64_t claimed;               /* leg: the newest epoch that is stored */
	/* leg: store the epoch durably, see to it that others of older epochs go. 0 or a negative errno. One call at a time. */
	int (*claim)(void *arg, uint64_t epoch, struct director_err *err);
	/* Not a leg. May what was done under `epoch` be answered now? If not it waits for backstore_share_go. NULL: yes. */
	bool (*may_answer)(void *arg, uint64_t epoch);
	/* Not a leg. Does `result` say that the way to the storage is lost, and that it is to be tried again? NULL: no. */
	bool (*tries_again)(void *arg, int32_t result);
	void *arg;
};

/* A share without a backstore yet. -EEXIST: one has this uuid. */
int backstore_share_new(struct backstore_host *, const struct backstore_share_conf *, struct backstore_share **out);
/* From now on I/O of references goes to `bs`, under `epoch` (of a leg: I/O of epochs before the claimed one is refused). */
int backstore_share_open(struct backstore_share *, struct backstore *bs, uint64_t epoch, struct director_err *err);
/*
 * Before bs is closed: new I/O of references waits. What is under way in bs is not waited for (backstore_close does it),
 * but no thread submits any more when this returns. Of control threads.
 */
void backstore_share_hold(struct backstore_share *);
/* may_answer would say yes now. Any thread. */
void backstore_share_go(struct backstore_share *);
/*
 * Of a leg: what was written and not flushed may be lost (DIRECTOR_EV_FORGOT). I/O of each reference fails with -ENOTCONN until
 * one has, and its capabilities, with the other life, have been asked for after it. Any thread.
 */
void backstore_share_forgot(struct backstore_share *);
/* Before bs is closed for good: references that are left get -ENOTCONN from now on. NULLs the pointer. */
void backstore_share_free(struct backstore_share **);
/*
 * Of the leg with that uuid: make `epoch` the newest. On 0 it is stored, older ones are refused and none of their I/O is in flight. -ESTALE: a
 * newer one is there. -ENOTCONN: it is not open. Blocks: it writes to disk.
 */
int backstore_claim(struct backstore_host *, const uint8_t uuid[16], uint64_t epoch, struct director_err *err);
/* The newest epoch that claimed it. Any thread, cheap. */
uint64_t backstore_share_claimed(const struct backstore_share *);

/* ---- I/O ---- */

/*
 * One I/O: the submitter's memory (inside its task), the host's until done(). Fill the first three
 * fields; in `io`: op, flags, offset, len, iov, n_iov, epoch, sense; the rest is the host's. Buffers at any
 * alignment work; at caps.align they are not copied.
 */
struct backstore_io {
	struct director_io io;
	/* On the submitting thread, from backstore_queue_run. 0 or negative errno. bio is the submitter's again. */
	void (*done)(struct backstore_io *, int32_t result);
	void *user;

	struct backstore_msg {          /* from here on the host's: a link in a queue */
		struct backstore_msg *next;
		void (*run)(struct backstore_queue *, struct backstore_msg *);
	} msg;
	struct backstore *bs;
	struct backstore_queue *queue;
	struct backstore_io *range_next, *range_prev;
	int32_t result;
	uint8_t gen, state, range;
	bool refused;                   /* at completion: it did not come to the plugin */
};

/* In io.flags, for the host alone: a write that others see whole or not at all. */
#define BACKSTORE_IOF_ATOMIC 0x8000u

/*
 * Submit on the thread that owns `queue`. Always completes through done(): -EINVAL misaligned, -ERANGE outside
 * of the size, -EROFS, -ESTALE old epoch, -EOPNOTSUPP, -ESHUTDOWN closing, -EILSEQ miscompare (io.at: byte
 * offset in the data), otherwise what the plugin says (-EIO, -ENOSPC, ...).
 */
void backstore_submit(struct backstore *, struct backstore_queue *, struct backstore_io *);

/*
 * Where [offset, offset + len) lies in memory, to send it from there instead of submitting a read; NULL: submit one.
 * It does not change until backstore_lend_end on the same thread, once for each, and always before backstore_close. All
 * writes of the object wait for that meanwhile, so it must not take long: see backstore_queue_recall.
 */
const void *backstore_lend(struct backstore *, struct backstore_queue *, uint64_t epoch, uint64_t offset,
	uint64_t len);
void backstore_lend_end(struct backstore *, struct backstore_queue *);
/* `recall` is called on the queue's thread when a write waits for what it was lent: copy it away, and end that. */
void backstore_queue_recall(struct backstore_queue *, void (*recall)(void *arg, struct backstore *), void *arg);

/* SCSI sense for a result that came without sense of its own; for -EILSEQ, miscompare. */
void backstore_sense(int32_t result, uint16_t op, uint8_t *key, uint8_t *asc, uint8_t *ascq);

/* Sums over all threads; each number is exact once the I/O counted has been delivered. */
struct backstore_stats {
	uint64_t ops[16];               /* by enum director_op */
	uint64_t read_bytes, written_bytes;
	uint64_t errors;                /* results below 0 other than -EILSEQ */
	uint64_t emulated;              /* I/Os that took more than one operation of the plugin */
	uint64_t extra;                 /* completions that came a second time: the plugin is broken */
	uint64_t in_flight;
};
void backstore_stats(const struct backstore *, struct backstore_stats *out);

#endif
