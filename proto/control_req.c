/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the control protocol as bytes and back. */
#include "proto/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/control_pb.h"

void control_req_fini(struct control_req *r)
{
	free(r->path);
	free(r->prefix);
	free(r->word);
	attrs_fini(&r->args);
	txn_fini(&r->txn);
	*r = (struct control_req){ 0 };
}

int control_req_put(struct buf *out, const struct control_req *r)
{
	static const uint8_t zero[16];
	Director__ControlReq pb = DIRECTOR__CONTROL_REQ__INIT;
	struct arena a;
	int err;

	arena_init(&a);
	pb.id = r->id;
	pb.kind = r->kind;
	pb.flags = r->flags;
	pb.path = r->path;
	pb.depth = r->depth;
	pb.prefix = r->prefix;
	pb.stream = r->stream;
	pb.since = r->since;
	pb.limit = r->limit;
	pb.word = r->word;
	pb.args = control_attrs_pb(&a, &r->args, &pb.n_args);
	pb.ops = control_ops_pb(&a, &r->txn, &pb.n_ops);
	if (memcmp(r->txn.request_id, zero, 16) != 0)
		pb.request_id = (ProtobufCBinaryData){ 16, (uint8_t *)r->txn.request_id };
	pb.message = r->txn.message;
	pb.based_on = r->txn.base;
	pb.undo = r->undo;
	pb.target = r->target;
	pb.version_min = r->version_min;
	pb.version = r->version;
	pb.features = r->features;
	err = control_frame_put(out, &pb.base);
	arena_fini(&a);
	return err;
}

static int req_from(struct control_req *r, const Director__ControlReq *pb)
{
	r->id = pb->id;
	if (pb->kind < CONTROL_HELLO || pb->kind > CONTROL_CANDIDATE)
		return ERR_MALFORMED;
	r->kind = pb->kind;
	r->flags = pb->flags;
	r->depth = pb->depth;
	r->stream = pb->stream;
	r->since = pb->since;
	r->limit = pb->limit;
	r->undo = pb->undo;
	r->target = pb->target;
	r->version_min = pb->version_min;
	r->version = pb->version;
	r->features = pb->features;
	r->txn.base = pb->based_on;
	if (pb->request_id.len != 0 && pb->request_id.len != 16)
		return ERR_MALFORMED;
	if (pb->request_id.len)
		memcpy(r->txn.request_id, pb->request_id.data, 16);
	if (control_text_get(&r->path, pb->path, PATH_LEN_MAX - 1) < 0 ||
	    control_text_get(&r->prefix, pb->prefix, PATH_LEN_MAX - 1) < 0 ||
	    control_text_get(&r->word, pb->word, ATTR_KEY_MAX) < 0 ||
	    control_text_get(&r->txn.message, pb->message, CONTROL_TEXT_MAX) < 0 ||
	    control_attrs_get(&r->args, pb->args, pb->n_args) < 0)
		return ERR_MALFORMED;
	if (*r->path && !path_ok(r->path))
		return ERR_MALFORMED;
	return control_ops_get(&r->txn, pb->ops, pb->n_ops);
}

int control_req_get(const void *frame, size_t len, struct control_req *r)
{
	Director__ControlReq *pb;
	const uint8_t *p;
	struct arena a;
	size_t n;
	int err;

	*r = (struct control_req){ 0 };
	if (control_frame_body(frame, len, &p, &n) < 0)
		return ERR_MALFORMED;
	arena_init(&a);
	pb = director__control_req__unpack(&a.pb, n, p);
	err = pb ? req_from(r, pb) : ERR_MALFORMED;
	if (err) {
		uint64_t id = r->id;

		control_req_fini(r);
		r->id = id;
	}
	arena_fini(&a);
	return err;
}
