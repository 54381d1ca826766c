/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership at work: the machine of own.h between the catalog, the log, the datagrams of other nodes and
 * director-target. What it decides becomes plan actions and leases; what director-target says becomes its input.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/address.h"
#include "cluster/cluster_priv.h"
#include "cluster/move.h"
#include "cluster/volume.h"

#define NEW_MS 10000            /* a new volume waits so long for the storage of all its legs */
#define LEG_MS 2000             /* and one that is opened for that of the own leg */
#define AGAIN_MS 500            /* before what director-target refused is asked for again */
#define GONE_MS 5000            /* that a leg's storage may be missing: its node's director-target is being restarted, say */
#define BALANCE_MS 10000        /* between looks at how much each node serves */
#define ROUNDS 8
#define FOREIGN_TEXT "its storage carries another volume"

static void step(struct cluster *c, struct own_in *in, struct cluster_out *out);

static struct owned *owned_find(struct cluster *c, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < c->owner.n; i++)
		if (memcmp(c->owner.volume[i].row.uuid, uuid, 16) == 0)
			return &c->owner.volume[i];
	return NULL;
}

static struct owned *owned_get(struct cluster *c, const struct own_row *row)
{
	struct owner *w = &c->owner;
	struct owned *v = owned_find(c, row->uuid);

	if (v)
		return v;
	w->volume = mem_grow(w->volume, &w->cap, w->n, sizeof(*w->volume));
	v = &w->volume[w->n++];
	*v = (struct owned){ .row = *row, .seen = c->now };
	return v;
}

static struct plan_have_volume *have_of(struct cluster *c, const struct owned *v)
{
	const struct object *o = volume_by_uuid(catalog_tree(c->catalog), v->row.uuid);
	struct plan_have_volume *h = plan_have_volume(&c->have, v->row.uuid);

	return h ? h : plan_have_volume_add(&c->have, o ? path_name(o->path) : "?", v->row.uuid);
}

/* ---- legs whose storage is another volume's ---- */

/* What this node, which serves the volume, says of a leg. On its own node that stands beside what it says of the storage. */
static void leg_error(struct cluster *c, const struct object *leg, const char *text)
{
	const struct fact *old = facts_get(c->facts, &c->self, leg->path);
	const char *was = old ? attrs_get(&old->attrs, "error") : NULL;
	struct attrs as = { 0 };

	if (!text && (!was || !strstr(was, FOREIGN_TEXT)))
		return;
	if (old)
		attrs_copy(&as, &old->attrs);
	attrs_set(&as, "error", text);
	cluster_fact(c, leg->path, &as);
	attrs_fini(&as);
}

static void leg_foreign(struct cluster *c, const struct owned *v, const struct cluster_in *in)
{
	const struct tree *t = catalog_tree(c->catalog);
	const struct object *o = volume_by_uuid(t, v->row.uuid), *leg = NULL, *other = NULL;
	char whose[PATH_LEN_MAX], where[64] = "the first MiB there", text[PATH_LEN_MAX + 192];
	const char *in_front;
	uint8_t id[8];

	if (o && in->number < v->sent.n_leg && in->epoch == v->sent.epoch)
		leg = volume_leg_by_uuid(t, o, v->sent.leg[in->number].uuid);
	if (!leg)
		return;
	be_put(id, in->of, sizeof(id));
	while ((other = volume_next(t, other)) && memcmp(other->uuid, id, sizeof(id)) != 0)
		;
	if (other)
		snprintf(whose, sizeof(whose), "%s", other->path);
	else
		snprintf(whose, sizeof(whose), "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-…", in->of >> 32, in->of >> 16 & 0xffff, in->of & 0xffff);
	/* Of one that was a volume without copies that would be its data. */
	in_front = attrs_get(&leg->attrs, "in-front");
	if (in_front)
		snprintf(where, sizeof(where), "1 MiB there from byte %.20s on", in_front);
	snprintf(text, sizeof(text), FOREIGN_TEXT ", %s, and is left alone; if that is needed no more, zero %s", whose, where);
	leg_error(c, leg, in->of ? text : NULL);
}

static void legs_foreign_end(struct cluster *c, const uint8_t volume[16])
{
	const struct object *o = volume_by_uuid(catalog_tree(c->catalog), volume), *leg = NULL;

	while (o && (leg = volume_leg(catalog_tree(c->catalog), o, leg)))
		leg_error(c, leg, NULL);
}

/* ---- to director-target ---- */

/* Does the node, which is there, say that the storage of its leg is not? */
static bool storage_failed(struct cluster *c, const struct object *o, const struct own_leg *l)
{
	const struct object *leg = o ? volume_leg_by_uuid(catalog_tree(c->catalog), o, l->uuid) : NULL;
	const struct fact *f = leg ? facts_get(c->facts, &l->node, leg->path) : NULL;
	const char *storage = f ? attrs_get(&f->attrs, "storage") : NULL;

	return storage && strcmp(storage, "failed") == 0 && own_listed(c->owner.view.member, c->owner.view.n_member, &l->node);
}

/*
 * A mask of the legs of other nodes that are called in sync and cannot be used, for a while: they are put out of sync although
 * nothing is written. Of a node that is not there at all nobody knows; its legs stay what they are until something is written.
 */
static unsigned legs_gone(struct cluster *c, struct owned *v, const struct object *o)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < v->row.n_leg; i++) {
		const struct own_leg *l = &v->row.leg[i];
		struct mono due;

		if (l->state != OWN_LEG_IN || !v->row.begun || node_id_eq(&l->node, &c->self) || !storage_failed(c, o, l)) {
			v->gone_since[i] = (struct mono){ 0 };
			continue;
		}
		if (!v->gone_since[i].ns)
			v->gone_since[i] = c->now;
		due = mono_add_ms(v->gone_since[i], GONE_MS);
		if (mono_due(due, c->now))
			mask |= 1u << i;
		else
			c->wake = mono_min(c->wake, due);
	}
	return mask;
}

static void serve(struct cluster *c, struct owned *v, enum plan_kind kind, const struct own_row *row, struct cluster_out *out)
{
	const struct object *o = volume_by_uuid(catalog_tree(c->catalog), row->uuid);
	struct plan_action a = plan_serve(kind, catalog_tree(c->catalog), o, row, legs_gone(c, v, o), cluster_self_name(c), &c->owner.nodes);

	if (kind == PLAN_SERVE || kind == PLAN_SERVE_CHANGE) {
		v->served_seen.good = false;
		v->sent = *row;
		memcpy(v->hash, a.hash, sizeof(v->hash));
		v->generation = a.generation;
	}
	carry_begin(c, &a, out);
}

static const struct plan_have_volume *own_storage(struct cluster *c, const struct own_row *row)
{
	const struct own_leg *l = own_leg_of(row, &c->self);

	return l ? plan_have_volume(&c->have, l->uuid) : NULL;
}

/*
 * Is the own leg open, so that a mirror can lie on it? Or can it not be, so that it must do without? One that all nodes
 * reach is opened with the mirror.
 */
static bool leg_settled(struct cluster *c, const struct own_row *row)
{
	const struct plan_have_volume *h = own_storage(c, row);

	return own_leg_of(row, &c->self) ? h && (h->open || (h->refused && row->begun)) : own_leg_lun(row) != NULL;
}

static void open_now(struct cluster *c, struct owned *v, struct cluster_out *out)
{
	struct plan_have_volume *h = have_of(c, v);

	v->opening = false;
	v->served = true;
	legs_foreign_end(c, v->row.uuid);
	h->ours = true;
	h->epoch = v->row.epoch;
	h->keeps = true;
	serve(c, v, PLAN_SERVE, &v->row, out);
}

/*
 * A volume that was made without copies and has got some: its storage, which is to be the own leg, is open as the volume
 * itself. What comes is held from here on, until the mirror is open.
 */
static void plain_close(struct cluster *c, struct owned *v, struct cluster_out *out)
{
	const struct tree *t = catalog_tree(c->catalog);
	const struct object *o = volume_by_uuid(t, v->row.uuid), *leg;
	const struct own_leg *l = own_leg_of(&v->row, &c->self);
	struct plan_have_volume *h = plan_have_volume(&c->have, v->row.uuid);
	struct plan_action a;

	leg = o && l ? volume_leg_by_uuid(t, o, l->uuid) : NULL;
	if (!leg || !attrs_get(&leg->attrs, "in-front") || !h || !h->open || h->ours || v->freezing)
		return;
	a = plan_serve(PLAN_FREEZE, t, o, &v->row, 0, cluster_self_name(c), &c->owner.nodes);
	a.epoch = h->epoch;
	v->freezing = true;
	carry_begin(c, &a, out);
}

/* From now on it is ownership's. */
static void plain_closed(struct cluster *c, struct owned *v, int err)
{
	struct plan_have_volume *h = plan_have_volume(&c->have, v->row.uuid);

	v->freezing = false;
	if (h && !err)
		h->ours = true;
}

static void opened(struct cluster *c, struct owned *v, uint64_t epoch, int err, struct cluster_out *out)
{
	struct own_in in = { .kind = OWN_IN_OPENED, .volume = v->row.uuid, .epoch = epoch, .err = err };

	step(c, &in, out);
}

static void openings(struct cluster *c, struct cluster_out *out)
{
	for (unsigned i = 0; i < c->owner.n; i++) {
		struct owned *v = &c->owner.volume[i];
		struct mono due = mono_add_ms(v->open_since, LEG_MS);

		if (!v->opening)
			continue;
		plain_close(c, v, out);
		if (leg_settled(c, &v->row)) {
			open_now(c, v, out);
		} else if (mono_due(due, c->now)) {
			v->opening = false;
			opened(c, v, v->row.epoch, ERR_AGAIN, out);
		} else {
			c->wake = mono_min(c->wake, due);
		}
	}
}

/* The right is gone, or the volume is: whatever director-target has of it answers nothing more. */
static void close_it(struct cluster *c, const struct own_row *row, struct cluster_out *out)
{
	struct owned *v = owned_find(c, row->uuid);
	struct plan_have_volume *h = plan_have_volume(&c->have, row->uuid);
	struct plan_action a = plan_serve(PLAN_HOLD, catalog_tree(c->catalog), volume_by_uuid(catalog_tree(c->catalog), row->uuid), row, 0,
		cluster_self_name(c), &c->owner.nodes);

	/* The right that is over is the one it was opened under. */
	if (h && h->epoch)
		a.epoch = h->epoch;
	if (v) {
		v->opening = v->served = false;
		v->leased = (struct mono){ 0 };
	}
	if (h) {
		h->ours = false;
		memset(h->hash, 0, sizeof(h->hash));
	}
	cluster_fact(c, a.path, NULL);
	legs_foreign_end(c, row->uuid);
	if (c->target_up)
		carry_begin(c, &a, out);
	plan_action_fini(&a);
	c->dirty = true;
}

static void legs_changed(struct cluster *c, const struct own_row *row, struct cluster_out *out)
{
	struct owned *v = owned_find(c, row->uuid);

	if (!v)
		return;
	v->row = *row;
	if (v->served)
		serve(c, v, PLAN_SERVE_CHANGE, row, out);
}

static void lease(struct cluster *c, const struct own_act *a, struct cluster_out *out)
{
	struct owned *v = owned_find(c, a->row.uuid);
	struct cluster_act *act = cluster_act(c, out, CLUSTER_ACT_LEASE);

	memcpy(act->volume, a->row.uuid, 16);
	act->epoch = a->row.epoch;
	act->until = a->until;
	if (v)
		v->leased = a->until;
}

/* ---- to the others ---- */

uint64_t owner_boot(const struct cluster *c)
{
	uint64_t boot;

	memcpy(&boot, c->card.boot, sizeof(boot));
	return boot | 1;
}

static void beat(struct cluster *c, const struct own_act *a, struct cluster_out *out)
{
	struct agree_msg m = { .kind = AGREE_MSG_BEAT, .boot = owner_boot(c), 
		.beat = { .number = a->number, .asked = a->node, .epoch = a->epoch } };

	for (unsigned i = 0; i < c->owner.view.n_voter; i++)
		if (!node_id_eq(&c->owner.view.voter[i], &c->self))
			cluster_direct(c, &c->owner.view.voter[i], &m, out);
}

static void propose(struct cluster *c, const struct own_change *change, struct cluster_out *out)
{
	static const char *const names[] = { [OWN_TAKE] = "take", [OWN_PASS] = "pass", [OWN_OUT] = "out", [OWN_IN] = "in", [OWN_BEGIN] = "begin" };
	struct txn t = { 0 };
	char volume[37];

	if (volume_txn_own(catalog_tree(c->catalog), change, &t) == 0) {
		log_debug(c->log, "own: proposes %s of %s, epoch %" PRIu64, names[change->kind], text_uuid(change->volume, volume),
		          change->epoch);
		request_propose_change(c, &t, change, 0, out);
	}
	txn_fini(&t);
}

static void act(struct cluster *c, const struct own_act *a, struct cluster_out *out)
{
	struct agree_msg echo = { .kind = AGREE_MSG_ECHO, .boot = c->owner.beat_boot, 
		.beat = { .number = a->number, .end = a->index, .silent = a->silent } };
	struct owned *v;

	switch (a->kind) {
	case OWN_ACT_BEAT:
		beat(c, a, out);
		return;
	case OWN_ACT_ECHO:
		cluster_direct(c, &a->node, &echo, out);
		return;
	case OWN_ACT_PROPOSE:
		propose(c, &a->change, out);
		return;
	case OWN_ACT_OPEN:
		v = owned_get(c, &a->row);
		v->row = a->row;
		v->opening = c->dirty = true;
		v->open_since = c->now;
		return;
	case OWN_ACT_LEGS:
		legs_changed(c, &a->row, out);
		return;
	case OWN_ACT_FREEZE:
		v = owned_get(c, &a->row);
		serve(c, v, PLAN_FREEZE, &a->row, out);
		return;
	case OWN_ACT_CLOSE:
		close_it(c, &a->row, out);
		return;
	case OWN_ACT_LEASE:
		lease(c, a, out);
		return;
	}
}

static void step(struct cluster *c, struct own_in *in, struct cluster_out *out)
{
	struct own_out o = { 0 };

	in->now = c->now;
	own_step(c->owner.machine, in, &o);
	c->owner.wake = o.wake;
	for (unsigned i = 0; i < o.n; i++)
		act(c, &o.act[i], out);
	own_out_fini(&o);
	if (in->kind == OWN_IN_ECHO || in->kind == OWN_IN_TIMER)
		floating_leased(c);
}

void owner_fenced(struct cluster *c, const struct node_id *node, struct mono begun, struct cluster_out *out)
{
	struct own_in in = { .kind = OWN_IN_FENCED, .node = *node, .begun = begun };

	step(c, &in, out);
}

static void step_index(struct cluster *c, enum own_in_kind kind, uint64_t index, struct cluster_out *out)
{
	struct own_in in = { .kind = kind, .index = index };

	step(c, &in, out);
}

/* ---- what is agreed ---- */

/*
 * A volume that nobody served yet waits for the storage of all its legs: those that are there when it is opened for
 * the first time need no copy.
 */
static bool storage_made(struct cluster *c, const struct object *o, const struct own_row *row)
{
	const struct object *leg = NULL;
	struct node_id id;

	if (row->epoch)
		return true;
	while ((leg = volume_leg(catalog_tree(c->catalog), o, leg))) {
		const struct fact *f;

		if (attrs_get(&leg->attrs, "lun"))
			continue;
		if (!volume_node_id(catalog_tree(c->catalog), attrs_get(&leg->attrs, "node"), &id))
			return false;
		f = facts_get(c->facts, &id, leg->path);
		if (!f || !attrs_get(&f->attrs, "storage") || strcmp(attrs_get(&f->attrs, "storage"), "ready") != 0)
			return false;
	}
	return true;
}

static void row_give(struct cluster *c, const struct object *o, struct cluster_out *out)
{
	struct own_in in = { .kind = OWN_IN_ROW };
	struct plan_have_volume *h;
	struct own_row row;
	struct owned *v;
	struct mono due;

	volume_row(catalog_tree(c->catalog), o, &row);
	v = owned_get(c, &row);
	due = mono_add_ms(v->seen, NEW_MS);
	if (!v->given && !storage_made(c, o, &row) && !mono_due(due, c->now)) {
		c->wake = mono_min(c->wake, due);
		return;
	}
	if (v->given && memcmp(&v->row, &row, sizeof(row)) == 0)
		return;
	v->given = true;
	v->row = row;
	in.row = &row;
	step(c, &in, out);
	/* What was lost before is closed for ownership already, and not for director-target. */
	h = plan_have_volume(&c->have, row.uuid);
	if (h && h->ours && !node_id_eq(&row.owner, &c->self))
		close_it(c, &row, out);
}

static void rows_gone(struct cluster *c, struct cluster_out *out)
{
	for (unsigned i = c->owner.n; i-- > 0;) {
		struct own_row row = c->owner.volume[i].row;
		struct own_in in = { .kind = OWN_IN_GONE, .volume = row.uuid };
		const struct object *o = volume_by_uuid(catalog_tree(c->catalog), row.uuid);
		struct plan_have_volume *h;

		if (o && volume_has_legs(o))
			continue;
		if (c->owner.volume[i].given)
			step(c, &in, out);
		/* One that could not be opened is closed for ownership, and director-target may have begun with it; it is reported, too. */
		h = plan_have_volume(&c->have, row.uuid);
		if (h && h->ours)
			close_it(c, &row, out);
		c->owner.volume[i] = c->owner.volume[--c->owner.n];
	}
}

static void view(struct cluster *c, struct cluster_out *out)
{
	struct own_in in = { .kind = OWN_IN_VIEW };
	struct own_view v;

	keep_view(c);
	owner_view(c, &v);
	if (memcmp(&v, &c->owner.view, sizeof(v)) == 0)
		return;
	c->owner.view = v;
	in.view = &c->owner.view;
	step(c, &in, out);
}

/* For checks: is each row as it was given, and none left over? */
static bool rows_same(struct cluster *c)
{
	const struct tree *t = catalog_tree(c->catalog);
	const struct object *o = NULL;
	struct own_row row;
	unsigned n = 0;

	while ((o = volume_next(t, o))) {
		const struct owned *v = owned_find(c, o->uuid);

		volume_row(t, o, &row);
		if (!v || !v->given || memcmp(&v->row, &row, sizeof(row)) != 0)
			return false;
		n++;
	}
	return n == c->owner.n;
}

static void rows(struct cluster *c, struct cluster_out *out)
{
	uint64_t applied = catalog_applied(c->catalog);
	const struct object *o = NULL;
	bool news = applied != c->owner.applied, look = news && c->owner.concerned;

	for (unsigned i = 0; i < c->owner.n; i++)
		look |= !c->owner.volume[i].given;
	if (!news && !look)
		return;
	/* What was agreed about other volumes gives no row, and takes none. */
	if (news)
		c->owner.concerned = false;
	if (!look && c->conf.checks && !rows_same(c))
		cluster_stale(c, "ownership of a volume changed unseen");
	while (look && (o = volume_next(catalog_tree(c->catalog), o)))
		row_give(c, o, out);
	if (!news)
		return;
	if (look)
		rows_gone(c, out);
	c->owner.applied = applied;
	/* Who votes now is known before what was echoed counts up to here: a take may have been agreed by them alone. */
	view(c, out);
	step_index(c, OWN_IN_APPLIED, applied, out);
}

static void log_end(struct cluster *c, struct cluster_out *out)
{
	struct own_in in = { .kind = OWN_IN_LOG, .index = c->status->last, .number = c->status->durable,
		.epoch = c->status->order };

	if (c->owner.log_end == in.index && c->owner.durable == in.number && c->owner.order == in.epoch)
		return;
	c->owner.log_end = in.index;
	c->owner.durable = in.number;
	c->owner.order = in.epoch;
	step(c, &in, out);
}

static void refusals(struct cluster *c, struct cluster_out *out)
{
	while (c->owner.n_refused) {
		struct own_change change = c->owner.refused[--c->owner.n_refused];
		struct own_in in = { .kind = OWN_IN_REFUSED, .change = &change };

		step(c, &in, out);
	}
}

void owner_settled(struct cluster *c, const struct waiting *w, bool refused)
{
	struct owner *o = &c->owner;

	if (w->proposal)
		keep_settled(c, w, refused);
	if (!refused || w->proposal)
		return;
	o->refused = mem_grow(o->refused, &o->cap_refused, o->n_refused, sizeof(*o->refused));
	o->refused[o->n_refused++] = w->change;
}

/* ---- what director-target has ---- */

/* Legs first: once they are open, or will not be, volumes may lie on them. */
static bool legs_settled(struct cluster *c)
{
	if (mono_ms_between(c->owner.target_since, c->now) >= LEG_MS)
		return true;
	for (unsigned i = 0; i < c->owner.n; i++) {
		const struct own_row *row = &c->owner.volume[i].row;

		for (unsigned k = 0; k < row->n_leg; k++) {
			const struct plan_have_volume *h = plan_have_volume(&c->have, row->leg[k].uuid);

			if (node_id_eq(&row->leg[k].node, &c->self) && h && h->created && !h->open && !h->refused)
				return false;
		}
	}
	return true;
}

static void adopt(struct cluster *c, const struct plan_have *have, struct cluster_out *out)
{
	for (unsigned i = 0; i < have->n_volumes; i++) {
		const struct plan_have_volume *h = &have->volumes[i];
		struct own_in in = { .kind = OWN_IN_ADOPTED, .volume = h->uuid, .epoch = h->epoch, .number = h->leased };
		struct owned *v = owned_find(c, h->uuid);
		struct plan_have_volume *own;

		if (!h->ours)
			continue;
		if (v && v->given && v->row.epoch == h->epoch && node_id_eq(&v->row.owner, &c->self)) {
			own = have_of(c, v);
			own->ours = v->served = true;
			own->epoch = h->epoch;
		}
		step(c, &in, out);
	}
}

/* After c->have was brought up to date. */
void owner_have(struct cluster *c, const struct plan_have *have, struct cluster_out *out)
{
	struct owner *o = &c->owner;

	for (unsigned i = 0; i < o->n; i++) {
		o->volume[i].served = o->volume[i].opening = o->volume[i].freezing = false;
		o->volume[i].leased = (struct mono){ 0 };
		legs_foreign_end(c, o->volume[i].row.uuid);
	}
	keep_reset(c);
	o->ready = false;
	o->target = have != NULL;
	o->target_since = c->now;
	step_index(c, OWN_IN_TARGET_DOWN, 0, out);
	if (!have)
		return;
	rows(c, out);
	adopt(c, have, out);
}

static void target_ready(struct cluster *c, struct cluster_out *out)
{
	if (!c->owner.target || c->owner.ready)
		return;
	if (!legs_settled(c)) {
		c->wake = mono_min(c->wake, mono_add_ms(c->owner.target_since, LEG_MS));
		return;
	}
	c->owner.ready = true;
	step_index(c, OWN_IN_TARGET_UP, 0, out);
}

void owner_done(struct cluster *c, struct doing *d, int err, const char *text, struct cluster_out *out)
{
	const struct plan_action *a = &d->plan;
	struct owned *v = owned_find(c, a->uuid);
	struct own_in in = { .kind = err ? OWN_IN_LOST : OWN_IN_FROZEN, .volume = a->uuid, .epoch = a->epoch };
	struct plan_have_volume *h = plan_have_volume(&c->have, a->uuid);

	if (err)
		log_warn(c->log, "own: %s under epoch %" PRIu64 ": %s", a->path, a->epoch, text && *text ? text : err_text(err));
	switch (a->kind) {
	case PLAN_SERVE:
		if (h && !err)
			h->open = true;
		if (v && v->served && v->sent.epoch == a->epoch) {
			carry_report(c, a, err ? "failed" : "ready", err ? (text && *text ? text : err_text(err)) : NULL);
			v->served = !err;
			opened(c, v, a->epoch, err, out);
		}
		break;
	case PLAN_SERVE_CHANGE:
		if (v && v->served && !err) {
			v->n_again = 0;
			carry_report(c, a, "ready", NULL);
		}
		/* A leg at another node may still have to grow, say. */
		if (v && err)
			v->again = mono_add_ms(c->now, AGAIN_MS << (v->n_again < 6 ? v->n_again++ : 6));
		break;
	case PLAN_FREEZE:
		if (v && v->freezing)
			plain_closed(c, v, err);
		else if (v)
			step(c, &in, out);
		break;
	default:
		break;
	}
	c->dirty = true;
}

/* ---- what it reports ---- */

static void progress(struct cluster *c, struct owned *v, uint64_t done, uint64_t of)
{
	const struct object *o = volume_by_uuid(catalog_tree(c->catalog), v->row.uuid);
	const struct fact *old = o ? facts_get(c->facts, &c->self, o->path) : NULL;
	uint64_t left = of > done ? of - done : 0, ms = mono_ms_between(v->left_at, c->now);
	struct attrs as = { 0 };
	bool scrub = true;
	char n[24];

	if (!old)
		return;
	/* While a leg lacks something, that is what is being done. */
	for (unsigned i = 0; i < v->row.n_leg; i++)
		scrub &= v->row.leg[i].state == OWN_LEG_IN;
	scrub &= attrs_get(&o->attrs, "scrub-asked") != NULL;
	if (left < v->left && ms >= 500)
		v->rate = (v->left - left) * 1000 / ms;
	v->left = left;
	v->left_at = c->now;
	attrs_copy(&as, &old->attrs);
	snprintf(n, sizeof(n), "%" PRIu64, left);
	attrs_set(&as, "resync-left", left && !scrub ? n : NULL);
	attrs_set(&as, "scrub-left", left && scrub ? n : NULL);
	snprintf(n, sizeof(n), "%" PRIu64, of);
	attrs_set(&as, "resync-total", left && !scrub ? n : NULL);
	attrs_set(&as, "scrub-total", left && scrub ? n : NULL);
	snprintf(n, sizeof(n), "%" PRIu64, v->rate);
	attrs_set(&as, "resync-rate", left && v->rate && !scrub ? n : NULL);
	cluster_fact(c, o->path, &as);
	attrs_fini(&as);
}

static void scrubbed(struct cluster *c, struct owned *v, uint64_t found)
{
	const struct object *o = volume_by_uuid(catalog_tree(c->catalog), v->row.uuid);
	const struct fact *old = o ? facts_get(c->facts, &c->self, o->path) : NULL;
	struct attrs as = { 0 };
	char n[24];

	if (!old)
		return;
	attrs_copy(&as, &old->attrs);
	snprintf(n, sizeof(n), "%" PRIu64, found);
	attrs_set(&as, "scrub-found", n);
	attrs_set(&as, "scrub-done", attrs_get(&o->attrs, "scrub-asked"));
	attrs_set(&as, "scrub-left", NULL);
	attrs_set(&as, "scrub-total", NULL);
	cluster_fact(c, o->path, &as);
	attrs_fini(&as);
}

static void leg_event(struct cluster *c, struct owned *v, enum own_in_kind kind, const struct cluster_in *in, struct cluster_out *out)
{
	struct own_in i = { .kind = kind, .volume = v->row.uuid, .epoch = in->epoch, .turn = in->of };

	if (in->number >= v->sent.n_leg || in->epoch != v->sent.epoch)
		return;
	i.leg = v->sent.leg[in->number].uuid;
	step(c, &i, out);
}

void owner_event(struct cluster *c, const struct cluster_in *in, struct cluster_out *out)
{
	struct owned *v = owned_find(c, in->volume);
	struct own_in lost = { .kind = OWN_IN_LOST, .volume = in->volume, .epoch = in->epoch };

	if (in->event == CLUSTER_EV_KEEP)
		keep_proposed(c, in, out);
	if (!v || !v->served)
		return;
	switch (in->event) {
	case CLUSTER_EV_LEG_FAILED:
		leg_event(c, v, OWN_IN_LEG_FAILED, in, out);
		return;
	case CLUSTER_EV_LEG_READY:
		leg_event(c, v, OWN_IN_LEG_READY, in, out);
		return;
	case CLUSTER_EV_LEG_FOREIGN:
		leg_foreign(c, v, in);
		return;
	case CLUSTER_EV_LOST:
		log_warn(c->log, "own: /volumes/%s lost its legs under epoch %" PRIu64 "; it is opened anew", have_of(c, v)->name, in->epoch);
		step(c, &lost, out);
		return;
	case CLUSTER_EV_PROGRESS:
		progress(c, v, in->number, in->of);
		return;
	case CLUSTER_EV_SCRUBBED:
		scrubbed(c, v, in->of);
		return;
	case CLUSTER_EV_KEEP:
		return;
	}
}

/* ---- from the others ---- */

void owner_message(struct cluster *c, const struct node_id *from, const struct agree_msg *m, struct cluster_out *out)
{
	struct own_in in = { .node = *from };

	if (m->kind != AGREE_MSG_BEAT && m->kind != AGREE_MSG_ECHO) {
		keep_message(c, from, m, out);
		return;
	}
	/* An echo goes back with the name of the life that asked for it; it says where the log ends now. */
	if (m->kind == AGREE_MSG_BEAT)
		c->owner.beat_boot = m->boot;
	else if (m->boot != owner_boot(c))
		return;
	log_end(c, out);
	in.kind = m->kind == AGREE_MSG_BEAT ? OWN_IN_BEAT : OWN_IN_ECHO;
	in.number = m->beat.number;
	in.index = m->beat.end;
	in.asked = m->beat.asked;
	in.silent = m->beat.silent;
	in.epoch = m->beat.epoch;
	step(c, &in, out);
}

/* ---- after each step ---- */

/* All that plan_serve makes it from; what LUNs of foreign targets are told depends on more. */
static bool served_from(struct cluster *c, const struct owned *v, const struct object *o, unsigned gone, struct served_seen *from)
{
	*from = (struct served_seen){ .good = true, .nodes = c->owner.nodes_version, .gone = gone, .row = v->row };
	memcpy(from->of, o->hash, sizeof(from->of));
	for (unsigned i = 0; i < v->row.n_leg; i++)
		from->good &= !v->row.leg[i].lun;
	return from->good && v->served_seen.good && from->nodes == v->served_seen.nodes && gone == v->served_seen.gone &&
	       memcmp(from->of, v->served_seen.of, sizeof(from->of)) == 0 && memcmp(&from->row, &v->served_seen.row, sizeof(from->row)) == 0;
}

static void served_now(struct cluster *c, struct owned *v, const struct object *o, unsigned gone, struct cluster_out *out)
{
	struct served_seen from;
	struct plan_action a;
	bool same = served_from(c, v, o, gone, &from), news;

	if (same && !c->conf.checks)
		return;
	a = plan_serve(PLAN_SERVE_CHANGE, catalog_tree(c->catalog), o, &v->row, gone, cluster_self_name(c), &c->owner.nodes);
	/* A change that director-target need not know of is carried out in its turn too. */
	news = memcmp(a.hash, v->hash, sizeof(a.hash)) != 0 || a.generation != v->generation;
	if (same && news)
		cluster_stale(c, "what director-target is told of a volume changed unseen");
	if (news)
		serve(c, v, PLAN_SERVE_CHANGE, &v->row, out);
	else
		v->served_seen = from;
	plan_action_fini(&a);
}

/* Where legs are reached may change without anything of them. */
static void served_anew(struct cluster *c, struct cluster_out *out)
{
	for (unsigned i = 0; i < c->owner.n; i++) {
		struct owned *v = &c->owner.volume[i];
		const struct object *o = v->served ? volume_by_uuid(catalog_tree(c->catalog), v->row.uuid) : NULL;

		if (!o || v->sent.epoch != v->row.epoch)
			continue;
		if (v->again.ns && mono_due(v->again, c->now)) {
			v->again.ns = 0;
			v->served_seen.good = false;
			memset(v->hash, 0, sizeof(v->hash));
		} else if (v->again.ns) {
			c->wake = mono_min(c->wake, v->again);
		}
		served_now(c, v, o, legs_gone(c, v, o), out);
	}
}

static void inner(struct cluster *c, struct cluster_out *out)
{
	uint32_t key = c->keys.n ? keys_newest(&c->keys)->epoch : 0;

	if (strcmp(c->portals, c->owner.inner) == 0 && key == c->owner.inner_key && c->keys.n == c->owner.inner_keys)
		return;
	memcpy(c->owner.inner, c->portals, sizeof(c->owner.inner));
	c->owner.inner_key = key;
	c->owner.inner_keys = c->keys.n;
	cluster_act(c, out, CLUSTER_ACT_INNER);
	c->dirty = true;
}

/* Legs that go elsewhere, by rule or because people want it so: who serves the volume says what is to be agreed next. */
static void legs_move(struct cluster *c, struct cluster_out *out)
{
	char what[MOVE_WHAT_MAX];

	if (c->status->mode != AGREE_ACTIVE)
		return;
	for (unsigned i = 0; i < c->owner.n; i++) {
		const struct owned *v = &c->owner.volume[i];
		const struct object *o = v->served ? volume_by_uuid(catalog_tree(c->catalog), v->row.uuid) : NULL;
		struct txn t = { 0 };

		if (o && move_next(c->names, o, &t, what))
			request_propose_own(c, &t, what, out);
		txn_fini(&t);
	}
}

/* The volume by whose right the floating addresses go of a target that offers this one; itself: there are none. */
static const struct object *lead_of(const struct tree *t, const struct object *v)
{
	const struct object *lun = NULL, *lead = v;
	char luns[PATH_LEN_MAX], target[PATH_LEN_MAX], addresses[PATH_LEN_MAX + 16];

	while ((lun = tree_referrer(t, v->path, lun))) {
		const struct object *first;

		if (lun->type->id != TYPE_LUN)
			continue;
		path_parent(lun->path, luns);
		path_parent(luns, target);
		snprintf(addresses, sizeof(addresses), "%s/addresses", target);
		first = tree_count_in(t, addresses) ? address_volume(t, target) : NULL;
		if (first == v)
			return v;
		if (first && lead == v)
			lead = first;
	}
	return lead;
}

static void leads(struct cluster *c, unsigned *lead)
{
	const struct tree *t = catalog_tree(c->catalog);

	for (unsigned i = 0; i < c->owner.n; i++) {
		const struct object *v = volume_by_uuid(t, c->owner.volume[i].row.uuid), *of = v ? lead_of(t, v) : NULL;

		lead[i] = i;
		for (unsigned k = 0; of && of != v && k < c->owner.n; k++)
			if (memcmp(c->owner.volume[k].row.uuid, of->uuid, 16) == 0)
				lead[i] = k;
	}
}

/* A node that came back gets something to serve again. */
static void balance(struct cluster *c, struct cluster_out *out)
{
	struct own_steady node[OWN_NODES_MAX];
	const struct own_row **row, *which = NULL;
	unsigned *lead;
	struct node_id to;
	struct txn t = { 0 };
	unsigned n = 0;
	char what[64];

	/* What makes it active wakes us, too. */
	if (c->status->mode != AGREE_ACTIVE)
		return;
	if (!mono_due(c->owner.balance_at, c->now)) {
		c->wake = mono_min(c->wake, c->owner.balance_at);
		return;
	}
	c->owner.balance_at = mono_add_ms(c->now, BALANCE_MS);
	c->wake = mono_min(c->wake, c->owner.balance_at);
	for (unsigned i = 0; i < c->owner.nodes.n && n < OWN_NODES_MAX; i++) {
		const struct plan_node *p = &c->owner.nodes.node[i];

		if (p->up && own_listed(c->owner.view.member, c->owner.view.n_member, &p->id) &&
		    !own_listed(c->owner.view.unfit, c->owner.view.n_unfit, &p->id))
			node[n++] = (struct own_steady){ p->id, mono_ms_between(p->up_since, c->now) };
	}
	row = mem_alloc((c->owner.n + 1) * sizeof(*row));
	for (unsigned i = 0; i < c->owner.n; i++)
		row[i] = &c->owner.volume[i].row;
	lead = mem_alloc((c->owner.n + 1) * sizeof(*lead));
	leads(c, lead);
	which = own_balance(row, lead, c->owner.n, &c->self, node, n, &to);
	if (which) {
		const struct object *o = volume_by_uuid(catalog_tree(c->catalog), which->uuid);
		const char *name = volume_node_name(catalog_tree(c->catalog), &to);

		if (o && name) {
			log_info(c->log, "own: %s goes to node %s, which is back and serves less", o->path, name);
			attrs_set(&txn_add(&t, TXN_SET, o->path)->attrs, "want", name);
			snprintf(what, sizeof(what), "balance %" PRIu64 " %" PRIu64, which->epoch, catalog_applied(c->catalog));
			request_propose_own(c, &t, what, out);
		}
	}
	free(row);
	free(lead);
	txn_fini(&t);
}

void owner_tend(struct cluster *c, struct cluster_out *out)
{
	if (c->reset || c->removed || !c->conf.inner_port)
		return;
	inner(c, out);
	owner_nodes(c);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t applied = catalog_applied(c->catalog);

		log_end(c, out);
		rows(c, out);
		view(c, out);
		target_ready(c, out);
		openings(c, out);
		refusals(c, out);
		if (mono_due(c->owner.wake, c->now))
			step_index(c, OWN_IN_TIMER, 0, out);
		if (applied == catalog_applied(c->catalog) && !c->owner.n_refused && !mono_due(c->owner.wake, c->now))
			break;
	}
	served_anew(c, out);
	legs_move(c, out);
	balance(c, out);
	keep_tend(c, out);
	c->wake = mono_min(c->wake, c->owner.keep_wake);
}

struct mono owner_wake(const struct cluster *c)
{
	return c->owner.wake;
}

/* Beats come four times a second, and mean nothing to the rest. */
void owner_timer(struct cluster *c, struct cluster_out *out)
{
	log_end(c, out);
	step_index(c, OWN_IN_TIMER, 0, out);
}

/* ---- life, reading ---- */

void owner_init(struct cluster *c)
{
	c->owner.machine = own_new(&c->self);
	c->owner.wake = c->owner.keep_wake = MONO_NEVER;
}

void owner_fini(struct cluster *c)
{
	free(c->owner.keeping);
	own_free(&c->owner.machine);
	free(c->owner.volume);
	free(c->owner.refused);
	plan_nodes_fini(&c->owner.nodes);
}

const char *cluster_inner(const struct cluster *c)
{
	return c->owner.inner;
}

bool cluster_owner(const struct cluster *c, const uint8_t volume[16], struct node_id *owner, struct mono *until)
{
	const struct owned *v = owned_find((struct cluster *)c, volume);

	if (!v || node_id_none(&v->row.owner))
		return false;
	*owner = v->row.owner;
	*until = node_id_eq(owner, &c->self) ? v->leased : (struct mono){ 0 };
	return true;
}
