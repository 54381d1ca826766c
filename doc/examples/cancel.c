/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cancel: begin to list everything without blocking, and change one's mind after the first objects. The request ends by
 * its callback, once, whatever it was in the middle of.
 */
#include <director/client.h>
#include <stdio.h>

struct listing {
	struct director_request *request;
	unsigned seen;
	bool over;
};

static void on_object(struct director *d, const struct director_object *o, void *arg)
{
	struct listing *l = arg;

	printf("%s\n", director_object_path(o));
	if (++l->seen == 3)
		director_request_cancel(l->request);
}

static void on_done(struct director *d, int code, const struct director_result *r, void *arg)
{
	struct listing *l = arg;

	/* A short list may be complete before it can be canceled. */
	printf("%s\n", code == DIRECTOR_E_CANCELED || code == 0 ? "over" : director_error_text(director_error(d)));
	l->over = true;
}

int main(void)
{
	struct listing l = { 0 };
	struct director *d;
	int err;

	director_new(&d, NULL);
	err = director_connect(d);
	if (!err)
		l.request = director_list_start(d, "/", DIRECTOR_ALL, NULL, DIRECTOR_NAMES, on_object, on_done, &l);
	while (!err && !l.over)
		err = director_wait(d, 5000);
	if (err)
		fprintf(stderr, "cancel: %s\n", director_error_text(director_error(d)));
	director_free(&d);
	return director_eexit(err);
}
