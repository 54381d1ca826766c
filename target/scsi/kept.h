/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a logical unit keeps over a loss of power, as data with its bytes: persistent reservations (APTPL),
 * saved mode pages, whether a sanitize operation is owed. Written whole or not at all; what the cluster
 * replicates.
 */
#ifndef SCSI_KEPT_H
#define SCSI_KEPT_H

#include <stddef.h>

#include "base/buf.h"
#include "target/scsi/pr.h"

#define LU_THRESHOLDS 2                 /* of logical block provisioning */
#define LU_KEPT_MAX (256u << 10)        /* bytes */

/* SBC-3 6.5.8: a threshold descriptor. */
struct lu_threshold {
	bool enabled;
	uint8_t resource;               /* 1: available LBA mapping resources, 2: used */
	uint8_t arming;                 /* 0: decreasing, 1: increasing */
	uint32_t count;                 /* in threshold sets */
};

/* The mode pages that may change. */
struct lu_mode {
	bool wce;                       /* false: every write is made stable */
	bool swp;                       /* software write protect */
	bool d_sense;                   /* descriptor format sense */
	bool lbpere;                    /* thresholds are reported */
	struct lu_threshold thresholds[LU_THRESHOLDS];
};

enum lu_sanitize { SANITIZE_IDLE, SANITIZE_RUNNING, SANITIZE_FAILED };

/* What a SANITIZE is to do, for whoever has to go on with it. Memory of its own. */
struct sanitize_op {
	uint8_t service;                /* 1: overwrite, 2: block erase */
	uint8_t passes;
	bool invert;                    /* the pattern, between passes */
	uint16_t len;                   /* of the pattern, which repeats within each block */
	uint8_t pattern[];
};

struct lu_kept {
	struct pr_state pr;
	struct lu_mode saved;
	bool has_saved;                 /* else the pages' defaults hold */
	enum lu_sanitize sanitize;
	bool sanitize_exit;             /* EXIT FAILURE MODE may end a failure (AUSE) */
	struct sanitize_op *op;         /* of SANITIZE_RUNNING; NULL: not known. Kept only where nodes agree: another one goes on */
	/* What nodes agree about: reservations without APTPL too, and those of SPC-2. */
	bool all;
	bool has_spc2;
	struct pr_port spc2;            /* holds RESERVE(6)'s reservation */
};

void kept_fini(struct lu_kept *k);
void kept_copy(struct lu_kept *to, const struct lu_kept *from);
/* Appends. Reservations without APTPL are left out, but for `all`. */
void kept_encode(const struct lu_kept *k, struct buf *to);
/* 0 or ERR_MALFORMED (then *k is empty). *k is not initialised. */
int kept_decode(const uint8_t *p, size_t n, struct lu_kept *k);
/*
 * All power was lost: reservations without APTPL are gone, and those of SPC-2; the generation begins anew (SPC-4 5.13.2, 5.13.5).
 */
void kept_power_lost(struct lu_kept *k);
/* Would the bytes be the same? */
bool kept_same(const struct lu_kept *a, const struct lu_kept *b);

#endif
