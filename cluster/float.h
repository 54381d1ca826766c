/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating addresses: which of them this node holds. An address follows the right to serve its target's first LUN, so
 * that there is one holder while leases hold. Pure: what is agreed, what rights this node has and what the host has
 * configured come in; what to do with the host's addresses goes out. doc/ownership.md 13 has the rules.
 *
 * The kernel is told to forget an address FLOAT_LIFE_S after it was last renewed. It is renewed only when the lease
 * behind it was, so that an address ends with its lease whoever is killed or stopped, and before a successor's wait does.
 */
#ifndef CLUSTER_FLOAT_H
#define CLUSTER_FLOAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mono.h"

#define FLOAT_LIFE_S 1                  /* the kernel's measure is whole seconds */
#define FLOAT_RENEW_MS 250              /* between renewals of an address whose right has no lease */
#define FLOAT_RENEW_MIN_MS 100          /* and at least between any two */
#define FLOAT_GRACE_MS 3000             /* a director-target that died may take this long to come back before its address goes */
#define FLOAT_PASS_MS 2300              /* what a former holder without a lease may need to let go: quorum lost for 1 s, FLOAT_LIFE_S, and a bit */
#define FLOAT_PROBES 2
#define FLOAT_PROBE_MS 200              /* between probes, and after the last one */
#define FLOAT_AGAIN_MS 10000            /* an address that somebody else has is tried again after this */
#define FLOAT_RETRY_MS 1000             /* the same where the host refused */
#define FLOAT_DEFEND_MS 10000           /* DEFEND_INTERVAL of RFC 5227 1.1 */
#define FLOAT_CONFLICT_MS 60000         /* how long after its last sign a conflict is reported */
#define FLOAT_INTERFACE_MAX 16

/* ---- what is there ---- */

/* An interface of the host (family 0), or an address on one. */
struct float_host {
	struct addr ip;                 /* port and scope 0 */
	uint8_t prefix;
	char interface[FLOAT_INTERFACE_MAX];
	bool floating;                  /* by its lifetime it is one that directord put there, in this life or another */
};

/* One agreed address, as the caller knows it now. */
struct float_want {
	const char *path;               /* the object; borrowed for the call */
	struct addr ip;
	uint8_t prefix;
	const char *interface;          /* "" or NULL: the one with an address in the same prefix */
	bool mine;                      /* this node may serve the target's first LUN, until `until` */
	struct mono until;              /* the lease's end; MONO_NEVER: a right that has none */
	bool ready;                     /* and director-target does: the volume is open, the target is there */
	bool known;                     /* some node of this cluster had it: nobody need be asked whose it is */
	bool elsewhere;                 /* another node that lives says that it holds it */
};

/* ---- what to do ---- */

enum float_act_kind {
	FLOAT_ADD = 1,                  /* with a life of FLOAT_LIFE_S */
	FLOAT_RENEW,                    /* its life begins anew */
	FLOAT_REMOVE,
	FLOAT_ANNOUNCE,                 /* to all on the link: it is here */
	FLOAT_PROBE,                    /* ask who has it; an answer is news of a conflict */
};

struct float_act {
	enum float_act_kind kind;
	struct addr ip;
	uint8_t prefix;
	char interface[FLOAT_INTERFACE_MAX];
	bool route;                     /* ADD, RENEW: the interface has no other address of the prefix; it needs the route */
};

/* In the order to do them. */
struct float_out {
	struct float_act *act;
	unsigned n, cap;
	struct mono wake;               /* step again no later, and at once when a lease was renewed or a right changed */
	bool changed;                   /* a report is another than before */
};

/* ---- what to say about it ---- */

enum float_state {
	FLOAT_NONE,                     /* not this node's: nothing to say */
	FLOAT_WAITING,                  /* soon here: it is asked whether somebody has it */
	FLOAT_UP,
	FLOAT_CONFLICT,                 /* another machine has it, or claims it though it is up here: `text` */
	FLOAT_FAILED,                   /* it should be here; `text` says why it is not */
};

struct float_report {
	enum float_state state;
	bool held;                      /* it is up here */
	const char *interface;          /* where; NULL unless it is held */
	const char *text;               /* a sentence, or NULL */
};

/* ---- the machine ---- */

struct floats;

/* What the host has to say. */
struct float_news {
	enum { FLOAT_NEWS_HOST = 1, FLOAT_NEWS_GONE, FLOAT_NEWS_CONFLICT, FLOAT_NEWS_FAILED } kind;
	const struct float_host *host;  /* HOST: all that it has configured */
	unsigned n_host;
	struct addr ip;
	const char *text;               /* CONFLICT: which machine, and where; FAILED: why */
};

struct floats *floats_new(void);
void floats_free(struct floats **f);
/*
 * HOST: what is configured; before the first time nothing is done. GONE: an address vanished, though we did not take it away.
 * CONFLICT: somebody else was heard who claims it. FAILED: an ADD did not work. Step after it.
 */
void floats_news(struct floats *f, const struct float_news *news, struct mono now);
/*
 * Compare and say what to do; appends to out->act, the caller resets out->n. `want` is all agreed addresses, each once.
 * One that was held and is not in it is removed.
 */
void floats_step(struct floats *f, const struct float_want *want, unsigned n, struct mono now, struct float_out *out);
/* Let go of all, at once: this node leaves. */
void floats_leave(struct floats *f, struct float_out *out);
/* Lent until the next call on f. */
struct float_report floats_report(const struct floats *f, const char *path);
void float_out_fini(struct float_out *out);
const char *float_state_name(enum float_state s);

/*
 * Can it be a floating address at all? 0, or ERR_INVAL with the reason as a sentence's end in *why (static):
 * "is a multicast address".
 */
int float_addr_check(const struct addr *ip, unsigned prefix, const char **why);

#endif
