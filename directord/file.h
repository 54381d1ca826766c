/* SPDX-License-Identifier: Apache-2.0 */
/* Small files and directories, written so that a loss of power leaves the old or the new, never half of one. */
#ifndef DIRECTORD_FILE_H
#define DIRECTORD_FILE_H

#include <stddef.h>

#include "base/buf.h"

/* Read a whole file of at most `max` bytes. ERR_NOENT, ERR_LIMIT, ERR_DENIED, ERR_IO. */
int file_read(const char *path, size_t max, struct buf *out);
/* Replace the file: written beside, fsynced, renamed, directory fsynced. */
int file_write(const char *path, const void *p, size_t n, unsigned mode);
/* Make a directory and those above it. One that is there keeps its mode. */
int file_mkdirs(const char *path, unsigned mode);
/*
 * Hold `path` (a pid file) for the life of the process. ERR_BUSY: another one does, *pid is its number (0 when
 * not readable). On success *fd stays open; closing it lets go.
 */
int file_lock(const char *path, int *fd, int *pid);

/*
 * Where our program `name` is: beside this one (an uninstalled build tree keeps them in neighbouring folders),
 * else in the folder `installed`. Given.
 */
char *file_program(const char *name, const char *installed);

#endif
