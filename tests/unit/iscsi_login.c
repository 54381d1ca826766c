/* SPDX-License-Identifier: Apache-2.0 */
/* target/iscsi: the login phase, with and without CHAP, and everything that must be refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "target/iscsi/chap.h"
#include "tests/unit/check.h"
#include "tests/unit/target_world.h"

#define DISK (1u << 20)
#define KEYS(s) (s), sizeof(s) - 1

/* Send one login request and give the response's status; text of it in *answer (lent until the next). */
static unsigned request(struct world *w, unsigned csg, unsigned nsg, bool transit, const char *text,
	size_t len, const char **answer,
                        uint8_t *flags)
{
	struct buf b = { 0 };
	const uint8_t *bhs, *data;

	put_login(&b, csg, nsg, transit, text, len);
	world_feed(w, b.data, b.len, 0);
	buf_fini(&b);
	bhs = world_pdu(w, &data);
	CHECK(bhs && bhs_op(bhs) == PDU_LOGIN_RESPONSE);
	if (answer)
		*answer = (const char *)data;
	if (flags)
		*flags = bhs[1];
	return get16(bhs + 36);
}

/* The value of a key in a response. */
static const char *value(const char *text, const char *name)
{
	static char v[512];
	const char *s = text;

	for (unsigned i = 0; i < 64 && *s; i++, s += strlen(s) + 1)
		if (strncmp(s, name, strlen(name)) == 0 && s[strlen(name)] == '=') {
			snprintf(v, sizeof(v), "%s", s + strlen(name) + 1);
			return v;
		}
	return NULL;
}

static void without_security_in_one_request(void)
{
	struct world w;
	const char *text;
	uint8_t flags;

	world_init(&w, DISK, 512);
	CHECK_EQ(request(&w, 1, 3, true, KEYS(LOGIN_KEYS "HeaderDigest=CRC32C,None\0MaxBurstLength=1048576\0"), &text, &flags), 0);
	CHECK_EQ(flags, LOGIN_TRANSIT | 1 << 2 | 3);
	CHECK_STR(value(text, "HeaderDigest"), "CRC32C");
	CHECK_STR(value(text, "MaxBurstLength"), "65536");
	CHECK_STR(value(text, "TargetPortalGroupTag"), "1");
	CHECK_STR(value(text, "MaxRecvDataSegmentLength"), "65536");
	CHECK(w.conn->state == CONN_S5_LOGGED_IN && w.session->tsih == 7);
	world_fini(&w);
}

static void both_stages(void)
{
	struct world w;
	const char *text;
	uint8_t flags;

	world_init(&w, DISK, 512);
	CHECK_EQ(request(&w, 0, 1, true, KEYS(LOGIN_KEYS "AuthMethod=CHAP,None\0"), &text, &flags), 0);
	CHECK_EQ(flags, LOGIN_TRANSIT | 1);
	CHECK_STR(value(text, "AuthMethod"), "None");
	CHECK_EQ(request(&w, 1, 3, false, KEYS("ErrorRecoveryLevel=2\0"), &text, &flags), 0);
	CHECK_EQ(flags, 1 << 2);
	CHECK_STR(value(text, "ErrorRecoveryLevel"), "0");
	CHECK_EQ(request(&w, 1, 3, true, KEYS(""), &text, &flags), 0);
	CHECK(w.conn->state == CONN_S5_LOGGED_IN);
	world_fini(&w);
}

static void keys_continue_over_requests(void)
{
	struct world w;
	struct buf b = { 0 };
	const uint8_t *bhs, *data;
	const char *text;

	world_init(&w, DISK, 512);
	put_login(&b, 1, 0, false, KEYS("InitiatorName=iqn.2026-11.test:i\0TargetNa"));
	b.data[1] |= LOGIN_CONTINUE;
	world_feed(&w, b.data, b.len, 0);
	bhs = world_pdu(&w, &data);
	CHECK(bhs && get16(bhs + 36) == 0 && bhs_data_len(bhs) == 0 && !(bhs[1] & LOGIN_TRANSIT));
	CHECK_EQ(request(&w, 1, 3, true, KEYS("me=iqn.2026-11.test:t\0InitialR2T=No\0"), &text, NULL), 0);
	CHECK_STR(value(text, "InitialR2T"), "No");
	CHECK_STR(w.session->target, "iqn.2026-11.test:t");
	buf_fini(&b);
	world_fini(&w);
}

/* An answer longer than one response comes in parts, each asked for by an empty request. */
static void a_long_answer_comes_in_parts(void)
{
	struct world w;
	struct buf t = { 0 }, got = { 0 };
	const char *text;
	uint8_t flags = 0;
	unsigned parts = 0;

	world_init(&w, DISK, 512);
	buf_put(&t, KEYS(LOGIN_KEYS));
	for (unsigned i = 0; i < 120; i++) {
		buf_printf(&t, "X-a-key-with-quite-a-long-name-of-nearly-sixty-bytes-%03u=1", i);
		buf_put(&t, "", 1);
	}
	CHECK_EQ(request(&w, 1, 3, true, (char *)t.data, t.len, &text, &flags), 0);
	while (flags & LOGIN_CONTINUE && ++parts < 10)
		CHECK_EQ(request(&w, 1, 3, true, KEYS(""), &text, &flags), 0);
	CHECK(parts >= 1);
	CHECK_EQ(request(&w, 1, 3, true, KEYS(""), &text, &flags), 0);
	CHECK(w.conn->state == CONN_S5_LOGGED_IN);
	buf_fini(&t);
	buf_fini(&got);
	world_fini(&w);
}

static void secure(struct world *w, bool mutual)
{
	world_init(w, DISK, 512);
	w->policy.user = "alice";
	w->policy.secret = "secret-of-alice";
	w->policy.mutual_user = mutual ? "target" : NULL;
	w->policy.mutual_secret = mutual ? "secret-of-target" : NULL;
	w->policy.chap_id = 77;
	memset(w->policy.challenge, 0x42, sizeof(w->policy.challenge));
}

/* Up to the challenge; the response is for `secret`. Returns the text with CHAP_N and CHAP_R. */
static void chap_text(struct world *w, const char *algorithms, unsigned algorithm, const char *user,
	const char *secret, struct buf *t)
{
	struct buf a = { 0 };
	const char *text;
	uint8_t challenge[64], response[CHAP_HASH_MAX];
	char hex[2 * CHAP_HASH_MAX + 1];
	long n;

	CHECK_EQ(request(w, 0, 1, false, KEYS(LOGIN_KEYS "AuthMethod=CHAP,None\0"), &text, NULL), 0);
	CHECK_STR(value(text, "AuthMethod"), "CHAP");
	buf_printf(&a, "CHAP_A=%s", algorithms);
	buf_put(&a, "", 1);
	CHECK_EQ(request(w, 0, 1, false, (char *)a.data, a.len, &text, NULL), 0);
	CHECK_EQ(atoi(value(text, "CHAP_A")), algorithm);
	CHECK_STR(value(text, "CHAP_I"), "77");
	n = keys_binary(value(text, "CHAP_C"), challenge, sizeof(challenge));
	CHECK_EQ(n, chap_len(algorithm));
	chap_response(algorithm, 77, secret, challenge, (size_t)n, response);
	buf_printf(t, "CHAP_N=%s", user);
	buf_put(t, "", 1);
	buf_printf(t, "CHAP_R=0x%s", text_hex(response, chap_len(algorithm), hex));
	buf_put(t, "", 1);
	buf_fini(&a);
}

static void chap_one_way_with_every_algorithm(void)
{
	for (unsigned algorithm = 5; algorithm <= 8; algorithm++) {
		struct world w;
		struct buf t = { 0 };
		char list[16];
		uint8_t flags;

		secure(&w, false);
		snprintf(list, sizeof(list), "99,%u,5", algorithm);
		chap_text(&w, list, algorithm, "alice", "secret-of-alice", &t);
		CHECK_EQ(request(&w, 0, 1, true, (char *)t.data, t.len, NULL, &flags), 0);
		CHECK_EQ(flags, LOGIN_TRANSIT | 1);
		CHECK_EQ(request(&w, 1, 3, true, KEYS(""), NULL, NULL), 0);
		CHECK(w.conn->state == CONN_S5_LOGGED_IN);
		buf_fini(&t);
		world_fini(&w);
	}
}

static void chap_mutual_proves_us(void)
{
	struct world w;
	struct buf t = { 0 };
	const char *text;
	uint8_t want[CHAP_HASH_MAX], got[CHAP_HASH_MAX];

	secure(&w, true);
	chap_text(&w, "7", 7, "alice", "secret-of-alice", &t);
	buf_put(&t, KEYS("CHAP_I=9\0CHAP_C=0x0102030405060708\0"));
	CHECK_EQ(request(&w, 0, 1, true, (char *)t.data, t.len, &text, NULL), 0);
	chap_response(7, 9, "secret-of-target", (const uint8_t *)"\1\2\3\4\5\6\7\10", 8, want);
	CHECK_EQ(keys_binary(value(text, "CHAP_R"), got, sizeof(got)), 32);
	CHECK(memcmp(want, got, 32) == 0);
	CHECK_STR(value(text, "CHAP_N"), "target");
	buf_fini(&t);
	world_fini(&w);
}

static void wrong_secret_or_user_is_refused(void)
{
	static const char *const tries[][2] = { { "alice", "wrong" }, { "mallory", "secret-of-alice" } };

	for (unsigned i = 0; i < 2; i++) {
		struct world w;
		struct buf t = { 0 };

		secure(&w, false);
		chap_text(&w, "5", 5, tries[i][0], tries[i][1], &t);
		CHECK_EQ(request(&w, 0, 1, true, (char *)t.data, t.len, NULL, NULL), LOGIN_AUTH_FAILED);
		CHECK(w.conn->closing == CLOSING_FLUSH && !w.session);
		buf_fini(&t);
		world_fini(&w);
	}
}

/* The secret is asked for when the user is known; any of several will do. */
static void the_secret_may_depend_on_the_user(void)
{
	static const char *const secrets[] = { "a-newer-one", "secret-of-7" };
	static const struct {
		const char *user, *secret;
		unsigned n, status;
	} tries[] = {
		{ "7", "secret-of-7", 2, LOGIN_OK },
		{ "7", "a-newer-one", 2, LOGIN_OK },
		{ "7", "secret-of-7", 1, LOGIN_AUTH_FAILED },
		{ "7", "", 0, LOGIN_AUTH_FAILED },
		{ "", "secret-of-7", 0, LOGIN_AUTH_FAILED },
	};

	for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct world w;
		struct buf t = { 0 };

		secure(&w, false);
		w.policy.user = w.policy.secret = NULL;
		w.policy.by_user = true;
		w.secrets = secrets;
		w.n_secrets = tries[i].n;
		chap_text(&w, "8", 8, tries[i].user, tries[i].secret, &t);
		CHECK_EQ(request(&w, 0, 1, true, (char *)t.data, t.len, NULL, NULL), tries[i].status);
		if (tries[i].status == LOGIN_OK) {
			CHECK_STR(w.conn->login->user, "7");
			CHECK_EQ(request(&w, 1, 3, true, KEYS(""), NULL, NULL), 0);
		}
		CHECK((w.conn->state == CONN_S5_LOGGED_IN) == (tries[i].status == LOGIN_OK));
		buf_fini(&t);
		world_fini(&w);
	}
}

/* Where there is no secret yet, nothing proves that there is. */
static void nobody_is_let_in_without_a_proof(void)
{
	static const char *const texts[] = { "CHAP_N=7", "CHAP_R=0x00", "CHAP_A=8", "X=1" };

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct world w;
		struct buf t = { 0 };

		secure(&w, false);
		w.policy.user = w.policy.secret = NULL;
		w.policy.by_user = true;
		chap_text(&w, "8", 8, "7", "x", &t);
		buf_reset(&t);
		buf_put(&t, texts[i], strlen(texts[i]) + 1);
		request(&w, 0, 3, true, (char *)t.data, t.len, NULL, NULL);
		CHECK(w.conn->state != CONN_S5_LOGGED_IN && !w.session);
		buf_fini(&t);
		world_fini(&w);
	}
}

static void a_reflected_challenge_is_refused(void)
{
	struct world w;
	struct buf t = { 0 };
	char hex[65];

	secure(&w, true);
	chap_text(&w, "7", 7, "alice", "secret-of-alice", &t);
	buf_put(&t, KEYS("CHAP_I=9\0"));
	buf_printf(&t, "CHAP_C=0x%s", text_hex(w.policy.challenge, 32, hex));
	buf_put(&t, "", 1);
	CHECK_EQ(request(&w, 0, 1, true, (char *)t.data, t.len, NULL, NULL), LOGIN_AUTH_FAILED);
	buf_fini(&t);
	world_fini(&w);
}

/*
 * One request each that must not begin a session where a secret is asked for, or be taken for a login at
 * all.
 */
static void refusals(void)
{
	static const struct {
		unsigned csg, nsg;
		bool transit, secure;
		const char *text;
		size_t len;
		unsigned status;
	} r[] = {
		{ 1, 3, true, true, KEYS(LOGIN_KEYS), LOGIN_AUTH_FAILED },              /* the security stage left out */
		{ 0, 1, true, true, KEYS(LOGIN_KEYS), LOGIN_AUTH_FAILED },              /* nothing proved */
		{ 0, 3, true, true, KEYS(LOGIN_KEYS "AuthMethod=None\0"), LOGIN_AUTH_FAILED },
		{ 0, 1, false, true, KEYS(LOGIN_KEYS "CHAP_A=5\0"), LOGIN_INITIATOR_ERROR },    /* CHAP before AuthMethod */
		{ 1, 3, true, false, KEYS("InitiatorName=iqn.2026-11.test:i\0"), LOGIN_MISSING },
		{ 1, 3, true, false, KEYS("TargetName=iqn.2026-11.test:i\0"), LOGIN_MISSING },
		{ 1, 3, true, false, KEYS(LOGIN_KEYS "InitialR2T=No\0InitialR2T=No\0"), LOGIN_INITIATOR_ERROR },
		{ 1, 3, true, false, KEYS(LOGIN_KEYS "nonsense\0"), LOGIN_INITIATOR_ERROR },
		{ 1, 1, true, false, KEYS(LOGIN_KEYS), LOGIN_INITIATOR_ERROR },         /* to the same stage */
		{ 1, 0, true, false, KEYS(LOGIN_KEYS), LOGIN_INITIATOR_ERROR },         /* back */
		{ 0, 2, true, false, KEYS(LOGIN_KEYS), LOGIN_INITIATOR_ERROR },         /* stage 2 does not exist */
		{ 3, 3, false, false, KEYS(LOGIN_KEYS), LOGIN_INITIATOR_ERROR },
		{ 1, 3, true, false, KEYS(LOGIN_KEYS "AuthMethod=None\0"), LOGIN_INITIATOR_ERROR },     /* wrong stage */
		{ 1, 3, true, false, KEYS("InitiatorName=iqn.2026-11.test:i\0TargetName=iqn.2026-11.test:t\0SessionType=Odd\0"),
		  LOGIN_SESSION_TYPE },
	};

	for (unsigned i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		struct world w;

		world_init(&w, DISK, 512);
		if (r[i].secure)
			w.policy.user = "alice", w.policy.secret = "x";
		CHECK_EQ(request(&w, r[i].csg, r[i].nsg, r[i].transit, r[i].text, r[i].len, NULL, NULL),
			r[i].status);
		CHECK(!w.session && w.conn->closing == CLOSING_FLUSH);
		world_fini(&w);
	}
}

static void the_owner_may_refuse_or_redirect(void)
{
	struct world w;
	const char *text;

	world_init(&w, DISK, 512);
	w.policy.status = LOGIN_NOT_FOUND;
	CHECK_EQ(request(&w, 1, 3, true, KEYS(LOGIN_KEYS), NULL, NULL), LOGIN_NOT_FOUND);
	world_fini(&w);
	world_init(&w, DISK, 512);
	w.policy.status = LOGIN_MOVED_TEMPORARILY;
	w.policy.address = "10.0.0.9:3260,1";
	CHECK_EQ(request(&w, 1, 3, true, KEYS(LOGIN_KEYS), &text, NULL), LOGIN_MOVED_TEMPORARILY);
	CHECK_STR(value(text, "TargetAddress"), "10.0.0.9:3260,1");
	world_fini(&w);
	world_init(&w, DISK, 512);
	w.session_status = LOGIN_NO_RESOURCES;
	CHECK_EQ(request(&w, 1, 3, true, KEYS(LOGIN_KEYS), NULL, NULL), LOGIN_NO_RESOURCES);
	CHECK(!w.session);
	world_fini(&w);
}

static void discovery_names_the_targets(void)
{
	struct world w;
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];
	const uint8_t *r, *data;

	world_init(&w, DISK, 512);
	CHECK_EQ(request(&w, 1, 3, true, KEYS("InitiatorName=iqn.2026-11.test:i\0SessionType=Discovery\0"), NULL, NULL), 0);
	bhs_init(bhs, PDU_TEXT, PDU_FINAL, 16, 5);
	put32(bhs + 20, TAG_NONE);
	put32(bhs + 24, 1);
	pdu_put(&b, bhs, "SendTargets=All", 16, false);
	world_feed(&w, b.data, b.len, 3);
	r = world_pdu(&w, &data);
	CHECK(r && bhs_op(r) == PDU_TEXT_RESPONSE && r[1] == PDU_FINAL && bhs_ttt(r) == TAG_NONE);
	CHECK_STR(value((const char *)data, "TargetName"), "iqn.2026-11.test:t");
	/* Commands belong to normal sessions. */
	buf_reset(&b);
	bhs_init(bhs, PDU_SCSI_COMMAND, PDU_FINAL, 0, 6);
	put32(bhs + 24, 2);
	pdu_put(&b, bhs, NULL, 0, false);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &data);
	CHECK(r && bhs_op(r) == PDU_REJECT && r[2] == REJECT_PROTOCOL && memcmp(data, bhs, BHS_LEN) == 0);
	buf_fini(&b);
	world_fini(&w);
}

/* The first key may be judged by one that comes after it. */
static void what_is_retained_depends_on_the_recovery_level(void)
{
	static const struct {
		const char *keys;
		size_t len;
		const char *retain;
	} cases[] = {
		{ KEYS(LOGIN_KEYS "DefaultTime2Retain=30\0ErrorRecoveryLevel=2\0"), "20" },
		{ KEYS(LOGIN_KEYS "DefaultTime2Retain=30\0ErrorRecoveryLevel=1\0"), "0" },
		{ KEYS(LOGIN_KEYS "DefaultTime2Retain=30\0"), "0" },
		{ KEYS(LOGIN_KEYS "ErrorRecoveryLevel=2\0DefaultTime2Retain=5\0"), "5" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		const char *text;

		world_init(&w, DISK, 512);
		w.policy.ours.erl = 2;
		w.policy.ours.time2retain = 20;
		CHECK_EQ(request(&w, 1, 3, true, cases[i].keys, cases[i].len, &text, NULL), 0);
		CHECK_STR(value(text, "DefaultTime2Retain"), cases[i].retain);
		world_fini(&w);
	}
}

static void obsolete_keys_and_answers_to_declarations(void)
{
	struct world w;
	const char *text;

	world_init(&w, DISK, 512);
	CHECK_EQ(request(&w, 1, 3, true, KEYS(LOGIN_KEYS "IFMarker=Yes\0OFMarkInt=8192~16384\0TargetAlias=NotUnderstood\0"
		"FirstBurstLength=16777215\0MaxBurstLength=4096\0"), &text, NULL), 0);
	CHECK_STR(value(text, "IFMarker"), "No");
	CHECK_STR(value(text, "OFMarkInt"), "Reject");
	CHECK_EQ(w.session->params.first_burst, 4096);
	world_fini(&w);
}

/* SendTargets with this value in a session of this kind: the answer. */
static void send_targets(const char *keys, size_t len, const char *list, const char *name, const char *want)
{
	struct world w;
	struct buf b = { 0 }, t = { 0 };
	uint8_t bhs[BHS_LEN];
	const uint8_t *r, *data;

	world_init(&w, DISK, 512);
	CHECK_EQ(request(&w, 1, 3, true, keys, len, NULL, NULL), 0);
	buf_printf(&t, "SendTargets=%s", list);
	bhs_init(bhs, PDU_TEXT, PDU_FINAL, (uint32_t)t.len + 1, 5);
	put32(bhs + 20, TAG_NONE);
	put32(bhs + 24, 1);
	pdu_put(&b, bhs, t.data, (uint32_t)t.len + 1, false);
	world_feed(&w, b.data, b.len, 0);
	r = world_pdu(&w, &data);
	CHECK(r && bhs_op(r) == PDU_TEXT_RESPONSE);
	CHECK_STR(value((const char *)data, name), want);
	buf_fini(&b);
	buf_fini(&t);
	world_fini(&w);
}

static void each_kind_of_session_has_its_form_of_send_targets(void)
{
#define DISCOVERY "InitiatorName=iqn.2026-11.test:i\0SessionType=Discovery\0"
	send_targets(KEYS(DISCOVERY), "All", "TargetName", "iqn.2026-11.test:t");
	send_targets(KEYS(DISCOVERY), "iqn.2026-11.test:t", "TargetName", "iqn.2026-11.test:t");
	send_targets(KEYS(DISCOVERY), "", "SendTargets", "Reject");
	send_targets(KEYS(LOGIN_KEYS), "", "TargetName", "iqn.2026-11.test:t");
	send_targets(KEYS(LOGIN_KEYS), "All", "SendTargets", "Reject");
}

/* A Text request of the world's session, and its answer, lent. */
static const uint8_t *ask_text(struct world *w, unsigned flags, uint32_t ttt, const char *text, uint32_t len)
{
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];
	const uint8_t *r, *data;

	bhs_init(bhs, PDU_TEXT, (uint8_t)flags, len, 5);
	put32(bhs + 20, ttt);
	put32(bhs + 24, w->session->exp_cmdsn);
	pdu_put(&b, bhs, text, len, false);
	world_feed(w, b.data, b.len, 0);
	buf_fini(&b);
	r = world_pdu(w, &data);
	CHECK(r != NULL);
	return r;
}

static void a_text_exchange_ends_when_the_initiator_says_so(void)
{
	struct world w;
	const uint8_t *r;

	world_init(&w, DISK, 512);
	CHECK_EQ(request(&w, 1, 3, true, KEYS(LOGIN_KEYS), NULL, NULL), 0);
	/* Without F the answer has none, but a tag to go on with (11.11.1). */
	r = ask_text(&w, 0, TAG_NONE, KEYS("MaxRecvDataSegmentLength=4096\0"));
	CHECK(bhs_op(r) == PDU_TEXT_RESPONSE && !(r[1] & PDU_FINAL) && bhs_ttt(r) != TAG_NONE);
	CHECK_EQ(w.conn->params.max_send, 4096);
	r = ask_text(&w, PDU_FINAL, bhs_ttt(r), KEYS("X-a=b\0"));
	CHECK(bhs_op(r) == PDU_TEXT_RESPONSE && r[1] & PDU_FINAL && bhs_ttt(r) == TAG_NONE);
	/* A key once in an exchange, however many requests that has; in the next one again. */
	r = ask_text(&w, 0, TAG_NONE, KEYS("MaxRecvDataSegmentLength=8192\0"));
	r = ask_text(&w, PDU_FINAL, bhs_ttt(r), KEYS("MaxRecvDataSegmentLength=512\0"));
	CHECK_EQ(bhs_op(r), PDU_REJECT);
	CHECK_EQ(w.conn->params.max_send, 8192);
	/* At its end, and not (11.10.2). */
	r = ask_text(&w, PDU_FINAL | LOGIN_CONTINUE, TAG_NONE, KEYS("X-a=b\0"));
	CHECK_EQ(bhs_op(r), PDU_REJECT);
	world_fini(&w);
}

static void a_stalled_login_times_out(void)
{
	struct world w;

	world_init(&w, DISK, 512);
	conn_tick(w.conn, (struct mono){ 14000000000u });
	CHECK(w.conn->closing == CLOSING_NO);
	conn_tick(w.conn, (struct mono){ 15000000000u });
	CHECK(w.conn->closing == CLOSING_NOW);
	world_fini(&w);
}

int main(void)
{
	RUN(without_security_in_one_request);
	RUN(both_stages);
	RUN(keys_continue_over_requests);
	RUN(a_long_answer_comes_in_parts);
	RUN(chap_one_way_with_every_algorithm);
	RUN(chap_mutual_proves_us);
	RUN(wrong_secret_or_user_is_refused);
	RUN(the_secret_may_depend_on_the_user);
	RUN(nobody_is_let_in_without_a_proof);
	RUN(a_reflected_challenge_is_refused);
	RUN(refusals);
	RUN(the_owner_may_refuse_or_redirect);
	RUN(discovery_names_the_targets);
	RUN(what_is_retained_depends_on_the_recovery_level);
	RUN(obsolete_keys_and_answers_to_declarations);
	RUN(each_kind_of_session_has_its_form_of_send_targets);
	RUN(a_text_exchange_ends_when_the_initiator_says_so);
	RUN(a_stalled_login_times_out);
	return 0;
}
