/* SPDX-License-Identifier: Apache-2.0 */
/* Between nodes that do not share the cluster key yet: boxes for one node, and the knock of a node without the key. */
#ifndef CLUSTER_BOX_H
#define CLUSTER_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/card.h"

/*
 * Bytes for one node only, from anyone: crypto_box_seal to the X25519 form of its Ed25519 key.
 * `rnd` is 32 fresh random bytes (the ephemeral key's seed). box_seal appends n + 48 bytes.
 */
int box_seal(const uint8_t public_key[32], const uint8_t rnd[32], const uint8_t *plain, size_t n, struct buf *out);
int box_open(const uint8_t public_key[32], const uint8_t secret_key[64], const uint8_t *wire, size_t n,
                  struct buf *out);

/*
 * The payload of a KNOCK: public key, name, boot, signed by the node itself. knock_open verifies;
 * what it returns in `k` needs no freeing.
 */
struct knock {
	uint8_t public_key[32];
	uint8_t boot[BOOT_LEN];
	char name[CARD_NAME_MAX];
};
int knock_make(const struct knock *k, const uint8_t secret_key[64], struct buf *out);
int knock_open(const uint8_t *p, size_t n, struct knock *k);

#endif
