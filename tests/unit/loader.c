/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin tables and parameters: what is refused, and whether the sentence says why. */
#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>

#include "base/mem.h"
#include "target/serve/loader.h"
#include "tests/unit/check.h"

static int o_open(void *priv, const struct director_conf *c, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	return 0;
}

static int o_caps(void *obj, struct director_caps *c)
{
	return 0;
}

static void o_submit(void *obj, struct director_io *io)
{
}

static void o_close(void *obj)
{
}

static int o_fd(void *priv)
{
	return -1;
}

static const struct director_param params[] = {
	{ .name = "path", .type = DIRECTOR_P_PATH, .flags = DIRECTOR_PF_REQUIRED, .help = "the file" },
	{ .name = "size", .type = DIRECTOR_P_SIZE, .min = 512, .max = 1u << 30 },
	{ .name = "wait", .type = DIRECTOR_P_DURATION, .value = "1500ms", .flags = DIRECTOR_PF_LIVE },
	{ .name = "mode", .type = DIRECTOR_P_ENUM, .value = "fast", .choices = "fast slow-but-sure" },
	{ .name = "thin", .type = DIRECTOR_P_BOOL, .value = "yes" },
	{ .name = "depth", .type = DIRECTOR_P_UINT, .value = "4", .min = 1, .max = 64 },
	{ .name = "secret", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_SECRET, .value = "swordfish" },
	{ .name = NULL },
};

static struct director_backstore_ops ops;
static struct director_plugin tables;

/* A good one, for each test to spoil. */
static void reset(void)
{
	ops = (struct director_backstore_ops){ .struct_size = sizeof(ops), .threads = DIRECTOR_THREADS_ASYNC,
		.open = o_open, .caps = o_caps, .submit = o_submit, .close = o_close };
	tables = (struct director_plugin){ .magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(tables),
		.abi_major = DIRECTOR_ABI_MAJOR, .abi_minor = DIRECTOR_ABI_MINOR, .kind = DIRECTOR_BACKSTORE,
		.name = "good", .summary = "for tests", .params = params, .backstore = &ops };
}

static struct director_err err;

static struct plugin *wrap(void)
{
	struct plugin *pl;

	memset(&err, 0, sizeof(err));
	return plugin_wrap(&tables, &pl, &err) == 0 ? pl : NULL;
}

static void refused(const char *why)
{
	CHECK(!wrap());
	if (!strstr(err.text, why)) {
		fprintf(stderr, "the reason is \"%s\", not \"%s\"\n", err.text, why);
		exit(1);
	}
	reset();
}

static void a_good_one_is_taken(void)
{
	struct plugin *pl;

	reset();
	pl = wrap();
	CHECK(pl);
	CHECK_EQ(pl->n_params, 7);
	plugin_unload(&pl);
	CHECK(!pl);
}

static void another_major_is_refused(void)
{
	reset();
	tables.abi_major = 2;
	tables.abi_minor = 0;
	CHECK(!wrap());
	CHECK_EQ(err.code, -EPROTO);
	CHECK_STR(err.text, "built for ABI 2.0; this host offers 1.x");
	reset();
	tables.magic = 0x7f454c46;
	refused("not a director plugin");
}

/* An older minor had fewer fields: what lies behind its struct is not read. */
static void a_short_table_has_no_tail(void)
{
	struct plugin *pl;

	reset();
	ops.thread_fd = o_fd;
	ops.reap = o_close;
	ops.struct_size = offsetof(struct director_backstore_ops, thread_fd);
	tables.struct_size = offsetof(struct director_plugin, device);
	tables.device = (void *)8;
	pl = wrap();
	CHECK(pl);
	CHECK(!pl->backstore.thread_fd);
	CHECK(!pl->p.device);
	plugin_unload(&pl);
	reset();
	ops.struct_size = 16;
	refused("says it has 16 bytes");
	tables.struct_size = 8;
	refused("says it has 8 bytes");
}

static void bad_tables_are_refused(void)
{
	static const struct director_param twice[] = { { .name = "a", .type = DIRECTOR_P_UINT },
		{ .name = "a", .type = DIRECTOR_P_UINT }, { .name = NULL } };
	static const struct director_param bad_default[] = { { .name = "a", .type = DIRECTOR_P_UINT, .value = "x" },
		{ .name = NULL } };
	static const struct director_param bad_type[] = { { .name = "a", .type = 99 }, { .name = NULL } };
	static const struct director_param no_choice[] = { { .name = "a", .type = DIRECTOR_P_ENUM }, { .name = NULL } };

	reset();
	tables.name = "Bad Name";
	refused("name is not valid");
	tables.name = NULL;
	refused("name is not valid");
	tables.kind = 99;
	refused("kind 99");
	tables.backstore = NULL;
	refused("no table of backstore verbs");
	ops.submit = NULL;
	refused("lacks one of the verbs");
	ops.threads = 0;
	refused("thread model 0");
	ops.plug = o_close;
	refused("only one of plug and unplug");
	ops.n_children = 1;
	ops.threads = DIRECTOR_THREADS_BLOCKING;
	refused("has children and is not ASYNC");
	tables.params = twice;
	refused("a is there twice");
	tables.params = bad_default;
	refused("its default \"x\"");
	tables.params = bad_type;
	refused("unknown type 99");
	tables.params = no_choice;
	refused("no choices");
}

/* ---- parameters ---- */

static struct plugin_conf *conf_of(const struct plugin_pair *pairs, unsigned n)
{
	struct plugin *pl;
	struct plugin_conf *c;

	reset();
	pl = wrap();
	memset(&err, 0, sizeof(err));
	plugin_conf_new(pl, pairs, n, 4096, &c, &err);
	plugin_unload(&pl);
	return c;
}

static void values_are_normalised(void)
{
	struct plugin_pair pairs[] = { { "path", "/a" }, { "size", "1.5M" }, { "mode", "slow-but-sure" }, { "thin", "off" } };
	struct plugin_conf *c = conf_of(pairs, 4);

	CHECK(c);
	CHECK_STR(c->conf.get(&c->conf, "size"), "1572864");
	CHECK_STR(c->conf.get(&c->conf, "wait"), "1500");
	CHECK_STR(c->conf.get(&c->conf, "thin"), "no");
	CHECK_EQ(c->conf.get_uint(&c->conf, "thin", 7), 0);
	CHECK_EQ(c->conf.get_uint(&c->conf, "depth", 7), 4);
	CHECK_EQ(c->conf.get_uint(&c->conf, "nothing", 7), 7);
	plugin_conf_free(&c);
	c = conf_of(pairs, 1);
	CHECK_STR(c->conf.get(&c->conf, "size"), "4096");       /* the volume's */
	plugin_conf_free(&c);
}

static void bad_value(const char *name, const char *value, const char *why)
{
	struct plugin_pair pairs[] = { { "path", "/a" }, { name, value } };
	struct plugin_conf *c = strcmp(name, "path") == 0 ? conf_of(pairs + 1, 1) : conf_of(pairs, 2);

	CHECK(!c);
	CHECK_EQ(err.code, -EINVAL);
	if (!strstr(err.text, why)) {
		fprintf(stderr, "the reason is \"%s\", not \"%s\"\n", err.text, why);
		exit(1);
	}
}

static void bad_values_are_refused(void)
{
	struct plugin_pair twice[] = { { "path", "/a" }, { "path", "/b" } };

	bad_value("path", "relative", "not an absolute path");
	bad_value("size", "many", "not a size");
	bad_value("size", "100", "not between 512 and 1G");
	bad_value("size", "2G", "not between 512 and 1G");
	bad_value("wait", "soon", "not a duration");
	bad_value("mode", "slow", "none of: fast slow-but-sure");
	bad_value("mode", "fast slow-but-sure", "none of");
	bad_value("thin", "maybe", "neither yes nor no");
	bad_value("depth", "-1", "not a number");
	bad_value("depth", "65", "not between 1 and 64");
	bad_value("secret", "a\nb", "unprintable");
	bad_value("dept", "3", "did you mean depth?");
	bad_value("something-else", "3", "good has no parameter something-else");
	CHECK(!conf_of(NULL, 0));
	CHECK_STR(err.text, "good needs the parameter path: the file");
	CHECK(!conf_of(twice, 2));
	CHECK_STR(err.text, "path is given twice");
}

static void only_live_ones_may_change(void)
{
	struct plugin_pair a[] = { { "path", "/a" }, { "wait", "1s" } }, b[] = { { "path", "/a" }, { "wait", "2s" } },
		c[] = { { "path", "/b" } };
	struct plugin *pl;
	struct plugin_conf *ca, *cb, *cc;

	reset();
	pl = wrap();
	plugin_conf_new(pl, a, 2, 0, &ca, &err);
	plugin_conf_new(pl, b, 2, 0, &cb, &err);
	plugin_conf_new(pl, c, 1, 0, &cc, &err);
	CHECK(!plugin_conf_fixed(ca, cb));
	CHECK_STR(plugin_conf_fixed(ca, cc), "path");
	plugin_conf_free(&ca);
	plugin_conf_free(&cb);
	plugin_conf_free(&cc);
	plugin_unload(&pl);
}

static void secrets_are_not_described(void)
{
	struct plugin *pl;
	json_t *o;
	char *s;

	reset();
	pl = wrap();
	o = plugin_json(pl);
	s = json_dumps(o, JSON_COMPACT);
	CHECK(!strstr(s, "swordfish"));
	CHECK(strstr(s, "\"name\":\"depth\""));
	free(s);
	json_decref(o);
	plugin_unload(&pl);
}

static void files_that_are_no_plugins_are_refused(void)
{
	struct plugin *pl;

	CHECK_EQ(plugin_load("/nonexistent.so", &pl, &err), -ENOENT);
	CHECK_EQ(plugin_load("/etc/passwd", &pl, &err), -ENOEXEC);
	CHECK(!pl);
	CHECK(!plugin_find("../../etc/passwd"));
}

int main(void)
{
	RUN(a_good_one_is_taken);
	RUN(another_major_is_refused);
	RUN(a_short_table_has_no_tail);
	RUN(bad_tables_are_refused);
	RUN(values_are_normalised);
	RUN(bad_values_are_refused);
	RUN(only_live_ones_may_change);
	RUN(secrets_are_not_described);
	RUN(files_that_are_no_plugins_are_refused);
	return 0;
}
