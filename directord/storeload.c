/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the store's file whole, and judging whether it is whole. */
#include "directord/storedb_int.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

/* Blobs are collected in one buffer that moves as it grows; pointers hold offsets until the end. */
struct loading {
	struct storedb *db;
	struct store_image *image;
	struct buf bytes;
	unsigned cap_entries, cap_meta;
	const char *damage;             /* what is wrong, in words; NULL: nothing */
	uint64_t damaged_index;
};

static uintptr_t keep(struct loading *l, const void *p, size_t n)
{
	uintptr_t at = l->bytes.len;

	if (n)
		buf_put(&l->bytes, p, n);
	return at;
}

static const uint8_t *column(sqlite3_stmt *st, int i, size_t *n)
{
	const void *p = sqlite3_column_blob(st, i);

	*n = (size_t)sqlite3_column_bytes(st, i);
	return p ? p : (const void *)"";
}

static void load_snapshot(struct loading *l, sqlite3_stmt *st)
{
	struct store_snapshot *s = &l->image->snapshot;

	s->index = (uint64_t)sqlite3_column_int64(st, 0);
	s->epoch = (uint64_t)sqlite3_column_int64(st, 1);
	s->data = column(st, 2, &s->len);
	if (storedb_snapshot_crc(s) != (uint32_t)sqlite3_column_int64(st, 3))
		l->damage = "the snapshot has a wrong checksum", l->damaged_index = s->index;
	s->data = (const uint8_t *)keep(l, s->data, s->len);
	l->image->has_snapshot = true;
}

static void load_entry(struct loading *l, sqlite3_stmt *st)
{
	struct store_image *im = l->image;
	struct store_entry e = { 0 };
	const uint8_t *id, *chain;
	size_t id_len, chain_len;
	bool whole;

	e.index = (uint64_t)sqlite3_column_int64(st, 0);
	e.epoch = (uint64_t)sqlite3_column_int64(st, 1);
	e.kind = (uint8_t)sqlite3_column_int(st, 2);
	id = column(st, 3, &id_len);
	chain = column(st, 4, &chain_len);
	whole = id_len == sizeof(e.request_id) && chain_len == sizeof(e.chain);
	if (whole) {
		memcpy(e.request_id, id, id_len);
		memcpy(e.chain, chain, chain_len);
	}
	e.data = column(st, 5, &e.len);
	if (!whole || storedb_entry_crc(&e) != (uint32_t)sqlite3_column_int64(st, 6))
		l->damage = "a log entry has a wrong checksum", l->damaged_index = e.index;
	else if (im->n_entries && e.index != im->entries[im->n_entries - 1].index + 1)
		l->damage = "a log entry is missing", l->damaged_index = e.index - 1;
	e.data = (const uint8_t *)keep(l, e.data, e.len);
	im->entries = mem_grow(im->entries, &l->cap_entries, im->n_entries, sizeof(e));
	im->entries[im->n_entries++] = e;
}

static void load_meta(struct loading *l, sqlite3_stmt *st)
{
	struct store_image *im = l->image;
	struct store_meta m = { (const char *)sqlite3_column_text(st, 0), NULL, 0 };

	m.value = column(st, 1, &m.len);
	if (!m.key || storedb_meta_crc(&m) != (uint32_t)sqlite3_column_int64(st, 2)) {
		l->damage = "a named value has a wrong checksum";
		return;
	}
	if (strcmp(m.key, STOREDB_MARKS) == 0 && m.len == 24) {
		uint64_t *v[3] = { &im->promised, &im->synced, &im->commit };

		for (int i = 0; i < 24; i++)
			*v[i / 8] |= (uint64_t)((const uint8_t *)m.value)[i] << (i % 8 * 8);
	}
	if (m.key[0] == '#')
		return;
	m.key = (const char *)keep(l, m.key, strlen(m.key) + 1);
	m.value = (const void *)keep(l, m.value, m.len);
	im->meta = mem_grow(im->meta, &l->cap_meta, im->n_meta, sizeof(m));
	im->meta[im->n_meta++] = m;
}

static int load_rows(struct loading *l, const char *text, void (*row)(struct loading *, sqlite3_stmt *))
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(l->db->sql, text, -1, &st, NULL);
	int err;

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW)
			row(l, st);
	}
	err = storedb_err(l->db->sql, rc);
	sqlite3_finalize(st);
	return err;
}

/* Offsets become pointers, once the buffer stands still. */
static void settle(struct loading *l)
{
	struct store_image *im = l->image;
	uint8_t *base;

	buf_put(&l->bytes, "", 1);
	im->memory = base = (uint8_t *)buf_take(&l->bytes);
	im->snapshot.data = base + (uintptr_t)im->snapshot.data;
	for (unsigned i = 0; i < im->n_entries; i++)
		im->entries[i].data = base + (uintptr_t)im->entries[i].data;
	for (unsigned i = 0; i < im->n_meta; i++) {
		im->meta[i].key = (const char *)base + (uintptr_t)im->meta[i].key;
		im->meta[i].value = base + (uintptr_t)im->meta[i].value;
	}
}

static void check_span(struct loading *l)
{
	const struct store_image *im = l->image;
	uint64_t snap = im->has_snapshot ? im->snapshot.index : 0;

	if (!im->n_entries)
		return;
	if (im->entries[0].index > snap + 1)
		l->damage = "the log does not continue the snapshot", l->damaged_index = im->entries[0].index;
	else if (im->entries[im->n_entries - 1].index < snap)
		l->damage = "the log ends before the snapshot", l->damaged_index = snap;
}

int storedb_load(struct storedb *db, struct store_image *image, char **why)
{
	struct loading l = { .db = db, .image = image };
	int err;

	memset(image, 0, sizeof(*image));
	if (!(err = load_rows(&l, "SELECT idx, epoch, data, crc FROM snapshot", load_snapshot)) &&
	    !(err = load_rows(&l, "SELECT idx, epoch, kind, request, chain, data, crc FROM log ORDER BY idx", load_entry)))
		err = load_rows(&l, "SELECT key, value, crc FROM meta ORDER BY key", load_meta);
	settle(&l);
	if (!err && !l.damage)
		check_span(&l);
	if (!err && l.damage) {
		*why = mem_printf("state.db is damaged: %s (index %llu). If the other nodes of the cluster are well, stop "
				  "directord, move the file away and start again; else restore a copy",
				  l.damage, (unsigned long long)l.damaged_index);
		err = ERR_MALFORMED;
	} else if (err) {
		*why = mem_printf("state.db: %s (%s)", err_text(err), storedb_text(db));
	}
	if (err)
		store_image_fini(image);
	return err;
}
