/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that are held for so long that initiators had better go elsewhere (doc/ownership.md 10): their sessions are told
 * and closed, and logins are refused until it is over. On the main thread.
 */
#include "config.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/serve/serve.h"

#define LOOK_S 0.25
#define STUCK_MS 2000

struct away {
	struct serve *serve;
	struct ev_loop *loop;
	ev_timer look;
};

struct away_msg {
	struct worker_msg msg;
	uint8_t uuid[16];
};

static void end_run(struct worker *w, struct worker_msg *msg)
{
	struct away_msg *m = (struct away_msg *)msg;

	for (struct session *ss = w->sessions; ss; ss = ss->next) {
		struct nexus *n = ss->entry->inner ? NULL : ss->nexuses;

		while (n && (n->gone || memcmp(n->volume->lu.uuid, m->uuid, 16) != 0))
			n = n->next;
		if (n && !ss->is->closing)
			session_end(ss, "a unit is served elsewhere, or nowhere now", false);
	}
	free(m);
}

static void send_away(struct serve *s, const struct volume *v)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct away_msg *m = mem_zalloc(sizeof(*m));

		m->msg.run = end_run;
		memcpy(m->uuid, v->def.uuid, 16);
		worker_post(s->workers[i], &m->msg);
	}
}

static bool is_stuck(const struct volume *v, struct mono now)
{
	if (!v->shaped || !v->def.fail_over)
		return false;
	return atomic_load(&v->hold) & HOLD_STORE || (atomic_load(&v->leased) && now.ns / 1000000u >= atomic_load(&v->lease_ms));
}

/* That is said only when it has been so for some time. */
static bool is_apart(const struct volume *v)
{
	return v->shaped && v->def.apart;
}

static void look_at(struct serve *s, struct volume *v, struct mono now)
{
	if (!is_apart(v) && !is_stuck(v, now)) {
		if (v->away)
			log_info(&s->log, "volume %s: initiators may come again", v->def.name);
		v->stuck_since.ns = 0;
		v->away = false;
		return;
	}
	if (!v->stuck_since.ns)
		v->stuck_since = now;
	if (!is_apart(v) && mono_ms_between(v->stuck_since, now) < STUCK_MS)
		return;
	if (!v->away)
		log_info(&s->log, "volume %s: held for long, initiators are sent away", v->def.name);
	v->away = true;
	/* Each time: a login may have been under way. */
	send_away(s, v);
}

static void on_look(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct away *a = t->data;
	struct registry *r = &a->serve->registry;
	struct mono now = mono_now();

	pthread_mutex_lock(&r->lock);
	for (struct volume *v = r->volumes; v; v = v->next)
		/* Who serves it no more waits no more: the next time that it is served here is another. */
		if (v->def.fail_over || v->def.apart || v->away || v->stuck_since.ns)
			look_at(a->serve, v, now);
	pthread_mutex_unlock(&r->lock);
}

bool away_locked(struct registry *r, const struct target_def *t)
{
	for (unsigned i = 0; i < t->n_luns; i++) {
		const struct volume *v = volume_find_locked(r, t->luns[i].volume);

		if (v && v->away)
			return true;
	}
	return false;
}

struct away *away_new(struct serve *s, struct ev_loop *loop)
{
	struct away *a = mem_zalloc(sizeof(*a));

	a->serve = s;
	a->loop = loop;
	ev_timer_init(&a->look, on_look, LOOK_S, LOOK_S);
	a->look.data = a;
	ev_timer_start(loop, &a->look);
	return a;
}

void away_free(struct away **away)
{
	if (!*away)
		return;
	ev_timer_stop((*away)->loop, &(*away)->look);
	free(*away);
	*away = NULL;
}
