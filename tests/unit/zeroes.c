/* SPDX-License-Identifier: Apache-2.0 */
/* How `file` and `block` zero a range where not every way is known (plugins/common/disk.c), over a kernel played here. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "plugins/common/disk.h"
#include "tests/unit/check.h"

static int unknown;                     /* modes that the device does not know */
static int asked[16];
static unsigned n_asked;
static int32_t result;

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	asked[n_asked++] = mode & ~FALLOC_FL_KEEP_SIZE;
	if (!(mode & unknown))
		return 0;
	errno = EOPNOTSUPP;
	return -1;
}

/* What disk.c calls of its neighbours, and does not need here. */
struct aside *aside_new(void)
{
	static char some;

	return (struct aside *)&some;
}

void aside_free(struct aside **a)
{
	*a = NULL;
}

void aside_put(struct aside *a, struct director_io *io)
{
}

bool order_begin(struct order *o, struct director_io *io)
{
	return true;
}

bool order_end(struct director_io *io, int32_t r)
{
	return true;
}

struct ring *ring_self(const struct disk_engine *e)
{
	return NULL;
}

int ring_fd(struct disk_engine *e)
{
	return -1;
}

void ring_put(struct ring *r, struct director_io *io)
{
}

void ring_plug(struct ring *r, bool on)
{
}

void ring_reap(struct ring *r)
{
}

void ring_exit(struct disk_engine *e)
{
}

static void io_done(void *arg, struct director_io *io, int32_t r)
{
	result = r;
}

static const struct director_host host = { .struct_size = sizeof(host), .io_done = io_done };

static int32_t zero(struct disk *d, uint16_t flags)
{
	struct director_io io = { .op = DIRECTOR_WRITE_ZEROES, .flags = flags, .len = 4096 };

	n_asked = 0;
	result = 1;
	disk_submit(d, &io);
	return result;
}

static void play(int refuses, int32_t want, unsigned n_first, int then)
{
	static const uint16_t flags[] = { DIRECTOR_IOF_MAY_UNMAP, 0 };

	for (unsigned first = 0; first < 2; first++) {
		struct disk_engine *e;
		struct disk d = { .memory = true, .fd = -1 };

		CHECK_EQ(disk_engine_new(&host, &e), 0);
		d.engine = e;
		unknown = refuses;
		CHECK_EQ(zero(&d, flags[first]), want);
		CHECK(n_asked <= n_first);
		/* It is known by now, or will be after the other kind. */
		CHECK_EQ(zero(&d, flags[!first]), want);
		CHECK_EQ(zero(&d, flags[first]), want);
		CHECK_EQ(n_asked, 1);
		CHECK(!then || asked[0] == then);
		disk_engine_free(&e);
	}
}

/* As a SATA disk that discards and does not promise zeroes: it was left without any way, also for plain zeroes. */
static void a_device_that_cannot_punch_zeroes_in_place(void)
{
	play(FALLOC_FL_PUNCH_HOLE, 0, 2, FALLOC_FL_ZERO_RANGE);
}

static void a_file_system_that_cannot_zero_punches(void)
{
	play(FALLOC_FL_ZERO_RANGE, 0, 2, FALLOC_FL_PUNCH_HOLE);
}

static void who_can_neither_says_so(void)
{
	play(FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE, -EOPNOTSUPP, 2, 0);
}

int main(void)
{
	RUN(a_device_that_cannot_punch_zeroes_in_place);
	RUN(a_file_system_that_cannot_zero_punches);
	RUN(who_can_neither_says_so);
	return 0;
}
