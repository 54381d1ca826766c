/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction: what a person or program wants changed, as data. One transaction is one agreed entry;
 * it applies whole or not at all.
 */
#ifndef CLUSTER_TXN_H
#define CLUSTER_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/obj.h"
#include "cluster/own.h"

#define TXN_OPS_MAX 10000
#define KEEP_BLOB_MAX (64u << 10)

enum txn_op_kind {
	TXN_CREATE = 1,         /* the path must not exist; its parent must */
	TXN_SET,                /* the path must exist; an empty value resets to the default */
	TXN_DELETE,             /* the path must exist, with all that is below it */
	/*
	 * The machine's own, of a volume (cluster/volume.h); alone in their transaction. Their precondition is in them: where it
	 * does not hold they are refused with ERR_CONFLICT. They raise no generation and are in no history.
	 */
	TXN_OWN,                /* `own`: own_apply */
	TXN_KEEP,               /* `keep`: other reservations */
};

/* The reservations of a volume go on from `version` to the next, which is the blob. */
struct txn_keep {
	uint8_t volume[16];
	uint64_t version;
	uint8_t *blob;
	size_t n;               /* at most KEEP_BLOB_MAX */
};

struct txn_op {
	enum txn_op_kind kind;
	char *path;
	struct attrs attrs;     /* CREATE, SET */
	uint64_t if_generation; /* precondition: the object's generation; 0: any */
	struct own_change own;  /* OWN */
	struct txn_keep keep;   /* KEEP */
};

struct txn {
	uint8_t request_id[16]; /* applied once however often it is proposed */
	char *author;           /* "root" */
	char *node;             /* the name of the node where it was typed */
	char *message;          /* why; may be empty */
	uint64_t time_ms;       /* wall clock of the proposer; for people */
	uint64_t base;          /* log index the candidate was based on; 0: only the ops' own preconditions */
	struct txn_op *ops;
	unsigned n_ops, cap;
};

/* Is it one that the cluster makes for itself? */
bool txn_is_machine(const struct txn *t);
void txn_fini(struct txn *t);
void txn_copy(struct txn *to, const struct txn *from);
/* Append an op; the strings are copied. Returns it for attrs_set on op->attrs. */
struct txn_op *txn_add(struct txn *t, enum txn_op_kind kind, const char *path);

#endif
