/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL of the store. WAL and synchronous=FULL: a commit returns after the log was fsynced, and a torn log is cut at
 * the last whole transaction by its checksums. Rows carry a checksum of their own, because SQLite's pages do not and a
 * disk that lies must not make one node apply something else than the others (I7).
 */
#include "directord/storedb_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define APPLICATION_ID 0x64726374       /* "drct" */
#define CHECKPOINT_PAGES 1000
#define WAL_BYTES ((CHECKPOINT_PAGES + 64) * (4096ll + 24))
#define ROOM_BYTES (16 * WAL_BYTES)     /* free on the file system, or it is left alone */

static const char *const stmt_text[N_STMTS] = {
	[S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_CUT] = "DELETE FROM log WHERE idx >= ?1",
	[S_DROP] = "DELETE FROM log WHERE idx < ?1",
	[S_APPEND] = "INSERT INTO log (idx, epoch, kind, request, chain, data, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[S_SNAPSHOT] = "INSERT OR REPLACE INTO snapshot (id, idx, epoch, data, crc) VALUES (1, ?1, ?2, ?3, ?4)",
	/* An update in place leaves the index of the keys alone: one page less in each commit. */
	[S_META_SET] = "UPDATE meta SET value = ?2, crc = ?3 WHERE key = ?1",
	[S_META_ADD] = "INSERT INTO meta (key, value, crc) VALUES (?1, ?2, ?3)",
	[S_META_DEL] = "DELETE FROM meta WHERE key = ?1",
};

static const char schema[] =
	"BEGIN;"
	"CREATE TABLE log (idx INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" request BLOB NOT NULL, chain BLOB NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), idx INTEGER NOT NULL, epoch INTEGER NOT NULL,"
	" data BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL);"
	"PRAGMA application_id = 1685218164;"
	"PRAGMA user_version = 1;"
	"COMMIT;";

int storedb_err(sqlite3 *sql, int rc)
{
	int e = sql ? sqlite3_system_errno(sql) : 0;

	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return ERR_NOSPC;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (e == ENOSPC || e == EDQUOT)
			return ERR_NOSPC;
		return e == EACCES || e == EPERM || e == EROFS ? ERR_DENIED : ERR_IO;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return ERR_DENIED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_MALFORMED;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	default:
		return ERR_FAILED;
	}
}

const char *storedb_text(const struct storedb *db)
{
	return db->text[0] ? db->text : sqlite3_errmsg(db->sql);
}

static int run_sql(struct storedb *db, const char *text)
{
	return storedb_err(db->sql, sqlite3_exec(db->sql, text, NULL, NULL, NULL));
}

/* The first column of the first row as text in `out`, "" without a row. */
static int ask_sql(struct storedb *db, const char *text, char *out, size_t size)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->sql, text, -1, &st, NULL);

	out[0] = '\0';
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_text(st, 0))
		snprintf(out, size, "%s", (const char *)sqlite3_column_text(st, 0));
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		rc = SQLITE_OK;
	rc = storedb_err(db->sql, rc);
	sqlite3_finalize(st);
	return rc;
}

static int ask_number(struct storedb *db, const char *text, long long *v)
{
	char out[32];
	int err = ask_sql(db, text, out, sizeof(out));

	*v = atoll(out);
	return err;
}

static int open_file(struct storedb *db, const char *path, const char *vfs)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(path, &db->sql, flags, vfs);

	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(db->sql, 0);
	return storedb_err(db->sql, rc);
}

/* Is this our file, and may we touch it? Reads only; takes the lock. */
static int check_owner(struct storedb *db, bool *fresh, char **why)
{
	long long version, app, tables;
	int err;

	*fresh = false;
	if ((err = run_sql(db, "PRAGMA locking_mode = EXCLUSIVE")) ||
	    (err = ask_number(db, "PRAGMA user_version", &version)) ||
	    (err = ask_number(db, "PRAGMA application_id", &app)) ||
	    (err = ask_number(db, "SELECT count(*) FROM sqlite_master", &tables)))
		return err;
	if (tables == 0 && version == 0 && app == 0) {
		*fresh = true;
		return 0;
	}
	if (app != APPLICATION_ID) {
		*why = mem_strdup("it is a database of another program; move it away");
		return ERR_MALFORMED;
	}
	if (version > STOREDB_VERSION) {
		*why = mem_printf("it has format %lld and this directord knows up to %d; install the newer version again",
				  version, STOREDB_VERSION);
		return ERR_VERSION;
	}
	return 0;
}

/* Ask for durability and see that it was granted: a VFS or a read-only file may quietly give less. */
static int set_durability(struct storedb *db, char **why)
{
	char mode[16];
	long long sync;
	int err;

	if ((err = ask_sql(db, "PRAGMA journal_mode = WAL", mode, sizeof(mode))) ||
	    (err = run_sql(db, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
			   "PRAGMA journal_size_limit = 8388608; PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY")) ||
	    (err = ask_number(db, "PRAGMA synchronous", &sync)))
		return err;
	if (strcmp(mode, "wal") != 0 || sync != 2) {
		*why = mem_printf("SQLite gives journal mode %s and synchronous %lld instead of wal and 2", mode, sync);
		return ERR_IO;
	}
	return 0;
}

static int check_pages(struct storedb *db, char **why)
{
	char answer[256];
	int err = ask_sql(db, "PRAGMA quick_check(1)", answer, sizeof(answer));

	if (!err && strcmp(answer, "ok") != 0) {
		*why = mem_printf("it is damaged (%s)", answer);
		return ERR_MALFORMED;
	}
	return err;
}

static int read_span(struct storedb *db)
{
	long long first, last, snap;
	int err;

	if ((err = ask_number(db, "SELECT coalesce(min(idx), 1) FROM log", &first)) ||
	    (err = ask_number(db, "SELECT coalesce(max(idx), 0) FROM log", &last)) ||
	    (err = ask_number(db, "SELECT coalesce(max(idx), 0) FROM snapshot", &snap)))
		return err;
	db->span = db->committed = (struct span){ (uint64_t)first, (uint64_t)last, (uint64_t)snap };
	return 0;
}

/* The names of a new file and of its log must survive too. */
static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	/* A file system without directory sync (EINVAL) has nothing better to offer. */
	if (fsync(fd) < 0 && errno != EINVAL)
		err = err_from_errno(errno);
	close(fd);
	return err;
}

static int prepare_all(struct storedb *db)
{
	for (int i = 0; i < N_STMTS; i++) {
		int rc = sqlite3_prepare_v3(db->sql, stmt_text[i], -1, SQLITE_PREPARE_PERSISTENT, &db->stmt[i], NULL);

		if (rc != SQLITE_OK)
			return storedb_err(db->sql, rc);
	}
	return 0;
}

static int open_checked(struct storedb *db, const char *dir, const char *path, const char *vfs, char **why)
{
	bool fresh;
	int err;

	if ((err = open_file(db, path, vfs)) || (err = check_owner(db, &fresh, why)) ||
	    (err = set_durability(db, why)) || (err = check_pages(db, why)))
		return err;
	if (fresh && (err = run_sql(db, schema)))
		return err;
	if ((err = read_span(db)) || (err = prepare_all(db)))
		return err;
	return vfs ? 0 : sync_dir(dir);
}

static char *open_reason(struct storedb *db, int err)
{
	switch (err) {
	case ERR_BUSY:
		return mem_strdup("another process holds it; is directord running with this state directory already?");
	case ERR_MALFORMED:
		return mem_printf("it is damaged (%s)", storedb_text(db));
	case ERR_NOSPC:
		return mem_strdup("no space left on its file system; make room and start again");
	default:
		return mem_printf("%s (%s)", err_text(err), storedb_text(db));
	}
}

int storedb_open(struct storedb **dbp, const char *dir, const char *vfs, char **why)
{
	struct storedb *db = mem_zalloc(sizeof(*db));
	char *path = mem_printf("%s/state.db", dir);
	char *reason = NULL;
	int err = open_checked(db, dir, path, vfs, &reason);

	*dbp = NULL;
	db->dir = mem_strdup(dir);
	if (err) {
		if (!reason)
			reason = open_reason(db, err);
		if (err == ERR_MALFORMED)
			*why = mem_printf("%s: %s. If the other nodes of the cluster are well, stop directord, move the file "
					  "away and start again: the node fetches everything from them; else restore a copy",
					  path, reason);
		else
			*why = mem_printf("%s: %s", path, reason);
		free(reason);
		storedb_close(&db);
	} else {
		*dbp = db;
	}
	free(path);
	return err;
}

void storedb_close(struct storedb **dbp)
{
	struct storedb *db = *dbp;

	*dbp = NULL;
	if (!db)
		return;
	for (int i = 0; i < N_STMTS; i++)
		sqlite3_finalize(db->stmt[i]);
	sqlite3_close(db->sql);
	free(db->dir);
	free(db);
}

int storedb_begin(struct storedb *db)
{
	db->span = db->committed;
	return storedb_run(db, S_BEGIN);
}

static int count_pages(void *arg, sqlite3 *sql, const char *name, int pages)
{
	struct storedb *db = arg;

	db->wal_pages = pages;
	return SQLITE_OK;
}

int storedb_commit(struct storedb *db)
{
	int err;

	sqlite3_wal_hook(db->sql, count_pages, db);
	err = storedb_run(db, S_COMMIT);
	if (!err)
		db->committed = db->span;
	return err;
}

void storedb_rollback(struct storedb *db)
{
	snprintf(db->text, sizeof(db->text), "%s", sqlite3_errmsg(db->sql));
	/* Some errors have rolled back already; then this one has nothing to do and says so. */
	if (!sqlite3_get_autocommit(db->sql))
		run_sql(db, "ROLLBACK");
	db->span = db->committed;
}

int storedb_checkpoint(struct storedb *db, bool always)
{
	int rc;

	if (!always && db->wal_pages < CHECKPOINT_PAGES)
		return 0;
	rc = sqlite3_wal_checkpoint_v2(db->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (rc == SQLITE_OK)
		db->wal_pages = 0;
	return storedb_err(db->sql, rc);
}

bool storedb_grown(const struct storedb *db)
{
	return db->wal_pages >= CHECKPOINT_PAGES / 4;
}

/* Behind its last frame SQLite reads nothing: frames carry the salt of the log's header and a checksum. */
static void wal_fill(sqlite3_file *wal, sqlite3_int64 from)
{
	static const uint8_t zeros[65536];
	sqlite3_int64 at = from;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && at < WAL_BYTES) {
		int n = WAL_BYTES - at < (sqlite3_int64)sizeof(zeros) ? (int)(WAL_BYTES - at) : (int)sizeof(zeros);

		rc = wal->pMethods->xWrite(wal, zeros, n, at);
		at += n;
	}
	if (rc == SQLITE_OK)
		rc = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
	if (rc != SQLITE_OK)
		wal->pMethods->xTruncate(wal, from);
}

void storedb_size(struct storedb *db)
{
	sqlite3_file *wal = NULL;
	sqlite3_int64 size = 0;
	struct statvfs fs;

	if (statvfs(db->dir, &fs) < 0 || (sqlite3_int64)(fs.f_bavail * fs.f_frsize) < ROOM_BYTES)
		return;
	if (sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK || !wal || !wal->pMethods)
		return;
	if (wal->pMethods->xFileSize(wal, &size) == SQLITE_OK && size < WAL_BYTES)
		wal_fill(wal, size);
}

int storedb_probe(struct storedb *db)
{
	/* More than a page, so that a disk with its last block free does not pass for one that works. */
	static const uint8_t filling[16384];
	struct store_meta m = { STOREDB_PROBE, filling, sizeof(filling) };
	int err;

	if ((err = storedb_begin(db)) || (err = storedb_put_meta(db, &m)) || (err = storedb_commit(db)) ||
	    (err = storedb_begin(db)))
		return err;
	m.value = NULL;
	if ((err = storedb_put_meta(db, &m)) || (err = storedb_commit(db)))
		return err;
	return storedb_checkpoint(db, true);
}

