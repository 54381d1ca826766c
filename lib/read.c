/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: objects, the state of the whole. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "lib/priv.h"

_Static_assert(DIRECTOR_ALL == CONTROL_DEPTH_ALL, "one number for all levels");

static uint32_t list_flags(unsigned flags)
{
	return (flags & DIRECTOR_NAMES ? CONTROL_F_NAMES : 0) | (flags & DIRECTOR_UNSETTLED ? CONTROL_F_UNSETTLED : 0);
}

static int path_bad(struct director *d, const char *path)
{
	return path_ok(path) ? 0 : error_set(d, ERR_INVAL, NULL, NULL, "\"%s\" is not a path", path);
}

static void list_data(struct director_request *q, struct control_reply *r)
{
	struct director_list *l = q->arg;

	if (r->kind != CONTROL_R_OBJECT)
		return;
	l->o = mem_grow(l->o, &l->cap, l->n, sizeof(*l->o));
	l->o[l->n++] = object_new(&r->object);
}

int director_list(struct director *d, const char *path, uint32_t depth, const char *prefix, unsigned flags,
	struct director_list **out)
{
	struct control_req r = {
		.kind = CONTROL_LIST, .path = (char *)path, .depth = depth, .prefix = (char *)prefix, .flags = list_flags(flags),
	};
	struct director_list *l;
	int err;

	*out = NULL;
	if (path_bad(d, path) < 0)
		return ERR_INVAL;
	l = mem_zalloc(sizeof(*l));
	err = request_run(d, &r, list_data, l, NULL);
	if (err)
		director_list_free(&l);
	*out = l;
	return err;
}

int director_get(struct director *d, const char *path, struct director_object **o)
{
	struct director_list *l;
	int err = director_list(d, path, 0, NULL, 0, &l);

	*o = NULL;
	if (err)
		return err;
	if (l->n) {
		*o = l->o[0];
		l->o[0] = NULL;
	}
	director_list_free(&l);
	return *o ? 0 : error_set(d, ERR_NOENT, path, NULL, "there is no %s", path);
}

/* ---- without blocking ---- */

static void start_data(struct director_request *q, struct control_reply *r)
{
	struct director_object *o;

	if (r->kind != CONTROL_R_OBJECT || !q->object_fn)
		return;
	o = object_new(&r->object);
	q->object_fn(q->d, o, q->user);
	object_free(o);
}

struct director_request *director_list_start(struct director *d, const char *path, uint32_t depth,
	const char *prefix, unsigned flags, director_object_fn *on_object, director_done_fn *done, void *arg)
{
	struct control_req r = {
		.kind = CONTROL_LIST, .path = (char *)path, .depth = depth, .prefix = (char *)prefix, .flags = list_flags(flags),
	};
	struct director_request *q;

	error_clear(d);
	q = request_new(d, &r, start_data, request_told, NULL);
	q->object_fn = on_object;
	q->done_fn = done;
	q->user = arg;
	return q;
}

/* ---- status ---- */

static void status_data(struct director_request *q, struct control_reply *r)
{
	struct director_status *s = q->arg;

	if (r->kind != CONTROL_R_STATUS)
		return;
	control_status_fini(&s->s);
	s->s = r->status;
	r->status = (struct control_status){ 0 };
}

int director_status(struct director *d, struct director_status **out)
{
	struct control_req r = { .kind = CONTROL_STATUS };
	struct director_status *s = mem_zalloc(sizeof(*s));
	int err = request_run(d, &r, status_data, s, NULL);

	if (err)
		director_status_free(&s);
	*out = s;
	return err;
}

void director_status_free(struct director_status **s)
{
	if (!*s)
		return;
	control_status_fini(&(*s)->s);
	free(*s);
	*s = NULL;
}

const char *director_status_text(const struct director_status *s, const char *name)
{
	const struct { const char *name, *value; } rows[] = {
		{ "cluster", s->s.cluster }, { "node", s->s.node }, { "lineage", s->s.lineage },
		{ "version", s->s.version }, { "state", s->s.state },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].value ? rows[i].value : "";
	return NULL;
}

uint64_t director_status_number(const struct director_status *s, const char *name)
{
	const struct { const char *name; uint64_t value; } rows[] = {
		{ "quorate", s->s.quorate }, { "nodes", s->s.nodes }, { "alive", s->s.alive }, { "voters", s->s.voters },
		{ "voters-alive", s->s.voters_alive }, { "pending-nodes", s->s.pending_nodes }, { "index", s->s.index },
		{ "objects", s->s.objects }, { "pending", s->s.pending }, { "failed", s->s.failed },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].value;
	return 0;
}

bool director_status_warning(const struct director_status *s, size_t i, const char **path, const char **text,
	const char **hint)
{
	if (i >= s->s.n_warnings)
		return false;
	*path = s->s.warnings[i].path;
	*text = s->s.warnings[i].text;
	*hint = s->s.warnings[i].hint;
	return true;
}
