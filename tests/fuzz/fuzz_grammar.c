/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's grammar: any line is split, parsed, completed and quoted without harm, and without a daemon. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "shell/shell.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A word that was read must survive being written and read. */
static void quote_again(const char *word)
{
	auto_free char *quoted = line_quote(word);
	const char *why;
	struct line l;

	if (line_parse(quoted, &l, NULL, &why) < 0 || l.n != 1 || strcmp(l.word[0], word) != 0)
		abort();
	line_fini(&l);
}

static void one(struct shell *s, const struct line *l)
{
	const char *ordered[WORDS_MAX];
	struct call c;

	words_ask_json(l->word, l->n);
	words_order(l->word, l->n, ordered);
	if (l->n) {
		call_parse(s, ordered, l->n, &c);
		call_fini(&c);
	}
	for (unsigned i = 0; i < l->n; i++)
		quote_again(l->word[i]);
	if (l->n) {
		call_parse(s, l->word, l->n, &c);
		call_fini(&c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct shell s = { .cwd = "/", .in_tx = -1, .running = "", .mute = true };
	auto_free char *text = mem_strndup((const char *)p, n > 4096 ? 4096 : n);
	const char *at = text, *rest, *why;
	struct words_out out = { 0 };
	struct line l;

	director_new(&s.d, "/nonexistent/control.sock");
	while (at) {
		int err = line_parse(at, &l, &rest, &why);

		if (!err)
			one(&s, &l);
		line_fini(&l);
		at = err ? NULL : rest;
	}
	complete_line(&s, text, &out);
	words_out_fini(&out);
	snprintf(s.cwd, sizeof(s.cwd), "/volumes");
	s.interactive = true;
	complete_line(&s, text, &out);
	words_out_fini(&out);
	director_schema_free(&s.schema);
	director_free(&s.d);
	return 0;
}
