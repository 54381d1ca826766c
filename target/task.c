/* SPDX-License-Identifier: Apache-2.0 */
/* Pooled tasks and aligned buffers, for one thread. */
#include "target/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define CLASS_MIN_SHIFT 12
#define TASKS_KEPT 128u

static unsigned class_of(size_t n)
{
	unsigned c = 0;

	while (((size_t)1 << (CLASS_MIN_SHIFT + c)) < n)
		c++;
	return c;
}

static uint32_t class_size(unsigned c)
{
	return 1u << (CLASS_MIN_SHIFT + c);
}

void task_pool_init(struct task_pool *pool, size_t task_size, uint64_t bytes_max, unsigned n_tasks_max)
{
	assert(task_size >= sizeof(struct task));
	memset(pool, 0, sizeof(*pool));
	pool->task_size = task_size;
	pool->bytes_max = bytes_max;
	pool->n_tasks_max = n_tasks_max;
}

void task_pool_fini(struct task_pool *pool)
{
	struct task *t;

	assert(pool->n_tasks == 0);
	task_pool_trim(pool, 0);
	while ((t = pool->free)) {
		pool->free = t->next;
		free(t);
	}
	pool->n_free = 0;
}

struct task *task_get(struct task_pool *pool)
{
	struct task *t = pool->free;

	if (pool->n_tasks >= pool->n_tasks_max)
		return NULL;
	if (t) {
		pool->free = t->next;
		pool->n_free--;
	} else if (!(t = aligned_alloc(64, (pool->task_size + 63) & ~(size_t)63))) {
		return NULL;
	}
	/* The iov array and the sense bytes need no clearing: n_iov and sense_len say what is in them. */
	memset(t, 0, offsetof(struct task, sense));
	memset((char *)t + offsetof(struct task, in), 0,
		offsetof(struct task, op) - offsetof(struct task, in));
	t->op.kind = 0;
	t->op.n_iov = 0;
	t->op.nexus = NULL;
	memset((char *)t + offsetof(struct task, scsi), 0, sizeof(*t) - offsetof(struct task, scsi));
	t->pool = pool;
	pool->n_tasks++;
	return t;
}

void task_put(struct task **task)
{
	struct task *t = *task;
	struct task_pool *pool;

	if (!t)
		return;
	pool = t->pool;
	if (t->lent)
		t->lent(t);
	if (t->held)
		*t->held -= (uint64_t)t->out.cap + t->in.cap + t->scsi.work.cap;
	task_buf_put(pool, &t->out);
	task_buf_put(pool, &t->in);
	task_buf_put(pool, &t->scsi.work);
	t->next = pool->free;
	pool->free = t;
	pool->n_free++;
	pool->n_tasks--;
	*task = NULL;
}

int task_buf_get(struct task_pool *pool, struct task_buf *b, size_t n)
{
	unsigned c;

	assert(!b->cap);
	if (n > class_size(TASK_CLASSES - 1))
		return ERR_NOMEM;
	c = class_of(n);
	if (pool->bufs[c]) {
		b->p = pool->bufs[c];
		memcpy(&pool->bufs[c], b->p, sizeof(void *));
	} else {
		if (pool->bytes + class_size(c) > pool->bytes_max)
			task_pool_trim(pool, pool->bytes_max - class_size(c));
		if (pool->bytes + class_size(c) > pool->bytes_max)
			return ERR_NOMEM;
		if (!(b->p = aligned_alloc(TASK_ALIGN, class_size(c))))
			return ERR_NOMEM;
		pool->bytes += class_size(c);
	}
	b->cap = class_size(c);
	return 0;
}

int task_room(struct task *t, struct task_buf *b, size_t n)
{
	int r;

	if (n > class_size(TASK_CLASSES - 1) ||
		(t->held && *t->held + class_size(class_of(n)) > t->held_max))
		return ERR_NOMEM;
	r = task_buf_get(t->pool, b, n);
	if (r == 0 && t->held)
		*t->held += b->cap;
	return r;
}

/* A kept buffer holds the link to the next in its first bytes. */
void task_buf_put(struct task_pool *pool, struct task_buf *b)
{
	unsigned c;

	if (!b->cap)
		return;
	c = class_of(b->cap);
	memcpy(b->p, &pool->bufs[c], sizeof(void *));
	pool->bufs[c] = b->p;
	*b = (struct task_buf){ 0 };
}

void task_unroom(struct task *t, struct task_buf *b)
{
	if (t->held)
		*t->held -= b->cap;
	task_buf_put(t->pool, b);
}

void task_pool_trim(struct task_pool *pool, uint64_t bytes)
{
	for (unsigned c = TASK_CLASSES; c-- > 0; )
		while (pool->bufs[c] && pool->bytes > bytes) {
			void *p = pool->bufs[c];

			memcpy(&pool->bufs[c], p, sizeof(void *));
			free(p);
			pool->bytes -= class_size(c);
		}
	while (pool->n_free > TASKS_KEPT) {
		struct task *t = pool->free;

		pool->free = t->next;
		pool->n_free--;
		free(t);
	}
}
