/* SPDX-License-Identifier: Apache-2.0 */
/* director volume … */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/cmds.h"

static const struct column columns[] = {
	{ "NAME", "name", CELL_TEXT }, { "SIZE", "size", CELL_SIZE }, { "NODE", "node", CELL_TEXT },
	{ "BACKSTORE", "backstore", CELL_TEXT }, { "STATE", "state", CELL_TEXT }, { "STATUS", "status", CELL_TEXT },
};

static int volume_list(struct shell *s, struct call *c)
{
	return object_table(s, "/volumes", 1, "volume", columns, ARRAY_LEN(columns));
}

static int volume_path(struct shell *s, const char *name, char *path)
{
	return path_make(s, path, "%s%s", *name == '/' ? "" : "/volumes/", name);
}

static int volume_show(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return volume_path(s, c->arg[0], path) < 0 ? ERR_INVAL : object_show(s, path);
}

static int volume_create(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	director_txn_create(t, path);
	if (change_params(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, "created");
}

static int volume_resize(struct shell *s, struct call *c)
{
	const char *size = c->arg[1] ? c->arg[1] : call_param(c, "size");
	char path[PATH_LEN_MAX];
	struct director_txn *t;

	if (!size)
		return say_fail(s, ERR_INVAL, NULL, "director volume resize NAME SIZE", "SIZE is missing");
	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	director_txn_set(t, path);
	if (change_params(s, c, t) < 0 || director_txn_attr(t, "size", size) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, "resized");
}

static int volume_set(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	director_txn_set(t, path);
	if (change_params(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, "changed");
}

static int volume_delete(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	director_txn_delete(t, path);
	return change_commit(s, c, &t, path, "deleted");
}

const struct cmd cmd_volume[] = {
	{ .words = "volume list", .run = volume_list, .help = "List all volumes" },
	{ .words = "volume show", .run = volume_show, .args = { ARG("NAME", WORD_VOLUME) },
	  .help = "Show a volume: what is desired, and what its node observes" },
	{ .words = "volume create", .run = volume_create, .args = { ARG("NAME", WORD_TEXT) }, .type = "volume",
	  .opts = { { "size", 0, "SIZE", WORD_SIZE, "size", "its size: 1G, 500M, 1.5T" },
	            { "on", 0, "NODE", WORD_NODE, "node", "the node that holds it; left out, the one with the most space" },
	            { "backstore", 0, "PLUGIN", WORD_TEXT, "backstore", "the plugin that stores the data: file, ram, block" } },
	  .changes = true, .help = "Create a volume" },
	{ .words = "volume resize", .run = volume_resize, .args = { ARG("NAME", WORD_VOLUME), MAYBE("SIZE", WORD_SIZE) },
	  .opts = { { "size", 0, "SIZE", WORD_SIZE, "size", "its new size" } }, .type = "volume",
	  .changes = true, .help = "Change the size of a volume" },
	{ .words = "volume set", .run = volume_set, .args = { ARG("NAME", WORD_VOLUME) }, .type = "volume", .changes = true,
	  .help = "Change parameters of a volume" },
	{ .words = "volume delete", .run = volume_delete, .args = { ARG("NAME", WORD_VOLUME) }, .changes = true,
	  .help = "Delete a volume and its data" },
	{ .words = NULL },
};
