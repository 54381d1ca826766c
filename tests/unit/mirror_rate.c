/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror's machine, whose clock goes by ticks: what is bounded goes as fast as the bound allows, and no faster. */
#include "plugins/mirror/machine.h"

#include <string.h>

#include "tests/unit/check.h"

#define MIB (1ull << 20)
#define SIZE (64 * MIB)
#define TICK_MS 100

static struct mono now;
static uint64_t copied;

/* Storage that does everything at once; both legs have the same digests. */
static void storage(struct mirror *m)
{
	struct mirror_io *io;

	while ((io = TAILQ_FIRST(mirror_todo(m)))) {
		TAILQ_REMOVE(mirror_todo(m), io, entry);
		if (io->kind == MIRROR_IO_SUM)
			memset(io->sum, 7, MIRROR_GROUPS_MAX * MIRROR_SUM);
		copied += io->kind == MIRROR_IO_WRITE ? io->len : 0;
		mirror_done(m, io, 0);
	}
}

static void ticks(struct mirror *m, unsigned n)
{
	while (n--) {
		now = mono_add_ms(now, TICK_MS);
		mirror_tick(m, now);
		storage(m);
	}
}

static struct mirror *opened(enum mirror_state second, uint64_t rate, uint64_t scrub_rate)
{
	struct mirror_conf c = { .uuid = "volume", .epoch = 2, .size = SIZE, .region = MIB, .pages_max = 1, .chunk = MIB / 4, .group = MIB / 16,
		.page = 4096, .rate = rate, .scrub_rate = scrub_rate, .clean_ms = 2000, .n_leg = 2,
		.leg = { { .uuid = "a", .state = MIRROR_IN, .turn = 1, .member = 1, .local = true }, { .uuid = "b", .state = second, .turn = 1, .member = 1 } } };
	struct mirror_leg_says says[2] = { { .here = true, .known = true, .life = 1 }, { .here = true, .known = true, .life = 1 } };
	static const uint64_t none[512];
	struct mirror_plan plan;
	struct mirror *m;

	for (unsigned i = 0; i < 2; i++) {
		memcpy(says[i].meta.volume, c.uuid, 16);
		memcpy(says[i].meta.leg, c.leg[i].uuid, 16);
		says[i].meta.epoch = says[i].meta.member = says[i].meta.life = says[i].meta.seq = 1;
		says[i].meta.size = SIZE;
		says[i].meta.region = MIB;
		says[i].meta.quiet = true;
		/* One that is out is copied in full. */
		says[i].meta.bits = i == 0 || second == MIRROR_IN;
		says[i].bits = none;
	}
	now = (struct mono){ 5000000000u };
	copied = 0;
	CHECK_EQ(mirror_assemble(c.leg, says, 2, false, &plan), 0);
	m = mirror_new(&c, says, &plan, now);
	storage(m);
	ticks(m, 2);
	CHECK(mirror_is_open(m));
	return m;
}

/* How much of it is compared in a second? */
static void a_scrub_goes_as_fast_as_it_may(void)
{
	struct mirror *m = opened(MIRROR_IN, 0, 20 * MIB);

	mirror_scrub(m, 1);
	storage(m);
	ticks(m, 10);
	CHECK(mirror_scrub_now(m)->at >= 20 * MIB && mirror_scrub_now(m)->at <= 25 * MIB);
	mirror_rates(m, 0, MIB);
	ticks(m, 10);
	CHECK(mirror_scrub_now(m)->at <= 28 * MIB);
	mirror_rates(m, 0, 0);
	storage(m);
	ticks(m, 1);
	CHECK(!mirror_scrub_now(m)->running);
	mirror_free(&m);
}

static void a_resync_goes_as_fast_as_it_may(void)
{
	struct mirror *m = opened(MIRROR_OUT, 20 * MIB, 0);
	uint64_t before = copied;

	ticks(m, 10);
	CHECK(copied - before >= 18 * MIB && copied - before <= 22 * MIB);
	mirror_free(&m);
}

int main(void)
{
	RUN(a_scrub_goes_as_fast_as_it_may);
	RUN(a_resync_goes_as_fast_as_it_may);
	return 0;
}
