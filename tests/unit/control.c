/* SPDX-License-Identifier: Apache-2.0 */
/* proto/control: what goes in comes out; what is malformed or too large is refused and leaves nothing behind. */
#include "proto/control.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/check.h"

static struct buf frame;

static struct control_req req_again(const struct control_req *r)
{
	struct control_req out;

	buf_reset(&frame);
	CHECK_EQ(control_req_put(&frame, r), 0);
	CHECK_EQ(control_req_get(frame.data, frame.len, &out), 0);
	return out;
}

static struct control_reply reply_again(const struct control_reply *r)
{
	struct control_reply out;

	buf_reset(&frame);
	CHECK_EQ(control_reply_put(&frame, r), 0);
	CHECK_EQ(control_reply_get(frame.data, frame.len, &out), 0);
	CHECK_EQ(out.kind, r->kind);
	return out;
}

static void a_commit_survives_the_wire(void)
{
	struct control_req r = { .id = 9, .kind = CONTROL_COMMIT, .flags = CONTROL_F_DRY_RUN, .undo = 7 }, got;

	memset(r.txn.request_id, 0xab, 16);
	r.txn.message = mem_strdup("ticket 4711 \xc3\xa4");
	r.txn.base = 5;
	attrs_set(&txn_add(&r.txn, TXN_CREATE, "/volumes/v1")->attrs, "size", "1G");
	txn_add(&r.txn, TXN_DELETE, "/volumes/v2")->if_generation = 3;
	got = req_again(&r);
	CHECK_EQ(got.id, 9);
	CHECK_EQ(got.kind, CONTROL_COMMIT);
	CHECK_EQ(got.flags, CONTROL_F_DRY_RUN);
	CHECK_EQ(got.undo, 7);
	CHECK_EQ(got.txn.n_ops, 2);
	CHECK_EQ(got.txn.base, 5);
	CHECK(memcmp(got.txn.request_id, r.txn.request_id, 16) == 0);
	CHECK_STR(got.txn.message, r.txn.message);
	CHECK_STR(attrs_get(&got.txn.ops[0].attrs, "size"), "1G");
	CHECK_EQ(got.txn.ops[1].kind, TXN_DELETE);
	CHECK_EQ(got.txn.ops[1].if_generation, 3);
	control_req_fini(&got);
	control_req_fini(&r);
}

static void absent_strings_arrive_as_empty_ones(void)
{
	struct control_req r = { .id = 1, .kind = CONTROL_STATUS }, got = req_again(&r);

	CHECK_STR(got.path, "");
	CHECK_STR(got.prefix, "");
	CHECK_STR(got.word, "");
	control_req_fini(&got);
}

static void an_object_keeps_both_sides(void)
{
	struct control_seen seen = { .node = (char *)"n2", .age_ms = 12 };
	struct control_reply r = {
		.id = 3, .kind = CONTROL_R_OBJECT,
		.object = { .path = (char *)"/volumes/v1", .type = (char *)"volume", .generation = 4, .seen = &seen, .n_seen = 1,
		            .status = CONTROL_FAILED, .reason = (char *)"disk is full", .uuid = { 1, 2, 3 } },
	}, got;

	attrs_set(&r.object.desired, "size", "1073741824");
	attrs_set(&r.object.derived, "x", "y");
	attrs_set(&seen.attrs, "state", "failed");
	got = reply_again(&r);
	CHECK_STR(got.object.path, "/volumes/v1");
	CHECK_STR(got.object.reason, "disk is full");
	CHECK_EQ(got.object.status, CONTROL_FAILED);
	CHECK_EQ(got.object.generation, 4);
	CHECK_EQ(got.object.uuid[2], 3);
	CHECK_EQ(got.object.n_seen, 1);
	CHECK_EQ(got.object.seen[0].age_ms, 12);
	CHECK_STR(attrs_get(&got.object.seen[0].attrs, "state"), "failed");
	CHECK_STR(attrs_get(&got.object.desired, "size"), "1073741824");
	CHECK_STR(attrs_get(&got.object.derived, "x"), "y");
	control_reply_fini(&got);
	attrs_fini(&r.object.desired);
	attrs_fini(&r.object.derived);
	attrs_fini(&seen.attrs);
}

static void done_status_type_entry_and_event_survive(void)
{
	char *lines[] = { (char *)"one", (char *)"two" };
	struct control_reply done = {
		.id = 1, .kind = CONTROL_R_DONE,
		.done = { .err = ERR_NOQUORUM, .text = (char *)"t", .hint = (char *)"h", .lines = lines, .n_lines = 2, .index = 8,
		          .task = (char *)"/tasks/8" },
	};
	struct control_param param = { .name = (char *)"size", .type = CONTROL_P_SIZE, .flags = CONTROL_PF_REQUIRED,
	                               .value = (char *)"", .choices = (char *)"", .unit = (char *)"", .ref = (char *)"",
	                               .help = (char *)"how large" };
	struct control_reply type = { .kind = CONTROL_R_TYPE, .type = { .name = (char *)"volume", .pattern = (char *)"/volumes/V",
	                              .help = (char *)"", .params = &param, .n_params = 1 } };
	struct control_reply event = { .kind = CONTROL_R_EVENT, .event = { .seq = 5, .kind = CONTROL_EV_GONE,
	                               .path = (char *)"/volumes/v1" } };
	struct control_reply status = { .kind = CONTROL_R_STATUS, .status = { .quorate = true, .nodes = 3, .state = (char *)"ready" } };
	struct control_reply got = reply_again(&done);

	CHECK_EQ(got.done.err, ERR_NOQUORUM);
	CHECK_EQ(got.done.n_lines, 2);
	CHECK_STR(got.done.lines[1], "two");
	CHECK_STR(got.done.task, "/tasks/8");
	control_reply_fini(&got);
	got = reply_again(&type);
	CHECK_EQ(got.type.n_params, 1);
	CHECK_STR(got.type.params[0].value, "");        /* an empty default is a default */
	control_reply_fini(&got);
	got = reply_again(&event);
	CHECK_EQ(got.event.seq, 5);
	CHECK(!got.event.object);
	control_reply_fini(&got);
	control_status_warn(&status.status, "/volumes/v1", "is failed", NULL);
	got = reply_again(&status);
	CHECK_EQ(got.status.n_warnings, 1);
	CHECK_STR(got.status.warnings[0].hint, "");
	CHECK(got.status.quorate);
	control_reply_fini(&got);
	free(status.status.warnings[0].path);
	free(status.status.warnings[0].text);
	free(status.status.warnings[0].hint);
	free(status.status.warnings);
}

static int get_req(const struct control_req *r)
{
	struct control_req out;
	int err;

	buf_reset(&frame);
	CHECK_EQ(control_req_put(&frame, r), 0);
	err = control_req_get(frame.data, frame.len, &out);
	control_req_fini(&out);
	return err;
}

static void bad_strings_paths_and_kinds_are_refused(void)
{
	struct control_req r = { .id = 1, .kind = CONTROL_LIST, .path = (char *)"/volumes" };

	CHECK_EQ(get_req(&r), 0);
	r.path = (char *)"volumes";
	CHECK_EQ(get_req(&r), ERR_MALFORMED);
	r.path = (char *)"/vol\nume";
	CHECK_EQ(get_req(&r), ERR_MALFORMED);
	r.path = NULL;
	r.kind = (enum control_kind)99;
	CHECK_EQ(get_req(&r), ERR_MALFORMED);
	r.kind = CONTROL_VERB;
	r.word = (char *)"\xff";
	CHECK_EQ(get_req(&r), ERR_MALFORMED);
}

static void the_id_of_a_bad_request_is_known(void)
{
	struct control_req r = { .id = 77, .kind = CONTROL_LIST, .path = (char *)"x" }, out;

	buf_reset(&frame);
	CHECK_EQ(control_req_put(&frame, &r), 0);
	CHECK_EQ(control_req_get(frame.data, frame.len, &out), ERR_MALFORMED);
	CHECK_EQ(out.id, 77);
}

static void every_truncation_is_refused(void)
{
	struct control_req r = { .id = 1, .kind = CONTROL_COMMIT }, out;
	size_t whole;

	attrs_set(&txn_add(&r.txn, TXN_CREATE, "/volumes/v1")->attrs, "size", "1G");
	buf_reset(&frame);
	CHECK_EQ(control_req_put(&frame, &r), 0);
	whole = frame.len;
	for (size_t n = 0; n < whole; n++)
		CHECK_EQ(control_req_get(frame.data, n, &out), ERR_MALFORMED);
	control_req_fini(&r);
}

static void a_frame_beyond_the_limit_is_named_before_it_is_read(void)
{
	const uint8_t head[4] = { 0, 0, 0x81, 0 };
	size_t len;

	CHECK_EQ(control_frame_len(head, 4, &len), ERR_LIMIT);
	CHECK_EQ(control_frame_len(head, 3, &len), 0);
	CHECK_EQ(len, 0);
}

/* Two bytes of input make an empty submessage of a hundred: the arena says stop. */
static void a_message_that_unfolds_is_refused_at_the_arena_limit(void)
{
	struct buf b = { 0 };
	struct control_reply r;
	size_t n = 7u << 20;
	uint8_t *p = buf_room(&b, n + 4);

	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (8 * i));
	memset(p + 4, 0, n);
	p[4] = 12 << 3 | 2;     /* status, of length n - 6 */
	p[5] = 0xfa;
	p[6] = 0xff;
	p[7] = 0xbf;
	p[8] = 0x03;
	for (size_t i = 9; i + 1 < n + 4; i += 2)
		p[i] = 14 << 3 | 2;     /* warnings, empty */
	buf_add(&b, n + 4);
	CHECK_EQ(control_reply_get(b.data, b.len, &r), ERR_MALFORMED);
	buf_fini(&b);
}

int main(void)
{
	RUN(a_commit_survives_the_wire);
	RUN(absent_strings_arrive_as_empty_ones);
	RUN(an_object_keeps_both_sides);
	RUN(done_status_type_entry_and_event_survive);
	RUN(bad_strings_paths_and_kinds_are_refused);
	RUN(the_id_of_a_bad_request_is_known);
	RUN(every_truncation_is_refused);
	RUN(a_frame_beyond_the_limit_is_named_before_it_is_read);
	RUN(a_message_that_unfolds_is_refused_at_the_arena_limit);
	buf_fini(&frame);
	return 0;
}
