/* SPDX-License-Identifier: Apache-2.0 */
/* director target …, lun …, host …, portal …, session … */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/cmds.h"

static const struct column target_columns[] = {
	{ "NAME", "name", CELL_TEXT }, { "ALIAS", "alias", CELL_TEXT }, { "ENABLED", "enabled", CELL_BOOL },
	{ "STATE", "state", CELL_TEXT }, { "SESSIONS", "sessions", CELL_NUMBER }, { "STATUS", "status", CELL_TEXT },
};

static const struct column lun_columns[] = {
	{ "TARGET", "owner", CELL_TEXT }, { "LUN", "name", CELL_NUMBER }, { "VOLUME", "volume", CELL_TEXT },
	{ "READ-ONLY", "read-only", CELL_BOOL }, { "STATUS", "status", CELL_TEXT },
};

static const struct column host_columns[] = {
	{ "TARGET", "owner", CELL_TEXT }, { "INITIATOR", "name", CELL_TEXT }, { "CHAP USER", "chap-user", CELL_TEXT },
	{ "MUTUAL USER", "mutual-user", CELL_TEXT }, { "STATUS", "status", CELL_TEXT },
};

static const struct column portal_columns[] = {
	{ "TARGET", "owner", CELL_TEXT }, { "PORTAL", "name", CELL_TEXT }, { "STATUS", "status", CELL_TEXT },
};

static const struct column session_columns[] = {
	{ "ID", "name", CELL_TEXT }, { "INITIATOR", "initiator", CELL_TEXT }, { "TARGET", "target", CELL_TEXT },
	{ "NODE", "node", CELL_TEXT }, { "ADDRESS", "address", CELL_TEXT }, { "CONNECTIONS", "connections", CELL_NUMBER },
	{ "SINCE", "since", CELL_TIME },
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The targets of all sessions, sorted: how often one is there is how many it has. */
struct sessions {
	const char **target;
	size_t n;
};

static char *sessions_of(void *arg, const struct director_object *o, const char *key)
{
	struct sessions *all = arg;
	const char *name = director_object_name(o);
	size_t at = 0, end = all->n, n = 0;

	if (strcmp(key, "sessions") != 0)
		return NULL;
	while (at < end) {
		size_t mid = (at + end) / 2;

		if (strcmp(all->target[mid], name) < 0)
			at = mid + 1;
		else
			end = mid;
	}
	while (at + n < all->n && strcmp(all->target[at + n], name) == 0)
		n++;
	return mem_printf("%zu", n);
}

static int target_list(struct shell *s, struct call *c)
{
	struct director_list *l = NULL;
	struct sessions all = { .n = 0 };
	int err = director_list(s->d, "/sessions", 1, NULL, 0, &l);

	/* Without any session the folder is not there. */
	if (err && err != ERR_NOENT)
		return say_error(s);
	if (!err) {
		all.target = mem_zalloc((director_list_n(l) + 1) * sizeof(*all.target));
		for (size_t i = 0; i < director_list_n(l); i++) {
			const char *target = object_value(s, director_list_at(l, i), "target");

			if (target && *target)
				all.target[all.n++] = target;
		}
		qsort(all.target, all.n, sizeof(*all.target), by_text);
	}
	err = object_table_with(s, "/targets", 1, "target", target_columns, ARRAY_LEN(target_columns), sessions_of, &all);
	free(all.target);
	director_list_free(&l);
	return err;
}

static int session_list(struct shell *s, struct call *c)
{
	return object_table(s, "/sessions", 1, "session", session_columns, ARRAY_LEN(session_columns));
}

/* What stands in a folder of one target, or of all. */
static int list_below(struct shell *s, struct call *c, const char *type, const struct column *cols, unsigned n)
{
	char path[PATH_LEN_MAX];

	if (!c->arg[0])
		return object_table(s, "/targets", 3, type, cols, n);
	return path_make(s, path, "/targets/%s", c->arg[0]) < 0 ? ERR_INVAL : object_table(s, path, 2, type, cols, n);
}

static int lun_list(struct shell *s, struct call *c)
{
	return list_below(s, c, "lun", lun_columns, ARRAY_LEN(lun_columns));
}

static int host_list(struct shell *s, struct call *c)
{
	return list_below(s, c, "host", host_columns, ARRAY_LEN(host_columns));
}

static int portal_list(struct shell *s, struct call *c)
{
	return list_below(s, c, "portal", portal_columns, ARRAY_LEN(portal_columns));
}

static int target_show(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_make(s, path, "/targets/%s", c->arg[0]) < 0 ? ERR_INVAL : object_show(s, path);
}

/* One step at a path, with the parameters of the call. */
static int one(struct shell *s, struct call *c, int (*step)(struct director_txn *, const char *), const char *path,
	const char *done)
{
	struct director_txn *t;

	director_txn_new(&t);
	step(t, path);
	if (change_params(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, done);
}

static int target_create(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_make(s, path, "/targets/%s", c->arg[0]) < 0 ? ERR_INVAL : one(s, c, director_txn_create, path, "created");
}

static int target_set(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (path_make(s, path, "/targets/%s", c->arg[0]) < 0)
		return ERR_INVAL;
	return c->n_params ? one(s, c, director_txn_set, path, "changed") : change_nothing(s, c, path);
}

static int target_delete(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	return path_make(s, path, "/targets/%s", c->arg[0]) < 0 ? ERR_INVAL : one(s, c, director_txn_delete, path, "deleted");
}

/* ---- luns ---- */

static int lun_add(struct shell *s, struct call *c)
{
	const char *lun = call_opt(c, "lun");
	char path[PATH_LEN_MAX];
	struct director_txn *t;

	if (path_make(s, path, "/targets/%s/luns/%s", c->arg[0], lun ? lun : "auto") < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	director_txn_create(t, path);
	if (change_params(s, c, t) < 0 || director_txn_attr(t, "volume", path_name(c->arg[1])) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, "added");
}

static int lun_remove(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (path_make(s, path, "/targets/%s/luns/%s", c->arg[0], c->arg[1]) < 0)
		return ERR_INVAL;
	return one(s, c, director_txn_delete, path, "removed");
}

/* ---- hosts ---- */

static int secret_attr(struct shell *s, struct director_txn *t, const char *user, const char *file, const char *user_key,
	const char *secret_key, const char *prompt)
{
	auto_free char *secret = NULL;
	int err;

	if (!user && !file)
		return 0;
	if (!user)
		return say_fail(s, ERR_INVAL, NULL, "director help host add", "a secret without its user");
	err = secret_read(s, file, prompt, &secret);
	if (err)
		return err;
	director_txn_attr(t, user_key, user);
	err = director_txn_attr(t, secret_key, secret);
	explicit_bzero(secret, strlen(secret));
	return err ? say_fail(s, ERR_INVAL, NULL, NULL, "the secret holds bytes that are no text") : 0;
}

static int host_change(struct shell *s, struct call *c, int (*step)(struct director_txn *, const char *), const char *done)
{
	const char *name = call_opt(c, "any") ? "any" : c->arg[1];
	char path[PATH_LEN_MAX];
	struct director_txn *t;
	int err;

	if (!name || (call_opt(c, "any") && c->arg[1]))
		return say_fail(s, ERR_INVAL, NULL, "director host add IQN INITIATOR, or director host add IQN --any",
		                "either one initiator or --any");
	if (path_make(s, path, "/targets/%s/hosts/%s", c->arg[0], name) < 0)
		return ERR_INVAL;
	if (step == director_txn_set && !c->n_params && !call_opt(c, "chap") && !call_opt(c, "secret-file") && !call_opt(c, "mutual") &&
	    !call_opt(c, "mutual-secret-file"))
		return change_nothing(s, c, path);
	director_txn_new(&t);
	step(t, path);
	err = change_params(s, c, t);
	if (!err)
		err = secret_attr(s, t, call_opt(c, "chap"), call_opt(c, "secret-file"), "chap-user", "chap-secret",
		                  "CHAP secret: ");
	if (!err)
		err = secret_attr(s, t, call_opt(c, "mutual"), call_opt(c, "mutual-secret-file"), "mutual-user",
		                  "mutual-secret", "Mutual CHAP secret: ");
	if (err) {
		director_txn_free(&t);
		return err;
	}
	return change_commit(s, c, &t, path, done);
}

static int host_add(struct shell *s, struct call *c)
{
	return host_change(s, c, director_txn_create, "added");
}

static int host_set(struct shell *s, struct call *c)
{
	return host_change(s, c, director_txn_set, "changed");
}

static int host_remove(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (path_make(s, path, "/targets/%s/hosts/%s", c->arg[0], c->arg[1]) < 0)
		return ERR_INVAL;
	return one(s, c, director_txn_delete, path, "removed");
}

/* ---- portals ---- */

static int portal_add(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (path_make(s, path, "/targets/%s/portals/%s", c->arg[0], c->arg[1]) < 0)
		return ERR_INVAL;
	return one(s, c, director_txn_create, path, "added");
}

static int portal_remove(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];

	if (path_make(s, path, "/targets/%s/portals/%s", c->arg[0], c->arg[1]) < 0)
		return ERR_INVAL;
	return one(s, c, director_txn_delete, path, "removed");
}

#define HOST_OPTS \
	{ "any", 0, NULL, 0, NULL, "every initiator: an open target" }, \
	{ "chap", 0, "USER", WORD_TEXT, NULL, "the name that the initiator authenticates with" }, \
	{ "secret-file", 0, "FILE", WORD_FILE, NULL, "its secret is the first line of FILE; - is standard input" }, \
	{ "mutual", 0, "USER", WORD_TEXT, NULL, "the name that the target authenticates itself with" }, \
	{ "mutual-secret-file", 0, "FILE", WORD_FILE, NULL, "the target's secret" }

const struct cmd cmd_target[] = {
	{ .words = "target list", .run = target_list, .help = "List all targets" },
	{ .words = "target show", .run = target_show, .args = { ARG("IQN", WORD_TARGET) }, .help = "Show a target" },
	{ .words = "target create", .run = target_create, .args = { ARG("IQN", WORD_TEXT) }, .type = "target", .changes = true,
	  .help = "Create a target" },
	{ .words = "target set", .run = target_set, .args = { ARG("IQN", WORD_TARGET) }, .type = "target", .changes = true,
	  .opts = { FORCE_OPT }, .help = "Change parameters of a target" },
	{ .words = "target delete", .run = target_delete, .args = { ARG("IQN", WORD_TARGET) }, .changes = true,
	  .opts = { FORCE_OPT }, .help = "Delete a target; its volumes stay" },
	{ .words = "lun list", .run = lun_list, .args = { MAYBE("IQN", WORD_TARGET) }, .help = "List LUNs of one target or of all" },
	{ .words = "lun add", .run = lun_add, .args = { ARG("IQN", WORD_TARGET), ARG("VOLUME", WORD_VOLUME) }, .type = "lun",
	  .opts = { { "lun", 0, "N", WORD_NUMBER, NULL, "its number; left out, the lowest that is free" } },
	  .changes = true, .help = "Show a volume to the initiators of a target" },
	{ .words = "lun remove", .run = lun_remove, .args = { ARG("IQN", WORD_TARGET), ARG("N", WORD_LUN) }, .changes = true,
	  .opts = { FORCE_OPT }, .help = "Take a LUN from a target; its volume stays" },
	{ .words = "host list", .run = host_list, .args = { MAYBE("IQN", WORD_TARGET) },
	  .help = "List who may log in to one target or to all" },
	{ .words = "host add", .run = host_add, .args = { ARG("IQN", WORD_TARGET), MAYBE("INITIATOR", WORD_INITIATOR) },
	  .opts = { HOST_OPTS }, .type = "host", .changes = true, .help = "Let an initiator log in to a target" },
	{ .words = "host set", .run = host_set, .args = { ARG("IQN", WORD_TARGET), MAYBE("INITIATOR", WORD_HOST) },
	  .opts = { HOST_OPTS }, .type = "host", .changes = true, .help = "Change how an initiator authenticates" },
	{ .words = "host remove", .run = host_remove, .args = { ARG("IQN", WORD_TARGET), ARG("INITIATOR", WORD_HOST) },
	  .changes = true, .opts = { FORCE_OPT }, .help = "Let an initiator log in no more" },
	{ .words = "portal list", .run = portal_list, .args = { MAYBE("IQN", WORD_TARGET) }, .help = "List addresses of targets" },
	{ .words = "portal add", .run = portal_add, .args = { ARG("IQN", WORD_TARGET), ARG("ADDR:PORT", WORD_TEXT) },
	  .type = "portal", .changes = true, .help = "Let a target be reached at an address" },
	{ .words = "portal remove", .run = portal_remove, .args = { ARG("IQN", WORD_TARGET), ARG("ADDR:PORT", WORD_PORTAL) },
	  .changes = true, .opts = { FORCE_OPT }, .help = "Let a target no more be reached at an address" },
	{ .words = "session list", .run = session_list, .help = "List the initiators that are logged in" },
	{ .words = NULL },
};
