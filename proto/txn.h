/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions and snapshots as bytes (proto/txn.proto). Fields of a newer version are skipped here and
 * survive where the bytes themselves are kept (the log). Everything from outside is checked for length,
 * limits and UTF-8; what fails is ERR_MALFORMED and leaves the output empty.
 */
#ifndef PROTO_TXN_H
#define PROTO_TXN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/catalog.h"
#include "cluster/txn.h"

#define TXN_BYTES_MAX (1u << 20)
#define SNAPSHOT_BYTES_MAX (256u << 20)

/* Append the encoding to `out`. ERR_LIMIT if it were longer than TXN_BYTES_MAX. */
int txn_encode(const struct txn *t, struct buf *out);
/* The txn is overwritten; txn_fini it after success. */
int txn_decode(const uint8_t *p, size_t n, struct txn *t);

void snapshot_encode(const struct snapshot *s, struct buf *out);
/* The snapshot is overwritten; snapshot_fini it after success. catalog_load judges what it says. */
int snapshot_decode(const uint8_t *p, size_t n, struct snapshot *s);

#endif
