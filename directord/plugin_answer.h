/* SPDX-License-Identifier: Apache-2.0 */
/* What executable plugins answer, judged and turned into attributes. For plugins.c. */
#ifndef DIRECTORD_PLUGIN_ANSWER_H
#define DIRECTORD_PLUGIN_ANSWER_H

#include "cluster/obj.h"

struct json_t;

/* The answer to `probe` of the plugin called `name`, into `as` (empty before). Why it is no good, or NULL. */
const char *plugin_answer_probe(const struct json_t *o, const char *name, struct attrs *as);
/* Each device of the answer to `scan` that has a proper name. */
void plugin_answer_devices(const struct json_t *o, const char *plugin,
	void (*found)(void *arg, const char *name, const struct attrs *), void *arg);

#endif
