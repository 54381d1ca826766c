/* SPDX-License-Identifier: Apache-2.0 */
/* directord/seeds: what is a seed, and that names are resolved beside the loop. */
#include "directord/seeds.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <unistd.h>

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

/* A resolver that does not answer for this name before it is told to. */
static sem_t asked, may_answer;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (strcmp(name, "slow.invalid") == 0) {
		sem_post(&asked);
		sem_wait(&may_answer);
		return EAI_AGAIN;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(name, service, hints, list);
}

static bool is_asked(void)
{
	int n_asked;

	return sem_getvalue(&asked, &n_asked) == 0 && n_asked > 0;
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

/* A reload, or the end, while the resolver hangs: the loop, which has leases to keep, must not wait for it. */
static void nobody_waits_for_a_resolver_that_hangs(void)
{
	static char a[] = "slow.invalid", b[] = "slow.invalid:2";
	char *const seeds[] = { a, b };
	struct ev_loop *loop = ev_default_loop(0);
	struct seeds *s = seeds_new(loop, seeds, 2, 7340, found, NULL, NULL);

	LOOP_UNTIL(loop, is_asked());
	seeds_free(&s);         /* an alarm ends the test otherwise */
	ev_loop_destroy(loop);
	sem_post(&may_answer);
	sem_post(&may_answer);
}

int main(void)
{
	sem_init(&asked, 0, 0);
	sem_init(&may_answer, 0, 0);
	alarm(300);
	RUN(addresses_and_names_are_seeds_and_junk_is_not);
	RUN(addresses_come_at_once_and_names_when_resolved);
	RUN(nobody_waits_for_a_resolver_that_hangs);
	return 0;
}
