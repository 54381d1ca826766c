/* SPDX-License-Identifier: Apache-2.0 */
/* States of a unit and its ports: access states, sanitize, media, saved pages, thresholds, what logs say. */
#include "tests/unit/scsi_world.h"

/* ---- asymmetric access ---- */

static void access_is(unsigned state)
{
	struct alua a = { .n = 2, .explicit_ok = true, .groups = { { .id = 1 }, { .id = 2, .state = (uint8_t)state } } };

	lu_alua_set(&units[0], &a);
}

static void access_states_refuse_what_the_standard_says(void)
{
	static const struct { unsigned state, asc; bool sense, capacity; } rows[] = {
		{ ALUA_OPTIMIZED, 0, true, true }, { ALUA_NONOPTIMIZED, 0, true, true },
		{ ALUA_STANDBY, ASC_STANDBY, true, true }, { ALUA_UNAVAILABLE, ASC_UNAVAILABLE, false, false },
		{ ALUA_TRANSITIONING, ASC_TRANSITION, false, false },
	};

	world_up();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		access_is(rows[i].state);
		if (i)
			CHECK_EQ(attention(1, 0), 0x2a06);
		attention(0, 0);
		ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
		if (rows[i].asc)
			sense_is(SENSE_NOT_READY, rows[i].asc);
		else
			good();
		ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
		good();
		ASK(1, 0, "\x12\0\0\0\x60\0");
		good();
		ASK(1, 0, "\xa3\x0a\0\0\0\0\0\0\1\0\0\0");
		good();
		CHECK_EQ(be32(last->in.p), 2 * 12);
		CHECK_EQ(last->in.p[4 + 12] & 0xf, rows[i].state);
		ASK(1, 0, "\x1a\0\x0a\0\xff\0");
		CHECK_EQ(last->status == STATUS_GOOD, rows[i].sense);
		ASK(1, 0, "\x25\0\0\0\0\0\0\0\0\0");
		CHECK_EQ(last->status == STATUS_GOOD, rows[i].capacity);
	}
	world_down();
}

static void an_initiator_may_set_access_states(void)
{
	static const char set[] = "\0\0\0\0" "\2\0\0\1" "\0\0\0\2";

	world_up();
	access_is(ALUA_STANDBY);
	attention(0, 0), attention(1, 0);
	ask(0, 0, "\xa4\x0a\0\0\0\0\0\0\0\x0c\0\0", 12, set, 12);
	good();
	CHECK_EQ(alua_state_of(&units[0].alua, 1), ALUA_STANDBY);
	CHECK_EQ(alua_state_of(&units[0].alua, 2), ALUA_OPTIMIZED);
	CHECK_EQ(attention(1, 0), 0x2a06);
	/* The extended header, and that a command did it. */
	ASK(1, 0, "\xa3\x2a\0\0\0\0\0\0\1\0\0\0");
	good();
	CHECK_EQ(last->in.p[4], 0x10);
	CHECK_EQ(last->in.p[8 + 5], ALUA_BY_COMMAND);
	/* A group that is not there: nothing is taken, not even what came before. */
	ask(1, 0, "\xa4\x0a\0\0\0\0\0\0\0\x0c\0\0", 12, "\0\0\0\0" "\0\0\0\1" "\0\0\0\7", 12);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_PARAMETERS);
	CHECK_EQ(alua_state_of(&units[0].alua, 1), ALUA_STANDBY);
	/* Implicit only: the command does not exist, and INQUIRY says so. */
	units[0].alua.explicit_ok = false;
	ask(1, 0, "\xa4\x0a\0\0\0\0\0\0\0\x0c\0\0", 12, set, 12);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	ASK(1, 0, "\x12\0\0\0\x60\0");
	CHECK_EQ(last->in.p[5] & 0x30, 0x10);
	world_down();
}

/* ---- sanitize ---- */

static void sanitize_overwrites_all_of_it(void)
{
	uint8_t list[8] = { 0x82, 0, 0, 4, 0x12, 0x34, 0x56, 0x78 };

	world_up();
	memset(disks[0], 0xaa, sizeof(disks[0]));
	runner.n_kept = 0;
	ask(0, 0, "\x48\x01\0\0\0\0\0\0\x08\0", 10, list, 8);
	good();
	/* Two passes, the second inverted; that it began and that it ended was kept; and flushed in between. */
	for (unsigned i = 0; i < sizeof(disks[0]); i++)
		CHECK_EQ(disks[0][i], (uint8_t)~list[4 + i % 4]);
	CHECK_EQ(n_ops[BLOCK_WRITE], 2 * sizeof(disks[0]) / SCSI_CHUNK);
	CHECK_EQ(n_ops[BLOCK_FLUSH], 1);
	CHECK_EQ(runner.n_kept, 2);
	ASK(1, 0, "\0\0\0\0\0\0");
	good();
	world_down();
}

static void a_unit_that_is_being_sanitized_says_how_far_it_is(void)
{
	world_up();
	units[0].kept.sanitize = SANITIZE_RUNNING;
	atomic_store(&units[0].sanitize.total, 1000);
	atomic_store(&units[0].sanitize.done, 500);
	lu_gates(&units[0]);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	sense_is(SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS);
	CHECK_EQ(last->sense[15], 0x80);
	CHECK_EQ(be16(last->sense + 16), 500);
	ASK(1, 0, "\x03\0\0\0\xff\0");
	good();
	CHECK_EQ(be16(last->in.p + 12), ASC_SANITIZE_IN_PROGRESS);
	CHECK_EQ(be16(last->in.p + 16), 500);
	ASK(1, 0, "\x12\0\0\0\x60\0");
	good();
	world_down();
}

static void a_failed_sanitize_is_left_as_it_allowed(void)
{
	uint8_t list[5] = { 0x01, 0, 0, 1, 0 };

	world_up();
	for (int ause = 0; ause < 2; ause++) {
		uint8_t cdb[10] = { 0x48, (uint8_t)(0x01 | (ause ? 0x20 : 0)), 0, 0, 0, 0, 0, 0, 5 };

		fail_with = -5;
		ask(0, 0, cdb, 10, list, 5);
		sense_is(SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
		ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
		sense_is(SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
		ASK(0, 0, "\x48\x1f\0\0\0\0\0\0\0\0");
		CHECK_EQ(last->status == STATUS_GOOD, ause);
		ask(0, 0, cdb, 10, list, 5);
		good();
	}
	world_down();
}

static void a_sanitize_that_power_ended_has_failed(void)
{
	struct lu_kept k = { .sanitize = SANITIZE_RUNNING };

	world_up();
	lu_kept_set(&units[0], &k);
	ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
	sense_is(SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
	world_down();
}

/* As on another node, which knows of it only what is agreed. */
static void go_on(struct lu_kept *k)
{
	struct task *b = task_get(&pool);
	struct buf bytes = { 0 };

	kept_encode(k, &bytes);
	kept_fini(k);
	CHECK_EQ(kept_decode(bytes.data, bytes.len, &units[0].kept), 0);
	buf_fini(&bytes);
	CHECK_EQ(units[0].kept.sanitize, SANITIZE_RUNNING);
	units[0].kept.all = false;                      /* so that what is proposed comes true here */
	lu_gates(&units[0]);
	b->scsi.nexus = &views[0][0];
	b->scsi.it = &ports[0];
	run_turns(&runner, b, scsi_background(b));
	task_put(&b);
}

static void another_node_goes_on_with_a_sanitize(void)
{
	static const struct sanitize_op erase = { .service = 2, .passes = 1 };
	struct lu_kept k = { .all = true, .sanitize = SANITIZE_RUNNING };

	world_up();
	k.op = calloc(1, sizeof(*k.op) + 3);
	*k.op = (struct sanitize_op){ .service = 1, .passes = 2, .invert = true, .len = 3 };
	memcpy(k.op->pattern, "\x12\x34\x56", 3);
	go_on(&k);
	for (unsigned i = 0; i < sizeof(disks[0]); i++)
		CHECK_EQ(disks[0][i], (uint8_t)~"\x12\x34\x56"[i % WORLD_BS % 3]);
	CHECK_EQ(units[0].kept.sanitize, SANITIZE_IDLE);
	CHECK(!units[0].kept.op);
	ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
	good();
	k = (struct lu_kept){ .all = true, .sanitize = SANITIZE_RUNNING, .op = malloc(sizeof(erase)) };
	*k.op = erase;
	go_on(&k);
	CHECK(disks[0][0] == 0 && units[0].kept.sanitize == SANITIZE_IDLE);
	/* What it is to do is not known: one of a version before. */
	k = (struct lu_kept){ .all = true, .sanitize = SANITIZE_RUNNING };
	go_on(&k);
	ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
	sense_is(SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
	world_down();
}

/* ---- the medium itself ---- */

static void reading_with_fua_and_verifying_look_at_the_medium(void)
{
	world_up();
	ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
	CHECK_EQ(n_ops[BLOCK_FLUSH], 0);
	ASK(0, 0, "\x28\x08\0\0\0\0\0\0\1\0");
	good();
	CHECK_EQ(n_ops[BLOCK_FLUSH], 1);
	ASK(0, 0, "\x2f\0\0\0\0\0\0\0\1\0");
	good();
	CHECK_EQ(n_ops[BLOCK_FLUSH], 2);
	/* Without a write cache nothing is anywhere else. */
	units[0].cache = false;
	ASK(0, 0, "\x28\x08\0\0\0\0\0\0\1\0");
	ASK(0, 0, "\x2f\0\0\0\0\0\0\0\1\0");
	good();
	CHECK_EQ(n_ops[BLOCK_FLUSH], 2);
	CHECK_EQ(n_ops[BLOCK_READ], 5);
	world_down();
}

static void unmapping_with_the_cache_off_is_stable(void)
{
	static const char list[] = "\0\x16\0\x10\0\0\0\0" "\0\0\0\0\0\0\0\x08\0\0\0\x08\0\0\0\0";

	world_up();
	ask(0, 0, "\x42\0\0\0\0\0\0\0\x18\0", 10, list, 24);
	good();
	CHECK_EQ(n_ops[BLOCK_FLUSH], 0);
	atomic_store(&units[0].wce, false);
	ask(0, 0, "\x42\0\0\0\0\0\0\0\x18\0", 10, list, 24);
	good();
	CHECK_EQ(n_ops[BLOCK_FLUSH], 1);
	CHECK_EQ(n_ops[BLOCK_DISCARD], 2);
	/* Anchored blocks keep their space. */
	ask(0, 0, "\x42\1\0\0\0\0\0\0\x18\0", 10, list, 24);
	good();
	CHECK_EQ(n_ops[BLOCK_WRITE_ZEROES], 1);
	world_down();
}

/* ---- media ---- */

static void a_medium_that_is_out_is_not_there(void)
{
	world_up();
	ASK(0, 0, "\x1b\0\0\0\2\0");
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	units[0].removable = true;
	ASK(1, 0, "\x1e\0\0\0\1\0");
	ASK(0, 0, "\x1b\0\0\0\2\0");
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
	ASK(1, 0, "\x1e\0\0\0\0\0");
	ASK(0, 0, "\x1b\0\0\0\2\0");
	good();
	CHECK_EQ(n_ops[BLOCK_FLUSH], 1);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	sense_is(SENSE_NOT_READY, ASC_NO_MEDIUM);
	ASK(0, 0, "\x1b\0\0\0\3\0");
	good();
	CHECK_EQ(attention(1, 0), 0x2800);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	good();
	world_down();
}

/* ---- pages ---- */

static void saved_pages_come_back_with_power(void)
{
	/* The control page with D_SENSE. */
	static const char list[] = "\0\0\0\0" "\x0a\x0a\x24\x10\0\0\0\0\xff\xff\0\0";
	struct lu_kept k;

	world_up();
	ask(0, 0, "\x15\x11\0\0\x10\0", 6, list, 16);
	good();
	CHECK(atomic_load(&units[0].d_sense) && units[0].kept.has_saved);
	kept_copy(&k, &units[0].kept);
	ask(0, 0, "\x15\x10\0\0\x10\0", 6, "\0\0\0\0" "\x0a\x0a\x20\x10\0\0\0\0\xff\xff\0\0", 16);
	good();
	CHECK(!atomic_load(&units[0].d_sense) && units[0].kept.saved.d_sense);
	/* PC 11b shows what is saved, 00b what is. */
	ASK(0, 0, "\x1a\x08\xca\0\xff\0");
	CHECK_EQ(last->in.p[4 + 2], 0x24);              /* TST 001b too */
	ASK(0, 0, "\x1a\x08\x0a\0\xff\0");
	CHECK_EQ(last->in.p[4 + 2], 0x20);
	/* That there is one task set for all is not for the initiator to say. */
	ask(0, 0, "\x15\x10\0\0\x10\0", 6, "\0\0\0\0" "\x0a\x0a\0\x10\0\0\0\0\xff\xff\0\0", 16);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_PARAMETERS);
	lu_kept_set(&units[0], &k);
	CHECK(atomic_load(&units[0].d_sense));
	world_down();
}

static void where_nodes_agree_all_mode_pages_are_agreed(void)
{
	world_up();
	units[0].kept.all = true;
	runner.n_kept = 0;
	/* Without SP: one node's alone would hold for those who come through it. */
	ask(0, 0, "\x15\x10\0\0\x10\0", 6, "\0\0\0\0" "\x0a\x0a\x20\x10\x08\0\0\0\xff\xff\0\0", 16);
	CHECK_EQ(runner.n_kept, 1);
	world_down();
}

static void a_threshold_is_told_once(void)
{
	uint8_t list[4 + 12 + 4 + 12 + 16] = { 0 }, *p = list + 4;

	world_up();
	/* LBPERE, and used space rising to 50 sets of 1 MiB. */
	p[0] = 0x01;
	p[1] = 10;
	p[7] = 0x80;
	p += 12;
	p[0] = 0x5c;
	p[1] = 0x02;
	set16(p + 2, 28);
	p[16] = 0x81;
	p[17] = 2;
	set32(p + 20, 50);
	ask(0, 0, "\x15\x10\0\0\x30\0", 6, list, sizeof(list));
	good();
	attention(1, 0);
	lu_space_set(&units[0], 49ull << 20, 100ull << 20);
	CHECK_EQ(attention(0, 0), 0);
	lu_space_set(&units[0], 51ull << 20, 98ull << 20);
	CHECK_EQ(attention(0, 0), 0x3807);
	CHECK_EQ(attention(1, 0), 0x3807);
	lu_space_set(&units[0], 52ull << 20, 97ull << 20);
	CHECK_EQ(attention(0, 0), 0);
	/* The log page has both counts. */
	ASK(0, 0, "\x4d\0\x4c\0\0\0\0\1\0\0");
	good();
	CHECK_EQ(be16(last->in.p + 4), 1);
	CHECK_EQ(be32(last->in.p + 8), 97);
	CHECK_EQ(be32(last->in.p + 4 + 12 + 4), 52);
	/* From a parameter on; none is as far as that. */
	ASK(0, 0, "\x4d\0\x4c\0\0\0\2\1\0\0");
	good();
	CHECK(be16(last->in.p + 2) == 12 && last->in_len == 16);
	CHECK(be16(last->in.p + 4) == 2 && be32(last->in.p + 8) == 52);
	ASK(0, 0, "\x4d\0\x4c\0\0\0\3\1\0\0");
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	world_down();
}

static void log_pages_are_those_that_are_listed(void)
{
	uint8_t cdb[10] = { 0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0 }, codes[16];
	unsigned n;

	world_up();
	ask(0, 0, cdb, 10, NULL, 0);
	good();
	n = be16(last->in.p + 2);
	CHECK(n >= 3 && n <= sizeof(codes));
	memcpy(codes, last->in.p + 4, n);
	for (unsigned code = 0; code < 0x40; code++) {
		cdb[2] = (uint8_t)(0x40 | code);
		ask(0, 0, cdb, 10, NULL, 0);
		CHECK_EQ(last->status == STATUS_GOOD, memchr(codes, (int)code, n) != NULL);
	}
	world_down();
}

static void what_a_thick_unit_has_not_is_not_offered(void)
{
	world_up();
	units[0].thin = false;
	ask(0, 0, "\x42\0\0\0\0\0\0\0\x18\0", 10, disks[1], 24);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	ASK(0, 0, "\xa3\x0c\1\x42\0\0\0\0\1\0\0\0");
	good();
	CHECK_EQ(last->in.p[1] & 7, 1);
	ASK(0, 0, "\x9c\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0");
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	world_down();
}

int main(void)
{
	RUN(access_states_refuse_what_the_standard_says);
	RUN(an_initiator_may_set_access_states);
	RUN(sanitize_overwrites_all_of_it);
	RUN(a_unit_that_is_being_sanitized_says_how_far_it_is);
	RUN(a_failed_sanitize_is_left_as_it_allowed);
	RUN(a_sanitize_that_power_ended_has_failed);
	RUN(another_node_goes_on_with_a_sanitize);
	RUN(reading_with_fua_and_verifying_look_at_the_medium);
	RUN(unmapping_with_the_cache_off_is_stable);
	RUN(a_medium_that_is_out_is_not_there);
	RUN(saved_pages_come_back_with_power);
	RUN(where_nodes_agree_all_mode_pages_are_agreed);
	RUN(a_threshold_is_told_once);
	RUN(log_pages_are_those_that_are_listed);
	RUN(what_a_thick_unit_has_not_is_not_offered);
	return 0;
}
