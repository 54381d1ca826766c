/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the node that proposes does to a transaction before it is agreed: everything that a rule decides
 * is decided here, once, from what this node sees, and written into the entry. So the agreed entry is
 * explicit, and applying it needs no facts.
 */
#ifndef CLUSTER_PREPARE_H
#define CLUSTER_PREPARE_H

#include "cluster/names.h"
#include "cluster/txn.h"

/*
 * Bring `t` into its final form, in place:
 *  - names and values into normal form;
 *  - a volume without node= is placed: a member that is alive, not drained, has the backstore, and the most
 *    space left after what is agreed for it already; then fewest volumes; then by name;
 *  - a volume with device= gets its path= (and size=) from the node's report, if nothing uses the device;
 *  - parameters "p.x" are checked and normalised against the plugin's table as that node reports it;
 *  - /targets/T/luns/auto becomes the lowest free number;
 *  - a new target without a portal gets the one that /cluster says (portal=, "[::]:3260"), unless the transaction deletes it;
 *  - fence=NAME names a fence plugin that some node has.
 * 0, or an error with `why`; the txn is then only good for txn_fini.
 */
int catalog_prepare(const struct names *n, struct txn *t, struct mono now, struct why *why);

#endif
