/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "This address is mine", as Ethernet frames: ARP for IPv4 (RFC 826, 5227), neighbour discovery for IPv6 (RFC 4861).
 * Bytes only; who sends and hears them is floataddr.c.
 */
#ifndef DIRECTORD_CLAIM_H
#define DIRECTORD_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define CLAIM_FRAME_MAX 96

/* Somebody says, as the holder, that `ip` is at `mac`. */
struct claim {
	struct addr ip;
	uint8_t mac[6];
};

/*
 * The frames that announce `ip` at `mac` to all: for IPv4 a request and a reply (i 0 and 1), since some hosts heed only one
 * of them; for IPv6 an unsolicited advertisement with override (i 0). Returns the length; 0: there is no frame i.
 */
size_t claim_announce(const struct addr *ip, const uint8_t mac[6], unsigned i, uint8_t out[CLAIM_FRAME_MAX]);
/* The frame that asks whether anybody has `ip`, without saying that we do. */
size_t claim_probe(const struct addr *ip, const uint8_t mac[6], uint8_t out[CLAIM_FRAME_MAX]);
/* Does the frame claim an address? A probe of somebody who has none does not. */
bool claim_parse(const uint8_t *frame, size_t n, struct claim *c);

#endif
