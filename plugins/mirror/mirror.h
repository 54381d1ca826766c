/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the mirror plugin share: the world around the machine of machine.h.
 *
 *   mirror.c         open, close, parameters
 *   mirror_thread.c  the object's own threads: ticks, the machine's own I/O, legs that come back
 *   mirror_io.c      the host's I/O on its way through the machine and to the legs
 *   mirror_gate.c    reads that need no machine
 *   mirror_leg.c     what a leg says of itself
 *   mirror_legs.c    the parameter legs=
 *   meta.c           a leg's record as bytes
 */
#ifndef MIRROR_MIRROR_H
#define MIRROR_MIRROR_H

#include <pthread.h>
#include <stdatomic.h>

#include "director/plugin.h"
#include "plugins/mirror/meta.h"

#define MIRROR_CHUNK (256u << 10)
#define MIRROR_TICK_MS 100
#define MIRROR_DISCARD_MAX (64ull << 20)        /* one holds up what overlaps with it */

/* ---- the gate ---- */

#define GATE_BITS 16                    /* bytes of a granule, as a power of two */
#define GATE_SLOTS 1024                 /* granules are counted by their number modulo that */
#define GATE_READ_MAX 17                /* granules of a read that may go past the machine */

/* A write that is on its way: go(arg) once no read is before it; then it holds off reads until gate_write_end. */
struct gate_write {
	uint64_t offset, len;
	void (*go)(struct gate_write *);
	TAILQ_ENTRY(gate_write) entry;
};

struct gate {
	struct gate_count {
		atomic_uint readers, writers;
	} slot[GATE_SLOTS];
	pthread_mutex_t lock;
	TAILQ_HEAD(, gate_write) waiting;
};

void gate_init(struct gate *g);
void gate_fini(struct gate *g);
/* False: a write is in the way. */
bool gate_read_begin(struct gate *g, uint64_t offset, uint64_t len);
void gate_read_end(struct gate *g, uint64_t offset, uint64_t len);
void gate_write_begin(struct gate *g, struct gate_write *w);
void gate_write_end(struct gate *g, const struct gate_write *w);

/* ---- the object ---- */

struct mirror_legs {                    /* the parameter legs= */
	struct mirror_leg_conf leg[MIRROR_LEGS_MAX];
	bool first[MIRROR_LEGS_MAX];    /* in sync, and the volume was never served: it may be blank, and is all zeroes or the only one */
	bool taken[MIRROR_LEGS_MAX];    /* first, and the volume has lain there before it had legs: what stands where its record goes is of no use to anyone */
	bool gone[MIRROR_LEGS_MAX];     /* in sync, and its node says that its storage is not there */
	unsigned n;
};

struct mirror_msg {                     /* to the machine, whoever has it */
	struct mirror_msg *next;
	struct mirror_op *op;           /* to be submitted; else io is done */
	struct mirror_io *io;
	int result;
	struct child_io *own;           /* goes with it */
	STAILQ_ENTRY(mirror_msg) entry;
};

struct mirror_obj {
	const struct director_host *host;
	void *owner;

	/* The machine, and what is marked M: by mirror_enter, or by whoever finds the lock free (mirror_io.c). */
	pthread_mutex_t lock;
	struct mirror *m;
	struct mirror_ios mine;         /* M: for the object's thread to submit */
	struct mirror_legs legs;        /* M */
	atomic_bool lost;               /* see mirror_stop: touch no leg */
	bool stopped;
	_Atomic(struct mirror_msg *) inbox;
	atomic_uint inside;             /* threads that may still touch the object */
	atomic_int read_leg;            /* mirror_read_leg, */
	_Atomic uint64_t read_below;    /* and up to where */
	struct gate gate;

	/* The object's threads, and who waits for them. */
	pthread_mutex_t wake_lock;
	pthread_cond_t changed;
	uint64_t changes;
	STAILQ_HEAD(, mirror_msg) ready;        /* I/O for the object's thread that the gate has let go */
	bool awake;                     /* the ticking thread has something to do */
	atomic_bool watched;            /* somebody waits for changes of the machine */
	bool ending;

	bool alone;                     /* legs= is not given: what would be agreed is granted here */
	bool volatile_legs, thin;
	bool told_open, told_lost;
	_Atomic uint64_t size;
	bool shrink;
	uint64_t epoch, life, region;
	uint32_t block_size, granularity;
	uint8_t uuid[16];
	uint64_t rate, scrub, scrub_rate;
	char told_missing[MIRROR_LEGS_MAX][256];
	bool told_foreign[MIRROR_LEGS_MAX];
	uint64_t told_scrub, told_repaired;
	uint8_t *slot[MIRROR_SLOTS];
	pthread_t thread, caller;
	int opened;                     /* 1: not yet; 2: with force; else 0 or the error of opening */
	struct director_err *open_err;
	unsigned ill[MIRROR_LEGS_MAX];  /* the calling thread's: how often in a row a leg in sync was found so */
	uint64_t progress;              /* what was last told; UINT64_MAX: nothing */
	unsigned ticks;
	struct request_pool *pool;
};

/* mirror_legs.c: "UUID:STATE:TURN:MEMBER:SINCE:PLACE", separated by commas. 0 or -EINVAL. */
int mirror_legs_parse(const char *text, struct mirror_legs *legs);
int mirror_uuid_parse(const char *text, uint8_t uuid[16]);

/* mirror_leg.c: reading what legs say of themselves; blocks, on the object's own threads. */
struct mirror_said {
	struct mirror_leg_says says[MIRROR_LEGS_MAX];
	uint64_t *bits[MIRROR_LEGS_MAX];
	bool newer;                     /* a leg knows a newer epoch */
};
void mirror_leg_read(struct mirror_obj *o, unsigned leg, struct mirror_said *said);
void mirror_said_free(struct mirror_said *said);
/* Does its storage answer with errors? A way to it that is lost is none. */
bool mirror_leg_ill(struct mirror_obj *o, unsigned leg);

/* mirror_io.c */
int mirror_io_init(struct mirror_obj *o);
void mirror_io_fini(struct mirror_obj *o);
void mirror_io_submit(void *obj, struct director_io *io);
/* Have the machine, for calls that ask it something or tell it something; then do what it wants. Not on I/O paths. */
void mirror_enter(struct mirror_obj *o);
void mirror_leave(struct mirror_obj *o);
/* The same after only having looked: who watches is not woken by it. */
void mirror_leave_unchanged(struct mirror_obj *o);
/* The object's thread submits what belongs to no operation of the host's. */
void mirror_mine_submit(struct mirror_obj *o);
/* Wait until nobody is in the object any more who does not wait for it. */
void mirror_all_out(struct mirror_obj *o);

/* mirror_thread.c */
void *mirror_thread(void *obj);         /* opens it, and ticks */
void *mirror_caller(void *obj);
void mirror_rouse(struct mirror_obj *o);         /* the machine has changed; `awake` says that the thread has work */
/* Wait until the machine says so, or is over, or `ms` have passed. */
bool mirror_wait(struct mirror_obj *o, bool (*is)(const struct mirror *), unsigned ms);
/* mirror.c */
/* The leg, which is in sync, fails although nothing was written, if it is not the last one. With the machine. */
void mirror_leg_give_up(struct mirror_obj *o, unsigned leg);
int mirror_assembled(struct mirror_obj *o, const struct mirror_said *said, bool force, struct director_err *err);
/* Say so of a leg that carries another volume: -EEXIST. */
int mirror_foreign(unsigned leg, const uint8_t volume[16], struct director_err *err);
int mirror_fail(struct director_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
