/* SPDX-License-Identifier: Apache-2.0 */
/* The store of facts: reading, changes, digest and delta, tombstones, restarts, limits. */
#include "cluster/facts.h"

#include "base/err.h"
#include "base/rng.h"
#include "tests/unit/check.h"

static struct node_id id(uint8_t n)
{
	return (struct node_id){ { n } };
}

static int set(struct facts *f, const char *path, const char *value)
{
	struct attrs as = { 0 };
	int err;

	attrs_set(&as, "v", value);
	err = facts_set(f, path, &as);
	attrs_fini(&as);
	return err;
}

static const char *get(struct facts *f, uint8_t node, const char *path)
{
	struct node_id n = id(node);
	const struct fact *fact = facts_get(f, &n, path);

	return fact ? attrs_get(&fact->attrs, "v") : NULL;
}

/* All that `to` lacks of what `from` has, in pieces of `budget` bytes. Says how many pieces. */
static unsigned sync(struct facts *from, struct facts *to, size_t budget)
{
	unsigned pieces = 0;

	for (unsigned i = 0; i < facts_nodes(from); i++) {
		struct facts_have mine = facts_node_at(from, i);

		for (;;) {
			struct facts_have theirs = facts_have(to, &mine.node);
			const struct fact *room[64];
			struct facts_part part;
			bool news;
			int err;

			if (!facts_delta(from, &theirs, budget, &part, room, 64))
				break;
			err = facts_apply(to, &part, &news);
			if (err == ERR_DENIED)
				break;
			CHECK_EQ(err, 0);
			CHECK(news);
			pieces++;
			CHECK(pieces < 10000);
		}
	}
	return pieces;
}

static struct facts *store(uint8_t node, uint64_t base)
{
	struct node_id n = id(node);

	return facts_new(&n, base);
}

static void own_facts_are_written_and_read(void)
{
	struct facts *f = store(1, 100);

	CHECK_EQ(set(f, "/nodes/a", "1"), 0);
	CHECK_EQ(facts_version(f), 101);
	CHECK_STR(get(f, 1, "/nodes/a"), "1");
	CHECK_EQ(set(f, "/nodes/a", "1"), 0);
	CHECK_EQ(facts_version(f), 101);
	CHECK_EQ(set(f, "/nodes/a", "2"), 0);
	CHECK_EQ(facts_version(f), 102);
	facts_delete(f, "/nodes/a");
	CHECK(!get(f, 1, "/nodes/a"));
	CHECK_EQ(facts_count(f), 0);
	facts_delete(f, "/nodes/a");
	CHECK_EQ(facts_version(f), 103);
	CHECK_EQ(set(f, "no/slash", "1"), ERR_INVAL);
	facts_free(&f);
	CHECK(!f);
}

static void facts_are_walked_in_order_of_path_and_node(void)
{
	struct facts *a = store(1, 0), *b = store(2, 0);
	const struct fact *f;

	set(a, "/volumes/x", "1");
	set(a, "/nodes/n", "1");
	set(b, "/volumes/x", "2");
	set(b, "/volumes/x/y", "2");
	set(b, "/volumes/gone", "2");
	facts_delete(b, "/volumes/gone");
	sync(b, a, 1000);
	f = facts_first(a, "/volumes");
	CHECK_STR(f->path, "/volumes/x");
	CHECK_EQ(f->node.b[0], 1);
	f = facts_next(a, f);
	CHECK_STR(f->path, "/volumes/x");
	CHECK_EQ(f->node.b[0], 2);
	f = facts_next(a, f);
	CHECK_STR(f->path, "/volumes/x/y");
	CHECK(!facts_next(a, f));
	CHECK_STR(facts_first(a, "/")->path, "/nodes/n");
	facts_free(&a);
	facts_free(&b);
}

static void changes_come_out_once_with_deletions(void)
{
	struct facts *a = store(1, 0), *b = store(2, 0);
	const struct fact *f;
	struct node_id two = id(2);

	set(b, "/x", "1");
	set(b, "/y", "1");
	set(b, "/x", "2");
	sync(b, a, 1000);
	f = facts_changed(a);
	CHECK_STR(f->path, "/y");
	f = facts_changed(a);
	CHECK_STR(f->path, "/x");
	CHECK(!f->deleted);
	CHECK(!facts_changed(a));
	facts_delete(b, "/x");
	sync(b, a, 1000);
	f = facts_changed(a);
	CHECK_STR(f->path, "/x");
	CHECK(f->deleted);
	CHECK(!facts_changed(a));
	facts_drop_node(a, &two);
	f = facts_changed(a);
	CHECK_STR(f->path, "/y");
	CHECK(f->deleted);
	CHECK(!facts_changed(a));
	CHECK_EQ(facts_nodes(a), 1);
	facts_free(&a);
	facts_free(&b);
}

static void stores_converge_in_small_pieces(void)
{
	struct facts *a = store(1, 5), *b = store(2, 9);
	struct rng r = { 7 };
	char path[32], value[32];

	for (unsigned i = 0; i < 3000; i++) {
		struct facts *f = rng_below(&r, 2) ? a : b;

		snprintf(path, sizeof(path), "/p%u", (unsigned)rng_below(&r, 400));
		snprintf(value, sizeof(value), "%u", i);
		if (rng_below(&r, 3))
			set(f, path, value);
		else
			facts_delete(f, path);
		if (rng_below(&r, 50) == 0) {
			sync(a, b, 300);
			sync(b, a, 300);
			CHECK(facts_hash(a) == facts_hash(b));
			CHECK_EQ(facts_count(a), facts_count(b));
			CHECK_EQ(facts_bytes(a), facts_bytes(b));
		}
	}
	while (facts_changed(a) || facts_changed(b))
		;
	facts_free(&a);
	facts_free(&b);
}

static void a_holder_below_the_floor_starts_over_and_keeps_nothing_deleted(void)
{
	struct facts *a = store(1, 0), *b = store(2, 0), *c = store(3, 0);
	char path[32];

	set(a, "/stays", "1");
	set(a, "/goes", "1");
	sync(a, b, 1000);
	facts_delete(a, "/goes");
	for (unsigned i = 0; i < 2 * FACTS_TOMBSTONES_MAX; i++) {
		snprintf(path, sizeof(path), "/t%u", i);
		set(a, path, "1");
		facts_delete(a, path);
	}
	CHECK(facts_node_at(a, 0).floor > facts_have(b, &(struct node_id){ { 1 } }).max);
	sync(a, c, 200);
	/* From the writer in pieces, with an old holder meddling in between. */
	for (unsigned i = 0; i < 2000; i++) {
		struct facts_have theirs = facts_have(b, &(struct node_id){ { 1 } });
		const struct fact *room[4];
		struct facts_part part;
		bool news;

		if (!facts_delta(i % 2 ? a : c, &theirs, 100, &part, room, 4))
			break;
		CHECK_EQ(facts_apply(b, &part, &news), 0);
	}
	CHECK_STR(get(b, 1, "/stays"), "1");
	CHECK(!get(b, 1, "/goes"));
	sync(a, b, 1000);
	sync(a, c, 1000);
	sync(c, b, 1000);
	sync(b, c, 1000);
	CHECK(facts_hash(b) == facts_hash(c));
	facts_free(&a);
	facts_free(&b);
	facts_free(&c);
}

static void a_restart_voids_the_former_life(void)
{
	struct facts *a = store(1, 1000), *b = store(2, 0);
	unsigned gone = 0, same = 0;
	const struct fact *f;

	set(a, "/old", "1");
	set(a, "/same", "1");
	sync(a, b, 1000);
	while (facts_changed(b))
		;
	facts_free(&a);
	a = store(1, 2000);
	set(a, "/same", "1");
	sync(a, b, 1000);
	CHECK(!get(b, 1, "/old"));
	CHECK_STR(get(b, 1, "/same"), "1");
	while ((f = facts_changed(b))) {
		gone += strcmp(f->path, "/old") == 0 && f->deleted;
		same += strcmp(f->path, "/same") == 0 && !f->deleted;
	}
	CHECK_EQ(gone, 1);
	CHECK_EQ(same, 1);
	facts_free(&a);
	facts_free(&b);
}

static void a_base_too_low_heals(void)
{
	struct node_id one = id(1);
	struct facts *a = store(1, 1000), *b = store(2, 0);
	struct facts_have theirs;

	set(a, "/old", "1");
	sync(a, b, 1000);
	facts_free(&a);
	a = store(1, 500);
	set(a, "/new", "1");
	theirs = facts_have(b, &one);
	CHECK(facts_outrun(a, &theirs));
	CHECK(!facts_outrun(a, &theirs));
	sync(a, b, 1000);
	CHECK(!get(b, 1, "/old"));
	CHECK_STR(get(b, 1, "/new"), "1");
	facts_free(&a);
	/* The counter of the new life has passed that of the former, whose floor was higher. */
	a = store(1, 800);
	for (unsigned i = 0; i < 300; i++)
		set(a, i % 2 ? "/x" : "/y", i % 4 ? "1" : "2");
	theirs = facts_have(b, &one);
	CHECK(facts_version(a) <= theirs.max || theirs.floor > 800);
	CHECK(facts_outrun(a, &theirs));
	sync(a, b, 1000);
	CHECK(!get(b, 1, "/new"));
	CHECK(get(b, 1, "/x") != NULL);
	facts_free(&a);
	facts_free(&b);
}

static void bad_parts_change_nothing(void)
{
	struct facts *b = store(2, 0);
	struct fact f1 = { .node = id(1), .path = (char[]){ "/a" }, .version = 5 };
	struct fact f2 = { .node = id(1), .path = (char[]){ "/b" }, .version = 5 };
	const struct fact *two[] = { &f1, &f2 };
	struct facts_part part = { .node = id(1), .upto = 5, .facts = two, .n_facts = 2 };
	uint64_t hash = facts_hash(b);
	bool news;

	CHECK_EQ(facts_apply(b, &part, &news), ERR_MALFORMED);
	f2.version = 7;
	CHECK_EQ(facts_apply(b, &part, &news), ERR_MALFORMED);
	part.upto = 7;
	part.from = 3;
	CHECK_EQ(facts_apply(b, &part, &news), ERR_AGAIN);
	part.from = 0;
	part.node = id(2);
	CHECK_EQ(facts_apply(b, &part, &news), ERR_DENIED);
	CHECK(!news);
	CHECK(facts_hash(b) == hash);
	CHECK_EQ(facts_count(b), 0);
	part.node = id(1);
	CHECK_EQ(facts_apply(b, &part, &news), 0);
	CHECK(news);
	CHECK_EQ(facts_count(b), 2);
	CHECK_EQ(facts_apply(b, &part, &news), 0);
	CHECK(!news);
	facts_free(&b);
}

static void a_node_cannot_hold_without_bound(void)
{
	struct facts *f = store(1, 0);
	char *big = malloc(ATTR_VALUE_MAX), path[32];
	unsigned n = 0;

	memset(big, 'x', ATTR_VALUE_MAX - 1);
	big[ATTR_VALUE_MAX - 1] = '\0';
	for (;; n++) {
		snprintf(path, sizeof(path), "/p%u", n);
		if (set(f, path, big) == ERR_LIMIT)
			break;
		CHECK(n < FACTS_PER_NODE_MAX);
	}
	CHECK(facts_bytes(f) <= FACTS_BYTES_PER_NODE_MAX);
	facts_delete_below(f, "/");
	CHECK_EQ(facts_count(f), 0);
	CHECK_EQ(set(f, path, big), 0);
	free(big);
	facts_free(&f);
}

static void deleting_below_spares_the_neighbours(void)
{
	struct facts *f = store(1, 0);

	set(f, "/a", "1");
	set(f, "/a/b", "1");
	set(f, "/a/c/d", "1");
	set(f, "/a-b", "1");
	set(f, "/ab", "1");
	facts_delete_below(f, "/a");
	CHECK_EQ(facts_count(f), 2);
	CHECK_STR(get(f, 1, "/a-b"), "1");
	CHECK_STR(get(f, 1, "/ab"), "1");
	facts_free(&f);
}

static void what_many_say_alike_is_held_once(void)
{
	struct facts *a = store(1, 0), *b = store(2, 0), *c = store(3, 0);
	struct node_id one = id(1), two = id(2);
	const struct fact *x, *y;

	set(a, "/plugins/file", "ready");
	set(b, "/plugins/file", "ready");
	sync(a, c, 1000);
	sync(b, c, 1000);
	x = facts_get(c, &one, "/plugins/file");
	y = facts_get(c, &two, "/plugins/file");
	CHECK(x && y && x != y && x->path == y->path && x->attrs.a == y->attrs.a);
	set(a, "/plugins/file", "broken");
	sync(a, c, 1000);
	CHECK_STR(get(c, 1, "/plugins/file"), "broken");
	CHECK_STR(get(c, 2, "/plugins/file"), "ready");
	facts_drop_node(c, &two);
	CHECK_STR(get(c, 1, "/plugins/file"), "broken");
	facts_free(&a);
	facts_free(&b);
	facts_free(&c);
}

int main(void)
{
	RUN(own_facts_are_written_and_read);
	RUN(facts_are_walked_in_order_of_path_and_node);
	RUN(changes_come_out_once_with_deletions);
	RUN(stores_converge_in_small_pieces);
	RUN(a_holder_below_the_floor_starts_over_and_keeps_nothing_deleted);
	RUN(a_restart_voids_the_former_life);
	RUN(a_base_too_low_heals);
	RUN(bad_parts_change_nothing);
	RUN(a_node_cannot_hold_without_bound);
	RUN(deleting_below_spares_the_neighbours);
	RUN(what_many_say_alike_is_held_once);
	return 0;
}
