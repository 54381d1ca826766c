/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists and their followers. A list is a place in the tree and, for a follower, a place in the ring of
 * events; both move on only as fast as the client reads. So nobody's slowness is stored.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "directord/api_priv.h"

/* ---- walking the tree ---- */

/* at + "/" + name into `out`; false if that is no path any more. */
static bool join(char out[PATH_LEN_MAX], const char *at, const char *name)
{
	int n = snprintf(out, PATH_LEN_MAX, "%s/%s", at[1] ? at : "", name);

	return n > 0 && n < PATH_LEN_MAX;
}

/* The object after l->at in depth-first order becomes l->at. False at the end. */
static bool list_next(const struct api *api, struct api_list *l)
{
	unsigned top = path_depth(l->path);
	char name[PATH_LEN_MAX], up[PATH_LEN_MAX], to[PATH_LEN_MAX];

	if (!*l->at) {
		memcpy(l->at, l->path, strlen(l->path) + 1);
		return true;
	}
	if (path_depth(l->at) - top < l->depth &&
	    api->conf.ops->child(api->conf.ops_arg, l->at, NULL, name) && join(to, l->at, name)) {
		memcpy(l->at, to, strlen(to) + 1);
		return true;
	}
	while (strcmp(l->at, l->path) != 0) {
		path_parent(l->at, up);
		if (api->conf.ops->child(api->conf.ops_arg, up, path_name(l->at), name) && join(to, up, name)) {
			memcpy(l->at, to, strlen(to) + 1);
			return true;
		}
		memcpy(l->at, up, strlen(up) + 1);
	}
	return false;
}

/* The prefix is asked of the names at the lowest level only. */
static bool wanted(const struct api_list *l, const char *path)
{
	if (!*l->prefix || path_depth(path) - path_depth(l->path) != l->depth)
		return true;
	return strncmp(path_name(path), l->prefix, strlen(l->prefix)) == 0;
}

static void send_object(struct api_client *c, uint64_t id, const struct control_object *o)
{
	struct control_reply r = { .id = id, .kind = CONTROL_R_OBJECT };

	api_mask_object(c->api, o, &r.object);
	api_send(c, &r);
	api_mask_object_fini(&r.object);
}

static void give_object(struct api_client *c, struct api_open *o)
{
	struct api_list *l = &o->list;
	const struct control_object *obj;

	if (!wanted(l, l->at))
		return;
	if (l->flags & CONTROL_F_NAMES) {
		struct control_object name = { .path = l->at, .type = (char *)"", .status = CONTROL_OBSERVED };

		send_object(c, o->id, &name);
	} else {
		if (c->api->conf.ops->get(c->api->conf.ops_arg, l->at, &obj) < 0)
			return;
		if (l->flags & CONTROL_F_UNSETTLED && obj->status != CONTROL_PENDING && obj->status != CONTROL_FAILED)
			return;
		send_object(c, o->id, obj);
	}
	l->limit--;
}

/* ---- following ---- */

static uint64_t last_event(const struct api *api)
{
	return api->ring.next - 1;
}

static void send_mark(struct api_client *c, uint64_t id, enum control_reply_kind kind, uint64_t seq)
{
	struct control_reply r = { .id = id, .kind = kind, .stream = c->api->conf.stream, .seq = seq };

	api_send(c, &r);
}

static bool event_wanted(const struct api_list *l, const struct api_event *e)
{
	if (path_below(e->path, l->path))
		return path_depth(e->path) - path_depth(l->path) <= l->depth;
	return e->kind == CONTROL_EV_GONE && path_below(l->path, e->path);
}

static void give_event(struct api_client *c, struct api_open *o, uint64_t seq)
{
	const struct api_event *e = &c->api->ring.slot[seq % c->api->ring.cap];
	struct control_reply r = {
		.id = o->id, .kind = CONTROL_R_EVENT,
		.event = { .seq = seq, .time_ms = e->time_ms, .kind = e->kind, .path = e->path, .text = e->text },
	};
	const struct control_object *obj;
	struct control_object masked;

	if (!event_wanted(&o->list, e))
		return;
	if (e->kind == CONTROL_EV_CHANGED && c->api->conf.ops->get(c->api->conf.ops_arg, e->path, &obj) == 0) {
		api_mask_object(c->api, obj, &masked);
		r.event.object = &masked;
	}
	api_send(c, &r);
	if (r.event.object)
		api_mask_object_fini(&masked);
	o->list.limit--;
}

void api_list_restart(struct api_open *o)
{
	o->list.cursor = UINT64_MAX;
	o->list.phase = LIST_LIVE;
}

/* Events between what the client has and the oldest that is kept are lost: start over, or with NOSNAP say so. */
static void list_gap(struct api_client *c, struct api_open *o)
{
	struct api_list *l = &o->list;

	if (l->flags & CONTROL_F_NOSNAP) {
		l->cursor = c->api->ring.first - 1;
		send_mark(c, o->id, CONTROL_R_RESET, l->cursor);
		return;
	}
	send_mark(c, o->id, CONTROL_R_RESET, last_event(c->api));
	l->cursor = last_event(c->api);
	l->at[0] = '\0';
	l->phase = LIST_SNAPSHOT;
}

static void list_done(struct api_client *c, struct api_open *o)
{
	struct control_done d = { 0 };
	uint64_t id = o->id;

	api_open_free(c, o);
	api_send_done(c, id, &d);
}

/* One step of a list. False: there is nothing to give now. */
static bool list_step(struct api_client *c, struct api_open *o)
{
	struct api_list *l = &o->list;

	if (l->limit == 0) {
		list_done(c, o);
		return false;
	}
	if (l->phase == LIST_SNAPSHOT) {
		if (list_next(c->api, l)) {
			give_object(c, o);
			return true;
		}
		if (!(l->flags & CONTROL_F_FOLLOW)) {
			list_done(c, o);
			return false;
		}
		send_mark(c, o->id, CONTROL_R_SYNCED, l->cursor);
		l->phase = LIST_LIVE;
		return true;
	}
	if (l->cursor > last_event(c->api) || l->cursor + 1 < c->api->ring.first) {
		list_gap(c, o);
		return true;
	}
	if (l->cursor == last_event(c->api)) {
		if (!(l->flags & CONTROL_F_FOLLOW))
			list_done(c, o);
		return false;
	}
	give_event(c, o, ++l->cursor);
	return true;
}

/*
 * What ends a list may send at once, and so make room, and so come here again: then the lists are walked already, and the
 * next of them might be gone when that walk goes on.
 */
void api_list_pump(struct api_client *c)
{
	struct api_open *o, *next;

	if (c->pumping)
		return;
	c->pumping = true;
	for (o = TAILQ_FIRST(&c->open); o; o = next) {
		next = TAILQ_NEXT(o, entry);
		if (o->kind != OPEN_LIST)
			continue;
		while (api_client_queued(c) < API_OUT_LOW && list_step(c, o))
			;
		if (api_client_queued(c) >= API_OUT_LOW)
			break;
	}
	c->pumping = false;
}

/* Where a follower or a reader of events begins. */
static void list_seek(struct api_client *c, struct api_open *o, const struct control_req *r)
{
	const struct api *api = c->api;
	struct api_list *l = &o->list;

	l->cursor = last_event(api);
	if (!(l->flags & (CONTROL_F_RESUME | CONTROL_F_NOSNAP)))
		return;
	l->phase = LIST_LIVE;
	if (!(l->flags & CONTROL_F_RESUME))
		l->cursor = api->ring.first - 1;
	else if (r->since == UINT64_MAX)
		return;
	else if (r->stream && r->stream != api->conf.stream)
		l->cursor = UINT64_MAX;         /* of another run of the daemon: a gap */
	else
		l->cursor = r->since;
}

void api_list_begin(struct api_client *c, const struct control_req *r)
{
	const char *path = *r->path ? r->path : "/";
	const struct control_object *obj;
	struct api_open *o;
	int err = c->api->conf.ops->get(c->api->conf.ops_arg, path, &obj);

	if (err && !(r->flags & (CONTROL_F_FOLLOW | CONTROL_F_NOSNAP))) {
		api_send_err(c, r->id, err, path, NULL, "there is no %s", path);
		return;
	}
	o = api_open_new(c, r->id, OPEN_LIST);
	memcpy(o->list.path, path, strlen(path) + 1);
	o->list.prefix = mem_strdup(r->prefix);
	o->list.depth = r->depth;
	o->list.flags = r->flags;
	o->list.limit = r->limit ? r->limit : UINT64_MAX;
	list_seek(c, o, r);
	api_list_pump(c);
}
