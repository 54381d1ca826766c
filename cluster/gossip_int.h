/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of gossip share. Each part has its page: member.c the table, contact.c first contact
 * and freshness, probe.c and suspicion.c who answers, rumor.c what is told on, sync.c the mesh,
 * pending.c strangers. All times here are local: the time this process was not run is taken out of
 * them, so that a node that was paused finds nobody overdue (`lost` is the difference).
 */
#ifndef CLUSTER_GOSSIP_INT_H
#define CLUSTER_GOSSIP_INT_H

#include "base/rng.h"
#include "cluster/gossip.h"

/* Milliseconds. The arithmetic behind them is in doc/gossip.md. */
#define TICK_MS 500                     /* the successor in the ring is probed once a tick */
#define TICK_RANDOM 12                  /* and somebody else every so many ticks */
#define WATCH_MS 640                    /* the predecessor's silence after which it is probed */
#define PROBE_DIRECT_MS 100             /* plus twice the round trip, times health; half way it is pinged again */
#define PROBE_DIRECT_MAX_MS 500
#define PROBE_INDIRECT_MS 150
#define PROBE_RELAYS 3
#define PROBE_FIRST_MS 60000            /* between two pings to the first address of one who answers from another */
#define FIRST_HEARD_MS 200              /* after a word from its first address, the time in which others do not count */
#define PROBE_AGAIN_MS 120              /* an accuser goes on pinging the suspect */
#define PROBES_MAX 512
#define SUSPECT_MIN_MS 400
#define SUSPECT_MAX_MS 3000
#define SUSPECT_SOLO_MS 800             /* where nobody could confirm */
#define CONFIRMERS 4                    /* members asked to probe a suspect */
#define CONFIRMATIONS 3                 /* that bring the suspicion to its minimum */
#define HEALTH_MAX 8
#define LATE_MS 40                      /* a timer this late says that the process was not run */
#define PUSH_MS 10                      /* between two immediate pushes of news */
#define PUSH_FANOUT 4
#define ROUND_MS 100                    /* between the later rounds of news */
#define ROUND_FANOUT 3
#define SMALL_CLUSTER 9                 /* up to here everybody is told directly */
#define NEWS_BYTES 1100                 /* of updates in one datagram */
#define HELLO_MS 250                    /* first retry of a candidate; doubles up to */
#define HELLO_MAX_MS 15000
#define RECONNECT_MS 2000               /* one dead member is tried this often, */
#define RECONNECT_SLOW_MS 30000         /* and this often when all are long dead */
#define LONG_DEAD_MS (10u * 60 * 1000)
#define FORGET_MS (72u * 3600 * 1000)
#define SYNC_MS 30000                   /* facts that differ are compared over the mesh this often */
#define SYNC_REST_MS 600000             /* and without a sign that they do, since a connection costs 2 KB */
#define SYNC_BUSY_MS 2000
#define MET_MS 1000                     /* of those who are met in a crowd, one in this time is asked to compare all */
#define TELL_MS 100                     /* in a large cluster news of facts are gathered so long, */
#define TELL_CALM_MS 200                /* until no member has come or gone in this time, as whom to tell changes with them, */
#define TELL_MAX_MS 1000                /* but no longer than this */
#define BUSY_MS 5000                    /* after a change, the time in which hashes are compared more often */
#define SETTLE_MS 300                   /* after a change, the time in which a differing hash says nothing; */
#define SETTLE_LARGE_MS 3000            /* in a table too long to repair by datagrams */
#define SETTLE_FACTS_MS 2500            /* facts are pushed, over connections that may have to be made */
#define REPAIR_MS 400                   /* between two repairs of a differing member list */
#define REPAIR_TABLE_MAX 192            /* larger tables are repaired over the mesh only */
#define HOUSEKEEPING_MS 1000
#define FORGET_EVERY 60                 /* the dead are looked through once in so many of those */
#define PENDING_MS 30000
#define READY_MS 1500
#define SYNC_BYTES (64u * 1024)
#define SYNC_FACTS 4096
#define PUSH_FACTS_BYTES (32u * 1024)
#define QUIET_MS 10000                  /* a refused clone tries again after this */

#define REPLAY_WORDS 4

/* What is known of a member from its own datagrams. */
struct contact {
	struct node_id id;
	uint8_t boot[BOOT_LEN];
	uint32_t tag;                   /* of the boot, as in NEAR headers */
	struct addr addr;               /* it last spoke from here */
	bool moved;                     /* `addr` was another one before, which nobody was told */
	struct mono first_try;          /* then it is asked at the first address of its card */
	struct mono first_heard;        /* it last spoke from there */
	bool near;                      /* it answered us, so it knows our boot */
	uint64_t sent;                  /* our datagram count when it was last sent one */
	uint64_t top;                   /* highest counter seen, with the window below it */
	uint64_t window[REPLAY_WORDS];
	struct mono heard;
	uint32_t srtt_us;
	struct mono key_told;           /* last STALE_KEY or NEWER_KEY event */
};

struct suspicion {
	struct node_id id;
	uint32_t incarnation;
	struct mono start, deadline, next_ping;
	struct node_id by[CONFIRMATIONS + 1];
	unsigned n_by;
	bool own;                       /* this node pings it itself */
	bool verdict;                   /* somebody holds it for failed: no confirmation needed, only the chance to refute */
};

/* Sixteen thousand of these exist in each of thousands of simulated nodes: keep it small. */
struct member {
	struct card *card;
	struct contact *contact;        /* NULL: no dealings yet */
	struct mono since;
	uint32_t incarnation;
	uint8_t state;
	bool card_lent;                 /* not ours to free (gossip_preload) */
};

enum probe_kind {
	PROBE_TICK,             /* failure leads to suspicion */
	PROBE_CONFIRM,          /* failure confirms a suspicion; no relays are asked */
	PROBE_RELAY,            /* for another node */
	PROBE_VERIFY,           /* of an address whose node shows up elsewhere; no consequences for the member */
	PROBE_AGAIN,            /* one ping of a suspect or dead member; nothing follows from silence, so it is not kept */
};

struct probe {
	enum probe_kind kind;
	struct node_id id;
	uint32_t seq;
	unsigned stage;                 /* 0: pinged, 1: pinged again, 2: and relays asked */
	unsigned relays, nacks;
	bool refused;                   /* a hint said that nobody listens there */
	struct mono start, deadline;
	/* PROBE_RELAY: for whom */
	struct node_id origin;
	uint32_t origin_seq;
	/* PROBE_VERIFY: who is refused when the old address answers */
	struct addr newcomer;
	uint8_t newcomer_boot[BOOT_LEN];
};

struct rumor {
	struct node_id id, by;
	enum member_state state;
	uint32_t incarnation;
	bool card;
	struct addr clone;
	uint16_t sends, limit;
	bool fresh;                     /* to be pushed at once */
};

struct candidate {
	struct addr addr;
	struct node_id who;             /* answered from there; none: nobody yet */
	struct mono next;
	uint32_t wait_ms;
};

struct refused {
	struct addr addr;
	const char *why;
	struct mono at;
};

/* A small ring of things remembered for a while. */
struct remembered {
	uint8_t key[16];
	struct addr addr;
	struct mono until;
};
#define REMEMBER_MAX 64

struct bucket {
	uint32_t tokens;                /* thousandths */
	struct mono at;
};

struct gossip {
	struct gossip_conf conf;
	struct card self;
	struct facts *facts;
	struct gossip_counts counts;
	struct rng rng;
	struct mono real, now;          /* as passed in; local */
	uint64_t lost_ns;
	struct mono wake;               /* what was asked for, local */
	struct mono started;
	bool running, ready, quiet;

	struct member *members;
	unsigned n_members, cap_members;
	uint32_t *order;                /* indices into members, by id */
	unsigned cap_order;
	unsigned n_state[4];
	uint64_t members_hash;
	struct mono changed;            /* last change of the table */

	struct contact **contacts;      /* by tag */
	unsigned n_contacts, cap_contacts;

	struct probe *probes;
	unsigned n_probes, cap_probes;
	uint32_t seq;
	struct mono tick, watch;
	unsigned ticks;
	uint32_t walk;                  /* where the random probe goes on */

	struct suspicion *suspicions;
	unsigned n_suspicions, cap_suspicions;
	struct mono suspicion_next;     /* the earliest deadline or ping of them; recomputed when due */

	struct rumor *rumors;
	unsigned n_rumors, cap_rumors;
	struct mono push, round;        /* MONO_NEVER: nothing to push, no round */
	struct mono pushed;

	struct candidate *candidates;
	unsigned n_candidates, cap_candidates;
	struct mono reconnect;

	struct mono sync, repaired, facts_changed, facts_compared;
	struct mono met;                /* before this nobody else who is met is asked to compare */
	uint64_t facts_pushed;          /* own facts are told up to this version */
	struct facts_have *telling;     /* of these nodes facts are to be told: what others are taken to hold */
	unsigned n_telling, cap_telling;
	struct mono tell;               /* then; MONO_NEVER: nothing to tell */
	struct mono telling_since;      /* the first of what waits */

	struct gossip_pending pending[GOSSIP_PENDING_MAX];
	unsigned n_pending;
	struct refused refused[32];
	unsigned n_refused;
	struct remembered welcomed[REMEMBER_MAX], asked[REMEMBER_MAX], silent[REMEMBER_MAX], clones[REMEMBER_MAX],
	                  stale[REMEMBER_MAX], told[REMEMBER_MAX];
	struct bucket stranger_bucket, clear_bucket, hello_bucket, query_bucket, clone_bucket;
	struct mono housekeeping;
	unsigned housekeepings;

	struct node_id *banned;         /* ordered */
	unsigned n_banned, cap_banned;
};

/* gossip_out.c */
void *out_alloc(struct gossip_out *out, size_t n);
void *out_dup(struct gossip_out *out, const void *p, size_t n);
struct gossip_event *out_event(struct gossip_out *out, enum gossip_event_kind kind);
struct gossip_mesh *out_mesh(struct gossip *g, const struct node_id *to, enum gossip_sync_kind kind,
                             struct gossip_out *out);
/* A datagram in any form; the caller fills `msg` of what is returned. */
struct gossip_dgram *out_dgram(struct gossip *g, const struct addr *to, enum gossip_form form, const uint8_t *boot,
                               enum gossip_msg_kind kind, struct gossip_out *out);
const struct card *out_card(struct gossip_out *out, const struct card *c);

/* member.c */
struct member *member_find(const struct gossip *g, const struct node_id *id);
struct member *member_nth(const struct gossip *g, unsigned i);  /* by id */
unsigned member_pos(const struct gossip *g, const struct node_id *id);  /* where id is or would be */
bool member_is_self(const struct gossip *g, const struct member *m);
bool member_answers(const struct member *m);                    /* ALIVE or SUSPECT */
struct member *member_add(struct gossip *g, const struct card *card, enum member_state state, uint32_t incarnation,
                          bool lend);
void member_drop(struct gossip *g, struct member *m);
/* Every move between states goes through here; the hash and counts follow. */
void member_set(struct gossip *g, struct member *m, enum member_state state, uint32_t incarnation);
void member_card_set(struct gossip *g, struct member *m, const struct card *card);
struct member *member_successor(const struct gossip *g);
struct member *member_predecessor(const struct gossip *g);
struct member *member_random(struct gossip *g);                 /* one that answers, not self; NULL: none */
/* Up to n different members that answer, without self and `not`; returns how many. */
unsigned member_sample(struct gossip *g, unsigned n, const struct node_id *not, struct node_id *out);
struct addr member_addr(const struct member *m);
bool member_compatible(const struct gossip *g, const struct card *c);
struct gossip_event *member_event(const struct member *m, enum gossip_event_kind kind, struct gossip_out *out);
struct mono member_real(const struct gossip *g, struct mono local);
bool banned(const struct gossip *g, const struct node_id *id);

/* contact.c */
struct contact *contact_of(struct gossip *g, struct member *m);
void contact_drop(struct gossip *g, struct member *m);
/* A datagram to a member in the shortest form it understands. */
struct gossip_dgram *contact_dgram(struct gossip *g, struct member *m, enum gossip_msg_kind kind,
                                   struct gossip_out *out);
/* Who sent this, if it may be obeyed. NULL: not known, or seen before (`replay`). */
struct member *contact_accept(struct gossip *g, const struct gossip_in *in, bool *replay);
void contact_dgram_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out);
void contact_hello(struct gossip *g, const struct addr *to, struct gossip_out *out);
void contact_candidate(struct gossip *g, const struct addr *a);
void contact_timer(struct gossip *g, struct gossip_out *out);
struct mono contact_wake(const struct gossip *g);
void contact_stranger(struct gossip *g, const struct gossip_in *in, struct gossip_out *out);
void contact_query(struct gossip *g, struct member *whom, const struct node_id *id, struct gossip_out *out);
/* Refuse the process at `other`, which has the identity of `stays`, and tell everybody. */
void contact_clone(struct gossip *g, struct member *stays, const struct addr *other, const uint8_t *boot,
                   struct gossip_out *out);
void contact_clone_told(struct gossip *g, const struct gossip_update *u, struct gossip_out *out);
bool remember(struct remembered *r, const void *key, const struct addr *a, struct mono now, struct mono until);
struct remembered *recall(struct remembered *r, const void *key, const struct addr *a, struct mono now);
bool bucket_take(struct bucket *b, struct mono now, unsigned per_second, unsigned burst);

/* probe.c */
void probe_start(struct gossip *g, struct member *m, enum probe_kind kind, struct gossip_out *out);
void probe_hint(struct gossip *g, const struct node_id *id, bool refused, struct gossip_out *out);
void probe_in(struct gossip *g, struct member *from, const struct gossip_in *in, struct gossip_out *out);
void probe_verify(struct gossip *g, struct member *m, const struct addr *newcomer, const uint8_t *boot,
                  struct gossip_out *out);
bool probe_running(const struct gossip *g, const struct node_id *id, enum probe_kind kind);
void probe_timer(struct gossip *g, struct gossip_out *out);
struct mono probe_wake(const struct gossip *g);
void probe_ping(struct gossip *g, struct member *m, uint32_t seq, struct gossip_out *out);
uint32_t probe_seq(struct gossip *g);
void health_add(struct gossip *g, int n);

/* suspicion.c */
void suspicion_start(struct gossip *g, struct member *m, const struct node_id *by, uint32_t incarnation,
                     struct gossip_out *out);
/*
 * Somebody says it failed, and here it was well: perhaps they were cut off and we not. So not believed at
 * once: it is suspect for the shortest time, and pinged.
 */
void suspicion_verdict(struct gossip *g, struct member *m, const struct node_id *by, uint32_t incarnation,
                       struct gossip_out *out);
void suspicion_end(struct gossip *g, const struct node_id *id);
/* This node was deaf for a while by itself: whoever is suspect has all the time again. */
void suspicion_anew(struct gossip *g);
void suspicion_timer(struct gossip *g, struct gossip_out *out);
struct mono suspicion_wake(const struct gossip *g);

/* rumor.c */
void rumor_add(struct gossip *g, const struct gossip_update *u, bool card);
void rumor_self(struct gossip *g, bool card);
/* Fill the datagram with what fits of the news, about_first (if not none) and self's state first. */
void rumor_fill(struct gossip *g, struct gossip_dgram *d, const struct node_id *about, struct gossip_out *out);
void rumor_timer(struct gossip *g, struct gossip_out *out);
struct mono rumor_wake(const struct gossip *g);
struct gossip_update update_of(const struct gossip *g, const struct member *m, bool card);
/* Take in one statement. `from`: the member that made it, may be NULL. */
void update_in(struct gossip *g, const struct gossip_update *u, struct member *from, struct gossip_out *out);
void updates_in(struct gossip *g, const struct gossip_msg *msg, const struct node_id *from, struct gossip_out *out);
/* Send all members as news to one who just joined (cards) or whose list differs (no cards). */
void rumor_table(struct gossip *g, struct member *to, bool cards, struct gossip_out *out);
void rumor_repair_in(struct gossip *g, struct member *from, const struct gossip_msg *msg, struct gossip_out *out);
void self_raise(struct gossip *g, uint32_t above, bool card, struct gossip_out *out);
void hash_in(struct gossip *g, struct member *from, uint32_t hash, struct gossip_out *out);
/* Of the members and of the facts: now and then, while something changes, and in answer to others' (`asked`). */
void hash_for_ping(struct gossip *g, struct gossip_msg *m, bool asked);
/* What somebody who was pinged holds as facts is known by its hash. */
void facts_hash_in(struct gossip *g, const struct member *from, uint32_t hash, struct gossip_out *out);
void news_to(struct gossip *g, struct member *to, const struct node_id *about, bool confirm, struct gossip_out *out);

/* sync.c */
void sync_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out);
void sync_offer(struct gossip *g, const struct node_id *to, struct gossip_out *out);
void sync_met(struct gossip *g, const struct node_id *to, struct gossip_out *out);      /* somebody is there who was not */
/* Something changed that others may lack, or have for us: compare before long. */
void sync_soon(struct gossip *g);
bool facts_busy(const struct gossip *g);                        /* they changed a moment ago */
void sync_facts(struct gossip *g, struct gossip_out *out);
void sync_timer(struct gossip *g, struct gossip_out *out);
struct mono sync_wake(const struct gossip *g);

/* pending.c */
void pending_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out);
void pending_expire(struct gossip *g);
void refuse(struct gossip *g, uint64_t *counter, const struct addr *from, const char *why, struct gossip_out *out);

/* gossip.c */
struct mono gossip_in_ms(const struct gossip *g, uint64_t ms);
/* `ms` plus or minus a tenth. */
struct mono gossip_in_about(struct gossip *g, uint64_t ms);

/*
 * For simulations of thousands, before the start: the members as if they had been known for long. The
 * cards are ordered by id, self is among them, and they are lent for the life of the gossip.
 */
void gossip_preload(struct gossip *g, struct card *const *cards, unsigned n);

#endif
