/* SPDX-License-Identifier: Apache-2.0 */
/* The agreed namespace: what applies, what is refused and how, what is remembered, and what it costs. */
#include "cluster/catalog.h"

#include "base/buf.h"
#include "base/rng.h"
#include "tests/unit/txns.h"

static void hash_of(const struct catalog *c, uint8_t out[32])
{
	catalog_hash(c, out);
}

static bool same_state(const struct catalog *a, const struct catalog *b)
{
	uint8_t x[32], y[32];

	hash_of(a, x);
	hash_of(b, y);
	return memcmp(x, y, 32) == 0;
}

static const char *value(const struct catalog *c, const char *path, const char *key)
{
	const struct object *o = catalog_get(c, path);

	return o ? attrs_get(&o->attrs, key) : NULL;
}

static void test_create_set_delete(void)
{
	struct catalog *c = small_cluster();
	const struct object *o = catalog_get(c, "/volumes/v1");

	CHECK(o);
	CHECK_STR(attrs_get(&o->attrs, "size"), "1073741824");
	CHECK_EQ(o->generation, 2);
	CHECK_EQ(o->uuid[6] >> 4, 8);
	APPLY_OK(c, "~ /volumes/v1 size=2G comment=big");
	CHECK_STR(value(c, "/volumes/v1", "size"), "2147483648");
	CHECK_EQ(catalog_get(c, "/volumes/v1")->generation, 4);
	CHECK_EQ(catalog_get(c, "/volumes/v1")->created, 2);
	APPLY_OK(c, "~ /volumes/v1 comment=");
	CHECK(!value(c, "/volumes/v1", "comment"));
	APPLY_OK(c, "- /volumes/v3");
	CHECK(!catalog_get(c, "/volumes/v3"));
	catalog_free(&c);
	CHECK(!c);
}

static void test_whole_or_not_at_all(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_EXIST, "/volumes/v2", "+ /volumes/new size=1G node=n1", "~ /volumes/v1 size=5G",
	            "+ /volumes/v2 size=1G node=n1");
	CHECK(!catalog_get(c, "/volumes/new"));
	CHECK_STR(value(c, "/volumes/v1", "size"), "1073741824");
	catalog_free(&c);
}

static void test_no_change_is_no_commit(void)
{
	struct catalog *c = small_cluster();
	struct catalog_result r = apply(c, txn_of("~ /volumes/v1 size=1024M", NULL));

	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.n_changes, 0);
	CHECK_EQ(catalog_get(c, "/volumes/v1")->generation, 2);
	CHECK(!catalog_commit(c, r.index));
	catalog_free(&c);
}

static void test_references(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_NOENT, "no volume nix", "+ /targets/" IQN "/luns/1 volume=nix");
	APPLY_FAILS(c, ERR_NOENT, "no node n9", "+ /volumes/v9 size=1G node=n9");
	APPLY_FAILS(c, ERR_BUSY, "director lun remove " IQN " 0", "- /volumes/v1");
	APPLY_FAILS(c, ERR_BUSY, "in use by /volumes/v2", "- /nodes/n2");
	APPLY_OK(c, "- /targets/" IQN "/luns/0", "- /volumes/v1");
	APPLY_OK(c, "+ /targets/" IQN "/luns/0 volume=v2");
	/* With its target a lun goes too. */
	APPLY_OK(c, "- /volumes/v2", "- /targets/" IQN);
	CHECK(!catalog_get(c, "/targets/" IQN "/luns/0"));
	CHECK(!catalog_get(c, "/targets/" IQN "/hosts/any"));
	APPLY_OK(c, "- /nodes/n2");
	catalog_free(&c);
}

static void test_volume_made_anew_is_no_longer_the_luns(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_BUSY, "in use by", "- /volumes/v1", "+ /volumes/v1 size=1G node=n1");
	APPLY_OK(c, "- /volumes/v2", "+ /volumes/v2 size=1G node=n3");
	CHECK_STR(value(c, "/volumes/v2", "node"), "n3");
	catalog_free(&c);
}

static void test_owner_must_exist(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_NOENT, "no target iqn.2026-01.org.example:u", "+ /targets/iqn.2026-01.org.example:u/hosts/any");
	APPLY_FAILS(c, ERR_NOENT, "no target", "- /targets/" IQN, "+ /targets/" IQN "/hosts/iqn.2026-01.org.example:h");
	catalog_free(&c);
}

static void test_unique_node_ids(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_EXIST, "taken by /nodes/n1", "+ /nodes/n4 id=00000000000000000000000000000001");
	APPLY_FAILS(c, ERR_EXIST, "the same", "+ /nodes/n4 id=0000000000000000000000000000000a",
	            "+ /nodes/n5 id=0000000000000000000000000000000A");
	/* A node that is renamed keeps its id. */
	APPLY_OK(c, "- /volumes/v3", "- /nodes/n3", "+ /nodes/x3 id=00000000000000000000000000000003");
	APPLY_FAILS(c, ERR_EXIST, "taken by /nodes/x3", "+ /nodes/n3 id=00000000000000000000000000000003");
	catalog_free(&c);
}

static void test_node_id_is_hash_of_key(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_INVAL, "not the hash", "+ /nodes/n4 id=00000000000000000000000000000004 "
	            "key=00000000000000000000000000000000000000000000000000000000000000aa");
	catalog_free(&c);
}

static void test_fixed_at_creation(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_INVAL, "fixed when", "~ /volumes/v1 node=n2");
	APPLY_FAILS(c, ERR_INVAL, "fixed when", "~ /volumes/v1 block-size=4096");
	APPLY_FAILS(c, ERR_INVAL, "allow-shrink=yes", "~ /volumes/v1 size=512M");
	APPLY_OK(c, "~ /volumes/v1 size=512M allow-shrink=yes");
	catalog_free(&c);
}

static void test_chap_rules(void)
{
	struct catalog *c = small_cluster();
	const char *any = "/targets/" IQN "/hosts/any";
	char text[256];

	APPLY_FAILS(c, ERR_INVAL, "needs chap-secret", "~ /targets/" IQN "/hosts/any chap-user=joe");
	APPLY_FAILS(c, ERR_INVAL, "12", "~ /targets/" IQN "/hosts/any chap-user=joe chap-secret=short");
	snprintf(text, sizeof(text), "~ %s chap-user=joe chap-secret=secretsecret1 mutual-user=t mutual-secret=secretsecret1", any);
	APPLY_FAILS(c, ERR_INVAL, "must not be the same", text);
	snprintf(text, sizeof(text), "~ %s chap-user=joe chap-secret=secretsecret1 mutual-user=t mutual-secret=secretsecret2", any);
	APPLY_OK(c, text);
	catalog_free(&c);
}

static void test_preconditions(void)
{
	struct catalog *c = small_cluster();
	struct txn t = txn_of("~ /volumes/v1 size=2G", NULL);
	struct catalog_result r;

	t.ops[0].if_generation = 1;
	r = apply(c, t);
	CHECK_EQ(r.err, ERR_CONFLICT);
	t = txn_of("~ /volumes/v1 size=2G", NULL);
	t.ops[0].if_generation = 2;
	CHECK_EQ(apply(c, t).err, 0);
	/* Based on what was before that change: refused, with the commit that came between. */
	t = txn_of("~ /volumes/v1 size=3G", NULL);
	t.base = 4;
	r = apply(c, t);
	CHECK_EQ(r.err, ERR_CONFLICT);
	CHECK(strstr(r.why.text, "commit 5"));
	/* Another object was not changed since. */
	t = txn_of("~ /volumes/v2 size=3G", NULL);
	t.base = 4;
	CHECK_EQ(apply(c, t).err, 0);
	/* Deleting a target counts what came below it. */
	APPLY_OK(c, "+ /targets/" IQN "/luns/7 volume=v2");
	t = txn_of("- /targets/" IQN, NULL);
	t.base = 4;
	CHECK_EQ(apply(c, t).err, ERR_CONFLICT);
	catalog_free(&c);
}

static void test_request_applied_once(void)
{
	struct catalog *c = small_cluster();
	struct txn t = txn_of("+ /volumes/w size=1G node=n1", NULL), bad = txn_of("- /volumes/nix", NULL);
	struct catalog_result r;
	uint64_t first = catalog_applied(c) + 1, index;
	int err;

	catalog_apply(c, first, &t, &r);
	CHECK_EQ(r.err, 0);
	catalog_apply(c, first + 1, &bad, &r);
	CHECK_EQ(r.err, ERR_NOENT);
	APPLY_OK(c, "- /volumes/w");
	catalog_apply(c, first + 3, &t, &r);
	CHECK_EQ(r.err, 0);
	CHECK(r.again);
	CHECK_EQ(r.index, first);
	CHECK(!catalog_get(c, "/volumes/w"));
	APPLY_OK(c, "+ /volumes/nix size=1G node=n1");
	catalog_apply(c, first + 5, &bad, &r);
	CHECK_EQ(r.err, ERR_NOENT);
	CHECK(r.again);
	CHECK(strstr(r.why.text, "nix"));
	CHECK(catalog_get(c, "/volumes/nix"));
	CHECK(catalog_find_request(c, t.request_id, &err, &index));
	CHECK_EQ(index, first);
	txn_fini(&t);
	txn_fini(&bad);
	catalog_free(&c);
}

static void test_window_is_bounded(void)
{
	struct catalog *c = small_cluster();
	struct txn first = txn_of("~ /volumes/v1 comment=first", NULL);
	struct catalog_result r;
	struct snapshot s;

	catalog_apply(c, 10, &first, &r);
	for (unsigned i = 0; i < WINDOW_MAX; i++)
		apply(c, txn_of("- /volumes/nix", NULL));
	catalog_snapshot(c, &s);
	CHECK_EQ(s.n_requests, WINDOW_MAX);
	snapshot_fini(&s);
	catalog_apply(c, catalog_applied(c) + 1, &first, &r);
	CHECK(!r.again);
	txn_fini(&first);
	catalog_free(&c);
}

static void test_history_is_bounded(void)
{
	struct catalog *c = small_cluster();
	const struct history *h = NULL;
	unsigned n = 0;
	char op[64];

	for (unsigned i = 0; i < HISTORY_MAX + 50; i++) {
		snprintf(op, sizeof(op), "~ /volumes/v1 comment=%u", i);
		APPLY_OK(c, op);
	}
	while ((h = catalog_history(c, h)))
		n++;
	CHECK_EQ(n, HISTORY_MAX);
	CHECK(!catalog_commit(c, 1));
	CHECK(catalog_commit(c, catalog_applied(c)));
	catalog_free(&c);
}

static void test_blame(void)
{
	struct catalog *c = small_cluster();
	struct blame b;

	APPLY_OK(c, "~ /volumes/v1 size=2G");
	APPLY_OK(c, "~ /volumes/v1 comment=hi");
	APPLY_OK(c, "~ /volumes/v1 comment=");
	CHECK_EQ(catalog_blame(c, "/volumes/v1", "size", &b), 0);
	CHECK_EQ(b.index, 4);
	CHECK_STR(b.commit->author, "root");
	CHECK_EQ(catalog_blame(c, "/volumes/v1", "node", &b), 0);
	CHECK_EQ(b.index, 2);
	/* An attribute that was taken away: by whom? */
	CHECK_EQ(catalog_blame(c, "/volumes/v1", "comment", &b), 0);
	CHECK_EQ(b.index, 6);
	CHECK_EQ(catalog_blame(c, "/volumes/v1", NULL, &b), 0);
	CHECK_EQ(b.index, 6);
	CHECK_EQ(catalog_blame(c, "/volumes/v1", "serial", &b), 0);
	CHECK_EQ(b.index, 0);
	CHECK_EQ(catalog_blame(c, "/volumes/nix", NULL, &b), ERR_NOENT);
	catalog_free(&c);
}

static int undo(struct catalog *c, uint64_t index, struct why *why)
{
	static unsigned n;
	struct catalog_result r;
	struct txn t;
	int err = catalog_undo(c, index, &t, why);

	if (err < 0)
		return err;
	snprintf((char *)t.request_id, sizeof(t.request_id), "undo%u", n++);
	catalog_apply(c, catalog_applied(c) + 1, &t, &r);
	if (why)
		*why = r.why;
	txn_fini(&t);
	return r.err;
}

/* Everything that people set, without who and when. */
static void content(const struct catalog *c, struct buf *out)
{
	const struct object *o = NULL;

	buf_reset(out);
	while ((o = tree_below(catalog_tree(c), "/", o))) {
		buf_printf(out, "%s", o->path);
		for (unsigned i = 0; i < o->attrs.n; i++)
			buf_printf(out, " %s=%s", o->attrs.a[i].key, o->attrs.a[i].value);
		buf_puts(out, "\n");
	}
}

static void test_undo_takes_back(void)
{
	static const char *const txns[][3] = {
		{ "+ /volumes/w size=1G node=n1 comment=x" },
		{ "~ /volumes/v1 comment=hello", "~ /cluster name=other" },
		{ "- /targets/" IQN "/luns/0", "- /volumes/v1" },
		{ "- /targets/" IQN },
		{ "+ /targets/iqn.2026-01.org.example:u", "+ /targets/iqn.2026-01.org.example:u/luns/3 volume=v2" },
		{ "- /volumes/v2", "+ /volumes/v2 size=9G node=n1" },
	};
	struct catalog *c = small_cluster();
	struct buf before = { 0 }, after = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(txns); i++) {
		struct why why;
		int err;

		content(c, &before);
		APPLY_OK(c, txns[i][0], txns[i][1], txns[i][2]);
		content(c, &after);
		CHECK(strcmp(buf_str(&before), buf_str(&after)) != 0);
		err = undo(c, catalog_applied(c), &why);
		if (err)
			fprintf(stderr, "undo %zu: %s\n", i, why.text);
		CHECK_EQ(err, 0);
		content(c, &after);
		CHECK_STR(buf_str(&after), buf_str(&before));
	}
	buf_fini(&before);
	buf_fini(&after);
	catalog_free(&c);
}

static void test_undo_refuses_by_name(void)
{
	struct catalog *c = small_cluster();
	uint64_t size, target, volume;
	struct why why;

	APPLY_OK(c, "~ /volumes/v1 comment=a size=4G");
	size = catalog_applied(c);
	APPLY_OK(c, "~ /volumes/v1 comment=b");
	CHECK_EQ(undo(c, size, &why), ERR_CONFLICT);
	CHECK(strstr(why.text, "comment of /volumes/v1"));
	CHECK(strstr(why.text, "commit 5 (root on n1)"));
	APPLY_OK(c, "+ /targets/iqn.2026-01.org.example:u");
	target = catalog_applied(c);
	APPLY_OK(c, "+ /targets/iqn.2026-01.org.example:u/hosts/any");
	CHECK_EQ(undo(c, target, &why), ERR_CONFLICT);
	CHECK(strstr(why.text, "commit 7"));
	APPLY_OK(c, "+ /volumes/w size=1G node=n1");
	volume = catalog_applied(c);
	APPLY_OK(c, "- /volumes/w");
	CHECK_EQ(undo(c, volume, &why), ERR_CONFLICT);
	CHECK(strstr(why.text, "/volumes/w"));
	APPLY_OK(c, "+ /volumes/w size=2G node=n1");
	CHECK_EQ(undo(c, catalog_applied(c) - 1, &why), ERR_CONFLICT);
	CHECK_EQ(undo(c, volume, &why), ERR_CONFLICT);
	CHECK_EQ(undo(c, 4711, &why), ERR_NOENT);
	catalog_free(&c);
}

static void test_undo_gives_way_to_a_change_on_the_way(void)
{
	struct catalog *c = small_cluster();
	struct catalog_result r;
	struct txn t;

	APPLY_OK(c, "~ /volumes/v1 comment=a");
	CHECK_EQ(catalog_undo(c, catalog_applied(c), &t, NULL), 0);
	t.request_id[0] = 7;
	APPLY_OK(c, "~ /volumes/v1 comment=b");
	catalog_apply(c, catalog_applied(c) + 1, &t, &r);
	CHECK_EQ(r.err, ERR_CONFLICT);
	txn_fini(&t);
	catalog_free(&c);
}

static void test_undo_of_a_deletion_needs_its_references(void)
{
	struct catalog *c = small_cluster();
	struct why why;
	uint64_t lun;

	APPLY_OK(c, "- /targets/" IQN "/luns/0");
	lun = catalog_applied(c);
	APPLY_OK(c, "- /volumes/v1");
	CHECK_EQ(undo(c, lun, &why), ERR_NOENT);
	CHECK(strstr(why.text, "no volume v1"));
	catalog_free(&c);
}

static void test_check_touches_nothing(void)
{
	struct catalog *c = small_cluster();
	struct txn t = txn_of("+ /volumes/w size=1G node=n1", "~ /targets/" IQN "/hosts/any chap-user=joe chap-secret=secretsecret1",
	                      "~ /volumes/v2 size=4G", "- /volumes/v3", NULL);
	struct catalog_result r;
	struct diff d;
	struct buf b = { 0 };
	uint8_t before[32], after[32];

	hash_of(c, before);
	catalog_check(c, &t, &r, &d);
	hash_of(c, after);
	CHECK_EQ(r.err, 0);
	CHECK(memcmp(before, after, 32) == 0);
	CHECK_EQ(d.n, 4);
	diff_text(&d, &b);
	CHECK_STR(buf_str(&b),
	          "~ /targets/" IQN "/hosts/any chap-secret=(secret) chap-user=joe\n"
	          "~ /volumes/v2 size=2G -> 4G\n"
	          "- /volumes/v3\n"
	          "+ /volumes/w node=n1 size=1G\n");
	buf_fini(&b);
	diff_fini(&d);
	txn_fini(&t);
	catalog_free(&c);
}

static void test_snapshot_is_the_state(void)
{
	struct catalog *c = small_cluster(), *d = NULL;
	struct snapshot s;

	APPLY_OK(c, "~ /volumes/v1 comment=a");
	apply(c, txn_of("- /volumes/nix", NULL));
	catalog_snapshot(c, &s);
	CHECK_EQ(catalog_load(&d, &s), 0);
	CHECK(same_state(c, d));
	/* And goes on the same. */
	for (int i = 0; i < 2; i++) {
		struct txn t = txn_of("- /targets/" IQN "/luns/0", "- /volumes/v1", NULL);

		memcpy(t.request_id, "the same request", 16);
		t.time_ms = 1;
		CHECK_EQ(apply(i ? d : c, t).err, 0);
	}
	CHECK(same_state(c, d));
	catalog_free(&c);
	catalog_free(&d);
}

static void test_bad_snapshots_are_refused(void)
{
	struct catalog *c = small_cluster(), *d = NULL;
	struct snapshot s;

	catalog_snapshot(c, &s);
	s.hash[0] ^= 1;
	CHECK_EQ(catalog_load(&d, &s), ERR_DIVERGED);
	snapshot_fini(&s);
	catalog_snapshot(c, &s);
	attrs_set(&s.objects[0]->attrs, "name", "changed");
	CHECK_EQ(catalog_load(&d, &s), ERR_DIVERGED);
	snapshot_fini(&s);
	/* A lun without its volume. */
	catalog_snapshot(c, &s);
	for (unsigned i = 0; i < s.n_objects; i++) {
		if (strcmp(s.objects[i]->path, "/volumes/v1") == 0) {
			object_free(&s.objects[i]);
			memmove(s.objects + i, s.objects + i + 1, (--s.n_objects - i) * sizeof(*s.objects));
		}
	}
	CHECK_EQ(catalog_load(&d, &s), ERR_MALFORMED);
	snapshot_fini(&s);
	catalog_snapshot(c, &s);
	attrs_set(&s.objects[0]->attrs, "name", "");
	CHECK_EQ(catalog_load(&d, &s), ERR_MALFORMED);
	snapshot_fini(&s);
	CHECK(!d);
	catalog_free(&c);
}

/* A random operation, often nonsense. */
static void random_op(struct rng *g, struct txn *t)
{
	static const char *const forms[] = {
		"+ /volumes/v%u size=%uM node=n%u", "~ /volumes/v%u size=%uM", "- /volumes/v%u",
		"+ /targets/" IQN "%u", "- /targets/" IQN "%u", "+ /targets/" IQN "%u/luns/%u volume=v%u",
		"- /targets/" IQN "%u/luns/%u", "~ /volumes/v%u comment=c%u", "+ /targets/" IQN "%u/hosts/any",
		"+ /nodes/n%u id=0000000000000000000000000000000%u", "- /nodes/n%u",
	};
	char text[256];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), forms[rng_below(g, ARRAY_LEN(forms))], (unsigned)rng_below(g, 6),
	         (unsigned)rng_below(g, 9) + 1, (unsigned)rng_below(g, 4));
#pragma GCC diagnostic pop
	txn_op_text(t, text);
}

static void node_op(struct txn *t, unsigned k)
{
	char text[128];

	snprintf(text, sizeof(text), "+ /nodes/n%u id=000000000000000000000000000000f%u", k, k);
	txn_op_text(t, text);
}

static void check_links(const struct catalog *c)
{
	const struct object *o = NULL;
	char path[PATH_LEN_MAX];

	while ((o = tree_below(catalog_tree(c), "/", o))) {
		for (const struct schema_param *p = o->type->params; p->name; p++) {
			const char *v = p->type == VALUE_REF ? attrs_get(&o->attrs, p->name) : NULL;

			if (!v)
				continue;
			schema_ref_path(p, v, path);
			CHECK(catalog_get(c, path));
		}
		CHECK(o->created <= o->generation && o->generation <= o->touched);
	}
}

/*
 * Many random transactions on two catalogs, one of them snapshotted and loaded now and then: always the
 * same state, never a dangling reference, a dry run says what apply does, and undoing the newest commit
 * gives back what was.
 */
static void test_random_transactions_agree(void)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct rng g = { seed };
		struct catalog *a = catalog_new(), *b = catalog_new();
		struct buf before = { 0 }, after = { 0 };
		unsigned done = 0;

		for (unsigned i = 1; i < 300; i++) {
			struct txn t = { 0 };
			struct catalog_result try, ra, rb;

			memcpy(t.request_id, &i, sizeof(i));
			t.request_id[15] = 1;
			if (i == 1)
				for (unsigned k = 0; k < 4; k++)
					node_op(&t, k);
			for (unsigned k = 1 + (unsigned)rng_below(&g, 3); i > 1 && k; k--)
				random_op(&g, &t);
			content(a, &before);
			catalog_check(a, &t, &try, NULL);
			catalog_apply(a, 2 * i + 1, &t, &ra);
			catalog_apply(b, 2 * i + 1, &t, &rb);
			CHECK_EQ(try.err, ra.err);
			CHECK_EQ(ra.err, rb.err);
			CHECK(same_state(a, b));
			check_links(a);
			done += ra.n_changes > 0;
			txn_fini(&t);
			if (ra.err == 0 && ra.n_changes && rng_below(&g, 4) == 0 &&
			    catalog_undo(a, ra.index, &t, NULL) == 0) {
				t.request_id[15] = 2;
				memcpy(t.request_id, &i, sizeof(i));
				catalog_apply(a, 2 * i + 2, &t, &ra);
				catalog_apply(b, 2 * i + 2, &t, &rb);
				/* A volume that grew does not shrink again unasked. */
				if (ra.err != ERR_INVAL) {
					CHECK_EQ(ra.err, 0);
					content(a, &after);
					CHECK_STR(buf_str(&after), buf_str(&before));
				}
				txn_fini(&t);
			}
			if (i % 50 == 49) {
				struct snapshot s;

				catalog_snapshot(b, &s);
				CHECK_EQ(catalog_load(&b, &s), 0);
			}
		}
		CHECK(done > 20);
		buf_fini(&before);
		buf_fini(&after);
		catalog_free(&a);
		catalog_free(&b);
	}
}

/* What one more creation costs in compared places, with `n` volumes, targets and luns there. */
static uint64_t cost_of_create(unsigned n)
{
	struct catalog *c = catalog_new();
	uint64_t before;
	char a[256], b[256], l[256];

	APPLY_OK(c, "+ /cluster", "+ /nodes/n1 id=00000000000000000000000000000001");
	for (unsigned i = 0; i < n; i++) {
		snprintf(a, sizeof(a), "+ /volumes/v%u size=1G node=n1", i);
		snprintf(b, sizeof(b), "+ /targets/" IQN "%u", i);
		snprintf(l, sizeof(l), "+ /targets/" IQN "%u/luns/0 volume=v%u", i, i);
		APPLY_OK(c, a, b, l);
	}
	before = tree_visits(catalog_tree(c));
	APPLY_OK(c, "+ /volumes/new size=1G node=n1");
	APPLY_OK(c, "+ /targets/" IQN ":new", "+ /targets/" IQN ":new/luns/0 volume=new");
	APPLY_OK(c, "~ /volumes/new size=2G");
	APPLY_OK(c, "- /targets/" IQN ":new", "- /volumes/new");
	before = tree_visits(catalog_tree(c)) - before;
	catalog_free(&c);
	return before;
}

static void test_cost_follows_the_change(void)
{
	uint64_t small = cost_of_create(10), large = cost_of_create(1000);

	printf("compared: %llu with 10 of each, %llu with 1000\n", (unsigned long long)small, (unsigned long long)large);
	/* A hundred times the objects is about seven levels more of the tree, not a hundred times the work. */
	CHECK(large < 4 * small);
}

static void test_too_large_a_commit_is_remembered_without_its_operations(void)
{
	struct catalog *c = catalog_new();
	struct catalog_result r;
	struct why why;
	struct txn t;
	char op[5000], comment[256];

	APPLY_OK(c, "+ /nodes/n1 id=00000000000000000000000000000001");
	memset(comment, 'x', 255);
	comment[255] = '\0';
	t = txn_of("+ /volumes/a size=1G node=n1", NULL);
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(op, sizeof(op), "+ /volumes/v%u size=1G node=n1 comment=%s", i, comment);
		txn_op_text(&t, op);
	}
	r = apply(c, t);
	CHECK_EQ(r.err, 0);
	CHECK(catalog_commit(c, 2)->trimmed);
	CHECK_EQ(catalog_commit(c, 2)->n_changes, 6001);
	CHECK_EQ(catalog_undo(c, 2, &t, &why), ERR_LIMIT);
	catalog_free(&c);
}

static void test_malformed_transactions(void)
{
	struct catalog *c = small_cluster();
	struct txn t = txn_of("~ /volumes/v1 comment=x", NULL);

	memset(t.request_id, 0, sizeof(t.request_id));
	CHECK_EQ(apply(c, t).err, ERR_INVAL);
	CHECK_EQ(apply(c, txn_of(NULL, NULL)).err, ERR_INVAL);
	APPLY_FAILS(c, ERR_INVAL, "is no path", "~ volumes/v1 comment=x");
	APPLY_FAILS(c, ERR_INVAL, "folder", "+ /volumes");
	APPLY_FAILS(c, ERR_INVAL, "no kind of object", "+ /sandwiches/1");
	APPLY_FAILS(c, ERR_INVAL, "normal form", "+ /targets/IQN.2026-01.org.example:x");
	APPLY_FAILS(c, ERR_INVAL, "reported by nodes", "+ /sessions/1");
	APPLY_FAILS(c, ERR_INVAL, "reported by nodes", "~ /volumes/v1 state=ready");
	APPLY_FAILS(c, ERR_INVAL, "no parameter \"colour\"", "~ /volumes/v1 colour=red");
	catalog_free(&c);
}

int main(void)
{
	RUN(test_create_set_delete);
	RUN(test_whole_or_not_at_all);
	RUN(test_no_change_is_no_commit);
	RUN(test_references);
	RUN(test_volume_made_anew_is_no_longer_the_luns);
	RUN(test_owner_must_exist);
	RUN(test_unique_node_ids);
	RUN(test_node_id_is_hash_of_key);
	RUN(test_fixed_at_creation);
	RUN(test_chap_rules);
	RUN(test_preconditions);
	RUN(test_request_applied_once);
	RUN(test_window_is_bounded);
	RUN(test_history_is_bounded);
	RUN(test_blame);
	RUN(test_undo_takes_back);
	RUN(test_undo_refuses_by_name);
	RUN(test_undo_gives_way_to_a_change_on_the_way);
	RUN(test_undo_of_a_deletion_needs_its_references);
	RUN(test_check_touches_nothing);
	RUN(test_snapshot_is_the_state);
	RUN(test_bad_snapshots_are_refused);
	RUN(test_random_transactions_agree);
	RUN(test_cost_follows_the_change);
	RUN(test_too_large_a_commit_is_remembered_without_its_operations);
	RUN(test_malformed_transactions);
	return 0;
}
