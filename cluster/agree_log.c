/* SPDX-License-Identifier: Apache-2.0 */
/* The log in memory: appending, cutting, chaining. Nothing here decides what is committed. */
#include "cluster/agree_log.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/mem.h"

void agree_entry_drop(struct agree_entry **e)
{
	if (*e) {
		free((*e)->payload);
		free(*e);
	}
	*e = NULL;
}

bool agree_chain_eq(const struct agree_chain *a, const struct agree_chain *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static void hash_u64(crypto_generichash_state *h, uint64_t v)
{
	uint8_t b[8];

	for (unsigned i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	crypto_generichash_update(h, b, sizeof(b));
}

static struct agree_chain chain_next(const struct agree_chain *before, uint64_t index, uint64_t epoch,
				     enum agree_kind kind, const struct agree_rid *rid, const uint8_t *payload,
				     uint32_t len)
{
	crypto_generichash_state h;
	struct agree_chain c;

	crypto_generichash_init(&h, NULL, 0, sizeof(c.b));
	crypto_generichash_update(&h, before->b, sizeof(before->b));
	hash_u64(&h, index);
	hash_u64(&h, epoch);
	hash_u64(&h, kind);
	crypto_generichash_update(&h, rid->b, sizeof(rid->b));
	hash_u64(&h, len);
	crypto_generichash_update(&h, payload, len);
	crypto_generichash_final(&h, c.b, sizeof(c.b));
	return c;
}

struct agree_chain agree_chain_found(const struct agree_snap *s)
{
	uint8_t packed[ROSTER_PACKED_MAX];
	size_t len = roster_pack(&s->roster, packed);
	struct agree_chain none = { { 0 } };
	struct agree_rid rid;

	memcpy(rid.b, s->lineage, sizeof(rid.b));
	return chain_next(&none, s->index, s->epoch, AGREE_ROSTER, &rid, packed, (uint32_t)len);
}

struct agree_entry *agree_entry_make(const struct agree_chain *before, uint64_t index, uint64_t epoch,
				     enum agree_kind kind, const struct agree_rid *rid, const uint8_t *payload,
				     uint32_t len)
{
	struct agree_entry *e = mem_zalloc(sizeof(*e));

	e->index = index;
	e->epoch = epoch;
	e->kind = kind;
	e->rid = *rid;
	e->len = len;
	e->payload = mem_dup(payload, len);
	e->chain = chain_next(before, index, epoch, kind, rid, payload, len);
	return e;
}

struct agree_entry *agree_entry_follow(const struct agree_chain *before, const struct agree_entry *e)
{
	struct agree_entry *copy = agree_entry_make(before, e->index, e->epoch, e->kind, &e->rid, e->payload, e->len);

	if (!agree_chain_eq(&copy->chain, &e->chain))
		agree_entry_drop(&copy);
	return copy;
}

void agree_log_sweep(struct agree_log *l)
{
	for (unsigned i = 0; i < l->n_gone; i++)
		agree_entry_drop(&l->gone[i]);
	l->n_gone = 0;
}

static void bury(struct agree_log *l, struct agree_entry *e)
{
	l->gone = mem_grow(l->gone, &l->gone_cap, l->n_gone, sizeof(struct agree_entry *));
	l->gone[l->n_gone++] = e;
	l->bytes -= e->len;
}

void agree_log_fini(struct agree_log *l)
{
	agree_log_cut(l, 0);
	agree_log_sweep(l);
	free(l->e);
	free(l->gone);
	memset(l, 0, sizeof(*l));
}

void agree_log_reset(struct agree_log *l, const struct agree_snap *s)
{
	agree_log_cut(l, 0);
	l->base.index = s->index;
	l->base.chain = s->chain;
	l->base_epoch = s->epoch;
	l->roster = l->before = s->roster;
	l->roster_index = l->before_index = s->index;
}

struct agree_at agree_log_last(const struct agree_log *l)
{
	if (l->n == 0)
		return l->base;
	return (struct agree_at){ l->e[l->n - 1]->index, l->e[l->n - 1]->chain };
}

uint64_t agree_log_last_epoch(const struct agree_log *l)
{
	return l->n ? l->e[l->n - 1]->epoch : l->base_epoch;
}

struct agree_entry *agree_log_at(const struct agree_log *l, uint64_t index)
{
	if (index <= l->base.index || index - l->base.index > l->n)
		return NULL;
	return l->e[index - l->base.index - 1];
}

bool agree_log_point(const struct agree_log *l, uint64_t index, struct agree_at *at)
{
	const struct agree_entry *e = agree_log_at(l, index);

	if (!e && index != l->base.index)
		return false;
	at->index = index;
	at->chain = e ? e->chain : l->base.chain;
	return true;
}

bool agree_log_has(const struct agree_log *l, const struct agree_at *at)
{
	struct agree_at ours;

	return agree_log_point(l, at->index, &ours) && agree_chain_eq(&ours.chain, &at->chain);
}

bool agree_log_append(struct agree_log *l, struct agree_entry *e)
{
	struct agree_at last = agree_log_last(l);

	assert(e->index == last.index + 1);
	if (e->kind == AGREE_ROSTER) {
		struct roster r;

		if (roster_unpack(e->payload, e->len, &r) < 0)
			return false;
		l->before = l->roster;
		l->before_index = l->roster_index;
		l->roster = r;
		l->roster_index = e->index;
	}
	l->e = mem_grow(l->e, &l->cap, l->n, sizeof(struct agree_entry *));
	l->e[l->n++] = e;
	l->bytes += e->len;
	return true;
}

void agree_log_cut(struct agree_log *l, uint64_t from)
{
	while (l->n && l->e[l->n - 1]->index >= from)
		bury(l, l->e[--l->n]);
	/* At most the newest roster is uncommitted, and only what is uncommitted is cut (or all of it). */
	if (l->roster_index >= from) {
		l->roster = l->before;
		l->roster_index = l->before_index;
	}
}

void agree_log_drop(struct agree_log *l, uint64_t upto)
{
	unsigned k = 0;

	while (k < l->n && l->e[k]->index <= upto) {
		l->base.index = l->e[k]->index;
		l->base.chain = l->e[k]->chain;
		l->base_epoch = l->e[k]->epoch;
		bury(l, l->e[k++]);
	}
	if (k)
		memmove(l->e, l->e + k, (l->n - k) * sizeof(struct agree_entry *));
	l->n -= k;
}

struct agree_entry *agree_log_find(const struct agree_log *l, const struct agree_rid *rid, uint64_t above)
{
	for (unsigned i = l->n; i-- > 0 && l->e[i]->index > above;)
		if (memcmp(l->e[i]->rid.b, rid->b, sizeof(rid->b)) == 0)
			return l->e[i];
	return NULL;
}
