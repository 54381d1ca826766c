/* SPDX-License-Identifier: Apache-2.0 */
/* Two units in memory, and two initiators that see both as LUN 0 and 1, for tests of target/scsi. */
#ifndef TESTS_SCSI_WORLD_H
#define TESTS_SCSI_WORLD_H

#include <stdio.h>

#include "base/err.h"
#include "tests/unit/check.h"
#include "tests/unit/scsi_run.h"

#define UNITS 2
#define PORTS 2
#define WORLD_BS 512u
#define WORLD_BLOCKS 8192u              /* of each unit */

static struct task_pool pool;
static struct scsi_lu units[UNITS];
static struct scsi_it ports[PORTS];
static struct scsi_nexus views[PORTS][UNITS], *tables[PORTS][UNITS];
static uint8_t disks[UNITS][WORLD_BLOCKS * WORLD_BS];
static int32_t fail_with;               /* result of the next block operation */
static unsigned n_ops[BLOCK_PAUSE + 1]; /* block operations by kind */
static struct task *last;

static void world_block(void *arg, struct block_op *op, const struct scsi_lu *lu)
{
	uint8_t *disk = disks[lu - units], *p = disk + op->offset;

	n_ops[op->kind]++;
	op->key = 0;
	op->result = fail_with;
	fail_with = 0;
	if (op->result)
		return;
	CHECK(op->offset <= sizeof(disks[0]) && op->len <= sizeof(disks[0]) - op->offset);
	switch (op->kind) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		for (unsigned i = 0; i < op->n_iov; p += op->iov[i++].len)
			op->kind == BLOCK_READ ? memcpy(op->iov[i].base, p, op->iov[i].len) :
				memcpy(p, op->iov[i].base, op->iov[i].len);
		break;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		memset(p, 0, op->len);
		break;
	case BLOCK_EXTENTS:
		op->at = op->len > 8192 ? 8192 : op->len;
		op->hole = op->offset / 8192 % 2;
		break;
	default:
		break;
	}
}

static struct scsi_run runner = { .block = world_block };

static void world_up(void)
{
	uint8_t uuid[16] = { 0xab, 0xcd, 0xef };

	task_pool_init(&pool, sizeof(struct task), 64u << 20, 64);
	memset(disks, 0, sizeof(disks));
	memset(n_ops, 0, sizeof(n_ops));
	memset(views, 0, sizeof(views));
	memset(ports, 0, sizeof(ports));
	for (unsigned u = 0; u < UNITS; u++) {
		uuid[3] = (uint8_t)u;
		lu_init(&units[u], uuid, "unit", sizeof(disks[u]), WORLD_BS);
		units[u].thin = true;
	}
	for (unsigned i = 0; i < PORTS; i++) {
		snprintf(ports[i].initiator, sizeof(ports[i].initiator), "iqn.2026-11.test:%c", i ? 'b' : 'a');
		snprintf(ports[i].target, sizeof(ports[i].target), "iqn.2026-11.test:t");
		ports[i].tag = (uint16_t)(i + 1);
		ports[i].isid[5] = (uint8_t)i;
		for (unsigned u = 0; u < UNITS; u++) {
			lu_attach(&units[u], &views[i][u], &ports[i], u, false);
			views[i][u].ua = 0;
			tables[i][u] = &views[i][u];
		}
		ports[i].luns = tables[i];
		ports[i].n_luns = UNITS;
	}
}

static void world_down(void)
{
	task_put(&last);
	for (unsigned i = 0; i < PORTS; i++)
		for (unsigned u = 0; u < UNITS; u++)
			lu_detach(&views[i][u]);
	for (unsigned u = 0; u < UNITS; u++)
		lu_fini(&units[u]);
	task_pool_fini(&pool);
}

/* A CDB through port `who` to `unit`, with data-out; the task stays to be looked at until the next. */
static struct task *ask(unsigned who, unsigned unit, const void *cdb, unsigned n, const void *out, uint32_t out_len)
{
	task_put(&last);
	last = task_get(&pool);
	memcpy(last->cdb, cdb, n);
	last->cdb_len = (uint8_t)n;
	lun_bytes(unit, last->lun);
	last->read = !out_len;
	last->write = out_len != 0;
	last->expect_in = out_len ? 0 : 1u << 20;
	last->expect_out = last->out_len = out_len;
	if (out_len) {
		CHECK_EQ(task_buf_get(&pool, &last->out, out_len), 0);
		memcpy(last->out.p, out, out_len);
	}
	run_turns(&runner, last, scsi_start(&ports[who], last));
	return last;
}

#define ASK(who, unit, s) ask(who, unit, (s), sizeof(s) - 1, NULL, 0)

static inline void good(void)
{
	CHECK_EQ(last->status, STATUS_GOOD);
}

static inline void sense_is(unsigned key, unsigned asc)
{
	CHECK_EQ(last->status, STATUS_CHECK_CONDITION);
	CHECK_EQ(last->sense[2] & 0xf, key);
	CHECK_EQ(be16(last->sense + 12), asc);
}

/* The attention that waits for the nexus, and is taken. */
static inline unsigned attention(unsigned who, unsigned unit)
{
	ASK(who, unit, "\0\0\0\0\0\0");
	if (last->status != STATUS_CHECK_CONDITION || (last->sense[2] & 0xf) != SENSE_UNIT_ATTENTION)
		return 0;
	return be16(last->sense + 12);
}

#endif
