/* SPDX-License-Identifier: Apache-2.0 */
/* directord/seeds: what is a seed, and that names are resolved beside the loop. */
#include "directord/seeds.h"

#include "base/err.h"
#include "tests/unit/check.h"
#include "tests/unit/loop.h"

static struct addr got[16];
static unsigned n;

static void found(void *arg, const struct addr *a)
{
	if (n < 16)
		got[n++] = *a;
}

static bool has(const char *text)
{
	char t[64];

	for (unsigned i = 0; i < n; i++)
		if (strcmp(addr_text(&got[i], t), text) == 0)
			return true;
	return false;
}

static void addresses_and_names_are_seeds_and_junk_is_not(void)
{
	static const char *const good[] = { "10.0.0.1", "10.0.0.1:99", "fe80::1%3", "[fe80::1%3]:7340", "san1", "san1.example.org:7340" };
	static const char *const bad[] = { "", ":7340", "10.0.0.256", "san1:0", "san1:70000", "san 1", "a/b", "[::1" };

	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++)
		CHECK_EQ(seeds_check(good[i]), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_EQ(seeds_check(bad[i]), ERR_INVAL);
}

static void addresses_come_at_once_and_names_when_resolved(void)
{
	static char a[] = "10.9.8.7", b[] = "[2001:db8::1]:44", c[] = "localhost:1234", d[] = "no-such-host.invalid";
	char *const seeds[] = { a, b, c, d };
	struct ev_loop *loop = ev_default_loop(0);
	struct seeds *s = seeds_new(loop, seeds, 4, 7340, found, NULL, NULL);

	LOOP_UNTIL(loop, has("10.9.8.7:7340") && has("[2001:db8::1]:44") && (has("127.0.0.1:1234") || has("[::1]:1234")));
	/* And again after a pause, or when asked. */
	n = 0;
	seeds_again(s);
	LOOP_UNTIL(loop, has("10.9.8.7:7340"));
	n = 0;
	LOOP_UNTIL(loop, has("10.9.8.7:7340"));
	seeds_free(&s);
	ev_loop_destroy(loop);
}

int main(void)
{
	RUN(addresses_and_names_are_seeds_and_junk_is_not);
	RUN(addresses_come_at_once_and_names_when_resolved);
	return 0;
}
