/* SPDX-License-Identifier: Apache-2.0 */
/* help, explain, complete, exit: the shell about itself. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "shell/cmds.h"

const struct cmd *const cmd_tables[] = {
	cmd_status, cmd_node, cmd_volume, cmd_target, cmd_address, cmd_task, cmd_tree, cmd_txn, cmd_plugin, cmd_help, NULL,
};

/* ---- help ---- */

static json_t *params_json(struct shell *s, const char *type)
{
	const struct director_schema *schema = shell_schema(s);
	struct director_param_info p;
	json_t *all = json_array();

	for (size_t i = 0; schema && director_schema_param(schema, type, i, &p); i++)
		if (!(p.flags & (DIRECTOR_OBSERVED | DIRECTOR_MACHINE)))
			json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:o, s:b, s:b}", "name", p.name, "help", p.help, "choices", p.choices,
				"default", cell_json(param_cell(s, type, p.name), p.has_default ? p.value : NULL),
				"required", (p.flags & DIRECTOR_REQUIRED) && !(p.flags & DIRECTOR_AUTO), "secret", p.flags & DIRECTOR_SECRET));
	return all;
}

static json_t *command_json(struct shell *s, const struct cmd *c)
{
	auto_free char *usage = cmd_usage(c);
	json_t *options = json_array();

	for (unsigned i = 0; i < OPTS_MAX && c->opts[i].name; i++)
		json_array_append_new(options, json_pack("{s:s, s:s?, s:s}", "name", c->opts[i].name, "value", c->opts[i].value, "help", c->opts[i].help));
	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "name", c->words, "usage", usage, "help", c->help, "changes", c->changes,
		"options", options, "parameters", c->type ? params_json(s, c->type) : json_array());
}

static void help_params(struct shell *s, const char *type)
{
	const struct director_schema *schema = shell_schema(s);
	struct director_param_info p;

	for (size_t i = 0; schema && director_schema_param(schema, type, i, &p); i++) {
		auto_free char *value = NULL;

		if (p.flags & (DIRECTOR_OBSERVED | DIRECTOR_MACHINE))
			continue;
		if (i == 0)
			puts("Parameters, as KEY=VALUE or --KEY VALUE:");
		value = p.has_default ? cell_text(param_cell(s, type, p.name), p.value) : NULL;
		printf("  %-16s %s", p.name, p.help);
		if (*p.choices)
			printf(" (%s)", p.choices);
		if (value)
			printf("; default %s", value);
		if (p.flags & DIRECTOR_REQUIRED && !(p.flags & DIRECTOR_AUTO))
			printf("; required");
		if (p.flags & DIRECTOR_SECRET)
			printf("; a secret: by --secret-file");
		putchar('\n');
	}
}

static void help_one(struct shell *s, const struct cmd *c)
{
	auto_free char *usage = cmd_usage(c);

	printf("%s\n  %s.\n", usage, c->help);
	for (unsigned i = 0; i < OPTS_MAX && c->opts[i].name; i++) {
		const struct cmd_opt *o = &c->opts[i];

		auto_free char *name = mem_printf("--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");

		printf("  %-24s %s\n", name, o->help);
	}
	if (c->changes)
		puts("  --dry-run                check, and show what would be done\n"
		     "  --no-wait                do not wait for the work that follows\n"
		     "  -m TEXT                  why; kept in the history\n"
		     "  --key TEXT               idempotency key: done once, however often it is asked for");
	if (c->type)
		help_params(s, c->type);
}

static void list_one(struct shell *s, const struct cmd *c, json_t *all)
{
	auto_free char *usage = cmd_usage(c);

	if (s->json)
		json_array_append_new(all, command_json(s, c));
	else if (strlen(usage) > 44)
		printf("  %s\n  %-44s %s\n", usage, "", c->help);
	else
		printf("  %-44s %s\n", usage, c->help);
}

static void help_list(struct shell *s, const char *group, json_t *all)
{
	size_t len = strlen(group);

	for (unsigned i = 0; cmd_tables[i]; i++)
		for (const struct cmd *c = cmd_tables[i]; c->words; c++) {
			if (len && (strncmp(c->words, group, len) != 0 || (c->words[len] != ' ' && c->words[len])))
				continue;
			if (!c->only_interactive || s->interactive)
				list_one(s, c, all);
		}
}

static int help_group(struct shell *s, const char *const *words, unsigned n, json_t *all)
{
	struct buf group = { 0 };

	if (cmd_group(words, n) < n)
		return cmd_unknown(s, words, n);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&group, "%s%s", i ? " " : "", words[i]);
	help_list(s, buf_str(&group), all);
	buf_fini(&group);
	if (!s->json && n == 1 && director_connect(s->d) == 0)
		help_params(s, words[0]);
	return 0;
}

int help_print(struct shell *s, const char *const *words, unsigned n)
{
	unsigned used;
	const struct cmd *c = n ? cmd_find(words, n, &used) : NULL;
	json_t *all = json_array();
	int err = 0;

	s->running = "help";
	if (c && s->json)
		json_array_append_new(all, command_json(s, c));
	else if (c)
		help_one(s, c);
	else if (n == 0 && !s->json)
		puts("director [-o table|json] [--no-headers] [--socket PATH] [--timeout T] [--no-wait] [--dry-run] [-q] COMMAND\n"
		     "Without a command: the interactive shell, or the script on standard input (-e: stop at the first error).\n"
		     "\nCommands (help COMMAND says more):");
	if (!c)
		err = help_group(s, words, n, all);
	if (err)
		json_decref(all);
	else
		say_json(s, all);
	return err;
}

static int cmd_show_help(struct shell *s, struct call *c)
{
	return help_print(s, c->rest, c->n_rest);
}

/* ---- explain ---- */

static const struct {
	int code;
	const char *why, *what;
} causes[] = {
	{ ERR_FAILED, "A node tried and could not; the text names the node and the reason it gave. It tries again by itself.",
	  "director get PATH shows what each node says; director events PATH shows how it came to it" },
	{ ERR_INVAL, "A word of the command, or a value, is not what it can be. Nothing was changed.",
	  "director help COMMAND lists what it can be" },
	{ ERR_NOENT, "Nothing stands at this path, here and now. Names are case sensitive.", "director ls PARENT" },
	{ ERR_EXIST, "Something stands at this path already. To make a repeated create succeed, give it the same --key.",
	  "director get PATH" },
	{ ERR_CONFLICT, "The object changed after the transaction was begun, or the commit to be undone was built upon.",
	  "director history PATH; then director abort and begin again, or undo the later commit first" },
	{ ERR_BUSY, "Something uses the object: a LUN the volume, an open transaction, a task.", "director get PATH" },
	{ ERR_NOQUORUM, "This node does not reach a majority of the voters, so nothing agreed can change here: the other side could "
	  "decide otherwise at the same time. Reading still works. Nothing was changed.",
	  "director status shows who is missing; bring nodes back, or ask on the side with the majority" },
	{ ERR_TIMEOUT, "No answer in time; a change may still have happened or happen yet.",
	  "director history shows if it did; repeat it with the same --key to be sure that it happens once" },
	{ ERR_UNREACHABLE, "The daemon of this node does not answer on its socket, or a node cannot be reached.",
	  "systemctl status directord; journalctl -u directord" },
	{ ERR_DENIED, "Only root and members of the group director may do this.", "run it as root, or join the group director" },
	{ ERR_MALFORMED, "One side sent bytes that the other cannot read: most often two versions that do not fit.",
	  "director --version on both" },
	{ ERR_VERSION, "Two programs, or a node and its cluster, are too far apart in version to talk.",
	  "upgrade the older one; the text names it" },
	{ ERR_NOSPC, "A file system or device has no room left for it.", "director node list shows space; --on NODE chooses another" },
	{ ERR_IO, "A disk or network gave an error.", "director get PATH, and the node's kernel log" },
	{ ERR_LIMIT, "A limit was reached: of length, of count, or of what is open at once.", "the text says which" },
	{ ERR_NOTSUP, "The plugin, node or version does not do this.", "director plugin list; director node list" },
	{ ERR_AGAIN, "Not now: the cluster is between two states, for a second or so.", "repeat it with the same --key" },
	{ ERR_CANCELED, "It was stopped on request.", "director task list" },
	{ ERR_CRYPTO, "A key, secret or signature is not the right one, or a message was forged or replayed.",
	  "director node show NODE: compare the fingerprints" },
	{ ERR_NOMEM, "Memory ran out.", "free some" },
	{ ERR_DIVERGED, "Two nodes computed different states from the same log. The node that differs has stopped taking part.",
	  "keep its state folder for a report; then remove the node and let it join anew" },
};

void help_error_names(struct words_out *out, const char *prefix)
{
	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (strncmp(err_name(causes[i].code), prefix, strlen(prefix)) == 0) {
			out->w = mem_grow(out->w, &out->cap, out->n, sizeof(*out->w));
			out->w[out->n++] = mem_strdup(err_name(causes[i].code));
		}
}

static int cmd_explain(struct shell *s, struct call *c)
{
	int code = err_from_name(c->arg[0]);

	for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
		if (causes[i].code != code)
			continue;
		if (!s->json)
			printf("%s (code %d, exit status %d): %s.\n\n%s\n\nWhat helps: %s\n", err_name(code), code, err_exit(code),
			       err_text(code), causes[i].why, causes[i].what);
		say_json(s, json_pack("{s:s, s:i, s:i, s:s, s:s, s:s}", "name", err_name(code), "code", code, "exit",
			err_exit(code), "text", err_text(code), "why", causes[i].why, "hint", causes[i].what));
		return 0;
	}
	return say_fail(s, ERR_NOENT, NULL, "director help", "there is no error \"%s\"; they are named in the brackets behind a message",
	                c->arg[0]);
}

/* ---- the rest ---- */

static int cmd_complete(struct shell *s, struct call *c)
{
	const char *line = call_opt(c, "line");
	struct words_out out = { 0 };
	json_t *words;

	if (!line)
		return say_fail(s, ERR_INVAL, NULL, NULL, "--line is missing");
	complete_line(s, line, &out);
	words = json_array();
	for (unsigned i = 0; i < out.n; i++) {
		json_array_append_new(words, json_string(out.w[i]));
		if (!s->json)
			printf("%s%s\n", out.w[i], out.no_space ? "" : " ");
	}
	words_out_fini(&out);
	say_json(s, words);
	return 0;
}

static int cmd_exit(struct shell *s, struct call *c)
{
	s->quit = true;
	say_json(s, json_null());
	return 0;
}

const struct cmd cmd_help[] = {
	{ .words = "help", .run = cmd_show_help, .args = { REST("COMMAND", WORD_COMMAND) }, .local = true,
	  .help = "Say what commands there are, or all about one" },
	{ .words = "explain", .run = cmd_explain, .args = { ARG("ERROR", WORD_ERROR) }, .local = true,
	  .help = "Say what an error means, and what helps" },
	{ .words = "complete", .run = cmd_complete, .local = true,
	  .opts = { { "line", 0, "TEXT", WORD_TEXT, NULL, "what is typed so far, up to the cursor" } },
	  .help = "Print what could stand at the end of a line, for the completion of other shells" },
	{ .words = "exit", .run = cmd_exit, .local = true, .only_interactive = true, .help = "Leave the shell" },
	{ .words = "quit", .run = cmd_exit, .local = true, .only_interactive = true, .help = "Leave the shell" },
	{ .words = NULL },
};
