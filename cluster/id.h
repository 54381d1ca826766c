/* SPDX-License-Identifier: Apache-2.0 */
/* Who a node is: the hash of its public key. Everything else about it may change. */
#ifndef CLUSTER_ID_H
#define CLUSTER_ID_H

#include <stdbool.h>
#include <stdint.h>

struct node_id {
	uint8_t b[16];
};

#define NODE_ID_NONE ((struct node_id){ { 0 } })

/* The id of the node with this Ed25519 public key: BLAKE2b-128 of it. */
struct node_id node_id_of_key(const uint8_t public_key[32]);
int node_id_cmp(const struct node_id *a, const struct node_id *b);
bool node_id_eq(const struct node_id *a, const struct node_id *b);
bool node_id_none(const struct node_id *a);
/* 32 hex digits; `out` holds 33 bytes. Returns out. */
char *node_id_text(const struct node_id *a, char *out);
int node_id_parse(const char *s, struct node_id *a);
/* The fingerprint that people compare: BLAKE2b-128 in groups, "3f2a-91c0-…"; `out` holds 40 bytes. Returns out. */
char *node_id_fingerprint(const struct node_id *a, char *out);

#endif
