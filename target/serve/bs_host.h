/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The insides of the backstore host, for its own files (backstore.c, bs_*.c).
 *
 *   bs_host.c     the host, its plugins, the services that they are given
 *   bs_queue.c    a thread's queue: messages, slots, barriers
 *   bs_service.c  the service thread: timers, I/O of threads that have no queue
 *   bs_pool.c     workers for blocking plugins
 *   bs_submit.c   from backstore_submit to the plugin, and back
 *   bs_emulate.c  what takes more than one operation of the plugin
 *   bs_checksum.c CHECKSUM by reading and hashing
 *   bs_range.c    compare-and-write against other writes
 *   bs_lend.c     lent memory against writes
 *   bs_share.c    volumes under other stacks: the store `volume`
 *   backstore.c   control verbs: open, close, fence, resize ...
 *
 * Locks, in order: share->claiming, plugins_lock, object->control, share->lock, host->lock, range.lock or
 * lend.lock, pool lock, service lock. None
 * but the first two is held while a plugin's code runs. What belongs to one thread (a queue, its slots)
 * has no lock; other threads send it messages.
 */
#ifndef SERVE_BS_HOST_H
#define SERVE_BS_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "target/serve/backstore.h"

#define BS_PLUGINS_MAX 64
#define BS_CHUNK 32             /* slots allocated together */
#define BS_CHUNKS 1024
#define BS_ZERO_SIZE (1u << 20) /* of the shared zeroes, and of the longest bounce */

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A plugin as this process has it. Loaded at the first use, kept until the host ends. */
struct bs_plugin {
	struct backstore_host *host;
	struct plugin *pl;
	struct director_host services;
	unsigned index;
};

struct bs_pool;
struct bs_service;
struct child_job;

struct backstore_host {
	const struct log *log;
	pthread_mutex_t lock;                   /* queues, objects, slots, barriers */
	pthread_cond_t event_over;              /* with `lock`: an object's event was delivered */
	pthread_mutex_t plugins_lock;           /* held while plugins load; taken before all others */
	struct bs_plugin *plugins[BS_PLUGINS_MAX];
	unsigned n_plugins;
	LIST_HEAD(, backstore_queue) queues;
	LIST_HEAD(, backstore) objects;         /* open ones, every level */
	LIST_HEAD(, backstore_share) shares;
	uint8_t *slots;                         /* slot numbers in use, one byte each */
	unsigned n_slots;
	uint64_t last_id;
	void *zero;                             /* BS_ZERO_SIZE bytes of it, read only */
	struct bs_pool *pool;
	struct bs_service *service;
};

/* Waits until every thread has finished the I/O of one object that it submitted before. */
struct bs_barrier {
	STAILQ_ENTRY(bs_barrier) link;
	struct backstore *bs;
	uint8_t special;                        /* bits that each slot gets with it */
	atomic_uint left;
	void (*done)(struct bs_barrier *);      /* on any thread */
	void *arg;
	struct bs_barrier_msg {
		struct backstore_msg msg;
		struct bs_barrier *barrier;
	} *msgs;
};

#define BS_CLOSED 1u
#define BS_RANGED 2u
#define BS_COPIES 4u            /* of a slot alone: its thread knows that nothing is lent, and writes */

#define BS_PARKED 2             /* the third generation, see struct bs_slot */

/* I/O of an object that compares: who holds which range, who waits. */
struct bs_range {
	pthread_mutex_t lock;
	enum { RANGE_OFF, RANGE_ARMING, RANGE_ARMED } state;
	struct backstore_io *held, *waiting, **waiting_tail;
	struct bs_barrier barrier;
};

/* Of an object that lends. */
struct bs_lend {
	pthread_mutex_t lock;
	_Atomic enum { LEND_COPYING, LEND_TURNING, LEND_LENDING, LEND_RECALLING } state;        /* written with the lock held */
	struct backstore_io *waiting, **waiting_tail;   /* writes, by range_next */
	atomic_bool written;                    /* since reads were last looked at */
	atomic_uint rounds;                     /* of messages, that have not come to an end */
};

struct lend_round;

/* One level of a stack. */
struct backstore {
	/* Read by every I/O, written by control verbs only. */
	struct backstore_host *host;
	const struct director_backstore_ops *ops;
	void *obj;
	uint64_t id;                            /* never used again, unlike the slot */
	unsigned slot;
	uint32_t native;                        /* 1 << op: the plugin does it by itself */
	uint32_t block_mask, align_mask;
	uint32_t max_io;
	uint32_t seam;
	bool fua_ok;                            /* FUA needs no flush of ours */
	bool read_only, async, has_fd, has_plug, volatile_cache, lends;
	bool takes_turns;                       /* it has a descriptor, and can do without */
	_Atomic uint64_t size, epoch;
	uint64_t plugin_bit;
	uint64_t max_discard;

	pthread_mutex_t control;                /* one control verb of a root at a time */
	struct bs_plugin *plugin;
	struct backstore *parent, *root;
	struct backstore **children;            /* NULL: could not be opened, see `missing` */
	struct backstore_spec **missing;        /* by child; NULL: none ever was; host->lock */
	char missing_why[160];                  /* of the last one, when it was opened */
	struct child_job **opening;             /* by child: who tries again to open it; of the thread that asks */
	unsigned n_children;
	struct plugin_conf *conf;
	pthread_mutex_t caps_lock;
	struct director_caps caps;
	struct backstore_watch watch;           /* of the root */
	unsigned n_events;                      /* of it, being delivered; host->lock */
	struct backstore_queue *home;           /* where its events go; NULL: the service's */
	LIST_ENTRY(backstore) link;
	uint8_t special;                        /* what slots begin with; host->lock */
	STAILQ_HEAD(, bs_barrier) barriers;     /* the first is under way; host->lock */
	struct bs_range range;
	struct bs_lend lend;
	struct backstore_stats base;            /* of threads that are gone; host->lock */
	atomic_uint_fast64_t emulated, extra;

	/* SERIAL plugins: what waits for the one worker; pool lock. */
	struct director_io *serial_head, **serial_tail;
	bool serial_busy;
	unsigned pool_busy;                     /* workers inside of submit */
};

/* What one thread knows of one object. Only its thread writes it. */
struct bs_slot {
	uint64_t id;                            /* of the object; another one: not ours yet */
	uint32_t in_flight[3];                  /* by generation; BS_PARKED: what waited for compares to be armed */
	uint8_t gen, special;
	bool plugged;
	uint32_t lent, copied;                  /* reads: answered with lent memory, and not given back; refused that */
	struct bs_barrier *barrier;             /* waits for in_flight[!gen], and for the parked if it waits_parked */
	bool waits_parked;                      /* not if it is, or comes before, the one that the parked wait for */
	struct lend_round *recall;              /* waits for lent to be 0 */
	bool joined;                            /* it lends or writes: it is told of what changes; lend.lock */
	struct backstore_stats stats;
};

struct backstore_queue {
	_Atomic(struct backstore_msg *) remote; /* from other threads, newest first */
	int event_fd;
	struct backstore_msg *local, **local_tail;
	struct bs_slot *chunks[BS_CHUNKS];
	struct backstore_host *host;
	int epoll_fd;
	bool plugging, steady;
	int64_t owed;                           /* writes to event_fd still to be read */
	uint64_t polled;                        /* bits of the plugins that were asked for thread_fd */
	struct bs_plugin *pollers[BS_PLUGINS_MAX];
	unsigned n_pollers;
	void (*recall)(void *arg, struct backstore *);
	void *recall_arg;
	struct backstore *plugged[64];
	unsigned n_plugged;
	LIST_ENTRY(backstore_queue) link;
};

/* The calling thread's queue, NULL if it has none. */
extern __thread struct backstore_queue *bs_self __attribute__((tls_model("initial-exec")));

/* ---- bs_host.c ---- */
int bs_plugin_get(struct backstore_host *, const char *name, struct bs_plugin **out, struct director_err *err);

/* ---- backstore.c ---- */
/* Ask the plugin for its capabilities (again) and judge them. */
/* See director_host.child_open. */
int bs_child_open(struct backstore *, unsigned index, struct director_err *err);
int bs_caps_read(struct backstore *, struct director_err *err);
/* See director_host.child_resize. */
int bs_child_resize(struct backstore *, unsigned index, uint64_t size, struct director_err *err);

/* ---- bs_queue.c ---- */
void bs_post(struct backstore_queue *, struct backstore_msg *);         /* from any thread */
void bs_post_local(struct backstore_queue *, struct backstore_msg *);   /* its own thread */
struct bs_slot *bs_slot_first(struct backstore_queue *, struct backstore *);
/* The slot, if that thread has one. With host->lock held. */
struct bs_slot *bs_slot_of(const struct backstore_queue *, const struct backstore *);
/* Count `bio` as parked from now on. */
void bs_slot_park(struct bs_slot *, struct backstore_io *bio);
/* An I/O ended while a barrier waits: answer it if that was the last. */
void bs_slot_drained(struct backstore_queue *, struct bs_slot *);
/* Ask the plugin of `bs` for its descriptor of this thread. */
void bs_poll_plugin(struct backstore_queue *, struct backstore *);
void bs_plug_object(struct backstore_queue *, struct backstore *);
/* Let go what is held back, without ending the plug. */
void bs_unplug_now(struct backstore_queue *);
void bs_barrier_start(struct bs_barrier *, struct backstore *, uint8_t special, void (*done)(struct bs_barrier *),
	void *arg);
void bs_barrier_ack(struct bs_barrier *);
/* The same, waiting, also for what is parked; runs the calling thread's queue meanwhile. */
void bs_barrier_wait(struct backstore *, uint8_t special);

/* NULL when memory is out. */
static inline struct bs_slot *bs_slot(struct backstore_queue *q, struct backstore *bs)
{
	struct bs_slot *chunk = q->chunks[bs->slot / BS_CHUNK];

	if (likely(chunk != NULL) && likely(chunk[bs->slot % BS_CHUNK].id == bs->id))
		return &chunk[bs->slot % BS_CHUNK];
	return bs_slot_first(q, bs);
}

/* ---- bs_submit.c ---- */
/* Check `io`, emulate or hand over; completes by io->done. The entry for children too. */
void bs_level_submit(struct backstore *, struct director_io *io);
/* Give it to the plugin, on a thread that may. */
void bs_hand(struct backstore *, struct director_io *io);
void bs_start(struct backstore_io *);           /* past the range lock */
void bs_go_on(struct backstore *, struct bs_slot *, struct backstore_io *);     /* past lent memory */

/* ---- bs_emulate.c ---- */
void bs_emulate(struct backstore *, struct director_io *io);

/* ---- bs_checksum.c ---- */
void bs_checksum(struct backstore *, struct director_io *io);

/* ---- bs_range.c ---- */
void bs_range_init(struct bs_range *);
void bs_range_fini(struct bs_range *);
bool bs_range_needed(const struct backstore *, uint16_t op);
void bs_range_submit(struct backstore *, struct backstore_io *);
void bs_range_release(struct backstore *, struct backstore_io *);

/* ---- bs_lend.c ---- */
void bs_lend_init(struct bs_lend *);
void bs_lend_fini(struct bs_lend *);
/* No I/O comes any more: wait for the rounds under way. */
void bs_lend_close(struct bs_lend *);
/* A write, on a thread that does not know that nothing is lent. False: it has to wait, and goes on by itself. */
bool bs_lend_write(struct backstore *, struct bs_slot *, struct backstore_io *);
bool bs_lend_may(struct backstore *, struct bs_slot *);

/* ---- bs_share.c ---- */
extern const struct director_plugin bs_share_plugin;
/* See backstore_share_forgot: of the share of this stack, if it is under one. */
void bs_share_forgot(struct backstore *root);

/* ---- bs_pool.c ---- */
/* Work of the host's own for an object, on a worker. */
struct bs_job {
	STAILQ_ENTRY(bs_job) link;
	struct backstore *bs;
	void (*run)(struct bs_job *);
};

struct bs_pool *bs_pool_new(unsigned threads_max);
void bs_pool_free(struct bs_pool **);
void bs_pool_put(struct bs_pool *, struct backstore *, struct director_io *io);
/* 0; -ENOMEM: there is no worker, and it will not run. */
int bs_pool_job(struct bs_pool *, struct backstore *, struct bs_job *);
/* Wait until no worker is in the plugin's submit for this object: one may still return from its last. */
void bs_pool_leave(struct bs_pool *, struct backstore *);

/* ---- bs_service.c ---- */
int bs_service_new(struct backstore_host *, struct bs_service **out);
void bs_service_free(struct bs_service **);
int bs_service_after(struct bs_service *, uint32_t ms, void (*fn)(void *), void *arg);
void bs_service_submit(struct bs_service *, struct backstore *, struct director_io *io);
void bs_service_post(struct bs_service *, struct backstore_msg *);

#endif
