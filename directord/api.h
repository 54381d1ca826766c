/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side of the control socket: many clients, each with bounded buffers, over a small set of
 * functions that the runner gives (struct api_ops). It knows sessions, frames, pages, candidates and who
 * may do what; it knows nothing of gossip or agreement. One thread, on a libev loop.
 *
 * - A client that does not read is first not listened to, then (api_conf.stall_ms) dropped.
 * - A reader that follows and falls behind the ring of events gets a RESET and a new snapshot.
 * - Objects pass through here on their way out, and here secrets are masked: api_ops may hand them in clear.
 */
#ifndef DIRECTORD_API_H
#define DIRECTORD_API_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "proto/control.h"

struct ev_loop;
struct api;

/* Who asks. The kernel says so (SO_PEERCRED). */
struct api_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	char user[64];                  /* its name, or "uid-1000"; the author in the audit log */
	bool may_write;                 /* root, or in the group of api_conf.group */
};

/* An answer that is owed. Plain data; stays valid to use after the client is gone (then nothing happens). */
struct api_token {
	uint64_t client, request;
};

/*
 * The daemon behind the API. `arg` is api_conf.ops_arg. The functions that take a token answer later, or
 * at once, by exactly one api_done(api, token, …); all others answer before they return. All pointers
 * given are borrowed for the call unless it says "given".
 */
struct api_ops {
	/*
	 * The object (or folder: type "") at `path` into *o, lent until the next call of any op. Secrets may be in it.
	 * ERR_NOENT. Strings must not be NULL, but `reason`.
	 */
	int (*get)(void *arg, const char *path, const struct control_object **o);
	/*
	 * The first name directly below `path` that comes after `after` (NULL: the very first) in strcmp order
	 * into `out` (PATH_LEN_MAX). False: there is none. With `get` this is all that lists and mirrors need.
	 */
	bool (*child)(void *arg, const char *path, const char *after, char *out);
	/* Fill *s (zeroed); api frees it with control_status_fini. The number of clients' candidates is api's to add. */
	void (*status)(void *arg, struct control_status *s);
	/*
	 * Check (dry_run) or propose a transaction; `t` is given: move it out and leave it empty, or leave it.
	 * author, node, time_ms and request_id are set. Done attrs: none; index, task, lines (the plan) as in
	 * control_done. The same request_id again: the same answer, once it is known.
	 */
	void (*commit)(void *arg, struct api_token token, struct txn *t, bool dry_run);
	/* As commit, for the inverse of the committed entry `index`; t has no ops yet. */
	void (*undo)(void *arg, struct api_token token, struct txn *t, uint64_t index, bool dry_run);
	/* Do `verb` (see below). args borrowed. */
	void (*verb)(void *arg, struct api_token token, const struct api_peer *who, const char *verb, const char *path,
		const struct attrs *args);
	/* The client of this token's request does not want it any more (canceled or gone). api_done may still be called. */
	void (*cancel)(void *arg, struct api_token token);
	/*
	 * Agreed entries newest first, with index < before (0: from the newest), that touch `path` or what is below
	 * it ("/": all). fn false: enough. ERR_NOENT if the log does not reach back that far (compacted).
	 */
	int (*history)(void *arg, const char *path, uint64_t before, bool (*fn)(void *fn_arg, const struct control_entry *e),
		void *fn_arg);
	/* For each attribute that is set at `path`: e->key, and the entry that set it last (index 0: not known). ERR_NOENT. */
	int (*blame)(void *arg, const char *path, bool (*fn)(void *fn_arg, const struct control_entry *e), void *fn_arg);
	/* Every type of the namespace. `t` is borrowed by fn for the call. */
	void (*schema)(void *arg, void (*fn)(void *fn_arg, const struct control_type *t), void *fn_arg);
	/* Is attribute `key` of objects like `path` a secret? Asked for each attribute that leaves. */
	bool (*secret)(void *arg, const char *path, const char *key);
	/* The index of the last applied entry: what a new candidate is based on. */
	uint64_t (*index)(void *arg);
};

/*
 * Verbs, with their path and arguments (reads: "may be asked by anyone who can connect"):
 *   node.adopt     /nodes/N     fingerprint=…     node.remove /nodes/N force=yes|no
 *   node.drain     /nodes/N     undo=yes|no       cluster.create /cluster name=…
 *   cluster.rotate-key /cluster                   cluster.key /cluster (read of the key: root only)
 *   task.cancel    /tasks/N                       plugin.probe /plugins file=…
 *   plugin.reset   /plugins/N                     debug / subjects=…
 * An unknown verb is ERR_NOTSUP.
 */

struct api_conf {
	struct ev_loop *loop;
	const struct log *log;          /* may be NULL */
	const char *socket;             /* NULL: CONTROL_SOCKET. A stale socket there is replaced */
	const char *group;              /* of the socket, and of those who may change things; NULL: "director" */
	const char *state;              /* folder of the candidates that outlive a restart; NULL: memory only */
	const char *node;               /* this node's name, for the audit log; copied */
	const char *version;            /* of the daemon, for people */
	const struct api_ops *ops;
	void *ops_arg;
	uint64_t stream;                /* random, of this process start: numbers of events mean nothing beyond it */
	unsigned clients_max;           /* 0: 256 */
	unsigned events_max;            /* ring of events; 0: 8192 */
	unsigned stall_ms;              /* 0: 30000 */
};

/* Bind the socket (0660, root:group) and serve. 0 or ERR_*, logged. */
int api_new(struct api **api, const struct api_conf *conf);
/* Clients are disconnected, the socket is removed. */
void api_free(struct api **api);
/* The node has a new name. */
void api_renamed(struct api *api, const char *node);

/*
 * The answer to a token: err and text, hint, path, index, task, attrs, lines; borrowed. With no `d->text`, the
 * sentence of err_text() is said.
 */
void api_done(struct api *api, struct api_token token, const struct control_done *d);
/* As api_done with nothing but a code and a text. */
void api_fail(struct api *api, struct api_token token, int err, const char *path, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* On the way to it. of: 0 if unknown; text may be NULL. */
void api_progress(struct api *api, struct api_token token, uint64_t done, uint64_t of, const char *text);

/*
 * Something changed; numbered here and told to all who follow. Borrowed.
 * changed: the object at `path` is new or different: it is fetched by ops->get when a follower is
 * about to be told, so calling this often for one path costs little; text may be NULL.
 */
void api_changed(struct api *api, const char *path, const char *text);
void api_gone(struct api *api, const char *path, const char *text);
/* Everything may have changed (a snapshot was loaded): all who follow start over. */
void api_reset(struct api *api);
/* A line for people: "node n3 is suspect". path names what it is about ("/nodes/n3"). */
void api_note(struct api *api, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* How many clients are connected. */
unsigned api_clients(const struct api *api);

#endif
