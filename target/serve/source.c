/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections by source address: one source that opens connections and never logs in must not keep others out, nor
 * others at the same address. A login takes milliseconds; when there are many, those that have taken seconds go.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/serve/serve.h"

#define STALLED_NS 2000000000ull

struct source {
	struct source *next;
	struct addr addr;               /* without port */
	unsigned n_login, n_full;
};

static struct source **find(struct serve *s, const struct addr *from)
{
	struct source **p = &s->sources;

	while (*p && ((*p)->addr.family != from->family ||
			     memcmp((*p)->addr.ip, from->ip, sizeof(from->ip)) != 0))
		p = &(*p)->next;
	return p;
}

enum source_room source_admit(struct serve *s, const struct addr *from)
{
	unsigned max = s->conf.logins_per_source_max;
	enum source_room room;
	struct source **p;

	pthread_mutex_lock(&s->sources_lock);
	p = find(s, from);
	if (!*p) {
		*p = mem_zalloc(sizeof(**p));
		(*p)->addr = *from;
		(*p)->addr.port = 0;
	}
	if ((*p)->n_login >= 2 * max || s->n_logins >= s->conf.links_max / 2)
		room = SOURCE_FULL;
	else
		room = (*p)->n_login >= max ? SOURCE_CROWDED : SOURCE_ROOM;
	(*p)->n_login += room != SOURCE_FULL;
	s->n_logins += room != SOURCE_FULL;
	pthread_mutex_unlock(&s->sources_lock);
	return room;
}

/* ---- making room ---- */

struct shed_msg {
	struct worker_msg msg;
	struct addr from;               /* family 0: whoever */
};

static bool concerned(const struct shed_msg *sm, const struct link *l)
{
	return !sm->from.family || (l->peer.family == sm->from.family &&
		memcmp(l->peer.ip, sm->from.ip, sizeof(sm->from.ip)) == 0);
}

static void shed_run(struct worker *w, struct worker_msg *m)
{
	struct mono old = { w->now.ns > STALLED_NS ? w->now.ns - STALLED_NS : 0 };
	struct shed_msg *sm = (struct shed_msg *)m;

	for (struct link *l = w->links; l; l = l->next)
		if (!l->logged_in && !l->moving_to && mono_before(l->since, old) && concerned(sm, l)) {
			conn_close(l->conn, "room for others: its login has stalled");
			worker_dirty(w, l);
		}
	free(m);
}

void source_shed(struct serve *s, const struct addr *from)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct shed_msg *m = mem_zalloc(sizeof(*m));

		m->msg.run = shed_run;
		if (from)
			m->from = *from;
		worker_post(s->workers[i], &m->msg);
	}
}

static void source_login_ends(struct serve *s, struct source *from)
{
	from->n_login--;
	s->n_logins--;
}

void source_logged_in(struct serve *s, const struct addr *from)
{
	struct source **p;

	pthread_mutex_lock(&s->sources_lock);
	p = find(s, from);
	if (*p) {
		source_login_ends(s, *p);
		(*p)->n_full++;
	}
	pthread_mutex_unlock(&s->sources_lock);
}

void source_gone(struct serve *s, const struct addr *from, bool logged_in)
{
	struct source **p, *gone;

	pthread_mutex_lock(&s->sources_lock);
	p = find(s, from);
	if ((gone = *p)) {
		if (logged_in)
			gone->n_full--;
		else
			source_login_ends(s, gone);
		if (!gone->n_full && !gone->n_login) {
			*p = gone->next;
			free(gone);
		}
	}
	pthread_mutex_unlock(&s->sources_lock);
}

void sources_fini(struct serve *s)
{
	struct source *p;

	while ((p = s->sources)) {
		s->sources = p->next;
		free(p);
	}
}
