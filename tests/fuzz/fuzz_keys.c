/* SPDX-License-Identifier: Apache-2.0 */
/* Text keys: the list as bytes, every pair negotiated in the stage that the first byte names, every value
 * as a number and as binary. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "target/iscsi/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct iscsi_params ours = {
		.header_digest = 1, .max_connections = 4, .max_burst = 65536, .max_r2t = 8, .erl = 2
	};
	struct iscsi_params result;
	struct keys_negotiation neg = { .ours = &ours, .result = &result };
	struct key_pair pair;
	struct buf out = { 0 };
	uint8_t bytes[64];
	uint64_t v;
	size_t at = 0;

	if (n == 0 || n > 65536)
		return 0;
	iscsi_params_default(&result);
	neg.leading = p[0] & 1;
	neg.discovery = p[0] & 2;
	while (keys_next((const char *)p + 1, n - 1, &at, &pair) == 1 && out.len < 100000) {
		keys_number(pair.value, &v);
		keys_binary(pair.value, bytes, sizeof(bytes));
		iscsi_name_ok(pair.value);
		if (keys_negotiate(&neg,
			    p[0] & 4   ? KEY_OPERATIONAL
			    : p[0] & 8 ? KEY_FULL
				       : KEY_SECURITY,
			    &pair, &out) != 0)
			break;
	}
	buf_fini(&out);
	return 0;
}
