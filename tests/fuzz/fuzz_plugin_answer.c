/* SPDX-License-Identifier: Apache-2.0 */
/* What an executable plugin may print: JSON of any kind, as the answer to probe and to scan. */
#include <stdint.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/text.h"
#include "directord/plugin_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void found(void *arg, const char *name, const struct attrs *as)
{
	unsigned i;

	if (!path_name_ok(name))
		abort();
	for (i = 0; i < as->n; i++)
		if (!text_ok(as->a[i].value, ATTR_VALUE_MAX))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *o = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct attrs as = { 0 };

	plugin_answer_probe(o, "name", &as);
	found(NULL, "name", &as);
	attrs_fini(&as);
	plugin_answer_devices(o, "name", found, NULL);
	json_decref(o);
	return 0;
}
