/* SPDX-License-Identifier: Apache-2.0 */
/* A line of text into words, and a word into text: the lowest level of the grammar. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "shell/shell.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One word from *s into *to. False: a quote is open. */
static bool word(const char **sp, char **top)
{
	const char *s = *sp;
	char *to = *top, quote = 0;

	while (*s && (quote || (!blank(*s) && *s != ';'))) {
		if (quote && *s == quote) {
			quote = 0;
			s++;
		} else if (!quote && (*s == '\'' || *s == '"')) {
			quote = *s++;
		} else if (*s == '\\' && quote != '\'' && s[1]) {
			*to++ = s[1];
			s += 2;
		} else {
			*to++ = *s++;
		}
	}
	*to++ = '\0';
	*sp = s;
	*top = to;
	return !quote;
}

int line_parse(const char *s, struct line *l, const char **rest, const char **why)
{
	char *to;

	*l = (struct line){ .text = mem_alloc(strlen(s) + 2) };
	to = l->text;
	if (rest)
		*rest = NULL;
	*why = NULL;
	for (;;) {
		while (blank(*s))
			s++;
		if (*s == '\0' || *s == '#')
			break;
		if (*s == ';') {
			if (rest)
				*rest = s + 1;
			break;
		}
		if (l->n == WORDS_MAX) {
			*why = "too many words in one command";
			return ERR_LIMIT;
		}
		l->word[l->n++] = to;
		l->open = true;
		if (!word(&s, &to)) {
			*why = "a quote is not closed";
			return ERR_INVAL;
		}
		if (*s == '\0')
			break;
		l->open = false;
	}
	return 0;
}

void line_fini(struct line *l)
{
	free(l->text);
	*l = (struct line){ 0 };
}

static bool plain(const char *w)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@%+=,-/";

	return *w && strspn(w, safe) == strlen(w);
}

char *line_quote(const char *w)
{
	struct buf b = { 0 };

	if (plain(w))
		return mem_strdup(w);
	buf_puts(&b, "'");
	for (; *w; w++) {
		if (*w == '\'')
			buf_puts(&b, "'\\''");
		else
			buf_put(&b, w, 1);
	}
	buf_puts(&b, "'");
	return buf_take(&b);
}
