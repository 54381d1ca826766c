/* SPDX-License-Identifier: Apache-2.0 */
/* director: one command, a script on standard input, or the interactive shell; the same grammar in all three. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/shell.h"

static struct director *on_signal;

static void on_int(int sig)
{
	director_interrupt(on_signal);
}

static int script(struct shell *s)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int err = 0;

	s->script = true;
	while (!s->quit && (n = getline(&line, &cap, stdin)) > 0) {
		int one = shell_run_line(s, line);

		err = one ? one : err;
		fflush(stdout);
		if (one && s->stop)
			break;
	}
	free(line);
	if (ferror(stdin))
		return say_fail(s, ERR_IO, NULL, NULL, "the script on standard input cannot be read to its end");
	return err;
}

/* What was printed is only there if it could be written. A reader that has seen enough and went needs no word of it. */
static int printed(struct shell *s, int err)
{
	bool lost = ferror(stdout);
	int e = fflush(stdout) == EOF ? errno : 0;
	struct pollfd reader = { .fd = STDOUT_FILENO, .events = POLLOUT };

	if (!lost && !e)
		return err;
	if (e != EPIPE && !(poll(&reader, 1, 0) == 1 && reader.revents & POLLERR)) {
		s->json = s->json_asked = false;
		say_fail(s, ERR_IO, NULL, NULL, "what it printed is not whole: standard output cannot be written%s%s", e ? ": " : "",
		         e ? strerror(e) : "");
	}
	return err ? err : ERR_IO;
}

/* Options that stand before the command and that only main knows; the others are the parser's. */
static int leading(struct shell *s, char **argv, int *at, const char **socket_path)
{
	const char *w = argv[*at], *eq = strchr(w, '=');

	if (strcmp(w, "--version") == 0) {
		printf("director %s\n", director_version());
		exit(0);
	}
	if (strcmp(w, "-e") == 0) {
		s->stop = true;
		return 0;
	}
	if (strncmp(w, "--socket", 8) == 0 && (w[8] == '=' || !w[8])) {
		*socket_path = eq ? eq + 1 : argv[*at + 1] ? argv[++*at] : "";
		return 0;
	}
	if (strcmp(w, "-q") == 0 || strcmp(w, "--quiet") == 0)
		s->quiet = true;
	else if (strcmp(w, "--no-headers") == 0)
		s->no_headers = true;
	else if (strcmp(w, "--no-wait") == 0)
		s->no_wait = true;
	else if (strcmp(w, "--dry-run") == 0)
		s->dry_run = true;
	else if (strcmp(w, "-o") == 0 || strncmp(w, "-o=", 3) == 0 || strcmp(w, "--output") == 0 || strncmp(w, "--output=", 9) == 0) {
		const char *v = eq ? eq + 1 : argv[*at + 1] ? argv[++*at] : "";

		s->json = strcmp(v, "json") == 0;
		if (!s->json && strcmp(v, "table") != 0)
			return say_fail(s, ERR_INVAL, NULL, NULL, "-o is table or json, not \"%s\"", v);
	} else if (strcmp(w, "--timeout") == 0 || strncmp(w, "--timeout=", 10) == 0) {
		const char *v = eq ? eq + 1 : argv[*at + 1] ? argv[++*at] : "";

		if (text_ms_parse(v, &s->timeout_ms) < 0)
			return say_fail(s, ERR_INVAL, NULL, NULL, "\"%s\" is no duration (10s, 5m)", v);
	} else {
		return say_fail(s, ERR_INVAL, NULL, "director help", "%s is no option", w);
	}
	return 0;
}

/* --socket may stand anywhere; it is taken out of the words. */
static int words_of(struct shell *s, char **argv, int at, const char **words, unsigned *n, const char **socket_path)
{
	bool plain = false;

	for (*n = 0; argv[at]; at++) {
		plain |= strcmp(argv[at], "--") == 0;
		if (!plain && strcmp(argv[at], "--socket") == 0 && argv[at + 1])
			*socket_path = argv[++at];
		else if (!plain && strncmp(argv[at], "--socket=", 9) == 0)
			*socket_path = argv[at] + 9;
		else if (*n == WORDS_MAX)
			return say_fail(s, ERR_LIMIT, NULL, NULL, "too many words in one command");
		else
			words[(*n)++] = argv[at];
	}
	return 0;
}

/* Options that mean something only together with a command, and with it are the parser's. */
static bool of_command(const char *w)
{
	size_t len = strcspn(w, "=");
	static const char *const names[] = { "-h", "--help", "-m", "--message", "--key" };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], w, len) == 0)
			return true;
	return false;
}

static int run(struct shell *s, const char *const *words, unsigned n)
{
	if (n)
		return shell_run(s, words, n);
	if (isatty(STDIN_FILENO)) {
		s->interactive = true;
		return shell_interactive(s);
	}
	return script(s);
}

int main(int argc, char **argv)
{
	struct shell s = { .cwd = "/", .in_tx = -1, .running = "" };
	const char *words[WORDS_MAX], *socket_path = NULL;
	struct sigaction sa = { .sa_handler = on_int };
	int at = 1, err = 0;
	unsigned n;

	setlocale(LC_CTYPE, "");
	s.tty = isatty(STDOUT_FILENO);
	s.json_asked = argc > 1 && words_ask_json((const char *const *)argv + 1, (unsigned)argc - 1);
	for (; at < argc && argv[at][0] == '-' && argv[at][1] && !of_command(argv[at]) && !err; at++)
		err = leading(&s, argv, &at, &socket_path);
	if (!err)
		err = words_of(&s, argv, at, words, &n, &socket_path);
	if (err)
		return err_exit(err);
	director_new(&s.d, socket_path);
	director_set_program(s.d, "director");
	on_signal = s.d;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = printed(&s, run(&s, words, n));
	director_schema_free(&s.schema);
	director_free(&s.d);
	return err_exit(err);
}
