/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of what a unit keeps: worked out first, then made durable (and agreed) by the owner, and only
 * then carried out. A failure on the way leaves everything as it was.
 */
#ifndef SCSI_PROPOSAL_H
#define SCSI_PROPOSAL_H

#include "target/scsi/kept.h"
#include "target/task.h"

struct scsi_proposal {
	struct lu_kept next;            /* replaces the unit's */
	struct pr_outcome outcome;
	/* `next` is the unit's now. A turn, or the answer. With the owner's lock. */
	int (*commit)(struct task *t, struct scsi_proposal *p);
};

/* A copy of the unit's state to change. */
struct scsi_proposal *proposal_new(struct task *t, int (*commit)(struct task *, struct scsi_proposal *));
void proposal_free(struct scsi_proposal **p);
/* Given: SCSI_KEEP if it must be durable, else it is committed at once. */
int proposal_go(struct task *t, struct scsi_proposal **p);

#endif
