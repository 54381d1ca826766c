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

/*
 * What the thread and the loop share. A lookup may last as long as the resolver's timeouts, and nobody waits for it: the loop
 * leaves, and the thread, which ends some time after that, frees it.
 */
struct lookup {
	struct ev_loop *loop;
	ev_async done;                  /* the loop's; sent only while it has not left */
	struct seed *seed;              /* not changed any more */
	unsigned n;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool left, work;                /* the loop has left; there is something to look up. Under lock, as what follows. */
	struct addr *result;
	unsigned n_result, cap_result;
	int *failed;                    /* one per seed */
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
	struct lookup *lookup;          /* NULL: no names, or no thread for them */
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

static void lookup_free(struct lookup *l)
{
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	mem_autofree(&l->seed);
	mem_autofree(&l->failed);
	mem_autofree(&l->result);
	mem_autofree(&l);
}

static void result_put(struct lookup *l, const struct addr *a)
{
	l->result = mem_grow(l->result, &l->cap_result, l->n_result, sizeof(*l->result));
	l->result[l->n_result++] = *a;
}

static void resolve(struct lookup *l, unsigned i)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;
	unsigned n = 0;
	int err = getaddrinfo(l->seed[i].host, NULL, &hints, &list);

	pthread_mutex_lock(&l->lock);
	l->failed[i] = err;
	for (struct addrinfo *a = err ? NULL : list; a && n < PER_NAME_MAX; a = a->ai_next, n++) {
		struct addr addr = sock_addr(a->ai_addr);

		addr.port = l->seed[i].port;
		if (addr.family)
			result_put(l, &addr);
	}
	pthread_mutex_unlock(&l->lock);
	if (list)
		freeaddrinfo(list);
}

static bool has_left(struct lookup *l)
{
	bool left;

	pthread_mutex_lock(&l->lock);
	left = l->left;
	pthread_mutex_unlock(&l->lock);
	return left;
}

static void *thread_main(void *arg)
{
	struct lookup *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->left) {
		if (!l->work) {
			pthread_cond_wait(&l->wake, &l->lock);
			continue;
		}
		l->work = false;
		pthread_mutex_unlock(&l->lock);
		for (unsigned i = 0; i < l->n && !has_left(l); i++)
			if (*l->seed[i].host)
				resolve(l, i);
		pthread_mutex_lock(&l->lock);
		if (!l->left)
			ev_async_send(l->loop, &l->done);
	}
	pthread_mutex_unlock(&l->lock);
	lookup_free(l);
	return NULL;
}

static void thread_done(struct ev_loop *loop, ev_async *w, int revents)
{
	struct seeds *s = w->data;
	struct lookup *l = s->lookup;
	struct addr *got;
	unsigned n;

	pthread_mutex_lock(&l->lock);
	got = l->result;
	n = l->n_result;
	l->result = NULL;
	l->n_result = l->cap_result = 0;
	for (unsigned i = 0; i < s->n; i++) {
		if (l->failed[i] && l->failed[i] != s->seed[i].failed)
			log_warn(s->log, "seeds: %s: %s", s->seed[i].host, gai_strerror(l->failed[i]));
		s->seed[i].failed = l->failed[i];
	}
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < n; i++)
		s->found(s->arg, &got[i]);
	mem_autofree(&got);
}

static void thread_start(struct seeds *s)
{
	struct lookup *l = mem_zalloc(sizeof(*l));
	pthread_attr_t attr;
	pthread_t thread;

	l->loop = s->loop;
	l->n = s->n;
	l->seed = mem_dup(s->seed, s->n * sizeof(*s->seed));
	l->failed = mem_zalloc(s->n * sizeof(*l->failed));
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	ev_async_init(&l->done, thread_done);
	l->done.data = s;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, thread_main, l) == 0) {
		s->lookup = l;
		ev_async_start(s->loop, &l->done);
		ev_unref(s->loop);
	} else {
		lookup_free(l);
		log_warn(s->log, "seeds: no thread for names; only addresses are tried");
	}
	pthread_attr_destroy(&attr);
}

static void thread_leave(struct seeds *s)
{
	struct lookup *l = s->lookup;

	if (!l)
		return;
	s->lookup = NULL;
	ev_ref(s->loop);
	ev_async_stop(s->loop, &l->done);
	/* From here on it is the thread's. */
	pthread_mutex_lock(&l->lock);
	l->left = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

/* ---- the loop ---- */

static void offer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct seeds *s = w->data;

	s->pause = s->pause * 2 > PAUSE_MAX ? PAUSE_MAX : s->pause * 2;
	ev_timer_stop(loop, w);
	ev_timer_set(w, s->pause, 0);
	ev_timer_start(loop, w);
	if (s->lookup) {
		pthread_mutex_lock(&s->lookup->lock);
		s->lookup->work = true;
		pthread_cond_signal(&s->lookup->wake);
		pthread_mutex_unlock(&s->lookup->lock);
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
	thread_leave(s);
	mem_autofree(&s->seed);
	mem_autofree(sp);
	*sp = NULL;
}
