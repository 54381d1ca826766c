/* SPDX-License-Identifier: Apache-2.0 */
/* Changing: commits, candidates, verbs. */
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "lib/priv.h"

static struct director_result *result_new(struct control_done *d)
{
	struct director_result *r = mem_zalloc(sizeof(*r));

	r->d = *d;
	*d = (struct control_done){ 0 };
	return r;
}

/* Hand the end of a request to the caller, if it went well. */
static int give(int err, struct control_done *done, struct director_result **r)
{
	if (r)
		*r = err ? NULL : result_new(done);
	control_done_fini(done);
	return err;
}

static uint32_t commit_flags(unsigned flags)
{
	return flags & DIRECTOR_DRY_RUN ? CONTROL_F_DRY_RUN : 0;
}

/*
 * The answer may be lost with the connection although the commit happened; asking again with the same key finds
 * out. Not asked again: what never reached a daemon, and what a daemon refused.
 */
static int run_again(struct director *d, struct control_req *r, struct control_done *done)
{
	struct mono deadline = deadline_of(d);
	int err = director_connect(d);

	*done = (struct control_done){ 0 };
	if (err)
		return err;
	for (;;) {
		struct director_error e;

		err = request_run_until(d, r, NULL, NULL, done, deadline);
		/* The same word of a daemon, about a node, comes over a connection that is still there. */
		if (err != ERR_UNREACHABLE || d->fd >= 0)
			return err;
		e = d->error;
		do {
			if (mono_due(deadline, mono_now())) {
				d->error = e;
				return ERR_UNREACHABLE;
			}
			poll(NULL, 0, 100);
			err = director_connect(d);
		} while (err == ERR_UNREACHABLE);
		if (err)
			return err;
	}
}

int director_commit(struct director *d, struct director_txn *t, unsigned flags, struct director_result **r)
{
	struct control_req req = { .kind = CONTROL_COMMIT, .flags = commit_flags(flags), .txn = t->t };
	struct control_done done;
	int err = run_again(d, &req, &done);

	return give(err, &done, r);
}

int director_undo(struct director *d, uint64_t index, struct director_txn *t, unsigned flags, struct director_result **r)
{
	struct control_req req = { .kind = CONTROL_COMMIT, .flags = commit_flags(flags), .txn = t->t, .undo = index };
	struct control_done done;
	int err;

	if (index == 0)
		return error_set(d, ERR_INVAL, NULL, "director history", "0 is no entry of the history");
	req.txn.ops = NULL;
	req.txn.n_ops = 0;
	err = run_again(d, &req, &done);
	return give(err, &done, r);
}

struct director_request *director_commit_start(struct director *d, struct director_txn *t, unsigned flags,
	director_done_fn *done, void *arg)
{
	struct control_req req = { .kind = CONTROL_COMMIT, .flags = commit_flags(flags), .txn = t->t };
	struct director_request *q;

	error_clear(d);
	q = request_new(d, &req, NULL, request_told, NULL);
	q->done_fn = done;
	q->user = arg;
	return q;
}

/* ---- candidates ---- */

static int candidate(struct director *d, const char *word, const struct director_txn *t, uint32_t flags,
	void (*on_data)(struct director_request *, struct control_reply *), void *arg, struct director_result **r)
{
	struct control_req req = { .kind = CONTROL_CANDIDATE, .word = (char *)word, .flags = flags };
	struct control_done done;
	int err;

	if (t)
		req.txn = t->t;
	err = request_run(d, &req, on_data, arg, &done);
	return give(err, &done, r);
}

int director_candidate_begin(struct director *d)
{
	return candidate(d, "begin", NULL, 0, NULL, NULL, NULL);
}

int director_candidate_add(struct director *d, struct director_txn *t)
{
	return candidate(d, "add", t, 0, NULL, NULL, NULL);
}

int director_candidate_commit(struct director *d, struct director_txn *t, unsigned flags, struct director_result **r)
{
	return candidate(d, "commit", t, commit_flags(flags), NULL, NULL, r);
}

int director_candidate_abort(struct director *d)
{
	return candidate(d, "abort", NULL, 0, NULL, NULL, NULL);
}

static void show_data(struct director_request *q, struct control_reply *r)
{
	struct director_txn *t = q->arg;

	if (r->kind != CONTROL_R_ENTRY)
		return;
	txn_fini(&t->t);
	t->t = r->entry.txn;
	r->entry.txn = (struct txn){ 0 };
}

int director_candidate_show(struct director *d, struct director_txn **out)
{
	struct director_txn *t = mem_zalloc(sizeof(*t));
	struct director_result *r;
	int err = candidate(d, "show", NULL, 0, show_data, t, &r);

	if (err)
		director_txn_free(&t);
	else
		t->t.base = r->d.index;
	director_result_free(&r);
	*out = t;
	return err;
}

/* ---- verbs ---- */

void director_args_new(struct director_args **a)
{
	*a = mem_zalloc(sizeof(**a));
}

int director_args_set(struct director_args *a, const char *key, const char *value)
{
	if (a->attrs.n == ATTRS_MAX && !attrs_get(&a->attrs, key))
		return ERR_LIMIT;
	attrs_set(&a->attrs, key, value);
	return 0;
}

void director_args_free(struct director_args **a)
{
	if (!*a)
		return;
	attrs_fini(&(*a)->attrs);
	free(*a);
	*a = NULL;
}

struct call {
	director_progress_fn *progress;
	void *arg;
};

static void call_data(struct director_request *q, struct control_reply *r)
{
	struct call *c = q->arg;

	if (r->kind == CONTROL_R_PROGRESS && c->progress)
		c->progress(q->d, r->progress, r->of, r->text, c->arg);
}

static struct control_req call_req(const char *verb, const char *path, const struct director_args *args)
{
	struct control_req r = { .kind = CONTROL_VERB, .word = (char *)verb, .path = (char *)path };

	if (args)
		r.args = args->attrs;
	return r;
}

int director_call(struct director *d, const char *verb, const char *path, const struct director_args *args,
	director_progress_fn *progress, void *arg, struct director_result **out)
{
	struct control_req r = call_req(verb, path, args);
	struct call c = { progress, arg };
	struct control_done done;
	int err = request_run(d, &r, call_data, &c, &done);

	return give(err, &done, out);
}

static void start_data(struct director_request *q, struct control_reply *r)
{
	if (r->kind == CONTROL_R_PROGRESS && q->progress_fn)
		q->progress_fn(q->d, r->progress, r->of, r->text, q->user);
}

struct director_request *director_call_start(struct director *d, const char *verb, const char *path,
	const struct director_args *args, director_progress_fn *progress, director_done_fn *done, void *arg)
{
	struct control_req r = call_req(verb, path, args);
	struct director_request *q;

	error_clear(d);
	q = request_new(d, &r, start_data, request_told, NULL);
	q->progress_fn = progress;
	q->done_fn = done;
	q->user = arg;
	return q;
}

/* ---- results ---- */

uint64_t director_result_index(const struct director_result *r)
{
	return r->d.index;
}

const char *director_result_task(const struct director_result *r)
{
	return r->d.task ? r->d.task : "";
}

const char *director_result_get(const struct director_result *r, const char *key)
{
	return attrs_get(&r->d.attrs, key);
}

bool director_result_at(const struct director_result *r, size_t i, const char **key, const char **value)
{
	if (i >= r->d.attrs.n)
		return false;
	*key = r->d.attrs.a[i].key;
	*value = r->d.attrs.a[i].value;
	return true;
}

const char *director_result_line(const struct director_result *r, size_t i)
{
	return i < r->d.n_lines ? r->d.lines[i] : NULL;
}

void director_result_free(struct director_result **r)
{
	if (!*r)
		return;
	control_done_fini(&(*r)->d);
	free(*r);
	*r = NULL;
}
