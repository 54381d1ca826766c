/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transaction: what a person or program wants changed, as data. One transaction is one agreed entry;
 * it applies whole or not at all.
 */
#ifndef CLUSTER_TXN_H
#define CLUSTER_TXN_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/obj.h"

#define TXN_OPS_MAX 10000

enum txn_op_kind {
	TXN_CREATE = 1,         /* the path must not exist; its parent must */
	TXN_SET,                /* the path must exist; an empty value resets to the default */
	TXN_DELETE,             /* the path must exist, with all that is below it */
};

struct txn_op {
	enum txn_op_kind kind;
	char *path;
	struct attrs attrs;     /* CREATE, SET */
	uint64_t if_generation; /* precondition: the object's generation; 0: any */
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

void txn_fini(struct txn *t);
void txn_copy(struct txn *to, const struct txn *from);
/* Append an op; the strings are copied. Returns it for attrs_set on op->attrs. */
struct txn_op *txn_add(struct txn *t, enum txn_op_kind kind, const char *path);

#endif
