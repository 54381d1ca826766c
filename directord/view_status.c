/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state at a glance, at a cost of what changed: the objects that are not converged are kept as a set,
 * and each event of the namespace says which of them to look at again.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/buf.h"
#include "base/mem.h"
#include "directord/view_priv.h"

#define WARNINGS_MAX 10         /* failed objects named in a status */

static void note(struct view *v, const struct names_entry *e)
{
	const char *word = e->status == STATUS_PENDING ? "pending" : e->status == STATUS_FAILED ? "failed" : NULL;

	attrs_set(&v->unsettled, e->path, e->desired ? word : NULL);
}

static int note_one(void *arg, const struct names_entry *e)
{
	note(arg, e);
	return 0;
}

static void forget_below(struct view *v, const char *path)
{
	for (unsigned i = v->unsettled.n; i > 0; i--)
		if (path_below(v->unsettled.a[i - 1].key, path))
			attrs_set(&v->unsettled, v->unsettled.a[i - 1].key, NULL);
}

/* What an event at `path` may have changed: the whole target, whose report speaks for all of it, or volume, whose legs do. */
static void check(struct view *v, const char *path)
{
	char top[PATH_LEN_MAX], up[PATH_LEN_MAX];

	memcpy(top, path, strlen(path) + 1);
	if (path_below(path, "/targets") || path_below(path, "/volumes"))
		while (path_depth(top) > 2) {
			path_parent(top, up);
			memcpy(top, up, strlen(up) + 1);
		}
	if (!catalog_get(catalog_of(v), top))
		forget_below(v, top);
	else if (path_below(top, "/targets") || path_below(top, "/volumes"))
		names_walk(v->names, top, UINT32_MAX, mono_now(), note_one, v);
	else if (names_get(v->names, top, mono_now(), &v->check) == 0)
		note(v, &v->check);
	if (!catalog_get(catalog_of(v), path))
		forget_below(v, path);
}

/* A node came or went: volumes with a leg there may have got worse or better. */
static void check_node(struct view *v, const char *path)
{
	const struct object *leg = NULL;

	while ((leg = tree_referrer(catalog_tree(catalog_of(v)), path, leg)))
		if (leg->type->id == TYPE_LEG)
			check(v, leg->path);
}

static void check_all(struct view *v)
{
	attrs_fini(&v->unsettled);
	v->checked = names_seq(v->names);
	v->checked_all = true;
	names_walk(v->names, "/volumes", UINT32_MAX, mono_now(), note_one, v);
	names_walk(v->names, "/targets", UINT32_MAX, mono_now(), note_one, v);
}

static void catch_up(struct view *v)
{
	if (!v->checked_all)
		check_all(v);
	for (;;) {
		bool gap = false;
		const struct names_event *e = names_changes_since(v->names, v->checked, &gap);

		if (gap || (e && e->kind == EVENT_RESET))
			check_all(v);
		if (!e)
			return;
		if (e->seq > v->checked)
			v->checked = e->seq;
		if (e->kind == EVENT_NODE)
			check_node(v, e->path);
		else if (e->kind != EVENT_RESET)
			check(v, e->path);
	}
}

/* A volume that lacks a copy, or whom nobody serves, says so before it is asked. */
static void warn_volume(struct view *v, struct control_status *s, const char *path)
{
	const char *state, *sync;
	struct buf text = { 0 };
	char hint[PATH_LEN_MAX + 32];

	if (s->n_warnings >= WARNINGS_MAX || path_depth(path) != 2 || !path_below(path, "/volumes") ||
	    names_get(v->names, path, mono_now(), &v->check) < 0)
		return;
	state = attrs_get(&v->check.derived, "state");
	sync = attrs_get(&v->check.derived, "in-sync");
	if (!state || !sync || attrs_get(&v->check.desired->attrs, "stripe") ||
	    (strcmp(state, "degraded") != 0 && strcmp(state, "syncing") != 0 && strcmp(state, "waiting") != 0))
		return;
	buf_printf(&text, "%s, %s in sync", state, sync);
	if (*v->check.reason.text)
		buf_printf(&text, "; %s", v->check.reason.text);
	snprintf(hint, sizeof(hint), "director volume show %s", path_name(path));
	control_status_warn(s, path, buf_str(&text), hint);
	buf_fini(&text);
}

void view_status(struct view *v, struct control_status *s)
{
	const struct tree *t = catalog_tree(catalog_of(v));

	catch_up(v);
	s->index = catalog_applied(catalog_of(v));
	s->objects = tree_count(t);
	for (unsigned i = 0; i < v->unsettled.n; i++) {
		const struct attr *a = &v->unsettled.a[i];
		char hint[PATH_LEN_MAX + 32];

		if (*a->value == 'p') {
			s->pending++;
			warn_volume(v, s, a->key);
			continue;
		}
		s->failed++;
		if (s->n_warnings >= WARNINGS_MAX || names_get(v->names, a->key, mono_now(), &v->check) < 0)
			continue;
		snprintf(hint, sizeof(hint), "director get %s", a->key);
		control_status_warn(s, a->key, v->check.reason.text, hint);
	}
}
