/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's bounded memory: commits with what they did and what takes them back, and the requests answered. */
#ifndef CLUSTER_HISTORY_H
#define CLUSTER_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "cluster/catalog.h"
#include "cluster/overlay.h"

TAILQ_HEAD(history_list, history);

struct history_ring {
	struct history_list list;       /* oldest first */
	unsigned n;
	size_t bytes;
	struct hash_sum sum;
};

void history_ring_init(struct history_ring *r);
void history_ring_fini(struct history_ring *r);
/* Append (given); the oldest go while there are too many. */
void history_push(struct history_ring *r, struct history **h);
const struct history *history_find(const struct history_ring *r, uint64_t index);
/* The commit that this overlay is about to be, author and message from `t`. */
struct history *history_of(const struct overlay *o, const struct txn *t, unsigned n_changes);

/* A request and its answer. */
struct answer {
	uint8_t id[16];
	uint64_t index;
	int err;
	char *text;
	uint8_t hash[32];
	RB_ENTRY(answer) by_id;
	TAILQ_ENTRY(answer) by_age;
};

RB_HEAD(answer_tree, answer);
TAILQ_HEAD(answer_list, answer);

struct window {
	struct answer_tree by_id;
	struct answer_list by_age;      /* oldest first */
	unsigned n;
	struct hash_sum sum;
};

void window_init(struct window *w);
void window_fini(struct window *w);
void window_push(struct window *w, const uint8_t id[16], uint64_t index, int err, const char *text);
const struct answer *window_find(const struct window *w, const uint8_t id[16]);

/* ---- the catalog's inside, for its own files ---- */

struct catalog {
	struct tree *tree;
	struct history_ring history;
	struct window window;
	uint64_t applied;
	struct change *changes;         /* of the last apply; the paths are ours */
	unsigned n_changes, cap_changes;
};

#endif
