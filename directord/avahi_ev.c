/* SPDX-License-Identifier: Apache-2.0 */
/* AvahiPoll over libev. Avahi gives wall-clock times; they become pauses at once, so that a set clock harms only the one. */
#include "directord/avahi_ev.h"

#include <ev.h>

#include <avahi-common/timeval.h>
#include <avahi-common/watch.h>

#include "base/mem.h"

struct AvahiWatch {
	struct ev_loop *loop;
	ev_io io;
	AvahiWatchEvent happened;
	AvahiWatchCallback callback;
	void *arg;
};

struct AvahiTimeout {
	struct ev_loop *loop;
	ev_timer timer;
	AvahiTimeoutCallback callback;
	void *arg;
};

static int to_ev(AvahiWatchEvent e)
{
	return (e & (AVAHI_WATCH_IN | AVAHI_WATCH_HUP | AVAHI_WATCH_ERR) ? EV_READ : 0) | (e & AVAHI_WATCH_OUT ? EV_WRITE : 0);
}

static void watch_ready(struct ev_loop *loop, ev_io *io, int revents)
{
	AvahiWatch *w = io->data;

	w->happened = (revents & EV_READ ? AVAHI_WATCH_IN : 0) | (revents & EV_WRITE ? AVAHI_WATCH_OUT : 0);
	w->callback(w, w->io.fd, w->happened, w->arg);
}

static AvahiWatch *watch_new(const AvahiPoll *api, int fd, AvahiWatchEvent event, AvahiWatchCallback callback, void *arg)
{
	AvahiWatch *w = mem_zalloc(sizeof(*w));

	w->loop = api->userdata;
	w->callback = callback;
	w->arg = arg;
	ev_io_init(&w->io, watch_ready, fd, to_ev(event));
	w->io.data = w;
	ev_io_start(w->loop, &w->io);
	return w;
}

static void watch_update(AvahiWatch *w, AvahiWatchEvent event)
{
	int fd = w->io.fd;

	ev_io_stop(w->loop, &w->io);
	ev_io_set(&w->io, fd, to_ev(event));
	if (to_ev(event))
		ev_io_start(w->loop, &w->io);
}

static AvahiWatchEvent watch_get_events(AvahiWatch *w)
{
	return w->happened;
}

static void watch_free(AvahiWatch *w)
{
	ev_io_stop(w->loop, &w->io);
	mem_autofree(&w);
}

static void timeout_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
	AvahiTimeout *t = timer->data;

	t->callback(t, t->arg);
}

static void timeout_update(AvahiTimeout *t, const struct timeval *tv)
{
	AvahiUsec late;

	ev_timer_stop(t->loop, &t->timer);
	if (!tv)
		return;
	late = avahi_age(tv);
	ev_now_update(t->loop);
	ev_timer_set(&t->timer, late >= 0 ? 0. : (double)-late / 1e6, 0.);
	ev_timer_start(t->loop, &t->timer);
}

static AvahiTimeout *timeout_new(const AvahiPoll *api, const struct timeval *tv, AvahiTimeoutCallback callback, void *arg)
{
	AvahiTimeout *t = mem_zalloc(sizeof(*t));

	t->loop = api->userdata;
	t->callback = callback;
	t->arg = arg;
	ev_timer_init(&t->timer, timeout_due, 0., 0.);
	t->timer.data = t;
	timeout_update(t, tv);
	return t;
}

static void timeout_free(AvahiTimeout *t)
{
	ev_timer_stop(t->loop, &t->timer);
	mem_autofree(&t);
}

AvahiPoll *avahi_ev_new(struct ev_loop *loop)
{
	AvahiPoll *p = mem_zalloc(sizeof(*p));

	*p = (AvahiPoll){
		.userdata = loop,
		.watch_new = watch_new, .watch_update = watch_update, .watch_get_events = watch_get_events, .watch_free = watch_free,
		.timeout_new = timeout_new, .timeout_update = timeout_update, .timeout_free = timeout_free,
	};
	return p;
}

void avahi_ev_free(AvahiPoll **p)
{
	mem_autofree(p);
	*p = NULL;
}
