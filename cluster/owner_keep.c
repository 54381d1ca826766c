/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reservations as agreed state (doc/ownership.md 11): what director-target proposes becomes a transaction; what is agreed
 * goes to the director-target of every node; the one that proposed gets it when all others have it, and only then answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/cluster_priv.h"
#include "cluster/volume.h"

#define ASK_MS 25               /* between questions to nodes that have not said that they have it */
#define RETRY_MS 500

static struct keeping *keeping_of(struct cluster *c, const uint8_t volume[16])
{
	for (unsigned i = 0; i < c->owner.n_keeping; i++)
		if (memcmp(c->owner.keeping[i].volume, volume, 16) == 0)
			return &c->owner.keeping[i];
	return NULL;
}

static void forget(struct cluster *c, struct keeping *k)
{
	*k = c->owner.keeping[--c->owner.n_keeping];
}

/* The volume itself, which sessions use; NULL for legs and what is gone. */
static const struct object *volume_of(const struct cluster *c, const struct plan_have_volume *h)
{
	const struct object *o = strchr(h->name, '/') ? NULL : volume_by_uuid(catalog_tree(c->catalog), h->uuid);

	return o && strcmp(path_name(o->path), h->name) == 0 ? o : NULL;
}

static void tell(struct cluster *c, struct plan_have_volume *h, const struct object *o, uint64_t proposal, int err,
                 struct cluster_out *out)
{
	struct doing *d = cluster_doing(c, CLUSTER_ACT_KEEP);
	struct cluster_act *act = cluster_act(c, out, CLUSTER_ACT_KEEP);
	const uint8_t *blob;

	memcpy(d->keep.volume, h->uuid, 16);
	volume_keep(o, &d->keep.version, &blob, &d->keep.n_blob);
	d->keep.blob = mem_dup(blob, d->keep.n_blob);
	d->keep.proposal = proposal;
	d->keep.lost = volume_power_lost(catalog_tree(c->catalog), o);
	d->keep.err = err;
	act->id = d->id;
	act->keep = &d->keep;
	h->keep_any = h->keep_busy = true;
	h->keep_told = d->keep.version;
}

void keep_done(struct cluster *c, const struct doing *d, int err)
{
	struct plan_have_volume *h = plan_have_volume(&c->have, d->keep.volume);

	if (!h)
		return;
	h->keep_busy = false;
	if (err)
		h->keep_any = false;
	else
		h->keep_done = d->keep.version;
	if (err)
		c->owner.keep_wake = mono_add_ms(c->now, RETRY_MS);
	c->dirty = true;
}

/* ---- what our director-target proposes ---- */

void keep_proposed(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	struct own_change change = { .kind = OWN_TAKE };
	struct keeping *k;
	struct txn t = { 0 };

	c->owner.keeping = mem_grow(c->owner.keeping, &c->owner.cap_keeping, c->owner.n_keeping, sizeof(*c->owner.keeping));
	k = &c->owner.keeping[c->owner.n_keeping++];
	*k = (struct keeping){ .proposal = in->number, .version = in->of + 1 };
	memcpy(k->volume, in->volume, 16);
	memcpy(change.volume, in->volume, 16);
	/* What it goes on from may be over: it is told so first. */
	if (power_judged(c) && volume_txn_keep(catalog_tree(c->catalog), in->volume, in->of, in->blob, in->n_blob, &t) == 0)
		request_propose_change(c, &t, &change, in->number, out);
	else
		k->refused = true;
	txn_fini(&t);
	c->dirty = true;
}

void keep_settled(struct cluster *c, const struct waiting *w, bool refused)
{
	for (unsigned i = 0; i < c->owner.n_keeping; i++) {
		struct keeping *k = &c->owner.keeping[i];

		if (k->proposal != w->proposal || memcmp(k->volume, w->change.volume, 16) != 0)
			continue;
		k->refused = refused;
		k->committed = !refused;
		for (unsigned m = 0; m < c->owner.view.n_member && !refused; m++)
			if (!node_id_eq(&c->owner.view.member[m], &c->self))
				k->wait[k->n_wait++] = c->owner.view.member[m];
		/* A node that has just left the view may still answer for a while. */
		for (unsigned m = 0; m < c->owner.n_lost && !refused && k->n_wait < OWN_NODES_MAX; m++)
			if (!own_listed(k->wait, k->n_wait, &c->owner.lost[m]))
				k->wait[k->n_wait++] = c->owner.lost[m];
	}
	c->dirty = true;
}

static void wait_drop(struct keeping *k, unsigned i)
{
	k->wait[i] = k->wait[--k->n_wait];
}

static void others_ask(struct cluster *c, struct keeping *k, struct cluster_out *out)
{
	struct agree_msg m = { .kind = AGREE_MSG_KEEP, .boot = owner_boot(c), .kept = { .version = k->version } };
	bool over = mono_due(mono_add_ms(c->owner.lost_at, OWN_WAIT_MS), c->now);

	memcpy(m.kept.volume, k->volume, 16);
	for (unsigned i = k->n_wait; i-- > 0;)
		if (over && !own_listed(c->owner.view.member, c->owner.view.n_member, &k->wait[i]))
			wait_drop(k, i);
	if (!k->n_wait || !mono_due(k->ask, c->now))
		return;
	k->ask = mono_add_ms(c->now, ASK_MS);
	for (unsigned i = 0; i < k->n_wait; i++)
		cluster_direct(c, &k->wait[i], &m, out);
}

/* ---- between nodes ---- */

static bool has_it(struct cluster *c, const uint8_t volume[16], uint64_t version)
{
	const struct plan_have_volume *h = plan_have_volume(&c->have, volume);
	const struct object *o = h ? volume_of(c, h) : volume_by_uuid(catalog_tree(c->catalog), volume);

	if (!o || schema_get_uint(o->type, &o->attrs, "reservations-version") < version)
		return false;
	/* One may run, with what was agreed before. */
	if (!c->target_heard)
		return false;
	/* One that opens it later gets what is agreed then, before it answers anything. */
	return !c->target_up || !h || !h->open || !h->keeps || (h->keep_any && !h->keep_busy && h->keep_done >= version);
}

void keep_message(struct cluster *c, const struct node_id *from, const struct agree_msg *m, struct cluster_out *out)
{
	struct agree_msg kept = { .kind = AGREE_MSG_KEPT, .boot = m->boot, .kept = m->kept };
	struct keeping *k;

	if (m->kind == AGREE_MSG_KEEP) {
		if (has_it(c, m->kept.volume, m->kept.version))
			cluster_direct(c, from, &kept, out);
		return;
	}
	k = keeping_of(c, m->kept.volume);
	if (!k || m->boot != owner_boot(c) || m->kept.version < k->version)
		return;
	for (unsigned i = k->n_wait; i-- > 0;)
		if (node_id_eq(&k->wait[i], from))
			wait_drop(k, i);
	if (k->n_wait == 0) {
		c->owner.keep_wake = MONO_NEVER;
		c->dirty = true;
	}
}

/* Who has left the view lately? Not by what ownership is told, which is patient. */
void keep_view(struct cluster *c)
{
	const struct agree_status *s = c->status;
	struct owner *o = &c->owner;
	bool late = mono_due(mono_add_ms(o->lost_at, OWN_WAIT_MS), c->now);
	struct node_id now[OWN_NODES_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_member; i++)
		now[n++] = s->member[i].id;
	for (unsigned i = 0; i < o->n_here; i++) {
		if (own_listed(now, n, &o->here[i]))
			continue;
		if (late)
			o->n_lost = 0;
		late = false;
		o->lost_at = c->now;
		if (o->n_lost < OWN_NODES_MAX && !own_listed(o->lost, o->n_lost, &o->here[i]))
			o->lost[o->n_lost++] = o->here[i];
	}
	memcpy(o->here, now, n * sizeof(now[0]));
	o->n_here = n;
}

void keep_reset(struct cluster *c)
{
	c->owner.n_keeping = 0;
}

/* ---- after each step ---- */

/* May our own director-target be told what is agreed now? Not before the others have what it proposed itself. */
static bool volume_tend(struct cluster *c, struct plan_have_volume *h, struct cluster_out *out)
{
	uint64_t applied = catalog_applied(c->catalog), version;
	const struct object *o;
	struct keeping *k;
	bool same;

	if (!h->open || !h->keeps || h->keep_busy)
		return false;
	k = keeping_of(c, h->uuid);
	/* Told, and nothing of what there was then has changed since. */
	same = !k && h->keep_any && h->keep_seen >= c->owner.changed_at;
	if (same && !c->conf.checks)
		return false;
	o = volume_of(c, h);
	if (!o)
		return false;
	h->keep_seen = applied;
	version = schema_get_uint(o->type, &o->attrs, "reservations-version");
	if (k && k->committed) {
		others_ask(c, k, out);
		if (k->n_wait)
			return true;
		tell(c, h, o, k->proposal, 0, out);
		forget(c, k);
	} else if (!h->keep_any || h->keep_told != version) {
		if (same)
			cluster_stale(c, "reservations changed unseen");
		tell(c, h, o, 0, 0, out);
	} else if (k && k->refused) {
		tell(c, h, o, k->proposal, ERR_CONFLICT, out);
		forget(c, k);
	}
	return false;
}

void keep_tend(struct cluster *c, struct cluster_out *out)
{
	bool asking = false;

	if (mono_due(c->owner.keep_wake, c->now))
		c->owner.keep_wake = MONO_NEVER;
	if (!c->target_up || c->owner.keep_wake.ns != UINT64_MAX)
		return;
	for (unsigned i = 0; i < c->have.n_volumes; i++)
		asking |= volume_tend(c, &c->have.volumes[i], out);
	if (asking)
		c->owner.keep_wake = mono_add_ms(c->now, ASK_MS);
}
