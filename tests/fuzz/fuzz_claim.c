/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from the network that may claim an address: what is read as a claim, written as one, is read as the same. */
#include <stdlib.h>
#include <string.h>

#include "directord/claim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[CLAIM_FRAME_MAX];
	struct claim c, again;
	size_t n;

	if (!claim_parse(data, size, &c))
		return 0;
	n = claim_announce(&c.ip, c.mac, 0, frame);
	if (n == 0 || !claim_parse(frame, n, &again) || !addr_eq(&c.ip, &again.ip) ||
	    memcmp(c.mac, again.mac, sizeof(c.mac)) != 0)
		abort();
	return 0;
}
