/* SPDX-License-Identifier: Apache-2.0 */
/* CHAP's hash, by nettle: its contexts are plain structs, nothing is allocated and nothing is global. */
#include "target/iscsi/chap.h"

#include <nettle/md5.h>
#include <nettle/memops.h>
#include <nettle/nettle-meta.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <nettle/sha3.h>
#include <string.h>

union chap_ctx {
	struct md5_ctx md5;
	struct sha1_ctx sha1;
	struct sha256_ctx sha256;
	struct sha3_256_ctx sha3;
};

static const struct nettle_hash *hash_of(unsigned algorithm)
{
	switch (algorithm) {
	case CHAP_MD5:
		return &nettle_md5;
	case CHAP_SHA1:
		return &nettle_sha1;
	case CHAP_SHA256:
		return &nettle_sha256;
	case CHAP_SHA3_256:
		return &nettle_sha3_256;
	}
	return NULL;
}

size_t chap_len(unsigned algorithm)
{
	const struct nettle_hash *h = hash_of(algorithm);

	return h ? h->digest_size : 0;
}

size_t chap_response(unsigned algorithm, uint8_t id, const char *secret, const uint8_t *challenge, size_t n,
	uint8_t *out)
{
	const struct nettle_hash *h = hash_of(algorithm);
	union chap_ctx ctx;

	if (!h)
		return 0;
	h->init(&ctx);
	h->update(&ctx, 1, &id);
	h->update(&ctx, strlen(secret), (const uint8_t *)secret);
	h->update(&ctx, n, challenge);
	h->digest(&ctx, h->digest_size, out);
	return h->digest_size;
}

bool chap_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
	return memeql_sec(a, b, n);
}
