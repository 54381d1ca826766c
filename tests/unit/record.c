/* SPDX-License-Identifier: Apache-2.0 */
/* directord/record: what is stored beside the log reads back, and damage is refused. */
#include "directord/record.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/check.h"

static void a_record_reads_back_and_every_cut_of_it_is_refused(void)
{
	struct cluster_record rec = { .uuid = { 1, 2, 3 }, .name = mem_strdup("v1"), .size = 1ull << 40 }, got;
	struct buf b = { 0 };

	attrs_set(&rec.params, "backstore", "file");
	attrs_set(&rec.params, "path", "/srv/ö.img");
	record_encode(&rec, &b);
	CHECK_EQ(record_decode(b.data, b.len, &got), 0);
	CHECK_STR(got.name, "v1");
	CHECK(got.size == 1ull << 40);
	CHECK(memcmp(got.uuid, rec.uuid, 16) == 0);
	CHECK(attrs_eq(&got.params, &rec.params));
	record_fini(&got);
	/* Two cuts are records too: those after whole pairs. */
	for (size_t n = 0, whole = 0; n < b.len; n++) {
		if (record_decode(b.data, n, &got) == 0) {
			record_fini(&got);
			whole++;
		}
		CHECK(whole <= 2);
	}
	b.data[0]++;
	CHECK_EQ(record_decode(b.data, b.len, &got), ERR_MALFORMED);
	record_fini(&rec);
	buf_fini(&b);
}

static void addresses_read_back_and_junk_is_left_out(void)
{
	static const char text[] = "10.0.0.1:7340\nnonsense\n10.0.0.2\n[fe80::1%3]:7341\n";
	struct addr a[4];
	struct buf b = { 0 };

	CHECK_EQ(addrs_decode(text, strlen(text), a, 4), 2);
	CHECK_EQ(a[1].scope, 3);
	addrs_encode(a, 2, &b);
	CHECK_STR(buf_str(&b), "10.0.0.1:7340\n[fe80::1%3]:7341\n");
	CHECK_EQ(addrs_decode(text, strlen(text), a, 1), 1);
	buf_fini(&b);
}

int main(void)
{
	RUN(a_record_reads_back_and_every_cut_of_it_is_refused);
	RUN(addresses_read_back_and_junk_is_left_out);
	return 0;
}
