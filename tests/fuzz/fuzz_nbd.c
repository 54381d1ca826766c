/* SPDX-License-Identifier: Apache-2.0 */
/* What an NBD client may send, in pieces of a size that the first byte chooses; the second one says what the export can. */
#include <stdlib.h>
#include <string.h>

#include "initiator/nbd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct nbd_export e = { .size = 1u << 20, .min_block = 512, .preferred_block = 4096, .max_block = NBD_DATA_MAX };
	struct nbd nbd;
	struct nbd_request req;
	size_t piece, at = 2, have = 0, pay = 0;
	enum nbd_found f = NBD_MORE;

	if (n < 2)
		return 0;
	piece = p[0] ? p[0] : n;
	e.read_only = p[1] & 1;
	e.fua = p[1] & 2;
	e.trim = p[1] & 4;
	e.zeroes = p[1] & 8;
	nbd_init(&nbd, &e);
	while (f != NBD_CLOSE) {
		size_t used;

		if (pay) {
			size_t k = pay < have ? pay : have;

			pay -= k;
			at += k;
			have -= k;
		}
		f = pay ? NBD_MORE : nbd_take(&nbd, p + at, have, &used, &req);
		if (!pay) {
			if (used > have)
				abort();
			at += used;
			have -= used;
		}
		if (f == NBD_REQUEST) {
			bool data = req.type == NBD_READ || req.type == NBD_WRITE;

			if (!req.error && (req.offset > e.size || req.len > e.size - req.offset || (data && req.len > NBD_DATA_MAX)))
				abort();
			if (req.payload > NBD_DATA_MAX)
				abort();
			pay = req.payload;
			continue;
		}
		if (nbd.out.len > 64u << 10)
			buf_reset(&nbd.out);
		if (f == NBD_MORE && (pay || !used)) {
			size_t k = n - at - have < piece ? n - at - have : piece;

			if (!k)
				break;
			have += k;
		}
	}
	nbd_fini(&nbd);
	return 0;
}
