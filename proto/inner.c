/* SPDX-License-Identifier: Apache-2.0 */
/* Names and proofs inside the cluster. */
#include "proto/inner.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

_Static_assert(TARGET_KEY_LEN >= crypto_generichash_KEYBYTES_MIN && TARGET_KEY_LEN <= crypto_generichash_KEYBYTES_MAX,
	"an inner key is a key of BLAKE2b");

char *inner_name(const uint8_t uuid[16], char out[INNER_NAME_LEN])
{
	memcpy(out, INNER_IQN, sizeof(INNER_IQN));
	text_hex(uuid, 16, out + sizeof(INNER_IQN) - 1);
	return out;
}

bool inner_name_parse(const char *name, uint8_t uuid[16])
{
	size_t n = sizeof(INNER_IQN) - 1;

	return strncasecmp(name, INNER_IQN, n) == 0 && text_hex_parse(name + n, uuid, 16) == 0;
}

char *inner_user(uint64_t epoch, char out[INNER_USER_LEN])
{
	snprintf(out, INNER_USER_LEN, "%" PRIu64, epoch);
	return out;
}

bool inner_user_parse(const char *user, uint64_t *epoch)
{
	char again[INNER_USER_LEN];

	/* One epoch has one name. */
	return text_u64_parse(user, epoch) == 0 && strcmp(inner_user(*epoch, again), user) == 0;
}

char *inner_secret(const uint8_t key[TARGET_KEY_LEN], const uint8_t uuid[16], uint64_t epoch, char out[INNER_SECRET_LEN])
{
	static const char use[] = "director inner";
	crypto_generichash_state st;
	uint8_t le[8], h[32];

	for (unsigned i = 0; i < 8; i++)
		le[i] = (uint8_t)(epoch >> 8 * i);
	crypto_generichash_init(&st, key, TARGET_KEY_LEN, sizeof(h));
	crypto_generichash_update(&st, (const uint8_t *)use, sizeof(use) - 1);
	crypto_generichash_update(&st, uuid, 16);
	crypto_generichash_update(&st, le, sizeof(le));
	crypto_generichash_final(&st, h, sizeof(h));
	text_hex(h, sizeof(h), out);
	sodium_memzero(h, sizeof(h));
	return out;
}
