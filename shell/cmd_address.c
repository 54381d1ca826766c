/* SPDX-License-Identifier: Apache-2.0 */
/* director target address …: addresses that are where a target's volumes are served */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/cmds.h"

static const struct column columns[] = {
	{ "TARGET", "owner", CELL_TEXT }, { "ADDRESS", "address", CELL_TEXT }, { "INTERFACE", "interface", CELL_TEXT },
	{ "NODE", "node", CELL_TEXT }, { "STATE", "state", CELL_TEXT }, { "STATUS", "status", CELL_TEXT },
};

/* In a path '-' stands for the '/' of ADDR/LEN. */
static char *as_written(const char *name)
{
	char *text = mem_strdup(name), *dash = strrchr(text, '-');

	if (dash)
		*dash = '/';
	return text;
}

static char *cell(void *arg, const struct director_object *o, const char *key)
{
	return strcmp(key, "address") == 0 ? as_written(director_object_name(o)) : NULL;
}

static int address_list(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (!c->arg[0])
		return object_table_with(s, "/targets", 3, "address", columns, ARRAY_LEN(columns), cell, NULL);
	if (path_make(s, path, "/targets/%s/addresses", c->arg[0]) < 0)
		return ERR_INVAL;
	return object_table_with(s, path, 1, "address", columns, ARRAY_LEN(columns), cell, NULL);
}

static int address_path(struct shell *s, struct call *c, char *path)
{
	auto_free char *name = mem_strdup(c->arg[1]);
	char *slash = strrchr(name, '/');

	if (slash)
		*slash = '-';
	if (!slash && !strchr(name, '-'))
		return say_fail(s, ERR_INVAL, NULL, "10.0.0.9/24, fd00::9/64", "\"%s\" lacks the length of its network", c->arg[1]);
	return path_make(s, path, "/targets/%s/addresses/%s", c->arg[0], name);
}

static int change(struct shell *s, struct call *c, int (*step)(struct director_txn *t, const char *path), const char *done)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;

	if (address_path(s, c, path) < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	step(t, path);
	if (change_params(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, done);
}

static int address_add(struct shell *s, struct call *c)
{
	return change(s, c, director_txn_create, "added");
}

static int address_delete(struct shell *s, struct call *c)
{
	return change(s, c, director_txn_delete, "deleted");
}

const struct cmd cmd_address[] = {
	{ .words = "target address list", .run = address_list, .args = { MAYBE("IQN", WORD_TARGET) },
	  .help = "List the floating addresses of one target or of all" },
	{ .words = "target address add", .run = address_add, .args = { ARG("IQN", WORD_TARGET), ARG("ADDR/LEN", WORD_TEXT) },
	  .opts = { { "interface", 0, "NAME", WORD_TEXT, "interface", "the network interface that carries it; left out, the one with its network" } },
	  .type = "address", .changes = true, .help = "Give a target an address that is always where its volumes are served" },
	{ .words = "target address delete", .run = address_delete,
	  .args = { ARG("IQN", WORD_TARGET), ARG("ADDR/LEN", WORD_ADDRESS) }, .changes = true,
	  .help = "Take a floating address from a target" },
	{ .words = NULL },
};
