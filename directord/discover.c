/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way of mDNS is used when: the avahi-daemon while it answers, the embedded responder while it does not. Also the
 * memory of what was found, so that each candidate is told once.
 */
#include "directord/discover.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <avahi-core/log.h>

#include "base/log.h"
#include "base/mem.h"
#include "directord/avahi_way.h"
#include "directord/netaddr.h"

#define FOUND_MAX 4096          /* anybody on the network can announce anything */
#define CLIENT_PATIENCE 0.3     /* seconds that a silent D-Bus is waited for at the start */
#define LATER 0.4               /* seconds that a routable address of the same node is waited for */
#define RETRY 20.               /* seconds between looks for a D-Bus that was not there, and attempts of the embedded one */

struct found {
	struct addr addr;
	struct discover_card card;
	bool later;                     /* link-local; not told yet */
};

struct discover {
	struct ev_loop *loop;
	struct discover_conf conf;
	discover_fn *found;
	void *arg;
	struct netaddr *addrs;
	struct avahi_client *client;
	struct avahi_core *core;
	bool client_works, core_works;
	ev_timer retry, later;
	struct found *seen;
	unsigned n_seen, cap_seen, next;
	char status[160];
};

static const struct log *avahi_log_to;

/* Avahi's own words have their place among the debug lines of the subject. */
static void avahi_said(AvahiLogLevel level, const char *text)
{
	log_debug(avahi_log_to, "discover: avahi: %s", text);
}

/* ---- what was found ---- */

static void tell(struct discover *d, const struct found *f)
{
	char a[64], id[33];

	log_debug(d->conf.log, "discover: %s at %s", node_id_text(&f->card.id, id), addr_text(&f->addr, a));
	d->found(d->arg, &f->addr, &f->card);
}

static struct found *place(struct discover *d, const struct addr *addr)
{
	for (unsigned i = 0; i < d->n_seen; i++)
		if (addr_eq(&d->seen[i].addr, addr))
			return &d->seen[i];
	if (d->n_seen == FOUND_MAX)     /* the oldest is forgotten; it may be told again */
		return &d->seen[d->next++ % FOUND_MAX];
	d->seen = mem_grow(d->seen, &d->cap_seen, d->n_seen, sizeof(*d->seen));
	d->seen[d->n_seen] = (struct found){ .later = false };
	return &d->seen[d->n_seen++];
}

static bool has_better(const struct discover *d, const struct node_id *id)
{
	for (unsigned i = 0; i < d->n_seen; i++)
		if (!addr_is_linklocal(&d->seen[i].addr) && node_id_eq(&d->seen[i].card.id, id))
			return true;
	return false;
}

/* Of a node that is also found at a routable address, the link-local one is not told. */
static void later_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct discover *d = w->data;

	ev_timer_stop(loop, w);
	for (unsigned i = 0; i < d->n_seen; i++) {
		struct found f = d->seen[i];

		d->seen[i].later = false;
		if (f.later && !has_better(d, &f.card.id))
			tell(d, &f);
	}
}

static void found_one(void *arg, const struct addr *addr, const struct discover_card *card)
{
	struct discover *d = arg;
	struct found *f, was;

	if (node_id_eq(&card->id, &d->conf.self.id) || addr_is_loopback(addr))
		return;
	f = place(d, addr);
	if (addr_eq(&f->addr, addr) && memcmp(&f->card, card, sizeof(*card)) == 0)
		return;
	*f = (struct found){ *addr, *card, addr_is_linklocal(addr) };
	was = *f;
	if (!was.later) {
		tell(d, &was);
	} else if (!ev_is_active(&d->later)) {
		ev_timer_set(&d->later, LATER, 0.);
		ev_timer_start(d->loop, &d->later);
	}
}

/* ---- which way ---- */

static void status_set(struct discover *d, const char *text)
{
	if (strcmp(d->status, text) == 0)
		return;
	snprintf(d->status, sizeof(d->status), "%s", text);
	log_info(d->conf.log, "discover: mdns by %s", d->status);
}

static void core_state(void *arg, bool works, const char *why)
{
	struct discover *d = arg;
	char text[128];

	d->core_works = works;
	if (works) {
		status_set(d, "embedded");
		return;
	}
	snprintf(text, sizeof(text), "none (embedded: %s)", why);
	status_set(d, text);
}

/* A service's name is its node's id. */
static bool known_one(void *arg, const char *name)
{
	struct discover *d = arg;
	struct node_id id;

	return d->conf.known && node_id_parse(name, &id) == 0 && d->conf.known(d->arg, &id);
}

static unsigned company(void *arg)
{
	struct discover *d = arg;

	return d->conf.company ? d->conf.company(d->arg) : 1;
}

static void core_start(struct discover *d)
{
	static const struct avahi_way_ops ops = { .found = found_one, .known = known_one, .company = company, .state = core_state };
	char *why = NULL;

	if (d->core || d->conf.mode == DISCOVER_AVAHI || d->conf.mode == DISCOVER_OFF)
		return;
	d->core = avahi_core_new(d->loop, &d->conf, d->addrs, &ops, d, &why);
	if (!d->core)
		core_state(d, false, why ? why : "?");
	mem_autofree(&why);
}

static void client_state(void *arg, bool works, const char *why)
{
	struct discover *d = arg;
	char text[128];

	d->client_works = works;
	if (works) {
		avahi_core_free(&d->core);
		d->core_works = false;
		status_set(d, "avahi-daemon");
	} else if (d->conf.mode == DISCOVER_AVAHI) {
		snprintf(text, sizeof(text), "none (avahi-daemon: %s)", why);
		status_set(d, text);
	} else {
		core_start(d);
	}
}

/* A client is only worth its thread where there is a system bus. */
static bool bus_there(void)
{
	return getenv("DBUS_SYSTEM_BUS_ADDRESS") || access("/run/dbus/system_bus_socket", R_OK | W_OK) == 0 ||
	       access("/var/run/dbus/system_bus_socket", R_OK | W_OK) == 0;
}

static void client_start(struct discover *d)
{
	static const struct avahi_way_ops ops = { .found = found_one, .known = known_one, .company = company, .state = client_state };

	if (!d->client && (d->conf.mode == DISCOVER_AUTO || d->conf.mode == DISCOVER_AVAHI) && bus_there())
		d->client = avahi_client_start(d->loop, &d->conf, &ops, d);
}

static void look_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct discover *d = w->data;

	if (!w->repeat || w->repeat < RETRY) {
		w->repeat = RETRY;
		ev_timer_again(loop, w);
	}
	client_start(d);
	if (d->core && !d->core_works)
		avahi_core_free(&d->core);
	if (!d->client_works)
		core_start(d);
	if (d->conf.mode == DISCOVER_AVAHI && !d->client)
		status_set(d, "none (no D-Bus)");
}

static void addrs_changed(void *arg)
{
	struct discover *d = arg;

	if (d->core)
		avahi_core_addrs(d->core);
}

struct discover *discover_new(struct ev_loop *loop, const struct discover_conf *conf, discover_fn *found, void *arg)
{
	struct discover *d = mem_zalloc(sizeof(*d));

	d->loop = loop;
	d->conf = *conf;
	d->conf.interfaces = mem_zalloc((conf->n_interfaces + 1) * sizeof(*d->conf.interfaces));
	for (unsigned i = 0; i < conf->n_interfaces; i++)
		((char **)d->conf.interfaces)[i] = mem_strdup(conf->interfaces[i]);
	d->found = found;
	d->arg = arg;
	if (conf->mode == DISCOVER_OFF) {
		snprintf(d->status, sizeof(d->status), "off");
		return d;
	}
	avahi_log_to = conf->log;
	avahi_set_log_function(avahi_said);
	d->addrs = netaddr_new(loop, addrs_changed, d);
	snprintf(d->status, sizeof(d->status), "starting");
	client_start(d);
	if (!d->client)
		core_start(d);
	ev_timer_init(&d->later, later_due, 0., 0.);
	d->later.data = d;
	ev_timer_init(&d->retry, look_again, CLIENT_PATIENCE, 0.);
	d->retry.data = d;
	ev_timer_start(loop, &d->retry);
	ev_unref(loop);
	return d;
}

void discover_free(struct discover **dp)
{
	struct discover *d = *dp;

	if (!d)
		return;
	if (d->conf.mode != DISCOVER_OFF) {
		ev_ref(d->loop);
		ev_timer_stop(d->loop, &d->retry);
		ev_timer_stop(d->loop, &d->later);
	}
	avahi_client_stop(&d->client);
	avahi_core_free(&d->core);
	netaddr_free(&d->addrs);
	for (unsigned i = 0; i < d->conf.n_interfaces; i++)
		mem_autofree((char **)&d->conf.interfaces[i]);
	mem_autofree((char ***)&d->conf.interfaces);
	mem_autofree(&d->seen);
	mem_autofree(dp);
	*dp = NULL;
}

void discover_publish(struct discover *d, const char *cluster)
{
	snprintf(d->conf.self.cluster, sizeof(d->conf.self.cluster), "%s", cluster);
	if (d->client)
		avahi_client_publish(d->client, cluster);
	if (d->core)
		avahi_core_publish(d->core, cluster);
}

const char *discover_status(const struct discover *d)
{
	return d->status;
}
