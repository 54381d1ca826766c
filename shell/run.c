/* SPDX-License-Identifier: Apache-2.0 */
/* Words or a line to its command, with what the place in the tree adds. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "shell/shell.h"

/* Below /volumes "create v1" is "volume create v1". */
static const struct { const char *folder, *noun; } nouns[] = {
	{ "/volumes", "volume" }, { "/nodes", "node" }, { "/targets", "target" }, { "/sessions", "session" },
	{ "/tasks", "task" }, { "/plugins", "plugin" }, { "/cluster", "cluster" },
};

const char *shell_noun(const struct shell *s)
{
	for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
		if (strcmp(nouns[i].folder, s->cwd) == 0)
			return nouns[i].noun;
	return NULL;
}

static int run_call(struct shell *s, const char *const *words, unsigned n)
{
	struct call c;
	unsigned k = 0;
	int err;

	if (s->help) {
		s->json |= s->json_asked;
		while (k < n && words[k][0] != '-')
			k++;
		return help_print(s, words, k);
	}
	err = call_parse(s, words, n, &c);
	if (!err && !c.cmd->local && director_connect(s->d) < 0)
		err = say_error(s);
	s->patient = false;
	s->judge = NULL;
	if (!err)
		err = c.cmd->run(s, &c);
	call_fini(&c);
	return err;
}

/* A command, or what is one only in this folder. */
static int run_here(struct shell *s, const char *const *words, unsigned n)
{
	const char *with[WORDS_MAX + 1], *noun = shell_noun(s);
	unsigned used;

	if (!noun || n == 0)
		return run_call(s, words, n);
	with[0] = noun;
	memcpy(with + 1, words, n * sizeof(*words));
	if (cmd_find(with, n + 1, &used) && used == 2)
		return run_call(s, with, n + 1);
	return run_call(s, words, n);
}

/* Options of one command do not outlive it. */
static int run_kept(struct shell *s, const char *const *words, unsigned n)
{
	struct shell kept = *s;
	int err = run_here(s, words, n);

	s->json = kept.json;
	s->no_headers = kept.no_headers;
	s->no_wait = kept.no_wait;
	s->dry_run = kept.dry_run;
	s->quiet = kept.quiet;
	s->timeout_ms = kept.timeout_ms;
	return err;
}

/* --help and -h are taken out of the words, and said to the session. */
static unsigned without_help(struct shell *s, const char *const *words, unsigned n, const char **out)
{
	bool plain = false;
	unsigned kept = 0;

	s->help = false;
	for (unsigned i = 0; i < n; i++) {
		plain |= strcmp(words[i], "--") == 0;
		if (!plain && (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0))
			s->help = true;
		else
			out[kept++] = words[i];
	}
	return kept;
}

int shell_run(struct shell *s, const char *const *typed, unsigned n)
{
	const char *kept[WORDS_MAX], *words[WORDS_MAX + 1];
	char old[PATH_LEN_MAX], path[PATH_LEN_MAX];
	int err;

	s->running = "";
	s->said_json = false;
	if (n && strcmp(typed[0], "director") == 0) {
		typed++;
		n--;
	}
	s->json_asked = words_ask_json(typed, n);
	n = without_help(s, typed, n, kept);
	if (n == 0 && !s->help)
		return 0;
	words_order(kept, n, words);
	if (n == 0)
		return run_kept(s, words, n);
	if (words[0][0] != '/' && strcmp(words[0], "..") != 0)
		return run_kept(s, words, n);
	if (!s->help && (n == 1 || words[1][0] == '-') && n < WORDS_MAX) {
		memmove(words + 1, words, n * sizeof(*words));
		words[0] = "cd";
		return run_kept(s, words, n + 1);
	}
	if (path_of(s, words[0], path) < 0)
		return ERR_INVAL;
	snprintf(old, sizeof(old), "%s", s->cwd);
	snprintf(s->cwd, sizeof(s->cwd), "%s", path);
	err = run_kept(s, words + 1, n - 1);
	snprintf(s->cwd, sizeof(s->cwd), "%s", old);
	return err;
}

int shell_run_line(struct shell *s, const char *text)
{
	int err = 0;

	while (text && !s->quit) {
		const char *rest, *why;
		struct line l;
		int one = line_parse(text, &l, &rest, &why);

		s->running = "";
		s->said_json = s->json_asked = false;
		one = one ? say_fail(s, one, NULL, NULL, "%s", why) : shell_run(s, l.word, l.n);
		line_fini(&l);
		err = one ? one : err;
		if (one && (s->stop || !rest))
			return err;
		text = rest;
	}
	return err;
}
