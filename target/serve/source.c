/* SPDX-License-Identifier: Apache-2.0 */
/* Connections by source address: one source that opens connections and never logs in must not keep others
 * out. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/serve/serve.h"

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

bool source_admit(struct serve *s, const struct addr *from)
{
	struct source **p;
	bool ok;

	pthread_mutex_lock(&s->sources_lock);
	p = find(s, from);
	if (!*p) {
		*p = mem_zalloc(sizeof(**p));
		(*p)->addr = *from;
		(*p)->addr.port = 0;
	}
	ok = (*p)->n_login < s->conf.logins_per_source_max;
	(*p)->n_login += ok;
	pthread_mutex_unlock(&s->sources_lock);
	return ok;
}

void source_logged_in(struct serve *s, const struct addr *from)
{
	struct source **p;

	pthread_mutex_lock(&s->sources_lock);
	p = find(s, from);
	if (*p) {
		(*p)->n_login--;
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
			gone->n_login--;
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
