/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node's whole control plane as a state machine: gossip, agreement, namespace, admission, plans.
 * It takes (state, event, now) and returns actions as data; the runner in directord/ and the simulator
 * do them. Nothing here touches the world.
 *
 * Order of the output is the safety rule: `put` must be durable before any `cast`, `mesh` or `reply`
 * that the core gives after it was told so (CLUSTER_STORED); what stands in the same output as a `put`
 * does not depend on it.
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/mono.h"
#include "cluster/agree.h"
#include "cluster/catalog.h"
#include "cluster/facts.h"
#include "cluster/gossip.h"
#include "cluster/id.h"
#include "cluster/keys.h"
#include "cluster/names.h"
#include "cluster/plan.h"
#include "cluster/roster.h"
#include "cluster/txn.h"
