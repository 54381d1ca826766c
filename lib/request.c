/* SPDX-License-Identifier: Apache-2.0 */
/* Requests under way: who gets which reply. */
#include <poll.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "lib/priv.h"

struct director_request *request_new(struct director *d, struct control_req *r,
	void (*on_data)(struct director_request *, struct control_reply *),
	void (*on_done)(struct director_request *, int, struct control_done *), void *arg)
{
	struct director_request *q = mem_zalloc(sizeof(*q));

	q->d = d;
	q->id = r->id = ++d->next_id;
	q->on_data = on_data;
	q->on_done = on_done;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&d->requests, q, entry);
	if (d->fd < 0)
		q->unsent = ERR_UNREACHABLE;
	else if (control_req_put(&d->out, r) < 0)
		q->unsent = ERR_LIMIT;
	d->n_unsent += q->unsent != 0;
	return q;
}

void request_told(struct director_request *q, int code, struct control_done *d)
{
	struct director_result r = { 0 };

	if (d)
		r.d = *d;
	if (q->done_fn)
		q->done_fn(q->d, code, &r, q->user);
}

void request_drop(struct director_request *q)
{
	struct director *d = q->d;
	struct control_req cancel = { .kind = CONTROL_CANCEL, .id = ++d->next_id, .target = q->id };

	TAILQ_REMOVE(&d->requests, q, entry);
	d->n_unsent -= q->unsent != 0;
	free(q);
	if (d->fd >= 0)
		control_req_put(&d->out, &cancel);
}

void director_request_cancel(struct director_request *q)
{
	struct control_req cancel = { .kind = CONTROL_CANCEL, .id = ++q->d->next_id, .target = q->id };

	if (q->d->fd >= 0)
		control_req_put(&q->d->out, &cancel);
}

static struct director_request *request_of(struct director *d, uint64_t id)
{
	struct director_request *q;

	TAILQ_FOREACH(q, &d->requests, entry)
		if (q->id == id)
			return q;
	return NULL;
}

void request_dispatch(struct director *d, struct control_reply *r)
{
	struct director_request *q = request_of(d, r->id);

	if (!q)
		return;                 /* to a request that was dropped */
	if (r->kind != CONTROL_R_DONE) {
		if (q->on_data)
			q->on_data(q, r);
		return;
	}
	/* Out of the list first: the callback may use `d`, and break the connection over it. */
	TAILQ_REMOVE(&d->requests, q, entry);
	error_from_done(d, &r->done);
	if (q->on_done)
		q->on_done(q, r->done.err, &r->done);
	free(q);
}

/* The first of those that were started by now; a callback may start more. */
static struct director_request *unsent_before(struct director *d, uint64_t id)
{
	struct director_request *q;

	TAILQ_FOREACH(q, &d->requests, entry)
		if (q->unsent && q->id <= id)
			return q;
	return NULL;
}

void requests_unsent(struct director *d)
{
	uint64_t last = d->next_id;
	struct director_request *q;

	while (d->n_unsent && (q = unsent_before(d, last))) {
		const char *text = q->unsent == ERR_LIMIT ? "the request is too long for one message" : "not connected to directord";
		struct control_done done = { .err = q->unsent, .text = mem_strdup(text) };
		struct control_reply r = { .id = q->id, .kind = CONTROL_R_DONE, .done = done };

		d->n_unsent--;
		request_dispatch(d, &r);
		control_reply_fini(&r);
	}
}

void requests_fail(struct director *d, int code)
{
	uint64_t last = d->next_id;
	struct director_request *q;
	struct director_error e = d->error;

	/* Those that a callback starts now are not among them, or trying again would never end. */
	while ((q = TAILQ_FIRST(&d->requests)) != NULL && q->id <= last) {
		TAILQ_REMOVE(&d->requests, q, entry);
		d->n_unsent -= q->unsent != 0;
		d->error = e;
		if (q->on_done)
			q->on_done(q, code, NULL);
		free(q);
	}
}

/* ---- blocking ---- */

struct run {
	struct control_done *done;
	int err;
	bool over;
};

static void run_done(struct director_request *q, int code, struct control_done *d)
{
	struct run *run = q->user;

	run->over = true;
	run->err = code;
	if (d && run->done) {
		*run->done = *d;
		*d = (struct control_done){ 0 };
	}
}

int request_run_until(struct director *d, struct control_req *r,
	void (*on_data)(struct director_request *, struct control_reply *), void *arg, struct control_done *done,
	struct mono deadline)
{
	struct run run = { .done = done };
	struct director_request *q;
	struct director_error e;
	int err;

	if (done)
		*done = (struct control_done){ 0 };
	q = request_new(d, r, on_data, run_done, arg);
	q->user = &run;
	err = director_process(d, POLLOUT | (d->in.len ? POLLIN : 0));
	while (!err && !run.over)
		err = conn_wait(d, deadline);
	if (run.over) {
		if (run.err == 0)
			error_clear(d);
		return run.err;
	}
	e = d->error;
	request_drop(q);
	d->error = e;
	return err;
}

int request_run(struct director *d, struct control_req *r,
	void (*on_data)(struct director_request *, struct control_reply *), void *arg, struct control_done *done)
{
	struct mono deadline = deadline_of(d);
	int err = director_connect(d);

	if (done)
		*done = (struct control_done){ 0 };
	return err ? err : request_run_until(d, r, on_data, arg, done, deadline);
}
