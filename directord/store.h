/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this node must not forget: the agreed log, its snapshot, the promised epoch, a few named values.
 * One SQLite file in WAL mode, written by one thread; who asks is told on the loop when it is durable.
 *
 * Order is kept: batches become durable in the order they were put, and completions arrive in that order.
 * Batches that wait together share one transaction (one fsync), but each is whole or absent.
 *
 * After a batch failed for the disk's sake (full, I/O error) the store has failed: every batch fails, until a
 * probe has opened the file again, checked it, and written to it, and changed(0) was called. What failed may
 * be on disk all the same (an fsync that fails tells neither), so after changed(0) the caller reads the disk again
 * with store_load, and goes on from there.
 *
 * The file is held under an exclusive lock, so that two daemons never share one state directory.
 */
#ifndef DIRECTORD_STORE_H
#define DIRECTORD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ev_loop;
struct log;
struct store;

#define STORE_META_KEY_MAX 64           /* bytes of a meta key, text */
#define STORE_VALUE_MAX (64u << 20)     /* bytes of one entry, snapshot part or meta value */

/* A log entry as agreement knows it; `chain` is its hash over the log so far, opaque here. */
struct store_entry {
	uint64_t index, epoch;
	uint8_t kind;
	uint8_t request_id[16];
	uint8_t chain[16];
	const uint8_t *data;
	size_t len;
};

/* The state after entry `index`; what is in it (roster, applied state, lineage ...) is the caller's encoding. */
struct store_snapshot {
	uint64_t index, epoch;
	const uint8_t *data;
	size_t len;
};

/* A named value: "incarnation", "boots", "fact-base", "key-epochs" ... */
struct store_meta {
	const char *key;                /* must not begin with '#' */
	const void *value;              /* NULL: remove the key */
	size_t len;
};

/*
 * One atomic change, with the parts of an agree_put. A zeroed struct is an empty one; the parts apply in the order
 * they stand here. Indices go on without holes from the snapshot (or from 1) to the last entry.
 */
struct store_batch {
	const struct store_snapshot *install;           /* forget the whole log; this is the snapshot now */
	const struct store_snapshot *compact;           /* replaces the snapshot, the log stays */
	uint64_t drop_below;            /* delete entries with index < this (at most the snapshot's index + 1); 0: none */
	uint64_t cut_from;              /* delete entries with index >= this; 0: none */
	const struct store_entry *entries;              /* append */
	unsigned n_entries;
	bool has_marks;                 /* the next three are set, all of them */
	uint64_t promised, synced, commit;
	const struct store_meta *meta;
	unsigned n_meta;
};

/* What is on disk. Given to the caller by store_open and store_load, freed by store_image_fini. */
struct store_image {
	uint64_t promised, synced, commit;              /* 0 before the first */
	bool has_snapshot;
	struct store_snapshot snapshot;
	struct store_entry *entries;    /* contiguous by index, after the snapshot's or overlapping it */
	unsigned n_entries;
	struct store_meta *meta;
	unsigned n_meta;
	void *memory;                   /* what all of it points into */
};

struct store_options {
	const char *dir;                /* the state directory; state.db and facts.db are created in it */
	struct ev_loop *loop;
	const struct log *log;          /* written to on the loop only; may be NULL */
	const char *vfs;                /* an SQLite VFS by name, for tests; NULL: the default */
	unsigned probe_ms;              /* how often a failed store is tried again; 0: 1000 */
	/* Called on the loop when the store fails (err < 0) and when it works again (0). May be NULL. */
	void (*changed)(void *arg, int err, const char *why);
	void *arg;
};

/*
 * Open or create, check and load. On error *s is NULL and `why` (may be NULL) is a sentence that says
 * what to do about it, given to the caller:
 *   ERR_BUSY       another process holds this state directory
 *   ERR_VERSION    the file was written by a newer director
 *   ERR_MALFORMED  the file is damaged
 *   ERR_NOSPC, ERR_IO, ERR_DENIED
 */
int store_open(struct store **s, const struct store_options *o, struct store_image *image, char **why);
/* Writes what is queued, then stops the thread and closes. Completions not yet delivered are not delivered. */
void store_close(struct store **s);
void store_image_fini(struct store_image *image);
/* The value of a meta key in an image, lent by it; NULL if it is not there. */
const struct store_meta *store_image_meta(const struct store_image *image, const char *key);

/*
 * Make `b` durable (borrowed; copied before the call returns), then call done(arg, seq, err) on the loop: 0, or
 * ERR_NOSPC, ERR_IO ... when the store has failed, or ERR_INVAL for a batch that would leave a hole in the log (a bug;
 * nothing of it was written, and the store goes on).
 * `done` may be NULL.
 */
typedef void store_done_fn(void *arg, uint64_t seq, int err);
void store_put(struct store *s, const struct store_batch *b, uint64_t seq, store_done_fn *done, void *arg);
/* Batches put and not yet completed. */
unsigned store_pending(const struct store *s);
/* 0, or the error that the store is stopped by. */
int store_err(const struct store *s);
/* Read the disk again, after a failure was recovered from. Blocks until the thread answers. */
int store_load(struct store *s, struct store_image *image);

/*
 * The facts cache: key to value, written when there is time, never fsynced, dropped when damaged. It makes a
 * restart know at once what it knew before; nothing may depend on it.
 */
void store_fact_put(struct store *s, const void *key, size_t key_len, const void *value, size_t len);
void store_fact_del(struct store *s, const void *key, size_t key_len);
typedef void store_fact_fn(void *arg, const void *key, size_t key_len, const void *value, size_t len);
/* All facts; to be called right after store_open, before the first put. */
void store_facts_load(struct store *s, store_fact_fn *fn, void *arg);

#endif
