/* SPDX-License-Identifier: Apache-2.0 */
/* directord's host of executable plugins, over small scripts that behave and scripts that do not. */
#include "config.h"

#include <ev.h>
#include <jansson.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "directord/plugins.h"
#include "tests/unit/check.h"

static char dir[] = "/tmp/director-plugins-XXXXXX";
static struct ev_loop *loop;
static struct plugins *ps;

static void script(const char *name, const char *body)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	CHECK(f);
	fprintf(f, "#!/bin/sh\nif [ $1 = probe ]; then\n"
		"echo '{\"name\": \"%s\", \"kind\": \"device\", \"version\": \"3\", \"params\": [{\"name\": \"a\", \"type\": \"uint\"}]}'\n"
		"exit 0\nfi\n%s\n", name, body);
	fclose(f);
	chmod(path, 0755);
}

static void begin(uint32_t deadline_ms, uint32_t output_max)
{
	struct plugins_conf conf = { .loop = loop, .path = dir, .run = "/nonexistent", .deadline_ms = deadline_ms,
		.output_max = output_max };

	ps = plugins_new(&conf);
}

static void scan_done(void *arg)
{
	*(int *)arg = 1;
}

static void scan(void)
{
	int over = 0;

	plugins_scan(ps, scan_done, &over);
	CHECK_EQ(over, 0);
	while (!over)
		ev_run(loop, EVRUN_ONCE);
}

struct outcome {
	int over, err, n;
	char text[300];
};

static void ran(void *arg, const struct plugins_result *r)
{
	struct outcome *o = arg;

	CHECK(!o->over);
	o->over = 1;
	o->err = r->err;
	o->n = (int)json_integer_value(json_object_get(r->out, "n"));
	snprintf(o->text, sizeof(o->text), "%s", r->text);
}

static struct outcome run(const char *name, const char *verb, const char *in)
{
	struct outcome o = { 0 };

	plugins_run(ps, name, verb, in, ran, &o);
	CHECK_EQ(o.over, 0);            /* never from inside */
	while (!o.over)
		ev_run(loop, EVRUN_ONCE);
	return o;
}

static const char *want_state;

static void check_state(void *arg, const char *name, const struct attrs *as)
{
	if (strcmp(name, arg) != 0)
		return;
	CHECK_STR(attrs_get(as, "state"), want_state);
	want_state = NULL;
}

static void state_is(const char *name, const char *state)
{
	want_state = state;
	plugins_each(ps, check_state, (void *)name);
	CHECK(!want_state);             /* it was there */
}

static void a_good_one_answers(void)
{
	struct outcome o;

	script("good", "case $1 in give) cat; exit 0;; fail) echo '{\"error\": \"no such thing\"}'; exit 1;; esac\nexit 2");
	begin(20000, 0);
	scan();
	state_is("good", "ready");
	o = run("good", "give", "{\"n\": 42}");
	CHECK_EQ(o.err, 0);
	CHECK_EQ(o.n, 42);
	o = run("good", "fail", NULL);
	CHECK_EQ(o.err, ERR_FAILED);
	CHECK_STR(o.text, "no such thing");
	o = run("good", "dance", NULL);
	CHECK_EQ(o.err, ERR_NOTSUP);
	o = run("nobody", "give", NULL);
	CHECK_EQ(o.err, ERR_NOENT);
	plugins_free(&ps);
}

static void bad_answers_are_refused(void)
{
	script("words", "echo hello; exit 0");
	script("crash", "kill -SEGV $$");
	script("chatty", "while :; do echo 0123456789012345678901234567890123456789; done");
	begin(20000, 10000);
	scan();
	CHECK_EQ(run("words", "x", NULL).err, ERR_MALFORMED);
	CHECK_EQ(run("crash", "x", NULL).err, ERR_FAILED);
	CHECK_EQ(run("chatty", "x", NULL).err, ERR_MALFORMED);
	plugins_free(&ps);
}

static size_t logged;
static unsigned n_lines;

static void count(void *arg, enum log_level level, const char *line)
{
	logged += strlen(line);
	n_lines++;
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static size_t text_len, heap_most;

static void flooded(void *arg, const struct plugins_result *r)
{
	text_len = strlen(r->text);
	heap_most = heap();
	ran(arg, r);
}

/* What a plugin says on standard error is read, so that it is not held up, and forgotten but for the beginning. */
static void a_flood_on_standard_error_grows_nothing(void)
{
	struct log log = { .sink = count, .level = LOG_LEVEL_INFO };
	struct plugins_conf conf = { .loop = loop, .path = dir, .run = "/nonexistent", .deadline_ms = 60000, .log = &log };
	struct outcome o = { 0 };
	size_t before;

	script("flood", "head -c 20000000 /dev/zero | tr '\\0' x >&2\n[ $1 = well ] || exit 1\necho '{\"n\": 7}'");
	ps = plugins_new(&conf);
	scan();
	logged = n_lines = 0;
	before = heap();
	plugins_run(ps, "flood", "well", NULL, flooded, &o);
	while (!o.over)
		ev_run(loop, EVRUN_ONCE);
	CHECK_EQ(o.err, 0);
	CHECK_EQ(o.n, 7);
	CHECK(heap_most < before + (1 << 20));
	o = (struct outcome){ 0 };
	plugins_run(ps, "flood", "ill", NULL, flooded, &o);
	while (!o.over)
		ev_run(loop, EVRUN_ONCE);
	CHECK_EQ(o.err, ERR_FAILED);
	CHECK(text_len < 4096);
	CHECK(heap_most < before + (1 << 20));
	CHECK(logged < 8192 && n_lines < 4);
	plugins_free(&ps);
}

static void a_hanging_one_is_killed_and_then_left_alone(void)
{
	struct outcome o;

	script("hangs", "sleep 1000 & sleep 1000");
	begin(300, 0);
	scan();
	/* Three times in a row; a slow machine may also have been late with the probe. */
	for (o.err = ERR_TIMEOUT; o.err == ERR_TIMEOUT; o = run("hangs", "x", NULL))
		;
	CHECK_EQ(o.err, ERR_BUSY);
	CHECK(strstr(o.text, "no answer within 300 ms"));
	state_is("hangs", "quarantined");
	CHECK_EQ(plugins_unquarantine(ps, "hangs"), 0);
	CHECK_EQ(run("hangs", "x", NULL).err, ERR_TIMEOUT);
	CHECK_EQ(plugins_unquarantine(ps, "nobody"), ERR_NOENT);
	plugins_free(&ps);
}

static void not_there(void *arg, const char *name, const struct attrs *as)
{
	CHECK(strcmp(name, arg) != 0);
}

static void what_libtool_leaves_is_no_plugin(void)
{
	script("file.la", "exit 1");
	begin(20000, 0);
	scan();
	plugins_each(ps, not_there, "file.la");
	plugins_free(&ps);
}

static void an_impostor_is_broken(void)
{
	char path[300], to[300];

	snprintf(path, sizeof(path), "%s/good", dir);
	snprintf(to, sizeof(to), "%s/other", dir);
	CHECK_EQ(link(path, to), 0);
	script("open", "exit 0");
	snprintf(path, sizeof(path), "%s/open", dir);
	chmod(path, 0777);
	begin(20000, 0);
	scan();
	state_is("other", "broken");
	state_is("open", "broken");
	CHECK_EQ(run("other", "x", NULL).err, ERR_FAILED);
	unlink(to);
	scan();
	CHECK_EQ(run("other", "x", NULL).err, ERR_NOENT);
	plugins_free(&ps);
}

static void device_found(void *arg, const char *name, const struct attrs *as)
{
	CHECK_STR(name, "d1");
	CHECK_STR(attrs_get(as, "size"), "4096");
	CHECK_STR(attrs_get(as, "plugin"), "finder");
	CHECK_STR(attrs_get(as, "read-only"), "yes");
	CHECK(!attrs_get(as, "model"));         /* unprintable */
	++*(int *)arg;
}

static void devices_done(void *arg, int err, const char *text)
{
	CHECK(err != 0);                        /* of the others; ours were found all the same */
	*(int *)arg += 100;
}

static void devices_come_from_whoever_answers(void)
{
	int n = 0;

	script("finder", "echo '{\"devices\": [{\"name\": \"d1\", \"size\": 4096, \"read-only\": true, "
		"\"model\": \"a\\u0007\"}, {\"name\": \"../evil\", \"size\": 1}]}'");
	begin(5000, 0);
	scan();
	plugins_devices(ps, device_found, devices_done, &n);
	while (n < 100)
		ev_run(loop, EVRUN_ONCE);
	CHECK_EQ(n, 101);
	plugins_free(&ps);
}

static void canceled(void *arg, const struct plugins_result *r)
{
	*(int *)arg = r->err;
}

static void what_runs_at_the_end_is_canceled(void)
{
	int err = 0;

	begin(20000, 0);
	scan();
	plugins_run(ps, "hangs", "x", NULL, canceled, &err);
	ev_run(loop, EVRUN_NOWAIT);
	plugins_free(&ps);
	CHECK_EQ(err, ERR_CANCELED);
}

/* There is nobody left to ask what was found. */
static void a_scan_that_the_end_cuts_short_is_not_done(void)
{
	int over = 0;

	begin(20000, 0);
	plugins_scan(ps, scan_done, &over);
	ev_run(loop, EVRUN_NOWAIT);
	plugins_free(&ps);
	CHECK_EQ(over, 0);
}

int main(void)
{
	char cmd[300];

	CHECK(mkdtemp(dir));
	loop = ev_default_loop(0);
	RUN(a_good_one_answers);
	RUN(bad_answers_are_refused);
	RUN(a_flood_on_standard_error_grows_nothing);
	RUN(a_hanging_one_is_killed_and_then_left_alone);
	RUN(what_libtool_leaves_is_no_plugin);
	RUN(an_impostor_is_broken);
	RUN(devices_come_from_whoever_answers);
	RUN(what_runs_at_the_end_is_canceled);
	RUN(a_scan_that_the_end_cuts_short_is_not_done);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd);
}
