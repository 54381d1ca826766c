/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store's SQL share: storedb.c (file, transactions), storeput.c (writing), storeload.c (reading). */
#ifndef DIRECTORD_STOREDB_INT_H
#define DIRECTORD_STOREDB_INT_H

#include <sqlite3.h>

#include "directord/storedb.h"

#define STOREDB_MARKS "#marks"          /* promised, synced, commit; keys with '#' are the store's own */
#define STOREDB_PROBE "#probe"

/* Which entries the log holds; first > last: none. `snap` is 0 without a snapshot. */
struct span {
	uint64_t first, last, snap;
};

enum stmt { S_BEGIN, S_COMMIT, S_CUT, S_DROP, S_APPEND, S_SNAPSHOT, S_META_SET, S_META_ADD, S_META_DEL, N_STMTS };

struct storedb {
	sqlite3 *sql;
	sqlite3_stmt *stmt[N_STMTS];
	struct span span, committed;
	int wal_pages;
	char *dir;
	char text[160];                 /* of the error that was rolled back */
};

/* The ERR_* of an SQLite result; 0 for ROW and DONE too. */
int storedb_err(sqlite3 *sql, int rc);
/* Run a prepared statement that returns no rows, and make it ready for the next time. */
int storedb_run(struct storedb *db, enum stmt which);
int storedb_put_meta(struct storedb *db, const struct store_meta *m);

/* Over every column of a row, so that a swapped row is seen too. */
uint32_t storedb_entry_crc(const struct store_entry *e);
uint32_t storedb_snapshot_crc(const struct store_snapshot *s);
uint32_t storedb_meta_crc(const struct store_meta *m);

#endif
