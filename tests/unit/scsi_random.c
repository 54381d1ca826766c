/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random commands, from a seed: whatever is asked, every command ends, block operations stay inside of the
 * units, no memory is left behind, and after the states that commands may set are set back the units work.
 *   scsi_random [COUNT [SEED]]        (20000, 1)
 */
#include "tests/unit/scsi_world.h"

#include "base/rng.h"

static struct rng rng;
static unsigned long n_good;

static uint32_t below(uint32_t n)
{
	return (uint32_t)rng_below(&rng, n);
}

/* A row's CDB with bits that may be set, mostly few and small: numbers that mean something. */
static unsigned cdb_of_row(uint8_t cdb[16])
{
	const struct scsi_op *row = &scsi_ops[below(scsi_n_ops)];

	for (unsigned i = 0; i < row->cdb_len; i++) {
		cdb[i] = (uint8_t)(below(4) ? 0 : below(256) & row->usage[i]);
		if (i == row->cdb_len - 2u || i == row->cdb_len - 3u)
			cdb[i] = (uint8_t)(below(64) & row->usage[i]);
	}
	cdb[0] = row->opcode;
	if (row->sa != SA_NONE)
		cdb[1] = (uint8_t)((cdb[1] & ~0x1f) | row->sa);
	cdb[row->cdb_len - 1u] = (uint8_t)(below(50) ? 0 : 4);
	return row->cdb_len;
}

static unsigned cdb_of_noise(uint8_t cdb[16])
{
	for (unsigned i = 0; i < 16; i++)
		cdb[i] = (uint8_t)below(256);
	return 16;
}

/* Data that parameter lists are made of: mostly zeroes, some numbers, some keys. */
static uint32_t data_out(uint8_t *p, uint32_t max)
{
	uint32_t n = below(3) ? below(128) : below(max);

	memset(p, 0, n);
	for (uint32_t i = 0; i < n / 8; i++)
		p[below(n)] = (uint8_t)(below(2) ? below(4) : below(256));
	if (n > 16 && below(2))
		p[7] = 1, p[15] = (uint8_t)below(3);
	return n;
}

static void one(void)
{
	static uint8_t data[65536];
	uint8_t cdb[16] = { 0 };
	unsigned n = below(8) ? cdb_of_row(cdb) : cdb_of_noise(cdb);
	uint32_t out = below(2) ? data_out(data, sizeof(data)) : 0;

	if (below(200) == 0)
		fail_with = -5;
	if (below(200) == 0)
		runner.keep_err = ERR_IO;
	ask(below(PORTS), below(UNITS), cdb, n, data, out);
	fail_with = 0;
	runner.keep_err = 0;
	CHECK(last->sense_len <= TASK_SENSE_MAX && (last->status == STATUS_CHECK_CONDITION || !last->sense_len));
	n_good += last->status == STATUS_GOOD;
	CHECK(!last->scsi.next_kept && last->in_len <= TASK_DATA_MAX);
}

/* Everything that a command may have set, back to how it began. */
static void back(void)
{
	for (unsigned u = 0; u < UNITS; u++) {
		struct alua a = { .explicit_ok = true };
		struct lu_kept k = { 0 };
		struct lu_mode m = { 0 };

		lu_alua_set(&units[u], &a);
		lu_kept_set(&units[u], &k);
		lu_mode_set(&units[u], &m);
		units[u].ejected = false;
		lu_reset(&units[u], NULL);
		for (unsigned i = 0; i < PORTS; i++)
			atomic_store(&views[i][u].ua, 0);
	}
}

static void the_units_work(void)
{
	uint8_t block[WORLD_BS];

	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)below(256);
	for (unsigned i = 0; i < PORTS; i++)
		for (unsigned u = 0; u < UNITS; u++) {
			ASK(i, u, "\x12\0\0\0\x60\0");
			good();
			ask(i, u, "\x2a\0\0\0\0\7\0\0\1\0", 10, block, sizeof(block));
			good();
			ASK(1 - i, u, "\x28\0\0\0\0\7\0\0\1\0");
			good();
			CHECK(memcmp(last->in.p, block, sizeof(block)) == 0);
		}
	task_put(&last);
	CHECK_EQ(pool.n_tasks, 0);
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;

	rng.s = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	world_up();
	units[0].removable = true;
	units[0].atomic_max = 64;
	units[1].thin = false;
	lu_space_set(&units[0], 100u << 20, 1u << 30);
	for (unsigned long i = 0; i < count; i++) {
		one();
		if (i % 100 == 99)
			back();
	}
	back();
	the_units_work();
	world_down();
	/* A test of refusals alone would be a poor one. */
	CHECK(n_good * 10 > count);
	printf("ok %lu random commands, %lu of them good\n", count, n_good);
	return 0;
}
