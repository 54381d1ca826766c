/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is logged in to what a change takes away: initiators lose their disks without a word, so that is asked for twice. What is
 * known of sessions is what nodes have told, so this is advice to people; programs judge for themselves.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "shell/shell.h"

#define GONE_MS 3000            /* a session that has just ended is known as open for so long at most */
#define LOOK_MS 100
#define PORT 3260               /* of a portal that names none */

/* What a step does to sessions with its target. */
enum cut { CUT_NONE, CUT_ALL, CUT_LUN, CUT_HOST, CUT_PORTAL };

struct loss {
	enum cut cut;
	char target[PATH_LEN_MAX];
	const char *name;               /* of the host, the portal */
	struct director_list *folder;   /* where it has its like, which may let the same sessions in */
};

/* "/targets/T", "/targets/T/luns/N" and so on. */
static enum cut loss_at(const char *path, char *target)
{
	static const struct { const char *folder; enum cut cut; } folders[] = {
		{ "luns", CUT_LUN }, { "hosts", CUT_HOST }, { "portals", CUT_PORTAL },
	};
	char folder[PATH_LEN_MAX];
	unsigned depth = path_depth(path);
	size_t n;

	if (!path_below(path, "/targets") || depth < 2)
		return CUT_NONE;
	n = strcspn(path + strlen("/targets/"), "/");
	memcpy(target, path + strlen("/targets/"), n);
	target[n] = '\0';
	if (depth == 2)
		return CUT_ALL;
	path_parent(path, folder);
	for (unsigned i = 0; depth == 4 && i < ARRAY_LEN(folders); i++)
		if (strcmp(path_name(folder), folders[i].folder) == 0)
			return folders[i].cut;
	return CUT_NONE;
}

static bool is_off(const char *value)
{
	return strcmp(value, "no") == 0 || strcmp(value, "off") == 0 || strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
}

/* Would it turn a target off? Undone, what turned it on does. */
static bool turns_off(const struct director_txn *t, size_t i, bool undone)
{
	const char *key, *value;

	for (size_t k = 0; director_txn_attr_at(t, i, k, &key, &value); k++)
		if (strcmp(key, "enabled") == 0)
			return is_off(value) != undone;
	return false;
}

/* Its path, lent; NULL: nobody loses anything by the i-th step. */
static const char *loss_of(const struct director_txn *t, size_t i, bool undone, struct loss *l)
{
	const char *path, *kind = director_txn_at(t, i, &path);

	l->cut = loss_at(path, l->target);
	if (strcmp(kind, "set") == 0)
		return l->cut == CUT_ALL && turns_off(t, i, undone) ? path : NULL;
	return l->cut && strcmp(kind, undone ? "create" : "delete") == 0 ? path : NULL;
}

/* ---- sessions ---- */

/* Does the host of this name, or the portal, let the session in? */
static bool lets_in(enum cut cut, const char *name, const struct director_object *session)
{
	static const uint8_t anywhere[16];
	const char *by = director_object_value(session, cut == CUT_HOST ? "initiator" : "portal");
	struct addr portal, at;

	if (!by)
		return true;
	if (cut == CUT_HOST)
		return strcmp(name, "any") == 0 || strcasecmp(name, by) == 0;
	if (addr_parse(name, PORT, &portal) < 0 || addr_parse(by, PORT, &at) < 0)
		return true;
	return portal.port == at.port && (memcmp(portal.ip, anywhere, sizeof(anywhere)) == 0 ||
		(portal.family == at.family && memcmp(portal.ip, at.ip, sizeof(at.ip)) == 0));
}

/* Is it one that loses something? */
static bool loses(const struct loss *l, const struct director_object *session)
{
	if (l->cut != CUT_HOST && l->cut != CUT_PORTAL)
		return true;
	if (!lets_in(l->cut, l->name, session))
		return false;
	for (size_t i = 0; i < director_list_n(l->folder); i++) {
		const struct director_object *o = director_list_at(l->folder, i);

		if (*director_object_type(o) && strcasecmp(director_object_name(o), l->name) != 0 && lets_in(l->cut, director_object_name(o), session))
			return false;
	}
	return true;
}

/* What a node said that is not here any more is not so now. */
static bool node_lives(struct shell *s, const char *node)
{
	char path[PATH_LEN_MAX];
	struct director_object *o;
	const char *state;
	bool lives;

	if (path_make(s, path, "/nodes/%s", node) < 0 || director_get(s->d, path, &o) < 0)
		return false;
	state = director_object_derived(o, "state");
	lives = state && (strcmp(state, "alive") == 0 || strcmp(state, "suspect") == 0);
	director_object_free(&o);
	return lives;
}

/* *count: how many sessions lose something, and whose: "iqn… on n1", the first of them (given). Or an error, said. */
static int sessions_that_lose(struct shell *s, const struct loss *loss, unsigned *count, char **who)
{
	struct director_list *l = NULL;
	char last[64] = "";
	unsigned n = 0;
	int err = director_list(s->d, "/sessions", 1, NULL, 0, &l);

	*who = NULL;
	*count = 0;
	/* Without any session the folder is not there. */
	if (err)
		return err == ERR_NOENT ? 0 : say_error(s);
	for (size_t i = 0; i < director_list_n(l); i++) {
		const struct director_object *o = director_list_at(l, i);
		const char *of = director_object_value(o, "target"), *node = director_object_value(o, "node");
		const char *initiator = director_object_value(o, "initiator");

		/* Those of one node stand together: it is asked about once. */
		if (!of || strcasecmp(of, loss->target) != 0 || !node || !loses(loss, o) || (strcmp(node, last) != 0 && !node_lives(s, node)))
			continue;
		snprintf(last, sizeof(last), "%s", node);
		if (n++ == 0)
			*who = mem_printf("%s on %s", initiator ? initiator : "an initiator", node);
	}
	director_list_free(&l);
	*count = n;
	return 0;
}

static void word(struct buf *b, const char *before, const char *w)
{
	auto_free char *quoted = line_quote(w);

	buf_printf(b, "%s%s", before, quoted);
}

/* The command once more, with --force (given). */
static char *forced(const struct call *c)
{
	struct buf b = { 0 };

	buf_printf(&b, "director %s", c->cmd->words);
	for (unsigned i = 0; i < ARGS_MAX && c->arg[i]; i++)
		word(&b, " ", c->arg[i]);
	for (unsigned i = 0; i < c->n_rest; i++)
		word(&b, " ", c->rest[i]);
	for (unsigned i = 0; i < c->n_params; i++) {
		buf_printf(&b, " %s", c->params[i].key);
		word(&b, "=", c->params[i].value);
	}
	buf_puts(&b, " --force");
	return buf_take(&b);
}

static int refuse(struct shell *s, const struct call *c, const char *path, const struct loss *l, unsigned n, const char *who)
{
	static const char *const does[] = { [CUT_ALL] = "ends", [CUT_LUN] = "takes it from", [CUT_HOST] = "ends", [CUT_PORTAL] = "leaves" };
	auto_free char *hint = forced(c);

	return say_fail(s, ERR_BUSY, path, hint, "%u session%s from %s%s %s open; --force %s %s%s", n, n == 1 ? "" : "s", who,
	                n == 1 ? "" : " and others", n == 1 ? "is" : "are", does[l->cut], n == 1 ? "it" : "them",
	                l->cut == CUT_PORTAL ? " no way back" : "");
}

static int look(struct shell *s, const struct call *c, const char *path, struct loss *l, struct mono until)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	auto_free char *who = NULL;
	char folder[PATH_LEN_MAX];
	unsigned n;
	int err;

	l->name = path_name(path);
	l->folder = NULL;
	path_parent(path, folder);
	/* Without its like it is alone. */
	if (l->cut == CUT_HOST || l->cut == CUT_PORTAL)
		director_list(s->d, folder, 1, NULL, 0, &l->folder);
	while (!(err = sessions_that_lose(s, l, &n, &who)) && n && mono_before(mono_now(), until)) {
		mem_autofree(&who);
		nanosleep(&pause, NULL);
	}
	director_list_free(&l->folder);
	return err || !n ? err : refuse(s, c, path, l, n, who);
}

int sessions_refuse(struct shell *s, const struct call *c, const struct director_txn *t, bool undone)
{
	struct mono until = mono_add_ms(mono_now(), GONE_MS);
	const char *path;
	struct loss l;
	int err = 0;

	for (size_t i = 0; i < director_txn_n(t) && !err && !call_opt(c, "force"); i++)
		if ((path = loss_of(t, i, undone, &l)))
			err = look(s, c, path, &l, until);
	return err;
}
