/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node's whole control plane as a state machine: gossip, agreement, namespace, admission, plans.
 * It takes (state, event, now) and returns actions as data; the runner in directord/ and the simulator
 * do them. Nothing here touches the world.
 *
 * What may leave before what: an output's parts may be done in any order. Whatever depends on a put
 * comes in a later output, after CLUSTER_IN_STORED. The one exception is `incarnation`, which must be
 * durable before the datagrams of the same output leave.
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mono.h"
#include "cluster/agree.h"
#include "cluster/catalog.h"
#include "cluster/facts.h"
#include "cluster/float.h"
#include "cluster/gossip.h"
#include "cluster/growth.h"
#include "cluster/id.h"
#include "cluster/keys.h"
#include "cluster/names.h"
#include "cluster/plan.h"
#include "cluster/txn.h"

struct cluster;

/* What the room needs of those who know bytes; pure functions, the same in daemon and simulator. */
struct cluster_codec {
	void (*agree_encode)(const struct agree_msg *msg, struct buf *out);
	int (*txn_encode)(const struct txn *t, struct buf *out);        /* 0 or ERR_LIMIT */
	int (*txn_decode)(const uint8_t *p, size_t n, struct txn *t);   /* 0 or ERR_MALFORMED */
	void (*snapshot_encode)(const struct snapshot *s, struct buf *out);
	int (*snapshot_decode)(const uint8_t *p, size_t n, struct snapshot *s); /* 0 or ERR_MALFORMED */
};

struct cluster_conf {
	const struct cluster_codec *codec;      /* borrowed for life */
	const struct log *log;                  /* borrowed for life; may be NULL */
	uint8_t public_key[32], secret_key[64]; /* Ed25519 identity */
	uint8_t boot[BOOT_LEN];                 /* random per process start */
	uint64_t life;                          /* of the machine: another number after each start of it; 0: not known */
	uint64_t seed;
	char name[CARD_NAME_MAX];               /* what the node calls itself */
	const char *software;                   /* version of the program, for people */
	const char *volumes;                    /* where the files of volumes are that name none, for people; NULL: not said */
	struct keys keys;                       /* n 0: no cluster key; the node knocks */
	uint32_t incarnation;                   /* the last one stored */
	uint64_t fact_base;                     /* see facts_new: the wall clock in microseconds at start will do */
	struct addr addrs[CARD_ADDRS_MAX];      /* own gossip addresses; n 0: learned */
	unsigned n_addrs;
	struct addr ring_addrs[ROSTER_ADDRS_MAX];       /* for Corosync; n 0: the first of `addrs` */
	unsigned n_ring_addrs;
	bool votes;                             /* may take part in agreement (agreement is not "off") */
	bool founds;                            /* may begin a cluster when it finds none */
	bool host_ring;                         /* over the host's own Corosync: nothing of it is written, started or stopped */
	uint16_t inner_port;            /* where other nodes' director-targets come in; 0: none, nothing is shared */
	uint16_t version_min, version_max;      /* 0: ours. Tests play nodes of another version with it. */
	uint64_t features;
	bool checks;                            /* what is remembered is worked out anew too, and a difference is logged as fatal. For simulators. */
};

/*
 * A volume whose storage was made on this node. Durable before the volume is first served, so that storage
 * that is gone is an error and never silently made anew, blank.
 */
struct cluster_record {
	uint8_t uuid[16];
	char *name;             /* NULL: forget the record */
	uint64_t size;
	struct attrs params;    /* what opens it: backstore and its parameters */
};

/* What the runner found in the store; all borrowed. */
struct cluster_disk {
	const struct agree_disk *agree;
	/* The members last seen, so that a restart needs no discovery. */
	const struct addr *addr;
	unsigned n_addr;
	/* What CLUSTER_ACT_RECORD stored: the volumes whose storage this node made. */
	const struct cluster_record *record;
	unsigned n_record;
};

/* ---- requests, from the API and from nowhere else ---- */

enum cluster_verb {
	CLUSTER_TXN = 1,        /* txn */
	CLUSTER_UNDO,           /* number: the index to undo */
	CLUSTER_FOUND,          /* begin a cluster, with a new key unless there is one; what: its name or NULL; entropy */
	CLUSTER_ADOPT,          /* what: name, id or fingerprint of a pending (or removed) node */
	CLUSTER_REMOVE,         /* what: a node; force: with what only it has; entropy (the key is rotated without it) */
	CLUSTER_ROTATE,         /* entropy */
};

struct cluster_request {
	uint64_t id;                    /* the runner's; comes back in the reply */
	enum cluster_verb verb;
	const struct txn *txn;          /* author, node, message and request_id are used by every verb */
	bool dry_run;
	bool force;
	const char *what;
	uint64_t number;
	uint8_t entropy[32];            /* fresh random bytes */
};

struct cluster_reply {
	uint64_t id;
	int err;
	bool in_doubt;                  /* with err: it may still be committed; ask again with the same request id */
	uint64_t index;                 /* the log index, which is the task's number; 0 for a dry run */
	char text[512];                 /* on error: object, cause, what would help; else what will happen, a line per step */
	char *plan;                     /* lines: the plan of a dry run, what else was done; given, freed by cluster_out_reset */
};

/* ---- input ---- */

enum cluster_in_kind {
	CLUSTER_IN_START = 1,   /* disk */
	CLUSTER_IN_TIMER,       /* out->wake is reached */
	CLUSTER_IN_DGRAM,       /* from, head, dgram: opened and decoded; agree: what is in a PASS, decoded */
	CLUSTER_IN_STRANGER,    /* from, why; with STRANGER_KEY number: the low byte of its key's epoch */
	CLUSTER_IN_CANDIDATE,   /* from: an address where a node may be; running: which says that it has a cluster */
	CLUSTER_IN_HINT,        /* node, or from when node is none */
	CLUSTER_IN_ADDRS,       /* addr, n_addr: own addresses changed; ring_addr, n_ring_addr: those for the ring (0: as they were) */
	CLUSTER_IN_SYNC,        /* node, sync: over the mesh */
	CLUSTER_IN_AGREE,       /* node, agree: over the mesh */
	CLUSTER_IN_MESH_UP,     /* node */
	CLUSTER_IN_MESH_DOWN,   /* node */
	/* nodeids, n_nodeids: a CPG view; 0: no view. ringids, n_ringids: all whose Corosync is in the ring. */
	CLUSTER_IN_VIEW,
	CLUSTER_IN_CAST,        /* nodeid, agree: delivered by CPG */
	CLUSTER_IN_STORED,      /* number: put seq; err */
	CLUSTER_IN_STORE_BACK,  /* disk: the store works again, this is what it has */
	CLUSTER_IN_REQUEST,     /* request */
	CLUSTER_IN_DONE,        /* number: act id; err, text */
	/*
	 * running, active: what Corosync does; err when it failed to start or died. With the host's own: running, our
	 * nodeid in it, its node list, and votequorum's word.
	 */
	CLUSTER_IN_RING,
	CLUSTER_IN_HAVE,        /* have: all that director-target has open (not what was `created`); NULL: none runs */
	CLUSTER_IN_VOLUME,      /* volume, event, number, of, epoch, blob: director-target reports of a volume */
	/*
	 * path, attrs (NULL: gone): something this node observes. "/node" is this node's own place, under
	 * whatever name it has there: "/node" (the host: space-free, load …), "/node/devices/sda". more: others follow
	 * at once, and all are told with the next step that has no more.
	 */
	CLUSTER_IN_FACT,
	CLUSTER_IN_FACTS_GONE,  /* path: delete all own facts at or below it ("/node/…" as above) */
	CLUSTER_IN_ADDRESS,     /* address: what the host says of floating addresses */
	/*
	 * node, boot, sync: the parts that cluster_keep gave of a node, in a former process. Right after START; of who is no
	 * node of the cluster, or has started again, nothing is taken.
	 */
	CLUSTER_IN_KEPT,
	CLUSTER_IN_LEAVE,       /* say goodbye; step no more after it */
};

/* What director-target reports of a volume: DIRECTOR_EV_* and TARGET_EV_*. */
enum cluster_event {
	CLUSTER_EV_LEG_FAILED = 1,      /* number: its place in the row that was served, of: its turn */
	CLUSTER_EV_LEG_READY,
	CLUSTER_EV_LOST,
	CLUSTER_EV_PROGRESS,            /* number of bytes `of` all are in sync, or compared by a scrub */
	CLUSTER_EV_SCRUBBED,            /* a scrub is over: `of` regions differed */
	CLUSTER_EV_LEG_FOREIGN,         /* number: as above; it carries another volume, whose identity begins with `of`. 0: no more */
	CLUSTER_EV_KEEP,                /* reservations are to become `blob`: proposal `number`, on top of version `of` */
};

struct cluster_in {
	enum cluster_in_kind kind;
	struct mono now;
	uint64_t wall_ms;               /* for timestamps that people read; never for decisions */
	struct addr from;
	struct node_id node;
	enum gossip_stranger why;
	const struct gossip_head *head;
	const struct gossip_msg *dgram;
	const struct gossip_sync *sync;
	const uint8_t *boot;
	const struct agree_msg *agree;
	const uint32_t *nodeids;
	unsigned n_nodeids;
	const uint32_t *ringids;
	unsigned n_ringids;
	uint32_t nodeid;
	uint64_t number;
	int err;
	const char *text;
	const struct cluster_disk *disk;
	const struct cluster_request *request;
	const struct addr *addr, *ring_addr;
	unsigned n_addr, n_ring_addr;
	bool running, quorate;
	uint64_t active;
	const struct plan_have *have;
	const char *path;
	const struct attrs *attrs;
	bool more;
	const struct float_news *address;
	const uint8_t *volume;
	enum cluster_event event;
	uint64_t of, epoch;
	const uint8_t *blob;
	size_t n_blob;
};

/* ---- output ---- */

/* A message for CPG (node is none) or for a member over the mesh. */
struct cluster_cast {
	struct node_id node;
	struct buf bytes;
};

enum cluster_act_kind {
	CLUSTER_ACT_RING_WRITE = 1,     /* conf: write corosync.conf and key; answer DONE */
	CLUSTER_ACT_RING_RELOAD,        /* answer DONE */
	CLUSTER_ACT_RING_START,         /* then RING */
	CLUSTER_ACT_RING_STOP,
	CLUSTER_ACT_KEYS,               /* store cluster_keys(c) (secret) and seal with them from now on; answer DONE */
	CLUSTER_ACT_PUBLISH,            /* cluster_hash(c), name or addresses changed: publish anew by mDNS */
	CLUSTER_ACT_PEER,               /* node: mesh peer at addr with CURVE key from public_key; n_addr 0: no more */
	CLUSTER_ACT_PLAN,               /* plan: do this with director-target; answer DONE */
	CLUSTER_ACT_RECORD,             /* record: make it durable; answer DONE */
	CLUSTER_ACT_RESET,              /* this node's agreed state is void (it yields to another lineage): forget it, start anew */
	CLUSTER_ACT_MEMBERS,            /* addr of members changed: remember them for the next start (lazily) */
	CLUSTER_ACT_DEVICES,            /* scan devices now */
	CLUSTER_ACT_FENCE,              /* fence: switch that node off; answer DONE, without an error only if it is certain */
	CLUSTER_ACT_ADDRESS,            /* address: do this; what comes of it is CLUSTER_IN_ADDRESS */
	CLUSTER_ACT_INNER,              /* cluster_inner(c) or the keys changed: tell director-target */
	CLUSTER_ACT_LEASE,              /* volume, epoch, until: may be answered until then. After what was planned before it. */
	CLUSTER_ACT_KEEP,               /* volume, keep: reservations for director-target; answer DONE */
};

/* Agreed reservations of a volume, or that the ones it proposed were refused. */
struct cluster_keep {
	uint8_t volume[16];
	uint64_t version;
	uint8_t *blob;
	size_t n_blob;
	uint64_t proposal;              /* whose outcome it is; 0: another node's */
	bool lost;                      /* power was lost since: what does not survive that is over */
	int err;
};

/* How a node is switched off, as its object says. */
struct cluster_fence {
	char *node, *plugin;
	char *options;                  /* "KEY=VALUE KEY=VALUE"; secret; NULL: none */
};

struct cluster_ring_conf {
	uint64_t epoch;                 /* ring epoch of the roster it was made from */
	char cluster[40];               /* the lineage as text */
	uint8_t key[32];
	struct roster roster;
	char names[ROSTER_RING_MAX][CARD_NAME_MAX];
};

struct cluster_act {
	uint64_t id;
	enum cluster_act_kind kind;
	struct node_id node;
	uint8_t public_key[32];
	struct addr addr[CARD_ADDRS_MAX];
	unsigned n_addr;
	const struct cluster_ring_conf *conf;   /* lent by the core until its DONE */
	const struct plan_action *plan;         /* lent by the core until its DONE */
	const struct cluster_record *record;    /* lent by the core until its DONE */
	struct float_act address;
	const struct cluster_fence *fence;      /* lent by the core until its DONE */
	uint8_t volume[16];
	uint64_t epoch;
	struct mono until;
	const struct cluster_keep *keep;        /* lent by the core until its DONE */
};

struct cluster_out {
	struct gossip_out gossip;       /* dgrams, mesh, persist_incarnation */
	struct agree_put **put;         /* deep copies, in order of seq */
	unsigned n_put, cap_put;
	struct cluster_cast *cast;      /* CPG */
	unsigned n_cast, cap_cast;
	struct cluster_cast *send;      /* mesh: agreement */
	unsigned n_send, cap_send;
	struct cluster_act *act;
	unsigned n_act, cap_act;
	struct cluster_reply *reply;
	unsigned n_reply, cap_reply;
	bool names_changed;             /* names_changes_since() has something */
	bool left;                      /* goodbye is said: close */
	struct mono wake;
};

void cluster_out_reset(struct cluster_out *out);
void cluster_out_fini(struct cluster_out *out);

struct cluster *cluster_new(const struct cluster_conf *conf);
void cluster_free(struct cluster **c);
/* Appends to `out`; the caller resets it when its content is done. */
void cluster_step(struct cluster *c, const struct cluster_in *in, struct cluster_out *out);

/* ---- reading; all lent until the next step ---- */

const struct catalog *cluster_catalog(const struct cluster *c);
const struct facts *cluster_facts(const struct cluster *c);
struct gossip *cluster_gossip(const struct cluster *c);         /* for seal_open's boot lookup, members and counters */
const struct agree_status *cluster_agree(const struct cluster *c);
struct names *cluster_names(const struct cluster *c);
const struct keys *cluster_keys(const struct cluster *c);
/* The public name of the cluster for mDNS, 16 hex digits; "" without a lineage or key. */
const char *cluster_hash(const struct cluster *c);
const struct node_id *cluster_self(const struct cluster *c);
/* The name this node has in the cluster: the agreed one, or what it calls itself. */
const char *cluster_self_name(const struct cluster *c);
/* This node's inner portals, with commas; "" without any. */
const char *cluster_inner(const struct cluster *c);
/*
 * Who may serve a volume with copies, as this node has applied it, and, where that is this node, until when it is leased
 * (zero: it is not). False: it has no owner.
 */
bool cluster_owner(const struct cluster *c, const uint8_t volume[16], struct node_id *owner, struct mono *until);
/* The state at a glance, as attributes of status: node, mode, quorum, reason, members, warnings … */
void cluster_status(const struct cluster *c, struct attrs *out);

/* ---- what is kept of other nodes' facts ---- */

#define CLUSTER_KEPT_BYTES (512u << 10) /* of one node; of who has more nothing is kept */

struct cluster_kept {
	struct facts_have have;         /* also when nothing can be kept: whose, up to where */
	uint8_t boot[BOOT_LEN];
	struct facts_part part;         /* lent until the next step */
	const struct fact **room;
};

/* Of node `i` of facts_node_at. False: nothing can be kept (now). True: cluster_kept_fini frees it. */
bool cluster_keep(const struct cluster *c, unsigned i, struct cluster_kept *k);
void cluster_kept_fini(struct cluster_kept *k);

#endif
