/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that claim an address: as RFC 826, 5227 and 4861 have them, and read back. */
#include "directord/claim.h"

#include <string.h>

#include "base/addr.h"
#include "tests/unit/check.h"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
static uint8_t frame[CLAIM_FRAME_MAX];

static struct addr ip(const char *text)
{
	struct addr a;

	CHECK_EQ(addr_parse(text, 0, &a), 0);
	return a;
}

static void test_gratuitous_arp_in_both_forms(void)
{
	static const uint8_t request[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
		2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9,
	};
	struct addr a = ip("10.0.0.9");
	struct claim c;

	CHECK_EQ(claim_announce(&a, mac, 0, frame), sizeof(request));
	CHECK(memcmp(frame, request, sizeof(request)) == 0);
	CHECK(claim_parse(frame, sizeof(request), &c) && addr_eq(&c.ip, &a) && memcmp(c.mac, mac, 6) == 0);
	CHECK_EQ(claim_announce(&a, mac, 1, frame), sizeof(request));
	CHECK_EQ(frame[21], 2);
	CHECK(claim_parse(frame, sizeof(request), &c));
	CHECK_EQ(claim_announce(&a, mac, 2, frame), 0);
	CHECK(!claim_parse(frame, sizeof(request) - 1, &c));
}

static void test_a_probe_claims_nothing(void)
{
	static const char *const both[] = { "10.0.0.9", "fd00::9" };

	for (unsigned i = 0; i < 2; i++) {
		struct addr a = ip(both[i]);
		struct claim c;
		size_t n = claim_probe(&a, mac, frame);

		CHECK(n > 0 && !claim_parse(frame, n, &c));
	}
}

static void test_unsolicited_advertisement(void)
{
	struct addr a = ip("fd00::9");
	uint8_t bare[CLAIM_FRAME_MAX];
	uint32_t sum = 0;
	struct claim c;

	CHECK_EQ(claim_announce(&a, mac, 0, frame), 86);
	CHECK_EQ(claim_announce(&a, mac, 1, bare), 0);
	CHECK(frame[0] == 0x33 && frame[1] == 0x33 && frame[5] == 1);           /* to all nodes */
	CHECK(frame[21] == 255 && frame[54] == 136 && frame[58] == 0x20);       /* hop limit, type, override */
	/* A sum over pseudo header and message that includes the checksum is all ones (RFC 1071). */
	sum = 32 + 58;
	for (unsigned i = 22; i < 86; i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	CHECK_EQ(sum, 0xffff);
	CHECK(claim_parse(frame, 86, &c) && addr_eq(&c.ip, &a) && memcmp(c.mac, mac, 6) == 0);
	/* Without the option it is the frame that says from where. */
	memcpy(bare, frame, 78);
	bare[6] = 6;
	CHECK(claim_parse(bare, 78, &c) && c.mac[0] == 6);
	/* What came from another link (RFC 4861 7.1.2) is none of ours. */
	frame[21] = 254;
	CHECK(!claim_parse(frame, 86, &c));
}

int main(void)
{
	RUN(test_gratuitous_arp_in_both_forms);
	RUN(test_a_probe_claims_nothing);
	RUN(test_unsolicited_advertisement);
	return 0;
}
