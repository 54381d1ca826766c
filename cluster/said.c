/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and attributes, each once. */
#include "cluster/said.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int attrs_cmp(const struct attrs *a, const struct attrs *b)
{
	int d = a->n < b->n ? -1 : a->n > b->n;

	for (unsigned i = 0; d == 0 && i < a->n; i++) {
		d = strcmp(a->a[i].key, b->a[i].key);
		if (d == 0)
			d = strcmp(a->a[i].value, b->a[i].value);
	}
	return d;
}

static int said_cmp(const struct said *a, const struct said *b)
{
	int d = strcmp(a->path, b->path);

	return d ? d : attrs_cmp(&a->attrs, &b->attrs);
}

RB_GENERATE_INTERNAL(said_pool, said, link, said_cmp, __attribute__((unused)) static)

static char *put(char **room, const char *text)
{
	size_t n = strlen(text) + 1;
	char *at = memcpy(*room, text, n);

	*room += n;
	return at;
}

static struct said *said_new(const struct said *key)
{
	size_t bytes = sizeof(struct said) + key->attrs.n * sizeof(struct attr) + strlen(key->path) + 1;
	struct said *s;
	char *room;

	for (unsigned i = 0; i < key->attrs.n; i++)
		bytes += strlen(key->attrs.a[i].key) + strlen(key->attrs.a[i].value) + 2;
	s = mem_zalloc(bytes);
	s->attrs = (struct attrs){ .a = key->attrs.n ? (struct attr *)(s + 1) : NULL, .n = key->attrs.n, .cap = key->attrs.n };
	room = (char *)((struct attr *)(s + 1) + key->attrs.n);
	s->path = put(&room, key->path);
	for (unsigned i = 0; i < key->attrs.n; i++) {
		s->attrs.a[i].key = put(&room, key->attrs.a[i].key);
		s->attrs.a[i].value = put(&room, key->attrs.a[i].value);
	}
	return s;
}

struct said *said_hold(struct said_pool *pool, const char *path, const struct attrs *attrs)
{
	struct said key = { .holders = 0 }, *s;

	/* It only lends its path to the comparison. */
	memcpy(&key.path, &path, sizeof(path));
	if (attrs)
		key.attrs = *attrs;
	s = RB_FIND(said_pool, pool, &key);
	if (!s) {
		s = said_new(&key);
		RB_INSERT(said_pool, pool, s);
	}
	s->holders++;
	return s;
}

void said_drop(struct said_pool *pool, struct said **sp)
{
	struct said *s = *sp;

	*sp = NULL;
	if (!s || --s->holders)
		return;
	RB_REMOVE(said_pool, pool, s);
	free(s);
}
