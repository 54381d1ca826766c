/* SPDX-License-Identifier: Apache-2.0 */
/* EXTENDED COPY between units, and what RECEIVE COPY RESULTS tells of it (SPC-4 6.3, 6.18 to 6.24). */
#include "tests/unit/scsi_world.h"

#include "target/scsi/copy.h"
#include "target/scsi/copy_record.h"

/* A parameter list that grows: LID1 with CSCDs by NAA designator. */
struct list {
	uint8_t p[8192];
	uint32_t n, cscds, segments;
};

static void list_begin(struct list *l, uint8_t id, unsigned usage)
{
	memset(l, 0, sizeof(*l));
	l->p[0] = id;
	l->p[1] = (uint8_t)(usage << 3);
	l->n = 16;
}

static void list_cscd(struct list *l, const struct scsi_lu *lu)
{
	uint8_t *d = l->p + l->n;

	d[0] = 0xe4;
	d[4] = 1;
	d[5] = 3;
	d[7] = NAA_LEN;
	lu_naa(lu, d + 8);
	set24(d + 29, lu->block_size);
	l->n += 32;
	l->cscds += 32;
}

static void list_segment(struct list *l, unsigned from, unsigned to, unsigned blocks, uint64_t source, uint64_t dest)
{
	uint8_t *d = l->p + l->n;

	d[0] = 0x02;
	set16(d + 2, 0x18);
	set16(d + 4, from);
	set16(d + 6, to);
	set16(d + 10, blocks);
	set64(d + 12, source);
	set64(d + 20, dest);
	l->n += 28;
	l->segments += 28;
}

static unsigned copy(struct list *l)
{
	uint8_t cdb[16] = { 0x83 };

	set16(l->p + 2, l->cscds);
	set32(l->p + 8, l->segments);
	set32(cdb + 10, l->n);
	return ask(0, 0, cdb, 16, l->p, l->n)->status;
}

static void fill(unsigned unit, uint64_t lba, unsigned blocks, unsigned seed)
{
	for (uint64_t i = 0; i < blocks * (uint64_t)WORLD_BS; i++)
		disks[unit][lba * WORLD_BS + i] = (uint8_t)(i / WORLD_BS + i + seed);
}

static bool same(unsigned a, uint64_t at, unsigned b, uint64_t bt, unsigned blocks)
{
	return memcmp(disks[a] + at * WORLD_BS, disks[b] + bt * WORLD_BS, blocks * (size_t)WORLD_BS) == 0;
}

static void blocks_go_from_unit_to_unit(void)
{
	struct list l;

	world_up();
	fill(0, 10, 3000, 1);
	list_begin(&l, 1, 0);
	list_cscd(&l, &units[0]);
	list_cscd(&l, &units[1]);
	list_segment(&l, 0, 1, 3000, 10, 100);
	list_segment(&l, 1, 0, 5, 100, 4000);
	CHECK_EQ(copy(&l), STATUS_GOOD);
	CHECK(same(0, 10, 1, 100, 3000) && same(0, 10, 0, 4000, 5));
	/* RECEIVE COPY STATUS(LID1) of list 1, and of one that is not known. */
	ASK(0, 0, "\x84\0\1\0\0\0\0\0\0\0\0\0\0\x20\0\0");
	good();
	CHECK_EQ(last->in.p[4], 1);
	CHECK_EQ(be16(last->in.p + 5), 2);
	CHECK_EQ(be32(last->in.p + 8), 3005 * WORLD_BS);
	ASK(0, 0, "\x84\0\2\0\0\0\0\0\0\0\0\0\0\x20\0\0");
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	/* It is of this nexus alone. */
	ASK(1, 0, "\x84\0\1\0\0\0\0\0\0\0\0\0\0\x20\0\0");
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	world_down();
}

static void overlapping_ranges_come_out_right(void)
{
	static uint8_t before[5000 * WORLD_BS];
	struct list l;

	world_up();
	fill(0, 0, 5000, 3);
	memcpy(before, disks[0], sizeof(before));
	list_begin(&l, 0, 3);
	list_cscd(&l, &units[0]);
	list_segment(&l, 0, 0, 5000, 0, 700);
	CHECK_EQ(copy(&l), STATUS_GOOD);
	CHECK(memcmp(disks[0] + 700 * WORLD_BS, before, sizeof(before)) == 0);
	world_down();
}

static void a_failed_segment_is_named(void)
{
	struct list l;

	world_up();
	list_begin(&l, 7, 0);
	list_cscd(&l, &units[0]);
	list_segment(&l, 0, 0, 1, 0, 1);
	list_segment(&l, 0, 0, 1, 0, WORLD_BLOCKS);
	CHECK_EQ(copy(&l), STATUS_CHECK_CONDITION);
	sense_is(SENSE_COPY_ABORTED, ASC_NONE);
	CHECK_EQ(be32(last->sense + 8), 1);
	/* FAILURE DETAILS has the same sense. */
	ASK(0, 0, "\x84\4\7\0\0\0\0\0\0\0\0\0\1\0\0\0");
	good();
	CHECK_EQ(last->in.p[56], STATUS_CHECK_CONDITION);
	CHECK_EQ(last->in.p[60 + 2] & 0xf, SENSE_COPY_ABORTED);
	ASK(0, 0, "\x84\0\7\0\0\0\0\0\0\0\0\0\0\x20\0\0");
	CHECK_EQ(last->in.p[4], 2);
	CHECK_EQ(be16(last->in.p + 5), 1);
	/* A unit that is not there, an error of the storage. */
	list_begin(&l, 8, 0);
	list_cscd(&l, &units[0]);
	l.p[16 + 9] ^= 0xff;
	list_segment(&l, 0, 0, 1, 0, 1);
	copy(&l);
	sense_is(SENSE_COPY_ABORTED, ASC_UNREACHABLE_COPY_TARGET);
	list_begin(&l, 9, 0);
	list_cscd(&l, &units[0]);
	list_segment(&l, 0, 0, 1, 0, 1);
	fail_with = -5;
	copy(&l);
	sense_is(SENSE_COPY_ABORTED, ASC_THIRD_PARTY_FAILURE);
	world_down();
}

static void reservations_and_protection_hold_for_copies(void)
{
	struct list l;

	world_up();
	list_begin(&l, 0, 3);
	list_cscd(&l, &units[0]);
	list_cscd(&l, &units[1]);
	list_segment(&l, 0, 1, 1, 0, 1);
	/* The other initiator has the destination: RESERVE(6). */
	ASK(1, 1, "\x16\0\0\0\0\0");
	good();
	copy(&l);
	sense_is(SENSE_COPY_ABORTED, ASC_THIRD_PARTY_FAILURE);
	ASK(1, 1, "\x17\0\0\0\0\0");
	CHECK_EQ(copy(&l), STATUS_GOOD);
	views[0][1].read_only = true;
	copy(&l);
	sense_is(SENSE_COPY_ABORTED, ASC_THIRD_PARTY_FAILURE);
	CHECK_EQ(n_ops[BLOCK_WRITE], 1);
	world_down();
}

static void lists_that_are_wrong_copy_nothing(void)
{
	struct list l;

	world_up();
	list_begin(&l, 0, 0);
	for (unsigned i = 0; i <= COPY_CSCDS_MAX; i++)
		list_cscd(&l, &units[0]);
	list_segment(&l, 0, 0, 1, 0, 1);
	copy(&l);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_CSCD);
	list_begin(&l, 0, 0);
	list_cscd(&l, &units[0]);
	for (unsigned i = 0; i <= COPY_SEGMENTS_MAX; i++)
		list_segment(&l, 0, 0, 1, 0, 1);
	copy(&l);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_SEGMENTS);
	list_begin(&l, 0, 0);
	list_cscd(&l, &units[0]);
	l.p[16] = 0xe0;
	list_segment(&l, 0, 0, 1, 0, 1);
	copy(&l);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_UNSUPPORTED_CSCD_TYPE);
	l.p[16] = 0xe4;
	l.p[48] = 0x03;
	copy(&l);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_UNSUPPORTED_SEGMENT_TYPE);
	l.p[48] = 0x02;
	l.segments++;
	copy(&l);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	CHECK_EQ(n_ops[BLOCK_READ] + n_ops[BLOCK_WRITE], 0);
	world_down();
}

#define LID4_LEN (48 + 32 + 32)

/* Of unit 0: two blocks from block 1 go to block 50, by bytes, with offsets. */
static void lid4_list(uint8_t p[LID4_LEN])
{
	memset(p, 0, LID4_LEN);
	p[0] = 0x01;
	set16(p + 2, 0x20);
	p[16] = 0xff;
	set32(p + 20, 0x12345678);
	set16(p + 42, 32);
	set16(p + 44, 32);
	p[48] = 0xe4;
	p[52] = 1;
	p[53] = 3;
	p[55] = NAA_LEN;
	lu_naa(&units[0], p + 56);
	p[80] = 0x0a;
	set16(p + 82, 0x1c);
	set32(p + 88, 2 * WORLD_BS);
	set64(p + 100, 50);
	set16(p + 108, WORLD_BS);
}

static void lid4_lists_are_understood(void)
{
	uint8_t cdb[16] = { 0x83, 0x01 }, p[LID4_LEN];

	world_up();
	fill(0, 0, 4, 9);
	lid4_list(p);
	set32(cdb + 10, sizeof(p));
	CHECK_EQ(ask(0, 0, cdb, 16, p, sizeof(p))->status, STATUS_GOOD);
	CHECK(same(0, 1, 0, 50, 2));
	ASK(0, 0, "\x84\5\x12\x34\x56\x78\0\0\0\0\0\0\0\x40\0\0");
	good();
	CHECK_EQ(last->in.p[5], 1);
	CHECK_EQ(be64(last->in.p + 16), 2 * WORLD_BS);
	/* While it goes on: in progress. */
	views[0][0].copies->running = true;
	ASK(0, 0, "\x84\5\x12\x34\x56\x78\0\0\0\0\0\0\0\x40\0\0");
	CHECK_EQ(last->in.p[5], 0x11);
	views[0][0].copies->running = false;
	/* Offsets within a block would need it read and put together. */
	set16(p + 108, 100);
	ask(0, 0, cdb, 16, p, sizeof(p));
	sense_is(SENSE_COPY_ABORTED, ASC_INEXACT_SEGMENT);
	world_down();
}

/* GOOD with sense data, of so many segments. */
static void information_is(const struct task *t, unsigned segments)
{
	CHECK_EQ(t->status, STATUS_GOOD);
	CHECK_EQ(t->sense_len, 18);
	CHECK_EQ(t->sense[2] & 0xf, SENSE_COMPLETED);
	CHECK_EQ(be16(t->sense + 12), 0x0020);
	CHECK_EQ(be32(t->sense + 8), segments);
}

/* G_SENSE. Of LID1's header the byte is another one's. */
static void good_sense_is_given_when_asked_for(void)
{
	uint8_t cdb[16] = { 0x83, 0x01 }, p[LID4_LEN];

	world_up();
	lid4_list(p);
	set32(cdb + 10, sizeof(p));
	CHECK(ask(0, 0, cdb, 16, p, sizeof(p))->status == STATUS_GOOD && last->sense_len == 0);
	p[15] = 0x02;
	information_is(ask(0, 0, cdb, 16, p, sizeof(p)), 1);
	/* What asks for its outcome is told that too. */
	ASK(0, 0, "\x84\5\x12\x34\x56\x78\0\0\0\0\0\0\0\x40\0\0");
	good();
	CHECK(last->in.p[5] == 1 && last->in.p[12] == STATUS_GOOD && last->in.p[13] == 18);
	/* A failure is what it was. */
	set16(p + 108, 100);
	ask(0, 0, cdb, 16, p, sizeof(p));
	sense_is(SENSE_COPY_ABORTED, ASC_INEXACT_SEGMENT);
	world_down();
}

/* One that goes on while other commands are asked. */
static struct task *begin(const uint8_t *cdb, const void *out, uint32_t out_len, enum scsi_turn *turn)
{
	struct task *t = task_get(&pool);

	memcpy(t->cdb, cdb, 16);
	t->cdb_len = 16;
	t->expect_out = t->out_len = out_len;
	if (out_len) {
		CHECK_EQ(task_buf_get(&pool, &t->out, out_len), 0);
		memcpy(t->out.p, out, out_len);
	}
	*turn = scsi_start(&ports[0], t);
	return t;
}

static unsigned lid4_status(void)
{
	ASK(0, 0, "\x84\5\x12\x34\x56\x78\0\0\0\0\0\0\0\x40\0\0");
	good();
	return last->in.p[5];
}

static void a_copy_that_was_answered_early_goes_on(void)
{
	uint8_t cdb[16] = { 0x83, 0x01 }, p[LID4_LEN];
	enum scsi_turn turn;
	struct task *t, *answer;

	world_up();
	fill(0, 0, 4, 9);
	lid4_list(p);
	set32(cdb + 10, sizeof(p));
	p[15] = 0x01;
	t = begin(cdb, p, sizeof(p), &turn);
	CHECK(turn == SCSI_BLOCK && t->scsi.early);
	answer = task_get(&pool);
	scsi_early(t, answer);
	CHECK(answer->status == STATUS_GOOD && answer->sense_len == 0);
	task_put(&answer);
	t->scsi.alone = true;
	CHECK_EQ(lid4_status(), 0x12);
	run_turns(&runner, t, turn);
	CHECK_EQ(t->status, STATUS_GOOD);
	/* The owner may have to wait with it. */
	CHECK_EQ(lid4_status(), 0x12);
	scsi_over(t);
	CHECK_EQ(lid4_status(), 1);
	CHECK(same(0, 1, 0, 50, 2));
	task_put(&t);
	/* With G_SENSE the answer says that nothing is done yet. */
	p[15] = 0x03;
	t = begin(cdb, p, sizeof(p), &turn);
	answer = task_get(&pool);
	scsi_early(t, answer);
	information_is(answer, 0);
	task_put(&answer);
	t->scsi.alone = true;
	run_turns(&runner, t, turn);
	scsi_over(t);
	task_put(&t);
	p[15] = 0x01;
	/* Without an identifier nobody could ask for it. */
	p[1] = 3 << 3;
	ask(0, 0, cdb, 16, p, sizeof(p));
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_PARAMETERS);
	/* There are not more of them than a nexus has records. */
	p[1] = 0;
	for (unsigned i = 0; i < COPY_RECORDS_MAX; i++) {
		set32(p + 20, i);
		CHECK_EQ(ask(0, 0, cdb, 16, p, sizeof(p))->status, STATUS_GOOD);
	}
	for (struct copy_record *r = views[0][0].copies; r; r = r->next)
		r->running = true;
	set32(p + 20, 1000);
	CHECK_EQ(ask(0, 0, cdb, 16, p, sizeof(p))->status, STATUS_TASK_SET_FULL);
	world_down();
}

static void a_copy_is_aborted_by_its_identifier(void)
{
	uint8_t cdb[16] = { 0x83, 0x01 }, stop[16] = { 0x83, 0x1c, 0x12, 0x34, 0x56, 0x78 }, p[LID4_LEN];
	enum scsi_turn turn, waits;
	struct task *t, *a;

	world_up();
	lid4_list(p);
	p[15] = 0x01;
	set32(p + 88, 2 * SCSI_CHUNK);
	set32(cdb + 10, sizeof(p));
	ask(0, 0, stop, 16, NULL, 0);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	t = begin(cdb, p, sizeof(p), &turn);
	CHECK_EQ(turn, SCSI_BLOCK);
	t->scsi.alone = true;
	a = begin(stop, NULL, 0, &waits);
	CHECK(waits == SCSI_BLOCK && a->op.kind == BLOCK_PAUSE);
	a->op.result = 0;
	CHECK(scsi_done(a) == SCSI_BLOCK);
	run_turns(&runner, t, turn);
	scsi_over(t);
	CHECK_EQ(n_ops[BLOCK_READ], 1);
	a->op.result = 0;
	CHECK(scsi_done(a) == SCSI_DONE && a->status == STATUS_GOOD);
	CHECK_EQ(lid4_status(), 0x60);
	task_put(&t);
	task_put(&a);
	ask(0, 0, stop, 16, NULL, 0);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	world_down();
}

static void the_third_party_page_lists_the_table(void)
{
	const uint8_t *p;

	world_up();
	ASK(0, 0, "\x12\1\x8f\2\0\0");
	good();
	p = last->in.p;
	CHECK_EQ(be16(p + 4), 0x0001);
	CHECK_EQ(p[9], 0x83);
	CHECK(p[10] == 3 && p[11] == 0 && p[12] == 1 && p[13] == 0x1c && p[14] == 0x84 && p[15] == 4);
	CHECK_EQ(be16(p + 4 + 4 + be16(p + 6)), 0x0004);
	world_down();
}

int main(void)
{
	RUN(blocks_go_from_unit_to_unit);
	RUN(overlapping_ranges_come_out_right);
	RUN(a_failed_segment_is_named);
	RUN(reservations_and_protection_hold_for_copies);
	RUN(lists_that_are_wrong_copy_nothing);
	RUN(lid4_lists_are_understood);
	RUN(good_sense_is_given_when_asked_for);
	RUN(a_copy_that_was_answered_early_goes_on);
	RUN(a_copy_is_aborted_by_its_identifier);
	RUN(the_third_party_page_lists_the_table);
	return 0;
}
