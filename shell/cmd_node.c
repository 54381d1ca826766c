/* SPDX-License-Identifier: Apache-2.0 */
/* director node …, director device …, director cluster … */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/cmds.h"

static const struct column columns[] = {
	{ "NAME", "name", CELL_TEXT }, { "STATE", "state", CELL_TEXT }, { "ROLE", "role", CELL_TEXT },
	{ "VOTER", "voter", CELL_BOOL }, { "DRAINED", "drained", CELL_TEXT }, { "VERSION", "version", CELL_TEXT }, { "FREE", "space-free", CELL_SIZE },
	{ "TOTAL", "space-total", CELL_SIZE }, { "ADDRESSES", "addresses", CELL_TEXT },
	{ "FINGERPRINT", "fingerprint", CELL_TEXT },    /* the last one: only shown when a node waits for adoption */
};

static const struct column device_columns[] = {
	{ "NODE", "owner", CELL_TEXT }, { "NAME", "name", CELL_TEXT }, { "SIZE", "size", CELL_SIZE },
	{ "KIND", "kind", CELL_TEXT }, { "MODEL", "model", CELL_TEXT }, { "PATH", "path", CELL_TEXT },
	{ "USED BY", "used-by", CELL_TEXT },
};

static int node_list(struct shell *s, struct call *c)
{
	struct director_status *st = NULL;
	bool waiting = s->json;

	if (!waiting && director_status(s->d, &st) == 0)
		waiting = director_status_number(st, "pending-nodes") > 0;
	director_status_free(&st);
	return object_table(s, "/nodes", 1, "node", columns, ARRAY_LEN(columns) - !waiting);
}

static int node_show(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_make(s, path, "/nodes/%s", c->arg[0]) < 0 ? ERR_INVAL : object_show(s, path);
}

/* Ask for a verb and say its answer. args is given; it may be NULL. */
static int verb(struct shell *s, const char *name, const char *path, struct director_args *args, const char *done)
{
	struct director_result *r;
	const char *line, *key, *value;
	json_t *j = json_object(), *lines = json_array();
	int err;

	if (!args)
		director_args_new(&args);
	if (s->dry_run)
		director_args_set(args, "dry-run", "yes");
	director_set_timeout(s->d, s->timeout_ms ? s->timeout_ms : 60000);
	err = director_call(s->d, name, path, args, NULL, NULL, &r);
	director_args_free(&args);
	if (err) {
		json_decref(j);
		json_decref(lines);
		return say_error(s);
	}
	for (size_t i = 0; (line = director_result_line(r, i)) != NULL; i++) {
		json_array_append_new(lines, json_string(line));
		if (!s->json && !s->quiet)
			puts(line);
	}
	json_object_set_new(j, "path", json_string(path));
	for (size_t i = 0; director_result_at(r, i, &key, &value); i++) {
		json_object_set_new(j, key, json_string(value));
		say(s, "%-16s %s", key, value);
	}
	json_object_set_new(j, "lines", lines);
	if (*director_result_task(r) && !s->no_wait) {
		err = change_wait(s, director_result_task(r), 60000);
		if (err) {
			json_decref(j);
			director_result_free(&r);
			return say_error(s);
		}
	}
	director_result_free(&r);
	if (done && !s->dry_run)
		say(s, "%s %s", path, done);
	say_json(s, j);
	return 0;
}

static int node_verb(struct shell *s, struct call *c, const char *name, struct director_args *args, const char *done)
{
	char path[PATH_LEN_MAX];

	if (path_make(s, path, "/nodes/%s", c->arg[0]) < 0) {
		director_args_free(&args);
		return ERR_INVAL;
	}
	return verb(s, name, path, args, done);
}

static int node_adopt(struct shell *s, struct call *c)
{
	struct director_args *args;

	director_args_new(&args);
	if (call_opt(c, "fingerprint"))
		director_args_set(args, "fingerprint", call_opt(c, "fingerprint"));
	return node_verb(s, c, "node.adopt", args, "adopted");
}

static int node_remove(struct shell *s, struct call *c)
{
	struct director_args *args;

	director_args_new(&args);
	director_args_set(args, "force", call_opt(c, "force") ? "yes" : "no");
	return node_verb(s, c, "node.remove", args, "removed");
}

/* A desired parameter of a node or the cluster. */
static int set_one(struct shell *s, struct call *c, const char *path, const char *key, const char *value, const char *done)
{
	struct director_txn *t;

	if (!key && !c->n_params)
		return change_nothing(s, c, path);
	director_txn_new(&t);
	director_txn_set(t, path);
	if (key)
		director_txn_attr(t, key, value);
	if (change_params(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, done);
}

/* May it be switched off, and what would that cost? */
static int drained(struct shell *s, const char *path)
{
	struct director_object *o;
	const char *drained, *left;
	int err = 0;

	if (director_get(s->d, path, &o) < 0)
		return say_error(s);
	drained = director_object_derived(o, "drained");
	left = director_object_derived(o, "drain-left");
	if (drained && strcmp(drained, "yes") == 0)
		say(s, "%s may be switched off: nothing is served from there, and no data is there", path);
	else if (drained && strcmp(drained, "partly") == 0)
		err = say_fail(s, ERR_BUSY, path, "director volume convert NAME --copies 2 lets a volume move; director node drain NODE --undo ends it",
		               "%s serves no volume that could be served elsewhere, but: %s", path, left ? left : "");
	else
		err = say_fail(s, ERR_BUSY, path, NULL, "%s must stay on: %s", path, left ? left : "it is being drained");
	director_object_free(&o);
	return err;
}

static int node_drain(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	bool undo = call_opt(c, "undo") != NULL;

	if (path_make(s, path, "/nodes/%s", c->arg[0]) < 0)
		return ERR_INVAL;
	s->patient = true;
	s->judge = undo || s->no_wait ? NULL : drained;
	return set_one(s, c, path, "drain", undo ? "no" : "yes", undo ? "takes volumes again" : "takes no new volumes");
}

static int node_set(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_make(s, path, "/nodes/%s", c->arg[0]) < 0 ? ERR_INVAL : set_one(s, c, path, NULL, NULL, "changed");
}

static int device_list(struct shell *s, struct call *c)
{
	const char *node = call_opt(c, "node");
	char path[PATH_LEN_MAX];

	if (!node)
		return object_table(s, "/nodes", 3, "device", device_columns, ARRAY_LEN(device_columns));
	if (path_make(s, path, "/nodes/%s", node) < 0)
		return ERR_INVAL;
	return object_table(s, path, 2, "device", device_columns, ARRAY_LEN(device_columns));
}

static int cluster_show(struct shell *s, struct call *c)
{
	return object_show(s, "/cluster");
}

static int cluster_set(struct shell *s, struct call *c)
{
	return set_one(s, c, "/cluster", NULL, NULL, "changed");
}

static int cluster_create(struct shell *s, struct call *c)
{
	struct director_args *args;

	director_args_new(&args);
	if (c->arg[0])
		director_args_set(args, "name", c->arg[0]);
	return verb(s, "cluster.create", "/cluster", args, "created");
}

static int cluster_rotate_key(struct shell *s, struct call *c)
{
	return verb(s, "cluster.rotate-key", "/cluster", NULL, "has a new key");
}

static int cluster_key(struct shell *s, struct call *c)
{
	return verb(s, "cluster.key", "/cluster", NULL, NULL);
}

const struct cmd cmd_node[] = {
	{ .words = "node list", .run = node_list, .help = "List the nodes, those that wait for adoption too" },
	{ .words = "node show", .run = node_show, .args = { ARG("NODE", WORD_NODE) }, .help = "Show a node" },
	{ .words = "node adopt", .run = node_adopt, .args = { ARG("NODE", WORD_NODE) },
	  .opts = { { "fingerprint", 0, "TEXT", WORD_TEXT, NULL, "only if the node's fingerprint is this" } },
	  .help = "Let a waiting node into the cluster, after comparing its fingerprint" },
	{ .words = "node drain", .run = node_drain, .args = { ARG("NODE", WORD_NODE) }, .changes = true,
	  .opts = { { "undo", 0, NULL, 0, NULL, "take volumes again" } },
	  .help = "Place nothing new on a node, move away what can be moved, and say when it may be switched off" },
	{ .words = "node remove", .run = node_remove, .args = { ARG("NODE", WORD_NODE) },
	  .opts = { { "force", 0, NULL, 0, NULL, "with the volumes and LUNs that need it; for a node that is gone for good" } },
	  .help = "Remove a node for good; its key no longer works" },
	{ .words = "node set", .run = node_set, .args = { ARG("NODE", WORD_NODE) }, .type = "node", .changes = true,
	  .help = "Change parameters of a node" },
	{ .words = "device list", .run = device_list,
	  .opts = { { "node", 0, "NODE", WORD_NODE, NULL, "only devices of this node" } },
	  .help = "List disks and other local storage" },
	{ .words = "cluster show", .run = cluster_show, .help = "Show the options of the cluster" },
	{ .words = "cluster set", .run = cluster_set, .type = "cluster", .changes = true, .help = "Change options of the cluster" },
	{ .words = "cluster create", .run = cluster_create, .args = { MAYBE("NAME", WORD_TEXT) },
	  .help = "Found a cluster of this node, with a new key" },
	{ .words = "cluster rotate-key", .run = cluster_rotate_key,
	  .help = "Give the cluster a new key; nodes that are away learn it when they return" },
	{ .words = "cluster key", .run = cluster_key, .help = "Show the cluster key, to put it on a further node (root only)" },
	{ .words = NULL },
};
