/* SPDX-License-Identifier: Apache-2.0 */
/* target/iscsi: the full feature phase, byte by byte. */
#include <string.h>

#include "base/rng.h"
#include "tests/unit/check.h"
#include "tests/unit/target_world.h"

#define DISK (4u << 20)
#define KEYS(s) (s), sizeof(s) - 1

static void cdb_rw(uint8_t *cdb, bool write, uint32_t lba, uint16_t blocks)
{
	memset(cdb, 0, 16);
	cdb[0] = write ? 0x2a : 0x28;
	put32(cdb + 2, lba);
	put16(cdb + 7, blocks);
}

static void pattern(uint8_t *p, size_t n, uint64_t seed)
{
	struct rng r = { seed };

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rng_next(&r);
}

/* A login and a handful of commands of every kind, as one stream. */
static void script(struct world *w, struct buf *b)
{
	static uint8_t data[40000];
	uint8_t cdb[16] = { 0x12, 0, 0, 0, 96 }, bhs[BHS_LEN];
	uint32_t itt;

	pattern(data, sizeof(data), 7);
	put_login(b, 1, 3, true, KEYS(LOGIN_KEYS "InitialR2T=No\0HeaderDigest=CRC32C\0DataDigest=CRC32C\0MaxRecvDataSegmentLength=4096\0"));
	w->conn->header_digest = true;          /* for the test's own PDUs from here on */
	put_command(w, b, PDU_FINAL | CMD_READ, cdb, 96, NULL, 0);
	cdb_rw(cdb, true, 8, 16);
	put_command(w, b, PDU_FINAL | CMD_WRITE, cdb, 8192, data, 8192);                /* all immediate */
	cdb_rw(cdb, true, 100, 24);
	itt = put_command(w, b, CMD_WRITE, cdb, 12288, data, 5000);                     /* immediate, then unsolicited */
	put_data_out(w, b, itt, TAG_NONE, 0, 5000, false, data + 5000, 4000);
	put_data_out(w, b, itt, TAG_NONE, 1, 9000, true, data + 9000, 3288);
	cdb_rw(cdb, true, 200, 66);
	itt = put_command(w, b, PDU_FINAL | CMD_WRITE, cdb, 33792, NULL, 0);            /* all solicited */
	put_data_out(w, b, itt, 0, 0, 0, false, data, 20000);
	put_data_out(w, b, itt, 0, 1, 20000, true, data + 20000, 13792);
	cdb_rw(cdb, false, 200, 66);
	put_command(w, b, PDU_FINAL | CMD_READ, cdb, 33792, NULL, 0);
	cdb_rw(cdb, false, 8, 16);
	put_command(w, b, PDU_FINAL | CMD_READ, cdb, 10000, NULL, 0);
	bhs_init(bhs, PDU_NOP_OUT, PDU_FINAL, 5, w->itt++);
	put32(bhs + 20, TAG_NONE);
	put32(bhs + 24, w->cmdsn++);
	pdu_put(b, bhs, "hello", 5, true);
	cdb[0] = 0xff;
	put_command(w, b, PDU_FINAL, cdb, 0, NULL, 0);
	w->conn->header_digest = false;
}

static void logout(struct world *w)
{
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, PDU_LOGOUT, PDU_FINAL, 0, w->itt++);
	put32(bhs + 24, w->cmdsn++);
	pdu_put(&b, bhs, NULL, 0, true);
	world_feed(w, b.data, b.len, 0);
	buf_fini(&b);
}

static void play(struct world *w, size_t piece, size_t split)
{
	struct buf b = { 0 };

	world_init(w, DISK, 512);
	script(w, &b);
	if (split) {
		world_feed(w, b.data, split, 0);
		world_feed(w, b.data + split, b.len - split, 0);
	} else {
		world_feed(w, b.data, b.len, piece);
	}
	logout(w);
	buf_fini(&b);
}

/*
 * The answers of each task in their order, task by task: which task is answered first may depend on what
 * came when. R2Ts, StatSN and the window say how much was in work at that moment, and are left out.
 */
static void answers(struct world *w, struct buf *to)
{
	for (uint32_t itt = 1; itt < 120; itt++) {
		const uint8_t *bhs, *data;

		w->out_at = 0;
		while ((bhs = world_pdu(w, &data))) {
			uint8_t h[BHS_LEN];

			if (bhs_op(bhs) == PDU_R2T || bhs_itt(bhs) != itt)
				continue;
			memcpy(h, bhs, BHS_LEN);
			memset(h + 24, 0, 12);
			buf_put(to, h, BHS_LEN);
			buf_put(to, data, bhs_data_len(bhs));
		}
	}
}

static void every_split_of_the_stream_gives_the_same_answers(void)
{
	struct world whole, w;
	struct buf want = { 0 }, b = { 0 };
	size_t len;

	play(&whole, 0, 0);
	answers(&whole, &want);
	CHECK(whole.conn->closing == CLOSING_FLUSH && whole.conn->state == CONN_S6_IN_LOGOUT);
	world_init(&w, DISK, 512);
	script(&w, &b);
	len = b.len;
	world_fini(&w);
	buf_fini(&b);
	/* Every byte of the headers and of the small PDUs, a sample of the long data. */
	for (size_t at = 1; at < len; at += at < 900 || at % 4096 < 120 ? 1 : 61) {
		struct buf got = { 0 };

		play(&w, 0, at);
		answers(&w, &got);
		CHECK_EQ(got.len, want.len);
		CHECK(memcmp(got.data, want.data, want.len) == 0);
		CHECK(memcmp(w.disk, whole.disk, DISK) == 0);
		buf_fini(&got);
		world_fini(&w);
	}
	for (size_t piece = 1; piece < 200; piece = piece * 2 + 1) {
		struct buf got = { 0 };

		play(&w, piece, 0);
		answers(&w, &got);
		CHECK_EQ(got.len, want.len);
		CHECK(memcmp(got.data, want.data, want.len) == 0);
		buf_fini(&got);
		world_fini(&w);
	}
	buf_fini(&want);
	world_fini(&whole);
}

/* Drives one write as an initiator must, whatever was negotiated, and looks at the disk. */
static void write_as_negotiated(const char *keys, size_t len, uint32_t total)
{
	struct world w;
	struct buf b = { 0 };
	static uint8_t data[300000];
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t at = 0, itt, sn = 0, first;
	const struct iscsi_params *p;

	pattern(data, total, 3);
	world_init(&w, DISK, 512);
	world_login(&w, keys, len);
	p = &w.session->params;
	cdb_rw(cdb, true, 64, (uint16_t)(total / 512));
	first = total < p->first_burst ? total : p->first_burst;
	if (p->immediate_data)
		at = first < 3000 ? first : 3000;
	itt = put_command(&w, &b, CMD_WRITE | (p->initial_r2t || at == total ? PDU_FINAL : 0), cdb, total,
		data, at);
	while (!p->initial_r2t && at < total && at < first) {
		uint32_t n = first - at < 7000 ? first - at : 7000;

		put_data_out(&w, &b, itt, TAG_NONE, sn++, at, at + n == first, data + at, n);
		at += n;
	}
	world_feed(&w, b.data, b.len, 0);
	while ((r = world_pdu(&w, &d)) && bhs_op(r) == PDU_R2T) {
		uint32_t offset = get32(r + 40), n = get32(r + 44), ttt = bhs_ttt(r);

		CHECK(offset + n <= total && n <= p->max_burst);
		buf_reset(&b);
		for (uint32_t o = 0, s = 0; o < n; s++) {
			uint32_t k = n - o < 9000 ? n - o : 9000;

			put_data_out(&w, &b, itt, ttt, s, offset + o, o + k == n, data + offset + o, k);
			o += k;
		}
		world_feed(&w, b.data, b.len, 0);
	}
	CHECK(r && bhs_op(r) == PDU_SCSI_RESPONSE && r[3] == STATUS_GOOD && r[1] == PDU_FINAL);
	CHECK(memcmp(w.disk + 64 * 512, data, total) == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void write_data_in_all_four_combinations(void)
{
	static const uint32_t totals[] = { 512, 2560, 16384, 16896, 200192 };

	for (unsigned i = 0; i < 5; i++) {
		write_as_negotiated(KEYS("InitialR2T=Yes\0ImmediateData=Yes\0"), totals[i]);
		write_as_negotiated(KEYS("InitialR2T=Yes\0ImmediateData=No\0"), totals[i]);
		write_as_negotiated(KEYS("InitialR2T=No\0ImmediateData=Yes\0"), totals[i]);
		write_as_negotiated(KEYS("InitialR2T=No\0ImmediateData=No\0"), totals[i]);
		write_as_negotiated(KEYS("InitialR2T=No\0ImmediateData=Yes\0MaxOutstandingR2T=4\0MaxBurstLength=16384\0"), totals[i]);
	}
}

static void data_in_is_cut_and_carries_the_status(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t at = 0, sn = 0;

	world_init(&w, DISK, 512);
	pattern(w.disk, DISK, 9);
	world_login(&w, KEYS("MaxRecvDataSegmentLength=8192\0MaxBurstLength=20480\0"));
	cdb_rw(cdb, false, 10, 100);
	put_command(&w, &b, PDU_FINAL | CMD_READ, cdb, 60000, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	while ((r = world_pdu(&w, &d))) {
		uint32_t n = bhs_data_len(r);

		CHECK_EQ(bhs_op(r), PDU_DATA_IN);
		CHECK(n <= 8192 && get32(r + 40) == at && get32(r + 36) == sn++);
		CHECK(memcmp(d, w.disk + 5120 + at, n) == 0);
		at += n;
		/* F ends a burst or the data; S and the residual come with the last. */
		CHECK_EQ(!!(r[1] & PDU_FINAL), at == 20480 || at == 40960 || at == 51200);
		CHECK_EQ(!!(r[1] & DATA_IN_STATUS), at == 51200);
		if (at == 51200) {
			CHECK(r[1] & RSP_UNDERFLOW);
			CHECK_EQ(get32(r + 44), 60000 - 51200);
		}
	}
	CHECK_EQ(at, 51200);
	buf_fini(&b);
	world_fini(&w);
}

/* The data's place is given up while a PDU of it is half sent and the next are cut already. */
static void data_that_moved_leave_from_their_new_place(void)
{
	struct world w;
	struct buf b = { 0 };
	struct iscsi_iov iov[7];
	struct task_buf to = { 0 };
	struct task *t;
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t at = 0, n, part = 48 + 3000;

	world_init(&w, DISK, 512);
	pattern(w.disk, DISK, 9);
	world_login(&w, KEYS("MaxRecvDataSegmentLength=8192\0"));
	w.hold = true;
	cdb_rw(cdb, false, 0, 100);
	put_command(&w, &b, PDU_FINAL | CMD_READ, cdb, 51200, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	CHECK_EQ(w.n_held, 1);
	w.n_held = 0;
	t = w.held[0];
	CHECK_EQ(task_room(t, &t->in, 51200), 0);
	memcpy(t->in.p, w.disk, 51200);
	t->in_len = 51200;
	conn_task_done(t);
	n = conn_output(w.conn, iov, 7);
	CHECK(n >= 3 && iov[0].len == 48 && iov[1].len == 8192);
	buf_put(&w.out, iov[0].base, 48);
	buf_put(&w.out, iov[1].base, part - 48);
	conn_sent(w.conn, part);
	CHECK_EQ(task_room(t, &to, 51200), 0);
	memcpy(to.p, t->in.p, 51200);
	conn_data_moved(w.conn, (struct iscsi_task *)t, to.p);
	memset(t->in.p, 0xdd, 51200);
	task_unroom(t, &t->in);
	t->in = to;
	world_run(&w);
	while ((r = world_pdu(&w, &d))) {
		CHECK(get32(r + 40) == at && memcmp(d, w.disk + at, bhs_data_len(r)) == 0);
		at += bhs_data_len(r);
	}
	CHECK_EQ(at, 51200);
	buf_fini(&b);
	world_fini(&w);
}

/* A command with data both ways: its AHS, residuals of both directions, and R2T and Data-In numbered as one (4.2.2.4). */
static void residuals_of_both_directions(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN + 8] = { 0 };
	const uint8_t *r, *d;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	bhs_init(bhs, PDU_SCSI_COMMAND, PDU_FINAL | CMD_READ | CMD_WRITE | TASK_SIMPLE, 0, 500);
	bhs[4] = 2;
	put32(bhs + 20, 512);
	put32(bhs + 24, w.cmdsn++);
	bhs[32] = 0x12;                                 /* INQUIRY, 40 bytes, which wants no data-out */
	bhs[36] = 40;
	put16(bhs + BHS_LEN, 5);
	bhs[BHS_LEN + 2] = 2;
	put32(bhs + BHS_LEN + 4, 24);
	buf_put(&b, bhs, sizeof(bhs));
	put_data_out(&w, &b, 500, 0, 0, 0, true, w.disk, 512);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_R2T && get32(r + 36) == 0);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_DATA_IN && bhs_data_len(r) == 24);
	CHECK_EQ(get32(r + 36), 1);
	CHECK(!(r[1] & DATA_IN_STATUS));
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_SCSI_RESPONSE);
	CHECK_EQ(r[1], PDU_FINAL | RSP_BIDI_OVERFLOW | RSP_UNDERFLOW);
	CHECK_EQ(get32(r + 36), 2);
	CHECK_EQ(get32(r + 40), 40 - 24);
	CHECK_EQ(get32(r + 44), 512);
	buf_fini(&b);
	world_fini(&w);
}

static void commands_execute_in_cmdsn_order_and_outside_the_window_not_at_all(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16] = { 0 };
	const uint8_t *r, *d;
	uint32_t a, c;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	w.cmdsn = 3;
	c = put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);    /* CmdSN 3 before 1 and 2 */
	w.cmdsn = 2;
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	CHECK(!world_pdu(&w, &d));
	buf_reset(&b);
	w.cmdsn = 1;
	a = put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_itt(r) == a);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_itt(r) == c + 1);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_itt(r) == c && get32(r + 28) == 4);
	/* Old, repeated, and far ahead. */
	buf_reset(&b);
	w.cmdsn = 2;
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	w.cmdsn = 4 + 64;
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	CHECK(!world_pdu(&w, &d));
	buf_fini(&b);
	world_fini(&w);
}

/* Pings with data, from one who does not read the answers: not more of them than a MiB or so is kept. */
static void answers_that_nobody_reads_are_bounded(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];
	static uint8_t data[65536];
	unsigned n = 0, got = 0;
	const uint8_t *d;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS("MaxRecvDataSegmentLength=262144\0"));
	bhs_init(bhs, PDU_NOP_OUT, PDU_FINAL, sizeof(data), w.itt);
	bhs[0] |= PDU_IMMEDIATE;
	put32(bhs + 20, TAG_NONE);
	put32(bhs + 24, w.cmdsn);
	pdu_put(&b, bhs, data, sizeof(data), false);
	for (; n < 100 && conn_reading(w.conn); n++)
		conn_feed(w.conn, b.data, b.len);
	CHECK(n > 4 && n < 40);
	world_run(&w);
	CHECK(conn_reading(w.conn));
	for (; world_pdu(&w, &d); got++)
		;
	CHECK_EQ(got, n);
	buf_fini(&b);
	world_fini(&w);
}

static void put_tmf(struct world *w, struct buf *b, unsigned function, uint32_t ref, uint32_t ref_cmdsn)
{
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, PDU_TASK_MGMT, (uint8_t)(PDU_FINAL | function), 0, w->itt++);
	bhs[0] |= PDU_IMMEDIATE;
	put32(bhs + 20, ref);
	put32(bhs + 24, w->cmdsn);
	put32(bhs + 32, ref_cmdsn);
	pdu_put(b, bhs, NULL, 0, false);
}

static void an_aborted_task_is_not_answered_and_the_abort_waits_for_it(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t itt;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	w.hold = true;
	cdb_rw(cdb, false, 0, 1);
	itt = put_command(&w, &b, PDU_FINAL | CMD_READ, cdb, 512, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	buf_reset(&b);
	put_tmf(&w, &b, TMF_ABORT_TASK, itt, 1);
	b.data[9] = 1;                  /* of another unit it is not known */
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &d);
	CHECK(r && r[2] == TMF_RSP_NO_TASK);
	buf_reset(&b);
	put_tmf(&w, &b, TMF_ABORT_TASK, itt, 1);
	b.data[8] = 0x40;               /* the same unit, as a flat address */
	world_feed(&w, b.data, b.len, 0);
	CHECK_EQ(w.n_held, 1);
	CHECK(!world_pdu(&w, &d));
	world_release(&w);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_TASK_MGMT_RESPONSE && r[2] == TMF_RSP_COMPLETE);
	CHECK(!world_pdu(&w, &d));
	/* Unknown by now. */
	buf_reset(&b);
	put_tmf(&w, &b, TMF_ABORT_TASK, itt, 1);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &d);
	CHECK(r && r[2] == TMF_RSP_NO_TASK);
	buf_fini(&b);
	world_fini(&w);
}

static void an_aborted_write_lets_late_data_fall(void)
{
	struct world w;
	struct buf b = { 0 };
	static uint8_t data[4096];
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t itt;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	cdb_rw(cdb, true, 0, 8);
	itt = put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 4096, NULL, 0);
	put_tmf(&w, &b, TMF_ABORT_TASK, itt, 1);
	memset(data, 0xee, sizeof(data));
	put_data_out(&w, &b, itt, 0, 0, 0, true, data, 4096);
	world_feed(&w, b.data, b.len, 100);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_R2T);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_TASK_MGMT_RESPONSE && r[2] == TMF_RSP_COMPLETE);
	CHECK(!world_pdu(&w, &d));
	CHECK(w.conn->closing == CLOSING_NO && w.disk[0] == 0 && w.session->n_tasks == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void the_window_closes_and_opens_with_the_load(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t last = 0;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	w.hold = true;
	cdb_rw(cdb, false, 0, 1);
	for (unsigned i = 0; i < 40; i++)               /* the depth is 32: the rest is outside of the window */
		put_command(&w, &b, PDU_FINAL | CMD_READ, cdb, 512, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	CHECK_EQ(w.n_held, 32);
	world_release(&w);
	for (unsigned i = 0; (r = world_pdu(&w, &d)); i++)
		last = get32(r + 32);
	CHECK_EQ(w.session->exp_cmdsn, 33);
	CHECK_EQ(last, 33 + 32 - 1);
	buf_fini(&b);
	world_fini(&w);
}

/* Commands that hold much memory close the window sooner; with none in work it is open. */
static void the_window_closes_with_the_memory(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16], ready[16] = { 0 };             /* WRITE, TEST UNIT READY */
	const uint8_t *r, *d;
	unsigned full = 0;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS("ImmediateData=No\0MaxBurstLength=16777215\0MaxOutstandingR2T=1\0"));
	w.pool.bytes_max = 8u << 20;                    /* a session: 2 MiB */
	cdb_rw(cdb, true, 0, 1024);
	for (unsigned i = 0; i < 3; i++)
		put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 524288, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	for (unsigned i = 0; i < 3; i++) {
		r = world_pdu(&w, &d);
		CHECK(r && bhs_op(r) == PDU_R2T);
		full = get32(r + 32) - get32(r + 28) + 1;
	}
	CHECK(full < 32 && w.session->max_cmdsn == 32);
	w.cmdsn = 4;
	buf_reset(&b);
	for (unsigned i = 0; i < 28; i++)               /* what was promised stays promised */
		put_command(&w, &b, PDU_FINAL, ready, 0, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	while ((r = world_pdu(&w, &d)))
		full = get32(r + 32) - get32(r + 28) + 1;
	CHECK_EQ(full, 14);                             /* 29 by the depth; of the second half of its memory, half is free */
	session_abort(w.session, NULL, TAG_NONE, NULL);
	buf_reset(&b);
	put_command(&w, &b, PDU_FINAL, ready, 0, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &d);
	CHECK(r && get32(r + 32) - get32(r + 28) + 1 == 32);
	buf_fini(&b);
	world_fini(&w);
}

static void a_gap_in_datasn_ends_the_task_not_the_session(void)
{
	struct world w;
	struct buf b = { 0 };
	static uint8_t data[4096];
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t itt;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	cdb_rw(cdb, true, 0, 8);
	itt = put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 4096, NULL, 0);
	put_data_out(&w, &b, itt, 0, 1, 0, false, data, 2048);
	put_data_out(&w, &b, itt, 0, 0, 2048, true, data, 2048);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_R2T);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_SCSI_RESPONSE && r[3] == STATUS_CHECK_CONDITION);
	CHECK(d[2 + 2] == 0x0b && d[2 + 12] == 0x47 && d[2 + 13] == 0x05);
	CHECK(!world_pdu(&w, &d));
	CHECK(w.conn->closing == CLOSING_NO && w.session->active == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void broken_digests_end_the_connection(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct world w;
		struct buf b = { 0 };
		static uint8_t data[512];
		uint8_t cdb[16];

		world_init(&w, DISK, 512);
		world_login(&w, KEYS("HeaderDigest=CRC32C\0DataDigest=CRC32C\0"));
		cdb_rw(cdb, true, 0, 1);
		put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 512, data, 512);
		b.data[i ? 60 : 40] ^= 1;
		world_feed(&w, b.data, b.len, 0);
		CHECK(w.conn->closing == CLOSING_NOW);
		CHECK_STR(w.conn->why, i ? "data digest error" : "header digest error");
		CHECK(w.out.len == w.out_at);
		buf_fini(&b);
		world_fini(&w);
	}
}

/* Headers that lie, and what the target must say to each. */
static void lies(void)
{
	struct lie {
		uint8_t op, flags;
		uint32_t len, edtl, ttt;
		int reject;             /* the reason, or -1: the connection ends */
	} lies[] = {
		{ 0x1f, PDU_FINAL, 0, 0, 0, REJECT_NOT_SUPPORTED },
		{ PDU_SCSI_RESPONSE, PDU_FINAL, 0, 0, 0, REJECT_NOT_SUPPORTED },
		{ PDU_LOGIN | PDU_IMMEDIATE, 0x87, 0, 0, 0, -1 },
		{ PDU_SNACK, PDU_FINAL, 0, 0, 0, REJECT_SNACK },
		{ PDU_SCSI_COMMAND, PDU_FINAL | CMD_READ | CMD_WRITE, 0, 512, 0, REJECT_INVALID_FIELD },
		{ PDU_SCSI_COMMAND, PDU_FINAL | CMD_READ, 512, 512, 0, REJECT_INVALID_FIELD },
		{ PDU_SCSI_COMMAND, PDU_FINAL | CMD_WRITE, 512, 100, 0, REJECT_PROTOCOL },
		{ PDU_SCSI_COMMAND, CMD_WRITE, 0, 512, 0, REJECT_PROTOCOL },            /* unsolicited data, InitialR2T=Yes */
		{ PDU_SCSI_COMMAND, PDU_FINAL | CMD_WRITE, 20000, 20480, 0, REJECT_PROTOCOL },  /* beyond FirstBurstLength */
		{ PDU_TASK_MGMT, PDU_FINAL | 1, 100, 0, 0, REJECT_PROTOCOL },
		{ PDU_NOP_OUT, PDU_FINAL, 70000, 0, 0, -1 },            /* beyond MaxRecvDataSegmentLength */
		{ PDU_LOGOUT, PDU_FINAL | 5, 0, 0, 0, REJECT_INVALID_FIELD },
		{ PDU_TEXT, PDU_FINAL, 0, 0, 77, REJECT_INVALID_FIELD },
	};

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		static uint8_t data[70000];
		struct world w;
		struct buf b = { 0 };
		uint8_t bhs[BHS_LEN];
		const uint8_t *r, *d;

		world_init(&w, DISK, 512);
		world_login(&w, KEYS("InitialR2T=Yes\0FirstBurstLength=16384\0"));

		bhs_init(bhs, (enum pdu_op)lies[i].op, lies[i].flags, lies[i].len, 55);
		put32(bhs + 20, lies[i].op == PDU_SCSI_COMMAND ? lies[i].edtl : lies[i].ttt);
		put32(bhs + 24, 1);
		pdu_put(&b, bhs, data, lies[i].len, false);
		world_feed(&w, b.data, b.len, 0);
		if (lies[i].reject < 0) {
			CHECK(w.conn->closing == CLOSING_NOW);
		} else {
			r = world_pdu(&w, &d);
			CHECK(r && bhs_op(r) == PDU_REJECT);
			CHECK_EQ(r[2], lies[i].reject);
			CHECK(memcmp(d, bhs, BHS_LEN) == 0);
			CHECK(w.conn->closing == CLOSING_NO && w.session->n_tasks == 0);
		}
		buf_fini(&b);
		world_fini(&w);
	}
}

static void a_silent_initiator_is_asked_then_dropped(void)
{
	struct world w;
	const uint8_t *r, *d;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	conn_tick(w.conn, (struct mono){ 1000000000u });
	conn_tick(w.conn, (struct mono){ 31500000000u });
	world_run(&w);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_NOP_IN && bhs_itt(r) == TAG_NONE && bhs_ttt(r) != TAG_NONE);
	CHECK(w.conn->closing == CLOSING_NO);
	conn_tick(w.conn, (struct mono){ 62000000000u });
	CHECK(w.conn->closing == CLOSING_NOW);
	world_fini(&w);
}

/* A session whose commands hang must leave memory for the others. */
static void one_session_does_not_take_all_memory(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	const uint8_t *r, *d;
	unsigned full = 0;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS("ImmediateData=No\0"));
	w.hold = true;
	w.pool.bytes_max = 8u << 20;
	cdb_rw(cdb, true, 0, 1024);
	for (unsigned i = 0; i < 16; i++)
		put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 524288, NULL, 0);
	world_feed(&w, b.data, b.len, 0);
	while ((r = world_pdu(&w, &d)))
		full += bhs_op(r) == PDU_SCSI_RESPONSE && r[3] == STATUS_TASK_SET_FULL;
	CHECK_EQ(full, 12);
	CHECK_EQ(w.session->held, 2u << 20);
	session_abort(w.session, NULL, TAG_NONE, NULL);
	CHECK_EQ(w.session->held, 0);
	buf_fini(&b);
	world_fini(&w);
}

static void no_memory_is_task_set_full(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	const uint8_t *r, *d;

	world_init(&w, DISK, 512);
	world_login(&w, KEYS(""));
	w.pool.n_tasks_max = 0;
	cdb_rw(cdb, true, 0, 1);
	put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 512, w.disk, 512);
	world_feed(&w, b.data, b.len, 7);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_SCSI_RESPONSE && r[3] == STATUS_TASK_SET_FULL);
	CHECK(w.conn->closing == CLOSING_NO);
	buf_fini(&b);
	world_fini(&w);
}

int main(void)
{
	RUN(every_split_of_the_stream_gives_the_same_answers);
	RUN(write_data_in_all_four_combinations);
	RUN(data_in_is_cut_and_carries_the_status);
	RUN(data_that_moved_leave_from_their_new_place);
	RUN(residuals_of_both_directions);
	RUN(commands_execute_in_cmdsn_order_and_outside_the_window_not_at_all);
	RUN(answers_that_nobody_reads_are_bounded);
	RUN(an_aborted_task_is_not_answered_and_the_abort_waits_for_it);
	RUN(an_aborted_write_lets_late_data_fall);
	RUN(the_window_closes_and_opens_with_the_load);
	RUN(the_window_closes_with_the_memory);
	RUN(a_gap_in_datasn_ends_the_task_not_the_session);
	RUN(broken_digests_end_the_connection);
	RUN(lies);
	RUN(a_silent_initiator_is_asked_then_dropped);
	RUN(one_session_does_not_take_all_memory);
	RUN(no_memory_is_task_set_full);
	return 0;
}
