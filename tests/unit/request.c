/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to one node that is a cluster alone: what is asked for while something else is on its way, and what is asked for again. */
#include <string.h>

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"
#include "cluster/gossip_int.h"
#include "proto/agree.h"
#include "proto/txn.h"
#include "tests/unit/check.h"

static unsigned n_kept;                 /* answers that this node has what is agreed of reservations */

static void encode(const struct agree_msg *m, struct buf *to)
{
	n_kept += m->kind == AGREE_MSG_KEPT;
	agree_msg_encode(m, to);
}

static const struct cluster_codec codec = {
	.agree_encode = encode, .txn_encode = txn_encode, .txn_decode = txn_decode,
	.snapshot_encode = snapshot_encode, .snapshot_decode = snapshot_decode,
};

static struct cluster *c;
static struct cluster_out out;
static struct mono now;
static uint8_t secret_key[64];
static uint64_t stored[64];             /* puts that are not stored yet */
static unsigned n_stored;
static struct { uint64_t id; int err; uint64_t index; } said[256];
static unsigned n_said;
static unsigned n_sent;                 /* datagrams */

static void step(struct cluster_in in);

/* What a step, or a part of one, gave. */
static void take_out(void)
{
	uint64_t done[256];
	unsigned n = 0;

	n_sent += out.gossip.n_dgrams;
	for (unsigned i = 0; i < out.n_put; i++)
		stored[n_stored++] = out.put[i]->seq;
	for (unsigned i = 0; i < out.n_reply; i++) {
		said[n_said].id = out.reply[i].id;
		said[n_said].err = out.reply[i].err;
		said[n_said++].index = out.reply[i].index;
	}
	for (unsigned i = 0; i < out.n_act; i++)
		if (out.act[i].id && n < 256)
			done[n++] = out.act[i].id;
	cluster_out_reset(&out);
	for (unsigned i = 0; i < n; i++)
		step((struct cluster_in){ .kind = CLUSTER_IN_DONE, .number = done[i] });
}

static void step(struct cluster_in in)
{
	in.now = now;
	cluster_step(c, &in, &out);
	take_out();
}

/* The disk catches up. */
static void store(void)
{
	for (unsigned i = 0; i < n_stored; i++)
		step((struct cluster_in){ .kind = CLUSTER_IN_STORED, .number = stored[i] });
	n_stored = 0;
}

static void pass(unsigned ms)
{
	struct mono end = mono_add_ms(now, ms);

	while (mono_before(now, end)) {
		now = mono_add_ms(now, 20);
		step((struct cluster_in){ .kind = CLUSTER_IN_TIMER });
		store();
	}
}

/* What was said to request `id`; the last word, if it was asked for several times. */
static int err_of(uint64_t id, uint64_t *index)
{
	for (unsigned i = n_said; i-- > 0;)
		if (said[i].id == id) {
			if (index)
				*index = said[i].index;
			return said[i].err;
		}
	return 1;
}

static uint64_t ask(struct cluster_request r, struct txn *t, uint8_t rid)
{
	static uint64_t id;

	r.id = ++id;
	r.txn = t;
	t->request_id[0] = rid;
	t->request_id[1] = 1;
	if (!t->author)
		t->author = mem_strdup("root");
	randombytes_buf(r.entropy, sizeof(r.entropy));
	step((struct cluster_in){ .kind = CLUSTER_IN_REQUEST, .request = &r });
	txn_fini(t);
	return id;
}

static uint64_t set(const char *path, const char *key, const char *value, uint8_t rid)
{
	struct txn t = { 0 };

	attrs_set(&txn_add(&t, TXN_SET, path)->attrs, key, value);
	return ask((struct cluster_request){ .verb = CLUSTER_TXN }, &t, rid);
}

static uint64_t op(enum txn_op_kind kind, const char *path, uint8_t rid)
{
	struct txn t = { 0 };

	txn_add(&t, kind, path);
	return ask((struct cluster_request){ .verb = CLUSTER_TXN }, &t, rid);
}

static uint64_t verb(enum cluster_verb v, uint64_t number, uint8_t rid)
{
	struct txn t = { 0 };

	return ask((struct cluster_request){ .verb = v, .number = number }, &t, rid);
}

/* A node that has the cluster's key starts for the first time. */
static void begin(void)
{
	static const struct agree_disk empty;
	struct cluster_disk disk = { .agree = &empty };
	struct cluster_conf conf = { .codec = &codec, .software = "1", .seed = 7, .name = "n1", .votes = true, .founds = true,
	                             .fact_base = 1, .n_addrs = 1, .inner_port = 7341 };

	now = (struct mono){ 1000000000 };
	n_stored = n_said = 0;
	crypto_sign_keypair(conf.public_key, conf.secret_key);
	memcpy(secret_key, conf.secret_key, sizeof(secret_key));
	conf.boot[0] = 1;
	conf.keys.n = 1;
	conf.keys.k[0] = (struct key){ .epoch = 1, .secret = { 9 } };
	addr_parse("10.0.0.1:7340", 0, &conf.addrs[0]);
	c = cluster_new(&conf);
	step((struct cluster_in){ .kind = CLUSTER_IN_START, .disk = &disk });
}

static void world(void)
{
	begin();
	pass(6000);
	CHECK(catalog_get(cluster_catalog(c), "/nodes/n1"));
}

static void end(void)
{
	cluster_free(&c);
	cluster_out_fini(&out);
}

static const char *value(const char *path, const char *key)
{
	const struct object *o = catalog_get(cluster_catalog(c), path);

	CHECK(o != NULL);
	return attrs_get(&o->attrs, key) ? attrs_get(&o->attrs, key) : "";
}

static void test_of_two_rotations_at_once_one_counts(void)
{
	uint8_t box[KEY_BOX_LEN];
	struct node_id sender;
	uint64_t a, b;
	struct key k;

	world();
	a = verb(CLUSTER_ROTATE, 0, 1);
	b = verb(CLUSTER_ROTATE, 0, 2);
	pass(1000);
	CHECK_EQ(err_of(a, NULL), 0);
	CHECK_EQ(err_of(b, NULL), ERR_CONFLICT);
	/* What the log gives to those who come later is what is in use. */
	CHECK_EQ(text_hex_parse(value("/nodes/n1", "key-box"), box, sizeof(box)), 0);
	CHECK_EQ(keys_unbox(box, 2, secret_key, &k, &sender), 0);
	CHECK_EQ(keys_newest(cluster_keys(c))->epoch, 2);
	CHECK(memcmp(keys_newest(cluster_keys(c))->secret, k.secret, 32) == 0);
	end();
}

static void test_undo_gives_way_to_a_change_that_was_before_it(void)
{
	uint64_t a, b, u, index;

	world();
	a = set("/cluster", "comment", "first", 1);
	store();
	CHECK_EQ(err_of(a, &index), 0);
	b = set("/cluster", "comment", "second", 2);
	u = verb(CLUSTER_UNDO, index, 3);
	store();
	CHECK_EQ(err_of(b, NULL), 0);
	CHECK_EQ(err_of(u, NULL), ERR_CONFLICT);
	CHECK_STR(value("/cluster", "comment"), "second");
	end();
}

static void test_an_undo_that_is_asked_for_again_gets_its_answer(void)
{
	uint64_t a, index, first, again;

	world();
	a = set("/cluster", "comment", "first", 1);
	store();
	CHECK_EQ(err_of(a, &index), 0);
	a = verb(CLUSTER_UNDO, index, 3);
	store();
	CHECK_EQ(err_of(a, &first), 0);
	a = verb(CLUSTER_UNDO, index, 3);
	store();
	CHECK_EQ(err_of(a, &again), 0);
	CHECK_EQ(first, again);
	end();
}

/* The volume was there when the proposal was made, and not when it was applied; then it is there again. */
static void test_an_own_proposal_that_was_refused_may_be_made_again(void)
{
	const char *target = "/targets/iqn.2026-01.org.example:t";

	world();
	op(TXN_CREATE, target, 1);
	store();
	for (unsigned i = 0; i < 2; i++) {
		struct txn t = { 0 };

		if (i == 0)
			op(TXN_DELETE, target, 2);
		attrs_set(&txn_add(&t, TXN_SET, target)->attrs, "alias", "own");
		request_propose_own(c, &t, "the same in the same state", &out);
		step((struct cluster_in){ .kind = CLUSTER_IN_TIMER });
		store();
		txn_fini(&t);
		if (i == 0) {
			CHECK(!catalog_get(cluster_catalog(c), target));
			op(TXN_CREATE, target, 3);
			store();
		}
	}
	CHECK_STR(value(target, "alias"), "own");
	end();
}

static void test_a_dry_run_founds_nothing(void)
{
	static const struct agree_disk empty;
	struct cluster_disk disk = { .agree = &empty };
	struct cluster_conf conf = { .codec = &codec, .software = "1", .seed = 7, .name = "n1", .votes = true, .fact_base = 1, .n_addrs = 1 };
	struct txn t = { 0 };
	uint64_t a;

	now = (struct mono){ 1000000000 };
	n_stored = n_said = 0;
	crypto_sign_keypair(conf.public_key, conf.secret_key);
	addr_parse("10.0.0.1:7340", 0, &conf.addrs[0]);
	c = cluster_new(&conf);
	step((struct cluster_in){ .kind = CLUSTER_IN_START, .disk = &disk });
	a = ask((struct cluster_request){ .verb = CLUSTER_FOUND, .dry_run = true }, &t, 1);
	pass(6000);
	CHECK_EQ(err_of(a, NULL), 0);
	CHECK(!cluster_agree(c)->has_log && cluster_keys(c)->n == 0);
	end();
}

/* What a round looks at in the catalog while this node serves `n` volumes. */
static uint64_t cost_of_a_round(unsigned n)
{
	const struct plan_have none = { 0 };
	uint64_t before;
	char path[32];

	world();
	step((struct cluster_in){ .kind = CLUSTER_IN_HAVE, .have = &none });
	pass(1000);
	for (unsigned i = 0; i < n; i++) {
		struct txn t = { 0 };
		struct txn_op *create;

		snprintf(path, sizeof(path), "/volumes/v%u", i);
		create = txn_add(&t, TXN_CREATE, path);
		attrs_set(&create->attrs, "size", "1048576");
		attrs_set(&create->attrs, "copies", "1");
		CHECK_EQ(err_of(ask((struct cluster_request){ .verb = CLUSTER_TXN }, &t, (uint8_t)(i + 1)), NULL), 1);
		store();
	}
	pass(4000);
	for (unsigned i = 0; i < n; i++)
		CHECK(c->owner.volume[i].served && c->owner.volume[i].leased.ns);
	before = tree_visits(catalog_tree(cluster_catalog(c)));
	c->dirty = true;
	step((struct cluster_in){ .kind = CLUSTER_IN_TIMER });
	before = tree_visits(catalog_tree(cluster_catalog(c))) - before;
	end();
	return before;
}

static void test_a_round_costs_what_there_is_and_not_its_square(void)
{
	uint64_t few = cost_of_a_round(20), many = cost_of_a_round(80);

	CHECK(many < 6 * few);
}

/* What the cluster itself asks for. */
static void own(struct txn *t, const char *what)
{
	request_propose_own(c, t, what, &out);
	take_out();
	txn_fini(t);
	store();
}

/* With a node goes its key, with /cluster what nodes know each other by: no transaction and no undo takes the place of that. */
static void test_nodes_and_the_cluster_are_not_deleted_by_hand(void)
{
	uint64_t a, index;

	world();
	a = op(TXN_DELETE, "/cluster", 1);
	CHECK_EQ(err_of(a, NULL), ERR_INVAL);
	a = op(TXN_DELETE, "/nodes/n1", 2);
	CHECK_EQ(err_of(a, NULL), ERR_INVAL);
	a = op(TXN_CREATE, "/nodes/n2", 3);
	CHECK_EQ(err_of(a, NULL), ERR_INVAL);
	a = set("/cluster", "key-epoch", "9", 4);
	CHECK_EQ(err_of(a, NULL), ERR_INVAL);
	a = set("/nodes/n1", "key-box", "junk", 5);
	CHECK_EQ(err_of(a, NULL), ERR_INVAL);
	a = verb(CLUSTER_ROTATE, 0, 6);
	store();
	CHECK_EQ(err_of(a, &index), 0);
	a = verb(CLUSTER_UNDO, index, 7);
	store();
	CHECK_EQ(err_of(a, NULL), ERR_INVAL);
	a = set("/nodes/n1", "comment", "here", 8);
	store();
	CHECK_EQ(err_of(a, NULL), 0);
	CHECK(catalog_get(cluster_catalog(c), "/nodes/n1"));
	CHECK(catalog_get(cluster_catalog(c), "/cluster"));
	end();
}

/* Its history has no operations any more. */
static void test_a_node_that_a_large_transaction_removes_is_refused_too(void)
{
	uint8_t key[32] = { 7 };
	struct node_id id = node_id_of_key(key);
	char hex[65], path[64], text[256];
	struct txn t = { 0 };
	struct txn_op *op;

	world();
	op = txn_add(&t, TXN_CREATE, "/nodes/n2");
	attrs_set(&op->attrs, "id", node_id_text(&id, hex));
	attrs_set(&op->attrs, "key", text_hex(key, 32, hex));
	attrs_set(&op->attrs, "portal-group", "2");
	own(&t, "n2 comes");
	CHECK(admit_node(c, &id));
	memset(text, 'x', 255);
	text[255] = '\0';
	for (unsigned i = 0; i < 9000; i++) {
		snprintf(path, sizeof(path), "/targets/iqn.2026-01.org.example:t%u", i);
		attrs_set(&txn_add(&t, TXN_CREATE, path)->attrs, "comment", text);
		if (i % 1500 == 1499) {
			ask((struct cluster_request){ .verb = CLUSTER_TXN }, &t, (uint8_t)(2 + i / 1500));
			store();
		}
	}
	txn_add(&t, TXN_DELETE, "/nodes/n2");
	for (unsigned i = 0; i < 9000; i++) {
		snprintf(path, sizeof(path), "/targets/iqn.2026-01.org.example:t%u", i);
		txn_add(&t, TXN_DELETE, path);
	}
	own(&t, "n2 goes");
	CHECK(!admit_node(c, &id));
	CHECK(catalog_history(cluster_catalog(c), NULL)->trimmed);
	CHECK(banned(cluster_gossip(c), &id));
	end();
}

/* Datagrams by a newer key, which anybody can send: they do not have all be looked at each time. */
static void test_strangers_cost_little(void)
{
	struct cluster_in in = { .kind = CLUSTER_IN_STRANGER, .why = STRANGER_KEY, .number = 2 };
	uint64_t before;

	world();
	in.from = (struct addr){ .family = 4, .ip = { 10, 0, 0, 9 }, .port = 7340 };
	step(in);
	before = tree_visits(catalog_tree(cluster_catalog(c)));
	for (unsigned i = 0; i < 100; i++) {
		in.from.port = (uint16_t)(8000 + i);
		step(in);
	}
	CHECK(tree_visits(catalog_tree(cluster_catalog(c))) - before < 100);
	end();
}

/* A node without a key, and one who says that nodes are everywhere. */
static void test_a_candidate_is_knocked_at_once_and_not_with_all_others(void)
{
	static const struct agree_disk empty;
	struct cluster_disk disk = { .agree = &empty };
	struct cluster_conf conf = { .codec = &codec, .software = "1", .seed = 7, .name = "n1", .votes = true, .fact_base = 1, .n_addrs = 1 };
	struct cluster_in in = { .kind = CLUSTER_IN_CANDIDATE };

	now = (struct mono){ 1000000000 };
	n_stored = n_said = 0;
	crypto_sign_keypair(conf.public_key, conf.secret_key);
	addr_parse("10.0.0.1:7340", 0, &conf.addrs[0]);
	c = cluster_new(&conf);
	step((struct cluster_in){ .kind = CLUSTER_IN_START, .disk = &disk });
	pass(100);
	n_sent = 0;
	for (unsigned i = 0; i < 50; i++) {
		in.from = (struct addr){ .family = 4, .ip = { 10, 1, 0, (uint8_t)i }, .port = 7340 };
		step(in);
		CHECK_EQ(n_sent, i + 1);
	}
	pass(2100);
	CHECK_EQ(n_sent, 100);
	end();
}

/* Until it is known whether a director-target runs, one may, and answer by what was agreed before this directord came (I6). */
static void test_nobody_has_it_before_director_target_is_heard_of(void)
{
	struct agree_msg m = { .kind = AGREE_MSG_KEEP };
	const struct plan_have none = { 0 };
	struct node_id other = { { 5 } };
	struct txn t = { 0 };
	struct txn_op *create;

	world();
	create = txn_add(&t, TXN_CREATE, "/volumes/v");
	attrs_set(&create->attrs, "size", "1048576");
	ask((struct cluster_request){ .verb = CLUSTER_TXN }, &t, 1);
	store();
	memcpy(m.kept.volume, catalog_get(cluster_catalog(c), "/volumes/v")->uuid, 16);
	n_kept = 0;
	keep_message(c, &other, &m, &out);
	CHECK_EQ(n_kept, 0);
	step((struct cluster_in){ .kind = CLUSTER_IN_HAVE });
	keep_message(c, &other, &m, &out);
	CHECK_EQ(n_kept, 1);
	step((struct cluster_in){ .kind = CLUSTER_IN_HAVE, .have = &none });
	keep_message(c, &other, &m, &out);
	CHECK_EQ(n_kept, 2);
	end();
}

/* Others take a lineage over for good: they must not hear of one that a loss of power here would end. */
static void test_a_cluster_is_told_of_when_it_is_on_disk(void)
{
	begin();
	for (unsigned ms = 0; ms < 3000; ms += 20) {
		now = mono_add_ms(now, 20);
		step((struct cluster_in){ .kind = CLUSTER_IN_TIMER });
		CHECK(!c->has_lineage);
	}
	CHECK_EQ(n_stored, 1);
	store();
	CHECK(c->has_lineage);
	pass(1000);
	CHECK(catalog_get(cluster_catalog(c), "/nodes/n1"));
	end();
}

/* Another voter without a cluster, met in this state. */
static struct member *meet(uint8_t i, enum member_state state)
{
	struct card card = { .name = "other", .id = { { i } }, .public_key = { i }, .boot = { i }, .n_addrs = 1 };
	struct extra x = { .votes = true };

	card.addrs[0] = (struct addr){ .family = 4, .ip = { 10, 0, 1, i }, .port = 7340 };
	admit_extra_pack(&x, &card);
	return member_add(c->gossip, &card, state, 1, false);
}

/* On both sides of a cut somebody would be the lowest. */
static void test_no_cluster_begins_without_most_of_those_that_were_met(void)
{
	struct attrs status = { 0 };

	begin();
	meet(0xf0, MEMBER_FAILED);
	meet(0xf1, MEMBER_LEFT);
	pass(50000);
	CHECK(!c->has_lineage);
	cluster_status(c, &status);
	CHECK(strstr(attrs_get(&status, "warning"), "out of reach"));
	attrs_fini(&status);
	/* Those that never come back are not waited for for ever. */
	pass(11000);
	CHECK(c->has_lineage && !c->found_apart);
	end();

	/* Who left has said so, and is not out of reach. */
	begin();
	meet(0xf1, MEMBER_LEFT);
	pass(2000);
	CHECK(c->has_lineage);
	end();

	/* Restarted where none of them is heard. */
	begin();
	c->met_before = true;
	pass(50000);
	CHECK(!c->has_lineage);
	meet(0xf0, MEMBER_ALIVE);
	c->dirty = true;
	pass(100);
	CHECK(c->has_lineage);
	end();

	begin();
	meet(0xf0, MEMBER_FAILED);
	pass(2000);
	CHECK(!c->has_lineage);
	verb(CLUSTER_FOUND, 0, 1);
	pass(100);
	CHECK(c->has_lineage);
	end();
}

int main(void)
{
	CHECK(sodium_init() >= 0);
	RUN(test_of_two_rotations_at_once_one_counts);
	RUN(test_undo_gives_way_to_a_change_that_was_before_it);
	RUN(test_an_undo_that_is_asked_for_again_gets_its_answer);
	RUN(test_an_own_proposal_that_was_refused_may_be_made_again);
	RUN(test_a_dry_run_founds_nothing);
	RUN(test_a_cluster_is_told_of_when_it_is_on_disk);
	RUN(test_no_cluster_begins_without_most_of_those_that_were_met);
	RUN(test_a_round_costs_what_there_is_and_not_its_square);
	RUN(test_nodes_and_the_cluster_are_not_deleted_by_hand);
	RUN(test_a_node_that_a_large_transaction_removes_is_refused_too);
	RUN(test_strangers_cost_little);
	RUN(test_nobody_has_it_before_director_target_is_heard_of);
	RUN(test_a_candidate_is_knocked_at_once_and_not_with_all_others);
	return 0;
}
