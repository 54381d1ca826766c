/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device-local: finds the block devices of this machine, and image files of a folder. Runs in a process of
 * its own with a deadline, so it may wait for a slow disk.
 */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "director/plugin.h"
#include "plugins/device-local/local.h"

static const struct director_param params[] = {
	{ .name = "files", .type = DIRECTOR_P_PATH, .help = "also list the regular files of this folder" },
	{ .name = "partitions", .type = DIRECTOR_P_BOOL, .value = "yes", .help = "list partitions too" },
	{ .name = "root", .type = DIRECTOR_P_PATH, .value = "/", .help = "where sys, proc and dev are (for tests)" },
	{ .name = NULL },
};

struct scan {
	const char *root;
	bool partitions;
	void (*found)(void *arg, const struct director_device *dev);
	void *arg;
};

/* Everything of one device, with room for its texts. */
struct texts {
	char dir[400], dev[32], model[128], serial[128], wwn[128], used[256], name[160], path[300], type[32];
};

static uint64_t number(const char *dir, const char *name)
{
	char text[64];

	return local_line(text, sizeof(text), "%s/%s", dir, name) ? strtoull(text, NULL, 10) : 0;
}

/* What may stand in a name of the tree. */
static void name_clean(char *s)
{
	char *start = s, *to = s;

	for (; *s; s++)
		if (isalnum((unsigned char)*s) || strchr("._:@%+=,-", *s))
			*to++ = *s;
		else if (to > start && to[-1] != '-')
			*to++ = '-';
	*to = 0;
}

/* Stable if the disk says who it is: the kernel's names change with the order in which disks are found. */
static void choose_name(struct texts *t, const char *kernel, unsigned partition)
{
	char own[128];

	if (local_line(own, sizeof(own), "%s/dm/name", t->dir)) {
		snprintf(t->name, sizeof(t->name), "dm-%.100s", own);
	} else if (t->wwn[0]) {
		snprintf(t->name, sizeof(t->name), "wwn-%.100s", t->wwn);
		if (partition)
			snprintf(t->name + strlen(t->name), sizeof(t->name) - strlen(t->name), "-part%u", partition);
	} else {
		snprintf(t->name, sizeof(t->name), "%.100s", kernel);
	}
	name_clean(t->name);
}

static const char *kind_of(struct texts *t, const char *kernel, unsigned partition)
{
	if (partition)
		return "partition";
	if (strncmp(kernel, "loop", 4) == 0)
		return "loop";
	if (strncmp(kernel, "md", 2) == 0)
		return "raid";
	if (local_line(t->type, sizeof(t->type), "%s/dm/uuid", t->dir))
		return strncmp(t->type, "LVM-", 4) == 0 ? "lvm" : strncmp(t->type, "mpath-", 6) == 0 ? "multipath" : "mapper";
	return "disk";
}

static void scan_one(struct scan *s, const char *kernel)
{
	struct texts t;
	struct director_device d = { .struct_size = sizeof(d), .name = t.name, .path = t.path };
	char disk[420];
	unsigned partition;

	snprintf(t.dir, sizeof(t.dir), "%s/sys/class/block/%.100s", s->root, kernel);
	d.size = number(t.dir, "size") * 512;           /* always in units of 512 */
	partition = (unsigned)number(t.dir, "partition");
	/* An empty drive, an unused loop or nbd; memory disks are nobody's storage. */
	if (d.size == 0 || strncmp(kernel, "ram", 3) == 0 || strncmp(kernel, "zram", 4) == 0 ||
	    (partition && !s->partitions))
		return;
	snprintf(disk, sizeof(disk), "%s%s", t.dir, partition ? "/.." : "");
	local_line(t.dev, sizeof(t.dev), "%s/dev", t.dir);
	if (local_line(t.model, sizeof(t.model), "%s/device/model", disk))
		d.model = t.model;
	if (local_line(t.serial, sizeof(t.serial), "%s/device/serial", disk) ||
	    local_line(t.serial, sizeof(t.serial), "%s/serial", disk))
		d.serial = t.serial;
	if (local_line(t.wwn, sizeof(t.wwn), "%s/wwid", disk) || local_line(t.wwn, sizeof(t.wwn), "%s/device/wwid", disk))
		d.wwn = t.wwn;
	d.block_size = (uint32_t)number(disk, "queue/logical_block_size");
	d.flags = (number(disk, "queue/rotational") ? DIRECTOR_DEV_ROTATIONAL : 0) |
		(number(t.dir, "ro") ? DIRECTOR_DEV_READ_ONLY : 0) |
		(number(disk, "removable") ? DIRECTOR_DEV_REMOVABLE : 0);
	d.kind = kind_of(&t, kernel, partition);
	choose_name(&t, kernel, partition);
	snprintf(t.path, sizeof(t.path), "/dev/%.200s", kernel);
	if (used_by(s->root, t.dir, kernel, t.dev, t.used, sizeof(t.used)))
		d.used_by = t.used;
	s->found(s->arg, &d);
}

static int not_hidden(const struct dirent *de)
{
	return de->d_name[0] != '.';
}

static int scan_blocks(struct scan *s, struct director_err *err)
{
	struct dirent **list;
	char dir[400];
	int i, n;

	snprintf(dir, sizeof(dir), "%s/sys/class/block", s->root);
	n = scandir(dir, &list, not_hidden, versionsort);
	if (n < 0) {
		int r = -errno;

		snprintf(err->text, sizeof(err->text), "%.150s: %s", dir, strerror(-r));
		return r == -ENOENT ? 0 : r;    /* a kernel without block devices has no such folder */
	}
	for (i = 0; i < n; i++) {
		scan_one(s, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return 0;
}

static int scan_files(struct scan *s, const char *dir, struct director_err *err)
{
	struct dirent **list;
	int i, n = scandir(dir, &list, not_hidden, versionsort);

	if (n < 0) {
		int r = -errno;

		snprintf(err->text, sizeof(err->text), "%.150s: %s", dir, strerror(-r));
		return r;
	}
	for (i = 0; i < n; i++) {
		struct texts t;
		struct director_device d = { .struct_size = sizeof(d), .name = t.name, .path = t.path, .kind = "file",
			.block_size = 512 };
		struct stat st;

		snprintf(t.path, sizeof(t.path), "%.150s/%.140s", dir, list[i]->d_name);
		snprintf(t.name, sizeof(t.name), "file-%.140s", list[i]->d_name);
		free(list[i]);
		name_clean(t.name);
		if (lstat(t.path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 512)
			continue;
		d.size = (uint64_t)st.st_size / 512 * 512;
		d.flags = st.st_mode & 0222 ? 0 : DIRECTOR_DEV_READ_ONLY;
		d.used_by = signature(t.path);
		s->found(s->arg, &d);
	}
	free(list);
	return 0;
}

static int scan(void *priv, const struct director_conf *conf,
	void (*found)(void *arg, const struct director_device *dev), void *arg, struct director_err *err)
{
	const char *root = conf->get(conf, "root"), *files = conf->get(conf, "files");
	struct scan s = { .root = strcmp(root, "/") == 0 ? "" : root, .found = found, .arg = arg,
		.partitions = conf->get_uint(conf, "partitions", 1) };
	struct director_err none;
	int r;

	if (!err)
		err = &none;
	r = scan_blocks(&s, err);
	if (r == 0 && files)
		r = scan_files(&s, files, err);
	return r;
}

static const struct director_device_ops ops = { .struct_size = sizeof(ops), .scan = scan };

DIRECTOR_PLUGIN(.kind = DIRECTOR_DEVICE, .name = "device-local", .version = "1", .license = "Apache-2.0",
	.summary = "the block devices of this machine, and files of a folder", .params = params, .device = &ops);
