/* SPDX-License-Identifier: Apache-2.0 */
/* Verb `off` of fence plugins: options as an object of strings. */
#include "directord/fence.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "directord/plugins.h"

struct off {
	uint64_t act;
	void (*done)(void *arg, uint64_t act, int err, const char *text);
	void *arg;
};

static void ended(void *arg, const struct plugins_result *r)
{
	struct off *o = arg;

	o->done(o->arg, o->act, r->err, r->text);
	free(o);
}

/* "KEY=VALUE KEY=VALUE"; a word without '=' is an empty option. */
static json_t *params(const char *options)
{
	json_t *o = json_object();
	auto_free char *text = mem_strdup(options ? options : "");
	char *save = NULL;

	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		json_object_set_new(o, word, json_string(value ? value : ""));
	}
	return o;
}

void fence_off(struct plugins *ps, uint64_t act, const struct cluster_fence *f,
               void (*done)(void *arg, uint64_t act, int err, const char *text), void *arg)
{
	json_t *ask = json_pack("{s:s, s:o}", "node", f->node, "params", params(f->options));
	char *text = ask ? json_dumps(ask, JSON_COMPACT) : NULL;
	struct off *o;

	json_decref(ask);
	if (!text || !ps) {
		free(text);
		done(arg, act, ERR_INVAL, "its options are no text");
		return;
	}
	o = mem_zalloc(sizeof(*o));
	*o = (struct off){ act, done, arg };
	plugins_run(ps, f->plugin, "off", text, ended, o);
	free(text);
}
