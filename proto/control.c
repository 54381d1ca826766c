/* SPDX-License-Identifier: Apache-2.0 */
/* The nouns of the control protocol: copies and ends. */
#include "proto/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void control_object_fini(struct control_object *o)
{
	free(o->path);
	free(o->type);
	free(o->reason);
	attrs_fini(&o->desired);
	attrs_fini(&o->derived);
	for (unsigned i = 0; i < o->n_seen; i++) {
		free(o->seen[i].node);
		attrs_fini(&o->seen[i].attrs);
	}
	free(o->seen);
	*o = (struct control_object){ 0 };
}

void control_object_copy(struct control_object *to, const struct control_object *from)
{
	*to = (struct control_object){ .generation = from->generation, .status = from->status, .n_seen = from->n_seen };
	memcpy(to->uuid, from->uuid, sizeof(to->uuid));
	to->path = mem_strdup(from->path);
	to->type = mem_strdup(from->type);
	to->reason = mem_strdup(from->reason);
	attrs_copy(&to->desired, &from->desired);
	attrs_copy(&to->derived, &from->derived);
	to->seen = from->n_seen ? mem_zalloc(from->n_seen * sizeof(*to->seen)) : NULL;
	for (unsigned i = 0; i < from->n_seen; i++) {
		to->seen[i].node = mem_strdup(from->seen[i].node);
		to->seen[i].age_ms = from->seen[i].age_ms;
		attrs_copy(&to->seen[i].attrs, &from->seen[i].attrs);
	}
}

void control_event_fini(struct control_event *e)
{
	free(e->path);
	free(e->text);
	if (e->object)
		control_object_fini(e->object);
	free(e->object);
	*e = (struct control_event){ 0 };
}

void control_entry_fini(struct control_entry *e)
{
	txn_fini(&e->txn);
	free(e->key);
	*e = (struct control_entry){ 0 };
}

void control_type_fini(struct control_type *t)
{
	for (unsigned i = 0; i < t->n_params; i++) {
		struct control_param *p = &t->params[i];

		free(p->name);
		free(p->value);
		free(p->choices);
		free(p->unit);
		free(p->ref);
		free(p->help);
	}
	free(t->params);
	free(t->name);
	free(t->pattern);
	free(t->help);
	*t = (struct control_type){ 0 };
}

void control_status_fini(struct control_status *s)
{
	for (unsigned i = 0; i < s->n_warnings; i++) {
		free(s->warnings[i].path);
		free(s->warnings[i].text);
		free(s->warnings[i].hint);
	}
	free(s->warnings);
	free(s->cluster);
	free(s->node);
	free(s->lineage);
	free(s->version);
	free(s->state);
	*s = (struct control_status){ 0 };
}

void control_status_warn(struct control_status *s, const char *path, const char *text, const char *hint)
{
	s->warnings = mem_realloc(s->warnings, (s->n_warnings + 1) * sizeof(*s->warnings));
	s->warnings[s->n_warnings++] = (struct control_warning){
		mem_strdup(path), mem_strdup(text), mem_strdup(hint ? hint : "")
	};
}

void control_done_fini(struct control_done *d)
{
	for (unsigned i = 0; i < d->n_lines; i++)
		free(d->lines[i]);
	free(d->lines);
	free(d->text);
	free(d->hint);
	free(d->path);
	free(d->task);
	attrs_fini(&d->attrs);
	*d = (struct control_done){ 0 };
}

void control_done_line(struct control_done *d, const char *line)
{
	if (d->n_lines == CONTROL_LINES_MAX)
		return;
	d->lines = mem_realloc(d->lines, (d->n_lines + 1) * sizeof(*d->lines));
	d->lines[d->n_lines++] = mem_strdup(line);
}

void control_reply_fini(struct control_reply *r)
{
	switch (r->kind) {
	case CONTROL_R_OBJECT: control_object_fini(&r->object); break;
	case CONTROL_R_EVENT: control_event_fini(&r->event); break;
	case CONTROL_R_ENTRY: control_entry_fini(&r->entry); break;
	case CONTROL_R_TYPE: control_type_fini(&r->type); break;
	case CONTROL_R_STATUS: control_status_fini(&r->status); break;
	case CONTROL_R_DONE: control_done_fini(&r->done); break;
	default: break;
	}
	free(r->text);
	*r = (struct control_reply){ 0 };
}
