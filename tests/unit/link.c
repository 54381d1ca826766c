/* SPDX-License-Identifier: Apache-2.0 */
/* directord's link to director-target: nothing goes over it for which the other side would close it. */
#include "directord/target.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/unit/check.h"
#include "tests/unit/loop.h"

static char sock[64];
static bool up, down;
static int answer = 1;

/* ---- the other side, in a process of its own: it answers everything, and hangs up on what does not decode ---- */

static void reply_to(int fd, const struct target_msg *m)
{
	struct target_msg r = { .kind = TARGET_REPLY, .id = m->id };
	struct buf b = { 0 };

	if (m->kind == TARGET_HELLO)
		r.hello = (struct target_hello){ .version = TARGET_PROTO_VERSION, .pid = 1 };
	target_msg_encode(&r, &b);
	CHECK(write(fd, b.data, b.len) == (ssize_t)b.len);
	buf_fini(&b);
}

static void other_side(int listening)
{
	int fd = accept(listening, NULL, NULL);
	struct buf in = { 0 };
	ssize_t n;

	while ((n = read(fd, buf_room(&in, 65536), 65536)) > 0) {
		long len;

		buf_add(&in, (size_t)n);
		while ((len = target_frame_len(in.data, in.len)) > 0) {
			struct target_msg m;

			if (target_msg_decode(in.data, (size_t)len, &m) != 0)
				_exit(0);
			reply_to(fd, &m);
			target_msg_fini(&m);
			buf_drop(&in, (size_t)len);
		}
	}
	_exit(0);
}

/* ---- ours ---- */

static void on_up(void *arg, const struct target_hello *hello, const struct target_list *list, bool adopted)
{
	up = true;
}

static void on_down(void *arg, const char *why)
{
	down = true;
}

static void answered(void *arg, const struct target_msg *m)
{
	answer = m->err;
}

static int send_target(struct target_link *l, unsigned portals)
{
	static char portal[] = "10.0.0.1:3260", name[] = "iqn.2026-01.org.example:t";
	struct target_msg m = { .kind = TARGET_TARGET_SET };
	int err;

	m.target.iqn = name;
	m.target.n_portals = portals;
	m.target.portals = mem_zalloc(portals * sizeof(char *));
	for (unsigned i = 0; i < portals; i++)
		m.target.portals[i] = portal;
	answer = 1;
	err = target_link_send(l, &m, answered, NULL);
	free(m.target.portals);
	return err;
}

static void what_is_too_much_is_refused_here_and_the_link_stays(void)
{
	struct target_link_ops ops = { .up = on_up, .down = on_down };
	struct target_link_conf conf = { .socket = sock };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct ev_loop *loop = ev_default_loop(0);
	struct target_link *l;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", sock);
	CHECK(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1) == 0);
	pid = fork();
	if (pid == 0)
		other_side(fd);
	close(fd);
	l = target_link_new(loop, &conf, &ops, NULL, NULL);
	LOOP_UNTIL(loop, up);
	CHECK_EQ(send_target(l, TARGET_PORTALS_MAX), 0);
	LOOP_UNTIL(loop, answer != 1 || down);
	CHECK_EQ(answer, 0);
	CHECK_EQ(send_target(l, TARGET_PORTALS_MAX + 1), ERR_LIMIT);
	CHECK_EQ(send_target(l, 1), 0);
	LOOP_UNTIL(loop, answer != 1 || down);
	CHECK_EQ(answer, 0);
	CHECK(!down);
	target_link_free(&l);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(sock);
}

int main(void)
{
	snprintf(sock, sizeof(sock), "/tmp/director-link-%d", (int)getpid());
	RUN(what_is_too_much_is_refused_here_and_the_link_stays);
	return 0;
}
