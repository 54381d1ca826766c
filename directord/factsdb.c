/* SPDX-License-Identifier: Apache-2.0 */
/* The facts cache in SQLite, with every promise of durability turned off. */
#include "directord/factsdb.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

struct factsdb {
	sqlite3 *sql;                   /* NULL: no cache */
	sqlite3_stmt *put, *del;
	char *path, *vfs;
};

struct fact *fact_new(const void *key, size_t key_len, const void *value, size_t len)
{
	struct fact *f = mem_zalloc(sizeof(*f) + key_len + len);

	f->key_len = key_len;
	f->len = len;
	f->remove = !value;
	memcpy(f->bytes, key, key_len);
	if (len)
		memcpy(f->bytes + key_len, value, len);
	return f;
}

static void shut(struct factsdb *f)
{
	sqlite3_finalize(f->put);
	sqlite3_finalize(f->del);
	sqlite3_close(f->sql);
	f->put = f->del = NULL;
	f->sql = NULL;
}

static bool open_once(struct factsdb *f)
{
	static const char setup[] =
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
		"PRAGMA cache_size = -256; PRAGMA temp_store = MEMORY;"
		"CREATE TABLE IF NOT EXISTS facts (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	sqlite3_stmt *check = NULL;
	bool ok;

	if (sqlite3_open_v2(f->path, &f->sql, flags, f->vfs) != SQLITE_OK ||
	    sqlite3_exec(f->sql, setup, NULL, NULL, NULL) != SQLITE_OK)
		return false;
	ok = sqlite3_prepare_v2(f->sql, "PRAGMA quick_check(1)", -1, &check, NULL) == SQLITE_OK &&
		sqlite3_step(check) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(check, 0), "ok") == 0;
	sqlite3_finalize(check);
	return ok &&
		sqlite3_prepare_v2(f->sql, "INSERT OR REPLACE INTO facts VALUES (?1, ?2)", -1, &f->put, NULL) == SQLITE_OK &&
		sqlite3_prepare_v2(f->sql, "DELETE FROM facts WHERE key = ?1", -1, &f->del, NULL) == SQLITE_OK;
}

static void remove_files(struct factsdb *f)
{
	char *wal = mem_printf("%s-wal", f->path);

	unlink(f->path);
	unlink(wal);
	free(wal);
}

struct factsdb *factsdb_open(const char *dir, const char *vfs)
{
	struct factsdb *f = mem_zalloc(sizeof(*f));

	f->path = mem_printf("%s/facts.db", dir);
	f->vfs = mem_strdup(vfs);
	for (int attempt = 0; attempt < 2; attempt++) {
		if (open_once(f))
			return f;
		shut(f);
		if (!vfs)
			remove_files(f);
	}
	return f;
}

void factsdb_close(struct factsdb **fp)
{
	struct factsdb *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	shut(f);
	free(f->path);
	free(f->vfs);
	free(f);
}

static bool write_one(struct factsdb *f, const struct fact *x)
{
	sqlite3_stmt *st = x->remove ? f->del : f->put;
	int rc;

	sqlite3_bind_blob64(st, 1, x->bytes, x->key_len, SQLITE_STATIC);
	if (!x->remove)
		sqlite3_bind_blob64(st, 2, x->bytes + x->key_len, x->len, SQLITE_STATIC);
	rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE;
}

void factsdb_write(struct factsdb *f, struct fact *list)
{
	bool ok = list && f->sql && sqlite3_exec(f->sql, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;

	while (list) {
		struct fact *next = list->next;

		ok = ok && write_one(f, list);
		free(list);
		list = next;
	}
	if (f->sql && !sqlite3_get_autocommit(f->sql))
		sqlite3_exec(f->sql, ok ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL);
	/* Its pages are hardly read again. */
	if (f->sql)
		sqlite3_db_release_memory(f->sql);
}

void factsdb_load(struct factsdb *f, store_fact_fn *fn, void *arg)
{
	sqlite3_stmt *st = NULL;

	if (!f->sql || sqlite3_prepare_v2(f->sql, "SELECT key, value FROM facts", -1, &st, NULL) != SQLITE_OK)
		return;
	while (sqlite3_step(st) == SQLITE_ROW)
		fn(arg, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0),
		   sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
	sqlite3_finalize(st);
}
