/* SPDX-License-Identifier: Apache-2.0 */
/* A node that is to be switched off, as a request to a plugin of kind fence. */
#ifndef DIRECTORD_FENCE_H
#define DIRECTORD_FENCE_H

#include <stdint.h>

#include "cluster/cluster.h"

struct plugins;

/* `done` is called once, with err 0 only when the plugin says that the node is off; it may be from inside. */
void fence_off(struct plugins *ps, uint64_t act, const struct cluster_fence *f,
               void (*done)(void *arg, uint64_t act, int err, const char *text), void *arg);

#endif
