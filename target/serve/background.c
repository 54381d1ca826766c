/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that goes on without the command that asked for it (a sanitize operation, the end of a reservation): a task of its
 * own, with a view of its own of the volume, on the worker that it was asked on.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/serve/serve.h"

struct background {
	struct serve_task st;           /* first: exec's pointer is ours */
	struct nexus nexus;
	struct scsi_it it;
	enum scsi_turn (*work)(struct task *t);
	uint64_t run;                   /* of v->sanitizing; 0: it goes on whatever becomes of the volume */
};

static struct background *start(struct worker *w, struct volume *v, const struct scsi_it *as, enum scsi_turn (*work)(struct task *t));

void background_begin(struct serve_task *st)
{
	exec_turn(st, ((struct background *)st)->work(&st->it.task));
}

void background_start(struct worker *w, struct volume *v, const struct scsi_it *as, enum scsi_turn (*work)(struct task *t))
{
	background_begin(&start(w, v, as, work)->st);
}

void background_sanitize(struct worker *w, struct volume *v, uint64_t run)
{
	struct background *b = start(w, v, NULL, scsi_background);

	b->run = run;
	background_begin(&b->st);
}

bool background_goes_on(const struct serve_task *st)
{
	const struct background *b = (const struct background *)st;

	return !b->run || atomic_load(&b->nexus.volume->sanitizing) == b->run;
}

static struct background *start(struct worker *w, struct volume *v, const struct scsi_it *as, enum scsi_turn (*work)(struct task *t))
{
	struct background *b = mem_zalloc(sizeof(*b));
	struct registry *r = &w->serve->registry;

	b->nexus.volume = v;
	b->nexus.n_tasks = 1;
	b->work = work;
	if (as) {
		b->it = *as;
		b->it.luns = NULL;
		b->it.n_luns = 0;
		b->it.reach = NULL;
	} else {
		snprintf(b->it.initiator, sizeof(b->it.initiator), "director");
	}
	b->st.worker = w;
	b->st.nexus = &b->nexus;
	b->st.it.task.pool = &w->pool;
	b->st.it.task.scsi.nexus = &b->nexus.scsi;
	b->st.it.task.scsi.it = &b->it;
	w->n_background++;
	pthread_mutex_lock(&r->lock);
	v->n_nexus++;
	pthread_mutex_lock(&v->lu_lock);
	lu_attach(&v->lu, &b->nexus.scsi, &b->it, UINT32_MAX, false);
	pthread_mutex_unlock(&v->lu_lock);
	pthread_mutex_unlock(&r->lock);
	return b;
}

void background_end(struct serve_task *st)
{
	struct background *b = (struct background *)st;
	struct worker *w = st->worker;
	struct registry *r = &w->serve->registry;
	struct volume *v = b->nexus.volume;
	uint64_t run = b->run;

	if (run)
		atomic_compare_exchange_strong(&v->sanitizing, &run, 0);
	task_buf_put(&w->pool, &st->it.task.scsi.work);
	pthread_mutex_lock(&r->lock);
	pthread_mutex_lock(&v->lu_lock);
	lu_detach(&b->nexus.scsi);
	pthread_mutex_unlock(&v->lu_lock);
	if (--v->n_nexus == 0)
		pthread_cond_broadcast(&r->released);
	pthread_mutex_unlock(&r->lock);
	w->n_background--;
	free(b);
}
