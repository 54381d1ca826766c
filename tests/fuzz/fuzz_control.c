/* SPDX-License-Identifier: Apache-2.0 */
/* The control protocol, both directions: what decodes must encode, and decode to the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "proto/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void again(int err, const struct buf *one, struct buf *two, int err2)
{
	if (err == 0 && (err2 != 0 || one->len != two->len || memcmp(one->data, two->data, one->len) != 0))
		abort();
}

static void as_request(const uint8_t *frame, size_t n)
{
	struct buf one = { 0 }, two = { 0 };
	struct control_req r, s;
	int err;

	if (control_req_get(frame, n, &r) < 0)
		return;
	err = control_req_put(&one, &r);
	if (err == 0 && control_req_get(one.data, one.len, &s) == 0) {
		again(err, &one, &two, control_req_put(&two, &s));
		control_req_fini(&s);
	} else if (err == 0) {
		abort();
	}
	control_req_fini(&r);
	buf_fini(&one);
	buf_fini(&two);
}

static void as_reply(const uint8_t *frame, size_t n)
{
	struct buf one = { 0 }, two = { 0 };
	struct control_reply r, s;
	int err;

	if (control_reply_get(frame, n, &r) < 0)
		return;
	err = control_reply_put(&one, &r);
	if (err == 0 && control_reply_get(one.data, one.len, &s) == 0) {
		again(err, &one, &two, control_reply_put(&two, &s));
		control_reply_fini(&s);
	} else if (err == 0) {
		abort();
	}
	control_reply_fini(&r);
	buf_fini(&one);
	buf_fini(&two);
}

/* The first byte chooses; the length of the frame is put right, or nothing would ever decode. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf frame = { 0 };
	size_t body = n ? n - 1 : 0, len;
	uint8_t head[4];

	if (n == 0 || n > (1u << 20))
		return 0;
	control_frame_len(p, n, &len);
	for (unsigned i = 0; i < 4; i++)
		head[i] = (uint8_t)(body >> (8 * i));
	buf_put(&frame, head, 4);
	buf_put(&frame, p + 1, body);
	if (p[0] & 1)
		as_request(frame.data, frame.len);
	else
		as_reply(frame.data, frame.len);
	buf_fini(&frame);
	return 0;
}
