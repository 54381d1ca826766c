/* SPDX-License-Identifier: Apache-2.0 */
/* The whole agreed state as plain data, out of a catalog and back into one. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/catalog.h"
#include "cluster/history.h"
#include "cluster/volume.h"

static struct history *history_copy(const struct history *from)
{
	struct history *h = history_new();

	h->index = from->index;
	h->time_ms = from->time_ms;
	h->author = mem_strdup(from->author);
	h->node = mem_strdup(from->node);
	h->message = mem_strdup(from->message);
	h->trimmed = from->trimmed;
	h->n_changes = from->n_changes;
	txn_copy(&h->ops, &from->ops);
	txn_copy(&h->inverse, &from->inverse);
	return h;
}

void catalog_snapshot(const struct catalog *c, struct snapshot *s)
{
	const struct history *h;
	const struct answer *a;
	const struct object *o = NULL;

	*s = (struct snapshot){ .applied = c->applied };
	catalog_hash(c, s->hash);
	while ((o = tree_below(c->tree, "/", o))) {
		s->objects = mem_grow(s->objects, &s->cap_objects, s->n_objects, sizeof(*s->objects));
		s->objects[s->n_objects++] = object_copy(o);
	}
	TAILQ_FOREACH(h, &c->history.list, entry) {
		s->history = mem_grow(s->history, &s->cap_history, s->n_history, sizeof(*s->history));
		s->history[s->n_history++] = history_copy(h);
	}
	TAILQ_FOREACH(a, &c->window.by_age, by_age) {
		struct snapshot_request *r;

		s->requests = mem_grow(s->requests, &s->cap_requests, s->n_requests, sizeof(*s->requests));
		r = &s->requests[s->n_requests++];
		*r = (struct snapshot_request){ .index = a->index, .err = a->err };
		memcpy(r->id, a->id, sizeof(r->id));
		r->text = mem_strdup(a->text ? a->text : "");
	}
}

void snapshot_fini(struct snapshot *s)
{
	for (unsigned i = 0; i < s->n_objects; i++)
		object_free(&s->objects[i]);
	for (unsigned i = 0; i < s->n_history; i++)
		history_free(&s->history[i]);
	for (unsigned i = 0; i < s->n_requests; i++)
		free(s->requests[i].text);
	free(s->objects);
	free(s->history);
	free(s->requests);
	*s = (struct snapshot){ 0 };
}

/* ---- loading: nothing is taken on trust, so that a bad snapshot cannot become state ---- */

/* What the machine sets raises no generation, and is not judged as a wish. */
static bool machine_attr_ok(const struct snapshot *s, const struct object *o, unsigned i, const struct schema_param *p, unsigned level)
{
	char form[ATTR_VALUE_MAX + 1];

	return p->since <= level && o->by[i] && o->by[i] <= s->applied &&
	       schema_value(p, o->path, o->attrs.a[i].value, form, NULL) == 0 && strcmp(form, o->attrs.a[i].value) == 0;
}

static bool object_ok(const struct snapshot *s, const struct object *o, unsigned level)
{
	const struct schema_type *type;
	char form[ATTR_VALUE_MAX + 1];

	if (schema_path(o->path, level, &type, NULL) < 0 || type != o->type || o->created == 0 ||
	    o->created > o->generation || o->generation > o->touched || o->touched > s->applied ||
	    (o->n_blob && (type->id != TYPE_VOLUME || level < VOLUME_LEVEL)))
		return false;
	for (unsigned i = 0; i < o->attrs.n; i++) {
		const struct attr *a = &o->attrs.a[i];
		const struct schema_param *p = schema_param(type, a->key);

		if (p && (p->flags & PARAM_MACHINE)) {
			if (!machine_attr_ok(s, o, i, p, level))
				return false;
			continue;
		}
		if (schema_attr(type, level, o->path, a->key, a->value, form, NULL) < 0 || strcmp(form, a->value) != 0 ||
		    *form == '\0' || o->by[i] == 0 || o->by[i] > o->generation)
			return false;
	}
	return schema_check(type, level, o->path, NULL, &o->attrs, NULL) == 0;
}

/* Are all that the object refers to, its owner, and its claim to unique values there? */
static bool links_ok(const struct tree *t, const struct object *o)
{
	char path[PATH_LEN_MAX], folder[PATH_LEN_MAX];

	if (o->type->parent != TYPE_NONE) {
		path_parent(o->path, folder);
		path_parent(folder, path);
		if (!tree_get(t, path))
			return false;
	}
	for (const struct schema_param *p = o->type->params; p->name; p++) {
		const char *v = attrs_get(&o->attrs, p->name);

		if (!v)
			continue;
		if (p->type == VALUE_REF) {
			schema_ref_path(p, v, path);
			if (!tree_get(t, path))
				return false;
		} else if ((p->flags & PARAM_UNIQUE) && tree_holder(t, o->type, p->name, v) != o) {
			return false;
		}
	}
	return true;
}

static bool ops_ok(const struct txn *t)
{
	for (unsigned i = 0; i < t->n_ops; i++)
		if (t->ops[i].kind < TXN_CREATE || t->ops[i].kind > TXN_DELETE || !path_ok(t->ops[i].path) ||
		    t->ops[i].attrs.n > ATTRS_MAX)
			return false;
	return true;
}

static bool history_ok(const struct snapshot *s)
{
	if (s->n_history > HISTORY_MAX)
		return false;
	for (unsigned i = 0; i < s->n_history; i++) {
		const struct history *h = s->history[i];

		if (h->index == 0 || h->index > s->applied || (i && h->index <= s->history[i - 1]->index) ||
		    !ops_ok(&h->ops) || !ops_ok(&h->inverse))
			return false;
	}
	return true;
}

static bool requests_ok(const struct snapshot *s)
{
	if (s->n_requests > WINDOW_MAX)
		return false;
	for (unsigned i = 0; i < s->n_requests; i++)
		if (s->requests[i].index > s->applied || (i && s->requests[i].index <= s->requests[i - 1].index))
			return false;
	return true;
}

static unsigned level_of(const struct snapshot *s)
{
	for (unsigned i = 0; i < s->n_objects; i++)
		if (s->objects[i]->type && s->objects[i]->type->id == TYPE_CLUSTER)
			return (unsigned)schema_get_uint(s->objects[i]->type, &s->objects[i]->attrs, "level");
	return 1;
}

static int fill(struct catalog *c, struct snapshot *s)
{
	unsigned level = level_of(s);
	const struct object *o = NULL;

	if (s->n_objects > CATALOG_OBJECTS_MAX || !history_ok(s) || !requests_ok(s))
		return ERR_MALFORMED;
	for (unsigned i = 0; i < s->n_objects; i++)
		if (!s->objects[i]->type || !object_ok(s, s->objects[i], level) ||
		    (i && path_cmp(s->objects[i - 1]->path, s->objects[i]->path) >= 0))
			return ERR_MALFORMED;
	for (unsigned i = 0; i < s->n_objects; i++) {
		struct object *copy = object_copy(s->objects[i]);

		tree_put(c->tree, &copy);
	}
	while ((o = tree_below(c->tree, "/", o)))
		if (!links_ok(c->tree, o))
			return ERR_MALFORMED;
	for (unsigned i = 0; i < s->n_history; i++) {
		struct history *h = history_copy(s->history[i]);

		history_push(&c->history, &h);
	}
	for (unsigned i = 0; i < s->n_requests; i++) {
		const struct snapshot_request *r = &s->requests[i];

		if (window_find(&c->window, r->id))
			return ERR_MALFORMED;
		window_push(&c->window, r->id, r->index, r->err, r->text ? r->text : "");
	}
	c->applied = s->applied;
	return 0;
}

int catalog_load(struct catalog **cp, struct snapshot *s)
{
	struct catalog *c = catalog_new();
	uint8_t hash[32];
	int err = fill(c, s);

	if (err == 0) {
		catalog_hash(c, hash);
		if (memcmp(hash, s->hash, sizeof(hash)) != 0)
			err = ERR_DIVERGED;
	}
	if (err < 0) {
		catalog_free(&c);
		return err;
	}
	snapshot_fini(s);
	catalog_free(cp);
	*cp = c;
	return 0;
}
