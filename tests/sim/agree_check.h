/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agreement promises, looked at from outside all nodes (I7, I8, I12). Each function is told what
 * happened; the first broken promise is kept as a sentence.
 */
#ifndef TESTS_SIM_AGREE_CHECK_H
#define TESTS_SIM_AGREE_CHECK_H

#include "cluster/agree.h"
#include "tests/sim/world.h"

struct check_entry {
	struct agree_chain chain;
	struct agree_rid rid;
	bool has_hash;
	uint8_t hash[AGREE_HASH_LEN];
	struct roster *roster;          /* for a roster entry */
};

struct check_request {
	struct agree_rid rid;
	unsigned n_open;                /* attempts that have no answer yet */
	bool doubt;                     /* one was left in doubt, by its answer or by a crash */
	bool answered_ok;
	uint64_t index;                 /* where it was applied; 0: nowhere yet */
	int32_t result;
};

struct check {
	struct world *w;
	struct check_entry *entry;      /* by index */
	unsigned n_entry, entry_cap;    /* highest index + 1 */
	struct check_request *req;
	unsigned n_req, req_cap;
	char broken[300];
	uint64_t acked;                 /* highest index of a successful answer */
	unsigned n_ok, n_refused, n_doubt, n_roster;
	/* Does the durable log of the node with this id have that entry, and did it ever? */
	bool (*durable)(void *ctx, const struct node_id *id, uint64_t index, const struct agree_chain *chain);
	void *ctx;
};

void check_init(struct check *c, struct world *w);
void check_fini(struct check *c);
void check_break(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The founding: the roster at index 1. */
void check_found(struct check *c, const struct roster *r);
/* A node hands out `e` as committed. */
void check_commit(struct check *c, unsigned node, const struct agree_entry *e);
/* A node has applied up to `index`. */
void check_hash(struct check *c, unsigned node, uint64_t index, const uint8_t *hash);
void check_result(struct check *c, unsigned node, const struct agree_rid *rid, int32_t result);
struct check_request *check_request(struct check *c, const struct agree_rid *rid);
void check_asked(struct check *c, const struct agree_rid *rid);
void check_reply(struct check *c, unsigned node, const struct agree_reply *r);
/* The process that was asked died. */
void check_lost(struct check *c, const struct agree_rid *rid);
/* The roster in force after entry `index` (0: the newest known). */
const struct roster *check_roster(const struct check *c, uint64_t index);

#endif
