/* SPDX-License-Identifier: Apache-2.0 */
/* target/iscsi: several connections in a session, and error recovery levels 1 and 2, PDU by PDU. */
#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/target_world.h"

#define DISK (4u << 20)
#define KEYS(s) (s), sizeof(s) - 1
#define ERL2 "ErrorRecoveryLevel=2\0MaxConnections=4\0DefaultTime2Wait=2\0DefaultTime2Retain=20\0"
#define ERL1 "ErrorRecoveryLevel=1\0MaxConnections=4\0"
#define DIGESTS "HeaderDigest=CRC32C\0DataDigest=CRC32C\0"
#define SECOND 1000000000ull

static uint8_t data[262144];

static void start(struct world *w, const char *keys, size_t len)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	world_init(w, DISK, 512);
	memcpy(w->disk, data, sizeof(data));
	w->policy.ours.max_connections = 4;
	w->policy.ours.erl = 2;
	w->policy.ours.time2wait = 0;
	w->policy.ours.time2retain = 20;
	w->policy.ours.pdu_in_order = w->policy.ours.sequence_in_order = 0;
	w->policy.ours.protocol_level = 2;
	w->policy.ours.task_reporting = REPORTING_FAST_ABORT;
	world_login(w, keys, len);
	w->exp_statsn = w->conn->statsn;
}

static void rw(uint8_t *cdb, bool write, uint32_t lba, uint32_t len)
{
	memset(cdb, 0, 16);
	cdb[0] = write ? 0x2a : 0x28;
	put32(cdb + 2, lba);
	put16(cdb + 7, (uint16_t)(len / 512));
}

static void feed(struct world *w, struct buf *b)
{
	world_feed(w, b->data, b->len, 0);
	buf_reset(b);
}

static uint32_t command(struct world *w, bool write, uint32_t lba, uint32_t len, uint32_t immediate)
{
	struct buf b = { 0 };
	uint8_t cdb[16];
	uint32_t itt;

	rw(cdb, write, lba, len);
	itt = put_command(w, &b, PDU_FINAL | (write ? CMD_WRITE : CMD_READ), cdb, len, data, immediate);
	feed(w, &b);
	buf_fini(&b);
	return itt;
}

static void data_out(struct world *w, uint32_t itt, uint32_t ttt, uint32_t sn, uint32_t at, uint32_t n, bool final)
{
	struct buf b = { 0 };

	put_data_out(w, &b, itt, ttt, sn, at, final, data + at, n);
	feed(w, &b);
	buf_fini(&b);
}

/* Any other PDU: opcode, byte 1, and the fields at 20, 32 or 40. */
static void request(struct world *w, uint8_t op, uint8_t flags, uint32_t itt, uint32_t at20, uint32_t at36, uint32_t at40,
	uint32_t at44)
{
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, (enum pdu_op)op, flags, 0, itt);
	put32(bhs + 20, at20);
	put32(bhs + 24, w->cmdsn);
	put32(bhs + 28, w->exp_statsn);
	put32(bhs + 36, at36);
	put32(bhs + 40, at40);
	put32(bhs + 44, at44);
	pdu_put(&b, bhs, NULL, 0, w->conn->header_digest);
	feed(w, &b);
	buf_fini(&b);
}

static void snack(struct world *w, unsigned type, uint32_t itt, uint32_t ttt, uint32_t begin, uint32_t run)
{
	request(w, PDU_SNACK, (uint8_t)(PDU_FINAL | type), itt, ttt, 0, begin, run);
}

static void tmf(struct world *w, unsigned function, uint32_t ref, uint32_t expdatasn)
{
	request(w, PDU_TASK_MGMT | PDU_IMMEDIATE, (uint8_t)(PDU_FINAL | function), w->itt++, ref, expdatasn, 0, 0);
}

static void logout(struct world *w, unsigned reason, uint16_t cid)
{
	request(w, PDU_LOGOUT | PDU_IMMEDIATE, (uint8_t)(PDU_FINAL | reason), w->itt++, (uint32_t)cid << 16, 0, 0, 0);
}

static const uint8_t *expect(struct world *w, unsigned op, uint32_t itt)
{
	const uint8_t *d, *r = world_pdu(w, &d);

	CHECK(r);
	CHECK_EQ(bhs_op(r), op);
	CHECK_EQ(bhs_itt(r), itt);
	return r;
}

static void nothing(struct world *w)
{
	const uint8_t *d;

	CHECK(!world_pdu(w, &d));
}

static const uint8_t *expect_r2t(struct world *w, uint32_t itt, uint32_t from, uint32_t to)
{
	const uint8_t *r = expect(w, PDU_R2T, itt);

	CHECK_EQ(get32(r + 40), from);
	CHECK_EQ(get32(r + 44), to - from);
	return r;
}

static void expect_good(struct world *w, uint32_t itt)
{
	CHECK_EQ(expect(w, PDU_SCSI_RESPONSE, itt)[3], STATUS_GOOD);
}

/* Data-In of `itt` with these DataSN and their bytes. */
static void expect_data(struct world *w, uint32_t itt, uint32_t from, uint32_t to, uint32_t lba)
{
	for (uint32_t sn = from; sn < to; sn++) {
		const uint8_t *d, *r = world_pdu(w, &d);

		CHECK(r && bhs_op(r) == PDU_DATA_IN && bhs_itt(r) == itt);
		CHECK_EQ(get32(r + 36), sn);
		CHECK(memcmp(d, w->disk + lba * 512 + get32(r + 40), bhs_data_len(r)) == 0);
		CHECK(!(r[1] & DATA_IN_STATUS));
	}
}

static void tick(struct world *w, uint64_t seconds)
{
	if (w->conn)
		conn_tick(w->conn, (struct mono){ seconds * SECOND });
	session_tick(w->session, (struct mono){ seconds * SECOND });
	world_run(w);
}

/* ---- ERL 1 ---- */

static void a_broken_header_costs_one_pdu(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16] = { 0 };
	uint32_t lost, itt;

	start(&w, KEYS(ERL1 DIGESTS));
	lost = put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	b.data[32] ^= 1;
	itt = put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	feed(&w, &b);
	nothing(&w);                                    /* the second waits for the first */
	w.cmdsn -= 2;
	w.itt = lost;
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	feed(&w, &b);
	expect_good(&w, lost);
	expect_good(&w, itt);
	buf_fini(&b);
	world_fini(&w);
}

static void a_broken_length_ends_the_connection(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16] = { 0 };

	start(&w, KEYS(ERL1 DIGESTS));
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	b.data[7] ^= 4;
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	put_command(&w, &b, PDU_FINAL, cdb, 0, NULL, 0);
	feed(&w, &b);
	CHECK(w.conn->closing == CLOSING_NOW);
	buf_fini(&b);
	world_fini(&w);
}

static void immediate_data_that_is_broken_was_not_received(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	const uint8_t *r, *d;
	uint32_t itt;

	start(&w, KEYS(ERL1 DIGESTS));
	rw(cdb, true, 2000, 512);
	itt = put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 512, data, 512);
	b.data[BHS_LEN + DIGEST_LEN + 3] ^= 1;
	feed(&w, &b);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_REJECT && r[2] == REJECT_DATA_DIGEST && bhs_itt(d) == itt);
	CHECK_EQ(get32(r + 28), 1);                     /* ExpCmdSN: still the first */
	CHECK_EQ(w.session->n_tasks, 0);
	w.cmdsn--;
	w.itt--;
	put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 512, data, 512);
	feed(&w, &b);
	expect_good(&w, itt);
	CHECK(memcmp(w.disk + 2000 * 512, data, 512) == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void lost_data_is_asked_for_again_and_only_that(void)
{
	struct world w;
	struct buf b = { 0 };
	uint32_t itt;

	start(&w, KEYS(ERL1 DIGESTS));
	itt = command(&w, true, 2000, 16384, 0);
	expect_r2t(&w, itt, 0, 16384);
	data_out(&w, itt, 0, 0, 0, 4096, false);
	put_data_out(&w, &b, itt, 0, 1, 4096, false, data + 4096, 4096);
	b.data[100] ^= 1;                               /* the digest of its data */
	feed(&w, &b);
	expect(&w, PDU_REJECT, TAG_NONE);
	data_out(&w, itt, 0, 3, 12288, 4096, true);     /* and DataSN 2 never comes */
	expect_r2t(&w, itt, 4096, 12288);
	data_out(&w, itt, 1, 0, 4096, 8192, true);
	expect_good(&w, itt);
	CHECK(memcmp(w.disk + 2000 * 512, data, 16384) == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void data_that_does_not_come_is_asked_for_again(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS(ERL1));
	itt = command(&w, true, 2000, 16384, 0);
	expect_r2t(&w, itt, 0, 16384);
	data_out(&w, itt, 0, 0, 0, 8192, false);
	for (unsigned s = 1; s < 6; s++)
		tick(&w, s);
	expect_r2t(&w, itt, 8192, 16384);
	data_out(&w, itt, 0, 1, 8192, 8192, true);      /* the old answer was only late: it is let fall */
	CHECK(w.conn->closing == CLOSING_NO);
	data_out(&w, itt, 1, 0, 8192, 8192, true);
	expect_good(&w, itt);
	CHECK(memcmp(w.disk + 2000 * 512, data, 16384) == 0);
	world_fini(&w);
}

static void an_r2t_is_sent_again(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS(ERL1 "MaxOutstandingR2T=3\0MaxBurstLength=4096\0"));
	itt = command(&w, true, 2000, 16384, 0);
	for (unsigned i = 0; i < 3; i++)
		expect_r2t(&w, itt, i * 4096, i * 4096 + 4096);
	snack(&w, 0, itt, TAG_NONE, 1, 1);
	CHECK_EQ(get32(expect_r2t(&w, itt, 4096, 8192) + 36), 1);
	snack(&w, 0, itt, TAG_NONE, 1, 0);
	expect_r2t(&w, itt, 4096, 8192);
	expect_r2t(&w, itt, 8192, 12288);
	snack(&w, 0, itt, TAG_NONE, 3, 1);
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_SNACK);
	snack(&w, 0, itt, TAG_NONE, 3, 0);              /* "if there are more": there are not */
	nothing(&w);
	world_fini(&w);
}

/* What comes behind the message is not taken, and the message says so by its ExpCmdSN: whoever sent it may send it elsewhere. */
static void a_session_that_is_dismissed_takes_nothing_more(void)
{
	struct world w;
	uint32_t sn, tasks;
	const uint8_t *r;

	start(&w, KEYS(ERL2));
	sn = w.session->exp_cmdsn;
	tasks = w.session->n_tasks;
	session_dismiss(w.session, "dropped");
	command(&w, true, 2000, 512, 512);
	world_run(&w);
	r = expect(&w, PDU_ASYNC, TAG_NONE);
	CHECK_EQ(r[36], ASYNC_SESSION_DROPS);
	CHECK_EQ(get32(r + 28), sn);
	CHECK_EQ(w.session->exp_cmdsn, sn);
	CHECK_EQ(w.session->n_tasks, tasks);
	CHECK(!session_next_task(w.session));
	nothing(&w);
	world_cut(&w);
	CHECK(session_over(w.session));
	world_fini(&w);
}

static void a_session_that_is_dismissed_is_told(void)
{
	struct world w;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	session_dismiss(w.session, "dropped");
	world_run(&w);
	CHECK_EQ(expect(&w, PDU_ASYNC, TAG_NONE)[36], ASYNC_SESSION_DROPS);
	CHECK(w.conn->closing == CLOSING_FLUSH);
	world_cut(&w);
	world_use(&w, 0);
	CHECK_EQ(expect(&w, PDU_ASYNC, TAG_NONE)[36], ASYNC_SESSION_DROPS);
	world_cut(&w);
	CHECK(session_over(w.session));
	world_fini(&w);
}

static void status_is_sent_again_until_it_is_acknowledged(void)
{
	struct world w;
	uint8_t first[BHS_LEN];
	uint32_t itt, sn;

	start(&w, KEYS(ERL1));
	itt = command(&w, true, 2000, 512, 512);
	memcpy(first, expect(&w, PDU_SCSI_RESPONSE, itt), BHS_LEN);
	sn = get32(first + 24);
	CHECK_EQ(w.session->n_tasks, 1);
	snack(&w, 1, TAG_NONE, TAG_NONE, sn, 1);
	CHECK(memcmp(expect(&w, PDU_SCSI_RESPONSE, itt), first, BHS_LEN) == 0);
	tmf(&w, TMF_QUERY_TASK, 0x7777, 0);
	expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1);
	snack(&w, 1, TAG_NONE, TAG_NONE, sn, 0);        /* all since */
	expect(&w, PDU_SCSI_RESPONSE, itt);
	CHECK_EQ(get32(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1) + 24), sn + 1);
	w.exp_statsn = sn + 2;
	request(&w, PDU_NOP_OUT | PDU_IMMEDIATE, PDU_FINAL, TAG_NONE, TAG_NONE, 0, 0, 0);
	CHECK_EQ(w.session->n_tasks, 0);
	CHECK_EQ(w.conn->n_unacked, 0);
	snack(&w, 1, TAG_NONE, TAG_NONE, sn, 1);
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_PROTOCOL);
	world_fini(&w);
}

static void unacknowledged_status_is_asked_after(void)
{
	struct world w;
	const uint8_t *r;
	uint32_t itt;

	start(&w, KEYS(ERL1));
	itt = command(&w, true, 2000, 512, 512);
	expect_good(&w, itt);
	for (unsigned s = 1; s < 7; s++)
		tick(&w, s);
	r = expect(&w, PDU_NOP_IN, TAG_NONE);
	CHECK(bhs_ttt(r) != TAG_NONE);
	CHECK_EQ(get32(r + 24), w.conn->statsn);
	nothing(&w);
	world_fini(&w);
}

/* What is kept to be sent again is bounded, by its bytes too. */
static void unacknowledged_answers_are_bounded(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];
	unsigned n = 0;

	start(&w, KEYS(ERL1 "MaxRecvDataSegmentLength=262144\0"));
	bhs_init(bhs, PDU_NOP_OUT, PDU_FINAL, 65536, w.itt);
	bhs[0] |= PDU_IMMEDIATE;
	put32(bhs + 20, TAG_NONE);
	put32(bhs + 24, w.cmdsn);
	put32(bhs + 28, w.exp_statsn);
	pdu_put(&b, bhs, data, 65536, false);
	for (; n < 100 && w.conn->closing == CLOSING_NO; n++)
		world_feed(&w, b.data, b.len, 0);
	CHECK(n > 8 && n < 80);
	CHECK(strcmp(w.conn->why, "responses are not acknowledged") == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void data_in_is_sent_again(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS(ERL1 "MaxRecvDataSegmentLength=4096\0MaxBurstLength=10240\0"));
	itt = command(&w, false, 16, 32768, 0);
	expect_data(&w, itt, 0, 10, 16);                /* 3 bursts of 4096, 4096, 2048, and 2048 */
	expect_good(&w, itt);
	snack(&w, 0, itt, TAG_NONE, 2, 3);
	expect_data(&w, itt, 2, 5, 16);
	nothing(&w);
	snack(&w, 0, itt, TAG_NONE, 8, 0);
	expect_data(&w, itt, 8, 10, 16);
	nothing(&w);
	snack(&w, 0, itt, TAG_NONE, 8, 3);
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_SNACK);
	world_fini(&w);
}

static void data_is_acknowledged_once_a_burst(void)
{
	struct world w;
	uint32_t itt, ttt = 0, at = 0;
	const uint8_t *r, *d;
	unsigned asked = 0;

	start(&w, KEYS(ERL1 "MaxRecvDataSegmentLength=4096\0MaxBurstLength=8192\0"));
	itt = command(&w, false, 16, 32768, 0);
	for (; at < 32768; at += 4096) {
		r = world_pdu(&w, &d);
		CHECK(r && bhs_op(r) == PDU_DATA_IN);
		CHECK_EQ(!!(r[1] & DATA_IN_ACK), at % 8192 == 4096 && at + 4096 < 32768);
		if (r[1] & DATA_IN_ACK) {
			asked++;
			ttt = bhs_ttt(r);
		}
	}
	expect_good(&w, itt);
	CHECK_EQ(asked, 3);
	snack(&w, 2, TAG_NONE, ttt, 6, 0);
	nothing(&w);
	snack(&w, 0, itt, TAG_NONE, 5, 1);              /* given up by the acknowledgement */
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_SNACK);
	snack(&w, 2, TAG_NONE, 0x4711, 6, 0);
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_INVALID_DATA_ACK);
	world_fini(&w);
}

static void r_data_snack_cuts_anew(void)
{
	struct world w;
	struct buf b = { 0 };
	const uint8_t *r;
	uint8_t bhs[BHS_LEN];
	uint32_t itt;

	start(&w, KEYS(ERL1 "MaxRecvDataSegmentLength=8192\0"));
	itt = command(&w, false, 16, 16384, 0);
	expect_data(&w, itt, 0, 2, 16);
	expect_good(&w, itt);
	bhs_init(bhs, PDU_TEXT, PDU_FINAL, 30, 900);
	bhs[0] |= PDU_IMMEDIATE;
	put32(bhs + 20, TAG_NONE);
	put32(bhs + 24, w.cmdsn);
	put32(bhs + 28, w.exp_statsn);
	pdu_put(&b, bhs, "MaxRecvDataSegmentLength=2048", 30, false);
	feed(&w, &b);
	expect(&w, PDU_TEXT_RESPONSE, 900);
	snack(&w, 0, itt, TAG_NONE, 0, 0);              /* not as it was: too long now */
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_SNACK);
	snack(&w, 3, itt, 0x1234, 0, 0);
	expect_data(&w, itt, 0, 8, 16);
	r = expect(&w, PDU_SCSI_RESPONSE, itt);
	CHECK_EQ(get32(r + 20), 0x1234);
	CHECK_EQ(get32(r + 36), 8);
	nothing(&w);
	buf_fini(&b);
	world_fini(&w);
}

static void pdus_and_sequences_may_come_in_any_order(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS("DataPDUInOrder=No\0DataSequenceInOrder=No\0MaxOutstandingR2T=4\0MaxBurstLength=8192\0"));
	CHECK_EQ(w.session->params.erl, 0);
	itt = command(&w, true, 2000, 24576, 0);
	for (unsigned i = 0; i < 3; i++)
		expect_r2t(&w, itt, i * 8192, i * 8192 + 8192);
	data_out(&w, itt, 2, 0, 20480, 4096, false);
	data_out(&w, itt, 2, 1, 16384, 4096, true);
	data_out(&w, itt, 0, 0, 4096, 4096, false);
	data_out(&w, itt, 1, 0, 12288, 4096, false);
	data_out(&w, itt, 0, 1, 0, 4096, true);
	nothing(&w);
	data_out(&w, itt, 1, 1, 8192, 4096, true);
	expect_good(&w, itt);
	CHECK(memcmp(w.disk + 2000 * 512, data, 24576) == 0);
	world_fini(&w);
}

/* ---- several connections ---- */

static void commands_of_two_connections_keep_their_order(void)
{
	struct world w;
	uint32_t a, b, c;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	CHECK_EQ(w.session->n_conns, 2);
	w.cmdsn = 2;
	b = command(&w, false, 0, 512, 0);
	nothing(&w);
	world_use(&w, 0);
	w.cmdsn = 1;
	a = command(&w, false, 0, 512, 0);
	expect_data(&w, a, 0, 1, 0);
	expect_good(&w, a);
	world_use(&w, 1);
	expect_data(&w, b, 0, 1, 0);
	expect_good(&w, b);
	w.cmdsn = 3;
	c = command(&w, true, 2000, 512, 0);
	expect_r2t(&w, c, 0, 512);
	world_use(&w, 0);
	data_out(&w, c, 0, 0, 0, 512, true);            /* not its connection */
	nothing(&w);
	world_use(&w, 1);
	data_out(&w, c, 0, 0, 0, 512, true);
	expect_good(&w, c);
	world_fini(&w);
}

/* 11.17.1: nobody waits for an answer to the second command. */
static void a_tag_that_two_connections_use_at_once_is_rejected(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	uint32_t itt;

	start(&w, KEYS(ERL2 "ImmediateData=Yes\0"));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	rw(cdb, true, 2000, 512);
	itt = put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 512, data, 512);
	world_feed(&w, b.data, 100, 0);
	world_use(&w, 0);
	w.itt = itt;
	CHECK_EQ(command(&w, false, 0, 512, 0), itt);   /* its CmdSN comes after that one's */
	nothing(&w);
	world_use(&w, 1);
	world_feed(&w, b.data + 100, b.len - 100, 0);
	CHECK_EQ(expect(&w, PDU_REJECT, TAG_NONE)[2], REJECT_TASK_IN_PROGRESS);
	nothing(&w);
	world_use(&w, 0);
	expect_data(&w, itt, 0, 1, 0);
	expect_good(&w, itt);
	buf_fini(&b);
	world_fini(&w);
}

/* A task is given up in the middle of a Data-Out, and its tag used again elsewhere: the rest goes nowhere. */
static void what_comes_late_for_a_task_that_is_gone_goes_nowhere(void)
{
	struct world w;
	struct buf b = { 0 };
	uint32_t itt, at = 1000;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	w.exp_statsn = w.conn->statsn;
	itt = command(&w, true, 2000, 8192, 0);
	expect_r2t(&w, itt, 0, 8192);
	put_data_out(&w, &b, itt, 0, 0, 0, true, data, 8192);
	world_feed(&w, b.data, at, 0);
	CHECK(w.conn->in.dest);
	for (unsigned s = 1; s < 400 && session_find(w.session, itt)->state != ITASK_ANSWERED; s++) {
		world_feed(&w, b.data + at++, 1, 0);    /* alive, and slow */
		tick(&w, s);
	}
	CHECK_EQ(session_find(w.session, itt)->state, ITASK_ANSWERED);
	world_use(&w, 0);
	w.itt = itt;
	CHECK_EQ(command(&w, true, 4000, 8192, 0), itt);
	expect_r2t(&w, itt, 0, 8192);
	data_out(&w, itt, 0, 0, 0, 4096, false);
	world_use(&w, 1);
	CHECK(!w.conn->in.dest && !w.conn->in.task);
	memset(b.data + at, 0xee, b.len - at);
	world_feed(&w, b.data + at, b.len - at, 0);
	world_use(&w, 0);
	data_out(&w, itt, 0, 1, 4096, 4096, true);
	expect_good(&w, itt);
	CHECK(memcmp(w.disk + 4000 * 512, data, 8192) == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void there_are_not_more_connections_than_negotiated(void)
{
	struct world w;

	start(&w, KEYS("MaxConnections=2\0"));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	CHECK_EQ(world_join(&w, 2, 2, KEYS("")), LOGIN_TOO_MANY);
	CHECK_EQ(world_join(&w, 3, 1, KEYS("")), 0);    /* the same CID takes its place */
	CHECK_EQ(w.session->n_conns, 2);
	world_use(&w, 1);
	CHECK(w.conn->closing == CLOSING_NOW && !w.conn->session);
	world_fini(&w);
}

static void one_lost_connection_is_not_the_session(void)
{
	struct world w;
	uint32_t a, b;

	start(&w, KEYS("MaxConnections=2\0"));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	a = command(&w, true, 2000, 4096, 0);
	expect_r2t(&w, a, 0, 4096);
	world_cut(&w);
	CHECK_EQ(w.session->n_tasks, 0);                /* ERL 0: its task is gone */
	CHECK(!session_over(w.session));
	world_use(&w, 0);
	b = command(&w, true, 2000, 512, 512);
	expect_good(&w, b);
	logout(&w, 0, 0);
	expect(&w, PDU_LOGOUT_RESPONSE, w.itt - 1);
	world_cut(&w);
	CHECK(session_over(w.session));
	world_fini(&w);
}

static void a_connection_is_logged_out_by_another(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	w.hold = true;
	itt = command(&w, false, 0, 512, 0);
	world_use(&w, 0);
	logout(&w, 1, 1);
	nothing(&w);                                    /* its task still runs */
	world_release(&w);
	CHECK_EQ(expect(&w, PDU_LOGOUT_RESPONSE, w.itt - 1)[2], 0);
	CHECK(!session_find(w.session, itt));
	logout(&w, 1, 1);
	CHECK_EQ(expect(&w, PDU_LOGOUT_RESPONSE, w.itt - 1)[2], 1);
	world_use(&w, 1);
	CHECK(w.conn->closing == CLOSING_NOW);
	nothing(&w);
	world_fini(&w);
}

static void a_reset_waits_for_the_commands_before_it(void)
{
	struct world w;
	uint32_t itt, reset;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	w.hold = true;
	world_use(&w, 0);
	w.cmdsn = 2;
	tmf(&w, TMF_LU_RESET, TAG_NONE, 0);             /* before command 1 is here */
	reset = w.itt - 1;
	nothing(&w);
	world_use(&w, 1);
	w.cmdsn = 1;
	itt = command(&w, false, 0, 512, 0);
	CHECK(session_find(w.session, itt)->task.aborted);
	world_release(&w);
	nothing(&w);
	world_use(&w, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, reset)[2], TMF_RSP_COMPLETE);
	world_fini(&w);
}

/* ---- functions that end many tasks, over several connections ---- */

static void nop(struct world *w)
{
	w->exp_statsn = w->conn->statsn;
	request(w, PDU_NOP_OUT | PDU_IMMEDIATE, PDU_FINAL, TAG_NONE, TAG_NONE, 0, 0, 0);
}

static void a_fenced_response_is_alone(void)
{
	struct world w;
	uint32_t a, b, reset;

	start(&w, KEYS("MaxConnections=4\0TaskReporting=ResponseFence\0"));
	nop(&w);
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	a = command(&w, true, 2000, 512, 512);
	expect_good(&w, a);                             /* and not acknowledged yet */
	world_use(&w, 0);
	w.exp_statsn = w.conn->statsn;
	tmf(&w, TMF_LU_RESET, TAG_NONE, 0);
	reset = w.itt - 1;
	b = command(&w, true, 2000, 512, 512);
	nothing(&w);
	world_use(&w, 1);
	expect(&w, PDU_NOP_IN, TAG_NONE);               /* what about that status? */
	nop(&w);
	nothing(&w);
	world_use(&w, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, reset)[2], TMF_RSP_COMPLETE);
	expect(&w, PDU_NOP_IN, TAG_NONE);
	nothing(&w);                                    /* command b has been done, and waits */
	nop(&w);
	expect_good(&w, b);
	CHECK(!w.session->fences);
	world_use(&w, 1);
	a = command(&w, true, 2000, 512, 512);
	expect_good(&w, a);
	world_fini(&w);
}

static void a_fence_falls_with_its_connection(void)
{
	struct world w;
	uint32_t a;

	start(&w, KEYS("MaxConnections=4\0TaskReporting=ResponseFence\0"));
	nop(&w);
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	world_use(&w, 0);
	tmf(&w, TMF_LU_RESET, TAG_NONE, 0);
	world_use(&w, 1);
	expect(&w, PDU_NOP_IN, TAG_NONE);
	a = command(&w, true, 2000, 512, 512);
	nothing(&w);
	world_use(&w, 0);
	world_cut(&w);
	world_run(&w);
	world_use(&w, 1);
	expect_good(&w, a);
	world_fini(&w);
}

static void fast_abort_tells_the_other_connections(void)
{
	struct world w;
	const uint8_t *r;
	uint32_t a;

	start(&w, KEYS("MaxConnections=4\0TaskReporting=FastAbort,RFC3720\0"));
	CHECK_EQ(w.session->params.task_reporting, REPORTING_FAST_ABORT);
	nop(&w);
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	a = command(&w, true, 2000, 4096, 0);
	expect_r2t(&w, a, 0, 4096);
	command(&w, true, 2100, 4096, 0);
	world_use(&w, 0);
	tmf(&w, TMF_ABORT_TASK_SET, TAG_NONE, 0);
	world_use(&w, 1);
	expect(&w, PDU_R2T, a + 1);
	r = expect(&w, PDU_ASYNC, TAG_NONE);
	CHECK_EQ(r[36], ASYNC_TASKS_TERMINATED);
	expect(&w, PDU_NOP_IN, TAG_NONE);
	nothing(&w);                                    /* one for the LUN, not one for each task */
	nop(&w);
	world_use(&w, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_COMPLETE);
	CHECK_EQ(w.session->n_tasks, 0);
	world_fini(&w);
}

static void fast_abort_tells_once_of_each_unit(void)
{
	static const uint8_t luns[5][2] = { { 0, 0 }, { 0, 1 }, { 0x40, 1 }, { 0x41, 1 }, { 0, 0 } };
	struct task_choice all = { .itt = TAG_NONE };
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	uint32_t itt;

	start(&w, KEYS("MaxConnections=4\0TaskReporting=FastAbort,RFC3720\0"));
	rw(cdb, true, 2000, 4096);
	for (unsigned i = 0; i < 5; i++) {
		itt = put_command(&w, &b, PDU_FINAL | CMD_WRITE, cdb, 4096, data, 0);
		memcpy(b.data + 8, luns[i], 2);
		feed(&w, &b);
		expect_r2t(&w, itt, 0, 4096);
	}
	session_abort_notice(w.session, &all, NULL);
	world_run(&w);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(expect(&w, PDU_ASYNC, TAG_NONE)[36], ASYNC_TASKS_TERMINATED);
	nothing(&w);
	buf_fini(&b);
	world_fini(&w);
}

/* 4.2.3.3 c: a function is answered when the tasks that it is to end have ended, whoever asked for that before. */
static void a_second_function_waits_for_the_same_tasks(void)
{
	struct world w;
	uint32_t a, b, first;

	start(&w, KEYS(""));
	w.hold = true;
	a = command(&w, false, 0, 512, 0);
	b = command(&w, false, 0, 512, 0);
	first = w.itt;
	tmf(&w, TMF_ABORT_TASK, a, 0);
	tmf(&w, TMF_ABORT_TASK, a, 0);                  /* asked for again: the initiator has lost patience */
	tmf(&w, TMF_ABORT_TASK, b, 0);
	tmf(&w, TMF_LU_RESET, TAG_NONE, 0);
	tmf(&w, TMF_ABORT_TASK, b, 0);
	nothing(&w);
	CHECK_EQ(w.n_held, 2);
	w.held[0]->status = STATUS_GOOD;
	conn_task_done(w.held[0]);
	w.held[0] = w.held[--w.n_held];
	world_run(&w);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, first)[2], TMF_RSP_COMPLETE);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, first + 1)[2], TMF_RSP_COMPLETE);
	nothing(&w);
	world_release(&w);
	for (unsigned i = 2; i < 5; i++)
		CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, first + i)[2], TMF_RSP_COMPLETE);
	nothing(&w);
	CHECK(w.session->n_tmfs == 0 && !w.session->tmfs);
	world_fini(&w);
}

static void functions_that_are_due_at_once_keep_their_order(void)
{
	struct world w;
	uint32_t itt, first;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	world_use(&w, 0);
	w.cmdsn = 2;
	first = w.itt;
	tmf(&w, TMF_ABORT_TASK_SET, TAG_NONE, 0);       /* before command 1 is here */
	tmf(&w, TMF_LU_RESET, TAG_NONE, 0);
	nothing(&w);
	world_use(&w, 1);
	w.cmdsn = 1;
	itt = command(&w, true, 2000, 4096, 0);
	CHECK(!session_find(w.session, itt));
	world_use(&w, 0);
	expect(&w, PDU_TASK_MGMT_RESPONSE, first);
	expect(&w, PDU_TASK_MGMT_RESPONSE, first + 1);
	world_fini(&w);
}

static void functions_of_rfc_7144_need_its_level(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS(""));
	tmf(&w, TMF_QUERY_TASK, 1, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_NOT_SUPPORTED);
	world_fini(&w);
	start(&w, KEYS("iSCSIProtocolLevel=2\0"));
	w.hold = true;
	itt = command(&w, false, 0, 512, 0);
	tmf(&w, TMF_QUERY_TASK, itt, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_SUCCEEDED);
	tmf(&w, TMF_CLEAR_ACA, TAG_NONE, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_NOT_SUPPORTED);
	world_fini(&w);
}

/* ---- ERL 2 ---- */

/* Connection 1 has `itt` and is lost; connection 0 logs it out for recovery and reassigns the task. */
static void lose_and_reassign(struct world *w, uint32_t itt, uint32_t expdatasn)
{
	const uint8_t *r;

	world_use(w, 1);
	world_cut(w);
	world_use(w, 0);
	w->exp_statsn = w->conn->acked;
	tmf(w, TMF_TASK_REASSIGN, itt, expdatasn);
	CHECK_EQ(expect(w, PDU_TASK_MGMT_RESPONSE, w->itt - 1)[2], TMF_RSP_TASK_ALLEGIANT);
	logout(w, 2, 1);
	r = expect(w, PDU_LOGOUT_RESPONSE, w->itt - 1);
	CHECK_EQ(r[2], 0);
	CHECK_EQ(get16(r + 40), 2);
	CHECK_EQ(get16(r + 42), 20);
	tmf(w, TMF_TASK_REASSIGN, itt, expdatasn);
	CHECK_EQ(expect(w, PDU_TASK_MGMT_RESPONSE, w->itt - 1)[2], TMF_RSP_COMPLETE);
}

static void two(struct world *w)
{
	start(w, KEYS(ERL2 "MaxRecvDataSegmentLength=4096\0InitialR2T=No\0FirstBurstLength=8192\0"));
	CHECK_EQ(world_join(w, 1, 1, KEYS("MaxRecvDataSegmentLength=4096\0")), 0);
	w->exp_statsn = w->conn->statsn;
}

static void a_write_goes_on_with_what_is_missing(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t cdb[16];
	uint32_t itt;

	two(&w);
	rw(cdb, true, 2000, 16384);
	itt = put_command(&w, &b, CMD_WRITE, cdb, 16384, data, 4096);
	put_data_out(&w, &b, itt, TAG_NONE, 0, 4096, false, data + 4096, 2048);
	feed(&w, &b);
	lose_and_reassign(&w, itt, 0);
	expect_r2t(&w, itt, 6144, 8192);
	data_out(&w, itt, 0, 0, 6144, 2048, true);
	expect_r2t(&w, itt, 8192, 16384);
	data_out(&w, itt, 1, 0, 8192, 8192, true);
	expect_good(&w, itt);
	CHECK(memcmp(w.disk + 2000 * 512, data, 16384) == 0);
	buf_fini(&b);
	world_fini(&w);
}

static void a_running_task_answers_where_it_is_then(void)
{
	struct world w;
	uint32_t itt;

	two(&w);
	w.hold = true;
	itt = command(&w, false, 8, 8192, 0);
	CHECK_EQ(session_find(w.session, itt)->state, ITASK_RUNNING);
	lose_and_reassign(&w, itt, 0);
	world_release(&w);
	expect_data(&w, itt, 0, 2, 8);
	expect_good(&w, itt);
	world_fini(&w);
}

static void a_task_that_ended_meanwhile_keeps_its_answer(void)
{
	struct world w;
	uint32_t itt;

	two(&w);
	w.hold = true;
	itt = command(&w, false, 8, 8192, 0);
	world_cut(&w);
	world_release(&w);
	CHECK_EQ(session_find(w.session, itt)->state, ITASK_PARKED);
	lose_and_reassign(&w, itt, 0);
	expect_data(&w, itt, 0, 2, 8);
	expect_good(&w, itt);
	world_fini(&w);
}

static void an_answer_that_was_sent_goes_on_where_the_initiator_says(void)
{
	struct world w;
	uint32_t itt;

	two(&w);
	itt = command(&w, false, 8, 16384, 0);
	expect_data(&w, itt, 0, 4, 8);
	expect_good(&w, itt);
	CHECK_EQ(session_find(w.session, itt)->state, ITASK_ANSWERED);
	lose_and_reassign(&w, itt, 3);
	expect_data(&w, itt, 3, 4, 8);
	expect_good(&w, itt);
	nothing(&w);
	world_fini(&w);
}

static void a_task_whose_turn_has_not_come_waits_for_it(void)
{
	struct world w;
	uint32_t a, b;

	two(&w);
	w.cmdsn = 2;
	b = command(&w, false, 8, 512, 0);
	CHECK_EQ(session_find(w.session, b)->state, ITASK_HELD);
	w.cmdsn = 1;
	lose_and_reassign(&w, b, 0);
	nothing(&w);
	a = command(&w, false, 8, 512, 0);
	expect_data(&w, a, 0, 1, 8);
	expect_good(&w, a);
	expect_data(&w, b, 0, 1, 8);
	expect_good(&w, b);
	world_fini(&w);
}

static void an_acknowledged_task_is_not_there_any_more(void)
{
	struct world w;
	uint32_t itt;

	two(&w);
	itt = command(&w, false, 8, 512, 0);
	w.exp_statsn = w.conn->statsn;
	request(&w, PDU_NOP_OUT | PDU_IMMEDIATE, PDU_FINAL, TAG_NONE, TAG_NONE, 0, 0, 0);
	world_cut(&w);
	world_use(&w, 0);
	logout(&w, 2, 1);
	expect(&w, PDU_LOGOUT_RESPONSE, w.itt - 1);
	tmf(&w, TMF_TASK_REASSIGN, itt, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_NO_TASK);
	world_fini(&w);
}

static void the_same_cid_again_takes_over(void)
{
	struct world w;
	uint32_t itt;

	two(&w);
	itt = command(&w, true, 2000, 4096, 0);
	expect_r2t(&w, itt, 0, 4096);
	CHECK_EQ(world_join(&w, 2, 1, KEYS("")), 0);
	w.exp_statsn = w.conn->statsn;
	tmf(&w, TMF_TASK_REASSIGN, itt, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_COMPLETE);
	expect_r2t(&w, itt, 0, 4096);
	data_out(&w, itt, 1, 0, 0, 4096, true);
	expect_good(&w, itt);
	world_fini(&w);
}

static void a_session_outlives_its_last_connection_for_a_time(void)
{
	struct world w;
	uint32_t itt;

	two(&w);
	itt = command(&w, true, 2000, 4096, 0);
	world_cut(&w);
	world_use(&w, 0);
	world_cut(&w);
	CHECK_EQ(w.session->state, SESSION_Q4_FAILED);
	tick(&w, 1);
	tick(&w, 22);
	CHECK(session_find(w.session, itt) != NULL);
	CHECK_EQ(world_join(&w, 2, 5, KEYS("")), 0);
	CHECK_EQ(w.session->state, SESSION_Q3_LOGGED_IN);
	world_cut(&w);
	tick(&w, 30);
	CHECK(!session_over(w.session));
	tick(&w, 53);
	CHECK(session_over(w.session));
	CHECK_EQ(w.session->n_tasks, 0);
	CHECK_EQ(world_join(&w, 3, 6, KEYS("")), LOGIN_NO_SESSION);
	world_fini(&w);
}

static void what_is_not_reassigned_in_time_ends(void)
{
	struct world w;

	two(&w);
	command(&w, true, 2000, 4096, 0);
	world_cut(&w);
	world_use(&w, 0);
	tick(&w, 1);
	CHECK_EQ(w.session->n_tasks, 1);
	tick(&w, 24);
	CHECK_EQ(w.session->n_tasks, 0);
	logout(&w, 2, 1);
	CHECK_EQ(expect(&w, PDU_LOGOUT_RESPONSE, w.itt - 1)[2], 1);
	world_fini(&w);
}

static void below_erl_2_nothing_is_recovered(void)
{
	struct world w;
	uint32_t itt;

	start(&w, KEYS(ERL1));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	itt = command(&w, true, 2000, 4096, 0);
	world_cut(&w);
	world_use(&w, 0);
	logout(&w, 2, 1);
	CHECK_EQ(expect(&w, PDU_LOGOUT_RESPONSE, w.itt - 1)[2], 2);
	tmf(&w, TMF_TASK_REASSIGN, itt, 0);
	CHECK_EQ(expect(&w, PDU_TASK_MGMT_RESPONSE, w.itt - 1)[2], TMF_RSP_NO_REASSIGN);
	world_fini(&w);
}

int main(void)
{
	RUN(a_broken_header_costs_one_pdu);
	RUN(a_broken_length_ends_the_connection);
	RUN(immediate_data_that_is_broken_was_not_received);
	RUN(lost_data_is_asked_for_again_and_only_that);
	RUN(data_that_does_not_come_is_asked_for_again);
	RUN(an_r2t_is_sent_again);
	RUN(a_session_that_is_dismissed_takes_nothing_more);
	RUN(a_session_that_is_dismissed_is_told);
	RUN(status_is_sent_again_until_it_is_acknowledged);
	RUN(unacknowledged_status_is_asked_after);
	RUN(unacknowledged_answers_are_bounded);
	RUN(data_in_is_sent_again);
	RUN(data_is_acknowledged_once_a_burst);
	RUN(r_data_snack_cuts_anew);
	RUN(pdus_and_sequences_may_come_in_any_order);
	RUN(commands_of_two_connections_keep_their_order);
	RUN(a_tag_that_two_connections_use_at_once_is_rejected);
	RUN(what_comes_late_for_a_task_that_is_gone_goes_nowhere);
	RUN(there_are_not_more_connections_than_negotiated);
	RUN(one_lost_connection_is_not_the_session);
	RUN(a_connection_is_logged_out_by_another);
	RUN(a_reset_waits_for_the_commands_before_it);
	RUN(a_fenced_response_is_alone);
	RUN(a_fence_falls_with_its_connection);
	RUN(fast_abort_tells_the_other_connections);
	RUN(fast_abort_tells_once_of_each_unit);
	RUN(a_second_function_waits_for_the_same_tasks);
	RUN(functions_that_are_due_at_once_keep_their_order);
	RUN(functions_of_rfc_7144_need_its_level);
	RUN(a_write_goes_on_with_what_is_missing);
	RUN(a_running_task_answers_where_it_is_then);
	RUN(a_task_that_ended_meanwhile_keeps_its_answer);
	RUN(an_answer_that_was_sent_goes_on_where_the_initiator_says);
	RUN(a_task_whose_turn_has_not_come_waits_for_it);
	RUN(an_acknowledged_task_is_not_there_any_more);
	RUN(the_same_cid_again_takes_over);
	RUN(a_session_outlives_its_last_connection_for_a_time);
	RUN(what_is_not_reassigned_in_time_ends);
	RUN(below_erl_2_nothing_is_recovered);
	return 0;
}
