/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what is agreed to what this node must do: the difference between the volumes and targets that
 * the catalog gives to this node and those that director-target has, as an ordered list of actions.
 * The list is what runs, what the log says and what a dry run prints. Planning again after any action
 * (or its failure) gives the rest: nothing is remembered here but how often what failed.
 *
 * Do the actions one by one. When one fails, say so (plan_failed), leave the rest and plan again. When one
 * is done, say so (plan_done), bring plan_have up to date, report.
 *
 * Order: targets let go of what leaves; volumes close, are destroyed; are resized, changed; are made and
 * opened; then targets get their new form. A target never names a volume that is not open.
 */
#ifndef CLUSTER_PLAN_H
#define CLUSTER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mono.h"
#include "cluster/catalog.h"
#include "cluster/id.h"
#include "cluster/obj.h"

#define PLAN_RETRY_MAX 4096             /* failures that are remembered */
#define PLAN_RETRY_FIRST_MS 500
#define PLAN_RETRY_FORWARD_MS 100       /* of a volume at another node */
#define PLAN_RETRY_LAST_MS 30000        /* the wait doubles up to this */

/* ---- what is there ---- */

struct plan_have_volume {
	char *name;
	uint8_t uuid[16];
	uint64_t generation;            /* as the action that made it so said */
	uint64_t size;                  /* bytes; 0: unknown */
	uint8_t hash[16];               /* as the action said */
	bool created;                   /* its storage was made, here, at some time (durable knowledge of this node) */
	bool open;                      /* director-target has it */
	bool refused;                   /* and could not open it when it was last asked to */
	bool ours;                      /* ownership opens and closes it (cluster/owner.c): the plan leaves it alone */
	uint64_t epoch;                 /* it is open under; 0: none */
	bool leased;                    /* it answers, or answered, under a lease of that epoch */
	bool keeps;                     /* what its unit keeps is agreed (as director-target was told) */
	bool keep_any, keep_busy;       /* it has agreed reservations; they are on their way (cluster/owner_keep.c) */
	uint64_t keep_told, keep_done;  /* of this version */
	uint64_t keep_seen;             /* the catalog was looked at up to this index */
	struct attrs params;            /* what opened it; kept so that it can be destroyed after the object is gone */
};

struct plan_have_target {
	char *name;                     /* the iSCSI name */
	uint64_t generation;
	uint8_t hash[16];
	uint8_t (*volumes)[16];         /* uuids of the volumes its luns use */
	unsigned n_volumes, cap;
};

struct plan_have {
	struct plan_have_volume *volumes;
	unsigned n_volumes, cap_volumes;
	struct plan_have_target *targets;
	unsigned n_targets, cap_targets;
};

void plan_have_fini(struct plan_have *h);
/* Find or append; lent until the next append. */
struct plan_have_volume *plan_have_volume(struct plan_have *h, const uint8_t uuid[16]);
struct plan_have_volume *plan_have_volume_add(struct plan_have *h, const char *name, const uint8_t uuid[16]);
void plan_have_volume_remove(struct plan_have *h, const uint8_t uuid[16]);
struct plan_have_target *plan_have_target(struct plan_have *h, const char *name);
struct plan_have_target *plan_have_target_add(struct plan_have *h, const char *name);
void plan_have_target_add_volume(struct plan_have_target *t, const uint8_t uuid[16]);
void plan_have_target_remove(struct plan_have *h, const char *name);

/* ---- what to do ---- */

enum plan_kind {
	PLAN_TARGET_DELETE = 1,
	PLAN_TARGET_TRIM,               /* the target as it shall be, without the luns whose volume leaves or is not open */
	PLAN_VOLUME_CLOSE,
	PLAN_VOLUME_FORGET,             /* it lay in a file or device of the user's (path=): that stays */
	PLAN_VOLUME_DESTROY,
	PLAN_VOLUME_RESIZE,
	PLAN_VOLUME_CHANGE,             /* other parameters; what cannot change while open is reopened */
	PLAN_VOLUME_CREATE,
	PLAN_VOLUME_OPEN,
	PLAN_TARGET_SET,                /* the whole target; replaces what was there */
	PLAN_REPORT,                    /* all is as it shall be: only generation and applied move on */
	/* Of a volume with copies that this node owns; made by cluster/owner.c. */
	PLAN_SERVE,                     /* open it over its legs, under a new right */
	PLAN_SERVE_CHANGE,              /* the legs' agreed state changed, or where they are */
	PLAN_FREEZE,                    /* finish what runs, leave it quiet, close it */
	PLAN_HOLD,                      /* the right is gone: answer nothing more, close it */
};

/* How director-targets of other nodes reach it, as in proto/target.h. */
enum plan_inner { PLAN_INNER_NONE, PLAN_INNER_LEG, PLAN_INNER_SERVED };

/* What a volume lies on, where that is another volume: of this node, or at the inner portals of another. */
struct plan_child {
	uint8_t uuid[16];
	char *portals;                  /* "10.0.0.2:7341,…"; NULL: of this node */
	uint64_t epoch;                 /* what to log in under */
	uint32_t key;                   /* epoch of the cluster key to prove it with */
	struct attrs lun;               /* of plugin iscsi: it is a LUN of a foreign target instead */
};

/* ALUA: the ports of one node, SPC-4 5.15.2. */
struct plan_group {
	uint16_t id;
	uint8_t state;
	bool preferred;
};

struct plan_elsewhere {
	char *address;
	uint16_t tag;
};

struct plan_lun {
	unsigned number;
	char *volume;                   /* its name */
	uint8_t uuid[16];               /* the volume's */
	bool read_only;
};

struct plan_host {
	char *initiator;                /* iSCSI name or "any" */
	struct attrs auth;              /* chap-user, chap-secret, mutual-user, mutual-secret; empty: none asked */
};

struct plan_action {
	enum plan_kind kind;
	char *path;                     /* the object; for a volume that is gone, where it was */
	char *name;                     /* volume or iSCSI name */
	uint64_t generation;            /* report applied=this when it is done; 0: there is more to do, leave it as it is */
	uint8_t hash[16];               /* hand back in plan_have */
	/* volumes */
	uint8_t uuid[16];
	uint64_t size;
	char *backstore;
	struct attrs params;            /* all that is set on the object, defaults filled in; "p.x" as it is */
	uint64_t epoch;
	uint64_t in_front;              /* of a leg that was volume `was`: so much of the storage is data, and the metadata is behind it; 0: none */
	uint8_t was[16];
	bool leased, fail_over;
	bool apart;                     /* who serves it is out of reach */
	bool keeps;                     /* what its unit keeps is agreed */
	bool forwards;                  /* it lies on child[0] alone, which is the volume itself at another node */
	enum plan_inner inner;
	struct plan_child *child;       /* of mirror and stripe, in order */
	unsigned n_child, cap_child;
	struct plan_group *group;
	unsigned n_group, cap_group;
	/* targets */
	char *alias;
	struct plan_lun *luns;
	unsigned n_luns, cap_luns;
	struct plan_host *hosts;
	unsigned n_hosts, cap_hosts;
	char **portals;                 /* "[::]:3260" */
	unsigned n_portals, cap_portals;
	struct plan_elsewhere *elsewhere;       /* the portals of other nodes */
	unsigned n_elsewhere, cap_elsewhere;
	struct attrs options;           /* the target's other parameters, defaults filled in */
};

/* ---- the nodes, as far as they are known to each other's director-targets ---- */

struct plan_node {
	struct node_id id;
	char *name;                     /* agreed */
	char *inner;                    /* inner portals, with commas; NULL: not known */
	char *addresses;                /* for initiators, without port, with spaces; NULL: not known */
	uint16_t group;                 /* portal group tag */
	bool up;                        /* it lives, and its director-target runs, */
	struct mono up_since;           /* since then */
};

struct plan_nodes {
	struct plan_node *node;
	unsigned n, cap;
	bool alone;                     /* this node sees no quorum: initiators of what it forwards had better go elsewhere */
	uint32_t key;                   /* epoch of the newest cluster key, which logins at other nodes are proven with */
	bool settling;                  /* director-target has just started: targets wait until all their volumes are open */
};

void plan_node_fini(struct plan_node *n);
void plan_nodes_fini(struct plan_nodes *ns);
const struct plan_node *plan_node(const struct plan_nodes *ns, const struct node_id *id);
const struct plan_node *plan_node_named(const struct plan_nodes *ns, const char *name);

struct plan {
	struct plan_action *a;
	unsigned n, cap;
	unsigned n_waiting;             /* actions held back by a failure, until `wake` */
	struct mono wake;               /* MONO_NEVER: nothing waits */
};

void plan_fini(struct plan *p);
/* One line without newline: "create volume v1: file, 1G". No secrets. */
void plan_action_text(const struct plan_action *a, struct buf *out);

/* ---- failures ---- */

struct plan_retry;
struct plan_retry *plan_retry_new(void);
void plan_retry_free(struct plan_retry **r);
/* The action failed now: the same is not planned again before its wait is over. A changed wish is tried at once. */
void plan_failed(struct plan_retry *r, const struct plan_action *a, struct mono now);
void plan_done(struct plan_retry *r, const struct plan_action *a);

/* ---- what was worked out before ---- */

/*
 * What each volume that is open hashed to when it was last looked at, and from what: a plan then costs little for those of which
 * nothing has changed. Only the cost depends on it.
 */
struct plan_memo;
struct plan_memo *plan_memo_new(void);
void plan_memo_free(struct plan_memo **m);
/* From now on all is worked out anew as well. Says what differed since the last call; NULL: nothing. */
const char *plan_memo_check(struct plan_memo *m);

/*
 * The plan of node `self` (its name) into *p, which must be zeroed. Everything is borrowed. What is there
 * but newer than the catalog (it has not caught up) is left alone. Without `nodes` nothing of other nodes is reached.
 */
void plan_make(const struct catalog *c, const char *self, const struct plan_nodes *nodes, const struct plan_have *have,
               const struct plan_retry *r, struct mono now, struct plan *p);
/* The same. */
void plan_make_by(struct plan_memo *m, const struct catalog *c, const char *self, const struct plan_nodes *nodes, const struct plan_have *have,
                  const struct plan_retry *r, struct mono now, struct plan *p);

/*
 * The action that serves (PLAN_SERVE, PLAN_SERVE_CHANGE), freezes or holds a volume that this node owns; the legs are
 * in the order of the row; `gone`: a mask of those whose nodes have no storage for them. For FREEZE and HOLD `o` may be NULL.
 */
struct own_row;
struct plan_action plan_serve(enum plan_kind kind, const struct tree *t, const struct object *o, const struct own_row *row, unsigned gone,
			      const char *self, const struct plan_nodes *nodes);
void plan_action_fini(struct plan_action *a);

#endif
