/* SPDX-License-Identifier: Apache-2.0 */
/* shell/: lines to words and back, words to calls, without a daemon. */
#include "shell/shell.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/check.h"

static void words_are_split_and_quoted_as_in_sh(void)
{
	struct line l;
	const char *rest, *why;

	CHECK_EQ(line_parse(" volume  create 'a b' \"c'd\" e\\ f # tail", &l, &rest, &why), 0);
	CHECK_EQ(l.n, 5);
	CHECK_STR(l.word[2], "a b");
	CHECK_STR(l.word[3], "c'd");
	CHECK_STR(l.word[4], "e f");
	CHECK(!rest);
	line_fini(&l);
}

static void a_semicolon_ends_a_command_but_not_in_quotes(void)
{
	struct line l;
	const char *rest, *why;

	CHECK_EQ(line_parse("ls 'a;b' ; status", &l, &rest, &why), 0);
	CHECK_EQ(l.n, 2);
	CHECK_STR(rest, " status");
	line_fini(&l);
}

static void an_open_quote_is_refused(void)
{
	struct line l;
	const char *why;

	CHECK_EQ(line_parse("ls 'a", &l, NULL, &why), ERR_INVAL);
	CHECK_STR(why, "a quote is not closed");
	line_fini(&l);
}

static void the_last_word_is_open_until_a_blank_follows(void)
{
	struct line l;
	const char *why;

	CHECK_EQ(line_parse("volume cr", &l, NULL, &why), 0);
	CHECK(l.open);
	line_fini(&l);
	CHECK_EQ(line_parse("volume cr ", &l, NULL, &why), 0);
	CHECK(!l.open);
	line_fini(&l);
}

static void a_quoted_word_is_read_back_as_it_was(void)
{
	static const char *const words[] = { "plain", "a b", "it's", "$HOME", "", "[::]:3260", "x;y", "#" };
	const char *why;

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		auto_free char *quoted = line_quote(words[i]);
		struct line l;

		CHECK_EQ(line_parse(quoted, &l, NULL, &why), 0);
		CHECK_EQ(l.n, 1);
		CHECK_STR(l.word[0], words[i]);
		line_fini(&l);
	}
}

static int parse(const char *text, struct shell *s, struct call *c, struct line *l)
{
	const char *why;

	memset(s, 0, sizeof(*s));
	s->in_tx = -1;
	s->quiet = true;
	CHECK_EQ(line_parse(text, l, NULL, &why), 0);
	return call_parse(s, l->word, l->n, c);
}

static void options_stand_anywhere_and_set_parameters_of_the_schema(void)
{
	struct shell s;
	struct call c;
	struct line l;

	CHECK_EQ(parse("volume create -o json v1 --size 1G --on=n2 comment='a b' --read-only --no-wait -m why", &s, &c, &l), 0);
	CHECK_STR(c.arg[0], "v1");
	CHECK_STR(call_param(&c, "size"), "1G");
	CHECK_STR(call_param(&c, "node"), "n2");
	CHECK_STR(call_param(&c, "comment"), "a b");
	CHECK_STR(call_param(&c, "read-only"), "yes");
	CHECK_STR(c.message, "why");
	CHECK(s.json && s.no_wait);
	call_fini(&c);
	line_fini(&l);
}

static void what_does_not_fit_the_command_is_refused(void)
{
	static const char *const lines[] = {
		"volume create", "volume create v1 v2", "volume list --size 1G", "volume", "volume fly", "nonsense",
		"volume create v1 size=1G --size 2G", "status -x", "volume create v1 -o xml", "commit -m",
		"host add", "volume list --timeout soon",
	};
	struct shell s;
	struct call c;
	struct line l;

	for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
		CHECK_EQ(parse(lines[i], &s, &c, &l), ERR_INVAL);
		call_fini(&c);
		line_fini(&l);
	}
}

/* Each row of the table can be called as its own usage says. */
static void every_command_finds_itself(void)
{
	for (unsigned i = 0; cmd_tables[i]; i++)
		for (const struct cmd *c = cmd_tables[i]; c->words; c++) {
			const char *why;
			struct line l;
			unsigned used;

			CHECK_EQ(line_parse(c->words, &l, NULL, &why), 0);
			CHECK(cmd_find(l.word, l.n, &used) == c);
			CHECK_EQ(used, l.n);
			CHECK(c->help && c->run);
			line_fini(&l);
		}
}

int main(void)
{
	RUN(words_are_split_and_quoted_as_in_sh);
	RUN(a_semicolon_ends_a_command_but_not_in_quotes);
	RUN(an_open_quote_is_refused);
	RUN(the_last_word_is_open_until_a_blank_follows);
	RUN(a_quoted_word_is_read_back_as_it_was);
	RUN(options_stand_anywhere_and_set_parameters_of_the_schema);
	RUN(what_does_not_fit_the_command_is_refused);
	RUN(every_command_finds_itself);
	return 0;
}
