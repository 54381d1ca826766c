/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster key and its epochs. Every member holds the newest key; an older one is kept until all
 * members have the newer. A key travels only in a box for one member's identity, so that a rotation
 * can be written into the agreed log (where a removed node could read it) without giving it away.
 */
#ifndef CLUSTER_KEYS_H
#define CLUSTER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/id.h"

#define KEYS_MAX 8
#define KEY_BOX_LEN (32 + 24 + 32 + 16) /* the sender's public key, a nonce, the key, the authenticator */

struct key {
	uint32_t epoch;         /* from 1; 0 is no key */
	uint8_t secret[32];
};

struct keys {
	struct key k[KEYS_MAX]; /* by epoch, oldest first */
	unsigned n;
};

/* Add or replace the key of an epoch; the oldest falls out when there are too many. Says whether anything changed. */
bool keys_add(struct keys *ks, const struct key *k);
/* The key of this epoch, lent; NULL if it is not there. */
const struct key *keys_find(const struct keys *ks, uint32_t epoch);
/* The newest, lent; NULL if there is none. */
const struct key *keys_newest(const struct keys *ks);
/* Forget all keys older than `epoch`. Says whether any was there. */
bool keys_drop_before(struct keys *ks, uint32_t epoch);

/* Is the epoch whose low byte this is older (-1), the same (0) or newer (1) than the newest here? Epochs are near each other. */
int keys_hint_order(const struct keys *ks, uint8_t hint);

/* The public name of a cluster, which tells nothing of its key: 16 hex digits of a hash of the lineage; `out` holds 17 bytes. */
char *keys_cluster_hash(const uint8_t lineage[16], char *out);
/* Derive `n` bytes for another use ("corosync") from a key and a salt. n <= 1024. */
void keys_derive(const struct key *k, const char *use, const uint8_t salt[16], uint8_t *out, size_t n);

/*
 * Seal `k` from the node with the Ed25519 pair (sender_public, sender_secret) to the node with Ed25519
 * key `receiver`. Deterministic: the nonce is a hash of everything that goes in, keyed with the sender's
 * secret, so that two different keys never meet one nonce. 0, or ERR_CRYPTO for a key that is not a curve point.
 */
int keys_box(const struct key *k, const uint8_t sender_public[32], const uint8_t sender_secret[64],
             const uint8_t receiver[32], uint8_t out[KEY_BOX_LEN]);
/* Open it with our own secret. The sender's public key is in the box; *sender says who it was. 0 or ERR_CRYPTO. */
int keys_unbox(const uint8_t box[KEY_BOX_LEN], uint32_t epoch, const uint8_t own_secret[64],
               struct key *k, struct node_id *sender);

#endif
