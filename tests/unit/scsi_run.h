/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command through target/scsi to its end, as the owner of a unit would do it: block operations by `block`,
 * what is to be kept through its codec, work in the background at once.
 */
#ifndef TESTS_SCSI_RUN_H
#define TESTS_SCSI_RUN_H

#include <stdlib.h>
#include <string.h>

#include "target/scsi/sense.h"

#define RUN_STEPS_MAX 1000000u

struct scsi_run {
	void (*block)(void *arg, struct block_op *op, const struct scsi_lu *lu);
	void *arg;
	int keep_err;                   /* of the next SCSI_KEEP */
	unsigned n_kept;                /* how often something was kept */
};

/* What is proposed survives its bytes. */
static void run_keep(struct scsi_run *r, const struct task *t)
{
	struct buf b = { 0 };
	struct lu_kept back;

	kept_encode(scsi_proposed(t), &b);
	if (b.len > LU_KEPT_MAX || kept_decode(b.data, b.len, &back) != 0 || !kept_same(scsi_proposed(t), &back))
		abort();
	kept_fini(&back);
	buf_fini(&b);
	r->n_kept++;
}

static void run_turns(struct scsi_run *r, struct task *t, enum scsi_turn turn)
{
	for (unsigned steps = 0; ; steps++) {
		if (steps > RUN_STEPS_MAX)
			abort();
		if (t->scsi.background) {
			struct task *b = task_get(t->pool);

			t->scsi.background = false;
			b->scsi.nexus = t->scsi.nexus;
			b->scsi.it = t->scsi.it;
			run_turns(r, b, scsi_background(b));
			task_put(&b);
		}
		switch (turn) {
		case SCSI_DONE:
			return;
		case SCSI_BLOCK:
			t->op.result = 0;
			if (t->op.kind != BLOCK_PAUSE)
				r->block(r->arg, &t->op, t->op.nexus ? t->op.nexus->lu : t->scsi.nexus->lu);
			turn = scsi_done(t);
			break;
		case SCSI_LOCK:
			turn = scsi_locked(t);
			break;
		case SCSI_KEEP:
			run_keep(r, t);
			turn = scsi_kept(t, r->keep_err);
			r->keep_err = 0;
		}
	}
}

#endif
