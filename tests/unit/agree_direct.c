/* SPDX-License-Identifier: Apache-2.0 */
/* What three members tell each other directly, with CPG and datagrams by hand. */
#include "cluster/agree.h"

#include <sodium.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cluster/agree_log.h"
#include "proto/agree.h"
#include "tests/unit/check.h"

#define N 3
#define FLIGHT_MAX 256

struct flight {
	unsigned from, to;
	struct buf bytes;
};

struct three {
	struct mono now;
	struct agree *a[N];
	uint64_t put[N], stored[N];
	struct agree_reply reply[N];
	unsigned n_reply[N], n_commit[N];
	bool sequencer[N], deaf;        /* deaf: datagrams are lost */
	struct flight cast[FLIGHT_MAX], direct[FLIGHT_MAX];
	unsigned n_cast, n_direct;
	unsigned casts[AGREE_MSG_FORWARDED + 1];        /* by kind, since the last look */
	struct buf kept;                /* the last proposal that was told directly */
	unsigned keep_from;
};

static struct node_id id_of(unsigned i)
{
	return (struct node_id){ { (uint8_t)(i + 1) } };
}

static unsigned index_of(const struct node_id *id)
{
	return id->b[0] - 1u;
}

static void one_step(struct three *t, unsigned i, struct agree_in in)
{
	struct agree_applied ap[64] = { { 0 } };
	struct agree_out out;
	unsigned n = 0;

	in.now = t->now;
	agree_step(t->a[i], &in, &out);
	for (unsigned k = 0; k < out.n_cast; k++) {
		struct flight *f = &t->cast[t->n_cast++];

		CHECK(t->n_cast < FLIGHT_MAX);
		f->from = i;
		buf_reset(&f->bytes);
		agree_msg_encode(&out.cast[k], &f->bytes);
		t->casts[out.cast[k].kind]++;
	}
	for (unsigned k = 0; k < out.n_send; k++) {
		struct flight *f = &t->direct[t->n_direct];

		if (out.send[k].msg.kind == AGREE_MSG_PROPOSE) {
			t->keep_from = i;
			buf_reset(&t->kept);
			agree_msg_encode(&out.send[k].msg, &t->kept);
		}
		if (out.send[k].quick && t->deaf)
			continue;
		CHECK(++t->n_direct < FLIGHT_MAX);
		f->from = i;
		f->to = index_of(&out.send[k].to);
		buf_reset(&f->bytes);
		agree_msg_encode(&out.send[k].msg, &f->bytes);
	}
	if (out.n_reply)
		t->reply[i] = out.reply[out.n_reply - 1];
	t->n_reply[i] += out.n_reply;
	if (out.install) {
		ap[n].index = out.install->index;
		memcpy(ap[n++].hash, out.install->hash, AGREE_HASH_LEN);
	}
	for (unsigned k = 0; k < out.n_commit; k++)
		ap[n++].index = out.commit[k]->index;
	t->n_commit[i] += out.n_commit;
	t->sequencer[i] = out.status->sequencer;
	if (out.put)
		t->put[i] = out.put->seq;
	if (n)
		one_step(t, i, (struct agree_in){ .kind = AGREE_IN_APPLIED, .applied = { ap, n } });
}

/* A disk that is done at once. */
static void step(struct three *t, unsigned i, struct agree_in in)
{
	one_step(t, i, in);
	while (t->stored[i] < t->put[i]) {
		t->stored[i] = t->put[i];
		one_step(t, i, (struct agree_in){ .kind = AGREE_IN_STORED, .stored = { t->stored[i], 0 } });
	}
}

static void give(struct three *t, unsigned to, unsigned from, enum agree_in_kind kind, const struct buf *b)
{
	struct agree_in in = { .kind = kind };
	struct agree_msg msg;

	CHECK_EQ(agree_msg_decode(b->data, b->len, &msg), 0);
	in.msg.from = id_of(from);
	in.msg.msg = &msg;
	step(t, to, in);
	agree_msg_fini(&msg);
}

/* Deliver all that is on its way, datagrams first. */
static void deliver(struct three *t)
{
	while (t->n_direct || t->n_cast) {
		bool direct = t->n_direct > 0;
		struct flight *list = direct ? t->direct : t->cast, f = list[0];
		unsigned *n = direct ? &t->n_direct : &t->n_cast;

		memmove(list, list + 1, (--*n) * sizeof(*list));
		list[*n] = (struct flight){ .from = 0 };
		for (unsigned i = 0; i < N; i++)
			if (!direct || i == f.to)
				give(t, i, f.from, direct ? AGREE_IN_MESH : AGREE_IN_CAST, &f.bytes);
		buf_fini(&f.bytes);
	}
}

static void pass_ms(struct three *t, unsigned ms)
{
	while (ms--) {
		t->now = mono_add_ms(t->now, 1);
		for (unsigned i = 0; i < N; i++)
			step(t, i, (struct agree_in){ .kind = AGREE_IN_TIMER });
		deliver(t);
	}
}

static void propose(struct three *t, unsigned i, uint8_t rid, enum agree_kind kind, const void *p, uint32_t len)
{
	step(t, i, (struct agree_in){ .kind = AGREE_IN_PROPOSE, .propose = { { { rid, 0xaa } }, kind, p, len } });
}

static unsigned sequencer(const struct three *t)
{
	for (unsigned i = 0; i < N; i++)
		if (t->sequencer[i])
			return i;
	CHECK(!"nobody gives the order");
	return 0;
}

static void begin(struct three *t)
{
	struct agree_snap snap = { .lineage = { 9 }, .index = 1, .epoch = 1 };
	struct node_id id[N];
	struct addr addr = { .family = 4, .ip = { 10, 0, 0, 1 } };

	memset(t, 0, sizeof(*t));
	t->now = (struct mono){ 1000000000 };
	for (unsigned i = 0; i < N; i++) {
		id[i] = id_of(i);
		if (i == 0)
			roster_found(&snap.roster, &id[0], &addr, 1);
		else
			CHECK_EQ(roster_add(&snap.roster, &id[i], &addr, 1), 0);
		snap.roster.node[i].role = ROSTER_VOTER;
	}
	snap.chain = agree_chain_found(&snap);
	for (unsigned i = 0; i < N; i++) {
		struct agree_conf conf = { .self = id[i], .boot = 100 + i };
		struct agree_disk disk = { .promised = 1, .synced = 1, .commit = 1, .snap = &snap };

		t->a[i] = agree_new(&conf);
		step(t, i, (struct agree_in){ .kind = AGREE_IN_START, .disk = &disk });
		step(t, i, (struct agree_in){ .kind = AGREE_IN_VIEW, .view = { false, id, N } });
	}
	pass_ms(t, 400);
	memset(t->casts, 0, sizeof(t->casts));
}

static void end(struct three *t)
{
	for (unsigned i = 0; i < N; i++)
		agree_free(&t->a[i]);
	for (unsigned i = 0; i < FLIGHT_MAX; i++) {
		buf_fini(&t->cast[i].bytes);
		buf_fini(&t->direct[i].bytes);
	}
	buf_fini(&t->kept);
}

static void a_commit_needs_no_cast(void)
{
	struct three t;
	unsigned other;

	begin(&t);
	other = (sequencer(&t) + 1) % N;
	propose(&t, other, 1, AGREE_TXN, "x", 1);
	deliver(&t);
	CHECK_EQ(t.n_reply[other], 1);
	CHECK_EQ(t.reply[other].err, 0);
	for (unsigned i = 0; i < N; i++)
		CHECK_EQ(t.n_commit[i], 1);
	pass_ms(&t, 1000);
	CHECK_EQ(t.casts[AGREE_MSG_PROPOSE] + t.casts[AGREE_MSG_ENTRY], 0);
	CHECK_EQ(t.casts[AGREE_MSG_ACK], N);            /* the report of the state's hash */
	end(&t);
}

static void what_is_lost_is_cast(void)
{
	struct three t;
	unsigned other;

	begin(&t);
	other = (sequencer(&t) + 1) % N;
	t.deaf = true;
	propose(&t, other, 1, AGREE_TXN, "x", 1);
	deliver(&t);
	CHECK_EQ(t.n_reply[other], 0);
	pass_ms(&t, 100);
	CHECK_EQ(t.n_reply[other], 1);
	CHECK_EQ(t.reply[other].err, 0);
	for (unsigned i = 0; i < N; i++)
		CHECK_EQ(t.n_commit[i], 1);
	/* Lost again and again, it is cast at once. */
	for (uint8_t k = 2; k < 6; k++) {
		propose(&t, other, k, AGREE_TXN, "x", 1);
		pass_ms(&t, 100);
	}
	propose(&t, other, 7, AGREE_TXN, "x", 1);
	pass_ms(&t, 2);
	CHECK_EQ(t.n_reply[other], 6);
	/* And when it arrives again, it is not. */
	t.deaf = false;
	propose(&t, other, 8, AGREE_TXN, "x", 1);
	pass_ms(&t, 1000);
	memset(t.casts, 0, sizeof(t.casts));
	propose(&t, other, 9, AGREE_TXN, "x", 1);
	pass_ms(&t, 100);
	CHECK_EQ(t.casts[AGREE_MSG_PROPOSE] + t.casts[AGREE_MSG_ENTRY], 0);
	CHECK_EQ(t.n_reply[other], 8);
	end(&t);
}

static void what_is_too_long_is_cast_at_once(void)
{
	static const uint8_t big[4096];
	struct three t;
	unsigned other;

	begin(&t);
	other = (sequencer(&t) + 1) % N;
	propose(&t, other, 1, AGREE_TXN, big, sizeof(big));
	deliver(&t);
	CHECK_EQ(t.n_reply[other], 1);
	CHECK_EQ(t.reply[other].err, 0);
	CHECK_EQ(t.casts[AGREE_MSG_PROPOSE], 1);
	CHECK_EQ(t.casts[AGREE_MSG_ENTRY], 1);
	end(&t);
}

/* A roster that does not follow is refused; its datagram, come late, must not be taken when it would be allowed. */
static void a_late_copy_of_what_was_refused_is_not_taken(void)
{
	struct three t;
	struct roster r, next;
	uint8_t packed[ROSTER_PACKED_MAX];
	struct agree_out out;
	unsigned s, other, commits;

	begin(&t);
	s = sequencer(&t);
	other = (s + 1) % N;
	agree_step(t.a[s], &(struct agree_in){ .kind = AGREE_IN_TIMER, .now = t.now }, &out);
	r = out.status->roster;
	next = r;
	next.version += 2;
	t.deaf = true;
	propose(&t, other, 1, AGREE_ROSTER, packed, (uint32_t)roster_pack(&next, packed));
	pass_ms(&t, 100);
	CHECK_EQ(t.n_reply[other], 1);
	CHECK_EQ(t.reply[other].err, ERR_CONFLICT);
	CHECK(!t.reply[other].in_doubt);
	t.deaf = false;
	/* One more change makes it the next one. */
	next = r;
	next.version++;
	propose(&t, s, 2, AGREE_ROSTER, packed, (uint32_t)roster_pack(&next, packed));
	pass_ms(&t, 100);
	CHECK_EQ(t.reply[s].err, 0);
	commits = t.n_commit[s];
	give(&t, s, t.keep_from, AGREE_IN_MESH, &t.kept);
	pass_ms(&t, 100);
	CHECK_EQ(t.n_commit[s], commits);
	end(&t);
}

int main(void)
{
	CHECK(sodium_init() >= 0);
	RUN(a_commit_needs_no_cast);
	RUN(what_is_lost_is_cast);
	RUN(what_is_too_long_is_cast_at_once);
	RUN(a_late_copy_of_what_was_refused_is_not_taken);
	return 0;
}
