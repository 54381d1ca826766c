/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: waiting for what follows a commit. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "lib/priv.h"

/* A node that failed tries again; a failure that lasts this long is what the task came to. */
#define FAILING_MS 3000
/* Ages and progress move without an event of their own. */
#define LOOK_MS 500

struct waiting {
	director_progress_fn *progress;
	void *arg;
	bool over, found, moved, closed;       /* closed: the follower is no more */
	int err;
	struct mono failing;            /* since; MONO_NEVER: it is not */
	uint64_t done, total;
	char text[CONTROL_TEXT_MAX + 1];
};

static uint64_t number(const struct director_object *o, const char *key)
{
	const char *v = director_object_value(o, key);
	uint64_t n = 0;

	if (v)
		text_u64_parse(v, &n);
	return n;
}

static const char *text(const struct director_object *o)
{
	static const char *const keys[] = { "error", "reason", "what" };

	if (*director_object_reason(o))
		return director_object_reason(o);
	for (unsigned i = 0; i < 3; i++) {
		const char *v = director_object_value(o, keys[i]);

		if (v && *v)
			return v;
	}
	return "";
}

static void look(struct waiting *w, const struct director_object *o)
{
	const char *state = director_object_value(o, "state");
	uint64_t done = number(o, "done"), total = number(o, "total");
	bool failing = director_object_status(o) == DIRECTOR_FAILED || (state && strcmp(state, "failed") == 0);

	w->found = true;
	w->moved = done != w->done || total != w->total || strcmp(w->text, text(o)) != 0;
	w->done = done;
	w->total = total;
	snprintf(w->text, sizeof(w->text), "%s", text(o));
	if (!failing)
		w->failing = MONO_NEVER;
	else if (w->failing.ns == MONO_NEVER.ns)
		w->failing = mono_now();
	if (state && strcmp(state, "canceled") == 0) {
		w->over = true;
		w->err = ERR_CANCELED;
	} else if ((state && strcmp(state, "done") == 0) || director_object_status(o) == DIRECTOR_CONVERGED) {
		w->over = true;
	}
}

static void task_data(struct director_request *q, struct control_reply *r)
{
	struct waiting *w = q->arg;
	struct director_object *o = NULL;

	if (r->kind == CONTROL_R_OBJECT) {
		o = object_new(&r->object);
	} else if (r->kind == CONTROL_R_EVENT && r->event.kind == CONTROL_EV_GONE) {
		w->over = true;
	} else if (r->kind == CONTROL_R_EVENT && r->event.object && strcmp(r->event.path, r->event.object->path) == 0) {
		o = object_new(r->event.object);
	} else if (r->kind == CONTROL_R_SYNCED && !w->found) {
		w->over = true;
	}
	if (!o || w->over) {
		object_free(o);
		return;
	}
	look(w, o);
	object_free(o);
}

static void task_done(struct director_request *q, int code, struct control_done *d)
{
	struct waiting *w = q->arg;

	if (d && code == ERR_NOENT)
		code = 0;
	w->err = code;
	w->over = w->closed = true;
}

/* One look; the follower that is open beside it brings what has an event. */
static int look_again(struct director *d, const char *task, struct waiting *w)
{
	struct director_object *o;
	int err = director_get(d, task, &o);

	if (err == ERR_NOENT) {
		w->over = true;
		return 0;
	}
	if (err)
		return err;
	if (!w->over)
		look(w, o);
	director_object_free(&o);
	return 0;
}

static int outcome(struct director *d, const char *task, const struct waiting *w)
{
	if (w->err == ERR_CANCELED)
		return error_set(d, ERR_CANCELED, task, NULL, "%s was canceled", task);
	return w->err ? w->err : error_clear(d);
}

int director_task_wait(struct director *d, const char *task, uint64_t timeout_ms, director_progress_fn *progress, void *arg)
{
	struct control_req r = { .kind = CONTROL_LIST, .path = (char *)task, .flags = CONTROL_F_FOLLOW };
	struct waiting w = { .progress = progress, .arg = arg, .failing = MONO_NEVER };
	struct mono deadline = timeout_ms ? mono_add_ms(mono_now(), timeout_ms) : MONO_NEVER;
	struct director_request *q;
	int err = path_ok(task) ? director_connect(d) : error_set(d, ERR_INVAL, NULL, NULL, "\"%s\" is not a path", task);

	if (err)
		return err;
	q = request_new(d, &r, task_data, task_done, &w);
	while (!w.over) {
		struct mono next = mono_add_ms(mono_now(), LOOK_MS);

		err = conn_wait(d, mono_min(next, deadline));
		if (err == ERR_TIMEOUT && !mono_due(deadline, mono_now()))
			err = look_again(d, task, &w);
		if (err)
			break;
		if (w.moved && progress)
			progress(d, w.done, w.total, w.text, arg);
		w.moved = false;
		if (!w.over && w.failing.ns != MONO_NEVER.ns && mono_ms_between(w.failing, mono_now()) >= FAILING_MS) {
			err = error_set(d, ERR_FAILED, task, NULL, "%s", *w.text ? w.text : "a node reports a failure");
			break;
		}
	}
	if (!w.closed) {
		struct director_error e = d->error;

		request_drop(q);
		d->error = e;
	}
	if (err == ERR_TIMEOUT)
		return error_set(d, ERR_TIMEOUT, task, "director task wait", "it is not done yet, and goes on: %s", w.text);
	return err ? err : outcome(d, task, &w);
}

int director_task_cancel(struct director *d, const char *task)
{
	return director_call(d, "task.cancel", task, NULL, NULL, NULL, NULL);
}
