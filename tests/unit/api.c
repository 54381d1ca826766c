/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates of the API: what is added while a commit is on its way, what a large one costs, and what is there after a restart. */
#include "directord/api.h"

#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/check.h"
#include "tests/unit/loop.h"

static struct ev_loop *loop;
static struct api *api;
static char dir[] = "/tmp/director-api.XXXXXX", *path;

/* What the daemon behind it was asked, and does not answer before it is told to. */
static struct {
	struct api_token token;
	unsigned n_ops;
	bool dry_run;
} asked[8];
static unsigned n_asked, answers;
static bool later;                      /* dry runs are answered later, too */
static const char *refuse;              /* dry runs without an operation on this path are refused */

static bool has(const struct txn *t, const char *at)
{
	for (unsigned i = 0; i < t->n_ops; i++)
		if (strcmp(t->ops[i].path, at) == 0)
			return true;
	return false;
}

static void commit(void *arg, struct api_token token, struct txn *t, bool dry_run)
{
	struct control_done d = { 0 };

	answers += t->n_ops;
	if (dry_run && !later) {
		d.err = refuse && !has(t, refuse) ? ERR_NOENT : 0;
		api_done(api, token, &d);
		return;
	}
	asked[n_asked].token = token;
	asked[n_asked].n_ops = t->n_ops;
	asked[n_asked++].dry_run = dry_run;
}

static void answer(unsigned i)
{
	struct control_done d = { .index = asked[i].dry_run ? 0 : 7 };

	api_done(api, asked[i].token, &d);
}

static void cancel(void *arg, struct api_token token)
{
}

static uint64_t index_now(void *arg)
{
	return 5;
}

static bool secret(void *arg, const char *at, const char *key)
{
	return false;
}

static const struct api_ops ops = { .commit = commit, .cancel = cancel, .index = index_now, .secret = secret };

static void begin(void)
{
	struct api_conf conf = { .loop = loop, .socket = path, .state = dir, .ops = &ops, .version = "1", .node = "n1" };

	CHECK_EQ(api_new(&api, &conf), 0);
}

/* ---- a client ---- */

struct client {
	int fd;
	struct buf in;
	struct control_done done;       /* the last */
	unsigned n_done, n_entry_ops;
};

static void put(struct client *c, struct control_req *r)
{
	struct buf b = { 0 };

	CHECK_EQ(control_req_put(&b, r), 0);
	CHECK_EQ(write(c->fd, b.data, b.len), (long long)b.len);
	buf_fini(&b);
}

static void take(struct client *c)
{
	struct control_reply r;
	size_t len;
	ssize_t n;

	while ((n = read(c->fd, buf_room(&c->in, 65536), 65536)) > 0)
		buf_add(&c->in, (size_t)n);
	while (control_frame_len(c->in.data, c->in.len, &len) == 0 && len && len <= c->in.len) {
		CHECK_EQ(control_reply_get(c->in.data, len, &r), 0);
		memmove(c->in.data, c->in.data + len, c->in.len - len);
		c->in.len -= len;
		if (r.kind == CONTROL_R_ENTRY)
			c->n_entry_ops = r.entry.txn.n_ops;
		if (r.kind == CONTROL_R_DONE) {
			control_done_fini(&c->done);
			c->done = r.done;
			r.done = (struct control_done){ 0 };
			c->n_done++;
		}
		control_reply_fini(&r);
	}
}

static void wait_for(struct client *c, unsigned n_done)
{
	LOOP_UNTIL(loop, (take(c), c->n_done >= n_done));
}

static void client(struct client *c)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct control_req r = { .id = 1, .kind = CONTROL_HELLO, .version = CONTROL_VERSION, .version_min = CONTROL_VERSION };

	*c = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	CHECK_EQ(connect(c->fd, (void *)&at, sizeof(at)), 0);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	put(c, &r);
	wait_for(c, 1);
}

static void client_fini(struct client *c)
{
	close(c->fd);
	buf_fini(&c->in);
	control_done_fini(&c->done);
}

static void say(struct client *c, const char *word, const char *create, const char *volume)
{
	static uint64_t id = 1;
	struct control_req r = { .id = ++id, .kind = CONTROL_CANDIDATE, .word = (char *)word };

	r.txn.request_id[0] = (uint8_t)id;
	r.txn.request_id[1] = (uint8_t)(id >> 8);
	r.txn.request_id[2] = 1;
	if (create)
		txn_add(&r.txn, TXN_CREATE, create);
	if (volume)
		attrs_set(&r.txn.ops[0].attrs, "volume", volume);
	put(c, &r);
	txn_fini(&r.txn);
}

/* Asked, and answered. */
static int ask(struct client *c, const char *word, const char *create, const char *volume)
{
	unsigned n = c->n_done;

	say(c, word, create, volume);
	wait_for(c, n + 1);
	return c->done.err;
}

static unsigned count(struct client *c)
{
	CHECK_EQ(ask(c, "count", NULL, NULL), 0);
	return (unsigned)c->done.index;
}

/* ---- tests ---- */

static void what_is_added_during_a_commit_stays(void)
{
	struct client a, b;

	client(&a);
	client(&b);
	CHECK_EQ(ask(&a, "begin", NULL, NULL), 0);
	CHECK_EQ(ask(&a, "add", "/volumes/v1", NULL), 0);
	n_asked = 0;
	say(&a, "commit", NULL, NULL);
	LOOP_UNTIL(loop, n_asked == 1);
	CHECK_EQ(ask(&b, "add", "/volumes/v2", NULL), 0);
	answer(0);
	wait_for(&a, a.n_done + 1);
	CHECK_EQ(a.done.err, 0);
	CHECK_EQ(count(&b), 1);
	CHECK_EQ(ask(&b, "show", NULL, NULL), 0);
	CHECK_EQ(b.n_entry_ops, 1);
	CHECK_EQ(b.done.index, 7);      /* based on the commit that it was added to */
	/* The same commit, asked for twice: the second answer takes nothing with it. */
	n_asked = 0;
	say(&a, "commit", NULL, NULL);
	say(&b, "commit", NULL, NULL);
	LOOP_UNTIL(loop, n_asked == 2);
	CHECK_EQ(ask(&a, "add", "/volumes/v3", NULL), 0);
	answer(0);
	answer(1);
	wait_for(&a, a.n_done + 1);
	CHECK_EQ(count(&a), 1);
	CHECK_EQ(ask(&a, "abort", NULL, NULL), 0);
	client_fini(&a);
	client_fini(&b);
}

static void an_addition_to_a_candidate_that_is_gone_is_refused(void)
{
	struct client a, b;

	client(&a);
	client(&b);
	CHECK_EQ(ask(&a, "begin", NULL, NULL), 0);
	n_asked = 0;
	later = true;
	say(&a, "add", "/volumes/v1", NULL);
	LOOP_UNTIL(loop, n_asked == 1);
	CHECK_EQ(ask(&b, "abort", NULL, NULL), 0);
	CHECK_EQ(ask(&b, "begin", NULL, NULL), 0);
	answer(0);
	wait_for(&a, a.n_done + 1);
	CHECK_EQ(a.done.err, ERR_CONFLICT);
	later = false;
	CHECK_EQ(count(&b), 0);
	CHECK_EQ(ask(&b, "abort", NULL, NULL), 0);
	client_fini(&a);
	client_fini(&b);
}

static void additions_to_a_large_candidate_cost_what_they_concern(void)
{
	char text[64], volume[16];
	struct client a;

	client(&a);
	CHECK_EQ(ask(&a, "begin", NULL, NULL), 0);
	answers = 0;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "/volumes/v%u", i);
		CHECK_EQ(ask(&a, "add", text, NULL), 0);
	}
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "/targets/t%u/luns/0", i);
		snprintf(volume, sizeof(volume), "v%u", i);
		CHECK_EQ(ask(&a, "add", text, volume), 0);
	}
	CHECK(answers < 10000);
	/* What the part does not show is looked for in all of it. */
	refuse = "/volumes/v500";
	CHECK_EQ(ask(&a, "add", "/volumes/x", NULL), 0);
	refuse = "/volumes/nowhere";
	CHECK_EQ(ask(&a, "add", "/volumes/y", NULL), ERR_NOENT);
	refuse = NULL;
	CHECK_EQ(count(&a), 1101);
	client_fini(&a);
	/* All of it is there after a restart, but a frame that was cut off. */
	api_free(&api);
	begin();
	client(&a);
	CHECK_EQ(count(&a), 1101);
	CHECK_EQ(ask(&a, "show", NULL, NULL), 0);
	CHECK_EQ(a.done.index, 5);
	client_fini(&a);
	api_free(&api);
	snprintf(text, sizeof(text), "%s/candidate-%u", dir, (unsigned)geteuid());
	CHECK_EQ(truncate(text, lseek(open(text, O_RDONLY), 0, SEEK_END) - 3), 0);
	begin();
	client(&a);
	CHECK_EQ(count(&a), 1100);
	CHECK_EQ(ask(&a, "add", "/volumes/z", NULL), 0);
	client_fini(&a);
	api_free(&api);
	begin();
	client(&a);
	CHECK_EQ(count(&a), 1101);
	CHECK_EQ(ask(&a, "abort", NULL, NULL), 0);
	CHECK(access(text, F_OK) < 0);
	client_fini(&a);
}

static void without_descriptors_the_loop_sleeps(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct rlimit was, none;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsigned turns;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	LOOP_FOR(loop, .1);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 0;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	CHECK_EQ(connect(fd, (void *)&at, sizeof(at)), 0);
	turns = ev_iteration(loop);
	LOOP_FOR(loop, 1.);
	CHECK(ev_iteration(loop) - turns < 50);
	CHECK_EQ(api_clients(api), 0);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
	LOOP_UNTIL(loop, api_clients(api) == 1);
	close(fd);
	LOOP_UNTIL(loop, api_clients(api) == 0);
}

int main(void)
{
	CHECK(mkdtemp(dir));
	path = mem_printf("%s/control.sock", dir);
	loop = ev_loop_new(EVFLAG_AUTO);
	begin();
	RUN(what_is_added_during_a_commit_stays);
	RUN(an_addition_to_a_candidate_that_is_gone_is_refused);
	RUN(additions_to_a_large_candidate_cost_what_they_concern);
	RUN(without_descriptors_the_loop_sleeps);
	api_free(&api);
	ev_loop_destroy(loop);
	rmdir(dir);
	free(path);
	return 0;
}
