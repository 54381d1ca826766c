/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the schema tables: which type stands where, which parameters it has, what is unset. */
#include "cluster/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

int why_set(struct why *w, int err, const char *fmt, ...)
{
	va_list ap;

	if (!w)
		return err;
	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	return err;
}

const struct schema_type *schema_type(enum schema_type_id id)
{
	return id > TYPE_NONE && id < TYPE_COUNT ? &schema_types[id] : NULL;
}

const struct schema_type *schema_type_named(const char *name)
{
	for (int id = 1; id < TYPE_COUNT; id++)
		if (strcmp(schema_types[id].name, name) == 0)
			return &schema_types[id];
	return NULL;
}

/*
 * Walk pattern and path name by name ("/" is walked at once). True when the path ends with a whole name of
 * the pattern; *rest is then what is left of the pattern ("" or "/luns/LUN"), *fixed whether the last
 * name was a fixed one.
 */
static bool pattern_walk(const char *pattern, const char *path, const char **rest, bool *fixed)
{
	*fixed = true;
	if (path[0] == '/' && path[1] == '\0') {
		*rest = pattern;
		return true;
	}
	while (*path) {
		size_t n = strcspn(path + 1, "/"), pn;

		if (*pattern != '/')
			return false;
		pn = strcspn(pattern + 1, "/");
		*fixed = !(pattern[1] >= 'A' && pattern[1] <= 'Z');
		if (*fixed && (n != pn || memcmp(path + 1, pattern + 1, n) != 0))
			return false;
		path += 1 + n;
		pattern += 1 + pn;
	}
	*rest = pattern;
	return true;
}

const struct schema_type *schema_type_of(const char *path)
{
	const char *rest;
	bool fixed;

	for (int id = 1; id < TYPE_COUNT; id++)
		if (pattern_walk(schema_types[id].pattern, path, &rest, &fixed) && *rest == '\0')
			return &schema_types[id];
	return NULL;
}

bool schema_is_folder(const char *path)
{
	const char *rest;
	bool fixed;

	for (int id = 1; id < TYPE_COUNT; id++)
		if (pattern_walk(schema_types[id].pattern, path, &rest, &fixed) && *rest && fixed)
			return true;
	return false;
}

/* The fixed name that follows `path` in a pattern, its length in *n; NULL if there is none. */
static const char *next_fixed(const char *pattern, const char *path, size_t *n)
{
	const char *rest;
	bool fixed;

	if (!pattern_walk(pattern, path, &rest, &fixed) || rest[0] != '/' || (rest[1] >= 'A' && rest[1] <= 'Z'))
		return NULL;
	*n = strcspn(rest + 1, "/");
	return rest + 1;
}

/* Fixed names as strings of their own, so that callers need not cut patterns. */
static const char *const folder_names[] = {
	"addresses", "cluster", "devices", "hosts", "legs", "luns", "nodes", "plugins", "portals", "sessions", "targets", "tasks", "volumes",
};

const char *schema_folder_at(const char *path, unsigned i)
{
	for (size_t f = 0; f < sizeof(folder_names) / sizeof(folder_names[0]); f++) {
		for (int id = 1; id < TYPE_COUNT; id++) {
			size_t n;
			const char *name = next_fixed(schema_types[id].pattern, path, &n);

			if (!name || n != strlen(folder_names[f]) || memcmp(name, folder_names[f], n) != 0)
				continue;
			if (i-- == 0)
				return folder_names[f];
			break;
		}
	}
	return NULL;
}

const struct schema_type *schema_type_in(const char *path)
{
	const char *rest;
	bool fixed;

	for (int id = 1; id < TYPE_COUNT; id++)
		if (pattern_walk(schema_types[id].pattern, path, &rest, &fixed) && fixed && rest[0] == '/' &&
		    rest[1] >= 'A' && rest[1] <= 'Z' && !strchr(rest + 1, '/'))
			return &schema_types[id];
	return NULL;
}

const struct schema_param *schema_param(const struct schema_type *t, const char *name)
{
	for (const struct schema_param *p = t->params; p->name; p++)
		if (p->name[0] == name[0] && strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const char *schema_choice_at(const struct schema_param *p, unsigned i, char *out)
{
	const char *s = p->choices;

	while (s && *s) {
		size_t n = strcspn(s, " ");

		if (i-- == 0) {
			snprintf(out, ATTR_KEY_MAX, "%.*s", (int)n, s);
			return out;
		}
		s += n + (s[n] == ' ');
	}
	return NULL;
}

const char *schema_value_name(enum schema_value v)
{
	static const char *const names[] = {
		[VALUE_STRING] = "string", [VALUE_UINT] = "uint", [VALUE_BOOL] = "bool", [VALUE_SIZE] = "size",
		[VALUE_DURATION] = "duration", [VALUE_ENUM] = "enum", [VALUE_PATH] = "path", [VALUE_WORD] = "word",
		[VALUE_HEX] = "hex", [VALUE_UUID] = "uuid", [VALUE_PORTAL] = "portal", [VALUE_REF] = "name",
	};

	return v >= VALUE_STRING && v <= VALUE_REF ? names[v] : "unknown";
}

bool schema_secret(const char *path, const char *key)
{
	const struct schema_type *t = schema_type_of(path);
	const struct schema_param *p = t ? schema_param(t, key) : NULL;

	/* What a plugin calls secret is known only where its table is; a name that says so is believed. */
	if (!p && strncmp(key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0)
		return strstr(key, "secret") || strstr(key, "password") || strstr(key, "key");
	return p && (p->flags & PARAM_SECRET);
}

void schema_ref_path(const struct schema_param *p, const char *value, char *out)
{
	const char *pattern = schema_types[p->ref].pattern;
	size_t n = (size_t)(strrchr(pattern, '/') - pattern) + 1, len = value ? strnlen(value, PATH_LEN_MAX - 1 - n) : 0;

	memcpy(out, pattern, n);
	if (len)
		memcpy(out + n, value, len);
	out[n + len] = '\0';
}

const char *schema_get(const struct schema_type *t, const struct attrs *as, const char *key)
{
	const char *v = attrs_get(as, key);
	const struct schema_param *p = v ? NULL : schema_param(t, key);

	return v ? v : p ? p->value : NULL;
}

uint64_t schema_get_uint(const struct schema_type *t, const struct attrs *as, const char *key)
{
	const char *v = schema_get(t, as, key);
	uint64_t n = 0;

	/* Defaults are as they are written: a size may have a unit. */
	if (v && text_u64_parse(v, &n) < 0)
		text_size_parse(v, &n);
	return n;
}

bool schema_get_bool(const struct schema_type *t, const struct attrs *as, const char *key)
{
	const char *v = schema_get(t, as, key);

	return v && strcmp(v, "yes") == 0;
}
