/* SPDX-License-Identifier: Apache-2.0 */
/* The knock of a node that does not share the cluster key yet. Keys travel in the boxes of cluster/keys.h. */
#ifndef CLUSTER_BOX_H
#define CLUSTER_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/card.h"

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
