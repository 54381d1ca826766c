/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fencing: a node that has left the view, and whose lease a volume of ours waits for, is switched off where its object says how.
 * If that is certain before the wait is over, the wait ends (doc/ownership.md 14). Nothing depends on it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/cluster_priv.h"
#include "cluster/volume.h"

#define AGAIN_MS 30000          /* before the same node is switched off again, whatever came of it */

static bool in_view(const struct own_view *v, const struct node_id *id)
{
	for (unsigned i = 0; i < v->n_member; i++)
		if (node_id_eq(&v->member[i], id))
			return true;
	return false;
}

/* May it be tried now? Then it is noted as tried. */
static bool turn(struct cluster *c, const struct node_id *id)
{
	unsigned at = 0;

	for (unsigned i = 0; i < c->n_doing; i++)
		if (c->doing[i]->kind == CLUSTER_ACT_FENCE && node_id_eq(&c->doing[i]->node, id))
			return false;
	for (unsigned i = 0; i < FENCES_MAX; i++) {
		if (node_id_eq(&c->fenced[i].node, id)) {
			if (!mono_due(c->fenced[i].again, c->now))
				return false;
			at = i;
			break;
		}
		if (mono_before(c->fenced[i].again, c->fenced[at].again))
			at = i;
	}
	c->fenced[at].node = *id;
	c->fenced[at].again = mono_add_ms(c->now, AGAIN_MS);
	return true;
}

static void begin(struct cluster *c, const struct object *o, const struct node_id *id, const char *plugin, struct cluster_out *out)
{
	struct doing *d = cluster_doing(c, CLUSTER_ACT_FENCE);
	struct cluster_act *act = cluster_act(c, out, CLUSTER_ACT_FENCE);

	d->node = *id;
	d->begun = c->now;
	d->fence = (struct cluster_fence){ .node = mem_strdup(path_name(o->path)), .plugin = mem_strdup(plugin),
	                                   .options = mem_strdup(attrs_get(&o->attrs, "fence-options")) };
	act->id = d->id;
	act->fence = &d->fence;
	log_warn(c->log, "fence: node %s does not answer and may hold a lease: %s switches it off", path_name(o->path), plugin);
}

void fencing_tend(struct cluster *c, struct cluster_out *out)
{
	struct node_id id;

	if (c->reset || c->removed || !c->owner.machine || !c->owner.view.quorate)
		return;
	for (unsigned i = 0; own_waits(c->owner.machine, i, &id); i++) {
		const struct object *o = admit_node(c, &id);
		const char *plugin = o ? attrs_get(&o->attrs, "fence") : NULL;

		if (plugin && !node_id_eq(&id, &c->self) && !in_view(&c->owner.view, &id) && turn(c, &id))
			begin(c, o, &id, plugin, out);
	}
}

void fencing_done(struct cluster *c, const struct doing *d, int err, const char *text, struct cluster_out *out)
{
	if (err) {
		log_warn(c->log, "fence: node %s could not be switched off, its lease is waited for: %s", d->fence.node,
		         text && *text ? text : err_text(err));
		return;
	}
	log_info(c->log, "fence: node %s is off", d->fence.node);
	owner_fenced(c, &d->node, d->begun, out);
	c->dirty = true;
}
