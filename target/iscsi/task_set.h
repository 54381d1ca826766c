/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task sets, and which of their commands may start (SAM-5 8). There is one for each logical unit and session: an I_T
 * nexus has its own (TST 001b of the Control mode page, SPC-4 7.5.8), so that its order costs no other one anything.
 *
 * A command enters when its CmdSN has its turn, though its data may not be all here, and leaves with its answer, or
 * when it is aborted. Among SIMPLE commands there is no order to keep: a session has sets only since a command that is
 * ORDERED or HEAD OF QUEUE is there, and each only while it is not empty.
 */
#ifndef ISCSI_TASK_SET_H
#define ISCSI_TASK_SET_H

#include "target/iscsi/session.h"

/* Commands in the order in which they came. A task is in one at most. */
struct iscsi_queue {
	struct iscsi_task *first, **last;
};

struct iscsi_set {
	struct iscsi_set *next;
	uint8_t lun[8];
	unsigned n_current;             /* commands before which nothing stands but HEAD OF QUEUE */
	bool ordered;                   /* these are one, ORDERED */
	unsigned n_head;                /* those that are HEAD OF QUEUE */
	struct iscsi_queue later;       /* behind an ORDERED command, or one that waits until those before it have ended */
	struct iscsi_queue halted;      /* current ones that are ready, while one is HEAD OF QUEUE */
};

/* Does it have a place in the order of others? */
static inline bool task_orders(const struct iscsi_task *t)
{
	return t->task.attr == TASK_ORDERED || t->task.attr == TASK_HEAD_OF_QUEUE;
}

void task_set_join(struct iscsi_session *s, struct iscsi_task *t);

/* Its turn has come. */
static inline void task_set_enter(struct iscsi_session *s, struct iscsi_task *t)
{
	if (s->n_orders || task_orders(t))
		task_set_join(s, t);
}

/* It is in a set and all here: may it start? If not, session_task_ready is called for it when it may. */
bool task_set_starts(struct iscsi_task *t);
/* It was in a set, and has ended. */
void task_set_leave(struct iscsi_task *t);

#endif
