/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asymmetric logical unit access (SPC-4 5.15): the target port groups of a unit and their states, as data
 * that the owner of the unit sets and that SET TARGET PORT GROUPS may change. A group is known by the tag
 * of its target ports: a node's ports of a unit are one group.
 */
#ifndef SCSI_ALUA_H
#define SCSI_ALUA_H

#include <stdbool.h>
#include <stdint.h>

#define ALUA_GROUPS_MAX 32

/* SPC-4 table 36 */
enum alua_state {
	ALUA_OPTIMIZED = 0x0,
	ALUA_NONOPTIMIZED = 0x1,
	ALUA_STANDBY = 0x2,
	ALUA_UNAVAILABLE = 0x3,
	ALUA_TRANSITIONING = 0xf,
};

/* STATUS CODE of a target port group descriptor: what changed the state last. */
enum alua_status { ALUA_BY_NONE, ALUA_BY_COMMAND, ALUA_BY_ITSELF };

struct alua_group {
	uint16_t id;                    /* its ports' tag, and their relative target port identifier */
	uint8_t state;                  /* enum alua_state */
	uint8_t status;                 /* enum alua_status */
	bool preferred;
};

struct alua {
	struct alua_group groups[ALUA_GROUPS_MAX];      /* sorted by id */
	unsigned n;                     /* 0: every port is active/optimized */
	bool explicit_ok;               /* SET TARGET PORT GROUPS is offered */
	uint8_t transition_s;           /* how long a transition may take; 0: no advice */
};

struct scsi_lu;
struct scsi_nexus;

bool alua_state_ok(unsigned state);
/* Any order, no id twice, states that exist. */
bool alua_ok(const struct alua *a);
const struct alua_group *alua_group(const struct alua *a, uint16_t id);
enum alua_state alua_state_of(const struct alua *a, uint16_t id);

/*
 * With the owner's lock: the unit's groups are these from now on; what changed is by itself (implicit), and
 * every initiator is told (ASYMMETRIC ACCESS STATE CHANGED). Returns whether anything did.
 */
bool lu_alua_set(struct scsi_lu *lu, const struct alua *a);

struct task;
int alua_report(struct task *t);        /* REPORT TARGET PORT GROUPS */
int alua_set(struct task *t);           /* SET TARGET PORT GROUPS */

#endif
