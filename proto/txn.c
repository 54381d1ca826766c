/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions as bytes. */
#include "proto/txn.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/txn.pb-c.h"
#include "proto/txn_ops.h"

/* ---- operations, as transactions and remembered commits hold them ---- */

static ProtobufCBinaryData bytes16(const uint8_t *p)
{
	static const uint8_t none[16];

	return (ProtobufCBinaryData){ memcmp(p, none, 16) == 0 ? 0 : 16, (uint8_t *)p };
}

static void machine_pack(const struct txn_op *from, Director__TxnOp *op)
{
	if (from->kind == TXN_OWN) {
		const struct own_change *c = &from->own;

		op->volume = (ProtobufCBinaryData){ 16, (uint8_t *)c->volume };
		op->own = mem_alloc(sizeof(*op->own));
		director__txn_own__init(op->own);
		op->own->kind = (uint32_t)c->kind;
		op->own->epoch = c->epoch;
		op->own->node = bytes16(c->node.b);
		op->own->leg = bytes16(c->leg);
		op->own->turn = c->turn;
		op->own->served = c->served;
	} else if (from->kind == TXN_KEEP) {
		op->volume = (ProtobufCBinaryData){ 16, (uint8_t *)from->keep.volume };
		op->keep = mem_alloc(sizeof(*op->keep));
		director__txn_keep__init(op->keep);
		op->keep->version = from->keep.version;
		op->keep->blob = (ProtobufCBinaryData){ from->keep.n, from->keep.blob };
	}
}

size_t txn_ops_pack(const struct txn *t, Director__TxnOp ***ops)
{
	*ops = t->n_ops ? mem_alloc(t->n_ops * sizeof(**ops)) : NULL;
	for (unsigned i = 0; i < t->n_ops; i++) {
		const struct txn_op *from = &t->ops[i];
		Director__TxnOp *op = mem_alloc(sizeof(*op));

		director__txn_op__init(op);
		op->kind = (uint32_t)from->kind;
		op->path = from->path;
		op->if_generation = from->if_generation;
		op->n_attrs = from->attrs.n;
		op->attrs = from->attrs.n ? mem_alloc(from->attrs.n * sizeof(*op->attrs)) : NULL;
		for (unsigned a = 0; a < from->attrs.n; a++) {
			op->attrs[a] = mem_alloc(sizeof(*op->attrs[a]));
			director__attr__init(op->attrs[a]);
			op->attrs[a]->key = from->attrs.a[a].key;
			op->attrs[a]->value = from->attrs.a[a].value;
		}
		machine_pack(from, op);
		(*ops)[i] = op;
	}
	return t->n_ops;
}

void txn_ops_unpacked(Director__TxnOp **ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t a = 0; a < ops[i]->n_attrs; a++)
			free(ops[i]->attrs[a]);
		free(ops[i]->attrs);
		free(ops[i]->own);
		free(ops[i]->keep);
		free(ops[i]);
	}
	free(ops);
}

static bool take16(const ProtobufCBinaryData *b, uint8_t out[16])
{
	memset(out, 0, 16);
	if (b->len == 16)
		memcpy(out, b->data, 16);
	return b->len == 16 || b->len == 0;
}

/* What only the machine's operations have is there exactly when it is one. */
static int machine_take(const Director__TxnOp *from, struct txn_op *op)
{
	bool own = op->kind == TXN_OWN, keep = op->kind == TXN_KEEP;

	if (own != (from->own != NULL) || keep != (from->keep != NULL) || from->volume.len != (own || keep ? 16 : 0) ||
	    ((own || keep) && (op->attrs.n || op->if_generation)))
		return ERR_MALFORMED;
	if (own) {
		if (from->own->kind < OWN_TAKE || from->own->kind > OWN_BEGIN || !take16(&from->own->node, op->own.node.b) ||
		    !take16(&from->own->leg, op->own.leg))
			return ERR_MALFORMED;
		op->own.kind = (enum own_change_kind)from->own->kind;
		op->own.epoch = from->own->epoch;
		op->own.turn = from->own->turn;
		op->own.served = from->own->served;
		memcpy(op->own.volume, from->volume.data, 16);
	} else if (keep) {
		if (from->keep->blob.len > KEEP_BLOB_MAX)
			return ERR_MALFORMED;
		op->keep.version = from->keep->version;
		op->keep.n = from->keep->blob.len;
		op->keep.blob = op->keep.n ? mem_dup(from->keep->blob.data, op->keep.n) : NULL;
		memcpy(op->keep.volume, from->volume.data, 16);
	}
	return 0;
}

static int op_take(const Director__TxnOp *from, struct txn *t)
{
	struct txn_op *op;

	if (from->kind < TXN_CREATE || from->kind > TXN_KEEP || !path_ok(from->path) || from->n_attrs > ATTRS_MAX)
		return ERR_MALFORMED;
	op = txn_add(t, (enum txn_op_kind)from->kind, from->path);
	op->if_generation = from->if_generation;
	for (size_t a = 0; a < from->n_attrs; a++) {
		const Director__Attr *at = from->attrs[a];

		/* A key twice would make the result depend on who reads it. */
		if (!text_ok(at->key, ATTR_KEY_MAX - 1) || *at->key == '\0' || !text_ok(at->value, ATTR_VALUE_MAX) ||
		    attrs_get(&op->attrs, at->key))
			return ERR_MALFORMED;
		attrs_set(&op->attrs, at->key, at->value);
	}
	return machine_take(from, op);
}

int txn_ops_take(Director__TxnOp **ops, size_t n, struct txn *t)
{
	if (n > TXN_OPS_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < n; i++)
		if (op_take(ops[i], t) < 0)
			return ERR_MALFORMED;
	return 0;
}

/* ---- whole transactions ---- */

int txn_encode(const struct txn *t, struct buf *out)
{
	Director__Txn m = DIRECTOR__TXN__INIT;
	size_t n;
	int err = ERR_LIMIT;

	m.request_id.data = (uint8_t *)t->request_id;
	m.request_id.len = sizeof(t->request_id);
	m.author = t->author ? t->author : (char *)"";
	m.node = t->node ? t->node : (char *)"";
	m.message = t->message ? t->message : (char *)"";
	m.time_ms = t->time_ms;
	m.based_on = t->base;
	m.n_ops = txn_ops_pack(t, &m.ops);
	n = director__txn__get_packed_size(&m);
	if (n <= TXN_BYTES_MAX && t->n_ops <= TXN_OPS_MAX) {
		buf_add(out, director__txn__pack(&m, buf_room(out, n)));
		err = 0;
	}
	txn_ops_unpacked(m.ops, m.n_ops);
	return err;
}

static int txn_take(const Director__Txn *m, struct txn *t)
{
	if (m->request_id.len != sizeof(t->request_id) || !text_ok(m->author, TXN_AUTHOR_MAX) ||
	    !text_ok(m->node, TXN_AUTHOR_MAX) || !text_ok(m->message, TXN_MESSAGE_MAX))
		return ERR_MALFORMED;
	memcpy(t->request_id, m->request_id.data, sizeof(t->request_id));
	t->author = mem_strdup(m->author);
	t->node = mem_strdup(m->node);
	t->message = mem_strdup(m->message);
	t->time_ms = m->time_ms;
	t->base = m->based_on;
	return txn_ops_take(m->ops, m->n_ops, t);
}

int txn_decode(const uint8_t *p, size_t n, struct txn *t)
{
	Director__Txn *m;
	int err;

	*t = (struct txn){ 0 };
	m = n <= TXN_BYTES_MAX ? director__txn__unpack(NULL, n, p) : NULL;
	if (!m)
		return ERR_MALFORMED;
	err = txn_take(m, t);
	director__txn__free_unpacked(m, NULL);
	if (err < 0)
		txn_fini(t);
	return err;
}
