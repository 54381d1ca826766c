/* SPDX-License-Identifier: Apache-2.0 */
/* Print every volume with its size, its node, and whether it is as it was asked to be. */
#include <director/client.h>
#include <stdio.h>

int main(void)
{
	static const char *const status[] = {
		[DIRECTOR_CONVERGED] = "ok", [DIRECTOR_PENDING] = "pending", [DIRECTOR_FAILED] = "failed", [DIRECTOR_REPORTED] = "-",
	};
	struct director_list *volumes;
	struct director *d;

	director_new(&d, NULL);
	if (director_list(d, "/volumes", 1, NULL, 0, &volumes) < 0) {
		fprintf(stderr, "list: %s\n", director_error_text(director_error(d)));
		director_free(&d);
		return 1;
	}
	for (size_t i = 1; i < director_list_n(volumes); i++) {         /* 0 is the folder */
		const struct director_object *v = director_list_at(volumes, i);

		printf("%s %s bytes on %s: %s\n", director_object_name(v), director_object_desired(v, "size"),
		       director_object_desired(v, "node"), status[director_object_status(v)]);
	}
	director_list_free(&volumes);
	director_free(&d);
	return 0;
}
