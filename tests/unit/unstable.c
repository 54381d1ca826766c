/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of writes that a server elsewhere has not flushed (base/unstable.h). */
#include "base/unstable.h"
#include "tests/unit/check.h"

static struct unstable u;

static void begin(void)
{
	u = (struct unstable){ .life = 0 };
	unstable_init(&u);
}

static int flush(void)
{
	struct unstable_mark m = unstable_mark(&u);

	return unstable_flushed(&u, &m);
}

static void what_was_flushed_cannot_be_lost(void)
{
	uint64_t life;

	begin();
	life = unstable_life(&u);
	CHECK(life && !unstable_lost(&u));
	unstable_changed(&u);
	CHECK_EQ(flush(), 0);
	CHECK(!unstable_lost(&u));
	CHECK_EQ(flush(), 0);
	CHECK_EQ(unstable_life(&u), life);
}

static void a_loss_is_told_once(void)
{
	uint64_t life;

	begin();
	life = unstable_life(&u);
	unstable_changed(&u);
	CHECK(unstable_lost(&u));
	CHECK(unstable_life(&u) != life);
	CHECK(!unstable_lost(&u));                      /* the same writes are not lost twice */
	CHECK_EQ(flush(), -EIO);
	CHECK_EQ(flush(), 0);
	unstable_changed(&u);
	CHECK(unstable_lost(&u));
	CHECK_EQ(flush(), -EIO);
}

static void a_flush_covers_what_had_ended_when_it_came(void)
{
	struct unstable_mark m;

	begin();
	unstable_changed(&u);
	m = unstable_mark(&u);
	unstable_changed(&u);
	CHECK_EQ(unstable_flushed(&u, &m), 0);
	CHECK(unstable_lost(&u));
}

static void all_flushes_that_were_under_way_are_told(void)
{
	struct unstable_mark a, b;

	begin();
	unstable_changed(&u);
	a = unstable_mark(&u);
	b = unstable_mark(&u);
	CHECK(unstable_lost(&u));
	CHECK_EQ(unstable_flushed(&u, &a), -EIO);
	CHECK_EQ(unstable_flushed(&u, &b), -EIO);
	CHECK_EQ(flush(), 0);
}

int main(void)
{
	RUN(what_was_flushed_cannot_be_lost);
	RUN(a_loss_is_told_once);
	RUN(a_flush_covers_what_had_ended_when_it_came);
	RUN(all_flushes_that_were_under_way_are_told);
	return 0;
}
