/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg on a foreign target: its URL, what the target says of its reservations, and the record on the LUN. The first byte says which.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/lunurl.h"
#include "plugins/iscsi/hold.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void url(const char *text)
{
	struct lunurl u, again;
	char form[LUNURL_MAX], second[LUNURL_MAX];

	if (lunurl_parse(text, &u, NULL) < 0)
		return;
	if (lunurl_parse(lunurl_text(&u, form), &again, NULL) < 0 || strcmp(lunurl_text(&again, second), form) != 0)
		abort();
}

static void reservation(const uint8_t *p, size_t n)
{
	struct hold_id id = { .cluster = 1, .leg = 2, .epoch = 3, .take = n % 2 };
	static struct hold_seen seen;
	uint64_t key;
	size_t half = n / 2;

	memset(&seen, 0, sizeof(seen));
	if (!hold_keys_read(p, (uint32_t)half, &seen) || !hold_reservation_read(p + half, (uint32_t)(n - half), &seen))
		return;
	if (seen.n_key > HOLD_KEYS_MAX)
		abort();
	if (hold_next(&id, hold_key(&id, &seen), &seen, &key) == HOLD_DONE)
		abort();
}

static void record(const uint8_t *p, size_t n)
{
	struct hold_id id = { .cluster = 1, .leg = 2 };
	static uint8_t in[HOLD_RECORD];
	uint32_t seq;

	memset(in, 0, sizeof(in));
	memcpy(in, p, n < sizeof(in) ? n : sizeof(in));
	hold_record_read(&id, in, &seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct hold_id id;
	char *text;

	if (n == 0)
		return 0;
	text = strndup((const char *)p + 1, n - 1);
	if (!text)
		return 0;
	switch (p[0] % 4) {
	case 0:
		url(text);
		break;
	case 1:
		reservation(p + 1, n - 1);
		break;
	case 2:
		record(p + 1, n - 1);
		break;
	default:
		hold_parse("00010002", text, &id);
		hold_parse(text, NULL, &id);
	}
	free(text);
	return 0;
}
