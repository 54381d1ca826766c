/* SPDX-License-Identifier: Apache-2.0 */
/* The interactive shell: a line editor with prompt, history and completion around shell_run_line. */
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "shell/shell.h"

static struct shell *the_shell;         /* for the editor's callbacks and the signal, which carry no argument */
static volatile sig_atomic_t interrupted;

static char *prompt(EditLine *el)
{
	static char text[PATH_LEN_MAX + 32];

	snprintf(text, sizeof(text), "director:%s%s> ", the_shell->cwd, the_shell->in_tx > 0 ? " (tx)" : "");
	return text;
}

static void on_int(int sig)
{
	interrupted = 1;
	director_interrupt(the_shell->d);
}

/* ---- tab ---- */

static size_t common(const struct words_out *out)
{
	size_t n = strlen(out->w[0]);

	for (unsigned i = 1; i < out->n; i++) {
		size_t k = 0;

		while (k < n && out->w[i][k] == out->w[0][k])
			k++;
		n = k;
	}
	return n;
}

static void show_words(const struct words_out *out)
{
	size_t w = 1, col = 0;

	for (unsigned i = 0; i < out->n; i++)
		w = strlen(out->w[i]) + 2 > w ? strlen(out->w[i]) + 2 : w;
	putchar('\n');
	for (unsigned i = 0; i < out->n; i++) {
		printf("%-*s", (int)w, out->w[i]);
		col += w;
		if (col + w > 80) {
			putchar('\n');
			col = 0;
		}
	}
	if (col)
		putchar('\n');
	fflush(stdout);
}

/* Where the word under the cursor begins. */
static size_t word_start(const char *text)
{
	size_t at = strlen(text);

	while (at > 0 && text[at - 1] != ' ' && text[at - 1] != '\t' && text[at - 1] != ';')
		at--;
	return at;
}

static unsigned char on_tab(EditLine *el, int ch)
{
	const LineInfo *li = el_line(el);
	auto_free char *text = mem_strndup(li->buffer, (size_t)(li->cursor - li->buffer));
	struct words_out out = { 0 };
	unsigned char result = CC_REFRESH;
	size_t typed = strlen(text) - word_start(text), n;

	complete_line(the_shell, text, &out);
	n = out.n ? common(&out) : 0;
	if (out.n == 0) {
		result = CC_REFRESH_BEEP;
	} else if (out.n == 1 || n > typed) {
		auto_free char *word = mem_strndup(out.w[0], n);

		el_deletestr(el, (int)typed);
		el_insertstr(el, word);
		if (out.n == 1 && !out.no_space)
			el_insertstr(el, " ");
	} else {
		show_words(&out);
		result = CC_REDISPLAY;
	}
	words_out_fini(&out);
	return result;
}

/* ---- history ---- */

static char *history_file(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		return mem_printf("%s/director_history", state);
	return home && *home == '/' ? mem_printf("%s/.director_history", home) : NULL;
}

static void history_keep(History *h, const char *file)
{
	HistEvent ev;
	mode_t old = umask(0077);

	if (file)
		history(h, &ev, H_SAVE, file);
	umask(old);
}

/* ---- the loop ---- */

static void one_line(struct shell *s, History *h, const char *text)
{
	HistEvent ev;
	size_t n = strspn(text, " \t\r\n");

	if (!text[n])
		return;
	history(h, &ev, H_ENTER, text);
	shell_run_line(s, text);
	fflush(stdout);
}

static void loop(struct shell *s, EditLine *el, History *h)
{
	while (!s->quit) {
		const char *text;
		int n;

		interrupted = 0;
		shell_in_tx(s);
		errno = 0;
		text = el_gets(el, &n);
		if (!text && (errno == EINTR || interrupted)) {
			putchar('\n');
			el_reset(el);
			continue;
		}
		if (!text || n <= 0) {
			putchar('\n');
			return;
		}
		s->in_tx = -1;          /* another of the user's shells may have changed it */
		one_line(s, h, text);
	}
}

int shell_interactive(struct shell *s)
{
	struct sigaction sa = { .sa_handler = on_int };
	auto_free char *file = history_file();
	History *h = history_init();
	HistEvent ev;
	EditLine *el;

	the_shell = s;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	el = el_init("director", stdin, stdout, stderr);
	history(h, &ev, H_SETSIZE, 1000);
	history(h, &ev, H_SETUNIQUE, 1);
	if (file)
		history(h, &ev, H_LOAD, file);
	el_set(el, EL_PROMPT, prompt);
	el_set(el, EL_EDITOR, "emacs");
	el_set(el, EL_HIST, history, h);
	el_set(el, EL_ADDFN, "director-complete", "complete the word", on_tab);
	el_set(el, EL_BIND, "^I", "director-complete", NULL);
	el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_source(el, NULL);
	if (director_connect(s->d) < 0)
		say_error(s);
	else
		say(s, "director %s, %s; help lists the commands", director_version(), director_socket(s->d));
	loop(s, el, h);
	history_keep(h, file);
	history_end(h);
	el_end(el);
	return 0;
}
