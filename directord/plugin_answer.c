/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of plugins as attributes: whatever is not in order is left out, or is a reason to refuse the plugin. */
#include "config.h"

#include "directord/plugin_answer.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#define DEVICES_MAX 4096

static void attr_text(struct attrs *as, const char *key, const json_t *o, const char *name, size_t max)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s && *s && text_ok(s, max))
		attrs_set(as, key, s);
}

/* "path:path thin:bool …" */
static void attr_params(struct attrs *as, const json_t *o)
{
	struct buf b = { 0 };
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(o, "params"), i, p) {
		const char *name = json_string_value(json_object_get(p, "name"));
		const char *type = json_string_value(json_object_get(p, "type"));

		if (name && type && text_ok(name, 64) && text_ok(type, 32) && b.len < 3000)
			buf_printf(&b, "%s%s:%s", b.len ? " " : "", name, type);
	}
	if (b.len)
		attrs_set(as, "params", buf_str(&b));
	buf_fini(&b);
}

const char *plugin_answer_probe(const json_t *o, const char *want_name, struct attrs *as)
{
	const char *name = json_string_value(json_object_get(o, "name"));

	attr_text(as, "kind", o, "kind", 32);
	attr_text(as, "version", o, "version", 64);
	attr_text(as, "license", o, "license", 64);
	attr_text(as, "summary", o, "summary", 256);
	attr_text(as, "abi", o, "abi", 16);
	attr_params(as, o);
	if (!name || strcmp(name, want_name) != 0)
		return "it calls itself otherwise than its file";
	return attrs_get(as, "kind") ? NULL : "it does not say of what kind it is";
}

static void attr_number(struct attrs *as, const char *key, const json_t *o)
{
	const json_t *v = json_object_get(o, key);
	char text[24];

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return;
	snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
	attrs_set(as, key, text);
}

static void attr_bool(struct attrs *as, const char *key, const json_t *o)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_boolean(v))
		attrs_set(as, key, json_is_true(v) ? "yes" : "no");
}

static void device_found(const json_t *o, const char *plugin,
	void (*found)(void *arg, const char *name, const struct attrs *), void *arg)
{
	static const char *const texts[] = { "path", "kind", "model", "serial", "wwn", "used-by" };
	const char *name = json_string_value(json_object_get(o, "name"));
	struct attrs as = { 0 };
	unsigned i;

	if (!name || !path_name_ok(name))
		return;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		attr_text(&as, texts[i], o, texts[i], 400);
	attr_number(&as, "size", o);
	attr_number(&as, "block-size", o);
	attr_bool(&as, "rotational", o);
	attr_bool(&as, "read-only", o);
	attr_bool(&as, "removable", o);
	attrs_set(&as, "plugin", plugin);
	found(arg, name, &as);
	attrs_fini(&as);
}

void plugin_answer_devices(const json_t *o, const char *plugin,
	void (*found)(void *arg, const char *name, const struct attrs *), void *arg)
{
	const json_t *list = json_object_get(o, "devices");
	size_t i;

	for (i = 0; i < json_array_size(list) && i < DEVICES_MAX; i++)
		device_found(json_array_get(list, i), plugin, found, arg);
}
