/* SPDX-License-Identifier: Apache-2.0 */
/* directord/conf: the table, the file, printing, reload; the shipped files that are made from the table. */
#include "directord/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "directord/file.h"
#include "tests/unit/check.h"

static int parse(struct conf *c, const char *text, struct buf *errs)
{
	buf_reset(errs);
	conf_init(c);
	return conf_parse(c, text, strlen(text), "t", errs);
}

static void the_defaults_pass_the_check(void)
{
	struct buf errs = { 0 };
	struct conf c;

	conf_init(&c);
	CHECK_EQ(conf_check(&c, &errs), 0);
	CHECK_EQ(c.port, 7340);
	CHECK_EQ(c.discovery, CONF_DISCOVERY_AUTO);
	CHECK(c.found);
	CHECK_EQ(c.log_level, LOG_LEVEL_INFO);
	conf_fini(&c);
	buf_fini(&errs);
}

static void values_are_read_with_blanks_and_comments(void)
{
	struct buf errs = { 0 };
	struct conf c;

	CHECK_EQ(parse(&c, "# all of it\n\n  name=n7\r\nport =\t9000 # here\nseeds = 10.0.0.1, san.example:99 [fe80::1%2]:7\n"
	                   "found = no\ndebug = a#b\ndiscovery = off", &errs), 0);
	CHECK_STR(c.name, "n7");
	CHECK_EQ(c.port, 9000);
	CHECK_EQ(c.seeds.n, 3);
	CHECK_STR(c.seeds.item[1], "san.example:99");
	CHECK(!c.found);
	CHECK_STR(c.debug, "a#b");
	CHECK_EQ(c.discovery, CONF_DISCOVERY_OFF);
	conf_fini(&c);
	buf_fini(&errs);
}

static void an_unknown_key_names_its_line_and_the_nearest(void)
{
	struct buf errs = { 0 };
	struct conf c;

	CHECK_EQ(parse(&c, "name = x\nlog-lvl = info\n", &errs), ERR_INVAL);
	CHECK_STR(buf_str(&errs), "t:2: there is no key \"log-lvl\"; did you mean \"log-level\"?\n");
	conf_fini(&c);
	CHECK_EQ(parse(&c, "zebra-crossing = 1\n", &errs), ERR_INVAL);
	CHECK_STR(buf_str(&errs), "t:1: there is no key \"zebra-crossing\"\n");
	conf_fini(&c);
	buf_fini(&errs);
}

static void every_error_is_told_and_nothing_is_half_a_list(void)
{
	struct buf errs = { 0 };
	struct conf c;

	CHECK_EQ(parse(&c, "port = 70000\nseeds = 10.0.0.1 300.1.1.1\nname = a/b\nname = b\nnonsense\ndiscovery = maybe\n"
	                   "state = var\nring-port = 0\n", &errs), ERR_INVAL);
	CHECK(strstr(buf_str(&errs), "t:1: port: \"70000\" is not a port\n"));
	CHECK(strstr(buf_str(&errs), "t:2: seeds: \"300.1.1.1\" is not an address or name\n"));
	CHECK(strstr(buf_str(&errs), "t:3: name: "));
	CHECK(strstr(buf_str(&errs), "t:4: name was set on a line above\n"));
	CHECK(strstr(buf_str(&errs), "t:5: this is not \"key = value\"\n"));
	CHECK(strstr(buf_str(&errs), "t:6: discovery: \"maybe\" is none of auto, avahi, embedded, off\n"));
	CHECK(strstr(buf_str(&errs), "t:7: state: \"var\": a path begins with '/'\n"));
	CHECK(strstr(buf_str(&errs), "t:8: ring-port: \"0\" is not a port\n"));
	CHECK_EQ(c.seeds.n, 0);
	conf_fini(&c);
	buf_fini(&errs);
}

static void what_does_not_fit_together_is_refused(void)
{
	struct buf errs = { 0 };
	struct conf c;

	CHECK_EQ(parse(&c, "ring-port = 7340\niscsi-port = 7340\nring-addresses = 10.0.0.1 10.1.0.1 10.2.0.1\n", &errs), 0);
	CHECK_EQ(conf_check(&c, &errs), ERR_INVAL);
	CHECK(strstr(buf_str(&errs), "ring-port"));
	CHECK(strstr(buf_str(&errs), "iscsi-port"));
	CHECK(strstr(buf_str(&errs), "ring-addresses"));
	conf_fini(&c);
	buf_fini(&errs);
}

static void printed_text_reads_back_the_same(void)
{
	struct buf errs = { 0 }, one = { 0 }, two = { 0 };
	struct conf c, d;

	CHECK_EQ(parse(&c, "name = n7\nseeds = a,b, c\nlog-level = debug\nlisten = ::1 10.0.0.1\n", &errs), 0);
	conf_print(&c, false, &one);
	CHECK_STR(buf_str(&one), "name = n7\nlisten = ::1 10.0.0.1\nseeds = a b c\nlog-level = debug\n");
	CHECK_EQ(parse(&d, buf_str(&one), &errs), 0);
	buf_reset(&one);
	conf_print(&c, true, &one);
	conf_print(&d, true, &two);
	CHECK_STR(buf_str(&one), buf_str(&two));
	conf_fini(&d);
	CHECK_EQ(parse(&d, buf_str(&one), &errs), 0);
	CHECK_EQ(conf_diff(&c, &d, &errs), CONF_SAME);
	conf_fini(&c);
	conf_fini(&d);
	buf_fini(&one);
	buf_fini(&two);
	buf_fini(&errs);
}

static void a_reload_takes_what_is_live_and_names_the_rest(void)
{
	struct buf errs = { 0 }, text = { 0 };
	struct conf c, d;

	CHECK_EQ(parse(&c, "", &errs), 0);
	CHECK_EQ(parse(&d, "debug = mesh\nseeds = 10.0.0.9\n", &errs), 0);
	CHECK_EQ(conf_diff(&c, &d, &text), CONF_LIVE);
	conf_fini(&d);
	buf_reset(&text);
	CHECK_EQ(parse(&d, "port = 1\ndebug = mesh\nseeds = 10.0.0.9\n", &errs), 0);
	CHECK_EQ(conf_diff(&c, &d, &text), CONF_RESTART);
	CHECK_STR(buf_str(&text), "port: \"7340\" -> \"1\" (needs a restart)\nseeds: \"\" -> \"10.0.0.9\"\ndebug: \"\" -> \"mesh\"\n");
	conf_adopt(&c, &d);
	CHECK_STR(c.debug, "mesh");
	CHECK_EQ(c.seeds.n, 1);
	CHECK_EQ(c.port, 7340);
	conf_fini(&c);
	conf_fini(&d);
	buf_fini(&text);
	buf_fini(&errs);
}

static void a_missing_file_is_an_error_only_when_it_must_be_there(void)
{
	struct buf errs = { 0 };
	struct conf c;

	conf_init(&c);
	CHECK_EQ(conf_load(&c, "/nonexistent/director.conf", false, &errs), 0);
	CHECK_EQ(conf_load(&c, "/nonexistent/director.conf", true, &errs), ERR_NOENT);
	CHECK(errs.len > 0);
	conf_fini(&c);
	buf_fini(&errs);
}

static void shipped(const char *name, struct buf *text)
{
	const char *src = getenv("top_srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", src ? src : ".", name);
	CHECK_EQ(file_read(path, 1 << 20, text), 0);
}

/* directord --print-example writes it anew. */
static void the_shipped_file_is_the_table_and_all_comment(void)
{
	struct buf want = { 0 }, have = { 0 }, errs = { 0 };
	struct conf c, d;

	conf_example(&want);
	shipped("doc/director.conf", &have);
	CHECK_STR(buf_str(&have), buf_str(&want));
	CHECK_EQ(parse(&c, buf_str(&have), &errs), 0);
	conf_init(&d);
	CHECK_EQ(conf_diff(&c, &d, &errs), CONF_SAME);
	conf_fini(&c);
	conf_fini(&d);
	buf_fini(&want);
	buf_fini(&have);
	buf_fini(&errs);
}

/* directord --print-mdoc gives the part between .Bl and .El of KEYS. */
static void the_manual_page_lists_the_table(void)
{
	struct buf want = { 0 }, have = { 0 };

	conf_mdoc(&want);
	shipped("doc/man/director.conf.5", &have);
	CHECK(strstr(buf_str(&have), buf_str(&want)));
	buf_fini(&want);
	buf_fini(&have);
}

int main(void)
{
	RUN(the_defaults_pass_the_check);
	RUN(values_are_read_with_blanks_and_comments);
	RUN(an_unknown_key_names_its_line_and_the_nearest);
	RUN(every_error_is_told_and_nothing_is_half_a_list);
	RUN(what_does_not_fit_together_is_refused);
	RUN(printed_text_reads_back_the_same);
	RUN(a_reload_takes_what_is_live_and_names_the_rest);
	RUN(a_missing_file_is_an_error_only_when_it_must_be_there);
	RUN(the_shipped_file_is_the_table_and_all_comment);
	RUN(the_manual_page_lists_the_table);
	return 0;
}
