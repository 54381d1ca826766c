/* SPDX-License-Identifier: Apache-2.0 */
/* The error table as functions. */
#include "base/err.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct row {
	int code;
	const char *name, *text;
	int exit;
} rows[] = {
#define ERR_ROW(code, value, name, text, exit) { code, name, text, exit },
	ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

static const struct row *row_of(int err)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].code == err)
			return &rows[i];
	return NULL;
}

const char *err_name(int err)
{
	const struct row *r = row_of(err);

	return err == 0 ? "ok" : r ? r->name : "unknown";
}

const char *err_text(int err)
{
	const struct row *r = row_of(err);

	return err == 0 ? "ok" : r ? r->text : "an unknown error";
}

int err_exit(int err)
{
	const struct row *r = row_of(err);

	return err == 0 ? 0 : r ? r->exit : 1;
}

int err_from_name(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].code;
	return 0;
}

int err_from_errno(int e)
{
	switch (e) {
	case 0: return 0;
	case EINVAL: return ERR_INVAL;
	case ENOENT: return ERR_NOENT;
	case EEXIST: return ERR_EXIST;
	case EBUSY: return ERR_BUSY;
	case ETIMEDOUT: return ERR_TIMEOUT;
	case ECONNREFUSED: case EHOSTUNREACH: case ENETUNREACH: return ERR_UNREACHABLE;
	case EACCES: case EPERM: case EROFS: return ERR_DENIED;
	case ENOSPC: case EDQUOT: return ERR_NOSPC;
	case EOPNOTSUPP: case ENOSYS: return ERR_NOTSUP;
	case EAGAIN: return ERR_AGAIN;
	case ESTALE: return ERR_CONFLICT;
	case ECANCELED: return ERR_CANCELED;
	case ENOMEM: return ERR_NOMEM;
	default: return ERR_IO;
	}
}
