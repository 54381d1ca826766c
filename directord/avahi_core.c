/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded mDNS responder. It must live beside an avahi-daemon on the same host, hence: no addresses
 * published by Avahi itself (both would claim the unique reverse record of the address, and rename each other
 * for ever), but address records of our own without a reverse, under a host name made of the node id.
 */
#include "directord/avahi_way.h"

#include <ev.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include <avahi-common/domain.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/strlst.h>
#include <avahi-core/core.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>
#include <avahi-core/rr.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "directord/avahi_ev.h"
#include "directord/netaddr.h"

#define AT_ONCE 4               /* services whose resolving begins in one turn; the others wait, and are mostly known then */
#define TURN .1                 /* seconds */
#define CROWD 9                 /* in larger company it is not asked on: see browse_due */
#define LOOK .05                /* seconds from one look at the company to the next, at the start */
#define LOOK_MAX 30.
#define ASK .8                  /* seconds for the answers to one question; the next would follow after one */
#define ASK_AGAIN_MAX 3600.     /* seconds */
#define CACHE_MAX 2048          /* records per interface */
#define TTL 4500                /* seconds, as RFC 6762 10 recommends; */
#define TTL_HOST 120            /* and of what names a host */

struct lookup {
	LIST_ENTRY(lookup) link;
	struct avahi_core *core;
	AvahiSServiceResolver *resolver;        /* NULL: it waits for its turn */
	AvahiIfIndex interface;
	AvahiProtocol protocol;
	char name[AVAHI_LABEL_MAX];
	unsigned tries;
};

struct avahi_core {
	const struct log *log;
	struct discover_conf conf;      /* its interfaces are borrowed */
	const struct netaddr *addrs;
	struct avahi_way_ops ops;
	void *arg;
	AvahiPoll *poll;
	AvahiServer *server;
	AvahiSEntryGroup *service, *hosts;
	AvahiSServiceBrowser *browser;
	char name[33];                  /* the service's: the node id */
	char full[64];                  /* with the type and domain */
	char host[64];                  /* "<node id>-dird.local" */
	LIST_HEAD(, lookup) lookups;
	unsigned n_lookups, n_started;  /* those started in this turn */
	struct ev_loop *loop;
	ev_timer turn, browse;
	struct mono asked;              /* since when there is a browser */
	unsigned asked_again;           /* times */
	bool running;
};

/* ---- publishing ---- */

static void group_state(AvahiServer *s, AvahiSEntryGroup *g, AvahiEntryGroupState state, void *arg)
{
	struct avahi_core *c = arg;

	/* The name is a hash of a key: only a copy of this node's disk can have it too. */
	if (state == AVAHI_ENTRY_GROUP_COLLISION)
		log_warn(c->log, "discover: another host announces node %s; was this disk copied?", c->name);
}

static void hosts_publish(struct avahi_core *c)
{
	const struct netaddr_entry *e;
	unsigned n, done = 0;

	if (!c->hosts)
		c->hosts = avahi_s_entry_group_new(c->server, group_state, c);
	if (!c->hosts)
		return;
	avahi_s_entry_group_reset(c->hosts);
	e = netaddr_list(c->addrs, &n);
	for (unsigned i = 0; i < n; i++) {
		AvahiAddress a = { .proto = e[i].addr.family == 4 ? AVAHI_PROTO_INET : AVAHI_PROTO_INET6 };

		if (!avahi_interface_ok(&c->conf, (int)e[i].ifindex))
			continue;
		memcpy(&a.data, e[i].addr.ip, e[i].addr.family == 4 ? 4 : 16);
		done += avahi_server_add_address(c->server, c->hosts, (AvahiIfIndex)e[i].ifindex, AVAHI_PROTO_UNSPEC,
		                                 AVAHI_PUBLISH_NO_REVERSE | AVAHI_PUBLISH_NO_PROBE, c->host, &a) >= 0;
	}
	if (done)
		avahi_s_entry_group_commit(c->hosts);
}

/* `flags` beside those that all have: see service_publish. Takes what `r` has. */
static int record_add(struct avahi_core *c, AvahiPublishFlags flags, AvahiRecord *r)
{
	int rc;

	if (!r)
		return AVAHI_ERR_NO_MEMORY;
	rc = avahi_server_add(c->server, c->service, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, AVAHI_PUBLISH_NO_PROBE | flags, r);
	avahi_record_unref(r);
	return rc;
}

static AvahiRecord *record(const char *name, uint16_t type, uint32_t ttl)
{
	return avahi_record_new_full(name, AVAHI_DNS_CLASS_IN, type, ttl);
}

static AvahiRecord *ptr(const char *name, const char *to)
{
	AvahiRecord *r = record(name, AVAHI_DNS_TYPE_PTR, TTL);

	if (r)
		r->data.ptr.name = avahi_strdup(to);
	return r;
}

static AvahiRecord *srv(const struct avahi_core *c)
{
	AvahiRecord *r = record(c->full, AVAHI_DNS_TYPE_SRV, TTL_HOST);

	if (r) {
		r->data.srv.port = c->conf.port;
		r->data.srv.name = avahi_strdup(c->host);
	}
	return r;
}

static AvahiRecord *txt(const struct avahi_core *c)
{
	AvahiRecord *r = record(c->full, AVAHI_DNS_TYPE_TXT, TTL);

	if (r)
		r->data.txt.string_list = avahi_txt_make(&c->conf.self);
	return r;
}

/*
 * Record by record, as Avahi's own function for services would probe for the name, which takes three quarters of a second:
 * the name is a hash of a key, and who has the same one is found out by gossip.
 */
static int service_publish(struct avahi_core *c)
{
	int rc;

	if (!c->service)
		c->service = avahi_s_entry_group_new(c->server, group_state, c);
	if (!c->service)
		return avahi_server_errno(c->server);
	if (avahi_s_entry_group_is_empty(c->service)) {
		rc = record_add(c, AVAHI_PUBLISH_UNIQUE, srv(c));
		if (rc >= 0)
			rc = record_add(c, AVAHI_PUBLISH_UNIQUE, txt(c));
		if (rc >= 0)
			rc = record_add(c, 0, ptr(AVAHI_TYPE ".local", c->full));
		if (rc >= 0)
			rc = record_add(c, 0, ptr("_services._dns-sd._udp.local", AVAHI_TYPE ".local"));
		if (rc >= 0)
			rc = avahi_s_entry_group_commit(c->service);
	} else {
		rc = record_add(c, AVAHI_PUBLISH_UNIQUE | AVAHI_PUBLISH_UPDATE, txt(c));
	}
	if (rc < 0)
		log_warn(c->log, "discover: publishing failed: %s", avahi_strerror(rc));
	return rc;
}

/* ---- browsing ---- */

static void lookup_free(struct lookup *l)
{
	if (l->resolver)
		avahi_s_service_resolver_free(l->resolver);
	LIST_REMOVE(l, link);
	l->core->n_lookups--;
	mem_autofree(&l);
}

static void lookup_start(struct lookup *l);

static void resolved(AvahiSServiceResolver *r, AvahiIfIndex interface, AvahiProtocol protocol, AvahiResolverEvent event,
                     const char *name, const char *type, const char *domain, const char *host, const AvahiAddress *a,
                     uint16_t port, AvahiStringList *txt, AvahiLookupResultFlags flags, void *arg)
{
	struct lookup *l = arg;
	struct avahi_core *c = l->core;
	struct discover_card card;
	struct addr addr;

	if (event != AVAHI_RESOLVER_FOUND) {
		if (++l->tries < AVAHI_RETRIES)
			lookup_start(l);
		else
			lookup_free(l);
		return;
	}
	addr = avahi_addr(a, interface, port);
	if (addr.family && port && avahi_txt_card(txt, &card))
		c->ops.found(c->arg, &addr, &card);
	/* A resolver that stays would ask again for ever, to keep its records fresh. */
	lookup_free(l);
}

static void lookup_start(struct lookup *l)
{
	struct avahi_core *c = l->core;

	if (l->resolver)
		avahi_s_service_resolver_free(l->resolver);
	l->resolver = avahi_s_service_resolver_new(c->server, l->interface, l->protocol, l->name, AVAHI_TYPE, "local",
	                                           l->protocol, 0, resolved, l);
	if (!l->resolver)
		lookup_free(l);
}

/* Many services come at once where many nodes are: a few lead to one that knows the others. */
static void turn(struct avahi_core *c)
{
	struct lookup *l, *next;

	for (l = LIST_FIRST(&c->lookups); l; l = next) {
		next = LIST_NEXT(l, link);
		if (l->resolver)
			continue;
		if (c->ops.known(c->arg, l->name)) {
			lookup_free(l);
		} else if (c->n_started < AT_ONCE) {
			c->n_started++;
			lookup_start(l);
		}
	}
	if (!ev_is_active(&c->turn)) {
		ev_timer_set(&c->turn, TURN, 0.);
		ev_timer_start(c->loop, &c->turn);
	}
}

static void turn_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct avahi_core *c = w->data;
	bool idle = c->n_started == 0;

	ev_timer_stop(loop, w);
	c->n_started = 0;
	if (!idle)
		turn(c);
}

static void browsed(AvahiSServiceBrowser *b, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
                    const char *name, const char *type, const char *domain, AvahiLookupResultFlags flags, void *arg)
{
	struct avahi_core *c = arg;
	struct lookup *l;

	if (event == AVAHI_BROWSER_FAILURE) {
		c->ops.state(c->arg, false, avahi_strerror(avahi_server_errno(c->server)));
		return;
	}
	if (event != AVAHI_BROWSER_NEW || strcmp(name, c->name) == 0 || !avahi_interface_ok(&c->conf, interface))
		return;
	if (c->n_lookups == AVAHI_RESOLVERS_MAX) {
		log_debug(c->log, "discover: too many services at once; %s is left out", name);
		return;
	}
	l = mem_zalloc(sizeof(*l));
	l->core = c;
	l->interface = interface;
	l->protocol = protocol;
	snprintf(l->name, sizeof(l->name), "%s", name);
	LIST_INSERT_HEAD(&c->lookups, l, link);
	c->n_lookups++;
	turn(c);
}

static bool browse_start(struct avahi_core *c)
{
	c->asked = mono_now();
	c->browser = avahi_s_service_browser_new(c->server, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, AVAHI_TYPE, NULL, 0, browsed, c);
	if (!c->browser)
		return false;
	ev_timer_set(&c->browse, LOOK, 0.);
	ev_timer_start(c->loop, &c->browse);
	return true;
}

/* Between three quarters and five quarters of it, by the node. */
static double about(const struct avahi_core *c, double seconds)
{
	return seconds * (.75 + c->conf.self.id.b[c->asked_again % sizeof(c->conf.self.id.b)] / 512.);
}

/*
 * A browser's question comes again after 1, 2, 4 ... seconds, with all answers known so far. N nodes that ask each other
 * hear N times N of those each time, and Avahi looks each one up in a list of all. In company gossip tells of the others, and
 * who comes finds us; so only now and then somebody asks once, for those who came to life where we could not hear them.
 * All together ask once a second, and ever more seldom.
 */
static void browse_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct avahi_core *c = w->data;
	double age = (double)mono_ms_between(c->asked, mono_now()) / 1000, wait;
	unsigned n = c->ops.company(c->arg);

	if (!c->browser && browse_start(c))
		return;
	if (!c->browser) {
		wait = LOOK_MAX;
	} else if (n <= CROWD || (c->asked_again && age < ASK)) {
		wait = age / 4 < LOOK ? LOOK : age / 4 > LOOK_MAX ? LOOK_MAX : age / 4;
	} else {
		avahi_s_service_browser_free(c->browser);
		c->browser = NULL;
		/* The first time some have hardly been heard of; from then on it is about those who could not be. */
		wait = about(c, (double)n * (c->asked_again ? (double)(2u << (c->asked_again < 12 ? c->asked_again : 12)) : 1.));
		if (wait > ASK_AGAIN_MAX)
			wait = about(c, ASK_AGAIN_MAX);
		c->asked_again++;
	}
	ev_timer_set(w, wait, 0.);
	ev_timer_start(loop, w);
}

/* ---- the server ---- */

/* What is refused is done anew, with a new server, when the caller tries again. */
static void announce(struct avahi_core *c)
{
	int rc = service_publish(c);

	c->ops.state(c->arg, rc >= 0, rc >= 0 ? NULL : avahi_strerror(rc));
}

static void server_state(AvahiServer *s, AvahiServerState state, void *arg)
{
	struct avahi_core *c = arg;

	c->server = s;          /* the first call comes from within avahi_server_new */
	if (state == AVAHI_SERVER_RUNNING && !c->running) {
		c->running = true;
		hosts_publish(c);
		announce(c);
	} else if (state == AVAHI_SERVER_FAILURE) {
		c->ops.state(c->arg, false, avahi_strerror(avahi_server_errno(s)));
	}
}

static void server_config(const struct avahi_core *c, AvahiServerConfig *conf)
{
	char host[40];

	avahi_server_config_init(conf);
	snprintf(host, sizeof(host), "%s-dird", c->name);
	avahi_free(conf->host_name);
	conf->host_name = avahi_strdup(host);
	conf->use_ipv4 = conf->use_ipv6 = 1;
	conf->publish_addresses = conf->publish_hinfo = conf->publish_workstation = conf->publish_domain = 0;
	conf->publish_aaaa_on_ipv4 = conf->publish_a_on_ipv6 = 0;
	conf->enable_wide_area = 0;
	conf->disallow_other_stacks = 0;
	conf->n_cache_entries_max = CACHE_MAX;
	for (unsigned i = 0; i < c->conf.n_interfaces; i++)
		conf->allow_interfaces = avahi_string_list_add(conf->allow_interfaces, c->conf.interfaces[i]);
	conf->deny_interfaces = avahi_string_list_add(conf->deny_interfaces, "lo");
}

struct avahi_core *avahi_core_new(struct ev_loop *loop, const struct discover_conf *conf, const struct netaddr *addrs,
                                  const struct avahi_way_ops *ops, void *arg, char **why)
{
	struct avahi_core *c = mem_zalloc(sizeof(*c));
	AvahiServerConfig server;
	int err = 0;

	*c = (struct avahi_core){ .log = conf->log, .conf = *conf, .addrs = addrs, .ops = *ops, .arg = arg };
	LIST_INIT(&c->lookups);
	c->loop = loop;
	ev_timer_init(&c->turn, turn_due, TURN, 0.);
	ev_timer_init(&c->browse, browse_due, LOOK, 0.);
	c->turn.data = c->browse.data = c;
	node_id_text(&conf->self.id, c->name);
	snprintf(c->full, sizeof(c->full), "%s." AVAHI_TYPE ".local", c->name);
	snprintf(c->host, sizeof(c->host), "%s-dird.local", c->name);
	avahi_own_add(c->name);
	c->poll = avahi_ev_new(loop);
	server_config(c, &server);
	c->server = avahi_server_new(c->poll, &server, server_state, c, &err);
	avahi_server_config_free(&server);
	if (!c->server || !browse_start(c)) {
		if (why)
			*why = mem_strdup(avahi_strerror(c->server ? avahi_server_errno(c->server) : err));
		avahi_core_free(&c);
	}
	return c;
}

void avahi_core_free(struct avahi_core **cp)
{
	struct avahi_core *c = *cp;
	struct lookup *l;

	if (!c)
		return;
	ev_timer_stop(c->loop, &c->turn);
	ev_timer_stop(c->loop, &c->browse);
	while ((l = LIST_FIRST(&c->lookups)))
		lookup_free(l);
	if (c->browser)
		avahi_s_service_browser_free(c->browser);
	if (c->server)
		avahi_server_free(c->server);   /* with its groups; says goodbye */
	avahi_ev_free(&c->poll);
	avahi_own_remove(c->name);
	mem_autofree(cp);
	*cp = NULL;
}

void avahi_core_publish(struct avahi_core *c, const char *cluster)
{
	snprintf(c->conf.self.cluster, sizeof(c->conf.self.cluster), "%s", cluster);
	if (c->running)
		announce(c);
}

void avahi_core_addrs(struct avahi_core *c)
{
	if (c->running)
		hosts_publish(c);
}
