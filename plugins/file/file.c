/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: a disk in a regular file. Made whole or not at all: under another name first, then renamed. A
 * lock on the open file keeps a second process away from it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "plugins/common/disk.h"
#include "plugins/common/life.h"

struct file {
	struct disk disk;
	uint64_t size;
	uint32_t block_size, fs_block, align;
	bool thin, write_through, read_only, punch;
};

static const struct director_param params[] = {
	{ .name = "path", .type = DIRECTOR_P_PATH, .flags = DIRECTOR_PF_REQUIRED, .help = "the file" },
	{ .name = "thin", .type = DIRECTOR_P_BOOL, .value = "yes",
	  .help = "take room when it is first written; no: take all of it when the disk is made" },
	{ .name = "direct", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "go past the page cache (O_DIRECT)" },
	{ .name = "cache", .type = DIRECTOR_P_ENUM, .value = "back", .choices = "back through",
	  .help = "back: writes are stable after a flush; through: each write is stable when it is answered" },
	{ .name = "block-size", .type = DIRECTOR_P_ENUM, .value = "512", .choices = "512 4096", .unit = "bytes",
	  .help = "logical block size" },
	{ .name = "read-only", .type = DIRECTOR_P_BOOL, .value = "no", .help = "refuse writes" },
	{ .name = "was", .type = DIRECTOR_P_PATH,
	  .help = "the file that becomes this one when the disk is made: renamed, and made longer if need be" },
	{ .name = NULL },
};

static int file_init(const struct director_host *host, void **priv)
{
	return disk_engine_new(host, (struct disk_engine **)priv);
}

static void file_fini(void *priv)
{
	struct disk_engine *e = priv;

	disk_engine_free(&e);
}

/* ---- making and removing ---- */

/* The name while it is being made, in the same folder: "/a/b" -> "/a/.b.new". */
static int new_name(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	int n = snprintf(out, size, "%.*s.%s.new", (int)(slash + 1 - path), path, slash + 1);

	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static int dir_sync(const char *path)
{
	char dir[PATH_MAX];
	int fd, r;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') + 1 - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int take_room(int fd, uint64_t size, bool thin, const char *path, struct director_err *err)
{
	if (ftruncate(fd, (off_t)size) < 0)
		return fail(err, -errno, "%s: cannot have %llu bytes: %s", path, (unsigned long long)size,
			strerror(errno));
	if (!thin && fallocate(fd, 0, 0, (off_t)size) < 0) {
		if (errno == EOPNOTSUPP)
			return fail(err, -errno, "%s: this file system cannot take room beforehand; use thin=yes", path);
		return fail(err, -errno, "%s: cannot take %llu bytes: %s", path, (unsigned long long)size,
			strerror(errno));
	}
	return fsync(fd) < 0 ? fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

/*
 * A disk that is there under another name, or shorter, with all that is on it. Whoever has it open keeps it. One that
 * is nowhere is lost, and none is made in its place.
 */
static int file_turn(const char *path, const char *was, uint64_t size, bool thin, struct director_err *err)
{
	struct stat st;
	int fd, r = 0;

	if (renameat2(AT_FDCWD, was, AT_FDCWD, path, RENAME_NOREPLACE) < 0 && errno != ENOENT && errno != EEXIST &&
	    (errno != EINVAL || (lstat(path, &st) < 0 && rename(was, path) < 0 && errno != ENOENT)))
		return fail(err, -errno, "%s: cannot become %s: %s", was, path, strerror(errno));
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail(err, -errno, "neither %s nor %s is there: %s", was, path, strerror(errno));
	if (fstat(fd, &st) < 0)
		r = fail(err, -errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		r = fail(err, -EINVAL, "%s is not a regular file", path);
	else if ((uint64_t)st.st_size < size)
		r = take_room(fd, size, thin, path, err);
	close(fd);
	return r < 0 ? r : dir_sync(path);
}

static int file_create(void *priv, const struct director_conf *conf, uint64_t size, struct director_err *err)
{
	const char *path = conf->get(conf, "path"), *was = conf->get(conf, "was");
	char fresh[PATH_MAX];
	struct stat st;
	int fd, r;

	if (was)
		return file_turn(path, was, size, conf->get_uint(conf, "thin", 1), err);
	if (new_name(path, fresh, sizeof(fresh)) < 0)
		return fail(err, -ENAMETOOLONG, "the path is too long");
	if (size == 0 || size % conf->get_uint(conf, "block-size", 512))
		return fail(err, -EINVAL, "the size must be a multiple of the block size");
	if (lstat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return fail(err, -EEXIST, "%s is there and is not a regular file", path);
		if ((uint64_t)st.st_size != size)
			return fail(err, -EEXIST, "%s is there with another size (%lld bytes)", path, (long long)st.st_size);
		return 0;
	}
	/* What a crash left of an earlier attempt is made anew. */
	fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(err, -errno, "%s: %s", path, strerror(errno));
	r = take_room(fd, size, conf->get_uint(conf, "thin", 1), path, err);
	close(fd);
	/* Not over something that came up meanwhile. */
	if (r == 0 && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) < 0 &&
	    (errno != EINVAL || rename(fresh, path) < 0))
		r = fail(err, -errno, "%s: %s", path, strerror(errno));
	if (r == 0)
		r = dir_sync(path);
	else
		unlink(fresh);
	return r;
}

static int file_destroy(void *priv, const struct director_conf *conf, struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	char fresh[PATH_MAX];
	struct stat st;

	if (new_name(path, fresh, sizeof(fresh)) == 0)
		unlink(fresh);
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(err, -EINVAL, "%s is not a regular file", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return fail(err, -errno, "%s: %s", path, strerror(errno));
	return dir_sync(path);
}

/* ---- open ---- */

/* What O_DIRECT asks of buffers and offsets here. */
static int direct_align(struct file *f, const char *path, struct director_err *err)
{
	struct statx sx;

	f->align = 4096;
#ifdef STATX_DIOALIGN
	if (statx(f->disk.fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
	    sx.stx_dio_mem_align) {
		f->align = sx.stx_dio_mem_align;
		if (sx.stx_dio_offset_align > f->block_size)
			return fail(err, -EINVAL, "%s: direct=yes needs blocks of %u bytes here; use block-size=4096",
				path, sx.stx_dio_offset_align);
		if (f->align < sx.stx_dio_offset_align)
			f->align = sx.stx_dio_offset_align;
		return 0;
	}
#endif
	(void)sx;
	return 0;
}

static int lock(void *arg)
{
	const struct file *f = arg;
	struct flock l = { .l_type = f->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(f->disk.fd, F_OFD_SETLK, &l) == 0)
		return 0;
	/* Some network file systems have no locks; that is the administrator's choice. */
	return errno == EAGAIN || errno == EACCES ? -EBUSY : 0;
}

static int look(struct file *f, const char *path, bool direct, struct director_err *err)
{
	struct statfs fs;
	struct stat st;

	if (fstat(f->disk.fd, &st) < 0)
		return fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(err, -EINVAL, "%s is not a regular file", path);
	if (disk_when_free(lock, f) < 0)
		return fail(err, -EBUSY, "%s is open in another place already", path);
	f->size = (uint64_t)st.st_size / f->block_size * f->block_size;
	f->fs_block = st.st_blksize >= 512 && !(st.st_blksize & (st.st_blksize - 1)) && st.st_blksize <= 65536 ?
		(uint32_t)st.st_blksize : 4096;
	f->align = 1;
	f->disk.memory = fstatfs(f->disk.fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
	/* Beyond the end there is nothing to punch: this only asks whether it can. */
	f->punch = !f->read_only && fallocate(f->disk.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)(((uint64_t)st.st_size | 65535) + 1), 65536) == 0;
	return direct ? direct_align(f, path, err) : 0;
}

static int file_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	bool direct = conf->get_uint(conf, "direct", 0);
	struct file *f = calloc(1, sizeof(*f));
	int flags = O_CLOEXEC | O_NOFOLLOW, r;

	if (!f)
		return -ENOMEM;
	f->disk.engine = priv;
	f->disk.owner = owner;
	f->thin = conf->get_uint(conf, "thin", 1);
	f->block_size = (uint32_t)conf->get_uint(conf, "block-size", 512);
	f->read_only = conf->get_uint(conf, "read-only", 0);
	f->write_through = strcmp(conf->get(conf, "cache"), "through") == 0;
	flags |= f->read_only ? O_RDONLY : O_RDWR;
	flags |= direct ? O_DIRECT : 0;
	flags |= f->write_through ? O_DSYNC : 0;
	f->disk.order = order_new();
	if (!f->disk.order) {
		free(f);
		return -ENOMEM;
	}
	f->disk.fd = open(path, flags);
	if (f->disk.fd < 0) {
		r = fail(err, -errno, "%s: %s", path, errno == EINVAL && direct ?
			"this file system has no O_DIRECT; use direct=no" : strerror(errno));
	} else {
		r = look(f, path, direct, err);
		if (r < 0)
			close(f->disk.fd);
	}
	if (r < 0) {
		order_free(&f->disk.order);
		free(f);
		return r;
	}
	*obj = f;
	return 0;
}

static int file_caps(void *obj, struct director_caps *c)
{
	const struct file *f = obj;

	c->flags = DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_FUA | DIRECTOR_CAP_EXTENTS | DIRECTOR_CAP_RESIZE;
	/* A disk whose room is taken keeps it: zeroes are written there, nothing is punched out. */
	if (f->punch && f->thin)
		c->flags |= DIRECTOR_CAP_DISCARD | DIRECTOR_CAP_DISCARD_ZEROES | DIRECTOR_CAP_ZERO;
	if (!f->write_through)
		c->flags |= DIRECTOR_CAP_WRITE_CACHE;
	if (f->read_only)
		c->flags |= DIRECTOR_CAP_READ_ONLY;
	c->size = f->size;
	c->block_size = f->block_size;
	c->physical_block = f->fs_block > f->block_size ? f->fs_block : f->block_size;
	c->align = f->align;
	c->max_io = 1u << 30;           /* the kernel's own bound is a little under 2 GiB */
	c->discard_granularity = f->fs_block;
	life_tell(c);
	return 0;
}

static int file_space(void *obj, uint64_t *used, uint64_t *available)
{
	const struct file *f = obj;
	struct statvfs vfs;
	struct stat st;

	if (fstat(f->disk.fd, &st) < 0 || fstatvfs(f->disk.fd, &vfs) < 0)
		return -errno;
	*used = (uint64_t)st.st_blocks * 512;
	*available = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return 0;
}

static int file_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct file *f = obj;

	if (!f->thin && size > f->size && fallocate(f->disk.fd, 0, (off_t)f->size, (off_t)(size - f->size)) < 0)
		return fail(err, -errno, "cannot take room for %llu bytes: %s", (unsigned long long)size,
			strerror(errno));
	if (ftruncate(f->disk.fd, (off_t)size) < 0 || fsync(f->disk.fd) < 0)
		return fail(err, -errno, "cannot have %llu bytes: %s", (unsigned long long)size, strerror(errno));
	f->size = size;
	return 0;
}

static void file_submit(void *obj, struct director_io *io)
{
	disk_submit(&((struct file *)obj)->disk, io);
}

static void file_plug(void *obj)
{
	disk_plug(&((struct file *)obj)->disk);
}

static void file_unplug(void *obj)
{
	disk_unplug(&((struct file *)obj)->disk);
}

static void file_close(void *obj)
{
	struct file *f = obj;

	order_free(&f->disk.order);
	close(f->disk.fd);
	free(f);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.create = file_create,
	.open = file_open,
	.caps = file_caps,
	.submit = file_submit,
	.plug = file_plug,
	.unplug = file_unplug,
	.resize = file_resize,
	.space = file_space,
	.close = file_close,
	.destroy = file_destroy,
	.thread_fd = disk_thread_fd,
	.reap = disk_reap,
	.thread_exit = disk_thread_exit,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "file", .version = "1", .license = "Apache-2.0",
	.summary = "a disk in a regular file", .params = params, .init = file_init, .fini = file_fini,
	.backstore = &ops);
