/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nouns of agreement: log entries, snapshots, and the messages between members. Data only, so that
 * the codec (proto/agree.h) needs nothing else of this room. Pointers are borrowed unless said.
 */
#ifndef CLUSTER_AGREE_MSG_H
#define CLUSTER_AGREE_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/id.h"
#include "cluster/roster.h"

/* Bounds of everything that comes from peers; the decoder refuses more with ERR_MALFORMED. */
#define AGREE_PAYLOAD_MAX (768u << 10)          /* bytes of one entry */
#define AGREE_MEMBERS_MAX 32                    /* members of one view */
#define AGREE_BATCH_ENTRIES 256                 /* entries in one transfer message */
#define AGREE_BATCH_BYTES (1u << 20)            /* payload bytes in it, the last entry aside */
#define AGREE_MSG_MAX (3u << 20)                /* an encoded message */
#define AGREE_CHUNK_BYTES (256u << 10)          /* bytes of a snapshot in one message */
#define AGREE_SNAPSHOT_MAX (64u << 20)
#define AGREE_WINDOW 1024                       /* request ids remembered with their results */
#define AGREE_HASH_LEN 32                       /* state hash of the applied state */

struct agree_rid {
	uint8_t b[16];
};

/* What stands for a log up to an index: the hash over all entries up to and with it. */
struct agree_chain {
	uint8_t b[16];
};

enum agree_kind {
	AGREE_TXN = 1,          /* payload is the caller's business */
	AGREE_ROSTER,           /* payload is roster_pack() */
};

struct agree_entry {
	uint64_t index, epoch;
	enum agree_kind kind;
	struct agree_rid rid;
	struct agree_chain chain;       /* of this entry; stored with it, checked at start */
	uint32_t len;
	uint8_t *payload;
	uint64_t put_seq;               /* the put that makes it durable; not encoded */
};

/* A request that was applied, and what came of it. */
struct agree_done {
	struct agree_rid rid;
	uint64_t index;
	int32_t result;                 /* 0 or ERR_*, from the apply function */
};

/* The applied state after entry `index`, with what agreement itself must know there. */
struct agree_snap {
	uint8_t lineage[16];
	uint64_t index, epoch;
	struct agree_chain chain;
	struct roster roster;           /* the latest at `index` */
	uint8_t hash[AGREE_HASH_LEN];   /* state hash at `index` */
	struct agree_done *window;      /* oldest first */
	unsigned n_window;
	uint8_t *bytes;                 /* the caller's encoding of the state */
	uint32_t len;
};

/* A point of a log. */
struct agree_at {
	uint64_t index;
	struct agree_chain chain;
};

enum agree_msg_kind {
	/* cast (CPG); PROPOSE, ENTRY and ACK directly to members too */
	AGREE_MSG_STATE = 1,    /* a view began: what my log is */
	AGREE_MSG_PROCEED,      /* go on without the members that have not sent their STATE */
	AGREE_MSG_PROMISED,     /* I shall never follow an epoch before this one */
	AGREE_MSG_SYNCED,       /* I have, durably, the log that this epoch begins with */
	AGREE_MSG_PROPOSE,      /* to the sequencer: please */
	AGREE_MSG_ENTRY,        /* from the sequencer: the next entry */
	AGREE_MSG_ACK,          /* I have it durably, and all before */
	AGREE_MSG_REFUSE,       /* from the sequencer: not this proposal, because */
	/* mesh */
	AGREE_MSG_PULL,         /* give me what follows this point */
	AGREE_MSG_PUSH,         /* entries */
	AGREE_MSG_PULL_SNAP,    /* give me this part of that snapshot */
	AGREE_MSG_SNAP,         /* a part of a snapshot */
	AGREE_MSG_FORWARD,      /* a non-voter's proposal */
	AGREE_MSG_FORWARDED,    /* what came of it */
	/* datagrams of ownership (doc/ownership.md 2, 11); agreement itself does not see them */
	AGREE_MSG_BEAT,         /* an owner's: echo this */
	AGREE_MSG_ECHO,         /* a voter's: it, and where my log ends */
	AGREE_MSG_KEEP,         /* has your director-target the reservations of that version? */
	AGREE_MSG_KEPT,         /* it has */
};

struct agree_state {
	uint8_t lineage[16];
	uint64_t round;
	uint64_t promised, synced;
	struct agree_at last;
	uint64_t commit;
	bool mute;                      /* store failed or diverged: count on me for nothing */
	bool empty;                     /* has no roster at all */
	struct roster roster;           /* the last in my log ... */
	uint64_t roster_index;
	struct roster before;           /* ... and the one before it, if the last is above `commit` */
	bool joint;
};

/* Who took part in a round: index-free, so that it can be cut down by PROCEED. */
struct agree_proceed {
	uint64_t round;
	struct node_id id[AGREE_MEMBERS_MAX];
	unsigned n;
};

struct agree_msg {
	enum agree_msg_kind kind;
	uint64_t boot;                  /* of the sender's process: earlier incarnations are not listened to */
	uint64_t tag;                   /* names view, round, epoch and sequencer; 0 where there is none */
	union {
		struct agree_state state;
		struct agree_proceed proceed;
		struct { uint64_t epoch; } promised;
		struct { uint64_t epoch; struct agree_at at; } synced;
		struct {                                /* FORWARD too */
			struct agree_rid rid;
			enum agree_kind kind;
			const uint8_t *payload;
			uint32_t len;
			uint64_t ask;                   /* PROPOSE: counts those of the sender's process */
		} propose;
		struct { struct agree_entry entry; struct agree_chain before; } entry;
		struct {
			struct agree_at at;
			uint64_t applied;
			uint8_t hash[AGREE_HASH_LEN];
		} ack;
		struct { struct agree_rid rid; struct node_id to; int32_t err; } refuse;
		struct { uint8_t lineage[16]; struct agree_at after; } pull;
		struct {
			struct agree_at after;          /* the entries follow this point */
			uint64_t commit;
			struct agree_entry *entry;
			unsigned n;
			bool more;                      /* there are more: pull again at once */
		} push;
		struct { uint64_t index; uint32_t offset; } pull_snap;
		struct { struct agree_snap snap; uint32_t total, offset; } snap; /* meta at offset 0 only; bytes/len: the part */
		struct { struct agree_rid rid; uint64_t index; int32_t err, result; bool in_doubt; } forwarded;
		/*
		 * BEAT: of whom the asker wants to know for how long it has been silent, none: of nobody; and the epoch of its log.
		 * ECHO: for how many ms, plus one, this voter has not echoed that one; 0: it does not say.
		 */
		struct { uint64_t number, end, silent, epoch; struct node_id asked; } beat;
		struct { uint8_t volume[16]; uint64_t version; } kept;          /* KEEP too */
	};
};

#endif
