/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device-local: the block devices of this machine, from sysfs, and image files of a folder.
 *
 *   device-local.c   the plugin: walks, and puts a device together
 *   used.c           who uses it: mounts, swap, holders
 *   signature.c      what its first and last bytes say
 */
#ifndef PLUGINS_DEVICE_LOCAL_H
#define PLUGINS_DEVICE_LOCAL_H

#include <stdbool.h>
#include <stddef.h>

/* Read a small file of one line, without its newline. False: absent or empty. */
bool local_line(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What occupies the device `major:minor` whose folder is `dir` (below `root`): fills `out`, or false. */
bool used_by(const char *root, const char *dir, const char *name, const char *dev, char *out, size_t size);

/* What a file system, RAID, LVM ... left in the first bytes of `path`, or at its end; NULL: nothing known. Static. */
const char *signature(const char *path);

#endif
