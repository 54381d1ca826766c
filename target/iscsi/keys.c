/* SPDX-License-Identifier: Apache-2.0 */
/* Text keys: the table, the result functions, the lexical forms. */
#include "target/iscsi/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

static const char *const digests[] = { "None", "CRC32C", NULL };
static const char *const reportings[] = { "RFC3720", "ResponseFence", "FastAbort", NULL };

#define P(field) offsetof(struct iscsi_params, field)
#define NONE SIZE_MAX
#define OP KEY_OPERATIONAL
#define SEC KEY_SECURITY
#define SESSION (KEY_OPERATIONAL | KEY_LEADING | KEY_NOT_DISCOVERY)

/* Section numbers are those of RFC 7143. */
static const struct key_row rows[] = {
	{ "HeaderDigest", KEY_LIST, OP, 0, 0, DIGEST_NONE, digests, P(header_digest) },                 /* 13.1 */
	{ "DataDigest", KEY_LIST, OP, 0, 0, DIGEST_NONE, digests, P(data_digest) },                     /* 13.1 */
	{ "MaxConnections", KEY_MIN, SESSION, 1, 65535, 1, NULL, P(max_connections) },                  /* 13.2 */
	{ "SendTargets", KEY_TEXT, KEY_FULL, 0, 0, 0, NULL, NONE },                                     /* 13.3 */
	{ "TargetName", KEY_TEXT, SEC | OP | KEY_INITIAL, 0, 0, 0, NULL, NONE },                        /* 13.4 */
	{ "InitiatorName", KEY_TEXT, SEC | OP | KEY_INITIAL, 0, 0, 0, NULL, NONE },                     /* 13.5 */
	{ "TargetAlias", KEY_TEXT, SEC | OP | KEY_FULL | KEY_TARGET_ONLY, 0, 0, 0, NULL, NONE },        /* 13.6 */
	{ "InitiatorAlias", KEY_TEXT, SEC | OP | KEY_FULL, 0, 0, 0, NULL, NONE },                       /* 13.7 */
	{ "TargetAddress", KEY_TEXT, SEC | OP | KEY_FULL | KEY_TARGET_ONLY, 0, 0, 0, NULL, NONE },      /* 13.8 */
	{ "TargetPortalGroupTag", KEY_TEXT, SEC | OP | KEY_TARGET_ONLY, 0, 0, 0, NULL, NONE },          /* 13.9 */
	{ "InitialR2T", KEY_OR, SESSION, 0, 1, 1, NULL, P(initial_r2t) },                               /* 13.10 */
	{ "ImmediateData", KEY_AND, SESSION, 0, 1, 1, NULL, P(immediate_data) },                        /* 13.11 */
	{ "MaxRecvDataSegmentLength", KEY_DECLARE, OP | KEY_FULL, 512, 0xffffff, 8192, NULL, P(max_send) }, /* 13.12 */
	{ "MaxBurstLength", KEY_MIN, SESSION, 512, 0xffffff, 262144, NULL, P(max_burst) },              /* 13.13 */
	{ "FirstBurstLength", KEY_MIN, SESSION, 512, 0xffffff, 65536, NULL, P(first_burst) },           /* 13.14 */
	{ "DefaultTime2Wait", KEY_MAX, OP | KEY_LEADING, 0, 3600, 2, NULL, P(time2wait) },              /* 13.15 */
	{ "DefaultTime2Retain", KEY_MIN, OP | KEY_LEADING, 0, 3600, 20, NULL, P(time2retain) },         /* 13.16 */
	{ "MaxOutstandingR2T", KEY_MIN, SESSION, 1, 65535, 1, NULL, P(max_r2t) },                       /* 13.17 */
	{ "DataPDUInOrder", KEY_OR, SESSION, 0, 1, 1, NULL, P(pdu_in_order) },                          /* 13.18 */
	{ "DataSequenceInOrder", KEY_OR, SESSION, 0, 1, 1, NULL, P(sequence_in_order) },                /* 13.19 */
	{ "ErrorRecoveryLevel", KEY_MIN, OP | KEY_LEADING, 0, 2, 0, NULL, P(erl) },                     /* 13.20 */
	{ "SessionType", KEY_TEXT, SEC | OP | KEY_INITIAL, 0, 0, 0, NULL, NONE },                       /* 13.21 */
	{ "TaskReporting", KEY_LIST, SESSION, 0, 0, REPORTING_RFC3720, reportings, P(task_reporting) }, /* 13.23 */
	{ "X#NodeArchitecture", KEY_TEXT, SEC | OP | KEY_FULL, 0, 0, 0, NULL, NONE },                   /* 13.26 */
	{ "iSCSIProtocolLevel", KEY_MIN, SESSION, 0, 31, 1, NULL, P(protocol_level) },                  /* RFC 7144 7.1.1 */
	{ "AuthMethod", KEY_TEXT, SEC, 0, 0, 0, NULL, NONE },                                           /* 12.1 */
	{ "CHAP_A", KEY_TEXT, SEC, 0, 0, 0, NULL, NONE },                                               /* 12.1.3 */
	{ "CHAP_N", KEY_TEXT, SEC, 0, 0, 0, NULL, NONE },
	{ "CHAP_R", KEY_TEXT, SEC, 0, 0, 0, NULL, NONE },
	{ "CHAP_I", KEY_TEXT, SEC, 0, 0, 0, NULL, NONE },
	{ "CHAP_C", KEY_TEXT, SEC, 0, 0, 0, NULL, NONE },
	{ "IFMarker", KEY_OBSOLETE, OP, 0, 1, 0, NULL, NONE },                                          /* 13.25 */
	{ "OFMarker", KEY_OBSOLETE, OP, 0, 1, 0, NULL, NONE },
	{ "IFMarkInt", KEY_OBSOLETE, OP, 0, 2, 0, NULL, NONE },
	{ "OFMarkInt", KEY_OBSOLETE, OP, 0, 2, 0, NULL, NONE },
	{ NULL, KEY_TEXT, 0, 0, 0, 0, NULL, NONE },
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) <= 64, "keys_negotiation counts rows in 64 bits");

const struct key_row *key_rows(void)
{
	return rows;
}

const struct key_row *key_row(const char *name)
{
	for (const struct key_row *r = rows; r->name; r++)
		if (strcmp(r->name, name) == 0)
			return r;
	return NULL;
}

static uint32_t *param_of(struct iscsi_params *p, const struct key_row *r)
{
	return (uint32_t *)((char *)p + r->param);
}

static uint32_t param_get(const struct iscsi_params *p, const struct key_row *r)
{
	return *(const uint32_t *)((const char *)p + r->param);
}

void iscsi_params_default(struct iscsi_params *p)
{
	memset(p, 0, sizeof(*p));
	for (const struct key_row *r = rows; r->name; r++)
		if (r->param != NONE)
			*param_of(p, r) = r->dflt;
	p->max_recv = 8192;
}

static bool key_name_ok(const char *s, size_t n)
{
	if (n == 0 || n > KEY_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		bool alpha = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		bool other = (c >= '0' && c <= '9') || strchr(".-+@_/#", c);

		if (!alpha && (i == 0 || !other))
			return false;
	}
	return true;
}

int keys_next(const char *text, size_t len, size_t *at, struct key_pair *pair)
{
	const char *s, *eq;
	size_t n;

	/* Some initiators pad with extra NULs; an empty string carries nothing. */
	while (*at < len && !text[*at])
		(*at)++;
	if (*at >= len)
		return 0;
	s = text + *at;
	n = strnlen(s, len - *at);
	if (n == len - *at)
		return ERR_MALFORMED;
	*at += n + 1;
	eq = memchr(s, '=', n);
	if (!eq || !key_name_ok(s, (size_t)(eq - s)) || strlen(eq + 1) > KEY_VALUE_MAX)
		return ERR_MALFORMED;
	pair->name = s;
	pair->value = eq + 1;
	return 1;
}

bool key_is(const struct key_pair *pair, const char *name)
{
	size_t n = strlen(name);

	return strncmp(pair->name, name, n) == 0 && (pair->name[n] == '=' || !pair->name[n]);
}

void keys_put(struct buf *out, const char *name, const char *value)
{
	buf_puts(out, name);
	buf_puts(out, "=");
	buf_put(out, value, strlen(value) + 1);
}

/* The name of a pair may be followed by '=': compare up to it. */
static const struct key_row *row_of(const char *name)
{
	size_t n = strcspn(name, "=");

	for (const struct key_row *r = rows; r->name; r++)
		if (strlen(r->name) == n && memcmp(r->name, name, n) == 0)
			return r;
	return NULL;
}

static void answer(struct buf *out, const char *name, const char *value)
{
	buf_put(out, name, strcspn(name, "="));
	buf_puts(out, "=");
	buf_put(out, value, strlen(value) + 1);
}

static void answer_number(struct buf *out, const char *name, uint32_t v)
{
	char t[16];

	snprintf(t, sizeof(t), "%u", v);
	answer(out, name, t);
}

static int bool_parse(const char *s, uint32_t *v)
{
	if (strcmp(s, "Yes") == 0)
		*v = 1;
	else if (strcmp(s, "No") == 0)
		*v = 0;
	else
		return ERR_MALFORMED;
	return 0;
}

/*
 * The first value of the list "a,b,c" that we would have: `ours` itself, or the row's default (always had).
 */
static int list_choose(const struct key_row *r, const char *list, uint32_t ours, uint32_t *v)
{
	for (const char *s = list; ; s++) {
		size_t n = strcspn(s, ",");

		for (uint32_t i = 0; r->choices[i]; i++)
			if (strlen(r->choices[i]) == n && memcmp(r->choices[i], s, n) == 0 &&
			    (i <= ours || i == r->dflt)) {
				*v = i;
				return 0;
			}
		s += n;
		if (!*s)
			return ERR_NOENT;
	}
}

/* The result of both sides' values; ERR_MALFORMED or ERR_NOENT: "Reject". */
static int result_of(const struct key_row *r, uint32_t ours, const char *value, uint32_t *v)
{
	uint64_t n;

	switch (r->kind) {
	case KEY_LIST:
		return list_choose(r, value, ours, v);
	case KEY_AND:
	case KEY_OR:
		if (bool_parse(value, v) != 0)
			return ERR_MALFORMED;
		*v = r->kind == KEY_AND ? *v && ours : *v || ours;
		return 0;
	default:
		if (keys_number(value, &n) != 0 || n < r->lo || n > r->hi)
			return ERR_MALFORMED;
		*v = (uint32_t)n;
		if (r->kind == KEY_MIN && ours < n)
			*v = ours;
		if (r->kind == KEY_MAX && ours > n)
			*v = ours;
		return 0;
	}
}

static void answer_result(struct buf *out, const char *name, const struct key_row *r, uint32_t v)
{
	if (r->kind == KEY_LIST)
		answer(out, name, r->choices[v]);
	else if (r->kind == KEY_AND || r->kind == KEY_OR)
		answer(out, name, v ? "Yes" : "No");
	else
		answer_number(out, name, v);
}

/* 6.2: the answers that are no values. */
static bool is_constant(const char *s)
{
	return strcmp(s, "NotUnderstood") == 0 || strcmp(s, "Irrelevant") == 0 || strcmp(s, "Reject") == 0;
}

int keys_negotiate(struct keys_negotiation *n, unsigned where, const struct key_pair *pair, struct buf *out)
{
	const struct key_row *r = row_of(pair->name);
	uint32_t v;
	uint64_t bit;

	if (!r) {
		answer(out, pair->name, "NotUnderstood");
		return 0;
	}
	bit = 1ull << (r - rows);
	/* What we declared needs no answer, but one that says it came to nothing does no harm. */
	if (r->where & KEY_TARGET_ONLY && is_constant(pair->value))
		return 0;
	if (!(r->where & where) || r->where & KEY_TARGET_ONLY || n->seen & bit)
		return ERR_INVAL;
	/* CHAP's keys are a dialogue of several rounds; login.c counts the rounds itself. */
	if (strncmp(r->name, "CHAP_", 5) != 0)
		n->seen |= bit;
	if (r->kind == KEY_TEXT)
		return 0;
	if ((r->where & KEY_NOT_DISCOVERY && n->discovery) || (r->where & KEY_LEADING && !n->leading)) {
		answer(out, pair->name, "Irrelevant");
		return 0;
	}
	if (r->kind == KEY_OBSOLETE) {
		answer(out, pair->name, r->hi == 1 ? "No" : "Reject");
		return 0;
	}
	if (result_of(r, param_get(r->kind == KEY_DECLARE ? n->result : n->ours, r), pair->value, &v) != 0) {
		answer(out, pair->name, "Reject");
		/* A declaration has no answer that could be rejected: the login cannot go on without it. */
		return r->kind == KEY_DECLARE ? ERR_INVAL : 0;
	}
	*param_of(n->result, r) = v;
	if (r->kind == KEY_DECLARE)
		return 0;
	n->offered |= bit;
	answer_result(out, pair->name, r, v);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool has_prefix(const char *s, char letter)
{
	return s[0] == '0' && (s[1] | 0x20) == letter;
}

int keys_number(const char *s, uint64_t *v)
{
	unsigned base = 10;

	if (has_prefix(s, 'x')) {
		base = 16;
		s += 2;
	}
	if (!*s)
		return ERR_MALFORMED;
	for (*v = 0; *s; s++) {
		int d = hex_digit(*s);

		if (d < 0 || (unsigned)d >= base || *v > (UINT64_MAX - (unsigned)d) / base)
			return ERR_MALFORMED;
		*v = *v * base + (unsigned)d;
	}
	return 0;
}

static long hex_binary(const char *s, uint8_t *out, size_t max)
{
	size_t len = strlen(s), n = 0, i = 0;

	if (len == 0 || (len + 1) / 2 > max)
		return ERR_MALFORMED;
	/* An odd number of digits has a leading zero that was not written. */
	if (len % 2) {
		if (hex_digit(s[0]) < 0)
			return ERR_MALFORMED;
		out[n++] = (uint8_t)hex_digit(s[i++]);
	}
	for (; i < len; i += 2) {
		int h = hex_digit(s[i]), l = hex_digit(s[i + 1]);

		if (h < 0 || l < 0)
			return ERR_MALFORMED;
		out[n++] = (uint8_t)(h << 4 | l);
	}
	return (long)n;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static long base64_binary(const char *s, uint8_t *out, size_t max)
{
	size_t len = strlen(s), n = 0, pad = 0;
	uint32_t acc = 0;

	if (len == 0 || len % 4)
		return ERR_MALFORMED;
	while (pad < 2 && s[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len; i++) {
		int d = i >= len - pad ? 0 : base64_digit(s[i]);

		if (d < 0)
			return ERR_MALFORMED;
		acc = acc << 6 | (unsigned)d;
		if (i % 4 != 3)
			continue;
		for (int k = 0; k < 3 - (i + 1 == len ? (int)pad : 0); k++) {
			if (n >= max)
				return ERR_MALFORMED;
			out[n++] = (uint8_t)(acc >> (16 - 8 * k));
		}
		acc = 0;
	}
	return (long)n;
}

long keys_binary(const char *s, uint8_t *out, size_t max)
{
	if (has_prefix(s, 'x'))
		return hex_binary(s + 2, out, max);
	if (has_prefix(s, 'b'))
		return base64_binary(s + 2, out, max);
	return ERR_MALFORMED;
}

bool iscsi_name_ok(const char *s)
{
	size_t n = strlen(s);

	/* 4.2.7.1: Unicode, as UTF-8; who lists sessions believes that of names. */
	if (n < 5 || n > 223 || !text_ok(s, 223))
		return false;
	if (strncmp(s, "eui.", 4) == 0 || strncmp(s, "naa.", 4) == 0) {
		for (size_t i = 4; i < n; i++)
			if (hex_digit(s[i]) < 0)
				return false;
		return s[0] == 'e' ? n == 20 : n == 20 || n == 36;
	}
	if (strncmp(s, "iqn.", 4) != 0)
		return false;
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p < 0x80 && !((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
		                   strchr(".-:_", *p)))
			return false;
	return true;
}
