/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Candidates: a transaction under construction, one per user and node. It is kept here, not in the shell,
 * so that `director begin` and `director commit` may be two processes, and in a file (0600, frames of
 * COMMIT requests, one for each addition), so that it outlives the daemon.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/text.h"
#include "directord/api_priv.h"

#define FILE_MAX (4 * CONTROL_FRAME_MAX)
#define WHOLE_MAX 100           /* changes that an addition is tried together with; of more, those that concern the same objects */

struct api_candidate *api_candidate_of(const struct api *api, uid_t uid)
{
	struct api_candidate *ca;

	LIST_FOREACH(ca, &api->candidates, entry)
		if (ca->uid == uid)
			return ca;
	return NULL;
}

static struct api_candidate *candidate_new(struct api *api, uid_t uid)
{
	struct api_candidate *ca = mem_zalloc(sizeof(*ca));

	ca->uid = uid;
	ca->number = ++api->next_candidate;
	ca->begun_ms = wall_ms();
	LIST_INSERT_HEAD(&api->candidates, ca, entry);
	return ca;
}

static void candidate_free(struct api_candidate *ca)
{
	LIST_REMOVE(ca, entry);
	txn_fini(&ca->txn);
	free(ca);
}

void api_candidate_fini(struct api *api)
{
	while (!LIST_EMPTY(&api->candidates))
		candidate_free(LIST_FIRST(&api->candidates));
}

/* All operations of `from`, which has none afterwards. */
static void move_ops(struct txn *to, struct txn *from)
{
	for (unsigned i = 0; i < from->n_ops; i++) {
		struct txn_op *op = txn_add(to, from->ops[i].kind, from->ops[i].path);

		op->if_generation = from->ops[i].if_generation;
		attrs_fini(&op->attrs);
		op->attrs = from->ops[i].attrs;
		from->ops[i].attrs = (struct attrs){ 0 };
		free(from->ops[i].path);
	}
	from->n_ops = 0;
}

/* ---- at rest ---- */

static char *file_of(const struct api *api, uid_t uid, const char *end)
{
	return mem_printf("%s/candidate-%u%s", api->state, (unsigned)uid, end);
}

static int write_file(const char *path, int how, const struct buf *b)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | how, 0600);
	int err = 0;

	if (fd < 0)
		return err_from_errno(errno);
	if (write(fd, b->data, b->len) != (ssize_t)b->len || fsync(fd) < 0)
		err = err_from_errno(errno ? errno : EIO);
	close(fd);
	return err;
}

/* A candidate that cannot be written down still works until the daemon ends. */
static void candidate_save(const struct api *api, const struct api_candidate *ca)
{
	struct control_req r = { .kind = CONTROL_COMMIT, .since = ca->begun_ms, .txn = ca->txn };
	struct buf b = { 0 };
	char *tmp, *path;
	int err;

	if (!api->state)
		return;
	tmp = file_of(api, ca->uid, ".new");
	path = file_of(api, ca->uid, "");
	err = control_req_put(&b, &r);
	if (!err)
		err = write_file(tmp, O_CREAT | O_TRUNC, &b);
	if (!err && rename(tmp, path) < 0)
		err = err_from_errno(errno);
	if (err)
		log_warn(api->conf.log, "api: %s: %s; the candidate would not outlive a restart", path, err_text(err));
	free(tmp);
	free(path);
	buf_fini(&b);
}

/* What was added last is written behind the rest. */
static void candidate_append(const struct api *api, const struct api_candidate *ca, const struct txn *added)
{
	struct control_req r = { .kind = CONTROL_COMMIT, .since = ca->begun_ms, .txn = *added };
	struct buf b = { 0 };
	char *path;
	int err;

	if (!api->state)
		return;
	path = file_of(api, ca->uid, "");
	r.txn.base = ca->txn.base;
	err = control_req_put(&b, &r);
	if (!err)
		err = write_file(path, O_APPEND, &b);
	free(path);
	buf_fini(&b);
	if (err)
		candidate_save(api, ca);
}

static void candidate_drop(const struct api *api, struct api_candidate *ca)
{
	if (api->state) {
		char *path = file_of(api, ca->uid, "");

		unlink(path);
		free(path);
	}
	candidate_free(ca);
}

static void read_file(const char *file, struct buf *b)
{
	FILE *f = fopen(file, "re");
	size_t n;

	while (f && b->len < FILE_MAX && (n = fread(buf_room(b, 65536), 1, 65536, f)) > 0)
		buf_add(b, n);
	if (f)
		fclose(f);
}

/* The next frame of the file. False: that was the last one, or the rest is none. */
static bool load_next(struct buf *b, size_t *at, struct control_req *r)
{
	size_t len;

	if (control_frame_len(b->data + *at, b->len - *at, &len) < 0 || len == 0 || len > b->len - *at ||
	    control_req_get(b->data + *at, len, r) < 0)
		return false;
	*at += len;
	return true;
}

static void load_one(struct api *api, const char *name, uid_t uid)
{
	char *path = mem_printf("%s/%s", api->state, name);
	struct api_candidate *ca = NULL;
	struct buf b = { 0 };
	struct control_req r;
	size_t at = 0;

	read_file(path, &b);
	while (at < b.len && load_next(&b, &at, &r)) {
		if (!ca) {
			ca = candidate_new(api, uid);
			ca->begun_ms = r.since;
			ca->txn.base = r.txn.base;
		}
		move_ops(&ca->txn, &r.txn);
		control_req_fini(&r);
	}
	if (!ca)
		log_warn(api->conf.log, "api: %s is not a candidate; ignored", path);
	else if (at < b.len)
		log_warn(api->conf.log, "api: %s is cut off; the last change of the candidate is lost", path);
	if (ca && at < b.len)
		candidate_save(api, ca);
	buf_fini(&b);
	free(path);
}

void api_candidate_load(struct api *api)
{
	DIR *d = api->state ? opendir(api->state) : NULL;
	struct dirent *e;
	uint64_t uid;

	if (!d)
		return;
	while ((e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "candidate-", 10) == 0 && text_u64_parse(e->d_name + 10, &uid) == 0)
			load_one(api, e->d_name, (uid_t)uid);
	closedir(d);
}

/* ---- requests ---- */

#define BEGIN_HINT "director begin"

static void named(const struct api_candidate *ca, const struct txn *req, struct txn *out)
{
	*out = (struct txn){ .time_ms = req->time_ms, .base = ca->txn.base };
	memcpy(out->request_id, req->request_id, sizeof(out->request_id));
	out->author = mem_strdup(req->author);
	out->node = mem_strdup(req->node);
	out->message = mem_strdup(req->message);
}

static void copy_op(struct txn *to, const struct txn_op *from)
{
	struct txn_op *op = txn_add(to, from->kind, from->path);

	op->if_generation = from->if_generation;
	attrs_copy(&op->attrs, &from->attrs);
}

/* Is the operation about what `op` is about, or refers to? */
static bool concerns(const struct txn_op *op, const struct txn_op *other)
{
	const char *slash = strchr(other->path + 1, '/');

	if (path_below(op->path, other->path) || path_below(other->path, op->path))
		return true;
	if (!slash || strchr(slash + 1, '/'))
		return false;
	for (unsigned i = 0; i < op->attrs.n; i++)
		if (strcmp(op->attrs.a[i].value, slash + 1) == 0)
			return true;
	return false;
}

static bool concerns_any(const struct txn *add, const struct txn_op *other)
{
	for (unsigned i = 0; i < add->n_ops; i++)
		if (concerns(&add->ops[i], other))
			return true;
	return false;
}

static void show(struct api_client *c, uint64_t id, const struct api_candidate *ca)
{
	struct control_reply r = { .id = id, .kind = CONTROL_R_ENTRY };
	struct control_done d = { .index = ca->txn.base };

	api_mask_txn(c->api, &ca->txn, &r.entry.txn);
	r.entry.txn.time_ms = ca->begun_ms;
	api_send(c, &r);
	api_mask_txn_fini(&r.entry.txn);
	api_send_done(c, id, &d);
}

/*
 * Try what is added after what is there. All of a large candidate is tried only where that part of it does not do: otherwise
 * ten thousand additions would cost fifty million steps. The commit tries all.
 */
static void add_try(struct api_client *c, struct api_open *o, const struct api_candidate *ca)
{
	struct api_token token = { c->id, o->id };
	struct txn t;

	named(ca, &o->add, &t);
	for (unsigned i = 0; i < ca->txn.n_ops; i++)
		if (!o->part || concerns_any(&o->add, &ca->txn.ops[i]))
			copy_op(&t, &ca->txn.ops[i]);
	for (unsigned i = 0; i < o->add.n_ops; i++)
		copy_op(&t, &o->add.ops[i]);
	c->api->conf.ops->commit(c->api->conf.ops_arg, token, &t, true);
	txn_fini(&t);
}

static struct api_open *candidate_open(struct api_client *c, uint64_t id, enum api_open_kind kind, const struct api_candidate *ca)
{
	struct api_open *o = api_open_new(c, id, kind);

	o->candidate = ca->number;
	o->upto = ca->n_gone + ca->txn.n_ops;
	return o;
}

static void too_many(struct api_client *c, uint64_t id)
{
	api_send_err(c, id, ERR_LIMIT, NULL, "director commit", "a transaction has at most %u changes", TXN_OPS_MAX);
}

static void add(struct api_client *c, struct control_req *r, struct api_candidate *ca)
{
	struct api_open *o;

	if (ca->txn.n_ops + r->txn.n_ops > TXN_OPS_MAX) {
		too_many(c, r->id);
		return;
	}
	o = candidate_open(c, r->id, OPEN_CANDIDATE_ADD, ca);
	o->add = r->txn;
	r->txn = (struct txn){ 0 };
	o->part = ca->txn.n_ops > WHOLE_MAX;
	add_try(c, o, ca);
}

static void commit(struct api_client *c, struct control_req *r, struct api_candidate *ca)
{
	struct api_token token = { c->id, r->id };
	bool dry = r->flags & CONTROL_F_DRY_RUN;
	struct txn t;

	named(ca, &r->txn, &t);
	for (unsigned i = 0; i < ca->txn.n_ops; i++)
		copy_op(&t, &ca->txn.ops[i]);
	candidate_open(c, r->id, dry ? OPEN_ASYNC : OPEN_CANDIDATE_COMMIT, ca);
	c->api->conf.ops->commit(c->api->conf.ops_arg, token, &t, dry);
	txn_fini(&t);
}

void api_candidate_request(struct api_client *c, struct control_req *r)
{
	struct api_candidate *ca = api_candidate_of(c->api, c->peer.uid);
	struct control_done d = { 0 };

	if (strcmp(r->word, "begin") == 0) {
		if (ca) {
			api_send_err(c, r->id, ERR_EXIST, NULL, "director diff; director commit or director abort",
			             "%s has a transaction of %u changes open already", c->peer.user, ca->txn.n_ops);
			return;
		}
		ca = candidate_new(c->api, c->peer.uid);
		ca->txn.base = c->api->conf.ops->index(c->api->conf.ops_arg);
		candidate_save(c->api, ca);
		api_send_done(c, r->id, &d);
		return;
	}
	if (!ca) {
		api_send_err(c, r->id, ERR_NOENT, NULL, BEGIN_HINT, "%s has no transaction open", c->peer.user);
	} else if (strcmp(r->word, "show") == 0) {
		show(c, r->id, ca);
	} else if (strcmp(r->word, "count") == 0) {
		d.index = ca->txn.n_ops;
		api_send_done(c, r->id, &d);
	} else if (strcmp(r->word, "add") == 0) {
		add(c, r, ca);
	} else if (strcmp(r->word, "commit") == 0) {
		commit(c, r, ca);
	} else if (strcmp(r->word, "abort") == 0) {
		candidate_drop(c->api, ca);
		api_send_done(c, r->id, &d);
	} else {
		api_send_err(c, r->id, ERR_NOTSUP, NULL, NULL, "a candidate knows no \"%s\"", r->word);
	}
}

/* What was committed goes; what was added in the meantime stays. */
static void committed(const struct api *api, struct api_candidate *ca, uint64_t upto, uint64_t index)
{
	unsigned gone = upto > ca->n_gone ? (unsigned)(upto - ca->n_gone) : 0;

	if (gone >= ca->txn.n_ops) {
		candidate_drop(api, ca);
		return;
	}
	for (unsigned i = 0; i < gone; i++) {
		free(ca->txn.ops[i].path);
		attrs_fini(&ca->txn.ops[i].attrs);
	}
	ca->txn.n_ops -= gone;
	memmove(ca->txn.ops, ca->txn.ops + gone, ca->txn.n_ops * sizeof(*ca->txn.ops));
	ca->n_gone += gone;
	/* It was added to what is agreed now. */
	if (index > ca->txn.base)
		ca->txn.base = index;
	candidate_save(api, ca);
}

bool api_candidate_done(struct api_client *c, struct api_open *o, const struct control_done *d)
{
	struct api_candidate *ca = api_candidate_of(c->api, c->peer.uid);
	struct control_done bare = *d;

	if (ca && ca->number != o->candidate)
		ca = NULL;
	if (o->kind == OPEN_CANDIDATE_COMMIT) {
		if (!d->err && ca)
			committed(c->api, ca, o->upto, d->index);
		return true;
	}
	if (d->err && o->part && ca) {
		o->part = false;
		add_try(c, o, ca);
		return false;
	}
	if (!d->err && !ca) {
		api_send_err(c, o->id, ERR_CONFLICT, NULL, BEGIN_HINT, "the transaction was committed or aborted in the meantime");
	} else if (!d->err && ca->txn.n_ops + o->add.n_ops > TXN_OPS_MAX) {
		too_many(c, o->id);
	} else {
		if (!d->err) {
			candidate_append(c->api, ca, &o->add);
			move_ops(&ca->txn, &o->add);
		}
		/* What all of it would do is asked for by a trial of the commit. */
		bare.lines = NULL;
		bare.n_lines = 0;
		api_send_done(c, o->id, &bare);
	}
	api_open_free(c, o);
	return false;
}
