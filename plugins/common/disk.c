/* SPDX-License-Identifier: Apache-2.0 */
/* I/O on a descriptor: what each operation is in the kernel's words, and how it goes on when it came back short. */
#include "config.h"

#include "plugins/common/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct director_iov) == sizeof(struct iovec) &&
	offsetof(struct director_iov, base) == offsetof(struct iovec, iov_base) &&
	offsetof(struct director_iov, len) == offsetof(struct iovec, iov_len), "ours is the kernel's");

#define IOV_LONGEST 1024        /* UIO_MAXIOV */

int disk_engine_new(const struct director_host *host, struct disk_engine **out)
{
	struct disk_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->host = host;
	e->aside = aside_new();
	if (!e->aside) {
		free(e);
		return -ENOMEM;
	}
	*out = e;
	return 0;
}

void disk_engine_free(struct disk_engine **ep)
{
	if (!*ep)
		return;
	aside_free(&(*ep)->aside);
	free(*ep);
	*ep = NULL;
}

int disk_when_free(int (*again)(void *arg), void *arg)
{
	int i, r = again(arg);

	for (i = 0; i < 150 && r == -EBUSY; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
		r = again(arg);
	}
	return r;
}

int disk_thread_fd(void *engine)
{
	return ring_fd(engine);
}

void disk_reap(void *engine)
{
	struct ring *r = ring_self(engine);

	if (r)
		ring_reap(r);
}

void disk_thread_exit(void *engine)
{
	ring_exit(engine);
}

void disk_plug(struct disk *d)
{
	struct ring *r = ring_self(d->engine);

	if (r)
		ring_plug(r, true);
}

void disk_unplug(struct disk *d)
{
	struct ring *r = ring_self(d->engine);

	if (r)
		ring_plug(r, false);
}

/* Has the ring no word for it? */
static bool only_aside(const struct disk *d, const struct director_io *io)
{
	return io->op == DIRECTOR_EXTENTS || (d->block_device && io->op == DIRECTOR_DISCARD);
}

void disk_submit(struct disk *d, struct director_io *io)
{
	struct ring *r = ring_self(d->engine);

	*disk_state(io) = (struct disk_state){ .disk = d, .refused = d->refused };
	if (d->order && !order_begin(d->order, io))
		return;
	if (d->memory)
		while (disk_advance(io, disk_do(io)))
			;
	else if (r && !only_aside(d, io))
		ring_put(r, io);
	else
		aside_put(d->engine->aside, io);
}

int disk_falloc_mode(const struct director_io *io)
{
	unsigned refused = disk_state((struct director_io *)io)->refused;
	bool punch = io->op == DIRECTOR_DISCARD || refused & DISK_NO_ZERO_RANGE ||
		(io->flags & DIRECTOR_IOF_MAY_UNMAP && !(refused & DISK_NO_PUNCH));

	return FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

void disk_rest(const struct director_io *io, const struct director_iov **iov, unsigned *n, uint64_t *offset)
{
	const struct disk_state *s = disk_state((struct director_io *)io);

	*iov = io->iov;
	*n = io->n_iov;
	if (s->rest) {
		/* An empty entry ends the copy: the count has no room in plugin[]. */
		*iov = s->rest;
		for (*n = 0; s->rest[*n].base; (*n)++)
			;
	}
	if (*n > IOV_LONGEST)
		*n = IOV_LONGEST;
	*offset = io->offset + s->done;
}

/* ---- going on ---- */

/* Copy of io->iov without the first `skip` bytes. */
static struct director_iov *iov_rest(const struct director_io *io, uint64_t skip)
{
	struct director_iov *v = calloc(io->n_iov + 1, sizeof(*v));
	unsigned i, n = 0;

	for (i = 0; v && i < io->n_iov; i++) {
		uint64_t cut = skip < io->iov[i].len ? skip : io->iov[i].len;

		skip -= cut;
		if (cut < io->iov[i].len)
			v[n++] = (struct director_iov){ (char *)io->iov[i].base + cut, io->iov[i].len - (size_t)cut };
	}
	return v;
}

static void end(struct director_io *io, int32_t result)
{
	struct disk_state *s = disk_state(io);
	struct disk *d = s->disk;
	const struct director_host *h = d->engine->host;
	struct statvfs vfs;

	free(s->rest);
	s->rest = NULL;
	if (d->order && !order_end(io, result))
		return;
	if (result == -ENOSPC || result == -EDQUOT) {
		uint64_t now = h->now_ns(h->arg);

		/* Once a second says enough, however many writes fail. */
		if (now - __atomic_exchange_n(&d->warned_ns, now, __ATOMIC_RELAXED) > 1000000000u &&
		    fstatvfs(d->fd, &vfs) == 0)
			h->event(h->arg, d->owner, DIRECTOR_EV_SPACE_LOW, (uint64_t)vfs.f_bavail * vfs.f_frsize, 0);
	} else if (result == -EIO || result == -ENODATA) {      /* ENODATA: a sector that cannot be read */
		h->event(h->arg, d->owner, DIRECTOR_EV_MEDIA_ERROR, io->offset + s->done, 0);
	}
	h->io_done(h->arg, io, result);
}

/* A transfer: all, a part, or an error. */
static bool advance_rw(struct director_io *io, int64_t res)
{
	struct disk_state *s = disk_state(io);

	if (res == 0) {         /* the file was made shorter behind our back */
		end(io, -EIO);
		return false;
	}
	s->done += (uint32_t)res;
	if (s->done >= io->len) {
		end(io, 0);
		return false;
	}
	free(s->rest);
	s->rest = iov_rest(io, s->done);
	if (!s->rest) {
		end(io, -ENOMEM);
		return false;
	}
	return true;
}

/*
 * One way to zero is not known here: is there another? A hole, which may be all that a file system has; or the blocks
 * zeroed in place, where a device can discard but does not promise zeroes after it.
 */
static bool zero_otherwise(struct director_io *io)
{
	struct disk_state *s = disk_state(io);
	uint16_t tried = disk_falloc_mode(io) & FALLOC_FL_PUNCH_HOLE ? DISK_NO_PUNCH : DISK_NO_ZERO_RANGE;

	if (s->refused)
		return false;
	s->refused = tried;
	atomic_fetch_or(&s->disk->refused, tried);
	return true;
}

bool disk_advance(struct director_io *io, int64_t res)
{
	struct disk_state *s = disk_state(io);

	if (res == -EINTR || res == -EAGAIN)
		return true;
	/* Not a miscompare: the block layer's word for protection information that does not fit. */
	if (res == -EILSEQ)
		res = -EIO;
	if (io->op == DIRECTOR_WRITE_ZEROES && res == -EOPNOTSUPP && zero_otherwise(io))
		return true;
	if (res < 0) {
		end(io, (int32_t)res);
		return false;
	}
	if (io->op == DIRECTOR_READ || io->op == DIRECTOR_WRITE)
		return advance_rw(io, res);
	if ((io->op == DIRECTOR_WRITE_ZEROES || io->op == DIRECTOR_DISCARD) && (io->flags & DIRECTOR_IOF_FUA) &&
	    s->stage == STAGE_IO) {
		s->stage = STAGE_SYNC;
		return true;
	}
	end(io, 0);
	return false;
}

/* ---- without a ring ---- */

static int64_t do_extents(struct director_io *io, int fd)
{
	off_t at = (off_t)io->offset, next, data = lseek(fd, at, SEEK_DATA);

	if (data < 0 && errno != ENXIO) {
		/* A file system that does not know: all of it is data. */
		io->at = io->len;
		return errno == EINVAL || errno == ESPIPE ? 0 : -errno;
	}
	if (data < 0 || data > at) {
		io->flags_out = DIRECTOR_EXT_HOLE;
		next = data < 0 ? at + (off_t)io->len : data;
	} else {
		next = lseek(fd, at, SEEK_HOLE);
		if (next < 0)
			return -errno;
	}
	io->at = (uint64_t)(next - at) < io->len ? (uint64_t)(next - at) : io->len;
	return 0;
}

static int64_t or_errno(int64_t r)
{
	return r < 0 ? -errno : r;
}

int64_t disk_do(struct director_io *io)
{
	struct disk_state *s = disk_state(io);
	const struct director_iov *iov;
	unsigned n;
	uint64_t offset;
	int fd = s->disk->fd;

	if (s->stage == STAGE_SYNC || io->op == DIRECTOR_FLUSH)
		return or_errno(fdatasync(fd));
	disk_rest(io, &iov, &n, &offset);
	switch (io->op) {
	case DIRECTOR_READ:
		return or_errno(preadv(fd, (const struct iovec *)iov, (int)n, (off_t)offset));
	case DIRECTOR_WRITE:
		return or_errno(pwritev2(fd, (const struct iovec *)iov, (int)n, (off_t)offset,
			io->flags & DIRECTOR_IOF_FUA ? RWF_DSYNC : 0));
	case DIRECTOR_DISCARD:
		if (s->disk->block_device)
			return or_errno(ioctl(fd, BLKDISCARD, (uint64_t[2]){ io->offset, io->len }));
		/* fallthrough */
	case DIRECTOR_WRITE_ZEROES:
		return or_errno(fallocate(fd, disk_falloc_mode(io), (off_t)io->offset, (off_t)io->len));
	case DIRECTOR_EXTENTS:
		return do_extents(io, fd);
	default:
		return -EOPNOTSUPP;
	}
}
