/* SPDX-License-Identifier: Apache-2.0 */
/* Writing into the store's file: what may follow what, and the rows with their checksums. */
#include "directord/storedb_int.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"

static uint32_t crc_u64(uint32_t crc, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	return crc32c(crc, b, 8);
}

uint32_t storedb_entry_crc(const struct store_entry *e)
{
	uint32_t crc = crc_u64(crc_u64(crc_u64(0, e->index), e->epoch), e->kind);

	crc = crc32c(crc, e->request_id, sizeof(e->request_id));
	crc = crc32c(crc, e->chain, sizeof(e->chain));
	return crc32c(crc, e->data, e->len);
}

uint32_t storedb_snapshot_crc(const struct store_snapshot *s)
{
	return crc32c(crc_u64(crc_u64(0, s->index), s->epoch), s->data, s->len);
}

uint32_t storedb_meta_crc(const struct store_meta *m)
{
	return crc32c(crc32c(0, m->key, strlen(m->key) + 1), m->value, m->len);
}

int storedb_run(struct storedb *db, enum stmt which)
{
	sqlite3_stmt *st = db->stmt[which];
	int err = storedb_err(db->sql, sqlite3_step(st));

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return err;
}

static void bind_bytes(sqlite3_stmt *st, int at, const void *p, size_t n)
{
	/* A NULL pointer would bind NULL. */
	sqlite3_bind_blob64(st, at, n ? p : "", n, SQLITE_STATIC);
}

/* What the log would hold after `b`; ERR_INVAL if that has a hole. */
static int span_after(struct span s, const struct store_batch *b, struct span *after)
{
	if (b->install)
		s = (struct span){ b->install->index + 1, b->install->index, b->install->index };
	if (b->compact)
		s.snap = b->compact->index;
	if (b->drop_below > s.snap + 1 || (b->install && b->compact))
		return ERR_INVAL;
	if (b->drop_below > s.first)
		s.first = b->drop_below;
	if (b->cut_from && b->cut_from <= s.last)
		s.last = b->cut_from - 1;
	if (s.last < s.first)
		s = (struct span){ s.snap + 1, s.snap, s.snap };
	if (s.first > s.snap + 1 || s.last < s.snap)
		return ERR_INVAL;
	for (unsigned i = 0; i < b->n_entries; i++) {
		const struct store_entry *e = &b->entries[i];

		if (e->index != s.last + 1 || e->index > INT64_MAX || e->len > STORE_VALUE_MAX)
			return ERR_INVAL;
		s.last++;
	}
	*after = s;
	return 0;
}

static int check_meta(const struct store_batch *b)
{
	for (unsigned i = 0; i < b->n_meta; i++) {
		const struct store_meta *m = &b->meta[i];

		if (!m->key[0] || m->key[0] == '#' || strlen(m->key) > STORE_META_KEY_MAX || m->len > STORE_VALUE_MAX)
			return ERR_INVAL;
	}
	return 0;
}

static int put_index(struct storedb *db, enum stmt which, uint64_t index)
{
	sqlite3_bind_int64(db->stmt[which], 1, (sqlite3_int64)index);
	return storedb_run(db, which);
}

static int put_snapshot(struct storedb *db, const struct store_snapshot *s)
{
	sqlite3_stmt *st = db->stmt[S_SNAPSHOT];

	sqlite3_bind_int64(st, 1, (sqlite3_int64)s->index);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)s->epoch);
	bind_bytes(st, 3, s->data, s->len);
	sqlite3_bind_int64(st, 4, storedb_snapshot_crc(s));
	return storedb_run(db, S_SNAPSHOT);
}

static int put_entry(struct storedb *db, const struct store_entry *e)
{
	sqlite3_stmt *st = db->stmt[S_APPEND];

	sqlite3_bind_int64(st, 1, (sqlite3_int64)e->index);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)e->epoch);
	sqlite3_bind_int(st, 3, e->kind);
	bind_bytes(st, 4, e->request_id, sizeof(e->request_id));
	bind_bytes(st, 5, e->chain, sizeof(e->chain));
	bind_bytes(st, 6, e->data, e->len);
	sqlite3_bind_int64(st, 7, storedb_entry_crc(e));
	return storedb_run(db, S_APPEND);
}

static int meta_run(struct storedb *db, enum stmt which, const struct store_meta *m)
{
	sqlite3_stmt *st = db->stmt[which];

	sqlite3_bind_text(st, 1, m->key, -1, SQLITE_STATIC);
	if (m->value) {
		bind_bytes(st, 2, m->value, m->len);
		sqlite3_bind_int64(st, 3, storedb_meta_crc(m));
	}
	return storedb_run(db, which);
}

int storedb_put_meta(struct storedb *db, const struct store_meta *m)
{
	int err;

	if (!m->value)
		return meta_run(db, S_META_DEL, m);
	err = meta_run(db, S_META_SET, m);
	if (!err && sqlite3_changes(db->sql) == 0)
		err = meta_run(db, S_META_ADD, m);
	return err;
}

static int put_marks(struct storedb *db, const struct store_batch *b)
{
	const uint64_t v[3] = { b->promised, b->synced, b->commit };
	uint8_t le[24];

	for (int i = 0; i < 24; i++)
		le[i] = (uint8_t)(v[i / 8] >> (i % 8 * 8));
	return storedb_put_meta(db, &(struct store_meta){ STOREDB_MARKS, le, sizeof(le) });
}

int storedb_apply(struct storedb *db, const struct store_batch *b)
{
	struct span after;
	int err;

	if ((err = span_after(db->span, b, &after)) || (err = check_meta(b)))
		return err;
	if (b->install)
		err = put_index(db, S_CUT, 0);
	if (!err && (b->install || b->compact))
		err = put_snapshot(db, b->install ? b->install : b->compact);
	if (!err && b->drop_below)
		err = put_index(db, S_DROP, b->drop_below);
	if (!err && b->cut_from)
		err = put_index(db, S_CUT, b->cut_from);
	for (unsigned i = 0; !err && i < b->n_entries; i++)
		err = put_entry(db, &b->entries[i]);
	if (!err && b->has_marks)
		err = put_marks(db, b);
	for (unsigned i = 0; !err && i < b->n_meta; i++)
		err = storedb_put_meta(db, &b->meta[i]);
	if (!err)
		db->span = after;
	return err;
}
