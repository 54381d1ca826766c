/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror over two files, one of them behind the fault filter: what fails, what waits for agreement, what comes back. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "plugins/mirror/meta.h"
#include "target/serve/backstore.h"
#include "tests/unit/check.h"

#define SIZE (4u << 20)
#define VOLUME "11111111-1111-1111-1111-111111111111"
#define LEG_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LEG_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define FIRST LEG_A ":first:0:0:0:local," LEG_B ":first:0:0:0:remote"   /* of a volume that was never served */

static const char *volume = VOLUME;
static struct director_err why;         /* of the last opening */
static struct backstore_host *h;
static struct backstore_queue *q;
static struct backstore *bs;
static char folder[] = "/tmp/mirror-XXXXXX", path_a[64], path_b[64];
static char buf[8192], seen[8192];
static unsigned events[32];
static uint64_t told[32][2];

static void on_event(void *arg, struct backstore *of, uint32_t kind, uint64_t value, uint64_t total)
{
	events[kind]++;
	told[kind][0] = value;
	told[kind][1] = total;
}

static int open_mirror(uint64_t epoch, const char *legs)
{
	const struct plugin_pair a[] = { { "path", path_a } }, b[] = { { "path", path_b } };
	const struct plugin_pair m[] = { { "uuid", volume }, { "legs", legs } };
	const struct backstore_spec file_a = { .plugin = "file", .params = a, .n_params = 1, .size = SIZE };
	const struct backstore_spec children[] = { { .plugin = "fault", .children = &file_a, .n_children = 1 },
		{ .plugin = "file", .params = b, .n_params = 1, .size = SIZE } };
	const struct backstore_spec spec = { .plugin = "mirror", .params = m, .n_params = legs ? 2 : 1, .children = children,
		.n_children = 2 };
	const struct backstore_watch watch = { .event = on_event };
	struct director_err err = { .text = "" };

	memset(events, 0, sizeof(events));
	CHECK_EQ(backstore_create(h, &spec, SIZE, &err), 0);
	why = (struct director_err){ .text = "" };
	return backstore_open(h, &spec, epoch, &watch, &bs, &why);
}

static void legs_are(const char *legs)
{
	const struct plugin_pair m[] = { { "uuid", volume }, { "legs", legs } };
	struct director_err err = { .text = "" };

	CHECK_EQ(backstore_reconfigure(bs, 0, m, 2, &err), 0);
}

static void spoil(const char *path, uint64_t offset, char c)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(seen, c, sizeof(seen));
	CHECK_EQ(pwrite(fd, seen, sizeof(seen), (off_t)(LEG_DATA + offset)), (ssize_t)sizeof(seen));
	close(fd);
}

static int truncate_new(const char *path, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), r = fd < 0 ? -1 : ftruncate(fd, size);

	close(fd);
	return r;
}

static void fault(const char *error)
{
	const struct plugin_pair f[] = { { "error", error } };
	struct director_err err = { .text = "" };

	CHECK_EQ(backstore_reconfigure(bs, 1, f, 1, &err), 0);
}

static void done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
}

static void turn(void)
{
	struct pollfd p = { .fd = backstore_queue_fd(q), .events = POLLIN };

	if (backstore_queue_run(q, 0) == 0)
		poll(&p, 1, 100);
}

static void scrub(const char *number)
{
	const struct plugin_pair m[] = { { "uuid", VOLUME }, { "scrub", number } };
	struct director_err err = { .text = "" };

	events[DIRECTOR_EV_SCRUBBED] = 0;
	CHECK_EQ(backstore_reconfigure(bs, 0, m, 2, &err), 0);
	while (!events[DIRECTOR_EV_SCRUBBED])
		turn();
}

static void start(struct backstore_io *bio, struct director_iov *iov, uint16_t op, char *p, uint64_t offset, uint64_t epoch,
	int32_t *result)
{
	*iov = (struct director_iov){ p, sizeof(buf) };
	*bio = (struct backstore_io){ .io = { .op = op, .offset = offset, .len = sizeof(buf), .iov = iov, .n_iov = p != NULL, .epoch = epoch },
		.done = done, .user = result };
	*result = 1;
	backstore_submit(bs, q, bio);
}

static int32_t io(uint16_t op, char *p, uint64_t offset, uint64_t epoch)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	start(&bio, &iov, op, p, offset, epoch, &result);
	while (result == 1)
		turn();
	return result;
}

static bool leg_has(const char *path, uint64_t offset, char c)
{
	static char data[sizeof(buf)];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same = pread(fd, data, sizeof(data), (off_t)(LEG_DATA + offset)) == (ssize_t)sizeof(data);

	for (size_t i = 0; i < sizeof(data); i++)
		same = same && data[i] == c;
	close(fd);
	return same;
}

static void begin(void)
{
	const struct backstore_host_conf conf = { 0 };

	CHECK_EQ(backstore_host_new(&conf, &h), 0);
	CHECK_EQ(backstore_queue_new(h, &q), 0);
	unlink(path_a);
	unlink(path_b);
}

static void end(void)
{
	backstore_close(&bs);
	backstore_queue_free(&q);
	backstore_host_free(&h);
}

static void a_write_reaches_both_legs(void)
{
	begin();
	CHECK_EQ(open_mirror(0, NULL), 0);
	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 0), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 65536, 0), 0);
	CHECK_EQ(memcmp(buf, seen, sizeof(buf)), 0);
	CHECK(leg_has(path_a, 65536, 'x'));
	CHECK(leg_has(path_b, 65536, 'x'));
	end();
}

/* Nothing is agreed with anybody: it goes on at once, and the leg gets what it missed. */
static void a_leg_that_fails_is_left_out_and_comes_back(void)
{
	begin();
	CHECK_EQ(open_mirror(0, NULL), 0);
	fault("eio");
	memset(buf, 'y', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 0), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 65536, 0), 0);
	CHECK_EQ(memcmp(buf, seen, sizeof(buf)), 0);
	CHECK(!leg_has(path_a, 65536, 'y'));
	fault("none");
	while (!leg_has(path_a, 65536, 'y'))
		turn();
	end();
}

static void a_write_waits_until_the_leg_is_out_in_agreed_state(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 0, 1), 0);
	fault("eio");
	memset(buf, 'z', sizeof(buf));
	start(&bio, &iov, DIRECTOR_WRITE, buf, 65536, 1, &result);
	while (!events[DIRECTOR_EV_LEG_FAILED])
		turn();
	CHECK_EQ(result, 1);
	legs_are(LEG_A ":out:1:0:1:local," LEG_B ":in:0:0:0:remote");
	while (result == 1)
		turn();
	CHECK_EQ(result, 0);
	/* It is made like the other, and asks to be called in sync. */
	fault("none");
	while (!events[DIRECTOR_EV_LEG_READY])
		turn();
	CHECK(leg_has(path_a, 65536, 'z'));
	legs_are(LEG_A ":in:2:2:1:local," LEG_B ":in:0:0:0:remote");
	end();
}

static void a_newer_owner_is_remembered(void)
{
	static const char legs[] = LEG_A ":in:0:0:0:local," LEG_B ":in:0:0:0:remote";

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	backstore_close(&bs);
	CHECK_EQ(open_mirror(2, legs), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 0, 2), 0);
	backstore_close(&bs);
	CHECK_EQ(open_mirror(1, legs), -ESTALE);
	end();
}

/* A named file outlives its volume. Of another one its record says nothing, however high its epoch; but what lies there is not blank. */
static void a_leg_of_another_volume_is_called_so(void)
{
	static const char legs[] = LEG_A ":in:0:0:0:local," LEG_B ":in:0:0:0:remote";

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	backstore_close(&bs);
	CHECK_EQ(open_mirror(9, legs), 0);
	backstore_close(&bs);
	volume = "22222222-2222-2222-2222-222222222222";
	CHECK_EQ(open_mirror(1, legs), -ENODATA);
	CHECK(strstr(why.text, "carries another volume, 11111111-1111-1111-1111-111111111111"));
	CHECK(strstr(why.text, "zero its first MiB"));
	volume = VOLUME;
	end();
}

/* Behind a volume without copies something may have been left by whoever had the disk before: it gets copies all the same. */
static void what_stood_where_a_record_goes_does_not_count(void)
{
	static const char first[] = LEG_A ":first:0:0:0:local," LEG_B ":new:0:0:0:remote", taken[] = LEG_A ":taken:0:0:0:local," LEG_B ":new:0:0:0:remote";
	int fd;

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	memset(buf, 'w', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 1), 0);
	backstore_close(&bs);
	volume = "22222222-2222-2222-2222-222222222222";
	CHECK_EQ(open_mirror(1, first), -ENODATA);
	CHECK_EQ(open_mirror(1, taken), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 65536, 1), 0);
	CHECK(memcmp(buf, seen, sizeof(buf)) == 0);
	backstore_close(&bs);
	/* From then on its own counts. */
	CHECK_EQ(open_mirror(2, first), 0);
	backstore_close(&bs);
	CHECK_EQ(open_mirror(1, taken), -ESTALE);
	fd = open(path_a, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, buf, sizeof(buf), 0), (ssize_t)sizeof(buf));
	close(fd);
	CHECK_EQ(open_mirror(3, first), -ENODATA);
	CHECK_EQ(open_mirror(3, taken), 0);
	CHECK(leg_has(path_a, 65536, 'w'));
	backstore_close(&bs);
	volume = VOLUME;
	end();
}

static void head_read(const char *path, char head[LEG_DATA])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK_EQ(pread(fd, head, LEG_DATA, 0), (ssize_t)LEG_DATA);
	close(fd);
}

static void head_zero(const char *path)
{
	static char zeroes[LEG_DATA];
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK_EQ(pwrite(fd, zeroes, LEG_DATA, 0), (ssize_t)LEG_DATA);
	close(fd);
}

/*
 * Leg b is what another volume has: the volume is served without it, what it holds stays, and somebody is told whose it is. When it is
 * zeroed it becomes a leg. In `row` it never was one, or is in sync: then it has to be out first.
 */
static void left_alone(const char *row, const char *out)
{
	static char before[LEG_DATA], after[LEG_DATA];
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(open_mirror(9, FIRST), 0);
	memset(buf, 'p', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 9), 0);
	backstore_close(&bs);
	head_read(path_b, before);
	unlink(path_a);
	volume = "22222222-2222-2222-2222-222222222222";
	CHECK_EQ(open_mirror(1, row), 0);
	memset(buf, 'q', sizeof(buf));
	start(&bio, &iov, DIRECTOR_WRITE, buf, 65536, 1, &result);
	while (out && !events[DIRECTOR_EV_LEG_FAILED])
		turn();
	if (out)
		legs_are(out);
	while (result == 1)
		turn();
	CHECK_EQ(result, 0);
	while (events[DIRECTOR_EV_LEG_FOREIGN] < 2)
		turn();
	CHECK_EQ(told[DIRECTOR_EV_LEG_FOREIGN][0], 1);
	CHECK_EQ(told[DIRECTOR_EV_LEG_FOREIGN][1], 0x1111111111111111u);
	CHECK_EQ(events[DIRECTOR_EV_LEG_READY], 0);
	head_read(path_b, after);
	CHECK(memcmp(before, after, LEG_DATA) == 0 && leg_has(path_b, 65536, 'p'));
	head_zero(path_b);
	while (!events[DIRECTOR_EV_LEG_READY])
		turn();
	CHECK_EQ(told[DIRECTOR_EV_LEG_FOREIGN][1], 0);
	CHECK(leg_has(path_b, 65536, 'q'));
	volume = VOLUME;
	end();
}

static void another_volume_is_left_alone_under_a_new_leg(void)
{
	left_alone(LEG_A ":first:0:0:0:local," LEG_B ":new:0:0:0:remote", NULL);
}

/* Disks that were put back in the wrong order, say. */
static void another_volume_is_left_alone_under_a_leg_in_sync(void)
{
	left_alone(LEG_A ":first:0:0:0:local," LEG_B ":in:0:0:0:remote", LEG_A ":in:0:0:0:local," LEG_B ":out:1:0:0:remote");
}

/* Blank where a leg was: no part in the volume, and out before anything is answered. */
static void a_blank_disk_is_no_leg(void)
{
	static const char legs[] = LEG_A ":in:0:0:0:local," LEG_B ":in:0:0:0:remote";
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	memset(buf, 'k', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 1), 0);
	backstore_close(&bs);
	unlink(path_a);
	CHECK_EQ(open_mirror(2, legs), 0);
	start(&bio, &iov, DIRECTOR_READ, seen, 65536, 2, &result);
	while (!events[DIRECTOR_EV_LEG_FAILED])
		turn();
	CHECK_EQ(result, 1);
	legs_are(LEG_A ":out:1:0:0:local," LEG_B ":in:0:0:0:remote");
	while (result == 1)
		turn();
	CHECK_EQ(result, 0);
	CHECK_EQ(memcmp(buf, seen, sizeof(buf)), 0);
	while (!events[DIRECTOR_EV_LEG_READY])
		turn();
	CHECK(leg_has(path_a, 65536, 'k'));
	end();
}

/* Does the newer record of the leg say so? */
static bool is_quiet(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct mirror_meta newest = { .seq = 0 }, m;
	uint8_t record[LEG_RECORD];

	for (unsigned i = 0; i < 2; i++)
		if (pread(fd, record, sizeof(record), i * LEG_RECORD) == sizeof(record) && meta_decode(record, &m) == 0 &&
			m.seq > newest.seq)
			newest = m;
	close(fd);
	return newest.quiet;
}

/* What older versions have written is read, and they read what this one writes: all of it stands here by numbers once more. */
static void a_record_lies_as_it_ever_did(void)
{
	const struct mirror_meta m = { .volume = { 1, 2 }, .leg = { 3, 4 }, .epoch = 0x0102030405060708u, .member = 2, .life = 3, .seq = 4,
		.size = 5 << 20, .region = 65536, .quiet = true, .scrub = 7, .scrub_at = 8, .scrub_different = 9, .scrub_repaired = 10 };
	static const uint8_t epoch[8] = { 8, 7, 6, 5, 4, 3, 2, 1 }, one_of[11] = { 0, 2, 3, 4, 0, 0, 1, 7, 8, 9, 10 };
	uint8_t want[4096] = "director-leg\0\0\0\1", is[LEG_RECORD];
	struct mirror_meta back;

	want[16] = 1;
	want[17] = 2;
	want[32] = 3;
	want[33] = 4;
	memcpy(want + 48, epoch, sizeof(epoch));
	for (unsigned i = 1; i < 11; i++)
		want[48 + 8 * i] = one_of[i];
	want[80 + 2] = 5 << 4;
	want[88 + 2] = 1;
	for (unsigned i = 0; i < 4; i++)
		want[4088 + i] = (uint8_t)(crc32c(0, want, 4088) >> 8 * i);
	meta_encode(&m, is);
	CHECK(memcmp(is, want, sizeof(want)) == 0);
	CHECK(meta_decode(want, &back) == 0 && back.epoch == m.epoch && back.size == m.size && back.quiet && !back.bits && back.scrub_repaired == 10);
	want[100] ^= 1;
	CHECK_EQ(meta_decode(want, &back), -EINVAL);
}

static void close_marks_all_legs_quiet(void)
{
	static const char legs[] = LEG_A ":in:0:0:0:local," LEG_B ":in:0:0:0:remote";

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 1), 0);
	CHECK(!is_quiet(path_a) && !is_quiet(path_b));
	backstore_close(&bs);
	CHECK(is_quiet(path_a) && is_quiet(path_b));
	/* The next owner under another epoch finds nothing to recover. */
	CHECK_EQ(open_mirror(2, legs), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 65536, 2), 0);
	CHECK(!is_quiet(path_a) && !is_quiet(path_b));
	end();
}

/* The last leg takes nothing any more: a write is answered, though not even its intent could be written, and so is a stop. */
static void the_last_leg_fails(void)
{
	struct director_err err = { .text = "" };
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(open_mirror(1, LEG_A ":first:0:0:0:local," LEG_B ":out:1:0:0:remote"), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 0, 1), 0);
	fault("eio");
	start(&bio, &iov, DIRECTOR_WRITE, buf, 65536, 1, &result);
	for (unsigned i = 0; i < 100 && result == 1; i++)
		turn();
	CHECK_EQ(result, -EIO);
	CHECK_EQ(backstore_stop(bs, false, &err), -EAGAIN);
	CHECK(err.text[0]);
	/* What could not be written is tried again now and then. */
	backstore_close(&bs);
	CHECK(!is_quiet(path_a));
	end();
}

/* It neither waits for an agreement that does not come nor calls quiet what is not. */
static void lost_it_ends_at_once_and_unclean(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 0, 1), 0);
	fault("eio");
	start(&bio, &iov, DIRECTOR_WRITE, buf, 65536, 1, &result);
	while (!events[DIRECTOR_EV_LEG_FAILED])
		turn();
	CHECK_EQ(result, 1);
	CHECK_EQ(backstore_stop(bs, true, NULL), 0);
	while (result == 1)
		turn();
	CHECK_EQ(result, -ESTALE);
	CHECK_EQ(io(DIRECTOR_READ, seen, 0, 1), -ESTALE);
	backstore_close(&bs);
	CHECK(!is_quiet(path_a) && !is_quiet(path_b));
	CHECK_EQ(events[DIRECTOR_EV_LOST], 0);
	end();
}

static void discards_and_zeroes_leave_legs_equal(void)
{
	begin();
	CHECK_EQ(open_mirror(0, NULL), 0);
	memset(buf, 'd', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 0), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 131072, 0), 0);
	CHECK_EQ(io(DIRECTOR_DISCARD, NULL, 65536, 0), 0);
	CHECK_EQ(io(DIRECTOR_WRITE_ZEROES, NULL, 131072, 0), 0);
	CHECK(leg_has(path_a, 65536, 0) && leg_has(path_b, 65536, 0));
	CHECK(leg_has(path_a, 131072, 0) && leg_has(path_b, 131072, 0));
	/* One leg fails it: as with a write it is out, and gets it later. */
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 0), 0);
	fault("eio");
	CHECK_EQ(io(DIRECTOR_DISCARD, NULL, 65536, 0), 0);
	CHECK(leg_has(path_a, 65536, 'd') && leg_has(path_b, 65536, 0));
	fault("none");
	while (!leg_has(path_a, 65536, 0))
		turn();
	end();
}

static void a_scrub_makes_equal_what_differs(void)
{
	begin();
	CHECK_EQ(open_mirror(0, NULL), 0);
	memset(buf, 's', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 0), 0);
	scrub("1");
	CHECK_EQ(told[DIRECTOR_EV_SCRUBBED][0], 3);
	CHECK_EQ(told[DIRECTOR_EV_SCRUBBED][1], 0);
	/* Without a majority it is what reads are served from: leg a. */
	spoil(path_b, 65536, 't');
	spoil(path_b, 2 << 20, 't');
	scrub("2");
	CHECK_EQ(told[DIRECTOR_EV_SCRUBBED][1], 2);
	CHECK_EQ(told[DIRECTOR_EV_REPAIRED][0], 2);
	CHECK_EQ(told[DIRECTOR_EV_REPAIRED][1], 0);
	CHECK(leg_has(path_a, 65536, 's') && leg_has(path_b, 65536, 's') && leg_has(path_b, 2 << 20, 0));
	scrub("3");
	CHECK_EQ(told[DIRECTOR_EV_SCRUBBED][1], 0);
	end();
}

/* With one leg there is nothing to compare: how far the scrub is must not look like something that is copied. */
static void a_scrub_waits_for_a_leg_that_is_out(void)
{
	const struct plugin_pair m[] = { { "uuid", VOLUME }, { "scrub", "1" } };
	struct director_err err = { .text = "" };
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(open_mirror(1, FIRST), 0);
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 0, 1), 0);
	fault("eio");
	start(&bio, &iov, DIRECTOR_WRITE, buf, 65536, 1, &result);
	while (!events[DIRECTOR_EV_LEG_FAILED])
		turn();
	legs_are(LEG_A ":out:1:0:1:local," LEG_B ":in:0:0:0:remote");
	while (result == 1)
		turn();
	CHECK_EQ(backstore_reconfigure(bs, 0, m, 2, &err), 0);
	events[DIRECTOR_EV_PROGRESS] = 0;
	for (unsigned i = 0; i < 25; i++)
		turn();
	CHECK(!events[DIRECTOR_EV_PROGRESS] || told[DIRECTOR_EV_PROGRESS][0] == told[DIRECTOR_EV_PROGRESS][1]);
	CHECK_EQ(events[DIRECTOR_EV_SCRUBBED], 0);
	fault("none");
	while (!events[DIRECTOR_EV_LEG_READY])
		turn();
	legs_are(LEG_A ":in:2:2:1:local," LEG_B ":in:0:0:0:remote");
	while (!events[DIRECTOR_EV_SCRUBBED])
		turn();
	end();
}

/* The leg that reads come from fails one, and is not called failed: the other serves it, and it is written anew. */
static void a_read_that_fails_is_repaired(void)
{
	const struct plugin_pair f[] = { { "error", "eio" }, { "write", "no" }, { "flush", "no" }, { "count", "3" } };
	struct director_err err = { .text = "" };

	begin();
	CHECK_EQ(open_mirror(0, NULL), 0);
	memset(buf, 'r', sizeof(buf));
	CHECK_EQ(io(DIRECTOR_WRITE, buf, 65536, 0), 0);
	spoil(path_a, 65536, 'x');
	/* The read past the machine, the one of the machine, the first digest: then it can be read again. */
	CHECK_EQ(backstore_reconfigure(bs, 1, f, 4, &err), 0);
	CHECK_EQ(io(DIRECTOR_READ, seen, 65536, 0), 0);
	CHECK_EQ(memcmp(buf, seen, sizeof(buf)), 0);
	while (!events[DIRECTOR_EV_REPAIRED])
		turn();
	CHECK_EQ(told[DIRECTOR_EV_REPAIRED][0], 1);
	CHECK(leg_has(path_a, 65536, 'r'));
	CHECK_EQ(events[DIRECTOR_EV_LEG_FAILED], 0);
	end();
}

/* Of two that are made with their volume, and hold what they held, one counts: the other is out before anything is answered. */
static void what_a_leg_held_before_is_not_in_sync(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin();
	CHECK_EQ(truncate_new(path_a, SIZE) | truncate_new(path_b, SIZE), 0);
	spoil(path_b, 65536, 'o');
	CHECK_EQ(open_mirror(1, LEG_A ":first:0:0:0:local," LEG_B ":in:0:0:0:remote"), 0);
	start(&bio, &iov, DIRECTOR_READ, seen, 65536, 1, &result);
	while (!events[DIRECTOR_EV_LEG_FAILED])
		turn();
	CHECK_EQ(result, 1);
	CHECK_EQ(told[DIRECTOR_EV_LEG_FAILED][0], 1);
	legs_are(LEG_A ":in:0:0:0:local," LEG_B ":out:1:0:0:remote");
	while (result == 1)
		turn();
	CHECK_EQ(result, 0);
	while (!events[DIRECTOR_EV_LEG_READY])
		turn();
	CHECK(leg_has(path_a, 65536, 0) && leg_has(path_b, 65536, 0));
	end();
}

static void neither_leg_is_good(void)
{
	static const char legs[] = LEG_A ":in:3:3:1:local," LEG_B ":in:3:3:1:remote";

	begin();
	CHECK_EQ(open_mirror(2, legs), -ENODATA);
	end();
}

int main(void)
{
	const char *top = getenv("top_builddir");
	char path[1000];

	snprintf(path, sizeof(path), "%s/plugins", top ? top : ".");
	setenv("DIRECTOR_PLUGIN_PATH", path, 0);
	alarm(120);
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path_a, sizeof(path_a), "%s/a", folder);
	snprintf(path_b, sizeof(path_b), "%s/b", folder);
	RUN(a_write_reaches_both_legs);
	RUN(a_leg_that_fails_is_left_out_and_comes_back);
	RUN(a_write_waits_until_the_leg_is_out_in_agreed_state);
	RUN(a_newer_owner_is_remembered);
	RUN(a_leg_of_another_volume_is_called_so);
	RUN(what_stood_where_a_record_goes_does_not_count);
	RUN(another_volume_is_left_alone_under_a_new_leg);
	RUN(another_volume_is_left_alone_under_a_leg_in_sync);
	RUN(a_blank_disk_is_no_leg);
	RUN(a_record_lies_as_it_ever_did);
	RUN(close_marks_all_legs_quiet);
	RUN(the_last_leg_fails);
	RUN(lost_it_ends_at_once_and_unclean);
	RUN(discards_and_zeroes_leave_legs_equal);
	RUN(a_scrub_makes_equal_what_differs);
	RUN(a_scrub_waits_for_a_leg_that_is_out);
	RUN(a_read_that_fails_is_repaired);
	RUN(what_a_leg_held_before_is_not_in_sync);
	RUN(neither_leg_is_good);
	unlink(path_a);
	unlink(path_b);
	rmdir(folder);
	return 0;
}
