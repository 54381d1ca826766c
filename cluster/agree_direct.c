/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What members of an active epoch tell each other directly: entries, acknowledgements, proposals to the sequencer, as
 * datagrams that may be lost, come twice or late. It is the same that CPG would deliver and counts in the same way,
 * only sooner; what had no effect after DIRECT_MS is cast. Why that is safe: doc/agreement.md, "Directly".
 */
#include "cluster/agree_int.h"

bool agree_direct(const struct agree *a)
{
	return !a->local && a->n_member > 1 && a->phase == PHASE_ACTIVE && !PLANTED(PLANT_CPG_ORDER);
}

/* Datagrams do not get through here, as it seems: cast at once, and send them too, to see when they do again. */
static bool in_vain(const struct agree *a)
{
	return a->misses >= DIRECT_MISSES;
}

void agree_direct_missed(struct agree *a)
{
	if (a->misses < DIRECT_MISSES)
		a->misses++;
}

static struct agree_msg *direct_to(struct agree *a, const struct node_id *to, enum agree_msg_kind kind)
{
	struct agree_msg *m = agree_send(a, to, kind);

	m->tag = a->tag;
	a->send[a->n_send - 1].quick = true;
	return m;
}

static void to_all(struct agree *a, const struct agree_msg *msg)
{
	for (unsigned i = 0; i < a->n_member; i++) {
		struct agree_msg *m;

		if (node_id_eq(&a->member[i].id, &a->conf.self))
			continue;
		m = direct_to(a, &a->member[i].id, msg->kind);
		*m = (struct agree_msg){ .kind = msg->kind, .boot = m->boot, .tag = m->tag };
		if (msg->kind == AGREE_MSG_ENTRY)
			m->entry = msg->entry;
		else
			m->ack = msg->ack;
	}
}

/* --- the sequencer's entries --- */

static bool all_have(const struct agree *a, uint64_t index)
{
	for (unsigned i = 0; i < a->n_member; i++)
		if (!node_id_eq(&a->member[i].id, &a->conf.self) && agree_order_acked(a, &a->member[i]) < index)
			return false;
	return true;
}

static void entry_fill(const struct agree *a, uint64_t index, struct agree_msg *m)
{
	struct agree_at before = { 0 };

	agree_log_point(&a->log, index - 1, &before);
	m->entry.entry = *agree_log_at(&a->log, index);
	m->entry.before = before.chain;
}

/* Cast up to `upto` what was not, unless every member is known to have it. */
static void cast_entries(struct agree *a, uint64_t upto)
{
	uint64_t last = agree_log_last(&a->log).index;
	uint64_t from = a->cast_upto > a->begin.index ? a->cast_upto : a->begin.index;

	if (from < a->log.base.index)
		from = a->log.base.index;
	for (uint64_t i = from + 1; i <= upto; i++)
		if (!all_have(a, i))
			entry_fill(a, i, agree_cast(a, AGREE_MSG_ENTRY));
	a->cast_upto = upto;
	a->cast_mark = last;
	a->cast_due = last > upto ? mono_add_ms(a->now, DIRECT_MS) : MONO_NEVER;
}

void agree_direct_entry(struct agree *a, const struct agree_entry *e)
{
	struct agree_msg m = { .kind = AGREE_MSG_ENTRY };
	bool fits = agree_direct(a) && e->len <= DIRECT_BYTES;

	if (fits) {
		entry_fill(a, e->index, &m);
		to_all(a, &m);
	}
	if (!fits || in_vain(a)) {
		cast_entries(a, e->index);
	} else if (a->cast_due.ns == UINT64_MAX) {
		a->cast_mark = e->index;
		a->cast_due = mono_add_ms(a->now, DIRECT_MS);
	}
}

/* --- acknowledgements --- */

void agree_direct_ack(struct agree *a, const struct agree_msg *ack)
{
	to_all(a, ack);
	if (a->ack_due.ns != UINT64_MAX && !in_vain(a))
		return;
	a->ack_mark = ack->ack.at.index;
	a->ack_due = in_vain(a) ? a->now : mono_add_ms(a->now, DIRECT_MS);
}

/* --- a proposal to the sequencer --- */

bool agree_direct_propose(struct agree *a, struct pending *p, struct agree_msg **m)
{
	if (!agree_direct(a) || p->len > DIRECT_BYTES || node_id_eq(&a->sequencer, &a->conf.self))
		return false;
	*m = direct_to(a, &a->sequencer, AGREE_MSG_PROPOSE);
	p->cast_due = in_vain(a) ? a->now : mono_add_ms(a->now, DIRECT_MS);
	return true;
}

/* --- time --- */

void agree_direct_reset(struct agree *a)
{
	a->cast_upto = 0;
	a->cast_due = a->ack_due = MONO_NEVER;
}

void agree_direct_timer(struct agree *a)
{
	if (mono_due(a->cast_due, a->now)) {
		a->cast_due = MONO_NEVER;
		if (agree_sequencing(a))
			cast_entries(a, a->cast_mark);
	}
	if (!mono_due(a->ack_due, a->now))
		return;
	a->ack_due = MONO_NEVER;
	if (a->phase == PHASE_ACTIVE && a->commit < a->ack_mark) {
		agree_direct_missed(a);
		agree_order_ack_cast(a);
	} else if (a->phase == PHASE_ACTIVE && a->commit < a->acked) {
		a->ack_mark = a->acked;
		a->ack_due = mono_add_ms(a->now, DIRECT_MS);
	}
}

struct mono agree_direct_wake(const struct agree *a)
{
	return mono_min(a->cast_due, a->ack_due);
}
