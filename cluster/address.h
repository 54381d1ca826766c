/* SPDX-License-Identifier: Apache-2.0 */
/* Floating addresses as agreed objects: /targets/T/addresses/ADDR-LEN. What to do with them is cluster/float.h. */
#ifndef CLUSTER_ADDRESS_H
#define CLUSTER_ADDRESS_H

#include <stdbool.h>

#include "base/addr.h"
#include "cluster/overlay.h"
#include "cluster/schema.h"
#include "cluster/tree.h"

/* "10.0.0.9-24" as address and prefix; ERR_INVAL: it is none. Whether it may float is float_addr_check's. */
int address_parse(const char *name, struct addr *ip, unsigned *prefix);
/* The object of a target's first LUN: the one with the lowest number; NULL: it has none. */
const struct object *address_lun(const struct tree *t, const char *target);
/*
 * The volume whose right decides where the target's addresses are: that of the first LUN, of a striped one the first
 * shard. NULL: the target has no LUN.
 */
const struct object *address_volume(const struct tree *t, const char *target);
/* The name of the node that should have the target's addresses; NULL: nobody may serve the volume yet. */
const char *address_node(const struct tree *t, const char *target);
/* No two targets have one address. Judges the addresses that the overlay creates. */
int address_check_unique(const struct overlay *o, struct why *why);

#endif
