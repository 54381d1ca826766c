/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a history of one register linearizable? Every write has a value of its own, so each read names its write, and
 * Gibbons and Korach's zones decide it in O(n log n): the operations of one value must fit between two instants,
 * and these must not cross those of another value.
 */
#ifndef TESTS_CAMPAIGN_LINEAR_H
#define TESTS_CAMPAIGN_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_NEVER UINT64_MAX         /* returned: not, as far as anyone knows */

struct linear_op {
	uint64_t call, ret;     /* of one clock; ret LINEAR_NEVER: a write that may have happened, or may yet */
	uint64_t value;         /* 0: what the register held at the beginning */
	bool write;
};

enum linear_verdict {
	LINEAR_OK,
	LINEAR_UNWRITTEN,       /* a read of a value that nobody wrote */
	LINEAR_EARLY,           /* a read that ended before its write was called */
	LINEAR_TWICE,           /* a value written twice: the history is not one of ours */
	LINEAR_CROSSED,         /* two values that were both current, in turns */
	LINEAR_STALE,           /* a value seen after another one had replaced it */
};

/* Sorts `ops` of one register. On a violation `a` and `b` are the values concerned. */
enum linear_verdict linear_check(struct linear_op *ops, size_t n, uint64_t *a, uint64_t *b);
const char *linear_text(enum linear_verdict v);

#endif
