/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SCSI disk for the test of pscsi where there is none: preloaded, it answers SG_IO on any descriptor from the file
 * $SG_FAKE_FILE. Thin, with all commands that pscsi uses. The first command of a process gets a unit attention, and
 * every 97th is told that the device is busy. $SG_FAKE_SENSE="OPCODE KEY ASC ASCQ" (hex) fails that command;
 * $SG_FAKE_DISRUPTED=OPCODE loses the answer of each of them, once it was done.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/be.h"

#define BLOCK 512u
#define LONGEST (4u << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int fd = -1;
static unsigned n_commands;
static uint8_t out[LONGEST], in[LONGEST], back[LONGEST];

__attribute__((visibility("default"))) int ioctl(int on, unsigned long request, ...);

static uint64_t size(void)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void check(struct sg_io_hdr *h, unsigned key, unsigned asc, unsigned ascq, uint64_t info)
{
	uint8_t s[20] = { 0x72, (uint8_t)key, (uint8_t)asc, (uint8_t)ascq, [7] = 12, [8] = 0, 10, 0x80 };

	be_put(s + 12, info, 8);
	memcpy(h->sbp, s, sizeof(s));
	h->sb_len_wr = sizeof(s);
	h->status = 2;
}

static size_t inquiry(const uint8_t *cdb)
{
	memset(in, 0, 256);
	if (!(cdb[1] & 1)) {
		in[2] = 6;
		in[4] = 91;
		return 96;
	}
	in[1] = cdb[2];
	in[3] = 60;
	switch (cdb[2]) {
	case 0x00:
		in[3] = 4;
		memcpy(in + 4, "\x00\xb0\xb1\xb2", 4);
		break;
	case 0xb0:
		in[5] = 255;                    /* compare and write */
		be_put(in + 8, 256, 4);            /* longest transfer: 128 KiB */
		be_put(in + 12, 128, 4);
		be_put(in + 20, 0x10000, 4);       /* unmap */
		be_put(in + 28, 8, 4);
		be_put(in + 36, 0x4000, 8);        /* write same */
		break;
	case 0xb1:
		be_put(in + 4, 1, 2);
		break;
	case 0xb2:
		in[5] = 0xc4;
		break;
	}
	return 64;
}

static void unmap(uint64_t lba, uint64_t n)
{
	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(lba * BLOCK), (off_t)(n * BLOCK));
}

static size_t lba_status(uint64_t lba)
{
	off_t at = (off_t)(lba * BLOCK), data = lseek(fd, at, SEEK_DATA), end;
	int hole = data != at;

	end = hole ? (data < 0 ? (off_t)size() : data) : lseek(fd, at, SEEK_HOLE);
	memset(in, 0, 24);
	be_put(in, 20, 4);
	be_put(in + 8, lba, 8);
	be_put(in + 16, (uint64_t)(end - at) / BLOCK ? (uint64_t)(end - at) / BLOCK : 1, 4);
	in[20] = hole ? 1 : 0;
	return 24;
}

static void compare_and_write(struct sg_io_hdr *h, uint64_t lba, size_t n)
{
	if (pread(fd, back, n, (off_t)(lba * BLOCK)) != (ssize_t)n)
		return check(h, 3, 0x11, 0, lba);
	for (size_t i = 0; i < n; i++)
		if (back[i] != out[i])
			return check(h, 14, 0x1d, 0, i);
	if (pwrite(fd, out + n, n, (off_t)(lba * BLOCK)) != (ssize_t)n)
		check(h, 3, 0x0c, 0, lba);
}

static size_t run(struct sg_io_hdr *h, size_t len)
{
	const uint8_t *cdb = h->cmdp;
	uint64_t lba = be_get(cdb + 2, 8), n = be_get(cdb + 10, 4), blocks = size() / BLOCK;

	if ((cdb[0] == 0x88 || cdb[0] == 0x8a || cdb[0] == 0x93) && (lba > blocks || n > blocks - lba)) {
		check(h, 5, 0x21, 0, 0);
		return 0;
	}
	switch (cdb[0]) {
	case 0x12:
		return inquiry(cdb);
	case 0x9e:
		if ((cdb[1] & 31) == 0x12)
			return lba_status(lba);
		memset(in, 0, 32);
		be_put(in, blocks - 1, 8);
		be_put(in + 8, BLOCK, 4);
		in[13] = 3;
		in[14] = 0xc0;
		return 32;
	case 0x5a:
		memset(in, 0, 64);
		in[3] = 0x10;
		in[8] = 0x08;
		in[9] = 0x12;
		in[10] = 0x04;
		return 28;
	case 0xa3:
		memset(in, 0, 32);
		in[1] = 3;
		in[3] = 16;
		return 20;
	case 0x88:
		return pread(fd, in, n * BLOCK, (off_t)(lba * BLOCK)) == (ssize_t)(n * BLOCK) ? n * BLOCK : 0;
	case 0x8a:
		if (len != n * BLOCK || pwrite(fd, out, len, (off_t)(lba * BLOCK)) != (ssize_t)len)
			check(h, 3, 0x0c, 0, lba);
		return 0;
	case 0x35:
		return 0;
	case 0x42:
		unmap(be_get(out + 8, 8), be_get(out + 16, 4));
		return 0;
	case 0x93:
		if (cdb[1] & 8)
			unmap(lba, n);
		for (uint64_t i = 0; i < n && !(cdb[1] & 8); i++)
			if (pwrite(fd, out, BLOCK, (off_t)((lba + i) * BLOCK)) < 0)
				check(h, 3, 0x0c, 0, lba + i);
		return 0;
	case 0x89:
		compare_and_write(h, lba, cdb[13] * (size_t)BLOCK);
		return 0;
	default:
		check(h, 5, 0x20, 0, 0);
		return 0;
	}
}

/* Between the caller's buffers and ours. */
static void move(struct sg_io_hdr *h, uint8_t *ours, size_t n, int to_caller)
{
	struct sg_iovec one = { h->dxferp, h->dxfer_len };
	const struct sg_iovec *v = h->iovec_count ? h->dxferp : &one;

	for (unsigned left = h->iovec_count ? h->iovec_count : 1; left && n; left--, v++) {
		size_t part = v->iov_len < n ? v->iov_len : n;

		memcpy(to_caller ? v->iov_base : ours, to_caller ? ours : v->iov_base, part);
		ours += part;
		n -= part;
	}
}

static int answer(struct sg_io_hdr *h)
{
	unsigned opcode, key, asc, ascq;
	const char *fault = getenv("SG_FAKE_SENSE"), *disrupted = getenv("SG_FAKE_DISRUPTED");
	size_t n = 0;

	if (fd < 0)
		fd = open(getenv("SG_FAKE_FILE"), O_RDWR | O_CLOEXEC);
	if (fd < 0 || h->dxfer_len > LONGEST)
		return errno = EINVAL, -1;
	h->status = h->host_status = h->sb_len_wr = 0;
	h->resid = (int)h->dxfer_len;
	n_commands++;
	if (n_commands == 1) {
		check(h, 6, 0x29, 0, 0);
	} else if (n_commands % 97 == 0) {
		h->status = 8;
	} else if (fault && sscanf(fault, "%x %x %x %x", &opcode, &key, &asc, &ascq) == 4 && h->cmdp[0] == opcode) {
		check(h, key, asc, ascq, 0);
	} else {
		if (h->dxfer_direction == SG_DXFER_TO_DEV)
			move(h, out, h->dxfer_len, 0);
		n = run(h, h->dxfer_len);
		if (n > h->dxfer_len)
			n = h->dxfer_len;
		if (h->dxfer_direction == SG_DXFER_FROM_DEV)
			move(h, in, n, 1);
		h->resid = h->dxfer_direction == SG_DXFER_FROM_DEV ? (int)(h->dxfer_len - n) : 0;
		if (disrupted && !h->status && h->cmdp[0] == strtoul(disrupted, NULL, 16))
			h->host_status = 14;
	}
	return 0;
}

int ioctl(int on, unsigned long request, ...)
{
	int (*real)(int, unsigned long, void *) = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request != SG_IO)
		return real(on, request, arg);
	pthread_mutex_lock(&lock);
	r = answer(arg);
	pthread_mutex_unlock(&lock);
	return r;
}
