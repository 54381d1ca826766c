/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema as judge: names, values and whole objects, brought into their one normal form or refused
 * with object, cause and remedy. Part of the agreed machine: what passes here must pass for ever.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/text.h"
#include "cluster/address.h"
#include "cluster/float.h"
#include "cluster/schema.h"

/* ---- names ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

static void lower(const char *in, char *out, size_t size)
{
	size_t i;

	for (i = 0; in[i] && i + 1 < size; i++)
		out[i] = is_upper(in[i]) ? (char)(in[i] + 32) : in[i];
	out[i] = '\0';
}

static bool label_ok(const char *s)
{
	if (!is_digit(*s) && !is_lower(*s) && !is_upper(*s))
		return false;
	for (; *s; s++)
		if (!is_digit(*s) && !is_lower(*s) && !is_upper(*s) && !strchr("._-", *s))
			return false;
	return true;
}

static bool hex_ok(const char *s, size_t n)
{
	if (strlen(s) != n)
		return false;
	for (; *s; s++)
		if (!is_digit(*s) && !(*s >= 'a' && *s <= 'f'))
			return false;
	return true;
}

/* iqn.YYYY-MM.naming.authority[:anything] (RFC 7143 4.2.7.5), already in lower case. */
static bool iqn_ok(const char *s)
{
	int month;

	s += 4;
	for (int i = 0; i < 7; i++)
		if (i == 4 ? s[i] != '-' : !is_digit(s[i]))
			return false;
	month = (s[5] - '0') * 10 + s[6] - '0';
	if (month < 1 || month > 12 || s[7] != '.')
		return false;
	/* The reversed domain name of the authority: labels with dots between. */
	for (s += 8; ; s++) {
		size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

		if (n == 0 || s[0] == '-' || s[n - 1] == '-')
			return false;
		s += n;
		if (*s != '.')
			break;
	}
	if (*s == '\0')
		return true;
	/* RFC 3722: of ASCII only letters, digits, '-', '.' and ':'. */
	if (*s++ != ':' || *s == '\0')
		return false;
	for (; *s; s++)
		if ((unsigned char)*s < 0x80 && !is_lower(*s) && !is_digit(*s) && !strchr("-.:", *s))
			return false;
	return true;
}

/* RFC 7143 4.2.7: the three formats; naa has 64 or 128 bits (RFC 3980). */
static bool iscsi_name_ok(const char *s)
{
	if (strncmp(s, "iqn.", 4) == 0)
		return iqn_ok(s);
	if (strncmp(s, "eui.", 4) == 0)
		return hex_ok(s + 4, 16);
	if (strncmp(s, "naa.", 4) == 0)
		return hex_ok(s + 4, 16) || hex_ok(s + 4, 32);
	return false;
}

static int portal_form(const char *s, char *out)
{
	struct addr a;

	if (strlen(s) > 63 || addr_parse(s, 3260, &a) < 0 || a.scope || a.port == 0)
		return ERR_INVAL;
	addr_text(&a, out);
	return 0;
}

/* "10.0.0.9-24"; with one that cannot float, *bad says why. */
static int address_form(const char *s, char *out, const char **bad)
{
	struct addr a;
	unsigned len;
	char ip[64];

	*bad = NULL;
	if (address_parse(s, &a, &len) < 0)
		return ERR_INVAL;
	if (float_addr_check(&a, len, bad) < 0)
		return ERR_INVAL;
	addr_text(&a, ip);
	snprintf(out, PATH_LEN_MAX, "%s-%u", ip, len);
	return 0;
}

static int name_bad(const struct schema_type *t, const char *name, const char *rule, struct why *why)
{
	return why_set(why, ERR_INVAL, "\"%.100s\" is no name for a%s %s: %s", name, strchr("aeiou", *t->name) ? "n" : "", t->name, rule);
}

int schema_name(const struct schema_type *t, const char *name, char *out, struct why *why)
{
	const char *bad;
	uint64_t v;

	if (!path_name_ok(name))
		return name_bad(t, name, "names have 1 to 223 letters, digits and ._:@%+=,-[]", why);
	snprintf(out, PATH_LEN_MAX, "%s", name);
	switch (t->rule) {
	case NAME_LABEL:
		if (!label_ok(name) || strlen(name) > 63)
			return name_bad(t, name, "use 1 to 63 letters, digits, '.', '_' and '-', a letter or digit first", why);
		return 0;
	case NAME_HOST:
		lower(name, out, PATH_LEN_MAX);
		if (!label_ok(out) || strlen(out) > 63)
			return name_bad(t, name, "use 1 to 63 letters, digits, '.', '_' and '-', a letter or digit first", why);
		return 0;
	case NAME_ISCSI:
	case NAME_ISCSI_ANY:
		lower(name, out, PATH_LEN_MAX);
		if (t->rule == NAME_ISCSI_ANY && strcmp(out, "any") == 0)
			return 0;
		if (!iscsi_name_ok(out))
			return name_bad(t, name, "use an iSCSI name such as iqn.2026-01.org.example:disks, eui. with 16 "
			                "hex digits, or naa. with 16 or 32", why);
		return 0;
	case NAME_LUN:
		/* 14 bits: what the flat addressing of SAM-5 4.7 reaches. */
		if (text_u64_parse(name, &v) < 0 || v > 16383 || strlen(name) > 5)
			return name_bad(t, name, "use a number from 0 to 16383", why);
		snprintf(out, PATH_LEN_MAX, "%" PRIu64, v);
		return 0;
	case NAME_PORTAL:
		if (portal_form(name, out) < 0)
			return name_bad(t, name, "use ADDRESS:PORT or [IPV6-ADDRESS]:PORT, such as 10.0.0.1:3260", why);
		return 0;
	case NAME_ADDRESS:
		if (address_form(name, out, &bad) == 0)
			return 0;
		if (bad)
			return why_set(why, ERR_INVAL, "\"%.100s\" cannot be a floating address: it %s", name, bad);
		return name_bad(t, name, "use ADDRESS-LENGTH, such as 10.0.0.9-24 or fd00::9-64", why);
	case NAME_FIXED:
	case NAME_FREE:
		return 0;
	}
	return ERR_INVAL;
}

static int path_names(const char *path, unsigned level, char *out, const struct schema_type **type, struct why *why)
{
	const struct schema_type *t, *chain[4];
	const char *p = path, *pattern;
	unsigned n_chain = 0;
	size_t at = 0;

	if (!path_ok(path))
		return why_set(why, ERR_INVAL, "\"%.200s\" is no path; a path is such as /volumes/v1", path);
	t = schema_type_of(path);
	if (!t || t->since > level)
		return why_set(why, ERR_INVAL, schema_is_folder(path) ? "%s is a folder, not an object"
		               : "there is no kind of object at %s", path);
	*type = t;
	for (const struct schema_type *c = t; c && n_chain < 4; c = schema_type(c->parent))
		chain[n_chain++] = c;
	/* Names from the top down: the types of the chain own the capital places of the pattern. */
	pattern = t->pattern;
	while (*p) {
		size_t n = strcspn(p + 1, "/"), pn = strcspn(pattern + 1, "/");
		char name[PATH_LEN_MAX], form[PATH_LEN_MAX];

		snprintf(name, sizeof(name), "%.*s", (int)n, p + 1);
		if (pattern[1] >= 'A' && pattern[1] <= 'Z') {
			int err = schema_name(chain[--n_chain], name, form, why);

			if (err < 0)
				return err;
		} else {
			memcpy(form, name, n + 1);
		}
		if (at + strlen(form) + 2 > PATH_LEN_MAX)
			return why_set(why, ERR_INVAL, "%.100s…: the path is too long", path);
		at += (size_t)snprintf(out + at, PATH_LEN_MAX - at, "/%s", form);
		p += 1 + n;
		pattern += 1 + pn;
	}
	return 0;
}

int schema_path_normalise(const char *path, unsigned level, char *out, const struct schema_type **type,
                          struct why *why)
{
	return path_names(path, level, out, type, why);
}

int schema_path(const char *path, unsigned level, const struct schema_type **type, struct why *why)
{
	char form[PATH_LEN_MAX];
	int err = path_names(path, level, form, type, why);

	if (err == 0 && strcmp(form, path) != 0)
		return why_set(why, ERR_INVAL, "%s is not in normal form; write %s", path, form);
	return err;
}

/* ---- values ---- */

/* `out` is the buffer of a value. */
static void set(char *out, const char *value)
{
	snprintf(out, ATTR_VALUE_MAX + 1, "%s", value);
}

static int bounds(const struct schema_param *p, const char *path, const char *value, uint64_t v, struct why *why)
{
	char lo[32], hi[32];

	if ((p->min == 0 && p->max == 0) || (v >= p->min && (p->max == 0 || v <= p->max)))
		return 0;
	if (p->type == VALUE_SIZE) {
		text_size(p->min, lo);
		text_size(p->max, hi);
	} else if (p->type == VALUE_DURATION) {
		text_ms(p->min, lo);
		text_ms(p->max, hi);
	} else {
		snprintf(lo, sizeof(lo), "%" PRIu64, p->min);
		snprintf(hi, sizeof(hi), "%" PRIu64, p->max);
	}
	if (p->max == 0)
		return why_set(why, ERR_INVAL, "%s: %s=%.60s is too small; use at least %s", path, p->name, value, lo);
	return why_set(why, ERR_INVAL, "%s: %s=%.60s is out of range; use %s to %s", path, p->name, value, lo, hi);
}

static int number(const struct schema_param *p, const char *path, const char *value, char *out, struct why *why)
{
	int (*parse)(const char *, uint64_t *) = p->type == VALUE_SIZE ? text_size_parse
	                                       : p->type == VALUE_DURATION ? text_ms_parse : text_u64_parse;
	const char *like = p->type == VALUE_SIZE ? "a size such as 512M or 1.5T"
	                 : p->type == VALUE_DURATION ? "a time such as 250ms, 10s or 2h" : "a whole number";
	uint64_t v;

	if (parse(value, &v) < 0)
		return why_set(why, ERR_INVAL, "%s: %s=%.60s is not valid; use %s", path, p->name, value, like);
	snprintf(out, ATTR_VALUE_MAX + 1, "%" PRIu64, v);
	return bounds(p, path, value, v, why);
}

static int boolean(const struct schema_param *p, const char *path, const char *value, char *out, struct why *why)
{
	static const struct { const char *word, *form; } words[] = {
		{ "yes", "yes" }, { "no", "no" }, { "true", "yes" }, { "false", "no" },
		{ "on", "yes" }, { "off", "no" }, { "1", "yes" }, { "0", "no" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(value, words[i].word) == 0) {
			set(out, words[i].form);
			return 0;
		}
	}
	return why_set(why, ERR_INVAL, "%s: %s=%.60s is not valid; use yes or no", path, p->name, value);
}

static int choice(const struct schema_param *p, const char *path, const char *value, char *out, struct why *why)
{
	char word[ATTR_KEY_MAX];

	/* A choice that is a number of bytes may be written with a unit: block-size=4k. */
	if (p->unit && strcmp(p->unit, "bytes") == 0) {
		uint64_t v;

		if (text_size_parse(value, &v) == 0) {
			snprintf(out, ATTR_VALUE_MAX + 1, "%" PRIu64, v);
			value = out;
		}
	}
	for (unsigned i = 0; schema_choice_at(p, i, word); i++) {
		if (strcmp(value, word) == 0) {
			set(out, word);
			return 0;
		}
	}
	return why_set(why, ERR_INVAL, "%s: %s=%.60s is not valid; use one of: %s", path, p->name, value, p->choices);
}

static bool word_ok(const char *s)
{
	if (!is_lower(*s) || strlen(s) > 63)
		return false;
	for (; *s; s++)
		if (!is_lower(*s) && !is_digit(*s) && *s != '-')
			return false;
	return true;
}

static bool host_path_ok(const char *s)
{
	size_t n;

	if (s[0] != '/' || s[1] == '\0')
		return false;
	for (; *s; s += n) {
		s++;
		n = strcspn(s, "/");
		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
	}
	return true;
}

static int text_value(const struct schema_param *p, const char *path, const char *value, struct why *why)
{
	size_t n = strlen(value);

	if ((p->max && n > p->max) || n < p->min)
		return why_set(why, ERR_INVAL, "%s: %s has %zu bytes; use %" PRIu64 " to %" PRIu64, path, p->name, n,
		               p->min, p->max ? p->max : ATTR_VALUE_MAX);
	return 0;
}

/* What is said of a value that has no form of its own. */
static int like(const struct schema_param *p, const char *path, const char *value, const char *what, struct why *why)
{
	return why_set(why, ERR_INVAL, "%s: %s=%.60s is not valid; use %s", path, p->name, value, what);
}

int schema_value(const struct schema_param *p, const char *path, const char *value, char *out, struct why *why)
{
	char form[PATH_LEN_MAX];
	uint8_t uuid[16];

	if (!text_ok(value, ATTR_VALUE_MAX))
		return why_set(why, ERR_INVAL, "%s: %s is longer than %d bytes or no UTF-8 without control characters",
		               path, p->name, ATTR_VALUE_MAX);
	snprintf(out, ATTR_VALUE_MAX + 1, "%s", value);
	switch (p->type) {
	case VALUE_STRING:
		return text_value(p, path, value, why);
	case VALUE_UINT:
	case VALUE_SIZE:
	case VALUE_DURATION:
		return number(p, path, value, out, why);
	case VALUE_BOOL:
		return boolean(p, path, value, out, why);
	case VALUE_ENUM:
		return choice(p, path, value, out, why);
	case VALUE_PATH:
		return host_path_ok(value) ? 0 : like(p, path, value, "an absolute path without . and ..", why);
	case VALUE_WORD:
		return word_ok(value) ? 0 : like(p, path, value, "lower-case letters, digits and '-'", why);
	case VALUE_HEX:
		lower(value, out, ATTR_VALUE_MAX + 1);
		if (hex_ok(out, 2 * p->max))
			return 0;
		return why_set(why, ERR_INVAL, "%s: %s must have %" PRIu64 " hex digits", path, p->name, 2 * p->max);
	case VALUE_UUID:
		lower(value, out, ATTR_VALUE_MAX + 1);
		return text_uuid_parse(out, uuid) == 0 ? 0 : like(p, path, value, "a UUID", why);
	case VALUE_PORTAL:
		if (portal_form(value, form) < 0)
			return like(p, path, value, "ADDRESS:PORT or [IPV6-ADDRESS]:PORT", why);
		set(out, form);
		return 0;
	case VALUE_REF:
		if (schema_name(&schema_types[p->ref], value, form, why) < 0)
			return why_set(why, ERR_INVAL, "%s: %s=%.60s is no name of a %s", path, p->name, value,
			               schema_types[p->ref].name);
		set(out, form);
		return 0;
	}
	return ERR_INVAL;
}

static bool key_ok(const char *key)
{
	size_t n = strlen(key);

	if (n == 0 || n >= ATTR_KEY_MAX)
		return false;
	for (; *key; key++)
		if (!is_lower(*key) && !is_digit(*key) && !strchr("-._", *key))
			return false;
	return true;
}

int schema_attr(const struct schema_type *t, unsigned level, const char *path, const char *key, const char *value,
                char *out, struct why *why)
{
	const struct schema_param *p = schema_param(t, key);

	out[0] = '\0';
	if (!p || p->since > level) {
		if (!key_ok(key))
			return why_set(why, ERR_INVAL, "%s: \"%.40s\" is no name of a parameter", path, key);
		/* A plugin's own; see the header for who judges it. */
		if ((t->id == TYPE_VOLUME || t->id == TYPE_LEG) && strncmp(key, SCHEMA_PLUGIN_PREFIX, strlen(SCHEMA_PLUGIN_PREFIX)) == 0) {
			if (!text_ok(value, ATTR_VALUE_MAX))
				return why_set(why, ERR_INVAL, "%s: %s is too long or not text", path, key);
			set(out, value);
			return 0;
		}
		if (p)
			return why_set(why, ERR_INVAL, "%s: %s needs level %u of the cluster, which has %u; it rises by itself when every node "
			               "runs a version that knows it", path, key, p->since, level);
		return why_set(why, ERR_INVAL, "%s: a %s has no parameter \"%s\"; \"director help %s\" lists them", path,
		               t->name, key, t->name);
	}
	if (p->flags & PARAM_OBSERVED)
		return why_set(why, ERR_INVAL, "%s: %s is reported by nodes, it cannot be set", path, key);
	if (p->flags & PARAM_MACHINE)
		return why_set(why, ERR_INVAL, "%s: %s is kept by the cluster itself, it cannot be set", path, key);
	return *value ? schema_value(p, path, value, out, why) : 0;
}

/* ---- whole objects ---- */

static int check_unchanged(const struct schema_param *p, const char *path, const struct attrs *before,
                           const struct attrs *after, struct why *why)
{
	const char *a = attrs_get(before, p->name), *b = attrs_get(after, p->name);

	if (a == b || (a && b && strcmp(a, b) == 0))
		return 0;
	return why_set(why, ERR_INVAL, "%s: %s is fixed when the object is created (it is %s); delete it and create it anew",
	               path, p->name, a ? a : "not set");
}

static int check_growth(const struct schema_type *t, const struct schema_param *p, const char *path,
                        const struct attrs *before, const struct attrs *after, struct why *why)
{
	uint64_t a = schema_get_uint(t, before, p->name), b = schema_get_uint(t, after, p->name);
	char at[32], bt[32];

	if (b >= a)
		return 0;
	if (!schema_param(t, "allow-shrink") || p->type != VALUE_SIZE)
		return why_set(why, ERR_INVAL, "%s: %s cannot go back from %" PRIu64 " to %" PRIu64, path, p->name, a, b);
	if (schema_get_bool(t, after, "allow-shrink"))
		return 0;
	text_size(a, at);
	text_size(b, bt);
	return why_set(why, ERR_INVAL, "%s: %s would shrink from %s to %s and lose what is behind; "
	               "if that is meant: director set %s allow-shrink=yes", path, p->name, at, bt, path);
}

static int check_param(const struct schema_type *t, const struct schema_param *p, const char *path,
                       const struct attrs *before, const struct attrs *after, struct why *why)
{
	const char *v = attrs_get(after, p->name);
	int err = 0;

	if (before && (p->flags & PARAM_CREATE))
		err = check_unchanged(p, path, before, after, why);
	else if (before && (p->flags & PARAM_GROWS))
		err = check_growth(t, p, path, before, after, why);
	if (err < 0)
		return err;
	if (!v) {
		if ((p->flags & PARAM_REQUIRED) && !(p->unless && attrs_get(after, p->unless)))
			return why_set(why, ERR_INVAL, "%s: %s is missing; add %s=%s", path, p->name, p->name,
			               p->type == VALUE_SIZE ? "1G" : schema_value_name(p->type));
		return 0;
	}
	if (p->needs && !attrs_get(after, p->needs))
		return why_set(why, ERR_INVAL, "%s: %s needs %s too", path, p->name, p->needs);
	if (p->differs && attrs_get(after, p->differs) && strcmp(v, attrs_get(after, p->differs)) == 0)
		return why_set(why, ERR_INVAL, "%s: %s and %s must not be the same (RFC 7143 9.2.1)", path, p->name,
		               p->differs);
	if (p->granule) {
		uint64_t g = schema_get_uint(t, after, p->granule), n = schema_get_uint(t, after, p->name);

		if (g && n % g)
			return why_set(why, ERR_INVAL, "%s: %s=%s is no multiple of %s=%" PRIu64, path, p->name, v,
			               p->granule, g);
	}
	return 0;
}

int schema_check(const struct schema_type *t, unsigned level, const char *path, const struct attrs *before,
                 const struct attrs *after, struct why *why)
{
	if (!t->agreed)
		return why_set(why, ERR_INVAL, "%s: a %s is reported by nodes, it cannot be created or set", path, t->name);
	if (after->n > ATTRS_MAX)
		return why_set(why, ERR_LIMIT, "%s: more than %d parameters", path, ATTRS_MAX);
	for (const struct schema_param *p = t->params; p->name; p++) {
		int err;

		if (p->since > level || (p->flags & PARAM_OBSERVED))
			continue;
		err = check_param(t, p, path, before, after, why);
		if (err < 0)
			return err;
	}
	return 0;
}
