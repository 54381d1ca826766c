/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes agree about a unit: whatever is accepted encodes to the very same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "target/scsi/agreed.h"
#include "target/scsi/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b = { 0 };
	struct lu_agreed a;
	uint8_t *own;

	if (n < 1 || n > LU_KEPT_MAX)
		return 0;
	own = malloc(n);
	memcpy(own, p + 1, n - 1);
	/* With the first byte odd, the checksum of the state inside is put right. */
	if (p[0] & 1 && n > AGREED_ID_LEN + 10) {
		size_t len = be32(own + AGREED_ID_LEN);

		if (len >= 5 && len <= n - 1 - AGREED_ID_LEN - 4)
			set32(own + AGREED_ID_LEN + len, crc32c(0, own + AGREED_ID_LEN + 4, len - 4));
	}
	if (n > 1 && agreed_decode(own, n - 1, &a) == 0) {
		agreed_encode(&a, &b);
		if (b.len != n - 1 || memcmp(b.data, own, b.len) != 0)
			abort();
		agreed_fini(&a);
	}
	buf_fini(&b);
	free(own);
	return 0;
}
