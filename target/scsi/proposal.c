/* SPDX-License-Identifier: Apache-2.0 */
/* From a proposal to a fact. */
#include "target/scsi/proposal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "target/scsi/sense.h"

struct scsi_proposal *proposal_new(struct task *t, int (*commit)(struct task *, struct scsi_proposal *))
{
	struct scsi_proposal *p = mem_zalloc(sizeof(*p));

	kept_copy(&p->next, &task_lu(t)->kept);
	p->commit = commit;
	return p;
}

void proposal_free(struct scsi_proposal **p)
{
	if (!*p)
		return;
	kept_fini(&(*p)->next);
	pr_outcome_fini(&(*p)->outcome);
	free(*p);
	*p = NULL;
}

static int commit(struct task *t, struct scsi_proposal *p)
{
	struct scsi_lu *lu = task_lu(t);
	struct lu_kept before = lu->kept;
	int turn;

	/* What is agreed is in effect already (lu_agree). */
	if (!lu->kept.all) {
		lu->kept = p->next;
		p->next = before;
		lu_gates(lu);
	}
	turn = p->commit(t, p);
	proposal_free(&p);
	return turn;
}

int proposal_go(struct task *t, struct scsi_proposal **given)
{
	struct scsi_proposal *p = *given;

	*given = NULL;
	if (kept_same(&task_lu(t)->kept, &p->next))
		return commit(t, p);
	t->scsi.next_kept = p;
	return SCSI_KEEP;
}

const struct lu_kept *scsi_proposed(const struct task *t)
{
	return &t->scsi.next_kept->next;
}

const struct pr_outcome *scsi_proposed_outcome(const struct task *t)
{
	return &t->scsi.next_kept->outcome;
}

enum scsi_turn scsi_kept(struct task *t, int err)
{
	struct scsi_proposal *p = t->scsi.next_kept;

	t->scsi.next_kept = NULL;
	if (err == 0)
		return (enum scsi_turn)commit(t, p);
	proposal_free(&p);
	return (enum scsi_turn)scsi_check(t, SENSE_HARDWARE_ERROR, ASC_INTERNAL);
}
