/* SPDX-License-Identifier: Apache-2.0 */
/* The schema for readers: a JSON document, a manual page section, and plugin parameters as one line of text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/schema.h"

/* ---- plugin parameters ---- */

static const struct { const char *word; uint32_t flag; } flag_words[] = {
	{ "required", PARAM_REQUIRED }, { "secret", PARAM_SECRET }, { "live", PARAM_LIVE },
};

void schema_param_text(const struct schema_param *p, struct buf *out)
{
	buf_puts(out, schema_value_name(p->type));
	for (size_t i = 0; i < ARRAY_LEN(flag_words); i++)
		if (p->flags & flag_words[i].flag)
			buf_printf(out, " %s", flag_words[i].word);
	if (p->value && !strchr(p->value, ' '))
		buf_printf(out, " default=%s", p->value);
	if (p->min || p->max)
		buf_printf(out, " min=%" PRIu64 " max=%" PRIu64, p->min, p->max);
	if (p->unit && !strchr(p->unit, ' '))
		buf_printf(out, " unit=%s", p->unit);
	if (p->choices) {
		buf_puts(out, " choices=");
		for (const char *c = p->choices; *c; c++)
			buf_printf(out, "%c", *c == ' ' ? ',' : *c);
	}
	if (p->help)
		buf_printf(out, " help=%s", p->help);
}

static enum schema_value value_named(const char *word)
{
	for (int v = VALUE_STRING; v <= VALUE_PATH; v++)
		if (strcmp(word, schema_value_name((enum schema_value)v)) == 0)
			return (enum schema_value)v;
	return 0;
}

/* One word of the line after the type. Unknown ones are a later version's: skipped. */
static int param_word(struct schema_param *p, char *word)
{
	char *eq = strchr(word, '=');

	for (size_t i = 0; !eq && i < ARRAY_LEN(flag_words); i++)
		if (strcmp(word, flag_words[i].word) == 0)
			p->flags |= flag_words[i].flag;
	if (!eq)
		return 0;
	*eq++ = '\0';
	if (strcmp(word, "default") == 0)
		p->value = eq;
	else if (strcmp(word, "unit") == 0)
		p->unit = eq;
	else if (strcmp(word, "min") == 0)
		return text_u64_parse(eq, &p->min);
	else if (strcmp(word, "max") == 0)
		return text_u64_parse(eq, &p->max);
	else if (strcmp(word, "choices") == 0) {
		p->choices = eq;
		for (; *eq; eq++)
			if (*eq == ',')
				*eq = ' ';
	}
	return 0;
}

int schema_param_parse(const char *name, const char *text, struct schema_param_text *out)
{
	char *s, *end;
	int err = 0;

	*out = (struct schema_param_text){ 0 };
	if (!text_ok(name, ATTR_KEY_MAX - 1) || !text_ok(text, ATTR_VALUE_MAX))
		return ERR_MALFORMED;
	/* Name and line in one block, cut into words in place. */
	out->text = mem_printf("%s %s", name, text);
	out->p.name = out->text;
	s = out->text + strlen(name);
	*s++ = '\0';
	for (unsigned n = 0; err == 0 && *s; n++) {
		if (n && strncmp(s, "help=", 5) == 0) {
			out->p.help = s + 5;
			break;
		}
		end = s + strcspn(s, " ");
		if (*end)
			*end++ = '\0';
		if (n == 0)
			err = (out->p.type = value_named(s)) ? 0 : ERR_MALFORMED;
		else
			err = param_word(&out->p, s) < 0 ? ERR_MALFORMED : 0;
		s = end;
	}
	if (err == 0 && (!out->p.type || (out->p.type == VALUE_ENUM && !out->p.choices)))
		err = ERR_MALFORMED;
	if (err < 0)
		schema_param_text_fini(out);
	return err;
}

void schema_param_text_fini(struct schema_param_text *p)
{
	free(p->text);
	*p = (struct schema_param_text){ 0 };
}

/* ---- JSON ---- */

static void json_string(struct buf *out, const char *s)
{
	buf_puts(out, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_printf(out, "\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			buf_printf(out, "\\u%04x", *s);
		else
			buf_put(out, s, 1);
	}
	buf_puts(out, "\"");
}

static void json_member(struct buf *out, const char *key, const char *value)
{
	if (!value)
		return;
	buf_printf(out, ", \"%s\": ", key);
	json_string(out, value);
}

static void json_flag(struct buf *out, const char *key, bool set)
{
	if (set)
		buf_printf(out, ", \"%s\": true", key);
}

static void json_choices(struct buf *out, const struct schema_param *p)
{
	char word[ATTR_KEY_MAX];

	if (!p->choices)
		return;
	buf_puts(out, ", \"choices\": [");
	for (unsigned i = 0; schema_choice_at(p, i, word); i++) {
		buf_puts(out, i ? ", " : "");
		json_string(out, word);
	}
	buf_puts(out, "]");
}

static void json_param(struct buf *out, const struct schema_param *p)
{
	buf_puts(out, "        { \"name\": ");
	json_string(out, p->name);
	json_member(out, "type", schema_value_name(p->type));
	json_member(out, "side", p->flags & PARAM_OBSERVED ? "observed" : "desired");
	json_member(out, "default", p->value);
	json_choices(out, p);
	if (p->min)
		buf_printf(out, ", \"min\": %" PRIu64, p->min);
	if (p->max)
		buf_printf(out, ", \"max\": %" PRIu64, p->max);
	json_member(out, "unit", p->unit);
	json_member(out, "ref", p->ref ? schema_types[p->ref].name : NULL);
	json_member(out, "needs", p->needs);
	json_member(out, "unless", p->unless);
	json_flag(out, "required", p->flags & PARAM_REQUIRED);
	json_flag(out, "auto", p->flags & PARAM_AUTO);
	json_flag(out, "secret", p->flags & PARAM_SECRET);
	json_flag(out, "live", p->flags & PARAM_LIVE);
	json_flag(out, "create_only", p->flags & PARAM_CREATE);
	json_flag(out, "machine", p->flags & PARAM_MACHINE);
	json_flag(out, "unique", p->flags & PARAM_UNIQUE);
	json_member(out, "help", p->help);
	buf_puts(out, " }");
}

void schema_json(struct buf *out)
{
	buf_printf(out, "{\n  \"schema\": 1,\n  \"level\": %d,\n  \"types\": [\n", SCHEMA_LEVEL);
	for (int id = 1; id < TYPE_COUNT; id++) {
		const struct schema_type *t = &schema_types[id];

		buf_puts(out, "    { \"name\": ");
		json_string(out, t->name);
		json_member(out, "path", t->pattern);
		json_member(out, "parent", t->parent ? schema_types[t->parent].name : NULL);
		json_flag(out, "agreed", t->agreed);
		json_member(out, "help", t->help);
		buf_puts(out, ",\n      \"params\": [\n");
		for (const struct schema_param *p = t->params; p->name; p++) {
			json_param(out, p);
			buf_puts(out, p[1].name ? ",\n" : "\n");
		}
		buf_puts(out, id + 1 < TYPE_COUNT ? "      ] },\n" : "      ] }\n");
	}
	buf_puts(out, "  ]\n}\n");
}

/* ---- mdoc ---- */

/* Text as an argument or a line of mdoc: '\' is its escape, and quotes would group words. */
static void mdoc_text(struct buf *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		buf_puts(out, "\\&");
	for (; *s; s++) {
		if (*s == '\\')
			buf_puts(out, "\\e");
		else if (*s == '"')
			buf_puts(out, "\\(dq");
		else if (*s == '-')
			buf_puts(out, "\\-");
		else
			buf_put(out, s, 1);
	}
}

/* A help text as a sentence on a line of its own. */
static void mdoc_sentence(struct buf *out, const char *s)
{
	size_t n = strlen(s);

	mdoc_text(out, s);
	buf_puts(out, n && strchr(".?!", s[n - 1]) ? "\n" : ".\n");
}

static void mdoc_choices(struct buf *out, const struct schema_param *p)
{
	char word[ATTR_KEY_MAX], next[ATTR_KEY_MAX];
	bool more = p->choices && schema_choice_at(p, 0, next);

	if (more)
		buf_puts(out, "One of\n");
	for (unsigned i = 0; more; i++) {
		memcpy(word, next, sizeof(word));
		more = schema_choice_at(p, i + 1, next);
		buf_printf(out, ".Cm %s %s\n", word, more ? "," : ".");
	}
}

static void mdoc_range(struct buf *out, const struct schema_param *p)
{
	char lo[32], hi[32];

	if (!p->min && !p->max)
		return;
	if (p->type == VALUE_HEX) {
		buf_printf(out, "%" PRIu64 " hex digits.\n", 2 * p->max);
		return;
	}
	if (p->type == VALUE_SIZE) {
		text_size(p->min, lo);
		text_size(p->max, hi);
	} else {
		snprintf(lo, sizeof(lo), "%" PRIu64, p->min);
		snprintf(hi, sizeof(hi), "%" PRIu64, p->max);
	}
	if (p->type == VALUE_STRING)
		buf_printf(out, "%s to %s bytes.\n", lo, hi);
	else if (p->max == 0)
		buf_printf(out, "At least %s.\n", lo);
	else
		buf_printf(out, "%s to %s.\n", lo, hi);
}

static void mdoc_param(struct buf *out, const struct schema_param *p)
{
	buf_puts(out, ".It Cm ");
	mdoc_text(out, p->name);
	buf_puts(out, " Ns = Ns Ar ");
	mdoc_text(out, p->ref ? schema_types[p->ref].name : schema_value_name(p->type));
	buf_puts(out, "\n");
	mdoc_sentence(out, p->help);
	mdoc_choices(out, p);
	mdoc_range(out, p);
	if (p->value) {
		buf_puts(out, "The default is\n.Cm ");
		mdoc_text(out, p->value);
		buf_puts(out, " .\n");
	}
	if ((p->flags & PARAM_REQUIRED) && !(p->flags & PARAM_AUTO))
		buf_printf(out, p->unless ? "Required unless\n.Cm %s\nis given.\n" : "Required.\n", p->unless);
	if (p->flags & PARAM_CREATE)
		buf_puts(out, "Fixed at creation.\n");
	if (p->needs)
		buf_printf(out, "Needs\n.Cm %s .\n", p->needs);
	if (p->flags & PARAM_SECRET)
		buf_puts(out, "Never shown.\n");
}

static unsigned mdoc_side(struct buf *out, const struct schema_type *t, uint32_t side, const char *head)
{
	unsigned n = 0;

	for (const struct schema_param *p = t->params; p->name; p++) {
		if ((p->flags & (PARAM_OBSERVED | PARAM_MACHINE)) != side)
			continue;
		if (n++ == 0)
			buf_printf(out, ".Pp\n%s\n.Bl -tag -width Ds\n", head);
		mdoc_param(out, p);
	}
	if (n)
		buf_puts(out, ".El\n");
	return n;
}

void schema_mdoc(struct buf *out)
{
	for (int id = 1; id < TYPE_COUNT; id++) {
		const struct schema_type *t = &schema_types[id];

		buf_printf(out, ".Ss %s\n.Pa %s\n.Pp\n", t->name, t->pattern);
		mdoc_sentence(out, t->help);
		mdoc_side(out, t, 0, "Parameters:");
		mdoc_side(out, t, PARAM_MACHINE, "Agreed by the cluster itself:");
		mdoc_side(out, t, PARAM_OBSERVED, "Reported by nodes:");
		if (t->id == TYPE_VOLUME || t->id == TYPE_LEG)
			buf_puts(out, ".Pp\nParameters that begin with\n.Cm p.\nbelong to the backstore plugin; "
			         "see its own page.\n");
	}
}
