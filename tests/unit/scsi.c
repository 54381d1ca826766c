/* SPDX-License-Identifier: Apache-2.0 */
/* target/scsi: the opcode table, the command set over a disk in memory, reservations, unit attentions. */
#include <string.h>

#include "target/scsi/limits.h"
#include "base/err.h"
#include "target/scsi/sense.h"
#include "tests/unit/check.h"
#include "tests/unit/scsi_run.h"

#define BS 512
#define BLOCKS 65536u           /* 32 MiB */

static struct task_pool pool;
static struct scsi_lu lu;
static struct scsi_it its[2];
static struct scsi_nexus nexuses[2], *tables[2][1];
static uint8_t disk[BLOCKS * BS];
static int32_t fail_with;               /* result of the next block operation */

static void setup(void)
{
	static const uint8_t uuid[16] = { 0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 };

	task_pool_init(&pool, sizeof(struct task), 256u << 20, 100);
	lu_init(&lu, uuid, "unit", sizeof(disk), BS);
	lu.thin = true;
	lu.atomic_max = 64;
	memset(disk, 0, sizeof(disk));
	memset(its, 0, sizeof(its));
	memset(nexuses, 0, sizeof(nexuses));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(its[i].initiator, sizeof(its[i].initiator), "iqn.2026-11.test:%c", i ? 'b' : 'a');
		snprintf(its[i].target, sizeof(its[i].target), "iqn.2026-11.test:t");
		its[i].tag = 1;
		its[i].isid[5] = (uint8_t)i;
		lu_attach(&lu, &nexuses[i], &its[i], 3, false);
		nexuses[i].ua = 0;
		tables[i][0] = &nexuses[i];
		its[i].luns = tables[i];
		its[i].n_luns = 1;
	}
}

static void teardown(void)
{
	lu_detach(&nexuses[0]);
	lu_detach(&nexuses[1]);
	lu_fini(&lu);
	task_pool_fini(&pool);
}

static uint64_t hole_from, hole_to;     /* the only one, if set */

static void block(void *arg, struct block_op *op, const struct scsi_lu *of)
{
	uint64_t at = op->offset;

	op->key = 0;
	op->result = fail_with;
	fail_with = 0;
	if (op->result)
		return;
	CHECK(op->offset <= sizeof(disk) && op->len <= sizeof(disk) - op->offset);
	switch (op->kind) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		for (unsigned i = 0; i < op->n_iov; at += op->iov[i++].len)
			op->kind == BLOCK_READ ? memcpy(op->iov[i].base, disk + at, op->iov[i].len) :
				memcpy(disk + at, op->iov[i].base, op->iov[i].len);
		break;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		memset(disk + at, 0, op->len);
		break;
	case BLOCK_COMPARE_AND_WRITE:
		if ((of->seam && at / of->seam != (at + op->len - 1) / of->seam) || op->len > SCSI_CAW_BLOCKS_MAX * BS) {
			op->result = -22;
			return;
		}
		for (uint64_t i = 0; i < op->len; i++)
			if (disk[at + i] != ((uint8_t *)op->iov[0].base)[i]) {
				op->result = -84;
				op->key = SENSE_MISCOMPARE;
				op->at = i;
				return;
			}
		memcpy(disk + at, (uint8_t *)op->iov[0].base + op->len, op->len);
		break;
	case BLOCK_EXTENTS:
		if (hole_to) {
			op->hole = at >= hole_from && at < hole_to;
			op->at = op->hole ? hole_to - at : at < hole_from ? hole_from - at : op->len;
			break;
		}
		op->at = op->len > 8192 ? 8192 : op->len;
		op->hole = at / 8192 % 2;
		break;
	case BLOCK_CHECKSUM:
		memset(op->iov[0].base, 0xd5, op->iov[0].len);
		break;
	case BLOCK_FLUSH:
	case BLOCK_PAUSE:
		break;
	}
}

static struct task *last;
static struct scsi_run runner = { .block = block };

/* Execute a CDB through nexus `who` with data-out; the task stays to be looked at until the next. */
static struct task *run(unsigned who, const char *cdb, unsigned n, const void *out, uint32_t out_len,
	uint32_t expect_in)
{
	task_put(&last);
	last = task_get(&pool);
	memcpy(last->cdb, cdb, n);
	last->cdb_len = (uint8_t)n;
	lun_bytes(3, last->lun);
	last->read = expect_in != 0;
	last->write = out_len != 0;
	last->expect_in = expect_in;
	last->expect_out = last->out_len = out_len;
	if (out_len) {
		CHECK_EQ(task_buf_get(&pool, &last->out, out_len), 0);
		memcpy(last->out.p, out, out_len);
	}
	run_turns(&runner, last, scsi_start(&its[who], last));
	return last;
}

#define CDB(s) (s), sizeof(s) - 1

static void check_sense(const struct task *t, unsigned key, unsigned asc)
{
	CHECK_EQ(t->status, STATUS_CHECK_CONDITION);
	CHECK_EQ(t->sense[2] & 0xf, key);
	CHECK_EQ(be16(t->sense + 12), asc);
}

static void the_table_is_sorted_and_whole(void)
{
	bool known;

	for (unsigned i = 0; i < scsi_n_ops; i++) {
		const struct scsi_op *o = &scsi_ops[i];
		uint8_t cdb[16] = { o->opcode, (uint8_t)(o->sa == SA_NONE ? 0 : o->sa) };

		CHECK(o->usage[0] == o->opcode && o->start && o->name && o->access < ACCESS_N);
		CHECK(o->cdb_len == 6 || o->cdb_len == 10 || o->cdb_len == 12 || o->cdb_len == 16);
		/* SPC-4 4.2.5.1: the group code says the length. */
		CHECK(o->opcode >> 5 != 0 || o->cdb_len == 6);
		CHECK(o->opcode >> 5 != 4 || o->cdb_len == 16);
		CHECK(o->opcode >> 5 != 5 || o->cdb_len == 12);
		if (i)
			CHECK(o[-1].opcode < o->opcode || (o[-1].opcode == o->opcode && o[-1].sa < o->sa));
		CHECK(scsi_op_find(cdb, &known) == o && known);
		if (o->flags & OPF_WRITES)
			CHECK(o->access == ACCESS_WRITE && o->repeat != REPEAT_READ);
	}
	CHECK(!scsi_op_find((const uint8_t *)"\xff", &known) && !known);
	CHECK(!scsi_op_find((const uint8_t *)"\x9e\x1f", &known) && known);
}

static void every_bit_that_may_not_be_set_is_refused(void)
{
	setup();
	for (unsigned i = 0; i < scsi_n_ops; i++)
		for (unsigned bit = 8; bit < (scsi_ops[i].cdb_len - 1u) * 8; bit++) {
			const struct scsi_op *o = &scsi_ops[i];
			char cdb[16] = { (char)o->opcode, (char)(o->sa == SA_NONE ? 0 : o->sa) };

			if (o->usage[bit / 8] >> (7 - bit % 8) & 1 || !scsi_op_offered(&lu, o))
				continue;
			cdb[bit / 8] |= (char)(0x80 >> bit % 8);
			/*
			 * VERIFY's BYTCHK and the like are judged by value: any refusal will do, but of
			 * this field.
			 */
			run(0, cdb, o->cdb_len, NULL, 0, 512);
			check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
			CHECK_EQ(be16(last->sense + 16), bit / 8);
			CHECK_EQ(last->sense[15], 0xc8 | (7 - bit % 8));
		}
	task_put(&last);
	teardown();
}

static void reads_and_writes_of_every_length_of_cdb(void)
{
	static const char w6[] = "\x0a\0\0\x08\x02\0", r6[] = "\x08\0\0\x08\x02\0";
	static const char w10[] = "\x2a\x08\0\0\0\x10\0\0\x02\0", r10[] = "\x28\0\0\0\0\x10\0\0\x02\0";
	static const char w12[] = "\xaa\0\0\0\0\x20\0\0\0\x02\0\0", r12[] = "\xa8\0\0\0\0\x20\0\0\0\x02\0\0";
	static const char w16[] = "\x8a\0\0\0\0\0\0\0\0\x30\0\0\0\x02\0\0", r16[] = "\x88\0\0\0\0\0\0\0\0\x30\0\0\0\x02\0\0";
	static const struct { const char *w, *r; unsigned n, lba; } rows[] = {
		{ w6, r6, 6, 8 }, { w10, r10, 10, 16 }, { w12, r12, 12, 32 }, { w16, r16, 16, 48 },
	};
	uint8_t data[1024];

	setup();
	for (unsigned i = 0; i < 4; i++) {
		memset(data, 0x11 * (int)(i + 1), sizeof(data));
		run(0, rows[i].w, rows[i].n, data, 1024, 0);
		CHECK(last->status == STATUS_GOOD && last->out_want == 1024);
		CHECK(memcmp(disk + rows[i].lba * BS, data, 1024) == 0);
		run(0, rows[i].r, rows[i].n, NULL, 0, 1024);
		CHECK(last->status == STATUS_GOOD && last->in_len == 1024 && memcmp(last->in.p, data,
			1024) == 0);
	}
	/* Less room than data: what fits is read, the residual is the caller's to see. */
	run(0, CDB(r10), NULL, 0, 700);
	CHECK(last->status == STATUS_GOOD && last->in_len == 1024 && memcmp(last->in.p, data, 0) == 0);
	/* Less data than the CDB says: the whole blocks of it. */
	run(0, CDB(w10), data, 700, 0);
	CHECK(last->status == STATUS_GOOD && last->out_want == 1024);
	CHECK(memcmp(disk + 16 * BS, data, 512) == 0 && disk[17 * BS] == 0x22);
	task_put(&last);
	teardown();
}

static void what_lies_outside_is_refused(void)
{
	setup();
	run(0, CDB("\x28\0\0\x01\0\0\0\0\x01\0"), NULL, 0, 512);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	run(0, CDB("\x28\0\0\0\xff\xff\0\0\x02\0"), NULL, 0, 1024);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	run(0, CDB("\x88\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0"), NULL, 0, 512);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	run(0, CDB("\x28\0\0\0\xff\xff\0\0\x01\0"), NULL, 0, 512);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(0, CDB("\x88\0\0\0\0\0\0\0\0\0\0\0\x40\x01\0\0"), NULL, 0, 512);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	run(0, CDB("\xff\0\0\0\0\0"), NULL, 0, 0);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	task_put(&last);
	teardown();
}

static void a_lun_that_is_not_there(void)
{
	struct task *t;

	setup();
	t = task_get(&pool);
	lun_bytes(300, t->lun);
	t->cdb[0] = 0x12;
	t->cdb[4] = 36;
	CHECK_EQ(scsi_start(&its[0], t), SCSI_DONE);
	CHECK(t->status == STATUS_GOOD && t->in.p[0] == 0x7f);
	task_put(&t);
	t = task_get(&pool);
	t->lun[0] = 0xc1;
	CHECK_EQ(scsi_start(&its[0], t), SCSI_DONE);
	check_sense(t, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
	task_put(&t);
	teardown();
}

static void luns_beyond_256_have_flat_addresses(void)
{
	uint8_t b[8];

	for (uint32_t n = 0; n < 16384; n += 37) {
		lun_bytes(n, b);
		CHECK_EQ(lun_number(b), n);
	}
	CHECK_EQ(lun_number((const uint8_t *)"\x40\x05\0\0\0\0\0\0"), 5);
	CHECK_EQ(lun_number((const uint8_t *)"\0\x05\0\x01\0\0\0\0"), -1);
}

static void compare_and_write_writes_only_on_a_match(void)
{
	uint8_t data[1024] = { 0 };

	setup();
	memset(data + 512, 0x77, 512);
	run(0, CDB("\x89\0\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0"), data, 1024, 0);
	CHECK(last->status == STATUS_GOOD && disk[5 * BS] == 0x77);
	run(0, CDB("\x89\0\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0"), data, 1024, 0);
	check_sense(last, SENSE_MISCOMPARE, ASC_MISCOMPARE);
	CHECK_EQ(be32(last->sense + 3), 0);
	run(0, CDB("\x89\0\0\0\0\0\0\0\0\x05\0\0\0\x01\0\0"), data, 512, 0);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	task_put(&last);
	teardown();
}

static void verify_finds_the_first_difference(void)
{
	uint8_t data[1024] = { 0 };

	setup();
	disk[700] = 1;
	run(0, CDB("\x2f\x02\0\0\0\0\0\0\x02\0"), data, 1024, 0);
	check_sense(last, SENSE_MISCOMPARE, ASC_MISCOMPARE);
	CHECK_EQ(be32(last->sense + 3), 700);
	data[700] = 1;
	run(0, CDB("\x2f\x02\0\0\0\0\0\0\x02\0"), data, 1024, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(0, CDB("\x2f\0\0\0\0\0\0\xff\xff\0"), NULL, 0, 0);          /* read through, in steps */
	CHECK_EQ(last->status, STATUS_GOOD);
	task_put(&last);
	teardown();
}

static void write_same_and_unmap(void)
{
	uint8_t data[512], list[8 + 32] = { 0 };

	setup();
	memset(data, 0xa5, sizeof(data));
	run(0, CDB("\x93\0\0\0\0\0\0\0\0\x01\0\0\x10\0\0\0"), data, 512, 0);    /* 4096 blocks: more than one step */
	CHECK(last->status == STATUS_GOOD && disk[0] == 0 && disk[BS] == 0xa5 && disk[4097 * BS - 1] == 0xa5 && disk[4097 * BS] == 0);
	run(0, CDB("\x93\x09\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0"), NULL, 0, 0);    /* UNMAP, NDOB */
	CHECK(last->status == STATUS_GOOD && disk[BS] == 0 && disk[3 * BS] == 0xa5);
	run(0, CDB("\x41\0\0\0\0\x01\0\0\0\0"), data, 512, 0);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	set16(list, sizeof(list) - 2);
	set16(list + 2, 32);
	set64(list + 8, 3);
	set32(list + 16, 1);
	set64(list + 24, 10);
	set32(list + 32, 2);
	run(0, CDB("\x42\0\0\0\0\0\0\0\x28\0"), list, sizeof(list), 0);
	CHECK(last->status == STATUS_GOOD && disk[3 * BS] == 0 && disk[4 * BS] == 0xa5 && disk[10 * BS] == 0 && disk[12 * BS] == 0xa5);
	set64(list + 24, BLOCKS - 1);
	run(0, CDB("\x42\0\0\0\0\0\0\0\x28\0"), list, sizeof(list), 0);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	run(0, CDB("\x42\0\0\0\0\0\0\0\x04\0"), list, 4, 0);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	task_put(&last);
	teardown();
}

/* The storage counts in 512 bytes, the unit in 4096: a block is deallocated only if all of it is. */
static void a_hole_in_a_part_of_a_block_is_none(void)
{
	static const struct {
		uint64_t from, to;
		uint32_t want[3];       /* blocks: mapped, deallocated, mapped */
	} rows[] = {
		{ 4096, 5120, { 8, 0, 0 } }, { 4608, 16384, { 2, 2, 4 } }, { 4096, 12800, { 1, 2, 5 } }, { 512, 32768, { 1, 7, 0 } },
	};

	setup();
	lu.block_size = 4096;
	lu.blocks = 8;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t got[3] = { 0 }, at = 0;

		hole_from = rows[i].from;
		hole_to = rows[i].to;
		run(0, CDB("\x9e\x12\0\0\0\0\0\0\0\0\0\0\1\0\0\0"), NULL, 0, 256);
		CHECK_EQ(last->status, STATUS_GOOD);
		for (unsigned d = 8; d + 16 <= last->in_len; d += 16) {
			unsigned of = last->in.p[d + 12] ? 1 : got[1] ? 2 : 0;

			CHECK_EQ(be64(last->in.p + d), at);
			at += be32(last->in.p + d + 8);
			got[of] += be32(last->in.p + d + 8);
		}
		CHECK(at == 8 && memcmp(got, rows[i].want, sizeof(got)) == 0);
	}
	hole_from = hole_to = 0;
	task_put(&last);
	teardown();
}

static void orwrite_sets_bits(void)
{
	uint8_t data[512];

	setup();
	memset(disk, 0x0f, 512);
	memset(data, 0x30, 512);
	run(0, CDB("\x8b\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0"), data, 512, 0);
	CHECK(last->status == STATUS_GOOD && disk[0] == 0x3f && disk[511] == 0x3f && disk[512] == 0);
	task_put(&last);
	teardown();
}

static void orwrite_goes_on_behind_a_seam(void)
{
	uint8_t data[20 * 512];

	setup();
	lu.seam = 4096;
	memset(disk, 0x0f, 64 * 512);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / 512 << 3);
	run(0, CDB("\x8b\0\0\0\0\0\0\0\0\3\0\0\0\x14\0\0"), data, sizeof(data), 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	for (unsigned i = 0; i < 64 * 512; i++)
		CHECK_EQ(disk[i], 0x0f | (i >= 3 * 512 && i < 23 * 512 ? data[i - 3 * 512] : 0));
	/* What was sent of it, if that is less. */
	run(0, CDB("\x8b\0\0\0\0\0\0\0\0\6\0\0\0\x14\0\0"), data + 512 * 12, 3 * 512, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	CHECK(disk[8 * 512] == (0x0f | data[5 * 512] | 14 << 3) && disk[9 * 512] == (0x0f | data[6 * 512]));
	task_put(&last);
	teardown();
}

static void orwrite_is_cut_to_what_one_compare_takes(void)
{
	static uint8_t data[700 * BS];

	setup();
	memset(disk, 0x0f, 800 * BS);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / 512 << 2);
	run(0, CDB("\x8b\0\0\0\0\0\0\0\0\3\0\0\2\xbc\0\0"), data, sizeof(data), 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	for (unsigned i = 0; i < 800 * BS; i++)
		CHECK_EQ(disk[i], 0x0f | (i >= 3 * BS && i < 703 * BS ? data[i - 3 * BS] : 0));
	task_put(&last);
	teardown();
}

static void storage_errors_become_sense(void)
{
	setup();
	fail_with = -5;
	run(0, CDB("\x28\0\0\0\0\x07\0\0\x01\0"), NULL, 0, 512);
	check_sense(last, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
	CHECK_EQ(be32(last->sense + 3), 7);
	CHECK_EQ(last->in_len, 0);
	task_put(&last);
	teardown();
}

static void write_cache_off_means_fua(void)
{
	uint8_t data[512] = { 0 }, mode[4 + 20] = { 0, 0, 0, 0, 0x08, 18, 0 };

	setup();
	run(0, CDB("\x2a\0\0\0\0\0\0\0\x01\0"), data, 512, 0);
	CHECK(!(last->op.flags & BLOCK_FUA));
	run(0, CDB("\x15\x10\0\0\x18\0"), mode, sizeof(mode), 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(0, CDB("\x2a\0\0\0\0\0\0\0\x01\0"), data, 512, 0);
	CHECK(last->op.flags & BLOCK_FUA);
	/* The other initiator hears of it, once. */
	run(1, CDB("\0\0\0\0\0\0"), NULL, 0, 0);
	check_sense(last, SENSE_UNIT_ATTENTION, 0x2a01);
	run(1, CDB("\0\0\0\0\0\0"), NULL, 0, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	/* Bits that may not change are refused, and nothing of the list is taken. */
	mode[6] = 0x05;
	run(0, CDB("\x15\x10\0\0\x18\0"), mode, sizeof(mode), 0);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_PARAMETERS);
	CHECK(!lu.wce);
	task_put(&last);
	teardown();
}

static void software_write_protect(void)
{
	uint8_t data[512] = { 0 }, mode[4 + 12] = { 0, 0, 0, 0, 0x0a, 10, 0x20, 0x10, 0x08, 0, 0, 0, 0xff, 0xff };

	setup();
	run(0, CDB("\x15\x10\0\0\x10\0"), mode, sizeof(mode), 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(0, CDB("\x2a\0\0\0\0\0\0\0\x01\0"), data, 512, 0);
	check_sense(last, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
	run(0, CDB("\x1a\0\x3f\0\xff\0"), NULL, 0, 255);
	CHECK(last->in.p[2] & 0x80);
	task_put(&last);
	teardown();
}

static void attentions_come_in_order_and_leave_inquiry_alone(void)
{
	setup();
	nexus_attention(&nexuses[0], UA_LUNS_CHANGED);
	nexus_attention(&nexuses[0], UA_POWER_ON);
	CHECK(lu_resize(&lu, sizeof(disk) / 2));
	run(0, CDB("\x12\0\0\0\x24\0"), NULL, 0, 36);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(0, CDB("\0\0\0\0\0\0"), NULL, 0, 0);
	check_sense(last, SENSE_UNIT_ATTENTION, 0x2900);
	run(0, CDB("\x03\0\0\0\x12\0"), NULL, 0, 18);           /* REQUEST SENSE reports the next as data */
	CHECK(last->status == STATUS_GOOD && last->in.p[2] == SENSE_UNIT_ATTENTION && be16(last->in.p + 12) == 0x2a09);
	run(0, CDB("\xa0\0\0\0\0\0\0\0\x01\0\0\0"), NULL, 0, 256);      /* REPORT LUNS: the last is known by this */
	CHECK(last->status == STATUS_GOOD && be32(last->in.p) == 8 && last->in.p[9] == 3);
	run(0, CDB("\0\0\0\0\0\0"), NULL, 0, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	task_put(&last);
	teardown();
}

static void identity_is_the_uuid(void)
{
	char first[256];
	unsigned len;

	setup();
	run(0, CDB("\x12\x01\x83\x04\0\0"), NULL, 0, 1024);
	CHECK_EQ(last->status, STATUS_GOOD);
	CHECK(last->in.p[1] == 0x83 && last->in.p[4] == 1 && last->in.p[5] == 3 && last->in.p[7] == 16);
	CHECK(memcmp(last->in.p + 8, "\x60\x24\x44\x9a\xbc\xde\xf0\x10\x06\x07\x08\x09\x0a\x0b\x0c\x0d", 16) == 0);
	len = last->in_len;
	memcpy(first, last->in.p, len < 60 ? len : 60);
	run(1, CDB("\x12\x01\x83\x04\0\0"), NULL, 0, 1024);
	CHECK(memcmp(first, last->in.p, 60) == 0);
	task_put(&last);
	teardown();
}

static void no_optimum_above_the_maximum(void)
{
	setup();
	lu.optimal_transfer = lu.max_transfer;
	run(0, CDB("\x12\x01\xb0\x04\0\0"), NULL, 0, 1024);
	CHECK(be32(last->in.p + 8) == lu.max_transfer && be32(last->in.p + 12) == lu.max_transfer);
	lu.optimal_transfer++;
	run(0, CDB("\x12\x01\xb0\x04\0\0"), NULL, 0, 1024);
	CHECK(be32(last->in.p + 8) == lu.max_transfer && be32(last->in.p + 12) == 0);
	task_put(&last);
	teardown();
}

/* Of inner units only: one digest of 32 bytes for each 64 KiB, begun or whole. */
static void digests_are_for_nodes_of_the_cluster(void)
{
	static const char cdb[] = "\xc1\0\0\0\0\0\0\0\0\x08\0\0\0\x81\0\0";

	setup();
	run(0, CDB(cdb), NULL, 0, 4096);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	lu.inner = true;
	run(0, CDB(cdb), NULL, 0, 4096);
	CHECK(last->status == STATUS_GOOD && last->in_len == 64 && last->in.p[63] == 0xd5);
	run(0, CDB("\xc1\0\0\0\0\0\0\0\0\x08\x7f\xff\xff\xff\0\0"), NULL, 0, 4096);
	CHECK_EQ(last->status, STATUS_CHECK_CONDITION);
	task_put(&last);
	lu.inner = false;
	teardown();
}

static void reported_task_management_is_its_table(void)
{
	setup();
	run(0, CDB("\xa3\x0d\x80\0\0\0\0\0\0\x10\0\0"), NULL, 0, 16);
	CHECK_EQ(last->status, STATUS_GOOD);
	CHECK_EQ(last->in_len, 16);
	/* All but CLEAR ACA and the obsolete WAKEUP; those of RFC 7144. */
	CHECK_EQ(last->in.p[0], 0xde);
	CHECK_EQ(last->in.p[1], 0x07);
	CHECK_EQ(last->in.p[2], 0);
	CHECK_EQ(last->in.p[3], 0x0c);
	task_put(&last);
	teardown();
}

static void reported_opcodes_are_the_table(void)
{
	const uint8_t *p;

	setup();
	run(0, CDB("\xa3\x0c\0\0\0\0\0\0\xff\xff\0\0"), NULL, 0, 65535);
	p = last->in.p + 4;
	for (unsigned i = 0; i < scsi_n_ops; i++) {
		if (!scsi_op_offered(&lu, &scsi_ops[i]))
			continue;
		CHECK(p[0] == scsi_ops[i].opcode && be16(p + 6) == scsi_ops[i].cdb_len);
		p += 8;
	}
	CHECK(last->status == STATUS_GOOD && be32(last->in.p) == p - last->in.p - 4);
	run(0, CDB("\xa3\x0c\x01\x28\0\0\0\0\xff\xff\0\0"), NULL, 0, 65535);
	CHECK(last->in.p[1] == 3 && last->in_len == 14 && last->in.p[4] == 0x28 && last->in.p[5] == 0x18);
	run(0, CDB("\xa3\x0c\x01\xee\0\0\0\0\xff\xff\0\0"), NULL, 0, 65535);
	CHECK_EQ(last->in.p[1], 1);
	run(0, CDB("\xa3\x0c\x01\x9e\0\0\0\0\xff\xff\0\0"), NULL, 0, 65535);
	check_sense(last, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	task_put(&last);
	teardown();
}

/* ---- reservations ---- */

static void reserve6_keeps_the_other_out(void)
{
	setup();
	run(0, CDB("\x16\0\0\0\0\0"), NULL, 0, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(1, CDB("\x28\0\0\0\0\0\0\0\x01\0"), NULL, 0, 512);
	CHECK_EQ(last->status, STATUS_RESERVATION_CONFLICT);
	run(1, CDB("\x17\0\0\0\0\0"), NULL, 0, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	run(1, CDB("\0\0\0\0\0\0"), NULL, 0, 0);
	CHECK_EQ(last->status, STATUS_RESERVATION_CONFLICT);
	run(1, CDB("\x12\0\0\0\x24\0"), NULL, 0, 36);
	CHECK_EQ(last->status, STATUS_GOOD);
	/* The holder's session ends: so does its reservation. */
	lu_detach(&nexuses[0]);
	run(1, CDB("\0\0\0\0\0\0"), NULL, 0, 0);
	CHECK_EQ(last->status, STATUS_GOOD);
	lu_attach(&lu, &nexuses[0], &its[0], 3, false);
	task_put(&last);
	teardown();
}

static unsigned pr_out(unsigned who, unsigned sa, unsigned type, uint64_t key, uint64_t sa_key)
{
	char cdb[10] = { 0x5f, (char)sa, (char)type, 0, 0, 0, 0, 0, 24, 0 };
	uint8_t list[24] = { 0 };

	set64(list, key);
	set64(list + 8, sa_key);
	return run(who, cdb, 10, list, 24, 0)->status;
}

static unsigned try_read(unsigned who)
{
	return run(who, CDB("\x28\0\0\0\0\0\0\0\x01\0"), NULL, 0, 512)->status;
}

static unsigned try_write(unsigned who)
{
	static const uint8_t data[512];

	return run(who, CDB("\x2a\0\0\0\0\0\0\0\x01\0"), data, 512, 0)->status;
}

static void persistent_reservations_of_all_six_types(void)
{
	static const struct { unsigned type; bool read, write, reg_read, reg_write; } t[] = {
		{ PR_WRITE_EXCLUSIVE, true, false, true, false },
		{ PR_EXCLUSIVE_ACCESS, false, false, false, false },
		{ PR_WRITE_EXCLUSIVE_REGISTRANTS, true, false, true, true },
		{ PR_EXCLUSIVE_ACCESS_REGISTRANTS, false, false, true, true },
		{ PR_WRITE_EXCLUSIVE_ALL, true, false, true, true },
		{ PR_EXCLUSIVE_ACCESS_ALL, false, false, true, true },
	};

	for (unsigned i = 0; i < 6; i++) {
		setup();
		CHECK_EQ(pr_out(0, 0, 0, 0, 0x11), STATUS_GOOD);
		CHECK_EQ(pr_out(0, 1, t[i].type, 0x11, 0), STATUS_GOOD);
		CHECK(try_read(0) == STATUS_GOOD && try_write(0) == STATUS_GOOD);
		CHECK_EQ(try_read(1) == STATUS_GOOD, t[i].read);
		CHECK_EQ(try_write(1) == STATUS_GOOD, t[i].write);
		CHECK_EQ(pr_out(1, 0, 0, 0, 0x22), STATUS_GOOD);
		CHECK_EQ(try_read(1) == STATUS_GOOD, t[i].reg_read);
		CHECK_EQ(try_write(1) == STATUS_GOOD, t[i].reg_write);
		/* Wrong key; a second reservation; release by one who does not hold it. */
		CHECK_EQ(pr_out(0, 2, t[i].type, 0x99, 0), STATUS_RESERVATION_CONFLICT);
		CHECK_EQ(pr_out(1, 1, PR_WRITE_EXCLUSIVE, 0x22, 0), STATUS_RESERVATION_CONFLICT);
		if (t[i].type < PR_WRITE_EXCLUSIVE_ALL) {
			CHECK_EQ(pr_out(1, 2, t[i].type, 0x22, 0), STATUS_GOOD);
			CHECK(lu.kept.pr.type == t[i].type);
		}
		CHECK_EQ(pr_out(0, 2, t[i].type, 0x11, 0), STATUS_GOOD);
		CHECK(lu.kept.pr.type == PR_NONE);
		if (t[i].type >= PR_WRITE_EXCLUSIVE_REGISTRANTS)
			check_sense(run(1, CDB("\0\0\0\0\0\0"), NULL, 0, 0), SENSE_UNIT_ATTENTION, 0x2a04);
		CHECK(try_write(1) == STATUS_GOOD);
		task_put(&last);
		teardown();
	}
}

static void what_a_reservation_lets_others_do(void)
{
	/* SPC-4 table 66, SBC-3 table 13: of others, with write exclusive and exclusive access. */
	static const struct { const char *cdb; unsigned n; bool shared, exclusive; } rows[] = {
		{ CDB("\0\0\0\0\0\0"), true, true },
		{ CDB("\x12\0\0\0\x24\0"), true, true },
		{ CDB("\x1b\0\0\0\1\0"), true, true },               /* START */
		{ CDB("\x1b\0\0\0\0\0"), false, false },             /* STOP */
		{ CDB("\x1b\0\0\0\x31\0"), false, false },            /* a power condition */
		{ CDB("\x1e\0\0\0\0\0"), true, true },               /* allow removal */
		{ CDB("\x1e\0\0\0\1\0"), false, false },             /* prevent it */
		{ CDB("\x1a\0\x0a\0\xff\0"), false, false },
		{ CDB("\x25\0\0\0\0\0\0\0\0\0"), true, true },
		{ CDB("\x35\0\0\0\0\0\0\0\0\0"), false, false },
		{ CDB("\x4d\0\x40\0\0\0\0\1\0\0"), true, true },
		{ CDB("\x9e\x12\0\0\0\0\0\0\0\0\0\0\0\x20\0\0"), true, false },
		{ CDB("\xa3\x0a\0\0\0\0\0\0\1\0\0\0"), true, true },
		{ CDB("\xa4\x0a\0\0\0\0\0\0\0\0\0\0"), false, false },
	};

	setup();
	pr_out(0, 0, 0, 0, 0x11);
	for (unsigned k = 0; k < 2; k++) {
		unsigned type = k ? PR_EXCLUSIVE_ACCESS : PR_WRITE_EXCLUSIVE;

		CHECK_EQ(pr_out(0, 1, type, 0x11, 0), STATUS_GOOD);
		for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			bool may = k ? rows[i].exclusive : rows[i].shared;

			run(1, rows[i].cdb, rows[i].n, NULL, 0, 256);
			CHECK_EQ(last->status, may ? STATUS_GOOD : STATUS_RESERVATION_CONFLICT);
		}
		CHECK_EQ(pr_out(0, 2, type, 0x11, 0), STATUS_GOOD);
	}
	task_put(&last);
	teardown();
}

static void preempt_takes_over(void)
{
	setup();
	pr_out(0, 0, 0, 0, 0x11);
	pr_out(1, 0, 0, 0, 0x22);
	pr_out(0, 1, PR_EXCLUSIVE_ACCESS, 0x11, 0);
	CHECK_EQ(try_read(1), STATUS_RESERVATION_CONFLICT);
	CHECK_EQ(pr_out(1, 4, PR_EXCLUSIVE_ACCESS, 0x22, 0x77), STATUS_RESERVATION_CONFLICT);
	CHECK_EQ(pr_out(1, 4, PR_EXCLUSIVE_ACCESS, 0x22, 0x11), STATUS_GOOD);
	CHECK_EQ(lu.kept.pr.n, 1);
	check_sense(run(0, CDB("\0\0\0\0\0\0"), NULL, 0, 0), SENSE_UNIT_ATTENTION, 0x2a05);
	CHECK(try_read(0) == STATUS_RESERVATION_CONFLICT && try_read(1) == STATUS_GOOD);
	CHECK_EQ(pr_out(1, 3, 0, 0x22, 0), STATUS_GOOD);
	CHECK(lu.kept.pr.n == 0 && try_read(0) == STATUS_GOOD);
	task_put(&last);
	teardown();
}

static void persistent_reserve_in(void)
{
	const uint8_t *p;

	setup();
	pr_out(0, 0, 0, 0, 0x1122334455667788);
	pr_out(0, 1, PR_WRITE_EXCLUSIVE, 0x1122334455667788, 0);
	p = run(1, CDB("\x5e\0\0\0\0\0\0\x01\0\0"), NULL, 0, 256)->in.p;
	CHECK(be32(p) == 1 && be32(p + 4) == 8 && be64(p + 8) == 0x1122334455667788);
	p = run(1, CDB("\x5e\x01\0\0\0\0\0\x01\0\0"), NULL, 0, 256)->in.p;
	CHECK(be32(p + 4) == 16 && be64(p + 8) == 0x1122334455667788 && p[21] == PR_WRITE_EXCLUSIVE);
	p = run(1, CDB("\x5e\x03\0\0\0\0\0\x01\0\0"), NULL, 0, 256)->in.p;
	CHECK(p[8 + 12] == 1 && p[8 + 24] == 0x45);
	CHECK_STR((const char *)p + 8 + 28, "iqn.2026-11.test:a,i,0x000000000000");
	/* The registration outlives the session, by the port's name. */
	lu_detach(&nexuses[0]);
	CHECK_EQ(try_write(1), STATUS_RESERVATION_CONFLICT);
	lu_attach(&lu, &nexuses[0], &its[0], 3, false);
	nexuses[0].ua = 0;
	CHECK_EQ(try_write(0), STATUS_GOOD);
	task_put(&last);
	teardown();
}

static void no_memory_is_busy(void)
{
	setup();
	task_put(&last);
	pool.bytes_max = 0;
	task_pool_trim(&pool, 0);
	run(0, CDB("\x28\0\0\0\0\0\0\0\x01\0"), NULL, 0, 512);
	CHECK_EQ(last->status, STATUS_BUSY);
	run(0, CDB("\x12\0\0\0\x24\0"), NULL, 0, 36);
	CHECK_EQ(last->status, STATUS_BUSY);
	task_put(&last);
	teardown();
}

int main(void)
{
	RUN(the_table_is_sorted_and_whole);
	RUN(every_bit_that_may_not_be_set_is_refused);
	RUN(reads_and_writes_of_every_length_of_cdb);
	RUN(what_lies_outside_is_refused);
	RUN(a_lun_that_is_not_there);
	RUN(luns_beyond_256_have_flat_addresses);
	RUN(compare_and_write_writes_only_on_a_match);
	RUN(verify_finds_the_first_difference);
	RUN(write_same_and_unmap);
	RUN(a_hole_in_a_part_of_a_block_is_none);
	RUN(orwrite_sets_bits);
	RUN(orwrite_goes_on_behind_a_seam);
	RUN(orwrite_is_cut_to_what_one_compare_takes);
	RUN(storage_errors_become_sense);
	RUN(write_cache_off_means_fua);
	RUN(software_write_protect);
	RUN(attentions_come_in_order_and_leave_inquiry_alone);
	RUN(identity_is_the_uuid);
	RUN(no_optimum_above_the_maximum);
	RUN(digests_are_for_nodes_of_the_cluster);
	RUN(reported_opcodes_are_the_table);
	RUN(reported_task_management_is_its_table);
	RUN(reserve6_keeps_the_other_out);
	RUN(persistent_reservations_of_all_six_types);
	RUN(what_a_reservation_lets_others_do);
	RUN(preempt_takes_over);
	RUN(persistent_reserve_in);
	RUN(no_memory_is_busy);
	return 0;
}
