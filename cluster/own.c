/* SPDX-License-Identifier: Apache-2.0 */
/* One node's part in who serves which mirrored volume: doc/ownership.md 2 and 3. */
#include "cluster/own.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/own_int.h"

static struct own_vol *vol_find(struct own *o, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < o->n_vol; i++)
		if (memcmp(o->vol[i].row.uuid, uuid, 16) == 0)
			return &o->vol[i];
	return NULL;
}

static struct own_act *act(struct own_out *out, enum own_act_kind kind)
{
	struct own_act *a;

	out->act = mem_grow(out->act, &out->cap, out->n, sizeof(*out->act));
	a = &out->act[out->n++];
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	return a;
}

static void act_row(struct own_out *out, enum own_act_kind kind, const struct own_vol *v)
{
	act(out, kind)->row = v->row;
}

bool own_listed(const struct node_id *list, unsigned n, const struct node_id *node)
{
	for (unsigned i = 0; i < n; i++)
		if (node_id_eq(&list[i], node))
			return true;
	return false;
}

static bool in_view(const struct own *o, const struct node_id *node)
{
	return own_listed(o->view.member, o->view.n_member, node);
}

static bool is_down(const struct own *o, const struct node_id *node)
{
	return own_listed(o->view.down, o->view.n_down, node);
}

static bool is_mine(const struct own *o, const struct own_vol *v)
{
	return node_id_eq(&v->row.owner, &o->self);
}

static void propose(struct own *o, struct own_vol *v, enum own_change_kind kind, const struct node_id *node, struct own_out *out)
{
	struct own_act *a;

	if (!mono_due(v->again, o->now))
		return;
	v->again = mono_add_ms(o->now, OWN_AGAIN_MS);
	a = act(out, OWN_ACT_PROPOSE);
	a->change.kind = kind;
	memcpy(a->change.volume, v->row.uuid, 16);
	a->change.epoch = v->row.epoch;
	a->change.node = *node;
}

/* ---- opening, leasing ---- */

static void vol_open(struct own *o, struct own_vol *v, struct own_out *out)
{
	if (!o->target || !mono_due(v->reopen, o->now))
		return;
	v->phase = OWN_OPENING;
	v->used = v->opened = v->row.epoch;
	v->leased = false;
	act_row(out, OWN_ACT_OPEN, v);
}

static void vol_lease(struct own *o, struct own_vol *v, struct own_out *out)
{
	struct own_act *a;

	if (!is_mine(o, v) || (v->phase != OWN_OPEN && v->phase != OWN_FREEZING) || v->used != v->row.epoch || !v->row.begun)
		return;
	if ((!mono_due(v->wait, o->now) && !OWN_PLANTED(OWN_PLANT_NO_WAIT)) || mono_due(o->until, o->now) ||
	    !mono_before(v->until, o->until))
		return;
	v->until = o->until;
	v->leased = true;
	a = act(out, OWN_ACT_LEASE);
	a->row = v->row;
	a->until = o->until;
}

static bool wants_beats(const struct own *o)
{
	for (unsigned i = 0; i < o->n_vol; i++)
		if (is_mine(o, &o->vol[i]) && o->vol[i].phase != OWN_CLOSED)
			return true;
	return false;
}

/* ---- silence ---- */

static struct own_heard *heard_of(struct own *o, const struct node_id *node)
{
	for (unsigned i = 0; i < o->n_heard; i++)
		if (node_id_eq(&o->heard[i].node, node))
			return &o->heard[i];
	return NULL;
}

static void heard(struct own *o, const struct node_id *node)
{
	struct own_heard *h = heard_of(o, node);

	if (!h && o->n_heard < OWN_NODES_MAX) {
		h = &o->heard[o->n_heard++];
		h->node = *node;
	}
	if (h)
		h->at = o->now;
	else
		o->born = o->now;       /* nothing is known of one for whom there is no room */
}

/*
 * For how long, plus one, this voter has not echoed the node. 0 if that says nothing: in another epoch's order the log may be as long
 * and have other entries; and what of it is not on disk yet, a loss of power may take back, so that the node would be echoed again as
 * if it had never been there.
 */
static uint64_t silent_ms(struct own *o, const struct node_id *node, uint64_t epoch)
{
	const struct own_heard *h = heard_of(o, node);
	struct mono at = h && mono_before(o->born, h->at) ? h->at : o->born;

	if (node_id_none(node) || node_id_eq(node, &o->self) || !epoch || epoch != o->order || o->durable < o->log_end)
		return 0;
	return OWN_PLANTED(OWN_PLANT_SILENT) ? OWN_WAIT_MS + 1 : mono_ms_between(at, o->now) + 1;
}

static void echo_add(struct own *o, struct own_beat *b, const struct node_id *node, uint64_t end, uint64_t silent)
{
	if (b->n_echo == OWN_NODES_MAX || !own_listed(o->view.voter, o->view.n_voter, node))
		return;
	for (unsigned i = 0; i < b->n_echo; i++)
		if (node_id_eq(&b->echo[i].node, node))
			return;
	b->echo[b->n_echo].node = *node;
	b->echo[b->n_echo].end = end;
	/* It was heard no later than that much before now, by a clock that may run faster than ours. */
	silent = silent ? silent - 1 : 0;
	silent = (silent < OWN_SILENT_MAX_MS ? silent : OWN_SILENT_MAX_MS) * 98 / 100;
	b->echo[b->n_echo].says = silent > 0;
	b->echo[b->n_echo++].heard = mono_before((struct mono){ silent * 1000000 }, o->now) ?
		(struct mono){ o->now.ns - silent * 1000000 } : (struct mono){ 0 };
}

static bool waits(const struct own *o, const struct own_vol *v)
{
	return is_mine(o, v) && !mono_due(v->wait, o->now) && !node_id_none(&v->before);
}

/* By turns, if volumes of several were taken. */
static struct node_id waited_for(const struct own *o, uint64_t turn)
{
	unsigned n = 0, i;

	for (i = 0; i < o->n_vol; i++)
		n += waits(o, &o->vol[i]);
	turn = n ? turn % n : 0;
	for (i = 0; i < o->n_vol; i++)
		if (waits(o, &o->vol[i]) && turn-- == 0)
			return o->vol[i].before;
	return NODE_ID_NONE;
}

static void beat_send(struct own *o, struct own_out *out)
{
	struct own_beat *b;
	struct own_act *a;

	if (!wants_beats(o) || !mono_due(o->beat_due, o->now))
		return;
	o->beat_due = mono_add_ms(o->now, OWN_BEAT_MS);
	/* Numbers go on from those of an earlier life of this process, whose echoes may still be under way. */
	if (!o->number)
		o->number = o->now.ns / 1000000;
	b = &o->beat[++o->number % OWN_BEATS];
	memset(b, 0, sizeof(*b));
	b->number = o->number;
	b->sent = o->now;
	b->order = o->order;
	b->asked = o->order ? waited_for(o, b->number) : NODE_ID_NONE;
	if (!o->view.mute)
		echo_add(o, b, &o->self, o->log_end, silent_ms(o, &b->asked, o->order));
	a = act(out, OWN_ACT_BEAT);
	a->number = b->number;
	a->node = b->asked;
	a->epoch = o->order;
}

static struct own_beat *beat_find(struct own *o, uint64_t number)
{
	struct own_beat *b = &o->beat[number % OWN_BEATS];

	return number && b->number == number ? b : NULL;
}

static bool beat_counts(const struct own *o, const struct own_beat *b)
{
	unsigned n = 0;

	if (OWN_PLANTED(OWN_PLANT_NO_ECHO))
		return true;
	/* Who had a vote when it answered may have none now: then it is in no majority. */
	for (unsigned i = 0; i < b->n_echo; i++)
		n += own_listed(o->view.voter, o->view.n_voter, &b->echo[i].node) &&
		     (b->echo[i].end <= o->applied || OWN_PLANTED(OWN_PLANT_NO_END));
	return n > o->view.n_voter / 2;
}

static void lease_check(struct own *o, struct own_out *out)
{
	for (unsigned i = 0; i < OWN_BEATS; i++) {
		struct own_beat *b = &o->beat[i];
		struct mono until = mono_add_ms(b->sent, OWN_LEASE_MS);

		if (b->number && mono_before(o->until, until) && beat_counts(o, b))
			o->until = until;
	}
	for (unsigned i = 0; i < o->n_vol; i++)
		vol_lease(o, &o->vol[i], out);
}

/*
 * The lease of who had it before ends LEASE after a beat that a majority echoed, and in each such majority is one of these voters:
 * its last echo came before it had our right on disk, or else named it (doc/ownership.md 2).
 */
static void wait_shorten(struct own *o, struct own_vol *v, const struct own_beat *b)
{
	struct mono last = o->voters_since, end;
	unsigned n = 0;

	for (unsigned i = 0; i < b->n_echo; i++) {
		const struct own_echo *e = &b->echo[i];

		if (!e->says || e->end < v->index || node_id_eq(&e->node, &v->before) ||
		    !own_listed(o->view.voter, o->view.n_voter, &e->node))
			continue;
		n++;
		if (mono_before(last, e->heard))
			last = e->heard;
	}
	end = mono_add_ms(last, OWN_WAIT_MS);
	if (n > o->view.n_voter / 2 && mono_before(end, v->wait))
		v->wait = end;
}

static void silence_check(struct own *o)
{
	for (unsigned i = 0; i < o->n_vol; i++) {
		struct own_vol *v = &o->vol[i];

		if (!waits(o, v) || !v->index)
			continue;
		for (unsigned k = 0; k < OWN_BEATS; k++) {
			const struct own_beat *b = &o->beat[k];

			if (b->number && node_id_eq(&b->asked, &v->before) && b->order >= v->order && !mono_before(b->sent, v->taken))
				wait_shorten(o, v, b);
		}
	}
}

/* ---- succession ---- */

static struct own_load *load_of(struct own *o, const struct node_id *node)
{
	for (unsigned i = 0; i < o->n_load; i++)
		if (node_id_eq(&o->load[i].node, node))
			return &o->load[i];
	return NULL;
}

/* How many volumes it serves: counted once in a step, since a node that dies leaves many to be thought about. */
static unsigned owned_by(struct own *o, const struct node_id *node)
{
	struct own_load *l;

	for (unsigned i = 0; i < o->n_vol && !o->counted; i++) {
		l = load_of(o, &o->vol[i].row.owner);
		if (!l && o->n_load < OWN_NODES_MAX) {
			l = &o->load[o->n_load++];
			*l = (struct own_load){ .node = o->vol[i].row.owner };
		}
		if (l)
			l->n++;
	}
	o->counted = true;
	l = load_of(o, node);
	return l ? l->n : 0;
}

/* May the node own it at all? What every node reaches is no witness's. */
static bool may_own(const struct own *o, const struct own_vol *v, const struct node_id *node)
{
	return own_leg_of(&v->row, node) ||
	       (own_leg_lun(&v->row) && !own_listed(o->view.bare, o->view.n_bare, node));
}

/* Does candidate `a` come before `b`? One that has a leg of its own does. */
static bool before(struct own *o, const struct own_vol *v, const struct node_id *a, const struct node_id *b)
{
	bool ua = own_listed(o->view.unfit, o->view.n_unfit, a), ub = own_listed(o->view.unfit, o->view.n_unfit, b);
	bool la = own_leg_of(&v->row, a), lb = own_leg_of(&v->row, b);
	unsigned na = owned_by(o, a), nb = owned_by(o, b);

	if (ua != ub)
		return ub;
	if (la != lb)
		return la;
	return na != nb ? na < nb : node_id_cmp(a, b) < 0;
}

/* How many candidates come before us; -1: we are none. */
static int rank(struct own *o, const struct own_vol *v)
{
	int n = 0;

	if (!may_own(o, v, &o->self) || !o->target)
		return -1;
	for (unsigned i = 0; i < o->view.n_member; i++) {
		const struct node_id *m = &o->view.member[i];

		if (may_own(o, v, m) && !is_down(o, m) && !node_id_eq(m, &v->row.owner))
			n += before(o, v, m, &o->self);
	}
	return n;
}

/* An owner without an in-sync leg passes the volume on by itself, if it still can. */
static bool lost(const struct own *o, const struct own_vol *v)
{
	return is_down(o, &v->row.owner) || !own_reaches(&v->row, &v->row.owner);
}

static void succeed(struct own *o, struct own_vol *v, struct own_out *out)
{
	bool there = !node_id_none(&v->row.owner) && in_view(o, &v->row.owner);
	int r;

	if (!o->view.quorate || (there && !lost(o, v))) {
		v->gone = MONO_NEVER;
		return;
	}
	if (mono_before(o->now, v->gone))
		v->gone = o->now;
	r = rank(o, v);
	if (r < 0)
		return;
	v->try = mono_add_ms(v->gone, (there ? OWN_DOWN_MS : 0) + (unsigned)r * OWN_PATIENCE_MS);
	if (mono_due(v->try, o->now))
		propose(o, v, OWN_TAKE, &o->self, out);
}

/* ---- what to do about a volume now ---- */

static bool can_own(const struct own *o, const struct own_vol *v, const struct node_id *to)
{
	return !node_id_none(to) && !node_id_eq(to, &o->self) && may_own(o, v, to) && in_view(o, to) && !is_down(o, to);
}

/* Whom to pass it to; NULL: nobody, or not now. */
static const struct node_id *pass_to(struct own *o, const struct own_vol *v)
{
	const struct node_id *best = NULL;

	if (!o->view.quorate || !mono_due(v->wait, o->now))
		return NULL;
	if (can_own(o, v, &v->row.want))
		return &v->row.want;
	if (own_reaches(&v->row, &o->self))
		return NULL;
	for (unsigned i = 0; i < o->view.n_member; i++) {
		const struct node_id *node = &o->view.member[i];

		if (can_own(o, v, node) && (!best || before(o, v, node, best)))
			best = node;
	}
	return best;
}

/*
 * A LUN of a foreign target that this node does not reach may well be reached by another: the one that people want, or the next
 * in a round. Nothing was served under this right, so it is given back like one that was.
 */
static const struct node_id *try_elsewhere(const struct own *o, const struct own_vol *v)
{
	const struct node_id *next = NULL, *first = NULL;

	if (!v->n_failed || own_leg_of(&v->row, &o->self) || !o->view.quorate || !mono_due(v->wait, o->now))
		return NULL;
	if (can_own(o, v, &v->row.want))
		return &v->row.want;
	for (unsigned i = 0; v->n_failed >= OWN_FAILED_MAX && i < o->view.n_member; i++) {
		const struct node_id *m = &o->view.member[i];

		if (!can_own(o, v, m))
			continue;
		if (node_id_cmp(m, &o->self) > 0 && (!next || node_id_cmp(m, next) < 0))
			next = m;
		if (!first || node_id_cmp(m, first) < 0)
			first = m;
	}
	return next ? next : first;
}

static void mine(struct own *o, struct own_vol *v, struct own_out *out)
{
	switch (v->phase) {
	case OWN_CLOSED:
		/* A right that was used by a process that is gone is not used again. */
		if (v->used == v->row.epoch) {
			if (o->target && o->view.quorate)
				propose(o, v, OWN_TAKE, &o->self, out);
		} else if (try_elsewhere(o, v) && !v->refused) {
			propose(o, v, OWN_PASS, try_elsewhere(o, v), out);
		} else {
			vol_open(o, v, out);
		}
		return;
	case OWN_OPENING:
		return;
	case OWN_OPEN:
		if (!v->row.begun) {
			propose(o, v, OWN_BEGIN, &o->self, out);
		} else if (pass_to(o, v)) {
			v->phase = OWN_FREEZING;
			act_row(out, OWN_ACT_FREEZE, v);
		}
		return;
	case OWN_FREEZING:
		return;
	case OWN_FROZEN:
		if (pass_to(o, v) && !v->refused)
			propose(o, v, OWN_PASS, pass_to(o, v), out);
		else
			propose(o, v, OWN_TAKE, &o->self, out);
		return;
	}
}

static void consider(struct own *o, struct own_out *out)
{
	o->counted = false;
	o->n_load = 0;
	for (unsigned i = 0; i < o->n_vol; i++) {
		struct own_vol *v = &o->vol[i];

		v->try = MONO_NEVER;
		if (is_mine(o, v))
			mine(o, v, out);
		else
			succeed(o, v, out);
	}
	beat_send(o, out);
	lease_check(o, out);
}

/* ---- rows ---- */

/* From when on is every earlier right over? */
static struct mono wait_end(const struct own *o, const struct own_vol *v, const struct own_row *row, bool known)
{
	if (row->left + 1 >= row->epoch)
		return o->now;
	/* Ours before, by a process that is dead, and nobody else's lease was left to wait for. */
	if (known && is_mine(o, v) && v->row.epoch + 1 == row->epoch && (v->phase == OWN_CLOSED || v->phase == OWN_FROZEN) &&
	    mono_due(v->wait, o->now))
		return o->now;
	return mono_add_ms(o->now, OWN_WAIT_MS);
}

static void row_new_epoch(struct own *o, struct own_vol *v, const struct own_row *row, bool known, struct own_out *out)
{
	struct mono wait = wait_end(o, v, row, known);
	bool was_open = v->phase != OWN_CLOSED;

	v->before = known && v->row.epoch + 1 == row->epoch && mono_due(v->wait, o->now) ? v->row.owner : NODE_ID_NONE;
	v->taken = o->now;
	v->index = 0;
	v->order = o->order ? o->order : o->newest + 1;
	v->row = *row;
	v->wait = wait;
	v->until = (struct mono){ 0 };
	v->gone = MONO_NEVER;
	v->leased = v->refused = false;
	v->n_failed = 0;
	v->again = v->reopen = (struct mono){ 0 };
	memset(v->leg_again, 0, sizeof(v->leg_again));
	if (was_open)
		act_row(out, OWN_ACT_CLOSE, v);
	v->phase = OWN_CLOSED;
	if (is_mine(o, v) && !node_id_none(&v->before))
		o->beat_due = o->now;   /* it asks since when that one is silent */
	/*
	 * First seen by a process that has just started: an earlier life of it may have used this right. So may this one, where
	 * a store that failed and came back has less than was applied before.
	 */
	v->used = known && row->epoch > v->opened ? 0 : row->epoch;
}

static void row_in(struct own *o, const struct own_row *row, struct own_out *out)
{
	struct own_vol *v = vol_find(o, row->uuid);
	bool known = v;

	if (!v) {
		o->vol = mem_grow(o->vol, &o->cap_vol, o->n_vol, sizeof(*o->vol));
		v = &o->vol[o->n_vol++];
		memset(v, 0, sizeof(*v));
	}
	if (!known || v->row.epoch != row->epoch) {
		row_new_epoch(o, v, row, known, out);
		return;
	}
	v->row = *row;
	if (is_mine(o, v) && (v->phase == OWN_OPENING || v->phase == OWN_OPEN || v->phase == OWN_FREEZING))
		act_row(out, OWN_ACT_LEGS, v);
}

static void row_gone(struct own *o, const uint8_t uuid[16], struct own_out *out)
{
	struct own_vol *v = vol_find(o, uuid);

	if (!v)
		return;
	if (v->phase != OWN_CLOSED)
		act_row(out, OWN_ACT_CLOSE, v);
	*v = o->vol[--o->n_vol];
}

/* ---- the target ---- */

static void target_down(struct own *o)
{
	o->target = false;
	for (unsigned i = 0; i < o->n_vol; i++) {
		o->vol[i].phase = OWN_CLOSED;
		o->vol[i].until = (struct mono){ 0 };
	}
}

static void opened(struct own *o, const struct own_in *in)
{
	struct own_vol *v = vol_find(o, in->volume);

	if (!v || v->phase != OWN_OPENING || v->row.epoch != in->epoch)
		return;
	v->phase = in->err ? OWN_CLOSED : OWN_OPEN;
	v->n_failed = in->err ? v->n_failed + 1 : 0;
	if (in->err) {
		/* Nothing was served: the same right may be used again. */
		v->used = 0;
		v->reopen = mono_add_ms(o->now, OWN_REOPEN_MS);
	}
}

static void adopted(struct own *o, const struct own_in *in, struct own_out *out)
{
	struct own_vol *v = vol_find(o, in->volume);

	if (!v || !is_mine(o, v) || v->row.epoch != in->epoch) {
		struct own_act *a = act(out, OWN_ACT_CLOSE);

		memcpy(a->row.uuid, in->volume, 16);
		a->row.epoch = in->epoch;
		return;
	}
	v->phase = OWN_OPEN;
	v->used = v->opened = in->epoch;
	/* It has answered under this right, whoever told it that it might. */
	if (in->number) {
		v->wait = o->now;
		v->leased = true;
	}
	act_row(out, OWN_ACT_LEGS, v);
}

/*
 * Whatever ran on the node when the row was applied here is dead, its director-target too. What it starts after that finds the
 * row in the logs of a majority before it is echoed into a lease (doc/ownership.md 2).
 */
static void fenced(struct own *o, const struct own_in *in)
{
	for (unsigned i = 0; i < o->n_vol; i++) {
		struct own_vol *v = &o->vol[i];

		if (is_mine(o, v) && node_id_eq(&v->before, &in->node) && mono_before(o->now, v->wait) &&
		    (!mono_before(in->begun, v->taken) || OWN_PLANTED(OWN_PLANT_FENCED)))
			v->wait = o->now;
	}
}

static void leg_asked(struct own *o, const struct own_in *in, enum own_change_kind kind, struct own_out *out)
{
	struct own_vol *v = vol_find(o, in->volume);
	const struct own_leg *l = v ? own_leg(&v->row, in->leg) : NULL;
	struct own_act *a;

	if (!l || !is_mine(o, v) || v->row.epoch != in->epoch || !mono_due(v->leg_again[l - v->row.leg], o->now))
		return;
	v->leg_again[l - v->row.leg] = mono_add_ms(o->now, OWN_AGAIN_MS);
	a = act(out, OWN_ACT_PROPOSE);
	a->change.kind = kind;
	memcpy(a->change.volume, v->row.uuid, 16);
	memcpy(a->change.leg, in->leg, 16);
	a->change.epoch = in->epoch;
	a->change.turn = in->turn;
	a->change.served = v->leased;
}

static void frozen(struct own *o, const struct own_in *in)
{
	struct own_vol *v = vol_find(o, in->volume);

	if (v && v->phase == OWN_FREEZING && v->row.epoch == in->epoch) {
		v->phase = OWN_FROZEN;
		v->until = (struct mono){ 0 };
		v->again = (struct mono){ 0 };
	}
}

static void lost_it(struct own *o, const struct own_in *in)
{
	struct own_vol *v = vol_find(o, in->volume);

	if (v && v->row.epoch == in->epoch && v->phase != OWN_FROZEN) {
		v->phase = OWN_CLOSED;
		v->until = (struct mono){ 0 };
	}
}

static void refused(struct own *o, const struct own_change *c)
{
	struct own_vol *v = vol_find(o, c->volume);

	if (v && c->kind == OWN_PASS && c->epoch == v->row.epoch)
		v->refused = true;
}

/* ---- beats ---- */

/* It needs no view: what an echo proves is in the voter's log. */
static void beat_in(struct own *o, const struct own_in *in, struct own_out *out)
{
	struct own_act *a;

	if (o->view.mute || !own_listed(o->view.voter, o->view.n_voter, &o->self) || node_id_eq(&in->node, &o->self))
		return;
	a = act(out, OWN_ACT_ECHO);
	a->node = in->node;
	a->number = in->number;
	a->index = o->log_end;
	heard(o, &in->node);
	a->silent = silent_ms(o, &in->asked, in->epoch);
}

static void view_in(struct own *o, const struct own_view *view)
{
	bool same = view->n_voter == o->view.n_voter;

	for (unsigned i = 0; i < view->n_voter && same; i++)
		same = own_listed(o->view.voter, o->view.n_voter, &view->voter[i]);
	if (!same)
		o->voters_since = o->now;
	o->view = *view;
}

static void applied(struct own *o, uint64_t index)
{
	o->applied = index;
	for (unsigned i = 0; i < o->n_vol; i++)
		if (!o->vol[i].index)
			o->vol[i].index = index;
}

static void wake(const struct own *o, struct own_out *out)
{
	struct mono t = wants_beats(o) ? o->beat_due : MONO_NEVER;

	for (unsigned i = 0; i < o->n_vol; i++) {
		const struct own_vol *v = &o->vol[i];

		if (mono_before(o->now, v->wait) && is_mine(o, v))
			t = mono_min(t, v->wait);
		if (mono_before(o->now, v->again))
			t = mono_min(t, v->again);
		if (mono_before(o->now, v->reopen))
			t = mono_min(t, v->reopen);
		if (mono_before(o->now, v->try))
			t = mono_min(t, v->try);
	}
	out->wake = t;
}

void own_step(struct own *o, const struct own_in *in, struct own_out *out)
{
	struct own_beat *b;

	o->now = in->now;
	if (!o->born.ns)
		o->born = o->voters_since = o->now;
	switch (in->kind) {
	case OWN_IN_TIMER:
		break;
	case OWN_IN_VIEW:
		view_in(o, in->view);
		break;
	case OWN_IN_ROW:
		row_in(o, in->row, out);
		break;
	case OWN_IN_GONE:
		row_gone(o, in->volume, out);
		break;
	case OWN_IN_APPLIED:
		applied(o, in->index);
		silence_check(o);
		break;
	case OWN_IN_LOG:
		o->log_end = in->index;
		o->durable = in->number;
		o->order = in->epoch;
		o->newest = in->epoch > o->newest ? in->epoch : o->newest;
		break;
	case OWN_IN_BEAT:
		beat_in(o, in, out);
		break;
	case OWN_IN_ECHO:
		b = beat_find(o, in->number);
		if (b)
			echo_add(o, b, &in->node, in->index, in->silent);
		silence_check(o);
		break;
	case OWN_IN_TARGET_UP:
		o->target = true;
		break;
	case OWN_IN_TARGET_DOWN:
		target_down(o);
		break;
	case OWN_IN_ADOPTED:
		adopted(o, in, out);
		break;
	case OWN_IN_OPENED:
		opened(o, in);
		break;
	case OWN_IN_FROZEN:
		frozen(o, in);
		break;
	case OWN_IN_LOST:
		lost_it(o, in);
		break;
	case OWN_IN_LEG_FAILED:
		leg_asked(o, in, OWN_OUT, out);
		break;
	case OWN_IN_LEG_READY:
		leg_asked(o, in, OWN_IN, out);
		break;
	case OWN_IN_REFUSED:
		refused(o, in->change);
		break;
	case OWN_IN_FENCED:
		fenced(o, in);
		break;
	}
	consider(o, out);
	wake(o, out);
}

bool own_waits(const struct own *o, unsigned i, struct node_id *node)
{
	for (unsigned k = 0; k < o->n_vol; k++) {
		const struct own_vol *v = &o->vol[k];

		if (!waits(o, v) || i-- > 0)
			continue;
		*node = v->before;
		return true;
	}
	return false;
}

struct mono own_right(const struct own *o, const uint8_t volume[16])
{
	const struct own_vol *v = vol_find((struct own *)o, volume);

	return v && is_mine(o, v) && mono_due(v->wait, o->now) ? o->until : (struct mono){ 0 };
}

struct own *own_new(const struct node_id *self)
{
	struct own *o = mem_zalloc(sizeof(*o));

	o->self = *self;
	return o;
}

void own_free(struct own **o)
{
	if (!*o)
		return;
	free((*o)->vol);
	free(*o);
	*o = NULL;
}

void own_out_fini(struct own_out *out)
{
	free(out->act);
	memset(out, 0, sizeof(*out));
}
