/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libavahi-core and libavahi-client both export an avahi_entry_group_free, with different arguments, and both call
 * it through the dynamic linker: the library that stands first gets the calls of both, and the process dies when
 * the avahi-daemon does. The definition here stands before both and passes each call to the right one. Who calls
 * is told by the thread: libavahi-client lives in one of its own (avahi_client.c), where nothing else of Avahi runs.
 */
#include <dlfcn.h>
#include <string.h>

#include "directord/avahi_way.h"

#define NAME "avahi_entry_group_free"

_Thread_local bool avahi_client_thread;

/* The libraries must find it: not hidden like the rest of the program. */
__attribute__((visibility("default"))) int avahi_entry_group_free(void *a, void *b);

/* What the library that has `other` calls by the name. */
static void *of_library(const char *other)
{
	void *there = dlsym(RTLD_NEXT, other), *lib;
	Dl_info info;

	if (!there || !dladdr(there, &info))
		return NULL;
	lib = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	return lib ? dlsym(lib, NAME) : NULL;   /* the handle is kept: so is the library */
}

int avahi_entry_group_free(void *a, void *b)
{
	void *f = of_library(avahi_client_thread ? "avahi_client_new" : "avahi_server_new");
	int (*client)(void *group);
	void (*core)(void *server, void *group);

	/* Without it the group stays, which is the lesser evil. */
	if (!f || f == (void *)(uintptr_t)avahi_entry_group_free)
		return 0;
	if (avahi_client_thread) {
		memcpy(&client, &f, sizeof(client));
		return client(a);
	}
	memcpy(&core, &f, sizeof(core));
	core(a, b);
	return 0;
}
