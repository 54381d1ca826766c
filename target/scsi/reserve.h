/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reservations of a logical unit: SPC-2 RESERVE/RELEASE and SPC-4 persistent reservations. State only, with
 * pure functions over it: what the cluster will replicate. Registrants are initiator ports by name, so they
 * outlive sessions.
 */
#ifndef SCSI_RESERVE_H
#define SCSI_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

struct scsi_it;
struct scsi_lu;
struct scsi_nexus;

#define RESERVE_KEYS_MAX 256            /* registrations of one unit */

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

/* Who: an initiator port and the target port it came through. */
struct pr_port {
	char initiator[224];
	uint8_t isid[6];
	uint16_t tag;
};

struct pr_registrant {
	struct pr_port port;
	uint64_t key;
	bool holder;
};

struct scsi_reserve {
	struct scsi_nexus *spc2;        /* holds RESERVE(6)'s reservation */
	enum pr_type type;
	uint32_t generation;
	struct pr_registrant *registrants;
	unsigned n, cap;
};

void reserve_fini(struct scsi_reserve *r);
/* Work out `denied` of every nexus anew; after each change of reservations or nexuses. */
void reserve_apply(struct scsi_lu *lu);

struct task;
int reserve_pr_in(struct task *t);
int reserve_pr_out(struct task *t);
int reserve_reserve6(struct task *t);
int reserve_release6(struct task *t);

#endif
