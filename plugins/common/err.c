/* SPDX-License-Identifier: Apache-2.0 */
/* How a plugin says why not. */
#include "config.h"

#include "plugins/common/err.h"

#include <stdarg.h>
#include <stdio.h>

int fail(struct director_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}
