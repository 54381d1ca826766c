/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions as data. */
#include "cluster/txn.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool txn_is_machine(const struct txn *t)
{
	for (unsigned i = 0; i < t->n_ops; i++)
		if (t->ops[i].kind == TXN_OWN || t->ops[i].kind == TXN_KEEP)
			return true;
	return false;
}

void txn_fini(struct txn *t)
{
	for (unsigned i = 0; i < t->n_ops; i++) {
		free(t->ops[i].path);
		attrs_fini(&t->ops[i].attrs);
		free(t->ops[i].keep.blob);
	}
	free(t->ops);
	free(t->author);
	free(t->node);
	free(t->message);
	*t = (struct txn){ 0 };
}

void txn_copy(struct txn *to, const struct txn *from)
{
	*to = (struct txn){ .time_ms = from->time_ms, .base = from->base };
	memcpy(to->request_id, from->request_id, sizeof(to->request_id));
	to->author = mem_strdup(from->author);
	to->node = mem_strdup(from->node);
	to->message = mem_strdup(from->message);
	for (unsigned i = 0; i < from->n_ops; i++) {
		struct txn_op *op = txn_add(to, from->ops[i].kind, from->ops[i].path);

		op->if_generation = from->ops[i].if_generation;
		attrs_copy(&op->attrs, &from->ops[i].attrs);
		op->own = from->ops[i].own;
		op->keep = from->ops[i].keep;
		op->keep.blob = op->keep.n ? mem_dup(op->keep.blob, op->keep.n) : NULL;
	}
}

struct txn_op *txn_add(struct txn *t, enum txn_op_kind kind, const char *path)
{
	t->ops = mem_grow(t->ops, &t->cap, t->n_ops, sizeof(*t->ops));
	t->ops[t->n_ops] = (struct txn_op){ .kind = kind, .path = mem_strdup(path) };
	return &t->ops[t->n_ops++];
}
