/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that does not take what is submitted to a ring, preloaded: URING_FAKE is a list of what io_uring_submit gives in turn,
 * in a circle: "ok", "again", "busy", "intr".
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct io_uring;

__attribute__((visibility("default"))) int io_uring_submit(struct io_uring *ring);

int io_uring_submit(struct io_uring *ring)
{
	static const struct { const char *name; int result; } words[] = { { "again", -EAGAIN }, { "busy", -EBUSY }, { "intr", -EINTR } };
	static atomic_uint turn;
	/* A plugin has brought it, for itself alone: it is not next in the order of symbols. */
	void *lib = dlopen("liburing.so.2", RTLD_LAZY | RTLD_NOLOAD);
	int (*real)(struct io_uring *) = (int (*)(struct io_uring *))dlsym(lib ? lib : RTLD_NEXT, "io_uring_submit");
	const char *list = getenv("URING_FAKE"), *p = list ? list : "ok";
	unsigned n = 1, k;

	if (lib)
		dlclose(lib);           /* it stays with the plugin */
	for (const char *q = p; (q = strchr(q, ' ')) != NULL; q++)
		n++;
	for (k = atomic_fetch_add(&turn, 1) % n; k; k--)
		p = strchr(p, ' ') + 1;
	for (k = 0; k < sizeof(words) / sizeof(words[0]); k++)
		if (strncmp(p, words[k].name, strlen(words[k].name)) == 0)
			return words[k].result;
	return real(ring);
}
