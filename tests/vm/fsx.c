/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on one file, each checked against a model in memory: what a file system sees of its disk. Runs in a guest.
 *   fsx FILE SEED SECONDS      prints the number of operations; exit status 1 and what differed if a byte is not what it must be
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SIZE_MAX_BYTES = 2 << 20, LENGTH_MAX = 128 << 10 };

static const char *path;
static int fd;
static uint64_t state;
static unsigned long ops;
static size_t size;
static unsigned char model[SIZE_MAX_BYTES], buf[LENGTH_MAX];

static uint32_t rnd(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % below);
}

static void die(const char *what)
{
	fprintf(stderr, "fsx: operation %lu: %s: %s\n", ops, what, strerror(errno));
	exit(1);
}

static void compare(const unsigned char *got, size_t offset, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (got[i] != model[offset + i]) {
			fprintf(stderr, "fsx: operation %lu: %s: byte %zu is %02x, not %02x\n", ops, what, offset + i, got[i],
				model[offset + i]);
			exit(1);
		}
}

static void grow(size_t to)
{
	if (to > size) {
		memset(model + size, 0, to - size);
		size = to;
	}
}

static void op_write(size_t offset, size_t n, bool mapped)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)rnd(256);
	grow(offset + n);
	memcpy(model + offset, buf, n);
	if (!mapped) {
		if (pwrite(fd, buf, n, (off_t)offset) != (ssize_t)n)
			die("write");
		return;
	}
	if (ftruncate(fd, (off_t)size) < 0)
		die("truncate");
	unsigned char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (m == MAP_FAILED)
		die("mmap");
	memcpy(m + offset, buf, n);
	munmap(m, size);
}

static void op_read(size_t offset, size_t n)
{
	if (offset >= size)
		return;
	if (n > size - offset)
		n = size - offset;
	if (pread(fd, buf, n, (off_t)offset) != (ssize_t)n)
		die("read");
	compare(buf, offset, n, "read");
}

static void op_truncate(size_t to)
{
	if (ftruncate(fd, (off_t)to) < 0)
		die("truncate");
	grow(to);
	size = to;
}

static void op_punch(size_t offset, size_t n)
{
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)n) < 0)
		die("punch");
	if (offset < size)
		memset(model + offset, 0, n < size - offset ? n : size - offset);
}

/* From the disk, not from the page cache. */
static void op_reread(void)
{
	if (fsync(fd) < 0)
		die("fsync");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (size_t offset = 0; offset < size; offset += LENGTH_MAX)
		op_read(offset, LENGTH_MAX);
}

static void step(void)
{
	size_t offset = rnd(SIZE_MAX_BYTES - LENGTH_MAX), n = 1 + rnd(rnd(4) ? 9000 : LENGTH_MAX - 1);

	ops++;
	switch (rnd(16)) {
	case 0: op_truncate(rnd(SIZE_MAX_BYTES)); break;
	case 1: op_punch(offset, n); break;
	case 2: op_reread(); break;
	case 3:
		if (fdatasync(fd) < 0)
			die("fdatasync");
		break;
	case 4: case 5: case 6: op_write(offset, n, true); break;
	case 7: case 8: case 9: case 10: op_read(offset, n); break;
	default: op_write(offset, n, false);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: fsx FILE SEED SECONDS\n");
		return 2;
	}
	path = argv[1];
	state = strtoull(argv[2], NULL, 10);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die(path);
	for (time_t end = time(NULL) + atol(argv[3]); time(NULL) < end;)
		step();
	op_reread();
	printf("%lu operations\n", ops);
	return 0;
}
