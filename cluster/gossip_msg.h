/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gossip says, as plain structs: datagrams between two nodes, and sync messages over the mesh.
 * proto/peer turns them into bytes and back; proto/seal makes the bytes secret and fresh.
 */
#ifndef CLUSTER_GOSSIP_MSG_H
#define CLUSTER_GOSSIP_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "cluster/card.h"
#include "cluster/facts.h"
#include "cluster/id.h"

#define GOSSIP_DGRAM_MAX 1232           /* bytes of a datagram with everything; fits IPv6's smallest MTU */
#define GOSSIP_UPDATES_MAX 64           /* in one datagram */
#define GOSSIP_BLOB_MAX 1024

/* Ordered: of two statements with one incarnation the greater state wins. */
enum member_state {
	MEMBER_ALIVE,
	MEMBER_SUSPECT,
	MEMBER_FAILED,
	MEMBER_LEFT,
};

enum gossip_msg_kind {
	GOSSIP_PING = 1,        /* answer with ACK(seq) */
	GOSSIP_ACK,
	GOSSIP_PINGREQ,         /* ping `target` for me; answer ACK(seq) or NACK(seq) */
	GOSSIP_NACK,            /* the relay is well, its ping is unanswered */
	GOSSIP_NEWS,            /* updates only */
	GOSSIP_HELLO,           /* first contact, may be a replay: nothing in it is obeyed */
	GOSSIP_WELCOME,         /* the answer, sealed for the boot that said HELLO: fresh */
	GOSSIP_JOIN,            /* the third: sealed for the boot that said WELCOME */
	GOSSIP_REFUSE,          /* instead of WELCOME */
	GOSSIP_QUERY,           /* send me the card of `target` */
	GOSSIP_KNOCK,           /* in clear: a node without the key shows itself */
	GOSSIP_BLOB,            /* in clear: sealed to one node's public key by the aggregator (offer of a key) */
	GOSSIP_PASS,            /* sealed, not gossip's: bytes for the receiver's agreement */
};

enum gossip_refusal {
	GOSSIP_REFUSE_VERSION = 1,
	GOSSIP_REFUSE_CLONE,
	GOSSIP_REFUSE_REMOVED,
};

/* A statement about a member. */
struct gossip_update {
	struct node_id id;
	enum member_state state;
	uint32_t incarnation;
	uint32_t card_incarnation;      /* of the newest card the teller knows, */
	uint32_t boot_tag;              /* and the first four bytes of the boot in it */
	struct node_id by;              /* SUSPECT, FAILED: who accuses; none otherwise */
	const struct card *card;        /* NULL: not included */
	struct addr clone;              /* a second process with this identity was refused there */
};

struct gossip_msg {
	enum gossip_msg_kind kind;
	uint32_t seq;                   /* PING, ACK, PINGREQ, NACK */
	uint32_t hash;                  /* PING, ACK: digest of the member list; 0: not included */
	uint32_t facts;                 /* PING, ACK: of all facts, when there is one of the members */
	bool confirm;                   /* NEWS: probe the suspects named here yourself, now */
	struct node_id from;            /* datagrams with the full boot in front: who sends */
	struct node_id target;          /* PINGREQ, QUERY */
	const struct card *card;        /* HELLO, WELCOME, JOIN, REFUSE: of the sender */
	uint8_t cluster[8];             /* HELLO: of the sender's cluster */
	uint32_t known;                 /* WELCOME: the highest incarnation known of the receiver */
	struct addr seen;               /* WELCOME: the receiver's address as seen; REFUSE CLONE: the other's */
	                                /* (its card comes with it, in `updates`, unless it is the sender's) */
	enum gossip_refusal refusal;    /* REFUSE */
	const struct gossip_update *updates;
	unsigned n_updates;
	const uint8_t *blob;            /* KNOCK, BLOB, PASS */
	unsigned n_blob;
};

/*
 * How a datagram is sealed. NEAR: both know each other's boot, the header is short. FAR: for a known
 * boot, with the sender's boot in full. FIRST: for any boot, HELLO only. CLEAR: not sealed; KNOCK, BLOB.
 */
enum gossip_form {
	GOSSIP_NEAR = 1,
	GOSSIP_FAR,
	GOSSIP_FIRST,
	GOSSIP_CLEAR,
};

/* What the seal says of a datagram that opened. */
struct gossip_head {
	enum gossip_form form;
	uint32_t key_epoch;             /* of the key it was sealed with; 0 when CLEAR */
	uint8_t boot[BOOT_LEN];         /* the sender's */
	uint64_t counter;               /* the sender's, grows with each datagram of this boot */
};

enum gossip_sync_kind {
	SYNC_OFFER = 1,         /* my two hashes; silence when they are equal to yours, else your DIGEST */
	SYNC_DIGEST,            /* all I have; send what I lack, and your DIGEST if `want` */
	SYNC_DELTA,             /* members, facts; `more`: ask again with a DIGEST */
};

struct sync_have {
	struct node_id id;
	bool member;                    /* state and incarnation are set */
	enum member_state state;
	uint32_t incarnation, card_incarnation, boot_tag;
	uint64_t floor, max;            /* facts */
};

struct gossip_sync {
	enum gossip_sync_kind kind;
	bool want, more;
	uint64_t members_hash, facts_hash;              /* OFFER */
	const struct sync_have *have; unsigned n_have;  /* DIGEST; ordered by id */
	const struct gossip_update *members; unsigned n_members;   /* DELTA */
	const struct facts_part *parts; unsigned n_parts;          /* DELTA */
};

#endif
