/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main for fuzz targets that are not built with libFuzzer: runs the files named as arguments or, with
 * none, the stored corpus of the target ($top_srcdir/tests/fuzz/corpus/NAME for fuzz_NAME), each also cut
 * short and with single bits flipped, so that make check exercises every decoder a little.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_inputs;

static void one(const uint8_t *data, size_t size)
{
	/* A copy of exactly this size, so that ASan sees a read behind it. */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	n_inputs++;
}

static void file(const char *path, int variants)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	one(data, n);
	if (!variants)
		return;
	for (size_t cut = 0; cut < n; cut += 1 + n / 64)
		one(data, cut);
	for (size_t bit = 0; bit < n * 8; bit += 1 + n / 16) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		one(data, n);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir"), *name = strstr(argv[0], "fuzz_");
	char dir[1024], path[2048];
	struct dirent *e;
	DIR *d;

	for (int i = 1; i < argc; i++)
		file(argv[i], 0);
	if (argc > 1)
		return 0;
	/* The last "fuzz_" is the program's, whatever the folders are called. */
	while (name && strstr(name + 1, "fuzz_"))
		name = strstr(name + 1, "fuzz_");
	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", top ? top : ".", name ? name + 5 : "");
	d = opendir(dir);
	if (!d) {
		fprintf(stderr, "no corpus: %s\n", dir);
		return 1;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		file(path, 1);
	}
	closedir(d);
	printf("%u inputs\n", n_inputs);
	return n_inputs == 0;
}
