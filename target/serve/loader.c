/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: find, load, judge, describe. What is judged here no caller needs to ask again. */
#include "config.h"

#include "target/serve/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/text.h"

int plugin_err(struct director_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->struct_size = sizeof(*err);
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

static const char *const kind_names[] = {
	[DIRECTOR_BACKSTORE] = "backstore", [DIRECTOR_FABRIC] = "fabric", [DIRECTOR_DEVICE] = "device",
	[DIRECTOR_ADDRESS] = "address", [DIRECTOR_FENCE] = "fence", [DIRECTOR_NOTIFY] = "notify",
};

static const char *const type_names[] = {
	[DIRECTOR_P_STRING] = "string", [DIRECTOR_P_UINT] = "uint", [DIRECTOR_P_BOOL] = "bool",
	[DIRECTOR_P_SIZE] = "size", [DIRECTOR_P_DURATION] = "duration", [DIRECTOR_P_PATH] = "path",
	[DIRECTOR_P_ENUM] = "enum",
};

const char *plugin_kind_name(uint32_t kind)
{
	return kind && kind < ARRAY_LEN(kind_names) ? kind_names[kind] : "unknown";
}

const char *plugin_param_type_name(uint32_t type)
{
	return type && type < ARRAY_LEN(type_names) ? type_names[type] : "unknown";
}

/* Lower case, digits and '-', beginning with a letter. */
static bool name_ok(const char *s)
{
	size_t n = s ? strnlen(s, PLUGIN_NAME_MAX) : 0;

	if (n == 0 || n >= PLUGIN_NAME_MAX || s[0] < 'a' || s[0] > 'z')
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int param_judge(const struct director_param *p, const struct director_param *first, struct director_err *err)
{
	const struct director_param *q;
	char *value;
	int r;

	if (!name_ok(p->name))
		return plugin_err(err, -ENOEXEC, "parameter %d has no valid name", (int)(p - first) + 1);
	for (q = first; q < p; q++)
		if (strcmp(p->name, q->name) == 0)
			return plugin_err(err, -ENOEXEC, "parameter %s is there twice", p->name);
	if (p->type < DIRECTOR_P_STRING || p->type > DIRECTOR_P_ENUM)
		return plugin_err(err, -ENOEXEC, "parameter %s has the unknown type %u", p->name, p->type);
	if (p->type == DIRECTOR_P_ENUM && (!p->choices || !*p->choices))
		return plugin_err(err, -ENOEXEC, "parameter %s has no choices", p->name);
	if (p->min > p->max && p->max)
		return plugin_err(err, -ENOEXEC, "parameter %s has its bounds the wrong way round", p->name);
	if ((p->help && !text_ok(p->help, 1024)) || (p->unit && !text_ok(p->unit, 64)))
		return plugin_err(err, -ENOEXEC, "parameter %s has an unprintable description", p->name);
	if (!p->value)
		return 0;
	r = plugin_param_check(p, p->value, &value, NULL);
	if (r < 0)
		return plugin_err(err, -ENOEXEC, "parameter %s: its default \"%s\" is not valid", p->name, p->value);
	free(value);
	return 0;
}

static int params_judge(struct plugin *pl, struct director_err *err)
{
	const struct director_param *p = pl->p.params;
	int r;

	for (; p && p->name; p++) {
		if (pl->n_params == PLUGIN_PARAMS_MAX)
			return plugin_err(err, -ENOEXEC, "more than %d parameters", PLUGIN_PARAMS_MAX);
		r = param_judge(p, pl->p.params, err);
		if (r < 0)
			return r;
		pl->n_params++;
	}
	return 0;
}

/* A copy of a sized table: what its build lacks is zero, what we do not know is left out. */
static int table_copy(void *to, size_t to_size, const void *from, size_t least, const char *what,
	struct director_err *err)
{
	uint32_t size;

	if (!from)
		return plugin_err(err, -ENOEXEC, "it has no table of %s verbs", what);
	memcpy(&size, from, sizeof(size));
	if (size < least || size > 65536)
		return plugin_err(err, -ENOEXEC, "its table of %s verbs says it has %u bytes", what, size);
	memcpy(to, from, size < to_size ? size : to_size);
	return 0;
}

#define UPTO(type, field) (offsetof(type, field) + sizeof(((type *)0)->field))

static int backstore_judge(struct plugin *pl, struct director_err *err)
{
	struct director_backstore_ops *b = &pl->backstore;
	int r = table_copy(b, sizeof(*b), pl->p.backstore, UPTO(struct director_backstore_ops, n_children),
		"backstore", err);

	if (r < 0)
		return r;
	if (!b->open || !b->caps || !b->submit || !b->close)
		return plugin_err(err, -ENOEXEC, "it lacks one of the verbs open, caps, submit, close");
	if (b->threads < DIRECTOR_THREADS_ASYNC || b->threads > DIRECTOR_THREADS_SERIAL)
		return plugin_err(err, -ENOEXEC, "it has the unknown thread model %u", b->threads);
	if (!b->plug != !b->unplug)
		return plugin_err(err, -ENOEXEC, "it has only one of plug and unplug");
	if (!b->thread_fd != !b->reap)
		return plugin_err(err, -ENOEXEC, "it has only one of thread_fd and reap");
	/* A blocked filter would keep the worker that its child waits for. */
	if (b->n_children && b->threads != DIRECTOR_THREADS_ASYNC)
		return plugin_err(err, -ENOEXEC, "it has children and is not ASYNC");
	if (b->n_children > 32)
		return plugin_err(err, -ENOEXEC, "it has %u children", b->n_children);
	return 0;
}

static int kind_judge(struct plugin *pl, struct director_err *err)
{
	int r;

	switch (pl->p.kind) {
	case DIRECTOR_BACKSTORE:
		return backstore_judge(pl, err);
	case DIRECTOR_DEVICE:
		r = table_copy(&pl->device, sizeof(pl->device), pl->p.device, UPTO(struct director_device_ops, scan),
			"device", err);
		if (r == 0 && !pl->device.scan)
			r = plugin_err(err, -ENOEXEC, "it lacks the verb scan");
		return r;
	default:
		return plugin_err(err, -ENOEXEC, "kind %u (%s) has no native plugins in this version", pl->p.kind,
			plugin_kind_name(pl->p.kind));
	}
}

static int tables_judge(struct plugin *pl, const struct director_plugin *t, struct director_err *err)
{
	int r;

	/* Nothing beyond the first four fields may be read before they are right. */
	if (t->magic != DIRECTOR_PLUGIN_MAGIC)
		return plugin_err(err, -ENOEXEC, "not a director plugin: its magic is 0x%08x", t->magic);
	if (t->abi_major != DIRECTOR_ABI_MAJOR)
		return plugin_err(err, -EPROTO, "built for ABI %u.%u; this host offers %u.x", t->abi_major, t->abi_minor,
			DIRECTOR_ABI_MAJOR);
	if (t->struct_size < UPTO(struct director_plugin, params) || t->struct_size > 65536)
		return plugin_err(err, -ENOEXEC, "its struct director_plugin says it has %u bytes", t->struct_size);
	memcpy(&pl->p, t, t->struct_size < sizeof(pl->p) ? t->struct_size : sizeof(pl->p));
	if (!name_ok(pl->p.name))
		return plugin_err(err, -ENOEXEC, "its name is not valid (lower case, digits, '-', at most %d bytes)",
			PLUGIN_NAME_MAX - 1);
	if ((pl->p.version && !text_ok(pl->p.version, 64)) || (pl->p.license && !text_ok(pl->p.license, 64)) ||
	    (pl->p.summary && !text_ok(pl->p.summary, 256)))
		return plugin_err(err, -ENOEXEC, "version, license or summary is not printable or too long");
	r = params_judge(pl, err);
	return r < 0 ? r : kind_judge(pl, err);
}

int plugin_wrap(const struct director_plugin *tables, struct plugin **out, struct director_err *err)
{
	struct plugin *pl = mem_zalloc(sizeof(*pl));
	int r = tables_judge(pl, tables, err);

	if (r < 0) {
		free(pl);
		pl = NULL;
	}
	*out = pl;
	return r;
}

int plugin_load(const char *file, struct plugin **out, struct director_err *err)
{
	const struct director_plugin *tables;
	struct stat st;
	void *dl;
	int r;

	*out = NULL;
	if (stat(file, &st) < 0)
		return plugin_err(err, -errno, "%s: %s", file, strerror(errno));
	/* RTLD_LOCAL: two plugins may have equal names inside. RTLD_NOW: what is missing shows here, not in I/O. */
	dl = dlopen(file, RTLD_LOCAL | RTLD_NOW);
	if (!dl)
		return plugin_err(err, -ENOEXEC, "%s", dlerror());
	tables = dlsym(dl, "director_plugin");
	if (!tables)
		r = plugin_err(err, -ENOEXEC, "not a director plugin: it exports no symbol director_plugin");
	else
		r = plugin_wrap(tables, out, err);
	if (r < 0) {
		dlclose(dl);
		return r;
	}
	(*out)->dl = dl;
	(*out)->file = mem_strdup(file);
	return 0;
}

int plugin_start(struct plugin *pl, const struct director_host *host, struct director_err *err)
{
	int r;

	if (pl->started)
		return 0;
	r = pl->p.init ? pl->p.init(host, &pl->priv) : 0;
	if (r < 0)
		return plugin_err(err, r, "%s: it does not start: %s", pl->p.name, strerror(-r));
	pl->started = true;
	return 0;
}

void plugin_unload(struct plugin **plp)
{
	struct plugin *pl = *plp;

	if (!pl)
		return;
	*plp = NULL;
	if (pl->started && pl->p.fini)
		pl->p.fini(pl->priv);
	if (pl->dl)
		dlclose(pl->dl);
	free(pl->file);
	free(pl);
}

/* ---- the search path ---- */

int plugin_dirs(int (*fn)(void *arg, const char *dir), void *arg)
{
	const char *env = getenv("DIRECTOR_PLUGIN_PATH");
	char *list, *dir, *save;
	int r = 0;

	list = mem_printf("%s:%s", env ? env : "", PKGLIBDIR "/plugins");
	for (dir = strtok_r(list, ":", &save); dir && r == 0; dir = strtok_r(NULL, ":", &save))
		r = fn(arg, dir);
	free(list);
	return r;
}

/* The plugin `name` in the folder `dir`, given; NULL if it is not there. */
static char *dir_lookup(const char *dir, const char *name)
{
	unsigned i;
	char *path;

	for (i = 0; i < 3; i++) {
		path = mem_printf("%s%s%s%s/%s.so", dir, i ? "/" : "", i ? name : "", i == 2 ? "/.libs" : "", name);
		if (access(path, R_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

struct find {
	const char *name;
	char *file;
};

static int find_in(void *arg, const char *dir)
{
	struct find *f = arg;

	f->file = dir_lookup(dir, f->name);
	return f->file != NULL;
}

char *plugin_find(const char *name)
{
	struct find f = { .name = name };

	if (name_ok(name))
		plugin_dirs(find_in, &f);
	return f.file;
}

struct listing {
	struct entry {
		char *name, *file;
	} *e;
	unsigned n, cap;
};

static void listing_add(struct listing *l, const char *dir, const char *name)
{
	unsigned i;
	char *file;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->e[i].name, name) == 0)
			return;
	file = name_ok(name) ? dir_lookup(dir, name) : NULL;
	if (!file)
		return;
	l->e = mem_grow(l->e, &l->cap, l->n, sizeof(*l->e));
	l->e[l->n++] = (struct entry){ mem_strdup(name), file };
}

static int list_in(void *arg, const char *dir)
{
	struct listing *l = arg;
	struct dirent *de;
	DIR *d = opendir(dir);
	size_t n;

	if (!d)
		return 0;
	while ((de = readdir(d)) != NULL) {
		char name[PLUGIN_NAME_MAX + 4];

		n = strlen(de->d_name);
		if (n >= sizeof(name))
			continue;
		memcpy(name, de->d_name, n + 1);
		if (n > 3 && strcmp(name + n - 3, ".so") == 0)
			name[n - 3] = 0;
		listing_add(l, dir, name);
	}
	closedir(d);
	return 0;
}

static int entry_cmp(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

int plugin_each(void (*fn)(void *arg, const char *name, const char *file), void *arg)
{
	struct listing l = { 0 };
	unsigned i;

	plugin_dirs(list_in, &l);
	if (l.n)
		qsort(l.e, l.n, sizeof(*l.e), entry_cmp);
	for (i = 0; i < l.n; i++) {
		fn(arg, l.e[i].name, l.e[i].file);
		free(l.e[i].name);
		free(l.e[i].file);
	}
	free(l.e);
	return (int)l.n;
}

/* ---- description ---- */

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

static json_t *param_json(const struct director_param *p)
{
	json_t *o = json_object();

	set_text(o, "name", p->name);
	set_text(o, "type", plugin_param_type_name(p->type));
	set_text(o, "default", p->flags & DIRECTOR_PF_SECRET ? NULL : p->value);
	json_object_set_new(o, "required", json_boolean(p->flags & DIRECTOR_PF_REQUIRED));
	json_object_set_new(o, "secret", json_boolean(p->flags & DIRECTOR_PF_SECRET));
	json_object_set_new(o, "live", json_boolean(p->flags & DIRECTOR_PF_LIVE));
	if (p->type == DIRECTOR_P_ENUM)
		set_text(o, "choices", p->choices);
	if (p->min || p->max) {
		json_object_set_new(o, "min", json_integer((json_int_t)p->min));
		json_object_set_new(o, "max", json_integer((json_int_t)p->max));
	}
	set_text(o, "unit", p->unit);
	set_text(o, "help", p->help);
	return o;
}

static json_t *verbs_json(const struct plugin *pl)
{
	static const char *const threads[] = { "", "async", "blocking", "serial" };
	const struct director_backstore_ops *b = &pl->backstore;
	json_t *o = json_object();

	set_text(o, "threads", threads[b->threads]);
	json_object_set_new(o, "children", json_integer(b->n_children));
#define VERB(v) json_object_set_new(o, #v, json_boolean(b->v != NULL))
	VERB(check);
	VERB(create);
	VERB(destroy);
	VERB(resize);
	VERB(reconfigure);
	VERB(fence);
	VERB(plug);
	VERB(thread_fd);
#undef VERB
	return o;
}

json_t *plugin_json(const struct plugin *pl)
{
	json_t *o = json_object(), *params = json_array();
	unsigned i;

	set_text(o, "name", pl->p.name);
	set_text(o, "kind", plugin_kind_name(pl->p.kind));
	set_text(o, "version", pl->p.version);
	set_text(o, "license", pl->p.license);
	set_text(o, "summary", pl->p.summary);
	json_object_set_new(o, "abi", json_sprintf("%u.%u", pl->p.abi_major, pl->p.abi_minor));
	set_text(o, "file", pl->file);
	if (pl->p.kind == DIRECTOR_BACKSTORE)
		json_object_set_new(o, "backstore", verbs_json(pl));
	for (i = 0; i < pl->n_params; i++)
		json_array_append_new(params, param_json(&pl->p.params[i]));
	json_object_set_new(o, "params", params);
	return o;
}
