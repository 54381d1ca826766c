/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeds. A thread, started only when some seed is a name, does the one thing that blocks (getaddrinfo);
 * the loop decides when.
 */
#include "directord/seeds.h"

#include <ev.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "directord/sock.h"

#define PAUSE_MIN 1.0
#define PAUSE_MAX 300.0
#define PER_NAME_MAX 32         /* addresses of one name */
#define HOST_MAX 254

struct seed {
	char host[HOST_MAX];            /* "": a literal address, in addr */
	struct addr addr;
	uint16_t port;
	int failed;                     /* getaddrinfo's last error, told once */
};

struct seeds {
	struct ev_loop *loop;
	const struct log *log;
	seeds_fn *found;
	void *arg;
	struct seed *seed;
	unsigned n;
	ev_timer timer;
	double pause;
	/* The thread, and what it shares with the loop. */
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	ev_async done;
	bool stop, work;                /* under lock */
	struct addr *result;            /* under lock */
	unsigned n_result, cap_result;
	int *failed;                    /* under lock; one per seed */
};

/* "host:port", "host", "[v6]:port", "v6", "v4:port". */
static int seed_parse(const char *text, uint16_t port, struct seed *s)
{
	const char *colon = strrchr(text, ':');
	size_t n = strlen(text);
	uint64_t v = port;

	*s = (struct seed){ .port = port };
	if (addr_parse(text, port, &s->addr) == 0)
		return 0;
	if (colon) {
		n = (size_t)(colon - text);
		if (text_u64_parse(colon + 1, &v) < 0 || v == 0 || v > 65535)
			return ERR_INVAL;
	}
	if (n == 0 || n >= sizeof(s->host) || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") < n)
		return ERR_INVAL;
	/* Only digits and dots: an address that is none. */
	if (strspn(text, "0123456789.") >= n)
		return ERR_INVAL;
	memcpy(s->host, text, n);
	s->host[n] = 0;
	s->port = (uint16_t)v;
	return 0;
}

int seeds_check(const char *seed)
{
	struct seed s;

	return seed_parse(seed, 1, &s);
}

/* ---- the thread ---- */

static void result_put(struct seeds *s, const struct addr *a)
{
	s->result = mem_grow(s->result, &s->cap_result, s->n_result, sizeof(*s->result));
	s->result[s->n_result++] = *a;
}

static void resolve(struct seeds *s, unsigned i)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;
	unsigned n = 0;
	int err = getaddrinfo(s->seed[i].host, NULL, &hints, &list);

	pthread_mutex_lock(&s->lock);
	s->failed[i] = err;
	for (struct addrinfo *a = err ? NULL : list; a && n < PER_NAME_MAX; a = a->ai_next, n++) {
		struct addr addr = sock_addr(a->ai_addr);

		addr.port = s->seed[i].port;
		if (addr.family)
			result_put(s, &addr);
	}
	pthread_mutex_unlock(&s->lock);
	if (list)
		freeaddrinfo(list);
}

static void *thread_main(void *arg)
{
	struct seeds *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		if (!s->work) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		s->work = false;
		pthread_mutex_unlock(&s->lock);
		for (unsigned i = 0; i < s->n; i++)
			if (*s->seed[i].host)
				resolve(s, i);
		ev_async_send(s->loop, &s->done);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void thread_done(struct ev_loop *loop, ev_async *w, int revents)
{
	struct seeds *s = w->data;
	struct addr *got;
	unsigned n;

	pthread_mutex_lock(&s->lock);
	got = s->result;
	n = s->n_result;
	s->result = NULL;
	s->n_result = s->cap_result = 0;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->failed[i] && s->failed[i] != s->seed[i].failed)
			log_warn(s->log, "seeds: %s: %s", s->seed[i].host, gai_strerror(s->failed[i]));
		s->seed[i].failed = s->failed[i];
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		s->found(s->arg, &got[i]);
	mem_autofree(&got);
}

static void thread_start(struct seeds *s)
{
	pthread_attr_t attr;

	s->failed = mem_zalloc(s->n * sizeof(*s->failed));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	ev_async_init(&s->done, thread_done);
	s->done.data = s;
	ev_async_start(s->loop, &s->done);
	ev_unref(s->loop);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	s->threaded = pthread_create(&s->thread, &attr, thread_main, s) == 0;
	pthread_attr_destroy(&attr);
	if (!s->threaded)
		log_warn(s->log, "seeds: no thread for names; only addresses are tried");
}

static void thread_stop(struct seeds *s)
{
	if (!s->failed)
		return;
	if (s->threaded) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	ev_ref(s->loop);
	ev_async_stop(s->loop, &s->done);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	mem_autofree(&s->failed);
	mem_autofree(&s->result);
}

/* ---- the loop ---- */

static void offer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct seeds *s = w->data;

	s->pause = s->pause * 2 > PAUSE_MAX ? PAUSE_MAX : s->pause * 2;
	ev_timer_stop(loop, w);
	ev_timer_set(w, s->pause, 0);
	ev_timer_start(loop, w);
	if (s->threaded) {
		pthread_mutex_lock(&s->lock);
		s->work = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
	}
	for (unsigned i = 0; i < s->n; i++)
		if (!*s->seed[i].host)
			s->found(s->arg, &s->seed[i].addr);
}

void seeds_again(struct seeds *s)
{
	s->pause = PAUSE_MIN / 2;
	if (s->n == 0)
		return;
	ev_timer_stop(s->loop, &s->timer);
	ev_timer_set(&s->timer, 0, 0);
	ev_timer_start(s->loop, &s->timer);
}

struct seeds *seeds_new(struct ev_loop *loop, char *const *seeds, unsigned n, uint16_t port,
                        seeds_fn *found, void *arg, const struct log *log)
{
	struct seeds *s = mem_zalloc(sizeof(*s));
	bool names = false;

	s->loop = loop;
	s->log = log;
	s->found = found;
	s->arg = arg;
	s->seed = mem_zalloc((n ? n : 1) * sizeof(*s->seed));
	for (unsigned i = 0; i < n; i++) {
		if (seed_parse(seeds[i], port, &s->seed[s->n]) < 0) {
			log_warn(log, "seeds: \"%s\" is neither an address nor a name", seeds[i]);
			continue;
		}
		names |= s->seed[s->n++].host[0] != 0;
	}
	ev_timer_init(&s->timer, offer, 0, 0);
	s->timer.data = s;
	if (names)
		thread_start(s);
	seeds_again(s);
	return s;
}

void seeds_free(struct seeds **sp)
{
	struct seeds *s = *sp;

	if (!s)
		return;
	ev_timer_stop(s->loop, &s->timer);
	thread_stop(s);
	mem_autofree(&s->seed);
	mem_autofree(sp);
	*sp = NULL;
}
