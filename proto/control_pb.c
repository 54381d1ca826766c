/* SPDX-License-Identifier: Apache-2.0 */
/* Arena, frames and attributes of the control protocol. */
#include "proto/control_pb.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/control.h"

#define BLOCK_SIZE 16384
#define ARENA_MAX (64u << 20)

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(16) char data[];
};

static void *pb_alloc(void *arg, size_t n)
{
	return arena_get(arg, n);
}

static void pb_free(void *arg, void *p)
{
	/* All of it goes with the arena. */
}

void arena_init(struct arena *a)
{
	*a = (struct arena){ .left = ARENA_MAX, .pb = { .alloc = pb_alloc, .free = pb_free } };
	a->pb.allocator_data = a;
}

void arena_fini(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}

void *arena_get(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	void *p;

	if (n > ARENA_MAX)
		return NULL;
	n = (n + 15) & ~(size_t)15;
	if (n > a->left)
		return NULL;
	a->left -= n;
	if (!b || b->size - a->used < n) {
		size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;

		b = mem_alloc(sizeof(*b) + size);
		b->size = size;
		b->next = a->blocks;
		a->blocks = b;
		a->used = 0;
	}
	p = b->data + a->used;
	a->used += n;
	return memset(p, 0, n);
}

void *arena_need(struct arena *a, size_t n)
{
	void *p;

	a->left = ARENA_MAX;
	p = arena_get(a, n);
	return p ? p : mem_alloc(SIZE_MAX);     /* out of memory, which ends the process */
}

int control_frame_put(struct buf *out, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *p;

	if (n > CONTROL_FRAME_MAX)
		return ERR_LIMIT;
	p = buf_room(out, n + 4);
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (8 * i));
	protobuf_c_message_pack(m, p + 4);
	buf_add(out, n + 4);
	return 0;
}

int control_frame_len(const void *frame, size_t n, size_t *len)
{
	const uint8_t *p = frame;
	size_t body;

	*len = 0;
	if (n < 4)
		return 0;
	body = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
	if (body > CONTROL_FRAME_MAX)
		return ERR_LIMIT;
	*len = body + 4;
	return 0;
}

int control_frame_body(const void *frame, size_t len, const uint8_t **p, size_t *n)
{
	size_t want;

	if (control_frame_len(frame, len, &want) < 0 || want == 0 || want != len)
		return ERR_MALFORMED;
	*p = (const uint8_t *)frame + 4;
	*n = len - 4;
	return 0;
}

int control_text_get(char **to, const char *from, size_t max)
{
	if (!text_ok(from, max))
		return ERR_MALFORMED;
	*to = mem_strdup(from);
	return 0;
}

Director__ControlAttr **control_attrs_pb(struct arena *a, const struct attrs *as, size_t *n)
{
	Director__ControlAttr **pp = as->n ? arena_need(a, as->n * sizeof(*pp)) : NULL;

	for (unsigned i = 0; i < as->n; i++) {
		pp[i] = arena_need(a, sizeof(**pp));
		director__control_attr__init(pp[i]);
		pp[i]->key = as->a[i].key;
		pp[i]->value = as->a[i].value;
	}
	*n = as->n;
	return pp;
}

int control_attrs_get(struct attrs *as, Director__ControlAttr *const *pb, size_t n)
{
	if (n > ATTRS_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < n; i++) {
		if (!*pb[i]->key || !text_ok(pb[i]->key, ATTR_KEY_MAX - 1) || !text_ok(pb[i]->value, ATTR_VALUE_MAX))
			return ERR_MALFORMED;
		attrs_set(as, pb[i]->key, pb[i]->value);
	}
	return 0;
}

Director__ControlOp **control_ops_pb(struct arena *a, const struct txn *t, size_t *n)
{
	Director__ControlOp **pp = t->n_ops ? arena_need(a, t->n_ops * sizeof(*pp)) : NULL;

	for (unsigned i = 0; i < t->n_ops; i++) {
		const struct txn_op *op = &t->ops[i];

		pp[i] = arena_need(a, sizeof(**pp));
		director__control_op__init(pp[i]);
		pp[i]->kind = op->kind;
		pp[i]->path = op->path;
		pp[i]->if_generation = op->if_generation;
		pp[i]->attrs = control_attrs_pb(a, &op->attrs, &pp[i]->n_attrs);
	}
	*n = t->n_ops;
	return pp;
}

int control_ops_get(struct txn *t, Director__ControlOp *const *pb, size_t n)
{
	if (n > TXN_OPS_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < n; i++) {
		struct txn_op *op;

		if (pb[i]->kind < TXN_CREATE || pb[i]->kind > TXN_DELETE || !path_ok(pb[i]->path))
			return ERR_MALFORMED;
		op = txn_add(t, pb[i]->kind, pb[i]->path);
		op->if_generation = pb[i]->if_generation;
		if (control_attrs_get(&op->attrs, pb[i]->attrs, pb[i]->n_attrs) < 0)
			return ERR_MALFORMED;
	}
	return 0;
}
