/* SPDX-License-Identifier: Apache-2.0 */
/* director status */
#include <stdio.h>

#include "base/mem.h"
#include "shell/cmds.h"

static json_t *status_json(const struct director_status *st)
{
	static const char *const texts[] = { "cluster", "node", "lineage", "state", "version" };
	static const char *const numbers[] = {
		"nodes", "alive", "voters", "voters-alive", "pending-nodes", "index", "objects", "pending", "failed",
	};
	json_t *j = json_object(), *warnings = json_array();
	const char *path, *text, *hint;

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
		json_object_set_new(j, texts[i], json_string(director_status_text(st, texts[i])));
	json_object_set_new(j, "quorate", json_boolean(director_status_number(st, "quorate")));
	json_object_set_new(j, "converged", json_boolean(!director_status_number(st, "pending") &&
		!director_status_number(st, "failed")));
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
		json_object_set_new(j, numbers[i], json_integer((json_int_t)director_status_number(st, numbers[i])));
	for (size_t i = 0; director_status_warning(st, i, &path, &text, &hint); i++)
		json_array_append_new(warnings, json_pack("{s:s, s:s, s:s}", "path", path, "text", text, "hint", hint));
	json_object_set_new(j, "warnings", warnings);
	return j;
}

static unsigned long long num(const struct director_status *st, const char *name)
{
	return (unsigned long long)director_status_number(st, name);
}

static void print(const struct director_status *st)
{
	const char *path, *text, *hint;

	printf("cluster   %s, seen from %s (director %s)\n", director_status_text(st, "cluster"),
	       director_status_text(st, "node"), director_status_text(st, "version"));
	printf("state     %s\n", director_status_text(st, "state"));
	printf("nodes     %llu of %llu alive", num(st, "alive"), num(st, "nodes"));
	if (num(st, "pending-nodes"))
		printf(", %llu waiting for adoption", num(st, "pending-nodes"));
	printf("\nquorum    %s, %llu of %llu voters (commit %llu)\n", num(st, "quorate") ? "yes" : "NO", num(st, "voters-alive"),
	       num(st, "voters"), num(st, "index"));
	printf("objects   %llu", num(st, "objects"));
	if (num(st, "pending") || num(st, "failed"))
		printf(", %llu pending, %llu failed\n", num(st, "pending"), num(st, "failed"));
	else
		printf(", all converged\n");
	for (size_t i = 0; director_status_warning(st, i, &path, &text, &hint); i++) {
		printf("%s %s%s%s\n", i == 0 ? "warnings " : "         ", path, *path ? ": " : "", text);
		if (*hint)
			printf("            try: %s\n", hint);
	}
}

static int cmd_show_status(struct shell *s, struct call *c)
{
	struct director_status *st;

	if (director_status(s->d, &st) < 0)
		return say_error(s);
	if (!s->json)
		print(st);
	say_json(s, status_json(st));
	director_status_free(&st);
	return 0;
}

const struct cmd cmd_status[] = {
	{ .words = "status", .run = cmd_show_status, .help = "Show the cluster at a glance, with what needs attention" },
	{ .words = NULL },
};
