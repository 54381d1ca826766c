/* SPDX-License-Identifier: Apache-2.0 */
/* target/iscsi: text keys, lexical forms, CHAP's hashes, serial numbers. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "target/iscsi/chap.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/sn.h"
#include "tests/unit/check.h"

static const struct iscsi_params ours = { .header_digest = DIGEST_CRC32C, .data_digest = DIGEST_NONE, .max_connections = 1,
	.initial_r2t = 0, .immediate_data = 1, .max_recv = 65536, .max_burst = 100000, .first_burst = 50000, .time2wait = 5,
	.time2retain = 0, .max_r2t = 8, .pdu_in_order = 1, .sequence_in_order = 1, .protocol_level = 1 };

/*
 * What the target answers to name=value in the operational stage; "" for nothing, NULL for a failed
 * negotiation.
 */
static const char *ask(struct iscsi_params *result, const char *name_value, bool discovery)
{
	static char text[256];
	struct keys_negotiation n = { .ours = &ours, .result = result, .leading = true, .discovery = discovery };
	struct key_pair pair = { name_value, strchr(name_value, '=') + 1 };
	struct buf out = { 0 };

	if (keys_negotiate(&n, KEY_OPERATIONAL, &pair, &out) != 0) {
		buf_fini(&out);
		return NULL;
	}
	snprintf(text, sizeof(text), "%s", out.len ? (char *)out.data : "");
	buf_fini(&out);
	return text;
}

static void each_result_function(void)
{
	struct iscsi_params p;

	iscsi_params_default(&p);
	CHECK_STR(ask(&p, "HeaderDigest=CRC32C,None", false), "HeaderDigest=CRC32C");
	CHECK_EQ(p.header_digest, DIGEST_CRC32C);
	CHECK_STR(ask(&p, "HeaderDigest=None,CRC32C", false), "HeaderDigest=None");
	CHECK_STR(ask(&p, "DataDigest=CRC32C", false), "DataDigest=Reject");
	CHECK_STR(ask(&p, "MaxConnections=8", false), "MaxConnections=1");
	CHECK_STR(ask(&p, "InitialR2T=No", false), "InitialR2T=No");
	CHECK_STR(ask(&p, "InitialR2T=Yes", false), "InitialR2T=Yes");
	CHECK_STR(ask(&p, "ImmediateData=No", false), "ImmediateData=No");
	CHECK_EQ(p.immediate_data, 0);
	CHECK_STR(ask(&p, "MaxBurstLength=262144", false), "MaxBurstLength=100000");
	CHECK_STR(ask(&p, "MaxBurstLength=0x400", false), "MaxBurstLength=1024");
	CHECK_STR(ask(&p, "DefaultTime2Wait=2", false), "DefaultTime2Wait=5");
	CHECK_STR(ask(&p, "DefaultTime2Retain=20", false), "DefaultTime2Retain=0");
	CHECK_STR(ask(&p, "ErrorRecoveryLevel=2", false), "ErrorRecoveryLevel=0");
	CHECK_STR(ask(&p, "MaxRecvDataSegmentLength=262144", false), "");
	CHECK_EQ(p.max_send, 262144);
	CHECK_STR(ask(&p, "TaskReporting=FastAbort,RFC3720", false), "TaskReporting=RFC3720");
}

static void what_cannot_be_is_refused_as_the_rfc_says(void)
{
	struct iscsi_params p;

	iscsi_params_default(&p);
	CHECK_STR(ask(&p, "X-com.example.flavour=red", false), "X-com.example.flavour=NotUnderstood");
	CHECK_STR(ask(&p, "MaxBurstLength=511", false), "MaxBurstLength=Reject");
	CHECK_STR(ask(&p, "MaxBurstLength=16777216", false), "MaxBurstLength=Reject");
	CHECK_STR(ask(&p, "MaxBurstLength=-1", false), "MaxBurstLength=Reject");
	CHECK_STR(ask(&p, "InitialR2T=yes", false), "InitialR2T=Reject");
	CHECK_STR(ask(&p, "ErrorRecoveryLevel=3", false), "ErrorRecoveryLevel=Reject");
	CHECK_STR(ask(&p, "MaxConnections=4", true), "MaxConnections=Irrelevant");
	CHECK(!ask(&p, "MaxRecvDataSegmentLength=511", false));
	CHECK(!ask(&p, "TargetAddress=10.0.0.1", false));
	CHECK(!ask(&p, "SendTargets=All", false));
	CHECK(!ask(&p, "AuthMethod=None", false));
}

static void a_key_given_twice_fails(void)
{
	struct iscsi_params p;
	struct keys_negotiation n = { .ours = &ours, .result = &p, .leading = true };
	struct key_pair pair = { "ImmediateData=Yes", "Yes" };
	struct buf out = { 0 };

	iscsi_params_default(&p);
	CHECK_EQ(keys_negotiate(&n, KEY_OPERATIONAL, &pair, &out), 0);
	CHECK_EQ(keys_negotiate(&n, KEY_OPERATIONAL, &pair, &out), ERR_INVAL);
	buf_fini(&out);
}

static void texts_come_apart_into_pairs(void)
{
	static const char good[] = "A=1\0B=\0\0C=x=y", bad1[] = "A\0B=1", bad2[] = "=1", open[] = { 'A', '=', '1' };
	struct key_pair p;
	size_t at = 0;

	CHECK_EQ(keys_next(good, sizeof(good), &at, &p), 1);
	CHECK(key_is(&p, "A") && strcmp(p.value, "1") == 0);
	CHECK_EQ(keys_next(good, sizeof(good), &at, &p), 1);
	CHECK(key_is(&p, "B") && strcmp(p.value, "") == 0);
	CHECK_EQ(keys_next(good, sizeof(good), &at, &p), 1);
	CHECK(key_is(&p, "C") && strcmp(p.value, "x=y") == 0);
	CHECK_EQ(keys_next(good, sizeof(good), &at, &p), 0);
	at = 0;
	CHECK_EQ(keys_next(bad1, sizeof(bad1), &at, &p), ERR_MALFORMED);
	at = 0;
	CHECK_EQ(keys_next(bad2, sizeof(bad2), &at, &p), ERR_MALFORMED);
	at = 0;
	CHECK_EQ(keys_next(open, sizeof(open), &at, &p), ERR_MALFORMED);
}

static void numbers_and_binaries(void)
{
	uint64_t v;
	uint8_t b[8];

	CHECK(keys_number("262144", &v) == 0 && v == 262144);
	CHECK(keys_number("0x4f", &v) == 0 && v == 0x4f);
	CHECK(keys_number("", &v) != 0 && keys_number("0x", &v) != 0 && keys_number("12a", &v) != 0);
	CHECK(keys_number("99999999999999999999", &v) != 0);
	CHECK_EQ(keys_binary("0xabc", b, sizeof(b)), 2);
	CHECK(b[0] == 0x0a && b[1] == 0xbc);
	CHECK_EQ(keys_binary("0bAQIDBA==", b, sizeof(b)), 4);
	CHECK(memcmp(b, "\1\2\3\4", 4) == 0);
	CHECK_EQ(keys_binary("0x112233445566778899", b, sizeof(b)), ERR_MALFORMED);
	CHECK_EQ(keys_binary("0bAQID", b, 2), ERR_MALFORMED);
	CHECK_EQ(keys_binary("1234", b, sizeof(b)), ERR_MALFORMED);
}

static void names(void)
{
	CHECK(iscsi_name_ok("iqn.2001-04.com.example:storage.disk1"));
	CHECK(iscsi_name_ok("eui.02004567A425678D") && iscsi_name_ok("naa.52004567BA64678D"));
	CHECK(!iscsi_name_ok("eui.0200") && !iscsi_name_ok("disk") && !iscsi_name_ok("iqn.a b") && !iscsi_name_ok(""));
	/* Unicode is; bytes that are none would make every list of sessions unreadable. */
	CHECK(iscsi_name_ok("iqn.2001-04.com.example:stra\xc3\x9f" "e"));
	CHECK(!iscsi_name_ok("iqn.2001-04.com.example:\xff\xfe") && !iscsi_name_ok("iqn.2001-04.com.example:\xc3"));
}

/* From Python's hashlib: H(5ah || "correct horse battery" || 00 11 22 … ff). */
static void chap_vectors(void)
{
	static const struct {
		unsigned algorithm;
		const char *response;
	} v[] = {
		{ 5, "6c3aa7e0647e02cdd19849e3d75f9971" },
		{ 6, "3bfb131bc27a54ffb0e7d35bc3749a39dab74ff4" },
		{ 7, "021ad608167b1b8d3ebad6b1afc7097b70d50b1a9aae754c945b07bbbaa27ee8" },
		{ 8, "f7874a4db5925890d6245989fbeb946e92e1c7e44cb9934c4c8733b3f95c932d" },
	};
	uint8_t challenge[16], out[CHAP_HASH_MAX];
	char hex[2 * CHAP_HASH_MAX + 1];

	for (unsigned i = 0; i < sizeof(challenge); i++)
		challenge[i] = (uint8_t)(i * 17);
	for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
		size_t n = chap_response(v[i].algorithm, 0x5a, "correct horse battery", challenge, sizeof(challenge), out);

		CHECK_EQ(n, strlen(v[i].response) / 2);
		CHECK_STR(text_hex(out, n, hex), v[i].response);
	}
	CHECK_EQ(chap_len(4), 0);
	CHECK(chap_equal(out, out, 32));
	challenge[0] ^= 1;
	CHECK(!chap_equal(challenge, (const uint8_t *)"\0", 1));
}

static void serial_numbers_wrap(void)
{
	CHECK(sn_lt(0xffffffffu, 0) && !sn_lt(0, 0xffffffffu));
	CHECK(sn_lt(0x7fffffffu, 0x80000000u) && sn_le(5, 5) && !sn_lt(5, 5));
}

int main(void)
{
	RUN(each_result_function);
	RUN(what_cannot_be_is_refused_as_the_rfc_says);
	RUN(a_key_given_twice_fails);
	RUN(texts_come_apart_into_pairs);
	RUN(numbers_and_binaries);
	RUN(names);
	RUN(chap_vectors);
	RUN(serial_numbers_wrap);
	return 0;
}
