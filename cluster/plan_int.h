/* SPDX-License-Identifier: Apache-2.0 */
/* What plan.c and plan_make.c share. */
#ifndef CLUSTER_PLAN_INT_H
#define CLUSTER_PLAN_INT_H

#include "cluster/plan.h"

/* Did this very action fail, and is its wait not over? Then *due says when. r may be NULL. */
bool plan_waits(const struct plan_retry *r, const struct plan_action *a, struct mono now, struct mono *due);

#endif
