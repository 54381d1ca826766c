/* SPDX-License-Identifier: Apache-2.0 */
/* Objects for people and programs; paths as typed. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/shell.h"

const struct director_schema *shell_schema(struct shell *s)
{
	if (!s->schema)
		director_schema(s->d, &s->schema);
	return s->schema;
}

static bool param_of(struct shell *s, const char *type, const char *key, struct director_param_info *info)
{
	const struct director_schema *schema = shell_schema(s);

	for (size_t i = 0; schema && director_schema_param(schema, type, i, info); i++)
		if (strcmp(info->name, key) == 0)
			return true;
	return false;
}

enum cell_kind param_cell(struct shell *s, const char *type, const char *key)
{
	struct director_param_info info;

	if (!param_of(s, type, key, &info))
		return CELL_TEXT;
	switch (info.kind) {
	case DIRECTOR_SIZE: return CELL_SIZE;
	case DIRECTOR_DURATION: return CELL_AGE;
	case DIRECTOR_UINT: return strcmp(info.unit, "milliseconds") == 0 ? CELL_TIME : CELL_NUMBER;
	case DIRECTOR_BOOL: return CELL_BOOL;
	default: return CELL_TEXT;
	}
}

const char *object_value(struct shell *s, const struct director_object *o, const char *key)
{
	const char *v = director_object_value(o, key);
	struct director_param_info info;

	if (v || !param_of(s, director_object_type(o), key, &info))
		return v;
	/* Lent by the schema, which lives as long as the session. */
	return info.has_default ? info.value : NULL;
}

char *object_status(const struct director_object *o)
{
	static const char *const names[] = {
		[DIRECTOR_CONVERGED] = "ok", [DIRECTOR_PENDING] = "pending", [DIRECTOR_FAILED] = "failed",
		[DIRECTOR_REPORTED] = "",
	};
	const char *name = names[director_object_status(o)], *reason = director_object_reason(o);

	return *reason ? mem_printf("%s: %s", name, reason) : mem_strdup(name);
}

static const char *status_name(const struct director_object *o)
{
	static const char *const names[] = {
		[DIRECTOR_CONVERGED] = "converged", [DIRECTOR_PENDING] = "pending", [DIRECTOR_FAILED] = "failed",
		[DIRECTOR_REPORTED] = "observed",
	};

	return names[director_object_status(o)];
}

/* ---- as JSON ---- */

typedef bool attr_fn(const struct director_object *o, size_t i, const char **key, const char **value);

static json_t *attrs_json(struct shell *s, const struct director_object *o, attr_fn *at)
{
	json_t *j = json_object();
	const char *key, *value;

	for (size_t i = 0; at(o, i, &key, &value); i++)
		json_object_set_new(j, key, cell_json(param_cell(s, director_object_type(o), key), value));
	return j;
}

/* Agreed by identity; people and programs know it by its name. */
static const char *owner_name(const struct director_object *o, const char *key, const char *value)
{
	const char *node = director_object_derived(o, "node");

	return node && strcmp(key, "owner") == 0 && strcmp(director_object_type(o), "volume") == 0 ? node : value;
}

static json_t *desired_json(struct shell *s, const struct director_object *o)
{
	json_t *j = attrs_json(s, o, director_object_desired_at);
	const char *owner = director_object_desired(o, "owner");

	if (owner)
		json_object_set_new(j, "owner", json_string(owner_name(o, "owner", owner)));
	return j;
}

static json_t *observed_json(struct shell *s, const struct director_object *o)
{
	json_t *all = json_array();

	for (size_t i = 0; i < director_object_observers(o); i++) {
		json_t *one = json_object(), *j = json_object();
		const char *key, *value;
		uint64_t age;

		json_object_set_new(one, "node", json_string(director_object_observer(o, i, &age)));
		json_object_set_new(one, "age_ms", json_integer((json_int_t)age));
		for (size_t k = 0; director_object_observed_at(o, i, k, &key, &value); k++)
			json_object_set_new(j, key, cell_json(param_cell(s, director_object_type(o), key), value));
		json_object_set_new(one, "attributes", j);
		json_array_append_new(all, one);
	}
	return all;
}

void object_row_json(struct shell *s, struct table *t, const struct director_object *o)
{
	json_t *j = object_json(s, o);
	const char *k;
	json_t *v;

	json_object_foreach(j, k, v)
		table_json(t, k, json_incref(v));
	json_decref(j);
}

json_t *object_json(struct shell *s, const struct director_object *o)
{
	json_t *j = json_object();

	json_object_set_new(j, "path", json_string(director_object_path(o)));
	json_object_set_new(j, "name", json_string(director_object_name(o)));
	json_object_set_new(j, "type", json_string(director_object_type(o)));
	json_object_set_new(j, "uuid", *director_object_uuid(o) ? json_string(director_object_uuid(o)) : json_null());
	json_object_set_new(j, "generation", json_integer((json_int_t)director_object_generation(o)));
	json_object_set_new(j, "status", json_string(status_name(o)));
	json_object_set_new(j, "reason", json_string(director_object_reason(o)));
	json_object_set_new(j, "desired", desired_json(s, o));
	json_object_set_new(j, "derived", attrs_json(s, o, director_object_derived_at));
	json_object_set_new(j, "observed", observed_json(s, o));
	return j;
}

/* ---- as text ---- */

static void print_attr(struct shell *s, const char *type, const char *key, const char *value)
{
	auto_free char *text = cell_text(param_cell(s, type, key), value);

	printf("  %-16s %s\n", key, text);
}

static void print_side(struct shell *s, const struct director_object *o, const char *head, attr_fn *at)
{
	const char *key, *value;

	for (size_t i = 0; at(o, i, &key, &value); i++) {
		if (i == 0)
			printf("%s\n", head);
		print_attr(s, director_object_type(o), key, value);
	}
}

/* What people asked for, or what the cluster itself agreed about it. */
static void print_desired(struct shell *s, const struct director_object *o, const char *head, bool machine)
{
	const char *key, *value, *type = director_object_type(o);
	struct director_param_info info;
	bool said = false;

	for (size_t i = 0; director_object_desired_at(o, i, &key, &value); i++) {
		if ((param_of(s, type, key, &info) && (info.flags & DIRECTOR_MACHINE)) != machine)
			continue;
		if (!said)
			printf("%s\n", head);
		said = true;
		print_attr(s, type, key, machine ? owner_name(o, key, value) : value);
	}
}

static void print_observed(struct shell *s, const struct director_object *o)
{
	for (size_t i = 0; i < director_object_observers(o); i++) {
		const char *key, *value, *node;
		char t[32];
		uint64_t age;

		node = director_object_observer(o, i, &age);
		printf("observed by %s, %s ago\n", *node ? node : "an unknown node", text_ms(age, t));
		for (size_t k = 0; director_object_observed_at(o, i, k, &key, &value); k++)
			print_attr(s, director_object_type(o), key, value);
	}
}

static void print_object(struct shell *s, const struct director_object *o)
{
	auto_free char *status = object_status(o);
	const char *type = director_object_type(o);

	printf("%s", director_object_path(o));
	if (*type)
		printf("  %s", type);
	if (*status)
		printf("  %s", status);
	putchar('\n');
	if (*director_object_uuid(o))
		printf("  %-16s %s\n  %-16s %llu\n", "uuid", director_object_uuid(o), "generation",
		       (unsigned long long)director_object_generation(o));
	print_desired(s, o, "desired", false);
	print_desired(s, o, "agreed by the cluster", true);
	print_side(s, o, "derived", director_object_derived_at);
	print_observed(s, o);
}

int object_show(struct shell *s, const char *path)
{
	struct director_object *o;

	if (director_get(s->d, path, &o) < 0)
		return say_error(s);
	say_look(s);
	if (s->json)
		say_json(s, object_json(s, o));
	else
		print_object(s, o);
	director_object_free(&o);
	say_if_stale(s);
	return 0;
}

/* What people compare before they adopt: the node's id in groups of four. In a table only of a node that waits for it. */
static char *fingerprint(const struct shell *s, const struct director_object *o)
{
	const char *state = director_object_derived(o, "state"), *id = director_object_derived(o, "id");
	char text[40];
	unsigned n = 0;

	if (!id || strlen(id) != 32 || (!s->json && (!state || strcmp(state, "pending") != 0)))
		return NULL;
	for (unsigned i = 0; i < 32; i++) {
		if (i && i % 4 == 0)
			text[n++] = '-';
		text[n++] = id[i];
	}
	return mem_strndup(text, n);
}

static void fill_row(struct shell *s, struct table *t, const struct director_object *o, const struct column *cols, unsigned n,
	char *(*value)(void *arg, const struct director_object *o, const char *key), void *arg)
{
	char parent[PATH_LEN_MAX], grand[PATH_LEN_MAX];

	path_parent(director_object_path(o), parent);
	path_parent(parent, grand);
	table_row(t);
	for (unsigned i = 0; i < n; i++) {
		const char *key = cols[i].key;
		auto_free char *given = value ? value(arg, o, key) : NULL;

		if (given)
			table_cell(t, i, given);
		else if (strcmp(key, "name") == 0)
			table_cell(t, i, director_object_name(o));
		else if (strcmp(key, "owner") == 0)
			table_cell(t, i, path_name(grand));
		else if (strcmp(key, "fingerprint") == 0) {
			auto_free char *text = fingerprint(s, o);

			table_cell(t, i, text);
		} else if (strcmp(key, "status") == 0) {
			auto_free char *status = s->json ? mem_strdup(status_name(o)) : object_status(o);

			table_cell(t, i, status);
		} else
			table_cell(t, i, object_value(s, o, key));
	}
	if (s->json)
		object_row_json(s, t, o);
}

/* Numbers in names by value: 2 before 10, v9 before v10; and a path before what is below it. */
static int by_path(const void *a, const void *b)
{
	return strverscmp(director_object_path(*(const struct director_object *const *)a),
	                  director_object_path(*(const struct director_object *const *)b));
}

const struct director_object **object_order(const struct director_list *l)
{
	size_t n = director_list_n(l);
	const struct director_object **o = mem_alloc((n + 1) * sizeof(*o));

	for (size_t i = 0; i < n; i++)
		o[i] = director_list_at(l, i);
	qsort(o, n, sizeof(*o), by_path);
	return o;
}

/*
 * A folder that is not there yet is an empty one, unless it would be below an object that is not there either: then whoever
 * asked for it has the name wrong.
 */
static int no_folder(struct shell *s, const char *folder)
{
	char path[PATH_LEN_MAX], *end;
	struct director_object *o = NULL;
	int err;

	if (director_error_code(director_error(s->d)) != DIRECTOR_E_NOT_FOUND)
		return say_error(s);
	snprintf(path, sizeof(path), "%s", folder);
	end = strchr(path + 1, '/');
	end = end ? strchr(end + 1, '/') : NULL;
	if (end)
		*end = '\0';
	err = path_depth(path) < 2 ? 0 : director_get(s->d, path, &o);
	director_object_free(&o);
	return err ? say_error(s) : 0;
}

int object_table_with(struct shell *s, const char *folder, uint32_t depth, const char *type, const struct column *cols, unsigned n,
	char *(*value)(void *arg, const struct director_object *o, const char *key), void *arg)
{
	const struct director_object **o = NULL;
	struct director_list *l = NULL;
	struct table *t;
	int err = director_list(s->d, folder, depth, NULL, 0, &l) < 0 ? no_folder(s, folder) : 0;

	if (err)
		return err;
	t = table_new(cols, n);
	if (l)
		o = object_order(l);
	for (size_t i = 0; l && i < director_list_n(l); i++)
		if (strcmp(director_object_type(o[i]), type) == 0)
			fill_row(s, t, o[i], cols, n, value, arg);
	free(o);
	director_list_free(&l);
	say_look(s);
	table_print(s, &t);
	say_if_stale(s);
	return 0;
}

int object_table(struct shell *s, const char *folder, uint32_t depth, const char *type, const struct column *cols, unsigned n)
{
	return object_table_with(s, folder, depth, type, cols, n, NULL, NULL);
}

/* ---- paths ---- */

int path_of(struct shell *s, const char *typed, char *out)
{
	char buf[2 * PATH_LEN_MAX], *save = NULL;
	size_t len = 0;

	if (strlen(typed) >= PATH_LEN_MAX)
		return say_fail(s, ERR_INVAL, NULL, NULL, "the path is too long");
	snprintf(buf, sizeof(buf), "%s/%s", *typed == '/' ? "" : s->cwd, typed);
	out[0] = '\0';
	for (char *name = strtok_r(buf, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			char *slash = strrchr(out, '/');

			len = slash ? (size_t)(slash - out) : 0;
			out[len] = '\0';
			continue;
		}
		if (len + strlen(name) + 2 > PATH_LEN_MAX)
			return say_fail(s, ERR_INVAL, NULL, NULL, "the path is too long");
		len += (size_t)snprintf(out + len, PATH_LEN_MAX - len, "/%s", name);
	}
	if (!len)
		snprintf(out, PATH_LEN_MAX, "/");
	if (!path_ok(out))
		return say_fail(s, ERR_INVAL, NULL, NULL, "\"%s\" is not a path", typed);
	return 0;
}

int path_make(struct shell *s, char *out, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, PATH_LEN_MAX, fmt, ap);
	va_end(ap);
	if (n < 0 || n >= PATH_LEN_MAX || !path_ok(out))
		return say_fail(s, ERR_INVAL, NULL, NULL, "\"%s\" cannot be a name", path_name(out));
	return 0;
}
