/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CDBs with data, one after the other, against one unit with two initiators, over a disk in memory that
 * checks every block operation. A record: a byte of flags (initiator, data direction), a byte of lengths,
 * 16 bytes of CDB, up to 64 of data.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/scsi_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define BS 512
#define DISK (512u << 10)

static uint8_t disk[DISK];

static void block(void *arg, struct block_op *op, const struct scsi_lu *lu)
{
	uint8_t flags = *(const uint8_t *)arg;
	uint64_t at = op->offset, sum = 0;

	op->key = 0;
	op->at = op->len / 2;
	op->hole = flags & 1;
	op->result = flags & 0x80 ? -5 : 0;
	if (op->kind == BLOCK_FLUSH)
		return;
	if (op->offset > DISK || op->len > DISK - op->offset || op->offset % BS || op->len % BS)
		abort();
	for (unsigned i = 0; i < op->n_iov; i++)
		sum += op->iov[i].len;
	if (op->result)
		return;
	if (op->kind == BLOCK_READ || op->kind == BLOCK_WRITE) {
		if (sum != op->len)
			abort();
		for (unsigned i = 0; i < op->n_iov; at += op->iov[i++].len)
			op->kind == BLOCK_READ ? memcpy(op->iov[i].base, disk + at, op->iov[i].len) :
				memcpy(disk + at, op->iov[i].base, op->iov[i].len);
	} else if (op->kind == BLOCK_COMPARE_AND_WRITE) {
		if (sum != 2 * op->len)
			abort();
		if (memcmp(disk + at, op->iov[0].base, op->len) != 0) {
			op->result = -84;
			op->key = SENSE_MISCOMPARE;
		} else {
			memcpy(disk + at, (uint8_t *)op->iov[0].base + op->len, op->len);
		}
	} else if (op->kind != BLOCK_EXTENTS) {
		memset(disk + at, 0, op->len);
	}
}

static size_t one(struct task_pool *pool, struct scsi_it *its, const uint8_t *p, size_t n)
{
	struct task *t = task_get(pool);
	uint8_t flags = p[0];
	struct scsi_run r = { .block = block, .arg = &flags, .keep_err = p[0] & 8 ? ERR_IO : 0 };
	size_t data;

	memcpy(t->cdb, p + 2, 16);
	t->cdb_len = 16;
	t->lun[1] = p[0] >> 6 & 1;
	data = n - 18 < 64 ? n - 18 : 64;
	if (p[0] & 2) {
		t->write = true;
		t->expect_out = t->out_len = (uint32_t)p[1] * 128;
		if (t->out_len && task_buf_get(pool, &t->out, t->out_len) != 0)
			abort();
		for (uint32_t i = 0; i < t->out_len; i++)
			t->out.p[i] = data ? p[18 + i % data] : 0;
	}
	if (p[0] & 4) {
		t->read = true;
		t->expect_in = (uint32_t)p[1] * 1000;
	}
	run_turns(&r, t, scsi_start(&its[p[0] & 1], t));
	if (t->sense_len > TASK_SENSE_MAX || (t->in_len && t->in_len > t->in.cap && t->expect_in > t->in.cap))
		abort();
	task_put(&t);
	return 18 + data;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t uuid[16] = { 1 };
	struct task_pool pool;
	struct scsi_lu lu;
	struct scsi_it its[2] = { 0 };
	struct scsi_nexus nexus[2] = { 0 }, *table[2];

	task_pool_init(&pool, sizeof(struct task), 64u << 20, 8);
	lu_init(&lu, uuid, "fuzz", DISK, BS);
	lu.thin = true;
	lu.removable = true;
	lu.atomic_max = 64;
	lu_space_set(&lu, 100u << 20, 200u << 20);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(its[i].initiator, sizeof(its[i].initiator), "iqn.%c", i ? 'b' : 'a');
		lu_attach(&lu, &nexus[i], &its[i], 0, false);
		nexus[i].ua = 0;
		table[i] = &nexus[i];
		its[i].luns = &table[i];
		its[i].n_luns = 1;
	}
	while (n >= 18) {
		size_t k = one(&pool, its, p, n);

		p += k;
		n -= k;
	}
	lu_detach(&nexus[0]);
	lu_detach(&nexus[1]);
	lu_fini(&lu);
	task_pool_fini(&pool);
	return 0;
}
