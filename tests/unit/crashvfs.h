/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An SQLite VFS in memory that can lose power and fail. What was written and not synced is lost at a crash, or stays
 * in part, or is torn in the middle; operation number N fails, once or from then on.
 */
#ifndef TESTS_UNIT_CRASHVFS_H
#define TESTS_UNIT_CRASHVFS_H

#include <stdbool.h>
#include <stdint.h>

#define CRASHVFS_NAME "crash"

enum crash_fault {
	FAULT_NONE,
	FAULT_POWER,            /* from operation N on nothing works, until crashvfs_reboot */
	FAULT_EIO_ONCE,
	FAULT_EIO,              /* from operation N on, until crashvfs_heal */
	FAULT_FULL,             /* writes that make a file longer fail from operation N on, until crashvfs_heal */
};

void crashvfs_register(void);
/* An empty disk. */
void crashvfs_format(void);
/* Operations are writes, syncs, truncations and deletions, counted from 1. May be called while another thread works. */
void crashvfs_fault(enum crash_fault fault, unsigned n);
void crashvfs_heal(void);
bool crashvfs_hit(void);                /* did the fault strike? */
/* Power comes back: what was not synced is kept, lost or torn as `seed` says. All files must be closed. */
void crashvfs_reboot(uint64_t seed);

#endif
