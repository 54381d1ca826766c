/* SPDX-License-Identifier: Apache-2.0 */
/* The initiator's machine, PDU by PDU: what it makes of what targets say, right and wrong. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "target/iscsi/chap.h"
#include "target/iscsi/ini.h"
#include "target/task.h"
#include "tests/unit/check.h"

#define KEYS(s) (s), (uint32_t)sizeof(s) - 1
#define DATA 8192u

/* ---- a world of one session whose target is the test ---- */

struct world {
	struct ini_conf conf;
	struct ini_session *s;
	struct ini_conn *c;
	struct buf sent;                /* what the initiator sent, whole */
	size_t at;
	uint32_t statsn, now_ms;
	uint8_t random[CHAP_HASH_MAX + 1];
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	ini_conf_default(&w->conf);
	w->conf.initiator = "iqn.2026-11.test:i";
	w->conf.target = "iqn.2026-11.test:t";
	w->conf.portals[0] = "a";
	w->conf.portals[1] = "b";
	w->conf.n_portals = 2;
	w->conf.depth = 8;
	w->now_ms = 1000;
	w->statsn = 1;
	for (unsigned i = 0; i < sizeof(w->random); i++)
		w->random[i] = (uint8_t)(i + 1);
}

static struct mono tick(struct world *w, uint32_t ms)
{
	w->now_ms += ms;
	return ini_tick(w->s, (struct mono){ w->now_ms * 1000000ull });
}

static void flush(struct world *w)
{
	struct ini_iov iov[8];
	unsigned n;

	while ((n = ini_output(w->c, iov, 8))) {
		size_t all = 0;

		for (unsigned i = 0; i < n; i++) {
			buf_put(&w->sent, iov[i].base, iov[i].len);
			all += iov[i].len;
		}
		ini_sent(w->c, all);
	}
}

/* The next PDU of the initiator; NULL: none. */
static const uint8_t *sent(struct world *w, const uint8_t **data)
{
	const uint8_t *b;
	size_t len;

	flush(w);
	if (w->sent.len - w->at < BHS_LEN)
		return NULL;
	b = w->sent.data + w->at;
	*data = b + BHS_LEN + bhs_ahs_len(b);
	len = BHS_LEN + bhs_ahs_len(b) + bhs_data_len(b) + pdu_pad(bhs_data_len(b));
	CHECK(len <= w->sent.len - w->at);
	w->at += len;
	return b;
}

static const uint8_t *expect(struct world *w, enum pdu_op op)
{
	const uint8_t *data, *b = sent(w, &data);

	CHECK(b);
	CHECK_EQ(bhs_op(b), op);
	return b;
}

static void connect_again(struct world *w)
{
	CHECK_EQ(ini_conn_ask(w->c), INI_ASK_CONNECT);
	ini_connecting(w->c);
	ini_connected(w->c, w->random);
}

static void begin(struct world *w)
{
	w->s = ini_session_new(&w->conf, (struct mono){ w->now_ms * 1000000ull });
	w->c = ini_conn_of(w->s, 0);
	connect_again(w);
}

static void end(struct world *w)
{
	ini_cancel_all(w->s, ERR_CANCELED);
	ini_logout(w->s, 0);
	while (ini_next_done(w->s))
		;
	ini_session_free(&w->s);
	buf_fini(&w->sent);
}

static void target(struct world *w, uint8_t *bhs, const void *data, uint32_t len, bool status)
{
	static const uint8_t zero[4];

	put24(bhs + 5, len);
	if (status)
		put32(bhs + 24, w->statsn++);
	put32(bhs + 28, w->s->cmdsn);
	put32(bhs + 32, w->s->cmdsn + 8);
	ini_feed(w->c, bhs, BHS_LEN);
	if (len) {
		ini_feed(w->c, data, len);
		ini_feed(w->c, zero, pdu_pad(len));
	}
}

static void login_answer(struct world *w, unsigned csg, unsigned nsg, bool transit, uint16_t status, const char *text, uint32_t len)
{
	uint8_t b[BHS_LEN];

	bhs_init(b, PDU_LOGIN_RESPONSE, (uint8_t)((transit ? LOGIN_TRANSIT : 0) | csg << 2 | nsg), 0, 1);
	put16(b + 14, 7);
	put16(b + 36, status);
	target(w, b, text, len, true);
}

static void log_in(struct world *w, const char *keys, uint32_t len)
{
	expect(w, PDU_LOGIN);
	login_answer(w, 0, 1, true, 0, KEYS("AuthMethod=None\0TargetPortalGroupTag=1\0"));
	expect(w, PDU_LOGIN);
	login_answer(w, 1, 3, true, 0, keys, len);
	CHECK_EQ(w->c->state, INI_S5_LOGGED_IN);
}

static void up(struct world *w, const char *keys, uint32_t len)
{
	begin(w);
	log_in(w, keys, len);
}

struct command {
	struct ini_cmd cmd;
	uint8_t cdb[16], sense[32], data[DATA];
	struct ini_iov iov;
};

static void submit(struct world *w, struct command *c, bool write, uint32_t timeout_ms)
{
	memset(&c->cmd, 0, sizeof(c->cmd));
	memset(c->cdb, 0, 16);
	c->cdb[0] = write ? 0x8a : 0x88;
	c->iov = (struct ini_iov){ c->data, DATA };
	c->cmd.cdb = c->cdb;
	c->cmd.cdb_len = 16;
	c->cmd.sense = c->sense;
	c->cmd.sense_max = sizeof(c->sense);
	c->cmd.attr = TASK_SIMPLE;
	c->cmd.read = !write;
	c->cmd.write = write;
	c->cmd.repeat = true;
	c->cmd.in = c->cmd.out = &c->iov;
	c->cmd.n_in = c->cmd.n_out = 1;
	c->cmd.in_len = write ? 0 : DATA;
	c->cmd.out_len = write ? DATA : 0;
	c->cmd.deadline = (struct mono){ (w->now_ms + timeout_ms) * 1000000ull };
	ini_submit(w->s, &c->cmd);
}

static void status(struct world *w, uint32_t itt, uint8_t st, const void *sense, uint32_t len)
{
	uint8_t b[BHS_LEN];

	bhs_init(b, PDU_SCSI_RESPONSE, PDU_FINAL, 0, itt);
	b[3] = st;
	target(w, b, sense, len, true);
}

static bool happened(struct world *w, enum ini_event_kind kind, struct ini_event *ev)
{
	while (ini_next_event(w->s, ev))
		if (ev->kind == kind)
			return true;
	return false;
}

/* ---- login ---- */

static const char *value(const uint8_t *text, uint32_t len, const char *key)
{
	struct key_pair pair;
	size_t at = 0;

	while (keys_next((const char *)text, len, &at, &pair) == 1)
		if (key_is(&pair, key))
			return pair.value;
	return NULL;
}

static void login_offers_and_takes_what_follows(void)
{
	struct world w;
	const uint8_t *b, *text;

	world_init(&w);
	w.conf.header_digest = INI_DIGEST_PREFER;
	begin(&w);
	b = sent(&w, &text);
	CHECK_STR(value(text, bhs_data_len(b), "InitiatorName"), "iqn.2026-11.test:i");
	CHECK_STR(value(text, bhs_data_len(b), "SessionType"), "Normal");
	CHECK_STR(value(text, bhs_data_len(b), "AuthMethod"), "None");
	login_answer(&w, 0, 1, true, 0, KEYS("AuthMethod=None\0"));
	b = sent(&w, &text);
	CHECK_STR(value(text, bhs_data_len(b), "HeaderDigest"), "CRC32C,None");
	CHECK_STR(value(text, bhs_data_len(b), "DataDigest"), "None");
	CHECK_STR(value(text, bhs_data_len(b), "MaxBurstLength"), "1048576");
	CHECK_STR(value(text, bhs_data_len(b), "InitialR2T"), "No");
	login_answer(&w, 1, 3, true, 0, KEYS("HeaderDigest=None\0MaxBurstLength=4096\0FirstBurstLength=8192\0InitialR2T=Yes\0"
					      "DefaultTime2Wait=3\0iSCSIProtocolLevel=NotUnderstood\0MaxRecvDataSegmentLength=1024\0"));
	CHECK_EQ(w.c->state, INI_S5_LOGGED_IN);
	CHECK_EQ(w.s->params.max_burst, 4096);
	CHECK_EQ(w.s->params.first_burst, 4096);        /* never more than a burst */
	CHECK_EQ(w.s->params.initial_r2t, 1);
	CHECK_EQ(w.s->params.time2wait, 3);
	CHECK_EQ(w.c->max_send, 1024);
	CHECK_EQ(w.s->tsih, 7);
	end(&w);
}

static void answers_that_do_not_follow_from_the_offer_end_the_login(void)
{
	static const struct {
		const char *text;
		uint32_t len;
	} bad[] = { { KEYS("MaxBurstLength=16777215\0") }, { KEYS("ImmediateData=Maybe\0") }, { KEYS("MaxOutstandingR2T=0\0") },
		{ KEYS("ErrorRecoveryLevel=2\0") }, { KEYS("HeaderDigest=CRC32C\0") }, { KEYS("MaxConnections=x\0") },
		{ KEYS("MaxBurstLength=512\0MaxBurstLength=512\0") } };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ini_event ev;
		struct world w;

		world_init(&w);
		begin(&w);
		expect(&w, PDU_LOGIN);
		login_answer(&w, 0, 1, true, 0, KEYS("AuthMethod=None\0"));
		expect(&w, PDU_LOGIN);
		login_answer(&w, 1, 3, true, 0, bad[i].text, bad[i].len);
		CHECK_EQ(w.c->state, INI_S1_FREE);
		CHECK(happened(&w, INI_EV_FAILED, &ev));
		end(&w);
	}
}

static void an_offer_that_decides_needs_no_answer(void)
{
	struct world w;

	world_init(&w);
	w.conf.offer.immediate_data = 0;
	w.conf.offer.initial_r2t = 1;
	up(&w, KEYS("MaxBurstLength=4096\0"));
	CHECK_EQ(w.s->params.immediate_data, 0);
	CHECK_EQ(w.s->params.initial_r2t, 1);
	end(&w);
}

static void a_required_digest_is_required(void)
{
	struct world w;
	struct ini_event ev;

	world_init(&w);
	w.conf.data_digest = INI_DIGEST_REQUIRE;
	begin(&w);
	expect(&w, PDU_LOGIN);
	login_answer(&w, 0, 1, true, 0, KEYS("AuthMethod=None\0"));
	expect(&w, PDU_LOGIN);
	login_answer(&w, 1, 3, true, 0, KEYS("DataDigest=None\0"));
	CHECK(happened(&w, INI_EV_FAILED, &ev));
	end(&w);
}

/* One CHAP login; `forge` changes what the target answers. */
enum forge { HONEST, WRONG_RESPONSE, WRONG_NAME, REFLECT, NO_RESPONSE, UNOFFERED, SKIP };

static bool chap(enum forge forge, unsigned algorithm)
{
	struct world w;
	const uint8_t *b, *text;
	struct buf t = { 0 };
	uint8_t challenge[CHAP_HASH_MAX] = { 9, 8, 7 }, theirs[CHAP_HASH_MAX], rsp[CHAP_HASH_MAX], got[CHAP_HASH_MAX];
	char hex[3 + 2 * CHAP_HASH_MAX], n[8];
	size_t len = chap_len(algorithm);
	uint64_t id;
	bool in;

	world_init(&w);
	w.conf.user = "alice";
	w.conf.secret = "secret-of-alice";
	w.conf.target_user = "target";
	w.conf.target_secret = "secret-of-target";
	begin(&w);
	b = sent(&w, &text);
	CHECK_STR(value(text, bhs_data_len(b), "AuthMethod"), "CHAP");
	CHECK(!(b[1] & LOGIN_TRANSIT));
	login_answer(&w, 0, 1, forge == SKIP, 0, forge == SKIP ? "AuthMethod=None" : "AuthMethod=CHAP", sizeof("AuthMethod=None"));
	if (forge == SKIP)
		goto out;
	b = sent(&w, &text);
	CHECK_STR(value(text, bhs_data_len(b), "CHAP_A"), "8,7,6,5");
	if (forge == REFLECT)
		memcpy(challenge, w.random, len);
	snprintf(n, sizeof(n), "%u", forge == UNOFFERED ? 99 : algorithm);
	keys_put(&t, "CHAP_A", n);
	keys_put(&t, "CHAP_I", "17");
	snprintf(hex, sizeof(hex), "0x");
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 + 2 * i, 3, "%02x", challenge[i]);
	keys_put(&t, "CHAP_C", hex);
	login_answer(&w, 0, 1, false, 0, (char *)t.data, (uint32_t)t.len);
	if (forge == REFLECT || forge == UNOFFERED)
		goto out;
	b = sent(&w, &text);
	chap_response(algorithm, 17, "secret-of-alice", challenge, len, rsp);
	CHECK_EQ(keys_binary(value(text, bhs_data_len(b), "CHAP_R"), got, sizeof(got)), len);
	CHECK(memcmp(got, rsp, len) == 0);
	CHECK_STR(value(text, bhs_data_len(b), "CHAP_N"), "alice");
	CHECK_EQ(keys_binary(value(text, bhs_data_len(b), "CHAP_C"), theirs, sizeof(theirs)), len);
	CHECK(keys_number(value(text, bhs_data_len(b), "CHAP_I"), &id) == 0);
	chap_response(algorithm, (uint8_t)id, "secret-of-target", theirs, len, rsp);
	rsp[0] ^= forge == WRONG_RESPONSE;
	for (size_t i = 0; i < len; i++)
		snprintf(hex + 2 + 2 * i, 3, "%02x", rsp[i]);
	buf_reset(&t);
	if (forge != NO_RESPONSE) {
		keys_put(&t, "CHAP_N", forge == WRONG_NAME ? "other" : "target");
		keys_put(&t, "CHAP_R", hex);
	}
	login_answer(&w, 0, 1, true, 0, (char *)t.data, (uint32_t)t.len);
	if (w.c->state == INI_S4_IN_LOGIN) {
		expect(&w, PDU_LOGIN);
		login_answer(&w, 1, 3, true, 0, "", 0);
	}
out:
	in = w.c->state == INI_S5_LOGGED_IN;
	buf_fini(&t);
	end(&w);
	return in;
}

static void chap_proves_both_sides_with_every_hash(void)
{
	for (unsigned a = CHAP_MD5; a <= CHAP_SHA3_256; a++)
		CHECK(chap(HONEST, a));
}

static void a_target_that_cannot_prove_itself_is_left(void)
{
	for (enum forge f = WRONG_RESPONSE; f <= SKIP; f++)
		CHECK(!chap(f, CHAP_SHA256));
}

static void a_redirection_is_followed_and_a_circle_is_not(void)
{
	struct ini_event ev;
	struct world w;

	world_init(&w);
	begin(&w);
	for (unsigned i = 0; i < 8; i++) {
		expect(&w, PDU_LOGIN);
		login_answer(&w, 0, 0, false, LOGIN_MOVED_TEMPORARILY, KEYS("TargetAddress=10.0.0.9:3260,1\0"));
		CHECK_EQ(ini_conn_ask(w.c), INI_ASK_CLOSE);
		ini_closed(w.c);
		CHECK(happened(&w, INI_EV_MOVED, &ev));
		CHECK_STR(ev.text, "10.0.0.9:3260");
		w.at = w.sent.len;
		connect_again(&w);
		CHECK_STR(w.c->address, "10.0.0.9:3260");
	}
	expect(&w, PDU_LOGIN);
	login_answer(&w, 0, 0, false, LOGIN_MOVED_TEMPORARILY, KEYS("TargetAddress=10.0.0.9:3260,1\0"));
	ini_closed(w.c);
	CHECK(!happened(&w, INI_EV_MOVED, &ev));
	CHECK_EQ(ini_conn_ask(w.c), INI_ASK_NONE);      /* not at once */
	tick(&w, 3000);
	connect_again(&w);
	CHECK_STR(w.c->address, "b");                   /* and from the beginning, at the next portal */
	end(&w);
}

/* ---- commands ---- */

static void a_read_lands_in_the_callers_buffer(void)
{
	static struct command c;
	struct world w;
	uint8_t b[BHS_LEN], half[DATA / 2];
	const uint8_t *out;

	world_init(&w);
	up(&w, "", 0);
	submit(&w, &c, false, 30000);
	out = expect(&w, PDU_SCSI_COMMAND);
	CHECK_EQ(out[1], PDU_FINAL | CMD_READ | TASK_SIMPLE);
	CHECK_EQ(get32(out + 20), DATA);
	memset(half, 'x', sizeof(half));
	bhs_init(b, PDU_DATA_IN, 0, 0, bhs_itt(out));
	target(&w, b, half, sizeof(half), false);
	memset(half, 'y', 1000);
	bhs_init(b, PDU_DATA_IN, PDU_FINAL | DATA_IN_STATUS | RSP_UNDERFLOW, 0, bhs_itt(out));
	put32(b + 36, 1);
	put32(b + 40, sizeof(half));
	put32(b + 44, DATA / 2 - 1000);
	target(&w, b, half, 1000, true);
	CHECK(ini_next_done(w.s) == &c.cmd);
	CHECK_EQ(c.cmd.result, 0);
	CHECK_EQ(c.cmd.got, DATA / 2 + 1000);
	CHECK(c.cmd.underflow);
	CHECK_EQ(c.cmd.residual, DATA / 2 - 1000);
	CHECK(c.data[0] == 'x' && c.data[DATA / 2 - 1] == 'x' && c.data[DATA / 2] == 'y' && c.data[DATA / 2 + 999] == 'y');
	CHECK(!ini_next_done(w.s));
	end(&w);
}

static void data_that_was_not_asked_for_touches_nothing(void)
{
	static struct command c;
	static const uint32_t offsets[] = { DATA - 3, DATA, UINT32_MAX - 1 };
	uint8_t b[BHS_LEN];

	for (unsigned i = 0; i < 3; i++) {
		struct world w;
		const uint8_t *out;

		world_init(&w);
		up(&w, "", 0);
		submit(&w, &c, false, 30000);
		out = expect(&w, PDU_SCSI_COMMAND);
		memset(c.data, 'a', DATA);
		bhs_init(b, PDU_DATA_IN, PDU_FINAL, 0, bhs_itt(out));
		put32(b + 40, offsets[i]);
		target(&w, b, "zzzz", 4, false);
		CHECK_EQ(w.c->state, INI_S1_FREE);
		for (unsigned k = 0; k < DATA; k++)
			CHECK(c.data[k] == 'a');
		end(&w);
	}
}

static void a_write_goes_as_was_negotiated(void)
{
	static struct command c;
	struct world w;
	const uint8_t *out, *data;
	uint8_t b[BHS_LEN];
	uint32_t itt;

	world_init(&w);
	up(&w, KEYS("MaxRecvDataSegmentLength=1024\0FirstBurstLength=2560\0MaxBurstLength=4096\0InitialR2T=No\0ImmediateData=Yes\0"));
	submit(&w, &c, true, 30000);
	for (unsigned i = 0; i < DATA; i++)
		c.data[i] = (uint8_t)(i / 7);
	out = sent(&w, &data);          /* immediate */
	itt = bhs_itt(out);
	CHECK_EQ(bhs_data_len(out), 1024);
	CHECK(!(out[1] & PDU_FINAL));
	CHECK(memcmp(data, c.data, 1024) == 0);
	for (unsigned i = 0; i < 2; i++) {      /* unsolicited */
		out = sent(&w, &data);
		CHECK_EQ(bhs_op(out), PDU_DATA_OUT);
		CHECK_EQ(bhs_ttt(out), TAG_NONE);
		CHECK_EQ(get32(out + 36), i);
		CHECK_EQ(get32(out + 40), 1024 * (i + 1));
		CHECK_EQ(bhs_data_len(out), i ? 512 : 1024);
		CHECK_EQ(!!(out[1] & PDU_FINAL), i == 1);
	}
	CHECK(!sent(&w, &data));
	bhs_init(b, PDU_R2T, PDU_FINAL, 0, itt);
	put32(b + 20, 0x55);
	put32(b + 40, 2560);
	put32(b + 44, 1500);
	target(&w, b, NULL, 0, false);
	out = sent(&w, &data);
	CHECK_EQ(bhs_ttt(out), 0x55);
	CHECK(memcmp(data, c.data + 2560, 1024) == 0);
	out = sent(&w, &data);
	CHECK_EQ(bhs_data_len(out), 476);
	CHECK(out[1] & PDU_FINAL);
	CHECK(memcmp(data, c.data + 3584, 476) == 0);
	status(&w, itt, STATUS_GOOD, NULL, 0);
	CHECK(ini_next_done(w.s) == &c.cmd);
	end(&w);
}

static void an_r2t_for_data_that_there_is_not_ends_the_connection(void)
{
	static struct command c;
	uint8_t b[BHS_LEN];

	for (unsigned i = 0; i < 4; i++) {
		struct world w;
		const uint8_t *out;

		world_init(&w);
		up(&w, KEYS("InitialR2T=Yes\0ImmediateData=No\0"));
		submit(&w, &c, i != 3, 30000);
		out = expect(&w, PDU_SCSI_COMMAND);
		bhs_init(b, PDU_R2T, PDU_FINAL, 0, bhs_itt(out));
		put32(b + 40, i == 0 ? DATA : i == 1 ? UINT32_MAX : 0);
		put32(b + 44, i == 2 ? DATA + 1 : 512);
		target(&w, b, NULL, 0, false);
		CHECK_EQ(w.c->state, INI_S1_FREE);
		end(&w);
	}
}

static void the_window_of_the_target_is_kept(void)
{
	static struct command c[8];
	struct world w;
	const uint8_t *data;
	uint8_t b[BHS_LEN];
	unsigned n = 0;

	world_init(&w);
	begin(&w);
	expect(&w, PDU_LOGIN);
	login_answer(&w, 0, 1, true, 0, KEYS("AuthMethod=None\0"));
	expect(&w, PDU_LOGIN);
	login_answer(&w, 1, 3, true, 0, "", 0);
	w.s->max_cmdsn = w.s->cmdsn + 1;        /* two commands */
	for (unsigned i = 0; i < 8; i++)
		submit(&w, &c[i], false, 30000);
	while (sent(&w, &data))
		n++;
	CHECK_EQ(n, 2);
	/* A window that would shrink, or makes no sense, changes nothing; one that grows lets more go. */
	bhs_init(b, PDU_NOP_IN, PDU_FINAL, 0, TAG_NONE);
	put32(b + 20, TAG_NONE);
	put32(b + 28, w.s->cmdsn);
	put32(b + 32, w.s->cmdsn - 2);
	ini_feed(w.c, b, BHS_LEN);
	CHECK(!sent(&w, &data));
	put32(b + 32, w.s->cmdsn + 2);
	ini_feed(w.c, b, BHS_LEN);
	for (n = 0; sent(&w, &data);)
		n++;
	CHECK_EQ(n, 3);
	end(&w);
}

static void sense_data_comes_with_its_status(void)
{
	static const uint8_t answer[] = { 0, 18, 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0x00, 0, 0, 0, 0 };
	static struct command c;
	struct world w;

	world_init(&w);
	up(&w, "", 0);
	submit(&w, &c, false, 30000);
	status(&w, bhs_itt(expect(&w, PDU_SCSI_COMMAND)), STATUS_CHECK_CONDITION, answer, sizeof(answer));
	CHECK(ini_next_done(w.s) == &c.cmd);
	CHECK_EQ(c.cmd.result, 0);
	CHECK_EQ(c.cmd.status, STATUS_CHECK_CONDITION);
	CHECK_EQ(c.cmd.sense_len, 18);
	CHECK_EQ(c.sense[2], 3);
	end(&w);
}

/* ---- what goes wrong ---- */

static void a_lost_session_is_made_anew_and_goes_on(void)
{
	static struct command read, once;
	struct world w;
	struct ini_event ev;
	const uint8_t *data;

	world_init(&w);
	up(&w, KEYS("DefaultTime2Wait=0\0"));
	submit(&w, &read, false, 30000);
	submit(&w, &once, true, 30000);
	once.cmd.repeat = false;
	while (sent(&w, &data))
		;
	ini_lost(w.c, "cut");
	/* What may not be repeated comes back, the other one waits. */
	CHECK(ini_next_done(w.s) == &once.cmd);
	CHECK_EQ(once.cmd.result, ERR_IO);
	CHECK(once.cmd.sent);
	CHECK(!ini_next_done(w.s));
	CHECK(happened(&w, INI_EV_REPLAYED, &ev));
	tick(&w, 0);
	w.at = w.sent.len;
	connect_again(&w);
	CHECK_EQ(get16(w.c->out.small->bhs + 14), 0);           /* a session of its own */
	log_in(&w, "", 0);
	status(&w, bhs_itt(expect(&w, PDU_SCSI_COMMAND)), STATUS_GOOD, NULL, 0);
	CHECK(ini_next_done(w.s) == &read.cmd);
	end(&w);
}

static void attempts_become_rarer_and_go_round_the_portals(void)
{
	struct world w;
	uint32_t waits[4];

	world_init(&w);
	w.s = ini_session_new(&w.conf, (struct mono){ w.now_ms * 1000000ull });
	w.c = ini_conn_of(w.s, 0);
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(ini_conn_ask(w.c), INI_ASK_CONNECT);
		CHECK_STR(w.c->address, i % 2 ? "b" : "a");
		ini_connecting(w.c);
		ini_lost(w.c, "refused");
		CHECK_EQ(ini_conn_ask(w.c), INI_ASK_NONE);
		for (waits[i] = 0; ini_conn_ask(w.c) == INI_ASK_NONE; waits[i] += 50)
			tick(&w, 50);
	}
	CHECK_EQ(waits[0], 100);
	CHECK_EQ(waits[1], 200);
	CHECK_EQ(waits[3], 800);
	end(&w);
}

static void a_deadline_ends_a_command_whatever_the_target_does(void)
{
	static struct command at_target, waiting;
	struct world w;
	const uint8_t *out, *data;
	uint32_t itt;
	uint8_t b[BHS_LEN];

	world_init(&w);
	w.conf.ping_ms = 0;
	w.conf.depth = 1;
	up(&w, "", 0);
	submit(&w, &at_target, false, 2000);
	submit(&w, &waiting, false, 2000);
	itt = bhs_itt(expect(&w, PDU_SCSI_COMMAND));
	tick(&w, 1999);
	CHECK(!ini_next_done(w.s));
	tick(&w, 1);
	CHECK(ini_next_done(w.s) && ini_next_done(w.s));
	CHECK_EQ(at_target.cmd.result, ERR_TIMEOUT);
	CHECK_EQ(waiting.cmd.result, ERR_TIMEOUT);
	CHECK(at_target.cmd.sent && !waiting.cmd.sent);
	/* The target is asked to abort it; its late data goes nowhere, and its tag is free only when it is done with it. */
	out = expect(&w, PDU_TASK_MGMT);
	CHECK_EQ(out[1] & 0x7f, TMF_ABORT_TASK);
	CHECK_EQ(bhs_ttt(out), itt);
	submit(&w, &waiting, false, 2000);
	CHECK(!sent(&w, &data));
	memset(at_target.data, 'a', DATA);
	bhs_init(b, PDU_DATA_IN, PDU_FINAL | DATA_IN_STATUS, 0, itt);
	target(&w, b, "late", 4, true);
	CHECK(at_target.data[0] == 'a');
	CHECK(!ini_next_done(w.s));
	CHECK(bhs_itt(expect(&w, PDU_SCSI_COMMAND)) != itt);
	end(&w);
}

static void silence_is_asked_and_then_given_up(void)
{
	struct world w;
	struct ini_event ev;
	uint8_t b[BHS_LEN];
	const uint8_t *out, *data;

	world_init(&w);
	up(&w, "", 0);
	tick(&w, 0);
	tick(&w, 4000);
	CHECK(!sent(&w, &data));
	tick(&w, 1500);
	out = expect(&w, PDU_NOP_OUT);
	bhs_init(b, PDU_NOP_IN, PDU_FINAL, 0, bhs_itt(out));
	put32(b + 20, TAG_NONE);
	target(&w, b, NULL, 0, true);
	tick(&w, 0);
	tick(&w, 4000);
	CHECK(!sent(&w, &data));
	tick(&w, 1500);
	expect(&w, PDU_NOP_OUT);
	tick(&w, 5000);
	CHECK(happened(&w, INI_EV_DOWN, &ev));
	CHECK_STR(ev.text, "no answer to NOP-Out");
	end(&w);
}

static void the_targets_ping_is_answered(void)
{
	struct world w;
	uint8_t b[BHS_LEN];
	const uint8_t *out;

	world_init(&w);
	up(&w, "", 0);
	bhs_init(b, PDU_NOP_IN, PDU_FINAL, 0, TAG_NONE);
	b[9] = 5;
	put32(b + 20, 77);
	target(&w, b, NULL, 0, false);
	out = expect(&w, PDU_NOP_OUT);
	CHECK_EQ(bhs_itt(out), TAG_NONE);
	CHECK_EQ(bhs_ttt(out), 77);
	CHECK_EQ(out[9], 5);
	CHECK(bhs_immediate(out));
	end(&w);
}

static void a_logout_that_the_target_asks_for_waits_for_the_answers(void)
{
	static struct command c;
	struct world w;
	uint8_t b[BHS_LEN];
	uint32_t itt;
	const uint8_t *out, *data;

	world_init(&w);
	up(&w, KEYS("DefaultTime2Wait=0\0"));
	submit(&w, &c, false, 30000);
	itt = bhs_itt(expect(&w, PDU_SCSI_COMMAND));
	bhs_init(b, PDU_ASYNC, PDU_FINAL, 0, TAG_NONE);
	b[36] = 1;
	put16(b + 42, 10);
	target(&w, b, NULL, 0, true);
	tick(&w, 100);
	CHECK(!sent(&w, &data));
	status(&w, itt, STATUS_GOOD, NULL, 0);
	CHECK(ini_next_done(w.s) == &c.cmd);
	tick(&w, 1);
	out = expect(&w, PDU_LOGOUT);
	bhs_init(b, PDU_LOGOUT_RESPONSE, PDU_FINAL, 0, bhs_itt(out));
	target(&w, b, NULL, 0, true);
	CHECK_EQ(ini_conn_ask(w.c), INI_ASK_CLOSE);
	ini_closed(w.c);
	tick(&w, 200);
	connect_again(&w);
	end(&w);
}

/* The target drops the session, and has taken so many of the two commands. */
static void dropped(bool last_word, unsigned taken)
{
	static struct command first, second;
	struct world w;
	uint8_t b[BHS_LEN];
	uint32_t sn;

	world_init(&w);
	w.conf.last_word = last_word;
	up(&w, KEYS("DefaultTime2Wait=0\0"));
	submit(&w, &first, false, 30000);
	submit(&w, &second, false, 30000);
	first.cmd.repeat = second.cmd.repeat = false;
	sn = bhs_cmdsn(expect(&w, PDU_SCSI_COMMAND));
	expect(&w, PDU_SCSI_COMMAND);
	bhs_init(b, PDU_ASYNC, PDU_FINAL, 0, TAG_NONE);
	b[36] = 3;
	put32(b + 24, w.statsn++);
	put32(b + 28, sn + taken);
	put32(b + 32, sn + taken + 8);
	ini_feed(w.c, b, BHS_LEN);
	CHECK(ini_next_done(w.s) && ini_next_done(w.s));
	CHECK_EQ(first.cmd.result, ERR_IO);
	CHECK_EQ(second.cmd.result, ERR_IO);
	CHECK_EQ(first.cmd.sent, !last_word || taken > 0);
	CHECK_EQ(second.cmd.sent, !last_word || taken > 1);
	end(&w);
}

static void what_a_target_had_not_taken_when_it_dropped_the_session_was_not_executed(void)
{
	for (unsigned taken = 0; taken <= 2; taken++) {
		dropped(true, taken);
		dropped(false, taken);
	}
}

/* One that says nothing of sense is believed nothing. */
static void a_last_word_without_a_window_says_nothing(void)
{
	static struct command c;
	struct world w;
	uint8_t b[BHS_LEN];
	uint32_t sn;

	for (unsigned i = 0; i < 2; i++) {
		world_init(&w);
		w.conf.last_word = true;
		up(&w, KEYS("DefaultTime2Wait=0\0"));
		submit(&w, &c, false, 30000);
		c.cmd.repeat = false;
		sn = bhs_cmdsn(expect(&w, PDU_SCSI_COMMAND));
		bhs_init(b, PDU_ASYNC, PDU_FINAL, 0, TAG_NONE);
		b[36] = 3;
		put32(b + 24, w.statsn++);
		/* Before what was acknowledged; beyond what was sent. */
		put32(b + 28, i ? sn + 5 : sn - 1);
		put32(b + 32, sn + 20);
		ini_feed(w.c, b, BHS_LEN);
		CHECK(ini_next_done(w.s) == &c.cmd);
		CHECK(c.cmd.sent);
		end(&w);
	}
}

static void a_refused_pdu_ends_its_command(void)
{
	static struct command c;
	struct world w;
	uint8_t b[BHS_LEN], bad[BHS_LEN];

	world_init(&w);
	up(&w, "", 0);
	submit(&w, &c, false, 30000);
	memcpy(bad, expect(&w, PDU_SCSI_COMMAND), BHS_LEN);
	bhs_init(b, PDU_REJECT, PDU_FINAL, 0, TAG_NONE);
	b[2] = REJECT_INVALID_FIELD;
	target(&w, b, bad, BHS_LEN, true);
	CHECK(ini_next_done(w.s) == &c.cmd);
	CHECK_EQ(c.cmd.result, ERR_MALFORMED);
	end(&w);
}

static void a_cancel_gives_the_memory_back_even_if_it_is_being_sent(void)
{
	static struct command c;
	struct world w;
	struct ini_iov iov[4];

	world_init(&w);
	up(&w, KEYS("ImmediateData=Yes\0InitialR2T=Yes\0"));
	submit(&w, &c, true, 30000);
	CHECK(ini_output(w.c, iov, 4) >= 2);
	ini_sent(w.c, BHS_LEN + 10);            /* in the middle of the caller's data */
	ini_cancel(w.s, &c.cmd, ERR_CANCELED);
	CHECK(ini_next_done(w.s) == &c.cmd);
	CHECK_EQ(c.cmd.result, ERR_CANCELED);
	CHECK_EQ(c.cmd.wires, 0);
	CHECK_EQ(w.c->state, INI_S1_FREE);      /* there is no other way to take the bytes back */
	end(&w);
}

static void send_targets_over_several_responses(void)
{
	struct world w;
	uint8_t b[BHS_LEN];
	const uint8_t *out;

	world_init(&w);
	w.conf.target = NULL;
	up(&w, "", 0);
	CHECK_EQ(ini_text(w.s, "SendTargets=All", 16, MONO_NEVER), 0);
	CHECK_EQ(ini_text(w.s, "SendTargets=All", 16, MONO_NEVER), ERR_BUSY);
	out = expect(&w, PDU_TEXT);
	CHECK_EQ(bhs_ttt(out), TAG_NONE);
	bhs_init(b, PDU_TEXT_RESPONSE, LOGIN_CONTINUE, 0, bhs_itt(out));
	put32(b + 20, 5);
	target(&w, b, "TargetName=iqn.20", 17, true);
	out = expect(&w, PDU_TEXT);
	CHECK_EQ(bhs_ttt(out), 5);
	CHECK_EQ(bhs_data_len(out), 0);
	bhs_init(b, PDU_TEXT_RESPONSE, PDU_FINAL, 0, bhs_itt(out));
	put32(b + 20, TAG_NONE);
	target(&w, b, "26-11.test:t", 13, true);
	CHECK(w.s->text.done);
	CHECK_EQ(w.s->text.result, 0);
	CHECK_STR((char *)w.s->text.in.data, "TargetName=iqn.2026-11.test:t");
	end(&w);
}

int main(void)
{
	RUN(login_offers_and_takes_what_follows);
	RUN(answers_that_do_not_follow_from_the_offer_end_the_login);
	RUN(an_offer_that_decides_needs_no_answer);
	RUN(a_required_digest_is_required);
	RUN(chap_proves_both_sides_with_every_hash);
	RUN(a_target_that_cannot_prove_itself_is_left);
	RUN(a_redirection_is_followed_and_a_circle_is_not);
	RUN(a_read_lands_in_the_callers_buffer);
	RUN(data_that_was_not_asked_for_touches_nothing);
	RUN(a_write_goes_as_was_negotiated);
	RUN(an_r2t_for_data_that_there_is_not_ends_the_connection);
	RUN(the_window_of_the_target_is_kept);
	RUN(sense_data_comes_with_its_status);
	RUN(a_lost_session_is_made_anew_and_goes_on);
	RUN(attempts_become_rarer_and_go_round_the_portals);
	RUN(a_deadline_ends_a_command_whatever_the_target_does);
	RUN(silence_is_asked_and_then_given_up);
	RUN(the_targets_ping_is_answered);
	RUN(a_logout_that_the_target_asks_for_waits_for_the_answers);
	RUN(what_a_target_had_not_taken_when_it_dropped_the_session_was_not_executed);
	RUN(a_last_word_without_a_window_says_nothing);
	RUN(a_refused_pdu_ends_its_command);
	RUN(a_cancel_gives_the_memory_back_even_if_it_is_being_sent);
	RUN(send_targets_over_several_responses);
	return 0;
}
