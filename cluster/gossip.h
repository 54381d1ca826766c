/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gossip: who is in the cluster, who of them answers, and the spreading of facts. SWIM with Lifeguard
 * over sealed datagrams, digest and delta over the mesh. A pure machine: gossip_step takes what
 * happened and the time, and appends what is to be done to `out`. It decides nothing agreed.
 */
#ifndef CLUSTER_GOSSIP_H
#define CLUSTER_GOSSIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mono.h"
#include "cluster/card.h"
#include "cluster/facts.h"
#include "cluster/gossip_msg.h"
#include "cluster/id.h"

#define GOSSIP_VERSION_MIN 1
#define GOSSIP_VERSION_MAX 1
#define GOSSIP_MEMBERS_MAX 16384
#define GOSSIP_PENDING_MAX 64
#define GOSSIP_CANDIDATES_MAX 1024

struct gossip_conf {
	struct card self;               /* id, key, boot, name, addrs (none: learned from the first answer), versions, features, extra */
	uint32_t incarnation;           /* the last one persisted; the node starts at one above it */
	uint8_t cluster[8];             /* hash that tells clusters apart; zeros match any */
	uint32_t key_epoch;             /* of the current cluster key; 0: none, the node can only knock */
	uint64_t seed;                  /* of choices that must replay */
	unsigned members_max;           /* 0: GOSSIP_MEMBERS_MAX */
};

enum gossip_in_kind {
	GOSSIP_IN_START = 1,
	GOSSIP_IN_TIMER,        /* out->wake is reached */
	GOSSIP_IN_DGRAM,        /* from, head, msg */
	GOSSIP_IN_STRANGER,     /* from, why: a datagram did not open; newer: its key is older than ours */
	GOSSIP_IN_CANDIDATE,    /* from: an address where a node may be (mDNS, seed, last session's members) */
	GOSSIP_IN_HINT,         /* id, or from when id is none: it may be dead; it is probed at once, no more */
	GOSSIP_IN_SELF,         /* card: own name, addrs, features, versions or extra changed (id, key, boot must not) */
	GOSSIP_IN_CLUSTER,      /* cluster, key_epoch: the cluster hash or the current key changed */
	GOSSIP_IN_LEAVE,        /* say goodbye; then step no more but GOSSIP_IN_START */
	GOSSIP_IN_BAN,          /* id: a removed node; dropped, and refused from now on */
	GOSSIP_IN_UNBAN,        /* id */
	GOSSIP_IN_SYNC,         /* id, sync: a sync message of a member came over the mesh */
	GOSSIP_IN_MESH_UP,      /* id: the mesh can reach this member now */
	GOSSIP_IN_MESH_DOWN,    /* id: no longer; counts as a hint */
	GOSSIP_IN_FACTS,        /* own facts changed: tell the others */
	GOSSIP_IN_BLOB,         /* from, blob: send these bytes in a BLOB datagram to this address */
	GOSSIP_IN_KNOCK,        /* from, blob (of knock_make): the same in a KNOCK datagram */
	GOSSIP_IN_PASS,         /* id, blob: send these bytes to this member in a sealed datagram, which may be lost */
};

/* Why a datagram did not open: counted by address; only STALE is answered, with a HELLO. */
enum gossip_stranger {
	STRANGER_KEY,           /* no key of the ring is named by the header's hint */
	STRANGER_FORGED,        /* the key is there, the seal does not fit */
	STRANGER_MALFORMED,     /* not our bytes, or they do not decode */
	STRANGER_STALE,         /* meant for another boot of this node, or by a boot not known here */
};

struct gossip_in {
	struct mono now;
	enum gossip_in_kind kind;
	struct addr from;
	struct node_id id;
	enum gossip_stranger why;
	bool newer;
	const struct gossip_head *head;
	const struct gossip_msg *msg;
	const struct gossip_sync *sync;
	const struct card *card;
	const uint8_t *blob;
	unsigned n_blob;
	const uint8_t *cluster;
	uint32_t key_epoch;
};

/* A datagram to send. All it points to is good until gossip_out_reset. */
struct gossip_dgram {
	struct addr to;
	enum gossip_form form;
	uint8_t to_boot[BOOT_LEN];      /* NEAR, FAR */
	struct gossip_msg msg;
};

/* A message to a member over the mesh, as above. The mesh connects on demand and may drop it. */
struct gossip_mesh {
	struct node_id to;
	struct gossip_sync sync;
};

enum gossip_event_kind {
	GOSSIP_EV_JOINED = 1,   /* a member not known before (or forgotten since) */
	GOSSIP_EV_ALIVE,        /* failed or left before, answers again */
	GOSSIP_EV_SUSPECT,
	GOSSIP_EV_REFUTED,      /* suspect before, answers again */
	GOSSIP_EV_FAILED,
	GOSSIP_EV_LEFT,
	GOSSIP_EV_RESTARTED,    /* same node, new boot; comes before ALIVE when it was failed or left */
	GOSSIP_EV_READDRESSED,  /* addr: the new one, other: the old one */
	GOSSIP_EV_RENAMED,      /* name: the new one, old_name */
	GOSSIP_EV_CARD,         /* features, versions or extra changed */
	GOSSIP_EV_CLONED,       /* two boots with one identity: addr stays, other is refused */
	GOSSIP_EV_SELF_CLONED,  /* this node is the refused one: addr is the one that stays. It stays quiet and tries again from time to time. */
	GOSSIP_EV_VERSION,      /* name, addr, version_min..max: cannot talk to it */
	GOSSIP_EV_REMOVED,      /* a banned node (id, addr) tries to come in; or, with id self, this node was told it is removed */
	GOSSIP_EV_PENDING,      /* id, name, addr: someone without the key knocked, for the first time or from elsewhere */
	GOSSIP_EV_BLOB,         /* addr, blob: a BLOB for us (an offer) */
	GOSSIP_EV_PASSED,       /* id: the datagram of this step is a PASS of this member, and no replay */
	GOSSIP_EV_STALE_KEY,    /* id, name, addr, key_epoch: a member, or who wants to be one, still seals with an older key */
	GOSSIP_EV_NEWER_KEY,    /* id, addr, key_epoch: a member seals with a newer key than the current one */
	GOSSIP_EV_FORGOTTEN,    /* dead for so long that the member was dropped */
	GOSSIP_EV_REFUSED,      /* why, addr: a datagram was refused; at most one per address and reason in ten seconds */
	GOSSIP_EV_READY,        /* the first contact with a member is made (WELCOME came), or there is none to be had yet after a while (n_alive 1) */
};

struct gossip_event {
	enum gossip_event_kind kind;
	struct node_id id;
	struct addr addr, other;
	char name[CARD_NAME_MAX], old_name[CARD_NAME_MAX];
	uint16_t version_min, version_max;
	uint32_t key_epoch;
	const char *why;                /* static text */
	const uint8_t *blob;            /* good until gossip_out_reset */
	unsigned n_blob;
};

struct gossip_out {
	struct gossip_dgram *dgrams; unsigned n_dgrams;
	struct gossip_mesh *mesh; unsigned n_mesh;
	struct gossip_event *events; unsigned n_events;
	uint32_t persist_incarnation;   /* store this before the datagrams leave; 0: nothing to store */
	bool facts_changed;             /* facts_changed() has something */
	struct mono wake;               /* GOSSIP_IN_TIMER is due then */
	/* private */
	unsigned cap_dgrams, cap_mesh, cap_events;
	struct gossip_chunk *chunks;
};

void gossip_out_reset(struct gossip_out *out);  /* empty, memory kept */
void gossip_out_fini(struct gossip_out *out);

struct gossip;

/* `facts` is shared with the caller, who writes own facts and then steps GOSSIP_IN_FACTS. */
struct gossip *gossip_new(const struct gossip_conf *conf, struct facts *facts);
void gossip_free(struct gossip **g);

/* Appends to `out`; `wake` and `persist_incarnation` are overwritten when they change. */
void gossip_step(struct gossip *g, const struct gossip_in *in, struct gossip_out *out);

/*
 * The boot behind the short tag of a NEAR datagram, the `nth` (from 0) of those known with this tag,
 * and the highest counter seen of it. Has the shape seal_open asks for, with the gossip as `arg`.
 */
bool gossip_boot_by_tag(void *arg, uint32_t tag, unsigned nth, uint8_t boot[BOOT_LEN], uint64_t *counter);

/* Reading. Members are ordered by id; the node itself is one of them. Lent until the next step. */
struct gossip_member {
	const struct card *card;
	enum member_state state;
	uint32_t incarnation;
	struct mono since;              /* of this state, here; zero for the start's own */
	struct addr addr;               /* where datagrams go */
	uint32_t rtt_us;                /* 0: not measured */
	struct mono heard;              /* last datagram of its own that came here; 0: none */
	bool self;
};

unsigned gossip_count(const struct gossip *g);                          /* all members, dead ones too */
unsigned gossip_count_state(const struct gossip *g, enum member_state s);
unsigned gossip_alive(const struct gossip *g);                          /* ALIVE and SUSPECT, self too */
bool gossip_at(const struct gossip *g, unsigned i, struct gossip_member *m);
bool gossip_find(const struct gossip *g, const struct node_id *id, struct gossip_member *m);
/* The member of this name; of several the alive one with the lowest id. */
bool gossip_find_name(const struct gossip *g, const char *name, struct gossip_member *m);
bool gossip_find_addr(const struct gossip *g, const struct addr *a, struct gossip_member *m);
/* Another alive member has this node's name (or, with another id, that member's). */
bool gossip_name_taken(const struct gossip *g, const struct node_id *id, const char *name);
const struct card *gossip_self(const struct gossip *g);
uint32_t gossip_incarnation(const struct gossip *g);
const char *member_state_name(enum member_state s);                     /* "alive", "suspect", "failed", "left" */

/* Those who knock (cluster/box.h): their signature is right, so the id and name are their own words. */
struct gossip_pending {
	struct node_id id;
	struct addr addr;
	uint8_t public_key[32];
	uint8_t boot[BOOT_LEN];
	char name[CARD_NAME_MAX];
	bool removed;                   /* the cluster removed it: only an administrator takes it in again */
	struct mono addr_last;          /* when it last knocked from `addr` */
	struct mono first, last;        /* knocks; forgotten half a minute after the last */
};
unsigned gossip_pending_count(const struct gossip *g);
bool gossip_pending_at(const struct gossip *g, unsigned i, struct gossip_pending *p);
bool gossip_pending_find(const struct gossip *g, const struct node_id *id, struct gossip_pending *p);

/* Counters, since start. */
struct gossip_counts {
	uint64_t dgrams_in, dgrams_out, mesh_in, mesh_out;
	uint64_t probes, probes_failed, indirect, suspicions, refutations, deaths, false_alarms;
	uint64_t refused_key, refused_forged, refused_malformed, refused_stale;
	uint64_t refused_replay, refused_foreign, refused_version, refused_banned, refused_clone, refused_flood;
	uint64_t late_ms;               /* time this process did not run when it should have */
	struct addr refused_last;       /* the last sender refused */
	unsigned health;                /* Lifeguard's local health: 0 is well, 8 is worst */
};
const struct gossip_counts *gossip_counts(const struct gossip *g);
/* The hash of the member list: equal on nodes that believe the same. */
uint64_t gossip_members_hash(const struct gossip *g);

#endif
