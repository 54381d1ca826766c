/* SPDX-License-Identifier: Apache-2.0 */
/* Objects, types and commits of the namespace as the control protocol says them. */
#include "directord/view_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

struct view *view_new(struct names *n, const struct catalog *(*catalog)(void *arg), void *arg)
{
	struct view *v = mem_zalloc(sizeof(*v));

	v->catalog = catalog;
	v->arg = arg;
	view_set(v, n);
	return v;
}

void view_set(struct view *v, struct names *n)
{
	v->names = n;
	v->checked_all = false;
	v->seq = names_seq(n);
}

void view_free(struct view **p)
{
	struct view *v = *p;

	if (!v)
		return;
	*p = NULL;
	names_entry_fini(&v->entry);
	attrs_fini(&v->told);
	attrs_fini(&v->unsettled);
	names_entry_fini(&v->check);
	free(v->object.seen);
	free(v);
}

/* ---- objects ---- */

static enum control_status_code status_of(enum names_status s)
{
	switch (s) {
	case STATUS_PENDING: return CONTROL_PENDING;
	case STATUS_FAILED: return CONTROL_FAILED;
	case STATUS_OBSERVED: return CONTROL_OBSERVED;
	default: return CONTROL_CONVERGED;
	}
}

int view_get(struct view *v, const char *path, const struct control_object **out)
{
	struct names_entry *e = &v->entry;
	struct control_object *o = &v->object;
	struct control_seen *seen = o->seen;
	int err = names_get(v->names, path, mono_now(), e);

	if (err)
		return err;
	while (v->cap_seen < e->n_facts)
		seen = mem_grow(seen, &v->cap_seen, e->n_facts, sizeof(*seen));
	*o = (struct control_object){
		.path = e->path, .type = (char *)(e->type ? e->type->name : ""), .status = e->type ? status_of(e->status) : CONTROL_OBSERVED,
		.derived = e->derived, .seen = seen, .n_seen = e->n_facts, .reason = e->reason.text,
	};
	if (o->status != CONTROL_PENDING && o->status != CONTROL_FAILED)
		o->reason = NULL;
	if (e->desired) {
		memcpy(o->uuid, e->desired->uuid, sizeof(o->uuid));
		o->generation = e->desired->generation;
		o->desired = e->desired->attrs;
	}
	for (unsigned i = 0; i < e->n_facts; i++)
		seen[i] = (struct control_seen){
			.node = (char *)(e->facts[i].node_name ? e->facts[i].node_name : ""), .age_ms = e->facts[i].age_ms,
			.attrs = *e->facts[i].attrs,
		};
	*out = o;
	return 0;
}

bool view_child(struct view *v, const char *path, const char *after, char *out)
{
	return names_child(v->names, path, after, out);
}

bool view_secret(const char *path, const char *key)
{
	return schema_secret(path, key);
}

/* ---- history ---- */

static bool touches(const struct history *h, const char *path)
{
	for (unsigned i = 0; i < h->ops.n_ops; i++)
		if (path_below(h->ops.ops[i].path, path) || path_below(path, h->ops.ops[i].path))
			return true;
	return false;
}

static struct control_entry entry_of(const struct history *h)
{
	struct control_entry e = { .index = h->index, .trimmed = h->trimmed, .txn = h->ops };

	e.txn.author = h->author;
	e.txn.node = h->node;
	e.txn.message = h->message;
	e.txn.time_ms = h->time_ms;
	return e;
}

int view_history(struct view *v, const char *path, uint64_t before, bool (*fn)(void *fn_arg, const struct control_entry *e),
	void *fn_arg)
{
	const struct history *h = NULL;
	bool all = path[1] == '\0';

	while ((h = catalog_history(catalog_of(v), h)) != NULL) {
		struct control_entry e = entry_of(h);

		if (before && h->index >= before)
			continue;
		if ((all || touches(h, path)) && !fn(fn_arg, &e))
			break;
	}
	return 0;
}

int view_blame(struct view *v, const char *path, bool (*fn)(void *fn_arg, const struct control_entry *e), void *fn_arg)
{
	const struct object *o = catalog_get(catalog_of(v), path);

	if (!o)
		return ERR_NOENT;
	for (unsigned i = 0; i < o->attrs.n; i++) {
		struct control_entry e = { 0 };
		struct blame b;

		const struct schema_param *p = schema_param(o->type, o->attrs.a[i].key);

		/* Nobody set what the cluster itself agrees. */
		if ((p && (p->flags & PARAM_MACHINE)) || catalog_blame(catalog_of(v), path, o->attrs.a[i].key, &b) < 0)
			continue;
		if (b.commit) {
			e = entry_of(b.commit);
			e.txn.ops = NULL;
			e.txn.n_ops = 0;
		}
		e.index = b.index;
		e.key = o->attrs.a[i].key;
		if (!fn(fn_arg, &e))
			break;
	}
	return 0;
}

/* ---- schema ---- */

static enum control_param_type param_type(enum schema_value v)
{
	static const enum control_param_type types[] = {
		[VALUE_STRING] = CONTROL_P_STRING, [VALUE_UINT] = CONTROL_P_UINT, [VALUE_BOOL] = CONTROL_P_BOOL,
		[VALUE_SIZE] = CONTROL_P_SIZE, [VALUE_DURATION] = CONTROL_P_DURATION, [VALUE_ENUM] = CONTROL_P_ENUM,
		[VALUE_PATH] = CONTROL_P_PATH, [VALUE_WORD] = CONTROL_P_WORD, [VALUE_HEX] = CONTROL_P_HEX,
		[VALUE_UUID] = CONTROL_P_UUID, [VALUE_PORTAL] = CONTROL_P_PORTAL, [VALUE_REF] = CONTROL_P_REF,
	};

	return types[v];
}

static uint32_t param_flags(uint32_t f)
{
	return (f & PARAM_REQUIRED ? CONTROL_PF_REQUIRED : 0) | (f & PARAM_SECRET ? CONTROL_PF_SECRET : 0) |
	       (f & PARAM_LIVE ? CONTROL_PF_LIVE : 0) | (f & PARAM_OBSERVED ? CONTROL_PF_OBSERVED : 0) |
	       (f & PARAM_CREATE ? CONTROL_PF_CREATE : 0) | (f & PARAM_AUTO ? CONTROL_PF_AUTO : 0) |
	       (f & PARAM_MACHINE ? CONTROL_PF_MACHINE : 0);
}

static struct control_param param_of(const struct schema_param *p)
{
	const struct schema_type *ref = schema_type(p->ref);

	return (struct control_param){
		.name = (char *)p->name, .type = param_type(p->type), .flags = param_flags(p->flags), .value = (char *)p->value,
		.choices = (char *)(p->choices ? p->choices : ""), .min = p->min, .max = p->max,
		.unit = (char *)(p->unit ? p->unit : ""), .ref = (char *)(ref ? ref->name : ""), .help = (char *)p->help,
	};
}

void view_schema(struct view *v, void (*fn)(void *fn_arg, const struct control_type *t), void *fn_arg)
{
	for (unsigned id = 1; id < TYPE_COUNT; id++) {
		const struct schema_type *st = schema_type(id);
		struct control_type t = {
			.name = (char *)st->name, .pattern = (char *)st->pattern, .help = (char *)st->help,
			.flags = st->agreed ? CONTROL_TF_SET | (st->rule == NAME_FIXED ? 0 : CONTROL_TF_CREATE) : 0,
		};
		unsigned n = 0;

		while (st->params[n].name)
			n++;
		t.params = mem_zalloc((n + 1) * sizeof(*t.params));
		for (t.n_params = 0; t.n_params < n; t.n_params++)
			t.params[t.n_params] = param_of(&st->params[t.n_params]);
		fn(fn_arg, &t);
		free(t.params);
	}
}

/* ---- commits ---- */

const char *view_task(struct view *v, uint64_t index)
{
	struct names_task t;

	if (names_task(v->names, index, mono_now(), &t) < 0 || t.status == STATUS_CONVERGED)
		return "";
	snprintf(v->task, sizeof(v->task), "/tasks/%" PRIu64, index);
	return v->task;
}

void view_diff(const struct diff *diff, struct control_done *d)
{
	struct buf b = { 0 };
	char *save = NULL;

	diff_text(diff, &b);
	for (char *line = strtok_r(buf_str(&b), "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		control_done_line(d, line);
	buf_fini(&b);
}

/* ---- events ---- */

static void tell_commit(struct view *v, struct api *api, const struct names_event *e)
{
	static const char *const verbs[] = { [EVENT_CREATED] = "created", [EVENT_SET] = "changed", [EVENT_DELETED] = "deleted" };
	const struct history *h = catalog_commit(catalog_of(v), e->index);
	const struct control_object *o;
	auto_free char *text = NULL;

	if (h)
		text = mem_printf("%s by %s on %s, commit %" PRIu64 "%s%s", verbs[e->kind], h->author, h->node, e->index,
		                  *h->message ? ": " : "", h->message);
	else
		text = mem_printf("%s, commit %" PRIu64, verbs[e->kind], e->index);
	/* What is observed outlives what was desired: then it is another object, and not yet gone. */
	if (e->kind == EVENT_DELETED && view_get(v, e->path, &o) < 0)
		api_gone(api, e->path, text);
	else
		api_changed(api, e->path, text);
}

/* A remark on an observation: its state and error, when they are new. */
static char *observed_text(struct view *v, const char *path)
{
	struct control_object const *o;
	char *text = NULL;

	if (view_get(v, path, &o) < 0 || !*o->type || strcmp(o->type, "node") == 0)
		return NULL;
	for (unsigned i = 0; i < o->n_seen && !text; i++) {
		const char *state = attrs_get(&o->seen[i].attrs, "state"), *error = attrs_get(&o->seen[i].attrs, "error");

		if (state || error)
			text = mem_printf("%s%s%s on %s", state ? state : "failed", error ? ": " : "", error ? error : "", o->seen[i].node);
	}
	if (text && !attrs_set(&v->told, path, text)) {
		free(text);
		return NULL;
	}
	return text;
}

/* The task that waits for this report hears of it too. */
static void tell_task(struct view *v, struct api *api, const char *path)
{
	const struct object *o = catalog_get(catalog_of(v), path);
	char task[32];

	if (!o)
		return;
	snprintf(task, sizeof(task), "/tasks/%" PRIu64, o->touched > o->generation ? o->touched : o->generation);
	api_changed(api, task, NULL);
}

static void tell_observed(struct view *v, struct api *api, const struct names_event *e)
{
	auto_free char *text = observed_text(v, e->path);
	const struct control_object *o;

	if (view_get(v, e->path, &o) < 0) {
		attrs_set(&v->told, e->path, NULL);
		api_gone(api, e->path, text);
	} else {
		api_changed(api, e->path, text);
	}
	tell_task(v, api, e->path);
}

static void tell_node(struct view *v, struct api *api, const struct names_event *e)
{
	static const char *const words[] = {
		"gone", "alive", "suspect", "down", "away: it left in good order", "waiting to be adopted",
	};
	enum names_node_state state = names_node_state(v->names, path_name(e->path));
	auto_free char *text = mem_printf("the node is %s", words[state <= NODE_PENDING ? state : 0]);
	const struct control_object *o;
	bool news = attrs_set(&v->told, e->path, text);

	if (view_get(v, e->path, &o) < 0)
		api_gone(api, e->path, text);
	else
		api_changed(api, e->path, news ? text : NULL);
}

void view_events(struct view *v, struct api *api)
{
	for (;;) {
		bool gap = false;
		const struct names_event *e = names_changes_since(v->names, v->seq, &gap);

		if (gap) {
			api_reset(api);
			v->seq = names_seq(v->names);
			continue;
		}
		if (!e)
			return;
		v->seq = e->seq;
		switch (e->kind) {
		case EVENT_CREATED: case EVENT_SET: case EVENT_DELETED: tell_commit(v, api, e); break;
		case EVENT_OBSERVED: case EVENT_GONE: tell_observed(v, api, e); break;
		case EVENT_NODE: tell_node(v, api, e); break;
		case EVENT_RESET: api_reset(api); break;
		}
	}
}
