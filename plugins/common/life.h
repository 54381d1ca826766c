/* SPDX-License-Identifier: Apache-2.0 */
/* The life of storage whose unflushed writes are in this machine's memory: another number after each start of it. */
#ifndef COMMON_LIFE_H
#define COMMON_LIFE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "director/plugin.h"

/* 0: not known. FNV-1a of the kernel's boot id; never 0. */
static inline uint64_t life_of_machine(void)
{
	uint64_t life = 0xcbf29ce484222325u;
	char id[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f)
		return 0;
	if (!fgets(id, sizeof(id), f))
		id[0] = 0;
	fclose(f);
	for (const char *p = id; *p; p++)
		life = (life ^ (uint8_t)*p) * 0x100000001b3u;
	return id[0] ? life | 1 : 0;
}

/* A host that is older than ABI 1.2 has no room for it. */
static inline void life_tell(struct director_caps *c)
{
	if (c->struct_size >= offsetof(struct director_caps, life) + sizeof(c->life))
		c->life = life_of_machine();
}

#endif
