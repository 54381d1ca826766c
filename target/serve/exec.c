/* SPDX-License-Identifier: Apache-2.0 */
/* A task through scsi and the backstore: scsi says what it needs next, the backstore does it, until there
 * is an answer. */
#include "config.h"

#include <string.h>

#include "target/scsi/op.h"
#include "target/scsi/sense.h"
#include "target/serve/serve.h"

static void finish(struct serve_task *st)
{
	struct session *ss = st->session;
	struct nexus *n = st->nexus;

	if (n) {
		n->n_tasks--;
		if (st->it.task.aborted && n->n_aborting)
			n->n_aborting--;
	}
	conn_task_done(&st->it.task);
	session_dirty(ss);
	if ((n && n->gone) || session_over(ss->is))
		ss->worker->reap = true;
}

static const uint16_t ops[] = {
	[BLOCK_READ] = DIRECTOR_READ,
	[BLOCK_WRITE] = DIRECTOR_WRITE,
	[BLOCK_FLUSH] = DIRECTOR_FLUSH,
	[BLOCK_DISCARD] = DIRECTOR_DISCARD,
	[BLOCK_WRITE_ZEROES] = DIRECTOR_WRITE_ZEROES,
	[BLOCK_COMPARE_AND_WRITE] = DIRECTOR_COMPARE_AND_WRITE,
	[BLOCK_EXTENTS] = DIRECTOR_EXTENTS,
};

static void block_done(struct backstore_io *bio, int32_t result);
static void step(struct serve_task *st, bool block);

static void lent_back(struct task *t)
{
	((struct serve_task *)t)->nexus->n_lent--;
}

/*
 * Read data leaves from where it is, if the storage is memory. Not with a data digest, which a write meanwhile would
 * make wrong, and not where an answer may be asked for again (ErrorRecoveryLevel above 0): it must be the same then.
 */
static bool lend(struct serve_task *st)
{
	struct volume *v = st->nexus->volume;
	struct task *t = &st->it.task;
	const struct session *ss = st->session;
	const struct iscsi_conn *c = st->it.conn;
	const void *p;

	if (!(t->op.flags & BLOCK_LEND) || !c || c->data_digest || ss->is->params.erl > 0)
		return false;
	p = backstore_lend(v->bs, ss->worker->queue, atomic_load_explicit(&v->epoch, memory_order_relaxed),
		t->op.offset, t->op.len);
	if (!p)
		return false;
	task_unroom(t, &t->in);
	t->in.p = (uint8_t *)p;
	t->lent = lent_back;
	st->nexus->n_lent++;
	t->op.result = 0;
	t->op.key = 0;
	return true;
}

static void submit(struct serve_task *st)
{
	struct volume *v = st->nexus->volume;
	const struct block_op *op = &st->it.task.op;
	struct director_io *io = &st->bio.io;

	memset(io, 0, sizeof(*io));
	io->struct_size = sizeof(*io);
	io->op = ops[op->kind];
	/* We promise zeroes after UNMAP (LBPRZ): a discard that does not give them is a write of zeroes
	 * that may unmap. */
	if (op->kind == BLOCK_DISCARD && !v->discard_zeroes)
		io->op = DIRECTOR_WRITE_ZEROES;
	io->flags = (uint16_t)((op->flags & BLOCK_FUA ? DIRECTOR_IOF_FUA : 0) |
			       (op->flags & BLOCK_DPO ? DIRECTOR_IOF_DPO : 0) |
			       (op->flags & BLOCK_MAY_UNMAP || op->kind == BLOCK_DISCARD
					       ? DIRECTOR_IOF_MAY_UNMAP
					       : 0));
	io->offset = op->offset;
	io->len = op->len;
	for (unsigned i = 0; i < op->n_iov; i++)
		st->iov[i] = (struct director_iov){ op->iov[i].base, op->iov[i].len };
	io->iov = st->iov;
	io->n_iov = op->n_iov;
	io->epoch = atomic_load_explicit(&v->epoch, memory_order_relaxed);
	st->err.struct_size = sizeof(st->err);
	st->err.key = 0;
	io->sense = &st->err;
	st->bio.done = block_done;
	st->bio.user = st;
	backstore_submit(v->bs, st->session->worker->queue, &st->bio);
}

static void block_done(struct backstore_io *bio, int32_t result)
{
	struct serve_task *st = bio->user;
	struct block_op *op = &st->it.task.op;

	op->result = result;
	op->key = op->asc = op->ascq = 0;
	op->at = bio->io.at;
	op->hole = bio->io.flags_out & DIRECTOR_EXT_HOLE;
	if (result != 0) {
		op->key = st->err.key;
		op->asc = st->err.asc;
		op->ascq = st->err.ascq;
		if (!op->key)
			backstore_sense(result, bio->io.op, &op->key, &op->asc, &op->ascq);
	}
	step(st, !st->it.task.aborted && scsi_done(&st->it.task) == SCSI_BLOCK);
}

/* Go on with what it asks of the storage, or end. */
static void step(struct serve_task *st, bool block)
{
	while (block && lend(st))
		block = scsi_done(&st->it.task) == SCSI_BLOCK;
	if (block)
		submit(st);
	else
		finish(st);
}

void exec_task(struct session *ss, struct task *t)
{
	struct serve_task *st = (struct serve_task *)t;
	struct scsi_lu *lu = scsi_needs_lock(&ss->it, t);
	struct volume *v = lu ? (struct volume *)((char *)lu - offsetof(struct volume, lu)) : NULL;
	enum scsi_turn turn;

	st->session = ss;
	if (v)
		pthread_mutex_lock(&v->lu_lock);
	turn = scsi_start(&ss->it, t);
	if (v)
		pthread_mutex_unlock(&v->lu_lock);
	st->nexus = (struct nexus *)t->scsi.nexus;
	if (st->nexus)
		st->nexus->n_tasks++;
	step(st, turn == SCSI_BLOCK);
}
