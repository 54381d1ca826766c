/* SPDX-License-Identifier: Apache-2.0 */
/* Building transactions. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "lib/priv.h"

void director_txn_new(struct director_txn **out)
{
	struct director_txn *t = mem_zalloc(sizeof(*t));

	if (getrandom(t->t.request_id, 16, 0) != 16)
		abort();                /* a kernel without randomness gives no promise of idempotency */
	t->t.request_id[6] = (uint8_t)((t->t.request_id[6] & 0x0f) | 0x40);     /* UUID version 4 */
	t->t.request_id[8] = (uint8_t)((t->t.request_id[8] & 0x3f) | 0x80);
	*out = t;
}

void director_txn_free(struct director_txn **t)
{
	if (!*t)
		return;
	txn_fini(&(*t)->t);
	free(*t);
	*t = NULL;
}

static int step(struct director_txn *t, enum txn_op_kind kind, const char *path)
{
	if (!path_ok(path))
		return ERR_INVAL;
	if (t->t.n_ops == TXN_OPS_MAX)
		return ERR_LIMIT;
	txn_add(&t->t, kind, path);
	return 0;
}

int director_txn_create(struct director_txn *t, const char *path)
{
	return step(t, TXN_CREATE, path);
}

int director_txn_set(struct director_txn *t, const char *path)
{
	return step(t, TXN_SET, path);
}

int director_txn_delete(struct director_txn *t, const char *path)
{
	return step(t, TXN_DELETE, path);
}

int director_txn_attr(struct director_txn *t, const char *key, const char *value)
{
	struct txn_op *op = t->t.n_ops ? &t->t.ops[t->t.n_ops - 1] : NULL;

	if (!op || op->kind == TXN_DELETE || !*key || !text_ok(key, ATTR_KEY_MAX - 1) || !text_ok(value, ATTR_VALUE_MAX))
		return ERR_INVAL;
	if (op->attrs.n == ATTRS_MAX && !attrs_get(&op->attrs, key))
		return ERR_LIMIT;
	attrs_set(&op->attrs, key, value);
	return 0;
}

void director_txn_if_generation(struct director_txn *t, uint64_t generation)
{
	if (t->t.n_ops)
		t->t.ops[t->t.n_ops - 1].if_generation = generation;
}

void director_txn_message(struct director_txn *t, const char *message)
{
	free(t->t.message);
	t->t.message = mem_strdup(message);
}

/* FNV-1a over 128 bits: the caller chooses the keys, so nobody gains by a collision. */
static void key_hash(const char *key, uint8_t out[16])
{
	const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
	unsigned __int128 h = (unsigned __int128)0x6c62272e07bb0142u << 64 | 0x62b821756295c58du;

	for (; *key; key++) {
		h ^= (uint8_t)*key;
		h *= prime;
	}
	for (unsigned i = 0; i < 16; i++)
		out[i] = (uint8_t)(h >> (120 - 8 * i));
}

int director_txn_key(struct director_txn *t, const char *key)
{
	if (!*key || !text_ok(key, 200))
		return ERR_INVAL;
	if (text_uuid_parse(key, t->t.request_id) < 0)
		key_hash(key, t->t.request_id);
	return 0;
}

const char *director_txn_key_text(struct director_txn *t)
{
	return text_uuid(t->t.request_id, t->key);
}

size_t director_txn_n(const struct director_txn *t)
{
	return t->t.n_ops;
}

const char *director_txn_at(const struct director_txn *t, size_t i, const char **path)
{
	static const char *const names[] = { [TXN_CREATE] = "create", [TXN_SET] = "set", [TXN_DELETE] = "delete",
	                                     [TXN_OWN] = "own", [TXN_KEEP] = "keep" };

	if (i >= t->t.n_ops)
		return NULL;
	*path = t->t.ops[i].path;
	return names[t->t.ops[i].kind];
}

bool director_txn_attr_at(const struct director_txn *t, size_t i, size_t j, const char **key, const char **value)
{
	if (i >= t->t.n_ops || j >= t->t.ops[i].attrs.n)
		return false;
	*key = t->t.ops[i].attrs.a[j].key;
	*value = t->t.ops[i].attrs.a[j].value;
	return true;
}

uint64_t director_txn_base(const struct director_txn *t)
{
	return t->t.base;
}
