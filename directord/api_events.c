/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of numbered events. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "directord/api_priv.h"

void api_ring_init(struct api_ring *r, unsigned cap)
{
	*r = (struct api_ring){ .cap = cap, .first = 1, .next = 1 };
	r->slot = mem_zalloc(cap * sizeof(*r->slot));
}

void api_ring_fini(struct api_ring *r)
{
	for (unsigned i = 0; i < r->cap; i++) {
		free(r->slot[i].path);
		free(r->slot[i].text);
	}
	free(r->slot);
}

void api_ring_put(struct api_ring *r, enum control_event_kind kind, const char *path, const char *text)
{
	struct api_event *e = &r->slot[r->next % r->cap];

	free(e->path);
	free(e->text);
	*e = (struct api_event){ wall_ms(), kind, mem_strdup(path), mem_strdup(text) };
	r->next++;
	if (r->next - r->first > r->cap)
		r->first = r->next - r->cap;
}

static void put(struct api *api, enum control_event_kind kind, const char *path, const char *text)
{
	api_ring_put(&api->ring, kind, path, text);
	api->news = true;
}

void api_changed(struct api *api, const char *path, const char *text)
{
	put(api, CONTROL_EV_CHANGED, path, text);
}

void api_gone(struct api *api, const char *path, const char *text)
{
	put(api, CONTROL_EV_GONE, path, text);
}

void api_note(struct api *api, const char *path, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)           /* the decoder at the other end takes no control characters */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	put(api, CONTROL_EV_NOTE, path, text);
}

void api_reset(struct api *api)
{
	struct api_client *c;
	struct api_open *o;

	put(api, CONTROL_EV_NOTE, "/", "the whole state was loaded anew");
	TAILQ_FOREACH(c, &api->clients, entry)
		TAILQ_FOREACH(o, &c->open, entry)
			if (o->kind == OPEN_LIST && o->list.flags & CONTROL_F_FOLLOW)
				api_list_restart(o);
}
