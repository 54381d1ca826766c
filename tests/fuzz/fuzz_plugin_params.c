/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters as a user may write them: lines "name=value", against a table with every type. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/serve/loader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct director_param params[] = {
	{ .name = "string", .type = DIRECTOR_P_STRING, .flags = DIRECTOR_PF_SECRET },
	{ .name = "uint", .type = DIRECTOR_P_UINT, .min = 3, .max = 99999, .value = "7" },
	{ .name = "bool", .type = DIRECTOR_P_BOOL },
	{ .name = "size", .type = DIRECTOR_P_SIZE, .max = 1ull << 50 },
	{ .name = "duration", .type = DIRECTOR_P_DURATION },
	{ .name = "path", .type = DIRECTOR_P_PATH },
	{ .name = "enum", .type = DIRECTOR_P_ENUM, .choices = "one two three-four" },
	{ .name = NULL },
};

/* The value as it is read again must be the same: what is normalised stays. */
static void settled(const struct plugin_conf *c)
{
	unsigned i;
	char *again;

	for (i = 0; i < c->n; i++) {
		if (!c->v[i].value || c->v[i].param->type == DIRECTOR_P_DURATION)
			continue;       /* a bare number of a duration is seconds; the value is milliseconds */
		if (plugin_param_check(c->v[i].param, c->v[i].value, &again, NULL) < 0 || strcmp(again, c->v[i].value) != 0)
			abort();
		free(again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plugin pl = { .p = { .name = "name", .params = params }, .n_params = 7 };
	char *text = mem_strndup((const char *)data, size), *line, *save, *eq;
	struct director_err err = { .text = "" };
	struct plugin_pair pairs[16];
	struct plugin_conf *c;
	unsigned n = 0;

	for (line = strtok_r(text, "\n", &save); line && n < 16; line = strtok_r(NULL, "\n", &save)) {
		eq = strchr(line, '=');
		if (eq)
			*eq++ = 0;
		pairs[n++] = (struct plugin_pair){ line, eq };
	}
	if (plugin_conf_new(&pl, pairs, n, 4096, &c, &err) == 0) {
		settled(c);
		plugin_conf_free(&c);
	} else if (!err.text[0]) {
		abort();        /* every refusal names its cause */
	}
	free(text);
	return 0;
}
