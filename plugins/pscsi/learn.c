/* SPDX-License-Identifier: Apache-2.0 */
/* What a device says of itself: INQUIRY and its pages, capacity, mode sense. */
#include "config.h"

#include "plugins/pscsi/pscsi.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define PAGE_LEN 252u
#define MAX_IO (512u << 10)     /* where nobody says anything else */

static int ask(struct pscsi *p, const uint8_t *cdb, unsigned cdb_len, uint8_t *to, uint32_t len)
{
	struct director_iov iov = { to, len };
	struct command c = { .cdb_len = (uint8_t)cdb_len, .way = DATA_IN, .iov = &iov, .n_iov = 1, .len = len };
	int r;

	memcpy(c.cdb, cdb, cdb_len);
	memset(to, 0, len);
	r = command_run(p, &c);
	return r < 0 ? r : (int)c.got;
}

/* A page of vital product data (SPC-4 7.8), or the standard data; fewer than `least` bytes: false. */
static bool inquiry(struct pscsi *p, int page, uint8_t to[PAGE_LEN], int least)
{
	uint8_t cdb[6] = { 0x12, page >= 0, page >= 0 ? (uint8_t)page : 0, 0, PAGE_LEN, 0 };

	return ask(p, cdb, 6, to, PAGE_LEN) >= least && (page < 0 || to[1] == page);
}

static bool has_page(struct pscsi *p, uint8_t page)
{
	uint8_t list[PAGE_LEN];

	if (!inquiry(p, 0, list, 4))
		return false;
	return memchr(list + 4, page, list[3] < PAGE_LEN - 4 ? list[3] : PAGE_LEN - 4) != NULL;
}

/* READ CAPACITY(16), or (10) where the device is from before it. */
static int capacity(struct pscsi *p, uint8_t to[32], uint64_t *blocks, uint32_t *block_size)
{
	static const uint8_t cdb16[16] = { 0x9e, 0x10, [13] = 32 }, cdb10[10] = { 0x25 };
	int r = ask(p, cdb16, 16, to, 32);

	if (r >= 12) {
		*blocks = get_be(to, 8) + 1;
		*block_size = (uint32_t)get_be(to + 8, 4);
		return 0;
	}
	r = ask(p, cdb10, 10, to, 32);
	if (r < 8)
		return r < 0 ? r : -EIO;
	*blocks = get_be(to, 4) + 1;
	*block_size = (uint32_t)get_be(to + 4, 4);
	memset(to, 0, 32);
	return 0;
}

int learn_size(struct pscsi *p)
{
	uint8_t data[32];
	uint32_t block_size;
	uint64_t blocks;
	int r = capacity(p, data, &blocks, &block_size);

	if (r == 0 && block_size == p->block_size)
		p->size = blocks * block_size;
	return r;
}

/* MODE SENSE(10) of the caching page: WP, DPOFUA and WCE. What does not say is taken to have a cache. */
static void learn_mode(struct pscsi *p)
{
	static const uint8_t cdb[10] = { 0x5a, 0x08, 0x08, [8] = 64 };
	uint8_t m[64];
	int n = ask(p, cdb, 10, m, sizeof(m)), at = n >= 8 ? 8 + (int)get_be(m + 6, 2) : 0;

	if (n >= 8 && m[3] & 0x80)
		p->read_only = true;
	if (n >= 8 && m[3] & 0x10)
		p->flags |= DIRECTOR_CAP_FUA;
	if (!at || at + 3 > n || (m[at] & 0x3f) != 0x08 || m[at + 2] & 0x04)
		p->flags |= DIRECTOR_CAP_WRITE_CACHE;
}

/* Is the command there? REPORT SUPPORTED OPERATION CODES, one command (SPC-4 6.35). */
static bool supports(struct pscsi *p, uint8_t opcode)
{
	uint8_t cdb[12] = { 0xa3, 0x0c, 0x01, opcode, [9] = 32 }, to[32];

	return ask(p, cdb, 12, to, sizeof(to)) >= 4 && (to[1] & 7) == 3;
}

/* SBC-3 6.6.3 and 6.6.4: Block Limits, Logical Block Provisioning. */
static void learn_limits(struct pscsi *p, bool thin)
{
	uint8_t b0[PAGE_LEN] = { 0 }, b2[PAGE_LEN] = { 0 };
	uint32_t bs = p->block_size;
	uint64_t most;

	if (has_page(p, 0xb0) && inquiry(p, 0xb0, b0, 8)) {
		most = get_be(b0 + 8, 4) * bs;
		if (most && most < p->max_io)
			p->max_io = (uint32_t)most;
		most = get_be(b0 + 12, 4) * bs;
		p->optimal_io = most <= p->max_io ? (uint32_t)most : 0;
		p->caw_max = b0[5];
		p->discard_granularity = (uint32_t)get_be(b0 + 28, 4) * bs;
	}
	if (thin && has_page(p, 0xb2) && inquiry(p, 0xb2, b2, 8)) {
		if (b2[5] & 0x80)
			p->unmap_max = get_be(b0 + 20, 4) ? get_be(b0 + 20, 4) : UINT32_MAX;
		p->same_unmaps = b2[5] & 0x40 && p->zeroes;
	}
	if (supports(p, 0x93)) {
		most = get_be(b0 + 36, 8);
		p->same_max = most && most < UINT32_MAX ? (uint32_t)most : 0xffff;
	}
}

static void learn_rotation(struct pscsi *p)
{
	uint8_t b1[PAGE_LEN];

	if (has_page(p, 0xb1) && inquiry(p, 0xb1, b1, 8) && get_be(b1 + 4, 2) > 1)
		p->flags |= DIRECTOR_CAP_ROTATIONAL;
}

/* The most that the kernel passes on at once: a block device says it in sectors (and 16 bits), sg in bytes. */
static void learn_transfer(struct pscsi *p)
{
	struct stat st;
	uint64_t most;
	int v = 0;

	p->max_io = MAX_IO;
	if (fstat(p->fd, &st) < 0 || ioctl(p->fd, BLKSECTGET, &v) < 0)
		return;
	most = S_ISBLK(st.st_mode) ? (v & 0xffff) * 512ull : (uint64_t)v;
	if (most >= p->block_size && most < p->max_io)
		p->max_io = (uint32_t)most / p->block_size * p->block_size;
}

int learn(struct pscsi *p, const char *path, struct director_err *err)
{
	uint8_t data[PAGE_LEN], cap[32];
	uint64_t blocks;
	int r;

	if (!inquiry(p, -1, data, 36))
		return fail(err, -ENODEV, "%s: it does not answer SCSI commands", path);
	if (data[0] & 0xe0)
		return fail(err, -ENODEV, "%s: there is no unit behind it", path);
	if ((data[0] & 0x1f) != 0x00)
		return fail(err, -EINVAL, "%s is a SCSI device of type %02xh, not a disk (00h)", path, data[0] & 0x1f);
	r = capacity(p, cap, &blocks, &p->block_size);
	if (r < 0)
		return fail(err, r, "%s: its capacity cannot be read: %s", path, strerror(-r));
	if (p->block_size != 512 && p->block_size != 4096)
		return fail(err, -EINVAL, "%s has blocks of %u bytes; 512 and 4096 can be served", path, p->block_size);
	if (cap[12] & 1)
		return fail(err, -EINVAL, "%s is formatted with protection information, which is not supported", path);
	p->size = blocks * p->block_size;
	p->physical = p->block_size << (cap[13] & 15);
	p->zeroes = (cap[14] & 0xc0) == 0xc0;
	learn_transfer(p);
	learn_mode(p);
	learn_limits(p, cap[14] & 0x80);
	learn_rotation(p);
	if (cap[14] & 0x80 && supports(p, 0x9e))
		p->flags |= DIRECTOR_CAP_EXTENTS;
	return 0;
}
