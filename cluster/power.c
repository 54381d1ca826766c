/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Have all nodes lost power? Who leads a view says which starts of machines are in it; where it is applied, none of them having
 * been seen before means that nothing was kept in memory anywhere (doc/ownership.md 11).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_priv.h"
#include "cluster/volume.h"

/* What a former process knew of a node says nothing of how it is now. */
static bool life_of(const struct cluster *c, const struct node_id *id, uint64_t *life)
{
	const struct fact *f = admit_said(c, id);
	const char *text = f ? attrs_get(&f->attrs, "life") : NULL;
	uint8_t b[8];

	*life = c->conf.life;
	if (node_id_eq(id, &c->self))
		return c->conf.life;
	for (unsigned i = 0; i < c->n_kept; i++)
		if (node_id_eq(&c->kept[i].id, id))
			return false;
	if (!text || text_hex_parse(text, b, sizeof(b)) < 0)
		return false;
	*life = 0;
	for (unsigned i = 0; i < 8; i++)
		*life = *life << 8 | b[i];
	return true;
}

void power_tend(struct cluster *c, struct cluster_out *out)
{
	const struct tree *t = catalog_tree(c->catalog);
	uint64_t life[LIVES_MAX], sum = 0;
	bool news = false;
	struct txn txn = { 0 };
	char what[80];
	unsigned n = 0;

	if (catalog_level(c->catalog) < VOLUME_CONVERT_LEVEL || !cluster_leads(c) || c->reset)
		return;
	for (unsigned i = 0; i < c->status->n_member && n < LIVES_MAX; i++) {
		if (!life_of(c, &c->status->member[i].id, &life[n]))
			return;
		news |= !volume_life_seen(t, life[n]);
		sum = sum * 31 + life[n++];
	}
	if (!news || volume_txn_lives(t, life, n, &txn) < 0)
		return;
	snprintf(what, sizeof(what), "lives %016" PRIx64 " %" PRIu64, sum, txn.ops[0].keep.version);
	request_propose_own(c, &txn, what, out);
	txn_fini(&txn);
}

bool power_judged(const struct cluster *c)
{
	return catalog_level(c->catalog) < VOLUME_CONVERT_LEVEL || !c->conf.life || volume_life_seen(catalog_tree(c->catalog), c->conf.life);
}
