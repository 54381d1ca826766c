/* SPDX-License-Identifier: Apache-2.0 */
/* The model of the store. */
#include "tests/sim/store.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proto/agree.h"

struct store_put {
	struct store_put *next;
	uint64_t seq, drop_below, cut_from, promised, synced, commit;
	bool install, compact;
	uint64_t snap_index;
	struct buf snap;
	struct { uint64_t index; struct buf row; struct agree_chain chain; } *row;
	unsigned n_row;
};

static void put_free(struct store_put *p)
{
	for (unsigned i = 0; i < p->n_row; i++)
		buf_fini(&p->row[i].row);
	buf_fini(&p->snap);
	free(p->row);
	free(p);
}

void store_init(struct store *s, struct world *w, unsigned node)
{
	memset(s, 0, sizeof(*s));
	s->w = w;
	s->node = node;
	s->last = &s->first;
	s->sync_us = 2000;
}

static void drop_puts(struct store *s)
{
	while (s->first) {
		struct store_put *p = s->first;

		s->first = p->next;
		put_free(p);
	}
	s->last = &s->first;
	s->generation++;
}

void store_wipe(struct store *s)
{
	drop_puts(s);
	for (unsigned i = 0; i < s->n_row; i++)
		buf_fini(&s->row[i].row);
	s->n_row = 0;
	buf_reset(&s->snap);
	s->promised = s->synced = s->commit = s->snap_index = 0;
}

void store_fini(struct store *s)
{
	store_wipe(s);
	buf_fini(&s->snap);
	free(s->row);
}

static void rows_keep(struct store *s, uint64_t from, uint64_t below)
{
	unsigned k = 0;

	for (unsigned i = 0; i < s->n_row; i++) {
		if (s->row[i].index >= from && s->row[i].index < below)
			s->row[k++] = s->row[i];
		else
			buf_fini(&s->row[i].row);
	}
	s->n_row = k;
}

static void apply(struct store *s, struct store_put *p)
{
	if (p->install)
		rows_keep(s, 0, 0);
	if (p->install || p->compact) {
		buf_reset(&s->snap);
		buf_put(&s->snap, p->snap.data, p->snap.len);
		s->snap_index = p->snap_index;
	}
	rows_keep(s, p->drop_below, p->cut_from ? p->cut_from : UINT64_MAX);
	for (unsigned i = 0; i < p->n_row; i++) {
		s->row = mem_grow(s->row, &s->row_cap, s->n_row, sizeof(*s->row));
		assert(s->n_row == 0 || s->row[s->n_row - 1].index + 1 == p->row[i].index);
		s->row[s->n_row].index = p->row[i].index;
		s->row[s->n_row].chain = p->row[i].chain;
		s->row[s->n_row++].row = p->row[i].row;
		p->row[i].row = (struct buf){ 0 };
	}
	s->promised = p->promised;
	s->synced = p->synced;
	s->commit = p->commit;
}

static void complete(void *ctx, unsigned node, uint64_t generation, void *x)
{
	struct store *s = ctx;
	struct store_put *p = s->first;
	int err = 0;
	uint64_t seq;

	if (generation != s->generation || !p)
		return;
	s->first = p->next;
	if (!s->first)
		s->last = &s->first;
	if (s->fails || s->failed) {
		err = s->fails ? s->fails : -14;
		s->failed = true;
	} else {
		apply(s, p);
	}
	seq = p->seq;
	put_free(p);
	if (s->first)
		world_in_us(s->w, world_between(s->w, s->sync_us / 4, s->sync_us), complete, s, node, s->generation, NULL);
	s->stored(s->ctx, s->node, seq, err);
}

void store_put(struct store *s, const struct agree_put *p)
{
	struct store_put *q = mem_zalloc(sizeof(*q));
	const struct agree_snap *snap = p->install ? p->install : p->compact;

	q->seq = p->seq;
	q->drop_below = p->drop_below;
	q->cut_from = p->cut_from;
	q->promised = p->promised;
	q->synced = p->synced;
	q->commit = p->commit;
	q->install = p->install != NULL;
	q->compact = p->compact != NULL;
	if (snap) {
		agree_snap_encode(snap, &q->snap);
		q->snap_index = snap->index;
	}
	q->row = mem_zalloc(p->n_entry * sizeof(*q->row));
	q->n_row = p->n_entry;
	for (unsigned i = 0; i < p->n_entry; i++) {
		q->row[i].index = p->entry[i]->index;
		q->row[i].chain = p->entry[i]->chain;
		agree_entry_encode(p->entry[i], &q->row[i].row);
	}
	if (!s->first)
		world_in_us(s->w, world_between(s->w, s->sync_us / 4, !s->steady && world_chance(s->w, 10) ? 100 * s->sync_us : s->sync_us),
			    complete, s, s->node, s->generation, NULL);
	*s->last = q;
	s->last = &q->next;
}

void store_crash(struct store *s)
{
	while (s->first && !s->fails && !s->failed && world_chance(s->w, 400)) {
		struct store_put *p = s->first;

		s->first = p->next;
		apply(s, p);
		put_free(p);
	}
	drop_puts(s);
	s->failed = false;
}

void store_load(struct store *s, struct agree_disk *d)
{
	const struct agree_entry **list = mem_alloc(s->n_row * sizeof(*list));
	struct agree_snap *snap = NULL;

	memset(d, 0, sizeof(*d));
	d->promised = s->promised;
	d->synced = s->synced;
	d->commit = s->commit;
	if (s->snap.len && agree_snap_decode(s->snap.data, s->snap.len, &snap) < 0)
		abort();
	d->snap = snap;
	d->entry = list;
	for (unsigned i = 0; i < s->n_row; i++) {
		struct agree_entry *e;

		if (agree_entry_decode(s->row[i].row.data, s->row[i].row.len, &e) < 0)
			abort();
		list[d->n_entry++] = e;
	}
}

void store_unload(struct agree_disk *d)
{
	struct agree_snap *snap = (struct agree_snap *)d->snap;

	for (unsigned i = 0; i < d->n_entry; i++) {
		struct agree_entry *e = (struct agree_entry *)d->entry[i];

		agree_entry_free(&e);
	}
	free((void *)d->entry);
	agree_snap_free(&snap);
}

bool store_has(const struct store *s, uint64_t index, const struct agree_chain *chain)
{
	if (s->snap.len && s->snap_index >= index)
		return true;
	for (unsigned i = s->n_row; i-- > 0;)
		if (s->row[i].index == index)
			return memcmp(s->row[i].chain.b, chain->b, sizeof(chain->b)) == 0;
	return false;
}
