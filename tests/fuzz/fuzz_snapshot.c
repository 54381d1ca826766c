/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a snapshot: refused, or a state that gives the same snapshot again. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "cluster/catalog.h"
#include "proto/txn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = { 0 }, again = { 0 };
	struct catalog *c = NULL;
	struct snapshot s;

	if (snapshot_decode(data, size, &s) < 0)
		return 0;
	snapshot_encode(&s, &b);
	if (catalog_load(&c, &s) < 0) {
		snapshot_fini(&s);
		buf_fini(&b);
		return 0;
	}
	catalog_snapshot(c, &s);
	snapshot_encode(&s, &again);
	assert(b.len == again.len && memcmp(b.data, again.data, b.len) == 0);
	snapshot_fini(&s);
	catalog_free(&c);
	buf_fini(&b);
	buf_fini(&again);
	return 0;
}
