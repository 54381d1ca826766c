/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's file: SQL and what its errors mean, no thread. Used by store.c on the store's thread, and by tests.
 * A failed call leaves the handle unusable but for storedb_rollback and storedb_close: what was asked may or may not
 * be on disk then, and only opening the file again tells.
 */
#ifndef DIRECTORD_STOREDB_H
#define DIRECTORD_STOREDB_H

#include "directord/store.h"

struct storedb;

#define STOREDB_VERSION 1

/* Open or create, take the exclusive lock, check. `why` is given a sentence on error; never NULL then. */
int storedb_open(struct storedb **db, const char *dir, const char *vfs, char **why);
void storedb_close(struct storedb **db);
/* What SQLite said about the last error. Lent. */
const char *storedb_text(const struct storedb *db);

int storedb_begin(struct storedb *db);
/* ERR_INVAL: the batch does not continue the log; nothing of it was written and the transaction is still good. */
int storedb_apply(struct storedb *db, const struct store_batch *b);
/* 0 means: on disk, as far as the kernel and the disk tell the truth. */
int storedb_commit(struct storedb *db);
void storedb_rollback(struct storedb *db);
/* Move the write-ahead log into the file when it has grown (`always`: at any length). */
int storedb_checkpoint(struct storedb *db, bool always);
/* Is that worth doing while nobody waits? */
bool storedb_grown(const struct storedb *db);
/*
 * Give the write-ahead log its full length, if there is plenty of room: a commit then writes in place, and its fsync
 * has no metadata to wait for. Never fails: without it commits are slower.
 */
void storedb_size(struct storedb *db);
/* Write something and make it durable: does this disk work? */
int storedb_probe(struct storedb *db);
int storedb_load(struct storedb *db, struct store_image *image, char **why);

#endif
