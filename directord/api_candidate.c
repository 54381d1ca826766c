/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Candidates: a transaction under construction, one per user and node. It is kept here, not in the shell,
 * so that `director begin` and `director commit` may be two processes, and in a file (0600, the
 * frame of its COMMIT request), so that it outlives the daemon.
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

/* ---- at rest ---- */

static char *file_of(const struct api *api, uid_t uid, const char *end)
{
	return mem_printf("%s/candidate-%u%s", api->state, (unsigned)uid, end);
}

static int write_file(const char *path, const struct buf *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
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
		err = write_file(tmp, &b);
	if (!err && rename(tmp, path) < 0)
		err = err_from_errno(errno);
	if (err)
		log_warn(api->conf.log, "api: %s: %s; the candidate would not outlive a restart", path, err_text(err));
	free(tmp);
	free(path);
	buf_fini(&b);
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

static void load_one(struct api *api, const char *name, uid_t uid)
{
	char *path = mem_printf("%s/%s", api->state, name);
	FILE *f = fopen(path, "re");
	struct control_req r;
	struct buf b = { 0 };
	size_t n = 0;

	if (f) {
		n = fread(buf_room(&b, CONTROL_FRAME_MAX), 1, CONTROL_FRAME_MAX, f);
		buf_add(&b, n);
		fclose(f);
	}
	if (n && control_req_get(b.data, b.len, &r) == 0) {
		struct api_candidate *ca = candidate_new(api, uid);

		ca->begun_ms = r.since;
		ca->txn = r.txn;
		r.txn = (struct txn){ 0 };
		control_req_fini(&r);
	} else {
		log_warn(api->conf.log, "api: %s is not a candidate; ignored", path);
	}
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

static void move_ops(struct txn *to, struct txn *from)
{
	for (unsigned i = 0; i < from->n_ops; i++) {
		struct txn_op *op = txn_add(to, from->ops[i].kind, from->ops[i].path);

		op->if_generation = from->ops[i].if_generation;
		attrs_fini(&op->attrs);
		op->attrs = from->ops[i].attrs;
		from->ops[i].attrs = (struct attrs){ 0 };
	}
}

/* What would be committed: the candidate's steps under the request's name. */
static void whole(const struct api_candidate *ca, const struct txn *req, struct txn *out)
{
	txn_copy(out, &ca->txn);
	memcpy(out->request_id, req->request_id, sizeof(out->request_id));
	free(out->author);
	free(out->node);
	free(out->message);
	out->author = mem_strdup(req->author);
	out->node = mem_strdup(req->node);
	out->message = mem_strdup(req->message);
	out->time_ms = req->time_ms;
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

static void add(struct api_client *c, struct control_req *r, struct api_candidate *ca)
{
	struct api_token token = { c->id, r->id };
	struct api_open *o;
	struct txn t, more;

	if (ca->txn.n_ops + r->txn.n_ops > TXN_OPS_MAX) {
		api_send_err(c, r->id, ERR_LIMIT, NULL, "director commit", "a transaction has at most %u changes", TXN_OPS_MAX);
		return;
	}
	whole(ca, &r->txn, &t);
	txn_copy(&more, &r->txn);
	move_ops(&t, &more);
	txn_fini(&more);
	o = api_open_new(c, r->id, OPEN_CANDIDATE_ADD);
	o->add = r->txn;
	r->txn = (struct txn){ 0 };
	c->api->conf.ops->commit(c->api->conf.ops_arg, token, &t, true);
	txn_fini(&t);
}

static void commit(struct api_client *c, struct control_req *r, struct api_candidate *ca)
{
	struct api_token token = { c->id, r->id };
	bool dry = r->flags & CONTROL_F_DRY_RUN;
	struct txn t;

	whole(ca, &r->txn, &t);
	api_open_new(c, r->id, dry ? OPEN_ASYNC : OPEN_CANDIDATE_COMMIT);
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

void api_candidate_done(struct api_client *c, struct api_open *o, const struct control_done *d)
{
	struct api_candidate *ca = api_candidate_of(c->api, c->peer.uid);

	if (d->err || !ca)
		return;
	if (o->kind == OPEN_CANDIDATE_ADD) {
		move_ops(&ca->txn, &o->add);
		candidate_save(c->api, ca);
	} else {
		candidate_drop(c->api, ca);
	}
}
