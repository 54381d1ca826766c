/* SPDX-License-Identifier: Apache-2.0 */
/* What directord keeps beside the log: the cluster key file, records of volumes, addresses of members. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "directord/identity.h"
#include "directord/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cluster_record rec, again;
	struct buf bytes = { 0 };
	struct addr addr[64];
	struct keys ks;
	char *why = NULL;

	keyfile_parse(&ks, (const char *)data, size, &why);
	mem_autofree(&why);
	if (record_decode(data, size, &rec) == 0) {
		record_encode(&rec, &bytes);
		if (record_decode(bytes.data, bytes.len, &again) != 0 || strcmp(rec.name, again.name) != 0 ||
		    !attrs_eq(&rec.params, &again.params))
			abort();
		record_fini(&again);
		record_fini(&rec);
	}
	buf_reset(&bytes);
	addrs_encode(addr, addrs_decode(data, size, addr, 64), &bytes);
	buf_fini(&bytes);
	return 0;
}
