/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered commits and answered requests, both bounded and hashed as sums. */
#include "cluster/history.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- hashing: every number as 8 bytes, every string with its length ---- */

static void feed_u64(crypto_generichash_state *st, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	crypto_generichash_update(st, b, sizeof(b));
}

static void feed_str(crypto_generichash_state *st, const char *s)
{
	feed_u64(st, strlen(s));
	crypto_generichash_update(st, (const uint8_t *)s, strlen(s));
}

static void feed_ops(crypto_generichash_state *st, const struct txn *t)
{
	feed_u64(st, t->n_ops);
	for (unsigned i = 0; i < t->n_ops; i++) {
		const struct txn_op *op = &t->ops[i];

		feed_u64(st, op->kind);
		feed_str(st, op->path);
		feed_u64(st, op->attrs.n);
		for (unsigned a = 0; a < op->attrs.n; a++) {
			feed_str(st, op->attrs.a[a].key);
			feed_str(st, op->attrs.a[a].value);
		}
	}
}

static void history_hash(struct history *h)
{
	static const uint8_t domain[] = "director history 1";
	crypto_generichash_state st;

	crypto_generichash_init(&st, domain, sizeof(domain), sizeof(h->hash));
	feed_u64(&st, h->index);
	feed_u64(&st, h->time_ms);
	feed_str(&st, h->author);
	feed_str(&st, h->node);
	feed_str(&st, h->message);
	feed_u64(&st, h->trimmed);
	feed_u64(&st, h->n_changes);
	feed_ops(&st, &h->ops);
	feed_ops(&st, &h->inverse);
	crypto_generichash_final(&st, h->hash, sizeof(h->hash));
}

static void answer_hash(struct answer *a)
{
	static const uint8_t domain[] = "director answer 1";
	crypto_generichash_state st;

	crypto_generichash_init(&st, domain, sizeof(domain), sizeof(a->hash));
	crypto_generichash_update(&st, a->id, sizeof(a->id));
	feed_u64(&st, a->index);
	feed_u64(&st, (uint64_t)-(int64_t)a->err);
	crypto_generichash_final(&st, a->hash, sizeof(a->hash));
}

/* ---- commits ---- */

struct history *history_new(void)
{
	return mem_zalloc(sizeof(struct history));
}

void history_free(struct history **hp)
{
	struct history *h = *hp;

	if (!h)
		return;
	free(h->author);
	free(h->node);
	free(h->message);
	txn_fini(&h->ops);
	txn_fini(&h->inverse);
	free(h);
	*hp = NULL;
}

static size_t ops_bytes(const struct txn *t)
{
	size_t n = 0;

	for (unsigned i = 0; i < t->n_ops; i++) {
		n += 64 + strlen(t->ops[i].path);
		for (unsigned a = 0; a < t->ops[i].attrs.n; a++)
			n += 32 + strlen(t->ops[i].attrs.a[a].key) + strlen(t->ops[i].attrs.a[a].value);
	}
	return n;
}

/* The bytes a commit counts for the bound: by its content, so that all nodes let go of the same. */
static size_t history_bytes(const struct history *h)
{
	return 128 + strlen(h->author) + strlen(h->node) + strlen(h->message) + ops_bytes(&h->ops) +
	       ops_bytes(&h->inverse);
}

void history_ring_init(struct history_ring *r)
{
	*r = (struct history_ring){ 0 };
	TAILQ_INIT(&r->list);
}

static void shift(struct history_ring *r)
{
	struct history *h = TAILQ_FIRST(&r->list);

	TAILQ_REMOVE(&r->list, h, entry);
	r->n--;
	r->bytes -= h->bytes;
	hash_sum_sub(&r->sum, h->hash);
	history_free(&h);
}

void history_ring_fini(struct history_ring *r)
{
	while (r->n)
		shift(r);
}

void history_push(struct history_ring *r, struct history **hp)
{
	struct history *h = *hp;

	*hp = NULL;
	h->bytes = history_bytes(h);
	/* What is too much for one transaction could not be taken back by one either. */
	if (h->bytes > HISTORY_ENTRY_BYTES_MAX || h->inverse.n_ops > TXN_OPS_MAX || h->ops.n_ops > TXN_OPS_MAX) {
		h->trimmed = true;
		txn_fini(&h->ops);
		txn_fini(&h->inverse);
		h->bytes = history_bytes(h);
	}
	history_hash(h);
	hash_sum_add(&r->sum, h->hash);
	TAILQ_INSERT_TAIL(&r->list, h, entry);
	r->n++;
	r->bytes += h->bytes;
	while (r->n > HISTORY_MAX || r->bytes > HISTORY_BYTES_MAX)
		shift(r);
}

const struct history *history_find(const struct history_ring *r, uint64_t index)
{
	const struct history *h;

	TAILQ_FOREACH_REVERSE(h, &r->list, history_list, entry)
		if (h->index <= index)
			return h->index == index ? h : NULL;
	return NULL;
}

/* What the machine keeps is not people's to give back: a volume that comes again has no owner yet. */
static bool machines(const struct object *o, const char *key)
{
	const struct schema_param *p = schema_param(o->type, key);

	return p && (p->flags & PARAM_MACHINE);
}

/* What turns `from` into `to` as one operation; attributes that `to` lacks are reset. */
static void op_set_of(struct txn *t, const char *path, const struct attrs *from, const struct attrs *to)
{
	struct txn_op *op = txn_add(t, TXN_SET, path);

	for (unsigned i = 0; i < to->n; i++) {
		const char *v = attrs_get(from, to->a[i].key);

		if (!v || strcmp(v, to->a[i].value) != 0)
			attrs_set(&op->attrs, to->a[i].key, to->a[i].value);
	}
	for (unsigned i = 0; i < from->n; i++)
		if (!attrs_get(to, from->a[i].key))
			attrs_set(&op->attrs, from->a[i].key, "");
}

static void op_create_of(struct txn *t, const struct object *o)
{
	struct txn_op *op = txn_add(t, TXN_CREATE, o->path);

	attrs_copy(&op->attrs, &o->attrs);
	for (unsigned i = 0; i < o->attrs.n; i++)
		if (machines(o, o->attrs.a[i].key))
			attrs_set(&op->attrs, o->attrs.a[i].key, NULL);
}

/* A deletion, unless the one before it took this path along: items come in order of path. */
static void op_delete_of(struct txn *t, const char *path)
{
	if (t->n_ops == 0 || !path_below(path, t->ops[t->n_ops - 1].path))
		txn_add(t, TXN_DELETE, path);
}

/* Deletions first, so that an object made anew, and what it needs, finds its place free. */
static void op_lists(const struct overlay *o, struct txn *ops, struct txn *inverse)
{
	const struct overlay_item *it = NULL;

	while ((it = overlay_next(o, it))) {
		if (it->before && (!it->after || overlay_remade(it)))
			op_delete_of(ops, it->path);
		if (it->after && (!it->before || overlay_remade(it)))
			op_delete_of(inverse, it->path);
	}
	while ((it = overlay_next(o, it))) {
		switch (overlay_kind(it)) {
		case CHANGE_CREATED:
			op_create_of(ops, it->after);
			break;
		case CHANGE_SET:
			op_set_of(ops, it->path, &it->before->attrs, &it->after->attrs);
			op_set_of(inverse, it->path, &it->after->attrs, &it->before->attrs);
			break;
		default:
			break;
		}
		if (it->before && (!it->after || overlay_remade(it)))
			op_create_of(inverse, it->before);
	}
}

struct history *history_of(const struct overlay *o, const struct txn *t, unsigned n_changes)
{
	struct history *h = history_new();

	h->index = o->index;
	h->time_ms = t->time_ms;
	h->author = mem_strdup(t->author ? t->author : "");
	h->node = mem_strdup(t->node ? t->node : "");
	h->message = mem_strdup(t->message ? t->message : "");
	h->n_changes = n_changes;
	op_lists(o, &h->ops, &h->inverse);
	return h;
}

/* ---- requests ---- */

static int answer_cmp(const struct answer *a, const struct answer *b)
{
	return memcmp(a->id, b->id, sizeof(a->id));
}

RB_GENERATE_INTERNAL(answer_tree, answer, by_id, answer_cmp, __attribute__((unused)) static)

void window_init(struct window *w)
{
	*w = (struct window){ 0 };
	RB_INIT(&w->by_id);
	TAILQ_INIT(&w->by_age);
}

static void window_shift(struct window *w)
{
	struct answer *a = TAILQ_FIRST(&w->by_age);

	TAILQ_REMOVE(&w->by_age, a, by_age);
	RB_REMOVE(answer_tree, &w->by_id, a);
	hash_sum_sub(&w->sum, a->hash);
	w->n--;
	free(a->text);
	free(a);
}

void window_fini(struct window *w)
{
	while (w->n)
		window_shift(w);
}

void window_push(struct window *w, const uint8_t id[16], uint64_t index, int err, const char *text)
{
	struct answer *a = mem_zalloc(sizeof(*a));

	memcpy(a->id, id, sizeof(a->id));
	a->index = index;
	a->err = err;
	a->text = *text ? mem_strdup(text) : NULL;
	answer_hash(a);
	hash_sum_add(&w->sum, a->hash);
	RB_INSERT(answer_tree, &w->by_id, a);
	TAILQ_INSERT_TAIL(&w->by_age, a, by_age);
	if (++w->n > WINDOW_MAX)
		window_shift(w);
}

const struct answer *window_find(const struct window *w, const uint8_t id[16])
{
	struct answer probe;

	memcpy(probe.id, id, sizeof(probe.id));
	return RB_FIND(answer_tree, (struct answer_tree *)&w->by_id, &probe);
}
