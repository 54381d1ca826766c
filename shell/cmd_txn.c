/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions and what is remembered of them: begin diff commit abort history blame undo dump. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/cmds.h"

static int cmd_begin(struct shell *s, struct call *c)
{
	if (shell_no_trial(s))
		return ERR_INVAL;
	if (director_candidate_begin(s->d) < 0)
		return say_error(s);
	s->in_tx = 1;
	say(s, "a transaction is open; changes are collected until `director commit`");
	say_json(s, json_pack("{s:s}", "state", "candidate"));
	return 0;
}

static json_t *steps_json(struct shell *s, const struct director_txn *t)
{
	json_t *all = json_array();
	const char *kind, *path, *key, *value;

	for (size_t i = 0; (kind = director_txn_at(t, i, &path)) != NULL; i++) {
		json_t *attrs = json_object();

		for (size_t k = 0; director_txn_attr_at(t, i, k, &key, &value); k++)
			json_object_set_new(attrs, key, json_string(value));
		json_array_append_new(all, json_pack("{s:s, s:s, s:o}", "step", kind, "path", path, "attributes", attrs));
	}
	return all;
}

static void print_steps(const struct director_txn *t, const char *indent)
{
	const char *kind, *path, *key, *value;

	for (size_t i = 0; (kind = director_txn_at(t, i, &path)) != NULL; i++) {
		printf("%s%c %s", indent, *kind == 'c' ? '+' : *kind == 'd' ? '-' : '~', path);
		for (size_t k = 0; director_txn_attr_at(t, i, k, &key, &value); k++)
			printf(" %s=%s", key, value);
		putchar('\n');
	}
}

static int cmd_diff(struct shell *s, struct call *c)
{
	struct director_txn *steps, *none;
	struct director_result *r;
	json_t *plan;
	const char *line;
	int err;

	if (director_candidate_show(s->d, &steps) < 0)
		return say_error(s);
	director_txn_new(&none);
	err = director_candidate_commit(s->d, none, DIRECTOR_DRY_RUN, &r);
	director_txn_free(&none);
	if (err) {
		say_error(s);
		if (!s->json)
			print_steps(steps, "");
		director_txn_free(&steps);
		return err;
	}
	plan = json_array();
	for (size_t i = 0; (line = director_result_line(r, i)) != NULL; i++) {
		json_array_append_new(plan, json_string(line));
		if (!s->json)
			puts(line);
	}
	if (!s->json && !director_result_line(r, 0))
		print_steps(steps, "");
	say_json(s, json_pack("{s:I, s:o, s:o}", "base", (json_int_t)director_txn_base(steps), "steps", steps_json(s, steps),
		"diff", plan));
	director_result_free(&r);
	director_txn_free(&steps);
	return 0;
}

/* Nothing was collected: the transaction ends, and the history has no entry of it. */
static int commit_nothing(struct shell *s)
{
	if (!s->dry_run && director_candidate_abort(s->d) < 0)
		return say_error(s);
	s->in_tx = s->dry_run;
	say(s, "the transaction is empty; nothing was changed");
	say_json(s, json_pack("{s:s, s:n, s:n, s:s, s:n}", "path", "/", "commit", "task", "state", s->dry_run ? "dry-run" : "done", "object"));
	return 0;
}

static int cmd_commit(struct shell *s, struct call *c)
{
	struct director_txn *t, *steps;
	struct director_result *r;
	auto_free char *first = NULL;
	const char *path = "/";
	int err;

	if (director_candidate_show(s->d, &steps) < 0)
		return say_error(s);
	if (!director_txn_n(steps)) {
		director_txn_free(&steps);
		return commit_nothing(s);
	}
	if (director_txn_n(steps) == 1)
		director_txn_at(steps, 0, &path);
	first = mem_strdup(path);
	director_txn_free(&steps);
	director_txn_new(&t);
	if (change_message(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	if (c->key)
		director_txn_key(t, c->key);
	err = director_candidate_commit(s->d, t, s->dry_run ? DIRECTOR_DRY_RUN : 0, &r);
	director_txn_free(&t);
	if (err)
		return say_error(s);
	s->in_tx = s->dry_run ? 1 : -1;         /* another of the user's shells may have added something in the meantime */
	if (!s->dry_run)
		say(s, "committed as %llu; undo with: director undo %llu", (unsigned long long)director_result_index(r),
		    (unsigned long long)director_result_index(r));
	return change_follow(s, &r, first, "changed");
}

static int cmd_abort(struct shell *s, struct call *c)
{
	if (shell_no_trial(s))
		return ERR_INVAL;
	if (director_candidate_abort(s->d) < 0)
		return say_error(s);
	s->in_tx = 0;
	say(s, "the transaction is thrown away; nothing was changed");
	say_json(s, json_pack("{s:s}", "state", "aborted"));
	return 0;
}

/* ---- history ---- */

static const struct column history_columns[] = {
	{ "INDEX", "index", CELL_NUMBER }, { "TIME", "time", CELL_TIME }, { "AUTHOR", "author", CELL_TEXT },
	{ "NODE", "node", CELL_TEXT }, { "CHANGES", "changes", CELL_TEXT }, { "MESSAGE", "message", CELL_TEXT },
};

static const struct column blame_columns[] = {
	{ "KEY", "key", CELL_TEXT }, { "INDEX", "index", CELL_NUMBER }, { "TIME", "time", CELL_TIME },
	{ "AUTHOR", "author", CELL_TEXT }, { "NODE", "node", CELL_TEXT }, { "MESSAGE", "message", CELL_TEXT },
};

/* "+ /volumes/v1" or "+ /volumes/v1 and 3 more". */
static char *changes_text(const struct director_history *h, size_t i)
{
	const struct director_txn *t = director_history_txn(h, i);
	const char *path, *kind = director_txn_at(t, 0, &path);

	if (!kind)
		return mem_strdup(director_history_trimmed(h, i) ? "(too many to remember)" : "");
	if (director_txn_n(t) == 1)
		return mem_printf("%c %s", *kind == 'c' ? '+' : *kind == 'd' ? '-' : '~', path);
	return mem_printf("%c %s and %zu more", *kind == 'c' ? '+' : *kind == 'd' ? '-' : '~', path, director_txn_n(t) - 1);
}

static void cell_number(struct table *t, unsigned column, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	table_cell(t, column, v ? text : NULL);
}

static int cmd_history(struct shell *s, struct call *c)
{
	const char *limit = call_opt(c, "limit");
	struct director_history *h;
	char path[PATH_LEN_MAX];
	struct table *t;
	uint64_t n = 0;

	if (limit && text_u64_parse(limit, &n) < 0)
		return say_fail(s, ERR_INVAL, NULL, NULL, "\"%s\" is no number", limit);
	if (path_of(s, c->arg[0] ? c->arg[0] : "/", path) < 0)
		return ERR_INVAL;
	if (director_history(s->d, path, 0, n, &h) < 0)
		return say_error(s);
	t = table_new(history_columns, ARRAY_LEN(history_columns));
	for (size_t i = 0; i < director_history_n(h); i++) {
		auto_free char *changes = changes_text(h, i);

		table_row(t);
		cell_number(t, 0, director_history_index(h, i));
		cell_number(t, 1, director_history_time(h, i));
		table_cell(t, 2, director_history_author(h, i));
		table_cell(t, 3, director_history_node(h, i));
		table_cell(t, 4, changes);
		table_cell(t, 5, director_history_message(h, i));
		if (s->json)
			table_json(t, "steps", steps_json(s, director_history_txn(h, i)));
	}
	director_history_free(&h);
	say_look(s);
	table_print(s, &t);
	say_if_stale(s);
	return 0;
}

static int cmd_blame(struct shell *s, struct call *c)
{
	struct director_history *h;
	char path[PATH_LEN_MAX];
	struct table *t;

	if (path_of(s, c->arg[0], path) < 0)
		return ERR_INVAL;
	if (director_blame(s->d, path, &h) < 0)
		return say_error(s);
	t = table_new(blame_columns, ARRAY_LEN(blame_columns));
	for (size_t i = 0; i < director_history_n(h); i++) {
		table_row(t);
		table_cell(t, 0, director_history_key(h, i));
		cell_number(t, 1, director_history_index(h, i));
		cell_number(t, 2, director_history_time(h, i));
		table_cell(t, 3, director_history_author(h, i));
		table_cell(t, 4, director_history_node(h, i));
		table_cell(t, 5, director_history_message(h, i));
	}
	director_history_free(&h);
	say_look(s);
	table_print(s, &t);
	say_if_stale(s);
	return 0;
}

/* As sessions_refuse, by what the history says of the commit; of one that is not there the daemon says so. */
static int undo_refuse(struct shell *s, const struct call *c, uint64_t index)
{
	struct director_history *h;
	int err = 0;

	if (call_opt(c, "force") || director_history(s->d, "/", index + 1, 1, &h) < 0)
		return 0;
	if (director_history_n(h) && director_history_index(h, 0) == index)
		err = sessions_refuse(s, c, director_history_txn(h, 0), true);
	director_history_free(&h);
	return err;
}

static int cmd_undo(struct shell *s, struct call *c)
{
	struct director_result *r;
	struct director_txn *t;
	uint64_t index;
	int err;

	if (text_u64_parse(c->arg[0], &index) < 0)
		return say_fail(s, ERR_INVAL, NULL, "director history", "\"%s\" is no entry of the history", c->arg[0]);
	if (shell_in_tx(s))
		return say_fail(s, ERR_BUSY, NULL, "director commit or director abort", "a transaction is open");
	err = undo_refuse(s, c, index);
	if (err)
		return err;
	director_txn_new(&t);
	if (change_message(s, c, t) < 0) {
		director_txn_free(&t);
		return ERR_INVAL;
	}
	if (c->key)
		director_txn_key(t, c->key);
	err = director_undo(s->d, index, t, s->dry_run ? DIRECTOR_DRY_RUN : 0, &r);
	director_txn_free(&t);
	return err ? say_error(s) : change_follow(s, &r, "/", "undone");
}

/* ---- dump ---- */

/* How an object is made again: the command and which names of its path are its arguments. */
static const struct {
	const char *type, *command;
	unsigned names[2], n;           /* positions in the path, from 1 */
} makers[] = {
	{ "cluster", "cluster set", { 0 }, 0 },
	{ "node", "node set", { 2 }, 1 },
	{ "volume", "volume create", { 2 }, 1 },
	{ "target", "target create", { 2 }, 1 },
	{ "portal", "portal add", { 2, 4 }, 2 },
	{ "address", "target address add", { 2, 4 }, 2 },
	{ "host", "host add", { 2, 4 }, 2 },
};

static void name_at(const char *path, unsigned i, char *out)
{
	while (i-- && *path) {
		path++;
		if (i)
			path += strcspn(path, "/");
	}
	snprintf(out, PATH_LEN_MAX, "%.*s", (int)strcspn(path, "/"), path);
}

static bool has_flag(struct shell *s, const char *type, const char *key, unsigned flag)
{
	struct director_param_info info;

	for (size_t i = 0; shell_schema(s) && director_schema_param(shell_schema(s), type, i, &info); i++)
		if (strcmp(info.name, key) == 0)
			return info.flags & flag;
	return false;
}

static bool is_secret(struct shell *s, const char *type, const char *key)
{
	return has_flag(s, type, key, DIRECTOR_SECRET) || (strncmp(key, "p.", 2) == 0 && strstr(key, "secret"));
}

/* What the cluster itself keeps on objects, and nobody types; and what is over when it is done. */
static bool internal(struct shell *s, const char *type, const char *key)
{
	static const char *const keys[] = { "lineage", "key-epoch", "level" };
	static const char *const of_volume[] = { "want", "scrub-asked" };
	static const char *const of_node[] = { "id", "key", "key-box", "portal-group", "drain" };

	if (has_flag(s, type, key, DIRECTOR_MACHINE))
		return true;

	for (unsigned i = 0; strcmp(type, "volume") == 0 && i < ARRAY_LEN(of_volume); i++)
		if (strcmp(of_volume[i], key) == 0)
			return true;
	for (unsigned i = 0; strcmp(type, "node") == 0 && i < ARRAY_LEN(of_node); i++)
		if (strcmp(of_node[i], key) == 0)
			return true;
	/* What it was found by; its path is in the dump. */
	if (strcmp(type, "leg") == 0 && strcmp(key, "device") == 0)
		return true;
	for (unsigned i = 0; strcmp(type, "cluster") == 0 && i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

/* A target that names no portal gets this one; so it is not in a dump, but its absence is. */
static const char *default_portal(struct shell *s)
{
	static char portal[PATH_LEN_MAX];
	struct director_object *o = NULL;
	const char *v = NULL;

	if (!*portal && director_get(s->d, "/cluster", &o) == 0)
		v = object_value(s, o, "portal");
	if (v)
		snprintf(portal, sizeof(portal), "%s", v);
	director_object_free(&o);
	return portal;
}

/* The parameters of `o` behind `line` (given); secrets, which are not shown, are named in *secrets (given). */
static char *dump_attrs(struct shell *s, const struct director_object *o, char *line, char **secrets)
{
	const char *type = director_object_type(o), *key, *value;

	for (size_t i = 0; director_object_desired_at(o, i, &key, &value); i++) {
		auto_free char *quoted = line_quote(value);
		char *more;

		/* A LUN's volume is in its command, and how a leg that is a LUN is reached follows from that. */
		if (internal(s, type, key) || (strcmp(type, "lun") == 0 && strcmp(key, "volume") == 0) ||
		    (strcmp(key, "backstore") == 0 && director_object_desired(o, "lun")))
			continue;
		if (is_secret(s, type, key)) {
			more = mem_printf("%s%s%s", *secrets, **secrets ? ", " : "", key);
			mem_autofree(secrets);
			*secrets = more;
			continue;
		}
		if (strcmp(key, "chap-user") == 0)
			more = mem_printf("%s --chap %s --secret-file CHAP-SECRET-FILE", line, quoted);
		else if (strcmp(key, "mutual-user") == 0)
			more = mem_printf("%s --mutual %s --mutual-secret-file MUTUAL-SECRET-FILE", line, quoted);
		else
			more = mem_printf("%s %s=%s", line, key, quoted);
		mem_autofree(&line);
		line = more;
	}
	return line;
}

static char *noted(char *line, const char *secrets)
{
	char *more;

	if (!line || !*secrets)
		return line;
	more = mem_printf("%s  # the secret is not shown: %s", line, secrets);
	mem_autofree(&line);
	return more;
}

/* The command that makes it, without its parameters (given); NULL: nothing does. */
static char *dump_command(const struct director_object *o)
{
	const char *type = director_object_type(o), *path = director_object_path(o);
	char name[PATH_LEN_MAX], *line = NULL;

	if (strcmp(type, "lun") == 0) {
		const char *volume = director_object_desired(o, "volume");
		char lun[PATH_LEN_MAX];

		name_at(path, 2, name);
		name_at(path, 4, lun);
		return mem_printf("director lun add %s %s --lun %s", name, volume ? volume : "", lun);
	}
	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		if (strcmp(makers[i].type, type) != 0)
			continue;
		line = mem_printf("director %s", makers[i].command);
		for (unsigned k = 0; k < makers[i].n; k++) {
			auto_free char *quoted = NULL;
			char *more;

			name_at(path, makers[i].names[k], name);
			quoted = line_quote(name);
			more = mem_printf("%s %s", line, quoted);
			mem_autofree(&line);
			line = more;
		}
	}
	return line;
}

static char *dump_line(struct shell *s, const struct director_object *o)
{
	const char *type = director_object_type(o);
	auto_free char *secrets = mem_strdup(""), *command = NULL;
	char *line;

	/* A part comes again with the whole. */
	if (strcmp(type, "volume") == 0 && director_object_desired(o, "part-of"))
		return NULL;
	command = dump_command(o);
	if (!command)
		return NULL;
	line = dump_attrs(s, o, mem_strdup(command), &secrets);
	/* The cluster and its nodes are there; without parameters there is nothing to say. */
	if ((strcmp(type, "cluster") == 0 || strcmp(type, "node") == 0) && !*secrets && strcmp(line, command) == 0)
		mem_autofree(&line), line = NULL;
	return noted(line, secrets);
}

static char *appended(char *line, const char *key, const char *value)
{
	auto_free char *quoted = line_quote(value);
	char *more = mem_printf("%s %s=%s", line, key, quoted);

	mem_autofree(&line);
	return more;
}

static void dump_out(struct shell *s, const char *line, json_t *lines)
{
	if (!line)
		return;
	if (!s->json)
		puts(line);
	json_array_append_new(lines, json_string(line));
}

/* What was deleted is reported until its node, which may be down, has removed it. */
static bool is_agreed(const struct director_object *o)
{
	return director_object_generation(o) != 0;
}

/* The next leg of the i-th object, a volume, from the *k-th on, which goes on behind it; NULL: there is none. One that replaces another does not count. */
static const struct director_object *leg_next(const struct director_list *l, size_t i, size_t *k)
{
	while (*k < director_list_n(l)) {
		const struct director_object *leg = director_list_at(l, (*k)++);

		if (!path_below(director_object_path(leg), director_object_path(director_list_at(l, i))))
			return NULL;
		if (strcmp(director_object_type(leg), "leg") == 0 && is_agreed(leg) && !director_object_desired(leg, "replaces"))
			return leg;
	}
	return NULL;
}

static bool is_storage(const char *key)
{
	return strcmp(key, "backstore") == 0 || strncmp(key, "p.", 2) == 0;
}

/* Is each parameter of `a` that says how its data is stored the same in `b`? */
static bool stored_as(struct shell *s, const struct director_object *a, const struct director_object *b)
{
	const char *key, *value, *other;

	for (size_t i = 0; director_object_desired_at(a, i, &key, &value); i++) {
		other = is_storage(key) && !is_secret(s, "leg", key) ? director_object_desired(b, key) : value;
		if (!other || strcmp(other, value) != 0)
			return false;
	}
	return true;
}

/* Has the leg nothing that the line of its volume could not say? */
static bool leg_is_plain(struct shell *s, const struct director_object *leg)
{
	bool lun = director_object_desired(leg, "lun");
	const char *key, *value;

	for (size_t i = 0; director_object_desired_at(leg, i, &key, &value); i++)
		if (!internal(s, "leg", key) && strcmp(key, lun ? "lun" : "node") != 0 &&
		    !(lun ? strcmp(key, "backstore") == 0 || strcmp(key, "p.user") == 0 || is_secret(s, "leg", key) : is_storage(key)))
			return false;
	return true;
}

/* Do all legs of the i-th object, a volume, come again from where they are and one way to store them? Else each has to be named. */
static bool legs_are_plain(struct shell *s, const struct director_list *l, size_t i)
{
	const struct director_object *leg, *first[2] = { NULL, NULL };
	size_t k = i + 1;

	while ((leg = leg_next(l, i, &k))) {
		bool lun = director_object_desired(leg, "lun");

		first[lun] = first[lun] ? first[lun] : leg;
		if (!leg_is_plain(s, leg) || !stored_as(s, leg, first[lun]) || !stored_as(s, first[lun], leg))
			return false;
	}
	return true;
}

/* The object behind what is created in the same line (given). */
static char *dump_also(struct shell *s, char *line, const struct director_object *o, char **secrets)
{
	char *more = mem_printf("%s %s", line, director_object_path(o));

	mem_autofree(&line);
	return dump_attrs(s, o, more, secrets);
}

/* The legs of the i-th object, a volume, likewise, one by one. */
static char *dump_also_legs(struct shell *s, char *line, const struct director_list *l, size_t i, char **secrets)
{
	const struct director_object *leg;
	size_t k = i + 1;

	while ((leg = leg_next(l, i, &k)))
		line = dump_also(s, line, leg, secrets);
	return line;
}

static char *dump_create(struct shell *s, const struct director_object *o, char **secrets)
{
	return dump_attrs(s, o, mem_printf("director create %s", director_object_path(o)), secrets);
}

/* The volume with its legs, which are named one by one. */
static char *dump_named_legs(struct shell *s, const struct director_list *l, size_t i)
{
	auto_free char *secrets = mem_strdup("");

	return noted(dump_also_legs(s, dump_create(s, director_list_at(l, i), &secrets), l, i, &secrets), secrets);
}

static char *dumped_luns(char *line, const char *luns, const char *user)
{
	auto_free char *urls = line_quote(luns);
	auto_free char *name = user ? line_quote(user) : NULL;
	char *more = mem_printf("%s --lun %s%s%s%s", line, urls, name ? " --user " : "", name ? name : "",
	                        name ? " --secret-file CHAP-SECRET-FILE" : "");

	mem_autofree(&line);
	return more;
}

/* The n-th part of the i-th object, a striped volume; i: it is not in the list. */
static size_t part_of(const struct director_list *l, size_t i, unsigned n)
{
	auto_free char *part = mem_printf("%s.%u", director_object_path(director_list_at(l, i)), n);

	for (size_t k = 0; k < director_list_n(l); k++)
		if (strcmp(director_object_path(director_list_at(l, k)), part) == 0)
			return k;
	return i;
}

/* The striped volume with all its parts and their legs, so that they come to lie where they are; NULL: not in one line that can be read. */
static char *dump_parts(struct shell *s, const struct director_list *l, size_t i)
{
	const struct director_object *v = director_list_at(l, i);
	auto_free char *secrets = mem_strdup("");
	char *line = dump_create(s, v, &secrets);
	uint64_t stripe = 0;
	struct line words;
	const char *why;
	bool all = text_u64_parse(director_object_desired(v, "stripe"), &stripe) == 0;

	for (unsigned n = 0; n < stripe && all; n++) {
		size_t k = part_of(l, i, n);

		all = k != i;
		if (all)
			line = dump_also_legs(s, dump_also(s, line, director_list_at(l, k), &secrets), l, k, &secrets);
	}
	all = line_parse(line, &words, NULL, &why) == 0 && all;
	line_fini(&words);
	if (all)
		return noted(line, secrets);
	mem_autofree(&line);
	return NULL;
}

/* Where the i-th object, a volume, has its legs, and what their storage is, go into the line that makes it. */
static char *dump_legs(struct shell *s, const struct director_list *l, size_t i, char *line)
{
	bool striped = director_object_desired(director_list_at(l, i), "stripe");
	const struct director_object *leg;
	char *nodes = mem_strdup(""), *luns = mem_strdup("");
	const char *key, *value, *lun, *user = NULL;
	bool first = true;
	size_t k;

	if (striped)
		i = part_of(l, i, 0);
	k = i + 1;
	while (line && (leg = leg_next(l, i, &k))) {
		char *more;

		lun = director_object_desired(leg, "lun");
		if (lun) {
			more = mem_printf("%s%s%s", luns, *luns ? " " : "", lun);
			mem_autofree(&luns);
			luns = more;
			user = user ? user : director_object_desired(leg, "p.user");
			continue;
		}
		more = mem_printf("%s%s%s", nodes, *nodes ? "," : "", director_object_desired(leg, "node"));
		mem_autofree(&nodes);
		nodes = more;
		for (size_t a = 0; first && director_object_desired_at(leg, a, &key, &value); a++)
			if (is_storage(key) && !is_secret(s, "leg", key))
				line = appended(line, key, value);
		first = false;
	}
	if (line && *nodes && !striped)
		line = appended(line, "node", nodes);
	if (line && *luns)
		line = dumped_luns(line, luns, user);
	mem_autofree(&nodes);
	mem_autofree(&luns);
	return line;
}

/* Has the i-th object, a target, just the portal that it gets by itself, with no parameters? */
static bool portal_is_own(struct shell *s, const struct director_list *l, size_t i)
{
	const char *key, *value;
	unsigned n = 0;
	bool own = false;

	for (size_t k = i + 1; k < director_list_n(l) && path_below(director_object_path(director_list_at(l, k)), director_object_path(director_list_at(l, i))); k++) {
		const struct director_object *p = director_list_at(l, k);

		if (strcmp(director_object_type(p), "portal") != 0)
			continue;
		n++;
		own |= strcmp(director_object_name(p), default_portal(s)) == 0 && !director_object_desired_at(p, 0, &key, &value);
	}
	return n == 1 && own;
}

/* Otherwise that one goes, and all that it has are added: so it is the same in a transaction, where it gets none when others are named. */
static char *dump_portal(struct shell *s, const struct director_object *target)
{
	auto_free char *quoted = line_quote(default_portal(s));

	return mem_printf("director portal remove %s %s", director_object_name(target), quoted);
}

static char *dump_volume(struct shell *s, const struct director_list *l, size_t i)
{
	const struct director_object *v = director_list_at(l, i);
	char *parts = director_object_desired(v, "stripe") ? dump_parts(s, l, i) : NULL;

	if (parts)
		return parts;
	if (!director_object_desired(v, "part-of") && !legs_are_plain(s, l, i))
		return dump_named_legs(s, l, i);
	return dump_legs(s, l, i, dump_line(s, director_list_at(l, i)));
}

/* Volumes go before the LUNs that name them; the rest of the tree is in an order that works. */
static void dump_of(struct shell *s, const struct director_list *l, const char *only, const char *but, json_t *lines)
{
	bool own = false;

	for (size_t i = 0; i < director_list_n(l); i++) {
		const struct director_object *o = director_list_at(l, i);
		const char *type = director_object_type(o);
		auto_free char *line = NULL, *portal = NULL;

		if (!is_agreed(o) || (only && strcmp(type, only) != 0) || (but && (strcmp(type, but) == 0 || strcmp(type, "volume") == 0)))
			continue;
		if (strcmp(type, "target") == 0) {
			own = portal_is_own(s, l, i);
			portal = own ? NULL : dump_portal(s, o);
		}
		if (strcmp(type, "portal") != 0 || !own)
			line = strcmp(type, "volume") == 0 ? dump_volume(s, l, i) : dump_line(s, o);
		dump_out(s, line, lines);
		dump_out(s, portal, lines);
	}
}

static int cmd_dump(struct shell *s, struct call *c)
{
	struct director_list *l;
	char path[PATH_LEN_MAX];
	json_t *lines;

	if (path_of(s, c->arg[0] ? c->arg[0] : "/", path) < 0)
		return ERR_INVAL;
	if (!shell_schema(s) || director_list(s->d, path, DIRECTOR_ALL, NULL, 0, &l) < 0)
		return say_error(s);
	lines = json_array();
	dump_of(s, l, "cluster", NULL, lines);
	dump_of(s, l, "volume", NULL, lines);
	dump_of(s, l, NULL, "cluster", lines);
	director_list_free(&l);
	say_look(s);
	say_json(s, lines);
	say_if_stale(s);
	return 0;
}

const struct cmd cmd_txn[] = {
	{ .words = "begin", .run = cmd_begin, .help = "Open a transaction: changes are collected, not done" },
	{ .words = "diff", .run = cmd_diff, .help = "Show what the open transaction would change" },
	{ .words = "commit", .run = cmd_commit, .changes = true, .help = "Do the open transaction, whole or not at all" },
	{ .words = "abort", .run = cmd_abort, .help = "Throw the open transaction away" },
	{ .words = "history", .run = cmd_history, .args = { MAYBE("PATH", WORD_PATH) },
	  .opts = { { "limit", 'n', "N", WORD_NUMBER, NULL, "at most so many" } },
	  .help = "Show the commits that touched a path, newest first" },
	{ .words = "blame", .run = cmd_blame, .args = { ARG("PATH", WORD_PATH) },
	  .help = "Show who set each parameter of an object, when and why" },
	{ .words = "undo", .run = cmd_undo, .args = { ARG("N", WORD_NUMBER) }, .changes = true,
	  .opts = { FORCE_OPT }, .help = "Take a commit back by a new one" },
	{ .words = "dump", .run = cmd_dump, .args = { MAYBE("PATH", WORD_PATH) },
	  .help = "Print the commands that would make all this again" },
	{ .words = NULL },
};
