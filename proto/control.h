/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's protocol as plain structs: between libdirector and directord on one node. A
 * frame is a little-endian 32-bit length and one protobuf message. The first request is HELLO; every
 * request gets any number of data replies (OBJECT, EVENT, ENTRY, …) and then exactly one DONE.
 * Requests may be pipelined; replies to different requests may interleave.
 *
 * What a decoder gives out is owned by the struct (x_fini); what an encoder takes is borrowed.
 */
#ifndef PROTO_CONTROL_H
#define PROTO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/obj.h"
#include "cluster/txn.h"

#define CONTROL_VERSION 1u              /* what this side speaks */
#define CONTROL_VERSION_MIN 1u          /* the oldest it still speaks */
#define CONTROL_FRAME_MAX (8u << 20)    /* bytes of one message */
#define CONTROL_TEXT_MAX 4096u          /* bytes of a free text */
#define CONTROL_LINES_MAX 10000u
#define CONTROL_SOCKET "/run/director/control.sock"
#define CONTROL_SECRET "(secret)"       /* what a read shows in the place of a secret that is set */

enum control_kind {
	CONTROL_HELLO = 1,      /* version_min, version, features, word: the program. Answer: HELLO */
	CONTROL_LIST,           /* path, depth, prefix, flags, stream, since, limit. Answer: OBJECT…, see flags */
	CONTROL_STATUS,         /* Answer: STATUS */
	CONTROL_COMMIT,         /* txn (ops, request_id, message, base), or undo; flags DRY_RUN */
	CONTROL_VERB,           /* word, path, args. Answer: PROGRESS…, DONE with attrs and lines */
	CONTROL_HISTORY,        /* path, since: only before this index (0: newest), limit. Answer: ENTRY…, newest first */
	CONTROL_SCHEMA,         /* path: a type's name or empty. Answer: TYPE… */
	CONTROL_CANCEL,         /* target: the id of an open request; that one is done with ERR_CANCELED */
	CONTROL_BLAME,          /* path. Answer: ENTRY… without ops, one for each attribute that is set, `key` says which */
	CONTROL_CANDIDATE,      /* word: begin, add (txn), show, commit (txn: request_id, message), abort */
};

/* CONTROL_LIST */
#define CONTROL_F_FOLLOW    0x01u       /* stay open: SYNCED after the snapshot, then EVENT… */
#define CONTROL_F_NOSNAP    0x02u       /* events only */
#define CONTROL_F_NAMES     0x04u       /* path and type of each object, nothing else */
#define CONTROL_F_UNSETTLED 0x08u       /* only objects that are not converged */
#define CONTROL_F_RESUME    0x10u       /* stream (0: the present one) and since (UINT64_MAX: now): events after them, no snapshot */
/* CONTROL_COMMIT, CONTROL_CANDIDATE */
#define CONTROL_F_DRY_RUN   0x20u

#define CONTROL_DEPTH_ALL UINT32_MAX

struct control_req {
	uint64_t id;
	enum control_kind kind;
	uint32_t flags, depth;
	char *path, *prefix, *word;     /* never NULL after decoding; may be empty */
	uint64_t stream, since, limit;
	struct attrs args;
	struct txn txn;                 /* author, node and time are not carried: the daemon knows better */
	uint64_t undo, target;
	uint32_t version_min, version;
	uint64_t features;
};

enum control_status_code {
	CONTROL_CONVERGED = 1,          /* every node concerned reports what is desired */
	CONTROL_PENDING, CONTROL_FAILED,
	CONTROL_OBSERVED,               /* no desired side */
};

/* What one node says of an object. */
struct control_seen {
	char *node;
	uint64_t age_ms;                /* since that node said so, as far as this node knows */
	struct attrs attrs;
};

struct control_object {
	char *path, *type;              /* type: "volume"; empty for a folder */
	uint8_t uuid[16];               /* all zero: it has none (derived or observed only) */
	uint64_t generation;            /* log index of its last change; 0: not agreed state */
	struct attrs desired;
	struct attrs derived;           /* what follows from all: a node's state, a task's progress */
	struct control_seen *seen;
	unsigned n_seen;
	enum control_status_code status;
	char *reason;                   /* of pending and failed; may be NULL */
};

enum control_event_kind {
	CONTROL_EV_CHANGED = 1,         /* the object is new or different: `object` */
	CONTROL_EV_GONE,                /* path is no more, nor what was below it */
	CONTROL_EV_NOTE,                /* something happened: `text` */
};

struct control_event {
	uint64_t seq, time_ms;
	enum control_event_kind kind;
	char *path, *text;              /* text may be NULL for CHANGED and GONE */
	struct control_object *object;  /* CHANGED; else NULL */
};

/* One agreed entry, for history. Secrets in ops are masked. */
struct control_entry {
	uint64_t index;                 /* 0 in a BLAME: never set since the object is there */
	struct txn txn;
	bool trimmed;                   /* too large to be remembered whole: no ops, cannot be undone */
	char *key;                      /* BLAME: the attribute; else NULL */
};

enum control_param_type {
	CONTROL_P_STRING = 1, CONTROL_P_UINT, CONTROL_P_BOOL, CONTROL_P_SIZE, CONTROL_P_DURATION, CONTROL_P_PATH,
	CONTROL_P_ENUM, CONTROL_P_REF, CONTROL_P_WORD, CONTROL_P_HEX, CONTROL_P_UUID, CONTROL_P_PORTAL,
};

#define CONTROL_PF_REQUIRED 1u
#define CONTROL_PF_SECRET   2u
#define CONTROL_PF_LIVE     4u          /* a change interrupts nobody */
#define CONTROL_PF_OBSERVED 8u          /* reported by nodes, never set */
#define CONTROL_PF_CREATE   16u         /* given at creation, never changed */
#define CONTROL_PF_AUTO     32u         /* left out, a rule fills it in */
#define CONTROL_PF_MACHINE  64u         /* agreed by the cluster itself, never set */

struct control_param {
	char *name;
	enum control_param_type type;
	uint32_t flags;
	char *value;                    /* default; NULL: none */
	char *choices;                  /* ENUM: "a b c" */
	uint64_t min, max;              /* both 0: no bounds */
	char *unit, *ref, *help;        /* ref: the type of object that it names */
};

#define CONTROL_TF_CREATE 1u            /* users create and delete such objects */
#define CONTROL_TF_SET    2u            /* users set attributes of them */

struct control_type {
	char *name, *pattern, *help;    /* pattern: "/targets/TARGET/luns/LUN": capitals stand for names */
	uint32_t flags;
	struct control_param *params;
	unsigned n_params;
};

struct control_warning {
	char *path, *text, *hint;       /* hint: the command that would help; may be empty */
};

struct control_status {
	char *cluster, *node, *lineage, *version;
	char *state;                    /* "ready", or why not yet: "starting", "waiting for admission", … */
	bool quorate;
	uint32_t nodes, alive, voters, voters_alive, pending_nodes;
	uint64_t index;                 /* of the last applied entry */
	uint64_t objects, pending, failed;
	struct control_warning *warnings;
	unsigned n_warnings;
};

/* How a request ended. */
struct control_done {
	int err;                        /* 0 or ERR_* */
	char *text, *hint, *path;       /* of an error: cause, the command that would help, the object */
	uint64_t index;                 /* COMMIT: of the entry */
	char *task;                     /* COMMIT: "/tasks/N", empty if nothing is left to do */
	struct attrs attrs;             /* VERB: its answer */
	char **lines;                   /* plan of a dry run, or a verb's answer as text */
	unsigned n_lines;
};

enum control_reply_kind {
	CONTROL_R_HELLO = 1,            /* version, features, stream, seq, may_write, text: version of the daemon */
	CONTROL_R_OBJECT,
	CONTROL_R_RESET,                /* what came before in this LIST is stale; a snapshot follows */
	CONTROL_R_SYNCED,               /* the snapshot is complete; events after `seq` of `stream` follow */
	CONTROL_R_EVENT,
	CONTROL_R_ENTRY,
	CONTROL_R_TYPE,
	CONTROL_R_STATUS,
	CONTROL_R_PROGRESS,             /* progress, of (0: unknown), text */
	CONTROL_R_DONE,                 /* the last reply to its request */
};

struct control_reply {
	uint64_t id;
	enum control_reply_kind kind;
	uint32_t version;
	uint64_t features, stream, seq, progress, of;
	bool may_write;
	char *text;
	union {                         /* by kind */
		struct control_object object;
		struct control_event event;
		struct control_entry entry;
		struct control_type type;
		struct control_status status;
		struct control_done done;
	};
};

void control_object_fini(struct control_object *o);
void control_event_fini(struct control_event *e);
void control_entry_fini(struct control_entry *e);
void control_type_fini(struct control_type *t);
void control_status_fini(struct control_status *s);
void control_done_fini(struct control_done *d);
void control_req_fini(struct control_req *r);
void control_reply_fini(struct control_reply *r);
/* Append copies; hint may be NULL. Lines beyond CONTROL_LINES_MAX are left out. */
void control_status_warn(struct control_status *s, const char *path, const char *text, const char *hint);
void control_done_line(struct control_done *d, const char *line);
void control_object_copy(struct control_object *to, const struct control_object *from);

/* Append one whole frame to `out`. Too long for a frame: ERR_LIMIT, and `out` is as before. */
int control_req_put(struct buf *out, const struct control_req *r);
int control_reply_put(struct buf *out, const struct control_reply *r);

/*
 * How long is the frame at the start of `p`, header included? 0: more bytes are needed to say so.
 * ERR_LIMIT: it is longer than CONTROL_FRAME_MAX; the connection is of no use any more.
 */
int control_frame_len(const void *p, size_t n, size_t *len);
/* Decode one whole frame. ERR_MALFORMED leaves *r empty (but its id, where that could be read). */
int control_req_get(const void *frame, size_t len, struct control_req *r);
int control_reply_get(const void *frame, size_t len, struct control_reply *r);

#endif
