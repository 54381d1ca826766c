/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent reservations: the pure step (SPC-4 5.13), the commands around it, and what is kept of them. */
#include "tests/unit/scsi_world.h"

#include "target/scsi/kept.h"

/* ---- the pure step ---- */

static struct pr_port port_named(const char *name, uint16_t tag)
{
	struct pr_port p = { .target = "iqn.t", .tag = tag };

	snprintf(p.initiator, sizeof(p.initiator), "iqn.%s", name);
	return p;
}

static enum pr_result step(struct pr_state *s, const char *who, enum pr_service service, unsigned type, uint64_t key,
	uint64_t service_key)
{
	struct pr_request q = { .service = service, .from = port_named(who, 1), .type = (uint8_t)type, .key = key,
		.service_key = service_key };
	struct pr_outcome out;

	enum pr_result r;

	pr_step(s, &q, &out);
	r = out.result;
	pr_outcome_fini(&out);
	return r;
}

static void a_refused_request_changes_nothing(void)
{
	struct pr_state s;

	pr_init(&s);
	CHECK_EQ(step(&s, "a", PR_RESERVE, 1, 0, 0), PR_CONFLICT);
	CHECK_EQ(step(&s, "a", PR_REGISTER, 0, 7, 1), PR_CONFLICT);
	CHECK_EQ(step(&s, "a", PR_REGISTER, 0, 0, 1), PR_GOOD);
	CHECK_EQ(s.generation, 1);
	CHECK_EQ(step(&s, "a", PR_RESERVE, 2, 1, 0), PR_BAD_TYPE);
	CHECK_EQ(step(&s, "a", PR_PREEMPT, 1, 1, 9), PR_CONFLICT);
	CHECK_EQ(step(&s, "a", PR_PREEMPT, 1, 1, 0), PR_BAD_KEY);
	CHECK_EQ(step(&s, "a", PR_REGISTER_MOVE, 0, 1, 9), PR_BAD_MOVE);
	CHECK(s.type == PR_NONE && s.n == 1 && s.generation == 1);
	pr_fini(&s);
}

static void a_reservation_of_all_registrants_ends_with_the_last(void)
{
	struct pr_state s;

	pr_init(&s);
	step(&s, "a", PR_REGISTER, 0, 0, 1);
	step(&s, "b", PR_REGISTER, 0, 0, 2);
	CHECK_EQ(step(&s, "a", PR_RESERVE, PR_WRITE_EXCLUSIVE_ALL, 1, 0), PR_GOOD);
	CHECK_EQ(step(&s, "a", PR_REGISTER, 0, 1, 0), PR_GOOD);
	CHECK(s.type == PR_WRITE_EXCLUSIVE_ALL && pr_holds(&s, &s.registrants[0]));
	CHECK_EQ(step(&s, "b", PR_REGISTER, 0, 2, 0), PR_GOOD);
	CHECK(s.type == PR_NONE && s.n == 0);
	pr_fini(&s);
}

static void a_move_takes_the_reservation_along(void)
{
	struct pr_port to = port_named("b", 2);
	struct pr_request q = { .service = PR_REGISTER_MOVE, .from = port_named("a", 1), .key = 1, .service_key = 5,
		.others = &to, .n_others = 1, .unregister = true };
	struct pr_outcome out;
	struct pr_state s;

	pr_init(&s);
	step(&s, "a", PR_REGISTER, 0, 0, 1);
	/* 5.13.8: without a reservation there is nothing to move. */
	pr_step(&s, &q, &out);
	CHECK_EQ(out.result, PR_BAD_MOVE);
	CHECK(s.n == 1);
	step(&s, "a", PR_RESERVE, PR_EXCLUSIVE_ACCESS, 1, 0);
	pr_step(&s, &q, &out);
	CHECK_EQ(out.result, PR_GOOD);
	pr_outcome_fini(&out);
	CHECK(s.n == 1 && s.type == PR_EXCLUSIVE_ACCESS && s.registrants[0].holder && s.registrants[0].key == 5);
	CHECK(pr_port_eq(&s.registrants[0].port, &to));
	pr_fini(&s);
}

static void who_is_preempted_is_told(void)
{
	struct pr_request q = { .service = PR_PREEMPT_ABORT, .from = port_named("a", 1), .key = 1, .service_key = 2,
		.type = PR_WRITE_EXCLUSIVE_REGISTRANTS };
	struct pr_outcome out;
	struct pr_state s;

	pr_init(&s);
	step(&s, "a", PR_REGISTER, 0, 0, 1);
	step(&s, "b", PR_REGISTER, 0, 0, 2);
	step(&s, "c", PR_REGISTER, 0, 0, 3);
	step(&s, "b", PR_RESERVE, PR_WRITE_EXCLUSIVE_REGISTRANTS, 2, 0);
	pr_step(&s, &q, &out);
	CHECK(out.result == PR_GOOD && out.n == 1 && out.notices[0].abort);
	CHECK(out.notices[0].news == PR_REGISTRATION_PREEMPTED);
	CHECK_STR(out.notices[0].port.initiator, "iqn.b");
	pr_outcome_fini(&out);
	CHECK(s.n == 2 && s.type == PR_WRITE_EXCLUSIVE_REGISTRANTS && s.registrants[0].holder);
	pr_fini(&s);
}

static void what_is_not_lost_is_not_replaced(void)
{
	struct pr_state s;

	pr_init(&s);
	step(&s, "a", PR_REGISTER, 0, 0, 1);
	CHECK_EQ(step(&s, "a", PR_REPLACE_LOST, 1, 0, 2), PR_BAD_RELEASE);
	CHECK(s.n == 1 && s.registrants[0].key == 1);
	s.lost = true;
	CHECK_EQ(step(&s, "b", PR_REPLACE_LOST, 1, 9, 2), PR_BAD_OWN_KEY);
	CHECK_EQ(step(&s, "b", PR_REPLACE_LOST, 1, 0, 0), PR_BAD_KEY);
	CHECK_EQ(step(&s, "b", PR_REPLACE_LOST, 2, 0, 2), PR_BAD_TYPE);
	CHECK(s.lost && s.n == 1);
	CHECK_EQ(step(&s, "b", PR_REPLACE_LOST, PR_EXCLUSIVE_ACCESS, 0, 2), PR_GOOD);
	CHECK(!s.lost && s.n == 1 && s.generation == 0 && s.type == PR_EXCLUSIVE_ACCESS && s.registrants[0].holder);
	CHECK_STR(s.registrants[0].port.initiator, "iqn.b");
	pr_fini(&s);
}

static void registrations_have_a_bound(void)
{
	struct pr_state s;
	char name[16];

	pr_init(&s);
	for (unsigned i = 0; i < PR_REGISTRANTS_MAX; i++) {
		snprintf(name, sizeof(name), "i%u", i);
		CHECK_EQ(step(&s, name, PR_REGISTER, 0, 0, i + 1), PR_GOOD);
	}
	CHECK_EQ(step(&s, "more", PR_REGISTER, 0, 0, 1), PR_NO_RESOURCES);
	CHECK_EQ(step(&s, "i7", PR_REGISTER, 0, 8, 99), PR_GOOD);
	pr_fini(&s);
}

/* ---- its bytes ---- */

static void what_is_kept_survives_its_bytes_and_nothing_else_does(void)
{
	struct lu_kept k = { .has_saved = true, .saved = { .swp = true, .thresholds = { { true, 2, 1, 77 } } },
		.sanitize = SANITIZE_FAILED, .sanitize_exit = true }, back;
	struct buf b = { 0 };

	k.pr.aptpl = true;
	step(&k.pr, "a", PR_REGISTER, 0, 0, 1);
	k.pr.aptpl = true;
	step(&k.pr, "a", PR_RESERVE, PR_EXCLUSIVE_ACCESS_ALL, 1, 0);
	kept_encode(&k, &b);
	CHECK_EQ(kept_decode(b.data, b.len, &back), 0);
	CHECK(kept_same(&k, &back) && back.pr.n == 1 && back.pr.registrants[0].key == 1 && back.saved.swp);
	CHECK(back.saved.thresholds[0].count == 77 && back.sanitize_exit);
	kept_fini(&back);
	for (size_t cut = 0; cut < b.len; cut++)
		CHECK_EQ(kept_decode(b.data, cut, &back), ERR_MALFORMED);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK_EQ(kept_decode(b.data, b.len, &back), ERR_MALFORMED);
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_fini(&b);
	/* Without APTPL a loss of power is the end of it. */
	k.pr.aptpl = false;
	kept_encode(&k, &b);
	CHECK_EQ(kept_decode(b.data, b.len, &back), 0);
	CHECK(back.pr.n == 0 && back.pr.type == PR_NONE);
	kept_fini(&back);
	/* Where it is agreed it is in the bytes, and the end comes when it is said. */
	buf_fini(&b);
	k.all = k.has_spc2 = true;
	kept_encode(&k, &b);
	CHECK_EQ(kept_decode(b.data, b.len, &back), 0);
	CHECK(back.pr.n == 1 && back.has_spc2);
	kept_power_lost(&back);
	CHECK(back.pr.n == 0 && back.pr.type == PR_NONE && !back.has_spc2 && back.has_saved && back.all);
	kept_fini(&back);
	k.pr.aptpl = true;
	kept_copy(&back, &k);
	kept_power_lost(&back);
	CHECK(back.pr.n == 1 && back.pr.type == PR_EXCLUSIVE_ACCESS_ALL && back.pr.generation == 0 && !back.has_spc2);
	kept_fini(&back);
	kept_fini(&k);
	buf_fini(&b);
}

static void a_sanitize_that_is_agreed_is_in_the_bytes(void)
{
	struct lu_kept k = { .all = true, .sanitize = SANITIZE_RUNNING }, back;
	struct buf b = { 0 };

	k.op = calloc(1, sizeof(*k.op) + 2);
	*k.op = (struct sanitize_op){ .service = 1, .passes = 31, .len = 2 };
	memcpy(k.op->pattern, "ab", 2);
	kept_encode(&k, &b);
	CHECK_EQ(kept_decode(b.data, b.len, &back), 0);
	CHECK(kept_same(&k, &back) && back.op && back.op->passes == 31 && back.op->len == 2 && back.op->pattern[1] == 'b');
	kept_fini(&back);
	for (size_t cut = 0; cut < b.len; cut++)
		CHECK_EQ(kept_decode(b.data, cut, &back), ERR_MALFORMED);
	buf_fini(&b);
	/* A file of one node does not have it: nobody goes on with that. */
	k.all = false;
	kept_encode(&k, &b);
	CHECK_EQ(kept_decode(b.data, b.len, &back), 0);
	CHECK(back.sanitize == SANITIZE_RUNNING && !back.op);
	kept_fini(&back);
	kept_fini(&k);
	buf_fini(&b);
}

/* ---- the commands ---- */

#define APTPL 0x01
#define ALL_TG_PT 0x04
#define SPEC_I_PT 0x08

static unsigned pr_out(unsigned who, unsigned service, unsigned type, uint64_t key, uint64_t service_key, uint8_t flags,
	const void *more, uint32_t n_more)
{
	uint8_t cdb[10] = { 0x5f, (uint8_t)service, (uint8_t)type }, list[512] = { 0 };

	set32(cdb + 5, 24 + n_more);
	set64(list, key);
	set64(list + 8, service_key);
	list[20] = flags;
	memcpy(list + 24, more, n_more);
	return ask(who, 0, cdb, 10, list, 24 + n_more)->status;
}

static void aptpl_is_kept_before_it_is_answered(void)
{
	struct lu_kept kept;

	world_up();
	runner.n_kept = 0;
	CHECK_EQ(pr_out(0, 0, 0, 0, 1, 0, "", 0), STATUS_GOOD);
	CHECK_EQ(runner.n_kept, 0);
	CHECK_EQ(pr_out(0, 6, 0, 0, 1, APTPL, "", 0), STATUS_GOOD);
	CHECK_EQ(pr_out(0, 1, 3, 1, 0, 0, "", 0), STATUS_GOOD);
	CHECK_EQ(runner.n_kept, 2);
	/* It cannot be kept: refused, and as if it had not been asked for. */
	runner.keep_err = ERR_IO;
	CHECK_EQ(pr_out(0, 2, 3, 1, 0, 0, "", 0), STATUS_CHECK_CONDITION);
	sense_is(SENSE_HARDWARE_ERROR, ASC_INTERNAL);
	CHECK(units[0].kept.pr.type == PR_EXCLUSIVE_ACCESS);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	CHECK_EQ(last->status, STATUS_RESERVATION_CONFLICT);
	/* Power goes and comes. */
	kept_copy(&kept, &units[0].kept);
	CHECK_EQ(pr_out(0, 3, 0, 1, 0, 0, "", 0), STATUS_GOOD);
	lu_kept_set(&units[0], &kept);
	CHECK(units[0].kept.pr.type == PR_EXCLUSIVE_ACCESS && units[0].kept.pr.generation == 0);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	CHECK_EQ(last->status, STATUS_RESERVATION_CONFLICT);
	ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
	good();
	world_down();
}

static void all_target_ports_are_registered_at_once(void)
{
	struct scsi_port p[2] = { { "iqn.2026-11.test:t", 1 }, { "iqn.2026-11.test:t", 2 } };

	world_up();
	lu_ports_set(&units[0], p, 2);
	CHECK_EQ(pr_out(0, 0, 0, 0, 1, ALL_TG_PT, "", 0), STATUS_GOOD);
	CHECK_EQ(units[0].kept.pr.n, 2);
	CHECK_EQ(units[0].kept.pr.registrants[1].port.tag, 2);
	/* READ FULL STATUS shows both. */
	ASK(0, 0, "\x5e\x03\0\0\0\0\0\xff\xff\0");
	good();
	CHECK_EQ(be16(last->in.p + 8 + 18), 1);
	CHECK_EQ(be16(last->in.p + 8 + 24 + be32(last->in.p + 8 + 20) + 18), 2);
	world_down();
}

static uint32_t transport_id(uint8_t *p, const char *name)
{
	uint32_t len = ((uint32_t)strlen(name) + 1 + 3) & ~3u;

	len = len < 20 ? 20 : len;
	memset(p, 0, 4 + len);
	p[0] = strstr(name, ",i,") ? 0x45 : 0x05;
	set16(p + 2, len);
	memcpy(p + 4, name, strlen(name));
	return 4 + len;
}

static void others_are_registered_by_transport_id(void)
{
	uint8_t more[256] = { 0 };
	uint32_t n = 4;

	world_up();
	n += transport_id(more + n, "iqn.2026-11.test:b,i,0x000000000001");
	n += transport_id(more + n, "iqn.2026-11.test:c,i,0x0000000000ff");
	set32(more, n - 4);
	CHECK_EQ(pr_out(0, 0, 0, 0, 1, SPEC_I_PT, more, n), STATUS_GOOD);
	CHECK_EQ(units[0].kept.pr.n, 3);
	CHECK_STR(units[0].kept.pr.registrants[2].port.initiator, "iqn.2026-11.test:c");
	CHECK_EQ(units[0].kept.pr.registrants[2].port.isid[5], 0xff);
	CHECK_EQ(units[0].kept.pr.registrants[2].port.tag, 1);
	/* A registration that is there keeps its key: nobody else's is changed for it. */
	CHECK_EQ(pr_out(0, 0, 0, 1, 0, 0, "", 0), STATUS_GOOD);
	CHECK_EQ(pr_out(0, 0, 0, 0, 9, SPEC_I_PT, more, n), STATUS_GOOD);
	CHECK_EQ(units[0].kept.pr.n, 3);
	CHECK_EQ(units[0].kept.pr.registrants[0].key, 1);
	CHECK_EQ(units[0].kept.pr.registrants[2].key, 9);
	/* Only the unregistered may. */
	CHECK_EQ(pr_out(0, 0, 0, 9, 1, SPEC_I_PT, more, n), STATUS_CHECK_CONDITION);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_PARAMETERS);
	/* A name alone means the ports of that name that are known. */
	CHECK_EQ(pr_out(0, 3, 0, 9, 0, 0, "", 0), STATUS_GOOD);
	n = 4 + transport_id(more + 4, "iqn.2026-11.test:b");
	set32(more, n - 4);
	CHECK_EQ(pr_out(0, 0, 0, 0, 1, SPEC_I_PT, more, n), STATUS_GOOD);
	CHECK_EQ(units[0].kept.pr.n, 2);
	CHECK_EQ(units[0].kept.pr.registrants[1].port.isid[5], 1);
	/* Cut short, or of another protocol. */
	CHECK_EQ(pr_out(1, 6, 0, 0, 0, 0, "", 0), STATUS_GOOD);
	set32(more, n);
	pr_out(1, 0, 0, 0, 1, SPEC_I_PT, more, n);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	world_down();
}

/* RFC 7143 4.2.7.1: names are folded before they are compared, and so they are kept. */
static void a_transport_id_means_the_same_however_it_is_written(void)
{
	struct scsi_port p[2] = { { "iqn.2026-11.TEST:T", 1 }, { "iqn.2026-11.TEST:T", 2 } };
	uint8_t cdb[10] = { 0x5f, 0x07 }, list[128] = { 0 }, more[256] = { 0 };
	uint32_t n;

	world_up();
	n = 4 + transport_id(more + 4, "iqn.2026-11.TEST:B,i,0x000000000001");
	set32(more, n - 4);
	CHECK_EQ(pr_out(0, 0, 0, 0, 1, SPEC_I_PT, more, n), STATUS_GOOD);
	CHECK_STR(units[0].kept.pr.registrants[1].port.initiator, "iqn.2026-11.test:b");
	CHECK_EQ(pr_out(0, 3, 0, 1, 0, 0, "", 0), STATUS_GOOD);
	/* A name alone finds the port that is here. */
	n = 4 + transport_id(more + 4, "IQN.2026-11.test:B");
	set32(more, n - 4);
	CHECK_EQ(pr_out(0, 0, 0, 0, 1, SPEC_I_PT, more, n), STATUS_GOOD);
	CHECK_EQ(units[0].kept.pr.n, 2);
	CHECK_EQ(pr_out(0, 3, 0, 1, 0, 0, "", 0), STATUS_GOOD);
	/* The reservation moves to who is logged in. */
	lu_ports_set(&units[0], p, 2);
	pr_out(0, 0, 0, 0, 1, 0, "", 0);
	CHECK_EQ(pr_out(0, 1, 3, 1, 0, 0, "", 0), STATUS_GOOD);
	set64(list, 1);
	set64(list + 8, 9);
	list[17] = 0x02;        /* UNREG */
	set16(list + 18, 2);
	n = transport_id(list + 24, "iqn.2026-11.test:B,i,0x000000000001");
	set32(list + 20, n);
	set32(cdb + 5, 24 + n);
	CHECK_EQ(ask(0, 0, cdb, 10, list, 24 + n)->status, STATUS_GOOD);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	good();
	world_down();
}

static void register_and_move_by_relative_port(void)
{
	struct scsi_port p[2] = { { "iqn.2026-11.test:t", 1 }, { "iqn.2026-11.test:t", 2 } };
	uint8_t cdb[10] = { 0x5f, 0x07 }, list[128] = { 0 };
	uint32_t n;

	world_up();
	lu_ports_set(&units[0], p, 2);
	pr_out(0, 0, 0, 0, 1, 0, "", 0);
	set64(list, 1);
	set64(list + 8, 9);
	list[17] = 0x02;        /* UNREG */
	set16(list + 18, 2);
	n = transport_id(list + 24, "iqn.2026-11.test:b,i,0x000000000001");
	set32(list + 20, n);
	set32(cdb + 5, 24 + n);
	ask(0, 0, cdb, 10, list, 24 + n);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_CDB);
	CHECK_EQ(pr_out(0, 1, 3, 1, 0, 0, "", 0), STATUS_GOOD);
	CHECK_EQ(ask(0, 0, cdb, 10, list, 24 + n)->status, STATUS_GOOD);
	ASK(0, 0, "\x28\0\0\0\0\0\0\0\1\0");
	CHECK_EQ(last->status, STATUS_RESERVATION_CONFLICT);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	good();
	/* A port that the unit does not have. */
	set64(list, 9);
	set16(list + 18, 77);
	ask(1, 0, cdb, 10, list, 24 + n);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_PARAMETERS);
	world_down();
}

static void preempt_and_abort_marks_who_is_preempted(void)
{
	world_up();
	pr_out(0, 0, 0, 0, 1, 0, "", 0);
	pr_out(1, 0, 0, 0, 2, 0, "", 0);
	pr_out(1, 1, 5, 2, 0, 0, "", 0);
	CHECK_EQ(pr_out(0, 5, 5, 1, 2, 0, "", 0), STATUS_GOOD);
	CHECK(last->scsi.aborts && atomic_load(&views[1][0].abort) && !atomic_load(&views[0][0].abort));
	CHECK(!atomic_load(&views[1][1].abort));
	CHECK_EQ(attention(1, 0), 0x2a05);
	world_down();
}

/* 5.13.5.3.2 and 5.13.11.3 */
static void a_unit_that_lost_its_reservations_says_so_until_they_are_replaced(void)
{
	struct lu_kept kept = { .pr.lost = true };

	world_up();
	lu_kept_set(&units[0], &kept);
	runner.n_kept = 0;
	for (unsigned who = 0; who < PORTS; who++) {
		ASK(who, 0, "\x28\0\0\0\0\0\0\0\1\0");
		CHECK_EQ(last->status, STATUS_CHECK_CONDITION);
		sense_is(SENSE_DATA_PROTECT, ASC_PR_LOST);
	}
	CHECK_EQ(pr_out(0, 6, 0, 0, 1, 0, "", 0), STATUS_CHECK_CONDITION);
	sense_is(SENSE_DATA_PROTECT, ASC_PR_LOST);
	ASK(0, 0, "\x12\0\0\0\x24\0");
	good();
	ASK(0, 0, "\x1b\0\0\0\1\0");
	good();
	ASK(0, 0, "\x1b\0\0\0\0\0");
	sense_is(SENSE_DATA_PROTECT, ASC_PR_LOST);
	CHECK_EQ(pr_out(0, 8, PR_WRITE_EXCLUSIVE, 0, 7, 0, "", 0), STATUS_GOOD);
	/* What says that it is lost is gone from where it is kept, also if this one is not to be kept. */
	CHECK_EQ(runner.n_kept, 1);
	ASK(1, 0, "\x28\0\0\0\0\0\0\0\1\0");
	good();
	ASK(1, 0, "\x2a\0\0\0\0\0\0\0\0\0");
	CHECK_EQ(last->status, STATUS_RESERVATION_CONFLICT);
	CHECK_EQ(pr_out(0, 8, PR_WRITE_EXCLUSIVE, 0, 7, 0, "", 0), STATUS_CHECK_CONDITION);
	sense_is(SENSE_ILLEGAL_REQUEST, ASC_INVALID_RELEASE);
	world_down();
}

int main(void)
{
	RUN(a_refused_request_changes_nothing);
	RUN(a_reservation_of_all_registrants_ends_with_the_last);
	RUN(a_move_takes_the_reservation_along);
	RUN(who_is_preempted_is_told);
	RUN(what_is_not_lost_is_not_replaced);
	RUN(registrations_have_a_bound);
	RUN(what_is_kept_survives_its_bytes_and_nothing_else_does);
	RUN(a_sanitize_that_is_agreed_is_in_the_bytes);
	RUN(aptpl_is_kept_before_it_is_answered);
	RUN(a_unit_that_lost_its_reservations_says_so_until_they_are_replaced);
	RUN(all_target_ports_are_registered_at_once);
	RUN(others_are_registered_by_transport_id);
	RUN(a_transport_id_means_the_same_however_it_is_written);
	RUN(register_and_move_by_relative_port);
	RUN(preempt_and_abort_marks_who_is_preempted);
	return 0;
}
