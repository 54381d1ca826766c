/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of what a unit keeps: whatever is accepted encodes to the very same bytes, and reservations go on
 * from there. The first byte says what is fed: bytes as they are, or with their checksum put right.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "target/scsi/bytes.h"
#include "target/scsi/kept.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void steps(struct pr_state *s, const uint8_t *p, size_t n)
{
	for (; n >= 4; p += 4, n -= 4) {
		struct pr_request q = { .service = (enum pr_service)(p[0] & 7), .type = p[1] & 15, .key = p[2],
			.service_key = p[3] & 15, .aptpl = p[0] & 8, .unregister = p[0] & 16, .spec_i_pt = p[0] & 32 };
		struct pr_port other = { .initiator = "iqn.o", .target = "iqn.t", .tag = (uint16_t)(p[1] >> 6) };
		struct pr_outcome out;
		unsigned holders = 0;

		q.from = (struct pr_port){ .initiator = "iqn.i", .target = "iqn.t", .tag = (uint16_t)(p[1] >> 4) };
		q.others = &other;
		q.n_others = p[0] >> 6 & 1;
		pr_step(s, &q, &out);
		pr_outcome_fini(&out);
		for (unsigned i = 0; i < s->n; i++)
			holders += s->registrants[i].holder;
		if (holders > 1 || (s->type == PR_NONE && holders) || s->n > PR_REGISTRANTS_MAX ||
			(s->type != PR_NONE && !pr_type_all(s->type) && holders != 1) ||
			(s->type != PR_NONE && s->n == 0))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf b = { 0 };
	struct lu_kept k, copy;
	uint8_t *own;

	if (n < 1 || n > LU_KEPT_MAX)
		return 0;
	own = malloc(n);
	memcpy(own, p + 1, n - 1);
	if (p[0] & 1 && n > 5)
		set32(own + n - 5, crc32c(0, own, n - 5));
	if (kept_decode(own, n - 1, &k) == 0) {
		kept_encode(&k, &b);
		if (b.len != n - 1 || memcmp(b.data, own, b.len) != 0)
			abort();
		kept_copy(&copy, &k);
		steps(&copy.pr, p, n);
		kept_fini(&copy);
		kept_fini(&k);
	}
	buf_fini(&b);
	free(own);
	return 0;
}
