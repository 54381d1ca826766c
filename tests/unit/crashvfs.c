/* SPDX-License-Identifier: Apache-2.0 */
/* Files with two contents, the one that programs see and the one that is on the disk, and the writes between the two. */
#include "tests/unit/crashvfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"

#define FILES_MAX 16
#define SECTOR 512

struct change {
	struct change *next;
	bool truncate;
	sqlite3_int64 at;
	int len;
	uint8_t bytes[];
};

struct content {
	uint8_t *data;
	sqlite3_int64 len;
};

struct file {
	char name[128];
	bool exists;
	struct content seen, disk;
	struct change *changes, **last;
};

struct handle {
	sqlite3_file base;
	struct file *file;
	bool delete_on_close;
};

static struct {
	pthread_mutex_t lock;
	struct file files[FILES_MAX];
	enum crash_fault fault;
	unsigned n, ops;
	bool hit;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void content_write(struct content *c, sqlite3_int64 at, const void *p, int len)
{
	if (at + len > c->len) {
		c->data = mem_realloc(c->data, (size_t)(at + len));
		memset(c->data + c->len, 0, (size_t)(at + len - c->len));
		c->len = at + len;
	}
	memcpy(c->data + at, p, (size_t)len);
}

static void content_truncate(struct content *c, sqlite3_int64 len)
{
	if (len < c->len)
		c->len = len;
}

static void changes_free(struct file *f)
{
	while (f->changes) {
		struct change *next = f->changes->next;

		free(f->changes);
		f->changes = next;
	}
	f->last = &f->changes;
}

static void note(struct file *f, bool truncate, sqlite3_int64 at, const void *p, int len)
{
	struct change *c = mem_alloc(sizeof(*c) + (size_t)len);

	*c = (struct change){ .truncate = truncate, .at = at, .len = len };
	if (len)
		memcpy(c->bytes, p, (size_t)len);
	*f->last = c;
	f->last = &c->next;
}

/* Count an operation; the SQLite error to fail with, or SQLITE_OK. */
static int strike(int eio, bool grows)
{
	bool due = ++disk.ops >= disk.n;

	switch (disk.fault) {
	case FAULT_NONE:
		return SQLITE_OK;
	case FAULT_EIO_ONCE:
		due = disk.ops == disk.n;
		break;
	case FAULT_FULL:
		due = due && grows;
		eio = SQLITE_FULL;
		break;
	case FAULT_POWER:
	case FAULT_EIO:
		break;
	}
	if (due)
		disk.hit = true;
	return due ? eio : SQLITE_OK;
}

static struct file *file_find(const char *name)
{
	for (int i = 0; i < FILES_MAX; i++)
		if (disk.files[i].name[0] && strcmp(disk.files[i].name, name) == 0)
			return &disk.files[i];
	return NULL;
}

static struct file *file_make(const char *name)
{
	struct file *f = file_find(name);

	for (int i = 0; i < FILES_MAX && !f; i++)
		if (!disk.files[i].name[0])
			f = &disk.files[i];
	if (!f)
		abort();
	strncpy(f->name, name, sizeof(f->name) - 1);
	f->exists = true;
	if (!f->last)
		f->last = &f->changes;
	return f;
}

static int h_close(sqlite3_file *h)
{
	return SQLITE_OK;
}

static int h_read(sqlite3_file *h, void *p, int len, sqlite3_int64 at)
{
	const struct content *c = &((struct handle *)h)->file->seen;
	sqlite3_int64 have = c->len - at;

	if (have >= len) {
		memcpy(p, c->data + at, (size_t)len);
		return SQLITE_OK;
	}
	memset(p, 0, (size_t)len);
	if (have > 0)
		memcpy(p, c->data + at, (size_t)have);
	return SQLITE_IOERR_SHORT_READ;
}

static int h_write(sqlite3_file *h, const void *p, int len, sqlite3_int64 at)
{
	struct file *f = ((struct handle *)h)->file;
	int rc;

	pthread_mutex_lock(&disk.lock);
	rc = strike(SQLITE_IOERR_WRITE, at + len > f->seen.len);
	if (rc == SQLITE_OK) {
		content_write(&f->seen, at, p, len);
		note(f, false, at, p, len);
	}
	pthread_mutex_unlock(&disk.lock);
	return rc;
}

static int h_truncate(sqlite3_file *h, sqlite3_int64 len)
{
	struct file *f = ((struct handle *)h)->file;
	int rc;

	pthread_mutex_lock(&disk.lock);
	rc = strike(SQLITE_IOERR_TRUNCATE, false);
	if (rc == SQLITE_OK) {
		content_truncate(&f->seen, len);
		note(f, true, len, NULL, 0);
	}
	pthread_mutex_unlock(&disk.lock);
	return rc;
}

static int h_sync(sqlite3_file *h, int flags)
{
	struct file *f = ((struct handle *)h)->file;
	int rc;

	pthread_mutex_lock(&disk.lock);
	rc = strike(SQLITE_IOERR_FSYNC, false);
	if (rc == SQLITE_OK) {
		f->disk.data = mem_realloc(f->disk.data, (size_t)f->seen.len + 1);
		if (f->seen.len)
			memcpy(f->disk.data, f->seen.data, (size_t)f->seen.len);
		f->disk.len = f->seen.len;
		changes_free(f);
	}
	pthread_mutex_unlock(&disk.lock);
	return rc;
}

static int h_size(sqlite3_file *h, sqlite3_int64 *len)
{
	*len = ((struct handle *)h)->file->seen.len;
	return SQLITE_OK;
}

static int h_lock(sqlite3_file *h, int how)
{
	return SQLITE_OK;
}

static int h_reserved(sqlite3_file *h, int *out)
{
	*out = 0;
	return SQLITE_OK;
}

static int h_control(sqlite3_file *h, int op, void *arg)
{
	return SQLITE_NOTFOUND;
}

static int h_sector(sqlite3_file *h)
{
	return SECTOR;
}

static int h_traits(sqlite3_file *h)
{
	return 0;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, .xClose = h_close, .xRead = h_read, .xWrite = h_write, .xTruncate = h_truncate, .xSync = h_sync,
	.xFileSize = h_size, .xLock = h_lock, .xUnlock = h_lock, .xCheckReservedLock = h_reserved,
	.xFileControl = h_control, .xSectorSize = h_sector, .xDeviceCharacteristics = h_traits,
};

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *h, int flags, int *out_flags)
{
	struct handle *x = (struct handle *)h;

	x->base.pMethods = NULL;
	if (!name)
		return SQLITE_CANTOPEN;
	pthread_mutex_lock(&disk.lock);
	x->file = file_find(name);
	if ((!x->file || !x->file->exists) && (flags & SQLITE_OPEN_CREATE))
		x->file = file_make(name);
	pthread_mutex_unlock(&disk.lock);
	if (!x->file || !x->file->exists)
		return SQLITE_CANTOPEN;
	x->base.pMethods = &methods;
	if (out_flags)
		*out_flags = flags;
	return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *v, const char *name, int sync)
{
	struct file *f;
	int rc;

	pthread_mutex_lock(&disk.lock);
	rc = strike(SQLITE_IOERR_DELETE, false);
	f = file_find(name);
	if (rc == SQLITE_OK && f && f->exists) {
		f->exists = false;
		f->seen.len = f->disk.len = 0;
		changes_free(f);
	} else if (rc == SQLITE_OK) {
		rc = SQLITE_IOERR_DELETE_NOENT;
	}
	pthread_mutex_unlock(&disk.lock);
	return rc;
}

static int v_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	struct file *f = file_find(name);

	*out = f && f->exists && f->seen.len > 0;
	return SQLITE_OK;
}

static int v_fullpath(sqlite3_vfs *v, const char *name, int size, char *out)
{
	sqlite3_snprintf(size, out, "%s", name);
	return SQLITE_OK;
}

static int v_random(sqlite3_vfs *v, int n, char *out)
{
	memset(out, 42, (size_t)n);
	return n;
}

static int v_sleep(sqlite3_vfs *v, int us)
{
	return us;
}

static int v_time(sqlite3_vfs *v, double *t)
{
	*t = 2460000.5;
	return SQLITE_OK;
}

static int v_last(sqlite3_vfs *v, int n, char *out)
{
	return 0;
}

void crashvfs_register(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 1, .szOsFile = sizeof(struct handle), .mxPathname = 120, .zName = CRASHVFS_NAME,
		.xOpen = v_open, .xDelete = v_delete, .xAccess = v_access, .xFullPathname = v_fullpath,
		.xRandomness = v_random, .xSleep = v_sleep, .xCurrentTime = v_time, .xGetLastError = v_last,
	};

	sqlite3_vfs_register(&vfs, 0);
}

void crashvfs_format(void)
{
	for (int i = 0; i < FILES_MAX; i++) {
		struct file *f = &disk.files[i];

		if (f->last)
			changes_free(f);
		free(f->seen.data);
		free(f->disk.data);
		memset(f, 0, sizeof(*f));
	}
	crashvfs_heal();
	disk.ops = 0;
	disk.hit = false;
}

void crashvfs_fault(enum crash_fault fault, unsigned n)
{
	pthread_mutex_lock(&disk.lock);
	disk.fault = fault;
	disk.n = n;
	disk.ops = 0;
	disk.hit = false;
	pthread_mutex_unlock(&disk.lock);
}

void crashvfs_heal(void)
{
	pthread_mutex_lock(&disk.lock);
	disk.fault = FAULT_NONE;
	pthread_mutex_unlock(&disk.lock);
}

bool crashvfs_hit(void)
{
	bool hit;

	pthread_mutex_lock(&disk.lock);
	hit = disk.hit;
	pthread_mutex_unlock(&disk.lock);
	return hit;
}

/* A write reaches the disk, not at all, or in its first sectors only. */
static void keep_some(struct file *f, const struct change *c, struct rng *rng)
{
	int len = c->len;

	switch (rng_below(rng, 3)) {
	case 0:
		return;
	case 1:
		if (len > SECTOR)
			len = SECTOR * (int)rng_below(rng, (uint64_t)(len / SECTOR));
		break;
	default:
		break;
	}
	if (c->truncate)
		content_truncate(&f->disk, c->at);
	else if (len)
		content_write(&f->disk, c->at, c->bytes, len);
}

void crashvfs_reboot(uint64_t seed)
{
	struct rng rng = { seed };

	crashvfs_heal();
	for (int i = 0; i < FILES_MAX; i++) {
		struct file *f = &disk.files[i];

		if (!f->exists)
			continue;
		for (const struct change *c = f->changes; c; c = c->next)
			keep_some(f, c, &rng);
		changes_free(f);
		f->seen.data = mem_realloc(f->seen.data, (size_t)f->disk.len + 1);
		if (f->disk.len)
			memcpy(f->seen.data, f->disk.data, (size_t)f->disk.len);
		f->seen.len = f->disk.len;
	}
}
