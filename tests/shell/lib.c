/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdirector against the daemon that plays a cluster: what the header promises. The daemon's program is the first
 * argument; by default the one beside this test.
 */
#define _GNU_SOURCE
#include "director/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/control.h"
#include "tests/unit/check.h"

static char fake_program[4096], dir[40], sock[64];
static const char *stall = "20000";     /* ms that the daemon bears a client that does not read */
static pid_t fake;

#define PATIENCE_MS 60000       /* for what must come: a machine that is busy fails nothing */

static bool answers(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", sock);
	yes = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
	close(fd);
	return yes;
}

static void start(const char *a, const char *b)
{
	unlink(sock);
	fake = fork();
	if (fake == 0) {
		execl(fake_program, fake_program, sock, "--delay", "20", "--stall", stall, a, b, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < PATIENCE_MS / 20 && !answers(); i++)
		poll(NULL, 0, 20);
}

static void stop(void)
{
	kill(fake, SIGTERM);
	waitpid(fake, NULL, 0);
}

/* Also while the daemon starts anew. */
static void reconnect(struct director *d)
{
	int err = DIRECTOR_E_UNREACHABLE;

	for (int i = 0; i < PATIENCE_MS / 20 && err == DIRECTOR_E_UNREACHABLE; i++) {
		err = director_connect(d);
		if (err)
			poll(NULL, 0, 20);
	}
	CHECK_EQ(err, 0);
}

static struct director *open_director(void)
{
	struct director *d;

	director_new(&d, sock);
	reconnect(d);
	return d;
}

static void create_volume(struct director *d, const char *path, struct director_result **r)
{
	struct director_txn *t;

	director_txn_new(&t);
	CHECK_EQ(director_txn_create(t, path), 0);
	CHECK_EQ(director_txn_attr(t, "size", "1G"), 0);
	CHECK_EQ(director_txn_attr(t, "node", "n2"), 0);
	CHECK_EQ(director_commit(d, t, 0, r), 0);
	director_txn_free(&t);
}

/* ---- reading ---- */

static void lists_get_and_errors(void)
{
	struct director *d;
	struct director_list *l;
	struct director_object *o;

	start("--volumes", "3000");
	d = open_director();
	CHECK_STR(director_daemon_version(d), "0.0.0-fake");
	CHECK(director_may_write(d));
	CHECK_EQ(director_list(d, "/volumes", 1, NULL, 0, &l), 0);
	CHECK_EQ(director_list_n(l), 3001);     /* more than one page of the server's buffer */
	CHECK_STR(director_object_path(director_list_at(l, 3000)), "/volumes/vol2999");
	director_list_free(&l);
	CHECK_EQ(director_list(d, "/volumes", 1, "vol299", DIRECTOR_NAMES, &l), 0);
	CHECK_EQ(director_list_n(l), 11);
	director_list_free(&l);
	CHECK_EQ(director_get(d, "/volumes/vol0001", &o), 0);
	CHECK_STR(director_object_desired(o, "size"), "1073741824");
	CHECK_STR(director_object_observer(o, 0, NULL), "n2");
	CHECK_STR(director_object_value(o, "state"), "ready");
	CHECK_EQ(director_object_status(o), DIRECTOR_CONVERGED);
	director_object_free(&o);
	CHECK_EQ(director_get(d, "/volumes/none", &o), DIRECTOR_E_NOT_FOUND);
	CHECK_STR(director_error_object(director_error(d)), "/volumes/none");
	CHECK_EQ(director_error_code(director_error(d)), DIRECTOR_E_NOT_FOUND);
	CHECK_EQ(director_get(d, "no path", &o), DIRECTOR_E_INVALID);
	director_free(&d);
	CHECK(!d);
	stop();
}

static void no_daemon_is_unreachable(void)
{
	struct director *d;

	director_new(&d, "/nonexistent/control.sock");
	CHECK_EQ(director_connect(d), DIRECTOR_E_UNREACHABLE);
	CHECK(*director_error_hint(director_error(d)));
	director_free(&d);
}

/* ---- changing ---- */

static void the_same_key_applies_once(void)
{
	struct director *d;
	struct director_result *a, *b;
	struct director_txn *t;

	start("--volumes", "0");
	d = open_director();
	director_txn_new(&t);
	director_txn_create(t, "/volumes/v1");
	director_txn_attr(t, "size", "1G");
	CHECK_EQ(director_txn_key(t, "ticket-1"), 0);
	CHECK_EQ(director_commit(d, t, 0, &a), 0);
	CHECK_EQ(director_commit(d, t, 0, &b), 0);
	CHECK(director_result_index(a) > 0);
	CHECK_EQ(director_result_index(a), director_result_index(b));
	director_result_free(&a);
	director_result_free(&b);
	director_txn_free(&t);
	director_free(&d);
	stop();
}

static void an_answer_that_is_lost_is_asked_for_again(void)
{
	struct director *d;
	struct director_result *r;
	struct director_history *h;

	start("--lose-answer", NULL);
	d = open_director();
	create_volume(d, "/volumes/v1", &r);    /* the daemon commits, and breaks the connection instead of answering */
	CHECK_EQ(director_history(d, "/volumes/v1", 0, 0, &h), 0);
	CHECK_EQ(director_history_n(h), 1);
	CHECK_EQ(director_history_index(h, 0), director_result_index(r));
	director_history_free(&h);
	director_result_free(&r);
	director_free(&d);
	stop();
}

static void count_object(struct director *d, const struct director_object *o, void *arg)
{
	(*(unsigned *)arg)++;
}

static unsigned n_ended;

static void list_ended(struct director *d, int code, const struct director_result *r, void *arg)
{
	CHECK_EQ(code, 0);
	n_ended++;
}

/* The first is longer than what is sent at once, so that the others wait for its end. */
static void several_lists_at_once_come_whole(void)
{
	unsigned n[4] = { 0 };
	struct director *d;

	start("--volumes", "3000");
	d = open_director();
	n_ended = 0;
	director_list_start(d, "/volumes", 1, NULL, 0, count_object, list_ended, &n[0]);
	for (unsigned i = 1; i < 4; i++)
		director_list_start(d, "/nodes", 1, NULL, 0, count_object, list_ended, &n[i]);
	while (n_ended < 4) {
		struct pollfd p = { director_fd(d), director_poll_events(d), 0 };

		CHECK_EQ(poll(&p, 1, PATIENCE_MS), 1);
		CHECK_EQ(director_process(d, p.revents), 0);
	}
	CHECK_EQ(n_ended, 4);
	CHECK_EQ(n[0], 3001);
	for (unsigned i = 1; i < 4; i++)
		CHECK_EQ(n[i], 4);
	director_free(&d);
	stop();
}

static unsigned n_progress;

static void on_progress(struct director *d, uint64_t done, uint64_t total, const char *text, void *arg)
{
	n_progress++;
}

static void a_task_is_followed_to_its_end(void)
{
	struct director *d;
	struct director_result *r;
	struct director_object *o;

	start("--delay", "100");                /* ten times as long for "slow": it must not have ended before it is looked at */
	d = open_director();
	create_volume(d, "/volumes/slow", &r);
	CHECK(*director_result_task(r));
	CHECK_EQ(director_task_wait(d, director_result_task(r), 10, NULL, NULL), DIRECTOR_E_TIMEOUT);
	CHECK_EQ(director_task_wait(d, director_result_task(r), 0, on_progress, NULL), 0);
	CHECK(n_progress > 0);
	CHECK_EQ(director_get(d, "/volumes/slow", &o), 0);
	CHECK_EQ(director_object_status(o), DIRECTOR_CONVERGED);
	director_object_free(&o);
	director_result_free(&r);
	create_volume(d, "/volumes/bad", &r);
	CHECK_EQ(director_task_wait(d, director_result_task(r), 0, NULL, NULL), DIRECTOR_E_FAILED);
	CHECK(strstr(director_error_text(director_error(d)), "always broken"));
	director_result_free(&r);
	CHECK_EQ(director_task_wait(d, "/tasks/4711", 0, NULL, NULL), 0);       /* not listed: done */
	director_free(&d);
	stop();
}

/* ---- asynchronous ---- */

static int done_code = 1;

static void on_done(struct director *d, int code, const struct director_result *r, void *arg)
{
	done_code = code;
}

static void a_request_can_be_canceled(void)
{
	struct director_request *q;
	struct director *d;

	start("--volumes", "0");
	d = open_director();
	n_progress = 0;
	q = director_call_start(d, "sleep", "/", NULL, on_progress, on_done, NULL);
	while (!n_progress)
		CHECK_EQ(director_wait(d, PATIENCE_MS), 0);
	director_request_cancel(q);
	while (done_code == 1)
		CHECK_EQ(director_wait(d, PATIENCE_MS), 0);
	CHECK_EQ(done_code, DIRECTOR_E_CANCELED);
	director_free(&d);
	stop();
}

static unsigned n_failed;

static void on_end(struct director *d, int code, const struct director_result *r, void *arg)
{
	done_code = code;
	if (code == 0)
		return;
	CHECK_EQ(code, DIRECTOR_E_UNREACHABLE);
	CHECK(++n_failed < 100);
	director_list_start(d, "/volumes", 1, NULL, 0, NULL, on_end, NULL);
}

/* Not for ever, and not before the hands are shaken. */
static void a_request_may_be_started_again_from_its_callback(void)
{
	struct director *d;

	start("--volumes", "3");
	d = open_director();
	director_call_start(d, "sleep", "/", NULL, NULL, on_end, NULL);
	CHECK_EQ(director_wait(d, 1000), 0);
	stop();
	n_failed = 0;
	while (!n_failed)
		director_wait(d, PATIENCE_MS);
	CHECK_EQ(n_failed, 1);
	CHECK_EQ(director_wait(d, 0), DIRECTOR_E_UNREACHABLE);
	CHECK_EQ(n_failed, 2);
	start("--volumes", "3");
	reconnect(d);
	while (done_code != 0)
		CHECK_EQ(director_wait(d, PATIENCE_MS), 0);
	director_free(&d);
	stop();
}

static void on_first_progress(struct director *d, uint64_t done, uint64_t total, const char *text, void *arg)
{
	struct director_object *o;

	stop();
	CHECK_EQ(director_get(d, "/volumes", &o), DIRECTOR_E_UNREACHABLE);
}

/* A callback of a blocking call uses the connection, which breaks: both calls end. */
static void a_callback_may_use_the_connection(void)
{
	struct director *d;

	start("--volumes", "0");
	d = open_director();
	CHECK_EQ(director_call(d, "sleep", "/", NULL, on_first_progress, NULL, NULL), DIRECTOR_E_UNREACHABLE);
	director_free(&d);
}

static struct director *sleeping;

static void on_alarm(int sig)
{
	director_interrupt(sleeping);
}

static void a_blocking_call_can_be_interrupted(void)
{
	struct director *d;

	start("--volumes", "0");
	d = sleeping = open_director();
	signal(SIGALRM, on_alarm);
	ualarm(100000, 0);
	CHECK_EQ(director_call(d, "sleep", "/", NULL, NULL, NULL, NULL), DIRECTOR_E_CANCELED);
	CHECK_EQ(director_call(d, "echo", "/", NULL, NULL, NULL, NULL), 0);     /* the connection is as good as before */
	director_free(&d);
	stop();
}

/* ---- the mirror ---- */

static unsigned n_added, n_changed, n_removed, n_synced, n_lost;

static void on_change(struct director_mirror *m, enum director_change what, const struct director_object *o, void *arg)
{
	n_added += what == DIRECTOR_ADDED;
	n_changed += what == DIRECTOR_CHANGED;
	n_removed += what == DIRECTOR_REMOVED;
	n_synced += what == DIRECTOR_SYNCED;
	n_lost += what == DIRECTOR_LOST;
}

static void reset_counts(void)
{
	n_added = n_changed = n_removed = n_synced = n_lost = 0;
}

/* Serve the follower until `path` is there, or is not. */
static void until(struct director *d, struct director_mirror *m, const char *path, bool there)
{
	while ((director_mirror_get(m, path) != NULL) != there)
		CHECK_EQ(director_wait(d, PATIENCE_MS), 0);
}

static void delete_volume(struct director *d, const char *path)
{
	struct director_txn *t;

	director_txn_new(&t);
	director_txn_delete(t, path);
	CHECK_EQ(director_commit(d, t, 0, NULL), 0);
	director_txn_free(&t);
}

static void a_mirror_follows_what_happens(void)
{
	struct director *d, *other;
	struct director_mirror *m;
	struct director_result *r;
	const struct director_object *o = NULL;
	unsigned n = 0;

	start("--volumes", "100");
	d = open_director();
	other = open_director();
	reset_counts();
	CHECK_EQ(director_mirror_new(d, "/volumes", on_change, NULL, &m), 0);
	CHECK_EQ(director_mirror_sync(m, PATIENCE_MS), 0);
	CHECK_EQ(n_added, 101);
	CHECK_EQ(n_synced, 1);
	create_volume(other, "/volumes/v1", &r);
	until(d, m, "/volumes/v1", true);
	while (director_object_status(director_mirror_get(m, "/volumes/v1")) != DIRECTOR_CONVERGED)
		CHECK_EQ(director_wait(d, PATIENCE_MS), 0);
	director_result_free(&r);
	delete_volume(other, "/volumes/v1");
	until(d, m, "/volumes/v1", false);
	CHECK_EQ(n_added, 102);
	CHECK_EQ(n_removed, 1);
	while ((o = director_mirror_next(m, o ? director_object_path(o) : NULL)) != NULL)
		n++;
	CHECK_EQ(n, director_mirror_n(m));
	director_mirror_free(&m);
	director_free(&other);
	director_free(&d);
	stop();
}

static void a_mirror_survives_the_daemon(void)
{
	struct director *d, *other;
	struct director_mirror *m;
	struct director_result *r;

	start("--volumes", "10");
	d = open_director();
	reset_counts();
	CHECK_EQ(director_mirror_new(d, "/volumes", on_change, NULL, &m), 0);
	CHECK_EQ(director_mirror_sync(m, PATIENCE_MS), 0);
	kill(fake, SIGUSR1);                            /* the server starts anew, with numbers of its own */
	while (director_wait(d, PATIENCE_MS) == 0)
		;
	CHECK_EQ(director_error_code(director_error(d)), DIRECTOR_E_UNREACHABLE);
	CHECK_EQ(n_lost, 1);
	CHECK_EQ(director_mirror_n(m), 11);             /* stale, but there */
	CHECK(!director_mirror_synced(m));
	other = open_director();
	delete_volume(other, "/volumes/vol0003");
	create_volume(other, "/volumes/v1", &r);
	director_result_free(&r);
	reconnect(d);
	CHECK_EQ(director_mirror_sync(m, PATIENCE_MS), 0);
	until(d, m, "/volumes/v1", true);
	until(d, m, "/volumes/vol0003", false);
	CHECK_EQ(n_removed, 1);
	CHECK_EQ(n_added, 12);                          /* what stayed was not announced again */
	director_mirror_free(&m);
	director_free(&other);
	director_free(&d);
	stop();
}

static void a_state_that_is_loaded_anew_changes_nothing_that_is_the_same(void)
{
	struct director *d;
	struct director_mirror *m;
	struct director_result *r;
	struct director_status *st;

	start("--volumes", "20");
	d = open_director();
	CHECK_EQ(director_status(d, &st), 0);
	director_status_free(&st);
	reset_counts();
	CHECK_EQ(director_mirror_new(d, "/volumes", on_change, NULL, &m), 0);
	CHECK_EQ(director_mirror_sync(m, PATIENCE_MS), 0);
	kill(fake, SIGUSR2);
	while (n_synced < 2)
		CHECK_EQ(director_wait(d, PATIENCE_MS), 0);
	CHECK_EQ(n_added, 21);
	CHECK_EQ(n_changed + n_removed, 0);
	create_volume(d, "/volumes/v1", &r);            /* the server looks at the new state, not at the old one */
	director_result_free(&r);
	until(d, m, "/volumes/v1", true);
	CHECK_EQ(director_status(d, &st), 0);
	CHECK_EQ(director_status_number(st, "objects"), 25);    /* the cluster, three nodes, 21 volumes */
	director_status_free(&st);
	director_mirror_free(&m);
	director_free(&d);
	stop();
}

/* A follower that sleeps through more events than the daemon keeps starts over, and nothing is missed. */
static void a_gap_is_noticed_and_filled(void)
{
	struct director *d, *other;
	struct director_mirror *m;
	struct director_result *r;
	char path[64];
	unsigned synced;

	start("--events", "64");
	d = open_director();
	other = open_director();
	reset_counts();
	CHECK_EQ(director_mirror_new(d, "/", on_change, NULL, &m), 0);
	CHECK_EQ(director_mirror_sync(m, PATIENCE_MS), 0);
	synced = n_synced;
	/* While nobody reads, the socket's buffer fills first, then the ring turns over. */
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/volumes/gap%04u", i);
		create_volume(other, path, &r);
		director_result_free(&r);
		if (i % 2)
			delete_volume(other, path);
	}
	until(d, m, "/volumes/gap1998", true);
	CHECK(n_synced > synced);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/volumes/gap%04u", i);
		until(d, m, path, i % 2 == 0);
	}
	director_mirror_free(&m);
	director_free(&other);
	director_free(&d);
	stop();
}

/* ---- the server's defences ---- */

static int raw(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", sock);
	CHECK_EQ(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void put(int fd, const struct control_req *r)
{
	struct buf b = { 0 };

	CHECK_EQ(control_req_put(&b, r), 0);
	CHECK_EQ(write(fd, b.data, b.len), (ssize_t)b.len);
	buf_fini(&b);
}

/* One reply. */
static void get(int fd, struct control_reply *r)
{
	uint8_t head[4], *frame;
	size_t len;

	CHECK_EQ(recv(fd, head, 4, MSG_WAITALL), 4);
	CHECK_EQ(control_frame_len(head, 4, &len), 0);
	frame = malloc(len);
	memcpy(frame, head, 4);
	CHECK_EQ(recv(fd, frame + 4, len - 4, MSG_WAITALL), (ssize_t)len - 4);
	CHECK_EQ(control_reply_get(frame, len, r), 0);
	free(frame);
}

static const struct control_req hello = { .id = 1, .kind = CONTROL_HELLO, .version_min = 1, .version = 1 };

static void a_client_of_another_version_is_refused_by_name(void)
{
	struct control_req r = { .id = 1, .kind = CONTROL_HELLO, .version_min = 9, .version = 12 };
	struct control_req early = { .id = 2, .kind = CONTROL_STATUS };
	struct control_reply reply;
	int fd;

	start("--volumes", "0");
	fd = raw();
	put(fd, &r);
	get(fd, &reply);
	CHECK_EQ(reply.kind, CONTROL_R_DONE);
	CHECK_EQ(reply.done.err, DIRECTOR_E_VERSION);
	CHECK(strstr(reply.done.text, "9 to 12"));
	control_reply_fini(&reply);
	put(fd, &early);
	get(fd, &reply);
	CHECK_EQ(reply.done.err, DIRECTOR_E_VERSION);
	control_reply_fini(&reply);
	close(fd);
	stop();
}

static void bytes_that_are_no_frame_cost_the_connection(void)
{
	static const uint8_t junk[] = { 0xff, 0xff, 0xff, 0x7f, 1, 2, 3 };
	uint8_t b;
	int fd;

	start("--volumes", "0");
	fd = raw();
	CHECK_EQ(write(fd, junk, sizeof(junk)), (ssize_t)sizeof(junk));
	/* Closed with our bytes unread, which a Unix socket may call a reset. */
	CHECK(read(fd, &b, 1) <= 0);
	close(fd);
	stop();
}

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif

/* Resident kilobytes of the daemon. */
static long rss(void)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)fake);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static void a_client_that_does_not_read_is_dropped_and_costs_little(void)
{
	struct control_req list = { .kind = CONTROL_LIST, .path = (char *)"/", .depth = CONTROL_DEPTH_ALL };
	struct pollfd p;
	int fd, flags;
	long before;

	stall = "1000";
	start("--volumes", "2000");
	stall = "20000";
	fd = raw();
	put(fd, &hello);
	before = rss();
	flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	for (unsigned i = 0; i < 200; i++) {
		struct buf b = { 0 };

		list.id = 2 + i;
		CHECK_EQ(control_req_put(&b, &list), 0);
		if (write(fd, b.data, b.len) < 0)
			i = 200;
		buf_fini(&b);
	}
	/* POLLHUP comes when the daemon has had enough; the wait has no other end. */
	p = (struct pollfd){ fd, 0, 0 };
	CHECK_EQ(poll(&p, 1, PATIENCE_MS), 1);
	CHECK(p.revents & POLLHUP);
	if (!WITH_ASAN)                         /* which keeps what is freed */
		CHECK(rss() - before < 16384);
	close(fd);
	stop();
}

static void who_may_not_connect_is_told_so(void)
{
	struct director *d;
	pid_t pid;
	int status;

	if (getuid() != 0) {
		printf("skipped: not root\n");
		return;
	}
	start("--volumes", "0");
	pid = fork();
	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(9);
		director_new(&d, sock);
		_exit(director_connect(d) == DIRECTOR_E_DENIED ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	/* Opened by the administrator for reading: looking is allowed, changing is not. */
	chmod(sock, 0666);
	pid = fork();
	if (pid == 0) {
		struct director_status *st;
		int code;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(9);
		director_new(&d, sock);
		code = director_status(d, &st) == 0 && director_candidate_begin(d) == DIRECTOR_E_DENIED;
		_exit(!code);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	stop();
}

int main(int argc, char **argv)
{
	const char *build = getenv("top_builddir");

	snprintf(fake_program, sizeof(fake_program), "%s/tests/shell/fake-directord", build ? build : ".");
	if (argc > 1)
		snprintf(fake_program, sizeof(fake_program), "%s", argv[1]);
	snprintf(dir, sizeof(dir), "/tmp/director-lib.XXXXXX");
	CHECK(mkdtemp(dir));
	chmod(dir, 0755);
	snprintf(sock, sizeof(sock), "%s/control.sock", dir);
	setvbuf(stdout, NULL, _IOLBF, 0);
	RUN(lists_get_and_errors);
	RUN(no_daemon_is_unreachable);
	RUN(the_same_key_applies_once);
	RUN(an_answer_that_is_lost_is_asked_for_again);
	RUN(several_lists_at_once_come_whole);
	RUN(a_task_is_followed_to_its_end);
	RUN(a_request_can_be_canceled);
	RUN(a_request_may_be_started_again_from_its_callback);
	RUN(a_callback_may_use_the_connection);
	RUN(a_blocking_call_can_be_interrupted);
	RUN(a_mirror_follows_what_happens);
	RUN(a_mirror_survives_the_daemon);
	RUN(a_state_that_is_loaded_anew_changes_nothing_that_is_the_same);
	RUN(a_gap_is_noticed_and_filled);
	RUN(a_client_of_another_version_is_refused_by_name);
	RUN(bytes_that_are_no_frame_cost_the_connection);
	RUN(a_client_that_does_not_read_is_dropped_and_costs_little);
	RUN(who_may_not_connect_is_told_so);
	rmdir(dir);
	return 0;
}
