/* SPDX-License-Identifier: Apache-2.0 */
/* Decoders of agreement: messages, stored rows, packed rosters. What decodes must encode and decode again. */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/buf.h"
#include "proto/agree.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void message(const uint8_t *p, size_t n)
{
	struct agree_msg m, again;
	struct buf b = { 0 };

	if (agree_msg_decode(p, n, &m) < 0)
		return;
	agree_msg_encode(&m, &b);
	assert(agree_msg_decode(b.data, b.len, &again) == 0);
	assert(again.kind == m.kind && again.boot == m.boot && again.tag == m.tag);
	if (m.kind == AGREE_MSG_BEAT || m.kind == AGREE_MSG_ECHO)
		assert(memcmp(&again.beat, &m.beat, sizeof(m.beat)) == 0);
	agree_msg_fini(&again);
	agree_msg_fini(&m);
	buf_fini(&b);
}

static void rows(const uint8_t *p, size_t n)
{
	struct agree_entry *e;
	struct agree_snap *s;

	if (agree_entry_decode(p, n, &e) == 0)
		agree_entry_free(&e);
	if (agree_snap_decode(p, n, &s) == 0)
		agree_snap_free(&s);
}

static void roster(const uint8_t *p, size_t n)
{
	uint8_t packed[ROSTER_PACKED_MAX];
	struct roster r, again;

	if (roster_unpack(p, n, &r) < 0)
		return;
	assert(roster_unpack(packed, roster_pack(&r, packed), &again) == 0);
	assert(roster_eq(&r, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n == 0)
		return 0;
	switch (p[0] % 3) {
	case 0: message(p + 1, n - 1); break;
	case 1: rows(p + 1, n - 1); break;
	default: roster(p + 1, n - 1); break;
	}
	return 0;
}
