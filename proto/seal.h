/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams made secret and fresh: XChaCha20-Poly1305 with the cluster key. The nonce is the sender's
 * boot (16 random bytes per process start) and a counter, so it never repeats. The receiver's boot is
 * authenticated without being sent, so a datagram opens at the one process it was meant for; refusing
 * what that process saw already is gossip's part. Layout (numbers big-endian):
 *
 *   NEAR   D1 | epoch:1 | sender tag:4 | receiver tag:2 | counter:3 | ciphertext | tag:16
 *   FAR    D2 | epoch:1 | sender boot:16 | receiver tag:2 | counter:8 | ciphertext | tag:16
 *   FIRST  D3 | epoch:1 | sender boot:16 | counter:8 | ciphertext | tag:16
 *   CLEAR  D4 | plain bytes
 *
 * epoch: the low byte of the key's epoch, to pick the key. Tags: the first bytes of the boots.
 * Authenticated beside the ciphertext: all of the header, then the receiver's boot (NEAR, FAR).
 */
#ifndef PROTO_SEAL_H
#define PROTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/gossip_msg.h"

#define SEAL_KEYS_MAX 8
#define SEAL_OVERHEAD_NEAR (11 + 16)
#define SEAL_OVERHEAD_FAR (28 + 16)
#define SEAL_OVERHEAD_FIRST (26 + 16)

struct seal {
	struct {
		uint32_t epoch;
		uint8_t key[32];
	} keys[SEAL_KEYS_MAX];                  /* newest epoch first */
	unsigned n_keys;
	uint8_t boot[BOOT_LEN];
	uint64_t counter;                       /* of the last datagram sealed */
};

void seal_init(struct seal *s, const uint8_t boot[BOOT_LEN]);
void seal_fini(struct seal *s);                                         /* wipes the keys */
/* Add a key, or replace the one of this epoch; the oldest falls out when the ring is full. Epoch 0 is refused. */
int seal_key_add(struct seal *s, uint32_t epoch, const uint8_t key[32]);
void seal_key_drop(struct seal *s, uint32_t epoch);
/* Keep only epochs >= `epoch`. */
void seal_key_drop_below(struct seal *s, uint32_t epoch);
uint32_t seal_epoch(const struct seal *s);                              /* the newest; 0: no key */

/*
 * Seal `plain` with the newest key, appending to `out`. to_boot: the receiver's (NEAR, FAR).
 * ERR_CRYPTO without a key (but for CLEAR), ERR_LIMIT when the result would exceed GOSSIP_DGRAM_MAX.
 */
int seal_close(struct seal *s, enum gossip_form form, const uint8_t to_boot[BOOT_LEN],
               const uint8_t *plain, size_t n, struct buf *out);

/* See gossip_boot_by_tag. */
typedef bool seal_boot_fn(void *arg, uint32_t tag, unsigned nth, uint8_t boot[BOOT_LEN], uint64_t *counter);

/* The low byte of the epoch of the key that it says it was sealed with; 0 of what is too short. */
uint8_t seal_epoch_hint(const uint8_t *wire, size_t n);

/*
 * Open a datagram, appending the plain bytes to `out` and filling `head`. On failure `out` is as before:
 *   ERR_MALFORMED  not of this layout            STRANGER_MALFORMED
 *   ERR_DENIED     no key of this epoch          STRANGER_KEY
 *   ERR_AGAIN      for another boot of ours, or from a boot `boot_of` does not know   STRANGER_STALE
 *   ERR_CRYPTO     does not fit the key          STRANGER_FORGED
 */
int seal_open(const struct seal *s, const uint8_t *wire, size_t n, seal_boot_fn *boot_of, void *arg,
              struct gossip_head *head, struct buf *out);

#endif
