/* SPDX-License-Identifier: Apache-2.0 */
/* The joined view, what follows from it, its events, and what a proposer fills in. */
#include "cluster/names.h"

#include "base/buf.h"
#include "cluster/facts.h"
#include "cluster/place.h"
#include "cluster/prepare.h"
#include "tests/unit/names_world.h"

/* All children of a path, separated by spaces. */
static void children(const struct world *w, const char *path, struct buf *out)
{
	char name[PATH_LEN_MAX], last[PATH_LEN_MAX];
	const char *after = NULL;

	buf_reset(out);
	while (names_child(w->n, path, after, name)) {
		buf_printf(out, "%s%s", out->len ? " " : "", name);
		snprintf(last, sizeof(last), "%s", name);
		after = last;
	}
}

#define CHILDREN(w, path, want) do { \
		struct buf text_ = { 0 }; \
		children(w, path, &text_); \
		CHECK_STR(buf_str(&text_), want); \
		buf_fini(&text_); \
	} while (0)

#define STATUS(w, path, want, words) do { \
		struct names_entry e_ = { 0 }; \
		CHECK_EQ(names_get((w)->n, path, (w)->now, &e_), 0); \
		if (e_.status != (want) || !strstr(e_.reason.text, words)) { \
			fprintf(stderr, "%s:%d: status %d: %s\n", __FILE__, __LINE__, e_.status, e_.reason.text); \
			exit(1); \
		} \
		names_entry_fini(&e_); \
	} while (0)

static void test_children_of_both_sides(void)
{
	struct world w = world_new();

	CHILDREN(&w, "/", "cluster nodes plugins sessions targets tasks volumes");
	CHILDREN(&w, "/volumes", "v1 v2 v3");
	CHILDREN(&w, "/targets/" IQN, "addresses hosts luns portals");
	CHILDREN(&w, "/targets/" IQN "/luns", "0");
	CHILDREN(&w, "/nodes/n1", "devices");
	CHILDREN(&w, "/nodes/n1/devices", "");
	observe(&w, 1, "/volumes/v1 state=ready");
	observe(&w, 1, "/volumes/ghost state=ready");
	observe(&w, 2, "/nodes/n2/devices/sda path=/dev/sda size=100");
	observe(&w, 2, "/nodes/n2/devices/sda-2 path=/dev/sda2 size=100");
	observe(&w, 2, "/sessions/s1 target=" IQN);
	observe(&w, 3, "/sessions/s1 target=" IQN);
	CHILDREN(&w, "/volumes", "ghost v1 v2 v3");
	CHILDREN(&w, "/nodes/n2/devices", "sda sda-2");
	CHILDREN(&w, "/sessions", "s1");
	CHILDREN(&w, "/tasks", "1 2 3");
	/* Names where one is the beginning of the other, with things below. */
	APPLY_OK(w.c, "+ /targets/" IQN "-2", "+ /targets/" IQN "-2/hosts/any");
	observe(&w, 1, "/targets/" IQN " state=ready");
	observe(&w, 1, "/targets/" IQN "-2 state=ready");
	observe(&w, 1, "/targets/" IQN "/luns/0 x=y");
	CHILDREN(&w, "/targets", IQN " " IQN "-2");
	world_free(&w);
}

static int count(void *arg, const struct names_entry *e)
{
	buf_printf(arg, "%s\n", e->path);
	return 0;
}

static void test_walk(void)
{
	struct world w = world_new();
	struct buf b = { 0 };

	CHECK_EQ(names_walk(w.n, "/targets", 3, w.now, count, &b), 0);
	CHECK_STR(buf_str(&b), "/targets\n/targets/" IQN "\n/targets/" IQN "/addresses\n/targets/" IQN "/hosts\n/targets/" IQN "/hosts/any\n"
	          "/targets/" IQN "/luns\n/targets/" IQN "/luns/0\n/targets/" IQN "/portals\n"
	          "/targets/" IQN "/portals/[::]:3260\n");
	buf_reset(&b);
	CHECK_EQ(names_walk(w.n, "/volumes", 0, w.now, count, &b), 0);
	CHECK_STR(buf_str(&b), "/volumes\n");
	CHECK_EQ(names_walk(w.n, "/volumes/nix", 1, w.now, count, &b), ERR_NOENT);
	CHECK_EQ(names_walk(w.n, "/targets/nix/luns", 1, w.now, count, &b), ERR_NOENT);
	buf_fini(&b);
	world_free(&w);
}

static void test_both_sides_of_an_object(void)
{
	struct world w = world_new();
	struct names_entry e = { 0 };
	struct node_id id;

	observe(&w, 2, "/volumes/v2 state=ready applied=2 used=77");
	CHECK_EQ(names_get(w.n, "/volumes/v2", mono_add_ms(w.now, 250), &e), 0);
	CHECK(e.desired);
	CHECK_EQ(e.n_facts, 1);
	CHECK_STR(e.facts[0].node_name, "n2");
	CHECK_EQ(e.facts[0].age_ms, 0);
	id = id_of(2);
	names_node(w.n, &id, "n2", NODE_DEAD, w.now);
	CHECK_EQ(names_get(w.n, "/volumes/v2", mono_add_ms(w.now, 250), &e), 0);
	CHECK_EQ(e.facts[0].age_ms, 250);
	CHECK_STR(names_value(&e, "used"), "77");
	CHECK_STR(names_value(&e, "size"), "2147483648");
	CHECK_STR(names_value(&e, "backstore"), "file");
	CHECK(!names_value(&e, "error"));
	CHECK_EQ(names_get(w.n, "/volumes/nix", w.now, &e), ERR_NOENT);
	CHECK_EQ(names_get(w.n, "nonsense", w.now, &e), ERR_NOENT);
	CHECK_EQ(names_get(w.n, "/nodes/n3", w.now, &e), 0);
	CHECK_STR(names_value(&e, "state"), "alive");
	names_entry_fini(&e);
	world_free(&w);
}

static void test_volume_converges(void)
{
	struct world w = world_new();
	struct node_id n2 = id_of(2);

	STATUS(&w, "/volumes/v2", STATUS_PENDING, "node n2 is at it");
	observe(&w, 2, "/volumes/v2 applied=1");
	STATUS(&w, "/volumes/v2", STATUS_PENDING, "");
	/* Another node's word does not count. */
	observe(&w, 3, "/volumes/v2 applied=9");
	STATUS(&w, "/volumes/v2", STATUS_PENDING, "");
	observe(&w, 2, "/volumes/v2 applied=2");
	STATUS(&w, "/volumes/v2", STATUS_CONVERGED, "");
	APPLY_OK(w.c, "~ /volumes/v2 size=3G");
	STATUS(&w, "/volumes/v2", STATUS_PENDING, "");
	names_node(w.n, &n2, "n2", NODE_DEAD, w.now);
	STATUS(&w, "/volumes/v2", STATUS_PENDING, "node n2 is dead");
	observe(&w, 2, "/volumes/v2 applied=2 error=disk-full");
	STATUS(&w, "/volumes/v2", STATUS_FAILED, "on node n2: disk-full");
	world_free(&w);
}

static void test_target_converges_where_its_volumes_are(void)
{
	struct world w = world_new();

	STATUS(&w, "/targets/" IQN, STATUS_PENDING, "node n1");
	STATUS(&w, "/targets/" IQN "/luns/0", STATUS_PENDING, "node n1");
	observe(&w, 1, "/targets/" IQN " applied=3");
	STATUS(&w, "/targets/" IQN, STATUS_CONVERGED, "");
	STATUS(&w, "/targets/" IQN "/hosts/any", STATUS_CONVERGED, "");
	APPLY_OK(w.c, "+ /targets/" IQN "/luns/1 volume=v2");
	STATUS(&w, "/targets/" IQN "/luns/1", STATUS_PENDING, "n1");
	observe(&w, 1, "/targets/" IQN " applied=4");
	STATUS(&w, "/targets/" IQN "/luns/1", STATUS_PENDING, "n2");
	observe(&w, 2, "/targets/" IQN " applied=4");
	STATUS(&w, "/targets/" IQN "/luns/1", STATUS_CONVERGED, "");
	/* A target without volumes has nobody to wait for. */
	APPLY_OK(w.c, "+ /targets/iqn.2026-01.org.example:empty");
	STATUS(&w, "/targets/iqn.2026-01.org.example:empty", STATUS_CONVERGED, "");
	world_free(&w);
}

static void test_task_of_a_commit(void)
{
	struct world w = world_new();
	struct names_task t;
	struct names_entry e = { 0 };

	CHECK_EQ(names_task(w.n, 2, w.now, &t), 0);
	CHECK_EQ(t.total, 3);
	CHECK_EQ(t.done, 0);
	observe(&w, 1, "/volumes/v1 applied=2");
	observe(&w, 2, "/volumes/v2 applied=2");
	CHECK_EQ(names_task(w.n, 2, w.now, &t), 0);
	CHECK_EQ(t.done, 2);
	CHECK_EQ(t.status, STATUS_PENDING);
	CHECK(strstr(t.reason.text, "/volumes/v3"));
	observe(&w, 3, "/volumes/v3 applied=2");
	CHECK_EQ(names_task(w.n, 2, w.now, &t), 0);
	CHECK_EQ(t.status, STATUS_CONVERGED);
	CHECK_EQ(names_get(w.n, "/tasks/2", w.now, &e), 0);
	CHECK_STR(names_value(&e, "state"), "done");
	CHECK_STR(names_value(&e, "author"), "root");
	CHECK_EQ(names_get(w.n, "/tasks/99", w.now, &e), ERR_NOENT);
	names_entry_fini(&e);
	CHECK_EQ(names_task(w.n, 99, w.now, &t), ERR_NOENT);
	world_free(&w);
}

static void test_canceled_task(void)
{
	struct world w = world_new();
	struct txn t = txn_of("- /volumes/v3", NULL);
	struct names_task task;
	struct names_entry e = { 0 };

	observe(&w, 1, "/volumes/v1 applied=2");
	CHECK_EQ(names_task(w.n, 2, w.now, &task), 0);
	CHECK(!task.canceled);
	CHECK_EQ(names_get(w.n, "/tasks/2", w.now, &e), 0);
	CHECK_STR(names_value(&e, "state"), "running");
	names_entry_fini(&e);
	free(t.message);
	t.message = mem_strdup("cancel task 2");
	CHECK_EQ(apply(w.c, t).err, 0);
	CHECK_EQ(names_task(w.n, 2, w.now, &task), 0);
	CHECK(task.canceled);
	CHECK_EQ(names_get(w.n, "/tasks/2", w.now, &e), 0);
	CHECK_STR(names_value(&e, "state"), "canceled");
	names_entry_fini(&e);
	CHECK_EQ(names_task(w.n, 3, w.now, &task), 0);
	CHECK(!task.canceled);
	world_free(&w);
}

static void test_task_of_a_deletion(void)
{
	struct world w = world_new();
	struct names_task t;

	observe(&w, 1, "/volumes/v1 applied=2");
	observe(&w, 1, "/targets/" IQN " applied=3");
	APPLY_OK(w.c, "- /targets/" IQN "/luns/0", "- /volumes/v1");
	CHECK_EQ(names_task(w.n, 4, w.now, &t), 0);
	CHECK_EQ(t.done, 0);
	observe(&w, 1, "/targets/" IQN " applied=4");
	CHECK_EQ(names_task(w.n, 4, w.now, &t), 0);
	CHECK_EQ(t.done, 1);
	facts_delete(w.f, "/volumes/v1");
	CHECK_EQ(names_task(w.n, 4, w.now, &t), 0);
	CHECK_EQ(t.status, STATUS_CONVERGED);
	world_free(&w);
}

static void test_events_are_numbered_without_holes(void)
{
	struct world w = world_new();
	struct catalog_result r;
	uint64_t seq = names_seq(w.n);
	const struct names_event *e;
	bool gap;

	CHECK(!names_changes_since(w.n, seq, &gap));
	CHECK(!gap);
	r = apply(w.c, txn_of("+ /volumes/w size=1G node=n1", "- /volumes/v3", NULL));
	names_committed(w.n, &r);
	observe(&w, 2, "/volumes/v2 applied=2");
	e = names_changes_since(w.n, seq, &gap);
	CHECK_EQ(e->seq, seq + 1);
	CHECK_EQ(e->kind, EVENT_DELETED);
	CHECK_STR(e->path, "/volumes/v3");
	CHECK_EQ(e->index, r.index);
	e = names_changes_since(w.n, seq + 1, &gap);
	CHECK_EQ(e->kind, EVENT_CREATED);
	e = names_changes_since(w.n, seq + 2, &gap);
	CHECK_EQ(e->kind, EVENT_OBSERVED);
	CHECK_EQ(e->node.b[15], 2);
	CHECK(!names_changes_since(w.n, seq + 3, &gap));
	CHECK(!gap);
	world_free(&w);
}

static void test_lost_events_are_told(void)
{
	struct world w = world_new();
	struct node_id n2 = id_of(2);
	uint64_t seq = names_seq(w.n);
	bool gap;

	for (unsigned i = 0; i < NAMES_EVENTS_MAX; i++)
		names_node(w.n, &n2, "n2", i % 2 ? NODE_ALIVE : NODE_SUSPECT, w.now);
	CHECK(names_changes_since(w.n, seq, &gap));
	CHECK(!gap);
	names_node(w.n, &n2, "n2", NODE_DEAD, w.now);
	CHECK(!names_changes_since(w.n, seq, &gap));
	CHECK(gap);
	CHECK(names_changes_since(w.n, seq + 1, &gap));
	/* A number of another life of the process. */
	CHECK(!names_changes_since(w.n, names_seq(w.n) + 5, &gap));
	CHECK(gap);
	world_free(&w);
}

static int skip(void *arg, const struct names_entry *e)
{
	(void)e;
	++*(unsigned *)arg;
	return 0;
}

/* What one listing of `n` volumes, and one look at a single one of them, compare. */
static void cost_of_listing(unsigned n, uint64_t *list, uint64_t *one)
{
	struct world w = world_new();
	struct names_entry e = { 0 };
	struct txn t = txn_of(NULL, NULL);
	const struct tree *tree = catalog_tree(w.c);
	unsigned seen = 0;
	char op[64], name[PATH_LEN_MAX];

	for (unsigned i = 0; i < n; i++) {
		snprintf(op, sizeof(op), "+ /volumes/w%u size=1G node=n1", i);
		txn_op_text(&t, op);
	}
	CHECK_EQ(apply(w.c, t).err, 0);
	*list = tree_visits(tree);
	CHECK_EQ(names_walk(w.n, "/volumes", 1, w.now, skip, &seen), 0);
	CHECK_EQ(seen, n + 4);
	*list = tree_visits(tree) - *list;
	*one = tree_visits(tree);
	CHECK_EQ(names_get(w.n, "/volumes/w7", w.now, &e), 0);
	CHECK(names_child(w.n, "/volumes", "w7", name));
	*one = tree_visits(tree) - *one;
	names_entry_fini(&e);
	world_free(&w);
}

static void test_listing_costs_by_what_is_listed(void)
{
	uint64_t list10, list1000, one10, one1000;

	cost_of_listing(10, &list10, &one10);
	cost_of_listing(1000, &list1000, &one1000);
	printf("compared: list %llu of 10, %llu of 1000; one %llu, %llu\n", (unsigned long long)list10,
	       (unsigned long long)list1000, (unsigned long long)one10, (unsigned long long)one1000);
	CHECK(list1000 < 100 * 4 * list10);
	CHECK(one1000 < 4 * one10);
}

/* ---- what the proposer fills in ---- */

static struct txn prepared(struct world *w, const char *op)
{
	struct txn t = txn_of(op, NULL);
	struct why why;
	int err = catalog_prepare(w->n, &t, w->now, &why);

	if (err)
		fprintf(stderr, "%s: %s\n", op, why.text);
	CHECK_EQ(err, 0);
	return t;
}

#define PREPARE_FAILS(w, code, words, op) do { \
		struct txn t_ = txn_of(op, NULL); \
		struct why why_; \
		CHECK_EQ(catalog_prepare((w)->n, &t_, (w)->now, &why_), code); \
		if (!strstr(why_.text, words)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, why_.text); \
			exit(1); \
		} \
		txn_fini(&t_); \
	} while (0)

static void spaces(struct world *w)
{
	observe(w, 1, "/nodes/n1 space-total=10000000000 space-free=9000000000");
	observe(w, 2, "/nodes/n2 space-total=20000000000 space-free=19000000000");
	observe(w, 3, "/nodes/n3 space-total=15000000000 space-free=14000000000");
}

static void test_placement_by_space(void)
{
	struct world w = world_new();
	struct node_id n2 = id_of(2);
	struct txn t;

	spaces(&w);
	t = prepared(&w, "+ /volumes/w size=1G");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "node"), "n2");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "size"), "1073741824");
	txn_fini(&t);
	/* What is agreed for a node counts before it is there: 10 G more, and n3 has more left. */
	APPLY_OK(w.c, "+ /volumes/x size=10G node=n2");
	t = prepared(&w, "+ /volumes/w size=1G");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "node"), "n3");
	txn_fini(&t);
	APPLY_OK(w.c, "~ /nodes/n3 drain=yes");
	names_node(w.n, &n2, "n2", NODE_DEAD, w.now);
	t = prepared(&w, "+ /volumes/w size=1G");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "node"), "n1");
	txn_fini(&t);
	PREPARE_FAILS(&w, ERR_NOSPC, "large enough for 100G", "+ /volumes/w size=100G");
	PREPARE_FAILS(&w, ERR_INVAL, "being drained", "+ /volumes/w size=1G node=n3");
	PREPARE_FAILS(&w, ERR_NOENT, "no node n9", "+ /volumes/w size=1G node=n9");
	APPLY_OK(w.c, "~ /nodes/n1 role=witness");
	PREPARE_FAILS(&w, ERR_UNREACHABLE, "none of 3 nodes", "+ /volumes/w size=1G");
	world_free(&w);
}

static void test_placement_spreads_within_a_transaction(void)
{
	struct world w = world_new();
	struct txn t = txn_of("+ /volumes/a size=4G", "+ /volumes/b size=4G", "+ /volumes/c size=4G", NULL);
	struct why why;

	spaces(&w);
	CHECK_EQ(catalog_prepare(w.n, &t, w.now, &why), 0);
	CHECK_STR(attrs_get(&t.ops[0].attrs, "node"), "n2");
	CHECK_STR(attrs_get(&t.ops[1].attrs, "node"), "n2");
	CHECK_STR(attrs_get(&t.ops[2].attrs, "node"), "n3");
	txn_fini(&t);
	world_free(&w);
}

static void test_placement_needs_the_plugin(void)
{
	struct world w = world_new();
	struct txn t;

	spaces(&w);
	observe(&w, 1, "/plugins/file kind=backstore state=ready");
	observe(&w, 1, "/plugins/ram kind=backstore state=ready");
	observe(&w, 2, "/plugins/file kind=backstore state=ready");
	observe(&w, 3, "/plugins/file kind=backstore state=ready");
	t = prepared(&w, "+ /volumes/w size=1G backstore=ram");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "node"), "n1");
	txn_fini(&t);
	PREPARE_FAILS(&w, ERR_NOTSUP, "no backstore \"ram\"", "+ /volumes/w size=1G backstore=ram node=n2");
	PREPARE_FAILS(&w, ERR_NOTSUP, "has the backstore \"rbd\"", "+ /volumes/w size=1G backstore=rbd");
	world_free(&w);
}

static void test_plugin_parameters(void)
{
	struct world w = world_new();
	struct attrs as = { 0 };
	struct txn t;

	attrs_set(&as, "kind", "backstore");
	attrs_set(&as, "param.cache", "size live default=1M min=4096 max=1048576 help=Bytes of cache");
	attrs_set(&as, "param.mode", "enum choices=fast,safe help=How");
	attrs_set(&as, "param.size", "size required");
	CHECK_EQ(facts_set(w.f, "/plugins/file", &as), 0);
	attrs_fini(&as);
	t = prepared(&w, "+ /volumes/w size=1G node=n1 p.cache=64k p.mode=safe");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "p.cache"), "65536");
	txn_fini(&t);
	PREPARE_FAILS(&w, ERR_INVAL, "out of range", "+ /volumes/w size=1G node=n1 p.cache=1G");
	PREPARE_FAILS(&w, ERR_INVAL, "use one of: fast safe", "+ /volumes/w size=1G node=n1 p.mode=slow");
	PREPARE_FAILS(&w, ERR_INVAL, "it has: p.cache p.mode", "+ /volumes/w size=1G node=n1 p.depth=3");
	PREPARE_FAILS(&w, ERR_INVAL, "out of range", "~ /volumes/v1 p.cache=1");
	world_free(&w);
}

static void test_devices(void)
{
	struct world w = world_new();
	struct txn t;

	observe(&w, 2, "/nodes/n2/devices/sdb path=/dev/sdb size=1000000 block-size=512");
	observe(&w, 2, "/nodes/n2/devices/sda path=/dev/sda size=1000000 used-by=ext4");
	t = prepared(&w, "+ /volumes/w node=n2 device=sdb");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "path"), "/dev/sdb");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "backstore"), "block");
	CHECK_STR(attrs_get(&t.ops[0].attrs, "size"), "999936");
	CHECK_EQ(apply(w.c, t).err, 0);
	PREPARE_FAILS(&w, ERR_BUSY, "holds volume w", "+ /volumes/x node=n2 device=sdb");
	PREPARE_FAILS(&w, ERR_BUSY, "in use: ext4", "+ /volumes/x node=n2 device=sda");
	PREPARE_FAILS(&w, ERR_NOENT, "no device sdc", "+ /volumes/x node=n2 device=sdc");
	PREPARE_FAILS(&w, ERR_INVAL, "needs node=", "+ /volumes/x device=sdb");
	PREPARE_FAILS(&w, ERR_INVAL, "whose file", "+ /volumes/x path=/srv/x size=1G");
	world_free(&w);
}

static void test_lowest_free_lun(void)
{
	struct world w = world_new();
	struct txn t = txn_of("+ /targets/" IQN "/luns/auto volume=v2", "+ /targets/" IQN "/luns/1 volume=v3",
	                      "+ /targets/IQN.2026-01.org.example:t/luns/auto volume=v3", NULL);
	struct why why;

	CHECK_EQ(catalog_prepare(w.n, &t, w.now, &why), 0);
	CHECK_STR(t.ops[0].path, "/targets/" IQN "/luns/2");
	CHECK_STR(t.ops[2].path, "/targets/" IQN "/luns/3");
	CHECK_EQ(apply(w.c, t).err, 0);
	world_free(&w);
}

static void test_default_portal(void)
{
	struct world w = world_new();
	struct txn t = prepared(&w, "+ /targets/iqn.2026-01.org.example:P");

	CHECK_EQ(t.n_ops, 2);
	CHECK_STR(t.ops[0].path, "/targets/iqn.2026-01.org.example:p");
	CHECK_STR(t.ops[1].path, "/targets/iqn.2026-01.org.example:p/portals/[::]:3260");
	CHECK_EQ(apply(w.c, t).err, 0);
	APPLY_OK(w.c, "~ /cluster portal=10.0.0.1");
	t = txn_of("+ /targets/iqn.2026-01.org.example:q", NULL);
	CHECK_EQ(catalog_prepare(w.n, &t, w.now, NULL), 0);
	CHECK_STR(t.ops[1].path, "/targets/iqn.2026-01.org.example:q/portals/10.0.0.1:3260");
	txn_fini(&t);
	t = txn_of("+ /targets/iqn.2026-01.org.example:q", "+ /targets/iqn.2026-01.org.example:q/portals/[::1]", NULL);
	CHECK_EQ(catalog_prepare(w.n, &t, w.now, NULL), 0);
	CHECK_EQ(t.n_ops, 2);
	CHECK_STR(t.ops[1].path, "/targets/iqn.2026-01.org.example:q/portals/[::1]:3260");
	txn_fini(&t);
	world_free(&w);
}

#define Q "/targets/iqn.2026-01.org.example:q"

/* The operations of a transaction, when it is prepared: "+ a; - b". */
static char *prepared_text(struct world *w, struct txn t)
{
	static char text[1000];
	struct why why;

	CHECK_EQ(catalog_prepare(w->n, &t, w->now, &why), 0);
	*text = '\0';
	for (unsigned i = 0; i < t.n_ops; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%c %s", i ? "; " : "",
		         t.ops[i].kind == TXN_CREATE ? '+' : t.ops[i].kind == TXN_DELETE ? '-' : '~', t.ops[i].path);
	txn_fini(&t);
	return text;
}

/* What works as commands one after the other works in one transaction. */
static void test_default_portal_deleted_where_it_is_made(void)
{
	struct world w = world_new();

	CHECK_STR(prepared_text(&w, txn_of("+ " Q, "- " Q "/portals/[::]:3260", NULL)), "+ " Q);
	CHECK_STR(prepared_text(&w, txn_of("+ " Q, "- " Q "/portals/[::]", "+ " Q "/portals/10.0.0.1", NULL)), "+ " Q "; + " Q "/portals/10.0.0.1:3260");
	CHECK_STR(prepared_text(&w, txn_of("+ " Q, "+ " Q "/portals/10.0.0.1", "- " Q "/portals/[::]:3260", NULL)),
	          "+ " Q "; + " Q "/portals/10.0.0.1:3260");
	CHECK_STR(prepared_text(&w, txn_of("+ " Q, "- " Q "/portals/[::]:3260", "+ " Q "/portals/[::]:3260", "+ " Q "/portals/10.0.0.1", NULL)),
	          "+ " Q "; + " Q "/portals/[::]:3260; + " Q "/portals/10.0.0.1:3260");
	/* One that is created by name is deleted as any other, and one that is not there is not there. */
	CHECK_STR(prepared_text(&w, txn_of("+ " Q, "+ " Q "/portals/[::]:3260", "- " Q "/portals/[::]:3260", NULL)),
	          "+ " Q "; + " Q "/portals/[::]:3260; - " Q "/portals/[::]:3260");
	CHECK_STR(prepared_text(&w, txn_of("+ " Q, "- " Q "/portals/10.0.0.1:3260", NULL)),
	          "+ " Q "; - " Q "/portals/10.0.0.1:3260; + " Q "/portals/[::]:3260");
	CHECK_STR(prepared_text(&w, txn_of("- " Q "/portals/[::]:3260", NULL)), "- " Q "/portals/[::]:3260");
	/* The transaction says itself what it is. */
	CHECK_STR(prepared_text(&w, txn_of("~ /cluster portal=10.0.0.1", "+ " Q, NULL)), "~ /cluster; + " Q "; + " Q "/portals/10.0.0.1:3260");
	CHECK_STR(prepared_text(&w, txn_of("~ /cluster portal=10.0.0.1", "+ " Q, "- " Q "/portals/10.0.0.1:3260", NULL)), "~ /cluster; + " Q);
	APPLY_OK(w.c, "~ /cluster portal=10.0.0.1");
	CHECK_STR(prepared_text(&w, txn_of("~ /cluster portal=", "+ " Q, NULL)), "~ /cluster; + " Q "; + " Q "/portals/[::]:3260");
	world_free(&w);
}

/* What was deleted while its node is down goes when that returns; nobody is at it before. */
static void test_deleted_while_its_node_is_down(void)
{
	struct world w = world_new();
	struct node_id n2 = id_of(2);
	struct names_entry e = { 0 };

	observe(&w, 2, "/volumes/gone state=ready applied=1");
	CHECK_EQ(names_get(w.n, "/volumes/gone", w.now, &e), 0);
	CHECK(e.status == STATUS_PENDING && strstr(e.reason.text, "on node n2: is being removed"));
	names_entry_fini(&e);
	names_node(w.n, &n2, "n2", NODE_DEAD, w.now);
	e = (struct names_entry){ 0 };
	CHECK_EQ(names_get(w.n, "/volumes/gone", w.now, &e), 0);
	CHECK(e.status == STATUS_PENDING && strstr(e.reason.text, "node n2 is dead, and removes it when it returns"));
	names_entry_fini(&e);
	world_free(&w);
}

#define ADDRESS "/targets/" IQN "/addresses/10.0.0.9-24"

static void address_is(const struct world *w, const char *node, const char *state)
{
	struct names_entry e = { 0 };

	CHECK_EQ(names_get(w->n, ADDRESS, w->now, &e), 0);
	CHECK_STR(attrs_get(&e.derived, "node"), node);
	CHECK_STR(attrs_get(&e.derived, "state"), state);
	names_entry_fini(&e);
}

/* A floating address is at the node that lives and says so, whatever the one before said last. */
static void test_address_is_where_a_living_node_has_it(void)
{
	struct world w = world_new();
	struct node_id n2 = id_of(2);

	APPLY_OK(w.c, "~ /cluster level=2");
	APPLY_OK(w.c, "+ " ADDRESS);
	observe(&w, 2, ADDRESS " state=up node=n2");
	address_is(&w, "n2", "up");
	names_node(w.n, &n2, "n2", NODE_DEAD, w.now);
	address_is(&w, "", "waiting");
	observe(&w, 3, ADDRESS " state=up node=n3");
	address_is(&w, "n3", "up");
	world_free(&w);
}

static void test_fence_is_a_plugin_that_somebody_has(void)
{
	struct world w = world_new();
	struct node_id n3 = id_of(3);
	const char *one = "";
	struct attrs as = { 0 };
	char key[ATTR_KEY_MAX];
	struct txn t;

	APPLY_OK(w.c, "~ /cluster level=2");
	t = prepared(&w, "~ /nodes/n1 fence=whatever");         /* no node has said what it has */
	txn_fini(&t);
	observe(&w, 1, "/plugins/file kind=backstore state=ready");
	PREPARE_FAILS(&w, ERR_NOTSUP, "a fence plugin \"fence-agnet\"; there is: none", "~ /nodes/n1 fence=fence-agnet");
	observe(&w, 2, "/plugins/fence-agent kind=fence state=ready");
	observe(&w, 3, "/plugins/fence-agent kind=fence state=ready");
	observe(&w, 3, "/plugins/fence-other kind=fence state=ready");
	PREPARE_FAILS(&w, ERR_NOTSUP, "there is: fence-agent, fence-other.", "~ /nodes/n1 fence=fence-agnet");
	PREPARE_FAILS(&w, ERR_NOTSUP, "a fence plugin \"file\"", "~ /nodes/n1 fence=file");
	t = prepared(&w, "~ /nodes/n1 fence=fence-agent");
	txn_fini(&t);
	/* Its options go with it. */
	CHECK_STR(prepared_text(&w, txn_of("~ /nodes/n1 fence=", NULL)), "~ /nodes/n1");
	APPLY_OK(w.c, "~ /nodes/n1 fence=fence-agent fence-options=agent=x");
	t = prepared(&w, "~ /nodes/n1 fence=");
	CHECK_EQ(apply(w.c, t).err, 0);
	CHECK(!attrs_get(&catalog_get(w.c, "/nodes/n1")->attrs, "fence-options"));
	attrs_set(&as, "kind", "fence");
	attrs_set(&as, "params", "agent:string note:string");
	CHECK_EQ(facts_set(w.f, "/plugins/fence-agent", &as), 0);
	CHECK(place_option_missing(w.n, "fence-agent", "agents=x ip=agent=1", key));
	CHECK_STR(key, "agent");
	CHECK(!place_option_missing(w.n, "fence-agent", "ip=1  agent=x", key));
	CHECK(!place_option_missing(w.n, "fence-other", "", key));
	attrs_fini(&as);
	facts_delete(w.f, "/plugins/fence-agent");
	CHECK_EQ(place_lack_plugin(w.n, "fence-agent", &one), 1);
	CHECK_STR(one, "n1");
	CHECK_EQ(place_lack_plugin(w.n, "fence-other", &one), 2);
	names_node(w.n, &n3, "n3", NODE_DEAD, w.now);
	CHECK_EQ(place_lack_plugin(w.n, "fence-agent", &one), 1);
	world_free(&w);
}

static void test_level_needs_every_node(void)
{
	struct world w = world_new();

	PREPARE_FAILS(&w, ERR_VERSION, "not known to this version", "~ /cluster level=99");
	world_free(&w);
}

/* Preparing what is prepared changes nothing: a proposal may be made again elsewhere. */
static void test_prepared_stays(void)
{
	struct world w = world_new();
	struct txn t, copy;

	spaces(&w);
	t = prepared(&w, "+ /volumes/w size=1G comment=x");
	txn_copy(&copy, &t);
	CHECK_EQ(catalog_prepare(w.n, &copy, w.now, NULL), 0);
	CHECK_EQ(copy.n_ops, t.n_ops);
	CHECK(attrs_eq(&copy.ops[0].attrs, &t.ops[0].attrs));
	txn_fini(&t);
	txn_fini(&copy);
	world_free(&w);
}

int main(void)
{
	RUN(test_children_of_both_sides);
	RUN(test_walk);
	RUN(test_both_sides_of_an_object);
	RUN(test_volume_converges);
	RUN(test_target_converges_where_its_volumes_are);
	RUN(test_task_of_a_commit);
	RUN(test_canceled_task);
	RUN(test_task_of_a_deletion);
	RUN(test_events_are_numbered_without_holes);
	RUN(test_lost_events_are_told);
	RUN(test_listing_costs_by_what_is_listed);
	RUN(test_placement_by_space);
	RUN(test_placement_spreads_within_a_transaction);
	RUN(test_placement_needs_the_plugin);
	RUN(test_plugin_parameters);
	RUN(test_devices);
	RUN(test_lowest_free_lun);
	RUN(test_default_portal);
	RUN(test_default_portal_deleted_where_it_is_made);
	RUN(test_deleted_while_its_node_is_down);
	RUN(test_address_is_where_a_living_node_has_it);
	RUN(test_fence_is_a_plugin_that_somebody_has);
	RUN(test_level_needs_every_node);
	RUN(test_prepared_stays);
	return 0;
}
