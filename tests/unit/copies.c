/* SPDX-License-Identifier: Apache-2.0 */
/* What a proposer makes of wishes about copies, what moves legs, and how both are shown. */
#include "cluster/move.h"

#include "base/buf.h"
#include "cluster/prepare.h"
#include "cluster/volume.h"
#include "tests/unit/names_world.h"

static struct world copies_world(void)
{
	struct world w = world_new();

	APPLY_OK(w.c, "~ /cluster level=2");
	APPLY_OK(w.c, "- /targets/" IQN, "- /volumes/v1", "- /volumes/v2", "- /volumes/v3");
	observe(&w, 1, "/nodes/n1 space-total=10000000000 space-free=9000000000");
	observe(&w, 2, "/nodes/n2 space-total=20000000000 space-free=19000000000");
	observe(&w, 3, "/nodes/n3 space-total=15000000000 space-free=14000000000");
	return w;
}

static void node_dies(struct world *w, unsigned i)
{
	struct node_id id = id_of(i);
	char name[8];

	snprintf(name, sizeof(name), "n%u", i);
	names_node(w->n, &id, name, NODE_DEAD, w->now);
}

/* Operations as text, without the texts that a person typed: "+ /volumes/v/legs/a node=n1; - …" */
static void ops_text(const struct txn *t, struct buf *out)
{
	static const char *const signs[] = { [TXN_CREATE] = "+", [TXN_SET] = "~", [TXN_DELETE] = "-", [TXN_OWN] = "own" };

	buf_reset(out);
	for (unsigned i = 0; i < t->n_ops; i++) {
		buf_printf(out, "%s%s %s", i ? "; " : "", signs[t->ops[i].kind], t->ops[i].path);
		for (unsigned k = 0; k < t->ops[i].attrs.n; k++)
			buf_printf(out, " %s=%s", t->ops[i].attrs.a[k].key, t->ops[i].attrs.a[k].value);
	}
}

/* Prepare these operations, compare, apply. */
#define DO(w, want, ...) do { \
		struct txn t_ = txn_of(__VA_ARGS__, NULL); \
		struct why why_ = { "" }; \
		struct buf said_ = { 0 }; \
		if (catalog_prepare((w)->n, &t_, (w)->now, &why_) != 0) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, why_.text); \
			exit(1); \
		} \
		ops_text(&t_, &said_); \
		if (*(const char *)(want)) \
			CHECK_STR(buf_str(&said_), want); \
		buf_fini(&said_); \
		{ \
			struct catalog_result r_ = apply((w)->c, t_); \
			if (r_.err) { \
				fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, r_.why.text); \
				exit(1); \
			} \
		} \
	} while (0)

#define REFUSED(w, code, words, ...) do { \
		struct txn t_ = txn_of(__VA_ARGS__, NULL); \
		struct why why_ = { "" }; \
		int err_ = catalog_prepare((w)->n, &t_, (w)->now, &why_); \
		if (err_ != (code) || !strstr(why_.text, words)) { \
			fprintf(stderr, "%s:%d: wanted %s with \"%s\", got %s: %s\n", __FILE__, __LINE__, err_name(code), words, err_name(err_), \
			        why_.text); \
			exit(1); \
		} \
		txn_fini(&t_); \
	} while (0)

static int own(struct world *w, const char *path, enum own_change_kind kind, unsigned node, const char *leg)
{
	static unsigned n;
	const struct object *v = catalog_get(w->c, path);
	struct own_change ch = { .kind = kind, .node = id_of(node) };
	struct own_row row;
	struct txn t = { 0 };

	CHECK(volume_row(catalog_tree(w->c), v, &row));
	memcpy(ch.volume, row.uuid, 16);
	ch.epoch = row.epoch;
	if (leg) {
		char text[PATH_LEN_MAX + 8];

		snprintf(text, sizeof(text), "%s/legs/%s", path, leg);
		memcpy(ch.leg, catalog_get(w->c, text)->uuid, 16);
		ch.turn = own_leg(&row, ch.leg)->turn;
	}
	snprintf((char *)t.request_id, sizeof(t.request_id), "own%u", ++n);
	CHECK_EQ(volume_txn_own(catalog_tree(w->c), &ch, &t), 0);
	return apply(w->c, t).err;
}

/* The next step of what moves, as text; "" for none. It is applied. */
static void step(struct world *w, const char *path, char *out)
{
	struct txn t;
	struct buf b = { 0 };
	char what[MOVE_WHAT_MAX], again[MOVE_WHAT_MAX];
	struct txn u;

	*out = '\0';
	if (!move_next(w->n, catalog_get(w->c, path), &t, what))
		return;
	CHECK(move_next(w->n, catalog_get(w->c, path), &u, again));
	CHECK_STR(what, again);
	txn_fini(&u);
	ops_text(&t, &b);
	snprintf(out, 400, "%s", buf_str(&b));
	buf_fini(&b);
	snprintf((char *)t.request_id, sizeof(t.request_id), "%.15s", what + strlen(what) - (strlen(what) < 15 ? strlen(what) : 15));
	CHECK_EQ(apply(w->c, t).err, 0);
}

#define STEP(w, path, want) do { \
		char text_[400]; \
		step(w, path, text_); \
		CHECK_STR(text_, want); \
	} while (0)

/* ---- creating ---- */

static void test_legs_go_where_there_is_room(void)
{
	struct world w = copies_world();

	DO(&w, "+ /volumes/v copies=2 size=1073741824; + /volumes/v/legs/a node=n2; + /volumes/v/legs/b node=n3", "+ /volumes/v size=1G copies=2");
	/* Legs count: n2 has 4 G less, so n3 comes first. */
	APPLY_OK(w.c, "+ /volumes/x size=5G copies=1", "+ /volumes/x/legs/a node=n2");
	DO(&w, "+ /volumes/u copies=1 size=1073741824; + /volumes/u/legs/a node=n3", "+ /volumes/u size=1G copies=1");
	world_free(&w);
}

static void test_named_nodes(void)
{
	struct world w = copies_world();

	DO(&w, "+ /volumes/v copies=2 size=1073741824; + /volumes/v/legs/a node=n1; + /volumes/v/legs/b node=n3", "+ /volumes/v size=1G node=N1,n3");
	DO(&w, "+ /volumes/u copies=1 size=1073741824; + /volumes/u/legs/a node=n1", "+ /volumes/u size=1G copies=1 node=n1");
	REFUSED(&w, ERR_INVAL, "n1 has a copy already", "+ /volumes/t size=1G copies=2 node=n1,n1");
	REFUSED(&w, ERR_INVAL, "2 copies need 2 nodes, and 1 is named", "+ /volumes/t size=1G copies=2 node=n1");
	REFUSED(&w, ERR_INVAL, "3 nodes are named for 2 copies", "+ /volumes/t size=1G copies=2 node=n1,n2,n3");
	REFUSED(&w, ERR_NOENT, "no node n9", "+ /volumes/t size=1G node=n1,n9");
	APPLY_OK(w.c, "~ /nodes/n3 role=witness");
	REFUSED(&w, ERR_INVAL, "n3 is a witness", "+ /volumes/t size=1G node=n1,n3");
	node_dies(&w, 2);
	REFUSED(&w, ERR_UNREACHABLE, "n2 is not up", "+ /volumes/t size=1G node=n1,n2");
	world_free(&w);
}

static void test_too_few_nodes_says_who_is_not_taken(void)
{
	struct world w = copies_world();

	APPLY_OK(w.c, "~ /nodes/n3 role=witness", "~ /nodes/n1 drain=yes");
	REFUSED(&w, ERR_NOSPC, "there are 3 nodes; n1 is being drained; n3 is a witness", "+ /volumes/t size=1G copies=2");
	APPLY_OK(w.c, "~ /nodes/n1 drain=no");
	REFUSED(&w, ERR_NOSPC, "n1 is too small", "+ /volumes/t size=14G copies=2");
	REFUSED(&w, ERR_INVAL, "range", "+ /volumes/t size=1G copies=4");
	world_free(&w);
}

static void test_storage_goes_to_the_legs(void)
{
	struct world w = copies_world();

	DO(&w, "+ /volumes/v copies=1 size=1048576; + /volumes/v/legs/a backstore=ram node=n1 p.x=1", "+ /volumes/v size=1M copies=1 backstore=ram p.x=1");
	REFUSED(&w, ERR_INVAL, "a file or device is a leg's", "+ /volumes/u size=1M copies=1 path=/srv/x");
	REFUSED(&w, ERR_INVAL, "p.x is a leg's", "~ /volumes/v p.x=2");
	REFUSED(&w, ERR_INVAL, "size is missing", "+ /volumes/u copies=2");
	world_free(&w);
}

static void test_legs_that_are_named_one_by_one(void)
{
	struct world w = copies_world();

	observe(&w, 1, "/nodes/n1/devices/sdb path=/dev/sdb size=2000000000 block-size=512");
	observe(&w, 2, "/nodes/n2/devices/sdb path=/dev/sdb size=1000000 block-size=512");
	DO(&w, "+ /volumes/v copies=2 size=1073741824; + /volumes/v/legs/a backstore=block device=sdb node=n1 path=/dev/sdb; + /volumes/v/legs/b node=n2",
	   "+ /volumes/v size=1G copies=2", "+ /volumes/v/legs/a node=n1 device=sdb");
	REFUSED(&w, ERR_BUSY, "/dev/sdb of node n1 holds", "+ /volumes/u size=1G copies=1", "+ /volumes/u/legs/a node=n1 device=sdb");
	REFUSED(&w, ERR_NOSPC, "smaller than", "+ /volumes/u size=1G copies=1", "+ /volumes/u/legs/a node=n2 device=sdb");
	REFUSED(&w, ERR_INVAL, "volume convert", "+ /volumes/v/legs/c node=n3");
	world_free(&w);
}

static void test_striped(void)
{
	struct world w = copies_world();
	unsigned legs[4] = { 0 };
	const struct object *v;

	DO(&w, "", "+ /volumes/s size=2998272000 stripe=3 copies=2 block-size=4096 backstore=file");
	for (unsigned k = 0; (v = volume_shard(catalog_tree(w.c), catalog_get(w.c, "/volumes/s"), k)); k++) {
		const struct object *leg = NULL;

		CHECK_STR(attrs_get(&v->attrs, "size"), "1000341504");
		CHECK_STR(attrs_get(&v->attrs, "block-size"), "4096");
		CHECK_STR(attrs_get(&v->attrs, "part-of"), "s");
		while ((leg = volume_leg(catalog_tree(w.c), v, leg)))
			legs[attrs_get(&leg->attrs, "node")[1] - '0']++;
	}
	/* Two on each node. */
	CHECK(legs[1] == 2 && legs[2] == 2 && legs[3] == 2);
	REFUSED(&w, ERR_INVAL, "part of s", "- /volumes/s.1");
	REFUSED(&w, ERR_INVAL, "part of s", "~ /volumes/s.1 size=2G");
	REFUSED(&w, ERR_INVAL, "part of s", "+ /targets/" IQN, "+ /targets/" IQN "/luns/0 volume=s.1");
	DO(&w, "~ /volumes/s size=6291456000; ~ /volumes/s.0 size=2097152000; ~ /volumes/s.1 size=2097152000; ~ /volumes/s.2 size=2097152000",
	   "~ /volumes/s size=6000M");
	DO(&w, "- /volumes/s; - /volumes/s.0; - /volumes/s.1; - /volumes/s.2", "- /volumes/s");
	CHECK(!catalog_get(w.c, "/volumes/s.0/legs/a"));
	world_free(&w);
}

static void test_striped_over_named_nodes(void)
{
	struct world w = copies_world();

	DO(&w, "+ /volumes/s copies=1 size=2097152 stripe=2; + /volumes/s.0 copies=1 part-of=s size=1048576; + /volumes/s.0/legs/a node=n3; "
	   "+ /volumes/s.1 copies=1 part-of=s size=1048576; + /volumes/s.1/legs/a node=n1", "+ /volumes/s size=2M stripe=2 node=n3,n1");
	world_free(&w);
}

/* It is named, and not that there were no room. */
static void test_unknown_backstore(void)
{
	struct world w = copies_world();

	for (unsigned i = 1; i <= 3; i++)
		observe(&w, i, "/plugins/file state=ready");
	REFUSED(&w, ERR_NOTSUP, "no node that is up has the backstore \"bloc\"", "+ /volumes/v size=1G copies=2 backstore=bloc");
	observe(&w, 2, "/plugins/bloc state=ready");
	REFUSED(&w, ERR_NOSPC, "n1 lacks the backstore", "+ /volumes/v size=1G copies=2 backstore=bloc");
	world_free(&w);
}

static void test_old_level_says_why(void)
{
	struct world w = world_new();

	REFUSED(&w, ERR_INVAL, "copies needs level 2 of the cluster, which has 1", "+ /volumes/v size=1G copies=2");
	world_free(&w);
}

/* ---- converting ---- */

static void test_convert(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=1 node=n1 backstore=ram");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	DO(&w, "~ /volumes/v copies=2; + /volumes/v/legs/b backstore=ram node=n3", "~ /volumes/v copies=2 node=n3");
	/* The owner's stays, whichever was first. */
	DO(&w, "~ /volumes/v copies=1", "~ /volumes/v copies=1");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/b");
	STEP(&w, "/volumes/v", "");
	DO(&w, "~ /volumes/v copies=3; + /volumes/v/legs/b backstore=ram node=n2; + /volumes/v/legs/c backstore=ram node=n3", "~ /volumes/v copies=3");
	CHECK_EQ(own(&w, "/volumes/v", OWN_IN, 0, "c"), 0);
	CHECK_EQ(own(&w, "/volumes/v", OWN_OUT, 0, "a"), 0);
	DO(&w, "~ /volumes/v copies=1", "~ /volumes/v copies=1");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/b");
	/* The only one with all data stays until another has it. */
	STEP(&w, "/volumes/v", "");
	DO(&w, "~ /volumes/v copies=2", "~ /volumes/v copies=2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_IN, 0, "a"), 0);
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 3, NULL), 0);
	REFUSED(&w, ERR_BUSY, "volume convert v --copies N", "- /volumes/v/legs/a");
	DO(&w, "~ /volumes/v copies=1", "~ /volumes/v copies=1");
	/* What serves it must need it no more before its storage goes. */
	STEP(&w, "/volumes/v", "own /volumes/v");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/a");
	STEP(&w, "/volumes/v", "");
	world_free(&w);
}

/* Which copies stay, and where further ones come, is what people say; never something else without a word. */
static void test_convert_to_nodes_that_are_named(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=3 node=n1,n2,n3");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	REFUSED(&w, ERR_INVAL, "2 copies, and 1 node is named", "~ /volumes/v copies=2 node=n1");
	REFUSED(&w, ERR_INVAL, "named twice", "~ /volumes/v copies=2 node=n1,n1");
	REFUSED(&w, ERR_INVAL, "node n4 has no copy", "~ /volumes/v copies=2 node=n1,n4");
	/* Two go, that of the owner first. */
	DO(&w, "~ /volumes/v copies=1; ~ /volumes/v/legs/b replaces=a; ~ /volumes/v/legs/c replaces=b", "~ /volumes/v copies=1 node=n3");
	STEP(&w, "/volumes/v", "~ /volumes/v want=n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 2, NULL), 0);
	STEP(&w, "/volumes/v", "own /volumes/v");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/a; ~ /volumes/v/legs/b replaces=");
	STEP(&w, "/volumes/v", "~ /volumes/v want=n3");
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 3, NULL), 0);
	STEP(&w, "/volumes/v", "own /volumes/v");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/b; ~ /volumes/v/legs/c replaces=");
	STEP(&w, "/volumes/v", "");
	REFUSED(&w, ERR_INVAL, "none of them on node n1; for that: director volume move v --leg LEG --to n1", "~ /volumes/v copies=1 node=n1");
	REFUSED(&w, ERR_INVAL, "2 further copies need 2 nodes, and 1 is named", "~ /volumes/v copies=3 node=n1");
	REFUSED(&w, ERR_INVAL, "1 of 2 copies, and 2 nodes are named", "~ /volumes/v copies=2 node=n1,n2");
	REFUSED(&w, ERR_INVAL, "node is fixed", "~ /volumes/v node=n1,n2");
	/* All that shall have one, or those that are to come. */
	DO(&w, "~ /volumes/v copies=2; + /volumes/v/legs/a node=n2", "~ /volumes/v copies=2 node=n3,n2");
	REFUSED(&w, ERR_BUSY, "leg a is not in sync", "~ /volumes/v copies=1 node=n2");
	REFUSED(&w, ERR_INVAL, "none of them on node n1", "~ /volumes/v copies=2 node=n1,n2");
	DO(&w, "~ /volumes/v copies=2", "~ /volumes/v copies=2 node=n2,n3");
	REFUSED(&w, ERR_NOENT, "no leg z", "~ /volumes/v/legs/a replaces=z");
	REFUSED(&w, ERR_INVAL, "cannot replace itself", "~ /volumes/v/legs/a replaces=a");
	world_free(&w);
}

/* Its storage becomes the leg of its node, in sync; what people said of it goes there too. */
static void test_convert_of_a_plain_one(void)
{
	struct world w = copies_world();
	const struct object *v, *leg;
	struct own_row row;

	APPLY_OK(w.c, "+ /volumes/p size=1G node=n1 p.thin=no comment=mine");
	REFUSED(&w, ERR_NOTSUP, "when every node of the cluster runs a version", "~ /volumes/p copies=2");
	APPLY_OK(w.c, "~ /cluster level=3");
	REFUSED(&w, ERR_INVAL, "one after the other", "~ /volumes/p copies=2 size=2G");
	DO(&w, "~ /volumes/p copies=2; + /volumes/p/legs/a node=n1 p.thin=no; + /volumes/p/legs/b node=n2 p.thin=no", "~ /volumes/p copies=2");
	v = catalog_get(w.c, "/volumes/p");
	CHECK(!attrs_get(&v->attrs, "node") && !attrs_get(&v->attrs, "p.thin"));
	CHECK_STR(attrs_get(&v->attrs, "comment"), "mine");
	CHECK(volume_row(catalog_tree(w.c), v, &row));
	CHECK(row.epoch == 1 && row.left == 1 && !row.begun && row.n_leg == 2);
	CHECK(node_id_eq(&row.owner, &row.leg[0].node));
	CHECK(row.leg[0].state == OWN_LEG_IN && row.leg[1].state == OWN_LEG_NEW);
	leg = catalog_get(w.c, "/volumes/p/legs/a");
	CHECK_EQ(schema_get_uint(leg->type, &leg->attrs, "in-front"), 1ull << 30);
	CHECK(!attrs_get(&catalog_get(w.c, "/volumes/p/legs/b")->attrs, "in-front"));
	/* There is no way back, by undo say: one copy it keeps. */
	APPLY_FAILS(w.c, ERR_INVAL, "fixed when the object is created", "~ /volumes/p copies= node=n1", "- /volumes/p/legs/a", "- /volumes/p/legs/b");
	CHECK_EQ(own(&w, "/volumes/p", OWN_TAKE, 1, NULL), 0);
	CHECK_EQ(own(&w, "/volumes/p", OWN_TAKE, 2, NULL), ERR_CONFLICT);
	world_free(&w);
}

/* A file of the user's stays that file; its own node may be named; others are files of theirs. */
static void test_convert_of_a_plain_one_that_is_named(void)
{
	struct world w = copies_world();

	APPLY_OK(w.c, "~ /cluster level=3", "+ /volumes/p size=1G node=n1 path=/srv/p.img");
	DO(&w, "~ /volumes/p copies=3; + /volumes/p/legs/a node=n1 path=/srv/p.img; + /volumes/p/legs/b node=n3; + /volumes/p/legs/c node=n2",
	   "~ /volumes/p copies=3 node=n1,n3,n2");
	CHECK(!attrs_get(&catalog_get(w.c, "/volumes/p")->attrs, "path"));
	world_free(&w);
}

/* What cannot be made longer has no room; a device may have. */
static void test_convert_of_a_plain_one_without_room(void)
{
	struct world w = copies_world();

	APPLY_OK(w.c, "~ /cluster level=3", "+ /volumes/r size=1G node=n1 backstore=ram");
	REFUSED(&w, ERR_NOTSUP, "make another volume with --copies 2", "~ /volumes/r copies=2");
	observe(&w, 1, "/nodes/n1/devices/sdb path=/dev/sdb size=1073741824");
	observe(&w, 1, "/nodes/n1/devices/sdc path=/dev/sdc size=2147483648");
	APPLY_OK(w.c, "+ /volumes/b size=1G node=n1 backstore=block device=sdb path=/dev/sdb",
	         "+ /volumes/c size=1G node=n1 backstore=block device=sdc path=/dev/sdc p.direct=no");
	REFUSED(&w, ERR_NOTSUP, "cannot be made longer", "~ /volumes/b copies=2");
	DO(&w, "~ /volumes/c copies=2; + /volumes/c/legs/a backstore=block device=sdc node=n1 p.direct=no path=/dev/sdc; + /volumes/c/legs/b node=n2",
	   "~ /volumes/c copies=2");
	world_free(&w);
}

/* Without a leg that has the data it is refused where it is applied. */
static void test_plain_one_keeps_its_data(void)
{
	struct world w = copies_world();

	APPLY_OK(w.c, "~ /cluster level=3", "+ /volumes/p size=1G node=n1");
	APPLY_FAILS(w.c, ERR_INVAL, "no leg would be there", "~ /volumes/p copies=1", "+ /volumes/p/legs/a node=n2");
	world_free(&w);
}

/* All parts of a striped volume go to a node, or none. */
static void test_owner_of_a_striped_one(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/s size=2M stripe=2 copies=2 node=n1,n2");
	DO(&w, "~ /volumes/s; ~ /volumes/s.0 want=n2; ~ /volumes/s.1 want=n2", "~ /volumes/s want=n2");
	REFUSED(&w, ERR_INVAL, "/volumes/s.0: node n3 has no leg of it that is in sync", "~ /volumes/s want=n3");
	CHECK_EQ(own(&w, "/volumes/s.1", OWN_TAKE, 2, NULL), 0);
	CHECK_EQ(own(&w, "/volumes/s.1", OWN_OUT, 0, "b"), 0);
	REFUSED(&w, ERR_INVAL, "/volumes/s.1: node n1 has no leg of it", "~ /volumes/s want=n1");
	world_free(&w);
}

static void test_convert_of_a_striped_one(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/s size=2M stripe=2 copies=1 node=n1,n2");
	DO(&w, "~ /volumes/s copies=2; ~ /volumes/s.0 copies=2; + /volumes/s.0/legs/b node=n2; ~ /volumes/s.1 copies=2; + /volumes/s.1/legs/b node=n3",
	   "~ /volumes/s copies=2");
	world_free(&w);
}

static void test_owner_and_scrub(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	DO(&w, "~ /volumes/v want=n2", "~ /volumes/v want=n2");
	REFUSED(&w, ERR_INVAL, "n3 has no leg of it", "~ /volumes/v want=n3");
	REFUSED(&w, ERR_NOENT, "no node n9", "~ /volumes/v want=n9");
	DO(&w, "~ /volumes/v scrub-asked=1", "~ /volumes/v scrub-asked=next");
	DO(&w, "~ /volumes/v scrub-asked=2", "~ /volumes/v scrub-asked=next");
	APPLY_FAILS(w.c, ERR_INVAL, "scrub-asked cannot go back from 2 to 1", "~ /volumes/v scrub-asked=1");
	APPLY_OK(w.c, "+ /volumes/p size=1G node=n1");
	REFUSED(&w, ERR_NOTSUP, "nothing to compare", "~ /volumes/p scrub-asked=next");
	DO(&w, "", "+ /volumes/o size=1G copies=1");
	REFUSED(&w, ERR_NOTSUP, "nothing to compare", "~ /volumes/o scrub-asked=next");
	/* Where it is already: nothing stays to be wanted, which would draw it back some day. */
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 1, NULL), 0);
	DO(&w, "~ /volumes/v want=n2", "~ /volumes/v want=n2");
	DO(&w, "~ /volumes/v want=", "~ /volumes/v want=n1");
	CHECK(!attrs_get(&catalog_get(w.c, "/volumes/v")->attrs, "want"));
	world_free(&w);
}

/* Each part of a striped volume has the bound of the whole. */
static void test_limits(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	REFUSED(&w, ERR_INVAL, "needs level 4", "~ /volumes/v resync-limit=50M");
	APPLY_OK(w.c, "~ /cluster level=4", "+ /volumes/p size=1G node=n1");
	DO(&w, "~ /volumes/v resync-limit=52428800", "~ /volumes/v resync-limit=50M");
	APPLY_FAILS(w.c, ERR_INVAL, "copies", "~ /volumes/p resync-limit=52428800");
	DO(&w, "+ /volumes/s copies=1 scrub-limit=1048576 size=2097152 stripe=2; + /volumes/s.0 copies=1 part-of=s scrub-limit=1048576 size=1048576; "
	   "+ /volumes/s.0/legs/a node=n3; + /volumes/s.1 copies=1 part-of=s scrub-limit=1048576 size=1048576; + /volumes/s.1/legs/a node=n1",
	   "+ /volumes/s size=2M stripe=2 node=n3,n1 scrub-limit=1M");
	DO(&w, "~ /volumes/s resync-limit=1048576 scrub-limit=; ~ /volumes/s.0 resync-limit=1048576 scrub-limit=; "
	   "~ /volumes/s.1 resync-limit=1048576 scrub-limit=", "~ /volumes/s resync-limit=1M scrub-limit=");
	world_free(&w);
}

/* ---- moving ---- */

static void test_move_of_a_leg(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	STEP(&w, "/volumes/v", "");
	REFUSED(&w, ERR_NOENT, "no leg z", "+ /volumes/v/legs/auto node=n3 replaces=z");
	REFUSED(&w, ERR_INVAL, "n2 has a copy already", "+ /volumes/v/legs/auto node=n2 replaces=a");
	DO(&w, "+ /volumes/v/legs/c node=n3 replaces=a", "+ /volumes/v/legs/auto replaces=a");
	REFUSED(&w, ERR_BUSY, "c is taking the place of a", "~ /volumes/v copies=3");
	REFUSED(&w, ERR_BUSY, "c is taking the place of a", "+ /volumes/v/legs/auto replaces=b node=n3");
	STEP(&w, "/volumes/v", "");
	CHECK_EQ(own(&w, "/volumes/v", OWN_IN, 0, "c"), 0);
	/* The old one is the owner's: that goes first. */
	STEP(&w, "/volumes/v", "~ /volumes/v want=n2");
	STEP(&w, "/volumes/v", "");
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 2, NULL), 0);
	STEP(&w, "/volumes/v", "own /volumes/v");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/a; ~ /volumes/v/legs/c replaces=");
	STEP(&w, "/volumes/v", "");
	/* The letter is free again, and nobody is taken for the one that went. */
	DO(&w, "~ /volumes/v copies=3; + /volumes/v/legs/a node=n1", "~ /volumes/v copies=3");
	STEP(&w, "/volumes/v", "");
	world_free(&w);
}

static void test_move_of_the_only_leg(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=1 node=n1");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	DO(&w, "+ /volumes/v/legs/b node=n2 replaces=a", "+ /volumes/v/legs/auto node=n2 replaces=a");
	STEP(&w, "/volumes/v", "");
	CHECK_EQ(own(&w, "/volumes/v", OWN_IN, 0, "b"), 0);
	STEP(&w, "/volumes/v", "~ /volumes/v want=n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 2, NULL), 0);
	STEP(&w, "/volumes/v", "own /volumes/v");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/a; ~ /volumes/v/legs/b replaces=");
	world_free(&w);
}

static void test_missing_copy_is_made_anew(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2 backstore=ram");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	APPLY_OK(w.c, "- /volumes/v/legs/b", "- /nodes/n2");
	STEP(&w, "/volumes/v", "+ /volumes/v/legs/b backstore=ram node=n3");
	STEP(&w, "/volumes/v", "");
	world_free(&w);
}

static void drain_is(const struct world *w, const char *node, const char *want)
{
	struct move_drain d;
	char text[120];

	move_drain(w->n, node, &d);
	snprintf(text, sizeof(text), "owned %u moving %u stuck %u only %u %s", d.owned, d.moving, d.stuck, d.only, d.first);
	CHECK_STR(text, want);
}

static void test_drain(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	DO(&w, "", "+ /volumes/u size=1G copies=3");
	APPLY_OK(w.c, "+ /volumes/p size=1G node=n1");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	CHECK_EQ(own(&w, "/volumes/u", OWN_TAKE, 2, NULL), 0);
	APPLY_OK(w.c, "~ /nodes/n1 drain=yes");
	drain_is(&w, "n1", "owned 1 moving 1 stuck 1 only 1 p");
	/* First what it serves, then its data. */
	STEP(&w, "/volumes/v", "~ /volumes/v want=n2");
	STEP(&w, "/volumes/v", "+ /volumes/v/legs/c node=n3 replaces=a");
	STEP(&w, "/volumes/v", "");
	STEP(&w, "/volumes/u", "");
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 2, NULL), 0);
	drain_is(&w, "n1", "owned 0 moving 1 stuck 1 only 1 p");
	CHECK_EQ(own(&w, "/volumes/v", OWN_IN, 0, "c"), 0);
	STEP(&w, "/volumes/v", "own /volumes/v");
	STEP(&w, "/volumes/v", "- /volumes/v/legs/a; ~ /volumes/v/legs/c replaces=");
	drain_is(&w, "n1", "owned 0 moving 0 stuck 1 only 1 p");
	APPLY_OK(w.c, "- /volumes/p", "- /volumes/u");
	drain_is(&w, "n1", "owned 0 moving 0 stuck 0 only 0 ");
	world_free(&w);
}

static void test_drain_moves_a_few_at_a_time(void)
{
	struct world w = copies_world();
	char name[64], text[400];
	unsigned moved = 0;

	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "+ /volumes/w%u size=1M copies=2 node=n1,n2", i);
		DO(&w, "", name);
	}
	APPLY_OK(w.c, "~ /nodes/n1 drain=yes");
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "/volumes/w%u", i);
		step(&w, name, text);
		moved += text[0] == '+';
	}
	CHECK_EQ(moved, 4);
	world_free(&w);
}

/* ---- showing ---- */

#define STATUS(w, path, want_status, words, want_state) do { \
		struct names_entry e_ = { 0 }; \
		CHECK_EQ(names_get((w)->n, path, (w)->now, &e_), 0); \
		if (e_.status != (want_status) || !strstr(e_.reason.text, words)) { \
			fprintf(stderr, "%s:%d: status %d: %s\n", __FILE__, __LINE__, e_.status, e_.reason.text); \
			exit(1); \
		} \
		if (*(const char *)(want_state)) \
			CHECK_STR(attrs_get(&e_.derived, "state"), want_state); \
		names_entry_fini(&e_); \
	} while (0)

static void report(struct world *w, unsigned i, const char *path, const char *more)
{
	char text[300];

	snprintf(text, sizeof(text), "%s applied=%llu %s", path, (unsigned long long)catalog_applied(w->c), more);
	observe(w, i, text);
}

static void test_status_says_how_far_it_is(void)
{
	struct world w = copies_world();
	uint64_t created, converted;
	struct names_task task;

	DO(&w, "", "+ /volumes/v size=4G copies=2 node=n1,n2");
	created = catalog_applied(w.c);
	STATUS(&w, "/volumes/v", STATUS_PENDING, "no node serves it yet", "waiting");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	STATUS(&w, "/volumes/v", STATUS_PENDING, "node n1 is at it", "creating");
	report(&w, 1, "/volumes/v", "state=ready");
	report(&w, 1, "/volumes/v/legs/a", "storage=ready");
	STATUS(&w, "/volumes/v", STATUS_PENDING, "legs/b: node n2 is at it", "ready");
	report(&w, 2, "/volumes/v/legs/b", "storage=ready");
	STATUS(&w, "/volumes/v", STATUS_CONVERGED, "", "ready");
	DO(&w, "", "~ /volumes/v copies=3");
	converted = catalog_applied(w.c);
	report(&w, 1, "/volumes/v", "state=ready resync-left=1073741824 resync-total=4294967296 resync-rate=104857600");
	report(&w, 3, "/volumes/v/legs/c", "storage=ready");
	STATUS(&w, "/volumes/v", STATUS_PENDING, "legs/c on node n3 is new, and not in sync yet, 1G of 4G to copy, about 11", "syncing");
	CHECK_EQ(names_task(w.n, converted, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_PENDING);
	CHECK_EQ(own(&w, "/volumes/v", OWN_IN, 0, "c"), 0);
	report(&w, 1, "/volumes/v", "state=ready");
	STATUS(&w, "/volumes/v", STATUS_CONVERGED, "", "ready");
	/* What breaks later is the volume's, not the commit's. */
	CHECK_EQ(own(&w, "/volumes/v", OWN_OUT, 0, "c"), 0);
	node_dies(&w, 3);
	STATUS(&w, "/volumes/v", STATUS_PENDING, "legs/c: node n3 is not up", "degraded");
	CHECK_EQ(names_task(w.n, converted, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_CONVERGED);
	CHECK_EQ(names_task(w.n, created, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_CONVERGED);
	world_free(&w);
}

/* What later commits ask for is theirs: those before do not run again. */
static void test_tasks_that_are_done_stay_so(void)
{
	struct world w = copies_world();
	uint64_t created, drained, remarked;
	struct names_task task;

	DO(&w, "", "+ /volumes/v size=4G copies=2 node=n1,n2");
	created = catalog_applied(w.c);
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	report(&w, 1, "/volumes/v", "state=ready");
	report(&w, 1, "/volumes/v/legs/a", "storage=ready");
	report(&w, 2, "/volumes/v/legs/b", "storage=ready");
	DO(&w, "", "~ /nodes/n2 comment=x");
	remarked = catalog_applied(w.c);
	DO(&w, "", "~ /nodes/n2 drain=yes");
	drained = catalog_applied(w.c);
	STEP(&w, "/volumes/v", "+ /volumes/v/legs/c node=n3 replaces=b");
	STATUS(&w, "/volumes/v", STATUS_PENDING, "legs/c", "");
	CHECK_EQ(names_task(w.n, created, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_CONVERGED);
	CHECK_EQ(names_task(w.n, remarked, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_CONVERGED);
	CHECK_EQ(names_task(w.n, drained, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_PENDING);
	CHECK_EQ(names_task(w.n, catalog_applied(w.c), w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_PENDING);
	world_free(&w);
}

/* Storage that is another volume's is found by who serves the volume; nothing becomes of the leg until people do something. */
static void test_status_says_what_the_owner_says_of_a_leg(void)
{
	struct world w = copies_world();
	struct names_task task;

	DO(&w, "", "+ /volumes/v size=4G copies=2 node=n1,n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	report(&w, 1, "/volumes/v", "state=ready");
	report(&w, 1, "/volumes/v/legs/a", "storage=ready");
	DO(&w, "", "~ /volumes/v copies=3");
	report(&w, 2, "/volumes/v/legs/b", "storage=ready");
	report(&w, 3, "/volumes/v/legs/c", "storage=ready");
	STATUS(&w, "/volumes/v/legs/c", STATUS_PENDING, "not in sync yet", "");
	report(&w, 1, "/volumes/v/legs/c", "error=another");
	STATUS(&w, "/volumes/v/legs/c", STATUS_FAILED, "legs/c on node n3: another", "");
	STATUS(&w, "/volumes/v", STATUS_FAILED, "legs/c on node n3: another", "degraded");
	CHECK_EQ(names_task(w.n, catalog_applied(w.c), w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_FAILED);
	/* What a node says that does not serve it counts for nothing. */
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 2, NULL), 0);
	report(&w, 2, "/volumes/v", "state=ready");
	STATUS(&w, "/volumes/v/legs/c", STATUS_PENDING, "not in sync yet", "");
	world_free(&w);
}

/* Who asked for it waits until it is so; a later change of the volume does not wait for it too. */
static void test_a_move_of_who_serves_is_done_when_the_other_serves(void)
{
	struct world w = copies_world();
	uint64_t moved, other;
	struct names_task task;

	DO(&w, "", "+ /volumes/v size=4G copies=2 node=n1,n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	report(&w, 2, "/volumes/v/legs/b", "storage=ready");
	DO(&w, "", "~ /volumes/v want=n2");
	moved = catalog_applied(w.c);
	DO(&w, "", "~ /volumes/v comment=x");
	other = catalog_applied(w.c);
	report(&w, 1, "/volumes/v", "state=ready");
	report(&w, 1, "/volumes/v/legs/a", "storage=ready");
	report(&w, 2, "/volumes/v/legs/b", "storage=ready");
	CHECK_EQ(names_task(w.n, moved, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_PENDING);
	CHECK(strstr(task.reason.text, "node n1 serves it until node n2 can"));
	CHECK_EQ(names_task(w.n, other, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_CONVERGED);
	CHECK_EQ(own(&w, "/volumes/v", OWN_PASS, 2, NULL), 0);
	report(&w, 2, "/volumes/v", "state=ready");
	CHECK_EQ(names_task(w.n, moved, w.now, &task), 0);
	CHECK_EQ(task.status, STATUS_CONVERGED);
	world_free(&w);
}

/* Who serves the volume has no portal of the target: nobody waits for it. */
static void test_a_target_is_the_matter_of_nodes_that_offer_it(void)
{
	struct world w = copies_world();

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	observe(&w, 1, "/nodes/n1 addresses=10.0.0.1:7340");
	APPLY_OK(w.c, "+ /targets/iqn.2026-01.org.example:p", "+ /targets/iqn.2026-01.org.example:p/portals/10.0.0.1:3260",
	         "+ /targets/iqn.2026-01.org.example:p/luns/0 volume=v");
	STATUS(&w, "/targets/iqn.2026-01.org.example:p", STATUS_PENDING, "node n1 is at it", "");
	APPLY_OK(w.c, "+ /targets/iqn.2026-01.org.example:p/portals/10.0.0.2:3260", "- /targets/iqn.2026-01.org.example:p/portals/10.0.0.1:3260");
	STATUS(&w, "/targets/iqn.2026-01.org.example:p", STATUS_CONVERGED, "", "");
	world_free(&w);
}

static void test_a_node_with_data_does_not_become_a_witness(void)
{
	struct world w = copies_world();
	struct why why;
	struct txn t = { 0 };

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	attrs_set(&txn_add(&t, TXN_SET, "/nodes/n2")->attrs, "role", "witness");
	CHECK_EQ(catalog_prepare(w.n, &t, w.now, &why), ERR_BUSY);
	CHECK(strstr(why.text, "/volumes/v/legs/b is there; first: director node drain n2"));
	txn_fini(&t);
	attrs_set(&txn_add(&t, TXN_SET, "/nodes/n3")->attrs, "role", "witness");
	CHECK_EQ(catalog_prepare(w.n, &t, w.now, &why), 0);
	txn_fini(&t);
	world_free(&w);
}

/* It could never be made, and would be left as a failure. */
static void test_a_block_volume_without_a_device_is_refused(void)
{
	struct world w = copies_world();
	struct why why;
	struct txn t = { 0 };

	attrs_set(&txn_add(&t, TXN_CREATE, "/volumes/b")->attrs, "size", "1048576");
	attrs_set(&t.ops[0].attrs, "backstore", "block");
	attrs_set(&t.ops[0].attrs, "node", "n1");
	CHECK_EQ(catalog_prepare(w.n, &t, w.now, &why), ERR_INVAL);
	CHECK(strstr(why.text, "which device of node n1?"));
	txn_fini(&t);
	world_free(&w);
}

static void test_drained_node_says_so(void)
{
	struct world w = copies_world();
	struct names_entry e = { 0 };

	DO(&w, "", "+ /volumes/v size=1G copies=2 node=n1,n2");
	CHECK_EQ(own(&w, "/volumes/v", OWN_TAKE, 1, NULL), 0);
	APPLY_OK(w.c, "~ /nodes/n1 drain=yes");
	STATUS(&w, "/nodes/n1", STATUS_PENDING, "serves 1 volume, 1 leg to move", "alive");
	APPLY_OK(w.c, "- /volumes/v");
	STATUS(&w, "/nodes/n1", STATUS_CONVERGED, "", "alive");
	CHECK_EQ(names_get(w.n, "/nodes/n1", w.now, &e), 0);
	CHECK_STR(attrs_get(&e.derived, "drained"), "yes");
	names_entry_fini(&e);
	world_free(&w);
}

int main(void)
{
	RUN(test_legs_go_where_there_is_room);
	RUN(test_named_nodes);
	RUN(test_too_few_nodes_says_who_is_not_taken);
	RUN(test_storage_goes_to_the_legs);
	RUN(test_legs_that_are_named_one_by_one);
	RUN(test_striped);
	RUN(test_striped_over_named_nodes);
	RUN(test_unknown_backstore);
	RUN(test_old_level_says_why);
	RUN(test_convert);
	RUN(test_convert_to_nodes_that_are_named);
	RUN(test_convert_of_a_plain_one);
	RUN(test_convert_of_a_plain_one_that_is_named);
	RUN(test_convert_of_a_plain_one_without_room);
	RUN(test_plain_one_keeps_its_data);
	RUN(test_owner_of_a_striped_one);
	RUN(test_convert_of_a_striped_one);
	RUN(test_owner_and_scrub);
	RUN(test_limits);
	RUN(test_move_of_a_leg);
	RUN(test_move_of_the_only_leg);
	RUN(test_missing_copy_is_made_anew);
	RUN(test_drain);
	RUN(test_drain_moves_a_few_at_a_time);
	RUN(test_status_says_how_far_it_is);
	RUN(test_tasks_that_are_done_stay_so);
	RUN(test_status_says_what_the_owner_says_of_a_leg);
	RUN(test_a_move_of_who_serves_is_done_when_the_other_serves);
	RUN(test_a_target_is_the_matter_of_nodes_that_offer_it);
	RUN(test_a_node_with_data_does_not_become_a_witness);
	RUN(test_a_block_volume_without_a_device_is_refused);
	RUN(test_drained_node_says_so);
	return 0;
}
