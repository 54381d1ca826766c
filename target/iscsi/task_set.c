/* SPDX-License-Identifier: Apache-2.0 */
/* The order of commands by their task attributes, SAM-5 8.6. */
#include "target/iscsi/task_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void queue_put(struct iscsi_queue *q, struct iscsi_task *t)
{
	t->queue = q;
	t->queue_next = NULL;
	t->queue_at = q->last;
	*q->last = t;
	q->last = &t->queue_next;
}

static void queue_take(struct iscsi_task *t)
{
	*t->queue_at = t->queue_next;
	if (t->queue_next)
		t->queue_next->queue_at = t->queue_at;
	else
		t->queue->last = t->queue_at;
	t->queue = NULL;
}

/* ---- sets ---- */

static struct iscsi_set **slot_of(struct iscsi_session *s, const uint8_t *lun)
{
	return &s->sets[(lun[1] ^ lun[3]) % SESSION_SETS];
}

static struct iscsi_set *set_get(struct iscsi_session *s, const uint8_t *lun)
{
	struct iscsi_set **slot = slot_of(s, lun), *set = *slot;

	while (set && !lun_same(set->lun, lun))
		set = set->next;
	if (set)
		return set;
	set = mem_zalloc(sizeof(*set));
	memcpy(set->lun, lun, 8);
	set->later.last = &set->later.first;
	set->halted.last = &set->halted.first;
	set->next = *slot;
	*slot = set;
	return set;
}

static void set_free(struct iscsi_session *s, struct iscsi_set *set)
{
	struct iscsi_set **p = slot_of(s, set->lun);

	while (*p != set)
		p = &(*p)->next;
	*p = set->next;
	free(set);
}

/* ---- who is current ---- */

/* 8.6.2 and 8.6.3, but for what HEAD OF QUEUE holds back: nothing older stands before it, or nothing that is ORDERED. */
static bool fits(const struct iscsi_set *set, const struct iscsi_task *t)
{
	return !set->n_current || (!set->ordered && t->task.attr != TASK_ORDERED);
}

static void make_current(struct iscsi_set *set, struct iscsi_task *t)
{
	t->current = true;
	set->n_current++;
	set->ordered = t->task.attr == TASK_ORDERED;
}

static void enter(struct iscsi_session *s, struct iscsi_task *t)
{
	struct iscsi_set *set;

	/* 8.6.5: one with the ACA attribute waits for nobody. There is no ACA condition, so it ends at once. */
	if (t->task.attr == TASK_ACA)
		return;
	set = t->set = set_get(s, t->task.lun);
	if (t->task.attr == TASK_HEAD_OF_QUEUE)
		set->n_head++;
	else if (!set->later.first && fits(set, t))
		make_current(set, t);
	else
		queue_put(&set->later, t);
}

/* Those that came before the first one that has a place in the order. */
static void others_enter(struct iscsi_session *s, const struct iscsi_task *but)
{
	for (unsigned i = 0; i < SESSION_HASH; i++)
		for (struct iscsi_task *t = s->hash[i]; t; t = t->hash_next)
			if (t != but && !t->set && t->arrived && t->state < ITASK_ANSWERING)
				enter(s, t);
}

void task_set_join(struct iscsi_session *s, struct iscsi_task *t)
{
	if (task_orders(t) && s->n_orders++ == 0)
		others_enter(s, t);
	enter(s, t);
}

bool task_set_starts(struct iscsi_task *t)
{
	struct iscsi_set *set = t->set;

	if (t->task.attr == TASK_HEAD_OF_QUEUE)
		return true;
	if (t->current && set->n_head)
		queue_put(&set->halted, t);
	return t->current && !set->n_head;
}

/* ---- one has ended ---- */

static void promote(struct iscsi_set *set)
{
	struct iscsi_task *t;

	while ((t = set->later.first) && fits(set, t)) {
		queue_take(t);
		make_current(set, t);
		if (t->state == ITASK_DORMANT)
			queue_put(&set->halted, t);
	}
}

static void start(struct iscsi_session *s, struct iscsi_set *set)
{
	struct iscsi_task *t;

	while ((t = set->halted.first)) {
		queue_take(t);
		session_task_ready(s, t);
		s->woken = true;
	}
}

void task_set_leave(struct iscsi_task *t)
{
	struct iscsi_session *s = t->session;
	struct iscsi_set *set = t->set;

	t->set = NULL;
	s->n_orders -= task_orders(t);
	if (t->queue)
		queue_take(t);
	if (t->task.attr == TASK_HEAD_OF_QUEUE)
		set->n_head--;
	else
		set->n_current -= t->current;
	promote(set);
	if (!set->n_head)
		start(s, set);
	if (!set->n_current && !set->n_head)
		set_free(s, set);
}
