/* SPDX-License-Identifier: Apache-2.0 */
/* The agreed namespace: entries in, state on. */
#include "cluster/catalog.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/history.h"
#include "cluster/overlay.h"
#include "cluster/volume.h"

struct catalog *catalog_new(void)
{
	struct catalog *c = mem_zalloc(sizeof(*c));

	c->tree = tree_new();
	history_ring_init(&c->history);
	window_init(&c->window);
	return c;
}

static void changes_clear(struct catalog *c)
{
	while (c->n_changes)
		free((char *)c->changes[--c->n_changes].path);
}

void catalog_free(struct catalog **cp)
{
	struct catalog *c = *cp;

	if (!c)
		return;
	changes_clear(c);
	free(c->changes);
	tree_free(&c->tree);
	history_ring_fini(&c->history);
	window_fini(&c->window);
	free(c);
	*cp = NULL;
}

uint64_t catalog_applied(const struct catalog *c)
{
	return c->applied;
}

const struct tree *catalog_tree(const struct catalog *c)
{
	return c->tree;
}

const struct object *catalog_get(const struct catalog *c, const char *path)
{
	return tree_get(c->tree, path);
}

unsigned catalog_level(const struct catalog *c)
{
	const struct object *o = tree_get(c->tree, "/cluster");

	return o ? (unsigned)schema_get_uint(o->type, &o->attrs, "level") : 1;
}

void catalog_skip(struct catalog *c, uint64_t index)
{
	changes_clear(c);
	c->applied = index;
}

bool catalog_find_request(const struct catalog *c, const uint8_t id[16], int *err, uint64_t *index)
{
	const struct answer *a = window_find(&c->window, id);

	if (!a)
		return false;
	*err = a->err;
	*index = a->index;
	return true;
}

static bool known_before(const struct catalog *c, const struct txn *t, struct catalog_result *r)
{
	const struct answer *a = window_find(&c->window, t->request_id);

	if (!a)
		return false;
	r->again = true;
	r->err = a->err;
	r->index = a->index;
	if (a->text)
		why_set(&r->why, 0, "%s", a->text);
	return true;
}

/* What a transaction must be whatever it wants. */
static int well_formed(const struct txn *t, struct why *why)
{
	static const uint8_t none[16];

	if (memcmp(t->request_id, none, sizeof(none)) == 0)
		return why_set(why, ERR_INVAL, "the transaction has no request id");
	if (t->n_ops == 0)
		return why_set(why, ERR_INVAL, "the transaction is empty");
	if (t->n_ops > TXN_OPS_MAX)
		return why_set(why, ERR_LIMIT, "the transaction has %u operations, the most is %d", t->n_ops, TXN_OPS_MAX);
	if ((t->author && !text_ok(t->author, TXN_AUTHOR_MAX)) || (t->node && !text_ok(t->node, TXN_AUTHOR_MAX)) ||
	    (t->message && !text_ok(t->message, TXN_MESSAGE_MAX)))
		return why_set(why, ERR_INVAL, "author or message is too long or not text");
	return 0;
}

/* The changes of the overlay as the result lists them. */
static void changes_take(struct catalog *c, const struct overlay *o)
{
	const struct overlay_item *it = NULL;

	while ((it = overlay_next(o, it))) {
		enum change_kind kind = overlay_kind(it);

		if (!kind)
			continue;
		c->changes = mem_grow(c->changes, &c->cap_changes, c->n_changes, sizeof(*c->changes));
		c->changes[c->n_changes++] = (struct change){ kind, mem_strdup(it->path) };
	}
}

static void commit(struct catalog *c, struct overlay *o, const struct txn *t, struct catalog_result *r)
{
	changes_take(c, o);
	r->changes = c->changes;
	r->n_changes = c->n_changes;
	if (c->n_changes && !o->machine) {
		struct history *h = history_of(o, t, c->n_changes);

		history_push(&c->history, &h);
	}
	overlay_commit(o, c->tree);
}

/* At an old level there may be members that cannot read it: to them it is no transaction, and is skipped. */
static bool too_new(const struct catalog *c, const struct txn *t, struct catalog_result *r)
{
	if (!txn_is_machine(t) || catalog_level(c) >= VOLUME_LEVEL)
		return false;
	r->err = why_set(&r->why, ERR_MALFORMED, "the cluster's level is too old for it");
	return true;
}

void catalog_apply(struct catalog *c, uint64_t index, const struct txn *t, struct catalog_result *r)
{
	struct overlay o;

	changes_clear(c);
	*r = (struct catalog_result){ .index = index };
	c->applied = index;
	if (too_new(c, t, r))
		return;
	r->err = well_formed(t, &r->why);
	if (r->err < 0 || known_before(c, t, r))
		return;
	overlay_init(&o, c->tree, index, catalog_level(c));
	r->err = overlay_run(&o, t, &r->why);
	if (r->err == 0)
		commit(c, &o, t, r);
	overlay_fini(&o);
	window_push(&c->window, t->request_id, index, r->err, r->why.text);
}

void catalog_hash(const struct catalog *c, uint8_t out[32])
{
	static const uint8_t domain[] = "director state 1";
	const struct hash_sum *sums[] = { tree_hash(c->tree), &c->history.sum, &c->window.sum };
	const uint64_t counts[] = { tree_count(c->tree), c->history.n, c->window.n, c->applied };
	crypto_generichash_state st;
	uint8_t b[8];

	crypto_generichash_init(&st, domain, sizeof(domain), 32);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t v = i < 12 ? sums[i / 4]->w[i % 4] : counts[i - 12];

		for (int k = 0; k < 8; k++)
			b[k] = (uint8_t)(v >> (8 * k));
		crypto_generichash_update(&st, b, sizeof(b));
	}
	crypto_generichash_final(&st, out, 32);
}

/* ---- trying ---- */

static void diff_attr_add(struct diff_item *d, const char *key, const char *before, const char *after)
{
	bool secret = schema_secret(d->path, key);

	d->attrs = mem_grow(d->attrs, &d->cap, d->n_attrs, sizeof(*d->attrs));
	d->attrs[d->n_attrs++] = (struct diff_attr){
		.key = mem_strdup(key), .secret = secret,
		.before = mem_strdup(before && secret ? "(secret)" : before),
		.after = mem_strdup(after && secret ? "(secret)" : after),
	};
}

static void diff_attrs(struct diff_item *d, const struct attrs *before, const struct attrs *after)
{
	unsigned i = 0, k = 0;

	/* Two sorted lists, walked together. */
	while (i < before->n || k < after->n) {
		int cmp = i == before->n ? 1 : k == after->n ? -1 : strcmp(before->a[i].key, after->a[k].key);

		if (cmp < 0) {
			diff_attr_add(d, before->a[i].key, before->a[i].value, NULL);
		} else if (cmp > 0) {
			diff_attr_add(d, after->a[k].key, NULL, after->a[k].value);
		} else if (strcmp(before->a[i].value, after->a[k].value) != 0) {
			diff_attr_add(d, after->a[k].key, before->a[i].value, after->a[k].value);
		}
		i += cmp <= 0;
		k += cmp >= 0;
	}
}

static void diff_take(struct diff *d, const struct overlay *o)
{
	static const struct attrs none;
	const struct overlay_item *it = NULL;

	while ((it = overlay_next(o, it))) {
		enum change_kind kind = overlay_kind(it);
		struct diff_item *item;

		if (!kind)
			continue;
		d->items = mem_grow(d->items, &d->cap, d->n, sizeof(*d->items));
		item = &d->items[d->n++];
		*item = (struct diff_item){ .kind = kind, .path = mem_strdup(it->path) };
		diff_attrs(item, it->before ? &it->before->attrs : &none, it->after ? &it->after->attrs : &none);
	}
}

void catalog_check(const struct catalog *c, const struct txn *t, struct catalog_result *r, struct diff *diff)
{
	struct overlay o;

	if (diff)
		*diff = (struct diff){ 0 };
	*r = (struct catalog_result){ .index = c->applied + 1 };
	if (too_new(c, t, r))
		return;
	r->err = well_formed(t, &r->why);
	if (r->err < 0 || known_before(c, t, r))
		return;
	overlay_init(&o, c->tree, c->applied + 1, catalog_level(c));
	r->err = overlay_run(&o, t, &r->why);
	if (diff)
		diff_take(diff, &o);
	overlay_fini(&o);
}

void diff_fini(struct diff *d)
{
	for (unsigned i = 0; i < d->n; i++) {
		for (unsigned k = 0; k < d->items[i].n_attrs; k++) {
			free(d->items[i].attrs[k].key);
			free(d->items[i].attrs[k].before);
			free(d->items[i].attrs[k].after);
		}
		free(d->items[i].attrs);
		free(d->items[i].path);
	}
	free(d->items);
	*d = (struct diff){ 0 };
}

/* As people write it: sizes with their unit, where that is exact. */
static const char *shown(const struct schema_type *type, const char *key, const char *value, char text[32])
{
	const struct schema_param *p = type ? schema_param(type, key) : NULL;
	uint64_t v, back;

	if (!p || p->type != VALUE_SIZE || text_u64_parse(value, &v) < 0)
		return value;
	return text_size_parse(text_size(v, text), &back) == 0 && back == v ? text : value;
}

void diff_text(const struct diff *d, struct buf *out)
{
	for (unsigned i = 0; i < d->n; i++) {
		const struct diff_item *it = &d->items[i];
		const struct schema_type *type = schema_type_of(it->path);
		char x[32], y[32];

		buf_printf(out, "%c %s", it->kind == CHANGE_CREATED ? '+' : it->kind == CHANGE_SET ? '~' : '-', it->path);
		for (unsigned k = 0; it->kind != CHANGE_DELETED && k < it->n_attrs; k++) {
			const struct diff_attr *a = &it->attrs[k];

			if (!a->after)
				buf_printf(out, " %s=%s -> default", a->key, shown(type, a->key, a->before, x));
			else if (a->before)
				buf_printf(out, " %s=%s -> %s", a->key, shown(type, a->key, a->before, x), shown(type, a->key, a->after, y));
			else
				buf_printf(out, " %s=%s", a->key, shown(type, a->key, a->after, x));
		}
		buf_puts(out, "\n");
	}
}

/* ---- looking back ---- */

const struct history *catalog_history(const struct catalog *c, const struct history *after)
{
	return after ? TAILQ_PREV(after, history_list, entry) : TAILQ_LAST(&c->history.list, history_list);
}

const struct history *catalog_commit(const struct catalog *c, uint64_t index)
{
	return history_find(&c->history, index);
}

/* The last commit that touched an attribute which is not set (any more). */
static uint64_t last_reset(const struct catalog *c, const char *path, const char *key)
{
	const struct history *h = NULL;

	while ((h = catalog_history(c, h)))
		for (unsigned i = 0; i < h->ops.n_ops; i++)
			if (strcmp(h->ops.ops[i].path, path) == 0 && attrs_get(&h->ops.ops[i].attrs, key))
				return h->index;
	return 0;
}

int catalog_blame(const struct catalog *c, const char *path, const char *key, struct blame *b)
{
	const struct object *o = tree_get(c->tree, path);

	*b = (struct blame){ 0 };
	if (!o)
		return ERR_NOENT;
	b->index = key ? object_by(o, key) : o->generation;
	if (key && !b->index)
		b->index = last_reset(c, path, key);
	if (b->index)
		b->commit = history_find(&c->history, b->index);
	return 0;
}

/* "commit 17 (root on n2)" */
static int changed_since(const struct catalog *c, uint64_t index, uint64_t by, const char *what, struct why *why)
{
	const struct history *h = history_find(&c->history, by);

	if (!h)
		return why_set(why, ERR_CONFLICT, "commit %" PRIu64 " cannot be undone: %s was changed since", index, what);
	return why_set(why, ERR_CONFLICT, "commit %" PRIu64 " cannot be undone: %s was changed since by commit %" PRIu64
	               " (%s on %s); undo that first", index, what, by, h->author, h->node);
}

/* The last commit that deleted `path`, or something above it; 0: not remembered. */
static uint64_t deleted_by(const struct catalog *c, const char *path)
{
	const struct history *h = NULL;

	while ((h = catalog_history(c, h)))
		for (unsigned i = 0; i < h->ops.n_ops; i++)
			if (h->ops.ops[i].kind == TXN_DELETE && path_below(path, h->ops.ops[i].path))
				return h->index;
	return 0;
}

/* May this operation of the inverse of commit `index` still be done? */
static int undo_op(const struct catalog *c, uint64_t index, const struct txn_op *op, struct why *why)
{
	const struct object *o = tree_get(c->tree, op->path);
	char what[PATH_LEN_MAX + ATTR_KEY_MAX];

	if (op->kind == TXN_CREATE) {
		/* It may stand there because the same commit made it anew; then the inverse deletes it before. */
		if (o && o->created != index)
			return changed_since(c, index, o->created, op->path, why);
		return 0;
	}
	if (!o)
		return changed_since(c, index, deleted_by(c, op->path), op->path, why);
	if (op->kind == TXN_DELETE)
		return o->touched == index ? 0 : changed_since(c, index, o->touched, op->path, why);
	for (unsigned i = 0; i < op->attrs.n; i++) {
		struct blame b;

		catalog_blame(c, op->path, op->attrs.a[i].key, &b);
		if (o->created > index)
			b.index = o->created;
		if (b.index > index) {
			snprintf(what, sizeof(what), "%s of %s", op->attrs.a[i].key, op->path);
			return changed_since(c, index, b.index, what, why);
		}
	}
	return 0;
}

int catalog_undo(const struct catalog *c, uint64_t index, struct txn *t, struct why *why)
{
	const struct history *h = history_find(&c->history, index);

	*t = (struct txn){ 0 };
	if (!h)
		return why_set(why, ERR_NOENT, "there is no commit %" PRIu64 " that is still remembered; "
		               "\"director history\" shows them", index);
	if (h->trimmed)
		return why_set(why, ERR_LIMIT, "commit %" PRIu64 " is too large to be undone", index);
	for (unsigned i = 0; i < h->inverse.n_ops; i++) {
		int err = undo_op(c, index, &h->inverse.ops[i], why);

		if (err < 0)
			return err;
	}
	txn_copy(t, &h->inverse);
	t->base = c->applied;
	t->message = mem_printf("undo %" PRIu64, index);
	return 0;
}
