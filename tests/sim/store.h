/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of the store: puts become durable in order, each whole or not at all, after a while; what was
 * not yet durable is lost in a crash (some of it may have become durable unreported); it can fail.
 * Everything rests as bytes of the real codec.
 */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include "base/buf.h"
#include "cluster/agree.h"
#include "tests/sim/world.h"

struct store_put;

struct store {
	struct world *w;
	unsigned node;
	void (*stored)(void *ctx, unsigned node, uint64_t seq, int err);
	void *ctx;
	/* durable */
	uint64_t promised, synced, commit;
	struct buf snap;                        /* empty: none */
	struct { uint64_t index; struct buf row; struct agree_chain chain; } *row;
	unsigned n_row, row_cap;
	uint64_t snap_index;
	/* on the way */
	struct store_put *first, **last;
	unsigned generation;
	unsigned sync_us;                       /* usual time of a sync */
	bool steady;                            /* and never much longer */
	int fails;                              /* ERR_*: puts fail with it from now on */
	bool failed;                            /* one did: the rest of this process fails too */
};

void store_init(struct store *s, struct world *w, unsigned node);
void store_fini(struct store *s);
void store_put(struct store *s, const struct agree_put *p);
/* The process or machine stops: what is on the way is lost, from some point on. */
void store_crash(struct store *s);
/* Nothing is left of it. */
void store_wipe(struct store *s);
/* What START gets. Fill in, use, and give back. */
void store_load(struct store *s, struct agree_disk *d);
void store_unload(struct agree_disk *d);
/* Does the disk hold the entry `index` with this chain, or a snapshot past it? */
bool store_has(const struct store *s, uint64_t index, const struct agree_chain *chain);

#endif
