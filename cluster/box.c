/* SPDX-License-Identifier: Apache-2.0 */
/* The signed knock. */
#include "cluster/box.h"

#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

#define KNOCK_HEAD "director knock 1"
#define KNOCK_MIN (32 + BOOT_LEN + 64)

/* What is signed: a fixed text, so that the signature is good for nothing else, and all that precedes it. */
static size_t knock_signed(const uint8_t *p, size_t n, uint8_t out[16 + KNOCK_MIN + CARD_NAME_MAX])
{
	memcpy(out, KNOCK_HEAD, 16);
	memcpy(out + 16, p, n);
	return 16 + n;
}

int knock_make(const struct knock *k, const uint8_t secret_key[64], struct buf *out)
{
	uint8_t body[32 + BOOT_LEN + CARD_NAME_MAX], text[16 + KNOCK_MIN + CARD_NAME_MAX], sig[64];
	size_t name = strnlen(k->name, CARD_NAME_MAX), n = 32 + BOOT_LEN + name;

	if (name == 0 || name == CARD_NAME_MAX)
		return ERR_INVAL;
	memcpy(body, k->public_key, 32);
	memcpy(body + 32, k->boot, BOOT_LEN);
	memcpy(body + 32 + BOOT_LEN, k->name, name);
	crypto_sign_detached(sig, NULL, text, knock_signed(body, n, text), secret_key);
	buf_put(out, body, n);
	buf_put(out, sig, sizeof(sig));
	return 0;
}

int knock_open(const uint8_t *p, size_t n, struct knock *k)
{
	uint8_t text[16 + KNOCK_MIN + CARD_NAME_MAX];
	size_t body = n - 64;

	*k = (struct knock){ 0 };
	if (n <= KNOCK_MIN || n >= KNOCK_MIN + CARD_NAME_MAX)
		return ERR_MALFORMED;
	memcpy(k->public_key, p, 32);
	memcpy(k->boot, p + 32, BOOT_LEN);
	memcpy(k->name, p + 32 + BOOT_LEN, body - 32 - BOOT_LEN);
	if (!text_ok(k->name, CARD_NAME_MAX - 1) || strlen(k->name) != body - 32 - BOOT_LEN) {
		*k = (struct knock){ 0 };
		return ERR_MALFORMED;
	}
	if (crypto_sign_verify_detached(p + body, text, knock_signed(p, body, text), k->public_key) != 0) {
		*k = (struct knock){ 0 };
		return ERR_CRYPTO;
	}
	return 0;
}
