/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of the formats that one would be sorry to overwrite. A short table does; libblkid knows 80 more. */
#include "config.h"

#include "plugins/device-local/local.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOOK 70000

/* What RAID and replication leave at the end: the disk's beginning is that of what lies on it. */
static const char *mark_at_end(int fd)
{
	static const struct {
		unsigned unit, back, at;        /* so far before the last whole unit's end, and there */
		const char *bytes;
		unsigned n;
		const char *what;
	} table[] = {
		{ 65536, 65536, 0, "\xfc\x4e\x2b\xa9", 4, "RAID member" },                /* MD 0.90 */
		{ 65536, 65536, 0, "\xa9\x2b\x4e\xfc", 4, "RAID member" },                /* of a big-endian machine */
		{ 4096, 8192, 0, "\xfc\x4e\x2b\xa9", 4, "RAID member" },                  /* MD 1.0 */
		{ 512, 1024, 0, "Intel Raid ISM Cfg Sig.", 23, "RAID member" },
		{ 512, 512, 0, "\xde\x11\xde\x11", 4, "RAID member" },                    /* DDF */
		{ 512, 1024, 0, "NVIDIA", 6, "RAID member" },
		{ 512, 512, 0, "$XIDE$", 6, "RAID member" },
		{ 512, 512, 0, "GEOM::", 6, "GEOM provider" },
		{ 4096, 4096, 60, "\x83\x74\x02\x6b", 4, "DRBD disk" },                   /* 8 */
		{ 4096, 4096, 60, "\x83\x74\x02\x6c", 4, "DRBD disk" },                   /* 8.4, unclean */
		{ 4096, 4096, 60, "\x83\x74\x02\x6d", 4, "DRBD disk" },                   /* 9 */
	};
	off_t size = lseek(fd, 0, SEEK_END);
	char buf[32];

	for (unsigned i = 0; size > 0 && i < sizeof(table) / sizeof(table[0]); i++) {
		off_t end = size - size % table[i].unit;

		if (end >= (off_t)table[i].back && pread(fd, buf, table[i].n, end - table[i].back + table[i].at) == (ssize_t)table[i].n &&
		    memcmp(buf, table[i].bytes, table[i].n) == 0)
			return table[i].what;
	}
	return NULL;
}

const char *signature(const char *path)
{
	static const struct {
		unsigned at;
		const char *bytes;
		unsigned n;
		const char *what;
	} table[] = {
		{ 512, "EFI PART", 8, "partition table" },
		{ 1080, "\x53\xef", 2, "ext file system" },
		{ 0, "XFSB", 4, "xfs file system" },
		{ 65600, "_BHRfS_M", 8, "btrfs file system" },
		{ 512, "LABELONE", 8, "LVM physical volume" },
		{ 0, "LABELONE", 8, "LVM physical volume" },
		{ 4086, "SWAPSPACE2", 10, "swap space" },
		{ 0, "LUKS\xba\xbe", 6, "LUKS container" },
		{ 4096, "\xfc\x4e\x2b\xa9", 4, "RAID member" },
		{ 0, "\xfc\x4e\x2b\xa9", 4, "RAID member" },
		{ 3, "NTFS    ", 8, "NTFS file system" },
		{ 82, "FAT32   ", 8, "FAT file system" },
		{ 54, "FAT1", 4, "FAT file system" },
		{ 32769, "CD001", 5, "ISO 9660 file system" },
		{ 1024, "\xe2\xe1\xf5\xe0", 4, "erofs file system" },
		{ 0, "hsqs", 4, "squashfs file system" },
		{ 3, "EXFAT   ", 8, "exFAT file system" },
		{ 1024, "\x10\x20\xf5\xf2", 4, "f2fs file system" },
		{ 32768, "JFS1", 4, "JFS file system" },
		{ 65588, "ReIsEr", 6, "reiserfs file system" },
		{ 65536, "\x01\x16\x19\x70", 4, "GFS2 file system" },
		{ 16408, "version", 7, "ZFS member" },          /* the first name of the label's list */
		{ 0, "bluestore block device", 22, "Ceph OSD" },
		{ 4120, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca", 8, "bcache device" },
		{ 4120, "\xc6\x85\x73\xf6\x66\xce\x90\xa9", 8, "bcachefs file system" },
	};
	static char buf[LOOK];
	/* Not to hang on a medium that is not there. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *end;
	ssize_t n;
	unsigned i;

	if (fd < 0)
		return NULL;
	n = pread(fd, buf, sizeof(buf), 0);
	end = mark_at_end(fd);
	close(fd);
	/* First: a mirror's members look like what lies on the mirror. */
	if (end)
		return end;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if ((ssize_t)(table[i].at + table[i].n) <= n && memcmp(buf + table[i].at, table[i].bytes, table[i].n) == 0)
			return table[i].what;
	/* An MBR has nothing but its last two bytes; one of its four entries must have a type. */
	if (n >= 512 && memcmp(buf + 510, "\x55\xaa", 2) == 0 && (buf[450] || buf[466] || buf[482] || buf[498]))
		return "partition table";
	return NULL;
}
