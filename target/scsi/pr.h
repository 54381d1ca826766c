/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent reservations (SPC-4 5.13) as data: the state of one logical unit, a request, and a pure step
 * from one state to the next. The same state and request give the same outcome on every node. Registrants
 * are initiator ports at target ports by name, so they outlive sessions and nodes.
 */
#ifndef SCSI_PR_H
#define SCSI_PR_H

#include <stdbool.h>
#include <stdint.h>

#define PR_REGISTRANTS_MAX 256          /* of one unit */
#define PR_OTHERS_MAX 64                /* ports that one REGISTER names */

/* SPC-4 table 65 */
enum pr_type {
	PR_NONE = 0,
	PR_WRITE_EXCLUSIVE = 1,
	PR_EXCLUSIVE_ACCESS = 3,
	PR_WRITE_EXCLUSIVE_REGISTRANTS = 5,
	PR_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	PR_WRITE_EXCLUSIVE_ALL = 7,
	PR_EXCLUSIVE_ACCESS_ALL = 8,
};

/* An I_T nexus by name: an initiator port, and the target port it comes through. */
struct pr_port {
	char initiator[224];
	uint8_t isid[6];
	char target[224];
	uint16_t tag;
};

struct pr_registrant {
	struct pr_port port;
	uint64_t key;
	bool holder;
};

struct pr_state {
	enum pr_type type;
	uint32_t generation;
	bool aptpl;                     /* survives loss of power; as the newest REGISTER said */
	bool lost;                      /* it should have survived, and is not known any more (5.13.5.3) */
	struct pr_registrant *registrants;
	unsigned n, cap;
};

/* The service actions of PERSISTENT RESERVE OUT, by their numbers. */
enum pr_service {
	PR_REGISTER, PR_RESERVE, PR_RELEASE, PR_CLEAR, PR_PREEMPT, PR_PREEMPT_ABORT, PR_REGISTER_IGNORE,
	PR_REGISTER_MOVE, PR_REPLACE_LOST,
};

struct pr_request {
	enum pr_service service;
	struct pr_port from;
	uint64_t key, service_key;
	uint8_t scope, type;
	bool aptpl;
	bool unregister;                /* REGISTER AND MOVE: the mover's registration ends */
	bool spec_i_pt;                 /* `others` came from TransportIDs of the request */
	/* REGISTER: more ports that are registered with `from` (SPEC_I_PT, ALL_TG_PT); MOVE: others[0] is the new holder. */
	const struct pr_port *others;
	unsigned n_others;
};

enum pr_result {
	PR_GOOD,
	PR_CONFLICT,                    /* RESERVATION CONFLICT */
	PR_NO_RESOURCES,                /* INSUFFICIENT REGISTRATION RESOURCES */
	PR_BAD_RELEASE,                 /* INVALID RELEASE OF PERSISTENT RESERVATION */
	PR_BAD_TYPE,                    /* byte 2 of the CDB */
	PR_BAD_MOVE,                    /* byte 1 of the CDB: there is nothing to move */
	PR_BAD_OWN_KEY,                 /* byte 0 of the parameter list: the reservation key */
	PR_BAD_KEY,                     /* byte 8 of the parameter list: the service action key */
	PR_BAD_SPEC_I_PT,               /* byte 20 */
	PR_BAD_PORT,                    /* byte 24: the TransportID */
};

/* What the ports concerned are told of a change. */
enum pr_news { PR_RESERVATION_RELEASED, PR_RESERVATION_PREEMPTED, PR_REGISTRATION_PREEMPTED };

struct pr_notice {
	struct pr_port port;
	enum pr_news news;
	bool abort;                     /* and its commands are aborted */
};

struct pr_outcome {
	enum pr_result result;
	bool changed;                   /* more than the generation */
	struct pr_notice *notices;
	unsigned n, cap;
};

void pr_init(struct pr_state *s);
void pr_fini(struct pr_state *s);
/* `to` is not initialised. */
void pr_copy(struct pr_state *to, const struct pr_state *from);
/* One request. Anything but PR_GOOD leaves the state as it was. *out: pr_outcome_fini. */
void pr_step(struct pr_state *s, const struct pr_request *q, struct pr_outcome *out);
void pr_outcome_fini(struct pr_outcome *out);
bool pr_port_eq(const struct pr_port *a, const struct pr_port *b);
const struct pr_registrant *pr_find(const struct pr_state *s, const struct pr_port *p);
bool pr_holds(const struct pr_state *s, const struct pr_registrant *g);
bool pr_type_all(enum pr_type type);            /* every registrant holds the reservation */
bool pr_type_registrants(enum pr_type type);    /* registrants may do what the holder may */
bool pr_type_exclusive(enum pr_type type);      /* others may not even read */

#endif
