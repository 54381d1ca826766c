/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of struct cluster, for the files that make it up: cluster.c admit.c found.c kept.c knock.c rotate.c ring.c ring_host.c aside.c request.c
 * carry.c owner*.c.
 */
#ifndef CLUSTER_CLUSTER_PRIV_H
#define CLUSTER_CLUSTER_PRIV_H

#include "cluster/cluster.h"
#include "cluster/own.h"

#define RING_NODES_MAX 128              /* of a node list of the host's */
#define FENCES_MAX 8
#define FACT_SELF "/cluster"            /* where each node reports what it knows of the cluster */

/* What a node says of itself in its card, beyond gossip's own fields. */
struct extra {
	uint8_t lineage[16];    /* zeros: none yet */
	bool votes;             /* may take part in agreement */
	bool has_data;          /* its lineage holds volumes or targets */
	bool several;           /* its roster has other nodes too */
	bool learning;          /* it has a lineage from another and waits for the state */
};

/* A request that waits for its entry to be committed. */
struct waiting {
	struct agree_rid rid;
	uint64_t request;       /* the runner's id; 0: our own proposal */
	struct why why;         /* of the apply, once it happened */
	char *told;             /* lines for the answer when it is done; NULL: none */
	struct mono few_since;  /* since when it waits in a minority; MONO_NEVER: it does not */
	bool owns;              /* it is ownership's: `change`, or proposed reservations of change.volume */
	struct own_change change;
	uint64_t proposal;      /* of reservations; 0: none */
};

/* Something asked of the world, until its DONE. */
struct doing {
	uint64_t id;
	enum cluster_act_kind kind;
	uint64_t epoch;                 /* RING_WRITE: the ring epoch; KEYS: the key epoch */
	struct plan_action plan;        /* PLAN: given */
	struct cluster_record record;   /* RECORD: given */
	struct cluster_fence fence;     /* FENCE: given; */
	struct node_id node;            /* whom, */
	struct mono begun;              /* and since when */
	struct cluster_keep keep;       /* KEEP: given */
};

/* A volume with copies, as ownership was last told of it. */
struct owned {
	struct own_row row;
	bool given;                     /* to the machine. A new volume waits until its legs have storage. */
	struct mono seen;
	bool opening;                   /* to be served as soon as the own leg is there */
	struct mono open_since;
	bool freezing;                  /* as the volume without copies that it was */
	bool served;                    /* director-target was told to */
	struct own_row sent;            /* the row it was told */
	uint8_t hash[16];               /* what it was told, all of it */
	uint64_t generation;            /* the volume's, as it was told */
	struct served_seen {            /* what was told is what would be told still, by these */
		bool good;
		uint64_t nodes;
		unsigned gone;
		uint8_t of[32];
		struct own_row row;
	} served_seen;
	struct mono leased;             /* until then */
	struct mono gone_since[OWN_LEGS_MAX];   /* the leg's node says that its storage is not there; 0: it does not */
	struct mono again;              /* a change was refused: ask again then; 0: it was not */
	unsigned n_again;
	uint64_t left, total;           /* of resync, as last reported */
	struct mono left_at;
	uint64_t rate;
};

/* Reservations that our director-target proposed; its command waits. */
struct keeping {
	uint8_t volume[16];
	uint64_t proposal, version;     /* its number; the version they become */
	bool committed, refused;
	struct node_id wait[OWN_NODES_MAX];     /* have not said that theirs has them */
	unsigned n_wait;
	struct mono ask;
};

struct owner {
	struct own *machine;
	struct owned *volume;
	unsigned n, cap;
	struct own_view view;           /* as last given */
	uint64_t applied, log_end, durable, order;
	uint64_t changed_at;            /* the last index at which an object that was there became another one, or went */
	bool concerned;                 /* a volume with copies, or what it depends on, may have changed since `applied` */
	bool target, ready;             /* director-target is there; was said so */
	struct mono quorum_at;          /* when this node was last in the majority */
	struct mono target_since, wake;
	uint64_t beat_boot;             /* of whom a beat is being answered */
	struct own_change *refused;     /* to be said in the next round */
	unsigned n_refused, cap_refused;
	struct mono balance_at;
	struct keeping *keeping;
	unsigned n_keeping, cap_keeping;
	struct mono keep_wake;
	struct node_id here[AGREE_MEMBERS_MAX]; /* in the view of agreement */
	unsigned n_here;
	struct node_id lost[OWN_NODES_MAX];     /* left the view together, */
	unsigned n_lost;
	struct mono lost_at;                    /* last */
	struct plan_nodes nodes;
	uint64_t nodes_version;         /* another one when anything of them but their addresses is */
	char inner[CARD_ADDRS_MAX * 64];
	uint32_t inner_key;             /* the newest key's epoch, when director-target was last told */
	unsigned inner_keys;
};

struct cluster {
	const struct cluster_codec *codec;
	const struct log *log;
	struct cluster_conf conf;       /* strings and bytes copied */
	char *software;
	struct buf knock;               /* what we knock with */
	struct node_id self;
	struct mono now, begun;
	uint64_t wall_ms;

	struct facts *facts;
	struct gossip *gossip;
	unsigned events_seen;           /* of the output's gossip events */
	struct agree *agree;
	enum agree_mode mode_logged;
	const struct agree_status *status;
	struct catalog *catalog;
	struct names *names;
	struct growth growth;
	struct keys keys;
	struct owner owner;

	/* admission */
	struct card card;               /* as last given to gossip */
	char addresses[CARD_ADDRS_MAX * 64];    /* its addresses as text, with spaces */
	char portals[CARD_ADDRS_MAX * 64];      /* the inner portals there, with commas */
	char ring_addresses[ROSTER_ADDRS_MAX * 64];     /* with spaces */
	uint8_t lineage[16];            /* zeros: none */
	bool has_lineage;
	char hash[17];
	uint32_t key_epoch;             /* as last given to gossip */
	bool ready;                     /* gossip made its first contacts */
	struct buf direct;              /* scratch: a message to a member */
	struct node_id passed;          /* whose PASS the datagram of this step is */
	struct mono knock_next, offer_next;
	struct kept { struct node_id id; uint8_t boot[BOOT_LEN]; } *kept;       /* whose facts are of before this process */
	unsigned n_kept, cap_kept;
	struct addr *candidates;        /* where to knock */
	unsigned n_candidates, cap_candidates;
	unsigned n_knocked;             /* so many of them were knocked at */
	bool was_admitted;
	bool removed;                   /* the cluster removed this node, as known at this applied index */
	uint64_t removed_index;
	bool found_now;                 /* an administrator said so */
	bool met_before;                /* its disk remembers others, of an earlier start */
	bool found_apart;               /* it would begin a cluster, but waits for most of those that it has met */
	char found_name[CARD_NAME_MAX]; /* what the cluster is to be called; "": nothing was said */
	struct mono others_seen;        /* when discovery last told of a node that has a cluster; MONO_NEVER: never */
	struct mono newer_seen;         /* when somebody last sealed with a newer key than we have, */
	struct addr newer_at;           /* and from where */
	struct addr clone;              /* where the other one with our identity is; family 0: none */
	uint64_t admit_index;           /* applied index at which members were last admitted */
	uint64_t level_index;           /* the same for the schema level */
	bool reset;                     /* RESET was asked for; nothing agreed is done any more */
	char clash[200];                /* a sentence about another lineage with data; empty: none */

	/* ring */
	uint32_t *view;                 /* nodeids of the last CPG view */
	unsigned n_view;
	uint32_t ring_ids[AGREE_MEMBERS_MAX];   /* of all whose Corosync is in our ring */
	unsigned n_ring_ids;
	bool ring_running, ring_failed, local_view;
	bool ring_leaving;              /* told to stop, because this node was removed */
	uint64_t ring_stored, ring_active;
	uint64_t ring_started;          /* the file that it was started with, until it says which one it has; 0: it did */
	bool ring_writing;
	struct cluster_ring_conf ring_conf;     /* what is being written */
	struct mono ring_wake;

	/* the host's own ring (conf.host_ring) */
	uint32_t host_nodeid;                   /* ours in it; 0: it does not run */
	uint32_t host_node[RING_NODES_MAX];     /* its node list */
	unsigned n_host_nodes;
	bool host_quorate;                      /* votequorum's word */
	struct node_id host_view[AGREE_MEMBERS_MAX];    /* as last given to agreement */
	unsigned n_host_view;
	struct node_id host_learn;
	uint64_t host_proposed;                 /* on top of this roster version, */
	struct mono host_proposed_at;           /* at this time */

	/* keeping out of the ring (aside.c) */
	bool aside;
	bool in_trouble;                        /* so that the others of the ring should look whom they hear */
	bool was_still;                         /* agreement stood still when it was last looked at */
	uint64_t still_ms;                      /* how long it did so lately */
	struct mono still_at;
	struct mono look_since, look_next;      /* who hears whom is looked at; MONO_NEVER: it is not */
	struct mono out_since, in_since;        /* the choice as it is now is so since then */
	struct mono aside_stop;                 /* Corosync was told to stop then */
	char deaf_to[ROSTER_RING_MAX * 11];     /* nodeids of ring nodes that live and are not heard here */

	/* requests */
	struct waiting *waiting;
	unsigned n_waiting, cap_waiting;
	uint64_t own_rids;              /* counts our own proposals */

	/* carrying out the plan */
	struct plan_have have;
	bool target_heard, target_up;   /* heard: until then one may run and answer that we know nothing of */
	struct plan_retry *retry;
	struct plan_memo *memo;
	struct mono plan_wake;
	struct plan plan;               /* what is left of the last one */
	struct carry_seen {             /* what it was made from */
		bool good;
		bool ahead;             /* something is there that is newer than what was applied */
		uint64_t applied, basis;
	} carry_seen;
	bool plan_concerned;            /* something was agreed since that it may depend on */
	struct stale_seen {             /* all own reports are about what is agreed: up to this version of them, and of the objects */
		bool good;
		const struct tree *tree;
		uint64_t removed, version;
	} stale_seen;
	struct doing **doing;
	unsigned n_doing, cap_doing;
	uint64_t next_act;

	struct floating *floating;
	struct { struct node_id node; struct mono again; } fenced[FENCES_MAX];     /* the last tries */
	bool dirty;                     /* something that the housekeeping looks at changed */
	bool facts_dirty;               /* own facts changed: gossip must be told */
	struct attrs host;              /* what the runner reports of the host */
	char *node_path;                /* where it stands */
	struct nodes_seen {             /* the nodes' objects, of this version of the tree; what was loaded begins anew */
		const struct tree *tree;
		uint64_t version;
		struct node_seen {
			struct node_id id;
			const struct object *o;
			bool drain, witness;
			uint16_t group;
			/* What it says, as of this much of its facts: at /cluster, and at its own path. */
			bool heard;
			uint64_t floor, max, dropped;
			const struct fact *self, *node;
			const char *target, *inner, *addresses;
			bool grows;             /* `growth` has what it says */
			struct growth_fact growth;
		} *node;
		unsigned n, cap;
		unsigned children;      /* of /nodes */
		bool data;              /* there are volumes or targets */
	} *nodes_seen;
	uint64_t applied_seen;          /* up to here the housekeeping looked at the catalog */
	bool ring_addrs_follow;         /* ring addresses are the gossip address */
	struct mono agree_wake, tend_wake;
	struct mono wake;               /* collected during one round of housekeeping */
};

/* cluster.c */
struct cluster_act *cluster_act(struct cluster *c, struct cluster_out *out, enum cluster_act_kind kind);
struct doing *cluster_doing(struct cluster *c, enum cluster_act_kind kind);
void cluster_agree_step(struct cluster *c, struct agree_in *in, struct cluster_out *out);
void cluster_gossip_step(struct cluster *c, struct gossip_in *in, struct cluster_out *out);
/* With conf.checks: something remembered is not what it would be now. */
void cluster_stale(const struct cluster *c, const char *what);
void cluster_fact(struct cluster *c, const char *path, const struct attrs *attrs);     /* NULL: gone */
/* In a datagram, if it fits, and may be lost. */
void cluster_direct(struct cluster *c, const struct node_id *to, const struct agree_msg *m, struct cluster_out *out);
bool cluster_leads(const struct cluster *c);    /* this node does what one node must do */
void cluster_reset_state(struct cluster *c, struct cluster_out *out);

/* kept.c: what was known of others before this process */
void kept_in(struct cluster *c, const struct cluster_in *in);
void kept_joined(struct cluster *c, const struct node_id *id);  /* a member is there: is what is kept of it of this life? */

/* admit.c: who belongs here */
void admit_extra_pack(const struct extra *x, struct card *card);
bool admit_extra_unpack(const struct card *card, struct extra *x);
/* Add to `t` what makes a node with this key and name an object. */
void admit_add_node(struct cluster *c, struct txn *t, const uint8_t public_key[32], const char *name);
void admit_event(struct cluster *c, const struct gossip_event *ev, struct cluster_out *out);
void admit_tend(struct cluster *c, struct cluster_out *out);
/* ---- level.c ---- */
void level_tend(struct cluster *c, struct cluster_out *out);

/* power.c */
void power_tend(struct cluster *c, struct cluster_out *out);
/* Is it known whether power was lost before this machine started? Until then nothing that is kept goes on from anything. */
bool power_judged(const struct cluster *c);
/* Around each commit. */
struct node_id *admit_going(const struct cluster *c, const struct txn *t, unsigned *n);
void admit_removed(struct cluster *c, const struct node_id *going, unsigned n, struct cluster_out *out);
void admit_applied(struct cluster *c, struct cluster_out *out);         /* the catalog changed */
void admit_again(struct cluster *c);                                    /* this node was removed, and is not any more */
/* The object of a node with this id; NULL if it is not admitted. */
const struct object *admit_node(const struct cluster *c, const struct node_id *id);
/* All of them, in the order of their paths. Lent until the next step. */
const struct nodes_seen *admit_nodes(const struct cluster *c);
/* What it says at /cluster; NULL: nothing. */
const struct fact *admit_said(const struct cluster *c, const struct node_id *id);
/* With what it says now: of another node, lent by admit_nodes, */
const struct node_seen *admit_hear(const struct cluster *c, struct node_seen *n);
/* and by its id; NULL: this node itself, or one that is no object. */
struct node_seen *admit_heard(const struct cluster *c, const struct node_id *id);
void admit_card(struct cluster *c, struct cluster_out *out);            /* tell gossip if our card changed */
bool admit_several(const struct cluster *c);
bool admit_has_data(const struct cluster *c);                           /* volumes or targets */

/* found.c: how a cluster begins */
void found_tend(struct cluster *c, struct cluster_out *out);
/* Somebody sealed with a key that we lack, whose epoch ends with this byte. */
void found_newer_key(struct cluster *c, const struct addr *from, uint8_t hint);
/* A node without a cluster whose key is older than that of others here: it must not begin one by itself. */
bool found_key_old(const struct cluster *c);
bool found_key_newer(const struct cluster *c);          /* somebody here has a newer key than we */

/* knock.c: knocking, and offering the key to those who do */
void knock_tend(struct cluster *c, struct cluster_out *out);
void knock_candidate(struct cluster *c, const struct addr *a);  /* where to knock */
void knock_offer(struct cluster *c, const uint8_t public_key[32], const struct addr *to, struct cluster_out *out);
void knock_offered(struct cluster *c, const struct gossip_event *ev, struct cluster_out *out);

/* rotate.c: the cluster key */
int rotate_new_key(struct cluster *c, const uint8_t secret[32], uint32_t epoch, struct cluster_out *out);
/* Add to `t` what gives the key `k` to every node that stays. */
int rotate_make(struct cluster *c, const struct key *k, const char *without, struct txn *t, struct why *why);
void rotate_follow(struct cluster *c, struct cluster_out *out);         /* take the key that the catalog has for us */
void rotate_drop_old(struct cluster *c, struct cluster_out *out);

/* ring.c: growth of the ring, views */
void ring_tend(struct cluster *c, struct cluster_out *out);
uint64_t ring_active(const struct cluster *c);                         /* the file that our Corosync runs with; 0: none */
void ring_view(struct cluster *c, const struct cluster_in *in, struct cluster_out *out);
void ring_view_again(struct cluster *c, struct cluster_out *out);
void ring_local(struct cluster *c, struct cluster_out *out);            /* the view without Corosync */
void ring_done(struct cluster *c, const struct doing *d, int err, const char *text, struct cluster_out *out);

void ring_propose(struct cluster *c, const struct roster *r, struct cluster_out *out);
unsigned ring_addrs(const struct fact *f, struct addr out[ROSTER_ADDRS_MAX]);   /* what a node reports as its own */
/* The roster's node that has this nodeid in the ring; NULL: none. */
const struct roster_node *ring_node(const struct cluster *c, uint32_t nodeid);

bool ring_has(const struct cluster *c, uint32_t nodeid);         /* does its Corosync run in our ring? */

/* ring_host.c: the same over the Corosync that the host runs */
void ring_host_tend(struct cluster *c, struct cluster_out *out);
void ring_host_view(struct cluster *c, bool again, struct cluster_out *out);
void ring_host_state(struct cluster *c, const struct cluster_in *in, struct cluster_out *out);
const char *ring_host_wants(const struct cluster *c);

struct node_id ring_newest(const struct cluster *c);            /* the living member with the newest roster; none */

/* aside.c */
void aside_tend(struct cluster *c, struct cluster_out *out);
/* Do this node and that member hear each other, as far as is known? */
bool aside_link(const struct cluster *c, const struct gossip_member *m);

/* request.c */
void request_in(struct cluster *c, const struct cluster_request *r, struct cluster_out *out);
void request_reply(struct cluster *c, const struct agree_reply *r, struct cluster_out *out);
void request_tend(struct cluster *c, struct cluster_out *out);
void request_applied(struct cluster *c, const struct agree_rid *rid, const struct why *why);
/* Propose for ourselves; `what` makes the request id (same text, same state: same id). */
void request_propose_own(struct cluster *c, struct txn *t, const char *what, struct cluster_out *out);

void owner_fenced(struct cluster *c, const struct node_id *node, struct mono begun, struct cluster_out *out);

/* fencing.c: switching off nodes whose lease is waited for */
void fencing_tend(struct cluster *c, struct cluster_out *out);
void fencing_done(struct cluster *c, const struct doing *d, int err, const char *text, struct cluster_out *out);

/* floating.c: floating addresses */
void floating_new(struct cluster *c);
void floating_free(struct cluster *c);
void floating_changed(struct cluster *c, const struct change *changes, unsigned n);     /* agreed objects */
void floating_all_changed(struct cluster *c);
void floating_news(struct cluster *c, const struct float_news *news);
void floating_leased(struct cluster *c);                /* a lease may have been renewed: then its addresses are, in this step */
void floating_tend(struct cluster *c, struct cluster_out *out);
struct mono floating_wake(const struct cluster *c);     /* when that is due, whatever else happens */
void floating_leave(struct cluster *c, struct cluster_out *out);
/* Propose a transaction of ownership, or (`proposal`) of reservations; owner_settled is told what came of it. */
void request_propose_change(struct cluster *c, struct txn *t, const struct own_change *change, uint64_t proposal,
                            struct cluster_out *out);
/* Does this node know that it has no majority? `why` may be NULL. */
bool request_minority(const struct cluster *c, struct why *why);

/* owner.c: who serves which volume with copies */
void owner_init(struct cluster *c);
void owner_fini(struct cluster *c);
void owner_tend(struct cluster *c, struct cluster_out *out);            /* after each step */
struct mono owner_wake(const struct cluster *c);
void owner_timer(struct cluster *c, struct cluster_out *out);           /* when only that is due */
void owner_message(struct cluster *c, const struct node_id *from, const struct agree_msg *m, struct cluster_out *out);
void owner_have(struct cluster *c, const struct plan_have *have, struct cluster_out *out);
void owner_event(struct cluster *c, const struct cluster_in *in, struct cluster_out *out);
void owner_done(struct cluster *c, struct doing *d, int err, const char *text, struct cluster_out *out);
void owner_settled(struct cluster *c, const struct waiting *w, bool refused);   /* only noted: called from inside of steps */
/* owner_keep.c: agreed reservations */
void keep_tend(struct cluster *c, struct cluster_out *out);
void keep_proposed(struct cluster *c, const struct cluster_in *in, struct cluster_out *out);
void keep_settled(struct cluster *c, const struct waiting *w, bool refused);
void keep_done(struct cluster *c, const struct doing *d, int err);
void keep_message(struct cluster *c, const struct node_id *from, const struct agree_msg *m, struct cluster_out *out);
void keep_view(struct cluster *c);                                      /* the view may be another */
void keep_reset(struct cluster *c);                                     /* director-target is another */
uint64_t owner_boot(const struct cluster *c);
/* owner_view.c: the nodes */
void owner_nodes(struct cluster *c);                                    /* c->owner.nodes anew */
void owner_view(struct cluster *c, struct own_view *v);

/* carry.c: the plan of this node */
/* Hand it to director-target; emptied. */
void carry_begin(struct cluster *c, struct plan_action *a, struct cluster_out *out);
void carry_report(struct cluster *c, const struct plan_action *a, const char *state, const char *error);
void carry_tend(struct cluster *c, struct cluster_out *out);
void carry_have(struct cluster *c, const struct plan_have *have, struct cluster_out *out);
void carry_done(struct cluster *c, struct doing *d, int err, const char *text, struct cluster_out *out);
/* What was just agreed: does it concern the plan, or ownership? It also took something away, or put it in another's place (`removed`). */
void carry_agreed(struct cluster *c, const struct change *changes, unsigned n, bool removed);
void carry_records(struct cluster *c, const struct cluster_record *r, unsigned n);

#endif
