/* SPDX-License-Identifier: Apache-2.0 */
/* target/iscsi/task_set: which commands may start, by their task attributes; step by step, then against the rule itself. */
#include <string.h>

#include "base/rng.h"
#include "target/iscsi/sn.h"
#include "target/iscsi/task_set.h"
#include "tests/unit/check.h"
#include "tests/unit/target_world.h"

#define DISK (1u << 20)
#define KEYS(s) (s), sizeof(s) - 1
#define ERL2 "ErrorRecoveryLevel=2\0MaxConnections=4\0DefaultTime2Wait=2\0DefaultTime2Retain=20\0"

static void start(struct world *w, const char *keys, size_t len)
{
	world_init(w, DISK, 512);
	w->policy.ours.max_connections = 4;
	w->policy.ours.erl = 2;
	w->policy.ours.time2retain = 20;
	world_login(w, keys, len);
	w->hold = true;
}

static void put_attr(struct world *w, unsigned attr, unsigned lun, unsigned flags, const uint8_t *cdb, uint32_t len)
{
	struct buf b = { 0 };

	w->exp_statsn = w->conn->statsn;
	put_command(w, &b, PDU_FINAL | flags, cdb, len, NULL, 0);
	b.data[1] = (uint8_t)((b.data[1] & ~CMD_ATTR_MASK) | attr);
	b.data[9] = (uint8_t)lun;
	world_feed(w, b.data, b.len, 0);
	buf_fini(&b);
}

/* TEST UNIT READY; its tag. */
static uint32_t send_to(struct world *w, unsigned lun, unsigned attr)
{
	static const uint8_t cdb[16];

	put_attr(w, attr, lun, 0, cdb, 0);
	return w->itt - 1;
}

static uint32_t send(struct world *w, unsigned attr)
{
	return send_to(w, 0, attr);
}

/* A write of one block, whose data is asked for. */
static uint32_t send_write(struct world *w, unsigned attr)
{
	static const uint8_t cdb[16] = { 0x2a, 0, 0, 0, 0, 8, 0, 0, 1 };

	put_attr(w, attr, 0, CMD_WRITE, cdb, 512);
	return w->itt - 1;
}

static void send_data(struct world *w, uint32_t itt)
{
	static const uint8_t block[512];
	struct buf b = { 0 };

	put_data_out(w, &b, itt, 0, 0, 0, true, block, sizeof(block));
	world_feed(w, b.data, b.len, 0);
	buf_fini(&b);
}

static int held_at(const struct world *w, uint32_t itt)
{
	for (unsigned i = 0; i < w->n_held; i++)
		if (((struct iscsi_task *)w->held[i])->itt == itt)
			return (int)i;
	return -1;
}

static bool runs(const struct world *w, uint32_t itt)
{
	return held_at(w, itt) >= 0;
}

static void finish(struct world *w, uint32_t itt)
{
	int i = held_at(w, itt);
	struct task *t;

	CHECK(i >= 0);
	t = w->held[i];
	memmove(w->held + i, w->held + i + 1, (--w->n_held - (unsigned)i) * sizeof(w->held[0]));
	conn_task_done(t);
	world_run(w);
}

static bool has_sets(const struct world *w)
{
	for (unsigned i = 0; i < SESSION_SETS; i++)
		if (w->session->sets[i])
			return true;
	return false;
}

static void tmf(struct world *w, unsigned function, uint32_t ref)
{
	struct iscsi_task *t = session_find(w->session, ref);
	struct buf b = { 0 };
	uint8_t bhs[BHS_LEN];

	bhs_init(bhs, PDU_TASK_MGMT, (uint8_t)(PDU_FINAL | function), 0, w->itt++);
	bhs[0] |= PDU_IMMEDIATE;
	put32(bhs + 20, ref);
	put32(bhs + 24, w->cmdsn);
	put32(bhs + 28, w->conn->statsn);
	put32(bhs + 32, t ? t->cmdsn : w->cmdsn);
	pdu_put(&b, bhs, NULL, 0, false);
	world_feed(w, b.data, b.len, 0);
	buf_fini(&b);
}

static void finish_all(struct world *w)
{
	while (w->n_held)
		finish(w, ((struct iscsi_task *)w->held[0])->itt);
	CHECK(!has_sets(w));
	CHECK_EQ(w->session->n_orders, 0);
	world_fini(w);
}

static void simple_commands_have_no_set(void)
{
	struct world w;
	uint32_t a, b;

	start(&w, KEYS(""));
	a = send(&w, TASK_SIMPLE);
	b = send(&w, TASK_UNTAGGED);
	CHECK(runs(&w, a) && runs(&w, b) && !has_sets(&w));
	finish_all(&w);
}

static void an_ordered_command_waits_for_all_before_it_and_holds_all_behind_it(void)
{
	struct world w;
	uint32_t a, b, c, d, e;

	start(&w, KEYS(""));
	a = send(&w, TASK_SIMPLE);
	b = send(&w, TASK_SIMPLE);
	c = send(&w, TASK_ORDERED);
	d = send(&w, TASK_SIMPLE);
	e = send(&w, TASK_UNTAGGED);
	CHECK_EQ(w.n_held, 2);
	finish(&w, b);
	CHECK(!runs(&w, c) && !w.session->woken);
	finish(&w, a);
	CHECK(runs(&w, c) && w.n_held == 1 && w.session->woken);
	finish(&w, c);
	CHECK(runs(&w, d) && runs(&w, e) && w.session->n_orders == 0);
	/* No order is left to be kept. */
	a = send(&w, TASK_SIMPLE);
	CHECK(runs(&w, a) && !session_find(w.session, a)->set);
	finish_all(&w);
}

static void ordered_commands_go_one_by_one(void)
{
	struct world w;
	uint32_t tags[4];

	start(&w, KEYS(""));
	for (unsigned i = 0; i < 4; i++)
		tags[i] = send(&w, TASK_ORDERED);
	for (unsigned i = 0; i < 4; i++) {
		CHECK(runs(&w, tags[i]) && w.n_held == 1);
		finish(&w, tags[i]);
	}
	finish_all(&w);
}

static void a_command_has_its_place_before_its_data_is_there(void)
{
	struct world w;
	uint32_t a, b, c, d;

	start(&w, KEYS(""));
	a = send_write(&w, TASK_SIMPLE);
	b = send_write(&w, TASK_ORDERED);
	c = send(&w, TASK_SIMPLE);
	CHECK_EQ(w.n_held, 0);
	send_data(&w, b);
	CHECK_EQ(w.n_held, 0);
	send_data(&w, a);
	CHECK(runs(&w, a) && w.n_held == 1);
	finish(&w, a);
	CHECK(runs(&w, b) && w.n_held == 1);
	finish(&w, b);
	CHECK(runs(&w, c));
	d = send_write(&w, TASK_ORDERED);
	finish(&w, c);
	CHECK_EQ(w.n_held, 0);
	c = send(&w, TASK_SIMPLE);
	CHECK_EQ(w.n_held, 0);
	send_data(&w, d);
	CHECK(runs(&w, d) && w.n_held == 1);
	finish_all(&w);
}

static void a_write_whose_data_is_lost_holds_nobody_back(void)
{
	static const uint8_t block[512];
	struct buf b = { 0 };
	struct world w;
	uint32_t a, c;

	start(&w, KEYS(""));
	a = send_write(&w, TASK_SIMPLE);
	c = send(&w, TASK_ORDERED);
	CHECK(!runs(&w, c));
	/* The first of two PDUs is missing: without error recovery the command ends. */
	put_data_out(&w, &b, a, 0, 1, 256, true, block, 256);
	world_feed(&w, b.data, b.len, 0);
	buf_reset(&b);
	CHECK(runs(&w, c));
	/* The same, while the turn of its CmdSN has not come. */
	w.cmdsn++;
	a = send_write(&w, TASK_ORDERED);
	put_data_out(&w, &b, a, 0, 1, 256, true, block, 256);
	world_feed(&w, b.data, b.len, 0);
	buf_fini(&b);
	w.cmdsn -= 2;
	send(&w, TASK_SIMPLE);
	w.cmdsn++;
	CHECK_EQ(w.session->n_orders, 1);
	finish(&w, c);
	CHECK(runs(&w, w.itt - 1) && w.session->n_orders == 0);
	finish_all(&w);
}

static void head_of_queue_starts_at_once_and_before_all_others(void)
{
	struct world w;
	uint32_t a, b, c, d, e, f;

	start(&w, KEYS(""));
	a = send(&w, TASK_SIMPLE);
	b = send(&w, TASK_ORDERED);
	c = send(&w, TASK_SIMPLE);
	d = send(&w, TASK_HEAD_OF_QUEUE);
	e = send(&w, TASK_HEAD_OF_QUEUE);
	CHECK(runs(&w, a) && runs(&w, d) && runs(&w, e) && w.n_held == 3);
	finish(&w, a);
	finish(&w, d);
	CHECK(!runs(&w, b));
	finish(&w, e);
	CHECK(runs(&w, b) && w.n_held == 1);
	f = send(&w, TASK_HEAD_OF_QUEUE);
	finish(&w, b);
	CHECK(runs(&w, f) && !runs(&w, c));
	a = send(&w, TASK_SIMPLE);
	finish(&w, f);
	CHECK(runs(&w, c) && runs(&w, a));
	finish_all(&w);
}

static void other_units_have_an_order_of_their_own(void)
{
	struct world w;
	uint32_t a, b, c, d;

	start(&w, KEYS(""));
	a = send(&w, TASK_SIMPLE);
	b = send(&w, TASK_ORDERED);
	c = send_to(&w, 1, TASK_SIMPLE);
	d = send_to(&w, 1, TASK_ORDERED);
	CHECK(runs(&w, a) && !runs(&w, b) && runs(&w, c) && !runs(&w, d));
	finish(&w, c);
	CHECK(runs(&w, d) && !runs(&w, b));
	finish_all(&w);
}

static void a_command_that_waits_can_be_aborted(void)
{
	struct world w;
	const uint8_t *r = NULL, *d;
	uint32_t a, b, c, e;

	start(&w, KEYS(""));
	a = send(&w, TASK_SIMPLE);
	b = send(&w, TASK_ORDERED);
	c = send(&w, TASK_SIMPLE);
	e = send(&w, TASK_SIMPLE);
	tmf(&w, TMF_ABORT_TASK, c);
	CHECK(!session_find(w.session, c));
	tmf(&w, TMF_ABORT_TASK, b);
	CHECK(!session_find(w.session, b) && runs(&w, a) && runs(&w, e));
	for (unsigned i = 0; i < 2; i++)
		CHECK((r = world_pdu(&w, &d)) && bhs_op(r) == PDU_TASK_MGMT_RESPONSE && r[2] == TMF_RSP_COMPLETE);
	/* One that runs stands before others until it has ended. */
	b = send(&w, TASK_ORDERED);
	finish(&w, e);
	tmf(&w, TMF_ABORT_TASK, a);
	CHECK(!runs(&w, b));
	finish(&w, a);
	CHECK(runs(&w, b));
	/* All of the set. */
	c = send(&w, TASK_SIMPLE);
	e = send(&w, TASK_ORDERED);
	tmf(&w, TMF_ABORT_TASK_SET, TAG_NONE);
	CHECK(!session_find(w.session, c) && !session_find(w.session, e) && session_find(w.session, b)->task.aborted);
	finish_all(&w);
}

static void a_lost_connection_takes_its_commands_out_of_the_order(void)
{
	struct world w;
	uint32_t a, b, c;

	start(&w, KEYS("MaxConnections=4\0"));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	a = send(&w, TASK_SIMPLE);
	b = send(&w, TASK_ORDERED);
	world_use(&w, 0);
	c = send(&w, TASK_SIMPLE);
	CHECK(runs(&w, a) && !runs(&w, b) && !runs(&w, c));
	world_use(&w, 1);
	world_cut(&w);
	world_use(&w, 0);
	CHECK(!session_find(w.session, b));
	world_run(&w);
	CHECK(runs(&w, c));
	finish_all(&w);
}

static void a_command_that_waits_is_reassigned(void)
{
	struct world w;
	const uint8_t *r, *d;
	struct buf out = { 0 };
	uint8_t bhs[BHS_LEN];
	uint32_t a, b, c;
	bool answered = false;

	start(&w, KEYS(ERL2));
	CHECK_EQ(world_join(&w, 1, 1, KEYS("")), 0);
	world_use(&w, 0);
	a = send(&w, TASK_SIMPLE);
	world_use(&w, 1);
	b = send(&w, TASK_ORDERED);
	world_use(&w, 0);
	c = send(&w, TASK_SIMPLE);
	world_use(&w, 1);
	world_cut(&w);
	world_use(&w, 0);
	CHECK_EQ(session_find(w.session, b)->state, ITASK_DORMANT);
	bhs_init(bhs, PDU_LOGOUT, PDU_FINAL | 2, 0, w.itt++);
	bhs[0] |= PDU_IMMEDIATE;
	put32(bhs + 20, 1u << 16);
	put32(bhs + 24, w.cmdsn);
	put32(bhs + 28, w.conn->statsn);
	pdu_put(&out, bhs, NULL, 0, false);
	world_feed(&w, out.data, out.len, 0);
	buf_fini(&out);
	tmf(&w, TMF_TASK_REASSIGN, b);
	CHECK(session_find(w.session, b)->conn == w.conn);
	finish(&w, a);
	CHECK(runs(&w, b) && !runs(&w, c));
	finish(&w, b);
	CHECK(runs(&w, c));
	while ((r = world_pdu(&w, &d)))
		answered |= bhs_op(r) == PDU_SCSI_RESPONSE && bhs_itt(r) == b;
	CHECK(answered);
	finish_all(&w);
}

static void a_session_that_ends_takes_all_with_it(void)
{
	struct world w;

	start(&w, KEYS(""));
	send_write(&w, TASK_ORDERED);
	send(&w, TASK_SIMPLE);
	send(&w, TASK_HEAD_OF_QUEUE);
	send(&w, TASK_ORDERED);
	CHECK(has_sets(&w));
	CHECK_EQ(w.n_held, 1);
	finish(&w, w.itt - 2);
	world_fini(&w);
}

static void without_an_aca_condition_there_is_no_command_for_it(void)
{
	struct world w;
	const uint8_t *r, *d;

	start(&w, KEYS(""));
	send(&w, TASK_ORDERED);
	w.hold = false;
	send(&w, TASK_ACA);
	r = world_pdu(&w, &d);
	CHECK(r && bhs_op(r) == PDU_SCSI_RESPONSE && bhs_itt(r) == w.itt - 1);
	CHECK_EQ(r[3], STATUS_CHECK_CONDITION);
	/* SenseLength comes first. ILLEGAL REQUEST, INVALID MESSAGE ERROR. */
	CHECK_EQ(d[2 + 2] & 0x0f, 5);
	CHECK_EQ(d[2 + 12], 0x49);
	CHECK_EQ(d[2 + 13], 0);
	w.hold = true;
	finish_all(&w);
}

/* ---- against the rule ---- */

struct model {
	uint32_t itt;
	uint8_t attr, lun;
	bool whole, started, ended;
};

/* SAM-5 8.6.2 to 8.6.4, word by word. */
static bool may_start(const struct model *all, const struct model *m)
{
	for (const struct model *o = all; m->attr != TASK_HEAD_OF_QUEUE && o->itt; o++) {
		if (o == m || o->ended || o->lun != m->lun)
			continue;
		if (o->attr == TASK_HEAD_OF_QUEUE || (o < m && (o->attr == TASK_ORDERED || m->attr == TASK_ORDERED)))
			return false;
	}
	return m->whole;
}

static void settle(struct model *all)
{
	for (struct model *m = all; m->itt; m++)
		m->started |= !m->ended && may_start(all, m);
}

static struct model *pick(struct rng *r, struct model *all, unsigned n)
{
	for (unsigned tries = 0; n && tries < 8; tries++) {
		struct model *m = &all[rng_below(r, n)];

		if (!m->ended)
			return m;
	}
	return NULL;
}

/* Something happens to the session and to the model. */
static unsigned happen(struct world *w, struct rng *r, struct model *all, unsigned n)
{
	static const uint8_t attrs[] = { TASK_SIMPLE, TASK_SIMPLE, TASK_SIMPLE, TASK_UNTAGGED, TASK_ORDERED, TASK_ORDERED, TASK_HEAD_OF_QUEUE };
	struct model *m = pick(r, all, n);

	/* As many as the window takes. */
	if (sn_le(w->cmdsn, w->session->max_cmdsn) && (!m || rng_below(r, 2))) {
		bool write = rng_below(r, 3) == 0;

		m = &all[n];
		*m = (struct model){ .attr = attrs[rng_below(r, sizeof(attrs))], .lun = write ? 0 : (uint8_t)rng_below(r, 2), .whole = !write };
		m->itt = write ? send_write(w, m->attr) : send_to(w, m->lun, m->attr);
		return n + 1;
	}
	if (!m)
		return n;
	if (!m->whole) {
		send_data(w, m->itt);
		m->whole = true;
	} else if (m->started) {
		if (rng_below(r, 8) == 0)
			session_abort(w->session, NULL, m->itt, NULL);
		m->ended = true;
		finish(w, m->itt);
	} else if (rng_below(r, 4) == 0) {
		m->ended = true;
		session_abort(w->session, NULL, m->itt, NULL);
		world_run(w);
	}
	return n;
}

static void whatever_comes_they_start_when_the_rule_says(void)
{
	static struct model all[401];

	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct rng r = { seed };
		struct world w;
		unsigned n = 0;

		memset(all, 0, sizeof(all));
		start(&w, KEYS(""));
		for (unsigned step = 0; step < 900 && n < 400; step++) {
			n = happen(&w, &r, all, n);
			settle(all);
			for (struct model *m = all; m->itt; m++)
				CHECK_EQ(runs(&w, m->itt), m->started && !m->ended);
		}
		for (struct model *m = all; m->itt; m++)
			if (!m->ended && !m->started)
				session_abort(w.session, NULL, m->itt, NULL);
		world_run(&w);
		finish_all(&w);
	}
}

int main(void)
{
	RUN(simple_commands_have_no_set);
	RUN(an_ordered_command_waits_for_all_before_it_and_holds_all_behind_it);
	RUN(ordered_commands_go_one_by_one);
	RUN(a_command_has_its_place_before_its_data_is_there);
	RUN(a_write_whose_data_is_lost_holds_nobody_back);
	RUN(head_of_queue_starts_at_once_and_before_all_others);
	RUN(other_units_have_an_order_of_their_own);
	RUN(a_command_that_waits_can_be_aborted);
	RUN(a_lost_connection_takes_its_commands_out_of_the_order);
	RUN(a_command_that_waits_is_reassigned);
	RUN(a_session_that_ends_takes_all_with_it);
	RUN(without_an_aca_condition_there_is_no_command_for_it);
	RUN(whatever_comes_they_start_when_the_rule_says);
	return 0;
}
