/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: any bytes; what is taken prints and reads back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "directord/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf errs = { 0 }, one = { 0 }, two = { 0 };
	struct conf a, b;

	conf_init(&a);
	if (conf_parse(&a, (const char *)data, size, "fuzz", &errs) == 0) {
		conf_check(&a, &errs);
		conf_print(&a, true, &one);
		conf_init(&b);
		if (conf_parse(&b, buf_str(&one), one.len, "again", &errs) != 0)
			abort();
		conf_print(&b, true, &two);
		if (strcmp(buf_str(&one), buf_str(&two)) != 0)
			abort();
		conf_fini(&b);
	}
	conf_fini(&a);
	buf_fini(&errs);
	buf_fini(&one);
	buf_fini(&two);
	return 0;
}
