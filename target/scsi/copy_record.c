/* SPDX-License-Identifier: Apache-2.0 */
/* RECEIVE COPY STATUS, OPERATING PARAMETERS, FAILURE DETAILS, and VPD page 8Fh (SPC-4 6.18 to 6.24, 7.8.17). */
#include "target/scsi/copy_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/scsi/copy.h"
#include "target/scsi/rw.h"
#include "target/scsi/sense.h"

static struct copy_record *find(const struct scsi_nexus *n, uint32_t id, bool lid4)
{
	struct copy_record *r = n->copies;

	while (r && (r->id != id || r->lid4 != lid4))
		r = r->next;
	return r;
}

/* Those that ended make room: the oldest first. False: none has. */
static bool trim(struct scsi_nexus *n)
{
	struct copy_record **last = NULL, *r;
	unsigned count = 0;

	for (struct copy_record **p = &n->copies; *p; p = &(*p)->next) {
		count++;
		if (!(*p)->running)
			last = p;
	}
	if (count < COPY_RECORDS_MAX)
		return true;
	if (!last)
		return false;
	r = *last;
	*last = r->next;
	free(r);
	return true;
}

struct copy_record *copy_record_new(struct task *t, uint32_t id, bool background)
{
	struct scsi_nexus *n = t->scsi.nexus;
	bool lid4 = t->cdb[1] & 0x1f;
	struct copy_record *r = find(n, id, lid4), *next;

	if (r && r->running) {
		scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_OPERATION_IN_PROGRESS);
		return NULL;
	}
	if (!r) {
		/* Commands under way are bounded by their queue; what goes on without one by this. */
		if (!trim(n) && background) {
			scsi_status(t, STATUS_TASK_SET_FULL);
			return NULL;
		}
		r = mem_zalloc(sizeof(*r));
		r->next = n->copies;
		n->copies = r;
	}
	next = r->next;
	*r = (struct copy_record){ .next = next, .id = id, .lid4 = lid4, .running = true, .background = background };
	return r;
}

void copy_record_end(struct copy_record *r, const struct task *t)
{
	r->running = false;
	r->failed = t->status != STATUS_GOOD;
	r->status = t->status;
	r->sense_len = t->sense_len;
	memcpy(r->sense, t->sense, t->sense_len);
}

void copies_free(struct scsi_nexus *n)
{
	struct copy_record *r;

	while ((r = n->copies)) {
		n->copies = r->next;
		free(r);
	}
}

/* ---- what is asked of them ---- */

/* 6.24, COPY OPERATION STATUS: with LID4 there are several kinds of being in progress, and 0 is none of them; and one for aborts. */
static uint8_t operation_status(const struct copy_record *r)
{
	if (!r->lid4)
		return r->running ? 0 : r->failed ? 2 : 1;
	if (r->running)
		return r->background ? 0x12 : 0x11;
	return !r->failed ? 1 : r->stop || r->status == STATUS_TASK_ABORTED ? 0x60 : 2;
}

static int status_lid4(struct task *t, const struct copy_record *r)
{
	uint32_t n = 32 + r->sense_len;
	uint8_t *p = scsi_room(t, n);

	if (!p)
		return SCSI_DONE;
	set32(p, n - 4);
	p[4] = 0x01;            /* of EXTENDED COPY(LID4) */
	p[5] = operation_status(r);
	set16(p + 6, 1);
	set32(p + 8, UINT32_MAX - 1);   /* no advice on when to ask again */
	p[12] = r->status;
	p[13] = p[14] = r->sense_len;
	set64(p + 16, r->bytes);
	set16(p + 24, r->segments);
	memcpy(p + 32, r->sense, r->sense_len);
	return scsi_data(t, n, be32(t->cdb + 10));
}

int copy_status(struct task *t)
{
	bool lid4 = (t->cdb[1] & 0x1f) == 5;
	const struct copy_record *r = find(t->scsi.nexus, lid4 ? be32(t->cdb + 2) : t->cdb[2], lid4);
	uint8_t *p;

	if (!r)
		return scsi_bad_cdb(t, 2, -1);
	if (lid4)
		return status_lid4(t, r);
	if (!(p = scsi_room(t, 12)))
		return SCSI_DONE;
	set32(p, 8);
	p[4] = operation_status(r);
	set16(p + 5, r->segments);
	/* In bytes, or when they are too many in MiB. */
	p[7] = r->bytes > UINT32_MAX ? 2 : 0;
	set32(p + 8, (uint32_t)(r->bytes > UINT32_MAX ? r->bytes >> 20 : r->bytes));
	return scsi_data(t, 12, be32(t->cdb + 10));
}

/* Answered when the copy has ended; a new one may have its identifier by then. */
static int abort_look(struct task *t)
{
	const struct copy_record *r = find(t->scsi.nexus, be32(t->cdb + 2), true);

	if (!r || !r->running || !r->stop)
		return scsi_good(t);
	op_set(t, BLOCK_PAUSE, 0, NULL, 0, 0);
	t->scsi.next = abort_look;
	return SCSI_BLOCK;
}

int copy_abort(struct task *t)
{
	struct copy_record *r = find(t->scsi.nexus, be32(t->cdb + 2), true);

	if (!r || !r->running)
		return scsi_bad_cdb(t, 2, -1);
	r->stop = true;
	return abort_look(t);
}

static const uint8_t kinds[] = { 0x02, 0x0a, 0xe4 };

int copy_parameters(struct task *t)
{
	uint8_t *p = scsi_room(t, 44 + sizeof(kinds));

	if (!p)
		return SCSI_DONE;
	set32(p, 40 + sizeof(kinds));
	p[4] = 0x01;            /* SNLID: a list identifier is not needed */
	set16(p + 8, COPY_CSCDS_MAX);
	set16(p + 10, COPY_SEGMENTS_MAX);
	set32(p + 12, COPY_LIST_MAX);
	set32(p + 16, COPY_SEGMENT_BYTES_MAX);
	set16(p + 34, 255);
	p[36] = COPY_RECORDS_MAX;
	p[37] = task_lu(t)->block_size == 512 ? 9 : 12;
	p[43] = sizeof(kinds);
	memcpy(p + 44, kinds, sizeof(kinds));
	return scsi_data(t, 44 + sizeof(kinds), be32(t->cdb + 10));
}

int copy_failure(struct task *t)
{
	const struct copy_record *r = find(t->scsi.nexus, t->cdb[2], false);
	uint32_t n;
	uint8_t *p;

	if (!r)
		return scsi_bad_cdb(t, 2, -1);
	n = 60u + r->sense_len;
	if (!(p = scsi_room(t, n)))
		return SCSI_DONE;
	if (!r->failed)
		return scsi_data(t, 4, be32(t->cdb + 10));
	set32(p, n - 4);
	p[56] = r->status;
	set16(p + 58, r->sense_len);
	memcpy(p + 60, r->sense, r->sense_len);
	return scsi_data(t, n, be32(t->cdb + 10));
}

/* ---- VPD page 8Fh: the descriptors that are mandatory, in their order ---- */

static uint8_t *supported_commands(uint8_t *p)
{
	uint8_t *d = p + 5;

	for (unsigned i = 0; i < scsi_n_ops; ) {
		unsigned opcode = scsi_ops[i].opcode;
		uint8_t *count = d + 1;

		if (opcode != 0x83 && opcode != 0x84) {
			i++;
			continue;
		}
		d[0] = (uint8_t)opcode;
		d += 2;
		for (; i < scsi_n_ops && scsi_ops[i].opcode == opcode; i++, ++*count)
			*d++ = (uint8_t)scsi_ops[i].sa;
	}
	p[4] = (uint8_t)(d - p - 5);
	while ((d - p) % 4)
		d++;
	set16(p, 0x0001);
	set16(p + 2, (uint32_t)(d - p) - 4);
	return d;
}

uint8_t *copy_page(const struct task *t, uint8_t *p)
{
	p = supported_commands(p);
	/* 0004h: parameter data */
	set16(p, 0x0004);
	set16(p + 2, 0x1c);
	set16(p + 8, COPY_CSCDS_MAX);
	set16(p + 10, COPY_SEGMENTS_MAX);
	set32(p + 12, COPY_LIST_MAX);
	p += 32;
	/* 0008h: supported descriptors */
	set16(p, 0x0008);
	set16(p + 2, 4);
	p[4] = sizeof(kinds);
	memcpy(p + 5, kinds, sizeof(kinds));
	p += 8;
	/* 000Ch: CSCD descriptor IDs beyond those of the list: none */
	set16(p, 0x000c);
	set16(p + 2, 4);
	p += 8;
	/* 8001h: general copy operations */
	set16(p, 0x8001);
	set16(p + 2, 0x20);
	set32(p + 4, 255);
	set32(p + 8, COPY_RECORDS_MAX);
	set32(p + 12, COPY_SEGMENT_BYTES_MAX);
	p[16] = task_lu(t)->block_size == 512 ? 9 : 12;
	return p + 36;
}
