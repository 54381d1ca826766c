/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directord/discover with real mDNS: two network namespaces joined by a veth pair, an embedded responder in each. Both must find
 * the other: at its IPv4 address and not at the link-local IPv6 one when it has both, and at the latter when there is
 * nothing else. Who is in company asks once and seldom again, and finds the other all the same. Needs root; skipped without.
 */
#include "directord/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/check.h"
#include "tests/unit/loop.h"

#define SKIP 77

struct seen {
	struct ev_loop *loop;
	bool four, six;
	uint8_t other;
};

static int sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

static void found(void *arg, const struct addr *a, const struct discover_card *card)
{
	struct seen *s = arg;
	char t[64];

	printf("  node %u: %s cluster \"%s\"\n", card->id.b[0], addr_text(a, t), card->cluster);
	CHECK_EQ(card->id.b[0], s->other);
	CHECK_EQ(a->port, 7340);
	s->four |= a->family == 4 && a->ip[3] == s->other;
	s->six |= a->family == 6 && (!addr_is_linklocal(a) || a->scope);
	CHECK_STR(card->cluster, "00112233445566aa");
}

static unsigned many(void *arg)
{
	return 10;
}

/* `later`: the first is in company, and the other comes when it has ceased to ask. */
static int node(uint8_t number, const char *ns, bool v4, bool later)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct discover_conf conf = { .mode = DISCOVER_EMBEDDED, .port = 7340, .self = { .version = 1, .cluster = "00112233445566aa" } };
	struct seen seen = { .loop = loop, .other = number == 1 ? 2 : 1 };
	struct mono begin = mono_now();
	char path[64];
	struct discover *d;
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(setns(fd, CLONE_NEWNET), 0);
	close(fd);
	conf.self.id.b[0] = number;
	if (later && number == 1)
		conf.company = many;
	else if (later)
		LOOP_FOR(loop, 1.);
	d = discover_new(loop, &conf, found, &seen);
	LOOP_UNTIL(loop, v4 ? seen.four : seen.six);
	CHECK_STR(discover_status(d), "embedded");
	printf("  node %u: found after %u ms\n", number, (unsigned)mono_ms_between(begin, mono_now()));
	/* Long enough for the other to have found us, and for what must not come. */
	LOOP_FOR(loop, later && number == 2 ? 60. : 2.);
	CHECK_EQ(seen.four, v4);
	CHECK_EQ(seen.six, !v4);
	discover_free(&d);
	ev_loop_destroy(loop);
	return 0;
}

static void both_find_each_other(const char *one, const char *two, bool v4, bool later)
{
	pid_t pid[2];
	int status;

	for (int i = 0; i < 2; i++) {
		fflush(stdout);
		pid[i] = fork();
		CHECK(pid[i] >= 0);
		if (pid[i] == 0)
			exit(node((uint8_t)(i + 1), i == 0 ? one : two, v4, later));
	}
	for (int i = 0; i < 2; i++) {
		if (later && i == 1)
			kill(pid[i], SIGKILL);
		CHECK_EQ(waitpid(pid[i], &status, 0), pid[i]);
		if (later && i == 1)
			break;
		CHECK(WIFEXITED(status));
		CHECK_EQ(WEXITSTATUS(status), 0);
	}
}

static char a[32], b[32];

static void clean(void)
{
	static pid_t owner;

	if (!owner)
		owner = getpid();
	else if (owner == getpid())
		sh("ip netns del %s 2>/dev/null; ip netns del %s 2>/dev/null", a, b);
}

static void nobody(void *arg, const struct addr *at, const struct discover_card *card)
{
	CHECK(!arg);
}

/* A D-Bus that takes connections and never says a word: its answer is waited for 25 s, by a thread that nobody waits for. */
static void the_end_does_not_wait_for_a_bus_that_hangs(void)
{
	struct discover_conf conf = { .mode = DISCOVER_AVAHI, .port = 7340, .self = { .version = 1 } };
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	char dir[] = "/tmp/director-bus.XXXXXX", said[256], address[128];
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int bus = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct discover *d;
	ssize_t n;

	CHECK(mkdtemp(dir));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/bus", dir);
	snprintf(address, sizeof(address), "unix:path=%s", at.sun_path);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	CHECK_EQ(bind(bus, (void *)&at, sizeof(at)), 0);
	CHECK_EQ(listen(bus, 8), 0);
	d = discover_new(loop, &conf, nobody, NULL);
	fd = accept(bus, NULL, NULL);
	CHECK(fd >= 0);
	discover_free(&d);
	/* It is at its call still. */
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((n = read(fd, said, sizeof(said))) > 0)
		;
	CHECK(n < 0 && errno == EAGAIN);
	/* The bus ends, and so does the call. */
	unlink(at.sun_path);
	close(bus);
	close(fd);
	LOOP_FOR(loop, 1.);
	ev_loop_destroy(loop);
	rmdir(dir);
	unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
}

int main(void)
{
	RUN(the_end_does_not_wait_for_a_bus_that_hangs);
	if (geteuid() != 0) {
		printf("skipped: network namespaces need root\n");
		return SKIP;
	}
	snprintf(a, sizeof(a), "dtd%da", getpid());
	snprintf(b, sizeof(b), "dtd%db", getpid());
	if (sh("ip netns add %s 2>/dev/null && ip netns add %s", a, b) != 0) {
		printf("skipped: no network namespaces here\n");
		return SKIP;
	}
	clean();
	atexit(clean);
	CHECK_EQ(sh("ip -n %s link add v1 type veth peer name v2 netns %s && ip -n %s addr add 10.78.0.1/24 dev v1 && "
	            "ip -n %s addr add 10.78.0.2/24 dev v2 && ip -n %s link set lo up && ip -n %s link set lo up && "
	            "ip -n %s link set v1 up && ip -n %s link set v2 up", a, b, a, b, a, b, a, b), 0);
	/* Until then the link-local addresses are being probed, and cannot be used. */
	sh("for i in $(seq 50); do ip -n %s -6 addr | grep -q tentative || break; sleep 0.1; done", a);
	both_find_each_other(a, b, true, false);
	printf("ok namespaces_find_each_other_at_the_better_address\n");
	both_find_each_other(a, b, true, true);
	printf("ok who_is_in_company_asks_again\n");
	CHECK_EQ(sh("ip -n %s addr del 10.78.0.1/24 dev v1 && ip -n %s addr del 10.78.0.2/24 dev v2", a, b), 0);
	both_find_each_other(a, b, false, false);
	printf("ok namespaces_find_each_other_by_link_local_ipv6\n");
	return 0;
}
