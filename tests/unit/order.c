/* SPDX-License-Identifier: Apache-2.0 */
/* The order of reads and writes of one region (plugins/common/order.c), step by step, with the threads aside played here. */
#include "config.h"

#include "plugins/common/disk.h"
#include "tests/unit/check.h"

static struct director_io *aside[8];
static unsigned n_aside;
static struct disk disk;

struct aside *aside_new(void)
{
	return (struct aside *)aside;
}

void aside_free(struct aside **a)
{
	*a = NULL;
}

void aside_put(struct aside *a, struct director_io *io)
{
	aside[n_aside++] = io;
}

static void begin(void)
{
	disk.order = order_new();
	CHECK(disk.order != NULL);
	n_aside = 0;
}

static bool start(struct director_io *io, uint16_t op, uint64_t offset, uint64_t len)
{
	*io = (struct director_io){ .op = op, .offset = offset, .len = len };
	*disk_state(io) = (struct disk_state){ .disk = &disk };
	return order_begin(disk.order, io);
}

static void who_meets_nobody_goes(void)
{
	struct director_io a, b, c, f;

	begin();
	CHECK(start(&a, DIRECTOR_WRITE, 0, 4096));
	CHECK(start(&b, DIRECTOR_READ, 1 << 20, 4096));
	CHECK(start(&c, DIRECTOR_READ, 1 << 20, 65536));
	CHECK(start(&f, DIRECTOR_FLUSH, 0, 0));
	CHECK(order_end(&a, 0) && order_end(&b, 0) && order_end(&c, 0) && order_end(&f, 0));
	CHECK_EQ(n_aside, 0);
	order_free(&disk.order);
}

static void a_read_that_meets_a_write_waits_for_it(void)
{
	struct director_io w, r;

	begin();
	CHECK(start(&w, DIRECTOR_WRITE, 16384, 512));
	CHECK(!start(&r, DIRECTOR_READ, 0, 65536));
	CHECK(n_aside == 1 && aside[0] == &r);
	CHECK(order_end(&w, 0));
	order_hold(&r);
	CHECK(order_end(&r, 0));
	order_free(&disk.order);
}

static void a_read_that_a_write_overtook_is_done_again(void)
{
	static const uint16_t ops[] = { DIRECTOR_WRITE, DIRECTOR_WRITE_ZEROES, DIRECTOR_DISCARD };
	struct director_io w, r;

	for (unsigned i = 0; i < 6; i++) {
		begin();
		CHECK(start(&r, DIRECTOR_READ, 0, 65536));
		CHECK(start(&w, ops[i / 2], 16384, 512));
		/* Over already, or not yet. */
		if (i % 2)
			CHECK(order_end(&w, 0));
		CHECK(!order_end(&r, 0));
		CHECK(n_aside == 1 && aside[0] == &r);
		if (!(i % 2))
			CHECK(order_end(&w, 0));
		order_hold(&r);
		CHECK(order_end(&r, 0));
		order_free(&disk.order);
	}
}

static void who_holds_is_alone(void)
{
	struct director_io before, r, w, w2, other;

	begin();
	CHECK(start(&before, DIRECTOR_READ, 4096, 4096));
	CHECK(start(&w, DIRECTOR_WRITE, 0, 4096));
	CHECK(!start(&r, DIRECTOR_READ, 0, 4096));
	CHECK(order_end(&w, 0));
	order_hold(&r);
	CHECK(!start(&w2, DIRECTOR_WRITE, 0, 65536));
	CHECK(start(&other, DIRECTOR_WRITE, 1 << 20, 4096));
	CHECK(order_end(&r, 0));
	/* The one that gave up has left no trace. */
	CHECK(start(&r, DIRECTOR_READ, 16384, 4096) && order_end(&r, 0));
	order_hold(&w2);
	CHECK(order_end(&w2, 0));
	CHECK(!order_end(&before, 0));
	CHECK(order_end(&other, 0));
	order_free(&disk.order);
}

/* Longer than the table: each word once. */
static void a_long_one_ends_as_it_began(void)
{
	struct director_io w, r;

	begin();
	CHECK(start(&w, DIRECTOR_DISCARD, 512, 1ull << 40));
	CHECK(!start(&r, DIRECTOR_READ, 0, 512));
	CHECK(order_end(&w, 0));
	CHECK(start(&r, DIRECTOR_READ, 0, 512) && order_end(&r, 0));
	order_free(&disk.order);
}

int main(void)
{
	RUN(who_meets_nobody_goes);
	RUN(a_read_that_meets_a_write_waits_for_it);
	RUN(a_read_that_a_write_overtook_is_done_again);
	RUN(who_holds_is_alone);
	RUN(a_long_one_ends_as_it_began);
	return 0;
}
