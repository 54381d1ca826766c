/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreement: one log on all members, over CPG. Pure: inputs in, outputs out; see doc/agreement.md for
 * the protocol and why it is safe. Nothing that depends on a put leaves before it was reported stored:
 * all parts of one output may go at once, in any order.
 */
#ifndef CLUSTER_AGREE_H
#define CLUSTER_AGREE_H

#include "base/log.h"
#include "base/mono.h"
#include "cluster/agree_msg.h"

struct agree;

struct agree_conf {
	struct node_id self;
	uint64_t boot;                  /* random per process start, never 0 */
	const struct log *log;          /* borrowed for the life of the struct; may be NULL */
	unsigned propose_ms;            /* a proposal is answered after this at the latest; 0: 2500 */
	unsigned keep_entries;          /* log entries kept behind the snapshot for laggards; 0: 1024 */
	unsigned snap_entries;          /* a snapshot is asked for after this many more; 0: 4096 */
};

/* What the store had when the process started, or after a failed store was opened again. */
struct agree_disk {
	uint64_t promised, synced, commit;
	const struct agree_snap *snap;  /* NULL: nothing was ever stored. Comes back as out.install: keep it until then. */
	const struct agree_entry *const *entry;         /* in order of index */
	unsigned n_entry;
};

enum agree_in_kind {
	AGREE_IN_START,         /* first; again after a store failure, with what is on disk then */
	AGREE_IN_FOUND,         /* nothing on disk, and nobody to join: begin a log of our own */
	AGREE_IN_TIMER,         /* out.wake was reached */
	AGREE_IN_VIEW,          /* a CPG configuration change, in its place in the order of casts */
	AGREE_IN_CAST,          /* a message delivered by CPG, our own too */
	AGREE_IN_MESH,          /* a message from a member over the mesh, or in a datagram */
	AGREE_IN_STORED,        /* the put with this seq is durable (err 0), or was not done at all */
	AGREE_IN_PROPOSE,
	AGREE_IN_APPLIED,       /* out.commit (all of it, in order) or out.install was applied */
	AGREE_IN_SNAPSHOT,      /* out.need_snapshot: the state encoded */
	AGREE_IN_LEARN,         /* outside an active view, pull committed entries from this member */
};

struct agree_applied {
	uint64_t index;
	int32_t result;                 /* of the apply function: part of the state, the same everywhere */
	uint8_t hash[AGREE_HASH_LEN];   /* of the state after it */
};

struct agree_in {
	enum agree_in_kind kind;
	struct mono now;                /* always */
	union {
		const struct agree_disk *disk;
		/* Payloads stay the caller's. snap: index and epoch are set here; lineage, roster, hash, bytes by the caller. */
		const struct agree_snap *found;
		struct {
			bool local;             /* no Corosync: a view of ourselves alone */
			const struct node_id *member;   /* everyone in the group, us too; n 0: no view at all */
			unsigned n;
		} view;
		struct { struct node_id from; const struct agree_msg *msg; } msg;       /* CAST, MESH */
		struct { uint64_t seq; int err; } stored;
		struct {
			struct agree_rid rid;
			enum agree_kind kind;
			const uint8_t *payload;
			uint32_t len;
		} propose;
		struct { const struct agree_applied *applied; unsigned n; } applied;
		struct { uint64_t index; const uint8_t *bytes; uint32_t len; } snapshot; /* of the state after `index` */
		struct node_id learn;           /* NODE_ID_NONE: from nobody */
	};
};

/*
 * One durable transaction: all of it or none. In this order: `install` (forget the whole log, the state
 * becomes this snapshot), or `compact` (the snapshot is replaced by this one); entries with index
 * < drop_below are deleted; entries with index >= cut_from are deleted (0: none); `entry` are added;
 * promised, synced, commit are set. Puts are stored in the order of their seq.
 */
struct agree_put {
	uint64_t seq;
	const struct agree_snap *install, *compact;
	uint64_t drop_below, cut_from;
	const struct agree_entry *const *entry;
	unsigned n_entry;
	uint64_t promised, synced, commit;
};

struct agree_send {
	struct node_id to;
	bool quick;             /* small, wanted soon, and may be lost: a datagram will do */
	struct agree_msg msg;
};

struct agree_reply {
	struct agree_rid rid;
	int err;                /* 0: committed at `index`, applied here, with `result`; else ERR_*: */
	uint64_t index;
	int32_t result;
	bool in_doubt;          /* with err: it may still have been, or be, committed; ask again with the same rid */
};

enum agree_mode {
	AGREE_NO_VIEW,          /* no Corosync, or it has not formed a ring */
	AGREE_RECOVERING,       /* members compare their logs */
	AGREE_ACTIVE,           /* proposals are taken */
	AGREE_NO_QUORUM,
	AGREE_STORE_FAILED,
	AGREE_DIVERGED,
};

struct agree_member {
	struct node_id id;
	bool synced;            /* takes part in the current epoch with a durable log */
	bool mute;              /* said that its store failed or its state diverged */
	bool differs;           /* its state hash differed from ours at the same index */
	uint64_t acked;
};

struct agree_status {
	enum agree_mode mode;
	const char *reason;     /* a sentence; static or lent */
	bool has_log;           /* a lineage and a roster are known */
	bool kept;              /* and a restart would know them: they are on this disk */
	bool local;             /* the view is the local one */
	bool sequencer;         /* we give the order in this epoch */
	bool remembers;         /* it took part in an epoch, and its disk still has that: its log's end says what it acknowledged */
	bool stalled;           /* our own casts have not come back for more than a second */
	uint8_t lineage[16];
	uint64_t epoch, first, last, commit, applied;
	uint64_t durable;       /* the last entry that is on this disk with all before it */
	uint64_t order;         /* the epoch whose order our log is a part of; 0: it may have what nobody else has */
	struct roster roster;   /* committed */
	bool roster_pending;    /* a change of it is in the log and not committed yet */
	const struct agree_member *member;      /* the view's */
	unsigned n_member;
	uint64_t n_malformed, n_stale;          /* messages not obeyed, for the counters */
};

struct agree_out {
	const struct agree_put *put;            /* NULL: nothing to store */
	const struct agree_msg *cast;
	unsigned n_cast;
	const struct agree_send *send;
	unsigned n_send;
	/* The state becomes this (from a member, or from our disk at START); answer with APPLIED (one item). */
	const struct agree_snap *install;
	const struct agree_entry *const *commit;        /* apply in order; answer with APPLIED */
	unsigned n_commit;
	const struct agree_reply *reply;
	unsigned n_reply;
	bool need_snapshot;                     /* answer with SNAPSHOT of the state as it is now */
	const struct agree_status *status;      /* never NULL */
	bool status_changed;                    /* mode, roster, sequencer or reason differ from the step before */
	struct mono wake;                       /* TIMER is due then */
};

struct agree *agree_new(const struct agree_conf *conf);
void agree_free(struct agree **a);
/* Everything in `out` is lent until the next step. Commits and installs must be applied before it. */
void agree_step(struct agree *a, const struct agree_in *in, struct agree_out *out);

/* For catching up and history: the entry at `index`, lent until the next step; NULL if it is not kept. */
const struct agree_entry *agree_entry_at(const struct agree *a, uint64_t index);
const char *agree_mode_name(enum agree_mode mode);

#endif
