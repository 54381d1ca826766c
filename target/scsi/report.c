/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that say what there is, and those that a fixed disk only has to accept. */
#include <string.h>

#include "target/scsi/ops.h"
#include "target/scsi/sense.h"

int op_test_unit_ready(struct task *t)
{
	return scsi_good(t);
}

/* What is the matter with the unit, without an attention; SENSE_NONE: nothing. */
static enum sense_key condition(const struct scsi_nexus *n, uint16_t *asc)
{
	uint32_t gate = atomic_load(&n->gate);

	*asc = ASC_NONE;
	if (gate & GATE_SANITIZE)
		return *asc = ASC_SANITIZE_IN_PROGRESS, SENSE_NOT_READY;
	if (gate & GATE_SANITIZE_FAILED)
		return *asc = ASC_SANITIZE_FAILED, SENSE_MEDIUM_ERROR;
	if (gate & GATE_NO_MEDIUM)
		return *asc = ASC_NO_MEDIUM, SENSE_NOT_READY;
	return SENSE_NONE;
}

/* SPC-4 6.39: sense as data; a pending unit attention is reported and cleared. */
int op_request_sense(struct task *t)
{
	static const uint16_t codes[UA_N] = {
#define UA_CODE(name, asc, ascq) [name] = (asc) << 8 | (ascq),
		UA_TABLE(UA_CODE)
#undef UA_CODE
	};
	struct scsi_nexus *n = t->scsi.nexus;
	uint8_t *p = scsi_room(t, TASK_SENSE_MAX);
	enum sense_key key = SENSE_ILLEGAL_REQUEST;
	uint16_t asc = ASC_LUN_NOT_SUPPORTED;
	uint32_t pending = n ? atomic_load(&n->ua) : 0;
	unsigned len;

	if (!p)
		return SCSI_DONE;
	if (n)
		key = condition(n, &asc);
	for (unsigned i = 0; pending && i < UA_N; i++)
		if (pending >> i & 1) {
			atomic_fetch_and(&n->ua, ~(1u << i));
			key = SENSE_UNIT_ATTENTION;
			asc = codes[i];
			break;
		}
	len = sense_build(t->cdb[1] & 1, key, asc, NULL, p);
	if (asc == ASC_SANITIZE_IN_PROGRESS) {
		uint16_t progress = sanitize_progress(n->lu);
		uint8_t sks[3] = { 0x80, (uint8_t)(progress >> 8), (uint8_t)progress };

		len = sense_specific(p, len, sks);
	}
	return scsi_data(t, len, t->cdb[4]);
}

/* SPC-4 6.33 */
int op_report_luns(struct task *t)
{
	const struct scsi_it *it = t->scsi.it;
	uint32_t allocation = be32(t->cdb + 6), n = it->n_luns;
	uint8_t *p;

	if (t->cdb[2] > 2)
		return scsi_bad_cdb(t, 2, -1);
	if (allocation < 16)
		return scsi_bad_cdb(t, 6, -1);
	if (t->cdb[2] == 1)
		n = 0;          /* well-known units: there are none */
	if (!(p = scsi_room(t, 8 + 8 * n)))
		return SCSI_DONE;
	set32(p, 8 * n);
	for (unsigned i = 0; i < n; i++)
		lun_bytes(it->luns[i]->lun, p + 8 + 8 * i);
	/* The list was asked for: what it would have warned of is known now (SPC-4 6.33). */
	for (unsigned i = 0; i < it->n_luns; i++)
		atomic_fetch_and(&it->luns[i]->ua, ~(1u << UA_LUNS_CHANGED));
	return scsi_data(t, 8 + 8 * n, allocation);
}

/* ---- REPORT SUPPORTED OPERATION CODES, SPC-4 6.35 ---- */

#define SUPPORT_NONE 1
#define SUPPORT_STANDARD 3

static uint8_t *timeouts(uint8_t *p)
{
	set16(p, 10);
	return p + 12;
}

static int all_opcodes(struct task *t, bool rctd, uint32_t allocation)
{
	const struct scsi_lu *lu = task_lu(t);
	uint8_t *begin = scsi_room(t, 4 + scsi_n_ops * 20), *p;

	if (!begin)
		return SCSI_DONE;
	p = begin + 4;
	for (unsigned i = 0; i < scsi_n_ops; i++) {
		const struct scsi_op *row = &scsi_ops[i];

		if (!scsi_op_offered(lu, row))
			continue;
		p[0] = row->opcode;
		if (row->sa != SA_NONE)
			set16(p + 2, (uint32_t)row->sa);
		p[5] = (uint8_t)((rctd ? 2 : 0) | (row->sa != SA_NONE));
		set16(p + 6, row->cdb_len);
		p += 8;
		if (rctd)
			p = timeouts(p);
	}
	set32(begin, (uint32_t)(p - begin) - 4);
	return scsi_data(t, (uint32_t)(p - begin), allocation);
}

static int one_opcode(struct task *t, const struct scsi_op *row, bool rctd, uint32_t allocation)
{
	uint8_t *begin = scsi_room(t, 64), *p = begin;

	if (!begin)
		return SCSI_DONE;
	if (!row || !scsi_op_offered(task_lu(t), row)) {
		p[1] = SUPPORT_NONE;
		return scsi_data(t, 4, allocation);
	}
	p[1] = (uint8_t)((rctd ? 0x80 : 0) | SUPPORT_STANDARD);
	set16(p + 2, row->cdb_len);
	memcpy(p + 4, row->usage, row->cdb_len);
	/* The service action's own bits are shown by its value. */
	if (row->sa != SA_NONE)
		p[5] = (uint8_t)((row->usage[1] & ~0x1f) | row->sa);
	p[4 + row->cdb_len - 1] = 0x04;
	p += 4 + row->cdb_len;
	if (rctd)
		p = timeouts(p);
	return scsi_data(t, (uint32_t)(p - begin), allocation);
}

int op_report_opcodes(struct task *t)
{
	bool rctd = t->cdb[2] & 0x80;
	uint32_t allocation = be32(t->cdb + 6);
	uint8_t cdb[16] = { t->cdb[3] };
	const struct scsi_op *row;
	bool known;

	row = scsi_op_find(cdb, &known);
	switch (t->cdb[2] & 7) {
	case 0:
		return all_opcodes(t, rctd, allocation);
	case 1:
		if (known && (!row || row->sa != SA_NONE))
			return scsi_bad_cdb(t, 2, 2);
		return one_opcode(t, row, rctd, allocation);
	case 2:
		if (known && row && row->sa == SA_NONE)
			return scsi_bad_cdb(t, 2, 2);
		return one_opcode(t, scsi_op_row(t->cdb[3], (int)be16(t->cdb + 4)), rctd, allocation);
	case 3:
		row = scsi_op_row(t->cdb[3], (int)be16(t->cdb + 4));
		if (!row && be16(t->cdb + 4) == 0)
			row = scsi_op_row(t->cdb[3], SA_NONE);
		return one_opcode(t, row, rctd, allocation);
	default:
		return scsi_bad_cdb(t, 2, 2);
	}
}

/* SPC-4 6.36 */
int op_report_tmfs(struct task *t)
{
	uint8_t *p = scsi_room(t, 16);
	bool extended = t->cdb[2] & 0x80;

	if (be32(t->cdb + 6) < 4)
		return scsi_bad_cdb(t, 6, -1);
	if (!p)
		return SCSI_DONE;
	for (unsigned i = 0; i < n_task_functions; i++)
		p[task_functions[i].at] |= task_functions[i].bit;
	if (extended)
		p[3] = 0x0c;
	return scsi_data(t, extended ? 16 : 4, be32(t->cdb + 6));
}

/* ---- capacity ---- */

int op_read_capacity10(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	uint64_t last = atomic_load(&lu->blocks) - 1;
	uint8_t *p;

	/* SBC-3 5.15: an address makes no sense without PMI, which is obsolete. */
	if (be32(t->cdb + 2) && !(t->cdb[8] & 1))
		return scsi_bad_cdb(t, 2, -1);
	if (!(p = scsi_room(t, 8)))
		return SCSI_DONE;
	set32(p, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	set32(p + 4, lu->block_size);
	return scsi_data(t, 8, 8);
}

int op_read_capacity16(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	uint8_t *p = scsi_room(t, 32);

	if (!p)
		return SCSI_DONE;
	if (be64(t->cdb + 2) && !(t->cdb[14] & 1))
		return scsi_bad_cdb(t, 2, -1);
	set64(p, atomic_load(&lu->blocks) - 1);
	set32(p + 8, lu->block_size);
	p[13] = lu->physical_exponent;
	if (lu->thin)
		p[14] = 0xc0;   /* LBPME, LBPRZ */
	return scsi_data(t, 32, be32(t->cdb + 10));
}

/* ---- GET LBA STATUS, SBC-3 5.5: one EXTENTS operation per descriptor ---- */

#define LBA_DESCRIPTORS_MAX 64

static int lba_more(struct task *t);

static int lba_next(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);

	t->op.kind = BLOCK_EXTENTS;
	t->op.flags = 0;
	t->op.offset = t->scsi.lba * lu->block_size;
	t->op.len = t->scsi.blocks * lu->block_size;
	t->op.n_iov = 0;
	t->scsi.next = lba_more;
	return SCSI_BLOCK;
}

static int lba_more(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	bool hole = t->op.at >= lu->block_size && t->op.hole;
	uint64_t n = t->op.at / lu->block_size;
	uint8_t *d = t->in.p + 8 + 16 * t->scsi.done;

	/* The storage may count in smaller blocks: of one that is a hole in part, the rest holds data. */
	if (n == 0 && t->op.at)
		n = 1;
	else if (n == 0 || n > t->scsi.blocks)
		n = t->scsi.blocks;
	if (n > UINT32_MAX)
		n = UINT32_MAX;
	set64(d, t->scsi.lba);
	set32(d + 8, (uint32_t)n);
	d[12] = hole ? 1 : 0;
	t->scsi.done++;
	t->scsi.lba += n;
	t->scsi.blocks -= n;
	if (t->scsi.blocks && t->scsi.done < t->scsi.step)
		return lba_next(t);
	set32(t->in.p, 4 + 16 * (uint32_t)t->scsi.done);
	return scsi_data(t, 8 + 16 * (uint32_t)t->scsi.done, be32(t->cdb + 10));
}

int op_get_lba_status(struct task *t)
{
	uint64_t lba = be64(t->cdb + 2), total = atomic_load(&task_lu(t)->blocks);
	uint32_t allocation = be32(t->cdb + 10), n = allocation < 24 ? 1 : (allocation - 8) / 16;

	if (lba >= total)
		return scsi_check_info(t, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, lba);
	if (n > LBA_DESCRIPTORS_MAX)
		n = LBA_DESCRIPTORS_MAX;
	if (!scsi_room(t, 8 + 16 * n))
		return SCSI_DONE;
	t->scsi.lba = lba;
	t->scsi.blocks = total - lba;
	t->scsi.step = n;
	return lba_next(t);
}

/* ---- start, stop, load, eject ---- */

#define NO_FLUSH 0x04
#define LOEJ 0x02
#define START 0x01

static int settled(struct task *t)
{
	return scsi_good(t);
}

static bool prevented(const struct scsi_lu *lu)
{
	const struct scsi_nexus *n = lu->nexuses;

	while (n && !n->prevents)
		n = n->next;
	return n != NULL;
}

/* SBC-3 5.25. A stop for one initiator must not stop the others: what is cached becomes stable, and that is all. */
int op_start_stop(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	uint8_t how = t->cdb[4];

	if (how >> 4)
		return scsi_good(t);            /* a power condition: there is one only; LOEJ and START are ignored */
	if (how & LOEJ && !lu->removable)
		return scsi_bad_cdb(t, 4, 1);
	if (how & LOEJ && prevented(lu))
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
	if (how & LOEJ && how & START) {
		if (lu->ejected)
			lu_attention(lu, UA_MEDIUM_CHANGED, t->scsi.nexus);
		lu->ejected = false;
		lu_gates(lu);
		return scsi_good(t);
	}
	if (how & LOEJ) {
		lu->ejected = true;
		lu_gates(lu);
	}
	if (how & (START | NO_FLUSH))
		return scsi_good(t);
	t->op.kind = BLOCK_FLUSH;
	t->op.flags = 0;
	t->op.offset = t->op.len = 0;
	t->op.n_iov = 0;
	t->scsi.next = settled;
	return SCSI_BLOCK;
}

int op_prevent_allow(struct task *t)
{
	t->scsi.nexus->prevents = t->cdb[4] & 0x01;
	return scsi_good(t);
}

/* SPC-4 6.42: the default self-test, which has nothing to find. */
int op_send_diagnostic(struct task *t)
{
	return scsi_good(t);
}

/* SBC-3 5.17, 5.18: no grown list, no primary list; the requested format, no descriptors. */
int op_defect_data(struct task *t)
{
	bool ten = t->cdb[0] == 0x37;
	uint8_t what = ten ? t->cdb[2] : t->cdb[1];
	uint8_t *p = scsi_room(t, 8);

	if (!p)
		return SCSI_DONE;
	p[1] = what & 0x1f;
	return ten ? scsi_data(t, 4, be16(t->cdb + 7)) : scsi_data(t, 8, be32(t->cdb + 6));
}
