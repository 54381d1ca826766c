/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pscsi: a SCSI disk by its own commands (/dev/sgN, or the disk's block device). The device's own sense data reach the
 * initiator, and what only the device can do atomically (COMPARE AND WRITE) is left to it.
 */
#include "config.h"

#include "plugins/pscsi/pscsi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SG_MAJOR 21u
#define CAW_BLOCKS 255u         /* what initiators may ask for; a device that takes fewer is helped by the host */

static const struct director_param params[] = {
	{ .name = "path", .type = DIRECTOR_P_PATH, .flags = DIRECTOR_PF_REQUIRED,
	  .help = "the disk: /dev/sgN, or its block device" },
	{ .name = "timeout", .type = DIRECTOR_P_DURATION, .value = "30s", .min = 1000, .max = 600000,
	  .help = "how long a command may take, trying again included" },
	{ .name = "read-only", .type = DIRECTOR_P_BOOL, .value = "no", .help = "refuse writes" },
	{ .name = NULL },
};

static int pscsi_init(const struct director_host *host, void **priv)
{
	*priv = (void *)host;
	return 0;
}

/* ---- open and close ---- */

/* The name of the block device of the SCSI device behind an sg node. */
static bool block_name(dev_t dev, char *out, size_t size)
{
	char path[80];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/device/block", major(dev), minor(dev));
	d = opendir(path);
	while (d && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.') {
			found = snprintf(out, size, "/dev/%s", e->d_name) < (int)size;
			break;
		}
	if (d)
		closedir(d);
	return found;
}

/* Hold the block device of the disk, so that nobody mounts it; what is mounted already is refused. */
static int claim(struct pscsi *p, const char *path, struct director_err *err)
{
	struct stat st;
	char name[300];

	if (fstat(p->fd, &st) < 0)
		return fail(err, -errno, "%s: %s", path, strerror(errno));
	if (S_ISBLK(st.st_mode))
		snprintf(name, sizeof(name), "%s", path);
	else if (!S_ISCHR(st.st_mode))
		return fail(err, -ENOTBLK, "%s is not a device", path);
	else if (major(st.st_rdev) != SG_MAJOR || !block_name(st.st_rdev, name, sizeof(name)))
		return 0;
	p->claim_fd = open(name, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (p->claim_fd < 0 && errno == EBUSY)
		return fail(err, -EBUSY, "%s is in use on this node (mounted, or part of something else)", name);
	return 0;
}

static void pscsi_close(void *obj)
{
	struct pscsi *p = obj;

	if (p->claim_fd >= 0)
		close(p->claim_fd);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static int begin(const struct director_host *host, const struct director_conf *conf, struct pscsi **out,
	struct director_err *err)
{
	const char *path = conf->get(conf, "path");
	struct pscsi *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->host = host;
	p->claim_fd = -1;
	p->timeout_ms = (uint32_t)conf->get_uint(conf, "timeout", 30000);
	p->read_only = conf->get_uint(conf, "read-only", 0);
	/* SG_IO of commands that write wants it open for writing, whatever is on the medium. */
	p->fd = open(path, (p->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (p->fd < 0)
		r = fail(err, -errno, "%s: %s", path, strerror(errno));
	if (r == 0)
		r = claim(p, path, err);
	if (r == 0)
		r = learn(p, path, err);
	if (r < 0) {
		pscsi_close(p);
		return r;
	}
	*out = p;
	return 0;
}

/* Nothing is made: the device is there, and large enough. */
static int pscsi_create(void *priv, const struct director_conf *conf, uint64_t size, struct director_err *err)
{
	struct pscsi *p;
	int r = begin(priv, conf, &p, err);

	if (r < 0)
		return r;
	if (size > p->size)
		r = fail(err, -ENOSPC, "%s has only %llu bytes", conf->get(conf, "path"), (unsigned long long)p->size);
	pscsi_close(p);
	return r;
}

static int pscsi_open(void *priv, const struct director_conf *conf, void *owner, uint64_t epoch, void **obj,
	struct director_err *err)
{
	struct pscsi *p;
	int r = begin(priv, conf, &p, err);

	if (r < 0)
		return r;
	p->owner = owner;
	*obj = p;
	return 0;
}

static int pscsi_caps(void *obj, struct director_caps *c)
{
	const struct pscsi *p = obj;

	c->flags = p->flags | DIRECTOR_CAP_FLUSH | DIRECTOR_CAP_RESIZE;
	if (p->unmap_max)
		c->flags |= DIRECTOR_CAP_DISCARD | (p->zeroes ? DIRECTOR_CAP_DISCARD_ZEROES : 0);
	if (p->same_max)
		c->flags |= DIRECTOR_CAP_ZERO;
	if (p->caw_max >= CAW_BLOCKS)
		c->flags |= DIRECTOR_CAP_CAW;
	if (p->read_only)
		c->flags |= DIRECTOR_CAP_READ_ONLY;
	c->size = p->size;
	c->block_size = p->block_size;
	c->physical_block = p->physical;
	c->align = p->block_size;       /* the kernel maps aligned buffers and copies others */
	c->max_io = p->max_io;
	c->optimal_io = p->optimal_io;
	c->discard_granularity = p->discard_granularity;
	c->max_discard = p->unmap_max * p->block_size;
	return 0;
}

/* The device grows by other means; here its new size is looked up. */
static int pscsi_resize(void *obj, uint64_t size, struct director_err *err)
{
	struct pscsi *p = obj;
	int r = learn_size(p);

	if (r < 0)
		return fail(err, r, "the device: %s", strerror(-r));
	return size > p->size ? fail(err, -ENOSPC, "the device has only %llu bytes", (unsigned long long)p->size) : 0;
}

/* ---- block operations ---- */

/* The 16-byte form that READ, WRITE and WRITE SAME share. */
static struct command form16(uint8_t opcode, uint8_t flags, uint64_t lba, uint32_t blocks)
{
	struct command c = { .cdb = { opcode, flags }, .cdb_len = 16 };

	put_be(c.cdb + 2, lba, 8);
	put_be(c.cdb + 10, blocks, 4);
	return c;
}

static uint8_t rw_flags(const struct director_io *io)
{
	return (uint8_t)((io->flags & DIRECTOR_IOF_DPO ? 0x10 : 0) | (io->flags & DIRECTOR_IOF_FUA ? 0x08 : 0));
}

static void data(struct command *c, const struct director_io *io, bool out, uint32_t len)
{
	c->way = out ? DATA_OUT : DATA_IN;
	c->iov = io->iov;
	c->n_iov = io->n_iov;
	c->len = len;
}

static int run_rw(struct pscsi *p, struct director_io *io, struct command *c)
{
	uint32_t blocks = (uint32_t)(io->len / p->block_size);
	bool out = io->op == DIRECTOR_WRITE;
	uint8_t flags = p->flags & DIRECTOR_CAP_FUA ? rw_flags(io) : 0;
	int r;

	*c = form16(out ? 0x8a : 0x88, flags, io->offset / p->block_size, blocks);
	data(c, io, out, (uint32_t)io->len);
	r = command_run(p, c);
	return r == 0 && c->got < c->len ? -EIO : r;
}

static int run_unmap(struct pscsi *p, struct director_io *io, struct command *c)
{
	uint8_t list[24] = { [1] = 22, [3] = 16 };
	struct director_iov iov = { list, sizeof(list) };

	put_be(list + 8, io->offset / p->block_size, 8);
	put_be(list + 16, io->len / p->block_size, 4);
	*c = (struct command){ .cdb = { 0x42, [8] = sizeof(list) }, .cdb_len = 10, .way = DATA_OUT, .iov = &iov, .n_iov = 1,
		.len = sizeof(list) };
	return command_run(p, c);
}

static int run_flush(struct pscsi *p, struct command *c)
{
	int r;

	/* SYNCHRONIZE CACHE(10), from LBA 0 to the end: there are disks that do not know the one of 16 bytes. */
	*c = (struct command){ .cdb = { 0x35 }, .cdb_len = 10 };
	r = command_run(p, c);
	/* Who keeps nothing back need not know it. */
	return r == -EOPNOTSUPP && !(p->flags & DIRECTOR_CAP_WRITE_CACHE) ? 0 : r;
}

/* WRITE SAME of one block of zeroes, in as many steps as the device wants. */
static int run_zeroes(struct pscsi *p, struct director_io *io, struct command *c)
{
	static uint8_t zero[4096] __attribute__((aligned(4096)));
	uint8_t flags = io->flags & DIRECTOR_IOF_MAY_UNMAP && p->same_unmaps ? 0x08 : 0;
	uint64_t lba = io->offset / p->block_size, left = io->len / p->block_size;
	struct director_iov iov = { zero, p->block_size };
	int r = 0;

	while (left && r == 0) {
		uint32_t n = left < p->same_max ? (uint32_t)left : p->same_max;

		*c = form16(0x93, flags, lba, n);
		c->way = DATA_OUT;
		c->iov = &iov;
		c->n_iov = 1;
		c->len = p->block_size;
		r = command_run(p, c);
		lba += n;
		left -= n;
	}
	/* WRITE SAME has no FUA. */
	return r == 0 && io->flags & DIRECTOR_IOF_FUA && p->flags & DIRECTOR_CAP_WRITE_CACHE ? run_flush(p, c) : r;
}

static int run_compare(struct pscsi *p, struct director_io *io, struct command *c)
{
	int r;

	*c = form16(0x89, p->flags & DIRECTOR_CAP_FUA ? rw_flags(io) : 0, io->offset / p->block_size, 0);
	c->cdb[13] = (uint8_t)(io->len / p->block_size);
	data(c, io, true, (uint32_t)(2 * io->len));
	r = command_run(p, c);
	/* INFORMATION is the offset of the first byte that differs (SBC-3 5.3). */
	if (r == -EILSEQ)
		io->at = c->has_info && c->info < io->len ? c->info : 0;
	return r;
}

/* GET LBA STATUS: the first descriptor. */
static int run_extents(struct pscsi *p, struct director_io *io, struct command *c)
{
	uint64_t lba = io->offset / p->block_size, from, n;
	uint8_t list[24] = { 0 };
	struct director_iov iov = { list, sizeof(list) };
	int r;

	*c = (struct command){ .cdb = { 0x9e, 0x12, [13] = sizeof(list) }, .cdb_len = 16, .way = DATA_IN, .iov = &iov,
		.n_iov = 1, .len = sizeof(list) };
	put_be(c->cdb + 2, lba, 8);
	r = command_run(p, c);
	if (r < 0)
		return r;
	from = get_be(list + 8, 8);
	n = get_be(list + 16, 4);
	if (c->got < sizeof(list) || from > lba || from + n <= lba)
		return -EIO;
	n = (from + n - lba) * p->block_size;
	io->at = n < io->len ? n : io->len;
	io->flags_out = list[20] & 15 && p->zeroes ? DIRECTOR_EXT_HOLE : 0;
	return 0;
}

/* What the device said goes to the initiator as it is. */
static void tell(struct pscsi *p, struct director_io *io, const struct command *c, int r)
{
	if (c->key && io->sense && r != -EILSEQ) {
		io->sense->key = c->key;
		io->sense->asc = c->asc;
		io->sense->ascq = c->ascq;
	}
	if (c->key == 0x03)
		p->host->event(p->host->arg, p->owner, DIRECTOR_EV_MEDIA_ERROR,
			c->has_info ? c->info * p->block_size : io->offset, 0);
	else if (r == -ENOSPC)
		p->host->event(p->host->arg, p->owner, DIRECTOR_EV_SPACE_LOW, 0, 0);
}

static void pscsi_submit(void *obj, struct director_io *io)
{
	struct pscsi *p = obj;
	struct command c = { 0 };
	int r = -EOPNOTSUPP;

	switch (io->op) {
	case DIRECTOR_READ:
	case DIRECTOR_WRITE:
		r = run_rw(p, io, &c);
		break;
	case DIRECTOR_FLUSH:
		r = run_flush(p, &c);
		break;
	case DIRECTOR_DISCARD:
		r = run_unmap(p, io, &c);
		break;
	case DIRECTOR_WRITE_ZEROES:
		r = run_zeroes(p, io, &c);
		break;
	case DIRECTOR_COMPARE_AND_WRITE:
		r = run_compare(p, io, &c);
		break;
	case DIRECTOR_EXTENTS:
		r = run_extents(p, io, &c);
		break;
	}
	if (r < 0)
		tell(p, io, &c, r);
	p->host->io_done(p->host->arg, io, r);
}

static const struct director_backstore_ops ops = {
	.struct_size = sizeof(ops),
	.threads = DIRECTOR_THREADS_BLOCKING,
	.create = pscsi_create,
	.open = pscsi_open,
	.caps = pscsi_caps,
	.submit = pscsi_submit,
	.resize = pscsi_resize,
	.close = pscsi_close,
};

DIRECTOR_PLUGIN(.kind = DIRECTOR_BACKSTORE, .name = "pscsi", .version = "1", .license = "Apache-2.0",
	.summary = "a SCSI disk by its own commands", .params = params, .init = pscsi_init, .backstore = &ops);
