/* SPDX-License-Identifier: Apache-2.0 */
/* Walking the tree, and changing whatever stands there: ls cd pwd get set create delete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/shell.h"
#include "shell/cmds.h"

/* ---- ls ---- */

/* What is worth a glance, by type. */
static const struct { const char *type, *keys[5]; } glance[] = {
	{ "volume", { "size", "backstore", "node", "in-sync", "state" } },
	{ "leg", { "node", "state", "storage", "resync-left" } },
	{ "address", { "node", "interface", "state" } },
	{ "node", { "state", "role", "version", "addresses" } },
	{ "device", { "size", "kind", "model", "used-by" } },
	{ "target", { "alias", "state", "sessions" } },
	{ "lun", { "volume", "read-only" } },
	{ "host", { "chap-user" } },
	{ "session", { "initiator", "target", "node", "address" } },
	{ "task", { "state", "what", "done", "total" } },
	{ "plugin", { "kind", "version", "state", "summary" } },
	{ "cluster", { "name", "key-epoch" } },
};

static char *summary(struct shell *s, const struct director_object *o)
{
	const char *type = director_object_type(o);
	char *out = mem_strdup("");

	for (size_t i = 0; i < ARRAY_LEN(glance); i++)
		for (unsigned k = 0; k < 5 && strcmp(glance[i].type, type) == 0 && glance[i].keys[k]; k++) {
			const char *v = object_value(s, o, glance[i].keys[k]);
			char *more, *text;

			/* The store of a volume with copies is its legs'. */
			if (!v || !*v || strcmp(v, "no") == 0 ||
			    (strcmp(glance[i].keys[k], "backstore") == 0 && director_object_desired(o, "copies")))
				continue;
			text = cell_text(param_cell(s, type, glance[i].keys[k]), v);
			more = mem_printf("%s%s%s", out, *out ? "  " : "", text);
			mem_autofree(&text);
			mem_autofree(&out);
			out = more;
		}
	return out;
}

static const struct column ls_columns[] = {
	{ "NAME", "name", CELL_TEXT }, { "", "summary", CELL_TEXT }, { "STATUS", "status", CELL_TEXT },
};

static int cmd_ls(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	const struct director_object **all;
	struct director_list *l;
	struct table *t;
	unsigned top;

	if (path_of(s, c->arg[0] ? c->arg[0] : ".", path) < 0)
		return ERR_INVAL;
	if (director_list(s->d, path, call_opt(c, "recursive") ? DIRECTOR_ALL : 1, NULL, 0, &l) < 0)
		return say_error(s);
	t = table_new(ls_columns, ARRAY_LEN(ls_columns));
	top = path_depth(path);
	all = object_order(l);
	/* The object itself comes first; it is a row only where nothing is below it. */
	for (size_t i = director_list_n(l) > 1 || !*director_object_type(director_list_at(l, 0)); i < director_list_n(l); i++) {
		const struct director_object *o = all[i];
		auto_free char *sum = summary(s, o);
		auto_free char *status = object_status(o);
		unsigned deep = path_depth(director_object_path(o)) - top;
		auto_free char *name = mem_printf("%*s%s%s", s->json || deep < 2 ? 0 : (int)(deep - 1) * 2, "",
			director_object_name(o), s->json || *director_object_type(o) ? "" : "/");

		table_row(t);
		table_cell(t, 0, name);
		table_cell(t, 1, sum);
		table_cell(t, 2, status);
		if (s->json)
			object_row_json(s, t, o);
	}
	free(all);
	director_list_free(&l);
	say_look(s);
	table_print(s, &t);
	say_if_stale(s);
	return 0;
}

static int cmd_cd(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	struct director_object *o;

	if (path_of(s, c->arg[0] ? c->arg[0] : "/", path) < 0)
		return ERR_INVAL;
	if (director_get(s->d, path, &o) < 0)
		return say_error(s);
	director_object_free(&o);
	snprintf(s->cwd, sizeof(s->cwd), "%s", path);
	say_json(s, json_string(path));
	return 0;
}

static int cmd_pwd(struct shell *s, struct call *c)
{
	if (!s->json)
		puts(s->cwd);
	say_json(s, json_string(s->cwd));
	return 0;
}

static int cmd_get(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_of(s, c->arg[0], path) < 0 ? ERR_INVAL : object_show(s, path);
}

/* ---- change anything ---- */

static int pair(struct shell *s, const char *path, const char *type, const char *word, struct director_txn *t)
{
	const char *eq = strchr(word, '=');
	struct director_param_info info;
	auto_free char *key = eq ? mem_strndup(word, (size_t)(eq - word)) : NULL;

	if (!eq || eq == word)
		return say_fail(s, ERR_INVAL, path, NULL, "\"%s\" is not KEY=VALUE", word);
	for (size_t k = 0; type && director_schema_param(shell_schema(s), type, k, &info); k++)
		if (strcmp(info.name, key) == 0 && info.flags & DIRECTOR_SECRET && eq[1])
			return say_fail(s, ERR_INVAL, path, "--secret-file FILE", "%s is a secret; the command line is no place for it", key);
	if (strncmp(key, "p.", 2) == 0 && strstr(key, "secret") && eq[1])
		return say_fail(s, ERR_INVAL, path, "--secret KEY --secret-file FILE", "%s is a secret; the command line is no place for it", key);
	if (director_txn_attr(t, key, eq + 1) < 0)
		return say_fail(s, ERR_INVAL, path, NULL, "\"%s\" is not valid", word);
	return 0;
}

static int step_at(struct shell *s, struct director_txn *t, int (*step)(struct director_txn *, const char *), const char *path)
{
	return step(t, path) < 0 ? say_fail(s, ERR_INVAL, path, NULL, "\"%s\" is not a path", path) : 0;
}

/* key=value words into the latest step; a path among them begins the next one. */
static int pairs(struct shell *s, struct call *c, const char *path, int (*step)(struct director_txn *, const char *), struct director_txn *t)
{
	const char *type = shell_schema(s) ? director_schema_at(shell_schema(s), path) : NULL;
	char next[PATH_LEN_MAX];
	unsigned n = 0;
	int err = 0;

	for (unsigned i = 0; i < c->n_rest && !err; i++) {
		if (c->rest[i][0] != '/') {
			n++;
			err = pair(s, path, type, c->rest[i], t);
			continue;
		}
		if (!n && step == director_txn_set)
			return change_nothing(s, c, path);
		n = 0;
		err = path_of(s, c->rest[i], next);
		if (!err)
			err = step_at(s, t, step, next);
		path = next;
		type = shell_schema(s) && !err ? director_schema_at(shell_schema(s), path) : NULL;
	}
	if (!err && !n && step == director_txn_set && !call_opt(c, "secret") && !call_opt(c, "secret-file"))
		return change_nothing(s, c, path);
	return err;
}

static int secret_param(struct shell *s, struct call *c, const char *path, struct director_txn *t)
{
	const char *key = call_opt(c, "secret"), *file = call_opt(c, "secret-file");
	auto_free char *secret = NULL;
	int err;

	if (!key && !file)
		return 0;
	if (!key)
		return say_fail(s, ERR_INVAL, path, "--secret KEY --secret-file FILE", "which parameter is the secret of?");
	err = secret_read(s, file, "Secret: ", &secret);
	if (err)
		return err;
	return director_txn_attr(t, key, secret) < 0 ? say_fail(s, ERR_INVAL, path, NULL, "the secret is not valid") : 0;
}

static int change(struct shell *s, struct call *c, int (*step)(struct director_txn *, const char *), const char *done)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;
	int err = path_of(s, c->arg[0], path);

	if (err)
		return err;
	director_txn_new(&t);
	err = step_at(s, t, step, path);
	if (!err)
		err = pairs(s, c, path, step, t);
	if (!err)
		err = secret_param(s, c, path, t);
	if (err) {
		director_txn_free(&t);
		return err;
	}
	return change_commit(s, c, &t, path, done);
}

static int cmd_set(struct shell *s, struct call *c)
{
	return change(s, c, director_txn_set, "set");
}

static int cmd_create(struct shell *s, struct call *c)
{
	return change(s, c, director_txn_create, "created");
}

static int cmd_delete(struct shell *s, struct call *c)
{
	return change(s, c, director_txn_delete, "deleted");
}

#define SECRET_OPTS { "secret", 0, "KEY", WORD_TEXT, NULL, "the parameter that --secret-file is for" }, \
		{ "secret-file", 0, "FILE", WORD_FILE, NULL, "read a secret from the first line of FILE; - is standard input" }

const struct cmd cmd_tree[] = {
	{ .words = "ls", .run = cmd_ls, .args = { MAYBE("PATH", WORD_PATH) },
	  .opts = { { "recursive", 'r', NULL, 0, NULL, "all that is below" } },
	  .help = "List what stands below a path" },
	{ .words = "cd", .run = cmd_cd, .args = { MAYBE("PATH", WORD_PATH) }, .help = "Go to a path",
	  .only_interactive = true },
	{ .words = "pwd", .run = cmd_pwd, .help = "Say where we are", .local = true, .only_interactive = true },
	{ .words = "get", .run = cmd_get, .args = { ARG("PATH", WORD_PATH) },
	  .help = "Show an object: what is desired, and what nodes observe" },
	{ .words = "set", .run = cmd_set, .args = { ARG("PATH", WORD_PATH), REST("KEY=VALUE", WORD_TEXT) },
	  .opts = { SECRET_OPTS, FORCE_OPT }, .changes = true, .help = "Change parameters of an object, and of those that follow it; an empty value resets" },
	{ .words = "create", .run = cmd_create, .args = { ARG("PATH", WORD_PATH), REST("KEY=VALUE", WORD_TEXT) },
	  .opts = { SECRET_OPTS }, .changes = true, .help = "Create an object at a path, and those that follow it, each with its parameters, in one transaction" },
	{ .words = "delete", .run = cmd_delete, .args = { ARG("PATH", WORD_PATH) }, .changes = true,
	  .opts = { FORCE_OPT }, .help = "Delete an object and all that is below it" },
	{ .words = NULL },
};
