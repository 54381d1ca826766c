/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses a device: whoever is mounted, swaps, holds it, or has partitions on it. */
#include "config.h"

#include "plugins/device-local/local.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool local_line(char *out, size_t size, const char *fmt, ...)
{
	char path[512];
	va_list ap;
	FILE *f;
	int n;

	out[0] = 0;
	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	if (!fgets(out, (int)size, f))
		out[0] = 0;
	fclose(f);
	for (n = (int)strlen(out); n && (out[n - 1] == '\n' || out[n - 1] == ' '); n--)
		out[n - 1] = 0;
	return out[0] != 0;
}

/* proc(5), mountinfo: the third field is major:minor, after " - " comes the file system's type. */
static bool mounted(const char *root, const char *dev, char *out, size_t size)
{
	char path[512], line[2048];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		char number[32], where[1024], type[64];
		const char *dash = strstr(line, " - ");

		if (dash && sscanf(line, "%*u %*u %31s %*s %1023s", number, where) == 2 && strcmp(number, dev) == 0 &&
		    sscanf(dash, " - %63s", type) == 1) {
			snprintf(out, size, "%s on %.200s", type, where);
			found = true;
		}
	}
	if (f)
		fclose(f);
	return found;
}

static bool swaps(const char *root, const char *name, char *out, size_t size)
{
	char path[512], line[512], file[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/swaps", root);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%255s", file) == 1 && strncmp(file, "/dev/", 5) == 0 && strcmp(file + 5, name) == 0) {
			snprintf(out, size, "swap");
			found = true;
		}
	}
	if (f)
		fclose(f);
	return found;
}

/* The first entry of the folder DIR/holders. */
static bool held(const char *dir, char *out, size_t size)
{
	char path[512];
	struct dirent *de;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "%s/holders", dir);
	d = opendir(path);
	while (d && !found && (de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(out, size, "held by %.64s", de->d_name);
		found = true;
	}
	if (d)
		closedir(d);
	return found;
}

/* A folder of a partition inside of the disk's. */
static bool partitioned(const char *dir, const char *name, char *out, size_t size)
{
	char path[600];
	struct dirent *de;
	bool found = false;
	DIR *d = opendir(dir);

	while (d && !found && (de = readdir(d)) != NULL) {
		if (strncmp(de->d_name, name, strlen(name)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%.80s/partition", dir, de->d_name);
		found = access(path, F_OK) == 0;
	}
	if (d)
		closedir(d);
	if (found)
		snprintf(out, size, "partition table");
	return found;
}

bool used_by(const char *root, const char *dir, const char *name, const char *dev, char *out, size_t size)
{
	const char *sig;
	char path[512];

	if (mounted(root, dev, out, size) || swaps(root, name, out, size) || held(dir, out, size) ||
	    partitioned(dir, name, out, size))
		return true;
	snprintf(path, sizeof(path), "%s/dev/%s", root, name);
	sig = signature(path);
	if (sig)
		snprintf(out, size, "%s", sig);
	return sig != NULL;
}
