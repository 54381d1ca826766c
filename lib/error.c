/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and the library's own facts. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "lib/priv.h"

_Static_assert(DIRECTOR_E_FAILED == ERR_FAILED && DIRECTOR_E_NO_QUORUM == ERR_NOQUORUM &&
	       DIRECTOR_E_DENIED == ERR_DENIED && DIRECTOR_E_CRYPTO == ERR_CRYPTO, "the public codes are those of base/err.h");

const char *director_version(void)
{
	return PACKAGE_VERSION;
}

const char *director_strerror(int code)
{
	return err_text(code);
}

const char *director_ename(int code)
{
	return err_name(code);
}

int director_ecode(const char *name)
{
	return err_from_name(name);
}

int director_eexit(int code)
{
	return err_exit(code);
}

int error_clear(struct director *d)
{
	d->error.code = 0;
	d->error.text[0] = d->error.object[0] = d->error.hint[0] = '\0';
	return 0;
}

int error_set(struct director *d, int code, const char *object, const char *hint, const char *fmt, ...)
{
	va_list ap;

	d->error.code = code;
	va_start(ap, fmt);
	vsnprintf(d->error.text, sizeof(d->error.text), fmt, ap);
	va_end(ap);
	snprintf(d->error.object, sizeof(d->error.object), "%s", object ? object : "");
	snprintf(d->error.hint, sizeof(d->error.hint), "%s", hint ? hint : "");
	return code;
}

int error_from_done(struct director *d, const struct control_done *done)
{
	if (!done->err)
		return error_clear(d);
	return error_set(d, done->err, done->path, done->hint, "%s", done->text && *done->text ? done->text : err_text(done->err));
}

const struct director_error *director_error(const struct director *d)
{
	return &d->error;
}

int director_error_code(const struct director_error *e)
{
	return e->code;
}

const char *director_error_text(const struct director_error *e)
{
	return e->text;
}

const char *director_error_object(const struct director_error *e)
{
	return e->object;
}

const char *director_error_hint(const struct director_error *e)
{
	return e->hint;
}
