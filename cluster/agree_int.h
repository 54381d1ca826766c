/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside agreement. The files of this noun share one struct:
 *   agree.c        inputs in, outputs out: messages, timers, status
 *   agree_keep.c   what is applied and what is durable: puts, snapshots, the start from disk
 *   agree_view.c   from a view to an active epoch: rounds, promises, the log an epoch begins with
 *   agree_order.c  an active epoch: the sequencer, acknowledgements, commit
 *   agree_direct.c what members tell each other without CPG, and when it is cast after all
 *   agree_ask.c    proposals and their answers
 *   agree_pull.c   entries and snapshots over the mesh, for laggards and learners
 */
#ifndef CLUSTER_AGREE_INT_H
#define CLUSTER_AGREE_INT_H

#include "cluster/agree.h"
#include "cluster/agree_log.h"
#include "cluster/plant.h"

#define COLLECT_MS 300          /* wait for the STATE of all members this long */
#define RECOVER_MS 1000         /* an epoch that is not active by then is given up for another round */
#define RECOVER_MAX_MS 10000
#define SEQUENCE_MS 1000        /* a proposal that is not in the log by then: the sequencer hangs */
#define STALL_MS 1000           /* own casts that do not come back */
#define PULL_MS 300             /* repeat a pull */
#define LEARN_MS 1000           /* a learner asks at least this often */
#define COMMIT_MS 1000          /* the commit index is made durable by then, if nothing else is stored */
#define DIRECT_MS 20            /* what was told directly is cast too by then, if it had no effect */
#define DIRECT_BYTES 800        /* of a payload that goes into one datagram with all that is around it */
#define DIRECT_MISSES 3         /* so many in a row in vain: cast at once */
#define REPORT_MS 300           /* the state hash is reported by then after the last apply */
#define SNAP_KEEP_MS 15000      /* an encoded snapshot is kept for joiners */
#define SUBSCRIBE_MS 5000

#define PENDING_MAX 256
#define PIPELINE_MAX 256        /* entries in the log above commit */
#define PIPELINE_BYTES (4u << 20)
#define LOG_BYTES_MAX (128u << 20)      /* no proposals above it: snapshots are not being made */
#define SNAP_BYTES (16u << 20)  /* log bytes above a snapshot that ask for a new one */
#define SUBSCRIBERS_MAX 64
#define WAITING_MAX 32
#define PUTS_MAX 64
#define HASHES 64

enum phase {
	PHASE_NONE,             /* no view */
	PHASE_COLLECT,          /* STATEs are coming */
	PHASE_NO_QUORUM,        /* they came, and no majority with them */
	PHASE_PROMISE,          /* a majority is to promise the new epoch */
	PHASE_SYNC,             /* a majority is to have the log that it begins with */
	PHASE_ACTIVE,
};

struct member {
	struct node_id id;
	bool has_state, in_set, promised, synced, mute, differs;
	uint64_t boot;
	struct agree_state state;
	struct agree_at acked;
	uint64_t asked;                 /* its highest proposal that we, as the sequencer, have looked at */
	uint64_t hash_index;            /* its newest report of a state hash */
	uint8_t hash[AGREE_HASH_LEN];
};

struct pending {
	struct agree_rid rid;
	enum agree_kind kind;
	uint8_t *payload;
	uint32_t len;
	struct node_id origin;          /* a learner; NODE_ID_NONE: our own client */
	struct mono deadline, asked_at; /* asked_at MONO_NEVER: not asked in this epoch */
	uint64_t ask;                   /* which of our proposals: a copy of one that was answered is known by it */
	struct mono cast_due;           /* told directly; cast it too then */
	bool cast_ever;                 /* it may be in some log: in doubt until it is applied */
	unsigned n_forwarded;           /* likewise, in that of another voter */
	uint64_t index;                 /* FORWARDED said so */
	int32_t result;
};

struct put_mark {
	uint64_t seq, promised, synced, commit;
};

struct subscriber {
	struct node_id id;
	struct agree_at after;
	struct mono until;
};

struct agree {
	struct agree_conf conf;
	struct mono now;
	bool started, store_failed, diverged;
	int store_err;
	char reason[160];               /* why the store failed or the state diverged */
	char votes[160];                /* why there is no quorum */

	/* durable, as in memory and as known to be stored */
	struct agree_log log;
	bool has_log;
	uint8_t lineage[16];
	uint64_t promised, synced, commit;
	uint64_t ok_promised, ok_synced, ok_commit;
	uint64_t put_seq, stored_seq;
	struct put_mark mark[PUTS_MAX];
	unsigned n_mark;
	struct agree_snap *install, *compact;           /* to go into the next put; ours */
	uint64_t put_from, cut_from, drop_below;        /* likewise: entries from, delete from, delete below; 0: none */
	bool put_meta;
	struct mono commit_due;

	/* applied */
	uint64_t emitted, applied;
	bool installing;
	struct roster applied_roster;           /* what is acted upon: a restart here would still know it */
	struct roster taken_roster;             /* of a snapshot that is not stored yet, */
	uint64_t taken_index;                   /* and its index; 0: there is none */
	struct agree_done done[AGREE_WINDOW];
	unsigned n_done, done_head;             /* ring; head is the oldest when full */
	struct { uint64_t index; uint8_t hash[AGREE_HASH_LEN]; } hash[HASHES];
	uint64_t reported;
	struct mono report_due;
	uint64_t snap_index, snap_bytes;        /* of the stored snapshot; payload bytes applied since */
	uint64_t snap_after;                    /* one was too long: none is asked for before this is applied */
	bool snap_asked, snap_wanted;

	/* view and epoch */
	bool local;
	enum phase phase;
	struct member member[AGREE_MEMBERS_MAX];
	unsigned n_member;
	uint64_t round, tag, epoch;
	struct agree_at begin;                  /* the log that the epoch begins with ends here */
	struct node_id sequencer;
	struct node_id best;
	struct roster quorum, quorum_before;    /* of the log that the epoch begins with */
	bool quorum_joint;
	bool in_set;                            /* our STATE was among those that decided */
	bool installed;                         /* our log has `begin`, and synced == epoch */
	bool said_promised, said_synced;
	uint64_t acked, acked_cast;             /* said at all, and by a cast */
	struct mono collect_due, recover_due;
	unsigned recover_ms;
	uint64_t seen;                          /* highest index heard of in this epoch */

	/* told directly */
	uint64_t cast_upto;                     /* as the sequencer: entries up to here need no cast any more */
	uint64_t cast_mark, ack_mark;           /* the last that was told when these were set: */
	struct mono cast_due, ack_due;          /* it is looked at then, and cast if need be */
	uint64_t n_asked;
	unsigned misses;                        /* times in a row that a cast was needed after all */

	/* own casts on their way */
	uint64_t n_sent, n_back;
	struct mono sent_at;

	/* proposals */
	struct pending *pending[PENDING_MAX];
	unsigned n_pending;

	/* pulling */
	struct node_id learn, pull_from;
	bool pulling;
	struct mono pull_due;
	unsigned pull_turn;
	struct agree_entry **stage;             /* uncommitted entries on the way to `begin` */
	unsigned n_stage, stage_cap;
	struct agree_snap *rx;                  /* a snapshot arriving */
	uint32_t rx_total, rx_got;
	struct node_id rx_from;
	/* being pulled from */
	struct subscriber sub[SUBSCRIBERS_MAX];
	unsigned n_sub;
	struct agree_snap *cache;
	struct mono cache_until;
	struct node_id waiting[WAITING_MAX];
	unsigned n_waiting;

	/* outputs of this step */
	struct agree_msg *cast;
	unsigned n_cast, cast_cap, n_looped;
	struct agree_send *send;
	unsigned n_send, send_cap;
	const struct agree_entry **commit_out;
	unsigned n_commit_out, commit_cap;
	const struct agree_entry **put_entry;
	unsigned put_cap;
	struct agree_reply *reply;
	unsigned n_reply, reply_cap;
	const struct agree_snap *install_out;
	struct agree_put put;
	struct agree_status status;
	struct agree_member status_member[AGREE_MEMBERS_MAX];
	bool status_changed;
	bool need_snapshot;
	void **gone;                            /* freed at the next step */
	unsigned n_gone, gone_cap;
	uint64_t n_malformed, n_stale;
};

/* agree.c */
struct agree_msg *agree_cast(struct agree *a, enum agree_msg_kind kind);
struct agree_msg *agree_send(struct agree *a, const struct node_id *to, enum agree_msg_kind kind);
/* Free `p` at the next step: an output may point to it. */
void agree_later(struct agree *a, void *p);
/* Something durable changed; entries from `index` on (0: none) are to be written. */
void agree_dirty(struct agree *a, uint64_t index);
/* Cut the log, in memory and in the next put. */
void agree_cut(struct agree *a, uint64_t from);
bool agree_mute(const struct agree *a);
struct member *agree_member(struct agree *a, const struct node_id *id);
void agree_snap_drop(struct agree_snap **s);
void agree_snap_later(struct agree *a, struct agree_snap **s);

/* agree_keep.c */
void agree_keep_start(struct agree *a, const struct agree_disk *d);
void agree_keep_found(struct agree *a, const struct agree_snap *s);
void agree_keep_stored(struct agree *a, uint64_t seq, int err);
void agree_keep_applied(struct agree *a, const struct agree_applied *ap, unsigned n);
void agree_keep_snapshot(struct agree *a, uint64_t index, const uint8_t *bytes, uint32_t len);
void agree_keep_want(struct agree *a);          /* ask for a snapshot if one is due */
const struct agree_put *agree_keep_put(struct agree *a);
void agree_emit(struct agree *a);
void agree_diverge(struct agree *a, const char *why);
/* Applied state, window and roster become those of `s`. */
void agree_snap_take(struct agree *a, const struct agree_snap *s);
const uint8_t *agree_hash_at(const struct agree *a, uint64_t index);
const struct agree_done *agree_done_find(const struct agree *a, const struct agree_rid *rid);

/* agree_view.c */
void agree_view_set(struct agree *a, bool local, const struct node_id *id, unsigned n);
void agree_view_again(struct agree *a, const char *why);
void agree_view_msg(struct agree *a, struct member *m, const struct agree_msg *msg);
void agree_view_stored(struct agree *a);
void agree_view_timer(struct agree *a);
struct mono agree_view_wake(const struct agree *a);
void agree_view_installed(struct agree *a);
/* Are those of `yes` a majority of the current roster, and of the one before while that counts too? */
bool agree_view_majority(const struct agree *a, bool (*yes)(const struct agree *, const struct member *));

/* agree_order.c */
void agree_order_msg(struct agree *a, struct member *m, const struct agree_msg *msg, bool direct);
/* The last entry that is durable, with all before it. */
uint64_t agree_order_durable(const struct agree *a);
void agree_order_ack(struct agree *a);
void agree_order_ack_cast(struct agree *a);
/* How far this member's acknowledgement counts: only what it has is what we have. */
uint64_t agree_order_acked(const struct agree *a, const struct member *m);
void agree_order_commit(struct agree *a);
void agree_order_begin(struct agree *a);
/* As the sequencer: make it the next entry. 0 (also if it is in the log already), or why not. */
int agree_order_next(struct agree *a, const struct agree_rid *rid, enum agree_kind kind, const uint8_t *payload,
		     uint32_t len);
void agree_order_report(struct agree *a);
void agree_commit_to(struct agree *a, uint64_t index);

/* agree_direct.c */
bool agree_direct(const struct agree *a);       /* is there anyone to tell anything directly? */
void agree_direct_entry(struct agree *a, const struct agree_entry *e);          /* a new one of ours */
void agree_direct_ack(struct agree *a, const struct agree_msg *ack);
/* False: it has to be cast. Else fill it in. */
bool agree_direct_propose(struct agree *a, struct pending *p, struct agree_msg **m);
void agree_direct_missed(struct agree *a);
void agree_direct_reset(struct agree *a);
void agree_direct_timer(struct agree *a);
struct mono agree_direct_wake(const struct agree *a);

/* agree_ask.c */
void agree_ask(struct agree *a, const struct node_id *origin, const struct agree_rid *rid, enum agree_kind kind,
	       const uint8_t *payload, uint32_t len);
void agree_ask_again(struct agree *a);          /* the mode changed: ask, ask again, or answer */
void agree_ask_timer(struct agree *a);
struct mono agree_ask_wake(const struct agree *a);
void agree_ask_applied(struct agree *a, const struct agree_done *d);
void agree_ask_known(struct agree *a);          /* the window came with a snapshot */
void agree_ask_refused(struct agree *a, const struct agree_rid *rid, int err);
void agree_ask_msg(struct agree *a, const struct node_id *from, const struct agree_msg *msg);
void agree_ask_fail(struct agree *a, int err);

/* agree_pull.c */
void agree_pull(struct agree *a);               /* pull if something is missing and nobody was asked */
void agree_pull_reset(struct agree *a);
void agree_pull_msg(struct agree *a, const struct node_id *from, const struct agree_msg *msg);
void agree_pull_timer(struct agree *a);
struct mono agree_pull_wake(const struct agree *a);
void agree_pull_committed(struct agree *a);     /* tell subscribers */
void agree_pull_snapshot(struct agree *a);      /* the cache was filled */

static inline bool agree_active(const struct agree *a)
{
	return a->phase == PHASE_ACTIVE && !agree_mute(a);
}

static inline bool agree_sequencing(const struct agree *a)
{
	return agree_active(a) && a->installed && node_id_eq(&a->sequencer, &a->conf.self);
}

#endif
