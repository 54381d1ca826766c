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
	int err = call_parse(s, words, n, &c);

	if (!err && !c.cmd->local && director_connect(s->d) < 0)
		err = say_error(s);
	s->patient = false;
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

int shell_run(struct shell *s, const char *const *words, unsigned n)
{
	static const char *const cd[] = { "cd" };
	const char *to_cd[2] = { cd[0], NULL };
	char old[PATH_LEN_MAX], path[PATH_LEN_MAX];
	int err;

	if (n && strcmp(words[0], "director") == 0) {
		words++;
		n--;
	}
	s->running = "";
	s->said_json = false;
	if (n == 0)
		return 0;
	if (words[0][0] != '/' && strcmp(words[0], "..") != 0)
		return run_kept(s, words, n);
	if (n == 1) {
		to_cd[1] = words[0];
		return run_kept(s, to_cd, 2);
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
		s->said_json = false;
		one = one ? say_fail(s, one, NULL, NULL, "%s", why) : shell_run(s, l.word, l.n);
		line_fini(&l);
		err = one ? one : err;
		if (one && (s->stop || !rest))
			return err;
		text = rest;
	}
	return err;
}
