/* SPDX-License-Identifier: Apache-2.0 */
/* EXTENDED COPY(LID1) and (LID4): the parameter list, and the copying. */
#include "target/scsi/copy.h"

#include <stdlib.h>
#include <string.h>

#include "target/scsi/copy_record.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

#define CSCD_IDENTIFICATION 0xe4
#define SEGMENT_BLOCKS 0x02
#define SEGMENT_OFFSETS 0x0a
#define CSCD_LEN 32

/* Where the parts of a parameter list are, whatever its format. */
struct list {
	uint32_t id, usage;
	bool immed, good_sense;
	uint32_t cscds, n_cscds;        /* offset; how many */
	uint32_t segments, segments_len;
};

/* A copy under way; in the task's `in` buffer, which is not used for an answer. */
struct copy {
	struct copy_record *record;
	struct scsi_nexus *cscd[COPY_CSCDS_MAX];
	unsigned n_cscds, n_segments;
	bool good_sense;
	uint32_t at;                    /* offset of the segment in the list */
	unsigned segment;               /* its number */
	/* the segment */
	struct scsi_nexus *from, *to;
	uint64_t source, dest, len;     /* bytes */
	uint64_t done, piece;
	bool backwards;                 /* overlapping ranges: from the end */
};

static struct copy *copy_of(const struct task *t)
{
	return (struct copy *)t->in.p;
}

/* ---- the list: its header ---- */

/* 6.3.1, table 122; 6.3.2, table 123 */
static bool list_head(struct task *t, uint32_t n, struct list *l)
{
	const uint8_t *p = t->out.p;
	bool lid4 = t->cdb[1] & 0x1f;
	uint32_t head = lid4 ? 48 : 16, cscds, inline_len;

	if (n < head)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
	if (lid4 && p[0] != 0x01)
		return scsi_bad_parameter(t, 0, -1), false;
	l->usage = p[1] >> 3 & 3;
	l->id = lid4 ? be32(p + 20) : p[0];
	l->immed = lid4 && p[15] & 0x01;
	l->good_sense = lid4 && p[15] & 0x02;
	cscds = be16(p + (lid4 ? 42 : 2));
	l->segments_len = lid4 ? be16(p + 44) : be32(p + 8);
	inline_len = lid4 ? be16(p + 46) : be32(p + 12);
	/* What goes on in the background must have a name to ask for it by. */
	if (l->usage == 1 || (l->usage == 3 && l->immed))
		return scsi_bad_parameter(t, 1, 4), false;
	if (inline_len)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INLINE_DATA_LENGTH), false;
	if (l->segments_len > n - head || cscds > n - head - l->segments_len ||
		cscds + l->segments_len > COPY_LIST_MAX || cscds % CSCD_LEN)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
	l->cscds = head;
	l->n_cscds = cscds / CSCD_LEN;
	l->segments = head + cscds;
	if (l->n_cscds > COPY_CSCDS_MAX)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_CSCD), false;
	return true;
}

/* ---- the list: copy sources and destinations ---- */

static struct scsi_nexus *reach(struct task *t, unsigned type, const uint8_t *p, unsigned n)
{
	const struct scsi_it *it = t->scsi.it;

	if (it->reach)
		return it->reach(it, type, p, n, t);
	for (unsigned i = 0; i < it->n_luns; i++)
		if (lu_is(it->luns[i]->lu, type, p, n))
			return it->luns[i];
	return NULL;
}

/* 6.3.6.4: an identification descriptor names a unit by a designator of its VPD page 83h. */
static bool cscd_take(struct task *t, uint32_t at, struct scsi_nexus **to)
{
	const uint8_t *d = t->out.p + at;
	unsigned len = d[7];

	*to = NULL;
	if (d[0] != CSCD_IDENTIFICATION)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_UNSUPPORTED_CSCD_TYPE), false;
	if ((d[1] & 0x1f) != 0)
		return scsi_bad_parameter(t, at + 1, 4), false;         /* a direct access block device */
	if (d[5] & 0x30 || len > 20)
		return scsi_bad_parameter(t, at + 5, -1), false;
	*to = reach(t, d[5] & 0x0f, d + 8, len);
	if (*to && be24(d + 29) && be24(d + 29) != (*to)->lu->block_size)
		return scsi_bad_parameter(t, at + 29, -1), false;
	return true;
}

/* All segments are of kinds that we know, and whole. */
static bool segments_check(struct task *t, const struct list *l, unsigned *n)
{
	uint32_t at = l->segments, end = l->segments + l->segments_len;

	for (*n = 0; at < end; ++*n) {
		const uint8_t *d = t->out.p + at;
		uint32_t len = d[0] == SEGMENT_BLOCKS ? 28 : 32;

		if (end - at < 4)
			return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
		if (d[0] != SEGMENT_BLOCKS && d[0] != SEGMENT_OFFSETS)
			return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_UNSUPPORTED_SEGMENT_TYPE), false;
		if (be16(d + 2) != len - 4)
			return scsi_bad_parameter(t, at + 2, -1), false;
		if (end - at < len)
			return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH), false;
		at += len;
	}
	if (*n > COPY_SEGMENTS_MAX)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_SEGMENTS), false;
	return true;
}

/* ---- copying ---- */

static int segment_next(struct task *t);
static int piece_next(struct task *t);

/* G_SENSE: GOOD comes with sense data that say how many segments it is about. */
static void good(const struct task *t, struct task *answer)
{
	const struct copy *c = copy_of(t);

	if (c->good_sense)
		sense_good(t, answer, ASC_COPY_INFORMATION, c->segment);
	else
		scsi_good(answer);
}

static int finish(struct task *t, bool ok)
{
	struct copy *c = copy_of(t);

	t->in_len = 0;
	if (ok)
		good(t, t);
	if (c->record && !t->scsi.alone)
		copy_record_end(c->record, t);
	return SCSI_DONE;
}

void copy_early(const struct task *t, struct task *answer)
{
	good(t, answer);
}

void copy_over(struct task *t)
{
	copy_record_end(copy_of(t)->record, t);
}

static void dropped(struct task *t)
{
	struct copy *c = copy_of(t);

	t->status = STATUS_TASK_ABORTED;
	t->sense_len = 0;
	if (c->record)
		copy_record_end(c->record, t);
}

/* 5.16.7.4: COPY ABORTED, with the number of the segment. */
static int aborted(struct task *t, uint16_t asc)
{
	struct copy *c = copy_of(t);

	scsi_check(t, SENSE_COPY_ABORTED, asc);
	t->sense_len = (uint8_t)sense_command_info(t->sense, t->sense_len, c->segment);
	return finish(t, false);
}

static bool usable(const struct scsi_nexus *n, bool write)
{
	uint32_t gate = atomic_load_explicit(&n->gate, memory_order_acquire);

	if (gate & GATE_STATES || gate >> (write ? ACCESS_WRITE : ACCESS_READ) & 1)
		return false;
	return !write || !nexus_protected(n);
}

static void piece_set(struct task *t, enum block_kind kind, struct scsi_nexus *n, uint64_t offset, uint32_t flags)
{
	struct copy *c = copy_of(t);
	uint64_t at = c->backwards ? c->len - c->done - c->piece : c->done;

	op_set(t, kind, offset + at, t->scsi.work.p, c->piece, flags);
	t->op.nexus = n;
}

static int piece_written(struct task *t)
{
	struct copy *c = copy_of(t);

	if (t->op.result != 0)
		return aborted(t, ASC_THIRD_PARTY_FAILURE);
	c->done += c->piece;
	if (c->record)
		c->record->bytes += c->piece;
	return piece_next(t);
}

static int piece_read(struct task *t)
{
	struct copy *c = copy_of(t);
	const struct scsi_lu *lu = c->to->lu;

	if (t->op.result != 0)
		return aborted(t, ASC_THIRD_PARTY_FAILURE);
	if (!usable(c->to, true))
		return aborted(t, ASC_THIRD_PARTY_FAILURE);
	piece_set(t, BLOCK_WRITE, c->to, c->dest, lu->cache && !atomic_load(&lu->wce) ? BLOCK_FUA : 0);
	t->scsi.next = piece_written;
	return SCSI_BLOCK;
}

static int piece_next(struct task *t)
{
	struct copy *c = copy_of(t);
	uint64_t left = c->len - c->done;

	if (left == 0) {
		c->at += t->out.p[c->at] == SEGMENT_BLOCKS ? 28 : 32;
		c->segment++;
		if (c->record)
			c->record->segments++;
		return segment_next(t);
	}
	if (c->record && c->record->stop)
		return aborted(t, ASC_NONE);
	if (!usable(c->from, false))
		return aborted(t, ASC_THIRD_PARTY_FAILURE);
	c->piece = left < SCSI_CHUNK ? left : SCSI_CHUNK;
	piece_set(t, BLOCK_READ, c->from, c->source, BLOCK_DPO);
	t->scsi.next = piece_read;
	return SCSI_BLOCK;
}

static struct scsi_nexus *cscd(const struct copy *c, uint32_t id)
{
	return id < c->n_cscds ? c->cscd[id] : NULL;
}

static bool inside(const struct scsi_nexus *n, uint64_t lba, uint64_t offset, uint64_t len, uint64_t *at)
{
	uint64_t bs = n->lu->block_size, total = atomic_load(&n->lu->blocks);

	if (lba > total || offset > (total - lba) * bs || len > (total - lba) * bs - offset)
		return false;
	*at = lba * bs + offset;
	return true;
}

/* 6.3.7.4 (02h) and 6.3.7.10 (0Ah) */
static int segment_next(struct task *t)
{
	struct copy *c = copy_of(t);
	const uint8_t *d = t->out.p + c->at;
	uint64_t offsets[2] = { 0, 0 };

	if (c->segment == c->n_segments)
		return finish(t, true);
	c->from = cscd(c, be16(d + 4));
	c->to = cscd(c, be16(d + 6));
	if (!c->from || !c->to)
		return aborted(t, ASC_UNREACHABLE_COPY_TARGET);
	if (d[0] == SEGMENT_BLOCKS) {
		c->len = be16(d + 10) * (uint64_t)(d[1] & 0x02 ? c->to : c->from)->lu->block_size;
	} else {
		c->len = be32(d + 8);
		offsets[0] = be16(d + 28);
		offsets[1] = be16(d + 30);
	}
	if ((c->len | offsets[0]) % c->from->lu->block_size || (c->len | offsets[1]) % c->to->lu->block_size)
		return aborted(t, ASC_INEXACT_SEGMENT);
	if (c->len > COPY_SEGMENT_BYTES_MAX || !inside(c->from, be64(d + 12), offsets[0], c->len, &c->source) ||
		!inside(c->to, be64(d + 20), offsets[1], c->len, &c->dest))
		return aborted(t, ASC_NONE);
	if (!usable(c->from, false) || !usable(c->to, true))
		return aborted(t, ASC_THIRD_PARTY_FAILURE);
	c->done = 0;
	c->backwards = c->from->lu == c->to->lu && c->source < c->dest && c->dest < c->source + c->len;
	return piece_next(t);
}

int copy_extended(struct task *t)
{
	uint32_t n = be32(t->cdb + 10);
	struct list l;
	struct copy *c;
	unsigned segments;

	if (n == 0)
		return scsi_good(t);
	if (n > COPY_LIST_MAX + 65536)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	if (!scsi_have(t, n) || !list_head(t, n, &l) || !segments_check(t, &l, &segments))
		return SCSI_DONE;
	if (!scsi_room(t, sizeof(struct copy)) || task_room(t, &t->scsi.work, SCSI_CHUNK) != 0)
		return scsi_status(t, STATUS_BUSY);
	c = copy_of(t);
	for (; c->n_cscds < l.n_cscds; c->n_cscds++)
		if (!cscd_take(t, l.cscds + c->n_cscds * CSCD_LEN, &c->cscd[c->n_cscds]))
			return SCSI_DONE;
	c->n_segments = segments;
	c->at = l.segments;
	t->scsi.judges = true;
	if (l.usage != 3 && !(c->record = copy_record_new(t, l.id, l.immed)))
		return SCSI_DONE;
	t->scsi.early = l.immed;
	c->good_sense = l.good_sense;
	t->scsi.drop = dropped;
	return segment_next(t);
}
