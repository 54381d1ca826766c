/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and paths. */
#include "cluster/obj.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

void attrs_fini(struct attrs *as)
{
	for (unsigned i = 0; i < as->n; i++) {
		free(as->a[i].key);
		free(as->a[i].value);
	}
	free(as->a);
	*as = (struct attrs){ 0 };
}

void attrs_copy(struct attrs *to, const struct attrs *from)
{
	*to = (struct attrs){ .n = from->n, .cap = from->n };
	to->a = from->n ? mem_alloc(from->n * sizeof(*to->a)) : NULL;
	for (unsigned i = 0; i < from->n; i++) {
		to->a[i].key = mem_strdup(from->a[i].key);
		to->a[i].value = mem_strdup(from->a[i].value);
	}
}

/* Most keys differ in their first letters. */
static inline int key_cmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

/* Index of the first key not less than `key`. */
static unsigned lower_bound(const struct attrs *as, const char *key)
{
	unsigned lo = 0, hi = as->n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (key_cmp(as->a[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool key_at(const struct attrs *as, unsigned i, const char *key)
{
	return i < as->n && key_cmp(as->a[i].key, key) == 0;
}

const char *attrs_get(const struct attrs *as, const char *key)
{
	unsigned i = lower_bound(as, key);

	return key_at(as, i, key) ? as->a[i].value : NULL;
}

bool attrs_set(struct attrs *as, const char *key, const char *value)
{
	unsigned i = lower_bound(as, key);

	if (key_at(as, i, key)) {
		if (value && strcmp(as->a[i].value, value) == 0)
			return false;
		free(as->a[i].value);
		if (value) {
			as->a[i].value = mem_strdup(value);
			return true;
		}
		free(as->a[i].key);
		memmove(as->a + i, as->a + i + 1, (as->n - i - 1) * sizeof(*as->a));
		as->n--;
		return true;
	}
	if (!value)
		return false;
	as->a = mem_grow(as->a, &as->cap, as->n, sizeof(*as->a));
	memmove(as->a + i + 1, as->a + i, (as->n - i) * sizeof(*as->a));
	as->a[i] = (struct attr){ mem_strdup(key), mem_strdup(value) };
	as->n++;
	return true;
}

bool attrs_eq(const struct attrs *a, const struct attrs *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->a[i].key, b->a[i].key) != 0 || strcmp(a->a[i].value, b->a[i].value) != 0)
			return false;
	return true;
}

bool attrs_merge(struct attrs *as, const struct attrs *change)
{
	bool changed = false;

	for (unsigned i = 0; i < change->n; i++)
		changed |= attrs_set(as, change->a[i].key, *change->a[i].value ? change->a[i].value : NULL);
	return changed;
}

static bool name_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x80 || (u >= '0' && u <= '9') || ((u | 0x20) >= 'a' && (u | 0x20) <= 'z') ||
	       (u && strchr("._:@%+=,-[]", u));
}

static bool name_ok(const char *name, size_t len)
{
	if (len == 0 || len > 223 || (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!name_char(name[i]))
			return false;
	return true;
}

bool path_name_ok(const char *name)
{
	return text_ok(name, 223) && name_ok(name, strlen(name));
}

bool path_ok(const char *path)
{
	if (!text_ok(path, PATH_LEN_MAX - 1) || path[0] != '/')
		return false;
	if (path[1] == '\0')
		return true;
	while (*path) {
		size_t n = strcspn(path + 1, "/");

		if (!name_ok(path + 1, n))
			return false;
		path += 1 + n;
	}
	return true;
}

const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool path_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	if (n == 1)
		return path[0] == '/';
	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

void path_parent(const char *path, char *out)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash && slash > path ? (size_t)(slash - path) : 1;

	memcpy(out, path, n);
	out[n] = '\0';
}

unsigned path_depth(const char *path)
{
	unsigned n = 0;

	if (path[0] == '/' && path[1] == '\0')
		return 0;
	for (; *path; path++)
		n += *path == '/';
	return n;
}
