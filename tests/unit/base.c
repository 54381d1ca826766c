/* SPDX-License-Identifier: Apache-2.0 */
/* base/: text forms, addresses, CRC, buffers, log filtering. */
#include "base/addr.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "tests/unit/check.h"

static void sizes_parse_with_units_and_refuse_junk(void)
{
	uint64_t v;
	char t[24];

	CHECK(text_size_parse("512", &v) == 0 && v == 512);
	CHECK(text_size_parse("4k", &v) == 0 && v == 4096);
	CHECK(text_size_parse("1.5G", &v) == 0 && v == 1610612736);
	CHECK(text_size_parse("2MiB", &v) == 0 && v == 2 << 20);
	CHECK(text_size_parse("16E", &v) == ERR_INVAL);
	CHECK(text_size_parse("", &v) == ERR_INVAL);
	CHECK(text_size_parse("1.5", &v) == ERR_INVAL);
	CHECK(text_size_parse("-1G", &v) == ERR_INVAL);
	CHECK(text_size_parse("1G ", &v) == ERR_INVAL);
	CHECK_STR(text_size(1610612736, t), "1.5G");
	CHECK_STR(text_size(1ull << 30, t), "1G");
	CHECK_STR(text_size(1000, t), "1000");
}

static void durations_parse(void)
{
	uint64_t v;
	char t[32];

	CHECK(text_ms_parse("250ms", &v) == 0 && v == 250);
	CHECK(text_ms_parse("10", &v) == 0 && v == 10000);
	CHECK(text_ms_parse("1.5s", &v) == 0 && v == 1500);
	CHECK(text_ms_parse("1w", &v) == ERR_INVAL);
	CHECK_STR(text_ms(5400000, t), "1h30m");
	CHECK_STR(text_ms(1250, t), "1.2s");
}

static void addresses_survive_the_round_trip(void)
{
	static const char *const texts[] = { "10.0.0.1:7946", "[fd00::1]:99", "[fe80::1%2]:7946" };
	struct addr a;
	char t[64];

	for (unsigned i = 0; i < 3; i++) {
		CHECK(addr_parse(texts[i], 1, &a) == 0);
		CHECK_STR(addr_text(&a, t), texts[i]);
	}
	CHECK(addr_parse("fd00::1", 7946, &a) == 0 && a.port == 7946 && a.family == 6);
	CHECK(addr_parse("10.0.0.1", 5, &a) == 0 && a.port == 5 && a.family == 4);
	CHECK(addr_parse("10.0.0.1:0", 5, &a) == ERR_INVAL);
	CHECK(addr_parse("10.0.0.1:65536", 5, &a) == ERR_INVAL);
	CHECK(addr_parse("[::1", 5, &a) == ERR_INVAL);
	CHECK(addr_parse("name", 5, &a) == ERR_INVAL);
}

static void crc_matches_rfc7143_examples(void)
{
	uint8_t b[32];

	memset(b, 0, 32);
	CHECK_EQ(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, 32);
	CHECK_EQ(crc32c(0, b, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	CHECK_EQ(crc32c(0, b, 32), 0x46dd794e);
	CHECK_EQ(crc32c(crc32c(0, b, 13), b + 13, 19), 0x46dd794e);
}

/* Bit by bit, as the polynomial says. */
static uint32_t crc_slow(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static void crc_is_the_same_for_every_length_way_and_split(void)
{
	static uint8_t b[9000];
	struct rng r = { 5 };

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)rng_next(&r);
	for (size_t n = 0; n < 9000 - 7; n = n < 700 ? n + 1 : n + 61) {
		const uint8_t *p = b + n % 7;
		uint32_t want = crc_slow(p, n);
		size_t cut = n ? rng_below(&r, n) : 0;

		CHECK_EQ(crc32c(0, p, n), want);
		CHECK_EQ(crc32c_table(0, p, n), want);
		CHECK_EQ(crc32c(crc32c_table(0, p, cut), p + cut, n - cut), want);
	}
}

static void text_ok_wants_utf8_without_controls(void)
{
	CHECK(text_ok("volume-1 \xc3\xa4", 64));
	CHECK(!text_ok("a\nb", 64));
	CHECK(!text_ok("\xff", 64));
	CHECK(!text_ok("\xc3", 64));
	CHECK(!text_ok("\xed\xa0\x80", 64));
	CHECK(!text_ok("abc", 2));
}

static char last[256];
static unsigned n_lines;

static void keep(void *arg, enum log_level level, const char *line)
{
	snprintf(last, sizeof(last), "%s", line);
	n_lines++;
}

static void log_lines_cannot_be_forged_and_debug_is_per_subject(void)
{
	struct log l = { .sink = keep, .level = LOG_LEVEL_INFO, .debug = "gossip,store" };

	log_info(&l, "gossip: node %s joined", "x\nwarn: forged");
	CHECK_STR(last, "gossip: node x?warn: forged joined");
	log_debug(&l, "agree: hidden");
	CHECK_EQ(n_lines, 1);
	log_debug(&l, "store: shown");
	CHECK_EQ(n_lines, 2);
}

static void buffers_grow_and_drop(void)
{
	struct buf b = { 0 };

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	buf_drop(&b, 4);
	CHECK(memcmp(b.data, "2,3,", 4) == 0);
	CHECK_EQ(b.data[b.len], 0);
	buf_fini(&b);
}

int main(void)
{
	RUN(sizes_parse_with_units_and_refuse_junk);
	RUN(durations_parse);
	RUN(addresses_survive_the_round_trip);
	RUN(crc_matches_rfc7143_examples);
	RUN(crc_is_the_same_for_every_length_way_and_split);
	RUN(text_ok_wants_utf8_without_controls);
	RUN(log_lines_cannot_be_forged_and_debug_is_per_subject);
	RUN(buffers_grow_and_drop);
	return 0;
}
