/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's thread and its queue. The loop's side copies batches in and gets completions out; the thread's side
 * commits what waits, together, and judges errors. Between the two is one lock, held for moments.
 */
#include "directord/store.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/factsdb.h"
#include "directord/storedb.h"

#define PROBE_MS 1000
#define GROUP_MAX 256                   /* batches in one transaction */
#define FACTS_MS 2000                   /* facts are written this long after the first change */
#define CHORES_MS 250                   /* of rest */
#define FACTS_MAX 4096                  /* or when this many wait */

enum job_kind { JOB_PUT, JOB_LOAD, JOB_CHANGED };

struct job {
	STAILQ_ENTRY(job) entry;
	enum job_kind kind;
	int err;
	/* JOB_PUT */
	struct store_batch *batch;
	unsigned life;                  /* of the store when it was put; see `life` below */
	uint64_t seq;
	store_done_fn *done;
	void *arg;
	/* JOB_LOAD */
	struct store_image *image;
	bool *loaded;
	/* JOB_CHANGED; JOB_LOAD on error */
	char *why;
};

STAILQ_HEAD(jobs, job);

struct store {
	/* The loop's. */
	struct ev_loop *loop;
	struct ev_async wake;
	const struct log *log;
	void (*changed)(void *arg, int err, const char *why);
	void *arg;
	unsigned pending, life;
	int err;                        /* as the loop has been told */

	/* The thread's. */
	struct storedb *db;             /* NULL: could not be opened again yet */
	struct factsdb *facts;
	char *dir, *vfs;
	unsigned probe_ms;
	int failed;
	unsigned db_life;               /* raised at each recovery */
	bool sized;

	/* Both sides'. */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work, answer;
	struct jobs todo, done;
	struct fact *fact_first, **fact_last;
	unsigned n_facts;
	bool stop;
};

/*
 * A batch put after another one failed, but before the loop was told, rests on something that is not there. So the
 * store has lives: the loop enters the next one when it is told of the recovery, and the thread refuses
 * batches of an earlier life.
 */

/* One allocation holds a batch and everything it points to. */
static struct store_batch *batch_copy(const struct store_batch *b)
{
	size_t n = sizeof(*b) + b->n_entries * sizeof(*b->entries) + b->n_meta * sizeof(*b->meta) +
		2 * sizeof(struct store_snapshot);
	struct store_batch *copy;
	struct store_snapshot *snap;
	struct store_entry *entries;
	struct store_meta *meta;
	uint8_t *at;

	if (b->install)
		n += b->install->len;
	if (b->compact)
		n += b->compact->len;
	for (unsigned i = 0; i < b->n_entries; i++)
		n += b->entries[i].len;
	for (unsigned i = 0; i < b->n_meta; i++)
		n += strlen(b->meta[i].key) + 1 + b->meta[i].len + 1;

	copy = mem_alloc(n);
	*copy = *b;
	snap = (struct store_snapshot *)(copy + 1);
	entries = (struct store_entry *)(snap + 2);
	meta = (struct store_meta *)(entries + b->n_entries);
	at = (uint8_t *)(meta + b->n_meta);
#define COPY(p, len) (memcpy(at, (len) ? (const void *)(p) : "", len), at += (len), at - (len))
	if (b->install) {
		snap[0] = *b->install;
		snap[0].data = COPY(b->install->data, b->install->len);
		copy->install = &snap[0];
	}
	if (b->compact) {
		snap[1] = *b->compact;
		snap[1].data = COPY(b->compact->data, b->compact->len);
		copy->compact = &snap[1];
	}
	for (unsigned i = 0; i < b->n_entries; i++) {
		entries[i] = b->entries[i];
		entries[i].data = COPY(b->entries[i].data, b->entries[i].len);
	}
	for (unsigned i = 0; i < b->n_meta; i++) {
		meta[i] = b->meta[i];
		meta[i].key = (const char *)COPY(b->meta[i].key, strlen(b->meta[i].key) + 1);
		if (b->meta[i].value)
			meta[i].value = COPY(b->meta[i].value, b->meta[i].len);
	}
#undef COPY
	copy->entries = entries;
	copy->meta = meta;
	return copy;
}

static void job_free(struct job *j)
{
	free(j->batch);
	free(j->why);
	free(j);
}

static void answer(struct store *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->done, j, entry);
	pthread_mutex_unlock(&s->lock);
	ev_async_send(s->loop, &s->wake);
}

static void tell_changed(struct store *s, int err, char *why)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->kind = JOB_CHANGED;
	j->err = err;
	j->why = why;
	answer(s, j);
}

static void fail(struct store *s, int err, const char *what)
{
	/* EINVAL is for bad batches only: the disk's errors never look like one. */
	assert(err < 0 && err != ERR_INVAL);
	if (s->failed)
		return;
	s->failed = err;
	tell_changed(s, err, mem_printf("%s: %s (%s)", what, err_text(err), storedb_text(s->db)));
}

/* Commit `n` jobs as one transaction; on error nothing of them is known to be there. */
static int commit_jobs(struct store *s, struct job *first, unsigned n)
{
	struct job *j = first;
	int err = storedb_begin(s->db);

	for (unsigned i = 0; !err && i < n; i++, j = STAILQ_NEXT(j, entry)) {
		j->err = storedb_apply(s->db, j->batch);
		if (j->err != ERR_INVAL)
			err = j->err;
	}
	if (!err)
		err = storedb_commit(s->db);
	if (err)
		storedb_rollback(s->db);
	return err;
}

/* A group that fails is tried one by one, so that a large batch does not take small ones before it along. */
static void put_group(struct store *s, struct jobs *group, unsigned n)
{
	struct job *j;
	int err = s->failed;

	if (!err) {
		err = commit_jobs(s, STAILQ_FIRST(group), n);
		if (err && n > 1) {
			STAILQ_FOREACH(j, group, entry) {
				int e = s->failed ? s->failed : commit_jobs(s, j, 1);

				if (e) {
					j->err = e;
					fail(s, e, "commit");
				}
			}
			return;
		}
		if (err)
			fail(s, err, "commit");
	}
	if (err)
		STAILQ_FOREACH(j, group, entry)
			j->err = err;
}

/* Take the jobs at the head of `todo` that may share a transaction. */
static unsigned take_group(struct store *s, struct jobs *todo, struct jobs *group)
{
	unsigned n = 0;
	struct job *j;

	STAILQ_INIT(group);
	while (n < GROUP_MAX && (j = STAILQ_FIRST(todo)) && j->kind == JOB_PUT && j->life == s->db_life) {
		STAILQ_REMOVE_HEAD(todo, entry);
		STAILQ_INSERT_TAIL(group, j, entry);
		n++;
	}
	return n;
}

static void load(struct store *s, struct job *j)
{
	j->err = s->failed;
	if (!j->err)
		j->err = storedb_load(s->db, j->image, &j->why);
	pthread_mutex_lock(&s->lock);
	*j->loaded = true;
	pthread_cond_signal(&s->answer);
	pthread_mutex_unlock(&s->lock);
}

static void run_jobs(struct store *s, struct jobs *todo)
{
	struct jobs group;
	struct job *j;
	unsigned n;
	int err;

	while ((j = STAILQ_FIRST(todo))) {
		if (j->kind == JOB_LOAD) {
			STAILQ_REMOVE_HEAD(todo, entry);
			load(s, j);
			continue;
		}
		n = take_group(s, todo, &group);
		if (n) {
			put_group(s, &group, n);
		} else {
			STAILQ_REMOVE_HEAD(todo, entry);
			j->err = s->failed ? s->failed : ERR_IO;
			STAILQ_INSERT_TAIL(&group, j, entry);
		}
		pthread_mutex_lock(&s->lock);
		STAILQ_CONCAT(&s->done, &group);
		pthread_mutex_unlock(&s->lock);
		ev_async_send(s->loop, &s->wake);
		if (!s->failed && (err = storedb_checkpoint(s->db, false)))
			fail(s, err, "checkpoint");
	}
}

/* Is the disk well again? Open, check and write, as at the first start. */
static void probe(struct store *s)
{
	char *why = NULL;
	int err;

	storedb_close(&s->db);
	err = storedb_open(&s->db, s->dir, s->vfs, &why);
	if (!err) {
		err = storedb_probe(s->db);
		if (err)
			storedb_close(&s->db);
	}
	free(why);
	if (err)
		return;
	s->failed = 0;
	s->sized = false;
	s->db_life++;
	tell_changed(s, 0, mem_strdup("the disk works again"));
}

static struct timespec after_ms(unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000l;
	if (t.tv_nsec >= 1000000000l) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000l;
	}
	return t;
}

/* What would make a commit slower is done when there is none. */
static bool chores_wait(const struct store *s)
{
	return !s->failed && (!s->sized || storedb_grown(s->db));
}

static void do_chores(struct store *s)
{
	int err;

	if (!s->sized)
		storedb_size(s->db);
	s->sized = true;
	err = storedb_checkpoint(s->db, true);
	if (err)
		fail(s, err, "checkpoint");
}

/* Sleep until there are jobs, or it is time for facts, chores or a probe. Called and left with the lock held. */
static void wait_for_work(struct store *s)
{
	unsigned ms = s->failed ? s->probe_ms : chores_wait(s) ? CHORES_MS : FACTS_MS;
	struct timespec until = after_ms(ms);

	while (STAILQ_EMPTY(&s->todo) && !s->stop && s->n_facts < FACTS_MAX) {
		if (!s->failed && !s->n_facts && !chores_wait(s)) {
			pthread_cond_wait(&s->work, &s->lock);
			until = after_ms(ms);
		} else if (pthread_cond_timedwait(&s->work, &s->lock, &until)) {
			return;
		}
	}
}

static void *store_thread(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct jobs todo = STAILQ_HEAD_INITIALIZER(todo);
		struct fact *facts = NULL;
		bool stop;

		wait_for_work(s);
		STAILQ_CONCAT(&todo, &s->todo);
		stop = s->stop;
		if (stop || STAILQ_EMPTY(&todo) || s->n_facts >= FACTS_MAX) {
			facts = s->fact_first;
			s->fact_first = NULL;
			s->fact_last = &s->fact_first;
			s->n_facts = 0;
		}
		pthread_mutex_unlock(&s->lock);
		if (s->failed && STAILQ_EMPTY(&todo) && !stop)
			probe(s);
		else if (STAILQ_EMPTY(&todo) && !stop && chores_wait(s))
			do_chores(s);
		run_jobs(s, &todo);
		factsdb_write(s->facts, facts);
		pthread_mutex_lock(&s->lock);
		if (stop && STAILQ_EMPTY(&s->todo))
			break;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void on_changed(struct store *s, struct job *j)
{
	s->err = j->err;
	if (j->err) {
		log_warn(s->log, "store: failed: %s", j->why);
	} else {
		s->life++;
		log_info(s->log, "store: %s", j->why);
	}
	if (s->changed)
		s->changed(s->arg, j->err, j->why);
}

static void on_wake(struct ev_loop *loop, struct ev_async *w, int revents)
{
	struct store *s = w->data;
	struct jobs done = STAILQ_HEAD_INITIALIZER(done);
	struct job *j;

	pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&done, &s->done);
	pthread_mutex_unlock(&s->lock);
	while ((j = STAILQ_FIRST(&done))) {
		STAILQ_REMOVE_HEAD(&done, entry);
		if (j->kind == JOB_PUT) {
			s->pending--;
			if (j->done)
				j->done(j->arg, j->seq, j->err);
		} else {
			on_changed(s, j);
		}
		job_free(j);
	}
}

static void start_thread(struct store *s)
{
	pthread_condattr_t attr;
	sigset_t all, old;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_cond_init(&s->answer, &attr);
	pthread_condattr_destroy(&attr);
	STAILQ_INIT(&s->todo);
	STAILQ_INIT(&s->done);
	s->fact_last = &s->fact_first;
	ev_async_init(&s->wake, on_wake);
	s->wake.data = s;
	ev_async_start(s->loop, &s->wake);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&s->thread, NULL, store_thread, s))
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int store_open(struct store **sp, const struct store_options *o, struct store_image *image, char **why)
{
	struct store *s = mem_zalloc(sizeof(*s));
	char *reason = NULL;
	int err;

	*sp = NULL;
	err = storedb_open(&s->db, o->dir, o->vfs, &reason);
	if (!err)
		err = storedb_load(s->db, image, &reason);
	if (err) {
		storedb_close(&s->db);
		free(s);
		if (why)
			*why = reason;
		else
			free(reason);
		return err;
	}
	s->facts = factsdb_open(o->dir, o->vfs);
	s->loop = o->loop;
	s->log = o->log;
	s->changed = o->changed;
	s->arg = o->arg;
	s->dir = mem_strdup(o->dir);
	s->vfs = mem_strdup(o->vfs);
	s->probe_ms = o->probe_ms ? o->probe_ms : PROBE_MS;
	start_thread(s);
	*sp = s;
	return 0;
}

void store_close(struct store **sp)
{
	struct store *s = *sp;
	struct job *j;

	*sp = NULL;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	ev_async_stop(s->loop, &s->wake);
	while ((j = STAILQ_FIRST(&s->done))) {
		STAILQ_REMOVE_HEAD(&s->done, entry);
		job_free(j);
	}
	storedb_close(&s->db);
	factsdb_close(&s->facts);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->answer);
	free(s->dir);
	free(s->vfs);
	free(s);
}

static void enqueue(struct store *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->todo, j, entry);
	pthread_mutex_unlock(&s->lock);
	/* After the lock, or the thread wakes only to wait for it. */
	pthread_cond_signal(&s->work);
}

void store_put(struct store *s, const struct store_batch *b, uint64_t seq, store_done_fn *done, void *arg)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->kind = JOB_PUT;
	j->batch = batch_copy(b);
	j->life = s->life;
	j->seq = seq;
	j->done = done;
	j->arg = arg;
	s->pending++;
	enqueue(s, j);
}

unsigned store_pending(const struct store *s)
{
	return s->pending;
}

int store_err(const struct store *s)
{
	return s->err;
}

int store_load(struct store *s, struct store_image *image)
{
	struct job *j = mem_zalloc(sizeof(*j));
	bool loaded = false;
	int err;

	memset(image, 0, sizeof(*image));
	j->kind = JOB_LOAD;
	j->image = image;
	j->loaded = &loaded;
	enqueue(s, j);
	pthread_mutex_lock(&s->lock);
	while (!loaded)
		pthread_cond_wait(&s->answer, &s->lock);
	pthread_mutex_unlock(&s->lock);
	err = j->err;
	if (err)
		log_warn(s->log, "store: %s", j->why ? j->why : err_text(err));
	job_free(j);
	return err;
}

void store_image_fini(struct store_image *image)
{
	free(image->entries);
	free(image->meta);
	free(image->memory);
	memset(image, 0, sizeof(*image));
}

const struct store_meta *store_image_meta(const struct store_image *image, const char *key)
{
	for (unsigned i = 0; i < image->n_meta; i++)
		if (strcmp(image->meta[i].key, key) == 0)
			return &image->meta[i];
	return NULL;
}

static void queue_fact(struct store *s, const void *key, size_t key_len, const void *value, size_t len)
{
	struct fact *f = fact_new(key, key_len, value, len);

	pthread_mutex_lock(&s->lock);
	*s->fact_last = f;
	s->fact_last = &f->next;
	s->n_facts++;
	/* The thread wakes for the first, to set its clock, and for the last that it lets wait. */
	if (s->n_facts == 1 || s->n_facts == FACTS_MAX)
		pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

void store_fact_put(struct store *s, const void *key, size_t key_len, const void *value, size_t len)
{
	queue_fact(s, key, key_len, value ? value : "", len);
}

void store_fact_del(struct store *s, const void *key, size_t key_len)
{
	queue_fact(s, key, key_len, NULL, 0);
}

void store_facts_load(struct store *s, store_fact_fn *fn, void *arg)
{
	factsdb_load(s->facts, fn, arg);
}
