/* SPDX-License-Identifier: Apache-2.0 */
/* Shares and the store `volume`: claims, what waits while the backstore under a share is away, and what must not run twice. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

#include "target/serve/backstore.h"
#include "target/serve/bs_host.h"
#include "tests/unit/check.h"

#define SIZE (1u << 20)
#define UUID "0123456789abcdef0123456789abcdef"
#define LEN 4096u

static const uint8_t uuid[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
static struct backstore_host *h;
static struct backstore_queue *q;
static struct backstore_share *share;
static struct backstore *below, *above;
static uint64_t stored;
static bool may;
static char buf[LEN], seen[LEN], both[2 * LEN];

static int store(void *arg, uint64_t epoch, struct director_err *err)
{
	(void)arg;
	(void)err;
	CHECK(epoch > stored);
	stored = epoch;
	return 0;
}

static bool may_answer(void *arg, uint64_t epoch)
{
	(void)arg;
	(void)epoch;
	return may;
}

static struct backstore *disk_open(void)
{
	const struct backstore_spec ram = { .plugin = "ram", .size = SIZE };
	struct director_err err = { .struct_size = sizeof(err) };
	struct backstore *bs;

	CHECK_EQ(backstore_open(h, &ram, 1, NULL, &bs, &err), 0);
	return bs;
}

static int refer(uint64_t epoch, struct backstore **out)
{
	const struct plugin_pair p[] = { { "uuid", UUID } };
	const struct backstore_spec spec = { .plugin = "volume", .params = p, .n_params = 1 };
	struct director_err err = { .struct_size = sizeof(err) };

	return backstore_open(h, &spec, epoch, NULL, out, &err);
}

static bool tries_again(void *arg, int32_t result)
{
	(void)arg;
	return result == -ENOTCONN;
}

static void begin(bool leg, uint64_t claimed)
{
	const struct backstore_host_conf conf = { 0 };
	struct backstore_share_conf sc = { .leg = leg, .claimed = claimed, .claim = store, .may_answer = may_answer, .tries_again = tries_again };

	memcpy(sc.uuid, uuid, 16);
	stored = claimed;
	may = true;
	CHECK_EQ(backstore_host_new(&conf, &h), 0);
	CHECK_EQ(backstore_queue_new(h, &q), 0);
	CHECK_EQ(backstore_share_new(h, &sc, &share), 0);
	below = disk_open();
	CHECK_EQ(backstore_share_open(share, below, 1, NULL), 0);
}

static void end(void)
{
	backstore_close(&above);
	backstore_share_free(&share);
	backstore_close(&below);
	backstore_queue_free(&q);
	backstore_host_free(&h);
}

static void done(struct backstore_io *bio, int32_t result)
{
	*(int32_t *)bio->user = result;
}

static void start(struct backstore *bs, struct backstore_io *bio, struct director_iov *iov, uint16_t op, char *p, uint64_t epoch,
	int32_t *result)
{
	*iov = (struct director_iov){ p, op == DIRECTOR_COMPARE_AND_WRITE ? 2 * LEN : LEN };
	*bio = (struct backstore_io){ .io = { .op = op, .offset = LEN, .len = LEN, .iov = iov, .n_iov = 1, .epoch = epoch },
		.done = done, .user = result };
	*result = 1;
	backstore_submit(bs, q, bio);
}

/* A while, for what must not happen. */
static void turn_for(unsigned ms)
{
	struct pollfd p = { .fd = backstore_queue_fd(q), .events = POLLIN };

	for (unsigned i = 0; i < ms / 5; i++) {
		backstore_queue_run(q, 0);
		poll(&p, 1, 5);
	}
	backstore_queue_run(q, 0);
}

static void wait_for(const int32_t *result)
{
	struct pollfd p = { .fd = backstore_queue_fd(q), .events = POLLIN };

	while (*result == 1)
		if (backstore_queue_run(q, 0) == 0)
			poll(&p, 1, 100);
}

static int32_t io(struct backstore *bs, uint16_t op, char *p, uint64_t epoch)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	start(bs, &bio, &iov, op, p, epoch, &result);
	wait_for(&result);
	return result;
}

static void opening_a_leg_claims_it(void)
{
	struct backstore *newer = NULL;
	struct director_err err = { .struct_size = sizeof(err) };

	begin(true, 3);
	CHECK_EQ(refer(2, &above), -ESTALE);
	CHECK_EQ(refer(4, &above), 0);
	CHECK_EQ(stored, 4);
	memset(buf, 'a', LEN);
	CHECK_EQ(io(above, DIRECTOR_WRITE, buf, 4), 0);
	/* The same again stores nothing; a newer one ends the older. */
	CHECK_EQ(backstore_claim(h, uuid, 4, &err), 0);
	CHECK_EQ(refer(6, &newer), 0);
	CHECK_EQ(stored, 6);
	CHECK_EQ(backstore_share_claimed(share), 6);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 4), -ESTALE);
	CHECK_EQ(io(newer, DIRECTOR_READ, seen, 6), 0);
	CHECK_EQ(memcmp(buf, seen, LEN), 0);
	/* So does a login at the inner portal. */
	CHECK_EQ(backstore_claim(h, uuid, 5, &err), -ESTALE);
	CHECK_EQ(backstore_claim(h, uuid, 7, &err), 0);
	CHECK_EQ(io(newer, DIRECTOR_READ, seen, 6), -ESTALE);
	backstore_close(&newer);
	end();
}

static void fencing_a_reference_claims_its_leg(void)
{
	struct director_err err = { .struct_size = sizeof(err) };

	begin(true, 0);
	CHECK_EQ(refer(2, &above), 0);
	CHECK_EQ(backstore_fence(above, 3, &err), 0);
	CHECK_EQ(stored, 3);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 3), 0);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 2), -ESTALE);
	end();
}

static void what_is_stored_counts_when_it_is_opened(void)
{
	begin(true, 9);
	CHECK_EQ(io(below, DIRECTOR_READ, seen, 8), -ESTALE);
	CHECK_EQ(io(below, DIRECTOR_READ, seen, 9), 0);
	end();
}

static void io_waits_for_the_next_backstore(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	int32_t result;

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	memset(buf, 'b', LEN);
	CHECK_EQ(io(above, DIRECTOR_WRITE, buf, 1), 0);
	backstore_share_hold(share);
	backstore_close(&below);
	memset(buf, 'c', LEN);
	start(above, &bio, &iov, DIRECTOR_WRITE, buf, 1, &result);
	turn_for(50);
	CHECK_EQ(result, 1);
	below = disk_open();
	CHECK_EQ(backstore_share_open(share, below, 2, NULL), 0);
	wait_for(&result);
	CHECK_EQ(result, 0);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 1), 0);
	CHECK_EQ(memcmp(buf, seen, LEN), 0);
	end();
}

/* An epoch that is over is not the reference's business: somebody opens the volume anew. */
static void a_lost_right_is_waited_out(void)
{
	struct backstore_io bio, cio;
	struct director_iov iov, civ;
	struct director_err err = { .struct_size = sizeof(err) };
	int32_t result, once;

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	CHECK_EQ(backstore_fence(below, 5, &err), 0);
	start(above, &bio, &iov, DIRECTOR_WRITE, buf, 1, &result);
	start(above, &cio, &civ, DIRECTOR_COMPARE_AND_WRITE, both, 1, &once);
	turn_for(50);
	CHECK_EQ(result, 1);
	CHECK_EQ(once, 1);
	CHECK_EQ(backstore_share_open(share, below, 5, NULL), 0);
	wait_for(&result);
	wait_for(&once);
	/* It was refused before it came to the plugin: nothing was done, and it is done now. */
	CHECK_EQ(result, 0);
	CHECK(once == 0 || once == -EILSEQ);
	end();
}

/* Another backstore comes before there was an answer: what was written may have been written over since. */
static void what_was_written_is_not_written_again(void)
{
	struct backstore_io bio, cio, rio;
	struct director_iov iov, civ, riv;
	int32_t result, once, read;

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	may = false;
	memset(both, 0, 2 * LEN);
	start(above, &cio, &civ, DIRECTOR_COMPARE_AND_WRITE, both, 1, &once);
	turn_for(30);
	memset(buf, 'f', LEN);
	start(above, &bio, &iov, DIRECTOR_WRITE, buf, 1, &result);
	start(above, &rio, &riv, DIRECTOR_READ, seen, 1, &read);
	turn_for(30);
	CHECK_EQ(result, 1);
	backstore_share_hold(share);
	memset(buf, 'g', LEN);
	CHECK_EQ(io(below, DIRECTOR_WRITE, buf, 1), 0);
	may = true;
	CHECK_EQ(backstore_share_open(share, below, 2, NULL), 0);
	wait_for(&result);
	wait_for(&once);
	wait_for(&read);
	CHECK_EQ(result, -ENOTCONN);
	CHECK_EQ(once, -ENOTCONN);
	CHECK_EQ(read, 0);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 2), 0);
	CHECK_EQ(memcmp(buf, seen, LEN), 0);
	end();
}

static void an_answer_waits_for_the_lease(void)
{
	struct backstore_io bio, cio;
	struct director_iov iov, civ;
	int32_t result, once;

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	may = false;
	memset(buf, 'd', LEN);
	memset(both, 0, LEN);
	memset(both + LEN, 'e', LEN);
	start(above, &cio, &civ, DIRECTOR_COMPARE_AND_WRITE, both, 1, &once);
	turn_for(30);
	CHECK_EQ(once, 1);
	start(above, &bio, &iov, DIRECTOR_WRITE, buf, 1, &result);
	turn_for(30);
	CHECK_EQ(result, 1);
	may = true;
	backstore_share_go(share);
	wait_for(&result);
	wait_for(&once);
	CHECK_EQ(result, 0);
	CHECK_EQ(once, 0);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 1), 0);
	CHECK_EQ(memcmp(buf, seen, LEN), 0);
	end();
}

/* Who loses its own right waits for nobody's volume. */
static void a_stack_that_is_stopped_waits_for_nothing(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	struct director_err err = { .struct_size = sizeof(err) };
	int32_t result;

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	backstore_share_hold(share);
	start(above, &bio, &iov, DIRECTOR_READ, seen, 1, &result);
	turn_for(20);
	CHECK_EQ(result, 1);
	CHECK_EQ(backstore_stop(above, true, &err), 0);
	wait_for(&result);
	CHECK_EQ(result, -ESTALE);
	CHECK_EQ(backstore_share_open(share, below, 2, NULL), 0);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 1), -ESTALE);
	end();
}

static void without_a_volume_nothing_is_waited_for(void)
{
	struct backstore_io bio;
	struct director_iov iov;
	struct backstore *other;
	int32_t result;

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	backstore_share_hold(share);
	start(above, &bio, &iov, DIRECTOR_READ, seen, 1, &result);
	turn_for(20);
	CHECK_EQ(result, 1);
	backstore_share_free(&share);
	wait_for(&result);
	CHECK_EQ(result, -ENOTCONN);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 1), -ENOTCONN);
	CHECK_EQ(refer(1, &other), -ENOTCONN);
	end();
}

/* The backstore goes and comes under load of several threads; each write is answered once, with success. */
static _Atomic bool enough;

static void *load(void *arg)
{
	struct backstore_queue *mine;
	struct backstore_io bio;
	struct director_iov iov;
	struct pollfd p;
	unsigned *n = arg;

	CHECK_EQ(backstore_queue_new(h, &mine), 0);
	p = (struct pollfd){ .fd = backstore_queue_fd(mine), .events = POLLIN };
	while (!enough) {
		int32_t result = 1;

		iov = (struct director_iov){ buf, LEN };
		bio = (struct backstore_io){ .io = { .op = DIRECTOR_WRITE, .len = LEN, .iov = &iov, .n_iov = 1, .epoch = 1 },
			.done = done, .user = &result };
		backstore_submit(above, mine, &bio);
		while (result == 1)
			if (backstore_queue_run(mine, 0) == 0)
				poll(&p, 1, 20);
		CHECK_EQ(result, 0);
		++*n;
	}
	backstore_queue_free(&mine);
	return NULL;
}

static void a_switch_under_load_loses_nothing(void)
{
	pthread_t t[3];
	unsigned n[3] = { 0 };

	begin(false, 0);
	CHECK_EQ(refer(1, &above), 0);
	enough = false;
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, load, &n[i]), 0);
	for (unsigned i = 0; i < 50; i++) {
		turn_for(5);
		backstore_share_hold(share);
		backstore_close(&below);
		below = disk_open();
		CHECK_EQ(backstore_share_open(share, below, 2 + i, NULL), 0);
	}
	enough = true;
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		CHECK(n[i] > 0);
	}
	end();
}

/* Who uses a leg that may have lost writes gets nothing from it before it has looked at it again. */
static void a_leg_that_forgot_is_looked_at_first(void)
{
	begin(true, 3);
	CHECK_EQ(refer(4, &above), 0);
	CHECK_EQ(io(above, DIRECTOR_WRITE, buf, 4), 0);
	backstore_share_forgot(share);
	CHECK_EQ(bs_caps_read(above, NULL), 0);         /* asked by somebody who has not seen an I/O fail */
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 4), -ENOTCONN);
	CHECK_EQ(io(above, DIRECTOR_WRITE, buf, 4), -ENOTCONN);
	CHECK_EQ(bs_caps_read(above, NULL), 0);
	CHECK_EQ(io(above, DIRECTOR_READ, seen, 4), 0);
	end();
}

int main(void)
{
	const char *top = getenv("top_builddir");
	char path[512];

	snprintf(path, sizeof(path), "%s/plugins", top ? top : ".");
	setenv("DIRECTOR_PLUGIN_PATH", path, 0);
	RUN(opening_a_leg_claims_it);
	RUN(fencing_a_reference_claims_its_leg);
	RUN(what_is_stored_counts_when_it_is_opened);
	RUN(io_waits_for_the_next_backstore);
	RUN(a_lost_right_is_waited_out);
	RUN(what_was_written_is_not_written_again);
	RUN(an_answer_waits_for_the_lease);
	RUN(a_stack_that_is_stopped_waits_for_nothing);
	RUN(without_a_volume_nothing_is_waited_for);
	RUN(a_switch_under_load_loses_nothing);
	RUN(a_leg_that_forgot_is_looked_at_first);
	return 0;
}
