/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring per thread and engine, made when the host asks for the thread's descriptor, used by that
 * thread alone: no lock anywhere. The ring itself is the descriptor to wait for: it polls readable while
 * completions wait.
 */
#include "config.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/common/disk.h"

#define ENTRIES 256
#define FLIGHT_MAX 1024                 /* of the completion queue; the rest waits here */

struct waiting {
	struct waiting *next;
	struct director_io *io;
};

struct ring {
	struct io_uring u;
	struct ring *next;              /* of this thread, for other engines */
	const struct disk_engine *engine;
	unsigned in_flight, unsent, plugs;      /* in_flight: with those that are not sent yet */
	struct io_uring_sqe *unsent_sqe[ENTRIES];
	bool reaping;
	struct waiting *head, **tail;   /* beyond FLIGHT_MAX, in order */
};

static __thread struct ring *rings;

struct ring *ring_self(const struct disk_engine *e)
{
	struct ring *r = rings;

	while (r && r->engine != e)
		r = r->next;
	return r;
}

static int ring_open(struct io_uring *u)
{
	/*
	 * The best first: no interrupt for completions, they run when this thread enters the kernel. Not
	 * DEFER_TASKRUN: a thread that sleeps in poll on the ring through an epoll is not woken by it.
	 */
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_CQSIZE,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		IORING_SETUP_CQSIZE,
	};
	unsigned i;
	int r = -EINVAL;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]) && r == -EINVAL; i++) {
		struct io_uring_params p = { .flags = flags[i], .cq_entries = FLIGHT_MAX };

		r = io_uring_queue_init_params(ENTRIES, u, &p);
	}
	return r;
}

int ring_fd(struct disk_engine *e)
{
	const struct director_host *h = e->host;
	struct ring *r = ring_self(e);
	int x;

	if (r)
		return r->u.ring_fd;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	x = ring_open(&r->u);
	if (x < 0) {
		h->log(h->arg, DIRECTOR_LOG_WARN, "io_uring is not available here; I/O goes through threads, slower");
		free(r);
		return x;
	}
	r->engine = e;
	r->tail = &r->head;
	r->next = rings;
	rings = r;
	return r->u.ring_fd;
}

void ring_exit(struct disk_engine *e)
{
	struct ring **at = &rings, *r;

	while (*at && (*at)->engine != e)
		at = &(*at)->next;
	r = *at;
	if (!r)
		return;
	*at = r->next;
	io_uring_queue_exit(&r->u);
	free(r);
}

/* Nothing is under way whose completion would bring us back. */
static bool alone(const struct ring *r)
{
	return r->in_flight == r->unsent;
}

/* What the kernel has not taken is ours again: its I/O goes to the threads aside, and nothing is in its place. */
static void withdraw(struct ring *r)
{
	struct director_io *io[ENTRIES];
	unsigned i, n = 0;

	for (i = 0; i < r->unsent; i++) {
		struct io_uring_sqe *sqe = r->unsent_sqe[i];

		if (sqe->user_data)
			io[n++] = (struct director_io *)(uintptr_t)sqe->user_data;
		io_uring_prep_nop(sqe);
		sqe->user_data = 0;
	}
	/* Whoever is told of an end may submit. */
	for (i = 0; i < n; i++)
		aside_put(r->engine->aside, io[i]);
}

/*
 * -EAGAIN, -EBUSY: the kernel is short of something. Then it is tried again when something has come back, and if there is
 * nothing to come it is done without the ring.
 */
static void send_all(struct ring *r)
{
	while (r->unsent) {
		int n = io_uring_submit(&r->u);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		r->unsent = (unsigned)n < r->unsent ? r->unsent - (unsigned)n : 0;
		memmove(r->unsent_sqe, r->unsent_sqe + n, r->unsent * sizeof(r->unsent_sqe[0]));
	}
	if (r->unsent && alone(r))
		withdraw(r);
}

static void prepare(struct io_uring_sqe *sqe, struct director_io *io)
{
	struct disk_state *s = disk_state(io);
	const struct director_iov *iov;
	uint64_t offset;
	unsigned n;
	int fd = s->disk->fd;

	if (s->stage == STAGE_SYNC || io->op == DIRECTOR_FLUSH) {
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
		return;
	}
	disk_rest(io, &iov, &n, &offset);
	switch (io->op) {
	case DIRECTOR_READ:
		if (n == 1)
			io_uring_prep_read(sqe, fd, iov->base, (unsigned)iov->len, offset);
		else
			io_uring_prep_readv(sqe, fd, (const struct iovec *)iov, n, offset);
		break;
	case DIRECTOR_WRITE:
		if (n == 1)
			io_uring_prep_write(sqe, fd, iov->base, (unsigned)iov->len, offset);
		else
			io_uring_prep_writev(sqe, fd, (const struct iovec *)iov, n, offset);
		sqe->rw_flags = io->flags & DIRECTOR_IOF_FUA ? RWF_DSYNC : 0;
		break;
	default:
		io_uring_prep_fallocate(sqe, fd, disk_falloc_mode(io), (off_t)io->offset, (off_t)io->len);
	}
}

/* With room in flight: into the submission queue. */
static bool enqueue(struct ring *r, struct director_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->u);

	if (!sqe) {
		send_all(r);
		sqe = io_uring_get_sqe(&r->u);
	}
	if (!sqe)
		return false;
	prepare(sqe, io);
	sqe->user_data = (uintptr_t)io;
	r->in_flight++;
	r->unsent_sqe[r->unsent++] = sqe;
	return true;
}

/* It has its turn when something has come back. */
static void wait(struct ring *r, struct director_io *io)
{
	struct waiting *w = malloc(sizeof(*w));

	if (!w) {
		disk_advance(io, -ENOMEM);
		return;
	}
	*w = (struct waiting){ .io = io };
	*r->tail = w;
	r->tail = &w->next;
}

void ring_put(struct ring *r, struct director_io *io)
{
	if (r->head || r->in_flight >= FLIGHT_MAX)
		wait(r, io);
	else if (!enqueue(r, io)) {
		if (alone(r))
			aside_put(r->engine->aside, io);
		else
			wait(r, io);
	}
	if (!r->plugs && !r->reaping)
		send_all(r);
}

void ring_plug(struct ring *r, bool on)
{
	if (on)
		r->plugs++;
	else if (--r->plugs == 0)
		send_all(r);
}

static void refill(struct ring *r)
{
	struct waiting *w;

	while ((w = r->head) != NULL && r->in_flight < FLIGHT_MAX) {
		bool queued = enqueue(r, w->io);

		if (!queued && !alone(r))
			break;
		r->head = w->next;
		if (!r->head)
			r->tail = &r->head;
		if (!queued)
			aside_put(r->engine->aside, w->io);
		free(w);
	}
}

void ring_reap(struct ring *r)
{
	struct io_uring_cqe *cqe[64];
	unsigned i, n;

	if (!r->in_flight || r->reaping)
		return;
	r->reaping = true;
	while ((n = io_uring_peek_batch_cqe(&r->u, cqe, 64)) > 0) {
		struct director_io *io[64];
		int res[64];

		/* The slots are given back before anyone is told: who is told may submit. */
		for (i = 0; i < n; i++) {
			io[i] = (struct director_io *)(uintptr_t)cqe[i]->user_data;
			res[i] = cqe[i]->res;
		}
		io_uring_cq_advance(&r->u, n);
		r->in_flight -= n;
		for (i = 0; i < n; i++)
			if (io[i] && disk_advance(io[i], res[i]))
				ring_put(r, io[i]);
	}
	r->reaping = false;
	refill(r);
	if (!r->plugs)
		send_all(r);
}
