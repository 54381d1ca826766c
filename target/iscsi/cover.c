/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ranges. */
#include "target/iscsi/cover.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void cover_fini(struct cover *c)
{
	free(c->more);
	*c = (struct cover){ 0 };
}

static void drop(struct cover *c, uint32_t at, uint32_t n)
{
	memmove(c->more + at, c->more + at + n, (c->n - at - n) * sizeof(*c->more));
	c->n -= n;
}

/* The head has grown: take in the ranges that it reaches. */
static void swallow(struct cover *c)
{
	uint32_t i = 0;

	while (i < c->n && c->more[i].from <= c->head) {
		if (c->more[i].to > c->head)
			c->head = c->more[i].to;
		i++;
	}
	if (i)
		drop(c, 0, i);
}

static void insert(struct cover *c, uint32_t at, uint32_t from, uint32_t to)
{
	c->more = mem_grow(c->more, &c->cap, c->n, sizeof(*c->more));
	memmove(c->more + at + 1, c->more + at, (c->n - at) * sizeof(*c->more));
	c->more[at] = (struct cover_range){ from, to };
	c->n++;
}

void cover_add(struct cover *c, uint32_t from, uint32_t to)
{
	uint32_t i = 0, k;

	if (from >= to)
		return;
	if (from <= c->head) {
		if (to > c->head)
			c->head = to;
		if (c->n)
			swallow(c);
		return;
	}
	while (i < c->n && c->more[i].to < from)
		i++;
	for (k = i; k < c->n && c->more[k].from <= to; k++) {
		if (c->more[k].from < from)
			from = c->more[k].from;
		if (c->more[k].to > to)
			to = c->more[k].to;
	}
	if (k == i) {
		insert(c, i, from, to);
		return;
	}
	c->more[i] = (struct cover_range){ from, to };
	drop(c, i + 1, k - i - 1);
}

bool cover_hole(const struct cover *c, uint32_t from, uint32_t to, struct cover_range *hole)
{
	uint32_t i = 0;

	if (from < c->head)
		from = c->head;
	for (; i < c->n && c->more[i].from <= from; i++)
		if (c->more[i].to > from)
			from = c->more[i].to;
	if (from >= to)
		return false;
	hole->from = from;
	hole->to = i < c->n && c->more[i].from < to ? c->more[i].from : to;
	return true;
}

bool cover_touches(const struct cover *c, uint32_t from, uint32_t to)
{
	struct cover_range h;

	if (from >= to)
		return false;
	return !cover_hole(c, from, to, &h) || h.from != from || h.to != to;
}

uint32_t cover_bytes(const struct cover *c)
{
	uint32_t n = c->head;

	for (uint32_t i = 0; i < c->n; i++)
		n += c->more[i].to - c->more[i].from;
	return n;
}
