/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file backstore on a disk that falls ill: I/O errors and stalls below a leg while a campaign runs. A lab's node gets
 * it in the place of file.so. /run/director/sick of the node says what happens, until it is gone:
 *   eio      every other read or write fails, undone, with -EIO
 *   torn     so, but a write was done all the same
 *   stall    everything is done, and answered 3 s late
 */
#include "config.h"

#include "director/plugin.h"

#undef DIRECTOR_PLUGIN
#define DIRECTOR_PLUGIN(...) static const struct director_plugin healthy = { __VA_ARGS__ }
#include "plugins/file/file.c"

#include <stdatomic.h>
#include <stdio.h>

#define STALL_MS 3000
#define LOOK_NS UINT64_C(50000000)

enum illness { WELL, EIO_EACH_OTHER, TORN, STALL };

static const struct director_host *outside;
static struct director_host inside;             /* what the healthy plugin takes for its host */
static _Atomic uint64_t looked_ns, turn;
static _Atomic int illness;

static int ill(void)
{
	uint64_t now = outside->now_ns(outside->arg), last = atomic_load(&looked_ns);
	char word[8] = "";
	FILE *f;

	if (now - last < LOOK_NS || !atomic_compare_exchange_strong(&looked_ns, &last, now))
		return atomic_load(&illness);
	f = fopen("/run/director/sick", "r");
	if (f) {
		if (fscanf(f, "%7s", word) != 1)
			word[0] = 0;
		fclose(f);
	}
	atomic_store(&illness, strcmp(word, "eio") == 0 ? EIO_EACH_OTHER : strcmp(word, "torn") == 0 ? TORN :
		strcmp(word, "stall") == 0 ? STALL : WELL);
	return atomic_load(&illness);
}

static bool hit(void)
{
	return atomic_fetch_add(&turn, 1) % 2 == 0;
}

struct late {
	struct director_io *io;
	int32_t result;
};

static void answer_late(void *arg)
{
	struct late l = *(struct late *)arg;

	free(arg);
	outside->io_done(outside->arg, l.io, l.result);
}

static void sick_done(void *arg, struct director_io *io, int32_t result)
{
	int now = ill();
	struct late *l;

	if (now == TORN && hit())
		result = -EIO;
	if (now == STALL && (l = malloc(sizeof(*l)))) {
		*l = (struct late){ io, result };
		if (outside->after_ms(outside->arg, STALL_MS, answer_late, l) == 0)
			return;
		free(l);
	}
	outside->io_done(arg, io, result);
}

static void sick_submit(void *obj, struct director_io *io)
{
	if (ill() == EIO_EACH_OTHER && hit())
		outside->io_done(outside->arg, io, -EIO);
	else
		file_submit(obj, io);
}

static int sick_init(const struct director_host *host, void **priv)
{
	outside = host;
	inside = *host;
	inside.io_done = sick_done;
	return healthy.init(&inside, priv);
}

static const struct director_backstore_ops sick_ops = {
	.struct_size = sizeof(sick_ops), .threads = DIRECTOR_THREADS_ASYNC, .create = file_create, .open = file_open,
	.caps = file_caps, .submit = sick_submit, .plug = file_plug, .unplug = file_unplug, .resize = file_resize,
	.space = file_space, .close = file_close, .destroy = file_destroy, .thread_fd = disk_thread_fd, .reap = disk_reap,
	.thread_exit = disk_thread_exit,
};

extern DIRECTOR_EXPORT const struct director_plugin director_plugin;
DIRECTOR_EXPORT const struct director_plugin director_plugin = {
	.magic = DIRECTOR_PLUGIN_MAGIC, .struct_size = sizeof(struct director_plugin), .abi_major = DIRECTOR_ABI_MAJOR,
	.abi_minor = DIRECTOR_ABI_MINOR, .kind = DIRECTOR_BACKSTORE, .name = "file", .version = "1", .license = "Apache-2.0",
	.summary = "a disk in a regular file that may fall ill", .params = params, .init = sick_init, .fini = file_fini,
	.backstore = &sick_ops,
};
