/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reservation commands of a logical unit: RESERVE and RELEASE of SPC-2, PERSISTENT RESERVE IN and OUT of
 * SPC-4 (what they do to the state is pr.h's).
 */
#ifndef SCSI_RESERVE_H
#define SCSI_RESERVE_H

#include <stdint.h>

#include "target/scsi/lu.h"

struct task;

/* What reservations deny the nexus: a bit per enum scsi_access. */
uint32_t reserve_denied(const struct scsi_lu *lu, const struct scsi_nexus *n);

int reserve_pr_in(struct task *t);
int reserve_pr_out(struct task *t);
int reserve_reserve(struct task *t);
int reserve_release(struct task *t);
/* Work in the background, of an agreed unit: the nexus of the task is gone, or all are reset, and so is RESERVE(6)'s reservation. */
int reserve_lost(struct task *t);
int reserve_reset(struct task *t);
/* What those are told that a change concerns. */
enum scsi_ua reserve_news_ua(enum pr_news news);

#endif
