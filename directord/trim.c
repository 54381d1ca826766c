/* SPDX-License-Identifier: Apache-2.0 */
/* Of forty libraries the start touches most pages, and what follows few. */
#include "directord/trim.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
	uintptr_t from, to;
	bool plain;                     /* of a file, and nobody may write there */
};

/* The first line of a mapping: "FROM-TO r-xp OFFSET DEV INODE PATH". */
static bool mapping_begins(const char *line, struct mapping *m)
{
	char perms[5];
	unsigned long inode;
	uintptr_t from, to;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu", &from, &to, perms, &inode) != 4)
		return false;
	*m = (struct mapping){ .from = from, .to = to, .plain = inode && perms[0] == 'r' && perms[1] == '-' && perms[3] == 'p' };
	return true;
}

/*
 * Only a mapping of which no page is other than in its file: relocations, and breakpoints that somebody has set, are in pages of
 * their own, which would be lost.
 */
void trim_code(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	struct mapping m = { 0 };
	unsigned long own;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (!mapping_begins(line, &m) && m.plain && sscanf(line, "Anonymous: %lu kB", &own) == 1 && own == 0)
			madvise((void *)m.from, m.to - m.from, MADV_DONTNEED);
	if (f)
		fclose(f);
}
