/* SPDX-License-Identifier: Apache-2.0 */
/* Which mappings are given back after the start: those that are as in their files. What somebody has written into one stays. */
#include "directord/trim.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/check.h"

#define PAGES 4

static char path[] = "/tmp/director-trim-XXXXXX";
static size_t size;

static void file_make(void)
{
	int fd = mkstemp(path);
	char *page = malloc(size);

	CHECK(fd >= 0 && page);
	memset(page, 'f', size);
	CHECK_EQ(write(fd, page, size), (ssize_t)size);
	close(fd);
	free(page);
}

/* A private mapping of the file, all of it looked at. `written`: one byte of it is another, by somebody who may not write there any more. */
static char *mapped(bool written)
{
	FILE *f = fopen(path, "r");
	char *p;

	CHECK(f);
	p = mmap(NULL, size, written ? PROT_READ | PROT_WRITE : PROT_READ, MAP_PRIVATE, fileno(f), 0);
	CHECK(p != MAP_FAILED);
	fclose(f);
	for (size_t i = 0; i < size; i++)
		CHECK(*(volatile char *)(p + i) == 'f');
	if (written) {
		p[size / 2] = 'w';
		CHECK_EQ(mprotect(p, size, PROT_READ), 0);
	}
	return p;
}

/* What smaps says of the mapping at `p`, in kB. */
static long kept(const char *p, const char *what)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[4096];
	bool here = false;
	long kb = -1;

	CHECK(f);
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = from == (uintptr_t)p;
		else if (here && strncmp(line, what, strlen(what)) == 0)
			CHECK_EQ(sscanf(line + strlen(what), ": %ld kB", &kb), 1);
	}
	fclose(f);
	CHECK(kb >= 0);
	return kb;
}

static void what_is_as_in_its_file_is_given_back(void)
{
	char *p = mapped(false);

	CHECK(kept(p, "Rss") > 0);
	CHECK_EQ(kept(p, "Anonymous"), 0);
	trim_code();
	CHECK_EQ(kept(p, "Rss"), 0);
	for (size_t i = 0; i < size; i++)
		CHECK(p[i] == 'f');
	munmap(p, size);
}

/* Relocations, and the breakpoints of a debugger. */
static void what_was_written_stays(void)
{
	char *p = mapped(true);

	CHECK(kept(p, "Anonymous") > 0);
	trim_code();
	CHECK(kept(p, "Anonymous") > 0);
	CHECK(p[size / 2] == 'w' && p[0] == 'f');
	munmap(p, size);
}

/* Memory of no file has nowhere to come back from. */
static void what_is_of_no_file_stays(void)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 'm', size);
	CHECK_EQ(mprotect(p, size, PROT_READ), 0);
	trim_code();
	CHECK(p[0] == 'm' && p[size - 1] == 'm');
	munmap(p, size);
}

int main(void)
{
	size = PAGES * (size_t)sysconf(_SC_PAGESIZE);
	file_make();
	RUN(what_is_as_in_its_file_is_given_back);
	RUN(what_was_written_stays);
	RUN(what_is_of_no_file_stays);
	unlink(path);
	return 0;
}
