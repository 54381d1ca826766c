/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `file` and `block` share: asynchronous I/O on a descriptor. Each thread that submits has a ring
 * (io_uring) of its own and reaps it itself; what has no ring operation, or a thread without a ring,
 * goes to a few threads aside.
 *
 *   disk.c    operations: which go where, how they continue when they came back short
 *   ring.c    the rings
 *   aside.c   the threads aside
 *   order.c   reads beside writes of the same blocks
 */
#ifndef PLUGINS_COMMON_DISK_H
#define PLUGINS_COMMON_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "director/plugin.h"
#include "plugins/common/err.h"

struct ring;
struct ring_op;
struct aside;
struct order;

/* One plugin's engine: what its objects share. */
struct disk_engine {
	const struct director_host *host;
	struct aside *aside;
};

/* An open object. */
struct disk {
	struct disk_engine *engine;
	int fd;
	void *owner;
	struct order *order;            /* NULL: what is below keeps the reads and writes of a block apart */
	bool block_device;              /* discard is an ioctl */
	bool memory;                    /* a file on tmpfs: nothing is ever waited for, so nobody else need do it */
	_Atomic uint16_t refused;       /* DISK_NO_*: ways to zero that the device or the file system does not know */
	uint64_t warned_ns;             /* of the last event about space */
};

#define DISK_NO_ZERO_RANGE 1u
#define DISK_NO_PUNCH 2u

int disk_engine_new(const struct director_host *host, struct disk_engine **out);
void disk_engine_free(struct disk_engine **);
/* The verbs thread_fd, reap, thread_exit of the plugin. */
int disk_thread_fd(void *engine);
void disk_reap(void *engine);
void disk_thread_exit(void *engine);

void disk_submit(struct disk *, struct director_io *io);
void disk_plug(struct disk *);
void disk_unplug(struct disk *);

/*
 * Call `again` until it gives something other than -EBUSY, for 3 seconds: when a process is killed, its ring lets
 * go of the files a moment after the process is gone.
 */
int disk_when_free(int (*again)(void *arg), void *arg);

/* ---- ring.c ---- */

/* What is known of an I/O that is under way: kept in io->plugin[]. */
struct disk_state {
	struct disk *disk;              /* plugin[0] */
	struct director_iov *rest;      /* plugin[1]: after a short transfer, what is left (allocated) */
	uint32_t done;                  /* plugin[2]: bytes transferred */
	uint32_t ended;                 /* ORDER_LOOKED: what the read saw */
	uint16_t stage;                 /* plugin[3]: enum disk_stage */
	uint16_t order;                 /* enum disk_order */
	uint16_t refused;               /* the disk's, and what was found out since */
};
_Static_assert(sizeof(struct disk_state) <= sizeof(((struct director_io *)0)->plugin), "state fits");

enum disk_stage {
	STAGE_IO,
	STAGE_SYNC,                     /* the fdatasync after a zeroing that must be stable */
};

enum disk_order {
	ORDER_NONE,
	ORDER_LOOKED,                   /* a read that met no write when it began */
	ORDER_COUNTED,                  /* a write that others see */
	ORDER_WAITS,                    /* to be alone, in the queue of the threads aside */
	ORDER_HELD,                     /* alone */
};

static inline struct disk_state *disk_state(struct director_io *io)
{
	return (struct disk_state *)io->plugin;
}

struct ring *ring_self(const struct disk_engine *);
int ring_fd(struct disk_engine *);
/* Queue what disk_state says is next; -EAGAIN: no room and no memory. */
void ring_put(struct ring *, struct director_io *io);
void ring_plug(struct ring *, bool on);
void ring_reap(struct ring *);
void ring_exit(struct disk_engine *);

/* ---- disk.c, for ring.c and aside.c ---- */

/* The next operation came back with `res` (bytes or negative errno): says whether there is more to do. */
bool disk_advance(struct director_io *io, int64_t res);
/* Where the transfer goes on. */
void disk_rest(const struct director_io *io, const struct director_iov **iov, unsigned *n, uint64_t *offset);
/* fallocate's mode for this operation. */
int disk_falloc_mode(const struct director_io *io);
/* Do it here and now, blocking. */
int64_t disk_do(struct director_io *io);

/* ---- aside.c ---- */

struct aside *aside_new(void);
void aside_free(struct aside **);
/* Run the whole of `io` on another thread. */
void aside_put(struct aside *, struct director_io *io);

/* ---- order.c ---- */

struct order *order_new(void);
void order_free(struct order **);
/* False: it met another one, and has gone aside. */
bool order_begin(struct order *, struct director_io *io);
/* On a thread aside: wait until `io` has its blocks for itself. Let go by order_end on the same thread. */
void order_hold(struct director_io *io);
/* It is done. False: a write went on beside the read, which is done again. */
bool order_end(struct director_io *io, int32_t result);

#endif
