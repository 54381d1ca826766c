/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of agreement. */
#include "tests/sim/agree_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

void check_init(struct check *c, struct world *w)
{
	memset(c, 0, sizeof(*c));
	c->w = w;
}

void check_fini(struct check *c)
{
	for (unsigned i = 0; i < c->n_entry; i++)
		free(c->entry[i].roster);
	free(c->entry);
	free(c->req);
}

void check_break(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->broken[0])
		return;
	va_start(ap, fmt);
	vsnprintf(c->broken, sizeof(c->broken), fmt, ap);
	va_end(ap);
	world_trace(c->w, "BROKEN: %s", c->broken);
}

static struct check_entry *entry_at(struct check *c, uint64_t index)
{
	while (c->n_entry <= index) {
		c->entry = mem_grow(c->entry, &c->entry_cap, c->n_entry, sizeof(*c->entry));
		memset(&c->entry[c->n_entry++], 0, sizeof(*c->entry));
	}
	return &c->entry[index];
}

void check_found(struct check *c, const struct roster *r)
{
	entry_at(c, 1)->roster = mem_dup(r, sizeof(*r));
}

const struct roster *check_roster(const struct check *c, uint64_t index)
{
	if (index == 0 || index >= c->n_entry)
		index = c->n_entry ? c->n_entry - 1 : 0;
	for (; index > 0; index--)
		if (c->entry[index].roster)
			return c->entry[index].roster;
	return NULL;
}

struct check_request *check_request(struct check *c, const struct agree_rid *rid)
{
	for (unsigned i = c->n_req; i-- > 0;)
		if (memcmp(c->req[i].rid.b, rid->b, sizeof(rid->b)) == 0)
			return &c->req[i];
	return NULL;
}

void check_asked(struct check *c, const struct agree_rid *rid)
{
	struct check_request *r = check_request(c, rid);

	if (!r) {
		c->req = mem_grow(c->req, &c->req_cap, c->n_req, sizeof(*c->req));
		r = &c->req[c->n_req++];
		memset(r, 0, sizeof(*r));
		r->rid = *rid;
	}
	r->n_open++;
}

/* I8: what is handed out first must rest on a majority of the roster it was committed under. */
static void majority_has_it(struct check *c, unsigned node, const struct agree_entry *e, const struct roster *r,
			    const char *which)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++)
		if (r->node[i].role == ROSTER_VOTER)
			n += c->durable(c->ctx, &r->node[i].id, e->index, &e->chain);
	if (n < roster_majority(r))
		check_break(c, "I8: node %u hands out entry %llu, which %u of %u voters of the %s roster have on disk", node,
			    (unsigned long long)e->index, n, roster_n_voters(r), which);
}

static void first_commit(struct check *c, unsigned node, const struct agree_entry *e)
{
	struct check_request *r = check_request(c, &e->rid);
	const struct roster *before = check_roster(c, e->index - 1);
	struct check_entry *k = entry_at(c, e->index);

	k->chain = e->chain;
	k->rid = e->rid;
	if (before)
		majority_has_it(c, node, e, before, "old");
	if (e->kind == AGREE_ROSTER) {
		k->roster = mem_zalloc(sizeof(*k->roster));
		c->n_roster++;
		if (roster_unpack(e->payload, e->len, k->roster) < 0)
			check_break(c, "I7: entry %llu is no roster", (unsigned long long)e->index);
		else
			majority_has_it(c, node, e, k->roster, "new");
	}
	if (!r) {
		check_break(c, "I7: entry %llu was never asked for", (unsigned long long)e->index);
		return;
	}
	if (r->index)
		check_break(c, "I7: one request applied twice, at %llu and %llu", (unsigned long long)r->index,
			    (unsigned long long)e->index);
	if (!r->n_open && !r->doubt)
		check_break(c, "I12: entry %llu is committed, and its request was refused without doubt",
			    (unsigned long long)e->index);
	r->index = e->index;
}

void check_commit(struct check *c, unsigned node, const struct agree_entry *e)
{
	if (e->index >= c->n_entry || memcmp(c->entry[e->index].chain.b, (struct agree_chain){ { 0 } }.b, 16) == 0) {
		/* Not known here yet: entries in between were handed out before, or go out in order. */
		first_commit(c, node, e);
		return;
	}
	if (memcmp(c->entry[e->index].chain.b, e->chain.b, sizeof(e->chain.b)) != 0)
		check_break(c, "I7: node %u has another entry %llu than was committed", node, (unsigned long long)e->index);
}

void check_hash(struct check *c, unsigned node, uint64_t index, const uint8_t *hash)
{
	struct check_entry *k = entry_at(c, index);

	if (k->has_hash && memcmp(k->hash, hash, AGREE_HASH_LEN) != 0)
		check_break(c, "I7: node %u has another state at entry %llu", node, (unsigned long long)index);
	k->has_hash = true;
	memcpy(k->hash, hash, AGREE_HASH_LEN);
}

void check_result(struct check *c, unsigned node, const struct agree_rid *rid, int32_t result)
{
	struct check_request *r = check_request(c, rid);

	if (r)
		r->result = result;
}

void check_reply(struct check *c, unsigned node, const struct agree_reply *r)
{
	struct check_request *q = check_request(c, &r->rid);

	if (!q || q->n_open == 0) {
		check_break(c, "I12: node %u answers what it was not asked", node);
		return;
	}
	q->n_open--;
	if (r->err == 0) {
		if (q->index != r->index)
			check_break(c, "I7: node %u says committed at %llu, it is at %llu", node, (unsigned long long)r->index,
				    (unsigned long long)q->index);
		else if (q->result != r->result)
			check_break(c, "I7: node %u answers result %d, it was %d", node, r->result, q->result);
		q->answered_ok = true;
		c->n_ok++;
		if (r->index > c->acked)
			c->acked = r->index;
		return;
	}
	if (r->err > 0 || strcmp(err_name(r->err), "unknown") == 0)
		check_break(c, "I12: node %u refuses with %d", node, r->err);
	c->n_refused++;
	if (r->in_doubt) {
		q->doubt = true;
		c->n_doubt++;
	}
}

void check_lost(struct check *c, const struct agree_rid *rid)
{
	struct check_request *q = check_request(c, rid);

	if (q && q->n_open) {
		q->n_open--;
		q->doubt = true;
	}
}
