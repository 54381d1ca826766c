/* SPDX-License-Identifier: Apache-2.0 */
/* Claims of a LUN of a foreign target: whoever is newer has it alone, in whatever order they come, and also over a target that forgets. */
#include "plugins/iscsi/hold.h"

#include "base/leg_record.h"
#include "cluster/lunurl.h"
#include "tests/unit/check.h"

_Static_assert(HOLD_RECORD_AT == LEG_CLAIM && HOLD_RECORD_AT + HOLD_RECORD <= LEG_BITS, "the claim lies in the gap that the mirror leaves");

/* ---- a LUN with reservations as SPC-4 5.13 has them, as far as they matter here ---- */

#define NODES 4

struct lun {
	uint64_t key[NODES];            /* of each node's session; 0: not registered */
	int holder;                     /* -1: none */
	uint8_t record[HOLD_RECORD];
};

struct node {
	struct hold_id id;
	uint64_t mine;
	struct hold_seen seen;
	bool looked, claimed, stale;
};

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void look(const struct lun *l, struct hold_seen *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < NODES; i++)
		if (l->key[i])
			s->key[s->n_key++] = l->key[i];
	s->reserved = l->holder >= 0;
	s->holder = s->reserved ? l->key[l->holder] : 0;
	s->type = s->reserved ? HOLD_TYPE : 0;
}

static void reserve(struct lun *l, unsigned i)
{
	if (l->key[i] && l->holder < 0)
		l->holder = (int)i;
}

static void preempt(struct lun *l, unsigned i, uint64_t key)
{
	bool there = false;

	for (unsigned k = 0; k < NODES; k++)
		there |= l->key[k] == key;
	if (!l->key[i] || !there)
		return;
	if (l->holder >= 0 && l->key[l->holder] == key)
		l->holder = (int)i;
	for (unsigned k = 0; k < NODES; k++)
		if (k != i && l->key[k] == key)
			l->key[k] = 0;
}

static bool may_write(const struct lun *l, unsigned i)
{
	return l->holder < 0 || l->key[i];
}

/* What claim_make does after it has the reservation. */
static void record(struct lun *l, struct node *n, unsigned i)
{
	uint32_t seq, epoch;

	if (!may_write(l, i))
		return;
	epoch = hold_record_read(&n->id, l->record, &seq);
	if (epoch > n->id.epoch) {
		n->stale = true;
		l->key[i] = 0;
		if (l->holder == (int)i)
			l->holder = -1;
		return;
	}
	hold_record_write(&n->id, seq + 1, l->record);
	n->claimed = true;
}

/* One step of one node: it looks, or does what it decided by what it saw then. */
static void node_step(struct lun *l, struct node *n, unsigned i)
{
	uint64_t key;

	if (n->stale || n->claimed)
		return;
	if (!n->looked) {
		look(l, &n->seen);
		if (!n->mine)
			n->mine = hold_key(&n->id, &n->seen);
		n->looked = true;
		return;
	}
	n->looked = false;
	switch (hold_next(&n->id, n->mine, &n->seen, &key)) {
	case HOLD_REGISTER:
		l->key[i] = n->mine;
		return;
	case HOLD_RESERVE:
		reserve(l, i);
		return;
	case HOLD_PREEMPT:
		preempt(l, i, key);
		return;
	case HOLD_DONE:
		record(l, n, i);
		return;
	case HOLD_STALE:
		n->stale = true;
		return;
	case HOLD_FOREIGN:
		CHECK(!"nobody here is foreign");
	}
}

/* The target starts anew, without what it did not keep; all sessions with it. */
static void restart(struct lun *l, struct node *n)
{
	memset(l->key, 0, sizeof(l->key));
	l->holder = -1;
	for (unsigned i = 0; i < NODES; i++) {
		n[i].claimed = n[i].looked = false;
		n[i].mine = 0;
	}
}

static void race(bool restarts)
{
	struct lun l = { .holder = -1 };
	struct node n[NODES] = { { .mine = 0 } };
	unsigned newest = 0, steps;

	for (unsigned i = 0; i < NODES; i++)
		n[i].id = (struct hold_id){ .cluster = 0x1234, .leg = 7, .epoch = i + 1 };
	for (steps = 0; steps < 3000; steps++) {
		unsigned i = rnd(NODES);

		/* The last two join later; a stale one may wake up at any time. */
		if (i >= 2 && steps < i * 40)
			continue;
		if (restarts && rnd(400) == 0)
			restart(&l, n);
		node_step(&l, &n[i], i);
		if (n[i].claimed && i > newest)
			newest = i;
		/* Whoever believes that it has the LUN and may write it is the newest that ever had it. */
		for (unsigned k = 0; k < newest; k++)
			CHECK(!n[k].claimed || !may_write(&l, k) || !l.key[k]);
	}
	CHECK_EQ(newest, NODES - 1);
}

static void test_the_newest_has_it_alone(void)
{
	for (seed = 1; seed < 2000; seed += 2)
		race(false);
}

static void test_a_target_that_forgets_lets_no_old_owner_in(void)
{
	for (seed = 1; seed < 2000; seed += 2)
		race(true);
}

static void test_others_are_left_alone(void)
{
	struct hold_id id = { .cluster = 1, .leg = 2, .epoch = 3 };
	struct hold_seen s = { .key = { 0xdeadbeef }, .n_key = 1 };
	uint64_t key;

	CHECK_EQ(hold_next(&id, hold_key(&id, &s), &s, &key), HOLD_FOREIGN);
	CHECK_EQ(key, 0xdeadbeef);
	/* Another leg of ours: only what is no more may be taken, and only for a new leg. */
	s.key[0] = 0x0001000500000901;
	CHECK_EQ(hold_next(&id, 1, &s, &key), HOLD_FOREIGN);
	id.take = true;
	CHECK_EQ(hold_next(&id, 1, &s, &key), HOLD_REGISTER);
	CHECK(hold_parse("00010002", "00010004,00010005", &id));
	CHECK_EQ(id.n_other, 2);
	CHECK_EQ(hold_next(&id, 1, &s, &key), HOLD_FOREIGN);
	/* A reservation whose holder has no key of ours, all registrants' say. */
	s = (struct hold_seen){ .reserved = true, .type = 8 };
	CHECK_EQ(hold_next(&id, 1, &s, &key), HOLD_FOREIGN);
	s = (struct hold_seen){ .more = true };
	CHECK_EQ(hold_next(&id, 1, &s, &key), HOLD_FOREIGN);
}

static void test_keys_are_never_the_same(void)
{
	struct hold_id id = { .cluster = 0xffff, .leg = 0xffff, .epoch = HOLD_EPOCH_MAX };
	struct hold_seen s = { .n_key = 0 };

	while (s.n_key < HOLD_KEYS_MAX) {
		uint64_t key = hold_key(&id, &s);

		for (unsigned i = 0; i < s.n_key; i++)
			CHECK(s.key[i] != key);
		s.key[s.n_key++] = key;
	}
	id = (struct hold_id){ .epoch = 0 };
	s.n_key = 0;
	CHECK(hold_key(&id, &s) != 0);
}

static void test_what_the_lun_says(void)
{
	static const uint8_t keys[] = { 0, 0, 0, 9, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t held[24] = { 0, 0, 0, 9, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, [21] = 6 };
	struct hold_seen s;

	CHECK(hold_keys_read(keys, sizeof(keys), &s));
	CHECK_EQ(s.n_key, 2);
	CHECK(s.key[0] == 0x0102030405060708 && s.key[1] == 1 && !s.more);
	CHECK(hold_keys_read(keys, 16, &s));
	CHECK(s.n_key == 1 && s.more);
	CHECK(!hold_keys_read(keys, 7, &s));
	CHECK(hold_reservation_read(held, sizeof(held), &s));
	CHECK(s.reserved && s.holder == 0x0102030405060708 && s.type == 6);
	CHECK(!hold_reservation_read(held, 16, &s));
	CHECK(hold_reservation_read((const uint8_t[8]){ 0 }, 8, &s) && !s.reserved);
}

static void test_record_is_of_one_leg(void)
{
	struct hold_id id = { .cluster = 1, .leg = 2, .epoch = 77 }, other = { .cluster = 1, .leg = 3 };
	uint8_t r[HOLD_RECORD] = { 0 };
	uint32_t seq;

	CHECK_EQ(hold_record_read(&id, r, &seq), 0);
	hold_record_write(&id, 5, r);
	CHECK_EQ(hold_record_read(&id, r, &seq), 77);
	CHECK_EQ(seq, 5);
	CHECK_EQ(hold_record_read(&other, r, &seq), 0);
	r[100] ^= 1;
	CHECK_EQ(hold_record_read(&id, r, &seq), 0);
}

static void url(const char *text, const char *form)
{
	struct lunurl u;
	char out[LUNURL_MAX];
	const char *why = NULL;

	if (form) {
		CHECK_EQ(lunurl_parse(text, &u, &why), 0);
		CHECK_STR(lunurl_text(&u, out), form);
		CHECK_EQ(lunurl_parse(form, &u, NULL), 0);
	} else {
		CHECK(lunurl_parse(text, &u, &why) < 0 && why);
	}
}

static void test_urls(void)
{
	url("iscsi://10.0.0.1/IQN.2020-01.x:Disk/1", "iscsi://10.0.0.1:3260/iqn.2020-01.x:disk/1");
	url("iscsi://array,10.0.0.2:3261/iqn.2020-01.x:disk", "iscsi://array:3260,10.0.0.2:3261/iqn.2020-01.x:disk/0");
	url("iscsi://[fe80::1%eth0]:3260/naa.600140512345678/7", "iscsi://[fe80::1%eth0]:3260/naa.600140512345678/7");
	url("iscsi://10.0.0.1", NULL);
	url("iscsi:///iqn.2020-01.x:disk/1", NULL);
	url("iscsi://10.0.0.1:/iqn.2020-01.x:disk/1", NULL);
	url("iscsi://10.0.0.1:99999/iqn.2020-01.x:disk/1", NULL);
	url("iscsi://fe80::1/iqn.2020-01.x:disk/1", NULL);
	url("iscsi://[fe80::1/iqn.2020-01.x:disk/1", NULL);
	url("iscsi://10.0.0.1/disk/1", NULL);
	url("iscsi://10.0.0.1/iqn.2020-01.x:disk/16384", NULL);
	url("iscsi://10.0.0.1/iqn.2020-01.x:disk/1/2", NULL);
	url("iscsi://10.0.0.1,/iqn.2020-01.x:disk/1", NULL);
	url("http://10.0.0.1/iqn.2020-01.x:disk/1", NULL);
}

int main(void)
{
	RUN(test_the_newest_has_it_alone);
	RUN(test_a_target_that_forgets_lets_no_old_owner_in);
	RUN(test_others_are_left_alone);
	RUN(test_keys_are_never_the_same);
	RUN(test_what_the_lun_says);
	RUN(test_record_is_of_one_leg);
	RUN(test_urls);
	return 0;
}
