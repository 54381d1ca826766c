/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libavahi-core remembers each answer that somebody knows already or gives, in case it was about to give the same one, and looks
 * through all it remembers for each that comes. N nodes of one service that ask for it name N answers each: with fifty of them the
 * looking alone takes a processor for half a minute. Only what this node itself announces can be an answer of its own, so
 * the functions that remember, which the library calls through the dynamic linker, are preceded by these, which leave the rest out.
 * They are no part of its interface: with a version whose inside is not known nothing is preceded, and a start takes longer.
 */
#include "config.h"

#include "directord/avahi_way.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <avahi-common/defs.h>
#include <avahi-core/rr.h>

#include "base/mem.h"

struct own {
	LIST_ENTRY(own) link;
	char *prefix;
};

static LIST_HEAD(, own) owns = LIST_HEAD_INITIALIZER(owns);

void avahi_own_add(const char *prefix)
{
	struct own *o = mem_zalloc(sizeof(*o));

	o->prefix = mem_strdup(prefix);
	LIST_INSERT_HEAD(&owns, o, link);
}

void avahi_own_remove(const char *prefix)
{
	struct own *o;

	LIST_FOREACH(o, &owns, link) {
		if (strcmp(o->prefix, prefix) == 0) {
			LIST_REMOVE(o, link);
			mem_autofree(&o->prefix);
			mem_autofree(&o);
			return;
		}
	}
}

#ifdef AVAHI_INSIDE_KNOWN

typedef void suppress_fn(void *scheduler, AvahiRecord *r, const void *querier);
typedef void incoming_fn(void *scheduler, AvahiRecord *r, int flush_cache);

/* The libraries must find them: not hidden like the rest of the program. */
__attribute__((visibility("default"))) suppress_fn avahi_response_scheduler_suppress;
__attribute__((visibility("default"))) incoming_fn avahi_response_scheduler_incoming;

/* Also that the service exists at all, which every node says. */
static bool may_be_own(const AvahiRecord *r)
{
	bool pointer = r->key->type == AVAHI_DNS_TYPE_PTR;
	const char *name = pointer ? r->data.ptr.name : r->key->name;
	const struct own *o;

	if (pointer && strncmp(name, AVAHI_TYPE, strlen(AVAHI_TYPE)) == 0)
		return true;
	LIST_FOREACH(o, &owns, link)
		if (strncasecmp(name, o->prefix, strlen(o->prefix)) == 0)
			return true;
	return LIST_EMPTY(&owns);
}

void avahi_response_scheduler_suppress(void *scheduler, AvahiRecord *r, const void *querier)
{
	static suppress_fn *next;
	void *f = next ? NULL : dlsym(RTLD_NEXT, "avahi_response_scheduler_suppress");

	if (f)
		memcpy(&next, &f, sizeof(next));
	if (next && may_be_own(r))
		next(scheduler, r, querier);
}

void avahi_response_scheduler_incoming(void *scheduler, AvahiRecord *r, int flush_cache)
{
	static incoming_fn *next;
	void *f = next ? NULL : dlsym(RTLD_NEXT, "avahi_response_scheduler_incoming");

	if (f)
		memcpy(&next, &f, sizeof(next));
	if (next && may_be_own(r))
		next(scheduler, r, flush_cache);
}

#endif
