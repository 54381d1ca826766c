/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What units keep over a loss of power: a file per volume in the state folder, written whole beside the old
 * one, made stable, renamed over it. A thread of its own does that, so that no worker waits for a disk.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "target/serve/serve.h"

struct keep_job {
	struct worker_msg msg;          /* back to the worker */
	struct keep_job *next;
	struct serve_task *st;
	uint8_t uuid[16];
	struct buf bytes;
	int err;
};

struct keep {
	struct serve *serve;
	int dir;                        /* the folder; negative: there is none, nothing can be kept */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct keep_job *jobs, **tail;
	bool stopping;
};

/* ---- the file ---- */

static void file_name(const uint8_t uuid[16], const char *suffix, char name[64])
{
	char text[37];

	snprintf(name, 64, "%s.unit%s", text_uuid(uuid, text), suffix);
}

static int write_all(int fd, const struct buf *b)
{
	size_t at = 0;

	while (at < b->len) {
		ssize_t n = write(fd, b->data + at, b->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int file_write(const struct keep *k, const uint8_t uuid[16], const struct buf *b)
{
	char name[64], beside[64];
	int fd, r;

	if (k->dir < 0)
		return -ENOENT;
	file_name(uuid, "", name);
	file_name(uuid, ".new", beside);
	fd = openat(k->dir, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, b);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(k->dir, beside, k->dir, name) < 0)
		r = -errno;
	/* After the rename the old state is gone: an error now is as good as a loss of power. */
	if (r == 0 && fsync(k->dir) < 0)
		log_warn(&k->serve->log, "keep: %s: %s", k->serve->conf.state, strerror(errno));
	if (r < 0)
		unlinkat(k->dir, beside, 0);
	return r;
}

/* ---- the thread ---- */

static void resume_run(struct worker *w, struct worker_msg *m)
{
	struct serve_task *st = (struct serve_task *)((char *)m - offsetof(struct serve_task, retry));

	if (st->it.task.aborted)
		exec_turn(st, SCSI_DONE);
	else
		exec_locked(st, st->nexus->volume, st->resume);
}

enum scsi_turn keep_over(struct serve_task *st, int err)
{
	struct volume *v = st->nexus->volume;
	struct serve_task *waiting, *next;
	enum scsi_turn turn;

	pthread_mutex_lock(&v->lu_lock);
	turn = scsi_kept(&st->it.task, err);
	v->keeping = NULL;
	waiting = v->waiting;
	v->waiting = NULL;
	pthread_mutex_unlock(&v->lu_lock);
	for (; waiting; waiting = next) {
		next = waiting->next;
		waiting->retry.run = resume_run;
		worker_post(waiting->worker, &waiting->retry);
	}
	return turn;
}

static void kept_run(struct worker *w, struct worker_msg *m)
{
	struct keep_job *j = (struct keep_job *)m;
	struct serve_task *st = j->st;
	enum scsi_turn turn;

	st->settled = true;
	turn = keep_over(st, j->err);
	buf_fini(&j->bytes);
	free(j);
	exec_turn(st, turn);
}

static void *keep_main(void *arg)
{
	struct keep *k = arg;

	pthread_mutex_lock(&k->lock);
	for (;;) {
		struct keep_job *j = k->jobs;
		int r;

		if (!j && k->stopping)
			break;
		if (!j) {
			pthread_cond_wait(&k->work, &k->lock);
			continue;
		}
		k->jobs = j->next;
		if (!k->jobs)
			k->tail = &k->jobs;
		pthread_mutex_unlock(&k->lock);
		r = file_write(k, j->uuid, &j->bytes);
		if (r < 0)
			log_warn(&k->serve->log, "keep: a unit's state is not written to %s: %s",
				k->serve->conf.state, strerror(-r));
		j->err = r < 0 ? ERR_IO : 0;
		j->msg.run = kept_run;
		worker_post(j->st->worker, &j->msg);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

void keep_put(struct serve_task *st)
{
	struct keep *k = st->worker->serve->keep;
	struct keep_job *j;

	if (scsi_proposed(&st->it.task)->all) {
		agree_propose(st);
		return;
	}
	j = mem_zalloc(sizeof(*j));
	j->st = st;
	memcpy(j->uuid, st->nexus->volume->lu.uuid, 16);
	kept_encode(scsi_proposed(&st->it.task), &j->bytes);
	pthread_mutex_lock(&k->lock);
	*k->tail = j;
	k->tail = &j->next;
	pthread_cond_signal(&k->work);
	pthread_mutex_unlock(&k->lock);
}

/* ---- at power on, and when a volume goes ---- */

static int file_read(const struct keep *k, const uint8_t uuid[16], struct buf *b)
{
	char name[64];
	int fd, r = 0;

	file_name(uuid, "", name);
	fd = k->dir < 0 ? -1 : openat(k->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return k->dir < 0 || errno == ENOENT ? 0 : -errno;
	while (b->len <= LU_KEPT_MAX) {
		ssize_t n = read(fd, buf_room(b, 65536), 65536);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : 0;
			break;
		}
		buf_add(b, (size_t)n);
	}
	close(fd);
	return r;
}

int keep_load(struct serve *s, struct volume *v, char **why)
{
	struct buf b = { 0 };
	struct lu_kept kept;
	char text[37];
	int r = file_read(s->keep, v->def.uuid, &b), err = 0;

	if (r < 0) {
		*why = mem_printf("what %s keeps is not readable in %s: %s", v->def.name, s->conf.state, strerror(-r));
		err = ERR_IO;
	} else if (b.len && kept_decode(b.data, b.len, &kept) != 0) {
		/* Reservations that are not known must not be taken for none: initiators are told, and one has to replace them. */
		log_warn(&s->log, "keep: what %s keeps is damaged: %s/%s.unit; until an initiator replaces its reservations it is not served",
			v->def.name, s->conf.state, text_uuid(v->def.uuid, text));
		kept = (struct lu_kept){ .pr.lost = true };
		pthread_mutex_lock(&v->lu_lock);
		lu_kept_set(&v->lu, &kept);
		pthread_mutex_unlock(&v->lu_lock);
	} else if (b.len) {
		pthread_mutex_lock(&v->lu_lock);
		lu_kept_set(&v->lu, &kept);
		pthread_mutex_unlock(&v->lu_lock);
	}
	buf_fini(&b);
	return err;
}

void keep_drop(struct serve *s, const uint8_t uuid[16])
{
	char name[64];

	file_name(uuid, "", name);
	if (s->keep->dir >= 0)
		unlinkat(s->keep->dir, name, 0);
}

/* ---- begin and end ---- */

/* The folder and what leads to it. */
static int folder_open(const char *path)
{
	char *copy = mem_strdup(path);

	for (char *p = copy + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(copy, 0755);
	}
	free(copy);
	mkdir(path, 0700);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int keep_new(struct serve *s, struct keep **out)
{
	struct keep *k = mem_zalloc(sizeof(*k));

	k->serve = s;
	k->tail = &k->jobs;
	k->dir = folder_open(s->conf.state);
	if (k->dir < 0)
		log_warn(&s->log, "keep: %s: %s; reservations cannot outlive this process (APTPL)", s->conf.state,
			strerror(errno));
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->work, NULL);
	if (pthread_create(&k->thread, NULL, keep_main, k) != 0) {
		free(k);
		return ERR_FAILED;
	}
	*out = k;
	return 0;
}

void keep_free(struct keep **keep)
{
	struct keep *k = *keep;

	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_signal(&k->work);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	if (k->dir >= 0)
		close(k->dir);
	pthread_mutex_destroy(&k->lock);
	pthread_cond_destroy(&k->work);
	free(k);
	*keep = NULL;
}
