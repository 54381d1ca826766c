/* SPDX-License-Identifier: Apache-2.0 */
/* The schema as data: names, values, questions for completion, and what is printed from it. */
#include "cluster/schema.h"

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/check.h"

#define PAGE_MAX (256u << 10)

static const char *name_of(const char *type, const char *name)
{
	static char out[PATH_LEN_MAX];
	struct why why;

	return schema_name(schema_type_named(type), name, out, &why) == 0 ? out : "refused";
}

static void test_iscsi_names(void)
{
	static const char *const good[] = {
		"iqn.2001-04.com.example", "iqn.2001-04.com.example:storage:diskarrays-sn-a8675309",
		"iqn.2001-04.com.example:storage.tape1.sys1.xyz", "iqn.1991-05.com.microsoft:pc-1.example.com",
		"eui.02004567a425678d", "naa.52004567ba64678d", "naa.62004567ba64678d0123456789abcdef",
	};
	static const char *const bad[] = {
		"iqn", "iqn.", "iqn.2001-4.com.example", "iqn.2001-13.com.example", "iqn.2001-00.com.example",
		"iqn.2001-04.", "iqn.2001-04.com..example", "iqn.2001-04.com.example:", "iqn.2001-04.-com",
		"iqn.2001-04.com.example:a_b", "iqn.2001-04.com.example:a,b", "eui.02004567a425678",
		"eui.02004567a425678g", "naa.52004567ba64678d0", "nqn.2014-08.org.nvmexpress:x", "disk1", "any",
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_STR(name_of("target", good[i]), good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_STR(name_of("target", bad[i]), "refused");
	CHECK_STR(name_of("target", "IQN.2001-04.Com.Example:X"), "iqn.2001-04.com.example:x");
	CHECK_STR(name_of("target", "eui.02004567A425678D"), "eui.02004567a425678d");
	CHECK_STR(name_of("host", "any"), "any");
	CHECK_STR(name_of("host", "all"), "refused");
}

static void test_other_names(void)
{
	CHECK_STR(name_of("portal", "10.0.0.1"), "10.0.0.1:3260");
	CHECK_STR(name_of("portal", "[fd00:0:0::1]:3261"), "[fd00::1]:3261");
	CHECK_STR(name_of("portal", "[::]"), "[::]:3260");
	CHECK_STR(name_of("portal", "0.0.0.0:0"), "refused");
	CHECK_STR(name_of("portal", "[fe80::1%2]:3260"), "refused");
	CHECK_STR(name_of("portal", "example.org:3260"), "refused");
	CHECK_STR(name_of("lun", "007"), "7");
	CHECK_STR(name_of("lun", "16383"), "16383");
	CHECK_STR(name_of("lun", "16384"), "refused");
	CHECK_STR(name_of("lun", "-1"), "refused");
	CHECK_STR(name_of("lun", "00000000000000000001"), "refused");
	CHECK_STR(name_of("volume", "db-1.old_x"), "db-1.old_x");
	CHECK_STR(name_of("volume", "-x"), "refused");
	CHECK_STR(name_of("volume", ".x"), "refused");
	CHECK_STR(name_of("volume", "a:b"), "refused");
	CHECK_STR(name_of("node", "Node1"), "node1");
}

static const char *value_of(const char *type, const char *param, const char *value)
{
	static char out[ATTR_VALUE_MAX + 1];
	const struct schema_type *t = schema_type_named(type);
	struct why why;

	return schema_attr(t, 1, "/x", param, value, out, &why) == 0 ? out : "refused";
}

static void test_values_get_one_form(void)
{
	CHECK_STR(value_of("volume", "size", "1.5G"), "1610612736");
	CHECK_STR(value_of("volume", "size", "1610612736"), "1610612736");
	CHECK_STR(value_of("volume", "size", "1"), "refused");
	CHECK_STR(value_of("volume", "size", "much"), "refused");
	CHECK_STR(value_of("volume", "size", "99999999T"), "refused");
	CHECK_STR(value_of("volume", "block-size", "4k"), "4096");
	CHECK_STR(value_of("volume", "block-size", "1024"), "refused");
	CHECK_STR(value_of("volume", "read-only", "on"), "yes");
	CHECK_STR(value_of("volume", "read-only", "maybe"), "refused");
	CHECK_STR(value_of("volume", "path", "/srv/x"), "/srv/x");
	CHECK_STR(value_of("volume", "path", "/srv/../etc"), "refused");
	CHECK_STR(value_of("volume", "path", "srv"), "refused");
	CHECK_STR(value_of("volume", "backstore", "File"), "refused");
	CHECK_STR(value_of("volume", "p.anything", "goes"), "goes");
	CHECK_STR(value_of("target", "p.anything", "goes"), "refused");
	CHECK_STR(value_of("volume", "applied", "3"), "refused");
	CHECK_STR(value_of("node", "id", "00112233445566778899AABBCCDDEEFF"), "00112233445566778899aabbccddeeff");
	CHECK_STR(value_of("node", "id", "00112233"), "refused");
	CHECK_STR(value_of("cluster", "portal", "10.1.1.1"), "10.1.1.1:3260");
	CHECK_STR(value_of("volume", "comment", ""), "");
}

/* What is in normal form already must stay as it is: else applying twice would change it. */
static void test_normal_form_is_stable(void)
{
	static const char *const tries[] = {
		"1", "0", "yes", "on", "4096", "1.5G", "10s", "/a/b", "file", "00112233445566778899aabbccddeeff", "v1",
		"10.0.0.1", "[::1]:9", "hosts", "member", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "witness", "offer",
	};
	char once[ATTR_VALUE_MAX + 1], twice[ATTR_VALUE_MAX + 1];
	unsigned n = 0;

	for (int id = 1; id < TYPE_COUNT; id++) {
		for (const struct schema_param *p = schema_types[id].params; p->name; p++) {
			for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
				if (schema_value(p, "/x", tries[i], once, NULL) < 0)
					continue;
				CHECK_EQ(schema_value(p, "/x", once, twice, NULL), 0);
				CHECK_STR(twice, once);
				n++;
			}
		}
	}
	CHECK(n > 100);
}

static void test_tables_are_sound(void)
{
	for (int id = 1; id < TYPE_COUNT; id++) {
		const struct schema_type *t = &schema_types[id];

		CHECK_EQ(t->id, id);
		CHECK(schema_type_of(t->pattern) == t);
		CHECK(t->help && *t->help);
		for (const struct schema_param *p = t->params; p->name; p++) {
			char form[ATTR_VALUE_MAX + 1];

			CHECK(schema_param(t, p->name) == p);
			CHECK(strlen(p->name) < ATTR_KEY_MAX);
			CHECK(p->help && *p->help && p->help[strlen(p->help) - 1] != '.');
			CHECK((p->type == VALUE_ENUM) == (p->choices != NULL));
			CHECK((p->type == VALUE_REF) == (p->ref != TYPE_NONE));
			CHECK(!p->needs || schema_param(t, p->needs));
			CHECK(!p->unless || schema_param(t, p->unless));
			CHECK(!p->differs || schema_param(t, p->differs));
			CHECK(!p->granule || schema_param(t, p->granule));
			CHECK(!p->value || schema_value(p, "/x", p->value, form, NULL) == 0);
		}
	}
}

static void test_where_types_stand(void)
{
	CHECK_STR(schema_type_of("/volumes/v")->name, "volume");
	CHECK_STR(schema_type_of("/targets/t/luns/0")->name, "lun");
	CHECK_STR(schema_type_of("/nodes/n/devices/sda")->name, "device");
	CHECK_STR(schema_type_of("/cluster")->name, "cluster");
	CHECK(!schema_type_of("/volumes"));
	CHECK(!schema_type_of("/volumes/v/x"));
	CHECK(!schema_type_of("/"));
	CHECK(schema_is_folder("/"));
	CHECK(schema_is_folder("/targets/t/luns"));
	CHECK(!schema_is_folder("/targets/t"));
	CHECK(!schema_is_folder("/cluster"));
	CHECK(!schema_is_folder("/nix"));
	CHECK_STR(schema_type_in("/targets/t/hosts")->name, "host");
	CHECK(!schema_type_in("/targets/t"));
	CHECK(!schema_type_in("/"));
	CHECK_STR(schema_folder_at("/", 0), "cluster");
	CHECK_STR(schema_folder_at("/", 6), "volumes");
	CHECK(!schema_folder_at("/", 7));
	CHECK_STR(schema_folder_at("/targets/t", 0), "addresses");
	CHECK_STR(schema_folder_at("/targets/t", 2), "luns");
	CHECK_STR(schema_folder_at("/volumes/v", 0), "legs");
	CHECK(!schema_folder_at("/volumes", 0));
}

static void test_completion_of_choices(void)
{
	const struct schema_param *p = schema_param(schema_type_named("node"), "role");
	char word[ATTR_KEY_MAX];

	CHECK_STR(schema_choice_at(p, 0, word), "member");
	CHECK_STR(schema_choice_at(p, 1, word), "witness");
	CHECK(!schema_choice_at(p, 2, word));
}

static void test_secrets(void)
{
	CHECK(schema_secret("/targets/iqn.2026-01.a:b/hosts/any", "chap-secret"));
	CHECK(!schema_secret("/targets/iqn.2026-01.a:b/hosts/any", "chap-user"));
	CHECK(schema_secret("/volumes/v", "p.password"));
	CHECK(!schema_secret("/volumes/v", "p.cache"));
}

static void test_plugin_parameter_as_text(void)
{
	struct schema_param p = { .name = "cache", .type = VALUE_SIZE, .flags = PARAM_LIVE | PARAM_SECRET, .value = "1M",
	                          .min = 4096, .max = 1 << 30, .unit = "bytes", .help = "Bytes of cache = more speed" };
	struct schema_param_text q;
	struct buf b = { 0 };

	schema_param_text(&p, &b);
	CHECK_STR(buf_str(&b), "size secret live default=1M min=4096 max=1073741824 unit=bytes help=Bytes of cache = more speed");
	CHECK_EQ(schema_param_parse("cache", buf_str(&b), &q), 0);
	CHECK_STR(q.p.name, "cache");
	CHECK_EQ(q.p.type, VALUE_SIZE);
	CHECK_EQ(q.p.flags, p.flags);
	CHECK_STR(q.p.value, "1M");
	CHECK_EQ(q.p.max, 1 << 30);
	CHECK_STR(q.p.help, p.help);
	schema_param_text_fini(&q);
	CHECK_EQ(schema_param_parse("mode", "enum choices=fast,safe later=thing", &q), 0);
	CHECK_STR(q.p.choices, "fast safe");
	schema_param_text_fini(&q);
	CHECK_EQ(schema_param_parse("x", "", &q), ERR_MALFORMED);
	CHECK_EQ(schema_param_parse("x", "enum", &q), ERR_MALFORMED);
	CHECK_EQ(schema_param_parse("x", "blob", &q), ERR_MALFORMED);
	CHECK_EQ(schema_param_parse("x", "uint max=lots", &q), ERR_MALFORMED);
	buf_fini(&b);
}

static void test_json_is_json(void)
{
	struct buf b = { 0 };
	json_t *doc, *types, *t;
	size_t i;

	schema_json(&b);
	doc = json_loads(buf_str(&b), 0, NULL);
	CHECK(doc);
	types = json_object_get(doc, "types");
	CHECK_EQ(json_array_size(types), TYPE_COUNT - 1);
	json_array_foreach(types, i, t) {
		const struct schema_type *type = schema_type_named(json_string_value(json_object_get(t, "name")));
		size_t n = 0;

		CHECK(type);
		while (type->params[n].name)
			n++;
		CHECK_EQ(json_array_size(json_object_get(t, "params")), n);
	}
	json_decref(doc);
	buf_fini(&b);
}

static void test_errors_name_object_cause_and_remedy(void)
{
	struct attrs as = { 0 };
	struct why why;
	char out[ATTR_VALUE_MAX + 1];

	CHECK_EQ(schema_check(schema_type_named("volume"), 1, "/volumes/v", NULL, &as, &why), ERR_INVAL);
	CHECK_STR(why.text, "/volumes/v: size is missing; add size=1G");
	schema_attr(schema_type_named("volume"), 1, "/volumes/v", "block-size", "9", out, &why);
	CHECK_STR(why.text, "/volumes/v: block-size=9 is not valid; use one of: 512 4096");
	attrs_set(&as, "size", "4097");
	attrs_set(&as, "node", "n1");
	CHECK_EQ(schema_check(schema_type_named("volume"), 1, "/volumes/v", NULL, &as, &why), ERR_INVAL);
	CHECK_STR(why.text, "/volumes/v: size=4097 is no multiple of block-size=512");
	/* A file that is there already has its own size. */
	attrs_set(&as, "size", NULL);
	attrs_set(&as, "path", "/srv/x");
	CHECK_EQ(schema_check(schema_type_named("volume"), 1, "/volumes/v", NULL, &as, &why), 0);
	attrs_fini(&as);
}

/* "tests/unit/schema --mdoc" prints the part of the page that is made from the tables. */
static void test_manual_page_is_the_tables(void)
{
	const char *src = getenv("top_srcdir");
	struct buf want = { 0 };
	char path[4096], *page = mem_zalloc(PAGE_MAX);
	FILE *f;

	snprintf(path, sizeof(path), "%s/doc/man/director-namespace.7", src ? src : ".");
	f = fopen(path, "r");
	CHECK(f);
	CHECK(fread(page, 1, PAGE_MAX - 1, f) > 0);
	fclose(f);
	buf_puts(&want, "schema_table.c.\n");
	schema_mdoc(&want);
	buf_puts(&want, ".Sh SEE ALSO\n");
	CHECK(strstr(page, buf_str(&want)));
	buf_fini(&want);
	mem_autofree(&page);
}

static int print_mdoc(void)
{
	struct buf b = { 0 };

	schema_mdoc(&b);
	fputs(buf_str(&b), stdout);
	buf_fini(&b);
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--mdoc") == 0)
		return print_mdoc();
	RUN(test_iscsi_names);
	RUN(test_other_names);
	RUN(test_values_get_one_form);
	RUN(test_normal_form_is_stable);
	RUN(test_tables_are_sound);
	RUN(test_where_types_stand);
	RUN(test_completion_of_choices);
	RUN(test_secrets);
	RUN(test_plugin_parameter_as_text);
	RUN(test_json_is_json);
	RUN(test_manual_page_is_the_tables);
	RUN(test_errors_name_object_cause_and_remedy);
	return 0;
}
