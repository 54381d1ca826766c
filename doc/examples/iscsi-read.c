/* SPDX-License-Identifier: Apache-2.0 */
/* Write the first block of a LUN to standard output, with libdirector-iscsi in an event loop of one's own. */
#include <director/iscsi.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int finished;

static void done(struct director_iscsi_io *io)
{
	finished = 1;
}

int main(int argc, char **argv)
{
	const char *portals[2] = { argc > 1 ? argv[1] : NULL, NULL };
	struct director_iscsi_disk disk = { .struct_size = sizeof(disk) };
	struct director_iscsi_loop *loop = director_iscsi_loop_new();
	static struct director_iscsi_io io;
	struct director_iscsi_conf conf;
	struct director_iscsi *session;
	static char block[65536];
	struct iovec iov = { block, sizeof(block) };
	char why[256];

	if (argc != 4 || !loop) {
		fprintf(stderr, "usage: iscsi-read PORTAL TARGET LUN\n");
		return 2;
	}
	director_iscsi_conf_init(&conf);
	conf.portals = portals;
	conf.target = argv[2];
	if (director_iscsi_open(loop, &conf, &session) < 0)
		return 2;
	/* These two wait; everything else need not. */
	if (director_iscsi_wait(session, 10000, why, sizeof(why)) < 0 ||
		director_iscsi_get_disk(session, strtoull(argv[3], NULL, 10), &disk, why, sizeof(why)) < 0) {
		fprintf(stderr, "iscsi-read: %s\n", why);
		return 1;
	}
	director_iscsi_prep_read(&io, strtoull(argv[3], NULL, 10), 0, 1, disk.block_size, &iov, 1);
	io.done = done;
	director_iscsi_submit(session, &io);
	while (!finished) {
		struct pollfd p = { .fd = director_iscsi_loop_fd(loop), .events = POLLIN };

		poll(&p, 1, director_iscsi_loop_timeout(loop));
		director_iscsi_loop_run(loop, 0);
	}
	if (director_iscsi_judge(&io).error == 0)
		fwrite(block, 1, io.got, stdout);
	else
		fprintf(stderr, "iscsi-read: %s\n", director_iscsi_io_text(&io, why, sizeof(why)));
	director_iscsi_close(&session, 1000);
	director_iscsi_loop_free(&loop);
	return 0;
}
