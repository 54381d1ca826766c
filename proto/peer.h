/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams and sync messages as bytes (proto/peer.proto) and back. */
#ifndef PROTO_PEER_H
#define PROTO_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/gossip_msg.h"

#define PEER_SYNC_MAX (1u << 20)        /* bytes of a sync message */

/* Append the plain bytes of `msg`. What goes in is ours, so it cannot fail. */
void peer_dgram_encode(const struct gossip_msg *msg, struct buf *out);
void peer_sync_encode(const struct gossip_sync *sync, struct buf *out);

/*
 * Decode. ERR_MALFORMED leaves *msg empty. What it points to lives until peer_*_fini. All lengths,
 * texts, paths and limits are checked here: what decodes is well-formed.
 */
struct peer_dgram {
	struct gossip_msg msg;
	void *mem;
};
int peer_dgram_decode(const uint8_t *p, size_t n, struct peer_dgram *d);
void peer_dgram_fini(struct peer_dgram *d);

struct peer_sync {
	struct gossip_sync sync;
	void *mem;
};
int peer_sync_decode(const uint8_t *p, size_t n, struct peer_sync *s);
void peer_sync_fini(struct peer_sync *s);

#endif
