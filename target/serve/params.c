/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of plugins: text from people is judged by the plugin's table, so that no plugin parses. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "target/serve/loader.h"

static bool word_in(const char *words, const char *w)
{
	size_t n = strlen(w);
	const char *s = words;

	while (n && (s = strstr(s, w)) != NULL) {
		if ((s == words || s[-1] == ' ') && (s[n] == 0 || s[n] == ' '))
			return true;
		s += n;
	}
	return false;
}

/* The bound as the user would write it. */
static const char *bound_text(const struct director_param *p, uint64_t v, char *out)
{
	if (p->type == DIRECTOR_P_SIZE)
		return text_size(v, out);
	if (p->type == DIRECTOR_P_DURATION)
		return text_ms(v, out);
	snprintf(out, 32, "%" PRIu64, v);
	return out;
}

static int number_check(const struct director_param *p, const char *value, char **out, struct director_err *err)
{
	static const char *const what[] = {
		[DIRECTOR_P_UINT] = "a number", [DIRECTOR_P_SIZE] = "a size such as 512, 4k or 10G",
		[DIRECTOR_P_DURATION] = "a duration such as 250ms or 10s",
	};
	char lo[32], hi[32];
	uint64_t v = 0;
	int r;

	if (p->type == DIRECTOR_P_SIZE)
		r = text_size_parse(value, &v);
	else if (p->type == DIRECTOR_P_DURATION)
		r = text_ms_parse(value, &v);
	else
		r = text_u64_parse(value, &v);
	if (r < 0)
		return plugin_err(err, -EINVAL, "%s: \"%.64s\" is not %s", p->name, value, what[p->type]);
	if ((p->min || p->max) && (v < p->min || (p->max && v > p->max))) {
		if (!p->max)
			return plugin_err(err, -EINVAL, "%s: %.64s is less than %s", p->name, value, bound_text(p, p->min, lo));
		return plugin_err(err, -EINVAL, "%s: %.64s is not between %s and %s", p->name, value,
			bound_text(p, p->min, lo), bound_text(p, p->max, hi));
	}
	*out = mem_printf("%" PRIu64, v);
	return 0;
}

static int bool_check(const struct director_param *p, const char *value, char **out, struct director_err *err)
{
	if (word_in("yes true on 1", value))
		*out = mem_strdup("yes");
	else if (word_in("no false off 0", value))
		*out = mem_strdup("no");
	else
		return plugin_err(err, -EINVAL, "%s: \"%.64s\" is neither yes nor no", p->name, value);
	return 0;
}

int plugin_param_check(const struct director_param *p, const char *value, char **out, struct director_err *err)
{
	*out = NULL;
	if (!text_ok(value, PLUGIN_VALUE_MAX))
		return plugin_err(err, -EINVAL, "%s: the value is too long or has unprintable characters", p->name);
	switch (p->type) {
	case DIRECTOR_P_UINT:
	case DIRECTOR_P_SIZE:
	case DIRECTOR_P_DURATION:
		return number_check(p, value, out, err);
	case DIRECTOR_P_BOOL:
		return bool_check(p, value, out, err);
	case DIRECTOR_P_PATH:
		if (value[0] != '/')
			return plugin_err(err, -EINVAL, "%s: \"%.64s\" is not an absolute path", p->name, value);
		break;
	case DIRECTOR_P_ENUM:
		if (strchr(value, ' ') || !word_in(p->choices, value))
			return plugin_err(err, -EINVAL, "%s: \"%.64s\" is none of: %.120s", p->name, value, p->choices);
		break;
	case DIRECTOR_P_STRING:
		break;
	default:
		return plugin_err(err, -EINVAL, "%s: unknown type", p->name);
	}
	*out = mem_strdup(value);
	return 0;
}

/* Edit distance of two short names, for hints. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[PLUGIN_NAME_MAX + 1], i, j, n = (unsigned)strlen(b);

	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		unsigned diag = row[0];

		row[0] = i;
		for (j = 1; j <= n; j++) {
			unsigned best = diag + (a[i - 1] != b[j - 1]);

			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static int unknown(const struct plugin *pl, const char *name, struct director_err *err)
{
	const char *nearest = NULL;
	unsigned i, d, best = 3;

	for (i = 0; i < pl->n_params && strnlen(name, PLUGIN_NAME_MAX) < PLUGIN_NAME_MAX; i++) {
		d = distance(name, pl->p.params[i].name);
		if (d < best) {
			best = d;
			nearest = pl->p.params[i].name;
		}
	}
	if (nearest)
		return plugin_err(err, -EINVAL, "%s has no parameter %.40s; did you mean %s?", pl->p.name, name, nearest);
	return plugin_err(err, -EINVAL, "%s has no parameter %.40s", pl->p.name, name);
}

static const char *conf_get(const struct director_conf *conf, const char *name)
{
	const struct plugin_conf *c = (const struct plugin_conf *)conf;
	unsigned i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->v[i].param->name, name) == 0)
			return c->v[i].value;
	return NULL;
}

static uint64_t conf_get_uint(const struct director_conf *conf, const char *name, uint64_t if_unset)
{
	const char *s = conf_get(conf, name);
	uint64_t v;

	if (!s)
		return if_unset;
	if (strcmp(s, "yes") == 0)
		return 1;
	return text_u64_parse(s, &v) == 0 ? v : 0;
}

static int conf_give(const struct plugin *pl, struct plugin_conf *c, const struct plugin_pair *pair,
	struct director_err *err)
{
	unsigned i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->v[i].param->name, pair->name) == 0)
			break;
	if (i == c->n)
		return unknown(pl, pair->name, err);
	if (c->v[i].given)
		return plugin_err(err, -EINVAL, "%s is given twice", pair->name);
	c->v[i].given = true;
	return plugin_param_check(c->v[i].param, pair->value ? pair->value : "", &c->v[i].value, err);
}

/* Defaults, and what must be there. */
static int conf_complete(const struct plugin *pl, struct plugin_conf *c, uint64_t size, struct director_err *err)
{
	unsigned i;
	char text[24];

	for (i = 0; i < c->n; i++) {
		const struct director_param *p = c->v[i].param;
		const char *value = p->value;
		int r;

		if (c->v[i].given)
			continue;
		if (size && p->type == DIRECTOR_P_SIZE && strcmp(p->name, "size") == 0) {
			snprintf(text, sizeof(text), "%" PRIu64, size);
			value = text;
		}
		if (!value && (p->flags & DIRECTOR_PF_REQUIRED))
			return plugin_err(err, -EINVAL, "%s needs the parameter %s%s%s", pl->p.name, p->name,
				p->help ? ": " : "", p->help ? p->help : "");
		r = value ? plugin_param_check(p, value, &c->v[i].value, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int plugin_conf_new(const struct plugin *pl, const struct plugin_pair *pairs, unsigned n_pairs, uint64_t size,
	struct plugin_conf **out, struct director_err *err)
{
	struct plugin_conf *c = mem_zalloc(sizeof(*c) + pl->n_params * sizeof(c->v[0]));
	unsigned i;
	int r = 0;

	*out = NULL;
	c->conf = (struct director_conf){ sizeof(c->conf), conf_get, conf_get_uint };
	c->n = pl->n_params;
	for (i = 0; i < c->n; i++)
		c->v[i].param = &pl->p.params[i];
	for (i = 0; i < n_pairs && r == 0; i++)
		r = conf_give(pl, c, &pairs[i], err);
	if (r == 0)
		r = conf_complete(pl, c, size, err);
	if (r < 0)
		plugin_conf_free(&c);
	*out = c;
	return r;
}

const char *plugin_conf_fixed(const struct plugin_conf *have, const struct plugin_conf *want)
{
	unsigned i;

	for (i = 0; i < have->n && i < want->n; i++) {
		const char *a = have->v[i].value, *b = want->v[i].value;

		/* The size is changed by resize, not here. */
		if ((have->v[i].param->flags & DIRECTOR_PF_LIVE) || strcmp(have->v[i].param->name, "size") == 0)
			continue;
		if (!a != !b || (a && strcmp(a, b) != 0))
			return have->v[i].param->name;
	}
	return NULL;
}

void plugin_conf_free(struct plugin_conf **cp)
{
	struct plugin_conf *c = *cp;
	unsigned i;

	if (!c)
		return;
	*cp = NULL;
	for (i = 0; i < c->n; i++) {
		/* Secrets do not stay behind in freed memory. */
		if (c->v[i].value && (c->v[i].param->flags & DIRECTOR_PF_SECRET))
			explicit_bzero(c->v[i].value, strlen(c->v[i].value));
		free(c->v[i].value);
	}
	free(c);
}
