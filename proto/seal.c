/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams made secret and fresh. */
#include "proto/seal.h"

#include <sodium.h>
#include <string.h>

#include "base/err.h"

#define MAGIC 0xd0
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define MAC_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define NEAR_LEN 11
#define FAR_LEN 28
#define FIRST_LEN 26
#define AD_MAX (FAR_LEN + BOOT_LEN)
#define COUNTER_NEAR_MASK 0xffffffu

void seal_init(struct seal *s, const uint8_t boot[BOOT_LEN])
{
	*s = (struct seal){ 0 };
	memcpy(s->boot, boot, BOOT_LEN);
}

void seal_fini(struct seal *s)
{
	sodium_memzero(s, sizeof(*s));
}

static void keys_remove(struct seal *s, unsigned i)
{
	s->n_keys--;
	memmove(&s->keys[i], &s->keys[i + 1], (s->n_keys - i) * sizeof(s->keys[0]));
	sodium_memzero(&s->keys[s->n_keys], sizeof(s->keys[0]));
}

int seal_key_add(struct seal *s, uint32_t epoch, const uint8_t key[32])
{
	unsigned i = 0;

	if (epoch == 0)
		return ERR_INVAL;
	seal_key_drop(s, epoch);
	while (i < s->n_keys && s->keys[i].epoch > epoch)
		i++;
	if (i == SEAL_KEYS_MAX)
		return ERR_LIMIT;
	if (s->n_keys == SEAL_KEYS_MAX)
		s->n_keys--;
	memmove(&s->keys[i + 1], &s->keys[i], (s->n_keys - i) * sizeof(s->keys[0]));
	s->keys[i].epoch = epoch;
	memcpy(s->keys[i].key, key, sizeof(s->keys[i].key));
	s->n_keys++;
	return 0;
}

void seal_key_drop(struct seal *s, uint32_t epoch)
{
	for (unsigned i = 0; i < s->n_keys; i++)
		if (s->keys[i].epoch == epoch)
			keys_remove(s, i--);
}

void seal_key_drop_below(struct seal *s, uint32_t epoch)
{
	while (s->n_keys && s->keys[s->n_keys - 1].epoch < epoch)
		keys_remove(s, s->n_keys - 1);
}

uint32_t seal_epoch(const struct seal *s)
{
	return s->n_keys ? s->keys[0].epoch : 0;
}

static void put_be(uint8_t *p, uint64_t v, unsigned n)
{
	while (n--) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

static uint64_t get_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static void nonce_make(const uint8_t boot[BOOT_LEN], uint64_t counter, uint8_t nonce[NONCE_LEN])
{
	memcpy(nonce, boot, BOOT_LEN);
	put_be(nonce + BOOT_LEN, counter, 8);
}

static size_t head_put(const struct seal *s, enum gossip_form form, const uint8_t *to_boot, uint8_t *h)
{
	h[0] = (uint8_t)(MAGIC | form);
	h[1] = (uint8_t)s->keys[0].epoch;
	if (form == GOSSIP_NEAR) {
		memcpy(h + 2, s->boot, 4);
		memcpy(h + 6, to_boot, 2);
		put_be(h + 8, s->counter & COUNTER_NEAR_MASK, 3);
		return NEAR_LEN;
	}
	memcpy(h + 2, s->boot, BOOT_LEN);
	if (form == GOSSIP_FIRST) {
		put_be(h + 18, s->counter, 8);
		return FIRST_LEN;
	}
	memcpy(h + 18, to_boot, 2);
	put_be(h + 20, s->counter, 8);
	return FAR_LEN;
}

int seal_close(struct seal *s, enum gossip_form form, const uint8_t to_boot[BOOT_LEN],
               const uint8_t *plain, size_t n, struct buf *out)
{
	uint8_t ad[AD_MAX], nonce[NONCE_LEN], clear = MAGIC | GOSSIP_CLEAR, *wire;
	size_t head, n_ad;

	if (n > GOSSIP_DGRAM_MAX - FAR_LEN - MAC_LEN)
		return ERR_LIMIT;
	if (form == GOSSIP_CLEAR) {
		buf_put(out, &clear, 1);
		buf_put(out, plain, n);
		return 0;
	}
	if (s->n_keys == 0)
		return ERR_CRYPTO;
	s->counter++;
	head = n_ad = head_put(s, form, to_boot, ad);
	if (form != GOSSIP_FIRST) {
		memcpy(ad + n_ad, to_boot, BOOT_LEN);
		n_ad += BOOT_LEN;
	}
	nonce_make(s->boot, s->counter, nonce);
	wire = buf_room(out, head + n + MAC_LEN);
	memcpy(wire, ad, head);
	crypto_aead_xchacha20poly1305_ietf_encrypt(wire + head, NULL, plain, n, ad, n_ad, NULL, nonce, s->keys[0].key);
	buf_add(out, head + n + MAC_LEN);
	return 0;
}

/* The full counter with these low bits that is closest to the highest one seen. */
static uint64_t counter_near(uint64_t low, uint64_t highest)
{
	uint64_t span = COUNTER_NEAR_MASK + 1ull, c = (highest & ~(uint64_t)COUNTER_NEAR_MASK) | low;

	if (c > highest && c - highest > span / 2 && c >= span)
		return c - span;
	if (c < highest && highest - c > span / 2)
		return c + span;
	return c;
}

uint8_t seal_epoch_hint(const uint8_t *wire, size_t n)
{
	return n < 2 || (wire[0] & 0x0f) == GOSSIP_CLEAR ? 0 : wire[1];
}

/* Try every key the hint may mean. */
static int open_keys(const struct seal *s, const uint8_t *wire, size_t n, size_t head_len, const uint8_t *ad,
                     size_t n_ad, struct gossip_head *head, struct buf *out)
{
	uint8_t nonce[NONCE_LEN];
	int err = ERR_DENIED;

	nonce_make(head->boot, head->counter, nonce);
	for (unsigned i = 0; i < s->n_keys; i++) {
		unsigned long long len;

		if ((uint8_t)s->keys[i].epoch != wire[1])
			continue;
		err = ERR_CRYPTO;
		if (crypto_aead_xchacha20poly1305_ietf_decrypt(buf_room(out, n - head_len), &len, NULL, wire + head_len,
		                                               n - head_len, ad, n_ad, nonce, s->keys[i].key) == 0) {
			head->key_epoch = s->keys[i].epoch;
			buf_add(out, (size_t)len);
			return 0;
		}
	}
	return err;
}

static int open_near(const struct seal *s, const uint8_t *wire, size_t n, seal_boot_fn *boot_of, void *arg,
                     const uint8_t *ad, struct gossip_head *head, struct buf *out)
{
	uint32_t tag = (uint32_t)get_be(wire + 2, 4);
	int err = ERR_AGAIN;
	uint64_t highest;

	for (unsigned nth = 0; boot_of && boot_of(arg, tag, nth, head->boot, &highest); nth++) {
		head->counter = counter_near(get_be(wire + 8, 3), highest);
		err = open_keys(s, wire, n, NEAR_LEN, ad, NEAR_LEN + BOOT_LEN, head, out);
		if (err == 0)
			break;
	}
	return err;
}

int seal_open(const struct seal *s, const uint8_t *wire, size_t n, seal_boot_fn *boot_of, void *arg,
              struct gossip_head *head, struct buf *out)
{
	static const size_t head_len[] = { [GOSSIP_NEAR] = NEAR_LEN, [GOSSIP_FAR] = FAR_LEN, [GOSSIP_FIRST] = FIRST_LEN };
	uint8_t ad[AD_MAX];
	size_t len;

	*head = (struct gossip_head){ 0 };
	if (n < 2 || n > GOSSIP_DGRAM_MAX || (wire[0] & 0xf0) != MAGIC || (wire[0] & 0x0f) < GOSSIP_NEAR ||
	    (wire[0] & 0x0f) > GOSSIP_CLEAR)
		return ERR_MALFORMED;
	head->form = (enum gossip_form)(wire[0] & 0x0f);
	if (head->form == GOSSIP_CLEAR) {
		buf_put(out, wire + 1, n - 1);
		return 0;
	}
	len = head_len[head->form];
	if (n < len + MAC_LEN)
		return ERR_MALFORMED;
	memcpy(ad, wire, len);
	memcpy(ad + len, s->boot, BOOT_LEN);
	if (head->form == GOSSIP_NEAR) {
		if (memcmp(wire + 6, s->boot, 2) != 0)
			return ERR_AGAIN;
		return open_near(s, wire, n, boot_of, arg, ad, head, out);
	}
	memcpy(head->boot, wire + 2, BOOT_LEN);
	if (head->form == GOSSIP_FIRST) {
		head->counter = get_be(wire + 18, 8);
		return open_keys(s, wire, n, len, ad, len, head, out);
	}
	if (memcmp(wire + 18, s->boot, 2) != 0)
		return ERR_AGAIN;
	head->counter = get_be(wire + 20, 8);
	return open_keys(s, wire, n, len, ad, len + BOOT_LEN, head, out);
}
