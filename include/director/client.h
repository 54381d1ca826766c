/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director/client.h - libdirector: see and change a whole director cluster through the daemon of any
 * one of its nodes.
 *
 * Model. The cluster is one tree of objects (/volumes/v1, /targets/IQN/luns/0, /nodes/n1 …). An object
 * has a *desired* side (what was agreed, the same on every node) and an *observed* side (what nodes say
 * is the case, each with its age). Changes are transactions: they apply whole or not at all.
 *
 * Two ways to use it. The blocking calls (director_list, director_commit …) do one thing and return. Underneath
 * is an asynchronous core without threads: put director_fd() with director_poll_events() into your loop, call
 * director_process() when it is ready, and your callbacks run from inside it. Both may be mixed: a blocking
 * call also serves what else is open on the connection, and so runs callbacks.
 *
 * Threads. A struct director and everything obtained from it belongs to one thread at a time. Different
 * struct directors are independent. There is no global state and no hidden thread.
 *
 * Ownership, three words. *Borrowed*: a const pointer you give; needed for the call only. *Lent*: a const pointer
 * you get; good until the next call on the same director, or for as long as the comment says. *Given*: yours, to be
 * released with the named function. Release functions take the address of your pointer, accept NULL in it, and null it.
 *
 * Errors. Functions return 0 or a negative DIRECTOR_E_* code (stable for ever); director_error() has the text, the object
 * and the command that would help. Out of memory ends the process, as in the daemon.
 *
 * Units. Sizes are bytes, times milliseconds; wall-clock times are milliseconds since 1970. Values of attributes are
 * text in their canonical form: sizes in decimal bytes, durations in decimal milliseconds, "yes" and "no".
 * Strings are UTF-8 without control characters.
 */
#ifndef DIRECTOR_CLIENT_H
#define DIRECTOR_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DIRECTOR_API __attribute__((visibility("default")))
#else
#define DIRECTOR_API
#endif

/* Stable codes. director_strerror() explains, director_ename() gives the short name ("no-quorum"). */
#define DIRECTOR_E_FAILED       (-1)
#define DIRECTOR_E_INVALID      (-2)
#define DIRECTOR_E_NOT_FOUND    (-3)
#define DIRECTOR_E_EXISTS       (-4)
#define DIRECTOR_E_CONFLICT     (-5)    /* the object changed since it was read */
#define DIRECTOR_E_BUSY         (-6)
#define DIRECTOR_E_NO_QUORUM    (-7)    /* nothing was changed */
#define DIRECTOR_E_TIMEOUT      (-8)    /* the outcome is open: repeat with the same key */
#define DIRECTOR_E_UNREACHABLE  (-9)    /* the daemon does not answer, or the connection broke */
#define DIRECTOR_E_DENIED       (-10)
#define DIRECTOR_E_MALFORMED    (-11)
#define DIRECTOR_E_VERSION      (-12)
#define DIRECTOR_E_NO_SPACE     (-13)
#define DIRECTOR_E_IO           (-14)
#define DIRECTOR_E_LIMIT        (-15)
#define DIRECTOR_E_UNSUPPORTED  (-16)
#define DIRECTOR_E_AGAIN        (-17)
#define DIRECTOR_E_CANCELED     (-18)
#define DIRECTOR_E_CRYPTO       (-19)

struct director;                /* a connection to one daemon */
struct director_error;          /* what went wrong */
struct director_object;         /* one object of the tree */
struct director_list;           /* objects, in order of path */
struct director_txn;            /* a change under construction */
struct director_result;         /* how a commit or a verb ended */
struct director_request;        /* a request under way, asynchronous */
struct director_mirror;         /* a live copy of a subtree */
struct director_history;
struct director_schema;
struct director_status;
struct director_args;           /* keys and values */

/* ---- the library ---- */

/* "0.1.0". Static. */
DIRECTOR_API const char *director_version(void);
/* The sentence for a code. Static. */
DIRECTOR_API const char *director_strerror(int code);
/* Its short name ("no-quorum"); "unknown" for what is none. Static. */
DIRECTOR_API const char *director_ename(int code);
/* The code with this short name, 0 if there is none. */
DIRECTOR_API int director_ecode(const char *name);
/* The exit status that the shell has for a code: 0 for 0. */
DIRECTOR_API int director_eexit(int code);

/* ---- connection ---- */

/*
 * Make a handle; nothing is connected yet. `socket`: path of the control socket, borrowed; NULL: $DIRECTOR_SOCKET,
 * else /run/director/control.sock. *d is given (director_free). Cannot fail.
 */
DIRECTOR_API void director_new(struct director **d, const char *socket);
/* Disconnect; open requests end without a callback; mirrors of it must have been freed. */
DIRECTOR_API void director_free(struct director **d);
/* Connect and shake hands. Called by the first blocking call if you do not. Errors: UNREACHABLE, DENIED, VERSION, TIMEOUT. */
DIRECTOR_API int director_connect(struct director *d);
/* How long a blocking call waits in all, milliseconds; at first 30000. 0: for ever. */
DIRECTOR_API void director_set_timeout(struct director *d, uint64_t timeout_ms);
/* The name that the daemon's log has for this program; borrowed; before director_connect. */
DIRECTOR_API void director_set_program(struct director *d, const char *name);
/* The socket's path. Lent until director_free. */
DIRECTOR_API const char *director_socket(const struct director *d);
/* Version of the daemon; NULL while not connected. Lent until the connection ends. */
DIRECTOR_API const char *director_daemon_version(const struct director *d);
/* May this user change things (root or in the group director)? False while not connected. */
DIRECTOR_API bool director_may_write(const struct director *d);

/* ---- errors ---- */

/* The last error of a call on `d`; never NULL; lent until the next call on `d`. */
DIRECTOR_API const struct director_error *director_error(const struct director *d);
DIRECTOR_API int director_error_code(const struct director_error *e);           /* 0: the last call went well */
DIRECTOR_API const char *director_error_text(const struct director_error *e);   /* cause; never NULL */
DIRECTOR_API const char *director_error_object(const struct director_error *e); /* path of the object, or "" */
DIRECTOR_API const char *director_error_hint(const struct director_error *e);   /* the command that would help, or "" */

/* ---- asynchronous core ---- */

/* The descriptor to wait for; -1 while not connected. Changes after a reconnect. */
DIRECTOR_API int director_fd(const struct director *d);
/* What to wait for: POLLIN, perhaps with POLLOUT. Ask again after each call on `d`. */
DIRECTOR_API short director_poll_events(const struct director *d);
/*
 * Read and write what goes without blocking, and run callbacks. `revents` as from poll(); POLLIN | POLLOUT to
 * try everything. Errors: UNREACHABLE (all open requests have had their callback with it; director_connect
 * may be tried again), MALFORMED.
 */
DIRECTOR_API int director_process(struct director *d, short revents);
/* Wait up to timeout_ms (-1: for ever) for something to do, and do it: poll() and director_process(). 0, or TIMEOUT. */
DIRECTOR_API int director_wait(struct director *d, int timeout_ms);

/*
 * Make the blocking call that is under way on `d` return DIRECTOR_E_CANCELED, and if none is, the next one. May be called
 * from a signal handler or another thread.
 */
DIRECTOR_API void director_interrupt(struct director *d);

/*
 * The end of an asynchronous request: code 0 with `r`, or an error with its text in director_error(d). r is lent for
 * the call. The request is released by the library when this returns.
 */
typedef void director_done_fn(struct director *d, int code, const struct director_result *r, void *arg);
/* An object of an asynchronous list; lent for the call. */
typedef void director_object_fn(struct director *d, const struct director_object *o, void *arg);
/* On the way: done of total (total 0: unknown); text lent for the call, may be empty. */
typedef void director_progress_fn(struct director *d, uint64_t done, uint64_t total, const char *text, void *arg);

/* Give up: its callback is called with CANCELED (from inside director_process), once. What was committed stays committed. */
DIRECTOR_API void director_request_cancel(struct director_request *q);

/* ---- reading ---- */

#define DIRECTOR_ALL UINT32_MAX         /* depth: everything below */

#define DIRECTOR_NAMES     0x1u         /* paths and types only */
#define DIRECTOR_UNSETTLED 0x2u         /* only what is not converged */

/*
 * One object. path borrowed; *o given (director_object_free). Errors: NOT_FOUND and those of director_connect.
 */
DIRECTOR_API int director_get(struct director *d, const char *path, struct director_object **o);
/*
 * The object at `path` and `depth` levels below it. `prefix`: the names at the lowest of these levels begin with it; NULL: all. *l is given
 * (director_list_free). Not a snapshot of one instant if others change the tree meanwhile.
 */
DIRECTOR_API int director_list(struct director *d, const char *path, uint32_t depth, const char *prefix, unsigned flags,
	struct director_list **l);
/*
 * The same without blocking: on_object for each, then done. Errors come by done, from inside director_process: also UNREACHABLE if it was
 * started while not connected. The request is lent until then.
 */
DIRECTOR_API struct director_request *director_list_start(struct director *d, const char *path, uint32_t depth,
	const char *prefix, unsigned flags, director_object_fn *on_object, director_done_fn *done, void *arg);
DIRECTOR_API size_t director_list_n(const struct director_list *l);
/* Lent until the list is freed. i < director_list_n. */
DIRECTOR_API const struct director_object *director_list_at(const struct director_list *l, size_t i);
DIRECTOR_API void director_list_free(struct director_list **l);

/* DIRECTOR_REPORTED: no desired side, only what nodes say. */
enum director_converged { DIRECTOR_CONVERGED = 1, DIRECTOR_PENDING, DIRECTOR_FAILED, DIRECTOR_REPORTED };

/* Of an object; strings are lent until the object is released (or, in a callback, until it returns). */
DIRECTOR_API const char *director_object_path(const struct director_object *o);
DIRECTOR_API const char *director_object_name(const struct director_object *o);         /* last part of the path */
DIRECTOR_API const char *director_object_type(const struct director_object *o);         /* "volume"; "" for a folder */
DIRECTOR_API const char *director_object_uuid(const struct director_object *o);         /* "" if it has none */
DIRECTOR_API uint64_t director_object_generation(const struct director_object *o);      /* 0: not agreed state */
DIRECTOR_API enum director_converged director_object_status(const struct director_object *o);
DIRECTOR_API const char *director_object_reason(const struct director_object *o);       /* "" if converged */
/* Desired side: the value of `key` or NULL; the i-th attribute, false if there are fewer. A set secret reads "(secret)". */
DIRECTOR_API const char *director_object_desired(const struct director_object *o, const char *key);
DIRECTOR_API bool director_object_desired_at(const struct director_object *o, size_t i, const char **key, const char **value);
/* Observed side: how many nodes say something; which node and how long ago; its attributes. i < n. */
DIRECTOR_API size_t director_object_observers(const struct director_object *o);
DIRECTOR_API const char *director_object_observer(const struct director_object *o, size_t i, uint64_t *age_ms);
DIRECTOR_API const char *director_object_observed(const struct director_object *o, size_t i, const char *key);
DIRECTOR_API bool director_object_observed_at(const struct director_object *o, size_t i, size_t j, const char **key,
	const char **value);
/* Derived: what follows from both, such as a node's state or a task's progress. As with desired. */
DIRECTOR_API const char *director_object_derived(const struct director_object *o, const char *key);
DIRECTOR_API bool director_object_derived_at(const struct director_object *o, size_t i, const char **key, const char **value);
/* `key` wherever it is found: derived, then observed (the first node that has it), then desired; NULL if nowhere. */
DIRECTOR_API const char *director_object_value(const struct director_object *o, const char *key);
DIRECTOR_API void director_object_free(struct director_object **o);

/* ---- the state of the whole ---- */

/* *s given (director_status_free). Needs no quorum. */
DIRECTOR_API int director_status(struct director *d, struct director_status **s);
DIRECTOR_API void director_status_free(struct director_status **s);
/*
 * A text by name, lent until freed, NULL for an unknown name: "cluster", "node" (that answers), "lineage", "version", "state" ("ready",
 * or why not).
 */
DIRECTOR_API const char *director_status_text(const struct director_status *s, const char *name);
/*
 * A number by name, 0 for an unknown one: "quorate" (0, 1), "nodes", "alive", "voters", "voters-alive", "pending-nodes", "index" (of the
 * last applied transaction), "objects", "pending", "failed".
 */
DIRECTOR_API uint64_t director_status_number(const struct director_status *s, const char *name);
/* Warnings: the object, what is wrong, the command that would help ("" if none). False: there is no i-th. Lent until freed. */
DIRECTOR_API bool director_status_warning(const struct director_status *s, size_t i, const char **path, const char **text,
	const char **hint);

/* ---- changing ---- */

/* An empty transaction with a random idempotency key. *t given (director_txn_free). */
DIRECTOR_API void director_txn_new(struct director_txn **t);
DIRECTOR_API void director_txn_free(struct director_txn **t);
/* Create an object (its parent must exist), set attributes of it with director_txn_attr. path is borrowed. */
DIRECTOR_API int director_txn_create(struct director_txn *t, const char *path);
/* Change an object: director_txn_attr says what. */
DIRECTOR_API int director_txn_set(struct director_txn *t, const char *path);
/* Delete an object and all below it. */
DIRECTOR_API int director_txn_delete(struct director_txn *t, const char *path);
/* An attribute of the latest create or set; "" resets it to its default. Errors: INVALID. Borrowed. */
DIRECTOR_API int director_txn_attr(struct director_txn *t, const char *key, const char *value);
/* The latest step only if its object still has this generation (else CONFLICT, and nothing at all applies). */
DIRECTOR_API void director_txn_if_generation(struct director_txn *t, uint64_t generation);
/* Why; for history and audit. Borrowed. */
DIRECTOR_API void director_txn_message(struct director_txn *t, const char *message);
/*
 * The idempotency key: a transaction with the same key applies once, however often and through whichever nodes it
 * is committed. Any text of 1 to 200 bytes, or a UUID; borrowed.
 */
DIRECTOR_API int director_txn_key(struct director_txn *t, const char *key);
/* The key as a UUID, to be written down before the commit. Lent until the next call on `t`. */
DIRECTOR_API const char *director_txn_key_text(struct director_txn *t);
/* How many steps; the i-th: "create", "set" or "delete" with its path and attributes. Lent until the next call on `t`. */
DIRECTOR_API size_t director_txn_n(const struct director_txn *t);
DIRECTOR_API const char *director_txn_at(const struct director_txn *t, size_t i, const char **path);
DIRECTOR_API bool director_txn_attr_at(const struct director_txn *t, size_t i, size_t j, const char **key, const char **value);
/* Log index that a candidate is based on; 0: none. */
DIRECTOR_API uint64_t director_txn_base(const struct director_txn *t);

#define DIRECTOR_DRY_RUN 0x10u          /* check, and say what would be done (director_result_line); change nothing */

/*
 * Commit: 0 when it is durable on a majority; the work that follows is the task of the result (director_task_wait). If the connection breaks
 * meanwhile it is repeated with the same key until the timeout. *r given (director_result_free); r may be NULL. Errors: INVALID,
 * NOT_FOUND, EXISTS, CONFLICT, NO_QUORUM, DENIED, UNREACHABLE and TIMEOUT (outcome open).
 */
DIRECTOR_API int director_commit(struct director *d, struct director_txn *t, unsigned flags, struct director_result **r);
/* The same without blocking. t is borrowed for the call. Not repeated by itself. */
DIRECTOR_API struct director_request *director_commit_start(struct director *d, struct director_txn *t, unsigned flags,
	director_done_fn *done, void *arg);
/* Commit the inverse of the entry `index`. t: message and key; steps of it are not used. Errors also: CONFLICT if it was built upon. */
DIRECTOR_API int director_undo(struct director *d, uint64_t index, struct director_txn *t, unsigned flags,
	struct director_result **r);

/* Log index of the commit; 0 for a dry run and for verbs. */
DIRECTOR_API uint64_t director_result_index(const struct director_result *r);
/* "/tasks/N" of the work that follows, "" if there is none. Lent until freed. */
DIRECTOR_API const char *director_result_task(const struct director_result *r);
/* An attribute of a verb's answer, or NULL. Lent until freed. */
DIRECTOR_API const char *director_result_get(const struct director_result *r, const char *key);
DIRECTOR_API bool director_result_at(const struct director_result *r, size_t i, const char **key, const char **value);
/* The i-th line of a plan or of a verb's answer; NULL when there are fewer. Lent until freed. */
DIRECTOR_API const char *director_result_line(const struct director_result *r, size_t i);
DIRECTOR_API void director_result_free(struct director_result **r);

/* ---- tasks ---- */

/*
 * Wait until a task ("/tasks/N") is over: 0 done, FAILED with its reason, CANCELED, or TIMEOUT: it goes on.
 * A task that is no longer listed is done. timeout_ms 0: for ever. progress (may be NULL) is called when it moved.
 */
DIRECTOR_API int director_task_wait(struct director *d, const char *task, uint64_t timeout_ms, director_progress_fn *progress,
	void *arg);
/*
 * Stop a task: what its commit asked for is taken back by another commit, done or not. Errors: NOT_FOUND, BUSY when it is
 * done, CANCELED when it is canceled already, CONFLICT when a later commit built on it.
 */
DIRECTOR_API int director_task_cancel(struct director *d, const char *task);

/* ---- candidates: a transaction that the daemon keeps for this user, over several programs ---- */

/* Begin one. Errors: EXISTS. */
DIRECTOR_API int director_candidate_begin(struct director *d);
/*
 * Add the steps of `t`; checked in the light of what is already there (of a large candidate, of what concerns the same
 * objects). Errors: NOT_FOUND if none is begun, CONFLICT if it was committed in the meantime, and what commit would say.
 */
DIRECTOR_API int director_candidate_add(struct director *d, struct director_txn *t);
/* What it has so far; secrets read "(secret)". *t given. Errors: NOT_FOUND. */
DIRECTOR_API int director_candidate_show(struct director *d, struct director_txn **t);
/* How many steps it has. Errors: NOT_FOUND. */
DIRECTOR_API int director_candidate_count(struct director *d, size_t *n);
/* Commit it, with the message and key of `t`. It is kept if that fails, and so is what is added while it is on its way. */
DIRECTOR_API int director_candidate_commit(struct director *d, struct director_txn *t, unsigned flags, struct director_result **r);
/* Throw it away. Errors: NOT_FOUND. */
DIRECTOR_API int director_candidate_abort(struct director *d);

/* ---- verbs: what is not a change of agreed state by attributes ---- */

/* Keys and values. *a given (director_args_free). */
DIRECTOR_API void director_args_new(struct director_args **a);
DIRECTOR_API int director_args_set(struct director_args *a, const char *key, const char *value);
DIRECTOR_API void director_args_free(struct director_args **a);
/*
 * Do `verb` ("node.adopt", see director(1)) on `path`. args may be NULL; progress too. *r given; r may be NULL. Errors: those of the verb;
 * UNSUPPORTED for an unknown one.
 */
DIRECTOR_API int director_call(struct director *d, const char *verb, const char *path, const struct director_args *args,
	director_progress_fn *progress, void *arg, struct director_result **r);
DIRECTOR_API struct director_request *director_call_start(struct director *d, const char *verb, const char *path,
	const struct director_args *args, director_progress_fn *progress, director_done_fn *done, void *arg);

/* ---- history ---- */

/*
 * Committed transactions that touch `path` (NULL: all), newest first, only those before index `before` (0: from the newest), at most `limit`
 * (0: all there are). *h given (director_history_free).
 */
DIRECTOR_API int director_history(struct director *d, const char *path, uint64_t before, size_t limit, struct director_history **h);
DIRECTOR_API size_t director_history_n(const struct director_history *h);
/* Of the i-th entry; strings lent until freed. who: the user; where: the node; time_ms: the wall clock there. */
DIRECTOR_API uint64_t director_history_index(const struct director_history *h, size_t i);
DIRECTOR_API uint64_t director_history_time(const struct director_history *h, size_t i);
DIRECTOR_API const char *director_history_author(const struct director_history *h, size_t i);
DIRECTOR_API const char *director_history_node(const struct director_history *h, size_t i);
DIRECTOR_API const char *director_history_message(const struct director_history *h, size_t i);
/* What it changed. Lent until freed. */
DIRECTOR_API const struct director_txn *director_history_txn(const struct director_history *h, size_t i);
/* Too large to be remembered whole: no steps, cannot be undone. */
DIRECTOR_API bool director_history_trimmed(const struct director_history *h, size_t i);
/*
 * Who set each attribute of the object at `path`: one entry for each, without steps; director_history_key is the attribute.
 * Errors: NOT_FOUND.
 */
DIRECTOR_API int director_blame(struct director *d, const char *path, struct director_history **h);
DIRECTOR_API const char *director_history_key(const struct director_history *h, size_t i);
DIRECTOR_API void director_history_free(struct director_history **h);

/* ---- live mirror, watch and events ---- */

enum director_change {
	DIRECTOR_ADDED = 1,     /* also for each object of the first snapshot */
	DIRECTOR_CHANGED,
	DIRECTOR_REMOVED,       /* o: as it was last */
	DIRECTOR_SYNCED,        /* the mirror is complete; o is NULL. Again after each resynchronisation */
	DIRECTOR_LOST,          /* the connection broke; the mirror keeps what it had, and is stale. o is NULL */
};

/* From inside director_process. o is lent for the call. Must not free the mirror. */
typedef void director_watch_fn(struct director_mirror *m, enum director_change what, const struct director_object *o, void *arg);

/*
 * Keep a copy of `path` and all below it, up to date by numbered events; a gap is noticed and filled by itself. fn (may be NULL) is
 * called for each change. Comes alive by director_process; *m given (director_mirror_free), before the director. A path that does not exist (yet)
 * is an empty mirror. After LOST, director_connect() followed by director_process() makes it go on.
 */
DIRECTOR_API int director_mirror_new(struct director *d, const char *path, director_watch_fn *fn, void *arg,
	struct director_mirror **m);
DIRECTOR_API void director_mirror_free(struct director_mirror **m);
/* Complete, and connected? */
DIRECTOR_API bool director_mirror_synced(const struct director_mirror *m);
/* The number of the last event that is in it. */
DIRECTOR_API uint64_t director_mirror_seq(const struct director_mirror *m);
/* Wait until it is synced. */
DIRECTOR_API int director_mirror_sync(struct director_mirror *m, uint64_t timeout_ms);
/* An object, without a round trip; NULL if there is none. Lent until the next director_process. */
DIRECTOR_API const struct director_object *director_mirror_get(const struct director_mirror *m, const char *path);
/* In order of path: the first object after `path` (NULL: the first of all); NULL at the end. Lent until the next director_process. */
DIRECTOR_API const struct director_object *director_mirror_next(const struct director_mirror *m, const char *path);
DIRECTOR_API size_t director_mirror_n(const struct director_mirror *m);

enum director_event_kind {
	DIRECTOR_EVENT_CHANGED = 1, DIRECTOR_EVENT_GONE, DIRECTOR_EVENT_NOTE,
	DIRECTOR_EVENT_GAP,     /* events between the last one and this number are no longer known */
	DIRECTOR_EVENT_END,     /* without follow: these were all so far */
};

struct director_event {         /* only ever appended to; text lent for the call */
	enum director_event_kind kind;
	uint64_t stream, seq;   /* seq counts up by one within a stream; a stream is one run of the daemon */
	uint64_t time_ms;
	const char *path, *text;
	const struct director_object *object;   /* CHANGED, as it is when told; else NULL */
};

#define DIRECTOR_NOW UINT64_MAX         /* since: only what happens from now on */

/* Return false to end it. */
typedef bool director_event_fn(struct director *d, const struct director_event *e, void *arg);
/*
 * Every event at or below `path` after `since` (0: all that the daemon still has) of `stream` (0: the present one). Blocks; with follow until fn
 * returns false or the connection breaks.
 */
DIRECTOR_API int director_events(struct director *d, const char *path, uint64_t stream, uint64_t since, bool follow,
	director_event_fn *fn, void *arg);

/* ---- the schema: what can be created and set ---- */

enum director_type_flag { DIRECTOR_CREATABLE = 1, DIRECTOR_SETTABLE = 2 };
enum director_param_kind {
	DIRECTOR_STRING = 1, DIRECTOR_UINT, DIRECTOR_BOOL, DIRECTOR_SIZE, DIRECTOR_DURATION, DIRECTOR_PATH, DIRECTOR_ENUM,
	DIRECTOR_REF,           /* the name of an object of the type `ref` */
	DIRECTOR_WORD, DIRECTOR_HEX, DIRECTOR_UUID, DIRECTOR_PORTAL,
};
/* OBSERVED: reported, never set. AT_CREATE: never changed after. AUTO: left out, a rule fills it in. MACHINE: agreed by the cluster itself, never set. */
enum director_param_flag {
	DIRECTOR_REQUIRED = 1, DIRECTOR_SECRET = 2, DIRECTOR_LIVE = 4, DIRECTOR_OBSERVED = 8, DIRECTOR_AT_CREATE = 16, DIRECTOR_AUTO = 32,
	DIRECTOR_MACHINE = 64,
};

struct director_param_info {    /* only ever appended to; strings lent until the schema is freed, "" for none */
	const char *name;
	enum director_param_kind kind;
	unsigned flags;
	bool has_default;
	const char *value;      /* default */
	const char *choices;    /* ENUM: words with a space between */
	uint64_t min, max;      /* both 0: no bounds */
	const char *unit, *ref, *help;
};

/* All types. *s given (director_schema_free). */
DIRECTOR_API int director_schema(struct director *d, struct director_schema **s);
DIRECTOR_API void director_schema_free(struct director_schema **s);
/* The i-th type's name ("volume"), NULL at the end; where it lives ("/volumes/VOLUME": capitals stand for names), help, DIRECTOR_CREATABLE … Lent until freed. */
DIRECTOR_API const char *director_schema_type(const struct director_schema *s, size_t i, const char **pattern, const char **help,
	unsigned *flags);
/* The type of what stands at `path`, by its pattern; NULL if none could. Lent until freed. */
DIRECTOR_API const char *director_schema_at(const struct director_schema *s, const char *path);
/* The i-th parameter of a type; false: there is none. */
DIRECTOR_API bool director_schema_param(const struct director_schema *s, const char *type, size_t i,
	struct director_param_info *info);

#ifdef __cplusplus
}
#endif
#endif
