/* SPDX-License-Identifier: Apache-2.0 */
/* The agreed row of a mirrored volume and its four changes. */
#include "cluster/own.h"

#include <string.h>

#include "base/err.h"

static struct own_leg *leg_find(struct own_row *row, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < row->n_leg; i++)
		if (memcmp(row->leg[i].uuid, uuid, 16) == 0)
			return &row->leg[i];
	return NULL;
}

const struct own_leg *own_leg(const struct own_row *row, const uint8_t uuid[16])
{
	return leg_find((struct own_row *)row, uuid);
}

const struct own_leg *own_leg_of(const struct own_row *row, const struct node_id *node)
{
	for (unsigned i = 0; i < row->n_leg; i++)
		if (row->leg[i].state == OWN_LEG_IN && !row->leg[i].lun && node_id_eq(&row->leg[i].node, node))
			return &row->leg[i];
	return NULL;
}

const struct own_leg *own_leg_lun(const struct own_row *row)
{
	for (unsigned i = 0; i < row->n_leg; i++)
		if (row->leg[i].state == OWN_LEG_IN && row->leg[i].lun)
			return &row->leg[i];
	return NULL;
}

bool own_reaches(const struct own_row *row, const struct node_id *node)
{
	return own_leg_of(row, node) || own_leg_lun(row);
}

static int own_give(struct own_row *row, const struct own_change *c)
{
	if (node_id_none(&c->node) || !own_reaches(row, &c->node))
		return ERR_CONFLICT;
	if (c->kind == OWN_PASS)
		row->left = row->epoch;
	row->owner = c->node;
	row->epoch++;
	if (node_id_eq(&row->want, &row->owner))
		row->want = NODE_ID_NONE;
	return 0;
}

static int leg_out(struct own_row *row, struct own_leg *leg, const struct own_change *c)
{
	unsigned others = 0;

	for (unsigned i = 0; i < row->n_leg; i++)
		others += &row->leg[i] != leg && row->leg[i].state == OWN_LEG_IN;
	if (!others)
		return ERR_CONFLICT;
	if (leg->state == OWN_LEG_IN) {
		leg->state = OWN_LEG_OUT;
		if (c->served)
			leg->since = row->epoch;
	}
	leg->turn++;
	return 0;
}

static int leg_in(struct own_row *row, struct own_leg *leg, const struct own_change *c)
{
	if (leg->state == OWN_LEG_IN || leg->turn != c->turn)
		return ERR_CONFLICT;
	leg->state = OWN_LEG_IN;
	leg->turn++;
	leg->member = leg->turn;
	leg->since = row->epoch;
	return 0;
}

int own_apply(struct own_row *row, const struct own_change *c)
{
	struct own_leg *leg = leg_find(row, c->leg);

	if (row->epoch != c->epoch)
		return ERR_CONFLICT;
	switch (c->kind) {
	case OWN_TAKE:
	case OWN_PASS:
		return own_give(row, c);
	case OWN_OUT:
		return leg ? leg_out(row, leg, c) : ERR_CONFLICT;
	case OWN_IN:
		return leg ? leg_in(row, leg, c) : ERR_CONFLICT;
	case OWN_BEGIN:
		row->begun = true;
		return 0;
	}
	return ERR_CONFLICT;
}
