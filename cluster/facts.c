/* SPDX-License-Identifier: Apache-2.0 */
/* The store of observed facts, its digest and its deltas. */
#include "cluster/facts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/said.h"

#define FACTS_NODES_MAX 65536
#define VERSION_MAX (UINT64_MAX >> 1)

/* A fact in the store. The public part comes first, so that one pointer is the other. */
struct entry {
	struct fact fact;               /* its path and attributes are those of `said` */
	struct said *said;
	struct facts_node *owner;       /* NULL: in no index, waits for facts_changed only */
	bool changed;
	RB_ENTRY(entry) by_path, by_version;
	TAILQ_ENTRY(entry) in_changed;
};

RB_HEAD(by_path, entry);
RB_HEAD(by_version, entry);
TAILQ_HEAD(entry_queue, entry);

struct facts_node {
	struct node_id id;
	uint64_t floor, max;
	struct by_version facts;        /* tombstones too */
	unsigned n_facts, n_tombstones;
	size_t bytes;
};

struct facts {
	struct facts_node **nodes;      /* ordered by id */
	unsigned n_nodes, cap_nodes;
	struct facts_node *own;
	struct by_path by_path;         /* tombstones too */
	struct said_pool said;
	struct entry_queue changed;
	struct entry *lent;             /* by facts_changed, when it is in no index any more */
	uint64_t hash, dropped;
	unsigned count;                 /* without tombstones */
	size_t bytes;
};

static int path_cmp(const struct entry *a, const struct entry *b)
{
	int d = strcmp(a->fact.path, b->fact.path);

	return d ? d : node_id_cmp(&a->fact.node, &b->fact.node);
}

static int version_cmp(const struct entry *a, const struct entry *b)
{
	return a->fact.version < b->fact.version ? -1 : a->fact.version > b->fact.version;
}

/* Not RB_GENERATE_STATIC, which in libbsd relies on a macro that only BSD has. */
RB_GENERATE_INTERNAL(by_path, entry, by_path, path_cmp, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(by_version, entry, by_version, version_cmp, __attribute__((unused)) static)

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

/* One writer numbers its writes, so what is held of a node follows from its floor and max. */
static uint64_t node_hash(const struct facts_node *n)
{
	uint64_t w[2];

	/* Nothing held is the same as not known. */
	if (n->max == 0 && n->floor == 0)
		return 0;
	memcpy(w, n->id.b, sizeof(w));
	return mix(mix(mix(mix(0x6661637473u, w[0]), w[1]), n->floor), n->max);
}

static void node_set(struct facts *f, struct facts_node *n, uint64_t floor, uint64_t max)
{
	f->hash ^= node_hash(n);
	n->floor = floor;
	n->max = max;
	f->hash ^= node_hash(n);
}

static unsigned node_index(const struct facts *f, const struct node_id *id)
{
	unsigned lo = 0, hi = f->n_nodes;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (node_id_cmp(&f->nodes[mid]->id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct facts_node *node_find(const struct facts *f, const struct node_id *id)
{
	unsigned i = node_index(f, id);

	return i < f->n_nodes && node_id_eq(&f->nodes[i]->id, id) ? f->nodes[i] : NULL;
}

static struct facts_node *node_add(struct facts *f, const struct node_id *id)
{
	unsigned i = node_index(f, id);
	struct facts_node *n = mem_zalloc(sizeof(*n));

	n->id = *id;
	RB_INIT(&n->facts);
	f->nodes = mem_grow(f->nodes, &f->cap_nodes, f->n_nodes, sizeof(*f->nodes));
	memmove(f->nodes + i + 1, f->nodes + i, (f->n_nodes - i) * sizeof(*f->nodes));
	f->nodes[i] = n;
	f->n_nodes++;
	f->hash ^= node_hash(n);
	return n;
}

size_t fact_bytes(const struct fact *fact)
{
	size_t bytes = 24 + strlen(fact->path);

	for (unsigned i = 0; i < fact->attrs.n; i++)
		bytes += 4 + strlen(fact->attrs.a[i].key) + strlen(fact->attrs.a[i].value);
	return bytes;
}

static void entry_free(struct facts *f, struct entry *e)
{
	said_drop(&f->said, &e->said);
	free(e);
}

/* `path` may be the entry's own. */
static void entry_say(struct facts *f, struct entry *e, const char *path, const struct attrs *attrs)
{
	struct said *old = e->said;

	e->said = said_hold(&f->said, path, attrs);
	e->fact.path = e->said->path;
	e->fact.attrs = e->said->attrs;
	said_drop(&f->said, &old);
}

static void mark_changed(struct facts *f, struct entry *e)
{
	if (!e->changed) {
		e->changed = true;
		TAILQ_INSERT_TAIL(&f->changed, e, in_changed);
	}
}

/* Count an entry in (sign 1) or out (sign -1) of the totals. */
static void account(struct facts *f, struct entry *e, int sign)
{
	struct facts_node *n = e->owner;
	size_t bytes = fact_bytes(&e->fact);

	n->n_facts += (unsigned)sign;
	n->bytes += sign > 0 ? bytes : -bytes;
	f->bytes += sign > 0 ? bytes : -bytes;
	if (e->fact.deleted)
		n->n_tombstones += (unsigned)sign;
	else
		f->count += (unsigned)sign;
}

static void entry_insert(struct facts *f, struct facts_node *n, struct entry *e)
{
	e->owner = n;
	RB_INSERT(by_path, &f->by_path, e);
	RB_INSERT(by_version, &n->facts, e);
	account(f, e, 1);
}

/* Out of both indices. A fact that was true stays for facts_changed, as deleted. */
static void entry_remove(struct facts *f, struct entry *e)
{
	bool was_live = !e->fact.deleted;

	account(f, e, -1);
	RB_REMOVE(by_path, &f->by_path, e);
	RB_REMOVE(by_version, &e->owner->facts, e);
	e->owner = NULL;
	if (!was_live && !e->changed) {
		entry_free(f, e);
		return;
	}
	entry_say(f, e, e->fact.path, NULL);
	e->fact.deleted = true;
	mark_changed(f, e);
}

/* A key to search with; it only lends its path to the comparison. */
static struct entry key_of(const struct node_id *node, const char *path)
{
	struct entry key = { .fact.node = node ? *node : NODE_ID_NONE };

	memcpy(&key.fact.path, &path, sizeof(path));
	return key;
}

static struct entry *entry_at(const struct facts *f, const struct node_id *node, const char *path)
{
	struct entry key = key_of(node, path);

	return RB_FIND(by_path, (struct by_path *)&f->by_path, &key);
}

static void entry_add(struct facts *f, struct facts_node *n, const char *path, uint64_t version,
                      const struct attrs *attrs)
{
	struct entry *e = mem_zalloc(sizeof(*e));

	e->fact = (struct fact){ .node = n->id, .version = version, .deleted = !attrs };
	entry_say(f, e, path, attrs);
	entry_insert(f, n, e);
	if (attrs)
		mark_changed(f, e);
}

/* Write one version of (node, path), in place when there is one already. `attrs` is copied; NULL deletes. */
static void entry_write(struct facts *f, struct facts_node *n, const char *path, uint64_t version,
                        const struct attrs *attrs)
{
	struct entry *e = entry_at(f, &n->id, path);
	bool same;

	if (!e) {
		entry_add(f, n, path, version, attrs);
		return;
	}
	same = attrs ? !e->fact.deleted && attrs_eq(&e->fact.attrs, attrs) : e->fact.deleted;
	account(f, e, -1);
	RB_REMOVE(by_version, &n->facts, e);
	e->fact.version = version;
	e->fact.deleted = !attrs;
	if (!same)
		entry_say(f, e, e->fact.path, attrs);
	RB_INSERT(by_version, &n->facts, e);
	account(f, e, 1);
	if (!same)
		mark_changed(f, e);
}

struct facts *facts_new(const struct node_id *self, uint64_t base)
{
	struct facts *f = mem_zalloc(sizeof(*f));

	RB_INIT(&f->by_path);
	RB_INIT(&f->said);
	TAILQ_INIT(&f->changed);
	f->own = node_add(f, self);
	node_set(f, f->own, base, base);
	return f;
}

void facts_free(struct facts **fp)
{
	struct facts *f = *fp;
	struct entry *e, *next;

	if (!f)
		return;
	RB_FOREACH_SAFE(e, by_path, &f->by_path, next) {
		RB_REMOVE(by_path, &f->by_path, e);
		if (e->changed)
			TAILQ_REMOVE(&f->changed, e, in_changed);
		entry_free(f, e);
	}
	while ((e = TAILQ_FIRST(&f->changed))) {
		TAILQ_REMOVE(&f->changed, e, in_changed);
		entry_free(f, e);
	}
	if (f->lent)
		entry_free(f, f->lent);
	for (unsigned i = 0; i < f->n_nodes; i++)
		free(f->nodes[i]);
	free(f->nodes);
	free(f);
	*fp = NULL;
}

/* May the node itself hold this, in place of `old`? */
static bool own_fits(const struct facts *f, const struct entry *old, const char *path, const struct attrs *attrs)
{
	struct entry e = key_of(NULL, path);
	size_t bytes;

	e.fact.attrs = *attrs;
	bytes = f->own->bytes + fact_bytes(&e.fact) - (old ? fact_bytes(&old->fact) : 0);
	return (old || f->own->n_facts < FACTS_PER_NODE_MAX) && bytes <= FACTS_BYTES_PER_NODE_MAX;
}

int facts_set(struct facts *f, const char *path, const struct attrs *attrs)
{
	struct attrs clean = { 0 };
	struct entry *old;
	int err = 0;

	old = entry_at(f, &f->own->id, path);
	/* Most of what is said was said before. */
	if (old && !old->fact.deleted && attrs_eq(&old->fact.attrs, attrs))
		return 0;
	if (!path_ok(path))
		return ERR_INVAL;
	if (attrs->n > ATTRS_MAX)
		return ERR_LIMIT;
	attrs_merge(&clean, attrs);
	if (old && !old->fact.deleted && attrs_eq(&old->fact.attrs, &clean)) {
		attrs_fini(&clean);
		return 0;
	}
	if (own_fits(f, old, path, &clean)) {
		node_set(f, f->own, f->own->floor, f->own->max + 1);
		entry_write(f, f->own, path, f->own->max, &clean);
	} else {
		err = ERR_LIMIT;
	}
	attrs_fini(&clean);
	return err;
}

/* Drop the tombstones of a node at or below its floor. */
static void purge(struct facts *f, struct facts_node *n)
{
	struct entry *e, *next;

	RB_FOREACH_SAFE(e, by_version, &n->facts, next) {
		if (e->fact.version > n->floor || n->n_tombstones == 0)
			break;
		if (e->fact.deleted)
			entry_remove(f, e);
	}
}

/* Too many own tombstones: the older half goes, and whoever has not seen those starts over. */
static void raise_floor(struct facts *f)
{
	unsigned n = 0;
	struct entry *e;

	RB_FOREACH(e, by_version, &f->own->facts) {
		if (e->fact.deleted && ++n == FACTS_TOMBSTONES_MAX / 2)
			break;
	}
	assert(e);
	node_set(f, f->own, e->fact.version, f->own->max);
	purge(f, f->own);
}

static void delete_own(struct facts *f, struct entry *e)
{
	node_set(f, f->own, f->own->floor, f->own->max + 1);
	entry_write(f, f->own, e->fact.path, f->own->max, NULL);
	if (f->own->n_tombstones > FACTS_TOMBSTONES_MAX)
		raise_floor(f);
}

void facts_delete(struct facts *f, const char *path)
{
	struct entry *e = entry_at(f, &f->own->id, path);

	if (e && !e->fact.deleted)
		delete_own(f, e);
}

static struct entry *skip_tombstones(const struct facts *f, struct entry *e)
{
	while (e && e->fact.deleted)
		e = RB_NEXT(by_path, &f->by_path, e);
	return e;
}

static struct entry *first_live(const struct facts *f, const char *path)
{
	struct entry key = key_of(NULL, path);

	return skip_tombstones(f, RB_NFIND(by_path, (struct by_path *)&f->by_path, &key));
}

void facts_delete_below(struct facts *f, const char *path)
{
	char *top = mem_strdup(path);
	char *low = strcmp(top, "/") == 0 ? mem_strdup("/") : mem_printf("%s/", top);
	struct entry *e, *next;

	facts_delete(f, top);
	for (e = first_live(f, low); e && path_below(e->fact.path, top); e = next) {
		/* A live one, which the purge of tombstones does not take away. */
		next = skip_tombstones(f, RB_NEXT(by_path, &f->by_path, e));
		if (e->owner == f->own)
			delete_own(f, e);
	}
	free(low);
	free(top);
}

uint64_t facts_version(const struct facts *f)
{
	return f->own->max;
}

static const struct fact *fact_of(const struct entry *e)
{
	return e ? &e->fact : NULL;
}

const struct fact *facts_get(const struct facts *f, const struct node_id *node, const char *path)
{
	struct entry *e = entry_at(f, node, path);

	return e && !e->fact.deleted ? &e->fact : NULL;
}

const struct fact *facts_first(const struct facts *f, const char *path)
{
	return fact_of(first_live(f, path));
}

const struct fact *facts_next(const struct facts *f, const struct fact *fact)
{
	struct entry *e = (struct entry *)fact;

	return fact_of(skip_tombstones(f, RB_NEXT(by_path, &f->by_path, e)));
}

const struct fact *facts_after(const struct facts *f, const struct node_id *node, uint64_t after)
{
	struct facts_node *n = node_find(f, node);
	struct entry key = { .fact.version = after + 1 };

	return n ? fact_of(RB_NFIND(by_version, &n->facts, &key)) : NULL;
}

unsigned facts_count(const struct facts *f)
{
	return f->count;
}

size_t facts_bytes(const struct facts *f)
{
	return f->bytes;
}

const struct fact *facts_changed(struct facts *f)
{
	struct entry *e;

	if (f->lent)
		entry_free(f, f->lent);
	f->lent = NULL;
	while ((e = TAILQ_FIRST(&f->changed))) {
		TAILQ_REMOVE(&f->changed, e, in_changed);
		e->changed = false;
		if (e->owner)
			return &e->fact;
		/* Gone, unless it came back since: then that one is in the queue itself. */
		if (!facts_get(f, &e->fact.node, e->fact.path)) {
			f->lent = e;
			return &e->fact;
		}
		entry_free(f, e);
	}
	return NULL;
}

static void node_clear(struct facts *f, struct facts_node *n)
{
	struct entry *e;

	while ((e = RB_ROOT(&n->facts)))
		entry_remove(f, e);
}

void facts_drop_node(struct facts *f, const struct node_id *node)
{
	unsigned i = node_index(f, node);
	struct facts_node *n = i < f->n_nodes ? f->nodes[i] : NULL;

	if (!n || n == f->own || !node_id_eq(&n->id, node))
		return;
	f->dropped++;
	node_clear(f, n);
	f->hash ^= node_hash(n);
	free(n);
	f->n_nodes--;
	memmove(f->nodes + i, f->nodes + i + 1, (f->n_nodes - i) * sizeof(*f->nodes));
}

uint64_t facts_dropped(const struct facts *f)
{
	return f->dropped;
}

uint64_t facts_hash(const struct facts *f)
{
	return f->hash;
}

struct facts_have facts_have(const struct facts *f, const struct node_id *node)
{
	struct facts_node *n = node_find(f, node);

	return n ? (struct facts_have){ n->id, n->floor, n->max } : (struct facts_have){ .node = *node };
}

unsigned facts_nodes(const struct facts *f)
{
	return f->n_nodes;
}

struct facts_have facts_node_at(const struct facts *f, unsigned i)
{
	const struct facts_node *n = f->nodes[i];

	return (struct facts_have){ n->id, n->floor, n->max };
}

size_t facts_delta(const struct facts *f, const struct facts_have *theirs, size_t budget,
                   struct facts_part *part, const struct fact **room, unsigned n_room)
{
	struct facts_node *n = node_find(f, &theirs->node);
	struct entry key = { 0 }, *e;
	size_t bytes = 40;

	if (!n || n_room == 0)
		return 0;
	if (theirs->max >= n->max && theirs->floor >= n->floor)
		return 0;
	/* They are in the middle of starting over from a floor that is not known here: nothing here helps them. */
	if (theirs->floor > n->floor && theirs->max < theirs->floor)
		return 0;
	*part = (struct facts_part){ .node = n->id, .floor = n->floor, .from = theirs->max, .facts = room };
	if (theirs->floor < n->floor && theirs->max < n->floor) {
		part->reset = true;
		part->from = 0;
	}
	part->upto = part->from;
	key.fact.version = part->from + 1;
	for (e = RB_NFIND(by_version, &n->facts, &key); e; e = RB_NEXT(by_version, &n->facts, e)) {
		if (part->n_facts == n_room || (part->n_facts && bytes + fact_bytes(&e->fact) > budget))
			return bytes;
		room[part->n_facts++] = &e->fact;
		part->upto = e->fact.version;
		bytes += fact_bytes(&e->fact);
	}
	if (n->max > part->upto)
		part->upto = n->max;
	return bytes;
}

/* Is the part possible, and what would the node hold after it? */
static int part_check(const struct facts *f, const struct facts_node *n, const struct facts_part *part, bool reset)
{
	size_t bytes = n && !reset ? n->bytes : 0;
	unsigned count = n && !reset ? n->n_facts : 0;
	uint64_t last = part->from;

	if (part->upto < part->from || part->upto > VERSION_MAX || part->floor > VERSION_MAX ||
	    (part->reset && part->from))
		return ERR_MALFORMED;
	for (unsigned i = 0; i < part->n_facts; i++) {
		const struct fact *fact = part->facts[i];
		const struct entry *old = reset ? NULL : entry_at(f, &part->node, fact->path);

		if (fact->version <= last || fact->version > part->upto || (fact->deleted && fact->attrs.n))
			return ERR_MALFORMED;
		last = fact->version;
		bytes += fact_bytes(fact) - (old ? fact_bytes(&old->fact) : 0);
		count += !old;
	}
	return bytes > 2 * FACTS_BYTES_PER_NODE_MAX || count > 2 * FACTS_PER_NODE_MAX ? ERR_LIMIT : 0;
}

int facts_apply(struct facts *f, const struct facts_part *part, bool *news)
{
	struct facts_node *n = node_find(f, &part->node);
	uint64_t floor = n ? n->floor : 0, max = n ? n->max : 0;
	bool reset = part->reset && part->floor > floor && max < part->floor;
	int err;

	*news = false;
	if (n == f->own)
		return ERR_DENIED;
	err = part_check(f, n, part, reset);
	if (err < 0)
		return err;
	if (!n && f->n_nodes >= FACTS_NODES_MAX)
		return ERR_LIMIT;
	if (!reset) {
		/* A gap; or tombstones in it that neither side has any more. */
		if (part->from > max || (part->floor > floor && max < part->floor) ||
		    (part->floor < floor && max < floor))
			return ERR_AGAIN;
		if (part->upto <= max && part->floor <= floor)
			return 0;
	}
	*news = true;
	if (!n)
		n = node_add(f, &part->node);
	if (reset) {
		node_clear(f, n);
		max = 0;
	}
	for (unsigned i = 0; i < part->n_facts; i++) {
		const struct fact *fact = part->facts[i];

		if (fact->version > max)
			entry_write(f, n, fact->path, fact->version, fact->deleted ? NULL : &fact->attrs);
	}
	node_set(f, n, part->floor > floor ? part->floor : floor, part->upto > max ? part->upto : max);
	if (n->max >= n->floor)
		purge(f, n);
	return 0;
}

bool facts_outrun(struct facts *f, const struct facts_have *theirs)
{
	struct facts_node *n = f->own;
	struct entry **live, *e, *next;
	unsigned n_live = 0;
	uint64_t floor;

	if ((theirs->max <= n->max && theirs->floor <= n->floor) || theirs->max > VERSION_MAX / 2)
		return false;
	/* One above: a holder of the former life is then below the floor and starts over. */
	floor = (theirs->max > n->max ? theirs->max : n->max) + 1;
	live = mem_alloc((n->n_facts + 1) * sizeof(*live));
	RB_FOREACH_SAFE(e, by_version, &n->facts, next) {
		if (e->fact.deleted)
			entry_remove(f, e);
		else
			live[n_live++] = e;
	}
	for (unsigned i = 0; i < n_live; i++)
		RB_REMOVE(by_version, &n->facts, live[i]);
	for (unsigned i = 0; i < n_live; i++) {
		live[i]->fact.version = floor + 1 + i;
		RB_INSERT(by_version, &n->facts, live[i]);
	}
	node_set(f, n, floor, floor + n_live);
	free(live);
	return true;
}
