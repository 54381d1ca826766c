/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster key, its epochs, and the boxes in which it travels. */
#include "cluster/keys.h"

#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

bool keys_add(struct keys *ks, const struct key *k)
{
	unsigned i = ks->n;

	while (i > 0 && ks->k[i - 1].epoch > k->epoch)
		i--;
	if (i > 0 && ks->k[i - 1].epoch == k->epoch) {
		if (sodium_memcmp(ks->k[i - 1].secret, k->secret, 32) == 0)
			return false;
		ks->k[i - 1] = *k;
		return true;
	}
	if (ks->n == KEYS_MAX) {
		if (i == 0)
			return false;
		memmove(ks->k, ks->k + 1, (KEYS_MAX - 1) * sizeof(*ks->k));
		ks->n--;
		i--;
	}
	memmove(ks->k + i + 1, ks->k + i, (ks->n - i) * sizeof(*ks->k));
	ks->k[i] = *k;
	ks->n++;
	return true;
}

const struct key *keys_find(const struct keys *ks, uint32_t epoch)
{
	for (unsigned i = 0; i < ks->n; i++)
		if (ks->k[i].epoch == epoch)
			return &ks->k[i];
	return NULL;
}

const struct key *keys_newest(const struct keys *ks)
{
	return ks->n ? &ks->k[ks->n - 1] : NULL;
}

int keys_hint_order(const struct keys *ks, uint8_t hint)
{
	int8_t ahead = (int8_t)(hint - (uint8_t)(ks->n ? keys_newest(ks)->epoch : 0));

	return ahead < 0 ? -1 : ahead > 0;
}

bool keys_drop_before(struct keys *ks, uint32_t epoch)
{
	unsigned n = 0;

	while (n < ks->n && ks->k[n].epoch < epoch)
		n++;
	memmove(ks->k, ks->k + n, (ks->n - n) * sizeof(*ks->k));
	ks->n -= n;
	sodium_memzero(ks->k + ks->n, n * sizeof(*ks->k));
	return n > 0;
}

char *keys_cluster_hash(const uint8_t lineage[16], char *out)
{
	uint8_t h[16];

	crypto_generichash(h, sizeof(h), lineage, 16, NULL, 0);
	return text_hex(h, 8, out);
}

void keys_derive(const struct key *k, const char *use, const uint8_t salt[16], uint8_t *out, size_t n)
{
	for (uint32_t block = 0; n > 0; block++) {
		crypto_generichash_state st;
		uint8_t h[64], b[4] = { (uint8_t)(block >> 24), (uint8_t)(block >> 16), (uint8_t)(block >> 8), (uint8_t)block };
		size_t take = n < sizeof(h) ? n : sizeof(h);

		crypto_generichash_init(&st, k->secret, 32, sizeof(h));
		crypto_generichash_update(&st, b, sizeof(b));
		crypto_generichash_update(&st, salt, 16);
		crypto_generichash_update(&st, (const uint8_t *)use, strlen(use));
		crypto_generichash_final(&st, h, sizeof(h));
		memcpy(out, h, take);
		out += take;
		n -= take;
	}
}

/* The shared secret of two Ed25519 identities, through their Curve25519 forms. */
static int box_key(const uint8_t their_public[32], const uint8_t own_secret[64], uint8_t out[crypto_box_BEFORENMBYTES])
{
	uint8_t pk[32], sk[32];
	int err = 0;

	if (crypto_sign_ed25519_pk_to_curve25519(pk, their_public) != 0 ||
	    crypto_sign_ed25519_sk_to_curve25519(sk, own_secret) != 0 || crypto_box_beforenm(out, pk, sk) != 0)
		err = ERR_CRYPTO;
	sodium_memzero(sk, sizeof(sk));
	return err;
}

static void put_epoch(uint32_t epoch, uint8_t out[4])
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(epoch >> (24 - 8 * i));
}

int keys_box(const struct key *k, const uint8_t sender_public[32], const uint8_t sender_secret[64],
             const uint8_t receiver[32], uint8_t out[KEY_BOX_LEN])
{
	uint8_t shared[crypto_box_BEFORENMBYTES], in[4 + 32 + 32], *nonce = out + 32;
	int err = box_key(receiver, sender_secret, shared);

	if (err)
		return err;
	put_epoch(k->epoch, in);
	memcpy(in + 4, receiver, 32);
	memcpy(in + 36, k->secret, 32);
	memcpy(out, sender_public, 32);
	crypto_generichash(nonce, 24, in, sizeof(in), sender_secret, 32);
	crypto_box_easy_afternm(out + 56, k->secret, 32, nonce, shared);
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(in, sizeof(in));
	return 0;
}

int keys_unbox(const uint8_t box[KEY_BOX_LEN], uint32_t epoch, const uint8_t own_secret[64],
               struct key *k, struct node_id *sender)
{
	uint8_t shared[crypto_box_BEFORENMBYTES];
	int err = box_key(box, own_secret, shared);

	if (!err && crypto_box_open_easy_afternm(k->secret, box + 56, 32 + 16, box + 32, shared) != 0)
		err = ERR_CRYPTO;
	sodium_memzero(shared, sizeof(shared));
	if (err)
		return err;
	k->epoch = epoch;
	*sender = node_id_of_key(box);
	return 0;
}
