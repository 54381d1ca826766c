/* SPDX-License-Identifier: Apache-2.0 */
/* The ordered store of agreed objects, its indexes and its hash. */
#include "cluster/tree.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* One object that refers to another. */
struct ref {
	const struct object *o;
	uint64_t size;
	RB_ENTRY(ref) entry;
};

RB_HEAD(ref_tree, ref);

/*
 * One line of the index. The key says which: 'r' and a path, who refers to it; 'f' and a folder, how many
 * objects it holds; 'u', type, parameter and value, who holds it.
 */
struct line {
	char *key;
	struct ref_tree refs;           /* 'r' */
	unsigned n;                     /* 'r', 'f' */
	uint64_t size;                  /* 'r' */
	const struct object *holder;    /* 'u' */
	uint64_t *visits;
	RB_ENTRY(line) entry;
};

RB_HEAD(object_tree, object);
RB_HEAD(uuid_tree, object);
RB_HEAD(line_tree, line);

struct tree {
	struct object_tree objects;
	struct uuid_tree uuids;
	struct line_tree lines;
	unsigned n;
	struct hash_sum sum;
	uint64_t version, removed;
	uint64_t *visits;               /* apart, so that reading a const tree can count */
};

int path_cmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == *b)
		return 0;
	/* The end of a name sorts before all that a name may hold. */
	int x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;

	return x - y;
}

static int object_cmp(const struct object *a, const struct object *b)
{
	if (a->tree)
		(*a->tree->visits)++;
	return path_cmp(a->path, b->path);
}

static int uuid_cmp(const struct object *a, const struct object *b)
{
	if (a->tree)
		(*a->tree->visits)++;
	return memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

static int line_cmp(const struct line *a, const struct line *b)
{
	if (a->visits)
		(*a->visits)++;
	return strcmp(a->key, b->key);
}

static int ref_cmp(const struct ref *a, const struct ref *b)
{
	return path_cmp(a->o->path, b->o->path);
}

/* Not RB_GENERATE_STATIC, which in libbsd relies on a macro that only BSD has. */
RB_GENERATE_INTERNAL(object_tree, object, entry, object_cmp, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(uuid_tree, object, by_uuid, uuid_cmp, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(line_tree, line, entry, line_cmp, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(ref_tree, ref, entry, ref_cmp, __attribute__((unused)) static)

/* ---- the sum ---- */

static uint64_t word_at(const uint8_t *p)
{
	uint64_t w = 0;

	for (int i = 7; i >= 0; i--)
		w = w << 8 | p[i];
	return w;
}

void hash_sum_add(struct hash_sum *s, const uint8_t h[32])
{
	unsigned __int128 carry = 0;

	for (int i = 0; i < 4; i++) {
		carry += (unsigned __int128)s->w[i] + word_at(h + 8 * i);
		s->w[i] = (uint64_t)carry;
		carry >>= 64;
	}
}

void hash_sum_sub(struct hash_sum *s, const uint8_t h[32])
{
	uint64_t borrow = 0;

	for (int i = 0; i < 4; i++) {
		unsigned __int128 sub = (unsigned __int128)word_at(h + 8 * i) + borrow;

		borrow = s->w[i] < sub;
		s->w[i] -= (uint64_t)sub;
	}
}

static void hash_u64(crypto_generichash_state *st, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	crypto_generichash_update(st, b, sizeof(b));
}

static void hash_str(crypto_generichash_state *st, const char *s)
{
	hash_u64(st, strlen(s));
	crypto_generichash_update(st, (const uint8_t *)s, strlen(s));
}

static void object_hash(struct object *o)
{
	static const uint8_t domain[] = "director object 1";
	crypto_generichash_state st;

	crypto_generichash_init(&st, domain, sizeof(domain), sizeof(o->hash));
	hash_str(&st, o->path);
	hash_str(&st, o->type->name);
	crypto_generichash_update(&st, o->uuid, sizeof(o->uuid));
	hash_u64(&st, o->created);
	hash_u64(&st, o->generation);
	hash_u64(&st, o->touched);
	hash_u64(&st, o->attrs.n);
	for (unsigned i = 0; i < o->attrs.n; i++) {
		hash_str(&st, o->attrs.a[i].key);
		hash_str(&st, o->attrs.a[i].value);
		hash_u64(&st, o->by[i]);
	}
	if (o->n_blob) {
		hash_u64(&st, o->n_blob);
		crypto_generichash_update(&st, o->blob, o->n_blob);
	}
	crypto_generichash_final(&st, o->hash, sizeof(o->hash));
}

/* ---- objects ---- */

struct object *object_new(const char *path, const struct schema_type *type)
{
	struct object *o = mem_zalloc(sizeof(*o));

	o->path = mem_strdup(path);
	o->type = type;
	return o;
}

struct object *object_copy(const struct object *from)
{
	struct object *o = object_new(from->path, from->type);

	memcpy(o->uuid, from->uuid, sizeof(o->uuid));
	o->created = from->created;
	o->generation = from->generation;
	o->touched = from->touched;
	attrs_copy(&o->attrs, &from->attrs);
	if (from->attrs.n)
		o->by = mem_dup(from->by, from->attrs.n * sizeof(*o->by));
	object_set_blob(o, from->blob, from->n_blob);
	return o;
}

void object_free(struct object **op)
{
	struct object *o = *op;

	if (!o)
		return;
	free(o->path);
	attrs_fini(&o->attrs);
	free(o->by);
	free(o->blob);
	free(o);
	*op = NULL;
}

/* Where `key` stands, or would. */
static unsigned attr_place(const struct attrs *as, const char *key)
{
	unsigned i = 0;

	while (i < as->n && strcmp(as->a[i].key, key) < 0)
		i++;
	return i;
}

bool object_set(struct object *o, const char *key, const char *value, uint64_t index)
{
	unsigned i = attr_place(&o->attrs, key), n = o->attrs.n;

	if (!attrs_set(&o->attrs, key, value))
		return false;
	if (o->attrs.n > n) {
		o->by = mem_realloc(o->by, o->attrs.n * sizeof(*o->by));
		memmove(o->by + i + 1, o->by + i, (n - i) * sizeof(*o->by));
	} else if (o->attrs.n < n) {
		memmove(o->by + i, o->by + i + 1, (n - i - 1) * sizeof(*o->by));
		return true;
	}
	o->by[i] = index;
	return true;
}

void object_set_blob(struct object *o, const uint8_t *blob, size_t n)
{
	uint8_t *copy = n ? mem_dup(blob, n) : NULL;

	free(o->blob);
	o->blob = copy;
	o->n_blob = n;
}

uint64_t object_by(const struct object *o, const char *key)
{
	unsigned i = attr_place(&o->attrs, key);

	return i < o->attrs.n && strcmp(o->attrs.a[i].key, key) == 0 ? o->by[i] : 0;
}

/* ---- the index ---- */

static struct line *line_find(const struct tree *t, const char *key)
{
	struct line *l = RB_ROOT(&t->lines);

	while (l) {
		int d = strcmp(key, l->key);

		(*t->visits)++;
		if (d == 0)
			return l;
		l = d < 0 ? RB_LEFT(l, entry) : RB_RIGHT(l, entry);
	}
	return NULL;
}

static struct line *line_make(struct tree *t, const char *key)
{
	struct line *l = line_find(t, key);

	if (l)
		return l;
	l = mem_zalloc(sizeof(*l));
	l->key = mem_strdup(key);
	l->visits = t->visits;
	RB_INIT(&l->refs);
	RB_INSERT(line_tree, &t->lines, l);
	return l;
}

static void line_drop(struct tree *t, struct line *l)
{
	RB_REMOVE(line_tree, &t->lines, l);
	free(l->key);
	free(l);
}

#define LINE_KEY_MAX (PATH_LEN_MAX + ATTR_VALUE_MAX + 2 * ATTR_KEY_MAX)

/* Looked up so often that printing keys would be most of it. */
static size_t key_put(char *out, size_t at, size_t max, const char *s)
{
	size_t n = strnlen(s, max - 1 - at);

	memcpy(out + at, s, n);
	out[at + n] = '\0';
	return at + n;
}

static void key_unique(char *out, const struct schema_type *type, const char *key, const char *value)
{
	size_t n;

	out[0] = 'u';
	n = key_put(out, 1, LINE_KEY_MAX - 2, type->name);
	out[n++] = '\037';
	n = key_put(out, n, LINE_KEY_MAX - 1, key);
	out[n++] = '\037';
	key_put(out, n, LINE_KEY_MAX, value);
}

#define PATH_KEY_MAX (PATH_LEN_MAX + 2)

static void key_path(char out[PATH_KEY_MAX], char kind, const char *path)
{
	out[0] = kind;
	key_put(out, 1, PATH_KEY_MAX, path);
}

static void key_folder(char *out, const char *path)
{
	out[0] = 'f';
	path_parent(path, out + 1);
}

static void key_ref(char *out, const struct schema_param *p, const char *value)
{
	out[0] = 'r';
	schema_ref_path(p, value, out + 1);
}

static void ref_add(struct tree *t, const char *key, const struct object *o)
{
	struct line *l = line_make(t, key);
	struct ref *r = mem_zalloc(sizeof(*r));

	r->o = o;
	if (RB_INSERT(ref_tree, &l->refs, r)) {
		free(r);        /* two parameters name the same object: once is enough */
		return;
	}
	r->size = schema_get_uint(o->type, &o->attrs, "size");
	l->n++;
	l->size += r->size;
}

static void ref_remove(struct tree *t, const char *key, const struct object *o)
{
	struct line *l = line_find(t, key);
	struct ref probe = { .o = o }, *r = l ? RB_FIND(ref_tree, &l->refs, &probe) : NULL;

	if (!r)
		return;
	RB_REMOVE(ref_tree, &l->refs, r);
	l->n--;
	l->size -= r->size;
	free(r);
	if (l->n == 0)
		line_drop(t, l);
}

static void index_add(struct tree *t, const struct object *o)
{
	char key[LINE_KEY_MAX];

	for (const struct schema_param *p = o->type->params; p->name; p++) {
		const char *v = p->type == VALUE_REF || (p->flags & PARAM_UNIQUE) ? attrs_get(&o->attrs, p->name) : NULL;

		if (!v)
			continue;
		if (p->type == VALUE_REF) {
			key_ref(key, p, v);
			ref_add(t, key, o);
		} else {
			key_unique(key, o->type, p->name, v);
			line_make(t, key)->holder = o;
		}
	}
	key_folder(key, o->path);
	line_make(t, key)->n++;
}

static void index_remove(struct tree *t, const struct object *o)
{
	char key[LINE_KEY_MAX];
	struct line *l;

	for (const struct schema_param *p = o->type->params; p->name; p++) {
		const char *v = p->type == VALUE_REF || (p->flags & PARAM_UNIQUE) ? attrs_get(&o->attrs, p->name) : NULL;

		if (!v)
			continue;
		if (p->type == VALUE_REF) {
			key_ref(key, p, v);
			ref_remove(t, key, o);
		} else {
			/* Within one transaction a value may move to another object before this one is done. */
			key_unique(key, o->type, p->name, v);
			l = line_find(t, key);
			if (l && l->holder == o)
				line_drop(t, l);
		}
	}
	key_folder(key, o->path);
	l = line_find(t, key);
	if (l && --l->n == 0)
		line_drop(t, l);
}

/* ---- the tree ---- */

struct tree *tree_new(void)
{
	struct tree *t = mem_zalloc(sizeof(*t));

	RB_INIT(&t->objects);
	RB_INIT(&t->uuids);
	RB_INIT(&t->lines);
	t->visits = mem_zalloc(sizeof(*t->visits));
	return t;
}

void tree_free(struct tree **tp)
{
	struct tree *t = *tp;
	struct object *o;
	struct line *l;
	struct ref *r;

	if (!t)
		return;
	while ((l = RB_ROOT(&t->lines))) {
		while ((r = RB_ROOT(&l->refs))) {
			RB_REMOVE(ref_tree, &l->refs, r);
			free(r);
		}
		line_drop(t, l);
	}
	while ((o = RB_ROOT(&t->objects))) {
		RB_REMOVE(object_tree, &t->objects, o);
		object_free(&o);
	}
	free(t->visits);
	free(t);
	*tp = NULL;
}

static struct object *lower_bound(const struct tree *t, const char *path)
{
	struct object *o = RB_ROOT(&t->objects), *best = NULL;

	while (o) {
		int d = path_cmp(path, o->path);

		(*t->visits)++;
		if (d == 0)
			return o;
		if (d < 0) {
			best = o;
			o = RB_LEFT(o, entry);
		} else {
			o = RB_RIGHT(o, entry);
		}
	}
	return best;
}

static struct object *find(const struct tree *t, const char *path)
{
	struct object *o = RB_ROOT(&t->objects);

	while (o) {
		int d = path_cmp(path, o->path);

		(*t->visits)++;
		if (d == 0)
			return o;
		o = d < 0 ? RB_LEFT(o, entry) : RB_RIGHT(o, entry);
	}
	return NULL;
}

static struct object *find_uuid(const struct tree *t, const uint8_t uuid[16])
{
	struct object *o = RB_ROOT(&t->uuids);

	while (o) {
		int d = memcmp(uuid, o->uuid, sizeof(o->uuid));

		(*t->visits)++;
		if (d == 0)
			return o;
		o = d < 0 ? RB_LEFT(o, by_uuid) : RB_RIGHT(o, by_uuid);
	}
	return NULL;
}

static void drop(struct tree *t, struct object *o)
{
	index_remove(t, o);
	if (find_uuid(t, o->uuid) == o)
		RB_REMOVE(uuid_tree, &t->uuids, o);
	hash_sum_sub(&t->sum, o->hash);
	RB_REMOVE(object_tree, &t->objects, o);
	t->n--;
	object_free(&o);
}

void tree_put(struct tree *t, struct object **op)
{
	struct object *o = *op, *old = find(t, o->path);

	*op = NULL;
	t->version++;
	t->removed += old && memcmp(old->uuid, o->uuid, sizeof(o->uuid)) != 0;
	if (old)
		drop(t, old);
	o->tree = t;
	object_hash(o);
	hash_sum_add(&t->sum, o->hash);
	RB_INSERT(object_tree, &t->objects, o);
	RB_INSERT(uuid_tree, &t->uuids, o);
	t->n++;
	index_add(t, o);
}

void tree_remove(struct tree *t, const char *path)
{
	struct object *o = find(t, path);

	if (!o)
		return;
	t->version++;
	t->removed++;
	drop(t, o);
}

const struct object *tree_get(const struct tree *t, const char *path)
{
	return find(t, path);
}

const struct object *tree_by_uuid(const struct tree *t, const uint8_t uuid[16])
{
	return find_uuid(t, uuid);
}

const struct object *tree_first(const struct tree *t, const char *path)
{
	return lower_bound(t, path);
}

const struct object *tree_next(const struct object *o)
{
	(*o->tree->visits)++;
	return RB_NEXT(object_tree, &o->tree->objects, (struct object *)o);
}

const struct object *tree_below(const struct tree *t, const char *top, const struct object *after)
{
	const struct object *o = after ? tree_next(after) : lower_bound(t, top);

	return o && path_below(o->path, top) ? o : NULL;
}

/* The first behind all that is at or below the first `n` bytes of `path`: \002 sorts behind '/' and before all that names hold. */
static const struct object *past(const struct tree *t, const char *path, size_t n)
{
	char key[PATH_LEN_MAX + 2];

	memcpy(key, path, n);
	key[n] = '\002';
	key[n + 1] = '\0';
	return lower_bound(t, key);
}

/* Where the children of `parent` that come behind `after` begin, or one of them. */
static const struct object *child_from(const struct tree *t, const char *parent, size_t len, const struct object *after)
{
	const struct object *o;
	char key[PATH_LEN_MAX + 2];
	size_t n;

	if (!after) {
		memcpy(key, parent, len);
		memcpy(key + len, "/", 2);
		return lower_bound(t, key);
	}
	/* Most have nothing below them. */
	n = strlen(after->path);
	if (after->tree == t) {
		o = tree_next(after);
		if (!o || strncmp(o->path, after->path, n) != 0 || o->path[n] != '/')
			return o;
	}
	return past(t, after->path, n);
}

const struct object *tree_child(const struct tree *t, const char *parent, const struct object *after)
{
	size_t len = strcmp(parent, "/") == 0 ? 0 : strlen(parent);
	const struct object *o = len < PATH_LEN_MAX ? child_from(t, parent, len, after) : NULL;

	while (o && strncmp(o->path, parent, len) == 0 && o->path[len] == '/') {
		size_t n = strcspn(o->path + len + 1, "/");

		if (o->path[len + 1 + n] == '\0')
			return o;
		/* Deeper, below a folder. */
		o = past(t, o->path, len + 1 + n);
	}
	return NULL;
}

unsigned tree_count(const struct tree *t)
{
	return t->n;
}

unsigned tree_count_in(const struct tree *t, const char *folder)
{
	char key[PATH_KEY_MAX];
	const struct line *l;

	key_path(key, 'f', folder);
	l = line_find(t, key);
	return l ? l->n : 0;
}

const struct object *tree_referrer(const struct tree *t, const char *path, const struct object *after)
{
	char key[PATH_KEY_MAX];
	struct line *l;
	struct ref *r, *best = NULL;

	key_path(key, 'r', path);
	l = line_find(t, key);
	for (r = l ? RB_ROOT(&l->refs) : NULL; r; ) {
		(*t->visits)++;
		if (!after || path_cmp(r->o->path, after->path) > 0) {
			best = r;
			r = RB_LEFT(r, entry);
		} else {
			r = RB_RIGHT(r, entry);
		}
	}
	return best ? best->o : NULL;
}

unsigned tree_referrers(const struct tree *t, const char *path, uint64_t *size_sum)
{
	char key[PATH_KEY_MAX];
	const struct line *l;

	key_path(key, 'r', path);
	l = line_find(t, key);
	if (size_sum)
		*size_sum = l ? l->size : 0;
	return l ? l->n : 0;
}

const struct object *tree_holder(const struct tree *t, const struct schema_type *type, const char *key,
                                 const char *value)
{
	char k[LINE_KEY_MAX];
	const struct line *l;

	key_unique(k, type, key, value);
	l = line_find(t, k);
	return l ? l->holder : NULL;
}

const struct hash_sum *tree_hash(const struct tree *t)
{
	return &t->sum;
}

uint64_t tree_version(const struct tree *t)
{
	return t->version;
}

uint64_t tree_removed(const struct tree *t)
{
	return t->removed;
}

uint64_t tree_visits(const struct tree *t)
{
	return *t->visits;
}
