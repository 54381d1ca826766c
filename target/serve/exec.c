/* SPDX-License-Identifier: Apache-2.0 */
/* A task through scsi and the backstore: scsi says what it needs next, that is done, until there is an
 * answer. */
#include "config.h"

#include <string.h>

#include "target/scsi/op.h"
#include "target/scsi/sense.h"
#include "target/serve/serve.h"

#define PAUSE_MS 100

static struct volume *volume_of(const struct scsi_lu *lu)
{
	size_t at = lu->inner ? offsetof(struct volume, inner_lu) : offsetof(struct volume, lu);

	return (struct volume *)((char *)lu - at);
}

void exec_finish(struct serve_task *st)
{
	if (!st->session || !st->nexus || st->it.task.aborted || hold_answers(st))
		exec_answer(st);
}

void exec_answer(struct serve_task *st)
{
	struct session *ss = st->session;
	struct nexus *n = st->nexus;

	if (!ss) {
		background_end(st);
		return;
	}
	if (st->it.task.scsi.alone) {
		alone_end(st);
		return;
	}
	if (st->reached)
		session_unreach(ss, &st->reached);
	if (n) {
		n->n_tasks--;
		if (st->it.task.aborted && n->n_aborting)
			n->n_aborting--;
	}
	conn_task_done(&st->it.task);
	session_dirty(ss);
	session_wake(ss);
	if ((n && n->gone) || session_over(ss->is))
		ss->worker->reap = true;
}

/* ---- block operations ---- */

static const uint16_t ops[] = {
	[BLOCK_READ] = DIRECTOR_READ,
	[BLOCK_WRITE] = DIRECTOR_WRITE,
	[BLOCK_FLUSH] = DIRECTOR_FLUSH,
	[BLOCK_DISCARD] = DIRECTOR_DISCARD,
	[BLOCK_WRITE_ZEROES] = DIRECTOR_WRITE_ZEROES,
	[BLOCK_COMPARE_AND_WRITE] = DIRECTOR_COMPARE_AND_WRITE,
	[BLOCK_EXTENTS] = DIRECTOR_EXTENTS,
	[BLOCK_CHECKSUM] = DIRECTOR_CHECKSUM,
};

static void block_done(struct backstore_io *bio, int32_t result);

static void lent_back(struct task *t)
{
	struct serve_task *st = (struct serve_task *)t;
	struct nexus *n = st->nexus;

	*st->lent_at = st->lent_next;
	if (st->lent_next)
		st->lent_next->lent_at = st->lent_at;
	t->lent = NULL;
	backstore_lend_end(st->lent_by, st->worker->queue);
	if (!n->lent && n->gone)
		st->worker->reap = true;
}

/* A write waits for what is on its way: that leaves from a copy. Without memory for one, the write waits longer. */
static void lent_copy(struct serve_task *st)
{
	struct task *t = &st->it.task;
	struct task_buf b = { 0 };

	if (!st->it.conn || task_room(t, &b, t->op.len) != 0)
		return;
	memcpy(b.p, t->in.p, t->op.len);
	conn_data_moved(st->it.conn, &st->it, b.p);
	t->in = b;
	lent_back(t);
}

void exec_recall(void *worker, struct backstore *bs)
{
	struct worker *w = worker;

	for (struct session *ss = w->sessions; ss; ss = ss->next)
		for (struct nexus *n = ss->nexuses; n; n = n->next)
			for (struct serve_task *st = n->lent, *next; st; st = next) {
				next = st->lent_next;
				if (st->lent_by == bs)
					lent_copy(st);
			}
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

	if (t->op.kind != BLOCK_READ || !(t->op.flags & BLOCK_LEND) || t->op.nexus || !c || c->data_digest || ss->is->params.erl > 0)
		return false;
	/* What needs a lease, or a store that is there. */
	if (atomic_load_explicit(&v->leased, memory_order_relaxed) || atomic_load_explicit(&v->hold, memory_order_acquire))
		return false;
	p = backstore_lend(v->bs, ss->worker->queue, atomic_load_explicit(&v->epoch, memory_order_relaxed),
		t->op.offset, t->op.len);
	if (!p)
		return false;
	task_unroom(t, &t->in);
	t->in.p = (uint8_t *)p;
	t->lent = lent_back;
	st->lent_by = v->bs;
	st->lent_at = &st->nexus->lent;
	st->lent_next = *st->lent_at;
	if (st->lent_next)
		st->lent_next->lent_at = &st->lent_next;
	*st->lent_at = st;
	st->touched = true;
	t->op.result = 0;
	t->op.key = 0;
	return true;
}

/* The volume that the operation goes to. */
static struct volume *op_volume(const struct serve_task *st)
{
	const struct scsi_nexus *other = st->it.task.op.nexus;

	return other ? volume_of(other->lu) : st->nexus->volume;
}

static void submit(struct serve_task *st)
{
	struct volume *v = op_volume(st);
	const struct block_op *op = &st->it.task.op;
	struct director_io *io = &st->bio.io;

	if (!hold_submits(st, v))
		return;
	memset(io, 0, sizeof(*io));
	io->struct_size = sizeof(*io);
	io->op = ops[op->kind];
	/* We promise zeroes after UNMAP (LBPRZ): a discard that does not give them is a write of zeroes
	 * that may unmap. */
	if (op->kind == BLOCK_DISCARD && !v->discard_zeroes)
		io->op = DIRECTOR_WRITE_ZEROES;
	io->flags = (uint16_t)((op->flags & BLOCK_FUA ? DIRECTOR_IOF_FUA : 0) |
			       (op->flags & BLOCK_DPO ? DIRECTOR_IOF_DPO : 0) |
			       (op->flags & BLOCK_ATOMIC ? BACKSTORE_IOF_ATOMIC : 0) |
			       (op->flags & BLOCK_MAY_UNMAP || op->kind == BLOCK_DISCARD
					       ? DIRECTOR_IOF_MAY_UNMAP
					       : 0));
	io->offset = op->offset;
	io->len = op->len;
	for (unsigned i = 0; i < op->n_iov; i++)
		st->iov[i] = (struct director_iov){ op->iov[i].base, op->iov[i].len };
	io->iov = st->iov;
	io->n_iov = op->n_iov;
	/* A leg is used under the epoch of the login that claimed it. */
	io->epoch = st->session && st->session->entry->leg ? st->session->entry->epoch
							   : atomic_load_explicit(&v->epoch, memory_order_relaxed);
	st->err.struct_size = sizeof(st->err);
	st->err.key = 0;
	io->sense = &st->err;
	st->bio.done = block_done;
	st->bio.user = st;
	backstore_submit(v->bs, st->worker->queue, &st->bio);
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
	/* Nobody waits for what goes on in the background; that it did not end is kept. */
	if (!st->session && (st->worker->stopping || !background_goes_on(st)))
		st->it.task.aborted = true;
	if (st->it.task.aborted)
		exec_turn(st, SCSI_DONE);
	else if (hold_completes(st, op_volume(st), result))
		exec_turn(st, scsi_done(&st->it.task));
}

/* ---- pauses ---- */

static void pause_task(struct serve_task *st)
{
	struct worker *w = st->worker;

	st->next = w->paused;
	w->paused = st;
	w->next_tick = mono_min(w->next_tick, mono_add_ms(w->now, PAUSE_MS));
}

bool exec_tick(struct worker *w)
{
	struct serve_task *st = w->paused, *next;

	w->paused = NULL;
	for (; st; st = next) {
		next = st->next;
		st->it.task.op.result = 0;
		exec_turn(st, st->it.task.aborted ? SCSI_DONE : scsi_done(&st->it.task));
	}
	return w->paused != NULL;
}

/* ---- turns ---- */

void exec_turn(struct serve_task *st, enum scsi_turn turn)
{
	struct task *t = &st->it.task;

	while (turn == SCSI_BLOCK && lend(st))
		turn = scsi_done(t);
	if (t->scsi.early) {
		t->scsi.early = false;
		if (turn != SCSI_DONE)
			alone_begin(st);
	}
	if (t->scsi.aborts || t->scsi.drains) {
		others_end(st, turn);
		return;
	}
	if (t->scsi.background) {
		t->scsi.background = false;
		if (st->nexus->volume->def.keeps)
			sanitize_look(st->nexus->volume);
		else
			background_start(st->worker, st->nexus->volume, NULL, scsi_background);
	}
	if (!st->session && (turn == SCSI_BLOCK || turn == SCSI_LOCK) && !background_goes_on(st))
		t->aborted = true;
	/* What is on its way to be durable cannot be called back. */
	if (t->aborted && turn != SCSI_KEEP) {
		scsi_drop(t);
		exec_finish(st);
		return;
	}
	switch (turn) {
	case SCSI_BLOCK:
		if (t->op.kind == BLOCK_PAUSE)
			pause_task(st);
		else
			submit(st);
		break;
	case SCSI_LOCK:
		exec_locked(st, st->nexus->volume, scsi_locked);
		break;
	case SCSI_KEEP:
		keep_put(st);
		break;
	case SCSI_DONE:
		exec_finish(st);
	}
}

void exec_locked(struct serve_task *st, struct volume *v, enum scsi_turn (*fn)(struct task *t))
{
	enum scsi_turn turn;

	pthread_mutex_lock(&v->lu_lock);
	if (v->keeping) {
		struct serve_task **p = &v->waiting;

		while (*p)
			p = &(*p)->next;
		st->next = NULL;
		st->resume = fn;
		*p = st;
		pthread_mutex_unlock(&v->lu_lock);
		return;
	}
	turn = fn(&st->it.task);
	if (turn == SCSI_KEEP) {
		v->keeping = st;
		v->proposal_of = v->kept_version;
	}
	pthread_mutex_unlock(&v->lu_lock);
	exec_turn(st, turn);
}

static enum scsi_turn start(struct task *t)
{
	return scsi_start(&((struct serve_task *)t)->session->it, t);
}

void exec_begin(struct serve_task *st, bool first)
{
	struct session *ss = st->session;
	struct task *t = &st->it.task;
	struct scsi_lu *lu = ss ? scsi_needs_lock(&ss->it, t) : NULL;
	struct volume *v = lu ? volume_of(lu) : NULL;
	enum scsi_turn turn;

	if (st->nexus && !hold_begins(st, first))
		return;
	if (!ss) {
		background_begin(st);
		return;
	}
	/* While it is held the shape of its unit may change, under the lock. */
	if (!v && st->nexus && atomic_load_explicit(&st->nexus->volume->hold, memory_order_acquire))
		v = st->nexus->volume;
	if (!v) {
		exec_turn(st, scsi_start(&ss->it, t));
	} else if (scsi_keeps(t)) {
		exec_locked(st, v, start);
	} else {
		pthread_mutex_lock(&v->lu_lock);
		turn = scsi_start(&ss->it, t);
		pthread_mutex_unlock(&v->lu_lock);
		exec_turn(st, turn);
	}
}

void exec_task(struct session *ss, struct task *t)
{
	struct serve_task *st = (struct serve_task *)t;

	st->session = ss;
	st->worker = ss->worker;
	st->reached = NULL;
	st->settled = false;
	st->nexus = (struct nexus *)it_nexus(&ss->it, t->lun);
	if (st->nexus)
		st->nexus->n_tasks++;
	exec_begin(st, true);
}
