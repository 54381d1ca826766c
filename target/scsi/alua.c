/* SPDX-License-Identifier: Apache-2.0 */
/* REPORT and SET TARGET PORT GROUPS (SPC-4 6.33, 6.43), and the groups that they are about. */
#include "target/scsi/alua.h"

#include <string.h>

#include "target/scsi/sense.h"

bool alua_state_ok(unsigned state)
{
	return state <= ALUA_UNAVAILABLE || state == ALUA_TRANSITIONING;
}

bool alua_ok(const struct alua *a)
{
	if (a->n > ALUA_GROUPS_MAX)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (!a->groups[i].id || !alua_state_ok(a->groups[i].state))
			return false;
		for (unsigned k = 0; k < i; k++)
			if (a->groups[k].id == a->groups[i].id)
				return false;
	}
	return true;
}

const struct alua_group *alua_group(const struct alua *a, uint16_t id)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->groups[i].id == id)
			return &a->groups[i];
	return NULL;
}

enum alua_state alua_state_of(const struct alua *a, uint16_t id)
{
	const struct alua_group *g = alua_group(a, id);

	return g ? (enum alua_state)g->state : ALUA_OPTIMIZED;
}

static void sort(struct alua *a)
{
	for (unsigned i = 1; i < a->n; i++) {
		struct alua_group g = a->groups[i];
		unsigned k = i;

		for (; k && a->groups[k - 1].id > g.id; k--)
			a->groups[k] = a->groups[k - 1];
		a->groups[k] = g;
	}
}

/* The groups as they are reported: those that were set, and the unit's other ports, active/optimized. */
static void effective(const struct scsi_lu *lu, uint16_t own, struct alua *a)
{
	*a = lu->alua;
	for (unsigned i = 0; i <= lu->n_ports && a->n < ALUA_GROUPS_MAX; i++) {
		uint16_t id = i < lu->n_ports ? lu->ports[i].tag : own;

		if (id && !alua_group(a, id))
			a->groups[a->n++] = (struct alua_group){ .id = id };
	}
	sort(a);
}

bool lu_alua_set(struct scsi_lu *lu, const struct alua *want)
{
	struct alua a = *want;
	bool changed = false;

	sort(&a);
	for (unsigned i = 0; i < a.n; i++) {
		const struct alua_group *had = alua_group(&lu->alua, a.groups[i].id);
		uint8_t before = had ? had->state : ALUA_OPTIMIZED;

		a.groups[i].status = had ? had->status : ALUA_BY_NONE;
		if (before == a.groups[i].state)
			continue;
		a.groups[i].status = ALUA_BY_ITSELF;
		changed = true;
	}
	/* A group that is not named any more is active/optimized. */
	for (unsigned i = 0; i < lu->alua.n; i++)
		changed |= !alua_group(&a, lu->alua.groups[i].id) && lu->alua.groups[i].state != ALUA_OPTIMIZED;
	lu->alua = a;
	lu_gates(lu);
	if (changed)
		lu_attention(lu, UA_ACCESS_STATE_CHANGED, NULL);
	return changed;
}

/* ---- REPORT TARGET PORT GROUPS ---- */

#define SUPPORTED 0x8f                  /* T_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP */

static uint32_t ports_put(const struct scsi_lu *lu, const struct alua_group *g, uint8_t *p)
{
	/* One node's ports of a unit are one port of each of its targets: they share the identifier. */
	set32(p, g->id);
	return 4;
}

int alua_report(struct task *t)
{
	const struct scsi_lu *lu = task_lu(t);
	unsigned format = t->cdb[1] >> 5;
	uint32_t allocation = be32(t->cdb + 6), at = format ? 8 : 4;
	struct alua a;
	uint8_t *p;

	if (format > 1)
		return scsi_bad_cdb(t, 1, 7);
	if (!(p = scsi_room(t, 8 + ALUA_GROUPS_MAX * 12)))
		return SCSI_DONE;
	effective(lu, t->scsi.it->tag, &a);
	for (unsigned i = 0; i < a.n; i++) {
		const struct alua_group *g = &a.groups[i];
		uint8_t *d = p + at;

		d[0] = (uint8_t)((g->preferred ? 0x80 : 0) | g->state);
		d[1] = SUPPORTED;
		set16(d + 2, g->id);
		d[5] = g->status;
		d[7] = 1;
		at += 8 + ports_put(lu, g, d + 8);
	}
	set32(p, at - 4);
	if (format) {
		p[4] = 0x10;            /* FORMAT TYPE 1: extended header */
		p[5] = lu->alua.transition_s;
	}
	return scsi_data(t, at, allocation);
}

/* ---- SET TARGET PORT GROUPS: all descriptors are checked before any is taken ---- */

int alua_set(struct task *t)
{
	struct scsi_lu *lu = task_lu(t);
	uint32_t n = be32(t->cdb + 6);
	bool changed = false;
	struct alua a;

	if (!lu->alua.explicit_ok)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
	if (n == 0)
		return scsi_good(t);
	if (n < 4 || n > 4 + 4 * ALUA_GROUPS_MAX)
		return scsi_check(t, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
	if (!scsi_have(t, n))
		return SCSI_DONE;
	effective(lu, t->scsi.it->tag, &a);
	for (uint32_t at = 4; at + 4 <= n; at += 4) {
		const uint8_t *d = t->out.p + at;
		struct alua_group *g = (struct alua_group *)alua_group(&a, (uint16_t)be16(d + 2));
		uint8_t state = d[0] & 0x0f;

		if (!alua_state_ok(state) || state == ALUA_TRANSITIONING)
			return scsi_bad_parameter(t, at, 3);
		if (!g)
			return scsi_bad_parameter(t, at + 2, -1);
		changed |= g->state != state;
		g->state = state;
		g->status = ALUA_BY_COMMAND;
	}
	lu->alua = a;
	lu_gates(lu);
	if (changed)
		lu_attention(lu, UA_ACCESS_STATE_CHANGED, t->scsi.nexus);
	return scsi_good(t);
}
