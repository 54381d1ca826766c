/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram: a disk in memory. Sparse: a page takes room when it is first written, and discard gives it back.
 * The content lives from open to close. There is nothing to wait for, so submit completes at once. Regions share short
 * locks, so that a block is read as before a write or as after it.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plugins/common/err.h"
#include "plugins/common/life.h"

#define PAGE 4096u
#define REGION 16384u
#define LOCKS 4096u
#define ROOM_LEAST (16ull << 30)        /* address space taken for growing; costs nothing */

struct ram {
	const struct director_host *host;
	char *base;
	uint8_t *used;                  /* a bit per page that holds data, for EXTENTS; behind the room */
	uint64_t size, room;
	uint32_t block_size;
	uint8_t lock[LOCKS];            /* of regions, by number; 1: taken */
	pthread_mutex_t forgets;        /* of who takes many of them */
};

static const struct director_param params[] = {
	{ .name = "size", .type = DIRECTOR_P_SIZE, .flags = DIRECTOR_PF_REQUIRED, .min = 4096, .max = 1ull << 46,
	  .help = "size of the disk" },
	{ .name = "block-size", .type = DIRECTOR_P_ENUM, .value = "512", .choices = "512 4096", .unit = "bytes",
	  .help = "logical block size" },
	{ .name = "huge-pages", .type = DIRECTOR_P_BOOL, .value = "no",
	  .help = "take memory 2M at a time: faster when all of it is used, wasteful when little is" },
	{ .name = NULL },
};

static int ram_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

static int ram_check(void *priv, const struct director_conf *conf, struct director_err *err)
{
	if (conf->get_uint(conf, "size", 0) % conf->get_uint(conf, "block-size", 512))
		return fail(err, -EINVAL, "the size must be a multiple of the block size");
	return 0;
}

/* All that is mapped: the room, and a bit per page of it. */
static size_t mapped(const struct ram *r)
{
	return (size_t)(r->room + ((r->room / PAGE / 8 + PAGE - 1) & ~(uint64_t)(PAGE - 1)));
}

/* ---- one at a time in a region ---- */

static void region_take(struct ram *r, uint64_t region)
{
	uint8_t *lock = &r->lock[region % LOCKS];

	for (unsigned turns = 0; __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE); turns++)
		/* Whoever has it copies a few pages; unless it does not run. */
		if (turns > 100)
			sched_yield();
}

static void region_give(struct ram *r, uint64_t region)
{
	__atomic_store_n(&r->lock[region % LOCKS], 0, __ATOMIC_RELEASE);
}

static uint64_t region_end(uint64_t offset, uint64_t end)
{
	uint64_t next = (offset / REGION + 1) * REGION;

	return next < end ? next : end;
}

/* ---- which pages hold data ---- */

/* After the data is there, as `unused` is before it goes: a page that holds data has its bit, whatever else runs. */
static void use(struct ram *r, uint64_t offset, uint64_t len)
{
	for (uint64_t page = offset / PAGE; len && page <= (offset + len - 1) / PAGE; page++) {
		uint8_t bit = (uint8_t)(1u << page % 8), *byte = &r->used[page / 8];

		if (!(__atomic_load_n(byte, __ATOMIC_RELAXED) & bit))
			__atomic_fetch_or(byte, bit, __ATOMIC_RELAXED);
	}
}

/* Whole pages only. */
static void unused(struct ram *r, uint64_t from, uint64_t to)
{
	for (uint64_t page = from / PAGE; page < to / PAGE; page++)
		if (page % 8 == 0 && page + 8 <= to / PAGE) {
			__atomic_store_n(&r->used[page / 8], 0, __ATOMIC_RELAXED);
			page += 7;
		} else {
			__atomic_fetch_and(&r->used[page / 8], (uint8_t)~(1u << page % 8), __ATOMIC_RELAXED);
		}
}

static bool is_used(const struct ram *r, uint64_t page)
{
	return __atomic_load_n(&r->used[page / 8], __ATOMIC_RELAXED) >> page % 8 & 1;
}

static void extents(const struct ram *r, struct director_io *io)
{
	uint64_t end = io->offset + io->len, page = io->offset / PAGE;
	bool first = is_used(r, page);

	while (page * PAGE < end && is_used(r, page) == first)
		page++;
	io->at = (page * PAGE < end ? page * PAGE : end) - io->offset;
	io->flags_out = first ? 0 : DIRECTOR_EXT_HOLE;
}

static int ram_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	struct ram *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->forgets, NULL);
	r->host = priv;
	r->size = conf->get_uint(conf, "size", 0);
	r->block_size = (uint32_t)conf->get_uint(conf, "block-size", 512);
	r->room = r->size > ROOM_LEAST / 4 ? r->size * 4 : ROOM_LEAST;
	/* The room to grow is reserved now, because I/O of other threads must not see the disk move. */
	r->room = (r->room + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	r->base = mmap(NULL, mapped(r), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->base == MAP_FAILED || mprotect(r->base, r->size, PROT_READ | PROT_WRITE) < 0 ||
		mprotect(r->base + r->room, mapped(r) - r->room, PROT_READ | PROT_WRITE) < 0) {
		if (r->base != MAP_FAILED)
			munmap(r->base, mapped(r));
		pthread_mutex_destroy(&r->forgets);
		free(r);
		return fail(err, -ENOMEM, "there is no address space for a disk of this size");
	}
	r->used = (uint8_t *)r->base + r->room;
	/* Only advice: a kernel without them goes on with small ones. */
	if (conf->get_uint(conf, "huge-pages", 0))
		madvise(r->base, r->room, MADV_HUGEPAGE);
	*obj = r;
	return 0;
}

static int ram_caps(void *obj, struct director_caps *c)
{
	const struct ram *r = obj;

	c->flags = DIRECTOR_CAP_DISCARD | DIRECTOR_CAP_DISCARD_ZEROES | DIRECTOR_CAP_ZERO | DIRECTOR_CAP_RESIZE |
		DIRECTOR_CAP_EXTENTS | DIRECTOR_CAP_VOLATILE;
	c->size = r->size;
	c->block_size = r->block_size;
	c->physical_block = r->block_size;
	c->align = 1;
	c->discard_granularity = 4096;
	life_tell(c);
	return 0;
}

/* Whole pages go back to the system, the rest is written. Either way it reads as zeroes. */
static void forget_here(struct ram *r, uint64_t offset, uint64_t len)
{
	uint64_t from = (offset + PAGE - 1) & ~(uint64_t)(PAGE - 1), to = (offset + len) & ~(uint64_t)(PAGE - 1);
	char *p = r->base + offset;

	if (from >= to) {
		memset(p, 0, len);
		return;
	}
	unused(r, from, to);
	if (madvise(r->base + from, (size_t)(to - from), MADV_DONTNEED) < 0) {
		memset(p, 0, len);
		return;
	}
	memset(p, 0, (size_t)(from - offset));
	memset(r->base + to, 0, (size_t)(offset + len - to));
}

/*
 * Many regions with one call, because the call is what costs. Only here does a thread have more than one lock, and never
 * two threads: they would wait for each other.
 */
static void forget(struct ram *r, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len, to, first, last;

	pthread_mutex_lock(&r->forgets);
	for (; offset < end; offset = to) {
		first = offset / REGION;
		to = end - offset > (uint64_t)LOCKS / 2 * REGION ? (first + LOCKS / 2) * REGION : end;
		last = (to - 1) / REGION;
		for (uint64_t i = first; i <= last; i++)
			region_take(r, i);
		forget_here(r, offset, to - offset);
		for (uint64_t i = first; i <= last; i++)
			region_give(r, i);
	}
	pthread_mutex_unlock(&r->forgets);
}

#ifdef __SSE2__
#include <emmintrin.h>

#define PAST_CACHE (16u << 10)

/*
 * Long writes go past the cache: it would first read what is overwritten whole, and lose what other commands
 * need to a page that nobody looks at soon.
 */
static void put(char *to, const char *from, size_t n)
{
	if (n < PAST_CACHE || ((uintptr_t)to & 15)) {
		memcpy(to, from, n);
		return;
	}
	for (; n >= 64; to += 64, from += 64, n -= 64)
		for (unsigned i = 0; i < 64; i += 16)
			_mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
	_mm_sfence();
	memcpy(to, from, n);
}
#else
static void put(char *to, const char *from, size_t n)
{
	memcpy(to, from, n);
}
#endif

/* Where the buffers of an I/O have come to. */
struct cursor {
	const struct director_iov *iov;
	size_t done;                    /* of *iov */
};

/* The next `n` bytes, at `p`, all of one region. */
static void move(struct cursor *c, char *p, size_t n, bool write)
{
	while (n) {
		size_t part = c->iov->len - c->done < n ? c->iov->len - c->done : n;

		if (write)
			put(p, (const char *)c->iov->base + c->done, part);
		else
			memcpy((char *)c->iov->base + c->done, p, part);
		p += part;
		n -= part;
		c->done += part;
		if (c->done == c->iov->len)
			*c = (struct cursor){ .iov = c->iov + 1 };
	}
}

static void transfer(struct ram *r, struct director_io *io, bool write)
{
	uint64_t at = io->offset, end = io->offset + io->len, to;
	struct cursor c = { .iov = io->iov };

	for (; at < end; at = to) {
		to = region_end(at, end);
		region_take(r, at / REGION);
		move(&c, r->base + at, (size_t)(to - at), write);
		region_give(r, at / REGION);
	}
}

static void zero(struct ram *r, uint64_t at, uint64_t end)
{
	for (uint64_t to; at < end; at = to) {
		to = region_end(at, end);
		region_take(r, at / REGION);
		memset(r->base + at, 0, (size_t)(to - at));
		region_give(r, at / REGION);
	}
}

static void ram_submit(void *obj, struct director_io *io)
{
	struct ram *r = obj;
	int32_t result = 0;

	switch (io->op) {
	case DIRECTOR_READ:
		transfer(r, io, false);
		break;
	case DIRECTOR_WRITE:
		transfer(r, io, true);
		use(r, io->offset, io->len);
		break;
	case DIRECTOR_WRITE_ZEROES:
		if (!(io->flags & DIRECTOR_IOF_MAY_UNMAP)) {
			zero(r, io->offset, io->offset + io->len);
			use(r, io->offset, io->len);
			break;
		}
		/* fallthrough */
	case DIRECTOR_DISCARD:
		forget(r, io->offset, io->len);
		break;
	case DIRECTOR_EXTENTS:
		extents(r, io);
		break;
	default:
		result = -EOPNOTSUPP;
	}
	r->host->io_done(r->host->arg, io, result);
}

static const void *ram_lend(void *obj, uint64_t offset, uint64_t len)
{
	return ((const struct ram *)obj)->base + offset;
}

static int ram_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct ram *r = obj;

	if (size > r->room)
		return fail(err, -ENOSPC, "it can grow to four times the size it was opened with, or 16G; reopen it");
	if (size < r->size)
		forget(r, size, r->size - size);
	else if (mprotect(r->base, size, PROT_READ | PROT_WRITE) < 0)
		return fail(err, -ENOMEM, "there is no memory for this size");
	r->size = size;
	return 0;
}

static void ram_close(void *obj)
{
	struct ram *r = obj;

	munmap(r->base, mapped(r));
	pthread_mutex_destroy(&r->forgets);
	free(r);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_ASYNC,
	.check = ram_check,
	.open = ram_open,
	.caps = ram_caps,
	.submit = ram_submit,
	.resize = ram_resize,
	.close = ram_close,
	.lend = ram_lend,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "ram", .version = "1", .license = "Apache-2.0",
	.summary = "a disk in memory", .params = params, .init = ram_init, .backstore = &ops);
