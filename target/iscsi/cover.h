/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a transfer are here: a set of ranges. Data in order is one range from 0 and needs no memory;
 * others are kept sorted and apart.
 */
#ifndef ISCSI_COVER_H
#define ISCSI_COVER_H

#include <stdbool.h>
#include <stdint.h>

struct cover_range {
	uint32_t from, to;
};

struct cover {
	uint32_t head;                  /* [0, head) is here */
	uint32_t n, cap;
	struct cover_range *more;       /* beyond head, sorted, none touches another */
};

/* Zeroed memory is an empty set. */
void cover_fini(struct cover *c);
void cover_add(struct cover *c, uint32_t from, uint32_t to);
/* The first part of [from, to) that is not here; false: all of it is. */
bool cover_hole(const struct cover *c, uint32_t from, uint32_t to, struct cover_range *hole);
/* Is any byte of [from, to) here? */
bool cover_touches(const struct cover *c, uint32_t from, uint32_t to);
/* Bytes that are here. */
uint32_t cover_bytes(const struct cover *c);

#endif
