/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers for plugins whose submit may block. Made when needed, gone after a while without work, and joined: the
 * leak checker dies of a thread that is half gone. An I/O that waits here is linked through its plugin[] words,
 * which are the receiver's.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "target/serve/bs_host.h"

#define IDLE_S 10

struct bs_pool {
	pthread_mutex_t lock;
	pthread_cond_t work, gone;
	struct director_io *head, **tail;       /* plugin[0]: next, plugin[1]: the backstore */
	STAILQ_HEAD(, bs_job) jobs;
	unsigned threads, idle, threads_max;
	pthread_t left;                         /* the last that ended, if any did: each joins the one before it */
	bool has_left, ending;
};

struct bs_pool *bs_pool_new(unsigned threads_max)
{
	struct bs_pool *p = mem_zalloc(sizeof(*p));
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, &attr);
	pthread_cond_init(&p->gone, NULL);
	pthread_condattr_destroy(&attr);
	p->tail = &p->head;
	STAILQ_INIT(&p->jobs);
	p->threads_max = threads_max ? threads_max : 16;
	return p;
}

void bs_pool_free(struct bs_pool **pp)
{
	struct bs_pool *p = *pp;

	if (!p)
		return;
	*pp = NULL;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->work);
	while (p->threads)
		pthread_cond_wait(&p->gone, &p->lock);
	pthread_mutex_unlock(&p->lock);
	if (p->has_left)
		pthread_join(p->left, NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->gone);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void link_put(struct director_io ***tail, struct director_io *io)
{
	io->plugin[0] = NULL;
	**tail = io;
	*tail = (struct director_io **)&io->plugin[0];
}

static struct director_io *link_take(struct director_io **head, struct director_io ***tail)
{
	struct director_io *io = *head;

	if (io) {
		*head = io->plugin[0];
		if (!*head)
			*tail = head;
	}
	return io;
}

static bool worker_start(struct bs_pool *p);

/*
 * Something was taken. Whoever put the next one may have counted on the very thread that is busy from now on, which was
 * idle but not awake yet.
 */
static void pass_on(struct bs_pool *p)
{
	if ((p->head || !STAILQ_EMPTY(&p->jobs)) && p->idle == 0 && p->threads < p->threads_max)
		worker_start(p);
}

/* One I/O, and for a SERIAL plugin all of the object's that wait. With the lock held, dropped meanwhile. */
static void work(struct bs_pool *p, struct director_io *io)
{
	struct backstore *bs = io->plugin[1];

	bs->pool_busy++;
	pass_on(p);
	while (io) {
		pthread_mutex_unlock(&p->lock);
		bs->ops->submit(bs->obj, io);
		pthread_mutex_lock(&p->lock);
		io = link_take(&bs->serial_head, &bs->serial_tail);
	}
	bs->serial_busy = false;
	if (--bs->pool_busy == 0)
		pthread_cond_broadcast(&p->gone);
}

/* Another's turn between two I/Os. With the lock held, dropped meanwhile. */
static void work_job(struct bs_pool *p)
{
	struct bs_job *job = STAILQ_FIRST(&p->jobs);
	struct backstore *bs = job->bs;

	STAILQ_REMOVE_HEAD(&p->jobs, link);
	bs->pool_busy++;
	pass_on(p);
	pthread_mutex_unlock(&p->lock);
	job->run(job);
	pthread_mutex_lock(&p->lock);
	if (--bs->pool_busy == 0)
		pthread_cond_broadcast(&p->gone);
}

void bs_pool_leave(struct bs_pool *p, struct backstore *bs)
{
	pthread_mutex_lock(&p->lock);
	while (bs->pool_busy)
		pthread_cond_wait(&p->gone, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

static bool wait_for_work(struct bs_pool *p)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	p->idle++;
	while (!p->head && STAILQ_EMPTY(&p->jobs) && !p->ending && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&p->work, &p->lock, &until);
	p->idle--;
	return p->head || !STAILQ_EMPTY(&p->jobs);
}

static void *worker(void *arg)
{
	struct bs_pool *p = arg;
	pthread_t before;
	bool join;

	pthread_mutex_lock(&p->lock);
	while (p->head || !STAILQ_EMPTY(&p->jobs) || wait_for_work(p)) {
		if (p->head)
			work(p, link_take(&p->head, &p->tail));
		if (!STAILQ_EMPTY(&p->jobs))
			work_job(p);
	}
	before = p->left;
	join = p->has_left;
	p->left = pthread_self();
	p->has_left = true;
	if (--p->threads == 0)
		pthread_cond_broadcast(&p->gone);
	pthread_mutex_unlock(&p->lock);
	if (join)
		pthread_join(before, NULL);
	return NULL;
}

/* With the lock held. Says whether anyone will come for the work. */
static bool worker_start(struct bs_pool *p)
{
	pthread_attr_t attr;
	pthread_t t;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 << 10);
	r = pthread_create(&t, &attr, worker, p);
	pthread_attr_destroy(&attr);
	if (r == 0)
		p->threads++;
	return p->threads > 0;
}

int bs_pool_job(struct bs_pool *p, struct backstore *bs, struct bs_job *job)
{
	bool nobody = false;

	pthread_mutex_lock(&p->lock);
	if (p->idle == 0 && p->threads < p->threads_max)
		nobody = !worker_start(p);
	if (!nobody) {
		job->bs = bs;
		STAILQ_INSERT_TAIL(&p->jobs, job, link);
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	return nobody ? -ENOMEM : 0;
}

void bs_pool_put(struct bs_pool *p, struct backstore *bs, struct director_io *io)
{
	bool nobody = false;

	pthread_mutex_lock(&p->lock);
	if (bs->ops->threads == DIRECTOR_THREADS_SERIAL && bs->serial_busy) {
		link_put(&bs->serial_tail, io);
		pthread_mutex_unlock(&p->lock);
		return;
	}
	if (p->idle == 0 && p->threads < p->threads_max)
		nobody = !worker_start(p);
	if (!nobody) {
		bs->serial_busy = bs->ops->threads == DIRECTOR_THREADS_SERIAL;
		io->plugin[1] = bs;
		link_put(&p->tail, io);
		pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
	if (nobody)
		io->done(io, -ENOMEM);
}
