/* SPDX-License-Identifier: Apache-2.0 */
/* What a node says of itself: its card. Spread by gossip; only the node writes it. */
#ifndef CLUSTER_CARD_H
#define CLUSTER_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "cluster/id.h"

#define CARD_ADDRS_MAX 4
#define CARD_NAME_MAX 64                /* with its NUL */
#define CARD_EXTRA_MAX 64
#define CARD_LATER_MAX 96
#define BOOT_LEN 16

struct card {
	struct node_id id;              /* of the public key; not sent */
	uint8_t public_key[32];         /* Ed25519 */
	uint8_t boot[BOOT_LEN];         /* random per process start */
	char name[CARD_NAME_MAX];
	struct addr addrs[CARD_ADDRS_MAX];      /* UDP; the first is the one others talk to. The mesh listens on the same port. */
	uint8_t n_addrs;
	uint32_t incarnation;           /* at which this card was made */
	uint16_t version_min, version_max;      /* protocol versions the node speaks */
	uint64_t features;              /* what it can do beyond that */
	uint8_t extra[CARD_EXTRA_MAX];  /* the aggregator's own bytes (lineage, role …), opaque here */
	uint8_t n_extra;
	uint8_t later[CARD_LATER_MAX];  /* fields of a later version, as they came: told on, never looked at */
	uint8_t n_later;
};

bool card_eq(const struct card *a, const struct card *b);
/* Are the fields possible at all? Every card from outside is asked this. */
bool card_ok(const struct card *c);
/* The first four bytes of a boot, big-endian. */
uint32_t boot_tag(const uint8_t boot[BOOT_LEN]);
bool card_has_addr(const struct card *c, const struct addr *a);

#endif
