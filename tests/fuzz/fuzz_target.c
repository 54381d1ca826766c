/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between directord and director-target: what decodes must encode and decode again to the same
 * bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct target_msg m, again;
	struct buf b = { 0 }, c = { 0 };

	target_frame_len(p, n);
	if (target_msg_decode(p, n, &m) != 0)
		return 0;
	target_msg_encode(&m, &b);
	if (target_msg_decode(b.data, b.len, &again) == 0) {
		target_msg_encode(&again, &c);
		if (b.len != c.len || memcmp(b.data, c.data, b.len) != 0)
			abort();
		target_msg_fini(&again);
	} else {
		abort();
	}
	target_msg_fini(&m);
	buf_fini(&b);
	buf_fini(&c);
	return 0;
}
