/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who closes its connection and logs in again is to find nothing of its old session (I_T nexus loss, SAM-5 6.3.4), though
 * that may be on another worker, which has not come to look at the closed socket yet. So before a session begins, the
 * workers that have sessions of the same initiator and target look at those sessions' sockets, and answer.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/serve/serve.h"

#define READS_MOST 2            /* what came last, and the end */

/* One question to one worker, and back as the answer. */
struct look {
	struct worker_msg msg;
	struct worker *asker;
	struct link *link;              /* the asker's: elsewhere only a number */
	char initiator[ISCSI_NAME_MAX + 1], target[ISCSI_NAME_MAX + 1];
	struct look *next;
};

static void answered(struct worker *w, struct worker_msg *m)
{
	struct look *k = (struct look *)m;
	struct link *l = w->links;

	while (l && l != k->link)
		l = l->next;
	free(k);
	if (!l || !l->looks || --l->looks)
		return;
	l->waiting = false;
	worker_dirty(w, l);
}

static void look(struct worker *w, struct worker_msg *m)
{
	struct look *k = (struct look *)m;

	for (struct link *l = w->links; l; l = l->next) {
		const struct session *ss = l->session;

		if (!ss || strcmp(ss->entry->initiator, k->initiator) != 0 || strcmp(ss->entry->target, k->target) != 0)
			continue;
		for (unsigned i = 0; i < READS_MOST && l->conn->closing == CLOSING_NO; i++)
			link_readable(l);
		worker_dirty(w, l);
	}
	/* Answered at the end of the turn, when the sessions of what was closed have ended. */
	k->next = w->looks;
	w->looks = k;
}

void gone_answer(struct worker *w)
{
	struct look *k;

	while ((k = w->looks)) {
		w->looks = k->next;
		k->msg.run = answered;
		if (w->stopping)        /* all are, and nobody logs in any more */
			free(k);
		else
			worker_post(k->asker, &k->msg);
	}
}

void gone_ask(struct link *l)
{
	const struct login *login = l->conn->login;
	struct serve *s = l->worker->serve;
	bool ask[WORKERS_MAX] = { false };

	l->looked = true;
	pthread_mutex_lock(&s->registry.lock);
	for (const struct session_entry *e = s->registry.sessions; e && !login->discovery; e = e->next)
		if (strcmp(e->initiator, login->initiator) == 0 && strcmp(e->target, login->target) == 0)
			ask[e->worker->index] = true;
	pthread_mutex_unlock(&s->registry.lock);
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct look *k;

		if (!ask[i])
			continue;
		k = mem_zalloc(sizeof(*k));
		k->msg.run = look;
		k->asker = l->worker;
		k->link = l;
		memcpy(k->initiator, login->initiator, sizeof(k->initiator));
		memcpy(k->target, login->target, sizeof(k->target));
		l->looks++;
		l->waiting = true;
		worker_post(s->workers[i], &k->msg);
	}
}
