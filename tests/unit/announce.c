/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An announcement that Avahi refuses once: it is said, and made again. The functions of Avahi that matter stand here, before those of
 * its libraries: nothing leaves the program, and the next one to be asked says no if it is told to.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/error.h>
#include <avahi-core/core.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>

#include "directord/avahi_way.h"
#include "directord/netaddr.h"
#include "tests/unit/check.h"
#include "tests/unit/loop.h"

static int something;                   /* what all handles point to */
static bool refuses, begun;
static unsigned asked;

static int answer(void)
{
	bool no = refuses;

	asked++;
	refuses = false;
	begun = !no;
	return no ? AVAHI_ERR_TOO_MANY_ENTRIES : 0;
}

/* ---- through the daemon ---- */

AvahiClient *avahi_client_new(const AvahiPoll *poll, AvahiClientFlags flags, AvahiClientCallback callback, void *arg, int *err)
{
	callback((AvahiClient *)&something, AVAHI_CLIENT_S_RUNNING, arg);
	return (AvahiClient *)&something;
}

void avahi_client_free(AvahiClient *c)
{
}

int avahi_client_errno(AvahiClient *c)
{
	return AVAHI_ERR_TOO_MANY_ENTRIES;
}

AvahiEntryGroup *avahi_entry_group_new(AvahiClient *c, AvahiEntryGroupCallback callback, void *arg)
{
	return answer() < 0 ? NULL : (AvahiEntryGroup *)&something;
}

int avahi_entry_group_is_empty(AvahiEntryGroup *g)
{
	return true;
}

int avahi_entry_group_add_service_strlst(AvahiEntryGroup *g, AvahiIfIndex interface, AvahiProtocol protocol, AvahiPublishFlags flags,
                                         const char *name, const char *type, const char *domain, const char *host, uint16_t port,
                                         AvahiStringList *txt)
{
	return 0;
}

int avahi_entry_group_commit(AvahiEntryGroup *g)
{
	return 0;
}

AvahiServiceBrowser *avahi_service_browser_new(AvahiClient *c, AvahiIfIndex interface, AvahiProtocol protocol, const char *type,
                                               const char *domain, AvahiLookupFlags flags, AvahiServiceBrowserCallback callback,
                                               void *arg)
{
	return (AvahiServiceBrowser *)&something;
}

/* ---- by ourselves ---- */

AvahiServer *avahi_server_new(const AvahiPoll *poll, const AvahiServerConfig *conf, AvahiServerCallback callback, void *arg, int *err)
{
	begun = false;
	callback((AvahiServer *)&something, AVAHI_SERVER_RUNNING, arg);
	return (AvahiServer *)&something;
}

void avahi_server_free(AvahiServer *s)
{
}

int avahi_server_errno(AvahiServer *s)
{
	return AVAHI_ERR_TOO_MANY_ENTRIES;
}

AvahiSEntryGroup *avahi_s_entry_group_new(AvahiServer *s, AvahiSEntryGroupCallback callback, void *arg)
{
	return (AvahiSEntryGroup *)&something;
}

void avahi_s_entry_group_reset(AvahiSEntryGroup *g)
{
}

int avahi_s_entry_group_is_empty(AvahiSEntryGroup *g)
{
	return !begun;
}

int avahi_s_entry_group_commit(AvahiSEntryGroup *g)
{
	return answer();
}

int avahi_server_add(AvahiServer *s, AvahiSEntryGroup *g, AvahiIfIndex interface, AvahiProtocol protocol, AvahiPublishFlags flags,
                     AvahiRecord *r)
{
	return flags & AVAHI_PUBLISH_UPDATE ? answer() : 0;
}

int avahi_server_add_address(AvahiServer *s, AvahiSEntryGroup *g, AvahiIfIndex interface, AvahiProtocol protocol,
                             AvahiPublishFlags flags, const char *name, AvahiAddress *a)
{
	return -1;                      /* no address of this machine: nothing more to commit than the service */
}

AvahiSServiceBrowser *avahi_s_service_browser_new(AvahiServer *s, AvahiIfIndex interface, AvahiProtocol protocol, const char *type,
                                                  const char *domain, AvahiLookupFlags flags, AvahiSServiceBrowserCallback callback,
                                                  void *arg)
{
	return (AvahiSServiceBrowser *)&something;
}

void avahi_s_service_browser_free(AvahiSServiceBrowser *b)
{
}

/* ---- the tests ---- */

static unsigned works, fails;
static char reason[128];

static void state(void *arg, bool well, const char *why)
{
	works += well;
	fails += !well;
	snprintf(reason, sizeof(reason), "%s", why ? why : "");
}

static void found(void *arg, const struct addr *addr, const struct discover_card *card)
{
}

static bool known(void *arg, const char *name)
{
	return false;
}

static unsigned company(void *arg)
{
	return 1;
}

static const struct avahi_way_ops ops = { .found = found, .known = known, .company = company, .state = state };

static struct discover_conf conf_of(enum discover_mode mode)
{
	struct discover_conf conf = { .mode = mode, .port = 7340, .self = { .version = 1, .cluster = "00112233445566aa" } };

	conf.self.id.b[0] = 1;
	works = fails = asked = 0;
	return conf;
}

/* Whoever runs it makes a new one then (discover.c). */
static void the_own_responder_says_that_it_was_refused(void)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct discover_conf conf = conf_of(DISCOVER_EMBEDDED);
	struct netaddr *addrs = netaddr_new(loop, NULL, NULL);
	struct avahi_core *core;

	refuses = true;
	core = avahi_core_new(loop, &conf, addrs, &ops, NULL, NULL);
	CHECK(core && fails == 1 && works == 0);
	CHECK_STR(reason, avahi_strerror(AVAHI_ERR_TOO_MANY_ENTRIES));
	avahi_core_free(&core);
	core = avahi_core_new(loop, &conf, addrs, &ops, NULL, NULL);
	CHECK(core && fails == 1 && works == 1 && asked == 2);
	avahi_core_publish(core, "00112233445566bb");
	CHECK(fails == 1 && works == 2 && asked == 3);
	refuses = true;
	avahi_core_publish(core, "00112233445566cc");
	CHECK(fails == 2 && works == 2);
	avahi_core_free(&core);
	netaddr_free(&addrs);
	ev_loop_destroy(loop);
}

/* In a process of its own: what it holds of the daemon is nothing that could be freed. */
static void the_daemon_is_asked_again(void)
{
	struct discover_conf conf = conf_of(DISCOVER_AVAHI);
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

		refuses = true;
		CHECK(avahi_client_start(loop, &conf, &ops, NULL) != NULL);
		LOOP_UNTIL(loop, fails == 1);
		CHECK_STR(reason, avahi_strerror(AVAHI_ERR_TOO_MANY_ENTRIES));
		LOOP_UNTIL(loop, works == 1);
		CHECK_EQ(asked, 2);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	RUN(the_own_responder_says_that_it_was_refused);
	RUN(the_daemon_is_asked_again);
	return 0;
}
