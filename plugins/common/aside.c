/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few threads for I/O that a ring cannot do, started when there is work. They are joined at the end,
 * never detached: the code that they run goes away with the plugin.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "plugins/common/disk.h"

#define THREADS_MAX 8

struct item {
	struct item *next;
	struct director_io *io;
};

struct aside {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct item *head, **tail;
	pthread_t thread[THREADS_MAX];
	unsigned threads, idle;
	bool ending;
};

struct aside *aside_new(void)
{
	struct aside *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->work, NULL);
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
	pthread_mutex_unlock(&a->lock);
	while (a->threads)
		pthread_join(a->thread[--a->threads], NULL);
	pthread_cond_destroy(&a->work);
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

static void *worker(void *arg);

/* With the lock held. */
static void worker_start(struct aside *a)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	if (pthread_create(&a->thread[a->threads], &attr, worker, a) == 0)
		a->threads++;
	pthread_attr_destroy(&attr);
}

static void *worker(void *arg)
{
	struct aside *a = arg;
	struct director_io *io;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		a->idle++;
		while (!a->head && !a->ending)
			pthread_cond_wait(&a->work, &a->lock);
		a->idle--;
		if (!a->head)
			break;
		io = take(a);
		/* Who put the next one may have counted on this thread, which was idle but not awake yet. */
		if (a->head && a->idle == 0 && a->threads < THREADS_MAX && !a->ending)
			worker_start(a);
		pthread_mutex_unlock(&a->lock);
		if (disk_state(io)->order == ORDER_WAITS)
			order_hold(io);
		while (disk_advance(io, disk_do(io)))
			;
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
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
