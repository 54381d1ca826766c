/* SPDX-License-Identifier: Apache-2.0 */
/* fault, delay and log over a disk in memory: what they do to I/O, changed while it is open. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"
#include "target/serve/backstore.h"
#include "tests/unit/check.h"

#define SIZE (1u << 20)

static struct backstore_host *h;
static struct backstore_queue *q;
static struct backstore *bs;
static struct plugin_pair pairs[8];
static unsigned n_pairs;
static char buf[65536];

/* name, value, … NULL */
static void set(const char *name, ...)
{
	va_list ap;

	va_start(ap, name);
	for (n_pairs = 0; name; name = va_arg(ap, const char *))
		pairs[n_pairs++] = (struct plugin_pair){ name, va_arg(ap, const char *) };
	va_end(ap);
}

static void begin(const char *filter)
{
	static const struct backstore_spec ram = { .plugin = "ram", .size = SIZE };
	struct backstore_spec spec = { .plugin = filter, .params = pairs, .n_params = n_pairs, .children = &ram,
		.n_children = 1 };
	struct backstore_host_conf conf = { 0 };
	struct director_err err = { .text = "" };

	CHECK_EQ(backstore_host_new(&conf, &h), 0);
	CHECK_EQ(backstore_queue_new(h, &q), 0);
	if (backstore_open(h, &spec, 0, NULL, &bs, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

static void end(void)
{
	backstore_close(&bs);
	backstore_queue_free(&q);
	backstore_host_free(&h);
}

static void change(void)
{
	struct director_err err = { .text = "" };

	CHECK_EQ(backstore_reconfigure(bs, 0, pairs, n_pairs, &err), 0);
}

static void io_done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
}

static void start(struct backstore_io *bio, uint16_t op, uint64_t offset, uint64_t len, struct director_iov *iov,
	int32_t *result)
{
	*iov = (struct director_iov){ buf, len };
	*bio = (struct backstore_io){ .io = { .op = op, .offset = offset, .len = len, .iov = iov, .n_iov = len ? 1 : 0 },
		.done = io_done, .user = result };
	*result = 1;
	backstore_submit(bs, q, bio);
}

static void turn(void)
{
	struct pollfd p = { .fd = backstore_queue_fd(q), .events = POLLIN };

	if (backstore_queue_run(q, 0) == 0)
		poll(&p, 1, 1000);
}

static int32_t io(uint16_t op, uint64_t offset, uint64_t len)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	start(&bio, op, offset, len, &iov, &result);
	while (result == 1)
		turn();
	return result;
}

static void faults_come_and_go(void)
{
	unsigned i, n = 0;

	set(NULL);
	begin("fault");
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 4096), 0);
	set("error", "eio", "read", "no", NULL);
	change();
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 4096), -EIO);
	CHECK_EQ(io(DIRECTOR_READ, 0, 4096), 0);
	CHECK_EQ(io(DIRECTOR_FLUSH, 0, 0), 0);
	set("error", "enospc", "after", "2", "count", "1", NULL);
	change();
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 512), 0);
	CHECK_EQ(io(DIRECTOR_READ, 0, 512), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 512), -ENOSPC);
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 512), 0);
	set("error", "eio", "from", "64k", "to", "128k", NULL);
	change();
	CHECK_EQ(io(DIRECTOR_READ, 65536 - 512, 512), 0);
	CHECK_EQ(io(DIRECTOR_READ, 65536 - 512, 1024), -EIO);
	CHECK_EQ(io(DIRECTOR_READ, 131072, 512), 0);
	set("error", "eio", "rate", "300000", NULL);
	change();
	for (i = 0; i < 1000; i++)
		n += io(DIRECTOR_READ, 0, 512) == -EIO;
	CHECK(n > 200 && n < 400);
	set("seed", "9", NULL);
	CHECK_EQ(backstore_reconfigure(bs, 0, pairs, n_pairs, NULL), -EBUSY);
	end();
}

static void a_torn_write_is_half_there(void)
{
	set(NULL);
	begin("fault");
	memset(buf, 'a', 8192);
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 8192), 0);
	set("error", "torn", "read", "no", NULL);
	change();
	memset(buf, 'b', 8192);
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 8192), -EIO);
	CHECK_EQ(io(DIRECTOR_READ, 0, 8192), 0);
	CHECK_EQ(buf[4095], 'b');
	CHECK_EQ(buf[4096], 'a');
	end();
}

static void a_stalled_one_comes_late_and_whole(void)
{
	struct backstore_io late, soon;
	struct director_iov iov, iov2;
	int32_t r, r2;

	set("error", "stall", "stall", "200ms", "read", "no", NULL);
	begin("fault");
	start(&late, DIRECTOR_WRITE, 0, 512, &iov, &r);
	start(&soon, DIRECTOR_READ, 4096, 512, &iov2, &r2);
	while (r2 == 1)
		turn();
	CHECK_EQ(r2, 0);
	CHECK_EQ(r, 1);
	while (r == 1)
		turn();
	CHECK_EQ(r, 0);
	end();
}

static void delay_is_at_least_that(void)
{
	struct mono t;

	set("write", "30ms", NULL);
	begin("delay");
	t = mono_now();
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 512), 0);
	CHECK(mono_ms_between(t, mono_now()) >= 29);
	set("write", "0ms", NULL);
	change();
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 512), 0);
	end();
}

/* Digests of 64 KiB are one of 32 bytes; they wait as reads do, and for nothing else. */
static void digests_are_reads(void)
{
	struct director_iov iov = { buf, DIRECTOR_CHECKSUM_SIZE };
	struct backstore_io bio = { .io = { .op = DIRECTOR_CHECKSUM, .len = DIRECTOR_CHECKSUM_GROUP, .iov = &iov, .n_iov = 1 },
		.done = io_done };
	struct mono t;
	int32_t result;

	for (unsigned i = 0; i < 2; i++) {
		set(i ? "read" : "jitter", "30ms", "seed", "1", NULL);
		begin("delay");
		t = mono_now();
		bio.user = &result;
		result = 1;
		backstore_submit(bs, q, &bio);
		while (result == 1)
			turn();
		CHECK_EQ(result, 0);
		CHECK(!i || mono_ms_between(t, mono_now()) >= 29);
		end();
	}
}

static void log_names_every_io(void)
{
	char path[] = "/tmp/director-log-XXXXXX", text[2000];
	ssize_t n;
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	set("file", path, NULL);
	begin("log");
	CHECK_EQ(io(DIRECTOR_WRITE, 512, 1024), 0);
	CHECK_EQ(io(DIRECTOR_READ, 0, 512), 0);
	CHECK_EQ(io(DIRECTOR_DISCARD, 0, 4096), 0);
	end();
	n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = 0;
	CHECK(strstr(text, "write 1024 at 512: ok, "));
	CHECK(strstr(text, "read 512 at 0: ok, "));
	CHECK(strstr(text, "discard 4096 at 0: ok, "));
	close(fd);
	unlink(path);
}

/* log over delay over fault over ram: an error from the bottom is seen at the top. */
static void stacks_are_stacks(void)
{
	static const struct backstore_spec ram = { .plugin = "ram", .size = SIZE };
	struct plugin_pair eio[] = { { "error", "eio" }, { "read", "no" } }, ms[] = { { "read", "5ms" } };
	struct backstore_spec fault = { .plugin = "fault", .params = eio, .n_params = 2, .children = &ram, .n_children = 1 };
	struct backstore_spec delay = { .plugin = "delay", .params = ms, .n_params = 1, .children = &fault,
		.n_children = 1 };
	struct backstore_spec spec = { .plugin = "log", .children = &delay, .n_children = 1 };
	struct backstore_host_conf conf = { 0 };
	struct director_err err = { .text = "" };

	CHECK_EQ(backstore_host_new(&conf, &h), 0);
	CHECK_EQ(backstore_queue_new(h, &q), 0);
	CHECK_EQ(backstore_open(h, &spec, 0, NULL, &bs, &err), 0);
	CHECK_EQ(io(DIRECTOR_READ, 0, 4096), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 4096), -EIO);
	CHECK_EQ(backstore_reconfigure(bs, 2, NULL, 0, &err), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, 0, 4096), 0);
	CHECK_EQ(backstore_resize(bs, 2 * SIZE, &err), 0);
	CHECK_EQ(backstore_size(bs), 2 * SIZE);
	CHECK_EQ(io(DIRECTOR_WRITE, SIZE, 4096), 0);
	spec.n_children = 0;
	CHECK_EQ(backstore_check(h, &spec, &err), -EINVAL);
	CHECK_STR(err.text, "log goes over 1 other backstore, not 0");
	end();
}

int main(void)
{
	const char *top = getenv("top_builddir");
	char path[1000];

	snprintf(path, sizeof(path), "%s/plugins", top ? top : ".");
	setenv("DIRECTOR_PLUGIN_PATH", path, 0);
	RUN(faults_come_and_go);
	RUN(a_torn_write_is_half_there);
	RUN(a_stalled_one_comes_late_and_whole);
	RUN(delay_is_at_least_that);
	RUN(digests_are_reads);
	RUN(log_names_every_io);
	RUN(stacks_are_stacks);
	return 0;
}
