/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: aligned columns that fit the terminal for people, an array of objects for programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "shell/shell.h"

struct table {
	const struct column *col;
	unsigned n_col;
	char **cell;                    /* n_row times n_col; canonical text or NULL */
	json_t **extra;                 /* of each row; may be NULL */
	unsigned n_row, cap_cell, cap_extra;
};

struct table *table_new(const struct column *columns, unsigned n)
{
	struct table *t = mem_zalloc(sizeof(*t));

	t->col = columns;
	t->n_col = n;
	return t;
}

void table_row(struct table *t)
{
	t->cell = mem_grow(t->cell, &t->cap_cell, (t->n_row + 1) * t->n_col, sizeof(*t->cell));
	t->extra = mem_grow(t->extra, &t->cap_extra, t->n_row, sizeof(*t->extra));
	memset(t->cell + (size_t)t->n_row * t->n_col, 0, t->n_col * sizeof(*t->cell));
	t->extra[t->n_row++] = NULL;
}

static char **cell_at(const struct table *t, unsigned row, unsigned column)
{
	return &t->cell[(size_t)row * t->n_col + column];
}

void table_cell(struct table *t, unsigned column, const char *value)
{
	char **c = cell_at(t, t->n_row - 1, column);

	free(*c);
	*c = mem_strdup(value);
}

void table_json(struct table *t, const char *key, json_t *value)
{
	json_t **e = &t->extra[t->n_row - 1];

	if (!*e)
		*e = json_object();
	json_object_set_new(*e, key, value);
}

/* ---- one cell ---- */

char *cell_text(enum cell_kind kind, const char *value)
{
	uint64_t v;
	char t[64];
	struct tm tm;
	time_t sec;

	if (!value || !*value)
		return mem_strdup(kind == CELL_TEXT ? "" : "-");
	if (kind == CELL_TEXT || kind == CELL_BOOL || kind == CELL_NUMBER || text_u64_parse(value, &v) < 0)
		return mem_strdup(value);
	switch (kind) {
	case CELL_SIZE: return mem_strdup(text_size(v, t));
	case CELL_AGE: return mem_strdup(text_ms(v, t));
	default:
		sec = (time_t)(v / 1000);
		localtime_r(&sec, &tm);
		strftime(t, sizeof(t), "%Y-%m-%d %H:%M:%S", &tm);
		return mem_strdup(t);
	}
}

json_t *cell_json(enum cell_kind kind, const char *value)
{
	uint64_t v;

	if (!value)
		return json_null();
	if (kind == CELL_BOOL && strcmp(value, "yes") == 0)
		return json_true();
	if (kind == CELL_BOOL && strcmp(value, "no") == 0)
		return json_false();
	if (kind != CELL_TEXT && kind != CELL_BOOL && text_u64_parse(value, &v) == 0 && v <= INT64_MAX)
		return json_integer((json_int_t)v);
	return json_string(value);
}

/* ---- as text ---- */

/* Columns on the screen: one for each code point. */
static unsigned width(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static unsigned terminal_width(const struct shell *s)
{
	struct winsize ws;

	if (!s->tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_col < 20)
		return 0;               /* not a terminal: as wide as it is */
	return ws.ws_col;
}

/* The first n columns of s. */
static size_t prefix_bytes(const char *s, unsigned n)
{
	const char *p = s;

	while (*p) {
		if (((unsigned char)*p & 0xc0) != 0x80 && n-- == 0)
			break;
		p++;
	}
	return (size_t)(p - s);
}

static void print_cell(const char *s, unsigned w, bool right, bool last)
{
	unsigned have = width(s);

	if (have > w) {
		printf("%.*s…", (int)prefix_bytes(s, w ? w - 1 : 0), s);
		have = w;
	} else {
		if (right)
			printf("%*s", (int)(w - have), "");
		fputs(s, stdout);
	}
	if (!last)
		printf("%*s", (int)((right ? 0 : w - have) + 2), "");
}

/* Take from the widest column until all fit. */
static void fit(unsigned *w, unsigned n, unsigned room)
{
	for (;;) {
		unsigned sum = 2 * (n - 1), widest = 0;

		for (unsigned i = 0; i < n; i++) {
			sum += w[i];
			if (w[i] > w[widest])
				widest = i;
		}
		if (!room || sum <= room || w[widest] <= 8)
			return;
		w[widest] = w[widest] > sum - room + 8 ? w[widest] - (sum - room) : w[widest] - 1;
	}
}

static bool right(enum cell_kind k)
{
	return k == CELL_SIZE || k == CELL_NUMBER || k == CELL_AGE;
}

static void print_text(const struct shell *s, const struct table *t)
{
	unsigned *w = mem_zalloc(t->n_col * sizeof(*w));

	/* Cells in their form for people, from here on. */
	for (unsigned r = 0; r < t->n_row; r++)
		for (unsigned c = 0; c < t->n_col; c++) {
			char *text = cell_text(t->col[c].kind, *cell_at(t, r, c));

			free(*cell_at(t, r, c));
			*cell_at(t, r, c) = text;
			w[c] = width(text) > w[c] ? width(text) : w[c];
		}
	for (unsigned c = 0; c < t->n_col && !s->no_headers; c++)
		w[c] = width(t->col[c].head) > w[c] ? width(t->col[c].head) : w[c];
	fit(w, t->n_col, terminal_width(s));
	for (unsigned c = 0; c < t->n_col && !s->no_headers; c++)
		print_cell(t->col[c].head, w[c], right(t->col[c].kind), c + 1 == t->n_col);
	if (!s->no_headers)
		putchar('\n');
	for (unsigned r = 0; r < t->n_row; r++) {
		unsigned last = t->n_col - 1;

		while (last > 0 && !**cell_at(t, r, last))
			last--;
		for (unsigned c = 0; c <= last; c++)
			print_cell(*cell_at(t, r, c), w[c], right(t->col[c].kind), c == last);
		putchar('\n');
	}
	free(w);
}

static void print_json(struct shell *s, const struct table *t)
{
	json_t *rows = json_array();

	for (unsigned r = 0; r < t->n_row; r++) {
		json_t *row = json_object();

		for (unsigned c = 0; c < t->n_col; c++)
			json_object_set_new(row, t->col[c].key, cell_json(t->col[c].kind, *cell_at(t, r, c)));
		if (t->extra[r])
			json_object_update_missing(row, t->extra[r]);
		json_array_append_new(rows, row);
	}
	say_json(s, rows);
}

void table_free(struct table **p)
{
	struct table *t = *p;

	for (unsigned i = 0; i < t->n_row * t->n_col; i++)
		free(t->cell[i]);
	for (unsigned i = 0; i < t->n_row; i++)
		json_decref(t->extra[i]);
	free(t->cell);
	free(t->extra);
	free(t);
	*p = NULL;
}

void table_print(struct shell *s, struct table **t)
{
	if (s->json)
		print_json(s, *t);
	else
		print_text(s, *t);
	table_free(t);
}
