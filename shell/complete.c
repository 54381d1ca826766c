/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion, from the same tables as the parser: which word is being typed, what kind it is, and which
 * of that kind begin so. Names come from the daemon, asked for by prefix.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/shell.h"

#define NAMES_SHOWN_MAX 1000

struct typed {
	struct shell *s;
	const struct cmd *cmd;
	const char *const *words;       /* those before the one that is typed, without the command's own */
	unsigned n;
	const char *part;               /* what is typed of the word */
	const char *lead;               /* what stands before it in the same word ("--on=") */
	struct words_out *out;
};

void words_out_fini(struct words_out *out)
{
	for (unsigned i = 0; i < out->n; i++)
		free(out->w[i]);
	free(out->w);
	*out = (struct words_out){ 0 };
}

static void offer(struct typed *t, const char *word)
{
	struct words_out *out = t->out;
	auto_free char *quoted = NULL;
	char *whole;

	if (strncmp(word, t->part, strlen(t->part)) != 0 || out->n >= NAMES_SHOWN_MAX)
		return;
	quoted = line_quote(word);
	whole = mem_printf("%s%s", t->lead, quoted);
	for (unsigned i = 0; i < out->n; i++)
		if (strcmp(out->w[i], whole) == 0) {
			free(whole);
			return;
		}
	out->w = mem_grow(out->w, &out->cap, out->n, sizeof(*out->w));
	out->w[out->n++] = whole;
}

/* ---- live names ---- */

static void offer_below(struct typed *t, const char *folder)
{
	struct director_list *l;

	if (!path_ok(folder) || director_list(t->s->d, folder, 1, t->part, DIRECTOR_NAMES, &l) < 0)
		return;
	for (size_t i = 0; i < director_list_n(l); i++)
		if (strcmp(director_object_path(director_list_at(l, i)), folder) != 0)
			offer(t, director_object_name(director_list_at(l, i)));
	director_list_free(&l);
}

/* One node, or the next of several: n1,n2. */
static void offer_nodes(struct typed *t)
{
	const char *part = t->part, *lead = t->lead, *comma = strrchr(part, ',');
	auto_free char *head = mem_strndup(part, comma ? (size_t)(comma - part) + 1 : 0);
	auto_free char *whole = mem_printf("%s%s", lead, head);

	t->lead = whole;
	t->part = part + strlen(head);
	offer_below(t, "/nodes");
	t->lead = lead;
	t->part = part;
}

static void offer_plugins(struct typed *t, const char *wanted)
{
	struct director_list *l;

	if (director_list(t->s->d, "/plugins", 1, t->part, 0, &l) < 0)
		return;
	for (size_t i = 0; i < director_list_n(l); i++) {
		const char *kind = director_object_value(director_list_at(l, i), "kind");

		if (kind && strcmp(kind, wanted) == 0)
			offer(t, director_object_name(director_list_at(l, i)));
	}
	director_list_free(&l);
}

/* The legs of the volume that the command names first. */
static void offer_legs(struct typed *t)
{
	char path[PATH_LEN_MAX];

	if (t->n && t->words[0][0] != '-' && path_make(t->s, path, "/volumes/%s/legs", path_name(t->words[0])) == 0)
		offer_below(t, path);
}

/* A folder of the target that is named earlier in the line. */
static void offer_in_target(struct typed *t, const char *folder)
{
	for (unsigned i = 0; i < t->n; i++) {
		char path[PATH_LEN_MAX];

		if (t->words[i][0] == '-')
			continue;
		snprintf(path, sizeof(path), "/targets/%s/%s", t->words[i], folder);
		offer_below(t, path);
		return;
	}
}

/* The only path that fits: a folder goes on with '/', anything else is complete. */
static void finish_path(struct typed *t)
{
	const char *typed = t->out->w[0] + strlen(t->lead);
	struct director_list *l;
	char path[PATH_LEN_MAX];
	char *more;

	if (strchr("'\"", *typed) || path_of(t->s, typed, path) < 0 ||
	    director_list(t->s->d, path, 1, NULL, DIRECTOR_NAMES, &l) < 0)
		return;
	t->out->no_space = director_list_n(l) > 1;
	if (t->out->no_space) {
		more = mem_printf("%s/", t->out->w[0]);
		free(t->out->w[0]);
		t->out->w[0] = more;
	}
	director_list_free(&l);
}

/* The next part of a path; what is before the last '/' stays as it was typed. */
static void offer_path(struct typed *t)
{
	const char *slash = strrchr(t->part, '/'), *whole = t->part;
	auto_free char *head = mem_strndup(t->part, slash ? (size_t)(slash - t->part) + 1 : 0);
	auto_free char *lead = mem_printf("%s%s", t->lead, head);
	char folder[PATH_LEN_MAX];
	const char *old = t->lead;

	if (strstr(head, "//") || path_of(t->s, *head ? head : ".", folder) < 0)
		return;
	t->lead = lead;
	t->part = slash ? slash + 1 : whole;
	offer_below(t, folder);
	t->out->no_space = true;
	t->lead = old;
	t->part = whole;
	if (t->out->n == 1)
		finish_path(t);
}

static void offer_words(struct typed *t, const char *list)
{
	while (*list) {
		size_t n = strcspn(list, " ");
		auto_free char *word = mem_strndup(list, n);

		if (n)
			offer(t, word);
		list += n + (list[n] == ' ');
	}
}

static void offer_kind(struct typed *t, enum word_kind kind)
{
	switch (kind) {
	case WORD_PATH: offer_path(t); break;
	case WORD_NODE: offer_nodes(t); break;
	case WORD_VOLUME: offer_below(t, "/volumes"); break;
	case WORD_TARGET: offer_below(t, "/targets"); break;
	case WORD_TASK: offer_below(t, "/tasks"); break;
	case WORD_PLUGIN: offer_below(t, "/plugins"); break;
	case WORD_SESSION: offer_below(t, "/sessions"); break;
	case WORD_LUN: offer_in_target(t, "luns"); break;
	case WORD_HOST: offer_in_target(t, "hosts"); break;
	case WORD_PORTAL: offer_in_target(t, "portals"); break;
	case WORD_ADDRESS: offer_in_target(t, "addresses"); break;
	case WORD_LEG: offer_legs(t); break;
	case WORD_BACKSTORE: offer_plugins(t, "backstore"); break;
	case WORD_FORMAT: offer_words(t, "json table"); break;
	case WORD_ERROR: help_error_names(t->out, t->part); break;
	default: break;
	}
}

/* ---- values of parameters ---- */

static void offer_value(struct typed *t, const char *type, const char *key)
{
	const struct director_schema *schema = shell_schema(t->s);
	struct director_param_info p;
	char folder[PATH_LEN_MAX];

	for (size_t i = 0; schema && director_schema_param(schema, type, i, &p); i++) {
		if (strcmp(p.name, key) != 0)
			continue;
		if (p.kind == DIRECTOR_BOOL)
			offer_words(t, "no yes");
		else if (p.kind == DIRECTOR_ENUM)
			offer_words(t, p.choices);
		else if (strcmp(key, "backstore") == 0 || strcmp(key, "fence") == 0)
			offer_plugins(t, key);
		else if (p.kind == DIRECTOR_REF) {
			snprintf(folder, sizeof(folder), "/%ss", p.ref);
			if (strcmp(folder, "/nodes") == 0)
				offer_nodes(t);
			else
				offer_below(t, folder);
		}
	}
}

static bool given(const struct typed *t, const char *key)
{
	size_t len = strlen(key);

	for (unsigned i = 0; i < t->n; i++) {
		const char *w = t->words[i] + (strncmp(t->words[i], "--", 2) == 0 ? 2 : 0);

		if (strncmp(w, key, len) == 0 && (w[len] == '=' || (w[len] == '\0' && w != t->words[i])))
			return true;
	}
	return false;
}

static void offer_params(struct typed *t, const char *type, const char *before, const char *behind)
{
	const struct director_schema *schema = shell_schema(t->s);
	struct director_param_info p;

	for (size_t i = 0; schema && director_schema_param(schema, type, i, &p); i++) {
		auto_free char *word = mem_printf("%s%s%s", before, p.name, behind);
		unsigned n = t->out->n;

		if (p.flags & (DIRECTOR_OBSERVED | DIRECTOR_MACHINE | DIRECTOR_SECRET) || given(t, p.name))
			continue;
		offer(t, word);
		if (*behind && t->out->n > n)
			t->out->no_space = true;
	}
}

/* ---- which word is it? ---- */

/* The option of this name; NULL if the command has none. */
static const struct cmd_opt *opt_of(const struct cmd *c, const char *word)
{
	for (unsigned i = 0; i < OPTS_MAX && c->opts[i].name; i++) {
		const struct cmd_opt *o = &c->opts[i];

		if (word[0] == '-' && word[1] == '-' && strcmp(word + 2, o->name) == 0)
			return o;
		if (word[0] == '-' && o->letter && word[1] == o->letter && !word[2])
			return o;
	}
	return NULL;
}

/* Does `word` take the next one? Its kind then goes to *kind, its parameter to *key. */
static bool takes_value(const struct cmd *c, const char *word, enum word_kind *kind, const char **key)
{
	static const struct { const char *name; enum word_kind kind; } common[] = {
		{ "-o", WORD_FORMAT }, { "--output", WORD_FORMAT }, { "--timeout", WORD_DURATION }, { "--socket", WORD_FILE },
		{ "-m", WORD_TEXT }, { "--message", WORD_TEXT }, { "--key", WORD_TEXT },
	};
	const struct cmd_opt *o = opt_of(c, word);

	*key = NULL;
	*kind = WORD_TEXT;
	if (o) {
		*kind = o->kind;
		*key = o->param;
		return o->value != NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (strcmp(common[i].name, word) == 0) {
			*kind = common[i].kind;
			return true;
		}
	if (c->type && strncmp(word, "--", 2) == 0 && word[2] && !strchr(word, '=') && strcmp(word, "--dry-run") != 0 &&
	    strcmp(word, "--no-wait") != 0 && strcmp(word, "--no-headers") != 0 && strcmp(word, "--quiet") != 0) {
		*key = word + 2;
		return true;
	}
	return false;
}

static bool is_plain(const struct typed *t, unsigned i)
{
	enum word_kind kind;
	const char *key;

	if (t->words[i][0] == '-' && t->words[i][1])
		return false;
	if (i > 0 && takes_value(t->cmd, t->words[i - 1], &kind, &key))
		return false;
	return !(t->cmd->type && strchr(t->words[i], '='));
}

static void offer_options(struct typed *t)
{
	for (unsigned i = 0; i < OPTS_MAX && t->cmd->opts[i].name; i++) {
		auto_free char *word = mem_printf("--%s", t->cmd->opts[i].name);

		if (!given(t, t->cmd->opts[i].name))
			offer(t, word);
	}
	if (t->cmd->changes)
		offer_words(t, "--dry-run --no-wait --key");
	offer_words(t, "--output --no-headers --timeout --quiet");
	if (t->cmd->type)
		offer_params(t, t->cmd->type, "--", "");
}

/* `key=` or `--option=` is typed already: its value. */
static bool offer_pair(struct typed *t, const char *type)
{
	const char *eq = strchr(t->part, '='), *part = t->part, *lead = t->lead;
	auto_free char *key = NULL, *head = NULL;
	const struct cmd_opt *o;

	if (!eq || (!type && *part != '-'))
		return false;
	key = mem_strndup(part, (size_t)(eq - part));
	head = mem_printf("%s=", key);
	o = opt_of(t->cmd, key);
	t->lead = head;
	t->part = eq + 1;
	if (o && !o->param)
		offer_kind(t, o->kind);
	else if (type)
		offer_value(t, type, o ? o->param : strncmp(key, "--", 2) == 0 ? key + 2 : key);
	t->lead = lead;
	t->part = part;
	return true;
}

static void offer_arg(struct typed *t)
{
	const struct cmd_arg *a;
	const char *type = t->cmd->type;
	unsigned at = 0;

	for (unsigned i = 0; i < t->n; i++)
		at += is_plain(t, i);
	for (a = t->cmd->args; at > 0 && a < t->cmd->args + ARGS_MAX - 1 && a->name && !a->rest; at--)
		a++;
	/* set PATH key=… PATH key=… : the type is that of the last object. */
	if (a->name && a->rest && strcmp(a->name, "KEY=VALUE") == 0 && t->n && shell_schema(t->s)) {
		char path[PATH_LEN_MAX];
		unsigned last = 0;

		for (unsigned i = 1; i < t->n; i++)
			last = t->words[i][0] == '/' ? i : last;
		if (t->part[0] == '/') {
			offer_path(t);
			return;
		}
		type = path_of(t->s, t->words[last], path) == 0 ? director_schema_at(shell_schema(t->s), path) : NULL;
	}
	if (offer_pair(t, type))
		return;
	if (a->name && !a->rest)
		offer_kind(t, a->kind);
	else if (type)
		offer_params(t, type, "", "=");
}

/* ---- commands ---- */

/* The next word of every command that begins with the n words. */
static void offer_commands(struct typed *t, const char *const *words, unsigned n)
{
	for (unsigned i = 0; cmd_tables[i]; i++)
		for (const struct cmd *c = cmd_tables[i]; c->words; c++) {
			const char *p = c->words;
			unsigned k = 0;

			while (k < n && *p) {
				size_t len = strcspn(p, " ");

				if (strlen(words[k]) != len || memcmp(words[k], p, len) != 0)
					break;
				p += len + (p[len] == ' ');
				k++;
			}
			if (k == n && *p && !(c->only_interactive && !t->s->interactive) && strcmp(c->words, "complete") != 0) {
				auto_free char *word = mem_strndup(p, strcspn(p, " "));

				offer(t, word);
			}
		}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Words that are a command only where we are: "show" in /volumes. */
static void here(struct typed *t, const char **with, unsigned *used)
{
	const char *noun = shell_noun(t->s);
	const struct cmd *c;
	unsigned n;

	if (!noun || t->n + 1 > WORDS_MAX)
		return;
	with[0] = noun;
	memcpy(with + 1, t->words, t->n * sizeof(*with));
	c = cmd_find(with, t->n + 1, &n);
	if (t->n == 0) {
		offer_commands(t, with, 1);
	} else if (c && n == 2) {
		*used = n;
		t->cmd = c;
		t->words = with;
		t->n++;
	}
}

static void complete(struct shell *s, const char *text, struct words_out *out)
{
	static const struct cmd nothing = { .words = NULL };
	const char *why, *rest, *key, *with[WORDS_MAX + 1];
	struct typed t = { .s = s, .out = out, .part = "", .lead = "" };
	enum word_kind kind;
	struct line l;
	unsigned used, skip;

	while (line_parse(text, &l, &rest, &why) == 0 && rest) {
		text = rest;
		line_fini(&l);
	}
	if (l.open && l.n)
		t.part = l.word[--l.n];
	skip = l.n && strcmp(l.word[0], "director") == 0;
	while (skip < l.n && l.word[skip][0] == '-')     /* options before the command */
		skip += takes_value(&nothing, l.word[skip], &kind, &key) ? 2 : 1;
	if (skip > l.n) {                                /* the value of such an option is being typed */
		takes_value(&nothing, l.word[l.n - 1], &kind, &key);
		offer_kind(&t, kind);
		line_fini(&l);
		return;
	}
	t.words = l.word + skip;
	t.n = l.n - skip;
	t.cmd = cmd_find(t.words, t.n, &used);
	here(&t, with, &used);
	if (t.n && strcmp(t.words[0], "help") == 0) {
		offer_commands(&t, t.words + 1, t.n - 1);
	} else if (!t.cmd) {
		offer_commands(&t, t.words, t.n);
		if (s->interactive && t.n == 0 && strchr("/.", *t.part) && *t.part)
			offer_path(&t);
	} else {
		t.words += used;
		t.n -= used;
		if (t.n && takes_value(t.cmd, t.words[t.n - 1], &kind, &key)) {
			if (key && t.cmd->type)
				offer_value(&t, t.cmd->type, key);
			if (!out->n)
				offer_kind(&t, kind);
		} else if (t.part[0] == '-' && !offer_pair(&t, t.cmd->type)) {
			offer_options(&t);
		} else {
			offer_arg(&t);
		}
	}
	if (out->n)
		qsort(out->w, out->n, sizeof(*out->w), by_name);
	line_fini(&l);
}

void complete_line(struct shell *s, const char *text, struct words_out *out)
{
	bool mute = s->mute;

	s->mute = true;
	complete(s, text, out);
	s->mute = mute;
}
