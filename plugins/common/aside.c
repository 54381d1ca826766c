/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for I/O that a ring cannot do. Started when there is work, gone after a while without. */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "plugins/common/disk.h"

#define THREADS_MAX 8
#define IDLE_S 10

struct item {
	struct item *next;
	struct director_io *io;
};

struct aside {
	pthread_mutex_t lock;
	pthread_cond_t work, gone;
	struct item *head, **tail;
	unsigned threads, idle;
	bool ending;
};

struct aside *aside_new(void)
{
	struct aside *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (!a)
		return NULL;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, &attr);
	pthread_cond_init(&a->gone, NULL);
	pthread_condattr_destroy(&attr);
	a->tail = &a->head;
	return a;
}

void aside_free(struct aside **ap)
{
	struct aside *a = *ap;

	*ap = NULL;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->work);
	while (a->threads)
		pthread_cond_wait(&a->gone, &a->lock);
	pthread_mutex_unlock(&a->lock);
	pthread_cond_destroy(&a->work);
	pthread_cond_destroy(&a->gone);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct director_io *take(struct aside *a)
{
	struct item *it = a->head;
	struct director_io *io = it->io;

	a->head = it->next;
	if (!a->head)
		a->tail = &a->head;
	free(it);
	return io;
}

static void *worker(void *arg)
{
	struct aside *a = arg;
	struct timespec until;
	struct director_io *io;
	int r;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_S;
		a->idle++;
		for (r = 0; !a->head && !a->ending && r != ETIMEDOUT;)
			r = pthread_cond_timedwait(&a->work, &a->lock, &until);
		a->idle--;
		if (!a->head)
			break;
		io = take(a);
		pthread_mutex_unlock(&a->lock);
		while (disk_advance(io, disk_do(io)))
			;
		pthread_mutex_lock(&a->lock);
	}
	if (--a->threads == 0)
		pthread_cond_signal(&a->gone);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* With the lock held. */
static void worker_start(struct aside *a)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	if (pthread_create(&t, &attr, worker, a) == 0)
		a->threads++;
	pthread_attr_destroy(&attr);
}

void aside_put(struct aside *a, struct director_io *io)
{
	struct item *it = malloc(sizeof(*it));

	pthread_mutex_lock(&a->lock);
	if (it && a->idle == 0 && a->threads < THREADS_MAX)
		worker_start(a);
	if (!it || !a->threads) {
		pthread_mutex_unlock(&a->lock);
		free(it);
		disk_advance(io, -ENOMEM);
		return;
	}
	*it = (struct item){ .io = io };
	*a->tail = it;
	a->tail = &it->next;
	pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
}
