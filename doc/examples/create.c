/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create NAME SIZE KEY: create a volume once. Run it again with the same key after a crash or a timeout: nothing is
 * made twice, and the answer is the first one's.
 */
#include <director/client.h>
#include <stdio.h>

static int fail(struct director *d)
{
	const struct director_error *e = director_error(d);

	fprintf(stderr, "create: %s (%s)\n", director_error_text(e), director_ename(director_error_code(e)));
	if (*director_error_hint(e))
		fprintf(stderr, "try: %s\n", director_error_hint(e));
	return director_eexit(director_error_code(e));
}

int main(int argc, char **argv)
{
	struct director_result *r = NULL;
	struct director_txn *t;
	struct director *d;
	char path[300];
	int status = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: create NAME SIZE KEY\n");
		return 2;
	}
	snprintf(path, sizeof(path), "/volumes/%s", argv[1]);
	director_new(&d, NULL);
	director_txn_new(&t);
	if (director_txn_create(t, path) < 0 || director_txn_attr(t, "size", argv[2]) < 0 || director_txn_key(t, argv[3]) < 0) {
		fprintf(stderr, "create: not a name, a size or a key\n");
		status = 2;
	} else if (director_commit(d, t, 0, &r) < 0) {
		status = fail(d);
	} else if (*director_result_task(r) && director_task_wait(d, director_result_task(r), 60000, NULL, NULL) < 0) {
		status = fail(d);               /* it is agreed, but not done yet */
	} else {
		printf("%s is there (commit %llu)\n", path, (unsigned long long)director_result_index(r));
	}
	director_result_free(&r);
	director_txn_free(&t);
	director_free(&d);
	return status;
}
