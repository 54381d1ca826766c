/* SPDX-License-Identifier: Apache-2.0 */
/* Strangers: those who knock without the key, sealed blobs, and the book of what was refused. */
#include <string.h>

#include "cluster/box.h"
#include "cluster/gossip_int.h"

void refuse(struct gossip *g, uint64_t *counter, const struct addr *from, const char *why, struct gossip_out *out)
{
	struct refused *slot = NULL;
	bool known = false;
	struct gossip_event *e;

	(*counter)++;
	g->counts.refused_last = *from;
	for (unsigned i = 0; i < g->n_refused; i++) {
		struct refused *r = &g->refused[i];

		/* The address without the port: a scanner changes it each time. */
		if (r->why == why && r->addr.family == from->family && memcmp(r->addr.ip, from->ip, sizeof(from->ip)) == 0) {
			if (mono_ms_between(r->at, g->now) < 10000)
				return;
			slot = r;
			known = true;
			break;
		}
		if (!slot || mono_before(r->at, slot->at))
			slot = r;
	}
	if (!known && g->n_refused < sizeof(g->refused) / sizeof(g->refused[0]))
		slot = &g->refused[g->n_refused++];
	else if (mono_ms_between(slot->at, g->now) < 10000)
		return;         /* the book is full of fresh entries: counted, not told */
	*slot = (struct refused){ *from, why, g->now };
	e = out_event(out, GOSSIP_EV_REFUSED);
	e->addr = *from;
	e->why = why;
}

static struct gossip_pending *find(struct gossip *g, const struct node_id *id)
{
	for (unsigned i = 0; i < g->n_pending; i++)
		if (node_id_eq(&g->pending[i].id, id))
			return &g->pending[i];
	return NULL;
}

static void knock_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	struct gossip_pending *p;
	struct gossip_event *e;
	struct knock k;
	struct node_id id;
	bool news = false;

	if (knock_open(in->msg->blob, in->msg->n_blob, &k) < 0) {
		refuse(g, &g->counts.refused_forged, &in->from, "forged knock", out);
		return;
	}
	id = node_id_of_key(k.public_key);
	if (node_id_eq(&id, &g->self.id))
		return;
	p = find(g, &id);
	if (!p) {
		if (g->n_pending == GOSSIP_PENDING_MAX) {
			g->counts.refused_flood++;
			return;
		}
		p = &g->pending[g->n_pending++];
		*p = (struct gossip_pending){ .id = id, .first = g->real };
		news = true;
	}
	news |= strcmp(p->name, k.name) != 0;
	/* One that knocks from several addresses is known by the first of them, while it does. */
	if (!addr_eq(&p->addr, &in->from) && (news || mono_ms_between(p->addr_last, g->real) > 10000)) {
		p->addr = in->from;
		news = true;
	}
	if (addr_eq(&p->addr, &in->from))
		p->addr_last = g->real;
	p->last = g->real;
	p->removed = banned(g, &id);
	memcpy(p->public_key, k.public_key, sizeof(p->public_key));
	memcpy(p->boot, k.boot, sizeof(p->boot));
	memcpy(p->name, k.name, sizeof(p->name));
	if (!news)
		return;
	e = out_event(out, GOSSIP_EV_PENDING);
	e->id = id;
	e->addr = in->from;
	memcpy(e->name, k.name, sizeof(e->name));
}

void pending_in(struct gossip *g, const struct gossip_in *in, struct gossip_out *out)
{
	struct gossip_event *e;

	if (!bucket_take(&g->clear_bucket, g->now, 20, 40)) {
		g->counts.refused_flood++;
		g->counts.refused_last = in->from;
		return;
	}
	if (in->msg->kind == GOSSIP_KNOCK) {
		knock_in(g, in, out);
		return;
	}
	e = out_event(out, GOSSIP_EV_BLOB);
	e->addr = in->from;
	e->blob = out_dup(out, in->msg->blob, in->msg->n_blob);
	e->n_blob = in->msg->n_blob;
}

void pending_expire(struct gossip *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->n_pending; i++) {
		bool in = member_find(g, &g->pending[i].id) != NULL;

		if (!in && mono_ms_between(g->pending[i].last, g->real) < PENDING_MS)
			g->pending[n++] = g->pending[i];
	}
	g->n_pending = n;
}

unsigned gossip_pending_count(const struct gossip *g)
{
	return g->n_pending;
}

bool gossip_pending_at(const struct gossip *g, unsigned i, struct gossip_pending *p)
{
	if (i >= g->n_pending)
		return false;
	*p = g->pending[i];
	return true;
}

bool gossip_pending_find(const struct gossip *g, const struct node_id *id, struct gossip_pending *out)
{
	for (unsigned i = 0; i < g->n_pending; i++) {
		if (node_id_eq(&g->pending[i].id, id)) {
			*out = g->pending[i];
			return true;
		}
	}
	return false;
}
