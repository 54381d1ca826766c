/* SPDX-License-Identifier: Apache-2.0 */
/* Words to a call of a command, by the rows of the command table. Nothing else looks at words. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/shell.h"

/* How many of `words` the row's own words are, if they begin with them; else 0. */
static unsigned match(const struct cmd *c, const char *const *words, unsigned n)
{
	const char *p = c->words;
	unsigned i = 0;

	while (*p) {
		size_t len = strcspn(p, " ");

		if (i == n || strlen(words[i]) != len || memcmp(words[i], p, len) != 0)
			return 0;
		i++;
		p += len + (p[len] == ' ');
	}
	return i;
}

const struct cmd *cmd_find(const char *const *words, unsigned n, unsigned *used)
{
	const struct cmd *best = NULL;

	*used = 0;
	for (unsigned i = 0; cmd_tables[i]; i++)
		for (const struct cmd *c = cmd_tables[i]; c->words; c++) {
			unsigned m = match(c, words, n);

			if (m > *used) {
				*used = m;
				best = c;
			}
		}
	return best;
}

unsigned cmd_group(const char *const *words, unsigned n)
{
	unsigned best = 0;

	for (unsigned i = 0; cmd_tables[i]; i++)
		for (const struct cmd *c = cmd_tables[i]; c->words; c++) {
			const char *p = c->words;
			unsigned k = 0;

			for (; k < n; k++) {
				size_t len = strcspn(p, " ");

				if (!p[len] || strlen(words[k]) != len || memcmp(words[k], p, len) != 0)
					break;
				p += len + 1;
			}
			best = k > best ? k : best;
		}
	return best;
}

/* ---- options that every command has, wherever they stand ---- */

/* How many words such an option takes, with its value; 0: it is none. */
static unsigned common_words(const char *word)
{
	static const struct { const char *name; bool value; } common[] = {
		{ "-o", true }, { "--output", true }, { "--timeout", true }, { "-m", true }, { "--message", true }, { "--key", true },
		{ "-q", false }, { "--quiet", false }, { "--no-headers", false }, { "--no-wait", false }, { "--dry-run", false },
	};
	size_t len = strcspn(word, "=");

	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		if (strlen(common[i].name) == len && memcmp(common[i].name, word, len) == 0)
			return common[i].value && !word[len] ? 2 : 1;
	return 0;
}

void words_order(const char *const *words, unsigned n, const char **out)
{
	const char *opts[WORDS_MAX];
	unsigned plain = 0, n_opts = 0, at = 0;

	while (at < n && plain < COMMAND_WORDS_MAX) {
		unsigned k = common_words(words[at]);

		if (!k && words[at][0] == '-')
			break;
		if (!k)
			out[plain++] = words[at++];
		for (; k && at < n; k--)
			opts[n_opts++] = words[at++];
	}
	memcpy(out + plain, opts, n_opts * sizeof(*out));
	memcpy(out + at, words + at, (n - at) * sizeof(*out));
}

bool words_ask_json(const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n && strcmp(words[i], "--") != 0; i++) {
		const char *eq = strchr(words[i], '=');
		size_t len = eq ? (size_t)(eq - words[i]) : strlen(words[i]);

		if ((len == 2 && memcmp(words[i], "-o", 2) == 0) || (len == 8 && memcmp(words[i], "--output", 8) == 0))
			if (eq ? strcmp(eq, "=json") == 0 : i + 1 < n && strcmp(words[i + 1], "json") == 0)
				return true;
	}
	return false;
}

const char *call_opt(const struct call *c, const char *name)
{
	for (unsigned i = 0; i < OPTS_MAX && c->cmd->opts[i].name; i++)
		if (strcmp(c->cmd->opts[i].name, name) == 0)
			return c->opt[i];
	return NULL;
}

const char *call_param(const struct call *c, const char *key)
{
	for (unsigned i = 0; i < c->n_params; i++)
		if (strcmp(c->params[i].key, key) == 0)
			return c->params[i].value;
	return NULL;
}

void call_fini(struct call *c)
{
	for (unsigned i = 0; i < c->n_params; i++) {
		free(c->params[i].key);
		free(c->params[i].value);
	}
	c->n_params = 0;
}

/* ---- parsing ---- */

struct parse {
	struct shell *s;
	const char *const *words;
	unsigned n, at;
	struct call *c;
	unsigned n_args;
	bool only_args;                 /* after "--" */
};

static int refuse(struct parse *p, const char *what, const char *word)
{
	auto_free char *usage = cmd_usage(p->c->cmd);
	auto_free char *hint = mem_printf("director %s", usage);

	return say_fail(p->s, ERR_INVAL, NULL, hint, what, word);
}

static int add_param(struct parse *p, const char *key, size_t len, const char *value)
{
	struct call *c = p->c;

	if (c->n_params == PARAMS_MAX)
		return refuse(p, "%s: too many parameters", c->cmd->words);
	for (unsigned i = 0; i < c->n_params; i++)
		if (strlen(c->params[i].key) == len && memcmp(c->params[i].key, key, len) == 0)
			return refuse(p, "%s is given twice", c->params[i].key);
	c->params[c->n_params++] = (struct pair){ mem_strndup(key, len), mem_strdup(value) };
	return 0;
}

/* The value of an option: behind its '=', or the next word. */
static const char *take_value(struct parse *p, const char *eq)
{
	if (eq)
		return eq + 1;
	return p->at < p->n ? p->words[p->at++] : NULL;
}

static bool flag_of(struct shell *s, const char *name, size_t len)
{
	const struct { const char *name; bool *b; } flags[] = {
		{ "no-headers", &s->no_headers }, { "no-wait", &s->no_wait }, { "dry-run", &s->dry_run },
		{ "quiet", &s->quiet }, { "q", &s->quiet },
	};

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0) {
			*flags[i].b = true;
			return true;
		}
	return false;
}

static int set_output(struct parse *p, const char *v)
{
	if (v && strcmp(v, "json") == 0)
		p->s->json = true;
	else if (v && strcmp(v, "table") == 0)
		p->s->json = false;
	else
		return refuse(p, "-o is table or json, not %s", v ? v : "nothing");
	return 0;
}

static int set_timeout(struct parse *p, const char *v)
{
	if (!v || text_ms_parse(v, &p->s->timeout_ms) < 0)
		return refuse(p, "%s is no duration (10s, 5m)", v ? v : "nothing");
	return 0;
}

static bool is(const char *name, size_t len, const char *want)
{
	return strlen(want) == len && memcmp(name, want, len) == 0;
}

/* Options that every command has. 1: it was one. */
static int common_option(struct parse *p, const char *name, size_t len, const char *eq)
{
	int err = 0;

	if (flag_of(p->s, name, len))
		return 1;
	if (is(name, len, "output") || is(name, len, "o"))
		err = set_output(p, take_value(p, eq));
	else if (is(name, len, "timeout"))
		err = set_timeout(p, take_value(p, eq));
	else if (p->c->cmd->changes && (is(name, len, "message") || is(name, len, "m"))) {
		p->c->message = take_value(p, eq);
		err = p->c->message ? 0 : refuse(p, "%s needs a text", "-m");
	} else if (p->c->cmd->changes && is(name, len, "key")) {
		p->c->key = take_value(p, eq);
		err = p->c->key ? 0 : refuse(p, "%s needs a text", "--key");
	} else
		return 0;
	return err ? err : 1;
}

static int own_option(struct parse *p, const char *name, size_t len, bool letter, const char *eq)
{
	const struct cmd *cmd = p->c->cmd;

	for (unsigned i = 0; i < OPTS_MAX && cmd->opts[i].name; i++) {
		const struct cmd_opt *o = &cmd->opts[i];
		const char *v = "";

		if (letter ? o->letter != *name : !is(name, len, o->name))
			continue;
		if (o->value && !(v = take_value(p, eq)))
			return refuse(p, "--%s needs a value", o->name);
		if (o->param) {
			int err = add_param(p, o->param, strlen(o->param), o->value ? v : "yes");

			return err ? err : 1;
		}
		if (p->c->opt[i])
			return refuse(p, "--%s is given twice", o->name);
		p->c->opt[i] = v;
		return 1;
	}
	return 0;
}

/* --key VALUE of the schema; alone, it means yes. */
static int param_option(struct parse *p, const char *name, size_t len, const char *eq)
{
	const char *v = eq ? eq + 1 : NULL;
	int err;

	if (!v && p->at < p->n && (p->words[p->at][0] != '-' || !p->words[p->at][1]))
		v = p->words[p->at++];
	err = add_param(p, name, len, v ? v : "yes");
	return err ? err : 1;
}

static int option(struct parse *p, const char *word)
{
	bool letter = word[1] != '-';
	const char *name = word + (letter ? 1 : 2), *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	int got;

	if (letter && len != 1)
		return refuse(p, "%s is no option", word);
	got = own_option(p, name, len, letter, eq);
	if (!got)
		got = common_option(p, name, len, eq);
	if (!got && p->c->cmd->type && !letter && len)
		got = param_option(p, name, len, eq);
	return got < 0 ? got : got ? 0 : refuse(p, "%s is no option here", word);
}

static bool is_pair(const char *word)
{
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789.-_");

	return n && word[n] == '=' && isalpha((unsigned char)*word);
}

static int plain_word(struct parse *p, const char *word)
{
	const struct cmd_arg *a = &p->c->cmd->args[p->n_args];

	if (p->c->cmd->type && !p->only_args && is_pair(word) && (p->n_args > 0 || !a->name)) {
		const char *eq = strchr(word, '=');

		return add_param(p, word, (size_t)(eq - word), eq + 1);
	}
	if (p->n_args == ARGS_MAX || !a->name)
		return refuse(p, "%s is one word too many", word);
	if (a->rest) {
		p->c->rest[p->c->n_rest++] = word;
		return 0;
	}
	p->c->arg[p->n_args++] = word;
	return 0;
}

static int parse_word(struct parse *p)
{
	const char *w = p->words[p->at++];

	if (p->only_args || w[0] != '-' || !w[1])
		return plain_word(p, w);
	if (strcmp(w, "--") == 0) {
		p->only_args = true;
		return 0;
	}
	return option(p, w);
}

int cmd_unknown(struct shell *s, const char *const *words, unsigned n)
{
	auto_free char *quoted = line_quote(words[0]);
	unsigned k = cmd_group(words, n);
	struct buf group = { 0 };
	int err;

	for (unsigned i = 0; i < k; i++)
		buf_printf(&group, "%s%s", i ? " " : "", words[i]);
	if (k) {
		auto_free char *hint = mem_printf("director help %s", buf_str(&group));

		err = k == n ? say_fail(s, ERR_INVAL, NULL, hint, "%s needs a verb", buf_str(&group)) :
			say_fail(s, ERR_INVAL, NULL, hint, "%s has no \"%s\"", buf_str(&group), words[k]);
	} else {
		err = say_fail(s, ERR_INVAL, NULL, "director help", "there is no command %s", quoted);
	}
	buf_fini(&group);
	return err;
}

int call_parse(struct shell *s, const char *const *words, unsigned n, struct call *c)
{
	struct parse p = { .s = s, .words = words, .n = n, .c = c };
	int err = 0;

	memset(c, 0, sizeof(*c));
	c->cmd = cmd_find(words, n, &p.at);
	if (!c->cmd)
		return cmd_unknown(s, words, n);
	s->running = c->cmd->words;
	while (!err && p.at < n)
		err = parse_word(&p);
	for (unsigned i = p.n_args; !err && i < ARGS_MAX && c->cmd->args[i].name; i++)
		if (!c->cmd->args[i].optional && !(c->cmd->args[i].rest && c->n_rest))
			err = refuse(&p, "%s is missing", c->cmd->args[i].name);
	return err;
}

char *cmd_usage(const struct cmd *c)
{
	struct buf b = { 0 };

	buf_puts(&b, c->words);
	for (unsigned i = 0; i < ARGS_MAX && c->args[i].name; i++)
		buf_printf(&b, c->args[i].optional ? " [%s%s]" : " %s%s", c->args[i].name, c->args[i].rest ? "..." : "");
	for (unsigned i = 0; i < OPTS_MAX && c->opts[i].name; i++) {
		const struct cmd_opt *o = &c->opts[i];

		if (o->letter)
			buf_printf(&b, " [-%c%s%s]", o->letter, o->value ? " " : "", o->value ? o->value : "");
		else
			buf_printf(&b, " [--%s%s%s]", o->name, o->value ? " " : "", o->value ? o->value : "");
	}
	if (c->type)
		buf_puts(&b, " [KEY=VALUE...]");
	return buf_take(&b);
}
