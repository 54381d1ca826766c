/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs the jobs (job.c): threads, made as they are needed, since a verb of one volume may wait for storage that does
 * not answer and the others must not. Jobs of one volume run one after the other, in the order in which they came.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "target/serve/serve.h"

#define THREADS_MAX 64
#define SPACE_S 10                      /* between two looks at the room below thin units */

struct job {
	struct job *next;
	uint64_t client;
	bool space;                     /* look at the room; nobody waits for it */
	struct target_msg req;
};

struct jobs {
	struct serve *serve;
	job_done_fn *done;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *queue, **tail, *running;
	bool stopping;
	unsigned n_threads, n_idle;
	time_t looked;
	pthread_t threads[THREADS_MAX];
};

static bool runs(const struct jobs *js, const uint8_t uuid[16])
{
	for (const struct job *j = js->running; j; j = j->next)
		if (memcmp(j->req.volume.uuid, uuid, 16) == 0)
			return true;
	return false;
}

/* The oldest whose volume is free, into `running`; NULL: none. */
static struct job *take(struct jobs *js)
{
	struct job **p = &js->queue, *j;

	while ((j = *p) && runs(js, j->req.volume.uuid))
		p = &j->next;
	if (!j)
		return NULL;
	*p = j->next;
	if (js->tail == &j->next)
		js->tail = p;
	j->next = js->running;
	js->running = j;
	return j;
}

static void finished(struct jobs *js, struct job *j)
{
	struct job **p = &js->running;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	target_msg_fini(&j->req);
	free(j);
	/* Another one of its volume may go now, for which nobody else is awake; or the end has come. */
	if (js->stopping)
		pthread_cond_broadcast(&js->work);
	else
		pthread_cond_signal(&js->work);
}

static void run(struct jobs *js, struct job *j)
{
	struct target_msg reply = { .kind = TARGET_REPLY, .id = j->req.id };

	if (j->space) {
		job_space(js->serve, j->req.volume.uuid);
		return;
	}
	job_run(js->serve, &j->req, &reply);
	js->done(js->arg, j->client, &reply);
}

static void add(struct jobs *js, struct job *j)
{
	j->next = NULL;
	*js->tail = j;
	js->tail = &j->next;
}

/* With the lock, which is let go meanwhile: the registry's comes before it. */
static void space_add(struct jobs *js)
{
	struct registry *r = &js->serve->registry;
	struct job *some = NULL, *next;

	pthread_mutex_unlock(&js->lock);
	pthread_mutex_lock(&r->lock);
	for (struct volume *v = r->volumes; v; v = v->next) {
		struct job *j = mem_zalloc(sizeof(*j));

		j->space = true;
		memcpy(j->req.volume.uuid, v->def.uuid, 16);
		j->next = some;
		some = j;
	}
	pthread_mutex_unlock(&r->lock);
	pthread_mutex_lock(&js->lock);
	for (; some; some = next) {
		next = some->next;
		add(js, some);
	}
}

static void idle(struct jobs *js)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!js->stopping && now.tv_sec >= js->looked + SPACE_S) {
		js->looked = now.tv_sec;
		space_add(js);
		return;
	}
	now.tv_sec += SPACE_S;
	js->n_idle++;
	pthread_cond_timedwait(&js->work, &js->lock, &now);
	js->n_idle--;
}

static void *jobs_main(void *arg);

/* Somebody for what waits. With the lock. */
static void hands(struct jobs *js)
{
	if (js->n_idle) {
		pthread_cond_signal(&js->work);
		return;
	}
	if (js->n_threads < THREADS_MAX && pthread_create(&js->threads[js->n_threads], NULL, jobs_main, js) == 0)
		js->n_threads++;
	else if (!js->n_threads)
		abort();
}

/* Could one that somebody waits for run now? */
static bool more(const struct jobs *js)
{
	for (const struct job *j = js->queue; j; j = j->next)
		if (!j->space && !runs(js, j->req.volume.uuid))
			return true;
	return false;
}

static void *jobs_main(void *arg)
{
	struct jobs *js = arg;
	struct job *j;

	pthread_mutex_lock(&js->lock);
	while ((j = take(js)) || !js->stopping || js->queue) {
		if (!j) {
			idle(js);
			continue;
		}
		/* Who posted the next one may have counted on this thread, which was idle but not awake yet. */
		if (!js->stopping && more(js))
			hands(js);
		pthread_mutex_unlock(&js->lock);
		run(js, j);
		pthread_mutex_lock(&js->lock);
		finished(js, j);
	}
	pthread_mutex_unlock(&js->lock);
	return NULL;
}

void jobs_post(struct jobs *js, uint64_t client, struct target_msg *req)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->client = client;
	j->req = *req;
	memset(req, 0, sizeof(*req));
	pthread_mutex_lock(&js->lock);
	add(js, j);
	hands(js);
	pthread_mutex_unlock(&js->lock);
}

struct jobs *jobs_new(struct serve *s, job_done_fn *done, void *arg)
{
	struct jobs *js = mem_zalloc(sizeof(*js));
	pthread_condattr_t attr;

	js->serve = s;
	js->done = done;
	js->arg = arg;
	js->tail = &js->queue;
	pthread_mutex_init(&js->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&js->work, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&js->lock);
	hands(js);
	pthread_mutex_unlock(&js->lock);
	return js;
}

void jobs_stop(struct jobs **jobs)
{
	struct jobs *js = *jobs;

	if (!js)
		return;
	pthread_mutex_lock(&js->lock);
	js->stopping = true;
	pthread_cond_broadcast(&js->work);
	pthread_mutex_unlock(&js->lock);
	/* None is made any more: the main thread, which posts, is here. */
	for (unsigned i = 0; i < js->n_threads; i++)
		pthread_join(js->threads[i], NULL);
	pthread_cond_destroy(&js->work);
	pthread_mutex_destroy(&js->lock);
	free(js);
	*jobs = NULL;
}
