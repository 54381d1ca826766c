/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the numbered events. */
#include "base/err.h"
#include "lib/priv.h"

struct reader {
	director_event_fn *fn;
	void *arg;
	bool over, closed;
	int err;
};

static void give(struct director_request *q, struct director_event *e)
{
	struct reader *rd = q->arg;

	e->stream = q->d->stream;
	if (!rd->over && !rd->fn(q->d, e, rd->arg))
		rd->over = true;
}

static void on_data(struct director_request *q, struct control_reply *r)
{
	struct director_event e = { .path = "", .text = "" };
	struct director_object *o = NULL;

	if (r->kind == CONTROL_R_RESET) {
		e.kind = DIRECTOR_EVENT_GAP;
		e.seq = r->seq;
		give(q, &e);
	} else if (r->kind == CONTROL_R_EVENT) {
		e.kind = (enum director_event_kind)r->event.kind;
		e.seq = r->event.seq;
		e.time_ms = r->event.time_ms;
		e.path = r->event.path;
		e.text = r->event.text;
		if (r->event.object)
			o = object_new(r->event.object);
		e.object = o;
		give(q, &e);
		object_free(o);
	}
}

static void on_done(struct director_request *q, int code, struct control_done *d)
{
	struct reader *rd = q->arg;
	struct director_event e = { .kind = DIRECTOR_EVENT_END, .path = "", .text = "" };

	if (code == 0)
		give(q, &e);
	rd->err = code;
	rd->over = rd->closed = true;
}

int director_events(struct director *d, const char *path, uint64_t stream, uint64_t since, bool follow,
	director_event_fn *fn, void *arg)
{
	struct control_req r = {
		.kind = CONTROL_LIST, .path = (char *)path, .depth = CONTROL_DEPTH_ALL, .stream = stream, .since = since,
		.flags = CONTROL_F_NOSNAP | (since ? CONTROL_F_RESUME : 0) | (follow ? CONTROL_F_FOLLOW : 0),
	};
	struct reader rd = { .fn = fn, .arg = arg };
	struct director_request *q;
	int err = path_ok(path) ? director_connect(d) : error_set(d, ERR_INVAL, NULL, NULL, "\"%s\" is not a path", path);

	if (err)
		return err;
	q = request_new(d, &r, on_data, on_done, &rd);
	while (!err && !rd.over)
		err = conn_wait(d, follow ? MONO_NEVER : deadline_of(d));
	if (!rd.closed)
		request_drop(q);
	return rd.err ? rd.err : err;
}
