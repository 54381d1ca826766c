/* SPDX-License-Identifier: Apache-2.0 */
/* task ID: follow a task with its progress until it is over. */
#include <director/client.h>
#include <stdio.h>

static void on_progress(struct director *d, uint64_t done, uint64_t total, const char *text, void *arg)
{
	printf("%llu of %llu: %s\n", (unsigned long long)done, (unsigned long long)total, text);
}

int main(int argc, char **argv)
{
	struct director *d;
	char path[64];
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: task ID\n");
		return 2;
	}
	snprintf(path, sizeof(path), "/tasks/%s", argv[1]);
	director_new(&d, NULL);
	err = director_task_wait(d, path, 0, on_progress, NULL);
	printf("%s: %s\n", path, err ? director_error_text(director_error(d)) : "done");
	director_free(&d);
	return director_eexit(err);
}
