/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the mirror reads: a leg's record, and the parameter legs=. The first byte says which: the record with its
 * checksum put right, as it is, or the text. A record that is taken encodes to what it says again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "plugins/mirror/mirror.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void record(const uint8_t *p, size_t n, bool sum)
{
	uint8_t in[LEG_RECORD] = { 0 }, out[LEG_RECORD];
	struct mirror_meta m, again;

	memcpy(in, p, n < sizeof(in) ? n : sizeof(in));
	if (sum) {
		uint32_t crc = crc32c(0, in, LEG_RECORD - 8);

		memset(in + LEG_RECORD - 8, 0, 8);
		for (unsigned i = 0; i < 4; i++)
			in[LEG_RECORD - 8 + i] = (uint8_t)(crc >> (8 * i));
	}
	memset(&m, 0, sizeof(m));
	memset(&again, 0, sizeof(again));
	if (meta_decode(in, &m) < 0)
		return;
	meta_encode(&m, out);
	if (meta_decode(out, &again) < 0 || memcmp(&m, &again, sizeof(m)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct mirror_legs legs;
	char *text;

	if (n == 0)
		return 0;
	if (p[0] % 3 < 2) {
		record(p + 1, n - 1, p[0] % 3 == 0);
		return 0;
	}
	text = strndup((const char *)p + 1, n - 1);
	if (text && mirror_legs_parse(text, &legs) == 0 && (legs.n == 0 || legs.n > MIRROR_LEGS_MAX))
		abort();
	free(text);
	return 0;
}
