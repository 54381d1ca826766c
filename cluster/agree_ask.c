/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proposals until their answers. A proposal that was sent is in doubt until its entry is applied here
 * or the member is told that it was refused; asking again with the same request id is always safe.
 */
#include "base/err.h"
#include "base/mem.h"
#include "cluster/agree_int.h"

static bool rid_eq(const struct agree_rid *x, const struct agree_rid *y)
{
	return memcmp(x->b, y->b, sizeof(x->b)) == 0;
}

/* Outside the ring a voter is asked to propose for us. */
static bool forwards(const struct agree *a)
{
	return !agree_mute(a) && !node_id_none(&a->learn) && a->phase == PHASE_NONE;
}

static void reply_to(struct agree *a, const struct node_id *origin, const struct agree_reply *r)
{
	struct agree_msg *m;

	if (node_id_none(origin)) {
		a->reply = mem_grow(a->reply, &a->reply_cap, a->n_reply, sizeof(*a->reply));
		a->reply[a->n_reply++] = *r;
		return;
	}
	m = agree_send(a, origin, AGREE_MSG_FORWARDED);
	m->forwarded.rid = r->rid;
	m->forwarded.index = r->index;
	m->forwarded.err = r->err;
	m->forwarded.result = r->result;
	m->forwarded.in_doubt = r->in_doubt;
}

static void finish(struct agree *a, unsigned i, const struct agree_reply *r)
{
	struct pending *p = a->pending[i];

	reply_to(a, &p->origin, r);
	agree_later(a, p->payload);
	agree_later(a, p);
	memmove(&a->pending[i], &a->pending[i + 1], (--a->n_pending - i) * sizeof(a->pending[0]));
}

static bool doubtful(const struct pending *p)
{
	return p->cast_ever || p->n_forwarded > 0;
}

static void fail(struct agree *a, unsigned i, int err)
{
	struct agree_reply r = { .rid = a->pending[i]->rid, .err = err, .in_doubt = doubtful(a->pending[i]) };

	finish(a, i, &r);
}

void agree_ask_fail(struct agree *a, int err)
{
	while (a->n_pending)
		fail(a, 0, err);
}

static void fill(const struct pending *p, struct agree_msg *m)
{
	m->propose.rid = p->rid;
	m->propose.kind = p->kind;
	m->propose.payload = p->payload;
	m->propose.len = p->len;
	m->propose.ask = p->ask;
}

/* Put it on its way, whichever that is now. */
static void send_on(struct agree *a, struct pending *p)
{
	struct agree_msg *m;

	p->cast_due = MONO_NEVER;
	if (forwards(a)) {
		m = agree_send(a, &a->learn, AGREE_MSG_FORWARD);
		p->n_forwarded++;
	} else {
		p->ask = ++a->n_asked;
		p->cast_ever = true;
		if (!agree_direct_propose(a, p, &m))
			m = agree_cast(a, AGREE_MSG_PROPOSE);
	}
	fill(p, m);
	p->asked_at = a->now;
}

/* The sequencer has not heard it, or would refuse it. */
static void cast_after_all(struct agree *a, struct pending *p)
{
	p->cast_due = MONO_NEVER;
	if (!agree_active(a) || agree_sequencing(a) || agree_log_find(&a->log, &p->rid, a->applied))
		return;
	agree_direct_missed(a);
	fill(p, agree_cast(a, AGREE_MSG_PROPOSE));
}

/* True if it was answered, and the list is one shorter. */
static bool try_ask(struct agree *a, unsigned i)
{
	struct pending *p = a->pending[i];
	int err;

	if (!agree_sequencing(a) || PLANTED(PLANT_CPG_ORDER)) {
		if (agree_active(a) || forwards(a))
			send_on(a, p);
		return false;
	}
	err = agree_order_next(a, &p->rid, p->kind, p->payload, p->len);
	if (err) {
		fail(a, i, err);
		return true;
	}
	p->asked_at = a->now;
	p->cast_ever = true;
	return false;
}

/* Why nothing can be proposed now; 0 if it can, or soon. */
static int refusal(const struct agree *a)
{
	if (a->diverged)
		return ERR_DIVERGED;
	if (a->store_failed)
		return ERR_IO;
	if (!forwards(a) && (a->phase == PHASE_NONE || a->phase == PHASE_NO_QUORUM))
		return ERR_NOQUORUM;
	return 0;
}

void agree_ask(struct agree *a, const struct node_id *origin, const struct agree_rid *rid, enum agree_kind kind,
	       const uint8_t *payload, uint32_t len)
{
	struct agree_reply r = { .rid = *rid };
	const struct agree_done *d = agree_done_find(a, rid);
	struct roster roster;
	struct pending *p;

	for (unsigned i = 0; i < a->n_pending; i++)
		if (rid_eq(&a->pending[i]->rid, rid) && node_id_eq(&a->pending[i]->origin, origin))
			return;         /* the answer will be one for both */
	if (d) {
		r.index = d->index;
		r.result = d->result;
		reply_to(a, origin, &r);
		return;
	}
	r.err = refusal(a);
	if (len > AGREE_PAYLOAD_MAX)
		r.err = ERR_LIMIT;
	else if (kind == AGREE_ROSTER && roster_unpack(payload, len, &roster) < 0)
		r.err = ERR_INVAL;
	else if (!r.err && a->n_pending == PENDING_MAX)
		r.err = ERR_AGAIN;
	if (r.err) {
		reply_to(a, origin, &r);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	p->rid = *rid;
	p->kind = kind;
	p->payload = mem_dup(payload, len);
	p->len = len;
	p->origin = *origin;
	p->deadline = mono_add_ms(a->now, a->conf.propose_ms);
	p->asked_at = p->cast_due = MONO_NEVER;
	a->pending[a->n_pending++] = p;
	try_ask(a, a->n_pending - 1);
}

void agree_ask_again(struct agree *a)
{
	int err = refusal(a);

	if (err && !PLANTED(PLANT_SILENT)) {
		agree_ask_fail(a, err);
		return;
	}
	for (unsigned i = 0; i < a->n_pending; i++)
		a->pending[i]->asked_at = a->pending[i]->cast_due = MONO_NEVER;
	if (PLANTED(PLANT_SILENT))
		return;
	for (unsigned i = 0; i < a->n_pending;)
		if (!try_ask(a, i))
			i++;
}

/* The time is up. */
static void expire(struct agree *a, unsigned i)
{
	struct pending *p = a->pending[i];
	struct agree_reply r = { .rid = p->rid, .in_doubt = doubtful(p) };

	if (p->index) {
		r.index = p->index;     /* a voter said so; only our copy is late */
		r.result = p->result;
		r.in_doubt = false;
	} else {
		r.err = doubtful(p) ? ERR_TIMEOUT : ERR_AGAIN;
	}
	finish(a, i, &r);
}

/* A proposal that came back to us long ago and is no entry yet: its sequencer hangs. */
static bool overdue(const struct agree *a, const struct pending *p)
{
	return a->phase == PHASE_ACTIVE && a->installed && !agree_sequencing(a) && a->n_sent == a->n_back &&
	       p->asked_at.ns != UINT64_MAX && mono_due(mono_add_ms(p->asked_at, SEQUENCE_MS), a->now) &&
	       !agree_log_find(&a->log, &p->rid, a->applied);
}

void agree_ask_timer(struct agree *a)
{
	bool again = false;

	for (unsigned i = 0; i < a->n_pending;) {
		struct pending *p = a->pending[i];

		if (mono_due(p->deadline, a->now) && !PLANTED(PLANT_SILENT)) {
			expire(a, i);
			continue;
		}
		again |= overdue(a, p);
		if (mono_due(p->cast_due, a->now))
			cast_after_all(a, p);
		if (forwards(a) && p->asked_at.ns != UINT64_MAX && !p->index &&
		    mono_due(mono_add_ms(p->asked_at, PULL_MS), a->now))
			send_on(a, p);
		i++;
	}
	if (again)
		agree_view_again(a, "the sequencer does not answer");
}

struct mono agree_ask_wake(const struct agree *a)
{
	struct mono w = MONO_NEVER;

	for (unsigned i = 0; i < a->n_pending; i++) {
		const struct pending *p = a->pending[i];

		w = mono_min(w, mono_min(p->deadline, p->cast_due));
		if (p->asked_at.ns == UINT64_MAX)
			continue;
		if (forwards(a) && !p->index)
			w = mono_min(w, mono_add_ms(p->asked_at, PULL_MS));
		else if (a->phase == PHASE_ACTIVE && mono_before(a->now, mono_add_ms(p->asked_at, SEQUENCE_MS)))
			w = mono_min(w, mono_add_ms(p->asked_at, SEQUENCE_MS));
	}
	return w;
}

void agree_ask_applied(struct agree *a, const struct agree_done *d)
{
	struct agree_reply r = { .rid = d->rid, .index = d->index, .result = d->result };

	for (unsigned i = 0; i < a->n_pending;) {
		if (rid_eq(&a->pending[i]->rid, &d->rid))
			finish(a, i, &r);
		else
			i++;
	}
}

void agree_ask_known(struct agree *a)
{
	for (unsigned i = 0; i < a->n_pending;) {
		const struct agree_done *d = agree_done_find(a, &a->pending[i]->rid);
		struct agree_reply r = { .rid = a->pending[i]->rid };

		if (!d) {
			i++;
			continue;
		}
		r.index = d->index;
		r.result = d->result;
		finish(a, i, &r);
	}
}

void agree_ask_refused(struct agree *a, const struct agree_rid *rid, int err)
{
	/* What this epoch's log lacks when it refuses, no earlier epoch's can have committed. */
	for (unsigned i = 0; i < a->n_pending;) {
		struct pending *p = a->pending[i];

		if (!rid_eq(&p->rid, rid) || p->asked_at.ns == UINT64_MAX) {
			i++;
			continue;
		}
		p->cast_ever = false;
		fail(a, i, err);
	}
}

static void on_forwarded(struct agree *a, const struct agree_msg *msg)
{
	const struct agree_done *d = agree_done_find(a, &msg->forwarded.rid);

	for (unsigned i = 0; i < a->n_pending; i++) {
		struct pending *p = a->pending[i];

		if (!rid_eq(&p->rid, &msg->forwarded.rid))
			continue;
		if (msg->forwarded.err) {
			fail(a, i, msg->forwarded.err); /* in doubt: it may have been forwarded more than once */
			return;
		}
		p->index = msg->forwarded.index;
		p->result = msg->forwarded.result;
		if (d)
			agree_ask_applied(a, d);
		return;
	}
}

void agree_ask_msg(struct agree *a, const struct node_id *from, const struct agree_msg *msg)
{
	if (msg->kind == AGREE_MSG_FORWARDED)
		on_forwarded(a, msg);
	else if (!forwards(a))          /* never in a circle */
		agree_ask(a, from, &msg->propose.rid, msg->propose.kind, msg->propose.payload, msg->propose.len);
}
