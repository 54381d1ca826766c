/* SPDX-License-Identifier: Apache-2.0 */
/* One request: may it be, and who answers it. */
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "directord/api_priv.h"

static void on_hello(struct api_client *c, struct control_req *r)
{
	struct api *api = c->api;
	struct control_done d = { 0 };
	struct control_reply hello = {
		.id = r->id, .kind = CONTROL_R_HELLO, .version = CONTROL_VERSION, .stream = api->conf.stream,
		.seq = api->ring.next - 1, .may_write = c->peer.may_write, .text = (char *)api->conf.version,
	};

	if (r->version < CONTROL_VERSION_MIN || r->version_min > CONTROL_VERSION) {
		api_send_err(c, r->id, ERR_VERSION, NULL, NULL,
		             "the daemon speaks versions %u to %u of the control protocol, the client %u to %u",
		             CONTROL_VERSION_MIN, CONTROL_VERSION, r->version_min, r->version);
		return;
	}
	if (r->version < hello.version)
		hello.version = r->version;
	c->hello = true;
	api_send(c, &hello);
	api_send_done(c, r->id, &d);
}

static void on_status(struct api_client *c, struct control_req *r)
{
	struct control_reply reply = { .id = r->id, .kind = CONTROL_R_STATUS };
	const struct api_candidate *ca = api_candidate_of(c->api, c->peer.uid);
	struct control_done d = { 0 };

	c->api->conf.ops->status(c->api->conf.ops_arg, &reply.status);
	if (ca) {
		char text[200];

		snprintf(text, sizeof(text), "%s has a transaction of %u changes open on this node", c->peer.user, ca->txn.n_ops);
		control_status_warn(&reply.status, "/", text, "director diff; director commit or director abort");
	}
	api_send(c, &reply);
	control_status_fini(&reply.status);
	api_send_done(c, r->id, &d);
}

static void on_commit(struct api_client *c, struct control_req *r)
{
	struct api *api = c->api;
	struct api_token token = { c->id, r->id };
	bool dry = r->flags & CONTROL_F_DRY_RUN;

	api_open_new(c, r->id, OPEN_ASYNC);
	if (r->undo)
		api->conf.ops->undo(api->conf.ops_arg, token, &r->txn, r->undo, dry);
	else
		api->conf.ops->commit(api->conf.ops_arg, token, &r->txn, dry);
}

static void on_verb(struct api_client *c, struct control_req *r)
{
	struct api_token token = { c->id, r->id };

	api_open_new(c, r->id, OPEN_ASYNC);
	c->api->conf.ops->verb(c->api->conf.ops_arg, token, &c->peer, r->word, *r->path ? r->path : "/", &r->args);
}

/* ---- history: as much as fits; DONE says before which index to go on ---- */

struct entries {
	struct api_client *c;
	uint64_t id, left, last;
	bool more;
};

static bool give_entry(void *arg, const struct control_entry *e)
{
	struct entries *es = arg;
	struct control_reply r = { .id = es->id, .kind = CONTROL_R_ENTRY, .entry = *e };

	if (es->left == 0)
		return false;
	if (api_client_queued(es->c) >= API_OUT_HIGH) {
		es->more = true;
		return false;
	}
	api_mask_txn(es->c->api, &e->txn, &r.entry.txn);
	api_send(es->c, &r);
	api_mask_txn_fini(&r.entry.txn);
	es->left--;
	es->last = e->index;
	return true;
}

static void on_history(struct api_client *c, struct control_req *r)
{
	const struct api_ops *ops = c->api->conf.ops;
	const char *path = *r->path ? r->path : "/";
	struct entries es = { c, r->id, r->limit ? r->limit : UINT64_MAX, 0, false };
	struct control_done d = { 0 };

	if (r->kind == CONTROL_BLAME)
		d.err = ops->blame(c->api->conf.ops_arg, path, give_entry, &es);
	else
		d.err = ops->history(c->api->conf.ops_arg, path, r->since, give_entry, &es);
	if (d.err == ERR_NOENT)
		d.text = (char *)"there is no such object";
	if (d.err)
		d.path = (char *)path;
	if (es.more)
		d.index = es.last;
	api_send_done(c, r->id, &d);
}

/* ---- schema ---- */

static void give_type(void *arg, const struct control_type *t)
{
	struct entries *es = arg;
	struct control_reply r = { .id = es->id, .kind = CONTROL_R_TYPE, .type = *t };

	api_send(es->c, &r);
}

static void on_schema(struct api_client *c, struct control_req *r)
{
	struct entries es = { .c = c, .id = r->id };
	struct control_done d = { 0 };

	c->api->conf.ops->schema(c->api->conf.ops_arg, give_type, &es);
	api_send_done(c, r->id, &d);
}

static void on_cancel(struct api_client *c, struct control_req *r)
{
	struct control_done d = { 0 };
	struct api_open *o = api_open_of(c, r->target);

	if (o) {
		struct api_token token = { c->id, o->id };
		bool list = o->kind == OPEN_LIST;

		api_open_free(c, o);
		api_send_err(c, token.request, ERR_CANCELED, NULL, NULL, "canceled by the client");
		if (!list)
			c->api->conf.ops->cancel(c->api->conf.ops_arg, token);
	}
	api_send_done(c, r->id, &d);
}

/* ---- the table ---- */

static const struct row {
	void (*fn)(struct api_client *c, struct control_req *r);
	bool writes;
} rows[] = {
	[CONTROL_HELLO] = { on_hello, false },
	[CONTROL_STATUS] = { on_status, false },
	[CONTROL_COMMIT] = { on_commit, true },
	[CONTROL_VERB] = { on_verb, true },
	[CONTROL_HISTORY] = { on_history, false },
	[CONTROL_BLAME] = { on_history, false },
	[CONTROL_SCHEMA] = { on_schema, false },
	[CONTROL_CANCEL] = { on_cancel, false },
	[CONTROL_CANDIDATE] = { api_candidate_request, true },
};

/* What the daemon knows better than the client. */
static void sign(struct api_client *c, struct txn *t)
{
	static const uint8_t zero[16];

	t->author = mem_strdup(c->peer.user);
	t->node = mem_strdup(c->api->node);
	t->time_ms = wall_ms();
	if (memcmp(t->request_id, zero, 16) == 0 && getrandom(t->request_id, 16, 0) != 16)
		t->request_id[0] = 1;
}

void api_request(struct api_client *c, struct control_req *r)
{
	const struct row *row = &rows[r->kind];

	if (!c->hello && r->kind != CONTROL_HELLO) {
		api_send_err(c, r->id, ERR_VERSION, NULL, NULL, "the first request must be HELLO");
		return;
	}
	if (api_open_of(c, r->id) || c->n_open >= API_OPEN_MAX) {
		api_send_err(c, r->id, ERR_LIMIT, NULL, NULL, "too many open requests, or the same id twice");
		return;
	}
	if (r->kind == CONTROL_LIST) {
		api_list_begin(c, r);
		return;
	}
	if (row->writes && !c->peer.may_write && !(r->kind == CONTROL_COMMIT && r->flags & CONTROL_F_DRY_RUN)) {
		api_send_err(c, r->id, ERR_DENIED, NULL, "run it as root, or as a member of the group director",
		             "%s may look, not change", c->peer.user);
		return;
	}
	sign(c, &r->txn);
	row->fn(c, r);
}
