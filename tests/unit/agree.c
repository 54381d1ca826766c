/* SPDX-License-Identifier: Apache-2.0 */
/* Agreement step by step: one node alone, three by hand, the roster, the voter rule, the codec. */
#include "cluster/agree.h"

#include <sodium.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/agree_log.h"
#include "proto/agree.h"
#include "tests/unit/check.h"

static struct node_id id_of(uint8_t i)
{
	struct node_id id = { { i } };

	return id;
}

static struct agree_rid rid_of(uint8_t i)
{
	struct agree_rid rid = { { i, 0xaa } };

	return rid;
}

static struct addr addr_of(uint8_t i)
{
	struct addr a = { .family = 4, .ip = { 10, 0, 0, i } };

	return a;
}

/* --- roster --- */

static struct roster roster_of(unsigned n)
{
	struct roster r;
	struct node_id id = id_of(1);
	struct addr a = addr_of(1);

	roster_found(&r, &id, &a, 1);
	for (uint8_t i = 2; i <= n; i++) {
		id = id_of(i);
		a = addr_of(i);
		CHECK_EQ(roster_add(&r, &id, &a, 1), 0);
	}
	return r;
}

static void a_roster_survives_packing_and_refuses_damage(void)
{
	struct roster r = roster_of(16), back;
	uint8_t p[ROSTER_PACKED_MAX + 1];
	size_t n = roster_pack(&r, p);

	CHECK_EQ(roster_unpack(p, n, &back), 0);
	CHECK(roster_eq(&r, &back));
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(roster_unpack(p, i, &back), ERR_MALFORMED);
	p[21] = 200;    /* count */
	CHECK_EQ(roster_unpack(p, n, &back), ERR_MALFORMED);
}

static void a_rosters_nodeids_of_the_host_survive_packing(void)
{
	struct roster r = roster_of(16), old = r, back;
	struct node_id id = id_of(3);
	uint8_t p[ROSTER_PACKED_MAX], q[ROSTER_PACKED_MAX];

	CHECK_EQ(roster_host(&r, &id, 4711), 0);
	CHECK_EQ(roster_follows(&old, &r), 0);
	CHECK_EQ(roster_unpack(p, roster_pack(&r, p), &back), 0);
	CHECK(roster_eq(&r, &back));
	CHECK_EQ(roster_find(&back, &id)->host_nodeid, 4711);
	/* Without one the bytes are those of a version that did not know it. */
	CHECK_EQ(roster_pack(&r, p), roster_pack(&old, q) + 4);
}

static void a_rosters_key_is_a_change_of_the_ring(void)
{
	struct roster r = roster_of(3), old = r, back;
	uint8_t p[ROSTER_PACKED_MAX];
	size_t n;

	CHECK_EQ(roster_rekey(&r, 7), 0);
	CHECK_EQ(roster_rekey(&r, 7), ERR_EXIST);
	CHECK_EQ(roster_follows(&old, &r), 0);
	n = roster_pack(&r, p);
	CHECK_EQ(roster_unpack(p, n, &back), 0);
	CHECK(roster_eq(&r, &back));
	CHECK_EQ(roster_unpack(p, n - 1, &back), ERR_MALFORMED);
	r.ring_epoch--;         /* nobody would write the file anew */
	CHECK_EQ(roster_follows(&old, &r), ERR_INVAL);
}

static void a_nodeid_is_never_given_again(void)
{
	struct roster r = roster_of(3), old;
	struct node_id third = id_of(3);
	struct addr a = addr_of(3);
	uint32_t nodeid = roster_find(&r, &third)->nodeid;

	CHECK_EQ(roster_drop(&r, &third), 0);
	old = r;
	CHECK_EQ(roster_add(&r, &third, &a, 1), 0);
	CHECK(roster_find(&r, &third)->nodeid > nodeid);
	CHECK_EQ(roster_follows(&old, &r), 0);
	r.node[r.n - 1].nodeid = nodeid;
	CHECK_EQ(roster_follows(&old, &r), ERR_INVAL);
}

static void a_roster_must_follow_the_one_before(void)
{
	struct roster r = roster_of(3), next = r;
	struct node_id first = id_of(1), second = id_of(2);

	CHECK_EQ(roster_follows(&r, &next), ERR_CONFLICT);
	CHECK_EQ(roster_set_role(&next, &second, ROSTER_VOTER), 0);
	CHECK_EQ(roster_follows(&r, &next), 0);
	next.ring_epoch++;      /* nothing of the ring changed */
	CHECK_EQ(roster_follows(&r, &next), ERR_INVAL);
	CHECK_EQ(roster_set_role(&r, &first, ROSTER_SPARE), ERR_INVAL);       /* the last voter */
	CHECK_EQ(roster_drop(&r, &first), ERR_INVAL);
}

static unsigned votes_after_the_rule(struct roster *r, struct roster_candidate *c, unsigned n)
{
	struct roster next;

	for (unsigned i = 0; roster_choose(r, c, n, &next); i++) {
		CHECK(i < 20);
		CHECK_EQ(roster_follows(r, &next), 0);
		*r = next;
	}
	return roster_n_voters(r);
}

static void votes_are_one_two_then_odd(void)
{
	static const unsigned want[] = { 0, 1, 2, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15 };
	struct roster_candidate c[16];

	for (unsigned n = 1; n <= 16; n++) {
		struct roster r = roster_of(n);

		for (uint8_t i = 0; i < n; i++)
			c[i] = (struct roster_candidate){ id_of((uint8_t)(i + 1)), true, true, false, 1000 };
		CHECK_EQ(votes_after_the_rule(&r, c, n), want[n]);
	}
}

static void a_spare_replaces_a_dead_voter_and_only_then(void)
{
	struct roster r = roster_of(4), next;
	struct roster_candidate c[4];
	struct node_id second = id_of(2), fourth = id_of(4);

	for (uint8_t i = 0; i < 4; i++)
		c[i] = (struct roster_candidate){ id_of((uint8_t)(i + 1)), true, true, false, 1000 };
	CHECK_EQ(votes_after_the_rule(&r, c, 4), 3);
	CHECK(!roster_votes(&r, &fourth));
	c[1].alive = c[1].in_ring = false;
	c[1].steady_ms = ROSTER_DEAD_MS - 1;
	CHECK(!roster_choose(&r, c, 4, &next));
	c[1].steady_ms = ROSTER_DEAD_MS;
	CHECK(roster_choose(&r, c, 4, &next));
	CHECK(roster_votes(&next, &fourth) && !roster_votes(&next, &second));
	c[3].barred = true;
	CHECK(!roster_choose(&r, c, 4, &next));
}

/* --- one node alone --- */

struct one {
	struct agree *a;
	struct agree_out out;
	struct mono now;
	uint64_t seq;           /* of the last put */
	unsigned n_commit, n_reply, n_install;
	struct agree_reply reply;
};

static void step(struct one *o, struct agree_in in)
{
	struct agree_applied ap[16] = { { 0 } };
	unsigned n = 0;

	in.now = o->now;
	agree_step(o->a, &in, &o->out);
	if (o->out.put)
		o->seq = o->out.put->seq;
	if (o->out.n_reply)
		o->reply = o->out.reply[o->out.n_reply - 1];
	o->n_reply += o->out.n_reply;
	if (o->out.install) {
		ap[n].index = o->out.install->index;
		memcpy(ap[n++].hash, o->out.install->hash, AGREE_HASH_LEN);
		o->n_install++;
	}
	for (unsigned i = 0; i < o->out.n_commit; i++)
		ap[n++].index = o->out.commit[i]->index;
	o->n_commit += o->out.n_commit;
	if (n)
		step(o, (struct agree_in){ .kind = AGREE_IN_APPLIED, .applied = { ap, n } });
}

static void stored(struct one *o)
{
	for (uint64_t seq = 0; seq != o->seq;) {
		seq = o->seq;
		step(o, (struct agree_in){ .kind = AGREE_IN_STORED, .stored = { seq, 0 } });
	}
}

static void found_with(struct one *o, unsigned snap_entries)
{
	struct agree_conf conf = { .self = id_of(1), .boot = 7, .snap_entries = snap_entries };
	struct agree_disk disk = { 0 };
	struct agree_snap snap = { .lineage = { 9 }, .roster = roster_of(1) };
	struct node_id self = id_of(1);

	memset(o, 0, sizeof(*o));
	o->now = (struct mono){ 1000000000 };
	o->a = agree_new(&conf);
	step(o, (struct agree_in){ .kind = AGREE_IN_START, .disk = &disk });
	CHECK(!o->out.status->has_log);
	step(o, (struct agree_in){ .kind = AGREE_IN_FOUND, .found = &snap });
	CHECK(o->out.put && o->out.put->install);
	stored(o);
	step(o, (struct agree_in){ .kind = AGREE_IN_VIEW, .view = { true, &self, 1 } });
}

static void found(struct one *o)
{
	found_with(o, 0);
}

static void propose(struct one *o, uint8_t rid, const char *text)
{
	step(o, (struct agree_in){ .kind = AGREE_IN_PROPOSE, .propose = { rid_of(rid), AGREE_TXN, (const uint8_t *)text,
									  (uint32_t)strlen(text) } });
}

static void one_node_commits_when_it_is_durable(void)
{
	struct one o;

	found(&o);
	CHECK(o.out.status->mode == AGREE_RECOVERING);
	stored(&o);
	CHECK(o.out.status->mode == AGREE_ACTIVE && o.out.status->sequencer && o.out.status->local);
	propose(&o, 1, "first");
	CHECK(o.out.put && o.out.put->n_entry == 1);
	CHECK_EQ(o.n_commit, 0);
	CHECK_EQ(o.n_reply, 0);
	CHECK_EQ(o.out.n_cast, 0);      /* there is nobody to cast to */
	stored(&o);
	CHECK_EQ(o.n_commit, 1);
	CHECK_EQ(o.n_reply, 1);
	CHECK(o.reply.err == 0 && o.reply.index == 2);
	agree_free(&o.a);
}

static void a_request_is_applied_once(void)
{
	struct one o;

	found(&o);
	stored(&o);
	propose(&o, 1, "first");
	propose(&o, 1, "first");
	stored(&o);
	propose(&o, 1, "first");
	CHECK_EQ(o.n_commit, 1);
	CHECK(o.reply.err == 0 && o.reply.index == 2);
	agree_free(&o.a);
}

static void a_failed_store_refuses_and_says_why(void)
{
	struct one o;

	found(&o);
	stored(&o);
	propose(&o, 1, "first");
	step(&o, (struct agree_in){ .kind = AGREE_IN_STORED, .stored = { o.seq, ERR_NOSPC } });
	CHECK_EQ(o.n_commit, 0);
	CHECK(o.reply.err == ERR_IO && o.reply.in_doubt);
	CHECK(o.out.status->mode == AGREE_STORE_FAILED);
	CHECK(strstr(o.out.status->reason, "no space left"));
	propose(&o, 2, "second");
	CHECK(o.reply.err == ERR_IO && !o.reply.in_doubt);
	CHECK(!o.out.put);
	agree_free(&o.a);
}

static void a_minority_refuses_at_once(void)
{
	struct one o;
	struct roster r = roster_of(2);
	uint8_t packed[ROSTER_PACKED_MAX];
	struct node_id second = id_of(2), self = id_of(1);

	found(&o);
	stored(&o);
	step(&o, (struct agree_in){ .kind = AGREE_IN_PROPOSE, .propose = { rid_of(1), AGREE_ROSTER, packed,
									   (uint32_t)roster_pack(&r, packed) } });
	stored(&o);
	CHECK_EQ(o.reply.err, 0);
	/* A vote for a node that has no log yet would be waited for in vain. */
	CHECK_EQ(roster_set_role(&r, &second, ROSTER_VOTER), 0);
	step(&o, (struct agree_in){ .kind = AGREE_IN_PROPOSE, .propose = { rid_of(2), AGREE_ROSTER, packed,
									   (uint32_t)roster_pack(&r, packed) } });
	CHECK_EQ(o.reply.err, ERR_AGAIN);
	step(&o, (struct agree_in){ .kind = AGREE_IN_VIEW, .view = { false, &self, 0 } });
	CHECK(o.out.status->mode == AGREE_NO_VIEW);
	propose(&o, 3, "x");
	CHECK_EQ(o.reply.err, ERR_NOQUORUM);
	agree_free(&o.a);
}

/* A ring is stopped and changed by it: what a restart would have forgotten is not acted upon. */
static void the_roster_of_a_snapshot_counts_when_it_is_stored(void)
{
	struct agree_snap snap = { .lineage = { 9 }, .index = 50, .epoch = 3, .roster = roster_of(3), .bytes = (uint8_t *)"x", .len = 1 };
	struct agree_msg msg = { .kind = AGREE_MSG_SNAP };
	struct node_id second = id_of(2);
	struct one o;

	snap.roster.version = 7;
	msg.snap.snap = snap;
	msg.snap.total = snap.len;
	found(&o);
	stored(&o);
	step(&o, (struct agree_in){ .kind = AGREE_IN_VIEW });
	step(&o, (struct agree_in){ .kind = AGREE_IN_LEARN, .learn = second });
	CHECK_EQ(o.out.n_send, 1);
	o.n_install = 0;
	step(&o, (struct agree_in){ .kind = AGREE_IN_MESH, .msg = { second, &msg } });
	CHECK_EQ(o.n_install, 1);
	CHECK_EQ(o.out.status->applied, 50);
	CHECK_EQ(o.out.status->roster.n, 1);
	step(&o, (struct agree_in){ .kind = AGREE_IN_TIMER });
	CHECK_EQ(o.out.status->roster.n, 1);
	stored(&o);
	CHECK_EQ(o.out.status->roster.n, 3);
	CHECK_EQ(o.out.status->roster.version, 7);
	agree_free(&o.a);
}

static void a_snapshot_that_is_too_long_is_not_asked_for_at_every_step(void)
{
	struct one o;

	found_with(&o, 2);
	stored(&o);
	propose(&o, 1, "first");
	stored(&o);
	propose(&o, 2, "second");
	stored(&o);
	CHECK(o.out.need_snapshot);
	step(&o, (struct agree_in){ .kind = AGREE_IN_SNAPSHOT, .snapshot = { o.out.status->applied, (const uint8_t *)"", AGREE_SNAPSHOT_MAX + 1 } });
	CHECK(!o.out.need_snapshot);
	step(&o, (struct agree_in){ .kind = AGREE_IN_TIMER });
	CHECK(!o.out.need_snapshot);
	propose(&o, 3, "third");
	stored(&o);
	propose(&o, 4, "fourth");
	stored(&o);
	CHECK(o.out.need_snapshot);
	agree_free(&o.a);
}

static void what_was_stored_is_there_after_a_restart(void)
{
	struct one o, p;
	struct agree_conf conf = { .self = id_of(1), .boot = 8 };
	struct agree_snap snap = { .lineage = { 9 }, .roster = roster_of(1), .index = 1, .epoch = 1 };
	const struct agree_entry *e[1];
	struct agree_disk disk = { .promised = 2, .synced = 2, .commit = 1, .snap = &snap, .entry = e, .n_entry = 1 };
	struct node_id self = id_of(1);

	found(&o);
	stored(&o);
	propose(&o, 1, "first");
	stored(&o);
	snap.chain = agree_chain_found(&snap);
	e[0] = agree_entry_at(o.a, 2);
	CHECK(e[0] && e[0]->index == 2);
	memset(&p, 0, sizeof(p));
	p.now = o.now;
	p.a = agree_new(&conf);
	step(&p, (struct agree_in){ .kind = AGREE_IN_START, .disk = &disk });
	CHECK_EQ(p.n_install, 1);       /* the state of the snapshot first */
	CHECK_EQ(p.n_commit, 0);        /* stored is not committed ... */
	step(&p, (struct agree_in){ .kind = AGREE_IN_VIEW, .view = { true, &self, 1 } });
	stored(&p);
	CHECK_EQ(p.n_commit, 1);        /* ... until a majority has it in a new epoch */
	CHECK(p.out.status->mode == AGREE_ACTIVE && p.out.status->epoch > 2);
	propose(&p, 1, "first");
	CHECK(p.reply.err == 0 && p.reply.index == 2);
	agree_free(&p.a);
	agree_free(&o.a);
}

static void a_damaged_log_stops_the_vote(void)
{
	struct one p = { .now = { 1000000000 } };
	struct agree_conf conf = { .self = id_of(1), .boot = 8 };
	struct agree_snap snap = { .lineage = { 9 }, .roster = roster_of(1), .index = 1, .epoch = 1 };
	uint8_t byte = 'x';
	struct agree_entry bad = { .index = 2, .epoch = 2, .kind = AGREE_TXN, .payload = &byte, .len = 1 };
	const struct agree_entry *e[1] = { &bad };
	struct agree_disk disk = { .promised = 2, .synced = 2, .commit = 1, .snap = &snap, .entry = e, .n_entry = 1 };

	p.a = agree_new(&conf);
	step(&p, (struct agree_in){ .kind = AGREE_IN_START, .disk = &disk });
	CHECK(p.out.status->mode == AGREE_STORE_FAILED);
	CHECK(strstr(p.out.status->reason, "damaged"));
	agree_free(&p.a);
}

static void the_chain_tells_logs_apart(void)
{
	struct agree_chain none = { { 0 } };
	struct agree_rid rid = rid_of(1);
	struct agree_entry *a = agree_entry_make(&none, 5, 3, AGREE_TXN, &rid, (const uint8_t *)"a", 1);
	struct agree_entry *b = agree_entry_make(&none, 5, 3, AGREE_TXN, &rid, (const uint8_t *)"b", 1);
	struct agree_entry *copy = agree_entry_follow(&none, a);

	CHECK(!agree_chain_eq(&a->chain, &b->chain));
	CHECK(copy && agree_chain_eq(&copy->chain, &a->chain));
	CHECK(!agree_entry_follow(&b->chain, a));
	agree_entry_drop(&a);
	agree_entry_drop(&b);
	agree_entry_drop(&copy);
}

/* --- codec --- */

static void messages_come_back_as_they_went(void)
{
	struct agree_msg m = { .kind = AGREE_MSG_STATE, .boot = 5, .tag = 0 }, back;
	struct buf b = { 0 };

	m.state.round = 3;
	m.state.promised = 9;
	m.state.synced = 8;
	m.state.last.index = 77;
	m.state.roster = roster_of(3);
	m.state.roster_index = 70;
	m.state.joint = true;
	m.state.before = roster_of(2);
	agree_msg_encode(&m, &b);
	CHECK_EQ(agree_msg_decode(b.data, b.len, &back), 0);
	CHECK(back.kind == AGREE_MSG_STATE && back.boot == 5 && back.state.joint && back.state.synced == 8);
	CHECK(roster_eq(&back.state.roster, &m.state.roster) && roster_eq(&back.state.before, &m.state.before));
	for (size_t i = 0; i < b.len; i++) {
		struct agree_msg cut;

		if (agree_msg_decode(b.data, i, &cut) == 0)
			agree_msg_fini(&cut);
	}
	agree_msg_fini(&back);
	buf_fini(&b);
}

static const uint8_t *encoded(const struct agree_msg *m, struct buf *b)
{
	buf_reset(b);
	agree_msg_encode(m, b);
	return b->data;
}

static void beats_and_echoes_come_back_as_they_went(void)
{
	struct agree_msg beat = { .kind = AGREE_MSG_BEAT, .boot = 5, .beat = { .number = 1000, .asked = { { 1, 2, 3 } }, .epoch = 7 } };
	struct agree_msg echo = { .kind = AGREE_MSG_ECHO, .boot = 5, .beat = { .number = 1000, .end = 9, .silent = 1061 } };
	struct agree_msg back;
	struct buf b = { 0 };

	encoded(&beat, &b);
	CHECK_EQ(agree_msg_decode(b.data, b.len, &back), 0);
	CHECK(back.kind == AGREE_MSG_BEAT && back.boot == 5 && back.beat.number == 1000 && back.beat.epoch == 7);
	CHECK(node_id_eq(&back.beat.asked, &beat.beat.asked) && back.beat.silent == 0 && back.beat.end == 0);
	agree_msg_fini(&back);
	encoded(&echo, &b);
	CHECK_EQ(agree_msg_decode(b.data, b.len, &back), 0);
	CHECK(back.kind == AGREE_MSG_ECHO && back.beat.number == 1000 && back.beat.end == 9 && back.beat.silent == 1061);
	CHECK(node_id_none(&back.beat.asked) && back.beat.epoch == 0);
	agree_msg_fini(&back);
	buf_fini(&b);
}

/* Field 17 or 18 with a number and an end, as a node sends it that does not know of silence. */
static void beats_of_an_older_version_ask_nothing_and_say_nothing(void)
{
	static const uint8_t beat[] = { 0x09, 5, 0, 0, 0, 0, 0, 0, 0, 0x8a, 0x01, 3, 0x08, 0xe8, 0x07 };
	static const uint8_t echo[] = { 0x09, 5, 0, 0, 0, 0, 0, 0, 0, 0x92, 0x01, 5, 0x08, 0xe8, 0x07, 0x10, 9 };
	struct agree_msg back;
	struct buf b = { 0 };

	CHECK_EQ(agree_msg_decode(beat, sizeof(beat), &back), 0);
	CHECK(back.kind == AGREE_MSG_BEAT && back.beat.number == 1000 && node_id_none(&back.beat.asked) && back.beat.epoch == 0);
	/* And to one that asks nobody it looks as it always did. */
	CHECK_EQ(memcmp(encoded(&back, &b), beat, sizeof(beat)), 0);
	CHECK_EQ(b.len, sizeof(beat));
	agree_msg_fini(&back);
	CHECK_EQ(agree_msg_decode(echo, sizeof(echo), &back), 0);
	CHECK(back.kind == AGREE_MSG_ECHO && back.beat.end == 9 && back.beat.silent == 0);
	CHECK_EQ(memcmp(encoded(&back, &b), echo, sizeof(echo)), 0);
	CHECK_EQ(b.len, sizeof(echo));
	agree_msg_fini(&back);
	buf_fini(&b);
}

/* A beat of field 17 that has, behind its number, these bytes. */
static int beat_with(const uint8_t *p, size_t n)
{
	uint8_t m[64] = { 0x09, 5, 0, 0, 0, 0, 0, 0, 0, 0x8a, 0x01, (uint8_t)(3 + n), 0x08, 0xe8, 0x07 };
	struct agree_msg back;
	int err;

	memcpy(m + 15, p, n);
	err = agree_msg_decode(m, 15 + n, &back);
	if (err == 0)
		agree_msg_fini(&back);
	return err;
}

static void a_beat_that_asks_for_no_node_or_with_too_much_is_refused(void)
{
	uint8_t asked[2 + 17] = { 0x1a, 16, 1 };
	/* 2^62 and all ones, in fields 4 and 5. */
	uint8_t large[] = { 0x20, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40 };
	uint8_t most[] = { 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 };

	CHECK_EQ(beat_with(asked, 2 + 16), 0);
	for (uint8_t n = 1; n <= 17; n++) {
		asked[1] = n;
		CHECK_EQ(beat_with(asked, 2u + n), n == 16 ? 0 : ERR_MALFORMED);
	}
	/* Nobody. */
	asked[1] = 0;
	CHECK_EQ(beat_with(asked, 2), 0);
	/* Longer than there is. */
	asked[1] = 16;
	CHECK_EQ(beat_with(asked, 2 + 15), ERR_MALFORMED);
	for (unsigned field = 4; field <= 5; field++) {
		large[0] = most[0] = (uint8_t)(field << 3);
		CHECK_EQ(beat_with(large, sizeof(large)), ERR_MALFORMED);
		CHECK_EQ(beat_with(most, sizeof(most)), ERR_MALFORMED);
		CHECK_EQ(beat_with(most, sizeof(most) - 1), ERR_MALFORMED);
		/* 2^62 less one. */
		most[9] = 0x3f;
		CHECK_EQ(beat_with(most, sizeof(most) - 1), 0);
		most[9] = 0xff;
	}
}

static void a_message_without_boot_or_with_too_much_is_refused(void)
{
	struct agree_msg m = { .kind = AGREE_MSG_PROPOSE, .boot = 0 }, back;
	struct buf b = { 0 };
	uint8_t *big = mem_zalloc(AGREE_PAYLOAD_MAX + 1);

	m.propose.kind = AGREE_TXN;
	agree_msg_encode(&m, &b);
	CHECK_EQ(agree_msg_decode(b.data, b.len, &back), ERR_MALFORMED);
	m.boot = 1;
	m.propose.payload = big;
	m.propose.len = AGREE_PAYLOAD_MAX + 1;
	buf_reset(&b);
	agree_msg_encode(&m, &b);
	CHECK_EQ(agree_msg_decode(b.data, b.len, &back), ERR_MALFORMED);
	m.propose.len--;
	buf_reset(&b);
	agree_msg_encode(&m, &b);
	CHECK_EQ(agree_msg_decode(b.data, b.len, &back), 0);
	agree_msg_fini(&back);
	free(big);
	buf_fini(&b);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	RUN(a_roster_survives_packing_and_refuses_damage);
	RUN(a_rosters_nodeids_of_the_host_survive_packing);
	RUN(a_rosters_key_is_a_change_of_the_ring);
	RUN(a_nodeid_is_never_given_again);
	RUN(a_roster_must_follow_the_one_before);
	RUN(votes_are_one_two_then_odd);
	RUN(a_spare_replaces_a_dead_voter_and_only_then);
	RUN(one_node_commits_when_it_is_durable);
	RUN(a_request_is_applied_once);
	RUN(a_failed_store_refuses_and_says_why);
	RUN(a_minority_refuses_at_once);
	RUN(the_roster_of_a_snapshot_counts_when_it_is_stored);
	RUN(a_snapshot_that_is_too_long_is_not_asked_for_at_every_step);
	RUN(what_was_stored_is_there_after_a_restart);
	RUN(a_damaged_log_stops_the_vote);
	RUN(the_chain_tells_logs_apart);
	RUN(messages_come_back_as_they_went);
	RUN(beats_and_echoes_come_back_as_they_went);
	RUN(beats_of_an_older_version_ask_nothing_and_say_nothing);
	RUN(a_beat_that_asks_for_no_node_or_with_too_much_is_refused);
	RUN(a_message_without_boot_or_with_too_much_is_refused);
	return 0;
}
