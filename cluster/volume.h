/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes with copies as agreed objects (doc/ownership.md 12): /volumes/V with copies=N has legs
 * /volumes/V/legs/L; a striped one (stripe=N) has no legs of its own but shards, volumes V.0 … with part-of=V.
 * The volume's uuid is the row's, a leg object's uuid the leg's. A volume without copies= is plain: one store on
 * its node=, no owner.
 *
 * Parameters with PARAM_MACHINE (owner, epoch, left; state, turn, member, since of a leg; reservations-version)
 * are set by TXN_OWN and TXN_KEEP only, never by people. Unset, they read as follows: no owner, 0, out of sync for a leg
 * without state. A leg that is created with its volume is born in sync, one that is added later is born new: the
 * catalog does that when it applies the transaction, whatever it says.
 *
 * A plain volume gets copies in one transaction: copies= is set, and a leg is created on its node. That leg is the
 * storage that the volume had: the catalog takes it from the volume (node, backstore and so on), calls the leg in sync,
 * says in its `in-front` where the metadata goes (behind the data, doc/ownership.md 9), and makes the node the
 * owner, under epoch 1, which is over: nobody else can ever have served it.
 *
 * What nodes report (facts), for the shell, /tasks and the rules of move.h:
 *   /volumes/V         the owner's node: state, applied (the volume's generation, once director-target has it so),
 *                      error, resync-left, resync-total (bytes), resync-rate (bytes per second), scrub-done (the
 *                      scrub-asked that is over), scrub-left, scrub-total, scrub-found (regions that differed);
 *                      others may report state, applied, error of their forwarding;
 *   /volumes/V/legs/L  the leg's node: storage, applied (the leg's generation), error;
 *                      the owner's may report resync-left, resync-total, resync-rate of that leg, and an error: that
 *                      its storage is another volume's.
 */
#ifndef CLUSTER_VOLUME_H
#define CLUSTER_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/catalog.h"
#include "cluster/own.h"

#define VOLUME_LEVEL 2                  /* the schema level that brought all of this */
#define VOLUME_LUN_LEVEL 3              /* and legs that are LUNs of foreign targets: lun= instead of node= */
#define VOLUME_CONVERT_LEVEL 3          /* the one that lets a plain volume get copies */
#define VOLUME_LEG_META (1u << 20)      /* what a leg's storage has beyond the volume's size */
#define VOLUME_SHARDS_MAX 16
#define VOLUME_SHARD_UNIT (1u << 20)    /* a shard is a multiple of it; a stripe divides it */

/* ---- reading; all take the tree of the catalog, and lend its objects ---- */

bool volume_has_legs(const struct object *v);           /* copies= and no stripe= */
bool volume_is_striped(const struct object *v);         /* stripe= */
/* The volumes that have legs (shards too), in order of path: begin with NULL. */
const struct object *volume_next(const struct tree *t, const struct object *after);
/* The legs of a volume, in order of path: begin with NULL. */
const struct object *volume_leg(const struct tree *t, const struct object *v, const struct object *after);
/* The volume a leg belongs to; NULL if `leg` is none. */
const struct object *volume_of_leg(const struct tree *t, const struct object *leg);
/* The volume with this uuid; NULL: none has. */
const struct object *volume_by_uuid(const struct tree *t, const uint8_t uuid[16]);
const struct object *volume_leg_by_uuid(const struct tree *t, const struct object *v, const uint8_t uuid[16]);
/* The i-th shard of a striped volume; NULL after the last. */
const struct object *volume_shard(const struct tree *t, const struct object *v, unsigned i);
/* The identity of a node by its agreed name; false: there is no such node. And back; NULL: none. */
bool volume_node_id(const struct tree *t, const char *name, struct node_id *id);
const char *volume_node_name(const struct tree *t, const struct node_id *id);
/* The agreed row. False: it has no legs. */
bool volume_row(const struct tree *t, const struct object *v, struct own_row *row);
/* Its agreed reservations; *version 0: there never were any. Lent. */
void volume_keep(const struct object *v, uint64_t *version, const uint8_t **blob, size_t *n);

/* Have all nodes lost power since its reservations were agreed? Then only those with APTPL are left of them. */
bool volume_power_lost(const struct tree *t, const struct object *v);

/* ---- the machine's transactions: fill in request id, author and so on, then propose. ---- */

/* ERR_NOENT: no volume has this uuid. */
int volume_txn_own(const struct tree *t, const struct own_change *c, struct txn *txn);
/* The reservations go on from `version` to version + 1. The blob is copied; at most KEEP_BLOB_MAX bytes. */
int volume_txn_keep(const struct tree *t, const uint8_t volume[16], uint64_t version, const uint8_t *blob, size_t n,
                    struct txn *txn);

/* ---- lives: power ---- */

/*
 * What the machines of a view say of themselves, each another number (8 bytes, big-endian) after each start. If none of them is
 * among those seen before, all that was kept in memory is lost: /cluster says power+1, and volumes that have
 * reservations a new version of them. It is TXN_KEEP on /cluster, its version the power that it goes on from.
 * ERR_NOENT: there is no cluster.
 */
#define LIVES_MAX 32
int volume_txn_lives(const struct tree *t, const uint64_t *life, unsigned n, struct txn *txn);
/* Has this one been seen since the last loss of power? */
bool volume_life_seen(const struct tree *t, uint64_t life);

#endif
