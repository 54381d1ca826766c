/* SPDX-License-Identifier: Apache-2.0 */
/* How a plugin says why not. */
#ifndef PLUGINS_COMMON_ERR_H
#define PLUGINS_COMMON_ERR_H

#include "director/plugin.h"

/* Put `code` and text into err (may be NULL). Returns code. */
int fail(struct director_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
