/* SPDX-License-Identifier: Apache-2.0 */
/* The facts cache's file: never fsynced, thrown away when it is damaged. No error leaves this file. */
#ifndef DIRECTORD_FACTSDB_H
#define DIRECTORD_FACTSDB_H

#include "directord/store.h"

struct factsdb;

/* A change that waits to be written; in one allocation with its bytes. */
struct fact {
	struct fact *next;
	size_t key_len, len;
	bool remove;
	uint8_t bytes[];                /* key, then value */
};

/* A NULL value removes the key. */
struct fact *fact_new(const void *key, size_t key_len, const void *value, size_t len);
/* Never NULL; a cache that cannot be had is one that forgets. */
struct factsdb *factsdb_open(const char *dir, const char *vfs);
void factsdb_close(struct factsdb **f);
/* Write the list in one transaction and free it. */
void factsdb_write(struct factsdb *f, struct fact *list);
void factsdb_load(struct factsdb *f, store_fact_fn *fn, void *arg);

#endif
