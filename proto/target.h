/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What directord and director-target say to each other over /run/director/target.sock, as plain structs;
 * the bytes are this file's business alone. A frame is a little-endian u32 length and one protobuf TargetMsg.
 *
 * directord connects and sends HELLO; the target answers with its own. Every request has an id that is not
 * 0 and gets exactly one REPLY with it: err is 0 or an ERR_* code, text the sentence for it. EVENTs come at
 * any time with id 0. All requests say what should be ("set"), not how to get there: repeating one changes
 * nothing.
 */
#ifndef PROTO_TARGET_H
#define PROTO_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define TARGET_PROTO_VERSION 1u
#define TARGET_FRAME_MAX (16u << 20)
#define TARGET_NAME_MAX 223             /* bytes of an iSCSI name, RFC 7143 4.2.7.1 */
#define TARGET_TEXT_MAX 1024
#define TARGET_STORE_DEPTH_MAX 8
#define TARGET_STORE_CHILDREN_MAX 16
#define TARGET_PARAMS_MAX 64
#define TARGET_GROUPS_MAX 32            /* of one volume */
#define TARGET_LUNS_MAX 16384           /* of one target */
#define TARGET_HOSTS_MAX 4096
#define TARGET_PORTALS_MAX 64
#define TARGET_ELSEWHERE_MAX 1024       /* portals of other nodes, of one target */
#define TARGET_LEASES_MAX 65536
#define TARGET_KEYS_MAX 8
#define TARGET_KEY_LEN 32
#define TARGET_BLOB_MAX (1u << 20)
#define TARGET_LIST_MAX 65536           /* volumes, targets or sessions of one list */

struct target_param {
	char *key, *value;
};

struct target_store {
	char *plugin;
	struct target_param *params;
	unsigned n_params;
	struct target_store *children;
	unsigned n_children;
};

enum target_state {
	TARGET_STATE_NONE,
	TARGET_STATE_CREATING,
	TARGET_STATE_READY,
	TARGET_STATE_FAILED,
	TARGET_STATE_DELETING,
};

/* A target port group of a volume: the ports with one tag. SPC-4 5.15.2.4. */
struct target_group {
	uint16_t id;                    /* the tag */
	uint8_t state;                  /* 0 optimized, 1 not optimized, 2 standby, 3 unavailable, 15 transitioning */
	bool preferred;
};

/* How other nodes' director-targets reach a volume, at the inner portals (doc/ownership.md 9). */
enum target_inner_kind {
	TARGET_INNER_NONE,
	TARGET_INNER_LEG,               /* for its owner, which claims it by logging in under its epoch */
	TARGET_INNER_SERVED,            /* for nodes that forward to us: under the epoch we serve it, and no other */
};

struct target_volume {
	uint8_t uuid[16];
	char *name;
	struct target_store store;
	uint64_t size;                  /* bytes */
	uint32_t block_size;            /* 512 or 4096; 0: the backstore's own */
	bool read_only;
	uint64_t generation, epoch;
	bool removable;                 /* initiators may eject the medium */
	struct target_group *groups;    /* those that are not in it are active/optimized */
	unsigned n_groups;
	bool implicit_only;             /* initiators may not change the groups' states */
	bool leased;                    /* answers only under a lease, of `epoch` */
	enum target_inner_kind inner;
	bool fail_over;                 /* while it cannot be served here for long, send initiators elsewhere */
	bool apart;                     /* who serves it is out of reach: send initiators elsewhere */
	bool agreed;                    /* a directord speaks for it: its reservations are agreed, and it may be switched (doc/ownership.md 9, 11) */
	bool keeps;                     /* what its unit keeps is agreed: EV_KEEP, VOLUME_KEEP; until the first its commands are held */
	/* observed: in lists and replies */
	enum target_state state;
	char *error;                    /* why it failed; NULL: it did not */
	uint64_t reads, writes, read_bytes, write_bytes, errors;
	uint64_t lease_ms;              /* until when it was last leased, under `epoch`, CLOCK_BOOTTIME; 0: never */
};

struct target_lun {
	uint32_t lun;
	uint8_t volume[16];
	bool read_only;
};

struct target_host {
	char *initiator;                /* an iSCSI name, or "any" */
	char *user, *secret;            /* what the initiator must prove; NULL: nothing */
	char *mutual_user, *mutual_secret;      /* what we prove to it; NULL: nothing */
};

/* The portal of another node, for SendTargets. */
struct target_elsewhere {
	char *address;                  /* "10.0.0.2:3260" */
	uint16_t tag;
};

struct target_def {
	uint8_t uuid[16];
	char *iqn, *alias;
	uint16_t tag;                   /* target portal group tag of this node; 0 is read as 1 */
	struct target_lun *luns;
	unsigned n_luns;
	struct target_host *hosts;
	unsigned n_hosts;
	char **portals;                 /* "10.0.0.1:3260"; none: every address, port 3260 */
	unsigned n_portals;
	uint64_t generation;
	char *moved_to;                 /* logins are sent there: "10.0.0.2:3260,1", tag optional; NULL: they are served */
	bool moved_for_good;            /* the initiator may remember it */
	struct target_elsewhere *elsewhere;
	unsigned n_elsewhere;
	char *error;                    /* observed */
};

struct target_session {
	uint64_t id;                    /* of this process's life */
	char *initiator, *target, *alias;
	char *isid;                     /* 12 hex digits */
	uint16_t tsih;
	char *address, *portal;
	uint64_t commands, read_bytes, write_bytes, errors;
	uint64_t age_ms;
	uint32_t connections;
};

/* The right to answer for a volume under an epoch, until a time of CLOCK_BOOTTIME. */
struct target_lease {
	uint8_t volume[16];
	uint64_t epoch, until_ms;
};

/* Where other nodes' director-targets come in, and the keys that what they prove is derived from, the newest first. */
struct target_inner {
	char **portals;
	unsigned n_portals;
	uint8_t keys[TARGET_KEYS_MAX][TARGET_KEY_LEN];
	unsigned n_keys;
};

struct target_hello {
	uint32_t version;
	uint32_t pid;
	uint8_t instance[16];           /* random, of this process's life */
	char *software;
};

struct target_list {
	struct target_volume *volumes;
	unsigned n_volumes;
	struct target_def *targets;     /* without secrets */
	unsigned n_targets;
	struct target_session *sessions;
	unsigned n_sessions;
	char **portals;                 /* addresses it listens on */
	unsigned n_portals;
};

enum target_event_kind {
	TARGET_EV_SESSION_UP = 1,
	TARGET_EV_SESSION_DOWN,
	TARGET_EV_VOLUME,               /* a backstore reports; `what` says which of DIRECTOR_EV_* */
	TARGET_EV_ERROR,
	/* 5 was an initiator's word about access states. */
	TARGET_EV_KEEP = 6,             /* reservations of `volume` are to become `blob`; value: the proposal's number, of: the version it goes on from */
};

struct target_event {
	enum target_event_kind kind;
	uint64_t seq;                   /* counts up by one; a gap means: list again */
	struct target_session session;  /* SESSION_UP, SESSION_DOWN (with the final counters) */
	uint8_t volume[16];             /* VOLUME, ERROR, KEEP */
	uint32_t what;                  /* VOLUME: DIRECTOR_EV_*; of LEG_* value is the child's place in the stack */
	uint64_t value, of;
	uint64_t epoch;                 /* VOLUME: the one it is open under */
	uint8_t *blob;                  /* KEEP */
	size_t n_blob;
	char *text;
};

enum target_msg_kind {
	TARGET_HELLO = 1,       /* hello; both ways. The reply to it carries hello too */
	TARGET_REPLY,           /* err, text, and what the request asked for */
	TARGET_LIST,            /* reply: list */
	TARGET_STATS,           /* reply: list with sessions and volume counters only */
	TARGET_VOLUME_CREATE,   /* volume: make its storage, then open it; reply: volume */
	TARGET_VOLUME_SET,      /* volume: open it, or change what may change; reply: volume */
	TARGET_VOLUME_RESIZE,   /* volume: uuid, size, generation; reply: volume */
	TARGET_VOLUME_CLOSE,    /* volume: uuid; storage stays */
	TARGET_VOLUME_DESTROY,  /* volume: uuid, and store for one that is not open; storage goes */
	TARGET_TARGET_SET,      /* target */
	TARGET_TARGET_DELETE,   /* target: iqn */
	TARGET_SESSION_DROP,    /* number: session id */
	TARGET_SHUTDOWN,        /* finish what runs, close all, exit */
	TARGET_EVENT,           /* event */
	TARGET_ACCESS_SET,      /* volume: uuid, groups, implicit_only. At once, beside what storage is busy with */
	TARGET_INNER,           /* inner: replaces what was */
	TARGET_VOLUME_LEASE,    /* leases: each may only become longer; of volumes that are not in it none changes. At once */
	TARGET_VOLUME_FREEZE,   /* volume: uuid, epoch: hold what comes, finish what runs, flush, mark quiet, close; then the reply */
	TARGET_VOLUME_HOLD,     /* volume: uuid, epoch: hold what comes and what is not answered, close without a flush */
	/*
	 * volume: uuid; number: version of the agreed reservations, blob: these (none: nothing is reserved); proposal: the number
	 * of the KEEP that this is the outcome of, 0: another node's. err, text: it was refused, the rest is as it was.
	 */
	TARGET_VOLUME_KEEP,
};

struct target_msg {
	enum target_msg_kind kind;
	uint64_t id;
	int err;
	char *text;
	uint64_t number;
	struct target_hello hello;
	struct target_volume volume;
	struct target_def target;
	struct target_list list;
	struct target_event event;
	struct target_lease *leases;
	unsigned n_leases;
	struct target_inner inner;
	uint8_t *blob;
	size_t n_blob;
	bool lost;              /* VOLUME_KEEP: power was lost since it was agreed */
	uint64_t proposal;
};

/* Append the frame of `m` to `out`. The strings must be valid (text_ok); the caller keeps `m`. */
void target_msg_encode(const struct target_msg *m, struct buf *out);
/*
 * How long is the first frame of p[0..n)? 0: not all there yet; ERR_MALFORMED: it can never be a frame;
 * otherwise its length with the prefix.
 */
long target_frame_len(const uint8_t *p, size_t n);
/*
 * The message of one whole frame. On 0 `m` is filled and must be given to target_msg_fini; else
 * ERR_MALFORMED.
 */
int target_msg_decode(const uint8_t *p, size_t n, struct target_msg *m);
void target_msg_fini(struct target_msg *m);

void target_store_copy(struct target_store *to, const struct target_store *from);
void target_store_fini(struct target_store *s);
bool target_store_eq(const struct target_store *a, const struct target_store *b);
void target_volume_copy(struct target_volume *to, const struct target_volume *from);
void target_volume_fini(struct target_volume *v);
void target_def_copy(struct target_def *to, const struct target_def *from);
void target_def_fini(struct target_def *t);
void target_session_copy(struct target_session *to, const struct target_session *from);
void target_session_fini(struct target_session *s);
/* "creating", "ready" … Static. */
const char *target_state_name(enum target_state s);

#endif
