/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mDNS through the host's avahi-daemon. libavahi-client waits for D-Bus answers inside its calls, up to 25 s when the
 * daemon hangs; so it lives in a thread with a loop of its own, and what it finds is handed over.
 */
#include "directord/avahi_way.h"

#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/domain.h>
#include <avahi-common/error.h>
#include <avahi-common/strlst.h>

#include "base/log.h"
#include "base/mem.h"
#include "directord/avahi_ev.h"

#define RETRY 10.               /* seconds between attempts to reach D-Bus */
#define STOP_MS 500             /* that a stop waits for the thread */
#define EVENTS_MAX 4096         /* waiting for the loop */

struct event {
	bool found;                     /* else a change of state */
	struct addr addr;
	struct discover_card card;
	bool works;
	char why[96];
};

struct lookup {
	LIST_ENTRY(lookup) link;
	struct avahi_client *client;
	AvahiServiceResolver *resolver;
	AvahiIfIndex interface;
	AvahiProtocol protocol;
	char name[AVAHI_LABEL_MAX], domain[AVAHI_DOMAIN_NAME_MAX];
	unsigned tries;
};

struct avahi_client {
	const struct log *log;
	struct discover_conf conf;
	struct avahi_way_ops ops;
	void *arg;
	pthread_t thread;
	/* The caller's side. */
	struct ev_loop *loop;
	ev_async events_ready;
	/* Between the two, under lock. */
	pthread_mutex_t lock;
	pthread_cond_t end;
	bool left;                      /* the caller has; nothing is for it any more */
	bool ended, orphan;             /* the thread is through; it frees all this itself */
	struct event *event;
	unsigned n_events, cap_events;
	char cluster[17];
	/* The thread's side. */
	struct ev_loop *own;
	ev_async poke, stop;
	ev_timer retry;
	AvahiPoll *poll;
	AvahiClient *client;
	AvahiEntryGroup *group;
	AvahiServiceBrowser *browser;
	LIST_HEAD(, lookup) lookups;
	unsigned n_lookups;
	char name[33];
	bool works;
};

/* ---- handing over ---- */

static void event_put(struct avahi_client *c, const struct event *e)
{
	pthread_mutex_lock(&c->lock);
	if (c->n_events < EVENTS_MAX && !c->left) {
		c->event = mem_grow(c->event, &c->cap_events, c->n_events, sizeof(*c->event));
		c->event[c->n_events++] = *e;
	}
	if (!c->left)
		ev_async_send(c->loop, &c->events_ready);
	pthread_mutex_unlock(&c->lock);
}

static void state_put(struct avahi_client *c, bool works, const char *why)
{
	struct event e = { .works = works };

	c->works = works;
	snprintf(e.why, sizeof(e.why), "%s", why ? why : "");
	event_put(c, &e);
}

static bool has_left(struct avahi_client *c)
{
	bool left;

	pthread_mutex_lock(&c->lock);
	left = c->left;
	pthread_mutex_unlock(&c->lock);
	return left;
}

/* On the caller's loop. */
static void events_take(struct ev_loop *loop, ev_async *w, int revents)
{
	struct avahi_client *c = w->data;
	struct avahi_way_ops ops = c->ops;
	void *arg = c->arg;
	struct event *e;
	unsigned n;

	pthread_mutex_lock(&c->lock);
	e = c->event;
	n = c->n_events;
	c->event = NULL;
	c->n_events = c->cap_events = 0;
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < n; i++) {
		if (e[i].found)
			ops.found(arg, &e[i].addr, &e[i].card);
		else
			ops.state(arg, e[i].works, e[i].why);
	}
	mem_autofree(&e);
}

/* ---- publishing ---- */

static void group_state(AvahiEntryGroup *g, AvahiEntryGroupState state, void *arg)
{
	struct avahi_client *c = arg;

	if (state == AVAHI_ENTRY_GROUP_COLLISION && !has_left(c))
		log_warn(c->log, "discover: another host announces node %s; was this disk copied?", c->name);
}

static int publish(struct avahi_client *c)
{
	struct discover_card card = c->conf.self;
	AvahiStringList *txt;
	int rc;

	pthread_mutex_lock(&c->lock);
	memcpy(card.cluster, c->cluster, sizeof(card.cluster));
	pthread_mutex_unlock(&c->lock);
	if (!c->group)
		c->group = avahi_entry_group_new(c->client, group_state, c);
	if (!c->group)
		return avahi_client_errno(c->client);
	txt = avahi_txt_make(&card);
	if (avahi_entry_group_is_empty(c->group)) {
		rc = avahi_entry_group_add_service_strlst(c->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0, c->name, AVAHI_TYPE,
		                                          NULL, NULL, c->conf.port, txt);
		if (rc >= 0)
			rc = avahi_entry_group_commit(c->group);
	} else {
		rc = avahi_entry_group_update_service_txt_strlst(c->group, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, 0, c->name,
		                                                 AVAHI_TYPE, NULL, txt);
	}
	avahi_string_list_free(txt);
	return rc;
}

/* ---- browsing ---- */

static void lookup_free(struct lookup *l)
{
	if (l->resolver)
		avahi_service_resolver_free(l->resolver);
	LIST_REMOVE(l, link);
	l->client->n_lookups--;
	mem_autofree(&l);
}

static void lookup_start(struct lookup *l);

static void resolved(AvahiServiceResolver *r, AvahiIfIndex interface, AvahiProtocol protocol, AvahiResolverEvent event,
                     const char *name, const char *type, const char *domain, const char *host, const AvahiAddress *a,
                     uint16_t port, AvahiStringList *txt, AvahiLookupResultFlags flags, void *arg)
{
	struct lookup *l = arg;
	struct event e = { .found = true };

	if (event != AVAHI_RESOLVER_FOUND) {
		if (++l->tries < AVAHI_RETRIES)
			lookup_start(l);
		else
			lookup_free(l);
		return;
	}
	e.addr = avahi_addr(a, interface, port);
	if (e.addr.family && port && avahi_txt_card(txt, &e.card))
		event_put(l->client, &e);
	lookup_free(l);
}

static void lookup_start(struct lookup *l)
{
	if (l->resolver)
		avahi_service_resolver_free(l->resolver);
	l->resolver = avahi_service_resolver_new(l->client->client, l->interface, l->protocol, l->name, AVAHI_TYPE, l->domain,
	                                         l->protocol, 0, resolved, l);
	if (!l->resolver)
		lookup_free(l);
}

static void browsed(AvahiServiceBrowser *b, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
                    const char *name, const char *type, const char *domain, AvahiLookupResultFlags flags, void *arg)
{
	struct avahi_client *c = arg;
	struct lookup *l;

	if (event != AVAHI_BROWSER_NEW || strcmp(name, c->name) == 0 || !avahi_interface_ok(&c->conf, interface) ||
	    c->n_lookups == AVAHI_RESOLVERS_MAX)
		return;
	l = mem_zalloc(sizeof(*l));
	l->client = c;
	l->interface = interface;
	l->protocol = protocol;
	snprintf(l->name, sizeof(l->name), "%s", name);
	snprintf(l->domain, sizeof(l->domain), "%s", domain);
	LIST_INSERT_HEAD(&c->lookups, l, link);
	c->n_lookups++;
	lookup_start(l);
}

/* ---- the client ---- */

/* Everything that belongs to one run of the daemon. */
static void session_drop(struct avahi_client *c)
{
	struct lookup *l;

	while ((l = LIST_FIRST(&c->lookups)))
		lookup_free(l);
	if (c->browser)
		avahi_service_browser_free(c->browser);
	if (c->group)
		avahi_entry_group_free(c->group);
	c->browser = NULL;
	c->group = NULL;
}

static void retry_later(struct avahi_client *c)
{
	ev_timer_stop(c->own, &c->retry);
	ev_timer_set(&c->retry, RETRY, 0.);
	ev_timer_start(c->own, &c->retry);
}

static void session_begin(struct avahi_client *c)
{
	int rc = publish(c);

	if (rc >= 0 && !c->browser)
		c->browser = avahi_service_browser_new(c->client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, AVAHI_TYPE, NULL, 0, browsed, c);
	if (rc >= 0 && !c->browser)
		rc = avahi_client_errno(c->client);
	state_put(c, rc >= 0, rc >= 0 ? NULL : avahi_strerror(rc));
	/* The daemon does not say when it would take what it refused. */
	if (rc < 0)
		retry_later(c);
}

static void client_state(AvahiClient *client, AvahiClientState state, void *arg)
{
	struct avahi_client *c = arg;

	c->client = client;     /* the first call comes from within avahi_client_new */
	switch (state) {
	case AVAHI_CLIENT_S_RUNNING:
		session_begin(c);
		return;
	case AVAHI_CLIENT_S_REGISTERING:
	case AVAHI_CLIENT_S_COLLISION:
		/* The daemon is about to change its host name; what we published goes with it. */
		if (c->group)
			avahi_entry_group_reset(c->group);
		return;
	case AVAHI_CLIENT_CONNECTING:
		session_drop(c);
		state_put(c, false, "no avahi-daemon");
		return;
	case AVAHI_CLIENT_FAILURE:
		state_put(c, false, avahi_strerror(avahi_client_errno(client)));
		/* A client that lost D-Bus is of no more use, but must not be freed inside its own callback. */
		ev_timer_stop(c->own, &c->retry);
		ev_timer_set(&c->retry, 1., 0.);
		ev_timer_start(c->own, &c->retry);
	}
}

static void client_try(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct avahi_client *c = w->data;
	int err = 0;

	session_drop(c);
	if (c->client)
		avahi_client_free(c->client);
	c->client = NULL;
	c->client = avahi_client_new(c->poll, AVAHI_CLIENT_NO_FAIL | AVAHI_CLIENT_IGNORE_USER_CONFIG, client_state, c, &err);
	if (!c->client) {
		state_put(c, false, "no D-Bus");
		retry_later(c);
	}
}

static void poked(struct ev_loop *loop, ev_async *w, int revents)
{
	struct avahi_client *c = w->data;

	if (c->client && c->works)
		publish(c);
}

static void stopped(struct ev_loop *loop, ev_async *w, int revents)
{
	ev_break(loop, EVBREAK_ALL);
}

static void client_free(struct avahi_client *c)
{
	ev_loop_destroy(c->own);
	pthread_cond_destroy(&c->end);
	pthread_mutex_destroy(&c->lock);
	for (unsigned i = 0; i < c->conf.n_interfaces; i++)
		mem_autofree((char **)&c->conf.interfaces[i]);
	mem_autofree((char ***)&c->conf.interfaces);
	mem_autofree(&c->event);
	mem_autofree(&c);
}

static void *thread_main(void *arg)
{
	struct avahi_client *c = arg;
	bool orphan;

	avahi_client_thread = true;
	c->poll = avahi_ev_new(c->own);
	client_try(c->own, &c->retry, 0);
	ev_run(c->own, 0);
	session_drop(c);
	if (c->client)
		avahi_client_free(c->client);
	avahi_ev_free(&c->poll);
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	orphan = c->orphan;
	pthread_cond_signal(&c->end);
	pthread_mutex_unlock(&c->lock);
	if (orphan)
		client_free(c);
	return NULL;
}

struct avahi_client *avahi_client_start(struct ev_loop *loop, const struct discover_conf *conf,
                                        const struct avahi_way_ops *ops, void *arg)
{
	struct avahi_client *c = mem_zalloc(sizeof(*c));
	pthread_condattr_t clock;
	pthread_attr_t attr;
	int rc;

	*c = (struct avahi_client){ .log = conf->log, .conf = *conf, .ops = *ops, .arg = arg, .loop = loop };
	/* It may outlive the caller. */
	c->conf.interfaces = mem_zalloc((conf->n_interfaces + 1) * sizeof(*c->conf.interfaces));
	for (unsigned i = 0; i < conf->n_interfaces; i++)
		((char **)c->conf.interfaces)[i] = mem_strdup(conf->interfaces[i]);
	memcpy(c->cluster, conf->self.cluster, sizeof(c->cluster));
	node_id_text(&conf->self.id, c->name);
	LIST_INIT(&c->lookups);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&c->end, &clock);
	pthread_condattr_destroy(&clock);
	ev_async_init(&c->events_ready, events_take);
	c->events_ready.data = c;
	c->own = ev_loop_new(EVFLAG_AUTO);
	ev_async_init(&c->poke, poked);
	ev_async_init(&c->stop, stopped);
	ev_timer_init(&c->retry, client_try, RETRY, 0.);
	c->poke.data = c->stop.data = c->retry.data = c;
	ev_async_start(c->own, &c->poke);
	ev_async_start(c->own, &c->stop);
	ev_async_start(loop, &c->events_ready);
	ev_unref(loop);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 << 10);
	rc = pthread_create(&c->thread, &attr, thread_main, c);
	pthread_attr_destroy(&attr);
	if (rc) {
		ev_ref(loop);
		ev_async_stop(loop, &c->events_ready);
		client_free(c);
		return NULL;
	}
	return c;
}

/* A call that hangs in D-Bus is not waited for: the daemon drops what is published when the connection ends. */
void avahi_client_stop(struct avahi_client **cp)
{
	struct avahi_client *c = *cp;
	pthread_t thread;
	struct timespec until;
	bool orphan;

	if (!c)
		return;
	*cp = NULL;
	ev_ref(c->loop);
	ev_async_stop(c->loop, &c->events_ready);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STOP_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_mutex_lock(&c->lock);
	c->left = true;
	thread = c->thread;
	ev_async_send(c->own, &c->stop);
	while (!c->ended && pthread_cond_timedwait(&c->end, &c->lock, &until) == 0)
		;
	orphan = c->orphan = !c->ended;
	pthread_mutex_unlock(&c->lock);
	if (orphan) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	client_free(c);
}

void avahi_client_publish(struct avahi_client *c, const char *cluster)
{
	pthread_mutex_lock(&c->lock);
	snprintf(c->cluster, sizeof(c->cluster), "%s", cluster);
	pthread_mutex_unlock(&c->lock);
	ev_async_send(c->own, &c->poke);
}
