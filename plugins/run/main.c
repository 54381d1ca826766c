/* SPDX-License-Identifier: Apache-2.0 */
/*
 * director-plugin-run FILE.so VERB: a native plugin as an executable one, so that directord needs to know one
 * kind only and nothing in a plugin runs inside of it. JSON on standard input {"params": {...}}, JSON on
 * standard output; exit status 0 done, 1 failed ({"error": "..."}), 2 not supported.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/text.h"
#include "target/serve/loader.h"

#define INPUT_MAX (1u << 20)

enum { DONE, FAILED, UNSUPPORTED };

static int out_fd;

/* In one piece: json_dumpfd writes each word by itself, and directord would wake up for each. */
static int put(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);
	FILE *out = fdopen(dup(out_fd), "w");
	int r = text && out && fprintf(out, "%s\n", text) > 0 ? DONE : FAILED;

	if (out && fclose(out) != 0)
		r = FAILED;
	free(text);
	json_decref(o);
	return r;
}

static int fail(const struct director_err *err, int code)
{
	const char *text = err->text[0] && text_ok(err->text, sizeof(err->text)) ? err->text : strerror(-code);

	put(json_pack("{s:s}", "error", text));
	return FAILED;
}

/* ---- the host that a control-plane plugin sees: it logs, and knows the time ---- */

static void host_log(void *arg, int level, const char *line)
{
	fprintf(stderr, "%s\n", line);
}

static uint64_t host_now(void *arg)
{
	return mono_now().ns;
}

static const struct director_host host = {
	.struct_size = sizeof(host), .abi_major = DIRECTOR_ABI_MAJOR, .abi_minor = DIRECTOR_ABI_MINOR,
	.log = host_log, .now_ns = host_now,
};

/* ---- input ---- */

static json_t *input(void)
{
	char *buf = malloc(INPUT_MAX + 1);
	size_t n = 0;
	ssize_t got = 0;
	json_t *o;

	while (buf && n < INPUT_MAX && (got = read(STDIN_FILENO, buf + n, INPUT_MAX - n)) > 0)
		n += (size_t)got;
	o = !buf || got < 0 || n == INPUT_MAX ? NULL : n == 0 ? json_object() : json_loadb(buf, n, 0, NULL);
	free(buf);
	return o;
}

static int conf_of(const struct plugin *pl, const json_t *in, struct plugin_conf **conf, struct director_err *err)
{
	json_t *params = json_object_get(in, "params"), *value;
	struct plugin_pair pairs[PLUGIN_PARAMS_MAX];
	const char *name;
	unsigned n = 0;

	json_object_foreach(params, name, value) {
		if (n == PLUGIN_PARAMS_MAX || !json_is_string(value))
			return plugin_err(err, -EINVAL, "params: an object of strings is wanted");
		pairs[n++] = (struct plugin_pair){ name, json_string_value(value) };
	}
	return plugin_conf_new(pl, pairs, n, 0, conf, err);
}

/* ---- verbs ---- */

static void set(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

static void found(void *arg, const struct director_device *d)
{
	json_t *o = json_object();

	set(o, "name", d->name);
	set(o, "path", d->path);
	set(o, "kind", d->kind);
	json_object_set_new(o, "size", json_integer((json_int_t)d->size));
	json_object_set_new(o, "block-size", json_integer(d->block_size));
	set(o, "model", d->model);
	set(o, "serial", d->serial);
	set(o, "wwn", d->wwn);
	set(o, "used-by", d->used_by);
	json_object_set_new(o, "rotational", json_boolean(d->flags & DIRECTOR_DEV_ROTATIONAL));
	json_object_set_new(o, "read-only", json_boolean(d->flags & DIRECTOR_DEV_READ_ONLY));
	json_object_set_new(o, "removable", json_boolean(d->flags & DIRECTOR_DEV_REMOVABLE));
	json_array_append_new(arg, o);
}

static int verb_scan(struct plugin *pl, const struct plugin_conf *conf, struct director_err *err)
{
	json_t *list = json_array();
	int r = pl->device.scan(pl->priv, &conf->conf, found, list, err);

	if (r < 0) {
		json_decref(list);
		return fail(err, r);
	}
	return put(json_pack("{s:o}", "devices", list));
}

static int run(struct plugin *pl, const char *verb)
{
	struct director_err err = { .text = "" };
	struct plugin_conf *conf = NULL;
	json_t *in;
	int r;

	if (strcmp(verb, "probe") == 0)
		return put(plugin_json(pl));
	if (strcmp(verb, "scan") != 0 || pl->p.kind != DIRECTOR_DEVICE)
		return UNSUPPORTED;
	in = input();
	if (!json_is_object(in)) {
		json_decref(in);
		plugin_err(&err, -EINVAL, "standard input is not a JSON object");
		return fail(&err, -EINVAL);
	}
	r = conf_of(pl, in, &conf, &err);
	if (r == 0)
		r = plugin_start(pl, &host, &err);
	r = r < 0 ? fail(&err, r) : verb_scan(pl, conf, &err);
	plugin_conf_free(&conf);
	json_decref(in);
	return r;
}

int main(int argc, char **argv)
{
	struct director_err err = { .text = "" };
	struct plugin *pl;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: director-plugin-run FILE.so VERB\n");
		return FAILED;
	}
	/* A plugin that prints must not spoil the answer. */
	out_fd = dup(STDOUT_FILENO);
	if (out_fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return FAILED;
	r = plugin_load(argv[1], &pl, &err);
	if (r < 0)
		return fail(&err, r);
	r = run(pl, argv[2]);
	plugin_unload(&pl);
	return r;
}
