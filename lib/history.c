/* SPDX-License-Identifier: Apache-2.0 */
/* History, blame and the schema. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "lib/priv.h"

static void entry_data(struct director_request *q, struct control_reply *r)
{
	struct director_history *h = q->arg;
	struct history_row *e;

	if (r->kind != CONTROL_R_ENTRY)
		return;
	h->e = mem_grow(h->e, &h->cap, h->n, sizeof(*h->e));
	e = &h->e[h->n++];
	*e = (struct history_row){ .index = r->entry.index, .trimmed = r->entry.trimmed };
	e->key = r->entry.key;
	e->txn.t = r->entry.txn;
	r->entry.key = NULL;
	r->entry.txn = (struct txn){ 0 };
}

static int history(struct director *d, enum control_kind kind, const char *path, uint64_t before, size_t limit,
	struct director_history **out)
{
	struct director_history *h = mem_zalloc(sizeof(*h));
	struct control_done done = { 0 };
	int err;

	do {
		struct control_req r = {
			.kind = kind, .path = (char *)path, .since = before, .limit = limit ? limit - h->n : 0,
		};

		control_done_fini(&done);
		err = request_run(d, &r, entry_data, h, &done);
		before = done.index;            /* more than one message round could hold */
	} while (!err && before && (!limit || h->n < limit));
	control_done_fini(&done);
	if (err)
		director_history_free(&h);
	*out = h;
	return err;
}

int director_history(struct director *d, const char *path, uint64_t before, size_t limit, struct director_history **h)
{
	return history(d, CONTROL_HISTORY, path, before, limit, h);
}

int director_blame(struct director *d, const char *path, struct director_history **h)
{
	return history(d, CONTROL_BLAME, path, 0, 0, h);
}

size_t director_history_n(const struct director_history *h)
{
	return h->n;
}

uint64_t director_history_index(const struct director_history *h, size_t i)
{
	return h->e[i].index;
}

uint64_t director_history_time(const struct director_history *h, size_t i)
{
	return h->e[i].txn.t.time_ms;
}

const char *director_history_author(const struct director_history *h, size_t i)
{
	return h->e[i].txn.t.author;
}

const char *director_history_node(const struct director_history *h, size_t i)
{
	return h->e[i].txn.t.node;
}

const char *director_history_message(const struct director_history *h, size_t i)
{
	return h->e[i].txn.t.message;
}

const struct director_txn *director_history_txn(const struct director_history *h, size_t i)
{
	return &h->e[i].txn;
}

bool director_history_trimmed(const struct director_history *h, size_t i)
{
	return h->e[i].trimmed;
}

const char *director_history_key(const struct director_history *h, size_t i)
{
	return h->e[i].key;
}

void director_history_free(struct director_history **p)
{
	struct director_history *h = *p;

	if (!h)
		return;
	*p = NULL;
	for (unsigned i = 0; i < h->n; i++) {
		free(h->e[i].key);
		txn_fini(&h->e[i].txn.t);
	}
	free(h->e);
	free(h);
}

/* ---- schema ---- */

static void type_data(struct director_request *q, struct control_reply *r)
{
	struct director_schema *s = q->arg;

	if (r->kind != CONTROL_R_TYPE)
		return;
	s->t = mem_grow(s->t, &s->cap, s->n, sizeof(*s->t));
	s->t[s->n++] = r->type;
	r->type = (struct control_type){ 0 };
}

int director_schema(struct director *d, struct director_schema **out)
{
	struct control_req r = { .kind = CONTROL_SCHEMA };
	struct director_schema *s = mem_zalloc(sizeof(*s));
	int err = request_run(d, &r, type_data, s, NULL);

	if (err)
		director_schema_free(&s);
	*out = s;
	return err;
}

void director_schema_free(struct director_schema **p)
{
	struct director_schema *s = *p;

	if (!s)
		return;
	*p = NULL;
	for (unsigned i = 0; i < s->n; i++)
		control_type_fini(&s->t[i]);
	free(s->t);
	free(s);
}

const char *director_schema_type(const struct director_schema *s, size_t i, const char **pattern, const char **help,
	unsigned *flags)
{
	if (i >= s->n)
		return NULL;
	if (pattern)
		*pattern = s->t[i].pattern;
	if (help)
		*help = s->t[i].help;
	if (flags)
		*flags = s->t[i].flags;
	return s->t[i].name;
}

/* "/targets/iqn.x/luns/0" fits "/targets/TARGET/luns/LUN": a name in capitals stands for any. */
static bool fits(const char *path, const char *pattern)
{
	while (*path == '/' && *pattern == '/') {
		size_t n = strcspn(++path, "/"), m = strcspn(++pattern, "/");
		bool any = *pattern >= 'A' && *pattern <= 'Z';

		if (n == 0 || (!any && (n != m || memcmp(path, pattern, n) != 0)))
			return false;
		path += n;
		pattern += m;
	}
	return !*path && !*pattern;
}

const char *director_schema_at(const struct director_schema *s, const char *path)
{
	for (unsigned i = 0; i < s->n; i++)
		if (fits(path, s->t[i].pattern))
			return s->t[i].name;
	return NULL;
}

bool director_schema_param(const struct director_schema *s, const char *type, size_t i, struct director_param_info *info)
{
	for (unsigned k = 0; k < s->n; k++) {
		const struct control_type *t = &s->t[k];
		const struct control_param *p;

		if (strcmp(t->name, type) != 0)
			continue;
		if (i >= t->n_params)
			return false;
		p = &t->params[i];
		*info = (struct director_param_info){
			.name = p->name, .kind = (enum director_param_kind)p->type, .flags = p->flags, .has_default = p->value,
			.value = p->value ? p->value : "", .choices = p->choices, .min = p->min, .max = p->max,
			.unit = p->unit, .ref = p->ref, .help = p->help,
		};
		return true;
	}
	return false;
}
