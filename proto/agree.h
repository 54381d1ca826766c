/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of agreement: casts, mesh messages, stored entries and snapshots. Bad bytes give ERR_MALFORMED. */
#ifndef PROTO_AGREE_H
#define PROTO_AGREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/agree_msg.h"

/* Append the encoding of `m` to `out`. */
void agree_msg_encode(const struct agree_msg *m, struct buf *out);
/* Everything in `m` is a copy: agree_msg_fini() frees it. On error nothing is to be freed. */
int agree_msg_decode(const void *p, size_t n, struct agree_msg *m);
void agree_msg_fini(struct agree_msg *m);
/* May the message come by CPG? Directly from a member, over the mesh or in a datagram? */
bool agree_msg_is_cast(enum agree_msg_kind kind);
bool agree_msg_is_direct(enum agree_msg_kind kind);

/* Rows of the store. */
void agree_entry_encode(const struct agree_entry *e, struct buf *out);
int agree_entry_decode(const void *p, size_t n, struct agree_entry **e);        /* given; free with agree_entry_free */
void agree_entry_free(struct agree_entry **e);
void agree_snap_encode(const struct agree_snap *s, struct buf *out);
int agree_snap_decode(const void *p, size_t n, struct agree_snap **s);          /* given; free with agree_snap_free */
void agree_snap_free(struct agree_snap **s);

#endif
