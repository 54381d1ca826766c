/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes with copies as agreed rows: what people may do to them, what the machine does, and that nothing of it is lost. */
#include "cluster/volume.h"

#include "base/leg_record.h"
#include "proto/txn.h"
#include "tests/unit/txns.h"

_Static_assert(VOLUME_LEG_META == LEG_DATA, "a leg is longer than its volume by what the mirror keeps in front");

/* A cluster of level 2 with volume v: legs a on n1, b on n2. */
static struct catalog *mirrored(void)
{
	struct catalog *c = small_cluster();

	APPLY_OK(c, "~ /cluster level=2");
	APPLY_OK(c, "+ /volumes/v size=1G copies=2", "+ /volumes/v/legs/a node=n1", "+ /volumes/v/legs/b node=n2");
	return c;
}

static struct own_row row_of(const struct catalog *c)
{
	const struct object *v = catalog_get(c, "/volumes/v");
	struct own_row row;

	CHECK(v && volume_row(catalog_tree(c), v, &row));
	return row;
}

static struct own_change change(const struct catalog *c, enum own_change_kind kind, unsigned node, int leg)
{
	struct own_row row = row_of(c);
	struct own_change ch = { .kind = kind, .epoch = row.epoch };

	memcpy(ch.volume, row.uuid, 16);
	ch.node.b[15] = (uint8_t)node;
	if (leg >= 0) {
		memcpy(ch.leg, row.leg[leg].uuid, 16);
		ch.turn = row.leg[leg].turn;
	}
	return ch;
}

static struct txn owned(const struct catalog *c, const struct own_change *ch)
{
	static unsigned n;
	struct txn t = { 0 };

	snprintf((char *)t.request_id, sizeof(t.request_id), "own%u", ++n);
	CHECK_EQ(volume_txn_own(catalog_tree(c), ch, &t), 0);
	return t;
}

static int own(struct catalog *c, const struct own_change *ch)
{
	return apply(c, owned(c, ch)).err;
}

static void take(struct catalog *c, unsigned node)
{
	struct own_change ch = change(c, OWN_TAKE, node, -1);

	CHECK_EQ(own(c, &ch), 0);
}

static int keep(struct catalog *c, uint64_t version, const void *blob, size_t n)
{
	static unsigned k;
	struct txn t = { 0 };

	snprintf((char *)t.request_id, sizeof(t.request_id), "keep%u", ++k);
	CHECK_EQ(volume_txn_keep(catalog_tree(c), catalog_get(c, "/volumes/v")->uuid, version, blob, n, &t), 0);
	return apply(c, t).err;
}

static void test_old_level_refuses_all_of_it(void)
{
	struct catalog *c = small_cluster();

	APPLY_FAILS(c, ERR_INVAL, "copies needs level 2", "+ /volumes/v size=1G copies=2");
	APPLY_FAILS(c, ERR_INVAL, "no kind of object", "+ /volumes/v1/legs/a node=n1");
	APPLY_FAILS(c, ERR_INVAL, "no kind of object", "+ /targets/" IQN "/addresses/10.0.0.9-24");
	catalog_free(&c);
}

/* A member that cannot read the machine's operations skips them: nothing of them may leave a trace. */
static void test_old_level_skips_the_machines(void)
{
	struct catalog *c = small_cluster(), *d = small_cluster();
	struct txn t = { 0 };
	struct catalog_result r;
	uint8_t x[32], y[32];

	txn_add(&t, TXN_OWN, "/volumes/v1");
	t.request_id[0] = 1;
	catalog_apply(c, catalog_applied(c) + 1, &t, &r);
	CHECK(r.err < 0);
	catalog_skip(d, catalog_applied(d) + 1);
	catalog_hash(c, x);
	catalog_hash(d, y);
	/* The two were made with other request ids: compare what this one did. */
	CHECK(!catalog_find_request(c, t.request_id, &r.err, &r.index));
	CHECK_EQ(catalog_applied(c), catalog_applied(d));
	txn_fini(&t);
	catalog_free(&c);
	catalog_free(&d);
}

static void test_fresh_legs_are_in_sync(void)
{
	struct catalog *c = mirrored();
	struct own_row row = row_of(c);

	CHECK_EQ(row.n_leg, 2);
	CHECK_EQ(row.epoch, 0);
	CHECK(node_id_none(&row.owner));
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(row.leg[i].state, OWN_LEG_IN);
		CHECK_EQ(row.leg[i].member, 0);
		CHECK_EQ(row.leg[i].node.b[15], i + 1);
		CHECK(memcmp(row.leg[i].uuid, catalog_get(c, i ? "/volumes/v/legs/b" : "/volumes/v/legs/a")->uuid, 16) == 0);
	}
	catalog_free(&c);
}

static void test_later_legs_are_new(void)
{
	struct catalog *c = mirrored();

	APPLY_OK(c, "~ /volumes/v copies=3", "+ /volumes/v/legs/c node=n3");
	CHECK_EQ(row_of(c).leg[2].state, OWN_LEG_NEW);
	catalog_free(&c);
}

#define LUN "lun=iscsi://10.0.0.9:3260/iqn.2020-01.x:disk/"

static void test_legs_on_foreign_luns(void)
{
	struct catalog *c = mirrored();
	struct own_change ch;

	APPLY_FAILS(c, ERR_INVAL, "lun needs level 3", "~ /volumes/v copies=3", "+ /volumes/v/legs/c " LUN "1");
	APPLY_OK(c, "~ /cluster level=3");
	APPLY_OK(c, "~ /volumes/v copies=3", "+ /volumes/v/legs/c " LUN "1");
	APPLY_FAILS(c, ERR_INVAL, "lun= or node=", "+ /volumes/w size=1G copies=1", "+ /volumes/w/legs/a node=n1 " LUN "2");
	APPLY_FAILS(c, ERR_EXIST, "lun", "+ /volumes/w size=1G copies=1", "+ /volumes/w/legs/a " LUN "1");
	CHECK(row_of(c).leg[2].lun && row_of(c).leg[2].state == OWN_LEG_NEW && node_id_none(&row_of(c).leg[2].node));
	/* Who has no leg may own it once the LUN has all data, and not when it has not. */
	take(c, 1);
	ch = change(c, OWN_TAKE, 3, -1);
	CHECK_EQ(own(c, &ch), ERR_CONFLICT);
	ch = change(c, OWN_IN, 0, 2);
	CHECK_EQ(own(c, &ch), 0);
	ch = change(c, OWN_TAKE, 3, -1);
	CHECK_EQ(own(c, &ch), 0);
	ch = change(c, OWN_TAKE, 0, -1);
	CHECK_EQ(own(c, &ch), ERR_CONFLICT);
	catalog_free(&c);
}

/* What lies on a LUN is not known to be blank: another leg that is in sync is copied to it. */
static void test_luns_are_born_new_unless_they_are_all_there_is(void)
{
	struct catalog *c = small_cluster();

	APPLY_OK(c, "~ /cluster level=3");
	APPLY_OK(c, "+ /volumes/v size=1G copies=2", "+ /volumes/v/legs/a " LUN "1", "+ /volumes/v/legs/b node=n1");
	CHECK_EQ(row_of(c).leg[0].state, OWN_LEG_NEW);
	CHECK_EQ(row_of(c).leg[1].state, OWN_LEG_IN);
	APPLY_OK(c, "- /volumes/v");
	APPLY_OK(c, "+ /volumes/v size=1G copies=2", "+ /volumes/v/legs/a " LUN "1", "+ /volumes/v/legs/b " LUN "2");
	CHECK_EQ(row_of(c).leg[0].state, OWN_LEG_NEW);
	CHECK_EQ(row_of(c).leg[1].state, OWN_LEG_IN);
	catalog_free(&c);
}

static void test_people_cannot_set_the_machines(void)
{
	struct catalog *c = mirrored();

	APPLY_FAILS(c, ERR_INVAL, "kept by the cluster itself", "~ /volumes/v epoch=7");
	APPLY_FAILS(c, ERR_INVAL, "kept by the cluster itself", "~ /volumes/v owner=00000000000000000000000000000001");
	APPLY_FAILS(c, ERR_INVAL, "kept by the cluster itself", "~ /volumes/v/legs/a state=out-of-sync");
	APPLY_FAILS(c, ERR_INVAL, "kept by the cluster itself", "~ /volumes/v/legs/a state=");
	APPLY_FAILS(c, ERR_INVAL, "kept by the cluster itself", "+ /volumes/w size=1G copies=1", "+ /volumes/w/legs/a node=n1 state=new");
	catalog_free(&c);
}

static void test_own_changes_the_row(void)
{
	struct catalog *c = mirrored();
	struct own_change ch;

	take(c, 1);
	CHECK_EQ(row_of(c).epoch, 1);
	CHECK_EQ(row_of(c).owner.b[15], 1);
	ch = change(c, OWN_OUT, 0, 1);
	ch.served = true;
	CHECK_EQ(own(c, &ch), 0);
	CHECK_EQ(row_of(c).leg[1].state, OWN_LEG_OUT);
	CHECK_EQ(row_of(c).leg[1].since, 1);
	ch = change(c, OWN_IN, 0, 1);
	CHECK_EQ(own(c, &ch), 0);
	CHECK_EQ(row_of(c).leg[1].member, 2);
	ch = change(c, OWN_PASS, 2, -1);
	CHECK_EQ(own(c, &ch), 0);
	CHECK_EQ(row_of(c).left, 1);
	catalog_free(&c);
}

static void test_own_is_refused_when_late(void)
{
	struct catalog *c = mirrored();
	struct own_change ch = change(c, OWN_TAKE, 1, -1), in = change(c, OWN_IN, 0, 0);
	struct own_row before;

	CHECK_EQ(own(c, &ch), 0);
	before = row_of(c);
	CHECK_EQ(own(c, &ch), ERR_CONFLICT);
	CHECK_EQ(own(c, &in), ERR_CONFLICT);
	ch = change(c, OWN_TAKE, 3, -1);
	CHECK_EQ(own(c, &ch), ERR_CONFLICT);
	CHECK_EQ(row_of(c).epoch, before.epoch);
	catalog_free(&c);
}

static void test_own_of_a_volume_made_anew_is_refused(void)
{
	struct catalog *c = mirrored();
	struct own_change ch = change(c, OWN_TAKE, 1, -1);
	struct txn t = owned(c, &ch);

	APPLY_OK(c, "- /volumes/v", "+ /volumes/v size=1G copies=1", "+ /volumes/v/legs/a node=n1");
	CHECK_EQ(apply(c, t).err, ERR_CONFLICT);
	catalog_free(&c);
}

static void test_machine_is_alone(void)
{
	struct catalog *c = mirrored();
	struct own_change ch = change(c, OWN_TAKE, 1, -1);
	struct txn t = owned(c, &ch);

	txn_op_text(&t, "~ /volumes/v comment=x");
	CHECK_EQ(apply(c, t).err, ERR_INVAL);
	CHECK_EQ(row_of(c).epoch, 0);
	catalog_free(&c);
}

/* Generations, history, undo: as if the machine had done nothing. But those who follow the row are told. */
static void test_machine_is_no_commit(void)
{
	struct catalog *c = mirrored();
	const struct history *h = catalog_history(c, NULL);
	uint64_t generation = catalog_get(c, "/volumes/v")->generation, touched = catalog_get(c, "/volumes/v")->touched;
	struct own_change ch;
	struct catalog_result r;
	struct txn t;

	take(c, 1);
	ch = change(c, OWN_OUT, 0, 1);
	t = owned(c, &ch);
	catalog_apply(c, catalog_applied(c) + 1, &t, &r);
	CHECK_EQ(r.err, 0);
	CHECK_EQ(r.n_changes, 1);
	CHECK_STR(r.changes[0].path, "/volumes/v/legs/b");
	txn_fini(&t);
	CHECK_EQ(keep(c, 0, "x", 1), 0);
	CHECK(catalog_history(c, NULL) == h);
	CHECK_EQ(catalog_get(c, "/volumes/v")->generation, generation);
	CHECK_EQ(catalog_get(c, "/volumes/v")->touched, touched);
	CHECK_EQ(catalog_undo(c, h->index, &t, NULL), 0);
	txn_fini(&t);
	catalog_free(&c);
}

static void test_undo_of_a_deletion_gives_a_volume_without_owner(void)
{
	struct catalog *c = mirrored();
	struct catalog_result r;
	struct txn t;

	take(c, 1);
	CHECK_EQ(keep(c, 0, "x", 1), 0);
	APPLY_OK(c, "- /volumes/v");
	CHECK_EQ(catalog_undo(c, catalog_applied(c), &t, NULL), 0);
	memcpy(t.request_id, "undo", 5);
	r = apply(c, t);
	CHECK_EQ(r.err, 0);
	CHECK_EQ(row_of(c).epoch, 0);
	CHECK_EQ(row_of(c).leg[1].state, OWN_LEG_IN);
	CHECK(!catalog_get(c, "/volumes/v")->blob);
	catalog_free(&c);
}

static void test_want_goes_when_it_is_so(void)
{
	struct catalog *c = mirrored();
	struct own_change ch;

	take(c, 1);
	APPLY_OK(c, "~ /volumes/v want=n2");
	CHECK_EQ(row_of(c).want.b[15], 2);
	ch = change(c, OWN_PASS, 2, -1);
	CHECK_EQ(own(c, &ch), 0);
	CHECK(!attrs_get(&catalog_get(c, "/volumes/v")->attrs, "want"));
	catalog_free(&c);
}

static void test_legs_are_judged(void)
{
	struct catalog *c = mirrored();
	struct own_change ch;

	APPLY_FAILS(c, ERR_INVAL, "same node, n1", "+ /volumes/v/legs/c node=n1");
	APPLY_FAILS(c, ERR_INVAL, "without copies=", "+ /volumes/v1/legs/a node=n1");
	APPLY_FAILS(c, ERR_INVAL, "a leg at least", "- /volumes/v/legs/a", "- /volumes/v/legs/b");
	APPLY_FAILS(c, ERR_INVAL, "a leg at least", "+ /volumes/w size=1G copies=2");
	APPLY_FAILS(c, ERR_INVAL, "node is missing", "~ /volumes/v copies=");
	APPLY_FAILS(c, ERR_BUSY, "no leg that has all data", "~ /volumes/v1 copies=2", "+ /volumes/v1/legs/a node=n2");
	APPLY_FAILS(c, ERR_BUSY, "in use by /volumes/v/legs/a", "- /volumes/v1", "- /targets/" IQN, "- /nodes/n1");
	take(c, 1);
	APPLY_FAILS(c, ERR_BUSY, "node n1 serves the volume", "- /volumes/v/legs/a");
	ch = change(c, OWN_OUT, 0, 0);
	CHECK_EQ(own(c, &ch), 0);
	APPLY_FAILS(c, ERR_BUSY, "no leg that has all data", "- /volumes/v/legs/b");
	APPLY_OK(c, "- /volumes/v");
	CHECK(!catalog_get(c, "/volumes/v/legs/a"));
	catalog_free(&c);
}

static void test_keep_goes_on_from_a_version(void)
{
	struct catalog *c = mirrored();
	const uint8_t *blob;
	uint8_t large[KEEP_BLOB_MAX];
	uint64_t version;
	size_t n;

	memset(large, 7, sizeof(large));
	CHECK_EQ(keep(c, 0, "abc", 3), 0);
	CHECK_EQ(keep(c, 0, "xyz", 3), ERR_CONFLICT);
	volume_keep(catalog_get(c, "/volumes/v"), &version, &blob, &n);
	CHECK_EQ(version, 1);
	CHECK(n == 3 && memcmp(blob, "abc", 3) == 0);
	CHECK_EQ(keep(c, 1, large, sizeof(large)), 0);
	CHECK_EQ(keep(c, 2, NULL, 0), 0);
	volume_keep(catalog_get(c, "/volumes/v"), &version, &blob, &n);
	CHECK_EQ(version, 3);
	CHECK(n == 0 && !blob);
	catalog_free(&c);
}

static void test_hash_covers_the_reservations(void)
{
	struct catalog *c = mirrored();
	struct hash_sum a;

	CHECK_EQ(keep(c, 0, "abc", 3), 0);
	a = *tree_hash(catalog_tree(c));
	/* The same version and index with other bytes. */
	object_set_blob((struct object *)catalog_get(c, "/volumes/v"), (const uint8_t *)"abd", 3);
	{
		struct object *copy = object_copy(catalog_get(c, "/volumes/v"));
		struct tree *t = (struct tree *)catalog_tree(c);

		tree_put(t, &copy);
	}
	CHECK(memcmp(&a, tree_hash(catalog_tree(c)), sizeof(a)) != 0);
	catalog_free(&c);
}

static void test_snapshot_keeps_all(void)
{
	struct catalog *c = mirrored(), *d = NULL;
	struct snapshot s, u;
	struct buf b = { 0 };
	struct own_change ch;
	uint8_t x[32], y[32];

	take(c, 1);
	ch = change(c, OWN_OUT, 0, 1);
	CHECK_EQ(own(c, &ch), 0);
	CHECK_EQ(keep(c, 0, "a\0b", 3), 0);
	catalog_snapshot(c, &s);
	snapshot_encode(&s, &b);
	snapshot_fini(&s);
	CHECK_EQ(snapshot_decode(b.data, b.len, &u), 0);
	CHECK_EQ(catalog_load(&d, &u), 0);
	catalog_hash(c, x);
	catalog_hash(d, y);
	CHECK(memcmp(x, y, 32) == 0);
	CHECK_EQ(row_of(d).leg[1].state, OWN_LEG_OUT);
	CHECK_EQ(catalog_get(d, "/volumes/v")->n_blob, 3);
	buf_fini(&b);
	catalog_free(&c);
	catalog_free(&d);
}

static void test_codec_there_and_back(void)
{
	struct catalog *c = mirrored();
	struct own_change ch = change(c, OWN_IN, 3, 1);
	struct txn t, u;
	struct buf b = { 0 };

	ch.turn = 1ull << 63;
	ch.served = true;
	t = owned(c, &ch);
	t.author = mem_strdup("director");
	CHECK_EQ(txn_encode(&t, &b), 0);
	CHECK_EQ(txn_decode(b.data, b.len, &u), 0);
	CHECK(txn_is_machine(&u));
	CHECK_EQ(u.ops[0].own.kind, OWN_IN);
	CHECK_EQ(u.ops[0].own.turn, 1ull << 63);
	CHECK(u.ops[0].own.served && node_id_eq(&u.ops[0].own.node, &ch.node));
	CHECK(memcmp(u.ops[0].own.leg, ch.leg, 16) == 0 && memcmp(u.ops[0].own.volume, ch.volume, 16) == 0);
	txn_fini(&t);
	txn_fini(&u);
	buf_reset(&b);
	t = (struct txn){ .n_ops = 0 };
	CHECK_EQ(volume_txn_keep(catalog_tree(c), ch.volume, 9, (const uint8_t *)"a\0b", 3, &t), 0);
	CHECK_EQ(txn_encode(&t, &b), 0);
	CHECK_EQ(txn_decode(b.data, b.len, &u), 0);
	CHECK_EQ(u.ops[0].keep.version, 9);
	CHECK(u.ops[0].keep.n == 3 && memcmp(u.ops[0].keep.blob, "a\0b", 3) == 0);
	txn_fini(&t);
	txn_fini(&u);
	buf_fini(&b);
	catalog_free(&c);
}

static void test_addresses_have_one_form(void)
{
	struct catalog *c = mirrored();

	APPLY_OK(c, "+ /targets/" IQN "/addresses/10.0.0.9-24 interface=eth0", "+ /targets/" IQN "/addresses/fd00::9-64");
	APPLY_FAILS(c, ERR_INVAL, "not in normal form", "+ /targets/" IQN "/addresses/fd00:0::9-64");
	APPLY_FAILS(c, ERR_INVAL, "use ADDRESS-LENGTH", "+ /targets/" IQN "/addresses/10.0.0.9");
	APPLY_FAILS(c, ERR_INVAL, "a prefix that is not 1 to 32", "+ /targets/" IQN "/addresses/10.0.0.9-33");
	APPLY_FAILS(c, ERR_INVAL, "a prefix that is not 1 to 32", "+ /targets/" IQN "/addresses/10.0.0.9-0");
	APPLY_FAILS(c, ERR_INVAL, "a multicast address", "+ /targets/" IQN "/addresses/ff02::9-64");
	/* One address, two prefixes or two targets: one too many. */
	APPLY_FAILS(c, ERR_EXIST, "is that of /targets/" IQN "/addresses/10.0.0.9-24 already", "+ /targets/" IQN "/addresses/10.0.0.9-25");
	APPLY_FAILS(c, ERR_EXIST, "already", "+ /targets/" IQN ":2", "+ /targets/" IQN ":2/addresses/fd00::9-64");
	APPLY_FAILS(c, ERR_EXIST, "already", "+ /targets/" IQN "/addresses/10.0.0.7-24", "+ /targets/" IQN "/addresses/10.0.0.7-25");
	/* One that goes makes room in the same transaction. */
	APPLY_OK(c, "- /targets/" IQN "/addresses/10.0.0.9-24", "+ /targets/" IQN "/addresses/10.0.0.9-25");
	APPLY_FAILS(c, ERR_INVAL, "use ADDRESS-LENGTH", "+ /targets/" IQN "/addresses/[fd00::9]:3260-64");
	catalog_free(&c);
}

static void test_iteration(void)
{
	struct catalog *c = mirrored();
	const struct tree *t = catalog_tree(c);
	const struct object *v = NULL, *leg = NULL;
	struct own_row row;
	struct node_id id;

	APPLY_OK(c, "+ /volumes/s size=2G copies=1 stripe=2", "+ /volumes/s.0 size=1G copies=1 part-of=s", "+ /volumes/s.0/legs/a node=n1",
	         "+ /volumes/s.1 size=1G copies=1 part-of=s", "+ /volumes/s.1/legs/a node=n2");
	CHECK_STR((v = volume_next(t, v))->path, "/volumes/s.0");
	CHECK_STR((v = volume_next(t, v))->path, "/volumes/s.1");
	CHECK_STR((v = volume_next(t, v))->path, "/volumes/v");
	CHECK(!volume_next(t, v));
	CHECK_STR((leg = volume_leg(t, v, leg))->path, "/volumes/v/legs/a");
	CHECK(volume_of_leg(t, leg) == v);
	CHECK(volume_leg_by_uuid(t, v, leg->uuid) == leg);
	CHECK(volume_by_uuid(t, v->uuid) == v);
	CHECK(!volume_row(t, catalog_get(c, "/volumes/s"), &row));
	CHECK_STR(volume_shard(t, catalog_get(c, "/volumes/s"), 1)->path, "/volumes/s.1");
	CHECK(!volume_shard(t, catalog_get(c, "/volumes/s"), 2));
	CHECK(volume_node_id(t, "n3", &id) && id.b[15] == 3);
	CHECK_STR(volume_node_name(t, &id), "n3");
	CHECK(!volume_node_id(t, "n4", &id));
	catalog_free(&c);
}

/* ---- power ---- */

static int lives(struct catalog *c, const uint64_t *life, unsigned n)
{
	static unsigned count;
	struct txn t = { 0 };

	CHECK_EQ(volume_txn_lives(catalog_tree(c), life, n, &t), 0);
	snprintf((char *)t.request_id, sizeof(t.request_id), "lives%u", ++count);
	return apply(c, t).err;
}

static bool lost(struct catalog *c)
{
	return volume_power_lost(catalog_tree(c), catalog_get(c, "/volumes/v"));
}

static void reserve(struct catalog *c, int err, const char *blob)
{
	const struct object *v = catalog_get(c, "/volumes/v");
	struct txn t = { 0 };
	static unsigned count;

	CHECK_EQ(volume_txn_keep(catalog_tree(c), v->uuid, schema_get_uint(v->type, &v->attrs, "reservations-version"), (const uint8_t *)blob, strlen(blob), &t), 0);
	snprintf((char *)t.request_id, sizeof(t.request_id), "power%u", ++count);
	CHECK_EQ(apply(c, t).err, err);
}

/* One node after the other may start anew; all of them at once lose what was kept in memory. */
static void test_power_is_lost_when_no_machine_is_known(void)
{
	struct catalog *c = mirrored();
	const struct object *v = catalog_get(c, "/volumes/v");
	uint64_t generation = v->generation;

	APPLY_OK(c, "~ /cluster level=3");
	CHECK_EQ(lives(c, (uint64_t[]){ 1, 2, 3 }, 3), 0);
	CHECK(volume_life_seen(catalog_tree(c), 2) && !volume_life_seen(catalog_tree(c), 4));
	reserve(c, 0, "reserved");
	CHECK(!lost(c));
	CHECK_EQ(lives(c, (uint64_t[]){ 4, 2 }, 2), 0);
	CHECK_EQ(lives(c, (uint64_t[]){ 4, 5, 6 }, 3), 0);
	/* The third was away all the time, and is there again with all in its memory. */
	CHECK_EQ(lives(c, (uint64_t[]){ 3, 8, 9 }, 3), 0);
	CHECK(!lost(c));
	v = catalog_get(c, "/volumes/v");
	CHECK_EQ(schema_get_uint(v->type, &v->attrs, "reservations-version"), 1);
	CHECK_EQ(lives(c, (uint64_t[]){ 10, 11 }, 2), 0);
	CHECK(lost(c));
	v = catalog_get(c, "/volumes/v");
	CHECK_EQ(schema_get_uint(v->type, &v->attrs, "reservations-version"), 2);
	CHECK(v->n_blob == 8 && v->generation == generation);
	CHECK(!volume_life_seen(catalog_tree(c), 3));
	CHECK_EQ(lives(c, (uint64_t[]){ 11, 12, 10 }, 3), 0);
	CHECK(lost(c));
	/* What is agreed now is of now. */
	reserve(c, 0, "anew");
	CHECK(!lost(c));
	catalog_free(&c);
}

static void test_lives_need_the_level(void)
{
	struct catalog *c = mirrored();

	CHECK_EQ(lives(c, (uint64_t[]){ 1 }, 1), ERR_INVAL);
	CHECK(!lost(c));
	catalog_free(&c);
}

int main(void)
{
	RUN(test_power_is_lost_when_no_machine_is_known);
	RUN(test_lives_need_the_level);
	RUN(test_old_level_refuses_all_of_it);
	RUN(test_old_level_skips_the_machines);
	RUN(test_fresh_legs_are_in_sync);
	RUN(test_later_legs_are_new);
	RUN(test_legs_on_foreign_luns);
	RUN(test_luns_are_born_new_unless_they_are_all_there_is);
	RUN(test_people_cannot_set_the_machines);
	RUN(test_own_changes_the_row);
	RUN(test_own_is_refused_when_late);
	RUN(test_own_of_a_volume_made_anew_is_refused);
	RUN(test_machine_is_alone);
	RUN(test_machine_is_no_commit);
	RUN(test_undo_of_a_deletion_gives_a_volume_without_owner);
	RUN(test_want_goes_when_it_is_so);
	RUN(test_legs_are_judged);
	RUN(test_keep_goes_on_from_a_version);
	RUN(test_hash_covers_the_reservations);
	RUN(test_snapshot_keeps_all);
	RUN(test_codec_there_and_back);
	RUN(test_addresses_have_one_form);
	RUN(test_iteration);
	return 0;
}
