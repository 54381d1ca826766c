/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mesh: messages of any size to one member, encrypted and authenticated (ZeroMQ, CURVE). Each node
 * binds one socket that only receives, and has one that only sends, with a connection per member made
 * when there is something to say and closed when there was not for a while: no byte flows at rest.
 *
 * Who may speak is the set of peers: the ZAP handler refuses every other key, and what a removed peer
 * still sends over its open connection is dropped. Who lives is gossip's business, not ours.
 */
#ifndef DIRECTORD_MESH_H
#define DIRECTORD_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "cluster/id.h"

struct ev_loop;
struct log;
struct mesh;

#define MESH_MESSAGE_MAX (8u << 20)     /* bytes of a message; the connection of who sends more is closed */
#define MESH_QUEUE_MAX 128              /* messages that wait for one peer */

struct mesh_conf {
	uint8_t curve_public[32], curve_secret[32];
	const struct addr *listen;      /* n 0: all addresses */
	unsigned n_listen;
	uint16_t port;                  /* of the listen addresses that have none; 0: any free one (tests) */
	unsigned idle_ms;               /* close a connection unused for so long; 0: half a minute */
	const struct log *log;
};

struct mesh_ops {
	/* From a peer in the set; `from` is proven by its key. Bytes are borrowed. */
	void (*received)(void *arg, const struct node_id *from, const uint8_t *p, size_t n);
	/* Our connection to the peer is made; it broke (not told when we closed it ourselves). May be NULL. */
	void (*up)(void *arg, const struct node_id *peer);
	void (*down)(void *arg, const struct node_id *peer);
	/* Someone with a key that is not in the set, or with none; `from` is its IP address as text. May be NULL. */
	void (*refused)(void *arg, const char *from, const uint8_t *curve_public);
};

struct mesh_counts {
	uint64_t in, out, bytes_in, bytes_out;
	uint64_t refused;               /* keys that are not in the set */
	uint64_t dropped;               /* messages of removed peers, or malformed ones */
	uint64_t full;                  /* sends refused by a full queue */
	unsigned peers, up;
};

struct mesh *mesh_new(struct ev_loop *loop, const struct mesh_conf *conf, const struct mesh_ops *ops, void *arg, char **why);
void mesh_free(struct mesh **m);

/*
 * Add a peer, or change where it is; its CURVE key never changes (the id is a hash of it). A changed
 * address drops what was queued for the old one. `addr` with family 0: it may speak, but we know no way to it.
 */
void mesh_peer_set(struct mesh *m, const struct node_id *id, const uint8_t curve_public[32], const struct addr *addr);
void mesh_peer_remove(struct mesh *m, const struct node_id *id);
/* The peer came back, or was seen dead: drop its connection with all that is queued; the next send makes a new one. */
void mesh_peer_reset(struct mesh *m, const struct node_id *id);
bool mesh_peer_known(const struct mesh *m, const struct node_id *id);

/*
 * Send (copied). ERR_NOENT: no such peer, or no address. ERR_AGAIN: its queue is full. ERR_LIMIT: too long.
 * ERR_UNREACHABLE: the connection was given up; try again. 0 is no promise of delivery. Messages to one peer stay in order while its connection lasts.
 */
int mesh_send(struct mesh *m, const struct node_id *to, const void *p, size_t n);
void mesh_counts(const struct mesh *m, struct mesh_counts *out);
uint16_t mesh_port(const struct mesh *m);

#endif
