/* SPDX-License-Identifier: Apache-2.0 */
/* What volumes hashed to when they were last planned. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/plan_int.h"

struct memo_line {
	bool used;
	uint8_t uuid[16], context[16], hash[16];
	struct plan_from from;
	uint64_t size;
};

struct plan_memo *plan_memo_new(void)
{
	return mem_zalloc(sizeof(struct plan_memo));
}

void plan_memo_free(struct plan_memo **m)
{
	if (*m)
		free((*m)->line);
	free(*m);
	*m = NULL;
}

const char *plan_memo_check(struct plan_memo *m)
{
	bool wrong = m->wrong;

	m->check = true;
	m->wrong = false;
	return wrong ? "a volume hashes to something else than is remembered" : NULL;
}

unsigned plan_uuid_slot(const uint8_t uuid[16], unsigned n)
{
	uint64_t a, b;

	memcpy(&a, uuid, sizeof(a));
	memcpy(&b, uuid + 8, sizeof(b));
	a = (a ^ b * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
	return (unsigned)(a >> 32) & (n - 1);
}

void memo_room(struct plan_memo *m, unsigned n)
{
	unsigned want = 64;

	while (want < 4 * n)
		want *= 2;
	/* A quarter of it is what there is now; as much again may be of volumes that are gone. */
	if (m->n_lines >= want && m->n <= m->n_lines / 2)
		return;
	free(m->line);
	m->line = mem_zalloc(want * sizeof(*m->line));
	m->n_lines = want;
	m->n = 0;
}

static struct memo_line *line_at(const struct plan_memo *m, const uint8_t uuid[16])
{
	unsigned k = plan_uuid_slot(uuid, m->n_lines);

	while (m->line[k].used && memcmp(m->line[k].uuid, uuid, 16) != 0)
		k = (k + 1) & (m->n_lines - 1);
	return &m->line[k];
}

const uint8_t *memo_find(const struct plan_memo *m, const uint8_t uuid[16], const struct plan_from *from, uint64_t *size)
{
	const struct memo_line *l = line_at(m, uuid);

	if (!l->used || l->from.kind != from->kind || l->from.at != from->at || l->from.epoch != from->epoch ||
	    memcmp(&l->from.objects, &from->objects, sizeof(from->objects)) != 0 || memcmp(l->context, m->context, sizeof(m->context)) != 0)
		return NULL;
	*size = l->size;
	return l->hash;
}

void memo_put(struct plan_memo *m, const uint8_t uuid[16], const struct plan_from *from, const uint8_t hash[16], uint64_t size)
{
	struct memo_line *l = line_at(m, uuid);

	m->n += !l->used;
	l->used = true;
	l->from = *from;
	l->size = size;
	memcpy(l->uuid, uuid, 16);
	memcpy(l->context, m->context, sizeof(l->context));
	memcpy(l->hash, hash, 16);
}
