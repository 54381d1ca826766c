/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log in memory: a base point, entries after it without gaps, each with the hash chain over all
 * before. It also knows the newest roster in it and the one before that.
 */
#ifndef CLUSTER_AGREE_LOG_H
#define CLUSTER_AGREE_LOG_H

#include "cluster/agree_msg.h"

struct agree_log {
	struct agree_at base;           /* what the first kept entry follows */
	uint64_t base_epoch;
	struct agree_entry **e;         /* e[i] has index base.index + 1 + i */
	unsigned n, cap;
	uint64_t bytes;                 /* payload bytes kept */
	struct roster roster, before;   /* newest, and the one it replaced */
	uint64_t roster_index, before_index;
	struct agree_entry **gone;      /* removed ones, which outputs may still point to */
	unsigned n_gone, gone_cap;
};

void agree_log_fini(struct agree_log *l);
/* Free what was removed in earlier steps. */
void agree_log_sweep(struct agree_log *l);
/* Forget everything; the log goes on from `s`. */
void agree_log_reset(struct agree_log *l, const struct agree_snap *s);

struct agree_at agree_log_last(const struct agree_log *l);
uint64_t agree_log_last_epoch(const struct agree_log *l);
/* The entry at `index`, or NULL if it is not kept. */
struct agree_entry *agree_log_at(const struct agree_log *l, uint64_t index);
/* Is this point in the log (as the base or an entry, with this chain)? */
bool agree_log_has(const struct agree_log *l, const struct agree_at *at);
/* The point at `index`; false if it is not kept. */
bool agree_log_point(const struct agree_log *l, uint64_t index, struct agree_at *at);

/* An entry that is not yet in any log, chained to `before`; payload copied. */
struct agree_entry *agree_entry_make(const struct agree_chain *before, uint64_t index, uint64_t epoch,
				     enum agree_kind kind, const struct agree_rid *rid, const uint8_t *payload,
				     uint32_t len);
/* A copy of `e` if it follows `before` and its chain is right, else NULL. */
struct agree_entry *agree_entry_follow(const struct agree_chain *before, const struct agree_entry *e);
void agree_entry_drop(struct agree_entry **e);
/* The chain that the log of a founding begins with. */
struct agree_chain agree_chain_found(const struct agree_snap *s);
bool agree_chain_eq(const struct agree_chain *a, const struct agree_chain *b);

/* `e` is given; it must follow the last one. A roster that does not parse is left to the caller: false, nothing done. */
bool agree_log_append(struct agree_log *l, struct agree_entry *e);
/* Remove entries with index >= from. */
void agree_log_cut(struct agree_log *l, uint64_t from);
/* Forget entries with index <= upto; the base moves there. */
void agree_log_drop(struct agree_log *l, uint64_t upto);
/* The entry with this request id above `above`, or NULL. */
struct agree_entry *agree_log_find(const struct agree_log *l, const struct agree_rid *rid, uint64_t above);

#endif
