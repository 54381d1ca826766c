/* SPDX-License-Identifier: Apache-2.0 */
/* director plugin … */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "shell/cmds.h"

static const struct column columns[] = {
	{ "NAME", "name", CELL_TEXT }, { "KIND", "kind", CELL_TEXT }, { "VERSION", "version", CELL_TEXT },
	{ "ABI", "abi", CELL_TEXT }, { "STATE", "state", CELL_TEXT }, { "SUMMARY", "summary", CELL_TEXT },
	{ "REASON", "reason", CELL_TEXT },
};

static int plugin_list(struct shell *s, struct call *c)
{
	return object_table(s, "/plugins", 1, "plugin", columns, ARRAY_LEN(columns));
}

static int plugin_show(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_make(s, path, "/plugins/%s", c->arg[0]) < 0 ? ERR_INVAL : object_show(s, path);
}

static int call_plugin(struct shell *s, const char *verb, const char *path, struct director_args *args)
{
	struct director_result *r;
	const char *key, *value, *line;
	json_t *j = json_object(), *said;
	struct buf text = { 0 };

	if (director_call(s->d, verb, path, args, NULL, NULL, &r) < 0) {
		director_args_free(&args);
		json_decref(j);
		return say_error(s);
	}
	director_args_free(&args);
	for (size_t i = 0; director_result_at(r, i, &key, &value); i++) {
		json_object_set_new(j, key, json_string(value));
		say(s, "%-16s %s", key, value);
	}
	for (size_t i = 0; (line = director_result_line(r, i)) != NULL; i++) {
		buf_printf(&text, "%s\n", line);
		say(s, "%s", line);
	}
	/* A probe answers with what the plugin said of itself. */
	said = json_loads(buf_str(&text), 0, NULL);
	if (json_is_object(said))
		json_object_update(j, said);
	json_decref(said);
	buf_fini(&text);
	director_result_free(&r);
	say_json(s, j);
	return 0;
}

static int plugin_probe(struct shell *s, struct call *c)
{
	auto_free char *file = realpath(c->arg[0], NULL);
	struct director_args *args;

	if (!file)
		return say_fail(s, err_from_errno(errno), NULL, NULL, "%s: %s", c->arg[0], strerror(errno));
	director_args_new(&args);
	director_args_set(args, "file", file);
	return call_plugin(s, "plugin.probe", "/plugins", args);
}

static int plugin_reset(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (shell_no_trial(s) || path_make(s, path, "/plugins/%s", c->arg[0]) < 0)
		return ERR_INVAL;
	return call_plugin(s, "plugin.reset", path, NULL);
}

const struct cmd cmd_plugin[] = {
	{ .words = "plugin list", .run = plugin_list, .help = "List the plugins that nodes have" },
	{ .words = "plugin show", .run = plugin_show, .args = { ARG("NAME", WORD_PLUGIN) }, .help = "Show a plugin and its parameters" },
	{ .words = "plugin probe", .run = plugin_probe, .args = { ARG("FILE", WORD_FILE) },
	  .help = "Ask a file on this node what plugin it is, without using it" },
	{ .words = "plugin reset", .run = plugin_reset, .args = { ARG("NAME", WORD_PLUGIN) },
	  .help = "Let a plugin that failed too often run again" },
	{ .words = NULL },
};
