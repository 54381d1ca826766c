/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agreed namespace as a deterministic machine: (state, log entry) -> state, the same on every node
 * and for ever. An entry is a transaction; it applies whole or not at all. Beside the objects the state
 * holds a bounded history (for `history`, `blame`, `undo`) and a bounded window of request ids with their
 * results (a request proposed twice is applied once and answered the same).
 *
 * No clock, float, locale or unordered walk. Texts of refusals are not part of the state: they may get
 * better with a new version; codes may not change.
 */
#ifndef CLUSTER_CATALOG_H
#define CLUSTER_CATALOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "cluster/schema.h"
#include "cluster/tree.h"
#include "cluster/txn.h"

#define HISTORY_MAX 1000                        /* commits that are remembered */
#define HISTORY_BYTES_MAX (8u << 20)            /* their bytes together; the oldest go first */
#define HISTORY_ENTRY_BYTES_MAX (2u << 20)      /* a larger commit is remembered without its operations */
#define WINDOW_MAX 4096                         /* request ids that are remembered */
#define CATALOG_OBJECTS_MAX 200000u           /* objects of the cluster */
#define TXN_AUTHOR_MAX 255                      /* bytes of author and node */
#define TXN_MESSAGE_MAX 1000                    /* bytes of a message */

enum change_kind { CHANGE_CREATED = 1, CHANGE_SET, CHANGE_DELETED };

struct change {
	enum change_kind kind;
	const char *path;
};

struct catalog_result {
	int err;                        /* 0 or ERR_* */
	uint64_t index;                 /* the commit: this entry's index, or that of the first time (`again`) */
	bool again;                     /* the request id was known: nothing done, this is the first result */
	const struct change *changes;   /* lent until the next call on the catalog */
	unsigned n_changes;             /* 0 with err 0: everything was so already; no commit is recorded */
	struct why why;                 /* err != 0 */
};

struct history {
	uint64_t index, time_ms;
	char *author, *node, *message;
	bool trimmed;                   /* too large: `ops` and `inverse` are empty, it cannot be undone */
	unsigned n_changes;             /* objects */
	struct txn ops;                 /* what it did: only `ops` is used; may hold secrets (schema_secret) */
	struct txn inverse;             /* what takes it back, in the order to do it; only `ops` is used */
	/* private */
	uint8_t hash[32];
	size_t bytes;
	TAILQ_ENTRY(history) entry;
};

struct catalog;

struct catalog *catalog_new(void);
void catalog_free(struct catalog **c);

/* Apply entry `index`, which is above all before. The txn is borrowed. */
void catalog_apply(struct catalog *c, uint64_t index, const struct txn *t, struct catalog_result *r);
/* Entry `index` was not for the catalog (a roster change, or bytes that are no transaction). */
void catalog_skip(struct catalog *c, uint64_t index);
uint64_t catalog_applied(const struct catalog *c);              /* the last index given; 0: none */
const struct tree *catalog_tree(const struct catalog *c);
const struct object *catalog_get(const struct catalog *c, const char *path);
unsigned catalog_level(const struct catalog *c);                /* schema level of the cluster */
/* Hash of everything that is state: objects, history, window, index. Costs nothing that grows. */
void catalog_hash(const struct catalog *c, uint8_t out[32]);
/* The result of a request that is still in the window: true and *err, *index. */
bool catalog_find_request(const struct catalog *c, const uint8_t id[16], int *err, uint64_t *index);

/* ---- candidate against current ---- */

struct diff_attr {
	char *key;
	char *before, *after;           /* NULL: not set. Secrets come as "(secret)" */
	bool secret;
};

struct diff_item {
	enum change_kind kind;
	char *path;
	struct diff_attr *attrs;
	unsigned n_attrs, cap;
};

struct diff {
	struct diff_item *items;        /* ordered by path */
	unsigned n, cap;
};

/*
 * What catalog_apply would say and do now, touching nothing; r->changes is not set. `diff` (may be NULL,
 * else diff_fini it) gets what would change, also for a refused one as far as it could be worked out.
 */
void catalog_check(const struct catalog *c, const struct txn *t, struct catalog_result *r, struct diff *diff);
void diff_fini(struct diff *d);
/* One line per item and attribute: "+ /volumes/v1 size=1G", "~ … size=1G -> 2G", "- …". */
void diff_text(const struct diff *d, struct buf *out);

/* ---- history ---- */

/* Newest first: begin with NULL. Lent until the next apply. */
const struct history *catalog_history(const struct catalog *c, const struct history *after);
const struct history *catalog_commit(const struct catalog *c, uint64_t index);

struct blame {
	uint64_t index;                 /* 0: never set */
	const struct history *commit;   /* NULL: not remembered any more. Lent */
};

/* Who set `key` of the object at `path`; with a NULL key, who changed the object last. ERR_NOENT if there is no such object. */
int catalog_blame(const struct catalog *c, const char *path, const char *key, struct blame *b);
/*
 * The transaction that takes commit `index` back (without request id, author and so on: the caller's).
 * ERR_NOENT: not remembered. ERR_CONFLICT: something of it was changed since; `why` names what and by
 * which commit. Its preconditions make a later change refuse it too.
 */
int catalog_undo(const struct catalog *c, uint64_t index, struct txn *t, struct why *why);

/* ---- the whole state as data; proto/txn.h gives it bytes ---- */

struct snapshot_request {
	uint8_t id[16];
	uint64_t index;
	int err;
	char *text;                     /* may be empty */
};

struct snapshot {
	uint64_t applied;
	uint8_t hash[32];               /* catalog_hash of the state */
	struct object **objects;        /* ordered by path */
	unsigned n_objects, cap_objects;
	struct history **history;       /* oldest first */
	unsigned n_history, cap_history;
	struct snapshot_request *requests;      /* oldest first */
	unsigned n_requests, cap_requests;
};

void catalog_snapshot(const struct catalog *c, struct snapshot *s);     /* a copy; snapshot_fini it */
void snapshot_fini(struct snapshot *s);
struct history *history_new(void);
void history_free(struct history **h);
/*
 * A catalog with this state into *c (given; what was there is freed). The snapshot is emptied. ERR_MALFORMED
 * if it breaks a rule (order, limits, references), ERR_DIVERGED if its hash does not fit its content; *c is then untouched.
 */
int catalog_load(struct catalog **c, struct snapshot *s);

#endif
