/* SPDX-License-Identifier: Apache-2.0 */
/* director volume … */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/cmds.h"

static const struct column columns[] = {
	{ "NAME", "name", CELL_TEXT }, { "SIZE", "size", CELL_SIZE }, { "NODE", "node", CELL_TEXT },
	{ "BACKSTORE", "backstore", CELL_TEXT }, { "IN SYNC", "in-sync", CELL_TEXT }, { "STATE", "state", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
};

static const struct column leg_columns[] = {
	{ "LEG", "name", CELL_TEXT }, { "NODE", "node", CELL_TEXT }, { "BACKSTORE", "backstore", CELL_TEXT },
	{ "STATE", "state", CELL_TEXT }, { "STORAGE", "storage", CELL_TEXT }, { "SERVES", "serves", CELL_BOOL },
	{ "TO COPY", "resync-left", CELL_SIZE }, { "TIME LEFT", "time-left", CELL_AGE }, { "REPLACES", "replaces", CELL_TEXT },
	{ "STORED AT", "stored-at", CELL_TEXT },
};

/* The store of one with copies is its legs'. */
static char *volume_cell(void *arg, const struct director_object *o, const char *key)
{
	return strcmp(key, "backstore") == 0 && director_object_desired(o, "copies") ? mem_strdup("") : NULL;
}

static int volume_list(struct shell *s, struct call *c)
{
	return object_table_with(s, "/volumes", 1, "volume", columns, ARRAY_LEN(columns), volume_cell, NULL);
}

static int volume_path(struct shell *s, const char *name, char *path)
{
	return path_make(s, path, "%s%s", *name == '/' ? "" : "/volumes/", name);
}

static uint64_t number(const struct director_object *o, const char *key)
{
	const char *v = director_object_value(o, key);
	uint64_t n = 0;

	if (v)
		text_u64_parse(v, &n);
	return n;
}

/* What the two numbers of the owner say; NULL: nothing is copied, or not yet known how fast. In ms, for the cell. And which LUN it is. */
static char *leg_cell(void *arg, const struct director_object *o, const char *key)
{
	uint64_t rate = number(o, "resync-rate"), left = number(o, "resync-left");
	const char *lun = director_object_desired(o, "lun");

	if (lun && strcmp(key, "backstore") == 0)
		return mem_strdup(lun);
	/* One that was given up is there until its node has removed it, which may be down. */
	if (!lun && !director_object_desired(o, "node") && strcmp(key, "node") == 0)
		return mem_strdup(director_object_observers(o) ? director_object_observer(o, 0, NULL) : "");
	if (!lun && !director_object_desired(o, "node") && strcmp(key, "state") == 0)
		return mem_strdup("given up");
	return strcmp(key, "time-left") == 0 && rate && left ? mem_printf("%llu", (unsigned long long)(left / rate + 1) * 1000) : NULL;
}

/* What stands below a volume, or the parts of a striped one, after the object itself. */
static int show_parts(struct shell *s, const char *path, const struct director_object *o)
{
	const char *stripe = director_object_desired(o, "stripe");
	uint64_t n = 0;
	char part[PATH_LEN_MAX + 40];
	int err = 0;

	if (stripe)
		text_u64_parse(stripe, &n);
	if (!director_object_desired(o, "copies"))
		return 0;
	for (uint64_t i = 0; i < n && !err; i++) {
		snprintf(part, sizeof(part), "%s.%llu/legs", path, (unsigned long long)i);
		printf("part %llu\n", (unsigned long long)i);
		err = object_table_with(s, part, 1, "leg", leg_columns, ARRAY_LEN(leg_columns), leg_cell, NULL);
	}
	snprintf(part, sizeof(part), "%s/legs", path);
	return err || stripe ? err : object_table_with(s, part, 1, "leg", leg_columns, ARRAY_LEN(leg_columns), leg_cell, NULL);
}

/* The legs of the volume into `j`. One that has none has no folder of them; an error is said. */
static int legs_json(struct shell *s, const char *volume, json_t *j)
{
	struct director_list *l = NULL;
	json_t *all = json_array();
	char path[PATH_LEN_MAX + 40];
	int err;

	snprintf(path, sizeof(path), "%s/legs", volume);
	err = director_list(s->d, path, 1, NULL, 0, &l);
	for (size_t i = 0; !err && i < director_list_n(l); i++)
		if (strcmp(director_object_type(director_list_at(l, i)), "leg") == 0)
			json_array_append_new(all, object_json(s, director_list_at(l, i)));
	director_list_free(&l);
	json_object_set_new(j, "legs", all);
	return err && err != ERR_NOENT ? say_error(s) : 0;
}

/* The part with its legs, behind the others; one that is not there yet, or any more, is left out. */
static int part_json(struct shell *s, const char *path, json_t *parts)
{
	struct director_object *o;
	json_t *one;
	int err = director_get(s->d, path, &o);

	if (err)
		return err == ERR_NOENT ? 0 : say_error(s);
	one = object_json(s, o);
	json_array_append_new(parts, one);
	director_object_free(&o);
	return legs_json(s, path, one);
}

static int volume_json(struct shell *s, const char *path, const struct director_object *o)
{
	const char *stripe = director_object_desired(o, "stripe");
	json_t *j = object_json(s, o), *parts = json_array();
	char part[PATH_LEN_MAX + 24];
	uint64_t n = 0;
	int err = 0;

	if (stripe)
		text_u64_parse(stripe, &n);
	json_object_set_new(j, "legs", json_array());
	json_object_set_new(j, "parts", parts);
	if (!stripe)
		err = legs_json(s, path, j);
	for (uint64_t i = 0; i < n && !err; i++) {
		snprintf(part, sizeof(part), "%s.%llu", path, (unsigned long long)i);
		err = part_json(s, part, parts);
	}
	if (err)
		json_decref(j);
	else
		say_json(s, j);
	return err;
}

static int volume_show(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	struct director_object *o;
	int err = 0;

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	if (director_get(s->d, path, &o) < 0)
		return say_error(s);
	if (s->json) {
		say_look(s);
		err = volume_json(s, path, o);
	} else {
		err = object_show(s, path);
		if (!err)
			err = show_parts(s, path, o);
	}
	director_object_free(&o);
	return err;
}

/* ---- legs that are LUNs of foreign targets ---- */

/* The user and secret that --user and --secret-file give; *user NULL: none. */
static int lun_secret(struct shell *s, struct call *c, const char **user, char **secret)
{
	*user = call_opt(c, "user");
	*secret = NULL;
	if (!*user && !call_opt(c, "secret-file"))
		return 0;
	if (!*user || !call_opt(c, "lun"))
		return say_fail(s, ERR_INVAL, NULL, "--lun URL --user NAME --secret-file FILE", "a user and a secret are those of a LUN: all three");
	return secret_read(s, call_opt(c, "secret-file"), "CHAP secret of the LUN's target: ", secret);
}

static int lun_attrs(struct shell *s, struct director_txn *t, const char *url, const char *user, const char *secret)
{
	int err = director_txn_attr(t, "lun", url);

	if (!err && user)
		err = director_txn_attr(t, "p.user", user);
	if (!err && secret)
		err = director_txn_attr(t, "p.secret", secret);
	return err ? say_fail(s, ERR_INVAL, NULL, NULL, "the LUN, its user or its secret is no text of one line") : 0;
}

static unsigned lun_count(struct call *c)
{
	const char *p = call_opt(c, "lun");
	unsigned n = 0;

	for (; p && *p; p += strcspn(p, " "))
		n += *(p += strspn(p, " ")) != '\0';
	return n;
}

/* A leg of volume `path` for each LUN of --lun. */
static int luns_add(struct shell *s, struct call *c, struct director_txn *t, const char *path)
{
	const char *p = call_opt(c, "lun"), *user;
	auto_free char *secret = NULL;
	char leg[PATH_LEN_MAX];
	int err = lun_secret(s, c, &user, &secret);

	if (!err && p)
		err = path_make(s, leg, "%s/legs/auto", path);
	for (; !err && p && *p; p += strcspn(p, " ")) {
		auto_free char *url = NULL;

		p += strspn(p, " ");
		if (!*p)
			break;
		url = mem_strndup(p, strcspn(p, " "));
		director_txn_create(t, leg);
		err = lun_attrs(s, t, url, user, secret);
	}
	if (secret)
		explicit_bzero(secret, strlen(secret));
	return err;
}

/* Unless it is said: a copy on each node and LUN that is named. */
static int copies_attr(struct shell *s, struct call *c, struct director_txn *t)
{
	const char *on = call_param(c, "node");
	unsigned n = lun_count(c);
	char text[24];

	if (!n || call_param(c, "copies"))
		return 0;
	for (n += on && *on; on && (on = strchr(on, ',')); on++)
		n++;
	snprintf(text, sizeof(text), "%u", n);
	return director_txn_attr(t, "copies", text) < 0 ? ERR_INVAL : 0;
}

static int volume_create(struct shell *s, struct call *c)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;
	int err;

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	if (call_opt(c, "lun") && call_param(c, "stripe"))
		return say_fail(s, ERR_INVAL, path, NULL, "the parts of a striped volume are on nodes; --lun cannot go with --stripe");
	director_txn_new(&t);
	director_txn_create(t, path);
	err = change_params(s, c, t);
	if (!err)
		err = copies_attr(s, c, t);
	if (!err)
		err = luns_add(s, c, t, path);
	if (err) {
		director_txn_free(&t);
		return err;
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
	if (!c->n_params)
		return change_nothing(s, c, path);
	director_txn_new(&t);
	director_txn_set(t, path);
	if (change_params(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	return change_commit(s, c, &t, path, "changed");
}

/* One parameter of a volume, and what else the command gives. */
static int set_one(struct shell *s, struct call *c, const char *key, const char *value, const char *done)
{
	char path[PATH_LEN_MAX];
	struct director_txn *t;
	int err;

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	director_txn_new(&t);
	director_txn_set(t, path);
	err = change_params(s, c, t);
	if (!err && key && director_txn_attr(t, key, value) < 0)
		err = say_fail(s, ERR_INVAL, NULL, NULL, "\"%s\" is no value", value);
	if (!err)
		err = luns_add(s, c, t, path);
	if (err) {
		director_txn_free(&t);
		return err;
	}
	return change_commit(s, c, &t, path, done);
}

static int volume_convert(struct shell *s, struct call *c)
{
	if (!call_param(c, "copies"))
		return say_fail(s, ERR_INVAL, NULL, "director volume convert NAME --copies 2", "how many copies?");
	s->patient = true;
	return set_one(s, c, NULL, NULL, "converted");
}

static int volume_scrub(struct shell *s, struct call *c)
{
	return set_one(s, c, "scrub-asked", "next", "is going to be scrubbed");
}

/* The leg that is meant: named, or the only one. */
static int leg_meant(struct shell *s, const char *path, const char *named, char *leg)
{
	struct director_list *l;
	char folder[PATH_LEN_MAX + 8], *list = mem_strdup("");
	unsigned n = 0;

	snprintf(leg, PATH_LEN_MAX, "%s", named ? named : "");
	if (named) {
		mem_autofree(&list);
		return 0;
	}
	snprintf(folder, sizeof(folder), "%s/legs", path);
	if (director_list(s->d, folder, 1, NULL, 0, &l) < 0) {
		mem_autofree(&list);
		return say_error(s);
	}
	for (size_t i = 0; i < director_list_n(l); i++) {
		const struct director_object *o = director_list_at(l, i);
		char *more;

		/* One that was given up is reported until its storage is gone. */
		if (strcmp(director_object_type(o), "leg") != 0 || !(director_object_desired(o, "lun") || director_object_desired(o, "node")))
			continue;
		snprintf(leg, PATH_LEN_MAX, "%s", director_object_name(o));
		more = mem_printf("%s%s%s (%s)", list, n++ ? ", " : "", leg, director_object_desired(o, "lun") ? director_object_desired(o, "lun") :
		                  director_object_desired(o, "node"));
		mem_autofree(&list);
		list = more;
	}
	director_list_free(&l);
	if (n == 0)
		say_fail(s, ERR_NOTSUP, path, "director volume convert NAME --copies 2", "it was made without --copies, and has no legs that could be moved");
	else if (n > 1)
		say_fail(s, ERR_INVAL, path, "director volume move NAME --leg LEG", "which leg? It has %s", list);
	mem_autofree(&list);
	return n == 1 ? 0 : n ? ERR_INVAL : ERR_NOTSUP;
}

/* A leg may be named with its volume in one word: v/a, /volumes/v/legs/a. What is behind the volume's name is cut off `path`. */
static const char *leg_in_path(char *path)
{
	char *leg = strchr(path + strlen("/volumes/"), '/');

	if (!leg)
		return NULL;
	*leg++ = '\0';
	return strncmp(leg, "legs/", 5) == 0 ? leg + 5 : leg;
}

static int move_leg(struct shell *s, struct call *c, const char *path, const char *named)
{
	const char *to = call_opt(c, "to"), *device = call_opt(c, "device"), *backstore = call_opt(c, "backstore");
	const char *lun = call_opt(c, "lun"), *user;
	char leg[PATH_LEN_MAX], made[PATH_LEN_MAX];
	auto_free char *secret = NULL;
	struct director_txn *t;
	int err = leg_meant(s, path, named, leg);

	if (!err && lun && (to || device || backstore))
		return say_fail(s, ERR_INVAL, NULL, "director help volume move", "--lun is elsewhere, --to, --device and --backstore are at a node: one of them");
	if (!err)
		err = lun_secret(s, c, &user, &secret);
	if (err || path_make(s, made, "%s/legs/auto", path) < 0)
		return err ? err : ERR_INVAL;
	director_txn_new(&t);
	director_txn_create(t, made);
	director_txn_attr(t, "replaces", leg);
	if (change_params(s, c, t) < 0 || (lun && lun_attrs(s, t, lun, user, secret) < 0)) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	if ((to && director_txn_attr(t, "node", to) < 0) || (device && director_txn_attr(t, "device", device) < 0) ||
	    (backstore && director_txn_attr(t, "backstore", backstore) < 0)) {
		director_txn_free(&t);
		return say_fail(s, ERR_INVAL, NULL, NULL, "a name is one word");
	}
	s->patient = true;
	return change_commit(s, c, &t, made, "has taken its place");
}

static int volume_move(struct shell *s, struct call *c)
{
	const char *owner = call_opt(c, "owner"), *leg = call_opt(c, "leg"), *in_path;
	char path[PATH_LEN_MAX];

	if (volume_path(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	in_path = path_below(path, "/volumes") ? leg_in_path(path) : NULL;
	if (leg && in_path)
		return say_fail(s, ERR_INVAL, path, "director help volume move", "the leg is named twice");
	leg = leg ? leg : in_path;
	if (owner && (call_opt(c, "to") || leg || call_opt(c, "lun")))
		return say_fail(s, ERR_INVAL, NULL, "director help volume move", "--owner says who serves it, --leg and --to where its data is: one of them");
	if (owner)
		return set_one(s, c, "want", owner, "is served there");
	return move_leg(s, c, path, leg);
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

#define LUN_OPTS(what) \
	{ "lun", 0, "URL", WORD_TEXT, NULL, what ": iscsi://PORTAL/TARGET/LUN" }, \
	{ "user", 0, "NAME", WORD_TEXT, NULL, "CHAP: who we are to the LUN's target" }, \
	{ "secret-file", 0, "FILE", WORD_FILE, NULL, "its secret is the first line of FILE; - is standard input" }

const struct cmd cmd_volume[] = {
	{ .words = "volume list", .run = volume_list, .help = "List all volumes" },
	{ .words = "volume show", .run = volume_show, .args = { ARG("NAME", WORD_VOLUME) },
	  .help = "Show a volume: what is desired, and what its node observes" },
	{ .words = "volume create", .run = volume_create, .args = { ARG("NAME", WORD_TEXT) }, .type = "volume",
	  .opts = { { "size", 0, "SIZE", WORD_SIZE, "size", "its size: 1G, 500M, 1.5T" },
	            { "copies", 0, "N", WORD_NUMBER, "copies", "so many nodes hold the data: 1 to 3; more or fewer at any time" },
	            { "stripe", 0, "N", WORD_NUMBER, "stripe", "spread over N volumes, each with its copies and its own owner" },
	            { "on", 0, "NODE,...", WORD_NODE, "node", "the node that holds it, or one for each copy; left out, those with the most space" },
	            { "backstore", 0, "PLUGIN", WORD_TEXT, "backstore", "the plugin that stores the data: file, ram, block" },
	            LUN_OPTS("a copy on this LUN of a foreign target, whose content is lost") },
	  .changes = true, .help = "Create a volume" },
	{ .words = "volume resize", .run = volume_resize, .args = { ARG("NAME", WORD_VOLUME), MAYBE("SIZE", WORD_SIZE) },
	  .opts = { { "size", 0, "SIZE", WORD_SIZE, "size", "its new size" } }, .type = "volume",
	  .changes = true, .help = "Change the size of a volume" },
	{ .words = "volume set", .run = volume_set, .args = { ARG("NAME", WORD_VOLUME) }, .type = "volume", .changes = true,
	  .help = "Change parameters of a volume" },
	{ .words = "volume convert", .run = volume_convert, .args = { ARG("NAME", WORD_VOLUME) }, .changes = true,
	  .opts = { { "copies", 0, "N", WORD_NUMBER, "copies", "how many copies it shall have" },
	            { "on", 0, "NODE,...", WORD_NODE, "node", "where the further ones shall be; of fewer, where those are that stay" },
	            LUN_OPTS("a further one on this LUN of a foreign target") }, .type = "volume",
	  .help = "Give a volume more or fewer copies, while it is used" },
	{ .words = "volume move", .run = volume_move, .args = { ARG("NAME", WORD_VOLUME) }, .type = "leg", .changes = true,
	  .opts = { { "leg", 0, "LEG", WORD_LEG, NULL, "the copy to move; left out, the only one" },
	            { "to", 0, "NODE", WORD_NODE, NULL, "where to; left out, the node with the most space" },
	            { "device", 0, "DEVICE", WORD_TEXT, NULL, "onto this device of the node" },
	            { "backstore", 0, "PLUGIN", WORD_BACKSTORE, NULL, "the plugin that stores it there" },
	            LUN_OPTS("onto this LUN of a foreign target"),
	            { "owner", 0, "NODE", WORD_NODE, NULL, "let this node serve the volume; no data moves" } },
	  .help = "Move a copy of a volume, or who serves it, to another node, while it is used" },
	{ .words = "volume scrub", .run = volume_scrub, .args = { ARG("NAME", WORD_VOLUME) }, .changes = true,
	  .help = "Compare the copies of a volume, and repair what differs" },
	{ .words = "volume delete", .run = volume_delete, .args = { ARG("NAME", WORD_VOLUME) }, .changes = true,
	  .help = "Delete a volume and its data" },
	{ .words = NULL },
};
