/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keep a live mirror of the volumes in an event loop (here poll), print every change, and outlive the daemon. With a
 * number as argument: end after so many changes.
 */
#include <director/client.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static int left = -1;

static void on_change(struct director_mirror *m, enum director_change what, const struct director_object *o, void *arg)
{
	static const char *const words[] = {
		[DIRECTOR_ADDED] = "added", [DIRECTOR_CHANGED] = "changed", [DIRECTOR_REMOVED] = "removed",
		[DIRECTOR_SYNCED] = "up to date", [DIRECTOR_LOST] = "lost the daemon",
	};

	printf("%s%s%s\n", words[what], o ? " " : "", o ? director_object_path(o) : "");
	fflush(stdout);
	if (left > 0)
		left--;
}

int main(int argc, char **argv)
{
	struct director_mirror *m;
	struct director *d;

	if (argc > 1)
		left = atoi(argv[1]);
	director_new(&d, NULL);
	if (director_mirror_new(d, "/volumes", on_change, NULL, &m) < 0) {
		fprintf(stderr, "watch: %s\n", director_error_text(director_error(d)));
		director_free(&d);
		return 1;
	}
	while (left != 0) {
		struct pollfd p = { director_fd(d), director_poll_events(d), 0 };

		if (p.fd < 0) {                         /* lost: try again; the mirror goes on where it was */
			if (director_connect(d) < 0)
				poll(NULL, 0, 1000);
			continue;
		}
		poll(&p, 1, -1);                        /* beside your own descriptors */
		director_process(d, p.revents);
	}
	director_mirror_free(&m);
	director_free(&d);
	return 0;
}
