/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of the control protocol as bytes and back. */
#include "proto/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proto/control_pb.h"

#define SEEN_MAX 4096u          /* nodes that report one object */
#define PARAMS_MAX 1024u
#define WARNINGS_MAX 4096u

/* ---- to bytes ---- */

static Director__ControlObject *object_pb(struct arena *a, const struct control_object *o)
{
	static const uint8_t zero[16];
	Director__ControlObject *pb = arena_need(a, sizeof(*pb));

	director__control_object__init(pb);
	pb->path = o->path;
	pb->type = o->type;
	if (memcmp(o->uuid, zero, 16) != 0)
		pb->uuid = (ProtobufCBinaryData){ 16, (uint8_t *)o->uuid };
	pb->generation = o->generation;
	pb->desired = control_attrs_pb(a, &o->desired, &pb->n_desired);
	pb->derived = control_attrs_pb(a, &o->derived, &pb->n_derived);
	pb->status = o->status;
	pb->reason = o->reason;
	pb->n_observed = o->n_seen;
	pb->observed = o->n_seen ? arena_need(a, o->n_seen * sizeof(*pb->observed)) : NULL;
	for (unsigned i = 0; i < o->n_seen; i++) {
		Director__ControlSeen *s = pb->observed[i] = arena_need(a, sizeof(*s));

		director__control_seen__init(s);
		s->node = o->seen[i].node;
		s->age_ms = o->seen[i].age_ms;
		s->attrs = control_attrs_pb(a, &o->seen[i].attrs, &s->n_attrs);
	}
	return pb;
}

static Director__ControlEvent *event_pb(struct arena *a, const struct control_event *e)
{
	Director__ControlEvent *pb = arena_need(a, sizeof(*pb));

	director__control_event__init(pb);
	pb->seq = e->seq;
	pb->time_ms = e->time_ms;
	pb->kind = e->kind;
	pb->path = e->path;
	pb->text = e->text;
	pb->object = e->object ? object_pb(a, e->object) : NULL;
	return pb;
}

static Director__ControlEntry *entry_pb(struct arena *a, const struct control_entry *e)
{
	Director__ControlEntry *pb = arena_need(a, sizeof(*pb));

	director__control_entry__init(pb);
	pb->index = e->index;
	pb->time_ms = e->txn.time_ms;
	pb->author = e->txn.author;
	pb->node = e->txn.node;
	pb->message = e->txn.message;
	pb->request_id = (ProtobufCBinaryData){ 16, (uint8_t *)e->txn.request_id };
	pb->ops = control_ops_pb(a, &e->txn, &pb->n_ops);
	pb->trimmed = e->trimmed;
	pb->key = e->key;
	return pb;
}

static Director__ControlParam *param_pb(struct arena *a, const struct control_param *p)
{
	Director__ControlParam *pb = arena_need(a, sizeof(*pb));

	director__control_param__init(pb);
	pb->name = p->name;
	pb->type = p->type;
	pb->flags = p->flags;
	pb->has_default = p->value != NULL;
	pb->value = p->value;
	pb->choices = p->choices;
	pb->min = p->min;
	pb->max = p->max;
	pb->unit = p->unit;
	pb->ref = p->ref;
	pb->help = p->help;
	return pb;
}

static Director__ControlType *type_pb(struct arena *a, const struct control_type *t)
{
	Director__ControlType *pb = arena_need(a, sizeof(*pb));

	director__control_type__init(pb);
	pb->name = t->name;
	pb->pattern = t->pattern;
	pb->help = t->help;
	pb->flags = t->flags;
	pb->n_params = t->n_params;
	pb->params = t->n_params ? arena_need(a, t->n_params * sizeof(*pb->params)) : NULL;
	for (unsigned i = 0; i < t->n_params; i++)
		pb->params[i] = param_pb(a, &t->params[i]);
	return pb;
}

static Director__ControlStatus *status_pb(struct arena *a, const struct control_status *s)
{
	Director__ControlStatus *pb = arena_need(a, sizeof(*pb));

	director__control_status__init(pb);
	pb->cluster = s->cluster;
	pb->node = s->node;
	pb->lineage = s->lineage;
	pb->version = s->version;
	pb->state = s->state;
	pb->quorate = s->quorate;
	pb->nodes = s->nodes;
	pb->alive = s->alive;
	pb->voters = s->voters;
	pb->voters_alive = s->voters_alive;
	pb->pending_nodes = s->pending_nodes;
	pb->index = s->index;
	pb->objects = s->objects;
	pb->pending = s->pending;
	pb->failed = s->failed;
	pb->n_warnings = s->n_warnings;
	pb->warnings = s->n_warnings ? arena_need(a, s->n_warnings * sizeof(*pb->warnings)) : NULL;
	for (unsigned i = 0; i < s->n_warnings; i++) {
		Director__ControlWarning *w = pb->warnings[i] = arena_need(a, sizeof(*w));

		director__control_warning__init(w);
		w->path = s->warnings[i].path;
		w->text = s->warnings[i].text;
		w->hint = s->warnings[i].hint;
	}
	return pb;
}

static Director__ControlDone *done_pb(struct arena *a, const struct control_done *d)
{
	Director__ControlDone *pb = arena_need(a, sizeof(*pb));

	director__control_done__init(pb);
	pb->err = d->err;
	pb->text = d->text;
	pb->hint = d->hint;
	pb->path = d->path;
	pb->index = d->index;
	pb->task = d->task;
	pb->attrs = control_attrs_pb(a, &d->attrs, &pb->n_attrs);
	pb->lines = d->lines;
	pb->n_lines = d->n_lines;
	return pb;
}

int control_reply_put(struct buf *out, const struct control_reply *r)
{
	Director__ControlReply pb = DIRECTOR__CONTROL_REPLY__INIT;
	struct arena a;
	int err;

	arena_init(&a);
	pb.id = r->id;
	pb.kind = r->kind;
	pb.stream = r->stream;
	pb.seq = r->seq;
	pb.version = r->version;
	pb.features = r->features;
	pb.text = r->text;
	pb.progress = r->progress;
	pb.of = r->of;
	pb.may_write = r->may_write;
	switch (r->kind) {
	case CONTROL_R_OBJECT: pb.object = object_pb(&a, &r->object); break;
	case CONTROL_R_EVENT: pb.event = event_pb(&a, &r->event); break;
	case CONTROL_R_ENTRY: pb.entry = entry_pb(&a, &r->entry); break;
	case CONTROL_R_TYPE: pb.type = type_pb(&a, &r->type); break;
	case CONTROL_R_STATUS: pb.status = status_pb(&a, &r->status); break;
	case CONTROL_R_DONE: pb.done = done_pb(&a, &r->done); break;
	default: break;
	}
	err = control_frame_put(out, &pb.base);
	arena_fini(&a);
	return err;
}

/* ---- from bytes ---- */

static int object_get(struct control_object *o, const Director__ControlObject *pb)
{
	if (pb->status < CONTROL_CONVERGED || pb->status > CONTROL_OBSERVED || pb->n_observed > SEEN_MAX ||
	    !path_ok(pb->path) || (pb->uuid.len != 0 && pb->uuid.len != 16))
		return ERR_MALFORMED;
	o->generation = pb->generation;
	o->status = pb->status;
	if (pb->uuid.len)
		memcpy(o->uuid, pb->uuid.data, 16);
	if (control_text_get(&o->path, pb->path, PATH_LEN_MAX - 1) < 0 ||
	    control_text_get(&o->type, pb->type, ATTR_KEY_MAX) < 0 ||
	    control_text_get(&o->reason, pb->reason, CONTROL_TEXT_MAX) < 0 ||
	    control_attrs_get(&o->desired, pb->desired, pb->n_desired) < 0 ||
	    control_attrs_get(&o->derived, pb->derived, pb->n_derived) < 0)
		return ERR_MALFORMED;
	o->seen = pb->n_observed ? mem_zalloc(pb->n_observed * sizeof(*o->seen)) : NULL;
	for (size_t i = 0; i < pb->n_observed; i++) {
		struct control_seen *s = &o->seen[o->n_seen++];

		s->age_ms = pb->observed[i]->age_ms;
		if (control_text_get(&s->node, pb->observed[i]->node, PATH_LEN_MAX - 1) < 0 ||
		    control_attrs_get(&s->attrs, pb->observed[i]->attrs, pb->observed[i]->n_attrs) < 0)
			return ERR_MALFORMED;
	}
	return 0;
}

static int event_get(struct control_event *e, const Director__ControlEvent *pb)
{
	if (pb->kind < CONTROL_EV_CHANGED || pb->kind > CONTROL_EV_NOTE || (*pb->path && !path_ok(pb->path)))
		return ERR_MALFORMED;
	e->seq = pb->seq;
	e->time_ms = pb->time_ms;
	e->kind = pb->kind;
	if (control_text_get(&e->path, pb->path, PATH_LEN_MAX - 1) < 0 ||
	    control_text_get(&e->text, pb->text, CONTROL_TEXT_MAX) < 0)
		return ERR_MALFORMED;
	if (!pb->object)
		return 0;
	e->object = mem_zalloc(sizeof(*e->object));
	return object_get(e->object, pb->object);
}

static int entry_get(struct control_entry *e, const Director__ControlEntry *pb)
{
	e->index = pb->index;
	e->trimmed = pb->trimmed;
	e->txn.time_ms = pb->time_ms;
	if (pb->request_id.len != 0 && pb->request_id.len != 16)
		return ERR_MALFORMED;
	if (pb->request_id.len)
		memcpy(e->txn.request_id, pb->request_id.data, 16);
	if (control_text_get(&e->txn.author, pb->author, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&e->txn.node, pb->node, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&e->txn.message, pb->message, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&e->key, pb->key, ATTR_KEY_MAX) < 0)
		return ERR_MALFORMED;
	return control_ops_get(&e->txn, pb->ops, pb->n_ops);
}

static int param_get(struct control_param *p, const Director__ControlParam *pb)
{
	if (pb->type < CONTROL_P_STRING || pb->type > CONTROL_P_PORTAL)
		return ERR_MALFORMED;
	p->type = pb->type;
	p->flags = pb->flags;
	p->min = pb->min;
	p->max = pb->max;
	if (control_text_get(&p->name, pb->name, ATTR_KEY_MAX) < 0 ||
	    (pb->has_default && control_text_get(&p->value, pb->value, ATTR_VALUE_MAX) < 0) ||
	    control_text_get(&p->choices, pb->choices, ATTR_VALUE_MAX) < 0 ||
	    control_text_get(&p->unit, pb->unit, ATTR_KEY_MAX) < 0 ||
	    control_text_get(&p->ref, pb->ref, ATTR_KEY_MAX) < 0 ||
	    control_text_get(&p->help, pb->help, CONTROL_TEXT_MAX) < 0)
		return ERR_MALFORMED;
	return 0;
}

static int type_get(struct control_type *t, const Director__ControlType *pb)
{
	if (pb->n_params > PARAMS_MAX)
		return ERR_MALFORMED;
	t->flags = pb->flags;
	if (control_text_get(&t->name, pb->name, ATTR_KEY_MAX) < 0 ||
	    control_text_get(&t->pattern, pb->pattern, PATH_LEN_MAX) < 0 ||
	    control_text_get(&t->help, pb->help, CONTROL_TEXT_MAX) < 0)
		return ERR_MALFORMED;
	t->params = pb->n_params ? mem_zalloc(pb->n_params * sizeof(*t->params)) : NULL;
	for (size_t i = 0; i < pb->n_params; i++)
		if (param_get(&t->params[t->n_params++], pb->params[i]) < 0)
			return ERR_MALFORMED;
	return 0;
}

static int status_get(struct control_status *s, const Director__ControlStatus *pb)
{
	if (pb->n_warnings > WARNINGS_MAX)
		return ERR_MALFORMED;
	s->quorate = pb->quorate;
	s->nodes = pb->nodes;
	s->alive = pb->alive;
	s->voters = pb->voters;
	s->voters_alive = pb->voters_alive;
	s->pending_nodes = pb->pending_nodes;
	s->index = pb->index;
	s->objects = pb->objects;
	s->pending = pb->pending;
	s->failed = pb->failed;
	if (control_text_get(&s->cluster, pb->cluster, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&s->node, pb->node, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&s->lineage, pb->lineage, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&s->version, pb->version, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&s->state, pb->state, CONTROL_TEXT_MAX) < 0)
		return ERR_MALFORMED;
	s->warnings = pb->n_warnings ? mem_zalloc(pb->n_warnings * sizeof(*s->warnings)) : NULL;
	for (size_t i = 0; i < pb->n_warnings; i++) {
		struct control_warning *w = &s->warnings[s->n_warnings++];

		if (control_text_get(&w->path, pb->warnings[i]->path, PATH_LEN_MAX - 1) < 0 ||
		    control_text_get(&w->text, pb->warnings[i]->text, CONTROL_TEXT_MAX) < 0 ||
		    control_text_get(&w->hint, pb->warnings[i]->hint, CONTROL_TEXT_MAX) < 0)
			return ERR_MALFORMED;
	}
	return 0;
}

static int done_get(struct control_done *d, const Director__ControlDone *pb)
{
	if (pb->n_lines > CONTROL_LINES_MAX || pb->err > 0)
		return ERR_MALFORMED;
	d->err = pb->err;
	d->index = pb->index;
	if (control_text_get(&d->text, pb->text, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&d->hint, pb->hint, CONTROL_TEXT_MAX) < 0 ||
	    control_text_get(&d->path, pb->path, PATH_LEN_MAX) < 0 ||
	    control_text_get(&d->task, pb->task, PATH_LEN_MAX) < 0 ||
	    control_attrs_get(&d->attrs, pb->attrs, pb->n_attrs) < 0)
		return ERR_MALFORMED;
	d->lines = pb->n_lines ? mem_zalloc(pb->n_lines * sizeof(*d->lines)) : NULL;
	for (size_t i = 0; i < pb->n_lines; i++)
		if (control_text_get(&d->lines[d->n_lines++], pb->lines[i], CONTROL_TEXT_MAX) < 0)
			return ERR_MALFORMED;
	return 0;
}

static int reply_from(struct control_reply *r, const Director__ControlReply *pb)
{
	if (pb->kind < CONTROL_R_HELLO || pb->kind > CONTROL_R_DONE)
		return ERR_MALFORMED;
	r->kind = pb->kind;
	r->version = pb->version;
	r->features = pb->features;
	r->stream = pb->stream;
	r->seq = pb->seq;
	r->progress = pb->progress;
	r->of = pb->of;
	r->may_write = pb->may_write;
	if (control_text_get(&r->text, pb->text, CONTROL_TEXT_MAX) < 0)
		return ERR_MALFORMED;
	switch (r->kind) {
	case CONTROL_R_OBJECT: return pb->object ? object_get(&r->object, pb->object) : ERR_MALFORMED;
	case CONTROL_R_EVENT: return pb->event ? event_get(&r->event, pb->event) : ERR_MALFORMED;
	case CONTROL_R_ENTRY: return pb->entry ? entry_get(&r->entry, pb->entry) : ERR_MALFORMED;
	case CONTROL_R_TYPE: return pb->type ? type_get(&r->type, pb->type) : ERR_MALFORMED;
	case CONTROL_R_STATUS: return pb->status ? status_get(&r->status, pb->status) : ERR_MALFORMED;
	case CONTROL_R_DONE: return pb->done ? done_get(&r->done, pb->done) : ERR_MALFORMED;
	default: return 0;
	}
}

int control_reply_get(const void *frame, size_t len, struct control_reply *r)
{
	Director__ControlReply *pb;
	const uint8_t *p;
	struct arena a;
	size_t n;
	int err;

	*r = (struct control_reply){ 0 };
	if (control_frame_body(frame, len, &p, &n) < 0)
		return ERR_MALFORMED;
	arena_init(&a);
	pb = director__control_reply__unpack(&a.pb, n, p);
	if (pb)
		r->id = pb->id;
	err = pb ? reply_from(r, pb) : ERR_MALFORMED;
	if (err) {
		uint64_t id = r->id;

		control_reply_fini(r);
		r->id = id;
	}
	arena_fini(&a);
	return err;
}
