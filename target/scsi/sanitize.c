/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SANITIZE (SBC-3 4.11, 5.30): the whole medium is overwritten or erased, in the background, whatever happens
 * to the command, its nexus or the sessions. That it began is kept before anything is lost; if it cannot
 * end, the unit says so until EXIT FAILURE MODE or another SANITIZE.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/scsi/ops.h"
#include "target/scsi/proposal.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

#define IMMED 0x80
#define AUSE 0x20
#define ERASE_BYTES (64u << 20)         /* of one step */

/* ---- the command ---- */

/* IMMED 0: the answer comes when the operation has ended, well or not. */
static int wait_end(struct task *t)
{
	uint32_t gate = atomic_load_explicit(&t->scsi.nexus->gate, memory_order_acquire);

	if (gate & GATE_SANITIZE) {
		t->op.kind = BLOCK_PAUSE;
		t->op.nexus = NULL;
		t->scsi.next = wait_end;
		return SCSI_BLOCK;
	}
	if (gate & GATE_SANITIZE_FAILED)
		return scsi_check(t, SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
	return scsi_good(t);
}

/* New commands are refused from now on; a write that is under way must not come after what overwrites it. */
static int begun(struct task *t, struct scsi_proposal *p)
{
	t->scsi.drains = true;
	t->scsi.background = true;
	return t->cdb[1] & IMMED ? scsi_good(t) : wait_end(t);
}

/* `op` is given. */
static int begin(struct task *t, struct sanitize_op *op)
{
	struct scsi_lu *lu = task_lu(t);
	struct scsi_proposal *p;

	/* SBC-3 4.11.3: a failure that may not be left can be repaired by a stricter operation only. */
	if (lu->kept.sanitize == SANITIZE_FAILED && !lu->kept.sanitize_exit && t->cdb[1] & AUSE) {
		free(op);
		return scsi_bad_cdb(t, 1, 5);
	}
	atomic_store(&lu->sanitize.done, 0);
	atomic_store(&lu->sanitize.total, atomic_load(&lu->blocks) * lu->block_size * op->passes);
	p = proposal_new(t, begun);
	p->next.sanitize = SANITIZE_RUNNING;
	p->next.sanitize_exit = t->cdb[1] & AUSE;
	free(p->next.op);
	p->next.op = op;
	return proposal_go(t, &p);
}

static struct sanitize_op *op_new(uint8_t service, unsigned passes, bool invert, const uint8_t *pattern, uint32_t len)
{
	struct sanitize_op *op = mem_alloc(sizeof(*op) + len);

	*op = (struct sanitize_op){ .service = service, .passes = (uint8_t)passes, .invert = invert, .len = (uint16_t)len };
	if (len)
		memcpy(op->pattern, pattern, len);
	return op;
}

/* Table 103: the pattern repeats within each block. */
int sanitize_overwrite(struct task *t)
{
	uint32_t list = be16(t->cdb + 7), bs = task_lu(t)->block_size, len;
	const uint8_t *p = t->out.p;
	unsigned passes;

	if (list < 5 || list > bs + 4)
		return scsi_bad_cdb(t, 7, -1);
	if (!scsi_have(t, list))
		return SCSI_DONE;
	passes = p[0] & 0x1f;
	len = be16(p + 2);
	if (passes == 0)
		return scsi_bad_parameter(t, 0, 4);
	if (p[0] & 0x60)
		return scsi_bad_parameter(t, 0, 6);     /* TEST: vendor specific, there is none */
	if (len == 0 || len != list - 4)
		return scsi_bad_parameter(t, 2, -1);
	return begin(t, op_new(1, passes, p[0] & 0x80, p + 4, len));
}

int sanitize_erase(struct task *t)
{
	return begin(t, op_new(2, 1, false, NULL, 0));
}

static int left(struct task *t, struct scsi_proposal *p)
{
	return scsi_good(t);
}

int sanitize_exit(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	struct scsi_proposal *p;

	if (lu->kept.sanitize != SANITIZE_FAILED || !lu->kept.sanitize_exit)
		return scsi_bad_cdb(t, 1, 4);
	p = proposal_new(t, left);
	p->next.sanitize = SANITIZE_IDLE;
	return proposal_go(t, &p);
}

/*
 * ---- the operation: a task of its own; scsi.done counts the bytes of a pass, scsi.step the passes. Its CDB, which is none,
 * carries what it needs: what is kept may change beside it ----
 */

enum { HOW, PASSES, INVERT, OVERWRITES };

static int step(struct task *t);

static int end_locked(struct task *t)
{
	struct scsi_proposal *p;

	/* It was another's to end. */
	if (task_lu(t)->kept.sanitize != SANITIZE_RUNNING)
		return SCSI_DONE;
	p = proposal_new(t, left);
	p->next.sanitize = (enum lu_sanitize)t->cdb[HOW];
	free(p->next.op);
	p->next.op = NULL;
	return proposal_go(t, &p);
}

static int end(struct task *t, enum lu_sanitize how)
{
	t->cdb[HOW] = (uint8_t)how;
	t->scsi.next = end_locked;
	return SCSI_LOCK;
}

static int flushed(struct task *t)
{
	return end(t, t->op.result == 0 ? SANITIZE_IDLE : SANITIZE_FAILED);
}

static int stepped(struct task *t)
{
	struct sanitize_run *run = &task_lu(t)->sanitize;

	if (t->op.result != 0)
		return end(t, SANITIZE_FAILED);
	t->scsi.done += t->op.len;
	atomic_fetch_add(&run->done, t->op.len);
	run->since_pause += t->op.len;
	if (!run->pause_bytes || run->since_pause < run->pause_bytes)
		return step(t);
	/* Other units' commands share the storage's way. */
	run->since_pause = 0;
	t->op.kind = BLOCK_PAUSE;
	t->scsi.next = step;
	return SCSI_BLOCK;
}

static int step(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	uint64_t total = t->scsi.blocks * lu->block_size, rest = total - t->scsi.done, most;

	if (rest == 0 && ++t->scsi.step < t->cdb[PASSES]) {
		t->scsi.done = 0;
		rest = total;
		/* SBC-3 5.30.2.2: with INVERT the pattern is inverted between passes. */
		for (uint32_t at = 0; at < SCSI_CHUNK && t->cdb[INVERT]; at++)
			t->scsi.work.p[at] ^= 0xff;
	}
	if (rest == 0) {
		op_set(t, BLOCK_FLUSH, 0, NULL, 0, 0);
		t->scsi.next = flushed;
		return SCSI_BLOCK;
	}
	most = t->cdb[OVERWRITES] ? SCSI_CHUNK : ERASE_BYTES;
	if (rest > most)
		rest = most;
	if (t->cdb[OVERWRITES])
		op_set(t, BLOCK_WRITE, t->scsi.done, t->scsi.work.p, rest, BLOCK_DPO);
	else
		op_set(t, BLOCK_DISCARD, t->scsi.done, NULL, rest, 0);
	t->scsi.next = stepped;
	return SCSI_BLOCK;
}

/* From its beginning, also if another node had begun. */
static int begin_locked(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	const struct sanitize_op *op = lu->kept.op;
	uint32_t bs = lu->block_size;

	if (lu->kept.sanitize != SANITIZE_RUNNING)
		return SCSI_DONE;
	t->cdb[HOW] = SANITIZE_FAILED;
	if (!op || (op->len && (op->len > bs || task_room(t, &t->scsi.work, SCSI_CHUNK) != 0)))
		return end_locked(t);
	t->scsi.judges = true;
	t->scsi.blocks = atomic_load(&lu->blocks);
	t->scsi.done = 0;
	t->scsi.step = 0;
	t->cdb[PASSES] = op->passes;
	t->cdb[INVERT] = op->invert;
	t->cdb[OVERWRITES] = op->service == 1;
	atomic_store(&lu->sanitize.done, 0);
	atomic_store(&lu->sanitize.total, t->scsi.blocks * bs * op->passes);
	for (uint32_t at = 0; at < SCSI_CHUNK && op->len; at++)
		t->scsi.work.p[at] = op->pattern[at % bs % op->len];
	return step(t);
}

int sanitize_background(struct task *t)
{
	t->scsi.next = begin_locked;
	return SCSI_LOCK;
}
