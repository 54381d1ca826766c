/* SPDX-License-Identifier: Apache-2.0 */
/* What proto/control*.c share: the arena that messages are built and parsed in, and attributes. For these files only. */
#ifndef PROTO_CONTROL_PB_H
#define PROTO_CONTROL_PB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "cluster/obj.h"
#include "cluster/txn.h"
#include "proto/control.pb-c.h"

/* Memory that is given back all at once; it stops giving at `left` bytes, so no message can grow us without bound. */
struct arena {
	struct arena_block *blocks;
	size_t used, left;
	ProtobufCAllocator pb;          /* for protobuf-c's unpack */
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);
/* Zeroed. NULL when the arena is used up. */
void *arena_get(struct arena *a, size_t n);
/* Zeroed, for building what we send: never NULL. */
void *arena_need(struct arena *a, size_t n);

/* Append header and message; ERR_LIMIT leaves `out` as it was. */
int control_frame_put(struct buf *out, const ProtobufCMessage *m);
/* The message of a whole frame. ERR_MALFORMED if its length is not right. */
int control_frame_body(const void *frame, size_t len, const uint8_t **p, size_t *n);

Director__ControlAttr **control_attrs_pb(struct arena *a, const struct attrs *as, size_t *n);
/* ERR_MALFORMED leaves what was read so far in *as, which must be zeroed. */
int control_attrs_get(struct attrs *as, Director__ControlAttr *const *pb, size_t n);
Director__ControlOp **control_ops_pb(struct arena *a, const struct txn *t, size_t *n);
int control_ops_get(struct txn *t, Director__ControlOp *const *pb, size_t n);
/* A string from outside: copied into *to, if it is UTF-8 of at most `max` bytes. */
int control_text_get(char **to, const char *from, size_t max);

#endif
