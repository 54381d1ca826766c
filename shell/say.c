/* SPDX-License-Identifier: Apache-2.0 */
/* What goes out: remarks, errors, the JSON envelope. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "shell/shell.h"

void say(struct shell *s, const char *fmt, ...)
{
	va_list ap;

	if (s->quiet || s->json)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void say_note(struct shell *s, const char *fmt, ...)
{
	va_list ap;

	if (s->quiet)
		return;
	fflush(stdout);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void say_look(struct shell *s)
{
	struct director_status *st;

	s->stale = false;
	if (director_status(s->d, &st) < 0)
		return;
	s->stale = !director_status_number(st, "quorate");
	snprintf(s->stale_node, sizeof(s->stale_node), "%s", director_status_text(st, "node"));
	director_status_free(&st);
}

void say_if_stale(struct shell *s)
{
	if (s->stale && !s->json)
		say_note(s, "(no quorum: this is the last that node %s knows)", s->stale_node);
	s->stale = false;
}

static void envelope(struct shell *s, json_t *root)
{
	size_t flags = s->tty ? JSON_INDENT(2) : JSON_COMPACT;

	json_object_set_new(root, "version", json_integer(SHELL_JSON_VERSION));
	json_object_set_new(root, "command", json_string(s->running ? s->running : ""));
	json_dumpf(root, stdout, flags | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(root);
	s->said_json = true;
}

void say_json(struct shell *s, json_t *data)
{
	json_t *root;

	if (!s->json) {
		json_decref(data);
		return;
	}
	root = json_object();
	json_object_set_new(root, "version", json_integer(SHELL_JSON_VERSION));
	json_object_set_new(root, "command", json_null());
	json_object_set_new(root, "ok", json_true());
	if (s->stale)
		json_object_set_new(root, "quorate", json_false());
	json_object_set_new(root, "data", data);
	envelope(s, root);
}

static void error_json(struct shell *s, int code, const char *object, const char *text, const char *hint)
{
	json_t *root = json_object();

	json_object_set_new(root, "version", json_integer(SHELL_JSON_VERSION));
	json_object_set_new(root, "command", json_null());
	json_object_set_new(root, "ok", json_false());
	json_object_set_new(root, "error", json_pack("{s:i, s:s, s:s, s:s, s:s, s:i}", "code", code, "name",
		director_ename(code), "object", object, "text", text, "hint", hint, "exit", director_eexit(code)));
	if (s->agreed) {
		json_object_set_new(json_object_get(root, "error"), "commit", json_integer((json_int_t)s->agreed));
		json_object_set_new(json_object_get(root, "error"), "task", *s->agreed_task ? json_string(s->agreed_task) : json_null());
	}
	envelope(s, root);
}

/* What somebody typed comes back in errors: neither a terminal nor JSON is to stumble over bytes that are no text. */
static char *as_text(const char *s)
{
	struct buf b = { 0 };

	while (*s) {
		char one[5] = "";
		size_t n = 0;

		for (unsigned k = 1; k < sizeof(one) && s[k - 1] && !n; k++) {
			memcpy(one, s, k);
			n = text_ok(one, k) ? k : 0;
		}
		buf_put(&b, n ? s : "?", n ? n : 1);
		s += n ? n : 1;
	}
	return buf_take(&b);
}

/* "director: volume create: /volumes/v1: it exists already (exists)", then what would help. */
static int fail(struct shell *s, int code, const char *raw_object, const char *raw_text, const char *raw_hint)
{
	auto_free char *object = as_text(raw_object), *text = as_text(raw_text), *hint = as_text(raw_hint);

	if (s->mute)
		return code;
	fflush(stdout);
	if ((s->json || s->json_asked) && !s->said_json)
		error_json(s, code, object, text, hint);
	fflush(stdout);
	fprintf(stderr, "director: ");
	if (*object && !strstr(text, object))
		fprintf(stderr, "%s: ", object);
	fprintf(stderr, "%s (%s)\n", text, director_ename(code));
	if (*hint)
		fprintf(stderr, "  try: %s\n", hint);
	return code;
}

int say_error(struct shell *s)
{
	const struct director_error *e = director_error(s->d);

	return fail(s, director_error_code(e), director_error_object(e), director_error_text(e), director_error_hint(e));
}

int say_fail(struct shell *s, int code, const char *object, const char *hint, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return fail(s, code, object ? object : "", text, hint ? hint : "");
}
