/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes with copies as people see them: who serves, which legs have all data, how long until the others do. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cluster/facts.h"
#include "cluster/move.h"
#include "cluster/names_int.h"
#include "cluster/place.h"
#include "cluster/volume.h"

static const char *node_name(const struct names *n, const struct node_id *id)
{
	return node_id_none(id) ? NULL : volume_node_name(catalog_tree(n->catalog), id);
}

static bool is_alive(const struct names *n, const char *name)
{
	enum names_node_state s = name ? names_node_state(n, name) : 0;

	return s == NODE_ALIVE || s == NODE_SUSPECT;
}

static const struct fact *owners_report(const struct names *n, const struct own_row *row, const char *path)
{
	return node_id_none(&row->owner) ? NULL : facts_get(n->facts, &row->owner, path);
}

/* "1.2G of 4G to copy, 3m left" */
static void resync_words(const struct fact *f, char *out, size_t size)
{
	uint64_t left = place_uint(f, "resync-left", 0), total = place_uint(f, "resync-total", 0), rate = place_uint(f, "resync-rate", 0);
	char a[32], b[32], t[32];
	size_t at;

	out[0] = '\0';
	if (!left)
		return;
	at = (size_t)snprintf(out, size, ", %s of %s to copy", text_size(left, a), text_size(total > left ? total : left, b));
	if (rate && at < size)
		snprintf(out + at, size - at, ", about %s left", text_ms((left / rate + 1) * 1000, t));
}

/* What the owner says of the copying: of this leg, or of all that is copied. */
static const struct fact *resync_report(const struct names *n, const struct own_row *row, const char *volume, const char *leg)
{
	const struct fact *f = owners_report(n, row, leg);

	return f && attrs_get(&f->attrs, "resync-left") ? f : owners_report(n, row, volume);
}

static enum names_status leg_state(const struct names *n, const struct own_row *row, const struct object *v, const struct object *leg,
                                   uint64_t task, struct why *why)
{
	const struct own_leg *l = own_leg(row, leg->uuid);
	const char *of = attrs_get(&leg->attrs, "replaces");
	const struct fact *f;
	char words[120], node[80];
	char old[2 * PATH_LEN_MAX];

	if (!l)
		return STATUS_PENDING;
	snprintf(node, sizeof(node), l->lun ? "on its LUN" : "on node %.63s", attrs_get(&leg->attrs, "node"));
	snprintf(old, sizeof(old), "%s/legs/%s", v->path, of ? of : "");
	if (l->state == OWN_LEG_IN) {
		if (!of || !catalog_get(n->catalog, old))
			return STATUS_CONVERGED;
		why_set(why, 0, "%s %s is in sync; leg %s goes", leg->path, node, of);
		return STATUS_PENDING;
	}
	/* What was asked for was done once; that it broke since is the volume's news, not the commit's. */
	if (task && l->member)
		return STATUS_CONVERGED;
	f = owners_report(n, row, leg->path);
	if (f && attrs_get(&f->attrs, "error")) {
		why_set(why, 0, "%s %s: %s", leg->path, node, attrs_get(&f->attrs, "error"));
		return STATUS_FAILED;
	}
	if (!l->lun && !is_alive(n, attrs_get(&leg->attrs, "node"))) {
		why_set(why, 0, "%s: node %s is not up", leg->path, attrs_get(&leg->attrs, "node"));
		return STATUS_PENDING;
	}
	resync_words(resync_report(n, row, v->path, leg->path), words, sizeof(words));
	why_set(why, 0, "%s %s is %s%s", leg->path, node, l->state == OWN_LEG_NEW ? "new, and not in sync yet" : "not in sync", words);
	return STATUS_PENDING;
}

enum names_status names_leg_status(const struct names *n, const struct object *leg, uint64_t task, struct why *why)
{
	const struct object *v = volume_of_leg(catalog_tree(n->catalog), leg);
	enum names_status s = STATUS_CONVERGED, mine;
	struct own_row row;
	struct why w = { "" };

	/* A LUN of a foreign target has no node that speaks for it. */
	if (!attrs_get(&leg->attrs, "lun"))
		s = names_node_status(n, attrs_get(&leg->attrs, "node"), leg->path, leg->generation, why);
	if (!v || !volume_row(catalog_tree(n->catalog), v, &row))
		return s;
	mine = leg_state(n, &row, v, leg, task, &w);
	if (s == STATUS_FAILED || mine == STATUS_CONVERGED)
		return s;
	*why = w;
	return mine;
}

static enum names_status shards_status(const struct names *n, const struct object *v, uint64_t task, struct why *why)
{
	enum names_status worst = STATUS_CONVERGED;
	const struct object *s;

	for (unsigned i = 0; (s = volume_shard(catalog_tree(n->catalog), v, i)); i++) {
		struct why w = { "" };
		enum names_status one = names_volume_status(n, s, task, &w);

		if (names_worse(one, worst)) {
			worst = one;
			*why = w;
		}
	}
	return worst;
}

static bool replaces(const struct tree *t, const struct object *v)
{
	const struct object *leg = NULL;

	while ((leg = volume_leg(t, v, leg)))
		if (attrs_get(&leg->attrs, "replaces"))
			return true;
	return false;
}

enum names_status names_volume_status(const struct names *n, const struct object *v, uint64_t task, struct why *why)
{
	const struct tree *t = catalog_tree(n->catalog);
	const struct object *leg = NULL;
	enum names_status worst;
	struct own_row row;
	const char *owner;

	if (volume_is_striped(v))
		return shards_status(n, v, task, why);
	if (!volume_row(t, v, &row))
		return names_node_status(n, attrs_get(&v->attrs, "node"), v->path, v->generation, why);
	owner = node_name(n, &row.owner);
	if (!owner) {
		why_set(why, 0, "%s: no node serves it yet", v->path);
		return STATUS_PENDING;
	}
	worst = names_node_status(n, owner, v->path, v->generation, why);
	if (!task && !is_alive(n, owner)) {
		why_set(why, 0, "%s: node %s, which served it, is not up, and no other has taken it", v->path, owner);
		return STATUS_PENDING;
	}
	if (worst == STATUS_CONVERGED && (!task || v->generation <= task) && !replaces(t, v) && row.n_leg > schema_get_uint(v->type, &v->attrs, "copies")) {
		why_set(why, 0, "%s: a copy goes, as soon as another has all data", v->path);
		return STATUS_PENDING;
	}
	while ((leg = volume_leg(t, v, leg))) {
		struct why w = { "" };
		enum names_status one;

		if (task && leg->created > task)
			continue;
		one = names_leg_status(n, leg, task, &w);
		if (names_worse(one, worst)) {
			worst = one;
			*why = w;
		}
	}
	return worst;
}

bool names_volume_awaited(const struct names *n, const struct object *v, const char *want, struct why *why)
{
	const char *now = attrs_get(&v->attrs, "want"), *owner;
	struct own_row row;

	if (v->type->id != TYPE_VOLUME || !want || !now || strcmp(want, now) != 0 || !volume_row(catalog_tree(n->catalog), v, &row))
		return false;
	owner = node_name(n, &row.owner);
	if (!owner || strcmp(owner, want) == 0)
		return false;
	why_set(why, 0, "%s: node %s serves it until node %s can", v->path, owner, want);
	return true;
}

const char *names_volume_node(const struct names *n, const struct object *v)
{
	struct own_row row;

	if (!volume_row(catalog_tree(n->catalog), v, &row))
		return attrs_get(&v->attrs, "node");
	return node_name(n, &row.owner);
}

/* ---- derived ---- */

struct sum {
	unsigned in_sync, copies, legs;
	bool syncing, waiting, failed, opening;
};

static void sum_up(const struct names *n, const struct object *v, struct sum *s)
{
	const struct tree *t = catalog_tree(n->catalog);
	const char *owner, *state;
	const struct fact *f;
	struct own_row row;

	if (!volume_row(t, v, &row))
		return;
	owner = node_name(n, &row.owner);
	f = owners_report(n, &row, v->path);
	state = f ? attrs_get(&f->attrs, "state") : NULL;
	s->copies += (unsigned)schema_get_uint(v->type, &v->attrs, "copies");
	s->legs += row.n_leg;
	for (unsigned i = 0; i < row.n_leg; i++)
		s->in_sync += row.leg[i].state == OWN_LEG_IN;
	s->waiting |= !is_alive(n, owner);
	s->failed |= state && strcmp(state, "failed") == 0;
	s->opening |= !state || strcmp(state, "creating") == 0;
	s->syncing |= place_uint(f, "resync-left", 0) > 0;
}

static const char *state_of(const struct sum *s)
{
	if (s->waiting)
		return "waiting";
	if (s->failed)
		return "failed";
	if (s->opening)
		return "creating";
	if (s->in_sync < s->copies)
		return s->syncing ? "syncing" : "degraded";
	return s->in_sync < s->legs && s->syncing ? "syncing" : "ready";
}

static void copy_report(const struct fact *f, struct attrs *to)
{
	static const char *const keys[] = { "resync-left", "resync-total", "resync-rate", "scrub-done", "scrub-left", "scrub-total", "scrub-found" };

	for (unsigned i = 0; f && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (attrs_get(&f->attrs, keys[i]))
			attrs_set(to, keys[i], attrs_get(&f->attrs, keys[i]));
}

void names_derive_volume(const struct names *n, struct names_entry *e)
{
	const struct tree *t = catalog_tree(n->catalog);
	const struct object *v = e->desired, *part;
	struct sum s = { .in_sync = 0 };
	struct own_row row;
	char text[48];

	if (!v || !attrs_get(&v->attrs, "copies"))
		return;
	for (unsigned i = 0; (part = volume_shard(t, v, i)); i++)
		sum_up(n, part, &s);
	sum_up(n, v, &s);
	attrs_set(&e->derived, "state", state_of(&s));
	snprintf(text, sizeof(text), "%u of %u", s.in_sync, s.copies > s.legs ? s.copies : s.legs);
	attrs_set(&e->derived, "in-sync", text);
	if (!volume_row(t, v, &row))
		return;
	attrs_set(&e->derived, "node", node_name(n, &row.owner));
	copy_report(owners_report(n, &row, v->path), &e->derived);
}

void names_derive_leg(const struct names *n, struct names_entry *e)
{
	const struct object *v = e->desired ? volume_of_leg(catalog_tree(n->catalog), e->desired) : NULL;
	const struct own_leg *l;
	struct own_row row;

	if (!v || !volume_row(catalog_tree(n->catalog), v, &row) || !(l = own_leg(&row, e->desired->uuid)))
		return;
	attrs_set(&e->derived, "serves", !l->lun && node_id_eq(&l->node, &row.owner) ? "yes" : "no");
	if (l->state != OWN_LEG_IN)
		copy_report(resync_report(n, &row, v->path, e->path), &e->derived);
}

/* A node that is drained is as it was asked to be when nothing more can be moved. */
void names_derive_drain(const struct names *n, struct names_entry *e)
{
	struct move_drain d;

	if (!e->desired || !schema_get_bool(e->type, &e->desired->attrs, "drain"))
		return;
	move_drain(n, path_name(e->path), &d);
	attrs_set(&e->derived, "drained", d.owned || d.moving ? "no" : d.only || d.stuck ? "partly" : "yes");
	if (d.owned || d.moving) {
		e->status = STATUS_PENDING;
		why_set(&e->reason, 0, "%s: serves %u volume%s, %u leg%s to move", e->path, d.owned, d.owned == 1 ? "" : "s", d.moving,
		        d.moving == 1 ? "" : "s");
		attrs_set(&e->derived, "drain-left", e->reason.text + strlen(e->path) + 2);
	} else if (d.only || d.stuck) {
		struct why w;

		why_set(&w, 0, d.only ? "%u volume%s only here, first %s" : "%u cop%s with no other node to go to, first of %s", d.only ? d.only : d.stuck,
		        d.only ? (d.only == 1 ? " is" : "s are") : d.stuck == 1 ? "y" : "ies", d.first);
		attrs_set(&e->derived, "drain-left", w.text);
	}
}
