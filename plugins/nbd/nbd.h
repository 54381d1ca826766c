/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nbd backstore's two halves:
 *
 *   nbd.c    parameters, capabilities, life cycle
 *   wire.c   connections: a thread each, which alone touches its libnbd handle
 *
 * I/O of other threads reaches a connection through a locked list and an eventfd. A connection that is lost is
 * made again and what was under way is sent again, until the I/O's own time is over: NBD's commands may be
 * repeated, and nothing else was answered meanwhile. What was answered before and not flushed may be gone then, for the server
 * may be another process.
 */
#ifndef PLUGINS_NBD_NBD_H
#define PLUGINS_NBD_NBD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/unstable.h"
#include "director/plugin.h"
#include "plugins/common/err.h"

#define WIRES_MAX 16

struct nbd_disk;
struct nbd_handle;

/* What is known of one I/O. */
struct req {
	TAILQ_ENTRY(req) link;
	struct director_io *io;
	struct wire *wire;
	void *bounce;                   /* in place of several buffers */
	uint64_t done, len;             /* bytes finished; of the command that is sent */
	uint64_t until_ns;
	int32_t result;
	bool over;                      /* libnbd is through with it */
	struct unstable_mark mark;      /* of a flush */
};

TAILQ_HEAD(reqs, req);

struct wire {
	struct nbd_disk *disk;
	pthread_t thread;
	int bell;                       /* an eventfd: there is something in `fresh`, or it is to stop */
	pthread_mutex_t lock;
	struct reqs fresh;              /* by lock */
	bool stop;                      /* by lock */
	/* the thread's own */
	struct nbd_handle *h;           /* NULL: not connected */
	struct reqs waiting, sent;
	unsigned n_sent;
	bool connecting, lost;
	uint64_t try_ns, look_ns, back_off_ms;
};

struct nbd_disk {
	const struct director_host *host;
	void *owner;
	char *uri, *certificates;
	uint64_t timeout_ns;
	uint32_t block_size, max_io, preferred;
	uint32_t flags;                 /* DIRECTOR_CAP_* */
	_Atomic uint64_t size;
	atomic_uint n_lost, turn;
	struct unstable unstable;
	bool trust;
	struct wire wire[WIRES_MAX];
	unsigned n_wires;
};

/* It has something to flush, and nobody has said that it outlives the server. */
static inline bool nbd_forgets(const struct nbd_disk *d)
{
	return d->flags & DIRECTOR_CAP_WRITE_CACHE && !d->trust;
}

/* Connect, waiting until it is ready or `ms` are over. NULL with err->text; the error in *code. */
struct nbd_handle *nbd_connect_wait(const struct nbd_disk *d, uint32_t ms, int *code, struct director_err *err);

/* Takes `h`, which is connected (NULL: to be connected). 0 or a negative errno. */
int wire_start(struct wire *w, struct nbd_disk *d, struct nbd_handle *h);
/* Any thread. */
void wire_put(struct wire *w, struct director_io *io);
/* With nothing under way. */
void wire_end(struct wire *w);

#endif
