/* SPDX-License-Identifier: Apache-2.0 */
/* The zones of Gibbons and Korach, "Testing shared memories" (1997), section 4: registers whose reads name their writes. */
#include "tests/campaign/linear.h"

#include <stdlib.h>

/* All operations of one value: the earliest end and the latest start among them. */
struct zone {
	uint64_t value, end, start;
};

static int by_value(const void *x, const void *y)
{
	const struct linear_op *a = x, *b = y;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return (int)b->write - (int)a->write;
}

static int by_end(const void *x, const void *y)
{
	const struct zone *a = x, *b = y;

	return a->end < b->end ? -1 : a->end > b->end;
}

/* The zone of the value whose operations start at `ops`; `n` is set to their number. */
static enum linear_verdict gather(const struct linear_op *ops, size_t left, size_t *n, struct zone *z)
{
	uint64_t called = 0;
	size_t i = 0;

	*z = (struct zone){ .value = ops->value, .end = LINEAR_NEVER };
	if (ops->value == 0)
		z->end = 0;
	else if (!ops->write)
		return LINEAR_UNWRITTEN;
	else
		called = ops->call;
	for (; i < left && ops[i].value == z->value; i++) {
		if (ops[i].write && i > 0)
			return LINEAR_TWICE;
		if (!ops[i].write && ops[i].ret < called)
			return LINEAR_EARLY;
		if (ops[i].ret < z->end)
			z->end = ops[i].ret;
		if (ops[i].call > z->start)
			z->start = ops[i].call;
	}
	*n = i;
	return LINEAR_OK;
}

/* Forward zones: from `end` on the value was current, until `start` at least. No two of them may overlap. */
static enum linear_verdict check_forward(const struct zone *f, size_t n, uint64_t *a, uint64_t *b)
{
	for (size_t i = 1; i < n; i++)
		if (f[i].end < f[i - 1].start) {
			*a = f[i - 1].value;
			*b = f[i].value;
			return LINEAR_CROSSED;
		}
	return LINEAR_OK;
}

/* A backward zone needs one instant in [start, end]: not all of that may lie inside a forward zone. */
static enum linear_verdict check_backward(const struct zone *f, size_t n, const struct zone *z, uint64_t *a, uint64_t *b)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f[mid].end < z->start)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0 || z->end >= f[low - 1].start)
		return LINEAR_OK;
	*a = f[low - 1].value;
	*b = z->value;
	return LINEAR_STALE;
}

enum linear_verdict linear_check(struct linear_op *ops, size_t n, uint64_t *a, uint64_t *b)
{
	struct zone *zones = calloc(n + 1, 2 * sizeof(*zones)), *back = zones + n + 1;
	size_t n_forward = 0, n_back = 0, len;
	enum linear_verdict v = LINEAR_OK;

	if (!zones)
		abort();
	qsort(ops, n, sizeof(*ops), by_value);
	for (size_t i = 0; i < n && v == LINEAR_OK; i += len) {
		struct zone z;

		v = gather(ops + i, n - i, &len, &z);
		*a = *b = z.value;
		if (v != LINEAR_OK || z.end == LINEAR_NEVER)
			continue;       /* a write that may have happened, and nobody saw */
		if (z.end < z.start)
			zones[n_forward++] = z;
		else
			back[n_back++] = z;
	}
	if (v == LINEAR_OK) {
		qsort(zones, n_forward, sizeof(*zones), by_end);
		v = check_forward(zones, n_forward, a, b);
	}
	for (size_t i = 0; i < n_back && v == LINEAR_OK; i++)
		v = check_backward(zones, n_forward, &back[i], a, b);
	free(zones);
	return v;
}

const char *linear_text(enum linear_verdict v)
{
	static const char *const text[] = {
		[LINEAR_OK] = "linearizable", [LINEAR_UNWRITTEN] = "a value was read that nobody wrote",
		[LINEAR_EARLY] = "a value was read before its write was called",
		[LINEAR_TWICE] = "a value was written twice", [LINEAR_CROSSED] = "two values were current in turns",
		[LINEAR_STALE] = "a value was seen that had been replaced",
	};

	return text[v];
}
