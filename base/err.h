/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of errors. Functions return 0 or a negative ERR_* code; text about the object
 * is added once, at the edge that knows it. The numbers are wire and exit-status stable: append only.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*        code            value  name            sentence                                        exit */
#define ERR_TABLE(X) \
	X(ERR_FAILED,       -1, "failed",       "the operation failed",                            1) \
	X(ERR_INVAL,        -2, "invalid",      "an argument is not valid",                        2) \
	X(ERR_NOENT,        -3, "not-found",    "there is no such object",                         3) \
	X(ERR_EXIST,        -4, "exists",       "the object exists already",                       4) \
	X(ERR_CONFLICT,     -5, "conflict",     "the object changed since it was read",            4) \
	X(ERR_BUSY,         -6, "busy",         "the object is in use",                            4) \
	X(ERR_NOQUORUM,     -7, "no-quorum",    "no quorum: a majority of the voters is not reachable", 5) \
	X(ERR_TIMEOUT,      -8, "timeout",      "no answer in time",                               6) \
	X(ERR_UNREACHABLE,  -9, "unreachable",  "the daemon or node cannot be reached",            7) \
	X(ERR_DENIED,      -10, "denied",       "not permitted",                                   8) \
	X(ERR_MALFORMED,   -11, "malformed",    "the bytes are not a valid message",               1) \
	X(ERR_VERSION,     -12, "version",      "the versions are not compatible",                 1) \
	X(ERR_NOSPC,       -13, "no-space",     "no space left",                                   1) \
	X(ERR_IO,          -14, "io-error",     "an I/O error",                                    1) \
	X(ERR_LIMIT,       -15, "limit",        "a limit is reached",                              1) \
	X(ERR_NOTSUP,      -16, "unsupported",  "not supported",                                   1) \
	X(ERR_AGAIN,       -17, "again",        "not now; try again",                              1) \
	X(ERR_CANCELED,    -18, "canceled",     "canceled",                                        1) \
	X(ERR_CRYPTO,      -19, "crypto",       "wrong key, forged or replayed",                   8) \
	X(ERR_NOMEM,       -20, "no-memory",    "out of memory",                                   1) \
	X(ERR_DIVERGED,    -21, "diverged",     "agreed state differs between nodes",              1)

enum err {
	ERR_OK = 0,
#define ERR_ENUM(code, value, name, text, exit) code = value,
	ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

/* The stable short name of `err` ("no-quorum"), "ok" for 0, "unknown" for anything else. Static. */
const char *err_name(int err);
/* The sentence that explains `err`. Static. */
const char *err_text(int err);
/* The exit status of a program that ends with `err`: 0 for 0, 1 for what the table does not know. */
int err_exit(int err);
/* The ERR_* code that fits a positive errno value; ERR_IO for those without a closer one. */
int err_from_errno(int e);
/* The code with this short name, or 0 if there is none. */
int err_from_name(const char *name);

#endif
