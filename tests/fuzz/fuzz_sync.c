/* SPDX-License-Identifier: Apache-2.0 */
/* A sync message: what decodes can be encoded and decodes to the same again, and the store takes or refuses it whole. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "proto/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node_id self = { { 0xff } };
	struct buf one = { 0 }, two = { 0 };
	struct peer_sync s, again;
	struct facts *f;

	if (peer_sync_decode(data, size, &s) < 0)
		return 0;
	f = facts_new(&self, 1);
	for (unsigned i = 0; i < s.sync.n_parts; i++) {
		uint64_t hash = facts_hash(f);
		bool news;

		if (facts_apply(f, &s.sync.parts[i], &news) < 0 && (news || facts_hash(f) != hash))
			abort();
	}
	while (facts_changed(f))
		;
	facts_free(&f);
	peer_sync_encode(&s.sync, &one);
	/* Equal attributes in another order may make it a little longer, never invalid. */
	if (one.len <= PEER_SYNC_MAX) {
		if (peer_sync_decode(one.data, one.len, &again) < 0)
			abort();
		peer_sync_encode(&again.sync, &two);
		if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
			abort();
		peer_sync_fini(&again);
	}
	peer_sync_fini(&s);
	buf_fini(&one);
	buf_fini(&two);
	return 0;
}
