/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small values that the runner keeps in the store, as bytes: the volumes made here, the members last
 * seen. Ours, but from a disk: damaged ones are refused.
 */
#ifndef DIRECTORD_RECORD_H
#define DIRECTORD_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "cluster/cluster.h"

void record_encode(const struct cluster_record *rec, struct buf *out);
/* *rec is overwritten; record_fini it after success. ERR_MALFORMED. */
int record_decode(const void *p, size_t n, struct cluster_record *rec);
void record_fini(struct cluster_record *rec);

/* Addresses, one a line. */
void addrs_encode(const struct addr *a, unsigned n, struct buf *out);
/* Lines that are no address are left out. */
unsigned addrs_decode(const void *p, size_t n, struct addr *out, unsigned max);

#endif
