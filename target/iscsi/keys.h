/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text keys (RFC 7143 section 6 and 13, RFC 7144): the key=value list as bytes, and negotiation as one
 * table whose rows say where a key is legal, what range it has and which function makes the result of both
 * sides' values.
 */
#ifndef ISCSI_KEYS_H
#define ISCSI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define KEY_NAME_MAX 63                 /* 6.1 */
#define KEY_VALUE_MAX 8192              /* 6.1: large enough for everything that has no longer limit */
#define KEYS_TEXT_MAX 65536             /* of one negotiation, over all its PDUs */

enum digest { DIGEST_NONE, DIGEST_CRC32C };
enum task_reporting { REPORTING_RFC3720, REPORTING_RESPONSE_FENCE, REPORTING_FAST_ABORT };

/* What both sides agreed on, in force from the full feature phase on. */
struct iscsi_params {
	uint32_t header_digest, data_digest;            /* enum digest */
	uint32_t max_connections;
	uint32_t initial_r2t, immediate_data;           /* booleans */
	uint32_t max_send;                              /* the initiator's MaxRecvDataSegmentLength */
	uint32_t max_recv;                              /* ours */
	uint32_t max_burst, first_burst;
	uint32_t time2wait, time2retain;
	uint32_t max_r2t;
	uint32_t pdu_in_order, sequence_in_order;
	uint32_t erl;
	uint32_t task_reporting;
	uint32_t protocol_level;
};

enum key_kind {
	KEY_LIST,               /* the first of the offered values that we have */
	KEY_AND, KEY_OR,        /* booleans */
	KEY_MIN, KEY_MAX,       /* numbers */
	KEY_DECLARE,            /* a number that is stated, not negotiated */
	KEY_TEXT,               /* declared text: login and text requests read it themselves */
	KEY_OBSOLETE,           /* 13.25 */
};

/* Where a key may be sent. */
#define KEY_SECURITY 1u
#define KEY_OPERATIONAL 2u
#define KEY_FULL 4u
#define KEY_INITIAL 8u          /* only in the first request of a login (IO, 13) */
#define KEY_LEADING 16u         /* only on the leading connection (LO) */
#define KEY_NOT_DISCOVERY 32u   /* Irrelevant in a discovery session */
#define KEY_TARGET_ONLY 64u     /* an initiator may not send it */

struct key_row {
	const char *name;
	enum key_kind kind;
	unsigned where;
	uint32_t lo, hi;                /* legal range of numbers */
	uint32_t dflt;                  /* the RFC's default */
	const char *const *choices;     /* LIST: names by value, NULL-terminated */
	size_t param;                   /* offset in struct iscsi_params; SIZE_MAX: none */
};

/* The row of a key name; NULL: NotUnderstood. */
const struct key_row *key_row(const char *name);
/* All rows, for tests and documentation; ends with a NULL name. */
const struct key_row *key_rows(void);

/* RFC defaults. */
void iscsi_params_default(struct iscsi_params *p);

/* One key=value of a text, NUL-separated, lent from the text: `name` is followed by '=', `value` by NUL. */
struct key_pair {
	const char *name, *value;
};

bool key_is(const struct key_pair *pair, const char *name);

/*
 * Step through the pairs of text[0..len): 1 and a pair, 0 at the end, ERR_MALFORMED for what is not a pair.
 * `*at` begins with 0. text[len - 1] must be NUL, so that no string leaves the text.
 */
int keys_next(const char *text, size_t len, size_t *at, struct key_pair *pair);
/* Append "name=value\0". */
void keys_put(struct buf *out, const char *name, const char *value);

/* One negotiation (a login, or the text requests of a full feature phase). */
struct keys_negotiation {
	const struct iscsi_params *ours;        /* what we would have */
	struct iscsi_params *result;            /* starts as the defaults (login) or what is in force */
	bool discovery, leading;
	uint64_t seen;                          /* rows already negotiated by the initiator: a repeat is an error */
	uint64_t offered;                       /* rows that we answered or declared ourselves */
};

/*
 * Negotiate one pair in `where` (KEY_SECURITY, OPERATIONAL or FULL) and append the answer to `out`.
 * KEY_TEXT rows are not answered. ERR_INVAL: the negotiation has failed (repeated key, wrong stage, illegal
 * answer); a value out of range or of no meaning is answered "Reject" and fails nothing by itself (6.2).
 */
int keys_negotiate(struct keys_negotiation *n, unsigned where, const struct key_pair *pair, struct buf *out);

/* A number as 6.1 writes it: decimal or 0x hexadecimal. ERR_MALFORMED. */
int keys_number(const char *s, uint64_t *v);
/*
 * Binary as 6.1 writes it: 0x hexadecimal or 0b base64. At most `max` bytes to `out`; the length, or
 * ERR_MALFORMED.
 */
long keys_binary(const char *s, uint8_t *out, size_t max);
/* Is `s` an iSCSI name (4.2.7: iqn., eui., naa.; characters and length)? */
bool iscsi_name_ok(const char *s);

#endif
