/* SPDX-License-Identifier: Apache-2.0 */
/* Operations between struct txn and their generated form; for the codecs of transactions and snapshots only. */
#ifndef PROTO_TXN_OPS_H
#define PROTO_TXN_OPS_H

#include <stddef.h>

#include "cluster/txn.h"
#include "proto/txn.pb-c.h"

/* Generated structs that borrow the strings of t->ops; gives their number. txn_ops_unpacked frees them. */
size_t txn_ops_pack(const struct txn *t, Director__TxnOp ***ops);
void txn_ops_unpacked(Director__TxnOp **ops, size_t n);
/* Append decoded operations to t->ops (copied). ERR_MALFORMED; what was appended until then stays. */
int txn_ops_take(Director__TxnOp **ops, size_t n, struct txn *t);

#endif
