/* SPDX-License-Identifier: Apache-2.0 */
/* A live copy of a subtree: a snapshot, then numbered events; a gap brings a new snapshot. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "lib/priv.h"

struct director_mirror {
	struct director *d;
	struct director_request *q;     /* NULL: the connection broke */
	char *path;
	director_watch_fn *fn;
	void *arg;
	struct director_object **o;     /* in order of path */
	unsigned n, cap;
	unsigned round;                 /* number of the snapshot */
	bool whole, synced, lost;       /* whole: some snapshot came to its end; lost: that was told */
	uint64_t stream, seq;
	LIST_ENTRY(director_mirror) entry;
};

/* '/' before all else, so that what is below an object follows it directly. */
static int order(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return (*a == '/' ? 1 : (unsigned char)*a) - (*b == '/' ? 1 : (unsigned char)*b);
}

static unsigned place(const struct director_mirror *m, const char *path)
{
	unsigned lo = 0, hi = m->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (order(m->o[mid]->o.path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct director_mirror *m, unsigned i, const char *path)
{
	return i < m->n && strcmp(m->o[i]->o.path, path) == 0;
}

static void tell(struct director_mirror *m, enum director_change what, const struct director_object *o)
{
	if (m->fn)
		m->fn(m, what, o, m->arg);
}

/* Ages grow by themselves and are no change. */
static bool same(const struct control_object *a, const struct control_object *b)
{
	if (a->generation != b->generation || a->status != b->status || a->n_seen != b->n_seen ||
	    memcmp(a->uuid, b->uuid, 16) != 0 || strcmp(a->reason, b->reason) != 0 ||
	    !attrs_eq(&a->desired, &b->desired) || !attrs_eq(&a->derived, &b->derived))
		return false;
	for (unsigned i = 0; i < a->n_seen; i++)
		if (strcmp(a->seen[i].node, b->seen[i].node) != 0 || !attrs_eq(&a->seen[i].attrs, &b->seen[i].attrs))
			return false;
	return true;
}

static void put(struct director_mirror *m, struct control_object *from)
{
	struct director_object *o = object_new(from), *old;
	unsigned i = place(m, o->o.path);
	bool changed;

	o->round = m->round;
	if (!is_at(m, i, o->o.path)) {
		m->o = mem_grow(m->o, &m->cap, m->n, sizeof(*m->o));
		memmove(m->o + i + 1, m->o + i, (m->n - i) * sizeof(*m->o));
		m->o[i] = o;
		m->n++;
		tell(m, DIRECTOR_ADDED, o);
		return;
	}
	old = m->o[i];
	m->o[i] = o;
	changed = !same(&old->o, &o->o);
	object_free(old);
	if (changed)
		tell(m, DIRECTOR_CHANGED, o);
}

static void take(struct director_mirror *m, unsigned i)
{
	struct director_object *o = m->o[i];

	m->n--;
	memmove(m->o + i, m->o + i + 1, (m->n - i) * sizeof(*m->o));
	tell(m, DIRECTOR_REMOVED, o);
	object_free(o);
}

static void gone(struct director_mirror *m, const char *path)
{
	unsigned i = place(m, path);

	while (i < m->n && path_below(m->o[i]->o.path, path))
		take(m, i);
	if (path_below(m->path, path))
		while (m->n)
			take(m, m->n - 1);
}

static void synced(struct director_mirror *m, const struct control_reply *r)
{
	/* What is told may use the connection, and so bring more that is gone. */
	for (unsigned i = m->n; i > 0; i--)
		if (i <= m->n && m->o[i - 1]->round != m->round)
			take(m, i - 1);
	m->stream = r->stream;
	m->seq = r->seq;
	m->whole = m->synced = true;
	tell(m, DIRECTOR_SYNCED, NULL);
}

static void on_event(struct director_mirror *m, struct control_event *e)
{
	m->seq = e->seq;
	if (e->kind == CONTROL_EV_GONE)
		gone(m, e->path);
	else if (e->kind == CONTROL_EV_CHANGED && e->object)
		put(m, e->object);
}

static void on_data(struct director_request *q, struct control_reply *r)
{
	struct director_mirror *m = q->arg;

	switch (r->kind) {
	case CONTROL_R_RESET:
		m->round++;
		m->synced = false;
		break;
	case CONTROL_R_OBJECT: put(m, &r->object); break;
	case CONTROL_R_SYNCED: synced(m, r); break;
	case CONTROL_R_EVENT: on_event(m, &r->event); break;
	default: break;
	}
}

static void on_done(struct director_request *q, int code, struct control_done *d)
{
	struct director_mirror *m = q->arg;

	m->q = NULL;
	m->synced = false;
}

static void start(struct director_mirror *m)
{
	struct control_req r = {
		.kind = CONTROL_LIST, .path = m->path, .depth = CONTROL_DEPTH_ALL, .flags = CONTROL_F_FOLLOW,
	};

	m->round++;
	m->lost = false;
	if (m->whole && m->stream == m->d->stream) {
		r.flags |= CONTROL_F_RESUME;
		r.stream = m->stream;
		r.since = m->seq;
		m->synced = true;       /* a RESET will say if it is not so */
	}
	m->q = request_new(m->d, &r, on_data, on_done, m);
}

void mirrors_lost(struct director *d)
{
	struct director_mirror *m;

	LIST_FOREACH(m, &d->mirrors, entry) {
		if (!m->lost)
			tell(m, DIRECTOR_LOST, NULL);
		m->lost = true;
	}
}

void mirrors_resume(struct director *d)
{
	struct director_mirror *m;

	LIST_FOREACH(m, &d->mirrors, entry)
		if (!m->q)
			start(m);
}

int director_mirror_new(struct director *d, const char *path, director_watch_fn *fn, void *arg, struct director_mirror **out)
{
	struct director_mirror *m;
	int err;

	*out = NULL;
	if (!path_ok(path))
		return error_set(d, ERR_INVAL, NULL, NULL, "\"%s\" is not a path", path);
	err = director_connect(d);
	if (err)
		return err;
	m = mem_zalloc(sizeof(*m));
	m->d = d;
	m->path = mem_strdup(path);
	m->fn = fn;
	m->arg = arg;
	LIST_INSERT_HEAD(&d->mirrors, m, entry);
	start(m);
	*out = m;
	return 0;
}

void director_mirror_free(struct director_mirror **p)
{
	struct director_mirror *m = *p;

	if (!m)
		return;
	*p = NULL;
	if (m->q)
		request_drop(m->q);
	LIST_REMOVE(m, entry);
	for (unsigned i = 0; i < m->n; i++)
		object_free(m->o[i]);
	free(m->o);
	free(m->path);
	free(m);
}

bool director_mirror_synced(const struct director_mirror *m)
{
	return m->synced;
}

uint64_t director_mirror_seq(const struct director_mirror *m)
{
	return m->seq;
}

int director_mirror_sync(struct director_mirror *m, uint64_t timeout_ms)
{
	struct mono deadline = timeout_ms ? mono_add_ms(mono_now(), timeout_ms) : MONO_NEVER;
	int err = 0;

	while (!err && !m->synced)
		err = conn_wait(m->d, deadline);
	return err ? err : error_clear(m->d);
}

const struct director_object *director_mirror_get(const struct director_mirror *m, const char *path)
{
	unsigned i = place(m, path);

	return is_at(m, i, path) ? m->o[i] : NULL;
}

const struct director_object *director_mirror_next(const struct director_mirror *m, const char *path)
{
	unsigned i = path ? place(m, path) : 0;

	if (path && is_at(m, i, path))
		i++;
	return i < m->n ? m->o[i] : NULL;
}

size_t director_mirror_n(const struct director_mirror *m)
{
	return m->n;
}
