/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block: a whole block device, past the page cache, opened exclusively so that the kernel refuses it to a
 * file system, a RAID or another director that wants it too.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "plugins/common/disk.h"
#include "plugins/common/life.h"

struct block {
	struct disk disk;
	uint64_t size, discard_max;
	uint32_t block_size, physical, optimal, discard_granularity;
	bool read_only, rotational, write_cache, direct;
};

static const struct director_param params[] = {
	{ .name = "path", .type = DIRECTOR_P_PATH, .flags = DIRECTOR_PF_REQUIRED, .help = "the device" },
	{ .name = "direct", .type = DIRECTOR_P_BOOL, .value = "yes", .help = "go past the page cache (O_DIRECT)" },
	{ .name = "read-only", .type = DIRECTOR_P_BOOL, .value = "no", .help = "refuse writes" },
	{ .name = "size", .type = DIRECTOR_P_SIZE, .help = "how much of the device is used, if not all" },
	{ .name = NULL },
};

static int block_init(const struct director_host *host, void **priv)
{
	return disk_engine_new(host, (struct disk_engine **)priv);
}

static void block_fini(void *priv)
{
	struct disk_engine *e = priv;

	disk_engine_free(&e);
}

/* A number or word of the queue's folder in sysfs; a partition shares its disk's. */
static bool queue_text(dev_t dev, const char *name, char *out, size_t size)
{
	static const char *const up[] = { "", "../" };
	char path[128];
	unsigned i;
	FILE *f;
	bool ok;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(dev), minor(dev), up[i], name);
		f = fopen(path, "re");
		if (!f)
			continue;
		ok = fgets(out, (int)size, f) != NULL;
		fclose(f);
		return ok;
	}
	return false;
}

static uint64_t queue_number(dev_t dev, const char *name)
{
	char text[64];

	return queue_text(dev, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static int ask_size(struct block *b, const char *path, struct director_err *err)
{
	uint64_t size;

	if (ioctl(b->disk.fd, BLKGETSIZE64, &size) < 0)
		return fail(err, -errno, "%s: its size cannot be read: %s", path, strerror(errno));
	b->size = size / b->block_size * b->block_size;
	return b->size ? 0 : fail(err, -ENODEV, "%s: there is no medium", path);
}

static int look(struct block *b, const char *path, struct director_err *err)
{
	unsigned physical = 0, optimal = 0;
	struct stat st;
	char text[64];
	int sector = 0, ro = 0;

	if (fstat(b->disk.fd, &st) < 0)
		return fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return fail(err, -ENOTBLK, "%s is not a block device; for files there is the file backstore", path);
	if (ioctl(b->disk.fd, BLKSSZGET, &sector) < 0 || sector < 512)
		return fail(err, -EINVAL, "%s: its block size cannot be read", path);
	b->block_size = (uint32_t)sector;
	if (ioctl(b->disk.fd, BLKPBSZGET, &physical) < 0 || physical < b->block_size)
		physical = b->block_size;
	if (ioctl(b->disk.fd, BLKIOOPT, &optimal) < 0)
		optimal = 0;
	if (ioctl(b->disk.fd, BLKROGET, &ro) == 0 && ro)
		b->read_only = true;
	b->physical = physical;
	b->optimal = optimal;
	b->discard_max = queue_number(st.st_rdev, "discard_max_bytes");
	b->discard_granularity = (uint32_t)queue_number(st.st_rdev, "discard_granularity");
	b->rotational = queue_number(st.st_rdev, "rotational") != 0;
	/* What does not say "write through" may hold writes back. */
	b->write_cache = !queue_text(st.st_rdev, "write_cache", text, sizeof(text)) ||
		strncmp(text, "write through", 13) != 0 || !b->direct;
	return ask_size(b, path, err);
}

struct opening {
	const char *path;
	int flags, fd;
};

static int try_open(void *arg)
{
	struct opening *o = arg;

	o->fd = open(o->path, o->flags);
	return o->fd < 0 ? -errno : 0;
}

static int open_device(struct block *b, const char *path, struct director_err *err)
{
	struct opening o = { path, O_CLOEXEC | O_EXCL | (b->direct ? O_DIRECT : 0) |
		(b->read_only ? O_RDONLY : O_RDWR), -1 };
	int r = disk_when_free(try_open, &o);

	b->disk.fd = o.fd;
	if (r == -EBUSY)
		return fail(err, r, "%s is in use on this node (mounted, or part of something else)", path);
	return r < 0 ? fail(err, r, "%s: %s", path, strerror(-r)) : 0;
}

/* Nothing is made: the device is there, and large enough. */
static int block_create(void *priv, const struct director_conf *conf, uint64_t size, struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	struct block b = { .direct = true, .read_only = true };
	int r = open_device(&b, path, err);

	if (r < 0)
		return r;
	r = look(&b, path, err);
	if (r == 0 && size > b.size)
		r = fail(err, -ENOSPC, "%s has only %llu bytes", path, (unsigned long long)b.size);
	close(b.disk.fd);
	return r;
}

static int block_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	struct block *b = calloc(1, sizeof(*b));
	uint64_t used;
	int r;

	if (!b)
		return -ENOMEM;
	b->disk.engine = priv;
	b->disk.owner = owner;
	b->disk.block_device = true;
	b->direct = conf->get_uint(conf, "direct", 1);
	b->read_only = conf->get_uint(conf, "read-only", 0);
	/* The page cache tears what a disk does not. */
	if (!b->direct && !(b->disk.order = order_new())) {
		free(b);
		return -ENOMEM;
	}
	r = open_device(b, path, err);
	if (r == 0) {
		r = look(b, path, err);
		if (r < 0)
			close(b->disk.fd);
	}
	if (r < 0) {
		order_free(&b->disk.order);
		free(b);
		return r;
	}
	/* A volume that is smaller than its device is as large here as at the nodes that forward it. */
	used = conf->get_uint(conf, "size", 0);
	if (used && used < b->size)
		b->size = used;
	*obj = b;
	return 0;
}

static int block_caps(void *obj, struct director_caps *c)
{
	const struct block *b = obj;

	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_FUA | DIRECTOR_CAP_ZERO | DIRECTOR_CAP_RESIZE;
	if (b->discard_max)
		c->flags |= DIRECTOR_CAP_DISCARD;
	if (b->write_cache)
		c->flags |= DIRECTOR_CAP_WRITE_CACHE;
	if (b->rotational)
		c->flags |= DIRECTOR_CAP_ROTATIONAL;
	if (b->read_only)
		c->flags |= DIRECTOR_CAP_READ_ONLY;
	c->size = b->size;
	c->block_size = b->block_size;
	c->physical_block = b->physical;
	c->align = b->direct ? b->block_size : 1;
	c->max_io = 1u << 30;
	c->discard_granularity = b->discard_granularity;
	c->optimal_io = b->optimal;
	life_tell(c);
	return 0;
}

/* What a volume gives up is empty, should it ever be part of it again: as with a file that is cut off. */
static int cut_off(struct block *b, uint64_t from, uint64_t to, struct director_err *err)
{
	uint64_t range[2] = { from, to - from };

	if (ioctl(b->disk.fd, BLKZEROOUT, range) < 0)
		return fail(err, -errno, "the end of the device cannot be cleared: %s", strerror(errno));
	return 0;
}

/* The device grows by other means; here its new size is looked up. */
static int block_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct block *b = obj;
	uint64_t used = b->size;
	int r = ask_size(b, "the device", err);

	if (r == 0 && size > b->size)
		r = fail(err, -ENOSPC, "the device has only %llu bytes", (unsigned long long)b->size);
	if (r == 0 && size < used)
		r = cut_off(b, size, used, err);
	b->size = r < 0 ? used : size;
	return r;
}

static void block_submit(void *obj, struct director_io *io)
{
	disk_submit(&((struct block *)obj)->disk, io);
}

static void block_plug(void *obj)
{
	disk_plug(&((struct block *)obj)->disk);
}

static void block_unplug(void *obj)
{
	disk_unplug(&((struct block *)obj)->disk);
}

static void block_close(void *obj)
{
	struct block *b = obj;

	/* Nothing stays behind in a cache of the kernel's when the device changes hands. */
	if (!b->read_only)
		fdatasync(b->disk.fd);
	order_free(&b->disk.order);
	close(b->disk.fd);
	free(b);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.create = block_create,
	.open = block_open,
	.caps = block_caps,
	.submit = block_submit,
	.plug = block_plug,
	.unplug = block_unplug,
	.resize = block_resize,
	.close = block_close,
	.thread_fd = disk_thread_fd,
	.reap = disk_reap,
	.thread_exit = disk_thread_exit,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "block", .version = "1", .license = "Apache-2.0",
	.summary = "a whole block device", .params = params, .init = block_init, .fini = block_fini,
	.backstore = &ops);
