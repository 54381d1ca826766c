/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a unit keeps when all nodes agree about it (doc/ownership.md 11), as the bytes that they agree about: who proposed
 * it, the new state, and who is told what of the change that led to it.
 */
#ifndef SCSI_AGREED_H
#define SCSI_AGREED_H

#include "base/buf.h"
#include "target/scsi/kept.h"

#define AGREED_ID_LEN 24

struct scsi_lu;

struct lu_agreed {
	uint8_t id[AGREED_ID_LEN];      /* of the proposal */
	struct lu_kept kept;
	struct pr_notice *notices;
	unsigned n, cap;
};

void agreed_fini(struct lu_agreed *a);
/* Appends. */
void agreed_encode(const struct lu_agreed *a, struct buf *to);
/* 0 or ERR_MALFORMED (then *a is empty). *a is not initialised. No bytes: nothing is reserved, nothing saved. */
int agreed_decode(const uint8_t *p, size_t n, struct lu_agreed *a);

enum agreed_how {
	AGREED_FIRST,           /* nothing was known */
	AGREED_OWN,             /* proposed here: the command that did tells who is to be told */
	AGREED_NEXT,            /* what came after the last one that was taken */
	AGREED_LATER,           /* changes between were missed */
};

/*
 * The unit's state is a->kept (given) from now on, and initiators here are told what concerns them. With the unit's lock.
 * Says whether commands of nexuses (those with `abort` set) are to be aborted.
 */
bool lu_agree(struct scsi_lu *lu, struct lu_agreed *a, enum agreed_how how);

#endif
